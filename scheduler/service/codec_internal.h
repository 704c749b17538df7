/*
 * codec_internal: what the codecs of the record and of its snapshots share: a field of a wire shape
 * (base/wire/wire.h) in one short line, and the tables that both need. Integers have their type's
 * whole range here: what limits them is the core's to say.
 */
#pragma once

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire/wire.h"

#define OPT          WIRE_OPTIONAL
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AT(s, m)     .offset = offsetof(struct s, m), .size = sizeof(((struct s *)0)->m)

/* Members of unions and of nested structs have names of C that no JSON wants, hence these beside
 * wire.h's macros. */
#define STR(s, m, n)                                          \
    {                                                         \
        .name = (n), .kind = WIRE_STR, .flags = OPT, AT(s, m) \
    }
#define U64(s, m, n)                                          \
    {                                                         \
        .name = (n), .kind = WIRE_U64, .flags = OPT, AT(s, m) \
    }
#define FLAG(s, m, n)                                          \
    {                                                          \
        .name = (n), .kind = WIRE_BOOL, .flags = OPT, AT(s, m) \
    }
#define I64(s, m, n)                                                                              \
    {                                                                                             \
        .name = (n), .kind = WIRE_I64, .flags = OPT, .min = INT64_MIN, .max = INT64_MAX, AT(s, m) \
    }
#define I32(s, m, n)                                                                          \
    {                                                                                         \
        .name = (n), .kind = WIRE_I32, .flags = OPT, .min = INT_MIN, .max = INT_MAX, AT(s, m) \
    }
#define WORD(s, m, n, w)                                       \
    {                                                          \
        .name = (n), .kind = WIRE_ENUM, .words = (w), AT(s, m) \
    }
#define WORD_OPT(s, m, n, w)                                                 \
    {                                                                        \
        .name = (n), .kind = WIRE_ENUM, .flags = OPT, .words = (w), AT(s, m) \
    }
#define PART(s, m, n, sh)                                         \
    {                                                             \
        .name = (n), .kind = WIRE_STRUCT, .shape = (sh), AT(s, m) \
    }
#define LIST(s, m, counter, n, most, sh)                                             \
    {                                                                                \
        .name = (n), .kind = WIRE_ARRAY, .flags = OPT, .shape = (sh), .max = (most), \
        .offset = offsetof(struct s, m), .size = sizeof(*((struct s *)0)->m),        \
        .count_offset = offsetof(struct s, counter)                                  \
    }
/* Several rows that always stand together. A prefix is that of a member ("move."), or nothing. */
#define NO_PREFIX
#define WHOSE(s, prefix)                                               \
    STR(s, prefix namespace_, "namespace"), STR(s, prefix app, "app"), \
        STR(s, prefix workload, "workload")
#define EPOCH(s, m, word) U64(s, m.term, word "_term"), U64(s, m.n, word "_n")

#define ROOM(s, m) I64(s, m[RESOURCE_CPU], "mcpu"), I64(s, m[RESOURCE_MEMORY], "memory_bytes")
#define SHAPE(variable, type_name, s, table)                \
    struct wire_shape variable = {.type = (type_name),      \
                                  .version = 1,             \
                                  .size = sizeof(struct s), \
                                  .fields = (table),        \
                                  .field_count = COUNT(table)}

extern const char *const codec_status_words[];   /* enum solve_status */
extern const char *const codec_estimate_words[]; /* enum estimate_kind */
extern const struct wire_shape codec_estimate_shape;
extern const struct wire_shape codec_step_shape; /* struct core_operation_step */
