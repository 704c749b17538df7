/*
 * subsets: a proven optimum where a placement's cost falls apart by site: the parts are divided
 * into one set per site, and each set costs something by itself.
 *
 * That is so when every link's table is separable off its diagonal: what parts at sites k and l
 * other than k pay is a[k] + b[l], in whole numbers. A fixed price for being apart is of that
 * shape, and so is flat egress by the source's price. a and b then belong to the parts themselves,
 * the rest of the diagonal to the set at one site, and
 *
 *     cost = sum over sites of g(site, parts there).
 *
 * 1. Every set of parts that a site can hold (capacities, closed cells, closed pairs) is written
 *    down with its cost. Tight sites have few: 10^5 to 10^6 for twenty parts.
 * 2. Every part gets a price such that the sum of the prices and of each site's cheapest set less
 *    its parts' prices is as large as can be: the dual of covering each part once, found with GLPK
 *    by column generation. The prices are rounded to integers and the bound is added up in integers
 *    over all sets, so nothing rests on GLPK's word.
 * 3. What a set costs above the prices and its site's cheapest adds up to what a placement costs
 *    above the bound: sets that alone exceed the distance to the best known are left out.
 * 4. Of those that are left every exact cover is tried (subsets_cover.c); when they are too many,
 *    a part is put at one site after the other, and each case is priced again.
 *
 * Deterministic: the budget counts additions. One thread: prices leave seconds of work at most
 * where sets alone, convolved site by site, would be minutes. Memory: 16 bytes a set, counted
 * before they are written.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

#define SUBSETS_PARTS 32 /* a set is the bits of a word */
#define SUBSETS_SITES 64
#define SUBSETS_MAX   ((size_t)1 << 22) /* sets of all sites together */

struct subsets_options {
    int64_t work_max;   /* additions; 0: no limit */
    size_t sets_max;    /* of all sites, SUBSETS_MAX at most; 0: that */
    size_t covered_max; /* sets of which every cover is tried; 0: a sensible number */
    const int *start;   /* an assignment that keeps everything, or NULL */
    solve_progress *progress;
    void *context;
};

struct subsets_result {
    bool fits;     /* false: another shape, or too many sets; nothing else is filled */
    bool proven;   /* choice[] is an optimum; or, without `found`, there is no assignment */
    bool found;    /* choice[] keeps everything */
    int64_t cost;  /* grid_cost_of it */
    int64_t bound; /* no assignment that keeps everything is cheaper; INT64_MIN: none is known */
    int *choice;   /* [part] */
    int64_t sets;
    int64_t nodes;
    int64_t work; /* additions spent */
};

/* ERR_NO_MEMORY when little arrays do not fit; that the sets do not is `fits`. */
int subsets_solve(const struct grid *grid, const struct subsets_options *options,
                  struct arena *arena, struct subsets_result *ret_result,
                  struct error *err) WARN_UNUSED;
