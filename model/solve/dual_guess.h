/*
 * dual_guess: where the prices of a grid are likely to be, from those of one that differs in costs.
 *
 * Good prices make the sites that are full about as dear as each other. So what a change of costs
 * adds to the cells of a site, as far as it goes with demand (least squares over the cells; what
 * links add is taken where things are), is taken off that site's prices; then all sites' prices are
 * shifted together until the dearest that is still needed costs nothing, as in the solved grid. A
 * guess, and quick: one pass over the cells.
 *
 * One thread; memory from the arena when it is made, none afterwards.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual_internal.h"

struct dual_guess;

/* `price` ([site * resources + r]): those of `base`; both live as long. */
int dual_guess_create(const struct grid *base, const double *price, struct arena *arena,
                      struct dual_guess **ret_guess, struct error *err) WARN_UNUSED;

/* Fills ret_price with numbers >= 0, 0 where a row has no limit. The grid has the base's structure.
 */
void dual_guess_run(struct dual_guess *guess, const struct grid *grid, double *ret_price);
