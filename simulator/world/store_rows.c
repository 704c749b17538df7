/* Rows of each table: written by a run's sink, and read again in the same order of columns. */
#include <inttypes.h>
#include <stdlib.h>

#include "simulator/world/store_internal.h"

/* What follows a table's name: of one run, of all, of those of store_choose. */
#define OF_RUN    "WHERE run = (SELECT id FROM runs WHERE key = ?) ORDER BY rowid"
#define OF_RUNS   " ORDER BY world, apps, trace, policy, seed, id"
#define OF_LEDGER "JOIN runs ON runs.id = ledger.run"
#define CHOSEN    " WHERE runs.key IN temp.chosen"

#define SQL_BYTES 8192
#define TEXTS(...)        \
    (const char *const[]) \
    {                     \
        __VA_ARGS__       \
    }
#define INTS(...)     \
    (const int64_t[]) \
    {                 \
        __VA_ARGS__   \
    }
#define COUNTS(...)    \
    (const uint64_t[]) \
    {                  \
        __VA_ARGS__    \
    }
#define TO_INTS(...)   \
    (int64_t *const[]) \
    {                  \
        __VA_ARGS__    \
    }
#define TO_COUNTS(...)  \
    (uint64_t *const[]) \
    {                   \
        __VA_ARGS__     \
    }

static int put_term(void *context, const struct run_term *term, struct error *err);
static int put_hour(void *context, const struct run_hour *hour, struct error *err);
static int put_move(void *context, const struct run_move *move, struct error *err);
static int put_ledger(void *context, const struct ledger_row *ledger, struct error *err);
static int put_requests(void *context, const struct run_requests *requests, struct error *err);
static int put_station(void *context, const struct run_station *station, struct error *err);
static struct store_row row_of(const struct store *part, enum store_table table);
static int begin_reading(struct store *store, enum store_table table, const char *more,
                         const char *from, const char *key, struct store_row *ret_row,
                         struct error *err);

struct run_sink store_sink(struct store *part)
{
    return (struct run_sink){.context = part,
                             .term = put_term,
                             .hour = put_hour,
                             .move = put_move,
                             .row = put_ledger,
                             .requests = put_requests,
                             .station = put_station};
}

/* A new row of the file of one run. */
static struct store_row row_of(const struct store *part, enum store_table table)
{
    return (struct store_row){.statement = part->insert[table]};
}

/* The rows of the run `key`, which `from` asks for; NULL: `from` asks for none. */
static int begin_reading(struct store *store, enum store_table table, const char *more,
                         const char *from, const char *key, struct store_row *ret_row,
                         struct error *err)
{
    struct strbuf sql;
    struct store_row row = {0};
    strbuf_init(&sql, SQL_BYTES);
    store_sql_select(table, more, from, &sql);
    int rc = strbuf_error(&sql, err);
    if (rc == 0)
        rc = store_prepare(store, strbuf_text(&sql), &row.statement, err);
    strbuf_done(&sql);
    if (rc < 0)
        return rc;
    if (key != NULL)
        store_put_text(&row, key);
    *ret_row = row;
    return 0;
}

/* ---- terms and hours ---- */

static int put_term(void *context, const struct run_term *term, struct error *err)
{
    struct store_row to = row_of(context, STORE_TERMS);
    store_put_int(&to, term->at_us);
    store_put_texts(
        &to, TEXTS(term->app->namespace_, term->app->name, cost_term_words[term->term], term->site),
        4);
    store_put_money(&to, term->bill);
    store_put_money(&to, term->score);
    return store_put_done(context, &to, err);
}

static int put_hour(void *context, const struct run_hour *hour, struct error *err)
{
    struct store_row to = row_of(context, STORE_HOURS);
    store_put_int(&to, hour->at_us);
    store_put_money(&to, hour->bill);
    store_put_money(&to, hour->score);
    store_put_money(&to, hour->bound);
    store_put_money(&to, hour->bound_score);
    store_put_ints(&to, INTS(hour->bound_ppm, hour->calls, hour->slow, hour->lost, hour->rtt_us),
                   5);
    return store_put_done(context, &to, err);
}

/* ---- moves ---- */

static int put_move(void *context, const struct run_move *move, struct error *err)
{
    struct store_row to = row_of(context, STORE_MOVES);
    store_put_ints(&to, INTS(move->at_us, move->took_us), 2);
    store_put_texts(&to, TEXTS(move->namespace_, move->app, move->workload), 3);
    store_put_int(&to, move->replica);
    store_put_texts(&to, TEXTS(move->from, move->to, move->reason, move->state, move->text), 5);
    return store_put_done(context, &to, err);
}

int store_moves(struct store *store, const char *key,
                int (*visitor)(void *context, const struct run_move *move, struct error *err),
                void *context, struct error *err)
{
    struct store_row from;
    int rc = begin_reading(store, STORE_MOVES, "", OF_RUN, key, &from, err);
    if (rc < 0)
        return rc;
    while (rc == 0 && (rc = store_get_row(store, &from, err)) > 0) {
        struct run_move move = {0};
        store_get_ints(&from, TO_INTS(&move.at_us, &move.took_us), 2);
        store_get_text(&from, move.namespace_, sizeof(move.namespace_));
        store_get_text(&from, move.app, sizeof(move.app));
        store_get_text(&from, move.workload, sizeof(move.workload));
        move.replica = (int)store_get_int(&from);
        store_get_text(&from, move.from, sizeof(move.from));
        store_get_text(&from, move.to, sizeof(move.to));
        move.reason = store_get_words(&from);
        move.state = store_get_words(&from);
        store_get_text(&from, move.text, sizeof(move.text));
        rc = visitor(context, &move, err);
    }
    (void)sqlite3_finalize(from.statement);
    return rc;
}

/* ---- the ledger ---- */

static int put_ledger(void *context, const struct ledger_row *ledger, struct error *err)
{
    struct store_row to = row_of(context, STORE_LEDGER);
    char price[DECIMAL_TEXT_BYTES];
    store_put_int(&to, ledger->hour_us);
    store_put_texts(&to,
                    TEXTS(ledger->namespace_, ledger->app, ledger->workload, ledger->term,
                          ledger->item, ledger->account, ledger->provider, ledger->region,
                          ledger->site, ledger->peer, ledger->tags, ledger->unit,
                          decimal_format(ledger->price, price)),
                    13);
    store_put_ints(&to, INTS((int64_t)ledger->per, ledger->quantity, ledger->tier), 3);
    store_put_money(&to, ledger->amount);
    store_put_money(&to, ledger->predicted);
    return store_put_done(context, &to, err);
}

static int get_ledger(struct store_row *from, struct ledger_row *ret_ledger, struct error *err)
{
    struct ledger_row ledger = {.hour_us = store_get_int(from)};
    char price[DECIMAL_TEXT_BYTES];
    char *const names[] = {ledger.namespace_, ledger.app,     ledger.workload, ledger.term,
                           ledger.item,       ledger.account, ledger.provider, ledger.region};
    for (int i = 0; i < 8; i++)
        store_get_text(from, names[i], LIMIT_NAME_BYTES);
    store_get_text(from, ledger.site, sizeof(ledger.site));
    store_get_text(from, ledger.peer, sizeof(ledger.peer));
    store_get_text(from, ledger.tags, sizeof(ledger.tags));
    store_get_text(from, ledger.unit, sizeof(ledger.unit));
    store_get_text(from, price, sizeof(price));
    ledger.per = (uint64_t)store_get_int(from);
    ledger.quantity = store_get_int(from);
    ledger.tier = (int)store_get_int(from);
    ledger.amount = store_get_int(from);
    ledger.predicted = store_get_int(from);
    *ret_ledger = ledger;
    return decimal_parse(price, &ret_ledger->price, err);
}

int store_focus(struct store *store,
                int (*write)(void *context, const struct strbuf *text, struct error *err),
                void *context, struct error *err)
{
    struct store_row from;
    struct strbuf out;
    int rc = begin_reading(store, STORE_LEDGER, ", runs.key, policy, seed",
                           store->chosen ? OF_LEDGER CHOSEN " ORDER BY run, ledger.rowid"
                                         : OF_LEDGER " ORDER BY run, ledger.rowid",
                           NULL, &from, err);
    if (rc < 0)
        return rc;
    strbuf_init(&out, (size_t)1 << 20);
    strbuf_puts(&out, "x_Run,x_Policy,x_Seed,");
    ledger_focus_header(&out);
    while (rc == 0 && (rc = store_get_row(store, &from, err)) > 0) {
        struct ledger_row row;
        rc = get_ledger(&from, &row, err);
        if (rc < 0)
            break;
        strbuf_printf(&out, "%s,", store_get_words(&from));
        strbuf_printf(&out, "%s,", store_get_words(&from));
        strbuf_printf(&out, "%" PRId64 ",", store_get_int(&from));
        ledger_focus_row(&row, &out);
        if (out.bytes > 65536) {
            rc = write(context, &out, err);
            strbuf_reset(&out);
        }
    }
    if (rc == 0)
        rc = write(context, &out, err);
    strbuf_done(&out);
    (void)sqlite3_finalize(from.statement);
    return rc;
}

/* ---- spans of single requests ---- */

static int put_requests(void *context, const struct run_requests *requests, struct error *err)
{
    struct store_row to = row_of(context, STORE_REQUESTS);
    store_put_ints(&to, INTS(requests->at_us, requests->for_us), 2);
    store_put_texts(
        &to,
        TEXTS(requests->app->namespace_, requests->app->name, requests->from, requests->workload),
        4);
    store_put_counts(&to,
                     COUNTS(requests->offered, requests->completed, requests->rejected,
                            requests->under_way, requests->carried, requests->bytes),
                     6);
    store_put_ints(&to, INTS(requests->p50_us, requests->p95_us, requests->p99_us), 3);
    return store_put_done(context, &to, err);
}

int store_requests(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_requests *requests,
                                struct error *err),
                   void *context, struct error *err)
{
    struct store_row from;
    struct app *app = calloc(1, sizeof(*app)); /* its names only */
    if (app == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for reading results");
    int rc = begin_reading(store, STORE_REQUESTS, "", OF_RUN, key, &from, err);
    if (rc < 0) {
        free(app);
        return rc;
    }
    while (rc == 0 && (rc = store_get_row(store, &from, err)) > 0) {
        struct run_requests one = {.app = app};
        store_get_ints(&from, TO_INTS(&one.at_us, &one.for_us), 2);
        store_get_text(&from, app->namespace_, sizeof(app->namespace_));
        store_get_text(&from, app->name, sizeof(app->name));
        one.from = store_get_words(&from);
        one.workload = store_get_words(&from);
        store_get_counts(&from,
                         TO_COUNTS(&one.offered, &one.completed, &one.rejected, &one.under_way,
                                   &one.carried, &one.bytes),
                         6);
        store_get_ints(&from, TO_INTS(&one.p50_us, &one.p95_us, &one.p99_us), 3);
        rc = visit(context, &one, err);
    }
    free(app);
    (void)sqlite3_finalize(from.statement);
    return rc;
}

static int put_station(void *context, const struct run_station *station, struct error *err)
{
    struct store_row to = row_of(context, STORE_STATIONS);
    store_put_int(&to, station->at_us);
    store_put_texts(
        &to, TEXTS(station->app->namespace_, station->app->name, station->workload, station->site),
        4);
    store_put_ints(&to, INTS(station->overflow, station->servers), 2);
    store_put_counts(
        &to,
        COUNTS(station->arrived, station->served, station->refused, station->hits, station->misses),
        5);
    store_put_ints(&to,
                   INTS(station->share_ppm, station->half_ppm, station->busy_ppm, station->wait_us,
                        station->wait_p99_us),
                   5);
    return store_put_done(context, &to, err);
}

int store_stations(struct store *store, const char *key,
                   int (*visit)(void *context, const struct run_station *station,
                                struct error *err),
                   void *context, struct error *err)
{
    struct store_row from;
    struct app *app = calloc(1, sizeof(*app));
    if (app == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for reading results");
    int rc = begin_reading(store, STORE_STATIONS, "", OF_RUN, key, &from, err);
    if (rc < 0) {
        free(app);
        return rc;
    }
    while (rc == 0 && (rc = store_get_row(store, &from, err)) > 0) {
        struct run_station one = {.app = app, .at_us = store_get_int(&from)};
        store_get_text(&from, app->namespace_, sizeof(app->namespace_));
        store_get_text(&from, app->name, sizeof(app->name));
        one.workload = store_get_words(&from);
        one.site = store_get_words(&from);
        one.overflow = store_get_int(&from) != 0;
        one.servers = (int)store_get_int(&from);
        store_get_counts(
            &from, TO_COUNTS(&one.arrived, &one.served, &one.refused, &one.hits, &one.misses), 5);
        store_get_ints(
            &from,
            TO_INTS(&one.share_ppm, &one.half_ppm, &one.busy_ppm, &one.wait_us, &one.wait_p99_us),
            5);
        rc = visit(context, &one, err);
    }
    free(app);
    (void)sqlite3_finalize(from.statement);
    return rc;
}

/* ---- runs ---- */

int store_put_run(struct store *part, const struct store_run *run, struct error *err)
{
    const struct run_result *result = &run->result;
    struct store_row to = row_of(part, STORE_RUNS);
    char hash[STORE_KEY_BYTES];
    store_put_texts(
        &to, TEXTS(run->key, run->scenario, run->world, run->apps, run->policy, run->trace), 6);
    store_put_ints(&to, INTS(run->seed, run->from_us, run->to_us, run->step_us), 4);
    store_put_money(&to, result->bill);
    store_put_money(&to, result->score);
    store_put_money(&to, result->bound);
    store_put_money(&to, result->bound_score);
    store_put_int(&to, result->bound_ppm);
    store_put_money(&to, result->ledger);
    store_put_ints(&to, INTS(result->moves, result->moves_back), 2);
    store_put_money(&to, result->moves_bill);
    store_put_ints(&to,
                   INTS(result->calls, result->slow, result->lost, result->down_us, result->rtt_us,
                        result->steps, result->counts.solves, run->wall_us, run->cpu_us),
                   9);
    str_format(hash, sizeof(hash), "%016" PRIx64, result->hash);
    store_put_texts(&to, TEXTS(hash, result->notes), 2);
    return store_put_done(part, &to, err);
}

static void get_run(struct store_row *from, struct store_run *ret_run)
{
    struct run_result *result = &ret_run->result;
    char hash[STORE_KEY_BYTES];
    store_get_text(from, ret_run->key, sizeof(ret_run->key));
    store_get_text(from, ret_run->scenario, sizeof(ret_run->scenario));
    store_get_text(from, ret_run->world, sizeof(ret_run->world));
    store_get_text(from, ret_run->apps, sizeof(ret_run->apps));
    store_get_text(from, ret_run->policy, sizeof(ret_run->policy));
    store_get_text(from, ret_run->trace, sizeof(ret_run->trace));
    store_get_ints(
        from, TO_INTS(&ret_run->seed, &ret_run->from_us, &ret_run->to_us, &ret_run->step_us), 4);
    result->bill = store_get_int(from);
    result->score = store_get_int(from);
    result->bound = store_get_int(from);
    result->bound_score = store_get_int(from);
    result->bound_ppm = store_get_int(from);
    result->ledger = store_get_int(from);
    store_get_ints(from, TO_INTS(&result->moves, &result->moves_back), 2);
    result->moves_bill = store_get_int(from);
    store_get_ints(from,
                   TO_INTS(&result->calls, &result->slow, &result->lost, &result->down_us,
                           &result->rtt_us, &result->steps, &result->counts.solves,
                           &ret_run->wall_us, &ret_run->cpu_us),
                   9);
    store_get_text(from, hash, sizeof(hash));
    result->hash = strtoull(hash, NULL, 16);
    store_get_text(from, result->notes, sizeof(result->notes));
}

int store_runs(struct store *store, store_visitor *visitor, void *context, struct error *err)
{
    struct store_row from;
    struct store_run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a run's results");
    int rc = begin_reading(store, STORE_RUNS, "", store->chosen ? CHOSEN OF_RUNS : OF_RUNS, NULL,
                           &from, err);
    if (rc < 0) {
        free(run);
        return rc;
    }
    while (rc == 0 && (rc = store_get_row(store, &from, err)) > 0) {
        get_run(&from, run);
        rc = visitor(context, run, err);
    }
    (void)sqlite3_finalize(from.statement);
    free(run);
    return rc;
}
