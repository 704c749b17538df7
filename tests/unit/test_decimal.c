#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/decimal.h"

#define GIB ((unsigned __int128)1 << 30)

static struct decimal decimal_of(const char *text)
{
    struct decimal value = {0};
    struct error err = {0};
    if (decimal_parse(text, &value, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return value;
}

static void assert_parsed(const char *text, int64_t coefficient, int scale, const char *printed)
{
    struct decimal value = decimal_of(text);
    assert_true(value.coefficient == coefficient);
    assert_int_equal(value.scale, scale);
    char out[DECIMAL_TEXT_BYTES];
    assert_string_equal(decimal_format(value, out), printed);
}

static void numbers_are_kept_as_printed(void **state)
{
    (void)state;
    assert_parsed("0.0000002", 2, 7, "0.0000002");
    assert_parsed("$0.10", 10, 2, "0.1");
    assert_parsed("-$1.50", -150, 2, "-1.5");
    assert_parsed("0.0900000000", 900000000, 10, "0.09");
    assert_parsed("1e-7", 1, 7, "0.0000001");
    assert_parsed("2.5E+3", 2500, 0, "2500");
    assert_parsed("12", 12, 0, "12");
    assert_parsed("-0", 0, 0, "0");
    assert_parsed("0.000", 0, 3, "0");
    assert_parsed("0e99999", 0, 0, "0");
    assert_parsed("000012", 12, 0, "12");
    assert_parsed("999999999999999999", INT64_C(999999999999999999), 0, "999999999999999999");
    assert_parsed("0.000000000000000001", 1, 18, "0.000000000000000001");
    /* Zeros that say nothing do not make a number too long. */
    assert_parsed("0.5000000000000000000000000000000000000000000000",
                  INT64_C(5) * 100000000000000000, 18, "0.5");
    assert_parsed("123456789012345678.000", INT64_C(123456789012345678), 0, "123456789012345678");
    assert_false(decimal_is_negative(decimal_of("-0")));
    assert_true(decimal_is_negative(decimal_of("-0.1")));
    char out[DECIMAL_TEXT_BYTES];
    assert_string_equal(decimal_format((struct decimal){INT64_MIN, 18}, out),
                        "-9.223372036854775808");
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "-",   "$",   ".5",  "5.",  "1.2.3",
                                      "1e",  "1e+", "+1",  " 1",  "1 ",  "1,000",
                                      "0x1", "NaN", "inf", "$-1", "--1", "1$"};
    struct decimal value = {7, 7};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error err = {0};
        assert_int_equal(decimal_parse(bad[i], &value, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, bad[i]));
    }
    static const char *const large[] = {"1000000000000000000",
                                        "0.0000000000000000001",
                                        "1e18",
                                        "1e-19",
                                        "1e999999999999",
                                        "1234567890.1234567890123",
                                        "1e-999999999999",
                                        "99999999999999999999999999999999999999999999"};
    for (size_t i = 0; i < sizeof(large) / sizeof(large[0]); i++) {
        assert_int_equal(decimal_parse(large[i], &value, NULL), ERR_OVERFLOW);
    }
    assert_true(value.coefficient == 7 && value.scale == 7);
}

static void comparison_is_by_value(void **state)
{
    (void)state;
    assert_int_equal(decimal_compare(decimal_of("0.10"), decimal_of("0.1")), 0);
    assert_int_equal(decimal_compare(decimal_of("-1"), decimal_of("0.1")), -1);
    assert_int_equal(
        decimal_compare(decimal_of("999999999999999999"), decimal_of("0.999999999999999999")), 1);
    assert_int_equal(
        decimal_compare((struct decimal){INT64_MIN, 0}, (struct decimal){INT64_MIN, 18}), -1);
}

static void assert_scaled(struct decimal value, int digits, int64_t expected)
{
    int64_t scaled = 0;
    assert_int_equal(decimal_scaled(value, digits, &scaled), 0);
    assert_true(scaled == expected);
}

static void scaling_rounds_half_to_even(void **state)
{
    (void)state;
    assert_scaled(decimal_of("0.5"), 0, 0);
    assert_scaled(decimal_of("1.5"), 0, 2);
    assert_scaled(decimal_of("2.5"), 0, 2);
    assert_scaled(decimal_of("-2.5"), 0, -2);
    assert_scaled(decimal_of("-3.5"), 0, -4);
    assert_scaled((struct decimal){INT64_C(2500000000000000001), 18}, 0, 3);
    assert_scaled(decimal_of("0.09"), 9, 90000000);
    assert_scaled(decimal_of("12345"), -3, 12);
    assert_scaled(decimal_of("1"), 18, INT64_C(1000000000000000000));
    assert_scaled(decimal_of("0"), 1000, 0);
    assert_scaled((struct decimal){INT64_MAX, 0}, -19, 1);
    assert_scaled((struct decimal){INT64_MAX, 0}, -20, 0);
    assert_scaled((struct decimal){INT64_MIN, 0}, 0, INT64_MIN);
    assert_scaled((struct decimal){INT64_MIN, 18}, 18, INT64_MIN);
    int64_t scaled = 7;
    assert_int_equal(decimal_scaled(decimal_of("10"), 18, &scaled), ERR_OVERFLOW);
    assert_int_equal(decimal_scaled(decimal_of("1"), 19, &scaled), ERR_OVERFLOW);
    assert_int_equal(decimal_scaled(decimal_of("1"), 1000, &scaled), ERR_OVERFLOW);
    assert_int_equal(scaled, 7);
}

static void assert_money_of(const char *price, uint64_t per, unsigned __int128 quantity,
                            const char *expected)
{
    nusd amount = 0;
    char out[MONEY_TEXT_BYTES];
    assert_int_equal(money_of(decimal_of(price), per, quantity, &amount), 0);
    assert_string_equal(money_exact(amount, out), expected);
}

static void a_price_times_a_quantity_is_exact(void **state)
{
    (void)state;
    assert_money_of("0.09", 1 << 30, 100 * GIB, "9");
    assert_money_of("0.09", 1 << 30, 10240 * GIB, "921.6");
    assert_money_of("0.085", 1 << 30, 51200 * GIB, "4352");
    assert_money_of("0.0000002", 1, 3, "0.0000006");
    assert_money_of("0.0000000005", 1, 1, "0");           /* half a nano-dollar: to even */
    assert_money_of("0.0000000005", 1, 3, "0.000000002"); /* one and a half */
    assert_money_of("0.000000000000000001", 1, 1000000000, "0.000000001");
    assert_money_of("-0.10", 1, 3, "-0.3");
    assert_money_of("0.0464", 3600000000000, 3600000000000, "0.0464");
    /* 2^70 units at 18 digits: the product has 190 bits, the amount fits. */
    assert_money_of("0.999999999999999999", 1, (unsigned __int128)1 << 70,
                    "1180591620717411302243.408379283");
    assert_money_of("0.09", UINT64_MAX, (unsigned __int128)UINT64_MAX << 40, "98956046499.84");
}

static void an_amount_past_127_bits_is_an_overflow(void **state)
{
    (void)state;
    nusd amount = 7;
    struct decimal one = {1, 9}; /* a nano-dollar */
    unsigned __int128 top = (unsigned __int128)1 << 127;
    assert_int_equal(money_of(one, 1, top - 1, &amount), 0);
    assert_true(amount == (nusd)(top - 1));
    assert_int_equal(money_of((struct decimal){-1, 9}, 1, top - 1, &amount), 0);
    assert_true(amount == -(nusd)(top - 1));
    assert_int_equal(money_of(one, 1, top, &amount), ERR_OVERFLOW);
    assert_int_equal(money_of(one, 2, ~(unsigned __int128)0, &amount),
                     ERR_OVERFLOW); /* rounds up */
    assert_int_equal(money_of((struct decimal){INT64_MAX, 0}, 1, ~(unsigned __int128)0, &amount),
                     ERR_OVERFLOW);
    assert_int_equal(money_of((struct decimal){INT64_MIN, 0}, 1, top, &amount), ERR_OVERFLOW);
}

static void scaling_an_amount_rounds_once(void **state)
{
    (void)state;
    nusd amount = 0;
    assert_int_equal(money_scale(10, 1, 4, &amount), 0);
    assert_true(amount == 2); /* 2.5 */
    assert_int_equal(money_scale(-10, 3, 4, &amount), 0);
    assert_true(amount == -8); /* -7.5 */
    assert_int_equal(money_scale(-7, -1, 2, &amount), 0);
    assert_true(amount == 4); /* 3.5 */
    nusd large = (nusd)(((unsigned __int128)1 << 126) + 12345);
    assert_int_equal(money_scale(large, INT64_MAX, INT64_MAX, &amount), 0);
    assert_true(amount == large);
    assert_int_equal(money_scale(large, INT64_MIN, INT64_MAX, &amount), 0);
    assert_true(amount < -large);
    assert_int_equal(money_scale(large, 2, 1, &amount), ERR_OVERFLOW);
    assert_int_equal(money_scale(large, INT64_MAX, 1, &amount), ERR_OVERFLOW);
    assert_int_equal(money_scale(0, INT64_MAX, 1, &amount), 0);
    assert_true(amount == 0);
}

static void assert_shown(nusd amount, int decimals, const char *expected)
{
    char out[MONEY_TEXT_BYTES];
    assert_string_equal(money_format(amount, decimals, out), expected);
}

static void money_is_shown_in_groups(void **state)
{
    (void)state;
    assert_shown(NUSD_PER_USD * 1234 + 560000000, 2, "$1,234.56");
    assert_shown(-100000000, 2, "-$0.10");
    assert_shown(0, 2, "$0.00");
    assert_shown(-1, 2, "$0.00"); /* what rounds to nothing has no sign */
    assert_shown(5000000, 2, "$0.00");
    assert_shown(15000000, 2, "$0.02");
    assert_shown(NUSD_PER_USD * 999999 + 999999999, 0, "$1,000,000");
    assert_shown(NUSD_PER_USD * 1000, 0, "$1,000");
    assert_shown(1, 9, "$0.000000001");
    nusd top = (nusd)(((unsigned __int128)1 << 127) - 1);
    assert_shown(top, 9, "$170,141,183,460,469,231,731,687,303,715.884105727");
    assert_shown(-top - 1, 9, "-$170,141,183,460,469,231,731,687,303,715.884105728");
    assert_shown(-top - 1, 2, "-$170,141,183,460,469,231,731,687,303,715.88");
}

static void amounts_read_back(void **state)
{
    (void)state;
    nusd top = (nusd)(((unsigned __int128)1 << 127) - 1);
    const nusd amounts[] = {0, 1, -1, NUSD_PER_USD, -NUSD_PER_USD * 3 / 2, top, -top};
    for (size_t i = 0; i < sizeof(amounts) / sizeof(amounts[0]); i++) {
        char out[MONEY_TEXT_BYTES];
        nusd again = 7;
        assert_int_equal(money_parse(money_exact(amounts[i], out), &again, NULL), 0);
        assert_true(again == amounts[i]);
    }
    char out[MONEY_TEXT_BYTES];
    assert_string_equal(money_exact(NUSD_PER_USD * 1234 + 567890000, out), "1234.56789");
    nusd amount = 7;
    assert_int_equal(money_parse("$12.50", &amount, NULL), 0);
    assert_true(amount == NUSD_PER_USD * 25 / 2);
    assert_int_equal(money_parse("1e3", &amount, NULL), 0);
    assert_true(amount == NUSD_PER_USD * 1000);
    assert_int_equal(money_parse("0.0000000010", &amount, NULL), 0);
    assert_true(amount == 1);
    struct error err = {0};
    assert_int_equal(money_parse("0.0000000001", &amount, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "nano-dollar"));
    assert_int_equal(money_parse("170141183460469231731687303715.884105728", &amount, &err),
                     ERR_OVERFLOW);
    assert_int_equal(money_parse("1,000", &amount, &err), ERR_INVALID);
    assert_int_equal(money_parse("", &amount, &err), ERR_INVALID);
    assert_true(amount == 1);
}

static void amounts_narrow_only_when_they_fit(void **state)
{
    (void)state;
    int64_t value = 7;
    assert_int_equal(money_to_i64(INT64_MAX, &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(money_to_i64(INT64_MIN, &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(money_to_i64((nusd)INT64_MAX + 1, &value), ERR_OVERFLOW);
    assert_int_equal(money_to_i64((nusd)INT64_MIN - 1, &value), ERR_OVERFLOW);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_kept_as_printed),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(comparison_is_by_value),
        cmocka_unit_test(scaling_rounds_half_to_even),
        cmocka_unit_test(a_price_times_a_quantity_is_exact),
        cmocka_unit_test(an_amount_past_127_bits_is_an_overflow),
        cmocka_unit_test(scaling_an_amount_rounds_once),
        cmocka_unit_test(money_is_shown_in_groups),
        cmocka_unit_test(amounts_read_back),
        cmocka_unit_test(amounts_narrow_only_when_they_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
