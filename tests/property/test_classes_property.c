/*
 * Kinds and groups against brute force on small grids made of copies, against the dual of the whole
 * grid on larger ones, and the engine's answers by way of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/solve/classes.h"
#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/property/grid_gen.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

static struct arena arena;

/* Copies of a few kinds of parts at copies of a few sites, all in random order. */
struct shape {
    uint64_t seed;
    int parts;
    int kinds;
    int sites;
    int groups;
    int resources;
    int room_percent; /* of the demand, at all sites together */
    bool listed;      /* cells as a list, those that are closed left out; demands per cell */
    bool own_cost;    /* each part pays a little of its own: no two are alike */
};

static int *shuffled(struct gen_random *random, int count, int numbers)
{
    int *of = arena_array(&arena, (size_t)count, sizeof(int));
    assert_non_null(of);
    for (int i = 0; i < count; i++) {
        of[i] = i % numbers;
    }
    for (int i = count - 1; i > 0; i--) {
        int j = (int)gen_below(random, (uint64_t)i + 1);
        int kept = of[i];
        of[i] = of[j];
        of[j] = kept;
    }
    return of;
}

/* Long: one pass that draws kinds, groups, cells and rooms in an order that the seed fixes. */
static struct grid copies(const struct shape *shape)
{
    struct gen_random random;
    gen_seed(&random, shape->seed);
    size_t sites = (size_t)shape->sites;
    size_t parts = (size_t)shape->parts;
    size_t resources = (size_t)shape->resources;
    int *kind_of = shuffled(&random, shape->parts, shape->kinds);
    int *group_of = shuffled(&random, shape->sites, shape->groups);
    size_t *first = arena_array(&arena, parts + 1, sizeof(size_t));
    uint16_t *site_of = arena_array(&arena, parts * sites, sizeof(uint16_t));
    uint32_t *cost = arena_array(&arena, parts * sites, sizeof(uint32_t));
    int32_t *demand = arena_array(&arena, parts * sites * resources + 1, sizeof(int32_t));
    int64_t *capacity = arena_array(&arena, sites * resources + 1, sizeof(int64_t));
    uint32_t kind_cost[64][16];
    int32_t kind_demand[64][16][4];
    int64_t share[16];
    int64_t shares = 0;
    for (int group = 0; group < shape->groups; group++) {
        share[group] = 2 + (int64_t)gen_below(&random, 4);
    }
    for (size_t site = 0; site < sites; site++) {
        shares += share[group_of[site]];
    }
    for (int kind = 0; kind < shape->kinds; kind++) {
        int open = 0;
        for (int group = 0; group < shape->groups; group++) {
            bool closed = gen_chance(&random, 15) && open > 0;
            open += !closed;
            kind_cost[kind][group] =
                closed ? GRID_CLOSED : 1000 + (uint32_t)gen_below(&random, 9000);
            for (size_t r = 0; r < resources; r++) {
                kind_demand[kind][group][r] = !shape->listed && group > 0
                                                  ? kind_demand[kind][0][r]
                                                  : 10 + (int32_t)gen_below(&random, 90);
            }
        }
    }
    int64_t total[4] = {0};
    size_t cells = 0;
    for (size_t part = 0; part < parts; part++) {
        int kind = kind_of[part];
        first[part] = cells;
        for (size_t site = 0; site < sites; site++) {
            uint32_t each = kind_cost[kind][group_of[site]];
            if (shape->listed && each == GRID_CLOSED) {
                continue;
            }
            site_of[cells] = (uint16_t)site;
            cost[cells] = each == GRID_CLOSED || !shape->own_cost
                              ? each
                              : each + 37 * (uint32_t)part % 1009 * (uint32_t)(1 + group_of[site]);
            for (size_t r = 0; r < resources; r++) {
                demand[(shape->listed ? cells : part) * resources + r] =
                    kind_demand[kind][shape->listed ? group_of[site] : 0][r];
            }
            cells++;
        }
        for (size_t r = 0; r < resources; r++) {
            total[r] += kind_demand[kind][0][r];
        }
    }
    first[parts] = cells;
    for (size_t site = 0; site < sites; site++) {
        for (size_t r = 0; r < resources; r++) {
            capacity[site * resources + r] =
                total[r] * shape->room_percent / 100 * share[group_of[site]] / shares;
        }
    }
    return (struct grid){.parts = shape->parts,
                         .sites = shape->sites,
                         .resources = shape->resources,
                         .first = shape->listed ? first : NULL,
                         .site = shape->listed ? site_of : NULL,
                         .cost = cost,
                         .demand = shape->listed ? NULL : demand,
                         .cell_demand = shape->listed ? demand : NULL,
                         .capacity = capacity};
}

static struct classes find(const struct grid *grid)
{
    struct classes classes;
    struct error err = {0};
    assert_int_equal(grid_check(grid, &err), 0);
    assert_int_equal(classes_find(grid, &arena, &classes, &err), 0);
    return classes;
}

/* Whatever two parts of a kind and two sites of a group are: swapping them changes nothing. */
static void check_alike(const struct grid *grid, const struct classes *classes)
{
    for (int part = 0; part < grid->parts; part++) {
        int other = classes->kind_part[classes->kind_first[classes->kind_of[part]]];
        for (int site = 0; site < grid->sites; site++) {
            int kind = classes->kind_of[part];
            int twin = classes->group_site[classes->group_first[classes->group_of[site]]];
            int cell = classes_cell(grid, classes, kind, site);
            int twin_cell = classes_cell(grid, classes, kind, twin);
            assert_int_equal(cell < 0, twin_cell < 0);
            if (cell >= 0) {
                assert_true(grid_cost(grid, part, cell) == grid_cost(grid, other, twin_cell));
                assert_memory_equal(grid_demand(grid, part, cell),
                                    grid_demand(grid, other, twin_cell),
                                    (size_t)grid->resources * sizeof(int32_t));
            }
        }
    }
}

static void check_counts(const struct classes *classes, const int *count)
{
    for (int kind = 0; kind < classes->kinds; kind++) {
        int sum = 0;
        for (int group = 0; group < classes->groups; group++) {
            int at = count[kind * classes->groups + group];
            assert_true(at >= 0);
            sum += at;
        }
        assert_int_equal(sum, classes_members(classes, kind));
    }
}

/* By code that shares nothing with the solver. */
static void check_plan(const struct grid *grid, const int *choice, int64_t cost, double bound,
                       const double *price)
{
    struct plan_claim claim = {choice, cost, bound, price, bound};
    char why[PLAN_WHY_BYTES];
    if (!plan_check_grid(grid, &claim, why)) {
        fail_msg("%s", why);
    }
}

struct tally {
    int placed;
    int best;
    int possible;
    int impossible;
};

/* The bound of counts is that of the whole grid's own dual, and a placement is one. */
static void small_one(const struct shape *shape, struct tally *tally)
{
    struct grid grid = copies(shape);
    struct classes classes = find(&grid);
    struct error err = {0};
    if (!classes.useful) {
        return;
    }
    check_alike(&grid, &classes);
    assert_true(classes.kinds <= shape->kinds && classes.groups <= shape->groups);
    int64_t least = grid_brute(&grid);
    double *price = arena_array(&arena, 64, sizeof(double));
    int *count = arena_array(&arena, 64, sizeof(int));
    bool done = false;
    assert_int_equal(classes_price(&grid, &classes, &arena, price, count, &done, &err), 0);
    tally->possible += least < INT64_MAX;
    tally->impossible += least == INT64_MAX;
    if (!done) {
        assert_true(least == INT64_MAX);
        return;
    }
    check_counts(&classes, count);
    double bound;
    assert_int_equal(dual_bound(&grid, price, 1, &arena, NULL, &bound, &err), 0);
    assert_true(least == INT64_MAX || bound <= (double)least);
    struct dual_options options = {.threads = 1};
    struct dual_result dual;
    assert_int_equal(dual_solve(&grid, &options, &arena, &dual, &err), 0);
    if (fabs(bound - dual.bound) > 1e-5 * fabs(bound) && dual.fits) {
        fail_msg("seed %llu: %.6f by counts, %.6f by parts", (unsigned long long)shape->seed, bound,
                 dual.bound);
    }
    int choice[8];
    int left;
    struct classes_place_options place = {.price = price, .count = count, .good = -INFINITY};
    assert_int_equal(classes_place(&grid, &classes, &place, &arena, choice, &left, &err), 0);
    if (left > 0) {
        return;
    }
    check_plan(&grid, choice, grid_cost_of(&grid, choice), bound, price);
    assert_true(grid_cost_of(&grid, choice) >= least);
    tally->placed++;
    tally->best += grid_cost_of(&grid, choice) == least;
    /* Where they are now they stay. */
    int again[8];
    grid.current = choice;
    assert_int_equal(classes_place(&grid, &classes, &place, &arena, again, &left, &err), 0);
    assert_memory_equal(again, choice, (size_t)grid.parts * sizeof(int));
}

static void small_ones(void **state)
{
    (void)state;
    struct tally tally = {0};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct gen_random random;
        gen_seed(&random, seed);
        struct shape shape = {.seed = seed,
                              .parts = 4 + (int)gen_below(&random, 4),
                              .kinds = 1 + (int)gen_below(&random, 3),
                              .sites = 2 + (int)gen_below(&random, 3),
                              .groups = 1 + (int)gen_below(&random, 2),
                              .resources = 1 + (int)gen_below(&random, 2),
                              .room_percent = 100 + (int)gen_below(&random, 120),
                              .listed = gen_chance(&random, 40)};
        small_one(&shape, &tally);
        arena_reset(&arena);
    }
    print_message("%d possible, %d placed, %d at the optimum\n", tally.possible, tally.placed,
                  tally.best);
    assert_true(tally.possible > 200 && tally.impossible > 10);
    assert_true(tally.placed > tally.possible * 85 / 100);
    assert_true(tally.best > tally.placed * 60 / 100);
}

static double bound_by_parts(const struct grid *grid)
{
    struct dual_options options = {.threads = 1};
    struct dual_result dual;
    struct error err = {0};
    assert_int_equal(dual_solve(grid, &options, &arena, &dual, &err), 0);
    return dual.bound;
}

/* 300 parts at 30 sites, by counts and, where every part differs, by the merged grid. */
static void engine_by_classes(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        for (int listed = 0; listed < 2; listed++) {
            struct shape shape = {.seed = 7,
                                  .parts = 300,
                                  .kinds = 12,
                                  .sites = 30,
                                  .groups = 5,
                                  .resources = 3,
                                  .room_percent = 170,
                                  .listed = listed == 1,
                                  .own_cost = own == 1};
            struct grid grid = copies(&shape);
            struct classes classes = find(&grid);
            assert_true(classes.useful && classes.groups <= 5);
            assert_true(own == 1 ? classes.kinds == 300 : classes.kinds <= 12);
            struct engine_options options = {.threads = 1, .seed = 3, .gap = 0.2, .moves_max = 100};
            struct engine_result one;
            struct engine_result two;
            struct error err = {0};
            assert_int_equal(engine_solve(&grid, &options, &arena, &one, &err), 0);
            options.threads = 2;
            assert_int_equal(engine_solve(&grid, &options, &arena, &two, &err), 0);
            assert_true(one.status == SOLVE_FEASIBLE || one.status == SOLVE_OPTIMAL);
            assert_true(one.cost == two.cost && one.bound == two.bound);
            assert_memory_equal(one.choice, two.choice, (size_t)grid.parts * sizeof(int));
            check_plan(&grid, one.choice, one.cost, one.bound_priced, one.price);
            assert_true(one.gap <= 0.2 && one.bound <= (double)one.cost);
            double bound;
            assert_int_equal(dual_bound(&grid, one.price, 1, &arena, NULL, &bound, &err), 0);
            assert_true(bound == one.bound_priced);
            assert_true(fabs(bound - bound_by_parts(&grid)) <= 1e-5 * fabs(bound));
            arena_reset(&arena);
        }
    }
}

/* What has no copies is left alone. */
static void nothing_alike(void **state)
{
    (void)state;
    struct grid_shape shape = {.seed = 4,
                               .parts = 500,
                               .sites = 20,
                               .resources = 2,
                               .app_parts = 1,
                               .capacity_percent = 120,
                               .closed_percent = 20};
    struct grid grid;
    assert_true(grid_gen(&shape, &arena, &grid));
    assert_false(find(&grid).useful);
    shape.app_parts = 4;
    assert_true(grid_gen(&shape, &arena, &grid));
    assert_false(find(&grid).useful);
    arena_reset(&arena);
}

static void memory_refused(void **state)
{
    (void)state;
    struct shape shape = {.seed = 9,
                          .parts = 240,
                          .kinds = 5,
                          .sites = 20,
                          .groups = 3,
                          .resources = 2,
                          .room_percent = 140};
    struct grid grid = copies(&shape);
    struct classes_options options = {.threads = 1};
    int *choice = arena_array(&arena, 240, sizeof(int));
    assert_non_null(choice);
    int refused = 0;
    for (;; refused++) {
        struct dual_result dual;
        bool found;
        bool done;
        struct error err = {0};
        arena.fail_after = refused;
        int rc = classes_solve(&grid, &options, &arena, &dual, choice, &found, &done, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            assert_true(done && found);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
        assert_non_null(strstr(err.text, "memory"));
        assert_true(refused < 500);
    }
    assert_true(refused > 20);
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
    arena_init(&arena, (size_t)1 << 30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_ones),
        cmocka_unit_test(engine_by_classes),
        cmocka_unit_test(nothing_alike),
        cmocka_unit_test(memory_refused),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
