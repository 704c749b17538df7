/*
 * dual_follow: the prices of a grid that differs in its costs from one that is solved already.
 *
 * How loads answer to prices hardly changes with the costs. So the curvature is measured once, at
 * the solved grid's prices; from them a few Newton steps with that curvature, corrected by what
 * each step teaches (the method known as BFGS), find the prices of another grid. They begin at the
 * solved grid's prices or where dual_guess.h expects the new ones, whichever proves more; a step
 * that goes too far is made again in part. Every step is one exact sweep and thereby a proven
 * bound; nothing is planned, sampled or allocated anew.
 *
 * One thread; the same grid gives the same bits whatever was followed before. Grids: the one that
 * was solved, and any whose costs (of cells, links and tables, and bases) and capacities alone are
 * others. Memory as for dual_solve, from the dual's own arena.
 */
#pragma once

#include "model/solve/dual.h"
#include "model/solve/dual_tree.h"

struct dual_follow;

/* `price`: those of `base`, which has passed grid_check and lives as long. */
int dual_follow_create(const struct grid *base, const double *price, struct arena *arena,
                       struct dual_follow **ret_follow, struct error *err) WARN_UNUSED;
void dual_follow_destroy(struct dual_follow *follow); /* NULL is accepted */

/* Whether the grid has the base's structure, and limits no row that no price was kept for. */
bool dual_follow_fits(const struct dual_follow *follow, const struct grid *grid);

struct dual_followed {
    bool possible;       /* false: some app has no assignment at all */
    double bound;        /* L(price), proven */
    const double *price; /* [site * resources + r]; these live until the next run */
    const int *choice;   /* [part] the minimiser there; ties are won by grid->current */
    const int64_t *load; /* [row] of it */
    int sweeps;
};

/* Ends when another step promises less than `gap` of the bound, or when the bound is `enough`. The
 * grid fits, and has passed grid_check. */
void dual_follow_run(struct dual_follow *follow, const struct grid *grid, double gap, double enough,
                     struct dual_followed *ret_followed);

/* The dual with the last run's grid and prices in it: for whoever asks what else comes near. */
struct dual *dual_follow_dual(struct dual_follow *follow);
