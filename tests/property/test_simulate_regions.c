/*
 * Days that go by the sun, with the real core, cost model and solver (examples/scenarios/sun.yaml):
 *
 *   - while one region sleeps a service moves to the other's edge, and back, though the sum of
 * their calls tells nothing to move for; a trace of the sum moves nothing
 *   - the optimum is never above the bound, and who stays is far above it
 *   - single requests come from each region as often as its rows say, and none is lost
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/world/run.h"

#define MOVES 64
#define ROWS  16

struct seen {
    struct run_move moves[MOVES];
    int move_count;
    struct run_requests requests[ROWS];
    char from[ROWS][LIMIT_NAME_BYTES];
    int request_count;
    char at[ROWS][LIMIT_REF_BYTES]; /* of stations */
    int station_count;
};

static char folder[] = "regions-XXXXXX";
static struct arena arena;
static struct solver *solver;
static struct seen seen;
static struct run_result result;

static void write_file(const char *name, const char *text)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state)
{
    (void)state;
    struct error err;
    assert_non_null(mkdtemp(folder));
    arena_init(&arena, (size_t)256 << 20);
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/berth-solve"};
    if (solver_open(&options, &solver, &err) < 0)
        fail_msg("%s", err.text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/trace.csv", folder);
    (void)unlink(path);
    solver_close(solver);
    arena_done(&arena);
    return rmdir(folder);
}

static int take_move(void *context, const struct run_move *move, struct error *err)
{
    struct seen *into = context;
    (void)err;
    assert_true(into->move_count < MOVES);
    into->moves[into->move_count++] = *move;
    return 0;
}

static int take_requests(void *context, const struct run_requests *one, struct error *err)
{
    struct seen *into = context;
    (void)err;
    assert_true(into->request_count < ROWS);
    str_format(into->from[into->request_count], LIMIT_NAME_BYTES, "%s", one->from);
    into->requests[into->request_count++] = *one;
    return 0;
}

static int take_station(void *context, const struct run_station *one, struct error *err)
{
    struct seen *into = context;
    (void)err;
    assert_true(into->station_count < ROWS);
    str_format(into->at[into->station_count++], LIMIT_REF_BYTES, "%s", one->site);
    return 0;
}

/* Two days of the example's world and app under a trace. */
static void simulate(const char *trace, const char *rest)
{
    char text[2048];
    char file[LIMIT_PATH_BYTES];
    struct scenario scenario;
    struct error err;
    struct scenario_cell cell = {.trace = -1, .seed = 1};
    struct run_sink sink = {
        .context = &seen, .move = take_move, .requests = take_requests, .station = take_station};
    memset(&seen, 0, sizeof(seen));
    str_format(file, sizeof(file), "%s/scenario.yaml", folder);
    str_format(text, sizeof(text),
               "scenario: s\nworld: %s/examples/scenarios/sun-world.yaml\n"
               "apps: [%s/examples/scenarios/sun-app.yaml]\nfrom: 2026-03-02\nfor: 2d\nslo: 100ms\n"
               "load:\n  - {of: chat, shape: trace, file: %s}\n%s",
               BERTH_SOURCE_DIR, BERTH_SOURCE_DIR, trace, rest);
    if (scenario_parse(file, text, strlen(text), &arena, &scenario, &err) < 0 ||
        run_simulate(&scenario, &cell, solver, &sink, &result, &err) < 0)
        fail_msg("%s", err.text);
}

static const char by_region[] = BERTH_SOURCE_DIR "/examples/scenarios/traces/regions.csv";

/* By the rows Europe calls more than Asia from 10:00 to 22:00 UTC. */
static void want_to_follow_the_sun(int64_t late_hours)
{
    assert_true(result.moves >= 3);
    assert_int_equal(result.moves_back, 0);
    for (int i = 0; i < seen.move_count; i++) {
        const struct run_move *move = &seen.moves[i];
        int64_t hour = move->at_us / US_PER_HOUR % 24;
        bool west = str_equal(move->to, "edge/frankfurt");
        assert_string_equal(move->from, west ? "edge/tokyo" : "edge/frankfurt");
        if (i > 0)
            assert_string_equal(move->from, seen.moves[i - 1].to);
        int64_t since = (hour - (west ? 10 : 22) + 24) % 24;
        if (since > late_hours)
            fail_msg("to %s at %lld:00", move->to, (long long)hour);
    }
}

static void a_night_moves_a_service_to_those_who_are_awake(void **state)
{
    (void)state;
    simulate(by_region, "policy: solver\n");
    want_to_follow_the_sun(3);
    nusd moved = result.score;
    assert_true(result.score >= result.bound);
    simulate(by_region, "policy: optimum\n");
    want_to_follow_the_sun(1);
    assert_true(result.score >= result.bound);
    assert_true(result.score < result.bound + result.bound / 50);
    simulate(by_region, "policy: stay\n");
    assert_int_equal(result.moves, 0);
    assert_true(moved < result.score * 3 / 4);
    /* Half of all calls come from the other side. */
    assert_in_range(result.slow * 100 / result.calls, 45, 55);
}

/* The same calls, but nobody says whose: the document's halves hold, and both edges are as good. */
static void the_sum_of_both_moves_nothing(void **state)
{
    (void)state;
    char text[4096] = "time,workload,calls\n";
    FILE *file = fopen(by_region, "re");
    char line[256];
    double sum = 0;
    int rows = 0;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        char *comma = strrchr(line, ',');
        if (comma == NULL || strchr("0123456789", line[0]) == NULL)
            continue;
        sum += strtod(comma + 1, NULL);
        if (++rows % 2 == 0) {
            size_t used = strlen(text);
            str_format(text + used, sizeof(text) - used, "%ld,chat/api,%.1f\n",
                       strtol(line, NULL, 10), sum);
            sum = 0;
        }
    }
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rows, 96);
    write_file("trace.csv", text);
    simulate("trace.csv", "policy: solver\n");
    assert_int_equal(result.moves, 0);
}

static void a_forecast_of_each_region_follows_the_sun_too(void **state)
{
    (void)state;
    simulate(by_region, "policy: forecast\n");
    assert_true(result.moves >= 3);
    assert_true(result.score >= result.bound);
    for (int i = 1; i < seen.move_count; i++)
        assert_string_equal(seen.moves[i].from, seen.moves[i - 1].to);
}

/* Of a span of so many calls the root is one standard deviation; five of them are never seen. */
static void want_offered(const char *region, double calls)
{
    for (int i = 0; i < seen.request_count; i++) {
        const struct run_requests *one = &seen.requests[i];
        if (strcmp(seen.from[i], region) != 0)
            continue;
        double off = (double)one->offered - calls;
        if (off * off > 25 * calls)
            fail_msg("%s: %llu instead of %.0f", region, (unsigned long long)one->offered, calls);
        assert_true(one->offered + one->carried == one->completed + one->rejected + one->under_way);
        assert_int_equal(one->rejected, 0);
        return;
    }
    fail_msg("nobody from %s", region);
}

static void requests_come_from_each_region_as_its_rows_say(void **state)
{
    (void)state;
    static const int hours[] = {14, 28}; /* Europe's day, and its night */
    FILE *file = fopen(by_region, "re");
    double rates[48][2] = {{0}};
    char line[256];
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL)
        if (strchr("0123456789", line[0]) != NULL)
            rates[strtol(line, NULL, 10) / 3600][strstr(line, ",asia,") != NULL] =
                strtod(strrchr(line, ',') + 1, NULL);
    assert_int_equal(fclose(file), 0);
    for (int i = 0; i < 2; i++) {
        char rest[256];
        str_format(rest, sizeof(rest),
                   "requests:\n  - {of: chat, at: %dh, for: 30min, stations: [{workload: api, "
                   "concurrency: 64}]}\n",
                   hours[i]);
        simulate(by_region, rest);
        assert_int_equal(seen.request_count, 2);
        assert_true(rates[hours[i]][0] > 0 && rates[hours[i]][1] > 0);
        want_offered("europe", 1800 * rates[hours[i]][0]);
        want_offered("asia", 1800 * rates[hours[i]][1]);
        /* ... where those are awake. */
        assert_int_equal(seen.station_count, 1);
        assert_string_equal(seen.at[0], rates[hours[i]][0] > rates[hours[i]][1] ? "edge/frankfurt"
                                                                                : "edge/tokyo");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_night_moves_a_service_to_those_who_are_awake),
        cmocka_unit_test(the_sum_of_both_moves_nothing),
        cmocka_unit_test(a_forecast_of_each_region_follows_the_sun_too),
        cmocka_unit_test(requests_come_from_each_region_as_its_rows_say),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
