/* The node machine's owners: granted by an epoch, frozen, kept by a lease. */
#include "tests/unit/node_owner_bench.h"

/* What somebody waits for in a pause goes first, and nothing that it rests on behind it. */
static void test_order_in_a_pause(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order(bench, NODE_DRAIN);
    assert_int_equal(place_of(bench, NODE_FX_PERSIST), 0); /* the epoch, before it is obeyed */
    assert_int_equal(place_of(bench, NODE_FX_SAY), 1);
    assert_true(place_of(bench, NODE_FX_ANSWER) > 1);
    assert_true(place_of(bench, NODE_FX_REPORT) > 1);
    says_more(bench, SAID_FROZEN, 0, "seq=12");
    assert_int_equal(place_of(bench, NODE_FX_REPORT), 0);
    assert_int_equal(bench->effects->list[0].report.instance.state, INSTANCE_HELD);
    assert_int_equal(place_of(bench, NODE_FX_PERSIST), 1);
    resume(bench, "seq=12");
    assert_int_equal(place_of(bench, NODE_FX_PERSIST), 0);
    assert_true(place_of(bench, NODE_FX_LEASE) < place_of(bench, NODE_FX_SAY));
    assert_true(place_of(bench, NODE_FX_SAY) < place_of(bench, NODE_FX_ANSWER));
    says(bench, SAID_OWNED); /* that it owns is a record before it is told */
    assert_int_equal(place_of(bench, NODE_FX_PERSIST), 0);
    assert_true(place_of(bench, NODE_FX_REPORT) > 0);
    /* One that gives up by itself was not asked to: no record says that it would be asked again. */
    says_more(bench, SAID_FROZEN, 0, "seq=13");
    assert_int_equal(place_of(bench, NODE_FX_PERSIST), 0);
    assert_true(place_of(bench, NODE_FX_REPORT) > 0);
}

static void test_ready_is_standby(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, 0);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail, "standby");
    assert_int_equal(record(bench)->want, NODE_WANT_HELD);
    assert_null(effect(bench, NODE_FX_SAY));
    /* Words that are about other classes, or come at the wrong time, make no owner of it. */
    says(bench, SAID_RESUMED);
    says(bench, SAID_OWNED);
    says(bench, SAID_READY);
    says(bench, SAID_FROZEN);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_int_equal(bench->effects->count, 0);
}

static void test_granted_by_the_commands_epoch(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, 0);
    bench->epoch = (struct epoch){3, 40};
    resume(bench, "at:9");
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    assert_string_equal(bench->effects->list[0].record.handed, "at:9");
    assert_int_equal(bench->effects->list[0].record.owner.n, 41);
    const struct node_effect *say = effect(bench, NODE_FX_SAY);
    assert_int_equal(say->say.what, SAY_OWN);
    assert_int_equal(say->say.epoch.term, 3);
    assert_int_equal(say->say.epoch.n, 41);
    assert_string_equal(say->say.handed, "at:9");
    assert_null(effect(bench, NODE_FX_LEASE)); /* it has none */
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_null(effect(bench, NODE_FX_REPORT)->report.instance.handed);
    /* By a later epoch, without having been frozen: told again, and reported again. */
    resume(bench, "at:10");
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.epoch.n, 42);
    says(bench, SAID_OWNED);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.state, INSTANCE_READY);
}

static void test_frozen_hands_over(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order(bench, NODE_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_FREEZE);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.path, "");
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.deadline_us, bench->now + 2 * US_PER_S);
    says(bench, SAID_DRAINED); /* is not frozen */
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    says_more(bench, SAID_FROZEN, 0, "seq=12");
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.handed, "seq=12");
    assert_int_equal(record(bench)->owner.n, 0);
    happens(bench, NODE_EV_CONNECTED);
    assert_string_equal(effect(bench, NODE_FX_HELLO)->hello.instances[0].handed, "seq=12");
    resume(bench, "seq=20");
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.handed, "seq=20");
}

/* A freeze that is late, or fails, is never told as one. */
static void test_a_freeze_is_never_assumed(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order(bench, NODE_DRAIN);
    bench->now += 2 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail,
                        "did not freeze in time");
    /* The scheduler goes back: the owner by a new epoch; its late word counts no more. */
    resume(bench, NULL);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
    says_more(bench, SAID_FROZEN, 0, "late");
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    order(bench, NODE_DRAIN);
    says_more(bench, SAID_FAILED, 0, "a lock");
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_string_equal(record(bench)->detail, "could not freeze: a lock");
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.error_code, ERR_IO);
}

static void test_could_not_own_starts_again(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, 0);
    resume(bench, "x");
    says_more(bench, SAID_FAILED, 0, "bad state");
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    ends(bench, 137);
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += US_PER_S;
    happens(bench, NODE_EV_TICK);
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
}

/* ---- leases ------------------------------------------------------------------------------------
 */

static void test_no_grant_without_a_lease(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    assert_true(node_wants_answers(bench->node));
    assert_non_null(effect(bench, NODE_FX_BEAT)); /* somebody is about to own: ask in time */
    resume(bench, NULL);
    assert_null(effect(bench, NODE_FX_SAY));
    assert_non_null(effect(bench, NODE_FX_BEAT));
    renew(bench);
    assert_int_equal(effect(bench, NODE_FX_LEASE)->lease.until_us, bench->now + LEASE_US);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
    assert_true(effect(bench, NODE_FX_LEASE) < effect(bench, NODE_FX_SAY)); /* the shim first */
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

/* Seed 4482 of tests/fault: once it is known to have ended, another one may have been granted. */
static void test_an_owner_that_has_ended_is_not_brought_back(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order(bench, NODE_DRAIN);
    says(bench, SAID_FROZEN);
    ends(bench, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
    assert_int_equal(record(bench)->want, NODE_WANT_HELD);
    bench->epoch.n++;
    order(bench, NODE_RESUME);
    assert_int_equal(answer_code(bench), ERR_STALE);
    assert_null(effect(bench, NODE_FX_SPAWN));
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
}

static void resume_by(struct bench *bench, const char *id, int64_t by_us)
{
    struct message_command command = command_of(bench, NODE_RESUME);
    str_format(command.id, sizeof(command.id), "%s", id);
    str_format(command.boot_id, sizeof(command.boot_id), "boot-1");
    command.not_after_us = by_us;
    take(bench, &command);
}

/* Somebody else may own once its time is over: then no answered beat makes an owner of it. */
static void test_a_grant_that_waits_too_long_is_none(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    bench->epoch.n++;
    resume_by(bench, "g1", bench->now + 2 * US_PER_S);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(node_deadline(bench->node).us, bench->now + 2 * US_PER_S);
    /* Its repetition makes it live longer, and an older one takes nothing back. */
    bench->now += US_PER_S;
    resume_by(bench, "g1", bench->now + 2 * US_PER_S);
    assert_int_equal(answer_code(bench), 0);
    resume_by(bench, "g1", bench->now + US_PER_S);
    assert_int_equal(node_deadline(bench->node).us, bench->now + 2 * US_PER_S);
    bench->now += 2 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_int_equal(record(bench)->owner.n, 0);
    assert_int_equal(record(bench)->want, NODE_WANT_HELD);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail,
                        "its grant was not used in time");
    renew(bench);
    assert_null(effect(bench, NODE_FX_SAY));
    /* Late it is refused; sent again, under the same name, it is taken anew. */
    resume_by(bench, "g1", bench->now - 1);
    assert_int_equal(answer_code(bench), ERR_STALE);
    resume_by(bench, "g1", bench->now + US_PER_S);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
    assert_int_equal(record(bench)->own_by_us, 0);
    says(bench, SAID_OWNED);
    bench->now += 3 * US_PER_S; /* used, it has no end but its lease's */
    renew(bench);
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

/* The same of one whose process is not there to be told. */
static void test_a_grant_of_the_dead_does_not_wait_for_them(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    ends(bench, 1);
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    bench->epoch.n++;
    resume_by(bench, "g1", bench->now + US_PER_S / 4);
    assert_int_equal(answer_code(bench), 0);
    bench->now += US_PER_S / 2;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(record(bench)->owner.n, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += US_PER_S;
    renew(bench);
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_STARTING);
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_null(effect(bench, NODE_FX_SAY));
}

static void test_a_grant_outlives_the_agent_no_longer(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    bench->epoch.n++;
    resume_by(bench, "g1", bench->now + US_PER_S);
    assert_int_equal(record(bench)->own_by_us, bench->now + US_PER_S);
    restart_agent(bench, &kept);
    adopted(bench, true, true, false);
    bench->now += 2 * US_PER_S;
    renew(bench);
    for (int i = 0; i < bench->effects->count; i++)
        assert_false(bench->effects->list[i].kind == NODE_FX_SAY &&
                     bench->effects->list[i].say.what == SAY_OWN);
    assert_int_equal(record(bench)->owner.n, 0);
}

/* A lease of which little is left would be over before the owner has begun: a new one is asked. */
static void test_no_grant_by_an_old_lease(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    renew(bench);
    bench->now += LEASE_US / 2;
    resume(bench, NULL);
    assert_null(effect(bench, NODE_FX_SAY));
    assert_non_null(effect(bench, NODE_FX_BEAT));
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    renew(bench);
    assert_int_equal(effect(bench, NODE_FX_LEASE)->lease.until_us, bench->now + LEASE_US);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
}

/* It counts from the last answered beat, not from the grant. */
static void test_lease_counts_from_the_beat(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    renew(bench);
    int64_t sent = bench->now;
    bench->now += 3 * US_PER_S;
    resume(bench, NULL);
    assert_int_equal(effect(bench, NODE_FX_LEASE)->lease.until_us, sent + LEASE_US);
    says(bench, SAID_OWNED);
    assert_int_equal(node_deadline(bench->node).us, sent + LEASE_US * 3 / 4);
    renew(bench);
    assert_int_equal(effect(bench, NODE_FX_LEASE)->lease.until_us, bench->now + LEASE_US);
    /* An answer to an older beat takes nothing back. */
    struct node_event older = event_of(bench, NODE_EV_RENEWED);
    older.renewed.sent_us = bench->now - US_PER_S;
    node_step(bench->node, &older, bench->effects);
    assert_int_equal(bench->effects->count, 0);
    /* One that claims to be of later than now is not believed. */
    older.renewed.sent_us = bench->now + US_PER_S;
    node_step(bench->node, &older, bench->effects);
    assert_int_equal(bench->effects->count, 0);
}

static void test_lease_ends(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    int64_t until = bench->now + LEASE_US;
    bench->now += LEASE_US * 3 / 4;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_FREEZE);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.deadline_us, until);
    says_more(bench, SAID_FROZEN, 0, "seq=5");
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_string_equal(told->detail, "lease ended");
    assert_string_equal(told->handed, "seq=5");
    renew(bench); /* heard again, it is no owner by itself */
    assert_int_equal(bench->effects->count, 0);
    resume(bench, "seq=5");
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
}

/* Frozen too late, or not at all: the shim ends it, which is no crash to be started again. */
static void test_killed_at_the_end_of_its_lease(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    bench->now += LEASE_US * 3 / 4;
    happens(bench, NODE_EV_TICK);
    bench->now += LEASE_US / 4;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    ends(bench, 137);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
}

static void test_restarted_in_its_lease_it_owns_again(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    renew(bench);
    resume(bench, "seq=1");
    says(bench, SAID_OWNED);
    struct epoch epoch = record(bench)->owner;
    ends(bench, 9);
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += US_PER_S;
    happens(bench, NODE_EV_TICK);
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
    assert_int_equal(state_of(bench), INSTANCE_STARTING); /* never HELD on the way */
    assert_int_equal(epoch_compare(effect(bench, NODE_FX_SAY)->say.epoch, epoch), 0);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.handed, "seq=1");
    assert_non_null(effect(bench, NODE_FX_LEASE)); /* a new shim */
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    /* Again, but the lease ends before it is back. */
    ends(bench, 9);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += LEASE_US;
    happens(bench, NODE_EV_TICK);
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(record(bench)->detail, "lease ended");
    assert_null(effect(bench, NODE_FX_SAY));
}

/* ---- the agent's own death ---------------------------------------------------------------------
 */

static void test_adopted_owner(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    owner(bench, SPEC_EXCLUSIVE);
    int64_t until = bench->now + LEASE_US;
    restart_agent(bench, &kept);
    adopted_with_lease(bench, until);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_int_equal(bench->effects->count, 0);
    /* No lease of its own: the shim's stands, and it freezes before that ends. */
    assert_int_equal(node_deadline(bench->node).us, until - LEASE_US / 4);
    bench->now += US_PER_S;
    renew(bench);
    assert_int_equal(effect(bench, NODE_FX_LEASE)->lease.until_us, bench->now + LEASE_US);
    restart_agent(bench, &kept);
    adopted_with_lease(bench, 0); /* a shim that knows of none: it must not go on */
    happens(bench, NODE_EV_TICK);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_FREEZE);
}

/* It ended while no agent was there, and its lease as well: another copy may own by now, whatever
 * beats are answered from here on. */
static void test_ended_unseen(void **state)
{
    struct bench *bench = *state;
    for (int over = 0; over <= 1; over++) {
        if (over == 0)
            owner(bench, SPEC_EXCLUSIVE);
        struct node_record kept;
        restart_agent(bench, &kept);
        struct node_event event = event_of(bench, NODE_EV_ADOPTED);
        event.adopted.exit_code = 137;
        event.adopted.lease_us = over == 0 ? bench->now + LEASE_US : bench->now - 1;
        node_step(bench->node, &event, bench->effects);
        renew(bench);
        result(bench, NODE_EV_CLEARED, 0, "");
        bench->now += US_PER_S;
        happens(bench, NODE_EV_TICK);
        result(bench, NODE_EV_SPAWNED, 0, "");
        says(bench, SAID_READY);
        if (over == 0) {
            assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
            says(bench, SAID_OWNED);
            assert_int_equal(state_of(bench), INSTANCE_READY);
        }
    }
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(record(bench)->detail, "lease ended");
    assert_null(effect(bench, NODE_FX_SAY));
}

static void test_adopted_while_freezing(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_DRAIN, 3);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.path, "state.out.3");
    restart_agent(bench, &kept);
    adopted_with_lease(bench, bench->now + LEASE_US);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_FREEZE);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.path, "state.out.3");
    says_more(bench, SAID_FROZEN, 0, "w=4"); /* the shim repeats it */
    assert_non_null(effect(bench, NODE_FX_SHIP));
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
}

static void test_adopted_while_granted(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    renew(bench);
    resume(bench, "h");
    restart_agent(bench, &kept);
    adopted_with_lease(bench, bench->now + LEASE_US);
    assert_null(effect(bench, NODE_FX_SAY)); /* nobody has answered this agent yet */
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    bench->now += US_PER_S;
    renew(bench);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_OWN);
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.handed, "h");
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

/* An earlier agent may have told it to own: drained, it is frozen, not taken for a standby. */
static void test_drained_after_a_grant_nobody_saw(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    start_owner(bench, SPEC_EXCLUSIVE, LEASE_US);
    renew(bench);
    resume(bench, "h");
    restart_agent(bench, &kept);
    adopted_with_lease(bench, bench->now + LEASE_US);
    order(bench, NODE_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_FREEZE);
}

/* A freeze that was taken back, and its late answer: it says nothing about the freeze after. */
static void test_late_answer_to_an_earlier_freeze(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_EXCLUSIVE);
    order(bench, NODE_DRAIN);
    resume(bench, NULL);
    bench->epoch.n++;
    order(bench, NODE_DRAIN);
    says_more(bench, SAID_FROZEN, 0, "first");
    assert_int_equal(state_of(bench), INSTANCE_DRAINING); /* it has still to hear "own" */
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    says_more(bench, SAID_FROZEN, 0, "second");
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(record(bench)->handed, "second");
}

/* What is being killed is not held. */
static void test_drained_while_it_is_killed(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, 0);
    resume(bench, "x");
    says_more(bench, SAID_FAILED, 0, "bad state");
    result(bench, NODE_EV_CLEARED, ERR_IO, "still there");
    order(bench, NODE_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_STOPPING);
}

/* Told again by a later epoch while it owns: what the one before handed over is older than what it
 * has. */
static void test_an_owner_keeps_what_it_has(void **state)
{
    struct bench *bench = *state;
    start_owner(bench, SPEC_EXCLUSIVE, 0);
    resume(bench, "at:9");
    assert_string_equal(effect(bench, NODE_FX_SAY)->say.handed, "at:9");
    says(bench, SAID_OWNED);
    resume(bench, "at:7");
    assert_string_equal(record(bench)->handed, "at:9");
}

static void test_record_of_an_owner_round_trip(void **state)
{
    struct bench *bench = *state;
    owner(bench, SPEC_STATEFUL);
    order_round(bench, NODE_DRAIN, 4);
    says_more(bench, SAID_FROZEN, 0, "w=7");
    struct strbuf text;
    struct arena arena;
    struct node_record back;
    struct error err;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&node_record_shape, record(bench), &text);
    arena_init(&arena, LIMIT_WIRE_BYTES);
    assert_int_equal(wire_decode(&node_record_shape, text.text, text.bytes, 0, &arena, &back, &err),
                     0);
    assert_string_equal(back.handed, "w=7");
    assert_int_equal(back.asked, 4);
    assert_true(back.granted);
    arena_done(&arena);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_ready_is_standby),
        TEST(test_granted_by_the_commands_epoch),
        TEST(test_order_in_a_pause),
        TEST(test_frozen_hands_over),
        TEST(test_a_freeze_is_never_assumed),
        TEST(test_could_not_own_starts_again),
        TEST(test_no_grant_without_a_lease),
        TEST(test_no_grant_by_an_old_lease),
        TEST(test_lease_counts_from_the_beat),
        TEST(test_lease_ends),
        TEST(test_killed_at_the_end_of_its_lease),
        TEST(test_restarted_in_its_lease_it_owns_again),
        TEST(test_adopted_owner),
        TEST(test_ended_unseen),
        TEST(test_adopted_while_freezing),
        TEST(test_adopted_while_granted),
        TEST(test_an_owner_that_has_ended_is_not_brought_back),
        TEST(test_a_grant_that_waits_too_long_is_none),
        TEST(test_a_grant_of_the_dead_does_not_wait_for_them),
        TEST(test_a_grant_outlives_the_agent_no_longer),
        TEST(test_drained_after_a_grant_nobody_saw),
        TEST(test_late_answer_to_an_earlier_freeze),
        TEST(test_drained_while_it_is_killed),
        TEST(test_an_owner_keeps_what_it_has),
        TEST(test_record_of_an_owner_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
