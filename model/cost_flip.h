/*
 * cost_flip: what would change the mind: for one workload of a placement, each input by itself and
 * the smallest change of it at which another site (or variant) becomes the better one, everything
 * else staying where it is.
 *
 * Inputs: the workload's calls, hit ratio and CPU time per call; its links' bytes; the prices of
 * its present and of its best other sites (CPU, memory, storage); the price of each egress rule
 * that it meets; round trips of its links; the latency and CPU weights. Each is varied alone
 * between a hundredth and a hundredfold (a ratio: between 0 and 1) and the turning point is found
 * by bisection to 0.1 % of the value; an input that turns nothing in that range is left out. Sorted
 * by the smallest relative change first.
 *
 * Pure; memory from the arena. Any thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct cost_flip {
    char input[LIMIT_TEXT_BYTES]; /* "hit ratio of default/shop/inference at edge/nyc" */
    char unit[LIMIT_NAME_BYTES];  /* "ratio", "calls/s", "USD per vCPU-hour", "ms" */
    struct decimal present;
    struct decimal at;           /* beyond it the other site wins */
    bool above;                  /* flips above `at`, else below */
    int64_t change_ppm;          /* |at - present| / present; INT64_MAX when present is 0 */
    struct placement to;         /* what wins then */
    char text[LIMIT_TEXT_BYTES]; /* "a hit ratio below 41 % (now 90 %) moves it to gcp/us-central1"
                                  */
};

/* ERR_INVALID when a part of at[] is nowhere. */
int cost_flips(const struct cost_input *input, const struct placement *at, int part,
               struct arena *arena, struct cost_flip **ret_flips, int *ret_count,
               struct error *err) WARN_UNUSED;
