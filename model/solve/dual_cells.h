/*
 * dual_cells: prices of grids whose apps are dear to add up, over few cells of each part.
 *
 * To eliminate a part of a call graph at 63 sites takes 63^3 additions, and a climb asks hundreds
 * of times. But near good prices an app has few sites that it might ever choose. So the climb goes
 * over a smaller grid that has the best cells of each linked part only, and one sweep over all
 * cells then says what the prices prove and which cells were missed: those join, and the climb goes
 * on from there. The smaller grid has fewer assignments, so its dual is at least the whole one's:
 * when both agree, the prices are the best there are. The bound is always that of the whole grid.
 */
#pragma once

#include "model/solve/dual_internal.h"
#include "model/solve/dual_tree.h"

/* Whether a sweep over all cells is dear enough. */
bool dual_cells_pay(const struct dual *dual);
/* In place of dual_climb. */
int dual_cells_climb(struct dual *dual, const struct dual_options *options,
                     struct dual_result *result, struct error *err) WARN_UNUSED;

/* The grid of the `count` cells of each linked part that come nearest to an app's best at prices
 * [row], and ret_cell_of[its cell], which it is in the whole grid. False: no memory, or some app
 * has no assignment. */
bool dual_cells_few(struct dual *dual, const double *price, int count, struct arena *arena,
                    struct grid *ret_few, int **ret_cell_of) WARN_UNUSED;

/* After dual_app_choose: lowers near_cost[cell of the grid] to by how much the app's best
 * assignment that was found with the cell is dearer than its best of all. */
void dual_cells_keep(struct dual_app_run *run, double *near_cost);
