/*
 * owner_fixture: an app whose `source` is an owner, started at gcp, to be moved to aws. For the
 * tests of the core's owners, each of which is one program and uses some of this.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/handoff.h"
#include "tests/unit/core_fixture.h"

#define UNUSED __attribute__((unused))
#define MIB    ((int64_t)1 << 20)

UNUSED static const char *const at_aws[] = {"source", "aws/us-east-1", NULL};

UNUSED static int setup_class(void **state, enum handoff_class class_)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    fixture.app.workloads[1].handoff = class_;
    fixture.handed = "cursor=17";
    fixture.export_bytes[1] = 64 * MIB;
    fixture.export_bytes[2] = MIB;
    fixture.export_bytes[3] = 1000;
    fixture_start(&fixture);
    *state = &fixture;
    return 0;
}

UNUSED static int exclusive(void **state)
{
    return setup_class(state, HANDOFF_EXCLUSIVE);
}

UNUSED static int stateful(void **state)
{
    return setup_class(state, HANDOFF_STATEFUL);
}

UNUSED static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

UNUSED static void begin_move(struct fixture *f)
{
    fixture_retag(f, "source", "aws");
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
    fixture_plan(f, at_aws, INT64_MAX, 900);
}

UNUSED static struct fixture_node *node_at(struct fixture *f, const char *name)
{
    return &f->nodes[fixture_node(f, name)];
}

UNUSED static const char *owner_at(struct fixture *f)
{
    struct fixture_instance *instance = fixture_serving(f, "source");
    return instance == NULL ? "nowhere" : f->nodes[instance->node].name;
}

/* Another scheduler process takes over, and hears the nodes one by one. */
UNUSED static void restart(struct fixture *f)
{
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    for (int i = 0; i < f->node_count; i++)
        fixture_hello(f, i);
}

UNUSED static const struct core_instance *known(struct fixture *f, const char *id)
{
    const struct core_state *state = core_state(f->core);
    for (int i = 0; i < state->instance_count; i++) {
        if (str_equal(state->instances[i].id, id))
            return &state->instances[i];
    }
    return NULL;
}

/* Whatever happens: never two that say they serve, and who serves does so by the stored epoch. */
UNUSED static void check_owners(struct fixture *f)
{
    assert_true(fixture_owners(f, "source") <= 1);
    const struct fixture_instance *owner = fixture_serving(f, "source");
    if (owner != NULL && fixture_handoff(f, "source") == NULL)
        assert_int_equal(epoch_compare(owner->own, f->fence_stored), 0);
}

UNUSED static void run(struct fixture *f, int64_t us)
{
    for (int64_t at_us = 0; at_us < us; at_us += 500 * US_PER_MS) {
        fixture_run(f, 500 * US_PER_MS);
        check_owners(f);
    }
}

UNUSED static bool went_back(struct fixture *f)
{
    const struct core_state *core = core_state(f->core);
    for (uint64_t i = 0; i < core->ended_count; i++) {
        if (core->ended[i].state == HANDOFF_STATE_BACK)
            return true;
    }
    return false;
}

/* All went well in the end, at that node. */
UNUSED static void settles_at(struct fixture *f, const char *node)
{
    for (int i = 0; i < f->node_count; i++)
        f->nodes[i].ignored = f->nodes[i].refused = f->nodes[i].unanswered = 0;
    run(f, 400 * US_PER_S); /* beyond the longest wait between two tries */
    assert_null(fixture_handoff(f, "source"));
    assert_string_equal(owner_at(f), node);
    assert_int_equal(fixture_alive(f), 2);
    assert_int_equal(core_state(f->core)->instance_count, 2);
    check_owners(f);
}

#define CASE(test, setup) cmocka_unit_test_setup_teardown(test, setup, teardown)
