/*
 * A real berth-node that is an ingress too: an HTTP workload of its own is reached through it, once
 * it is told so, and goes on being reached while the agent is dead.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/live/node_rig.h"

#define WAIT_US (60 * US_PER_S)

static struct rig rig;
static int port;
static char option[64];

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    (void)close(fd);
    return ntohs(address.sin_port);
}

static int setup(void **state)
{
    (void)state;
    test_haproxy_find();
    rig_open(&rig);
    port = free_port();
    str_format(option, sizeof(option), "http=127.0.0.1:%d,threads=1", port);
    const char *const extra[] = {"--ingress", option, NULL};
    rig_agent_start(&rig, extra);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    /* HAProxy outlives an agent; told to sweep, this one ends it. */
    const char *const sweep[] = {"--ingress", option, "--stop-workloads-on-exit", NULL};
    if (rig.agent > 0)
        (void)rig_agent_stop(&rig);
    rig_agent_start(&rig, sweep);
    assert_int_equal(rig_agent_stop(&rig), 0);
    rig_close(&rig);
    return 0;
}

/* One request over a connection of its own; the whole answer, or "". */
static void get(const char *path, char *out, size_t capacity)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256];
    size_t bytes = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval patience = {.tv_sec = 5};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    str_format(request, sizeof(request),
               "GET %s HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n", path);
    out[0] = 0;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) > 0) {
        ssize_t got;
        while (bytes + 1 < capacity && (got = recv(fd, out + bytes, capacity - 1 - bytes, 0)) > 0)
            bytes += (size_t)got;
    }
    out[bytes] = 0;
    (void)close(fd);
}

static void await_status(const char *status)
{
    char answer[4096];
    char expected[32];
    int64_t until = clock_mono_now().us + WAIT_US;
    str_format(expected, sizeof(expected), "HTTP/1.1 %s ", status);
    do {
        get("/", answer, sizeof(answer));
        rig_turn(&rig);
    } while (!str_starts(answer, expected) && clock_mono_now().us < until);
    if (!str_starts(answer, expected))
        fail_msg("expected %s: %.200s", status, answer);
}

static int route(const struct message_instance *instance, enum route_mode mode)
{
    struct message_command command = {.verb = NODE_ROUTE};
    struct message_server server = {.mode = (int)mode, .weight = 256};
    struct message_route *wanted = &command.route;
    str_format(wanted->namespace_, sizeof(wanted->namespace_), "shop");
    str_format(wanted->app, sizeof(wanted->app), "web");
    str_format(wanted->workload, sizeof(wanted->workload), "front");
    str_format(wanted->host, sizeof(wanted->host), "shop.test");
    str_format(wanted->path, sizeof(wanted->path), "/");
    str_format(wanted->probe, sizeof(wanted->probe), "/berth");
    if (instance != NULL) {
        str_format(server.instance, sizeof(server.instance), "%s", instance->instance);
        str_format(server.endpoint, sizeof(server.endpoint), "%s", instance->endpoint);
        wanted->servers = &server;
        wanted->server_count = 1;
    } else {
        wanted->gone = true;
    }
    /* Until HAProxy is up, what is asked is kept and the answer says so. */
    int64_t until = clock_mono_now().us + WAIT_US;
    int code;
    while ((code = rig_command(&rig, &command, "shop_web_front")) == ERR_UNAVAILABLE &&
           clock_mono_now().us < until)
        rig_turn(&rig);
    return code;
}

static void probe(const char *instance, int answered)
{
    struct message_command command = {
        .verb = NODE_PROBE, .probe_count = 2, .timeout_us = 5 * US_PER_S};
    str_format(command.route.host, sizeof(command.route.host), "shop.test");
    str_format(command.route.probe, sizeof(command.route.probe), "/berth");
    memset(&rig.probed, 0, sizeof(rig.probed));
    assert_int_equal(rig_command(&rig, &command, instance), 0);
    int64_t until = clock_mono_now().us + WAIT_US;
    while (rig.probed.id[0] == 0 && clock_mono_now().us < until)
        rig_turn(&rig);
    if (rig.probed.answered != answered)
        fail_msg("%d answered: %s", rig.probed.answered, rig.probed.text);
}

static void test_through_the_ingress(void **state)
{
    (void)state;
    char answer[4096];
    struct message_spec spec = rig_spec(NULL);
    spec.http = true;
    rig_artifact(&spec, BERTH_BINARY_DIR "/bin/web");
    assert_int_equal(rig_order(&rig, NODE_START, "h1", &spec), 0);
    struct message_instance instance = *rig_await(&rig, "h1", INSTANCE_READY);
    assert_true(str_starts(instance.endpoint, "127.0.0.1:"));
    /* Probed before it gets traffic; traffic when the answer to the route has come, and not before.
     */
    assert_int_equal(route(&instance, ROUTE_PROBE), 0);
    probe("h1", 2);
    probe("h2", 0);
    get("/", answer, sizeof(answer));
    assert_true(str_starts(answer, "HTTP/1.1 503"));
    assert_int_equal(route(&instance, ROUTE_SERVE), 0);
    get("/", answer, sizeof(answer));
    assert_true(str_starts(answer, "HTTP/1.1 200"));
    /* The agent dies: nobody notices. */
    rig_agent_kill(&rig);
    get("/", answer, sizeof(answer));
    assert_true(str_starts(answer, "HTTP/1.1 200"));
    /* And the next one says from its first word on that requests are served there: whoever took it
     * for none would not wait for it before it ends what its requests go to. */
    const char *const extra[] = {"--ingress", option, NULL};
    int without = rig.hellos_without;
    rig_agent_start(&rig, extra);
    get("/", answer, sizeof(answer));
    assert_true(str_starts(answer, "HTTP/1.1 200"));
    probe("h1", 2);
    assert_int_equal(rig.hellos_without, without);
    assert_int_equal(route(NULL, ROUTE_DRAIN), 0);
    await_status("404");
    assert_int_equal(rig_order(&rig, NODE_STOP, "h1", NULL), 0);
    rig_await(&rig, "h1", INSTANCE_STOPPED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_through_the_ingress)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
