#include "executors/contract/berth_fence.h"

/* Copied into programs of others as it is: libc only, nothing of this project's base. */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* What is read of a JSON text; `at` never passes `end`. */
struct cursor {
    const char *at;
    const char *end;
};

#define VALUE_DEPTH_MAX 16

static bool read_number(struct cursor *cursor, uint64_t *ret_value);
static bool read_member(struct cursor *cursor, struct berth_epoch *epoch, unsigned *seen);
static bool read_name(struct cursor *cursor, const char **ret_name, size_t *ret_bytes);
static bool skip_value(struct cursor *cursor);
static void skip_blanks(struct cursor *cursor);
static bool take(struct cursor *cursor, char wanted);

int berth_epoch_compare(struct berth_epoch a, struct berth_epoch b)
{
    if (a.term != b.term)
        return a.term < b.term ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

int berth_epoch_parse(const char *text, struct berth_epoch *ret_epoch)
{
    struct cursor cursor = {.at = text, .end = text + strlen(text)};
    struct berth_epoch epoch;
    if (!read_number(&cursor, &epoch.term) || !take(&cursor, '.') ||
        !read_number(&cursor, &epoch.n) || cursor.at != cursor.end) {
        errno = EINVAL;
        return -1;
    }
    *ret_epoch = epoch;
    return 0;
}

const char *berth_epoch_format(struct berth_epoch epoch, char out[BERTH_EPOCH_BYTES])
{
    (void)snprintf(out, BERTH_EPOCH_BYTES, "%" PRIu64 ".%" PRIu64, epoch.term, epoch.n);
    return out;
}

int berth_epoch_parse_value(const char *value, size_t bytes, struct berth_epoch *ret_epoch)
{
    struct cursor cursor = {.at = value, .end = value + bytes};
    struct berth_epoch epoch = {0, 0};
    unsigned seen = 0; /* 1: term, 2: n */
    skip_blanks(&cursor);
    bool good = take(&cursor, '{');
    skip_blanks(&cursor);
    bool more = good && !take(&cursor, '}');
    while (good && more) {
        good = read_member(&cursor, &epoch, &seen);
        skip_blanks(&cursor);
        more = good && take(&cursor, ',');
        if (good && !more)
            good = take(&cursor, '}');
        skip_blanks(&cursor);
    }
    skip_blanks(&cursor);
    if (!good || seen != 3 || cursor.at != cursor.end) {
        errno = EINVAL;
        return -1;
    }
    *ret_epoch = epoch;
    return 0;
}

int berth_fence_key(const char *ns, const char *app, const char *workload, int replica, char *out,
                    size_t capacity)
{
    int bytes = snprintf(out, capacity, "%s.%s.%s.%d", ns, app, workload, replica);
    if (bytes >= 0 && (size_t)bytes < capacity)
        return 0;
    errno = EMSGSIZE;
    return -1;
}

enum berth_fence_verdict berth_fence_admit(struct berth_fence *fence, struct berth_epoch epoch)
{
    int order = berth_epoch_compare(epoch, fence->highest);
    if (order < 0 || (epoch.term == 0 && epoch.n == 0))
        return BERTH_FENCE_REFUSED;
    if (order == 0)
        return BERTH_FENCE_ADMITTED;
    fence->highest = epoch;
    return BERTH_FENCE_RAISED;
}

/* ---- reading ---- */

static bool read_number(struct cursor *cursor, uint64_t *ret_value)
{
    uint64_t value = 0;
    const char *begin = cursor->at;
    while (cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9') {
        uint64_t digit = (uint64_t)(*cursor->at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
        cursor->at++;
    }
    if (cursor->at == begin || (*begin == '0' && cursor->at != begin + 1))
        return false; /* one way to write a number: no leading zero */
    *ret_value = value;
    return true;
}

/* A member that is there twice is refused: two readers could take a different one. */
static bool read_member(struct cursor *cursor, struct berth_epoch *epoch, unsigned *seen)
{
    const char *name;
    size_t bytes;
    skip_blanks(cursor);
    if (!read_name(cursor, &name, &bytes))
        return false;
    skip_blanks(cursor);
    if (!take(cursor, ':'))
        return false;
    skip_blanks(cursor);
    unsigned which = bytes == 4 && memcmp(name, "term", 4) == 0 ? 1u
                     : bytes == 1 && *name == 'n'               ? 2u
                                                                : 0u;
    if (which == 0)
        return skip_value(cursor);
    if ((*seen & which) != 0)
        return false;
    *seen |= which;
    return read_number(cursor, which == 1 ? &epoch->term : &epoch->n);
}

/* A string, without taking its escapes apart. */
static bool read_name(struct cursor *cursor, const char **ret_name, size_t *ret_bytes)
{
    if (!take(cursor, '"'))
        return false;
    *ret_name = cursor->at;
    while (cursor->at < cursor->end && *cursor->at != '"') {
        if (*cursor->at == '\\' && cursor->at + 1 < cursor->end)
            cursor->at++;
        cursor->at++;
    }
    *ret_bytes = (size_t)(cursor->at - *ret_name);
    return take(cursor, '"');
}

/* Anything: a string, a word or a number, or brackets with more of these in them. */
static bool skip_value(struct cursor *cursor)
{
    const char *text;
    size_t bytes;
    int depth = 0;
    do {
        skip_blanks(cursor);
        if (cursor->at == cursor->end)
            return false;
        char c = *cursor->at;
        if (c == '"') {
            if (!read_name(cursor, &text, &bytes))
                return false;
        } else if (c == '{' || c == '[') {
            if (++depth > VALUE_DEPTH_MAX)
                return false;
            cursor->at++;
        } else if (c == '}' || c == ']') {
            if (--depth < 0)
                return false;
            cursor->at++;
        } else if (depth > 0 && (c == ',' || c == ':')) {
            cursor->at++;
        } else {
            const char *begin = cursor->at;
            while (cursor->at < cursor->end && strchr(",:{}[]\" \t\r\n", *cursor->at) == NULL)
                cursor->at++;
            if (cursor->at == begin)
                return false;
        }
    } while (depth > 0);
    return true;
}

static void skip_blanks(struct cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t' ||
                                        *cursor->at == '\r' || *cursor->at == '\n'))
        cursor->at++;
}

static bool take(struct cursor *cursor, char wanted)
{
    if (cursor->at == cursor->end || *cursor->at != wanted)
        return false;
    cursor->at++;
    return true;
}
