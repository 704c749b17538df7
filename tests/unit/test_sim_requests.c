/* requests: small worlds whose every number can be told beforehand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sanitize.h"
#include "simulator/requests/requests.h"

#define MS NS_PER_MS

/* Arrivals at given instants. */
struct instants {
    const int64_t *at_ns;
    size_t count;
    size_t next;
};

static bool next_instant(void *context, int64_t *ret_at_ns)
{
    struct instants *instants = context;
    if (instants->next == instants->count)
        return false;
    *ret_at_ns = instants->at_ns[instants->next++];
    return true;
}

#define INSTANTS(...)                                                     \
    {                                                                     \
        .at_ns = (const int64_t[]){__VA_ARGS__},                          \
        .count = sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t) \
    }

/* Up to four of each table; tests change what they care about. Station i is at site i, link i goes
 * there with 10 ms, route i takes both and 100 ms of work; one source asks for route 0. */
struct rig {
    struct instants instants;
    struct requests_site sites[4];
    struct requests_station stations[4];
    struct requests_link links[4];
    struct requests_catalogue catalogues[1];
    struct requests_cache caches[1];
    struct requests_route routes[4];
    struct requests_source sources[2];
    struct requests_outage outages[2];
    struct requests_flaky flaky[1];
    struct requests_tables tables;
};

static void rig_init(struct rig *rig, struct instants instants)
{
    *rig = (struct rig){.instants = instants};
    for (int32_t i = 0; i < 4; i++) {
        rig->sites[i].name = "site";
        rig->stations[i] = (struct requests_station){
            .name = "station", .site = i, .servers = 1, .room = REQUESTS_UNLIMITED};
        rig->links[i] = (struct requests_link){
            .name = "link", .price_class = i, .latency = {.mean_ns = 10 * MS}};
        rig->routes[i] = (struct requests_route){.links = {i},
                                                 .link_count = 1,
                                                 .station = i,
                                                 .cache = REQUESTS_NONE,
                                                 .miss = REQUESTS_NONE,
                                                 .otherwise = REQUESTS_NONE,
                                                 .work = {.mean_ns = 100 * MS}};
    }
    rig->catalogues[0] = (struct requests_catalogue){.objects = 1, .exponent = 1};
    rig->caches[0] =
        (struct requests_cache){.name = "cache", .policy = {.kind = CACHE_LRU, .room_objects = 1}};
    rig->sources[0] = (struct requests_source){
        .name = "source",
        .catalogue = REQUESTS_NONE,
        .request_bytes = 100,
        .response_bytes = 1000,
        .arrivals = {.kind = ARRIVALS_TRACE, .next = next_instant, .context = &rig->instants}};
    rig->tables = (struct requests_tables){.sites = rig->sites,
                                           .stations = rig->stations,
                                           .links = rig->links,
                                           .catalogues = rig->catalogues,
                                           .caches = rig->caches,
                                           .routes = rig->routes,
                                           .sources = rig->sources,
                                           .outages = rig->outages,
                                           .flaky = rig->flaky,
                                           .site_count = 4,
                                           .station_count = 4,
                                           .link_count = 4,
                                           .catalogue_count = 1,
                                           .cache_count = 1,
                                           .route_count = 4,
                                           .source_count = 1};
}

static struct requests *rig_run(struct rig *rig, int64_t until_ns)
{
    struct error err = {0};
    struct requests *requests = NULL;
    if (requests_create(&rig->tables, 1, &requests, &err) < 0 ||
        requests_run(requests, until_ns, &err) < 0 || requests_balanced(requests, &err) < 0)
        fail_msg("%s", err.text);
    return requests;
}

static int64_t ns_of(__int128 value)
{
    return (int64_t)value;
}

/* Three at once at one server: 120, 220 and 320 ms. */
static void test_a_queue_is_served_in_order(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 0, 0));
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    struct requests_source_result source = requests_source_result(requests, 0);
    struct requests_station_result station = requests_station_result(requests, 0);
    struct requests_link_result link = requests_link_result(requests, 0);
    assert_int_equal(source.offered, 3);
    assert_int_equal(source.completed, 3);
    assert_int_equal(source.latencies->sum, 660000);
    assert_int_equal(source.bytes_sent, 3300);
    assert_int_equal(requests_now_ns(requests), 320 * MS);
    assert_int_equal(station.served, 3);
    assert_int_equal(ns_of(station.cpu_ns), 300 * MS);
    assert_int_equal(ns_of(station.waited_ns), 300 * MS);
    assert_int_equal(ns_of(station.queued_ns), 300 * MS);
    assert_int_equal(link.messages_out, 3);
    assert_int_equal(link.bytes_out, 300);
    assert_int_equal(link.bytes_back, 3000);
    assert_int_equal(link.bytes_on, 0);
    assert_int_equal(ns_of(requests_site_result(requests, 0).cpu_ns), 300 * MS);
    requests_destroy(requests);
}

/* The same, stopped in the middle: what is on links, served and waiting is counted where it is. */
static void test_counts_are_exact_at_any_instant(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 0, 0));
    struct requests *requests = rig_run(&rig, 5 * MS);
    assert_int_equal(requests_link_result(requests, 0).bytes_on, 300);
    assert_int_equal(requests_source_result(requests, 0).under_way, 3);
    struct error err;
    assert_int_equal(requests_run(requests, 115 * MS, &err), 0);
    assert_int_equal(requests_balanced(requests, &err), 0);
    struct requests_station_result station = requests_station_result(requests, 0);
    assert_int_equal(station.here, 2);
    assert_int_equal(station.served, 1);
    assert_int_equal(ns_of(station.cpu_ns), 105 * MS);
    assert_int_equal(ns_of(station.waited_ns), 2 * 100 * MS + 5 * MS);
    assert_int_equal(requests_link_result(requests, 0).bytes_on, 1000);
    requests_restart(requests);
    assert_int_equal(requests_run(requests, 1000 * MS, &err), 0);
    assert_int_equal(requests_balanced(requests, &err), 0);
    struct requests_source_result source = requests_source_result(requests, 0);
    station = requests_station_result(requests, 0);
    assert_int_equal(source.carried, 3);
    assert_int_equal(source.offered, 0);
    assert_int_equal(source.completed, 3);
    assert_int_equal(station.carried, 2);
    assert_int_equal(station.served, 2);
    assert_int_equal(ns_of(station.cpu_ns), 195 * MS);
    assert_int_equal(requests_link_result(requests, 0).bytes_carried, 1000);
    assert_int_equal(requests_link_result(requests, 0).bytes_left, 3000);
    requests_destroy(requests);
}

/* Room for one beside the server: the third goes to the next site, having used the first link. */
static void test_what_has_no_room_goes_elsewhere(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 0, 0));
    rig.stations[0].room = 1;
    rig.routes[0].otherwise = 1;
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    assert_int_equal(requests_station_result(requests, 0).refused, 1);
    assert_int_equal(requests_station_result(requests, 1).served, 1);
    assert_int_equal(requests_link_result(requests, 0).messages_out, 3);
    assert_int_equal(requests_link_result(requests, 0).messages_back, 2);
    assert_int_equal(requests_link_result(requests, 1).messages_out, 1);
    assert_int_equal(requests_link_result(requests, 1).price_class, 1);
    assert_int_equal(requests_source_result(requests, 0).latencies->sum, 120000 + 220000 + 130000);
    requests_destroy(requests);
    rig_init(&rig, (struct instants)INSTANTS(0, 0, 0));
    rig.stations[0].room = 1;
    requests = rig_run(&rig, ENGINE_NEVER);
    assert_int_equal(requests_source_result(requests, 0).lost, 1);
    requests_destroy(requests);
}

/* A reserved server is free again when the answer is back, not before: at 120 ms. */
static void test_a_reservation_lasts_for_the_trip(void **state)
{
    (void)state;
    for (int steps = 0; steps < 2; steps++) {
        struct rig rig;
        rig_init(&rig, (struct instants)INSTANTS(0, 1, 119 * MS, 120 * MS));
        rig.stations[0].hold = REQUESTS_HOLD_TRIP;
        rig.stations[0].room = 0;
        rig.routes[0].otherwise = 1;
        rig.tables.step_by_step = steps == 1;
        struct requests *requests = rig_run(&rig, ENGINE_NEVER);
        struct requests_station_result station = requests_station_result(requests, 0);
        assert_int_equal(station.refused, 2);
        assert_int_equal(station.served, 2);
        assert_int_equal(ns_of(station.held_ns), 240 * MS);
        assert_int_equal(ns_of(station.cpu_ns), 200 * MS);
        assert_int_equal(requests_link_result(requests, 0).messages_out, 2);
        assert_int_equal(requests_source_result(requests, 0).latencies->sum, 4 * 120000);
        requests_destroy(requests);
    }
}

/* Two at one processor: each gets half. The second, 20 ms later, has 80 ms of the first beside it.
 */
static void test_a_processor_is_shared(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 20 * MS));
    rig.stations[0].order = REQUESTS_SHARING;
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    struct requests_source_result source = requests_source_result(requests, 0);
    assert_int_equal(source.latencies->sum, 200000 + 200000); /* 180 + 20, and 180 + 20 */
    assert_int_equal(ns_of(requests_station_result(requests, 0).cpu_ns), 200 * MS);
    requests_destroy(requests);
}

/* 100 bytes out at 10,000 B/s take 10 ms alone and 20 ms when two share the link. */
static void test_a_link_is_shared(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 0));
    rig.links[0].bytes_per_s = 10000;
    rig.stations[0].servers = 2;
    rig.sources[0].response_bytes = 0;
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    assert_int_equal(requests_source_result(requests, 0).latencies->sum, 2 * 140000);
    requests_destroy(requests);
}

/* The first asks for the only object and fetches it from the origin; the second finds it. */
static void test_a_miss_goes_on_to_the_origin(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 500 * MS));
    rig.routes[0].cache = 0;
    rig.routes[0].miss = 1;
    rig.sources[0].catalogue = 0;
    rig.routes[1].own_bytes = true;
    rig.routes[1].response_bytes = 300;
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    struct requests_source_result source = requests_source_result(requests, 0);
    assert_int_equal(source.hits, 1);
    assert_int_equal(source.misses, 1);
    assert_int_equal(source.completed, 2);
    assert_int_equal(source.latencies->sum, 240000 + 120000);
    assert_int_equal(requests_link_result(requests, 1).bytes_out, 0);
    assert_int_equal(requests_link_result(requests, 1).bytes_back, 300);
    assert_int_equal(requests_link_result(requests, 0).bytes_back, 2000);
    requests_destroy(requests);
}

/* Down from 50 to 200 ms, noticed 20 ms before: what is there fails, what comes meanwhile goes
 * elsewhere, what is on the way at the notice still arrives. */
static void test_a_site_goes_down_and_comes_back(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 25 * MS, 31 * MS, 45 * MS, 250 * MS));
    rig.outages[0] = (struct requests_outage){
        .site = 0, .from_ns = 50 * MS, .until_ns = 200 * MS, .notice_ns = 20 * MS};
    rig.tables.outage_count = 1;
    rig.routes[0].otherwise = 1;
    struct requests *requests = rig_run(&rig, 100 * MS);
    struct requests_source_result source = requests_source_result(requests, 0);
    assert_int_equal(source.failed, 2); /* one served, one waiting */
    assert_int_equal(requests_station_result(requests, 0).failed, 2);
    assert_int_equal(ns_of(requests_station_result(requests, 0).cpu_ns), 40 * MS);
    assert_int_equal(ns_of(requests_station_result(requests, 0).waited_ns), 15 * MS);
    assert_int_equal(requests_link_result(requests, 1).messages_out, 2);
    assert_false(requests_site_result(requests, 0).up);
    assert_int_equal(requests_site_result(requests, 0).down_ns, 50 * MS);
    struct error err;
    assert_int_equal(requests_run(requests, ENGINE_NEVER, &err), 0);
    assert_int_equal(requests_balanced(requests, &err), 0);
    assert_int_equal(requests_station_result(requests, 0).served, 1);
    assert_int_equal(requests_site_result(requests, 0).down_ns, 150 * MS);
    requests_destroy(requests);
}

/* Two links of one price class, two sources of one region. */
static void test_sums_by_class_and_region(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, (struct instants)INSTANTS(0, 500 * MS));
    struct instants others = INSTANTS(0);
    rig.routes[0].links[1] = 1;
    rig.routes[0].link_count = 2;
    rig.links[1].price_class = 0;
    rig.sources[1] = rig.sources[0];
    rig.sources[1].route = 2;
    rig.sources[1].arrivals.context = &others;
    rig.tables.source_count = 2;
    struct requests *requests = rig_run(&rig, ENGINE_NEVER);
    uint64_t bytes[2];
    requests_class_bytes(requests, 0, bytes);
    assert_int_equal(bytes[0], 2 * 2 * 100);
    assert_int_equal(bytes[1], 2 * 2 * 1000);
    requests_class_bytes(requests, 2, bytes);
    assert_int_equal(bytes[1], 1000);
    struct sketch latencies = {0};
    requests_region_latencies(requests, 0, &latencies);
    assert_int_equal(latencies.count, 3);
    assert_int_equal(latencies.sum, 140000 + 140000 + 120000);
    requests_region_latencies(requests, 1, &latencies);
    assert_int_equal(latencies.count, 3);
    sketch_done(&latencies);
    assert_true(requests_bytes(requests) > 1000);
    requests_destroy(requests);
}

/* A queue that grows without end in a process that may have 64 MiB in all: an error that
 * says what to do, not a crash. */
static void test_too_much_under_way_is_an_error(void **state)
{
    (void)state;
    if (SANITIZE_SHADOW)
        skip();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rig rig;
        struct error err = {0};
        struct requests *requests = NULL;
        struct rlimit limit = {64 << 20, 64 << 20};
        rig_init(&rig, (struct instants)INSTANTS(0));
        rig.sources[0].arrivals = (struct arrivals_spec){.per_s = 1e6};
        bool refused = setrlimit(RLIMIT_AS, &limit) == 0 &&
                       requests_create(&rig.tables, 1, &requests, &err) == 0 &&
                       requests_run(requests, 1000 * NS_PER_S, &err) == ERR_LIMIT &&
                       strstr(err.text, "give stations a room") != NULL;
        requests_destroy(requests);
        _exit(refused ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

struct told {
    uint64_t count;
    uint64_t of_station[4];
    int64_t taken_ns;
    int64_t lag_ns;
    uint64_t arrived;
};

static void note_sample(void *context, const struct requests_sample *sample)
{
    struct told *told = context;
    told->count++;
    told->of_station[sample->station]++;
    told->lag_ns = sample->now_ns - sample->taken_ns;
    told->taken_ns = sample->taken_ns;
    if (sample->station == 0)
        told->arrived = sample->arrived;
}

static void test_samples_lag_and_get_lost(void **state)
{
    (void)state;
    struct rig rig;
    struct told told = {0};
    rig_init(&rig, (struct instants)INSTANTS(0, 15 * MS, 500 * MS));
    rig.tables.probe = (struct requests_probe){
        .every_ns = 10 * MS, .lag = {.mean_ns = 35 * MS}, .deliver = note_sample, .context = &told};
    struct requests *requests = rig_run(&rig, 64 * MS);
    assert_int_equal(told.count, 2 * 4); /* taken at 10 and 20 ms; that of 30 ms comes at 65 */
    assert_int_equal(told.lag_ns, 35 * MS);
    assert_int_equal(told.taken_ns, 20 * MS);
    assert_int_equal(told.arrived, 1); /* the second is on its way */
    requests_destroy(requests);
    told = (struct told){0};
    rig.instants.next = 0;
    rig.tables.probe.loss_ppm = 400000;
    requests = rig_run(&rig, 40000 * MS + 35 * MS);
    assert_in_range(told.count, 9600 - 250, 9600 + 250); /* of 16,000; deviation 62 */
    requests_destroy(requests);
}

static void test_a_trace_that_goes_back_is_named(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    struct requests *requests;
    rig_init(&rig, (struct instants)INSTANTS(5, 9, 8));
    assert_int_equal(requests_create(&rig.tables, 1, &requests, &err), 0);
    assert_int_equal(requests_run(requests, ENGINE_NEVER, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "'source'"));
    assert_non_null(strstr(err.text, "back in time after 9 ns"));
    requests_destroy(requests);
}

/* Each of these makes one field wrong; the error names it. Long: a list of cases. */
static void test_wrong_tables_are_named(void **state)
{
    (void)state;
    static const char *const words[] = {
        "station: site",   "room for -2",      "no queue",    "what is shared", "bytes_per_s",
        "route: station",  "5 links",          "no cache",    "circle",         "circle",
        "source: route",   "keeps those of",   "per_s",       "outage 0",       "flaky: site",
        "probe: every_ns", "bytes are from 0", "route: work", "sites: 65536",   "route 1: bytes",
        "exponent",
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct rig rig;
        rig_init(&rig, (struct instants)INSTANTS(0));
        switch (i) {
        case 0:
            rig.stations[0].site = 4;
            break;
        case 1:
            rig.stations[0].room = -2;
            break;
        case 2:
            rig.stations[0].hold = REQUESTS_HOLD_TRIP, rig.stations[0].room = 3;
            break;
        case 3:
            rig.stations[0].order = REQUESTS_SHARING, rig.stations[0].servers = 0;
            break;
        case 4:
            rig.links[1].bytes_per_s = -1;
            break;
        case 5:
            rig.routes[2].station = -1;
            break;
        case 6:
            rig.routes[2].link_count = 5;
            break;
        case 7:
            rig.routes[0].miss = 1;
            break;
        case 8:
            rig.routes[0].otherwise = 1, rig.routes[1].otherwise = 0;
            break;
        case 9:
            rig.routes[0].cache = rig.routes[1].cache = 0, rig.routes[0].miss = 1,
            rig.routes[1].miss = 0;
            break;
        case 10:
            rig.sources[0].route = REQUESTS_NONE;
            break;
        case 11:
            rig.routes[1].cache = 0, rig.routes[0].otherwise = 1;
            break;
        case 12:
            rig.sources[0].arrivals = (struct arrivals_spec){.per_s = -1};
            break;
        case 13:
            rig.tables.outage_count = 1, rig.outages[0].notice_ns = -1;
            break;
        case 14:
            rig.tables.flaky_count = 1, rig.flaky[0].site = 9;
            break;
        case 15:
            rig.tables.probe.every_ns = 5;
            break;
        case 16:
            rig.sources[0].response_bytes = -1;
            break;
        case 17:
            rig.routes[0].work.mean_ns = -5;
            break;
        case 18:
            rig.tables.site_count = 65536;
            break;
        case 19:
            rig.routes[1].request_bytes = -1;
            break;
        default:
            rig.catalogues[0].exponent = -1;
            break;
        }
        struct error err = {0};
        struct requests *requests = NULL;
        assert_int_equal(requests_create(&rig.tables, 1, &requests, &err), ERR_INVALID);
        assert_null(requests);
        if (strstr(err.text, words[i]) == NULL)
            fail_msg("case %zu says: %s", i, err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_queue_is_served_in_order),
        cmocka_unit_test(test_counts_are_exact_at_any_instant),
        cmocka_unit_test(test_what_has_no_room_goes_elsewhere),
        cmocka_unit_test(test_a_reservation_lasts_for_the_trip),
        cmocka_unit_test(test_a_processor_is_shared),
        cmocka_unit_test(test_a_link_is_shared),
        cmocka_unit_test(test_a_miss_goes_on_to_the_origin),
        cmocka_unit_test(test_a_site_goes_down_and_comes_back),
        cmocka_unit_test(test_sums_by_class_and_region),
        cmocka_unit_test(test_too_much_under_way_is_an_error),
        cmocka_unit_test(test_samples_lag_and_get_lost),
        cmocka_unit_test(test_a_trace_that_goes_back_is_named),
        cmocka_unit_test(test_wrong_tables_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
