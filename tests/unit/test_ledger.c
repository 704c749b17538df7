#include "scheduler/ledger/ledger.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"

static const char world_text[] =
    "world: test\n"
    "accounts:\n"
    "  - {name: own, provider: edge}\n"
    "  - {name: aws-main, provider: aws}\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: own, price: {cpu: 0.05, memory: 0.01}}\n"
    "  - name: aws/one\n"
    "    tier: cloud\n"
    "    account: aws-main\n"
    "    tags: {team: blue}\n"
    "    price: {cpu: 0.04, memory: 0.005}\n"
    "    overhead: 10%\n"
    "egress:\n"
    "  - name: aws-out\n"
    "    from: aws/*\n"
    "    to: '*'\n"
    "    per: GiB\n"
    "    month_to_date: 10239GiB\n"
    "    tiers: [{up_to: 10240GiB, price: 0.09}, {price: 0.085}]\n"
    "  - {name: edge-in, from: '*', to: edge/*, payer: receiver, per: GB, tiers: [{price: "
    "0.01}]}\n";

static const char app_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - name: cache\n"
    "    run: {driver: process, artifact: 'file:/bin/true'}\n"
    "    resources: {cpu: 500m, memory: 1GiB}\n"
    "users:\n"
    "  - {name: web, site: client/web}\n"
    "links:\n"
    "  - {from: web, to: cache, calls: 1/s, request: 1KiB, response: 1KiB}\n";

/* 2026-11-10T12:00:00Z */
#define NOON (INT64_C(1794312000) * US_PER_S)
#define GIB  (INT64_C(1) << 30)

struct fixture {
    struct arena arena;
    struct world world;
    struct app app;
    char directory[256];
    char path[300];
    struct ledger *ledger;
};

static void open_ledger(struct fixture *f, const char *path)
{
    struct error err = {0};
    if (ledger_open(path, &f->ledger, &err) < 0)
        fail_msg("open: %s", err.text);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct error err = {0};
    assert_non_null(f);
    arena_init(&f->arena, (size_t)16 << 20);
    if (world_parse("world", world_text, strlen(world_text), &f->arena, &f->world, &err) < 0 ||
        app_parse("app", app_text, strlen(app_text), &f->arena, &f->app, &err) < 0)
        fail_msg("%s", err.text);
    str_format(f->directory, sizeof(f->directory), "%s/ledger-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(f->directory));
    str_format(f->path, sizeof(f->path), "%s/ledger.db", f->directory);
    open_ledger(f, f->path);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    static const char *const endings[] = {"", "-wal", "-shm", "-journal"};
    ledger_close(f->ledger);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char file[320];
        str_format(file, sizeof(file), "%s%s", f->path, endings[i]);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(f->directory), 0);
    arena_done(&f->arena);
    free(f);
    return 0;
}

static struct ledger_who at(const struct fixture *f, const char *site)
{
    int index = world_site(&f->world, site);
    assert_true(index >= 0);
    return (struct ledger_who){&f->world, &f->app, 0, index};
}

static void ok(int rc, const struct error *err)
{
    if (rc < 0)
        fail_msg("%s", err->text);
}

static nusd total(struct fixture *f, const struct ledger_filter *filter, nusd *ret_predicted)
{
    struct ledger_sum *sums = NULL;
    struct error err = {0};
    int count = 0;
    ok(ledger_sums(f->ledger, filter, 0, &f->arena, &sums, &count, &err), &err);
    if (ret_predicted != NULL)
        *ret_predicted = count == 0 ? 0 : sums[0].predicted;
    return count == 0 ? 0 : sums[0].amount;
}

/* Half a vCPU for 90 minutes at $0.05, 1 GiB for them at $0.01, over two hours' rows. */
static void test_reserved_is_charged_by_the_second(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "edge/one");
    int64_t end = NOON + US_PER_HOUR + US_PER_HOUR / 2;
    ok(ledger_reserve(f->ledger, &who, 500, GIB, NOON, end, &err), &err);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 37500000 + 15000000);
    filter.to_us = NOON + 1; /* the first hour's rows only */
    assert_true(total(f, &filter, NULL) == 25000000 + 10000000);
    /* In 7,001 pieces that begin and end anywhere: the same to the last nano-dollar. */
    struct ledger_filter all = {0};
    nusd before = total(f, &all, NULL);
    int64_t from = NOON;
    for (int i = 1; i <= 7001; i++) {
        int64_t to = NOON + (end - NOON) / 7001 * i;
        to = i == 7001 ? end : to;
        ok(ledger_reserve(f->ledger, &who, 500, GIB, from, to, &err), &err);
        from = to;
    }
    assert_true(total(f, &all, NULL) == 2 * before);
}

static void test_overhead_is_a_row_of_its_own(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    ok(ledger_reserve(f->ledger, &who, 1000, 2 * GIB, NOON, NOON + US_PER_HOUR, &err), &err);
    struct ledger_filter filter = {.term = "datacentre"};
    /* 0.04 + 0.01, and a tenth of both; 2 GiB / 10 is cut to whole bytes: 0.4 of 2^30 / 0.005. */
    nusd sum = total(f, &filter, NULL);
    assert_true(sum >= 54999999 && sum <= 55000000);
    filter.term = "edge";
    assert_true(total(f, &filter, NULL) == 0);
}

static void test_a_client_pays_nobody(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "client/web");
    ok(ledger_reserve(f->ledger, &who, 1000, GIB, NOON, NOON + US_PER_HOUR, &err), &err);
    ok(ledger_store(f->ledger, &who, GIB, NOON, NOON + US_PER_HOUR, &err), &err);
    ok(ledger_transfer(f->ledger, &who, world_site(&f->world, "aws/one"), GIB, NOON, &err), &err);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 0);
}

/* The world says that 10,239 GiB of the month were used before: one GiB is left at $0.09. */
static void test_tiers_are_divided_to_the_byte(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    int web = world_site(&f->world, "client/web");
    assert_true(ledger_meter_bytes(f->ledger, "aws-main", "aws-out", NOON) == 0);
    ok(ledger_transfer(f->ledger, &who, web, 3 * GIB, NOON, &err), &err);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 90000000 + 2 * 85000000);
    assert_true(ledger_meter_bytes(f->ledger, "aws-main", "aws-out", NOON) == 10242 * GIB);
    /* Byte by byte across a border is the same as at once: a new ledger, all in single KiB. */
    ledger_close(f->ledger);
    open_ledger(f, ":memory:");
    for (int i = 0; i < 3 << 10; i++)
        ok(ledger_transfer(f->ledger, &who, web, 1 << 20, NOON, &err), &err);
    assert_true(total(f, &filter, NULL) == 90000000 + 2 * 85000000);
}

/* A new month begins at nothing: the document's figure was of the first one. */
static void test_a_month_begins_at_zero(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    int web = world_site(&f->world, "client/web");
    int64_t month;
    int64_t next;
    ledger_month(NOON, &month, &next);
    ok(ledger_transfer(f->ledger, &who, web, GIB, next - 1, &err), &err);
    ok(ledger_transfer(f->ledger, &who, web, GIB, next, &err), &err);
    assert_true(ledger_meter_bytes(f->ledger, "aws-main", "aws-out", next - 1) == 10240 * GIB);
    assert_true(ledger_meter_bytes(f->ledger, "aws-main", "aws-out", next) == GIB);
    ok(ledger_flush(f->ledger, &err), &err);
    ledger_close(f->ledger);
    open_ledger(f, f->path);
    ok(ledger_transfer(f->ledger, &who, web, GIB, next + US_PER_HOUR, &err), &err);
    assert_true(ledger_meter_bytes(f->ledger, "aws-main", "aws-out", next) == 2 * GIB);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 3 * 90000000);
}

static int news(struct fixture *f, const struct estimates *told, int64_t at_us,
                struct estimate list[4])
{
    return ledger_meters_news(f->ledger, &f->world, told, at_us, list, 4);
}

/* Told is what may have changed the next byte's price; a meter of one tier never does. */
static void test_meters_are_news_when_a_price_may_be_another(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    struct estimate first[4];
    struct estimate list[4];
    struct estimates told = {first, 0};
    assert_int_equal(news(f, &told, NOON, first), 0);
    ok(ledger_transfer(f->ledger, &who, world_site(&f->world, "edge/one"), 100, NOON, &err), &err);
    assert_int_equal(news(f, &told, NOON, first), 1);
    assert_int_equal(first[0].kind, ESTIMATE_METER_BYTES);
    assert_string_equal(first[0].site, "aws-main");
    assert_string_equal(first[0].peer, "aws-out");
    assert_true(first[0].value == 10239 * GIB + 100);
    told.count = 1;
    assert_int_equal(news(f, &told, NOON, list), 0);
    /* Not yet a hundredth, then a border. */
    int web = world_site(&f->world, "client/web");
    ok(ledger_transfer(f->ledger, &who, web, GIB - 101, NOON, &err), &err);
    assert_int_equal(news(f, &told, NOON, list), 0);
    ok(ledger_transfer(f->ledger, &who, web, 1, NOON, &err), &err);
    assert_int_equal(news(f, &told, NOON, list), 1);
    assert_true(list[0].value == 10240 * GIB);
    first[0] = list[0];
    ok(ledger_transfer(f->ledger, &who, web, 102 * GIB, NOON, &err), &err);
    assert_int_equal(news(f, &told, NOON, list), 0);
    ok(ledger_transfer(f->ledger, &who, web, GIB, NOON, &err), &err);
    assert_int_equal(news(f, &told, NOON, list), 1);
    first[0] = list[0];
    /* The next month begins with nothing, which is said once. */
    int64_t from_us;
    int64_t next_us;
    ledger_month(NOON, &from_us, &next_us);
    assert_int_equal(news(f, &told, next_us, list), 1);
    assert_true(list[0].value == 0 && list[0].at_us == next_us);
    first[0] = list[0];
    assert_int_equal(news(f, &told, next_us, list), 0);
    ok(ledger_transfer(f->ledger, &who, web, 1, next_us, &err), &err);
    assert_int_equal(news(f, &told, next_us, list), 1);
    assert_int_equal(ledger_meters_news(f->ledger, &f->world, &told, next_us, list, 0), 0);
}

static void test_both_sides_may_be_charged(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    ok(ledger_transfer(f->ledger, &who, world_site(&f->world, "edge/one"), 1000000000, NOON, &err),
       &err);
    struct ledger_filter sender = {.account = "aws-main"};
    struct ledger_filter receiver = {.account = "own"};
    /* 10^9 bytes are 0.931322574615478515625 GiB. */
    assert_true(total(f, &sender, NULL) == 83819032);
    assert_true(total(f, &receiver, NULL) == 10000000);
}

static void test_what_is_flushed_survives(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "edge/one");
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON, NOON + 60 * US_PER_S, &err), &err);
    ledger_accrued(f->ledger, NOON + 60 * US_PER_S);
    ok(ledger_flush(f->ledger, &err), &err);
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON + 60 * US_PER_S, NOON + US_PER_HOUR, &err),
       &err);
    ledger_accrued(f->ledger, NOON + US_PER_HOUR);
    ledger_close(f->ledger); /* as after a crash: not flushed */
    open_ledger(f, f->path);
    assert_int_equal(ledger_accrued_us(f->ledger), NOON + 60 * US_PER_S);
    ok(ledger_reserve(f->ledger, &who, 1000, 0, ledger_accrued_us(f->ledger), NOON + US_PER_HOUR,
                      &err),
       &err);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 50000000);
    /* A clock that steps back moves nothing back. */
    ledger_accrued(f->ledger, NOON + US_PER_HOUR);
    ledger_accrued(f->ledger, NOON);
    assert_int_equal(ledger_accrued_us(f->ledger), NOON + US_PER_HOUR);
}

static void test_a_price_that_changes_begins_a_row(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "edge/one");
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON, NOON + US_PER_HOUR / 2, &err), &err);
    f->world.sites[who.site].cpu_price = (struct decimal){7, 2};
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON + US_PER_HOUR / 2, NOON + US_PER_HOUR, &err),
       &err);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 25000000 + 35000000);
}

static void test_sums_and_filters(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who edge = at(f, "edge/one");
    struct ledger_who aws = at(f, "aws/one");
    ok(ledger_reserve(f->ledger, &edge, 1000, 0, NOON, NOON + US_PER_HOUR, &err), &err);
    ok(ledger_store(f->ledger, &aws, GIB, NOON, NOON + US_PER_HOUR, &err), &err);
    ok(ledger_custom(f->ledger, &aws, "carbon", 730 * NUSD_PER_USD, NOON, NOON + US_PER_HOUR, &err),
       &err);
    ok(ledger_predict(f->ledger, &edge, TERM_EDGE, 730 * NUSD_PER_USD, NOON, NOON + US_PER_HOUR / 4,
                      &err),
       &err);
    struct ledger_filter filter = {.tag_key = "team"};
    assert_true(total(f, &filter, NULL) == NUSD_PER_USD); /* storage has no price here */
    filter.tag_value = "red";
    assert_true(total(f, &filter, NULL) == 0);
    filter = (struct ledger_filter){.app = "shop", .namespace_ = "default"};
    struct ledger_sum *sums = NULL;
    int count = 0;
    ok(ledger_sums(f->ledger, &filter, LEDGER_BY_TERM | LEDGER_BY_SITE, &f->arena, &sums, &count,
                   &err),
       &err);
    assert_int_equal(count, 3);
    assert_string_equal(sums[0].key, "custom\taws/one");
    assert_string_equal(sums[1].key, "edge\tedge/one");
    assert_true(sums[1].amount == 50000000 && sums[1].predicted == NUSD_PER_USD / 4);
    assert_string_equal(sums[2].key, "storage\taws/one");
    filter.tag_key = "no such key";
    assert_int_equal(ledger_sums(f->ledger, &filter, LEDGER_BY_TAG, &f->arena, &sums, &count, &err),
                     ERR_INVALID);
    filter = (struct ledger_filter){.tag_key = "team"};
    ok(ledger_sums(f->ledger, &filter, LEDGER_BY_TAG | LEDGER_BY_DAY, &f->arena, &sums, &count,
                   &err),
       &err);
    assert_int_equal(count, 1);
    assert_string_equal(sums[0].key, "2026-11-10\tblue");
}

/* $1 in each night hour, $3 in each of the day's: the month's end is known after two days. */
static void test_forecast_follows_the_day(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "edge/one");
    int64_t month;
    int64_t next;
    ledger_month(NOON, &month, &next);
    nusd whole = 0;
    for (int hour = 0; hour < 30 * 24; hour++) {
        int dollars = hour % 24 < 12 ? 1 : 3;
        int64_t from = month + hour * US_PER_HOUR;
        whole += dollars * NUSD_PER_USD;
        if (hour < 9 * 24 + 12)
            ok(ledger_custom(f->ledger, &who, "x", 730 * dollars * NUSD_PER_USD, from,
                             from + US_PER_HOUR, &err),
               &err);
    }
    struct ledger_forecast forecast;
    struct ledger_filter filter = {0};
    ok(ledger_forecast(f->ledger, &filter, NOON, &forecast, &err), &err);
    assert_int_equal(forecast.hours, 9 * 24 + 12);
    assert_true(forecast.to_date == (9 * 48 + 12) * NUSD_PER_USD);
    assert_true(forecast.month == whole);
    /* Nothing is known in a month without history. */
    ok(ledger_forecast(f->ledger, &filter, next + 40 * 24 * US_PER_HOUR, &forecast, &err), &err);
    assert_int_equal(forecast.hours, 0);
    assert_true(forecast.month == 0);
}

static int first_rows(void *context, const struct ledger_row *row, struct error *err)
{
    (void)err;
    struct strbuf *out = context;
    ledger_focus_row(row, out);
    return 0;
}

static void test_focus_rows(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "aws/one");
    ok(ledger_transfer(f->ledger, &who, world_site(&f->world, "client/web"), GIB / 2, NOON, &err),
       &err);
    struct strbuf out;
    strbuf_init(&out, 1 << 20);
    ledger_focus_header(&out);
    struct ledger_filter filter = {0};
    ok(ledger_rows(f->ledger, &filter, first_rows, &out, &err), &err);
    const char *row = strstr(strbuf_text(&out), "\r\n");
    assert_non_null(row);
    assert_string_equal(
        row + 2,
        "aws-main,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,2026-11-10T12:00:00Z,"
        "2026-11-10T13:00:00Z,aws,aws,aws,Networking,aws-out,one,one,default/shop/cache,cache,"
        "Workload,Usage,Usage-Based,aws-out of default/shop/cache at aws/one with client/web,"
        "Standard,0.5,GiB,0.5,GiB,0.09,0.09,0.045,0.045,0.045,0.045,USD,aws/one:egress:aws-out,"
        "\"{\"\"cloud\"\":\"\"aws\"\",\"\"region\"\":\"\"one\"\",\"\"team\"\":\"\"blue\"\","
        "\"\"tier\"\":\"\"cloud\"\"}\",default,shop,cache,egress,client/web,0,0\r\n");
    strbuf_done(&out);
}

static void test_foreign_and_damaged_files_are_refused(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger *other = NULL;
    sqlite3 *db = NULL;
    struct ledger_who who = at(f, "edge/one");
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON, NOON + US_PER_HOUR, &err), &err);
    ok(ledger_flush(f->ledger, &err), &err);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE ledger SET price = 'cheap'", NULL, NULL, NULL),
                     SQLITE_OK);
    struct ledger_filter filter = {0};
    struct ledger_sum *sums;
    int count;
    assert_int_equal(ledger_sums(f->ledger, &filter, 0, &f->arena, &sums, &count, &err),
                     ERR_CORRUPT);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version=9", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ledger_open(f->path, &other, &err), ERR_UNSUPPORTED);
    assert_int_equal(sqlite3_exec(db, "PRAGMA application_id=7", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ledger_open(f->path, &other, &err), ERR_INVALID);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(ledger_open("/nowhere/at/all/ledger.db", &other, &err), ERR_IO);
}

/* A write that fails keeps everything for the next one. */
static void test_a_locked_file_loses_nothing(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    sqlite3 *db = NULL;
    struct ledger_who who = at(f, "edge/one");
    ok(ledger_reserve(f->ledger, &who, 1000, 0, NOON, NOON + US_PER_HOUR, &err), &err);
    assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(ledger_flush(f->ledger, &err), ERR_IO);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 50000000);
}

static void test_what_does_not_fit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    struct ledger_who who = at(f, "edge/one");
    assert_int_equal(ledger_reserve(f->ledger, &who, INT64_MAX, 0, NOON, NOON + US_PER_HOUR, &err),
                     ERR_OVERFLOW);
    assert_int_equal(ledger_reserve(f->ledger, &who, -1, 0, NOON, NOON + US_PER_HOUR, &err),
                     ERR_OVERFLOW);
    assert_int_equal(
        ledger_custom(f->ledger, &who, "x", (nusd)INT64_MAX * 4, NOON, NOON + US_PER_HOUR, &err),
        ERR_OVERFLOW);
    assert_int_equal(ledger_predict(f->ledger, &who, TERM_EDGE, (nusd)INT64_MAX * INT64_MAX, NOON,
                                    NOON + US_PER_HOUR, &err),
                     ERR_OVERFLOW);
    struct ledger_filter filter = {0};
    assert_true(total(f, &filter, NULL) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reserved_is_charged_by_the_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overhead_is_a_row_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_client_pays_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tiers_are_divided_to_the_byte, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_month_begins_at_zero, setup, teardown),
        cmocka_unit_test_setup_teardown(test_meters_are_news_when_a_price_may_be_another, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_both_sides_may_be_charged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_flushed_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_price_that_changes_begins_a_row, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sums_and_filters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forecast_follows_the_day, setup, teardown),
        cmocka_unit_test_setup_teardown(test_focus_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign_and_damaged_files_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_locked_file_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_does_not_fit_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
