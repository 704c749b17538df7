/*
 * eliminate_internal: the tables of an elimination and its steps, which eliminate_order.c makes and
 * eliminate.c fills and runs. Included by model/solve/eliminate*.c only.
 */
#pragma once

#include "model/solve/eliminate.h"

/* What a closed cell costs. Sums of fewer than SOURCES_MAX of these fit; real sums stay below it.
 */
#define CLOSED      (INT64_C(1) << 58)
#define SOURCES_MAX 15

struct priced {
    uint32_t cell;
    int meter; /* active */
    double bytes;
};

struct bond {
    int a;
    int b;
    const int64_t *base; /* [choice of a in its domain * size[b] + of b] */
    int64_t *cost;       /* base and prices: what a run works on */
    struct priced *priced;
    int priced_count;
};

/* A table over some parts that an elimination leaves behind. */
struct factor {
    int parts[SOURCES_MAX];
    int part_count;
    int64_t *cost;
};

/* One part goes; its neighbours are left with what it will cost at best. */
struct step {
    int part;
    int near[SOURCES_MAX];
    int near_count;
    int links[SOURCES_MAX];
    int link_count;
    int factors[SOURCES_MAX];
    int factor_count;
    int out; /* the factor it leaves, or -1: with no neighbour or one there is none */
    uint16_t *best;
};

struct take {
    int rule;
    int64_t demand;
};

struct eliminate {
    const struct reduced *r;
    int *size;    /* [part]: open choices */
    int **domain; /* [part][i]: its open choices, the present one first */
    int64_t **unary;
    struct priced **priced; /* [part] */
    int *priced_count;
    struct take *
        *takes; /* [part][i * takes_each]: what a choice takes of capacity rules; rule -1 */
    int takes_each;
    struct bond *links;
    int link_count;
    int **near_links; /* [part] */
    int *near_count;
    struct factor *factors;
    int factor_count;
    struct step *steps;
    int step_count;
    int *position;         /* [part]: scratch, its place in the table at hand */
    struct cell_uses uses; /* scratch */
    int64_t *common;       /* scratch, for the choices of any part: what run_table adds up */
    int64_t *sums;
    int64_t work;
};

/* The steps, with the tables that they leave behind. *ret_dense: linked too densely for this. */
int eliminate_order(struct eliminate *e, struct arena *arena, bool *ret_dense) WARN_UNUSED;
