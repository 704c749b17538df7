/*
 * subsets_internal: what the files of subsets.h share.
 *
 * Costs are multiplied by `scale`, so that rounding prices loses little. The sets of a site are one
 * range of set[]; a node of the tree has open the first count[site] of each, and everything below
 * it only changes their order: no copies, and going back is taking the old counts.
 */
#pragma once

#include "model/solve/subsets.h"

#define SUBSETS_POOL 4096 /* columns that are kept from one programme to the next */

struct subset {
    int64_t cost; /* scaled */
    uint32_t parts;
};

/* A column of the programmes. */
struct subset_at {
    struct subset set;
    int site;
};

/* A level of the tree. */
struct subsets_node {
    size_t *count;                /* [site] */
    uint32_t *must;               /* [site]: parts that are put there */
    uint32_t *never;              /* [site]: parts that are put elsewhere */
    int64_t *least;               /* [site]: of cost less the prices of its parts */
    int64_t price[SUBSETS_PARTS]; /* scaled */
    int64_t bound;                /* scaled: the prices and `least` together */
};

struct subsets {
    const struct grid *grid;
    const struct subsets_options *options;
    struct arena *arena;
    int parts;
    int sites;

    /* What grid and links come to; from subsets_read. */
    int *cell;       /* [site * parts + part], or -1 */
    int64_t *own;    /* [site * parts + part] */
    int64_t *pair;   /* [(site * parts + a) * parts + b]: both are there */
    uint32_t *apart; /* [site * parts + part]: parts that must not be there with it */
    int64_t reach;   /* no sum of these exceeds it, nor its negative */
    int64_t scale;

    struct subset *set;
    size_t *first; /* [sites + 1] */

    struct subset_at *pool; /* [SUBSETS_POOL], a ring */
    size_t pooled;          /* in all; the ring holds the last ones */

    struct subset *buffer; /* of subsets_cover: levels one after the other */
    size_t buffer_count;

    int64_t limit; /* scaled: only what costs this or less is of use */
    struct subsets_result result;
    int64_t open;  /* scaled: the least bound of what is left untried */
    int64_t known; /* scaled: the root's bound; INT64_MIN: not yet */
    bool stopped;
    int64_t asked; /* work when the progress was last told */
};

struct subsets_cover {
    size_t sets_max;  /* more are not tried */
    int64_t work_max; /* additions; 0: no limit of its own */
};

/* subsets_read.c: false when the grid is not of the shape; rc < 0 for lack of memory. */
int subsets_read(struct subsets *subsets, bool *ret_fits, struct error *err);
/* subsets_list.c: the sets of every site; false when they are more than `most`. */
bool subsets_list(struct subsets *subsets, size_t most);

/* subsets_price.c */
/* The bound at the node's own prices, and `least`. INT64_MAX: a site has no set left. */
void subsets_bound(struct subsets *subsets, struct subsets_node *node);
/* Better prices, with at most so many programmes. */
void subsets_price(struct subsets *subsets, struct subsets_node *node, int rounds);
/* What a set adds above the node's bound. */
struct subsets_table {
    int64_t sum[4][256]; /* of prices, by eight parts each */
};
void subsets_table(const int64_t *price, struct subsets_table *ret_table);
static inline int64_t subsets_price_of(const struct subsets_table *table, uint32_t parts)
{
    return table->sum[0][parts & 255] + table->sum[1][parts >> 8 & 255] +
           table->sum[2][parts >> 16 & 255] + table->sum[3][parts >> 24];
}

/* subsets_cover.c: tries every exact cover of sets that add at most `room` each; false when that
 * are too many, or the work is spent: what it found is kept. */
bool subsets_cover(struct subsets *subsets, const struct subsets_node *node, int64_t room,
                   const struct subsets_cover *limits);

/* subsets.c */
/* A placement, site by site. */
void subsets_take(struct subsets *subsets, const uint32_t *parts_at);
/* False: the budget is spent, or nobody wants more. */
bool subsets_go_on(struct subsets *subsets, int64_t work);
