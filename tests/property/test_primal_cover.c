/* Covers by cheap sets of parts: against every assignment of small grids; hard packings that are
 * proven, by hand and on one thread or two; no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/solve/primal_bound.h"
#include "model/solve/primal_cover.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

#define SEEDS      200
#define PARTS_MOST 8
#define SITES_MOST 4

static struct arena arena;

/* Worths from prices, as the engine has them, then covers that cost less than `cost`. */
static struct cover_result cover(const struct grid *grid, int threads, int64_t cost, double work)
{
    struct error err = {0};
    struct dual_options prices = {.threads = threads};
    struct dual_result dual;
    assert_int_equal(dual_solve(grid, &prices, &arena, &dual, &err), 0);
    assert_true(dual.possible && dual.fits);
    double *worth = arena_array(&arena, (size_t)grid->parts, sizeof(double));
    assert_non_null(worth);
    struct primal_bound_options raise = {.threads = threads,
                                         .sets_max = 2e6,
                                         .price = dual.price,
                                         .bound = dual.bound,
                                         .target = INFINITY,
                                         .worth = worth};
    struct primal_bound_result bound;
    assert_int_equal(primal_bound_raise(grid, &raise, &arena, &bound, &err), 0);
    assert_true(bound.rounds > 0);
    struct cover_options options = {.threads = threads,
                                    .seed = 1,
                                    .work_max = work,
                                    .price = dual.price,
                                    .worth = worth,
                                    .cost = cost,
                                    .target = -INFINITY};
    struct cover_result result;
    assert_int_equal(cover_solve(grid, &options, &arena, &result, &err), 0);
    assert_true(result.fits);
    return result;
}

static void holds(const struct grid *grid, const struct cover_result *result, int64_t below)
{
    int64_t load[64] = {0};
    assert_true(grid->sites * grid->resources <= 64);
    if (result->found) {
        grid_load_of(grid, result->choice, load);
        assert_int_equal(grid_broken(grid, load, result->choice), 0);
        assert_true(grid_cost_of(grid, result->choice) == result->cost);
        assert_true(result->cost < below);
    } else {
        assert_true(result->cost == below);
    }
}

/* Demands that differ from site to site, some rows without a limit, some closed cells. */
static bool small_grid(uint64_t seed, struct grid *ret_grid)
{
    static int32_t demand[PARTS_MOST * SITES_MOST * 2];
    static int64_t capacity[SITES_MOST * 2];
    struct gen_random random;
    gen_seed(&random, seed);
    struct grid_shape shape = {.seed = seed,
                               .parts = 3 + (int)gen_below(&random, PARTS_MOST - 2),
                               .sites = 2 + (int)gen_below(&random, SITES_MOST - 1),
                               .resources = 1 + (int)gen_below(&random, 2),
                               .app_parts = 1,
                               .capacity_percent = 100 + (int)gen_below(&random, 60),
                               .closed_percent = (int)gen_below(&random, 40)};
    if (!grid_gen(&shape, &arena, ret_grid)) {
        return false;
    }
    size_t resources = (size_t)shape.resources;
    size_t rows = (size_t)shape.sites * resources;
    size_t cells = (size_t)shape.parts * (size_t)shape.sites;
    for (size_t i = 0; i < cells * resources; i++) {
        size_t part = i / resources / (size_t)shape.sites;
        int32_t own = ret_grid->demand[part * resources + i % resources];
        demand[i] = seed % 2 == 0 ? own / 2 + (int32_t)gen_below(&random, (uint64_t)own) : own;
    }
    for (size_t row = 0; row < rows; row++) {
        capacity[row] = gen_chance(&random, 8) ? INT64_MAX : ret_grid->capacity[row];
    }
    ret_grid->cell_demand = demand;
    ret_grid->capacity = capacity;
    return true;
}

static void as_every_assignment_says(void **state)
{
    (void)state;
    int judged = 0;
    int proven = 0;
    int found = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct grid grid;
        assert_true(small_grid(seed, &grid));
        int64_t best = grid_brute(&grid);
        if (best < INT64_MAX) {
            int64_t above = seed % 4 == 0 ? 0 : best / (int64_t)(10 + seed % 90);
            struct cover_result result = cover(&grid, 1, best + above, 3e5);
            holds(&grid, &result, best + above);
            if (!(result.bound <= (double)best) || result.cost < best ||
                (result.proven && result.cost != best)) {
                fail_msg("seed %d: best %lld, bound %.3f, %s%lld", (int)seed, (long long)best,
                         result.bound, result.proven ? "proven " : "", (long long)result.cost);
            }
            judged++;
            proven += result.proven;
            found += result.cost == best && above > 0;
        }
        arena_reset(&arena);
    }
    printf("%d grids, %d proven, %d optima found\n", judged, proven, found);
    assert_true(judged > SEEDS / 2);
    assert_true(proven > 9 * judged / 10);
    assert_true(found > 6 * judged / 10);
}

/* As class d of the literature: what costs little takes much room. */
static void hard_grid(uint64_t seed, int parts, int sites, struct grid *ret_grid)
{
    static uint32_t cost[60 * 12];
    static int32_t demand[60 * 12];
    static int64_t capacity[12];
    struct gen_random random;
    gen_seed(&random, seed);
    memset(capacity, 0, sizeof(capacity));
    for (int part = 0; part < parts; part++) {
        for (int site = 0; site < sites; site++) {
            int at = part * sites + site;
            demand[at] = 1 + (int32_t)gen_below(&random, 100);
            cost[at] = (uint32_t)(111 - demand[at] + (int32_t)gen_below(&random, 21));
            capacity[site] += demand[at];
        }
    }
    for (int site = 0; site < sites; site++) {
        capacity[site] = capacity[site] * 8 / 10 / sites;
    }
    *ret_grid = (struct grid){.parts = parts,
                              .sites = sites,
                              .resources = 1,
                              .cost = cost,
                              .demand = demand,
                              .cell_demand = demand,
                              .capacity = capacity};
}

/* From a cost that is far too high to a proof; the same on one thread or two. */
static void hard_packings(void **state)
{
    (void)state;
    int proven = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct grid grid;
        struct error err = {0};
        hard_grid(seed, 30, 8, &grid);
        assert_int_equal(grid_check(&grid, &err), 0);
        struct cover_result one = cover(&grid, 1, 3000, 1e9);
        struct cover_result two = cover(&grid, 2, 3000, 1e9);
        holds(&grid, &one, 3000);
        assert_true(one.found && one.cost == two.cost && one.bound == two.bound &&
                    one.work == two.work && one.proven == two.proven);
        assert_memory_equal(one.choice, two.choice, (size_t)grid.parts * sizeof(int));
        assert_true((double)one.cost >= one.bound);
        proven += one.proven;
        if (one.proven) { /* nothing is cheaper, whatever is asked for */
            struct cover_result again = cover(&grid, 1, one.cost, 1e9);
            assert_false(again.found);
        }
        arena_reset(&arena);
    }
    printf("%d of 3 proven\n", proven);
    assert_true(proven >= 2);
}

static void refused_and_no_memory(void **state)
{
    (void)state;
    struct grid grid;
    struct error err = {0};
    hard_grid(9, 30, 6, &grid);
    double price[6] = {0};
    double worth[30];
    for (int part = 0; part < grid.parts; part++) {
        worth[part] = 60;
    }
    struct cover_options options = {
        .price = price, .worth = worth, .cost = 3000, .work_max = 1e6, .target = -INFINITY};
    struct cover_result result;
    int failed = 0;
    for (int64_t fail = 0; fail < 200; fail++) {
        arena.fail_after = fail;
        int rc = cover_solve(&grid, &options, &arena, &result, &err);
        assert_true(rc == 0 || rc == ERR_NO_MEMORY);
        failed += rc == ERR_NO_MEMORY;
        arena_reset(&arena);
    }
    assert_true(failed > 20 && failed < 200);
    arena.fail_after = -1;
    struct grid_link link = {.a = 0, .b = 1};
    grid.links = 1;
    grid.link = &link;
    assert_int_equal(cover_solve(&grid, &options, &arena, &result, &err), 0);
    assert_false(result.fits);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_every_assignment_says),
        cmocka_unit_test(hard_packings),
        cmocka_unit_test(refused_and_no_memory),
    };
    arena_init(&arena, (size_t)512 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
