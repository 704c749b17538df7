/*
 * certify: the prices that come with a solution and prove its bound, or most of it (verify.h).
 *
 * A bound that branch and bound has proven is above what prices prove wherever capacities leave
 * whole parts no way to be divided; the difference is what the reader of a certificate has to take
 * the solver's word for.
 */
#pragma once

#include "model/solve/reduce.h"
#include "model/solve/shape.h"
#include "model/solve/watch.h"

/* Fills the solution's price and meter_price; `price` ([rule]) are those that the engine has found
 * on its way, or NULL: they are looked for. A problem whose capacities have no prices (one below
 * zero, amounts too large) gets those of its meters alone. ERR_NO_MEMORY. */
int solve_certify(const struct reduced *reduced, double *price, struct watch *watch,
                  struct arena *arena, struct solution *solution, struct error *err) WARN_UNUSED;

/* Prices of the rows of a grid as those of the problem's rules ([rule], zeros before). */
void solve_prices_of(const struct shape *shape, const double *row_price, double *price);
