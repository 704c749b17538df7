/* Families: one set of instances for the parts at one site, and never a part without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

#define DOLLAR INT64_C(1000000000)
#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char edge[] = "edge/nyc";
static const char gcp[] = "gcp/us-central1";
static const char aws[] = "aws/us-east-1";

/* What the reader makes of a workload that is split by two segments, written out. */
static const char app_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - name: tiles\n"
    "    split: true\n"
    "    contract: true\n"
    "    variants:\n"
    "      - {name: small, driver: process, artifact: 'file:/bin/a', digest: '" DIGEST "'}\n"
    "      - {name: big, driver: process, artifact: 'file:/bin/b', digest: '" DIGEST "',\n"
    "         cpu: 400m, memory: 128MiB}\n"
    "    resources: {cpu: 200m, memory: 64MiB}\n"
    "    ready: {kind: contract}\n"
    "    timeouts: {start: 10s, drain: 5s, stop: 5s}\n"
    "users:\n"
    "  - {name: n1, site: client/web}\n"
    "  - {name: n2, site: client/web}\n"
    "links:\n"
    "  - {from: n1, to: tiles, calls: 100/s, request: 1KB, response: 10KB}\n"
    "  - {from: n2, to: tiles, calls: 50/s, request: 1KB, response: 10KB}\n";

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    fixture.world.policy.healthy_min_us = US_PER_S;
    fixture.world.policy.dwell_us = US_PER_S;
    fixture_world(&fixture);
    struct app app;
    fixture_parse_app(&fixture, app_text, &app);
    assert_int_equal(app.workload_count, 2);
    fixture_apply(&fixture, &app);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static const char *part(int index)
{
    return index == 0 ? "tiles--n1" : "tiles--n2";
}

static void fresh_solve(struct fixture *f)
{
    static int64_t value = 1000;
    fixture_estimate(f, ESTIMATE_MCPU, part(0), "", value++);
    for (int i = 0; i < 4; i++) {
        fixture_run(f, 1100 * US_PER_MS);
        if (f->solve != 0 && f->solve_version == core_state(f->core)->input_version)
            return;
        if (f->solve != 0)
            fixture_choose(f, NULL, 0, DOLLAR, DOLLAR);
    }
    fail_msg("no solve was asked for");
}

static void plan(struct fixture *f, const char *first, int first_variant, const char *second,
                 int second_variant)
{
    struct core_plan_choice choices[2] = {{.group = -1, .variant = first_variant},
                                          {.group = -1, .variant = second_variant}};
    for (int i = 0; i < 2; i++) {
        str_format(choices[i].workload, LIMIT_NAME_BYTES, "%s", part(i));
        str_format(choices[i].site, LIMIT_REF_BYTES, "%s", i == 0 ? first : second);
    }
    fresh_solve(f);
    fixture_choose(f, choices, 2, 2 * DOLLAR, DOLLAR);
}

/* Instances of the part that serve by the core's tables, at that node. */
static int serving(const struct fixture *f, int index, const char *node)
{
    const struct core_state *state = core_state(f->core);
    int count = 0;
    for (int i = 0; i < state->instance_count; i++)
        count += str_equal(state->instances[i].workload, part(index)) &&
                 state->instances[i].want == WANT_SERVE &&
                 state->instances[i].state == INSTANCE_READY &&
                 (node == NULL || str_equal(state->instances[i].node, node));
    return count;
}

static void run_until_quiet(struct fixture *f)
{
    for (int i = 0; i < 600; i++) {
        fixture_run(f, 100 * US_PER_MS);
        if (core_state(f->core)->handoff_count == 0 && i > 20)
            return;
    }
    fail_msg("handoffs do not end");
}

static void parts_at_one_site_share_instances(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, edge, 0);
    run_until_quiet(f);
    assert_int_equal(fixture_workload(f, part(0))->lead, 0);
    assert_int_equal(fixture_workload(f, part(1))->lead, 0);
    assert_int_equal(serving(f, 0, "edge"), 1);
    assert_int_equal(serving(f, 1, NULL), 0);
    assert_int_equal(fixture_alive(f), 1);
}

static void another_variant_is_another_instance(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, edge, 1);
    run_until_quiet(f);
    assert_int_equal(fixture_workload(f, part(1))->lead, 1);
    assert_int_equal(serving(f, 0, "edge"), 1);
    assert_int_equal(serving(f, 1, "edge"), 1);
}

static void the_chosen_variant_runs_with_its_own_needs(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 1, edge, 1);
    run_until_quiet(f);
    assert_string_equal(f->last[NODE_START].spec.artifact, "file:/bin/b");
    assert_int_equal(f->last[NODE_START].spec.mcpu, 400);
    assert_int_equal(f->last[NODE_START].spec.memory_bytes, INT64_C(128) << 20);
    assert_int_equal(core_state(f->core)->instances[0].reserve[RESOURCE_CPU], 400);
}

static void a_change_of_variant_is_a_handoff_at_one_site(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, edge, 0);
    run_until_quiet(f);
    uint64_t ended = core_state(f->core)->ended_count;
    plan(f, edge, 1, edge, 1);
    for (int i = 0; i < 300 && core_state(f->core)->ended_count == ended; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(serving(f, 0, "edge") >= 1);
    }
    assert_int_equal(core_state(f->core)->ended_count, ended + 1);
    assert_int_equal(fixture_ended(f)->reason, REASON_SAVING);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_string_equal(f->last[NODE_START].spec.artifact, "file:/bin/b");
    assert_string_equal(fixture_ended(f)->from_site, fixture_ended(f)->to_site);
    run_until_quiet(f);
    assert_int_equal(fixture_alive(f), 1);
    assert_true(fixture_workload(f, part(0))->moved.us > 0);
}

static void a_part_that_joins_keeps_its_server_until_the_other_serves(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, gcp, 0);
    run_until_quiet(f);
    assert_int_equal(serving(f, 0, "edge"), 1);
    assert_int_equal(serving(f, 1, "gcp"), 1);
    /* The lead comes to gcp, slowly; the second part's own instance waits for it. */
    f->nodes[fixture_node(f, "gcp")].ignored = 1u << NODE_START;
    plan(f, gcp, 0, gcp, 0);
    assert_int_equal(fixture_workload(f, part(1))->lead, 0);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(serving(f, 1, "gcp"), 1);
    assert_int_equal(serving(f, 0, "edge"), 1);
    f->nodes[fixture_node(f, "gcp")].ignored = 0;
    for (int i = 0; i < 600 && serving(f, 1, NULL) > 0; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(serving(f, 0, "gcp") + serving(f, 1, "gcp") > 0);
    }
    run_until_quiet(f);
    assert_int_equal(serving(f, 1, NULL), 0);
    assert_int_equal(serving(f, 0, "gcp"), 1);
    assert_int_equal(fixture_alive(f), 1);
}

static void a_lead_that_leaves_waits_for_the_other_to_serve(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, edge, 0);
    run_until_quiet(f);
    /* The second part stays and needs an instance of its own before the shared one may go. */
    f->nodes[fixture_node(f, "edge")].ignored = 1u << NODE_START;
    plan(f, aws, 0, edge, 0);
    assert_int_equal(fixture_workload(f, part(1))->lead, 1);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(serving(f, 0, "edge"), 1);
    assert_int_equal(serving(f, 0, "aws"), 0);
    f->nodes[fixture_node(f, "edge")].ignored = 0;
    for (int i = 0; i < 900 && (serving(f, 0, "edge") > 0 || serving(f, 0, "aws") == 0); i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(serving(f, 0, "edge") + serving(f, 1, "edge") > 0);
    }
    run_until_quiet(f);
    assert_int_equal(serving(f, 0, "aws"), 1);
    assert_int_equal(serving(f, 1, "edge"), 1);
    assert_int_equal(fixture_alive(f), 2);
}

/* The lead becomes the served one: a part of a lower index joins. */
static void a_lead_changes_hands(void **state)
{
    struct fixture *f = *state;
    plan(f, aws, 0, edge, 0);
    run_until_quiet(f);
    plan(f, edge, 0, edge, 0);
    for (int i = 0; i < 600 && serving(f, 1, NULL) > 0; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(serving(f, 0, "edge") + serving(f, 1, "edge") > 0);
    }
    run_until_quiet(f);
    assert_int_equal(serving(f, 0, "edge"), 1);
    assert_int_equal(fixture_alive(f), 1);
    /* Both start their dwell. */
    assert_true(fixture_workload(f, part(0))->moved.us > 0);
    assert_true(fixture_workload(f, part(1))->moved.us > 0);
}

static void a_lost_node_of_the_lead_is_replaced(void **state)
{
    struct fixture *f = *state;
    plan(f, edge, 0, edge, 0);
    run_until_quiet(f);
    fixture_lose(f, fixture_node(f, "edge"));
    plan(f, gcp, 0, gcp, 0);
    run_until_quiet(f);
    assert_int_equal(serving(f, 0, "gcp"), 1);
    assert_int_equal(serving(f, 1, NULL), 0);
}

static const char data_text[] =
    "app: shop\n"
    "data:\n"
    "  - {name: pictures, size: 10GiB, at: edge/nyc}\n"
    "workloads:\n"
    "  - name: web\n"
    "    contract: true\n"
    "    run: {driver: process, artifact: 'file:/bin/web', digest: '" DIGEST "'}\n"
    "    resources: {cpu: 200m, memory: 64MiB}\n"
    "    ready: {kind: contract}\n"
    "links:\n"
    "  - {from: web, to: pictures, calls: 10/s, request: 1KB, response: 10KB}\n";

static void nothing_of_a_data_set_runs_and_no_plan_moves_it(void **state)
{
    struct fixture *f = *state;
    struct app app;
    fixture_parse_app(f, data_text, &app);
    fixture_apply(f, &app);
    assert_string_equal(fixture_site(f, "pictures"), edge);
    struct core_plan_choice choices[2] = {{.group = -1}, {.group = -1}};
    str_format(choices[0].workload, LIMIT_NAME_BYTES, "pictures");
    str_format(choices[0].site, LIMIT_REF_BYTES, "%s", aws);
    str_format(choices[1].workload, LIMIT_NAME_BYTES, "web");
    str_format(choices[1].site, LIMIT_REF_BYTES, "%s", gcp);
    fresh_solve(f);
    fixture_choose(f, choices, 2, INT64_MAX, DOLLAR);
    run_until_quiet(f);
    assert_string_equal(fixture_site(f, "pictures"), edge);
    assert_int_equal(fixture_alive(f), 1);
    const struct fixture_told *told = fixture_told(f, "move.held");
    assert_non_null(told);
    assert_string_equal(told->state, "data");
    assert_string_equal(told->workload, "pictures");
    /* A move that only pays beside it waits as well. */
    choices[0].group = choices[1].group = 0;
    choices[0].score_saving_nusd = choices[1].score_saving_nusd = DOLLAR;
    choices[0].confidence_ppm = choices[1].confidence_ppm = PPM;
    str_format(choices[1].site, LIMIT_REF_BYTES, "%s", aws);
    fresh_solve(f);
    fixture_choose(f, choices, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), gcp);
    assert_int_equal(fixture_decision(f)->verdict, VERDICT_DATA);
    /* It moves when its document says so. */
    for (int i = 0; i < app.workload_count; i++) {
        if (app.workloads[i].kind == KIND_DATA)
            str_format(app.workloads[i].data.at, LIMIT_REF_BYTES, "%s", aws);
    }
    fixture_apply(f, &app);
    assert_string_equal(fixture_site(f, "pictures"), aws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(parts_at_one_site_share_instances),
        TEST(another_variant_is_another_instance),
        TEST(the_chosen_variant_runs_with_its_own_needs),
        TEST(a_change_of_variant_is_a_handoff_at_one_site),
        TEST(a_part_that_joins_keeps_its_server_until_the_other_serves),
        TEST(a_lead_that_leaves_waits_for_the_other_to_serve),
        TEST(a_lead_changes_hands),
        TEST(a_lost_node_of_the_lead_is_replaced),
        TEST(nothing_of_a_data_set_runs_and_no_plan_moves_it),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
