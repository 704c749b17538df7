/* The engine at the edges of size: no part, one site, 10,000 sites, parts that fit nowhere, sites
 * without room. An answer that is right, or the word that there is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "tests/property/plan_check.h"

static struct arena arena;

struct sizes {
    struct grid grid;
    uint32_t *cost;
    int32_t *demand;
    int64_t *capacity;
};

static struct sizes make(int parts, int sites, int resources)
{
    struct sizes made = {.grid = {.parts = parts, .sites = sites, .resources = resources}};
    size_t cells = (size_t)parts * (size_t)sites;
    made.cost = arena_array(&arena, cells + 1, sizeof(uint32_t));
    made.demand = arena_array(&arena, (size_t)parts * (size_t)resources + 1, sizeof(int32_t));
    made.capacity = arena_array(&arena, (size_t)sites * (size_t)resources + 1, sizeof(int64_t));
    assert_true(made.cost != NULL && made.demand != NULL && made.capacity != NULL);
    made.grid.cost = made.cost;
    made.grid.demand = made.demand;
    made.grid.capacity = made.capacity;
    return made;
}

static struct engine_result solve(const struct grid *grid)
{
    struct engine_options options = {.threads = 2, .seed = 1, .gap = 1e-3, .moves_max = 50};
    struct engine_result result;
    struct error err = {0};
    if (engine_solve(grid, &options, &arena, &result, &err) < 0) {
        fail_msg("%s", err.text);
    }
    if (result.status == SOLVE_OPTIMAL || result.status == SOLVE_FEASIBLE) {
        struct plan_claim claim = {result.choice, result.cost, result.bound, result.price,
                                   result.bound_priced};
        char why[PLAN_WHY_BYTES];
        if (!plan_check_grid(grid, &claim, why)) {
            fail_msg("%s", why);
        }
    }
    return result;
}

static void no_parts(void **state)
{
    (void)state;
    for (int resources = 0; resources <= 3; resources += 3) {
        for (int sites = 1; sites <= 10000; sites += 9999) {
            struct sizes made = make(0, sites, resources);
            struct engine_result result = solve(&made.grid);
            assert_int_equal(result.status, SOLVE_OPTIMAL);
            assert_int_equal(result.cost, 0);
            arena_reset(&arena);
        }
    }
}

static void one_site(void **state)
{
    (void)state;
    /* Alike, and each of its own; with room to the last unit, and one less. */
    for (int alike = 0; alike < 2; alike++) {
        struct sizes made = make(400, 1, 2);
        int64_t sum = 0;
        for (int part = 0; part < 400; part++) {
            made.cost[part] = alike ? 70 : (uint32_t)(part * 7919 % 1000);
            made.demand[2 * part] = alike ? 5 : 1 + part % 13;
            made.demand[2 * part + 1] = 3;
            made.capacity[0] += made.demand[2 * part];
            made.capacity[1] += 3;
            sum += made.cost[part];
        }
        struct engine_result result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_OPTIMAL);
        assert_true(result.cost == sum);
        made.capacity[0]--;
        result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_INFEASIBLE);
        arena_reset(&arena);
    }
}

/* 300 parts at 10,000 sites that all look alike: each holds two. */
static void many_sites_alike(void **state)
{
    (void)state;
    struct sizes made = make(300, 10000, 2);
    for (int i = 0; i < 300 * 10000; i++) {
        made.cost[i] = 100;
    }
    for (int part = 0; part < 300; part++) {
        made.demand[2 * part] = 10;
        made.demand[2 * part + 1] = 1 + part % 3;
    }
    for (int site = 0; site < 10000; site++) {
        made.capacity[2 * site] = 20;
        made.capacity[2 * site + 1] = 50;
    }
    struct engine_result result = solve(&made.grid);
    assert_int_equal(result.status, SOLVE_OPTIMAL);
    assert_int_equal(result.cost, 300 * 100);
    arena_reset(&arena);
}

/* The last part but one is larger than every site, though not than all together. */
static void too_large(void **state)
{
    (void)state;
    for (int parts = 3; parts <= 303; parts += 300) {
        struct sizes made = make(parts, 50, 2);
        for (int i = 0; i < parts * 50; i++) {
            made.cost[i] = 5;
        }
        for (int part = 0; part < parts; part++) {
            made.demand[2 * part] = 4;
            made.demand[2 * part + 1] = part == parts - 2 ? 101 : 1;
        }
        for (int site = 0; site < 50; site++) {
            made.capacity[2 * site] = 1000;
            made.capacity[2 * site + 1] = 100;
        }
        struct engine_result result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_INFEASIBLE);
        assert_int_equal(result.part, parts - 2);
        /* One that would fit where it may not go. */
        made.capacity[2 * 17 + 1] = 101;
        assert_int_equal(solve(&made.grid).status, SOLVE_OPTIMAL);
        made.cost[(parts - 2) * 50 + 17] = GRID_CLOSED;
        result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_INFEASIBLE);
        assert_int_equal(result.part, parts - 2);
        arena_reset(&arena);
    }
}

static void no_room(void **state)
{
    (void)state;
    for (int parts = 2; parts <= 402; parts += 400) {
        struct sizes made = make(parts, 30, 2);
        for (int i = 0; i < parts * 30; i++) {
            made.cost[i] = (uint32_t)(5 + i % 30);
        }
        /* Nothing is asked of what there is nothing of. */
        struct engine_result result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_OPTIMAL);
        assert_int_equal(result.cost, 5 * parts);
        made.demand[2] = 1;
        result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_INFEASIBLE);
        assert_int_equal(result.part, 1);
        /* Room at one site only, and for all but one. */
        for (int part = 0; part < parts; part++) {
            made.demand[2 * part] = 1;
        }
        made.capacity[2 * 11] = parts;
        result = solve(&made.grid);
        assert_int_equal(result.status, SOLVE_OPTIMAL);
        assert_int_equal(result.cost, 16 * parts);
        made.capacity[2 * 11] = parts - 1;
        assert_int_equal(solve(&made.grid).status, SOLVE_INFEASIBLE);
        arena_reset(&arena);
    }
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
        cmocka_unit_test(no_parts),  cmocka_unit_test(one_site), cmocka_unit_test(many_sites_alike),
        cmocka_unit_test(too_large), cmocka_unit_test(no_room),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
