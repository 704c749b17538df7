/*
 * Branch and bound against brute force on small grids of every kind, with prices and without; a
 * budget that ends early leaves a true bound; whole.h says the same of a grid as grid.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/solve/branch.h"
#include "model/solve/whole.h"
#include "model/solve/wide.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define SEEDS 400

static struct arena arena;

static struct grid small_grid(uint64_t seed)
{
    struct gen_random random;
    gen_seed(&random, seed + 5000);
    struct grid grid;
    assert_true(grid_gen_small(seed, 0, &arena, &grid));
    if (gen_chance(&random, 30) && grid.links > 0) { /* gains beside costs, and closed pairs */
        struct grid_link *link = arena_copy(&arena, grid.link, (size_t)grid.links * sizeof(*link));
        struct grid_table *table = arena_copy(&arena, grid.table, sizeof(*table));
        size_t cells = (size_t)(grid.sites * grid.sites);
        uint32_t *value = arena_copy(&arena, table->value, cells * sizeof(*value));
        value[gen_below(&random, cells)] = GRID_CLOSED;
        table->value = value;
        for (int i = 0; i < grid.links; i++) {
            link[i].scale *= gen_chance(&random, 50) ? -1 : 1;
            link[i].base = (int64_t)gen_below(&random, 1000) - 500;
        }
        grid.link = link;
        grid.table = table;
    }
    return grid;
}

static struct branch_result solve(const struct grid *grid, const struct branch_options *options)
{
    struct branch_result result;
    struct error err = {0};
    if (branch_solve(grid, options, &arena, &result, &err) < 0) {
        fail_msg("%s", err.text);
    }
    char why[PLAN_WHY_BYTES];
    struct plan_claim claim = {
        .choice = result.choice, .cost = result.cost, .bound = (double)result.bound};
    if (result.found && !plan_check_grid(grid, &claim, why)) {
        fail_msg("%s", why);
    }
    return result;
}

static void the_optimum(void **state)
{
    (void)state;
    int infeasible = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct grid grid = small_grid(seed);
        int64_t best = grid_brute(&grid);
        struct gen_random random;
        gen_seed(&random, seed + 1000);
        double price[64] = {0};
        for (int i = 0; i < grid.sites * grid.resources; i++) {
            price[i] = (double)gen_below(&random, 2000) / 16;
        }
        for (int way = 0; way < 4; way++) {
            struct branch_options options = {.price = way % 2 ? price : NULL, .lifted = way / 2};
            struct branch_result result = solve(&grid, &options);
            assert_true(result.proven);
            assert_int_equal(result.found, best != INT64_MAX);
            infeasible += !result.found;
            if (result.found) {
                int64_t load[64];
                grid_load_of(&grid, result.choice, load);
                assert_int_equal(grid_broken(&grid, load, result.choice), 0);
                assert_true(result.cost == best && result.bound == best);
                assert_true(grid_cost_of(&grid, result.choice) == best);
            }
        }
        arena_reset(&arena);
    }
    assert_true(infeasible > 5);
}

/* Elimination says the same where there are no capacities; where there are, a bound. */
static void by_elimination(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct grid grid = small_grid(seed);
        struct wide_result wide;
        struct error err = {0};
        int64_t best = grid_brute(&grid);
        assert_int_equal(wide_solve(&grid, &arena, &wide, &err), 0);
        assert_true(wide.fits);
        assert_true(!wide.possible || wide.least <= best);
        struct grid loose = grid;
        loose.resources = 0;
        best = grid_brute(&loose);
        assert_int_equal(wide_solve(&loose, &arena, &wide, &err), 0);
        assert_int_equal(wide.possible, best != INT64_MAX);
        if (wide.possible) {
            assert_true(wide.least == best);
            char why[PLAN_WHY_BYTES];
            struct plan_claim claim = {
                .choice = wide.choice, .cost = wide.least, .bound = (double)best};
            assert_true(plan_check_grid(&loose, &claim, why));
        }
        arena_reset(&arena);
    }
}

/* What is too wide, or too dear, is said; a star is narrow however many its leaves. */
static void limits_of_elimination(void **state)
{
    (void)state;
    /* Thirty parts at ten sites, each linked to all: no table holds them, and that is said. */
    struct grid_shape shape = {
        .seed = 5, .parts = 30, .sites = 10, .app_parts = 30, .chord_percent = 100};
    struct grid grid;
    struct wide_result wide;
    struct error err = {0};
    assert_true(grid_gen(&shape, &arena, &grid));
    struct grid_link *link = arena_array(&arena, 435, sizeof(*link));
    grid.links = 0;
    for (int a = 0; a < 30; a++) {
        for (int b = 0; b < a; b++) {
            link[grid.links++] = (struct grid_link){.a = a, .b = b, .scale = 1};
        }
    }
    grid.link = link;
    assert_int_equal(wide_solve(&grid, &arena, &wide, &err), 0);
    assert_false(wide.fits);
    /* A star of many leaves is narrow, however many they are. */
    grid.links = 0;
    for (int a = 1; a < 30; a++) {
        link[grid.links++] = (struct grid_link){.a = a, .b = 0, .scale = 3};
    }
    assert_int_equal(wide_solve(&grid, &arena, &wide, &err), 0);
    assert_true(wide.fits && wide.possible);
    struct branch_options none = {0};
    assert_true(solve(&grid, &none).cost == wide.least);
    /* Costs whose sum could be taken for what is closed, and a pair that agrees on nothing. */
    struct grid dear = grid;
    int64_t *unit = arena_array(&arena, 30, sizeof(int64_t));
    for (int part = 0; part < 30; part++) {
        unit[part] = INT64_C(1) << 37;
    }
    dear.unit = unit;
    assert_int_equal(wide_solve(&dear, &arena, &wide, &err), 0);
    assert_false(wide.fits);
    uint32_t shut[100];
    memset(shut, 0xff, sizeof(shut));
    struct grid_table table = {.by_site = true, .rows = 10, .columns = 10, .value = shut};
    struct grid torn = grid;
    torn.table = &table;
    assert_int_equal(wide_solve(&torn, &arena, &wide, &err), 0);
    assert_true(wide.fits);
    assert_false(wide.possible);
    for (int64_t after = 0;; after++) {
        arena.fail_after = after;
        int rc = wide_solve(&grid, &arena, &wide, &err);
        arena.fail_after = -1;
        if (rc == 0 && wide.fits) {
            break;
        }
        assert_true(rc == ERR_NO_MEMORY || !wide.fits);
    }
    arena_reset(&arena);
}

/* However early it ends, the bound is one. */
static void a_budget(void **state)
{
    (void)state;
    int open = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct grid grid = small_grid(seed);
        int64_t best = grid_brute(&grid);
        for (int64_t work = 1; work < 5000; work *= 7) {
            struct branch_options options = {.work_max = work};
            struct branch_result result = solve(&grid, &options);
            assert_true(result.bound <= best);
            assert_true(!result.found || result.cost >= best);
            assert_true(!result.proven || !result.found || result.cost == best);
            open += !result.proven;
        }
        arena_reset(&arena);
    }
    assert_true(open > 50);
}

/* Twelve parts that all want to be together at three sites for four each: the prices that hold for
 * one part's being at a site prove at the root what no message without capacities could. */
static void room_shared(void **state)
{
    (void)state;
    enum { PARTS = 12, SITES = 3 };
    struct grid_link link[PARTS * PARTS / 2];
    uint32_t apart[SITES * SITES];
    uint32_t cost[PARTS * SITES] = {0};
    int32_t demand[PARTS];
    int64_t capacity[SITES];
    for (int i = 0; i < SITES * SITES; i++) {
        apart[i] = i % (SITES + 1) != 0;
    }
    for (int i = 0; i < SITES; i++) {
        capacity[i] = 4;
    }
    struct grid_table table = {.by_site = true, .rows = SITES, .columns = SITES, .value = apart};
    struct grid grid = {.parts = PARTS,
                        .sites = SITES,
                        .resources = 1,
                        .cost = cost,
                        .demand = demand,
                        .capacity = capacity,
                        .link = link,
                        .tables = 1,
                        .table = &table};
    for (int a = 0; a < PARTS; a++) {
        demand[a] = 1;
        for (int b = 0; b < a; b++) {
            link[grid.links++] = (struct grid_link){.a = a, .b = b, .scale = 10};
        }
    }
    struct branch_options early = {.work_max = 1, .lifted = true};
    struct branch_result root = solve(&grid, &early);
    assert_false(root.proven);
    if (root.bound < 450 || root.bound > 480) {
        fail_msg("bound %lld", (long long)root.bound);
    }
    struct branch_options none = {.lifted = true};
    struct branch_result whole = solve(&grid, &none);
    assert_true(whole.proven && whole.cost == 480);
    early.lifted = false;
    assert_true(solve(&grid, &early).bound < root.bound);
    arena_reset(&arena);
}

/* What is known already is kept, and does not hide what is cheaper. */
static void a_start(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct grid grid = small_grid(seed);
        int64_t best = grid_brute(&grid);
        if (best == INT64_MAX) {
            continue;
        }
        struct branch_options none = {0};
        struct branch_result first = solve(&grid, &none);
        struct branch_options from_best = {.start = first.choice};
        struct branch_result again = solve(&grid, &from_best);
        assert_true(again.proven && again.cost == best);
        assert_memory_equal(again.choice, first.choice, (size_t)grid.parts * sizeof(int));
        arena_reset(&arena);
    }
}

static bool at_once(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    (*(int *)context)++;
    return false;
}

static void cancelled(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 5,
                               .parts = 40,
                               .sites = 8,
                               .resources = 2,
                               .app_parts = 40,
                               .chord_percent = 300,
                               .capacity_percent = 110};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    int calls = 0;
    struct branch_options options = {.progress = at_once, .context = &calls};
    struct branch_result result = solve(&grid, &options);
    assert_false(result.proven);
    assert_int_equal(calls, 1);
    arena_reset(&arena);
}

/* whole_problem: the same costs and rules for any assignment. */
static void in_full(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct grid grid = small_grid(seed);
        struct problem problem;
        struct error err = {0};
        assert_int_equal(whole_problem(&grid, 7, &arena, &problem, &err), 0);
        int64_t load[64];
        int choice[8] = {0};
        do {
            grid_load_of(&grid, choice, load);
            bool kept = grid_broken(&grid, load, choice) == 0;
            assert_int_equal(problem_broken_rule(&problem, choice) < 0, kept);
            if (kept) {
                assert_true(problem_cost(&problem, choice) == 7 * grid_cost_of(&grid, choice));
            }
        } while (grid_next(&grid, choice));
        arena_reset(&arena);
    }
}

static void limits(void **state)
{
    (void)state;
    struct grid_shape shape = {
        .seed = 5, .parts = 6, .sites = 4, .resources = 2, .app_parts = 3, .capacity_percent = 150};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    struct branch_options options = {0};
    struct branch_result result;
    struct problem problem;
    struct error err = {0};
    int64_t after = 0;
    for (;; after++) {
        arena.fail_after = after;
        int rc = branch_solve(&grid, &options, &arena, &result, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, ERR_LIMIT);
    }
    assert_true(after > 10 && result.proven);
    for (after = 0;; after++) {
        arena.fail_after = after;
        int rc = whole_problem(&grid, 1, &arena, &problem, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
    assert_int_equal(whole_problem(&grid, INT64_MAX / 2, &arena, &problem, &err), ERR_OVERFLOW);
    int64_t unit[6] = {1, 1, INT64_C(1) << 40, 1, 1, 1};
    grid.unit = unit;
    assert_int_equal(branch_solve(&grid, &options, &arena, &result, &err), ERR_LIMIT);
    grid.sites = LIMIT_SITES + 1;
    assert_int_equal(whole_problem(&grid, 1, &arena, &problem, &err), ERR_LIMIT);
    arena_reset(&arena);
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    arena_init(&arena, (size_t)1 << 30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum),
        cmocka_unit_test(by_elimination),
        cmocka_unit_test(limits_of_elimination),
        cmocka_unit_test(a_budget),
        cmocka_unit_test(room_shared),
        cmocka_unit_test(a_start),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(in_full),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
