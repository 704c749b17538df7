#include "model/feeds/json_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/str.h"

enum place {
    VALUE,          /* a value must come */
    VALUE_OR_CLOSE, /* or the list ends: it is empty so far */
    KEY,            /* a key must come */
    KEY_OR_CLOSE,   /* or the object ends */
    COLON,
    COMMA, /* after a value inside something */
    STRING,
    ESCAPE,
    UNICODE,
    NUMBER,
    WORD,
    DONE,
};

struct level {
    bool map;
    int64_t place; /* in a list */
    char key[LIMIT_FEED_KEY_BYTES];
};

struct json_scan {
    json_sink *sink;
    void *context;
    enum place place;
    bool is_key; /* the string is one */
    int depth;
    int64_t line;
    uint32_t unicode;
    int unicode_digits;
    uint32_t high; /* the first half of a pair; 0: none */
    size_t bytes;
    struct level levels[LIMIT_DOC_DEPTH];
    char text[LIMIT_FEED_TEXT_BYTES];
};

static int take(struct json_scan *scan, char byte, struct error *err);
static int begin_value(struct json_scan *scan, char byte, struct error *err);
static int open_level(struct json_scan *scan, bool map, struct error *err);
static int close_level(struct json_scan *scan, char byte, struct error *err);
static int after_value(struct json_scan *scan, char byte, struct error *err);
static int in_string(struct json_scan *scan, char byte, struct error *err);
static int end_string(struct json_scan *scan, struct error *err);
static int escape(struct json_scan *scan, char byte, struct error *err);
static int unicode(struct json_scan *scan, char byte, struct error *err);
static int in_bare(struct json_scan *scan, char byte, struct error *err);
static int end_bare(struct json_scan *scan, struct error *err);
static int emit(struct json_scan *scan, enum json_event event, struct error *err);
static int add(struct json_scan *scan, const char *text, size_t bytes, struct error *err);
static int wrong(const struct json_scan *scan, const char *wanted, struct error *err);
static bool is_number(const char *text);
static bool is_blank(char byte);

int json_scan_create(json_sink *sink, void *context, struct json_scan **ret_scan, struct error *err)
{
    struct json_scan *scan = calloc(1, sizeof(*scan));
    if (scan == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read JSON");
    scan->sink = sink;
    scan->context = context;
    scan->line = 1;
    *ret_scan = scan;
    return 0;
}

void json_scan_destroy(struct json_scan *scan)
{
    free(scan);
}

int json_scan_feed(struct json_scan *scan, const char *text, size_t bytes, struct error *err)
{
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes;) {
        if (scan->place == STRING && scan->high == 0) {
            size_t run = at;
            while (run < bytes && text[run] != '"' && text[run] != '\\' &&
                   (unsigned char)text[run] >= ' ')
                run++;
            if (run > at) {
                rc = add(scan, text + at, run - at, err);
                at = run;
                continue;
            }
        }
        rc = take(scan, text[at++], err);
    }
    return rc;
}

int json_scan_end(struct json_scan *scan, struct error *err)
{
    int rc = 0;
    if ((scan->place == NUMBER || scan->place == WORD) && scan->depth == 0)
        rc = end_bare(scan, err);
    if (rc == 0 && scan->place != DONE)
        return error_set(err, ERR_INVALID, 0,
                         "line %" PRId64 ": the JSON ends early, %d levels deep: it was cut, fetch "
                         "it again",
                         scan->line, scan->depth);
    return rc;
}

int json_depth(const struct json_scan *scan)
{
    return scan->depth;
}

const char *json_key(const struct json_scan *scan, int level)
{
    return level < scan->depth && scan->levels[level].map ? scan->levels[level].key : "";
}

int64_t json_place(const struct json_scan *scan, int level)
{
    return level < scan->depth && !scan->levels[level].map ? scan->levels[level].place : -1;
}

bool json_key_is(const struct json_scan *scan, int level, const char *key)
{
    return level < scan->depth && scan->levels[level].map &&
           str_equal(scan->levels[level].key, key);
}

static int take(struct json_scan *scan, char byte, struct error *err)
{
    if (byte == '\n')
        scan->line++;
    switch (scan->place) {
    case STRING:
        return in_string(scan, byte, err);
    case ESCAPE:
        return escape(scan, byte, err);
    case UNICODE:
        return unicode(scan, byte, err);
    case NUMBER:
    case WORD:
        return in_bare(scan, byte, err);
    default:
        break;
    }
    if (is_blank(byte))
        return 0;
    bool closes = byte == '}' || byte == ']';
    switch (scan->place) {
    case VALUE_OR_CLOSE:
        return closes ? close_level(scan, byte, err) : begin_value(scan, byte, err);
    case VALUE:
        return begin_value(scan, byte, err);
    case KEY_OR_CLOSE:
    case KEY:
        if (closes && scan->place == KEY_OR_CLOSE)
            return close_level(scan, byte, err);
        if (byte != '"')
            return wrong(scan, "a key in quotes", err);
        scan->place = STRING;
        scan->is_key = true;
        scan->bytes = 0;
        return 0;
    case COLON:
        scan->place = VALUE;
        return byte == ':' ? 0 : wrong(scan, "a colon", err);
    case COMMA:
        return after_value(scan, byte, err);
    default:
        return wrong(scan, "nothing more", err);
    }
}

static int begin_value(struct json_scan *scan, char byte, struct error *err)
{
    scan->bytes = 0;
    scan->text[0] = 0;
    if (byte == '{' || byte == '[')
        return open_level(scan, byte == '{', err);
    if (byte == '"') {
        scan->place = STRING;
        scan->is_key = false;
        return 0;
    }
    if (byte == '-' || (byte >= '0' && byte <= '9'))
        scan->place = NUMBER;
    else if (byte >= 'a' && byte <= 'z')
        scan->place = WORD;
    else
        return wrong(scan, "a value", err);
    return add(scan, &byte, 1, err);
}

static int open_level(struct json_scan *scan, bool map, struct error *err)
{
    int rc = emit(scan, map ? JSON_OPEN_MAP : JSON_OPEN_LIST, err);
    if (rc < 0)
        return rc;
    if (scan->depth == LIMIT_DOC_DEPTH)
        return error_set(err, ERR_LIMIT, 0,
                         "line %" PRId64 ": more than %d levels (LIMIT_DOC_DEPTH)", scan->line,
                         LIMIT_DOC_DEPTH);
    struct level *level = &scan->levels[scan->depth++];
    level->map = map;
    level->place = 0;
    level->key[0] = 0;
    scan->place = map ? KEY_OR_CLOSE : VALUE_OR_CLOSE;
    return 0;
}

static int close_level(struct json_scan *scan, char byte, struct error *err)
{
    if (scan->depth == 0 || scan->levels[scan->depth - 1].map != (byte == '}'))
        return wrong(scan, byte == '}' ? "a list's end" : "an object's end", err);
    scan->depth--;
    scan->bytes = 0;
    scan->place = scan->depth == 0 ? DONE : COMMA;
    return emit(scan, JSON_CLOSE, err);
}

static int after_value(struct json_scan *scan, char byte, struct error *err)
{
    struct level *level = &scan->levels[scan->depth - 1];
    if (byte == '}' || byte == ']')
        return close_level(scan, byte, err);
    if (byte != ',')
        return wrong(scan, "a comma", err);
    level->place++;
    scan->place = level->map ? KEY : VALUE;
    return 0;
}

static int in_string(struct json_scan *scan, char byte, struct error *err)
{
    if (scan->high != 0 && byte != '\\')
        return wrong(scan, "the second half of a pair of \\u", err);
    if (byte == '\\') {
        scan->place = ESCAPE;
        return 0;
    }
    if (byte == '"')
        return end_string(scan, err);
    return wrong(scan, "an escaped control character", err);
}

static int end_string(struct json_scan *scan, struct error *err)
{
    if (!scan->is_key) {
        int rc = emit(scan, JSON_TEXT, err);
        scan->place = scan->depth == 0 ? DONE : COMMA;
        return rc;
    }
    struct level *level = &scan->levels[scan->depth - 1];
    if (scan->bytes >= sizeof(level->key))
        return error_set(err, ERR_LIMIT, 0,
                         "line %" PRId64 ": a key of %zu bytes; at most %d (LIMIT_FEED_KEY_BYTES)",
                         scan->line, scan->bytes, LIMIT_FEED_KEY_BYTES - 1);
    memcpy(level->key, scan->text, scan->bytes);
    level->key[scan->bytes] = 0;
    scan->place = COLON;
    return 0;
}

static int escape(struct json_scan *scan, char byte, struct error *err)
{
    static const char names[] = "\"\\/bfnrt";
    static const char values[] = "\"\\/\b\f\n\r\t";
    if (byte == 'u') {
        scan->place = UNICODE;
        scan->unicode = 0;
        scan->unicode_digits = 0;
        return 0;
    }
    const char *found = byte == 0 ? NULL : strchr(names, byte);
    if (found == NULL || scan->high != 0)
        return wrong(scan, "an escape", err);
    scan->place = STRING;
    return add(scan, &values[found - names], 1, err);
}

static int unicode(struct json_scan *scan, char byte, struct error *err)
{
    uint32_t digit = byte >= '0' && byte <= '9'   ? (uint32_t)(byte - '0')
                     : byte >= 'a' && byte <= 'f' ? (uint32_t)(byte - 'a') + 10
                     : byte >= 'A' && byte <= 'F' ? (uint32_t)(byte - 'A') + 10
                                                  : 16;
    if (digit == 16)
        return wrong(scan, "four hex digits after \\u", err);
    scan->unicode = scan->unicode * 16 + digit;
    if (++scan->unicode_digits < 4)
        return 0;
    scan->place = STRING;
    uint32_t code = scan->unicode;
    bool second = code >= 0xdc00 && code <= 0xdfff;
    if (second != (scan->high != 0) || code == 0)
        return wrong(scan, "a character", err);
    if (code >= 0xd800 && code <= 0xdbff) {
        scan->high = code;
        return 0;
    }
    if (second)
        code = 0x10000 + ((scan->high - 0xd800) << 10) + (code - 0xdc00);
    scan->high = 0;
    char text[4];
    size_t bytes = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint32_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = bytes; i-- > 1; code >>= 6)
        text[i] = (char)(0x80 | (code & 0x3f));
    text[0] = (char)(leads[bytes] | code);
    return add(scan, text, bytes, err);
}

static int in_bare(struct json_scan *scan, char byte, struct error *err)
{
    bool more = scan->place == WORD ? byte >= 'a' && byte <= 'z'
                                    : (byte >= '0' && byte <= '9') || byte == '.' || byte == 'e' ||
                                          byte == 'E' || byte == '+' || byte == '-';
    if (more)
        return add(scan, &byte, 1, err);
    if (byte == '\n')
        scan->line--; /* it is taken again */
    int rc = end_bare(scan, err);
    return rc < 0 ? rc : take(scan, byte, err);
}

static int end_bare(struct json_scan *scan, struct error *err)
{
    bool word = scan->place == WORD;
    const char *text = scan->text;
    if (word ? !str_equal(text, "true") && !str_equal(text, "false") && !str_equal(text, "null")
             : !is_number(text))
        return wrong(scan, word ? "true, false or null" : "a number", err);
    int rc = emit(scan, word ? JSON_WORD : JSON_NUMBER, err);
    scan->place = scan->depth == 0 ? DONE : COMMA;
    return rc;
}

static int emit(struct json_scan *scan, enum json_event event, struct error *err)
{
    scan->text[scan->bytes] = 0;
    return scan->sink(scan->context, scan, event, scan->text, err);
}

static int add(struct json_scan *scan, const char *text, size_t bytes, struct error *err)
{
    if (bytes >= sizeof(scan->text) - scan->bytes)
        return error_set(err, ERR_LIMIT, 0,
                         "line %" PRId64 ": a string of more than %d bytes (LIMIT_FEED_TEXT_BYTES)",
                         scan->line, LIMIT_FEED_TEXT_BYTES - 1);
    memcpy(scan->text + scan->bytes, text, bytes);
    scan->bytes += bytes;
    scan->text[scan->bytes] = 0;
    return 0;
}

static int wrong(const struct json_scan *scan, const char *wanted, struct error *err)
{
    return error_set(err, ERR_INVALID, 0, "line %" PRId64 ": this is no JSON: %s was expected",
                     scan->line, wanted);
}

/* As JSON writes numbers: no leading zeros, digits on both sides of the point. */
static bool is_number(const char *text)
{
    const char *at = text + (text[0] == '-' ? 1 : 0);
    size_t digits = strspn(at, "0123456789");
    if (digits == 0 || (digits > 1 && at[0] == '0'))
        return false;
    at += digits;
    if (*at == '.') {
        digits = strspn(++at, "0123456789");
        if (digits == 0)
            return false;
        at += digits;
    }
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-' ? 1 : 0;
        digits = strspn(at, "0123456789");
        if (digits == 0)
            return false;
        at += digits;
    }
    return *at == 0;
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}
