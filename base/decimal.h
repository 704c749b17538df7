/*
 * decimal, money: exact prices and amounts.
 *
 * A decimal is coefficient * 10^-scale, scale 0..18: what a price list prints, kept as printed
 * ("0.0000002"). A money amount is an integer of nano-dollars in 128 bits. A price becomes an
 * amount in one place, money_of, which rounds once, half to even. Doubles do not occur. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct decimal {
    int64_t coefficient;
    int scale;
};

#define DECIMAL_SCALE_MAX  18
#define DECIMAL_TEXT_BYTES 32

/* Accepts [-]digits[.digits], optional exponent (1e-7), an optional leading '$'. No NaN, no
 * infinities, no blanks. ERR_OVERFLOW past 18 significant digits or scale 18. */
int decimal_parse(const char *text, struct decimal *ret_value, struct error *err) WARN_UNUSED;
const char *decimal_format(struct decimal value, char out[DECIMAL_TEXT_BYTES]); /* shortest exact */
int decimal_compare(struct decimal a, struct decimal b);
bool decimal_is_negative(struct decimal value);
struct decimal decimal_normal(struct decimal value); /* no trailing zeros in the coefficient */
/* value * 10^digits rounded half to even to an integer; ERR_OVERFLOW when it does not fit. */
int decimal_scaled(struct decimal value, int digits, int64_t *ret_value) WARN_UNUSED;

typedef __int128 nusd; /* nano-dollars, 1e-9 USD */

#define NUSD_PER_USD     ((nusd)1000000000)
#define MONEY_TEXT_BYTES 64

/* price per `per` units, times `quantity` units, in nano-dollars, rounded once half to even.
 * E.g. $0.09 per GiB and bytes: per = 1 << 30. quantity >= 0, per > 0. Exact: the product is taken
 * in 256 bits. ERR_OVERFLOW when the result exceeds 127 bits. */
int money_of(struct decimal price, uint64_t per, unsigned __int128 quantity,
             nusd *ret_amount) WARN_UNUSED;
/* amount * numerator / denominator, rounded half to even, product in 256 bits; denominator > 0. */
int money_scale(nusd amount, int64_t numerator, int64_t denominator, nusd *ret_amount) WARN_UNUSED;

/* "$1,234.56": decimals digits (0..9), rounded half to even for display only; "-$0.10". */
const char *money_format(nusd amount, int decimals, char out[MONEY_TEXT_BYTES]);
/* Exact decimal dollars without sign or separators, "1234.567890000" cut of trailing zeros. */
const char *money_exact(nusd amount, char out[MONEY_TEXT_BYTES]);
int money_parse(const char *text, nusd *ret_amount, struct error *err) WARN_UNUSED;

/* nusd clamped to int64 (for the solver and the wire): ERR_OVERFLOW past +-9.2 billion dollars. */
int money_to_i64(nusd amount, int64_t *ret_value) WARN_UNUSED;
