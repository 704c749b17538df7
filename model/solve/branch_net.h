/*
 * branch_net: the network that branch.c searches: tables, and the moves of cost between them that
 * leave every assignment's cost as it is.
 *
 * Invariants: every open entry is >= 0; NET_CLOSED marks what may not be taken; the cost of an
 * assignment of open cells, times BRANCH_SCALE and with its capacities' prices, is
 *     constant + sum of own costs + sum of link costs of parts that are not folded.
 * A level is a copy of everything that changes: one block of memory.
 */
#pragma once

#include "model/solve/branch.h"

#define NET_CLOSED (INT64_C(1) << 62)

/* Of two amounts up to NET_CLOSED; what reaches it is closed, as what costs more is of no use. */
static inline int64_t net_sum(int64_t a, int64_t b)
{
    int64_t sum = a + b;
    return sum < NET_CLOSED ? sum : NET_CLOSED;
}

struct net_edge {
    int a;
    int b;
    size_t at; /* of its table in level.cost: [cell_a * cells of b + cell_b] */
};

/* What a level holds; all in one block of net.level_bytes. */
struct net_level {
    int64_t constant;
    int64_t *cost; /* own costs of all parts, then the tables of all edges */
    int64_t *left; /* [row]: capacity that folded parts have not taken */
    int *open;     /* [part]: cells that may be taken; 0: folded */
};

struct net {
    const struct grid *grid;
    struct arena *arena;
    int parts;
    int edges; /* the grid's links, and with `lifts` the pairs without a link: tables of zeros */
    bool lifts;
    int rows;
    int *cells;  /* [part] */
    size_t *own; /* [part]: where its costs begin in level.cost */
    struct net_edge *edge;
    int *first; /* [part]: its edges in around[first[part]] to around[first[part + 1]] */
    int *around;
    size_t costs; /* of a level */
    size_t level_bytes;
    struct net_level *levels; /* [0, parts]: 0 is the root; made when first needed */
    int64_t *least;           /* [cell]: scratch of one part */
    struct net_item *item;    /* [part]: scratch of branch_lift.c */
    int64_t step;             /* every assignment's cost is base + a multiple of it */
    int64_t base;
    int64_t limit;  /* scaled: what reaches it is of no use */
    int64_t priced; /* scaled price of all capacity: in the constant, not in a cost */
    int64_t work;
};

/* A part that would be at a site: what it takes there, and what keeping it away would cost. */
struct net_item {
    double ratio; /* of the two: what a unit of room saves; INFINITY: it can be nowhere else */
    int64_t demand;
};

/* `lifted`: every pair of parts is to have a table, where that is small enough. */
int net_create(const struct grid *grid, const double *price, bool lifted, struct arena *arena,
               struct net *net, struct error *err) WARN_UNUSED;
/* The level's memory, made if need be; NULL: the arena is full. */
struct net_level *net_level(struct net *net, int depth);
void net_copy(struct net *net, struct net_level *to, const struct net_level *from);

/* Moves cost towards the constant in `passes` passes there and back, closes what reaches the limit
 * or fits no more, and folds parts with one cell left. False: nothing is left. */
bool net_tighten(struct net *net, struct net_level *level, int passes);
/* The part takes the cell: its links become own costs of its neighbours. False: one of them has no
 * cell left. */
bool net_fold(struct net *net, struct net_level *level, int part, int cell) WARN_UNUSED;

/*
 * branch_lift.c: what capacity adds to the tables. If a part takes a cell, the others fit what is
 * left of a row: so a price may be put on that row that is paid only in this case. The cell's own
 * cost falls by price * what is left, the pairs with cells of the row's site rise by price *
 * demand (the first level of the reformulation-linearisation technique of Sherali and Adams, as
 * used by Hahn and others for quadratic assignment). The price is where the others that would be
 * there just fit: a knapsack's relaxation, so the cell's cost never falls.
 */
/* For each cell of a part whose links are gathered, in a pass forward or back. False: no cell is
 * left. */
bool net_lift(struct net *net, struct net_level *level, int part, bool forward) WARN_UNUSED;
/* The same for the rows themselves, whoever is where; all parts are gathered. False: some row
 * cannot hold what must be there. */
bool net_lift_rows(struct net *net, struct net_level *level) WARN_UNUSED;

/* branch_walk.c: before the tree, an assignment that keeps everything is made cheaper: a part goes
 * elsewhere, or two change places, while that is a gain; then a few at random, and again, for
 * `work` additions. */
void net_walk(struct net *net, int64_t work, int *choice);
