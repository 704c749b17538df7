/* A full disk under the journal: changes are refused, what runs goes on, nothing is half done, and
 * with room again everything works without a restart. The disk is a small tmpfs. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/live/service_fixture.h"

static int setup_small(void **state)
{
    return fixture_setup(state, "1m");
}

/* Takes all that is left of the disk. */
static void fill(const struct fixture *fixture, char *path, size_t capacity)
{
    static const char block[4096];
    str_format(path, capacity, "%s/filler", fixture->state);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (write(fd, block, sizeof(block)) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static bool journal_is_fine(struct fixture *fixture)
{
    json_t *info = ctl(fixture, "info", (struct message_request){0});
    bool fine = strcmp(string(info, "journal"), "ok") == 0;
    json_decref(info);
    return fine;
}

static void await_journal(struct fixture *fixture, bool fine)
{
    int64_t until_us = clock_mono_now().us + WAIT_US;
    while (journal_is_fine(fixture) != fine) {
        assert_true(clock_mono_now().us < until_us);
        pump(fixture);
    }
}

/* What the record knows still has room in the write-ahead log's file: use that up with changes
 * until one is refused. Each that was acknowledged counts. */
static int change_until_refused(struct fixture *fixture, const char **ret_cloud)
{
    static const char *const clouds[] = {"aws", "gcp"};
    for (int i = 0; i < 10000; i++) {
        json_t *reply = try_ctl(fixture, "retag", retag_to(clouds[i % 2]));
        assert_non_null(reply);
        int code = (int)number(reply, "code");
        const char *text = string(reply, "text");
        if (code != 0 && (code != ERR_IO || strstr(text, "not applied") == NULL))
            fail_msg("refused with %s: %s", error_name(code), text);
        json_decref(reply);
        if (code != 0)
            return i;
        *ret_cloud = clouds[i % 2];
    }
    fail_msg("the disk is full, and 10000 changes were acknowledged");
    return 0;
}

static void cloud_now(struct fixture *fixture, char *out, size_t capacity)
{
    json_t *apps = ctl(fixture, "get", (struct message_request){.kind = "apps"});
    json_t *app = json_array_get(json_object_get(apps, "items"), 0);
    json_t *workload = json_array_get(json_object_get(app, "workloads"), 0);
    str_format(out, capacity, "%s", string(json_object_get(workload, "require"), "cloud"));
    json_decref(apps);
}

static void a_full_disk_refuses_changes_and_nothing_else(void **state)
{
    struct fixture *fixture = *state;
    char filler[700];
    char cloud[LIMIT_NAME_BYTES];
    const char *acknowledged = "gcp";
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");

    fill(fixture, filler, sizeof(filler));
    (void)change_until_refused(fixture, &acknowledged);
    await_journal(fixture, false);
    cloud_now(fixture, cloud, sizeof(cloud));
    assert_string_equal(cloud, acknowledged); /* the refused one left no trace */
    refused(fixture, "retag", retag_to("aws"), ERR_IO, "not applied");
    refused(fixture, "apply", (struct message_request){.document = app_text}, ERR_IO, "space");
    bool serving = false;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < fixture->nodes[i].copy_count; k++)
            serving = serving || fixture->nodes[i].copies[k].state == INSTANCE_READY;
    assert_true(serving); /* no node was told to end what runs */

    assert_int_equal(unlink(filler), 0);
    await_journal(fixture, true);
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "instances", "node", "n2", "state", "ready");

    /* And the record is whole: a new process reads it to the same state. */
    scheduler_end(fixture, SIGKILL);
    scheduler_start(fixture);
    await_scheduler(fixture);
    cloud_now(fixture, cloud, sizeof(cloud));
    assert_string_equal(cloud, "aws");
}

/* Killed while it refuses: the restart on the full disk says what is wrong, and with room it runs.
 */
static void a_start_on_a_full_disk_says_so(void **state)
{
    struct fixture *fixture = *state;
    char filler[700];
    const char *acknowledged = "gcp";
    apply_app(fixture);
    fill(fixture, filler, sizeof(filler));
    (void)change_until_refused(fixture, &acknowledged);
    scheduler_end(fixture, SIGKILL);

    struct service_options options = options_of(fixture);
    struct service *service = NULL;
    struct error err = {0};
    int rc = service_open(&options, &service, &err);
    assert_int_equal(rc, ERR_IO);
    assert_non_null(strstr(err.text, "journal.db"));

    assert_int_equal(unlink(filler), 0);
    scheduler_start(fixture);
    await_scheduler(fixture);
    char cloud[LIMIT_NAME_BYTES];
    cloud_now(fixture, cloud, sizeof(cloud));
    assert_string_equal(cloud, acknowledged);
}

int main(int argc, char **argv)
{
    int rc = scheduler_main(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_small, teardown)
        TEST(a_full_disk_refuses_changes_and_nothing_else),
        TEST(a_start_on_a_full_disk_says_so),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
