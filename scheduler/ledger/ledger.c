#include "scheduler/ledger/ledger.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/egress.h"
#include "model/json_out.h"
#include "model/world.h"
#include "scheduler/ledger/ledger_internal.h"

#define LEDGER_APPLICATION 0x4252544c /* "BRTL" in the file's header */
#define LEDGER_SCHEMA      1
#define LEDGER_BUSY_MS     2000
#define LEDGER_METERS_MAX  (LIMIT_EGRESS_RULES * 16)

#define VCPU_HOUR UINT64_C(3600000)                                        /* milli-CPU seconds */
#define GIB_HOUR  ((UINT64_C(1) << 30) * 3600)                             /* byte seconds */
#define GIB_MONTH ((UINT64_C(1) << 30) * 3600 * (uint64_t)HOURS_PER_MONTH) /* byte seconds */
#define MONTH_S   (INT64_C(3600) * HOURS_PER_MONTH)

static const char schema[] =
    "CREATE TABLE ledger(id INTEGER PRIMARY KEY, hour INTEGER NOT NULL, namespace TEXT NOT NULL,"
    " app TEXT NOT NULL, workload TEXT NOT NULL, term TEXT NOT NULL, item TEXT NOT NULL,"
    " account TEXT NOT NULL, provider TEXT NOT NULL, region TEXT NOT NULL, site TEXT NOT NULL,"
    " peer TEXT NOT NULL, tags TEXT NOT NULL, unit TEXT NOT NULL, price TEXT NOT NULL,"
    " per INTEGER NOT NULL, tier INTEGER NOT NULL, quantity INTEGER NOT NULL,"
    " predicted INTEGER NOT NULL);"
    "CREATE UNIQUE INDEX ledger_key ON ledger(hour, namespace, app, workload, term, item, site,"
    " peer, price, tier, account, tags);"
    "CREATE TABLE meter(month INTEGER NOT NULL, account TEXT NOT NULL, rule TEXT NOT NULL,"
    " bytes INTEGER NOT NULL, PRIMARY KEY(month, account, rule)) WITHOUT ROWID;"
    "CREATE TABLE accrued(one INTEGER PRIMARY KEY CHECK(one = 1), until INTEGER NOT NULL);";

static const char upsert_sql[] =
    "INSERT INTO ledger(hour, namespace, app, workload, term, item, account, provider, region,"
    " site, peer, tags, unit, price, per, tier, quantity, predicted)"
    " VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17,?18)"
    " ON CONFLICT(hour, namespace, app, workload, term, item, site, peer, price, tier, account,"
    " tags) DO UPDATE SET quantity = quantity + excluded.quantity,"
    " predicted = predicted + excluded.predicted";

static int database_open(struct ledger *ledger, struct error *err);
static int schema_ensure(struct ledger *ledger, struct error *err);
static int accrued_read(struct ledger *ledger, struct error *err);
static int run(struct ledger *ledger, const char *sql, const char *what, struct error *err);
static int read_number(struct ledger *ledger, const char *sql, int64_t *ret_value,
                       struct error *err);
static int write_rows(struct ledger *ledger, struct error *err);
static int write_meters(struct ledger *ledger, struct error *err);
static void row_init(const struct ledger_who *who, enum cost_term term, const char *item,
                     struct ledger_row *row);
static void write_tags(const struct site *site, char *out, size_t capacity);
static int charge(struct ledger *ledger, struct ledger_row *row, int64_t rate, int64_t from_us,
                  int64_t to_us, struct error *err);
static int add(struct ledger *ledger, const struct ledger_row *row, int64_t quantity,
               int64_t predicted, struct error *err);
static bool same_key(const struct ledger_row *a, const struct ledger_row *b);
static uint64_t key_hash(const struct ledger_row *row);
static int transfer(struct ledger *ledger, const struct ledger_who *who, int payer, int other,
                    int rule_index, int64_t bytes, int64_t at_us, struct error *err);
static struct ledger_meter *meter_of(struct ledger *ledger, const char *account, const char *rule,
                                     int64_t base_bytes, int64_t at_us);
static int64_t meter_read(struct ledger *ledger, const char *account, const char *rule,
                          int64_t month_us, int64_t base_bytes);
static enum cost_term compute_term(const struct site *site);
static void rows_clear(struct ledger *ledger);

static void cleanup_ledger(struct ledger **ledger)
{
    ledger_close(*ledger);
}

int ledger_open(const char *path, struct ledger **ret_ledger, struct error *err)
{
    CLEANUP(cleanup_ledger) struct ledger *ledger = calloc(1, sizeof(*ledger));
    if (ledger == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ledger");
    if (str_copy(ledger->path, sizeof(ledger->path), path) < 0)
        return error_set(err, ERR_LIMIT, 0, "the ledger's path '%.64s...' is longer than %d bytes",
                         path, LIMIT_PATH_BYTES - 1);
    ledger->rows = calloc(LEDGER_ROWS_MAX, sizeof(struct ledger_row *));
    ledger->buckets = calloc(LEDGER_BUCKETS, sizeof(int32_t));
    if (ledger->rows == NULL || ledger->buckets == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ledger");
    int rc = database_open(ledger, err);
    if (rc == 0)
        rc = schema_ensure(ledger, err);
    if (rc == 0)
        rc = accrued_read(ledger, err);
    if (rc == 0 &&
        sqlite3_prepare_v2(ledger->db, upsert_sql, -1, &ledger->upsert, NULL) != SQLITE_OK)
        rc = ledger_fail(ledger, "prepare to write", err);
    if (rc < 0)
        return rc;
    *ret_ledger = TAKE(ledger);
    return 0;
}

void ledger_close(struct ledger *ledger)
{
    if (ledger == NULL)
        return;
    sqlite3_finalize(ledger->upsert);
    sqlite3_close(ledger->db);
    if (ledger->rows != NULL)
        rows_clear(ledger);
    free(ledger->rows);
    free(ledger->buckets);
    free(ledger->meters);
    free(ledger);
}

int64_t ledger_accrued_us(const struct ledger *ledger)
{
    return ledger->accrued_us;
}

void ledger_accrued(struct ledger *ledger, int64_t until_us)
{
    if (until_us <= ledger->accrued_us)
        return;
    ledger->accrued_us = until_us;
    ledger->accrued_dirty = true;
}

int ledger_flush(struct ledger *ledger, struct error *err)
{
    bool meters = false;
    for (int i = 0; i < ledger->meter_count; i++)
        meters |= ledger->meters[i].dirty;
    if (ledger->row_count == 0 && !meters && !ledger->accrued_dirty)
        return 0;
    int rc = run(ledger, "BEGIN IMMEDIATE", "begin to write", err);
    if (rc < 0)
        return rc;
    rc = write_rows(ledger, err);
    if (rc == 0)
        rc = write_meters(ledger, err);
    if (rc == 0) {
        char sql[128];
        str_format(sql, sizeof(sql), "INSERT OR REPLACE INTO accrued VALUES(1, %lld)",
                   (long long)ledger->accrued_us);
        rc = run(ledger, sql, "write up to where it is charged", err);
    }
    if (rc == 0)
        rc = run(ledger, "COMMIT", "commit", err);
    if (rc < 0) {
        if (sqlite3_get_autocommit(ledger->db) == 0)
            (void)sqlite3_exec(ledger->db, "ROLLBACK", NULL, NULL, NULL);
        return rc;
    }
    for (int i = 0; i < ledger->meter_count; i++)
        ledger->meters[i].dirty = false;
    ledger->accrued_dirty = false;
    rows_clear(ledger);
    return 0;
}

int ledger_reserve(struct ledger *ledger, const struct ledger_who *who, int64_t mcpu, int64_t bytes,
                   int64_t from_us, int64_t to_us, struct error *err)
{
    const struct site *site = &who->world->sites[who->site];
    if (site->account < 0)
        return 0;
    enum cost_term term = compute_term(site);
    struct ledger_row row;
    row_init(who, term, "cpu", &row);
    str_format(row.unit, sizeof(row.unit), "vCPU-hour");
    row.price = site->cpu_price;
    row.per = VCPU_HOUR;
    int rc = charge(ledger, &row, mcpu, from_us, to_us, err);
    if (rc < 0)
        return rc;
    row_init(who, term, "memory", &row);
    str_format(row.unit, sizeof(row.unit), "GiB-hour");
    row.price = site->memory_price;
    row.per = GIB_HOUR;
    rc = charge(ledger, &row, bytes, from_us, to_us, err);
    if (rc < 0 || term != TERM_DATACENTRE || site->overhead_ppm == 0)
        return rc;
    row_init(who, term, "cpu overhead", &row);
    str_format(row.unit, sizeof(row.unit), "vCPU-hour");
    row.price = site->cpu_price;
    row.per = VCPU_HOUR;
    /* To whole milli-CPUs and bytes, as the overhead is itself an estimate. */
    rc = charge(ledger, &row, (int64_t)((__int128)mcpu * site->overhead_ppm / PPM), from_us, to_us,
                err);
    if (rc < 0)
        return rc;
    row_init(who, term, "memory overhead", &row);
    str_format(row.unit, sizeof(row.unit), "GiB-hour");
    row.price = site->memory_price;
    row.per = GIB_HOUR;
    return charge(ledger, &row, (int64_t)((__int128)bytes * site->overhead_ppm / PPM), from_us,
                  to_us, err);
}

int ledger_store(struct ledger *ledger, const struct ledger_who *who, int64_t bytes,
                 int64_t from_us, int64_t to_us, struct error *err)
{
    const struct site *site = &who->world->sites[who->site];
    if (site->account < 0)
        return 0;
    struct ledger_row row;
    row_init(who, TERM_STORAGE, "storage", &row);
    str_format(row.unit, sizeof(row.unit), "GiB-month");
    row.price = site->storage_price;
    row.per = GIB_MONTH;
    return charge(ledger, &row, bytes, from_us, to_us, err);
}

int ledger_transfer(struct ledger *ledger, const struct ledger_who *who, int peer, int64_t bytes,
                    int64_t at_us, struct error *err)
{
    struct egress_match match = egress_between(who->world, who->site, peer);
    int rc = transfer(ledger, who, who->site, peer, match.sender_rule, bytes, at_us, err);
    if (rc < 0)
        return rc;
    return transfer(ledger, who, peer, who->site, match.receiver_rule, bytes, at_us, err);
}

int ledger_custom(struct ledger *ledger, const struct ledger_who *who, const char *term,
                  nusd per_month, int64_t from_us, int64_t to_us, struct error *err)
{
    int64_t rate;
    if (money_to_i64(per_month, &rate) < 0)
        return error_set(err, ERR_OVERFLOW, 0, "the term %s of %s/%s is too large for the ledger",
                         term, who->app->name, who->app->workloads[who->workload].name);
    struct ledger_row row;
    row_init(who, TERM_CUSTOM, term, &row);
    str_format(row.unit, sizeof(row.unit), "month");
    /* The amount of a month in dollars is the price; seconds of a month are counted. */
    row.price = decimal_normal((struct decimal){rate, 9});
    row.per = (uint64_t)MONTH_S;
    return charge(ledger, &row, 1, from_us, to_us, err);
}

int ledger_predict(struct ledger *ledger, const struct ledger_who *who, enum cost_term term,
                   nusd per_month, int64_t from_us, int64_t to_us, struct error *err)
{
    struct ledger_row row;
    row_init(who, term, "predicted", &row);
    str_format(row.unit, sizeof(row.unit), "month");
    row.per = 1;
    while (from_us < to_us) {
        int64_t border_us = (from_us / US_PER_HOUR + 1) * US_PER_HOUR;
        int64_t until_us = border_us < to_us ? border_us : to_us;
        int64_t seconds = until_us / US_PER_S - from_us / US_PER_S;
        nusd amount;
        int64_t small;
        if (money_scale(per_month, seconds, MONTH_S, &amount) < 0 ||
            money_to_i64(amount, &small) < 0)
            return error_set(err, ERR_OVERFLOW, 0, "a prediction of %s/%s is too large",
                             who->app->name, who->app->workloads[who->workload].name);
        row.hour_us = border_us - US_PER_HOUR;
        int rc = small == 0 ? 0 : add(ledger, &row, 0, small, err);
        if (rc < 0)
            return rc;
        from_us = until_us;
    }
    return 0;
}

int64_t ledger_meter_bytes(struct ledger *ledger, const char *account, const char *rule,
                           int64_t at_us)
{
    int64_t month_us;
    int64_t end_us;
    ledger_month(at_us, &month_us, &end_us);
    for (int i = 0; i < ledger->meter_count; i++) {
        const struct ledger_meter *meter = &ledger->meters[i];
        if (meter->month_us == month_us && str_equal(meter->account, account) &&
            str_equal(meter->rule, rule))
            return meter->bytes;
    }
    return meter_read(ledger, account, rule, month_us, 0);
}

void ledger_month(int64_t at_us, int64_t *ret_from_us, int64_t *ret_to_us)
{
    time_t seconds = (time_t)(at_us / US_PER_S);
    struct tm date;
    BERTH_ASSERT(gmtime_r(&seconds, &date) != NULL, "no date for %lld", (long long)at_us);
    date.tm_mday = 1;
    date.tm_hour = date.tm_min = date.tm_sec = 0;
    *ret_from_us = (int64_t)timegm(&date) * US_PER_S;
    date.tm_mon++;
    *ret_to_us = (int64_t)timegm(&date) * US_PER_S;
}

int ledger_amount(const struct ledger_row *row, nusd *ret_amount)
{
    return money_of(row->price, row->per, (unsigned __int128)row->quantity, ret_amount);
}

int ledger_fail(const struct ledger *ledger, const char *what, struct error *err)
{
    int code = sqlite3_extended_errcode(ledger->db);
    bool corrupt = (code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB;
    return error_set(err, corrupt ? ERR_CORRUPT : ERR_IO, 0, "ledger '%s': %s: %s", ledger->path,
                     what, sqlite3_errmsg(ledger->db));
}

void cleanup_ledger_statement(sqlite3_stmt **statement)
{
    sqlite3_finalize(*statement);
}

/* ---- the database ---- */

static int database_open(struct ledger *ledger, struct error *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    if (sqlite3_open_v2(ledger->path, &ledger->db, flags, NULL) != SQLITE_OK)
        return ledger_fail(ledger, "open", err);
    (void)sqlite3_extended_result_codes(ledger->db, 1);
    (void)sqlite3_busy_timeout(ledger->db, LEDGER_BUSY_MS);
    int rc = run(ledger, "PRAGMA journal_mode=WAL", "switch to a write-ahead log", err);
    return rc < 0 ? rc : run(ledger, "PRAGMA synchronous=FULL", "set synchronous", err);
}

static int schema_ensure(struct ledger *ledger, struct error *err)
{
    int64_t application = 0;
    int64_t version = 0;
    int64_t tables = 0;
    int rc = read_number(ledger, "PRAGMA application_id", &application, err);
    if (rc == 0)
        rc = read_number(ledger, "PRAGMA user_version", &version, err);
    if (rc == 0)
        rc = read_number(ledger, "SELECT count(*) FROM sqlite_master", &tables, err);
    if (rc < 0)
        return rc;
    if (tables > 0 && application != LEDGER_APPLICATION)
        return error_set(err, ERR_INVALID, 0,
                         "'%s' is a database of another program; a ledger needs a file of its own",
                         ledger->path);
    if (tables > 0)
        return version == LEDGER_SCHEMA
                   ? 0
                   : error_set(
                         err, ERR_UNSUPPORTED, 0,
                         "ledger '%s' has schema %lld, this version knows %d; use the version "
                         "of Berth that wrote it",
                         ledger->path, (long long)version, LEDGER_SCHEMA);
    char numbers[128];
    str_format(numbers, sizeof(numbers), "PRAGMA application_id=%d; PRAGMA user_version=%d",
               LEDGER_APPLICATION, LEDGER_SCHEMA);
    rc = run(ledger, "BEGIN IMMEDIATE", "begin the schema", err);
    if (rc == 0)
        rc = run(ledger, schema, "make the tables", err);
    if (rc == 0)
        rc = run(ledger, numbers, "mark the file", err);
    return rc < 0 ? rc : run(ledger, "COMMIT", "commit the schema", err);
}

static int accrued_read(struct ledger *ledger, struct error *err)
{
    return read_number(ledger, "SELECT coalesce((SELECT until FROM accrued), 0)",
                       &ledger->accrued_us, err);
}

static int run(struct ledger *ledger, const char *sql, const char *what, struct error *err)
{
    if (sqlite3_exec(ledger->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return ledger_fail(ledger, what, err);
    return 0;
}

static int read_number(struct ledger *ledger, const char *sql, int64_t *ret_value,
                       struct error *err)
{
    CLEANUP(cleanup_ledger_statement) sqlite3_stmt *get = NULL;
    if (sqlite3_prepare_v2(ledger->db, sql, -1, &get, NULL) != SQLITE_OK ||
        sqlite3_step(get) != SQLITE_ROW)
        return ledger_fail(ledger, "read", err);
    *ret_value = sqlite3_column_int64(get, 0);
    return 0;
}

static int write_rows(struct ledger *ledger, struct error *err)
{
    for (int i = 0; i < ledger->row_count; i++) {
        const struct ledger_row *row = ledger->rows[i];
        char price[DECIMAL_TEXT_BYTES];
        const char *const texts[] = {row->namespace_,
                                     row->app,
                                     row->workload,
                                     row->term,
                                     row->item,
                                     row->account,
                                     row->provider,
                                     row->region,
                                     row->site,
                                     row->peer,
                                     row->tags,
                                     row->unit,
                                     decimal_format(row->price, price)};
        (void)sqlite3_bind_int64(ledger->upsert, 1, row->hour_us);
        for (int k = 0; k < (int)(sizeof(texts) / sizeof(texts[0])); k++)
            (void)sqlite3_bind_text(ledger->upsert, k + 2, texts[k], -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(ledger->upsert, 15, (int64_t)row->per);
        (void)sqlite3_bind_int(ledger->upsert, 16, row->tier);
        (void)sqlite3_bind_int64(ledger->upsert, 17, row->quantity);
        (void)sqlite3_bind_int64(ledger->upsert, 18, (int64_t)row->predicted);
        int step = sqlite3_step(ledger->upsert);
        (void)sqlite3_reset(ledger->upsert);
        if (step != SQLITE_DONE)
            return ledger_fail(ledger, "write a row", err);
    }
    return 0;
}

static int write_meters(struct ledger *ledger, struct error *err)
{
    CLEANUP(cleanup_ledger_statement) sqlite3_stmt *put = NULL;
    if (sqlite3_prepare_v2(ledger->db, "INSERT OR REPLACE INTO meter VALUES(?1, ?2, ?3, ?4)", -1,
                           &put, NULL) != SQLITE_OK)
        return ledger_fail(ledger, "write the meters", err);
    for (int i = 0; i < ledger->meter_count; i++) {
        const struct ledger_meter *meter = &ledger->meters[i];
        if (!meter->dirty)
            continue;
        (void)sqlite3_bind_int64(put, 1, meter->month_us);
        (void)sqlite3_bind_text(put, 2, meter->account, -1, SQLITE_STATIC);
        (void)sqlite3_bind_text(put, 3, meter->rule, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(put, 4, meter->bytes);
        int step = sqlite3_step(put);
        (void)sqlite3_reset(put);
        if (step != SQLITE_DONE)
            return ledger_fail(ledger, "write a meter", err);
    }
    return 0;
}

/* ---- rows ---- */

static void row_init(const struct ledger_who *who, enum cost_term term, const char *item,
                     struct ledger_row *row)
{
    const struct site *site = &who->world->sites[who->site];
    memset(row, 0, sizeof(*row));
    row->tier = -1;
    memcpy(row->namespace_, who->app->namespace_, sizeof(row->namespace_));
    memcpy(row->app, who->app->name, sizeof(row->app));
    memcpy(row->workload, who->app->workloads[who->workload].name, sizeof(row->workload));
    str_format(row->term, sizeof(row->term), "%s", cost_term_words[term]);
    str_format(row->item, sizeof(row->item), "%s", item);
    memcpy(row->provider, site->provider, sizeof(row->provider));
    memcpy(row->region, site->region, sizeof(row->region));
    memcpy(row->site, site->name, sizeof(row->site));
    if (site->account >= 0)
        memcpy(row->account, who->world->accounts[site->account].name, sizeof(row->account));
    write_tags(site, row->tags, sizeof(row->tags));
}

static void write_tags(const struct site *site, char *out, size_t capacity)
{
    struct strbuf text;
    struct json_out json;
    strbuf_init(&text, capacity);
    json_out_init(&json, &text);
    json_open(&json, NULL, '{');
    for (int i = 0; i < site->tags.count; i++)
        json_string(&json, site->tags.list[i].key, site->tags.list[i].value);
    json_close(&json, '}');
    /* Without memory the row is kept without its tags rather than lost. */
    if (str_copy(out, capacity, strbuf_error(&text, NULL) < 0 ? "{}" : strbuf_text(&text)) < 0)
        str_format(out, capacity, "{}");
    strbuf_done(&text);
}

/* `rate` units a second for the whole seconds of [from, to), hour by hour. */
static int charge(struct ledger *ledger, struct ledger_row *row, int64_t rate, int64_t from_us,
                  int64_t to_us, struct error *err)
{
    while (from_us < to_us) {
        int64_t border_us = (from_us / US_PER_HOUR + 1) * US_PER_HOUR;
        int64_t until_us = border_us < to_us ? border_us : to_us;
        int64_t seconds = until_us / US_PER_S - from_us / US_PER_S;
        int64_t quantity;
        if (rate < 0 || __builtin_mul_overflow(rate, seconds, &quantity))
            return error_set(err, ERR_OVERFLOW, 0,
                             "%s of %s/%s/%s: %lld for %lld seconds cannot be charged", row->item,
                             row->namespace_, row->app, row->workload, (long long)rate,
                             (long long)seconds);
        row->hour_us = border_us - US_PER_HOUR;
        int rc = quantity == 0 ? 0 : add(ledger, row, quantity, 0, err);
        if (rc < 0)
            return rc;
        from_us = until_us;
    }
    return 0;
}

static int add(struct ledger *ledger, const struct ledger_row *row, int64_t quantity,
               int64_t predicted, struct error *err)
{
    uint64_t bucket = key_hash(row) % LEDGER_BUCKETS;
    while (ledger->buckets[bucket] != 0 &&
           !same_key(ledger->rows[ledger->buckets[bucket] - 1], row))
        bucket = (bucket + 1) % LEDGER_BUCKETS;
    if (ledger->buckets[bucket] == 0) {
        if (ledger->row_count == LEDGER_ROWS_MAX) {
            int rc = ledger_flush(ledger, err);
            if (rc < 0)
                return rc;
            bucket = key_hash(row) % LEDGER_BUCKETS;
        }
        struct ledger_row *copy = malloc(sizeof(*copy));
        if (copy == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a row of the ledger");
        *copy = *row;
        copy->quantity = 0;
        copy->predicted = 0;
        ledger->rows[ledger->row_count++] = copy;
        ledger->buckets[bucket] = ledger->row_count;
    }
    struct ledger_row *found = ledger->rows[ledger->buckets[bucket] - 1];
    int64_t sum;
    if (__builtin_add_overflow(found->quantity, quantity, &sum))
        return error_set(err, ERR_OVERFLOW, 0, "%s of %s/%s/%s does not fit one hour's row",
                         row->item, row->namespace_, row->app, row->workload);
    found->quantity = sum;
    found->predicted += predicted;
    return 0;
}

static bool same_key(const struct ledger_row *a, const struct ledger_row *b)
{
    return a->hour_us == b->hour_us && a->tier == b->tier &&
           decimal_compare(a->price, b->price) == 0 && str_equal(a->workload, b->workload) &&
           str_equal(a->item, b->item) && str_equal(a->term, b->term) &&
           str_equal(a->site, b->site) && str_equal(a->peer, b->peer) &&
           str_equal(a->app, b->app) && str_equal(a->namespace_, b->namespace_) &&
           str_equal(a->account, b->account) && str_equal(a->tags, b->tags);
}

static uint64_t key_hash(const struct ledger_row *row)
{
    uint64_t hash = hash_u64(HASH_SEED, (uint64_t)row->hour_us);
    hash = hash_str(hash, row->namespace_);
    hash = hash_str(hash, row->app);
    hash = hash_str(hash, row->workload);
    hash = hash_str(hash, row->item);
    hash = hash_str(hash, row->site);
    return hash_str(hash, row->peer);
}

static void rows_clear(struct ledger *ledger)
{
    for (int i = 0; i < ledger->row_count; i++)
        free(ledger->rows[i]);
    ledger->row_count = 0;
    memset(ledger->buckets, 0, LEDGER_BUCKETS * sizeof(int32_t));
}

/* ---- egress ---- */

/* One side's charge, divided where the month's volume passes a tier's border. */
static int transfer(struct ledger *ledger, const struct ledger_who *who, int payer, int other,
                    int rule_index, int64_t bytes, int64_t at_us, struct error *err)
{
    const struct world *world = who->world;
    if (rule_index < 0 || bytes <= 0 || world->sites[payer].account < 0)
        return 0;
    const struct egress_rule *rule = &world->egress[rule_index];
    struct ledger_who paying = *who;
    paying.site = payer;
    struct ledger_row row;
    row_init(&paying, TERM_EGRESS, rule->name, &row);
    memcpy(row.peer, world->sites[other].name, sizeof(row.peer));
    str_format(row.unit, sizeof(row.unit), "%s", rule->per_bytes == 1 << 30 ? "GiB" : "GB");
    row.per = (uint64_t)rule->per_bytes;
    row.hour_us = at_us / US_PER_HOUR * US_PER_HOUR;
    struct ledger_meter *meter =
        meter_of(ledger, row.account, rule->name, rule->month_to_date_bytes, at_us);
    if (meter == NULL)
        return error_set(err, ERR_LIMIT, 0, "more than %d egress meters", LEDGER_METERS_MAX);
    for (int tier = 0; bytes > 0; tier++) {
        bool last = tier == rule->tier_count - 1;
        int64_t room = last ? INT64_MAX : rule->tiers[tier].up_to_bytes - meter->bytes;
        if (room <= 0)
            continue;
        int64_t part = bytes < room ? bytes : room;
        if (part > INT64_MAX - meter->bytes)
            return error_set(err, ERR_OVERFLOW, 0, "the egress meter %s %s is full", row.account,
                             rule->name);
        row.tier = tier;
        row.price = rule->tiers[tier].price;
        int rc = add(ledger, &row, part, 0, err);
        if (rc < 0)
            return rc;
        meter->bytes += part;
        meter->dirty = true;
        bytes -= part;
    }
    return 0;
}

/* `base_bytes`: where the very first month of this meter begins. NULL: no room. */
static struct ledger_meter *meter_of(struct ledger *ledger, const char *account, const char *rule,
                                     int64_t base_bytes, int64_t at_us)
{
    int64_t month_us;
    int64_t end_us;
    ledger_month(at_us, &month_us, &end_us);
    int old = -1;
    for (int i = 0; i < ledger->meter_count; i++) {
        struct ledger_meter *meter = &ledger->meters[i];
        bool same = str_equal(meter->account, account) && str_equal(meter->rule, rule);
        if (same && meter->month_us == month_us)
            return meter;
        if (same)
            base_bytes = 0; /* it has had its first month */
        if (meter->month_us < month_us && !meter->dirty)
            old = i;
    }
    if (old < 0 && ledger->meter_count == ledger->meter_capacity) {
        int capacity = ledger->meter_capacity == 0 ? 16 : 2 * ledger->meter_capacity;
        struct ledger_meter *more =
            capacity > LEDGER_METERS_MAX
                ? NULL
                : realloc(ledger->meters, (size_t)capacity * sizeof(*ledger->meters));
        if (more == NULL)
            return NULL;
        ledger->meters = more;
        ledger->meter_capacity = capacity;
    }
    struct ledger_meter *meter = &ledger->meters[old >= 0 ? old : ledger->meter_count++];
    *meter = (struct ledger_meter){.month_us = month_us};
    str_format(meter->account, sizeof(meter->account), "%s", account);
    str_format(meter->rule, sizeof(meter->rule), "%s", rule);
    meter->bytes = meter_read(ledger, account, rule, month_us, base_bytes);
    return meter;
}

static int64_t meter_read(struct ledger *ledger, const char *account, const char *rule,
                          int64_t month_us, int64_t base_bytes)
{
    CLEANUP(cleanup_ledger_statement) sqlite3_stmt *get = NULL;
    if (sqlite3_prepare_v2(ledger->db,
                           "SELECT bytes, month FROM meter WHERE account = ?1 AND rule = ?2"
                           " ORDER BY month = ?3 DESC LIMIT 1",
                           -1, &get, NULL) != SQLITE_OK)
        return base_bytes;
    (void)sqlite3_bind_text(get, 1, account, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(get, 2, rule, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(get, 3, month_us);
    if (sqlite3_step(get) != SQLITE_ROW)
        return base_bytes;
    return sqlite3_column_int64(get, 1) == month_us ? sqlite3_column_int64(get, 0) : 0;
}

static enum cost_term compute_term(const struct site *site)
{
    return site->tier == TIER_CLOUD ? TERM_DATACENTRE : TERM_EDGE;
}
