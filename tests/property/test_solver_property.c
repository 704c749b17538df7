/*
 * The exact solver against brute force, on every shape up to 6 parts x 4 sites, and what must hold
 * of its answers when a problem is changed in ways whose effect is known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "model/solver.h"
#include "model/verify.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define SEEDS_PER_SHAPE 25

static struct solver *solver;
static struct arena arena;

static int setup(void **state)
{
    (void)state;
    struct error err = {0};
    arena_init(&arena, (size_t)1 << 30);
    return solver_open(&(struct solver_options){0}, &solver, &err);
}

static int teardown(void **state)
{
    (void)state;
    solver_close(solver);
    arena_done(&arena);
    return 0;
}

static struct solution solve(const struct problem *problem)
{
    struct solution solution = {0};
    struct error err = {0};
    if (solver_call(solver, problem, &arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    char why[PLAN_WHY_BYTES];
    if (!plan_check_problem(problem, &solution, why)) {
        fail_msg("%s", why);
    }
    return solution;
}

/* Calls for every assignment; the best cost, and how many keep the rules. */
static int64_t brute_force(const struct problem *problem, nusd *ret_best)
{
    int site[8] = {0};
    int64_t count = 0;
    for (;;) {
        if (problem_broken_rule(problem, site) < 0) {
            nusd cost = problem_cost(problem, site);
            *ret_best = count == 0 || cost < *ret_best ? cost : *ret_best;
            count++;
        }
        int part = 0;
        while (part < problem->part_count && ++site[part] == problem->parts[part].choice_count) {
            site[part++] = 0;
        }
        if (part == problem->part_count) {
            return count;
        }
    }
}

/* The tolerance that docs/solver.md promises, at its widest: the gap is at most the cost range. */
static int64_t tolerance(int64_t cost)
{
    return 1000 + llabs(cost) / 1000000;
}

static void check_optimum(const struct problem *problem, const struct solution *solution, nusd best)
{
    if (solution->status != SOLVE_OPTIMAL) {
        print_error("%s: %s\n", solve_status_words[solution->status], solution->text);
    }
    assert_int_equal(solution->status, SOLVE_OPTIMAL);
    assert_int_equal(problem_broken_rule(problem, solution->choice), -1);
    assert_true(problem_cost(problem, solution->choice) == solution->cost_nusd);
    assert_true(solution->cost_nusd >= best);
    assert_true(solution->cost_nusd - best <= tolerance(solution->cost_nusd));
    assert_true(solution->bound_nusd <= best);
    /* And the verifier, which shares no code with the solver, agrees on what its prices prove. */
    struct verdict verdict;
    struct error err = {0};
    assert_non_null(solution->price);
    assert_int_equal(verify_plan(problem, solution->choice, solution->price, solution->meter_price,
                                 &arena, &verdict, &err),
                     0);
    assert_int_equal(verdict.broken, -1);
    assert_true(fabs(verdict.cost - (double)solution->cost_nusd) <=
                1 + problem->meter_count + 1e-12 * fabs(verdict.cost));
    assert_true(verdict.bound <= (double)best);
}

/* The conflict cannot hold together, and without any one of its rules the others can. */
static void check_conflict(const struct problem *problem, const struct solution *solution)
{
    struct problem_rule rules[64];
    assert_true(solution->conflict_count > 0 && solution->conflict_count <= 64);
    for (int left_out = -1; left_out < solution->conflict_count; left_out++) {
        struct problem subset = *problem;
        subset.rules = rules;
        subset.rule_count = 0;
        for (int i = 0; i < solution->conflict_count; i++) {
            if (i != left_out) {
                rules[subset.rule_count++] = problem->rules[solution->conflict[i]];
            }
            assert_true(i == 0 || solution->conflict[i] > solution->conflict[i - 1]);
        }
        nusd best;
        assert_int_equal(brute_force(&subset, &best) > 0, left_out >= 0);
    }
}

static void test_brute_force_on_every_shape(void **state)
{
    (void)state;
    int infeasible = 0;
    int metered = 0;
    for (int parts = 1; parts <= 6; parts++) {
        for (int sites = 1; sites <= 4; sites++) {
            for (uint64_t i = 0; i < SEEDS_PER_SHAPE; i++) {
                uint64_t seed = (uint64_t)(parts * 10 + sites) * 1000 + i;
                struct problem problem;
                arena_reset(&arena);
                gen_any(seed, parts, sites, &arena, &problem);
                nusd best = 0;
                int64_t count = brute_force(&problem, &best);
                struct solution solution = solve(&problem);
                if (count > 0) {
                    check_optimum(&problem, &solution, best);
                    metered += problem.meter_count > 0;
                } else {
                    assert_int_equal(solution.status, SOLVE_INFEASIBLE);
                    check_conflict(&problem, &solution);
                    infeasible++;
                }
            }
        }
    }
    /* The generator does what its name says. */
    assert_true(infeasible > 50);
    assert_true(metered > 50);
}

/* Several choices at a site, sharers that must agree, room taken by leads, savings. */
static void test_brute_force_on_families(void **state)
{
    (void)state;
    static const struct {
        int family;
        int others;
        int sites;
        int variants;
    } shapes[] = {{2, 0, 2, 1}, {2, 1, 3, 1}, {2, 2, 2, 2},
                  {3, 0, 2, 2}, {3, 1, 2, 1}, {2, 3, 2, 1}};
    int infeasible = 0;
    int shared = 0;
    int below_zero = 0;
    for (size_t shape = 0; shape < sizeof(shapes) / sizeof(shapes[0]); shape++) {
        for (uint64_t i = 0; i < 60; i++) {
            struct problem problem;
            arena_reset(&arena);
            gen_family(9000000 + shape * 1000 + i, shapes[shape].family, shapes[shape].others,
                       shapes[shape].sites, shapes[shape].variants, &arena, &problem);
            nusd best = 0;
            int64_t count = brute_force(&problem, &best);
            struct solution solution = solve(&problem);
            if (count == 0) {
                assert_int_equal(solution.status, SOLVE_INFEASIBLE);
                check_conflict(&problem, &solution);
                infeasible++;
                continue;
            }
            check_optimum(&problem, &solution, best);
            below_zero += best < 0;
            for (int part = 0; part < problem.part_count; part++) {
                shared += problem.parts[part].choices[solution.choice[part]].lead != part;
            }
        }
    }
    assert_true(infeasible > 5);
    assert_true(shared > 20);
    assert_true(below_zero > 50);
}

/* Many apps, nothing in common but meters and room that does not bind: each app's own optimum under
 * the tiers that the whole reaches, proven. */
static void test_a_fleet_is_proven(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct gen_app_shape shape = {.seed = seed,
                                      .parts = 200,
                                      .sites = 10,
                                      .chord_percent = 10,
                                      .capacity_percent = 900,
                                      .tiers = true,
                                      .app_parts = 8};
        struct problem problem;
        arena_reset(&arena);
        gen_app(&shape, &arena, &problem);
        struct solution solution = solve(&problem);
        assert_int_equal(solution.status, SOLVE_OPTIMAL);
        assert_int_equal(problem_broken_rule(&problem, solution.choice), -1);
        assert_true(solution.bound_nusd <= solution.cost_nusd);
        assert_true(solution.cost_nusd - solution.bound_nusd <= tolerance(solution.cost_nusd));
        for (int i = 0; i < problem.part_count; i++) {
            int home = solution.choice[i];
            for (int s = 0; s < problem.site_count; s++) {
                solution.choice[i] = s;
                assert_true(problem_broken_rule(&problem, solution.choice) >= 0 ||
                            problem_cost(&problem, solution.choice) >= solution.bound_nusd);
            }
            solution.choice[i] = home;
        }
    }
}

static void test_staying_wins_ties(void **state)
{
    (void)state;
    int stayed = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct problem problem;
        arena_reset(&arena);
        gen_any(seed + 5000000, 5, 4, &arena, &problem);
        struct solution first = solve(&problem);
        if (first.status != SOLVE_OPTIMAL) {
            continue;
        }
        /* What it chose is where things are now: constant inputs never move anything. */
        for (int i = 0; i < problem.part_count; i++) {
            problem.parts[i].current = first.choice[i];
        }
        struct solution second = solve(&problem);
        assert_memory_equal(first.choice, second.choice, (size_t)problem.part_count * sizeof(int));
        assert_int_equal(first.cost_nusd, second.cost_nusd);
        stayed++;
    }
    assert_true(stayed > 10);
}

static void test_all_equal_costs_stay(void **state)
{
    (void)state;
    struct gen_app_shape shape = {.seed = 4, .parts = 10, .sites = 5, .chord_percent = 20};
    struct problem problem;
    arena_reset(&arena);
    gen_app(&shape, &arena, &problem);
    problem.rule_count = 0;
    problem.pair_count = 0;
    for (int i = 0; i < problem.part_count; i++) {
        for (int s = 0; s < problem.site_count; s++) {
            problem.parts[i].cost[s] = 1000;
        }
    }
    struct solution solution = solve(&problem);
    for (int i = 0; i < problem.part_count; i++) {
        assert_int_equal(solution.choice[i], problem.parts[i].current);
    }
}

static void test_same_answer_twice(void **state)
{
    (void)state;
    struct gen_app_shape shape = {.seed = 11,
                                  .parts = 20,
                                  .sites = 6,
                                  .chord_percent = 30,
                                  .capacity_percent = 160,
                                  .tiers = true};
    struct problem problem;
    arena_reset(&arena);
    gen_app(&shape, &arena, &problem);
    struct solution first = solve(&problem);
    struct solution second = solve(&problem);
    assert_int_equal(first.status, SOLVE_OPTIMAL);
    assert_int_equal(first.nodes, second.nodes);
    assert_memory_equal(first.choice, second.choice, (size_t)problem.part_count * sizeof(int));
}

/* Twice the costs: the same placement, twice the cost. */
static void test_doubled_costs(void **state)
{
    (void)state;
    struct gen_app_shape shape = {
        .seed = 12, .parts = 16, .sites = 6, .chord_percent = 30, .capacity_percent = 180};
    struct problem problem;
    arena_reset(&arena);
    gen_app(&shape, &arena, &problem);
    struct solution first = solve(&problem);
    size_t sites = (size_t)problem.site_count;
    for (int i = 0; i < problem.part_count; i++) {
        for (size_t s = 0; s < sites; s++) {
            problem.parts[i].cost[s] *= 2;
        }
    }
    for (int i = 0; i < problem.pair_count; i++) {
        for (size_t s = 0; s < sites * sites; s++) {
            problem.pairs[i].cost[s] *= 2;
        }
    }
    struct solution second = solve(&problem);
    assert_int_equal(first.status, SOLVE_OPTIMAL);
    assert_int_equal(2 * first.cost_nusd, second.cost_nusd);
    assert_memory_equal(first.choice, second.choice, (size_t)problem.part_count * sizeof(int));
}

static void test_36_linked_workloads_at_10_sites(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct gen_app_shape shape = {.seed = seed,
                                      .parts = 36,
                                      .sites = 10,
                                      .chord_percent = 20,
                                      .capacity_percent = 300,
                                      .tiers = true};
        struct problem problem;
        arena_reset(&arena);
        gen_app(&shape, &arena, &problem);
        struct solution solution = solve(&problem);
        assert_int_equal(solution.status, SOLVE_OPTIMAL);
        assert_int_equal(problem_broken_rule(&problem, solution.choice), -1);
        assert_true(solution.cost_nusd - solution.bound_nusd <= tolerance(solution.cost_nusd));
        /* No single move and no swap is cheaper: an independent look at the proof. */
        for (int i = 0; i < problem.part_count; i++) {
            int home = solution.choice[i];
            for (int s = 0; s < problem.site_count; s++) {
                solution.choice[i] = s;
                assert_true(problem_broken_rule(&problem, solution.choice) >= 0 ||
                            problem_cost(&problem, solution.choice) >= solution.bound_nusd);
            }
            solution.choice[i] = home;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_brute_force_on_every_shape),
        cmocka_unit_test(test_brute_force_on_families),
        cmocka_unit_test(test_a_fleet_is_proven),
        cmocka_unit_test(test_staying_wins_ties),
        cmocka_unit_test(test_all_equal_costs_stay),
        cmocka_unit_test(test_same_answer_twice),
        cmocka_unit_test(test_doubled_costs),
        cmocka_unit_test(test_36_linked_workloads_at_10_sites),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
