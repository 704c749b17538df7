#include "simulator/requests/requests_internal.h"

#include <stdlib.h>

#define TRIPS_FIRST 64

static bool send_whole(struct requests *world, uint32_t source, int32_t *route);
static uint32_t trip_take(struct requests *world);
static void enter(struct requests *world, uint32_t index, int32_t route);
static void leave_route(struct requests *world, struct trip *trip);
static void abandon(struct requests *world, uint32_t index, uint64_t *counter);
static void travel(struct requests *world, uint32_t index);
static void cross(struct requests *world, uint32_t index, const struct requests_link *link,
                  struct random_stream *stream);
static void arrive(struct requests *world, uint32_t index);
static void elsewhere(struct requests *world, uint32_t index);
static void begin_service(struct requests *world, uint32_t index);
static void serve_next(struct requests *world, struct station_state *station);
static void after_service(struct requests *world, uint32_t index);
static void go_back(struct requests *world, uint32_t index);
static void back_at_origin(struct requests *world, uint32_t index);
static void note_wait(struct station_state *station, int64_t wait_ns);
static void list_add(struct requests *world, struct trip_list *list, uint32_t index);
static void list_remove(struct requests *world, struct trip_list *list, uint32_t index);
static void arm(struct requests *world, const struct sharing *sharing, uint64_t *event,
                enum event_kind kind, uint32_t b);
static void fail(struct requests *world, struct station_state *station, uint32_t index);

static inline struct route_state *route_of(const struct requests *world, const struct trip *trip)
{
    return &world->routes[trip->routes[trip->depth - 1]];
}

void trip_start(struct requests *world, uint32_t source, int32_t route)
{
    struct source_state *from = &world->sources[source];
    uint32_t object = 0;
    if (from->spec->catalogue != REQUESTS_NONE)
        object = (uint32_t)random_zipf_rank(&from->objects, &from->zipf);
    while (route != REQUESTS_NONE && world->routes[route].whole)
        if (send_whole(world, source, &route))
            return;
    if (route == REQUESTS_NONE) {
        from->counts.lost++;
        return;
    }
    uint32_t index = trip_take(world);
    if (index == TRIP_NONE) {
        world->broken = true;
        return;
    }
    world->trips[index] = (struct trip){.began_ns = engine_now_ns(world->engine),
                                        .source = source,
                                        .object = object,
                                        .stage = STAGE_OUT};
    enter(world, index, route);
}

/* True when the trip is under way as one event; else `route` is the next to try. */
static bool send_whole(struct requests *world, uint32_t source, int32_t *route)
{
    struct route_state *way = &world->routes[*route];
    struct station_state *station = way->station;
    struct random_stream *stream = &world->sources[source].work;
    int64_t now_ns = engine_now_ns(world->engine);
    if (station->reserved_max != UINT32_MAX) {
        if (station->reserved >= station->reserved_max) {
            station->counts.refused++;
            *route = way->spec->otherwise;
            return false;
        }
        station->reserved++;
        stats_level_add(&station->held, 1, now_ns);
    }
    int64_t work_ns = way->work_ns > 0 ? (int64_t)(way->work_ns * random_exponential(stream))
                                       : random_duration_ns(stream, &way->spec->work);
    if (engine_at(world->engine, now_ns + 2 * way->way_ns + work_ns, EVENT_WHOLE, (uint64_t)now_ns,
                  source << 16 | (uint32_t)*route) == 0)
        world->broken = true;
    return true;
}

void trip_step(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    int32_t link;
    uint64_t bytes = trip_link_bytes(world, trip, &link);
    world->links[link].counts.left += bytes;
    trip->hop = (uint8_t)(trip->stage == STAGE_OUT ? trip->hop + 1 : trip->hop - 1);
    travel(world, index);
}

void trip_served(struct requests *world, uint32_t index)
{
    struct station_state *station = route_of(world, &world->trips[index])->station;
    list_remove(world, &station->served, index);
    stats_level_add(&station->busy, -1, engine_now_ns(world->engine));
    station->counts.served++;
    serve_next(world, station);
    after_service(world, index);
}

void trip_station_shared(struct requests *world, uint32_t index)
{
    struct station_state *station = &world->stations[index];
    int64_t now_ns = engine_now_ns(world->engine);
    station->sharing_event = 0;
    uint32_t job = sharing_take(&station->sharing, now_ns);
    if (station->sharing.count < (uint32_t)station->spec->servers)
        stats_level_add(&station->busy, -1, now_ns);
    arm(world, &station->sharing, &station->sharing_event, EVENT_STATION_SHARED, index);
    station->counts.served++;
    const struct trip *trip = &world->trips[job];
    note_wait(station, now_ns - trip->since_ns - trip->work_ns);
    after_service(world, job);
}

void trip_link_shared(struct requests *world, uint32_t index, int direction)
{
    struct link_state *link = &world->links[index];
    link->sharing_event[direction] = 0;
    uint32_t job = sharing_take(&link->sharing[direction], engine_now_ns(world->engine));
    arm(world, &link->sharing[direction], &link->sharing_event[direction], EVENT_LINK_SHARED,
        index * 2 + (uint32_t)direction);
    cross(world, job, link->spec, &link->stream);
}

/* All that is at the site's stations fails; what is on links learns it when it arrives. Caches
 * there are empty when it comes back. */
void trip_site_down(struct requests *world, int32_t site)
{
    for (int32_t i = 0; i < world->tables.station_count; i++) {
        struct station_state *station = &world->stations[i];
        if (station->spec->site != site)
            continue;
        while (station->waiting.first != TRIP_NONE)
            fail(world, station, station->waiting.first);
        while (station->served.first != TRIP_NONE)
            fail(world, station, station->served.first);
        int64_t now_ns = engine_now_ns(world->engine);
        stats_level_add(&station->busy, -station->busy.level, now_ns);
        for (uint32_t k = 0; k < station->sharing.count; k++) {
            uint32_t job = station->sharing.jobs[k].job;
            station->counts.failed++;
            abandon(world, job, &world->sources[world->trips[job].source].counts.failed);
        }
        sharing_clear(&station->sharing);
        arm(world, &station->sharing, &station->sharing_event, EVENT_STATION_SHARED, (uint32_t)i);
    }
    for (int32_t i = 0; i < world->tables.route_count; i++)
        if (world->routes[i].site == site && world->routes[i].spec->cache != REQUESTS_NONE)
            cache_clear(world->caches[world->routes[i].spec->cache]);
}

/* The bytes that a trip has on its link now. */
uint64_t trip_link_bytes(const struct requests *world, const struct trip *trip, int32_t *ret_link)
{
    const struct requests_route *route = world->routes[trip->routes[trip->depth - 1]].spec;
    const struct requests_source *source = world->sources[trip->source].spec;
    bool out = trip->stage == STAGE_OUT;
    *ret_link = route->links[out ? trip->hop : trip->hop - 1];
    return trip_bytes(route, source, out);
}

uint64_t trip_bytes(const struct requests_route *route, const struct requests_source *source,
                    bool out)
{
    if (route->own_bytes)
        return (uint64_t)(out ? route->request_bytes : route->response_bytes);
    return (uint64_t)(out ? source->request_bytes : source->response_bytes);
}

static uint32_t trip_take(struct requests *world)
{
    uint32_t index = world->trips_free;
    if (index != TRIP_NONE) {
        world->trips_free = world->trips[index].after;
        return index;
    }
    if (world->trips_used == world->trips_room) {
        uint32_t room = world->trips_room == 0 ? TRIPS_FIRST : world->trips_room * 2;
        struct trip *trips =
            room > ENGINE_PENDING_MAX ? NULL : realloc(world->trips, room * sizeof *trips);
        if (trips == NULL)
            return TRIP_NONE;
        world->trips = trips;
        world->trips_room = room;
    }
    return world->trips_used++;
}

static void trip_free(struct requests *world, uint32_t index)
{
    world->trips[index].stage = STAGE_FREE;
    world->trips[index].after = world->trips_free;
    world->trips_free = index;
}

/* Sends a trip along the first of a route and its alternatives that is open. */
static void enter(struct requests *world, uint32_t index, int32_t route)
{
    struct trip *trip = &world->trips[index];
    for (; route != REQUESTS_NONE; route = world->routes[route].spec->otherwise) {
        struct route_state *way = &world->routes[route];
        struct station_state *station = way->station;
        if (world->sites[way->site].closed > 0)
            continue;
        if (station->reserved_max != UINT32_MAX) {
            if (station->reserved >= station->reserved_max) {
                station->counts.refused++;
                continue;
            }
            station->reserved++;
            stats_level_add(&station->held, 1, engine_now_ns(world->engine));
            trip->held |= (uint8_t)(1u << trip->depth);
        }
        trip->routes[trip->depth++] = (uint16_t)route;
        trip->stage = STAGE_OUT;
        trip->hop = 0;
        travel(world, index);
        return;
    }
    abandon(world, index, &world->sources[trip->source].counts.lost);
}

/* Takes the innermost route off the trip, with what it held. */
static void leave_route(struct requests *world, struct trip *trip)
{
    struct station_state *station = route_of(world, trip)->station;
    trip->depth--;
    if ((trip->held >> trip->depth & 1) != 0) {
        trip->held &= (uint8_t) ~(1u << trip->depth);
        station->reserved--;
        stats_level_add(&station->held, -1, engine_now_ns(world->engine));
    }
}

static void abandon(struct requests *world, uint32_t index, uint64_t *counter)
{
    struct trip *trip = &world->trips[index];
    while (trip->depth > 0)
        leave_route(world, trip);
    (*counter)++;
    trip_free(world, index);
}

static void travel(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    bool out = trip->stage == STAGE_OUT;
    if (out && trip->hop == route_of(world, trip)->spec->link_count) {
        arrive(world, index);
        return;
    }
    if (!out && trip->hop == 0) {
        back_at_origin(world, index);
        return;
    }
    int32_t at;
    uint64_t bytes = trip_link_bytes(world, trip, &at);
    struct link_state *link = &world->links[at];
    int direction = !out;
    link->counts.messages[direction]++;
    link->counts.bytes[direction] += bytes;
    world->sources[trip->source].counts.sent += bytes;
    if (link->spec->bytes_per_s == 0 || bytes == 0) {
        cross(world, index, link->spec, &link->stream);
        return;
    }
    if (!sharing_add(&link->sharing[direction], engine_now_ns(world->engine), (double)bytes, index))
        world->broken = true;
    arm(world, &link->sharing[direction], &link->sharing_event[direction], EVENT_LINK_SHARED,
        (uint32_t)at * 2 + (uint32_t)direction);
}

static void cross(struct requests *world, uint32_t index, const struct requests_link *link,
                  struct random_stream *stream)
{
    int64_t at_ns = engine_now_ns(world->engine) + random_duration_ns(stream, &link->latency);
    uint64_t event = engine_at(world->engine, at_ns, EVENT_STEP, index, 0);
    world->broken = world->broken || event == 0;
}

static void arrive(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    struct route_state *route = route_of(world, trip);
    struct station_state *station = route->station;
    const struct requests_station *spec = station->spec;
    int64_t now_ns = engine_now_ns(world->engine);
    if (world->sites[route->site].down > 0) {
        elsewhere(world, index);
        return;
    }
    struct random_stream *stream =
        trip->depth == 1 ? &world->sources[trip->source].work : &route->work;
    bool shares = spec->order == REQUESTS_SHARING;
    int64_t busy = shares ? station->sharing.count : station->busy.level;
    int64_t waiting = shares ? busy - spec->servers : station->queue.level;
    bool free = spec->servers == 0 || station->reserved_max != UINT32_MAX || busy < spec->servers;
    if (!free && spec->room != REQUESTS_UNLIMITED && waiting >= spec->room) {
        station->counts.refused++;
        elsewhere(world, index);
        return;
    }
    trip->work_ns = random_duration_ns(stream, &route->spec->work);
    trip->since_ns = now_ns;
    station->counts.arrived++;
    if (shares) {
        trip->stage = STAGE_SHARED;
        if (!sharing_add(&station->sharing, now_ns, (double)trip->work_ns, index))
            world->broken = true;
        if (station->sharing.count <= (uint32_t)spec->servers)
            stats_level_add(&station->busy, 1, now_ns);
        arm(world, &station->sharing, &station->sharing_event, EVENT_STATION_SHARED,
            (uint32_t)(station - world->stations));
    } else if (free) {
        begin_service(world, index);
    } else {
        trip->stage = STAGE_WAITING;
        list_add(world, &station->waiting, index);
        stats_level_add(&station->queue, 1, now_ns);
    }
}

/* What a station cannot take starts anew from its origin, by the route's alternative. */
static void elsewhere(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    int32_t otherwise = route_of(world, trip)->spec->otherwise;
    leave_route(world, trip);
    enter(world, index, otherwise);
}

static void begin_service(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    struct station_state *station = route_of(world, trip)->station;
    int64_t now_ns = engine_now_ns(world->engine);
    trip->stage = STAGE_SERVED;
    list_add(world, &station->served, index);
    stats_level_add(&station->busy, 1, now_ns);
    if (station->spec->servers > 0 && station->reserved_max == UINT32_MAX)
        note_wait(station, now_ns - trip->since_ns);
    trip->event = engine_at(world->engine, now_ns + trip->work_ns, EVENT_SERVED, index, 0);
    world->broken = world->broken || trip->event == 0;
}

static void serve_next(struct requests *world, struct station_state *station)
{
    uint32_t next = station->waiting.first;
    if (next == TRIP_NONE)
        return;
    list_remove(world, &station->waiting, next);
    stats_level_add(&station->queue, -1, engine_now_ns(world->engine));
    begin_service(world, next);
}

static void after_service(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    const struct requests_route *route = route_of(world, trip)->spec;
    if (route->cache != REQUESTS_NONE) {
        struct source_counts *counts = &world->sources[trip->source].counts;
        struct cache *cache = world->caches[route->cache];
        int64_t now_ns = engine_now_ns(world->engine);
        if (!cache_ask(cache, trip->object, now_ns)) {
            counts->misses++;
            if (route->miss != REQUESTS_NONE) {
                enter(world, index, route->miss);
                return;
            }
            cache_store(cache, trip->object, now_ns);
        } else {
            counts->hits++;
        }
    }
    go_back(world, index);
}

static void go_back(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    trip->stage = STAGE_BACK;
    trip->hop = (uint8_t)route_of(world, trip)->spec->link_count;
    travel(world, index);
}

/* Of a miss: the object is stored where it was missed and the answer goes on from there, if that
 * site still is. */
static void back_at_origin(struct requests *world, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    int64_t now_ns = engine_now_ns(world->engine);
    leave_route(world, trip);
    if (trip->depth > 0) {
        const struct route_state *parent = route_of(world, trip);
        if (world->sites[parent->site].down > 0) {
            abandon(world, index, &world->sources[trip->source].counts.failed);
            return;
        }
        cache_store(world->caches[parent->spec->cache], trip->object, now_ns);
        go_back(world, index);
        return;
    }
    struct source_state *source = &world->sources[trip->source];
    sketch_add(&source->latencies, (now_ns - trip->began_ns) / NS_PER_US);
    source->counts.completed++;
    trip_free(world, index);
}

static void note_wait(struct station_state *station, int64_t wait_ns)
{
    wait_ns = wait_ns < 0 ? 0 : wait_ns; /* sharing: work is rounded to whole nanoseconds */
    station->counts.waited_ns += wait_ns;
    stats_batches_add(&station->waits, (double)wait_ns);
    sketch_add(&station->wait_sketch, wait_ns / NS_PER_US);
}

static void list_add(struct requests *world, struct trip_list *list, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    trip->before = list->last;
    trip->after = TRIP_NONE;
    if (list->last == TRIP_NONE)
        list->first = index;
    else
        world->trips[list->last].after = index;
    list->last = index;
}

static void list_remove(struct requests *world, struct trip_list *list, uint32_t index)
{
    const struct trip *trip = &world->trips[index];
    if (trip->before == TRIP_NONE)
        list->first = trip->after;
    else
        world->trips[trip->before].after = trip->after;
    if (trip->after == TRIP_NONE)
        list->last = trip->before;
    else
        world->trips[trip->after].before = trip->before;
}

static void arm(struct requests *world, const struct sharing *sharing, uint64_t *event,
                enum event_kind kind, uint32_t b)
{
    if (*event != 0)
        (void)engine_cancel(world->engine, *event);
    *event = 0;
    int64_t at_ns = sharing_next_ns(sharing);
    if (at_ns == INT64_MAX)
        return;
    *event = engine_at(world->engine, at_ns, kind, 0, b);
    world->broken = world->broken || *event == 0;
}

static void fail(struct requests *world, struct station_state *station, uint32_t index)
{
    struct trip *trip = &world->trips[index];
    int64_t now_ns = engine_now_ns(world->engine);
    if (trip->stage == STAGE_WAITING) {
        list_remove(world, &station->waiting, index);
        stats_level_add(&station->queue, -1, now_ns);
        station->counts.waited_ns += now_ns - trip->since_ns;
    } else {
        (void)engine_cancel(world->engine, trip->event);
        list_remove(world, &station->served, index);
        stats_level_add(&station->busy, -1, now_ns);
    }
    station->counts.failed++;
    abandon(world, index, &world->sources[trip->source].counts.failed);
}
