/*
 * bench_dual: how good a bound dual_solve proves, and what it costs, beside plain projected
 * subgradient that is given as many sweeps. One row per instance and method.
 *
 *   bench_dual [--threads N] [--seed N] [--only NAME] [--no-baseline] [--closed PERCENT]
 *
 * MB is the peak of the whole process so far: name one instance for its own. CPU seconds are all
 * threads' together: on a shared machine, they are what to compare.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "model/solve/dual.h"
#include "tests/property/grid_gen.h"

#define ARENA_BYTES ((size_t)8 << 30)

struct instance {
    const char *name;
    struct grid_shape shape;
};

static const struct instance instances[] = {
    {"1k x 20", {.parts = 1000, .sites = 20, .resources = 3, .capacity_percent = 115}},
    {"10k x 50", {.parts = 10000, .sites = 50, .resources = 3, .capacity_percent = 115}},
    {"100k x 100", {.parts = 100000, .sites = 100, .resources = 3, .capacity_percent = 115}},
    {"1M x 100", {.parts = 1000000, .sites = 100, .resources = 3, .capacity_percent = 115}},
    {"tight 100k x 100", {.parts = 100000, .sites = 100, .resources = 3, .capacity_percent = 105}},
    {"discrete 100k x 100",
     {.parts = 100000, .sites = 100, .resources = 3, .capacity_percent = 115, .discrete = true}},
    {"20k x 1000", {.parts = 20000, .sites = 1000, .resources = 3, .capacity_percent = 115}},
    {"trees 1k x 20",
     {.parts = 1000, .sites = 20, .resources = 3, .capacity_percent = 115, .app_parts = 8}},
    {"trees 10k x 20",
     {.parts = 10000, .sites = 20, .resources = 3, .capacity_percent = 115, .app_parts = 8}},
    {"trees 100k x 30",
     {.parts = 100000, .sites = 30, .resources = 3, .capacity_percent = 115, .app_parts = 8}},
    {"chords 10k x 30",
     {.parts = 10000,
      .sites = 30,
      .resources = 3,
      .capacity_percent = 115,
      .app_parts = 8,
      .chord_percent = 20}},
};

static int threads = 2;

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void row(const char *name, const char *method, double bound, const double *started,
                double sweeps, int undecided)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    (void)printf("%-20s %-12s %22.4f %8.3f %8.3f %8.1f %6d %7ld\n", name, method, bound,
                 seconds_of(CLOCK_MONOTONIC) - started[0],
                 seconds_of(CLOCK_PROCESS_CPUTIME_ID) - started[1], sweeps, undecided,
                 usage.ru_maxrss / 1024);
    (void)fflush(stdout);
}

/* Polyak's steps without knowing the optimum: toward a little above the best bound so far. */
static void baseline(const char *name, const struct grid *grid, double sweeps, struct arena *arena)
{
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    double *price = arena_array(arena, rows + 1, sizeof(double));
    int64_t *load = arena_array(arena, rows + 1, sizeof(int64_t));
    int *choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    double started[] = {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
    double best = -INFINITY;
    double ahead = 0.1;
    for (double turn = 0; price != NULL && load != NULL && choice != NULL && turn < sweeps;
         turn++) {
        struct error err;
        double bound;
        if (dual_bound(grid, price, threads, arena, choice, &bound, &err) < 0) {
            (void)fprintf(stderr, "bench_dual: %s\n", err.text);
            exit(1);
        }
        ahead *= bound > best ? 1.05 : 0.85;
        best = bound > best ? bound : best;
        grid_load_of(grid, choice, load);
        double square = 0;
        for (size_t i = 0; i < rows; i++) {
            double over = (double)(load[i] - grid->capacity[i]);
            square += price[i] > 0 || over > 0 ? over * over : 0;
        }
        double step = square > 0 ? (best - bound + ahead * fabs(best)) / square : 0;
        for (size_t i = 0; i < rows; i++) {
            price[i] = fmax(0, price[i] + step * (double)(load[i] - grid->capacity[i]));
        }
    }
    row(name, "subgradient", best, started, sweeps, 0);
}

static void run(const struct instance *instance, uint64_t seed, int closed, bool with_baseline)
{
    struct arena arena;
    arena_init(&arena, ARENA_BYTES);
    struct grid grid;
    struct grid_shape shape = instance->shape;
    shape.seed = seed;
    shape.closed_percent = closed;
    struct error err;
    if (!grid_gen(&shape, &arena, &grid) || grid_check(&grid, &err) < 0) {
        (void)fprintf(stderr, "bench_dual: cannot generate %s\n", instance->name);
        exit(1);
    }
    struct dual_options options = {.threads = threads};
    struct dual_result result;
    double started[] = {seconds_of(CLOCK_MONOTONIC), seconds_of(CLOCK_PROCESS_CPUTIME_ID)};
    if (dual_solve(&grid, &options, &arena, &result, &err) < 0) {
        (void)fprintf(stderr, "bench_dual: %s: %s\n", instance->name, err.text);
        exit(1);
    }
    row(instance->name, "dual_solve", result.bound, started, result.sweeps, result.undecided);
    if (with_baseline) {
        baseline(instance->name, &grid, ceil(result.sweeps), &arena);
    }
    arena_done(&arena);
}

int main(int argc, char **argv)
{
    uint64_t seed = 1;
    int closed = 20;
    const char *only = NULL;
    bool with_baseline = true;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--no-baseline") == 0) {
            with_baseline = false;
        } else if (strcmp(argv[i], "--threads") == 0) {
            threads = (int)strtol(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--closed") == 0) {
            closed = (int)strtol(value, NULL, 10);
            i++;
        } else if (strcmp(argv[i], "--only") == 0) {
            only = value;
            i++;
        } else {
            (void)fprintf(stderr, "usage: bench_dual [--threads N] [--seed N] [--only NAME] "
                                  "[--no-baseline] [--closed PERCENT]\n");
            return 2;
        }
    }
    (void)printf("%-20s %-12s %22s %8s %8s %8s %6s %7s\n", "instance", "method", "bound", "seconds",
                 "cpu", "sweeps", "undec.", "MB");
    for (size_t i = 0; i < sizeof(instances) / sizeof(*instances); i++) {
        if (only == NULL || strcmp(only, instances[i].name) == 0) {
            run(&instances[i], seed, closed, with_baseline);
        }
    }
    return 0;
}
