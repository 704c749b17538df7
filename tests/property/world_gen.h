/*
 * world_gen: worlds and apps by the thousand from a seed, as documents that the real readers read,
 * for tests and benchmarks of what has to stay quick. The same seed and shape give the same
 * documents on every machine.
 *
 * Sites are of three providers and edges, with a CPU and a memory price each, a position, and a
 * declared capacity; egress has tiers. Workloads of an app are asked by users and, where linked,
 * form a chain of branches; every third needs a provider by its tag.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/cost.h"

struct world_shape {
    uint64_t seed;
    int sites;
    int apps;
    int workloads;        /* of each app */
    bool linked;          /* workloads call each other */
    int capacity_percent; /* room at all sites together, per cent of the demand; 0: no limit */
    int tagged_percent;   /* workloads that need a provider */
};

struct world_made {
    struct world world;
    struct app *apps;
    struct cost_input input; /* everything is nowhere and may move */
    struct placement *at;    /* [part]: nowhere */
    int parts;
};

/* The documents' mistakes are errors, as are limits. `ret_made` must stay where it is. */
int world_make(const struct world_shape *shape, struct arena *arena, struct world_made *ret_made,
               struct error *err) WARN_UNUSED;
