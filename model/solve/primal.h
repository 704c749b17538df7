/*
 * primal: a cheap assignment that keeps every rule, found from the prices of the dual.
 *
 * Works on reduced costs (cost + price * demand): what an assignment pays above the bound is the
 * sum over parts of the reduced cost above the part's least, plus the priced capacity left
 * unfilled; so the search moves parts, swaps pairs and ejects chains where that sum falls, with a
 * penalty on overloaded rows that grows until it is a wall, then settles small groups of parts by
 * exact search. Starts from `start`, from where things are now, or from the dual's choice.
 *
 * Deterministic: budgets count moves; the seed gives the random numbers; on one thread or two the
 * same bits. Ties are won by the present placement.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

struct primal_options {
    int threads; /* 0: 1 */
    uint64_t seed;
    double moves_max; /* moves tried per part; 0: a sensible number */
    double gap;       /* stop when (cost - bound) / |bound| is this small; 0: never early */
    const int *start; /* [part] cells; NULL: the grid's current, then the dual's choice */
    solve_progress *progress;
    void *context;
};

struct primal_result {
    bool found;   /* an assignment that keeps everything */
    int64_t cost; /* grid_cost_of it */
    int *choice;  /* [part] */
    int64_t over; /* when not found: rows over capacity of the best one seen */
    double moves; /* tried */
};

int primal_solve(const struct grid *grid, const struct dual_result *dual,
                 const struct primal_options *options, struct arena *arena,
                 struct primal_result *ret_result, struct error *err) WARN_UNUSED;
