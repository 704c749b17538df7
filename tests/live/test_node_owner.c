/*
 * Owners on a real berth-node: handed over with their state, kept by leases that the shim ends, and
 * probed while they live. The rig is the scheduler.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/jetstream.h"
#include "base/bus/subjects.h"
#include "base/str.h"
#include "tests/live/node_rig.h"

#define WAIT_US (60 * US_PER_S)

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    struct error err;
    rig_open(&rig);
    if (object_bucket_ensure(rig.bus, BUCKET_STATE, &err) < 0)
        fail_msg("%s", err.text);
    rig_agent_start(&rig, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static struct message_spec owner_spec(enum spec_class class, int64_t lease_us,
                                      const char *const *args)
{
    struct message_spec spec = rig_spec(args);
    spec.handoff = (int)class;
    spec.lease_us = lease_us;
    rig_artifact(&spec, BERTH_BINARY_DIR "/bin/test-owner");
    return spec;
}

static void standby(const char *instance, const struct message_spec *spec)
{
    assert_int_equal(rig_order(&rig, NODE_START, instance, spec), 0);
    rig_await(&rig, instance, INSTANCE_HELD);
    assert_string_equal(rig_seen(&rig, instance)->detail, "standby");
}

/* The epoch that it owns by is the command's. */
static void grant(const char *instance, const char *handed)
{
    struct message_command command = {.verb = NODE_RESUME, .handed = handed};
    assert_int_equal(rig_command(&rig, &command, instance), 0);
    rig_await(&rig, instance, INSTANCE_READY);
}

static void command_round(enum node_verb verb, const char *instance, int round,
                          const struct message_object *object)
{
    struct message_command command = {.verb = (int)verb, .round = round};
    if (object != NULL)
        command.object = *object;
    assert_int_equal(rig_command(&rig, &command, instance), 0);
}

static void await_round(const char *instance, int round)
{
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_seen(&rig, instance)->round != round && clock_mono_now().us < until) {
        if (rig_seen(&rig, instance)->error_code != 0)
            fail_msg("%s: %s", instance, rig_seen(&rig, instance)->detail);
        rig_turn(&rig);
    }
    assert_int_equal(rig_seen(&rig, instance)->round, round);
}

static int64_t number(const char *instance, const char *name)
{
    char text[64];
    rig_read(&rig, instance, name, text, sizeof(text));
    return (int64_t)strtoll(text, NULL, 10);
}

static void await_gone(pid_t pid)
{
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_is_alive(pid) && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_false(rig_is_alive(pid));
}

static void test_exclusive_is_handed_over(void **state)
{
    (void)state;
    static const char *const args[] = {"rate=2000", NULL};
    struct message_spec spec = owner_spec(SPEC_EXCLUSIVE, 0, args);
    standby("x-old", &spec);
    grant("x-old", NULL);
    standby("x-new", &spec);
    (void)usleep(50000);
    command_round(NODE_DRAIN, "x-old", 0, NULL);
    const struct message_instance *old = rig_await(&rig, "x-old", INSTANCE_HELD);
    char handed[64];
    str_format(handed, sizeof(handed), "%.63s", old->handed);
    assert_true(str_starts(handed, "writes="));
    assert_true(strtoll(handed + 7, NULL, 10) > 0);
    grant("x-new", handed);
    /* Its process ends: it comes back as the owner, by what it was given. */
    pid_t pid = rig_pid(&rig, "x-new", "pid");
    int restarts = rig_seen(&rig, "x-new")->restarts;
    assert_int_equal(kill(pid, SIGKILL), 0);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_seen(&rig, "x-new")->restarts == restarts && clock_mono_now().us < until)
        rig_turn(&rig);
    rig_await(&rig, "x-new", INSTANCE_READY);
    /* And back to the old one, by a new epoch. */
    command_round(NODE_DRAIN, "x-new", 0, NULL);
    rig_await(&rig, "x-new", INSTANCE_HELD);
    str_format(handed, sizeof(handed), "%.63s", rig_seen(&rig, "x-new")->handed);
    grant("x-old", handed);
    assert_int_equal(rig_order(&rig, NODE_STOP, "x-new", NULL), 0);
    rig_await(&rig, "x-new", INSTANCE_STOPPED);
}

/* 64 MB of which one per cent changes each second: rounds while it serves, then the last delta. The
 * new owner refuses when one write is missing. */
static void move_state(const char *from, const char *to, const struct message_spec *spec)
{
    standby(to, spec);
    for (int round = 1; round <= 3; round++) {
        command_round(NODE_SNAPSHOT, from, round, NULL);
        await_round(from, round);
        assert_int_equal(rig_seen(&rig, from)->state, INSTANCE_READY);
        struct message_object object = rig_seen(&rig, from)->object;
        command_round(NODE_RESTORE, to, round, &object);
        await_round(to, round);
    }
    command_round(NODE_DRAIN, from, 4, NULL);
    rig_await(&rig, from, INSTANCE_HELD);
    assert_int_equal(rig_seen(&rig, from)->round, 4);
    struct message_object object = rig_seen(&rig, from)->object;
    command_round(NODE_RESTORE, to, 4, &object);
    await_round(to, 4);
    grant(to, rig_seen(&rig, from)->handed);
    int64_t until = clock_mono_now().us + WAIT_US;
    while ((number(to, "owned") == 0 || number(from, "frozen") == 0) && clock_mono_now().us < until)
        rig_turn(&rig);
    print_message("  pause %" PRId64 " us, last delta %" PRId64 " bytes\n",
                  number(to, "owned") - number(from, "frozen"), object.bytes);
}

static void test_stateful_is_shipped(void **state)
{
    (void)state;
    static const char *const args[] = {"pages=16384", "rate=160", NULL};
    struct message_spec spec = owner_spec(SPEC_STATEFUL, 0, args);
    standby("s1", &spec);
    grant("s1", NULL);
    move_state("s1", "s2", &spec);
    assert_int_equal(rig_order(&rig, NODE_STOP, "s1", NULL), 0);
    rig_await(&rig, "s1", INSTANCE_STOPPED);
    struct message_object object = rig_seen(&rig, "s1")->object;
    struct object_info info;
    struct error err;
    assert_int_equal(object_stat(rig.bus, BUCKET_STATE, object.digest + 7, &info, &err), 0);
    assert_int_equal(info.bytes, object.bytes);
    /* Forgotten, it leaves nothing in the store. */
    assert_int_equal(rig_order(&rig, NODE_FORGET, "s1", NULL), 0);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (object_stat(rig.bus, BUCKET_STATE, object.digest + 7, &info, &err) != ERR_NOT_FOUND &&
           clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(object_stat(rig.bus, BUCKET_STATE, object.digest + 7, &info, &err),
                     ERR_NOT_FOUND);
    /* What came in and went out is gone from the folder too. */
    char text[16];
    rig_read(&rig, "s2", "state.in.4", text, sizeof(text));
    assert_string_equal(text, "");
}

/* A state that is not what its digest says is never given to anybody. */
static void test_wrong_object_is_refused(void **state)
{
    (void)state;
    static const char *const args[] = {"pages=4", NULL};
    struct message_spec spec = owner_spec(SPEC_STATEFUL, 0, args);
    standby("w1", &spec);
    struct message_object object = {.bytes = 10};
    str_format(object.digest, sizeof(object.digest), "sha256:%064d", 7);
    command_round(NODE_RESTORE, "w1", 1, &object);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_seen(&rig, "w1")->error_code == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(rig_seen(&rig, "w1")->error_code, ERR_NOT_FOUND);
    assert_int_equal(rig_seen(&rig, "w1")->state, INSTANCE_HELD);
    assert_int_equal(rig_seen(&rig, "w1")->round, 0);
    assert_int_equal(rig_order(&rig, NODE_STOP, "w1", NULL), 0);
    rig_await(&rig, "w1", INSTANCE_STOPPED);
}

static void test_lease_ends_and_it_freezes(void **state)
{
    (void)state;
    static const char *const args[] = {"rate=100", NULL};
    struct message_spec spec = owner_spec(SPEC_EXCLUSIVE, 4 * US_PER_S, args);
    standby("l1", &spec);
    grant("l1", NULL);
    pid_t pid = rig_pid(&rig, "l1", "pid");
    rig.silent = true;
    const struct message_instance *seen = rig_await(&rig, "l1", INSTANCE_HELD);
    assert_string_equal(seen->detail, "lease ended");
    assert_true(str_starts(seen->handed, "writes="));
    assert_true(rig_is_alive(pid)); /* it has frozen: it may stay */
    rig.silent = false;
    grant("l1", seen->handed); /* heard again, it is made the owner again */
    assert_int_equal(rig_pid(&rig, "l1", "pid"), pid);
    assert_int_equal(rig_order(&rig, NODE_STOP, "l1", NULL), 0);
    rig_await(&rig, "l1", INSTANCE_STOPPED);
}

/* It does not freeze: the shim kills it at the lease's end, also when no agent lives. */
static void test_lease_ends_by_the_shim(void **state)
{
    (void)state;
    static const char *const args[] = {"deaf", NULL};
    struct message_spec spec = owner_spec(SPEC_EXCLUSIVE, 3 * US_PER_S, args);
    standby("l2", &spec);
    grant("l2", NULL);
    pid_t pid = rig_pid(&rig, "l2", "pid");
    rig.silent = true;
    await_gone(pid);
    rig_await(&rig, "l2", INSTANCE_STOPPED);
    rig.silent = false;
    standby("l3", &spec);
    grant("l3", NULL);
    pid = rig_pid(&rig, "l3", "pid");
    rig_agent_kill(&rig);
    assert_true(rig_is_alive(pid));
    await_gone(pid);
    rig_agent_start(&rig, NULL);
    /* No agent was there to see it end: started again, it is no owner until it is made one. */
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_seen(&rig, "l3")->restarts == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(rig_seen(&rig, "l3")->restarts, 1);
    assert_int_equal(rig_order(&rig, NODE_STOP, "l3", NULL), 0);
    rig_await(&rig, "l3", INSTANCE_STOPPED);
}

/* A restarted agent finds the owner, whose lease its beats renew before the shim ends it. */
static void test_agent_restarts_under_an_owner(void **state)
{
    (void)state;
    static const char *const args[] = {"rate=100", NULL};
    struct message_spec spec = owner_spec(SPEC_EXCLUSIVE, 8 * US_PER_S, args);
    standby("l4", &spec);
    grant("l4", NULL);
    pid_t pid = rig_pid(&rig, "l4", "pid");
    rig_agent_kill(&rig);
    rig_agent_start(&rig, NULL);
    int64_t until = clock_mono_now().us + 9 * US_PER_S;
    while (clock_mono_now().us < until)
        rig_turn(&rig);
    assert_true(rig_is_alive(pid));
    assert_int_equal(rig_seen(&rig, "l4")->state, INSTANCE_READY);
    command_round(NODE_DRAIN, "l4", 0, NULL);
    rig_await(&rig, "l4", INSTANCE_HELD);
    assert_int_equal(rig_order(&rig, NODE_STOP, "l4", NULL), 0);
    rig_await(&rig, "l4", INSTANCE_STOPPED);
}

static void test_freeze_that_fails(void **state)
{
    (void)state;
    static const char *const args[] = {"stuck", NULL};
    struct message_spec spec = owner_spec(SPEC_EXCLUSIVE, 0, args);
    standby("f1", &spec);
    grant("f1", NULL);
    command_round(NODE_DRAIN, "f1", 0, NULL);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig_seen(&rig, "f1")->error_code == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(rig_seen(&rig, "f1")->state, INSTANCE_READY);
    assert_string_equal(rig_seen(&rig, "f1")->detail, "could not freeze: stuck");
    assert_int_equal(rig_order(&rig, NODE_STOP, "f1", NULL), 0);
    rig_await(&rig, "f1", INSTANCE_STOPPED);
}

static void make_file(const char *instance, const char *name)
{
    char path[800];
    str_format(path, sizeof(path), "%s/instances/%s/%s", rig.state, instance, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
}

/* Probes by command: the file "bad" makes it not ready, "dead" not alive. */
static void test_health(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    spec.ready = (struct message_ready){.kind = READY_COMMAND,
                                        .target = "test ! -e bad",
                                        .period_us = 50 * US_PER_MS,
                                        .timeout_us = 5 * US_PER_S,
                                        .failures = 2};
    spec.live = (struct message_ready){.kind = READY_COMMAND,
                                       .target = "test ! -e dead",
                                       .period_us = 50 * US_PER_MS,
                                       .timeout_us = 5 * US_PER_S,
                                       .failures = 2};
    assert_int_equal(rig_order(&rig, NODE_START, "h1", &spec), 0);
    rig_await(&rig, "h1", INSTANCE_READY);
    pid_t pid = rig_pid(&rig, "h1", "pid");
    make_file("h1", "bad");
    rig_await(&rig, "h1", INSTANCE_UNREADY);
    assert_true(rig_is_alive(pid));
    char path[800];
    str_format(path, sizeof(path), "%s/instances/h1/bad", rig.state);
    assert_int_equal(unlink(path), 0);
    rig_await(&rig, "h1", INSTANCE_READY);
    make_file("h1", "dead");
    const struct message_instance *seen = rig_await(&rig, "h1", INSTANCE_BACKOFF);
    assert_non_null(strstr(seen->detail, "was not alive"));
    str_format(path, sizeof(path), "%s/instances/h1/dead", rig.state);
    assert_int_equal(unlink(path), 0);
    await_gone(pid);
    rig_await(&rig, "h1", INSTANCE_READY);
    assert_int_equal(rig_order(&rig, NODE_STOP, "h1", NULL), 0);
    rig_await(&rig, "h1", INSTANCE_STOPPED);
}

/* An HTTP workload has an address of its own, and the same one after its process was started
 * again, by this agent or the next. */
static void test_address(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    spec.http = true;
    assert_int_equal(rig_order(&rig, NODE_START, "a1", &spec), 0);
    assert_int_equal(rig_order(&rig, NODE_START, "a2", &spec), 0);
    char first[LIMIT_NAME_BYTES];
    memcpy(first, rig_await(&rig, "a1", INSTANCE_READY)->endpoint, sizeof(first));
    assert_true(str_starts(first, "127.0.0.1:"));
    assert_string_not_equal(rig_await(&rig, "a2", INSTANCE_READY)->endpoint, first);
    assert_int_equal(kill(rig_pid(&rig, "a1", "pid"), SIGKILL), 0);
    rig_await(&rig, "a1", INSTANCE_BACKOFF);
    assert_string_equal(rig_await(&rig, "a1", INSTANCE_READY)->endpoint, first);
    char start[16384];
    rig_read(&rig, "a1", "start", start, sizeof(start));
    rig_agent_kill(&rig);
    rig_agent_start(&rig, NULL);
    assert_int_equal(kill(rig_pid(&rig, "a1", "pid"), SIGKILL), 0);
    rig_await(&rig, "a1", INSTANCE_BACKOFF);
    assert_string_equal(rig_await(&rig, "a1", INSTANCE_READY)->endpoint, first);
    assert_int_equal(rig_order(&rig, NODE_STOP, "a1", NULL), 0);
    assert_int_equal(rig_order(&rig, NODE_STOP, "a2", NULL), 0);
    rig_await(&rig, "a1", INSTANCE_STOPPED);
    rig_await(&rig, "a2", INSTANCE_STOPPED);
}

/* This node has no ingress: it says so, it does not pretend. */
static void test_route_without_ingress(void **state)
{
    (void)state;
    struct message_command command = {.verb = NODE_ROUTE};
    str_format(command.route.namespace_, LIMIT_NAME_BYTES, "shop");
    str_format(command.route.app, LIMIT_NAME_BYTES, "web");
    str_format(command.route.workload, LIMIT_NAME_BYTES, "front");
    str_format(command.route.path, sizeof(command.route.path), "/");
    assert_int_equal(rig_command(&rig, &command, "front"), ERR_UNSUPPORTED);
    assert_non_null(strstr(rig.text, "--ingress"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusive_is_handed_over),
        cmocka_unit_test(test_stateful_is_shipped),
        cmocka_unit_test(test_wrong_object_is_refused),
        cmocka_unit_test(test_lease_ends_and_it_freezes),
        cmocka_unit_test(test_lease_ends_by_the_shim),
        cmocka_unit_test(test_agent_restarts_under_an_owner),
        cmocka_unit_test(test_freeze_that_fails),
        cmocka_unit_test(test_health),
        cmocka_unit_test(test_address),
        cmocka_unit_test(test_route_without_ingress),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
