/*
 * bench_node: what an idle berth-node keeps in memory, against 10 MB; and a native workload from
 * the START command to its report of READY (over a real nats-server, through the shim, its cgroup
 * and the digest of the artifact), against plain fork and exec of the same until it says "ready" on
 * a socket. Medians of RUNS; the artifact is staged before. Exit status 1 when memory is over.
 */
#include <poll.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/live/node_rig.h"

#define RUNS          41
#define IDLE_US       (2 * US_PER_S)
#define RSS_MAX_BYTES (10 * 1000 * 1000)

static struct rig rig;
static int exit_status;

static int64_t rss_of(pid_t pid)
{
    char path[64];
    char line[256];
    long long kib = 0;
    str_format(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (sscanf(line, "VmRSS: %lld", &kib) == 1)
            break;
    (void)fclose(file);
    return kib * 1024;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *values)
{
    qsort(values, RUNS, sizeof(*values), compare);
    return values[RUNS / 2];
}

static int64_t plain_start(int listener)
{
    char text[8];
    char folder[700];
    char path[LIMIT_PATH_BYTES];
    struct sockaddr_un address;
    socklen_t bytes = sizeof(address);
    str_format(folder, sizeof(folder), "%s", rig.server.folder);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    str_format(path, sizeof(path), "BERTH_SOCKET=%s", address.sun_path);
    int64_t from = clock_mono_now().us;
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {(char[]){"front"}, NULL};
        char *envp[] = {path, NULL};
        if (chdir(folder) == 0)
            (void)execve(BERTH_BINARY_DIR "/bin/test_workload", argv, envp);
        _exit(127);
    }
    int fd = accept(listener, NULL, NULL);
    assert_int_equal(recv(fd, text, 6, MSG_WAITALL), 6);
    int64_t us = clock_mono_now().us - from;
    assert_int_equal(send(fd, "stop 0\n", 7, 0), 7);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    (void)close(fd);
    return us;
}

static int64_t node_start(int run)
{
    struct message_spec spec = rig_spec(NULL);
    char instance[LIMIT_ID_BYTES];
    str_format(instance, sizeof(instance), "run%d", run);
    rig.seen_count = 0;
    assert_int_equal(rig_order(&rig, NODE_STAGE, instance, &spec), 0);
    rig_await(&rig, instance, INSTANCE_STAGED);
    int64_t from = clock_mono_now().us;
    assert_int_equal(rig_order(&rig, NODE_START, instance, &spec), 0);
    const struct message_instance *seen;
    do {
        struct pollfd one = {.fd = bus_fd(rig.bus), .events = POLLIN};
        (void)poll(&one, 1, 100); /* not busy: the node needs the cores */
        (void)bus_dispatch(rig.bus, 64);
        seen = rig_seen(&rig, instance);
    } while ((seen == NULL || seen->state != INSTANCE_READY) &&
             clock_mono_now().us - from < 30 * US_PER_S);
    int64_t us = clock_mono_now().us - from;
    assert_int_equal(seen->state, INSTANCE_READY);
    assert_int_equal(rig_order(&rig, NODE_STOP, instance, NULL), 0);
    rig_await(&rig, instance, INSTANCE_STOPPED);
    assert_int_equal(rig_order(&rig, NODE_FORGET, instance, NULL), 0);
    return us;
}

static void bench(void **state)
{
    (void)state;
    int64_t plain[RUNS];
    int64_t node[RUNS];
    rig_open(&rig);
    rig_agent_start(&rig, NULL);
    int64_t until = clock_mono_now().us + IDLE_US;
    while (clock_mono_now().us < until)
        rig_turn(&rig);
    int64_t rss = rss_of(rig.agent);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char cwd[4096];
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    assert_true(strlen(cwd) < 80); /* a socket's address is short */
    str_format(address.sun_path, sizeof(address.sun_path), "%.80s/bench-%d.sock", cwd,
               (int)getpid());
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 4), 0);
    for (int i = 0; i < RUNS; i++) {
        plain[i] = plain_start(listener);
        node[i] = node_start(i);
    }
    (void)close(listener);
    (void)unlink(address.sun_path);
    int64_t busy = rss_of(rig.agent);
    rig_close(&rig);
    int64_t plain_us = median(plain);
    int64_t node_us = median(node);
    print_message("idle resident memory: %.2f MB, limit 10 MB, ratio %.2f\n", (double)rss / 1e6,
                  (double)rss / RSS_MAX_BYTES);
    print_message("after %d starts:       %.2f MB\n", RUNS, (double)busy / 1e6);
    print_message("command to ready: median %.2f ms; plain fork+exec %.2f ms; ratio %.1f\n",
                  (double)node_us / 1e3, (double)plain_us / 1e3,
                  (double)node_us / (double)plain_us);
    print_message("{\"bench\":\"node\",\"rss_bytes\":%lld,\"rss_ratio\":%.3f,"
                  "\"ready_us\":%lld,\"plain_us\":%lld,\"ready_ratio\":%.2f}\n",
                  (long long)rss, (double)rss / RSS_MAX_BYTES, (long long)node_us,
                  (long long)plain_us, (double)node_us / (double)plain_us);
    exit_status = rss <= RSS_MAX_BYTES ? 0 : 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bench)};
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed != 0 ? 1 : exit_status;
}
