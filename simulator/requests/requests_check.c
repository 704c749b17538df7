#include <stdlib.h>

#include "simulator/requests/requests_internal.h"

#define ALTERNATIVES_MAX 256 /* routes one after the other, by misses and alternatives */

static int check_counts(const struct requests_tables *tables, struct error *err);
static int check_stations(const struct requests_tables *tables, struct error *err);
static int check_links(const struct requests_tables *tables, struct error *err);
static int check_caches(const struct requests_tables *tables, struct error *err);
static int check_route(const struct requests_tables *tables, int32_t row, struct error *err);
static int check_circles(const struct requests_tables *tables, struct error *err);
static int check_catalogue(const struct requests_tables *tables, int32_t row, struct error *err);
static int check_sources(const struct requests_tables *tables, struct error *err);
static int check_failures(const struct requests_tables *tables, struct error *err);
static int check_duration(const struct random_duration *duration, const char *what, int32_t row,
                          struct error *err);
static int check_index(int32_t index, int32_t count, bool may_be_none, const char *what,
                       int32_t row, struct error *err);

int requests_tables_check(const struct requests_tables *tables, struct error *err)
{
    int code = check_counts(tables, err);
    code = code < 0 ? code : check_stations(tables, err);
    code = code < 0 ? code : check_links(tables, err);
    code = code < 0 ? code : check_caches(tables, err);
    for (int32_t i = 0; code == 0 && i < tables->route_count; i++)
        code = check_route(tables, i, err);
    code = code < 0 ? code : check_circles(tables, err);
    code = code < 0 ? code : check_sources(tables, err);
    return code < 0 ? code : check_failures(tables, err);
}

static int check_counts(const struct requests_tables *tables, struct error *err)
{
    const struct {
        const char *name;
        int32_t count;
        const void *rows;
    } all[] = {
        {"sites", tables->site_count, tables->sites},
        {"stations", tables->station_count, tables->stations},
        {"links", tables->link_count, tables->links},
        {"catalogues", tables->catalogue_count, tables->catalogues},
        {"caches", tables->cache_count, tables->caches},
        {"routes", tables->route_count, tables->routes},
        {"sources", tables->source_count, tables->sources},
        {"outages", tables->outage_count, tables->outages},
        {"flaky", tables->flaky_count, tables->flaky},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].count < 0 || all[i].count > REQUESTS_TABLE_MAX ||
            (all[i].count > 0 && all[i].rows == NULL))
            return error_set(err, ERR_INVALID, 0, "%s: %d rows; a table has 0 to %d, and rows",
                             all[i].name, all[i].count, REQUESTS_TABLE_MAX);
    const struct requests_probe *probe = &tables->probe;
    if (probe->every_ns < 0 || probe->loss_ppm > 1000000 ||
        (probe->every_ns > 0 && probe->deliver == NULL))
        return error_set(err, ERR_INVALID, 0,
                         "probe: every_ns %lld, loss_ppm %u: an interval from 0, a loss of at most "
                         "1000000 and a function that takes the samples",
                         (long long)probe->every_ns, probe->loss_ppm);
    return probe->every_ns > 0 ? check_duration(&probe->lag, "probe: lag", 0, err) : 0;
}

static int check_stations(const struct requests_tables *tables, struct error *err)
{
    for (int32_t i = 0; i < tables->station_count; i++) {
        const struct requests_station *station = &tables->stations[i];
        int code = check_index(station->site, tables->site_count, false, "station: site", i, err);
        if (code < 0)
            return code;
        if (station->servers < 0 || station->room < REQUESTS_UNLIMITED)
            return error_set(err, ERR_INVALID, 0,
                             "station %d: %d servers and room for %lld: both are from 0, or "
                             "REQUESTS_UNLIMITED for room",
                             i, station->servers, (long long)station->room);
        if (station->order == REQUESTS_SHARING &&
            (station->servers == 0 || station->hold == REQUESTS_HOLD_TRIP))
            return error_set(err, ERR_INVALID, 0,
                             "station %d: what is shared is a number of servers, and nobody "
                             "reserves one: give servers, or take REQUESTS_FIFO",
                             i);
        if (station->hold == REQUESTS_HOLD_TRIP && station->room > 0)
            return error_set(err, ERR_INVALID, 0,
                             "station %d: servers that are reserved have no queue: room is 0, "
                             "not %lld",
                             i, (long long)station->room);
    }
    return 0;
}

static int check_links(const struct requests_tables *tables, struct error *err)
{
    for (int32_t i = 0; i < tables->link_count; i++) {
        if (tables->links[i].bytes_per_s < 0)
            return error_set(err, ERR_INVALID, 0,
                             "link %d: bytes_per_s is %lld; 0 (no limit) or more", i,
                             (long long)tables->links[i].bytes_per_s);
        int code = check_duration(&tables->links[i].latency, "link: latency", i, err);
        if (code < 0)
            return code;
    }
    return 0;
}

static int check_caches(const struct requests_tables *tables, struct error *err)
{
    for (int32_t i = 0; i < tables->catalogue_count; i++) {
        const struct requests_catalogue *catalogue = &tables->catalogues[i];
        if (catalogue->objects == 0 || catalogue->objects > CACHE_OBJECTS_MAX ||
            !(catalogue->exponent >= 0 && catalogue->exponent <= 10))
            return error_set(err, ERR_INVALID, 0,
                             "catalogue %d: %llu objects with exponent %g: 1 to %u objects, an "
                             "exponent from 0 to 10",
                             i, (unsigned long long)catalogue->objects, catalogue->exponent,
                             CACHE_OBJECTS_MAX);
    }
    for (int32_t i = 0; i < tables->cache_count; i++) {
        const struct requests_cache *cache = &tables->caches[i];
        int code = check_index(cache->catalogue, tables->catalogue_count,
                               cache->policy.kind == CACHE_GIVEN, "cache: catalogue", i, err);
        uint64_t objects = code < 0 || cache->catalogue == REQUESTS_NONE
                               ? 0
                               : tables->catalogues[cache->catalogue].objects;
        code = code < 0 ? code : cache_check(&cache->policy, objects, err);
        if (code < 0)
            return error_prefix(err, "cache %d", i);
    }
    return 0;
}

static int check_route(const struct requests_tables *tables, int32_t row, struct error *err)
{
    const struct requests_route *route = &tables->routes[row];
    if (route->link_count < 0 || route->link_count > REQUESTS_HOPS)
        return error_set(err, ERR_INVALID, 0, "route %d: %d links; at most %d", row,
                         route->link_count, REQUESTS_HOPS);
    if (route->request_bytes < 0 || route->response_bytes < 0)
        return error_set(err, ERR_INVALID, 0, "route %d: bytes are from 0, not %lld and %lld", row,
                         (long long)route->request_bytes, (long long)route->response_bytes);
    int code =
        check_index(route->station, tables->station_count, false, "route: station", row, err);
    for (int32_t k = 0; code == 0 && k < route->link_count; k++)
        code = check_index(route->links[k], tables->link_count, false, "route: link", row, err);
    code = code < 0
               ? code
               : check_index(route->cache, tables->cache_count, true, "route: cache", row, err);
    code = code < 0 ? code
                    : check_index(route->miss, tables->route_count, true, "route: miss", row, err);
    code = code < 0 ? code
                    : check_index(route->otherwise, tables->route_count, true, "route: otherwise",
                                  row, err);
    if (code == 0 && route->miss != REQUESTS_NONE && route->cache == REQUESTS_NONE)
        return error_set(err, ERR_INVALID, 0,
                         "route %d: a way for misses, but no cache that could miss", row);
    return code < 0 ? code : check_duration(&route->work, "route: work", row, err);
}

/* Each route's longest walk over misses and alternatives, and how many routes it makes a request be
 * on at once, found by passes until nothing grows: a circle never stops growing. */
static int check_circles(const struct requests_tables *tables, struct error *err)
{
    struct reach {
        uint16_t steps;
        uint8_t depth;
    };
    size_t count = (size_t)tables->route_count;
    CLEANUP(cleanup_free) struct reach *reach = calloc(count + 1, sizeof *reach);
    if (reach == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "checking %zu routes", count);
    for (bool grew = true; grew;) {
        grew = false;
        for (size_t i = 0; i < count; i++) {
            const struct requests_route *route = &tables->routes[i];
            struct reach miss = {0, 0};
            struct reach other = {0, 0};
            if (route->miss != REQUESTS_NONE)
                miss = reach[route->miss];
            if (route->otherwise != REQUESTS_NONE)
                other = reach[route->otherwise];
            int steps = 1 + (miss.steps > other.steps ? miss.steps : other.steps);
            int depth = 1 + miss.depth > other.depth ? 1 + miss.depth : other.depth;
            if (steps > ALTERNATIVES_MAX || depth > REQUESTS_DEPTH)
                return error_set(err, ERR_INVALID, 0,
                                 "route %zu: its misses and alternatives go in a circle, over more "
                                 "than %d routes, or to misses of misses more than %d deep",
                                 i, ALTERNATIVES_MAX, REQUESTS_DEPTH);
            if (steps > reach[i].steps || depth > reach[i].depth) {
                reach[i] = (struct reach){(uint16_t)steps, (uint8_t)depth};
                grew = true;
            }
        }
    }
    return 0;
}

/* Every cache that a source's requests can come to keeps the objects that they ask for. */
static int check_catalogue(const struct requests_tables *tables, int32_t row, struct error *err)
{
    const struct requests_source *source = &tables->sources[row];
    size_t count = (size_t)tables->route_count;
    CLEANUP(cleanup_free) bool *seen = calloc(count + 1, sizeof *seen);
    CLEANUP(cleanup_free) int32_t *todo = calloc(count + 1, sizeof *todo);
    if (seen == NULL || todo == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "checking %zu routes", count);
    size_t left = 1;
    todo[0] = source->route;
    seen[source->route] = true;
    while (left > 0) {
        const struct requests_route *route = &tables->routes[todo[--left]];
        int32_t cache = route->cache;
        if (cache != REQUESTS_NONE && tables->caches[cache].policy.kind != CACHE_GIVEN &&
            tables->caches[cache].catalogue != source->catalogue)
            return error_set(err, ERR_INVALID, 0,
                             "source %d: asks for objects of catalogue %d, but cache %d on its way "
                             "keeps those of %d",
                             row, source->catalogue, cache, tables->caches[cache].catalogue);
        const int32_t next[] = {route->miss, route->otherwise};
        for (int i = 0; i < 2; i++)
            if (next[i] != REQUESTS_NONE && !seen[next[i]]) {
                seen[next[i]] = true;
                todo[left++] = next[i];
            }
    }
    return 0;
}

static int check_sources(const struct requests_tables *tables, struct error *err)
{
    for (int32_t i = 0; i < tables->source_count; i++) {
        const struct requests_source *source = &tables->sources[i];
        int code = check_index(source->route, tables->route_count, false, "source: route", i, err);
        code = code < 0 ? code
                        : check_index(source->catalogue, tables->catalogue_count, true,
                                      "source: catalogue", i, err);
        if (code < 0)
            return code;
        if (source->request_bytes < 0 || source->response_bytes < 0)
            return error_set(err, ERR_INVALID, 0, "source %d: bytes are from 0, not %lld and %lld",
                             i, (long long)source->request_bytes,
                             (long long)source->response_bytes);
        if (arrivals_check(&source->arrivals, err) < 0)
            return error_prefix(err, "source %d", i);
        code = check_catalogue(tables, i, err);
        if (code < 0)
            return code;
    }
    return 0;
}

static int check_failures(const struct requests_tables *tables, struct error *err)
{
    for (int32_t i = 0; i < tables->outage_count; i++) {
        const struct requests_outage *outage = &tables->outages[i];
        int code = check_index(outage->site, tables->site_count, false, "outage: site", i, err);
        if (code < 0)
            return code;
        if (outage->from_ns < 0 || outage->until_ns < outage->from_ns || outage->notice_ns < 0)
            return error_set(err, ERR_INVALID, 0,
                             "outage %d: from %lld to %lld ns with a notice of %lld ns: it begins "
                             "at 0 or later and ends after that",
                             i, (long long)outage->from_ns, (long long)outage->until_ns,
                             (long long)outage->notice_ns);
    }
    for (int32_t i = 0; i < tables->flaky_count; i++) {
        const struct requests_flaky *flaky = &tables->flaky[i];
        int code = check_index(flaky->site, tables->site_count, false, "flaky: site", i, err);
        code = code < 0 ? code : check_duration(&flaky->up, "flaky: up", i, err);
        code = code < 0 ? code : check_duration(&flaky->down, "flaky: down", i, err);
        if (code < 0)
            return code;
        if (flaky->notice_ns < 0 || random_duration_mean_ns(&flaky->up) < 1)
            return error_set(err, ERR_INVALID, 0,
                             "flaky %d: a notice from 0 on (%lld ns) and a mean time up above 0", i,
                             (long long)flaky->notice_ns);
    }
    return 0;
}

static int check_duration(const struct random_duration *duration, const char *what, int32_t row,
                          struct error *err)
{
    const int64_t most_ns = INT64_C(1) << 60;
    bool good = duration->mean_ns >= 0 && duration->low_ns >= 0 && duration->high_ns >= 0 &&
                duration->deviation_ns >= 0 && duration->mean_ns <= most_ns &&
                duration->high_ns <= most_ns && duration->deviation_ns <= most_ns;
    switch (duration->kind) {
    case RANDOM_CONSTANT:
        break;
    case RANDOM_UNIFORM:
        good = good && duration->low_ns <= duration->high_ns;
        break;
    case RANDOM_EXPONENTIAL:
        good = good && duration->low_ns <= duration->mean_ns;
        break;
    case RANDOM_LOGNORMAL:
        good = good && duration->mean_ns > 0;
        break;
    case RANDOM_TWO_RATES:
        good = good && duration->share >= 0 && duration->share <= 1 && duration->low_ns <= most_ns;
        break;
    }
    if (!good)
        return error_set(err, ERR_INVALID, 0,
                         "%s of row %d: mean %lld, low %lld, high %lld, deviation %lld ns, share "
                         "%g do not make a duration of kind %d (random.h says what each needs)",
                         what, row, (long long)duration->mean_ns, (long long)duration->low_ns,
                         (long long)duration->high_ns, (long long)duration->deviation_ns,
                         duration->share, (int)duration->kind);
    return 0;
}

static int check_index(int32_t index, int32_t count, bool may_be_none, const char *what,
                       int32_t row, struct error *err)
{
    if ((index >= 0 && index < count) || (may_be_none && index == REQUESTS_NONE))
        return 0;
    return error_set(err, ERR_INVALID, 0, "%s of row %d is %d; it is from 0 to %d%s", what, row,
                     index, count - 1, may_be_none ? ", or REQUESTS_NONE" : "");
}
