/*
 * wire: plain structs to JSON and back, driven by one table per message.
 *
 * A shape lists the fields of a C struct: JSON name, kind, offset, limits. wire_encode and
 * wire_decode walk it; there is no other code that knows a message's layout. The same codec writes
 * bus messages, journal records and snapshots.
 *
 * Rules of the format: one JSON object; "v" is the shape's version and comes first, "type" its name
 * second. A decoder refuses another type and a newer major version, ignores unknown fields (a newer
 * peer may add some), gives absent optional fields their zero, and refuses an absent required
 * field, a wrong kind, a number out of range, a string or array over its limit, with an error that
 * names the field. Integers travel as JSON integers, those past 2^63 - 1 (hashes) as decimal
 * strings, as do 128-bit amounts. Encoding is canonical: fields in table order, no blanks, optional
 * fields that are zero left out, so equal structs give equal bytes. Nested structs carry no "v" and
 * "type". Text is UTF-8: a byte that is not (a workload's own words, say) is encoded as '?'.
 *
 * The decoder takes packed messages too (pack.h), of the same tables.
 *
 * Arrays: a pointer and an int count in the struct; decoded elements live in the caller's arena.
 * Strings: char arrays inside the struct, terminated; or const char * in the arena (WIRE_TEXT).
 * Any thread; no state.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/str.h"

enum wire_kind {
    WIRE_STR,    /* char[size] in place */
    WIRE_TEXT,   /* const char *, in the arena; max = byte limit */
    WIRE_I64,    /* int64_t, min..max */
    WIRE_U64,    /* uint64_t */
    WIRE_I32,    /* int, min..max */
    WIRE_BOOL,   /* bool */
    WIRE_ENUM,   /* int, as one of words[] */
    WIRE_NUSD,   /* nusd (__int128), as a decimal string of nano-dollars */
    WIRE_STRUCT, /* a struct in place, by shape */
    WIRE_ARRAY,  /* pointer at offset, int count at count_offset, at most max, by shape */
    WIRE_COUNTS, /* as WIRE_ARRAY, of int64_t from 0: [0,12,3] */
};

enum { WIRE_OPTIONAL = 1 };

struct wire_shape;

struct wire_field {
    const char *name;
    enum wire_kind kind;
    int flags;
    size_t offset;
    size_t size; /* sizeof the member (WIRE_STR: capacity; WIRE_ARRAY: sizeof one element) */
    size_t count_offset;
    int64_t min;
    int64_t max;
    const char *const *words; /* WIRE_ENUM: terminated by NULL */
    const struct wire_shape *shape;
};

struct wire_shape {
    const char *type; /* "node.report" */
    int version;
    size_t size; /* sizeof the struct */
    const struct wire_field *fields;
    size_t field_count;
};

#define WIRE_FIELD_STR(s, m, f)                                                      \
    {                                                                                \
        .name = #m, .kind = WIRE_STR, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(((struct s *)0)->m)                                           \
    }
/* As WIRE_FIELD_STR, for a member whose JSON name is a word of C: namespace_ is "namespace". */
#define WIRE_FIELD_STR_AS(s, m, json_name, f)                                                 \
    {                                                                                         \
        .name = (json_name), .kind = WIRE_STR, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(((struct s *)0)->m)                                                    \
    }
#define WIRE_FIELD_TEXT(s, m, f, bytes_max)                                           \
    {                                                                                 \
        .name = #m, .kind = WIRE_TEXT, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(const char *), .max = (bytes_max)                              \
    }
#define WIRE_FIELD_I64(s, m, f, lo, hi)                                              \
    {                                                                                \
        .name = #m, .kind = WIRE_I64, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(int64_t), .min = (lo), .max = (hi)                            \
    }
#define WIRE_FIELD_U64(s, m, f)                                                      \
    {                                                                                \
        .name = #m, .kind = WIRE_U64, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(uint64_t)                                                     \
    }
#define WIRE_FIELD_I32(s, m, f, lo, hi)                                              \
    {                                                                                \
        .name = #m, .kind = WIRE_I32, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(int), .min = (lo), .max = (hi)                                \
    }
#define WIRE_FIELD_BOOL(s, m, f)                                                      \
    {                                                                                 \
        .name = #m, .kind = WIRE_BOOL, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(bool)                                                          \
    }
#define WIRE_FIELD_ENUM(s, m, f, word_list)                                           \
    {                                                                                 \
        .name = #m, .kind = WIRE_ENUM, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(int), .words = (word_list)                                     \
    }
#define WIRE_FIELD_NUSD(s, m, f)                                                      \
    {                                                                                 \
        .name = #m, .kind = WIRE_NUSD, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(nusd)                                                          \
    }
#define WIRE_FIELD_STRUCT(s, m, f, shape_ptr)                                           \
    {                                                                                   \
        .name = #m, .kind = WIRE_STRUCT, .flags = (f), .offset = offsetof(struct s, m), \
        .size = sizeof(((struct s *)0)->m), .shape = (shape_ptr)                        \
    }
#define WIRE_FIELD_ARRAY(s, m, counter, f, count_max, shape_ptr)                          \
    {                                                                                     \
        .name = #m, .kind = WIRE_ARRAY, .flags = (f), .offset = offsetof(struct s, m),    \
        .size = sizeof(*((struct s *)0)->m), .count_offset = offsetof(struct s, counter), \
        .max = (count_max), .shape = (shape_ptr)                                          \
    }

#define WIRE_FIELD_COUNTS(s, m, counter, f, count_max)                                           \
    {                                                                                            \
        .name = #m, .kind = WIRE_COUNTS, .flags = (f), .offset = offsetof(struct s, m),          \
        .size = sizeof(int64_t), .count_offset = offsetof(struct s, counter), .max = (count_max) \
    }

/* Appends the JSON; failures (a string not terminated, a number or an enum out of range) are bugs.
 * A text of NULL is "". */
void wire_encode(const struct wire_shape *shape, const void *message, struct strbuf *out);

/* *ret_message (shape->size bytes) is written only on success. Array elements and texts come from
 * `arena`. Refuses more than bytes_max bytes (0: LIMIT_WIRE_BYTES; a snapshot has its own). */
int wire_decode(const struct wire_shape *shape, const char *text, size_t bytes, size_t bytes_max,
                struct arena *arena, void *ret_message, struct error *err) WARN_UNUSED;

/* The "type" of a message without decoding it, copied to out; ERR_INVALID when there is none. */
int wire_type_of(const char *text, size_t bytes, char *out, size_t capacity,
                 struct error *err) WARN_UNUSED;
