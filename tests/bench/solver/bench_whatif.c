/*
 * bench_whatif: the same fleet under many prices: what it costs to ask "what if" a thousand times.
 *
 *     bench_whatif [--apps N] [--sites N] [--scenarios N] [--threads N] [--capacity PERCENT]
 *                  [--gap PPM] [--cold N] [--spread PERCENT]
 *
 * Apps of 8 linked workloads. A scenario scales every site's prices by a factor of its own, up to
 * --spread per cent (30) dearer or cheaper. Warm: a session (engine_session.h) on the unscaled
 * fleet answers all of them, each to --gap (500 ppm of its bound) or as near as its trials reach.
 * Cold: the engine solves the first --cold (10) of them as if nothing were known, to the same gap,
 * in the same run. Making a scenario's grid is counted with the warm ones. Exit code 1 when an
 * answer breaks a rule, contradicts its bound, or its prices do not prove it.
 */
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/engine_session.h"
#include "model/solve/mip.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define THREADS_MAX 64

struct given {
    int64_t apps;
    int64_t sites;
    int64_t scenarios;
    int64_t threads;
    int64_t capacity;
    int64_t gap;
    int64_t cold;
    int64_t spread;
};

struct answer {
    int64_t cost;
    double bound;
    double gap;
    int moved; /* parts that are elsewhere than without the scenario */
};

struct bench {
    struct given given;
    struct grid base;
    const int *now;              /* the base's placement */
    uint32_t *cost[THREADS_MAX]; /* [worker][cell] */
    struct answer *answer;       /* [scenario] */
    atomic_int failures;
};

static bool read_options(int argc, char **argv, struct given *given);
static int make(void *context, int index, int worker, struct grid *grid, struct error *err);
static void take(void *context, int index, int worker, const struct grid *grid,
                 const struct engine_result *result);
static bool warm(struct bench *bench, struct engine_session *session);
static void cold(struct bench *bench, struct engine_session *session);
static bool proven(const struct grid *grid, const struct engine_result *result);
static double seconds_cpu(void);
static double median_gap(const struct answer *answer, int count);
static double worst_gap(const struct answer *answer, int count);

static double warm_ms;
static double warm_cpu_ms;

int main(int argc, char **argv)
{
    struct bench bench = {.given = {.apps = 1000,
                                    .sites = 10,
                                    .scenarios = 1000,
                                    .threads = 2,
                                    .gap = 500,
                                    .cold = 10,
                                    .spread = 30}};
    struct given *given = &bench.given;
    if (!read_options(argc, argv, given)) {
        fprintf(stderr, "bench_whatif: see the head of the file for its options\n");
        return 2;
    }
    mip_quiet();
    struct arena arena;
    arena_init(&arena, (size_t)4 << 30);
    struct grid_shape shape = {.seed = 1,
                               .parts = (int)given->apps * 8,
                               .sites = (int)given->sites,
                               .resources = 2,
                               .app_parts = 8,
                               .capacity_percent = (int)given->capacity,
                               .closed_percent = 20};
    struct engine_session_options options = {
        .threads = (int)given->threads, .seed = 1, .gap = (double)given->gap * 1e-6};
    struct engine_session *session = NULL;
    struct error err = {0};
    size_t cells = (size_t)shape.parts * (size_t)shape.sites;
    bench.answer = arena_array(&arena, (size_t)given->scenarios, sizeof(struct answer));
    bool full = bench.answer == NULL;
    for (int i = 0; i < given->threads && !full; i++) {
        bench.cost[i] = arena_array(&arena, cells, sizeof(uint32_t));
        full = bench.cost[i] == NULL;
    }
    int64_t begin = clock_mono_now().us;
    if (full || !grid_gen(&shape, &arena, &bench.base) ||
        engine_session_create(&bench.base, &options, &session, &err) < 0) {
        fprintf(stderr, "bench_whatif: the fleet has no placement: %s\n", err.text);
        return 1;
    }
    const struct engine_result *now = engine_session_base(session);
    bench.now = now->choice;
    printf("%lld apps of 8 at %lld sites, capacity %s%lld %%, prices +-%lld %%, gap asked %.0e\n",
           (long long)given->apps, (long long)given->sites,
           given->capacity == 0 ? "unlimited " : "", (long long)given->capacity,
           (long long)given->spread, (double)given->gap * 1e-6);
    printf("base: %.0f ms, gap %.1e\n", (double)(clock_mono_now().us - begin) / 1e3, now->gap);
    if (!warm(&bench, session)) {
        return 1;
    }
    cold(&bench, session);
    engine_session_destroy(session);
    arena_done(&arena);
    mip_release();
    return atomic_load(&bench.failures) > 0;
}

static bool warm(struct bench *bench, struct engine_session *session)
{
    const struct given *given = &bench->given;
    struct engine_scenarios scenarios = {
        .count = (int)given->scenarios, .make = make, .take = take, .context = bench};
    struct error err = {0};
    int64_t begin = clock_mono_now().us;
    double begun = seconds_cpu();
    if (engine_session_run(session, &scenarios, &err) < 0) {
        fprintf(stderr, "bench_whatif: %s\n", err.text);
        return false;
    }
    double seconds = (double)(clock_mono_now().us - begin) / 1e6;
    double cpu = seconds_cpu() - begun;
    int count = (int)given->scenarios;
    double moved = 0;
    for (int i = 0; i < count; i++) {
        moved += (double)bench->answer[i].moved / count;
    }
    warm_ms = seconds * 1e3 / count;
    warm_cpu_ms = cpu * 1e3 / count;
    struct engine_session_counts counts = engine_session_counts(session);
    printf("warm: %d in %.2f s (%.2f CPU s), %.2f ms each (%.2f CPU ms), gap median %.1e, worst "
           "%.1e, %.1f parts elsewhere\n",
           count, seconds, cpu, warm_ms, warm_cpu_ms, median_gap(bench->answer, count),
           worst_gap(bench->answer, count), moved);
    printf("      kept %lld, fitted %lld, by the engine %lld; %.1f sweeps each\n",
           (long long)counts.kept, (long long)counts.fitted, (long long)counts.cold,
           (double)counts.sweeps / count);
    return true;
}

/* The engine alone; and once more what the session says, for its proof. */
static void cold(struct bench *bench, struct engine_session *session)
{
    const struct given *given = &bench->given;
    int count = (int)(given->cold < given->scenarios ? given->cold : given->scenarios);
    struct answer *answers = calloc((size_t)count + 1, sizeof(*answers));
    double ms = 0;
    double cpu_ms = 0;
    double short_of = 0;
    for (int i = 0; i < count && answers != NULL; i++) {
        struct arena arena;
        arena_init(&arena, (size_t)4 << 30);
        struct grid grid = bench->base;
        struct error err = {0};
        struct engine_result result;
        (void)make(bench, i, 0, &grid, &err);
        if (engine_session_solve(session, &grid, &arena, &result, &err) < 0 ||
            !proven(&grid, &result) || result.cost != bench->answer[i].cost ||
            result.bound != bench->answer[i].bound) {
            printf("NO: scenario %d has another answer, or no proof: %s\n", i, err.text);
            atomic_fetch_add(&bench->failures, 1);
        }
        struct engine_options options = {
            .threads = (int)given->threads, .seed = 1, .gap = (double)given->gap * 1e-6};
        int64_t begin = clock_mono_now().us;
        double begun = seconds_cpu();
        if (engine_solve(&grid, &options, &arena, &result, &err) < 0 || result.price == NULL) {
            printf("NO: scenario %d has no cold answer: %s\n", i, err.text);
            atomic_fetch_add(&bench->failures, 1);
        }
        cpu_ms += (seconds_cpu() - begun) * 1e3 / count;
        ms += (double)(clock_mono_now().us - begin) / 1e3 / count;
        answers[i].gap = result.gap;
        short_of = fmax(short_of, 1 - bench->answer[i].bound / result.bound);
        arena_done(&arena);
    }
    if (count > 0 && answers != NULL) {
        printf(
            "cold: %.2f ms each (%.2f CPU ms) of %d, gap median %.1e, worst %.1e; the same warm: "
            "median %.1e, worst %.1e\n",
            ms, cpu_ms, count, median_gap(answers, count), worst_gap(answers, count),
            median_gap(bench->answer, count), worst_gap(bench->answer, count));
        printf(
            "cold / warm: %.1f wall, %.1f CPU; the warm bound is at most %.1e below the cold one\n",
            ms / warm_ms, cpu_ms / warm_cpu_ms, short_of);
    }
    free(answers);
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
                         : str_equal(argv[i], "--gap")       ? &given->gap
                         : str_equal(argv[i], "--cold")      ? &given->cold
                         : str_equal(argv[i], "--spread")    ? &given->spread
                                                             : NULL;
        if (where == NULL || i + 1 == argc || str_to_i64(argv[i + 1], &number) < 0 || number < 0) {
            return false;
        }
        *where = number;
    }
    return given->apps > 0 && given->apps < 100000 && given->sites > 2 && given->sites < 1000 &&
           given->scenarios > 0 && given->scenarios < 10000000 && given->threads > 0 &&
           given->threads < THREADS_MAX && given->spread < 100;
}

static int make(void *context, int index, int worker, struct grid *grid, struct error *err)
{
    struct bench *bench = context;
    const struct grid *base = &bench->base;
    uint32_t *cost = bench->cost[worker];
    struct gen_random random;
    uint64_t factor[1000];
    (void)err;
    gen_seed(&random, (uint64_t)index + 1);
    uint64_t spread = (uint64_t)bench->given.spread;
    for (int site = 0; site < base->sites; site++) {
        factor[site] = 100 - spread + gen_below(&random, 2 * spread + 1);
    }
    size_t sites = (size_t)base->sites;
    for (size_t part = 0; part < (size_t)base->parts; part++) {
        const uint32_t *from = base->cost + part * sites;
        uint32_t *to = cost + part * sites;
        for (size_t site = 0; site < sites; site++) {
            uint64_t scaled = from[site] * factor[site] / 100;
            to[site] = from[site] == GRID_CLOSED ? GRID_CLOSED : (uint32_t)scaled;
        }
    }
    grid->cost = cost;
    return 0;
}

static void take(void *context, int index, int worker, const struct grid *grid,
                 const struct engine_result *result)
{
    struct bench *bench = context;
    (void)worker;
    bool placed = result->status == SOLVE_OPTIMAL || result->status == SOLVE_FEASIBLE;
    if (!placed || result->bound > (double)result->cost) {
        printf("NO: scenario %d is %s\n", index, solve_status_words[result->status]);
        atomic_fetch_add(&bench->failures, 1);
        return;
    }
    struct answer *answer = &bench->answer[index];
    *answer = (struct answer){.cost = result->cost, .bound = result->bound, .gap = result->gap};
    for (int part = 0; part < grid->parts; part++) {
        answer->moved += result->choice[part] != bench->now[part];
    }
}

static bool proven(const struct grid *grid, const struct engine_result *result)
{
    char why[PLAN_WHY_BYTES];
    struct plan_claim claim = {.choice = result->choice,
                               .cost = result->cost,
                               .bound = result->bound,
                               .price = result->price,
                               .bound_priced = result->bound_priced};
    bool sound = result->choice != NULL && plan_check_grid(grid, &claim, why);
    if (result->choice != NULL && !sound) {
        printf("NO: %s\n", why);
    }
    return sound;
}

static double seconds_cpu(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

static int by_gap(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_gap(const struct answer *answer, int count)
{
    double *gap = calloc((size_t)count + 1, sizeof(*gap));
    double median = NAN;
    if (gap != NULL && count > 0) {
        for (int i = 0; i < count; i++) {
            gap[i] = answer[i].gap;
        }
        qsort(gap, (size_t)count, sizeof(*gap), by_gap);
        median = gap[count / 2];
    }
    free(gap);
    return median;
}

static double worst_gap(const struct answer *answer, int count)
{
    double worst = 0;
    for (int i = 0; i < count; i++) {
        worst = fmax(worst, answer[i].gap);
    }
    return worst;
}
