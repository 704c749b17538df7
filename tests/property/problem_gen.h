/*
 * problem_gen: placement problems from a seed, for the solver's tests and benchmarks. The same seed
 * and shape give the same problem on every machine. Memory from the arena.
 */
#pragma once

#include "model/problem.h"

struct gen_random {
    uint64_t state;
};
void gen_seed(struct gen_random *random, uint64_t seed);
uint64_t gen_below(struct gen_random *random, uint64_t limit); /* 0 .. limit - 1 */
bool gen_chance(struct gen_random *random, int percent);

/* Anything at all: every kind of rule and meter, often infeasible. */
void gen_any(uint64_t seed, int parts, int sites, struct arena *arena, struct problem *out);

/* A family of `family` parts that may share instances, and `others` beside it. A choice is a site,
 * a variant of `variants` and a set of sharers; who shares agrees on it by pair rules; only the
 * lead takes room; costs and pair costs may be negative. Rules and meters as in gen_any. */
void gen_family(uint64_t seed, int family, int others, int sites, int variants, struct arena *arena,
                struct problem *out);

/* Apps as people write them: trees of some workloads with some chords, traffic between them
 * that costs by latency and egress, tags, anti-affinity, capacity, tiered meters per provider. */
struct gen_app_shape {
    uint64_t seed;
    int parts;
    int sites;
    int chord_percent;    /* extra links, per cent of the parts */
    int capacity_percent; /* room at all sites together, per cent of the demand; 0: no capacities */
    bool tiers;           /* egress by tiered meters instead of flat prices */
    int app_parts;        /* workloads of an app; 0: 12 */
};
void gen_app(const struct gen_app_shape *shape, struct arena *arena, struct problem *out);
