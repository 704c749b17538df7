/*
 * wide: the exact minimum of a grid of few parts by eliminating them one after the other (dynamic
 * programming over a tree decomposition), with tables as large as memory allows.
 *
 * For networks whose graph is wide but whose parts have few cells, where dual.h would divide a
 * part among copies. Capacities are left out: the minimum is then a lower bound, and the optimum
 * when its assignment keeps them. Each step eliminates the part whose table is smallest; the
 * tables stay, so that the assignment is read back from the last to the first.
 *
 * Deterministic. Memory from the arena; one thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/grid.h"

#define WIDE_PARTS 4096
/* Sums looked at by all steps together; the tables that stay have half as many cells at most, of
 * eight bytes each. */
#define WIDE_CELLS ((size_t)1 << 26)

struct wide_result {
    bool fits;     /* false: the tables, or the costs, would be too large; nothing else is filled */
    bool possible; /* false: no assignment of open cells and pairs */
    int64_t least; /* cost of choice[] */
    int *choice;   /* [part] */
};

int wide_solve(const struct grid *grid, struct arena *arena, struct wide_result *ret_result,
               struct error *err) WARN_UNUSED;
