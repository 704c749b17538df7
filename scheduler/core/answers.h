/*
 * answers: what a shell says to CORE_SOLVE and CORE_CHECK, computed from the core's own input.
 *
 * The service, the simulator and the tests answer with these, so that all of them judge a move by
 * the same figures. Pure; memory from the arena, in which the answer's arrays stay. Any thread may
 * call core_answer_plan, whose input is a copy's or the core's own between two steps.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"
#include "scheduler/core/core.h"

/* Fills plan->choices, with groups and what they save, and score_stay and the bills, for a solution
 * whose placement is to[] ([part], complete). `now` is core_placement of the context's input. */
int core_answer_plan(const struct cost_context *context, const struct problem *problem,
                     const struct placement *now, const struct placement *to, struct arena *arena,
                     struct core_plan *plan, struct error *err) WARN_UNUSED;

/* Before it, for a placement that was found for inputs which have changed since, when what every
 * plan rests on has not: the core's present input, problem and placement take the place of those
 * given, and the plan gets their version and the placement's score, so that it is judged against
 * staying as if it had been found for them. False: it breaks a rule now, or nothing can be told;
 * then nothing is replaced, and the plan is one of then. Between two steps only. */
bool core_answer_anew(const struct core *core, const struct placement *to, struct arena *arena,
                      struct cost_input *input, struct problem *problem, struct placement **now,
                      struct core_plan *plan);

/* The CORE_CHECKED for the check under way: what its group saves by the present estimates, as it
 * is against as it was. Not known when an estimate that it depends on is older than the policy
 * allows. ERR_NOT_FOUND when there is no such check any more: then there is nothing to say. */
int core_answer_check(const struct core *core, uint64_t check, struct arena *arena,
                      struct core_event *ret_event, struct error *err) WARN_UNUSED;
