/*
 * Handoffs under faults: seeds of the simulator in tests/fault, one after another, until so many
 * handoffs that met at least one fault in their life have ended.
 *
 *     bench_fault [--handoffs N] [--seed FIRST] [--rough SECONDS]
 *
 * Counted is a handoff that has ended, done or back, between whose beginning and end something was
 * done to the machines or their messages (a message lost, doubled or late, a partition that stopped
 * one, a kill, a stop, a reboot ...); moves (both sides there) apart from starts and removals.
 * Printed are those, what the faults did by kind, the violations found, processor seconds and
 * handoffs per processor second. Exit status 1 when there was a violation; its seed is named, and
 * `test_fault shrink SEED` shows it in short (with the default --rough).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/str.h"
#include "tests/fault/sim.h"

static struct sim sim;

struct figures {
    int64_t runs;
    int64_t handoffs;
    int64_t moves;
    int64_t faulty;
    int64_t faulty_moves;
    int64_t done;
    int64_t requests;
    int64_t writes;
    int64_t sockets_told;
    int64_t sockets_cut;
    int64_t violations;
    int64_t simulated_us;
    int64_t hits[FAULT_KINDS];
};

static void run(uint64_t seed, int64_t rough_us, struct figures *figures);
static void print(const struct figures *figures, double seconds);

int main(int argc, char **argv)
{
    int64_t wanted = 100000;
    int64_t seed = 1;
    int64_t rough_s = 40;
    for (int i = 1; i + 1 < argc; i += 2) {
        int64_t *to = str_equal(argv[i], "--handoffs") ? &wanted
                      : str_equal(argv[i], "--seed")   ? &seed
                      : str_equal(argv[i], "--rough")  ? &rough_s
                                                       : NULL;
        if (to == NULL || str_to_i64(argv[i + 1], to) < 0 || *to < 1) {
            (void)fprintf(stderr, "usage: %s [--handoffs N] [--seed N] [--rough SECONDS]\n",
                          argv[0]);
            return 2;
        }
    }
    struct figures figures = {0};
    clock_t begun = clock();
    for (; figures.faulty < wanted; seed++)
        run((uint64_t)seed, rough_s * US_PER_S, &figures);
    print(&figures, (double)(clock() - begun) / CLOCKS_PER_SEC);
    return figures.violations == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static void run(uint64_t seed, int64_t rough_us, struct figures *figures)
{
    struct sim_options options = {
        .seed = seed, .script = SCRIPT_ROUGH, .rough_us = rough_us, .hash_every = 16};
    sim_run(&sim, &options);
    if (sim.broken[0] != 0) {
        figures->violations++;
        (void)printf("VIOLATION %s\n", sim.broken);
    }
    figures->runs++;
    figures->handoffs += sim.handoffs;
    figures->moves += sim.moves;
    figures->faulty += sim.faulty;
    figures->faulty_moves += sim.faulty_moves;
    figures->done += sim.done;
    figures->requests += sim.requests + sim.http_requests;
    figures->writes += sim.writes;
    figures->sockets_told += sim.sockets_told;
    figures->sockets_cut += sim.sockets_cut;
    figures->simulated_us += sim.now_us - SIM_START_US;
    for (int i = 0; i < FAULT_KINDS; i++)
        figures->hits[i] += sim.hits[i];
    sim_free(&sim);
}

static void print(const struct figures *f, double seconds)
{
    int64_t hits = 0;
    for (int i = 0; i < FAULT_KINDS; i++) {
        hits += f->hits[i];
        (void)printf("  %-48s %12" PRId64 "\n", sim_fault_words[i], f->hits[i]);
    }
    (void)printf("  %-48s %12" PRId64 " of %" PRId64 " in %" PRId64 " runs\n",
                 "handoffs with a fault in their life", f->faulty, f->handoffs, f->runs);
    (void)printf("  %-48s %12" PRId64 " of %" PRId64 "\n", "... of them moves", f->faulty_moves,
                 f->moves);
    (void)printf("  %-48s %12" PRId64 "\n", "... ended done, not back (of all)", f->done);
    (void)printf("  %-48s %12" PRId64 " and %" PRId64 "\n", "requests, writes", f->requests,
                 f->writes);
    (void)printf("  %-48s %12" PRId64 " and %" PRId64 "\n",
                 "websockets told to reconnect, and cut off", f->sockets_told, f->sockets_cut);
    (void)printf("  %-48s %12" PRId64 "\n", "violations", f->violations);
    (void)printf("  %-48s %12.1f, for %.0f simulated\n", "processor seconds", seconds,
                 (double)f->simulated_us / US_PER_S);
    (void)printf("  %-48s %12.0f\n", "handoffs with a fault per processor second",
                 (double)f->faulty / seconds);
    (void)printf(
        "{\"bench\":\"fault\",\"handoffs\":%" PRId64 ",\"moves\":%" PRId64 ",\"faults\":%" PRId64
        ",\"violations\":%" PRId64 ",\"cpu_s\":%.1f,\"per_cpu_s\":%.0f}\n",
        f->faulty, f->faulty_moves, hits, f->violations, seconds, (double)f->faulty / seconds);
}
