#include "metrics/rollup.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "metrics/rollup_internal.h"

/* "BRTM" in the file's header, so that another program's database is recognised as such. */
#define ROLLUP_APPLICATION 0x4252544d
#define ROLLUP_SCHEMA      2
#define ROLLUP_BUSY_MS     2000

const char *const rollup_resolution_words[] = {"minute", "hour", "day", NULL};
const char *const rollup_tables[3] = {"minutes", "hours", "days"};

#define ROWS(table)                                                                           \
    "CREATE TABLE " table "(at INTEGER NOT NULL, series INTEGER NOT NULL, count INTEGER NOT " \
    "NULL, sum INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL, sketch BLOB, "   \
    "PRIMARY KEY(at, series)) WITHOUT ROWID;"

static const char schema[] =
    "CREATE TABLE series(id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, app TEXT NOT NULL, "
    "workload TEXT NOT NULL, segment TEXT NOT NULL, site TEXT NOT NULL, peer TEXT NOT NULL, "
    "kind TEXT NOT NULL, UNIQUE(workload, app, namespace, site, segment, peer, kind));" ROWS(
        "minutes") ROWS("hours") ROWS("days") "CREATE TABLE mark(name TEXT PRIMARY KEY, at INTEGER "
                                              "NOT NULL, series INTEGER NOT NULL) WITHOUT ROWID;";
/* Schema 1 had nothing of it: every cell was a row at once. */
static const char schema_fresh[] =
    "CREATE TABLE fresh(id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL, "
    "cells BLOB NOT NULL);";

static int database_open(struct rollup *rollup, struct error *err);
static int schema_ensure(struct rollup *rollup, struct error *err);
static int schema_version(struct rollup *rollup, int64_t *ret_version, struct error *err);
static int statements(struct rollup *rollup, struct error *err);
static int find_series(struct rollup *rollup, const struct rollup_cell *cells, int count,
                       int64_t *ret_left_out, struct error *err);
static int series_of(struct rollup *rollup, const struct rollup_cell *cell, int64_t *ret_series,
                     struct error *err);
static int add_row(struct rollup *rollup, int table, int64_t at, int64_t series,
                   const struct rollup_cell *cell, struct error *err);

static void cleanup_rollup(struct rollup **rollup)
{
    rollup_close(*rollup);
}

int rollup_open(const char *path, const struct rollup_options *options, struct rollup **ret_rollup,
                struct error *err)
{
    CLEANUP(cleanup_rollup) struct rollup *rollup = calloc(1, sizeof *rollup);
    if (rollup == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the rollups");
    if (str_copy(rollup->path, sizeof rollup->path, path) < 0)
        return error_set(err, ERR_LIMIT, 0, "the rollups' path '%.64s...' is longer than %d bytes",
                         path, LIMIT_PATH_BYTES - 1);
    if (options != NULL)
        rollup->options = *options;
    struct rollup_options *set = &rollup->options;
    set->minutes_kept_us = set->minutes_kept_us > 0 ? set->minutes_kept_us : 48 * US_PER_HOUR;
    set->hours_kept_us = set->hours_kept_us > 0 ? set->hours_kept_us : 60 * 24 * US_PER_HOUR;
    set->days_kept_us = set->days_kept_us > 0 ? set->days_kept_us : 3 * 365 * 24 * US_PER_HOUR;
    set->series_max = set->series_max > 0 ? set->series_max : 8 * (int64_t)LIMIT_METRIC_SERIES;
    int rc = database_open(rollup, err);
    if (rc == 0)
        rc = schema_ensure(rollup, err);
    if (rc == 0 && !set->read_only)
        rc = statements(rollup, err);
    if (rc < 0)
        return rc;
    *ret_rollup = TAKE(rollup);
    return 0;
}

void rollup_close(struct rollup *rollup)
{
    if (rollup == NULL)
        return;
    for (int i = 0; i < 3; i++)
        sqlite3_finalize(rollup->add[i]);
    sqlite3_finalize(rollup->series_find);
    sqlite3_finalize(rollup->series_add);
    sqlite3_finalize(rollup->fresh_add);
    sqlite3_finalize(rollup->fresh_span);
    sqlite3_close(rollup->db);
    free(rollup);
}

int rollup_write(struct rollup *rollup, const struct rollup_cell *cells, int count,
                 int64_t *ret_left_out, struct error *err)
{
    int64_t left_out = 0;
    if (count == 0) {
        *ret_left_out = 0;
        return 0;
    }
    int rc = rollup_run(rollup, "BEGIN IMMEDIATE", "begin a write", err);
    if (rc < 0)
        return rc;
    rc = find_series(rollup, cells, count, &left_out, err);
    if (rc == 0)
        rc = rollup_fresh_write(rollup, cells, count, err);
    if (rc == 0)
        rc = rollup_run(rollup, "COMMIT", "commit a write", err);
    if (rc == 0) {
        *ret_left_out = left_out;
        return 0;
    }
    /* SQLite rolls back by itself after some errors: what it says to this is no news. */
    (void)sqlite3_exec(rollup->db, "ROLLBACK", NULL, NULL, NULL);
    bool null;
    (void)rollup_number(rollup, "SELECT count(*) FROM series", &rollup->series_count, &null, NULL);
    for (int i = 0; i < count; i++)
        *cells[i].series = 0; /* it may have been made in what was rolled back */
    return rc;
}

static int find_series(struct rollup *rollup, const struct rollup_cell *cells, int count,
                       int64_t *ret_left_out, struct error *err)
{
    for (int i = 0; i < count; i++) {
        int rc = *cells[i].series == 0 ? series_of(rollup, &cells[i], cells[i].series, err) : 0;
        if (rc < 0)
            return rc;
        *ret_left_out += *cells[i].series == 0;
    }
    return 0;
}

int rollup_row_add(struct rollup *rollup, const struct rollup_cell *cell, struct error *err)
{
    int64_t series = *cell->series;
    int64_t hour = rollup_floor(cell->minute, MINUTES_PER_HOUR);
    int64_t day = rollup_floor(hour, HOURS_PER_DAY);
    int rc = add_row(rollup, ROLLUP_MINUTES, cell->minute, series, cell, err);
    if (rc == 0 && rollup_merged(&rollup->marks[MARK_HOURS], hour, series)) {
        rc = add_row(rollup, ROLLUP_HOURS, hour, series, cell, err);
        if (rc == 0 && rollup_merged(&rollup->marks[MARK_DAYS], day, series))
            rc = add_row(rollup, ROLLUP_DAYS, day, series, cell, err);
    }
    return rc;
}

static int series_of(struct rollup *rollup, const struct rollup_cell *cell, int64_t *ret_series,
                     struct error *err)
{
    const struct metrics_key *key = cell->key;
    const char *texts[] = {key->namespace_,
                           key->app,
                           key->workload,
                           key->segment,
                           key->site,
                           key->peer,
                           sample_kind_words[cell->kind]};
    for (int pass = 0; pass < 2; pass++) {
        sqlite3_stmt *statement = pass == 0 ? rollup->series_find : rollup->series_add;
        if (pass == 1 && rollup->series_count >= rollup->options.series_max)
            return 0;
        for (int i = 0; i < 7; i++)
            sqlite3_bind_text(statement, i + 1, texts[i], -1, SQLITE_STATIC);
        int step = sqlite3_step(statement);
        int64_t found = step == SQLITE_ROW    ? sqlite3_column_int64(statement, 0)
                        : step == SQLITE_DONE ? sqlite3_last_insert_rowid(rollup->db)
                                              : 0;
        sqlite3_reset(statement);
        if (step != SQLITE_ROW && step != SQLITE_DONE)
            return rollup_fail(rollup, "find a series", err);
        if (pass == 1)
            rollup->series_count++;
        if (step == SQLITE_ROW || pass == 1) {
            *ret_series = found;
            return 0;
        }
    }
    return 0;
}

static int add_row(struct rollup *rollup, int table, int64_t at, int64_t series,
                   const struct rollup_cell *cell, struct error *err)
{
    sqlite3_stmt *add = rollup->add[table];
    const int64_t values[] = {at, series, cell->count, cell->sum, cell->min, cell->max};
    for (int i = 0; i < 6; i++)
        sqlite3_bind_int64(add, i + 1, values[i]);
    if (cell->sketch != NULL)
        sqlite3_bind_blob(add, 7, cell->sketch, (int)cell->sketch_bytes, SQLITE_STATIC);
    else
        sqlite3_bind_null(add, 7);
    int step = sqlite3_step(add);
    sqlite3_reset(add);
    return step == SQLITE_DONE ? 0 : rollup_fail(rollup, "add a row", err);
}

static int database_open(struct rollup *rollup, struct error *err)
{
    int flags = rollup->options.read_only ? SQLITE_OPEN_READONLY
                                          : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(rollup->path, &rollup->db, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        return rollup_fail(rollup, "open it", err);
    sqlite3_busy_timeout(rollup->db, ROLLUP_BUSY_MS);
    if (rollup_functions(rollup->db) != SQLITE_OK)
        return rollup_fail(rollup, "add its functions", err);
    if (rollup->options.read_only)
        return 0;
    int rc = rollup_run(rollup, "PRAGMA journal_mode=WAL", "write ahead", err);
    if (rc == 0)
        rc = rollup_run(rollup, "PRAGMA synchronous=NORMAL", "write ahead", err);
    return rc;
}

static int schema_ensure(struct rollup *rollup, struct error *err)
{
    int64_t version = 0;
    int rc = schema_version(rollup, &version, err);
    if (rc < 0 || version == ROLLUP_SCHEMA || (version > 0 && rollup->options.read_only))
        return rc;
    if (version == 0 && rollup->options.read_only)
        return error_set(err, ERR_CORRUPT, 0, "'%s' is no database of rollups", rollup->path);
    rc = rollup_run(rollup, "BEGIN IMMEDIATE", "begin its schema", err);
    if (rc < 0)
        return rc;
    /* Another handle may have made it meanwhile. */
    rc = schema_version(rollup, &version, err);
    char marks[160];
    str_format(marks, sizeof marks, "PRAGMA application_id=%d; PRAGMA user_version=%d",
               ROLLUP_APPLICATION, ROLLUP_SCHEMA);
    if (rc == 0 && version == 0)
        rc = rollup_run(rollup, schema, "make its tables", err);
    if (rc == 0 && version < ROLLUP_SCHEMA)
        rc = rollup_run(rollup, schema_fresh, "make its tables", err);
    if (rc == 0)
        rc = rollup_run(rollup, marks, "mark it", err);
    if (rc == 0)
        rc = rollup_run(rollup, "COMMIT", "commit its schema", err);
    if (rc < 0)
        (void)sqlite3_exec(rollup->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

/* 0: it is empty. */
static int schema_version(struct rollup *rollup, int64_t *ret_version, struct error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    bool null;
    int rc = rollup_number(rollup, "PRAGMA application_id", &application, &null, err);
    if (rc == 0)
        rc = rollup_number(rollup, "PRAGMA user_version", &version, &null, err);
    if (rc < 0)
        return rc;
    if (application == ROLLUP_APPLICATION && version > ROLLUP_SCHEMA)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "the rollups '%s' have schema %" PRId64 ", newer than %d, which this "
                         "program knows; update it",
                         rollup->path, version, ROLLUP_SCHEMA);
    if (application != ROLLUP_APPLICATION && (application != 0 || version != 0))
        return error_set(err, ERR_CORRUPT, 0, "'%s' is no database of rollups", rollup->path);
    *ret_version = version;
    return 0;
}

static int statements(struct rollup *rollup, struct error *err)
{
    bool null;
    int rc =
        rollup_number(rollup, "SELECT count(*) FROM series", &rollup->series_count, &null, err);
    if (rc == 0)
        rc = rollup_prepare(rollup,
                            "SELECT id FROM series WHERE namespace=? AND app=? AND workload=? AND "
                            "segment=? AND site=? AND peer=? AND kind=?",
                            &rollup->series_find, err);
    if (rc == 0)
        rc = rollup_prepare(rollup,
                            "INSERT INTO series(namespace, app, workload, segment, site, peer, "
                            "kind) VALUES(?, ?, ?, ?, ?, ?, ?)",
                            &rollup->series_add, err);
    if (rc == 0)
        rc = rollup_prepare(rollup, "INSERT INTO fresh(first, last, cells) VALUES(?, ?, ?)",
                            &rollup->fresh_add, err);
    if (rc == 0)
        rc = rollup_prepare(rollup, "SELECT count(*), min(first), max(last) FROM fresh",
                            &rollup->fresh_span, err);
    for (int i = 0; i < 3 && rc == 0; i++) {
        char sql[512];
        str_format(sql, sizeof sql,
                   "INSERT INTO %s VALUES(?, ?, ?, ?, ?, ?, ?) ON CONFLICT(at, series) DO UPDATE "
                   "SET count=berth_add(count, excluded.count), sum=berth_add(sum, excluded.sum), "
                   "min=min(min, excluded.min), max=max(max, excluded.max), "
                   "sketch=berth_merge(sketch, excluded.sketch)",
                   rollup_tables[i]);
        rc = rollup_prepare(rollup, sql, &rollup->add[i], err);
    }
    return rc;
}

int rollup_marks_read(struct rollup *rollup, struct error *err)
{
    static const char *const names[MARK_COUNT] = {"hours", "days"};
    for (int i = 0; i < MARK_COUNT; i++)
        rollup->marks[i] = (struct rollup_mark){.at = INT64_MIN};
    sqlite3_stmt *read = NULL;
    int rc = rollup_prepare(rollup, "SELECT name, at, series FROM mark", &read, err);
    if (rc < 0)
        return rc;
    int step;
    while ((step = sqlite3_step(read)) == SQLITE_ROW)
        for (int i = 0; i < MARK_COUNT; i++)
            if (str_equal((const char *)sqlite3_column_text(read, 0), names[i]))
                rollup->marks[i] = (struct rollup_mark){.at = sqlite3_column_int64(read, 1),
                                                        .series = sqlite3_column_int64(read, 2)};
    sqlite3_finalize(read);
    return step == SQLITE_DONE ? 0 : rollup_fail(rollup, "read its watermarks", err);
}

int rollup_has_fresh(struct rollup *rollup, bool *ret_has, struct error *err)
{
    int64_t version = 0;
    int rc = schema_version(rollup, &version, err);
    if (rc == 0)
        *ret_has = version >= 2;
    return rc;
}

bool rollup_merged(const struct rollup_mark *mark, int64_t at, int64_t series)
{
    return at < mark->at || (at == mark->at && series < mark->series);
}

int64_t rollup_floor(int64_t value, int64_t unit)
{
    return value >= 0 ? value / unit : -((-value + unit - 1) / unit);
}

int rollup_run(struct rollup *rollup, const char *sql, const char *what, struct error *err)
{
    return sqlite3_exec(rollup->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : rollup_fail(rollup, what, err);
}

int rollup_prepare(struct rollup *rollup, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err)
{
    return sqlite3_prepare_v2(rollup->db, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? 0
               : rollup_fail(rollup, "prepare a statement", err);
}

int rollup_number(struct rollup *rollup, const char *sql, int64_t *ret_value, bool *ret_null,
                  struct error *err)
{
    sqlite3_stmt *read = NULL;
    int rc = rollup_prepare(rollup, sql, &read, err);
    if (rc < 0)
        return rc;
    int step = sqlite3_step(read);
    if (step == SQLITE_ROW) {
        *ret_null = sqlite3_column_type(read, 0) == SQLITE_NULL;
        *ret_value = sqlite3_column_int64(read, 0);
    }
    sqlite3_finalize(read);
    return step == SQLITE_ROW ? 0 : rollup_fail(rollup, "read a number", err);
}

int rollup_fail(struct rollup *rollup, const char *what, struct error *err)
{
    int code = sqlite3_errcode(rollup->db) & 0xff;
    int kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ERR_CORRUPT
               : code == SQLITE_NOMEM                          ? ERR_NO_MEMORY
               : code == SQLITE_BUSY || code == SQLITE_LOCKED  ? ERR_LOCKED
                                                               : ERR_IO;
    return error_set(err, kind, 0, "the rollups '%s': cannot %s: %s", rollup->path, what,
                     sqlite3_errmsg(rollup->db));
}
