/*
 * requests_internal: the state of a world of requests, for the files of this module.
 *
 * Counters only grow; what a caller sees is the difference to `base`, their state when the counting
 * was restarted. Trips of one event count when they end; `settle` adds those under way as far as
 * they have come. One thread at a time.
 */
#pragma once

#include "simulator/requests/requests.h"
#include "simulator/requests/sharing.h"

#define TRIP_NONE UINT32_MAX

enum event_kind {
    EVENT_ARRIVAL,        /* b: source */
    EVENT_WHOLE,          /* a: began_ns, b: source << 16 | route: all of a trip */
    EVENT_STEP,           /* a: trip: at the end of a link */
    EVENT_SERVED,         /* a: trip */
    EVENT_STATION_SHARED, /* b: station: the next of those that share it is done */
    EVENT_LINK_SHARED,    /* b: link * 2 + direction */
    EVENT_CLOSE,          /* b: site */
    EVENT_DOWN,           /* b: site; a: flaky row + 1, or 0 */
    EVENT_UP,             /* b: site; a: flaky row + 1, or 0 */
    EVENT_SAMPLE,
    EVENT_DELIVER, /* a: pending sample */
};

enum trip_stage { STAGE_FREE, STAGE_OUT, STAGE_WAITING, STAGE_SERVED, STAGE_SHARED, STAGE_BACK };

struct trip {
    int64_t began_ns;
    int64_t since_ns; /* at its station */
    int64_t work_ns;
    uint64_t event;
    uint32_t source;
    uint32_t object;
    uint32_t before; /* in its station's queue or list of served, ends at TRIP_NONE */
    uint32_t after;  /* likewise; of a free one: the next free */
    uint16_t routes[REQUESTS_DEPTH];
    uint8_t depth;
    uint8_t hop;   /* OUT: the next link; BACK: one above it */
    uint8_t stage; /* enum trip_stage */
    uint8_t held;  /* bit d: a reserved server of routes[d]'s station */
};

struct trip_list {
    uint32_t first;
    uint32_t last;
};

struct source_counts {
    uint64_t offered;
    uint64_t completed;
    uint64_t lost;
    uint64_t failed;
    uint64_t hits;
    uint64_t misses;
    uint64_t sent;
    uint64_t under_way; /* set by settle, by counting them */
};

struct station_counts {
    uint64_t arrived;
    uint64_t served;
    uint64_t refused;
    uint64_t failed;
    uint64_t here; /* set by settle, by counting them */
    __int128 cpu_ns;
    __int128 held_ns;
    __int128 busy_ns;
    __int128 queued_ns;
    __int128 waited_ns;
};

struct link_counts {
    uint64_t messages[2]; /* out, back */
    uint64_t bytes[2];
    uint64_t left;
    uint64_t on; /* set by settle, by adding them up */
};

struct source_state {
    const struct requests_source *spec;
    struct arrivals arrivals;
    struct random_stream work;
    struct random_stream objects;
    struct random_zipf zipf;
    struct sketch latencies;
    struct source_counts counts;
    struct source_counts settled;
    struct source_counts base;
};

struct station_state {
    const struct requests_station *spec;
    uint32_t reserved_max; /* UINT32_MAX: nothing is reserved here */
    uint32_t reserved;
    struct stats_level held;
    struct stats_level busy;
    struct stats_level queue;
    struct trip_list waiting;
    struct trip_list served;
    struct sharing sharing;
    uint64_t sharing_event;
    struct station_counts counts;
    struct station_counts settled;
    struct station_counts base;
    struct stats_batches waits;
    struct sketch wait_sketch;
};

struct link_state {
    const struct requests_link *spec;
    struct random_stream stream;
    struct sharing sharing[2];
    uint64_t sharing_event[2];
    struct link_counts counts;
    struct link_counts settled;
    struct link_counts base;
};

struct route_state {
    const struct requests_route *spec;
    struct station_state *station;
    int64_t way_ns; /* one way, of a whole trip */
    double work_ns; /* mean of an exponential without floor; 0: drawn by random_duration_ns */
    bool whole;     /* its trips are one event */
    int32_t site;
    struct random_stream work; /* of what comes here by a miss */
    /* Of whole trips, by source: how many ended. CPU time of the ended ones, at its station. */
    uint64_t *ended;
    __int128 ended_cpu_ns;
};

struct site_state {
    uint32_t closed; /* reasons to be closed; open is 0 */
    uint32_t down;
    int64_t down_since_ns;
    int64_t down_ns;
    int64_t base_down_ns;
};

struct flaky_state {
    struct random_stream stream;
};

struct requests {
    struct engine *engine;
    struct requests_tables tables;
    struct source_state *sources;
    struct station_state *stations;
    struct link_state *links;
    struct route_state *routes;
    struct site_state *sites;
    struct cache **caches;
    struct flaky_state *flaky;
    struct trip *trips;
    uint32_t trips_used;
    uint32_t trips_room;
    uint32_t trips_free;
    struct random_stream probe_stream;
    struct requests_sample *samples; /* under way to the caller, with a list of free ones */
    uint32_t *samples_free;
    uint32_t samples_room;
    uint32_t samples_free_count;
    bool broken;  /* no memory, or too much under way */
    bool settled; /* the settled counters are of this instant */
    int64_t counted_from_ns;
};

/* ---- requests_trip.c: trips step by step ---- */
void trip_start(struct requests *world, uint32_t source, int32_t route);
void trip_step(struct requests *world, uint32_t trip);
void trip_served(struct requests *world, uint32_t trip);
void trip_station_shared(struct requests *world, uint32_t station);
void trip_link_shared(struct requests *world, uint32_t link, int direction);
void trip_site_down(struct requests *world, int32_t site);
uint64_t trip_link_bytes(const struct requests *world, const struct trip *trip, int32_t *ret_link);
/* Of a request on a route, or of its answer. */
uint64_t trip_bytes(const struct requests_route *route, const struct requests_source *source,
                    bool out);

/* ---- requests_result.c ---- */
void requests_settle(struct requests *world);
/* ---- requests_check.c ---- */
int requests_tables_check(const struct requests_tables *tables, struct error *err) WARN_UNUSED;
