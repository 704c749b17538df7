/*
 * reduce_lines: a reduced problem with other lines below its meters' charges.
 *
 * reduce.h puts a line below each active meter's charge into the tables, over all volumes that are
 * possible. Whoever looks at a part of these volumes knows a nearer line. What the cells put on the
 * active meters is listed once; then tables with any lines are the known ones and a price for each
 * entry of the list. Integers, rounded as reduce.h does: its invariants hold for every assignment
 * whose volumes are where the lines are below the charges.
 *
 * The cells that are open stay so. Memory from the arena; one thread.
 */
#pragma once

#include "model/solve/reduce.h"

struct reduce_lines;

/* At least slope * volume / per_bytes + intercept is charged: reduce_line gives both. */
struct meter_line {
    int64_t slope;
    nusd intercept;
};

/* `reduced` lives as long and does not change. */
int reduce_lines_create(const struct reduced *reduced, struct arena *arena,
                        struct reduce_lines **ret_lines, struct error *err) WARN_UNUSED;

/* The problem with line[active meter]; tables that no active meter adds to are shared. */
int reduce_lines_set(const struct reduce_lines *lines, const struct meter_line *line,
                     struct arena *arena, struct reduced *ret_reduced,
                     struct error *err) WARN_UNUSED;

/* Bytes that choice[part] puts on each active meter. */
void reduce_lines_volume(const struct reduce_lines *lines, const int *choice, nusd *ret_volume);
