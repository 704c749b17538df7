#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/handoff.h"
#include "tests/unit/core_fixture.h"

static const char *const at_aws[] = {"source", "aws/us-east-1", NULL};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    fixture_start(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* Retagged to aws and planned there: the handoff has begun. */
static void begin_move(struct fixture *f)
{
    fixture_retag(f, "source", "aws");
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
    fixture_plan(f, at_aws, INT64_MAX, 900);
}

static const char *site_of(struct fixture *f, const char *workload)
{
    struct fixture_instance *instance = fixture_serving(f, workload);
    return instance == NULL ? "nowhere" : f->nodes[instance->node].site;
}

static void test_first_start(void **state)
{
    struct fixture *f = *state;
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_DONE);
    assert_int_equal(ended->reason, REASON_START);
    assert_string_equal(ended->from, "");
    assert_true(ended->entered[HANDOFF_STATE_REACHABLE].us > 0);
    assert_true(ended->entered[HANDOFF_STATE_DRAINING].us == 0);
    assert_string_equal(site_of(f, "web"), "edge/nyc");
    assert_int_equal(fixture_alive(f), 2);
    assert_int_equal(core_state(f->core)->command_count, 0);
}

static void test_retag_moves_make_before_break(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "edge")].rtt_us = 80000; /* web, which calls source, is there */
    begin_move(f);
    const struct core_handoff *handoff = fixture_handoff(f, "source");
    assert_non_null(handoff);
    assert_int_equal(handoff->state, HANDOFF_STATE_LINGERING);
    assert_int_equal(handoff->reason, REASON_RETAG);
    assert_true(handoff->proven);
    assert_int_equal(handoff->vantage_count, 2); /* the hub and web's node */
    assert_true(handoff->linger_us >= 80000 + 20000 + 5000);
    assert_int_equal(fixture_alive(f), 3); /* both copies serve */
    fixture_run(f, 104 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_LINGERING);
    fixture_run(f, 2 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    assert_int_equal(fixture_alive(f), 3);
    fixture_run(f, 3 * US_PER_S);
    assert_null(fixture_handoff(f, "source"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_string_equal(site_of(f, "source"), "aws/us-east-1");
    assert_int_equal(fixture_alive(f), 2);
    assert_int_equal(f->instance_count, 2); /* the old one is forgotten */
    assert_int_equal(core_state(f->core)->instance_count, 2);
}

static void test_late_failure_resumes_the_old_copy(void **state)
{
    struct fixture *f = *state;
    char old[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "source")->id);
    begin_move(f);
    fixture_run(f, 300 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    struct fixture_instance *fresh = fixture_serving(f, "source");
    assert_string_not_equal(fresh->id, old);
    fixture_report(f, fresh, INSTANCE_BACKOFF, "exit 1");
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    assert_string_equal(fixture_serving(f, "source")->id, old);
    assert_int_equal(f->verb_count[NODE_RESUME], 1);
    assert_int_equal(fixture_alive(f), 2);
    assert_non_null(strstr(ended->text, "exit 1"));
}

static void test_never_ready_goes_back(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "aws")].ignored = 1u << NODE_START;
    begin_move(f);
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_STARTING);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    fixture_run(f, 11 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    bool back = false;
    const struct core_state *core = core_state(f->core);
    for (uint64_t i = 0; i < core->ended_count; i++)
        back |= core->ended[i].state == HANDOFF_STATE_BACK;
    assert_true(back);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    /* It heals: the retry brings it there. */
    f->nodes[fixture_node(f, "aws")].ignored = 0;
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(site_of(f, "source"), "aws/us-east-1");
}

static void test_refused_stage_goes_back_with_the_reason(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "aws")].refused = 1u << NODE_STAGE;
    begin_move(f);
    fixture_run(f, 100 * US_PER_MS);
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    assert_non_null(strstr(ended->text, "stage was refused by aws"));
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
}

static void test_unreachable_copy_never_drains_the_old(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "edge")].unreachable = true;
    begin_move(f);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_READY);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    fixture_run(f, 16 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    f->nodes[fixture_node(f, "edge")].unreachable = false;
    fixture_run(f, 30 * US_PER_S);
    assert_string_equal(site_of(f, "source"), "aws/us-east-1");
}

static void test_lost_old_node_goes_forward(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_run(f, 100 * US_PER_MS);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    /* It comes back with the old copy still running: that one is stopped and forgotten. */
    fixture_hello(f, fixture_node(f, "gcp"));
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(fixture_alive(f), 2);
    assert_int_equal(f->instance_count, 2);
}

static void test_lost_new_node_goes_back(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    fixture_run(f, 300 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    fixture_lose(f, fixture_node(f, "aws"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_string_equal(f->nodes[f->instances[1].node].name, "gcp");
    assert_int_equal(f->instances[1].state, INSTANCE_READY);
}

static void test_delete_in_mid_handoff(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    fixture_delete(f);
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(fixture_alive(f), 0);
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_int_equal(core_state(f->core)->instance_count, 0);
    assert_int_equal(core_state(f->core)->command_count, 0);
}

static void test_retag_back_in_mid_handoff(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "aws")].ignored = 1u << NODE_START;
    begin_move(f);
    fixture_run(f, 1 * US_PER_S);
    fixture_retag(f, "source", "gcp");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, (const char *const[]){"source", "gcp/us-central1", NULL}, INT64_MAX, 900);
    fixture_run(f, 5 * US_PER_S);
    assert_null(fixture_handoff(f, "source"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_true(fixture_ended(f)->cancelled);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
}

/* Seed 12 of tests/fault: a first copy that served already, and was only not proven yet, was
 * stopped because another site had been chosen. */
static void test_what_serves_alone_is_replaced_and_not_stopped(void **state)
{
    static struct fixture fixture;
    struct fixture *f = &fixture;
    (void)state;
    fixture_init(f);
    f->nodes[fixture_node(f, "edge")].unreachable = true;
    fixture_apply(f, &f->app);
    fixture_run(f, 2 * US_PER_S);
    fixture_plan(f, (const char *const[]){"web", "edge/nyc", "source", "gcp/us-central1", NULL},
                 INT64_MAX, 1000);
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_READY);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    begin_move(f);
    for (int i = 0; i < 300 && !str_equal(site_of(f, "source"), "aws/us-east-1"); i++) {
        assert_non_null(fixture_serving(f, "source"));
        f->nodes[fixture_node(f, "edge")].unreachable = i < 10;
        fixture_run(f, 100 * US_PER_MS);
        if (f->solve != 0)
            fixture_plan(f, at_aws, INT64_MAX, 900);
    }
    fixture_run(f, 10 * US_PER_S);
    assert_null(fixture_handoff(f, "source"));
    assert_string_equal(site_of(f, "source"), "aws/us-east-1");
    fixture_done(f);
}

static void test_new_version_in_place(void **state)
{
    struct fixture *f = *state;
    char old[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "source")->id);
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].reserve[RESOURCE_CPU] = 350;
    fixture_apply(f, &app);
    assert_int_equal(fixture_handoff(f, "source")->reason, REASON_VERSION);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_string_not_equal(fixture_serving(f, "source")->id, old);
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    assert_int_equal(fixture_alive(f), 2);
}

static void test_without_contract_is_not_proven(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].contract = false;
    app.workloads[1].ready.kind = 0;
    fixture_apply(f, &app);
    const struct core_handoff *handoff = fixture_handoff(f, "source");
    assert_int_equal(handoff->state, HANDOFF_STATE_LINGERING);
    assert_false(handoff->proven);
    assert_true(handoff->linger_us >= 100 * US_PER_MS);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
}

static void test_drain_past_its_deadline_goes_forward(void **state)
{
    struct fixture *f = *state;
    f->nodes[fixture_node(f, "gcp")].ignored = 1u << NODE_DRAIN;
    begin_move(f);
    fixture_run(f, 14 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_DRAINING);
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(fixture_alive(f), 2);
}

/* A scheduler that was away past the deadline hears the nodes before it decides. */
static void test_a_restart_decides_nothing_unheard(void **state)
{
    struct fixture *f = *state;
    begin_move(f);
    fixture_run(f, 300 * US_PER_MS);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    struct fixture_instance *fresh = fixture_serving(f, "source");
    fresh->state = INSTANCE_FAILED; /* while nobody listened */
    f->now_us += 60 * US_PER_S;
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_HELD);
    f->now_us += US_PER_S;
    fixture_hello(f, fixture_node(f, "aws"));
    assert_string_equal(site_of(f, "source"), "gcp/us-central1");
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_first_start),
        TEST(test_retag_moves_make_before_break),
        TEST(test_late_failure_resumes_the_old_copy),
        TEST(test_never_ready_goes_back),
        TEST(test_refused_stage_goes_back_with_the_reason),
        TEST(test_unreachable_copy_never_drains_the_old),
        TEST(test_lost_old_node_goes_forward),
        TEST(test_lost_new_node_goes_back),
        TEST(test_delete_in_mid_handoff),
        TEST(test_retag_back_in_mid_handoff),
        cmocka_unit_test(test_what_serves_alone_is_replaced_and_not_stopped),
        TEST(test_new_version_in_place),
        TEST(test_without_contract_is_not_proven),
        TEST(test_drain_past_its_deadline_goes_forward),
        TEST(test_a_restart_decides_nothing_unheard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
