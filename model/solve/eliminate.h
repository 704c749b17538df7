/*
 * eliminate: the exact minimum of the tables of reduce.c, component by component, by eliminating
 * one part after the other (dynamic programming over a tree decomposition). Apps are nearly trees:
 * what one costs is a few thousand additions, a thousand of them a few milliseconds.
 *
 * What couples components is left out: capacity rules, and the residuals of active meters. Prices
 * on both can stand in for them (Lagrange): a price per byte of an active meter, and one per unit
 * of a capacity rule's resource. The minimum is then a lower bound on everything that keeps the
 * rules, rounded down. Apart rules of few parts are kept like pair rules; larger ones are left out.
 *
 * The structure is made once, for the cells open at that time; each run fills it anew. Among equals
 * a part stays where it is. Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/reduce.h"

struct eliminate;

struct eliminate_prices {
    const double *meter;    /* [active meter]: nano-dollars per byte, beside what the tables hold */
    const double *capacity; /* [rule]: nano-dollars per unit, >= 0; of capacity rules */
};

/* *ret_eliminate is NULL when the parts are linked too densely, or amounts are too large, for this.
 */
int eliminate_create(const struct reduced *reduced, struct arena *arena,
                     struct eliminate **ret_eliminate, struct error *err) WARN_UNUSED;

/* Additions that one run takes, about: what budgets are counted in. */
int64_t eliminate_work(const struct eliminate *eliminate);

/* Fills choice[part] with a minimum and *ret_least with its sum, reduced->constant included and
 * rounded down; false when no assignment keeps the rules on parts and pairs. `prices` NULL: none.
 */
bool eliminate_run(struct eliminate *eliminate, const struct eliminate_prices *prices, int *choice,
                   int64_t *ret_least);
