#include "simulator/requests/requests.h"

#include <stdlib.h>
#include <string.h>

#include "simulator/requests/requests_internal.h"

static bool make_tables(struct requests *world);
static bool make_rows(struct requests *world, uint64_t seed);
static bool make_routes(struct requests *world, uint64_t seed);
static bool is_whole(const struct requests *world, const struct requests_route *route);
static void begin(struct requests *world);
static void plan_flaky(struct requests *world, uint32_t row);
static void dispatch(struct requests *world, const struct engine_event *event);
static void site_event(struct requests *world, const struct engine_event *event);
static void sample(struct requests *world);
static void deliver(struct requests *world, uint32_t at);
static void at(struct requests *world, int64_t at_ns, enum event_kind kind, uint64_t a, uint32_t b);

int requests_create(const struct requests_tables *tables, uint64_t seed, struct requests **ret,
                    struct error *err)
{
    int code = requests_tables_check(tables, err);
    if (code < 0)
        return code;
    struct requests *world = calloc(1, sizeof *world);
    if (world == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a world of requests");
    world->tables = *tables;
    world->trips_free = TRIP_NONE;
    world->engine = engine_create();
    if (world->engine == NULL || !make_tables(world) || !make_rows(world, seed) ||
        !make_routes(world, seed)) {
        requests_destroy(world);
        return error_set(err, ERR_NO_MEMORY, 0, "a world of requests");
    }
    begin(world);
    *ret = world;
    return 0;
}

void requests_destroy(struct requests *requests)
{
    if (requests == NULL)
        return;
    const struct requests_tables *tables = &requests->tables;
    for (int32_t i = 0; requests->sources != NULL && i < tables->source_count; i++)
        sketch_done(&requests->sources[i].latencies);
    for (int32_t i = 0; requests->stations != NULL && i < tables->station_count; i++) {
        sketch_done(&requests->stations[i].wait_sketch);
        sharing_done(&requests->stations[i].sharing);
    }
    for (int32_t i = 0; requests->links != NULL && i < tables->link_count; i++) {
        sharing_done(&requests->links[i].sharing[0]);
        sharing_done(&requests->links[i].sharing[1]);
    }
    for (int32_t i = 0; requests->caches != NULL && i < tables->cache_count; i++)
        cache_destroy(requests->caches[i]);
    for (int32_t i = 0; requests->routes != NULL && i < tables->route_count; i++)
        free(requests->routes[i].ended);
    free(requests->sources);
    free(requests->stations);
    free(requests->links);
    free(requests->routes);
    free(requests->sites);
    free(requests->caches);
    free(requests->flaky);
    free(requests->trips);
    free(requests->samples);
    free(requests->samples_free);
    engine_destroy(requests->engine);
    free(requests);
}

/* The two events that most worlds consist of come first, in the loop itself: an arrival whose trip
 * is one event, and the end of such a trip. */
int requests_run(struct requests *requests, int64_t until_ns, struct error *err)
{
    struct engine_event event;
    requests->settled = false;
    while (!requests->broken && engine_next(requests->engine, until_ns, &event)) {
        if (event.kind == EVENT_WHOLE) {
            struct source_state *source = &requests->sources[event.b >> 16];
            struct route_state *route = &requests->routes[event.b & 0xffff];
            int64_t took_ns = event.at_ns - (int64_t)event.a;
            sketch_add(&source->latencies, took_ns / NS_PER_US);
            source->counts.completed++;
            route->ended[event.b >> 16]++;
            route->ended_cpu_ns += took_ns - 2 * route->way_ns;
            if (route->station->reserved_max != UINT32_MAX) {
                route->station->reserved--;
                stats_level_add(&route->station->held, -1, event.at_ns);
            }
        } else {
            dispatch(requests, &event);
        }
    }
    if (requests->broken)
        return error_set(err, ERR_LIMIT, 0,
                         "at %lld ns %llu requests are under way: more than memory or the queue "
                         "of events holds; give stations a room or fewer requests",
                         (long long)engine_now_ns(requests->engine),
                         (unsigned long long)engine_pending(requests->engine));
    for (int32_t i = 0; i < requests->tables.source_count; i++)
        if (requests->sources[i].arrivals.went_back)
            return error_set(err, ERR_INVALID, 0,
                             "source '%s': its trace goes back in time after %lld ns: sort it",
                             requests->tables.sources[i].name,
                             (long long)requests->sources[i].arrivals.last_ns);
    if (until_ns != ENGINE_NEVER && until_ns > engine_now_ns(requests->engine))
        engine_advance(requests->engine, until_ns);
    return 0;
}

int64_t requests_now_ns(const struct requests *requests)
{
    return engine_now_ns(requests->engine);
}

uint64_t requests_events(const struct requests *requests)
{
    return engine_taken(requests->engine);
}

static void *rows(int32_t count, size_t bytes_each)
{
    return calloc(count > 0 ? (size_t)count : 1, bytes_each);
}

static bool make_tables(struct requests *world)
{
    const struct requests_tables *tables = &world->tables;
    world->sources = rows(tables->source_count, sizeof *world->sources);
    world->stations = rows(tables->station_count, sizeof *world->stations);
    world->links = rows(tables->link_count, sizeof *world->links);
    world->routes = rows(tables->route_count, sizeof *world->routes);
    world->sites = rows(tables->site_count, sizeof *world->sites);
    world->caches = rows(tables->cache_count, sizeof *world->caches);
    world->flaky = rows(tables->flaky_count, sizeof *world->flaky);
    return world->sources != NULL && world->stations != NULL && world->links != NULL &&
           world->routes != NULL && world->sites != NULL && world->caches != NULL &&
           world->flaky != NULL;
}

static bool make_rows(struct requests *world, uint64_t seed)
{
    const struct requests_tables *tables = &world->tables;
    for (int32_t i = 0; i < tables->source_count; i++) {
        struct source_state *source = &world->sources[i];
        struct random_stream stream;
        source->spec = &tables->sources[i];
        random_indexed(&stream, seed, "arrivals", (uint64_t)i);
        arrivals_init(&source->arrivals, &source->spec->arrivals, &stream);
        random_indexed(&source->work, seed, "work", (uint64_t)i);
        random_indexed(&source->objects, seed, "objects", (uint64_t)i);
        if (source->spec->catalogue != REQUESTS_NONE) {
            const struct requests_catalogue *catalogue =
                &tables->catalogues[source->spec->catalogue];
            random_zipf_init(&source->zipf, catalogue->objects, catalogue->exponent);
        }
    }
    for (int32_t i = 0; i < tables->station_count; i++) {
        struct station_state *station = &world->stations[i];
        station->spec = &tables->stations[i];
        bool reserves = station->spec->hold == REQUESTS_HOLD_TRIP && station->spec->servers > 0;
        station->reserved_max = reserves ? (uint32_t)station->spec->servers : UINT32_MAX;
        station->waiting = station->served = (struct trip_list){TRIP_NONE, TRIP_NONE};
        sharing_init(&station->sharing, station->spec->servers, 1);
    }
    for (int32_t i = 0; i < tables->link_count; i++) {
        struct link_state *link = &world->links[i];
        link->spec = &tables->links[i];
        random_indexed(&link->stream, seed, "link", (uint64_t)i);
        double rate = (double)link->spec->bytes_per_s / 1e9;
        sharing_init(&link->sharing[0], rate, rate);
        sharing_init(&link->sharing[1], rate, rate);
    }
    for (int32_t i = 0; i < tables->cache_count; i++) {
        const struct requests_cache *cache = &tables->caches[i];
        struct random_stream stream;
        random_indexed(&stream, seed, "cache", (uint64_t)i);
        uint64_t objects =
            cache->catalogue == REQUESTS_NONE ? 0 : tables->catalogues[cache->catalogue].objects;
        world->caches[i] = cache_create(&cache->policy, objects, &stream);
        if (world->caches[i] == NULL)
            return false;
    }
    for (int32_t i = 0; i < tables->flaky_count; i++)
        random_indexed(&world->flaky[i].stream, seed, "flaky", (uint64_t)i);
    random_named(&world->probe_stream, seed, "probe");
    return true;
}

static bool make_routes(struct requests *world, uint64_t seed)
{
    const struct requests_tables *tables = &world->tables;
    for (int32_t i = 0; i < tables->route_count; i++) {
        struct route_state *route = &world->routes[i];
        route->spec = &tables->routes[i];
        route->station = &world->stations[route->spec->station];
        route->site = route->station->spec->site;
        random_indexed(&route->work, seed, "miss", (uint64_t)i);
        route->whole = is_whole(world, route->spec);
        if (!route->whole)
            continue;
        for (int32_t k = 0; k < route->spec->link_count; k++)
            route->way_ns += tables->links[route->spec->links[k]].latency.mean_ns;
        const struct random_duration *work = &route->spec->work;
        route->work_ns =
            work->kind == RANDOM_EXPONENTIAL && work->low_ns == 0 ? (double)work->mean_ns : 0;
        route->ended = rows(tables->source_count, sizeof *route->ended);
        if (route->ended == NULL)
            return false;
    }
    return true;
}

/* Whether nothing on the way can change what was known when the trip began. */
static bool is_whole(const struct requests *world, const struct requests_route *route)
{
    const struct requests_tables *tables = &world->tables;
    const struct requests_station *station = &tables->stations[route->station];
    bool whole = !tables->step_by_step && tables->probe.every_ns == 0 &&
                 route->cache == REQUESTS_NONE &&
                 (station->servers == 0 || station->hold == REQUESTS_HOLD_TRIP);
    for (int32_t i = 0; i < route->link_count; i++) {
        const struct requests_link *link = &tables->links[route->links[i]];
        whole = whole && link->bytes_per_s == 0 && link->latency.kind == RANDOM_CONSTANT;
    }
    for (int32_t i = 0; i < tables->outage_count; i++)
        whole = whole && tables->outages[i].site != station->site;
    for (int32_t i = 0; i < tables->flaky_count; i++)
        whole = whole && tables->flaky[i].site != station->site;
    return whole;
}

static void begin(struct requests *world)
{
    const struct requests_tables *tables = &world->tables;
    for (int32_t i = 0; i < tables->outage_count; i++) {
        const struct requests_outage *outage = &tables->outages[i];
        int64_t closes_ns = outage->from_ns - outage->notice_ns;
        at(world, closes_ns > 0 ? closes_ns : 0, EVENT_CLOSE, 0, (uint32_t)outage->site);
        at(world, outage->from_ns, EVENT_DOWN, 0, (uint32_t)outage->site);
        at(world, outage->until_ns, EVENT_UP, 0, (uint32_t)outage->site);
    }
    for (int32_t i = 0; i < tables->flaky_count; i++)
        plan_flaky(world, (uint32_t)i);
    for (int32_t i = 0; i < tables->source_count; i++)
        at(world, arrivals_next_ns(&world->sources[i].arrivals), EVENT_ARRIVAL, 0, (uint32_t)i);
    if (tables->probe.every_ns > 0)
        at(world, tables->probe.every_ns, EVENT_SAMPLE, 0, 0);
}

/* How long the site stays up this time. */
static void plan_flaky(struct requests *world, uint32_t row)
{
    const struct requests_flaky *flaky = &world->tables.flaky[row];
    int64_t now_ns = engine_now_ns(world->engine);
    int64_t down_ns = now_ns + random_duration_ns(&world->flaky[row].stream, &flaky->up);
    int64_t closes_ns = down_ns - flaky->notice_ns;
    at(world, closes_ns > now_ns ? closes_ns : now_ns, EVENT_CLOSE, 0, (uint32_t)flaky->site);
    at(world, down_ns, EVENT_DOWN, row + 1, (uint32_t)flaky->site);
}

static void dispatch(struct requests *world, const struct engine_event *event)
{
    uint32_t trip = (uint32_t)event->a;
    switch ((enum event_kind)event->kind) {
    case EVENT_WHOLE: /* in requests_run */
        break;
    case EVENT_ARRIVAL: {
        struct source_state *source = &world->sources[event->b];
        source->counts.offered++;
        at(world, arrivals_next_ns(&source->arrivals), EVENT_ARRIVAL, 0, event->b);
        trip_start(world, event->b, source->spec->route);
        break;
    }
    case EVENT_STEP:
        trip_step(world, trip);
        break;
    case EVENT_SERVED:
        trip_served(world, trip);
        break;
    case EVENT_STATION_SHARED:
        trip_station_shared(world, event->b);
        break;
    case EVENT_LINK_SHARED:
        trip_link_shared(world, event->b / 2, (int)(event->b & 1));
        break;
    case EVENT_CLOSE:
    case EVENT_DOWN:
    case EVENT_UP:
        site_event(world, event);
        break;
    case EVENT_SAMPLE:
        sample(world);
        at(world, event->at_ns + world->tables.probe.every_ns, EVENT_SAMPLE, 0, 0);
        break;
    case EVENT_DELIVER:
        deliver(world, trip);
        break;
    }
}

static void site_event(struct requests *world, const struct engine_event *event)
{
    struct site_state *site = &world->sites[event->b];
    uint32_t row = (uint32_t)event->a - 1;
    if (event->kind == EVENT_CLOSE) {
        site->closed++;
    } else if (event->kind == EVENT_DOWN) {
        if (site->down++ == 0) {
            site->down_since_ns = event->at_ns;
            trip_site_down(world, (int32_t)event->b);
        }
        if (event->a != 0) {
            int64_t back_ns = event->at_ns + random_duration_ns(&world->flaky[row].stream,
                                                                &world->tables.flaky[row].down);
            at(world, back_ns, EVENT_UP, event->a, event->b);
        }
    } else {
        site->closed--;
        if (--site->down == 0)
            site->down_ns += event->at_ns - site->down_since_ns;
        if (event->a != 0)
            plan_flaky(world, row);
    }
}

/* Each station's numbers, some of which are lost; the others arrive after a lag. */
static void sample(struct requests *world)
{
    const struct requests_probe *probe = &world->tables.probe;
    int64_t now_ns = engine_now_ns(world->engine);
    for (int32_t i = 0; i < world->tables.station_count; i++) {
        bool lost = random_below(&world->probe_stream, 1000000) < probe->loss_ppm;
        int64_t lag_ns = random_duration_ns(&world->probe_stream, &probe->lag);
        if (lost)
            continue;
        if (world->samples_free_count == 0) {
            uint32_t room = world->samples_room == 0 ? 16 : world->samples_room * 2;
            struct requests_sample *samples = realloc(world->samples, room * sizeof *samples);
            world->samples = samples != NULL ? samples : world->samples;
            uint32_t *list = realloc(world->samples_free, room * sizeof *list);
            world->samples_free = list != NULL ? list : world->samples_free;
            if (samples == NULL || list == NULL) {
                world->broken = true;
                return;
            }
            for (uint32_t k = room; k > world->samples_room; k--)
                list[world->samples_free_count++] = k - 1;
            world->samples_room = room;
        }
        uint32_t slot = world->samples_free[--world->samples_free_count];
        const struct station_state *station = &world->stations[i];
        world->samples[slot] =
            (struct requests_sample){.taken_ns = now_ns,
                                     .station = i,
                                     .busy = (int32_t)station->busy.level,
                                     .waiting = station->queue.level,
                                     .arrived = station->counts.arrived,
                                     .served = station->counts.served,
                                     .refused = station->counts.refused,
                                     .up = world->sites[station->spec->site].down == 0};
        at(world, now_ns + lag_ns, EVENT_DELIVER, slot, 0);
    }
}

static void deliver(struct requests *world, uint32_t slot)
{
    struct requests_sample told = world->samples[slot];
    told.now_ns = engine_now_ns(world->engine);
    world->samples_free[world->samples_free_count++] = slot;
    world->tables.probe.deliver(world->tables.probe.context, &told);
}

static void at(struct requests *world, int64_t at_ns, enum event_kind kind, uint64_t a, uint32_t b)
{
    if (at_ns != ENGINE_NEVER && engine_at(world->engine, at_ns, kind, a, b) == 0)
        world->broken = true;
}
