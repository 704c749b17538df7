/*
 * cost_flip: what would change the mind: for one workload of a placement, each input by itself and
 * the smallest change of it at which another site (or variant) becomes the better one, everything
 * else staying where it is.
 *
 * Better is what the solver would see: the score with the cost of moving there and the preference
 * to stay. Rules stay as they are at present; of the places that they allow, the twelve that are
 * nearest to being chosen are considered, and one that is better already is none.
 *
 * Inputs: the workload's calls, hit ratio and CPU time per call; its links' bytes; the prices of
 * its present and of its three nearest other places (CPU, memory, storage); the price of each
 * egress rule that it meets there; round trips of its links; the latency and CPU weights. Each is
 * varied alone between a hundredth and a hundredfold (a ratio: between 0 and 1), in a few steps,
 * and the turning point between two steps is found by bisection to 0.1 % of the value, on exact
 * recomputations; an input that turns nothing is left out. An input may turn something both ways:
 * that is two flips. Sorted by the smallest relative change first.
 *
 * Pure; memory from the arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct cost_flip {
    char input[LIMIT_TEXT_BYTES * 2]; /* "hit ratio of default/shop/inference at edge/nyc" */
    char unit[LIMIT_NAME_BYTES];      /* "ratio", "calls/s", "USD per vCPU-hour", "ms" */
    struct decimal present;
    struct decimal at;   /* beyond it the other site wins */
    bool above;          /* flips above `at`, else below */
    int64_t change_ppm;  /* |at - present| / present; INT64_MAX when present is 0 */
    struct placement to; /* what wins then */
    char text[LIMIT_TEXT_BYTES *
              2]; /* "a hit ratio below 41 % (now 90 %) moves it to gcp/us-central1"
                   */
};

/* ERR_INVALID when the part is nowhere. */
int cost_flips(const struct cost_input *input, const struct placement *at, int part,
               struct arena *arena, struct cost_flip **ret_flips, int *ret_count,
               struct error *err) WARN_UNUSED;
