/* berth-node on a real nats-server: the whole life of a workload, and the agent's own deaths. */
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/live/node_rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    rig_open(&rig);
    rig_agent_start(&rig, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static void test_contract(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    assert_int_equal(rig_order(&rig, NODE_STAGE, "life", &spec), 0);
    rig_await(&rig, "life", INSTANCE_STAGED);
    assert_int_equal(rig_order(&rig, NODE_START, "life", &spec), 0);
    rig_await(&rig, "life", INSTANCE_READY);
    pid_t pid = rig_pid(&rig, "life", "pid");
    assert_int_equal(rig_order(&rig, NODE_DRAIN, "life", NULL), 0);
    rig_await(&rig, "life", INSTANCE_HELD);
    assert_true(rig_is_alive(pid));
    assert_int_equal(rig_order(&rig, NODE_RESUME, "life", NULL), 0);
    rig_await(&rig, "life", INSTANCE_READY);
    assert_int_equal(rig_order(&rig, NODE_FORGET, "life", NULL), ERR_STALE);
    assert_int_equal(rig_order(&rig, NODE_STOP, "life", NULL), 0);
    assert_int_equal(rig_await(&rig, "life", INSTANCE_STOPPED)->exit_code, 0);
    assert_false(rig_is_alive(pid));
    assert_int_equal(rig_order(&rig, NODE_FORGET, "life", NULL), 0);
    /* Its folder goes once the answer is out: nobody waits for that. */
    char text[64];
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    do {
        rig_turn(&rig);
        rig_read(&rig, "life", "pid", text, sizeof(text));
    } while (text[0] != '\0' && clock_mono_now().us < until);
    assert_string_equal(text, "");
}

static void test_metrics_and_logs(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    assert_int_equal(rig_order(&rig, NODE_START, "metered", &spec), 0);
    rig_await(&rig, "metered", INSTANCE_READY);
    memset(rig.counters, 0, sizeof(rig.counters));
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while ((rig.counters[SAMPLE_REQUESTS] < 3 || rig.counters[SAMPLE_RTT_US] == 0) &&
           clock_mono_now().us < until)
        rig_turn(&rig);
    assert_true(rig.counters[SAMPLE_REQUESTS] >= 3);
    assert_true(rig.counters[SAMPLE_CPU_NS] > 0);
    assert_true(rig.counters[SAMPLE_MEMORY_BYTES] > 0);
    assert_true(rig.counters[SAMPLE_RTT_US] > 0);
    assert_int_equal(rig_order(&rig, NODE_DRAIN, "metered", NULL), 0);
    rig_await(&rig, "metered", INSTANCE_HELD);
    until = clock_mono_now().us + 30 * US_PER_S;
    while (strstr(rig.last_log, "draining") == NULL && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_non_null(strstr(rig.last_log, "\"text\":\"draining\""));
}

static void test_restart_after_a_crash(void **state)
{
    (void)state;
    static const char *const once[] = {"crash-once", NULL};
    static const char *const always[] = {"crash", NULL};
    struct message_spec spec = rig_spec(once);
    assert_int_equal(rig_order(&rig, NODE_START, "once", &spec), 0);
    assert_int_equal(rig_await(&rig, "once", INSTANCE_READY)->restarts, 1);
    spec = rig_spec(always);
    assert_int_equal(rig_order(&rig, NODE_START, "always", &spec), 0);
    const struct message_instance *seen = rig_await(&rig, "always", INSTANCE_FAILED);
    assert_int_equal(seen->restarts, 3);
    assert_int_equal(seen->exit_code, 7);
    assert_int_equal(seen->error_code, ERR_LIMIT);
    /* Killed from outside: started again, another process. */
    pid_t pid = rig_pid(&rig, "once", "pid");
    assert_int_equal(kill(pid, SIGKILL), 0);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (rig_seen(&rig, "once")->restarts < 2 && clock_mono_now().us < until)
        rig_turn(&rig);
    rig_await(&rig, "once", INSTANCE_READY);
    assert_int_not_equal(rig_pid(&rig, "once", "pid"), pid);
}

static void test_agent_killed_workload_untouched(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    assert_int_equal(rig_order(&rig, NODE_START, "kept", &spec), 0);
    rig_await(&rig, "kept", INSTANCE_READY);
    pid_t pid = rig_pid(&rig, "kept", "pid");
    rig_agent_kill(&rig);
    assert_true(rig_is_alive(pid));
    rig_agent_start(&rig, NULL);
    assert_true(rig_is_alive(pid));
    /* It is the new agent's in every way: it can be drained, and is fenced as before. */
    assert_int_equal(rig_order(&rig, NODE_DRAIN, "kept", NULL), 0);
    rig_await(&rig, "kept", INSTANCE_HELD);
    struct epoch now = rig.epoch;
    rig.epoch = (struct epoch){1, 1};
    assert_int_equal(rig_order(&rig, NODE_STOP, "kept", NULL), ERR_DENIED);
    rig.epoch = now;
    assert_int_equal(rig_pid(&rig, "kept", "pid"), pid);
    /* A second restart, by SIGTERM, and the end of the workload while no agent is there. */
    assert_int_equal(rig_agent_stop(&rig), 0);
    assert_true(rig_is_alive(pid));
    assert_int_equal(kill(pid, SIGKILL), 0);
    char text[64] = "";
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (text[0] == 0 && clock_mono_now().us < until)
        rig_read(&rig, "kept", "exit", text, sizeof(text));
    assert_true(str_starts(text, "137 "));
    rig_agent_start(&rig, NULL);
    assert_int_equal(rig_await(&rig, "kept", INSTANCE_STOPPED)->exit_code, 137);
}

/* The file of what the folder's slow shim has told, which is a line for each beginning. */
static int64_t begun(const char *path)
{
    char line[32];
    int64_t count = 0;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        count++;
    if (file != NULL)
        (void)fclose(file);
    return count;
}

/* Between the shim's beginning and the socket by which agents find it, nobody can reach it: the
 * next agent must neither start another nor leave this one alone. */
static void test_agent_killed_while_a_shim_begins(void **state)
{
    (void)state;
    char slow[700];
    char told[720];
    str_format(slow, sizeof(slow), "%s.slow-shim", rig.state);
    str_format(told, sizeof(told), "%s.told", slow);
    FILE *file = fopen(slow, "we");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\necho begun >>'%s'\nsleep 1\nexec '%s/bin/berth-shim' \"$@\"\n", told,
            BERTH_BINARY_DIR);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(slow, 0755), 0);
    const char *const with_slow[] = {"--shim", slow, NULL};
    struct message_spec spec = rig_spec(NULL);
    assert_int_equal(rig_agent_stop(&rig), 0);
    rig_agent_start(&rig, with_slow);
    assert_int_equal(rig_order(&rig, NODE_START, "begun", &spec), 0);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (begun(told) == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(begun(told), 1);
    rig_agent_kill(&rig);
    rig_agent_start(&rig, with_slow);
    assert_int_equal(rig_await(&rig, "begun", INSTANCE_READY)->restarts, 0);
    assert_int_equal(begun(told), 1);
    assert_int_equal(rig_order(&rig, NODE_STOP, "begun", NULL), 0);
    rig_await(&rig, "begun", INSTANCE_STOPPED);
    assert_int_equal(rig_agent_stop(&rig), 0);
    rig_agent_start(&rig, NULL);
    (void)unlink(slow);
    (void)unlink(told);
}

static void test_shim_killed(void **state)
{
    (void)state;
    static const char *const args[] = {"orphan", NULL};
    struct message_spec spec = rig_spec(args);
    assert_int_equal(rig_order(&rig, NODE_START, "shimless", &spec), 0);
    rig_await(&rig, "shimless", INSTANCE_READY);
    pid_t orphan = rig_pid(&rig, "shimless", "orphan");
    pid_t pid = rig_pid(&rig, "shimless", "pid");
    char path[64];
    char text[256] = "";
    str_format(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    int shim = 0;
    while (file != NULL && fgets(text, sizeof(text), file) != NULL && shim == 0)
        (void)sscanf(text, "PPid: %d", &shim);
    assert_non_null(file);
    (void)fclose(file);
    assert_true(shim > 1);
    assert_int_equal(kill(shim, SIGKILL), 0);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (rig_seen(&rig, "shimless")->restarts < 1 && clock_mono_now().us < until)
        rig_turn(&rig);
    rig_await(&rig, "shimless", INSTANCE_READY);
    assert_false(rig_is_alive(orphan));
    assert_false(rig_is_alive(pid));
}

static void test_probe(void **state)
{
    (void)state;
    /* Nobody has subscribed to the instance's own subject: the probe says so. */
    memset(&rig.probed, 0, sizeof(rig.probed));
    assert_int_equal(rig_order(&rig, NODE_PROBE, "elsewhere", NULL), 0);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (rig.probed.sent == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_int_equal(rig.probed.sent, 2);
    assert_int_equal(rig.probed.answered, 0);
    assert_non_null(strstr(rig.probed.text, "nobody answers"));
}

static void test_nats_restarted(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    assert_int_equal(rig_order(&rig, NODE_START, "through", &spec), 0);
    rig_await(&rig, "through", INSTANCE_READY);
    pid_t pid = rig_pid(&rig, "through", "pid");
    int hellos = rig.hellos;
    test_server_kill(&rig.server);
    test_server_restart(&rig.server);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (rig.hellos == hellos && clock_mono_now().us < until)
        rig_turn(&rig);
    assert_true(rig.hellos > hellos);
    assert_int_equal(rig_order(&rig, NODE_STOP, "through", NULL), 0);
    rig_await(&rig, "through", INSTANCE_STOPPED);
    assert_false(rig_is_alive(pid));
}

static int run_second(const char *const *extra)
{
    char *argv[16] = {0};
    const char *fixed[] = {BERTH_BINARY_DIR "/bin/berth-node",
                           "--name",
                           "n1",
                           "--site",
                           "edge/nyc",
                           "--url",
                           rig.server.url};
    int count = 0;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        argv[count++] = (char *)(uintptr_t)fixed[i];
    for (int i = 0; extra[i] != NULL; i++)
        argv[count++] = (char *)(uintptr_t)extra[i];
    pid_t pid;
    int status;
    extern char **environ;
    assert_int_equal(posix_spawn(&pid, argv[0], NULL, NULL, argv, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_clear_errors_at_start(void **state)
{
    (void)state;
    const char *locked[] = {"--state", rig.state, NULL};
    const char *seedless[] = {"--state", rig.state, "--seed", "/nowhere/seed", NULL};
    const char *unknown[] = {"--state", rig.state, "--colour", "blue", NULL};
    assert_int_equal(run_second(locked), 1);
    assert_int_equal(run_second(seedless), 1);
    assert_int_equal(run_second(unknown), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_contract),
        cmocka_unit_test(test_metrics_and_logs),
        cmocka_unit_test(test_restart_after_a_crash),
        cmocka_unit_test(test_agent_killed_workload_untouched),
        cmocka_unit_test(test_agent_killed_while_a_shim_begins),
        cmocka_unit_test(test_shim_killed),
        cmocka_unit_test(test_probe),
        cmocka_unit_test(test_nats_restarted),
        cmocka_unit_test(test_clear_errors_at_start),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
