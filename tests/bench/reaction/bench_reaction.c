/*
 * bench_reaction [--apps 1..125] [--trials N]: from a changed metric to the first command, 1,000
 * workloads x 20 sites.
 *
 * A real nats-server, a real `berth scheduler` with its journal and its solver; the nodes' side is
 * played (fleet.h). Everything runs and is measured every second. A trial publishes one batch of
 * one node in which one workload's requests have grown, so that its place next to its caller is
 * worth more than its cheap compute; the clock runs from just before that publish to the arrival of
 * the first STAGE or START at any node. The next trial heats another app, when all is quiet.
 *
 * Counted is all of it, from the publish on. "metrics" is until the change is told as an estimate:
 * it counts as soon as all sources of its workload have spoken in this second and agree, else when
 * the second of the scheduler's clock is over ("its second would end": that wait, which is no part
 * of the sum). "settle" is the policy's, and other solves under way; "command" is all after the
 * plan: the core's step, the journal's commit, the bus. The baseline, of the same solves: the way
 * to berth-solve and back alone, in which nothing but the problem is decided; and as a floor of
 * everything else, the round trip of a control request through the same scheduler. Exit status 1
 * when a heated workload never moves or p99 is above 1 s.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/reaction/figures.h"
#include "tests/bench/reaction/fleet.h"

#define P99_MAX_US      US_PER_S
#define METRICS_STEP_US US_PER_S /* a tenth of metrics' windows of 10 s */
#define MISSING_US      (30 * US_PER_S)
#define QUIET_US        US_PER_S
#define TOLD_EVERY      25 /* changes; all take some four minutes */

enum {
    ALL,
    METRICS,
    SETTLE,
    INPUT,
    PROBLEM,
    ENCODE,
    SOLVE,
    ANSWER,
    COMMAND,
    SECOND,
    REQUEST,
    KINDS
};

static struct fleet fleet;
static struct figures figures[KINDS] = {
    {.name = "publish to first command"},
    {.name = "  metrics"},
    {.name = "  settle"},
    {.name = "  input"},
    {.name = "  problem"},
    {.name = "  encode"},
    {.name = "  solve"},
    {.name = "  answer"},
    {.name = "  command"},
    {.name = "(its second would end)"},
    {.name = "(a request)"},
};
static int64_t apps = FLEET_APPS_MAX;
static int64_t trials = FLEET_APPS_MAX;
static int missing;
static int others;
static int64_t slowest_us;
static char slowest[512]; /* where its time went */

static void request_floor(void)
{
    int64_t from_us = clock_mono_now().us;
    json_decref(fleet_ctl(&fleet, "info", (struct message_request){0}));
    figures_add(&figures[REQUEST], clock_mono_now().us - from_us);
}

static void trial(int app, long *log_at)
{
    char name[LIMIT_NAME_BYTES];
    char leaf[LIMIT_NAME_BYTES];
    struct solved solved;
    str_format(name, sizeof(name), "a%d", app);
    str_format(leaf, sizeof(leaf), "w%d", FLEET_LEAF);
    /* At any phase of the nodes' second: a change does not wait for their clock. */
    int64_t until_us = clock_mono_now().us + (app * 77377) % US_PER_S;
    while (clock_mono_now().us < until_us)
        fleet_turn(&fleet, 10);
    int64_t before = fleet.commands;
    int64_t wall_us = clock_wall_now().us;
    int64_t from_us = fleet_heat(&fleet, app);
    while (fleet.commands == before && clock_mono_now().us - from_us < MISSING_US)
        fleet_turn(&fleet, 100);
    if (fleet.commands == before) {
        missing++;
        return;
    }
    others += !str_equal(fleet.command_app, name) || !str_equal(fleet.command_workload, leaf);
    int64_t all_us = fleet.command_us - from_us;
    figures_add(&figures[ALL], all_us);
    figures_add(&figures[SECOND], METRICS_STEP_US - wall_us % METRICS_STEP_US);
    fleet_quiet(&fleet, QUIET_US);
    if (!figures_solved(fleet.log, log_at, wall_us, wall_us + all_us, &solved))
        return;
    int64_t told_us = solved.told_us > wall_us ? solved.told_us : wall_us; /* others before it */
    int64_t own_us =
        solved.input_us + solved.problem_us + solved.encode_us + solved.solve_us + solved.answer_us;
    figures_add(&figures[METRICS], told_us - wall_us);
    figures_add(&figures[SETTLE], solved.begin_us - told_us);
    figures_add(&figures[INPUT], solved.input_us);
    figures_add(&figures[PROBLEM], solved.problem_us);
    figures_add(&figures[ENCODE], solved.encode_us);
    figures_add(&figures[SOLVE], solved.solve_us);
    figures_add(&figures[ANSWER], solved.answer_us);
    figures_add(&figures[COMMAND], wall_us + all_us - solved.begin_us - own_us);
    if (all_us <= slowest_us)
        return;
    slowest_us = all_us;
    str_format(slowest, sizeof(slowest),
               "the slowest, app a%d, %" PRId64 " ms into its second: metrics %" PRId64
               ", settle %" PRId64 ", solve and its preparation %" PRId64 ", command %" PRId64
               " ms",
               app, wall_us % US_PER_S / US_PER_MS, (told_us - wall_us) / US_PER_MS,
               (solved.begin_us - told_us) / US_PER_MS, own_us / US_PER_MS,
               (wall_us + all_us - solved.begin_us - own_us) / US_PER_MS);
}

static void print_all(void)
{
    printf("%d workloads in %d apps, %d sites (and %d of clients); policy: %s\n",
           (int)apps * FLEET_APP_PARTS, (int)apps, FLEET_SITES, FLEET_CLIENTS, fleet_policy);
    printf("%d changes of one workload's calls, %d/s to %d/s; %d first commands were for another "
           "workload\n\n",
           figures[ALL].count + missing, FLEET_LEAF_CPS, FLEET_HOT_CPS, others);
    printf("%-26s %6s %12s %12s %12s\n", "", "count", "median", "p99", "longest");
    for (int i = 0; i < KINDS; i++)
        printf("%-26s %6d %9.1f ms %9.1f ms %9.1f ms\n", figures[i].name, figures[i].count,
               (double)figures_quantile(&figures[i], 50) / 1e3,
               (double)figures_quantile(&figures[i], 99) / 1e3,
               (double)figures_quantile(&figures[i], 100) / 1e3);
    printf("%s\n", slowest);
    int64_t solve_us = figures_quantile(&figures[SOLVE], 50);
    int64_t p50_us = figures_quantile(&figures[ALL], 50);
    int64_t p99_us = figures_quantile(&figures[ALL], 99);
    printf(
        "\npublish to first command / the solver alone: %.1f (medians); p99 %.3f s, of 1 s: %s\n",
        solve_us > 0 ? (double)p50_us / (double)solve_us : 0, (double)p99_us / 1e6,
        p99_us <= P99_MAX_US && missing == 0 ? "reached" : "MISSED");
    printf("{\"bench\":\"reaction\",\"workloads\":%d,\"sites\":%d,\"trials\":%d,\"missing\":%d,"
           "\"p50_us\":%" PRId64 ",\"p99_us\":%" PRId64 ",\"solve_p50_us\":%" PRId64 "}\n",
           (int)apps * FLEET_APP_PARTS, FLEET_SITES, figures[ALL].count + missing, missing, p50_us,
           p99_us, solve_us);
}

/* cmocka only because the server's helper reports through it. */
static void bench(void **state)
{
    (void)state;
    long log_at = 0;
    int64_t began_us = clock_mono_now().us;
    /* The metrics' windows are 10 s: then the nodes' word has replaced every prior. */
    fleet_begin(&fleet, (int)apps, 12 * US_PER_S);
    printf("all placed, running and measured after %.1f s\n",
           (double)(clock_mono_now().us - began_us) / 1e6);
    fflush(stdout);
    for (int i = 0; i < trials && i < apps; i++) {
        request_floor();
        trial(i, &log_at);
        if ((i + 1) % TOLD_EVERY == 0) {
            printf("%d of %d changes after %.0f s\n", i + 1, (int)(trials < apps ? trials : apps),
                   (double)(clock_mono_now().us - began_us) / 1e6);
            fflush(stdout);
        }
    }
    print_all();
}

static int clean_up(void **state)
{
    (void)state;
    fleet_end(&fleet);
    return 0;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        int64_t *value = str_equal(argv[i], "--apps")     ? &apps
                         : str_equal(argv[i], "--trials") ? &trials
                                                          : NULL;
        if (value == NULL || i + 1 == argc || str_to_i64(argv[i + 1], value) < 0 || *value < 1 ||
            *value > FLEET_APPS_MAX) {
            fprintf(stderr, "usage: bench_reaction [--apps 1..%d] [--trials 1..%d]\n",
                    FLEET_APPS_MAX, FLEET_APPS_MAX);
            return 2;
        }
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(bench, clean_up)};
    int failed = cmocka_run_group_tests_name("bench_reaction", tests, NULL, NULL);
    return failed != 0 || missing > 0 || figures_quantile(&figures[ALL], 99) > P99_MAX_US;
}
