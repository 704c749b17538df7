#include "simulator/world/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "simulator/world/store_internal.h"

#define BUSY_MS   60000
#define SQL_BYTES 65536

static int open_db(const char *path, struct store **ret_store, struct error *err);
static int make_schema(struct store *store, struct error *err);
static int check_schema(struct store *store, bool resume, struct error *err);
static int check_owner(struct store *store, struct error *err);
static int prepare_inserts(struct store *part, struct error *err);
static void part_path(const char *path, const char *key, char out[LIMIT_PATH_BYTES]);

int store_open(const char *path, bool resume, struct store **ret_store, struct error *err)
{
    struct store *store = NULL;
    int rc = open_db(path, &store, err);
    if (rc == 0)
        rc = check_schema(store, resume, err);
    if (rc < 0) {
        store_close(store);
        return rc;
    }
    *ret_store = store;
    return 0;
}

void store_close(struct store *store)
{
    if (store == NULL)
        return;
    for (int i = 0; i < STORE_TABLES; i++)
        (void)sqlite3_finalize(store->insert[i]);
    (void)sqlite3_close(store->db);
    /* Last: SQLite's own locks on the file would go with any other descriptor of it. */
    cleanup_close(&store->lock_fd);
    free(store);
}

/* It is flock's on the file itself: it ends with the processes, however they end, and SQLite, which
 * locks by fcntl, does not see it. */
int store_lock(struct store *store, struct error *err)
{
    store->lock_fd = open(store->path, O_RDONLY | O_CLOEXEC);
    if (store->lock_fd >= 0 && flock(store->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    int why = errno;
    return why == EWOULDBLOCK
               ? error_set(err, ERR_LOCKED, 0,
                           "another simulation writes to %s: wait for it, or choose another name "
                           "for the results",
                           store->path)
               : error_set(err, ERR_IO, why, "lock %s", store->path);
}

int store_choose(struct store *store, const char *key, struct error *err)
{
    struct store_row row = {0};
    int rc = store->chosen ? 0 : store_exec(store, "CREATE TEMP TABLE chosen (key TEXT)", err);
    store->chosen = rc == 0;
    if (rc == 0)
        rc = store_prepare(store, "INSERT INTO temp.chosen VALUES (?)", &row.statement, err);
    if (rc < 0)
        return rc;
    store_put_text(&row, key);
    rc = store_put_done(store, &row, err);
    (void)sqlite3_finalize(row.statement);
    return rc;
}

static int open_db(const char *path, struct store **ret_store, struct error *err)
{
    struct store *store = calloc(1, sizeof(*store));
    if (store == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a store");
    store->lock_fd = -1;
    *ret_store = store;
    if (strlen(path) + 64 > sizeof(store->path))
        return error_set(err, ERR_LIMIT, 0, "the path of the results is too long");
    str_format(store->path, sizeof(store->path), "%s", path);
    if (sqlite3_open_v2(path, &store->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) !=
        SQLITE_OK)
        return store_fail(store, "open", err);
    (void)sqlite3_busy_timeout(store->db, BUSY_MS);
    return 0;
}

static int check_schema(struct store *store, bool resume, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int64_t runs = 0;
    int rc = check_owner(store, err);
    if (rc == 0)
        rc = store_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", err);
    if (rc == 0)
        rc = store_exec(store, "BEGIN IMMEDIATE", err);
    if (rc == 0) {
        rc = make_schema(store, err);
        if (rc == 0)
            rc = store_exec(store, "COMMIT", err);
        if (rc < 0)
            (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (rc == 0)
        rc = store_prepare(store, "SELECT count(*) FROM runs", &statement, err);
    if (rc < 0)
        return rc;
    if (sqlite3_step(statement) == SQLITE_ROW)
        runs = sqlite3_column_int64(statement, 0);
    (void)sqlite3_finalize(statement);
    if (!resume && runs > 0)
        return error_set(err, ERR_EXISTS, 0,
                         "%s holds %" PRId64 " runs already; --resume keeps them and adds what is "
                         "missing, or choose another name",
                         store->path, runs);
    return 0;
}

/* Before a byte of it is changed: what another program keeps there, or a later version, is left as
 * it is. */
static int check_owner(struct store *store, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int tables = 0;
    int rc = store_prepare(store, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'",
                           &statement, err);
    if (rc == 0 && sqlite3_step(statement) == SQLITE_ROW)
        tables = sqlite3_column_int(statement, 0);
    else
        rc = ERR_CORRUPT;
    (void)sqlite3_finalize(statement);
    if (rc < 0)
        return error_set(err, ERR_CORRUPT, 0,
                         "%s is no SQLite file; choose another name for the results", store->path);
    if (tables == 0)
        return 0;
    int version = -1;
    if (store_prepare(store, "SELECT value FROM meta WHERE key = 'berth-simulation'", &statement,
                      err) == 0) {
        if (sqlite3_step(statement) == SQLITE_ROW)
            version = sqlite3_column_int(statement, 0);
        (void)sqlite3_finalize(statement);
    }
    if (version < 0)
        return error_set(err, ERR_CORRUPT, 0,
                         "%s holds something else than simulations; choose another name for the "
                         "results",
                         store->path);
    return version == STORE_SCHEMA
               ? 0
               : error_set(err, ERR_UNSUPPORTED, 0,
                           "%s has schema %d; this version writes %d: choose another name for the "
                           "results",
                           store->path, version, STORE_SCHEMA);
}

int store_has(struct store *store, const char *key, bool *ret_has, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = store_prepare(store, "SELECT 1 FROM runs WHERE key = ?", &statement, err);
    if (rc < 0)
        return rc;
    struct store_row row = {.statement = statement};
    store_put_text(&row, key);
    rc = store_get_row(store, &row, err);
    (void)sqlite3_finalize(statement);
    *ret_has = rc > 0;
    return rc < 0 ? rc : 0;
}

/* ---- one run ---- */

static void part_path(const char *path, const char *key, char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "%.*s.run-%s", LIMIT_PATH_BYTES - 64, path, key);
}

void store_part_remove(const char *path, const char *key)
{
    char part[LIMIT_PATH_BYTES];
    part_path(path, key, part);
    (void)unlink(part);
}

int store_part_open(const char *path, const char *key, struct store **ret_part,
                    struct run_sink *ret_sink, struct error *err)
{
    struct store *part = NULL;
    char name[LIMIT_PATH_BYTES];
    store_part_remove(path, key);
    part_path(path, key, name);
    int rc = open_db(name, &part, err);
    /* It is worth nothing before it is whole. */
    if (rc == 0)
        rc = store_exec(part, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", err);
    if (rc == 0)
        rc = make_schema(part, err);
    if (rc == 0)
        rc = store_exec(part, "BEGIN", err);
    if (rc == 0)
        rc = prepare_inserts(part, err);
    if (rc < 0) {
        store_close(part);
        store_part_remove(path, key);
        return rc;
    }
    *ret_part = part;
    *ret_sink = store_sink(part);
    return 0;
}

static int make_schema(struct store *store, struct error *err)
{
    struct strbuf sql;
    strbuf_init(&sql, SQL_BYTES);
    store_sql_schema(&sql);
    int rc = strbuf_error(&sql, err);
    if (rc == 0)
        rc = store_exec(store, strbuf_text(&sql), err);
    strbuf_done(&sql);
    return rc;
}

static int prepare_inserts(struct store *part, struct error *err)
{
    struct strbuf sql;
    int rc = 0;
    strbuf_init(&sql, SQL_BYTES);
    for (int i = 0; i < STORE_TABLES && rc == 0; i++) {
        strbuf_reset(&sql);
        store_sql_insert((enum store_table)i, &sql);
        rc = strbuf_error(&sql, err);
        if (rc == 0)
            rc = store_prepare(part, strbuf_text(&sql), &part->insert[i], err);
    }
    strbuf_done(&sql);
    return rc;
}

int store_part_finish(struct store *part, const struct store_run *run, struct error *err)
{
    int rc = store_put_run(part, run, err);
    return rc < 0 ? rc : store_exec(part, "COMMIT", err);
}

int store_add(struct store *store, const char *path, const char *key, struct error *err)
{
    char part[LIMIT_PATH_BYTES];
    struct strbuf copy;
    struct store_row attach = {0};
    part_path(path, key, part);
    int rc = store_prepare(store, "ATTACH ? AS part", &attach.statement, err);
    if (rc < 0)
        return rc;
    store_put_text(&attach, part);
    rc = store_put_done(store, &attach, err);
    (void)sqlite3_finalize(attach.statement);
    if (rc < 0)
        return rc;
    strbuf_init(&copy, SQL_BYTES);
    store_sql_copy(&copy);
    rc = strbuf_error(&copy, err);
    if (rc == 0)
        rc = store_exec(store, strbuf_text(&copy), err);
    strbuf_done(&copy);
    if (rc < 0)
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_exec(store->db, "DETACH part", NULL, NULL, NULL);
    if (rc == 0)
        store_part_remove(path, key);
    return rc;
}
