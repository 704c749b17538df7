/* Cordons and operations: emptying a place, several moves in order (scheduler/core/cordon.h,
 * operation.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/operation.h"
#include "tests/unit/core_fixture.h"

#define GCP "gcp/us-central1"
#define AWS "aws/us-east-1"

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    fixture_init(fixture);
    fixture_start(fixture);
    fixture_run(fixture, 120 * US_PER_S); /* past the dwell of the start */
    /* What is over is a reason to look again: all stays. */
    fixture_plan(fixture, (const char *const[]){"web", "edge/nyc", "source", GCP, NULL}, 100, 100);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    fixture_done(*state);
    free(*state);
    return 0;
}

static int cordon(struct fixture *fixture, enum cordon_kind kind, const char *name, bool on)
{
    struct core_event event = {.kind = CORE_CORDON_SET, .request = "request"};
    event.cordon.kind = kind;
    str_format(event.cordon.name, sizeof(event.cordon.name), "%s", name);
    event.cordon.on = on;
    fixture->reply_code = 1;
    fixture_step(fixture, &event);
    return fixture->reply_code;
}

static struct core_operation_step step_of(const char *workload, const char *site)
{
    struct core_operation_step step = {.to_variant = -1};
    str_format(step.namespace_, sizeof(step.namespace_), "default");
    str_format(step.app, sizeof(step.app), "shop");
    str_format(step.workload, sizeof(step.workload), "%s", workload);
    str_format(step.to_site, sizeof(step.to_site), "%s", site);
    return step;
}

static int operate(struct fixture *fixture, const struct core_operation_step *steps, int count,
                   int at_once, const char *provider)
{
    struct core_event event = {.kind = CORE_OPERATE, .request = "request"};
    str_format(event.operate.text, sizeof(event.operate.text), "a test of %d moves", count);
    event.operate.steps = steps;
    event.operate.step_count = count;
    event.operate.at_once = at_once;
    event.operate.cordon_kind = CORDON_PROVIDER;
    str_format(event.operate.cordon, sizeof(event.operate.cordon), "%s", provider);
    fixture->reply_code = 1;
    fixture_step(fixture, &event);
    return fixture->reply_code;
}

static int end(struct fixture *fixture, const char *id, bool roll_back)
{
    struct core_event event = {.kind = CORE_OPERATION_END, .request = "request"};
    str_format(event.operation_end.id, sizeof(event.operation_end.id), "%s", id);
    event.operation_end.roll_back = roll_back;
    fixture->reply_code = 1;
    fixture_step(fixture, &event);
    return fixture->reply_code;
}

static const struct core_operation *last(const struct fixture *fixture)
{
    const struct core_state *state = core_state(fixture->core);
    assert_true(state->operation_count > 0);
    return &state->operations[state->operation_count - 1];
}

static void frees_web_to_run_anywhere(struct fixture *fixture)
{
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
    assert_string_equal(fixture_site(fixture, "source"), GCP);
}

/* ---- cordons ---- */

static void test_a_site_that_is_emptied_is_left(void **state)
{
    struct fixture *fixture = *state;
    frees_web_to_run_anywhere(fixture);
    uint64_t version = core_state(fixture->core)->version;
    assert_int_equal(cordon(fixture, CORDON_PROVIDER, "edge", true), 0);
    assert_true(core_state(fixture->core)->version > version);
    assert_non_null(fixture_told(fixture, "cordon.set"));
    fixture_run(fixture, 60 * US_PER_S);
    assert_true(fixture->solve != 0);
    /* It costs more elsewhere: what is forced is done all the same. */
    fixture_plan(fixture, (const char *const[]){"web", AWS, "source", GCP, NULL}, 100, 500);
    assert_string_equal(fixture_site(fixture, "web"), AWS);
    assert_int_equal(fixture_workload(fixture, "web")->reason, REASON_DRAIN);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(fixture_ended(fixture)->state, HANDOFF_STATE_DONE);
    assert_int_equal(fixture_ended(fixture)->reason, REASON_DRAIN);
    /* And nothing goes there, by plan or by hand, until it is open again. */
    fixture_plan(fixture, (const char *const[]){"web", "edge/nyc", "source", GCP, NULL}, 900, 1);
    assert_string_equal(fixture_site(fixture, "web"), AWS);
    assert_int_equal(cordon(fixture, CORDON_PROVIDER, "edge", false), 0);
    assert_int_equal(core_state(fixture->core)->cordon_count, 0);
    assert_non_null(fixture_told(fixture, "cordon.lifted"));
}

/* `source` needs the tag cloud=gcp: with GCP emptied it has nowhere to go. It stays, and what it
 * holds does not forbid the rest of the plan. */
static void test_what_can_go_nowhere_else_stays(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(cordon(fixture, CORDON_PROVIDER, "gcp", true), 0);
    struct arena arena;
    struct cost_input input;
    struct error err;
    arena_init(&arena, 64 << 20);
    assert_int_equal(core_cost_input(fixture->core, NULL, NULL, &arena, &input, &err), 0);
    int gcp = world_site(core_state(fixture->core)->world, GCP);
    int web = app_workload(input.apps[0].app, "web");
    int source = app_workload(input.apps[0].app, "source");
    assert_true(input.apps[0].states[web].site_blocked[gcp]);
    assert_false(input.apps[0].states[source].site_blocked[gcp]);
    assert_true(input.capacity[gcp][RESOURCE_CPU] > 0);
    arena_done(&arena);
    fixture_run(fixture, 60 * US_PER_S);
    fixture_plan(fixture, (const char *const[]){"web", "edge/nyc", "source", GCP, NULL}, 100, 100);
    assert_string_equal(fixture_site(fixture, "source"), GCP);
    assert_non_null(fixture_serving(fixture, "source"));
}

static void test_a_node_that_is_emptied_moves_within_its_site(void **state)
{
    struct fixture *fixture = *state;
    fixture_node_add(fixture, "edge2", "edge/nyc");
    fixture_hello(fixture, fixture_node(fixture, "edge2"));
    const struct fixture_instance *serving = fixture_serving(fixture, "web");
    const char *first = fixture->nodes[serving->node].name;
    const char *second = str_equal(first, "edge2") ? "edge" : "edge2";
    assert_int_equal(cordon(fixture, CORDON_NODE, first, true), 0);
    fixture_run(fixture, 60 * US_PER_S);
    serving = fixture_serving(fixture, "web");
    assert_non_null(serving);
    assert_string_equal(fixture->nodes[serving->node].name, second);
    assert_int_equal(fixture_ended(fixture)->reason, REASON_DRAIN);
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
    int site = fixture_workload(fixture, "web")->site;
    assert_false(core_site_cordoned(fixture->core, site));
    /* With its last node the site is closed as a whole. */
    assert_int_equal(cordon(fixture, CORDON_NODE, second, true), 0);
    assert_true(core_site_cordoned(fixture->core, site));
}

static void test_a_wrong_cordon_is_refused(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(cordon(fixture, CORDON_NODE, "nobody", true), ERR_NOT_FOUND);
    assert_non_null(strstr(fixture->reply_text, "berth get nodes"));
    assert_int_equal(cordon(fixture, CORDON_SITE, "mars/one", true), ERR_NOT_FOUND);
    assert_int_equal(cordon(fixture, CORDON_PROVIDER, "mars", true), ERR_NOT_FOUND);
    assert_int_equal(cordon(fixture, CORDON_SITE, AWS, true), 0);
    assert_int_equal(cordon(fixture, CORDON_SITE, AWS, true), 0); /* it is so already */
    assert_int_equal(core_state(fixture->core)->cordon_count, 1);
    assert_int_equal(cordon(fixture, CORDON_SITE, GCP, false), 0);
    struct core_event event = {.kind = CORE_CORDON_SET, .request = "request"};
    str_format(event.cordon.name, sizeof(event.cordon.name), GCP);
    event.cordon.kind = CORDON_SITE;
    event.cordon.on = true;
    event.cordon.version = 999999;
    fixture_step(fixture, &event);
    assert_int_equal(fixture->reply_code, ERR_STALE);
}

/* ---- operations ---- */

static void test_steps_are_taken_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct core_operation_step steps[] = {step_of("web", AWS), step_of("source", GCP)};
    assert_int_equal(operate(fixture, steps, 2, 1, ""), 0);
    assert_string_equal(fixture->reply_text, last(fixture)->id);
    /* The second is where it is to be already: it is done as soon as its turn comes. */
    assert_int_equal(last(fixture)->steps[0].state, STEP_MOVING);
    assert_int_equal(last(fixture)->steps[1].state, STEP_WAITING);
    assert_string_equal(last(fixture)->steps[0].from_site, "edge/nyc");
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_DONE);
    assert_true(last(fixture)->settled);
    assert_int_equal(last(fixture)->steps[0].state, STEP_DONE);
    assert_int_equal(last(fixture)->steps[1].state, STEP_DONE);
    assert_true(last(fixture)->steps[1].begun.us >= last(fixture)->steps[0].ended.us);
    assert_string_equal(fixture->nodes[fixture_serving(fixture, "web")->node].site, AWS);
    assert_non_null(fixture_told(fixture, "operation.ended"));
}

static void test_plans_leave_its_workloads_alone(void **state)
{
    struct fixture *fixture = *state;
    fixture->nodes[fixture_node(fixture, "aws")].ignored = 1u << NODE_START;
    struct core_operation_step step = step_of("web", AWS);
    assert_int_equal(operate(fixture, &step, 1, 1, ""), 0);
    fixture_run(fixture, 5 * US_PER_S);
    fixture_plan(fixture, (const char *const[]){"web", GCP, "source", GCP, NULL}, INT64_MAX, 1);
    assert_string_equal(fixture_site(fixture, "web"), AWS);
    assert_int_equal(operate(fixture, &step, 1, 1, ""), ERR_UNAVAILABLE);
    assert_non_null(strstr(fixture->reply_text, "running operation"));
}

static void test_a_step_that_goes_back_ends_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->nodes[fixture_node(fixture, "aws")].refused = 1u << NODE_START;
    struct core_operation_step steps[] = {step_of("web", AWS), step_of("source", GCP)};
    assert_int_equal(operate(fixture, steps, 2, 1, "edge"), 0);
    assert_non_null(fixture_told(fixture, "cordon.set"));
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_FAILED);
    assert_non_null(strstr(last(fixture)->why, "step 1 of 2, web"));
    assert_int_equal(last(fixture)->steps[0].state, STEP_BACK);
    assert_int_equal(last(fixture)->steps[1].state, STEP_SKIPPED);
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
    assert_string_equal(fixture->nodes[fixture_serving(fixture, "web")->node].site, "edge/nyc");
    assert_int_equal(core_state(fixture->core)->cordon_count, 0); /* nothing else leaves */
}

static void test_a_cancelled_one_ends_what_is_under_way(void **state)
{
    struct fixture *fixture = *state;
    struct core_operation_step steps[] = {step_of("web", AWS), step_of("source", GCP)};
    assert_int_equal(operate(fixture, steps, 2, 1, ""), 0);
    char id[LIMIT_ID_BYTES];
    str_format(id, sizeof(id), "%s", last(fixture)->id);
    assert_int_equal(end(fixture, id, false), 0);
    assert_int_equal(last(fixture)->state, OPERATION_CANCELLED);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->steps[0].state, STEP_DONE);
    assert_int_equal(last(fixture)->steps[1].state, STEP_SKIPPED);
    assert_int_equal(end(fixture, id, false), ERR_STALE);
    assert_int_equal(end(fixture, "op-nobody", false), ERR_NOT_FOUND);
}

static void test_a_rollback_undoes_it(void **state)
{
    struct fixture *fixture = *state;
    struct core_operation_step step = step_of("web", AWS);
    assert_int_equal(operate(fixture, &step, 1, 2, "edge"), 0);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_DONE);
    assert_int_equal(core_state(fixture->core)->cordon_count, 1); /* an evacuation lasts */
    char id[LIMIT_ID_BYTES];
    str_format(id, sizeof(id), "%s", last(fixture)->id);
    assert_int_equal(end(fixture, id, true), 0);
    assert_string_equal(fixture->reply_text, last(fixture)->id);
    assert_int_equal(core_operation_find(fixture->core, id)->state, OPERATION_ROLLED_BACK);
    assert_int_equal(core_state(fixture->core)->cordon_count, 0);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_DONE);
    assert_string_equal(fixture->nodes[fixture_serving(fixture, "web")->node].site, "edge/nyc");
    assert_int_equal(end(fixture, id, true), ERR_UNAVAILABLE);
}

static void test_a_rollback_in_mid_move(void **state)
{
    struct fixture *fixture = *state;
    fixture->nodes[fixture_node(fixture, "aws")].ignored = 1u << NODE_START;
    struct core_operation_step step = step_of("web", AWS);
    assert_int_equal(operate(fixture, &step, 1, 1, ""), 0);
    fixture_run(fixture, US_PER_S);
    assert_non_null(fixture_handoff(fixture, "web"));
    char id[LIMIT_ID_BYTES];
    str_format(id, sizeof(id), "%s", last(fixture)->id);
    assert_int_equal(end(fixture, id, true), 0);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_DONE);
    assert_true(core_operation_find(fixture->core, id)->settled);
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
    assert_int_equal(fixture_ended(fixture)->state, HANDOFF_STATE_BACK);
}

static void test_what_cannot_be_is_refused_whole(void **state)
{
    struct fixture *fixture = *state;
    uint64_t version = core_state(fixture->core)->version;
    struct core_operation_step steps[] = {step_of("web", AWS), step_of("source", AWS)};
    assert_int_equal(operate(fixture, steps, 2, 1, ""), ERR_INVALID); /* source is pinned by tag */
    steps[1] = step_of("nobody", AWS);
    assert_int_equal(operate(fixture, steps, 2, 1, ""), ERR_NOT_FOUND);
    steps[1] = step_of("web", GCP);
    assert_int_equal(operate(fixture, steps, 2, 1, ""), ERR_UNAVAILABLE);
    steps[1] = step_of("source", "mars/one");
    assert_int_equal(operate(fixture, steps, 2, 1, ""), ERR_NOT_FOUND);
    assert_int_equal(operate(fixture, steps, 1, 1, "mars"), ERR_NOT_FOUND);
    assert_int_equal(core_state(fixture->core)->operation_count, 0);
    assert_int_equal(core_state(fixture->core)->cordon_count, 0);
    assert_true(core_state(fixture->core)->version == version);
    assert_string_equal(fixture_site(fixture, "web"), "edge/nyc");
}

static void test_deleted_workloads_are_skipped(void **state)
{
    struct fixture *fixture = *state;
    fixture->nodes[fixture_node(fixture, "aws")].ignored = 1u << NODE_START;
    struct core_operation_step steps[] = {step_of("web", AWS), step_of("source", GCP)};
    assert_int_equal(operate(fixture, steps, 2, 1, ""), 0);
    fixture_delete(fixture);
    fixture_run(fixture, 60 * US_PER_S);
    assert_int_equal(last(fixture)->state, OPERATION_DONE);
    assert_int_equal(last(fixture)->steps[0].state, STEP_SKIPPED);
    assert_int_equal(last(fixture)->steps[1].state, STEP_SKIPPED);
}

static void test_the_oldest_ended_one_makes_room(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < CORE_OPERATIONS + 3; i++) {
        struct core_operation_step step = step_of("web", "edge/nyc"); /* where it is */
        assert_int_equal(operate(fixture, &step, 1, 1, ""), 0);
        assert_int_equal(last(fixture)->state, OPERATION_DONE);
    }
    assert_int_equal(core_state(fixture->core)->operation_count, CORE_OPERATIONS);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_a_site_that_is_emptied_is_left),
        CASE(test_what_can_go_nowhere_else_stays),
        CASE(test_a_node_that_is_emptied_moves_within_its_site),
        CASE(test_a_wrong_cordon_is_refused),
        CASE(test_steps_are_taken_in_order),
        CASE(test_plans_leave_its_workloads_alone),
        CASE(test_a_step_that_goes_back_ends_it),
        CASE(test_a_cancelled_one_ends_what_is_under_way),
        CASE(test_a_rollback_undoes_it),
        CASE(test_a_rollback_in_mid_move),
        CASE(test_what_cannot_be_is_refused_whole),
        CASE(test_deleted_workloads_are_skipped),
        CASE(test_the_oldest_ended_one_makes_room),
    };
#undef CASE
    return cmocka_run_group_tests(tests, NULL, NULL);
}
