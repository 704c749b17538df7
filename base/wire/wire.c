#include "base/wire/wire.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "base/limits.h"
#include "base/wire/pack.h"

/* Where in the document a decoder is; a chain on the stack, so that naming a field costs nothing
 * until something is wrong with it. */
struct wire_place {
    const struct wire_place *up;
    const char *name;
    int index; /* of an array element; -1: none */
};

struct wire_decoder {
    const struct wire_shape *top;
    struct arena *arena;
    struct error *err;
};

#define PLACE_TEXT_BYTES 256

static void encode_fields(const struct wire_shape *shape, const void *object, bool first,
                          struct strbuf *out);
static void encode_value(const struct wire_field *field, const void *at, const void *object,
                         struct strbuf *out);
static void encode_text(const char *text, size_t bytes, struct strbuf *out);
static size_t utf8_sequence(const unsigned char *text, size_t bytes);
static void encode_nusd(nusd value, struct strbuf *out);
static bool field_is_zero(const struct wire_field *field, const void *object);
static int decode_struct(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_shape *shape, const json_t *json, void *object);
static int decode_field(struct wire_decoder *decoder, const struct wire_place *place,
                        const struct wire_field *field, const json_t *json, void *object);
static int decode_text(struct wire_decoder *decoder, const struct wire_place *place,
                       const struct wire_field *field, const json_t *json, void *at);
static int decode_number(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_field *field, const json_t *json, void *at);
static int decode_u64(struct wire_decoder *decoder, const struct wire_place *place,
                      const json_t *json, void *at);
static int decode_enum(struct wire_decoder *decoder, const struct wire_place *place,
                       const struct wire_field *field, const json_t *json, void *at);
static int decode_nusd(struct wire_decoder *decoder, const struct wire_place *place,
                       const json_t *json, void *at);
static int decode_array(struct wire_decoder *decoder, const struct wire_place *place,
                        const struct wire_field *field, const json_t *json, void *object);
static int decode_counts(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_field *field, const json_t *json, void *object);
static int check_head(const struct wire_shape *shape, const json_t *root, struct error *err);
static int refuse(const struct wire_decoder *decoder, const struct wire_place *place, int code,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
static int parse(const char *text, size_t bytes, json_t **ret_root, struct error *err);

static void cleanup_json(json_t **json)
{
    json_decref(*json);
}

void wire_encode(const struct wire_shape *shape, const void *message, struct strbuf *out)
{
    strbuf_printf(out, "{\"v\":%d,\"type\":\"%s\"", shape->version, shape->type);
    encode_fields(shape, message, false, out);
    strbuf_puts(out, "}");
}

int wire_decode(const struct wire_shape *shape, const char *text, size_t bytes, size_t bytes_max,
                struct arena *arena, void *ret_message, struct error *err)
{
    if (bytes_max == 0)
        bytes_max = LIMIT_WIRE_BYTES;
    if (bytes > bytes_max)
        return error_set(err, ERR_LIMIT, 0, "a message %s of %zu bytes: at most %zu are taken",
                         shape->type, bytes, bytes_max);
    if (bytes > 0 && (unsigned char)text[0] == WIRE_PACKED)
        return wire_unpack(shape, text, bytes, arena, ret_message, err);
    CLEANUP(cleanup_json) json_t *root = NULL;
    int rc = parse(text, bytes, &root, err);
    if (rc == 0)
        rc = check_head(shape, root, err);
    if (rc < 0)
        return rc;
    void *object = arena_alloc(arena, shape->size);
    if (object == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a message %s", shape->type);
    struct wire_decoder decoder = {.top = shape, .arena = arena, .err = err};
    rc = decode_struct(&decoder, NULL, shape, root, object);
    if (rc < 0)
        return rc;
    memcpy(ret_message, object, shape->size);
    return 0;
}

int wire_type_of(const char *text, size_t bytes, char *out, size_t capacity, struct error *err)
{
    if (bytes > LIMIT_WIRE_BYTES)
        return error_set(err, ERR_LIMIT, 0, "a message of %zu bytes: at most %d are taken", bytes,
                         LIMIT_WIRE_BYTES);
    if (bytes > 0 && (unsigned char)text[0] == WIRE_PACKED)
        return wire_packed_type(text, bytes, out, capacity, err);
    CLEANUP(cleanup_json) json_t *root = NULL;
    int rc = parse(text, bytes, &root, err);
    if (rc < 0)
        return rc;
    const char *type = json_string_value(json_object_get(root, "type"));
    if (type == NULL)
        return error_set(err, ERR_INVALID, 0, "the message has no \"type\"");
    if (strlen(type) >= capacity)
        return error_set(err, ERR_INVALID, 0, "the message's \"type\" is longer than any known");
    memcpy(out, type, strlen(type) + 1);
    return 0;
}

static int parse(const char *text, size_t bytes, json_t **ret_root, struct error *err)
{
    json_error_t problem;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &problem);
    if (root == NULL)
        return error_set(err, ERR_INVALID, 0, "not a JSON object at byte %d: %.200s",
                         problem.position, problem.text);
    if (!json_is_object(root)) {
        json_decref(root);
        return error_set(err, ERR_INVALID, 0, "not a JSON object: a message is one {...}");
    }
    *ret_root = root;
    return 0;
}

/* The type must be the expected one; the version at most ours, since a newer peer may mean
 * something else by the same fields. */
static int check_head(const struct wire_shape *shape, const json_t *root, struct error *err)
{
    const char *type = json_string_value(json_object_get(root, "type"));
    if (type == NULL)
        return error_set(err, ERR_INVALID, 0, "the message has no \"type\"; wanted %s",
                         shape->type);
    if (strcmp(type, shape->type) != 0)
        return error_set(err, ERR_INVALID, 0, "a message of type \"%.64s\" where %s is wanted",
                         type, shape->type);
    const json_t *version = json_object_get(root, "v");
    if (!json_is_integer(version) || json_integer_value(version) < 1)
        return error_set(err, ERR_INVALID, 0, "%s: \"v\" must be a version from 1 to %d",
                         shape->type, shape->version);
    if (json_integer_value(version) > shape->version)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "%s: version %" JSON_INTEGER_FORMAT " is newer than %d, which this "
                         "program knows; update it",
                         shape->type, json_integer_value(version), shape->version);
    return 0;
}

static void encode_fields(const struct wire_shape *shape, const void *object, bool first,
                          struct strbuf *out)
{
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct wire_field *field = &shape->fields[i];
        if ((field->flags & WIRE_OPTIONAL) != 0 && field_is_zero(field, object))
            continue;
        strbuf_printf(out, first ? "\"%s\":" : ",\"%s\":", field->name);
        first = false;
        encode_value(field, (const char *)object + field->offset, object, out);
    }
}

static void encode_array(const struct wire_field *field, const void *at, const void *object,
                         struct strbuf *out)
{
    const char *items;
    int count;
    memcpy(&items, at, sizeof(items));
    memcpy(&count, (const char *)object + field->count_offset, sizeof(count));
    BERTH_ASSERT(count >= 0 && count <= field->max, "%s has %d elements, at most %" PRId64,
                 field->name, count, field->max);
    strbuf_puts(out, "[");
    for (int i = 0; i < count; i++) {
        strbuf_puts(out, i == 0 ? "{" : ",{");
        encode_fields(field->shape, items + (size_t)i * field->size, true, out);
        strbuf_puts(out, "}");
    }
    strbuf_puts(out, "]");
}

static void encode_counts(const struct wire_field *field, const void *at, const void *object,
                          struct strbuf *out)
{
    const int64_t *items;
    int count;
    memcpy(&items, at, sizeof(items));
    memcpy(&count, (const char *)object + field->count_offset, sizeof(count));
    BERTH_ASSERT(count >= 0 && count <= field->max, "%s has %d elements, at most %" PRId64,
                 field->name, count, field->max);
    strbuf_puts(out, "[");
    for (int i = 0; i < count; i++) {
        BERTH_ASSERT(items[i] >= 0, "%s[%d] is %" PRId64 ", a count below 0", field->name, i,
                     items[i]);
        strbuf_printf(out, i == 0 ? "%" PRId64 : ",%" PRId64, items[i]);
    }
    strbuf_puts(out, "]");
}

static void encode_i64(const struct wire_field *field, int64_t value, struct strbuf *out)
{
    BERTH_ASSERT(value >= field->min && value <= field->max,
                 "%s is %" PRId64 ", must be %" PRId64 " to %" PRId64, field->name, value,
                 field->min, field->max);
    strbuf_printf(out, "%" PRId64, value);
}

static void encode_word(const struct wire_field *field, int value, struct strbuf *out)
{
    int count = 0;
    while (field->words[count] != NULL)
        count++;
    BERTH_ASSERT(value >= 0 && value < count, "%s is %d, of %d words", field->name, value, count);
    strbuf_printf(out, "\"%s\"", field->words[value]);
}

/* One value by its kind; members are read with memcpy since `at` is only bytes here. */
static void encode_value(const struct wire_field *field, const void *at, const void *object,
                         struct strbuf *out)
{
    switch (field->kind) {
    case WIRE_STR: {
        size_t bytes = strnlen(at, field->size);
        BERTH_ASSERT(bytes < field->size, "%s is not terminated", field->name);
        encode_text(at, bytes, out);
        return;
    }
    case WIRE_TEXT: {
        const char *text;
        memcpy(&text, at, sizeof(text));
        size_t bytes = text == NULL ? 0 : strlen(text);
        BERTH_ASSERT(bytes <= (size_t)field->max, "%s has %zu bytes, at most %" PRId64, field->name,
                     bytes, field->max);
        encode_text(text, bytes, out);
        return;
    }
    case WIRE_I64: {
        int64_t value;
        memcpy(&value, at, sizeof(value));
        encode_i64(field, value, out);
        return;
    }
    case WIRE_U64: {
        uint64_t value;
        memcpy(&value, at, sizeof(value));
        strbuf_printf(out, value <= INT64_MAX ? "%" PRIu64 : "\"%" PRIu64 "\"", value);
        return;
    }
    case WIRE_I32: {
        int value;
        memcpy(&value, at, sizeof(value));
        encode_i64(field, value, out);
        return;
    }
    case WIRE_BOOL:
        strbuf_puts(out, *(const bool *)at ? "true" : "false");
        return;
    case WIRE_ENUM: {
        int value;
        memcpy(&value, at, sizeof(value));
        encode_word(field, value, out);
        return;
    }
    case WIRE_NUSD: {
        nusd value;
        memcpy(&value, at, sizeof(value));
        encode_nusd(value, out);
        return;
    }
    case WIRE_STRUCT:
        strbuf_puts(out, "{");
        encode_fields(field->shape, at, true, out);
        strbuf_puts(out, "}");
        return;
    case WIRE_ARRAY:
        encode_array(field, at, object, out);
        return;
    case WIRE_COUNTS:
        encode_counts(field, at, object, out);
        return;
    }
    BERTH_ASSERT(false, "%s has kind %d", field->name, (int)field->kind);
}

static bool bytes_are_zero(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

static bool field_is_zero(const struct wire_field *field, const void *object)
{
    const char *at = (const char *)object + field->offset;
    switch (field->kind) {
    case WIRE_STR:
        return at[0] == 0;
    case WIRE_TEXT: {
        const char *text;
        memcpy(&text, at, sizeof(text));
        return text == NULL || text[0] == 0;
    }
    case WIRE_STRUCT:
        for (size_t i = 0; i < field->shape->field_count; i++)
            if (!field_is_zero(&field->shape->fields[i], at))
                return false;
        return true;
    case WIRE_ARRAY:
    case WIRE_COUNTS: {
        int count;
        memcpy(&count, (const char *)object + field->count_offset, sizeof(count));
        return count == 0;
    }
    case WIRE_I64:
    case WIRE_U64:
    case WIRE_I32:
    case WIRE_BOOL:
    case WIRE_ENUM:
    case WIRE_NUSD:
        break;
    }
    return bytes_are_zero(at, field->size);
}

static void encode_text(const char *text, size_t bytes, struct strbuf *out)
{
    strbuf_puts(out, "\"");
    size_t plain = 0; /* start of the run not yet written */
    for (size_t i = 0; i < bytes;) {
        const unsigned char *at = (const unsigned char *)text + i;
        size_t length = utf8_sequence(at, bytes - i);
        if (length > 0 && *at >= 0x20 && *at != '"' && *at != '\\') {
            i += length;
            continue;
        }
        strbuf_append(out, text + plain, i - plain);
        if (length == 0)
            strbuf_puts(out, "?");
        else if (*at == '"' || *at == '\\')
            strbuf_printf(out, "\\%c", *at);
        else if (*at == '\n')
            strbuf_puts(out, "\\n");
        else
            strbuf_printf(out, "\\u%04x", *at);
        i++;
        plain = i;
    }
    if (plain < bytes)
        strbuf_append(out, text + plain, bytes - plain);
    strbuf_puts(out, "\"");
}

/* The length of the UTF-8 character at text, 0 when there is none: overlong forms, surrogates and
 * what lies past U+10FFFF are none. */
static size_t utf8_sequence(const unsigned char *text, size_t bytes)
{
    if (text[0] < 0x80)
        return 1;
    size_t length = text[0] >= 0xf0 ? 4 : text[0] >= 0xe0 ? 3 : 2;
    if (text[0] < 0xc2 || text[0] > 0xf4 || length > bytes)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if (text[0] == 0xe0 && text[1] < 0xa0)
        return 0;
    if (text[0] == 0xed && text[1] > 0x9f)
        return 0;
    if (text[0] == 0xf0 && text[1] < 0x90)
        return 0;
    if (text[0] == 0xf4 && text[1] > 0x8f)
        return 0;
    return length;
}

static void encode_nusd(nusd value, struct strbuf *out)
{
    char digits[48];
    size_t at = sizeof(digits);
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    digits[--at] = 0;
    do {
        digits[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
    } while (rest > 0);
    if (value < 0)
        digits[--at] = '-';
    strbuf_printf(out, "\"%s\"", digits + at);
}

static int decode_struct(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_shape *shape, const json_t *json, void *object)
{
    if (!json_is_object(json))
        return refuse(decoder, place, ERR_INVALID, "must be an object");
    for (size_t i = 0; i < shape->field_count; i++) {
        const struct wire_field *field = &shape->fields[i];
        struct wire_place here = {.up = place, .name = field->name, .index = -1};
        const json_t *value = json_object_get(json, field->name);
        int rc = 0;
        if (value != NULL)
            rc = decode_field(decoder, &here, field, value, object);
        else if ((field->flags & WIRE_OPTIONAL) == 0)
            rc = refuse(decoder, &here, ERR_INVALID, "is missing");
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int decode_field(struct wire_decoder *decoder, const struct wire_place *place,
                        const struct wire_field *field, const json_t *json, void *object)
{
    void *at = (char *)object + field->offset;
    switch (field->kind) {
    case WIRE_STR:
    case WIRE_TEXT:
        return decode_text(decoder, place, field, json, at);
    case WIRE_I64:
    case WIRE_I32:
        return decode_number(decoder, place, field, json, at);
    case WIRE_U64:
        return decode_u64(decoder, place, json, at);
    case WIRE_BOOL:
        if (!json_is_boolean(json))
            return refuse(decoder, place, ERR_INVALID, "must be true or false");
        *(bool *)at = json_is_true(json);
        return 0;
    case WIRE_ENUM:
        return decode_enum(decoder, place, field, json, at);
    case WIRE_NUSD:
        return decode_nusd(decoder, place, json, at);
    case WIRE_STRUCT:
        return decode_struct(decoder, place, field->shape, json, at);
    case WIRE_ARRAY:
        return decode_array(decoder, place, field, json, object);
    case WIRE_COUNTS:
        return decode_counts(decoder, place, field, json, object);
    }
    BERTH_ASSERT(false, "%s has kind %d", field->name, (int)field->kind);
    return ERR_UNSUPPORTED;
}

static int decode_text(struct wire_decoder *decoder, const struct wire_place *place,
                       const struct wire_field *field, const json_t *json, void *at)
{
    if (!json_is_string(json))
        return refuse(decoder, place, ERR_INVALID, "must be a string");
    const char *text = json_string_value(json);
    size_t bytes = json_string_length(json);
    size_t bytes_max = field->kind == WIRE_STR ? field->size - 1 : (size_t)field->max;
    if (bytes > bytes_max)
        return refuse(decoder, place, ERR_LIMIT, "has %zu bytes, at most %zu are taken", bytes,
                      bytes_max);
    if (field->kind == WIRE_STR) {
        memcpy(at, text, bytes + 1);
        return 0;
    }
    const char *copy = arena_strndup(decoder->arena, text, bytes);
    if (copy == NULL)
        return refuse(decoder, place, ERR_NO_MEMORY, "no memory for %zu bytes", bytes);
    memcpy(at, &copy, sizeof(copy));
    return 0;
}

static int decode_number(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_field *field, const json_t *json, void *at)
{
    if (!json_is_integer(json))
        return refuse(decoder, place, ERR_INVALID, "must be an integer");
    int64_t value = json_integer_value(json);
    if (value < field->min || value > field->max)
        return refuse(decoder, place, ERR_INVALID,
                      "is %" PRId64 ", must be %" PRId64 " to %" PRId64, value, field->min,
                      field->max);
    if (field->kind == WIRE_I64) {
        memcpy(at, &value, sizeof(value));
        return 0;
    }
    if (value < INT32_MIN || value > INT32_MAX)
        return refuse(decoder, place, ERR_OVERFLOW, "is %" PRId64 ", past 32 bits", value);
    int narrow = (int)value;
    memcpy(at, &narrow, sizeof(narrow));
    return 0;
}

static int decode_u64(struct wire_decoder *decoder, const struct wire_place *place,
                      const json_t *json, void *at)
{
    uint64_t value = 0;
    if (json_is_integer(json)) {
        if (json_integer_value(json) < 0)
            return refuse(decoder, place, ERR_INVALID,
                          "is %" JSON_INTEGER_FORMAT ", must be 0 or more",
                          json_integer_value(json));
        value = (uint64_t)json_integer_value(json);
    } else if (!json_is_string(json) || str_to_u64(json_string_value(json), &value) < 0) {
        return refuse(decoder, place, ERR_INVALID,
                      "must be an integer of 0 or more (past 2^63 - 1 as a string)");
    }
    memcpy(at, &value, sizeof(value));
    return 0;
}

static int decode_enum(struct wire_decoder *decoder, const struct wire_place *place,
                       const struct wire_field *field, const json_t *json, void *at)
{
    const char *word = json_string_value(json);
    if (word == NULL)
        return refuse(decoder, place, ERR_INVALID, "must be a string");
    for (int i = 0; field->words[i] != NULL; i++)
        if (strcmp(word, field->words[i]) == 0) {
            memcpy(at, &i, sizeof(i));
            return 0;
        }
    return refuse(decoder, place, ERR_INVALID, "is \"%.64s\", a word that is not known", word);
}

static int decode_nusd(struct wire_decoder *decoder, const struct wire_place *place,
                       const json_t *json, void *at)
{
    const char *text = json_string_value(json);
    if (text == NULL)
        return refuse(decoder, place, ERR_INVALID, "must be a string of nano-dollars");
    bool negative = text[0] == '-';
    const char *digit = text + (negative ? 1 : 0);
    nusd value = 0;
    bool fits = true;
    if (*digit == 0)
        return refuse(decoder, place, ERR_INVALID, "is empty, must be a number of nano-dollars");
    for (; *digit >= '0' && *digit <= '9'; digit++) {
        nusd step = negative ? -(*digit - '0') : *digit - '0';
        fits = fits && !__builtin_mul_overflow(value, (nusd)10, &value) &&
               !__builtin_add_overflow(value, step, &value);
    }
    if (*digit != 0)
        return refuse(decoder, place, ERR_INVALID, "is \"%.64s\", not a whole number", text);
    if (!fits)
        return refuse(decoder, place, ERR_OVERFLOW, "is \"%.64s\", past 127 bits", text);
    memcpy(at, &value, sizeof(value));
    return 0;
}

static int decode_array(struct wire_decoder *decoder, const struct wire_place *place,
                        const struct wire_field *field, const json_t *json, void *object)
{
    if (!json_is_array(json))
        return refuse(decoder, place, ERR_INVALID, "must be a list");
    size_t count = json_array_size(json);
    if (count > (size_t)field->max)
        return refuse(decoder, place, ERR_LIMIT, "has %zu elements, at most %" PRId64 " are taken",
                      count, field->max);
    if (count == 0)
        return 0;
    char *items = arena_array(decoder->arena, count, field->size);
    if (items == NULL)
        return refuse(decoder, place, ERR_NO_MEMORY, "no memory for %zu elements", count);
    for (size_t i = 0; i < count; i++) {
        struct wire_place here = {.up = place, .name = NULL, .index = (int)i};
        int rc = decode_struct(decoder, &here, field->shape, json_array_get(json, i),
                               items + i * field->size);
        if (rc < 0)
            return rc;
    }
    int counted = (int)count;
    memcpy((char *)object + field->offset, &items, sizeof(items));
    memcpy((char *)object + field->count_offset, &counted, sizeof(counted));
    return 0;
}

static int decode_counts(struct wire_decoder *decoder, const struct wire_place *place,
                         const struct wire_field *field, const json_t *json, void *object)
{
    if (!json_is_array(json))
        return refuse(decoder, place, ERR_INVALID, "must be a list");
    size_t count = json_array_size(json);
    if (count > (size_t)field->max)
        return refuse(decoder, place, ERR_LIMIT, "has %zu elements, at most %" PRId64 " are taken",
                      count, field->max);
    if (count == 0)
        return 0;
    int64_t *items = arena_array(decoder->arena, count, sizeof(*items));
    if (items == NULL)
        return refuse(decoder, place, ERR_NO_MEMORY, "no memory for %zu elements", count);
    for (size_t i = 0; i < count; i++) {
        struct wire_place here = {.up = place, .name = NULL, .index = (int)i};
        const json_t *item = json_array_get(json, i);
        if (!json_is_integer(item) || json_integer_value(item) < 0)
            return refuse(decoder, &here, ERR_INVALID, "must be an integer from 0");
        items[i] = json_integer_value(item);
    }
    int counted = (int)count;
    memcpy((char *)object + field->offset, &items, sizeof(items));
    memcpy((char *)object + field->count_offset, &counted, sizeof(counted));
    return 0;
}

/* Writes "instances[2].state" into the end of `out` and returns where it starts. */
static const char *place_text(const struct wire_place *place, char out[PLACE_TEXT_BYTES])
{
    size_t at = PLACE_TEXT_BYTES - 1;
    out[at] = 0;
    for (; place != NULL; place = place->up) {
        char part[96];
        bool dotted = place->name != NULL && place->up != NULL;
        if (place->name != NULL)
            str_format(part, sizeof(part), "%s%.64s", dotted ? "." : "", place->name);
        else
            str_format(part, sizeof(part), "[%d]", place->index);
        size_t bytes = strlen(part);
        if (bytes > at)
            break;
        at -= bytes;
        memcpy(out + at, part, bytes);
    }
    return out + at;
}

static int refuse(const struct wire_decoder *decoder, const struct wire_place *place, int code,
                  const char *format, ...)
{
    char sentence[256];
    char where[PLACE_TEXT_BYTES];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, args); /* a cut sentence still says it */
    va_end(args);
    return error_set(decoder->err, code, 0, "%s: %s %s", decoder->top->type,
                     place_text(place, where), sentence);
}
