/* Checkpoints of a stateful workload: when they are asked for, what is kept of them, and what the
 * next owner starts from when nobody can ship its state. */
#include "scheduler/core/checkpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/image.h"
#include "tests/unit/core_fixture.h"

static const char *const at_aws[] = {"source", "aws/us-east-1", NULL};

static int start(void **state, int64_t every_us)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    fixture.app.workloads[1].handoff = HANDOFF_STATEFUL;
    fixture.app.workloads[1].checkpoint_us = every_us;
    fixture.export_bytes[1] = 5 << 20;
    fixture.export_bytes[2] = 1000;
    fixture.export_bytes[3] = 1000;
    fixture_start(&fixture);
    *state = &fixture;
    return 0;
}

static int every_minute(void **state)
{
    return start(state, 60 * US_PER_S);
}

static int never(void **state)
{
    return start(state, 0);
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

static const struct core_checkpoint *checkpoint_of(const struct fixture *f)
{
    return core_checkpoint_find(f->core, "default", "shop", "source", 0);
}

static struct fixture_node *node_at(struct fixture *f, const char *name)
{
    return &f->nodes[fixture_node(f, name)];
}

static void move(struct fixture *f)
{
    fixture_retag(f, "source", "aws");
    for (int i = 0; i < 20 && fixture_handoff(f, "source") == NULL; i++) {
        fixture_run(f, 1100 * US_PER_MS);
        if (f->solve != 0)
            fixture_plan(f, at_aws, INT64_MAX, 900);
    }
    fixture_run(f, 3 * US_PER_S);
}

/* Its node is silent for good, and the plan puts it elsewhere. */
static void lose(struct fixture *f)
{
    fixture_lose(f, fixture_node(f, "gcp"));
    move(f);
}

static void owner_is_at(struct fixture *f, const char *node)
{
    struct fixture_instance *owner = fixture_serving(f, "source");
    assert_non_null(owner);
    assert_string_equal(f->nodes[owner->node].name, node);
}

static void test_they_are_asked_for_in_time_and_two_are_kept(void **state)
{
    struct fixture *f = *state;
    const struct core_checkpoint *checkpoint = checkpoint_of(f);
    assert_non_null(checkpoint);
    fixture_run(f, 2 * US_PER_S);
    /* The first as soon as there is an owner. */
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1);
    assert_int_equal(f->last[NODE_SNAPSHOT].round, 1);
    assert_int_equal(f->last[NODE_SNAPSHOT].checkpoint, 1);
    assert_int_equal(checkpoint->saved[0].number, 1);
    assert_int_equal(checkpoint->saved[0].object.bytes, 5 << 20);
    assert_int_equal(checkpoint->saved[0].at.us, checkpoint->asked.us);
    assert_int_equal(checkpoint->saved[1].number, 0);
    assert_non_null(fixture_told(f, "checkpoint.made"));
    int64_t first_us = checkpoint->asked.us;
    fixture_run(f, first_us + 59 * US_PER_S - f->now_us);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1);
    fixture_run(f, 122 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 4);
    assert_int_equal(checkpoint->saved[0].number, 4);
    assert_int_equal(checkpoint->saved[1].number, 3);
    assert_int_equal(checkpoint->saved[0].at.us - first_us, 180 * US_PER_S);
}

static void test_one_that_fails_replaces_none(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 2 * US_PER_S);
    const struct core_checkpoint *checkpoint = checkpoint_of(f);
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(checkpoint->number, 2);
    assert_int_equal(checkpoint->saved[0].number, 1);
    struct fixture_instance *owner = fixture_serving(f, "source");
    owner->error_code = ERR_IO;
    fixture_report(f, owner, INSTANCE_READY, "snapshot round 1 failed: no space");
    assert_non_null(strstr(fixture_told(f, "checkpoint.failed")->text, "no space"));
    owner->error_code = 0;
    assert_int_equal(checkpoint->saved[0].number, 1);
    /* Nor one whose agent was started again: that one knows nothing of it. */
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 3);
    fixture_hello(f, fixture_node(f, "gcp"));
    node_at(f, "gcp")->ignored = 0;
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 4);
    assert_int_equal(checkpoint->saved[0].number, 4);
    assert_int_equal(checkpoint->saved[1].number, 1);
}

static void test_a_lost_owner_is_followed_from_the_last_one(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 100 * US_PER_S);
    assert_int_equal(checkpoint_of(f)->saved[0].number, 2);
    lose(f);
    owner_is_at(f, "aws");
    assert_int_equal(f->verb_count[NODE_RESTORE], 1);
    assert_int_equal(f->last[NODE_RESTORE].checkpoint, 2);
    assert_int_equal(f->last[NODE_RESTORE].round, 1);
    assert_string_equal(f->last[NODE_RESTORE].object.digest, "sha256:1");
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_DONE);
    assert_true(ended->entered[HANDOFF_STATE_SHIPPING].us != 0);
    assert_true(ended->entered[HANDOFF_STATE_FENCING].us >=
                ended->entered[HANDOFF_STATE_SHIPPING].us);
    assert_non_null(
        strstr(fixture_told(f, "checkpoint.restored")->text, "what was written since is lost"));
    assert_null(fixture_told(f, "state.lost"));
    /* The next ones are the new owner's, by later numbers. */
    fixture_run(f, 120 * US_PER_S);
    assert_true(checkpoint_of(f)->saved[0].number > 2);
    assert_true(f->last[NODE_SNAPSHOT].checkpoint > 2);
}

static void test_one_that_cannot_be_read_is_given_up(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 100 * US_PER_S);
    node_at(f, "aws")->refused = 1u << NODE_RESTORE;
    lose(f);
    for (int i = 0; i < 600 && checkpoint_of(f)->saved[0].number == 2; i++) {
        fixture_run(f, US_PER_S);
        /* Nobody owns an empty state while there is one to be had. */
        assert_null(fixture_serving(f, "source"));
        if (f->solve != 0)
            fixture_plan(f, at_aws, INT64_MAX, 900);
    }
    assert_int_equal(checkpoint_of(f)->saved[0].number, 1);
    assert_non_null(fixture_told(f, "checkpoint.unusable"));
    node_at(f, "aws")->refused = 0;
    for (int i = 0; i < 600 && fixture_serving(f, "source") == NULL; i++)
        fixture_run(f, US_PER_S);
    owner_is_at(f, "aws");
    assert_int_equal(f->last[NODE_RESTORE].checkpoint, 1);
}

static void test_without_any_it_starts_empty_and_says_so(void **state)
{
    struct fixture *f = *state;
    assert_null(checkpoint_of(f));
    fixture_run(f, 100 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 0);
    lose(f);
    owner_is_at(f, "aws");
    assert_int_equal(f->verb_count[NODE_RESTORE], 0);
    assert_int_equal(fixture_ended(f)->entered[HANDOFF_STATE_SHIPPING].us, 0);
    assert_non_null(strstr(fixture_told(f, "state.lost")->text, "starts empty"));
}

/* A move ships what there is, and not what was: a checkpoint under way gives way. */
static void test_a_move_does_not_wait_for_one(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 2 * US_PER_S);
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 2);
    node_at(f, "gcp")->ignored = 0;
    move(f);
    owner_is_at(f, "aws");
    assert_int_equal(f->last[NODE_RESTORE].checkpoint, 0);
    assert_null(fixture_told(f, "checkpoint.restored"));
    /* What it was asked for last at gcp is no checkpoint of it. */
    assert_int_equal(checkpoint_of(f)->saved[0].number, 1);
    fixture_run(f, 70 * US_PER_S);
    assert_true(checkpoint_of(f)->saved[0].number > 2);
}

static void test_deleted_they_are_removed(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 2 * US_PER_S);
    fixture_delete(f);
    fixture_run(f, 60 * US_PER_S);
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_null(checkpoint_of(f));
    assert_int_equal(f->last[NODE_FORGET].checkpoint, 1);
}

static void test_an_image_keeps_them(void **state)
{
    struct fixture *f = *state;
    fixture_run(f, 100 * US_PER_S);
    struct core_image image;
    struct core *other = NULL;
    struct error err = {0};
    core_image_take(f->core, &image);
    assert_int_equal(core_restore(&image, &other, &err), 0);
    assert_true(core_hash(other) == core_hash(f->core));
    const struct core_checkpoint *checkpoint =
        core_checkpoint_find(other, "default", "shop", "source", 0);
    assert_non_null(checkpoint);
    assert_int_equal(checkpoint->saved[0].number, 2);
    core_destroy(other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_they_are_asked_for_in_time_and_two_are_kept,
                                        every_minute, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_fails_replaces_none, every_minute, teardown),
        cmocka_unit_test_setup_teardown(test_a_lost_owner_is_followed_from_the_last_one,
                                        every_minute, teardown),
        cmocka_unit_test_setup_teardown(test_one_that_cannot_be_read_is_given_up, every_minute,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_without_any_it_starts_empty_and_says_so, never,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_move_does_not_wait_for_one, every_minute, teardown),
        cmocka_unit_test_setup_teardown(test_deleted_they_are_removed, every_minute, teardown),
        cmocka_unit_test_setup_teardown(test_an_image_keeps_them, every_minute, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
