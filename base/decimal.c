#include "base/decimal.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

typedef unsigned __int128 u128;

/* A product of up to 256 bits, most significant half first in comparisons. */
struct u256 {
    u128 high;
    u128 low;
};

#define COEFFICIENT_MAX INT64_C(999999999999999999) /* 18 digits */
#define NUSD_MAX        ((u128)(~(u128)0 >> 1))
#define EXPONENT_MAX    9999

/* The pieces of a number's text, before they become a decimal. */
struct digits {
    u128 value; /* the digits, up to about 2^127 */
    int scale;  /* digits behind the point, after the exponent; may be negative */
    bool negative;
    bool overflow; /* more digits than fit */
};

static bool digits_read(const char *text, struct digits *ret_digits);
static bool exponent_read(const char **at, int *ret_exponent);
static u128 power_of_ten(int exponent);
static struct u256 multiply(u128 a, u128 b);
static int divide_rounded(struct u256 numerator, u128 denominator, bool negative, nusd *ret_amount);
static u128 divide_256(struct u256 numerator, u128 denominator, u128 *ret_remainder);
static u128 magnitude_of(nusd amount);
static char *digits_write(char *end, u128 value, int digits_min, bool grouped);

int decimal_parse(const char *text, struct decimal *ret_value, struct error *err)
{
    struct digits digits;
    if (text == NULL || !digits_read(text, &digits)) {
        return error_set(err, ERR_INVALID, 0, "\"%.64s\" is not a number; write 12, 0.09 or 2e-7",
                         text == NULL ? "" : text);
    }
    /* Zeros that say nothing give way before a number is called too long. */
    while (digits.scale > DECIMAL_SCALE_MAX && digits.value % 10 == 0 && !digits.overflow) {
        digits.value /= 10;
        digits.scale = digits.value == 0 ? 0 : digits.scale - 1;
    }
    while (digits.scale > 0 && digits.value > COEFFICIENT_MAX && digits.value % 10 == 0) {
        digits.value /= 10;
        digits.scale--;
    }
    while (digits.scale < 0 && digits.value <= COEFFICIENT_MAX) {
        digits.value *= 10;
        digits.scale = digits.value == 0 ? 0 : digits.scale + 1;
    }
    if (digits.overflow || digits.value > COEFFICIENT_MAX || digits.scale > DECIMAL_SCALE_MAX ||
        digits.scale < 0) {
        return error_set(err, ERR_OVERFLOW, 0,
                         "\"%.64s\" has more than 18 digits; prices and quantities have at most 18",
                         text);
    }
    int64_t coefficient = (int64_t)digits.value;
    *ret_value = (struct decimal){digits.negative ? -coefficient : coefficient, digits.scale};
    return 0;
}

const char *decimal_format(struct decimal value, char out[DECIMAL_TEXT_BYTES])
{
    value = decimal_normal(value);
    BERTH_ASSERT(value.scale >= 0 && value.scale <= DECIMAL_SCALE_MAX, "scale %d", value.scale);
    u128 magnitude = magnitude_of(value.coefficient);
    u128 unit = power_of_ten(value.scale);
    char text[DECIMAL_TEXT_BYTES];
    char *end = text + sizeof(text) - 1;
    *end = '\0';
    if (value.scale > 0) {
        end = digits_write(end, magnitude % unit, value.scale, false);
        *--end = '.';
    }
    end = digits_write(end, magnitude / unit, 1, false);
    if (value.coefficient < 0) {
        *--end = '-';
    }
    memcpy(out, end, strlen(end) + 1);
    return out;
}

int decimal_compare(struct decimal a, struct decimal b)
{
    nusd left = a.coefficient;
    nusd right = b.coefficient;
    if (a.scale < b.scale) {
        left *= (nusd)power_of_ten(b.scale - a.scale);
    } else {
        right *= (nusd)power_of_ten(a.scale - b.scale);
    }
    return left < right ? -1 : left > right ? 1 : 0;
}

bool decimal_is_negative(struct decimal value)
{
    return value.coefficient < 0;
}

struct decimal decimal_normal(struct decimal value)
{
    while (value.scale > 0 && value.coefficient % 10 == 0) {
        value.coefficient /= 10;
        value.scale--;
    }
    return value;
}

int decimal_scaled(struct decimal value, int digits, int64_t *ret_value)
{
    int64_t exponent = (int64_t)digits - value.scale;
    u128 magnitude = magnitude_of(value.coefficient);
    bool negative = value.coefficient < 0;
    nusd scaled;
    if (magnitude == 0 || exponent <= -20) {
        scaled = 0; /* |coefficient| < 10^19, so a 20-digit shift leaves less than a half */
    } else if (exponent > 19) {
        return ERR_OVERFLOW;
    } else {
        struct u256 product = multiply(magnitude, power_of_ten(exponent > 0 ? (int)exponent : 0));
        u128 divisor = power_of_ten(exponent < 0 ? (int)-exponent : 0);
        int rc = divide_rounded(product, divisor, negative, &scaled);
        if (rc < 0) {
            return rc;
        }
    }
    return money_to_i64(scaled, ret_value);
}

int money_of(struct decimal price, uint64_t per, u128 quantity, nusd *ret_amount)
{
    BERTH_ASSERT(per > 0, "a price per 0 units");
    BERTH_ASSERT(price.scale >= 0 && price.scale <= DECIMAL_SCALE_MAX, "scale %d", price.scale);
    /* coefficient x quantity x 10^(9 - scale) / per: the power of ten goes to the side where it is
     * whole. The numerator has at most 64 + 128 + 30 bits, the denominator 64 + 30. */
    int up = price.scale < 9 ? 9 - price.scale : 0;
    int down = price.scale > 9 ? price.scale - 9 : 0;
    u128 factor = magnitude_of(price.coefficient) * power_of_ten(up);
    u128 denominator = (u128)per * power_of_ten(down);
    return divide_rounded(multiply(factor, quantity), denominator, price.coefficient < 0,
                          ret_amount);
}

int money_scale(nusd amount, int64_t numerator, int64_t denominator, nusd *ret_amount)
{
    BERTH_ASSERT(denominator > 0, "denominator %" PRId64, denominator);
    if (numerator == denominator && magnitude_of(amount) <= NUSD_MAX) {
        *ret_amount = amount; /* a weight of 1, as most are */
        return 0;
    }
    bool negative = (amount < 0) != (numerator < 0);
    return divide_rounded(multiply(magnitude_of(amount), magnitude_of(numerator)),
                          (u128)denominator, negative, ret_amount);
}

const char *money_format(nusd amount, int decimals, char out[MONEY_TEXT_BYTES])
{
    BERTH_ASSERT(decimals >= 0 && decimals <= 9, "%d decimals", decimals);
    u128 unit = power_of_ten(decimals);
    nusd shown; /* in units of 10^-decimals dollars */
    int rc = divide_rounded((struct u256){0, magnitude_of(amount)}, power_of_ten(9 - decimals),
                            false, &shown);
    /* Only the one amount without a positive twin, at 9 decimals, comes back as an overflow. */
    u128 magnitude = rc == 0 ? (u128)shown : magnitude_of(amount);
    char text[MONEY_TEXT_BYTES];
    char *end = text + sizeof(text) - 1;
    *end = '\0';
    if (decimals > 0) {
        end = digits_write(end, magnitude % unit, decimals, false);
        *--end = '.';
    }
    end = digits_write(end, magnitude / unit, 1, true);
    *--end = '$';
    if (amount < 0 && magnitude != 0) {
        *--end = '-';
    }
    memcpy(out, end, strlen(end) + 1);
    return out;
}

const char *money_exact(nusd amount, char out[MONEY_TEXT_BYTES])
{
    u128 magnitude = magnitude_of(amount);
    u128 whole = magnitude / (u128)NUSD_PER_USD;
    u128 part = magnitude % (u128)NUSD_PER_USD;
    int digits = 9;
    while (digits > 0 && part % 10 == 0) {
        part /= 10;
        digits--;
    }
    char text[MONEY_TEXT_BYTES];
    char *end = text + sizeof(text) - 1;
    *end = '\0';
    if (digits > 0) {
        end = digits_write(end, part, digits, false);
        *--end = '.';
    }
    end = digits_write(end, whole, 1, false);
    if (amount < 0) {
        *--end = '-';
    }
    memcpy(out, end, strlen(end) + 1);
    return out;
}

int money_parse(const char *text, nusd *ret_amount, struct error *err)
{
    struct digits digits;
    if (text == NULL || !digits_read(text, &digits)) {
        return error_set(err, ERR_INVALID, 0, "\"%.64s\" is not an amount; write 12.50 or $12.50",
                         text == NULL ? "" : text);
    }
    while (digits.scale > 9 && digits.value % 10 == 0 && !digits.overflow) {
        digits.value /= 10;
        digits.scale = digits.value == 0 ? 9 : digits.scale - 1;
    }
    if (digits.scale > 9 && !digits.overflow) {
        return error_set(err, ERR_INVALID, 0,
                         "\"%.64s\" is finer than a nano-dollar; write at most 9 decimals", text);
    }
    while (digits.scale < 9 && digits.value <= NUSD_MAX / 10) {
        digits.value *= 10;
        digits.scale = digits.value == 0 ? 9 : digits.scale + 1;
    }
    if (digits.overflow || digits.scale != 9 || digits.value > NUSD_MAX) {
        return error_set(err, ERR_OVERFLOW, 0, "\"%.64s\" is more money than 127 bits hold", text);
    }
    nusd amount = (nusd)digits.value;
    *ret_amount = digits.negative ? -amount : amount;
    return 0;
}

int money_to_i64(nusd amount, int64_t *ret_value)
{
    if (amount < INT64_MIN || amount > INT64_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_value = (int64_t)amount;
    return 0;
}

/* [-][$]digits[.digits][e[+-]digits]; false when the text is anything else. */
static bool digits_read(const char *text, struct digits *ret_digits)
{
    struct digits digits = {0};
    const char *at = text;
    if (*at == '-') {
        digits.negative = true;
        at++;
    }
    if (*at == '$') {
        at++;
    }
    bool point = false;
    int before = 0;
    int behind = 0;
    for (;; at++) {
        if (*at == '.' && !point && before > 0) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9') {
            break;
        }
        before += point || before > 0 ? 0 : 1;
        /* A digit past those that fit counts only if it says something. */
        if (digits.value > NUSD_MAX / 10) {
            if (!point || *at != '0') {
                digits.overflow = true;
            }
            behind = point && behind == 0 ? 1 : behind;
            continue;
        }
        digits.value = digits.value * 10 + (unsigned int)(*at - '0');
        digits.scale += point ? 1 : 0;
        behind += point ? 1 : 0;
        if (digits.value == 0 && digits.scale > EXPONENT_MAX) {
            return false; /* thousands of zeros behind a point: no price was ever printed so */
        }
    }
    if (before == 0 || (point && behind == 0)) {
        return false;
    }
    int exponent = 0;
    if ((*at == 'e' || *at == 'E') && !exponent_read(&at, &exponent)) {
        return false;
    }
    digits.scale -= exponent;
    *ret_digits = digits;
    return *at == '\0';
}

static bool exponent_read(const char **at, int *ret_exponent)
{
    const char *c = *at + 1;
    bool negative = *c == '-';
    c += *c == '-' || *c == '+' ? 1 : 0;
    if (*c < '0' || *c > '9') {
        return false;
    }
    int exponent = 0;
    for (; *c >= '0' && *c <= '9'; c++) {
        exponent = exponent * 10 + (*c - '0');
        if (exponent > EXPONENT_MAX) {
            exponent = EXPONENT_MAX; /* any exponent this large is out of range all the same */
        }
    }
    *at = c;
    *ret_exponent = negative ? -exponent : exponent;
    return true;
}

static u128 power_of_ten(int exponent)
{
    BERTH_ASSERT(exponent >= 0 && exponent <= 38, "10^%d", exponent);
    static const uint64_t powers[] = {
        UINT64_C(1),
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    return exponent < 20 ? powers[exponent] : (u128)powers[19] * powers[exponent - 19];
}

static struct u256 multiply(u128 a, u128 b)
{
    if (((a | b) >> 64) == 0) {
        return (struct u256){.high = 0, .low = (u128)(uint64_t)a * (uint64_t)b};
    }
    uint64_t a_low = (uint64_t)a;
    uint64_t a_high = (uint64_t)(a >> 64);
    uint64_t b_low = (uint64_t)b;
    uint64_t b_high = (uint64_t)(b >> 64);
    u128 low = (u128)a_low * b_low;
    u128 middle1 = (u128)a_low * b_high;
    u128 middle2 = (u128)a_high * b_low;
    u128 high = (u128)a_high * b_high;
    u128 carry = (low >> 64) + (uint64_t)middle1 + (uint64_t)middle2;
    return (struct u256){
        .high = high + (middle1 >> 64) + (middle2 >> 64) + (carry >> 64),
        .low = (carry << 64) | (uint64_t)low,
    };
}

/* numerator / denominator, half to even, with the sign put back; the only rounding of money. */
static int divide_rounded(struct u256 numerator, u128 denominator, bool negative, nusd *ret_amount)
{
    if (numerator.high >= denominator) {
        return ERR_OVERFLOW; /* the quotient would need more than 128 bits */
    }
    u128 remainder;
    u128 quotient = divide_256(numerator, denominator, &remainder);
    u128 rest = denominator - remainder;
    if (remainder > rest || (remainder == rest && (quotient & 1) != 0)) {
        if (quotient == ~(u128)0) {
            return ERR_OVERFLOW;
        }
        quotient++;
    }
    if (quotient > NUSD_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_amount = negative ? -(nusd)quotient : (nusd)quotient;
    return 0;
}

/* For numerator.high < denominator < 2^127. Most products fit 128 bits, many 64, where the
 * compiler's own division serves; the rest go bit by bit, which is slow (128 steps) and plainly
 * right. */
static u128 divide_256(struct u256 numerator, u128 denominator, u128 *ret_remainder)
{
    if (numerator.high == 0 && ((numerator.low | denominator) >> 64) == 0) {
        *ret_remainder = (uint64_t)numerator.low % (uint64_t)denominator;
        return (uint64_t)numerator.low / (uint64_t)denominator;
    }
    if (numerator.high == 0) {
        u128 whole = numerator.low / denominator;
        *ret_remainder = numerator.low - whole * denominator; /* a second division takes longer */
        return whole;
    }
    BERTH_ASSERT(denominator <= NUSD_MAX, "a divisor of 128 bits");
    u128 remainder = numerator.high;
    u128 quotient = 0;
    for (int bit = 127; bit >= 0; bit--) {
        remainder = (remainder << 1) | ((numerator.low >> bit) & 1);
        quotient <<= 1;
        if (remainder >= denominator) {
            remainder -= denominator;
            quotient |= 1;
        }
    }
    *ret_remainder = remainder;
    return quotient;
}

static u128 magnitude_of(nusd amount)
{
    return amount < 0 ? 0 - (u128)amount : (u128)amount;
}

/* Writes value's digits so that they end before `end`; returns where they begin. */
static char *digits_write(char *end, u128 value, int digits_min, bool grouped)
{
    int count = 0;
    while (value != 0 || count < digits_min) {
        if (grouped && count > 0 && count % 3 == 0) {
            *--end = ',';
        }
        *--end = (char)('0' + (int)(value % 10));
        value /= 10;
        count++;
    }
    return end;
}
