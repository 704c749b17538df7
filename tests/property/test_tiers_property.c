/*
 * Ranges of volumes: with any lines the tables stay below what assignments cost whose volumes are
 * in range; a bound is never above any cost, on small problems against every assignment; and where
 * nothing but tiers is in the way, the optimum is proven.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "model/solve/engine.h"
#include "model/solve/reduce_lines.h"
#include "model/solve/solve.h"
#include "model/solve/tiers.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

#define PARTS_MAX 8

static struct arena arena;

/* A problem whose meters are active, as tiers_solve wants it. */
struct known {
    struct problem problem;
    struct reduced reduced;
    struct shape shape;
    double *price;
    int *choice;
};

static bool next(const struct problem *problem, int *choice)
{
    int part = 0;
    while (part < problem->part_count && ++choice[part] == problem->parts[part].choice_count) {
        choice[part++] = 0;
    }
    return part < problem->part_count;
}

/* False: it has no active meter, or nothing keeps its rules. */
static bool begin(const struct gen_app_shape *shape, struct known *known)
{
    struct error err = {0};
    struct engine_result answer;
    struct engine_options options = {.gap = 1e-4, .moves_max = 200};
    gen_app(shape, &arena, &known->problem);
    if (reduce_build(&known->problem, &arena, &known->reduced, &err) < 0) {
        fail_msg("%s", err.text);
    }
    if (known->reduced.empty || known->reduced.meter_count == 0) {
        return false;
    }
    if (shape_build(&known->reduced, &arena, &known->shape, &err) < 0 ||
        engine_solve(&known->shape.grid, &options, &arena, &answer, &err) < 0) {
        fail_msg("%s", err.text);
    }
    known->price = answer.price;
    known->choice = arena_array(&arena, (size_t)known->problem.part_count, sizeof(int));
    if (answer.status != SOLVE_OPTIMAL && answer.status != SOLVE_FEASIBLE) {
        return false;
    }
    shape_choice(&known->shape, answer.choice, known->choice);
    return answer.price != NULL && problem_broken_rule(&known->problem, known->choice) < 0;
}

static nusd best_of(const struct problem *problem)
{
    int choice[PARTS_MAX] = {0};
    nusd best = INT64_MAX;
    do {
        nusd cost = problem_cost(problem, choice);
        if (cost < best && problem_broken_rule(problem, choice) < 0) {
            best = cost;
        }
    } while (next(problem, choice));
    return best;
}

static struct tiers_result divide(struct known *known, double gap, int ranges_max)
{
    struct tiers_result result;
    struct error err = {0};
    struct tiers_options options = {
        .gap = gap, .price = known->price, .ranges_max = ranges_max, .moves_max = 200};
    if (tiers_solve(&known->reduced, &known->shape, &options, &arena, known->choice, &result,
                    &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(problem_broken_rule(&known->problem, known->choice), -1);
    assert_true(problem_cost(&known->problem, known->choice) == result.cost);
    assert_true(result.bound <= result.cost);
    return result;
}

/* The sum of a reduced problem's tables. */
static nusd tables_of(const struct reduced *reduced, const int *choice)
{
    nusd sum = reduced->constant;
    for (int part = 0; part < reduced->parts; part++) {
        sum += reduced->node[reduce_node(reduced, part, choice[part])];
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        sum += edge->cost[reduce_cell(reduced, edge, choice[edge->a], choice[edge->b])];
    }
    return sum;
}

static bool is_open(const struct reduced *reduced, const int *choice)
{
    bool open = true;
    for (int part = 0; part < reduced->parts; part++) {
        open = open && reduced->open[reduce_node(reduced, part, choice[part])];
    }
    for (int i = 0; i < reduced->edge_count; i++) {
        const struct edge *edge = &reduced->edges[i];
        open = open && edge->open[reduce_cell(reduced, edge, choice[edge->a], choice[edge->b])];
    }
    return open;
}

/* Lines over a random part of each meter's volumes, against every assignment. */
static int check_lines(const struct problem *problem, const struct reduced *reduced,
                       struct gen_random *random)
{
    struct error err = {0};
    struct reduce_lines *lines;
    struct reduced other;
    struct meter_line line[64];
    int64_t low[64];
    int64_t high[64];
    nusd volume[64];
    int within = 0;
    for (int m = 0; m < reduced->meter_count; m++) {
        const struct active_meter *meter = &reduced->meters[m];
        uint64_t width = (uint64_t)(meter->volume_max - meter->volume_min);
        low[m] = meter->volume_min + (int64_t)gen_below(random, width / 2 + 1);
        high[m] =
            low[m] + 1 + (int64_t)gen_below(random, (uint64_t)(meter->volume_max - low[m]) + 1);
        line[m].intercept =
            reduce_line(&problem->meters[meter->meter], low[m], high[m], &line[m].slope);
    }
    if (reduce_lines_create(reduced, &arena, &lines, &err) < 0 ||
        reduce_lines_set(lines, line, &arena, &other, &err) < 0) {
        fail_msg("%s", err.text);
    }
    int choice[PARTS_MAX] = {0};
    do {
        if (!is_open(reduced, choice)) {
            continue;
        }
        reduce_lines_volume(lines, choice, volume);
        bool inside = true;
        nusd slack = reduced->edge_count + reduced->parts; /* a rounding for each use */
        nusd line_charge = 0;
        nusd charge = 0;
        for (int m = 0; m < reduced->meter_count; m++) {
            const struct problem_meter *source = &problem->meters[reduced->meters[m].meter];
            inside = inside && volume[m] >= low[m] && volume[m] <= high[m];
            line_charge += (nusd)line[m].slope * volume[m] / source->per_bytes + line[m].intercept;
            charge += meter_charge(source, (int64_t)volume[m]);
            slack += 4;
        }
        nusd cost = problem_cost(problem, choice);
        nusd sum = tables_of(&other, choice);
        nusd expected = cost - charge + line_charge;
        slack *= 1 + reduced->meter_count;
        assert_true(sum <= expected + slack && sum + slack >= expected);
        assert_true(!inside || sum <= cost);
        within += inside;
    } while (next(problem, choice));
    return within;
}

static void test_lines(void **state)
{
    (void)state;
    int within = 0;
    int active = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct problem problem;
        struct reduced reduced;
        struct error err = {0};
        struct gen_random random;
        gen_any(seed, 2 + (int)(seed % 5), 2 + (int)(seed % 3), &arena, &problem);
        gen_seed(&random, seed);
        if (reduce_build(&problem, &arena, &reduced, &err) < 0) {
            fail_msg("%s", err.text);
        }
        if (!reduced.empty && reduced.meter_count > 0) {
            active++;
            within += check_lines(&problem, &reduced, &random);
        }
        arena_reset(&arena);
    }
    assert_true(active > 40);
    assert_true(within > 200);
}

/* With and without capacities, against every assignment; without, the optimum is proven. */
static void test_small_ones(void **state)
{
    (void)state;
    int divided = 0;
    int tried = 0;
    for (uint64_t seed = 0; seed < 80; seed++) {
        struct known known;
        struct gen_app_shape shape = {.seed = seed,
                                      .parts = 4 + (int)(seed % 3),
                                      .sites = 3 + (int)(seed % 2),
                                      .capacity_percent = seed % 4 == 0 ? 250 : 0,
                                      .chord_percent = 20,
                                      .tiers = true};
        if (begin(&shape, &known)) {
            struct tiers_result result = divide(&known, 0, 0);
            nusd best = best_of(&known.problem);
            tried++;
            divided += result.ranges > 1;
            assert_true(result.bound <= best);
            if (shape.capacity_percent == 0) {
                assert_true(result.cost - best <= solve_tolerance(result.cost, 0));
                assert_true(best - result.bound <= solve_tolerance(result.cost, 0));
            }
        }
        arena_reset(&arena);
    }
    assert_true(tried > 50);
    assert_true(divided > 20);
}

/* Fleets: more ranges prove more and never too much, and the same is said twice. */
static void test_fleets(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct known known;
        struct gen_app_shape shape = {.seed = seed,
                                      .parts = 160,
                                      .sites = 6,
                                      .app_parts = 4,
                                      .capacity_percent = seed == 1 ? 0 : 180,
                                      .chord_percent = 10,
                                      .tiers = true};
        assert_true(begin(&shape, &known));
        int *first = arena_copy(&arena, known.choice, 160 * sizeof(int));
        struct tiers_result one = divide(&known, 0, 1);
        memcpy(known.choice, first, 160 * sizeof(int));
        struct tiers_result all = divide(&known, 1e-3, 0);
        memcpy(known.choice, first, 160 * sizeof(int));
        struct tiers_result again = divide(&known, 1e-3, 0);
        assert_true(one.bound < all.bound);
        assert_true(all.cost <= one.cost);
        assert_int_equal(all.bound, again.bound);
        assert_int_equal(all.cost, again.cost);
        assert_int_equal(all.ranges, again.ranges);
        arena_reset(&arena);
    }
}

/* The whole way of a large problem: what is said is proven, by the solver and by the verifier. */
static void test_large(void **state)
{
    (void)state;
    struct problem problem;
    struct solution solution;
    char why[PLAN_WHY_BYTES];
    struct gen_app_shape shape = {.seed = 7,
                                  .parts = 800,
                                  .sites = 12,
                                  .app_parts = 4,
                                  .capacity_percent = 200,
                                  .tiers = true};
    gen_app(&shape, &arena, &problem);
    struct solve_options options = {.gap = 1e-3};
    solve_problem(&problem, &options, &arena, &solution);
    if (!plan_check_problem(&problem, &solution, why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(solution.status, SOLVE_FEASIBLE);
    assert_true((double)(solution.cost_nusd - solution.bound_nusd) <=
                1e-3 * (double)solution.cost_nusd);
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_small_ones),
        cmocka_unit_test(test_fleets),
        cmocka_unit_test(test_large),
    };
    arena_init(&arena, (size_t)4 << 30);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return failed;
}
