/* A node in a network namespace of its own, with its own address, is cut off: both ways, and one
 * way. Its owner ends with its lease, another one owns only then, and what the node still has when
 * it is back is stopped. An HTTP service is reached over the same cable, and moved over it. */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/stage.h"

#define NODE_TIMEOUT_MS 4000

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

static void begin(enum stage_kind kind, const char *cloud)
{
    const struct cluster_options options = {.delay_ms = 15,
                                            .back_delay_ms = 5,
                                            .jitter_ms = 3,
                                            .node_timeout_ms = NODE_TIMEOUT_MS,
                                            .ingress = {kind == STAGE_WEB, false}};
    if (!cluster_start_apart(&cluster, &options))
        skip();
    stage_open(&stage, &cluster, kind, cloud, &(struct stage_options){.rate = 20, .pages = 5});
    stage_ask(&stage);
}

/* Instances of the workload that run in the folder of that node, whatever Berth says. */
static int processes_at(const char *node)
{
    char folder[700], path[600], target[1024];
    int count = 0;
    struct dirent *entry;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    str_format(folder, sizeof folder, "%s/%s/instances/%s-", cluster.hub.folder, node,
               stage.workload);
    while ((entry = readdir(dir)) != NULL) {
        int64_t pid;
        if (str_to_i64(entry->d_name, &pid) < 0)
            continue;
        str_format(path, sizeof path, "/proc/%" PRId64 "/cwd", pid);
        ssize_t bytes = readlink(path, target, sizeof target - 1);
        target[bytes > 0 ? bytes : 0] = 0;
        count += str_starts(target, folder);
    }
    closedir(dir);
    return count;
}

static json_t *judge_owner(void)
{
    int status;
    json_t *line = stage_judge(&stage, &status);
    print_message("sent %" PRId64 ", %" PRId64 " owners, longest pause %" PRId64 " ms\n",
                  stage_number(line, "sent"), stage_number(line, "owners"),
                  stage_number(line, "longest_pause_us") / US_PER_MS);
    assert_int_equal(stage_number(line, "owners_at_once"), 0);
    assert_int_equal(stage_number(line, "lost_writes"), 0);
    assert_int_equal(stage_number(line, "written_twice"), 0);
    assert_int_equal(stage_number(line, "epochs_down"), 0);
    return line;
}

/* The far owner cannot be told anything. Its lease ends, and only then the near one owns. */
static void test_cut_off_for_long(void **state)
{
    (void)state;
    begin(STAGE_COUNTER, "aws");
    stage_asked(&stage, 40);
    assert_true(processes_at("aws") > 0);
    netns_cut(&cluster.netns, NETNS_CUT_BOTH);
    char text[256];
    assert_int_equal(stage_retag_try(&stage, "gcp", text, sizeof text), 0);
    stage_asked(&stage, 40); /* by the near one: nobody else is there to be heard */
    netns_cut(&cluster.netns, NETNS_WHOLE);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    stage_settled(&stage);
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (processes_at("aws") > 0 && clock_mono_now().us < until_us)
        cluster_pause(50 * US_PER_MS);
    assert_int_equal(processes_at("aws"), 0); /* what was stale is stopped */
    stage_asked(&stage, 40);
    json_t *line = judge_owner();
    assert_int_equal(stage_number(line, "owners"), 2);
    json_decref(line);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

/* One way is as good as both for who is to renew a lease; afterwards the same place owns again, or
 * whoever it was given to. */
static void cut_one_way(enum netns_cut cut)
{
    begin(STAGE_COUNTER, "aws");
    stage_asked(&stage, 40);
    netns_cut(&cluster.netns, cut);
    cluster_pause((NODE_TIMEOUT_MS + 2000) * US_PER_MS);
    netns_cut(&cluster.netns, NETNS_WHOLE);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    stage_settled(&stage);
    stage_asked(&stage, 40);
    json_decref(judge_owner());
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void test_nothing_reaches_it(void **state)
{
    (void)state;
    cut_one_way(NETNS_CUT_TO_FAR);
}

static void test_nothing_comes_from_it(void **state)
{
    (void)state;
    cut_one_way(NETNS_CUT_TO_NEAR);
}

/* Ingress and client at the near side, the service at an address of the far one, and back. */
static void test_http_across(void **state)
{
    (void)state;
    int status;
    begin(STAGE_WEB, "gcp");
    static const char *const there[] = {"aws", "gcp", "aws"};
    for (int i = 0; i < 3; i++) {
        stage_asked(&stage, 40);
        json_decref(stage_move(&stage, there[i]));
    }
    stage_asked(&stage, 40);
    json_t *line = stage_judge(&stage, &status);
    assert_int_equal(stage_number(line, "lost"), 0);
    assert_int_equal(stage_number(line, "refused"), 0);
    assert_int_equal(stage_number(line, "twice"), 0);
    assert_int_equal(status, 0);
    json_decref(line);
    json_decref(stage_judge_pages(&stage, &status));
    assert_int_equal(status, 0);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_cut_off_for_long, teardown),
        cmocka_unit_test_teardown(test_nothing_reaches_it, teardown),
        cmocka_unit_test_teardown(test_nothing_comes_from_it, teardown),
        cmocka_unit_test_teardown(test_http_across, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("partition", tests, NULL, NULL);
}
