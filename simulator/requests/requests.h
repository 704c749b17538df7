/*
 * requests: a world in which every single request is simulated.
 *
 * Plain tables describe it. A *source* (users of one region, one class of traffic) makes requests
 * by an arrival process and sends each along a *route*: over links to a station at a site, where it
 * waits, is served and perhaps looked up in a cache; what the cache has not goes on along the miss
 * route; the answer comes back the same way. A route that is closed (its site is down or being
 * reclaimed, its station has no room) gives the request to its `otherwise`: it starts there anew,
 * from its origin, having spent what it spent; without one it is lost. A site that goes down fails
 * what is served or waits there. That is the placement: who is served where, and what then.
 *
 * A run yields what a ledger needs: per source the requests offered, completed, lost, failed and
 * under way, hits and misses, latencies as a sketch (microseconds); per link messages and bytes
 * each way with its price class; per station waits and CPU time; per site CPU time and downtime.
 * Nothing is lost in the counting: requests_balanced checks at any instant that requests, bytes on
 * links and time in queues add up.
 *
 * Where all of a trip is known when it begins (links of constant latency without shared bandwidth,
 * a station that is unlimited or was reserved, no cache, no failures) it is one event; otherwise
 * one for each step. The counters are the same either way, and exact at any instant.
 *
 * Chance: each source, link, cache, site and probe has streams of its own (engine/random.h), so the
 * same seed gives two worlds that differ in placement the same arrivals, objects and work. Equal
 * tables, seed and instants give equal results and hashes, whatever else the process does. Tables
 * are the caller's and stay unchanged while the world lives. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "metrics/sketch.h"
#include "simulator/engine/engine.h"
#include "simulator/engine/random.h"
#include "simulator/engine/stats.h"
#include "simulator/requests/arrivals.h"
#include "simulator/requests/cache.h"

#define REQUESTS_HOPS      4 /* links of one route */
#define REQUESTS_DEPTH     4 /* routes that one request is on at once: misses of misses */
#define REQUESTS_NONE      (-1)
#define REQUESTS_UNLIMITED (-1)
#define REQUESTS_TABLE_MAX 65535 /* rows of any table */

struct requests_site {
    const char *name;
};

enum requests_order {
    REQUESTS_FIFO,   /* first come, first served, one server each */
    REQUESTS_SHARING /* all at once, at equal shares of the servers, never more than one each */
};

enum requests_hold {
    REQUESTS_HOLD_SERVICE, /* a server is taken when the request is served */
    REQUESTS_HOLD_TRIP     /* reserved when it is sent, free when the answer is back; no queue */
};

struct requests_station {
    const char *name;
    int32_t site;
    int32_t servers; /* 0: as many as come */
    int64_t room;    /* places to wait beside the servers, or REQUESTS_UNLIMITED */
    enum requests_order order;
    enum requests_hold hold;
};

/* Bandwidth is each direction's own; transfers under way share it equally, then comes the latency.
 */
struct requests_link {
    const char *name;
    int32_t price_class; /* the caller's: results are summed by it */
    int64_t bytes_per_s; /* 0: no limit */
    struct random_duration latency;
};

struct requests_catalogue {
    uint64_t objects;
    double exponent; /* of Zipf: object k is asked for like k^-exponent */
};

struct requests_cache {
    const char *name;
    int32_t catalogue;
    struct cache_policy policy;
};

struct requests_route {
    int32_t links[REQUESTS_HOPS]; /* from the origin on */
    int32_t link_count;
    int32_t station;
    int32_t cache;     /* asked when the station is done, or REQUESTS_NONE */
    int32_t miss;      /* a route for what the cache has not; with a cache only */
    int32_t otherwise; /* a route when this one is closed, or REQUESTS_NONE; not in a circle */
    bool own_bytes;    /* a request and its answer have the bytes below, else the source's */
    int64_t request_bytes;
    int64_t response_bytes;
    struct random_duration work;
};

struct requests_source {
    const char *name;
    int32_t region;
    int32_t route;
    int32_t catalogue; /* or REQUESTS_NONE */
    int64_t request_bytes;
    int64_t response_bytes;
    struct arrivals_spec arrivals;
};

/* A site is down from from_ns until until_ns. A notice of that long before (spot reclaim) closes it
 * for new requests first. */
struct requests_outage {
    int32_t site;
    int64_t from_ns;
    int64_t until_ns;
    int64_t notice_ns;
};

/* A site that comes and goes by chance, without end. */
struct requests_flaky {
    int32_t site;
    int64_t notice_ns;
    struct random_duration up;
    struct random_duration down;
};

/* What a probe saw of a station at taken_ns and tells at now_ns, if it is not lost. */
struct requests_sample {
    int64_t taken_ns;
    int64_t now_ns;
    int32_t station;
    int32_t busy;
    int64_t waiting;
    uint64_t arrived;
    uint64_t served;
    uint64_t refused;
    bool up;
};

struct requests_probe {
    int64_t every_ns; /* 0: no samples */
    uint32_t loss_ppm;
    struct random_duration lag;
    void (*deliver)(void *context, const struct requests_sample *sample);
    void *context;
};

struct requests_tables {
    const struct requests_site *sites;
    const struct requests_station *stations;
    const struct requests_link *links;
    const struct requests_catalogue *catalogues;
    const struct requests_cache *caches;
    const struct requests_route *routes;
    const struct requests_source *sources;
    const struct requests_outage *outages;
    const struct requests_flaky *flaky;
    int32_t site_count;
    int32_t station_count;
    int32_t link_count;
    int32_t catalogue_count;
    int32_t cache_count;
    int32_t route_count;
    int32_t source_count;
    int32_t outage_count;
    int32_t flaky_count;
    struct requests_probe probe;
    bool step_by_step; /* never one event for a whole trip: for tests that compare both */
};

struct requests;

/* ERR_INVALID names the table, the row, the field and the rule. */
int requests_create(const struct requests_tables *tables, uint64_t seed, struct requests **ret,
                    struct error *err) WARN_UNUSED;
void requests_destroy(struct requests *requests);

/* Runs until an instant, events of that instant included. ERR_INVALID when a trace goes back in
 * time (named), ERR_LIMIT when more is under way than memory or the engine holds; the world is then
 * of no further use. */
int requests_run(struct requests *requests, int64_t until_ns, struct error *err) WARN_UNUSED;
/* Forgets what was counted (a warm-up), not what is under way. */
void requests_restart(struct requests *requests);

struct requests_source_result {
    uint64_t carried; /* under way when the counting began */
    uint64_t offered;
    uint64_t completed;
    uint64_t lost;   /* no open route */
    uint64_t failed; /* their site went down */
    uint64_t under_way;
    uint64_t hits;
    uint64_t misses;
    uint64_t bytes_sent;            /* onto links, each link counted, both ways */
    const struct sketch *latencies; /* microseconds; of the world, until it runs on */
};

struct requests_station_result {
    uint64_t arrived; /* at the station, or reserved for it */
    uint64_t served;
    uint64_t refused; /* no room */
    uint64_t failed;
    uint64_t here;    /* waiting or served now */
    uint64_t carried; /* when the counting began */
    __int128 cpu_ns;
    __int128 held_ns;           /* reserved servers x time; HOLD_TRIP only */
    __int128 queued_ns;         /* integral of the queue's length */
    __int128 waited_ns;         /* summed over requests, those that still wait included */
    struct stats_interval wait; /* of a request, in nanoseconds, 95 % */
    double held_mean;
    double busy_mean;
    double queue_mean;
    const struct sketch *waits; /* microseconds */
};

struct requests_link_result {
    int32_t price_class;
    uint64_t messages_out;
    uint64_t messages_back;
    uint64_t bytes_out; /* put on it */
    uint64_t bytes_back;
    uint64_t bytes_left;    /* come to its end, both ways */
    uint64_t bytes_on;      /* on it now */
    uint64_t bytes_carried; /* on it when the counting began */
};

struct requests_site_result {
    __int128 cpu_ns;
    int64_t down_ns;
    bool up;
};

/* All of it at the present instant. */
struct requests_source_result requests_source_result(struct requests *requests, int32_t source);
struct requests_station_result requests_station_result(struct requests *requests, int32_t station);
struct requests_link_result requests_link_result(struct requests *requests, int32_t link);
/* Summed over the links of a price class: what is put on them, out and back. */
void requests_class_bytes(struct requests *requests, int32_t price_class, uint64_t ret_bytes[2]);
struct requests_site_result requests_site_result(struct requests *requests, int32_t site);
/* Adds the latencies of a region's sources; `into` is the caller's. */
void requests_region_latencies(struct requests *requests, int32_t region, struct sketch *into);

/* ERR_CORRUPT names the row and the sum that does not come out; a bug of this module if ever. */
int requests_balanced(struct requests *requests, struct error *err) WARN_UNUSED;
int64_t requests_now_ns(const struct requests *requests);
uint64_t requests_events(const struct requests *requests);
uint64_t requests_hash(struct requests *requests);      /* of every event and every counter */
size_t requests_bytes(const struct requests *requests); /* memory, sketches included */
