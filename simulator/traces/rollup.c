/* What Berth itself recorded: requests of every workload, from the minutes of a rollup database, or
 * from its hours where minutes are no longer kept (spread evenly over the hour). A name is
 * NAMESPACE/APP/WORKLOAD; sites and parts of the users are added up. One hour of rows is held. */
#include "metrics/rollup.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "simulator/traces/names.h"
#include "simulator/traces/trace_internal.h"

#define MINUTE_US (60 * US_PER_S)
#define DAY_US    (24 * US_PER_HOUR)
#define LATEST_US (INT64_C(230) * 366 * DAY_US) /* 2200: no row is later */

struct entry {
    int64_t at_us;
    int name;
    int64_t value; /* thousandths of a call */
};

struct kept {
    struct rollup *rollup;
    bool begun;
    int64_t hour_us; /* the next to read */
    int64_t until_us;
    struct names names;
    struct entry *list;
    int count;
    int room;
    int at;
    /* Of one query. */
    int64_t first_us;
    int64_t last_us;
    int64_t sum;
    bool hours;
    bool no_memory;
};

static int kept_begin(struct trace *trace, char *line, struct error *err);
static int kept_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static void kept_close(void *state);
static int find_range(struct trace *trace, struct kept *kept, struct error *err);
static bool visit_range(void *context, const struct rollup_row *row);
static int read_hour(struct trace *trace, struct kept *kept, struct error *err);
static int query(struct kept *kept, enum rollup_resolution resolution, struct error *err);
static bool visit(void *context, const struct rollup_row *row);
static bool add(struct kept *kept, const struct entry *entry);
static int compare(const void *a, const void *b);

const struct trace_format trace_rollup = {"rollup", kept_begin, kept_next, kept_close};

static const struct rollup_filter requests = {.kind = SAMPLE_REQUESTS};

static int kept_begin(struct trace *trace, char *line, struct error *err)
{
    (void)line;
    void **state = trace_state(trace);
    kept_close(*state);
    *state = NULL;
    struct kept *kept = calloc(1, sizeof(*kept));
    if (kept == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a trace");
    *state = kept;
    struct rollup_options options = {.read_only = true};
    int rc = rollup_open(lines_file(trace_lines(trace)), &options, &kept->rollup, err);
    return rc < 0 ? rc : 1;
}

static int kept_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    struct kept *kept = *trace_state(trace);
    int rc = kept->begun ? 0 : find_range(trace, kept, err);
    kept->begun = true;
    while (rc == 0 && kept->at == kept->count) {
        if (kept->hour_us >= kept->until_us)
            return 0;
        rc = read_hour(trace, kept, err);
    }
    if (rc < 0)
        return rc;
    const struct entry *entry = &kept->list[kept->at++];
    raw->kind = TRACE_COUNT;
    raw->at_us = entry->at_us;
    raw->name = kept->names.texts[entry->name];
    raw->value = entry->value;
    return 1;
}

static void kept_close(void *state)
{
    struct kept *kept = state;
    if (kept == NULL)
        return;
    rollup_close(kept->rollup);
    names_done(&kept->names);
    free(kept->list);
    free(kept);
}

/* The hours between the first and the last day that something is known of, within the limits. */
static int find_range(struct trace *trace, struct kept *kept, struct error *err)
{
    int64_t from_us;
    int64_t to_us;
    trace_limits(trace, &from_us, &to_us);
    kept->first_us = INT64_MAX;
    kept->last_us = INT64_MIN;
    int rc =
        rollup_query(kept->rollup, &requests, 0, LATEST_US, ROLLUP_DAYS, visit_range, kept, err);
    if (rc < 0)
        return rc;
    if (kept->first_us == INT64_MAX)
        return error_set(err, ERR_INVALID, 0,
                         "%s has no requests of any workload: nothing was measured yet",
                         lines_file(trace_lines(trace)));
    kept->hour_us = kept->first_us > from_us ? kept->first_us : from_us;
    kept->hour_us -= kept->hour_us % US_PER_HOUR;
    kept->until_us = kept->last_us + DAY_US < to_us ? kept->last_us + DAY_US : to_us;
    return 0;
}

static bool visit_range(void *context, const struct rollup_row *row)
{
    struct kept *kept = context;
    kept->first_us = row->from_us < kept->first_us ? row->from_us : kept->first_us;
    kept->last_us = row->from_us > kept->last_us ? row->from_us : kept->last_us;
    return true;
}

/* Minutes are deleted hour by hour from behind: where they no longer add up to their hour, the hour
 * counts. */
static int read_hour(struct trace *trace, struct kept *kept, struct error *err)
{
    kept->count = 0;
    kept->at = 0;
    int rc = query(kept, ROLLUP_HOURS, err);
    int64_t hours = kept->sum;
    if (rc == 0 && hours > 0) {
        int count = kept->count;
        rc = query(kept, ROLLUP_MINUTES, err);
        if (rc == 0 && kept->sum >= hours) {
            memmove(kept->list, kept->list + count,
                    (size_t)(kept->count - count) * sizeof(*kept->list));
            kept->count -= count;
        } else {
            kept->count = count;
        }
    }
    if (kept->no_memory)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for an hour of %s",
                         lines_file(trace_lines(trace)));
    kept->hour_us += US_PER_HOUR;
    if (kept->count > 1)
        qsort(kept->list, (size_t)kept->count, sizeof(*kept->list), compare);
    return rc;
}

static int query(struct kept *kept, enum rollup_resolution resolution, struct error *err)
{
    kept->sum = 0;
    kept->hours = resolution == ROLLUP_HOURS;
    return rollup_query(kept->rollup, &requests, kept->hour_us, kept->hour_us + US_PER_HOUR,
                        resolution, visit, kept, err);
}

static bool visit(void *context, const struct rollup_row *row)
{
    struct kept *kept = context;
    char name[TRACE_NAME_BYTES];
    const struct metrics_key *key = &row->key;
    if (row->sum <= 0 || row->sum > INT64_MAX / 1000000 || key->workload[0] == 0 ||
        strlen(key->namespace_) + strlen(key->app) + strlen(key->workload) + 3 > sizeof(name))
        return true;
    str_format(name, sizeof(name), "%s/%s/%s", key->namespace_, key->app, key->workload);
    int index = names_add(&kept->names, name);
    kept->no_memory |= index < 0;
    kept->sum += row->sum;
    int parts = kept->hours ? 60 : 1;
    int64_t value = row->sum * 1000;
    for (int i = 0; i < parts && !kept->no_memory; i++) {
        int64_t part = value / (parts - i);
        kept->no_memory |= !add(kept, &(struct entry){row->from_us + i * MINUTE_US, index, part});
        value -= part;
    }
    return !kept->no_memory;
}

static bool add(struct kept *kept, const struct entry *entry)
{
    if (kept->count == kept->room) {
        int room = kept->room * 2 + 1024;
        struct entry *list = realloc(kept->list, (size_t)room * sizeof(*list));
        if (list == NULL)
            return false;
        kept->list = list;
        kept->room = room;
    }
    kept->list[kept->count++] = *entry;
    return true;
}

static int compare(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;
    if (left->at_us != right->at_us)
        return left->at_us < right->at_us ? -1 : 1;
    return left->name < right->name ? -1 : left->name > right->name;
}
