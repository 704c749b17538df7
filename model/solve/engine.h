/*
 * engine: one entry point for grids of any size: prices and a bound, a search, and a proof where
 * the size allows one.
 *
 *   0. A few linked parts whose cost falls apart by site: subsets.h, which proves them; prices are
 *      then only looked for as far as they cost next to nothing.
 *   1. dual.h: prices on capacity and the lower bound that they prove. An app whose graph is narrow
 *      is minimised exactly for given prices, so a grid without binding capacity is done here.
 *      Where parts or sites are alike, classes.h finds both, and a placement, from counts of them.
 *   2. primal.h: a cheap assignment that keeps every rule, found from the prices.
 *   3. What is still open and small: branch and bound (branch.h) where parts are linked, GLPK on
 *      the cells that reduced costs leave (solve.h) where they are not; a better bound from whole
 *      parts (primal_bound.h) where that is too much.
 *
 * The prices come with every answer: they are the certificate (dual_bound re-evaluates it, and
 * berth verify-plan with code of its own). Deterministic for the same grid and options, on one
 * thread or two. Memory from the arena; GLPK may abort the process.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/problem.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

struct engine_options {
    int threads; /* 0: 1 */
    uint64_t seed;
    double gap;          /* relative; good enough to stop at. 0: as far as the budgets reach */
    double moves_max;    /* of the search, per part; 0: a sensible number */
    int64_t work_max;    /* of branch and bound, in additions; 0: some seconds */
    const double *price; /* [site * resources + r] to start from; NULL: none */
    const int *start;    /* [part] an assignment to start from; NULL: the grid's current */
    solve_progress *progress;
    void *context;
};

struct engine_result {
    enum solve_status status;
    int part;      /* INFEASIBLE: a part that has no assignment, where that is why; else -1 */
    int *choice;   /* [part]; with OPTIMAL and FEASIBLE */
    int64_t cost;  /* grid_cost_of it */
    double bound;  /* no assignment that keeps everything is cheaper */
    double *price; /* [site * resources + r]: dual_bound of them is bound_priced */
    double bound_priced;
    double gap; /* (cost - bound) / |cost|, >= 0 */
    int64_t nodes;
};

/* Fails only for lack of memory and for a grid that grid_check refuses. */
int engine_solve(const struct grid *grid, const struct engine_options *options, struct arena *arena,
                 struct engine_result *ret_result, struct error *err) WARN_UNUSED;
