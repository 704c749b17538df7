#include "base/wire/pack.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "base/wire/messages.h"

#define PACK_VERSION 1
#define PLAN_STEPS   8

struct unpacking {
    const uint8_t *at;
    const uint8_t *end;
    const uint8_t *begin;
    char *copy; /* of all of it, once a text was met: texts are terminated there already */
    const struct wire_shape *top;
    struct arena *arena;
    struct error *err;
    struct message_batch *runs; /* where samples go, by runs; NULL: into the array of the table */
    const char *const *words;   /* of the last enum, of which as many are known to exist */
    int64_t words_seen;
};

/* How elements are read that change the same numbers and texts again and again: what the table says
 * of those, so that it is looked at once. */
struct plan {
    uint64_t head; /* the bits of the fields, as they are written */
    uint64_t head_mask;
    unsigned head_bytes;
    bool texts; /* some */
    int count;
    struct plan_step {
        uint64_t min; /* the value less this is at most span; all unsigned */
        uint64_t span;
        size_t offset;
        unsigned zigzag; /* 1 or 0 */
        bool wide;       /* int64_t; else int */
        bool text;       /* of `span` bytes at most */
    } steps[PLAN_STEPS];
};

static void put_struct(const struct wire_shape *shape, const char *object, const char *before,
                       struct strbuf *out);
static void put_field(const struct wire_field *field, const char *object, const char *before,
                      struct strbuf *out);
static bool same_field(const struct wire_field *field, const char *object, const char *before);
static void put_number(uint64_t value, struct strbuf *out);
static int unpack(const struct wire_shape *shape, const char *text, size_t bytes,
                  struct arena *arena, struct message_batch *runs, void *ret_message,
                  struct error *err);
static int get_head(struct unpacking *from, char *out, size_t capacity);
static int get_struct(struct unpacking *from, const struct wire_shape *shape, char *object);
static int get_field(struct unpacking *from, const struct wire_field *field, char *object);
static int get_text(struct unpacking *from, const struct wire_field *field, char *at);
static bool copy_made(struct unpacking *from);
static bool is_text(const char *text, size_t bytes, const uint8_t *end);
static int get_array(struct unpacking *from, const struct wire_field *field, char *object);
static int get_runs(struct unpacking *from, const struct wire_field *field);
static int get_readings(struct unpacking *from, const struct plan *plan, uint8_t *kinds,
                        int64_t *values, int count_max);
static bool same_run(const struct message_sample *a, const struct message_sample *b);
static bool get_planned(struct unpacking *from, const struct plan *plan, char *object);
static void plans_clear(struct plan plans[2]);
static int get_and_plan(struct unpacking *from, const struct wire_shape *shape, char *object,
                        struct plan plans[2]);
static bool plan_make(struct unpacking *from, const struct wire_shape *shape, uint64_t present,
                      struct plan *plan);
static int get_counts(struct unpacking *from, const struct wire_field *field, char *object);
static bool get_number(struct unpacking *from, uint64_t *ret_value);
static inline __attribute__((always_inline)) const uint8_t *number_at(const uint8_t *at,
                                                                      const uint8_t *end,
                                                                      uint64_t *ret_value);
static const uint8_t *long_number_at(const uint8_t *at, const uint8_t *end, uint64_t *ret_value);
static bool is_word(struct unpacking *from, const struct wire_field *field, int64_t value);
static int cut(const struct unpacking *from, const struct wire_field *field);
static int out_of_range(const struct unpacking *from, const struct wire_field *field,
                        int64_t value);

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

void wire_pack(const struct wire_shape *shape, const void *message, struct strbuf *out)
{
    const char head[] = {(char)WIRE_PACKED, PACK_VERSION};
    strbuf_append(out, head, sizeof head);
    put_number(strlen(shape->type), out);
    strbuf_append(out, shape->type, strlen(shape->type) + 1);
    put_number((uint64_t)shape->version, out);
    put_struct(shape, message, NULL, out);
}

int wire_unpack(const struct wire_shape *shape, const char *text, size_t bytes, struct arena *arena,
                void *ret_message, struct error *err)
{
    return unpack(shape, text, bytes, arena, NULL, ret_message, err);
}

int message_batch_decode(const char *text, size_t bytes, struct arena *arena,
                         struct message_batch *ret_batch, struct error *err)
{
    struct message_batch runs = {.run_count = 0};
    if (bytes == 0 || bytes > LIMIT_WIRE_BYTES || (unsigned char)text[0] != WIRE_PACKED)
        return wire_decode(&message_batch_shape, text, bytes, 0, arena, ret_batch, err);
    int rc = unpack(&message_batch_shape, text, bytes, arena, &runs, ret_batch, err);
    if (rc == 0) {
        ret_batch->runs = runs.runs;
        ret_batch->run_count = runs.run_count;
        ret_batch->kinds = runs.kinds;
        ret_batch->values = runs.values;
    }
    return rc;
}

static int unpack(const struct wire_shape *shape, const char *text, size_t bytes,
                  struct arena *arena, struct message_batch *runs, void *ret_message,
                  struct error *err)
{
    struct unpacking from = {.at = (const uint8_t *)text,
                             .end = (const uint8_t *)text + bytes,
                             .begin = (const uint8_t *)text,
                             .top = shape,
                             .arena = arena,
                             .runs = runs,
                             .err = err};
    char type[LIMIT_NAME_BYTES];
    uint64_t version = 0;
    int rc = get_head(&from, type, sizeof type);
    if (rc < 0)
        return rc;
    if (strcmp(type, shape->type) != 0)
        return error_set(err, ERR_INVALID, 0, "a message of type \"%s\" where %s is wanted", type,
                         shape->type);
    if (!get_number(&from, &version) || version < 1)
        return error_set(err, ERR_INVALID, 0, "%s: \"v\" must be a version from 1 to %d",
                         shape->type, shape->version);
    if (version > (uint64_t)shape->version)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "%s: version %" PRIu64 " is newer than %d, which this program knows; "
                         "update it",
                         shape->type, version, shape->version);
    char *object = arena_alloc(arena, shape->size);
    if (object == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a message %s", shape->type);
    rc = get_struct(&from, shape, object);
    if (rc == 0 && from.at != from.end)
        rc = error_set(err, ERR_INVALID, 0, "%s: %zu bytes follow the packed message", shape->type,
                       (size_t)(from.end - from.at));
    if (rc == 0)
        memcpy(ret_message, object, shape->size);
    return rc;
}

int wire_packed_type(const char *text, size_t bytes, char *out, size_t capacity, struct error *err)
{
    struct unpacking from = {
        .at = (const uint8_t *)text, .end = (const uint8_t *)text + bytes, .err = err};
    return get_head(&from, out, capacity);
}

/* ---- packing ---- */

static void put_struct(const struct wire_shape *shape, const char *object, const char *before,
                       struct strbuf *out)
{
    uint64_t present = 0;
    BERTH_ASSERT(shape->field_count < 64, "%s has %zu fields", shape->type, shape->field_count);
    for (size_t i = 0; i < shape->field_count; i++)
        if (!same_field(&shape->fields[i], object, before))
            present |= UINT64_C(1) << i;
    put_number(present, out);
    for (size_t i = 0; i < shape->field_count; i++)
        if ((present >> i & 1) != 0)
            put_field(&shape->fields[i], object, before, out);
}

static const char *text_of(const struct wire_field *field, const char *object)
{
    if (field->kind == WIRE_STR)
        return object + field->offset;
    const char *text;
    memcpy(&text, object + field->offset, sizeof text);
    return text == NULL ? "" : text;
}

static int count_of(const struct wire_field *field, const char *object)
{
    int count;
    memcpy(&count, object + field->count_offset, sizeof count);
    return count;
}

/* As the element before, or without one as zeroes. Arrays inside arrays are always said when they
 * are not empty. */
static bool same_field(const struct wire_field *field, const char *object, const char *before)
{
    switch (field->kind) {
    case WIRE_STR:
    case WIRE_TEXT:
        return strcmp(text_of(field, object), before == NULL ? "" : text_of(field, before)) == 0;
    case WIRE_STRUCT:
        for (size_t i = 0; i < field->shape->field_count; i++)
            if (!same_field(&field->shape->fields[i], object + field->offset,
                            before == NULL ? NULL : before + field->offset))
                return false;
        return true;
    case WIRE_ARRAY:
    case WIRE_COUNTS:
        return count_of(field, object) == 0 && (before == NULL || count_of(field, before) == 0);
    case WIRE_I64:
    case WIRE_U64:
    case WIRE_I32:
    case WIRE_BOOL:
    case WIRE_ENUM:
    case WIRE_NUSD:
        break;
    }
    if (before != NULL)
        return memcmp(object + field->offset, before + field->offset, field->size) == 0;
    for (size_t i = 0; i < field->size; i++)
        if (object[field->offset + i] != 0)
            return false;
    return true;
}

static void put_field(const struct wire_field *field, const char *object, const char *before,
                      struct strbuf *out)
{
    const char *at = object + field->offset;
    int64_t wide = 0;
    int narrow = 0;
    switch (field->kind) {
    case WIRE_STR:
    case WIRE_TEXT: {
        const char *text = text_of(field, object);
        put_number(strlen(text), out);
        strbuf_append(out, text, strlen(text) + 1);
        return;
    }
    case WIRE_I64:
        memcpy(&wide, at, sizeof wide);
        BERTH_ASSERT(wide >= field->min && wide <= field->max, "%s is %" PRId64, field->name, wide);
        put_number(zigzag(wide), out);
        return;
    case WIRE_U64:
        memcpy(&wide, at, sizeof wide);
        put_number((uint64_t)wide, out);
        return;
    case WIRE_I32:
    case WIRE_ENUM:
        memcpy(&narrow, at, sizeof narrow);
        put_number(zigzag(narrow), out);
        return;
    case WIRE_BOOL:
        put_number(*(const bool *)at, out);
        return;
    case WIRE_NUSD: /* the bytes of this machine: little-endian, as all that Berth runs on */
        strbuf_append(out, at, sizeof(nusd));
        return;
    case WIRE_STRUCT:
        put_struct(field->shape, at, before == NULL ? NULL : before + field->offset, out);
        return;
    case WIRE_ARRAY:
    case WIRE_COUNTS: {
        int count = count_of(field, object);
        const char *items;
        memcpy(&items, at, sizeof items);
        BERTH_ASSERT(count >= 0 && count <= field->max, "%s has %d elements", field->name, count);
        put_number((uint64_t)count, out);
        for (int i = 0; i < count; i++) {
            const char *item = items + (size_t)i * field->size;
            if (field->kind == WIRE_ARRAY) {
                put_struct(field->shape, item, i == 0 ? NULL : item - field->size, out);
                continue;
            }
            memcpy(&wide, item, sizeof wide);
            BERTH_ASSERT(wide >= 0, "%s[%d] is a count below 0", field->name, i);
            put_number((uint64_t)wide, out);
        }
        return;
    }
    }
    BERTH_ASSERT(false, "%s has kind %d", field->name, (int)field->kind);
}

static void put_number(uint64_t value, struct strbuf *out)
{
    char bytes[10];
    size_t count = 0;
    for (; value >= 128; value >>= 7)
        bytes[count++] = (char)(value | 128);
    bytes[count++] = (char)value;
    strbuf_append(out, bytes, count);
}

/* ---- unpacking ---- */

static int get_head(struct unpacking *from, char *out, size_t capacity)
{
    uint64_t bytes = 0;
    if (from->end - from->at < 3 || from->at[0] != WIRE_PACKED || from->at[1] != PACK_VERSION)
        return error_set(from->err, ERR_UNSUPPORTED, 0, "a packed message of a form other than %d",
                         PACK_VERSION);
    from->at += 2;
    if (!get_number(from, &bytes) || bytes >= capacity ||
        bytes >= (uint64_t)(from->end - from->at) || from->at[bytes] != 0 ||
        memchr(from->at, 0, bytes) != NULL)
        return error_set(from->err, ERR_INVALID, 0, "the packed message's \"type\" is none known");
    memcpy(out, from->at, bytes + 1);
    for (size_t i = 0; i < bytes; i++) /* it goes into error texts */
        if (out[i] < ' ' || out[i] > '~')
            return error_set(from->err, ERR_INVALID, 0,
                             "the packed message's \"type\" is none known");
    from->at += bytes + 1;
    return 0;
}

/* `object` holds what the element before had, or zeroes. */
static int get_struct(struct unpacking *from, const struct wire_shape *shape, char *object)
{
    uint64_t present = 0;
    if (!get_number(from, &present))
        return error_set(from->err, ERR_INVALID, 0, "%s: the packed message ends in a %s",
                         from->top->type, shape->type);
    if (present >> shape->field_count != 0)
        return error_set(from->err, ERR_UNSUPPORTED, 0,
                         "%s: a %s has fields that this program does not know; update it",
                         from->top->type, shape->type);
    while (present != 0) {
        int rc = get_field(from, &shape->fields[__builtin_ctzll(present)], object);
        if (rc < 0)
            return rc;
        present &= present - 1;
    }
    return 0;
}

static int get_field(struct unpacking *from, const struct wire_field *field, char *object)
{
    char *at = object + field->offset;
    uint64_t raw = 0;
    switch (field->kind) {
    case WIRE_STR:
    case WIRE_TEXT:
        return get_text(from, field, at);
    case WIRE_STRUCT:
        return get_struct(from, field->shape, at);
    case WIRE_ARRAY:
        return get_array(from, field, object);
    case WIRE_COUNTS:
        return get_counts(from, field, object);
    case WIRE_NUSD:
        if (from->end - from->at < (ptrdiff_t)sizeof(nusd))
            return cut(from, field);
        memcpy(at, from->at, sizeof(nusd));
        from->at += sizeof(nusd);
        return 0;
    case WIRE_I64:
    case WIRE_U64:
    case WIRE_I32:
    case WIRE_BOOL:
    case WIRE_ENUM:
        break;
    }
    if (!get_number(from, &raw))
        return cut(from, field);
    int64_t value = unzigzag(raw);
    int narrow = (int)value;
    bool fits = true;
    if (field->kind == WIRE_U64) {
        memcpy(at, &raw, sizeof raw);
    } else if (field->kind == WIRE_BOOL) {
        *(bool *)at = raw == 1;
        fits = raw <= 1;
    } else if (field->kind == WIRE_I64) {
        fits = value >= field->min && value <= field->max;
        memcpy(at, &value, sizeof value);
    } else if (field->kind == WIRE_I32) {
        fits = value >= field->min && value <= field->max && narrow == value;
        memcpy(at, &narrow, sizeof narrow);
    } else {
        fits = is_word(from, field, value);
        memcpy(at, &narrow, sizeof narrow);
    }
    return fits ? 0 : out_of_range(from, field, value);
}

static int get_text(struct unpacking *from, const struct wire_field *field, char *at)
{
    uint64_t bytes = 0;
    if (!get_number(from, &bytes) || bytes >= (uint64_t)(from->end - from->at))
        return cut(from, field);
    uint64_t bytes_max = field->kind == WIRE_STR ? field->size - 1 : (uint64_t)field->max;
    if (bytes > bytes_max)
        return error_set(from->err, ERR_LIMIT, 0,
                         "%s: %s has %" PRIu64 " bytes, at most %" PRIu64 " are taken",
                         from->top->type, field->name, bytes, bytes_max);
    const char *text = (const char *)from->at;
    if (text[bytes] != 0 || !is_text(text, bytes, from->end))
        return error_set(from->err, ERR_INVALID, 0, "%s: %s is not a text in UTF-8",
                         from->top->type, field->name);
    from->at += bytes + 1;
    if (field->kind == WIRE_STR) {
        memset(at, 0, field->size); /* a shorter one leaves nothing of the one before */
        memcpy(at, text, bytes);
        return 0;
    }
    if (!copy_made(from))
        return error_set(from->err, ERR_NO_MEMORY, 0, "no memory for %zu bytes",
                         (size_t)(from->end - from->begin));
    const char *kept = from->copy + (text - (const char *)from->begin);
    memcpy(at, &kept, sizeof kept);
    return 0;
}

static bool copy_made(struct unpacking *from)
{
    if (from->copy != NULL)
        return true;
    size_t all = (size_t)(from->end - from->begin);
    from->copy = arena_alloc_raw(from->arena, all);
    if (from->copy != NULL)
        memcpy(from->copy, from->begin, all);
    return from->copy != NULL;
}

/* UTF-8 without a zero; eight bytes at a time where it is ASCII. */
static bool is_text(const char *text, size_t bytes, const uint8_t *end)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (size_t i = 0; i < bytes;) {
        uint64_t word;
        if (end - (const uint8_t *)text >= (ptrdiff_t)(i + sizeof word)) {
            memcpy(&word, text + i, sizeof word);
            if (bytes - i < sizeof word) /* what follows is not ours; little-endian: put_field */
                word = (word & (UINT64_MAX >> (64 - 8 * (bytes - i)))) | ones << 8 * (bytes - i);
            if (((word | (word - ones)) & ones << 7) == 0) { /* no byte is 0 or past 127 */
                i += sizeof word;
                continue;
            }
        }
        bool ascii = text[i] != 0 && (unsigned char)text[i] < 128;
        size_t length = ascii ? 1 : text[i] == 0 ? 0 : str_utf8_bytes(text + i, bytes - i);
        if (length == 0)
            return false;
        i += length;
    }
    return true;
}

static int get_count(struct unpacking *from, const struct wire_field *field, int *ret_count)
{
    uint64_t count = 0;
    if (!get_number(from, &count))
        return cut(from, field);
    if (count > (uint64_t)field->max)
        return error_set(from->err, ERR_LIMIT, 0,
                         "%s: %s has %" PRIu64 " elements, at most %" PRId64 " are taken",
                         from->top->type, field->name, count, field->max);
    if (count > (uint64_t)(from->end - from->at)) /* each takes a byte at least */
        return cut(from, field);
    *ret_count = (int)count;
    return 0;
}

/* Not zeroed. */
static int items_alloc(struct unpacking *from, size_t bytes_each, int count, void *ret_items)
{
    void *items = NULL;
    if (count > 0) /* both are limits of tables: their product is no overflow */
        items = arena_alloc_raw(from->arena, (size_t)count * bytes_each);
    if (count > 0 && items == NULL)
        return error_set(from->err, ERR_NO_MEMORY, 0, "no memory for %d elements", count);
    memcpy(ret_items, &items, sizeof items);
    return 0;
}

static int get_items(struct unpacking *from, const struct wire_field *field, size_t bytes_each,
                     char *object, char **ret_items, int *ret_count)
{
    int rc = get_count(from, field, ret_count);
    if (rc == 0)
        rc = items_alloc(from, bytes_each, *ret_count, ret_items);
    if (rc < 0)
        return rc;
    memcpy(object + field->offset, ret_items, sizeof *ret_items);
    memcpy(object + field->count_offset, ret_count, sizeof *ret_count);
    return 0;
}

static inline void copy_element(char *to, const char *element, size_t bytes)
{
    if (bytes == sizeof(struct message_sample)) /* known to the compiler: a few moves, no call */
        memcpy(to, element, sizeof(struct message_sample));
    else
        memcpy(to, element, bytes);
}

static int get_array(struct unpacking *from, const struct wire_field *field, char *object)
{
    char *items = NULL;
    int count = 0;
    if (from->runs != NULL && field->shape == &message_sample_shape)
        return get_runs(from, field);
    /* Elements by the plan of numbers differ in its fields alone: each begins as a copy of the last
     * that was not by it, which the processor has long finished writing. */
    struct plan plans[2];
    const char *base = NULL;
    plans_clear(plans);
    int rc = get_items(from, field, field->size, object, &items, &count);
    for (int i = 0; i < count && rc == 0; i++) {
        char *item = items + (size_t)i * field->size;
        if (i > 0) {
            copy_element(item, base, field->size);
            if (get_planned(from, &plans[0], item))
                continue;
            copy_element(item, item - field->size, field->size);
        } else {
            memset(item, 0, field->size);
        }
        base = item;
        if (!get_planned(from, &plans[1], item))
            rc = get_and_plan(from, field->shape, item, plans);
    }
    return rc;
}

/* One of numbers alone, one with texts: neither is the plan of anything. */
static void plans_clear(struct plan plans[2])
{
    for (int i = 0; i < 2; i++) {
        plans[i].count = 0;
        plans[i].head_mask = 0;
        plans[i].head = 1;
    }
}

/* Reads an element by its table, and notes how the next of its like can be read. */
static int get_and_plan(struct unpacking *from, const struct wire_shape *shape, char *object,
                        struct plan plans[2])
{
    const uint8_t *began = from->at;
    uint64_t present = 0;
    struct plan plan;
    int rc = get_struct(from, shape, object);
    if (rc == 0 && number_at(began, from->end, &present) != NULL &&
        plan_make(from, shape, present, &plan))
        plans[plan.texts ? 1 : 0] = plan;
    return rc;
}

/* As get_array, into runs: one sample is all that is ever made. */
static int get_runs(struct unpacking *from, const struct wire_field *field)
{
    struct message_batch *into = from->runs;
    struct message_sample sample = {.kind = 0};
    struct plan plans[2];
    int count = 0;
    plans_clear(plans);
    int rc = get_count(from, field, &count);
    if (rc == 0)
        rc = items_alloc(from, sizeof *into->runs, count, &into->runs);
    if (rc == 0)
        rc = items_alloc(from, sizeof *into->kinds, count, &into->kinds);
    if (rc == 0)
        rc = items_alloc(from, sizeof *into->values, count, &into->values);
    struct message_run *run = NULL;
    for (int i = 0; i < count && rc == 0; i++) {
        if (!get_planned(from, &plans[1], (char *)&sample))
            rc = get_and_plan(from, field->shape, (char *)&sample, plans);
        if (rc < 0)
            return rc;
        if (run == NULL || !same_run(&run->of, &sample)) {
            run = &into->runs[into->run_count++];
            *run = (struct message_run){.of = sample, .first = i};
        }
        into->kinds[i] = (uint8_t)sample.kind;
        into->values[i] = sample.value;
        run->count++;
        const struct plan_step *steps = plans[0].steps;
        if (plans[0].count != 2 || steps[0].offset != offsetof(struct message_sample, kind) ||
            steps[1].offset != offsetof(struct message_sample, value) ||
            steps[1].span != UINT64_MAX)
            continue;
        int more =
            get_readings(from, &plans[0], into->kinds + i + 1, into->values + i + 1, count - i - 1);
        i += more;
        run->count += more;
        sample.kind = into->kinds[i];
        sample.value = into->values[i];
    }
    return rc;
}

/* Those of the next samples that differ in kind and value alone; what is not as it should be is
 * left for get_struct to say. Returns how many. */
static int get_readings(struct unpacking *from, const struct plan *plan, uint8_t *kinds,
                        int64_t *values, int count_max)
{
    const uint8_t *at = from->at;
    const uint8_t *end = from->end;
    const uint64_t head = plan->head;
    const uint64_t head_mask = plan->head_mask;
    const uint64_t kinds_end = 2 * plan->steps[0].span; /* zigzag: even ones are 0 and more */
    int count = 0;
    for (; count < count_max; count++) {
        uint64_t word;
        uint64_t kind = 0;
        uint64_t value = 0;
        if (end - at < (ptrdiff_t)sizeof word)
            break;
        memcpy(&word, at, sizeof word);
        if ((word & head_mask) != head)
            break;
        const uint8_t *next = number_at(at + plan->head_bytes, end, &kind);
        if (next == NULL || (kind & 1) != 0 || kind > kinds_end)
            break;
        next = number_at(next, end, &value);
        if (next == NULL)
            break;
        kinds[count] = (uint8_t)(kind / 2);
        values[count] = unzigzag(value);
        at = next;
    }
    from->at = at;
    return count;
}

/* Texts are the same when they were not said again. */
static bool same_run(const struct message_sample *a, const struct message_sample *b)
{
    return a->namespace_ == b->namespace_ && a->app == b->app && a->workload == b->workload &&
           a->instance == b->instance && a->segment == b->segment && a->peer == b->peer &&
           a->site == b->site && a->life == b->life;
}

/* False, and nothing is read, when other fields follow or one of them is not what it should be:
 * get_struct says it then. */
static bool get_planned(struct unpacking *from, const struct plan *plan, char *object)
{
    const uint8_t *at = from->at;
    const uint8_t *end = from->end;
    uint64_t head;
    if (end - at < (ptrdiff_t)sizeof head)
        return false;
    memcpy(&head, at, sizeof head);
    if ((head & plan->head_mask) != plan->head)
        return false;
    at += plan->head_bytes;
    for (int i = 0; i < plan->count; i++) {
        const struct plan_step *step = &plan->steps[i];
        uint64_t raw = 0;
        at = number_at(at, end, &raw);
        if (at == NULL)
            return false;
        if (step->text) {
            const char *text = (const char *)at;
            if (raw > step->span || raw >= (uint64_t)(end - at) || text[raw] != 0 ||
                !is_text(text, (size_t)raw, end) || !copy_made(from))
                return false;
            const char *kept = from->copy + (at - from->begin);
            memcpy(object + step->offset, &kept, sizeof kept);
            at += raw + 1;
            continue;
        }
        uint64_t value = raw >> step->zigzag ^ (0 - (raw & step->zigzag));
        int narrow = (int)value;
        if (value - step->min > step->span)
            return false;
        if (step->wide)
            memcpy(object + step->offset, &value, sizeof value);
        else
            memcpy(object + step->offset, &narrow, sizeof narrow);
    }
    from->at = at;
    return true;
}

/* False when there are others than numbers and texts among the fields, or too many. */
static bool plan_make(struct unpacking *from, const struct wire_shape *shape, uint64_t present,
                      struct plan *plan)
{
    plan->texts = false;
    plan->count = 0;
    if (present >> 56 != 0)
        return false;
    for (uint64_t rest = present; rest != 0; rest &= rest - 1) {
        const struct wire_field *field = &shape->fields[__builtin_ctzll(rest)];
        if (plan->count == PLAN_STEPS)
            return false;
        struct plan_step *step = &plan->steps[plan->count++];
        *step = (struct plan_step){.offset = field->offset, .zigzag = 1};
        if (field->kind == WIRE_U64) {
            step->span = UINT64_MAX;
            step->zigzag = 0;
            step->wide = true;
        } else if (field->kind == WIRE_ENUM) {
            while (is_word(from, field, from->words_seen))
                continue; /* all of them */
            step->span = (uint64_t)from->words_seen - 1;
        } else if (field->kind == WIRE_TEXT) {
            step->span = (uint64_t)field->max;
            step->text = true;
            plan->texts = true;
        } else if (field->kind == WIRE_I64 || field->kind == WIRE_I32) {
            step->min = (uint64_t)field->min;
            step->span = (uint64_t)field->max - step->min;
            step->wide = field->kind == WIRE_I64;
        } else {
            return false;
        }
    }
    plan->head = 0;
    plan->head_bytes = 0;
    for (; present >= 128; present >>= 7)
        plan->head |= ((present & 127) | 128) << 8 * plan->head_bytes++;
    plan->head |= present << 8 * plan->head_bytes++;
    plan->head_mask = UINT64_MAX >> (64 - 8 * plan->head_bytes);
    return true;
}

static int get_counts(struct unpacking *from, const struct wire_field *field, char *object)
{
    char *items = NULL;
    int count = 0;
    int rc = get_items(from, field, sizeof(int64_t), object, &items, &count);
    for (int i = 0; i < count && rc == 0; i++) {
        uint64_t value = 0;
        if (!get_number(from, &value))
            return cut(from, field);
        if (value > INT64_MAX)
            return out_of_range(from, field, INT64_MAX);
        memcpy(items + (size_t)i * sizeof(int64_t), &value, sizeof value);
    }
    return rc;
}

static bool get_number(struct unpacking *from, uint64_t *ret_value)
{
    const uint8_t *at = number_at(from->at, from->end, ret_value);
    if (at == NULL)
        return false;
    from->at = at;
    return true;
}

/* What follows the number; NULL: it is cut, or past 64 bits. */
static inline const uint8_t *number_at(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    if (at < end && *at < 128) {
        *ret_value = *at;
        return at + 1;
    }
    uint64_t word = 0;
    if (end - at < (ptrdiff_t)sizeof word)
        return long_number_at(at, end, ret_value);
    memcpy(&word, at, sizeof word); /* little-endian: see put_field */
    uint64_t ends = ~word & UINT64_C(0x8080808080808080);
    if (ends == 0)
        return long_number_at(at, end, ret_value);
    /* What is up to the first byte below 128, its sevens of bits joined two, four, eight a time. */
    word &= (ends ^ (ends - 1)) & UINT64_C(0x7f7f7f7f7f7f7f7f);
    word = (word & UINT64_C(0x007f007f007f007f)) | (word & UINT64_C(0x7f007f007f007f00)) >> 1;
    word = (word & UINT64_C(0x00003fff00003fff)) | (word & UINT64_C(0x3fff00003fff0000)) >> 2;
    *ret_value = (word & UINT64_C(0x0fffffff)) | (word & UINT64_C(0x0fffffff00000000)) >> 4;
    return at + (__builtin_ctzll(ends) + 1) / 8;
}

static const uint8_t *long_number_at(const uint8_t *at, const uint8_t *end, uint64_t *ret_value)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && at < end; shift += 7) {
        uint8_t byte = *at++;
        if (shift == 63 && byte > 1)
            return NULL;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *ret_value = value;
            return at;
        }
    }
    return NULL;
}

/* Words end with NULL, so that all before one have to be looked at: once in a message. */
static bool is_word(struct unpacking *from, const struct wire_field *field, int64_t value)
{
    if (from->words != field->words) {
        from->words = field->words;
        from->words_seen = 0;
    }
    while (from->words_seen <= value && field->words[from->words_seen] != NULL)
        from->words_seen++;
    return value >= 0 && value < from->words_seen;
}

static int cut(const struct unpacking *from, const struct wire_field *field)
{
    return error_set(from->err, ERR_INVALID, 0, "%s: the packed message ends in %s",
                     from->top->type, field->name);
}

static int out_of_range(const struct unpacking *from, const struct wire_field *field, int64_t value)
{
    return error_set(from->err, ERR_INVALID, 0, "%s: %s is %" PRId64 ", which is out of its range",
                     from->top->type, field->name, value);
}
