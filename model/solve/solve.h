/*
 * solve: one problem to one answer: reduce, search, prove.
 *
 * The answer is deterministic: a function of the problem, of nodes_max and gap, unless the watch
 * ends the work: then it is the best that was known. Its assignment keeps every rule exactly and
 * its cost is problem_cost of it. SOLVE_OPTIMAL means that no assignment is cheaper by more than
 * the tolerance that solve_tolerance states; among equals it stays where things are. One thread;
 * GLPK may abort the process.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/problem.h"
#include "model/solve/watch.h"

/* What is spent unless the caller says otherwise: simplex iterations times the size of the
 * programme. Some seconds; nodes alone say little, as theirs cost from microseconds to seconds. */
#define SOLVE_WORK_MAX INT64_C(40000000)

struct solve_options {
    int64_t nodes_max;   /* 0: no limit on nodes, and SOLVE_WORK_MAX */
    int64_t work_max;    /* 0: no limit, unless nodes_max is 0 */
    double gap;          /* relative; good enough to stop at. 0: as far as the budgets reach */
    const int *start;    /* [part] a choice to begin with, or -1; NULL: where things are alone */
    struct watch *watch; /* NULL: nothing ends it early and nobody is told */
};

/* Never fails: what cannot be solved is SOLVE_NONE with the reason. */
void solve_problem(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *ret_solution);

/* The irreducible set of rules of a problem that has no assignment; fills conflict and nodes. */
int solve_conflict(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *solution, struct error *err) WARN_UNUSED;

/* Whether prices alone prove that there is no assignment, whatever it costs. */
int solve_refute(const struct problem *problem, struct watch *watch, struct arena *arena,
                 bool *ret_infeasible, struct error *err) WARN_UNUSED;

/* Parts of choice[] go back to where they are now as far as that costs nothing and keeps the rules,
 * alone or two at a time. */
void solve_stay(const struct problem *problem, struct arena *arena, int *choice);

/* How much cheaper than an optimum of this cost a missed assignment could be: the doubles between
 * an exact lower bound and the exact cost, `gap` apart. */
int64_t solve_tolerance(int64_t cost_nusd, int64_t gap_nusd);
