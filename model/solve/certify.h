/*
 * certify: the prices that come with a solution and prove its bound, or most of it (verify.h).
 *
 * A bound that branch and bound has proven is above what prices prove wherever capacities leave
 * whole parts no way to be divided; the difference is what the reader of a certificate has to take
 * the solver's word for.
 */
#pragma once

#include "model/solve/reduce.h"

/* Fills the solution's price and meter_price. A problem whose capacities have no prices (one below
 * zero, amounts too large) gets those of its meters alone. ERR_NO_MEMORY. */
int solve_certify(const struct reduced *reduced, struct arena *arena, struct solution *solution,
                  struct error *err) WARN_UNUSED;
