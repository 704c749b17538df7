/* Recorded load: each format in small, what is laid where, and what is refused with its line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "metrics/rollup.h"
#include "simulator/traces/lines.h"
#include "simulator/traces/names.h"
#include "simulator/traces/summary.h"
#include "simulator/traces/trace.h"

#define ORIGIN_US (1000 * US_PER_S)
#define MINUTE_US (60 * US_PER_S)

static struct trace *open_with(const char *text, const struct trace_options *options)
{
    struct trace *trace = NULL;
    struct error err;
    if (trace_open_text("t.csv", text, strlen(text), options, &trace, &err) < 0)
        fail_msg("%s", err.text);
    return trace;
}

static void want(struct trace *trace, int64_t second, const char *workload, int64_t value)
{
    struct trace_row row;
    struct error err = {0};
    if (trace_next(trace, &row, &err) != 1)
        fail_msg("no row at %lld: %s", (long long)second, err.text);
    assert_int_equal(row.at_us - ORIGIN_US, second * US_PER_S);
    assert_string_equal(row.workload, workload);
    assert_int_equal(row.value, value);
}

static void want_end(struct trace *trace)
{
    struct trace_row row;
    struct error err = {0};
    if (trace_next(trace, &row, &err) != 0)
        fail_msg("no end: %s", err.text);
    trace_close(trace);
}

static void refuse_with(const char *text, const struct trace_options *options, const char *sentence)
{
    struct trace *trace = NULL;
    struct trace_row row;
    struct error err = {0};
    int rc = trace_open_text("t.csv", text, strlen(text), options, &trace, &err);
    while (rc >= 0 && (rc = trace_next(trace, &row, &err)) > 0)
        continue;
    if (rc >= 0)
        fail_msg("was taken: %s", text);
    trace_close(trace);
    if (strstr(err.text, sentence) == NULL)
        fail_msg("\"%s\" is not in: %s", sentence, err.text);
}

static void refuse(const char *text, const char *sentence)
{
    refuse_with(text, &(struct trace_options){.origin_us = 0}, sentence);
}

static const struct trace_options plain = {.origin_us = ORIGIN_US};

/* ---- our own ---- */

static void rows_are_read_one_by_one(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "calls, time,workload\n10,0,shop/web\n# a remark\n\n2.5,60,\"shop/web\"\n",
        "{\"time\": 0, \"workload\": \"shop/web\", \"calls\": 10}\n"
        "{\"time\": \"1970-01-01T00:17:40Z\", \"workload\": \"shop/web\", \"calls\": 2.5}\n",
    };
    for (int i = 0; i < 2; i++) {
        struct trace *trace = open_with(texts[i], &plain);
        want(trace, 0, "shop/web", 10000);
        want(trace, 60, "shop/web", 2500);
        assert_string_equal(trace_format(trace), trace_format_words[i]);
        assert_int_equal(trace_counts(trace)->rows, 2);
        want_end(trace);
    }
}

static void a_wrong_trace_is_refused_with_its_line(void **state)
{
    (void)state;
    refuse("time,calls\n60,1\n0,1\n", "t.csv:3: time goes back");
    refuse("when,calls\n60,1\n", "names no column \"time\"");
    refuse("time,calls,count\n", "\"calls\" and \"count\"");
    refuse("time,calls\n60\n", "t.csv:2: 1 cells where the head line has 2");
    refuse("time,calls\n60,-1\n", "calls \"-1\"");
    refuse("time,calls\n60,nan\n", "calls \"nan\"");
    refuse("time,calls\n60,1e300\n", "calls \"1e300\"");
    refuse("time,calls\nnoon,1\n", "time \"noon\"");
    refuse("time,calls\n60,\"1\n", "a quote is not closed");
    refuse("{\"time\": 1}\n", "\"calls\" is missing");
    refuse("{\"time\": 1,\n", "not a JSON object");
    refuse("{\"time\": 1, \"calls\": 1}\n{\"time\": 2, \"count\": 1}\n", "t.csv:2: counts and");
    refuse("\n\n", "has no rows");
    refuse_with("time,calls\n", &(struct trace_options){.format = "cvs"}, "\"cvs\": there are csv");
    refuse_with("time,calls\n", &(struct trace_options){.from = "noon"}, "from \"noon\"");
    refuse_with("time,calls\n", &(struct trace_options){.from = "9", .to = "9"}, "is not before");
}

static void a_region_is_part_of_a_rows_name(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "region,time,workload,calls\neu,0,shop/web,10\n,60,shop/db,20\nus,60,,30\n",
        "{\"time\": 0, \"workload\": \"shop/web\", \"region\": \"eu\", \"calls\": 10}\n"
        "{\"time\": 60, \"workload\": \"shop/db\", \"region\": \"\", \"calls\": 20}\n"
        "{\"time\": 60, \"region\": \"us\", \"calls\": 30}\n",
        /* What berth trace convert writes of it. */
        "time,workload,calls\n0,shop/web@eu,10\n60,shop/db,20\n60,@us,30\n",
    };
    for (int i = 0; i < 3; i++) {
        struct trace *trace = open_with(texts[i], &plain);
        want(trace, 0, "shop/web@eu", 10000);
        want(trace, 60, "shop/db", 20000);
        want(trace, 60, "@us", 30000);
        assert_false(trace_counts(trace)->unended);
        want_end(trace);
    }
    /* Counts are added up by region too. */
    struct trace *trace =
        open_with("time,region,workload,count\n20,eu,a,60\n21,us,a,120\n22,eu,a,60\n", &plain);
    want(trace, 20, "a@eu", 2000);
    want(trace, 20, "a@us", 2000);
    want_end(trace);
    refuse("time,workload,region,calls\n0,a@eu,us,1\n", "t.csv:2: workload \"a@eu\" and region");
    refuse("time,workload,region,calls\n0,a,eu@us,1\n", "write the region once");
    refuse("{\"time\": 1, \"calls\": 1, \"region\": {}}\n", "\"region\" is neither a number");
    char text[512];
    char name[101];
    memset(name, 'r', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    str_format(text, sizeof(text), "time,region,workload,calls\n0,%s,%s,1\n", name, name);
    refuse(text, "have more than 158 bytes together");
}

static void a_map_without_a_region_keeps_the_rows_region(void **state)
{
    (void)state;
    static const char rows[] = "time,workload,region,calls\n0,web,eu,1\n0,web,us,2\n0,web,,4\n"
                               "0,api,eu,8\n0,apis,us,16\n0,else,us,32\n";
    static const struct trace_map map[] = {
        {"web@us", "shop/web@america"}, {"web", "shop/web"}, {"api*", "shop/api"}};
    struct trace_options options = {.origin_us = ORIGIN_US, .map = map, .map_count = 3};
    struct trace *trace = open_with(rows, &options);
    want(trace, 0, "shop/web@eu", 1000);
    want(trace, 0, "shop/web@america", 2000);
    want(trace, 0, "shop/web", 4000);
    want(trace, 0, "shop/api@eu", 8000);
    want(trace, 0, "shop/api@us", 16000);
    want_end(trace);
    static const struct trace_map all[] = {{"web@*", "shop/web"}, {"a*", "shop/api@eu"}};
    options.map = all;
    options.map_count = 2;
    trace = open_with("time,workload,region,calls\n0,web,eu,1\n0,web,us,2\n0,web,,4\n", &options);
    want(trace, 0, "shop/web", 1000);
    want(trace, 0, "shop/web", 3000);
    want_end(trace); /* without a region it is not in the map */
    refuse_with("time,workload,region,calls\n0,api,us,1\n", &options,
                "\"api@us\" names a region, and so does what the map sends it to");
}

static void a_last_line_without_an_end_is_told(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct trace *trace = open_with(i == 0 ? "time,calls\n0,12\n" : "time,calls\n0,12", &plain);
        want(trace, 0, "", 12000);
        struct trace_row row;
        struct error err = {0};
        assert_int_equal(trace_next(trace, &row, &err), 0);
        assert_int_equal(trace_counts(trace)->unended, i == 1);
        trace_close(trace);
    }
}

static void dates_and_numbers_are_exact(void **state)
{
    (void)state;
    int64_t us;
    assert_int_equal(trace_date("2026-02-31", &us), ERR_INVALID);
    assert_int_equal(trace_date("2026-02-28T24:00:00Z", &us), ERR_INVALID);
    assert_int_equal(trace_date("2026-02-28T23:00:00Y", &us), ERR_INVALID);
    assert_int_equal(trace_date("1970-01-02", &us), 0);
    assert_int_equal(us, 24 * US_PER_HOUR);
    /* Every day of 400 years, against the sum of the days before. */
    int64_t days = 0;
    for (int year = 1970; year < 2370; year++)
        for (int month = 1; month <= 12; month++)
            for (int day = 1; day <= 31; day++) {
                char text[16];
                str_format(text, sizeof(text), "%04d-%02d-%02d", year, month, day);
                if (trace_date(text, &us) < 0) {
                    assert_true(day > 28);
                    break;
                }
                assert_int_equal(us, days++ * 24 * US_PER_HOUR);
            }
    assert_int_equal(days, 146097);
    assert_int_equal(trace_date("2026-03-02 12:30:01.25", &us), 0);
    assert_int_equal(us % US_PER_HOUR, 1801250000);
    assert_int_equal(trace_seconds("-0.5", &us), 0);
    assert_int_equal(us, -500000);
    assert_int_equal(trace_seconds("1e3", &us), 0);
    assert_int_equal(us, 1000 * US_PER_S);
    assert_int_equal(trace_seconds("0.177777777777777761234", &us), 0);
    assert_int_equal(us, 177778);
    assert_int_equal(trace_seconds("0.00000005", &us), 0); /* below a half of a microsecond */
    assert_int_equal(us, 0);
    assert_int_equal(trace_seconds("5e-7", &us), 0);
    assert_int_equal(us, 1);
    assert_int_equal(trace_seconds("9e-9999", &us), 0);
    assert_int_equal(us, 0);
    assert_int_equal(trace_seconds("1e", &us), ERR_INVALID);
    assert_int_equal(trace_seconds("", &us), ERR_INVALID);
    assert_int_equal(trace_seconds("9e18", &us), ERR_OVERFLOW);
}

static void counts_become_rates_of_their_bucket(void **state)
{
    (void)state;
    /* The origin is not a whole minute: buckets are those of the clock. */
    struct trace_options options = {.origin_us = ORIGIN_US, .bucket_us = 10 * US_PER_S};
    struct trace *trace = open_with("time,count\n0,30\n5,20\n12,10\n40,10\n", &options);
    want(trace, 0, "", 5000);
    want(trace, 10, "", 1000);
    want(trace, 20, "", 0);
    want(trace, 40, "", 1000);
    want_end(trace);
}

static void a_map_adds_up_and_leaves_out(void **state)
{
    (void)state;
    static const struct trace_map map[] = {{"a", "shop/web"}, {"b*", "shop/web"}};
    struct trace_options options = {.origin_us = ORIGIN_US, .map = map, .map_count = 2};
    struct trace *trace =
        open_with("time,workload,calls\n0,a,1\n0,b1,2\n1,c,9\n2,b2,3\n3,b1,0\n", &options);
    want(trace, 0, "shop/web", 1000);
    want(trace, 0, "shop/web", 3000);
    want(trace, 2, "shop/web", 6000);
    want(trace, 3, "shop/web", 4000);
    assert_int_equal(trace_counts(trace)->left_out, 1);
    want_end(trace);
}

static void a_part_is_laid_at_the_origin_and_stretched(void **state)
{
    (void)state;
    static const char text[] = "time,calls\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n"
                               "2020-01-04,4\n";
    struct trace_options options = {.origin_us = ORIGIN_US,
                                    .from = "2020-01-01T12",
                                    .to = "2020-01-04",
                                    .stretch_ppm = 2000000};
    struct trace *trace = open_with(text, &options);
    want(trace, 0, "", 1000); /* what held at `from` */
    want(trace, 24 * 3600, "", 2000);
    want(trace, 3 * 24 * 3600, "", 3000);
    want_end(trace);
    options = (struct trace_options){.origin_us = ORIGIN_US, .align = true};
    trace = open_with(text, &options);
    want(trace, 0, "", 1000);
    want(trace, 24 * 3600, "", 2000);
    trace_close(trace);
}

static void a_gap_holds_or_is_zero_or_an_error(void **state)
{
    (void)state;
    static const char text[] = "time,workload,calls\n0,a,1\n0,b,2\n10,a,3\n100,a,4\n";
    struct trace_options options = {.origin_us = ORIGIN_US, .gap_us = 20 * US_PER_S};
    struct trace *trace = open_with(text, &options);
    want(trace, 0, "a", 1000);
    want(trace, 0, "b", 2000);
    want(trace, 10, "a", 3000);
    want(trace, 100, "a", 4000);
    assert_int_equal(trace_counts(trace)->gaps, 1);
    assert_int_equal(trace_counts(trace)->longest_gap_us, 90 * US_PER_S);
    want_end(trace);
    options.gap = TRACE_GAP_ZERO;
    trace = open_with(text, &options);
    want(trace, 0, "a", 1000);
    want(trace, 0, "b", 2000);
    want(trace, 10, "a", 3000);
    want(trace, 30, "", 0);
    want(trace, 100, "a", 4000);
    want_end(trace);
    options.gap = TRACE_GAP_ERROR;
    refuse_with(text, &options, "t.csv:5: a gap of 1 min 30 s after");
}

/* ---- those of others ---- */

static void azure_text(struct strbuf *out, int minutes, const char *rows)
{
    strbuf_puts(out, "HashOwner,HashApp,HashFunction,Trigger");
    for (int i = 1; i <= minutes; i++)
        strbuf_printf(out, ",%d", i);
    strbuf_puts(out, "\n");
    strbuf_puts(out, rows);
}

/* `at` minute `count`, else 0. */
static void azure_row(struct strbuf *out, const char *keys, int at, int count)
{
    strbuf_puts(out, keys);
    for (int i = 1; i <= 1440; i++)
        strbuf_printf(out, ",%d", i == at ? count : 0);
    strbuf_puts(out, "\n");
}

static void a_day_of_functions_is_told_by_minute(void **state)
{
    (void)state;
    struct strbuf text;
    struct trace_options options = {.origin_us = ORIGIN_US - ORIGIN_US % MINUTE_US};
    int64_t early_s = (options.origin_us - ORIGIN_US) / US_PER_S;
    strbuf_init(&text, 1 << 20);
    azure_text(&text, 1440, "");
    azure_row(&text, "o1,a1,f1,http", 3, 60);
    azure_row(&text, "o1,a1,f2,timer", 1, 12);
    azure_row(&text, "o1,a2,f3,http", 3, 6);
    struct trace *trace = open_with(strbuf_text(&text), &options);
    want(trace, early_s, "timer", 200);
    want(trace, early_s + 60, "timer", 0);
    want(trace, early_s + 120, "http", 1100);
    assert_int_equal(trace_counts(trace)->first_us, options.origin_us);
    assert_int_equal(trace_counts(trace)->rows, 3);
    want_end(trace);
    static const struct trace_map map[] = {{"f3", "shop/web"}, {"a1", "shop/source"}};
    options.map = map;
    options.map_count = 2;
    trace = open_with(strbuf_text(&text), &options);
    want(trace, early_s, "shop/source", 200);
    want(trace, early_s + 60, "shop/source", 0);
    want(trace, early_s + 120, "shop/web", 100);
    want(trace, early_s + 120, "shop/source", 1000);
    want_end(trace);
    strbuf_reset(&text);
    azure_text(&text, 1439, "");
    refuse(strbuf_text(&text), "no column for minute 1440");
    strbuf_reset(&text);
    azure_text(&text, 1440, "o,a,f,http,1,2\n");
    refuse(strbuf_text(&text), "t.csv:2: 6 cells");
    strbuf_reset(&text);
    azure_text(&text, 1440, "");
    azure_row(&text, "o1,a1,f1,http", 7, -3);
    refuse(strbuf_text(&text), "minute 7: \"-3\"");
    strbuf_done(&text);
}

#define PODS "name,cpu_milli,memory_mib,num_gpu,gpu_milli,qos,creation_time,deletion_time\n"

static void pods_come_and_go(void **state)
{
    (void)state;
    static const char text[] = PODS "p0,1000,2048,0,0,LS,0,100\np1,500,1024,2,1000,LS,10,20\n"
                                    "p2,250,1024,0,0,LS,30,\n";
    struct trace_row row;
    struct error err;
    struct trace *trace = open_with(text, &plain);
    want(trace, 0, "LS/cpu", 1000);
    assert_int_equal(trace_next(trace, &row, &err), 1);
    assert_int_equal(row.kind, TRACE_ARRIVE);
    assert_int_equal(row.gpu_milli, 2000);
    assert_int_equal(row.memory_bytes, INT64_C(1) << 30);
    assert_int_equal(trace_next(trace, &row, &err), 1);
    assert_int_equal(row.kind, TRACE_LEAVE);
    assert_int_equal(row.at_us, ORIGIN_US + 20 * US_PER_S);
    trace_close(trace);
    struct trace_options options = {.origin_us = ORIGIN_US, .measure = TRACE_RUNNING};
    trace = open_with(text, &options);
    want(trace, 0, "LS/cpu", 1000);
    want(trace, 10, "LS/gpu", 1000);
    want(trace, 20, "LS/gpu", 0);
    want(trace, 30, "LS/cpu", 2000);
    want(trace, 100, "LS/cpu", 1000);
    want_end(trace);
    options.measure = TRACE_CORES;
    trace = open_with(text, &options);
    want(trace, 0, "LS/cpu", 1000);
    want(trace, 10, "LS/gpu", 500);
    trace_close(trace);
    refuse(PODS "p0,1000,2048,0,0,LS,50,40\n", "t.csv:2: deletion_time 40 is before");
    refuse(PODS "p0,x,2048,0,0,LS,0,40\n", "cpu_milli \"x\"");
    refuse(PODS "p0,1,2,0,0,LS,50,90\np1,1,2,0,0,LS,49,90\n", "t.csv:3: time goes back");
    refuse_with("time,calls\n", &(struct trace_options){.format = "openb"}, "no column cpu_milli");
}

static void columns_of_services_are_followed(void **state)
{
    (void)state;
    struct trace_row row;
    struct error err;
    struct trace_options options = {.origin_us = ORIGIN_US, .align = true};
    struct trace *trace = open_with("timestamp,front,cart\n2023-09-24 07:29:35,4.5,0.25\n"
                                    "2023-09-24 07:29:40,,0.5\n",
                                    &options);
    want(trace, 0, "front", 4500);
    want(trace, 0, "cart", 250);
    want(trace, 5, "cart", 500);
    assert_int_equal(trace_counts(trace)->empty, 1);
    want_end(trace);
    trace = open_with("timestamp,front_cart&p99\n2023-09-24 07:29:35,12.5\n", &options);
    assert_int_equal(trace_next(trace, &row, &err), 1);
    assert_int_equal(row.kind, TRACE_LATENCY);
    assert_string_equal(row.peer, "cart");
    assert_int_equal(row.value, 12500);
    assert_int_equal(row.quantile_ppm, 990000);
    trace_close(trace);
    refuse("timestamp,front\n2023-09-24 07:29:35,much\n", "t.csv:2: front \"much\"");
    refuse("timestamp,a&p50\n", "caller_callee&p50");
}

/* ---- files ---- */

static void write_gz(const char *path, const char *text)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, text, (unsigned)strlen(text)), strlen(text));
    assert_int_equal(gzclose(file), Z_OK);
}

static void a_gzip_file_is_read_and_a_cut_one_is_told(void **state)
{
    (void)state;
    char folder[] = "traces-XXXXXX";
    char path[64];
    struct strbuf text;
    struct error err = {0};
    struct trace *trace = NULL;
    struct trace_row row;
    assert_non_null(mkdtemp(folder));
    str_format(path, sizeof(path), "%s/t.csv.gz", folder);
    const char *paths[] = {path, path};
    strbuf_init(&text, 8 << 20);
    strbuf_puts(&text, "time,workload,calls\n");
    for (int i = 0; i < 100000; i++)
        strbuf_printf(&text, "%d,w%d,%d\n", i, i % 7, i * 7919 % 1000);
    write_gz(path, strbuf_text(&text));
    assert_int_equal(trace_open(paths, 1, &plain, &trace, &err), 0);
    int64_t rows = 0;
    while (trace_next(trace, &row, &err) == 1)
        assert_int_equal(row.value, rows++ * 7919 % 1000 * 1000);
    assert_int_equal(rows, 100000);
    assert_int_equal(trace_counts(trace)->names, 7);
    trace_close(trace);
    /* The same twice, one behind the other, goes back in time, and the second file says so. */
    assert_int_equal(trace_open(paths, 2, &plain, &trace, &err), 0);
    int rc;
    while ((rc = trace_next(trace, &row, &err)) == 1)
        continue;
    assert_int_equal(rc, ERR_INVALID);
    assert_non_null(strstr(err.text, "t.csv.gz:2: time goes back"));
    trace_close(trace);
    assert_int_equal(truncate(path, 100000), 0);
    assert_int_equal(trace_open(paths, 1, &plain, &trace, &err), 0);
    while ((rc = trace_next(trace, &row, &err)) == 1)
        continue;
    assert_int_equal(rc, ERR_INVALID);
    assert_non_null(strstr(err.text, "the gzip file ends early, after line"));
    trace_close(trace);
    strbuf_done(&text);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(trace_open(paths, 1, &plain, &trace, &err), ERR_NOT_FOUND);
}

/* Two workloads at two sites: requests of three hours, of which only the last has its minutes. */
static void what_berth_recorded_is_told_by_minute(void **state)
{
    (void)state;
    char folder[] = "traces-XXXXXX";
    char path[64];
    struct rollup *rollup = NULL;
    struct error err = {0};
    assert_non_null(mkdtemp(folder));
    str_format(path, sizeof(path), "%s/metrics.db", folder);
    struct rollup_options keep = {.minutes_kept_us = US_PER_HOUR};
    assert_int_equal(rollup_open(path, &keep, &rollup, &err), 0);
    static const struct metrics_key keys[] = {{"default", "shop", "web", "", "edge/nyc", ""},
                                              {"default", "shop", "web", "", "gcp/us", ""},
                                              {"default", "shop", "source", "", "gcp/us", ""}};
    int64_t series[3] = {0};
    int64_t begin = INT64_C(490000) * 60; /* a whole hour, in minutes */
    for (int64_t minute = begin; minute < begin + 180; minute++)
        for (int k = 0; k < 3; k++) {
            int64_t count = 60 * (k + 1) * (minute % 2 == 0 ? 1 : 3);
            struct rollup_cell cell = {.key = &keys[k],
                                       .kind = SAMPLE_REQUESTS,
                                       .series = &series[k],
                                       .minute = minute,
                                       .count = 60,
                                       .sum = count,
                                       .min = 1,
                                       .max = 3};
            int64_t left_out;
            assert_int_equal(rollup_write(rollup, &cell, 1, &left_out, &err), 0);
        }
    int rc;
    while ((rc = rollup_compact(rollup, (begin + 180) * MINUTE_US, &err)) > 0)
        continue;
    assert_int_equal(rc, 0);
    rollup_close(rollup);
    struct trace_row row;
    struct trace *trace = NULL;
    const char *paths[] = {path};
    int64_t area[2] = {0};
    int64_t rate[2] = {0};
    int64_t at_us = begin * MINUTE_US;
    assert_int_equal(trace_open(paths, 1, &plain, &trace, &err), 0);
    assert_string_equal(trace_format(trace), "rollup");
    for (;;) {
        rc = trace_next(trace, &row, &err);
        int64_t until_us = rc == 1 ? row.at_us : (begin + 180) * MINUTE_US;
        for (int k = 0; k < 2; k++)
            area[k] += rate[k] * ((until_us - at_us) / US_PER_S);
        at_us = until_us;
        if (rc != 1)
            break;
        assert_in_range(row.series, 0, 1);
        /* Minute by minute in the last hour. */
        if (row.at_us >= (begin + 120) * MINUTE_US && str_equal(row.workload, "default/shop/web"))
            assert_int_equal(row.value, row.at_us / MINUTE_US % 2 == 0 ? 3000 : 9000);
        rate[row.series] = row.value;
    }
    assert_int_equal(rc, 0);
    /* 3 and 3 a second in the even minutes, three times as many in the others. */
    for (int k = 0; k < 2; k++)
        assert_in_range(area[k], INT64_C(6000) * 180 * 60 - 200, INT64_C(6000) * 180 * 60 + 200);
    trace_close(trace);
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        str_format(path, sizeof(path), "%s/metrics.db%s", folder, ends[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void a_summary_has_means_by_time_and_gaps(void **state)
{
    (void)state;
    struct summary summary;
    struct error err;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_puts(&text, "time,workload,calls\n");
    for (int i = 0; i < 100; i++) /* 1 for 25 s and 3 for 25 s, and so on; then nothing */
        strbuf_printf(&text, "%d,a,%d\n%d,b,7\n", i * 5, i % 10 < 5 ? 1 : 3, i * 5);
    strbuf_puts(&text, "1000,a,0\n");
    struct trace *trace = open_with(strbuf_text(&text), &plain);
    assert_int_equal(summary_make(trace, 0, &summary, &err), 0);
    assert_int_equal(summary.count, 2);
    assert_string_equal(summary.lines[0].workload, "a");
    assert_int_equal(summary.lines[0].rows, 101);
    assert_int_equal(summary.lines[0].least, 0);
    assert_int_equal(summary.lines[0].most, 3000);
    /* 500 s of 1 and 3, and the 3 through the gap. */
    assert_in_range((int64_t)summary.lines[0].mean, 2499, 2501);
    assert_in_range((int64_t)summary.lines[1].mean, 6999, 7001);
    assert_int_equal(summary.usual_us, 5 * US_PER_S);
    assert_int_equal(summary.gap_us, 50 * US_PER_S);
    assert_int_equal(summary.gaps, 1);
    assert_int_equal(trace_counts(summary.trace)->apart_max_us, 505 * US_PER_S);
    summary_done(&summary);
    strbuf_done(&text);
}

#define MANY 2000000

/* As many rows as there are, from another process through a pipe: the memory stays what it was. */
static void any_number_of_rows_takes_the_same_memory(void **state)
{
    (void)state;
    int ends[2];
    char path[32];
    struct rusage before;
    struct rusage after;
    struct trace *trace = NULL;
    struct trace_row row;
    struct error err = {0};
    assert_int_equal(pipe(ends), 0);
    pid_t writer = fork();
    assert_true(writer >= 0);
    if (writer == 0) {
        FILE *out = fdopen(ends[1], "w");
        (void)close(ends[0]);
        (void)fputs("time,workload,calls\n", out);
        for (int i = 0; i < MANY; i++)
            (void)fprintf(out, "%d,w%d,%d\n", i / 10, i % 10, i % 1000);
        _exit(fclose(out) == 0 ? 0 : 1);
    }
    (void)close(ends[1]);
    str_format(path, sizeof(path), "/dev/fd/%d", ends[0]);
    const char *paths[] = {path};
    struct trace_options options = {.format = "csv"};
    if (trace_open(paths, 1, &options, &trace, &err) < 0)
        fail_msg("%s", err.text);
    for (int64_t i = 0; i < MANY; i++) {
        if (i == 1000)
            assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
        if (trace_next(trace, &row, &err) != 1)
            fail_msg("row %lld: %s", (long long)i, err.text);
        if (row.value != i % 1000 * 1000)
            fail_msg("row %lld has %lld", (long long)i, (long long)row.value);
    }
    assert_int_equal(trace_next(trace, &row, &err), 0);
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    assert_true(after.ru_maxrss - before.ru_maxrss < 4096); /* kB; the text has 30 MB */
    trace_close(trace);
    (void)close(ends[0]);
    int status;
    assert_int_equal(waitpid(writer, &status, 0), writer);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void lines_of_any_length_are_given_whole(void **state)
{
    (void)state;
    struct strbuf text;
    struct lines *lines = NULL;
    struct error err = {0};
    char *line;
    strbuf_init(&text, 4 << 20);
    for (int i = 0; i < 100; i++) {
        for (int k = 0; k < i * 600; k++)
            strbuf_puts(&text, i % 2 == 0 ? "a" : "b");
        strbuf_puts(&text, i % 3 == 0 ? "\r\n" : "\n");
    }
    strbuf_puts(&text, "last");
    assert_int_equal(lines_open_text("l", text.text, text.bytes, &lines, &err), 0);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(lines_next(lines, &line, &err), 1);
        assert_int_equal(strlen(line), i * 600);
        assert_int_equal(strspn(line, i % 2 == 0 ? "a" : "b"), i * 600);
    }
    assert_int_equal(lines_next(lines, &line, &err), 1);
    assert_string_equal(line, "last");
    assert_int_equal(lines_number(lines), 101);
    assert_int_equal(lines_next(lines, &line, &err), 0);
    lines_close(lines);
    strbuf_reset(&text);
    for (int i = 0; i < 400000; i++)
        strbuf_puts(&text, "a");
    assert_int_equal(lines_open_text("l", text.text, text.bytes, &lines, &err), 0);
    assert_int_equal(lines_next(lines, &line, &err), ERR_INVALID);
    lines_close(lines);
    strbuf_done(&text);
    assert_int_equal(lines_open_text("l", "a\0b\n", 4, &lines, &err), 0);
    assert_int_equal(lines_next(lines, &line, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "zero byte"));
    lines_close(lines);
}

static void names_keep_their_numbers(void **state)
{
    (void)state;
    struct names names = {.count = 0};
    char text[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 5000; i++) {
            str_format(text, sizeof(text), "n%d", i);
            assert_int_equal(names_add(&names, text), i);
        }
    assert_int_equal(names_find(&names, "n4999"), 4999);
    assert_int_equal(names_find(&names, "n5000"), -1);
    names_done(&names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_one_by_one),
        cmocka_unit_test(a_wrong_trace_is_refused_with_its_line),
        cmocka_unit_test(a_region_is_part_of_a_rows_name),
        cmocka_unit_test(a_map_without_a_region_keeps_the_rows_region),
        cmocka_unit_test(a_last_line_without_an_end_is_told),
        cmocka_unit_test(dates_and_numbers_are_exact),
        cmocka_unit_test(counts_become_rates_of_their_bucket),
        cmocka_unit_test(a_map_adds_up_and_leaves_out),
        cmocka_unit_test(a_part_is_laid_at_the_origin_and_stretched),
        cmocka_unit_test(a_gap_holds_or_is_zero_or_an_error),
        cmocka_unit_test(a_day_of_functions_is_told_by_minute),
        cmocka_unit_test(pods_come_and_go),
        cmocka_unit_test(columns_of_services_are_followed),
        cmocka_unit_test(a_gzip_file_is_read_and_a_cut_one_is_told),
        cmocka_unit_test(what_berth_recorded_is_told_by_minute),
        cmocka_unit_test(a_summary_has_means_by_time_and_gaps),
        cmocka_unit_test(any_number_of_rows_takes_the_same_memory),
        cmocka_unit_test(lines_of_any_length_are_given_whole),
        cmocka_unit_test(names_keep_their_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
