/*
 * formula: the text of a custom term as a checked tree, evaluated in exact arithmetic.
 *
 *     formula = sum                    sum   = product {("+" | "-") product}
 *     product = unary {("*" | "/") unary}    unary = ["-"] atom
 *     atom = number [unit] | name | function "(" sum {"," sum} ")" | "(" sum ")"
 *
 * Names: the built-in ones that formula_builtins lists (per month), and the measures of the world
 * and the apps as "site.<measure>" and "workload.<measure>". Functions: min and max of two or more,
 * and if(condition, a, b), whose condition is `sum < sum` (also <=, >, >=, ==, !=); only the branch
 * that is taken is evaluated. A unit binds to its number: `x / 2 USD/h` divides by (2 USD/h).
 *
 * Units are products of powers of words: "g/kWh", "USD/vCPU/h", "W*h", "kg/m^2", "1". Related words
 * (kg and g, kWh and W and h, GiB and GB, month = 730 h) are converted exactly where they meet; any
 * other word is a unit of its own. Adding or comparing different units, an unknown name, a result
 * in another unit than asked for: each refused when the formula is read, with the column, the two
 * units and the rule. A plain 0 goes with every unit.
 *
 * Values are exact fractions of 128-bit integers. Division by zero, overflow, a name without a
 * value and a negative result are errors of the evaluation (ERR_INVALID, ERR_OVERFLOW,
 * ERR_NOT_FOUND), with the names and values involved; never a wrong number. Size:
 * LIMIT_FORMULA_BYTES, LIMIT_FORMULA_NODES, depth 32. The tree lives in the arena. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/decimal.h"
#include "base/error.h"
#include "base/limits.h"

struct formula;

/* The unit of a name whose unit is not known yet, as that of a workload's measure while only the
 * world is read. What it touches is taken as right; such a formula is checked but not evaluated. */
#define FORMULA_UNIT_UNKNOWN "?"

/* What names mean when a formula is read: their units. */
struct formula_name {
    char name[LIMIT_NAME_BYTES * 2]; /* "site.carbon", "vcpu_hours" */
    char unit[LIMIT_NAME_BYTES];     /* "g/kWh" */
};

/* Exact fraction; denominator > 0; 0: there is no value. */
struct formula_value {
    __int128 numerator;
    __int128 denominator;
};

/* `names`: every name there is, the built-in ones as well. `unit`: what the result has to be, "USD"
 * for a custom term: an amount per month. A result in that unit per time ("USD/h") is taken for a
 * whole month. */
int formula_parse(const char *text, const struct formula_name *names, int name_count,
                  const char *unit, struct arena *arena, struct formula **ret_formula,
                  struct error *err) WARN_UNUSED;
/* Values parallel to the names of formula_parse. */
int formula_eval(const struct formula *formula, const struct formula_value *values,
                 struct formula_value *ret_value, struct error *err) WARN_UNUSED;
/* True when the formula uses that name. */
bool formula_uses(const struct formula *formula, const char *name);
/* The index-th name that a text uses, each once, in the order of the text; false when there are
 * not so many. For tools that gather names before they read; any text is accepted. */
bool formula_name_at(const char *text, int index, char out[LIMIT_NAME_BYTES * 2]);

/* Checks a unit's spelling: "g/kWh", "USD/month", "1". */
int formula_unit_check(const char *unit, struct error *err) WARN_UNUSED;

struct formula_value formula_value_of(struct decimal value);
struct formula_value formula_value_ratio(int64_t numerator,
                                         int64_t denominator); /* denominator > 0 */
/* To nano-dollars, half to even; ERR_OVERFLOW. */
int formula_value_to_nusd(struct formula_value value, nusd *ret_amount,
                          struct error *err) WARN_UNUSED;

/* The built-in names, the same for every world; ends with an empty name:
 *   vcpu_hours          vCPU*h      reserved, all replicas (with the site's overhead: no)
 *   gib_hours           GiB*h       reserved memory, all replicas
 *   storage_gib_months  GiB*month   bytes stored there, with copies, without duplicates
 *   calls               call        served
 *   gib_in, gib_out     GiB         of requests to it and responses from it
 *   device_cpu_s        s           CPU seconds spent on a client site; 0 elsewhere
 *   hit_ratio           1           of its cache; 0 without one
 *   replicas            replica     */
enum formula_builtin {
    BUILTIN_VCPU_HOURS,
    BUILTIN_GIB_HOURS,
    BUILTIN_STORAGE_GIB_MONTHS,
    BUILTIN_CALLS,
    BUILTIN_GIB_IN,
    BUILTIN_GIB_OUT,
    BUILTIN_DEVICE_CPU_S,
    BUILTIN_HIT_RATIO,
    BUILTIN_REPLICAS,
    BUILTIN_COUNT
};
extern const struct formula_name formula_builtins[BUILTIN_COUNT + 1];
