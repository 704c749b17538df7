/*
 * formula_internal: what the files of formulas share: exact fractions, and units.
 *
 * A fraction is reduced and has a positive denominator; its parts are never INT128_MIN. An
 * operation either gives the exact result or ERR_OVERFLOW; it never rounds.
 *
 * A unit is a product of powers of words, kept as they were written, so that a message can show it;
 * words become base dimensions and a factor only when two units are compared. Pure; any thread.
 */
#pragma once

#include "model/formula.h"

/* In one formula, with the units of the names it uses. */
#define UNIT_WORDS        48
#define UNIT_EXPONENT_MAX 99
#define UNIT_TEXT_BYTES   256

int fraction_make(__int128 numerator, __int128 denominator, struct formula_value *ret_value);
int fraction_add(struct formula_value a, struct formula_value b, struct formula_value *ret_value);
int fraction_multiply(struct formula_value a, struct formula_value b,
                      struct formula_value *ret_value);
/* ERR_INVALID when b is 0. */
int fraction_divide(struct formula_value a, struct formula_value b,
                    struct formula_value *ret_value);
/* Below, equal or above 0 as a is below, equal or above b; cannot overflow. */
int fraction_compare(struct formula_value a, struct formula_value b);
/* For messages: the whole part and up to six decimals, "0.333333..." when there are more. */
#define FRACTION_TEXT_BYTES 64
const char *fraction_text(struct formula_value value, char out[FRACTION_TEXT_BYTES]);

/* The words met so far; a unit's exponents are parallel to them. */
struct unit_words {
    char text[UNIT_WORDS][LIMIT_NAME_BYTES];
    int count;
};

struct unit {
    bool unknown; /* that of a name whose unit is not known yet */
    bool any;     /* that of a plain 0 */
    int8_t exponent[UNIT_WORDS];
};

/* Reads a whole unit text. The error says what is wrong with it, without the column. */
int unit_read(struct unit_words *words, const char *text, struct unit *ret_unit, struct error *err);
/* a * b^power, power 1 or -1. */
int unit_multiply(const struct unit *a, const struct unit *b, int power, struct unit *ret_unit,
                  struct error *err);
/* What a quantity in unit `from` is multiplied with to be one in `to`: ERR_INVALID when they are of
 * different dimensions. */
int unit_factor(const struct unit_words *words, const struct unit *from, const struct unit *to,
                struct formula_value *ret_factor);
/* "W*h/vCPU"; "1" for a plain number, "?" for an unknown one. */
const char *unit_text(const struct unit_words *words, const struct unit *unit,
                      char out[UNIT_TEXT_BYTES]);
/* True for a word that has a meaning of its own: kg, kWh, USD ... */
bool unit_word_is_known(const char *word);
/* The known word nearest to `word`, or NULL. */
const char *unit_word_near(const char *word);
/* True for a letter that may begin a word, and for one that may go on. */
bool unit_letter(char letter);
bool unit_digit(char letter);
