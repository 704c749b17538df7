/* A machine dies with the owner on it, agent, shim, workload and all: the next owner has the state
 * of the last checkpoint, and without any it starts empty and says so. */
#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/stage.h"

static struct cluster cluster;
static struct stage stage;

static int teardown(void **state)
{
    (void)state;
    if (stage.client_pid > 0)
        (void)kill(stage.client_pid, SIGCONT);
    stage_abandon(&stage);
    cluster_done(&cluster);
    stage = (struct stage){0};
    return 0;
}

/* Every process that lives in the node's folder: its shims, and what they started. */
static int kill_all_of(const char *node)
{
    char folder[900];
    int count = 0;
    str_format(folder, sizeof folder, "%s/%s/", cluster.hub.folder, node);
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int64_t pid;
        char path[64], target[1000];
        if (str_to_i64(entry->d_name, &pid) < 0)
            continue;
        str_format(path, sizeof path, "/proc/%" PRId64 "/cwd", pid);
        ssize_t bytes = readlink(path, target, sizeof target - 1);
        target[bytes > 0 ? bytes : 0] = 0;
        if (str_starts(target, folder) && kill((pid_t)pid, SIGKILL) == 0)
            count++;
    }
    closedir(dir);
    return count;
}

static void log_wait(const char *text)
{
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    while (!cluster_log_has(&cluster, "scheduler", text)) {
        if (clock_mono_now().us > until_us) {
            cluster_log_print(&cluster, "scheduler");
            fail_msg("the scheduler does not say '%s'", text);
        }
        cluster_pause(50 * US_PER_MS);
    }
}

static void checkpoint_wait(int number)
{
    char text[64];
    str_format(text, sizeof text, "\"checkpoint %d, ", number);
    log_wait(text);
}

static int checkpoint_newest(void)
{
    char text[64];
    int number = 0;
    do {
        str_format(text, sizeof text, "\"checkpoint %d, ", ++number);
    } while (cluster_log_has(&cluster, "scheduler", text));
    return number - 1;
}

/* The client stands still from before the last checkpoint until there is an owner again: what was
 * acknowledged is all in it. */
static json_t *owner_dies(const char *checkpoint)
{
    int status;
    char text[256];
    cluster_start(&cluster, NULL);
    stage_open(&stage, &cluster, STAGE_STATE, "gcp",
               &(struct stage_options){.checkpoint = checkpoint});
    stage_ask(&stage);
    stage_asked(&stage, 200);
    assert_int_equal(kill(stage.client_pid, SIGSTOP), 0);
    if (checkpoint != NULL)
        checkpoint_wait(checkpoint_newest() + 2);
    cluster_kill(&cluster.nodes[CLUSTER_GCP].pid);
    assert_true(kill_all_of("gcp") > 0);
    assert_int_equal(stage_retag_try(&stage, "aws", text, sizeof text), 0);
    log_wait(checkpoint != NULL ? "checkpoint.restored" : "state.lost");
    assert_int_equal(kill(stage.client_pid, SIGCONT), 0);
    stage_asked(&stage, 200);
    json_t *line = stage_judge(&stage, &status);
    print_message("%" PRId64 " acknowledged writes lost, %" PRId64 " owners\n",
                  stage_number(line, "lost_writes"), stage_number(line, "owners"));
    assert_int_equal(stage_number(line, "owners_at_once"), 0);
    assert_int_equal(stage_number(line, "owners"), 2);
    return line;
}

static void test_the_next_owner_has_the_checkpoint(void **state)
{
    (void)state;
    json_t *line = owner_dies("1s");
    assert_int_equal(stage_number(line, "lost_writes"), 0);
    json_decref(line);
    /* The machine is back: what is stale there goes, and takes no checkpoint with it. */
    cluster_node_start(&cluster, CLUSTER_GCP);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    stage_settled(&stage);
    checkpoint_wait(checkpoint_newest() + 2);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

static void test_without_any_it_starts_empty(void **state)
{
    (void)state;
    json_t *line = owner_dies(NULL);
    assert_true(stage_number(line, "lost_writes") > 0);
    json_decref(line);
    cluster_node_start(&cluster, CLUSTER_GCP);
    cluster_nodes_wait(&cluster, CLUSTER_NODES);
    stage_settled(&stage);
    stage_close(&stage);
    cluster_no_orphans(&cluster);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_the_next_owner_has_the_checkpoint, teardown),
        cmocka_unit_test_teardown(test_without_any_it_starts_empty, teardown),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests_name("checkpoints", tests, NULL, NULL);
}
