/*
 * cost_focus: a cost_input cut down to one workload and those that have to do with it, for
 * questions about it (cost_candidates, cost_flips, cost_explain) that must not take longer the more
 * workloads there are.
 *
 * It keeps the workload, its family, whom it calls and who calls it, their callers (whose share of
 * the calls decides what an end pays), and whom rules keep it apart from. All sites stay, under
 * their numbers. What is left out takes its room off the capacities, and is in the month to date of
 * the egress meters, so that price tiers are met where they really are. The answers about the
 * workload are those of the whole input, but for the rounding of a meter's charge (a nano-dollar),
 * and its lines of egress are charged what they add to the rest. What is said of the other
 * workloads that are kept means nothing: links of theirs are missing.
 *
 * Memory from the arena; what the input points to must live as long. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct cost_focus {
    struct cost_input input; /* of one app, number 0: its parts are its workloads */
    struct world world;
    struct app what;
    struct cost_app app;
    struct placement *at; /* [workload] */
    int workload;         /* the one that is asked about */
};

/* `at`: of the whole. The focus must not be moved: its input points into it. */
int cost_focus(const struct cost_input *input, const struct placement *at, int app, int workload,
               struct arena *arena, struct cost_focus *ret_focus, struct error *err) WARN_UNUSED;
