#include "model/problem_frame.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#define LITTLE (BYTE_ORDER == LITTLE_ENDIAN) /* numbers here are as in a frame */

/* Entries of tables: where they are as in memory, they are read in place. */
#define USE_BYTES    16
#define CHOICE_BYTES (16 + 8 * RESOURCE_COUNT)
_Static_assert(sizeof(struct problem_use) == USE_BYTES &&
                   offsetof(struct problem_use, bytes) == 8 &&
                   sizeof(struct problem_choice) == CHOICE_BYTES &&
                   offsetof(struct problem_choice, lead) == 8 &&
                   offsetof(struct problem_choice, demand) == 16 && sizeof(bool) == 1,
               "a table is not in memory as in a frame");

static void store(char *out, uint64_t value, size_t bytes);
static void *table_of(struct frame_reader *in, const char *what, size_t count, size_t bytes_each,
                      bool *ret_in_place);
static void check_use(struct frame_reader *in, const struct problem_use *use, int32_t padding,
                      int meter_count);
static void check_choice(struct frame_reader *in, const struct problem *problem,
                         const struct problem_choice *choice, int32_t padding);
static int64_t load_long(const unsigned char *at);
static int32_t load_int(const unsigned char *at);

size_t frame_cells(const struct problem *problem, int a, int b)
{
    return (size_t)problem->parts[a].choice_count * (size_t)problem->parts[b].choice_count;
}

void frame_put(struct strbuf *out, uint64_t value, size_t bytes)
{
    char text[8];
    store(text, value, bytes);
    strbuf_append(out, text, bytes);
}

void frame_put_costs(struct strbuf *out, const int64_t *costs, size_t count)
{
    char *room = count == 0 ? NULL : strbuf_extend(out, count * sizeof(*costs));
    if (room != NULL && LITTLE) {
        memcpy(room, costs, count * sizeof(*costs));
        return;
    }
    for (size_t i = 0; i < count && room != NULL; i++) {
        store(room + 8 * i, (uint64_t)costs[i], 8);
    }
}

void frame_put_align(struct strbuf *out, size_t from)
{
    static const char none[8] = {0};
    strbuf_append(out, none, (8 - (out->bytes - from) % 8) % 8);
}

void frame_put_uses(struct strbuf *out, size_t from, const struct problem_use *use, int use_count,
                    size_t cells)
{
    size_t slots = use == NULL ? 0 : cells * (size_t)use_count;
    size_t used = 0;
    while (used < slots && use[used].meter < 0) {
        used++;
    }
    frame_put(out, used == slots ? 0 : (uint64_t)use_count, 4);
    if (used == slots) {
        return;
    }
    frame_put_align(out, from);
    char *room = strbuf_extend(out, slots * USE_BYTES);
    for (size_t i = 0; i < slots && room != NULL; i++, room += USE_BYTES) {
        bool none = use[i].meter < 0;
        store(room, none ? UINT32_MAX : (uint64_t)use[i].meter, 8);
        store(room + 8, none ? 0 : (uint64_t)use[i].bytes, 8);
    }
}

void frame_put_choices(struct strbuf *out, size_t from, const struct problem_choice *choices,
                       int count)
{
    frame_put_align(out, from);
    char *room = strbuf_extend(out, (size_t)count * CHOICE_BYTES);
    for (int i = 0; i < count && room != NULL; i++, room += CHOICE_BYTES) {
        const struct problem_choice *choice = &choices[i];
        store(room, (uint64_t)choice->site | (uint64_t)choice->variant << 32, 8);
        store(room + 8, (uint64_t)choice->lead, 8);
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            store(room + 16 + 8 * r, (uint64_t)choice->demand[r], 8);
        }
    }
}

void frame_put_tiers(struct strbuf *out, const struct problem_meter *meter)
{
    frame_put(out, (uint64_t)meter->base_bytes, 8);
    frame_put(out, (uint64_t)meter->per_bytes, 8);
    frame_put(out, (uint64_t)meter->tier_count, 4);
    frame_put_costs(out, meter->up_to_bytes, (size_t)meter->tier_count);
    frame_put_costs(out, meter->price_nusd, (size_t)meter->tier_count);
}

uint64_t frame_get(struct frame_reader *in, size_t bytes)
{
    if (in->failed || in->left < bytes) {
        (void)frame_fail(in, ERR_INVALID, "it ends too early, bytes missing",
                         (long long)bytes - (long long)in->left);
        return 0;
    }
    uint64_t little = 0;
    memcpy(&little, in->at, bytes);
    in->at += bytes;
    in->left -= bytes;
    return le64toh(little);
}

/* A signed number of 4 or 8 bytes within [min, max]; min after a failure. */
int64_t frame_get_range(struct frame_reader *in, size_t bytes, const char *what, int64_t min,
                        int64_t max)
{
    uint64_t raw = frame_get(in, bytes);
    int64_t value = bytes == 4 ? (int64_t)(int32_t)(uint32_t)raw : (int64_t)raw;
    if (in->failed || value < min || value > max) {
        (void)frame_fail(in, ERR_INVALID, what, (long long)value);
        return min;
    }
    return value;
}

/* A count at most `max`, of things that take at least bytes_each of the bytes that are left. */
int frame_get_count(struct frame_reader *in, const char *what, int64_t max, size_t bytes_each)
{
    int64_t count = frame_get_range(in, 4, what, 0, max);
    if (!in->failed && (size_t)count > in->left / bytes_each) {
        (void)frame_fail(in, ERR_INVALID, what, (long long)count);
        return 0;
    }
    return (int)count;
}

void *frame_get_memory(struct frame_reader *in, size_t count, size_t bytes_each)
{
    if (in->failed) {
        return NULL;
    }
    void *memory = arena_array(in->arena, count == 0 ? 1 : count, bytes_each);
    if (memory == NULL) {
        (void)frame_fail(in, ERR_NO_MEMORY, "no memory for things of its own count",
                         (long long)count);
    }
    return memory;
}

void frame_get_align(struct frame_reader *in)
{
    size_t read = (size_t)(in->at - in->start);
    size_t bytes = (8 - read % 8) % 8;
    if (bytes > 0 && frame_get(in, bytes) != 0) {
        (void)frame_fail(in, ERR_INVALID, "not 0 between two things, after bytes", (long long)read);
    }
}

int64_t *frame_get_costs(struct frame_reader *in, size_t count)
{
    const unsigned char *at = in->at;
    bool in_place;
    int64_t *costs = table_of(in, "it ends within a table of costs", count, 8, &in_place);
    for (size_t i = 0; i < count && !in_place && !in->failed; i++) {
        costs[i] = load_long(at + 8 * i);
    }
    return costs;
}

struct problem_use *frame_get_uses(struct frame_reader *in, size_t cells, int meter_count,
                                   int *ret_use_count)
{
    int use_count = (int)frame_get_range(in, 4, "uses of a cell", 0, LIMIT_USES);
    if (in->failed || use_count == 0) {
        return NULL;
    }
    frame_get_align(in);
    const unsigned char *at = in->at;
    size_t slots = cells * (size_t)use_count;
    size_t used = 0;
    bool in_place;
    struct problem_use *use =
        table_of(in, "it ends within a table of uses", slots, USE_BYTES, &in_place);
    for (size_t i = 0; i < slots && !in->failed; i++, at += USE_BYTES) {
        struct problem_use slot = {.meter = load_int(at), .bytes = load_long(at + 8)};
        check_use(in, &slot, load_int(at + 4), meter_count);
        used += slot.meter >= 0;
        if (!in_place) {
            use[i] = slot;
        }
    }
    if (!in->failed && used == 0) {
        (void)frame_fail(in, ERR_INVALID, "no use, in cells that have", use_count);
    }
    *ret_use_count = use_count;
    return use;
}

struct problem_choice *frame_get_choices(struct frame_reader *in, const struct problem *problem,
                                         int count)
{
    frame_get_align(in);
    const unsigned char *at = in->at;
    bool in_place;
    struct problem_choice *choices =
        table_of(in, "it ends within a table of choices", (size_t)count, CHOICE_BYTES, &in_place);
    for (int i = 0; i < count && !in->failed; i++, at += CHOICE_BYTES) {
        struct problem_choice choice = {
            .site = load_int(at), .variant = load_int(at + 4), .lead = load_int(at + 8)};
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            choice.demand[r] = load_long(at + 16 + 8 * r);
        }
        check_choice(in, problem, &choice, load_int(at + 12));
        if (!in_place) {
            choices[i] = choice;
        }
    }
    return choices;
}

bool *frame_get_allowed(struct frame_reader *in, size_t count)
{
    if (!in->failed && in->left < count) {
        (void)frame_fail(in, ERR_INVALID, "it ends within a rule's table", (long long)count);
    }
    if (in->failed) {
        return NULL;
    }
    const unsigned char *at = in->at;
    for (size_t i = 0; i < count && !in->failed; i++) {
        if (at[i] > 1) {
            (void)frame_fail(in, ERR_INVALID, "allowed is 0 or 1", at[i]);
        }
    }
    in->at += count;
    in->left -= count;
    return (bool *)(uintptr_t)at;
}

/* The bytes of a table, which are read; else memory for it. NULL after a failure. */
static void *table_of(struct frame_reader *in, const char *what, size_t count, size_t bytes_each,
                      bool *ret_in_place)
{
    const unsigned char *at = in->at;
    *ret_in_place = false;
    if (!in->failed && in->left / bytes_each < count) {
        (void)frame_fail(in, ERR_INVALID, what, (long long)count);
    }
    if (in->failed) {
        return NULL;
    }
    *ret_in_place = LITTLE && (uintptr_t)at % _Alignof(int64_t) == 0;
    in->at += count * bytes_each;
    in->left -= count * bytes_each;
    return *ret_in_place ? (void *)(uintptr_t)at : frame_get_memory(in, count, bytes_each);
}

static void check_use(struct frame_reader *in, const struct problem_use *use, int32_t padding,
                      int meter_count)
{
    if (use->meter < -1 || use->meter >= meter_count) {
        (void)frame_fail(in, ERR_INVALID, "use's meter", use->meter);
    } else if (use->bytes < 0 || (use->meter < 0 && use->bytes != 0)) {
        (void)frame_fail(in, ERR_INVALID, "use's bytes", (long long)use->bytes);
    } else if (padding != 0) {
        (void)frame_fail(in, ERR_INVALID, "not 0 within a use", padding);
    }
}

static void check_choice(struct frame_reader *in, const struct problem *problem,
                         const struct problem_choice *choice, int32_t padding)
{
    if (choice->site < 0 || choice->site >= problem->site_count) {
        (void)frame_fail(in, ERR_INVALID, "choice's site", choice->site);
    } else if (choice->variant < 0) {
        (void)frame_fail(in, ERR_INVALID, "choice's variant", choice->variant);
    } else if (choice->lead < 0 || choice->lead >= problem->part_count) {
        (void)frame_fail(in, ERR_INVALID, "choice's lead", choice->lead);
    } else if (padding != 0) {
        (void)frame_fail(in, ERR_INVALID, "not 0 within a choice", padding);
    }
    for (int r = 0; r < RESOURCE_COUNT; r++) {
        if (choice->demand[r] < 0) {
            (void)frame_fail(in, ERR_INVALID, "demand", (long long)choice->demand[r]);
        }
    }
}

void frame_get_tiers(struct frame_reader *in, struct problem_meter *meter)
{
    meter->base_bytes = frame_get_range(in, 8, "month to date", 0, INT64_MAX);
    meter->per_bytes = frame_get_range(in, 8, "bytes per price", 1, INT64_MAX);
    meter->tier_count = (int)frame_get_range(in, 4, "tiers", 1, LIMIT_TIERS);
    int64_t low = 0;
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        bool last = i == meter->tier_count - 1;
        low = frame_get_range(in, 8, "tier's end", last ? INT64_MAX : low + 1,
                              last ? INT64_MAX : INT64_MAX - 1);
        meter->up_to_bytes[i] = low;
    }
    for (int i = 0; i < meter->tier_count && !in->failed; i++) {
        meter->price_nusd[i] = frame_get_range(in, 8, "price", INT64_MIN, INT64_MAX);
    }
}

/* Only the first failure is reported: what follows it is its consequence. */
int frame_fail(struct frame_reader *in, int code, const char *what, long long value)
{
    if (!in->failed) {
        in->failed = true;
        (void)error_set(in->err, code, 0, "frame: %s: %lld is not allowed here", what, value);
    }
    return code;
}

static void store(char *out, uint64_t value, size_t bytes)
{
    uint64_t little = htole64(value);
    memcpy(out, &little, bytes);
}

/* Of 8 bytes; tables are read by the million. */
static int64_t load_long(const unsigned char *at)
{
    uint64_t little;
    memcpy(&little, at, sizeof(little));
    return (int64_t)le64toh(little);
}

static int32_t load_int(const unsigned char *at)
{
    uint32_t little;
    memcpy(&little, at, sizeof(little));
    return (int32_t)le32toh(little);
}
