#include <string.h>

#include "simulator/requests/requests_internal.h"

static void add_ended(struct requests *world);
static void add_whole(void *context, const struct engine_event *event);
static void add_trip(struct requests *world, const struct trip *trip);
static int unbalanced(struct error *err, const char *what, int32_t row, uint64_t came,
                      uint64_t went);

struct requests_source_result requests_source_result(struct requests *requests, int32_t source)
{
    requests_settle(requests);
    const struct source_state *state = &requests->sources[source];
    const struct source_counts *now = &state->settled;
    const struct source_counts *base = &state->base;
    return (struct requests_source_result){
        .carried = base->under_way,
        .offered = now->offered - base->offered,
        .completed = now->completed - base->completed,
        .lost = now->lost - base->lost,
        .failed = now->failed - base->failed,
        .under_way = now->under_way,
        .hits = now->hits - base->hits,
        .misses = now->misses - base->misses,
        .bytes_sent = now->sent - base->sent,
        .latencies = &state->latencies,
    };
}

struct requests_station_result requests_station_result(struct requests *requests, int32_t station)
{
    requests_settle(requests);
    const struct station_state *state = &requests->stations[station];
    const struct station_counts *now = &state->settled;
    const struct station_counts *base = &state->base;
    int64_t counted_ns = engine_now_ns(requests->engine) - requests->counted_from_ns;
    double span_ns = counted_ns > 0 ? (double)counted_ns : 1;
    return (struct requests_station_result){
        .arrived = now->arrived - base->arrived,
        .served = now->served - base->served,
        .refused = now->refused - base->refused,
        .failed = now->failed - base->failed,
        .here = now->here,
        .carried = base->here,
        .cpu_ns = now->cpu_ns - base->cpu_ns,
        .held_ns = now->held_ns - base->held_ns,
        .queued_ns = now->queued_ns - base->queued_ns,
        .waited_ns = now->waited_ns - base->waited_ns,
        .wait = stats_batches_interval(&state->waits, 0.95),
        .held_mean = (double)(now->held_ns - base->held_ns) / span_ns,
        .busy_mean = (double)(now->cpu_ns - base->cpu_ns) / span_ns,
        .queue_mean = (double)(now->queued_ns - base->queued_ns) / span_ns,
        .waits = &state->wait_sketch,
    };
}

struct requests_link_result requests_link_result(struct requests *requests, int32_t link)
{
    requests_settle(requests);
    const struct link_counts *now = &requests->links[link].settled;
    const struct link_counts *base = &requests->links[link].base;
    return (struct requests_link_result){
        .price_class = requests->links[link].spec->price_class,
        .messages_out = now->messages[0] - base->messages[0],
        .messages_back = now->messages[1] - base->messages[1],
        .bytes_out = now->bytes[0] - base->bytes[0],
        .bytes_back = now->bytes[1] - base->bytes[1],
        .bytes_left = now->left - base->left,
        .bytes_on = now->on,
        .bytes_carried = base->on,
    };
}

void requests_class_bytes(struct requests *requests, int32_t price_class, uint64_t ret_bytes[2])
{
    ret_bytes[0] = 0;
    ret_bytes[1] = 0;
    for (int32_t i = 0; i < requests->tables.link_count; i++) {
        if (requests->tables.links[i].price_class != price_class)
            continue;
        struct requests_link_result link = requests_link_result(requests, i);
        ret_bytes[0] += link.bytes_out;
        ret_bytes[1] += link.bytes_back;
    }
}

struct requests_site_result requests_site_result(struct requests *requests, int32_t site)
{
    requests_settle(requests);
    const struct site_state *state = &requests->sites[site];
    struct requests_site_result result = {.down_ns = state->down_ns - state->base_down_ns,
                                          .up = state->down == 0};
    if (!result.up)
        result.down_ns += engine_now_ns(requests->engine) - state->down_since_ns;
    for (int32_t i = 0; i < requests->tables.station_count; i++)
        if (requests->stations[i].spec->site == site)
            result.cpu_ns +=
                requests->stations[i].settled.cpu_ns - requests->stations[i].base.cpu_ns;
    return result;
}

void requests_region_latencies(struct requests *requests, int32_t region, struct sketch *into)
{
    for (int32_t i = 0; i < requests->tables.source_count; i++)
        if (requests->sources[i].spec->region == region)
            sketch_merge(into, &requests->sources[i].latencies);
}

void requests_restart(struct requests *requests)
{
    requests_settle(requests);
    int64_t now_ns = engine_now_ns(requests->engine);
    for (int32_t i = 0; i < requests->tables.source_count; i++) {
        requests->sources[i].base = requests->sources[i].settled;
        sketch_clear(&requests->sources[i].latencies);
    }
    for (int32_t i = 0; i < requests->tables.station_count; i++) {
        struct station_state *station = &requests->stations[i];
        station->base = station->settled;
        station->waits = (struct stats_batches){0};
        sketch_clear(&station->wait_sketch);
    }
    for (int32_t i = 0; i < requests->tables.link_count; i++)
        requests->links[i].base = requests->links[i].settled;
    for (int32_t i = 0; i < requests->tables.site_count; i++) {
        struct site_state *site = &requests->sites[i];
        site->base_down_ns = site->down_ns + (site->down > 0 ? now_ns - site->down_since_ns : 0);
    }
    requests->counted_from_ns = now_ns;
}

/* What is on each link and at each station is counted by looking at every trip under way, not by
 * subtracting: both must come to the same. */
int requests_balanced(struct requests *requests, struct error *err)
{
    requests_settle(requests);
    uint64_t by_source = 0;
    uint64_t by_link = 0;
    for (int32_t i = 0; i < requests->tables.source_count; i++) {
        const struct source_counts *counts = &requests->sources[i].settled;
        uint64_t went = counts->completed + counts->lost + counts->failed + counts->under_way;
        if (counts->offered != went)
            return unbalanced(err, "requests of source", i, counts->offered, went);
        by_source += counts->sent;
    }
    for (int32_t i = 0; i < requests->tables.station_count; i++) {
        const struct station_state *station = &requests->stations[i];
        const struct station_counts *counts = &station->settled;
        uint64_t went = counts->served + counts->failed + counts->here;
        if (counts->arrived != went)
            return unbalanced(err, "requests at station", i, counts->arrived, went);
        if (station->spec->order == REQUESTS_FIFO && counts->queued_ns != counts->waited_ns)
            return unbalanced(err, "nanoseconds of waiting at station", i,
                              (uint64_t)counts->queued_ns, (uint64_t)counts->waited_ns);
    }
    for (int32_t i = 0; i < requests->tables.link_count; i++) {
        const struct link_counts *counts = &requests->links[i].settled;
        uint64_t came = counts->bytes[0] + counts->bytes[1];
        if (came != counts->left + counts->on)
            return unbalanced(err, "bytes on link", i, came, counts->left + counts->on);
        by_link += came;
    }
    if (by_source != by_link)
        return unbalanced(err, "bytes of all links against all sources, from link", 0, by_link,
                          by_source);
    return 0;
}

uint64_t requests_hash(struct requests *requests)
{
    requests_settle(requests);
    uint64_t hash = engine_hash(requests->engine);
    const struct {
        const void *rows;
        size_t bytes_each;
        size_t offset;
        size_t words;
        int32_t count;
    } all[] = {
        {requests->sources, sizeof(struct source_state), offsetof(struct source_state, settled),
         sizeof(struct source_counts) / 8, requests->tables.source_count},
        {requests->stations, sizeof(struct station_state), offsetof(struct station_state, settled),
         sizeof(struct station_counts) / 8, requests->tables.station_count},
        {requests->links, sizeof(struct link_state), offsetof(struct link_state, settled),
         sizeof(struct link_counts) / 8, requests->tables.link_count},
    };
    for (size_t k = 0; k < sizeof all / sizeof all[0]; k++)
        for (int32_t i = 0; i < all[k].count; i++) {
            const char *row = (const char *)all[k].rows + (size_t)i * all[k].bytes_each;
            for (size_t w = 0; w < all[k].words; w++) {
                uint64_t word;
                memcpy(&word, row + all[k].offset + 8 * w, sizeof word);
                hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
                hash ^= hash >> 32;
            }
        }
    for (int32_t i = 0; i < requests->tables.source_count; i++) {
        unsigned __int128 sum = requests->sources[i].latencies.sum;
        hash = (hash ^ (uint64_t)sum) * UINT64_C(0xd1342543de82ef95);
        hash ^= hash >> 32;
    }
    return hash;
}

size_t requests_bytes(const struct requests *requests)
{
    const struct requests_tables *tables = &requests->tables;
    size_t bytes = sizeof *requests + engine_bytes(requests->engine) +
                   requests->trips_room * sizeof *requests->trips +
                   requests->samples_room * (sizeof *requests->samples + sizeof(uint32_t));
    for (int32_t i = 0; i < tables->source_count; i++)
        bytes += sizeof(struct source_state) + sketch_bytes(&requests->sources[i].latencies);
    for (int32_t i = 0; i < tables->station_count; i++)
        bytes += sizeof(struct station_state) + sketch_bytes(&requests->stations[i].wait_sketch) +
                 requests->stations[i].sharing.room * sizeof(struct sharing_job);
    for (int32_t i = 0; i < tables->link_count; i++)
        bytes += sizeof(struct link_state) +
                 (requests->links[i].sharing[0].room + (size_t)requests->links[i].sharing[1].room) *
                     sizeof(struct sharing_job);
    for (int32_t i = 0; i < tables->route_count; i++)
        bytes += sizeof(struct route_state) +
                 (requests->routes[i].ended == NULL
                      ? 0
                      : (size_t)tables->source_count * sizeof *requests->routes[i].ended);
    for (int32_t i = 0; i < tables->cache_count; i++)
        bytes += cache_bytes(requests->caches[i]);
    return bytes + (size_t)tables->site_count * sizeof(struct site_state);
}

void requests_settle(struct requests *world)
{
    if (world->settled)
        return;
    int64_t now_ns = engine_now_ns(world->engine);
    for (int32_t i = 0; i < world->tables.source_count; i++)
        world->sources[i].settled = world->sources[i].counts;
    for (int32_t i = 0; i < world->tables.station_count; i++) {
        struct station_state *station = &world->stations[i];
        station->settled = station->counts;
        station->settled.cpu_ns += stats_level_area(&station->busy, now_ns);
        station->settled.held_ns += stats_level_area(&station->held, now_ns);
        station->settled.queued_ns += stats_level_area(&station->queue, now_ns);
    }
    for (int32_t i = 0; i < world->tables.link_count; i++)
        world->links[i].settled = world->links[i].counts;
    add_ended(world);
    engine_visit(world->engine, add_whole, world);
    for (uint32_t i = 0; i < world->trips_used; i++)
        if (world->trips[i].stage != STAGE_FREE)
            add_trip(world, &world->trips[i]);
    world->settled = true;
}

/* Trips of one event that ended: all that each route and source did is known from their number. */
static void add_ended(struct requests *world)
{
    for (int32_t r = 0; r < world->tables.route_count; r++) {
        const struct route_state *route = &world->routes[r];
        if (!route->whole)
            continue;
        route->station->settled.cpu_ns += route->ended_cpu_ns;
        for (int32_t s = 0; s < world->tables.source_count; s++) {
            struct source_state *source = &world->sources[s];
            uint64_t ended = route->ended[s];
            uint64_t out = ended * trip_bytes(route->spec, source->spec, true);
            uint64_t back = ended * trip_bytes(route->spec, source->spec, false);
            route->station->settled.arrived += ended;
            route->station->settled.served += ended;
            for (int32_t k = 0; k < route->spec->link_count; k++) {
                struct link_counts *link = &world->links[route->spec->links[k]].settled;
                link->messages[0] += ended;
                link->messages[1] += ended;
                link->bytes[0] += out;
                link->bytes[1] += back;
                link->left += out + back;
                source->settled.sent += out + back;
            }
        }
    }
}

/* A trip of one event that is under way: where it is follows from how long it has been so. */
static void add_whole(void *context, const struct engine_event *event)
{
    struct requests *world = context;
    if (event->kind != EVENT_WHOLE)
        return;
    struct source_state *source = &world->sources[event->b >> 16];
    const struct route_state *route = &world->routes[event->b & 0xffff];
    const struct requests_route *spec = route->spec;
    int64_t now_ns = engine_now_ns(world->engine);
    int64_t at_ns = (int64_t)event->a; /* walks along the trip */
    source->settled.under_way++;
    for (int direction = 0; direction < 2; direction++) {
        uint64_t bytes = trip_bytes(spec, source->spec, direction == 0);
        for (int32_t k = 0; k < spec->link_count; k++) {
            int32_t at = spec->links[direction == 0 ? k : spec->link_count - 1 - k];
            struct link_counts *link = &world->links[at].settled;
            if (at_ns > now_ns)
                return;
            link->messages[direction]++;
            link->bytes[direction] += bytes;
            source->settled.sent += bytes;
            at_ns += world->tables.links[at].latency.mean_ns;
            if (at_ns <= now_ns)
                link->left += bytes;
            else
                link->on += bytes;
        }
        if (at_ns > now_ns || direction == 1)
            return;
        struct station_counts *station = &route->station->settled;
        int64_t served_ns = event->at_ns - route->way_ns;
        station->arrived++;
        station->cpu_ns += (served_ns < now_ns ? served_ns : now_ns) - at_ns;
        if (served_ns <= now_ns)
            station->served++;
        else
            station->here++;
        at_ns = served_ns;
    }
}

static void add_trip(struct requests *world, const struct trip *trip)
{
    struct station_counts *station =
        trip->depth == 0 ? NULL : &world->routes[trip->routes[trip->depth - 1]].station->settled;
    world->sources[trip->source].settled.under_way++;
    switch ((enum trip_stage)trip->stage) {
    case STAGE_WAITING:
        station->here++;
        station->waited_ns += engine_now_ns(world->engine) - trip->since_ns;
        break;
    case STAGE_SERVED:
    case STAGE_SHARED:
        station->here++;
        break;
    case STAGE_OUT:
    case STAGE_BACK: {
        int32_t link;
        uint64_t bytes = trip_link_bytes(world, trip, &link);
        world->links[link].settled.on += bytes;
        break;
    }
    case STAGE_FREE:
        break;
    }
}

static int unbalanced(struct error *err, const char *what, int32_t row, uint64_t came,
                      uint64_t went)
{
    return error_set(err, ERR_CORRUPT, 0, "%s %d: %llu came, %llu are accounted for", what, row,
                     (unsigned long long)came, (unsigned long long)went);
}
