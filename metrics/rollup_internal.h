/*
 * rollup_internal: what rollup.c, rollup_compact.c and rollup_query.c share.
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
bool rollup_merged(const struct rollup_mark *mark, int64_t at, int64_t series);
/* Rounds down, also below 0. */
int64_t rollup_floor(int64_t value, int64_t unit);
int rollup_functions(sqlite3 *db);
