/*
 * dual_internal: what the files of the dual share. Included by model/solve/dual*.c only.
 *
 * Prices come and go as [site * resources + r] (rows), in the grid's unit per unit of demand. The
 * search works on scaled ones: costs in units of their mean spread, demands in units of their
 * mean, so that a scaled price of 1 matters about as much as a part's own costs do. Scaled prices
 * are by slot: [slot * resources + r], where the slots are the sites that have a row which all
 * parts together could overload; the prices of all other rows are 0.
 *
 * The climb (dual_climb.c) goes through three evaluators of the smoothed dual: sweeps over samples
 * of the grid in single precision (dual_sweep.c), then a condensed problem in double precision of
 * the parts that are nearly undecided (dual_condense.c), and last a linear programme of the few
 * that are most so (dual_master.c). Every price found is judged by dual_least.c alone.
 */
#pragma once

#include "model/solve/dual.h"
#include "model/solve/dual_pool.h"

#define DUAL_ROUND 0x1p-53 /* the rounding of one operation in double precision, relative */
#define DUAL_PAD   16      /* cells at a time, in every sweep */
/* Rows up to which the curvature is kept whole, and linear programmes are asked. */
#define DUAL_DENSE_MAX 960

#if defined(__x86_64__)
/* Elementwise arithmetic only, and no contraction: wider vectors give the same bits. */
#define DUAL_WIDE __attribute__((target("avx2")))
#endif
#define DUAL_INLINE static inline __attribute__((always_inline))

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

/* A smoothed dual at some prices: what an evaluator fills. All scaled. */
struct dual_point {
    double soft;      /* of the parts' softened least sums; what is paid for capacity not yet off */
    double hard;      /* the same of their least sums */
    double undecided; /* sum over parts of 1 - sum of squared shares: how many are divided */
    double *load;     /* [slots * resources] */
    bool dense;
    double *curve; /* minus the second derivatives times temperature: [n * n], of which the lower
                    * half is set; [n] their diagonal when not dense */
};

struct dual_lane {
    double *value; /* [cells_max, padded] */
    struct dual_sum least;
    __int128 base;
    int64_t *load; /* [rows] */
    int stuck;     /* a part without an open cell, or -1 */

    double dearest; /* sums of its parts, for dual_scale_init */
    double spread;

    /* Those of apps (dual_tree.h). */
    double *scratch; /* [tree->scratch] */
    double *sum;     /* [tree->near_cells] */
    double *row;     /* [tree->near_cells] */
    int *cell;       /* [tree->app_parts_max] */

    /* The smoothed sweeps'. */
    float *soft;   /* [cells_max, padded] */
    int *kept;     /* [cells_max, padded; n] cells of a part with a share; rows */
    double *drawn; /* [n * DUAL_DRAWS] */
    double *part;  /* [n] of one unit's mean load */
    struct dual_point point;
};

struct dual_tree;

struct dual {
    const struct grid *grid;
    struct dual_tree *tree;
    struct arena work; /* freed when the call ends */
    struct dual_pool *pool;
    size_t rows;
    size_t stride; /* sites, padded */
    int cells_max;
    double *by; /* [resources * stride] */
    struct dual_lane lane[DUAL_LANES];
    bool wide; /* the processor has AVX2: the same bits, in fewer steps */
    double sweeps;
    double *near_cost; /* dual_cells.h; NULL: nobody asks */

    /* Made by dual_scale_init, for a search only. */
    uint32_t *low; /* [part] its least open cost */
    int slots;
    int *site_of;                  /* [slot] */
    int *slot_of;                  /* [site] or -1 */
    size_t n;                      /* slots * resources */
    double *room;                  /* [n] capacity, scaled; infinite where there is no limit */
    double unit;                   /* costs are divided by it */
    double mean[LIMIT_RESOURCES];  /* demands are */
    double total[LIMIT_RESOURCES]; /* of the demands, scaled */
    double dearest;                /* no assignment costs more, in the grid's unit */
    double spread;                 /* nor, scaled, so much more than all least costs */
    float *soft_by;                /* [resources * stride] */
    int lanes;                     /* that have a curve of their own */
};

/* dual.c: what every call makes first and ends with, also after dual_begin failed. */
int dual_begin(const struct grid *grid, int threads, struct arena *arena, struct dual *dual,
               struct error *err) WARN_UNUSED;
void dual_end(struct dual *dual, struct arena *arena);

/* What the parts pay at prices. */
struct dual_least {
    double bound;  /* L(price), the rounding subtracted */
    int stuck;     /* a part, or one of an app, that has no assignment; else -1 */
    int64_t *load; /* [rows] of the minimiser; lives until the next one */
};

/* dual_least.c. choice may be NULL; so may ratio[unit], by how much scaled prices must change until
 * they turn the choice of a single part, or, beyond those, of an app (dual_near.h). */
int dual_least_init(struct dual *dual, struct error *err) WARN_UNUSED;
void dual_least_run(struct dual *dual, const double *price, int *choice, float *ratio,
                    struct dual_least *ret_least);
void dual_turn(struct dual *dual, const double *price); /* fills `by` */
/* What each cell of a part costs above its base at the prices in `by`, and the least of it.
 * `value` has room for the cells and DUAL_PAD more. */
double dual_fill(const struct dual *dual, int part, double *value);

/* dual_scale.c */
int32_t dual_most(const struct grid *grid, int part, int resource); /* that a part demands */
int dual_scale_init(struct dual *dual, struct error *err) WARN_UNUSED;
void dual_scale_in(const struct dual *dual, const double *price, double *scaled);
void dual_scale_out(const struct dual *dual, const double *scaled, double *price);

/* dual_sweep.c: every stride-th part, at a temperature; ret_point's arrays are the dual's own. */
void dual_sweep(struct dual *dual, int step, const double *scaled, double heat,
                struct dual_point *ret_point);
/* Sums the lanes' points, in their order, into the first. */
void dual_reduce(struct dual *dual, struct dual_point *ret_point);
static inline void dual_curve_add(struct dual_point *point, size_t n, size_t a, size_t b,
                                  double value)
{
    if (point->dense) {
        point->curve[a * n + b] += value;
    } else if (a == b) {
        point->curve[a] += value;
    }
}
void dual_point_clear(struct dual_point *point, size_t n);

/* dual_climb.c: what smoothed sweeps need in every lane. */
int dual_lanes_make(struct dual *dual, struct error *err) WARN_UNUSED;

/* Where a scaled price is among rows. */
static inline size_t dual_row(const struct dual *dual, size_t k)
{
    size_t resources = (size_t)dual->grid->resources;
    return (size_t)dual->site_of[k / resources] * resources + k % resources;
}

int dual_no_memory(struct error *err);
