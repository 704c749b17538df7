/*
 * The engine against brute force on small grids of every kind, and what it says of its own answers:
 * bounds, prices that dual_bound confirms, the same bits on one thread or two.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

static struct arena arena;

static struct grid small_grid(uint64_t seed)
{
    struct grid grid;
    assert_true(grid_gen_small(seed, 1, &arena, &grid));
    return grid;
}

static struct engine_result solve(const struct grid *grid, const struct engine_options *options)
{
    struct engine_result result;
    struct error err = {0};
    if (engine_solve(grid, options, &arena, &result, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return result;
}

static void the_optimum(void **state)
{
    (void)state;
    int infeasible = 0;
    int placed = 0;
    int proven = 0;
    for (uint64_t seed = 1; seed <= 250; seed++) {
        struct grid grid = small_grid(seed);
        int64_t best = grid_brute(&grid);
        struct engine_options options = {.seed = seed, .moves_max = 300};
        struct engine_result result = solve(&grid, &options);
        if (best == INT64_MAX) {
            infeasible++;
            assert_int_equal(result.status, SOLVE_INFEASIBLE);
        } else {
            int64_t load[64];
            /* GLPK's proof ends a millionth of its gap before the optimum (docs/solver.md). */
            if (result.cost != best || result.gap > 2e-6) {
                fail_msg("seed %llu, %d links: %s, cost %lld, bound %.3f, best %lld",
                         (unsigned long long)seed, grid.links, solve_status_words[result.status],
                         (long long)result.cost, result.bound, (long long)best);
            }
            proven += result.status == SOLVE_OPTIMAL;
            placed++;
            grid_load_of(&grid, result.choice, load);
            assert_int_equal(grid_broken(&grid, load, result.choice), 0);
            assert_true(result.bound <= (double)best);
            assert_true(grid_cost_of(&grid, result.choice) == best);
            double bound;
            struct error err = {0};
            assert_int_equal(dual_bound(&grid, result.price, 1, &arena, NULL, &bound, &err), 0);
            assert_true(bound == result.bound_priced && bound <= (double)best);
        }
        arena_reset(&arena);
    }
    assert_true(infeasible > 5);
    assert_true(proven > placed * 9 / 10);
}

/* What is there already stays, where nothing is cheaper. */
static void nothing_moves(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct grid grid = small_grid(seed);
        struct engine_options options = {.seed = 1, .moves_max = 300};
        struct engine_result first = solve(&grid, &options);
        if (first.status == SOLVE_OPTIMAL) {
            grid.current = first.choice;
            options.seed = 2;
            struct engine_result again = solve(&grid, &options);
            assert_memory_equal(again.choice, first.choice, (size_t)grid.parts * sizeof(int));
        }
        arena_reset(&arena);
    }
}

static void one_thread_or_two(void **state)
{
    (void)state;
    for (int linked = 0; linked < 2; linked++) {
        struct grid_shape shape = {.seed = 11,
                                   .parts = 600,
                                   .sites = 12,
                                   .resources = 2,
                                   .app_parts = linked ? 6 : 1,
                                   .chord_percent = 20,
                                   .capacity_percent = 112,
                                   .closed_percent = 20};
        struct grid grid;
        assert_true(grid_gen(&shape, &arena, &grid));
        struct engine_options options = {
            .threads = 1, .seed = 3, .moves_max = 300, .work_max = 1000000, .gap = 1e-9};
        struct engine_result one = solve(&grid, &options);
        options.threads = 2;
        struct engine_result two = solve(&grid, &options);
        assert_true(one.status == SOLVE_FEASIBLE || one.status == SOLVE_OPTIMAL);
        assert_true(one.cost == two.cost && one.bound == two.bound);
        assert_memory_equal(one.choice, two.choice, (size_t)grid.parts * sizeof(int));
        assert_true(one.bound <= (double)one.cost && one.gap < 0.05);
        arena_reset(&arena);
    }
}

static void edges(void **state)
{
    (void)state;
    /* No parts at all. */
    const int64_t capacity[] = {5};
    const uint32_t cost[] = {7, GRID_CLOSED};
    const int32_t demand[] = {6, 6};
    struct grid grid = {
        .sites = 1, .resources = 1, .capacity = capacity, .cost = cost, .demand = demand};
    struct engine_options options = {.seed = 1};
    struct engine_result result = solve(&grid, &options);
    assert_int_equal(result.status, SOLVE_OPTIMAL);
    assert_int_equal(result.cost, 0);
    /* One that is larger than the only site; one that may go nowhere. */
    grid.parts = 1;
    assert_int_equal(solve(&grid, &options).status, SOLVE_INFEASIBLE);
    grid.parts = 2;
    result = solve(&grid, &options);
    assert_int_equal(result.status, SOLVE_INFEASIBLE);
    assert_int_equal(result.part, 1);
    /* A grid that is none. */
    struct error err = {0};
    grid.sites = 0;
    assert_int_equal(engine_solve(&grid, &options, &arena, &result, &err), ERR_INVALID);
    arena_reset(&arena);
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    mip_release();
    return 0;
}

int main(void)
{
    mip_quiet();
    arena_init(&arena, (size_t)2 << 30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_optimum),
        cmocka_unit_test(nothing_moves),
        cmocka_unit_test(one_thread_or_two),
        cmocka_unit_test(edges),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
