/*
 * money_of, money_scale and decimal_scaled against an arithmetic that shares nothing with theirs:
 * schoolbook numbers of decimal digits, where a product is digit by digit and a quotient is found
 * by long division, and rounding looks at the digits of the remainder. The generator prefers the
 * edges: powers of two and ten, one either side, exact halves. The seed is printed; give another
 * in BERTH_SEED.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/decimal.h"
#include "base/str.h"

#define DIGITS 100
#define ROUNDS 5000

/* A non-negative number: digit[0] is the units. */
struct big {
    unsigned char digit[DIGITS];
};

static uint64_t seed;

static uint64_t next_u64(void)
{
    /* splitmix64 */
    seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = seed;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Any width is as likely as any other, and edges are likely. */
static unsigned __int128 next_wide(int bits_max)
{
    int bits = (int)(next_u64() % (uint64_t)bits_max) + 1;
    unsigned __int128 value = ((unsigned __int128)next_u64() << 64) | next_u64();
    unsigned __int128 top = (unsigned __int128)1 << (bits - 1);
    switch (next_u64() % 4) {
    case 0:
        return top;
    case 1:
        return top - 1;
    default:
        return (value & (top - 1)) | top;
    }
}

static struct big big_of(unsigned __int128 value)
{
    struct big number = {{0}};
    for (int i = 0; value != 0; i++) {
        number.digit[i] = (unsigned char)(value % 10);
        value /= 10;
    }
    return number;
}

static struct big big_multiply(struct big a, struct big b)
{
    unsigned int sums[2 * DIGITS] = {0};
    for (int i = 0; i < DIGITS; i++) {
        for (int j = 0; a.digit[i] != 0 && j < DIGITS; j++) {
            sums[i + j] += (unsigned int)a.digit[i] * b.digit[j];
        }
    }
    struct big product = {{0}};
    unsigned int carry = 0;
    for (int i = 0; i < 2 * DIGITS; i++) {
        carry += sums[i];
        if (i < DIGITS) {
            product.digit[i] = (unsigned char)(carry % 10);
        } else {
            assert_int_equal(carry % 10, 0); /* the oracle itself must not overflow */
        }
        carry /= 10;
    }
    return product;
}

static struct big big_shift(struct big a, int digits)
{
    struct big shifted = {{0}};
    for (int i = 0; i < DIGITS; i++) {
        if (i + digits >= 0 && i + digits < DIGITS) {
            shifted.digit[i + digits] = a.digit[i];
        }
    }
    return shifted;
}

static int big_compare(const struct big *a, const struct big *b)
{
    for (int i = DIGITS - 1; i >= 0; i--) {
        if (a->digit[i] != b->digit[i]) {
            return a->digit[i] < b->digit[i] ? -1 : 1;
        }
    }
    return 0;
}

static void big_subtract(struct big *a, const struct big *b)
{
    int borrow = 0;
    for (int i = 0; i < DIGITS; i++) {
        int digit = a->digit[i] - b->digit[i] - borrow;
        borrow = digit < 0 ? 1 : 0;
        a->digit[i] = (unsigned char)(digit + 10 * borrow);
    }
}

static struct big big_add(struct big a, struct big b)
{
    struct big sum = {{0}};
    int carry = 0;
    for (int i = 0; i < DIGITS; i++) {
        carry += a.digit[i] + b.digit[i];
        sum.digit[i] = (unsigned char)(carry % 10);
        carry /= 10;
    }
    return sum;
}

/* a / b by long division, half to even. */
static struct big big_divide_rounded(struct big a, struct big b)
{
    struct big quotient = {{0}};
    struct big rest = {{0}};
    for (int i = DIGITS - 1; i >= 0; i--) {
        rest = big_shift(rest, 1);
        rest.digit[0] = a.digit[i];
        while (big_compare(&rest, &b) >= 0) {
            big_subtract(&rest, &b);
            quotient.digit[i]++;
        }
    }
    struct big twice = big_add(rest, rest);
    int half = big_compare(&twice, &b);
    if (half > 0 || (half == 0 && quotient.digit[0] % 2 == 1)) {
        quotient = big_add(quotient, big_of(1));
    }
    return quotient;
}

static bool big_to_u128(const struct big *number, unsigned __int128 limit,
                        unsigned __int128 *ret_value)
{
    struct big top = big_of(limit);
    if (big_compare(number, &top) > 0) {
        return false;
    }
    unsigned __int128 value = 0;
    for (int i = DIGITS - 1; i >= 0; i--) {
        value = value * 10 + number->digit[i];
    }
    *ret_value = value;
    return true;
}

static const unsigned __int128 amount_max = ~(unsigned __int128)0 >> 1;

static void assert_amount(int rc, nusd amount, const struct big *expected, bool negative)
{
    unsigned __int128 magnitude;
    if (!big_to_u128(expected, amount_max, &magnitude)) {
        assert_int_equal(rc, ERR_OVERFLOW);
        return;
    }
    assert_int_equal(rc, 0);
    assert_true(amount == (negative ? -(nusd)magnitude : (nusd)magnitude));
}

static struct decimal next_price(void)
{
    int64_t coefficient = (int64_t)(uint64_t)next_wide(63);
    return (struct decimal){next_u64() % 2 == 0 ? coefficient : -coefficient,
                            (int)(next_u64() % (DECIMAL_SCALE_MAX + 1))};
}

static unsigned __int128 magnitude_of(int64_t value)
{
    return value < 0 ? 0 - (unsigned __int128)value : (unsigned __int128)value;
}

static void money_of_agrees_with_schoolbook(void **state)
{
    (void)state;
    int fitted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct decimal price = next_price();
        uint64_t per = (uint64_t)next_wide(64);
        per = per == 0 ? 1 : per;
        unsigned __int128 quantity = next_wide(128);
        if (next_u64() % 4 == 0) {
            /* An exact half, or a hair beside it: quantity / per = k + 1/2. */
            price = (struct decimal){price.coefficient % 1000, 9};
            per = 2 * (next_u64() % 1000 + 1);
            quantity = (unsigned __int128)per * (next_u64() % 1000) + per / 2 + next_u64() % 3 - 1;
        }
        struct big product = big_multiply(big_of(magnitude_of(price.coefficient)),
                                          big_multiply(big_of(quantity), big_of(1000000000)));
        struct big divisor = big_shift(big_of(per), price.scale);
        struct big expected = big_divide_rounded(product, divisor);
        nusd amount = 0;
        int rc = money_of(price, per, quantity, &amount);
        assert_amount(rc, amount, &expected, price.coefficient < 0);
        fitted += rc == 0 ? 1 : 0;
    }
    /* Both answers must be common, or the comparison proves little. */
    assert_true(fitted > ROUNDS / 10 && fitted < ROUNDS * 99 / 100);
}

static void money_scale_agrees_with_schoolbook(void **state)
{
    (void)state;
    int fitted = 0;
    for (int i = 0; i < ROUNDS; i++) {
        unsigned __int128 magnitude = next_wide(127);
        bool negative = next_u64() % 2 == 0;
        int64_t numerator = (int64_t)(uint64_t)next_wide(63);
        int64_t denominator = (int64_t)(uint64_t)next_wide(63);
        denominator = denominator == 0 ? 1 : denominator;
        if (next_u64() % 4 == 0) {
            denominator = 2;
            numerator = next_u64() % 2 == 0 ? 1 : 3;
        }
        bool minus = next_u64() % 2 == 0;
        struct big product = big_multiply(big_of(magnitude), big_of(magnitude_of(numerator)));
        struct big expected = big_divide_rounded(product, big_of(magnitude_of(denominator)));
        nusd amount = 0;
        int rc = money_scale(negative ? -(nusd)magnitude : (nusd)magnitude,
                             minus ? -numerator : numerator, denominator, &amount);
        assert_amount(rc, amount, &expected, negative != minus);
        fitted += rc == 0 ? 1 : 0;
    }
    assert_true(fitted > ROUNDS / 10 && fitted < ROUNDS * 99 / 100);
}

static void decimal_scaled_agrees_with_schoolbook(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct decimal value = next_price();
        int digits = (int)(next_u64() % 45) - 22;
        struct big top = big_shift(big_of(magnitude_of(value.coefficient)), 22 + digits);
        struct big expected = big_divide_rounded(top, big_shift(big_of(1), 22 + value.scale));
        bool negative = value.coefficient < 0;
        unsigned __int128 magnitude;
        bool fits =
            big_to_u128(&expected, (unsigned __int128)INT64_MAX + (negative ? 1 : 0), &magnitude);
        int64_t scaled = 0;
        int rc = decimal_scaled(value, digits, &scaled);
        assert_int_equal(rc, fits ? 0 : ERR_OVERFLOW);
        if (fits) {
            assert_true(magnitude_of(scaled) == magnitude &&
                        (scaled < 0) == (negative && magnitude != 0));
        }
    }
}

static void decimals_print_and_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct decimal value = next_price();
        value.coefficient %= INT64_C(1000000000000000000);
        char text[DECIMAL_TEXT_BYTES];
        struct decimal again;
        assert_int_equal(decimal_parse(decimal_format(value, text), &again, NULL), 0);
        assert_int_equal(decimal_compare(value, again), 0);
        struct decimal normal = decimal_normal(value);
        assert_true(normal.coefficient == again.coefficient && normal.scale == again.scale);
        /* The order is that of the exact values. */
        struct decimal other = next_price();
        struct big left = big_shift(big_of(magnitude_of(value.coefficient)), 18 - value.scale);
        struct big right = big_shift(big_of(magnitude_of(other.coefficient)), 18 - other.scale);
        int order = big_compare(&left, &right);
        if (decimal_is_negative(value) == decimal_is_negative(other)) {
            assert_int_equal(decimal_compare(value, other),
                             decimal_is_negative(value) ? -order : order);
        }
    }
}

static void amounts_print_and_read_back(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        nusd amount = (nusd)next_wide(127);
        amount = next_u64() % 2 == 0 ? amount : -amount;
        char text[MONEY_TEXT_BYTES];
        nusd again = 0;
        assert_int_equal(money_parse(money_exact(amount, text), &again, NULL), 0);
        assert_true(again == amount);
    }
}

int main(void)
{
    const char *wanted = getenv("BERTH_SEED");
    seed = 20261122;
    if (wanted != NULL && str_to_u64(wanted, &seed) < 0) {
        (void)fprintf(stderr, "BERTH_SEED=\"%s\" is not a number\n", wanted);
        return 1;
    }
    (void)printf("seed %llu\n", (unsigned long long)seed);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(money_of_agrees_with_schoolbook),
        cmocka_unit_test(money_scale_agrees_with_schoolbook),
        cmocka_unit_test(decimal_scaled_agrees_with_schoolbook),
        cmocka_unit_test(decimals_print_and_read_back),
        cmocka_unit_test(amounts_print_and_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
