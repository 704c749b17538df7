/*
 * figures: what bench_reaction measured, in order and as quantiles, and the parts that the
 * scheduler's log tells ("plan.solved": told_us, begin_us, input_us, problem_us, encode_us,
 * solve_us, answer_us). One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define FIGURES_MAX 1000

struct figures {
    const char *name;
    int64_t us[FIGURES_MAX];
    int count;
};

void figures_add(struct figures *figures, int64_t us);
/* The value that `percent` of them do not exceed; 0 without any. */
int64_t figures_quantile(const struct figures *figures, int percent);

/* One solve, by the scheduler's word. begin_us is on the wall clock. */
struct solved {
    int64_t told_us; /* the first change that it is the first to know, on the wall clock; 0: none */
    int64_t begin_us;
    int64_t input_us;   /* what the core knows, copied for the cost model */
    int64_t problem_us; /* the solver's problem built */
    int64_t encode_us;  /* its frame */
    int64_t solve_us;   /* to the worker and back, the answer checked */
    int64_t answer_us;  /* the plan, its groups and what they save */
};

/* The last solve in a log that began at or after from_us and ended by to_us; false: there is none.
 * Reads on from *at. */
bool figures_solved(const char *log, long *at, int64_t from_us, int64_t to_us,
                    struct solved *ret_solved);
