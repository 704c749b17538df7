/*
 * What berth-solve does for a session, without the processes: which problems are followed and which
 * are solved by themselves, beside what the plans are worth.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/solve/mip.h"
#include "model/solve/warm.h"
#include "model/solve/watch.h"
#include "tests/property/plan_check.h"
#include "tests/property/price_gen.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    mip_quiet();
    arena_init(&arena, (size_t)2 << 30);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    mip_release();
    return 0;
}

static struct warm *open_warm(const struct problem *base, double gap)
{
    struct warm *warm = NULL;
    struct error err = {0};
    struct warm_options options = {.gap = gap, .seed = 1};
    assert_int_equal(warm_create(base, &options, &warm, &err), 0);
    return warm;
}

static struct solution ask(struct warm *warm, const struct problem *problem)
{
    struct solution solution = {0};
    struct watch watch;
    char why[PLAN_WHY_BYTES];
    watch_begin(&watch, 0);
    warm_solve(warm, problem, true, &watch, &arena, &solution);
    if (!plan_check_problem(problem, &solution, why)) {
        fail_msg("%s", why);
    }
    return solution;
}

/* Neither bound is above the other's cost. */
static void agree(const struct problem *problem, const struct solution *solution, double gap)
{
    struct solution alone = {0};
    struct watch watch;
    watch_begin(&watch, 0);
    struct solve_options options = {.gap = gap, .watch = &watch};
    solve_problem(problem, &options, &arena, &alone);
    assert_non_null(alone.choice);
    assert_true(solution->bound_nusd <= alone.cost_nusd);
    assert_true(alone.bound_nusd <= solution->cost_nusd);
}

/* Tiers charge more above their lines than any gap that is asked for, in the base as in a scenario:
 * no search among grids gets rid of that, and none is begun. */
static void what_tiers_charge_is_accepted(void **state)
{
    (void)state;
    const double gap = 2e-5;
    struct problem base;
    struct gen_app_shape shape = {
        .seed = 3, .parts = 200, .sites = 5, .app_parts = 4, .tiers = true};
    gen_app(&shape, &arena, &base);
    struct warm *warm = open_warm(&base, gap);
    int wide = 0;
    for (uint64_t k = 0; k < 6; k++) {
        struct problem problem;
        struct gen_price_shape prices = {.seed = k, .spread_percent = 5, .meter_percent = 5};
        gen_prices(&base, &prices, &arena, &problem);
        struct solution solution = ask(warm, &problem);
        assert_non_null(solution.choice);
        double off = (double)(solution.cost_nusd - solution.bound_nusd);
        wide += off > 10 * gap * (double)solution.cost_nusd;
        if (k == 0) {
            agree(&problem, &solution, 1e-3);
        }
    }
    assert_true(wide > 0); /* further from their bounds than gap_poor */
    assert_int_equal(warm_counts(warm).followed, 6);
    /* Tiers that bend ten times as much as the base's are looked into. */
    struct problem steep = base;
    steep.meters =
        arena_copy(&arena, base.meters, (size_t)base.meter_count * sizeof(*steep.meters));
    for (int i = 0; i < base.meter_count; i++) {
        for (int tier = 1; tier < steep.meters[i].tier_count; tier++) {
            steep.meters[i].price_nusd[tier] /= 10;
        }
    }
    struct solution solution = ask(warm, &steep);
    assert_non_null(solution.choice);
    assert_int_equal(warm_counts(warm).ordinary, 1);
    warm_destroy(warm);
    arena_reset(&arena);
}

/* Every other pair costs nothing in the base. */
static void idle(const struct problem *from, struct problem *out)
{
    *out = *from;
    out->pairs = arena_copy(&arena, from->pairs, (size_t)from->pair_count * sizeof(*out->pairs));
    for (int i = 0; i < out->pair_count; i += 2) {
        struct problem_pair *pair = &out->pairs[i];
        size_t cells =
            (size_t)from->parts[pair->a].choice_count * (size_t)from->parts[pair->b].choice_count;
        pair->cost = arena_array(&arena, cells, sizeof(*pair->cost));
        assert_non_null(pair->cost);
    }
}

/* Pairs that cost nothing until a scenario says what, and the other way round. */
static void idle_pairs_are_followed(void **state)
{
    (void)state;
    struct problem busy;
    struct problem quiet;
    struct gen_app_shape shape = {
        .seed = 6, .parts = 200, .sites = 5, .app_parts = 4, .capacity_percent = 160};
    gen_app(&shape, &arena, &busy);
    idle(&busy, &quiet);
    const struct problem *order[2][2] = {{&quiet, &busy}, {&busy, &quiet}};
    for (int i = 0; i < 2; i++) {
        struct warm *warm = open_warm(order[i][0], 5e-3);
        for (uint64_t k = 0; k < 3; k++) {
            struct problem problem;
            struct gen_price_shape prices = {.seed = k, .spread_percent = 10};
            gen_prices(order[i][1], &prices, &arena, &problem);
            struct solution solution = ask(warm, &problem);
            agree(&problem, &solution, 5e-3);
        }
        assert_int_equal(warm_counts(warm).followed + warm_counts(warm).ordinary, 3);
        assert_true(warm_counts(warm).followed > 0);
        warm_destroy(warm);
    }
    arena_reset(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_tiers_charge_is_accepted),
        cmocka_unit_test(idle_pairs_are_followed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
