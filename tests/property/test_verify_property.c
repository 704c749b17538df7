/*
 * The verifier against brute force: whatever the prices, its bound is below every assignment that
 * keeps the rules; without what couples, it is the optimum; and it says of any assignment what
 * model/problem.c says of it, whose code it does not share.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "model/verify.h"
#include "tests/property/problem_gen.h"

static struct arena arena;

static struct verdict verify(const struct problem *problem, const int *choice, const double *price,
                             const double *meter_price)
{
    struct verdict verdict;
    struct error err = {0};
    if (verify_plan(problem, choice, price, meter_price, &arena, &verdict, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return verdict;
}

/* The next assignment; false after the last. */
static bool next(const struct problem *problem, int *choice)
{
    int part = 0;
    while (part < problem->part_count && ++choice[part] == problem->parts[part].choice_count) {
        choice[part++] = 0;
    }
    return part < problem->part_count;
}

/* The least cost of those that keep the rules; +INFINITY when there is none. */
static double best_of(const struct problem *problem)
{
    int choice[8] = {0};
    double best = INFINITY;
    do {
        if (problem_broken_rule(problem, choice) < 0) {
            best = fmin(best, (double)problem_cost(problem, choice));
        }
    } while (next(problem, choice));
    return best;
}

static void bound_of_any_prices(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct problem problem;
        struct gen_random random;
        gen_seed(&random, seed);
        gen_any(seed, 1 + (int)gen_below(&random, 5), 1 + (int)gen_below(&random, 3), &arena,
                &problem);
        double best = best_of(&problem);
        double *price = arena_array(&arena, (size_t)problem.rule_count + 1, sizeof(double));
        double *meter_price = arena_array(&arena, (size_t)problem.meter_count + 1, sizeof(double));
        int choice[8] = {0};
        for (int round = 0; round < 4; round++) {
            for (int i = 0; round > 0 && i < problem.rule_count; i++) {
                price[i] = problem.rules[i].kind == RULE_CAPACITY && gen_chance(&random, 60)
                               ? (double)gen_below(&random, 20000000)
                               : 0;
            }
            for (int i = 0; round > 0 && i < problem.meter_count; i++) {
                const struct problem_meter *meter = &problem.meters[i];
                int tier = (int)gen_below(&random, (uint64_t)meter->tier_count);
                meter_price[i] = (double)meter->price_nusd[tier] / (double)meter->per_bytes;
            }
            struct verdict verdict = verify(&problem, choice, price, meter_price);
            if (!(verdict.bound <= best)) {
                fail_msg("seed %llu: bound %.17g above the optimum %.17g", (unsigned long long)seed,
                         verdict.bound, best);
            }
        }
        arena_reset(&arena);
    }
}

/* With neither meters nor capacities all of it is proven, to the rounding. */
static void optimum_without_coupling(void **state)
{
    (void)state;
    int exact = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct problem problem;
        gen_any(seed, 5, 3, &arena, &problem);
        problem.meter_count = 0;
        for (int i = 0; i < problem.part_count; i++) {
            problem.parts[i].use_count = 0;
        }
        for (int i = 0; i < problem.pair_count; i++) {
            problem.pairs[i].use_count = 0;
        }
        int kept = 0;
        for (int i = 0; i < problem.rule_count; i++) {
            if (problem.rules[i].kind != RULE_CAPACITY) {
                problem.rules[kept++] = problem.rules[i];
            }
        }
        problem.rule_count = kept;
        int choice[8] = {0};
        double best = best_of(&problem);
        struct verdict verdict = verify(&problem, choice, NULL, NULL);
        assert_false(verdict.divided);
        if (isinf(best)) {
            assert_true(isinf(verdict.bound) && verdict.bound > 0);
        } else {
            exact++;
            assert_true(verdict.bound <= best);
            assert_true(best - verdict.bound <= 1e-10 * (fabs(best) + 1e10));
        }
        arena_reset(&arena);
    }
    assert_true(exact > 100);
}

/* One price per byte proves little where tiers fall: the cases prove the optimum. */
static void tiers_without_capacities(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct problem problem;
        struct gen_app_shape shape = {.seed = seed,
                                      .parts = 2 + (int)(seed % 5),
                                      .sites = 2 + (int)(seed % 3),
                                      .chord_percent = 40,
                                      .tiers = true};
        gen_app(&shape, &arena, &problem);
        for (int i = 0; i < problem.meter_count; i++) {
            problem.meters[i].base_bytes = 0;
            for (int tier = 0; tier + 1 < problem.meters[i].tier_count; tier++) {
                problem.meters[i].up_to_bytes[tier] /= 50; /* so that few workloads pass them */
            }
        }
        double best = best_of(&problem);
        int choice[8] = {0};
        while (isfinite(best) && (problem_broken_rule(&problem, choice) >= 0 ||
                                  (double)problem_cost(&problem, choice) > best)) {
            assert_true(next(&problem, choice));
        }
        if (isfinite(best)) {
            struct verdict verdict = verify(&problem, choice, NULL, NULL);
            assert_true(verdict.bound <= best);
            assert_true(verdict.bound >= best - 1e-8 * fabs(best) - 100);
        }
        arena_reset(&arena);
    }
}

static void same_word_on_any_assignment(void **state)
{
    (void)state;
    int kept = 0;
    int broken = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct problem problem;
        gen_any(seed, 4, 3, &arena, &problem);
        int choice[8] = {0};
        do {
            struct verdict verdict = verify(&problem, choice, NULL, NULL);
            assert_int_equal(verdict.broken, problem_broken_rule(&problem, choice));
            double cost = (double)problem_cost(&problem, choice);
            assert_true(fabs(verdict.cost - cost) <= 1 + problem.meter_count + 1e-12 * fabs(cost));
            kept += verdict.broken < 0;
            broken += verdict.broken >= 0;
        } while (next(&problem, choice));
        arena_reset(&arena);
    }
    assert_true(kept > 100 && broken > 100);
}

/* Fifteen parts at twenty sites, all linked: no table holds them, and the bound still is one. */
static void divided_buckets(void **state)
{
    (void)state;
    struct problem problem;
    struct gen_app_shape shape = {
        .seed = 9, .parts = 15, .sites = 20, .chord_percent = 500, .app_parts = 15};
    gen_app(&shape, &arena, &problem);
    int choice[15] = {0};
    struct verdict verdict = verify(&problem, choice, NULL, NULL);
    assert_true(verdict.divided);
    assert_true(isfinite(verdict.bound));
    struct gen_random random;
    gen_seed(&random, 9);
    for (int i = 0; i < 2000; i++) {
        for (int part = 0; part < problem.part_count; part++) {
            choice[part] = (int)gen_below(&random, (uint64_t)problem.parts[part].choice_count);
        }
        if (problem_broken_rule(&problem, choice) < 0) {
            assert_true((double)problem_cost(&problem, choice) >= verdict.bound);
        }
    }
    arena_reset(&arena);
}

static void refused(const struct problem *problem, const int *choice, const double *price,
                    const double *meter_price, const char *words)
{
    struct verdict verdict;
    struct error err = {0};
    assert_int_equal(verify_plan(problem, choice, price, meter_price, &arena, &verdict, &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, words));
}

static void refusals(void **state)
{
    (void)state;
    struct problem problem;
    struct gen_app_shape shape = {
        .seed = 3, .parts = 6, .sites = 4, .capacity_percent = 150, .tiers = true};
    gen_app(&shape, &arena, &problem);
    int choice[6] = {0};
    double *price = arena_array(&arena, (size_t)problem.rule_count, sizeof(double));
    double *meter_price = arena_array(&arena, (size_t)problem.meter_count, sizeof(double));
    assert_true(problem.meter_count > 0);
    choice[2] = problem.parts[2].choice_count;
    refused(&problem, choice, price, meter_price, problem.parts[2].name);
    choice[2] = -1;
    refused(&problem, choice, price, meter_price, "takes choice -1");
    choice[2] = 0;
    meter_price[0] = INFINITY;
    refused(&problem, choice, price, meter_price, "is not a number");
    meter_price[0] = 0;
    int capacity = -1;
    int other = -1;
    for (int i = 0; i < problem.rule_count; i++) {
        *(problem.rules[i].kind == RULE_CAPACITY ? &capacity : &other) = i;
    }
    assert_true(capacity >= 0);
    price[capacity] = -1;
    refused(&problem, choice, price, meter_price, "0 or more");
    price[capacity] = NAN;
    refused(&problem, choice, price, meter_price, "0 or more");
    price[capacity] = 0;
    if (other >= 0) {
        price[other] = 1;
        refused(&problem, choice, price, meter_price, "any other rule has none");
        price[other] = 0;
    }
    /* Every refusal of memory is an error, and the next try starts afresh. */
    int64_t after = 0;
    for (;; after++) {
        struct verdict verdict;
        struct error err = {0};
        arena.fail_after = after;
        int rc = verify_plan(&problem, choice, price, meter_price, &arena, &verdict, &err);
        arena.fail_after = -1;
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
    assert_true(after > 20);
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
        cmocka_unit_test(bound_of_any_prices),      cmocka_unit_test(optimum_without_coupling),
        cmocka_unit_test(tiers_without_capacities), cmocka_unit_test(same_word_on_any_assignment),
        cmocka_unit_test(divided_buckets),          cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
