/*
 * dual_tree: apps of linked parts, and how to add them up: by eliminating one part after the other.
 *
 * Each step eliminates a part, or a copy of one: of what mentions it (its own cells, links, tables
 * that earlier steps left) it leaves a table over the parts near it, which the step of the first of
 * those to go consumes. A table has at most DUAL_TABLE_MAX cells with the part's own; where a part
 * has too many near ones, what mentions it is divided among copies of it that need not agree. That
 * is a relaxation: its least sum never exceeds the true one. A copy but the first has no cost of
 * its own and takes nothing.
 *
 * A plan is made once per grid; its steps are run in double precision for the certificate
 * (dual_tree.c) and softened in single precision (dual_soft.c). Links' costs are counted from their
 * least possible: all that is added up is >= 0.
 */
#pragma once

#include "model/solve/dual_internal.h"

#define DUAL_NEAR_MAX  6
#define DUAL_TABLE_MAX 0x1p18
#define DUAL_TRIES_MAX 64

/* What mentions a step's part beside its own cells and messages: a link, or a table. */
struct dual_source {
    int link;  /* or -1: */
    int step;  /* whose table it is */
    bool flip; /* the step's part is the link's b */
    /* Of the link's other end, or of the table's near ones but the last, which is this step's part:
     * their places in this step's near. */
    int8_t place[DUAL_NEAR_MAX];
};

struct dual_step {
    int part;
    int consumer; /* the step that takes what this one leaves; -1: none is near */
    bool own;     /* has the part's own cost and demand; else a copy */
    int near_count;
    int near[DUAL_NEAR_MAX]; /* steps; the last is the consumer */
    int source_first;
    int source_count;
    int source_slow; /* the first so many do not mention the last near, which turns fastest */
    size_t value_at; /* in an app's scratch: what the part's cells cost with all messages */
    size_t out_at;   /* what it leaves, [near...], the last near innermost */
    size_t out_count;
};

/* How the costs of a table's pairs are used by links of one sign, ready for sweeps. */
struct dual_pairs {
    double *exact; /* [site * stride + site]; NULL: links look the table up */
    double *exact_flip;
    float *soft;
    float *soft_flip;
};

struct dual_tree {
    int singles;
    int *single; /* parts without links; NULL: all are */
    int apps;
    int *first; /* [apps + 1] steps */
    struct dual_step *step;
    struct dual_source *source;
    int app_parts_max;             /* steps of the largest app */
    size_t scratch;                /* of the largest app: doubles; with what head_at has */
    size_t head_at;                /* [near_cells] sums that a turn of the last near leaves */
    int near_cells;                /* of the largest part of an app, padded */
    double *zero;                  /* [near_cells] */
    double rounding;               /* operations whose rounding a least sum may hold */
    bool relaxed;                  /* some part has copies: */
    bool *copied;                  /* [app] one of its own */
    int tries;                     /* eliminations that such an app's least sum may take */
    double work;                   /* cells of all tables with the parts' own */
    __int128 base;                 /* of all links */
    uint32_t *dearest;             /* [table] the largest value that is not closed */
    struct dual_pairs (*pairs)[3]; /* [table][sign] */
};

int dual_plan(const struct grid *grid, struct arena *arena, struct dual_tree **ret_tree,
              struct error *err) WARN_UNUSED;
/* Fills the pairs that a table has ready, after dearest[]; none: nothing is done. */
void dual_pairs_fill(const struct grid *grid, struct dual_tree *tree, int table, int sign);

/* One app in double precision, at the prices in dual->by. `scratch` is the lane's. */
struct dual_app_run {
    const struct dual *dual;
    const struct dual_tree *tree;
    int app;
    double *scratch;
    double *sum; /* [near_cells] what the cells of the step at hand cost, with all near ones set */
    double *row; /* [near_cells] */
    int *cell;   /* [steps of the app] */
    const struct dual_limit *limit; /* NULL: every open cell may be taken */
};
double dual_app_least(struct dual_app_run *run); /* INFINITY: no assignment */
/* The same; while the best assignment has copies that do not agree, the worst such part is divided:
 * it is at the cell of its first copy, or it is not. The least sum of the branches is a better
 * bound, and the app's own least sum when copies agree. Ends after tree->tries eliminations. */
double dual_app_least_divided(struct dual_app_run *run);

/* One cell of a part that must, or may not, be taken; with those before it. */
struct dual_limit {
    const struct dual_limit *before;
    int part;
    int cell;
    bool only;
};
/* After it: the assignment, in run->cell; by how much another one is dearer, per unit that it
 * takes, scaled. ret_ratio may be NULL. */
void dual_app_choose(struct dual_app_run *run, float *ret_ratio);
/* What the cells of step `index` cost, in run->sum, when those near it have run->cell[]; the least
 * of them. */
double dual_app_sum(struct dual_app_run *run, int index);

/* The rows of pairs that a source has for the cells of its step's part; dual_tree.c. */
const double *dual_source_exact(const struct dual *dual, const struct dual_source *source, int part,
                                int other, int cell, double *row, double *ret_times);
const float *dual_source_soft(const struct dual *dual, const struct dual_source *source, int part,
                              int other, int cell, float *row, float *ret_times);
