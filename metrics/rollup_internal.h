/*
 * rollup_internal: what rollup.c, rollup_fresh.c, rollup_compact.c and rollup_query.c share.
 */
#pragma once

#include <sqlite3.h>

#include "base/clock.h"
#include "metrics/rollup.h"

#define MINUTE_US        (60 * US_PER_S)
#define MINUTES_PER_HOUR 60
#define HOURS_PER_DAY    24

/* Rows of series below `series` are merged up to and including `at`, the others up to before it. */
struct rollup_mark {
    int64_t at; /* hours or days since 1970; INT64_MIN: nothing was ever merged */
    int64_t series;
};

enum { MARK_HOURS, MARK_DAYS, MARK_COUNT };

struct rollup {
    char path[LIMIT_PATH_BYTES];
    sqlite3 *db;
    struct rollup_options options;
    struct rollup_mark marks[MARK_COUNT]; /* as the database has them; read anew by each writer */
    sqlite3_stmt *add[3];                 /* minutes, hours, days */
    sqlite3_stmt *series_find;
    sqlite3_stmt *series_add;
    sqlite3_stmt *fresh_add;
    sqlite3_stmt *fresh_span;
    int64_t series_count;
};

extern const char *const rollup_tables[3];

int rollup_run(struct rollup *rollup, const char *sql, const char *what, struct error *err);
int rollup_prepare(struct rollup *rollup, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err);
/* One number; *ret_null says whether it was NULL. */
int rollup_number(struct rollup *rollup, const char *sql, int64_t *ret_value, bool *ret_null,
                  struct error *err);
int rollup_fail(struct rollup *rollup, const char *what, struct error *err);
int rollup_marks_read(struct rollup *rollup, struct error *err);
/* False: its table is of an older program that still has it, so that all are rows. */
int rollup_has_fresh(struct rollup *rollup, bool *ret_has, struct error *err);
bool rollup_merged(const struct rollup_mark *mark, int64_t at, int64_t series);
/* Adds a cell, of whose key only *series is looked at, to the row of its minute, and to the coarser
 * ones that this is part of already. */
int rollup_row_add(struct rollup *rollup, const struct rollup_cell *cell, struct error *err);
/* A sum that stays at its largest instead of wrapping around. */
static inline int64_t rollup_add(int64_t a, int64_t b)
{
    int64_t sum;
    if (!__builtin_add_overflow(a, b, &sum))
        return sum;
    return a > 0 ? INT64_MAX : INT64_MIN;
}
/* Rounds down, also below 0. */
int64_t rollup_floor(int64_t value, int64_t unit);
int rollup_functions(sqlite3 *db);

/* ---- rollup_fresh.c: cells that are not yet rows, added up by series and minute ---- */
struct fresh_cell {
    int64_t series;
    int64_t minute;
    int64_t count;
    int64_t sum;
    int64_t min;
    int64_t max;
    int sketch; /* the last of its sketches; -1: none */
    bool stays; /* while it is folded: of the present minute */
};
struct fresh_sketch {
    const uint8_t *bytes; /* of sketch_to_blob, or damaged */
    size_t count;
    int next; /* of the same cell; -1: none */
};
/* Zeroed at first; rollup_fresh_done frees what it has. */
struct fresh {
    struct fresh_cell *cells;
    int count;
    struct fresh_sketch *sketches;
    int sketch_count;
    int sketch_room;
    int32_t *slots; /* open addressing by series and minute; -1: free */
    uint32_t slot_count;
    struct fresh_memory *memory;
};
/* Appends those cells whose *series is known, in the caller's transaction. */
int rollup_fresh_write(struct rollup *rollup, const struct rollup_cell *cells, int count,
                       struct error *err) WARN_UNUSED;
/* Adds what a blob has; it must stay for as long as `into`. On failure `into` has some of it. */
int rollup_fresh_decode(struct fresh *into, const uint8_t *blob, size_t bytes,
                        struct error *err) WARN_UNUSED;
/* All that the database has of them. */
int rollup_fresh_read(struct rollup *rollup, struct fresh *into, struct error *err) WARN_UNUSED;
/* By series, and each by minute; nothing can be added any more. */
void rollup_fresh_sort(struct fresh *fresh);
void rollup_fresh_done(struct fresh *fresh);
/* One step, in the caller's transaction: some thousand cells of minutes that are not the present
 * one become rows. 1: something was done. */
int rollup_fresh_fold(struct rollup *rollup, int64_t now_us, struct error *err) WARN_UNUSED;
