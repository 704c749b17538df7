#include "scheduler/cli/replay_measured.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/units.h"
#include "metrics/quantise.h"
#include "metrics/rollup.h"
#include "model/app.h"

enum sum { SUM_REQUESTS, SUM_HITS, SUM_MISSES, SUM_IN, SUM_OUT, SUMS };
static const int kinds[SUMS] = {SAMPLE_REQUESTS, SAMPLE_HITS, SAMPLE_MISSES, SAMPLE_BYTES_IN,
                                SAMPLE_BYTES_OUT};
enum figure { FIGURE_HIT, FIGURE_REQUEST, FIGURE_RESPONSE, FIGURES };
static const char *const paths[FIGURES] = {"cache.hit", "bytes.request", "bytes.response"};

struct row {
    const struct app *app;
    const struct workload *workload;
    bool has[FIGURES];
    bool left; /* it found no room */
    int64_t calls;
    int64_t sum[REPLAY_WINDOWS][SUMS];
};

struct reading {
    struct row *rows; /* [workload of all apps, in order] */
    int count;
    int windows;
    int64_t from_us;
    int64_t window_us;
    enum sum sum;
};

static int make_rows(struct reading *reading, const struct past *past,
                     const struct option_list *sets, struct error *err);
static int read_sums(struct reading *reading, const char *database, int64_t to_us,
                     struct error *err);
static bool visit(void *context, const struct rollup_row *row);
static int64_t value_of(const struct row *row, enum figure figure, int window, int windows);
static int write_row(const struct reading *reading, const struct row *row, int merged,
                     struct strbuf *out);
static void write_set(const struct row *row, enum figure figure, int64_t value, struct strbuf *out);
static int leave_least(struct reading *reading);

int replay_measured(const char *database, const struct past *past, const struct replay_time *time,
                    const struct option_list *sets, int room, struct strbuf *out, int *ret_left,
                    struct error *err)
{
    int64_t hours = (time->to_us - time->from_us + US_PER_HOUR - 1) / US_PER_HOUR;
    struct reading reading = {.from_us = time->from_us - time->from_us % US_PER_HOUR};
    int64_t each = (hours + REPLAY_WINDOWS - 1) / REPLAY_WINDOWS;
    reading.window_us = each * US_PER_HOUR;
    reading.windows = (int)((hours + each - 1) / each);
    *ret_left = 0;
    int rc = make_rows(&reading, past, sets, err);
    if (rc == 0)
        rc = read_sums(&reading, database, time->to_us, err);
    /* Of ever longer windows, then of ever fewer workloads, until there is room. */
    for (int merged = 1; rc == 0;) {
        int events = 0;
        for (int i = 0; i < reading.count; i++)
            events += write_row(&reading, &reading.rows[i], merged, NULL);
        if (events <= room) {
            for (int i = 0; i < reading.count; i++)
                (void)write_row(&reading, &reading.rows[i], merged, out);
            break;
        }
        if (merged < reading.windows)
            merged *= 2;
        else
            *ret_left += leave_least(&reading);
    }
    free(reading.rows);
    return rc;
}

static int make_rows(struct reading *reading, const struct past *past,
                     const struct option_list *sets, struct error *err)
{
    for (int i = 0; i < past->app_count; i++)
        reading->count += past->apps[i].app->workload_count;
    reading->rows = calloc((size_t)reading->count + 1, sizeof(*reading->rows));
    if (reading->rows == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for what was measured");
    struct row *row = reading->rows;
    for (int i = 0; i < past->app_count; i++)
        for (int k = 0; k < past->apps[i].app->workload_count; k++, row++) {
            row->app = past->apps[i].app;
            row->workload = &row->app->workloads[k];
            row->has[FIGURE_HIT] = row->workload->hit_ppm >= 0 || row->workload->curve_count > 0;
            for (int l = 0; l < row->app->link_count; l++)
                row->has[FIGURE_REQUEST] |= row->app->links[l].to == k;
            row->has[FIGURE_RESPONSE] = row->has[FIGURE_REQUEST];
            for (int f = 0; f < FIGURES && sets != NULL; f++)
                for (int s = 0; s < sets->count; s++)
                    row->has[f] &= !str_starts(sets->items[s], paths[f]);
        }
    return 0;
}

static int read_sums(struct reading *reading, const char *database, int64_t to_us,
                     struct error *err)
{
    struct rollup *rollup = NULL;
    struct rollup_options options = {.read_only = true};
    int rc = rollup_open(database, &options, &rollup, err);
    for (int sum = 0; sum < SUMS && rc == 0; sum++) {
        struct rollup_filter filter = {.kind = kinds[sum]};
        reading->sum = (enum sum)sum;
        rc = rollup_query(rollup, &filter, reading->from_us, to_us, ROLLUP_HOURS, visit, reading,
                          err);
    }
    rollup_close(rollup);
    return rc;
}

static bool visit(void *context, const struct rollup_row *row)
{
    struct reading *reading = context;
    int64_t window = (row->from_us - reading->from_us) / reading->window_us;
    if (row->sum <= 0 || row->key.workload[0] == 0 || window < 0 || window >= reading->windows)
        return true;
    for (int i = 0; i < reading->count; i++) {
        struct row *one = &reading->rows[i];
        if (!str_equal(one->workload->name, row->key.workload) ||
            !str_equal(one->app->name, row->key.app) ||
            !str_equal(one->app->namespace_, row->key.namespace_))
            continue;
        int64_t *sum = &one->sum[window][reading->sum];
        if (__builtin_add_overflow(*sum, row->sum, sum))
            *sum = INT64_MAX;
        if (reading->sum == SUM_REQUESTS &&
            __builtin_add_overflow(one->calls, row->sum, &one->calls))
            one->calls = INT64_MAX;
        break;
    }
    return true;
}

/* -1: nothing was measured in these windows. */
static int64_t value_of(const struct row *row, enum figure figure, int window, int windows)
{
    __int128 sum[SUMS] = {0};
    for (int w = window; w < window + windows && w < REPLAY_WINDOWS; w++)
        for (int s = 0; s < SUMS; s++)
            sum[s] += row->sum[w][s];
    __int128 whole = figure == FIGURE_HIT ? sum[SUM_HITS] + sum[SUM_MISSES] : sum[SUM_REQUESTS];
    __int128 part = figure == FIGURE_HIT       ? sum[SUM_HITS] * PPM
                    : figure == FIGURE_REQUEST ? sum[SUM_IN]
                                               : sum[SUM_OUT];
    if (!row->has[figure] || whole == 0 || (figure != FIGURE_HIT && part == 0))
        return -1;
    return (int64_t)(part / whole);
}

/* How many events it takes; written unless `out` is NULL. */
static int write_row(const struct reading *reading, const struct row *row, int merged,
                     struct strbuf *out)
{
    int64_t said[FIGURES] = {-1, -1, -1};
    int events = 0;
    for (int w = 0; w < reading->windows && !row->left; w += merged) {
        bool any = false;
        for (int f = 0; f < FIGURES; f++) {
            int64_t value = value_of(row, (enum figure)f, w, merged);
            if (value < 0 || (said[f] >= 0 && !quantise_moved(said[f], value, f == FIGURE_HIT)))
                continue;
            said[f] = value;
            events += !any;
            if (out == NULL) {
                any = true;
                continue;
            }
            if (!any)
                strbuf_printf(out, "  - {at: %" PRId64 "s, set: [",
                              w * reading->window_us / US_PER_S);
            strbuf_puts(out, any ? ", " : "");
            write_set(row, (enum figure)f, value, out);
            any = true;
        }
        if (any && out != NULL)
            strbuf_puts(out, "]}\n");
    }
    return events;
}

static void write_set(const struct row *row, enum figure figure, int64_t value, struct strbuf *out)
{
    strbuf_printf(out, "'%s.%s/%s/%s=", paths[figure], row->app->namespace_, row->app->name,
                  row->workload->name);
    if (figure == FIGURE_HIT)
        strbuf_printf(out, "%" PRId64 ".%06" PRId64 "'", value / PPM, value % PPM);
    else
        strbuf_printf(out, "%" PRId64 "B'", value);
}

/* Half of those that are still there, the least called ones. */
static int leave_least(struct reading *reading)
{
    int there = 0;
    for (int i = 0; i < reading->count; i++)
        there += !reading->rows[i].left;
    int go = (there + 1) / 2;
    for (int n = 0; n < go; n++) {
        int least = -1;
        for (int i = 0; i < reading->count; i++)
            if (!reading->rows[i].left &&
                (least < 0 || reading->rows[i].calls < reading->rows[least].calls))
                least = i;
        reading->rows[least].left = true;
    }
    return go;
}
