/*
 * Any text as a formula and as a unit: refused with a sentence, or read; and what is read has one
 * value however often it is evaluated, is never negative and becomes an amount or an error. The
 * first byte chooses the values, so that zeros, huge ones and missing ones are met.
 */
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include "model/formula.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEASURES   4
#define NAME_COUNT (BUILTIN_COUNT + MEASURES)

static const struct formula_name measures[MEASURES] = {
    {"site.carbon", "g/kWh"},
    {"site.price", "USD/t"},
    {"workload.watts", "W/vCPU"},
    {"workload.new", FORMULA_UNIT_UNKNOWN},
};

static void check_value(const struct formula *formula, const struct formula_value *values)
{
    struct formula_value first;
    struct formula_value second;
    struct error err = {0};
    nusd amount;
    int rc = formula_eval(formula, values, &first, &err);
    BERTH_ASSERT((rc < 0) == (err.text[0] != '\0'), "a refusal without a sentence");
    BERTH_ASSERT(formula_eval(formula, values, &second, NULL) == rc, "another outcome");
    if (rc < 0) {
        return;
    }
    BERTH_ASSERT(first.denominator > 0 && first.numerator >= 0, "not a clean value");
    BERTH_ASSERT(first.numerator == second.numerator && first.denominator == second.denominator,
                 "another value");
    if (formula_value_to_nusd(first, &amount, NULL) == 0) {
        BERTH_ASSERT(amount >= 0, "a negative amount");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[LIMIT_FORMULA_BYTES + 16];
    struct formula_name names[NAME_COUNT];
    struct formula_value values[NAME_COUNT];
    struct formula *formula = NULL;
    struct error err = {0};
    struct arena arena;
    char name[LIMIT_NAME_BYTES * 2];
    int seed = size > 0 ? data[0] : 0;
    size_t bytes = size > 0 ? size - 1 : 0;
    if (bytes >= sizeof(text)) {
        return 0;
    }
    if (bytes > 0) {
        memcpy(text, data + 1, bytes);
    }
    text[bytes] = '\0';
    memcpy(names, formula_builtins, sizeof(names[0]) * BUILTIN_COUNT);
    memcpy(names + BUILTIN_COUNT, measures, sizeof(measures));
    for (int i = 0; i < NAME_COUNT; i++) {
        int kind = (seed + i) % 5;
        values[i] = kind == 0   ? (struct formula_value){0, 1}
                    : kind == 1 ? (struct formula_value){(__int128)INT64_MAX << (seed % 64), 3}
                    : kind == 2 ? (struct formula_value){-seed, seed}
                                : formula_value_ratio(seed + i, 7);
    }
    arena_init(&arena, (size_t)1 << 20);
    int rc = formula_parse(text, names, NAME_COUNT, "USD", &arena, &formula, &err);
    BERTH_ASSERT((rc < 0) == (err.text[0] != '\0'), "a refusal without a sentence");
    if (rc == 0) {
        check_value(formula, values);
    }
    for (int i = 0; formula_name_at(text, i, name); i++) {
        BERTH_ASSERT(name[0] != '\0', "an empty name");
        BERTH_ASSERT(rc < 0 || formula_uses(formula, name), "%s is not used", name);
    }
    err = (struct error){0};
    rc = formula_unit_check(text, &err);
    BERTH_ASSERT((rc < 0) == (err.text[0] != '\0'), "a refusal without a sentence");
    arena_done(&arena);
    return 0;
}
