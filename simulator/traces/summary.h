/*
 * summary: what is in a trace: how much of whom, since when, and where nothing was recorded.
 *
 * One pass, in flat memory: a line for each workload and kind of value (of calls between two, for
 * each quantile). Means of calls are by time, up to the last row; of other values by row. One
 * thread.
 */
#pragma once

#include "simulator/traces/trace.h"

struct summary_line {
    const char *workload; /* "": none is named */
    char peer[TRACE_NAME_BYTES];
    enum trace_kind kind;
    int64_t quantile_ppm;
    int64_t rows;
    int64_t least;
    int64_t most;
    double mean;
    /* While it is made. */
    int64_t since_us;
    int64_t last;
    int64_t first_us;
    double sum;
};

struct summary {
    struct trace *trace; /* closed by summary_done */
    struct summary_line *lines;
    int count;
    int64_t usual_us; /* the distance between instants, in the median; 0: there is but one */
    int64_t
        gap_us; /* more than that is called a gap: ten times as much; 0: of arrivals nothing is */
    int64_t gaps;
};

/* Takes the trace and reads all of it. `gap_us` 0: ten times the usual distance. */
int summary_make(struct trace *trace, int64_t gap_us, struct summary *ret_summary,
                 struct error *err) WARN_UNUSED;
void summary_done(struct summary *summary);
