/* Service discovery on a real nats-server: what PING, INFO and STATS answer, and endpoints that
 * answer at once, later, twice, or with an error. */
#include <inttypes.h>
#include <jansson.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/bus/micro.h"
#include "base/clock.h"
#include "base/str.h"
#include "tests/live/server.h"

static struct test_server server;
static struct bus *bus;
static struct bus *client;
static struct micro *micro;
static struct error err;
static uint64_t kept_token;

struct answer {
    int count;
    int status;
    char data[4096];
};

static void on_answer(void *context, const struct bus_message *message)
{
    struct answer *answer = context;
    answer->count++;
    answer->status = message->status;
    assert_true(message->bytes < sizeof(answer->data));
    memcpy(answer->data, message->data, message->bytes + 1);
}

static void on_echo(void *context, uint64_t token, const struct bus_message *message)
{
    (void)context;
    micro_respond(micro, token, message->data, message->bytes);
    micro_respond(micro, token, "again", 5); /* a second answer goes nowhere */
}

static void on_bad(void *context, uint64_t token, const struct bus_message *message)
{
    (void)context;
    (void)message;
    micro_fail(micro, token, 400, "no such\napp", "body", 4);
}

static void on_later(void *context, uint64_t token, const struct bus_message *message)
{
    (void)context;
    (void)message;
    kept_token = token;
}

static void run_until(struct answer *answer, int wanted)
{
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (answer->count < wanted && clock_mono_now().us < until) {
        struct pollfd fds[] = {{.fd = bus_fd(bus), .events = POLLIN},
                               {.fd = bus_fd(client), .events = POLLIN}};
        (void)poll(fds, 2, 50);
        (void)bus_dispatch(bus, 100);
        (void)bus_dispatch(client, 100);
    }
    assert_int_equal(answer->count, wanted);
}

static void ask(const char *subject, const char *body, struct answer *answer)
{
    answer->count = 0;
    if (bus_request(client, subject, body, strlen(body), 20 * US_PER_S, on_answer, answer, &err) <
        0)
        fail_msg("%s", err.text);
    run_until(answer, 1);
}

static int setup(void **state)
{
    (void)state;
    test_server_init(&server);
    test_server_start(&server, NULL);
    struct bus_options options = {.url = server.url};
    struct micro_options service = {
        .name = "berth", .version = "0.1.0", .description = "control", .id = "id1"};
    if (bus_open(&options, &bus, &err) < 0 || bus_open(&options, &client, &err) < 0)
        return -1;
    if (micro_open(bus, &service, &micro, &err) < 0)
        return -1;
    if (micro_endpoint(micro, "echo", "berth.v1.ctl.echo", on_echo, NULL, &err) < 0 ||
        micro_endpoint(micro, "bad", "berth.v1.ctl.bad", on_bad, NULL, &err) < 0 ||
        micro_endpoint(micro, "later", "berth.v1.ctl.later", on_later, NULL, &err) < 0)
        return -1;
    return bus_flush(bus, 5 * US_PER_S, &err);
}

static int teardown(void **state)
{
    (void)state;
    micro_close(micro);
    bus_close(bus);
    bus_close(client);
    test_server_done(&server);
    return 0;
}

static void check_head(const json_t *body, const char *type)
{
    assert_string_equal(json_string_value(json_object_get(body, "type")), type);
    assert_string_equal(json_string_value(json_object_get(body, "name")), "berth");
    assert_string_equal(json_string_value(json_object_get(body, "id")), "id1");
    assert_string_equal(json_string_value(json_object_get(body, "version")), "0.1.0");
    assert_true(json_is_object(json_object_get(body, "metadata")));
}

static void test_discovery(void **state)
{
    (void)state;
    static const char *const pings[] = {"$SRV.PING", "$SRV.PING.berth", "$SRV.PING.berth.id1"};
    struct answer answer = {0};
    for (int i = 0; i < 3; i++) {
        ask(pings[i], "", &answer);
        json_t *body = json_loads(answer.data, 0, NULL);
        check_head(body, "io.nats.micro.v1.ping_response");
        json_decref(body);
    }
    ask("$SRV.INFO.berth", "", &answer);
    json_t *body = json_loads(answer.data, 0, NULL);
    check_head(body, "io.nats.micro.v1.info_response");
    assert_string_equal(json_string_value(json_object_get(body, "description")), "control");
    const json_t *list = json_object_get(body, "endpoints");
    assert_int_equal(json_array_size(list), 3);
    const json_t *echo = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(echo, "name")), "echo");
    assert_string_equal(json_string_value(json_object_get(echo, "subject")), "berth.v1.ctl.echo");
    assert_string_equal(json_string_value(json_object_get(echo, "queue_group")), "q");
    json_decref(body);
    ask("$SRV.PING.other", "", &answer);
    assert_int_equal(answer.status, 503);
}

static const json_t *endpoint_stats(const json_t *body, size_t index)
{
    return json_array_get(json_object_get(body, "endpoints"), index);
}

static void test_endpoints(void **state)
{
    (void)state;
    struct answer answer = {0};
    ask("berth.v1.ctl.echo", "hello", &answer);
    assert_string_equal(answer.data, "hello");
    ask("berth.v1.ctl.bad", "x", &answer);
    assert_string_equal(answer.data, "body");
    assert_int_equal(answer.status, 0);
    struct answer late = {0}, other = {0};
    assert_int_equal(
        bus_request(client, "berth.v1.ctl.later", "x", 1, 20 * US_PER_S, on_answer, &late, &err),
        0);
    ask("berth.v1.ctl.echo", "between", &other);
    assert_int_equal(late.count, 0);
    micro_respond(micro, kept_token, "now", 3);
    run_until(&late, 1);
    assert_string_equal(late.data, "now");

    ask("$SRV.STATS.berth.id1", "", &answer);
    json_t *body = json_loads(answer.data, 0, NULL);
    check_head(body, "io.nats.micro.v1.stats_response");
    assert_non_null(json_string_value(json_object_get(body, "started")));
    const json_t *echo = endpoint_stats(body, 0);
    const json_t *bad = endpoint_stats(body, 1);
    assert_int_equal(json_integer_value(json_object_get(echo, "num_requests")), 2);
    assert_int_equal(json_integer_value(json_object_get(echo, "num_errors")), 0);
    assert_string_equal(json_string_value(json_object_get(echo, "last_error")), "");
    assert_int_equal(json_integer_value(json_object_get(bad, "num_errors")), 1);
    assert_string_equal(json_string_value(json_object_get(bad, "last_error")), "400:no such");
    assert_true(json_is_integer(json_object_get(bad, "processing_time")));
    assert_true(json_is_integer(json_object_get(bad, "average_processing_time")));
    json_decref(body);
}

static void test_bad_names(void **state)
{
    (void)state;
    struct micro *other = NULL;
    struct micro_options service = {.name = "a.b", .version = "1.0.0", .id = "x"};
    assert_int_equal(micro_open(bus, &service, &other, &err), ERR_INVALID);
    assert_int_equal(micro_endpoint(micro, "a b", "x", on_echo, NULL, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_discovery),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_bad_names),
    };
    return cmocka_run_group_tests_name("micro", tests, setup, teardown);
}
