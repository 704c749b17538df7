/*
 * What a month has used, and state that takes its time, in a virtual world:
 *
 *   - the price that a tier asks next decides: a workload leaves its provider when the month's free
 *     volume is used, and is back in the next month; with the ledger left out nobody knows
 *   - what the model says of those hours is what the ledger charges, within what a tier's hour has
 *   - state over a thin line is shipped in the end, and the notes say what that took
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
#include "simulator/world/scenario.h"

#define MOVES_MAX 64

static char folder[] = "month-XXXXXX";
static struct arena arena;
static struct solver *solver;

struct seen {
    struct run_move moves[MOVES_MAX];
    int count;
    nusd charged; /* for egress */
    nusd predicted;
};

static void write_file(const char *name, const char *text)
{
    char path[LIMIT_PATH_BYTES];
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* 100 answers of 40 KB a second are 10.5 TB a month: `free` has 5 TB for nothing and is dear then,
 * `flat` always asks the same. */
static const char world_text[] =
    "world: tiers\n"
    "accounts: [{name: f, provider: free}, {name: g, provider: flat}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client, geo: [40, -75]}\n"
    "  - {name: free/one, tier: cloud, account: f, geo: [40, -75], price: {cpu: 0.03, memory: "
    "0.004}}\n"
    "  - {name: flat/one, tier: cloud, account: g, geo: [40, -75], price: {cpu: 0.03, memory: "
    "0.004}}\n"
    "egress:\n"
    "  - {name: free-out, from: free/*, to: '*', per: GB, tiers: [{up_to: 5000GB, price: 0}, "
    "{price: 0.2}]}\n"
    "  - {name: flat-out, from: flat/*, to: '*', per: GB, tiers: [{price: 0.12}]}\n"
    "policy: {horizon: 24h, dwell: 10min, settle: 2s, metric_age_max: 2h}\n";

static const char app_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - {name: api, contract: true, run: {driver: process, artifact: 'file:/bin/api'}, "
    "resources: {cpu: 500m, memory: 256MiB}, tiers: [cloud], ready: {kind: contract}}\n"
    "users: [{name: people, site: client/web}]\n"
    "links: [{from: people, to: api, calls: 100/s, request: 300B, response: 40KB}]\n";

static const char store_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - {name: db, contract: true, handoff: stateful, state: 2GiB, run: {driver: process, "
    "artifact: 'file:/bin/db'}, resources: {cpu: 500m, memory: 256MiB}, tiers: [cloud], ready: "
    "{kind: "
    "contract}, "
    "require: {cloud: free}}\n"
    "users: [{name: people, site: client/web}]\n"
    "links: [{from: people, to: db, calls: 1/s, request: 300B, response: 1KB}]\n";

static int setup(void **state)
{
    struct error err;
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/berth-solve"};
    (void)state;
    assert_non_null(mkdtemp(folder));
    arena_init(&arena, (size_t)64 << 20);
    write_file("world.yaml", world_text);
    write_file("app.yaml", app_text);
    write_file("store.yaml", store_text);
    return solver_open(&options, &solver, &err);
}

static int teardown(void **state)
{
    static const char *const names[] = {"world.yaml", "app.yaml", "store.yaml"};
    char path[LIMIT_PATH_BYTES];
    (void)state;
    solver_close(solver);
    arena_done(&arena);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        str_format(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static int take_move(void *context, const struct run_move *move, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    assert_true(seen->count < MOVES_MAX);
    seen->moves[seen->count++] = *move;
    return 0;
}

static int take_row(void *context, const struct ledger_row *row, struct error *err)
{
    struct seen *seen = context;
    (void)err;
    if (strcmp(row->term, "egress") == 0) {
        seen->charged += row->amount;
        seen->predicted += row->predicted;
    }
    return 0;
}

static void simulate(const char *app, const char *rest, struct seen *seen,
                     struct run_result *result)
{
    char text[2048];
    char file[LIMIT_PATH_BYTES];
    struct scenario scenario;
    struct error err;
    struct scenario_cell cell = {.trace = -1, .seed = 1};
    struct run_sink sink = {.context = seen, .move = take_move, .row = take_row};
    memset(seen, 0, sizeof(*seen));
    str_format(file, sizeof(file), "%s/scenario.yaml", folder);
    str_format(text, sizeof(text), "scenario: s\nworld: world.yaml\napps: [%s]\n%s", app, rest);
    if (scenario_parse(file, text, strlen(text), &arena, &scenario, &err) < 0 ||
        run_simulate(&scenario, &cell, solver, &sink, result, &err) < 0)
        fail_msg("%s", err.text);
}

static struct seen seen;
static struct run_result result;

static void a_passed_tier_moves_it_and_a_new_month_brings_it_back(void **state)
{
    (void)state;
    static const char rest[] = "from: 2026-03-01\nfor: 45d\n";
    simulate("app.yaml", rest, &seen, &result);
    assert_int_equal(result.moves, 2);
    assert_string_equal(seen.moves[0].from, "free/one");
    assert_string_equal(seen.moves[0].to, "flat/one");
    /* A month from here would cost as much as with `flat` when it is 30 % used already; all is used
     * after 14.5 days. */
    int64_t hours = (seen.moves[0].at_us - INT64_C(1772323200) * US_PER_S) / US_PER_HOUR;
    assert_in_range(hours, 24, 15 * 24);
    assert_string_equal(seen.moves[1].to, "free/one");
    hours = (seen.moves[1].at_us - INT64_C(1775001600) * US_PER_S) / US_PER_HOUR;
    assert_in_range(hours, 0, 2); /* of April */
    /* Without a ledger there are no meters: every hour begins at the document's month to date. */
    char blind[128];
    str_format(blind, sizeof(blind), "%sledger: false\n", rest);
    simulate("app.yaml", blind, &seen, &result);
    assert_int_equal(result.moves, 0);
}

/* In the free volume the model says what a whole month from there would cost; past it both say the
 * same. */
static void predictions_follow_the_month(void **state)
{
    (void)state;
    simulate("app.yaml", "from: 2026-03-20\nfor: 10d\npolicy: stay\n", &seen, &result);
    nusd before = seen.predicted;
    assert_int_equal(seen.charged, 0); /* 3.5 TB of 5 */
    assert_true(before > 0);
    simulate("app.yaml", "from: 2026-03-01\nfor: 31d\npolicy: stay\n", &seen, &result);
    /* 10.7 TB less 5, and each day's part of a month that begins where it stands. */
    assert_in_range((uint64_t)seen.charged / 1000000000, 1120, 1160);
    assert_true(seen.predicted > seen.charged);
    /* As if every hour began the month: what it was without the meters. */
    assert_true(seen.predicted > INT64_C(1300) * 1000000000);
}

static void state_over_a_thin_line_arrives(void **state)
{
    (void)state;
    simulate("store.yaml",
             "from: 2026-03-01\nfor: 2d\nhandoff: {ship: 4MB/s}\n"
             "events:\n  - {at: 1h, set: 'retag.shop/db=cloud:flat'}\n",
             &seen, &result);
    assert_int_equal(result.moves, 1);
    assert_int_equal(result.moves_back, 1);
    assert_string_equal(seen.moves[1].to, "flat/one");
    assert_non_null(strstr(result.notes, "state was not shipped in time 1 times, first shop/db: "
                                         "round 1 of its state (2097152 KiB) was not imported in "
                                         "632 s; the next try has 1264 s for it"));
    /* Thinner still: what changes in a round is not shipped within a freeze. Nobody is frozen for
     * it, and the tries come further and further apart. */
    simulate("store.yaml",
             "from: 2026-03-01\nfor: 2d\nhandoff: {ship: 2MB/s}\n"
             "events:\n  - {at: 1h, set: 'retag.shop/db=cloud:flat'}\n",
             &seen, &result);
    assert_int_equal(result.moves, 0);
    assert_in_range(result.moves_back, 5, 15);
    assert_int_equal(result.lost, 0);
    assert_non_null(strstr(result.notes, "last shop/db: its state changes faster than it is "
                                         "shipped: round 4 (20971 KiB) took 21 s, and a freeze "
                                         "waits 20 s (timeouts.drain)"));
    /* Of a wide one nothing is said. */
    simulate("store.yaml",
             "from: 2026-03-01\nfor: 2d\n"
             "events:\n  - {at: 1h, set: 'retag.shop/db=cloud:flat'}\n",
             &seen, &result);
    assert_int_equal(result.moves, 1);
    assert_int_equal(result.moves_back, 0);
    assert_null(strstr(result.notes, "shipped"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_passed_tier_moves_it_and_a_new_month_brings_it_back),
        cmocka_unit_test(predictions_follow_the_month),
        cmocka_unit_test(state_over_a_thin_line_arrives),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
