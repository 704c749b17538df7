/*
 * primal_board: the columns of all apps as changes against the cheapest one, for annealing.
 *
 * Once an app has more than one column (dual_columns.h) it is on the board. What a column takes is
 * kept as what its sites gain and lose against the app's first column: mostly a few sites, however
 * large the app. All is in doubles, which hold these whole numbers exactly. Made once a round; any
 * number of chains read it.
 */
#pragma once

#include "model/solve/primal_internal.h"

/* What a column takes at a site above what its app's first does. */
struct primal_touch {
    int site;
    double demand[LIMIT_RESOURCES];
};

struct primal_column {
    double excess;
    int app;
    int touch;
    int touches; /* in order of the sites */
};

struct primal_ranked {
    double excess;
    int column;
};

struct primal_board {
    const struct primal_core *core;
    int apps; /* that have more than one column */
    int *app; /* [apps] in the grid */
    int *first;
    struct primal_column *column;
    struct primal_touch *touch;
    int changes;                  /* columns but the apps' first */
    struct primal_ranked *change; /* those, by excess */
    struct primal_index more;     /* by site, those that take more there */
    struct primal_index less;
    int *start;    /* [apps] column */
    int *choice;   /* [part] of the grid, where the chains start */
    double *slack; /* [site * LIMIT_RESOURCES + r] there */
    double *price; /* [site * LIMIT_RESOURCES + r] */
    double *heavy;
    double offset; /* cost less excess less what is unfilled, of any assignment */
};

/* The grid's choice when the board's apps are at[app] columns. */
void primal_board_choice(const struct primal_board *board, const int *at, int *choice);
