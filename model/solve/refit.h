/*
 * refit: which alternative each group takes, so that what they take together fits and costs least.
 *
 *   minimise  sum of rise[taken]  +  price * slack   subject to   slack = room - sum of take >= 0
 *
 * That is what an assignment pays above the bound that the prices prove; so the least possible is
 * 0, and a small sum is a small gap. Annealing by single changes: a row over its room pays a
 * penalty that grows into a wall; then pairs of changes while they save. A thousand groups with
 * three alternatives each over twenty rows take about a millisecond.
 *
 * Deterministic: budgets count trials, the seed gives the random numbers. One thread; all arrays
 * are allocated once for any number of runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"

struct refit;

/* Whole numbers in `take` and `room`; a row without a limit has room of REFIT_NO_LIMIT. */
#define REFIT_NO_LIMIT 0x1p52
struct refit_problem {
    size_t rows;
    size_t stride; /* of takes, a multiple of 8, >= rows; what is beyond the rows is 0 */
    int groups;
    const int *first;    /* [group + 1] alternatives */
    const double *rise;  /* [alternative] >= 0 */
    const double *take;  /* [alternative * stride] */
    const double *room;  /* [rows] left when every group takes its first; may be below 0 */
    const double *price; /* [rows] >= 0 */
    double unit;         /* what is taken of a row by one change, about */
};

struct refit_options {
    uint64_t seed;
    double trials;
    double hot;    /* changes that the first temperature would leave open, */
    double cold;   /* and the last */
    double enough; /* a sum that need not be improved on */
};

int refit_create(int groups_max, int alternatives_max, size_t stride, struct arena *arena,
                 struct refit **ret_refit, struct error *err) WARN_UNUSED;

/* taken[group]: an alternative of each to start from, and the best found on return, when that is
 * better than the start or the start does not fit. False: none that fits was met, and taken[] is
 * what it was. */
bool refit_run(struct refit *refit, const struct refit_problem *problem,
               const struct refit_options *options, int *taken, double *ret_sum);
