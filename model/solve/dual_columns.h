/*
 * dual_columns: the assignments of each app that come near its cheapest at some prices.
 *
 * An app is what links join; a part without links is one of its own. Apps are in the order of
 * their lowest parts, an app's parts in ascending order. Listed are all assignments of an app
 * whose priced cost (cost + price * demand, with links) is at most `limit` above its least one, or,
 * where these are more than `each_max`, those up to a lower limit of its own. They are found
 * backwards through the elimination of dual_tree.h, where every choice is as much dearer as the
 * whole assignment becomes: nothing is tried in vain.
 */
#pragma once

#include "model/solve/dual.h"

/* A larger app is not listed, nor is any beside it. */
#define DUAL_COLUMN_PARTS 256

struct dual_columns_options {
    double wanted; /* columns of all apps together, about: it sets the limit */
    int each_max;  /* of one app, > 0 */
};

struct dual_columns {
    int apps; /* 0: nothing is listed: an app is too large or too wide, or has no assignment */
    double limit;
    int *first;      /* [apps + 1] columns, of one app the cheapest first */
    double *excess;  /* [column] above the app's least, in the grid's unit */
    size_t *cell_at; /* [column] where its cells begin */
    int *cell;       /* a column's cells are in the order of its app's parts */
};

int dual_columns_list(const struct grid *grid, const double *price,
                      const struct dual_columns_options *options, struct arena *arena,
                      struct dual_columns *ret_columns, struct error *err) WARN_UNUSED;
