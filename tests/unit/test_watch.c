/* watch: what ends a solve, and that it stays ended. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "model/solve/watch.h"

struct asker {
    bool wants;
    int told;
    struct solve_news news;
};

static bool wanted(void *context)
{
    return ((struct asker *)context)->wants;
}

static void tell(void *context, const struct solve_news *news)
{
    struct asker *asker = context;
    asker->told++;
    asker->news = *news;
}

static void test_without_limits_it_goes_on(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, 0);
    assert_true(watch_goes_on(NULL));
    assert_true(watch_told(NULL, 1, 2));
    assert_true(watch_goes_on(&watch));
    assert_int_equal(watch_left_us(&watch), -1);
    assert_int_equal(watch_left_us(NULL), -1);
    assert_false(watch_is_past(&watch, 0));
}

static void test_time_ends_it_for_good(void **state)
{
    (void)state;
    struct watch watch;
    watch_begin(&watch, 20 * US_PER_MS);
    while (watch_goes_on(&watch)) {
        assert_true(watch_left_us(&watch) <= 20 * US_PER_MS);
    }
    assert_int_equal(watch.end, WATCH_TIME);
    assert_true(clock_mono_now().us - watch.began_us >= 20 * US_PER_MS);
    assert_true(watch_is_past(&watch, 1));
    assert_int_equal(watch_left_us(&watch), US_PER_MS);
    watch.time_max_us = 0; /* no second thoughts */
    assert_false(watch_goes_on(&watch));
    assert_false(watch_told(&watch, 1, 2));
}

static void test_a_word_ends_it(void **state)
{
    (void)state;
    struct asker asker = {.wants = true};
    struct watch watch;
    watch_begin(&watch, 0);
    watch.wanted = wanted;
    watch.context = &asker;
    assert_true(watch_goes_on(&watch));
    asker.wants = false;
    while (watch_goes_on(&watch)) {
    }
    assert_int_equal(watch.end, WATCH_CANCELLED);
    asker.wants = true;
    assert_false(watch_goes_on(&watch));
}

/* News only get better, and are told now and then. */
static void test_news(void **state)
{
    (void)state;
    struct asker asker = {.wants = true};
    struct watch watch;
    watch_begin(&watch, 0);
    watch.tell = tell;
    watch.context = &asker;
    assert_true(watch_told(&watch, 5, 20));
    assert_true(watch_told(&watch, NAN, NAN));
    assert_true(watch_told(&watch, 3, 30));
    assert_int_equal(asker.told, 0); /* too early */
    while (asker.told == 0) {
        assert_true(watch_told(&watch, 6, 19));
    }
    assert_true(asker.news.bound == 6 && asker.news.best == 19 && asker.news.elapsed_us > 0);
    assert_true(fabs(solve_news_gap(&asker.news) - 13.0 / 19) < 1e-12);
    assert_true(solve_news_gap(&(struct solve_news){.bound = -INFINITY, .best = 1}) < 0);
    assert_true(solve_news_gap(&(struct solve_news){.bound = 1, .best = INFINITY}) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_limits_it_goes_on),
        cmocka_unit_test(test_time_ends_it_for_good),
        cmocka_unit_test(test_a_word_ends_it),
        cmocka_unit_test(test_news),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
