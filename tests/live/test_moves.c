/* Each class is moved there and back under the eyes of its outside client: a service over HTTP
 * with websockets, an exclusive owner, a stateful one. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/stage.h"

static struct cluster cluster;
static struct stage stage;

static const char *const clouds[] = {"aws", "gcp"};

static int teardown(void **state)
{
    (void)state;
    stage_abandon(&stage);
    cluster_done(&cluster);
    stage = (struct stage){0};
    return 0;
}

static void there_and_back(int moves, int64_t between)
{
    for (int i = 0; i < moves; i++) {
        stage_asked(&stage, between);
        json_decref(stage_move(&stage, clouds[i % 2]));
    }
    stage_asked(&stage, between);
}

/* A client that trusts another authority gets no answer from the ingress: what the others are
 * judged by was said by this server, over TLS. */
static void nobody_else_is_believed(void)
{
    char program[700], url[64], other[700];
    cluster_certificate(&cluster, "other", other);
    str_format(url, sizeof url, "https://127.0.0.1:%d/", cluster.nodes[CLUSTER_GCP].https_port);
    const char *const argv[] = {cluster_program("http-load", program),
                                "--json",
                                "--url",
                                url,
                                "--host",
                                "web.test",
                                "--ca",
                                other,
                                "--rate",
                                "10",
                                "--seconds",
                                "1",
                                "--connections",
                                "1",
                                "--timeout-ms",
                                "100",
                                NULL};
    pid_t pid = cluster_spawn(&cluster, "other-authority", argv);
    int status = cluster_wait(&pid, CLUSTER_WAIT_US);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(cluster_log_has(&cluster, "other-authority", "the server is not believed"));
    assert_true(cluster_log_has(&cluster, "other-authority", "\"sent\":10,\"answered\":0,"));
}

/* Nothing is lost, refused, or carried out twice; websockets come back by themselves. */
static void http_moves(bool fresh, const struct cluster_options *options)
{
    int status;
    cluster_start(&cluster, options);
    stage_open(&stage, &cluster, STAGE_WEB, "gcp",
               &(struct stage_options){.pages = fresh ? 0 : 20,
                                       .fresh = fresh,
                                       .post_bytes = options->tls ? 40000 : 0});
    stage_ask(&stage);
    if (options->tls)
        nobody_else_is_believed();
    there_and_back(4, 100);
    json_t *line = stage_judge(&stage, &status);
    print_message("sent %" PRId64 ", longest gap %" PRId64 " ms, p99 %" PRId64 " us\n",
                  stage_number(line, "sent"), stage_number(line, "longest_gap_us") / US_PER_MS,
                  stage_number(line, "p99_us"));
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "refused"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(status, 0);
    assert_int_equal(json_array_size(json_object_get(line, "servers")), 5);
    json_decref(line);
    if (!fresh) {
        line = stage_judge_pages(&stage, &status);
        print_message("pages: %" PRId64 " closed with 1012, away for %" PRId64 " ms at most\n",
                      stage_number(line, "closed_1012"),
                      stage_number(line, "gap_max_us") / US_PER_MS);
        assert_int_equal(stage_number(line, "lost"), 0);
        assert_int_equal(stage_number(line, "closed_other"), 0);
        assert_true(stage_number(line, "closed_1012") >= 20);
        json_decref(line);
    }
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void test_http(void **state)
{
    (void)state;
    http_moves(false, &(struct cluster_options){.ingress = {true, false}});
}

/* The same over HTTPS: requests on kept TLS connections, half of them POSTs of more than a record,
 * and websockets within such. */
static void test_http_tls(void **state)
{
    (void)state;
    http_moves(false, &(struct cluster_options){.ingress = {true, false}, .tls = true});
}

/* Each request with a connection of its own, and an ingress that the traffic does not use: it is
 * waited for as well. */
static void test_http_two_ingresses(void **state)
{
    (void)state;
    http_moves(true, &(struct cluster_options){.ingress = {true, true}});
}

/* An owner behind the ingress: nobody serves in the middle of each of fifty handoffs, and whoever
 * asks then waits in the ingress. No request is refused, lost, or carried out twice, and those of
 * websockets come back by themselves. */
static void test_http_owner(void **state)
{
    int status;
    (void)state;
    cluster_start(&cluster, &(struct cluster_options){.ingress = {true, false}});
    stage_open(&stage, &cluster, STAGE_WEB, "gcp",
               &(struct stage_options){.owner = true, .post_bytes = 40000, .pages = 5});
    stage_ask(&stage);
    there_and_back(50, 20);
    json_t *line = stage_judge(&stage, &status);
    print_message("sent %" PRId64 ", longest gap %" PRId64 " ms, p99 %" PRId64 " us\n",
                  stage_number(line, "sent"), stage_number(line, "longest_gap_us") / US_PER_MS,
                  stage_number(line, "p99_us"));
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "refused"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(status, 0);
    assert_int_equal(json_array_size(json_object_get(line, "servers")), 51);
    json_decref(line);
    line = stage_judge_pages(&stage, &status);
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "closed_other"), 0);
    assert_true(stage_number(line, "closed_1012") > 0);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void owner_moves(enum stage_kind kind, const struct cluster_options *how)
{
    int status;
    cluster_start(&cluster, how);
    /* A counter asks its ledger before each answer, across the link where it is far. */
    stage_open(&stage, &cluster, kind, "gcp",
               &(struct stage_options){.rate = kind == STAGE_COUNTER ? 5 : 300});
    stage_ask(&stage);
    there_and_back(4, 10);
    json_t *line = stage_judge(&stage, &status);
    print_message("sent %" PRId64 ", longest pause %" PRId64 " us\n", stage_number(line, "sent"),
                  stage_number(line, "longest_pause_us"));
    assert_int_equal(stage_number(line, "lost_writes"), 0);
    assert_int_equal(stage_number(line, "owners_at_once"), 0);
    assert_int_equal(stage_number(line, "owners"), 5);
    assert_int_equal(status, 0);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void test_exclusive(void **state)
{
    (void)state;
    owner_moves(STAGE_COUNTER, NULL);
}

static void test_stateful(void **state)
{
    (void)state;
    owner_moves(STAGE_STATE, NULL);
}

/* A link that is longer one way than the other, and never twice the same. */
static void test_uneven_distance(void **state)
{
    (void)state;
    const struct cluster_options far = {.delay_ms = 60, .back_delay_ms = 10, .jitter_ms = 15};
    owner_moves(STAGE_COUNTER, &far);
}

/* The server comes back without its store: what Berth keeps there is made again while it runs, and
 * state moves as before. */
static void test_store_is_wiped(void **state)
{
    (void)state;
    char store[700];
    int status;
    cluster_start(&cluster, NULL);
    stage_open(&stage, &cluster, STAGE_STATE, "gcp", NULL);
    stage_ask(&stage);
    test_server_kill(&cluster.hub);
    str_format(store, sizeof store, "%s/js", cluster.hub.folder);
    test_folder_remove(store);
    test_server_restart(&cluster.hub);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    stage_settled(&stage);
    stage_asked(&stage, 20);
    char text[256];
    assert_int_equal(stage_retag_try(&stage, "aws", text, sizeof text), 0);
    stage_settled(&stage); /* a try that came before the store is made is followed by another */
    stage_asked(&stage, 20);
    json_t *line = stage_judge(&stage, &status);
    assert_int_equal(stage_number(line, "lost_writes"), 0);
    assert_int_equal(stage_number(line, "owners_at_once"), 0);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_http, teardown),
        cmocka_unit_test_teardown(test_http_tls, teardown),
        cmocka_unit_test_teardown(test_http_two_ingresses, teardown),
        cmocka_unit_test_teardown(test_http_owner, teardown),
        cmocka_unit_test_teardown(test_exclusive, teardown),
        cmocka_unit_test_teardown(test_stateful, teardown),
        cmocka_unit_test_teardown(test_uneven_distance, teardown),
        cmocka_unit_test_teardown(test_store_is_wiped, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("moves", tests, NULL, NULL);
}
