/*
 * primal_cover: a placement of loose parts, or the proof that there is no cheaper one, from sets of
 * parts that cost little at their sites. For sites that hold few parts, badly filled by any.
 *
 * With a worth for each part (primal_bound.h), a set at a site costs its cells less its parts'
 * worths; above the least of its site, that adds up over the sites to what a placement costs above
 * the bound. So only sets that cost less than what is left between bound and best are of use, and
 * in good placements hardly any costs more than a fraction of it:
 *
 * 1. The cheapest sets of every site are listed, some ten thousand in all, by meeting in the middle
 *    around a price of the site's own; the worths are climbed over the lists, the sets listed anew.
 *    When the lists reach as far as the gap, they are complete, and what follows is a proof.
 * 2. A dive takes one set after the other, at each site the one of a few cheap ones that raises
 *    the bound of the rest least: with a set taken, sets that share parts with it go, the worths
 *    are climbed over what is left, and what costs too much now goes as well.
 * 3. Some thousand sets that are left are searched to the end: depth first, at the site with the
 *    fewest, every set; the same climb at every node.
 *
 * Two divers of their own random numbers, whatever the number of threads; they tell each other
 * their best at fixed points. Budgets count the parts of sets read. Costs are added up in doubles,
 * a margin above what they lose is kept where something is proven; placements are judged in
 * integers by who asked. Memory from a part of the arena's limit, freed on return.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/solve/dual.h"
#include "model/solve/grid.h"

#define COVER_CELLS 8000 /* parts x sites that it takes */

struct cover_options {
    int threads; /* 0: 1 */
    uint64_t seed;
    double work_max;     /* parts of sets read; 0: some seconds */
    const double *price; /* [row] the dual's */
    const double *worth; /* [part] in the grid's unit, without the part's base cost */
    int64_t cost;        /* of an assignment that keeps everything: only cheaper ones are found */
    double target;       /* a cost that need not be improved on; -INFINITY: none */
    solve_progress *progress;
    void *context;
    double bound; /* for progress: the best that is known */
};

struct cover_result {
    bool fits;    /* false: more cells, or several of a part at one site; nothing else is filled */
    bool found;   /* choice[] keeps everything and costs less than the cost given */
    bool proven;  /* nothing is cheaper: than choice[], or than the cost given */
    int *choice;  /* [part]; with `found` */
    int64_t cost; /* grid_cost_of it, or the cost given */
    double bound; /* of the sites' cheapest sets, rounded down; -INFINITY: none was added up */
    int sets;     /* listed */
    double work;
};

/* The grid has no links, and has passed grid_check. Fails for lack of memory only. */
int cover_solve(const struct grid *grid, const struct cover_options *options, struct arena *arena,
                struct cover_result *ret_result, struct error *err) WARN_UNUSED;
