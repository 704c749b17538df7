/* Which moves that only save are made: every rule by itself, and what it leaves behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/answers.h"
#include "tests/unit/core_fixture.h"

#define HOUR_US INT64_C(3600000000)
#define DAY_US  (24 * HOUR_US)
#define DOLLAR  INT64_C(1000000000)

/* A world whose policy lets a good move pass, so that each test takes one thing away. */
static int setup(void **state)
{
    static struct fixture fixture;
    fixture_init(&fixture);
    struct policy *policy = &fixture.world.policy;
    policy->horizon_us = DAY_US;
    policy->confidence_ppm = 900000;
    policy->moves_per_day = 0;
    policy->check_after_us = 0;
    policy->dwell_us = US_PER_S;
    policy->quiet_count = 0;
    policy->healthy_min_us = US_PER_S;
    fixture_world(&fixture);
    fixture_start(&fixture);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(*state);
    return 0;
}

/* A solve of inputs that have changed since is answered and dropped: then the next one comes. */
static void answer_old(struct fixture *f)
{
    if (f->solve == 0 || f->solve_version == core_state(f->core)->input_version)
        return;
    fixture_choose(f, NULL, 0, DOLLAR, DOLLAR);
    fixture_run(f, 1100 * US_PER_MS);
}

/* A solve that can be answered, whatever it takes. */
static void ask(struct fixture *f)
{
    static int64_t value = 1000;
    fixture_estimate(f, ESTIMATE_MCPU, "web", "edge/nyc", value++);
    fixture_run(f, 1100 * US_PER_MS);
    answer_old(f);
    assert_true(f->solve != 0);
}

static struct core_plan_choice choice(const char *workload, const char *site, int group,
                                      int64_t saving)
{
    struct core_plan_choice made = {.group = group,
                                    .score_saving_nusd = saving,
                                    .bill_saving_nusd = saving / 2,
                                    .spread_nusd = saving / 10,
                                    .confidence_ppm = 990000};
    str_format(made.workload, sizeof(made.workload), "%s", workload);
    str_format(made.site, sizeof(made.site), "%s", site);
    return made;
}

/* Answers the last solve; choices are of `app` unless they name theirs. */
static void answer_of(struct fixture *f, struct core_plan_choice *choices, int count,
                      const char *app, int64_t stay)
{
    struct core_event event = {.kind = CORE_PLAN};
    event.plan.solve = f->solve;
    event.plan.version = f->solve_version;
    event.plan.status = SOLVE_OPTIMAL;
    event.plan.choices = choices;
    event.plan.choice_count = count;
    event.plan.score_stay_nusd = stay;
    event.plan.score_plan_nusd = DOLLAR;
    for (int i = 0; i < count; i++) {
        str_format(choices[i].namespace_, LIMIT_NAME_BYTES, "default");
        if (app != NULL)
            str_format(choices[i].app, LIMIT_NAME_BYTES, "%s", app);
    }
    f->solve = 0;
    fixture_step(f, &event);
}

static void offer(struct fixture *f, struct core_plan_choice one)
{
    ask(f);
    fixture_choose(f, &one, 1, 5 * DOLLAR, 4 * DOLLAR);
}

static const struct core_decision *decision_of(const struct fixture *f, const char *workload)
{
    const struct core_state *state = core_state(f->core);
    for (uint64_t i = state->decision_count; i > 0; i--) {
        if (str_equal(state->decisions[(i - 1) % CORE_DECISIONS].workload, workload))
            return &state->decisions[(i - 1) % CORE_DECISIONS];
    }
    fail_msg("nothing was decided of %s", workload);
    return NULL;
}

static void is_refused(const struct fixture *f, enum core_verdict verdict, const char *word)
{
    const struct core_decision *decision = decision_of(f, "web");
    if (decision->verdict != verdict || strstr(decision->text, word) == NULL)
        fail_msg("%s: \"%s\" instead of %s with \"%s\"", core_verdict_words[decision->verdict],
                 decision->text, core_verdict_words[verdict], word);
    const struct fixture_told *told = fixture_told(f, "move.held");
    assert_non_null(told);
    assert_string_equal(told->state, core_verdict_words[verdict]);
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
    assert_null(fixture_handoff(f, "web"));
}

static void a_group_that_pays_is_moved(void **state)
{
    struct fixture *f = *state;
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    const struct core_decision *decision = fixture_decision(f);
    assert_int_equal(decision->verdict, VERDICT_TAKEN);
    assert_int_equal(decision->reason, REASON_SAVING);
    assert_int_equal(decision->score_saving_nusd, 3 * DOLLAR);
    assert_int_equal(decision->bill_saving_nusd, 3 * DOLLAR / 2);
    assert_int_equal(decision->spread_nusd, 3 * DOLLAR / 10);
    assert_int_equal(decision->confidence_ppm, 990000);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "web")->node].name, "aws");
}

static void an_unsure_one_is_not(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice one = choice("web", "aws/us-east-1", 0, 3 * DOLLAR);
    one.confidence_ppm = 899999;
    offer(f, one);
    is_refused(f, VERDICT_UNSURE, "89 % sure");
    one.confidence_ppm = 900000;
    offer(f, one);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

static void one_that_saves_nothing_is_not(void **state)
{
    struct fixture *f = *state;
    offer(f, choice("web", "aws/us-east-1", 0, 0));
    is_refused(f, VERDICT_NO_SAVING, "$0.00");
    offer(f, choice("web", "aws/us-east-1", 0, -DOLLAR));
    is_refused(f, VERDICT_NO_SAVING, "-$1.00");
}

/* $73 a month are $2.40 a day. */
static void one_that_is_earned_too_late_is_not(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice one = choice("web", "aws/us-east-1", 0, 73 * DOLLAR);
    one.once_nusd = 24 * DOLLAR / 10;
    offer(f, one);
    is_refused(f, VERDICT_SLOW_PAYBACK, "$2.40 once");
    one.once_nusd--;
    offer(f, one);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

static void apps_that_do_not_move_by_themselves_stay(void **state)
{
    struct fixture *f = *state;
    for (int moves = MOVES_SUGGEST; moves <= MOVES_OFF; moves++) {
        struct app app;
        assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
        app.moves = (enum app_moves)moves;
        fixture_apply(f, &app);
        offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
        is_refused(f, VERDICT_HELD, "berth suggest");
    }
    /* What is forced happens in every mode. */
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, (const char *const[]){"source", "aws/us-east-1", NULL}, INT64_MAX, 900);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "aws");
}

static void groups_are_made_whole_or_not_at_all(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].require.count = 0;
    fixture_apply(f, &app);
    ask(f);
    struct core_plan_choice both[2] = {choice("web", "gcp/us-central1", 0, 3 * DOLLAR),
                                       choice("source", "aws/us-east-1", 1, 2 * DOLLAR)};
    both[1].confidence_ppm = 0;
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "gcp/us-central1");
    assert_string_equal(fixture_site(f, "source"), "gcp/us-central1");
    fixture_run(f, 60 * US_PER_S);

    ask(f);
    both[0] = choice("web", "aws/us-east-1", 4, 3 * DOLLAR);
    both[1] = choice("source", "aws/us-east-1", 4, 3 * DOLLAR);
    both[0].confidence_ppm = both[1].confidence_ppm = 1;
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "gcp/us-central1");
    assert_string_equal(fixture_site(f, "source"), "gcp/us-central1");
    both[0].confidence_ppm = both[1].confidence_ppm = PPM;
    ask(f);
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    assert_string_equal(fixture_site(f, "source"), "aws/us-east-1");
}

/* 1000 s after midnight it begins: 00:16:40. */
static void quiet_hours_hold_back_and_let_go(void **state)
{
    struct fixture *f = *state;
    static struct quiet_hours quiet[2] = {{.from_min = 22 * 60, .to_min = 30},
                                          {.from_min = 30, .to_min = 60}};
    f->world.policy.quiet = quiet;
    f->world.policy.quiet_count = 2;
    fixture_world(f);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    is_refused(f, VERDICT_QUIET, "01:00 UTC");
    assert_int_equal(core_state(f->core)->moves_due.us, HOUR_US);
    /* What is forced does not wait. */
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, (const char *const[]){"source", "aws/us-east-1", NULL}, INT64_MAX, 900);
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "source")->node].name, "aws");
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    is_refused(f, VERDICT_QUIET, "01:00 UTC");
    /* By itself it asks again when they end. */
    fixture_run(f, HOUR_US - f->now_us - 1);
    assert_int_equal(f->solve, 0);
    fixture_run(f, 2 * US_PER_S);
    answer_old(f);
    assert_true(f->solve != 0);
    struct core_plan_choice one = choice("web", "aws/us-east-1", 0, 3 * DOLLAR);
    fixture_choose(f, &one, 1, 5 * DOLLAR, 4 * DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

static void a_day_without_an_end_of_quiet_ends(void **state)
{
    struct fixture *f = *state;
    static struct quiet_hours quiet[2] = {{.from_min = 0, .to_min = 720},
                                          {.from_min = 720, .to_min = 0}};
    f->world.policy.quiet = quiet;
    f->world.policy.quiet_count = 2;
    fixture_world(f);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    is_refused(f, VERDICT_QUIET, "quiet hours");
    assert_true(core_state(f->core)->moves_due.us > f->now_us);
}

static void the_budget_goes_to_the_largest_saving_and_comes_back(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].require.count = 0;
    fixture_apply(f, &app);
    f->world.policy.moves_per_day = 1;
    fixture_world(f);
    ask(f);
    struct core_plan_choice both[2] = {choice("source", "aws/us-east-1", 0, 2 * DOLLAR),
                                       choice("web", "gcp/us-central1", 1, 3 * DOLLAR)};
    int64_t moved_us = f->now_us;
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "gcp/us-central1");
    assert_string_equal(fixture_site(f, "source"), "gcp/us-central1");
    const struct core_decision *decision = fixture_decision(f);
    assert_int_equal(decision->verdict, VERDICT_BUDGET);
    assert_non_null(strstr(decision->text, "1 of 1 a day"));
    assert_int_equal(core_state(f->core)->moves_due.us, moved_us + DAY_US);
    fixture_run(f, 60 * US_PER_S);
    ask(f);
    fixture_choose(f, both, 1, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "source"), "gcp/us-central1");
    /* A day later the slot is free, and the core asks by itself. */
    fixture_run(f, moved_us + DAY_US + 2 * US_PER_S - f->now_us);
    answer_old(f);
    assert_true(f->solve != 0);
    fixture_choose(f, both, 1, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "source"), "aws/us-east-1");
}

/* A group larger than what is left is skipped whole, and a smaller one behind it passes. */
static void a_group_that_does_not_fit_the_budget_is_skipped(void **state)
{
    struct fixture *f = *state;
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    app.workloads[1].require.count = 0;
    fixture_apply(f, &app);
    f->world.policy.moves_per_day = 1;
    fixture_world(f);
    ask(f);
    struct core_plan_choice both[2] = {choice("source", "aws/us-east-1", 0, 9 * DOLLAR),
                                       choice("web", "gcp/us-central1", 0, 9 * DOLLAR)};
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
    assert_string_equal(fixture_site(f, "source"), "gcp/us-central1");
    assert_int_equal(core_state(f->core)->saving_move_count, 0);
    ask(f);
    both[1].group = 1;
    both[1].score_saving_nusd = DOLLAR;
    both[0].score_saving_nusd = 0;
    fixture_choose(f, both, 2, 5 * DOLLAR, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "gcp/us-central1");
    assert_int_equal(core_state(f->core)->saving_move_count, 1);
}

/* Where two sites cost the same, noise alone would send it to and fro: a site that it left is open
 * again when a measured input has really changed, or a month later. */
static void a_site_that_was_left_needs_a_real_change(void **state)
{
    struct fixture *f = *state;
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 100000);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 80000);
    offer(f, choice("web", "edge/nyc", 0, 3 * DOLLAR));
    assert_int_equal(decision_of(f, "web")->verdict, VERDICT_VETOED);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 79999);
    offer(f, choice("web", "edge/nyc", 0, 3 * DOLLAR));
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
    fixture_run(f, 60 * US_PER_S);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
    fixture_run(f, 30 * DAY_US);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

/* What is held back for the same reason is told once, and its figures are kept fresh. */
static void a_refusal_is_told_once(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice one = choice("web", "aws/us-east-1", 0, 3 * DOLLAR);
    one.confidence_ppm = 1;
    offer(f, one);
    uint64_t decisions = core_state(f->core)->decision_count;
    int told = f->publish_count;
    one.score_saving_nusd = 7 * DOLLAR;
    offer(f, one);
    assert_int_equal(core_state(f->core)->decision_count, decisions);
    assert_int_equal(f->publish_count, told);
    assert_int_equal(fixture_decision(f)->score_saving_nusd, 7 * DOLLAR);
    assert_int_equal(fixture_decision(f)->at.us, f->now_us);
    str_format(one.site, sizeof(one.site), "gcp/us-central1");
    offer(f, one);
    assert_int_equal(core_state(f->core)->decision_count, decisions + 1);
}

/* A forced move in a plan does not carry those along that only save. */
static void a_forced_move_forces_no_other_group(void **state)
{
    struct fixture *f = *state;
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    struct core_plan_choice both[2] = {choice("source", "aws/us-east-1", -1, 0),
                                       choice("web", "aws/us-east-1", 0, 3 * DOLLAR)};
    both[1].confidence_ppm = 1;
    fixture_choose(f, both, 2, INT64_MAX, DOLLAR);
    assert_string_equal(fixture_site(f, "source"), "aws/us-east-1");
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
}

/* When staying is not possible and nobody can say why, the whole plan is the way out. */
static void a_placement_that_cannot_stay_is_left(void **state)
{
    struct fixture *f = *state;
    struct core_plan_choice one = choice("web", "aws/us-east-1", 0, -DOLLAR);
    ask(f);
    fixture_choose(f, &one, 1, INT64_MAX, DOLLAR);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    assert_int_equal(fixture_decision(f)->reason, REASON_RETAG);
    assert_int_equal(core_state(f->core)->saving_move_count, 0);
}

/* Choices of a shell that tells no groups: the plan's totals decide. */
static void a_plan_without_groups_is_judged_whole(void **state)
{
    struct fixture *f = *state;
    ask(f);
    fixture_plan(f, (const char *const[]){"web", "aws/us-east-1", NULL}, DOLLAR, DOLLAR);
    is_refused(f, VERDICT_NO_SAVING, "as a whole");
    ask(f);
    fixture_plan(f, (const char *const[]){"web", "aws/us-east-1", NULL}, DOLLAR, DOLLAR - 1);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
}

static void what_waits_outlives_a_restart(void **state)
{
    struct fixture *f = *state;
    static struct quiet_hours quiet = {.from_min = 0, .to_min = 60};
    f->world.policy.quiet = &quiet;
    f->world.policy.quiet_count = 1;
    fixture_world(f);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    assert_int_equal(core_state(f->core)->moves_due.us, HOUR_US);
    fixture_run(f, HOUR_US - f->now_us);
    assert_int_equal(core_state(f->core)->moves_due.us, 0);
    fixture_run(f, 2 * US_PER_S);
    assert_true(f->solve != 0);
}

/* ---- inputs that change during a solve ---- */

/* A second app of the same two workloads, "bar", at the same sites; settled, with a solve asked. */
static void with_bar(struct fixture *f)
{
    struct app app;
    assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
    str_format(app.name, sizeof(app.name), "bar");
    app.workloads[1].require.count = 0;
    fixture_apply(f, &app);
    fixture_run(f, 1100 * US_PER_MS);
    struct core_plan_choice both[2] = {choice("web", "edge/nyc", -1, 0),
                                       choice("source", "aws/us-east-1", -1, 0)};
    assert_int_equal(f->reply_code, 0);
    answer_of(f, both, 2, "bar", INT64_MAX);
    fixture_run(f, 60 * US_PER_S);
    ask(f);
}

static void change(struct fixture *f, const char *app, enum estimate_kind kind)
{
    static int64_t value = 5000;
    struct estimate estimate = {.kind = kind, .value = ++value, .at_us = f->now_us};
    struct core_event event = {.kind = CORE_ESTIMATES};
    str_format(estimate.site, sizeof(estimate.site), "edge/nyc");
    if (kind == ESTIMATE_RTT_US) {
        str_format(estimate.peer, sizeof(estimate.peer), "aws/us-east-1");
    } else {
        str_format(estimate.namespace_, sizeof(estimate.namespace_), "default");
        str_format(estimate.app, sizeof(estimate.app), "%s", app);
        str_format(estimate.workload, sizeof(estimate.workload), "web");
    }
    event.estimates.list = &estimate;
    event.estimates.count = 1;
    fixture_step(f, &event);
}

static const char *site_of(const struct fixture *f, const char *app, int index)
{
    const struct core_state *state = core_state(f->core);
    for (int i = 0; i < state->app_count; i++) {
        int site = state->apps[i].workloads[index].site;
        if (str_equal(state->apps[i].app.name, app))
            return site < 0 ? "" : state->world->sites[site].name;
    }
    fail_msg("there is no app %s", app);
    return "";
}

/* The moves of both apps' `web`, each of a group of its own unless `together`. */
static void offer_both(struct fixture *f, bool together)
{
    struct core_plan_choice both[2] = {
        choice("web", "aws/us-east-1", 0, 3 * DOLLAR),
        choice("web", "gcp/us-central1", together ? 0 : 1, together ? 3 * DOLLAR : 2 * DOLLAR)};
    str_format(both[0].app, sizeof(both[0].app), "shop");
    str_format(both[1].app, sizeof(both[1].app), "bar");
    answer_of(f, both, 2, NULL, 5 * DOLLAR);
}

static void what_a_change_does_not_touch_is_moved(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    change(f, "bar", ESTIMATE_MCPU);
    uint64_t decisions = core_state(f->core)->decision_count;
    offer_both(f, false);
    assert_string_equal(site_of(f, "shop", 0), "aws/us-east-1");
    assert_string_equal(site_of(f, "bar", 0), "edge/nyc");
    assert_int_equal(core_state(f->core)->decision_count, decisions + 1);
    assert_int_equal(core_state(f->core)->saving_move_count, 1);
    /* The rest waited for what the change has asked for. */
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
    offer_both(f, false);
    assert_string_equal(site_of(f, "bar", 0), "gcp/us-central1");
}

static void a_group_waits_whole(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    change(f, "bar", ESTIMATE_CALLS_MHZ);
    uint64_t decisions = core_state(f->core)->decision_count;
    offer_both(f, true);
    assert_string_equal(site_of(f, "shop", 0), "edge/nyc");
    assert_string_equal(site_of(f, "bar", 0), "edge/nyc");
    assert_int_equal(core_state(f->core)->decision_count, decisions);
    fixture_run(f, 1100 * US_PER_MS);
    offer_both(f, true);
    assert_string_equal(site_of(f, "shop", 0), "aws/us-east-1");
    assert_string_equal(site_of(f, "bar", 0), "gcp/us-central1");
}

/* What every plan rests on: round trips, apps, nodes, the world, and where people put things. */
static void a_change_of_the_whole_leaves_nothing_of_a_plan(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    for (int i = 0; i < 5; i++) {
        struct app app;
        struct core_event event = {.kind = CORE_MOVE};
        switch (i) {
        case 0:
            change(f, "", ESTIMATE_RTT_US);
            break;
        case 1:
            assert_int_equal(app_copy(&f->app, &f->arena, &app), 0);
            str_format(app.name, sizeof(app.name), "third");
            fixture_apply(f, &app);
            break;
        case 2:
            fixture_lose(f, fixture_node(f, "client"));
            break;
        case 3:
            f->world.policy.horizon_us++;
            fixture_world(f);
            break;
        default:
            str_format(event.move.namespace_, LIMIT_NAME_BYTES, "default");
            str_format(event.move.app, LIMIT_NAME_BYTES, "bar");
            str_format(event.move.workload, LIMIT_NAME_BYTES, "source");
            str_format(event.move.site, LIMIT_REF_BYTES, "gcp/us-central1");
            fixture_step(f, &event);
            break;
        }
        uint64_t decisions = core_state(f->core)->decision_count;
        offer_both(f, false);
        assert_string_equal(site_of(f, "shop", 0), "edge/nyc");
        assert_string_equal(site_of(f, "bar", 0), "edge/nyc");
        assert_int_equal(core_state(f->core)->decision_count, decisions);
        fixture_run(f, 60 * US_PER_S);
        if (f->solve != 0)
            answer_of(f, NULL, 0, NULL, DOLLAR);
        fixture_run(f, 60 * US_PER_S);
        ask(f);
    }
    offer_both(f, false);
    assert_string_equal(site_of(f, "shop", 0), "aws/us-east-1");
    assert_string_equal(site_of(f, "bar", 0), "gcp/us-central1");
}

/* `source` has to leave gcp; at aws it was to have the room of bar's, which now stays. */
static void who_was_to_come_into_room_that_stays_taken_waits(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    fixture_retag(f, "source", "aws");
    fixture_run(f, 1100 * US_PER_MS);
    if (f->solve_version < core_state(f->core)->structure_version) {
        answer_of(f, NULL, 0, NULL, DOLLAR);
        fixture_run(f, 1100 * US_PER_MS);
    }
    assert_true(f->solve != 0);
    change(f, "bar", ESTIMATE_MCPU);
    struct core_plan_choice all[2] = {choice("source", "aws/us-east-1", -1, 0),
                                      choice("source", "edge/nyc", -1, 0)};
    str_format(all[0].app, sizeof(all[0].app), "shop");
    str_format(all[1].app, sizeof(all[1].app), "bar");
    answer_of(f, all, 2, NULL, INT64_MAX);
    assert_string_equal(site_of(f, "shop", 1), "gcp/us-central1");
    assert_string_equal(site_of(f, "bar", 1), "aws/us-east-1");
    fixture_run(f, 1100 * US_PER_MS);
    /* With a place of its own it need not wait for anybody. */
    change(f, "bar", ESTIMATE_MCPU);
    answer_of(f, all, 1, NULL, INT64_MAX);
    assert_string_equal(site_of(f, "shop", 1), "aws/us-east-1");
}

/* The totals of a stale plan are those of inputs that are no more. */
static void totals_of_a_stale_plan_decide_nothing(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    change(f, "bar", ESTIMATE_MCPU);
    struct core_plan_choice one = choice("web", "aws/us-east-1", -1, 0);
    uint64_t decisions = core_state(f->core)->decision_count;
    answer_of(f, &one, 1, "shop", 5 * DOLLAR);
    assert_string_equal(site_of(f, "shop", 0), "edge/nyc");
    fixture_run(f, 1100 * US_PER_MS);
    change(f, "bar", ESTIMATE_MCPU);
    one.group = 0; /* nor is anything forced because the placement of then could not stay */
    one.score_saving_nusd = DOLLAR;
    one.confidence_ppm = 1;
    answer_of(f, &one, 1, "shop", INT64_MAX);
    assert_string_equal(site_of(f, "shop", 0), "edge/nyc");
    assert_int_equal(core_state(f->core)->decision_count, decisions + 1);
    assert_int_equal(decision_of(f, "web")->verdict, VERDICT_UNSURE);
}

/* A solve that found no way is asked again anyhow when inputs have changed since. */
static void a_stale_no_says_nothing(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    change(f, "bar", ESTIMATE_MCPU);
    struct core_event event = {.kind = CORE_PLAN};
    event.plan.solve = f->solve;
    event.plan.version = f->solve_version;
    event.plan.status = SOLVE_INFEASIBLE;
    event.plan.score_stay_nusd = INT64_MAX;
    str_format(event.plan.text, sizeof(event.plan.text), "nothing fits");
    enum solve_status status = core_state(f->core)->plan_status;
    fixture_step(f, &event);
    assert_int_equal(core_state(f->core)->plan_status, status);
    assert_null(fixture_told(f, "plan.infeasible"));
    f->solve = 0;
    fixture_run(f, 1100 * US_PER_MS);
    assert_true(f->solve != 0);
}

/* Nobody asks for plans of the future. */
static void a_plan_for_inputs_that_never_were_is_refused(void **state)
{
    struct fixture *f = *state;
    with_bar(f);
    f->solve_version++;
    offer_both(f, false);
    assert_string_equal(site_of(f, "shop", 0), "edge/nyc");
    assert_string_equal(site_of(f, "bar", 0), "edge/nyc");
}

/* What was best for the inputs of then is a plan of now when it breaks no rule now. */
static void a_placement_is_judged_by_the_present_inputs(void **state)
{
    struct fixture *f = *state;
    struct arena arena;
    struct cost_input input;
    struct problem problem;
    struct problem before;
    struct placement *now = NULL;
    struct error err = {0};
    int choice[8];
    fixture_run(f, 60 * US_PER_S);
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(core_cost_input(f->core, NULL, NULL, &arena, &input, &err), 0);
    assert_int_equal(core_placement(f->core, &input, &arena, &now, &err), 0);
    assert_int_equal(cost_problem(&input, &arena, &problem, &err), 0);
    before = problem;
    struct placement to[2] = {now[0], now[1]};
    to[0].site = world_site(&f->world, "aws/us-east-1");
    assert_true(cost_choices(&input, &problem, to, choice));
    struct core_plan plan = {.version = core_state(f->core)->input_version,
                             .status = SOLVE_OPTIMAL,
                             .bound_nusd = INT64_MAX};
    plan.score_plan_nusd = (int64_t)problem_cost(&problem, choice);
    int64_t score = plan.score_plan_nusd;
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 900000);
    assert_true(core_answer_anew(f->core, to, &arena, &input, &problem, &now, &plan));
    assert_true(plan.version == core_state(f->core)->input_version);
    assert_int_equal(plan.status, SOLVE_FEASIBLE);
    assert_true(cost_choices(&input, &problem, to, choice));
    assert_true(plan.score_plan_nusd == (int64_t)problem_cost(&problem, choice));
    assert_true(plan.score_plan_nusd != score && plan.bound_nusd == plan.score_plan_nusd);
    assert_ptr_not_equal(problem.parts, before.parts);
    /* It has to be elsewhere now: nothing of that is a plan. */
    fixture_retag(f, "web", "gcp");
    before = problem;
    struct core_plan same = plan;
    assert_false(core_answer_anew(f->core, to, &arena, &input, &problem, &now, &plan));
    assert_memory_equal(&same, &plan, sizeof(plan));
    assert_ptr_equal(problem.parts, before.parts);
    arena_done(&arena);
}

static int64_t hit_at(const struct fixture *f, const char *site)
{
    const struct core_state *state = core_state(f->core);
    for (int i = 0; i < state->estimate_count; i++)
        if (state->estimates[i].kind == ESTIMATE_HIT_PPM &&
            str_equal(state->estimates[i].site, site))
            return state->estimates[i].value;
    return -1;
}

static void tell_hit(struct fixture *f, const char *site, int64_t ppm)
{
    fixture_estimate(f, ESTIMATE_HIT_PPM, "web", site, ppm);
    fixture_run(f, 60 * US_PER_S);
}

/* Caches of sites may differ: what was measured at one that was left changes by as much as what is
 * measured where the workload is, within one stay. */
static void what_a_left_cache_hit_goes_along(void **state)
{
    struct fixture *f = *state;
    tell_hit(f, "edge/nyc", 350000);
    offer(f, choice("web", "aws/us-east-1", 0, 3 * DOLLAR));
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "web"), "aws/us-east-1");
    /* The first there says nothing: nothing was measured there before. */
    tell_hit(f, "aws/us-east-1", 500000);
    assert_int_equal(hit_at(f, "edge/nyc"), 350000);
    tell_hit(f, "aws/us-east-1", 500000);
    assert_int_equal(hit_at(f, "edge/nyc"), 350000);
    tell_hit(f, "aws/us-east-1", 900000);
    assert_int_equal(hit_at(f, "edge/nyc"), 750000);
    tell_hit(f, "aws/us-east-1", 400000);
    tell_hit(f, "aws/us-east-1", 500000);
    assert_int_equal(hit_at(f, "edge/nyc"), 350000);
    tell_hit(f, "aws/us-east-1", 990000); /* a ratio ends at 1 */
    assert_int_equal(hit_at(f, "edge/nyc"), 840000);
    tell_hit(f, "edge/nyc", 600000); /* told late, of another site than it is at */
    assert_int_equal(hit_at(f, "aws/us-east-1"), 990000);
    tell_hit(f, "aws/us-east-1", 10000);
    assert_int_equal(hit_at(f, "edge/nyc"), 0);
    /* Back, after the inputs changed: the old figure of this site is of another stay. */
    fixture_estimate(f, ESTIMATE_CALLS_MHZ, "web", "", 100000);
    offer(f, choice("web", "edge/nyc", 0, 3 * DOLLAR));
    fixture_run(f, 60 * US_PER_S);
    assert_string_equal(fixture_site(f, "web"), "edge/nyc");
    tell_hit(f, "edge/nyc", 900000);
    assert_int_equal(hit_at(f, "aws/us-east-1"), 10000);
    tell_hit(f, "edge/nyc", 950000);
    assert_int_equal(hit_at(f, "aws/us-east-1"), 60000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_group_that_pays_is_moved),
        TEST(an_unsure_one_is_not),
        TEST(one_that_saves_nothing_is_not),
        TEST(one_that_is_earned_too_late_is_not),
        TEST(apps_that_do_not_move_by_themselves_stay),
        TEST(groups_are_made_whole_or_not_at_all),
        TEST(quiet_hours_hold_back_and_let_go),
        TEST(a_day_without_an_end_of_quiet_ends),
        TEST(the_budget_goes_to_the_largest_saving_and_comes_back),
        TEST(a_group_that_does_not_fit_the_budget_is_skipped),
        TEST(a_site_that_was_left_needs_a_real_change),
        TEST(a_refusal_is_told_once),
        TEST(a_forced_move_forces_no_other_group),
        TEST(a_placement_that_cannot_stay_is_left),
        TEST(a_plan_without_groups_is_judged_whole),
        TEST(what_waits_outlives_a_restart),
        TEST(what_a_change_does_not_touch_is_moved),
        TEST(a_group_waits_whole),
        TEST(a_change_of_the_whole_leaves_nothing_of_a_plan),
        TEST(who_was_to_come_into_room_that_stays_taken_waits),
        TEST(totals_of_a_stale_plan_decide_nothing),
        TEST(a_stale_no_says_nothing),
        TEST(a_plan_for_inputs_that_never_were_is_refused),
        TEST(a_placement_is_judged_by_the_present_inputs),
        TEST(what_a_left_cache_hit_goes_along),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
