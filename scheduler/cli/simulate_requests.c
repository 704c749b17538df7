/* What `berth simulate` prints of spans of single requests. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "model/json_out.h"
#include "scheduler/cli/simulate.h"
#include "scheduler/cli/table.h"

struct writing {
    struct store *store;
    struct strbuf *out;
    struct json_out *json;
    struct table *table;
    char key[STORE_KEY_BYTES];
    const struct store_run *run;
    int runs;
    int rows;
};

static int count_run(void *context, const struct store_run *run, struct error *err);
static int text_caller(void *context, const struct run_requests *one, struct error *err);
static int text_station(void *context, const struct run_station *one, struct error *err);
static int json_caller(void *context, const struct run_requests *one, struct error *err);
static int json_station(void *context, const struct run_station *one, struct error *err);
static int csv_run(void *context, const struct store_run *run, struct error *err);
static int csv_caller(void *context, const struct run_requests *one, struct error *err);
static int csv_station(void *context, const struct run_station *one, struct error *err);
static void csv_head(struct writing *writing, const char *kind, int64_t at_us,
                     const struct app *app);
static double part(uint64_t of, uint64_t whole);

static const char callers_head[] = "AT|CALLER|WORKLOAD|>REQUESTS|>REJECTED|>P50|>P95|>P99|>BYTES";
static const char stations_head[] = "AT|WORKLOAD|SITE|>PLACES|>SERVED|>SHARE|>BUSY|>HITS|>WAIT";

int simulate_write_requests(struct store *store, bool color, struct strbuf *out, struct error *err)
{
    struct writing writing = {.store = store};
    int rc = store_runs(store, count_run, &writing, err);
    for (int kind = 0; rc == 0 && writing.runs == 1 && kind < 2; kind++) {
        struct table table;
        writing.table = &table;
        writing.rows = 0;
        table_init(&table, kind == 0 ? callers_head : stations_head);
        rc = kind == 0 ? store_requests(store, writing.key, text_caller, &writing, err)
                       : store_stations(store, writing.key, text_station, &writing, err);
        if (rc == 0 && writing.rows > 0) {
            strbuf_puts(out, "\n");
            rc = table_write(&table, color, out, err);
        }
        table_done(&table);
    }
    return rc;
}

static int count_run(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    (void)err;
    writing->runs++;
    memcpy(writing->key, run->key, sizeof(writing->key));
    return 0;
}

static int text_caller(void *context, const struct run_requests *one, struct error *err)
{
    struct writing *writing = context;
    struct table *table = writing->table;
    char at[WALL_TEXT_BYTES];
    (void)err;
    writing->rows++;
    table_cell(table, STYLE_PLAIN, "%.16s", wall_format((struct wall){one->at_us}, at));
    table_cell(table, STYLE_PLAIN, "%s/%s", one->app->name, one->from);
    table_cell(table, STYLE_PLAIN, "%s", one->workload);
    table_cell(table, STYLE_PLAIN, "%" PRIu64, one->offered);
    table_cell(table, one->rejected > 0 ? STYLE_RED : STYLE_PLAIN, "%.4f %%",
               100 * part(one->rejected, one->offered));
    table_cell(table, STYLE_PLAIN, "%.1f ms", (double)one->p50_us / 1e3);
    table_cell(table, STYLE_PLAIN, "%.1f ms", (double)one->p95_us / 1e3);
    table_cell(table, STYLE_PLAIN, "%.1f ms", (double)one->p99_us / 1e3);
    table_cell(table, STYLE_PLAIN, "%.3f GB", (double)one->bytes / 1e9);
    return 0;
}

static int text_station(void *context, const struct run_station *one, struct error *err)
{
    struct writing *writing = context;
    struct table *table = writing->table;
    char at[WALL_TEXT_BYTES];
    (void)err;
    writing->rows++;
    table_cell(table, STYLE_PLAIN, "%.16s", wall_format((struct wall){one->at_us}, at));
    table_cell(table, STYLE_PLAIN, "%s/%s", one->app->name, one->workload);
    table_cell(table, STYLE_PLAIN, "%s%s", one->site, one->overflow ? " (overflow)" : "");
    if (one->servers > 0)
        table_cell(table, STYLE_PLAIN, "%d", one->servers);
    else
        table_cell(table, STYLE_DIM, "any");
    table_cell(table, STYLE_PLAIN, "%" PRIu64, one->served);
    table_cell(table, STYLE_PLAIN, "%.3f +- %.3f %%", (double)one->share_ppm / 1e4,
               (double)one->half_ppm / 1e4);
    if (one->busy_ppm >= 0)
        table_cell(table, STYLE_PLAIN, "%.1f %%", (double)one->busy_ppm / 1e4);
    else
        table_cell(table, STYLE_DIM, "-");
    if (one->hits + one->misses > 0)
        table_cell(table, STYLE_PLAIN, "%.2f %%", 100 * part(one->hits, one->hits + one->misses));
    else
        table_cell(table, STYLE_DIM, "-");
    table_cell(table, STYLE_PLAIN, "%.2f ms", (double)one->wait_us / 1e3);
    return 0;
}

static double part(uint64_t of, uint64_t whole)
{
    return whole == 0 ? 0 : (double)of / (double)whole;
}

/* ---- JSON ---- */

int simulate_json_requests(struct store *store, const char *key, struct json_out *json,
                           struct error *err)
{
    struct writing writing = {.json = json};
    json_open(json, "requests", '[');
    int rc = store_requests(store, key, json_caller, &writing, err);
    json_close(json, ']');
    json_open(json, "stations", '[');
    if (rc == 0)
        rc = store_stations(store, key, json_station, &writing, err);
    json_close(json, ']');
    return rc;
}

static int json_caller(void *context, const struct run_requests *one, struct error *err)
{
    struct json_out *json = ((struct writing *)context)->json;
    (void)err;
    json_open(json, NULL, '{');
    json_int(json, "at_us", one->at_us);
    json_int(json, "for_us", one->for_us);
    json_string(json, "namespace", one->app->namespace_);
    json_string(json, "app", one->app->name);
    json_string(json, "caller", one->from);
    json_string(json, "workload", one->workload);
    json_int(json, "offered", (int64_t)one->offered);
    json_int(json, "completed", (int64_t)one->completed);
    json_int(json, "rejected", (int64_t)one->rejected);
    json_int(json, "under_way", (int64_t)one->under_way);
    json_int(json, "carried", (int64_t)one->carried);
    json_int(json, "bytes", (int64_t)one->bytes);
    json_int(json, "p50_us", one->p50_us);
    json_int(json, "p95_us", one->p95_us);
    json_int(json, "p99_us", one->p99_us);
    json_close(json, '}');
    return 0;
}

static int json_station(void *context, const struct run_station *one, struct error *err)
{
    struct json_out *json = ((struct writing *)context)->json;
    (void)err;
    json_open(json, NULL, '{');
    json_int(json, "at_us", one->at_us);
    json_string(json, "namespace", one->app->namespace_);
    json_string(json, "app", one->app->name);
    json_string(json, "workload", one->workload);
    json_string(json, "site", one->site);
    json_bool(json, "overflow", one->overflow);
    json_int(json, "servers", one->servers);
    json_int(json, "arrived", (int64_t)one->arrived);
    json_int(json, "served", (int64_t)one->served);
    json_int(json, "refused", (int64_t)one->refused);
    json_int(json, "hits", (int64_t)one->hits);
    json_int(json, "misses", (int64_t)one->misses);
    json_int(json, "share_ppm", one->share_ppm);
    json_int(json, "half_ppm", one->half_ppm);
    json_int(json, "busy_ppm", one->busy_ppm);
    json_int(json, "wait_us", one->wait_us);
    json_int(json, "wait_p99_us", one->wait_p99_us);
    json_close(json, '}');
    return 0;
}

/* ---- CSV ---- */

int simulate_write_requests_csv(struct store *store, struct strbuf *out, struct error *err)
{
    struct writing writing = {.store = store, .out = out};
    strbuf_puts(out, "policy,seed,kind,at_us,namespace,app,caller,workload,site,overflow,offered,"
                     "completed,rejected,under_way,carried,bytes,p50_us,p95_us,p99_us,servers,"
                     "arrived,served,refused,hits,misses,share_ppm,half_ppm,busy_ppm,wait_us,"
                     "wait_p99_us\r\n");
    return store_runs(store, csv_run, &writing, err);
}

static int csv_run(void *context, const struct store_run *run, struct error *err)
{
    struct writing *writing = context;
    writing->run = run;
    int rc = store_requests(writing->store, run->key, csv_caller, writing, err);
    return rc < 0 ? rc : store_stations(writing->store, run->key, csv_station, writing, err);
}

/* Names hold no commas and no quotes. */
static void csv_head(struct writing *writing, const char *kind, int64_t at_us,
                     const struct app *app)
{
    strbuf_printf(writing->out, "%s,%" PRId64 ",%s,%" PRId64 ",%s,%s", writing->run->policy,
                  writing->run->seed, kind, at_us, app->namespace_, app->name);
}

static int csv_caller(void *context, const struct run_requests *one, struct error *err)
{
    struct writing *writing = context;
    (void)err;
    csv_head(writing, "caller", one->at_us, one->app);
    strbuf_printf(writing->out,
                  ",%s,%s,,,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                  ",%" PRId64 ",%" PRId64 ",%" PRId64 ",,,,,,,,,,,\r\n",
                  one->from, one->workload, one->offered, one->completed, one->rejected,
                  one->under_way, one->carried, one->bytes, one->p50_us, one->p95_us, one->p99_us);
    return 0;
}

static int csv_station(void *context, const struct run_station *one, struct error *err)
{
    struct writing *writing = context;
    (void)err;
    csv_head(writing, "station", one->at_us, one->app);
    strbuf_printf(writing->out,
                  ",,%s,%s,%d,,,,,,,,,,%d,%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64
                  ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 "\r\n",
                  one->workload, one->site, one->overflow, one->servers, one->arrived, one->served,
                  one->refused, one->hits, one->misses, one->share_ppm, one->half_ppm,
                  one->busy_ppm, one->wait_us, one->wait_p99_us);
    return 0;
}
