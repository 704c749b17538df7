/*
 * dual: prices on capacity, and the lower bound that they prove.
 *
 * For any prices y >= 0 of the rows (site, resource), no assignment of a grid that keeps every
 * row is cheaper than
 *
 *   L(y) = sum over apps of min over the app's assignments (cost + y * demand)  -  y * capacity
 *
 * where an app is a set of parts joined by links. dual_bound computes L(y) in one pass, in double
 * precision with the rounding error subtracted, so that a published y *is* the certificate: the
 * minimum of an app without links is an argmin, of one with links dynamic programming over a tree
 * decomposition; of one whose decomposition is too wide a bound of its own that never exceeds the
 * true minimum. dual_solve looks for the y that makes L(y) largest: a smoothed dual climbed with
 * Newton steps on samples of apps that grow to all of them, then columns in a GLPK master over
 * the few apps that are undecided (the method and its evidence: docs/solver.md).
 *
 * Beside base and links' offsets, which are summed in integers, all that is added is >= 0; so each
 * of the sums is off by its operations' rounding at most, relatively, whatever their order. With S
 * the sum of the minima above the bases B, C the priced capacity, and k the operations of one
 * minimum (resources + 3, and for apps 2 per part and 3 per link), bound = S + B - C - margin:
 *
 *   margin = 1.01 * 2^-53 * ((k + 6) * S + 4 * |B| + 8 * C) + 2^-1022
 *
 * The grid has passed grid_check. Memory: 16 bytes a part, 12 an app, 120 a linked part, and for up
 * to 960 rows of limited sites sixteen (above 400: four) matrices of them; freed on return but for
 * the results. GLPK may abort the process: run it where that may happen (berth-solve).
 *
 * Deterministic: the same grid, options and starting prices give the same bits on one thread or
 * two. Budgets count sweeps over all cells, never seconds.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/grid.h"

/* Says how far it has come, at most a few times a second; returns false to end the work early:
 * what is best so far is then returned. `bound` is proven (-INFINITY: none is yet); `best` is NAN
 * here. */
typedef bool solve_progress(void *context, double bound, double best);

struct dual_options {
    int threads;              /* 0: 1 */
    double sweeps_max;        /* passes over all cells; 0: a sensible number */
    double work_max;          /* additions of all sweeps, of linked parts; 0: no limit. One sweep
                                 is always done */
    double gap;               /* stop when the dual is this close to its best, relative; 0: 1e-9 */
    const double *start;      /* [site * resources + r], yesterday's prices; NULL: none */
    solve_progress *progress; /* may be NULL */
    void *context;
};

struct dual_result {
    bool possible; /* false: some part, or app, has no assignment left even without capacity */
    int part;      /* of such an app; else -1 */
    bool fits;     /* false: the bound exceeds what any assignment costs: none keeps the rows */
    double bound;  /* L(price), proven */
    double *price; /* [site * resources + r] >= 0 */
    int *choice;   /* [part] the minimiser of L at `price`: cheap, need not keep capacity */
    double sweeps; /* spent */
    int undecided; /* apps that the last master's optimum divides between assignments */
};

int dual_solve(const struct grid *grid, const struct dual_options *options, struct arena *arena,
               struct dual_result *ret_result, struct error *err) WARN_UNUSED;

/* L(price) and, unless choice is NULL, a minimiser; INFINITY: some app has no assignment. Prices
 * below zero, or above 1e100, are an error. */
int dual_bound(const struct grid *grid, const double *price, int threads, struct arena *arena,
               int *choice, double *ret_bound, struct error *err) WARN_UNUSED;
