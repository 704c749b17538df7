/*
 * Spans of a run at the level of single requests (simulator/requests): the sites, placements,
 * rates, round trips and hit ratios of the world at that instant become queues, links and caches.
 *
 * A call goes from its caller's site to where the workload is, waits for a place, is served, and
 * leads to the call that the workload makes most: what its cache misses, or a part of all calls.
 * Each other call that it makes comes by itself, from its site, at its rate. So every station is
 * called as often as the world says.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/requests/requests.h"
#include "simulator/world/chance.h"
#include "simulator/world/run_internal.h"

#define ROUTES_MAX   4096
#define PIECES       20 /* of a span: what the shares' intervals are from */
#define REQUESTS_MAX INT64_C(200000000)
#define SPAN_BYTES   ((size_t)64 << 20)

struct way { /* of a route, by its index, which is its link's too */
    int app_link;
    int from;
    int to;
};

struct place { /* of a station, by its index */
    int workload;
    bool overflow;
    int cache; /* REQUESTS_NONE */
    double shares[PIECES];
    uint64_t arrived;
};

struct span {
    struct run *run;
    const struct scenario_requests *what;
    int app;
    const struct app *document;
    const struct placement *at; /* of its workloads */
    struct arena arena;
    struct requests_tables tables;
    struct requests_site *sites;
    struct requests_station *stations;
    struct requests_link *links;
    struct requests_catalogue *catalogues;
    struct requests_cache *caches;
    struct requests_route *routes;
    struct requests_source *sources;
    struct way *ways;
    struct place *places;
    int *source_link; /* [source]: of the app */
    int catalogue;    /* of the real cache that was met on the way that is being built */
    bool cut;         /* a way was longer than requests are followed */
    bool full;
};

static int run_span(struct run *run, int index, struct error *err);
static int open_span(struct span *span, struct error *err);
static int build(struct span *span, struct error *err);
static void add_source(struct span *span, int link, int site, int64_t mhz);
static int add_route(struct span *span, int link, int from, int depth);
static int add_way(struct span *span, int link, int from, int station, int depth);
static void add_pipes(struct span *span);
static void way_bytes(const struct span *span, const struct way *way, int64_t *ret_out,
                      int64_t *ret_back);
static int add_station(struct span *span, int workload, int site, bool overflow);
static int add_cache(struct span *span, int workload, int site);
static int add_given(struct span *span, int64_t hit_ppm);
static struct random_duration work_of(const struct span *span, int workload, int site);
static const struct scenario_station *station_of(const struct span *span, int workload);
static int main_link(const struct span *span, int workload);
static int64_t link_mhz(const struct span *span, int link);
static int64_t calls_mhz(const struct span *span, int workload);
static int simulate(struct span *span, int index, struct error *err);
static void count_piece(struct span *span, struct requests *requests, int piece);
static int tell_sources(struct span *span, struct requests *requests, struct error *err);
static int tell_stations(struct span *span, struct requests *requests, struct error *err);
static uint64_t misses_of(struct span *span, struct requests *requests, int station);
static uint64_t bytes_of(struct span *span, struct requests *requests, int route, int depth);

/* Before anything runs: what is wrong of them does not come to light after hours. */
int run_check_spans(const struct run *run, struct error *err)
{
    for (int i = 0; i < run->scenario->requests_count; i++) {
        const struct scenario_requests *what = &run->scenario->requests[i];
        int app;
        int workload;
        if (!scenario_target(run->apps, run->app_count, what->of, -1, &app, &workload) || app < 0 ||
            workload >= 0)
            return error_set(err, ERR_INVALID, 0,
                             "%s:%d: requests of \"%s\": there is no such app; write APP, with the "
                             "namespace before it unless that is default",
                             run->scenario->file, what->line, what->of);
        for (int k = 0; k < what->station_count; k++) {
            const struct scenario_station *station = &what->stations[k];
            if (app_workload(&run->apps[app], station->workload) < 0)
                return error_set(err, ERR_INVALID, 0,
                                 "%s:%d: the station of %s: the app %s has no such workload",
                                 run->scenario->file, what->line, station->workload, what->of);
            if (station->overflow[0] != 0 && world_site(&run->world, station->overflow) < 0)
                return error_set(err, ERR_INVALID, 0,
                                 "%s:%d: overflow to %s, a site that the world %s does not have",
                                 run->scenario->file, what->line, station->overflow,
                                 run->world.name);
        }
        for (int k = 0; k < 2 * what->bandwidth_count; k++) {
            const char *site = what->bandwidths[k / 2].between[k % 2];
            if (world_site(&run->world, site) < 0)
                return error_set(err, ERR_INVALID, 0,
                                 "%s:%d: bandwidth of %s, a site that the world %s does not have",
                                 run->scenario->file, what->line, site, run->world.name);
        }
    }
    return 0;
}

int run_spans(struct run *run, int64_t from_us, int64_t to_us, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < run->scenario->requests_count && rc == 0; i++) {
        int64_t at_us = run->from_us + run->scenario->requests[i].at_us;
        if (at_us >= from_us && at_us < to_us)
            rc = run_span(run, i, err);
        if (rc < 0)
            rc = error_prefix(err, "%s:%d: requests of %s", run->scenario->file,
                              run->scenario->requests[i].line, run->scenario->requests[i].of);
    }
    return rc;
}

static int run_span(struct run *run, int index, struct error *err)
{
    struct span span = {.run = run, .what = &run->scenario->requests[index]};
    int workload;
    (void)scenario_target(run->apps, run->app_count, span.what->of, -1, &span.app, &workload);
    span.document = run->truth.apps[span.app].app;
    span.at = run->at + run->truth.first[span.app];
    arena_init(&span.arena, SPAN_BYTES);
    int rc = open_span(&span, err);
    if (rc == 0)
        rc = build(&span, err);
    if (rc == 0 && span.tables.source_count == 0)
        run_note(run, "requests of %s: nobody calls what is placed", span.what->of);
    else if (rc == 0)
        rc = simulate(&span, index, err);
    if (rc == 0 && span.cut)
        run_note(run, "requests of %s: followed over %d calls; what they lead to is left out",
                 span.what->of, REQUESTS_DEPTH);
    arena_done(&span.arena);
    return rc;
}

/* ---- tables ---- */

static int open_span(struct span *span, struct error *err)
{
    struct arena *arena = &span->arena;
    const struct world *world = span->run->truth.input.world;
    size_t stations = 2 * (size_t)span->document->workload_count + 1;
    size_t sources = 2 * (size_t)span->document->link_count + 1;
    span->sites = arena_array(arena, (size_t)world->site_count + 1, sizeof(*span->sites));
    span->stations = arena_array(arena, stations, sizeof(*span->stations));
    span->places = arena_array(arena, stations, sizeof(*span->places));
    span->catalogues = arena_array(arena, stations, sizeof(*span->catalogues));
    span->links = arena_array(arena, ROUTES_MAX + SCENARIO_BANDWIDTHS, sizeof(*span->links));
    span->caches = arena_array(arena, ROUTES_MAX, sizeof(*span->caches));
    span->routes = arena_array(arena, ROUTES_MAX, sizeof(*span->routes));
    span->ways = arena_array(arena, ROUTES_MAX, sizeof(*span->ways));
    span->sources = arena_array(arena, sources, sizeof(*span->sources));
    span->source_link = arena_array(arena, sources, sizeof(*span->source_link));
    if (span->sites == NULL || span->stations == NULL || span->places == NULL ||
        span->catalogues == NULL || span->links == NULL || span->caches == NULL ||
        span->routes == NULL || span->ways == NULL || span->sources == NULL ||
        span->source_link == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a span of requests");
    for (int i = 0; i < world->site_count; i++)
        span->sites[i].name = world->sites[i].name;
    span->tables.site_count = world->site_count;
    return 0;
}

static int build(struct span *span, struct error *err)
{
    const struct app *app = span->document;
    int64_t all_mhz = 0;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        int64_t mhz = link_mhz(span, i);
        if (link->from_kind == LINK_SEGMENT) {
            add_source(span, i,
                       world_site(span->run->truth.input.world, app->segments[link->from].site),
                       mhz);
        } else {
            /* What a call of the caller leads to by itself travels with it. */
            bool with = main_link(span, link->from) == i;
            int64_t calls = calls_mhz(span, link->from);
            int64_t rest = !with ? mhz : mhz > calls ? mhz - calls : 0;
            add_source(span, i, span->at[link->from].site, rest);
        }
        all_mhz += mhz;
    }
    struct requests_tables *tables = &span->tables;
    tables->sites = span->sites;
    tables->stations = span->stations;
    tables->links = span->links;
    tables->catalogues = span->catalogues;
    tables->caches = span->caches;
    tables->routes = span->routes;
    tables->sources = span->sources;
    tables->link_count = tables->route_count;
    add_pipes(span);
    int64_t seconds = (span->what->for_us + span->what->warmup_us) / US_PER_S;
    if (span->full)
        return error_set(err, ERR_LIMIT, 0, "its calls branch into more than %d ways", ROUTES_MAX);
    if ((__int128)all_mhz * seconds / 1000 > REQUESTS_MAX)
        return error_set(err, ERR_LIMIT, 0,
                         "%" PRId64 " calls a second for %" PRId64 " s are more than %" PRId64
                         " million calls; take a shorter span",
                         all_mhz / 1000, seconds, REQUESTS_MAX / 1000000);
    return 0;
}

static void add_source(struct span *span, int link, int site, int64_t mhz)
{
    const struct app *app = span->document;
    const struct link *what = &app->links[link];
    if (site < 0 || mhz <= 0 || span->at[what->to].site < 0)
        return;
    span->catalogue = REQUESTS_NONE;
    int route = add_route(span, link, site, 1);
    if (route == REQUESTS_NONE)
        return;
    const char *name = what->from_kind == LINK_SEGMENT ? app->segments[what->from].name
                                                       : app->workloads[what->from].name;
    span->source_link[span->tables.source_count] = link;
    span->sources[span->tables.source_count++] = (struct requests_source){
        .name = name,
        .region = site,
        .route = route,
        .catalogue = span->catalogue,
        .arrivals = {.kind = ARRIVALS_POISSON, .per_s = (double)mhz / 1000}};
}

/* To where the link's callee is, and where there is no room, to where it overflows. */
static int add_route(struct span *span, int link, int from, int depth)
{
    int workload = span->document->links[link].to;
    const struct scenario_station *what = station_of(span, workload);
    int site = span->at[workload].site;
    if (site < 0)
        return REQUESTS_NONE;
    int home = add_way(span, link, from, add_station(span, workload, site, false), depth);
    int other = what == NULL || what->overflow[0] == 0 || home == REQUESTS_NONE
                    ? -1
                    : world_site(span->run->truth.input.world, what->overflow);
    if (other >= 0 && other != site)
        span->routes[home].otherwise =
            add_way(span, link, from, add_station(span, workload, other, true), depth);
    return home;
}

static int add_way(struct span *span, int link, int from, int station, int depth)
{
    int route = span->tables.route_count;
    int workload = span->document->links[link].to;
    int to = span->stations[station].site;
    if (route == ROUTES_MAX) {
        span->full = true;
        return REQUESTS_NONE;
    }
    span->tables.route_count++;
    bool measured;
    int64_t rtt_us = from == to ? 0 : cost_rtt_us(&span->run->truth.input, from, to, &measured);
    int64_t half_ns = rtt_us <= 0 ? 0 : rtt_us * 1000 / 2;
    int64_t jitter_ppm = span->what->jitter_ppm;
    span->ways[route] = (struct way){link, from, to};
    span->links[route] = (struct requests_link){
        .name = "way",
        .latency = {.kind = jitter_ppm > 0 && half_ns > 0 ? RANDOM_LOGNORMAL : RANDOM_CONSTANT,
                    .mean_ns = half_ns,
                    .deviation_ns = (int64_t)((__int128)half_ns * jitter_ppm / PPM)}};
    span->routes[route] = (struct requests_route){.links = {route},
                                                  .link_count = 1,
                                                  .station = station,
                                                  .cache = REQUESTS_NONE,
                                                  .miss = REQUESTS_NONE,
                                                  .otherwise = REQUESTS_NONE,
                                                  .work = work_of(span, workload, to)};
    int next = main_link(span, workload);
    if (next < 0 || span->at[span->document->links[next].to].site < 0)
        return route;
    if (depth == REQUESTS_DEPTH) {
        span->cut = true;
        return route;
    }
    int64_t calls = calls_mhz(span, workload);
    int64_t leads = link_mhz(span, next);
    if (span->document->links[next].on_miss && span->run->truth.hit_ppm != NULL &&
        (span->document->workloads[workload].hit_ppm >= 0 ||
         span->document->workloads[workload].curve_count > 0))
        span->routes[route].cache = span->places[station].cache != REQUESTS_NONE
                                        ? span->places[station].cache
                                        : add_cache(span, workload, to);
    else
        span->routes[route].cache = add_given(
            span, leads >= calls ? 0 : (int64_t)((__int128)PPM * (calls - leads) / calls));
    if (span->document->links[next].on_miss)
        span->places[station].cache = span->routes[route].cache;
    if (span->caches[span->routes[route].cache].catalogue != REQUESTS_NONE)
        span->catalogue = span->caches[span->routes[route].cache].catalogue;
    span->routes[route].miss = add_route(span, next, to, depth + 1);
    return route;
}

/* What all ways between two sites share, behind the ways' own links. */
static void add_pipes(struct span *span)
{
    const struct world *world = span->run->truth.input.world;
    for (int i = 0; i < span->what->bandwidth_count; i++) {
        const struct scenario_bandwidth *what = &span->what->bandwidths[i];
        int ends[2] = {world_site(world, what->between[0]), world_site(world, what->between[1])};
        int pipe = span->tables.link_count++;
        span->links[pipe] = (struct requests_link){
            .name = "pipe", .bytes_per_s = what->bytes_s, .latency = {.kind = RANDOM_CONSTANT}};
        for (int k = 0; k < span->tables.route_count; k++) {
            const struct way *way = &span->ways[k];
            struct requests_route *route = &span->routes[k];
            if ((way->from != ends[0] || way->to != ends[1]) &&
                (way->from != ends[1] || way->to != ends[0]))
                continue;
            route->links[route->link_count++] = pipe;
            route->own_bytes = true;
            way_bytes(span, way, &route->request_bytes, &route->response_bytes);
        }
    }
}

static int add_station(struct span *span, int workload, int site, bool overflow)
{
    const struct workload *document = &span->document->workloads[workload];
    int lead = span->at[workload].lead;
    lead = lead < 0 || lead >= span->document->workload_count ? workload : lead;
    for (int i = 0; i < span->tables.station_count; i++)
        if (span->places[i].workload == lead && span->places[i].overflow == overflow &&
            span->stations[i].site == site)
            return i;
    const struct scenario_station *what = station_of(span, workload);
    int64_t each = what != NULL && what->concurrency > 0
                       ? what->concurrency
                       : (document->reserve[RESOURCE_CPU] + 999) / 1000;
    int64_t servers = document->replicas * (each < 1 ? 1 : each);
    int index = span->tables.station_count++;
    span->places[index] =
        (struct place){.workload = lead, .overflow = overflow, .cache = REQUESTS_NONE};
    span->stations[index] = (struct requests_station){
        .name = document->name,
        .site = site,
        .servers = overflow              ? 0
                   : servers > INT32_MAX ? INT32_MAX
                                         : (int32_t)servers,
        .room = overflow || what == NULL ? REQUESTS_UNLIMITED : what->room,
        .hold =
            !overflow && what != NULL && what->trip ? REQUESTS_HOLD_TRIP : REQUESTS_HOLD_SERVICE};
    return index;
}

static struct random_duration work_of(const struct span *span, int workload, int site)
{
    const struct scenario_station *what = station_of(span, workload);
    const struct workload *document = &span->document->workloads[workload];
    int variant = span->at[workload].variant;
    int64_t ns = what != NULL && what->service_us >= 0 ? what->service_us * 1000 : -1;
    if (ns < 0 && variant >= 0 && variant < document->variant_count)
        ns = (int64_t)((__int128)document->variants[variant].cpu_ns_per_call * PPM /
                       span->run->truth.input.world->sites[site].speed_ppm);
    bool constant = what != NULL && what->law == LAW_CONSTANT;
    return (struct random_duration){.kind = constant ? RANDOM_CONSTANT : RANDOM_EXPONENTIAL,
                                    .mean_ns = ns < 0 ? 0 : ns};
}

/* As measured: the hit ratio that the world has there. */
static int add_cache(struct span *span, int workload, int site)
{
    const struct scenario_station *what = station_of(span, workload);
    bool measured;
    if (what == NULL || what->cache == CACHE_AS_MEASURED) {
        int64_t hit = cost_hit_ppm(&span->run->truth.input, span->app, workload, site, &measured);
        return add_given(span, hit);
    }
    static const enum cache_kind kinds[] = {
        [CACHE_OF_LRU] = CACHE_LRU, [CACHE_OF_LFU] = CACHE_LFU, [CACHE_OF_TTL] = CACHE_TTL};
    int catalogue = REQUESTS_NONE;
    for (int i = 0; i < span->tables.cache_count && catalogue == REQUESTS_NONE; i++)
        if (span->caches[i].name == span->document->workloads[workload].name)
            catalogue = span->caches[i].catalogue;
    if (catalogue == REQUESTS_NONE) {
        catalogue = span->tables.catalogue_count++;
        span->catalogues[catalogue] = (struct requests_catalogue){
            .objects = (uint64_t)what->objects, .exponent = (double)what->zipf_ppm / (double)PPM};
    }
    int cache = span->tables.cache_count++;
    span->caches[cache] = (struct requests_cache){.name = span->document->workloads[workload].name,
                                                  .catalogue = catalogue,
                                                  .policy = {.kind = kinds[what->cache],
                                                             .room_objects = (uint64_t)what->cached,
                                                             .ttl_ns = what->ttl_us * 1000}};
    return cache;
}

static int add_given(struct span *span, int64_t hit_ppm)
{
    int cache = span->tables.cache_count++; /* at most one for each route */
    hit_ppm = hit_ppm < 0 ? 0 : hit_ppm > PPM ? PPM : hit_ppm;
    span->caches[cache] =
        (struct requests_cache){.name = "given",
                                .catalogue = REQUESTS_NONE,
                                .policy = {.kind = CACHE_GIVEN, .hit_ppm = (uint32_t)hit_ppm}};
    return cache;
}

static const struct scenario_station *station_of(const struct span *span, int workload)
{
    const struct workload *document = &span->document->workloads[workload];
    for (int i = 0; i < span->what->station_count; i++)
        if (str_equal(span->what->stations[i].workload, document->name))
            return &span->what->stations[i];
    return NULL;
}

/* The call that the workload makes most; -1: none. */
static int main_link(const struct span *span, int workload)
{
    int best = -1;
    for (int i = 0; i < span->document->link_count; i++) {
        const struct link *link = &span->document->links[i];
        if (link->from_kind == LINK_WORKLOAD && link->from == workload &&
            span->document->workloads[link->to].kind != KIND_DATA &&
            (best < 0 || link_mhz(span, i) > link_mhz(span, best)))
            best = i;
    }
    return best;
}

static int64_t link_mhz(const struct span *span, int link)
{
    return truth_link_mhz(&span->run->truth, span->app, link, span->run->at);
}

static int64_t calls_mhz(const struct span *span, int workload)
{
    return span->run->truth.calls_mhz[span->run->truth.first[span->app] + workload];
}

/* ---- running ---- */

static int simulate(struct span *span, int index, struct error *err)
{
    struct requests *requests = NULL;
    uint64_t seed = chance_u64((uint64_t)span->run->cell->seed, CHANCE_REQUESTS, (uint64_t)index);
    int64_t warm_ns = span->what->warmup_us * 1000;
    int64_t for_ns = span->what->for_us * 1000;
    int rc = requests_create(&span->tables, seed, &requests, err);
    if (rc == 0)
        rc = requests_run(requests, warm_ns, err);
    if (rc == 0)
        requests_restart(requests);
    for (int i = 0; i < PIECES && rc == 0; i++) {
        rc = requests_run(requests, warm_ns + (int64_t)((__int128)for_ns * (i + 1) / PIECES), err);
        if (rc == 0)
            count_piece(span, requests, i);
    }
    if (rc == 0)
        rc = requests_balanced(requests, err);
    if (rc == 0)
        rc = tell_sources(span, requests, err);
    if (rc == 0)
        rc = tell_stations(span, requests, err);
    if (rc == 0)
        span->run->hash = hash_u64(span->run->hash, requests_hash(requests));
    requests_destroy(requests);
    return rc;
}

/* What part of the workload's calls each station took in this piece. */
static void count_piece(struct span *span, struct requests *requests, int piece)
{
    int count = span->tables.station_count;
    uint64_t now[2];
    for (int i = 0; i < count; i++) {
        struct place *place = &span->places[i];
        uint64_t whole = 0;
        now[0] = requests_station_result(requests, i).arrived - place->arrived;
        for (int k = 0; k < count; k++)
            if (span->places[k].workload == place->workload)
                whole += requests_station_result(requests, k).arrived - span->places[k].arrived;
        place->shares[piece] = whole == 0 ? 0 : (double)now[0] / (double)whole;
    }
    for (int i = 0; i < count; i++)
        span->places[i].arrived = requests_station_result(requests, i).arrived;
}

static int tell_sources(struct span *span, struct requests *requests, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < span->tables.source_count && rc == 0; i++) {
        struct requests_source_result source = requests_source_result(requests, i);
        const struct sketch *sketch = source.latencies;
        struct run_requests told = {
            .at_us = span->run->from_us + span->what->at_us,
            .for_us = span->what->for_us,
            .app = span->document,
            .from = span->sources[i].name,
            .workload =
                span->document->workloads[span->document->links[span->source_link[i]].to].name,
            .offered = source.offered,
            .completed = source.completed,
            .rejected = source.lost,
            .under_way = source.under_way,
            .carried = source.carried,
            .bytes = bytes_of(span, requests, span->sources[i].route, 1)};
        if (sketch->count > 0) {
            told.p50_us = (int64_t)llround(sketch_quantile(sketch, 500000));
            told.p95_us = (int64_t)llround(sketch_quantile(sketch, 950000));
            told.p99_us = (int64_t)llround(sketch_quantile(sketch, 990000));
        }
        if (span->run->sink->requests != NULL)
            rc = span->run->sink->requests(span->run->sink->context, &told, err);
    }
    return rc;
}

/* What was put on a way between two sites, and on those that it leads to. */
static uint64_t bytes_of(struct span *span, struct requests *requests, int route, int depth)
{
    if (route == REQUESTS_NONE || depth > REQUESTS_DEPTH)
        return 0;
    const struct way *way = &span->ways[route];
    int64_t out;
    int64_t back;
    way_bytes(span, way, &out, &back);
    struct requests_link_result result = requests_link_result(requests, route);
    uint64_t bytes = way->from == way->to ? 0
                                          : result.messages_out * (uint64_t)out +
                                                result.messages_back * (uint64_t)back;
    return bytes + bytes_of(span, requests, span->routes[route].miss, depth + 1) +
           bytes_of(span, requests, span->routes[route].otherwise, depth);
}

/* Of a request and of its answer. */
static void way_bytes(const struct span *span, const struct way *way, int64_t *ret_out,
                      int64_t *ret_back)
{
    const struct link *link = &span->document->links[way->app_link];
    const struct workload *callee = &span->document->workloads[link->to];
    int at = span->at[link->to].variant;
    const struct variant *variant =
        at >= 0 && at < callee->variant_count ? &callee->variants[at] : NULL;
    bool own = variant != NULL;
    *ret_out = own && variant->request_bytes >= 0 ? variant->request_bytes : link->request_bytes;
    *ret_back =
        own && variant->response_bytes >= 0 ? variant->response_bytes : link->response_bytes;
}

static int tell_stations(struct span *span, struct requests *requests, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < span->tables.station_count && rc == 0; i++) {
        const struct place *place = &span->places[i];
        const struct requests_station *station = &span->stations[i];
        struct requests_station_result result = requests_station_result(requests, i);
        struct stats_mean shares = {0};
        for (int k = 0; k < PIECES; k++)
            stats_mean_add(&shares, place->shares[k]);
        struct stats_interval share = stats_mean_interval(&shares, 0.95);
        double busy = station->hold == REQUESTS_HOLD_TRIP ? result.held_mean : result.busy_mean;
        struct run_station told = {
            .at_us = span->run->from_us + span->what->at_us,
            .app = span->document,
            .workload = span->document->workloads[place->workload].name,
            .site = span->sites[station->site].name,
            .overflow = place->overflow,
            .servers = station->servers,
            .arrived = result.arrived,
            .served = result.served,
            .refused = result.refused,
            .misses = misses_of(span, requests, i),
            .share_ppm = (int64_t)llround(share.mean * 1e6),
            .half_ppm = (int64_t)llround(share.half * 1e6),
            .busy_ppm =
                station->servers == 0 ? -1 : (int64_t)llround(busy / station->servers * 1e6)};
        if (place->cache != REQUESTS_NONE && told.misses < result.served)
            told.hits = result.served - told.misses;
        if (result.served > 0 && station->hold == REQUESTS_HOLD_SERVICE &&
            result.waits->count > 0) {
            told.wait_us = (int64_t)(result.waited_ns / 1000 / (__int128)result.served);
            told.wait_p99_us = (int64_t)llround(sketch_quantile(result.waits, 990000));
        }
        if (told.busy_ppm > 999000 && result.here > 10 * (uint64_t)station->servers)
            run_note(span->run,
                     "requests of %s: %s at %s is called more often than it can serve; its queue "
                     "grows as long as the span is",
                     span->what->of, told.workload, told.site);
        if (span->run->sink->station != NULL)
            rc = span->run->sink->station(span->run->sink->context, &told, err);
    }
    return rc;
}

/* Of a station's cache: the messages that it sends on. */
static uint64_t misses_of(struct span *span, struct requests *requests, int station)
{
    uint64_t sum = 0;
    for (int i = 0; i < span->tables.route_count; i++)
        if (span->routes[i].station == station && span->places[station].cache != REQUESTS_NONE &&
            span->routes[i].cache == span->places[station].cache &&
            span->routes[i].miss != REQUESTS_NONE)
            sum += requests_link_result(requests, span->routes[i].miss).messages_out;
    return sum;
}
