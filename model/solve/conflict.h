/*
 * conflict: which rules of a problem cannot hold together, for solve.h. Costs do not matter here.
 *
 * A small problem is asked about whole. In a large one the rules that are to blame are narrowed
 * down first (conflict_narrow.c): those of one part, of the parts that rules on pairs join, or, of
 * capacities, those that prices prove to be too little: prices y >= 0 with
 *
 *   sum over parts of the least y * demand that its rules allow  >  sum of y * capacity
 *
 * leave no placement (Farkas), which is checked in integers. Rules and parts without which the sum
 * is still too large are left out. Then QuickXplain asks about what is left (conflict.c).
 *
 * Memory from the arena; one thread.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"
#include "model/solve/solve.h"

/* Rules that cannot hold together, and parts that need a place for that: both in order. */
struct suspects {
    int *rules;
    int rule_count;
    int *parts;
    int part_count;
    bool priced; /* prices prove it */
};

/* `whole` has no costs. Never more than all rules and parts. */
int conflict_narrow(const struct problem *whole, struct watch *watch, struct arena *arena,
                    struct suspects *ret_suspects, struct error *err) WARN_UNUSED;

/* The suspects as a problem of their own; ret_rule_of[rule] is the whole's. Rules that name parts
 * which are none of them are left out. */
int conflict_restrict(const struct problem *whole, const struct suspects *suspects,
                      struct arena *arena, struct problem *ret_problem, int **ret_rule_of,
                      struct error *err) WARN_UNUSED;

/* Leaves of the suspects what the prices `price` ([rule]) need for the proof above; false when they
 * prove nothing by themselves, part by part. */
int conflict_by_prices(const struct problem *whole, const double *price, struct arena *arena,
                       struct suspects *suspects, bool *ret_proven, struct error *err) WARN_UNUSED;
