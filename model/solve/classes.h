/*
 * classes: parts that are alike and sites that are alike, as counts instead of copies.
 *
 * Parts are of one kind when they have the same cells: sites, costs, demands. Sites are of one
 * group when they have the same capacity and every kind has the same cell there. Replicas of a
 * workload, the instances of a batch job and the machines of one type are such. Swapping two of
 * them changes nothing, and L(y) of dual.h is concave: so among the best prices are some that are
 * equal within each group, and what is left to decide is how many of each kind go to each group.
 * That is a programme of kinds x groups columns, however many parts and sites there are:
 *
 *   minimise   sum of cost[kind, group] * count[kind, group]
 *   subject to sum over groups of count = members of the kind
 *              sum over kinds of demand * count <= capacity of a site * sites of the group
 *
 * Its multipliers, given to every site of their group, are prices of the whole grid, and
 * dual_bound proves there what they are worth: nothing here has to be believed. Kinds and groups
 * are told apart by hashes of 64 bits, so two that differ could be taken for alike; that would cost
 * quality, never truth, since bounds and placements are both judged on the grid itself.
 *
 * classes_place makes a placement of the counts: the sites of a group are filled one after another,
 * each so that it looks like the average of what the group has to hold; what does not fit goes
 * where it is cheapest at the prices, and then single units move, also in exchange for another that
 * moves on, while that saves cost. Parts that are somewhere now stay there as far as the counts
 * allow.
 *
 * For grids without links and with at most one cell of a part at a site. Memory: four bytes a part
 * and a site, and for `kinds` x `groups` cells sixteen each. Deterministic. classes_price calls
 * GLPK.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

struct classes {
    bool useful;      /* false: the rest is not set; parts and sites are too different */
    int kinds;        /* numbered as their first parts are */
    int *kind_of;     /* [part] */
    int *kind_first;  /* [kinds + 1] into kind_part */
    int *kind_part;   /* [parts] the parts of kind 0 in their order, then those of 1, ... */
    int groups;       /* numbered as their first sites are */
    int *group_of;    /* [site] */
    int *group_first; /* [groups + 1] into group_site */
    int *group_site;  /* [sites] */
    int *cell;        /* [kind * sites + site] the cell there or -1; NULL: the site is the cell */
};

int classes_find(const struct grid *grid, struct arena *arena, struct classes *ret_classes,
                 struct error *err) WARN_UNUSED;

/*
 * Fills price[site * resources + r], equal within each group, and count[kind * groups + group],
 * whole numbers that sum to the kinds' members (and may be more than a group has room for).
 * *ret_done is false, and nothing is filled, when the programme is too large or has no answer; that
 * proves nothing.
 */
int classes_price(const struct grid *grid, const struct classes *classes, struct arena *arena,
                  double *price, int *count, bool *ret_done, struct error *err) WARN_UNUSED;

/* The grid whose sites are the groups, each with the capacity of all its sites; its parts are the
 * grid's own. For when there are too many kinds for classes_price. */
int classes_merge(const struct grid *grid, const struct classes *classes, struct arena *arena,
                  struct grid *ret_merged, struct error *err) WARN_UNUSED;

struct classes_place_options {
    const double *price; /* [site * resources + r] */
    const int *count;    /* [kind * groups + group] */
    double good;         /* a cost that need not be improved on; -INFINITY: none */
    solve_progress *progress;
    void *context;
    double bound; /* for progress */
};

/* choice[part] of a placement that keeps every row, where *ret_left is 0: of so many parts no place
 * was found, and their choice is -1. */
int classes_place(const struct grid *grid, const struct classes *classes,
                  const struct classes_place_options *options, struct arena *arena, int *choice,
                  int *ret_left, struct error *err) WARN_UNUSED;

struct classes_options {
    int threads;
    uint64_t seed;
    double gap;
    solve_progress *progress;
    void *context;
};

/* All of it: prices with the bound that they prove on the grid, and, when *ret_found, a placement
 * that keeps every row. *ret_done is false, and nothing else is set, where kinds and groups do not
 * help or came to no answer. */
int classes_solve(const struct grid *grid, const struct classes_options *options,
                  struct arena *arena, struct dual_result *ret_dual, int *choice, bool *ret_found,
                  bool *ret_done, struct error *err) WARN_UNUSED;

/* The cell of a kind's parts at a site, -1: none that is open. */
static inline int classes_cell(const struct grid *grid, const struct classes *classes, int kind,
                               int site)
{
    int cell = classes->cell != NULL
                   ? classes->cell[(size_t)kind * (size_t)grid->sites + (size_t)site]
                   : site;
    int part = classes->kind_part[classes->kind_first[kind]];
    return cell < 0 || grid_cost_raw(grid, part, cell) == GRID_CLOSED ? -1 : cell;
}

static inline int classes_members(const struct classes *classes, int kind)
{
    return classes->kind_first[kind + 1] - classes->kind_first[kind];
}
