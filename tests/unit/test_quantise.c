/* quantise: few distinct values, and none that flaps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metrics/quantise.h"

static void test_small_values_stay(void **state)
{
    (void)state;
    for (int64_t value = 0; value < 64; value++)
        assert_int_equal(quantise_value(value), value);
    assert_int_equal(quantise_value(1000), 1008); /* quantum 16 */
    assert_int_equal(quantise_ratio(904999), 900000);
    assert_int_equal(quantise_ratio(905000), 910000);
}

static void test_error_is_bounded_and_order_is_kept(void **state)
{
    (void)state;
    int64_t before = 0;
    for (int64_t value = 1; value < INT64_C(1) << 60; value += value / 7 + 1) {
        int64_t rounded = quantise_value(value);
        assert_true(rounded >= before);
        int64_t away = rounded > value ? rounded - value : value - rounded;
        assert_true(away * 32 <= value); /* half a quantum is at most a 32nd */
        before = rounded;
    }
}

static void test_noise_around_a_border_never_flaps(void **state)
{
    (void)state;
    /* 904,999 and 905,001 ppm round apart; whichever was said first, the other does not move it. */
    int64_t first = quantise_ratio(904999);
    int64_t second = quantise_ratio(905001);
    assert_true(first != second);
    assert_false(quantise_moved(first, 905001, true));
    assert_false(quantise_moved(second, 904999, true));
    for (int64_t value = 1000; value < 100000; value += 37) {
        int64_t low = quantise_value(value);
        int64_t high = quantise_value(value + 1);
        assert_false(quantise_moved(low, value + 1, false));
        assert_false(quantise_moved(high, value, false));
    }
}

static void test_a_real_change_moves(void **state)
{
    (void)state;
    assert_true(quantise_moved(900000, 880000, true));
    assert_true(quantise_moved(1008, 1100, false));
    assert_true(quantise_moved(0, 2, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_values_stay),
        cmocka_unit_test(test_error_is_bounded_and_order_is_kept),
        cmocka_unit_test(test_noise_around_a_border_never_flaps),
        cmocka_unit_test(test_a_real_change_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
