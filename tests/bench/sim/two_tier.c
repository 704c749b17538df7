#include "tests/bench/sim/two_tier.h"

void two_tier_init(struct two_tier *world, double per_s, int32_t slots)
{
    *world = (struct two_tier){
        .sites = {{.name = "edge"}, {.name = "cloud"}},
        .stations =
            {{.name = "edge", .site = TWO_TIER_EDGE, .servers = slots, .hold = REQUESTS_HOLD_TRIP},
             {.name = "cloud", .site = TWO_TIER_CLOUD}},
        .links = {{.name = "to the edge",
                   .latency = {.kind = RANDOM_CONSTANT, .mean_ns = 5 * NS_PER_MS}},
                  {.name = "to the cloud",
                   .price_class = 1,
                   .latency = {.kind = RANDOM_CONSTANT, .mean_ns = 50 * NS_PER_MS}}},
        .source = {.name = "users",
                   .route = TWO_TIER_EDGE,
                   .catalogue = REQUESTS_NONE,
                   .request_bytes = TWO_TIER_REQUEST_BYTES,
                   .response_bytes = TWO_TIER_RESPONSE_BYTES,
                   .arrivals = {.kind = ARRIVALS_POISSON, .per_s = per_s}},
    };
    for (int32_t i = 0; i < 2; i++)
        world->routes[i] =
            (struct requests_route){.links = {i},
                                    .link_count = 1,
                                    .station = i,
                                    .cache = REQUESTS_NONE,
                                    .miss = REQUESTS_NONE,
                                    .otherwise = i == 0 ? TWO_TIER_CLOUD : REQUESTS_NONE,
                                    .work = {.kind = RANDOM_EXPONENTIAL, .mean_ns = NS_PER_S}};
    world->tables = (struct requests_tables){.sites = world->sites,
                                             .stations = world->stations,
                                             .links = world->links,
                                             .routes = world->routes,
                                             .sources = &world->source,
                                             .site_count = 2,
                                             .station_count = 2,
                                             .link_count = 2,
                                             .route_count = 2,
                                             .source_count = 1};
}
