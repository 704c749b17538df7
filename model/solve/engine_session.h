/*
 * engine_session: one fleet under many prices.
 *
 * A session is opened on a grid, the base, and answers grids of the same structure: the same parts,
 * cells, demands, links between parts and shapes of tables; costs (of cells, links and tables,
 * bases) and capacities may be others. So "what if this region were a third dearer", a thousand
 * times over, or the next prices of the fleet that runs now.
 *
 *   1. Prices (dual_follow.h): from the base's a few exact sweeps lead to the scenario's, each
 *      a proven bound. Nothing is planned or allocated anew.
 *   2. What is there stays: the base's placement is the answer when it is as near to the new bound
 *      as `gap`, or as it was to its own when it was found. Zero change, zero moves.
 *   3. Placement (dual_alts.h, refit.h): apps whose place costs next to nothing more than their
 *      best stay; the others go to their best; then the few changes are made that fit it into the
 *      capacities.
 *   4. An answer worse than `gap_poor`, or none, is left to the engine (engine.h) as a grid of its
 *      own that starts from these prices and this placement, until it is no worse. `cold` counts
 *      them.
 *
 * So every answer is as the engine's: an assignment that keeps every rule, judged in integers, and
 * a bound that dual_bound confirms from the prices. An answer depends on the base, the options and
 * the grid alone: not on what was asked before, nor on the number of threads.
 *
 * Memory: per thread about 100 bytes a part and cells of the largest app, some MB. The base and the
 * arrays of a scenario that the base has too belong to the caller and do not change while the
 * session lives. One thread calls; engine_session_run starts its own. GLPK may abort the process.
 */
#pragma once

#include "model/solve/engine.h"

struct engine_session;

struct engine_session_options {
    int threads; /* 0: 1; of engine_session_run, and of the engine where it is asked */
    uint64_t seed;
    double gap;          /* relative; good enough to stop at. 0: 5e-4 */
    double gap_poor;     /* worse is left to the engine. 0: ten times the gap */
    double moves_max;    /* of the engine's searches, per part; 0: a sensible number */
    double trials;       /* changes tried in fitting a scenario; 0: a sensible number */
    const double *price; /* of the base, with `start` its placement; NULL: the session solves it */
    const int *start;
    solve_progress *progress; /* of ordinary solves by the engine: false ends them. NULL: none */
    void *context;
};

/* Fails for lack of memory, for a grid that grid_check refuses, and with ERR_NOT_FOUND for one
 * without a placement. */
int engine_session_create(const struct grid *base, const struct engine_session_options *options,
                          struct engine_session **ret_session, struct error *err) WARN_UNUSED;
void engine_session_destroy(struct engine_session *session); /* NULL is accepted */
/* Of the base; lives as long as the session. */
const struct engine_result *engine_session_base(const struct engine_session *session);

/* One scenario; the result's arrays are in the arena. */
int engine_session_solve(struct engine_session *session, const struct grid *grid,
                         struct arena *arena, struct engine_result *ret_result,
                         struct error *err) WARN_UNUSED;

struct engine_scenarios {
    int count;
    /* Makes scenario `index` in *grid, which holds the base: sets what is other, in buffers of its
     * own per worker (0 to threads - 1), which are used again for the next one. Called from
     * several threads, in no order, and once more for a scenario that is left to the engine. */
    int (*make)(void *context, int index, int worker, struct grid *grid, struct error *err);
    /* Is told the answer; its arrays live until this returns. Called from several threads. */
    void (*take)(void *context, int index, int worker, const struct grid *grid,
                 const struct engine_result *result);
    void *context;
};
/* All of them. Ends at the first error of `make`, and of its own. */
int engine_session_run(struct engine_session *session, const struct engine_scenarios *scenarios,
                       struct error *err) WARN_UNUSED;

struct engine_session_counts {
    int64_t kept;   /* answered by the base's placement */
    int64_t fitted; /* by what the session found */
    int64_t cold;   /* by the engine */
    int64_t sweeps; /* exact ones */
};
struct engine_session_counts engine_session_counts(const struct engine_session *session);
