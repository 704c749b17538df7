/*
 * primal_loose: the search for parts without links.
 *
 * The parts that have several cells within a small rise of their cheapest are listed with those
 * cells: some thousands per site, whatever the number of parts; all others stay where they are. A
 * round opens a group of sites, puts their parts where each is cheapest among what is open, and
 * closes one site after the other: of the moves between it and what is still open those are taken
 * that fill it best (primal_match.h), while the sites still open pay and are paid at the prices.
 * Sites where the filling has cost much are closed early next time, when there is most to choose
 * from. A round is kept when it is cheaper. Rows without a price are only held to.
 *
 * Included by model/solve/primal*.c only. A loose is read by any number of chains; each chain is
 * for one thread. Memory from primal->work.
 */
#pragma once

#include "model/solve/primal_internal.h"

struct loose_chain;

/* One cell of a part that takes part. */
struct loose_entry {
    double w; /* cost at the prices, above the part's least */
    int part; /* active */
    int cell;
    int site;
    int32_t demand[LIMIT_RESOURCES];
};

struct loose {
    const struct primal *primal;
    int parts;                 /* active */
    int *part;                 /* [active] of the grid */
    int *first;                /* [active + 1] */
    struct loose_entry *entry; /* a part's cheapest first */
    int *site_first;           /* [site + 1] */
    int *site_entry;           /* the entries at each site */
    int site_most;             /* of one site */
    bool several;              /* some part has two cells at one site */
    int *base;                 /* [active] entry */
    int64_t *slack;            /* [row] capacity - load of the base */
    double cost;               /* of the base */
    int *priced;               /* [site] rows that have a price */
    double *weight;            /* [site] the more of them and the higher, the more */
};

/* The cells around `choice` that matter, about `cells` of them. */
int loose_create(struct primal *primal, const int *choice, int cells,
                 struct loose **ret_loose) WARN_UNUSED;
/* Begins with the choice that the loose was made of, if that keeps everything. */
int loose_chain_create(const struct loose *loose, uint64_t seed,
                       struct loose_chain **ret_chain) WARN_UNUSED;
/* Rounds until so much work more is done, or the cost is no more than `target`. */
void loose_run(struct loose_chain *chain, double work, double target);
/* Of the best that keeps everything, as doubles have it; INFINITY: there is none yet. */
double loose_cost(const struct loose_chain *chain);
double loose_work(const struct loose_chain *chain);
int64_t loose_rounds(const struct loose_chain *chain);
/* Goes on from the best of another chain of the same loose. */
void loose_adopt(struct loose_chain *chain, const struct loose_chain *from);
/* Writes the best over choice[], which is the one that the loose was made of. */
void loose_choice(const struct loose_chain *chain, int *choice);
