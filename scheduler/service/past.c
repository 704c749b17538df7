#include "scheduler/service/past.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "scheduler/service/codec.h"

#define BUSY_MS 2000
/* How an event's text begins, as a pattern. */
#define HEAD "'{\"v\":[0-9]*,\"type\":\"core.event\",\"kind\":\""

struct reading {
    struct arena *arena;
    struct past past;
    int64_t from_us;
    int app_room;
    int retag_room;
    int node_room;
};

static int read_all(struct reading *reading, sqlite3 *db, const char *path, int64_t to_us,
                    struct error *err);
static int take(struct reading *reading, int64_t at_us, const char *text, size_t bytes,
                struct error *err);
static int take_app(struct reading *reading, int64_t at_us, const struct app *app,
                    struct error *err);
static void drop_app(struct reading *reading, const char *namespace_, const char *app);
static void drop_retags(struct reading *reading, const char *namespace_, const char *app);
static int take_retag(struct reading *reading, int64_t at_us, const struct core_event *event,
                      struct error *err);
static int take_hello(struct reading *reading, const struct message_hello *hello,
                      struct error *err);
static int count_moves(sqlite3 *db, const char *path, int64_t from_us, int64_t to_us,
                       struct past *past, struct error *err);
static void *room(struct reading *reading, void *list, int count, int *held, size_t bytes_each);
static int failed(sqlite3 *db, const char *path, struct error *err);

int past_read(const char *journal, int64_t from_us, int64_t to_us, struct arena *arena,
              struct past *ret_past, struct error *err)
{
    sqlite3 *db = NULL;
    struct reading reading = {.arena = arena, .from_us = from_us};
    if (access(journal, R_OK) < 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "there is no journal %s: name the folder of `berth up`, or the state "
                         "folder of a scheduler",
                         journal);
    int rc = sqlite3_open_v2(journal, &db, SQLITE_OPEN_READONLY, NULL);
    if (rc != SQLITE_OK || sqlite3_busy_timeout(db, BUSY_MS) != SQLITE_OK ||
        sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
        rc = failed(db, journal, err);
    else
        rc = read_all(&reading, db, journal, to_us, err);
    if (rc == 0)
        rc = count_moves(db, journal, from_us, to_us, &reading.past, err);
    (void)sqlite3_close(db);
    if (rc == 0 && reading.past.world == NULL)
        rc = error_set(err, ERR_NOT_FOUND, 0, "%s knows no world before that instant", journal);
    if (rc == 0)
        *ret_past = reading.past;
    return rc;
}

/* Of the few events that documents, tags and nodes come with; the many others are left aside by
 * SQLite, by how their text begins. */
static int read_all(struct reading *reading, sqlite3 *db, const char *path, int64_t to_us,
                    struct error *err)
{
    static const char question[] =
        "SELECT at_us, event FROM record WHERE at_us < ?1 AND (event GLOB " HEAD "world\"*' "
        "OR event GLOB " HEAD "apply\"*' OR event GLOB " HEAD "delete\"*' "
        "OR event GLOB " HEAD "retag\"*' OR event GLOB " HEAD "hello\"*') ORDER BY seq";
    sqlite3_stmt *rows = NULL;
    if (sqlite3_prepare_v2(db, question, -1, &rows, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(rows, 1, to_us) != SQLITE_OK) {
        (void)sqlite3_finalize(rows);
        return failed(db, path, err);
    }
    int rc = 0;
    int step = SQLITE_ROW;
    while (rc == 0 && (step = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *text = (const char *)sqlite3_column_text(rows, 1);
        if (text != NULL)
            rc = take(reading, sqlite3_column_int64(rows, 0), text,
                      (size_t)sqlite3_column_bytes(rows, 1), err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = failed(db, path, err);
    (void)sqlite3_finalize(rows);
    return rc;
}

static int take(struct reading *reading, int64_t at_us, const char *text, size_t bytes,
                struct error *err)
{
    struct past *past = &reading->past;
    struct core_event event;
    int rc = codec_event_read(text, bytes, reading->arena, &event, err);
    if (rc < 0)
        return error_prefix(err, "the journal");
    switch (event.kind) {
    case CORE_WORLD:
        past->worlds += past->world != NULL && at_us >= reading->from_us;
        past->world = event.world;
        return 0;
    case CORE_APPLY:
        return take_app(reading, at_us, event.apply.app, err);
    case CORE_DELETE:
        drop_app(reading, event.target.namespace_, event.target.app);
        return 0;
    case CORE_RETAG:
        return take_retag(reading, at_us, &event, err);
    case CORE_HELLO:
        return take_hello(reading, &event.hello, err);
    default:
        return 0;
    }
}

static int take_app(struct reading *reading, int64_t at_us, const struct app *app,
                    struct error *err)
{
    struct past *past = &reading->past;
    int at = 0;
    while (at < past->app_count && (!str_equal(past->apps[at].app->name, app->name) ||
                                    !str_equal(past->apps[at].app->namespace_, app->namespace_)))
        at++;
    if (at == past->app_count) {
        past->apps =
            room(reading, past->apps, past->app_count, &reading->app_room, sizeof(*past->apps));
        if (past->apps == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the journal's apps");
        past->apps[past->app_count++] = (struct past_app){.app = app};
    }
    drop_retags(reading, app->namespace_, app->name);
    past->apps[at].app = app;
    past->apps[at].applied_us = at_us;
    past->apps[at].changes += at_us >= reading->from_us;
    return 0;
}

static void drop_app(struct reading *reading, const char *namespace_, const char *app)
{
    struct past *past = &reading->past;
    for (int i = 0; i < past->app_count; i++)
        if (str_equal(past->apps[i].app->name, app) &&
            str_equal(past->apps[i].app->namespace_, namespace_)) {
            memmove(&past->apps[i], &past->apps[i + 1],
                    (size_t)(past->app_count - i - 1) * sizeof(*past->apps));
            past->app_count--;
            break;
        }
    drop_retags(reading, namespace_, app);
}

/* A document that is applied brings its own tags. */
static void drop_retags(struct reading *reading, const char *namespace_, const char *app)
{
    struct past *past = &reading->past;
    int kept = 0;
    for (int i = 0; i < past->retag_count; i++)
        if (!str_equal(past->retags[i].app, app) ||
            !str_equal(past->retags[i].namespace_, namespace_))
            past->retags[kept++] = past->retags[i];
    past->retag_count = kept;
}

static int take_retag(struct reading *reading, int64_t at_us, const struct core_event *event,
                      struct error *err)
{
    struct past *past = &reading->past;
    past->retags =
        room(reading, past->retags, past->retag_count, &reading->retag_room, sizeof(*past->retags));
    if (past->retags == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the journal's tags");
    struct past_retag *retag = &past->retags[past->retag_count++];
    *retag = (struct past_retag){.at_us = at_us};
    str_format(retag->namespace_, sizeof(retag->namespace_), "%s", event->target.namespace_);
    str_format(retag->app, sizeof(retag->app), "%s", event->target.app);
    str_format(retag->workload, sizeof(retag->workload), "%s", event->target.workload);
    str_format(retag->key, sizeof(retag->key), "%s", event->target.key);
    str_format(retag->value, sizeof(retag->value), "%s", event->target.value);
    return 0;
}

static int take_hello(struct reading *reading, const struct message_hello *hello, struct error *err)
{
    struct past *past = &reading->past;
    int at = 0;
    while (at < past->node_count && !str_equal(past->nodes[at].name, hello->node))
        at++;
    if (at == past->node_count) {
        past->nodes =
            room(reading, past->nodes, past->node_count, &reading->node_room, sizeof(*past->nodes));
        if (past->nodes == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the journal's nodes");
        past->node_count++;
    }
    struct past_node *node = &past->nodes[at];
    *node = (struct past_node){.mcpu = hello->mcpu, .memory_bytes = hello->memory_bytes};
    str_format(node->name, sizeof(node->name), "%s", hello->node);
    str_format(node->site, sizeof(node->site), "%s", hello->site);
    return 0;
}

/* Room for one more of a list in the arena, which keeps what was outgrown. */
static void *room(struct reading *reading, void *list, int count, int *held, size_t bytes_each)
{
    if (count < *held)
        return list;
    int more = *held * 2 + 16;
    void *wider = arena_array(reading->arena, (size_t)more, bytes_each);
    if (wider == NULL)
        return NULL;
    if (count > 0)
        memcpy(wider, list, (size_t)count * bytes_each);
    *held = more;
    return wider;
}

/* ---- what was done ---- */

static int count_moves(sqlite3 *db, const char *path, int64_t from_us, int64_t to_us,
                       struct past *past, struct error *err)
{
    static const char question[] =
        "SELECT count(*), coalesce(sum((length(effects) - "
        "length(replace(effects, '\"state\":\"done\"', ''))) / 14) FILTER "
        "(WHERE effects LIKE '%\"handoff.step\"%'), 0) FROM record "
        "WHERE at_us >= ?1 AND at_us < ?2";
    sqlite3_stmt *rows = NULL;
    int rc = 0;
    if (sqlite3_prepare_v2(db, question, -1, &rows, NULL) != SQLITE_OK ||
        sqlite3_bind_int64(rows, 1, from_us) != SQLITE_OK ||
        sqlite3_bind_int64(rows, 2, to_us) != SQLITE_OK || sqlite3_step(rows) != SQLITE_ROW) {
        rc = failed(db, path, err);
    } else {
        past->records = sqlite3_column_int64(rows, 0);
        past->moves = sqlite3_column_int64(rows, 1);
    }
    (void)sqlite3_finalize(rows);
    return rc;
}

static int failed(sqlite3 *db, const char *path, struct error *err)
{
    return error_set(err, ERR_IO, 0, "reading the journal %s: %s", path,
                     db == NULL ? "no memory" : sqlite3_errmsg(db));
}
