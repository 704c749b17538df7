/* How long a round of state may take, what is learnt from one that took longer, and how often it is
 * tried again. */
#include "tests/unit/owner_fixture.h"

static int large(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    fixture.app.workloads[1].handoff = HANDOFF_STATEFUL;
    fixture.app.workloads[1].state_bytes = 1024 * MIB;
    fixture.export_bytes[1] = 2048 * MIB;
    fixture.export_bytes[2] = MIB;
    fixture_start(&fixture);
    *state = &fixture;
    return 0;
}

/* 120 s, and 125 ms for each MiB, each way. */
#define GIVEN_US (INT64_C(376) * US_PER_S)

static void test_a_round_has_the_time_that_its_size_takes(void **state)
{
    struct fixture *f = *state;
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    fixture_run(f, GIVEN_US - 10 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 1); /* a second would begin where it ended */
    assert_null(fixture_told(f, "state.slow"));
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_string_equal(fixture_ended(f)->text,
                        "round 1 of its state (1048576 KiB) was not exported in 376 s; the next "
                        "try has 752 s for it");
    assert_string_equal(fixture_told(f, "state.slow")->text, fixture_ended(f)->text);
    const struct core_workload *workload = fixture_workload(f, "source");
    assert_int_equal(workload->ship_late, 1);
    assert_int_equal(workload->ship_us, 2 * GIVEN_US);
    /* It waits for as long as it shipped, then has twice the time. */
    assert_in_range(workload->retry.us - f->now_us, GIVEN_US - 20 * US_PER_S, GIVEN_US);
    fixture_run(f, GIVEN_US);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    fixture_run(f, 2 * GIVEN_US - 20 * US_PER_S);
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    assert_int_equal(f->verb_count[NODE_SNAPSHOT], 2);
    fixture_run(f, 30 * US_PER_S);
    assert_int_equal(workload->ship_late, 2);
    assert_in_range(workload->retry.us - f->now_us, 4 * GIVEN_US - 60 * US_PER_S, 4 * GIVEN_US);
    assert_string_equal(owner_at(f), "gcp");
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    /* In the third it gets there: nothing is held against it any more. */
    node_at(f, "gcp")->ignored = 0;
    fixture_run(f, 5 * GIVEN_US);
    assert_string_equal(owner_at(f), "aws");
    assert_int_equal(workload->ship_late, 0);
    assert_int_equal(workload->ship_us, 4 * GIVEN_US);
    settles_at(f, "aws");
}

/* What was exported is more than the document says: the rest of the round has the time of that. */
static void test_an_import_has_the_time_of_what_was_exported(void **state)
{
    struct fixture *f = *state;
    node_at(f, "aws")->ignored = 1u << NODE_RESTORE;
    begin_move(f);
    fixture_run(f, 620 * US_PER_S); /* of 120 + 2 x 256 */
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    assert_int_equal(f->verb_count[NODE_RESTORE], 1);
    fixture_run(f, 30 * US_PER_S);
    assert_string_equal(fixture_ended(f)->text,
                        "round 1 of its state (2097152 KiB) was not imported in 632 s; the next "
                        "try has 1264 s for it");
    node_at(f, "aws")->ignored = 0;
    fixture_run(f, 700 * US_PER_S);
    settles_at(f, "aws");
}

/* Rounds that take longer than a freeze waits: the owner is not frozen for one that would not come.
 */
static void test_what_changes_faster_than_it_ships_is_not_frozen(void **state)
{
    struct fixture *f = *state;
    for (int i = 2; i < 8; i++)
        f->export_bytes[i] = 256 * MIB;
    node_at(f, "aws")->ignored = 1u << NODE_RESTORE;
    begin_move(f);
    for (int round = 1; round <= 4; round++) {
        const struct core_handoff *handoff = fixture_handoff(f, "source");
        assert_int_equal(handoff->state, HANDOFF_STATE_SHIPPING);
        assert_int_equal(handoff->round, round);
        fixture_run(f, 60 * US_PER_S);
        struct fixture_instance *to = fixture_instance(f, handoff->to);
        to->round = round;
        fixture_report(f, to, INSTANCE_HELD, "");
    }
    run(f, 10 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    assert_non_null(strstr(fixture_ended(f)->text, "changes faster than it is shipped: round 4"));
    assert_non_null(fixture_told(f, "state.slow"));
    const struct core_workload *workload = fixture_workload(f, "source");
    assert_int_equal(workload->ship_late, 1);
    assert_int_equal(workload->ship_us, 0); /* more time would not help */
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_string_equal(owner_at(f), "gcp");
    settles_at(f, "aws");
}

/* A way that the world says is slow has its time, and an apply begins anew with what was learnt. */
static void test_a_declared_way_and_an_apply(void **state)
{
    struct fixture *f = *state;
    int gcp = world_site(&f->world, "gcp/us-central1");
    int aws = world_site(&f->world, "aws/us-east-1");
    f->world.us_per_mib[gcp * f->world.site_count + aws] = US_PER_S;
    fixture_world(f);
    node_at(f, "gcp")->ignored = 1u << NODE_SNAPSHOT;
    begin_move(f);
    fixture_run(f, 2160 * US_PER_S); /* of 120 + 2 x 1024 */
    assert_int_equal(fixture_handoff(f, "source")->state, HANDOFF_STATE_SHIPPING);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(fixture_workload(f, "source")->ship_late, 1);
    f->app.workloads[0].replicas = 2;
    fixture_apply(f, &f->app);
    assert_int_equal(fixture_workload(f, "source")->ship_late, 0);
    assert_int_equal(fixture_workload(f, "source")->ship_us, 2 * 2168 * US_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_round_has_the_time_that_its_size_takes, large),
        CASE(test_an_import_has_the_time_of_what_was_exported, large),
        CASE(test_what_changes_faster_than_it_ships_is_not_frozen, large),
        CASE(test_a_declared_way_and_an_apply, large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
