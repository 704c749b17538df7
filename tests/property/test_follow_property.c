/*
 * What a session stands on, each against trying everything: prices that are followed, the
 * alternatives of apps at some prices, and fitting them into what there is room for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/solve/dual_alts.h"
#include "model/solve/dual_follow.h"
#include "model/solve/dual_guess.h"
#include "model/solve/mip.h"
#include "model/solve/refit.h"
#include "tests/property/grid_gen.h"
#include "tests/property/problem_gen.h"

#define ROWS   3
#define GROUPS 5
#define EACH   3

static struct arena arena;

static struct grid fleet(uint64_t seed, int app_parts)
{
    struct grid_shape shape = {.seed = seed,
                               .parts = 400,
                               .sites = 6,
                               .resources = 2,
                               .app_parts = app_parts,
                               .chord_percent = 30,
                               .capacity_percent = 115,
                               .closed_percent = 20};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    return grid;
}

/* Every site dearer or cheaper by up to a fifth. */
static struct grid repriced(const struct grid *grid, uint64_t seed)
{
    struct gen_random random;
    struct grid other = *grid;
    size_t cells = grid_first(grid, grid->parts);
    uint32_t *cost = arena_array(&arena, cells, sizeof(uint32_t));
    assert_non_null(cost);
    gen_seed(&random, seed);
    uint64_t factor[16];
    for (int site = 0; site < grid->sites; site++) {
        factor[site] = 80 + gen_below(&random, 41);
    }
    for (size_t at = 0; at < cells; at++) {
        bool closed = grid->cost[at] == GRID_CLOSED;
        cost[at] = closed ? GRID_CLOSED
                          : (uint32_t)(grid->cost[at] * factor[at % (size_t)grid->sites] / 100);
    }
    other.cost = cost;
    return other;
}

static struct dual_result prices_of(const struct grid *grid)
{
    struct dual_options options = {.threads = 1};
    struct dual_result result;
    struct error err = {0};
    assert_int_equal(dual_solve(grid, &options, &arena, &result, &err), 0);
    return result;
}

/* As near to the best prices as the gap asked for, a bound that dual_bound confirms, and the same
 * whatever was followed before. */
static void prices_are_followed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct grid grid = fleet(seed, seed % 2 == 0 ? 1 : 8);
        struct dual_result base = prices_of(&grid);
        struct dual_follow *follow = NULL;
        struct dual_followed followed;
        struct error err = {0};
        assert_int_equal(dual_follow_create(&grid, base.price, &arena, &follow, &err), 0);
        double first = 0;
        for (uint64_t turn = 0; turn < 5; turn++) {
            struct grid other = repriced(&grid, seed * 10 + turn % 4);
            double best = prices_of(&other).bound;
            double bound;
            assert_true(dual_follow_fits(follow, &other));
            dual_follow_run(follow, &other, 1e-6, INFINITY, &followed);
            assert_true(followed.possible && followed.bound <= best + 1e-9 * fabs(best));
            assert_true(followed.bound >= best - 1e-3 * fabs(best));
            assert_int_equal(dual_bound(&other, followed.price, 1, &arena, NULL, &bound, &err), 0);
            assert_true(bound == followed.bound);
            first = turn == 0 ? bound : first;
            assert_true(turn != 4 || bound == first);
        }
        /* From where they are already there is nothing to do. */
        dual_follow_run(follow, &grid, 1e-6, base.bound - 1e-9 * fabs(base.bound), &followed);
        assert_int_equal(followed.sweeps, 1);
        /* Another structure is not followed. */
        struct grid other = grid;
        int32_t *demand = arena_copy(&arena, grid.demand, (size_t)grid.parts * 2 * sizeof(int32_t));
        assert_non_null(demand);
        demand[7]++;
        other.demand = demand;
        assert_false(dual_follow_fits(follow, &other));
        dual_follow_destroy(follow);
        arena_reset(&arena);
    }
}

/* Costs that are a price of each site times what a part takes, and little else: another price of a
 * site is another price of its row, and the guess finds that in one pass. */
static void prices_are_guessed(void **state)
{
    (void)state;
    struct grid grid = fleet(3, 1);
    struct gen_random random;
    size_t cells = grid_first(&grid, grid.parts);
    uint32_t *cost = arena_array(&arena, cells, sizeof(uint32_t));
    uint32_t *dearer = arena_array(&arena, cells, sizeof(uint32_t));
    assert_true(cost != NULL && dearer != NULL);
    gen_seed(&random, 5);
    for (int part = 0; part < grid.parts; part++) {
        uint32_t taken = (uint32_t)grid.demand[(size_t)part * 2];
        for (int c = 0; c < grid_cells(&grid, part); c++) {
            size_t at = grid_first(&grid, part) + (size_t)c;
            uint32_t site = (uint32_t)grid_site(&grid, part, c);
            uint32_t noise = (uint32_t)gen_below(&random, taken + 1);
            cost[at] = taken * (20 + 3 * site) + noise;
            dearer[at] = taken * (20 + 3 * site + 7 * (site % 3)) + noise;
        }
    }
    grid.cost = cost;
    struct grid other = grid;
    other.cost = dearer;
    struct dual_result base = prices_of(&grid);
    double best = prices_of(&other).bound;
    struct dual_guess *guess = NULL;
    struct error err = {0};
    double price[64];
    double bound;
    double before;
    size_t rows = (size_t)grid.sites * (size_t)grid.resources;
    assert_int_equal(dual_guess_create(&grid, base.price, &arena, &guess, &err), 0);
    dual_guess_run(guess, &grid, price);
    for (size_t row = 0; row < rows; row++) {
        assert_true(fabs(price[row] - base.price[row]) <= 1e-6 * (base.price[row] + 1));
    }
    dual_guess_run(guess, &other, price);
    assert_int_equal(dual_bound(&other, base.price, 1, &arena, NULL, &before, &err), 0);
    assert_int_equal(dual_bound(&other, price, 1, &arena, NULL, &bound, &err), 0);
    assert_true(best - bound < 0.5 * (best - before));
    arena_reset(&arena);
}

/* Links' costs may be others, too: the plan's tables follow. */
static void links_are_followed(void **state)
{
    (void)state;
    struct grid grid = fleet(9, 8);
    struct dual_result base = prices_of(&grid);
    struct dual_follow *follow = NULL;
    struct dual_followed followed;
    struct error err = {0};
    assert_int_equal(dual_follow_create(&grid, base.price, &arena, &follow, &err), 0);
    struct grid other = grid;
    size_t cells = (size_t)grid.sites * (size_t)grid.sites;
    struct grid_table *table = arena_copy(&arena, grid.table, sizeof(*table));
    struct grid_link *link = arena_copy(&arena, grid.link, (size_t)grid.links * sizeof(*link));
    uint32_t *value = arena_copy(&arena, grid.table->value, cells * sizeof(uint32_t));
    assert_true(table != NULL && link != NULL && value != NULL);
    for (size_t i = 0; i < cells; i++) {
        value[i] = value[i] * 3 / 2 + (uint32_t)i;
    }
    for (int i = 0; i < grid.links; i++) {
        link[i].scale = i % 5 == 0 ? -link[i].scale / 4 : link[i].scale;
        link[i].base = i;
    }
    table->value = value;
    other.table = table;
    other.link = link;
    assert_true(dual_follow_fits(follow, &other));
    double bound;
    dual_follow_run(follow, &other, 1e-6, INFINITY, &followed);
    assert_int_equal(dual_bound(&other, followed.price, 1, &arena, NULL, &bound, &err), 0);
    assert_true(followed.possible && bound == followed.bound);
    dual_follow_destroy(follow);
    arena_reset(&arena);
}

/* What an assignment pays at prices; INFINITY: it takes what is closed. */
static double priced(const struct grid *grid, const double *price, const int *choice)
{
    int64_t load[64];
    grid_load_of(grid, choice, load);
    struct grid free = *grid;
    int64_t capacity[64];
    double sum = (double)grid_cost_of(grid, choice);
    for (int row = 0; row < grid->sites * grid->resources; row++) {
        capacity[row] = INT64_MAX;
        sum += price[row] * (double)load[row];
    }
    free.capacity = capacity;
    return grid_broken(&free, load, choice) > 0 ? INFINITY : sum;
}

/* Of small grids that are one app, every assignment within the limit is found, and no other. */
static void alternatives_are_all_found(void **state)
{
    (void)state;
    int checked = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct grid grid;
        assert_true(grid_gen_small(seed, 1, &arena, &grid));
        struct dual_result base = prices_of(&grid);
        struct dual_follow *follow = NULL;
        struct error err = {0};
        struct dual_alts alts;
        if (!base.possible || dual_follow_create(&grid, base.price, &arena, &follow, &err) < 0) {
            arena_reset(&arena);
            continue;
        }
        struct dual *dual = dual_follow_dual(follow);
        struct dual_followed followed;
        dual_follow_run(follow, &grid, 1, -INFINITY, &followed);
        assert_int_equal(dual_alts_init(dual, 64, &arena, &alts, &err), 0);
        if (dual->tree->singles == 0 && dual->tree->apps == 1) {
            double least = priced(&grid, followed.price, followed.choice);
            double limit = 3e5;
            int wanted = 0;
            int choice[8] = {0};
            do {
                wanted += priced(&grid, followed.price, choice) - least <= limit;
            } while (grid_next(&grid, choice));
            assert_true(dual_alts_find(dual, followed.price, followed.choice, limit, &alts));
            bool over = wanted > DUAL_ALTS_UNIT;
            assert_true(over || alts.count == (wanted > 1 ? wanted : 0));
            for (int i = 0; i < alts.count; i++) {
                dual_alts_put(dual, &alts, 0, i, choice);
                double rise = priced(&grid, followed.price, choice) - least;
                assert_true(fabs(rise - alts.rise[i]) <= 1e-6 * (1 + fabs(least)));
                assert_true(dual_alts_is(dual, &alts, 0, i, choice));
            }
            checked += !over && wanted > 1;
        }
        dual_follow_destroy(follow);
        arena_reset(&arena);
    }
    assert_true(checked > 10);
}

/* A problem of five groups with three alternatives each. */
static struct refit_problem gen_refit(uint64_t seed, int *first, double *rise, double *take,
                                      double *room, double *price)
{
    struct gen_random random;
    gen_seed(&random, seed);
    for (int i = 0; i < GROUPS * EACH * 8; i++) {
        take[i] = 0;
    }
    for (int i = 0; i <= GROUPS; i++) {
        first[i] = i * EACH;
    }
    for (int i = 0; i < GROUPS * EACH; i++) {
        rise[i] = i % EACH == 0 ? 0 : (double)gen_below(&random, 1000);
        for (int row = 0; row < ROWS && i % EACH != 0; row++) {
            take[i * 8 + row] = (double)gen_below(&random, 21) - 10;
        }
    }
    for (int row = 0; row < ROWS; row++) {
        room[row] = (double)gen_below(&random, 16) - 8;
        price[row] = (double)gen_below(&random, 50);
    }
    return (struct refit_problem){.rows = ROWS,
                                  .stride = 8,
                                  .groups = GROUPS,
                                  .first = first,
                                  .rise = rise,
                                  .take = take,
                                  .room = room,
                                  .price = price,
                                  .unit = 5};
}

/* What a choice pays; INFINITY: it does not fit. */
static double refit_sum(const struct refit_problem *problem, const int *taken)
{
    double sum = 0;
    for (int row = 0; row < ROWS; row++) {
        double slack = problem->room[row];
        for (int group = 0; group < GROUPS; group++) {
            slack -= problem->take[taken[group] * 8 + row];
        }
        sum += slack < 0 ? INFINITY : slack * problem->price[row];
    }
    for (int group = 0; group < GROUPS; group++) {
        sum += problem->rise[taken[group]];
    }
    return sum;
}

static void refits_are_the_best(void **state)
{
    (void)state;
    int fitting = 0;
    int best_found = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        int first[GROUPS + 1];
        double rise[GROUPS * EACH];
        double take[GROUPS * EACH * 8];
        double room[ROWS];
        double price[ROWS];
        struct refit_problem problem = gen_refit(seed, first, rise, take, room, price);
        double best = INFINITY;
        for (int code = 0; code < 243; code++) {
            int taken[GROUPS];
            for (int group = 0, left = code; group < GROUPS; group++, left /= EACH) {
                taken[group] = group * EACH + left % EACH;
            }
            best = fmin(best, refit_sum(&problem, taken));
        }
        struct refit *refit = NULL;
        struct error err = {0};
        assert_int_equal(refit_create(GROUPS, GROUPS * EACH, 8, &arena, &refit, &err), 0);
        struct refit_options options = {.seed = seed, .trials = 6400, .hot = 10, .cold = 1};
        int taken[GROUPS];
        double sum = -1;
        for (int group = 0; group < GROUPS; group++) {
            taken[group] = first[group];
        }
        bool found = refit_run(refit, &problem, &options, taken, &sum);
        assert_true(!found || best < INFINITY);
        if (found) {
            assert_true(fabs(sum - refit_sum(&problem, taken)) < 1e-6 && sum >= best - 1e-6);
            best_found += sum <= best + 1e-6;
        }
        fitting += best < INFINITY;
        arena_reset(&arena);
    }
    assert_true(fitting > 100 && best_found >= fitting * 95 / 100);
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
    arena_init(&arena, (size_t)1 << 30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prices_are_followed), cmocka_unit_test(prices_are_guessed),
        cmocka_unit_test(links_are_followed),  cmocka_unit_test(alternatives_are_all_found),
        cmocka_unit_test(refits_are_the_best),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
