/* How many starts, removals and stops are under way at once, and that what waits has its turn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/image.h"
#include "tests/unit/core_fixture.h"

#define MANY 40

static const char edge[] = "edge/nyc";

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

/* MANY small workloads, chosen for one site, whose one node does not answer. */
static void apply_many(struct fixture *f)
{
    static struct core_plan_choice choices[MANY];
    struct strbuf text;
    struct app app;
    strbuf_init(&text, 1 << 16);
    strbuf_printf(&text, "app: shop\nworkloads:\n");
    memset(choices, 0, sizeof(choices));
    for (int i = 0; i < MANY; i++) {
        strbuf_printf(&text,
                      "  - name: w%d\n    run: {driver: process, artifact: 'file:/bin/w', digest: "
                      "'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}\n"
                      "    resources: {cpu: 10m, memory: 1MiB}\n",
                      i);
        str_format(choices[i].workload, sizeof(choices[i].workload), "w%d", i);
        str_format(choices[i].site, sizeof(choices[i].site), "%s", edge);
        choices[i].group = -1;
    }
    fixture_parse_app(f, strbuf_text(&text), &app);
    strbuf_done(&text);

    fixture_apply(f, &app);
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
    f->nodes[fixture_node(f, "edge")].unanswered = 1u << NODE_STAGE;
    fixture_choose(f, choices, MANY, INT64_MAX, 900);
}

static int ready(const struct fixture *f)
{
    const struct core_state *state = core_state(f->core);
    int count = 0;
    for (int i = 0; i < state->instance_count; i++)
        count += state->instances[i].state == INSTANCE_READY;
    return count;
}

static void starts_on_a_node_are_bounded_and_all_have_their_turn(void **state)
{
    struct fixture *f = *state;
    apply_many(f);
    const struct core_state *core = core_state(f->core);
    assert_int_equal(core->handoff_count, LIMIT_NODE_STARTS);
    assert_int_equal(f->verb_count[NODE_STAGE], LIMIT_NODE_STARTS);
    /* The first of the document are the first to start. */
    for (int i = 0; i < LIMIT_NODE_STARTS; i++) {
        char name[LIMIT_NAME_BYTES];
        str_format(name, sizeof(name), "w%d", i);
        assert_string_equal(core->handoffs[i].workload, name);
    }
    /* Nothing more begins as long as none of them ends; what waits is not in the way of others. */
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(core->handoff_count, LIMIT_NODE_STARTS);
    f->nodes[fixture_node(f, "edge")].unanswered = 0;
    for (int i = 0; i < 100 && ready(f) < MANY; i++) {
        fixture_run(f, 100 * US_PER_MS);
        assert_true(core->handoff_count <= LIMIT_NODE_STARTS);
    }
    assert_int_equal(ready(f), MANY);
    assert_int_equal(core->handoff_count, 0);
    assert_int_equal(fixture_alive(f), MANY);
}

static void removals_are_bounded_too(void **state)
{
    struct fixture *f = *state;
    int node = fixture_node(f, "edge");
    apply_many(f);
    f->nodes[node].unanswered = 1u << NODE_STOP;
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(ready(f), MANY);
    fixture_delete(f);
    assert_int_equal(core_state(f->core)->handoff_count, LIMIT_NODE_STARTS);
    assert_int_equal(f->verb_count[NODE_STOP], LIMIT_NODE_STARTS);
    f->nodes[node].unanswered = 0;
    fixture_run(f, 30 * US_PER_S);
    assert_int_equal(core_state(f->core)->instance_count, 0);
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_int_equal(fixture_alive(f), 0);
}

/* A node comes with much that nobody wants. */
static void stops_of_what_nobody_wants_are_bounded(void **state)
{
    struct fixture *f = *state;
    int node = fixture_node(f, "edge");
    for (int i = 0; i < MANY; i++) {
        struct fixture_instance *instance = &f->instances[f->instance_count++];
        *instance = (struct fixture_instance){.node = node, .state = INSTANCE_READY};
        str_format(instance->id, sizeof(instance->id), "stale-%d", i);
    }
    f->nodes[node].unanswered = 1u << NODE_STOP;
    fixture_hello(f, node);
    assert_int_equal(core_state(f->core)->instance_count, MANY);
    assert_int_equal(f->verb_count[NODE_STOP], LIMIT_NODE_ORDERS);
    f->nodes[node].unanswered = 0;
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(core_state(f->core)->instance_count, 0);
    assert_int_equal(f->instance_count, 0);
}

/* What waits is not in an image: it follows from it. */
static void a_restored_core_begins_the_same(void **state)
{
    struct fixture *f = *state;
    struct core_image image;
    struct core *restored = NULL;
    struct error err = {0};
    apply_many(f);
    core_image_take(f->core, &image);
    if (core_restore(&image, &restored, &err) < 0)
        fail_msg("%s", err.text);
    core_destroy(f->core);
    f->core = restored;
    f->nodes[fixture_node(f, "edge")].unanswered = 0;
    for (int i = 0; i < 100 && ready(f) < MANY; i++) {
        fixture_run(f, 100 * US_PER_MS);
        core_image_take(f->core, &image);
        assert_int_equal(core_restore(&image, &restored, &err), 0);
        assert_true(core_hash(restored) == core_hash(f->core));
        assert_true(core_deadline(restored).us == core_deadline(f->core).us);
        core_destroy(f->core);
        f->core = restored;
    }
    assert_int_equal(ready(f), MANY);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(starts_on_a_node_are_bounded_and_all_have_their_turn),
        TEST(removals_are_bounded_too),
        TEST(stops_of_what_nobody_wants_are_bounded),
        TEST(a_restored_core_begins_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
