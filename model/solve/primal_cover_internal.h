/*
 * primal_cover_internal: what primal_cover.c (the order of things), primal_cover_sets.c (lists of
 * sets) and primal_cover_dive.c (dives, and the search to the end) share. Costs are without the
 * parts' base costs.
 */
#pragma once

#include "model/solve/primal_cover.h"
#include "model/solve/primal_internal.h"

#define COVER_DIVERS 2

/* A cell that is open and fits its site when that is empty. */
struct cover_cell {
    double cost;
    int part;
    int cell;
    const int32_t *demand;
};

/* Parts that fit a site together. */
struct cover_set {
    double above; /* its cost at the worths, above the least of its site */
    double cost;
    int first; /* in member[] */
    int count;
};

struct cover_lists; /* scratch of the listing */

struct cover_field {
    const struct grid *grid;
    const struct cover_options *options;
    struct arena *work;
    int parts;
    int sites;
    int resources;
    int *cell_first; /* [site + 1] */
    struct cover_cell *cell;
    int *cell_at;     /* [site * parts + part] */
    double *worth;    /* [part] that the sets were listed at */
    double *least;    /* [site] cheapest set, at the worths */
    double base;      /* of all parts */
    double magnitude; /* of all that is added up, at the most */
    double lost;      /* more than all rounding of that */
    double bound;     /* at the worths, proven but for `lost` */
    double reach;     /* sets are listed up to this above the least of their site */
    /* The lists, by site, cheapest first. */
    int *set_first; /* [site + 1] */
    struct cover_set *set;
    uint16_t *member; /* parts */
    int members;
    double listed; /* work */
    struct cover_lists *lists;
};

/* Creators fail with ERR_NO_MEMORY; who asked says of what. */
int cover_lists_create(struct cover_field *field) WARN_UNUSED;
/* At field->worth: fills least[] and bound, then lists the sets up to where `wanted` are listed or
 * all that cost up to `upto` in all. false: there is none at some site, or they are too many; the
 * lists are of no use then. */
bool cover_list_sets(struct cover_field *field, double upto, int wanted);

/* ---- primal_cover_dive.c ---- */

struct cover_diver;
int cover_diver_create(const struct cover_field *field, uint64_t seed,
                       struct cover_diver **ret_diver) WARN_UNUSED;
/* Only what costs less than `cost` is looked for. */
void cover_diver_aim(struct cover_diver *diver, double cost);
/* Climbs the worths over all the lists. */
void cover_climb(struct cover_diver *diver, double *worth);
/* Dives until the work done in all is `upto`, or something costs `target` or less. */
void cover_dive(struct cover_diver *diver, double upto, double target);
/* Tries every cover of the lists; false: that took more than `work`. */
bool cover_exhaust(struct cover_diver *diver, double work);
/* What the last aim was improved to; INFINITY: it was not. */
double cover_diver_cost(const struct cover_diver *diver);
const int *cover_diver_site(const struct cover_diver *diver); /* [part] of that */
double cover_diver_work(const struct cover_diver *diver);
