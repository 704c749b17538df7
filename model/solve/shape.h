/*
 * shape: a reduced problem (reduce.h) as a grid (grid.h), for the engine of large ones.
 *
 * Only open choices become cells. Costs are divided by a unit per part or pair where they need more
 * than 32 bits, and rounded down, so that the grid's cost plus `constant` is at most the problem's:
 * a bound of the grid is one of the problem. Demands are divided by their common divisor per
 * resource; where that leaves more than 31 bits, rounded down in `grid` and up in `strict`, so that
 * what keeps the capacities of `strict` keeps the problem's. Apart rules of up to SHAPE_APART parts
 * are closed pairs; larger ones, and what active meters charge above their line, are left out:
 * whoever takes an assignment evaluates it with problem_cost and problem_broken_rule. Of a problem
 * that was reduced without its capacities, cells that no capacity holds are closed here, and pairs
 * that neither cost nor forbid anything are links too: others are to be made like it.
 *
 * Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/grid.h"
#include "model/solve/reduce.h"

#define SHAPE_APART 64

/* A pair of parts with what is said about it. */
struct shape_pair {
    int a; /* a < b */
    int b;
    int edge; /* of the reduced problem; -1: only apart */
    bool apart;
    bool open; /* nothing of it is closed, at open choices */
};

struct shape {
    struct grid grid;
    struct grid strict; /* the same but for demand and capacity; equal when `exact` */
    bool exact;
    int64_t constant;
    int *choice;              /* [cell, counted over all parts]: the part's choice */
    int *rule;                /* [site * resources + r]: the capacity rule that the row is, or -1 */
    struct shape_pair *pairs; /* [link] */
    int64_t unit[RESOURCE_COUNT];  /* of demand: a grid's price is this many of the problem's */
    const struct reduced *reduced; /* for shapes that are made like this one */
};

/* ERR_UNSUPPORTED when a capacity is below zero, or costs do not fit; ERR_NO_MEMORY. */
int shape_build(const struct reduced *reduced, struct arena *arena, struct shape *ret_shape,
                struct error *err) WARN_UNUSED;

/* The same with the cells, demands and links of another problem's shape: of one that differs in
 * costs and capacities alone, and whose open cells are the same (reduce_build_like). The tables of
 * edges that it shares with that one are taken too. ERR_UNSUPPORTED too when a pair that was idle
 * there is not here. `like`, and what it was made of, live as long; NULL: as shape_build. */
int shape_build_like(const struct reduced *reduced, const struct shape *like, struct arena *arena,
                     struct shape *ret_shape, struct error *err) WARN_UNUSED;

/* From the grid's cells to the problem's choices, and back; -1 where a choice is no cell. */
void shape_choice(const struct shape *shape, const int *cell, int *ret_choice);
void shape_cells(const struct shape *shape, const int *choice, int *ret_cell);
