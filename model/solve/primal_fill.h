/*
 * primal_fill: fills sites one after the other with sets of whole apps' changes.
 *
 * Each app is at one of its columns (primal_board.h). A round opens a group of sites, puts each app
 * at the cheapest of its columns that takes at the closed sites what it takes there now, and closes
 * one open site after the other: of the changes of apps that touch it and no closed one, the set
 * that fills it best is taken (primal_match.h), while the sites still open pay and are paid at the
 * prices. Sites where that has cost much are closed early next time. What is over its capacity is
 * fined; a round is kept when it is cheaper, but nothing that breaks a capacity takes the place of
 * what keeps all. This is primal_loose.h for parts that are linked: there a change has two sites,
 * here as many as the app's parts.
 *
 * Included by model/solve/primal*.c only. A board is read by any number of fills; each is for one
 * thread. Memory from primal->work.
 */
#pragma once

#include "model/solve/primal_board.h"

struct primal_fill;

int primal_fill_create(const struct primal_board *board, uint64_t seed,
                       struct primal_fill **ret_fill) WARN_UNUSED;
/* Rounds until so much work more is done, or the cost is no more than `target`. */
void primal_fill_run(struct primal_fill *fill, double work, double target);
/* Whether the best keeps everything; and its cost as doubles have it, with fines if it does not. */
bool primal_fill_fits(const struct primal_fill *fill);
double primal_fill_cost(const struct primal_fill *fill);
/* What keeps everything beats what does not, then the cheaper one. */
bool primal_fill_beats(const struct primal_fill *fill, const struct primal_fill *other);
/* What budgets are counted in: sets and columns that were looked at. */
double primal_fill_work(const struct primal_fill *fill);
int64_t primal_fill_rounds(const struct primal_fill *fill);
/* Goes on from the best of another fill of the same board. */
void primal_fill_adopt(struct primal_fill *fill, const struct primal_fill *from);
void primal_fill_choice(const struct primal_fill *fill, int *choice);

/* ---- primal_fill_pair.c ---- */

struct primal_fill_pair_options {
    double work;   /* until it ends, about; twice that as long as nothing fits */
    double target; /* a cost that need not be improved on */
    /* Before each slice, in the caller's thread, with the cost of what fits; false: no more. */
    bool (*tell)(void *context, double best);
    void *context;
};

/* Two fills from where the board starts. *ret_found: choice[] is the best, and keeps all; else it
 * is left. */
int primal_fill_pair(const struct primal_board *board,
                     const struct primal_fill_pair_options *options, int *choice,
                     bool *ret_found) WARN_UNUSED;
