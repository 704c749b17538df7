/*
 * search: good assignments quickly, without proof: descent by single moves, moves along a pair and
 * swaps, restarted from small disturbances of the best; and annealing, which finds its way where
 * capacities bind. Works on the tables of reduce.h and only
 * uses open cells, so it looks for what costs at most the cutoff. Rules broken count before cost:
 * from a start that breaks rules it first looks for one that breaks none.
 *
 * Deterministic: a fixed generator, a budget in evaluated moves. Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/reduce.h"

struct search;

int search_create(const struct reduced *reduced, struct arena *arena, struct search **ret_search,
                  struct error *err) WARN_UNUSED;

/* Improves choice[part] (a closed or negative entry starts at the part's cheapest open choice)
 * until `kicks` disturbances brought nothing or about `evals` moves were looked at. True when the
 * result breaks no rule. */
bool search_run(struct search *search, int kicks, int64_t evals, int *choice);

/* Annealing from choice[], of about `evals` moves; leaves the cheapest assignment met that breaks
 * no rule, if there was one, after descent. True as in search_run. Other seeds find other places.
 */
bool search_anneal(struct search *search, int64_t evals, uint64_t seed, int *choice);
