/*
 * Weeks in a virtual world, with the real core, cost model, solver and ledger:
 *
 *   - no policy ever scores below the bound, and `optimum` is near it
 *   - equal seeds give equal hashes with any number of jobs; other seeds others
 *   - what nothing moves in is billed by the ledger as the model says
 *   - a site that is gone loses requests, and what left it is at another
 *   - a store keeps whole runs only, goes on after having been stopped, and runs only what is
 * missing
 *   - a program that fails is a named error, and its placement stays
 *   - what leaves a site for a night comes back by day, and that pays
 *   - what leaves it while its cache does not help comes back when caches help again
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>
#include <sqlite3.h>

#include "base/clock.h"
#include "scheduler/cli/simulate.h"
#include "simulator/world/experiment.h"
#include "simulator/world/fleet.h"
#include "simulator/world/plant.h"
#include "simulator/world/policy.h"
#include "simulator/world/run.h"
#include "simulator/world/scenario.h"
#include "simulator/world/store.h"
#include "simulator/world/truth.h"

static char folder[] = "simulate-XXXXXX";
static struct arena arena;

static void write_file(const char *name, const char *text)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *name)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    (void)unlink(path);
}

static const char *const files[] = {"scenario.yaml", "app.yaml",     "out.db",
                                    "out.db-wal",    "out.db-shm",   "again.db",
                                    "again.db-wal",  "again.db-shm", "program.sh"};

/* The edge costs twice a cloud's compute and a tenth of its egress: it pays when many ask. */
static const char app_text[] =
    "app: lens\n"
    "workloads:\n"
    "  - {name: front, contract: true, run: {driver: process, artifact: 'file:/bin/front'}, "
    "resources: {cpu: 500m, memory: 256MiB}, tiers: [edge, cloud], ready: {kind: contract}, "
    "calls: 900/s}\n"
    "  - {name: model, contract: true, run: {driver: process, artifact: 'file:/bin/model'}, "
    "resources: {cpu: 4, memory: 8GiB}, tiers: [edge, cloud], ready: {kind: contract}, "
    "calls: 900/s, state: 2GiB}\n"
    "users:\n  - {name: people, site: client/us-east}\n"
    "links:\n"
    "  - {from: people, to: front, calls: 900/s, request: 300B, response: 2KB}\n"
    "  - {from: front, to: model, calls: 900/s, request: 600B, response: 300B}\n";

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    arena_init(&arena, (size_t)256 << 20);
    write_file("app.yaml", app_text);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        remove_file(files[i]);
    arena_done(&arena);
    return rmdir(folder);
}

static void read_scenario(const char *rest, struct scenario *scenario)
{
    char text[4096];
    char path[LIMIT_PATH_BYTES];
    struct error err;
    str_format(text, sizeof(text),
               "scenario: test\nworld: %s/examples/worlds/us.yaml\napps: [app.yaml]\n"
               "from: 2026-03-02\n%s",
               BERTH_SOURCE_DIR, rest);
    write_file("scenario.yaml", text);
    str_format(path, sizeof(path), "%s/scenario.yaml", folder);
    if (scenario_read(path, &arena, scenario, &err) < 0)
        fail_msg("%s", err.text);
}

struct found {
    struct store_run runs[32];
    int count;
};

static int take(void *context, const struct store_run *run, struct error *err)
{
    struct found *found = context;
    (void)err;
    assert_true(found->count < 32);
    found->runs[found->count++] = *run;
    return 0;
}

static int simulate(const struct scenario *scenario, const char *name, int jobs, bool resume,
                    struct found *found, struct experiment_outcome *outcome, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct store *store = NULL;
    str_format(path, sizeof(path), "%s/%s", folder, name);
    struct experiment_options options = {
        .out = path, .resume = resume, .jobs = jobs, .solver = BERTH_BINARY_DIR "/bin/berth-solve"};
    int rc = experiment_run(scenario, &options, outcome, err);
    if (rc < 0)
        return rc;
    found->count = 0;
    assert_int_equal(store_open(path, true, &store, err), 0);
    assert_int_equal(store_runs(store, take, found, err), 0);
    store_close(store);
    return 0;
}

static void run_all(const char *rest, const char *name, int jobs, struct found *found)
{
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    read_scenario(rest, &scenario);
    remove_file(name);
    if (simulate(&scenario, name, jobs, false, found, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    if (outcome.failed > 0)
        fail_msg("%s", outcome.first.text);
}

static const struct store_run *run_of(const struct found *found, const char *policy)
{
    for (int i = 0; i < found->count; i++)
        if (strcmp(found->runs[i].policy, policy) == 0)
            return &found->runs[i];
    fail_msg("no run of %s", policy);
    return NULL;
}

static struct found found;
static struct found again;

static const char compared[] =
    "for: 6d\nnoise: 3%\n"
    "load:\n  - {of: lens, shape: diurnal, noise: 10%, week: [1, 1, 1, 1, 1, 0.5, 0.5]}\n"
    "events:\n  - {at: 3d, set: 'price.egress.aws*=x2'}\n"
    "experiment:\n  policies: [solver, forecast, optimum, stay, all-cloud, all-edge, one-provider, "
    "greedy, nearest]\n  seeds: 2\n";

static void nobody_is_below_the_bound(void **state)
{
    (void)state;
    run_all(compared, "out.db", 2, &found);
    assert_int_equal(found.count, 18);
    for (int i = 0; i < found.count; i++) {
        const struct run_result *result = &found.runs[i].result;
        assert_int_equal(result->bound_ppm, PPM);
        assert_true(result->bound > 0);
        if (result->score < result->bound)
            fail_msg("%s is below the bound", found.runs[i].policy);
        assert_int_equal(result->lost, 0);
        assert_int_equal(result->steps, 144);
    }
    const struct run_result *optimum = &run_of(&found, "optimum")->result;
    /* But for moves, and the hour's first seconds in which the last hour's placement still holds.
     */
    assert_true(optimum->score < optimum->bound + optimum->bound / 20);
    assert_true(run_of(&found, "stay")->result.moves == 0);
    assert_true(run_of(&found, "all-edge")->result.score > optimum->score);
}

static void equal_seeds_give_equal_hashes_with_any_number_of_jobs(void **state)
{
    (void)state;
    run_all(compared, "out.db", 3, &found);
    run_all(compared, "again.db", 1, &again);
    assert_int_equal(found.count, again.count);
    for (int i = 0; i < found.count; i++) {
        assert_string_equal(found.runs[i].key, again.runs[i].key);
        assert_true(found.runs[i].result.hash == again.runs[i].result.hash);
        for (int k = 0; k < i; k++)
            assert_true(found.runs[i].seed == found.runs[k].seed ||
                        found.runs[i].result.hash != found.runs[k].result.hash);
    }
}

/* In a thousandth: the ledger counts whole seconds and whole bytes. */
static void what_stands_still_is_billed_as_the_model_says(void **state)
{
    (void)state;
    run_all("for: 3d\npolicy: stay\n", "out.db", 1, &found);
    const struct run_result *result = &found.runs[0].result;
    assert_int_equal(result->moves, 0);
    nusd off = result->ledger - result->bill;
    off = off < 0 ? -off : off;
    if (off * 1000 > result->bill)
        fail_msg("ledger %.6f, model %.6f", (double)result->ledger / 1e9,
                 (double)result->bill / 1e9);
}

static void a_site_that_is_gone_is_left_and_loses_requests(void **state)
{
    (void)state;
    run_all("for: 2d\nevents:\n  - {at: 1d, for: 6h, down: edge/nyc}\n"
            "experiment:\n  policies: [solver, stay, all-edge]\n",
            "out.db", 2, &found);
    const struct run_result *solver = &run_of(&found, "solver")->result;
    const struct run_result *stay = &run_of(&found, "stay")->result;
    const struct run_result *edge = &run_of(&found, "all-edge")->result;
    assert_true(edge->lost > 0);
    if (stay->lost > 0) { /* it had something there */
        assert_true(solver->lost > 0);
        assert_true(solver->lost < stay->lost / 10);
        /* Six hours of it, at least. */
        assert_true(stay->down_us >= 6 * US_PER_HOUR);
    }
}

static void a_stopped_experiment_goes_on(void **state)
{
    (void)state;
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    static const char all[] = "for: 1d\nexperiment:\n  policies: [solver, stay]\n  seeds: 2\n";
    run_all(all, "out.db", 2, &found);
    assert_int_equal(found.count, 4);
    read_scenario(all, &scenario);
    assert_int_equal(simulate(&scenario, "out.db", 1, false, &again, &outcome, &err), ERR_EXISTS);
    assert_int_equal(simulate(&scenario, "out.db", 1, true, &again, &outcome, &err), 0);
    assert_int_equal(again.count, 4);
    for (int i = 0; i < 4; i++) /* they were not run again */
        assert_true(again.runs[i].wall_us == found.runs[i].wall_us);
    /* More seeds and another policy: what is there stays, the rest is run. */
    read_scenario("# a comment\nfor: 1d\nexperiment:\n  seeds: 3\n"
                  "  policies: [nearest, stay, solver]\n",
                  &scenario);
    assert_int_equal(simulate(&scenario, "out.db", 2, true, &again, &outcome, &err), 0);
    assert_int_equal(outcome.failed, 0);
    assert_int_equal(again.count, 9);
    int kept = 0;
    for (int i = 0; i < 9; i++)
        for (int k = 0; k < 4; k++)
            kept += strcmp(again.runs[i].key, found.runs[k].key) == 0 &&
                    again.runs[i].wall_us == found.runs[k].wall_us &&
                    strcmp(again.runs[i].policy, found.runs[k].policy) == 0 &&
                    again.runs[i].seed == found.runs[k].seed;
    assert_int_equal(kept, 4);
    /* Whatever a result depends on makes another run of it. */
    static const char *const others[] = {
        "for: 1d\nstep: 30min\n",
        "for: 1d\nnoise: 1%\n",
        "for: 1d\nseed: 2\n",
        "for: 1d\nload:\n  - {of: lens, scale: 1.1}\n",
        "for: 1d\nhandoff: {start: 4s}\n",
        "for: 1d\nevents:\n  - {at: 1h, set: 'price.egress.aws*=x2'}\n",
        "for: 1d\nevents:\n  - {at: 1h, set: 'price.egress.aws*=x3'}\n",
        "for: 1d\nnodes:\n  - {site: edge/nyc, cpu: 16, memory: 64GiB}\n"};
    char keys[9][STORE_KEY_BYTES];
    for (int i = 0; i < 9; i++) {
        read_scenario(i == 8 ? "for: 1d\n" : others[i], &scenario);
        struct scenario_cell cell = {.trace = -1, .seed = scenario.seed};
        assert_int_equal(experiment_key(&scenario, &cell, keys[i], &err), 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(keys[k], keys[i]);
    }
    /* Another file of that name is never written to. */
    write_file("again.db", "a letter to somebody, of more than sixteen bytes\n");
    assert_int_equal(simulate(&scenario, "again.db", 1, true, &again, &outcome, &err), ERR_CORRUPT);
}

/* What was run for another time stays in the file, and out of the means. */
static void means_are_of_one_experiment(void **state)
{
    (void)state;
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct experiment_mean *means = NULL;
    struct store *store = NULL;
    struct error err = {0};
    char path[LIMIT_PATH_BYTES];
    int count = 0;
    run_all("for: 1d\npolicy: stay\nbound: false\n", "out.db", 1, &found);
    read_scenario("for: 2d\npolicy: stay\nbound: false\n", &scenario);
    assert_int_equal(simulate(&scenario, "out.db", 1, true, &again, &outcome, &err), 0);
    assert_int_equal(again.count, 2);
    str_format(path, sizeof(path), "%s/out.db", folder);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(experiment_choose(&scenario, store, &err), 0);
    assert_int_equal(experiment_means(store, &arena, &means, &count, &err), 0);
    assert_int_equal(count, 1);
    assert_int_equal(means[0].seeds, 1);
    assert_true(means[0].of.to_us - means[0].of.from_us == 48 * US_PER_HOUR);
    assert_true(means[0].bill > 1.9 * (double)found.runs[0].result.bill / 1e9);
    store_close(store);
}

/* Two of one run would have one file for it, and each would take the other's for its own. */
static void one_experiment_at_a_time_writes(void **state)
{
    (void)state;
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct store *store = NULL;
    struct error err = {0};
    char path[LIMIT_PATH_BYTES];
    remove_file("out.db");
    str_format(path, sizeof(path), "%s/out.db", folder);
    read_scenario("for: 1h\npolicy: stay\n", &scenario);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(store_lock(store, &err), 0);
    assert_int_equal(simulate(&scenario, "out.db", 1, true, &found, &outcome, &err), ERR_LOCKED);
    assert_non_null(strstr(err.text, "another simulation writes to"));
    store_close(store);
    assert_int_equal(simulate(&scenario, "out.db", 1, true, &found, &outcome, &err), 0);
    assert_int_equal(found.count, 1);
}

static void write_program(const char *text)
{
    char path[LIMIT_PATH_BYTES];
    write_file("program.sh", text);
    str_format(path, sizeof(path), "%s/program.sh", folder);
    assert_int_equal(chmod(path, 0700), 0);
}

static void a_program_decides_and_its_failures_are_named(void **state)
{
    (void)state;
#define WITH_PROGRAM                                    \
    "for: 12h\nload:\n  - {of: lens, shape: diurnal}\n" \
    "experiment:\n  policies: [{name: mine, program: program.sh, args: 'aws/us-east-1'}]\n"
    static const char with_program[] = WITH_PROGRAM;
    static const char hurried[] = "program_timeout: 500ms\n" WITH_PROGRAM;
    /* Ordinary: everything at one site. */
    write_program("#!/bin/sh\nwhile read -r line; do echo "
                  "\"{\\\"place\\\":{\\\"default/lens/front\\\":\\\"$1\\\","
                  "\\\"default/lens/model\\\":\\\"$1\\\"}}\"; done\n");
    run_all(with_program, "out.db", 1, &found);
    assert_string_equal(found.runs[0].result.notes, "");
    assert_int_equal(found.runs[0].result.lost, 0);
    static const char *const failures[][2] = {
        {"#!/bin/sh\nread -r line; exit 3\n", "it has ended with 3"},
        {"#!/bin/sh\nread -r line; kill -9 $$\n", "it was killed by signal 9"},
        {"#!/bin/sh\nread -r line; echo nonsense; read -r line\n", "its answer is not"},
        {"#!/bin/sh\nread -r line; read -r line; read -r line\n", "has not answered within 500 ms"},
        {"#!/bin/sh\nread -r line; echo '{\"place\":{}}'; read -r line\n", "leaves a workload"},
        {"#!/bin/sh\nwhile read -r line; do echo '{\"place\":{\"default/lens/front\":"
         "\"client/us-east\",\"default/lens/model\":\"aws/us-east-1\"}}'; done\n",
         "breaks a rule"},
    };
    for (size_t i = 0; i < sizeof(failures) / sizeof(failures[0]); i++) {
        write_program(failures[i][0]);
        bool hangs = strstr(failures[i][1], "has not answered") != NULL;
        run_all(hangs ? hurried : with_program, "out.db", 1, &found);
        if (strstr(found.runs[0].result.notes, "mine") == NULL ||
            strstr(found.runs[0].result.notes, failures[i][1]) == NULL)
            fail_msg("\"%s\" is not in: %s", failures[i][1], found.runs[0].result.notes);
    }
}

/* What is said of the precision that was asked for. */
static void is_known(int64_t precision_ppm, const char *wanted)
{
    struct strbuf out;
    struct store *store = NULL;
    struct error err = {0};
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/out.db", folder);
    strbuf_init(&out, (size_t)1 << 20);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(simulate_write_text(store, precision_ppm, false, &out, &err), 0);
    if (strstr(strbuf_text(&out), wanted) == NULL)
        fail_msg("\"%s\" is not in %s", wanted, strbuf_text(&out));
    store_close(store);
    strbuf_done(&out);
}

static void seeds_are_added_until_the_mean_is_known(void **state)
{
    (void)state;
    run_all("for: 1d\nprecision: 20%\nload:\n  - {of: lens, noise: 5%}\n"
            "experiment:\n  policies: [stay]\n  seeds: 20\n",
            "out.db", 2, &found);
    assert_int_equal(found.count, 3);
    is_known(20 * PPM / 100, "within the 20.00 % of precision.");
    run_all("for: 1d\nprecision: 0.1%\nload:\n  - {of: lens, noise: 20%}\n"
            "experiment:\n  policies: [stay]\n  seeds: 6\n",
            "out.db", 2, &found);
    assert_int_equal(found.count, 6);
    is_known(PPM / 1000, "more than the 0.10 % of precision; experiment.seeds allows no more");
}

static void what_nothing_can_satisfy_is_said(void **state)
{
    (void)state;
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    run_all("for: 6h\nnodes:\n  - {site: edge/nyc, cpu: 100m, memory: 64MiB}\n"
            "policy: all-edge\nevents:\n  - {at: 1h, for: 2h, down: gcp}\n",
            "out.db", 1, &found);
    /* Nothing is left to be at from the second hour on: no bound, and why. */
    run_all("for: 6h\npolicy: stay\nevents:\n  - {at: 1h, set: 'remove.site=*/*'}\n", "out.db", 1,
            &found);
    const char *said =
        strstr(found.runs[0].result.notes, "no bound for 83.3 % of the time, first at");
    if (said == NULL || strstr(said, "no placement keeps all rules") == NULL)
        fail_msg("nothing is said of it: %s", found.runs[0].result.notes);
    read_scenario("for: 1d\nload:\n  - {of: lens/modle}\n", &scenario);
    remove_file("out.db");
    assert_int_equal(simulate(&scenario, "out.db", 1, false, &found, &outcome, &err), 0);
    assert_int_equal(outcome.failed, 1);
    assert_non_null(strstr(outcome.first.text, "load of \"lens/modle\""));
    assert_int_equal(found.count, 0);
    read_scenario("for: 1d\nevents:\n  - {at: 1h, down: edge/nyk}\n", &scenario);
    assert_int_equal(simulate(&scenario, "out.db", 1, true, &found, &outcome, &err), 0);
    assert_non_null(strstr(outcome.first.text, "did you mean edge/nyc?"));
}

struct demo_moves {
    struct run_move list[8];
    int count;
    char reasons[8][16];
};

static int keep_move(void *context, const struct run_move *move, struct error *err)
{
    struct demo_moves *moves = context;
    (void)err;
    assert_true(moves->count < 8);
    str_format(moves->reasons[moves->count], 16, "%.15s", move->reason);
    moves->list[moves->count++] = *move;
    return 0;
}

/* What script/demo waits for when it is really run: the source goes where its tag says, and when
 * the cache stops helping inference leaves the edge by itself, to the cloud where the source is. */
static void the_demo_moves_as_it_really_does(void **state)
{
    (void)state;
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    struct store *store = NULL;
    struct demo_moves moves = {.count = 0};
    char path[LIMIT_PATH_BYTES];
    if (scenario_read(BERTH_SOURCE_DIR "/examples/scenarios/demo.yaml", &arena, &scenario, &err) <
        0)
        fail_msg("%s", err.text);
    remove_file("out.db");
    assert_int_equal(simulate(&scenario, "out.db", 1, false, &found, &outcome, &err), 0);
    assert_int_equal(outcome.failed, 0);
    assert_int_equal(found.runs[0].result.lost, 0);
    str_format(path, sizeof(path), "%s/out.db", folder);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(store_moves(store, found.runs[0].key, keep_move, &moves, &err), 0);
    store_close(store);
    assert_int_equal(moves.count, 2);
    assert_string_equal(moves.list[0].workload, "source");
    assert_string_equal(moves.list[0].from, "gcp/us-central1");
    assert_string_equal(moves.list[0].to, "aws/us-east-1");
    assert_string_equal(moves.reasons[0], "retag");
    assert_string_equal(moves.list[1].workload, "inference");
    assert_string_equal(moves.list[1].from, "edge/nyc");
    assert_string_equal(moves.list[1].to, "aws/us-east-1");
    assert_string_equal(moves.reasons[1], "saving");
}

/* By night the edge does not pay for the shop's inference, by day it does. What was measured of its
 * cache there is old by then; what is measured in the cloud agrees with it. */
static void what_leaves_for_a_night_comes_back(void **state)
{
    (void)state;
    char text[2048];
    char path[LIMIT_PATH_BYTES];
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    str_format(text, sizeof(text),
               "scenario: nights\nworld: %s/examples/worlds/demo.yaml\n"
               "apps: [%s/examples/apps/shop.yaml]\nfrom: 2026-03-02\nfor: 4d\nnoise: 3%%\n"
               "load:\n  - {of: shop, shape: diurnal, calls: 200/s, noise: 10%%}\n"
               "experiment:\n  policies: [solver, stay]\n",
               BERTH_SOURCE_DIR, BERTH_SOURCE_DIR);
    write_file("scenario.yaml", text);
    str_format(path, sizeof(path), "%s/scenario.yaml", folder);
    if (scenario_read(path, &arena, &scenario, &err) < 0)
        fail_msg("%s", err.text);
    remove_file("out.db");
    if (simulate(&scenario, "out.db", 2, false, &found, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    const struct run_result *moved = &run_of(&found, "solver")->result;
    assert_true(moved->moves >= 6 && moved->moves % 2 == 0);
    assert_true(moved->score < run_of(&found, "stay")->result.score);
    assert_true(moved->bill < run_of(&found, "stay")->result.bill);
}

/* For two days the cache hardly helps, anywhere: what left the edge for that comes back when it is
 * over, told by what is measured in the cloud. */
static void what_leaves_in_a_dip_comes_back(void **state)
{
    (void)state;
    char text[2048];
    char path[LIMIT_PATH_BYTES];
    struct scenario scenario;
    struct experiment_outcome outcome;
    struct error err = {0};
    struct store *store = NULL;
    struct demo_moves moves = {.count = 0};
    str_format(text, sizeof(text),
               "scenario: dip\nworld: %s/examples/worlds/demo.yaml\n"
               "apps: [%s/examples/apps/shop.yaml]\nfrom: 2026-03-02\nfor: 9d\nnoise: 3%%\n"
               "load:\n  - {of: shop, calls: 200/s, noise: 5%%}\n"
               "events:\n  - {at: 2d, for: 2d, set: 'cache.hit.shop/inference=0.3'}\n",
               BERTH_SOURCE_DIR, BERTH_SOURCE_DIR);
    write_file("scenario.yaml", text);
    str_format(path, sizeof(path), "%s/scenario.yaml", folder);
    if (scenario_read(path, &arena, &scenario, &err) < 0)
        fail_msg("%s", err.text);
    remove_file("out.db");
    if (simulate(&scenario, "out.db", 1, false, &found, &outcome, &err) < 0)
        fail_msg("%s", err.text);
    str_format(path, sizeof(path), "%s/out.db", folder);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(store_moves(store, found.runs[0].key, keep_move, &moves, &err), 0);
    store_close(store);
    assert_int_equal(moves.count, 2);
    for (int i = 0; i < 2; i++) {
        int64_t day_us = moves.list[i].at_us - scenario.from_us - (2 + 2 * i) * 24 * US_PER_HOUR;
        assert_true(day_us >= 0 && day_us <= 2 * US_PER_HOUR);
        assert_string_equal(i == 0 ? moves.list[i].from : moves.list[i].to, "edge/nyc");
    }
}

static int columns(const char *line)
{
    int count = 1;
    for (; *line != 0 && *line != '\r'; line++)
        count += *line == ',';
    return count;
}

/* The columns of the view of FOCUS are those of the CSV, in its order. */
static int compare_head(void *context, const struct strbuf *text, struct error *err)
{
    sqlite3_stmt *statement = context;
    char head[4096] = "";
    (void)err;
    for (int i = 0; i < sqlite3_column_count(statement); i++)
        str_format(head + strlen(head), sizeof(head) - strlen(head), "%s%s", i > 0 ? "," : "",
                   sqlite3_column_name(statement, i));
    size_t bytes = strlen(head);
    if (text->bytes < bytes || memcmp(text->text, head, bytes) != 0 || text->text[bytes] != '\r')
        fail_msg("%s\nis not the head of\n%.1500s", head, text->text);
    /* And its values: the first row of both, but for amounts, which are real numbers there. */
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *row = strchr(text->text, '\n') + 1;
    for (int i = 0; i < 20; i++) {
        const char *value = (const char *)sqlite3_column_text(statement, i);
        if (strncmp(row, value, strlen(value)) != 0 || row[strlen(value)] != ',')
            fail_msg("%s is %s, not %.80s", sqlite3_column_name(statement, i), value, row);
        row += strlen(value) + 1;
    }
    return ERR_STALE; /* the head is enough */
}

static int count_rows(void *context, const struct strbuf *text, struct error *err)
{
    int *rows = context;
    (void)err;
    for (size_t i = 0; i < text->bytes; i++)
        *rows += text->text[i] == '\n';
    return 0;
}

static void results_are_written_as_text_json_csv_and_focus(void **state)
{
    (void)state;
    struct strbuf out;
    struct store *store = NULL;
    struct error err = {0};
    char path[LIMIT_PATH_BYTES];
    run_all("for: 1d\nexperiment:\n  policies: [solver, stay]\n", "out.db", 2, &found);
    str_format(path, sizeof(path), "%s/out.db", folder);
    strbuf_init(&out, (size_t)1 << 20);
    assert_int_equal(store_open(path, true, &store, &err), 0);
    assert_int_equal(simulate_write_text(store, 0, false, &out, &err), 0);
    assert_non_null(strstr(strbuf_text(&out), "LOWER BOUND"));
    strbuf_reset(&out);
    assert_int_equal(simulate_write_json(store, &out, &err), 0);
    json_error_t why;
    json_t *root = json_loads(strbuf_text(&out), 0, &why);
    assert_int_equal(json_array_size(json_object_get(root, "runs")), 2);
    assert_int_equal(json_array_size(json_object_get(root, "means")), 2);
    json_decref(root);
    strbuf_reset(&out);
    assert_int_equal(simulate_write_csv(store, &out, &err), 0);
    const char *second = strchr(strbuf_text(&out), '\n') + 1;
    assert_int_equal(columns(strbuf_text(&out)), columns(second));
    /* 24 hours of at least CPU and memory of two workloads, of each run, and the head. */
    int lines = 0;
    assert_int_equal(store_focus(store, count_rows, &lines, &err), 0);
    assert_true(lines >= 1 + 2 * 24 * 4);
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT * FROM focus", -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(store_focus(store, compare_head, statement, &err), ERR_STALE);
    (void)sqlite3_finalize(statement);
    (void)sqlite3_close(db);
    store_close(store);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_below_the_bound),
        cmocka_unit_test(equal_seeds_give_equal_hashes_with_any_number_of_jobs),
        cmocka_unit_test(what_stands_still_is_billed_as_the_model_says),
        cmocka_unit_test(a_site_that_is_gone_is_left_and_loses_requests),
        cmocka_unit_test(a_stopped_experiment_goes_on),
        cmocka_unit_test(means_are_of_one_experiment),
        cmocka_unit_test(one_experiment_at_a_time_writes),
        cmocka_unit_test(a_program_decides_and_its_failures_are_named),
        cmocka_unit_test(seeds_are_added_until_the_mean_is_known),
        cmocka_unit_test(what_nothing_can_satisfy_is_said),
        cmocka_unit_test(results_are_written_as_text_json_csv_and_focus),
        cmocka_unit_test(the_demo_moves_as_it_really_does),
        cmocka_unit_test(what_leaves_for_a_night_comes_back),
        cmocka_unit_test(what_leaves_in_a_dip_comes_back),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
