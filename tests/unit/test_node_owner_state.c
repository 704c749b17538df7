/* The node machine's stateful owners: what is exported in rounds, shipped, fetched and given. */
#include "tests/unit/node_owner_bench.h"

/* ---- state -------------------------------------------------------------------------------------
 */

static void test_snapshots(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_SNAPSHOT, 1);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_SNAPSHOT);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.path, "state.out.1");
    says_more(bench, SAID_SNAPSHOTTED, 2, NULL); /* of another round */
    assert_null(effect(bench, NODE_FX_SHIP));
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    uint64_t first = effect(bench, NODE_FX_SHIP)->file.ticket;
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    assert_null(effect(bench, NODE_FX_SHIP));
    /* The scheduler begins anew: the result of the first counts no more. */
    order_round(bench, NODE_SNAPSHOT, 1);
    shipped(bench, first, 0, "sha256:old");
    assert_int_equal(bench->effects->count, 0);
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, 0, "sha256:new");
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->round, 1);
    assert_string_equal(told->object.digest, "sha256:new");
    assert_int_equal(told->state, INSTANCE_READY);
    assert_string_equal(effect(bench, NODE_FX_DROP)->file.path, "state.out.1");
    /* One that fails is told as that, and the next begins clean. */
    order_round(bench, NODE_SNAPSHOT, 2);
    says_more(bench, SAID_FAILED, 0, "disk full");
    told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->error_code, ERR_IO);
    assert_int_equal(told->round, 1);
    assert_string_equal(told->detail, "snapshot round 2 failed: disk full");
    order_round(bench, NODE_SNAPSHOT, 2);
    says_more(bench, SAID_SNAPSHOTTED, 2, NULL);
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, 0, "sha256:two");
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.error_code, 0);
}

/* Seed 158 of tests/fault: a SNAPSHOT of an earlier handoff came late, just before this one's. */
/* A checkpoint has a name of its own, is told by its number, and leaves what handoffs go by alone.
 */
static void test_checkpoints(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_SNAPSHOT, 1);
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    assert_string_equal(effect(bench, NODE_FX_SHIP)->file.kept, "");
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, 0, "sha256:round");
    struct message_command command = command_of(bench, NODE_SNAPSHOT);
    command.round = 1;
    command.checkpoint = 7;
    take(bench, &command);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_SNAPSHOT);
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    const char *kept = effect(bench, NODE_FX_SHIP)->file.kept;
    assert_true(strlen(kept) > 2 && str_equal(kept + strlen(kept) - 2, ".1"));
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, 0, "sha256:seven");
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->checkpoint, 7);
    assert_string_equal(told->saved.digest, "sha256:seven");
    assert_int_equal(told->round, 1);
    assert_string_equal(told->object.digest, "sha256:round");
    assert_int_equal(told->doing, 0);
}

static void test_the_answer_to_an_earlier_snapshot_does_not_count(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    bench->epoch.n++;
    order_round(bench, NODE_SNAPSHOT, 1);
    bench->epoch.n++;
    order_round(bench, NODE_SNAPSHOT, 1);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_SNAPSHOT);
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    assert_null(effect(bench, NODE_FX_SHIP));
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    assert_non_null(effect(bench, NODE_FX_SHIP));
}

static void test_last_delta(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_DRAIN, 4);
    says_more(bench, SAID_FROZEN, 0, "w=7");
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    uint64_t ticket = effect(bench, NODE_FX_SHIP)->file.ticket;
    bench->now += 20 * US_PER_S; /* no deadline of the workload's any more */
    happens(bench, NODE_EV_TICK);
    assert_int_equal(bench->effects->count, 0);
    shipped(bench, ticket, 0, "sha256:last");
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->state, INSTANCE_HELD);
    assert_int_equal(told->round, 4);
    assert_string_equal(told->object.digest, "sha256:last");
    assert_string_equal(told->handed, "w=7");
}

static void test_last_delta_not_shipped(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_DRAIN, 4);
    says_more(bench, SAID_FROZEN, 0, "w=7");
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, ERR_UNAVAILABLE, "");
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->state, INSTANCE_HELD);
    assert_int_equal(told->error_code, ERR_UNAVAILABLE);
    assert_int_equal(told->round, 0);
    resume(bench, "w=7");
    says(bench, SAID_OWNED);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.error_code, 0);
}

static void test_restore(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_STATEFUL, 0);
    order_round(bench, NODE_RESTORE, 1);
    const struct node_effect *get = effect(bench, NODE_FX_GET);
    assert_string_equal(get->file.path, "state.in.1");
    assert_string_equal(get->file.object.digest, "sha256:aa");
    uint64_t ticket = get->file.ticket;
    got(bench, ticket + 1, 0);
    assert_int_equal(bench->effects->count, 0);
    got(bench, ticket, 0);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_RESTORE);
    says_more(bench, SAID_RESTORED, 1, NULL);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.round, 1);
    assert_non_null(effect(bench, NODE_FX_DROP));
    order_round(bench, NODE_RESTORE, 2);
    got(bench, effect(bench, NODE_FX_GET)->file.ticket, ERR_CORRUPT);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.error_code, ERR_CORRUPT);
    assert_null(effect(bench, NODE_FX_SAY));
    assert_int_equal(record(bench)->round, 1);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
}

/* Taken by an agent that ended over it, before anybody heard of that: asked again by the same name,
 * the next one has no such task, and says so or does it. */
static void test_a_task_lost_with_the_agent(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    owner(bench, SPEC_STATEFUL);
    struct message_command asked = command_of(bench, NODE_SNAPSHOT);
    asked.round = 1;
    take(bench, &asked);
    take(bench, &asked);
    assert_int_equal(answer_code(bench), 0); /* it is under way */
    restart_agent(bench, &kept);
    adopted_with_lease(bench, bench->now + LEASE_US);
    asked.epoch.n++; /* the hello had it asked for anew */
    take(bench, &asked);
    assert_int_equal(answer_code(bench), ERR_IO);
    assert_null(effect(bench, NODE_FX_SAY));
    asked = command_of(bench, NODE_SNAPSHOT);
    asked.epoch.n++;
    asked.round = 1;
    take(bench, &asked);
    says_more(bench, SAID_SNAPSHOTTED, 1, NULL);
    shipped(bench, effect(bench, NODE_FX_SHIP)->file.ticket, 0, "sha256:aa");
    restart_agent(bench, &kept);
    adopted_with_lease(bench, bench->now + LEASE_US);
    take(bench, &asked);
    assert_int_equal(answer_code(bench), 0); /* it is done */
}

static void test_an_import_lost_with_the_agent(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    start_owner(bench, SPEC_STATEFUL, LEASE_US);
    struct message_command asked = command_of(bench, NODE_RESTORE);
    asked.round = 1;
    asked.object = (struct message_object){.digest = "sha256:aa", .bytes = 3};
    take(bench, &asked);
    restart_agent(bench, &kept);
    adopted_with_lease(bench, 0);
    asked.epoch.n++;
    take(bench, &asked);
    assert_int_equal(answer_code(bench), 0);
    got(bench, effect(bench, NODE_FX_GET)->file.ticket, 0);
    says_more(bench, SAID_RESTORED, 1, NULL);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.round, 1);
    restart_agent(bench, &kept);
    adopted_with_lease(bench, 0);
    take(bench, &asked);
    assert_int_equal(answer_code(bench), 0);
    assert_null(effect(bench, NODE_FX_GET));
}

/* What it was given and had not yet owned died with it: started again it would own nothing. */
static void test_state_given_is_lost_with_the_process(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_STATEFUL, 0);
    order_round(bench, NODE_RESTORE, 1);
    got(bench, effect(bench, NODE_FX_GET)->file.ticket, 0);
    says_more(bench, SAID_RESTORED, 1, NULL);
    resume(bench, "w=1");
    ends(bench, 6);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
    assert_int_equal(record(bench)->error_code, ERR_STALE);
    assert_null(effect(bench, NODE_FX_SPAWN));
}

static void test_tasks_are_refused(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order_round(bench, NODE_SNAPSHOT, 1);
    assert_int_equal(answer_code(bench), ERR_UNSUPPORTED);
    bench->epoch.n++;
    order(bench, NODE_STOP);
    ends(bench, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->epoch.n++;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_SNAPSHOT, 0);
    assert_int_equal(answer_code(bench), ERR_INVALID);
    order_round(bench, NODE_RESTORE, 1);
    assert_int_equal(answer_code(bench), ERR_STALE); /* it owns */
    order(bench, NODE_DRAIN);
    says(bench, SAID_FROZEN);
    order_round(bench, NODE_SNAPSHOT, 1);
    assert_int_equal(answer_code(bench), ERR_STALE); /* it does not */
    /* A class that is told to own needs somebody to tell. */
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_TCP, false);
    start.spec.handoff = SPEC_EXCLUSIVE;
    str_format(start.instance, sizeof(start.instance), "i2");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snapshots),
        TEST(test_checkpoints),
        TEST(test_the_answer_to_an_earlier_snapshot_does_not_count),
        TEST(test_last_delta),
        TEST(test_last_delta_not_shipped),
        TEST(test_restore),
        TEST(test_a_task_lost_with_the_agent),
        TEST(test_an_import_lost_with_the_agent),
        TEST(test_state_given_is_lost_with_the_process),
        TEST(test_tasks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
