/*
 * Spans of single requests of a whole `berth simulate`, from the scenario's file to what is kept:
 *
 *   - the two-tier queue overflows as Erlang B says, within the interval that is stated
 *   - a wait is that of Erlang C, an LRU's hits are Che's, and misses are the next one's calls
 *   - trips that differ have the quantiles of a lognormal way there and back
 *   - bytes take the time of a link that they share
 *   - requests and bytes add up; a full station without another rejects
 *   - equal seeds give equal results; what is wrong of a span is told before anything runs
 */
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/sanitize.h"
#include "scheduler/cli/simulate.h"
#include "simulator/engine/stats.h"
#include "simulator/requests/closed.h"

static char folder[] = "spans-XXXXXX";
static char scenario_path_of[64];
static char out_path[64];
static struct arena arena;

#define ROWS 16

struct rows {
    struct run_requests callers[ROWS];
    struct run_station stations[ROWS];
    char names[ROWS][3][LIMIT_REF_BYTES]; /* of stations: workload and site; of callers: who */
    char notes[1024];
    uint64_t hash;
    int caller_count;
    int station_count;
};
static struct rows rows;

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    str_format(scenario_path_of, sizeof(scenario_path_of), "%s/scenario.yaml", folder);
    str_format(out_path, sizeof(out_path), "%s/out.db", folder);
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static void remove_store(void)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (int i = 0; i < 3; i++) {
        char path[96];
        str_format(path, sizeof(path), "%s%s", out_path, ends[i]);
        (void)unlink(path);
    }
}

static int teardown(void **state)
{
    (void)state;
    remove_store();
    (void)unlink(scenario_path_of);
    arena_done(&arena);
    return rmdir(folder);
}

static int take_caller(void *context, const struct run_requests *one, struct error *err)
{
    struct rows *into = context;
    (void)err;
    assert_true(into->caller_count < ROWS);
    str_format(into->names[into->caller_count][2], LIMIT_REF_BYTES, "%s", one->from);
    into->callers[into->caller_count++] = *one;
    return 0;
}

static int take_station(void *context, const struct run_station *one, struct error *err)
{
    struct rows *into = context;
    (void)err;
    assert_true(into->station_count < ROWS);
    str_format(into->names[into->station_count][0], LIMIT_REF_BYTES, "%s", one->workload);
    str_format(into->names[into->station_count][1], LIMIT_REF_BYTES, "%s", one->site);
    into->stations[into->station_count++] = *one;
    return 0;
}

static int take_run(void *context, const struct store_run *run, struct error *err)
{
    (void)err;
    rows.hash = run->result.hash;
    str_format(rows.notes, sizeof(rows.notes), "%.1023s", run->result.notes);
    memcpy(context, run->key, sizeof(run->key));
    return 0;
}

/* Of the only run of a scenario with that seed. */
static int run_file(const char *path, int64_t seed, struct error *err)
{
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct store *store = NULL;
    char key[STORE_KEY_BYTES];
    if (scenario_read(path, &arena, &scenario, err) < 0)
        return err->code;
    scenario.seed = seed;
    remove_store();
    struct experiment_options options = {
        .out = out_path, .jobs = 1, .solver = BERTH_BINARY_DIR "/bin/berth-solve"};
    if (experiment_run(&scenario, &options, &outcome, err) < 0)
        fail_msg("%s", err->text);
    if (outcome.failed > 0) {
        *err = outcome.first;
        return ERR_INVALID;
    }
    memset(&rows, 0, sizeof(rows));
    assert_int_equal(store_open(out_path, true, &store, err), 0);
    assert_int_equal(store_runs(store, take_run, key, err), 0);
    assert_int_equal(store_requests(store, key, take_caller, &rows, err), 0);
    assert_int_equal(store_stations(store, key, take_station, &rows, err), 0);
    store_close(store);
    return 0;
}

static void write_scenario(const char *app, const char *spans)
{
    FILE *file = fopen(scenario_path_of, "we");
    assert_non_null(file);
    assert_true(fprintf(file,
                        "scenario: spans\nworld: %s/examples/worlds/demo.yaml\n"
                        "apps: [%s/examples/apps/%s.yaml]\nfor: 2h\n"
                        "load: [{of: shop, calls: 200/s}]\nrequests:\n%s",
                        BERTH_SOURCE_DIR, BERTH_SOURCE_DIR, app, spans) > 0);
    assert_int_equal(fclose(file), 0);
}

static const struct run_station *station(const char *workload, bool overflow)
{
    for (int i = 0; i < rows.station_count; i++)
        if (strcmp(rows.names[i][0], workload) == 0 && rows.stations[i].overflow == overflow)
            return &rows.stations[i];
    fail_msg("no station of %s", workload);
    return NULL;
}

static void nothing_is_lost(void)
{
    for (int i = 0; i < rows.caller_count; i++) {
        const struct run_requests *one = &rows.callers[i];
        assert_true(one->offered + one->carried == one->completed + one->rejected + one->under_way);
        assert_true(one->p50_us <= one->p95_us && one->p95_us <= one->p99_us);
    }
}

/* 0.20321, for any law of the service; a share of all calls within its 95 % interval for nearly all
 * seeds, and the mean of the seeds within its 99 % one. */
static void the_two_tier_queue_overflows_as_erlang_says(void **state)
{
    (void)state;
    struct error err = {0};
    double exact = closed_erlang_b(120 * 1.010, 100);
    struct stats_mean shares = {0};
    int within = 0;
    int seeds = SANITIZE_SHADOW ? 3 : 12;
    for (int seed = 1; seed <= seeds; seed++) {
        if (run_file(BERTH_SOURCE_DIR "/examples/scenarios/two-tier.yaml", seed, &err) < 0)
            fail_msg("%s", err.text);
        assert_int_equal(rows.caller_count, 1);
        assert_int_equal(rows.station_count, 2);
        nothing_is_lost();
        const struct run_station *cloud = station("work", true);
        const struct run_station *edge = station("work", false);
        double share = (double)cloud->share_ppm / 1e6;
        double half = (double)cloud->half_ppm / 1e6;
        assert_true(half > 0 && half < 0.006);
        assert_int_equal(cloud->share_ppm + edge->share_ppm, 1000000);
        within += fabs(share - exact) <= half;
        stats_mean_add(&shares, share);
        assert_true(edge->busy_ppm > 900000 && edge->busy_ppm < 1000000);
        /* Who is rejected at the edge is what comes to the cloud. */
        assert_true(llabs((int64_t)(edge->refused - cloud->arrived)) <= 100);
        assert_true(rows.callers[0].rejected == 0);
    }
    struct stats_interval all = stats_mean_interval(&shares, 0.99);
    print_message("to the cloud %.5f +- %.5f, by Erlang B %.5f; %d of %d within 95 %%\n", all.mean,
                  all.half, exact, within, seeds);
    assert_true(fabs(all.mean - exact) <= all.half);
    assert_true(within >= seeds - 2);
}

static void a_shop_waits_hits_and_misses_as_the_formulas_say(void **state)
{
    (void)state;
    struct error err = {0};
    write_scenario("shop",
                   "  - of: shop\n    at: 1h\n    for: 1h\n    warmup: 10min\n    stations:\n"
                   "      - {workload: inference, concurrency: 3, service: 10ms, cache: "
                   "{policy: lru, objects: 10000, zipf: 0.9, room: 1000}}\n"
                   "      - {workload: front, service: 1ms, law: constant}\n");
    if (run_file(scenario_path_of, 1, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(rows.caller_count, 1);
    assert_int_equal(rows.station_count, 3);
    assert_string_equal(rows.names[0][2], "visitors");
    nothing_is_lost();
    const struct run_requests *users = &rows.callers[0];
    const struct run_station *inference = station("inference", false);
    const struct run_station *front = station("front", false);
    const struct run_station *source = station("source", false);
    assert_true(fabs((double)users->offered / 3600 - 200) < 2);
    double hits = (double)inference->hits / (double)(inference->hits + inference->misses);
    double che = closed_lru_hits(10000, 0.9, 1000);
    double wait_us = closed_mmc_wait(200, 0.010, 3) * 1e6;
    double front_us = closed_mg1_wait(200, 0.001, 0.001 * 0.001) * 1e6;
    print_message("hits %.4f, by Che %.4f; waits %" PRId64 " us, by Erlang C %.0f; %" PRId64
                  ", by Pollaczek and Khinchine %.0f\n",
                  hits, che, inference->wait_us, wait_us, front->wait_us, front_us);
    assert_true(fabs(hits - che) < 0.01);
    assert_true(fabs((double)front->wait_us - front_us) < 0.05 * front_us);
    /* What comes from the front is hardly Poisson's any more, but nearly. */
    assert_true(fabs((double)inference->wait_us - wait_us) < 0.05 * wait_us);
    /* Little: busy servers are the rate times the service. */
    assert_true(llabs(inference->busy_ppm - 1000000 * 2 / 3) < 15000);
    assert_true(llabs(front->busy_ppm - 200000) < 5000);
    assert_true(llabs((int64_t)(inference->misses - source->arrived)) <= 16);
    /* Between the users and the edge, and of misses between the edge and the source. */
    double bytes = 220.0 * (double)users->offered + 4300.0 * (double)source->served;
    assert_true(fabs((double)users->bytes - bytes) < bytes / 1000);
}

/* The half and the 99th of a hundred of the users' calls, whose way alone takes time. */
static void way_quantiles(const char *fields, int64_t ret_us[2])
{
    char spans[512];
    struct error err = {0};
    str_format(spans, sizeof(spans),
               "  - of: shop\n    at: 1h\n    for: 1h\n    %s\n    stations:\n"
               "      - {workload: front, concurrency: 1000, service: 1us, law: constant}\n"
               "      - {workload: inference, concurrency: 1000, service: 1us, law: constant, "
               "cache: {policy: lru, objects: 1, room: 1}}\n",
               fields);
    write_scenario("shop", spans);
    if (run_file(scenario_path_of, 1, &err) < 0)
        fail_msg("%s", err.text);
    nothing_is_lost();
    ret_us[0] = rows.callers[0].p50_us;
    ret_us[1] = rows.callers[0].p99_us;
}

/* Nothing but the users' way takes time, and all of their calls hit. The sum of two lognormal
 * halves is nearly one of the same mean and variance. */
static void trips_differ_as_they_are_said_to(void **state)
{
    (void)state;
    int64_t quantiles[2][2];
    way_quantiles("jitter: 0%", quantiles[0]);
    way_quantiles("jitter: 20%", quantiles[1]);
    double way = (double)quantiles[0][0];
    double sigma = sqrt(log(1 + 0.2 * 0.2 / 2));
    double p50 = way * exp(-sigma * sigma / 2);
    double p99 = way * exp(-sigma * sigma / 2 + 2.32635 * sigma);
    print_message("half %" PRId64 " us, by the formula %.0f; p99 %" PRId64
                  ", by the formula %.0f\n",
                  quantiles[1][0], p50, quantiles[1][1], p99);
    assert_true(fabs((double)quantiles[0][1] - way) < 0.02 * way);
    assert_true(fabs((double)quantiles[1][0] - p50) < 0.02 * p50);
    assert_true(fabs((double)quantiles[1][1] - p99) < 0.03 * p99);
}

/* 100 bytes there and 120 back. Alone on the link a call takes as long as its bytes do; with four
 * fifths of it in use the half of them wait for others, and none is faster than the bytes allow. */
static void bytes_share_what_is_between_two_sites(void **state)
{
    (void)state;
    int64_t alone[2];
    int64_t quiet[2];
    int64_t busy[2];
    way_quantiles("jitter: 0%", alone);
    way_quantiles("bandwidth: [{between: [edge/nyc, client/web], rate: 240KB/s}]", quiet);
    way_quantiles("bandwidth: [{between: [client/web, edge/nyc], rate: 30KB/s}]", busy);
    double bytes_us = 220.0 / 240000 * 1e6;
    print_message("alone %" PRId64 " us, %" PRId64 " on a quiet link, %" PRId64 " on a busy one\n",
                  alone[0], quiet[0], busy[0]);
    assert_true(fabs((double)(quiet[0] - alone[0]) - bytes_us) < 0.02 * (double)quiet[0]);
    assert_true((double)busy[0] > (double)alone[0] + 1.5 * 220.0 / 30000 * 1e6);
    assert_true(busy[1] > 2 * busy[0] - alone[0]);
}

/* As measured: the document's 90 %; a full queue without another site rejects. */
static void what_has_no_place_is_rejected(void **state)
{
    (void)state;
    struct error err = {0};
    write_scenario("shop", "  - of: shop\n    at: 10min\n    for: 20min\n    stations:\n"
                           "      - {workload: front, concurrency: 2, service: 20ms, room: 0}\n");
    if (run_file(scenario_path_of, 1, &err) < 0)
        fail_msg("%s", err.text);
    nothing_is_lost();
    const struct run_requests *users = &rows.callers[0];
    const struct run_station *inference = station("inference", false);
    double rejected = (double)users->rejected / (double)users->offered;
    assert_true(fabs(rejected - closed_erlang_b(4, 2)) < 0.01);
    double hits = (double)inference->hits / (double)(inference->hits + inference->misses);
    assert_true(fabs(hits - 0.9) < 0.01);
    uint64_t hash = rows.hash;
    assert_string_equal(rows.notes, "");
    if (run_file(scenario_path_of, 1, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(rows.hash == hash);
    if (run_file(scenario_path_of, 2, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(rows.hash != hash);
    /* Twice as much as it can serve. */
    write_scenario("shop", "  - {of: shop, at: 0s, for: 5min, stations: "
                           "[{workload: front, service: 10ms}]}\n");
    if (run_file(scenario_path_of, 1, &err) < 0)
        fail_msg("%s", err.text);
    nothing_is_lost();
    assert_non_null(strstr(rows.notes, "front at edge/nyc is called more often than it can serve"));
}

static void results_are_text_json_and_csv(void **state)
{
    (void)state;
    struct store *store = NULL;
    struct strbuf out;
    struct error err = {0};
    if (run_file(BERTH_SOURCE_DIR "/examples/scenarios/two-tier.yaml", 1, &err) < 0)
        fail_msg("%s", err.text);
    strbuf_init(&out, (size_t)1 << 20);
    assert_int_equal(store_open(out_path, true, &store, &err), 0);
    assert_int_equal(simulate_write_requests(store, false, &out, &err), 0);
    assert_non_null(strstr(strbuf_text(&out), "cloud/far (overflow)"));
    assert_non_null(strstr(strbuf_text(&out), "queue/people"));
    strbuf_reset(&out);
    assert_int_equal(simulate_write_json(store, &out, &err), 0);
    json_t *root = json_loads(strbuf_text(&out), 0, NULL);
    const json_t *run = json_array_get(json_object_get(root, "runs"), 0);
    assert_int_equal(json_array_size(json_object_get(run, "requests")), 1);
    assert_int_equal(json_array_size(json_object_get(run, "stations")), 2);
    json_decref(root);
    strbuf_reset(&out);
    assert_int_equal(simulate_write_requests_csv(store, &out, &err), 0);
    int commas[4] = {0};
    int line = 0;
    for (const char *at = strbuf_text(&out); *at != 0 && line < 4; at++) {
        commas[line] += *at == ',';
        line += *at == '\n';
    }
    assert_int_equal(line, 4);
    for (int i = 1; i < 4; i++)
        assert_int_equal(commas[i], commas[0]);
    store_close(store);
    strbuf_done(&out);
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"  - {of: shoe, at: 0s}\n", "requests of \"shoe\": there is no such app"},
        {"  - {of: shop/front, at: 0s}\n", "there is no such app; write APP"},
        {"  - {of: shop, at: 3h}\n", "the run is over by then"},
        {"  - {of: shop, at: 0s, for: 1ms}\n", "from 1s to 31d"},
        {"  - {of: shop, at: 0s, jitter: 11}\n", "a deviation of ten times the mean"},
        {"  - {of: shop, at: 0s, bandwidth: [{between: [edge/nyc], rate: 1MB/s}]}\n",
         "between names two sites"},
        {"  - {of: shop, at: 0s, bandwidth: [{between: [edge/nyc, client/web], rate: 0B/s}]}\n",
         "a rate above 0"},
        {"  - {of: shop, at: 0s, bandwidth: [{between: [edge/nyc, client/web], rate: 1MB/s}, "
         "{between: [client/web, edge/nyc], rate: 2MB/s}]}\n",
         "is there twice"},
        {"  - {of: shop, at: 0s, bandwidth: [{between: [edge/nyk, client/web], rate: 1MB/s}]}\n",
         "bandwidth of edge/nyk"},
        {"  - {of: shop, at: 0s, for: 30d}\n", "take a shorter span"},
        {"  - {of: shop, at: 0s, stations: [{workload: frond}]}\n", "station of frond"},
        {"  - {of: shop, at: 0s, stations: [{workload: front}, {workload: front}]}\n",
         "is there twice"},
        {"  - {of: shop, at: 0s, stations: [{workload: front, room: 0, overflow: edge/nyk}]}\n",
         "overflow to edge/nyk"},
        {"  - {of: shop, at: 0s, stations: [{workload: front, overflow: edge/nyc}]}\n",
         "write room: 0"},
        {"  - {of: shop, at: 0s, stations: [{workload: front, hold: trip, room: 3}]}\n",
         "have no queue"},
        {"  - {of: shop, at: 0s, stations: [{workload: inference, cache: {policy: lru}}]}\n",
         "objects"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct error err = {0};
        write_scenario("shop", wrong[i][0]);
        if (run_file(scenario_path_of, 1, &err) == 0)
            fail_msg("%s is taken", wrong[i][0]);
        if (strstr(err.text, wrong[i][1]) == NULL)
            fail_msg("\"%s\" is not in: %s", wrong[i][1], err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_two_tier_queue_overflows_as_erlang_says),
        cmocka_unit_test(a_shop_waits_hits_and_misses_as_the_formulas_say),
        cmocka_unit_test(trips_differ_as_they_are_said_to),
        cmocka_unit_test(bytes_share_what_is_between_two_sites),
        cmocka_unit_test(what_has_no_place_is_rejected),
        cmocka_unit_test(results_are_text_json_and_csv),
        cmocka_unit_test(what_is_wrong_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
