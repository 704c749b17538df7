/*
 * plan_check: every plan that a test or a benchmark gets goes through here.
 *
 * A problem's plan is put to model/verify.h: every rule, the cost, and what its prices prove. A
 * grid's is added up by code of its own, so that no function of the solver judges the solver; the
 * bound of its prices is evaluated anew, of linked parts by verify.h where the grid is small enough
 * to be written out in full.
 *
 * Each returns false with the reason. Memory of its own, freed on return. Any thread.
 */
#pragma once

#include <stdbool.h>

#include "base/limits.h"
#include "model/problem.h"
#include "model/solve/grid.h"

#define PLAN_WHY_BYTES 512

/* Any answer: one without a placement must have none, one that is NONE must say why. */
bool plan_check_problem(const struct problem *problem, const struct solution *solution,
                        char why[PLAN_WHY_BYTES]) WARN_UNUSED;

struct plan_claim {
    const int *choice;
    int64_t cost;
    double bound;        /* what the answer states */
    const double *price; /* NULL: none */
    double bound_priced; /* what it says that its prices prove */
};

bool plan_check_grid(const struct grid *grid, const struct plan_claim *claim,
                     char why[PLAN_WHY_BYTES]) WARN_UNUSED;
