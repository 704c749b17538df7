/*
 * rollup_compact: what is fresh becomes minutes, minutes hours, hours days, and the old go; each
 * step a small transaction.
 */
#include <string.h>

#include "base/str.h"
#include "metrics/rollup_internal.h"

#define SLICE_SERIES 256
/* What a minute waits beyond its hour's end, so that what is late comes before, not after. */
#define GRACE_US (5 * MINUTE_US)

/* Rows of `fine` that make one of `coarse`. */
static const struct level {
    const char *name; /* of the watermark, and the coarser table */
    const char *fine;
    int64_t unit; /* fine steps in a coarse one */
} levels[MARK_COUNT] = {
    [MARK_HOURS] = {"hours", "minutes", MINUTES_PER_HOUR},
    [MARK_DAYS] = {"days", "hours", HOURS_PER_DAY},
};

static int step(struct rollup *rollup, int64_t now_us, struct error *err);
static int merge(struct rollup *rollup, int mark, int64_t ready, struct error *err);
static int merge_slice(struct rollup *rollup, int mark, int64_t last, struct error *err);
static int mark_write(struct rollup *rollup, int mark, struct error *err);
static int forget(struct rollup *rollup, int table, int64_t before, struct error *err);

int rollup_compact(struct rollup *rollup, int64_t now_us, struct error *err)
{
    int rc = rollup_run(rollup, "BEGIN IMMEDIATE", "begin a compaction", err);
    if (rc < 0)
        return rc;
    int more = rollup_marks_read(rollup, err);
    if (more == 0)
        more = step(rollup, now_us, err);
    if (more > 0)
        rc = rollup_run(rollup, "COMMIT", "commit a compaction", err);
    else
        (void)sqlite3_exec(rollup->db, "ROLLBACK", NULL, NULL, NULL); /* nothing was changed */
    if (rc < 0)
        (void)sqlite3_exec(rollup->db, "ROLLBACK", NULL, NULL, NULL);
    return rc < 0 ? rc : more;
}

/* The first thing that is due; 1: something was done. */
static int step(struct rollup *rollup, int64_t now_us, struct error *err)
{
    int64_t hour = rollup_floor(now_us - GRACE_US, US_PER_HOUR);
    /* As the database has them: merge looks ahead over empty steps, where late rows may come. */
    int64_t hours_done = rollup->marks[MARK_HOURS].at;
    int64_t days_done = rollup->marks[MARK_DAYS].at;
    int rc = rollup_fresh_fold(rollup, now_us, err);
    if (rc == 0)
        rc = merge(rollup, MARK_HOURS, hour, err);
    /* A day is complete when the hours' watermark has left it; begun hours are not in it. */
    if (rc == 0 && hours_done != INT64_MIN)
        rc = merge(rollup, MARK_DAYS, rollup_floor(hours_done, HOURS_PER_DAY), err);
    if (rc == 0 && hours_done != INT64_MIN) {
        int64_t before = rollup_floor(now_us - rollup->options.minutes_kept_us, MINUTE_US);
        int64_t merged = hours_done * MINUTES_PER_HOUR;
        rc = forget(rollup, ROLLUP_MINUTES, before < merged ? before : merged, err);
    }
    if (rc == 0 && days_done != INT64_MIN) {
        int64_t before = rollup_floor(now_us - rollup->options.hours_kept_us, US_PER_HOUR);
        int64_t merged = days_done * HOURS_PER_DAY;
        rc = forget(rollup, ROLLUP_HOURS, before < merged ? before : merged, err);
    }
    if (rc == 0)
        rc = forget(rollup, ROLLUP_DAYS,
                    rollup_floor(now_us - rollup->options.days_kept_us, 24 * US_PER_HOUR), err);
    return rc;
}

/* Merges a slice of the next coarse step before `ready`; 0 when there is none. */
static int merge(struct rollup *rollup, int mark, int64_t ready, struct error *err)
{
    const struct level *level = &levels[mark];
    struct rollup_mark *done = &rollup->marks[mark];
    char sql[160];
    int64_t first = 0;
    bool none = false;
    if (done->series == 0) { /* at the beginning of a step: empty ones are skipped */
        int64_t from = done->at == INT64_MIN ? INT64_MIN : done->at * level->unit;
        str_format(sql, sizeof sql, "SELECT min(at) FROM %s WHERE at >= %lld", level->fine,
                   (long long)from);
        int rc = rollup_number(rollup, sql, &first, &none, err);
        if (rc < 0)
            return rc;
        if (none)
            return 0;
        done->at = rollup_floor(first, level->unit);
    }
    if (done->at >= ready)
        return 0;
    int64_t last = 0;
    int rc = rollup_number(rollup, "SELECT max(id) FROM series", &last, &none, err);
    return rc < 0 ? rc : merge_slice(rollup, mark, last, err);
}

static int merge_slice(struct rollup *rollup, int mark, int64_t last, struct error *err)
{
    const struct level *level = &levels[mark];
    struct rollup_mark *done = &rollup->marks[mark];
    char sql[1024];
    long long begin = done->at * level->unit;
    str_format(sql, sizeof sql,
               "WITH RECURSIVE steps(at) AS (VALUES(%lld) UNION ALL SELECT at + 1 FROM steps "
               "WHERE at < %lld) INSERT INTO %s SELECT %lld, f.series, berth_sum(f.count), "
               "berth_sum(f.sum), min(f.min), max(f.max), berth_merge_all(f.sketch) FROM steps "
               "CROSS JOIN %s f ON f.at = steps.at AND f.series >= %lld AND f.series < %lld "
               "WHERE true GROUP BY f.series ON CONFLICT(at, series) DO UPDATE SET "
               "count=berth_add(count, excluded.count), sum=berth_add(sum, excluded.sum), "
               "min=min(min, excluded.min), max=max(max, excluded.max), "
               "sketch=berth_merge(sketch, excluded.sketch)",
               begin, begin + level->unit - 1, level->name, (long long)done->at, level->fine,
               (long long)done->series, (long long)done->series + SLICE_SERIES);
    int rc = rollup_run(rollup, sql, "merge rows", err);
    if (rc < 0)
        return rc;
    done->series += SLICE_SERIES;
    if (done->series > last)
        *done = (struct rollup_mark){.at = done->at + 1};
    rc = mark_write(rollup, mark, err);
    return rc < 0 ? rc : 1;
}

static int mark_write(struct rollup *rollup, int mark, struct error *err)
{
    char sql[160];
    str_format(sql, sizeof sql, "INSERT OR REPLACE INTO mark VALUES('%s', %lld, %lld)",
               levels[mark].name, (long long)rollup->marks[mark].at,
               (long long)rollup->marks[mark].series);
    return rollup_run(rollup, sql, "move its watermark", err);
}

/* Deletes the oldest step's rows, when it is before `before`. */
static int forget(struct rollup *rollup, int table, int64_t before, struct error *err)
{
    char sql[160];
    int64_t first = 0;
    bool none = false;
    str_format(sql, sizeof sql, "SELECT min(at) FROM %s WHERE at < %lld", rollup_tables[table],
               (long long)before);
    int rc = rollup_number(rollup, sql, &first, &none, err);
    if (rc < 0 || none)
        return rc;
    str_format(sql, sizeof sql, "DELETE FROM %s WHERE at = %lld", rollup_tables[table],
               (long long)first);
    rc = rollup_run(rollup, sql, "forget old rows", err);
    return rc < 0 ? rc : 1;
}
