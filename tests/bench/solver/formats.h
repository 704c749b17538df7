/*
 * formats: public benchmark files as grids, so that the solver is judged on what others know.
 *
 *   gap   generalised assignment, OR-Library form: agents items, costs, weights, capacities
 *   ctap  task assignment with capacities (CNAM): costs by processor, traffic, sizes, capacities
 *   tap   task assignment without: costs by task, then a table for every pair of tasks
 *   qsap  quadratic semi-assignment (Silva, Coelho, Darvish): "facilities sites w", then triples of
 *         costs, distances and traffic, the four files one after the other
 *   wcsp  weighted constraint network (toulbar2), functions of one to three variables; one of three
 *         becomes a part of its own whose cells are its tuples
 *
 * Costs keep their unit, so the grid's cost is the published objective. Arrays live in the arena.
 * Text that does not hold what its format says is ERR_INVALID with the line; what would need more
 * than FORMAT_CELLS cells of cost is ERR_LIMIT.
 */
#pragma once

#include "base/arena.h"
#include "model/solve/grid.h"

#define FORMAT_CELLS ((int64_t)1 << 24)

/* ERR_NOT_FOUND: no such format. The text needs no terminator. */
int format_read(const char *format, const char *text, size_t bytes, struct arena *arena,
                struct grid *ret_grid, struct error *err) WARN_UNUSED;
