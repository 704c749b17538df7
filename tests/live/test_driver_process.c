/* The process driver through a real node: what it refuses, what it limits, what it never leaves. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/jetstream.h"
#include "base/bus/subjects.h"
#include "base/str.h"
#include "tests/live/node_rig.h"

static struct rig rig;

static int setup(void **state)
{
    (void)state;
    static const char *const small_logs[] = {"--log-bytes", "16KiB", "--log-files", "2", NULL};
    rig_open(&rig);
    rig_agent_start(&rig, small_logs);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_close(&rig);
    return 0;
}

static const char *write_file(const char *name, const void *data, size_t bytes)
{
    static char path[700];
    str_format(path, sizeof(path), "%s/%s", rig.server.folder, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static void test_digest_mismatch(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    memset(spec.digest + 7, 'a', 64);
    assert_int_equal(rig_order(&rig, NODE_START, "digest", &spec), 0);
    const struct message_instance *seen = rig_await(&rig, "digest", INSTANCE_FAILED);
    assert_int_equal(seen->error_code, ERR_CORRUPT);
    assert_non_null(strstr(seen->detail, "digest mismatch"));
}

static void test_other_machine(void **state)
{
    (void)state;
    uint8_t head[128] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    head[16] = 2;
    head[18] = 183; /* EM_AARCH64 */
    head[20] = 1;
    struct message_spec spec = rig_spec(NULL);
    rig_artifact(&spec, write_file("arm", head, sizeof(head)));
    assert_int_equal(rig_order(&rig, NODE_STAGE, "arm", &spec), 0);
    const struct message_instance *seen = rig_await(&rig, "arm", INSTANCE_FAILED);
    assert_int_equal(seen->error_code, ERR_UNSUPPORTED);
    assert_non_null(strstr(seen->detail, "built for aarch64, this node is"));
}

static void test_absent_artifact(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    str_format(spec.artifact, sizeof(spec.artifact), "file:/nowhere/at/all");
    memset(spec.digest + 7, 'b', 64);
    assert_int_equal(rig_order(&rig, NODE_STAGE, "absent", &spec), 0);
    assert_int_equal(rig_await(&rig, "absent", INSTANCE_FAILED)->error_code, ERR_NOT_FOUND);
}

static void test_never_ready(void **state)
{
    (void)state;
    static const char *const args[] = {"mute", NULL};
    struct message_spec spec = rig_spec(args);
    spec.start_timeout_us = 300 * US_PER_MS;
    assert_int_equal(rig_order(&rig, NODE_START, "mute", &spec), 0);
    pid_t pid = rig_pid(&rig, "mute", "pid");
    const struct message_instance *seen = rig_await(&rig, "mute", INSTANCE_FAILED);
    assert_int_equal(seen->error_code, ERR_TIMEOUT);
    assert_false(rig_is_alive(pid));
}

static void test_no_orphan(void **state)
{
    (void)state;
    static const char *const args[] = {"orphan", NULL};
    struct message_spec spec = rig_spec(args);
    assert_int_equal(rig_order(&rig, NODE_START, "orphan", &spec), 0);
    rig_await(&rig, "orphan", INSTANCE_READY);
    pid_t orphan = rig_pid(&rig, "orphan", "orphan");
    assert_true(rig_is_alive(orphan));
    assert_int_equal(rig_order(&rig, NODE_STOP, "orphan", NULL), 0);
    rig_await(&rig, "orphan", INSTANCE_STOPPED);
    assert_false(rig_is_alive(orphan));
}

static void test_stubborn_is_killed(void **state)
{
    (void)state;
    static const char *const args[] = {"stubborn", NULL};
    struct message_spec spec = rig_spec(args);
    spec.stop_timeout_us = 200 * US_PER_MS;
    spec.drain_timeout_us = 200 * US_PER_MS;
    assert_int_equal(rig_order(&rig, NODE_START, "stubborn", &spec), 0);
    rig_await(&rig, "stubborn", INSTANCE_READY);
    pid_t pid = rig_pid(&rig, "stubborn", "pid");
    assert_int_equal(rig_order(&rig, NODE_DRAIN, "stubborn", NULL), 0);
    assert_string_equal(rig_await(&rig, "stubborn", INSTANCE_HELD)->detail,
                        "drain deadline passed");
    assert_int_equal(rig_order(&rig, NODE_STOP, "stubborn", NULL), 0);
    rig_await(&rig, "stubborn", INSTANCE_STOPPED);
    assert_false(rig_is_alive(pid));
}

static void test_memory_limit(void **state)
{
    (void)state;
    static const char *const args[] = {"eat", NULL};
    struct message_spec spec = rig_spec(args);
    spec.memory_bytes = 32 << 20;
    spec.restarts_max = 0;
    assert_int_equal(rig_order(&rig, NODE_START, "eat", &spec), 0);
    const struct message_instance *seen = rig_await(&rig, "eat", INSTANCE_FAILED);
    assert_int_equal(seen->error_code, ERR_LIMIT);
    assert_int_equal(seen->exit_code, 128 + 9); /* the kernel's OOM killer, in its cgroup alone */
}

static void test_output_is_rotated(void **state)
{
    (void)state;
    static const char *const args[] = {"chatter", NULL};
    struct message_spec spec = rig_spec(args);
    int logs = rig.logs;
    assert_int_equal(rig_order(&rig, NODE_START, "chatter", &spec), 0);
    rig_await(&rig, "chatter", INSTANCE_READY);
    char path[LIMIT_PATH_BYTES];
    struct stat status;
    /* stdout is read before the shim goes on to anything else; all 64 KiB of it are in time. */
    str_format(path, sizeof(path), "%s/instances/chatter/stdout.log.1", rig.state);
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size <= 16 << 10);
    str_format(path, sizeof(path), "%s/instances/chatter/stdout.log.2", rig.state);
    assert_int_equal(stat(path, &status), -1);
    assert_int_equal(errno, ENOENT);
    for (int i = 0; i < 5000 && rig.logs - logs < 1024; i++)
        rig_turn(&rig);
    assert_int_equal(rig.logs - logs, 1024);
    assert_non_null(strstr(rig.last_log, "0000001023\""));
}

static void test_script(void **state)
{
    (void)state;
    static const char script[] = "#!/bin/sh\n"
                                 "echo $$ > pid\n"
                                 "echo \"$BERTH_INSTANCE $BERTH_SITE $GREETING\" > told\n"
                                 "env > environment\n"
                                 "exec sleep 1000\n";
    struct message_spec spec = rig_spec(NULL);
    struct message_env env = {"GREETING", "hello"};
    rig_artifact(&spec, write_file("script", script, sizeof(script) - 1));
    spec.contract = false;
    spec.env = &env;
    spec.env_count = 1;
    spec.ready.kind = READY_COMMAND;
    str_format(spec.ready.target, sizeof(spec.ready.target), "test -s environment && test -s pid");
    assert_int_equal(rig_order(&rig, NODE_START, "script", &spec), 0);
    rig_await(&rig, "script", INSTANCE_READY);
    char text[4096];
    rig_read(&rig, "script", "told", text, sizeof(text));
    assert_string_equal(text, "script edge/nyc hello\n");
    rig_read(&rig, "script", "environment", text, sizeof(text));
    assert_null(strstr(text, "\nUSER=")); /* nothing of the agent's own environment */
    pid_t pid = rig_pid(&rig, "script", "pid");
    assert_int_equal(rig_order(&rig, NODE_STOP, "script", NULL), 0);
    rig_await(&rig, "script", INSTANCE_STOPPED);
    assert_false(rig_is_alive(pid));
}

static void test_object_store(void **state)
{
    (void)state;
    static const char script[] = "#!/bin/sh\necho $$ > pid\nexec sleep 1000\n# from the store\n";
    struct error err = {0};
    struct message_spec spec = rig_spec(NULL);
    const char *path = write_file("stored", script, sizeof(script) - 1);
    if (object_bucket_ensure(rig.bus, BUCKET_ARTIFACTS, &err) < 0 ||
        object_put_file(rig.bus, BUCKET_ARTIFACTS, "stored", path, spec.digest, &err) < 0)
        fail_msg("object: %s", err.text);
    assert_int_equal(unlink(path), 0);
    str_format(spec.artifact, sizeof(spec.artifact), "object:" BUCKET_ARTIFACTS "/stored");
    spec.contract = false;
    spec.ready.kind = READY_NONE;
    assert_int_equal(rig_order(&rig, NODE_START, "stored", &spec), 0);
    rig_await(&rig, "stored", INSTANCE_READY);
    (void)rig_pid(&rig, "stored", "pid");
    str_format(spec.artifact, sizeof(spec.artifact), "object:" BUCKET_ARTIFACTS "/absent");
    memset(spec.digest + 7, 'c', 64);
    assert_int_equal(rig_order(&rig, NODE_STAGE, "unstored", &spec), 0);
    assert_int_equal(rig_await(&rig, "unstored", INSTANCE_FAILED)->error_code, ERR_NOT_FOUND);
}

static void test_foreign_driver_and_bad_environment(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    str_format(spec.driver, sizeof(spec.driver), "wasm");
    assert_int_equal(rig_order(&rig, NODE_STAGE, "wasm", &spec), 0);
    assert_int_equal(rig_await(&rig, "wasm", INSTANCE_FAILED)->error_code, ERR_UNSUPPORTED);
    struct message_env env = {"BERTH_SOCKET", "/elsewhere"};
    spec = rig_spec(NULL);
    spec.env = &env;
    spec.env_count = 1;
    assert_int_equal(rig_order(&rig, NODE_START, "env", &spec), 0);
    assert_int_equal(rig_await(&rig, "env", INSTANCE_FAILED)->error_code, ERR_INVALID);
}

static void test_tcp_readiness(void **state)
{
    (void)state;
    struct message_spec spec = rig_spec(NULL);
    spec.contract = false;
    spec.ready.kind = READY_TCP;
    spec.ready.period_us = 20 * US_PER_MS;
    spec.start_timeout_us = 300 * US_PER_MS;
    str_format(spec.ready.target, sizeof(spec.ready.target), "127.0.0.1:%d", test_port_free());
    assert_int_equal(rig_order(&rig, NODE_START, "tcp-no", &spec), 0);
    const struct message_instance *seen = rig_await(&rig, "tcp-no", INSTANCE_FAILED);
    assert_non_null(strstr(seen->detail, "Connection refused"));
    /* Something that listens: the server of this test. */
    spec.start_timeout_us = 20 * US_PER_S;
    str_format(spec.ready.target, sizeof(spec.ready.target), "127.0.0.1:%d", rig.server.port);
    assert_int_equal(rig_order(&rig, NODE_START, "tcp-yes", &spec), 0);
    rig_await(&rig, "tcp-yes", INSTANCE_READY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_digest_mismatch),
        cmocka_unit_test(test_other_machine),
        cmocka_unit_test(test_absent_artifact),
        cmocka_unit_test(test_never_ready),
        cmocka_unit_test(test_no_orphan),
        cmocka_unit_test(test_stubborn_is_killed),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_output_is_rotated),
        cmocka_unit_test(test_script),
        cmocka_unit_test(test_object_store),
        cmocka_unit_test(test_foreign_driver_and_bad_environment),
        cmocka_unit_test(test_tcp_readiness),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
