/*
 * couple: problems that fall apart but for what couples them: meters with tiers, and capacities.
 *
 * Apps are independent of each other where no capacity binds and no tier's border is in play, and
 * even then one number per meter and capacity is all that passes between them. eliminate.c solves
 * the apps exactly for given prices. Here, branch and bound over the tiers that each meter's total
 * may end in gives the prices of meters, and a subgradient method those of capacities. The answer
 * is optimal when the bound meets a placement that keeps every rule; else it is a good start, and a
 * bound, for what search.c and mip.c do.
 *
 * Deterministic: the budget counts additions. Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/eliminate.h"
#include "model/solve/search.h"
#include "model/solve/watch.h"

struct couple_result {
    bool possible; /* false: no assignment keeps even the rules on parts and pairs */
    bool found;    /* choice[] keeps every rule */
    int64_t cost;  /* of it */
    int64_t bound; /* no assignment that keeps the rules is cheaper */
    int64_t nodes;
};

struct couple_options {
    int64_t work_max; /* additions */
    double gap;       /* relative; good enough to stop at */
    bool roughly;     /* whoever asks finds prices of capacities by better means */
    struct watch *watch;
};

/* `choice`: an incumbent when have_choice. Stops when cost and bound are within solve_tolerance or
 * the gap, when its work is spent, or when the watch ends it. */
int couple_solve(const struct reduced *reduced, struct eliminate *eliminate, struct search *search,
                 const struct couple_options *options, struct arena *arena, bool have_choice,
                 int *choice, struct couple_result *ret_result, struct error *err) WARN_UNUSED;
