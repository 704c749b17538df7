#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics/probe/publish.h"

#define WORKLOADS 3000

static struct probe_config config = {.name = "p1", .site = "edge/nyc"};
static struct ingest *ingest;
static struct publisher *publisher;
static int64_t now_us = US_PER_HOUR;
static int batches;
static int samples;
static int sketches;
static uint64_t last_seq;
static bool refusing;
static bool seen[WORKLOADS];

static int sink(void *context, const char *subject, const char *text, size_t bytes,
                struct error *err)
{
    (void)context;
    struct message_batch batch;
    struct arena arena;
    if (refusing)
        return error_set(err, ERR_UNAVAILABLE, 0, "not now");
    assert_string_equal(subject, "berth.v1.probe.p1.metrics");
    assert_true(bytes <= LIMIT_WIRE_BYTES);
    arena_init(&arena, 64 << 20);
    assert_int_equal(wire_decode(&message_batch_shape, text, bytes, 0, &arena, &batch, err), 0);
    assert_string_equal(batch.node, "p1");
    assert_true(batch.seq > last_seq);
    last_seq = batch.seq;
    batches++;
    samples += batch.sample_count;
    sketches += batch.sketch_count;
    for (int i = 0; i < batch.sample_count; i++) {
        int64_t number = 0;
        const char *dash = strrchr(batch.samples[i].workload, '-');
        assert_int_equal(str_to_i64(dash + 1, &number), 0);
        assert_false(seen[number]); /* each once */
        seen[number] = true;
    }
    arena_done(&arena);
    return 0;
}

static int setup(void **state)
{
    (void)state;
    struct error err;
    const struct ingest_options options = {.site = "edge/nyc", .life = 1};
    batches = samples = sketches = 0;
    last_seq = 0;
    refusing = false;
    memset(seen, 0, sizeof(seen));
    if (ingest_create(&options, &ingest, &err) < 0)
        return -1;
    return publisher_create(&config, sink, NULL, &publisher, &err);
}

static int teardown(void **state)
{
    (void)state;
    publisher_destroy(publisher);
    ingest_destroy(ingest);
    return 0;
}

static void page(const char *text)
{
    static const struct names_config names = {.kind = NAMES_KIND_OPENMETRICS};
    struct openmetrics_reader *reader = NULL;
    struct ingest_page *one = NULL;
    struct error err;
    struct ingest_begin begin = {.names = &names, .instance = "i", .now_us = now_us};
    assert_int_equal(openmetrics_reader_create(&reader, &err), 0);
    assert_int_equal(ingest_begin(ingest, &begin, &one, &err), 0);
    openmetrics_begin(reader, OPENMETRICS_TEXT, ingest_sample, one);
    assert_int_equal(openmetrics_feed(reader, text, strlen(text), &err), 0);
    assert_int_equal(openmetrics_end(reader)->problem_count, 0);
    (void)ingest_commit(one, now_us);
    openmetrics_reader_destroy(reader);
    now_us += US_PER_S;
}

/* Names as long as they may be, so that a full batch of samples is no small message. */
static void every_sample_once_within_the_limits(void **state)
{
    (void)state;
    struct strbuf text;
    struct error err;
    char filler[41];
    memset(filler, 'x', 40);
    filler[40] = 0;
    strbuf_init(&text, 8 << 20);
    for (int i = 0; i < WORKLOADS; i++)
        strbuf_printf(&text,
                      "cache_hits_total{workload=\"%s-%d\",app=\"%s\",namespace=\"%s\",segment="
                      "\"%s\",site=\"%s/%s\",pod=\"%s\"} 1\n",
                      filler, i, filler, filler, filler, filler, filler, filler);
    page(strbuf_text(&text));
    strbuf_done(&text);
    assert_int_equal(publisher_flush(publisher, ingest, NULL, now_us, &err), 0);
    assert_int_equal(samples, WORKLOADS);
    assert_true(batches >= WORKLOADS / LIMIT_SAMPLES_BATCH + 1);
    assert_int_equal(publisher_totals(publisher).samples, WORKLOADS);
    assert_false(ingest_has_news(ingest));
    assert_int_equal(publisher_flush(publisher, ingest, NULL, now_us, &err), 0);
    assert_int_equal(samples, WORKLOADS);
}

#define BUCKETS                                                              \
    "http_request_duration_seconds_bucket{workload=\"w-1\",le=\"0.1\"} %d\n" \
    "http_request_duration_seconds_bucket{workload=\"w-1\",le=\"+Inf\"} %d\n"

static void a_sketch_waits_for_the_bus(void **state)
{
    (void)state;
    struct error err;
    char text[500];
    for (int i = 1; i <= 2; i++) {
        str_format(text, sizeof(text), BUCKETS, 10 * i, 10 * i);
        page(text);
    }
    refusing = true;
    assert_int_equal(publisher_flush(publisher, ingest, NULL, now_us, &err), ERR_UNAVAILABLE);
    assert_true(ingest_has_news(ingest));
    assert_int_equal(publisher_totals(publisher).failures, 1);
    refusing = false;
    assert_int_equal(publisher_flush(publisher, ingest, NULL, now_us, &err), 0);
    assert_int_equal(sketches, 1);
    assert_false(ingest_has_news(ingest));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_sample_once_within_the_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_sketch_waits_for_the_bus, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
