/*
 * whole: a small grid as a problem in full, for the exact solver (solve.h). Costs are multiplied by
 * `scale`, since the exact solver's tolerance is in nano-dollars; a part is "p<number>", a choice a
 * cell. Closed cells and pairs become rules. Memory from the arena; one thread.
 */
#pragma once

#include "base/arena.h"
#include "model/problem.h"
#include "model/solve/grid.h"

/* ERR_LIMIT: more cells, parts or sites than a problem may have; ERR_OVERFLOW: a cost times scale.
 */
int whole_problem(const struct grid *grid, int64_t scale, struct arena *arena,
                  struct problem *ret_problem, struct error *err) WARN_UNUSED;
