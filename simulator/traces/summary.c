#include "simulator/traces/summary.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/traces/names.h"

#define KEY_BYTES (2 * TRACE_NAME_BYTES + 64)

struct making {
    struct summary *summary;
    struct names keys;
    int *line_of; /* [series]: of its calls, so that most rows need no key */
    int series_room;
    int room;
};

static int read_all(struct making *making, struct trace *trace, struct error *err);
static int line_for(struct making *making, const struct trace_row *row);
static int line_by_key(struct making *making, const struct trace_row *row);
static void add(struct summary_line *line, const struct trace_row *row);
static void close_means(struct summary *summary);
static void find_gaps(struct summary *summary, int64_t gap_us);

int summary_make(struct trace *trace, int64_t gap_us, struct summary *ret_summary,
                 struct error *err)
{
    struct summary summary = {.trace = trace};
    struct making making = {.summary = &summary};
    int rc = read_all(&making, trace, err);
    names_done(&making.keys);
    free(making.line_of);
    if (rc < 0) {
        summary_done(&summary);
        return rc;
    }
    close_means(&summary);
    find_gaps(&summary, gap_us);
    *ret_summary = summary;
    return 0;
}

void summary_done(struct summary *summary)
{
    free(summary->lines);
    trace_close(summary->trace);
    *summary = (struct summary){.count = 0};
}

static int read_all(struct making *making, struct trace *trace, struct error *err)
{
    struct trace_row row;
    int rc;
    while ((rc = trace_next(trace, &row, err)) > 0) {
        if (row.kind == TRACE_QUIET) {
            for (int i = 0; i < making->summary->count; i++) {
                struct summary_line *line = &making->summary->lines[i];
                struct trace_row none = {.at_us = row.at_us, .kind = TRACE_CALLS};
                if (line->kind == TRACE_CALLS)
                    add(line, &none);
            }
            continue;
        }
        int line = line_for(making, &row);
        if (line < 0)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory to sum up a trace");
        add(&making->summary->lines[line], &row);
    }
    return rc;
}

static int line_for(struct making *making, const struct trace_row *row)
{
    if (row->kind != TRACE_CALLS)
        return line_by_key(making, row);
    if (row->series >= making->series_room) {
        int room = row->series * 2 + 64;
        int *line_of = realloc(making->line_of, (size_t)room * sizeof(*line_of));
        if (line_of == NULL)
            return -1;
        for (int i = making->series_room; i < room; i++)
            line_of[i] = -1;
        making->line_of = line_of;
        making->series_room = room;
    }
    if (making->line_of[row->series] < 0)
        making->line_of[row->series] = line_by_key(making, row);
    return making->line_of[row->series];
}

static int line_by_key(struct making *making, const struct trace_row *row)
{
    char key[KEY_BYTES];
    const char *peer = row->peer == NULL ? "" : row->peer;
    str_format(key, sizeof(key), "%d %lld %s %s", (int)row->kind, (long long)row->quantile_ppm,
               row->workload, peer);
    int index = names_add(&making->keys, key);
    struct summary *summary = making->summary;
    if (index < summary->count)
        return index;
    if (index >= making->room) {
        int room = making->room * 2 + 64;
        struct summary_line *lines =
            realloc(summary->lines, (size_t)room * sizeof(*summary->lines));
        if (lines == NULL)
            return -1;
        summary->lines = lines;
        making->room = room;
    }
    struct summary_line *line = &summary->lines[summary->count++];
    *line = (struct summary_line){.workload = row->workload,
                                  .kind = row->kind,
                                  .quantile_ppm = row->quantile_ppm,
                                  .least = INT64_MAX,
                                  .first_us = row->at_us,
                                  .since_us = row->at_us};
    str_format(line->peer, sizeof(line->peer), "%s", peer);
    return index;
}

static void add(struct summary_line *line, const struct trace_row *row)
{
    if (line->kind == TRACE_CALLS)
        line->sum += (double)line->last * (double)(row->at_us - line->since_us);
    else
        line->sum += (double)row->value;
    line->since_us = row->at_us;
    line->last = row->value;
    line->rows++;
    line->least = row->value < line->least ? row->value : line->least;
    line->most = row->value > line->most ? row->value : line->most;
}

static void close_means(struct summary *summary)
{
    int64_t last_us = trace_counts(summary->trace)->last_us;
    for (int i = 0; i < summary->count; i++) {
        struct summary_line *line = &summary->lines[i];
        double span = (double)(last_us - line->first_us);
        if (line->kind != TRACE_CALLS)
            line->mean = line->sum / (double)line->rows;
        else if (span <= 0)
            line->mean = (double)line->last;
        else
            line->mean =
                (line->sum + (double)line->last * (double)(last_us - line->since_us)) / span;
    }
}

/* The median's class tells the usual distance; whole classes count, but for the first, of which
 * only its smallest is known. */
static void find_gaps(struct summary *summary, int64_t gap_us)
{
    const struct trace_counts *counts = trace_counts(summary->trace);
    int64_t all = 0;
    int64_t below = 0;
    for (int i = 0; i < TRACE_APART; i++)
        all += counts->apart[i];
    for (int i = 0; i < TRACE_APART && summary->usual_us == 0; i++) {
        below += counts->apart[i];
        if (all > 0 && below * 2 >= all)
            summary->usual_us = counts->apart_min_us[i];
    }
    /* Who comes by chance has no usual distance. */
    bool chance = str_equal(trace_format(summary->trace), "openb");
    if (chance && gap_us == 0)
        return;
    summary->gap_us = gap_us > 0 ? gap_us : 10 * summary->usual_us;
    summary->gaps = gap_us > 0 ? counts->gaps : 0;
    for (int i = 0; i < TRACE_APART && gap_us == 0; i++)
        if (counts->apart[i] > 0 && counts->apart_min_us[i] > summary->gap_us)
            summary->gaps += counts->apart[i];
}
