/*
 * primal_match: the moves that fill one site best, of all sets of them that are cheap.
 *
 * Each item costs `rise` and fills some of the room; a set costs its rises and, per unit of room it
 * leaves, the price; it must leave none below zero. The least of all sets is found by meeting in
 * the middle: the items are divided in two, of each half all sets cheaper than what is to be beaten
 * are listed (their number grows with the exponential of the root of that, so they are few), and
 * those that together leave almost nothing meet in a hash over the rows that have a price. Before
 * that prices of the site's own are found at which the cheapest items fill it about (the linear
 * relaxation of the problem), and the sets are told by how they differ from that: what a site lacks
 * or has too much of after others were served costs no list.
 *
 * Lists are as long as `sets_max` at most; while they reach as far as what is to be beaten, the
 * answer is the best there is. Deterministic; one thread at a time; memory from the arena at
 * creation. Amounts above 2^26 are rounded up in their last bits.
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"

#define MATCH_ITEMS_MAX 768

struct match_item {
    double rise; /* >= 0 */
    int64_t fill[LIMIT_RESOURCES];
    int part; /* of one part one item is taken at most */
};

struct match_task {
    int resources;
    const double *price; /* [r] >= 0 */
    const int64_t *room; /* [r] may be below zero */
    const struct match_item *item;
    int items;   /* to MATCH_ITEMS_MAX */
    double best; /* only what costs less is looked for; INFINITY: anything */
    int sets_max;
};

struct match;

/* NULL: no memory. */
struct match *match_create(struct arena *arena, int sets_max);
/* Returns what the best set costs and fills ret_chosen with its items' numbers; best and no items:
 * there is none cheaper. */
double match_find(struct match *match, const struct match_task *task, int *ret_chosen,
                  int *ret_count);
/* What no set costs less than, of the last call: where its lists reached as far as the best, that;
 * else less. With amounts above 2^26, and with several items of one part, the linear relaxation's
 * least. Off by rounding, a few units in the last place of all that was added. */
double match_proven(const struct match *match);
/* Sets listed so far: what budgets are counted in. */
double match_work(const struct match *match);
