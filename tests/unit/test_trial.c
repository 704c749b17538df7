/* After a move that was to save: the check, the way back, and what is not tried again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

#define HOUR_US INT64_C(3600000000)
#define DOLLAR  INT64_C(1000000000)

static const char edge[] = "edge/nyc";
static const char gcp[] = "gcp/us-central1";
static const char aws[] = "aws/us-east-1";

static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    struct policy *policy = &fixture.world.policy;
    policy->horizon_us = 24 * HOUR_US;
    policy->confidence_ppm = 900000;
    policy->moves_per_day = 0;
    policy->check_after_us = HOUR_US;
    policy->dwell_us = US_PER_S;
    policy->healthy_min_us = US_PER_S;
    fixture_world(&fixture);
    struct app app;
    assert_int_equal(app_copy(&fixture.app, &fixture.arena, &app), 0);
    app.workloads[1].require.count = 0;
    fixture.app = app;
    fixture_start(&fixture);
    fixture_estimate(&fixture, ESTIMATE_CALLS_MHZ, "web", "", 100000);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* Answers solves of what has changed since, until one is of the present. */
static void fresh_solve(struct fixture *f)
{
    for (int i = 0; i < 4; i++) {
        fixture_run(f, 1100 * US_PER_MS);
        if (f->solve != 0 && f->solve_version == core_state(f->core)->input_version)
            return;
        if (f->solve != 0)
            fixture_choose(f, NULL, 0, DOLLAR, DOLLAR);
    }
    fail_msg("no solve was asked for");
}

static void ask(struct fixture *f)
{
    static int64_t value = 1000;
    fixture_estimate(f, ESTIMATE_MCPU, "web", "", value++);
    fresh_solve(f);
}

static struct core_plan_choice choice(const char *workload, const char *site, int group)
{
    struct core_plan_choice made = {.group = group,
                                    .score_saving_nusd = 3 * DOLLAR,
                                    .bill_saving_nusd = 2 * DOLLAR,
                                    .spread_nusd = DOLLAR / 2,
                                    .confidence_ppm = 990000};
    str_format(made.workload, sizeof(made.workload), "%s", workload);
    str_format(made.site, sizeof(made.site), "%s", site);
    return made;
}

static void offer(struct fixture *f, const char *workload, const char *site)
{
    struct core_plan_choice one = choice(workload, site, 0);
    ask(f);
    fixture_choose(f, &one, 1, 5 * DOLLAR, 4 * DOLLAR);
}

/* Moved to aws and done; the check has not been asked for yet. */
static void move(struct fixture *f)
{
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), aws);
    fixture_run(f, 60 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_int_equal(fixture_ended(f)->reason, REASON_SAVING);
}

static void until_asked(struct fixture *f)
{
    int before = f->check_count;
    for (int i = 0; i < 400 && f->check_count == before; i++)
        fixture_run(f, 60 * US_PER_S);
    assert_true(f->check_count > before);
}

static void a_move_is_checked_after_its_time(void **state)
{
    struct fixture *f = *state;
    move(f);
    assert_int_equal(f->check_count, 0);
    fixture_run(f, HOUR_US - 120 * US_PER_S);
    assert_int_equal(f->check_count, 0);
    fixture_run(f, 120 * US_PER_S);
    assert_true(f->check_count > 0);
    assert_string_equal(f->check.check.workload, "web");
    assert_string_equal(f->check.check.site, edge);
    fixture_checked(f, true, 2 * DOLLAR, DOLLAR);
    const struct core_decision *decision = fixture_decision(f);
    assert_true(decision->checked);
    assert_int_equal(decision->checked_at.us, f->now_us);
    assert_int_equal(decision->score_realised_nusd, 2 * DOLLAR);
    assert_int_equal(decision->bill_realised_nusd, DOLLAR);
    const struct fixture_told *told = fixture_told(f, "move.checked");
    assert_non_null(told);
    assert_string_equal(told->workload, "web");
    assert_non_null(strstr(told->text, "$3.00"));
    assert_non_null(strstr(told->text, "$2.00"));
    /* Once. */
    int checks = f->check_count;
    fixture_run(f, 10 * HOUR_US);
    assert_int_equal(f->check_count, checks);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_null(fixture_told(f, "move.regretted"));
}

static void forced_moves_are_not_checked(void **state)
{
    struct fixture *f = *state;
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, (const char *const[]){"source", aws, NULL}, INT64_MAX, 900);
    fixture_run(f, 10 * HOUR_US);
    assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "aws");
    assert_int_equal(f->check_count, 0);
}

static void a_policy_without_checks_asks_nothing(void **state)
{
    struct fixture *f = *state;
    f->world.policy.check_after_us = 0;
    fixture_world(f);
    move(f);
    fixture_run(f, 10 * HOUR_US);
    assert_int_equal(f->check_count, 0);
}

static void it_is_asked_again_until_answered(void **state)
{
    struct fixture *f = *state;
    move(f);
    until_asked(f);
    int checks = f->check_count;
    uint64_t check = f->check.check.check;
    fixture_run(f, 31 * US_PER_S);
    assert_int_equal(f->check_count, checks + 1);
    assert_true(f->check.check.check == check);
    /* A new process does not wait for the old one's answer. */
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    fixture_run(f, US_PER_S);
    assert_true(f->check_count > checks + 1);
    /* An answer to another question is none. */
    f->check.check.check = check + 7;
    fixture_checked(f, true, -9 * DOLLAR, 0);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_null(fixture_told(f, "move.checked"));
    f->check.check.check = check;
    fixture_checked(f, true, DOLLAR, 0);
    assert_non_null(fixture_told(f, "move.checked"));
}

static void what_cannot_be_told_is_asked_for_some_hours(void **state)
{
    struct fixture *f = *state;
    move(f);
    until_asked(f);
    int64_t first_us = f->now_us;
    for (int i = 0; i < 200 && fixture_told(f, "move.unchecked") == NULL; i++) {
        fixture_checked(f, false, -9 * DOLLAR, 0);
        fixture_run(f, 310 * US_PER_S);
    }
    const struct fixture_told *told = fixture_told(f, "move.unchecked");
    assert_non_null(told);
    assert_true(told->at_us - first_us >= 5 * HOUR_US);
    assert_true(told->at_us - first_us <= 7 * HOUR_US);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_int_equal(fixture_workload(f, "web")->trial.site, -1);
    assert_false(fixture_decision(f)->checked);
}

static void a_loss_goes_back_once(void **state)
{
    struct fixture *f = *state;
    move(f);
    until_asked(f);
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), edge);
    assert_int_equal(fixture_decision(f)->reason, REASON_REGRET);
    assert_non_null(fixture_told(f, "move.regretted"));
    assert_non_null(strstr(fixture_told(f, "move.regretted")->text, "$2.00"));
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "web")->node].name, "edge");
    assert_int_equal(fixture_ended(f)->reason, REASON_REGRET);
    /* The way back is not judged. */
    int checks = f->check_count;
    fixture_run(f, 10 * HOUR_US);
    assert_int_equal(f->check_count, checks);
    assert_string_equal(fixture_site(f, "web"), edge);
}

static void a_loss_within_the_noise_stays(void **state)
{
    struct fixture *f = *state;
    move(f);
    until_asked(f);
    fixture_checked(f, true, -DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_null(fixture_told(f, "move.regretted"));
    assert_non_null(fixture_told(f, "move.checked"));
}

static void lose_at_aws(struct fixture *f)
{
    move(f);
    until_asked(f);
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "web"), edge);
}

static bool closed(struct fixture *f, int site)
{
    struct cost_input input;
    struct error err;
    if (core_cost_input(f->core, NULL, NULL, &f->arena, &input, &err) < 0)
        fail_msg("%s", err.text);
    return input.apps[0].states[0].site_blocked[site];
}

static void what_did_not_pay_is_not_tried_again(void **state)
{
    struct fixture *f = *state;
    int site = world_site(&f->world, aws);
    lose_at_aws(f);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), edge);
    assert_int_equal(fixture_decision(f)->verdict, VERDICT_VETOED);
    /* The solver is not even asked; the core's own table of full sites is not touched. */
    assert_true(closed(f, site));
    assert_false(fixture_workload(f, "web")->site_blocked[site]);
    /* Other sites are open to it. */
    offer(f, "web", gcp);
    assert_string_equal(fixture_site(f, "web"), gcp);
}

static void a_real_change_lifts_a_veto(void **state)
{
    struct fixture *f = *state;
    lose_at_aws(f);
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 120000);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), edge);
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 120001);
    assert_false(closed(f, world_site(&f->world, aws)));
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), aws);
}

/* What is measured where it went is no change while it settles there: a cache fills, and the site
 * that was left stays closed. From the dwell's end on, the same figure is what a change is told
 * from: neither forgotten for the cold cache's, nor followed wherever it goes. */
static void what_a_change_is_told_from_settles_with_the_dwell(void **state)
{
    struct fixture *f = *state;
    int left = world_site(&f->world, edge);
    f->world.policy.dwell_us = 300 * US_PER_S;
    fixture_world(f);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), aws);
    fixture_estimate(f, ESTIMATE_HIT_PPM, "web", aws, 100000);
    assert_true(closed(f, left));
    fixture_run(f, 200 * US_PER_S);
    fixture_estimate(f, ESTIMATE_HIT_PPM, "web", aws, 600000); /* it has filled */
    assert_true(closed(f, left));
    fixture_run(f, 200 * US_PER_S);
    assert_true(closed(f, left));
    fixture_estimate(f, ESTIMATE_HIT_PPM, "web", aws, 650000);
    assert_true(closed(f, left));
    fixture_estimate(f, ESTIMATE_HIT_PPM, "web", aws, 200000); /* it stops hitting */
    assert_false(closed(f, left));
}

static void a_new_world_or_version_lifts_a_veto(void **state)
{
    struct fixture *f = *state;
    lose_at_aws(f);
    f->world.policy.saving_min++;
    fixture_world(f);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), aws);
    fixture_run(f, 60 * US_PER_S);
    until_asked(f);
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    fixture_run(f, 60 * US_PER_S);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), edge);
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[0].calls_mhz += 1000;
    fixture_apply(f, &app);
    offer(f, "web", aws);
    assert_string_equal(fixture_site(f, "web"), aws);
}

/* With nowhere else to go, a site that did not pay is better than none. */
static void a_veto_does_not_strand(void **state)
{
    struct fixture *f = *state;
    int site = world_site(&f->world, aws);
    lose_at_aws(f);
    assert_true(closed(f, site));
    fixture_lose(f, fixture_node(f, "edge"));
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_lose(f, fixture_node(f, "client"));
    assert_false(closed(f, site));
    fresh_solve(f);
    struct core_plan_choice one = choice("web", aws, -1);
    fixture_choose(f, &one, 1, INT64_MAX, DOLLAR);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_int_equal(fixture_ended(f)->reason, REASON_NODE_LOST);
    assert_string_equal(fixture_ended(f)->to_site, aws);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
}

static void without_room_it_stays(void **state)
{
    struct fixture *f = *state;
    move(f);
    until_asked(f);
    fixture_lose(f, fixture_node(f, "edge"));
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_null(fixture_told(f, "move.regretted"));
    assert_non_null(fixture_told(f, "move.checked"));
    assert_int_equal(fixture_workload(f, "web")->trial.site, -1);
}

static void an_app_that_stopped_moving_by_itself_stays(void **state)
{
    struct fixture *f = *state;
    move(f);
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.moves = MOVES_SUGGEST;
    fixture_apply(f, &app);
    until_asked(f);
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_non_null(fixture_told(f, "move.checked"));
}

/* Moved together, asked once, judged together, back together. */
static void a_group_is_judged_as_one(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice both[2] = {choice("web", aws, 3), choice("source", aws, 3)};
    ask(f);
    fixture_choose(f, both, 2, 5 * DOLLAR, 4 * DOLLAR);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "source"), aws);
    until_asked(f);
    assert_true(fixture_workload(f, "web")->trial.check ==
                fixture_workload(f, "source")->trial.check);
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), edge);
    assert_string_equal(fixture_site(f, "source"), gcp);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "web")->node].name, "edge");
    assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "gcp");
    int checks = f->check_count;
    fixture_run(f, 3 * HOUR_US);
    assert_int_equal(f->check_count, checks);
}

/* A group that cannot go back whole stays whole. */
static void half_a_group_does_not_go_back(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice both[2] = {choice("web", aws, 3), choice("source", aws, 3)};
    ask(f);
    fixture_choose(f, both, 2, 5 * DOLLAR, 4 * DOLLAR);
    fixture_run(f, 60 * US_PER_S);
    until_asked(f);
    fixture_lose(f, fixture_node(f, "gcp"));
    fixture_checked(f, true, -2 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), aws);
    assert_string_equal(fixture_site(f, "source"), aws);
}

static void quiet_hours_hold_the_question_back(void **state)
{
    struct fixture *f = *state;
    static struct quiet_hours quiet = {.from_min = 75, .to_min = 120};
    f->world.policy.quiet = &quiet;
    f->world.policy.quiet_count = 1;
    fixture_world(f);
    move(f);
    until_asked(f);
    assert_true(f->now_us >= 2 * HOUR_US);
    assert_true(f->now_us < 2 * HOUR_US + 120 * US_PER_S);
}

/* A move of another kind in between: there is nothing left to judge. */
static void a_later_move_ends_the_trial(void **state)
{
    struct fixture *f = *state;
    move(f);
    fixture_retag(f, "web", "gcp");
    fresh_solve(f);
    fixture_plan(f, (const char *const[]){"web", gcp, NULL}, INT64_MAX, 900);
    fixture_run(f, 10 * HOUR_US);
    assert_string_equal(f->nodes[fixture_serving(f, "web")->node].name, "gcp");
    assert_int_equal(f->check_count, 0);
}

static void a_regret_counts_in_the_budget_and_does_not_wait_for_it(void **state)
{
    struct fixture *f = *state;
    f->world.policy.moves_per_day = 1;
    fixture_world(f);
    lose_at_aws(f);
    assert_int_equal(core_state(f->core)->saving_move_count, 2);
    offer(f, "web", gcp);
    assert_int_equal(fixture_decision(f)->verdict, VERDICT_BUDGET);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_move_is_checked_after_its_time),
        TEST(forced_moves_are_not_checked),
        TEST(a_policy_without_checks_asks_nothing),
        TEST(it_is_asked_again_until_answered),
        TEST(what_cannot_be_told_is_asked_for_some_hours),
        TEST(a_loss_goes_back_once),
        TEST(a_loss_within_the_noise_stays),
        TEST(what_did_not_pay_is_not_tried_again),
        TEST(a_real_change_lifts_a_veto),
        TEST(what_a_change_is_told_from_settles_with_the_dwell),
        TEST(a_new_world_or_version_lifts_a_veto),
        TEST(a_veto_does_not_strand),
        TEST(without_room_it_stays),
        TEST(an_app_that_stopped_moving_by_itself_stays),
        TEST(a_group_is_judged_as_one),
        TEST(half_a_group_does_not_go_back),
        TEST(quiet_hours_hold_the_question_back),
        TEST(a_later_move_ends_the_trial),
        TEST(a_regret_counts_in_the_budget_and_does_not_wait_for_it),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
