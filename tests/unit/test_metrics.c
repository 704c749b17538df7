/* metrics: what nodes say becomes estimates; what is not plausible becomes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/wire/pack.h"
#include "metrics/metrics.h"
#include "metrics/sketch.h"

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

static const char *site_of_probe(void *context, const char *site)
{
    (void)context;
    return str_equal(site, "hub") ? "gcp/us-central1" : NULL;
}

static const char *site_of_any(void *context, const char *peer)
{
    (void)context;
    return str_equal(peer, "hub")                                        ? "edge/nyc"
           : str_equal(peer, "n1") || str_equal(peer, "gcp/us-central1") ? "gcp/us-central1"
                                                                         : NULL;
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

/* An instance that ends tells its requests to the last, and its CPU time no longer: a call must not
 * look cheap for that. */
static void test_the_end_of_an_instance_is_not_cheap(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    assert_non_null(
        find(out, metrics_changed(one->metrics, one->now_us, out, 64), ESTIMATE_CPU_NS));
    for (int i = 0; i < 9; i++) {
        one->requests += 100;
        one->now_us += SECOND;
        struct message_sample sample = sample_of(one, SAMPLE_REQUESTS, one->requests);
        send(one, &sample, 1);
        int count = metrics_changed(one->metrics, one->now_us, out, 64);
        const struct estimate *cpu = find(out, count, ESTIMATE_CPU_NS);
        if (cpu != NULL)
            assert_in_range(cpu->value, 1900000, 2100000);
    }
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

/* What a sink was given, and what it should have been. */
struct log {
    struct logged {
        int row;
        int kind;
        int64_t value;
    } list[4096];
    int count;
};

static int log_row(void *context, const struct metrics_key *key, int64_t now_us)
{
    (void)context;
    (void)now_us;
    return key->workload[1] - '0';
}

static void log_add(void *context, int row, int kind, int64_t value, int64_t now_us)
{
    struct log *log = context;
    (void)now_us;
    assert_true(log->count < 4096);
    log->list[log->count++] = (struct logged){row, kind, value};
}

static void log_all(void *context, int row, const struct metrics_reading *list, int count,
                    int64_t now_us)
{
    for (int i = 0; i < count; i++)
        log_add(context, row, list[i].kind, list[i].value, now_us);
}

struct kept_reading {
    bool known;
    uint64_t life;
    int64_t value;
    int64_t boot_us;
};

/* Each counter's own last value, life and instant, and nothing shared: how `metrics` may keep it is
 * its own business. False when the reading is to be refused. */
static bool expect(struct kept_reading *kept, int row, const struct message_sample *sample,
                   int64_t boot_us, struct log *log)
{
    struct kept_reading before = *kept;
    if (sample->value < 0)
        return false;
    if (sample->kind == SAMPLE_MEMORY_BYTES) {
        log_add(log, row, sample->kind, sample->value, 0);
        return true;
    }
    *kept = (struct kept_reading){true, sample->life, sample->value, boot_us};
    if (!before.known || before.life != sample->life)
        return true;
    int64_t delta = sample->value - before.value;
    int64_t rate_max = sample->kind == SAMPLE_CPU_NS           ? 1024000000000
                       : sample->kind == SAMPLE_LATENCY_US_SUM ? 100000000000
                       : sample->kind >= SAMPLE_BYTES_IN       ? 100000000000
                                                               : 100000000;
    if (delta < 0 || delta / 1000 > rate_max / 1000 * (boot_us - before.boot_us + SECOND) / SECOND)
        return false;
    log_add(log, row, sample->kind, delta, 0);
    return true;
}

/* The batch as it comes over the wire. */
static void take_packed(struct metrics *metrics, const struct message_batch *batch)
{
    struct message_batch runs;
    struct arena arena;
    struct strbuf text;
    struct error err;
    arena_init(&arena, 1 << 20);
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_pack(&message_batch_shape, batch, &text);
    assert_int_equal(message_batch_decode(strbuf_text(&text), text.bytes, &arena, &runs, &err), 0);
    assert_int_equal(runs.sample_count, 0);
    assert_true(runs.run_count > 0 || batch->sample_count == 0);
    metrics_take(metrics, batch->node, "edge/nyc", &runs, batch->boot_us, NULL, NULL);
    strbuf_done(&text);
    arena_done(&arena);
}

/* Counters that are left out, come twice, change their life one by one, fall or leap: each is taken
 * by its own last reading, whether the batch came as samples or, packed, as runs. */
static void test_each_counter_goes_by_its_own_last_reading(void **state)
{
    (void)state;
    static struct log given, given_all, wanted;
    static const char *const workloads[] = {"w0", "w1", "w2"};
    struct kept_reading kept[3][SAMPLE_COUNT] = {0};
    int64_t totals[3][SAMPLE_COUNT] = {0};
    struct metrics *plain, *packed;
    struct error err = {0};
    struct metrics_options options = {.sink = {.context = &given, .row = log_row, .add = log_add}};
    uint64_t seed = 77, refused = 0, seen = 0;
    assert_int_equal(metrics_create(&options, &plain, &err), 0);
    options.sink = (struct metrics_sink){&given_all, log_row, log_add, NULL, log_all};
    assert_int_equal(metrics_create(&options, &packed, &err), 0);
    for (int second = 1; second < 4000; second++) {
        struct message_sample samples[64];
        struct message_batch batch = {.boot_us = second * SECOND, .samples = samples};
        given.count = given_all.count = wanted.count = 0;
        batch.seq = (uint64_t)second;
        str_format(batch.node, sizeof batch.node, "n1");
        str_format(batch.boot_id, sizeof batch.boot_id, "boot-a");
        for (int i = 0; i < 40; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            uint32_t random = (uint32_t)(seed >> 33);
            int row = i / 10 % 3;
            int kind = random % 7 == 0 ? (int)(random / 7 % 9) : i % 10 % 9;
            int64_t grown = random % 11 == 0    ? 150000000
                            : random % 11 == 1  ? 350000000
                            : random % 97 == 2  ? -5
                            : random % 397 == 3 ? INT64_MIN / 2
                                                : random % 50;
            if (random % 13 == 0)
                continue;
            int64_t value = kind == SAMPLE_MEMORY_BYTES ? 4096 : totals[row][kind] + grown;
            totals[row][kind] = value > 0 ? value : totals[row][kind];
            struct message_sample *sample = &samples[batch.sample_count++];
            *sample = (struct message_sample){.kind = kind,
                                              .namespace_ = "default",
                                              .app = "shop",
                                              .workload = workloads[row],
                                              .instance = "i",
                                              .life = random % 17 == 0 ? 2 : 1,
                                              .value = value};
            refused += !expect(&kept[row][kind], row, sample, batch.boot_us, &wanted);
        }
        metrics_take(plain, "n1", "edge/nyc", &batch, second * SECOND, NULL, NULL);
        take_packed(packed, &batch);
        assert_int_equal(given.count, wanted.count);
        assert_int_equal(given_all.count, wanted.count);
        for (int i = 0; i < wanted.count; i++) {
            assert_memory_equal(&given.list[i], &wanted.list[i], sizeof wanted.list[i]);
            assert_memory_equal(&given_all.list[i], &wanted.list[i], sizeof wanted.list[i]);
        }
        assert_int_equal(metrics_refused(plain).count, refused);
        assert_int_equal(metrics_refused(packed).count, refused);
        seen += (uint64_t)wanted.count;
    }
    assert_true(refused > 1000 && seen > 50000);
    metrics_destroy(plain);
    metrics_destroy(packed);
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

/* ---- several sources ---- */

/* What one node says in a second, of one instance there. */
struct speaker {
    const char *node;
    int64_t requests;
    int64_t hits;
    int64_t cpu_ns;
    int64_t latency_us;
    uint64_t seq;
};

struct lie {
    int64_t requests; /* times the truth */
    int64_t hit_percent;
    int64_t latency_us;
};

static void speak(struct world_of_one *one, struct speaker *speaker, const struct lie *lie)
{
    speaker->requests += 100 * lie->requests;
    speaker->hits += lie->hit_percent * lie->requests;
    speaker->cpu_ns += 100 * 2000000; /* it has worked for a hundred */
    speaker->latency_us += 100 * lie->requests * lie->latency_us;
    struct message_sample samples[] = {
        sample_of(one, SAMPLE_REQUESTS, speaker->requests),
        sample_of(one, SAMPLE_HITS, speaker->hits),
        sample_of(one, SAMPLE_MISSES, speaker->requests - speaker->hits),
        sample_of(one, SAMPLE_CPU_NS, speaker->cpu_ns),
        sample_of(one, SAMPLE_LATENCY_US_SUM, speaker->latency_us),
    };
    struct message_batch batch = {.boot_us = one->now_us - 500 * SECOND,
                                  .seq = ++speaker->seq,
                                  .samples = samples,
                                  .sample_count = 5};
    str_format(batch.node, sizeof batch.node, "%s", speaker->node);
    str_format(batch.boot_id, sizeof batch.boot_id, "boot-%s", speaker->node);
    metrics_take(one->metrics, speaker->node, "gcp/us-central1", &batch, one->now_us, site_of_peer,
                 NULL);
}

/* No value leaves what it was while the liar lies, in whatever it lies; its name is told. */
static void check_liar(struct world_of_one *one, const struct lie *lie, enum estimate_kind silent)
{
    const struct lie truth = {.requests = 1, .hit_percent = 60, .latency_us = 20000};
    struct speaker nodes[] = {{.node = "n1"}, {.node = "n2"}, {.node = "n3"}};
    struct estimate out[64];
    int64_t before[ESTIMATE_COUNT] = {0};
    int said[ESTIMATE_COUNT] = {0};
    for (int second = 0; second < 120; second++) {
        one->now_us += SECOND;
        bool lying = second >= 30 && second < 80;
        for (int i = 0; i < 3; i++)
            speak(one, &nodes[i], lying && i == 1 ? lie : &truth);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        for (int i = 0; i < count; i++) {
            if (second < 30) {
                before[out[i].kind] = out[i].value;
                continue;
            }
            if (out[i].value != before[out[i].kind])
                fail_msg("estimate %d moved from %lld to %lld", (int)out[i].kind,
                         (long long)before[out[i].kind], (long long)out[i].value);
            said[out[i].kind] += second >= 32 && second < 80;
        }
        struct metrics_refusal refusal = metrics_refused(one->metrics);
        assert_int_equal(refusal.suspects, second >= 31 && second < 99 ? refusal.suspects : 0);
        if (second == 60) {
            assert_int_equal(refusal.suspects, 1);
            assert_true(refusal.suspected >= 1);
            assert_non_null(strstr(refusal.last, "node n2"));
        }
    }
    assert_int_equal(said[silent], 0);
    assert_true(before[ESTIMATE_CALLS_MHZ] > 290000 && before[ESTIMATE_CALLS_MHZ] < 310000);
    assert_int_equal(before[ESTIMATE_HIT_PPM], 600000);
}

static void test_a_node_that_claims_requests_moves_nothing(void **state)
{
    const struct lie lie = {.requests = 100, .hit_percent = 60, .latency_us = 20000};
    check_liar(*state, &lie, ESTIMATE_CALLS_MHZ);
}

static void test_a_node_that_claims_hits_moves_nothing(void **state)
{
    const struct lie lie = {.requests = 1, .hit_percent = 100, .latency_us = 20000};
    check_liar(*state, &lie, ESTIMATE_COUNT - 1);
}

static void test_a_node_that_claims_to_be_quick_moves_nothing(void **state)
{
    const struct lie lie = {.requests = 1, .hit_percent = 60, .latency_us = 1};
    check_liar(*state, &lie, ESTIMATE_COUNT - 1);
}

static void send_rtt(struct world_of_one *one, const char *node, const char *site, const char *peer,
                     const char *about, int64_t rtt_us)
{
    static uint64_t seq;
    struct message_sample sample = {
        .kind = SAMPLE_RTT_US, .peer = peer, .site = about, .value = rtt_us};
    struct message_batch batch = {
        .boot_us = one->now_us - 500 * SECOND, .seq = ++seq, .samples = &sample, .sample_count = 1};
    str_format(batch.node, sizeof batch.node, "%s", node);
    str_format(batch.boot_id, sizeof batch.boot_id, "boot-%s", node);
    metrics_take(one->metrics, node, site, &batch, one->now_us, site_of_any, NULL);
}

/* One end says 60 us, the other measures 80 ms: without a third nobody is believed, and what was
 * said stays; with a probe the liar alone is left out. */
static void test_a_round_trip_has_two_ends(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    int said_before = 0;
    int said_while = 0;
    int said_with_probe = 0;
    for (int second = 0; second < 120; second++) {
        one->now_us += SECOND;
        send_rtt(one, "n1", "gcp/us-central1", "hub", NULL, second < 40 ? 80000 : 60);
        send_rtt(one, "hub", "edge/nyc", "n1", NULL, 81000);
        if (second >= 80)
            send_rtt(one, "p1", NULL, "hub", "gcp/us-central1", 79000);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        for (int i = 0; i < count; i++) {
            assert_int_equal(out[i].kind, ESTIMATE_RTT_US);
            assert_in_range(out[i].value, 77000, 83000);
            bool forth = str_equal(out[i].site, "gcp/us-central1");
            said_before += forth && second < 40;
            said_while += forth && second >= 41 && second < 80;
            said_with_probe += forth && second >= 100;
        }
    }
    assert_true(said_before > 0);
    assert_int_equal(said_while, 0);
    assert_true(said_with_probe > 0);
    one->now_us += SECOND;
    uint64_t refused = metrics_refused(one->metrics).count;
    send_rtt(one, "n1", "gcp/us-central1", "hub", NULL, 1); /* no bus is that quick */
    assert_int_equal(metrics_refused(one->metrics).count, refused + 1);
}

/* A probe that counts at the callers' end contradicts a lone node; it does not count twice. */
static void test_a_probe_contradicts_a_lone_node(void **state)
{
    struct world_of_one *one = *state;
    const struct lie truth = {.requests = 1, .hit_percent = 60, .latency_us = 20000};
    const struct lie lie = {.requests = 100, .hit_percent = 60, .latency_us = 20000};
    struct speaker node = {.node = "n1"};
    struct estimate out[64];
    int64_t seen = 0;
    uint64_t seq = 0;
    int64_t calls = 0;
    for (int second = 0; second < 60; second++) {
        one->now_us += SECOND;
        speak(one, &node, second < 30 ? &truth : &lie);
        struct message_sample sample = sample_of(one, SAMPLE_REQUESTS, seen += 98);
        sample.site = "hub";
        sample.instance = "caller";
        struct message_batch batch = {
            .boot_us = one->now_us, .seq = ++seq, .samples = &sample, .sample_count = 1};
        str_format(batch.node, sizeof batch.node, "p1");
        str_format(batch.boot_id, sizeof batch.boot_id, "boot-p1");
        metrics_take(one->metrics, "p1", NULL, &batch, one->now_us, site_of_probe, NULL);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        for (int i = 0; i < count; i++)
            if (out[i].kind == ESTIMATE_CALLS_MHZ) {
                assert_true(second < 30); /* afterwards it grows stale */
                calls = out[i].value;
            }
    }
    assert_in_range(calls, 97000, 103000);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "node n1: its requests"));
}

static void test_a_probe_alone_is_believed(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    uint64_t seq = 0;
    int64_t hits = 0;
    int64_t misses = 0;
    int said = 0;
    for (int second = 0; second < 14; second++) {
        one->now_us += SECOND;
        struct message_sample samples[] = {sample_of(one, SAMPLE_HITS, hits += 30),
                                           sample_of(one, SAMPLE_MISSES, misses += 10),
                                           sample_of(one, SAMPLE_MISSES, 0)};
        samples[0].site = samples[1].site = "hub";
        samples[2].site = "atlantis"; /* is no site, and is refused */
        struct message_batch batch = {
            .boot_us = one->now_us, .seq = ++seq, .samples = samples, .sample_count = 3};
        str_format(batch.node, sizeof batch.node, "p1");
        metrics_take(one->metrics, "p1", NULL, &batch, one->now_us, site_of_probe, NULL);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        const struct estimate *hit = find(out, count, ESTIMATE_HIT_PPM);
        if (hit == NULL)
            continue;
        said++;
        assert_int_equal(hit->value, 750000);
        assert_string_equal(hit->site, "gcp/us-central1");
    }
    assert_true(said > 0);
    assert_int_equal(metrics_refused(one->metrics).count, 14);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "\"atlantis\" is no site"));
}

/* ---- uncertainty, time, segments, sketches ---- */

static void test_estimates_say_how_certain_they_are(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    struct estimate last[ESTIMATE_COUNT] = {0};
    int said = 0;
    for (int i = 0; i < 800; i++) {
        second_of(one, 100, 90);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        for (int k = 0; k < count; k++)
            last[out[k].kind] = out[k];
        said += count;
        if (i == 40)
            assert_int_equal(last[ESTIMATE_HIT_PPM].observed_us, 10 * SECOND);
    }
    /* 900 requests in 9 s: one standard error is 30, so 3.3 of 100 per second. */
    assert_in_range(last[ESTIMATE_CALLS_MHZ].spread, 2048, 8192);
    /* sqrt(0.9 * 0.1 / 900) = 1 % */
    assert_in_range(last[ESTIMATE_HIT_PPM].spread, 8192, 16384);
    /* every stretch has the same mean */
    assert_in_range(last[ESTIMATE_CPU_NS].spread, 1, 2);
    assert_int_equal(last[ESTIMATE_CALLS_MHZ].observed_us, 600 * SECOND);
    /* and that neither flaps nor is a reason to speak: four estimates, each every 30 s */
    assert_in_range(said, 100, 130);
}

static void test_a_wider_spread_is_said(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    int64_t narrow = -1;
    int64_t wide = -1;
    for (int i = 0; i < 60; i++) {
        one->requests += 100;
        /* The same mean, but from 20 s on by turns 1 and 3 ms. */
        one->cpu_ns += 100 * (i < 20 ? 2000000 : i % 2 == 0 ? 1000000 : 3000000);
        one->now_us += SECOND;
        struct message_sample samples[] = {sample_of(one, SAMPLE_REQUESTS, one->requests),
                                           sample_of(one, SAMPLE_CPU_NS, one->cpu_ns)};
        send(one, samples, 2);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        const struct estimate *cpu = find(out, count, ESTIMATE_CPU_NS);
        if (cpu != NULL && i < 20)
            narrow = cpu->spread;
        else if (cpu != NULL)
            wide = cpu->spread;
    }
    assert_in_range(narrow, 1, 2);
    assert_in_range(wide, 262144, 524288); /* 1 ms of scatter over nine stretches: 0.35 ms */
}

static void test_a_clock_that_leaps_says_nothing(void **state)
{
    struct world_of_one *one = *state;
    for (int i = 0; i < 12; i++)
        second_of(one, 100, 90);
    struct message_sample sample = sample_of(one, SAMPLE_REQUESTS, one->requests + 5);
    struct message_batch batch = {.boot_us = one->now_us - 500 * SECOND + 3600 * SECOND,
                                  .seq = one->seq + 1,
                                  .samples = &sample,
                                  .sample_count = 1};
    str_format(batch.node, sizeof batch.node, "n1");
    str_format(batch.boot_id, sizeof batch.boot_id, "boot-a");
    metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, site_of_peer, NULL);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "from the future"));
    one->now_us += 100 * SECOND;
    batch.boot_us = one->now_us - 590 * SECOND;
    metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, site_of_peer, NULL);
    assert_non_null(strstr(metrics_refused(one->metrics).last, "late"));
    assert_int_equal(metrics_refused(one->metrics).count, 2);
}

/* Two segments of a split workload, served by one instance of its first part. */
static void test_segments_are_told_of_their_own_parts(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    int64_t near = 0;
    int64_t far = 0;
    int64_t cpu_ns = 0;
    int64_t calls[2] = {0};
    for (int second = 0; second < 14; second++) {
        one->now_us += SECOND;
        struct message_sample samples[] = {sample_of(one, SAMPLE_REQUESTS, near += 30),
                                           sample_of(one, SAMPLE_REQUESTS, far += 10),
                                           sample_of(one, SAMPLE_CPU_NS, cpu_ns += 40000000)};
        for (int i = 0; i < 3; i++)
            samples[i].workload = "tiles--near";
        samples[0].segment = "near";
        samples[1].segment = "far";
        send(one, samples, 3);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        for (int i = 0; i < count; i++) {
            bool is_near = str_equal(out[i].workload, "tiles--near");
            assert_true(is_near || str_equal(out[i].workload, "tiles--far"));
            if (out[i].kind == ESTIMATE_CALLS_MHZ)
                calls[is_near] = out[i].value;
            if (out[i].kind != ESTIMATE_CPU_NS)
                continue;
            assert_true(is_near); /* of the instance, over both segments */
            assert_in_range(out[i].value, 980000, 1020000);
        }
    }
    assert_in_range(calls[true], 28000, 31000);
    assert_in_range(calls[false], 9300, 10500);
}

static void test_sketches_become_percentiles(void **state)
{
    struct world_of_one *one = *state;
    struct estimate out[64];
    const struct estimate *p99 = NULL;
    for (int second = 0; second < 14; second++) {
        one->now_us += SECOND;
        struct sketch sketch = {0};
        for (int i = 1; i <= 100; i++)
            sketch_add(&sketch, i * 1000);
        struct message_sketch told = {.kind = SAMPLE_LATENCY_US,
                                      .namespace_ = "default",
                                      .app = "shop",
                                      .workload = "inference",
                                      .instance = "inference-0-1"};
        sketch_to_message(&sketch, &told);
        struct message_batch batch = {.boot_us = one->now_us - 500 * SECOND,
                                      .seq = ++one->seq,
                                      .sketches = &told,
                                      .sketch_count = 1};
        str_format(batch.node, sizeof batch.node, "n1");
        str_format(batch.boot_id, sizeof batch.boot_id, "boot-a");
        metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, NULL, NULL);
        if (second == 13) { /* one whose count is a lie is refused */
            told.count++;
            batch.seq = ++one->seq;
            batch.boot_us++;
            metrics_take(one->metrics, "n1", "gcp/us-central1", &batch, one->now_us, NULL, NULL);
            assert_non_null(strstr(metrics_refused(one->metrics).last, "sum up to 100"));
        }
        sketch_done(&sketch);
        int count = metrics_changed(one->metrics, one->now_us + 1, out, 64);
        if (p99 == NULL)
            p99 = find(out, count, ESTIMATE_LATENCY_P99_US);
        if (p99 != NULL && second < 13) {
            assert_in_range(p99->value, 96000, 101000);
            assert_in_range(p99->spread, 256, 4096);
            assert_string_equal(p99->site, "gcp/us-central1");
        }
    }
    assert_non_null(p99);
    struct metrics_key key = {"default", "shop", "inference", "", "gcp/us-central1", ""};
    struct metrics_latency latency;
    assert_true(metrics_latency(one->metrics, &key, one->now_us, &latency));
    assert_in_range(latency.p50_us, 49000, 52000);
    assert_in_range(latency.p95_us, 94000, 96000);
    assert_int_equal(latency.error_ppm, 5416);
    assert_false(metrics_latency(one->metrics, &key, one->now_us + 60 * SECOND, &latency));
}

/* Many workloads, then others: the tables make way for them, and nothing is mixed up. */
static void test_thousands_come_and_go(void **state)
{
    struct world_of_one *one = *state;
    enum { MANY = 3000 };
    static char names[MANY][LIMIT_NAME_BYTES];
    static struct estimate out[4 * MANY];
    static struct message_sample samples[LIMIT_SAMPLES_BATCH];
    for (int age = 0; age < 4; age++) {
        for (int i = 0; i < MANY; i++)
            str_format(names[i], sizeof names[i], "w%d-%d", age, i);
        int said = 0;
        for (int second = 0; second < 7; second++) {
            one->now_us += SECOND;
            for (int begin = 0; begin < MANY; begin += LIMIT_SAMPLES_BATCH) {
                int count = MANY - begin < LIMIT_SAMPLES_BATCH ? MANY - begin : LIMIT_SAMPLES_BATCH;
                for (int i = 0; i < count; i++) {
                    samples[i] = sample_of(one, SAMPLE_REQUESTS, (begin + i + 1) * second);
                    samples[i].workload = names[begin + i];
                }
                one->now_us++;
                send(one, samples, count);
            }
            int count = metrics_changed(one->metrics, one->now_us + 1, out, 4 * MANY);
            for (int i = 0; i < count; i++) {
                int number = 0;
                const char *dash = strchr(out[i].workload, '-');
                for (const char *at = dash + 1; *at != 0; at++)
                    number = number * 10 + *at - '0';
                assert_int_equal(out[i].workload[1] - '0', age);
                assert_true(out[i].value <= (number + 1) * 1010);
                said++;
            }
        }
        assert_true(said >= MANY);
        one->now_us += 700 * SECOND;
    }
    assert_int_equal(metrics_refused(one->metrics).count, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_counters_become_rates_and_ratios),
        TEST(test_the_end_of_an_instance_is_not_cheap),
        TEST(test_constant_load_is_said_only_to_stay_fresh),
        TEST(test_a_fallen_hit_ratio_is_said),
        TEST(test_a_new_life_is_a_new_base),
        TEST(test_implausible_readings_are_refused),
        TEST(test_a_batch_twice_counts_once),
        TEST(test_each_counter_goes_by_its_own_last_reading),
        TEST(test_a_node_that_speaks_for_another_is_refused),
        TEST(test_round_trips_keep_the_shortest),
        TEST(test_silence_says_nothing),
        TEST(test_a_node_that_claims_requests_moves_nothing),
        TEST(test_a_node_that_claims_hits_moves_nothing),
        TEST(test_a_node_that_claims_to_be_quick_moves_nothing),
        TEST(test_a_round_trip_has_two_ends),
        TEST(test_a_probe_contradicts_a_lone_node),
        TEST(test_a_probe_alone_is_believed),
        TEST(test_estimates_say_how_certain_they_are),
        TEST(test_a_wider_spread_is_said),
        TEST(test_a_clock_that_leaps_says_nothing),
        TEST(test_segments_are_told_of_their_own_parts),
        TEST(test_sketches_become_percentiles),
        TEST(test_thousands_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
