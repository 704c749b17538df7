#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static const char *const both[] = {"web", "edge/nyc", "source", "gcp/us-central1", NULL};

static void apply(struct fixture *f, int replicas, int64_t mcpu)
{
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].replicas = replicas;
    app.workloads[1].reserve[RESOURCE_CPU] = mcpu;
    fixture_apply(f, &app);
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, both, INT64_MAX, 1000);
    fixture_run(f, 1100 * US_PER_MS);
}

static int count_on(const struct fixture *f, const char *node)
{
    int count = 0;
    for (int i = 0; i < f->instance_count; i++)
        count += str_equal(f->nodes[f->instances[i].node].name, node) &&
                 f->instances[i].state == INSTANCE_READY;
    return count;
}

static void test_best_fit_fills_one_node_before_the_next(void **state)
{
    struct fixture *f = *state;
    fixture_hello(f, fixture_node_add(f, "gcp-2", "gcp/us-central1"));
    apply(f, 3, 300); /* 1000m each: three fit on the first */
    assert_int_equal(count_on(f, "gcp"), 3);
    assert_int_equal(count_on(f, "gcp-2"), 0);
    apply(f, 4, 300);
    assert_int_equal(count_on(f, "gcp"), 3);
    assert_int_equal(count_on(f, "gcp-2"), 1);
}

static void test_what_does_not_fit_returns_to_the_solver(void **state)
{
    struct fixture *f = *state;
    apply(f, 4, 300);
    assert_int_equal(count_on(f, "gcp"), 3);
    const struct core_state *core = core_state(f->core);
    int gcp = world_site(core->world, "gcp/us-central1");
    assert_true(core->apps[0].workloads[1].site_blocked[gcp]);
    assert_true(f->solve != 0); /* asked again, with the cut */
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct cost_input input;
    struct error err;
    assert_int_equal(core_cost_input(f->core, NULL, NULL, &arena, &input, &err), 0);
    assert_true(input.apps[0].states[1].site_blocked[gcp]);
    assert_true(input.capacity[gcp][RESOURCE_CPU] == 1000);
    arena_done(&arena);
    /* Room comes: the cut is gone and the fourth starts. */
    fixture_hello(f, fixture_node_add(f, "gcp-2", "gcp/us-central1"));
    fixture_run(f, 2 * US_PER_S);
    assert_false(core->apps[0].workloads[1].site_blocked[gcp]);
    assert_int_equal(count_on(f, "gcp-2"), 1);
}

static void test_both_copies_of_a_handoff_count(void **state)
{
    struct fixture *f = *state;
    apply(f, 1, 600);
    assert_int_equal(count_on(f, "gcp"), 1);
    /* A new version in place needs 600m beside the 600m of the old one: no room for that. */
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].reserve[RESOURCE_CPU] = 600;
    app.workloads[1].pids_max = 77;
    fixture_apply(f, &app);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(count_on(f, "gcp"), 1);
    assert_null(fixture_handoff(f, "source"));
    int gcp = world_site(core_state(f->core)->world, "gcp/us-central1");
    assert_true(core_state(f->core)->apps[0].workloads[1].site_blocked[gcp]);
}

/* The node has instances of another time, none of which takes anything or can be stopped. */
static void crowd(struct fixture *f, const char *name, int count)
{
    static struct message_instance list[LIMIT_NODE_INSTANCES];
    struct core_event event = {.kind = CORE_HELLO};
    struct message_hello *hello = &event.hello;
    struct fixture_node *node = &f->nodes[fixture_node(f, name)];
    memset(list, 0, sizeof(list));
    for (int i = 0; i < count; i++) {
        str_format(list[i].instance, sizeof(list[i].instance), "old-%d", i);
        str_format(list[i].namespace_, sizeof(list[i].namespace_), "default");
        str_format(list[i].app, sizeof(list[i].app), "old");
        str_format(list[i].workload, sizeof(list[i].workload), "old");
        list[i].state = INSTANCE_READY;
    }
    str_format(hello->node, sizeof(hello->node), "%s", node->name);
    str_format(hello->site, sizeof(hello->site), "%s", node->site);
    str_format(hello->boot_id, sizeof(hello->boot_id), "%s", node->boot_id);
    str_format(hello->arch, sizeof(hello->arch), "x86_64");
    str_format(hello->drivers, sizeof(hello->drivers), "process");
    hello->boot_us = f->now_us / 2;
    hello->mcpu = node->mcpu;
    hello->memory_bytes = node->memory_bytes;
    hello->seq = node->seq;
    hello->instances = list;
    hello->instance_count = count;
    node->unanswered |= 1u << NODE_STOP;
    fixture_step(f, &event);
}

static void test_a_node_with_as_many_instances_as_it_can_have_takes_no_more(void **state)
{
    struct fixture *f = *state;
    fixture_hello(f, fixture_node_add(f, "gcp-2", "gcp/us-central1"));
    crowd(f, "gcp", LIMIT_NODE_INSTANCES - 1);
    apply(f, 3, 100);
    assert_int_equal(count_on(f, "gcp"), 1);
    assert_int_equal(count_on(f, "gcp-2"), 2);
    int gcp = world_site(core_state(f->core)->world, "gcp/us-central1");
    assert_false(core_state(f->core)->apps[0].workloads[1].site_blocked[gcp]);
    fixture_lose(f,
                 fixture_node(f, "gcp-2")); /* what is left of the site is full: for the solver */
    fixture_run(f, 2 * US_PER_S);
    assert_int_equal(count_on(f, "gcp"), 1);
    assert_true(core_state(f->core)->apps[0].workloads[1].site_blocked[gcp]);
}

static void test_driver_and_arch_must_match(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    str_format(app.workloads[1].variants[0].arch, LIMIT_NAME_BYTES, "aarch64");
    fixture_apply(f, &app);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, both, INT64_MAX, 1000);
    assert_int_equal(count_on(f, "gcp"), 0);
    assert_int_equal(count_on(f, "edge"), 1);
}

static void test_replicas_shrink(void **state)
{
    struct fixture *f = *state;
    apply(f, 3, 300);
    assert_int_equal(count_on(f, "gcp"), 3);
    apply(f, 1, 300);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(count_on(f, "gcp"), 1);
    assert_int_equal(f->verb_count[NODE_DRAIN], 2); /* a removal drains as well */
    assert_int_equal(f->instance_count, 2);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_best_fit_fills_one_node_before_the_next),
        TEST(test_what_does_not_fit_returns_to_the_solver),
        TEST(test_both_copies_of_a_handoff_count),
        TEST(test_a_node_with_as_many_instances_as_it_can_have_takes_no_more),
        TEST(test_driver_and_arch_must_match),
        TEST(test_replicas_shrink),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
