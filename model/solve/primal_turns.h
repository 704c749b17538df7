/*
 * primal_turns: in what order sites are closed and what fills them is looked at, for primal_loose.h
 * and primal_fill.h; and the numbers they draw.
 *
 * All orders are total, so that sorting gives the same on every machine. Header only: the
 * comparisons are where the time goes.
 */
#pragma once

#include <stdint.h>

/* A site's turn: heaviest first, then the lower number. */
struct primal_turn {
    double weight;
    int site;
};

/* The head of a candidate: what it costs more, and what it changes to. Cheapest first. */
struct primal_offer {
    double rise;
    int to;
};

/* 0 to below 1; *random is not 0. */
static inline double primal_draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return (double)(*random >> 11) * 0x1p-53;
}

static inline int primal_turn_order(const void *a, const void *b)
{
    const struct primal_turn *x = a;
    const struct primal_turn *y = b;
    if (x->weight != y->weight) {
        return x->weight > y->weight ? -1 : 1;
    }
    return (x->site > y->site) - (x->site < y->site);
}

static inline int primal_offer_order(const void *a, const void *b)
{
    const struct primal_offer *x = a;
    const struct primal_offer *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return (x->to > y->to) - (x->to < y->to);
}
