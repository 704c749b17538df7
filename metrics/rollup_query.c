/*
 * rollup_query: rows of one resolution, made of what is merged, what is not yet, and what is fresh.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "metrics/rollup_internal.h"

/* Steps of one series in one table are looked up one by one, as its key is (at, series). */
#define ROWS_OF                                                                                \
    "WITH RECURSIVE steps(at) AS (SELECT ?1 WHERE ?1 < ?2 UNION ALL SELECT at + 1 FROM steps " \
    "WHERE at + 1 < ?2) SELECT r.at, r.count, r.sum, r.min, r.max, r.sketch FROM steps CROSS " \
    "JOIN %s r ON r.at = steps.at AND r.series = ?3"

/* Of a row. */
struct part {
    int64_t from_us;
    int64_t count;
    int64_t sum;
    int64_t min;
    int64_t max;
    const void *sketch; /* NULL: none */
    size_t sketch_bytes;
};

struct query {
    struct rollup *rollup;
    sqlite3_stmt *rows[3];
    int64_t first[3]; /* the steps that the tables have at all */
    int64_t end[3];
    struct fresh fresh; /* by series, and each by minute */
    int fresh_at;       /* the next of the series at hand, or of those after it */
    int64_t from_us;
    int64_t to_us;
    enum rollup_resolution resolution;
    rollup_visitor *visitor;
    void *context;
    struct error *err;
    struct rollup_row row; /* being added up */
    struct sketch sketch;
    bool any; /* row has something */
    bool ended;
};

static const int64_t unit_us[3] = {MINUTE_US, US_PER_HOUR, 24 * US_PER_HOUR};

static int64_t aligned(int64_t at_us, int64_t unit);
static int begin(struct query *query);
static int of_filter(struct query *query, const struct rollup_filter *filter);
static int of_series(struct query *query, int64_t series);
static int of_table(struct query *query, int table, int64_t series, int64_t from_us, int64_t to_us);
static int take_fresh(struct query *query, int64_t series, int64_t before_us);
static int take(struct query *query, const struct part *part);
static void emit(struct query *query);

int rollup_query(struct rollup *rollup, const struct rollup_filter *filter, int64_t from_us,
                 int64_t to_us, enum rollup_resolution resolution, rollup_visitor *visitor,
                 void *context, struct error *err)
{
    struct query query = {.rollup = rollup,
                          .from_us = aligned(from_us, unit_us[resolution]),
                          .to_us = aligned(to_us, unit_us[resolution]),
                          .resolution = resolution,
                          .visitor = visitor,
                          .context = context,
                          .err = err};
    /* One state of the database for all that is read. */
    int rc = rollup_run(rollup, "BEGIN", "begin to read", err);
    if (rc < 0)
        return rc;
    rc = rollup_marks_read(rollup, err);
    bool has_fresh = false;
    if (rc == 0)
        rc = rollup_has_fresh(rollup, &has_fresh, err);
    if (rc == 0 && has_fresh)
        rc = rollup_fresh_read(rollup, &query.fresh, err);
    rollup_fresh_sort(&query.fresh);
    if (rc == 0)
        rc = begin(&query);
    if (rc == 0)
        rc = of_filter(&query, filter);
    for (int i = 0; i < 3; i++)
        sqlite3_finalize(query.rows[i]);
    sketch_done(&query.sketch);
    rollup_fresh_done(&query.fresh);
    (void)sqlite3_exec(rollup->db, "ROLLBACK", NULL, NULL, NULL); /* it only read */
    return rc;
}

/* The first beginning of a step from there on; far away, any. */
static int64_t aligned(int64_t at_us, int64_t unit)
{
    const int64_t far_us = INT64_MAX / 2;
    at_us = at_us > far_us ? far_us : at_us < -far_us ? -far_us : at_us;
    return -rollup_floor(-at_us, unit) * unit;
}

static int begin(struct query *query)
{
    for (int i = 0; i < 3; i++) {
        char sql[512];
        bool none;
        str_format(sql, sizeof sql, ROWS_OF, rollup_tables[i]);
        int rc = rollup_prepare(query->rollup, sql, &query->rows[i], query->err);
        str_format(sql, sizeof sql, "SELECT min(at) FROM %s", rollup_tables[i]);
        if (rc == 0)
            rc = rollup_number(query->rollup, sql, &query->first[i], &none, query->err);
        str_format(sql, sizeof sql, "SELECT max(at) + 1 FROM %s", rollup_tables[i]);
        if (rc == 0)
            rc = rollup_number(query->rollup, sql, &query->end[i], &none, query->err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int kind_of(const char *word)
{
    for (int kind = 0; kind < SAMPLE_COUNT; kind++)
        if (str_equal(sample_kind_words[kind], word))
            return kind;
    return -1;
}

static int of_filter(struct query *query, const struct rollup_filter *filter)
{
    const char *texts[] = {filter->namespace_,
                           filter->app,
                           filter->workload,
                           filter->segment,
                           filter->site,
                           filter->peer,
                           filter->kind >= 0 ? sample_kind_words[filter->kind] : NULL};
    sqlite3_stmt *series = NULL;
    int rc = rollup_prepare(query->rollup,
                            "SELECT namespace, app, workload, segment, site, peer, kind, id FROM "
                            "series WHERE namespace=ifnull(?1, namespace) AND app=ifnull(?2, app) "
                            "AND workload=ifnull(?3, workload) AND segment=ifnull(?4, segment) AND "
                            "site=ifnull(?5, site) AND peer=ifnull(?6, peer) AND kind=ifnull(?7, "
                            "kind) ORDER BY id",
                            &series, query->err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < 7; i++)
        if (texts[i] != NULL)
            sqlite3_bind_text(series, i + 1, texts[i], -1, SQLITE_STATIC);
    int step = SQLITE_DONE;
    while (rc == 0 && !query->ended && (step = sqlite3_step(series)) == SQLITE_ROW) {
        const char *names[7];
        for (int i = 0; i < 7; i++)
            names[i] = (const char *)sqlite3_column_text(series, i);
        query->row.key = (struct metrics_key){.namespace_ = names[0],
                                              .app = names[1],
                                              .workload = names[2],
                                              .segment = names[3],
                                              .site = names[4],
                                              .peer = names[5]};
        query->row.kind = kind_of(names[6]);
        if (query->row.kind >= 0) /* else one of a newer program */
            rc = of_series(query, sqlite3_column_int64(series, 7));
    }
    if (rc == 0 && !query->ended && step != SQLITE_DONE)
        rc = rollup_fail(query->rollup, "read its series", query->err);
    sqlite3_finalize(series);
    return rc;
}

/* From the coarsest table as far as it goes, then from the finer ones. */
static int of_series(struct query *query, int64_t series)
{
    int64_t from_us = query->from_us;
    int rc = 0;
    for (int table = (int)query->resolution; table >= 0 && rc == 0; table--) {
        int64_t to_us = query->to_us;
        if (table > 0) {
            const struct rollup_mark *mark = &query->rollup->marks[table - 1];
            __int128 done =
                mark->at == INT64_MIN ? INT64_MIN : (__int128)mark->at + (series < mark->series);
            done *= unit_us[table];
            to_us = done < to_us ? (done < INT64_MIN ? INT64_MIN : (int64_t)done) : to_us;
        }
        if (from_us < to_us) {
            rc = of_table(query, table, series, from_us, to_us);
            from_us = to_us;
        }
    }
    if (rc == 0)
        rc = take_fresh(query, series, query->to_us);
    if (rc == 0)
        emit(query);
    return rc;
}

static int of_table(struct query *query, int table, int64_t series, int64_t from_us, int64_t to_us)
{
    /* Steps that begin in the range, of those that there are. */
    int64_t unit = unit_us[table];
    int64_t first = rollup_floor(from_us, unit);
    first += first * unit < from_us;
    int64_t end = rollup_floor(to_us, unit);
    end += end * unit < to_us;
    first = first < query->first[table] ? query->first[table] : first;
    end = end > query->end[table] ? query->end[table] : end;
    sqlite3_stmt *rows = query->rows[table];
    sqlite3_bind_int64(rows, 1, first);
    sqlite3_bind_int64(rows, 2, end);
    sqlite3_bind_int64(rows, 3, series);
    int rc = 0;
    int step = SQLITE_DONE;
    while (rc == 0 && !query->ended && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        struct part part = {.from_us = sqlite3_column_int64(rows, 0) * unit,
                            .count = sqlite3_column_int64(rows, 1),
                            .sum = sqlite3_column_int64(rows, 2),
                            .min = sqlite3_column_int64(rows, 3),
                            .max = sqlite3_column_int64(rows, 4)};
        if (sqlite3_column_type(rows, 5) != SQLITE_NULL) {
            part.sketch = sqlite3_column_blob(rows, 5);
            part.sketch_bytes = (size_t)sqlite3_column_bytes(rows, 5);
            if (part.sketch == NULL)
                part.sketch = ""; /* of no bytes: damaged */
        }
        rc = take_fresh(query, series, part.from_us);
        if (rc == 0)
            rc = take(query, &part);
    }
    if (rc == 0 && !query->ended && step != SQLITE_DONE)
        rc = rollup_fail(query->rollup, "read its rows", query->err);
    sqlite3_reset(rows);
    return rc;
}

/* Those of the series' fresh cells that are of an instant before this one, and not yet taken. */
static int take_fresh(struct query *query, int64_t series, int64_t before_us)
{
    const struct fresh *fresh = &query->fresh;
    int rc = 0;
    for (; query->fresh_at < fresh->count && rc == 0 && !query->ended; query->fresh_at++) {
        const struct fresh_cell *cell = &fresh->cells[query->fresh_at];
        int64_t at_us = cell->minute * MINUTE_US;
        if (cell->series > series || (cell->series == series && at_us >= before_us))
            break;
        if (cell->series < series || at_us < query->from_us)
            continue; /* of one that the filter leaves out, or out of the range */
        struct part part = {.from_us = at_us,
                            .count = cell->count,
                            .sum = cell->sum,
                            .min = cell->min,
                            .max = cell->max};
        int sketch = cell->sketch;
        do {
            if (sketch >= 0) {
                part.sketch = fresh->sketches[sketch].bytes;
                part.sketch_bytes = fresh->sketches[sketch].count;
                sketch = fresh->sketches[sketch].next;
            }
            rc = take(query, &part);
            part.count = part.sum = 0; /* the other sketches come with nothing more */
        } while (sketch >= 0 && rc == 0 && !query->ended);
    }
    return rc;
}

/* Adds a part to the row that it is of, or begins the next. */
static int take(struct query *query, const struct part *part)
{
    struct rollup_row *row = &query->row;
    int64_t unit = unit_us[query->resolution];
    int64_t at_us = rollup_floor(part->from_us, unit) * unit;
    if (query->any && row->from_us != at_us)
        emit(query);
    if (query->ended)
        return 0;
    if (!query->any) {
        row->from_us = at_us;
        row->count = row->sum = 0;
        row->min = part->min;
        row->max = part->max;
        row->sketch = NULL;
        query->any = true;
    }
    row->count = rollup_add(row->count, part->count);
    row->sum = rollup_add(row->sum, part->sum);
    row->min = part->min < row->min ? part->min : row->min;
    row->max = part->max > row->max ? part->max : row->max;
    if (part->sketch == NULL)
        return 0;
    row->sketch = &query->sketch;
    int rc = sketch_merge_blob(&query->sketch, part->sketch, part->sketch_bytes, query->err);
    return rc < 0 ? error_prefix(query->err, "the rollups '%s'", query->rollup->path) : 0;
}

static void emit(struct query *query)
{
    if (query->any && !query->ended)
        query->ended = !query->visitor(query->context, &query->row);
    sketch_clear(&query->sketch);
    query->any = false;
}
