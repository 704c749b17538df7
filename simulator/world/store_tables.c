/* The tables of a store, each column named once, and the SQL that follows; rows of them. */
#include <string.h>

#include "simulator/world/store_internal.h"

/* Columns after the run's id, in the order in which store_rows.c writes and reads them: a text's
 * name begins with a star, all others are integers. */
static const struct {
    const char *name;
    const char *columns;
} tables[STORE_TABLES] = {
    [STORE_TERMS] = {"terms", "at_us *namespace *app *term *site bill_nusd score_nusd"},
    [STORE_HOURS] = {"hours", "at_us bill_nusd score_nusd bound_nusd bound_score_nusd bound_ppm"
                              " calls slow lost rtt_us"},
    [STORE_MOVES] = {"moves", "at_us took_us *namespace *app *workload replica *from_site *to_site"
                              " *reason *state *text"},
    [STORE_LEDGER] = {"ledger", "hour_us *namespace *app *workload *term *item *account *provider"
                                " *region *site *peer *tags *unit *price per quantity tier"
                                " amount_nusd predicted_nusd"},
    [STORE_REQUESTS] = {"requests", "at_us for_us *namespace *app *caller *workload offered"
                                    " completed rejected under_way carried bytes p50_us p95_us"
                                    " p99_us"},
    [STORE_STATIONS] = {"stations", "at_us *namespace *app *workload *site overflow servers arrived"
                                    " served refused hits misses share_ppm half_ppm busy_ppm"
                                    " wait_us wait_p99_us"},
    [STORE_RUNS] = {"runs", "*key *scenario *world *apps *policy *trace seed from_us to_us step_us"
                            " bill_nusd score_nusd bound_nusd bound_score_nusd bound_ppm"
                            " ledger_nusd moves moves_back moves_nusd calls slow lost down_us"
                            " rtt_us steps solves wall_us cpu_us *hash *notes"},
};

/* Costs by the names of https://focus.finops.org, version 1.2. */
static const char focus_view[] =
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

static void put_columns(enum store_table table, const char *text_type, const char *int_type,
                        struct strbuf *out);

/* ---- SQL ---- */

void store_sql_schema(struct strbuf *out)
{
    strbuf_printf(out,
                  "CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
                  "INSERT OR IGNORE INTO meta VALUES ('berth-simulation', '%d');",
                  STORE_SCHEMA);
    for (int i = 0; i < STORE_TABLES; i++) {
        const char *name = tables[i].name;
        bool rows = i != STORE_RUNS;
        strbuf_printf(out, "CREATE TABLE IF NOT EXISTS %s (%s", name,
                      rows ? "run INTEGER NOT NULL" : "id INTEGER PRIMARY KEY");
        put_columns((enum store_table)i, " TEXT NOT NULL", " INTEGER NOT NULL", out);
        strbuf_puts(out, rows ? ");" : ", UNIQUE (key));");
        if (rows)
            strbuf_printf(out, "CREATE INDEX IF NOT EXISTS %s_run ON %s (run);", name, name);
    }
    strbuf_puts(out, focus_view);
}

/* ", name type" for each. */
static void put_columns(enum store_table table, const char *text_type, const char *int_type,
                        struct strbuf *out)
{
    for (const char *at = tables[table].columns; *at != 0;) {
        bool text = *at == '*';
        at += text;
        size_t bytes = strcspn(at, " ");
        strbuf_puts(out, ", ");
        strbuf_append(out, at, bytes);
        strbuf_puts(out, text ? text_type : int_type);
        at += bytes;
        at += strspn(at, " ");
    }
}

void store_sql_insert(enum store_table table, struct strbuf *out)
{
    strbuf_printf(out, "INSERT INTO %s VALUES (1", tables[table].name);
    for (const char *at = tables[table].columns; at != NULL; at = strchr(at + 1, ' '))
        strbuf_puts(out, ", ?");
    strbuf_puts(out, ")");
}

void store_sql_select(enum store_table table, const char *more, const char *from,
                      struct strbuf *out)
{
    struct strbuf columns;
    strbuf_init(&columns, 4096);
    put_columns(table, "", "", &columns);
    strbuf_printf(out, "SELECT %s%s FROM %s %s", strbuf_text(&columns) + 2, more,
                  tables[table].name, from);
    strbuf_done(&columns);
}

void store_sql_copy(struct strbuf *out)
{
    strbuf_puts(out, "BEGIN IMMEDIATE;");
    for (int i = 0; i < STORE_TABLES; i++) {
        strbuf_printf(out,
                      "INSERT INTO main.%s SELECT"
                      " coalesce((SELECT max(id) FROM main.runs), 0) + 1",
                      tables[i].name);
        put_columns((enum store_table)i, "", "", out);
        strbuf_printf(out, " FROM part.%s;", tables[i].name);
    }
    strbuf_puts(out, "COMMIT;");
}

/* ---- SQLite ---- */

int store_prepare(struct store *store, const char *sql, sqlite3_stmt **ret_statement,
                  struct error *err)
{
    return sqlite3_prepare_v2(store->db, sql, -1, ret_statement, NULL) == SQLITE_OK
               ? 0
               : store_fail(store, "prepare", err);
}

int store_exec(struct store *store, const char *sql, struct error *err)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? 0
               : store_fail(store, "write", err);
}

int store_fail(const struct store *store, const char *what, struct error *err)
{
    const char *why = store->db == NULL ? "no memory" : sqlite3_errmsg(store->db);
    return error_set(err, ERR_IO, 0, "results %s: %s: %s", store->path, what, why);
}

/* ---- rows ---- */

void store_put_text(struct store_row *row, const char *text)
{
    (void)sqlite3_bind_text(row->statement, ++row->column, text, -1, SQLITE_TRANSIENT);
}

void store_put_texts(struct store_row *row, const char *const *texts, int count)
{
    for (int i = 0; i < count; i++)
        store_put_text(row, texts[i]);
}

void store_put_int(struct store_row *row, int64_t value)
{
    (void)sqlite3_bind_int64(row->statement, ++row->column, value);
}

void store_put_ints(struct store_row *row, const int64_t *values, int count)
{
    for (int i = 0; i < count; i++)
        store_put_int(row, values[i]);
}

void store_put_counts(struct store_row *row, const uint64_t *counts, int count)
{
    for (int i = 0; i < count; i++)
        store_put_int(row, counts[i] > INT64_MAX ? INT64_MAX : (int64_t)counts[i]);
}

/* Beyond 9 billion dollars there is only "as much as that". */
void store_put_money(struct store_row *row, nusd amount)
{
    int64_t value;
    if (money_to_i64(amount, &value) < 0)
        value = amount < 0 ? -INT64_MAX : INT64_MAX;
    store_put_int(row, value);
}

int store_put_done(struct store *store, const struct store_row *row, struct error *err)
{
    int step = sqlite3_step(row->statement);
    (void)sqlite3_reset(row->statement);
    return step == SQLITE_DONE ? 0 : store_fail(store, "write", err);
}

void store_get_text(struct store_row *row, char *out, size_t capacity)
{
    const char *text = store_get_words(row);
    if (text == NULL || str_copy(out, capacity, text) < 0)
        out[0] = 0;
}

const char *store_get_words(struct store_row *row)
{
    return (const char *)sqlite3_column_text(row->statement, row->column++);
}

int64_t store_get_int(struct store_row *row)
{
    return sqlite3_column_int64(row->statement, row->column++);
}

void store_get_ints(struct store_row *row, int64_t *const *values, int count)
{
    for (int i = 0; i < count; i++)
        *values[i] = store_get_int(row);
}

void store_get_counts(struct store_row *row, uint64_t *const *counts, int count)
{
    for (int i = 0; i < count; i++)
        *counts[i] = (uint64_t)store_get_int(row);
}

int store_get_row(struct store *store, struct store_row *row, struct error *err)
{
    int step = sqlite3_step(row->statement);
    row->column = 0;
    if (step != SQLITE_ROW && step != SQLITE_DONE)
        return store_fail(store, "read", err);
    return step == SQLITE_ROW;
}
