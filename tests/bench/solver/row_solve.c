/* What the children of a table do: solve a case with the engine, or as a scheduler of the
 * Kubernetes kind would. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/mip.h"
#include "tests/bench/solver/greedy.h"
#include "tests/bench/solver/row_internal.h"
#include "tests/property/plan_check.h"

#define ARENA_BYTES ((size_t)8 << 30)

struct limit {
    int64_t until_us;
    bool passed;
};

static bool build(const struct row_case *it, struct arena *arena, struct grid *grid,
                  struct row_answer *answer);
static bool watch(void *context, double bound, double best);
static void judge(const struct grid *grid, const struct engine_result *result,
                  struct row_answer *answer);
static double cpu_now(void);

void row_solve(const struct row_case *it, const struct row_options *options, const char *path,
               struct row_answer *answer)
{
    struct arena arena;
    struct grid grid;
    struct engine_result result;
    struct error err = {0};
    (void)path;
    arena_init(&arena, ARENA_BYTES);
    mip_quiet();
    if (!build(it, &arena, &grid, answer)) {
        return;
    }
    int64_t start_us = clock_mono_now().us;
    struct limit limit = {.until_us = start_us + (int64_t)(options->limit_s * 1e6)};
    struct engine_options given = options->engine;
    given.progress = watch;
    given.context = &limit;
    double cpu = cpu_now();
    int rc = engine_solve(&grid, &given, &arena, &result, &err);
    answer->seconds = (double)(clock_mono_now().us - start_us) / 1e6;
    answer->cpu_seconds = cpu_now() - cpu;
    if (rc < 0) {
        str_format(answer->word, sizeof(answer->word), "%.200s", err.text);
        answer->wrong = true;
        return;
    }
    judge(&grid, &result, answer);
    if (limit.passed && !answer->wrong) {
        str_format(answer->word, sizeof(answer->word), "%s",
                   answer->placed ? "cut at the limit" : "no plan in time");
    }
}

void row_greedy(const struct row_case *it, const struct row_options *options, const char *path,
                struct row_answer *answer)
{
    struct arena arena;
    struct grid grid;
    (void)options;
    (void)path;
    arena_init(&arena, ARENA_BYTES);
    if (!build(it, &arena, &grid, answer)) {
        return;
    }
    int *choice = arena_array(&arena, (size_t)grid.parts + 1, sizeof(int));
    int64_t start_us = clock_mono_now().us;
    double cpu = cpu_now();
    int left = choice != NULL ? bench_greedy(&grid, &arena, choice) : -1;
    answer->seconds = (double)(clock_mono_now().us - start_us) / 1e6;
    answer->cpu_seconds = cpu_now() - cpu;
    if (left != 0) {
        str_format(answer->word, sizeof(answer->word), "%d parts found no room", left);
        return;
    }
    char why[PLAN_WHY_BYTES];
    struct plan_claim claim = {
        .choice = choice, .cost = grid_cost_of(&grid, choice), .bound = -INFINITY};
    answer->placed = true;
    answer->cost = (double)claim.cost;
    if (!plan_check_grid(&grid, &claim, why)) {
        /* It looks at the links to what is placed already, and at no closed pair to come. */
        answer->placed = false;
        str_format(answer->word, sizeof(answer->word), "no plan: %.200s", why);
    }
}

double row_cells(const struct grid *grid)
{
    double cells = 0;
    for (int part = 0; part < grid->parts; part++) {
        cells += grid_cells(grid, part);
    }
    for (int i = 0; i < grid->links; i++) {
        cells +=
            (double)grid_cells(grid, grid->link[i].a) * (double)grid_cells(grid, grid->link[i].b);
    }
    return cells;
}

static bool build(const struct row_case *it, struct arena *arena, struct grid *grid,
                  struct row_answer *answer)
{
    struct error err = {0};
    if (it->build(it, arena, grid, &err) < 0 || grid_check(grid, &err) < 0) {
        str_format(answer->word, sizeof(answer->word), "not built: %.200s", err.text);
        answer->wrong = true;
        return false;
    }
    answer->parts = grid->parts;
    answer->sites = grid->sites;
    answer->links = grid->links;
    answer->cells = row_cells(grid);
    return true;
}

/* The engine ends with what it has when told so. */
static bool watch(void *context, double bound, double best)
{
    struct limit *limit = context;
    (void)bound;
    (void)best;
    limit->passed = limit->passed || clock_mono_now().us >= limit->until_us;
    return !limit->passed;
}

static void judge(const struct grid *grid, const struct engine_result *result,
                  struct row_answer *answer)
{
    char why[PLAN_WHY_BYTES];
    answer->bound = result->bound;
    answer->proven = result->status == SOLVE_OPTIMAL || result->status == SOLVE_INFEASIBLE;
    answer->placed = result->status == SOLVE_OPTIMAL || result->status == SOLVE_FEASIBLE;
    if (!answer->placed) {
        str_format(answer->word, sizeof(answer->word), "%s", solve_status_words[result->status]);
        return;
    }
    answer->cost = (double)result->cost;
    struct plan_claim claim = {.choice = result->choice,
                               .cost = result->cost,
                               .bound = result->bound,
                               .price = result->price,
                               .bound_priced = result->bound_priced};
    if (!plan_check_grid(grid, &claim, why)) {
        answer->wrong = true;
        str_format(answer->word, sizeof(answer->word), "WRONG: %.200s", why);
    }
}

static double cpu_now(void)
{
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
