/*
 * primal_search: what the files of the search from prices share: the best so far, and the kinds of
 * rounds that look for better. primal.c decides which come and when they end, primal_rounds.c has
 * them, primal_best.c judges what they find, primal_make.c lists what all of them read.
 *
 * A round leaves what it found with primal_consider. Each returns 0, or the code of an error that
 * is in primal->err. One thread calls; rounds start their own.
 */
#pragma once

#include "model/solve/primal_internal.h"

/* Of linked parts: searches that begin anew from the cheapest cells, at most. */
#define PRIMAL_DESCENTS 8

struct primal_search {
    struct primal *primal;
    int *base;
    int *trial;
    int64_t *load;
    int64_t spoke_us;
    struct primal_result best; /* of the descent at hand */
    struct primal_result kept; /* of those before it */
    bool fitted;               /* whole apps were annealed: single moves find little after that */
};

/* ---- primal_make.c ---- */

/* Fills what the searches read: parts, links, apps, cheap cells and columns. */
int primal_prepare(struct primal *primal);
/* Prices stay: what each app may as well do is listed once. */
int primal_prepare_columns(struct primal *primal);

/* ---- primal_rounds.c ---- */

/* Two chains, whatever the number of threads; they meet after each slice. */
int primal_round_loose(struct primal_search *search, int *base, double sets);
/* Two orders of the sites, whatever the number of threads. */
int primal_round_settle(struct primal_search *search, int round, int idle);
/* Two chains from the same base, whatever the number of threads; the better one wins, the first
 * one on ties. */
int primal_round_anneal(struct primal_search *search, int harsh);
/* Linked parts whose columns are listed: sites are filled with whole apps (primal_fill.h), so much
 * is looked at. *ret_found: with something that keeps all. */
int primal_round_fill(struct primal_search *search, double work, bool *ret_found);
/* The same over whole apps. */
int primal_round_swap(struct primal_search *search, int descent);
/* Loose parts that need more at one site than at another, and few enough of them to look at all
 * again and again. */
bool primal_ejects(const struct grid *grid);
int primal_round_eject(struct primal_search *search);

/* ---- primal_best.c ---- */

/* Judged in integers: what keeps all beats what does not, then fewer rows over, then the cost. */
void primal_consider(struct primal_search *search, const int *choice);
/* The better of this descent and the ones before, which wins ties, is the best. */
void primal_keep_better(struct primal_search *search);
bool primal_keeps_all(struct primal_search *search, const int *choice);
bool primal_is_done(struct primal_search *search);
/* Tells who asked, now and then, of the best cost so far; takes note when no more is wanted. */
void primal_tell(struct primal_search *search, double cost);
/* What need not be improved on: the bound is a rounding error below the optimum it proves. */
double primal_good_cost(const struct primal *primal);
/* Parts that may as well be where they are now go back there: ties are won by the present. */
void primal_go_home(struct primal_search *search);
