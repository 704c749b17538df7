/*
 * dual_internal: what the files of the dual share. Included by model/solve/dual*.c only.
 *
 * Prices come and go as [site * resources + r] (rows); the sweeps read them by resource, padded:
 * by[r * stride + site]. Parts without links are swept straight from the grid's arrays; an app of
 * linked parts has a plan of its elimination (dual_tree.h).
 */
#pragma once

#include "model/solve/dual.h"
#include "model/solve/dual_pool.h"

#define DUAL_ROUND 0x1p-53 /* the rounding of one operation in double precision, relative */
#define DUAL_PAD   16      /* cells at a time, in every sweep */

/* A sum that loses nothing to speak of: Neumaier's. */
struct dual_sum {
    double sum;
    double lost;
};

static inline void dual_add(struct dual_sum *sum, double value)
{
    double total = sum->sum + value;
    double larger = __builtin_fabs(sum->sum) >= __builtin_fabs(value) ? sum->sum : value;
    double smaller = __builtin_fabs(sum->sum) >= __builtin_fabs(value) ? value : sum->sum;
    sum->lost += (larger - total) + smaller;
    sum->sum = total;
}

struct dual_lane {
    double *value; /* [cells_max, padded] */
    struct dual_sum least;
    __int128 base;
    int64_t *load; /* [rows] */
    int stuck;     /* a part without an open cell, or -1 */
};

struct dual {
    const struct grid *grid;
    struct arena work; /* freed when the call ends */
    struct dual_pool *pool;
    size_t rows;
    size_t stride; /* sites, padded */
    int cells_max;
    double *by; /* [resources * stride] */
    struct dual_lane lane[DUAL_LANES];
    bool wide; /* the processor has AVX2: the same bits, in fewer steps */
    double sweeps;
};

/* What the parts pay at prices. */
struct dual_least {
    double bound;  /* L(price), the rounding subtracted */
    int stuck;     /* a part, or one of an app, that has no assignment; else -1 */
    int64_t *load; /* [rows] of the minimiser; lives until the next one */
};

/* dual_least.c. choice may be NULL. */
int dual_least_init(struct dual *dual, struct error *err) WARN_UNUSED;
void dual_least_run(struct dual *dual, const double *price, int *choice,
                    struct dual_least *ret_least);

/* What each cell of a part costs above its base at the prices in `by`, and the least of it.
 * `value` has room for the cells and DUAL_PAD more. */
double dual_fill(const struct dual *dual, int part, double *value);

int dual_no_memory(struct error *err);
