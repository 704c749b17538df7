/*
 * primal_bound: the bound that sites filled with whole parts prove, for loose parts.
 *
 * The dual's prices let parts be divided among sites. Here each part has a worth u instead, and
 * each site takes the whole parts that pay it best: for any worths, no assignment is cheaper than
 *
 *   sum over parts of u  +  sum over sites of min over the sets of cells there that keep the
 *                           site's rows of sum (cost - u)
 *
 * (Lagrangian decomposition: a part may be taken at several sites, or at none). With the dual's
 * prices y, w a cell's cost at them above its part's least, and u that least plus h, it reads
 *
 *   L(y) + sum of h + sum over sites of (sum of what is below zero of w - h  +  M)
 *
 * where M is the least cost of changing what a site takes from there: |w - h| of each cell that
 * goes or comes, and the price of the room that is left. M is found, with a proof, by meeting in
 * the middle (primal_match.h); the worths are climbed by deflected subgradients from half of what
 * a part's second cheapest cell costs more.
 *
 * What is returned is rounded down by more than all that doubles may have lost. It is the engine's
 * own word: the certificate is the prices', which prove L(y). Deterministic on one thread or two;
 * budgets count sets listed. Memory from a part of the arena's limit, freed on return.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

struct primal_bound_options {
    int threads;         /* 0: 1 */
    double sets_max;     /* that all sites list; 0: some seconds */
    const double *price; /* [row] the dual's */
    double bound;        /* that they prove: dual_bound */
    double target;       /* enough to end at; INFINITY: none is */
    solve_progress *progress;
    void *context;
    double best;   /* for progress: the cheapest that is known */
    double *worth; /* [part] filled with u, without the part's base cost; NULL: not asked for */
};

struct primal_bound_result {
    double bound; /* at least the one given */
    double sets;  /* listed */
    int rounds;   /* 0: worth[] is not filled */
};

/* The grid has no links, and has passed grid_check; where a part has two cells at one site nothing
 * is added to the bound given. Fails for lack of memory only. */
int primal_bound_raise(const struct grid *grid, const struct primal_bound_options *options,
                       struct arena *arena, struct primal_bound_result *ret_result,
                       struct error *err) WARN_UNUSED;
