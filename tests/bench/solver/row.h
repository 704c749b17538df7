/*
 * row: the table of the solver's benchmarks. One row per instance and solver, each in a process of
 * its own, so that MB is that process's peak, an abort of GLPK is a row with a name and not the
 * end, and a time limit holds for every row alike.
 *
 * A benchmark lists cases: how to build a grid, what is known of it, what must be reached. row_main
 * reads the options, solves each case with the engine and with the peers that were asked for,
 * checks every plan (tests/property/plan_check.h) and prints the table. A new set of instances is
 * one function that calls row_add; a benchmark with a table of its own joins as a program.
 *
 * What contradicts is a failure, and exit code 1: a plan that breaks a rule, a cost below a proven
 * optimum, a bound above it, a peer's proven plan below our bound. Speed and gaps are not.
 *
 * The parent stays small: it builds no instance. One thread; processes are ended by their pid.
 */
#pragma once

#include <stdbool.h>

#include "base/arena.h"
#include "base/limits.h"
#include "model/solve/engine.h"
#include "model/solve/grid.h"

#define ROW_NAME_BYTES 64

struct row_options {
    const char *only; /* rows whose set or name has this text; "" all */
    const char *data; /* folder of the public instances */
    bool glpsol;      /* peers */
    bool cbc;
    bool greedy;
    double limit_s;      /* of every solver */
    int64_t columns_max; /* of a programme that a peer is given */
    bool json;
    struct engine_options engine; /* threads, seed, moves, work, gap */
};

struct row_case {
    char set[ROW_NAME_BYTES];
    char name[ROW_NAME_BYTES];
    double gap_must; /* 0: none */
    double gap_moonshot;
    double seconds_must;
    double mb_must;
    bool peers; /* glpsol and CBC are asked too */
    bool known; /* the best that is known */
    bool known_proven;
    double known_value;
    /* Fills a grid; memory from the arena. Called in a child. */
    int (*build)(const struct row_case *it, struct arena *arena, struct grid *ret_grid,
                 struct error *err);
    const void *shape; /* build's own */
    char path[LIMIT_PATH_BYTES];
    const char *format;
    /* In place of a grid: a program beside this one. Its output follows its row. */
    const char *program;
    const char *arguments[4];
};

struct row_list;
void row_add(struct row_list *list, const struct row_case *it);

struct row_set {
    const char *name;
    void (*list)(struct row_list *list, const struct row_options *options);
};

/* The whole of a benchmark's main; `what` is the first line of its help. */
int row_main(int argc, char **argv, const char *what, const struct row_set *sets, int set_count);

/* Cells and, of linked parts, pairs, that an instance has: its size. */
double row_cells(const struct grid *grid);
