/*
 * load_internal: what load.c (shapes, and what a step comes to) and load_trace.c (recorded load)
 * share.
 *
 * A trace's names are resolved once, each to a slot of its reader: what the load is of (slot 0), a
 * part, the users of one region as they call a part, or all that the users of one region call.
 */
#pragma once

#include "base/arena.h"
#include "simulator/traces/trace.h"
#include "simulator/world/load.h"

#define LOAD_CALLS_MAX   (INT64_MAX / (4 * PPM)) /* so that a scaled rate stays a number */
#define LOAD_NOTES_MAX   16
#define LOAD_NOTES_BYTES (LOAD_NOTES_MAX * 2 * LIMIT_TEXT_BYTES)

/* What one load of the scenario means, and where its chances stand. */
struct source {
    const struct scenario_load *what;
    int app;           /* -1: all */
    int workload;      /* -1: all that users call */
    int64_t base_mhz;  /* what the documents say; of an app, what its users call */
    int64_t ratio_ppm; /* of the present step */
    int64_t burst_from_us;
    int64_t burst_index;
    int reader; /* of load.readers; -1: no trace */
};

/* The rate that a trace tells of a slot. */
struct traced {
    int app;
    int part;     /* -1: all that its users call */
    int segment;  /* -1: not of one region's users */
    int64_t line; /* where it was named first; 0: not yet */
    const char *name;
    int64_t mhz; /* -1: not told yet */
    int64_t since_us;
    __int128 area;    /* of the step so far, mhz x us */
    int64_t mean_mhz; /* of the last whole step */
};

/* One trace, whoever uses it. */
struct reader_of {
    const char *file; /* the first, for messages */
    const struct scenario_trace *how;
    const char **paths;
    struct trace *trace;
    int source;   /* whose rows without a workload are */
    bool named;   /* rows name workloads */
    bool regions; /* rows name users */
    bool told;    /* it had a row of calls */
    bool ended;
    bool has_row; /* `row` is ahead of the time */
    struct trace_row row;
    struct traced *slots; /* [load_slots]: own, parts, users of parts, users of apps */
    int *slot_of;         /* [series]: its slot; -1: not known yet */
    int slot_of_room;
    int64_t gap_us;  /* what is a gap, on the run's clock */
    int64_t step_us; /* the present step's beginning */
};

struct load {
    struct arena arena;
    const struct app *apps;
    int app_count;
    int part_count;
    int segment_count;
    int *first;               /* [app]: its first part */
    int *first_segment;       /* [app] */
    int64_t *prior_mhz;       /* [part] */
    int64_t *factor_ppm;      /* [part] of the step */
    int64_t *calls_mhz;       /* [part] */
    int64_t *traced_mhz;      /* [part] of the step; -1: no trace tells it */
    int *own;                 /* [part]: its source, -1 */
    int *of_app;              /* [app]: its users' source, -1 */
    struct load_users *users; /* [users]: pairs of users and a part that they call */
    int users_count;
    int *first_users; /* [app], and one more */
    struct source sources[SCENARIO_LOADS];
    int source_count;
    struct reader_of *readers;
    int reader_count;
    uint64_t seed;
    int64_t from_us;
    int64_t until_us;
    int64_t step_us;
    uint64_t steps;
    char notes[LOAD_NOTES_BYTES];
    int note_count;
};

int64_t load_scaled(int64_t value, int64_t ppm);

/* ---- load_trace.c ---- */

/* The trace of one of the sources: opened, or one that is open already. */
int load_trace_open(struct load *load, const struct scenario *scenario,
                    const struct scenario_cell *cell, int source, struct error *err) WARN_UNUSED;
void load_trace_close(struct load *load);
/* All rows of all traces before the step's end; then traced_mhz and what users are told to call. */
int load_trace_step(struct load *load, int64_t at_us, int64_t length_us,
                    struct error *err) WARN_UNUSED;
/* The slot of a part. */
struct traced *load_trace_part(const struct reader_of *reader, int part);
