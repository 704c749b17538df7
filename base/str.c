#include "base/str.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_PRIME   UINT64_C(0x100000001b3)
#define HASH_PRIME_2 (HASH_PRIME * HASH_PRIME)
#define HASH_PRIME_4 (HASH_PRIME_2 * HASH_PRIME_2)

static bool strbuf_reserve(struct strbuf *buf, size_t more);
static size_t edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
static uint64_t hash_mix(uint64_t hash);

void strbuf_init(struct strbuf *buf, size_t bytes_max)
{
    *buf = (struct strbuf){.bytes_max = bytes_max};
}

void strbuf_done(struct strbuf *buf)
{
    if (buf == NULL) {
        return;
    }
    free(buf->text);
    *buf = (struct strbuf){.bytes_max = buf->bytes_max};
}

void strbuf_reset(struct strbuf *buf)
{
    buf->bytes = 0;
    buf->broken = false;
    buf->no_memory = false;
    if (buf->text != NULL) {
        buf->text[0] = '\0';
    }
}

void strbuf_append(struct strbuf *buf, const char *text, size_t bytes)
{
    char *room = bytes == 0 ? NULL : strbuf_extend(buf, bytes);
    if (room != NULL) {
        memcpy(room, text, bytes);
    }
}

char *strbuf_extend(struct strbuf *buf, size_t bytes)
{
    if (!strbuf_reserve(buf, bytes)) {
        return NULL;
    }
    char *room = buf->text + buf->bytes;
    buf->bytes += bytes;
    buf->text[buf->bytes] = '\0';
    return room;
}

void strbuf_puts(struct strbuf *buf, const char *text)
{
    strbuf_append(buf, text, strlen(text));
}

void strbuf_printf(struct strbuf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    BERTH_ASSERT(bytes >= 0, "a format that vsnprintf refuses");
    if (bytes == 0 || !strbuf_reserve(buf, (size_t)bytes)) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(buf->text + buf->bytes, (size_t)bytes + 1, format, args);
    va_end(args);
    buf->bytes += (size_t)bytes;
}

int strbuf_error(const struct strbuf *buf, struct error *err)
{
    if (!buf->broken) {
        return 0;
    }
    if (buf->no_memory) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a text of more than %zu bytes",
                         buf->capacity);
    }
    return error_set(err, ERR_LIMIT, 0, "a text exceeds its limit of %zu bytes", buf->bytes_max);
}

const char *strbuf_text(const struct strbuf *buf)
{
    return buf->text == NULL ? "" : buf->text;
}

int str_copy(char *out, size_t capacity, const char *text)
{
    BERTH_ASSERT(capacity > 0);
    size_t bytes = strlen(text);
    if (bytes >= capacity) {
        out[0] = '\0';
        return ERR_LIMIT;
    }
    memcpy(out, text, bytes + 1);
    return 0;
}

void str_format(char *out, size_t capacity, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(out, capacity, format, args);
    va_end(args);
    BERTH_ASSERT(bytes >= 0 && (size_t)bytes < capacity, "%d bytes do not fit into %zu: \"%s\"",
                 bytes, capacity, format);
}

bool str_equal(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

bool str_starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

size_t str_utf8_bytes(const char *text, size_t left)
{
    unsigned char first = (unsigned char)text[0];
    if (first < 0x80) {
        return 1;
    }
    size_t count = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || count > left) {
        return 0;
    }
    for (size_t i = 1; i < count; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    unsigned char second = (unsigned char)text[1];
    bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    bool surrogate = first == 0xed && second >= 0xa0;
    bool past_the_end = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || past_the_end ? 0 : count;
}

bool name_is_valid(const char *name)
{
    size_t bytes = 0;
    for (; name[bytes] != '\0'; bytes++) {
        char c = name[bytes];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (bytes >= 63 || (!alnum && c != '-')) {
            return false;
        }
    }
    return bytes > 0 && name[0] != '-' && name[bytes - 1] != '-';
}

/* Longer words are never offered as a guess: nobody mistypes 64 bytes by a letter. */
#define NEAREST_BYTES 64

const char *str_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t word_bytes = strlen(word);
    if (word_bytes > NEAREST_BYTES) {
        return NULL;
    }
    const char *best = NULL;
    size_t best_distance = word_bytes / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t bytes = candidates[i] == NULL ? 0 : strlen(candidates[i]);
        if (bytes == 0 || bytes > NEAREST_BYTES) {
            continue;
        }
        size_t distance = edit_distance(word, word_bytes, candidates[i], bytes);
        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}

int str_to_i64(const char *text, int64_t *ret_value)
{
    bool negative = text[0] == '-';
    uint64_t magnitude;
    int rc = str_to_u64(text + (negative ? 1 : 0), &magnitude);
    if (rc < 0) {
        return rc;
    }
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0)) {
        return ERR_OVERFLOW;
    }
    *ret_value = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return 0;
}

int str_to_u64(const char *text, uint64_t *ret_value)
{
    if (text[0] == '\0') {
        return ERR_INVALID;
    }
    uint64_t value = 0;
    bool overflow = false;
    for (const char *c = text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9') {
            return ERR_INVALID;
        }
        uint64_t digit = (uint64_t)(*c - '0');
        overflow = overflow || __builtin_mul_overflow(value, UINT64_C(10), &value) ||
                   __builtin_add_overflow(value, digit, &value);
    }
    if (overflow) {
        return ERR_OVERFLOW;
    }
    *ret_value = value;
    return 0;
}

uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count)
{
    const unsigned char *byte = bytes;
    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ byte[i]) * HASH_PRIME;
    }
    return hash_mix(hash);
}

uint64_t hash_str(uint64_t hash, const char *text)
{
    return hash_bytes(hash, text, strlen(text) + 1);
}

uint64_t hash_u64(uint64_t hash, uint64_t value)
{
    /* The bytes of a small number are nearly all 0: they come in as one multiplication. */
    static const uint64_t powers[] = {1,
                                      HASH_PRIME,
                                      HASH_PRIME_2,
                                      HASH_PRIME_2 * HASH_PRIME,
                                      HASH_PRIME_4,
                                      HASH_PRIME_4 * HASH_PRIME,
                                      HASH_PRIME_4 * HASH_PRIME_2,
                                      HASH_PRIME_4 * HASH_PRIME_2 * HASH_PRIME,
                                      HASH_PRIME_4 * HASH_PRIME_4};
    int zeros = 8;
    for (; value != 0; value >>= 8, zeros--) {
        hash = (hash ^ (value & 0xff)) * HASH_PRIME;
    }
    return hash_mix(hash * powers[zeros]);
}

/* Room for `more` bytes and the terminator; else breaks the buffer. */
static bool strbuf_reserve(struct strbuf *buf, size_t more)
{
    if (buf->broken) {
        return false;
    }
    if (more > buf->bytes_max || buf->bytes > buf->bytes_max - more) {
        buf->broken = true;
        return false;
    }
    size_t needed = buf->bytes + more + 1;
    if (needed <= buf->capacity) {
        return true;
    }
    size_t capacity = buf->capacity < 64 ? 64 : buf->capacity * 2;
    if (capacity < needed) {
        capacity = needed;
    }
    char *text = realloc(buf->text, capacity);
    if (text == NULL) {
        buf->broken = true;
        buf->no_memory = true;
        return false;
    }
    buf->text = text;
    buf->capacity = capacity;
    return true;
}

/* Optimal string alignment over lower case: a wrong letter, a missing one, one too many and two
 * swapped ones each count one; a wrong case counts nothing. */
static size_t edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t rows[3][NEAREST_BYTES + 1];
    for (size_t j = 0; j <= b_bytes; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_bytes; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i - 1) % 3];
        const size_t *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_bytes; j++) {
            int ca = tolower((unsigned char)a[i - 1]);
            int cb = tolower((unsigned char)b[j - 1]);
            size_t best = above[j - 1] + (ca == cb ? 0 : 1);
            if (above[j] + 1 < best) {
                best = above[j] + 1;
            }
            if (row[j - 1] + 1 < best) {
                best = row[j - 1] + 1;
            }
            if (i > 1 && j > 1 && ca == tolower((unsigned char)b[j - 2]) &&
                cb == tolower((unsigned char)a[i - 2]) && above2[j - 2] + 1 < best) {
                best = above2[j - 2] + 1;
            }
            row[j] = best;
        }
    }
    return rows[a_bytes % 3][b_bytes];
}

static uint64_t hash_mix(uint64_t hash)
{
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xc4ceb9fe1a85ec53);
    hash ^= hash >> 33;
    return hash;
}
