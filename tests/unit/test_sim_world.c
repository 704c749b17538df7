/* What a virtual world is made from: scenarios, loads, traces, a program's two lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/chance.h"
#include "simulator/world/load.h"
#include "simulator/world/policy_program.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

#define HEAD "scenario: s\nworld: w.yaml\napps: [a.yaml]\nfor: 2d\n"

static void parse(const char *text, struct scenario *scenario)
{
    struct error err;
    if (scenario_parse("dir/s.yaml", text, strlen(text), &arena, scenario, &err) < 0)
        fail_msg("%s", err.text);
}

static void refuse(const char *text, const char *sentence)
{
    struct scenario scenario;
    struct error err = {0};
    assert_int_equal(scenario_parse("s.yaml", text, strlen(text), &arena, &scenario, &err),
                     ERR_INVALID);
    if (strstr(err.text, sentence) == NULL)
        fail_msg("\"%s\" is not in: %s", sentence, err.text);
}

static void a_scenario_has_defaults(void **state)
{
    (void)state;
    struct scenario scenario;
    parse(HEAD, &scenario);
    assert_int_equal(scenario.for_us, 48 * US_PER_HOUR);
    assert_int_equal(scenario.step_us, US_PER_HOUR);
    assert_int_equal(scenario.policy_count, 1);
    assert_string_equal(scenario.policies[0].name, "solver");
    assert_string_equal(scenario.folder, "dir");
    assert_int_equal(scenario.seed_count, 1);
    assert_true(scenario.bound && scenario.ledger);
}

static void a_scenario_says_what_is_wrong_and_where(void **state)
{
    (void)state;
    refuse(HEAD "polcy: solver\n", "did you mean");
    refuse(HEAD "policy: sovler\n", "did you mean solver?");
    refuse(HEAD "step: 0s\n", "a step is at least 1 s");
    refuse(HEAD "step: 3d\n", "from 1 to");
    refuse("scenario: s\nworld: w\napps: [a]\nfor: 90000d\nstep: 1s\n", "from 1 to");
    refuse(HEAD "load:\n  - {of: shop, shape: daily}\n", "diurnal");
    refuse(HEAD "load:\n  - {of: shop, shape: diurnal, week: [1, 2]}\n", "7 numbers");
    refuse(HEAD "load:\n  - {of: shop}\n  - {of: shop}\n", "has a load already, on line 6");
    refuse(HEAD "load:\n  - {of: shop, shape: trace}\n", "names no file");
#define TRACE HEAD "load:\n  - {of: shop, shape: trace, file: t.csv, "
    refuse(TRACE "format: cvs}\n", "did you mean \"csv\"?");
    refuse(TRACE "gap: hodl}\n", "hold, zero, error");
    refuse(TRACE "stretch: 0}\n", "from 0.000001 to 100000");
    refuse(TRACE "from: noon}\n", "seconds since the trace's zero");
    refuse(TRACE "map: {}}\n", "a map has from 1");
    refuse(TRACE "measure: cpus}\n", "running, arrivals, cores");
    refuse(TRACE "bucket: 1us}\n", "at least 1ms");
    refuse(HEAD "load:\n  - {of: shop, shape: trace, file: []}\n", "from 1 to");
#undef TRACE
    refuse(HEAD "events:\n  - {at: 1h}\n", "one of set, down, reclaim and metrics");
    refuse(HEAD "events:\n  - {at: 3d, down: gcp}\n", "the run is over by then");
    refuse(HEAD "events:\n  - {at: 1h, metrics: late}\n", "needs lag");
    refuse(HEAD "precision: 5%\n", "seeds: 3");
    refuse(HEAD "from: yesterday\n", "s.yaml:5: from");
    refuse(HEAD "from: 1970-01-01\n", "a run begins in 1970, after its warmup");
    refuse(HEAD "from: 1970-01-31\nwarmup: 31d\n", "after its warmup");
    refuse("scenario: s\nworld: w\napps: [a]\nfor: 36601d\nstep: 100d\n", "a hundred years");
    refuse(HEAD "load:\n  - {of: shop, shape: bursts, burst_every: 99999d}\n",
           "hundred years apart");
    refuse(HEAD "load:\n  - {of: shop, shape: bursts, burst_for: 99999d}\n",
           "a burst is of at most");
    refuse(HEAD "experiment:\n  policies: [stay, stay]\n", "there twice");
}

static void events_are_in_the_order_of_time(void **state)
{
    (void)state;
    struct scenario scenario;
    parse(HEAD "events:\n  - {at: 9h, down: gcp, for: 1h}\n  - {at: 2h, set: 'price.cpu=x2'}\n"
               "  - {at: 2h, reclaim: aws}\n",
          &scenario);
    assert_int_equal(scenario.event_count, 3);
    assert_int_equal(scenario.events[0].kind, EVENT_SET);
    assert_int_equal(scenario.events[1].kind, EVENT_RECLAIM);
    assert_int_equal(scenario.events[2].kind, EVENT_DOWN);
}

/* ---- loads ---- */

static const char world_text[] =
    "world: test\naccounts:\n  - {name: own, provider: edge}\n"
    "sites:\n  - {name: client/web, tier: client}\n"
    "  - {name: edge/nyc, tier: edge, account: own, price: {cpu: 0.05, memory: 0.006}}\n";
static const char app_text[] =
    "app: shop\nworkloads:\n"
    "  - {name: web, resources: {cpu: 100m, memory: 64MiB}, calls: 100/s, "
    "run: {driver: process, artifact: 'file:/bin/true'}}\n"
    "  - {name: source, resources: {cpu: 100m, memory: 64MiB}, calls: 50/s, "
    "run: {driver: process, artifact: 'file:/bin/true'}}\n"
    "users:\n  - {name: people, site: client/web}\n"
    "links:\n  - {from: people, to: web, calls: 100/s, request: 1KB, response: 10KB}\n"
    "  - {from: web, to: source, calls: 50/s, request: 1KB, response: 10KB}\n";

static struct world world;
static struct app app;

static void read_documents(void)
{
    struct error err;
    if (world_parse("w", world_text, strlen(world_text), &arena, &world, &err) < 0 ||
        app_parse("a", app_text, strlen(app_text), &arena, &app, &err) < 0)
        fail_msg("%s", err.text);
}

static struct load *open_load(const struct scenario *scenario, int64_t seed)
{
    struct load *load = NULL;
    struct error err;
    struct scenario_cell cell = {.trace = -1, .seed = seed};
    read_documents();
    if (load_open(scenario, &cell, &world, &app, 1, &load, &err) < 0)
        fail_msg("%s", err.text);
    return load;
}

static void a_day_and_a_week_have_their_mean(void **state)
{
    (void)state;
    struct scenario scenario;
    struct error err;
    parse(HEAD
          "load:\n  - {of: shop, shape: diurnal, calls: 300/s, week: [1, 1, 1, 1, 1, 0.5, 0.5]}"
          "\nfrom: 2026-03-02\n",
          &scenario);
    struct load *load = open_load(&scenario, 1);
    int64_t sum = 0;
    int64_t least = INT64_MAX;
    for (int hour = 0; hour < 24; hour++) {
        assert_int_equal(load_step(load, scenario.from_us + hour * US_PER_HOUR, US_PER_HOUR, &err),
                         0);
        sum += load_calls(load)[0];
        least = load_calls(load)[0] < least ? load_calls(load)[0] : least;
        /* Who is called by it is called in proportion. */
        assert_true(load_calls(load)[1] * 2 - load_calls(load)[0] <= 2);
    }
    assert_in_range(sum / 24, 299000, 301000);
    assert_in_range(least, 1, 60000);
    /* The same Saturday noon is half the Monday's. */
    assert_int_equal(load_step(load, scenario.from_us + 12 * US_PER_HOUR, US_PER_HOUR, &err), 0);
    int64_t monday = load_calls(load)[0];
    assert_int_equal(
        load_step(load, scenario.from_us + (5 * 24 + 12) * US_PER_HOUR, US_PER_HOUR, &err), 0);
    assert_in_range(load_calls(load)[0], monday / 2 - 1, monday / 2 + 1);
    load_close(load);
}

/* West of Greenwich 1970 begins on the last Wednesday of 1969. */
static void hours_before_1970_are_hours_too(void **state)
{
    (void)state;
    struct scenario scenario;
    struct error err;
    parse(HEAD
          "load:\n  - {of: shop, shape: diurnal, utc_offset: -14,\n"
          "     day: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],\n"
          "     week: [1, 1, 2, 1, 1, 1, 1]}\nfrom: 1970-01-02\n",
          &scenario);
    struct load *load = open_load(&scenario, 1);
    int64_t calls[3];
    for (int hour = 0; hour < 3; hour++) {
        assert_int_equal(load_step(load, hour * US_PER_HOUR, US_PER_HOUR, &err), 0);
        calls[hour] = load_calls(load)[0];
    }
    assert_in_range(calls[0], 4 * calls[1] - 4, 4 * calls[1] + 4);
    assert_int_equal(calls[1], calls[2]);
    assert_int_equal(load_step(load, 15 * US_PER_HOUR, US_PER_HOUR, &err), 0);
    assert_in_range(calls[1], 2 * load_calls(load)[0] - 2, 2 * load_calls(load)[0] + 2);
    load_close(load);
}

/* A step in which several come and go has all of them: a day by itself is the mean of its hours. */
static void a_step_has_all_its_bursts(void **state)
{
    (void)state;
    struct scenario scenario;
    struct error err;
    parse(HEAD
          "load:\n  - {of: shop, shape: bursts, burst: 3, burst_for: 7min, burst_every: 20min}\n",
          &scenario);
    struct load *hours = open_load(&scenario, 5);
    struct load *days = open_load(&scenario, 5);
    for (int day = 0; day < 2; day++) {
        int64_t at_us = scenario.from_us + day * 24 * US_PER_HOUR;
        int64_t sum = 0;
        for (int minute = 0; minute < 24 * 60; minute++) {
            assert_int_equal(load_step(hours, at_us + minute * 60 * US_PER_S, 60 * US_PER_S, &err),
                             0);
            sum += load_calls(hours)[0];
        }
        assert_int_equal(load_step(days, at_us, 24 * US_PER_HOUR, &err), 0);
        assert_in_range(load_calls(days)[0], sum / (24 * 60) - 2, sum / (24 * 60) + 2);
        /* A third of the time or so, twice as much more. */
        assert_in_range(load_calls(days)[0], 130000, 180000);
    }
    load_close(hours);
    load_close(days);
}

static void noise_is_the_seeds_and_nobody_elses(void **state)
{
    (void)state;
    struct scenario scenario;
    struct error err;
    parse(HEAD "load:\n  - {of: '*', noise: 20%}\n", &scenario);
    struct load *one = open_load(&scenario, 1);
    struct load *two = open_load(&scenario, 1);
    struct load *other = open_load(&scenario, 2);
    double squares = 0;
    int differs = 0;
    for (int hour = 0; hour < 48; hour++) {
        int64_t at_us = scenario.from_us + hour * US_PER_HOUR;
        assert_int_equal(load_step(one, at_us, US_PER_HOUR, &err), 0);
        assert_int_equal(load_step(two, at_us, US_PER_HOUR, &err), 0);
        assert_int_equal(load_step(other, at_us, US_PER_HOUR, &err), 0);
        assert_int_equal(load_calls(one)[0], load_calls(two)[0]);
        differs += load_calls(one)[0] != load_calls(other)[0];
        double off = (double)load_calls(one)[0] / 100000 - 1;
        squares += off * off;
    }
    assert_true(differs > 40);
    assert_true(squares / 48 > 0.01 && squares / 48 < 0.09); /* 0.2 squared, roughly */
    load_close(one);
    load_close(two);
    load_close(other);
}

static void a_trace_is_followed_and_its_gaps_are_told(void **state)
{
    (void)state;
    struct scenario scenario;
    struct error err;
    char path[] = "trace-XXXXXX";
    char text[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    static const char rows[] = "time,workload,calls\n0,shop/web,10\n1800,shop/web,30\n"
                               "7200,shop/web,50\n122400,shop/web,70\n";
    assert_int_equal(write(fd, rows, sizeof(rows) - 1), sizeof(rows) - 1);
    assert_int_equal(close(fd), 0);
    str_format(text, sizeof(text), HEAD "load:\n  - {of: shop, shape: trace, file: ../%s}\n", path);
    assert_int_equal(scenario_parse("./s.yaml", text, strlen(text), &arena, &scenario, &err), 0);
    str_format(scenario.loads[0].trace->files[0], LIMIT_PATH_BYTES, "%s", path);
    struct load *load = open_load(&scenario, 1);
    for (int hour = 0; hour < 40; hour++) {
        assert_int_equal(load_step(load, scenario.from_us + hour * US_PER_HOUR, US_PER_HOUR, &err),
                         0);
        int64_t wanted = hour == 0 ? 20000 : hour == 1 ? 30000 : hour < 34 ? 50000 : 70000;
        assert_int_equal(load_calls(load)[0], wanted);
    }
    if (strstr(load_notes(load), "1 gaps of more than 1 d") == NULL)
        fail_msg("%s", load_notes(load));
    load_close(load);
    assert_int_equal(unlink(path), 0);
}

/* Runs 48 steps of an hour under a trace with these fields; the rates of shop/web go to `rates`. */
static int follow(const char *rows, const char *fields, int64_t rates[48], char *notes, size_t room,
                  struct error *err)
{
    struct scenario scenario;
    struct load *load = NULL;
    struct scenario_cell cell = {.trace = -1, .seed = 1};
    char path[] = "trace-XXXXXX";
    char text[512];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, rows, strlen(rows)), strlen(rows));
    assert_int_equal(close(fd), 0);
    str_format(text, sizeof(text), HEAD "load:\n  - {of: shop, shape: trace, file: %s, %s}\n", path,
               fields);
    if (scenario_parse("s.yaml", text, strlen(text), &arena, &scenario, err) < 0)
        fail_msg("%s", err->text);
    read_documents();
    int rc = load_open(&scenario, &cell, &world, &app, 1, &load, err);
    for (int hour = 0; hour < 48 && rc == 0; hour++) {
        rc = load_step(load, scenario.from_us + hour * US_PER_HOUR, US_PER_HOUR, err);
        rates[hour] = rc == 0 ? load_calls(load)[0] : -1;
        if (rc == 0 && rates[hour] > 0) /* and who it calls, in proportion */
            assert_in_range(load_calls(load)[1] * 2, rates[hour] - 2, rates[hour] + 2);
    }
    if (rc == 0)
        str_format(notes, room, "%s", load_notes(load));
    load_close(load);
    assert_int_equal(unlink(path), 0);
    return rc;
}

static void a_gap_is_what_the_load_says(void **state)
{
    (void)state;
    static const char rows[] = "time,workload,calls\n0,x,10\n3600,x,20\n36000,x,30\n";
    int64_t rates[48];
    char notes[1024];
    struct error err = {0};
    assert_int_equal(follow(rows, "map: {x: shop/web}, gap: zero, gap_after: 2h", rates, notes,
                            sizeof(notes), &err),
                     0);
    for (int hour = 0; hour < 48; hour++)
        assert_int_equal(rates[hour], hour == 0   ? 10000
                                      : hour < 3  ? 20000
                                      : hour < 10 ? 0
                                      : hour < 12 ? 30000
                                                  : 0);
    assert_non_null(strstr(notes, "nobody calls in them"));
    assert_non_null(strstr(notes, "nobody calls from then on"));
    assert_int_equal(follow(rows, "map: {x: shop/web}, gap: error, gap_after: 2h", rates, notes,
                            sizeof(notes), &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, ":4: a gap of 9 h after"));
    assert_int_equal(follow(rows, "map: {x: shop/web}, gap: error, gap_after: 20h", rates, notes,
                            sizeof(notes), &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "h before the run does, and gap: error allows none"));
}

static void a_trace_that_says_nothing_of_the_run_is_refused(void **state)
{
    (void)state;
    int64_t rates[48];
    char notes[1024];
    struct error err = {0};
    assert_int_equal(
        follow("time,workload,calls\n0,x,1\n", "scale: 1", rates, notes, sizeof(notes), &err),
        ERR_INVALID);
    assert_non_null(strstr(err.text, "there is no workload \"x\""));
    assert_int_equal(
        follow("time,workload,calls\n0,x,1\n", "map: {y: shop}", rates, notes, sizeof(notes), &err),
        ERR_INVALID);
    assert_non_null(strstr(err.text, "tells of no calls"));
    static const char old[] = "time,calls\n2020-01-01,40\n2020-01-02,80\n";
    assert_int_equal(follow(old, "scale: 1", rates, notes, sizeof(notes), &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "before the run begins; align: true"));
    /* Laid at its beginning, halved, twice as slow: 20 a second for the whole of the run. */
    assert_int_equal(
        follow(old, "align: true, stretch: 2, scale: 50%", rates, notes, sizeof(notes), &err), 0);
    assert_int_equal(rates[0], 20000);
    assert_int_equal(rates[47], 20000);
    assert_int_equal(follow(old, "align: true, scale: 50%", rates, notes, sizeof(notes), &err), 0);
    assert_int_equal(rates[23], 20000);
    assert_int_equal(rates[24], 40000);
}

/* ---- a program's lines ---- */

static void a_program_is_asked_and_understood(void **state)
{
    (void)state;
    struct strbuf line;
    struct error err = {0};
    struct placement to[2];
    struct workload_state states[2] = {{.now = {1, 0, 0}}, {.now = {-1, 0, 1}}};
    read_documents();
    struct cost_app apps = {&app, states};
    struct cost_input input = {.world = &world, .apps = &apps, .app_count = 1};
    strbuf_init(&line, 65536);
    assert_int_equal(policy_program_ask(&input, &line, &err), 0);
    assert_non_null(
        strstr(strbuf_text(&line), "\"name\":\"default/shop/web\",\"site\":\"edge/nyc\""));
    assert_non_null(strstr(strbuf_text(&line), "\"site\":null"));
    strbuf_done(&line);
    assert_int_equal(policy_program_read("{\"place\":{\"default/shop/source\":\"client/web\"}}",
                                         &input, to, &err),
                     0);
    assert_int_equal(to[0].site, 1);
    assert_int_equal(to[1].site, 0);
    static const char *const wrong[][2] = {
        {"nonsense", "its answer is not"},
        {"{\"place\":{\"default/shop/web\":\"edge/mars\"}}", "edge/mars, which is no site"},
        {"{\"place\":{\"default/shop/wbe\":\"edge/nyc\"}}", "which is no workload"},
        {"{\"place\":{\"default/shop/web\":7}}", "not a text"},
    };
    for (int i = 0; i < 4; i++) {
        assert_int_equal(policy_program_read(wrong[i][0], &input, to, &err), ERR_INVALID);
        if (strstr(err.text, wrong[i][1]) == NULL)
            fail_msg("\"%s\" is not in: %s", wrong[i][1], err.text);
    }
}

static void chances_are_even_and_normal(void **state)
{
    (void)state;
    double sum = 0;
    double squares = 0;
    for (uint64_t i = 0; i < 10000; i++) {
        double value = (double)chance_normal_ppm(7, CHANCE_LOAD, i) / 1e6;
        sum += value;
        squares += value * value;
    }
    assert_true(sum / 10000 < 0.04 && sum / 10000 > -0.04); /* four standard errors */
    assert_true(squares / 10000 > 0.94 && squares / 10000 < 1.06);
    int64_t twelve = -6 * INT64_C(1000000);
    for (uint64_t i = 0; i < 12; i++)
        twelve += chance_ppm(7, CHANCE_BURST, 100 * 12 + i);
    assert_true(chance_normal_ppm(7, CHANCE_BURST, 100) == twelve);
}

static void a_forecast_needs_steps_that_divide_a_day(void **state)
{
    (void)state;
    struct scenario scenario;
    struct chooser *policy = NULL;
    struct error err = {0};
    parse(HEAD "policy: forecast\nstep: 90min\n", &scenario);
    assert_int_equal(policy_open(&scenario, &scenario.policies[0], NULL, &policy, &err), 0);
    policy_close(policy);
    static const char *const steps[] = {"7h", "48h", "7min"};
    for (int i = 0; i < 3; i++) {
        char text[256];
        str_format(text, sizeof(text), HEAD "policy: forecast\nstep: %s\n", steps[i]);
        parse(text, &scenario);
        assert_int_equal(policy_open(&scenario, &scenario.policies[0], NULL, &policy, &err),
                         ERR_INVALID);
        if (strstr(err.text, "does not divide a day") == NULL ||
            strstr(err.text, "dir/s.yaml") == NULL)
            fail_msg("%s", err.text);
        /* Any other policy goes by any step. */
        str_format(scenario.policies[0].name, sizeof(scenario.policies[0].name), "solver");
        assert_int_equal(policy_open(&scenario, &scenario.policies[0], NULL, &policy, &err), 0);
        policy_close(policy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_scenario_has_defaults),
        TEST(a_scenario_says_what_is_wrong_and_where),
        TEST(events_are_in_the_order_of_time),
        TEST(a_day_and_a_week_have_their_mean),
        TEST(hours_before_1970_are_hours_too),
        TEST(a_step_has_all_its_bursts),
        TEST(noise_is_the_seeds_and_nobody_elses),
        TEST(a_trace_is_followed_and_its_gaps_are_told),
        TEST(a_gap_is_what_the_load_says),
        TEST(a_trace_that_says_nothing_of_the_run_is_refused),
        TEST(a_program_is_asked_and_understood),
        TEST(chances_are_even_and_normal),
        TEST(a_forecast_needs_steps_that_divide_a_day),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
