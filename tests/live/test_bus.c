/* The bus against a real nats-server: delivery on the owner's thread, requests, a server that goes
 * and comes back, credentials, and the memory of a program that has only a bus. */
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/bus/bus.h"
#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "tests/live/server.h"

struct seen {
    struct bus *bus;
    int count;
    int status;
    int ups;
    int downs;
    size_t bytes;
    char last[256];
    char reply[LIMIT_SUBJECT_BYTES];
};

static struct test_server server;

/* Runs the loop of an owner until `*value` reaches `wanted`; 30 s are a generous limit. */
static void run_until(struct bus *bus, const int *value, int wanted)
{
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (*value < wanted && clock_mono_now().us < until) {
        struct pollfd poll_fd = {.fd = bus_fd(bus), .events = POLLIN};
        int64_t wait_us = bus_timeout_us(bus);
        int wait_ms = wait_us < 0 || wait_us > 100000 ? 100 : (int)(wait_us / 1000) + 1;
        (void)poll(&poll_fd, 1, wait_ms);
        (void)bus_dispatch(bus, 100);
    }
    assert_true(*value >= wanted);
}

static void see(void *context, const struct bus_message *message)
{
    struct seen *seen = context;
    seen->count++;
    seen->status = message->status;
    seen->bytes = message->bytes;
    assert_int_equal(message->data[message->bytes], 0);
    if (message->bytes < sizeof(seen->last))
        memcpy(seen->last, message->data, message->bytes + 1);
    assert_int_equal(str_copy(seen->reply, sizeof(seen->reply), message->reply), 0);
}

static void echo(void *context, const struct bus_message *message)
{
    struct seen *seen = context;
    struct error err = {0};
    seen->count++;
    if (bus_publish(seen->bus, message->reply, NULL, message->data, message->bytes, &err) < 0)
        fail_msg("%s", err.text);
}

static void on_state(void *context, bool connected)
{
    struct seen *seen = context;
    if (connected)
        seen->ups++;
    else
        seen->downs++;
}

static struct bus *open_bus(struct seen *state)
{
    struct bus_options options = {.url = server.url,
                                  .name = "test",
                                  .inbox_prefix = "_INBOX.o.test",
                                  .on_state = state == NULL ? NULL : on_state,
                                  .context = state};
    struct bus *bus = NULL;
    struct error err = {0};
    if (bus_open(&options, &bus, &err) < 0)
        fail_msg("%s", err.text);
    return bus;
}

static int setup(void **state)
{
    (void)state;
    test_server_init(&server);
    test_server_start(&server, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    test_server_done(&server);
    return 0;
}

static void test_publish_and_subscribe(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct bus *bus = open_bus(&seen);
    struct bus_subscription *subscription = NULL;
    assert_int_equal(bus_subscribe(bus, "a.*", NULL, see, &seen, &subscription, &err), 0);
    char *big = calloc(1, 900000);
    assert_non_null(big);
    memset(big, 'x', 899999);
    assert_int_equal(bus_publish(bus, "a.b", "back", "hello", 5, &err), 0);
    assert_int_equal(bus_publish(bus, "b.b", NULL, "no", 2, &err), 0);
    run_until(bus, &seen.count, 1);
    assert_string_equal(seen.last, "hello");
    assert_string_equal(seen.reply, "back");
    assert_int_equal(seen.status, 0);
    assert_int_equal(bus_publish(bus, "a.big", NULL, big, 899999, &err), 0);
    assert_int_equal(bus_publish(bus, "a.empty", NULL, NULL, 0, &err), 0);
    run_until(bus, &seen.count, 3);
    assert_int_equal(seen.bytes, 0);
    assert_int_equal(seen.ups, 1);
    assert_int_equal(seen.downs, 0);
    bus_unsubscribe(subscription);
    assert_int_equal(bus_publish(bus, "a.b", NULL, "late", 4, &err), 0);
    assert_int_equal(bus_flush(bus, US_PER_S, &err), 0);
    (void)bus_dispatch(bus, 100);
    assert_int_equal(seen.count, 3);
    assert_int_equal(bus_stats(bus).received, 3);
    free(big);
    bus_close(bus);
}

/* More than the queue holds, sent before anything is handled: the rest is counted, not waited for.
 */
static void test_full_queue(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct bus *from = open_bus(NULL);
    struct bus *to = open_bus(NULL);
    assert_int_equal(bus_subscribe(to, "flood", NULL, see, &seen, NULL, &err), 0);
    assert_int_equal(bus_flush(to, US_PER_S, &err), 0);
    int sent = LIMIT_BUS_QUEUE + 1000;
    for (int i = 0; i < sent; i++)
        assert_int_equal(bus_publish(from, "flood", NULL, "x", 1, &err), 0);
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (bus_stats(to).received + bus_stats(to).dropped < (uint64_t)sent &&
           clock_mono_now().us < until)
        usleep(1000);
    assert_int_equal(bus_stats(to).received, LIMIT_BUS_QUEUE);
    assert_int_equal(bus_stats(to).dropped, 1000);
    run_until(to, &seen.count, LIMIT_BUS_QUEUE);
    assert_int_equal(seen.count, LIMIT_BUS_QUEUE);
    bus_close(from);
    bus_close(to);
}

static void test_requests(void **state)
{
    (void)state;
    struct seen service = {0}, first = {0}, second = {0}, third = {0};
    struct error err = {0};
    struct bus *bus = open_bus(NULL);
    service.bus = bus;
    assert_int_equal(bus_subscribe(bus, "echo", "q", echo, &service, NULL, &err), 0);
    assert_int_equal(bus_subscribe(bus, "silent", NULL, see, &third, NULL, &err), 0);
    assert_int_equal(bus_timeout_us(bus), -1);
    assert_int_equal(bus_request(bus, "echo", "one", 3, 10 * US_PER_S, see, &first, &err), 0);
    assert_int_equal(bus_request(bus, "echo", "two", 3, 10 * US_PER_S, see, &second, &err), 0);
    assert_true(bus_timeout_us(bus) > 0);
    run_until(bus, &first.count, 1);
    run_until(bus, &second.count, 1);
    assert_string_equal(first.last, "one");
    assert_string_equal(second.last, "two");
    assert_int_equal(service.count, 2);
    assert_int_equal(bus_request(bus, "nobody", "x", 1, 10 * US_PER_S, see, &first, &err), 0);
    run_until(bus, &first.count, 2);
    assert_int_equal(first.status, 503);
    assert_int_equal(bus_request(bus, "silent", "x", 1, 50000, see, &second, &err), 0);
    run_until(bus, &second.count, 2);
    assert_int_equal(second.status, 408);
    assert_int_equal(third.count, 1);
    /* A late answer, to a request that has timed out, reaches nobody. */
    assert_int_equal(bus_publish(bus, third.reply, NULL, "late", 4, &err), 0);
    assert_int_equal(bus_flush(bus, US_PER_S, &err), 0);
    (void)bus_dispatch(bus, 100);
    assert_int_equal(second.count, 2);
    assert_int_equal(bus_timeout_us(bus), -1);
    bus_close(bus);
}

static void test_calls(void **state)
{
    (void)state;
    struct error err = {0};
    struct bus *bus = open_bus(NULL);
    char *data = NULL;
    size_t bytes = 0;
    assert_int_equal(bus_call(bus, "nobody", "x", 1, 5 * US_PER_S, &data, &bytes, &err),
                     ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, "nobody answers 'nobody'"));
    struct seen seen = {0};
    assert_int_equal(bus_subscribe(bus, "silent", NULL, see, &seen, NULL, &err), 0);
    assert_int_equal(bus_call(bus, "silent", "x", 1, 50000, &data, &bytes, &err), ERR_TIMEOUT);
    assert_int_equal(bus_call(bus, "$JS.API.INFO", NULL, 0, 5 * US_PER_S, &data, &bytes, &err), 0);
    assert_non_null(strstr(data, "account_info_response"));
    assert_int_equal(strlen(data), bytes);
    free(data);
    assert_int_equal(bus_call(bus, "big", "x", LIMIT_WIRE_BYTES + 1, 50000, &data, &bytes, &err),
                     ERR_LIMIT);
    struct bus_server about;
    assert_int_equal(bus_server(bus, &about, &err), 0);
    assert_true(about.jetstream);
    assert_false(about.auth_required);
    assert_int_equal(about.max_payload_bytes, 1 << 20);
    assert_true(about.version[0] >= '2' && strchr(about.version, '.') != NULL);
    bus_close(bus);
}

/* A drained member of a queue group answers all that was sent to it: nothing is lost. */
static void test_drain(void **state)
{
    (void)state;
    struct seen service = {0}, answers = {0}, other = {0};
    struct error err = {0};
    struct bus *bus = open_bus(NULL);
    struct bus *client = open_bus(NULL);
    service.bus = bus;
    struct bus_subscription *subscription = NULL;
    assert_int_equal(bus_subscribe(bus, "work", "q", echo, &service, &subscription, &err), 0);
    assert_int_equal(bus_flush(bus, US_PER_S, &err), 0);
    for (int i = 0; i < 500; i++)
        assert_int_equal(bus_request(client, "work", "x", 1, 20 * US_PER_S, see, &answers, &err),
                         0);
    assert_int_equal(bus_flush(client, 5 * US_PER_S, &err), 0);
    assert_int_equal(bus_drain(subscription, 10 * US_PER_S, &err), 0);
    assert_int_equal(service.count, 500);
    run_until(client, &answers.count, 500);
    assert_int_equal(answers.status, 0);
    assert_int_equal(bus_request(client, "work", "x", 1, 20 * US_PER_S, see, &other, &err), 0);
    run_until(client, &other.count, 1);
    assert_int_equal(other.status, 503);
    bus_unsubscribe(subscription);
    bus_close(bus);
    bus_close(client);
}

static void test_server_restarts(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct bus *bus = open_bus(&seen);
    assert_int_equal(bus_subscribe(bus, "again", NULL, see, &seen, NULL, &err), 0);
    run_until(bus, &seen.ups, 1);
    test_server_kill(&server);
    run_until(bus, &seen.downs, 1);
    assert_int_equal(bus_publish(bus, "again", NULL, "stale", 5, &err), ERR_UNAVAILABLE);
    assert_int_equal(bus_request(bus, "again", "stale", 5, US_PER_S, see, &seen, &err),
                     ERR_UNAVAILABLE);
    char *data = NULL;
    assert_int_equal(bus_call(bus, "again", "stale", 5, US_PER_S, &data, NULL, &err),
                     ERR_UNAVAILABLE);
    test_server_restart(&server);
    run_until(bus, &seen.ups, 2);
    assert_true(bus_connected(bus));
    assert_int_equal(bus_stats(bus).reconnects, 1);
    assert_int_equal(bus_publish(bus, "again", NULL, "fresh", 5, &err), 0);
    run_until(bus, &seen.count, 1);
    assert_string_equal(seen.last, "fresh");
    assert_int_equal(bus_flush(bus, US_PER_S, &err), 0);
    (void)bus_dispatch(bus, 100);
    assert_int_equal(seen.count, 1);
    bus_close(bus);
}

/* A program that starts before its server: it waits, subscribes, and works once the server is up.
 */
static void test_connect_retry(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct error err = {0};
    struct bus *bus = NULL;
    test_server_kill(&server);
    struct bus_options options = {.url = server.url, .on_state = on_state, .context = &seen};
    assert_int_equal(bus_open(&options, &bus, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.text, server.url));
    options.connect_retry = true;
    if (bus_open(&options, &bus, &err) < 0)
        fail_msg("%s", err.text);
    assert_false(bus_connected(bus));
    assert_int_equal(bus_subscribe(bus, "early", NULL, see, &seen, NULL, &err), 0);
    assert_int_equal(bus_publish(bus, "early", NULL, "x", 1, &err), ERR_UNAVAILABLE);
    test_server_restart(&server);
    run_until(bus, &seen.ups, 1);
    assert_int_equal(bus_publish(bus, "early", NULL, "x", 1, &err), 0);
    run_until(bus, &seen.count, 1);
    assert_int_equal(seen.downs, 0);
    bus_close(bus);
}

static void config_of(const struct test_server *of, const char *key, char *out, size_t capacity)
{
    snprintf(out, capacity,
             "listen: \"127.0.0.1:%d\"\naccounts { A: { users: [ { nkey: %s } ] } }\n", of->port,
             key);
}

/* Credentials refused, again and again, while the server's configuration lacks them; then they are
 * there and the same bus serves. */
static void test_credentials(void **state)
{
    (void)state;
    struct test_server secured;
    test_server_init(&secured);
    char seed_path[700], public_key[NKEY_TEXT_BYTES], config[1024];
    struct error err = {0};
    snprintf(seed_path, sizeof(seed_path), "%s/me.seed", secured.folder);
    assert_int_equal(nkey_file_ensure(seed_path, public_key, &err), 0);
    char other_seed[NKEY_TEXT_BYTES], other[NKEY_TEXT_BYTES];
    assert_int_equal(nkey_create_user(other_seed, other, &err), 0);
    config_of(&secured, public_key, config, sizeof(config));
    test_server_start(&secured, config);

    struct seen seen = {0};
    struct bus *bus = NULL;
    struct bus_options options = {.url = secured.url, .on_state = on_state, .context = &seen};
    assert_int_equal(bus_open(&options, &bus, &err), ERR_DENIED);
    assert_non_null(strstr(err.text, "Authorization Violation"));
    options.seed_path = seed_path;
    if (bus_open(&options, &bus, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(bus_subscribe(bus, "again", NULL, see, &seen, NULL, &err), 0);
    run_until(bus, &seen.ups, 1);
    test_server_stop(&secured);
    config_of(&secured, other, config, sizeof(config));
    test_server_start(&secured, config);
    /* Refused twice, nats.c gives up; from then on the bus waits to make a new connection. */
    int64_t until = clock_mono_now().us + 30 * US_PER_S;
    while (bus_timeout_us(bus) < 0 && clock_mono_now().us < until) {
        usleep(20000);
        (void)bus_dispatch(bus, 100);
    }
    assert_true(bus_timeout_us(bus) >= 0);
    assert_false(bus_connected(bus));
    test_server_stop(&secured);
    config_of(&secured, public_key, config, sizeof(config));
    test_server_start(&secured, config);
    run_until(bus, &seen.ups, 2);
    assert_int_equal(bus_publish(bus, "again", NULL, "x", 1, &err), 0);
    run_until(bus, &seen.count, 1);
    bus_close(bus);
    test_server_done(&secured);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish_and_subscribe),
        cmocka_unit_test(test_full_queue),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_server_restarts),
        cmocka_unit_test(test_connect_retry),
        cmocka_unit_test(test_credentials),
    };
    return cmocka_run_group_tests_name("bus", tests, setup, teardown);
}
