/*
 * reduce and search: what reduce.h promises, checked against every assignment of small problems.
 * The engine's only parts without GLPK, so this test does not link it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/solve/reduce.h"
#include "model/solve/search.h"
#include "tests/property/problem_gen.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)1 << 28);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

/* The next assignment; false after the last. */
static bool step(const struct problem *problem, int *site)
{
    for (int part = 0; part < problem->part_count; part++) {
        if (++site[part] < problem->parts[part].choice_count) {
            return true;
        }
        site[part] = 0;
    }
    return false;
}

/* What the tables say of an assignment; false when one of its cells is closed. */
static bool table_cost(const struct reduced *reduced, const int *site, nusd *ret_cost)
{
    nusd cost = reduced->constant;
    for (int part = 0; part < reduced->parts; part++) {
        size_t at = reduce_node(reduced, part, site[part]);
        if (!reduced->open[at]) {
            return false;
        }
        assert_true(reduced->node[at] >= 0);
        cost += reduced->node[at];
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        size_t at = reduce_cell(reduced, edge, site[edge->a], site[edge->b]);
        if (!edge->open[at]) {
            return false;
        }
        assert_true(edge->cost[at] >= 0);
        cost += edge->cost[at];
    }
    for (int i = 0; i < reduced->meter_count; i++) {
        const struct active_meter *meter = &reduced->meters[i];
        nusd volume = 0;
        for (int part = 0; part < reduced->parts; part++) {
            volume += reduce_part_bytes(reduced, meter->meter, part, site[part]);
        }
        for (int k = 0; k < reduced->edge_count; k++) {
            const struct edge *edge = &reduced->edges[k];
            volume += reduce_edge_bytes(reduced, meter->meter, edge, site[edge->a], site[edge->b]);
        }
        assert_true(volume >= meter->volume_min && volume <= meter->volume_max);
        cost += reduce_residual(reduced, meter, volume);
    }
    *ret_cost = cost;
    return true;
}

/* Roundings: one per use of a meter in each table, and a few per meter. */
static nusd slack(const struct problem *problem)
{
    return (nusd)(problem->part_count + problem->pair_count) * 4 * problem->meter_count +
           8 * (nusd)problem->meter_count;
}

/* A rule binds if and only if an assignment of open choices breaks it: the parts are alone. */
static void check_binding(const struct problem *problem, const struct reduced *reduced, int *seen)
{
    bool *binds = arena_array(&arena, (size_t)problem->rule_count + 1, sizeof(bool));
    bool *broken = arena_array(&arena, (size_t)problem->rule_count + 1, sizeof(bool));
    bool any = false;
    int site[8] = {0};
    do {
        nusd used[8][RESOURCE_COUNT] = {0};
        bool open = true;
        for (int part = 0; part < problem->part_count; part++) {
            const struct problem_choice *choice = reduce_choice(reduced, part, site[part]);
            open = open && reduced->open[reduce_node(reduced, part, site[part])];
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                used[choice->site][r] += choice->demand[r];
            }
        }
        for (int i = 0; i < problem->rule_count && open; i++) {
            const struct problem_rule *rule = &problem->rules[i];
            broken[i] = broken[i] || (rule->kind == RULE_CAPACITY &&
                                      used[rule->site][rule->resource] > rule->capacity);
        }
    } while (step(problem, site));
    bool told = reduce_find_binding(reduced, binds);
    for (int i = 0; i < problem->rule_count; i++) {
        assert_int_equal(binds[i], broken[i]);
        any = any || broken[i];
        seen[binds[i]] += problem->rules[i].kind == RULE_CAPACITY;
    }
    assert_int_equal(told, any);
}

/* Every assignment that keeps the rules and costs at most the cutoff is still there, at its cost.
 */
static int check_tables(const struct problem *problem, const struct reduced *reduced)
{
    int site[8] = {0};
    int matter = 0;
    do {
        nusd exact = problem_cost(problem, site);
        if (problem_broken_rule(problem, site) >= 0 || exact > reduced->cutoff) {
            continue;
        }
        matter++;
        nusd tables = 0;
        assert_false(reduced->empty);
        assert_true(table_cost(reduced, site, &tables));
        assert_true(tables <= exact);
        assert_true(exact - tables <= slack(problem));
        assert_true(reduced->constant <= exact);
    } while (step(problem, site));
    return matter;
}

static nusd cheapest(const struct problem *problem, bool *ret_any)
{
    int site[8] = {0};
    nusd best = 0;
    *ret_any = false;
    do {
        if (problem_broken_rule(problem, site) < 0) {
            nusd cost = problem_cost(problem, site);
            best = !*ret_any || cost < best ? cost : best;
            *ret_any = true;
        }
    } while (step(problem, site));
    return best;
}

static void test_tables_keep_every_assignment_that_matters(void **state)
{
    (void)state;
    int matter = 0;
    int closed = 0;
    int binding[2] = {0, 0};
    int flat[2] = {0, 0};
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct problem problem;
        struct reduced reduced;
        struct error err = {0};
        bool any;
        arena_reset(&arena);
        gen_any(seed, 1 + (int)(seed % 5), 1 + (int)(seed / 5 % 4), &arena, &problem);
        assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
        matter += check_tables(&problem, &reduced);
        nusd best = cheapest(&problem, &any);
        if (reduced.empty || !any) {
            continue;
        }
        check_binding(&problem, &reduced, binding);
        for (int i = 0; i < problem.meter_count; i++) {
            flat[reduce_is_flat(&reduced, i)]++;
        }
        /* Without a cutoff, then with the tightest. */
        reduce_tighten(&reduced, 16);
        matter += check_tables(&problem, &reduced);
        reduced.cutoff = (int64_t)best;
        reduce_tighten(&reduced, 16);
        assert_true(check_tables(&problem, &reduced) >= 1);
        for (int part = 0; part < reduced.parts; part++) {
            closed += reduced.count[part] - reduced.open_count[part];
        }
    }
    assert_true(matter > 1000);
    assert_true(closed > 300);
    assert_true(binding[false] > 10 && binding[true] > 10);
    assert_true(flat[false] > 10 && flat[true] > 10);
}

/* On a tree without capacities or meters the bound is the optimum: message passing is exact there.
 */
static void test_trees_close_their_gap(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct gen_app_shape shape = {.seed = seed, .parts = 6, .sites = 4};
        struct problem problem;
        struct reduced reduced;
        struct error err = {0};
        bool any;
        arena_reset(&arena);
        gen_app(&shape, &arena, &problem);
        assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
        nusd best = cheapest(&problem, &any);
        assert_true(any);
        reduce_tighten(&reduced, 200);
        /* Integer shares lose less than a nano-dollar per table entry and pass. */
        assert_true(best - reduced.constant < 100000);
        assert_true(reduced.constant <= best);
    }
}

static void test_search_keeps_rules_and_never_beats_the_bound(void **state)
{
    (void)state;
    int optimal = 0;
    int held = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct problem problem;
        struct reduced reduced;
        struct search *search;
        struct error err = {0};
        bool any;
        int site[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
        int again[8] = {-1, -1, -1, -1, -1, -1, -1, -1};
        arena_reset(&arena);
        gen_any(seed + 7000, 5, 4, &arena, &problem);
        assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
        nusd best = cheapest(&problem, &any);
        if (reduced.empty) {
            assert_false(any);
            continue;
        }
        assert_int_equal(search_create(&reduced, &arena, &search, &err), 0);
        bool holds = search_run(search, 8, 100000, site);
        assert_int_equal(holds, problem_broken_rule(&problem, site) < 0);
        assert_true(!holds || any);
        if (holds) {
            held++;
            assert_true(problem_cost(&problem, site) >= best);
            optimal += problem_cost(&problem, site) == best;
        }
        /* The same start gives the same end; annealing keeps what it is told as well. */
        assert_int_equal(search_run(search, 8, 100000, again), holds);
        assert_memory_equal(site, again, sizeof(site));
        holds = search_anneal(search, 2000, 1, again);
        assert_int_equal(holds, problem_broken_rule(&problem, again) < 0);
    }
    assert_true(held > 50);
    assert_true(optimal > held * 3 / 4);
}

static void test_amounts_past_the_range_are_refused(void **state)
{
    (void)state;
    struct problem problem;
    struct reduced reduced;
    struct error err = {0};
    arena_reset(&arena);
    gen_any(3, 3, 3, &arena, &problem);
    problem.parts[1].cost[2] = INT64_MIN;
    assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), ERR_OVERFLOW);
    assert_non_null(strstr(err.text, "2^60"));
}

static void test_a_capacity_below_zero_leaves_nothing(void **state)
{
    (void)state;
    struct gen_app_shape shape = {.seed = 1, .parts = 3, .sites = 3, .capacity_percent = 900};
    struct problem problem;
    struct reduced reduced;
    struct error err = {0};
    arena_reset(&arena);
    gen_app(&shape, &arena, &problem);
    assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
    assert_false(reduced.empty);
    problem.rules[problem.rule_count - 1].capacity = -1;
    assert_int_equal(reduce_build(&problem, &arena, &reduced, &err), 0);
    assert_true(reduced.empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_keep_every_assignment_that_matters),
        cmocka_unit_test(test_trees_close_their_gap),
        cmocka_unit_test(test_search_keeps_rules_and_never_beats_the_bound),
        cmocka_unit_test(test_amounts_past_the_range_are_refused),
        cmocka_unit_test(test_a_capacity_below_zero_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
