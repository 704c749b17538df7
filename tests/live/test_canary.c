/* New versions of a service over HTTP as canaries, under the eyes of its outside client: a good one
 * is promoted after its share of the requests, a bad one is taken back and costs its own errors
 * only, whoever counts them. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/stage.h"

#define UPDATE "{canary: 10%, for: 6s, requests: 100, errors: 1%, latency: 150%}"

static struct cluster cluster;
static struct stage stage;

static int teardown(void **state)
{
    (void)state;
    stage_abandon(&stage);
    cluster_done(&cluster);
    stage = (struct stage){0};
    return 0;
}

static void begin(const char *args)
{
    cluster_start(&cluster, &(struct cluster_options){.ingress = {true, false}});
    stage_open(&stage, &cluster, STAGE_WEB, "gcp",
               &(struct stage_options){.rate = 400, .update = UPDATE, .args = args});
    stage_ask(&stage);
    stage_asked(&stage, 200);
}

static void apply(const char *args)
{
    char text[1024];
    stage.options.args = args;
    if (stage_next_version(&stage, text, sizeof text) != 0)
        fail_msg("the version is refused: %s", text);
}

/* Waits for the end of what was applied; the handoff is the caller's. */
static json_t *ended(const char *expected)
{
    json_t *handoff = stage_version_ended(&stage);
    const char *state = json_string_value(json_object_get(handoff, "state"));
    const char *why = json_string_value(json_object_get(handoff, "text"));
    print_message("%s: %s\n", state, why);
    if (!str_equal(state, expected)) {
        cluster_log_print(&cluster, "scheduler");
        fail_msg("the canary ended as %s: %s", state, why);
    }
    assert_true(stage_entered_us(handoff, "canary") > 0);
    return handoff;
}

/* What the client saw of each instance; the canary's by its name. */
static int64_t answered_by(const json_t *line, const char *instance)
{
    size_t i;
    const json_t *server;
    json_array_foreach(json_object_get(line, "servers"), i,
                       server) if (str_equal(json_string_value(json_object_get(server, "instance")),
                                             instance)) return stage_number(server, "answered");
    return 0;
}

static void count_handoffs(const char *state, size_t expected)
{
    struct cluster_request request = {.kind = "handoffs", .app = stage.app};
    json_t *body = cluster_control(&cluster, "get", &request);
    size_t i, count = 0;
    const json_t *item;
    json_array_foreach(json_object_get(body, "items"), i, item) count +=
        str_equal(json_string_value(json_object_get(item, "state")), state);
    assert_int_equal(count, expected);
    json_decref(body);
}

/* The part of the answers that came from the second instance while it was a canary, from the first
 * of the client's lines in that time to the last one. */
static double share_of_canary(void)
{
    struct cluster_request request = {.kind = "handoffs", .app = stage.app};
    int64_t first[2] = {0}, last[2] = {0}; /* of all, and of the canary */
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    for (bool begun = false;; cluster_pause(20 * US_PER_MS)) {
        json_t *line = stage_line(&stage);
        json_t *body = cluster_control(&cluster, "get", &request);
        size_t i;
        const json_t *item;
        const char *to = NULL;
        json_array_foreach(json_object_get(body, "items"), i, item)
        {
            if (str_equal(json_string_value(json_object_get(item, "state")), "canary"))
                to = json_string_value(json_object_get(item, "to"));
        }
        if (to != NULL && line != NULL) {
            last[0] = stage_number(line, "answered");
            last[1] = answered_by(line, to);
            if (!begun)
                memcpy(first, last, sizeof first);
            begun = true;
        }
        json_decref(line);
        json_decref(body);
        if (to == NULL && begun)
            break;
        if (clock_mono_now().us > until_us)
            fail_msg("no canary came to its end");
    }
    assert_true(last[0] > first[0]);
    return (double)(last[1] - first[1]) / (double)(last[0] - first[0]);
}

static void test_a_good_one_is_promoted(void **state)
{
    int status;
    (void)state;
    begin(NULL);
    apply("");
    double share = share_of_canary();
    print_message("it had %.1f %% of the requests\n", share * 100);
    assert_true(share > 0.08 && share < 0.12);
    json_t *handoff = ended("done");
    const char *to = json_string_value(json_object_get(handoff, "to"));
    assert_non_null(to);
    stage_asked(&stage, 500);
    json_t *line = stage_judge(&stage, &status);
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "refused"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(status, 0);
    assert_true(answered_by(line, to) > 500); /* all of them, in the end */
    json_decref(line);
    json_decref(handoff);
    stage_settled(&stage);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

/* Its errors are its share's: 5 % of a tenth of what was asked meanwhile, and nothing else. */
static void a_bad_one_is_taken_back(const char *good, const char *bad)
{
    int status;
    begin(good);
    apply(bad);
    json_t *handoff = ended("back");
    char to[LIMIT_ID_BYTES];
    str_format(to, sizeof to, "%s", json_string_value(json_object_get(handoff, "to")));
    assert_non_null(strstr(json_string_value(json_object_get(handoff, "text")), "fails"));
    int64_t canary_us =
        stage_entered_us(handoff, "returning") - stage_entered_us(handoff, "canary");
    json_decref(handoff);
    stage_settled(&stage);
    /* It is not tried again: nothing happens while two thousand requests come. */
    count_handoffs("back", 1);
    stage_asked(&stage, 2000);
    count_handoffs("back", 1);
    assert_true(stage_is_settled(&stage));
    json_t *line = stage_judge(&stage, &status);
    int64_t share = answered_by(line, to);
    int64_t failed = stage_number(line, "refused_5xx");
    print_message("%" PRId64 " of some %" PRId64 " requests in %" PRId64
                  " ms were the canary's, %" PRId64 " failed\n",
                  share, canary_us * stage.options.rate / US_PER_S, canary_us / US_PER_MS, failed);
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(stage_number(line, "refused"), failed);
    assert_int_equal(status, 1);
    /* Every twentieth of its own; its share is a tenth of all, as weights are: no more. */
    assert_true(share >= 100);
    assert_in_range(failed, share / 20 - 1, share / 20 + 1);
    assert_true(share <= canary_us * stage.options.rate / US_PER_S / 8 + 50);
    json_decref(line);
    /* The next apply is a new try. */
    stage_ask(&stage);
    apply(good);
    json_decref(ended("done"));
    line = stage_judge(&stage, &status);
    assert_int_equal(stage_number(line, "lost"), 0);
    json_decref(line);
    stage_settled(&stage);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void test_a_bad_one_is_taken_back(void **state)
{
    (void)state;
    a_bad_one_is_taken_back(NULL, ", \"--fail-ppm\", \"50000\"");
}

/* A workload that tells Berth no counters is judged by what its ingress sees of it. */
static void test_one_that_does_not_count(void **state)
{
    (void)state;
    a_bad_one_is_taken_back(", \"--count\", \"no\"",
                            ", \"--count\", \"no\", \"--fail-ppm\", \"50000\"");
}

/* Late and otherwise right: it is taken back, and costs nobody a request. Its own share is all that
 * was late. */
static void a_late_one_is_taken_back(const char *good, const char *late)
{
    int status;
    begin(good);
    apply(late);
    json_t *handoff = ended("back");
    char to[LIMIT_ID_BYTES];
    str_format(to, sizeof to, "%s", json_string_value(json_object_get(handoff, "to")));
    assert_non_null(strstr(json_string_value(json_object_get(handoff, "text")), "takes"));
    json_decref(handoff);
    stage_settled(&stage);
    stage_asked(&stage, 2000);
    count_handoffs("back", 1);
    assert_true(stage_is_settled(&stage));
    json_t *line = stage_judge(&stage, &status);
    int64_t share = answered_by(line, to);
    print_message("%" PRId64 " of %" PRId64 " requests were the late one's\n", share,
                  stage_number(line, "answered"));
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "refused"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(status, 0);
    assert_true(share >= 100);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

/* By what the two versions count themselves. */
static void test_a_late_one_is_taken_back(void **state)
{
    (void)state;
    a_late_one_is_taken_back(", \"--wait-ms\", \"5\"", ", \"--wait-ms\", \"200\"");
}

/* By what their ingress sees of them. */
static void test_a_late_one_that_does_not_count(void **state)
{
    (void)state;
    a_late_one_is_taken_back(", \"--count\", \"no\", \"--wait-ms\", \"5\"",
                             ", \"--count\", \"no\", \"--wait-ms\", \"200\"");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_good_one_is_promoted, teardown),
        cmocka_unit_test_teardown(test_a_bad_one_is_taken_back, teardown),
        cmocka_unit_test_teardown(test_one_that_does_not_count, teardown),
        cmocka_unit_test_teardown(test_a_late_one_is_taken_back, teardown),
        cmocka_unit_test_teardown(test_a_late_one_that_does_not_count, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("canary", tests, NULL, NULL);
}
