/*
 * bench_session: the same fleet under many prices, asked of berth-solve through its client: what a
 * program that links no solver pays for "what if".
 *
 *     bench_session [--workloads N] [--sites N] [--scenarios N] [--workers N] [--capacity PERCENT]
 *                   [--gap PPM] [--cold N] [--spread PERCENT] [--tiers 1] [--fleet 1]
 *
 * Apps of 8 linked workloads; with --fleet 1 those of bench_whatif, as many apps as --workloads
 * says (8,000 of them are its thousand), else people's (problem_gen.h). A scenario scales the
 * prices of every site, and what links cost at its two ends, up to --spread per cent (30) either
 * way. Warm: a session (model/solver_session.h). Cold: the first --cold (10) as problems of their
 * own, in the same pool, to the same gap. Making a scenario is counted with both. CPU seconds are
 * this program's and the workers'. Exit code 1 when an answer contradicts another one's bound.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/whole.h"
#include "model/solver_session.h"
#include "tests/property/grid_gen.h"
#include "tests/property/price_gen.h"

/* Of the fleet's grid: its costs are small whole numbers. */
#define NUSD_OF_UNIT 1000000

struct given {
    int64_t workloads;
    int64_t sites;
    int64_t scenarios;
    int64_t workers;
    int64_t capacity;
    int64_t gap;
    int64_t cold;
    int64_t spread;
    int64_t tiers;
    int64_t fleet;
};

struct answer {
    int64_t cost;
    int64_t bound;
    double gap;
};

struct bench {
    struct given given;
    struct problem base;
    struct solver *solver;
    struct answer *answers; /* [scenario] */
    int unplaced;
};

static bool read_options(int argc, char **argv, struct given *given);
static int make(void *context, int index, struct arena *arena, struct problem *ret_problem,
                struct error *err);
static bool take(void *context, int index, const struct solution *solution);
static int fleet(const struct given *given, struct arena *arena, struct problem *ret_base,
                 struct error *err);
static int warm(struct bench *bench, double *ret_ms, struct error *err);
static int cold(struct bench *bench, double warm_ms, struct error *err);
static double gap_of(const struct solution *solution);
static double workers_cpu(const struct solver *solver);
static double own_cpu(void);
static int by_gap(const void *a, const void *b);

int main(int argc, char **argv)
{
    struct bench bench = {.given = {.workloads = 1000,
                                    .sites = 10,
                                    .scenarios = 1000,
                                    .workers = 2,
                                    .capacity = 115,
                                    .gap = 500,
                                    .cold = 10,
                                    .spread = 30}};
    struct given *given = &bench.given;
    struct error err = {0};
    if (!read_options(argc, argv, given)) {
        fprintf(stderr, "bench_session: see the head of the file for its options\n");
        return 2;
    }
    struct arena arena;
    arena_init(&arena, (size_t)2 << 30);
    struct gen_app_shape shape = {.seed = 1,
                                  .parts = (int)given->workloads,
                                  .sites = (int)given->sites,
                                  .chord_percent = 20,
                                  .capacity_percent = (int)given->capacity,
                                  .tiers = given->tiers != 0,
                                  .app_parts = 8};
    int rc = given->fleet != 0 ? fleet(given, &arena, &bench.base, &err) : 0;
    if (given->fleet == 0) {
        gen_app(&shape, &arena, &bench.base);
    }
    bench.answers = calloc((size_t)given->scenarios + 1, sizeof(*bench.answers));
    struct solver_options options = {.workers = (int)given->workers, .wall_max_us = 600 * US_PER_S};
    double ms = 0;
    rc = rc == 0 && bench.answers == NULL ? ERR_NO_MEMORY : rc;
    rc = rc == 0 ? solver_open(&options, &bench.solver, &err) : rc;
    rc = rc == 0 ? warm(&bench, &ms, &err) : rc;
    rc = rc == 0 ? cold(&bench, ms, &err) : rc;
    if (rc < 0) {
        fprintf(stderr, "bench_session: %s\n", err.text);
    }
    solver_close(bench.solver);
    free(bench.answers);
    arena_done(&arena);
    return rc != 0;
}

/* The grid that bench_whatif asks the engine about, as a problem. */
static int fleet(const struct given *given, struct arena *arena, struct problem *ret_base,
                 struct error *err)
{
    struct grid_shape shape = {.seed = 1,
                               .parts = (int)given->workloads,
                               .sites = (int)given->sites,
                               .resources = 2,
                               .app_parts = 8,
                               .capacity_percent = (int)given->capacity,
                               .closed_percent = 20};
    struct grid grid;
    if (!grid_gen(&shape, arena, &grid)) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a fleet");
    }
    return whole_problem(&grid, NUSD_OF_UNIT, arena, ret_base, err);
}

static int warm(struct bench *bench, double *ret_ms, struct error *err)
{
    const struct given *given = &bench->given;
    int count = (int)given->scenarios;
    struct solver_session_options options = {.gap = (double)given->gap * 1e-6, .base_lives = true};
    struct solver_scenarios scenarios = {
        .count = count, .make = make, .take = take, .context = bench};
    struct solver_session *session = NULL;
    int rc = solver_session_open(bench->solver, &bench->base, &options, &session, err);
    if (rc < 0) {
        return rc;
    }
    printf("%lld workloads in apps of 8 at %lld sites, %s, prices +-%lld %%, gap asked %.0e, "
           "%lld workers\n",
           (long long)given->workloads, (long long)given->sites,
           given->capacity == 0 ? "no capacities" : "capacities", (long long)given->spread,
           options.gap, (long long)given->workers);
    int64_t begin = clock_mono_now().us;
    double begun = own_cpu() + workers_cpu(bench->solver);
    rc = solver_session_run(session, &scenarios, err);
    double seconds = (double)(clock_mono_now().us - begin) / 1e6;
    double mine = own_cpu();
    double cpu = mine + workers_cpu(bench->solver) - begun;
    if (rc == 0) {
        double *gaps = calloc((size_t)count + 1, sizeof(*gaps));
        for (int i = 0; i < count && gaps != NULL; i++) {
            gaps[i] = bench->answers[i].gap;
        }
        if (gaps != NULL && count > 0) {
            qsort(gaps, (size_t)count, sizeof(*gaps), by_gap);
            printf("warm: %d in %.2f s, the base among it; %.2f CPU s (%.2f of this program); "
                   "%.2f ms each (%.2f CPU ms); gap median %.1e, worst %.1e; %d without a "
                   "placement\n",
                   count, seconds, cpu, mine, seconds * 1e3 / count, cpu * 1e3 / count,
                   gaps[count / 2], gaps[count - 1], bench->unplaced);
        }
        free(gaps);
        *ret_ms = cpu * 1e3 / count;
    }
    solver_session_close(session);
    return rc;
}

static int cold(struct bench *bench, double warm_ms, struct error *err)
{
    const struct given *given = &bench->given;
    int count = (int)(given->cold < given->scenarios ? given->cold : given->scenarios);
    struct solve_limits limits = {.gap = (double)given->gap * 1e-6};
    double worst = 0;
    int wrong = 0;
    double begun = own_cpu() + workers_cpu(bench->solver);
    for (int i = 0; i < count; i++) {
        struct arena arena;
        struct problem problem;
        struct solution solution;
        arena_init(&arena, (size_t)2 << 30);
        (void)make(bench, i, &arena, &problem, err);
        int rc = solver_call_within(bench->solver, &problem, &limits, &arena, &solution, err);
        if (rc < 0) {
            arena_done(&arena);
            return rc;
        }
        const struct answer *answer = &bench->answers[i];
        bool contradict =
            solution.choice != NULL && answer->gap >= 0 &&
            (solution.bound_nusd > answer->cost || answer->bound > solution.cost_nusd);
        if (contradict) {
            printf("NO: scenario %d costs %lld, at least %lld, and cold %lld, at least %lld\n", i,
                   (long long)answer->cost, (long long)answer->bound, (long long)solution.cost_nusd,
                   (long long)solution.bound_nusd);
        }
        wrong += contradict;
        worst = fmax(worst, gap_of(&solution));
        arena_done(&arena);
    }
    if (count > 0) {
        double ms = (own_cpu() + workers_cpu(bench->solver) - begun) * 1e3 / count;
        printf("cold: %.1f CPU ms each of %d, gap worst %.1e; %.1f times the warm\n", ms, count,
               worst, ms / warm_ms);
    }
    return wrong > 0 ? ERR_CORRUPT : 0;
}

static int make(void *context, int index, struct arena *arena, struct problem *ret_problem,
                struct error *err)
{
    const struct bench *bench = context;
    struct gen_price_shape shape = {.seed = (uint64_t)index + 1,
                                    .spread_percent = (int)bench->given.spread};
    (void)err;
    gen_prices(&bench->base, &shape, arena, ret_problem);
    return 0;
}

static bool take(void *context, int index, const struct solution *solution)
{
    struct bench *bench = context;
    bool placed = solution->choice != NULL;
    if (!placed && bench->unplaced++ == 0) {
        printf("scenario %d: %s: %s\n", index, solve_status_words[solution->status],
               solution->text);
    }
    bench->answers[index] = (struct answer){.cost = solution->cost_nusd,
                                            .bound = solution->bound_nusd,
                                            .gap = placed ? gap_of(solution) : -1};
    return true;
}

static double gap_of(const struct solution *solution)
{
    double over = (double)(solution->cost_nusd - solution->bound_nusd);
    return solution->choice == NULL ? 0 : over / fmax(fabs((double)solution->cost_nusd), 1);
}

/* User and system time, from the kernel; of processes that live still. */
static double workers_cpu(const struct solver *solver)
{
    int pids[64];
    double ticks = 0;
    int count = solver_pids(solver, pids, 64);
    for (int i = 0; i < count; i++) {
        char path[64];
        char text[512] = "";
        str_format(path, sizeof(path), "/proc/%d/stat", pids[i]);
        FILE *file = fopen(path, "re");
        size_t n = file != NULL ? fread(text, 1, sizeof(text) - 1, file) : 0;
        if (file != NULL) {
            (void)fclose(file);
        }
        text[n] = '\0';
        char *at = strrchr(text, ')');
        for (int k = 0; at != NULL && k < 12; k++) {
            at = strchr(at + 1, ' ');
        }
        double user = at != NULL ? strtod(at, &at) : 0;
        ticks += at != NULL ? user + strtod(at, NULL) : 0;
    }
    return ticks / 100; /* USER_HZ */
}

static double own_cpu(void)
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

static bool read_options(int argc, char **argv, struct given *given)
{
    for (int i = 1; i < argc; i += 2) {
        int64_t number = 0;
        int64_t *where = str_equal(argv[i], "--workloads")   ? &given->workloads
                         : str_equal(argv[i], "--sites")     ? &given->sites
                         : str_equal(argv[i], "--scenarios") ? &given->scenarios
                         : str_equal(argv[i], "--workers")   ? &given->workers
                         : str_equal(argv[i], "--capacity")  ? &given->capacity
                         : str_equal(argv[i], "--gap")       ? &given->gap
                         : str_equal(argv[i], "--cold")      ? &given->cold
                         : str_equal(argv[i], "--spread")    ? &given->spread
                         : str_equal(argv[i], "--tiers")     ? &given->tiers
                         : str_equal(argv[i], "--fleet")     ? &given->fleet
                                                             : NULL;
        if (where == NULL || i + 1 == argc || str_to_i64(argv[i + 1], &number) < 0 || number < 0) {
            return false;
        }
        *where = number;
    }
    return given->workloads > 0 && given->workloads <= 10000 && given->sites > 1 &&
           given->sites <= LIMIT_SITES && given->scenarios > 0 && given->scenarios < 1000000 &&
           given->workers > 0 && given->workers <= 64 && given->spread < 100;
}
