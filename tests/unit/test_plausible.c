/* plausible: bounds, clocks, and who is out of line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/wire/messages.h"
#include "metrics/plausible.h"

#define LATE (60 * US_PER_S)

static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(plausible_growth(SAMPLE_REQUESTS, 0), 100000000);
    assert_int_equal(plausible_growth(SAMPLE_REQUESTS, US_PER_S), 200000000);
    assert_true(plausible_growth(SAMPLE_CPU_NS, INT64_MAX / 2) == INT64_MAX);
    assert_true(plausible_growth(SAMPLE_HITS, -10 * US_PER_S) < 0);
    assert_true(plausible_gauge(SAMPLE_MEMORY_BYTES, INT64_C(1) << 46));
    assert_false(plausible_gauge(SAMPLE_MEMORY_BYTES, (INT64_C(1) << 46) + 1));
    assert_false(plausible_gauge(SAMPLE_MEMORY_BYTES, -1));
    assert_true(plausible_gauge(SAMPLE_RTT_US, 80000));
    assert_false(plausible_gauge(SAMPLE_RTT_US, 61 * US_PER_S));
    assert_false(plausible_gauge(SAMPLE_RTT_US, 1)); /* no bus is that quick */
}

static void test_clocks(void **state)
{
    (void)state;
    struct plausible_clock clock = {0};
    int64_t boot_us = 5 * US_PER_S;
    int64_t now_us = 900 * US_PER_S;
    assert_int_equal(plausible_instant(&clock, boot_us, now_us, LATE), INSTANT_FINE);
    for (int i = 0; i < 100; i++) {
        boot_us += US_PER_S;
        now_us += US_PER_S;
        assert_int_equal(plausible_instant(&clock, boot_us, now_us + i % 7 * 1000000, LATE),
                         INSTANT_FINE);
    }
    assert_int_equal(plausible_instant(&clock, boot_us, now_us + 70 * US_PER_S, LATE), INSTANT_OLD);
    assert_int_equal(plausible_instant(&clock, boot_us + 70 * US_PER_S, now_us, LATE),
                     INSTANT_FUTURE);
    /* One that comes right again has its leaps forgiven. */
    assert_int_equal(plausible_instant(&clock, boot_us, now_us, LATE), INSTANT_FINE);
    /* One that stays where it leapt to, say after the receiver was suspended, is believed. */
    boot_us += 3600 * US_PER_S;
    for (int i = 0; i < 3; i++)
        assert_int_equal(plausible_instant(&clock, boot_us + i, now_us + i, LATE), INSTANT_FUTURE);
    assert_int_equal(plausible_instant(&clock, boot_us + 4, now_us + 4, LATE), INSTANT_FINE);
    assert_int_equal(plausible_instant(&clock, boot_us + 5, now_us + 5, LATE), INSTANT_FINE);
}

static void check_out(const char *trusted, const int64_t *values, int64_t tolerance,
                      const char *wanted)
{
    bool judges[16] = {false};
    bool out[16];
    char got[17] = {0};
    int count = (int)strlen(wanted);
    for (int i = 0; i < count; i++)
        judges[i] = trusted[i] == 't';
    int outs = plausible_outliers(values, judges, count, tolerance, out);
    for (int i = 0; i < count; i++) {
        got[i] = out[i] ? 'x' : '.';
        outs -= out[i];
    }
    assert_int_equal(outs, 0);
    assert_string_equal(got, wanted);
}

static void test_who_is_out(void **state)
{
    (void)state;
    const int64_t alike[] = {100, 103, 98, 101};
    const int64_t one[] = {100, 103, 980, 101};
    const int64_t low[] = {100, 3};
    const int64_t wide[] = {100, 160, 240, 400, 90};
    const int64_t judged[] = {190, 101, 12, 99};
    check_out("....", alike, 10, "....");
    check_out("....", one, 10, "..x.");
    check_out(".", alike, 0, ".");
    check_out("..", low, 10, "xx");        /* nobody can tell which */
    check_out("..", low, 60, "..");        /* within twice the tolerance */
    check_out("t.", low, 10, ".x");        /* somebody can */
    check_out(".....", wide, 10, "....."); /* they scatter anyway */
    check_out(".t.t", judged, 50, "x.x.");
    assert_int_equal(plausible_log(1024), 640);
    assert_int_equal(plausible_log(3000) - plausible_log(1000), 102);
    assert_true(plausible_log(0) < plausible_log(1));
}

/* A liar among n honest is found wherever it stands, and never an honest one, whatever it claims.
 */
static void test_one_liar(void **state)
{
    (void)state;
    for (int count = 3; count < 12; count++)
        for (int liar = 0; liar < count; liar++)
            for (int64_t lie = 1; lie < 1000000000; lie *= 7) {
                int64_t values[12];
                bool out[12];
                for (int i = 0; i < count; i++)
                    values[i] = plausible_log(i == liar ? lie : 20000 + i * 500);
                plausible_outliers(values, NULL, count, PLAUSIBLE_FACTOR_3, out);
                for (int i = 0; i < count; i++)
                    if (i != liar)
                        assert_false(out[i]);
                if (lie < 2000 || lie > 300000)
                    assert_true(out[liar]);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_who_is_out),
        cmocka_unit_test(test_one_liar),
    };
    return cmocka_run_group_tests_name("plausible", tests, NULL, NULL);
}
