/* The bound of whole parts against every assignment of small grids, and against its own word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>

#include "model/solve/primal_bound.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

#define SEEDS      400
#define PARTS_MOST 7
#define SITES_MOST 4

static struct arena arena;

static struct primal_bound_result raise_bound(const struct grid *grid, int threads, double *priced)
{
    struct error err = {0};
    struct dual_options prices = {.threads = threads};
    struct dual_result dual;
    struct primal_bound_result result = {.bound = INFINITY};
    assert_int_equal(dual_solve(grid, &prices, &arena, &dual, &err), 0);
    assert_true(dual.possible && dual.fits);
    struct primal_bound_options options = {.threads = threads,
                                           .sets_max = 2e6,
                                           .price = dual.price,
                                           .bound = dual.bound,
                                           .target = INFINITY};
    assert_int_equal(primal_bound_raise(grid, &options, &arena, &result, &err), 0);
    *priced = dual.bound;
    return result;
}

/* Every third with demands that differ from site to site, every fifth with amounts in the
 * thousand millions, some with rows that have no limit. */
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
                               .capacity_percent = 105 + (int)gen_below(&random, 60),
                               .closed_percent = (int)gen_below(&random, 40)};
    if (!grid_gen(&shape, &arena, ret_grid)) {
        return false;
    }
    size_t resources = (size_t)shape.resources;
    size_t rows = (size_t)shape.sites * resources;
    size_t cells = (size_t)shape.parts * (size_t)shape.sites;
    bool uneven = seed % 3 == 0;
    int32_t factor = seed % 5 == 0 ? 50021 : 1;
    for (size_t i = 0; i < cells * resources; i++) {
        size_t cell = i / resources;
        size_t part = cell / (size_t)shape.sites;
        int32_t own = ret_grid->demand[part * resources + i % resources];
        demand[i] = (uneven ? own / 2 + (int32_t)gen_below(&random, (uint64_t)own) : own) * factor;
    }
    for (size_t row = 0; row < rows; row++) {
        capacity[row] = ret_grid->capacity[row] * factor;
        capacity[row] = gen_chance(&random, 8) ? INT64_MAX : capacity[row];
    }
    ret_grid->cell_demand = demand;
    ret_grid->capacity = capacity;
    return true;
}

static void below_every_assignment(void **state)
{
    (void)state;
    int judged = 0;
    int raised = 0;
    int met = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct grid grid;
        assert_true(small_grid(seed, &grid));
        int64_t best = grid_brute(&grid);
        if (best < INT64_MAX) {
            double priced;
            struct primal_bound_result result = raise_bound(&grid, 1, &priced);
            if (!(result.bound >= priced && result.bound <= (double)best)) {
                fail_msg("seed %d: prices prove %.3f, whole parts %.3f, best %lld", (int)seed,
                         priced, result.bound, (long long)best);
            }
            judged++;
            raised += result.bound > priced + 1e-4 * ((double)best - priced);
            met += (double)best - result.bound < 1 && (double)best - priced > 10;
        }
        arena_reset(&arena);
    }
    printf("%d grids, %d raised, %d to the optimum\n", judged, raised, met);
    assert_true(judged > SEEDS / 2);
    assert_true(raised > judged / 3);
    assert_true(met > judged / 20);
}

/* Sites that a known assignment fills to the last unit, and that costs little more than any prices
 * prove: a bound that was too good would pass it. */
static void below_what_was_planted(void **state)
{
    (void)state;
    enum { PARTS = 160, SITES = 6, RESOURCES = 3 };
    static uint32_t cost[PARTS * SITES];
    static int32_t demand[PARTS * RESOURCES];
    int raised = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct gen_random random;
        gen_seed(&random, seed);
        int64_t capacity[SITES * RESOURCES] = {0};
        int64_t rate[SITES * RESOURCES];
        int choice[PARTS];
        for (int row = 0; row < SITES * RESOURCES; row++) {
            rate[row] = 5 + (int64_t)gen_below(&random, 40);
        }
        for (int part = 0; part < PARTS; part++) {
            choice[part] = (int)gen_below(&random, SITES);
            for (int r = 0; r < RESOURCES; r++) {
                demand[part * RESOURCES + r] = 1000 + (int32_t)gen_below(&random, 15000);
                capacity[choice[part] * RESOURCES + r] += demand[part * RESOURCES + r];
            }
            for (int site = 0; site < SITES; site++) {
                int64_t own = 3000000;
                for (int r = 0; r < RESOURCES; r++) {
                    own -= rate[site * RESOURCES + r] * demand[part * RESOURCES + r];
                }
                own += (int64_t)gen_below(&random, site == choice[part] ? 30000 : 300000);
                cost[part * SITES + site] = (uint32_t)own;
            }
        }
        struct grid grid = {.parts = PARTS,
                            .sites = SITES,
                            .resources = RESOURCES,
                            .cost = cost,
                            .demand = demand,
                            .capacity = capacity};
        struct error err = {0};
        assert_int_equal(grid_check(&grid, &err), 0);
        double planted = (double)grid_cost_of(&grid, choice);
        double priced;
        struct primal_bound_result result = raise_bound(&grid, 2, &priced);
        assert_true(priced <= result.bound && result.bound <= planted);
        raised += result.bound > priced + 0.1 * (planted - priced);
        arena_reset(&arena);
    }
    printf("%d of 12 raised by a tenth of what was open\n", raised);
    assert_true(raised > 3);
}

/* A larger one: better than prices, with the same bits on one thread or two. */
static void one_thread_or_two(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 5,
                               .parts = 300,
                               .sites = 8,
                               .resources = 3,
                               .app_parts = 1,
                               .capacity_percent = 115,
                               .closed_percent = 20};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    double priced;
    struct primal_bound_result one = raise_bound(&grid, 1, &priced);
    struct primal_bound_result two = raise_bound(&grid, 2, &priced);
    assert_true(one.bound == two.bound && one.rounds == two.rounds && one.sets == two.sets);
    assert_true(one.bound > priced * (1 + 1e-4));
    arena_reset(&arena);
}

/* Parts that fit wherever they are cheapest have nothing to add; and no memory is an error. */
static void nothing_to_add(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 3, .parts = 20, .sites = 4, .resources = 2, .app_parts = 1};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    double priced;
    struct primal_bound_result result = raise_bound(&grid, 1, &priced);
    assert_true(result.bound >= priced && result.bound <= priced + 1);
    double price[8] = {0};
    struct primal_bound_options options = {.price = price, .target = INFINITY};
    struct error err = {0};
    for (int64_t fail = 0; fail < 8; fail++) {
        arena.fail_after = fail;
        assert_int_equal(primal_bound_raise(&grid, &options, &arena, &result, &err), ERR_NO_MEMORY);
    }
    arena.fail_after = -1;
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(below_every_assignment),
        cmocka_unit_test(below_what_was_planted),
        cmocka_unit_test(one_thread_or_two),
        cmocka_unit_test(nothing_to_add),
    };
    arena_init(&arena, (size_t)512 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
