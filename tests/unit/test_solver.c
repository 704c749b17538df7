/* solver: answers through real worker processes, and what happens when those die, abort, lie, run
 * out of time, of nodes or of memory. */
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/solver.h"
#include "tests/property/plan_check.h"
#include "tests/property/problem_gen.h"

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

static struct solution solve(struct solver *solver, const struct problem *problem)
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

/* Problems that keep a worker busy: tightly packed and linked. */
static void hard_problem(struct problem *problem)
{
    struct gen_app_shape shape = {
        .seed = 3, .parts = 48, .sites = 12, .chord_percent = 80, .capacity_percent = 115};
    gen_app(&shape, &arena, problem);
}

static void test_default_program_is_beside_ours(void **state)
{
    (void)state;
    struct problem problem;
    gen_any(1, 3, 3, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solution solution = solve(solver, &problem);
    assert_int_not_equal(solution.status, SOLVE_NONE);
    solver_close(solver);
}

static void test_missing_program_is_named(void **state)
{
    (void)state;
    struct solver *solver = NULL;
    struct error err = {0};
    struct solver_options options = {.program = "/nonexistent/berth-solve"};
    assert_int_equal(solver_open(&options, &solver, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "/nonexistent/berth-solve"));
    assert_null(solver);
}

struct tally {
    int calls;
    uint64_t ids;
    enum solve_status status;
    int64_t cost;
};

static void count(void *context, uint64_t id, const struct solution *solution)
{
    struct tally *tally = context;
    tally->calls++;
    tally->ids |= UINT64_C(1) << id;
    tally->status = solution->status;
    tally->cost = solution->cost_nusd;
}

/* Dispatches until `calls` answers came; two minutes are far more than any of these takes. */
static void wait_for(struct solver *solver, const struct tally *tally, int calls)
{
    for (int i = 0; i < 12000 && tally->calls < calls; i++) {
        struct pollfd wait = {.fd = solver_fd(solver), .events = POLLIN};
        (void)poll(&wait, 1, 10);
        (void)solver_dispatch(solver);
    }
    assert_int_equal(tally->calls, calls);
}

static void test_queue_over_two_workers(void **state)
{
    (void)state;
    struct solver *solver = open_solver(&(struct solver_options){.workers = 2});
    int pids[4];
    assert_int_equal(solver_pids(solver, pids, 4), 2);
    struct tally tally = {0};
    struct error err = {0};
    for (uint64_t id = 0; id < 20; id++) {
        struct problem problem;
        gen_any(id, 4, 3, &arena, &problem);
        assert_int_equal(solver_submit(solver, id, &problem, count, &tally, &err), 0);
    }
    wait_for(solver, &tally, 20);
    assert_int_equal(tally.ids, (1 << 20) - 1);
    int now[4]; /* the same processes still: warm */
    assert_int_equal(solver_pids(solver, now, 4), 2);
    assert_memory_equal(pids, now, 2 * sizeof(int));
    solver_close(solver);
}

/* CPU time of a process in clock ticks, from the kernel. */
static long ticks_of(int pid)
{
    char path[64];
    char text[512] = "";
    str_format(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -1;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < 12; i++) {
        at = strchr(at + 1, ' ');
    }
    return at == NULL ? -1 : strtol(at, NULL, 10);
}

static void test_killed_in_mid_solve_answers_from_second_try(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    /* Few nodes, so that the second try ends soon; the first is killed long before. */
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 20});
    struct tally tally = {0};
    struct error err = {0};
    int pid = 0;
    assert_int_equal(solver_pids(solver, &pid, 1), 1);
    assert_int_equal(solver_submit(solver, 7, &problem, count, &tally, &err), 0);
    for (int i = 0; i < 6000 && ticks_of(pid) < 5; i++) {
        struct pollfd wait = {.fd = solver_fd(solver), .events = POLLIN};
        (void)poll(&wait, 1, 10);
        (void)solver_dispatch(solver);
    }
    assert_int_equal(tally.calls, 0); /* it is busy: killed with the work in its hands */
    assert_int_equal(kill(pid, SIGKILL), 0);
    wait_for(solver, &tally, 1);
    assert_int_equal(tally.ids, 1 << 7);
    assert_true(tally.status == SOLVE_FEASIBLE || tally.status == SOLVE_OPTIMAL);
    int again = 0;
    assert_int_equal(solver_pids(solver, &again, 1), 1);
    assert_int_not_equal(again, pid);
    solver_close(solver);
}

static void test_abort_every_time_is_none_with_reason(void **state)
{
    (void)state;
    struct problem problem;
    gen_any(5, 3, 3, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){.program = BIN("solver_aborts")});
    struct solution solution = solve(solver, &problem);
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "signal 6"));
    assert_non_null(strstr(solution.text, "Assertion failed"));
    solver_close(solver);
}

static void test_wrong_answer_is_not_believed(void **state)
{
    (void)state;
    struct problem problem;
    gen_any(5, 1, 3, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){.program = BIN("solver_liar")});
    struct solution solution = solve(solver, &problem);
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "does not hold"));
    /* Judged by what was sent, where the problem itself is gone. */
    struct tally tally = {.status = SOLVE_OPTIMAL};
    struct error err = {0};
    assert_int_equal(solver_submit(solver, 1, &problem, count, &tally, &err), 0);
    memset(problem.parts[0].cost, 0, (size_t)problem.parts[0].choice_count * sizeof(int64_t));
    wait_for(solver, &tally, 1);
    assert_int_equal(tally.status, SOLVE_NONE);
    solver_close(solver);
}

/* An equal problem is not asked again: there is nobody who could answer it. */
static void test_equal_problem_has_its_answer_again(void **state)
{
    (void)state;
    struct problem problem;
    struct solve_limits near = {.gap = 0.01};
    struct solution first;
    struct solution again;
    struct error err = {0};
    bool known = true;
    int pid = 0;
    gen_any(7, 4, 3, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){.workers = 1});
    assert_int_equal(solver_call_again(solver, &problem, NULL, &arena, &first, &known, &err), 0);
    assert_false(known);
    assert_int_equal(first.status, SOLVE_OPTIMAL);
    assert_int_equal(solver_pids(solver, &pid, 1), 1);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(solver_call_again(solver, &problem, NULL, &arena, &again, &known, &err),
                         0);
        assert_true(known);
        assert_int_equal(again.status, SOLVE_OPTIMAL);
        assert_true(again.choice != first.choice);
        assert_memory_equal(again.choice, first.choice, (size_t)problem.part_count * sizeof(int));
        assert_int_equal(again.cost_nusd, first.cost_nusd);
        assert_int_equal(again.bound_nusd, first.bound_nusd);
    }
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(solver_call_again(solver, &problem, &near, &arena, &again, &known, &err), 0);
    assert_false(known); /* other limits */
    problem.parts[0].cost[0]++;
    assert_int_equal(solver_call_again(solver, &problem, &near, &arena, &again, &known, &err), 0);
    assert_false(known); /* another problem */
    assert_int_equal(again.status, SOLVE_OPTIMAL);
    assert_int_equal(again.cost_nusd, problem_cost(&problem, again.choice));
    solver_close(solver);
}

/* What was not proven is asked again. */
static void test_unproven_answer_is_not_kept(void **state)
{
    (void)state;
    struct problem problem;
    struct solution solution;
    struct error err = {0};
    struct solver *solver = open_solver(&(struct solver_options){.program = BIN("solver_liar")});
    gen_any(5, 1, 3, &arena, &problem);
    for (int i = 0; i < 2; i++) {
        bool known = true;
        assert_int_equal(solver_call_again(solver, &problem, NULL, &arena, &solution, &known, &err),
                         0);
        assert_false(known);
        assert_int_equal(solution.status, SOLVE_NONE);
    }
    solver_close(solver);
}

static void test_wall_limit_is_none_and_the_next_is_answered(void **state)
{
    (void)state;
    struct problem hard;
    struct problem easy;
    hard_problem(&hard);
    gen_any(2, 2, 2, &arena, &easy);
    struct solver *solver = open_solver(&(struct solver_options){.wall_max_us = 50000});
    struct solution solution = solve(solver, &hard);
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "no answer within 50 ms"));
    solver_close(solver);
    solver = open_solver(&(struct solver_options){0});
    assert_int_not_equal(solve(solver, &easy).status, SOLVE_NONE);
    solver_close(solver);
}

static void test_node_budget_is_feasible_with_bound_and_repeats(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 10});
    struct solution first = solve(solver, &problem);
    struct solution second = solve(solver, &problem);
    solver_close(solver);
    assert_int_equal(first.status, SOLVE_FEASIBLE);
    assert_true(first.bound_nusd < first.cost_nusd);
    assert_int_equal(first.cost_nusd, second.cost_nusd);
    assert_int_equal(first.bound_nusd, second.bound_nusd);
    assert_memory_equal(first.choice, second.choice, (size_t)problem.part_count * sizeof(int));
}

static void test_close_with_work_under_way(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct tally tally = {0};
    struct error err = {0};
    int pid = 0;
    assert_int_equal(solver_pids(solver, &pid, 1), 1);
    assert_int_equal(solver_submit(solver, 1, &problem, count, &tally, &err), 0);
    assert_int_equal(solver_submit(solver, 2, &problem, count, &tally, &err), 0);
    solver_close(solver);
    assert_int_equal(tally.calls, 0);
    assert_int_equal(kill(pid, 0), -1); /* gone, and reaped */
}

struct heard {
    struct tally tally;
    int news;
    double bound;
    double best;
    char text[LIMIT_TEXT_BYTES];
};

static void count_heard(void *context, uint64_t id, const struct solution *solution)
{
    struct heard *heard = context;
    count(&heard->tally, id, solution);
    str_format(heard->text, sizeof(heard->text), "%s", solution->text);
}

/* A bound only rises and a best only falls. */
static void listen(void *context, uint64_t id, const struct solve_news *news)
{
    struct heard *heard = context;
    assert_int_equal(id, 1);
    assert_true(heard->news == 0 || (news->bound >= heard->bound && news->best <= heard->best));
    assert_true(news->elapsed_us > 0);
    heard->news++;
    heard->bound = news->bound;
    heard->best = news->best;
}

/* Proving this takes a minute: a limit or a word ends it long before. */
static void test_cancel_is_the_best_so_far(void **state)
{
    (void)state;
    struct problem hard;
    struct problem easy;
    struct heard heard = {0};
    struct error err = {0};
    hard_problem(&hard);
    gen_any(2, 2, 2, &arena, &easy);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 100000000});
    int pid = 0;
    assert_int_equal(solver_pids(solver, &pid, 1), 1);
    assert_int_equal(
        solver_submit_within(solver, 1, &hard, NULL, count_heard, listen, &heard, &err), 0);
    for (int i = 0; i < 12000 && (heard.news == 0 || !(heard.best < 1e300)); i++) {
        struct pollfd wait = {.fd = solver_fd(solver), .events = POLLIN};
        (void)poll(&wait, 1, 10);
        (void)solver_dispatch(solver);
        assert_int_equal(heard.tally.calls, 0);
    }
    assert_true(heard.news > 0);
    assert_false(solver_cancel(solver, 2));
    assert_true(solver_cancel(solver, 1));
    wait_for(solver, &heard.tally, 1);
    assert_false(solver_cancel(solver, 1));
    /* The worker ended by itself, or was killed because the machine did not let it: both say so. */
    assert_non_null(strstr(heard.text, "cancelled"));
    if (heard.tally.status != SOLVE_NONE) {
        assert_int_equal(heard.tally.status, SOLVE_FEASIBLE);
        assert_true((double)heard.tally.cost <= heard.best);
        int again = 0;
        assert_int_equal(solver_pids(solver, &again, 1), 1);
        assert_int_equal(again, pid); /* warm still */
    }
    assert_int_not_equal(solve(solver, &easy).status, SOLVE_NONE);
    solver_close(solver);
}

static void test_cancel_of_one_that_waits(void **state)
{
    (void)state;
    struct problem hard;
    struct heard first = {0};
    struct heard second = {0};
    struct error err = {0};
    hard_problem(&hard);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 20});
    assert_int_equal(
        solver_submit_within(solver, 1, &hard, NULL, count_heard, listen, &first, &err), 0);
    assert_int_equal(solver_submit_within(solver, 2, &hard, NULL, count_heard, NULL, &second, &err),
                     0);
    assert_true(solver_cancel(solver, 2));
    assert_int_equal(solver_timeout_us(solver), 0);
    wait_for(solver, &second.tally, 1);
    assert_int_equal(second.tally.status, SOLVE_NONE);
    assert_non_null(strstr(second.text, "cancelled before a solver was free"));
    wait_for(solver, &first.tally, 1);
    assert_int_equal(first.tally.status, SOLVE_FEASIBLE);
    solver_close(solver);
}

static struct solution solve_within(struct solver *solver, const struct problem *problem,
                                    const struct solve_limits *limits)
{
    struct solution solution = {0};
    struct error err = {0};
    if (solver_call_within(solver, problem, limits, &arena, &solution, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return solution;
}

static void test_time_limit_ends_with_the_best_so_far(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 100000000});
    struct solution solution =
        solve_within(solver, &problem, &(struct solve_limits){.time_max_us = 3000000});
    assert_true(solution.status == SOLVE_FEASIBLE || solution.status == SOLVE_NONE);
    assert_non_null(strstr(solution.text, "the time limit of 3 s ended the work"));
    solver_close(solver);
}

/* Over before the problem is read: where things are is the answer, and its bound holds. */
static void test_no_time_at_all_is_where_things_are(void **state)
{
    (void)state;
    struct problem problem;
    struct gen_app_shape shape = {.seed = 3, .parts = 60, .sites = 8, .chord_percent = 20};
    gen_app(&shape, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solve_limits limits = {.time_max_us = 1};
    for (int i = 0; i < problem.part_count; i++) {
        problem.parts[i].current = -1;
    }
    struct solution none = solve_within(solver, &problem, &limits);
    assert_int_equal(none.status, SOLVE_NONE);
    assert_non_null(strstr(none.text, "the time limit of 1e-06 s ended the work before"));
    struct solution best = solve(solver, &problem);
    assert_int_equal(best.status, SOLVE_OPTIMAL);
    for (int i = 0; i < problem.part_count; i++) {
        problem.parts[i].current = best.choice[i];
    }
    struct solution kept = solve_within(solver, &problem, &limits);
    char why[PLAN_WHY_BYTES];
    if (!plan_check_problem(&problem, &kept, why)) {
        fail_msg("%s", why);
    }
    assert_int_equal(kept.status, SOLVE_FEASIBLE);
    assert_non_null(strstr(kept.text, "the time limit"));
    assert_int_equal(kept.cost_nusd, best.cost_nusd);
    assert_true(kept.bound_nusd <= best.bound_nusd);
    assert_memory_equal(kept.choice, best.choice, (size_t)problem.part_count * sizeof(int));
    solver_close(solver);
}

static void test_gap_is_enough(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 100000000});
    struct solution solution = solve_within(solver, &problem, &(struct solve_limits){.gap = 0.5});
    struct solution again = solve_within(solver, &problem, &(struct solve_limits){.gap = 0.5});
    assert_int_equal(solution.status, SOLVE_FEASIBLE);
    assert_non_null(strstr(solution.text, "within the gap of 50 %"));
    assert_true((double)(solution.cost_nusd - solution.bound_nusd) <=
                0.5 * (double)solution.cost_nusd);
    assert_int_equal(solution.cost_nusd, again.cost_nusd);
    assert_int_equal(solution.bound_nusd, again.bound_nusd);
    solver_close(solver);
}

static void test_too_little_memory_is_a_sentence(void **state)
{
    (void)state;
    struct problem problem;
    hard_problem(&problem);
    struct solver *solver = open_solver(&(struct solver_options){.nodes_max = 20});
    struct solution solution =
        solve_within(solver, &problem, &(struct solve_limits){.memory_max_bytes = 200000});
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "needs more memory than a solve may take"));
    /* The limit was that request's alone. */
    assert_int_equal(solve(solver, &problem).status, SOLVE_FEASIBLE);
    solver_close(solver);
}

static void test_limits_out_of_range_are_refused(void **state)
{
    (void)state;
    struct problem problem;
    gen_any(2, 2, 2, &arena, &problem);
    struct solver *solver = open_solver(&(struct solver_options){0});
    struct solution solution = solve_within(solver, &problem, &(struct solve_limits){.gap = -1});
    assert_int_equal(solution.status, SOLVE_NONE);
    assert_non_null(strstr(solution.text, "gap of a request is -1"));
    solution = solve_within(solver, &problem, &(struct solve_limits){.time_max_us = -5});
    assert_non_null(strstr(solution.text, "out of range"));
    assert_int_not_equal(solve(solver, &problem).status, SOLVE_NONE);
    solver_close(solver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cancel_is_the_best_so_far),
        cmocka_unit_test(test_cancel_of_one_that_waits),
        cmocka_unit_test(test_time_limit_ends_with_the_best_so_far),
        cmocka_unit_test(test_no_time_at_all_is_where_things_are),
        cmocka_unit_test(test_gap_is_enough),
        cmocka_unit_test(test_too_little_memory_is_a_sentence),
        cmocka_unit_test(test_limits_out_of_range_are_refused),
        cmocka_unit_test(test_default_program_is_beside_ours),
        cmocka_unit_test(test_missing_program_is_named),
        cmocka_unit_test(test_queue_over_two_workers),
        cmocka_unit_test(test_killed_in_mid_solve_answers_from_second_try),
        cmocka_unit_test(test_abort_every_time_is_none_with_reason),
        cmocka_unit_test(test_wrong_answer_is_not_believed),
        cmocka_unit_test(test_equal_problem_has_its_answer_again),
        cmocka_unit_test(test_unproven_answer_is_not_kept),
        cmocka_unit_test(test_wall_limit_is_none_and_the_next_is_answered),
        cmocka_unit_test(test_node_budget_is_feasible_with_bound_and_repeats),
        cmocka_unit_test(test_close_with_work_under_way),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
