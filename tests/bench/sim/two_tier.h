/*
 * two_tier: the world of bench_sim: users whose calls are served by the edge while it has a slot
 * and by the cloud otherwise.
 *
 * Poisson arrivals; the edge is 5 ms away and has so many slots, each held from dispatch to return;
 * the cloud is 50 ms away and has no limit; service is exponential with a mean of 1 s. The share
 * that goes to the cloud is Erlang B's at load = rate x 1.010 s, whatever the distribution of the
 * service.
 */
#pragma once

#include "simulator/requests/requests.h"

#define TWO_TIER_REQUEST_BYTES  2000
#define TWO_TIER_RESPONSE_BYTES 20000
#define TWO_TIER_HELD_S         1.010

enum { TWO_TIER_EDGE, TWO_TIER_CLOUD }; /* sites, stations, links and routes */

struct two_tier {
    struct requests_site sites[2];
    struct requests_station stations[2];
    struct requests_link links[2];
    struct requests_route routes[2];
    struct requests_source source;
    struct requests_tables tables; /* points into this struct: do not copy */
};

void two_tier_init(struct two_tier *world, double per_s, int32_t slots);
