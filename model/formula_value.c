/* Exact fractions of 128-bit integers, and their way to and from decimals and dollars. */
#include <string.h>

#include "base/str.h"
#include "model/formula_internal.h"

typedef unsigned __int128 u128;

#define INT128_MAX ((__int128)(~(u128)0 >> 1))
#define DECIMALS   6

static u128 magnitude(__int128 value);
static u128 common_divisor(u128 a, u128 b);
static u128 scale_up(u128 rest, unsigned factor, u128 denominator, u128 *ret_rest);

struct formula_value formula_value_of(struct decimal value)
{
    __int128 power = 1;
    for (int i = 0; i < value.scale; i++) {
        power *= 10;
    }
    struct formula_value result = {0, 1};
    int rc = fraction_make(value.coefficient, power, &result);
    BERTH_ASSERT(rc == 0, "a decimal has at most 18 decimals");
    return result;
}

struct formula_value formula_value_ratio(int64_t numerator, int64_t denominator)
{
    struct formula_value result = {0, 1};
    int rc = fraction_make(numerator, denominator, &result);
    BERTH_ASSERT(rc == 0 && denominator > 0, "a ratio has a positive denominator");
    return result;
}

int formula_value_to_nusd(struct formula_value value, nusd *ret_amount, struct error *err)
{
    struct formula_value clean;
    if (fraction_make(value.numerator, value.denominator, &clean) < 0) {
        return error_set(err, ERR_INVALID, 0, "there is no amount: its denominator is 0");
    }
    u128 denominator = (u128)clean.denominator;
    u128 size = magnitude(clean.numerator);
    u128 rest;
    u128 below = scale_up(size % denominator, (unsigned)NUSD_PER_USD, denominator, &rest);
    u128 amount;
    u128 half = denominator - rest;
    if (__builtin_mul_overflow(size / denominator, (u128)NUSD_PER_USD, &amount) ||
        __builtin_add_overflow(amount, below, &amount) || amount >= (u128)INT128_MAX) {
        return error_set(err, ERR_OVERFLOW, 0,
                         "the amount is larger than 127 bits of nano-dollars");
    }
    if (rest > half || (rest == half && (amount & 1) == 1)) {
        amount++;
    }
    *ret_amount = clean.numerator < 0 ? -(nusd)amount : (nusd)amount;
    return 0;
}

int fraction_make(__int128 numerator, __int128 denominator, struct formula_value *ret_value)
{
    if (denominator == 0) {
        return ERR_INVALID;
    }
    u128 above = magnitude(numerator);
    u128 below = magnitude(denominator);
    u128 divisor = common_divisor(above, below);
    above /= divisor;
    below /= divisor;
    if (above > (u128)INT128_MAX || below > (u128)INT128_MAX) {
        return ERR_OVERFLOW;
    }
    bool negative = (numerator < 0) != (denominator < 0);
    *ret_value =
        (struct formula_value){negative ? -(__int128)above : (__int128)above, (__int128)below};
    return 0;
}

int fraction_add(struct formula_value a, struct formula_value b, struct formula_value *ret_value)
{
    __int128 divisor = (__int128)common_divisor((u128)a.denominator, (u128)b.denominator);
    __int128 left;
    __int128 right;
    __int128 sum;
    __int128 denominator;
    if (__builtin_mul_overflow(a.numerator, b.denominator / divisor, &left) ||
        __builtin_mul_overflow(b.numerator, a.denominator / divisor, &right) ||
        __builtin_add_overflow(left, right, &sum) ||
        __builtin_mul_overflow(a.denominator / divisor, b.denominator, &denominator)) {
        return ERR_OVERFLOW;
    }
    return fraction_make(sum, denominator, ret_value);
}

/* Divided crosswise first, so that what fits in the end does not overflow on the way. */
int fraction_multiply(struct formula_value a, struct formula_value b,
                      struct formula_value *ret_value)
{
    __int128 one = (__int128)common_divisor(magnitude(a.numerator), (u128)b.denominator);
    __int128 two = (__int128)common_divisor(magnitude(b.numerator), (u128)a.denominator);
    struct formula_value result;
    if (__builtin_mul_overflow(a.numerator / one, b.numerator / two, &result.numerator) ||
        __builtin_mul_overflow(a.denominator / two, b.denominator / one, &result.denominator) ||
        result.numerator < -INT128_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_value = result;
    return 0;
}

int fraction_divide(struct formula_value a, struct formula_value b, struct formula_value *ret_value)
{
    if (b.numerator == 0) {
        return ERR_INVALID;
    }
    bool negative = b.numerator < 0;
    struct formula_value inverse = {negative ? -b.denominator : b.denominator,
                                    negative ? -b.numerator : b.numerator};
    return fraction_multiply(a, inverse, ret_value);
}

/* Whole parts first, then the inverse of what is left, as in a continued fraction: the numbers only
 * get smaller. */
int fraction_compare(struct formula_value a, struct formula_value b)
{
    bool a_negative = a.numerator < 0;
    bool b_negative = b.numerator < 0;
    if (a_negative != b_negative) {
        return a_negative ? -1 : 1;
    }
    int sign = a_negative ? -1 : 1;
    u128 a_above = magnitude(a.numerator);
    u128 b_above = magnitude(b.numerator);
    u128 a_below = (u128)a.denominator;
    u128 b_below = (u128)b.denominator;
    for (;;) {
        u128 a_whole = a_above / a_below;
        u128 b_whole = b_above / b_below;
        u128 a_rest = a_above % a_below;
        u128 b_rest = b_above % b_below;
        if (a_whole != b_whole) {
            return a_whole < b_whole ? -sign : sign;
        }
        if (a_rest == 0 || b_rest == 0) {
            return a_rest == b_rest ? 0 : a_rest == 0 ? -sign : sign;
        }
        /* rest / below is compared by its inverse, which turns the order round. */
        a_above = a_below;
        a_below = a_rest;
        b_above = b_below;
        b_below = b_rest;
        sign = -sign;
    }
}

const char *fraction_text(struct formula_value value, char out[FRACTION_TEXT_BYTES])
{
    char digits[FRACTION_TEXT_BYTES];
    char *at = digits + sizeof(digits) - 1;
    *at = '\0';
    if (value.denominator <= 0) {
        str_format(out, FRACTION_TEXT_BYTES, "no value");
        return out;
    }
    u128 denominator = (u128)value.denominator;
    u128 whole = magnitude(value.numerator) / denominator;
    u128 rest = magnitude(value.numerator) % denominator;
    do {
        *--at = (char)('0' + (int)(whole % 10));
        whole /= 10;
    } while (whole > 0);
    char decimals[DECIMALS + 1] = "";
    int count = 0;
    while (rest != 0 && count < DECIMALS) {
        decimals[count++] = (char)('0' + (int)scale_up(rest, 10, denominator, &rest));
    }
    str_format(out, FRACTION_TEXT_BYTES, "%s%s%s%s%s", value.numerator < 0 ? "-" : "", at,
               count > 0 ? "." : "", decimals, rest != 0 ? "..." : "");
    return out;
}

static u128 magnitude(__int128 value)
{
    return value < 0 ? -(u128)value : (u128)value;
}

static u128 common_divisor(u128 a, u128 b)
{
    while (b != 0) {
        if ((a >> 64) == 0 && (b >> 64) == 0) {
            uint64_t small_a = (uint64_t)a;
            uint64_t small_b = (uint64_t)b;
            while (small_b != 0) {
                uint64_t rest = small_a % small_b;
                small_a = small_b;
                small_b = rest;
            }
            return small_a;
        }
        u128 rest = a % b;
        a = b;
        b = rest;
    }
    return a == 0 ? 1 : a;
}

/* rest * factor / denominator for rest < denominator < 2^127, bit by bit: the product itself may
 * not fit. */
static u128 scale_up(u128 rest, unsigned factor, u128 denominator, u128 *ret_rest)
{
    u128 quotient = 0;
    u128 left = 0;
    for (int bit = 31; bit >= 0; bit--) {
        quotient *= 2;
        left *= 2;
        if (left >= denominator) {
            left -= denominator;
            quotient++;
        }
        if ((factor >> bit & 1) == 1) {
            left += rest;
            if (left >= denominator) {
                left -= denominator;
                quotient++;
            }
        }
    }
    *ret_rest = left;
    return quotient;
}
