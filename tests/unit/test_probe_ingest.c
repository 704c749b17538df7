#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics/probe/ingest.h"

#define WALL_MS INT64_C(1700000000000)
#define MAX     64

static struct ingest *ingest;
static struct openmetrics_reader *reader;
static int64_t now_us;
static struct message_sample samples[MAX];
static int sample_count;

static const struct names_config web = {.fixed = {.workload = "web"}};
static const struct names_config any = {.kind = NAMES_KIND_OPENMETRICS};
static const struct names_config machine = {.kind = NAMES_KIND_NODE};

static int setup(void **state)
{
    (void)state;
    struct error err;
    const struct ingest_options options = {.site = "edge/x", .life = 7, .series_max = 200};
    now_us = US_PER_HOUR;
    if (ingest_create(&options, &ingest, &err) < 0)
        return -1;
    return openmetrics_reader_create(&reader, &err);
}

static int teardown(void **state)
{
    (void)state;
    openmetrics_reader_destroy(reader);
    ingest_destroy(ingest);
    return 0;
}

static struct ingest_page *begin(uint32_t target, const struct names_config *names)
{
    struct ingest_page *page = NULL;
    struct error err;
    struct ingest_begin options = {.target = target,
                                   .names = names,
                                   .instance = "host:80",
                                   .now_us = now_us,
                                   .wall_ms = WALL_MS};
    assert_int_equal(ingest_begin(ingest, &options, &page, &err), 0);
    return page;
}

static struct ingest_page *feed(uint32_t target, const struct names_config *names, const char *text)
{
    struct error err;
    struct ingest_page *page = begin(target, names);
    openmetrics_begin(reader, OPENMETRICS_TEXT, ingest_sample, page);
    assert_int_equal(openmetrics_feed(reader, text, strlen(text), &err), 0);
    assert_int_equal(openmetrics_end(reader)->problem_count, 0);
    return page;
}

/* One scrape, ten seconds after the one before; what is published is in `samples`. */
static struct ingest_counts scrape(uint32_t target, const struct names_config *names,
                                   const char *text)
{
    bool more = false;
    now_us += 10 * US_PER_S;
    struct ingest_counts counts = ingest_commit(feed(target, names, text), now_us);
    sample_count = ingest_samples(ingest, now_us, samples, MAX, &more);
    assert_false(more);
    return counts;
}

/* The value of a kind; -1: it is not in the samples. */
static int64_t value_of(int kind)
{
    int64_t value = -1;
    for (int i = 0; i < sample_count; i++)
        if (samples[i].kind == kind) {
            assert_int_equal(value, -1); /* once */
            value = samples[i].value;
        }
    return value;
}

static void counters_grow_and_begin_anew(void **state)
{
    (void)state;
    (void)scrape(0, &web, "http_requests_total{code=\"200\"} 100\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 0); /* a base: nothing is made up */
    assert_string_equal(samples[0].workload, "web");
    assert_string_equal(samples[0].namespace_, "default");
    assert_string_equal(samples[0].site, "edge/x");
    assert_string_equal(samples[0].instance, "host:80");
    uint64_t life = samples[0].life;
    assert_true(life != 0);
    /* A second series is a base of its own; both are one workload's. */
    (void)scrape(0, &web,
                 "http_requests_total{code=\"200\"} 130\nhttp_requests_total{code=\"500\"} 7\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 30);
    assert_int_equal(value_of(SAMPLE_ERRORS), 0);
    (void)scrape(0, &web,
                 "http_requests_total{code=\"200\"} 131\nhttp_requests_total{code=\"500\"} 9\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 33);
    assert_int_equal(value_of(SAMPLE_ERRORS), 2);
    /* The process began anew: what it counted since then is growth, and the total never falls. */
    (void)scrape(0, &web, "http_requests_total{code=\"200\"} 5\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 38);
    assert_int_equal(value_of(SAMPLE_ERRORS), -1); /* not on the page: not in the samples */
    assert_true(samples[0].life == life);
}

static void seconds_become_nanoseconds_without_loss(void **state)
{
    (void)state;
    (void)scrape(0, &web, "process_cpu_seconds_total 0.5\nprocess_resident_memory_bytes 4096\n");
    for (int i = 1; i <= 1000; i++) {
        char page[100];
        str_format(page, sizeof(page), "process_cpu_seconds_total %.4f\n", 0.5 + i * 0.0001);
        (void)scrape(0, &web, page);
    }
    int64_t cpu_ns = value_of(SAMPLE_CPU_NS);
    assert_in_range(cpu_ns, 99999990, 100000010);
}

static void a_page_counts_as_a_whole_or_not(void **state)
{
    (void)state;
    bool more = true;
    (void)scrape(0, &web, "http_requests_total 100\n");
    ingest_abort(feed(0, &web, "http_requests_total 999\n"));
    assert_int_equal(ingest_samples(ingest, now_us, samples, MAX, &more), 0);
    (void)scrape(0, &web, "http_requests_total 101\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 1);
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    (void)scrape(0, &web, "process_resident_memory_bytes 100\nhttp_requests_total 5\n");
    struct ingest_counts counts =
        scrape(0, &web, "process_resident_memory_bytes NaN\nhttp_requests_total +Inf\n");
    assert_int_equal(value_of(SAMPLE_MEMORY_BYTES), -1);
    assert_true(counts.refused >= 2);
    assert_non_null(strstr(counts.first, "no number"));
    (void)scrape(0, &web, "process_resident_memory_bytes -1\nhttp_requests_total -5\n");
    assert_int_equal(value_of(SAMPLE_MEMORY_BYTES), -1);
    /* The last good value is the base of the next. */
    (void)scrape(0, &web, "http_requests_total 6\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 1);
}

static void times_too_old_or_ahead_are_refused(void **state)
{
    (void)state;
    struct ingest_counts counts = scrape(0, &web, "http_requests_total 1 1699999000000\n");
    assert_int_equal(counts.refused, 1);
    assert_non_null(strstr(counts.first, "ago"));
    counts = scrape(0, &web, "http_requests_total 1 1700000100000\n");
    assert_non_null(strstr(counts.first, "ahead"));
    assert_int_equal(sample_count, 0);
    counts = scrape(0, &web, "http_requests_total 1 1699999990000\n");
    assert_int_equal(counts.refused, 0);
    assert_int_equal(sample_count, 1);
}

static void a_gauge_of_parts_needs_all(void **state)
{
    (void)state;
    (void)scrape(0, &machine,
                 "node_memory_MemTotal_bytes 1000\nnode_memory_MemAvailable_bytes 400\n");
    assert_int_equal(value_of(SAMPLE_MEMORY_BYTES), 600);
    assert_string_equal(samples[0].workload, "");
    struct ingest_counts counts = scrape(0, &machine, "node_memory_MemTotal_bytes 1000\n");
    assert_int_equal(value_of(SAMPLE_MEMORY_BYTES), -1);
    assert_non_null(strstr(counts.first, "is not there"));
    counts = scrape(0, &machine,
                    "node_memory_MemTotal_bytes 1000\nnode_memory_MemAvailable_bytes 1400\n");
    assert_int_equal(value_of(SAMPLE_MEMORY_BYTES), -1);
    assert_non_null(strstr(counts.first, "below 0"));
}

static void one_source_counts(void **state)
{
    (void)state;
    static const char page[] = "http_requests_total{code=\"200\"} %d\n"
                               "http_request_duration_seconds_count %d\n"
                               "http_request_duration_seconds_sum %d\n";
    char text[300];
    for (int i = 1; i <= 2; i++) {
        str_format(text, sizeof(text), page, 100 * i, 90 * i, i);
        (void)scrape(0, &web, text);
    }
    assert_int_equal(value_of(SAMPLE_REQUESTS), 90); /* not 190, and not 100 */
    assert_int_equal(value_of(SAMPLE_LATENCY_US_SUM), 1000000);
    uint64_t life = samples[0].life;
    /* When the preferred one is gone for long, the other one counts, as another life. */
    for (int i = 0; i < 8; i++)
        (void)scrape(0, &web, "http_requests_total{code=\"200\"} 500\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 400);
    assert_true(samples[0].life != life);
}

static void one_target_counts(void **state)
{
    (void)state;
    static const char page[] =
        "container_cpu_usage_seconds_total{pod=\"web-0\",container=\"c\"} 1\n";
    (void)scrape(0, &any, page);
    assert_int_equal(sample_count, 1);
    struct ingest_counts counts = scrape(1, &any, page);
    assert_int_equal(counts.refused, 1);
    assert_non_null(strstr(counts.first, "another target"));
    assert_int_equal(sample_count, 0);
}

static void the_homeless_are_counted(void **state)
{
    (void)state;
    struct ingest_counts counts = scrape(0, &any, "http_requests_total 1\ngo_goroutines 3\n");
    assert_int_equal(counts.series, 2);
    assert_int_equal(counts.meant, 1);
    assert_int_equal(counts.homeless, 1);
    assert_non_null(strstr(counts.first, "no label says"));
    counts = scrape(0, &any, "http_requests_total 1\n");
    assert_int_equal(counts.homeless, 1);
    assert_int_equal(sample_count, 0);
}

static void too_many_series_are_refused(void **state)
{
    (void)state;
    struct strbuf page;
    strbuf_init(&page, 1 << 20);
    for (int i = 0; i < 300; i++)
        strbuf_printf(&page, "http_requests_total{path=\"/%d\"} 1\n", i);
    struct ingest_counts counts = scrape(0, &web, strbuf_text(&page));
    strbuf_done(&page);
    assert_int_equal(counts.refused, 100);
    assert_non_null(strstr(counts.first, "LIMIT_PROBE_SERIES"));
    assert_int_equal(ingest_totals(ingest).series, 200);
}

static void what_is_gone_is_forgotten(void **state)
{
    (void)state;
    (void)scrape(0, &web, "http_requests_total 1\n");
    for (int i = 0; i < 70; i++)
        (void)scrape(1, &any, "http_requests_total{workload=\"api\"} 1\n");
    assert_int_equal(ingest_totals(ingest).tallies, 2);
    ingest_sweep(ingest, now_us);
    assert_int_equal(ingest_totals(ingest).series, 1);
    assert_int_equal(ingest_totals(ingest).tallies, 1);
    /* What stayed goes on, and what comes back begins with a base. */
    (void)scrape(1, &any, "http_requests_total{workload=\"api\"} 4\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 3);
    (void)scrape(0, &web, "http_requests_total 100\n");
    assert_int_equal(value_of(SAMPLE_REQUESTS), 0);
}

#define BUCKETS                                             \
    "http_request_duration_seconds_bucket{le=\"0.1\"} %d\n" \
    "http_request_duration_seconds_bucket{le=\"0.2\"} %d\n" \
    "http_request_duration_seconds_bucket{le=\"+Inf\"} %d\n"

static void buckets_become_sketches(void **state)
{
    (void)state;
    struct message_sketch sketches[MAX];
    bool more = false;
    char page[500];
    str_format(page, sizeof(page), BUCKETS, 1000, 2000, 3000);
    (void)scrape(0, &web, page);
    assert_int_equal(ingest_sketches(ingest, now_us, sketches, MAX, &more), 0);
    str_format(page, sizeof(page), BUCKETS, 1000 + 80, 2000 + 99, 3000 + 100);
    (void)scrape(0, &web, page);
    for (int i = 0; i < 2; i++) { /* kept until they are sent */
        assert_int_equal(ingest_sketches(ingest, now_us, sketches, MAX, &more), 1);
        assert_int_equal(sketches[0].kind, SAMPLE_LATENCY_US);
        assert_string_equal(sketches[0].workload, "web");
        assert_int_equal(sketches[0].count, 100);
    }
    /* 80 in (0, 100 ms], 19 in (100, 200 ms], one at 200 ms: the sum of even spreads. */
    assert_in_range(sketches[0].sum, 80 * 50000 + 19 * 145000 + 200000 - 100000,
                    80 * 50000 + 19 * 155000 + 200000 + 100000);
    ingest_sketches_sent(ingest);
    assert_int_equal(ingest_sketches(ingest, now_us, sketches, MAX, &more), 0);
    assert_false(ingest_has_news(ingest));
}

/* A page may say anything: what no server can have counted is not believed, nor is it a message
 * that nobody can read. */
static void buckets_beyond_belief(void **state)
{
    (void)state;
    struct message_sketch sketches[MAX];
    bool more = false;
    for (int i = 0; i < 5; i++)
        (void)scrape(0, &web,
                     i % 2 == 0 ? "http_request_duration_seconds_bucket{le=\"0.1\"} 1\n"
                                  "http_request_duration_seconds_bucket{le=\"+Inf\"} 1\n"
                                : "http_request_duration_seconds_bucket{le=\"0.1\"} 9e18\n"
                                  "http_request_duration_seconds_bucket{le=\"+Inf\"} 9.1e18\n");
    int count = ingest_sketches(ingest, now_us, sketches, MAX, &more);
    for (int i = 0; i < count; i++)
        assert_in_range(sketches[i].count, 0, 10);
}

static void otlp(struct ingest_page *page, double value, bool delta, int64_t start_ms)
{
    const struct metric_label labels[] = {{"service_name", "web"}};
    struct metric_sample sample = {
        .name = "http_requests_total", .labels = labels, .label_count = 1, .value = value};
    sample.hash = metric_hash(sample.name, labels, 1);
    const struct otlp_nature nature = {.delta = delta, .start_ms = start_ms};
    ingest_otlp_sample(page, &sample, &nature);
}

static void otlp_totals_and_deltas(void **state)
{
    (void)state;
    bool more = false;
    const struct {
        double value;
        bool delta;
        int64_t start_ms;
        int64_t expected;
    } steps[] = {
        {100, false, 1, 0},   {110, false, 1, 10}, {115, false, 2, 125}, /* begun anew at 2 */
        {120, false, 2, 130}, {4, true, 3, 134},   {4, true, 4, 138},
    };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        now_us += 10 * US_PER_S;
        struct ingest_page *page = begin(9, &any);
        otlp(page, steps[i].value, steps[i].delta, steps[i].start_ms);
        (void)ingest_commit(page, now_us);
        sample_count = ingest_samples(ingest, now_us, samples, MAX, &more);
        assert_int_equal(value_of(SAMPLE_REQUESTS), steps[i].expected);
    }
}

static void otlp_exponential_buckets(void **state)
{
    (void)state;
    struct message_sketch sketches[MAX];
    bool more = false;
    const struct metric_label labels[] = {{"service_name", "web"}};
    struct metric_sample sample = {
        .name = "http_server_request_duration_seconds_bucket", .labels = labels, .label_count = 1};
    sample.hash = metric_hash(sample.name, labels, 1);
    const struct otlp_nature nature = {.start_ms = 1};
    /* Scale 0: the bucket at -1 is (0.5 s, 1 s], its middle 0.7 s. A later bucket began at 0. */
    const double first[] = {10};
    const double second[] = {12, 5};
    const struct otlp_exponential told[] = {{.offset = -1, .counts = first, .count = 1},
                                            {.offset = -1, .counts = second, .count = 2}};
    for (int i = 0; i < 2; i++) {
        now_us += 10 * US_PER_S;
        struct ingest_page *page = begin(9, &any);
        ingest_otlp_exponential(page, &sample, &nature, &told[i]);
        (void)ingest_commit(page, now_us);
        assert_int_equal(ingest_sketches(ingest, now_us, sketches, MAX, &more), i);
    }
    assert_int_equal(sketches[0].count, 7);
    assert_in_range(sketches[0].sum, 2 * 707000 + 5 * 1414000, 2 * 707200 + 5 * 1414300);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counters_grow_and_begin_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(seconds_become_nanoseconds_without_loss, setup, teardown),
        cmocka_unit_test_setup_teardown(a_page_counts_as_a_whole_or_not, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_number_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(times_too_old_or_ahead_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_gauge_of_parts_needs_all, setup, teardown),
        cmocka_unit_test_setup_teardown(one_source_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(one_target_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(the_homeless_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_series_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_gone_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_become_sketches, setup, teardown),
        cmocka_unit_test_setup_teardown(buckets_beyond_belief, setup, teardown),
        cmocka_unit_test_setup_teardown(otlp_totals_and_deltas, setup, teardown),
        cmocka_unit_test_setup_teardown(otlp_exponential_buckets, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
