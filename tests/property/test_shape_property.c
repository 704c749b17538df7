/*
 * A problem and its grid: for every assignment that keeps the rules, the grid keeps its own and
 * costs no more; what keeps the strict grid keeps every rule but large apart ones.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/solve/shape.h"
#include "tests/property/problem_gen.h"

static struct arena arena;

static bool next(const struct grid *grid, int *cell)
{
    int part = 0;
    while (part < grid->parts && ++cell[part] == grid_cells(grid, part)) {
        cell[part++] = 0;
    }
    return part < grid->parts;
}

/* Compares every assignment of open cells; counts those that keep the problem's rules. */
static int64_t compare(const struct problem *problem, const struct reduced *reduced,
                       const struct shape *shape)
{
    int64_t kept = 0;
    int64_t load[64];
    int cell[8] = {0};
    int choice[8];
    int back[8];
    (void)reduced;
    do {
        shape_choice(shape, cell, choice);
        shape_cells(shape, choice, back);
        assert_memory_equal(cell, back, (size_t)problem->part_count * sizeof(int));
        bool keeps = problem_broken_rule(problem, choice) < 0;
        grid_load_of(&shape->grid, cell, load);
        bool grid_keeps = grid_broken(&shape->grid, load, cell) == 0;
        grid_load_of(&shape->strict, cell, load);
        bool strict_keeps = grid_broken(&shape->strict, load, cell) == 0;
        assert_true(!keeps || grid_keeps);
        assert_true(!strict_keeps || keeps);
        assert_true(!shape->exact || grid_keeps == keeps);
        if (keeps) {
            kept++;
            nusd least = (nusd)grid_cost_of(&shape->grid, cell) + shape->constant;
            assert_true(least <= problem_cost(problem, choice));
        }
    } while (next(&shape->grid, cell));
    return kept;
}

static void any_problem(void **state)
{
    (void)state;
    int built = 0;
    int64_t kept = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct gen_random random;
        struct problem problem;
        struct reduced reduced;
        struct shape shape;
        struct error err = {0};
        gen_seed(&random, seed);
        gen_any(seed, 1 + (int)gen_below(&random, 5), 1 + (int)gen_below(&random, 3), &arena,
                &problem);
        bool odd = gen_chance(&random, 30); /* demands that no small unit divides */
        for (int i = 0; odd && i < problem.part_count; i++) {
            struct problem_part *part = &problem.parts[i];
            for (int k = 0; k < part->choice_count; k++) {
                part->choices[k].demand[RESOURCE_MEMORY] +=
                    (INT64_C(1) << 40) + (int64_t)gen_below(&random, 1000);
            }
        }
        for (int i = 0; odd && i < problem.rule_count; i++) {
            struct problem_rule *rule = &problem.rules[i];
            if (rule->kind == RULE_CAPACITY && rule->resource == RESOURCE_MEMORY) {
                rule->capacity = (INT64_C(3) << 40) + (int64_t)gen_below(&random, 3000);
            }
        }
        assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
        if (!reduced.empty && shape_build(&reduced, &arena, &shape, &err) == 0) {
            built++;
            kept += compare(&problem, &reduced, &shape);
        }
        arena_reset(&arena);
    }
    assert_true(built > 200);
    assert_true(kept > 1000);
}

/* Costs above 32 bits lose less than a unit each. */
static void large_costs(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct problem problem;
        struct reduced reduced;
        struct shape shape;
        struct error err = {0};
        gen_any(seed, 4, 3, &arena, &problem);
        for (int i = 0; i < problem.part_count; i++) {
            for (int k = 0; k < problem.parts[i].choice_count; k++) {
                problem.parts[i].cost[k] = (problem.parts[i].cost[k] % 1000000) * 1000000007;
            }
        }
        assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
        if (!reduced.empty && shape_build(&reduced, &arena, &shape, &err) == 0) {
            (void)compare(&problem, &reduced, &shape);
        }
        arena_reset(&arena);
    }
}

static void refusals(void **state)
{
    (void)state;
    struct gen_app_shape app = {.seed = 3, .parts = 6, .sites = 4, .capacity_percent = 150};
    struct problem problem;
    struct reduced reduced;
    struct shape shape;
    struct error err = {0};
    gen_app(&app, &arena, &problem);
    assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
    int64_t after = 0;
    for (;; after++) {
        arena.fail_after = after;
        int rc = shape_build(&reduced, &arena, &shape, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
    assert_true(after > 10);
    for (int i = 0; i < problem.rule_count; i++) {
        if (problem.rules[i].kind == RULE_CAPACITY) {
            problem.rules[i].capacity = -1;
        }
    }
    assert_int_equal(shape_build(&reduced, &arena, &shape, &err), ERR_UNSUPPORTED);
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
        cmocka_unit_test(any_problem),
        cmocka_unit_test(large_costs),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
