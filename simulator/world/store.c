#include "simulator/world/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"

#define BUSY_MS 60000

struct store {
    sqlite3 *db;
    char path[LIMIT_PATH_BYTES];
    int lock_fd; /* -1: not locked */
    bool chosen; /* only the runs of temp.chosen are read */
    sqlite3_stmt *term;
    sqlite3_stmt *hour;
    sqlite3_stmt *move;
    sqlite3_stmt *row;
    sqlite3_stmt *requests;
    sqlite3_stmt *station;
};

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "INSERT OR IGNORE INTO meta VALUES ('berth-simulation', '1');"
    "CREATE TABLE IF NOT EXISTS runs (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,"
    " scenario TEXT NOT NULL, world TEXT NOT NULL, apps TEXT NOT NULL, policy TEXT NOT NULL,"
    " trace TEXT NOT NULL, seed INTEGER NOT NULL, from_us INTEGER NOT NULL, to_us INTEGER NOT NULL,"
    " step_us INTEGER NOT NULL, bill_nusd INTEGER NOT NULL, score_nusd INTEGER NOT NULL,"
    " bound_nusd INTEGER NOT NULL, bound_score_nusd INTEGER NOT NULL, bound_ppm INTEGER NOT NULL,"
    " ledger_nusd INTEGER NOT NULL, moves INTEGER NOT NULL, moves_back INTEGER NOT NULL,"
    " moves_nusd INTEGER NOT NULL, calls INTEGER NOT NULL, slow INTEGER NOT NULL,"
    " lost INTEGER NOT NULL, down_us INTEGER NOT NULL, rtt_us INTEGER NOT NULL,"
    " steps INTEGER NOT NULL, solves INTEGER NOT NULL, wall_us INTEGER NOT NULL,"
    " cpu_us INTEGER NOT NULL, hash TEXT NOT NULL, notes TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS terms (run INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " namespace TEXT NOT NULL, app TEXT NOT NULL, term TEXT NOT NULL, site TEXT NOT NULL,"
    " bill_nusd INTEGER NOT NULL, score_nusd INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS hours (run INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " bill_nusd INTEGER NOT NULL, score_nusd INTEGER NOT NULL, bound_nusd INTEGER NOT NULL,"
    " bound_score_nusd INTEGER NOT NULL, bound_ppm INTEGER NOT NULL, calls INTEGER NOT NULL,"
    " slow INTEGER NOT NULL, lost INTEGER NOT NULL, rtt_us INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS moves (run INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " took_us INTEGER NOT NULL, namespace TEXT NOT NULL, app TEXT NOT NULL, workload TEXT NOT NULL,"
    " replica INTEGER NOT NULL, from_site TEXT NOT NULL, to_site TEXT NOT NULL,"
    " reason TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL);"
    "CREATE TABLE IF NOT EXISTS ledger (run INTEGER NOT NULL, hour_us INTEGER NOT NULL,"
    " namespace TEXT NOT NULL, app TEXT NOT NULL, workload TEXT NOT NULL, term TEXT NOT NULL,"
    " item TEXT NOT NULL, account TEXT NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL,"
    " site TEXT NOT NULL, peer TEXT NOT NULL, tags TEXT NOT NULL, unit TEXT NOT NULL,"
    " price TEXT NOT NULL, per INTEGER NOT NULL, quantity INTEGER NOT NULL, tier INTEGER NOT NULL,"
    " amount_nusd INTEGER NOT NULL, predicted_nusd INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS requests (run INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " for_us INTEGER NOT NULL, namespace TEXT NOT NULL, app TEXT NOT NULL, caller TEXT NOT NULL,"
    " workload TEXT NOT NULL, offered INTEGER NOT NULL, completed INTEGER NOT NULL,"
    " rejected INTEGER NOT NULL, under_way INTEGER NOT NULL, carried INTEGER NOT NULL,"
    " bytes INTEGER NOT NULL, p50_us INTEGER NOT NULL, p95_us INTEGER NOT NULL,"
    " p99_us INTEGER NOT NULL);"
    "CREATE TABLE IF NOT EXISTS stations (run INTEGER NOT NULL, at_us INTEGER NOT NULL,"
    " namespace TEXT NOT NULL, app TEXT NOT NULL, workload TEXT NOT NULL, site TEXT NOT NULL,"
    " overflow INTEGER NOT NULL, servers INTEGER NOT NULL, arrived INTEGER NOT NULL,"
    " served INTEGER NOT NULL, refused INTEGER NOT NULL, hits INTEGER NOT NULL,"
    " misses INTEGER NOT NULL, share_ppm INTEGER NOT NULL, half_ppm INTEGER NOT NULL,"
    " busy_ppm INTEGER NOT NULL, wait_us INTEGER NOT NULL, wait_p99_us INTEGER NOT NULL);"
    "CREATE INDEX IF NOT EXISTS requests_run ON requests (run);"
    "CREATE INDEX IF NOT EXISTS stations_run ON stations (run);"
    "CREATE INDEX IF NOT EXISTS terms_run ON terms (run);"
    "CREATE INDEX IF NOT EXISTS hours_run ON hours (run);"
    "CREATE INDEX IF NOT EXISTS moves_run ON moves (run);"
    "CREATE INDEX IF NOT EXISTS ledger_run ON ledger (run);"
    /* Costs by the names of https://focus.finops.org, version 1.2. */
    "CREATE VIEW IF NOT EXISTS focus AS SELECT runs.key AS x_Run, policy AS x_Policy,"
    " seed AS x_Seed, account AS BillingAccountId,"
    " strftime('%Y-%m-01T00:00:00Z', hour_us / 1000000, 'unixepoch') AS BillingPeriodStart,"
    " strftime('%Y-%m-01T00:00:00Z', hour_us / 1000000, 'unixepoch', 'start of month', '+1 month')"
    " AS BillingPeriodEnd,"
    " strftime('%Y-%m-%dT%H:%M:%SZ', hour_us / 1000000, 'unixepoch') AS ChargePeriodStart,"
    " strftime('%Y-%m-%dT%H:%M:%SZ', hour_us / 1000000 + 3600, 'unixepoch') AS ChargePeriodEnd,"
    " provider AS ProviderName, provider AS PublisherName, provider AS InvoiceIssuerName,"
    " CASE term WHEN 'egress' THEN 'Networking' WHEN 'storage' THEN 'Storage' ELSE 'Compute' END"
    " AS ServiceCategory, item AS ServiceName, region AS RegionId, region AS RegionName,"
    " namespace || '/' || app || '/' || workload AS ResourceId, workload AS ResourceName,"
    " 'Workload' AS ResourceType, 'Usage' AS ChargeCategory, 'Usage-Based' AS ChargeFrequency,"
    " item || ' of ' || namespace || '/' || app || '/' || workload || ' at ' || site ||"
    " CASE peer WHEN '' THEN '' ELSE ' with ' || peer END AS ChargeDescription,"
    " 'Standard' AS PricingCategory, quantity * 1.0 / per AS PricingQuantity,"
    " unit AS PricingUnit, quantity * 1.0 / per AS ConsumedQuantity, unit AS ConsumedUnit,"
    " price AS ListUnitPrice, price AS ContractedUnitPrice, amount_nusd / 1e9 AS ListCost,"
    " amount_nusd / 1e9 AS ContractedCost, amount_nusd / 1e9 AS EffectiveCost,"
    " amount_nusd / 1e9 AS BilledCost, 'USD' AS BillingCurrency,"
    " site || ':' || term || ':' || item AS SkuId, tags AS Tags, namespace AS x_Namespace,"
    " app AS x_App, workload AS x_Workload, term AS x_Term, peer AS x_PeerSite,"
    " CASE WHEN tier < 0 THEN '' ELSE tier END AS x_PriceTier,"
    " predicted_nusd / 1e9 AS x_PredictedCost FROM ledger JOIN runs ON runs.id = ledger.run;";

/* The runs that are read: all, or those of store_choose. */
#define CHOSEN " WHERE runs.key IN temp.chosen"
#define RUNS_SQL(which)                                                                            \
    "SELECT key, scenario, world, apps, policy, trace, seed, from_us, to_us, step_us, bill_nusd,"  \
    " score_nusd, bound_nusd, bound_score_nusd, bound_ppm, ledger_nusd, moves, moves_back,"        \
    " moves_nusd, calls, slow, lost, down_us, rtt_us, steps, solves, wall_us, cpu_us, hash, notes" \
    " FROM runs" which " ORDER BY world, apps, trace, policy, seed, id"
#define FOCUS_SQL(which)                                                                           \
    "SELECT hour_us, namespace, app, workload, term, item, account, provider, region, site, peer," \
    " tags, unit, price, per, quantity, tier, amount_nusd, predicted_nusd, runs.key, policy, seed" \
    " FROM ledger JOIN runs ON runs.id = ledger.run" which " ORDER BY run, ledger.rowid"

static int open_db(const char *path, struct store **ret_store, struct error *err);
static int check_schema(struct store *store, bool resume, struct error *err);
static int check_owner(struct store *store, struct error *err);
static int run_sql(struct store *store, const char *sql, struct error *err);
static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err);
static int put_term(void *context, const struct run_term *term, struct error *err);
static int put_hour(void *context, const struct run_hour *hour, struct error *err);
static int put_move(void *context, const struct run_move *move, struct error *err);
static int put_row(void *context, const struct ledger_row *row, struct error *err);
static int put_requests(void *context, const struct run_requests *requests, struct error *err);
static int put_station(void *context, const struct run_station *station, struct error *err);
static void bind_text(sqlite3_stmt *statement, int *column, const char *text);
static void bind_int(sqlite3_stmt *statement, int *column, int64_t value);
static void bind_money(sqlite3_stmt *statement, int *column, nusd amount);
static int done(struct store *store, sqlite3_stmt *statement, struct error *err);
static int fail(const struct store *store, const char *what, struct error *err);
static void part_path(const char *path, const char *key, char out[LIMIT_PATH_BYTES]);
static void read_text(sqlite3_stmt *statement, int column, char *out, size_t capacity);

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
    (void)sqlite3_finalize(store->term);
    (void)sqlite3_finalize(store->hour);
    (void)sqlite3_finalize(store->move);
    (void)sqlite3_finalize(store->row);
    (void)sqlite3_finalize(store->requests);
    (void)sqlite3_finalize(store->station);
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
    sqlite3_stmt *statement = NULL;
    int column = 0;
    int rc = store->chosen ? 0 : run_sql(store, "CREATE TEMP TABLE chosen (key TEXT)", err);
    store->chosen = rc == 0;
    if (rc == 0)
        rc = prepare(store, "INSERT INTO temp.chosen VALUES (?)", &statement, err);
    if (rc < 0)
        return rc;
    bind_text(statement, &column, key);
    rc = done(store, statement, err);
    (void)sqlite3_finalize(statement);
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
        return fail(store, "open", err);
    (void)sqlite3_busy_timeout(store->db, BUSY_MS);
    return 0;
}

static int check_schema(struct store *store, bool resume, struct error *err)
{
    sqlite3_stmt *statement = NULL;
    int64_t runs = 0;
    int rc = check_owner(store, err);
    if (rc == 0)
        rc = run_sql(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;", err);
    if (rc == 0)
        rc = run_sql(store, "BEGIN IMMEDIATE", err);
    if (rc == 0) {
        rc = run_sql(store, schema, err);
        if (rc == 0)
            rc = run_sql(store, "COMMIT", err);
        if (rc < 0)
            (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    if (rc == 0)
        rc = prepare(store, "SELECT count(*) FROM runs", &statement, err);
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
    int rc =
        prepare(store, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'", &statement, err);
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
    if (prepare(store, "SELECT value FROM meta WHERE key = 'berth-simulation'", &statement, err) ==
        0) {
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
    int column = 0;
    int rc = prepare(store, "SELECT 1 FROM runs WHERE key = ?", &statement, err);
    if (rc < 0)
        return rc;
    bind_text(statement, &column, key);
    int step = sqlite3_step(statement);
    (void)sqlite3_finalize(statement);
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return fail(store, "read", err);
    *ret_has = step == SQLITE_ROW;
    return 0;
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
        rc = run_sql(part, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;", err);
    if (rc == 0)
        rc = run_sql(part, schema, err);
    if (rc == 0)
        rc = run_sql(part, "BEGIN", err);
    if (rc == 0)
        rc = prepare(part, "INSERT INTO terms VALUES (1, ?, ?, ?, ?, ?, ?, ?)", &part->term, err);
    if (rc == 0)
        rc = prepare(part, "INSERT INTO hours VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     &part->hour, err);
    if (rc == 0)
        rc = prepare(part, "INSERT INTO moves VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     &part->move, err);
    if (rc == 0)
        rc = prepare(part,
                     "INSERT INTO ledger VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                     " ?, ?, ?, ?, ?)",
                     &part->row, err);
    if (rc == 0)
        rc = prepare(part,
                     "INSERT INTO requests VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     &part->requests, err);
    if (rc == 0)
        rc = prepare(part,
                     "INSERT INTO stations VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                     " ?, ?)",
                     &part->station, err);
    if (rc < 0) {
        store_close(part);
        store_part_remove(path, key);
        return rc;
    }
    *ret_part = part;
    *ret_sink = (struct run_sink){.context = part,
                                  .term = put_term,
                                  .hour = put_hour,
                                  .move = put_move,
                                  .row = put_row,
                                  .requests = put_requests,
                                  .station = put_station};
    return 0;
}

static int put_term(void *context, const struct run_term *term, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->term;
    int column = 0;
    bind_int(to, &column, term->at_us);
    bind_text(to, &column, term->app->namespace_);
    bind_text(to, &column, term->app->name);
    bind_text(to, &column, cost_term_words[term->term]);
    bind_text(to, &column, term->site);
    bind_money(to, &column, term->bill);
    bind_money(to, &column, term->score);
    return done(store, to, err);
}

static int put_hour(void *context, const struct run_hour *hour, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->hour;
    int column = 0;
    bind_int(to, &column, hour->at_us);
    bind_money(to, &column, hour->bill);
    bind_money(to, &column, hour->score);
    bind_money(to, &column, hour->bound);
    bind_money(to, &column, hour->bound_score);
    bind_int(to, &column, hour->bound_ppm);
    bind_int(to, &column, hour->calls);
    bind_int(to, &column, hour->slow);
    bind_int(to, &column, hour->lost);
    bind_int(to, &column, hour->rtt_us);
    return done(store, to, err);
}

static int put_move(void *context, const struct run_move *move, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->move;
    int column = 0;
    bind_int(to, &column, move->at_us);
    bind_int(to, &column, move->took_us);
    bind_text(to, &column, move->namespace_);
    bind_text(to, &column, move->app);
    bind_text(to, &column, move->workload);
    bind_int(to, &column, move->replica);
    bind_text(to, &column, move->from);
    bind_text(to, &column, move->to);
    bind_text(to, &column, move->reason);
    bind_text(to, &column, move->state);
    bind_text(to, &column, move->text);
    return done(store, to, err);
}

static int put_row(void *context, const struct ledger_row *row, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->row;
    char price[DECIMAL_TEXT_BYTES];
    int column = 0;
    bind_int(to, &column, row->hour_us);
    bind_text(to, &column, row->namespace_);
    bind_text(to, &column, row->app);
    bind_text(to, &column, row->workload);
    bind_text(to, &column, row->term);
    bind_text(to, &column, row->item);
    bind_text(to, &column, row->account);
    bind_text(to, &column, row->provider);
    bind_text(to, &column, row->region);
    bind_text(to, &column, row->site);
    bind_text(to, &column, row->peer);
    bind_text(to, &column, row->tags);
    bind_text(to, &column, row->unit);
    bind_text(to, &column, decimal_format(row->price, price));
    bind_int(to, &column, (int64_t)row->per);
    bind_int(to, &column, row->quantity);
    bind_int(to, &column, row->tier);
    bind_money(to, &column, row->amount);
    bind_money(to, &column, row->predicted);
    return done(store, to, err);
}

static int put_requests(void *context, const struct run_requests *requests, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->requests;
    int column = 0;
    bind_int(to, &column, requests->at_us);
    bind_int(to, &column, requests->for_us);
    bind_text(to, &column, requests->app->namespace_);
    bind_text(to, &column, requests->app->name);
    bind_text(to, &column, requests->from);
    bind_text(to, &column, requests->workload);
    const uint64_t counts[] = {requests->offered,   requests->completed, requests->rejected,
                               requests->under_way, requests->carried,   requests->bytes};
    for (int i = 0; i < 6; i++)
        bind_int(to, &column, counts[i] > INT64_MAX ? INT64_MAX : (int64_t)counts[i]);
    bind_int(to, &column, requests->p50_us);
    bind_int(to, &column, requests->p95_us);
    bind_int(to, &column, requests->p99_us);
    return done(store, to, err);
}

static int put_station(void *context, const struct run_station *station, struct error *err)
{
    struct store *store = context;
    sqlite3_stmt *to = store->station;
    int column = 0;
    bind_int(to, &column, station->at_us);
    bind_text(to, &column, station->app->namespace_);
    bind_text(to, &column, station->app->name);
    bind_text(to, &column, station->workload);
    bind_text(to, &column, station->site);
    bind_int(to, &column, station->overflow);
    bind_int(to, &column, station->servers);
    const uint64_t counts[] = {station->arrived, station->served, station->refused, station->hits,
                               station->misses};
    for (int i = 0; i < 5; i++)
        bind_int(to, &column, (int64_t)counts[i]);
    const int64_t more[] = {station->share_ppm, station->half_ppm, station->busy_ppm,
                            station->wait_us, station->wait_p99_us};
    for (int i = 0; i < 5; i++)
        bind_int(to, &column, more[i]);
    return done(store, to, err);
}

int store_part_finish(struct store *part, const struct store_run *run, struct error *err)
{
    const struct run_result *result = &run->result;
    sqlite3_stmt *to = NULL;
    char hash[STORE_KEY_BYTES];
    int column = 0;
    int rc = prepare(part,
                     "INSERT INTO runs VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
                     " ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                     &to, err);
    if (rc < 0)
        return rc;
    bind_text(to, &column, run->key);
    bind_text(to, &column, run->scenario);
    bind_text(to, &column, run->world);
    bind_text(to, &column, run->apps);
    bind_text(to, &column, run->policy);
    bind_text(to, &column, run->trace);
    bind_int(to, &column, run->seed);
    bind_int(to, &column, run->from_us);
    bind_int(to, &column, run->to_us);
    bind_int(to, &column, run->step_us);
    bind_money(to, &column, result->bill);
    bind_money(to, &column, result->score);
    bind_money(to, &column, result->bound);
    bind_money(to, &column, result->bound_score);
    bind_int(to, &column, result->bound_ppm);
    bind_money(to, &column, result->ledger);
    bind_int(to, &column, result->moves);
    bind_int(to, &column, result->moves_back);
    bind_money(to, &column, result->moves_bill);
    bind_int(to, &column, result->calls);
    bind_int(to, &column, result->slow);
    bind_int(to, &column, result->lost);
    bind_int(to, &column, result->down_us);
    bind_int(to, &column, result->rtt_us);
    bind_int(to, &column, result->steps);
    bind_int(to, &column, result->counts.solves);
    bind_int(to, &column, run->wall_us);
    bind_int(to, &column, run->cpu_us);
    str_format(hash, sizeof(hash), "%016" PRIx64, result->hash);
    bind_text(to, &column, hash);
    bind_text(to, &column, result->notes);
    rc = done(part, to, err);
    (void)sqlite3_finalize(to);
    return rc < 0 ? rc : run_sql(part, "COMMIT", err);
}

int store_add(struct store *store, const char *path, const char *key, struct error *err)
{
    char part[LIMIT_PATH_BYTES];
    sqlite3_stmt *attach = NULL;
    int column = 0;
    part_path(path, key, part);
    int rc = prepare(store, "ATTACH ? AS part", &attach, err);
    if (rc < 0)
        return rc;
    bind_text(attach, &column, part);
    rc = done(store, attach, err);
    (void)sqlite3_finalize(attach);
    if (rc < 0)
        return rc;
    static const char copy[] =
        "BEGIN IMMEDIATE;"
        "INSERT INTO main.terms SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, at_us,"
        " namespace, app, term, site, bill_nusd, score_nusd FROM part.terms;"
        "INSERT INTO main.hours SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, at_us,"
        " bill_nusd, score_nusd, bound_nusd, bound_score_nusd, bound_ppm, calls, slow, lost, rtt_us"
        " FROM part.hours;"
        "INSERT INTO main.moves SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, at_us,"
        " took_us, namespace, app, workload, replica, from_site, to_site, reason, state, text"
        " FROM part.moves;"
        "INSERT INTO main.ledger SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, hour_us,"
        " namespace, app, workload, term, item, account, provider, region, site, peer, tags, unit,"
        " price, per, quantity, tier, amount_nusd, predicted_nusd FROM part.ledger;"
        "INSERT INTO main.requests SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, at_us,"
        " for_us, namespace, app, caller, workload, offered, completed, rejected, under_way,"
        " carried, bytes, p50_us, p95_us, p99_us FROM part.requests;"
        "INSERT INTO main.stations SELECT coalesce((SELECT max(id) FROM main.runs), 0) + 1, at_us,"
        " namespace, app, workload, site, overflow, servers, arrived, served, refused, hits,"
        " misses, share_ppm, half_ppm, busy_ppm, wait_us, wait_p99_us FROM part.stations;"
        "INSERT INTO main.runs SELECT NULL, key, scenario, world, apps, policy, trace, seed,"
        " from_us, to_us, step_us, bill_nusd, score_nusd, bound_nusd, bound_score_nusd, bound_ppm,"
        " ledger_nusd, moves, moves_back, moves_nusd, calls, slow, lost, down_us, rtt_us, steps,"
        " solves, wall_us, cpu_us, hash, notes FROM part.runs;"
        "COMMIT;";
    rc = run_sql(store, copy, err);
    if (rc < 0)
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    (void)sqlite3_exec(store->db, "DETACH part", NULL, NULL, NULL);
    if (rc == 0)
        store_part_remove(path, key);
    return rc;
}

/* ---- reading ---- */

int store_runs(struct store *store, store_visitor *visitor, void *context, struct error *err)
{
    sqlite3_stmt *from = NULL;
    struct store_run *run = calloc(1, sizeof(*run));
    int rc = run == NULL
                 ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a run's results")
                 : prepare(store, store->chosen ? RUNS_SQL(CHOSEN) : RUNS_SQL(""), &from, err);
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(from)) == SQLITE_ROW) {
        int64_t sums[TERM_COUNT] = {0};
        char hash[STORE_KEY_BYTES];
        (void)sums;
        read_text(from, 0, run->key, sizeof(run->key));
        read_text(from, 1, run->scenario, sizeof(run->scenario));
        read_text(from, 2, run->world, sizeof(run->world));
        read_text(from, 3, run->apps, sizeof(run->apps));
        read_text(from, 4, run->policy, sizeof(run->policy));
        read_text(from, 5, run->trace, sizeof(run->trace));
        int64_t *const ints[] = {&run->seed, &run->from_us, &run->to_us, &run->step_us};
        for (int i = 0; i < 4; i++)
            *ints[i] = sqlite3_column_int64(from, 6 + i);
        struct run_result *result = &run->result;
        nusd *const money[] = {&result->bill, &result->score, &result->bound, &result->bound_score};
        for (int i = 0; i < 4; i++)
            *money[i] = sqlite3_column_int64(from, 10 + i);
        result->bound_ppm = sqlite3_column_int64(from, 14);
        result->ledger = sqlite3_column_int64(from, 15);
        result->moves = sqlite3_column_int64(from, 16);
        result->moves_back = sqlite3_column_int64(from, 17);
        result->moves_bill = sqlite3_column_int64(from, 18);
        int64_t *const more[] = {&result->calls,         &result->slow,   &result->lost,
                                 &result->down_us,       &result->rtt_us, &result->steps,
                                 &result->counts.solves, &run->wall_us,   &run->cpu_us};
        for (int i = 0; i < 9; i++)
            *more[i] = sqlite3_column_int64(from, 19 + i);
        read_text(from, 28, hash, sizeof(hash));
        result->hash = strtoull(hash, NULL, 16);
        read_text(from, 29, result->notes, sizeof(result->notes));
        rc = visitor(context, run, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(store, "read", err);
    (void)sqlite3_finalize(from);
    free(run);
    return rc;
}

int store_moves(struct store *store, const char *key,
                int (*visitor)(void *context, const struct run_move *move, struct error *err),
                void *context, struct error *err)
{
    sqlite3_stmt *from = NULL;
    int column = 0;
    int rc = prepare(store,
                     "SELECT at_us, took_us, namespace, app, workload, replica, from_site, to_site,"
                     " reason, state, text FROM moves WHERE run = (SELECT id FROM runs WHERE key ="
                     " ?) ORDER BY rowid",
                     &from, err);
    if (rc < 0)
        return rc;
    bind_text(from, &column, key);
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(from)) == SQLITE_ROW) {
        struct run_move move = {.at_us = sqlite3_column_int64(from, 0),
                                .took_us = sqlite3_column_int64(from, 1),
                                .replica = sqlite3_column_int(from, 5)};
        read_text(from, 2, move.namespace_, sizeof(move.namespace_));
        read_text(from, 3, move.app, sizeof(move.app));
        read_text(from, 4, move.workload, sizeof(move.workload));
        read_text(from, 6, move.from, sizeof(move.from));
        read_text(from, 7, move.to, sizeof(move.to));
        move.reason = (const char *)sqlite3_column_text(from, 8);
        move.state = (const char *)sqlite3_column_text(from, 9);
        read_text(from, 10, move.text, sizeof(move.text));
        rc = visitor(context, &move, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(store, "read", err);
    (void)sqlite3_finalize(from);
    return rc;
}

int store_requests(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_requests *requests,
                                struct error *err),
                   void *context, struct error *err)
{
    sqlite3_stmt *from = NULL;
    int column = 0;
    int rc = prepare(store,
                     "SELECT at_us, for_us, namespace, app, caller, workload, offered, completed,"
                     " rejected, under_way, carried, bytes, p50_us, p95_us, p99_us FROM requests"
                     " WHERE run = (SELECT id FROM runs WHERE key = ?) ORDER BY rowid",
                     &from, err);
    struct app *app = calloc(1, sizeof(*app)); /* its names only */
    if (rc == 0 && app == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for reading results");
    if (rc == 0)
        bind_text(from, &column, key);
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(from)) == SQLITE_ROW) {
        struct run_requests one = {.at_us = sqlite3_column_int64(from, 0),
                                   .for_us = sqlite3_column_int64(from, 1),
                                   .app = app,
                                   .from = (const char *)sqlite3_column_text(from, 4),
                                   .workload = (const char *)sqlite3_column_text(from, 5),
                                   .p50_us = sqlite3_column_int64(from, 12),
                                   .p95_us = sqlite3_column_int64(from, 13),
                                   .p99_us = sqlite3_column_int64(from, 14)};
        uint64_t *const counts[] = {&one.offered,   &one.completed, &one.rejected,
                                    &one.under_way, &one.carried,   &one.bytes};
        read_text(from, 2, app->namespace_, sizeof(app->namespace_));
        read_text(from, 3, app->name, sizeof(app->name));
        for (int i = 0; i < 6; i++)
            *counts[i] = (uint64_t)sqlite3_column_int64(from, 6 + i);
        rc = visit(context, &one, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(store, "read", err);
    free(app);
    (void)sqlite3_finalize(from);
    return rc;
}

int store_stations(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_station *station,
                                struct error *err),
                   void *context, struct error *err)
{
    sqlite3_stmt *from = NULL;
    int column = 0;
    int rc = prepare(store,
                     "SELECT at_us, namespace, app, workload, site, overflow, servers, arrived,"
                     " served, refused, hits, misses, share_ppm, half_ppm, busy_ppm, wait_us,"
                     " wait_p99_us FROM stations WHERE run = (SELECT id FROM runs WHERE key = ?)"
                     " ORDER BY rowid",
                     &from, err);
    struct app *app = calloc(1, sizeof(*app));
    if (rc == 0 && app == NULL)
        rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for reading results");
    if (rc == 0)
        bind_text(from, &column, key);
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(from)) == SQLITE_ROW) {
        struct run_station one = {.at_us = sqlite3_column_int64(from, 0),
                                  .app = app,
                                  .workload = (const char *)sqlite3_column_text(from, 3),
                                  .site = (const char *)sqlite3_column_text(from, 4),
                                  .overflow = sqlite3_column_int(from, 5) != 0,
                                  .servers = sqlite3_column_int(from, 6)};
        uint64_t *const counts[] = {&one.arrived, &one.served, &one.refused, &one.hits,
                                    &one.misses};
        int64_t *const more[] = {&one.share_ppm, &one.half_ppm, &one.busy_ppm, &one.wait_us,
                                 &one.wait_p99_us};
        read_text(from, 1, app->namespace_, sizeof(app->namespace_));
        read_text(from, 2, app->name, sizeof(app->name));
        for (int i = 0; i < 5; i++) {
            *counts[i] = (uint64_t)sqlite3_column_int64(from, 7 + i);
            *more[i] = sqlite3_column_int64(from, 12 + i);
        }
        rc = visit(context, &one, err);
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(store, "read", err);
    free(app);
    (void)sqlite3_finalize(from);
    return rc;
}

int store_focus(struct store *store,
                int (*write)(void *context, const struct strbuf *text, struct error *err),
                void *context, struct error *err)
{
    sqlite3_stmt *from = NULL;
    struct strbuf out;
    int rc = prepare(store, store->chosen ? FOCUS_SQL(CHOSEN) : FOCUS_SQL(""), &from, err);
    strbuf_init(&out, (size_t)1 << 20);
    strbuf_puts(&out, "x_Run,x_Policy,x_Seed,");
    ledger_focus_header(&out);
    int step = SQLITE_DONE;
    while (rc == 0 && (step = sqlite3_step(from)) == SQLITE_ROW) {
        struct ledger_row row = {.hour_us = sqlite3_column_int64(from, 0),
                                 .per = (uint64_t)sqlite3_column_int64(from, 14),
                                 .quantity = sqlite3_column_int64(from, 15),
                                 .tier = sqlite3_column_int(from, 16),
                                 .amount = sqlite3_column_int64(from, 17),
                                 .predicted = sqlite3_column_int64(from, 18)};
        char price[DECIMAL_TEXT_BYTES];
        char *const texts[] = {row.namespace_, row.app,     row.workload, row.term,
                               row.item,       row.account, row.provider, row.region};
        for (int i = 0; i < 8; i++)
            read_text(from, 1 + i, texts[i], LIMIT_NAME_BYTES);
        read_text(from, 9, row.site, sizeof(row.site));
        read_text(from, 10, row.peer, sizeof(row.peer));
        read_text(from, 11, row.tags, sizeof(row.tags));
        read_text(from, 12, row.unit, sizeof(row.unit));
        read_text(from, 13, price, sizeof(price));
        rc = decimal_parse(price, &row.price, err);
        if (rc == 0) {
            strbuf_printf(&out, "%s,%s,%" PRId64 ",", (const char *)sqlite3_column_text(from, 19),
                          (const char *)sqlite3_column_text(from, 20),
                          (int64_t)sqlite3_column_int64(from, 21));
            ledger_focus_row(&row, &out);
        }
        if (rc == 0 && out.bytes > 65536) {
            rc = write(context, &out, err);
            strbuf_reset(&out);
        }
    }
    if (rc == 0 && step != SQLITE_DONE)
        rc = fail(store, "read", err);
    if (rc == 0)
        rc = write(context, &out, err);
    strbuf_done(&out);
    (void)sqlite3_finalize(from);
    return rc;
}

/* ---- SQLite ---- */

static void read_text(sqlite3_stmt *statement, int column, char *out, size_t capacity)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    if (text == NULL || str_copy(out, capacity, text) < 0)
        out[0] = 0;
}

static void bind_text(sqlite3_stmt *statement, int *column, const char *text)
{
    (void)sqlite3_bind_text(statement, ++*column, text, -1, SQLITE_TRANSIENT);
}

static void bind_int(sqlite3_stmt *statement, int *column, int64_t value)
{
    (void)sqlite3_bind_int64(statement, ++*column, value);
}

/* Beyond 9 billion dollars there is only "as much as that". */
static void bind_money(sqlite3_stmt *statement, int *column, nusd amount)
{
    int64_t value;
    if (money_to_i64(amount, &value) < 0)
        value = amount < 0 ? -INT64_MAX : INT64_MAX;
    bind_int(statement, column, value);
}

static int done(struct store *store, sqlite3_stmt *statement, struct error *err)
{
    int step = sqlite3_step(statement);
    (void)sqlite3_reset(statement);
    return step == SQLITE_DONE ? 0 : fail(store, "write", err);
}

static int run_sql(struct store *store, const char *sql, struct error *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0
                                                                       : fail(store, "write", err);
}

static int prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                   struct error *err)
{
    return sqlite3_prepare_v2(store->db, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? 0
               : fail(store, "prepare", err);
}

static int fail(const struct store *store, const char *what, struct error *err)
{
    const char *why = store->db == NULL ? "no memory" : sqlite3_errmsg(store->db);
    return error_set(err, ERR_IO, 0, "results %s: %s: %s", store->path, what, why);
}
