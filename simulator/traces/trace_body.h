/* trace_body: what trace.c (files, formats, names) and trace_rows.c (the stream) share of a trace.
 */
#pragma once

#include "simulator/traces/names.h"
#include "simulator/traces/trace_internal.h"

#define TRACE_PPM INT64_C(1000000)

/* What is known of one name of the file: the last rate it told, part of its series' sum. */
struct source {
    int series;
    int64_t last;
};

/* What goes out under one name. */
struct series {
    int64_t sum;     /* of its sources' rates; of living ones */
    int64_t counted; /* in the bucket, thousandths */
    int64_t rate;    /* as last told, of counts */
};

enum phase { PHASE_READ, PHASE_FLUSH, PHASE_ZERO };

struct trace {
    struct trace_options options;
    const char *const *paths; /* NULL: one text */
    int path_count;
    int path_index;
    struct lines *lines;
    char *first; /* a line that begin did not take */
    const struct trace_format *format;
    void *state;
    bool database;
    int64_t from_us;
    int64_t to_us;
    int64_t anchor_us;
    bool laid; /* times are moved so that anchor_us comes at the origin */
    bool anchored;
    struct names names;
    struct names targets;
    struct source *sources; /* [name] */
    struct series *series;  /* [target] */
    int source_room;
    int series_room;
    struct trace_raw held;
    bool has_held;
    bool ended;
    bool any;
    bool counts_calls; /* rows are counts */
    enum phase phase;
    int next_series;
    int64_t bucket_at_us;
    bool in_bucket;
    bool zero_after; /* the bucket after this one is empty, and that is no gap that holds */
    bool quiet;      /* a gap began at quiet_us that counts as no calls */
    bool gap_before; /* the held row comes after a gap */
    int64_t quiet_us;
    int64_t last_us; /* in the trace's own time */
    int64_t last_line;
    struct trace_counts counts;
};

/* The next of its files: 1; 0: there is none. */
int trace_next_file(struct trace *trace, struct error *err);
