/*
 * run: one cell of a scenario from its first hour to its last: the virtual world, the load, the
 * events, and the books: what it cost, what was promised and missed, beside the lower bound.
 *
 * Fluid: within a step rates are constant; a piece of a step in which an app stays where it is is
 * charged at once, by the cost model's own lines at the true rates. A piece of all apps ends only
 * with the step, an event or another bound, and where egress has tiers: there what one app sends
 * changes what another one pays. What a move costs once (state moved, both copies running) is added
 * when it is decided. The production ledger's rows are made beside, from the instances that really
 * ran, second by second.
 *
 * The lower bound is, step by step, the solver's bound on the score of any placement at that step's
 * true rates and with the machines that there are: of somebody who knows everything in advance and
 * moves for nothing. Nobody can be below it.
 *
 * The run hash is over everything that a run tells and the core's state at its end: equal for equal
 * scenarios and seeds, on any number of processes. Figures leave through the sink as they are
 * known, so that a run's memory does not grow with its length but for the ledger. One thread.
 */
#pragma once

#include "scheduler/ledger/ledger.h"
#include "simulator/world/plant.h"

/* Sums over scenario.every, of one app, term and site; amounts of that time. */
struct run_term {
    int64_t at_us;
    const struct app *app;
    enum cost_term term;
    const char *site;
    nusd bill;
    nusd score;
};

/* Sums over scenario.every, of everything. */
struct run_hour {
    int64_t at_us;
    nusd bill;
    nusd score;
    nusd bound;       /* of the part of it for which it is known; see bound_ppm */
    nusd bound_score; /* the score of that same part */
    int64_t bound_ppm;
    int64_t calls;  /* of users */
    int64_t slow;   /* of those, over a link's limit or the scenario's slo */
    int64_t lost;   /* calls of any workload while nothing of it served */
    int64_t rtt_us; /* mean of the users' calls: their way and the calls that they lead to */
};

struct run_move {
    int64_t at_us;
    int64_t took_us;
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    char from[LIMIT_REF_BYTES];
    char to[LIMIT_REF_BYTES];
    const char *reason;
    const char *state; /* "done", "back" */
    nusd once;         /* of what was decided at that instant for that workload's app together */
    char text[LIMIT_TEXT_BYTES];
};

/* Of a span of single requests, who called what: users, or a workload of which one call leads to
 * several. Latencies are of the whole way, with what it leads to. */
struct run_requests {
    int64_t at_us;
    int64_t for_us;
    const struct app *app;
    const char *from;     /* a segment of users, or a workload */
    const char *workload; /* that is called */
    uint64_t offered;
    uint64_t completed;
    uint64_t rejected; /* no room, and nowhere else to go */
    uint64_t under_way;
    uint64_t carried; /* under way when the counting began */
    uint64_t bytes;   /* between sites, for all that they lead to */
    int64_t p50_us;
    int64_t p95_us;
    int64_t p99_us;
};

/* ... and a workload at a site. */
struct run_station {
    int64_t at_us;
    const struct app *app;
    const char *workload;
    const char *site;
    bool overflow;
    int servers; /* 0: as many as come */
    uint64_t arrived;
    uint64_t served;
    uint64_t refused;
    uint64_t hits; /* of its cache; both 0: it has none */
    uint64_t misses;
    int64_t share_ppm; /* of the workload's calls that were taken, anywhere */
    int64_t half_ppm;  /* of its 95 % confidence interval */
    int64_t busy_ppm;  /* of its servers; -1: as many as come */
    int64_t wait_us;   /* mean of those taken */
    int64_t wait_p99_us;
};

struct run_sink {
    void *context;
    /* Each may be NULL; non-zero ends the run with it. */
    int (*term)(void *context, const struct run_term *term, struct error *err);
    int (*hour)(void *context, const struct run_hour *hour, struct error *err);
    int (*move)(void *context, const struct run_move *move, struct error *err);
    int (*row)(void *context, const struct ledger_row *row, struct error *err); /* at the end */
    int (*requests)(void *context, const struct run_requests *requests, struct error *err);
    int (*station)(void *context, const struct run_station *station, struct error *err);
    void *progress_context;
    void (*progress)(void *context, int64_t done_steps, int64_t steps);
};

struct run_result {
    nusd bill; /* of the whole time, moves included */
    nusd score;
    nusd bill_term[TERM_COUNT];
    nusd score_term[TERM_COUNT];
    nusd bound;
    nusd bound_score;
    int64_t bound_ppm; /* of the time for which it is known */
    nusd ledger;       /* what the production ledger's rows add up to */
    int64_t moves;     /* handoffs that ended at the new place */
    int64_t moves_back;
    nusd moves_bill;
    int64_t calls;
    int64_t slow;
    int64_t lost;
    int64_t down_us; /* workload-time without a serving copy */
    int64_t rtt_us;
    int64_t steps;
    struct plant_counts counts;
    uint64_t hash;
    char notes[4 * LIMIT_TEXT_BYTES * 4];
};

int run_simulate(const struct scenario *scenario, const struct scenario_cell *cell,
                 struct solver *solver, const struct run_sink *sink, struct run_result *ret_result,
                 struct error *err) WARN_UNUSED;
