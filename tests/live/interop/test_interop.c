/* Berth and nats.js, a client by other hands, on one server with the permissions that Berth writes:
 * each reads the objects that the other stored, and nats.js finds and calls the service. Skipped
 * (status 77) on a machine without node and npm. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"
#include "base/bus/micro.h"
#include "base/bus/server_config.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "tests/live/server.h"

static struct test_server server;
static struct server_user users[] = {{.role = SERVER_SCHEDULER, .name = "main"},
                                     {.role = SERVER_OPERATOR, .name = "me"}};
static struct bus *buses[2];
static struct micro *micro;
static struct error err;

static void must(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err.text);
}

static void seed_path(int user, char *out, size_t capacity)
{
    snprintf(out, capacity, "%s/%s.seed", server.folder, users[user].name);
}

static void on_get(void *context, uint64_t token, const struct bus_message *message)
{
    (void)context;
    micro_respond(micro, token, message->data, message->bytes);
}

static void on_bad(void *context, uint64_t token, const struct bus_message *message)
{
    (void)context;
    (void)message;
    micro_fail(micro, token, 404, "nothing here", "body", 4);
}

static int setup(void **state)
{
    (void)state;
    char path[700], store[700], inbox[LIMIT_SUBJECT_BYTES];
    struct strbuf text;
    test_server_init(&server);
    for (int i = 0; i < 2; i++) {
        seed_path(i, path, sizeof(path));
        must(nkey_file_ensure(path, users[i].public_key, &err));
    }
    snprintf(store, sizeof(store), "%s/js", server.folder);
    struct server_config config = {
        .port = server.port, .store_dir = store, .users = users, .user_count = 2};
    strbuf_init(&text, 1 << 20);
    must(server_config_write(&config, &text, &err));
    test_server_start(&server, strbuf_text(&text));
    strbuf_done(&text);
    for (int i = 0; i < 2; i++) {
        seed_path(i, path, sizeof(path));
        server_user_inbox(&users[i], inbox);
        struct bus_options options = {.url = server.url, .seed_path = path, .inbox_prefix = inbox};
        must(bus_open(&options, &buses[i], &err));
    }
    struct micro_options service = {
        .name = "berth", .version = "0.1.0", .description = "placement control", .id = "one"};
    must(micro_open(buses[0], &service, &micro, &err));
    must(micro_endpoint(micro, "get", "berth.v1.ctl.get", on_get, NULL, &err));
    must(micro_endpoint(micro, "bad", "berth.v1.ctl.bad", on_bad, NULL, &err));
    must(bus_flush(buses[0], 5 * US_PER_S, &err));
    must(object_bucket_ensure(buses[0], BUCKET_ARTIFACTS, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    micro_close(micro);
    bus_close(buses[0]);
    bus_close(buses[1]);
    test_server_done(&server);
    return 0;
}

static void put_objects(char digest[LIMIT_DIGEST_BYTES])
{
    char path[700];
    snprintf(path, sizeof(path), "%s/source", server.folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < 300000; i++)
        fputc((int)((int64_t)i * 7919 >> 5 & 0xff), file);
    assert_int_equal(fclose(file), 0);
    must(object_put_file(buses[1], BUCKET_ARTIFACTS, "from c/one?", path, digest, &err));
    must(object_put_file(buses[1], BUCKET_ARTIFACTS, "deleted by c", path, digest, &err));
    must(object_delete(buses[1], BUCKET_ARTIFACTS, "deleted by c", &err));
}

/* Starts interop.js; *ret_output is its standard output. */
static pid_t start_script(const char *digest, const char *modules, int *ret_output)
{
    char seed[700], inbox[LIMIT_SUBJECT_BYTES];
    int pipe_fds[2];
    seed_path(1, seed, sizeof(seed));
    server_user_inbox(&users[1], inbox);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipe_fds[1], STDOUT_FILENO);
        close(pipe_fds[0]);
        close(pipe_fds[1]);
        setenv("NODE_PATH", modules, 1);
        execlp("node", "node", BERTH_SOURCE_DIR "/tests/live/interop/interop.js", server.url, seed,
               inbox, digest, (char *)NULL);
        _exit(126);
    }
    close(pipe_fds[1]);
    *ret_output = pipe_fds[0];
    return pid;
}

static void test_with_nats_js(void **state)
{
    const char *modules = *state;
    char digest[LIMIT_DIGEST_BYTES], stored[128] = "", got[LIMIT_DIGEST_BYTES];
    int output = -1, status = -1;
    put_objects(digest);
    pid_t pid = start_script(digest, modules, &output);
    int64_t until = clock_mono_now().us + 90 * US_PER_S;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd poll_fd = {.fd = bus_fd(buses[0]), .events = POLLIN};
        (void)poll(&poll_fd, 1, 50);
        (void)bus_dispatch(buses[0], 100);
        if (clock_mono_now().us > until) {
            kill(pid, SIGKILL);
            waitpid(pid, &status, 0);
            fail_msg("interop.js did not end");
        }
    }
    assert_int_equal(status, 0);
    ssize_t bytes = read(output, stored, sizeof(stored) - 1);
    close(output);
    assert_true(bytes > 0);
    stored[strcspn(stored, "\n")] = 0;

    char path[700];
    snprintf(path, sizeof(path), "%s/target", server.folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    must(object_get_fd(buses[1], BUCKET_ARTIFACTS, "from js", fd, 400000, got, &err));
    assert_string_equal(got, stored);
    struct object_info info;
    must(object_stat(buses[1], BUCKET_ARTIFACTS, "from js", &info, &err));
    assert_int_equal(info.bytes, 400000);
    assert_int_equal(
        object_get_fd(buses[1], BUCKET_ARTIFACTS, "deleted by js", fd, 400000, got, &err),
        ERR_NOT_FOUND);
    close(fd);
}

int main(void)
{
    if (system("node --version >/dev/null 2>&1 && npm --version >/dev/null 2>&1") != 0) {
        fputs("interop: node or npm is not installed; skipped\n", stderr);
        return 77;
    }
    static char modules[1024];
    FILE *install =
        popen(BERTH_SOURCE_DIR "/tests/live/interop/install.sh " BERTH_BINARY_DIR "/interop", "r");
    if (install == NULL || fgets(modules, sizeof(modules), install) == NULL)
        modules[0] = 0;
    if (install == NULL || pclose(install) != 0) {
        fputs("interop: the packages could not be installed\n", stderr);
        return 1;
    }
    modules[strcspn(modules, "\n")] = 0;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_with_nats_js, modules)};
    return cmocka_run_group_tests_name("interop", tests, setup, teardown);
}
