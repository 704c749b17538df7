/* Reading the ledger: rows, sums, the month's forecast. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "scheduler/ledger/ledger_internal.h"

#define HOURS_PER_DAY      24
#define FORECAST_HOURS     (14 * HOURS_PER_DAY)
#define FORECAST_PROFILE   (2 * HOURS_PER_DAY) /* of history, from which a day's shape is known */
#define SUMS_BUCKETS_LEAST 64

static int bind_filter(sqlite3_stmt *rows, const struct ledger_filter *filter);
static int read_row(const struct ledger *ledger, sqlite3_stmt *rows, struct ledger_row *row,
                    struct error *err);
static int read_text(sqlite3_stmt *rows, int column, char *out, size_t capacity);

int ledger_rows(struct ledger *ledger, const struct ledger_filter *filter, ledger_visitor *visitor,
                void *context, struct error *err)
{
    int rc = ledger_flush(ledger, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_ledger_statement) sqlite3_stmt *rows = NULL;
    if (sqlite3_prepare_v2(
            ledger->db,
            "SELECT id, hour, namespace, app, workload, term, item, account, provider, region,"
            " site, peer, tags, unit, price, per, tier, quantity, predicted FROM ledger"
            " WHERE id > ?1 AND hour >= ?2 AND hour < ?3"
            " AND (?4 = '' OR namespace = ?4) AND (?5 = '' OR app = ?5)"
            " AND (?6 = '' OR workload = ?6) AND (?7 = '' OR account = ?7)"
            " AND (?8 = '' OR term = ?8)"
            " AND (?9 = '' OR (?10 = '' AND json_type(tags, ?9) IS NOT NULL)"
            "      OR json_extract(tags, ?9) = ?10)"
            " ORDER BY id",
            -1, &rows, NULL) != SQLITE_OK)
        return ledger_fail(ledger, "read the rows", err);
    if (bind_filter(rows, filter) < 0)
        return error_set(err, ERR_INVALID, 0, "the tag \"%.80s\" cannot be searched for",
                         filter->tag_key);
    CLEANUP(cleanup_free) struct ledger_row *row = malloc(sizeof(*row));
    if (row == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a row of the ledger");
    for (;;) {
        int step = sqlite3_step(rows);
        if (step == SQLITE_DONE)
            return 0;
        if (step != SQLITE_ROW)
            return ledger_fail(ledger, "read the rows", err);
        rc = read_row(ledger, rows, row, err);
        if (rc == 0)
            rc = visitor(context, row, err);
        if (rc != 0)
            return rc;
    }
}

static int bind_filter(sqlite3_stmt *rows, const struct ledger_filter *filter)
{
    const char *const texts[] = {filter->namespace_, filter->app, filter->workload, filter->account,
                                 filter->term};
    char path[LIMIT_NAME_BYTES + 8] = "";
    (void)sqlite3_bind_int64(rows, 1, filter->after_id);
    (void)sqlite3_bind_int64(rows, 2, filter->from_us / US_PER_HOUR * US_PER_HOUR);
    (void)sqlite3_bind_int64(rows, 3, filter->to_us == 0 ? INT64_MAX : filter->to_us);
    for (int i = 0; i < (int)(sizeof(texts) / sizeof(texts[0])); i++)
        (void)sqlite3_bind_text(rows, 4 + i, texts[i] == NULL ? "" : texts[i], -1,
                                SQLITE_TRANSIENT);
    if (filter->tag_key != NULL && filter->tag_key[0] != 0) {
        if (!name_is_valid(filter->tag_key))
            return ERR_INVALID;
        str_format(path, sizeof(path), "$.\"%s\"", filter->tag_key);
    }
    (void)sqlite3_bind_text(rows, 9, path, -1, SQLITE_TRANSIENT);
    (void)sqlite3_bind_text(rows, 10, filter->tag_value == NULL ? "" : filter->tag_value, -1,
                            SQLITE_TRANSIENT);
    return 0;
}

static int read_row(const struct ledger *ledger, sqlite3_stmt *rows, struct ledger_row *row,
                    struct error *err)
{
    char price[DECIMAL_TEXT_BYTES];
    memset(row, 0, sizeof(*row));
    row->id = sqlite3_column_int64(rows, 0);
    row->hour_us = sqlite3_column_int64(rows, 1);
    row->per = (uint64_t)sqlite3_column_int64(rows, 15);
    row->tier = sqlite3_column_int(rows, 16);
    row->quantity = sqlite3_column_int64(rows, 17);
    row->predicted = sqlite3_column_int64(rows, 18);
    bool fits = read_text(rows, 2, row->namespace_, sizeof(row->namespace_)) == 0 &&
                read_text(rows, 3, row->app, sizeof(row->app)) == 0 &&
                read_text(rows, 4, row->workload, sizeof(row->workload)) == 0 &&
                read_text(rows, 5, row->term, sizeof(row->term)) == 0 &&
                read_text(rows, 6, row->item, sizeof(row->item)) == 0 &&
                read_text(rows, 7, row->account, sizeof(row->account)) == 0 &&
                read_text(rows, 8, row->provider, sizeof(row->provider)) == 0 &&
                read_text(rows, 9, row->region, sizeof(row->region)) == 0 &&
                read_text(rows, 10, row->site, sizeof(row->site)) == 0 &&
                read_text(rows, 11, row->peer, sizeof(row->peer)) == 0 &&
                read_text(rows, 12, row->tags, sizeof(row->tags)) == 0 &&
                read_text(rows, 13, row->unit, sizeof(row->unit)) == 0 &&
                read_text(rows, 14, price, sizeof(price)) == 0;
    if (!fits || row->per == 0 || row->quantity < 0 ||
        decimal_parse(price, &row->price, NULL) < 0 || ledger_amount(row, &row->amount) < 0)
        return error_set(err, ERR_CORRUPT, 0,
                         "row %lld of ledger '%s' is damaged; restore the file from a backup",
                         (long long)row->id, ledger->path);
    return 0;
}

static int read_text(sqlite3_stmt *rows, int column, char *out, size_t capacity)
{
    const char *text = (const char *)sqlite3_column_text(rows, column);
    return text == NULL ? ERR_CORRUPT : str_copy(out, capacity, text);
}

/* ---- sums ---- */

struct summing {
    const struct ledger_filter *filter;
    unsigned by;
    struct arena *arena;
    struct ledger_sum **list; /* open addressing by key */
    int count;
    int buckets;
};

static int sum_row(void *context, const struct ledger_row *row, struct error *err);
static void key_of(const struct summing *summing, const struct ledger_row *row, char out[512]);
static void tag_of(const char *tags, const char *key, char *out, size_t capacity);
static int grow(struct summing *summing);
static struct ledger_sum **slot_of(struct ledger_sum **list, int buckets, const char *key);
static int compare_sums(const void *a, const void *b);

int ledger_sums(struct ledger *ledger, const struct ledger_filter *filter, unsigned by,
                struct arena *arena, struct ledger_sum **ret_sums, int *ret_count,
                struct error *err)
{
    struct summing summing = {.filter = filter, .by = by, .arena = arena};
    int rc = grow(&summing);
    if (rc == 0)
        rc = ledger_rows(ledger, filter, sum_row, &summing, err);
    struct ledger_sum *sums = NULL;
    if (rc == 0) {
        sums = arena_array(arena, (size_t)summing.count + 1, sizeof(*sums));
        if (sums == NULL)
            rc = error_set(err, ERR_NO_MEMORY, 0, "no memory for the ledger's sums");
    }
    int count = 0;
    for (int i = 0; i < summing.buckets && rc == 0; i++)
        if (summing.list[i] != NULL)
            sums[count++] = *summing.list[i];
    free(summing.list);
    if (rc < 0)
        return rc;
    qsort(sums, (size_t)count, sizeof(*sums), compare_sums);
    *ret_sums = sums;
    *ret_count = count;
    return 0;
}

static int sum_row(void *context, const struct ledger_row *row, struct error *err)
{
    struct summing *summing = context;
    char key[512];
    key_of(summing, row, key);
    if (2 * (summing->count + 1) > summing->buckets && grow(summing) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ledger's sums");
    struct ledger_sum **slot = slot_of(summing->list, summing->buckets, key);
    if (*slot == NULL) {
        *slot = arena_alloc(summing->arena, sizeof(**slot));
        if (*slot == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the ledger's sums");
        **slot = (struct ledger_sum){.amount = 0};
        memcpy((*slot)->key, key, sizeof(key));
        summing->count++;
    }
    (*slot)->amount += row->amount;
    (*slot)->predicted += row->predicted;
    return 0;
}

static void key_of(const struct summing *summing, const struct ledger_row *row, char out[512])
{
    unsigned by = summing->by;
    char hour[LIMIT_NAME_BYTES] = "";
    char tag[LIMIT_NAME_BYTES] = "";
    char wall[WALL_TEXT_BYTES];
    wall_format((struct wall){row->hour_us}, wall);
    if ((by & (LEDGER_BY_HOUR | LEDGER_BY_DAY)) != 0)
        str_format(hour, sizeof(hour), "%.*s", (by & LEDGER_BY_HOUR) != 0 ? 13 : 10, wall);
    if ((by & LEDGER_BY_TAG) != 0 && summing->filter->tag_key != NULL)
        tag_of(row->tags, summing->filter->tag_key, tag, sizeof(tag));
    const char *const parts[] = {
        (by & (LEDGER_BY_NAMESPACE | LEDGER_BY_APP)) != 0 ? row->namespace_ : NULL,
        (by & LEDGER_BY_APP) != 0 ? row->app : NULL,
        (by & LEDGER_BY_WORKLOAD) != 0 ? row->workload : NULL,
        (by & LEDGER_BY_TERM) != 0 ? row->term : NULL,
        (by & LEDGER_BY_ACCOUNT) != 0 ? row->account : NULL,
        (by & LEDGER_BY_SITE) != 0 ? row->site : NULL,
        (by & (LEDGER_BY_HOUR | LEDGER_BY_DAY)) != 0 ? hour : NULL,
        (by & LEDGER_BY_TAG) != 0 ? tag : NULL,
    };
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (parts[i] == NULL)
            continue;
        size_t bytes = strlen(parts[i]);
        BERTH_ASSERT(used + bytes + 2 < 512, "a key of %zu bytes", used + bytes);
        if (used > 0)
            out[used++] = '\t';
        memcpy(out + used, parts[i], bytes + 1);
        used += bytes;
    }
}

/* The ledger wrote the object itself: names and values of [a-z0-9-] and the like, no escapes. */
static void tag_of(const char *tags, const char *key, char *out, size_t capacity)
{
    char quoted[LIMIT_NAME_BYTES + 8];
    out[0] = 0;
    if (strlen(key) >= LIMIT_NAME_BYTES)
        return;
    str_format(quoted, sizeof(quoted), "\"%s\":\"", key);
    const char *at = strstr(tags, quoted);
    if (at == NULL)
        return;
    at += strlen(quoted);
    str_format(out, capacity, "%.*s", (int)strcspn(at, "\""), at);
}

static int grow(struct summing *summing)
{
    int buckets = summing->buckets == 0 ? SUMS_BUCKETS_LEAST : 2 * summing->buckets;
    struct ledger_sum **list = calloc((size_t)buckets, sizeof(struct ledger_sum *));
    if (list == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < summing->buckets; i++)
        if (summing->list[i] != NULL)
            *slot_of(list, buckets, summing->list[i]->key) = summing->list[i];
    free(summing->list);
    summing->list = list;
    summing->buckets = buckets;
    return 0;
}

static struct ledger_sum **slot_of(struct ledger_sum **list, int buckets, const char *key)
{
    uint64_t at = hash_str(HASH_SEED, key) % (uint64_t)buckets;
    while (list[at] != NULL && !str_equal(list[at]->key, key))
        at = (at + 1) % (uint64_t)buckets;
    return &list[at];
}

static int compare_sums(const void *a, const void *b)
{
    return strcmp(((const struct ledger_sum *)a)->key, ((const struct ledger_sum *)b)->key);
}

/* ---- forecast ---- */

struct history {
    int64_t month_us;
    int64_t first_us; /* of the hours that the profile is made of */
    int64_t until_us; /* the running hour: not over yet */
    struct ledger_forecast forecast;
    nusd hours[FORECAST_HOURS]; /* by (hour - first) */
    bool known[FORECAST_HOURS]; /* something was charged in it */
};

static int history_row(void *context, const struct ledger_row *row, struct error *err);
static nusd profile_of(const struct history *history, int hour_of_day);

int ledger_forecast(struct ledger *ledger, const struct ledger_filter *filter, int64_t now_us,
                    struct ledger_forecast *ret_forecast, struct error *err)
{
    CLEANUP(cleanup_free) struct history *history = calloc(1, sizeof(*history));
    if (history == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a forecast");
    int64_t end_us;
    ledger_month(now_us, &history->month_us, &end_us);
    history->until_us = now_us / US_PER_HOUR * US_PER_HOUR;
    history->first_us = history->until_us - FORECAST_HOURS * US_PER_HOUR;
    struct ledger_filter mine = *filter;
    mine.from_us = history->first_us < history->month_us ? history->first_us : history->month_us;
    mine.to_us = end_us;
    mine.after_id = 0;
    int rc = ledger_rows(ledger, &mine, history_row, history, err);
    if (rc < 0)
        return rc;
    struct ledger_forecast forecast = history->forecast;
    forecast.month = forecast.to_date;
    for (int i = 0; i < FORECAST_HOURS; i++)
        forecast.hours += history->known[i] ? 1 : 0;
    nusd left = 0; /* of the running hour */
    nusd whole = profile_of(history, (int)(history->until_us / US_PER_HOUR % HOURS_PER_DAY));
    if (money_scale(whole, US_PER_HOUR - (now_us - history->until_us), US_PER_HOUR, &left) == 0)
        forecast.month += left;
    for (int64_t hour_us = history->until_us + US_PER_HOUR; hour_us < end_us;
         hour_us += US_PER_HOUR)
        forecast.month += profile_of(history, (int)(hour_us / US_PER_HOUR % HOURS_PER_DAY));
    *ret_forecast = forecast;
    return 0;
}

static int history_row(void *context, const struct ledger_row *row, struct error *err)
{
    (void)err;
    struct history *history = context;
    if (row->hour_us >= history->month_us) {
        history->forecast.to_date += row->amount;
        history->forecast.predicted_to_date += row->predicted;
    }
    if (row->hour_us >= history->first_us && row->hour_us < history->until_us) {
        int64_t index = (row->hour_us - history->first_us) / US_PER_HOUR;
        history->hours[index] += row->amount;
        history->known[index] = true;
    }
    return 0;
}

/* The mean of that hour of the day; of all hours while the history is short or has none such. */
static nusd profile_of(const struct history *history, int hour_of_day)
{
    nusd sum[2] = {0, 0}; /* all hours, that hour's */
    int count[2] = {0, 0};
    for (int i = 0; i < FORECAST_HOURS; i++) {
        if (!history->known[i])
            continue;
        int64_t hour = history->first_us / US_PER_HOUR + i;
        sum[0] += history->hours[i];
        count[0]++;
        if (hour % HOURS_PER_DAY == hour_of_day) {
            sum[1] += history->hours[i];
            count[1]++;
        }
    }
    int which = count[0] >= FORECAST_PROFILE && count[1] > 0 ? 1 : 0;
    return count[which] == 0 ? 0 : sum[which] / count[which];
}
