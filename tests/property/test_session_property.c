/*
 * Sessions against the same problems solved by themselves: an answer never breaks a rule, never is
 * below a proven bound, is as near to its own as was promised, and says nothing else the second
 * time.
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
#include "model/problem_delta.h"
#include "model/solver_session.h"
#include "tests/property/plan_check.h"
#include "tests/property/price_gen.h"

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

static void check(const struct problem *problem, const struct solution *solution)
{
    char why[PLAN_WHY_BYTES];
    if (!plan_check_problem(problem, solution, why)) {
        fail_msg("%s", why);
    }
}

static struct solver_session *open_session(const struct problem *base, double gap)
{
    struct solver_session *session = NULL;
    struct error err = {0};
    struct solver_session_options options = {.gap = gap, .gap_poor = 10 * gap};
    if (solver_session_open(solver, base, &options, &session, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return session;
}

static struct solution ask(struct solver_session *session, const struct problem *problem)
{
    struct solution solution = {0};
    struct error err = {0};
    if (solver_session_solve(session, problem, &arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    check(problem, &solution);
    return solution;
}

static bool is_placed(const struct solution *solution)
{
    return solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE;
}

/* Each bound is below each cost, and both agree whether there is a placement. */
static void agree(const struct problem *problem, const struct solution *warm, double gap)
{
    struct solution cold = {0};
    struct error err = {0};
    struct solve_limits limits = {.gap = gap};
    if (solver_call_within(solver, problem, &limits, &arena, &cold, &err) < 0) {
        fail_msg("%s", err.text);
    }
    check(problem, &cold);
    assert_true(warm->status != SOLVE_NONE || cold.status == SOLVE_NONE);
    assert_true((warm->status == SOLVE_INFEASIBLE) == (cold.status == SOLVE_INFEASIBLE));
    if (is_placed(warm) && is_placed(&cold)) {
        assert_true(warm->bound_nusd <= cold.cost_nusd);
        assert_true(cold.bound_nusd <= warm->cost_nusd);
    }
}

/* Small ones of every kind, often without a placement: exact, as any problem is. */
static void test_small_problems_of_every_kind(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct problem base;
        gen_any(seed, 1 + (int)(seed % 6), 2 + (int)(seed % 3), &arena, &base);
        struct solver_session *session = open_session(&base, 1e-6);
        for (uint64_t k = 0; k < 3; k++) {
            struct problem problem;
            struct gen_price_shape shape = {.seed = seed * 10 + k,
                                            .spread_percent = 40,
                                            .capacity_percent = k == 0 ? 0 : 50,
                                            .meter_percent = 30};
            gen_prices(&base, &shape, &arena, &problem);
            struct solution warm = ask(session, &problem);
            agree(&problem, &warm, 1e-6);
        }
        assert_int_equal(solver_session_counts(session).warm, 3);
        solver_session_close(session);
        arena_reset(&arena);
    }
}

/* Fleets that go through the engine's session: with and without room, tiers, and rules. */
static void test_fleets(void **state)
{
    (void)state;
    static const struct gen_app_shape shapes[] = {
        {.seed = 1, .parts = 120, .sites = 6, .chord_percent = 20, .app_parts = 6},
        {.seed = 2, .parts = 160, .sites = 5, .capacity_percent = 150, .app_parts = 4},
        {.seed = 3,
         .parts = 160,
         .sites = 5,
         .capacity_percent = 200,
         .app_parts = 4,
         .tiers = true},
    };
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        struct problem base;
        gen_app(&shapes[i], &arena, &base);
        struct solver_session *session = open_session(&base, 5e-3);
        struct solution first = ask(session, &base);
        assert_true(is_placed(&first));
        for (uint64_t k = 0; k < 4; k++) {
            struct problem problem;
            struct gen_price_shape shape = {.seed = k,
                                            .spread_percent = 20,
                                            .capacity_percent = k == 3 ? 5 : 0,
                                            .meter_percent = 10};
            gen_prices(&base, &shape, &arena, &problem);
            struct solution warm = ask(session, &problem);
            if (k % 3 == 0) { /* solving them by themselves is what takes long */
                agree(&problem, &warm, 5e-3);
            }
        }
        /* The same question later: the same bits. */
        struct solution again = ask(session, &base);
        assert_int_equal(first.cost_nusd, again.cost_nusd);
        assert_int_equal(first.bound_nusd, again.bound_nusd);
        assert_memory_equal(first.choice, again.choice, (size_t)base.part_count * sizeof(int));
        solver_session_close(session);
        arena_reset(&arena);
    }
}

/* What the order of questions, and a session of its own, do to an answer: nothing. */
static void test_an_answer_depends_on_its_question(void **state)
{
    (void)state;
    struct problem base;
    struct problem problems[3];
    struct solution one[3];
    struct gen_app_shape shape = {
        .seed = 5, .parts = 160, .sites = 5, .capacity_percent = 140, .app_parts = 4};
    gen_app(&shape, &arena, &base);
    struct solver_session *session = open_session(&base, 5e-3);
    for (uint64_t k = 0; k < 3; k++) {
        gen_prices(&base, &(struct gen_price_shape){.seed = k, .spread_percent = 25}, &arena,
                   &problems[k]);
        one[k] = ask(session, &problems[k]);
    }
    solver_session_close(session);
    session = open_session(&base, 5e-3);
    for (int k = 2; k >= 0; k--) {
        struct solution other = ask(session, &problems[k]);
        assert_int_equal(one[k].cost_nusd, other.cost_nusd);
        assert_int_equal(one[k].bound_nusd, other.bound_nusd);
        assert_memory_equal(one[k].choice, other.choice, (size_t)base.part_count * sizeof(int));
    }
    solver_session_close(session);
}

/* A delta is the problem that it was made from. */
static void test_deltas(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct problem base;
        struct problem problem;
        struct problem again;
        struct strbuf frame;
        struct strbuf whole[2];
        struct error err = {0};
        gen_any(seed, 1 + (int)(seed % 7), 2 + (int)(seed % 4), &arena, &base);
        struct gen_price_shape shape = {.seed = seed,
                                        .spread_percent = (int)(seed % 3) * 20,
                                        .capacity_percent = (int)(seed % 2) * 30,
                                        .meter_percent = (int)(seed % 5) * 10};
        gen_prices(&base, &shape, &arena, &problem);
        strbuf_init(&frame, (size_t)1 << 24);
        assert_true(problem_delta_encode(&base, &problem, &frame));
        for (size_t bytes = 0; bytes < frame.bytes; bytes += 1 + frame.bytes / 50) {
            assert_int_equal(problem_delta_decode(frame.text, bytes, &base, &arena, &again, &err),
                             ERR_INVALID);
        }
        if (problem_delta_decode(frame.text, frame.bytes, &base, &arena, &again, &err) < 0) {
            fail_msg("%s", err.text);
        }
        const struct problem *both[] = {&problem, &again};
        for (int k = 0; k < 2; k++) {
            strbuf_init(&whole[k], (size_t)1 << 24);
            problem_encode(both[k], &whole[k]);
        }
        assert_int_equal(whole[0].bytes, whole[1].bytes);
        assert_memory_equal(whole[0].text, whole[1].text, whole[0].bytes);
        size_t encoded = whole[0].bytes;
        uint64_t hash = hash_bytes(HASH_SEED, whole[0].text, encoded);
        strbuf_done(&whole[0]);
        strbuf_done(&whole[1]);
        /* Wherever it lies in memory. */
        char *moved = arena_alloc(&arena, frame.bytes + 8);
        assert_non_null(moved);
        for (size_t off = 1; off < 8; off += 3) {
            memcpy(moved + off, frame.text, frame.bytes);
            assert_int_equal(
                problem_delta_decode(moved + off, frame.bytes, &base, &arena, &again, &err), 0);
            strbuf_init(&whole[0], (size_t)1 << 24);
            problem_encode(&again, &whole[0]);
            assert_int_equal(whole[0].bytes, encoded);
            assert_int_equal(hash_bytes(HASH_SEED, whole[0].text, whole[0].bytes), hash);
            strbuf_done(&whole[0]);
        }
        strbuf_done(&frame);
        arena_reset(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deltas),
        cmocka_unit_test(test_small_problems_of_every_kind),
        cmocka_unit_test(test_fleets),
        cmocka_unit_test(test_an_answer_depends_on_its_question),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
