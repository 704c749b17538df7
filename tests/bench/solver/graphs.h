/*
 * graphs: apps as call graphs at the regions of three clouds, as a grid.
 *
 * An app is drawn from the call graphs that calls.h read: one of them, the service with most calls
 * and what is connected with it of the others (each is left out with a chance of 15 %), at 0.5 to
 * four times the measured load, for users near one region. Apps are drawn until the workloads are
 * exactly as many as asked for. Everything follows from the data and the seed. Costs are
 * nano-dollars a month:
 *
 *   part    vCPUs and GiB at the region's prices; of the service that users call, their waiting too
 *   link    calls * (request * price there + answer * price back + waiting), by a table per edge
 *
 * Prices, positions and round trips of regions are the catalogue's (docs/catalogue.md); what bytes
 * cost between them is the data's. Services that hold state keep to the users' continent in three
 * of ten apps. Capacities differ by up to three times and hold `capacity_percent` of the demand in
 * all. What the data does not say: requests of CPU and memory, rates and bytes of a service are
 * then those of a measured one, by its number. Memory from the arena.
 */
#pragma once

#include "model/solve/grid.h"
#include "tests/bench/solver/calls.h"

struct graphs_shape {
    uint64_t seed;
    int parts;
    int capacity_percent;
};

int graphs_build(const struct graphs_shape *shape, const struct calls *calls,
                 const struct calls_regions *regions, struct arena *arena, struct grid *ret_grid,
                 struct error *err) WARN_UNUSED;
