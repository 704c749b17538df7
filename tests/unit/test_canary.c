/* Canaries: a new version with a share of the traffic, judged, promoted or taken back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/internal.h"
#include "tests/unit/core_fixture.h"

#define DIGEST(n) "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde" n
#define WEB(version, replicas, update)                                        \
    "app: shop\n"                                                             \
    "workloads:\n"                                                            \
    "  - name: web\n"                                                         \
    "    contract: true\n"                                                    \
    "    replicas: " replicas "\n"                                            \
    "    http: {}\n" update                                                   \
    "    run: {driver: process, artifact: 'file:/bin/web', digest: '" DIGEST( \
        version) "'}\n"                                                       \
                 "    resources: {cpu: 200m, memory: 64MiB}\n"                \
                 "    timeouts: {start: 10s, drain: 5s, stop: 5s}\n"
#define UPDATE "    update: {canary: 10%, for: 60s, requests: 100, errors: 1%, latency: 150%}\n"

static const char *const at_edge[] = {"web", "edge/nyc", NULL};

static const struct core_judged_side old_side = {true, 5000, 2000, 10000};
static const struct core_judged_side good = {true, 500, 3000, 12000};

static void apply(struct fixture *f, const char *text)
{
    struct app app;
    fixture_parse_app(f, text, &app);
    fixture_apply(f, &app);
    assert_int_equal(f->reply_code, 0);
}

static void replan(struct fixture *f)
{
    fixture_run(f, 1100 * US_PER_MS);
    if (f->solve != 0)
        fixture_plan(f, at_edge, 1000, 1000);
}

static void start(struct fixture *f, const char *text)
{
    apply(f, text);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_edge, INT64_MAX, 1000);
    fixture_run(f, 2 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    fixture_plan(f, at_edge, 1000, 1000);
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    int node = fixture_node_add(&fixture, "in", "edge/nyc");
    fixture.nodes[node].ingress = true;
    fixture.nodes[node].mcpu = 0;
    fixture_hello(&fixture, node);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static int weight_of(const struct fixture *f, const char *instance)
{
    const struct message_server *server = fixture_server(f, fixture_node(f, "in"), "web", instance);
    return server == NULL || server->mode != ROUTE_SERVE ? 0 : server->weight;
}

static const struct core_handoff *canary(struct fixture *f)
{
    const struct core_handoff *handoff = fixture_handoff(f, "web");
    assert_non_null(handoff);
    assert_int_equal(handoff->state, HANDOFF_STATE_CANARY);
    return handoff;
}

static void begin(struct fixture *f)
{
    start(f, WEB("0", "1", UPDATE));
    apply(f, WEB("1", "1", UPDATE));
    assert_int_equal(canary(f)->reason, REASON_VERSION);
}

static void test_weights_give_the_share(void **state)
{
    (void)state;
    const int64_t shares[] = {1, 1000, 10000, 100000, 250000, 500000};
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        for (int others = 1; others < LIMIT_REPLICAS; others++) {
            int own = 0;
            int other = 0;
            core_canary_weights(shares[i], others, &own, &other);
            assert_in_range(own, 1, ROUTE_WEIGHT_MAX);
            assert_in_range(other, 1, ROUTE_WEIGHT_MAX);
            int64_t total = own + (int64_t)others * other;
            int64_t ppm = own * PPM / total;
            /* Whole weights: the share is met to one step of its own, or of all the others. */
            int64_t step = PPM / total + (own == ROUTE_WEIGHT_MAX ? ppm / other : 0) + 1;
            assert_true(shares[i] - ppm <= step);
            assert_true(ppm - shares[i] <= step);
        }
    }
}

static void test_a_canary_has_its_share_and_is_promoted(void **state)
{
    struct fixture *f = *state;
    begin(f);
    char old[LIMIT_ID_BYTES];
    char new[LIMIT_ID_BYTES];
    memcpy(old, canary(f)->from, sizeof(old));
    memcpy(new, canary(f)->to, sizeof(new));
    assert_int_equal(weight_of(f, old), 256);
    assert_int_equal(weight_of(f, new), 28); /* 9.9 % */
    assert_int_equal(f->judge_count, 1);
    assert_string_equal(f->judge.judge.from, old);
    assert_string_equal(f->judge.judge.to, new);
    fixture_judged(f, &old_side, &good);
    assert_int_equal(canary(f)->canary.requests, 500);
    for (int i = 0; i < 59; i++) { /* good all the time, and not yet for long enough */
        fixture_run(f, 1 * US_PER_S);
        if (canary(f)->canary.judge != 0)
            fixture_judged(f, &old_side, &good);
    }
    assert_in_range(f->judge_count, 20, 35);
    fixture_run(f, 1 * US_PER_S);
    fixture_judged(f, &old_side, &good);
    const struct core_handoff *handoff = fixture_handoff(f, "web");
    assert_int_equal(handoff->state, HANDOFF_STATE_LINGERING);
    assert_int_equal(weight_of(f, new), 256);
    assert_int_equal(weight_of(f, old), 0);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_true(fixture_ended(f)->canary.promoted);
    assert_non_null(strstr(fixture_told(f, "canary.promoted")->text, "500 requests"));
    assert_int_equal(f->told_while_served, 0);
}

/* Back, with that in its text; and nothing of that version for a long time. */
static void taken_back(struct fixture *f, const char *why)
{
    char old[LIMIT_ID_BYTES];
    fixture_run(f, 1 * US_PER_S);
    const struct core_handoff *ended = fixture_ended(f);
    memcpy(old, ended->from, sizeof(old));
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    if (strstr(ended->text, why) == NULL)
        fail_msg("\"%s\" is not in: %s", why, ended->text);
    assert_non_null(strstr(fixture_told(f, "canary.refused")->text, why));
    assert_int_equal(weight_of(f, old), 256);
    assert_int_equal(f->told_while_served, 0);
    uint64_t before = core_state(f->core)->ended_count;
    fixture_run(f, 2 * 3600 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_int_equal(core_state(f->core)->ended_count, before);
    assert_int_equal(weight_of(f, old), 256);
}

static void test_errors_take_it_back_until_the_next_apply(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct core_judged_side bad = {true, 200, 12001, 10000}; /* 1 % + 0.2 % and a bit */
    const struct core_judged_side enough = {true, 200, 12000, 10000};
    const struct core_judged_side few = {true, 99, PPM, 10000};
    fixture_judged(f, &old_side, &enough);
    assert_int_equal(canary(f)->state, HANDOFF_STATE_CANARY);
    fixture_run(f, 2 * US_PER_S);
    fixture_judged(f, &old_side, &few); /* all of them failed: too few to tell */
    assert_int_equal(canary(f)->state, HANDOFF_STATE_CANARY);
    fixture_run(f, 2 * US_PER_S);
    fixture_judged(f, &old_side, &bad);
    taken_back(f, "fails 1.20 % of 200 requests");
    apply(f, WEB("1", "1", UPDATE)); /* the same again: a person wants it */
    replan(f);
    assert_int_equal(canary(f)->reason, REASON_VERSION);
}

/* What was taken back is left behind by a newer version. */
static void test_a_newer_version_is_judged_anew(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct core_judged_side slow = {true, 200, 0, 30001}; /* above twice the 150 % */
    fixture_judged(f, &old_side, &slow);
    taken_back(f, "30001 us a request");
    apply(f, WEB("2", "1", UPDATE));
    replan(f);
    assert_int_equal(canary(f)->canary.requests, 0);
    /* And one that is applied in the middle cancels what is under way. */
    apply(f, WEB("3", "1", UPDATE));
    fixture_run(f, 1 * US_PER_S);
    assert_true(canary(f)->id[0] != 0);
    assert_true(fixture_ended(f)->cancelled);
}

/* Judged like that until the end of `for`; true when it went back. */
static bool slow_to_the_end(struct fixture *f, int64_t old_us, int64_t new_us)
{
    const struct core_judged_side from = {true, 5000, 0, old_us};
    const struct core_judged_side to = {true, 500, 0, new_us};
    begin(f);
    for (int i = 0; i < 60; i++) {
        if (canary(f)->canary.judge != 0)
            fixture_judged(f, &from, &to);
        fixture_run(f, 1 * US_PER_S);
    }
    fixture_judged(f, &from, &to);
    const struct core_handoff *handoff = fixture_handoff(f, "web");
    return handoff == NULL || handoff->state == HANDOFF_STATE_RETURNING;
}

static void test_latency_is_judged_at_the_end(void **state)
{
    assert_true(slow_to_the_end(*state, 10000, 15001));
    assert_non_null(strstr(fixture_ended(*state)->text, "15001 us"));
}

static void test_the_allowed_latency_is_promoted(void **state)
{
    assert_false(slow_to_the_end(*state, 10000, 15000));
}

static void test_less_than_a_millisecond_is_noise(void **state)
{
    assert_false(slow_to_the_end(*state, 3, 1002));
}

static void test_a_millisecond_is_not(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct core_judged_side from = {true, 5000, 0, 3};
    const struct core_judged_side to = {true, 500, 0, 1003};
    fixture_judged(f, &from, &to);
    taken_back(f, "1003 us");
}

static void test_too_few_requests_are_waited_for_and_then_it_is_taken_back(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct core_judged_side few = {true, 42, 0, 10000};
    for (int i = 0; i < 599; i++) {
        if (canary(f)->canary.judge != 0)
            fixture_judged(f, &old_side, &few);
        fixture_run(f, 1 * US_PER_S);
    }
    assert_int_equal(canary(f)->state, HANDOFF_STATE_CANARY);
    fixture_judged(f, &old_side, &few);
    fixture_run(f, 1 * US_PER_S);
    struct core_event tick = {.kind = CORE_TICK};
    fixture_step(f, &tick);
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    assert_non_null(strstr(ended->text, "42 requests"));
}

static void test_an_unknown_old_version_has_no_errors_and_any_latency(void **state)
{
    struct fixture *f = *state;
    begin(f);
    const struct core_judged_side unknown = {false, 0, 0, 0};
    const struct core_judged_side slow = {true, 200, 10000, 900000};
    const struct core_judged_side bad = {true, 200, 10001, 10000};
    fixture_judged(f, &unknown, &slow);
    assert_int_equal(canary(f)->state, HANDOFF_STATE_CANARY);
    fixture_run(f, 2 * US_PER_S);
    fixture_judged(f, &unknown, &bad);
    taken_back(f, "the old one 0.00 %");
}

static void test_a_judgement_that_got_lost_is_asked_for_again(void **state)
{
    struct fixture *f = *state;
    begin(f);
    struct core_effect first = f->judge;
    fixture_run(f, 6 * US_PER_S);
    assert_int_equal(f->judge_count, 2);
    assert_true(f->judge.judge.judge > first.judge.judge);
    /* The late answer to the first is of another question. */
    struct core_effect second = f->judge;
    const struct core_judged_side bad = {true, 200, PPM, 10000};
    f->judge = first;
    fixture_judged(f, &old_side, &bad);
    assert_int_equal(canary(f)->canary.requests, 0);
    f->judge = second;
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    assert_int_equal(f->judge_count, 3);
    fixture_judged(f, &old_side, &bad);
    taken_back(f, "fails 100.00 %");
}

static void test_a_canary_that_fails_goes_back_by_itself(void **state)
{
    struct fixture *f = *state;
    begin(f);
    fixture_report(f, fixture_instance(f, canary(f)->to), INSTANCE_UNREADY, "3 checks failed");
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_int_equal(f->told_while_served, 0);
    /* It was not judged: it is tried again, later. */
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(canary(f)->reason, REASON_VERSION);
}

static void test_the_first_replica_is_judged_and_the_others_follow(void **state)
{
    struct fixture *f = *state;
    start(f, WEB("0", "3", UPDATE));
    apply(f, WEB("1", "3", UPDATE));
    uint64_t before = core_state(f->core)->ended_count;
    assert_int_equal(core_state(f->core)->handoff_count, 1); /* one replica at a time */
    const struct core_handoff *handoff = canary(f);
    assert_int_equal(weight_of(f, handoff->to), 85); /* of 85 + 3 x 256: 10 % */
    assert_int_equal(weight_of(f, handoff->from), 256);
    for (int i = 0; i < 61; i++) {
        if (canary(f)->canary.judge != 0)
            fixture_judged(f, &old_side, &good);
        if (fixture_handoff(f, "web")->state != HANDOFF_STATE_CANARY)
            break;
        fixture_run(f, 1 * US_PER_S);
    }
    int judged = f->judge_count;
    for (int i = 0; i < 200; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(core_state(f->core)->handoff_count <= 1);
    }
    assert_int_equal(f->judge_count, judged);
    assert_int_equal(core_state(f->core)->ended_count, before + 3);
    assert_int_equal(f->told_while_served, 0);
    for (int i = 0; i < f->instance_count; i++)
        assert_int_equal(weight_of(f, f->instances[i].id), 256);
}

static void test_versions_come_one_at_a_time_without_a_canary_too(void **state)
{
    struct fixture *f = *state;
    start(f, WEB("0", "3", ""));
    apply(f, WEB("1", "3", ""));
    uint64_t before = core_state(f->core)->ended_count;
    for (int i = 0; i < 100; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(core_state(f->core)->handoff_count <= 1);
    }
    assert_int_equal(core_state(f->core)->ended_count, before + 3);
    assert_int_equal(f->judge_count, 0);
}

static void test_without_an_ingress_nothing_is_judged(void **state)
{
    struct fixture *f = *state;
    fixture_lose(f, fixture_node(f, "in"));
    start(f, WEB("0", "1", UPDATE));
    apply(f, WEB("1", "1", UPDATE));
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(f->judge_count, 0);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_false(fixture_ended(f)->canary.promoted);
}

/* The old copy's process is gone: there is nothing to compare with or to go back to. */
static void test_a_lost_old_version_ends_the_judging(void **state)
{
    struct fixture *f = *state;
    begin(f);
    char new[LIMIT_ID_BYTES];
    memcpy(new, canary(f)->to, sizeof(new));
    fixture_report(f, fixture_instance(f, canary(f)->from), INSTANCE_FAILED, "too many restarts");
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(weight_of(f, new), 256);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_give_the_share),
        TEST(test_a_canary_has_its_share_and_is_promoted),
        TEST(test_errors_take_it_back_until_the_next_apply),
        TEST(test_a_newer_version_is_judged_anew),
        TEST(test_latency_is_judged_at_the_end),
        TEST(test_the_allowed_latency_is_promoted),
        TEST(test_less_than_a_millisecond_is_noise),
        TEST(test_a_millisecond_is_not),
        TEST(test_too_few_requests_are_waited_for_and_then_it_is_taken_back),
        TEST(test_an_unknown_old_version_has_no_errors_and_any_latency),
        TEST(test_a_judgement_that_got_lost_is_asked_for_again),
        TEST(test_a_canary_that_fails_goes_back_by_itself),
        TEST(test_the_first_replica_is_judged_and_the_others_follow),
        TEST(test_versions_come_one_at_a_time_without_a_canary_too),
        TEST(test_without_an_ingress_nothing_is_judged),
        TEST(test_a_lost_old_version_ends_the_judging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
