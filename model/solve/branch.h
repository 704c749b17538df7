/*
 * branch: a small grid to a proven optimum: depth-first branch and bound on a network of costs.
 *
 * The network holds one table per part and per link, in integers. Cost is moved between tables
 * without changing the cost of any assignment (sequential reweighted message passing: Kolmogorov,
 * 2015), so that as much as possible ends in one constant: a lower bound. A cell is closed when the
 * constant and its own cost reach the best known; a part with one cell left is folded into its
 * neighbours. Capacities take part in two ways: their prices (from dual.h) are in the tables, and a
 * cell that no longer fits what its row has left is closed.
 *
 * Costs are multiplied by BRANCH_SCALE, so that dividing them loses little; they are whole
 * multiples of their common divisor, so a bound is rounded up to the next one.
 *
 * Deterministic: the budget counts additions. Memory is a copy of the tables per level. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

#define BRANCH_SCALE 1024

struct branch_options {
    int64_t work_max;    /* additions; 0: no limit */
    bool lifted;         /* where parts are few, every pair has a table, and room a price by pairs:
                            a better bound at every node, and a dearer node */
    const double *price; /* [site * resources + r] >= 0, or NULL */
    const int *start;    /* an assignment that keeps everything, or NULL */
    solve_progress *progress;
    void *context;
};

struct branch_result {
    bool proven;   /* choice[] is an optimum; or, without `found`, there is no assignment */
    bool found;    /* choice[] keeps everything */
    int64_t cost;  /* grid_cost_of it */
    int64_t bound; /* no assignment that keeps everything is cheaper */
    int *choice;   /* [part] */
    int64_t nodes;
    int64_t work; /* additions spent */
};

/* Whether `lifted` does anything: capacities, and few enough parts. */
bool branch_can_lift(const struct grid *grid);

/* ERR_LIMIT when the tables of a grid this size do not fit the arena, or its costs times
 * BRANCH_SCALE do not fit 62 bits. */
int branch_solve(const struct grid *grid, const struct branch_options *options, struct arena *arena,
                 struct branch_result *ret_result, struct error *err) WARN_UNUSED;
