/*
 * bench_handoff: services and owners moved back and forth while outside clients ask them at a
 * steady rate: what is lost, how long nobody served, what a move costs in latency; and the same
 * moves done as one would without Berth, in the same run.
 *
 *     bench_handoff [--only nats|http|exclusive|stateful|evacuate] [--moves 20] [--rate 10000]
 *                   [--delay-ms 40] [--local | --far] [--baseline-moves 4] [--workloads 100]
 *                   [--rest-ms 500] [--healthy-ms 500] [--group-us 1000] [--quick] [--by-hand]
 *
 * Everything is real and on this machine: hub and leaf nats-server, a node at each, the scheduler,
 * HAProxy, the programs of examples/ and the clients of tests/live/clients. Berth's own moves are
 * retags (evacuate: the command), carried out by the scheduler.
 *
 *   nats       shop-source and shop-load. Baselines are commands of this program to the nodes:
 *     stop-then-start    the old copy is stopped, then the new one started
 *     start-then-drain   the new copy is started; when it says ready, the old one drains at once;
 *                        the orders do not travel over the slow link, as an orchestrator's seldom
 * do the same, by bus   with the orders on the slow link, behind the requests and before the
 *                        answers: what the order of one connection is worth, where it can be had
 *     (--by-hand: Berth's own sequence as commands of this program, without a scheduler)
 *   http       web behind the ingress, and http-load. Baselines have a HAProxy of their own:
 *     stop-then-start    the old server is ended, the new one started at its address
 *     start-then-stop    both, without a probe and without a linger: HAProxy is told of the new one
 *                        as soon as it was started, and the old one is ended
 *     HAProxy reload     the same when the new one listens
 *   exclusive  counter with 1 KiB of inline state, its ledger, and owner-load; at one place
 *   stateful   kvstate with 64 MiB of which 1 % changes a second, and state-load; at one place
 *   evacuate   --workloads shop-source at one provider, three moved at a time by `berth evacuate`
 *
 * Requests that are due within --group-us are sent together: a burst, harder on who is asked, and
 * what lets 10,000 a second and everything that serves them fit into two processors. http-load uses
 * the idle connection that was used last, as pools do. --healthy-ms and --rest-ms shorten a long
 * run: how long a new copy is watched before the old one ends, and the rest between moves; 200
 * moves take some four minutes at one place with 200 and 300. What each program took of the machine
 * while nothing moved is printed, with how busy the machine was in all.
 *
 * nats and http are measured at one place and then over --delay-ms each way; http over a distance
 * needs network namespaces and is skipped without. "p99 during" is over the requests that were sent
 * between the begin and the end of the moves in one direction; it is compared with the larger of
 * the p99 that the two sites had at rest, before each move, as service at the far side costs a
 * round trip in itself. Exit status 1 when Berth's own moves lost or duplicated anything, had two
 * owners, or exceeded a capacity.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/handoff/rows.h"

static int64_t nats(const struct bench *bench);
static int64_t http(const struct bench *bench);
static bool read_options(struct bench *bench, const char **ret_only, int argc, char **argv);
static void usage(const char *what);

static const struct {
    const char *name;
    int64_t (*run)(const struct bench *bench);
} rows[] = {{"nats", nats},
            {"http", http},
            {"exclusive", row_exclusive},
            {"stateful", row_stateful},
            {"evacuate", row_evacuate}};

int main(int argc, char **argv)
{
    struct bench bench = {.moves = 20,
                          .rate = 10000,
                          .delay_ms = 40,
                          .baseline_moves = 4,
                          .workloads = 100,
                          .first_ms = 3000,
                          .rest_ms = 500,
                          .healthy_ms = 500,
                          .group_us = 1000,
                          .local = true,
                          .far = true};
    const char *only = NULL;
    int64_t broken = 0;
    if (!read_options(&bench, &only, argc, argv))
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (only == NULL || str_equal(only, rows[i].name)) {
            printf("\n---- %s\n", rows[i].name);
            broken += rows[i].run(&bench);
        }
    return broken > 0;
}

static int64_t nats(const struct bench *bench)
{
    int64_t broken = bench->local ? row_nats(bench, 0) : 0;
    return broken + (bench->far ? row_nats(bench, bench->delay_ms) : 0);
}

static int64_t http(const struct bench *bench)
{
    int64_t broken = bench->local ? row_http(bench, 0) : 0;
    return broken + (bench->far ? row_http(bench, bench->delay_ms) : 0);
}

static bool read_options(struct bench *bench, const char **ret_only, int argc, char **argv)
{
    const struct {
        const char *name;
        int64_t *value;
        int64_t max;
    } numbers[] = {{"--moves", &bench->moves, MOVES_MAX},
                   {"--rate", &bench->rate, 100000},
                   {"--delay-ms", &bench->delay_ms, 2000},
                   {"--workloads", &bench->workloads, 100},
                   {"--rest-ms", &bench->rest_ms, 60000},
                   {"--healthy-ms", &bench->healthy_ms, 60000},
                   {"--group-us", &bench->group_us, 100000},
                   {"--baseline-moves", &bench->baseline_moves, MOVES_MAX}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        if (str_equal(argv[i], "--by-hand"))
            known = bench->by_hand = true;
        if (str_equal(argv[i], "--local")) {
            known = true;
            bench->far = false;
        }
        if (str_equal(argv[i], "--far")) {
            known = true;
            bench->local = false;
        }
        if (str_equal(argv[i], "--quick")) {
            known = true;
            bench->moves = 6;
            bench->baseline_moves = 2;
            bench->workloads = 20;
            bench->first_ms = 1000;
        }
        if (str_equal(argv[i], "--only") && i + 1 < argc) {
            *ret_only = argv[++i];
            for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
                known = known || str_equal(*ret_only, rows[k].name);
        }
        for (size_t k = 0; !known && k < sizeof numbers / sizeof numbers[0] && i + 1 < argc; k++)
            if (str_equal(argv[i], numbers[k].name)) {
                i++;
                known = str_to_i64(argv[i], numbers[k].value) == 0 && *numbers[k].value >= 1 &&
                        *numbers[k].value <= numbers[k].max;
                break;
            }
        if (!known || (!bench->local && !bench->far)) {
            usage(argv[i]);
            return false;
        }
    }
    return true;
}

static void usage(const char *what)
{
    fprintf(stderr,
            "bench_handoff: '%s'\n"
            "usage: bench_handoff [--only nats|http|exclusive|stateful|evacuate] [--moves 1..%d]\n"
            "                     [--rate N] [--delay-ms N] [--local | --far]\n"
            "                     [--baseline-moves 1..%d] [--workloads 1..100] [--rest-ms N]\n"
            "                     [--healthy-ms N] [--group-us N] [--quick] [--by-hand]\n",
            what, MOVES_MAX, MOVES_MAX);
}
