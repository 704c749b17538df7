/*
 * programme: a grid as a mixed integer programme in fixed MPS, for solvers of others.
 *
 * The strong formulation: a binary per part and open cell; per link a table of pairs whose margins
 * are those binaries (the local polytope: integral on trees without capacities), so that the
 * difference between solvers is not the formulation. Costs are whole numbers as the grid has them,
 * without a constant: the programme's objective is the grid's.
 *
 * Names are "X0000000" (a binary), "Y0000000" (a pair), "R0000000" (a row), eight characters as the
 * format wants. One thread.
 */
#pragma once

#include <stdio.h>

#include "base/arena.h"
#include "model/solve/grid.h"

/* Columns that it would have. */
int64_t programme_columns(const struct grid *grid);
/* ERR_LIMIT: a number of more than twelve characters, or more than 10^7 columns or rows. */
int programme_write(const struct grid *grid, struct arena *arena, FILE *file,
                    struct error *err) WARN_UNUSED;
