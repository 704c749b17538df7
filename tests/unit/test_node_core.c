/* The node machine: fences, idempotence, the life of an instance, recovery after a restart. */
#include "tests/unit/node_bench.h"

static void test_life(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.state, INSTANCE_READY);
    order(bench, NODE_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_DRAIN);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.deadline_us, bench->now + 2 * US_PER_S);
    says(bench, SAID_DRAINED);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    order(bench, NODE_RESUME);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_RESUME);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    says(bench, SAID_RESUMED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    order(bench, NODE_STOP);
    assert_int_equal(state_of(bench), INSTANCE_STOPPING);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_STOP);
    ends(bench, 0);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    assert_int_equal(state_of(bench), INSTANCE_STOPPING);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
    order(bench, NODE_FORGET);
    /* Seed 1124 of tests/fault: between a record's end and its tombstone nobody may die. */
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    assert_int_equal(bench->effects->list[0].record.state, INSTANCE_ABSENT);
    assert_true(effect(bench, NODE_FX_ERASE)->folder_only);
    assert_int_equal(answer_code(bench), 0);
}

/* Whatever else a step emits, the disk comes before the world. */
static void test_persist_comes_first(void **state)
{
    struct bench *bench = *state;
    order(bench, NODE_START);
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    assert_int_equal(bench->effects->list[0].record.state, INSTANCE_STAGING);
    result(bench, NODE_EV_FETCHED, 0, "");
    assert_int_equal(bench->effects->list[0].kind, NODE_FX_PERSIST);
    assert_int_equal(bench->effects->list[0].record.state, INSTANCE_STARTING);
    assert_int_equal(bench->effects->list[bench->effects->count - 1].kind, NODE_FX_SPAWN);
}

static void test_lower_epochs_are_refused(void **state)
{
    struct bench *bench = *state;
    bench->epoch = (struct epoch){2, 7};
    to_ready(bench);
    struct message_command late = command_of(bench, NODE_STOP);
    late.epoch = (struct epoch){2, 6};
    take(bench, &late);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    /* A term below the node's highest is refused for any instance. */
    struct message_command other = command_of(bench, NODE_START);
    other.spec = spec_of(READY_CONTRACT, true);
    str_format(other.instance, sizeof(other.instance), "i2");
    other.epoch = (struct epoch){1, 99};
    take(bench, &other);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    assert_int_equal(node_record_count(bench->node), 1);
}

static void test_late_start_finds_the_tombstone(void **state)
{
    struct bench *bench = *state;
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_CONTRACT, true);
    bench->epoch.n = 2;
    order(bench, NODE_STOP);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.state, INSTANCE_STOPPED);
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    start.epoch = bench->epoch; /* equal is not later */
    str_format(start.id, sizeof(start.id), "again");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    assert_null(effect(bench, NODE_FX_FETCH));
    /* Forgotten is not forgiven. */
    order(bench, NODE_FORGET);
    str_format(start.id, sizeof(start.id), "once-more");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    start.epoch.n = 3;
    str_format(start.id, sizeof(start.id), "later");
    take(bench, &start);
    assert_int_equal(answer_code(bench), 0);
    assert_non_null(effect(bench, NODE_FX_FETCH));
}

static void test_not_after(void **state)
{
    struct bench *bench = *state;
    struct message_command command = command_of(bench, NODE_START);
    command.spec = spec_of(READY_CONTRACT, true);
    str_format(command.boot_id, sizeof(command.boot_id), "boot-1");
    command.not_after_us = bench->now - 1;
    take(bench, &command);
    assert_int_equal(answer_code(bench), ERR_STALE);
    str_format(command.id, sizeof(command.id), "other");
    str_format(command.boot_id, sizeof(command.boot_id), "boot-0");
    command.not_after_us = bench->now + US_PER_S;
    take(bench, &command);
    assert_int_equal(answer_code(bench), ERR_STALE);
    str_format(command.id, sizeof(command.id), "third");
    str_format(command.boot_id, sizeof(command.boot_id), "boot-1");
    take(bench, &command);
    assert_int_equal(answer_code(bench), 0);
}

static void test_a_repeat_gets_the_first_answer(void **state)
{
    struct bench *bench = *state;
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_CONTRACT, true);
    take(bench, &start);
    assert_int_equal(answer_code(bench), 0);
    bench->epoch.n = 5;
    order(bench, NODE_STOP); /* staging: stopped at once */
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
    take(bench, &start);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(bench->effects->count, 1);
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
    struct message_command drain = command_of(bench, NODE_DRAIN);
    take(bench, &drain);
    assert_int_equal(answer_code(bench), ERR_STALE);
    take(bench, &drain);
    assert_int_equal(answer_code(bench), ERR_STALE);
}

static void test_fetch_of_an_earlier_life_does_not_count(void **state)
{
    struct bench *bench = *state;
    order(bench, NODE_START);
    bench->epoch.n = 2;
    order(bench, NODE_STOP);
    bench->epoch.n = 3;
    order(bench, NODE_START);
    assert_null(effect(bench, NODE_FX_FETCH));
    result(bench, NODE_EV_FETCHED, 0, "");
    assert_null(effect(bench, NODE_FX_SPAWN));
    assert_non_null(effect(bench, NODE_FX_FETCH));
    result(bench, NODE_EV_FETCHED, 0, "");
    assert_non_null(effect(bench, NODE_FX_SPAWN));
}

static void test_staging_refused(void **state)
{
    struct bench *bench = *state;
    order(bench, NODE_STAGE);
    result(bench, NODE_EV_FETCHED, ERR_CORRUPT, "digest is sha256:aa, expected sha256:bb");
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->error_code, ERR_CORRUPT);
    assert_string_equal(told->detail, "digest is sha256:aa, expected sha256:bb");
}

static void test_never_ready(void **state)
{
    struct bench *bench = *state;
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_TCP, false);
    take(bench, &start);
    result(bench, NODE_EV_FETCHED, 0, "");
    result(bench, NODE_EV_SPAWNED, 0, "");
    assert_non_null(effect(bench, NODE_FX_JUDGE));
    struct node_event judged = event_of(bench, NODE_EV_JUDGED);
    str_format(judged.text, sizeof(judged.text), "connection refused");
    node_step(bench->node, &judged, bench->effects);
    assert_int_equal(node_deadline(bench->node).us, bench->now + 100);
    bench->now += 5 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    assert_int_equal(state_of(bench), INSTANCE_STARTING); /* not failed while a process may live */
    ends(bench, 137);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_int_equal(told->error_code, ERR_TIMEOUT);
    assert_non_null(strstr(told->detail, "connection refused"));
}

static void test_restart_with_backoff(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    int64_t backoff_us = US_PER_S;
    for (int i = 0; i < 2; i++) {
        ends(bench, 3);
        assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
        assert_int_equal(effect(bench, NODE_FX_REPORT)->report.instance.exit_code, 3);
        assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail,
                            "ended by itself with status 3");
        assert_non_null(effect(bench, NODE_FX_CLEAR));
        result(bench, NODE_EV_CLEARED, 0, "");
        assert_null(effect(bench, NODE_FX_SPAWN));
        assert_int_equal(node_deadline(bench->node).us, bench->now + backoff_us);
        bench->now += backoff_us;
        happens(bench, NODE_EV_TICK);
        assert_non_null(effect(bench, NODE_FX_SPAWN));
        result(bench, NODE_EV_SPAWNED, 0, "");
        says(bench, SAID_READY);
        assert_int_equal(record(bench)->restarts, i + 1);
        backoff_us *= 2;
    }
    ends(bench, 3);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
    assert_int_equal(record(bench)->error_code, ERR_LIMIT);
}

static void test_patience_returns_after_the_window(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    for (int i = 0; i < 6; i++) {
        ends(bench, 1);
        result(bench, NODE_EV_CLEARED, 0, "");
        assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
        bench->now += 600 * US_PER_S;
        happens(bench, NODE_EV_TICK);
        result(bench, NODE_EV_SPAWNED, 0, "");
        says(bench, SAID_READY);
    }
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

static void test_drain_deadline(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    order(bench, NODE_DRAIN);
    bench->now += 2 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_string_equal(record(bench)->detail, "drain deadline passed");
}

static void test_end_while_draining_is_an_end(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    order(bench, NODE_DRAIN);
    ends(bench, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
    /* The scheduler goes back: it serves again, by a new start. */
    order(bench, NODE_RESUME);
    assert_int_equal(answer_code(bench), 0);
    assert_non_null(effect(bench, NODE_FX_SPAWN));
    assert_int_equal(state_of(bench), INSTANCE_STARTING);
}

static void test_drain_while_resuming(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    order(bench, NODE_DRAIN);
    says(bench, SAID_DRAINED);
    order(bench, NODE_RESUME);
    order(bench, NODE_DRAIN);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    says(bench, SAID_RESUMED); /* the answer to the earlier word */
    assert_int_equal(state_of(bench), INSTANCE_DRAINING);
    says(bench, SAID_DRAINED);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
}

static void test_no_resume_in_time_starts_again(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    order(bench, NODE_DRAIN);
    says(bench, SAID_DRAINED);
    order(bench, NODE_RESUME);
    bench->now += 5 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    ends(bench, 137);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    assert_int_equal(record(bench)->restarts, 1);
}

static void test_without_contract(void **state)
{
    struct bench *bench = *state;
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_NONE, false);
    take(bench, &start);
    result(bench, NODE_EV_FETCHED, 0, "");
    result(bench, NODE_EV_SPAWNED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STARTING);
    bench->now += 100;
    happens(bench, NODE_EV_TICK);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    order(bench, NODE_DRAIN);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    order(bench, NODE_RESUME);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    order(bench, NODE_STOP);
    assert_non_null(effect(bench, NODE_FX_TERM));
    bench->now += 3 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    result(bench, NODE_EV_CLEARED, ERR_IO, "the cgroup still has processes");
    assert_int_equal(state_of(bench), INSTANCE_STOPPING);
    bench->now += US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
}

static void test_stop_while_spawning(void **state)
{
    struct bench *bench = *state;
    order(bench, NODE_START);
    result(bench, NODE_EV_FETCHED, 0, "");
    order(bench, NODE_STOP);
    assert_null(effect(bench, NODE_FX_SAY));
    result(bench, NODE_EV_SPAWNED, 0, "");
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_STOP);
    ends(bench, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_STOPPED);
}

static void test_spawn_refused_for_good(void **state)
{
    struct bench *bench = *state;
    order(bench, NODE_START);
    result(bench, NODE_EV_FETCHED, 0, "");
    result(bench, NODE_EV_SPAWNED, ERR_CORRUPT, "the stored artifact has another digest");
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
    assert_int_equal(record(bench)->error_code, ERR_CORRUPT);
}

static void test_adoption(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    bench->epoch = (struct epoch){3, 4};
    to_ready(bench);
    restart_agent(bench, &kept);
    adopted(bench, true, true, false);
    assert_int_equal(bench->effects->count, 0);
    happens(bench, NODE_EV_CONNECTED);
    const struct message_hello *hello = &effect(bench, NODE_FX_HELLO)->hello;
    assert_int_equal(hello->instance_count, 1);
    assert_int_equal(hello->instances[0].state, INSTANCE_READY);
    assert_int_equal(hello->epoch.term, 3);
    /* The fence is still there. */
    bench->epoch = (struct epoch){3, 3};
    order(bench, NODE_STOP);
    assert_int_equal(answer_code(bench), ERR_DENIED);
}

static void test_gone_while_the_agent_was_away(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    to_ready(bench);
    restart_agent(bench, &kept);
    adopted(bench, false, true, false);
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    assert_int_equal(record(bench)->exit_code, 9);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    result(bench, NODE_EV_CLEARED, 0, "");
    restart_agent(bench, &kept);
    happens(bench, NODE_EV_TICK); /* no shim at all */
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    result(bench, NODE_EV_CLEARED, 0, "");
    assert_int_equal(record(bench)->exit_code, 9);
    bench->now += 60 * US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_SPAWN));
}

static void test_adoption_goes_on_with_what_was_under_way(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    to_ready(bench);
    order(bench, NODE_DRAIN);
    restart_agent(bench, &kept);
    adopted(bench, true, true, false);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_DRAIN);
    restart_agent(bench, &kept);
    adopted(bench, true, true, true);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    order(bench, NODE_STOP);
    restart_agent(bench, &kept);
    adopted(bench, true, true, true);
    assert_int_equal(effect(bench, NODE_FX_SAY)->say.what, SAY_STOP);
    /* A process of which the record says that it is gone is killed. */
    kept = *record(bench);
    ends(bench, 0);
    result(bench, NODE_EV_CLEARED, 0, "");
    restart_agent(bench, &kept);
    adopted(bench, true, false, false);
    assert_non_null(effect(bench, NODE_FX_CLEAR));
}

static void test_probe(void **state)
{
    struct bench *bench = *state;
    struct message_command probe = command_of(bench, NODE_PROBE);
    str_format(probe.instance, sizeof(probe.instance), "far");
    str_format(probe.subject, sizeof(probe.subject), "berth.v1.at.shop.front.far");
    probe.probe_count = 3;
    take(bench, &probe);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(effect(bench, NODE_FX_PROBE)->probe.count, 3);
    take(bench, &probe); /* under way already */
    assert_null(effect(bench, NODE_FX_PROBE));
    struct node_event event = {.kind = NODE_EV_PROBED, .at = {bench->now}};
    str_format(event.probed.id, sizeof(event.probed.id), "%s", probe.id);
    event.probed.sent = 3;
    event.probed.answered = 2;
    node_step(bench->node, &event, bench->effects);
    assert_int_equal(effect(bench, NODE_FX_PROBED)->probed.answered, 2);
    assert_string_equal(effect(bench, NODE_FX_PROBED)->probed.node, "n1");
    take(bench, &probe); /* its outcome may have been lost: probed again */
    assert_non_null(effect(bench, NODE_FX_PROBE));
}

static void test_another_spec_for_a_living_instance(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_CONTRACT, true);
    str_format(start.spec.workload, sizeof(start.spec.workload), "back");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_EXISTS);
    assert_string_equal(record(bench)->spec.workload, "front");
}

static void test_bad_names_are_refused(void **state)
{
    struct bench *bench = *state;
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_CONTRACT, true);
    str_format(start.instance, sizeof(start.instance), "../../etc");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_INVALID);
    str_format(start.instance, sizeof(start.instance), "i1");
    str_format(start.spec.app, sizeof(start.spec.app), "a.b");
    take(bench, &start);
    assert_int_equal(answer_code(bench), ERR_INVALID);
    assert_int_equal(node_record_count(bench->node), 0);
}

static void test_full_table(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct message_command stop = command_of(bench, NODE_STOP);
        str_format(stop.instance, sizeof(stop.instance), "t%d", i);
        take(bench, &stop);
        assert_int_equal(answer_code(bench), 0);
    }
    order(bench, NODE_START); /* the oldest tombstone makes room */
    assert_int_equal(answer_code(bench), 0);
    assert_string_equal(effect(bench, NODE_FX_ERASE)->instance, "t0");
    assert_int_equal(node_record_count(bench->node), LIMIT_NODE_INSTANCES);
}

static void test_record_round_trip(void **state)
{
    struct bench *bench = *state;
    to_ready(bench);
    struct strbuf text;
    strbuf_init(&text, LIMIT_WIRE_BYTES);
    wire_encode(&node_record_shape, record(bench), &text);
    struct arena arena;
    arena_init(&arena, LIMIT_WIRE_BYTES);
    struct node_record back;
    struct error err;
    assert_int_equal(wire_decode(&node_record_shape, text.text, text.bytes, 0, &arena, &back, &err),
                     0);
    assert_int_equal(back.state, INSTANCE_READY);
    assert_int_equal(back.want, NODE_WANT_SERVE);
    assert_string_equal(back.spec.workload, "front");
    arena_done(&arena);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_life),
        TEST(test_persist_comes_first),
        TEST(test_lower_epochs_are_refused),
        TEST(test_late_start_finds_the_tombstone),
        TEST(test_not_after),
        TEST(test_a_repeat_gets_the_first_answer),
        TEST(test_fetch_of_an_earlier_life_does_not_count),
        TEST(test_staging_refused),
        TEST(test_never_ready),
        TEST(test_restart_with_backoff),
        TEST(test_patience_returns_after_the_window),
        TEST(test_drain_deadline),
        TEST(test_end_while_draining_is_an_end),
        TEST(test_drain_while_resuming),
        TEST(test_no_resume_in_time_starts_again),
        TEST(test_without_contract),
        TEST(test_stop_while_spawning),
        TEST(test_spawn_refused_for_good),
        TEST(test_adoption),
        TEST(test_gone_while_the_agent_was_away),
        TEST(test_adoption_goes_on_with_what_was_under_way),
        TEST(test_probe),
        TEST(test_another_spec_for_a_living_instance),
        TEST(test_bad_names_are_refused),
        TEST(test_full_table),
        TEST(test_record_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
