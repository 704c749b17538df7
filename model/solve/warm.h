/*
 * warm: one base problem, and answers to problems that differ from it: what berth-solve does for a
 * session (solver_session.h says what it is for).
 *
 * A problem of the base's structure (problem_delta.h) is reduced without its capacities, so that
 * its cells are the base's whatever the capacities, becomes a grid with the base's links, and goes
 * through engine_session.h. Its answer is evaluated as the problem has it. What is small
 * (WARM_COLUMNS), what has no such grid (shape.h), what breaks a rule that the grid does not know,
 * and what ends further than gap_poor from its bound (beyond what tiers charge above their lines in
 * the base too) goes to solve_problem, with what is known of a placement to begin with.
 *
 * The base is solved when the first problem comes. One thread; GLPK may abort the process.
 */
#pragma once

#include "model/solve/solve.h"

/* Columns as a mixed integer programme up to which problems are solved exactly, each by itself. */
#define WARM_COLUMNS 1500

struct warm;

struct warm_options {
    double gap;      /* relative; good enough to stop at */
    double gap_poor; /* 0: ten times the gap */
    int threads;     /* 0: 1 */
    uint64_t seed;
    int64_t nodes_max;
    int64_t time_max_us; /* of the base; 0: none */
};

/* The base lives as long. Fails only for lack of memory. */
int warm_create(const struct problem *base, const struct warm_options *options,
                struct warm **ret_warm, struct error *err) WARN_UNUSED;
void warm_destroy(struct warm *warm); /* NULL is accepted */

/* Never fails: what cannot be solved is SOLVE_NONE with the reason. `is_alike`: the problem has the
 * base's structure. */
void warm_solve(struct warm *warm, const struct problem *problem, bool is_alike,
                struct watch *watch, struct arena *arena, struct solution *ret_solution);

/* How problems were answered, for tests. */
struct warm_counts {
    int64_t followed; /* by the engine's session */
    int64_t ordinary; /* by solve_problem */
};
struct warm_counts warm_counts(const struct warm *warm);
