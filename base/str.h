/*
 * str: bounded strings. Nothing here cuts silently: what does not fit is an error.
 *
 * A strbuf is a growable text with a ceiling, always terminated. After a failed append it is
 * "broken": later appends are ignored and strbuf_error says so once, at the end. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/banned.h"
#include "base/error.h"

struct strbuf {
    char *text;
    size_t bytes;
    size_t capacity;
    size_t bytes_max;
    bool broken;
    bool no_memory; /* why it broke: the system's memory, not the ceiling */
};

void strbuf_init(struct strbuf *buf, size_t bytes_max);
void strbuf_done(struct strbuf *buf);
void strbuf_reset(struct strbuf *buf);
void strbuf_append(struct strbuf *buf, const char *text, size_t bytes);
/* Room for `bytes` more, which count from now on: the caller writes all of them at once. NULL: it
 * is broken. */
char *strbuf_extend(struct strbuf *buf, size_t bytes);
void strbuf_puts(struct strbuf *buf, const char *text);
void strbuf_printf(struct strbuf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int strbuf_error(const struct strbuf *buf, struct error *err) WARN_UNUSED; /* 0 unless broken */
const char *strbuf_text(const struct strbuf *buf); /* "" when empty, never NULL */

/* Copies and terminates; ERR_LIMIT (and out = "") when it does not fit. */
int str_copy(char *out, size_t capacity, const char *text) WARN_UNUSED;
/* Formats into a buffer that is known to be large enough: a cut is a bug and asserts. */
void str_format(char *out, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool str_equal(const char *a, const char *b);
bool str_starts(const char *text, const char *prefix);

/* The length of the UTF-8 character at `text`, of which `left` bytes may be read (at least one); 0
 * when there is none: a stray byte, an overlong form, a surrogate, a character that is cut. */
size_t str_utf8_bytes(const char *text, size_t left);

/* A name: 1 to 63 of [a-z0-9-], starting and ending with a letter or a digit: usable as a DNS
 * label, a NATS token, a cgroup and a file name at once. */
bool name_is_valid(const char *name);

/* The candidate nearest to `word` by edit distance (transpositions count one), for "did you mean";
 * NULL when none is within a third of its length. */
const char *str_nearest(const char *word, const char *const *candidates, size_t count);

/* Whole-string parsers: ERR_INVALID for anything but a number, ERR_OVERFLOW when it does not fit.
 */
int str_to_i64(const char *text, int64_t *ret_value) WARN_UNUSED;
int str_to_u64(const char *text, uint64_t *ret_value) WARN_UNUSED;

/* 64-bit hash for state hashes (FNV-1a with a final mix): the same on every machine. */
#define HASH_SEED UINT64_C(0xcbf29ce484222325)
uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t count);
uint64_t hash_str(uint64_t hash, const char *text); /* includes the terminator */
uint64_t hash_u64(uint64_t hash, uint64_t value);   /* little-endian bytes of value */
