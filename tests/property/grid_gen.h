/*
 * grid_gen: large placement problems from a seed, for the engine's tests and benchmarks. The same
 * seed and shape give the same grid on every machine: integers only. Harsh on purpose: capacity is
 * short on every resource, so that nearly every row binds, and a share of the cells is closed.
 */
#pragma once

#include "base/arena.h"
#include "model/solve/grid.h"

struct grid_shape {
    uint64_t seed;
    int parts;
    int sites;
    int resources;
    int app_parts;        /* workloads of an app, joined as a random tree; 1: no links */
    int chord_percent;    /* further links inside an app, per cent of its parts */
    int capacity_percent; /* room at all sites together, per cent of the demand; 0: no capacities */
    int closed_percent;   /* cells that may not be taken; every part keeps three at least */
    bool discrete;        /* demands are few sizes (1, 2, 4, 8, 16), as instance types are */
};

/* False when the arena is full. The grid has no current placement. */
bool grid_gen(const struct grid_shape *shape, struct arena *arena, struct grid *ret_grid);

/* A few parts at a few sites, of any shape that grid_gen has: for brute force. */
bool grid_gen_small(uint64_t seed, int resources_min, struct arena *arena, struct grid *ret_grid);
/* The least cost of all assignments that keep everything, by trying them; INT64_MAX: none does. At
 * most 8 parts and 64 rows. */
int64_t grid_brute(const struct grid *grid);
/* The next assignment, from all zeros; false after the last. */
bool grid_next(const struct grid *grid, int *choice);
