/* suspect: what is left out of a comparison because it cannot find anything changes no verdict. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "metrics/metrics_internal.h"

#define SECOND US_PER_S
#define NODES  5

static uint64_t seed = 11;

static int64_t chance(int64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (int64_t)(seed % (uint64_t)below);
}

/* What a node's instance does in a second. */
struct habit {
    int64_t requests;
    int64_t hit_percent;
    int64_t cpu_ns; /* of a request */
    int64_t bytes;
    int64_t latency_us;
    int64_t idle_cpu_ns; /* beside them */
};

static const int counted[] = {SAMPLE_REQUESTS, SAMPLE_HITS,     SAMPLE_MISSES,
                              SAMPLE_CPU_NS,   SAMPLE_BYTES_IN, SAMPLE_LATENCY_US_SUM};
#define COUNTED ((int)(sizeof counted / sizeof counted[0]))

struct node {
    char name[LIMIT_NAME_BYTES];
    uint64_t seq;
    int64_t totals[COUNTED];
};

static const char *site_of(void *context, const char *peer)
{
    (void)context;
    return peer;
}

static void send(struct metrics *metrics, const char *name, const char *site, uint64_t seq,
                 int64_t now_us, const int *kinds, const int64_t *values, int count)
{
    struct message_sample samples[COUNTED];
    struct message_batch batch = {
        .boot_us = now_us - 500 * SECOND, .seq = seq, .samples = samples, .sample_count = count};
    str_format(batch.node, sizeof batch.node, "%s", name);
    str_format(batch.boot_id, sizeof batch.boot_id, "boot-%s", name);
    for (int i = 0; i < count; i++)
        samples[i] = (struct message_sample){.kind = kinds[i],
                                             .namespace_ = "default",
                                             .app = "shop",
                                             .workload = "web",
                                             .instance = name,
                                             .site = "edge/nyc",
                                             .life = 7,
                                             .value = values[i]};
    metrics_take(metrics, name, site, &batch, now_us, site_of, NULL);
}

static void count_up(struct node *node, const struct habit *habit)
{
    int64_t hits = habit->requests * habit->hit_percent / 100;
    const int64_t grown[COUNTED] = {habit->requests,
                                    hits,
                                    habit->requests - hits,
                                    habit->requests * habit->cpu_ns + habit->idle_cpu_ns,
                                    habit->requests * habit->bytes,
                                    habit->requests * habit->latency_us};
    for (int i = 0; i < COUNTED; i++)
        node->totals[i] += grown[i];
    node->seq++;
}

/* Near and far from what the rules allow, and things that come seldom or not at all. */
static struct habit any_habit(void)
{
    static const int64_t factors[] = {100, 100, 100, 100, 110, 280, 290, 295, 300, 310, 330, 1000};
    int64_t of = (int64_t)(sizeof factors / sizeof factors[0]);
    struct habit habit = {.requests = 40 * factors[chance(of)] / 100,
                          .hit_percent = 50 + (chance(3) == 0 ? chance(30) - 15 : 0),
                          .cpu_ns = 1000 * factors[chance(of)],
                          .bytes = 10 * factors[chance(of)],
                          .latency_us = 10 * factors[chance(of)]};
    if (chance(8) == 0)
        habit.requests = chance(30);
    if (chance(8) == 0)
        habit.latency_us *= 19 + chance(3);
    if (chance(12) == 0)
        habit.requests *= 19 + chance(3);
    if (chance(10) == 0)
        habit.idle_cpu_ns = 1000000;
    return habit;
}

static struct metrics *make(void)
{
    struct metrics *metrics = NULL;
    struct error err = {0};
    assert_int_equal(metrics_create(NULL, &metrics, &err), 0);
    return metrics;
}

static int ask(struct metrics *metrics, int64_t now_us)
{
    static struct estimate out[256];
    return metrics_changed(metrics, now_us, out, 256);
}

static void forget_agreements(struct metrics *metrics)
{
    for (int i = 0; i < metrics->group_count; i++)
        for (int k = 0; k < STRETCHES; k++)
            metrics->groups[i].agreements[k].index = -1;
}

/* Windows are not added up where their stretches agree; who adds them up all the same finds the
 * same, second by second. */
static void test_windows_that_agree_need_no_sum(void **state)
{
    (void)state;
    struct metrics *quick = make();
    struct metrics *whole = make();
    struct node nodes[NODES] = {0};
    struct habit habits[NODES];
    int64_t now_us = 1000 * SECOND;
    int64_t shown = 0;
    for (int second = 0; second < 20000; second++) {
        now_us += SECOND;
        if (second % 40 == 0)
            for (int i = 0; i < NODES; i++) {
                str_format(nodes[i].name, sizeof nodes[i].name, "n%d", i);
                habits[i] = chance(3) == 0 || second == 0 ? any_habit() : habits[0];
            }
        for (int i = 0; i < NODES; i++) {
            struct habit habit = habits[i];
            habit.requests += habit.requests * (chance(21) - 10) / 100;
            habit.hit_percent += chance(7) - 3;
            if (chance(100) == 0)
                continue; /* it says nothing */
            count_up(&nodes[i], &habit);
            send(quick, nodes[i].name, "edge/nyc", nodes[i].seq, now_us, counted, nodes[i].totals,
                 COUNTED);
            send(whole, nodes[i].name, "edge/nyc", nodes[i].seq, now_us, counted, nodes[i].totals,
                 COUNTED);
        }
        forget_agreements(whole);
        assert_int_equal(ask(quick, now_us + 1), ask(whole, now_us + 1));
        struct metrics_refusal a = metrics_refused(quick);
        struct metrics_refusal b = metrics_refused(whole);
        assert_int_equal(a.count, b.count);
        assert_int_equal(a.suspected, b.suspected);
        assert_int_equal(a.suspects, b.suspects);
        assert_string_equal(a.last, b.last);
        shown += a.suspects > 0;
    }
    assert_in_range(shown, 1000, 19000); /* of both there was enough */
    metrics_destroy(quick);
    metrics_destroy(whole);
}

/* Where a probe listens each rule is looked at by itself; with one that says nothing of what is
 * compared the verdicts are the same in the end. */
static void test_the_short_way_finds_what_the_rules_find(void **state)
{
    (void)state;
    static const int memory[] = {SAMPLE_MEMORY_BYTES};
    static const int64_t bytes[] = {1 << 20};
    struct metrics *quick = make();
    struct metrics *by_rule = make();
    struct node nodes[NODES] = {0};
    struct habit habits[NODES];
    int64_t now_us = 1000 * SECOND;
    int phases_of_doubt = 0;
    uint64_t probe_seq = 0;
    for (int phase = 0; phase < 400; phase++) {
        struct habit usual = any_habit();
        for (int i = 0; i < NODES; i++) {
            str_format(nodes[i].name, sizeof nodes[i].name, "n%d", i);
            habits[i] = chance(2) == 0 ? any_habit() : usual;
        }
        for (int second = 0; second < 35; second++) {
            now_us += SECOND;
            for (int i = 0; i < NODES; i++) {
                count_up(&nodes[i], &habits[i]);
                send(quick, nodes[i].name, "edge/nyc", nodes[i].seq, now_us, counted,
                     nodes[i].totals, COUNTED);
                send(by_rule, nodes[i].name, "edge/nyc", nodes[i].seq, now_us, counted,
                     nodes[i].totals, COUNTED);
            }
            send(by_rule, "p1", NULL, ++probe_seq, now_us, memory, bytes, 1);
            (void)ask(quick, now_us + 1);
            (void)ask(by_rule, now_us + 1);
        }
        int found = metrics_refused(quick).suspects;
        assert_int_equal(found, metrics_refused(by_rule).suspects);
        phases_of_doubt += found > 0;
    }
    assert_in_range(phases_of_doubt, 20, 380);
    metrics_destroy(quick);
    metrics_destroy(by_rule);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_that_agree_need_no_sum),
        cmocka_unit_test(test_the_short_way_finds_what_the_rules_find),
    };
    return cmocka_run_group_tests_name("suspect", tests, NULL, NULL);
}
