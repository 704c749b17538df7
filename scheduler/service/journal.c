#include "scheduler/service/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/str.h"

/* "BRTH" in the file's header, so that another program's database is recognised as such. */
#define JOURNAL_APPLICATION 0x42525448
#define JOURNAL_SCHEMA      2

/* The only version that wrote schema 1, which did not say who wrote. */
#define JOURNAL_FIRST_VERSION "0.1.0"

/* Who wrote: `version` appended record `seq` and all up to the next row's. */
#define JOURNAL_WRITERS "CREATE TABLE writer(seq INTEGER PRIMARY KEY, version TEXT NOT NULL);"

/* Somebody may look into the journal with a tool of SQLite's; a writer among them may hold us up
 * this long before an append is refused. */
#define JOURNAL_BUSY_MS 2000

/* The log is copied into the database when it has so many pages (of 4096 bytes and a head); and in
 * an append when nobody found the time. */
#define JOURNAL_LOG_PAGES     1000
#define JOURNAL_LOG_PAGES_MAX 4000
#define JOURNAL_LOG_BYTES     (INT64_C(6) << 20) /* reserved: what a busy time adds, included */
#define JOURNAL_ROOM          20                 /* so many times that must be free */

struct journal {
    char path[LIMIT_PATH_BYTES];
    int lock_fd;
    sqlite3 *db;
    sqlite3_stmt *insert;
    uint64_t term;
    uint64_t last;
    bool signed_;  /* the table of writers says that this version appends */
    int log_pages; /* in the log, after the last commit */
    int log_pages_max;
};

static int lock_take(struct journal *journal, struct error *err);
static int database_open(struct journal *journal, struct error *err);
static int schema_ensure(struct journal *journal, struct error *err);
static int term_raise(struct journal *journal, struct error *err);
static int prepare(struct journal *journal, struct error *err);
static int directory_sync(const char *path, struct error *err);
static int writer_sign(struct journal *journal, struct error *err);
static int snapshot_put(struct journal *journal, uint64_t seq, const void *bytes, size_t count,
                        struct error *err);
static int insert_record(struct journal *journal, const struct journal_record *record,
                         struct error *err);
static int visit_row(struct journal *journal, sqlite3_stmt *row, uint64_t seq_expected,
                     journal_visitor *visitor, void *context, struct error *err);
static uint64_t record_sum(const struct journal_record *record);
static int run(struct journal *journal, const char *sql, const char *what, struct error *err);
static int on_commit(void *context, sqlite3 *db, const char *name, int pages);
static int log_lengthen(const struct journal *journal);
static int read_number(struct journal *journal, const char *sql, int64_t *ret_value,
                       struct error *err);
static int fail(struct journal *journal, const char *what, struct error *err);

static void cleanup_statement(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

static void cleanup_journal(struct journal **journal)
{
    journal_close(*journal);
}

int journal_open(const char *path, struct journal **ret_journal, uint64_t *ret_term,
                 struct error *err)
{
    CLEANUP(cleanup_journal) struct journal *journal = calloc(1, sizeof(*journal));
    if (journal == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the journal");
    journal->lock_fd = -1;
    journal->log_pages_max = JOURNAL_LOG_PAGES;
    if (str_copy(journal->path, sizeof(journal->path), path) < 0)
        return error_set(err, ERR_LIMIT, 0, "the journal's path '%.64s...' is longer than %d bytes",
                         path, LIMIT_PATH_BYTES - 1);
    int rc = lock_take(journal, err);
    if (rc == 0)
        rc = database_open(journal, err);
    if (rc == 0)
        rc = schema_ensure(journal, err);
    if (rc == 0)
        rc = term_raise(journal, err);
    if (rc == 0)
        rc = prepare(journal, err);
    if (rc == 0)
        rc = directory_sync(journal->path, err);
    if (rc < 0)
        return rc;
    *ret_term = journal->term;
    *ret_journal = TAKE(journal);
    return 0;
}

void journal_close(struct journal *journal)
{
    if (journal == NULL)
        return;
    sqlite3_finalize(journal->insert);
    sqlite3_close(journal->db);
    /* The lock goes last; its file stays, since removing it would race with the next holder. */
    if (journal->lock_fd >= 0)
        close(journal->lock_fd);
    free(journal);
}

void journal_reserve(struct journal *journal)
{
    struct error err;
    journal->log_pages_max = JOURNAL_LOG_PAGES_MAX;
    /* A tool of SQLite's may be writing: only who holds the log's lock knows where it ends. */
    if (run(journal, "BEGIN IMMEDIATE", "reserve room", &err) < 0)
        return;
    (void)!log_lengthen(journal);
    (void)sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
}

void journal_tidy(struct journal *journal)
{
    if (journal->log_pages < JOURNAL_LOG_PAGES)
        return;
    /* What a reader holds back is copied the next time. */
    (void)sqlite3_wal_checkpoint_v2(journal->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    journal->log_pages = 0;
}

int journal_raise(struct journal *journal, uint64_t *ret_term, struct error *err)
{
    int rc = term_raise(journal, err);
    if (rc == 0)
        *ret_term = journal->term;
    return rc;
}

int journal_append(struct journal *journal, struct journal_record *records, int count,
                   struct error *err)
{
    if (count == 0)
        return 0;
    int rc = run(journal, "BEGIN IMMEDIATE", "begin a batch", err);
    if (rc < 0)
        return rc;
    if (!journal->signed_)
        rc = writer_sign(journal, err);
    for (int i = 0; i < count && rc == 0; i++) {
        records[i].seq = journal->last + 1 + (uint64_t)i;
        records[i].term = journal->term;
        rc = insert_record(journal, &records[i], err);
    }
    if (rc == 0)
        rc = run(journal, "COMMIT", "commit a batch", err);
    if (rc == 0) {
        journal->last += (uint64_t)count;
        journal->signed_ = true;
        return 0;
    }
    /* SQLite rolls back by itself after some errors; what it says here is no news beside the first
     * error. */
    if (sqlite3_get_autocommit(journal->db) == 0)
        (void)sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

int journal_snapshot(struct journal *journal, uint64_t seq, const void *bytes, size_t count,
                     struct error *err)
{
    if (seq > journal->last)
        return error_set(err, ERR_INVALID, 0,
                         "a snapshot for record %" PRIu64 ", but the last is %" PRIu64, seq,
                         journal->last);
    int rc = run(journal, "BEGIN IMMEDIATE", "begin a snapshot", err);
    if (rc < 0)
        return rc;
    rc = snapshot_put(journal, seq, bytes, count, err);
    if (rc == 0)
        rc = run(journal,
                 "DELETE FROM snapshot WHERE seq NOT IN "
                 "(SELECT seq FROM snapshot ORDER BY seq DESC LIMIT 2)",
                 "drop old snapshots", err);
    if (rc == 0)
        rc = run(journal, "COMMIT", "commit a snapshot", err);
    if (rc < 0 && sqlite3_get_autocommit(journal->db) == 0)
        (void)sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
    return rc;
}

static int snapshot_put(struct journal *journal, uint64_t seq, const void *bytes, size_t count,
                        struct error *err)
{
    CLEANUP(cleanup_statement) sqlite3_stmt *put = NULL;
    if (sqlite3_prepare_v2(journal->db,
                           "INSERT OR REPLACE INTO snapshot(seq, bytes, sum) VALUES(?1, ?2, ?3)",
                           -1, &put, NULL) != SQLITE_OK)
        return fail(journal, "write a snapshot", err);
    (void)sqlite3_bind_int64(put, 1, (int64_t)seq);
    (void)sqlite3_bind_blob64(put, 2, count == 0 ? "" : bytes, count, SQLITE_STATIC);
    (void)sqlite3_bind_int64(put, 3, (int64_t)hash_bytes(HASH_SEED, bytes, count));
    if (sqlite3_step(put) != SQLITE_DONE)
        return fail(journal, "write a snapshot", err);
    return 0;
}

int journal_snapshot_read(struct journal *journal, uint64_t below, uint64_t *ret_seq,
                          void **ret_bytes, size_t *ret_count, struct error *err)
{
    CLEANUP(cleanup_statement) sqlite3_stmt *get = NULL;
    if (sqlite3_prepare_v2(journal->db,
                           "SELECT seq, bytes, sum FROM snapshot WHERE seq < ?1 "
                           "ORDER BY seq DESC LIMIT 1",
                           -1, &get, NULL) != SQLITE_OK)
        return fail(journal, "read the snapshot", err);
    (void)sqlite3_bind_int64(get, 1, below > INT64_MAX ? INT64_MAX : (int64_t)below);
    int step = sqlite3_step(get);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(journal, "read the snapshot", err);
    *ret_seq = 0;
    *ret_bytes = NULL;
    *ret_count = 0;
    if (step == SQLITE_DONE)
        return 0;
    *ret_seq = (uint64_t)sqlite3_column_int64(get, 0);
    const void *stored = sqlite3_column_blob(get, 1);
    size_t count = (size_t)sqlite3_column_bytes(get, 1);
    if (hash_bytes(HASH_SEED, stored, count) != (uint64_t)sqlite3_column_int64(get, 2))
        return error_set(err, ERR_CORRUPT, 0,
                         "the snapshot at record %" PRIu64
                         " of journal '%s' does not match its checksum",
                         *ret_seq, journal->path);
    void *copy = malloc(count + 1);
    if (copy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a snapshot of %zu bytes", count);
    if (count > 0)
        memcpy(copy, stored, count);
    *ret_bytes = copy;
    *ret_count = count;
    return 0;
}

int journal_replay(struct journal *journal, uint64_t seq, journal_visitor *visitor, void *context,
                   struct error *err)
{
    CLEANUP(cleanup_statement) sqlite3_stmt *row = NULL;
    if (sqlite3_prepare_v2(journal->db,
                           "SELECT seq, term, at_us, event, effects, state_hash, sum FROM record "
                           "WHERE seq > ?1 ORDER BY seq",
                           -1, &row, NULL) != SQLITE_OK)
        return fail(journal, "read the records", err);
    (void)sqlite3_bind_int64(row, 1, (int64_t)seq);
    for (;;) {
        int step = sqlite3_step(row);
        if (step == SQLITE_DONE)
            break;
        if (step != SQLITE_ROW)
            return fail(journal, "read the records", err);
        seq++;
        int rc = visit_row(journal, row, seq, visitor, context, err);
        if (rc != 0)
            return rc;
    }
    if (seq < journal->last)
        return error_set(err, ERR_CORRUPT, 0,
                         "journal '%s' ends at record %" PRIu64 ", but %" PRIu64
                         " had been written; restore the file from a backup",
                         journal->path, seq, journal->last);
    return 0;
}

int journal_foreign(struct journal *journal, uint64_t seq, uint64_t *ret_seq,
                    char ret_version[LIMIT_NAME_BYTES], struct error *err)
{
    CLEANUP(cleanup_statement) sqlite3_stmt *get = NULL;
    if (sqlite3_prepare_v2(journal->db,
                           "SELECT max(w.seq, ?1 + 1), w.version FROM writer w "
                           "WHERE w.version <> '" BERTH_VERSION "' AND max(w.seq, ?1 + 1) < "
                           "coalesce((SELECT min(n.seq) FROM writer n WHERE n.seq > w.seq), ?2 + 1)"
                           " ORDER BY w.seq LIMIT 1",
                           -1, &get, NULL) != SQLITE_OK)
        return fail(journal, "read who wrote", err);
    (void)sqlite3_bind_int64(get, 1, (int64_t)seq);
    (void)sqlite3_bind_int64(get, 2, (int64_t)journal->last);
    int step = sqlite3_step(get);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(journal, "read who wrote", err);
    *ret_seq = 0;
    ret_version[0] = 0;
    if (step == SQLITE_DONE)
        return 0;
    *ret_seq = (uint64_t)sqlite3_column_int64(get, 0);
    const char *version = (const char *)sqlite3_column_text(get, 1);
    if (version == NULL || str_copy(ret_version, LIMIT_NAME_BYTES, version) < 0)
        return error_set(err, ERR_CORRUPT, 0,
                         "journal '%s' does not tell which version wrote record %" PRIu64
                         "; restore the file from a backup",
                         journal->path, *ret_seq);
    return 0;
}

uint64_t journal_last(const struct journal *journal)
{
    return journal->last;
}

/* The lock is flock's: the kernel drops it when the process ends, however it ends. The pid inside
 * is for the message only, so that failing to write it (a full disk) is no reason to refuse. */
static int lock_take(struct journal *journal, struct error *err)
{
    char path[LIMIT_PATH_BYTES + 8];
    str_format(path, sizeof(path), "%s.lock", journal->path);
    journal->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (journal->lock_fd < 0)
        return error_set(err, ERR_IO, errno, "open the lock file '%s'", path);
    char pid[32] = "";
    if (flock(journal->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_set(err, ERR_IO, errno, "lock '%s'", path);
        ssize_t got = pread(journal->lock_fd, pid, sizeof(pid) - 1, 0);
        pid[got > 0 ? strcspn(pid, "\n") : 0] = 0;
        return error_set(err, ERR_LOCKED, 0,
                         "journal '%s' is held by process %s: another scheduler runs on it; stop "
                         "that one first, or use another --state directory",
                         journal->path, pid[0] == 0 ? "(unknown)" : pid);
    }
    str_format(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(journal->lock_fd, 0) == 0)
        (void)!pwrite(journal->lock_fd, pid, strlen(pid), 0);
    return 0;
}

static int database_open(struct journal *journal, struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(journal->path, &journal->db, flags, NULL) != SQLITE_OK)
        return fail(journal, "open", err);
    (void)sqlite3_extended_result_codes(journal->db, 1);
    (void)sqlite3_busy_timeout(journal->db, JOURNAL_BUSY_MS);
    (void)sqlite3_wal_hook(journal->db, on_commit, journal);
    CLEANUP(cleanup_statement) sqlite3_stmt *mode = NULL;
    if (sqlite3_prepare_v2(journal->db, "PRAGMA journal_mode=WAL", -1, &mode, NULL) != SQLITE_OK ||
        sqlite3_step(mode) != SQLITE_ROW)
        return fail(journal, "switch to a write-ahead log", err);
    const char *got = (const char *)sqlite3_column_text(mode, 0);
    if (got == NULL || strcmp(got, "wal") != 0)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "journal '%s': the file system allows only journal mode '%s', the journal "
                         "needs 'wal'; put it on a local file system",
                         journal->path, got == NULL ? "none" : got);
    return run(journal, "PRAGMA synchronous=FULL", "set synchronous", err);
}

/* SQLite's own choice would be an append, whenever the log has become long. */
static int on_commit(void *context, sqlite3 *db, const char *name, int pages)
{
    struct journal *journal = context;
    journal->log_pages = pages;
    if (pages >= journal->log_pages_max)
        (void)sqlite3_wal_checkpoint_v2(db, name, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    return SQLITE_OK;
}

/* With zeros behind its end: SQLite takes a frame for one only by its head's sum. Closing this
 * descriptor gives up no lock of SQLite's: those are on the database and on the index of the log.
 */
static int log_lengthen(const struct journal *journal)
{
    static const char zeros[1 << 16];
    char path[LIMIT_PATH_BYTES + 8];
    struct statvfs disk;
    struct stat log;
    str_format(path, sizeof(path), "%s-wal", journal->path);
    CLEANUP(cleanup_close) int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &log) < 0 || fstatvfs(fd, &disk) < 0 ||
        (int64_t)(disk.f_bavail * disk.f_frsize) < JOURNAL_ROOM * JOURNAL_LOG_BYTES)
        return ERR_IO;
    for (int64_t at = log.st_size; at < JOURNAL_LOG_BYTES;) {
        int64_t left = JOURNAL_LOG_BYTES - at;
        ssize_t written =
            pwrite(fd, zeros, left < (int64_t)sizeof(zeros) ? (size_t)left : sizeof(zeros), at);
        if (written <= 0)
            return ERR_IO;
        at += written;
    }
    return fsync(fd) < 0 ? ERR_IO : 0;
}

static int schema_ensure(struct journal *journal, struct error *err)
{
    int64_t application = 0;
    int64_t schema = 0;
    int64_t tables = 0;
    int rc = read_number(journal, "PRAGMA application_id", &application, err);
    if (rc == 0)
        rc = read_number(journal, "PRAGMA user_version", &schema, err);
    if (rc == 0)
        rc = read_number(journal, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc < 0)
        return rc;
    if (tables > 0 && application != JOURNAL_APPLICATION)
        return error_set(err, ERR_CORRUPT, 0,
                         "'%s' is a database of another program, not a journal; name another "
                         "--state directory",
                         journal->path);
    if (schema > JOURNAL_SCHEMA)
        return error_set(err, ERR_UNSUPPORTED, 0,
                         "journal '%s' has schema %lld, written by a newer Berth; this one knows "
                         "up to %d: run the newer one",
                         journal->path, (long long)schema, JOURNAL_SCHEMA);
    if (tables == 0) {
        static const char create[] =
            "BEGIN IMMEDIATE;"
            "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
            "CREATE TABLE record(seq INTEGER PRIMARY KEY, term INTEGER NOT NULL,"
            " at_us INTEGER NOT NULL, event TEXT NOT NULL, effects TEXT NOT NULL,"
            " state_hash INTEGER NOT NULL, sum INTEGER NOT NULL);"
            "CREATE TABLE snapshot(seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL,"
            " sum INTEGER NOT NULL);" JOURNAL_WRITERS
            "PRAGMA application_id=1112691784;" /* JOURNAL_APPLICATION */
            "PRAGMA user_version=2;"            /* JOURNAL_SCHEMA */
            "COMMIT";
        rc = run(journal, create, "create the tables", err);
    } else if (schema == 1) {
        static const char raise[] = "BEGIN IMMEDIATE;" JOURNAL_WRITERS
                                    "INSERT INTO writer SELECT 1, '" JOURNAL_FIRST_VERSION "'"
                                    " WHERE EXISTS(SELECT 1 FROM record);"
                                    "PRAGMA user_version=2;" /* JOURNAL_SCHEMA */
                                    "COMMIT";
        rc = run(journal, raise, "raise the schema to 2", err);
    }
    int64_t last = 0;
    if (rc == 0)
        rc = read_number(journal, "SELECT coalesce(max(seq), 0) FROM record", &last, err);
    journal->last = (uint64_t)last;
    return rc;
}

/* Durable before it is used: a term that was handed out is never handed out again. */
static int term_raise(struct journal *journal, struct error *err)
{
    int rc = run(journal,
                 "INSERT INTO meta(key, value) VALUES('term', 1) "
                 "ON CONFLICT(key) DO UPDATE SET value = value + 1",
                 "raise the term", err);
    int64_t term = 0;
    if (rc == 0)
        rc = read_number(journal, "SELECT value FROM meta WHERE key = 'term'", &term, err);
    if (rc < 0)
        return rc;
    journal->term = (uint64_t)term;
    return 0;
}

static int prepare(struct journal *journal, struct error *err)
{
    if (sqlite3_prepare_v3(journal->db,
                           "INSERT INTO record(seq, term, at_us, event, effects, state_hash, sum) "
                           "VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                           -1, SQLITE_PREPARE_PERSISTENT, &journal->insert, NULL) != SQLITE_OK)
        return fail(journal, "prepare to append", err);
    return 0;
}

/* A new file is only there after a power loss when its directory has been written too. */
static int directory_sync(const char *path, struct error *err)
{
    char copy[LIMIT_PATH_BYTES];
    if (str_copy(copy, sizeof(copy), path) < 0)
        return error_set(err, ERR_LIMIT, 0, "the journal's path is too long");
    const char *directory = dirname(copy);
    CLEANUP(cleanup_close) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open the directory '%s'", directory);
    if (fsync(fd) < 0)
        return error_set(err, ERR_IO, errno, "sync the directory '%s'", directory);
    return 0;
}

/* With the first batch of this process, in its transaction: the row is there when the records are.
 */
static int writer_sign(struct journal *journal, struct error *err)
{
    char sql[256];
    str_format(sql, sizeof(sql),
               "INSERT OR REPLACE INTO writer SELECT %" PRIu64 ", '" BERTH_VERSION "' WHERE "
               "coalesce((SELECT version FROM writer ORDER BY seq DESC LIMIT 1), '') <> "
               "'" BERTH_VERSION "'",
               journal->last + 1);
    return run(journal, sql, "sign a batch", err);
}

static int insert_record(struct journal *journal, const struct journal_record *record,
                         struct error *err)
{
    sqlite3_stmt *insert = journal->insert;
    (void)sqlite3_bind_int64(insert, 1, (int64_t)record->seq);
    (void)sqlite3_bind_int64(insert, 2, (int64_t)record->term);
    (void)sqlite3_bind_int64(insert, 3, record->at_us);
    (void)sqlite3_bind_text(insert, 4, record->event, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(insert, 5, record->effects, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(insert, 6, (int64_t)record->state_hash);
    (void)sqlite3_bind_int64(insert, 7, (int64_t)record_sum(record));
    int rc = 0;
    if (sqlite3_step(insert) != SQLITE_DONE)
        rc = fail(journal, "append a record", err);
    (void)sqlite3_reset(insert); /* repeats the step's error, which has been told */
    (void)sqlite3_clear_bindings(insert);
    return rc;
}

static int visit_row(struct journal *journal, sqlite3_stmt *row, uint64_t seq_expected,
                     journal_visitor *visitor, void *context, struct error *err)
{
    struct journal_record record = {
        .seq = (uint64_t)sqlite3_column_int64(row, 0),
        .term = (uint64_t)sqlite3_column_int64(row, 1),
        .at_us = sqlite3_column_int64(row, 2),
        .event = (const char *)sqlite3_column_text(row, 3),
        .effects = (const char *)sqlite3_column_text(row, 4),
        .state_hash = (uint64_t)sqlite3_column_int64(row, 5),
    };
    if (record.event == NULL || record.effects == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read record %" PRIu64, record.seq);
    if (record.seq != seq_expected)
        return error_set(err, ERR_CORRUPT, 0,
                         "journal '%s' lacks record %" PRIu64 " (the next is %" PRIu64
                         "); restore the file from a backup",
                         journal->path, seq_expected, record.seq);
    if (record_sum(&record) != (uint64_t)sqlite3_column_int64(row, 6))
        return error_set(err, ERR_CORRUPT, 0,
                         "record %" PRIu64 " of journal '%s' does not match its checksum; restore "
                         "the file from a backup",
                         record.seq, journal->path);
    return visitor(context, &record, err);
}

/* SQLite keeps no checksum of a page; a flipped bit inside a text would pass unseen. */
static uint64_t record_sum(const struct journal_record *record)
{
    uint64_t sum = hash_u64(HASH_SEED, record->seq);
    sum = hash_u64(sum, record->term);
    sum = hash_u64(sum, (uint64_t)record->at_us);
    sum = hash_str(sum, record->event);
    sum = hash_str(sum, record->effects);
    return hash_u64(sum, record->state_hash);
}

static int run(struct journal *journal, const char *sql, const char *what, struct error *err)
{
    if (sqlite3_exec(journal->db, sql, NULL, NULL, NULL) != SQLITE_OK) {
        int rc = fail(journal, what, err);
        if (sqlite3_get_autocommit(journal->db) == 0)
            (void)sqlite3_exec(journal->db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    return 0;
}

static int read_number(struct journal *journal, const char *sql, int64_t *ret_value,
                       struct error *err)
{
    CLEANUP(cleanup_statement) sqlite3_stmt *get = NULL;
    if (sqlite3_prepare_v2(journal->db, sql, -1, &get, NULL) != SQLITE_OK ||
        sqlite3_step(get) != SQLITE_ROW)
        return fail(journal, "read", err);
    *ret_value = sqlite3_column_int64(get, 0);
    return 0;
}

static int fail(struct journal *journal, const char *what, struct error *err)
{
    int sys_errno = journal->db == NULL ? 0 : sqlite3_system_errno(journal->db);
    int reason = journal->db == NULL ? SQLITE_NOMEM : sqlite3_errcode(journal->db) & 0xff;
    const char *text = journal->db == NULL ? "out of memory" : sqlite3_errmsg(journal->db);
    switch (reason) {
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
        return error_set(err, ERR_CORRUPT, 0,
                         "journal '%s' is damaged (%s: %s); restore it from a backup, or move it "
                         "and its -wal file away to begin anew",
                         journal->path, what, text);
    case SQLITE_FULL:
        return error_set(err, ERR_IO, ENOSPC, "journal '%s': %s: %s", journal->path, what, text);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return error_set(err, ERR_LOCKED, 0,
                         "journal '%s': %s: another program holds the database; end it",
                         journal->path, what);
    case SQLITE_NOMEM:
        return error_set(err, ERR_NO_MEMORY, 0, "journal '%s': %s", journal->path, what);
    case SQLITE_TOOBIG:
        return error_set(err, ERR_LIMIT, 0, "journal '%s': %s: %s", journal->path, what, text);
    default:
        return error_set(err, ERR_IO, sys_errno, "journal '%s': %s: %s", journal->path, what, text);
    }
}
