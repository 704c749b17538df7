/* Formulas: what parses, in which units, to which exact value; what is refused, where and why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/formula.h"

#define NAMES_MAX 32

/* Names with units and values; the built-in ones first, at 0. */
struct table {
    struct arena arena;
    struct formula_name names[NAMES_MAX];
    struct formula_value values[NAMES_MAX];
    int count;
    struct error err;
};

static void table_put(struct table *table, const char *name, const char *unit, const char *value)
{
    struct decimal decimal;
    int at = 0;
    while (at < table->count && !str_equal(table->names[at].name, name)) {
        at++;
    }
    assert_true(at < NAMES_MAX);
    table->count += at == table->count;
    str_format(table->names[at].name, sizeof(table->names[at].name), "%s", name);
    if (unit != NULL) {
        str_format(table->names[at].unit, sizeof(table->names[at].unit), "%s", unit);
    }
    assert_int_equal(decimal_parse(value, &decimal, NULL), 0);
    table->values[at] = formula_value_of(decimal);
}

static void table_begin(struct table *table)
{
    memset(table, 0, sizeof(*table));
    arena_init(&table->arena, (size_t)1 << 20);
    for (int i = 0; i < BUILTIN_COUNT; i++) {
        table_put(table, formula_builtins[i].name, formula_builtins[i].unit, "0");
    }
    table_put(table, "site.carbon", "g/kWh", "440");
    table_put(table, "site.carbon_price", "USD/t", "80");
    table_put(table, "site.fee", "USD/month", "12.5");
    table_put(table, "site.zero", "1", "0");
    table_put(table, "site.three", "1", "3");
    table_put(table, "workload.watts_per_vcpu", "W/vCPU", "4.5");
    table_put(table, "workload.licence", "USD/seat", "30");
    table_put(table, "workload.seats", "seat", "7");
}

static struct formula *parse(struct table *table, const char *text, const char *unit)
{
    struct formula *formula = NULL;
    table->err = (struct error){0};
    int rc =
        formula_parse(text, table->names, table->count, unit, &table->arena, &formula, &table->err);
    assert_true((rc == 0) == (formula != NULL));
    assert_true((rc < 0) == (table->err.text[0] != '\0'));
    return formula;
}

/* The text's value is exactly numerator / denominator of `unit`. */
static void expect(struct table *table, const char *text, const char *unit, int64_t numerator,
                   int64_t denominator)
{
    struct formula *formula = parse(table, text, unit);
    struct formula_value value;
    struct formula_value wanted = formula_value_ratio(numerator, denominator);
    if (formula == NULL || formula_eval(formula, table->values, &value, &table->err) < 0) {
        fail_msg("%s: %s", text, table->err.text);
        return;
    }
    if (value.numerator != wanted.numerator || value.denominator != wanted.denominator) {
        fail_msg("%s is %lld/%lld", text, (long long)value.numerator, (long long)value.denominator);
    }
}

static void refuse(struct table *table, const char *text, int code, const char *part)
{
    struct formula *formula = parse(table, text, "USD");
    assert_null(formula);
    if (table->err.code != code || strstr(table->err.text, part) == NULL) {
        fail_msg("\"%s\" was refused with %s: %s", text, error_name(table->err.code),
                 table->err.text);
    }
}

static void fails(struct table *table, const char *text, const char *unit, int code,
                  const char *part)
{
    struct formula_value value = {7, 7};
    struct formula *formula = parse(table, text, unit);
    if (formula == NULL) {
        fail_msg("%s: %s", text, table->err.text);
    }
    assert_int_equal(formula_eval(formula, table->values, &value, &table->err), code);
    if (strstr(table->err.text, part) == NULL) {
        fail_msg("\"%s\" failed with: %s", text, table->err.text);
    }
    assert_true(value.numerator == 7 && value.denominator == 7);
}

static void test_arithmetic(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    expect(&table, "1 + 2 * 3", "1", 7, 1);
    expect(&table, "(1 + 2) * 3", "1", 9, 1);
    expect(&table, "10 - 4 - 3", "1", 3, 1);
    expect(&table, "100 / 10 / 4", "1", 5, 2);
    expect(&table, "1/3+1/6", "1", 1, 2);
    expect(&table, "0.1 + 0.2", "1", 3, 10);
    expect(&table, "1e3 + 2.5e-1", "1", 100025, 100);
    expect(&table, "-2 + 5", "1", 3, 1);
    expect(&table, "2 * -3 + 7", "1", 1, 1);
    expect(&table, " \t2\n*\n3 ", "1", 6, 1);
    expect(&table, "min(3, 1, 2) + max(4, 6, 5)", "1", 7, 1);
    expect(&table, "max(0, 1 - 2)", "1", 0, 1);
    expect(&table, "if(1 < 2, 10, 20)", "1", 10, 1);
    expect(&table, "if(2 <= 1, 10, 20)", "1", 20, 1);
    expect(&table, "if(1/3 == 2/6, 1, 2) + if(1 != 1, 1, 2)", "1", 3, 1);
    expect(&table, "if(2 >= 2, 1, 2) + if(1 > 2, 1, 2)", "1", 3, 1);
    expect(&table, "if(site.zero > 0, 1 / site.zero, 42)", "1", 42, 1);
    expect(&table, "site.three * site.three", "1", 9, 1);
    arena_done(&table.arena);
}

static void test_units_are_converted(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    table_put(&table, "vcpu_hours", NULL, "1460");
    table_put(&table, "gib_out", NULL, "100");
    table_put(&table, "calls", NULL, "3000000");
    /* 1460 vCPU h x 4.5 W = 6.57 kWh; x 440 g = 2.8908 kg; x 80 USD/t = 0.231264 USD. */
    expect(&table, "vcpu_hours * workload.watts_per_vcpu * site.carbon * site.carbon_price", "USD",
           231264, 1000000);
    /* The same in another order and with a constant. */
    expect(&table,
           "80 USD/t * (site.carbon * (vcpu_hours * workload.watts_per_vcpu) + 0.1 kg - 100 g)",
           "USD", 231264, 1000000);
    expect(&table, "1 GiB - 1 GB", "B", 73741824, 1);
    expect(&table, "gib_out * 0.02 USD/GB", "USD", INT64_C(2) << 30, 1000000000);
    expect(&table, "1 h + 1 min + 1 s", "s", 3661, 1);
    expect(&table, "1 month", "h", 730, 1);
    expect(&table, "1 year", "month", 12, 1);
    expect(&table, "3.6 MJ", "kWh", 1, 1);
    expect(&table, "2 kW * 3 h", "kWh", 6, 1);
    expect(&table, "calls * 0.2 USD/call / 1000000", "USD", 6, 10);
    expect(&table, "workload.licence * workload.seats", "USD", 210, 1);
    expect(&table, "workload.licence * 2 seat", "USD", 60, 1);
    expect(&table, "4 kg^2 / (2000 g)", "kg", 2, 1);
    expect(&table, "6 USD / 2 USD/kg", "kg", 3, 1);
    expect(&table, "min(1 kg, 900 g)", "g", 900, 1);
    expect(&table, "if(1 GB < 1 GiB, 1 kg, 1 g)", "g", 1000, 1);
    expect(&table, "if(1 GB > 1 GiB, 1 kg, 1 g)", "g", 1, 1);
    expect(&table, "0", "USD", 0, 1);
    expect(&table, "max(0, 3 USD - 400 g * site.carbon_price)", "USD", 2968, 1000);
    arena_done(&table.arena);
}

/* What is an amount per time is taken for a month. */
static void test_result_per_month(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    expect(&table, "site.fee", "USD", 25, 2);
    expect(&table, "0.01 USD/h", "USD", 73, 10);
    expect(&table, "site.fee + 0.01 USD/h", "USD", 198, 10);
    arena_done(&table.arena);
}

static void test_unit_errors(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    refuse(&table, "1 kg + 1 s", ERR_INVALID, "column 6: kg and s are different units");
    refuse(&table, "vcpu_hours - gib_hours", ERR_INVALID,
           "column 12: vCPU*h and h*GiB are different");
    refuse(&table, "if(1 USD < 1 kg, 1 USD, 2 USD)", ERR_INVALID, "column 10: USD and kg");
    refuse(&table, "if(1 < 2, 1 USD, 2 kg)", ERR_INVALID, "column 1: USD and kg");
    refuse(&table, "max(1 USD, 1)", ERR_INVALID, "USD and 1 are different");
    refuse(&table, "vcpu_hours * site.carbon", ERR_INVALID,
           "the result is in vCPU*h*g/kWh and has to be in USD");
    refuse(&table, "site.carbon_price", ERR_INVALID, "the result is in USD/t");
    refuse(&table, "5", ERR_INVALID, "the result is in 1 and");
    refuse(&table, "1 USD*seat", ERR_INVALID, "USD*seat");
    /* A year is no month: months are what is paid by. */
    refuse(&table, "site.fee * site.fee", ERR_INVALID, "USD^2/month^2");
    arena_done(&table.arena);
}

static void test_text_errors(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    refuse(&table, "", ERR_INVALID, "column 1: the formula ends where a number");
    refuse(&table, "1 +", ERR_INVALID, "column 4: the formula ends");
    refuse(&table, "1 1", ERR_INVALID, "column 3: '1' stands where an operator");
    refuse(&table, "(1", ERR_INVALID, "ends where ')' belongs");
    refuse(&table, "1)", ERR_INVALID, "column 2: ')' stands");
    refuse(&table, "2 $ 3", ERR_INVALID, "column 3: '$'");
    refuse(&table, "1 \xc3\xa4", ERR_INVALID, "column 3: '\xc3\xa4'");
    refuse(&table, "1 \xff", ERR_INVALID, "byte 0xff");
    refuse(&table, "1 + \x01", ERR_INVALID, "byte 0x01");
    refuse(&table, "site.carbn", ERR_INVALID,
           "column 1: there is no name site.carbn: did you mean "
           "site.carbon?");
    refuse(&table, "cals * 1 USD/call", ERR_INVALID, "did you mean calls?");
    refuse(&table, "3 * kg", ERR_INVALID, "column 5: kg is a unit and belongs behind a number");
    refuse(&table, "3 furlong", ERR_INVALID, "column 3: 'f' stands where an operator");
    refuse(&table, "sqrt(2)", ERR_INVALID, "there is no function sqrt");
    refuse(&table, "min(1)", ERR_INVALID, "a comma");
    refuse(&table, "if(1, 2, 3)", ERR_INVALID, "a comparison");
    refuse(&table, "if(1 < 2, 3)", ERR_INVALID, "','");
    refuse(&table, "1 < 2", ERR_INVALID, "'<' stands");
    refuse(&table, "1.2.3 USD", ERR_INVALID, "column 1: \"1.2.3\" is not a number");
    refuse(&table, "1234567890123456789123 USD", ERR_OVERFLOW, "18 digits");
    refuse(&table, "3 kg^200", ERR_LIMIT, "power");
    refuse(&table, "3 kg^-", ERR_INVALID, "whole number");
    arena_done(&table.arena);
}

static void test_sizes_are_bounded(void **state)
{
    (void)state;
    struct table table;
    char text[LIMIT_FORMULA_BYTES + 8];
    table_begin(&table);
    /* 64 operands and 63 operators fit into 128 nodes; 65 do not. */
    for (int operands = 64; operands <= 65; operands++) {
        text[0] = '\0';
        for (int i = 0; i < operands; i++) {
            str_format(text + strlen(text), sizeof(text) - strlen(text), "%s1 USD",
                       i == 0 ? "" : "+");
        }
        struct formula *formula = parse(&table, text, "USD");
        assert_true((formula != NULL) == (operands == 64));
    }
    assert_int_equal(table.err.code, ERR_LIMIT);
    /* 31 brackets are 32 levels. */
    for (int depth = 31; depth <= 32; depth++) {
        memset(text, '(', (size_t)depth);
        str_format(text + depth, sizeof(text) - (size_t)depth, "1 USD");
        size_t used = strlen(text);
        memset(text + used, ')', (size_t)depth);
        text[used + (size_t)depth] = '\0';
        struct formula *formula = parse(&table, text, "USD");
        assert_true((formula != NULL) == (depth == 31));
    }
    assert_int_equal(table.err.code, ERR_LIMIT);
    memset(text, ' ', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    refuse(&table, text, ERR_LIMIT, "at most 511 bytes");
    /* Powers that pass 99 by multiplication. */
    refuse(&table, "1 kg^99 * 1 kg", ERR_LIMIT, "passes 99");
    arena_done(&table.arena);
}

static void test_no_memory(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    for (int after = 0; after < 3; after++) {
        table.arena.fail_after = after;
        refuse(&table, "site.fee", ERR_NO_MEMORY, "no memory");
    }
    table.arena.fail_after = -1;
    expect(&table, "site.fee", "USD", 25, 2);
    arena_done(&table.arena);
}

static void test_evaluation_errors(void **state)
{
    (void)state;
    struct table table;
    table_begin(&table);
    fails(&table, "1 USD / site.zero", "USD", ERR_INVALID,
          "column 7: division by zero, with site.zero = 0 1");
    fails(&table, "1 USD / (site.three - 3)", "USD", ERR_INVALID, "site.three = 3 1");
    fails(&table, "1 USD / (2 - 2)", "USD", ERR_INVALID, "division by zero; guard it");
    fails(&table, "site.fee - 13 USD/month", "USD", ERR_INVALID,
          "negative, -0.5, with site.fee = 12.5 USD/month");
    table_put(&table, "site.three", NULL, "123456789.123456789");
    fails(&table,
          "site.three * site.three * site.three * site.three * site.three * site.three * 1 USD",
          "USD", ERR_OVERFLOW, "with site.three = 123456789.123456...");
    fails(&table, "(1 USD / (site.three * site.three) + 1e-18 USD) / 1e17 / 1e17", "USD",
          ERR_OVERFLOW, "128 bits");
    int seats = 0;
    while (!str_equal(table.names[seats].name, "workload.seats")) {
        seats++;
    }
    table.values[seats] = (struct formula_value){0, 0};
    fails(&table, "workload.seats * workload.licence", "USD", ERR_NOT_FOUND,
          "column 1: workload.seats has no value here");
    /* Only what is used needs a value, and only in the branch that is taken. */
    expect(&table, "if(site.zero > 0, workload.seats * workload.licence, 1 USD)", "USD", 1, 1);
    /* A value as large as can be is an error, not a wrong number. */
    table.values[seats] = (struct formula_value){(__int128)((unsigned __int128)1 << 127), 1};
    fails(&table, "workload.seats * workload.licence", "USD", ERR_OVERFLOW, "128 bits");
    /* One that is not reduced is taken as what it is worth. */
    table.values[seats] = (struct formula_value){-14, -2};
    expect(&table, "workload.seats * workload.licence", "USD", 210, 1);
    arena_done(&table.arena);
}

static void test_unknown_units(void **state)
{
    (void)state;
    struct table table;
    struct formula_value value;
    table_begin(&table);
    table_put(&table, "workload.new", FORMULA_UNIT_UNKNOWN, "1");
    struct formula *formula =
        parse(&table, "max(workload.new, 1 kg) * 3 + if(workload.new < 2 h, 1 USD, 2 USD)", "USD");
    assert_non_null(formula);
    assert_int_equal(formula_eval(formula, table.values, &value, &table.err), ERR_INVALID);
    assert_non_null(strstr(table.err.text, "workload.new"));
    /* What is known is still checked. */
    refuse(&table, "workload.new * (1 kg + 1 h)", ERR_INVALID, "kg and h");
    arena_done(&table.arena);
}

static void test_names(void **state)
{
    (void)state;
    struct table table;
    char name[LIMIT_NAME_BYTES * 2];
    const char *text = "calls * site.a / 3 kg/call + 2e3 GiB * if(site.a < workload.b2, calls, 1)";
    table_begin(&table);
    assert_true(formula_name_at(text, 0, name));
    assert_string_equal(name, "calls");
    assert_true(formula_name_at(text, 1, name));
    assert_string_equal(name, "site.a");
    assert_true(formula_name_at(text, 2, name));
    assert_string_equal(name, "workload.b2");
    assert_false(formula_name_at(text, 3, name));
    struct formula *formula = parse(&table, "site.fee + 0 * site.fee", "USD");
    assert_true(formula_uses(formula, "site.fee"));
    assert_false(formula_uses(formula, "site.carbon"));
    arena_done(&table.arena);
}

static void test_unit_check(void **state)
{
    (void)state;
    static const char *const good[] = {"1",          "g/kWh",  "USD/month", "W*h",      "1/h",
                                       "USD/vCPU/h", "kg/m^2", "m^-1",      "EUR/seat", "?"};
    static const char *const bad[] = {"",       " ",   "g/",   "/h",    "g kWh", "2",
                                      "g//h",   "g^",  "g^x",  "g^100", "g*1",   "%",
                                      "m^99*m", "a b", "\xff", "g^--1", "kg\n"};
    struct error err;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        if (formula_unit_check(good[i], &err) < 0) {
            fail_msg("%s: %s", good[i], err.text);
        }
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        err = (struct error){0};
        if (formula_unit_check(bad[i], &err) == 0) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
        assert_non_null(strstr(err.text, "unit \""));
    }
    assert_true(formula_unit_check("g/", NULL) < 0);
    /* 48 words are too many by one. */
    char many[LIMIT_NAME_BYTES * 4] = "a0";
    for (int i = 1; i < 49; i++) {
        str_format(many + strlen(many), sizeof(many) - strlen(many), "*a%d", i);
    }
    assert_int_equal(formula_unit_check(many, &err), ERR_LIMIT);
}

static void expect_nusd(__int128 numerator, __int128 denominator, int64_t wanted)
{
    nusd amount = -1;
    struct formula_value value = {numerator, denominator};
    assert_int_equal(formula_value_to_nusd(value, &amount, NULL), 0);
    assert_true(amount == wanted);
}

static void test_to_dollars(void **state)
{
    (void)state;
    nusd amount;
    struct error err;
    __int128 large = (__int128)1 << 126;
    expect_nusd(1, 1, 1000000000);
    expect_nusd(1, 3, 333333333);
    expect_nusd(2, 3, 666666667);
    expect_nusd(-2, 3, -666666667);
    /* Half a nano-dollar goes to the even one. */
    expect_nusd(1, 2000000000, 0);
    expect_nusd(3, 2000000000, 2);
    expect_nusd(5, 2000000000, 2);
    /* Numbers whose product with 1e9 does not fit. */
    expect_nusd(large, large, 1000000000);
    expect_nusd(large - 1, large, 1000000000);
    expect_nusd(large + 1, large / 2, 2000000000);
    expect_nusd(1, large, 0);
    assert_int_equal(formula_value_to_nusd((struct formula_value){large, 1}, &amount, &err),
                     ERR_OVERFLOW);
    assert_int_equal(formula_value_to_nusd((struct formula_value){1, 0}, &amount, &err),
                     ERR_INVALID);
    struct formula_value price = formula_value_of((struct decimal){200, 9});
    assert_true(price.numerator == 1 && price.denominator == 5000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arithmetic),       cmocka_unit_test(test_units_are_converted),
        cmocka_unit_test(test_result_per_month), cmocka_unit_test(test_unit_errors),
        cmocka_unit_test(test_text_errors),      cmocka_unit_test(test_sizes_are_bounded),
        cmocka_unit_test(test_no_memory),        cmocka_unit_test(test_evaluation_errors),
        cmocka_unit_test(test_unknown_units),    cmocka_unit_test(test_names),
        cmocka_unit_test(test_unit_check),       cmocka_unit_test(test_to_dollars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
