/* solver_session: what happens to a session when its worker dies or hangs, when the question is of
 * another kind, and when it is closed with work under way. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/problem_frame.h"
#include "model/solver_session.h"
#include "tests/property/plan_check.h"
#include "tests/property/price_gen.h"

#define BIN(name) BERTH_BINARY_DIR "/bin/" name

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)1 << 30);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct solver *open_solver(const struct solver_options *options)
{
    struct solver *solver = NULL;
    struct error err = {0};
    if (solver_open(options, &solver, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return solver;
}

static struct solver_session *open_session(struct solver *solver, const struct problem *base)
{
    struct solver_session *session = NULL;
    struct error err = {0};
    struct solver_session_options options = {.gap = 1e-3};
    if (solver_session_open(solver, base, &options, &session, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return session;
}

static struct solution ask(struct solver_session *session, const struct problem *problem)
{
    struct solution solution = {0};
    struct error err = {0};
    char why[PLAN_WHY_BYTES];
    if (solver_session_solve(session, problem, &arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    if (!plan_check_problem(problem, &solution, why)) {
        fail_msg("%s", why);
    }
    return solution;
}

/* Large enough for the engine's session, and solved in milliseconds. */
static void fleet(struct problem *base)
{
    struct gen_app_shape shape = {.seed = 4, .parts = 120, .sites = 6, .app_parts = 6};
    gen_app(&shape, &arena, base);
}

static void at_prices(const struct problem *base, uint64_t seed, struct problem *out)
{
    gen_prices(base, &(struct gen_price_shape){.seed = seed, .spread_percent = 30}, &arena, out);
}

static void test_a_killed_worker_is_given_the_base_again(void **state)
{
    (void)state;
    struct problem base;
    struct problem problem;
    fleet(&base);
    at_prices(&base, 1, &problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solver_session *session = open_session(solver, &base);
    struct solution before = ask(session, &problem);
    int pid = 0;
    int again = 0;
    assert_int_equal(solver_pids(solver, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    struct solution after = ask(session, &problem);
    assert_int_equal(solver_pids(solver, &again, 1), 1);
    assert_int_not_equal(pid, again);
    assert_int_equal(before.cost_nusd, after.cost_nusd);
    assert_int_equal(before.bound_nusd, after.bound_nusd);
    assert_memory_equal(before.choice, after.choice, (size_t)base.part_count * sizeof(int));
    /* A problem of no session between them, and it is warm still. */
    struct solution other = {0};
    struct error err = {0};
    struct problem small;
    gen_any(2, 2, 2, &arena, &small);
    assert_int_equal(solver_call(solver, &small, &arena, &other, &err), 0);
    assert_int_equal(ask(session, &problem).cost_nusd, before.cost_nusd);
    solver_session_close(session);
    solver_close(solver);
}

static void test_a_worker_that_aborts_is_none_with_reason(void **state)
{
    (void)state;
    struct problem base;
    fleet(&base);
    struct solver *solver = open_solver(&(struct solver_options){.program = BIN("solver_aborts")});
    struct solver_session *session = open_session(solver, &base);
    for (int turn = 0; turn < 2; turn++) {
        struct solution solution = ask(session, &base);
        assert_int_equal(solution.status, SOLVE_NONE);
        assert_non_null(strstr(solution.text, "signal 6"));
    }
    solver_session_close(session);
    solver_close(solver);
}

static void test_a_worker_that_hangs_ends_at_the_wall(void **state)
{
    (void)state;
    struct problem base;
    fleet(&base);
    assert_int_equal(setenv("SOLVER_HANGS", "silent", 1), 0);
    struct solver *solver = open_solver(
        &(struct solver_options){.program = BIN("solver_hangs"), .wall_max_us = 300000});
    struct solver_session *session = open_session(solver, &base);
    struct solution solution = ask(session, &base);
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "no answer within 300 ms"));
    solver_session_close(session);
    solver_close(solver);
}

/* Another demand is another structure: sent whole, and answered all the same. */
static void test_another_structure_is_answered(void **state)
{
    (void)state;
    struct problem base;
    struct problem problem;
    fleet(&base);
    at_prices(&base, 1, &problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solver_session *session = open_session(solver, &base);
    (void)ask(session, &problem);
    problem.parts[3].choices =
        arena_copy(&arena, problem.parts[3].choices,
                   (size_t)problem.parts[3].choice_count * sizeof(struct problem_choice));
    problem.parts[3].choices[0].demand[RESOURCE_CPU] += 1;
    struct solution solution = ask(session, &problem);
    assert_true(solution.status == SOLVE_OPTIMAL || solution.status == SOLVE_FEASIBLE);
    /* One part less, at the end: pairs and rules of it go too. */
    struct problem fewer = base;
    fewer.part_count = 1;
    fewer.pair_count = 0;
    fewer.rule_count = 0;
    solution = ask(session, &fewer);
    assert_int_equal(solution.status, SOLVE_OPTIMAL);
    struct solver_session_counts counts = solver_session_counts(session);
    assert_int_equal(counts.warm, 1);
    assert_int_equal(counts.whole, 2);
    solver_session_close(session);
    solver_close(solver);
}

struct tally {
    const struct problem *base;
    int made;
    int taken;
    int stop_after; /* 0: never */
    int64_t cost[40];
};

static int make(void *context, int index, struct arena *memory, struct problem *ret_problem,
                struct error *err)
{
    struct tally *tally = context;
    tally->made++;
    if (index == 30) {
        return error_set(err, ERR_NOT_FOUND, 0, "scenario 30 is not there");
    }
    gen_prices(tally->base,
               &(struct gen_price_shape){.seed = (uint64_t)index, .spread_percent = 30}, memory,
               ret_problem);
    return 0;
}

static bool take(void *context, int index, const struct solution *solution)
{
    struct tally *tally = context;
    assert_true(index >= 0 && index < 30);
    assert_int_equal(tally->cost[index], 0);
    assert_non_null(solution->choice);
    tally->cost[index] = solution->cost_nusd;
    return ++tally->taken != tally->stop_after;
}

/* Two workers share them, and give what one gives. */
static void test_a_run_over_two_workers(void **state)
{
    (void)state;
    struct problem base;
    struct error err = {0};
    struct tally tallies[2] = {{.base = &base}, {.base = &base}};
    fleet(&base);
    for (int i = 0; i < 2; i++) {
        struct solver *solver = open_solver(&(struct solver_options){.workers = 1 + i});
        struct solver_session *session = open_session(solver, &base);
        struct solver_scenarios scenarios = {
            .count = 20, .make = make, .take = take, .context = &tallies[i]};
        assert_int_equal(solver_session_run(session, &scenarios, &err), 0);
        assert_int_equal(tallies[i].taken, 20);
        solver_session_close(session);
        solver_close(solver);
    }
    assert_memory_equal(tallies[0].cost, tallies[1].cost, sizeof(tallies[0].cost));
}

static void test_a_run_ends_early(void **state)
{
    (void)state;
    struct problem base;
    struct error err = {0};
    fleet(&base);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solver_session *session = open_session(solver, &base);
    struct tally tally = {.base = &base, .stop_after = 3};
    struct solver_scenarios scenarios = {
        .count = 20, .make = make, .take = take, .context = &tally};
    assert_int_equal(solver_session_run(session, &scenarios, &err), 0);
    assert_int_equal(tally.taken, 3);
    assert_true(tally.made < 20);
    /* The error of a scenario that cannot be made; what was sent before it is answered. */
    struct tally all = {.base = &base};
    scenarios = (struct solver_scenarios){.count = 40, .make = make, .take = take, .context = &all};
    assert_int_equal(solver_session_run(session, &scenarios, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "scenario 30"));
    assert_int_equal(all.taken, 30);
    solver_session_close(session);
    solver_close(solver);
}

static void count(void *context, uint64_t id, const struct solution *solution)
{
    int *calls = context;
    assert_int_equal(id, 9);
    assert_non_null(solution->choice);
    (*calls)++;
}

static void test_closed_with_work_under_way(void **state)
{
    (void)state;
    struct problem base;
    struct error err = {0};
    int calls = 0;
    fleet(&base);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solver_session *session = open_session(solver, &base);
    assert_int_equal(solver_session_submit(session, 9, &base, count, &calls, &err), 0);
    assert_int_equal(solver_session_submit(session, 9, &base, count, &calls, &err), 0);
    solver_session_close(session);
    for (int i = 0; i < 12000 && calls < 2; i++) {
        struct pollfd wait = {.fd = solver_fd(solver), .events = POLLIN};
        (void)poll(&wait, 1, 10);
        (void)solver_dispatch(solver);
    }
    assert_int_equal(calls, 2);
    /* The worker has dropped it and goes on. */
    struct solver_session *next = open_session(solver, &base);
    assert_non_null(ask(next, &base).choice);
    assert_int_equal(solver_session_submit(next, 9, &base, count, &calls, &err), 0);
    solver_session_close(next);
    solver_close(solver); /* with the job in the worker's hands */
}

static void test_what_no_session_takes(void **state)
{
    (void)state;
    struct problem base;
    struct solver_session *session = NULL;
    struct error err = {0};
    fleet(&base);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solver_session_options options = {.gap = -1};
    assert_int_equal(solver_session_open(solver, &base, &options, &session, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "gap -1"));
    struct problem none = {0};
    assert_int_equal(
        solver_session_open(solver, &none, &(struct solver_session_options){0}, &session, &err),
        ERR_LIMIT);
    assert_null(session);
    solver_session_close(NULL);
    solver_close(solver);
}

static void test_the_head_of_a_frame(void **state)
{
    (void)state;
    struct solve_session session = {
        .kind = SESSION_WHOLE, .id = 77, .seed = 5, .threads = 2, .gap_poor = 0.25};
    struct solve_session again;
    struct error err = {0};
    char frame[SOLVE_SESSION_BYTES];
    solve_session_encode(&session, frame);
    assert_true(solve_session_is(frame, sizeof(frame)));
    assert_false(solve_session_is("BRP2", 4));
    assert_false(solve_session_is(frame, 3));
    assert_int_equal(solve_session_decode(frame, sizeof(frame), &again, &err), 0);
    assert_int_equal(again.kind, SESSION_WHOLE);
    assert_int_equal(again.id, 77);
    assert_int_equal(again.seed, 5);
    assert_int_equal(again.threads, 2);
    assert_true(again.gap_poor == 0.25);
    assert_int_equal(solve_session_decode(frame, sizeof(frame) - 1, &again, &err), ERR_INVALID);
    session.threads = 1000;
    solve_session_encode(&session, frame);
    assert_int_equal(solve_session_decode(frame, sizeof(frame), &again, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "threads 1000"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_head_of_a_frame),
        cmocka_unit_test(test_what_no_session_takes),
        cmocka_unit_test(test_a_killed_worker_is_given_the_base_again),
        cmocka_unit_test(test_a_worker_that_aborts_is_none_with_reason),
        cmocka_unit_test(test_a_worker_that_hangs_ends_at_the_wall),
        cmocka_unit_test(test_another_structure_is_answered),
        cmocka_unit_test(test_a_run_over_two_workers),
        cmocka_unit_test(test_a_run_ends_early),
        cmocka_unit_test(test_closed_with_work_under_way),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
