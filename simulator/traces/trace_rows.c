/* The stream of a trace: raw rows in order, their names, gaps, counts, and where they are laid. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "simulator/traces/trace_body.h"

static int read_raw(struct trace *trace, struct error *err);
static int check_order(struct trace *trace, struct trace_raw *raw, struct error *err);
static void count_distance(struct trace *trace, int64_t at_us);
static int check_gap(struct trace *trace, const struct trace_raw *raw, struct error *err);
static int take(struct trace *trace, struct trace_row *row);
static void take_count(struct trace *trace);
static void take_quiet(struct trace *trace, struct trace_row *row);
static void take_rate(struct trace *trace, struct trace_row *row);
static bool flush(struct trace *trace, struct trace_row *row);
static void measure(const struct trace *trace, struct trace_raw *raw);
static int64_t bucket_of(const struct trace *trace, int64_t at_us);
static int64_t lay(struct trace *trace, int64_t at_us);
static int64_t added(int64_t a, int64_t b);

int trace_next(struct trace *trace, struct trace_row *ret_row, struct error *err)
{
    for (;;) {
        if (trace->phase != PHASE_READ && flush(trace, ret_row))
            return 1;
        if (!trace->has_held) {
            if (trace->ended)
                return 0;
            int rc = read_raw(trace, err);
            if (rc < 0)
                return rc;
            trace->ended = rc == 0;
            if (trace->ended && !trace->in_bucket)
                return 0;
            if (trace->ended) {
                trace->phase = PHASE_FLUSH;
                trace->next_series = 0;
                trace->zero_after = false;
                continue;
            }
        }
        if (take(trace, ret_row) > 0)
            return 1;
    }
}

/* The next row that somebody wants, checked, in `held`. 0: there is none. */
static int read_raw(struct trace *trace, struct error *err)
{
    struct trace_raw *raw = &trace->held;
    for (;;) {
        *raw = (struct trace_raw){.target = -1};
        int rc = trace->format->next(trace, raw, err);
        if (rc == 0) {
            trace->counts.unended |= lines_unended(trace->lines);
            rc = trace_next_file(trace, err);
            if (rc == 0 || rc < 0)
                return rc;
            continue;
        }
        if (rc < 0)
            return rc;
        trace->counts.rows++;
        rc = check_order(trace, raw, err);
        if (rc < 0)
            return rc;
        if (raw->at_us >= trace->to_us) {
            trace->counts.left_out++;
            continue; /* the rest is checked all the same */
        }
        measure(trace, raw);
        if (raw->kind < 0 || (raw->kind == TRACE_COUNT && raw->at_us < trace->from_us)) {
            trace->counts.left_out += raw->kind >= 0;
            continue;
        }
        if (raw->target < 0)
            raw->target = trace_target(trace, raw->name, err);
        if (raw->target < -1)
            return err->code;
        if (raw->target < 0) {
            trace->counts.left_out++;
            continue;
        }
        if (trace->any && trace->counts_calls != (raw->kind == TRACE_COUNT) &&
            (raw->kind == TRACE_COUNT || raw->kind == TRACE_CALLS))
            return trace_wrong(trace, err,
                               "counts and rates in one trace; give each a trace of its own");
        trace->any = true;
        trace->counts_calls = raw->kind == TRACE_COUNT;
        trace->has_held = true;
        return 1;
    }
}

static int check_order(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    if (raw->at_us < trace->last_us) {
        char now[WALL_TEXT_BYTES];
        char before[WALL_TEXT_BYTES];
        return trace_wrong(
            trace, err, "time goes back, from %s (line %" PRId64 ") to %s; sort the rows by time",
            wall_format((struct wall){trace->last_us}, before), trace->last_line,
            wall_format((struct wall){raw->at_us}, now));
    }
    int rc = check_gap(trace, raw, err);
    bool first = trace->last_us == INT64_MIN;
    count_distance(trace, raw->at_us);
    trace->last_us = raw->at_us;
    trace->last_line = raw->line;
    if (!trace->anchored) {
        trace->anchor_us = raw->at_us;
        trace->anchored = true;
    }
    trace->counts.last_us = lay(trace, raw->at_us);
    if (first)
        trace->counts.first_us = trace->counts.last_us;
    return rc;
}

/* Of the class that its highest bit and the two below it say. */
static void count_distance(struct trace *trace, int64_t at_us)
{
    struct trace_counts *counts = &trace->counts;
    int64_t apart_us;
    if (trace->last_us == INT64_MIN || at_us <= trace->last_us ||
        __builtin_sub_overflow(at_us, trace->last_us, &apart_us))
        return;
    int high = 63 - __builtin_clzll((unsigned long long)apart_us);
    int below = (int)((high >= 2 ? apart_us >> (high - 2) : apart_us << (2 - high)) & 3);
    int class = high * 4 + below;
    counts->apart_min_us[class] =
        counts->apart[class] == 0 || apart_us < counts->apart_min_us[class]
            ? apart_us
            : counts->apart_min_us[class];
    counts->apart[class]++;
    counts->apart_us = (int64_t)((__int128)apart_us * trace->options.stretch_ppm / TRACE_PPM);
    if (apart_us > counts->apart_max_us) {
        counts->apart_max_us = apart_us;
        counts->apart_max_at_us = lay(trace, trace->last_us);
    }
}

static int check_gap(struct trace *trace, const struct trace_raw *raw, struct error *err)
{
    int64_t gap_us = 0;
    if (trace->options.gap_us == 0 || trace->last_us == INT64_MIN || raw->at_us <= trace->from_us ||
        raw->at_us >= trace->to_us ||
        (!__builtin_sub_overflow(raw->at_us, trace->last_us, &gap_us) &&
         gap_us <= trace->options.gap_us))
        return 0;
    if (trace->options.gap == TRACE_GAP_ERROR) {
        char length[UNITS_TEXT_BYTES];
        char before[WALL_TEXT_BYTES];
        return trace_wrong(trace, err,
                           "a gap of %s after %.19s (line %" PRId64
                           "), and gap: error allows none; fill it, or choose gap: hold or zero",
                           units_format_duration(gap_us, length),
                           wall_format((struct wall){trace->last_us}, before), trace->last_line);
    }
    trace->counts.gaps++;
    if (gap_us > trace->counts.longest_gap_us) {
        trace->counts.longest_gap_us = gap_us;
        trace->counts.gap_at_us = lay(trace, trace->last_us);
    }
    trace->gap_before = true;
    if (trace->options.gap == TRACE_GAP_ZERO && !trace->quiet) {
        trace->quiet = true;
        trace->quiet_us = added(trace->last_us, trace->options.gap_us);
    }
    return 0;
}

/* What of arrivals and departures counts as calls; kind -1: nothing does. */
static void measure(const struct trace *trace, struct trace_raw *raw)
{
    enum trace_measure how = trace->options.measure;
    bool leaves = raw->kind == TRACE_LEAVE;
    if (how == TRACE_RAW || (raw->kind != TRACE_ARRIVE && !leaves))
        return;
    if (how == TRACE_ARRIVALS) {
        raw->kind = leaves ? -1 : TRACE_COUNT;
        raw->value = 1000;
        return;
    }
    raw->value = how == TRACE_RUNNING ? 1000
                 : how == TRACE_CORES ? raw->value
                 : how == TRACE_GPUS  ? raw->gpu_milli
                                      : raw->memory_bytes / (1 << 20) * 1000 / 1024;
    raw->value = leaves ? -raw->value : raw->value;
    raw->kind = raw->value == 0 ? -1 : TRACE_CALLS;
    raw->grows = true;
}

/* 1: the held row, or what comes before it, is told; 0: it was taken in, or waits. */
static int take(struct trace *trace, struct trace_row *row)
{
    struct trace_raw *raw = &trace->held;
    if (raw->kind == TRACE_COUNT) {
        take_count(trace);
        return 0;
    }
    if (trace->quiet) {
        take_quiet(trace, row);
        return 1;
    }
    trace->has_held = false;
    trace->gap_before = false;
    if (raw->kind == TRACE_CALLS) {
        take_rate(trace, row);
        return 1;
    }
    int series = trace->sources[raw->target].series;
    *row = (struct trace_row){.at_us = lay(trace, raw->at_us),
                              .kind = (enum trace_kind)raw->kind,
                              .workload = trace->targets.texts[series],
                              .peer = raw->peer,
                              .series = series,
                              .value = raw->value,
                              .memory_bytes = raw->memory_bytes,
                              .gpu_milli = raw->gpu_milli,
                              .quantile_ppm = raw->quantile_ppm,
                              .line = raw->line};
    return 1;
}

static void take_count(struct trace *trace)
{
    const struct trace_raw *raw = &trace->held;
    int64_t bucket_us = trace->options.bucket_us;
    int64_t at_us = bucket_of(trace, raw->at_us);
    trace->quiet = false; /* empty buckets say it, or hold */
    if (trace->in_bucket && at_us != trace->bucket_at_us) {
        trace->phase = PHASE_FLUSH;
        trace->next_series = 0;
        trace->zero_after = at_us - trace->bucket_at_us > bucket_us &&
                            !(trace->gap_before && trace->options.gap == TRACE_GAP_HOLD);
        return;
    }
    struct series *series = &trace->series[trace->sources[raw->target].series];
    series->counted = added(series->counted, raw->value);
    trace->in_bucket = true;
    trace->bucket_at_us = at_us;
    trace->has_held = false;
    trace->gap_before = false;
}

static void take_quiet(struct trace *trace, struct trace_row *row)
{
    for (int i = 0; i < trace->names.count; i++)
        trace->sources[i].last = 0;
    for (int i = 0; i < trace->targets.count; i++)
        trace->series[i].sum = 0;
    *row = (struct trace_row){.at_us = lay(trace, trace->quiet_us),
                              .kind = TRACE_QUIET,
                              .workload = "",
                              .series = -1,
                              .line = trace->last_line};
    trace->quiet = false;
}

static void take_rate(struct trace *trace, struct trace_row *row)
{
    const struct trace_raw *raw = &trace->held;
    struct source *source = &trace->sources[raw->target];
    struct series *series = &trace->series[source->series];
    series->sum = added(series->sum, raw->value);
    if (!raw->grows) {
        series->sum -= source->last;
        source->last = raw->value;
    }
    *row = (struct trace_row){.at_us = lay(trace, raw->at_us),
                              .kind = TRACE_CALLS,
                              .workload = trace->targets.texts[source->series],
                              .series = source->series,
                              .value = series->sum < 0               ? 0
                                       : series->sum > TRACE_MHZ_MAX ? TRACE_MHZ_MAX
                                                                     : series->sum,
                              .line = raw->line};
}

/* What a full bucket says, one series after another. False: all is said. */
static bool flush(struct trace *trace, struct trace_row *row)
{
    int64_t bucket_us = trace->options.bucket_us;
    for (;;) {
        bool zero = trace->phase == PHASE_ZERO;
        while (trace->next_series < trace->targets.count) {
            struct series *series = &trace->series[trace->next_series++];
            __int128 wide = (__int128)series->counted * US_PER_S / bucket_us;
            int64_t rate = wide > TRACE_MHZ_MAX ? TRACE_MHZ_MAX : (int64_t)wide;
            series->counted = 0;
            if (rate == series->rate)
                continue;
            series->rate = rate;
            int64_t at_us = added(trace->bucket_at_us, zero ? bucket_us : 0);
            *row = (struct trace_row){.at_us = lay(trace, at_us),
                                      .kind = TRACE_CALLS,
                                      .workload = trace->targets.texts[trace->next_series - 1],
                                      .series = trace->next_series - 1,
                                      .value = rate,
                                      .line = trace->last_line};
            return true;
        }
        trace->phase = trace->zero_after ? PHASE_ZERO : PHASE_READ;
        trace->zero_after = false;
        trace->next_series = 0;
        if (trace->phase == PHASE_READ)
            break;
    }
    trace->in_bucket = false;
    return false;
}

static int64_t bucket_of(const struct trace *trace, int64_t at_us)
{
    int64_t past_us = at_us % trace->options.bucket_us;
    return at_us - (past_us < 0 ? past_us + trace->options.bucket_us : past_us);
}

static int64_t lay(struct trace *trace, int64_t at_us)
{
    if (at_us < trace->from_us)
        at_us = trace->from_us;
    if (!trace->laid)
        return at_us;
    __int128 far = ((__int128)at_us - trace->anchor_us) * trace->options.stretch_ppm / TRACE_PPM +
                   trace->options.origin_us;
    return far > INT64_MAX ? INT64_MAX : far < INT64_MIN + 1 ? INT64_MIN + 1 : (int64_t)far;
}

static int64_t added(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX / 2 : INT64_MIN / 2;
    return sum;
}
