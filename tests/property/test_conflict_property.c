/*
 * Conflicts of large problems: what is narrowed down still cannot hold together (asked of the exact
 * solver), what prices prove is checked by adding up by hand, and a planted conflict of a few rules
 * among thousands is found as it was planted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/solve/conflict.h"
#include "tests/property/problem_gen.h"

#define SMALL_INSTANCES 300

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)2 << 30);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct solution solve(const struct problem *problem)
{
    struct solution solution;
    struct solve_options options = {0};
    solve_problem(problem, &options, &arena, &solution);
    return solution;
}

/* Only the rules listed. */
static struct problem with_rules(const struct problem *problem, const int *rules, int count,
                                 int without)
{
    struct problem some = *problem;
    some.rules = arena_array(&arena, (size_t)count + 1, sizeof(*some.rules));
    assert_non_null(some.rules);
    some.rule_count = 0;
    for (int i = 0; i < count; i++) {
        if (i != without) {
            some.rules[some.rule_count++] = problem->rules[rules[i]];
        }
    }
    return some;
}

static void test_narrowed_is_still_infeasible(void **state)
{
    (void)state;
    int narrowed = 0;
    int infeasible = 0;
    for (uint64_t seed = 1; seed <= SMALL_INSTANCES; seed++) {
        struct problem problem;
        arena_reset(&arena);
        gen_any(seed, 6, 4, &arena, &problem);
        if (solve(&problem).status != SOLVE_INFEASIBLE) {
            continue;
        }
        infeasible++;
        for (int i = 0; i < problem.part_count; i++) {
            memset(problem.parts[i].cost, 0,
                   (size_t)problem.parts[i].choice_count * sizeof(int64_t));
            problem.parts[i].use_count = 0;
        }
        problem.pair_count = 0;
        problem.meter_count = 0;
        struct suspects suspects;
        struct problem some;
        struct error err = {0};
        int *rule_of;
        assert_int_equal(conflict_narrow(&problem, NULL, &arena, &suspects, &err), 0);
        assert_int_equal(conflict_restrict(&problem, &suspects, &arena, &some, &rule_of, &err), 0);
        narrowed += some.rule_count < problem.rule_count;
        if (solve(&some).status != SOLVE_INFEASIBLE) {
            fail_msg("seed %llu: %d rules of %d parts can hold together", (unsigned long long)seed,
                     some.rule_count, some.part_count);
        }
        for (int i = 0; i < some.rule_count; i++) {
            assert_string_equal(some.rules[i].text, problem.rules[rule_of[i]].text);
        }
    }
    if (infeasible < 20 || narrowed < 10) { /* else nothing was tried */
        fail_msg("%d infeasible, %d narrowed", infeasible, narrowed);
    }
}

/* Parts at sites: the first `group` of them may only be at the first two sites, whose room is for
 * all of them but one. */
static void plant(int parts, int sites, int group, struct problem *problem)
{
    *problem = (struct problem){.part_count = parts, .site_count = sites};
    problem->parts = arena_array(&arena, (size_t)parts, sizeof(*problem->parts));
    problem->site_names = arena_array(&arena, (size_t)sites, sizeof(*problem->site_names));
    problem->rules =
        arena_array(&arena, (size_t)parts * 2 + (size_t)sites * 2 + 1, sizeof(*problem->rules));
    assert_non_null(problem->rules);
    for (int i = 0; i < parts; i++) {
        struct problem_part *part = &problem->parts[i];
        str_format(part->name, sizeof(part->name), "p%d", i);
        part->choice_count = sites;
        part->current = -1;
        part->choices = arena_array(&arena, (size_t)sites, sizeof(*part->choices));
        part->cost = arena_array(&arena, (size_t)sites, sizeof(*part->cost));
        assert_true(part->choices != NULL && part->cost != NULL);
        struct problem_rule *rule = &problem->rules[problem->rule_count++];
        *rule = (struct problem_rule){.kind = RULE_CHOICES, .a = i, .b = -1, .site = -1};
        rule->allowed = arena_array(&arena, (size_t)sites, sizeof(bool));
        assert_non_null(rule->allowed);
        str_format(rule->text, sizeof(rule->text), "p%d needs a place", i);
        for (int s = 0; s < sites; s++) {
            part->choices[s] = (struct problem_choice){.site = s, .lead = i, .demand = {1000, 64}};
            part->cost[s] = (i * 7 + s * 13) % 101 * INT64_C(1000000);
            rule->allowed[s] = i >= group || s < 2;
        }
    }
    for (int s = 0; s < sites; s++) {
        struct problem_rule *rule = &problem->rules[problem->rule_count++];
        int64_t room = group == 0 || s > 1 ? parts : s == 0 ? group / 2 : group - group / 2 - 1;
        *rule = (struct problem_rule){.kind = RULE_CAPACITY,
                                      .a = -1,
                                      .b = -1,
                                      .site = s,
                                      .resource = RESOURCE_CPU,
                                      .capacity = room * 1000};
        str_format(rule->text, sizeof(rule->text), "site %d has room for %d", s, (int)room);
    }
}

static void test_planted_capacity_conflict_is_found(void **state)
{
    (void)state;
    static const struct {
        int parts;
        int sites;
        int group;
    } shapes[] = {{1200, 20, 9}, {4000, 30, 25}, {3000, 25, 180}};
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct problem problem;
        arena_reset(&arena);
        plant(shapes[i].parts, shapes[i].sites, shapes[i].group, &problem);
        struct solution solution = solve(&problem);
        if (solution.status != SOLVE_INFEASIBLE) {
            fail_msg("group of %d: %s, %s", shapes[i].group, solve_status_words[solution.status],
                     solution.text);
        }
        /* The two capacities, and each of the group: any one less, and the rest fits. */
        assert_int_equal(solution.conflict_count, shapes[i].group + 2);
        for (int k = 0; k < shapes[i].group; k++) {
            assert_int_equal(solution.conflict[k], k);
        }
        assert_int_equal(solution.conflict[shapes[i].group], shapes[i].parts);
        assert_int_equal(solution.conflict[shapes[i].group + 1], shapes[i].parts + 1);
        if (shapes[i].group <= 100) {
            assert_string_equal(solution.text, "");
        } else { /* asked about by prices alone, to the end */
            assert_non_null(strstr(solution.text, "needs each of them"));
        }
    }
}

/* Three parts that pair rules forbid to be together, among thousands. */
static void test_planted_pair_conflict_is_found(void **state)
{
    (void)state;
    struct problem problem;
    int sites = 20;
    arena_reset(&arena);
    plant(2000, sites, 0, &problem);
    int before = problem.rule_count;
    for (int i = 0; i < 3; i++) {
        struct problem_rule *rule = &problem.rules[problem.rule_count++];
        *rule = (struct problem_rule){
            .kind = RULE_PAIR, .a = 1000 + i, .b = 1000 + (i + 1) % 3, .site = -1};
        rule->allowed = arena_array(&arena, (size_t)(sites * sites), sizeof(bool));
        assert_non_null(rule->allowed);
        /* Of the first two sites: the one is not where the other is. */
        for (int s = 0; s < 4; s++) {
            rule->allowed[s / 2 * sites + s % 2] = s / 2 != s % 2;
        }
        str_format(rule->text, sizeof(rule->text), "pair %d", i);
    }
    struct solution solution = solve(&problem);
    assert_int_equal(solution.status, SOLVE_INFEASIBLE);
    assert_int_equal(solution.conflict_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(solution.conflict[i], before + i);
        struct problem rest = with_rules(&problem, solution.conflict, 3, i);
        assert_int_not_equal(solve(&rest).status, SOLVE_INFEASIBLE);
    }
    assert_string_equal(solution.text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_narrowed_is_still_infeasible),
        cmocka_unit_test(test_planted_capacity_conflict_is_found),
        cmocka_unit_test(test_planted_pair_conflict_is_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
