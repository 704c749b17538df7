/*
 * What a simulation spares changes no decision and no sum: measures that are still fresh are not
 * told again before every answer, a problem that was just solved is not solved again, and an app is
 * charged when it moves, not when another one does. A run that spares nothing (scenario_cell.plain)
 * makes the same moves at the same instants, at the same cost: two weeks of 30 apps at five sites,
 * a week where all apps fill up one account's egress tiers and a site is full, and a week with the
 * ledger and the bound, in which a site is gone, a price changes and half of the apps have caches.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "simulator/world/run.h"
#include "simulator/world/scenario.h"

#define APPS      30
#define MOVES_MAX 20000
#define NEAR_NUSD 1000 /* a millionth of a dollar */

static char folder[] = "simulate-plain-XXXXXX";

/* Every move, and what of it may not differ. */
struct record {
    struct run_move *moves;
    int count;
    struct run_result result;
};

static FILE *begin_file(const char *name)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    return file;
}

static void write_world(bool tight)
{
    FILE *file = begin_file("world.yaml");
    (void)fprintf(file, "world: plain\naccounts:\n  - {name: edge, provider: e}\n"
                        "  - {name: cloud, provider: c}\nsites:\n"
                        "  - {name: client/west, tier: client, geo: [40.0, -120.0]}\n"
                        "  - {name: client/east, tier: client, geo: [40.0, -70.0]}\n");
    for (int i = 0; i < 5; i++)
        (void)fprintf(file,
                      "  - {name: %s/r%d, tier: %s, account: %s, geo: [%d.0, %d.0], "
                      "%sprice: {cpu: 0.0%d, memory: 0.00%d}}\n",
                      i < 2 ? "e" : "c", i, i < 2 ? "edge" : "cloud", i < 2 ? "edge" : "cloud",
                      36 + i, -125 + 15 * i,
                      tight && i == 0 ? "capacity: {cpu: 24, memory: 64GiB}, " : "",
                      i < 2 ? 58 + i : 28 + i, 29 + i);
    (void)fprintf(file,
                  "egress:\n"
                  "  - {name: near, from: e/*, to: \"*\", payer: sender, per: GiB, "
                  "tiers: [{price: 0.010}]}\n"
                  "  - {name: far, from: c/*, to: \"*\", payer: sender, per: GiB, "
                  "tiers: [%s{price: 0.085}]}\n",
                  tight ? "{up_to: 4096GiB, price: 0.120}, " : "");
    (void)fprintf(file, "latency: {mode: declared}\nweights: {latency: 0.000005}\n"
                        "policy: {moves: 8, settle: 5min, dwell: 50min, horizon: 24h}\n");
    assert_int_equal(fclose(file), 0);
}

static void write_app(int app, bool caches)
{
    char name[64];
    str_format(name, sizeof(name), "a%d.yaml", app);
    FILE *file = begin_file(name);
    int calls = 20 + app * 37 % 400;
    bool cache = caches && app % 2 == 1;
    static const char run_of[] = "run: {driver: process, artifact: 'file:/bin/true'}, "
                                 "contract: true, ready: {kind: contract}";
    (void)fprintf(file,
                  "app: a%d\nworkloads:\n"
                  "  - {name: front, %s, resources: {cpu: %dm, memory: 256MiB}, "
                  "tiers: [edge, cloud], calls: %d/s%s}\n"
                  "  - {name: model, %s, resources: {cpu: %d, memory: 4GiB}, "
                  "tiers: [edge, cloud], calls: %d/s, state: 64MiB}\n"
                  "users:\n  - {name: people, site: client/%s}\nlinks:\n"
                  "  - {from: people, to: front, calls: %d/s, request: 300B, response: %dKB}\n"
                  "  - {from: front, to: model, calls: %d/s, request: 600B, response: 300B%s}\n",
                  app, run_of, 250 + app % 4 * 250, calls,
                  cache ? ", cache: {curve: [{calls: 10/s, hit: 50%}, {calls: 500/s, hit: 90%}]}"
                        : "",
                  run_of, 1 + app % 4, calls, app % 2 == 0 ? "west" : "east", calls, 1 + app % 12,
                  calls, cache ? ", on_miss: true" : "");
    assert_int_equal(fclose(file), 0);
}

static void write_scenario(int hours, bool whole)
{
    FILE *file = begin_file("scenario.yaml");
    (void)fprintf(file,
                  "scenario: plain\nworld: world.yaml\nfrom: 2026-01-05\nfor: %dh\nstep: 1h\n"
                  "every: 24h\nwarmup: 6h\nnoise: 2%%\nbound: %s\nledger: %s\n"
                  "policy: solver\nslo: 40ms\n%sapps:\n",
                  hours, whole ? "true" : "false", whole ? "true" : "false",
                  whole ? "events:\n  - {at: 50h, for: 90min, down: e/r1}\n"
                          "  - {at: 75h, for: 10h, set: price.egress.near=x3}\n"
                        : "");
    for (int i = 0; i < APPS; i++)
        (void)fprintf(file, "  - a%d.yaml\n", i);
    (void)fprintf(file, "load:\n");
    for (int i = 0; i < APPS; i++)
        (void)fprintf(file,
                      "  - {of: a%d, shape: diurnal, utc_offset: %d, noise: 5%%, "
                      "week: [1, 1, 1, 1, 1, 0.6, 0.6]}\n",
                      i, -8 + 3 * (i % 2));
    assert_int_equal(fclose(file), 0);
}

static int take(void *context, const struct run_move *move, struct error *err)
{
    struct record *record = context;
    (void)err;
    assert_true(record->count < MOVES_MAX);
    record->moves[record->count++] = *move;
    return 0;
}

static void run(bool plain, struct record *record)
{
    char path[LIMIT_PATH_BYTES];
    struct arena arena;
    struct scenario scenario;
    struct solver *solver = NULL;
    struct error err = {0};
    struct scenario_cell cell = {.trace = -1, .seed = 1, .plain = plain};
    struct run_sink sink = {.context = record, .move = take};
    *record = (struct record){.moves = calloc(MOVES_MAX, sizeof(*record->moves))};
    assert_non_null(record->moves);
    arena_init(&arena, (size_t)256 << 20);
    str_format(path, sizeof(path), "%s/scenario.yaml", folder);
    int rc = scenario_read(path, &arena, &scenario, &err);
    if (rc == 0)
        rc = solver_open(&(struct solver_options){.program = BERTH_BINARY_DIR "/bin/berth-solve"},
                         &solver, &err);
    if (rc == 0)
        rc = run_simulate(&scenario, &cell, solver, &sink, &record->result, &err);
    if (rc < 0)
        fail_msg("%s", err.text);
    solver_close(solver);
    arena_done(&arena);
}

/* An app's score of a meter is rounded by itself, and each charge of the ledger. */
static void assert_near(nusd a, nusd b)
{
    nusd apart = a < b ? b - a : a - b;
    if (apart > NEAR_NUSD)
        fail_msg("%lld and %lld nano-dollars", (long long)a, (long long)b);
}

static void compare(bool tight, bool whole, int hours)
{
    struct record fast;
    struct record plain;
    for (int i = 0; i < APPS; i++)
        write_app(i, whole);
    write_world(tight);
    write_scenario(hours, whole);
    run(false, &fast);
    run(true, &plain);
    assert_true(fast.count > hours / 24); /* something did move, or this says nothing */
    assert_int_equal(fast.count, plain.count);
    for (int i = 0; i < fast.count; i++) {
        const struct run_move *a = &fast.moves[i];
        const struct run_move *b = &plain.moves[i];
        if (a->at_us != b->at_us || a->took_us != b->took_us || a->once != b->once ||
            !str_equal(a->app, b->app) || !str_equal(a->workload, b->workload) ||
            !str_equal(a->from, b->from) || !str_equal(a->to, b->to) ||
            !str_equal(a->state, b->state) || !str_equal(a->reason, b->reason))
            fail_msg("move %d: %s/%s from %s to %s at %lld, and %s/%s from %s to %s at %lld", i,
                     a->app, a->workload, a->from, a->to, (long long)a->at_us, b->app, b->workload,
                     b->from, b->to, (long long)b->at_us);
    }
    assert_true(fast.result.bill == plain.result.bill);
    assert_near(fast.result.score, plain.result.score);
    assert_true(fast.result.bound == plain.result.bound);
    assert_true(fast.result.bound_ppm == plain.result.bound_ppm);
    assert_near(fast.result.bound_score, plain.result.bound_score);
    assert_near(fast.result.ledger, plain.result.ledger);
    assert_true(whole == (fast.result.ledger > 0 && fast.result.bound > 0));
    assert_true(fast.result.calls == plain.result.calls);
    assert_true(fast.result.slow == plain.result.slow);
    assert_true(fast.result.lost == plain.result.lost);
    assert_true(whole == (fast.result.lost > 0));
    assert_true(fast.result.down_us == plain.result.down_us);
    assert_true(fast.result.moves_bill == plain.result.moves_bill);
    assert_true(fast.result.moves == plain.result.moves);
    assert_true(fast.result.moves_back == plain.result.moves_back);
    assert_true(fast.result.rtt_us == plain.result.rtt_us);
    assert_int_equal(plain.result.counts.reused, 0);
    assert_true(fast.result.counts.events < plain.result.counts.events);
    free(fast.moves);
    free(plain.moves);
}

static void two_weeks_move_alike(void **state)
{
    (void)state;
    compare(false, false, 336);
}

static void so_does_a_week_of_tiers_and_a_full_site(void **state)
{
    (void)state;
    compare(true, false, 168);
}

static void and_so_do_books_caches_and_events(void **state)
{
    (void)state;
    compare(false, true, 168);
}

static int setup(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int teardown(void **state)
{
    char path[LIMIT_PATH_BYTES];
    (void)state;
    for (int i = -2; i < APPS; i++) {
        if (i < 0)
            str_format(path, sizeof(path), "%s/%s.yaml", folder, i == -2 ? "world" : "scenario");
        else
            str_format(path, sizeof(path), "%s/a%d.yaml", folder, i);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_weeks_move_alike),
        cmocka_unit_test(so_does_a_week_of_tiers_and_a_full_site),
        cmocka_unit_test(and_so_do_books_caches_and_events),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
