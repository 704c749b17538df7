/* A key-value bucket against a real nats-server: made, read, written by compare-and-set by two who
 * race, wiped and made again. */
#include <inttypes.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bus/jetstream.h"
#include "base/bus/kv.h"
#include "base/bus/subjects.h"
#include "base/clock.h"
#include "base/str.h"
#include "tests/live/server.h"

#define WAIT_US (10 * US_PER_S)

struct got {
    int count;
    int rc;
    uint64_t revision;
    struct kv_entry entry;
    struct error err;
};

static struct test_server server;
static struct bus *bus;
static struct error err;

static int setup(void **state)
{
    (void)state;
    test_server_init(&server);
    test_server_start(&server, NULL);
    struct bus_options options = {.url = server.url, .inbox_prefix = "_INBOX.s.test"};
    return bus_open(&options, &bus, &err);
}

static int teardown(void **state)
{
    (void)state;
    bus_close(bus);
    test_server_done(&server);
    return 0;
}

static void must(int rc)
{
    if (rc < 0)
        fail_msg("%s: %s", error_name(rc), err.text);
}

static void on_put(void *context, const struct bus_message *message)
{
    struct got *got = context;
    got->rc = kv_was_put(message, &got->revision, &got->err);
    got->count++;
}

static void on_got(void *context, const struct bus_message *message)
{
    struct got *got = context;
    got->rc = kv_got(message, &got->entry, &got->err);
    got->count++;
}

static void on_made(void *context, const struct bus_message *message)
{
    struct got *got = context;
    got->rc = kv_bucket_made(message, &got->err);
    got->count++;
}

static void wait_for(struct got *got, int count)
{
    struct mono until = {clock_mono_now().us + WAIT_US};
    while (got->count < count) {
        struct pollfd ready = {.fd = bus_fd(bus), .events = POLLIN};
        if (clock_mono_now().us > until.us)
            fail_msg("no answer within 10 s");
        (void)poll(&ready, 1, 100);
        (void)bus_dispatch(bus, 64);
    }
}

static struct got put(const char *key, uint64_t expected, const char *value)
{
    struct got got = {0};
    must(kv_put(bus, "owners", key, expected, value, strlen(value), WAIT_US, on_put, &got, &err));
    wait_for(&got, 1);
    return got;
}

static struct got get(const char *key)
{
    struct got got = {0};
    must(kv_get(bus, "owners", key, WAIT_US, on_got, &got, &err));
    wait_for(&got, 1);
    return got;
}

static void test_what_is_put_is_got(void **state)
{
    (void)state;
    must(kv_bucket_ensure(bus, "owners", &err));
    must(kv_bucket_ensure(bus, "owners", &err)); /* it is there already */
    struct got none = get("default.shop.db.0");
    assert_int_equal(none.rc, 0);
    assert_int_equal(none.entry.revision, 0);
    struct got first = put("default.shop.db.0", 0, "{\"term\":1,\"n\":2}");
    assert_int_equal(first.rc, 0);
    struct got again = get("default.shop.db.0");
    assert_int_equal(again.entry.revision, first.revision);
    assert_string_equal(again.entry.value, "{\"term\":1,\"n\":2}");
    /* Another key has a revision of its own. */
    assert_int_equal(put("default.shop.db.1", 0, "x").rc, 0);
    struct got second = put("default.shop.db.0", first.revision, "{\"term\":1,\"n\":3}");
    assert_int_equal(second.rc, 0);
    assert_true(second.revision > first.revision);
}

static void test_only_one_of_two_writes_on_one_revision(void **state)
{
    (void)state;
    struct got first = put("race", 0, "0");
    assert_int_equal(first.rc, 0);
    assert_int_equal(put("race", 0, "new").rc, ERR_STALE);
    struct got a = {0};
    struct got b = {0};
    must(kv_put(bus, "owners", "race", first.revision, "a", 1, WAIT_US, on_put, &a, &err));
    must(kv_put(bus, "owners", "race", first.revision, "b", 1, WAIT_US, on_put, &b, &err));
    wait_for(&a, 1);
    wait_for(&b, 1);
    assert_int_equal(a.rc, 0);
    assert_int_equal(b.rc, ERR_STALE);
    assert_string_equal(get("race").entry.value, "a");
}

static void test_a_bucket_that_is_gone_is_made_again(void **state)
{
    (void)state;
    struct got got = {0};
    must(kv_get(bus, "wiped", "key", WAIT_US, on_got, &got, &err));
    wait_for(&got, 1);
    assert_int_equal(got.rc, ERR_NOT_FOUND);
    must(kv_put(bus, "wiped", "key", 0, "x", 1, WAIT_US, on_put, &got, &err));
    wait_for(&got, 2);
    assert_int_equal(got.rc, ERR_UNAVAILABLE); /* nobody takes what is said there */
    must(kv_bucket_make(bus, "wiped", WAIT_US, on_made, &got, &err));
    wait_for(&got, 3);
    assert_int_equal(got.rc, 0);
    must(kv_bucket_make(bus, "wiped", WAIT_US, on_made, &got, &err)); /* as does another */
    wait_for(&got, 4);
    assert_int_equal(got.rc, 0);
    must(kv_put(bus, "wiped", "key", 0, "x", 1, WAIT_US, on_put, &got, &err));
    wait_for(&got, 5);
    assert_int_equal(got.rc, 0);
}

static void test_a_bucket_of_others_is_refused(void **state)
{
    (void)state;
    must(stream_ensure(bus, "KV_other", "$KV.other.>", US_PER_S, 0, &err));
    assert_int_equal(kv_bucket_ensure(bus, "other", &err), ERR_EXISTS);
    assert_non_null(strstr(err.text, "KV_other"));
}

static int by_size(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

/* Not a promise of this test: the figure stands in its output. */
static void test_what_a_write_takes(void **state)
{
    (void)state;
    static int64_t took_us[200];
    uint64_t revision = 0;
    for (int i = 0; i < 200; i++) {
        int64_t begun_us = clock_mono_now().us;
        struct got got = put("figure", revision, "{\"term\":1,\"n\":2,\"instance\":\"db-0-1\"}");
        took_us[i] = clock_mono_now().us - begun_us;
        assert_int_equal(got.rc, 0);
        revision = got.revision;
    }
    qsort(took_us, 200, sizeof(took_us[0]), by_size);
    print_message("a write by compare-and-set: median %" PRId64 " us, p99 %" PRId64 " us\n",
                  took_us[100], took_us[198]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_put_is_got),
        cmocka_unit_test(test_only_one_of_two_writes_on_one_revision),
        cmocka_unit_test(test_a_bucket_that_is_gone_is_made_again),
        cmocka_unit_test(test_a_bucket_of_others_is_refused),
        cmocka_unit_test(test_what_a_write_takes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
