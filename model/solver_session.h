/*
 * solver_session: one problem under many prices, answered by warm workers.
 *
 * A session is opened on a base problem. Scenarios of the same structure (problem_delta.h: costs,
 * bytes on meters, tiers and capacities may be others) are sent by what differs and answered from
 * the base's prices and placement; a large one takes milliseconds where a solve takes
 * seconds. Any other scenario (a workload or a site more, other demands or rules) is sent whole
 * and solved as any problem, from the base's placement where it fits. The caller need not know
 * which: an answer is what solver.h gives, judged alike.
 *
 *   - Small problems are solved exactly each time, with the base's placement as first incumbent.
 *   - Larger ones go through the engine's session (solve/engine_session.h) as a grid. A grid has
 *     no tiers that bind: it knows a line below each meter's charge; and no rules that keep more
 *     than 64 parts apart. The answer is evaluated with both, and what breaks a rule or ends
 *     further than `gap_poor` from its bound is solved as an ordinary problem; but not for what
 *     tiers charge above that line where the base has about as much of it, which none gets rid of.
 *   - The base's placement is the answer where it is good enough: no change, no moves.
 *
 * An answer depends on the base, the options and the scenario alone: not on what was asked before,
 * on how many workers there are, nor on whether one died, unless the time limit ends the work. A
 * worker that dies or lies is replaced, and base and scenario are sent once more, as solver.h says.
 *
 * The pool's workers share the work: each opens the session when its first scenario comes, so each
 * solves the base once. A worker holds one session, some 10 MB for 1,000 parts at 10 sites; two
 * sessions that take turns on one worker open anew each time. The base is copied; a scenario is
 * while it waits. Handlers are called from solver_dispatch, as solver_submit's are. Owner's thread
 * only.
 */
#pragma once

#include "model/solver.h"

struct solver_session;

struct solver_session_options {
    double gap;          /* relative; good enough to stop at. 0: 5e-4 */
    double gap_poor;     /* worse is solved at length. 0: ten times the gap */
    int threads;         /* of a worker, in ordinary solves of large grids. 0: 1 */
    uint64_t seed;       /* 0: 1 */
    int64_t time_max_us; /* of a scenario, and again of the base; 0: none */
    int64_t nodes_max;   /* as struct solve_limits has it */
    /* The base lives as long as the session and does not change: what a scenario shares with it,
     * by pointer, is not compared. Of scenarios that share its choices, and most of its rules,
     * that is a good part of what sending one takes. */
    bool base_lives;
};

/* Fails for a base that no solver takes (no site, too large to send), and for lack of memory.
 * Whether the base has a placement is known when the first scenario is answered: without one every
 * scenario is solved on its own. */
int solver_session_open(struct solver *solver, const struct problem *base,
                        const struct solver_session_options *options,
                        struct solver_session **ret_session, struct error *err) WARN_UNUSED;
/* NULL is accepted. Scenarios that are under way are answered still. Before solver_close. */
void solver_session_close(struct solver_session *session);

/* Sends one and waits; the answer's arrays are in the arena. Other jobs of the pool go on. */
int solver_session_solve(struct solver_session *session, const struct problem *scenario,
                         struct arena *arena, struct solution *ret_solution,
                         struct error *err) WARN_UNUSED;
/* Queues one: for several at once, over all workers of the pool. solver_cancel ends it by `id`. */
int solver_session_submit(struct solver_session *session, uint64_t id,
                          const struct problem *scenario, solver_handler *handler, void *context,
                          struct error *err) WARN_UNUSED;

struct solver_scenarios {
    int count;
    /* Makes scenario `index`; it is copied before this is called again. The arena is the
     * scenario's: it lives until `make` is called again. */
    int (*make)(void *context, int index, struct arena *arena, struct problem *ret_problem,
                struct error *err);
    /* Is told the answer, in no order; its arrays live until this returns. False: enough, what is
     * not sent yet is not asked any more. */
    bool (*take)(void *context, int index, const struct solution *solution);
    void *context;
};

/* All of them, each worker kept busy. Returns when all that were sent are answered; the first
 * error of `make` ends it. Not while other scenarios of this pool wait. */
int solver_session_run(struct solver_session *session, const struct solver_scenarios *scenarios,
                       struct error *err) WARN_UNUSED;

/* Counts by how scenarios were sent. */
struct solver_session_counts {
    int64_t warm;  /* as a delta */
    int64_t whole; /* another structure */
};
struct solver_session_counts solver_session_counts(const struct solver_session *session);
