#include "scheduler/service/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

struct fixture {
    char directory[256];
    char path[300];
};

/* What a replay saw, for comparison. */
struct seen {
    uint64_t count;
    uint64_t first;
    uint64_t last;
    uint64_t last_term;
    int stop_after;
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    str_format(fixture->directory, sizeof(fixture->directory), "%s/journal-XXXXXX",
               BERTH_BINARY_DIR);
    assert_non_null(mkdtemp(fixture->directory));
    str_format(fixture->path, sizeof(fixture->path), "%s/journal.db", fixture->directory);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    static const char *const endings[] = {"", "-wal", "-shm", "-journal", ".lock"};
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char file[320];
        str_format(file, sizeof(file), "%s%s", fixture->path, endings[i]);
        (void)unlink(file);
    }
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

static struct journal *opened(const char *path, uint64_t *ret_term)
{
    struct journal *journal = NULL;
    struct error err = {0};
    int rc = journal_open(path, &journal, ret_term, &err);
    if (rc < 0)
        fail_msg("open: %s", err.text);
    return journal;
}

/* Appends `count` records whose texts can be told apart. */
static int append(struct journal *journal, int count, struct error *err)
{
    struct journal_record records[16] = {0};
    char events[16][64];
    assert_true(count <= 16);
    uint64_t next = journal_last(journal) + 1;
    for (int i = 0; i < count; i++) {
        str_format(events[i], sizeof(events[i]), "{\"event\":%" PRIu64 "}", next + (uint64_t)i);
        records[i].event = events[i];
        records[i].effects = "[]";
        records[i].at_us = (int64_t)(1000 + next + (uint64_t)i);
        records[i].state_hash = UINT64_MAX - next - (uint64_t)i; /* uses the sign bit */
    }
    int rc = journal_append(journal, records, count, err);
    for (int i = 0; rc == 0 && i < count; i++)
        assert_int_equal(records[i].seq, next + (uint64_t)i);
    return rc;
}

static int visit(void *context, const struct journal_record *record, struct error *err)
{
    (void)err;
    struct seen *seen = context;
    char event[64];
    str_format(event, sizeof(event), "{\"event\":%" PRIu64 "}", record->seq);
    assert_string_equal(record->event, event);
    assert_string_equal(record->effects, "[]");
    assert_int_equal(record->at_us, 1000 + record->seq);
    assert_true(record->state_hash == UINT64_MAX - record->seq);
    if (seen->count == 0)
        seen->first = record->seq;
    seen->count++;
    seen->last = record->seq;
    seen->last_term = record->term;
    return seen->stop_after > 0 && seen->count == (uint64_t)seen->stop_after ? 77 : 0;
}

static struct seen replayed(struct journal *journal, uint64_t after)
{
    struct seen seen = {0};
    struct error err = {0};
    if (journal_replay(journal, after, visit, &seen, &err) != 0)
        fail_msg("replay: %s", err.text);
    return seen;
}

static void records_survive_a_reopening(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(term, 1);
    assert_int_equal(journal_last(journal), 0);
    struct error err = {0};
    assert_int_equal(append(journal, 0, &err), 0);
    assert_int_equal(append(journal, 1, &err), 0);
    assert_int_equal(append(journal, 16, &err), 0);
    journal_close(journal);

    journal = opened(fixture->path, &term);
    assert_int_equal(term, 2);
    assert_int_equal(journal_last(journal), 17);
    assert_int_equal(append(journal, 3, &err), 0);
    struct seen seen = replayed(journal, 0);
    assert_int_equal(seen.count, 20);
    assert_int_equal(seen.first, 1);
    assert_int_equal(seen.last_term, 2);
    seen = replayed(journal, 17);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.first, 18);
    seen = replayed(journal, 20);
    assert_int_equal(seen.count, 0);

    seen = (struct seen){.stop_after = 5};
    assert_int_equal(journal_replay(journal, 0, visit, &seen, &err), 77);
    assert_int_equal(seen.last, 5);
    journal_close(journal);
}

static void every_opening_raises_the_term(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t expected = 1; expected <= 5; expected++) {
        uint64_t term = 0;
        journal_close(opened(fixture->path, &term));
        assert_int_equal(term, expected);
    }
}

static void a_holder_may_raise_the_term(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(append(journal, 2, &err), 0);
    assert_int_equal(journal_raise(journal, &term, &err), 0);
    assert_int_equal(term, 2);
    assert_int_equal(append(journal, 1, &err), 0);
    struct seen seen = replayed(journal, 0);
    assert_int_equal(seen.count, 3);
    assert_int_equal(seen.last_term, 2);
    journal_close(journal);
    journal_close(opened(fixture->path, &term));
    assert_int_equal(term, 3);
}

static void a_second_holder_is_refused(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct journal *journal = opened(fixture->path, &term);
    /* flock belongs to the open file, so a second opening in this process is as foreign as one of
     * another; but the pid in the message shall be the holder's: let a child try. */
    pid_t holder = getpid();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct journal *second = NULL;
        struct error err = {0};
        char pid[32];
        str_format(pid, sizeof(pid), "process %ld:", (long)holder);
        int rc = journal_open(fixture->path, &second, &term, &err);
        _exit(rc == ERR_LOCKED && second == NULL && strstr(err.text, pid) != NULL ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    journal_close(journal);
    journal = opened(fixture->path, &term);
    assert_int_equal(term, 2); /* the refused one took none */
    journal_close(journal);
}

/* A writer is killed at any moment: what it was told is durable is there, batches are whole. */
static void a_killed_writer_loses_nothing_acknowledged(void **state)
{
    struct fixture *fixture = *state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        uint64_t term = 0;
        struct journal *journal = NULL;
        struct error err = {0};
        if (journal_open(fixture->path, &journal, &term, &err) < 0)
            _exit(1);
        for (;;)
            if (append(journal, 10, &err) < 0 || write(ends[1], "x", 1) != 1)
                _exit(1);
    }
    close(ends[1]);
    for (int told = 0; told < 50; told++) {
        char byte;
        assert_int_equal(read(ends[0], &byte, 1), 1);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    uint64_t acknowledged = 50; /* batches; those still in the pipe count too */
    char rest[4096];
    for (ssize_t got; (got = read(ends[0], rest, sizeof(rest))) > 0;)
        acknowledged += (uint64_t)got;
    close(ends[0]);

    uint64_t term = 0;
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(term, 2);
    struct seen seen = replayed(journal, 0);
    assert_true(seen.count >= acknowledged * 10);
    assert_int_equal(seen.count % 10, 0);
    journal_close(journal);
}

static int64_t log_bytes(const struct fixture *fixture)
{
    struct stat log;
    char path[320];
    str_format(path, sizeof(path), "%s-wal", fixture->path);
    assert_int_equal(stat(path, &log), 0);
    return (int64_t)log.st_size;
}

/* What was reserved is overwritten, is no record, and is read over after a crash. */
static void a_reserved_log_grows_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    uint64_t term = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct journal *journal = opened(fixture->path, &term);
        (void)append(journal, 3, &err);
        int64_t before = log_bytes(fixture);
        journal_reserve(journal);
        int64_t bytes = log_bytes(fixture);
        bool grew = bytes > before + (1 << 20);
        for (int i = 0; i < 40; i++)
            if (append(journal, 1, &err) < 0)
                _exit(1);
        _exit(grew && log_bytes(fixture) == bytes ? 0 : 2); /* as if it was killed */
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 0);
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(replayed(journal, 0).count, 43);
    journal_reserve(journal);
    int64_t bytes = log_bytes(fixture);
    /* Far more than it has room for, in all: it begins anew whenever it has been copied. */
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(append(journal, 1, &err), 0);
        journal_tidy(journal);
    }
    assert_int_equal(log_bytes(fixture), bytes);
    assert_int_equal(replayed(journal, 0).count, 3043);
    journal_close(journal);
    journal = opened(fixture->path, &term);
    assert_int_equal(replayed(journal, 0).count, 3043);
    journal_close(journal);
}

/* No more bytes may be written to any file: what ENOSPC does, without a disk of our own. */
static void a_refused_append_leaves_no_half(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(append(journal, 4, &err), 0);

    struct stat wal;
    char wal_path[320];
    str_format(wal_path, sizeof(wal_path), "%s-wal", fixture->path);
    assert_int_equal(stat(wal_path, &wal), 0);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);
    /* Every limit within one page and the next, so that the cut falls anywhere in a frame. */
    for (rlim_t more = 0; more < 4200; more += 600) {
        struct rlimit tight = {.rlim_cur = (rlim_t)wal.st_size + more, .rlim_max = before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        struct error full = {0};
        int rc = append(journal, 16, &full);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        if (rc != ERR_IO)
            fail_msg("append with %ld bytes left gave %d: %s", (long)more, rc, full.text);
        assert_non_null(strstr(full.text, fixture->path));
        assert_int_equal(journal_last(journal), 4);
        assert_int_equal(replayed(journal, 0).count, 4);
    }
    (void)signal(SIGXFSZ, old);
    assert_int_equal(append(journal, 2, &err), 0); /* there is room again */
    journal_close(journal);
    journal = opened(fixture->path, &term);
    assert_int_equal(replayed(journal, 0).count, 6);
    journal_close(journal);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
}

static int open_rc(const char *path, struct error *err)
{
    struct journal *journal = NULL;
    uint64_t term = 0;
    int rc = journal_open(path, &journal, &term, err);
    assert_null(journal);
    return rc;
}

static void sql(const char *path, const char *text)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    char *message = NULL;
    if (sqlite3_exec(db, text, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", text, message);
    sqlite3_close(db);
}

static void a_file_that_is_no_journal_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    char text[8192];
    memset(text, 'n', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    write_file(fixture->path, text);
    assert_int_equal(open_rc(fixture->path, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, fixture->path));
    assert_int_equal(unlink(fixture->path), 0);

    sql(fixture->path, "CREATE TABLE photos(name TEXT)");
    assert_int_equal(open_rc(fixture->path, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "another program"));
    assert_int_equal(unlink(fixture->path), 0);

    uint64_t term = 0;
    journal_close(opened(fixture->path, &term));
    sql(fixture->path, "PRAGMA user_version=3");
    assert_int_equal(open_rc(fixture->path, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "newer"));

    char missing[400];
    str_format(missing, sizeof(missing), "%s/none/journal.db", fixture->directory);
    assert_int_equal(open_rc(missing, &err), ERR_IO);
}

static void damage_is_named_with_its_record(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        const char *sql;
        const char *word;
    } damages[] = {
        {"UPDATE record SET effects = '[ ]' WHERE seq = 3", "record 3"},
        {"UPDATE record SET at_us = at_us + 1 WHERE seq = 5", "record 5"},
        {"UPDATE record SET state_hash = 0 WHERE seq = 1", "record 1"},
        {"DELETE FROM record WHERE seq = 4", "lacks record 4"},
    };
    for (size_t i = 0; i < sizeof(damages) / sizeof(damages[0]); i++) {
        uint64_t term = 0;
        struct error err = {0};
        struct journal *journal = opened(fixture->path, &term);
        assert_int_equal(append(journal, 6, &err), 0);
        journal_close(journal);
        sql(fixture->path, damages[i].sql);
        journal = opened(fixture->path, &term);
        struct seen seen = {0};
        /* The visitor compares texts: only what is whole may reach it. */
        assert_int_equal(journal_replay(journal, 0, visit, &seen, &err), ERR_CORRUPT);
        if (strstr(err.text, damages[i].word) == NULL)
            fail_msg("'%s' does not name %s", err.text, damages[i].word);
        journal_close(journal);
        assert_int_equal(unlink(fixture->path), 0);
    }
}

static void the_newest_snapshot_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    uint64_t seq = 99;
    void *bytes = &seq;
    size_t count = 99;
    assert_int_equal(journal_snapshot_read(journal, UINT64_MAX, &seq, &bytes, &count, &err), 0);
    assert_int_equal(seq, 0);
    assert_null(bytes);
    assert_int_equal(count, 0);

    assert_int_equal(append(journal, 9, &err), 0);
    assert_int_equal(journal_snapshot(journal, 10, "ahead", 5, &err), ERR_INVALID);
    assert_int_equal(journal_snapshot(journal, 4, "four\0!", 6, &err), 0);
    assert_int_equal(journal_snapshot(journal, 9, "nine", 4, &err), 0);
    assert_int_equal(journal_snapshot(journal, 9, "nine, again", 11, &err), 0);
    journal_close(journal);

    journal = opened(fixture->path, &term);
    assert_int_equal(journal_snapshot_read(journal, UINT64_MAX, &seq, &bytes, &count, &err), 0);
    assert_int_equal(seq, 9);
    assert_int_equal(count, 11);
    assert_memory_equal(bytes, "nine, again", 11);
    free(bytes);
    journal_close(journal);

    sql(fixture->path, "UPDATE snapshot SET bytes = x'00' WHERE seq = 9");
    journal = opened(fixture->path, &term);
    seq = 0;
    assert_int_equal(journal_snapshot_read(journal, UINT64_MAX, &seq, &bytes, &count, &err),
                     ERR_CORRUPT);
    assert_int_equal(seq, 9); /* known, so that the one before can be asked for */
    assert_int_equal(journal_snapshot_read(journal, seq, &seq, &bytes, &count, &err), 0);
    assert_int_equal(seq, 4);
    assert_memory_equal(bytes, "four\0!", 6);
    free(bytes);

    /* Two are kept. */
    assert_int_equal(journal_snapshot(journal, 8, "eight", 5, &err), 0);
    assert_int_equal(journal_snapshot_read(journal, 8, &seq, &bytes, &count, &err), 0);
    assert_int_equal(seq, 0);
    assert_null(bytes);
    journal_close(journal);
}

/* Records of other versions are told apart from ours, wherever a replay begins. */
static void records_of_another_version_are_known(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    uint64_t seq = 99;
    char version[LIMIT_NAME_BYTES] = "?";
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(journal_foreign(journal, 0, &seq, version, &err), 0);
    assert_int_equal(seq, 0);
    assert_int_equal(append(journal, 5, &err), 0);
    assert_int_equal(append(journal, 1, &err), 0);
    assert_int_equal(journal_foreign(journal, 0, &seq, version, &err), 0);
    assert_int_equal(seq, 0);
    assert_string_equal(version, "");
    journal_close(journal);

    sql(fixture->path, "UPDATE writer SET version = '0.0.9'");
    journal = opened(fixture->path, &term);
    assert_int_equal(journal_foreign(journal, 0, &seq, version, &err), 0);
    assert_int_equal(seq, 1);
    assert_string_equal(version, "0.0.9");
    assert_int_equal(journal_foreign(journal, 5, &seq, version, &err), 0);
    assert_int_equal(seq, 6);
    assert_int_equal(journal_foreign(journal, 6, &seq, version, &err), 0);
    assert_int_equal(seq, 0);
    /* Ours from here on, by the first record and not by opening. */
    assert_int_equal(append(journal, 3, &err), 0);
    assert_int_equal(journal_foreign(journal, 5, &seq, version, &err), 0);
    assert_int_equal(seq, 6);
    assert_int_equal(journal_foreign(journal, 6, &seq, version, &err), 0);
    assert_int_equal(seq, 0);
    journal_close(journal);
}

/* The first schema did not say who wrote; it was 0.1.0. */
static void the_first_schema_is_raised(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    uint64_t seq = 0;
    char version[LIMIT_NAME_BYTES] = "";
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    assert_int_equal(append(journal, 2, &err), 0);
    journal_close(journal);
    sql(fixture->path, "DROP TABLE writer");
    sql(fixture->path, "PRAGMA user_version=1");
    journal = opened(fixture->path, &term);
    assert_int_equal(replayed(journal, 0).count, 2);
    assert_int_equal(append(journal, 1, &err), 0);
    assert_int_equal(journal_foreign(journal, 0, &seq, version, &err), 0);
    if (strcmp(BERTH_VERSION, "0.1.0") == 0) {
        assert_int_equal(seq, 0);
    } else {
        assert_int_equal(seq, 1);
        assert_string_equal(version, "0.1.0");
    }
    journal_close(journal);
}

/* Another program's open transaction delays an append, and then refuses it whole. */
static void a_foreign_writer_is_named(void **state)
{
    struct fixture *fixture = *state;
    uint64_t term = 0;
    struct error err = {0};
    struct journal *journal = opened(fixture->path, &term);
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(fixture->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(append(journal, 2, &err), ERR_LOCKED);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(append(journal, 2, &err), 0);
    assert_int_equal(replayed(journal, 0).count, 2);
    journal_close(journal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(records_survive_a_reopening),
        TEST(every_opening_raises_the_term),
        TEST(a_holder_may_raise_the_term),
        TEST(a_second_holder_is_refused),
        TEST(a_killed_writer_loses_nothing_acknowledged),
        TEST(a_reserved_log_grows_no_more),
        TEST(a_refused_append_leaves_no_half),
        TEST(a_file_that_is_no_journal_is_refused),
        TEST(damage_is_named_with_its_record),
        TEST(the_newest_snapshot_is_read_back),
        TEST(records_of_another_version_are_known),
        TEST(the_first_schema_is_raised),
        TEST(a_foreign_writer_is_named),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
