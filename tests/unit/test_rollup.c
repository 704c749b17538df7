/* rollups: whatever is written, merged, forgotten, killed or dated wrongly, the sums stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/rollup_feed.h"

#define SECOND    US_PER_S
#define MINUTE    (60 * US_PER_S)
#define HOUR      US_PER_HOUR
#define DAY       (24 * HOUR)
#define BEGIN     (20000 * DAY) /* 2024 */
#define WORKLOADS 5

static char directory[128];
static char path[192];
static uint64_t seed = 7;

static uint64_t chance(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static int set_up(void **state)
{
    (void)state;
    str_format(directory, sizeof directory, "%s/rollup-XXXXXX", ".");
    assert_non_null(mkdtemp(directory));
    str_format(path, sizeof path, "%s/metrics.db", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    DIR *dir = opendir(directory);
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        char name[512];
        str_format(name, sizeof name, "%s/%s", directory, entry->d_name);
        (void)unlink(name);
    }
    closedir(dir);
    return rmdir(directory);
}

static struct rollup *open_it(const struct rollup_options *options)
{
    struct rollup *rollup = NULL;
    struct error err = {0};
    if (rollup_open(path, options, &rollup, &err) < 0)
        fail_msg("%s", err.text);
    return rollup;
}

static const char *const names[WORKLOADS] = {"web", "tiles", "cache", "api", "feed"};
static int64_t ids[WORKLOADS];

static void write_one(struct rollup *rollup, int workload, int64_t at_us, int64_t value)
{
    struct metrics_key key = {"default", "shop", names[workload], "", "edge/nyc", ""};
    struct sketch sketch = {0};
    uint8_t blob[SKETCH_BLOB_BYTES];
    sketch_add(&sketch, value);
    struct rollup_cell cell = {.key = &key,
                               .kind = SAMPLE_LATENCY_US,
                               .series = &ids[workload],
                               .minute = at_us / MINUTE,
                               .count = 1,
                               .sum = value,
                               .min = value,
                               .max = value,
                               .sketch = blob,
                               .sketch_bytes = sketch_to_blob(&sketch, blob)};
    int64_t left_out = -1;
    struct error err = {0};
    if (rollup_write(rollup, &cell, 1, &left_out, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(left_out, 0);
    sketch_done(&sketch);
}

static void compact_all(struct rollup *rollup, int64_t now_us)
{
    struct error err = {0};
    int more;
    int steps = 0;
    while ((more = rollup_compact(rollup, now_us, &err)) > 0)
        assert_true(++steps < 100000);
    if (more < 0)
        fail_msg("%s", err.text);
}

struct sums {
    int64_t rows;
    int64_t count;
    int64_t sum;
    int64_t min;
    int64_t max;
    uint64_t sketched;
    int64_t last_us;
    int last_kind;
    char last_workload[LIMIT_NAME_BYTES];
    int64_t stop_after;
};

static bool sum_up(void *context, const struct rollup_row *row)
{
    struct sums *sums = context;
    /* By series, and each by time without a step told twice. */
    if (sums->rows > 0 && str_equal(sums->last_workload, row->key.workload) &&
        sums->last_kind == row->kind)
        assert_true(row->from_us > sums->last_us);
    str_format(sums->last_workload, sizeof sums->last_workload, "%s", row->key.workload);
    sums->last_us = row->from_us;
    sums->last_kind = row->kind;
    if (sums->rows == 0 || row->min < sums->min)
        sums->min = row->min;
    if (sums->rows == 0 || row->max > sums->max)
        sums->max = row->max;
    sums->rows++;
    sums->count += row->count;
    sums->sum += row->sum;
    if (row->sketch != NULL)
        sums->sketched += row->sketch->count;
    return sums->rows != sums->stop_after;
}

static struct sums query(struct rollup *rollup, const char *workload, int64_t from_us,
                         int64_t to_us, enum rollup_resolution resolution)
{
    struct sums sums = {0};
    struct rollup_filter filter = {.workload = workload, .kind = -1};
    struct error err = {0};
    if (rollup_query(rollup, &filter, from_us, to_us, resolution, sum_up, &sums, &err) < 0)
        fail_msg("%s", err.text);
    return sums;
}

static void test_rows_come_back(void **state)
{
    (void)state;
    struct rollup *rollup = open_it(NULL);
    memset(ids, 0, sizeof ids);
    for (int i = 0; i < 180; i++) /* three hours, a reading each minute */
        write_one(rollup, 0, BEGIN + i * MINUTE + 7, 100 + i);
    write_one(rollup, 0, BEGIN + 9, 50); /* in the first minute again */
    write_one(rollup, 1, BEGIN, 1000);
    struct sums minutes = query(rollup, "web", BEGIN, BEGIN + HOUR, ROLLUP_MINUTES);
    assert_int_equal(minutes.rows, 60);
    assert_int_equal(minutes.count, 61);
    assert_int_equal(minutes.min, 50);
    assert_int_equal(minutes.max, 159);
    assert_int_equal(minutes.sketched, 61);
    for (int merged = 0; merged < 2; merged++) {
        struct sums hours = query(rollup, "web", BEGIN, BEGIN + 3 * HOUR, ROLLUP_HOURS);
        assert_int_equal(hours.rows, 3);
        assert_int_equal(hours.count, 181);
        assert_int_equal(hours.sketched, 181);
        assert_int_equal(hours.sum, 180 * 100 + 179 * 90 + 50);
        assert_int_equal(query(rollup, "web", BEGIN + 1, BEGIN + 3 * HOUR, ROLLUP_HOURS).rows, 2);
        assert_int_equal(query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_DAYS).rows, 2);
        assert_int_equal(query(rollup, "none", INT64_MIN, INT64_MAX, ROLLUP_DAYS).rows, 0);
        assert_int_equal(query(rollup, "web", BEGIN + 1, BEGIN + DAY, ROLLUP_DAYS).rows, 0);
        compact_all(rollup, BEGIN + 2 * HOUR + 6 * MINUTE); /* two of the three hours */
    }
    struct sums stopped = {.stop_after = 5};
    struct rollup_filter filter = {.site = "edge/nyc", .kind = SAMPLE_LATENCY_US};
    struct error err = {0};
    assert_int_equal(
        rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_MINUTES, sum_up, &stopped, &err), 0);
    assert_int_equal(stopped.rows, 5);
    filter.kind = SAMPLE_HITS;
    stopped = (struct sums){0};
    assert_int_equal(
        rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_DAYS, sum_up, &stopped, &err), 0);
    assert_int_equal(stopped.rows, 0);
    rollup_close(rollup);
}

/* Forty days of readings in a clock that leaps ahead and back by up to a month, compacted at any
 * moment, reopened at any moment: each day's sum stays what was written with that day's date. */
static void test_clock_steps_lose_and_double_nothing(void **state)
{
    (void)state;
    enum { DAYS = 140 };
    struct rollup_options options = {.hours_kept_us = 10 * DAY};
    struct rollup *rollup = open_it(&options);
    int64_t written[DAYS][WORKLOADS] = {{0}};
    int64_t total = 0;
    int64_t now_us = BEGIN + 50 * DAY;
    memset(ids, 0, sizeof ids);
    for (int i = 0; i < 3000; i++) {
        now_us += (int64_t)chance(40) * MINUTE;
        if (chance(100) == 0)
            now_us += ((int64_t)chance(60) - 30) * DAY;
        if (now_us < BEGIN || now_us >= BEGIN + DAYS * DAY)
            now_us = BEGIN + 50 * DAY;
        int workload = (int)chance(WORKLOADS);
        int64_t value = (int64_t)chance(1000) + 1;
        write_one(rollup, workload, now_us, value);
        written[(now_us - BEGIN) / DAY][workload] += value;
        total += value;
        struct error err = {0};
        for (uint64_t steps = chance(4); steps > 0; steps--)
            assert_true(rollup_compact(rollup, now_us, &err) >= 0);
        if (chance(100) == 0)
            compact_all(rollup, now_us);
        if (chance(50) == 0) {
            rollup_close(rollup);
            rollup = open_it(&options);
        }
        if (i % 500 == 499)
            assert_int_equal(query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_DAYS).sum, total);
    }
    compact_all(rollup, now_us);
    for (int day = 0; day < DAYS; day++)
        for (int workload = 0; workload < WORKLOADS; workload++) {
            struct sums sums = query(rollup, names[workload], BEGIN + day * DAY,
                                     BEGIN + (day + 1) * DAY, ROLLUP_DAYS);
            assert_int_equal(sums.sum, written[day][workload]);
            assert_int_equal(sums.count, sums.sketched);
        }
    rollup_close(rollup);
}

static void test_what_is_old_goes(void **state)
{
    (void)state;
    struct rollup_options options = {
        .minutes_kept_us = 5 * HOUR, .hours_kept_us = 3 * DAY, .days_kept_us = 20 * DAY};
    struct rollup *rollup = open_it(&options);
    memset(ids, 0, sizeof ids);
    int64_t now_us = BEGIN;
    for (int i = 0; i < 30 * 24; i++) {
        now_us += HOUR;
        write_one(rollup, i % WORKLOADS, now_us, 10);
        compact_all(rollup, now_us + 10 * MINUTE);
    }
    struct sums minutes = query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_MINUTES);
    struct sums hours = query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_HOURS);
    struct sums days = query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_DAYS);
    assert_in_range(minutes.rows, 5, 6);
    assert_in_range(hours.rows, 3 * 24, 4 * 24 + 1);
    assert_in_range(days.sum, 20 * 24 * 10, 21 * 24 * 10 + 10);
    assert_int_equal(days.sum % 10, 0);
    rollup_close(rollup);
}

static void test_series_have_a_limit(void **state)
{
    (void)state;
    struct rollup_options options = {.series_max = 3};
    struct rollup *rollup = open_it(&options);
    struct metrics_key keys[WORKLOADS];
    struct rollup_cell cells[WORKLOADS];
    int64_t left_out = 0;
    struct error err = {0};
    memset(ids, 0, sizeof ids);
    for (int i = 0; i < WORKLOADS; i++) {
        keys[i] = (struct metrics_key){"default", "shop", names[i], "", "edge/nyc", ""};
        cells[i] = (struct rollup_cell){.key = &keys[i],
                                        .kind = SAMPLE_HITS,
                                        .series = &ids[i],
                                        .minute = BEGIN / MINUTE,
                                        .count = 1,
                                        .sum = INT64_MAX};
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rollup_write(rollup, cells, WORKLOADS, &left_out, &err), 0);
        assert_int_equal(left_out, 2);
    }
    /* A sum past 2^63 stays at its most instead of failing every merge from then on. */
    compact_all(rollup, BEGIN + 3 * DAY);
    write_one(rollup, 0, BEGIN, 5); /* latency: another series, and refused like those */
    rollup_close(rollup);
}

static void test_what_is_no_rollup_is_left_alone(void **state)
{
    (void)state;
    struct rollup *rollup = NULL;
    struct error err = {0};
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("some notes of mine, long enough to be looked at as a database header by SQLite, "
          "which is a hundred bytes and more",
          file);
    fclose(file);
    assert_int_equal(rollup_open(path, NULL, &rollup, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "metrics.db"));
    assert_int_equal(unlink(path), 0);
    struct rollup_options reader = {.read_only = true};
    assert_true(rollup_open(path, &reader, &rollup, &err) < 0);
    sqlite3 *other = NULL;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(other, "PRAGMA application_id=77; CREATE TABLE t(x)", NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(rollup_open(path, NULL, &rollup, &err), ERR_CORRUPT);
    assert_int_equal(sqlite3_exec(other, "PRAGMA application_id=1112691789; PRAGMA user_version=9",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    assert_int_equal(rollup_open(path, NULL, &rollup, &err), ERR_UNSUPPORTED);
    sqlite3_close(other);
}

/* By another connection; of a query the first number, else 0. */
static int64_t sql(const char *statement)
{
    sqlite3 *other = NULL;
    sqlite3_stmt *prepared = NULL;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(other, statement, -1, &prepared, NULL), SQLITE_OK);
    int step = sqlite3_step(prepared);
    assert_true(step == SQLITE_ROW || step == SQLITE_DONE);
    int64_t number = step == SQLITE_ROW ? sqlite3_column_int64(prepared, 0) : 0;
    assert_int_equal(sqlite3_finalize(prepared), SQLITE_OK);
    assert_int_equal(sqlite3_close(other), SQLITE_OK);
    return number;
}

/* What is written becomes rows when its minute is over, all that came of it at once; who asks
 * before sees the same. */
static void test_a_minute_becomes_rows_once(void **state)
{
    (void)state;
    struct rollup *rollup = open_it(NULL);
    struct error err = {0};
    memset(ids, 0, sizeof ids);
    int64_t now_us = BEGIN + 5 * MINUTE;
    for (int i = 0; i < 12; i++)
        write_one(rollup, i % 2, now_us + i * SECOND, 10 + i);
    write_one(rollup, 0, now_us - MINUTE, 7);
    for (int folded = 0; folded < 3; folded++) {
        for (int resolution = ROLLUP_MINUTES; resolution <= ROLLUP_DAYS; resolution++) {
            struct sums web =
                query(rollup, "web", 0, INT64_MAX, (enum rollup_resolution)resolution);
            assert_int_equal(web.rows, resolution == ROLLUP_MINUTES ? 2 : 1);
            assert_int_equal(web.count, 7);
            assert_int_equal(web.sketched, 7);
            assert_int_equal(web.sum, 10 + 12 + 14 + 16 + 18 + 20 + 7);
            assert_int_equal(web.min, 7);
            assert_int_equal(web.max, 20);
        }
        struct sums of_minute = query(rollup, NULL, now_us, now_us + MINUTE, ROLLUP_MINUTES);
        assert_int_equal(of_minute.rows, 2);
        assert_int_equal(of_minute.count, 12);
        assert_int_equal(query(rollup, NULL, now_us + 1, INT64_MAX, ROLLUP_MINUTES).rows, 0);
        assert_int_equal(sql("SELECT count(*) FROM minutes"), folded == 0   ? 0
                                                              : folded == 1 ? 1
                                                                            : 3);
        assert_int_equal(sql("SELECT count(*) FROM fresh"), folded == 0 ? 13 : folded == 1 ? 1 : 0);
        compact_all(rollup, now_us + folded * MINUTE);
    }
    assert_int_equal(rollup_compact(rollup, now_us + 2 * MINUTE, &err), 0);
    rollup_close(rollup);
}

/* In a minute that does not end (a clock that stands) blobs are added up all the same; and of many
 * series each step makes some rows. */
static void test_many_blobs_and_many_cells(void **state)
{
    (void)state;
    enum { SERIES = 5000, WRITES = 600 };
    struct rollup *rollup = open_it(NULL);
    struct error err = {0};
    memset(ids, 0, sizeof ids);
    for (int i = 0; i < WRITES; i++) {
        write_one(rollup, i % WORKLOADS, BEGIN + 7, i);
        assert_true(rollup_compact(rollup, BEGIN + 8, &err) >= 0);
        assert_in_range(sql("SELECT count(*) FROM fresh"), 1, 257);
    }
    assert_int_equal(sql("SELECT count(*) FROM minutes"), 0);
    struct rollup_cell *cells = calloc(SERIES, sizeof *cells);
    struct metrics_key *keys = calloc(SERIES, sizeof *keys);
    int64_t *series = calloc(SERIES, sizeof *series);
    char(*workloads)[LIMIT_NAME_BYTES] = calloc(SERIES, sizeof *workloads);
    for (int i = 0; i < SERIES; i++) {
        str_format(workloads[i], sizeof workloads[i], "w%d", i);
        keys[i] = (struct metrics_key){"default", "shop", workloads[i], "", "edge/nyc", ""};
        cells[i] = (struct rollup_cell){.key = &keys[i],
                                        .kind = SAMPLE_HITS,
                                        .series = &series[i],
                                        .minute = BEGIN / MINUTE - i % 3,
                                        .count = 2,
                                        .sum = INT64_MAX / 2 - i,
                                        .min = INT64_MIN,
                                        .max = INT64_MAX};
    }
    for (int i = 0; i < 2; i++) {
        int64_t left_out = -1;
        assert_int_equal(rollup_write(rollup, cells, SERIES, &left_out, &err), 0);
        assert_int_equal(left_out, 0);
    }
    int steps = 0;
    while (rollup_compact(rollup, BEGIN + MINUTE, &err) > 0)
        steps++;
    assert_int_equal(steps, 2);
    assert_int_equal(sql("SELECT count(*) FROM fresh"), 0);
    assert_int_equal(sql("SELECT count(*) FROM minutes"), SERIES + WORKLOADS);
    for (int i = 0; i < SERIES; i += 1234) {
        struct sums sums = query(rollup, workloads[i], 0, INT64_MAX, ROLLUP_MINUTES);
        assert_int_equal(sums.rows, 1);
        assert_int_equal(sums.last_us, BEGIN - i % 3 * MINUTE);
        assert_int_equal(sums.sum, 2 * (INT64_MAX / 2 - i));
        assert_int_equal(sums.count, 4);
        assert_true(sums.min == INT64_MIN && sums.max == INT64_MAX);
    }
    struct sums all = {0};
    for (int i = 0; i < WORKLOADS; i++) {
        struct sums one = query(rollup, names[i], 0, INT64_MAX, ROLLUP_MINUTES);
        all.sum += one.sum;
        all.sketched += one.sketched;
    }
    assert_int_equal(all.sum, WRITES * (WRITES - 1) / 2);
    assert_int_equal(all.sketched, WRITES);
    rollup_close(rollup);
    free(cells);
    free(keys);
    free(series);
    free(workloads);
}

/* A database of schema 1, as earlier programs made it, is read as it is and taken on. */
static void test_the_schema_before_is_taken_on(void **state)
{
    (void)state;
    static const char *const made[] = {
        "PRAGMA journal_mode=WAL",
        ("CREATE TABLE series(id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, app TEXT NOT NULL, "
         "workload TEXT NOT NULL, segment TEXT NOT NULL, site TEXT NOT NULL, peer TEXT NOT NULL, "
         "kind TEXT NOT NULL, UNIQUE(workload, app, namespace, site, segment, peer, kind))"),
        ("CREATE TABLE minutes(at INTEGER NOT NULL, series INTEGER NOT NULL, count INTEGER NOT "
         "NULL, sum INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL, sketch BLOB, "
         "PRIMARY KEY(at, series)) WITHOUT ROWID"),
        ("CREATE TABLE hours(at INTEGER NOT NULL, series INTEGER NOT NULL, count INTEGER NOT "
         "NULL, sum INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL, sketch BLOB, "
         "PRIMARY KEY(at, series)) WITHOUT ROWID"),
        ("CREATE TABLE days(at INTEGER NOT NULL, series INTEGER NOT NULL, count INTEGER NOT "
         "NULL, sum INTEGER NOT NULL, min INTEGER NOT NULL, max INTEGER NOT NULL, sketch BLOB, "
         "PRIMARY KEY(at, series)) WITHOUT ROWID"),
        ("CREATE TABLE mark(name TEXT PRIMARY KEY, at INTEGER NOT NULL, series INTEGER NOT NULL) "
         "WITHOUT ROWID"),
        "INSERT INTO series VALUES(1, 'default', 'shop', 'web', '', 'edge/nyc', '', 'latency_us')",
        "INSERT INTO hours VALUES(480000, 1, 60, 600, 10, 10, NULL)",
        "INSERT INTO minutes VALUES(28800000, 1, 60, 600, 10, 10, NULL)",
        "INSERT INTO minutes VALUES(28800060, 1, 1, 5, 5, 5, NULL)",
        "INSERT INTO mark VALUES('hours', 480001, 0)",
        "PRAGMA application_id=1112691789",
        "PRAGMA user_version=1",
    };
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        (void)sql(made[i]);
    struct rollup_options reader = {.read_only = true};
    struct rollup *rollup = open_it(&reader);
    struct sums sums = query(rollup, "web", 0, INT64_MAX, ROLLUP_HOURS);
    assert_int_equal(sums.rows, 2);
    assert_int_equal(sums.sum, 605);
    assert_int_equal(sql("PRAGMA user_version"), 1); /* a reader changes nothing */
    memset(ids, 0, sizeof ids);
    struct rollup *writer = open_it(NULL);
    assert_int_equal(sql("PRAGMA user_version"), 2);
    write_one(writer, 0, BEGIN, 7); /* of the hour that is merged */
    write_one(writer, 0, BEGIN + HOUR, 3);
    assert_int_equal(ids[0], 1);
    for (int folded = 0; folded < 2; folded++) {
        sums = query(rollup, "web", 0, INT64_MAX, ROLLUP_HOURS); /* the reader is still there */
        assert_int_equal(sums.rows, 2);
        assert_int_equal(sums.sum, 615);
        assert_int_equal(sums.count, 63);
        assert_int_equal(query(writer, "web", 0, INT64_MAX, ROLLUP_DAYS).sum, 615);
        assert_int_equal(query(writer, "web", 0, BEGIN + HOUR, ROLLUP_HOURS).sum, 607);
        compact_all(writer, BEGIN + DAY);
    }
    rollup_close(rollup);
    rollup_close(writer);
}

/* A sketch that a disk damaged fails what reads it, with a name, and nothing else. */
static void test_a_damaged_sketch_is_said(void **state)
{
    (void)state;
    struct rollup *rollup = open_it(NULL);
    struct error err = {0};
    memset(ids, 0, sizeof ids);
    write_one(rollup, 0, BEGIN, 10);
    assert_int_equal(rollup_compact(rollup, BEGIN + MINUTE, &err), 1);
    (void)sql("UPDATE minutes SET sketch=x'0102'");
    struct sums sums = {0};
    struct rollup_filter filter = {.kind = -1};
    assert_true(rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_MINUTES, sum_up, &sums, &err) <
                0);
    assert_non_null(strstr(err.text, "damaged"));
    assert_true(rollup_compact(rollup, BEGIN + 3 * DAY, &err) < 0);
    assert_non_null(strstr(err.text, "damaged"));
    rollup_close(rollup);
}

/* So do fresh cells, of which nothing is lost by that: what can be read again goes on. */
static void test_damaged_fresh_cells_are_said(void **state)
{
    (void)state;
    struct rollup *rollup = open_it(NULL);
    struct error err = {0};
    memset(ids, 0, sizeof ids);
    write_one(rollup, 0, BEGIN, 10);
    write_one(rollup, 1, BEGIN, 10);
    static const char *const damages[] = {"x''", "x'02'", "x'0108'", "x'010101'", "x'01000000'"};
    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        char statement[128];
        str_format(statement, sizeof statement,
                   "INSERT INTO fresh(id, first, last, cells) VALUES(99, 0, 0, %s)", damages[i]);
        (void)sql(statement);
        struct sums sums = {0};
        struct rollup_filter filter = {.kind = -1};
        assert_int_equal(
            rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_MINUTES, sum_up, &sums, &err),
            ERR_CORRUPT);
        assert_non_null(strstr(err.text, "metrics.db"));
        assert_int_equal(rollup_compact(rollup, BEGIN + DAY, &err), ERR_CORRUPT);
        assert_non_null(strstr(err.text, "metrics.db"));
        assert_int_equal(sql("SELECT count(*) FROM fresh"), 3);
        (void)sql("DELETE FROM fresh WHERE id=99");
    }
    compact_all(rollup, BEGIN + DAY);
    assert_int_equal(query(rollup, NULL, 0, INT64_MAX, ROLLUP_DAYS).sum, 20);
    rollup_close(rollup);
}

/* Writes and compacts until it is killed; says each commit on the pipe. */
static void child(int out)
{
    struct rollup *rollup = NULL;
    struct error err;
    if (rollup_open(path, NULL, &rollup, &err) < 0)
        _exit(2);
    for (int64_t i = 0;; i++) {
        struct rollup_cell cells[WORKLOADS];
        struct metrics_key keys[WORKLOADS];
        int64_t left_out;
        for (int k = 0; k < WORKLOADS; k++) {
            keys[k] = (struct metrics_key){"default", "shop", names[k], "", "edge/nyc", ""};
            cells[k] = (struct rollup_cell){.key = &keys[k],
                                            .kind = SAMPLE_REQUESTS,
                                            .series = &ids[k],
                                            .minute = BEGIN / MINUTE + i * 7,
                                            .count = 1,
                                            .sum = 3};
        }
        if (rollup_write(rollup, cells, WORKLOADS, &left_out, &err) < 0)
            _exit(3);
        if (write(out, "w", 1) != 1)
            _exit(4);
        if (rollup_compact(rollup, BEGIN + i * 7 * MINUTE, &err) < 0)
            _exit(5);
    }
}

static void test_a_kill_loses_and_doubles_nothing(void **state)
{
    (void)state;
    int64_t acknowledged = 0;
    int64_t uncertain = 0;
    for (int round = 0; round < 12; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        memset(ids, 0, sizeof ids);
        pid_t pid = fork();
        if (pid == 0) {
            close(ends[0]);
            child(ends[1]);
        }
        assert_true(pid > 0);
        close(ends[1]);
        char said[4096];
        int64_t enough = acknowledged + 50 + (int64_t)chance(200);
        ssize_t bytes;
        bool killed = false;
        while ((bytes = read(ends[0], said, sizeof said)) > 0) {
            acknowledged += bytes;
            if (acknowledged >= enough && !killed) {
                killed = true;
                kill(pid, SIGKILL);
            }
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        close(ends[0]);
        uncertain++; /* the commit under way then may have been done or not */
        struct rollup *rollup = open_it(NULL);
        struct sums before = query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_DAYS);
        assert_in_range(before.sum, acknowledged * WORKLOADS * 3,
                        (acknowledged + uncertain) * WORKLOADS * 3);
        assert_int_equal(before.sum % (WORKLOADS * 3), 0);
        compact_all(rollup, BEGIN + 1000 * DAY);
        assert_int_equal(query(rollup, NULL, INT64_MIN, INT64_MAX, ROLLUP_DAYS).sum, before.sum);
        rollup_close(rollup);
    }
}

/* ---- the feed ---- */

static struct rollup_feed *feed_open(void)
{
    struct rollup_feed *feed = NULL;
    struct error err = {0};
    struct rollup_feed_options options = {.flush_us = SECOND, .retry_us = 20 * US_PER_MS};
    if (rollup_feed_open(path, &options, &feed, &err) < 0)
        fail_msg("%s", err.text);
    return feed;
}

static void test_a_feed_makes_rows(void **state)
{
    (void)state;
    struct rollup_feed *feed = feed_open();
    struct metrics_sink sink = rollup_feed_sink(feed);
    struct metrics_key key = {"default", "shop", "web", "eu", "edge/nyc", ""};
    struct metrics_key pair = {"", "", "", "", "edge/nyc", "gcp/us-central1"};
    struct sketch sketch = {0};
    struct message_sketch told = {.kind = SAMPLE_LATENCY_US};
    for (int i = 1; i <= 10; i++)
        sketch_add(&sketch, i * 1000);
    sketch_to_message(&sketch, &told);
    int64_t now_us = BEGIN;
    for (int second = 0; second < 180; second++) {
        now_us += SECOND;
        int row = sink.row(sink.context, &key, now_us);
        assert_int_equal(row, sink.row(sink.context, &key, now_us));
        sink.add(sink.context, row, SAMPLE_REQUESTS, second, now_us);
        sink.add_sketch(sink.context, row, &told, now_us);
        sink.add(sink.context, sink.row(sink.context, &pair, now_us), SAMPLE_RTT_US, 80000, now_us);
        rollup_feed_flush(feed, now_us);
        if (second % 20 == 0)
            assert_true(rollup_feed_wait(feed, 60 * SECOND));
    }
    assert_int_equal(rollup_feed_state(feed).readings, 540);
    assert_int_equal(rollup_feed_state(feed).failures, 0);
    rollup_feed_close(feed);
    struct rollup *rollup = open_it(NULL);
    struct sums sums = query(rollup, "web", INT64_MIN, INT64_MAX, ROLLUP_MINUTES);
    assert_int_equal(sums.sketched, 1800);
    struct sums requests = {0};
    struct rollup_filter filter = {.segment = "eu", .kind = SAMPLE_REQUESTS};
    struct error err = {0};
    assert_int_equal(
        rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_MINUTES, sum_up, &requests, &err), 0);
    assert_int_equal(requests.rows, 4); /* the last second is of the next minute */
    assert_int_equal(requests.count, 180);
    assert_int_equal(requests.sum, 179 * 90);
    assert_int_equal(requests.max, 179);
    requests = (struct sums){0};
    filter = (struct rollup_filter){.peer = "gcp/us-central1", .kind = -1};
    assert_int_equal(
        rollup_query(rollup, &filter, 0, INT64_MAX, ROLLUP_DAYS, sum_up, &requests, &err), 0);
    assert_int_equal(requests.count, 180);
    assert_int_equal(requests.sum / requests.count, 80000);
    rollup_close(rollup);
    sketch_done(&sketch);
}

/* No file may grow: what a full disk does. Metrics go on, it is said once, nothing is lost. */
static void test_a_full_disk_stops_nothing(void **state)
{
    (void)state;
    struct rollup_feed *feed = feed_open();
    struct metrics_sink sink = rollup_feed_sink(feed);
    struct metrics_key key = {"default", "shop", "web", "", "edge/nyc", ""};
    int row = sink.row(sink.context, &key, BEGIN);
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 4096, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    int64_t now_us = BEGIN;
    for (int i = 0; i < 300; i++) {
        now_us += SECOND;
        if (i == 30)
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
        if (i == 250)
            assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        sink.add(sink.context, row, SAMPLE_REQUESTS, 2, now_us);
        rollup_feed_flush(feed, now_us);
        if (i < 30)
            assert_true(rollup_feed_wait(feed, 60 * SECOND));
        else if (i < 250 && rollup_feed_state(feed).failures == 0)
            (void)rollup_feed_wait(feed, 60 * SECOND); /* until it fails */
        if (i == 249) {
            struct rollup_feed_state state_now = rollup_feed_state(feed);
            assert_true(state_now.failing);
            assert_int_equal(state_now.failures, 1);
            assert_non_null(strstr(state_now.text, "metrics.db"));
            assert_true(state_now.pending >= 3);
        }
    }
    for (int i = 0; i < 6000 && rollup_feed_state(feed).failing; i++)
        usleep(10000);
    assert_false(rollup_feed_state(feed).failing);
    assert_int_equal(rollup_feed_state(feed).lost, 0);
    rollup_feed_close(feed);
    (void)signal(SIGXFSZ, handler);
    struct rollup *rollup = open_it(NULL);
    struct sums sums = query(rollup, "web", INT64_MIN, INT64_MAX, ROLLUP_DAYS);
    assert_int_equal(sums.sum, 600);
    assert_int_equal(sums.count, 300);
    rollup_close(rollup);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_rows_come_back),
        TEST(test_clock_steps_lose_and_double_nothing),
        TEST(test_what_is_old_goes),
        TEST(test_series_have_a_limit),
        TEST(test_what_is_no_rollup_is_left_alone),
        TEST(test_a_minute_becomes_rows_once),
        TEST(test_many_blobs_and_many_cells),
        TEST(test_the_schema_before_is_taken_on),
        TEST(test_a_damaged_sketch_is_said),
        TEST(test_damaged_fresh_cells_are_said),
        TEST(test_a_kill_loses_and_doubles_nothing),
        TEST(test_a_feed_makes_rows),
        TEST(test_a_full_disk_stops_nothing),
    };
    return cmocka_run_group_tests_name("rollup", tests, NULL, NULL);
}
