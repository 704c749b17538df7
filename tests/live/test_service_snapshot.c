/* The scheduler as a process: what a restart reads, and what it refuses to read. */
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/service/journal.h"
#include "tests/live/service_fixture.h"

static int64_t info_number(struct fixture *fixture, const char *key)
{
    json_t *info = ctl(fixture, "info", (struct message_request){0});
    int64_t value = number(info, key);
    json_decref(info);
    return value;
}

static void restart(struct fixture *fixture, int signal_number)
{
    scheduler_end(fixture, signal_number);
    scheduler_start(fixture);
    await_scheduler(fixture);
}

static void journal_path(const struct fixture *fixture, char path[700])
{
    str_format(path, 700, "%s/journal.db", fixture->state);
}

static void sql(const struct fixture *fixture, const char *text)
{
    char path[700];
    sqlite3 *db = NULL;
    journal_path(fixture, path);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, text, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", text, sqlite3_errmsg(db));
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static bool event_is_told(struct fixture *fixture, const char *name)
{
    json_t *events = ctl(fixture, "events", (struct message_request){0});
    bool told = false;
    size_t index;
    json_t *event;
    json_array_foreach(json_object_get(events, "items"), index, event) told =
        told || strcmp(string(event, "name"), name) == 0;
    json_decref(events);
    return told;
}

/* Stopped cleanly in the middle of a handoff, killed after it: nothing is replayed but what was
 * recorded since, and nothing is forgotten. */
static void a_restart_begins_at_the_snapshot(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    struct message_request apply = {.id = "apply-1", .document = app_text};
    json_t *first = ctl(fixture, "apply", apply);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    fixture->nodes[1].ready_late = true;
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "starting");
    assert_int_equal(info_number(fixture, "snapshot_seq"), 0);

    restart(fixture, SIGTERM);
    int64_t snapshot_seq = info_number(fixture, "snapshot_seq");
    assert_true(snapshot_seq > 0);
    assert_int_equal(info_number(fixture, "replayed"), 0);
    assert_int_equal(info_number(fixture, "term"), 2);
    json_t *again = ctl(fixture, "apply", apply);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);
    assert_true(event_is_told(fixture, "app.applied"));

    fixture->nodes[1].ready_late = false;
    for (int i = 0; i < fixture->nodes[1].copy_count; i++)
        report(&fixture->nodes[1], &fixture->nodes[1].copies[i], INSTANCE_READY);
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    restart(fixture, SIGKILL);
    assert_int_equal(info_number(fixture, "snapshot_seq"), snapshot_seq);
    assert_true(info_number(fixture, "replayed") > 0);
    assert_true(info_number(fixture, "replayed") < info_number(fixture, "journal_seq"));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    await_item(fixture, "instances", "node", "n2", "state", "ready");
    assert_true(event_is_told(fixture, "app.applied"));
}

/* Killed without warning: no more than the records since the last periodic one are replayed. */
static void snapshots_come_with_the_records(void **state)
{
    struct fixture *fixture = *state;
    scheduler_end(fixture, SIGKILL);
    assert_int_equal(setenv(SNAPSHOT_RECORDS_ENV, "5", 1), 0);
    scheduler_start(fixture);
    await_scheduler(fixture);
    assert_int_equal(unsetenv(SNAPSHOT_RECORDS_ENV), 0);
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    int64_t snapshot_seq = info_number(fixture, "snapshot_seq");
    assert_true(snapshot_seq >= 5);
    restart(fixture, SIGKILL);
    assert_true(info_number(fixture, "snapshot_seq") >= snapshot_seq);
    assert_true(info_number(fixture, "replayed") <=
                info_number(fixture, "journal_seq") - snapshot_seq);
    assert_int_equal(info_number(fixture, "apps"), 1);
}

/* A snapshot is a short cut: without it the whole record leads to the same. */
static void a_snapshot_that_cannot_be_used_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    apply_app(fixture);
    scheduler_end(fixture, SIGTERM);
    char path[700];
    struct journal *journal = NULL;
    struct error err = {0};
    uint64_t term = 0;
    journal_path(fixture, path);
    /* Behind the last record there is one of nonsense, whole; the one below it is damaged. */
    sql(fixture, "UPDATE snapshot SET bytes = x'7b7d0a7b7d'");
    sql(fixture, "UPDATE snapshot SET seq = seq - 1");
    assert_int_equal(journal_open(path, &journal, &term, &err), 0);
    uint64_t last = journal_last(journal);
    assert_true(last > 1);
    assert_int_equal(journal_snapshot(journal, last, "{}\n{}", 5, &err), 0);
    journal_close(journal);
    scheduler_start(fixture);
    await_scheduler(fixture);
    assert_int_equal(info_number(fixture, "apps"), 1);
    assert_int_equal(info_number(fixture, "replayed"), (int64_t)last);
    assert_int_equal(info_number(fixture, "snapshot_seq"), 0);
    /* It is replaced by the next one. */
    restart(fixture, SIGTERM);
    assert_int_equal(info_number(fixture, "replayed"), 0);
    assert_true(info_number(fixture, "snapshot_seq") > (int64_t)last);
}

/* The newest snapshot, as if another version had written it, which hashes its state otherwise. */
static void sign_snapshot(const struct fixture *fixture, const char *version)
{
    static const char own[] = "\"version\":\"" BERTH_VERSION "\"";
    static const char hash[] = "\"state_hash\":";
    char path[700];
    struct journal *journal = NULL;
    struct error err = {0};
    struct strbuf other;
    uint64_t term = 0;
    uint64_t seq = 0;
    void *bytes = NULL;
    size_t count = 0;
    journal_path(fixture, path);
    assert_int_equal(journal_open(path, &journal, &term, &err), 0);
    assert_int_equal(journal_snapshot_read(journal, UINT64_MAX, &seq, &bytes, &count, &err), 0);
    assert_non_null(bytes);
    const char *text = bytes;
    const char *at = memmem(text, count, own, sizeof(own) - 1);
    const char *at_hash = memmem(text, count, hash, sizeof(hash) - 1);
    assert_true(at != NULL && at_hash != NULL && at < at_hash);
    const char *after = strpbrk(at_hash, ",}");
    strbuf_init(&other, count + 1024);
    strbuf_append(&other, text, (size_t)(at - text));
    strbuf_printf(&other, "\"version\":\"%s\"", version);
    strbuf_append(&other, at + sizeof(own) - 1, (size_t)(at_hash - at) - (sizeof(own) - 1));
    strbuf_printf(&other, "%s1", hash);
    strbuf_append(&other, after, count - (size_t)(after - text));
    assert_int_equal(strbuf_error(&other, &err), 0);
    assert_int_equal(journal_snapshot(journal, seq, strbuf_text(&other), other.bytes, &err), 0);
    journal_close(journal);
    strbuf_done(&other);
    free(bytes);
}

static void an_upgrade_wants_a_clean_stop(void **state)
{
    struct fixture *fixture = *state;
    apply_app(fixture);
    /* As if an older version had run, and been stopped cleanly. */
    scheduler_end(fixture, SIGTERM);
    sql(fixture, "UPDATE writer SET version = '0.0.9'");
    sign_snapshot(fixture, "0.0.9");
    scheduler_start(fixture);
    await_scheduler(fixture);
    assert_int_equal(info_number(fixture, "apps"), 1);
    assert_int_equal(info_number(fixture, "replayed"), 0);
    /* What was written since is this version's own. */
    restart(fixture, SIGKILL);
    assert_true(info_number(fixture, "replayed") > 0);
    assert_int_equal(info_number(fixture, "apps"), 1);

    /* As if the older one had been killed. */
    scheduler_end(fixture, SIGKILL);
    sql(fixture, "DELETE FROM snapshot");
    struct service_options options = options_of(fixture);
    struct service *service = NULL;
    struct error err = {0};
    assert_int_equal(service_open(&options, &service, &err), ERR_UNSUPPORTED);
    assert_null(service);
    static const char *const said[] = {"record 1 ", "0.0.9", BERTH_VERSION, "SIGTERM"};
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        if (strstr(err.text, said[i]) == NULL)
            fail_msg("\"%s\" does not name \"%s\"", err.text, said[i]);
    }
}

/* What a newer version wrote may mean more than this one can read. Its hash tells our own apart
 * from a damaged one. */
static void a_snapshot_of_a_newer_version_is_passed_over(void **state)
{
    struct fixture *fixture = *state;
    static const char *const versions[] = {"999.0.0", BERTH_VERSION};
    apply_app(fixture);
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        scheduler_end(fixture, SIGTERM);
        sign_snapshot(fixture, versions[i]);
        sql(fixture, "DELETE FROM snapshot WHERE seq < (SELECT max(seq) FROM snapshot)");
        scheduler_start(fixture);
        await_scheduler(fixture);
        assert_int_equal(info_number(fixture, "apps"), 1);
        assert_int_equal(info_number(fixture, "snapshot_seq"), 0);
        assert_true(info_number(fixture, "replayed") > 1);
    }
}

int main(int argc, char **argv)
{
    int rc = scheduler_main(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_restart_begins_at_the_snapshot),
        TEST(snapshots_come_with_the_records),
        TEST(a_snapshot_that_cannot_be_used_is_passed_over),
        TEST(an_upgrade_wants_a_clean_stop),
        TEST(a_snapshot_of_a_newer_version_is_passed_over),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
