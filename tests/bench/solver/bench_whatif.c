/*
 * bench_whatif: the same fleet under many prices: what it costs to ask "what if" a thousand times.
 *
 *     bench_whatif [--apps N] [--sites N] [--scenarios N] [--threads N] [--capacity PERCENT]
 *
 * Apps of 8 linked workloads. A scenario scales every site's prices by a factor of its own, between
 * 0.7 and 1.3. Warm: the prices on capacity and the placement of the unscaled fleet start each
 * solve, and it ends within 1e-4 of its bound. The baseline, in the same run, solves some of the
 * same scenarios cold. Exit code 1 when an answer breaks a rule or contradicts its bound.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

#define GAP  1e-4
#define COLD 10 /* scenarios of the baseline */

struct given {
    int64_t apps;
    int64_t sites;
    int64_t scenarios;
    int64_t threads;
    int64_t capacity;
};

struct tally {
    int64_t us;
    int count;
    int failures;
    double worst_gap;
    double moved; /* parts that are elsewhere than without the scenario, summed */
};

static bool read_options(int argc, char **argv, struct given *given);
static void scale(const struct grid *base, uint64_t scenario, uint32_t *cost);
static void solve(const struct grid *grid, const struct given *given,
                  const struct engine_result *from, struct tally *tally);

int main(int argc, char **argv)
{
    struct given given = {.apps = 1000, .sites = 10, .scenarios = 1000, .threads = 2};
    if (!read_options(argc, argv, &given)) {
        fprintf(stderr, "bench_whatif: see the head of the file for its options\n");
        return 2;
    }
    mip_quiet();
    struct arena arena;
    arena_init(&arena, (size_t)2 << 30);
    struct grid_shape shape = {.seed = 1,
                               .parts = (int)given.apps * 8,
                               .sites = (int)given.sites,
                               .resources = 2,
                               .app_parts = 8,
                               .capacity_percent = (int)given.capacity,
                               .closed_percent = 20};
    struct grid base;
    struct engine_result now;
    struct error err = {0};
    struct engine_options options = {.threads = (int)given.threads, .seed = 1, .gap = GAP};
    uint32_t *cost =
        arena_array(&arena, (size_t)shape.parts * (size_t)shape.sites, sizeof(uint32_t));
    if (cost == NULL || !grid_gen(&shape, &arena, &base) ||
        engine_solve(&base, &options, &arena, &now, &err) < 0 || now.price == NULL) {
        fprintf(stderr, "bench_whatif: the fleet has no placement: %s\n", err.text);
        return 1;
    }
    struct tally warm = {0};
    struct tally cold = {0};
    struct grid grid = base;
    grid.cost = cost;
    for (int64_t i = 0; i < given.scenarios; i++) {
        scale(&base, (uint64_t)i + 1, cost);
        solve(&grid, &given, &now, &warm);
        if (i < COLD) {
            struct engine_result none = {.choice = now.choice};
            solve(&grid, &given, &none, &cold);
        }
    }
    double warm_ms = (double)warm.us / 1e3 / warm.count;
    double cold_ms = (double)cold.us / 1e3 / cold.count;
    printf("%lld apps of 8 at %lld sites, capacity %s%lld %%, %d scenarios\n",
           (long long)given.apps, (long long)given.sites, given.capacity == 0 ? "unlimited " : "",
           (long long)given.capacity, warm.count);
    printf("warm: %.2f s in all, %.2f ms each, worst gap %.1e, %.1f parts elsewhere on average\n",
           (double)warm.us / 1e6, warm_ms, warm.worst_gap, warm.moved / warm.count);
    printf("cold: %.2f ms each of %d, worst gap %.1e; cold / warm %.1f\n", cold_ms, cold.count,
           cold.worst_gap, cold_ms / warm_ms);
    arena_done(&arena);
    return warm.failures + cold.failures > 0;
}

static bool read_options(int argc, char **argv, struct given *given)
{
    for (int i = 1; i < argc; i += 2) {
        int64_t number = 0;
        int64_t *where = str_equal(argv[i], "--apps")        ? &given->apps
                         : str_equal(argv[i], "--sites")     ? &given->sites
                         : str_equal(argv[i], "--scenarios") ? &given->scenarios
                         : str_equal(argv[i], "--threads")   ? &given->threads
                         : str_equal(argv[i], "--capacity")  ? &given->capacity
                                                             : NULL;
        if (where == NULL || i + 1 == argc || str_to_i64(argv[i + 1], &number) < 0 || number < 0) {
            return false;
        }
        *where = number;
    }
    return given->apps > 0 && given->apps < 100000 && given->sites > 2 && given->sites < 1000 &&
           given->scenarios > 0;
}

static void scale(const struct grid *base, uint64_t scenario, uint32_t *cost)
{
    struct gen_random random;
    uint64_t factor[1000];
    gen_seed(&random, scenario);
    for (int site = 0; site < base->sites; site++) {
        factor[site] = 70 + gen_below(&random, 61);
    }
    size_t cells = (size_t)base->parts * (size_t)base->sites;
    for (size_t cell = 0; cell < cells; cell++) {
        uint64_t scaled = base->cost[cell] * factor[cell % (size_t)base->sites] / 100;
        cost[cell] = base->cost[cell] == GRID_CLOSED ? GRID_CLOSED : (uint32_t)scaled;
    }
}

static void solve(const struct grid *grid, const struct given *given,
                  const struct engine_result *from, struct tally *tally)
{
    struct arena arena;
    arena_init(&arena, (size_t)1 << 30);
    struct engine_options options = {.threads = (int)given->threads,
                                     .seed = 1,
                                     .gap = GAP,
                                     .price = from->price,
                                     .start = from->price != NULL ? from->choice : NULL};
    struct engine_result result;
    struct error err = {0};
    int64_t begin = clock_mono_now().us;
    int rc = engine_solve(grid, &options, &arena, &result, &err);
    tally->us += clock_mono_now().us - begin;
    tally->count++;
    bool placed = rc == 0 && (result.status == SOLVE_OPTIMAL || result.status == SOLVE_FEASIBLE);
    if (!placed || result.bound > (double)result.cost) {
        tally->failures++;
        printf("NO: %s\n", rc < 0 ? err.text : solve_status_words[result.status]);
    } else {
        tally->worst_gap = fmax(tally->worst_gap, result.gap);
        for (int part = 0; part < grid->parts; part++) {
            tally->moved += result.choice[part] != from->choice[part];
        }
    }
    arena_done(&arena);
}
