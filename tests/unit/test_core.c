#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

static const char *const to_aws[] = {"source", "aws/us-east-1", NULL};

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    *state = &fixture;
    return 0;
}

static int setup_started(void **state)
{
    (void)setup(state);
    fixture_start(*state);
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static void test_apply_is_refused_whole(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    str_format(app.workloads[1].require.list[0].value, LIMIT_NAME_BYTES, "azure");
    uint64_t version = core_state(f->core)->version;
    fixture_apply(f, &app);
    assert_int_equal(f->reply_code, ERR_INVALID);
    assert_non_null(strstr(f->reply_text, "azure"));
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_true(core_state(f->core)->version == version);
}

static void test_a_plan_is_applied_only_to_its_state(void **state)
{
    struct fixture *f = *state;
    struct core_event event = {.kind = CORE_APPLY, .request = "r"};
    event.apply.app = &f->app;
    event.apply.version = core_state(f->core)->version;
    fixture_step(f, &event);
    assert_int_equal(f->reply_code, 0);
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[0].pids_max = 9;
    event.apply.app = &app;
    fixture_step(f, &event);
    assert_int_equal(f->reply_code, ERR_STALE);
    event.apply.version = core_state(f->core)->version;
    fixture_step(f, &event);
    assert_int_equal(f->reply_code, 0);

    struct core_event retag = {.kind = CORE_RETAG, .request = "r"};
    str_format(retag.target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(retag.target.app, LIMIT_NAME_BYTES, "shop");
    str_format(retag.target.workload, LIMIT_NAME_BYTES, "%s", f->app.workloads[0].name);
    str_format(retag.target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(retag.target.value, LIMIT_NAME_BYTES, "aws");
    uint64_t version = core_state(f->core)->version;
    retag.target.version = version - 1;
    fixture_step(f, &retag);
    assert_int_equal(f->reply_code, ERR_STALE);
    struct core_event gone = {.kind = CORE_DELETE, .request = "r", .target = retag.target};
    fixture_step(f, &gone);
    assert_int_equal(f->reply_code, ERR_STALE);
    assert_true(core_state(f->core)->version == version);
    retag.target.version = version;
    fixture_step(f, &retag);
    assert_int_equal(f->reply_code, 0);
}

static void test_the_same_apply_twice_changes_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t version = core_state(f->core)->version;
    uint64_t input = core_state(f->core)->input_version;
    fixture_apply(f, &f->app);
    assert_int_equal(f->reply_code, 0);
    assert_true(core_state(f->core)->version == version);
    assert_true(core_state(f->core)->input_version == input);
}

static void test_unknown_names_are_refused(void **state)
{
    struct fixture *f = *state;
    fixture_retag(f, "sourc", "aws");
    assert_int_equal(f->reply_code, ERR_NOT_FOUND);
    assert_non_null(strstr(f->reply_text, "source"));
    fixture_retag(f, "source", "azure");
    assert_int_equal(f->reply_code, ERR_INVALID);
    fixture_delete(f);
    assert_int_equal(f->reply_code, 0);
    fixture_delete(f);
    assert_int_equal(f->reply_code, ERR_NOT_FOUND);
}

static void test_inputs_settle_before_a_solve(void **state)
{
    struct fixture *f = *state;
    fixture_apply(f, &f->app);
    fixture_run(f, 900 * US_PER_MS);
    assert_true(f->solve == 0);
    fixture_retag(f, "source", "aws");
    fixture_run(f, 900 * US_PER_MS);
    assert_true(f->solve == 0);
    fixture_run(f, 200 * US_PER_MS);
    assert_true(f->solve != 0);
}

static void test_a_plan_for_old_inputs_is_dropped(void **state)
{
    struct fixture *f = *state;
    fixture_apply(f, &f->app);
    fixture_run(f, 1100 * US_PER_MS);
    uint64_t first = f->solve;
    fixture_retag(f, "source", "aws"); /* while it solves */
    fixture_plan(f, (const char *const[]){"web", "edge/nyc", "source", "gcp/us-central1", NULL},
                 INT64_MAX, 1000);
    assert_int_equal(f->instance_count, 0);
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0 && f->solve != first);
}

/* Makes the inputs change, so that a solve is asked for. */
static void measure(struct fixture *f, const char *workload, int64_t value, int64_t at_us)
{
    struct estimate estimate = {.kind = ESTIMATE_CALLS_MHZ, .value = value, .at_us = at_us};
    str_format(estimate.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(estimate.app, LIMIT_NAME_BYTES, "shop");
    str_format(estimate.workload, LIMIT_NAME_BYTES, "%s", workload);
    struct core_event event = {.kind = CORE_ESTIMATES};
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    fixture_step(f, &event);
}

static bool may_move(struct fixture *f, int workload)
{
    struct arena arena;
    struct cost_input input;
    struct error err;
    arena_init(&arena, 1 << 20);
    assert_int_equal(core_cost_input(f->core, NULL, NULL, &arena, &input, &err), 0);
    bool may = input.apps[0].states[workload].may_move;
    arena_done(&arena);
    return may;
}

static void test_a_saving_must_save(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].require.count = 0; /* it may be anywhere */
    fixture_apply(f, &app);
    measure(f, "source", 70000, f->now_us);
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
    fixture_plan(f, to_aws, 1000, 1000);
    assert_null(fixture_handoff(f, "source"));
    measure(f, "source", 90000, f->now_us);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, to_aws, 1000, 900);
    assert_non_null(fixture_handoff(f, "source"));
    assert_int_equal(fixture_handoff(f, "source")->reason, REASON_SAVING);
    const struct core_state *core = core_state(f->core);
    const struct core_decision *decision =
        &core->decisions[(core->decision_count - 1) % CORE_DECISIONS];
    assert_string_equal(decision->to_site, "aws/us-east-1");
    assert_true(decision->score_before_nusd == 1000 && decision->score_after_nusd == 900);
}

static void test_an_equal_estimate_changes_nothing(void **state)
{
    struct fixture *f = *state;
    measure(f, "source", 70000, f->now_us);
    fixture_run(f, 2 * US_PER_S);
    f->solve = 0;
    uint64_t input = core_state(f->core)->input_version;
    measure(f, "source", 70000, f->now_us);
    assert_true(core_state(f->core)->input_version == input);
}

static void test_dwell_and_age_hold_back(void **state)
{
    struct fixture *f = *state;
    assert_false(may_move(f, 1)); /* started just now: a first start dwells as a move does */
    fixture_run(f, 62 * US_PER_S);
    assert_true(may_move(f, 1));
    assert_true(f->solve != 0); /* the end of the dwell is a reason to look again */
    fixture_plan(f, (const char *const[]){"source", "gcp/us-central1", NULL}, 900, 900);
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, to_aws, INT64_MAX, 900);
    assert_false(may_move(f, 1)); /* on its way */
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_false(may_move(f, 1)); /* dwells 60 s */
    assert_true(may_move(f, 0));
    fixture_plan(f, to_aws, 900, 900);
    fixture_run(f, 62 * US_PER_S);
    assert_true(may_move(f, 1));
    assert_true(f->solve != 0); /* the end of the dwell is a reason to look again */
    measure(f, "source", 70000, f->now_us);
    assert_true(may_move(f, 1));
    fixture_run(f, 121 * US_PER_S);
    assert_false(may_move(f, 1)); /* measured too long ago */
}

static void test_unanswered_commands_are_sent_again(void **state)
{
    struct fixture *f = *state;
    int aws = fixture_node(f, "aws");
    f->nodes[aws].unanswered = 1u << NODE_STAGE;
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    int before = f->verb_count[NODE_STAGE];
    fixture_plan(f, to_aws, INT64_MAX, 900);
    struct message_command first = f->last[NODE_STAGE];
    assert_true(first.not_after_us > 0);
    fixture_run(f, 3500 * US_PER_MS);
    assert_int_equal(f->verb_count[NODE_STAGE], before + 4);
    assert_string_equal(f->last[NODE_STAGE].id, first.id);
    assert_int_equal(epoch_compare(f->last[NODE_STAGE].epoch, first.epoch), 0);
    /* Past its not_after a fresh epoch; after a restart a higher term. */
    fixture_run(f, 30 * US_PER_S);
    struct epoch renewed = f->last[NODE_STAGE].epoch;
    assert_true(epoch_compare(renewed, first.epoch) > 0);
    struct core_event started = {.kind = CORE_STARTED, .started.term = 9};
    fixture_step(f, &started);
    assert_true(f->last[NODE_STAGE].epoch.term == 9);
    assert_string_equal(f->last[NODE_STAGE].id, first.id);
    f->nodes[aws].unanswered = 0;
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
}

static void test_epochs_rise_above_a_nodes(void **state)
{
    struct fixture *f = *state;
    struct core_event event = {.kind = CORE_HELLO};
    struct message_hello *hello = &event.hello;
    str_format(hello->node, sizeof(hello->node), "aws");
    str_format(hello->site, sizeof(hello->site), "aws/us-east-1");
    str_format(hello->boot_id, sizeof(hello->boot_id), "second-boot");
    str_format(hello->drivers, sizeof(hello->drivers), "process");
    hello->mcpu = 1000;
    hello->memory_bytes = INT64_C(1) << 30;
    hello->epoch = (struct epoch){7, 5000};
    fixture_step(f, &event);
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, to_aws, INT64_MAX, 900);
    assert_true(epoch_compare(f->last[NODE_STAGE].epoch, (struct epoch){7, 5000}) > 0);
    assert_string_equal(f->last[NODE_STAGE].boot_id, "second-boot");
}

static void hello_of(struct fixture *f, const char *boot_id, int64_t boot_us)
{
    struct core_event event = {.kind = CORE_HELLO};
    struct message_hello *hello = &event.hello;
    str_format(hello->node, sizeof(hello->node), "aws");
    str_format(hello->site, sizeof(hello->site), "aws/us-east-1");
    str_format(hello->boot_id, sizeof(hello->boot_id), "%s", boot_id);
    str_format(hello->drivers, sizeof(hello->drivers), "process");
    hello->mcpu = 1000;
    hello->memory_bytes = INT64_C(1) << 30;
    hello->boot_us = boot_us;
    fixture_step(f, &event);
}

/* Seed 2108 of tests/fault: a word of a boot that has ended comes late, perhaps as the first one of
 * that boot. It is no reboot: its machine had been up for longer. */
static void test_the_hello_of_an_earlier_boot_is_not_a_reboot(void **state)
{
    struct fixture *f = *state;
    const struct core_node *aws = &core_state(f->core)->nodes[fixture_node(f, "aws")];
    f->now_us += 60 * US_PER_S;
    hello_of(f, "boot-3", 2 * US_PER_S);
    assert_string_equal(aws->boot_id, "boot-3");
    f->now_us += US_PER_S;
    hello_of(f, "boot-aws", f->now_us - FIXTURE_BOOT_US - 4 * US_PER_S);
    assert_string_equal(aws->boot_id, "boot-3");
    hello_of(f, "boot-2", 10 * US_PER_S); /* four seconds late, never heard of before */
    assert_string_equal(aws->boot_id, "boot-3");
    hello_of(f, "boot-4", US_PER_S);
    assert_string_equal(aws->boot_id, "boot-4");
}

/* It was told wrongly: nothing is on its way for so long. */
static void test_a_boot_that_goes_on_is_believed_in_the_end(void **state)
{
    struct fixture *f = *state;
    const struct core_node *aws = &core_state(f->core)->nodes[fixture_node(f, "aws")];
    hello_of(f, "boot-0", US_PER_S);
    assert_string_equal(aws->boot_id, "boot-0");
    hello_of(f, "boot-aws", f->now_us - FIXTURE_BOOT_US);
    assert_string_equal(aws->boot_id, "boot-0");
    f->now_us += 31 * US_PER_S;
    hello_of(f, "boot-aws", f->now_us - FIXTURE_BOOT_US);
    assert_string_equal(aws->boot_id, "boot-aws");
}

static void test_foreign_instances_are_stopped_and_forgotten(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *foreign = &f->instances[f->instance_count++];
    *foreign = (struct fixture_instance){.node = fixture_node(f, "aws"), .state = INSTANCE_READY};
    str_format(foreign->id, sizeof(foreign->id), "stranger-0-1");
    fixture_hello(f, fixture_node(f, "aws"));
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(f->instance_count, 2);
    assert_int_equal(core_state(f->core)->instance_count, 2);
}

static void test_a_lost_node_is_replaced_on_its_site(void **state)
{
    struct fixture *f = *state;
    fixture_hello(f, fixture_node_add(f, "gcp-2", "gcp/us-central1"));
    fixture_lose(f, fixture_node(f, "gcp"));
    assert_int_equal(fixture_ended(f)->reason, REASON_NODE_LOST);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    fixture_hello(f, fixture_node(f, "gcp"));
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(f->instance_count, 2);
}

static void test_an_instance_missing_in_a_hello_has_ended(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *source = fixture_serving(f, "source");
    *source = f->instances[--f->instance_count]; /* its node forgot it */
    f->now_us += US_PER_S;
    fixture_hello(f, fixture_node(f, "gcp"));
    fixture_run(f, 5 * US_PER_S);
    assert_non_null(fixture_serving(f, "source"));
    assert_int_equal(fixture_ended(f)->reason, REASON_FAILED);
}

static void test_old_reports_are_ignored(void **state)
{
    struct fixture *f = *state;
    struct fixture_instance *source = fixture_serving(f, "source");
    struct core_event event = {.kind = CORE_REPORT};
    str_format(event.report.node, LIMIT_NAME_BYTES, "gcp");
    str_format(event.report.boot_id, BOOT_ID_BYTES, "boot-gcp");
    str_format(event.report.instance.instance, LIMIT_ID_BYTES, "%s", source->id);
    event.report.instance.state = INSTANCE_FAILED;
    event.report.seq = 1; /* long before the last one */
    event.report.boot_us = 1;
    fixture_step(f, &event);
    assert_int_equal(core_state(f->core)->handoff_count, 0);
    assert_non_null(fixture_serving(f, "source"));
}

static void test_worlds_may_be_replaced(void **state)
{
    struct fixture *f = *state;
    struct world world = f->world;
    struct site sites[4];
    for (int i = 0; i < 4; i++)
        sites[i] = f->world.sites[3 - i]; /* every index changes */
    world.sites = sites;
    struct core_event event = {.kind = CORE_WORLD, .world = &world};
    fixture_step(f, &event);
    const struct core_state *core = core_state(f->core);
    assert_string_equal(core->world->sites[core->apps[0].workloads[1].site].name,
                        "gcp/us-central1");
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(core->handoff_count, 0);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
}

int main(void)
{
#define FRESH(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define TEST(name)  cmocka_unit_test_setup_teardown(name, setup_started, teardown)
    const struct CMUnitTest tests[] = {
        FRESH(test_apply_is_refused_whole),
        FRESH(test_a_plan_is_applied_only_to_its_state),
        TEST(test_the_same_apply_twice_changes_nothing),
        TEST(test_unknown_names_are_refused),
        FRESH(test_inputs_settle_before_a_solve),
        FRESH(test_a_plan_for_old_inputs_is_dropped),
        TEST(test_a_saving_must_save),
        TEST(test_an_equal_estimate_changes_nothing),
        TEST(test_dwell_and_age_hold_back),
        TEST(test_unanswered_commands_are_sent_again),
        TEST(test_epochs_rise_above_a_nodes),
        TEST(test_the_hello_of_an_earlier_boot_is_not_a_reboot),
        TEST(test_a_boot_that_goes_on_is_believed_in_the_end),
        TEST(test_foreign_instances_are_stopped_and_forgotten),
        TEST(test_a_lost_node_is_replaced_on_its_site),
        TEST(test_an_instance_missing_in_a_hello_has_ended),
        TEST(test_old_reports_are_ignored),
        TEST(test_worlds_may_be_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
