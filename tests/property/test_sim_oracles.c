/* Worlds of requests against formulas that are known to be right, each figure the mean of
 * independent runs within its own 99 % confidence interval, with fixed seeds; and worlds of every
 * kind against the laws of conservation, exactly. A bound on the interval's width keeps each
 * judgement from being empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/sanitize.h"
#include "simulator/requests/closed.h"
#include "simulator/requests/requests.h"
#include "tests/bench/sim/two_tier.h"

/* Under a sanitizer, which is there to find other things, a quarter of the runs and wider bounds.
 */
#define RUNS  (SANITIZE_SHADOW ? 4 : 16)
#define WIDER (SANITIZE_SHADOW ? 8 : 1)
#define SEED  100

/* The formula's value is in the interval of the runs' means, or off by no more than `model`, which
 * is 0 but for approximations; the interval is at most `width` wide on each side. */
static void judge(const char *what, const struct stats_mean *runs, double exact, double width,
                  double model)
{
    struct stats_interval interval = stats_mean_interval(runs, 0.99);
    print_message("%-36s %.6g +- %.2g, exactly %.6g\n", what, interval.mean, interval.half, exact);
    if (!(interval.half <= WIDER * width * exact))
        fail_msg("%s: +- %g is too wide to judge %g", what, interval.half, exact);
    if (!(fabs(interval.mean - exact) <= interval.half + model))
        fail_msg("%s: %g +- %g, exactly %g", what, interval.mean, interval.half, exact);
}

/* One station with users at no distance. */
struct queue {
    struct requests_site site;
    struct requests_station station;
    struct requests_catalogue catalogue;
    struct requests_cache cache;
    struct requests_route route;
    struct requests_source source;
    struct requests_tables tables;
};

static void queue_init(struct queue *queue, double per_s, struct random_duration work)
{
    *queue = (struct queue){
        .site = {.name = "site"},
        .station = {.name = "station", .servers = 1, .room = REQUESTS_UNLIMITED},
        .route = {.cache = REQUESTS_NONE,
                  .miss = REQUESTS_NONE,
                  .otherwise = REQUESTS_NONE,
                  .work = work},
        .source = {.name = "source",
                   .catalogue = REQUESTS_NONE,
                   .arrivals = {.kind = ARRIVALS_POISSON, .per_s = per_s}},
    };
    queue->tables = (struct requests_tables){.sites = &queue->site,
                                             .stations = &queue->station,
                                             .catalogues = &queue->catalogue,
                                             .caches = &queue->cache,
                                             .routes = &queue->route,
                                             .sources = &queue->source,
                                             .site_count = 1,
                                             .station_count = 1,
                                             .route_count = 1,
                                             .source_count = 1};
}

/* Warmed up, then counted from zero; balanced at the end. */
static struct requests *run_warm(const struct requests_tables *tables, uint64_t seed,
                                 int64_t warm_s, int64_t counted_s)
{
    struct error err = {0};
    struct requests *requests = NULL;
    if (requests_create(tables, seed, &requests, &err) < 0 ||
        requests_run(requests, warm_s * NS_PER_S, &err) < 0)
        fail_msg("%s", err.text);
    requests_restart(requests);
    if (requests_run(requests, (warm_s + counted_s) * NS_PER_S, &err) < 0 ||
        requests_balanced(requests, &err) < 0)
        fail_msg("%s", err.text);
    return requests;
}

/* Whatever the service is like, only its mean counts. */
static void test_erlang_b(void **state)
{
    (void)state;
    static const struct random_duration works[] = {
        {.kind = RANDOM_EXPONENTIAL, .mean_ns = NS_PER_S},
        {.kind = RANDOM_CONSTANT, .mean_ns = NS_PER_S},
        {.kind = RANDOM_LOGNORMAL, .mean_ns = NS_PER_S, .deviation_ns = 2 * NS_PER_S},
    };
    static const char *const names[] = {"Erlang B, exponential", "Erlang B, constant",
                                        "Erlang B, lognormal"};
    for (int k = 0; k < 3; k++) {
        struct stats_mean runs = {0};
        struct two_tier world;
        two_tier_init(&world, 120, 100);
        world.routes[0].work = world.routes[1].work = works[k];
        for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
            struct requests *requests = run_warm(&world.tables, seed, 60, 1500);
            struct requests_source_result source = requests_source_result(requests, 0);
            double refused = (double)requests_station_result(requests, 0).refused;
            stats_mean_add(&runs, refused / (double)source.offered);
            requests_destroy(requests);
        }
        judge(names[k], &runs, closed_erlang_b(120 * TWO_TIER_HELD_S, 100), 0.03, 0);
    }
}

/* Erlang C: who waits, and how long; 8 servers at 85 %. Little: what waits on average is the rate
 * times the wait, and the busy servers are the rate times the work. */
static void test_erlang_c_and_little(void **state)
{
    (void)state;
    struct stats_mean waits = {0};
    struct stats_mean waiting = {0};
    struct stats_mean queued = {0};
    struct stats_mean busy = {0};
    struct queue queue;
    queue_init(&queue, 68,
               (struct random_duration){RANDOM_EXPONENTIAL, .mean_ns = 100 * NS_PER_MS});
    queue.station.servers = 8;
    for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
        struct requests *requests = run_warm(&queue.tables, seed, 60, 3000);
        struct requests_station_result station = requests_station_result(requests, 0);
        struct requests_source_result source = requests_source_result(requests, 0);
        stats_mean_add(&waits, station.wait.mean / 1e9);
        stats_mean_add(&waiting,
                       1 - (double)station.waits->zero_count / (double)station.waits->count);
        stats_mean_add(&queued, station.queue_mean);
        stats_mean_add(&busy, station.busy_mean);
        /* Little's law for this very run, but for who waits at its two ends. */
        double wait_s = (double)station.waited_ns / 1e9 / (double)source.offered;
        assert_true(fabs(wait_s * (double)source.offered / 3000 / station.queue_mean - 1) < 1e-9);
        requests_destroy(requests);
    }
    double wait_s = closed_mmc_wait(68, 0.1, 8);
    judge("Erlang C, mean wait (s)", &waits, wait_s, 0.06, 0);
    /* A wait below a microsecond counts as none: less than 1e-4 of those who wait. */
    judge("Erlang C, share that waits", &waiting, closed_erlang_c(6.8, 8), 0.02, 5e-5);
    judge("Little, queue", &queued, 68 * wait_s, 0.06, 0);
    judge("Little, busy servers", &busy, 6.8, 0.01, 0);
}

static void test_pollaczek_khinchine(void **state)
{
    (void)state;
    static const struct random_duration works[] = {
        {.kind = RANDOM_CONSTANT, .mean_ns = 10 * NS_PER_MS},
        {.kind = RANDOM_UNIFORM, .low_ns = 0, .high_ns = 20 * NS_PER_MS},
        {.kind = RANDOM_EXPONENTIAL, .mean_ns = 10 * NS_PER_MS},
        {.kind = RANDOM_LOGNORMAL, .mean_ns = 10 * NS_PER_MS, .deviation_ns = 15 * NS_PER_MS},
        {.kind = RANDOM_TWO_RATES,
         .share = 0.8,
         .low_ns = 5 * NS_PER_MS,
         .high_ns = 30 * NS_PER_MS},
    };
    static const char *const names[] = {
        "Pollaczek-Khinchine, constant", "Pollaczek-Khinchine, uniform",
        "Pollaczek-Khinchine, exponential", "Pollaczek-Khinchine, lognormal",
        "Pollaczek-Khinchine, two rates"};
    for (int k = 0; k < 5; k++) {
        struct stats_mean runs = {0};
        struct queue queue;
        queue_init(&queue, 70, works[k]);
        for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
            struct requests *requests = run_warm(&queue.tables, seed, 60, 2000);
            stats_mean_add(&runs, requests_station_result(requests, 0).wait.mean / 1e9);
            requests_destroy(requests);
        }
        double mean_s = random_duration_mean_ns(&works[k]) / 1e9;
        double square = random_duration_square(&works[k]) / 1e18;
        judge(names[k], &runs, closed_mg1_wait(70, mean_s, square), 0.06, 0);
    }
}

/* A shared processor, and a shared link: the mean time is the same for every distribution. */
static void test_processor_sharing(void **state)
{
    (void)state;
    static const struct random_duration works[] = {
        {.kind = RANDOM_CONSTANT, .mean_ns = 10 * NS_PER_MS},
        {.kind = RANDOM_TWO_RATES,
         .share = 0.8,
         .low_ns = 5 * NS_PER_MS,
         .high_ns = 30 * NS_PER_MS},
    };
    static const char *const names[] = {"sharing, constant", "sharing, two rates"};
    for (int k = 0; k < 2; k++) {
        struct stats_mean runs = {0};
        struct queue queue;
        queue_init(&queue, 70, works[k]);
        queue.station.order = REQUESTS_SHARING;
        for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
            struct requests *requests = run_warm(&queue.tables, seed, 60, 1500);
            struct requests_source_result source = requests_source_result(requests, 0);
            stats_mean_add(&runs,
                           (double)source.latencies->sum / 1e6 / (double)source.latencies->count);
            requests_destroy(requests);
        }
        /* Latencies are cut to whole microseconds: half of one less on average. */
        judge(names[k], &runs, closed_ps_time(70, 0.01), 0.04, 0.5e-6);
    }
    struct stats_mean runs = {0};
    struct queue queue;
    struct requests_link link = {.name = "link", .bytes_per_s = 1000000};
    queue_init(&queue, 60, (struct random_duration){RANDOM_CONSTANT, .mean_ns = 0});
    queue.station.servers = 0;
    queue.tables.links = &link;
    queue.tables.link_count = 1;
    queue.route.link_count = 1;
    queue.source.request_bytes = 10000;
    for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
        struct requests *requests = run_warm(&queue.tables, seed, 60, 1500);
        struct requests_source_result source = requests_source_result(requests, 0);
        stats_mean_add(&runs,
                       (double)source.latencies->sum / 1e6 / (double)source.latencies->count);
        requests_destroy(requests);
    }
    judge("sharing, a link's bandwidth", &runs, closed_ps_time(60, 0.01), 0.04, 0.5e-6);
}

static double hit_ratio(const struct queue *queue, uint64_t seed, int64_t warm_s, int64_t counted_s)
{
    struct requests *requests = run_warm(&queue->tables, seed, warm_s, counted_s);
    struct requests_source_result source = requests_source_result(requests, 0);
    requests_destroy(requests);
    return (double)source.hits / (double)(source.hits + source.misses);
}

static void queue_with_cache(struct queue *queue, uint64_t objects, double exponent,
                             struct cache_policy policy)
{
    queue_init(queue, 1000, (struct random_duration){RANDOM_CONSTANT, .mean_ns = 0});
    queue->station.servers = 0;
    queue->catalogue = (struct requests_catalogue){.objects = objects, .exponent = exponent};
    queue->cache = (struct requests_cache){.name = "cache", .policy = policy};
    queue->tables.cache_count = 1;
    queue->tables.catalogue_count = 1;
    queue->route.cache = 0;
    queue->source.catalogue = 0;
}

/* Che's is an approximation: it may be off by half a hit in a hundred on top of the interval. */
static void test_caches(void **state)
{
    (void)state;
    static const double exponents[] = {0.6, 0.8, 1.1};
    struct queue queue;
    for (int k = 0; k < 3; k++) {
        struct stats_mean runs = {0};
        queue_with_cache(&queue, 10000, exponents[k],
                         (struct cache_policy){.kind = CACHE_LRU, .room_objects = 500});
        for (uint64_t seed = SEED; seed < SEED + RUNS; seed++)
            stats_mean_add(&runs, hit_ratio(&queue, seed, 30, 100));
        judge("LRU, Che", &runs, closed_lru_hits(10000, exponents[k], 500), 0.02, 0.005);
    }
    for (int k = 0; k < 3; k++) {
        struct stats_mean runs = {0};
        queue_with_cache(&queue, 10000, exponents[k],
                         (struct cache_policy){.kind = CACHE_TTL, .ttl_ns = 5 * NS_PER_S});
        for (uint64_t seed = SEED; seed < SEED + RUNS; seed++)
            stats_mean_add(&runs, hit_ratio(&queue, seed, 30, 100));
        judge("TTL", &runs, closed_ttl_hits(10000, exponents[k], 5000), 0.02, 0);
    }
    struct stats_mean runs = {0};
    queue_with_cache(&queue, 10, 1, (struct cache_policy){.kind = CACHE_GIVEN, .hit_ppm = 620000});
    for (uint64_t seed = SEED; seed < SEED + RUNS; seed++)
        stats_mean_add(&runs, hit_ratio(&queue, seed, 0, 100));
    judge("a given hit ratio", &runs, 0.62, 0.01, 0);
    /* LFU with room for all but the rarest keeps about the commonest: their share of the requests.
     */
    struct stats_mean frequent = {0};
    queue_with_cache(&queue, 10000, 1.1,
                     (struct cache_policy){.kind = CACHE_LFU, .room_objects = 500});
    for (uint64_t seed = SEED; seed < SEED + RUNS; seed++)
        stats_mean_add(&frequent, hit_ratio(&queue, seed, 30, 100));
    assert_true(frequent.mean > closed_lru_hits(10000, 1.1, 500));
}

/* A site that comes and goes: its share of the time up is that of the means. */
static void test_a_flaky_site_is_up_for_its_share(void **state)
{
    (void)state;
    struct stats_mean runs = {0};
    struct stats_mean lost = {0};
    struct queue queue;
    queue_init(&queue, 10, (struct random_duration){RANDOM_CONSTANT, .mean_ns = NS_PER_MS});
    const struct requests_flaky flaky = {
        .up = {.kind = RANDOM_EXPONENTIAL, .mean_ns = 9 * NS_PER_S},
        .down = {.kind = RANDOM_EXPONENTIAL, .mean_ns = NS_PER_S}};
    queue.tables.flaky = &flaky;
    queue.tables.flaky_count = 1;
    for (uint64_t seed = SEED; seed < SEED + RUNS; seed++) {
        struct requests *requests = run_warm(&queue.tables, seed, 100, 100000);
        struct requests_source_result source = requests_source_result(requests, 0);
        stats_mean_add(&runs, (double)requests_site_result(requests, 0).down_ns / 100000e9);
        stats_mean_add(&lost, (double)source.lost / (double)source.offered);
        requests_destroy(requests);
    }
    judge("time down of a flaky site", &runs, 0.1, 0.1, 0);
    judge("requests lost meanwhile", &lost, 0.1, 0.1, 0);
}

/* ---- worlds of every kind ---- */
#define MANY 6

struct any {
    struct requests_site sites[MANY];
    struct requests_station stations[MANY];
    struct requests_link links[MANY];
    struct requests_catalogue catalogue;
    struct requests_cache caches[MANY];
    struct requests_route routes[MANY * 2];
    struct requests_source sources[MANY];
    struct requests_outage outages[2];
    struct requests_flaky flaky[1];
    struct requests_tables tables;
};

static struct random_duration any_duration(struct random_stream *stream, int64_t mean_ns)
{
    struct random_duration duration = {.kind = (enum random_kind)random_below(stream, 5),
                                       .mean_ns = mean_ns,
                                       .high_ns = mean_ns,
                                       .deviation_ns = mean_ns / 2,
                                       .share = 0.5};
    return duration;
}

static void any_places(struct any *any, struct random_stream *stream)
{
    static const struct cache_policy policies[] = {
        {.kind = CACHE_LRU, .room_objects = 20},
        {.kind = CACHE_LFU, .room_objects = 20},
        {.kind = CACHE_TTL, .ttl_ns = NS_PER_S},
        {.kind = CACHE_GIVEN, .hit_ppm = 600000},
    };
    any->catalogue = (struct requests_catalogue){.objects = 100, .exponent = 0.9};
    for (int32_t i = 0; i < MANY; i++) {
        any->sites[i].name = "site";
        struct requests_station *station = &any->stations[i];
        *station = (struct requests_station){.name = "station",
                                             .site = (int32_t)random_below(stream, MANY),
                                             .servers = (int32_t)random_below(stream, 5),
                                             .room = (int64_t)random_below(stream, 12) - 1};
        if (random_below(stream, 3) == 0 && station->servers > 0)
            station->order = REQUESTS_SHARING;
        else if (random_below(stream, 2) == 0)
            station->hold = REQUESTS_HOLD_TRIP, station->room = 0;
        any->links[i] = (struct requests_link){
            .name = "link",
            .price_class = i,
            .bytes_per_s = random_below(stream, 2) == 0 ? 0 : 200000,
            .latency = random_below(stream, 2) == 0
                           ? any_duration(stream, (int64_t)random_below(stream, 40) * NS_PER_MS + 1)
                           : (struct random_duration){.mean_ns = 7 * NS_PER_MS}};
        any->caches[i] =
            (struct requests_cache){.name = "cache", .policy = policies[random_below(stream, 4)]};
    }
}

/* Alternatives and misses point to later rows: no circles; misses only in the second half. */
static void any_route(struct any *any, struct random_stream *stream, int32_t i)
{
    struct requests_route *route = &any->routes[i];
    *route = (struct requests_route){.link_count = (int32_t)random_below(stream, 4),
                                     .station = (int32_t)random_below(stream, MANY),
                                     .cache = REQUESTS_NONE,
                                     .miss = REQUESTS_NONE,
                                     .otherwise = REQUESTS_NONE,
                                     .work = any_duration(stream, 20 * NS_PER_MS)};
    for (int32_t k = 0; k < route->link_count; k++)
        route->links[k] = (int32_t)random_below(stream, MANY);
    if (i < MANY && random_below(stream, 2) == 0) {
        route->cache = (int32_t)random_below(stream, MANY);
        if (random_below(stream, 4) > 0)
            route->miss = MANY + (int32_t)random_below(stream, MANY);
    }
    if (i + 1 < 2 * MANY && random_below(stream, 2) == 0)
        route->otherwise = i + 1;
    route->own_bytes = random_below(stream, 3) == 0;
    route->request_bytes = (int64_t)random_below(stream, 5000);
    route->response_bytes = (int64_t)random_below(stream, 5000);
}

static void any_init(struct any *any, uint64_t seed)
{
    struct random_stream random;
    struct random_stream *stream = &random;
    random_indexed(stream, seed, "any", 0);
    *any = (struct any){0};
    any_places(any, stream);
    for (int32_t i = 0; i < 2 * MANY; i++)
        any_route(any, stream, i);
    for (int32_t i = 0; i < MANY; i++)
        any->sources[i] = (struct requests_source){
            .name = "source",
            .region = i / 2,
            .route = (int32_t)random_below(stream, MANY),
            .request_bytes = (int64_t)random_below(stream, 3000),
            .response_bytes = (int64_t)random_below(stream, 10000),
            .arrivals = {.kind = (enum arrivals_kind)random_below(stream, 3),
                         .per_s = 5 + (double)random_below(stream, 60),
                         .amplitude = 0.9,
                         .period_ns = 10 * NS_PER_S,
                         .burst_per_s = 300,
                         .calm_mean_ns = 2 * NS_PER_S,
                         .burst_mean_ns = NS_PER_S / 5}};
    any->outages[0] = (struct requests_outage){.site = (int32_t)random_below(stream, MANY),
                                               .from_ns = 3 * NS_PER_S,
                                               .until_ns = 6 * NS_PER_S,
                                               .notice_ns = NS_PER_S / 10};
    any->outages[1] = (struct requests_outage){.site = (int32_t)random_below(stream, MANY),
                                               .from_ns = 5 * NS_PER_S,
                                               .until_ns = 8 * NS_PER_S};
    any->flaky[0] =
        (struct requests_flaky){.site = (int32_t)random_below(stream, MANY),
                                .notice_ns = 30 * NS_PER_MS,
                                .up = {.kind = RANDOM_EXPONENTIAL, .mean_ns = 2 * NS_PER_S},
                                .down = {.kind = RANDOM_EXPONENTIAL, .mean_ns = NS_PER_S / 5}};
    any->tables = (struct requests_tables){.sites = any->sites,
                                           .stations = any->stations,
                                           .links = any->links,
                                           .catalogues = &any->catalogue,
                                           .caches = any->caches,
                                           .routes = any->routes,
                                           .sources = any->sources,
                                           .outages = any->outages,
                                           .flaky = any->flaky,
                                           .site_count = MANY,
                                           .station_count = MANY,
                                           .link_count = MANY,
                                           .catalogue_count = 1,
                                           .cache_count = MANY,
                                           .route_count = 2 * MANY,
                                           .source_count = MANY,
                                           .outage_count = (int32_t)random_below(stream, 3),
                                           .flaky_count = (int32_t)random_below(stream, 2)};
}

/* Stops at odd instants; at each, all adds up. */
static void test_nothing_is_lost_in_any_world(void **state)
{
    (void)state;
    uint64_t completed = 0;
    uint64_t failed = 0;
    uint64_t lost = 0;
    uint64_t misses = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct any any;
        struct error err = {0};
        struct requests *requests = NULL;
        any_init(&any, seed);
        if (requests_create(&any.tables, seed, &requests, &err) < 0)
            fail_msg("seed %llu: %s", (unsigned long long)seed, err.text);
        struct random_stream stream;
        random_indexed(&stream, seed, "stops", 0);
        int64_t now_ns = 0;
        while (now_ns < 10 * NS_PER_S) {
            now_ns += (int64_t)(3e8 * random_exponential(&stream));
            if (requests_run(requests, now_ns, &err) < 0 || requests_balanced(requests, &err) < 0)
                fail_msg("seed %llu at %lld ns: %s", (unsigned long long)seed, (long long)now_ns,
                         err.text);
            if (random_below(&stream, 10) == 0)
                requests_restart(requests);
        }
        for (int32_t i = 0; i < MANY; i++) {
            struct requests_source_result source = requests_source_result(requests, i);
            assert_int_equal(source.carried + source.offered,
                             source.completed + source.lost + source.failed + source.under_way);
            assert_int_equal(source.latencies->count, source.completed);
            completed += source.completed;
            failed += source.failed;
            lost += source.lost;
            misses += source.misses;
        }
        requests_destroy(requests);
    }
    /* The worlds are not trivial. */
    assert_true(completed > 10000 && failed > 100 && lost > 1000 && misses > 1000);
}

/* One event for a trip, or one for each step: where work is constant and so depends on no order of
 * draws, every counter is the same at every instant. */
static void test_whole_trips_are_their_steps(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct two_tier world;
        struct error err;
        struct requests *requests[2];
        two_tier_init(&world, 30, 20 + (int32_t)seed % 20);
        world.routes[0].work = world.routes[1].work =
            (struct random_duration){RANDOM_CONSTANT, .mean_ns = NS_PER_S};
        for (int steps = 0; steps < 2; steps++) {
            world.tables.step_by_step = steps == 1;
            assert_int_equal(requests_create(&world.tables, seed, &requests[steps], &err), 0);
        }
        for (int64_t now_ns = 0; now_ns < 60 * NS_PER_S; now_ns += 1234567890 + (int64_t)seed) {
            for (int steps = 0; steps < 2; steps++)
                assert_int_equal(requests_run(requests[steps], now_ns, &err), 0);
            for (int32_t i = 0; i < 2; i++) {
                struct requests_link_result links[2];
                struct requests_station_result stations[2];
                for (int steps = 0; steps < 2; steps++) {
                    links[steps] = requests_link_result(requests[steps], i);
                    stations[steps] = requests_station_result(requests[steps], i);
                }
                assert_int_equal(links[0].messages_out, links[1].messages_out);
                assert_int_equal(links[0].messages_back, links[1].messages_back);
                assert_int_equal(links[0].bytes_out, links[1].bytes_out);
                assert_int_equal(links[0].bytes_back, links[1].bytes_back);
                assert_int_equal(links[0].bytes_left, links[1].bytes_left);
                assert_int_equal(links[0].bytes_on, links[1].bytes_on);
                assert_int_equal(stations[0].arrived, stations[1].arrived);
                assert_int_equal(stations[0].served, stations[1].served);
                assert_int_equal(stations[0].refused, stations[1].refused);
                assert_int_equal(stations[0].here, stations[1].here);
                assert_true(stations[0].cpu_ns == stations[1].cpu_ns);
                assert_true(stations[0].held_ns == stations[1].held_ns);
            }
            struct requests_source_result sources[2];
            for (int steps = 0; steps < 2; steps++)
                sources[steps] = requests_source_result(requests[steps], 0);
            assert_true(sources[0].latencies->sum == sources[1].latencies->sum);
            assert_int_equal(sources[0].completed, sources[1].completed);
            assert_int_equal(sources[0].bytes_sent, sources[1].bytes_sent);
        }
        assert_true(requests_events(requests[1]) > requests_events(requests[0]));
        for (int steps = 0; steps < 2; steps++)
            requests_destroy(requests[steps]);
    }
}

/* A world's hash depends on its tables and seed alone: not on other worlds that run beside it, nor
 * on where a run is interrupted. */
static void test_worlds_do_not_meet(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct any any[2];
        struct error err;
        struct requests *alone;
        struct requests *both[2];
        any_init(&any[0], seed);
        any_init(&any[1], seed + 1000);
        assert_int_equal(requests_create(&any[0].tables, seed, &alone, &err), 0);
        assert_int_equal(requests_run(alone, 5 * NS_PER_S, &err), 0);
        for (int i = 0; i < 2; i++)
            assert_int_equal(requests_create(&any[i].tables, seed, &both[i], &err), 0);
        for (int64_t now_ns = 0; now_ns <= 5 * NS_PER_S; now_ns += NS_PER_S / 10)
            for (int i = 0; i < 2; i++)
                assert_int_equal(requests_run(both[i], now_ns, &err), 0);
        assert_true(requests_hash(both[0]) == requests_hash(alone));
        assert_true(requests_hash(both[1]) != requests_hash(alone));
        for (int i = 0; i < 2; i++)
            requests_destroy(both[i]);
        requests_destroy(alone);
    }
}

/* Common random numbers: another placement of one source shifts nothing of another's. */
static void test_placements_meet_the_same_arrivals(void **state)
{
    (void)state;
    struct two_tier world;
    struct requests_source sources[2];
    uint64_t sums[2];
    uint64_t offered[2];
    two_tier_init(&world, 50, 100000);
    sources[0] = sources[1] = world.source;
    sources[1].arrivals.per_s = 20;
    world.tables.sources = sources;
    world.tables.source_count = 2;
    for (int k = 0; k < 2; k++) {
        sources[0].route = k;
        struct requests *requests = run_warm(&world.tables, 3, 0, 100);
        sums[k] = (uint64_t)requests_source_result(requests, 1).latencies->sum;
        offered[k] = requests_source_result(requests, 0).offered;
        requests_destroy(requests);
    }
    assert_int_equal(sums[0], sums[1]);
    assert_int_equal(offered[0], offered[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_erlang_b),
        cmocka_unit_test(test_erlang_c_and_little),
        cmocka_unit_test(test_pollaczek_khinchine),
        cmocka_unit_test(test_processor_sharing),
        cmocka_unit_test(test_caches),
        cmocka_unit_test(test_a_flaky_site_is_up_for_its_share),
        cmocka_unit_test(test_nothing_is_lost_in_any_world),
        cmocka_unit_test(test_whole_trips_are_their_steps),
        cmocka_unit_test(test_worlds_do_not_meet),
        cmocka_unit_test(test_placements_meet_the_same_arrivals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
