/* metrics: what is told of a second before it is over, and what waits for its end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/metrics.h"

#define SECOND   US_PER_S
#define LIST_MAX 64

struct source {
    const char *node;
    int64_t requests;
    int64_t cpu_ns;
    uint64_t seq;
};

struct scene {
    struct metrics *metrics;
    int64_t now_us;
    struct estimate list[LIST_MAX];
    int count;
};

static int set_up(void **state)
{
    static struct scene scene;
    struct error err = {0};
    scene = (struct scene){.now_us = 1000 * SECOND};
    assert_int_equal(metrics_create(NULL, &scene.metrics, &err), 0);
    *state = &scene;
    return 0;
}

static int tear_down(void **state)
{
    metrics_destroy(((struct scene *)*state)->metrics);
    return 0;
}

static void take(struct metrics *metrics, const struct source *source, int64_t now_us)
{
    struct message_sample samples[2];
    for (int i = 0; i < 2; i++)
        samples[i] = (struct message_sample){.kind = i == 0 ? SAMPLE_REQUESTS : SAMPLE_CPU_NS,
                                             .namespace_ = "default",
                                             .app = "shop",
                                             .workload = "web",
                                             .instance = "web-0-1",
                                             .life = 7,
                                             .value = i == 0 ? source->requests : source->cpu_ns};
    struct message_batch batch = {.boot_us = now_us - 500 * SECOND,
                                  .seq = source->seq,
                                  .samples = samples,
                                  .sample_count = 2};
    str_format(batch.node, sizeof(batch.node), "%s", source->node);
    str_format(batch.boot_id, sizeof(batch.boot_id), "boot-%s", source->node);
    metrics_take(metrics, source->node, "gcp/us-central1", &batch, now_us, NULL, NULL);
}

/* So many more requests, of `cpu_us` each. */
static void speak(struct scene *scene, struct source *source, int64_t requests, int64_t cpu_us)
{
    source->requests += requests;
    source->cpu_ns += requests * cpu_us * 1000;
    source->seq++;
    take(scene->metrics, source, scene->now_us);
}

static const struct estimate *said(const struct scene *scene, enum estimate_kind kind)
{
    for (int i = 0; i < scene->count; i++)
        if (scene->list[i].kind == kind)
            return &scene->list[i];
    return NULL;
}

static const struct estimate *asked(struct scene *scene, enum estimate_kind kind)
{
    scene->now_us += 1;
    scene->count = metrics_changed(scene->metrics, scene->now_us, scene->list, LIST_MAX);
    return said(scene, kind);
}

/* Twenty seconds of 100 requests each; both speak 300 ms after a second began. */
static void settle(struct scene *scene, struct source *a, struct source *b)
{
    scene->now_us += 300 * US_PER_MS;
    for (int i = 0; i < 20; i++) {
        scene->now_us = 1000 * SECOND + i * SECOND + 300 * US_PER_MS;
        speak(scene, a, 100, 2000);
        if (b != NULL)
            speak(scene, b, 100, 2000);
        (void)asked(scene, ESTIMATE_CALLS_MHZ);
    }
    scene->now_us = 1020 * SECOND + 300 * US_PER_MS;
}

static void a_change_does_not_wait_for_the_end_of_its_second(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    settle(scene, &a, NULL);
    speak(scene, &a, 1000, 2000);
    const struct estimate *calls = asked(scene, ESTIMATE_CALLS_MHZ);
    assert_non_null(calls);
    assert_in_range(calls->value, 196000, 204000); /* (8 x 100 + 1000) / 9 s */
    /* Its end brings nothing new. */
    scene->now_us = 1021 * SECOND;
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
}

static void it_waits_for_all_that_are_heard(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    struct source b = {.node = "n2"};
    settle(scene, &a, &b);
    speak(scene, &a, 1000, 2000);
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
    scene->now_us += 100 * US_PER_MS;
    speak(scene, &b, 1000, 2000);
    const struct estimate *calls = asked(scene, ESTIMATE_CALLS_MHZ);
    assert_non_null(calls);
    assert_in_range(calls->value, 392000, 408000);
    /* Who has been silent for a window is waited for no more. */
    for (int i = 0; i < 14; i++) {
        scene->now_us += SECOND;
        speak(scene, &a, 1000, 2000);
        calls = asked(scene, ESTIMATE_CALLS_MHZ);
    }
    scene->now_us += SECOND;
    speak(scene, &a, 4000, 2000);
    assert_non_null(asked(scene, ESTIMATE_CALLS_MHZ));
}

/* Ten times the requests for the same work: nothing is told of it early, and nothing late. */
static void a_lie_is_not_told_before_it_is_compared(void **state)
{
    struct scene *scene = *state;
    struct source nodes[3] = {{.node = "n1"}, {.node = "n2"}, {.node = "n3"}};
    for (int second = 0; second < 60; second++) {
        for (int i = 0; i < 3; i++) {
            bool lying = second >= 30 && i == 2;
            scene->now_us = (1000 + second) * SECOND + (i + 1) * 100 * US_PER_MS;
            speak(scene, &nodes[i], lying ? 5000 : 100, lying ? 40 : 2000);
            (void)asked(scene, ESTIMATE_CALLS_MHZ);
            for (int k = 0; k < scene->count && second >= 30; k++)
                if (scene->list[k].kind == ESTIMATE_CALLS_MHZ)
                    fail_msg("%lld calls were told", (long long)scene->list[k].value);
                else if (scene->list[k].kind == ESTIMATE_CPU_NS)
                    assert_in_range(scene->list[k].value, 1900000, 2100000);
        }
        scene->now_us = (1001 + second) * SECOND;
        (void)asked(scene, ESTIMATE_CALLS_MHZ);
        if (second >= 30)
            assert_null(said(scene, ESTIMATE_CALLS_MHZ));
        assert_int_equal(metrics_refused(scene->metrics).suspects, second >= 30);
    }
    assert_non_null(strstr(metrics_refused(scene->metrics).last, "node n3"));
}

/* One that has told the truth in a second and lies in the same one. */
static void a_second_word_is_compared_as_well(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    struct source b = {.node = "n2"};
    settle(scene, &a, &b);
    speak(scene, &a, 100, 2000);
    speak(scene, &b, 100, 2000);
    (void)asked(scene, ESTIMATE_CALLS_MHZ);
    scene->now_us += 200 * US_PER_MS;
    speak(scene, &b, 100000, 1);
    (void)asked(scene, ESTIMATE_CALLS_MHZ);
    assert_int_equal(scene->count, 0);
    scene->now_us = 1021 * SECOND;
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
    assert_int_equal(metrics_refused(scene->metrics).suspects, 2);
}

/* A word out of turn: what it lacks may still come, what it has too much is there already. */
static void half_a_second_takes_nothing_away(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    settle(scene, &a, NULL);
    scene->now_us = 1020 * SECOND + 10 * US_PER_MS;
    speak(scene, &a, 1, 2000);
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
    scene->now_us = 1020 * SECOND + 300 * US_PER_MS;
    speak(scene, &a, 99, 2000);
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
    scene->now_us = 1021 * SECOND + 10 * US_PER_MS;
    speak(scene, &a, 1000, 2000);
    const struct estimate *calls = asked(scene, ESTIMATE_CALLS_MHZ);
    assert_non_null(calls);
    assert_in_range(calls->value, 196000, 204000);
}

/* It did not come: its second is over. */
static void what_is_missing_is_missed_at_the_end(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    settle(scene, &a, NULL);
    scene->now_us = 1020 * SECOND + 10 * US_PER_MS;
    speak(scene, &a, 1, 2000);
    assert_null(asked(scene, ESTIMATE_CALLS_MHZ));
    scene->now_us = 1021 * SECOND;
    const struct estimate *calls = asked(scene, ESTIMATE_CALLS_MHZ);
    assert_non_null(calls);
    assert_in_range(calls->value, 87000, 91000);
}

static void it_is_asked_for_soon_after_a_batch_only(void **state)
{
    struct scene *scene = *state;
    struct source a = {.node = "n1"};
    assert_true(metrics_deadline_us(scene->metrics, scene->now_us) == INT64_MAX);
    settle(scene, &a, NULL);
    assert_true(metrics_deadline_us(scene->metrics, scene->now_us) == 1021 * SECOND);
    speak(scene, &a, 100, 2000);
    assert_true(metrics_deadline_us(scene->metrics, scene->now_us) == scene->now_us);
    (void)asked(scene, ESTIMATE_CALLS_MHZ);
    int64_t asked_us = scene->now_us;
    scene->now_us += 10 * US_PER_MS;
    speak(scene, &a, 100, 2000);
    assert_true(metrics_deadline_us(scene->metrics, scene->now_us) == asked_us + 100 * US_PER_MS);
    scene->now_us += 120 * US_PER_MS;
    assert_true(metrics_deadline_us(scene->metrics, scene->now_us) == scene->now_us);
}

/* Asked all the time and asked once a second, of sources that speak once a second: the same is said
 * in the same order, and never later. */
static void often_asked_says_the_same(void **state)
{
    (void)state;
    enum { SAID_MAX = 4000 };
    static struct estimate often[SAID_MAX];
    static struct estimate seldom[SAID_MAX];
    int sooner = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct metrics *both[2];
        struct source nodes[3] = {{.node = "n1"}, {.node = "n2"}, {.node = "n3"}};
        struct error err = {0};
        int counts[2] = {0, 0};
        uint64_t random = seed;
        for (int i = 0; i < 2; i++)
            assert_int_equal(metrics_create(NULL, &both[i], &err), 0);
        for (int64_t ms = 0; ms < 90000; ms += 50) {
            int64_t now_us = 1000 * SECOND + ms * US_PER_MS;
            if (ms == 20000)
                counts[0] = counts[1] = 0;
            if (ms % 1000 == 0)
                counts[1] += metrics_changed(both[1], now_us, seldom + counts[1], LIST_MAX);
            counts[0] += metrics_changed(both[0], now_us, often + counts[0], LIST_MAX);
            for (int i = 0; i < 3; i++) {
                if (ms % 1000 != 150 + 200 * i)
                    continue;
                random = hash_u64(HASH_SEED, random);
                bool calm = ms < 20000; /* until both have begun alike */
                int64_t requests = calm ? 100 : 80 + (int64_t)(random % 60);
                requests += ms > 45000 ? 150 : 0;
                nodes[i].requests += requests;
                nodes[i].cpu_ns += requests * (calm ? 2000 : 1800 + (int64_t)(random % 401)) * 1000;
                nodes[i].seq++;
                for (int k = 0; k < 2; k++)
                    take(both[k], &nodes[i], now_us);
            }
            assert_true(counts[0] < SAID_MAX - LIST_MAX && counts[1] < SAID_MAX - LIST_MAX);
        }
        for (int kind = 0; kind < ESTIMATE_COUNT; kind++) {
            int a = 0;
            for (int b = 0; b < counts[1]; b++) {
                if ((int)seldom[b].kind != kind)
                    continue;
                while (a < counts[0] && (int)often[a].kind != kind)
                    a++;
                if (a == counts[0] || often[a].value != seldom[b].value ||
                    often[a].spread != seldom[b].spread || often[a].at_us > seldom[b].at_us)
                    fail_msg("seed %llu, kind %d: what is said in the end differs",
                             (unsigned long long)seed, kind);
                sooner += often[a++].at_us < seldom[b].at_us;
            }
        }
        for (int i = 0; i < 2; i++)
            metrics_destroy(both[i]);
    }
    assert_true(sooner > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(a_change_does_not_wait_for_the_end_of_its_second),
        TEST(it_waits_for_all_that_are_heard),
        TEST(a_lie_is_not_told_before_it_is_compared),
        TEST(a_second_word_is_compared_as_well),
        TEST(half_a_second_takes_nothing_away),
        TEST(what_is_missing_is_missed_at_the_end),
        TEST(it_is_asked_for_soon_after_a_batch_only),
        TEST(often_asked_says_the_same),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
