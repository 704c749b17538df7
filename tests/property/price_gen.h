/*
 * price_gen: a problem at other prices, from a seed: what sessions are asked about. The same seed
 * gives the same prices on every machine. Memory from the arena, beside what the base has.
 */
#pragma once

#include "tests/property/problem_gen.h"

struct gen_price_shape {
    uint64_t seed;
    int spread_percent;   /* each site's prices, and what its links cost, dearer or cheaper */
    int capacity_percent; /* each capacity more or less; 0: the base's */
    int meter_percent;    /* each meter's prices dearer or cheaper; 0: the base's */
};
void gen_prices(const struct problem *base, const struct gen_price_shape *shape,
                struct arena *arena, struct problem *out);
