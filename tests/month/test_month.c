/*
 * A month of automatic moves: what they may never do.
 *
 *   - under constant inputs nothing moves after the first placement
 *   - noise around the load at which two sites cost the same: no workload returns to a site that it
 *     left, except a single time by taking back a move that did not pay
 *   - a day and night of load is followed, within the budget and outside quiet hours
 *   - a step of the clock moves nothing, nor do measurements that are stale or say how wrong they
 *     may be
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/month/month.h"

#define DAYS      30
#define SAMPLE_US (15 * 60 * US_PER_S)
#define ERROR_PPM 30000 /* of a measured rate */

static struct month month;

static int teardown(void **state)
{
    (void)state;
    month_close(&month);
    return 0;
}

static void measure(int64_t calls_mhz, int64_t noise_ppm)
{
    for (int i = 0; i < MONTH_WORKLOADS; i++) {
        int64_t seen = calls_mhz + calls_mhz * month_normal(&month, noise_ppm) / PPM;
        month_calls(&month, i, seen > 1000 ? seen : 1000, seen / 1000 * (noise_ppm / 1000));
    }
}

/* Placed, at rest; from here on every move is one that saves. */
static void start(uint64_t seed, void (*policy)(struct policy *policy), int64_t calls_mhz)
{
    month_open(&month, seed, policy);
    for (int i = 0; i < MONTH_WORKLOADS; i++)
        month_calls(&month, i, calls_mhz, calls_mhz / 1000 * (ERROR_PPM / 1000));
    month_run(&month, 2 * MONTH_HOUR_US);
    assert_int_equal(core_state(month.f.core)->handoff_count, 0);
    assert_true(month_site(&month, 0) >= 0 && month_site(&month, 1) >= 0);
    month.move_count = 0;
}

/* Returns to a site that the workload had left, by a saving move and by taking one back. */
static void count_returns(int *ret_saving, int *ret_regret)
{
    *ret_saving = 0;
    *ret_regret = 0;
    for (int i = 0; i < month.move_count; i++) {
        bool left = false;
        for (int k = 0; k < i && !left; k++)
            left = month.moves[k].workload == month.moves[i].workload &&
                   month.moves[k].from == month.moves[i].to;
        *ret_saving += left && month.moves[i].reason != REASON_REGRET;
        *ret_regret += left && month.moves[i].reason == REASON_REGRET;
    }
}

static void print_moves(const char *title)
{
    (void)printf("%s: %d moves, %d solves\n", title, month.move_count, month.solves);
    for (int i = 0; i < month.move_count && i < 12; i++)
        (void)printf("  %s %s -> %s (%s)\n", month_workloads[month.moves[i].workload],
                     month_sites[month.moves[i].from], month_sites[month.moves[i].to],
                     handoff_reason_words[month.moves[i].reason]);
}

static void constant_inputs_move_nothing(void **state)
{
    (void)state;
    start(1, NULL, 900000);
    for (int64_t us = 0; us < DAYS * MONTH_DAY_US; us += MONTH_DAY_US)
        month_run(&month, MONTH_DAY_US);
    assert_int_equal(month.move_count, 0);
}

/* The load at which the model costs the same at the edge and in the cloud. */
static int64_t threshold(void)
{
    const int here[] = {0, 0};
    const int there[] = {0, 1};
    int64_t low = 10000;
    int64_t high = 10000000;
    while (high - low > 100) {
        int64_t calls = (low + high) / 2;
        const int64_t both[] = {calls, calls};
        if (month_cost(&month, both, here).score < month_cost(&month, both, there).score)
            high = calls;
        else
            low = calls;
    }
    return low;
}

/* Everything else is known exactly: only the noise of the calls makes a saving unsure. */
static void exact(struct policy *policy)
{
    policy->prior_error_ppm = 0;
}

static void noise_around_a_threshold_does_not_send_to_and_fro(void **state)
{
    (void)state;
    static const int64_t noises[] = {ERROR_PPM, ERROR_PPM, 2 * ERROR_PPM, 4 * ERROR_PPM};
    for (uint64_t seed = 0; seed < 4; seed++) {
        start(seed, seed > 0 ? exact : NULL, 900000);
        int64_t level = threshold();
        assert_true(level > 100000 && level < 9000000);
        for (int64_t us = 0; us < DAYS * MONTH_DAY_US; us += SAMPLE_US) {
            measure(level, noises[seed]);
            month_run(&month, SAMPLE_US);
        }
        int saving;
        int regret;
        count_returns(&saving, &regret);
        print_moves("noise around a threshold");
        assert_int_equal(saving, 0);
        assert_true(regret <= MONTH_WORKLOADS);
        assert_true(month.move_count <= 2 * MONTH_WORKLOADS);
        if (seed < 3)
            month_close(&month);
    }
}

static struct quiet_hours at_night = {.from_min = 22 * 60, .to_min = 4 * 60};

static void careful(struct policy *policy)
{
    policy->moves_per_day = 2;
    policy->quiet = &at_night;
    policy->quiet_count = 1;
}

/* A twentieth of the peak at night; in thousandths of the mean, by the hour. */
static int64_t by_day(int64_t us, int day)
{
    static const int64_t hours[24] = {300,  200,  120,  100,  100,  150,  300,  600,
                                      900,  1200, 1500, 1700, 1900, 2000, 2000, 1900,
                                      1800, 1700, 1600, 1400, 1100, 800,  600,  400};
    int64_t hour = us / MONTH_HOUR_US % 24;
    return 900000 * hours[hour] / 1000 * (80 + day * 40 / DAYS) / 100;
}

static void a_day_is_followed_within_budget_and_outside_quiet_hours(void **state)
{
    (void)state;
    start(7, careful, 900000);
    for (int64_t us = 0; us < DAYS * MONTH_DAY_US; us += SAMPLE_US) {
        measure(by_day(month.f.now_us, (int)(us / MONTH_DAY_US)), ERROR_PPM);
        month_run(&month, SAMPLE_US);
    }
    print_moves("a month of days");
    assert_true(month.move_count > 5);
    for (int i = 0; i < month.move_count; i++) {
        const struct month_move *move = &month.moves[i];
        int64_t minute = move->at_us % MONTH_DAY_US / (60 * US_PER_S);
        assert_true(minute >= at_night.to_min && minute < at_night.from_min);
        int in_a_day = 1;
        for (int k = 0; k < i; k++)
            in_a_day += month.moves[k].at_us > move->at_us - MONTH_DAY_US;
        if (move->reason == REASON_SAVING)
            assert_true(in_a_day <= 2);
    }
}

static const struct core_decision *last_taken(int workload)
{
    const struct core_state *state = core_state(month.f.core);
    for (uint64_t i = state->decision_count; i > 0; i--) {
        const struct core_decision *decision = &state->decisions[(i - 1) % CORE_DECISIONS];
        if (decision->verdict == VERDICT_TAKEN &&
            strcmp(decision->workload, month_workloads[workload]) == 0)
            return decision;
    }
    fail_msg("%s was never placed", month_workloads[workload]);
    return NULL;
}

static void patient(struct policy *policy)
{
    policy->prior_error_ppm = 0;
    policy->dwell_us = 6 * MONTH_HOUR_US;
}

/* The load rises and stays: one move, and an hour later the same figure is found again. */
static void a_lasting_rise_moves_once_and_has_paid(void **state)
{
    (void)state;
    start(5, patient, 400000);
    assert_true(month_site(&month, 1) > 0);
    measure(3000000, 0);
    month_run(&month, MONTH_DAY_US);
    assert_int_equal(month.move_count, 1);
    assert_int_equal(month_site(&month, 1), 0);
    const struct core_decision *decision = last_taken(1);
    assert_true(decision->checked);
    int64_t error = decision->score_realised_nusd - decision->score_saving_nusd;
    assert_true(decision->score_saving_nusd > 0);
    assert_true(error * 1000 < decision->score_saving_nusd);
    assert_true(-error * 1000 < decision->score_saving_nusd);
}

/* It falls again before the hour is over: the move has lost, and is taken back in spite of dwell.
 * A first start is followed by one as well, and then the rise is acted upon at once. */
static void a_rise_that_does_not_last_is_taken_back(void **state)
{
    (void)state;
    start(6, patient, 400000);
    int before = month_site(&month, 1);
    measure(3000000, 0);
    month_run(&month, 30 * 60 * US_PER_S);
    assert_int_equal(month.move_count, 0);
    measure(400000, 0);
    month_run(&month, 4 * MONTH_HOUR_US);
    measure(3000000, 0);
    month_run(&month, 30 * 60 * US_PER_S);
    assert_int_equal(month_site(&month, 1), 0);
    measure(400000, 0);
    month_run(&month, 2 * MONTH_HOUR_US);
    assert_int_equal(month.move_count, 2);
    assert_int_equal(month.moves[1].reason, REASON_REGRET);
    assert_int_equal(month_site(&month, 1), before);
    measure(400000, 0);
    month_run(&month, MONTH_DAY_US);
    assert_int_equal(month.move_count, 2);
}

/* The shell's clock never goes back: it stands still until time has caught up. */
static void a_step_of_the_clock_moves_nothing(void **state)
{
    (void)state;
    start(3, NULL, 900000);
    for (int day = 0; day < DAYS; day++) {
        month_run(&month, MONTH_DAY_US);
        if (day == 10)
            month.f.now_us += 6 * MONTH_HOUR_US; /* forward: nothing was heard for that long */
        if (day == 20) {
            month.refreshed_us = month.f.now_us; /* back: six hours pass at one instant */
            for (int i = 0; i < 720; i++) {
                struct core_event tick = {.kind = CORE_TICK};
                fixture_step(&month.f, &tick);
            }
        }
    }
    assert_int_equal(month.move_count, 0);
}

static void what_is_stale_or_admits_its_error_moves_nothing(void **state)
{
    (void)state;
    start(4, NULL, 900000);
    month.stale_us = 600 * US_PER_S;
    for (int i = 0; i < 500; i++) {
        int64_t lie = i % 2 == 0 ? 90000000 : 9000;
        month_calls(&month, 0, lie, lie / 100);
        month_calls(&month, 1, lie, lie / 100);
        month_run(&month, SAMPLE_US);
    }
    assert_int_equal(month.move_count, 0);
    month.stale_us = 0;
    for (int i = 0; i < 500; i++) {
        int64_t wild = 900000 + month_uniform(&month, 600000);
        month_calls(&month, 0, wild, wild);
        month_calls(&month, 1, wild, wild);
        month_run(&month, SAMPLE_US);
    }
    print_moves("measurements that may be wrong by all of it");
    assert_int_equal(month.move_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, teardown)
        TEST(constant_inputs_move_nothing),
        TEST(noise_around_a_threshold_does_not_send_to_and_fro),
        TEST(a_day_is_followed_within_budget_and_outside_quiet_hours),
        TEST(a_lasting_rise_moves_once_and_has_paid),
        TEST(a_rise_that_does_not_last_is_taken_back),
        TEST(a_step_of_the_clock_moves_nothing),
        TEST(what_is_stale_or_admits_its_error_moves_nothing),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
