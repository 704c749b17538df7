/*
 * reduce: the problem as the exact solver works on it: domains, one integer table per part and per
 * pair of parts, and what is proven about them.
 *
 * Invariants, from reduce_build on: for every assignment of open cells,
 *     constant + sum of node[] + sum of edge cost[] + residuals of active meters
 * is at most its exact cost (problem_cost) and at least that less one nano-dollar per meter use,
 * and every term of it is >= 0 for open cells: `constant` is therefore a proven lower bound. The
 * other functions move cost between the tables (integers, so nothing is lost) and close cells; a
 * cell is only closed when no assignment that keeps all rules and costs at most `cutoff` can use
 * it. Duplicate pairs are merged and their pair rules are in the tables as closed cells. Apart and
 * capacity rules stay rules, apart from what they imply for one part alone.
 *
 * Its own sources are Apache-2.0; berth-solve as a whole is GPL-3 or later because it links GLPK.
 * Memory from the arena given; one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "model/problem.h"

struct watch;

/* One pair of parts with all that is said about it. */
struct edge {
    int a; /* a < b */
    int b;
    int64_t *cost; /* [choice_a * choices of b + choice_b] */
    bool *open;    /* the same index */
    int *pairs;    /* problem pairs merged here whose uses touch an active meter */
    bool *swapped; /* the pair's own a is our b */
    int pair_count;
    int64_t least; /* what reduce_build has taken out of it into the constant */
};

/* A meter whose possible volumes span tiers of different prices. Its charge is at least
 * slope * volume / per_bytes + intercept, which is already in the tables; the rest is residual. */
struct active_meter {
    int meter;
    int64_t slope_nusd; /* per per_bytes */
    nusd intercept;
    int64_t volume_min;
    int64_t volume_max;
};

/* A meter that has one price, whatever the volume. */
struct flat_meter {
    int64_t price_nusd; /* per per_bytes */
    int64_t per_bytes;  /* 0: it has several, and this is nothing */
    int shift;          /* per_bytes as a power of two; -1: it is none */
};

struct reduced {
    const struct problem *problem;
    int parts;
    int sites;
    int *count;    /* [part]: its choices */
    size_t *first; /* [part]: where its choices begin in open[] and node[]; [parts]: their number */
    bool *open;    /* [first[part] + choice] */
    int *open_count; /* [part] */
    int64_t *node;   /* [first[part] + choice] */
    struct edge *edges;
    int edge_count;
    int *pair_edge; /* [pair of the problem]: its edge */
    int **incident; /* [part][k]: edges at a part */
    int *degree;
    struct active_meter *meters;
    int meter_count;
    int *active_of;          /* [meter of the problem]: its index in meters[], or -1 */
    struct flat_meter *flat; /* [meter of the problem] */
    int flat_count;
    nusd bytes_max;      /* no assignment puts more on all meters together */
    double *meter_price; /* [meter of the problem]: nano-dollars per byte of its line */
    int64_t constant;
    int64_t cutoff; /* only assignments that cost at most this matter */
    bool empty;     /* a part has no open choice: no assignment is left */
    bool cut;       /* the watch ended it: nothing else here may be used */
    bool without_capacities;
    bool roomy; /* no capacity can bind, and closing cells changes nothing about that */
    struct watch *watch;
};

struct reduce_options {
    /* Capacities close nothing: the same cells are open in every problem that differs in costs and
     * capacities alone. */
    bool without_capacities;
    struct watch *watch; /* once it says no the work is cut; NULL: none */
};

/* The bytes of one cell by meter that is not flat: each meter once, none with 0 bytes. */
struct cell_uses {
    struct problem_use *list;
    int count;
    int *slot; /* [meter]: its index in list, and 1; 0: it is not there */
};

/* ERR_OVERFLOW when the sums could pass 2^60 nano-dollars or bytes; ERR_NO_MEMORY. */
int reduce_build(const struct problem *problem, struct arena *arena, struct reduced *ret_reduced,
                 struct error *err) WARN_UNUSED;

int reduce_build_as(const struct problem *problem, const struct reduce_options *options,
                    struct arena *arena, struct reduced *ret_reduced,
                    struct error *err) WARN_UNUSED;

/* Of a problem that differs from a known one's in costs, meters' prices and capacities alone
 * (problem_delta.h): its cells are the same ones, so that the tables alone are made anew, and of
 * these only what is other. A table that is one pair's alone is the problem's own, with its least
 * cost in it: such a reduced problem is for shape_build_like, and is not changed. `like` was made
 * without capacities, of a problem that lives as long, and nothing was done to it since. */
int reduce_build_like(const struct problem *problem, const struct reduced *like,
                      struct watch *watch, struct arena *arena, struct reduced *ret_reduced,
                      struct error *err) WARN_UNUSED;

/* Parts of reduce_build: refuses what could overflow; takes the least open cost out of every table
 * into the constant, so that all are >= 0. */
int reduce_check_range(const struct problem *problem, nusd *ret_bytes_max,
                       struct error *err) WARN_UNUSED;
void reduce_normalise_edge(struct reduced *reduced, struct edge *edge);
void reduce_normalise_parts(struct reduced *reduced);

/* Whether the watch has ended what goes over all tables. */
bool reduce_is_cut(struct reduced *reduced);

/* Closes what the rules and the tables imply, until nothing changes. */
void reduce_propagate(struct reduced *reduced);

/* Part of reduce_propagate: closes what no capacity has room for. True when it closed anything. */
bool reduce_capacities(struct reduced *reduced);

/* Raises `constant` by moving cost along the edges (sequential reweighted message passing) and
 * closes cells against `cutoff`. At most `passes` passes; fewer when they gain nothing. */
void reduce_tighten(struct reduced *reduced, int passes);

/* Closes one cell. */
void reduce_close(struct reduced *reduced, int part, int choice);

/* Indices into node[] and open[], and into the tables of an edge. */
static inline size_t reduce_node(const struct reduced *reduced, int part, int choice)
{
    return reduced->first[part] + (size_t)choice;
}
static inline size_t reduce_cell(const struct reduced *reduced, const struct edge *edge,
                                 int choice_a, int choice_b)
{
    return (size_t)choice_a * (size_t)reduced->count[edge->b] + (size_t)choice_b;
}
static inline size_t reduce_cells(const struct reduced *reduced, const struct edge *edge)
{
    return (size_t)reduced->count[edge->a] * (size_t)reduced->count[edge->b];
}
static inline const struct problem_choice *reduce_choice(const struct reduced *reduced, int part,
                                                         int choice)
{
    return &reduced->problem->parts[part].choices[choice];
}

/* The active meter's charge above what the tables hold, rounded down, for a planned volume. */
int64_t reduce_residual(const struct reduced *reduced, const struct active_meter *meter,
                        nusd volume);
/* A line below a meter's charge for volumes in [min, max]: price per per_bytes and intercept. The
 * second is for a slope of the caller's choice. */
nusd reduce_line(const struct problem_meter *meter, int64_t min, int64_t max, int64_t *ret_slope);
nusd reduce_intercept(const struct problem_meter *meter, int64_t slope, int64_t min, int64_t max);
/* What the tables hold of a cell's bytes for a line of that slope: rounded down. */
int64_t reduce_line_cost(const struct problem_meter *meter, int64_t slope, int64_t bytes);
static inline bool reduce_is_flat(const struct reduced *reduced, int meter)
{
    return reduced->flat[meter].per_bytes > 0;
}
/* Bytes that a cell of a part, or of an edge, puts on a meter. */
nusd reduce_part_bytes(const struct reduced *reduced, int meter, int part, int choice);
nusd reduce_edge_bytes(const struct reduced *reduced, int meter, const struct edge *edge,
                       int choice_a, int choice_b);

/* The same for all meters at once, in memory for the meters of the problem. */
int cell_uses_init(struct cell_uses *uses, const struct problem *problem,
                   struct arena *arena) WARN_UNUSED;
void reduce_part_uses(const struct reduced *reduced, int part, int choice, struct cell_uses *uses);
void reduce_edge_uses(const struct reduced *reduced, const struct edge *edge, int choice_a,
                      int choice_b, struct cell_uses *uses);

/* Parts of reduce_build. A flat meter's charge is a plain cost: each table holds what its own cells
 * add to it, rounded down, from the start. */
int reduce_flat_meters(struct reduced *reduced, struct arena *arena, struct error *err) WARN_UNUSED;
void reduce_add_flat_parts(struct reduced *reduced);
/* Adds what the open ones of `cells` cells in a row (use_count slots each) put on flat meters to
 * cost[0], cost[step] and so on. */
void reduce_add_flat(const struct reduced *reduced, const struct problem_use *use, int use_count,
                     const bool *open, size_t cells, int64_t *cost, size_t step);

/* Part of reduce_build: the tables of pairs, with what flat meters charge. */
int reduce_edges(struct reduced *reduced, struct arena *arena, struct error *err) WARN_UNUSED;
/* Adds one pair's to its edge, where both choices are open: what is closed stays 0. */
void reduce_add_pair(const struct reduced *reduced, struct edge *edge,
                     const struct problem_pair *pair);

/* Part of reduce_build: puts the lines of all other meters into the tables and keeps what is
 * active. */
int reduce_meters(struct reduced *reduced, struct arena *arena, struct error *err) WARN_UNUSED;

/* True when the edge can neither cost nor forbid nor use an active meter. */
bool reduce_edge_is_idle(const struct reduced *reduced, const struct edge *edge);
/* Fills ret_binds[rule]: whether the largest demands of the open choices at its site would break a
 * capacity rule; false of the others. True when any of them can bind. */
bool reduce_find_binding(const struct reduced *reduced, bool *ret_binds);
