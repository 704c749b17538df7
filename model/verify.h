/*
 * verify: whether a plan is what it says, checked by code that shares nothing with the solver.
 *
 * A plan comes with prices: one per capacity rule (what a unit of that site's resource is worth)
 * and one per meter (what a byte on it costs). For any prices >= 0 of capacities and any of meters,
 *
 *   bound = sum over meters of  least of (charge(v) - price * v) over the volumes v it can have
 *         + least over assignments of (costs + prices * bytes + prices * demands)
 *         - sum over capacity rules of price * capacity
 *
 * is at most the cost of every assignment that keeps the rules (weak duality). So the prices are
 * the proof: here they are put in, in double precision, with what rounding may have added taken
 * off. The least over assignments is found by eliminating one part after the other; where parts are
 * linked so densely that a table would pass VERIFY_CELLS, a bucket is divided (mini-buckets:
 * Dechter and Rish, 2003), which can only lower the bound. Apart rules of up to VERIFY_APART parts
 * count as rules on pairs; a larger one is left out, which can only lower the bound too.
 *
 * Prices of tiers fall with volume, and one price per byte proves little over all volumes that a
 * meter can have. So the volumes are divided at the ends of tiers into cases, each with the price
 * of its own chord (verify_meters.h), the one that proves least first, until all prove the cost
 * or VERIFY_CASES are reached: every assignment is in one of the cases, and the least of their
 * bounds holds for all. Those prices are the verifier's own; a certificate need not carry them.
 *
 * Memory from the arena; one thread.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"

#define VERIFY_CELLS ((size_t)1 << 22)
#define VERIFY_APART 64
#define VERIFY_CASES 256
#define VERIFY_WIDTH 24 /* parts of one table, beside the one that is eliminated */

struct verdict {
    int broken;   /* the first rule that the assignment breaks, or -1: it is feasible */
    double cost;  /* nano-dollars per month */
    double slack; /* how far the exact cost may be from it, for the rounding of meters */
    double bound; /* no assignment that keeps the rules is cheaper; -INFINITY: nothing is proven */
    double gap;   /* (cost - bound) / |cost|; 0 when both are 0 */
    bool divided; /* a bucket was divided: the true bound of these prices is higher */
};

/* ERR_INVALID for a choice, a price or a claim that cannot be; ERR_NO_MEMORY. `price` [rule] and
 * `meter_price` [meter] may be NULL: zeros. */
int verify_plan(const struct problem *problem, const int *choice, const double *price,
                const double *meter_price, struct arena *arena, struct verdict *ret_verdict,
                struct error *err) WARN_UNUSED;

/* The plan alone: rules and cost, in one pass over the problem; `bound` is -INFINITY. Every answer
 * of a worker goes through it (solver.c). */
int verify_choice(const struct problem *problem, const int *choice, struct arena *arena,
                  struct verdict *ret_verdict, struct error *err) WARN_UNUSED;
