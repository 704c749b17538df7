/* greedy: the baseline of the Kubernetes kind: parts in order, each to the cell with room that
 * scores best, by its own cost and its links to what is placed already. */
#pragma once

#include "base/arena.h"
#include "model/solve/grid.h"

/* Fills choice[part], -1 where none had room; how many those are, or -1 without memory. */
int bench_greedy(const struct grid *grid, struct arena *arena, int *choice);
