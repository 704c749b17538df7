/*
 * primal_hunt: the state that primal_eject.h searches, and its descent by ejection chains. Included
 * by model/solve/primal_eject.c and primal_hunt.c only.
 *
 * Invariants between calls: slack, cost, members, part[], fine and waste agree with at[] and alpha.
 * A part's candidates lie together, in order of their sites.
 */
#pragma once

#include "model/solve/primal_internal.h"

/* A cell that a part may take. */
struct hunt_cand {
    double w;    /* its cost above the part's cheapest */
    double keen; /* cost + price * demand above the part's least */
    int part;
    int cell;
    int site;
};

/* The same in a site's list, with what is looked at first. */
struct hunt_entry {
    double w;
    int part;
    int cand;
    int32_t demand; /* of the first resource */
};

/* Where a part is, and what its leaving changes. */
struct hunt_part {
    double out;  /* -w, less the penalty that it takes along */
    double next; /* the same, less the price of the room that it leaves */
    int site;
    int at; /* cand */
};

/* What all hunts read. */
struct hunt_field {
    const struct primal *primal;
    int parts;
    int sites;
    int resources;
    int cands;
    int *first; /* [part + 1] */
    struct hunt_cand *cand;
    int32_t *demand;         /* [cand * resources + r] */
    int *at_site;            /* [part * sites + site] the first of the part's there, or -1 */
    int *list_first;         /* [site + 1] */
    struct hunt_entry *list; /* cands by site */
    double *keen;            /* [part] the least of cost + price * demand, with w for the cost */
    const double *price;
    double *alpha; /* [row] penalties to begin with */
    double floor;  /* half of the least penalty of one unit over: less than that is none */
    double base;   /* cost of every part at its cheapest */
};

struct hunt {
    const struct hunt_field *field;
    uint64_t random[2];
    double work;

    int *at;        /* [part] cand */
    int64_t *slack; /* [row] capacity - load */
    double *alpha;  /* [row] penalty of each unit over */
    double *fine;   /* [site] penalties now */
    double fines;   /* of all */
    double cost;    /* sum of w */
    struct hunt_part *part;
    double *waste; /* [site] the price of what is free */
    int *member;   /* [site * parts + i] */
    int *members;  /* [site] */
    int *place;    /* [part] its i */
    int *order;    /* [part] of a descent */

    /* The chain under way; marks hold the stamp of the last one that touched them. */
    uint32_t stamp;
    uint32_t *site_mark;
    double *in;     /* [site] the ejected part's return there */
    int *return_to; /* [site] its cand there */

    bool found;       /* best[] keeps all */
    bool fits_seen;   /* in this descent */
    double best_cost; /* sum of w */
    int *best;        /* [part] cand */
    int *trial;       /* scratch, [part] */
    int64_t *load;    /* scratch, [row] */
};

int hunt_create(const struct hunt_field *field, uint64_t seed, struct arena *arena,
                struct hunt **ret_hunt) WARN_UNUSED;
/* The state becomes at[], which may be the hunt's own; after a change of alpha too. */
void hunt_load(struct hunt *hunt, const int *at);
/* What one part's going to another of its cands changes in cost and penalties. */
double hunt_change(const struct hunt *hunt, int part, int cand);
void hunt_move(struct hunt *hunt, int part, int cand);
/* Until no chain from any part is a gain. */
void hunt_descend(struct hunt *hunt);
/* The state is remembered if it keeps all and is cheaper than the best. */
void hunt_keep(struct hunt *hunt);
/* Penalties rise where the state is over, or all fall if the last descent saw what fits. */
void hunt_adapt(struct hunt *hunt);
uint64_t hunt_random(struct hunt *hunt);
int hunt_below(struct hunt *hunt, int limit); /* 0 to limit - 1 */
