/*
 * What no generator makes, through the solver's client: nothing at all, one site, no room, more
 * than any site holds, contradictions, rules said twice, amounts at the ends of what a number
 * holds, and workers that hang. Each is an answer that the verifier agrees with, or has a reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "base/str.h"
#include "model/solver.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define RULES_MAX 64
#define DOLLAR    INT64_C(1000000000)

static struct arena arena;
static struct solver *solver;

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
    char why[PLAN_WHY_BYTES];
    if (solver_call(solver, problem, &arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    if (!plan_check_problem(problem, &solution, why)) {
        fail_msg("%s", why);
    }
    return solution;
}

/* Every part may go everywhere, for a few dollars; no rules yet, and room for some. */
static struct problem plain(int parts, int sites)
{
    struct problem problem = {.part_count = parts, .site_count = sites};
    problem.parts = arena_array(&arena, (size_t)parts + 1, sizeof(*problem.parts));
    problem.site_names = arena_array(&arena, (size_t)sites, sizeof(*problem.site_names));
    problem.rules = arena_array(&arena, RULES_MAX, sizeof(*problem.rules));
    for (int site = 0; site < sites; site++) {
        str_format(problem.site_names[site], sizeof(problem.site_names[site]), "a/s%d", site);
    }
    for (int i = 0; i < parts; i++) {
        struct problem_part *part = &problem.parts[i];
        str_format(part->name, sizeof(part->name), "n/a/p%d", i);
        part->choice_count = sites;
        part->current = -1;
        part->choices = arena_array(&arena, (size_t)sites, sizeof(*part->choices));
        part->cost = arena_array(&arena, (size_t)sites, sizeof(*part->cost));
        for (int site = 0; site < sites; site++) {
            part->choices[site] = (struct problem_choice){.site = site, .lead = i, .demand = {10}};
            part->cost[site] = (1 + (i * 7 + site * 3) % 11) * DOLLAR;
        }
    }
    return problem;
}

static struct problem_rule *add_rule(struct problem *problem, enum rule_kind kind)
{
    assert_true(problem->rule_count < RULES_MAX);
    struct problem_rule *rule = &problem->rules[problem->rule_count];
    *rule = (struct problem_rule){.kind = kind};
    str_format(rule->text, sizeof(rule->text), "rule %d", problem->rule_count++);
    return rule;
}

static void add_room(struct problem *problem, int site, int64_t capacity)
{
    struct problem_rule *rule = add_rule(problem, RULE_CAPACITY);
    rule->site = site;
    rule->capacity = capacity;
}

/* `part` only at `site`; nowhere for -1. */
static void add_only(struct problem *problem, int part, int site)
{
    struct problem_rule *rule = add_rule(problem, RULE_CHOICES);
    rule->a = part;
    rule->allowed =
        arena_array(&arena, (size_t)problem->parts[part].choice_count, sizeof(*rule->allowed));
    if (site >= 0) {
        rule->allowed[site] = true;
    }
}

static void add_apart(struct problem *problem, const int *parts, int count)
{
    struct problem_rule *rule = add_rule(problem, RULE_APART);
    rule->part_count = count;
    rule->parts = arena_copy(&arena, parts, (size_t)count * sizeof(*parts));
}

static void expect_conflict(const struct problem *problem, const int *rules, int count)
{
    struct solution solution = solve(problem);
    if (solution.status != SOLVE_INFEASIBLE) {
        fail_msg("%s: %s", solve_status_words[solution.status], solution.text);
    }
    assert_int_equal(solution.conflict_count, count);
    assert_memory_equal(solution.conflict, rules, (size_t)count * sizeof(*rules));
}

/* The optimum by trying all; false: there is none. */
static bool brute_force(const struct problem *problem, nusd *ret_best)
{
    int choice[8] = {0};
    bool found = false;
    for (;;) {
        if (problem_broken_rule(problem, choice) < 0) {
            nusd cost = problem_cost(problem, choice);
            *ret_best = !found || cost < *ret_best ? cost : *ret_best;
            found = true;
        }
        int part = 0;
        while (part < problem->part_count && ++choice[part] == problem->parts[part].choice_count) {
            choice[part++] = 0;
        }
        if (part == problem->part_count) {
            return found;
        }
    }
}

static void test_nothing_and_little(void **state)
{
    (void)state;
    struct problem none = plain(0, 1);
    struct solution solution = solve(&none);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    assert_int_equal(solution.cost_nusd, 0);
    none = plain(0, 3);
    add_room(&none, 1, 0);
    assert_int_equal(solve(&none).status, SOLVE_OPTIMAL);
    struct problem one = plain(5, 1);
    add_room(&one, 0, 50);
    solution = solve(&one);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    assert_int_equal(solution.cost_nusd, problem_cost(&one, (int[5]){0}));
    one.rules[0].capacity = 49;
    expect_conflict(&one, (int[]){0}, 1);
}

static void test_no_room(void **state)
{
    (void)state;
    struct problem problem = plain(3, 2);
    add_room(&problem, 0, 0);
    struct solution solution = solve(&problem);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    for (int part = 0; part < 3; part++) {
        assert_int_equal(solution.choice[part], 1);
    }
    add_room(&problem, 1, 29); /* all three do not fit, two do */
    expect_conflict(&problem, (int[]){0, 1}, 2);
    /* What takes nothing fits where there is nothing. */
    for (int part = 0; part < 3; part++) {
        problem.parts[part].choices[0].demand[RESOURCE_CPU] = 0;
    }
    assert_int_equal(solve(&problem).status, SOLVE_OPTIMAL);
    problem.rules[0].capacity = -1; /* a site that may not even hold nothing */
    expect_conflict(&problem, (int[]){0}, 1);
}

static void test_larger_than_every_site(void **state)
{
    (void)state;
    struct problem problem = plain(4, 3);
    for (int site = 0; site < 3; site++) {
        add_room(&problem, site, 100);
        problem.parts[2].choices[site].demand[RESOURCE_CPU] = 101;
    }
    expect_conflict(&problem, (int[]){0, 1, 2}, 3);
    problem.parts[2].choices[1].demand[RESOURCE_CPU] = 100;
    struct solution solution = solve(&problem);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    assert_int_equal(solution.choice[2], 1);
}

static void test_contradictions(void **state)
{
    (void)state;
    struct problem problem = plain(4, 3);
    add_room(&problem, 0, 1000);
    add_only(&problem, 1, 0);
    add_only(&problem, 2, 1);
    add_only(&problem, 1, 2);
    expect_conflict(&problem, (int[]){1, 3}, 2);
    problem = plain(4, 3);
    add_only(&problem, 3, -1);
    expect_conflict(&problem, (int[]){0}, 1);
    problem = plain(4, 3);
    add_apart(&problem, (int[]){0, 1, 2, 3}, 4);
    expect_conflict(&problem, (int[]){0}, 1);
    /* A part is not apart from itself. */
    problem = plain(3, 1);
    add_apart(&problem, (int[]){0, 0}, 2);
    assert_int_equal(solve(&problem).status, SOLVE_OPTIMAL);
    add_apart(&problem, (int[]){0, 1, 0}, 3);
    expect_conflict(&problem, (int[]){1}, 1);
}

static void test_rules_said_twice(void **state)
{
    (void)state;
    int infeasible = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct problem once;
        arena_reset(&arena);
        gen_any(seed, 4, 3, &arena, &once);
        struct problem twice = once;
        size_t rules = (size_t)once.rule_count;
        twice.rules = arena_array(&arena, 2 * rules + 1, sizeof(*twice.rules));
        memcpy(twice.rules, once.rules, rules * sizeof(*once.rules));
        memcpy(twice.rules + rules, once.rules, rules * sizeof(*once.rules));
        twice.rule_count = 2 * once.rule_count;
        struct solution first = solve(&once);
        struct solution second = solve(&twice);
        assert_int_equal(first.status, second.status);
        assert_int_equal(first.conflict_count, second.conflict_count);
        infeasible += first.status == SOLVE_INFEASIBLE;
        if (first.status == SOLVE_OPTIMAL) {
            assert_int_equal(first.cost_nusd, second.cost_nusd);
        }
        for (int i = 0; i < second.conflict_count; i++) { /* no rule and its copy */
            for (int k = 0; k < i; k++) {
                assert_true(second.conflict[i] - second.conflict[k] != once.rule_count);
            }
        }
    }
    assert_true(infeasible > 3);
}

/* From a nano-dollar to ninety million dollars in one problem. */
static void test_costs_of_any_size(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 80; seed++) {
        struct gen_random random;
        arena_reset(&arena);
        gen_seed(&random, seed);
        struct problem problem = plain(4, 3);
        for (int part = 0; part < 4; part++) {
            for (int site = 0; site < 3; site++) {
                int64_t size = 1;
                for (uint64_t digits = gen_below(&random, 17); digits > 0; digits--) {
                    size *= 10;
                }
                problem.parts[part].cost[site] = size * (1 + (int64_t)gen_below(&random, 9));
            }
        }
        add_room(&problem, (int)gen_below(&random, 3), 20);
        nusd best = 0;
        bool possible = brute_force(&problem, &best);
        struct solution solution = solve(&problem);
        assert_true(possible);
        assert_int_equal(solution.status, SOLVE_OPTIMAL);
        assert_true(solution.bound_nusd <= best);
        /* docs/solver.md: what a proof may miss. */
        int64_t gap = 1000 + llabs(solution.cost_nusd) / 1000000;
        assert_true(solution.cost_nusd >= best && solution.cost_nusd - best <= gap);
    }
}

/* Extremes in place of any one number: an answer that holds, or one with a reason. */
static void test_extremes(void **state)
{
    (void)state;
    static const int64_t values[] = {
        INT64_MAX, INT64_MIN, INT64_MAX / 2, INT64_MIN / 2, INT64_C(1) << 60, -(INT64_C(1) << 60),
        0,         1};
    int none = 0;
    int answered = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct problem problem;
        struct gen_random random;
        arena_reset(&arena);
        gen_seed(&random, seed + 77);
        gen_any(seed, 3, 3, &arena, &problem);
        for (int change = 0; change < 3; change++) {
            int64_t value = values[gen_below(&random, 8)];
            int64_t amount = value < 0 ? INT64_MAX : value;
            struct problem_part *part = &problem.parts[gen_below(&random, 3)];
            size_t at = gen_below(&random, (uint64_t)part->choice_count);
            switch (gen_below(&random, 5)) {
            case 0:
                part->cost[at] = value;
                break;
            case 1:
                part->choices[at].demand[RESOURCE_CPU] = amount;
                break;
            case 2:
                for (int i = 0; i < problem.rule_count; i++) {
                    if (problem.rules[i].kind == RULE_CAPACITY) {
                        problem.rules[i].capacity = value;
                    }
                }
                break;
            case 3:
                if (problem.meter_count > 0) {
                    problem.meters[0].price_nusd[0] = value;
                }
                break;
            default:
                if (problem.meter_count > 0) {
                    problem.meters[0].base_bytes = amount;
                }
            }
        }
        nusd best = 0;
        bool possible = brute_force(&problem, &best);
        struct solution solution = solve(&problem);
        if (solution.status == SOLVE_NONE) {
            none++;
            continue;
        }
        answered++;
        assert_int_equal(solution.status == SOLVE_INFEASIBLE, !possible);
        if (possible) {
            double cost = (double)solution.cost_nusd;
            assert_true((double)solution.bound_nusd <= (double)best + 1e-9 * fabs((double)best));
            assert_true(solution.status != SOLVE_OPTIMAL ||
                        cost - (double)best <= 1000 + 1e-6 * fabs(cost));
        }
    }
    assert_true(answered > 100);
    assert_true(none > 0);
}

/* More sites than the exact solver's frames take: the reason is said. */
static void test_ten_thousand_sites(void **state)
{
    (void)state;
    struct problem problem = plain(2, 10000);
    for (int part = 0; part < 2; part++) {
        problem.parts[part].choice_count = 5;
    }
    struct solution solution;
    struct error err = {0};
    assert_int_equal(solver_call(solver, &problem, &arena, &solution, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "10000 sites"));
    problem.site_count = LIMIT_SITES;
    assert_int_equal(solve(&problem).status, SOLVE_OPTIMAL);
}

static void test_workers_that_hang(void **state)
{
    (void)state;
    static const struct {
        const char *how;
        const char *words;
    } table[] = {{"silent", "no answer within 300 ms"},
                 {"half", "no answer within 300 ms"},
                 {"complains", "no answer within 300 ms"},
                 {"boasts", "answered what was not asked"}};
    struct problem problem = plain(2, 2);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct solver *hanging = NULL;
        struct solution solution = {0};
        struct error err = {0};
        assert_int_equal(setenv("SOLVER_HANGS", table[i].how, 1), 0);
        struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/solver_hangs",
                                         .wall_max_us = 300000};
        assert_int_equal(solver_open(&options, &hanging, &err), 0);
        for (int turn = 0; turn < 2; turn++) { /* the one that takes its place hangs too */
            assert_int_equal(solver_call(hanging, &problem, &arena, &solution, &err), 0);
            assert_int_equal(solution.status, SOLVE_NONE);
            assert_non_null(strstr(solution.text, table[i].words));
        }
        solver_close(hanging);
    }
}

/* More bytes than it said, without end: refused once the answer is whole, and at its second try. */
static void test_a_worker_that_talks_without_end(void **state)
{
    (void)state;
    struct problem problem = plain(2, 2);
    struct solver *hanging = NULL;
    struct solution solution = {0};
    struct error err = {0};
    assert_int_equal(setenv("SOLVER_HANGS", "answers", 1), 0);
    struct solver_options options = {.program = BERTH_BINARY_DIR "/bin/solver_hangs"};
    assert_int_equal(solver_open(&options, &hanging, &err), 0);
    assert_int_equal(solver_call(hanging, &problem, &arena, &solution, &err), 0);
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_true(strstr(solution.text, "not asked") != NULL ||
                strstr(solution.text, "does not hold") != NULL);
    solver_close(hanging);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_and_little),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_larger_than_every_site),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_rules_said_twice),
        cmocka_unit_test(test_costs_of_any_size),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_ten_thousand_sites),
        cmocka_unit_test(test_workers_that_hang),
        cmocka_unit_test(test_a_worker_that_talks_without_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
