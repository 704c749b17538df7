/*
 * From bytes to a plan: the first says what the rest is, a published format or a problem's frame.
 * What is read and small is solved, by the engine or by the exact solver, and the answer must hold:
 * a plan that plan_check finds nothing against, none cheaper by brute force, and no plan only where
 * there is none. GLPK is inside: what aborts it shows here, as it would end a worker.
 */
#include <math.h>
#include <stdint.h>

#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "model/solve/solve.h"
#include "tests/bench/solver/formats.h"
#include "tests/property/plan_check.h"

/* Assignments of what is small: each is tried. */
#define ASSIGNMENTS 3000
#define PARTS_MAX   16
#define ROWS_MAX    256
/* Nano-dollars: what a proof of GLPK may miss, docs/solver.md. */
#define TOLERANCE(cost) (1000 + fabs((double)(cost)) / 1e6)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void solve_grid(const struct grid *grid, struct arena *arena);
static void solve_frame(const struct problem *problem, struct arena *arena);
static bool small_enough(int parts, const int *choices);
static bool next(int parts, const int *choices, int *choice);
static bool best_of_grid(const struct grid *grid, const int *cells, int64_t *ret_best);
static bool best_of_problem(const struct problem *problem, const int *choices, nusd *ret_best);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"gap", "ctap", "tap", "qsap", "wcsp"};
    struct arena arena;
    struct grid grid;
    struct problem problem;
    struct error err = {0};
    if (size == 0) {
        return 0;
    }
    mip_quiet();
    arena_init(&arena, (size_t)256 << 20);
    if (data[0] % 8 < 5) {
        const char *format = formats[data[0] % 8];
        if (format_read(format, (const char *)data + 1, size - 1, &arena, &grid, &err) == 0) {
            solve_grid(&grid, &arena);
        }
    } else if (problem_decode(data + 1, size - 1, &arena, &problem, &err) == 0) {
        solve_frame(&problem, &arena);
    }
    arena_done(&arena);
    mip_release();
    return 0;
}

static void solve_grid(const struct grid *grid, struct arena *arena)
{
    char why[PLAN_WHY_BYTES] = "";
    int cells[PARTS_MAX];
    struct error err = {0};
    struct engine_result result;
    for (int part = 0; part < grid->parts && part < PARTS_MAX; part++) {
        cells[part] = grid_cells(grid, part);
    }
    if (grid->sites * grid->resources > ROWS_MAX || !small_enough(grid->parts, cells)) {
        return;
    }
    struct engine_options options = {.seed = 1, .moves_max = 50, .work_max = 2000000};
    if (engine_solve(grid, &options, arena, &result, &err) < 0) {
        BERTH_ASSERT(err.text[0] != '\0');
        return;
    }
    int64_t best = 0;
    bool possible = best_of_grid(grid, cells, &best);
    bool placed = result.status == SOLVE_OPTIMAL || result.status == SOLVE_FEASIBLE;
    BERTH_ASSERT(result.status != SOLVE_INFEASIBLE || !possible, "it says there is none");
    BERTH_ASSERT(!placed || possible, "a plan where there is none");
    if (placed) {
        struct plan_claim claim = {.choice = result.choice,
                                   .cost = result.cost,
                                   .bound = result.bound,
                                   .price = result.price,
                                   .bound_priced = result.bound_priced};
        BERTH_ASSERT(plan_check_grid(grid, &claim, why), "%s", why);
        BERTH_ASSERT(result.bound <= (double)best, "bound %.17g above the optimum", result.bound);
        BERTH_ASSERT(result.status != SOLVE_OPTIMAL || result.cost == best, "no optimum");
    }
}

static void solve_frame(const struct problem *problem, struct arena *arena)
{
    char why[PLAN_WHY_BYTES] = "";
    int choices[PARTS_MAX];
    for (int part = 0; part < problem->part_count && part < PARTS_MAX; part++) {
        choices[part] = problem->parts[part].choice_count;
    }
    if (!small_enough(problem->part_count, choices)) {
        return;
    }
    struct solve_options options = {.nodes_max = 200, .work_max = 2000000};
    struct solution solution;
    solve_problem(problem, &options, arena, &solution);
    BERTH_ASSERT(plan_check_problem(problem, &solution, why), "%s", why);
    if (solution.status == SOLVE_NONE) {
        return;
    }
    nusd best = 0;
    bool possible = best_of_problem(problem, choices, &best);
    BERTH_ASSERT((solution.status != SOLVE_INFEASIBLE) == possible, "%s",
                 solve_status_words[solution.status]);
    if (possible) {
        double off = (double)(solution.cost_nusd - best);
        BERTH_ASSERT(off >= 0 && solution.bound_nusd <= best, "bound %lld above the optimum",
                     (long long)solution.bound_nusd);
        BERTH_ASSERT(solution.status != SOLVE_OPTIMAL || off <= TOLERANCE(solution.cost_nusd),
                     "cost %lld is no optimum", (long long)solution.cost_nusd);
    }
}

static bool small_enough(int parts, const int *choices)
{
    double product = 1;
    for (int part = 0; part < parts && part < PARTS_MAX; part++) {
        product *= choices[part];
    }
    return parts <= PARTS_MAX && product <= ASSIGNMENTS;
}

static bool next(int parts, const int *choices, int *choice)
{
    int part = 0;
    while (part < parts && ++choice[part] == choices[part]) {
        choice[part++] = 0;
    }
    return part < parts;
}

static bool best_of_grid(const struct grid *grid, const int *cells, int64_t *ret_best)
{
    int choice[PARTS_MAX] = {0};
    int64_t load[ROWS_MAX];
    bool possible = false;
    do {
        grid_load_of(grid, choice, load);
        if (grid_broken(grid, load, choice) == 0) {
            int64_t cost = grid_cost_of(grid, choice);
            *ret_best = !possible || cost < *ret_best ? cost : *ret_best;
            possible = true;
        }
    } while (next(grid->parts, cells, choice));
    return possible;
}

static bool best_of_problem(const struct problem *problem, const int *choices, nusd *ret_best)
{
    int choice[PARTS_MAX] = {0};
    bool possible = false;
    do {
        if (problem_broken_rule(problem, choice) < 0) {
            nusd cost = problem_cost(problem, choice);
            *ret_best = !possible || cost < *ret_best ? cost : *ret_best;
            possible = true;
        }
    } while (next(problem->part_count, choices, choice));
    return possible;
}
