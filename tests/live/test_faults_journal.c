/* The record: one scheduler at a time, and a disk that is full. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/live/cluster.h"

static struct cluster cluster;
static char disk[600]; /* a small file system, "" when there is none */

static int teardown(void **state)
{
    (void)state;
    cluster_done(&cluster);
    if (disk[0] != 0) {
        (void)umount2(disk, MNT_DETACH);
        (void)rmdir(disk);
        disk[0] = 0;
    }
    return 0;
}

static void test_started_twice(void **state)
{
    (void)state;
    const char *argv[CLUSTER_ARGS_MAX];
    char holder[64];
    cluster_start(&cluster, NULL);
    cluster_scheduler_argv(&cluster, argv);
    pid_t second = cluster_spawn(&cluster, "second", argv);
    int status = cluster_wait(&second, CLUSTER_WAIT_US);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    str_format(holder, sizeof(holder), "%d", (int)cluster.scheduler_pid);
    cluster_log_print(&cluster, "second");
    assert_true(cluster_log_has(&cluster, "second", holder));
    json_decref(cluster_control(&cluster, "info", NULL)); /* the first goes on */
}

static int64_t disk_fill(const char *path)
{
    static const char zeros[4096];
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    setvbuf(file, NULL, _IONBF, 0);
    int64_t blocks = 0;
    while (fwrite(zeros, 1, sizeof(zeros), file) == sizeof(zeros))
        blocks++;
    assert_int_equal(errno, ENOSPC);
    fclose(file);
    return blocks;
}

/* What cannot be recorded is refused, the workload serves on, and when there is room again so is
 * everything that was acknowledged. */
static void test_disk_full(void **state)
{
    (void)state;
    char filler[700], text[1024];
    json_t *body = NULL;
    str_format(disk, sizeof(disk), "%s/disk-XXXXXX", BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(disk));
    if (mount("berth-test", disk, "tmpfs", 0, "size=2m") != 0) {
        print_message("no small file system can be mounted here (%s)\n", strerror(errno));
        (void)rmdir(disk);
        disk[0] = 0;
        skip();
    }
    cluster_start(&cluster, &(struct cluster_options){.scheduler_dir = disk});
    cluster_apply(&cluster, &(struct cluster_app){.program = "test-workload", .cloud = "gcp"});
    cluster_settled(&cluster, "gcp/us-central1");
    cluster_load_start(&cluster, 300);
    str_format(filler, sizeof(filler), "%s/filler", disk);
    assert_true(disk_fill(filler) > 0);
    struct cluster_request retag = {.app = "t", .workload = "w", .key = "cloud", .value = "aws"};
    /* The log may have room in blocks that it holds already: it is asked until it has none. */
    int64_t until_us = clock_mono_now().us + CLUSTER_WAIT_US;
    int rc = 0;
    for (int i = 0; rc == 0 && clock_mono_now().us < until_us; i++) {
        retag.value = i % 2 == 0 ? "aws" : "gcp";
        rc = cluster_control_try(&cluster, "retag", &retag, text, sizeof(text), NULL);
    }
    print_message("refused: %s: %s\n", error_name(rc), text);
    assert_int_equal(rc, ERR_IO);
    /* The last change that was acknowledged is the other one. */
    const char *kept = str_equal(retag.value, "aws") ? "gcp/us-central1" : "aws/us-east-1";
    assert_int_equal(unlink(filler), 0);
    cluster_settled(&cluster, kept);
    cluster_kill(&cluster.scheduler_pid);
    cluster_scheduler_start(&cluster);
    struct cluster_request apps = {.kind = "apps"};
    body = cluster_control(&cluster, "get", &apps);
    assert_int_equal(json_array_size(json_object_get(body, "items")), 1);
    json_decref(body);
    cluster_settled(&cluster, kept);
    cluster_retag(&cluster, str_equal(kept, "aws/us-east-1") ? "gcp" : "aws");
    cluster_settled(&cluster,
                    str_equal(kept, "aws/us-east-1") ? "gcp/us-central1" : "aws/us-east-1");
    cluster_load_judge(&cluster);
    cluster_delete(&cluster);
    cluster_no_orphans(&cluster);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_started_twice, teardown),
        cmocka_unit_test_teardown(test_disk_full, teardown),
    };
    return cmocka_run_group_tests_name("faults: journal", tests, NULL, NULL);
}
