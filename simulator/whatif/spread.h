/*
 * spread: a Monte Carlo what-if: every measure drawn within its own error, the scenario solved, and
 * how the bill spreads and where each workload ends up.
 *
 * A draw multiplies each input by a lognormal factor of mean 1 whose standard deviation is the
 * input's relative error: so nothing is below 0, and small errors are normal ones. (A ratio ends at
 * 1, as overrides do.) Errors are independent. Which inputs: those that are named; else every
 * workload's calls, hits, CPU time and bytes, with the standard error of the estimate in force, or
 * policy.prior_error where nobody has measured. Draws are seeded and made in order, so that a seed
 * gives the same result whatever the number of workers. One thread.
 */
#pragma once

#include "simulator/whatif/sweep.h"

#define SPREAD_DRAWS_MAX 100000
#define SPREAD_QUANTILES 5 /* 5, 25, 50, 75, 95 % */
extern const int64_t spread_quantile_ppm[SPREAD_QUANTILES];

struct spread_input {
    char path[LIMIT_TEXT_BYTES];
    double part; /* one standard deviation, of the value */
};

/* "PATH=10%" */
int spread_input_parse(const char *text, struct spread_input *ret_input,
                       struct error *err) WARN_UNUSED;

struct spread_options {
    int draws;
    uint64_t seed;
    const struct spread_input *inputs; /* none: all that is uncertain */
    int input_count;
};

struct spread_place {
    int part;
    struct placement at;
    int count; /* of draws where the part is there */
};

struct spread_result {
    int draws;
    int unplaced; /* draws that no placement suits */
    int inputs;
    nusd same_bill[SPREAD_QUANTILES]; /* where nothing moves */
    nusd bill[SPREAD_QUANTILES];      /* of the best placement of each draw */
    nusd same_mean;
    nusd mean;
    nusd *bills;                 /* [draw - unplaced], ascending, for pictures */
    struct spread_place *places; /* by part, then the most frequent first */
    int place_count;
};

int spread_run(struct whatif *whatif, const struct sweep_base *base,
               const struct spread_options *options, struct arena *arena,
               struct spread_result *ret_result, struct error *err) WARN_UNUSED;
