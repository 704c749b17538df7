/*
 * chance: numbers that look random, each told by where it is used: (seed, stream, index). Nothing
 * is drawn in an order, so that two runs that differ in what they decide meet the same chances:
 * common random numbers. The same on every machine. Pure; any thread.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

/* Of what a chance is; and a number that tells things of one kind apart comes on top. */
enum chance_stream {
    CHANCE_LOAD = 1,
    CHANCE_BURST,
    CHANCE_MEASURE,
    CHANCE_START,
    CHANCE_REQUESTS,
};

static inline uint64_t chance_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    return hash_u64(hash_u64(hash_u64(HASH_SEED, seed), stream), index);
}

/* From 0 to PPM - 1, evenly. */
static inline int64_t chance_ppm(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (int64_t)(chance_u64(seed, stream, index) % 1000000);
}

/* About normal, mean 0, standard deviation 1,000,000: the sum of twelve even ones. */
static inline int64_t chance_normal_ppm(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint64_t from = hash_u64(hash_u64(HASH_SEED, seed), stream); /* as chance_u64, once for all */
    int64_t sum = 0;
    for (uint64_t i = 0; i < 12; i++)
        sum += (int64_t)(hash_u64(from, index * 12 + i) % 1000000);
    return sum - 6 * INT64_C(1000000);
}
