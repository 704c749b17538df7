/*
 * formula: the text of a custom term as a checked tree, evaluated in exact arithmetic.
 *
 *     formula = sum;  sum = product {("+" | "-") product};  product = unary {("*" | "/") unary}
 *     unary = ["-"] atom;  atom = number [unit] | name | function "(" sum {"," sum} ")" | "(" sum
 * ")"
 *
 * Names are dotted: site.<measure>, workload.<measure>, and the built-in ones that
 * formula_builtins lists with their units (vcpu_hours, gib_hours, gib_months, calls, gib_in,
 * gib_out, device_cpu_s ...; per month). Functions: min, max, if(condition, a, b) with comparisons
 * inside the condition only. Units are products of powers of base words (USD, h, s, kWh, W, g, kg,
 * GiB, GB, call, vCPU, month, replica and any word that the world's measures introduce); SI factors
 * between related words (kg = 1000 g, kWh = 1000 W h, h = 3600 s) are applied exactly. Adding or
 * comparing different units, an unknown name, a result that is not USD per month: each refused when
 * the formula is read, with the column, the two units and the rule.
 *
 * Values are exact fractions of 128-bit integers. Division by zero, overflow and a negative result
 * are errors of the evaluation (ERR_INVALID, ERR_OVERFLOW), with the names and values involved;
 * never a wrong number. Size: LIMIT_FORMULA_BYTES, LIMIT_FORMULA_NODES, depth 32. The tree lives in
 * the arena. Any thread.
 */
#pragma once

#include <stdint.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/limits.h"

struct formula;

/* What names mean when a formula is read: their units. */
struct formula_name {
    char name[LIMIT_NAME_BYTES * 2]; /* "site.carbon", "vcpu_hours" */
    char unit[LIMIT_NAME_BYTES];     /* "g/kWh" */
};

/* Exact fraction; denominator > 0. */
struct formula_value {
    __int128 numerator;
    __int128 denominator;
};

/* `unit`: what the result has to be, "USD" for a custom term (per month is understood). */
int formula_parse(const char *text, const struct formula_name *names, int name_count,
                  const char *unit, struct arena *arena, struct formula **ret_formula,
                  struct error *err) WARN_UNUSED;
/* Values parallel to the names of formula_parse. */
int formula_eval(const struct formula *formula, const struct formula_value *values,
                 struct formula_value *ret_value, struct error *err) WARN_UNUSED;
/* True when the formula uses that name. */
bool formula_uses(const struct formula *formula, const char *name);
/* Checks a unit's spelling: "g/kWh", "USD/month", "1". */
int formula_unit_check(const char *unit, struct error *err) WARN_UNUSED;

struct formula_value formula_value_of(struct decimal value);
/* To nano-dollars, half to even; ERR_OVERFLOW. */
int formula_value_to_nusd(struct formula_value value, nusd *ret_amount,
                          struct error *err) WARN_UNUSED;

/* The built-in names, the same for every world; ends with an empty name. */
extern const struct formula_name formula_builtins[];
