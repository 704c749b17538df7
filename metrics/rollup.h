/*
 * rollup: what was measured, kept by minute, hour and day in a SQLite database.
 *
 * A series is a kind of sample of a (workload, site, segment), or a round trip between two sites; a
 * row of it is how many readings a minute had, their sum (of a counter: what it grew by), the
 * smallest, the largest, and of latencies a sketch. Hours are made of minutes and days of hours, by
 * rollup_compact, which also deletes what is past its retention, but nothing that has not been made
 * part of the next coarser rows.
 *
 * What rollup_write adds is on disk when it returns, but not yet a row (rollup_fresh.c): those are
 * made by rollup_compact when their minute is over. For a query there is no difference.
 *
 * Every row is a sum that more can be added to. Which (minute, series) are part of their hour is
 * said by a watermark (hour, series) that moves in the transaction that adds them; a reading that
 * comes later than that, after a clock was set back, say, is added to the hour in the transaction
 * that adds it to the minute. So nothing is lost or counted twice by a crash between any two steps
 * or by a clock that goes back or ahead. (A clock that is ahead for a while lets minutes be deleted
 * early: their hours remain.)
 *
 * One thread per handle; several handles may have one database, of which one writes at a time (WAL,
 * synchronous=NORMAL: a loss of power may take the last seconds with it, and damages nothing).
 * Sizes: some 30 bytes a row; a minute of 10,000 series takes 300 kB, 48 h of them 860 MB.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "metrics/metrics.h"
#include "metrics/sketch.h"

struct rollup;

struct rollup_options {
    int64_t minutes_kept_us; /* 0: 48 h */
    int64_t hours_kept_us;   /* 0: 60 days */
    int64_t days_kept_us;    /* 0: 3 years of 365 days */
    int64_t series_max;      /* 0: 8 * LIMIT_METRIC_SERIES; more are refused */
    bool read_only;          /* for rollup_query; the database must exist */
};

/* What came together in one minute. */
struct rollup_cell {
    const struct metrics_key *key;
    int kind;        /* enum sample_kind */
    int64_t *series; /* kept by the caller beside the key; 0: not known yet */
    int64_t minute;  /* since 1970 */
    int64_t count;
    int64_t sum;
    int64_t min;
    int64_t max;
    const uint8_t *sketch; /* of sketch_to_blob; NULL: none */
    size_t sketch_bytes;
};

int rollup_open(const char *path, const struct rollup_options *options, struct rollup **ret_rollup,
                struct error *err) WARN_UNUSED;
void rollup_close(struct rollup *rollup); /* NULL is accepted */

/* Adds all cells, or none. Cells of series past series_max are left out and counted. */
int rollup_write(struct rollup *rollup, const struct rollup_cell *cells, int count,
                 int64_t *ret_left_out, struct error *err) WARN_UNUSED;
/* One small step: some thousand fresh cells made rows, a few hundred series of an hour or a day, or
 * a minute's rows deleted. Returns 1 when there is more to do, 0 when not. */
int rollup_compact(struct rollup *rollup, int64_t now_us, struct error *err) WARN_UNUSED;

enum rollup_resolution { ROLLUP_MINUTES, ROLLUP_HOURS, ROLLUP_DAYS };
extern const char *const rollup_resolution_words[];

/* NULL (and kind -1): any. */
struct rollup_filter {
    const char *namespace_;
    const char *app;
    const char *workload;
    const char *segment;
    const char *site;
    const char *peer;
    int kind;
};

struct rollup_row {
    struct metrics_key key;
    int kind;
    int64_t from_us; /* the minute, hour or day begins */
    int64_t count;
    int64_t sum;
    int64_t min;
    int64_t max;
    const struct sketch *sketch; /* NULL: none */
};

/* False ends the query. The row is valid during the call. */
typedef bool rollup_visitor(void *context, const struct rollup_row *row);

/* Rows that begin in [from_us, to_us), series by series and each by time. Hours and days are
 * complete up to the last write: what is not yet part of them is added up on the way. */
int rollup_query(struct rollup *rollup, const struct rollup_filter *filter, int64_t from_us,
                 int64_t to_us, enum rollup_resolution resolution, rollup_visitor *visitor,
                 void *context, struct error *err) WARN_UNUSED;
