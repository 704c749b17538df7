#include "tests/bench/solver/graphs.h"

#include <string.h>

#include "base/decimal.h"
#include "base/str.h"
#include "model/distance.h"
#include "model/world.h"
#include "tests/property/problem_gen.h"

#define HOURS   730
#define SECONDS INT64_C(2628000)
/* A thousand calls that wait a microsecond cost this at a world's default weight of latency. */
#define WAIT_NUSD_US   1
#define KEPT_PERCENT   85
#define RESIDE_PERCENT 30
#define LOAD_LEAST     0.5 /* of what was measured; at most so many times doubled: */
#define LOAD_DOUBLES   3
#define UNIT_NUSD      1000

/* What a thousand calls of an edge need; its table of costs by site is its number. */
struct edge {
    int64_t request_bytes;
    int64_t answer_bytes;
    int64_t rate_uhz; /* calls at load 1 */
};

struct build {
    const struct graphs_shape *shape;
    const struct calls *calls;
    const struct calls_regions *regions;
    struct arena *arena;
    struct error *err;
    struct gen_random random;
    struct grid *grid;
    struct world world;
    int *site;       /* [region] in the world */
    int64_t *rtt_us; /* [region * regions + region] */
    struct edge *edge;
    struct calls_service *service; /* with nothing left unknown */
    uint32_t *cost;
    int32_t *demand;
    struct grid_link *link;
};

static int world_of(struct build *build);
static int fill_unknown(struct build *build);
static int tables(struct build *build);
static int allocate(struct build *build);
static void app(struct build *build, int first, int most, int *ret_parts);
static int capacities(struct build *build);

int graphs_build(const struct graphs_shape *shape, const struct calls *calls,
                 const struct calls_regions *regions, struct arena *arena, struct grid *ret_grid,
                 struct error *err)
{
    struct grid grid = {.parts = shape->parts, .sites = regions->count, .resources = 2};
    struct build build = {.shape = shape,
                          .calls = calls,
                          .regions = regions,
                          .arena = arena,
                          .err = err,
                          .grid = &grid};
    gen_seed(&build.random, shape->seed);
    if (calls->apps == 0 || calls->edges == 0 || shape->parts < 1) {
        return error_set(err, ERR_INVALID, 0, "no call graphs, or no workloads, to draw apps from");
    }
    int rc = world_of(&build);
    rc = rc < 0 ? rc : fill_unknown(&build);
    rc = rc < 0 ? rc : tables(&build);
    rc = rc < 0 ? rc : allocate(&build);
    for (int parts = 0; rc == 0 && parts < shape->parts;) {
        int added = 0;
        app(&build, parts, shape->parts - parts, &added);
        parts += added;
    }
    rc = rc < 0 ? rc : capacities(&build);
    if (rc == 0) {
        *ret_grid = grid;
    }
    return rc;
}

static int no_memory(const struct build *build)
{
    return error_set(build->err, ERR_NO_MEMORY, 0, "no memory for %d workloads",
                     build->shape->parts);
}

/* "gcp:us-west1-a" is the catalogue's "gcp/us-west1". Of Sao Paulo no price is known: it has those
 * of AWS's dearest region. */
static int world_of(struct build *build)
{
    static const char document[] =
        "world: regions\n"
        "accounts: [{name: aws, provider: aws}, {name: az, provider: azure}, "
        "{name: g, provider: gcp}]\n"
        "use: [aws/*, azure/*, gcp/*]\n"
        "sites:\n"
        "  - {name: aws/sa-east-1, like: aws/ap-east-1, geo: [-23.55, -46.63],\n"
        "     tags: {tariff: aws-sao-paulo, continent: south-america, country: br}}\n";
    size_t count = (size_t)build->regions->count;
    build->site = arena_array(build->arena, count, sizeof(int));
    build->rtt_us = arena_array(build->arena, count * count, sizeof(int64_t));
    if (build->site == NULL || build->rtt_us == NULL) {
        return no_memory(build);
    }
    int rc = world_parse("regions", document, sizeof(document) - 1, build->arena, &build->world,
                         build->err);
    const struct world *world = &build->world;
    for (size_t i = 0; i < count && rc == 0; i++) {
        char name[LIMIT_NAME_BYTES];
        memcpy(name, build->regions->name[i], sizeof(name));
        char *colon = strchr(name, ':');
        size_t bytes = strlen(name);
        if (colon != NULL) {
            *colon = '/';
        }
        if (str_starts(name, "gcp/") && bytes > 2 && name[bytes - 2] == '-') {
            name[bytes - 2] = '\0';
        }
        build->site[i] = world_site(world, name);
        if (build->site[i] < 0) {
            rc = error_set(build->err, ERR_NOT_FOUND, 0, "region '%s' is not in the catalogue",
                           build->regions->name[i]);
        }
    }
    for (size_t i = 0; i < count * count && rc == 0; i++) {
        int a = build->site[i / count];
        int b = build->site[i % count];
        int64_t rtt = a == b ? 0 : world->rtt_us[a * world->site_count + b];
        rtt = rtt >= 0 ? rtt : cost_distance_rtt_us(&world->sites[a], &world->sites[b]);
        build->rtt_us[i] = rtt >= 0 ? rtt : 0;
    }
    return rc;
}

/* A field that is 0 becomes that of a service that has one, by the service's number. */
#define FILL(field)                                                                              \
    do {                                                                                         \
        int known = 0;                                                                           \
        for (int i = 0; i < calls->services; i++) {                                              \
            known += calls->service[i].field > 0;                                                \
        }                                                                                        \
        for (int i = 0; i < calls->services; i++) {                                              \
            int nth = known > 0 && calls->service[i].field <= 0 ? 1 + i * 7 % known : 0;         \
            for (int k = 0; nth > 0; k++) {                                                      \
                nth -= calls->service[k].field > 0;                                              \
                build->service[i].field = nth == 0 ? calls->service[k].field : 0;                \
            }                                                                                    \
            build->service[i].field = build->service[i].field > 0 ? build->service[i].field : 1; \
        }                                                                                        \
    } while (false)

/* Of each edge: the callee's calls, divided among its callers; the bytes of one of them. */
static int fill_unknown(struct build *build)
{
    const struct calls *calls = build->calls;
    build->service = arena_copy(build->arena, calls->service, sizeof(calls->service));
    build->edge = arena_array(build->arena, (size_t)calls->edges, sizeof(*build->edge));
    if (build->service == NULL || build->edge == NULL) {
        return no_memory(build);
    }
    FILL(cpu_mcpu);
    FILL(memory_mib);
    FILL(rate_uhz);
    FILL(receive_byte_s);
    FILL(send_byte_s);
    for (int i = 0; i < calls->edges; i++) {
        const struct calls_service *callee = &build->service[calls->edge[i].callee];
        /* The bytes are of the traces' own services, at their own rates. */
        int source = calls->edge[i].callee;
        bool measured = calls->service[source].receive_byte_s > 0;
        for (int k = 0, nth = source * 5; !measured && k < calls->services; k++) {
            int other = (nth + k) % calls->services;
            measured = calls->service[other].receive_byte_s > 0;
            source = measured ? other : source;
        }
        double rate = (double)build->service[source].rate_uhz / 1e6;
        int64_t callers = 0;
        for (int k = 0; k < calls->edges; k++) {
            callers += calls->edge[k].callee == calls->edge[i].callee;
        }
        build->edge[i] = (struct edge){
            .request_bytes = (int64_t)((double)build->service[source].receive_byte_s / rate),
            .answer_bytes = (int64_t)((double)build->service[source].send_byte_s / rate),
            .rate_uhz = callee->rate_uhz / callers,
        };
    }
    return 0;
}

/* Nano-dollars of a thousand calls by both ends' sites. A millionth of a dollar per GB is a
 * thousandth of a nano-dollar per byte of each of a thousand calls. */
static int tables(struct build *build)
{
    const struct calls_regions *regions = build->regions;
    size_t sites = (size_t)regions->count;
    size_t edges = (size_t)build->calls->edges;
    struct grid_table *table = arena_array(build->arena, edges, sizeof(*table));
    uint32_t *value = arena_array(build->arena, edges * sites * sites, sizeof(uint32_t));
    if (table == NULL || value == NULL) {
        return no_memory(build);
    }
    for (size_t i = 0; i < edges; i++, value += sites * sites) {
        const struct edge *edge = &build->edge[i];
        for (size_t at = 0; at < sites * sites; at++) {
            size_t back = at % sites * sites + at / sites;
            double bytes = (double)edge->request_bytes * regions->egress[at] +
                           (double)edge->answer_bytes * regions->egress[back];
            double cost = bytes / 1000 + (double)(build->rtt_us[at] * WAIT_NUSD_US);
            value[at] = cost < 4e9 ? (uint32_t)cost : UINT32_C(4000000000);
        }
        table[i] = (struct grid_table){
            .by_site = true, .rows = (int)sites, .columns = (int)sites, .value = value};
    }
    build->grid->table = table;
    build->grid->tables = (int)edges;
    return 0;
}

static int degree_most(const struct calls *calls)
{
    int degree[CALLS_SERVICES_MAX] = {0};
    int most = 0;
    for (int i = 0; i < calls->edges; i++) {
        int caller = ++degree[calls->edge[i].caller];
        int callee = ++degree[calls->edge[i].callee];
        most = caller > most ? caller : most;
        most = callee > most ? callee : most;
    }
    return most;
}

static int allocate(struct build *build)
{
    size_t parts = (size_t)build->shape->parts;
    size_t sites = (size_t)build->regions->count;
    int64_t *unit = arena_array(build->arena, parts, sizeof(int64_t));
    build->cost = arena_array(build->arena, parts * sites, sizeof(uint32_t));
    build->demand = arena_array(build->arena, parts * 2, sizeof(int32_t));
    size_t links = parts * (size_t)degree_most(build->calls) / 2 + 1;
    build->link = arena_array(build->arena, links, sizeof(*build->link));
    if (unit == NULL || build->cost == NULL || build->demand == NULL || build->link == NULL) {
        return no_memory(build);
    }
    for (size_t part = 0; part < parts; part++) {
        unit[part] = UNIT_NUSD;
    }
    build->grid->unit = unit;
    build->grid->cost = build->cost;
    build->grid->demand = build->demand;
    build->grid->link = build->link;
    return 0;
}

static const char *continent_of(const struct build *build, int region)
{
    const struct tags *tags = &build->world.sites[build->site[region]].tags;
    for (int i = 0; i < tags->count; i++) {
        if (str_equal(tags->list[i].key, "continent")) {
            return tags->list[i].value;
        }
    }
    return "";
}

static bool holds_state(const char *service)
{
    static const char *const words[] = {"cart",   "redis",  "storage", "user", "memcached",
                                        "rating", "review", "payment", "media"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strstr(service, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void part(struct build *build, int at, int service, double load, int users, bool entry,
                 bool resides)
{
    const struct calls_service *what = &build->service[service];
    size_t sites = (size_t)build->regions->count;
    int32_t *demand = build->demand + (size_t)at * 2;
    demand[0] = (int32_t)(what->cpu_mcpu * load) + 1;
    demand[1] = (int32_t)(what->memory_mib * (load > 1 ? load : 1));
    const char *home = continent_of(build, users);
    for (size_t i = 0; i < sites; i++) {
        const struct site *site = &build->world.sites[build->site[i]];
        int64_t cpu = 0;
        int64_t memory = 0;
        (void)!decimal_scaled(site->cpu_price, 9, &cpu); /* a catalogue's price fits */
        (void)!decimal_scaled(site->memory_price, 9, &memory);
        double cost = HOURS * ((double)cpu * demand[0] / 1000 + (double)memory * demand[1] / 1024);
        if (entry) {
            double calls = (double)what->rate_uhz * 1e-6 * load * (double)SECONDS / 1000;
            cost += calls * (double)(build->rtt_us[i * sites + (size_t)users] * WAIT_NUSD_US);
        }
        cost /= UNIT_NUSD;
        bool closed =
            resides && holds_state(what->name) && !str_equal(home, continent_of(build, (int)i));
        build->cost[(size_t)at * sites + i] =
            closed ? GRID_CLOSED : (uint32_t)(cost < 4e9 ? cost : 4e9);
    }
}

static void app(struct build *build, int first, int most, int *ret_parts)
{
    const struct calls *calls = build->calls;
    struct gen_random *random = &build->random;
    int number = (int)gen_below(random, (uint64_t)calls->apps);
    int at[CALLS_SERVICES_MAX];
    int degree[CALLS_SERVICES_MAX] = {0};
    int entry = -1;
    for (int i = 0; i < calls->edges; i++) {
        degree[calls->edge[i].caller]++;
        degree[calls->edge[i].callee]++;
    }
    for (int i = 0; i < calls->services; i++) {
        bool kept = calls->service[i].app == number && gen_chance(random, KEPT_PERCENT);
        bool more = entry < 0 || degree[i] > degree[entry];
        entry = calls->service[i].app == number && more ? i : entry;
        at[i] = kept ? -1 : -2;
    }
    double load = LOAD_LEAST;
    for (int i = 0; i < LOAD_DOUBLES; i++) {
        load *= 1 + (double)gen_below(random, 1000) / 999;
    }
    int users = (int)gen_below(random, (uint64_t)build->regions->count);
    bool resides = gen_chance(random, RESIDE_PERCENT);
    int count = 0;
    if (entry >= 0) {
        at[entry] = first + count++;
    }
    for (bool more = true; more;) {
        more = false;
        for (int i = 0; i < calls->edges && count < most; i++) {
            const struct calls_edge *edge = &calls->edge[i];
            for (int end = 0; end < 2 && count < most; end++) {
                int from = end == 0 ? edge->caller : edge->callee;
                int to = end == 0 ? edge->callee : edge->caller;
                if (at[from] >= 0 && at[to] == -1) {
                    at[to] = first + count++;
                    more = true;
                }
            }
        }
    }
    for (int i = 0; i < calls->services; i++) {
        if (at[i] >= 0) {
            part(build, at[i], i, load, users, i == entry, resides);
        }
    }
    for (int i = 0; i < calls->edges; i++) {
        const struct calls_edge *edge = &calls->edge[i];
        if (at[edge->caller] >= 0 && at[edge->callee] >= 0) {
            double thousands =
                (double)build->edge[i].rate_uhz * 1e-6 * load * (double)SECONDS / 1000;
            build->link[build->grid->links++] = (struct grid_link){.a = at[edge->caller],
                                                                   .b = at[edge->callee],
                                                                   .table = i,
                                                                   .scale = (int64_t)thousands + 1};
        }
    }
    *ret_parts = count;
}

/* As the generated grids' (tests/property/grid_gen.c): sites differ by up to three times. */
static int capacities(struct build *build)
{
    struct grid *grid = build->grid;
    size_t sites = (size_t)grid->sites;
    int64_t *capacity = arena_array(build->arena, sites * 2, sizeof(int64_t));
    int64_t *share = arena_array(build->arena, sites, sizeof(int64_t));
    if (capacity == NULL || share == NULL) {
        return no_memory(build);
    }
    int64_t shares = 0;
    for (size_t site = 0; site < sites; site++) {
        share[site] = 50 + (int64_t)gen_below(&build->random, 101);
        shares += share[site];
    }
    for (size_t r = 0; r < 2; r++) {
        int64_t total = 0;
        for (size_t at = 0; at < (size_t)grid->parts; at++) {
            total += build->demand[at * 2 + r];
        }
        for (size_t site = 0; site < sites; site++) {
            __int128 room = (__int128)total * build->shape->capacity_percent * share[site];
            capacity[site * 2 + r] = (int64_t)(room / 100 / shares);
        }
    }
    grid->capacity = capacity;
    return 0;
}
