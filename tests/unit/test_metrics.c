/* metrics: what nodes say becomes estimates; what is not plausible becomes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/metrics.h"

#define SECOND US_PER_S

struct world_of_one {
    struct metrics *metrics;
    int64_t now_us;
    uint64_t seq;
    int64_t requests;
    int64_t hits;
    int64_t misses;
    int64_t cpu_ns;
    uint64_t life;
};

static int set_up(void **state)
{
    static struct world_of_one one;
    one = (struct world_of_one){.now_us = 1000 * SECOND, .life = 7};
    struct error err = {0};
    assert_int_equal(metrics_create(NULL, &one.metrics, &err), 0);
    *state = &one;
    return 0;
}

static int tear_down(void **state)
{
    metrics_destroy(((struct world_of_one *)*state)->metrics);
    return 0;
}

static struct message_sample sample_of(const struct world_of_one *one, int kind, int64_t value)
{
    return (struct message_sample){.kind = kind,
                                   .namespace_ = "default",
                                   .app = "shop",
                                   .workload = "inference",
                                   .instance = "inference-0-1",
                                   .life = one->life,
                                   .value = value};
}

static const char *site_of_peer(void *context, const char *node)
{
    (void)context;
    return str_equal(node, "hub") ? "edge/nyc" : NULL;
}

static void send(struct world_of_one *one, struct message_sample *samples, int count)
{
    struct message_batch batch = {
        .boot_us = one->now_us - 500 * SECOND, .seq = ++one->seq, .samples = samples};
    batch.sample_count = count;
    str_format(batch.node, sizeof batch.node, "n1");
    str_format(batch.boot_id, sizeof batch.boot_id, "boot-a");
    metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, site_of_peer, NULL);
}

/* One second of `rate` requests, `hit_percent` of them hits, each of 2 ms of CPU. */
static void second_of(struct world_of_one *one, int64_t rate, int64_t hit_percent)
{
    one->requests += rate;
    one->hits += rate * hit_percent / 100;
    one->misses += rate - rate * hit_percent / 100;
    one->cpu_ns += rate * 2000000;
    one->now_us += SECOND;
    struct message_sample samples[] = {
        sample_of(one, SAMPLE_REQUESTS, one->requests),
        sample_of(one, SAMPLE_HITS, one->hits),
        sample_of(one, SAMPLE_MISSES, one->misses),
        sample_of(one, SAMPLE_CPU_NS, one->cpu_ns),
    };
    send(one, samples, 4);
}

static const struct estimate *find(const struct estimate *list, int count, enum estimate_kind kind)
{
    for (int i = 0; i < count; i++)
        if (list[i].kind == kind)
            return &list[i];
    return NULL;
}

static void test_counters_become_rates_and_ratios(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    int count = metrics_changed(one->metrics, one->now_us, out, 64);
    const struct estimate *hit = find(out, count, ESTIMATE_HIT_PPM);
    const struct estimate *calls = find(out, count, ESTIMATE_CALLS_MHZ);
    const struct estimate *cpu = find(out, count, ESTIMATE_CPU_NS);
    const struct estimate *mcpu = find(out, count, ESTIMATE_MCPU);
    assert_non_null(hit);
    assert_int_equal(hit->value, 900000);
    assert_string_equal(hit->site, "gcp/us-central1");
    assert_non_null(calls);
    assert_in_range(calls->value, 97000, 103000);
    assert_string_equal(calls->site, "");
    assert_non_null(cpu);
    assert_in_range(cpu->value, 1950000, 2050000);
    assert_non_null(mcpu);
    assert_in_range(mcpu->value, 195, 205);
    assert_int_equal(find(out, count, ESTIMATE_CALLS_MHZ)->at_us, one->now_us);
    assert_int_equal(metrics_changed(one->metrics, one->now_us, out, 64), 0);
}

static void test_constant_load_is_said_only_to_stay_fresh(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    int said = 0;
    for (int i = 0; i < 90; i++) {
        second_of(one, 100, 90);
        int count = metrics_changed(one->metrics, one->now_us, out, 64);
        for (int k = 0; k < count; k++) {
            said += out[k].kind == ESTIMATE_HIT_PPM;
            if (out[k].kind == ESTIMATE_HIT_PPM)
                assert_int_equal(out[k].value, 900000);
        }
    }
    assert_in_range(said, 2, 4); /* at first, then every half of age_max */
}

static void test_a_fallen_hit_ratio_is_said(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 20; i++)
        second_of(one, 100, 90);
    (void)metrics_changed(one->metrics, one->now_us, out, 64);
    int64_t last = 0;
    for (int i = 0; i < 20; i++) {
        second_of(one, 100, 20);
        int count = metrics_changed(one->metrics, one->now_us, out, 64);
        const struct estimate *hit = find(out, count, ESTIMATE_HIT_PPM);
        if (hit != NULL)
            last = hit->value;
    }
    assert_in_range(last, 190000, 215000); /* the dead band is one and a half points */
}

static void test_a_new_life_is_a_new_base(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    one->life = 8;
    one->requests = one->hits = one->misses = one->cpu_ns = 0;
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    int count = metrics_changed(one->metrics, one->now_us, out, 64);
    assert_int_equal(metrics_refused(one->metrics).count, 0);
    assert_in_range(find(out, count, ESTIMATE_CALLS_MHZ)->value, 85000, 103000);
}

static void test_implausible_readings_are_refused(void **state)
{
    struct world_of_one *one = *state;
    for (int i = 0; i < 3; i++)
        second_of(one, 100, 90);
    uint64_t refused = metrics_refused(one->metrics).count;
    one->now_us += SECOND;
    struct message_sample negative = sample_of(one, SAMPLE_REQUESTS, -5);
    send(one, &negative, 1);
    assert_int_equal(metrics_refused(one->metrics).count, refused + 1);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "below 0"));

    one->now_us += SECOND;
    struct message_sample fallen = sample_of(one, SAMPLE_REQUESTS, one->requests - 1);
    send(one, &fallen, 1);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "fell by 1 without a new life"));

    one->now_us += SECOND;
    struct message_sample leap = sample_of(one, SAMPLE_REQUESTS, INT64_MAX);
    send(one, &leap, 1);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "faster than is plausible"));

    one->now_us += SECOND;
    struct message_sample memory = sample_of(one, SAMPLE_MEMORY_BYTES, INT64_MAX);
    send(one, &memory, 1);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "bytes of memory"));
    assert_int_equal(metrics_refused(one->metrics).count, refused + 4);
}

static void test_a_batch_twice_counts_once(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++) {
        second_of(one, 100, 90);
        struct message_sample again = sample_of(one, SAMPLE_REQUESTS, one->requests + 50);
        one->seq--;
        send(one, &again, 1);
    }
    assert_int_equal(metrics_refused(one->metrics).count, 12);
    int count = metrics_changed(one->metrics, one->now_us, out, 64);
    assert_in_range(find(out, count, ESTIMATE_CALLS_MHZ)->value, 97000, 103000);
}

static void test_a_node_that_speaks_for_another_is_refused(void **state)
{
    struct world_of_one *one = *state;
    struct message_batch batch = {.seq = 1};
    str_format(batch.node, sizeof batch.node, "n2");
    metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, NULL, NULL);
    assert_int_equal(metrics_refused(one->metrics).count, 1);
}

static void test_round_trips_keep_the_shortest(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++) {
        one->now_us += SECOND;
        struct message_sample rtt = sample_of(one, SAMPLE_RTT_US, i % 3 == 0 ? 80000 : 95000);
        rtt.peer = "hub";
        send(one, &rtt, 1);
    }
    int count = metrics_changed(one->metrics, one->now_us, out, 64);
    const struct estimate *rtt = find(out, count, ESTIMATE_RTT_US);
    assert_non_null(rtt);
    assert_in_range(rtt->value, 78000, 82000);
    assert_string_equal(rtt->site, "gcp/us-central1");
    assert_string_equal(rtt->peer, "edge/nyc");
    assert_string_equal(rtt->workload, "");
}

static void test_silence_says_nothing(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    (void)metrics_changed(one->metrics, one->now_us, out, 64);
    for (int i = 0; i < 60; i++) {
        one->now_us += 10 * SECOND;
        int count = metrics_changed(one->metrics, one->now_us, out, 64);
        if (i > 0) /* the last window may still be said once more */
            assert_int_equal(count, 0);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_counters_become_rates_and_ratios),
        TEST(test_constant_load_is_said_only_to_stay_fresh),
        TEST(test_a_fallen_hit_ratio_is_said),
        TEST(test_a_new_life_is_a_new_base),
        TEST(test_implausible_readings_are_refused),
        TEST(test_a_batch_twice_counts_once),
        TEST(test_a_node_that_speaks_for_another_is_refused),
        TEST(test_round_trips_keep_the_shortest),
        TEST(test_silence_says_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
