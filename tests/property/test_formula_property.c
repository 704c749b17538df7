/*
 * Random formulas against an independent evaluation: the generator builds an expression of known
 * units, writes it as text (with related units and blanks at random) and works out its value in
 * long doubles beside it. The exact value has to agree within the doubles' own error. The same
 * expression with one operand in a wrong unit has to be refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/formula.h"

#define FORMULAS    20000
#define DEPTH       4
#define OPERAND_MAX 40

struct numbers {
    uint64_t state;
};

static uint64_t next(struct numbers *numbers)
{
    numbers->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = numbers->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int below(struct numbers *numbers, int limit)
{
    return (int)(next(numbers) % (uint64_t)limit);
}

/* What a unit can be written as, and how many of the first one it is. */
struct spelling {
    const char *text;
    long double worth;
};

enum dimension { PLAIN, MASS, ENERGY, BYTES, SEATS, DIMENSION_COUNT };

static const struct spelling spellings[DIMENSION_COUNT][4] = {
    {{"", 1.0L}, {"g/kg", 0.001L}, {"h/s", 3600.0L}, {"kW/W", 1000.0L}},
    {{"kg", 1.0L}, {"g", 0.001L}, {"t", 1000.0L}, {"mg", 1e-6L}},
    {{"kWh", 1.0L}, {"W*h", 0.001L}, {"J", 1 / 3.6e6L}, {"kW*min", 1 / 60.0L}},
    {{"GB", 1.0L}, {"MB", 0.001L}, {"GiB", 1.073741824L}, {"KiB", 1024e-9L}},
    {{"seat", 1.0L}, {"seat", 1.0L}, {"seat", 1.0L}, {"seat", 1.0L}},
};

/* A name for each dimension and spelling: "site.m<dimension><spelling>". */
#define NAME_COUNT (DIMENSION_COUNT * 4)

struct maker {
    struct numbers numbers;
    struct formula_name names[NAME_COUNT];
    struct formula_value values[NAME_COUNT];
    long double plain[NAME_COUNT]; /* in the dimension's first unit */
    struct strbuf text;
    int operands;
    int wrong_at; /* this operand gets another dimension; -1: none */
    bool undefined;
};

static long double make(struct maker *maker, enum dimension dimension, int depth);

static void names_begin(struct maker *maker)
{
    for (int i = 0; i < NAME_COUNT; i++) {
        const struct spelling *spelling = &spellings[i / 4][i % 4];
        int coefficient = below(&maker->numbers, 100000);
        int scale = below(&maker->numbers, 4);
        str_format(maker->names[i].name, sizeof(maker->names[i].name), "site.m%d%d", i / 4, i % 4);
        str_format(maker->names[i].unit, sizeof(maker->names[i].unit), "%s",
                   spelling->text[0] == '\0' ? "1" : spelling->text);
        maker->values[i] = formula_value_of((struct decimal){coefficient, scale});
        maker->plain[i] = (long double)coefficient * spelling->worth;
        for (int k = 0; k < scale; k++) {
            maker->plain[i] /= 10;
        }
    }
}

static void blank(struct maker *maker)
{
    if (below(&maker->numbers, 3) == 0) {
        strbuf_puts(&maker->text, " ");
    }
}

static long double make_operand(struct maker *maker, enum dimension dimension)
{
    int spelling = below(&maker->numbers, 4);
    if (maker->operands++ == maker->wrong_at) {
        dimension = (enum dimension)((dimension + 1) % DIMENSION_COUNT);
    }
    if (below(&maker->numbers, 2) == 0) {
        int name = (int)dimension * 4 + spelling;
        strbuf_puts(&maker->text, maker->names[name].name);
        return maker->plain[name];
    }
    int value = 1 + below(&maker->numbers, 5000);
    strbuf_printf(&maker->text, "%d.%d %s", value / 10, value % 10,
                  spellings[dimension][spelling].text);
    return (long double)value / 10 * spellings[dimension][spelling].worth;
}

static long double make_sum(struct maker *maker, enum dimension dimension, int depth)
{
    strbuf_puts(&maker->text, "(");
    long double left = make(maker, dimension, depth);
    bool minus = below(&maker->numbers, 2) == 0;
    blank(maker);
    strbuf_puts(&maker->text, minus ? "-" : "+");
    blank(maker);
    long double right = make(maker, dimension, depth);
    strbuf_puts(&maker->text, ")");
    return minus ? left - right : left + right;
}

/* dimension * plain, plain * dimension, or dimension / plain. */
static long double make_product(struct maker *maker, enum dimension dimension, int depth)
{
    int how = below(&maker->numbers, 3);
    strbuf_puts(&maker->text, "(");
    long double left = make(maker, how == 1 ? PLAIN : dimension, depth);
    blank(maker);
    strbuf_puts(&maker->text, how == 2 ? "/" : "*");
    blank(maker);
    strbuf_puts(&maker->text, "(");
    long double right = make(maker, how == 1 ? dimension : PLAIN, depth);
    strbuf_puts(&maker->text, "))");
    if (how == 2 && (right < 1e-3L && right > -1e-3L)) {
        maker->undefined = true; /* zero, or so near to it that doubles cannot tell */
        return 0;
    }
    return how == 2 ? left / right : left * right;
}

static long double make_extremum(struct maker *maker, enum dimension dimension, int depth)
{
    bool least = below(&maker->numbers, 2) == 0;
    strbuf_puts(&maker->text, least ? "min(" : "max(");
    long double best = make(maker, dimension, depth);
    for (int i = 0; i <= below(&maker->numbers, 2); i++) {
        strbuf_puts(&maker->text, ",");
        blank(maker);
        long double other = make(maker, dimension, depth);
        best = least == (other < best) ? other : best;
    }
    strbuf_puts(&maker->text, ")");
    return best;
}

static long double make_if(struct maker *maker, enum dimension dimension, int depth)
{
    enum dimension compared = (enum dimension)below(&maker->numbers, DIMENSION_COUNT);
    bool less = below(&maker->numbers, 2) == 0;
    strbuf_puts(&maker->text, "if(");
    long double left = make(maker, compared, depth);
    strbuf_puts(&maker->text, less ? " < " : " >= ");
    long double right = make(maker, compared, depth);
    long double apart = left > right ? left - right : right - left;
    long double size = left > 0 ? left : -left;
    if (apart <= size * 1e-12L) {
        maker->undefined = true; /* equal or as good as equal: doubles do not know */
    }
    strbuf_puts(&maker->text, ", ");
    long double yes = make(maker, dimension, depth);
    strbuf_puts(&maker->text, ", ");
    long double no = make(maker, dimension, depth);
    strbuf_puts(&maker->text, ")");
    return less == (left < right) ? yes : no;
}

/* Writes an expression of that dimension and returns its value in the first spelling. */
static long double make(struct maker *maker, enum dimension dimension, int depth)
{
    int what = depth == 0 || maker->operands > OPERAND_MAX ? 0 : below(&maker->numbers, 7);
    if (what == 6) {
        strbuf_puts(&maker->text, "-");
        return -make_operand(maker, dimension);
    }
    return what == 1   ? make_sum(maker, dimension, depth - 1)
           : what == 2 ? make_product(maker, dimension, depth - 1)
           : what == 3 ? make_extremum(maker, dimension, depth - 1)
           : what == 4 ? make_if(maker, dimension, depth - 1)
           : what == 5 ? make_sum(maker, dimension, depth - 1)
                       : make_operand(maker, dimension);
}

/* How large the values were on the way is not known here: the tolerance is that of the result plus
 * a small absolute part, for differences of nearly equal numbers. */
static bool agrees(long double exact, long double wanted)
{
    long double apart = exact > wanted ? exact - wanted : wanted - exact;
    long double size = wanted > 0 ? wanted : -wanted;
    return apart <= size * 1e-9L + 1e-6L;
}

static void test_values(void **state)
{
    (void)state;
    struct arena arena;
    struct error err;
    int evaluated = 0;
    int negative = 0;
    int overflowed = 0;
    int too_large = 0;
    arena_init(&arena, (size_t)4 << 20);
    for (uint64_t seed = 1; seed <= FORMULAS; seed++) {
        struct maker maker = {.numbers = {seed * 7919}, .wrong_at = -1};
        struct formula *formula = NULL;
        struct formula_value value;
        enum dimension dimension = (enum dimension)(seed % DIMENSION_COUNT);
        const char *unit = dimension == PLAIN ? "1" : spellings[dimension][0].text;
        strbuf_init(&maker.text, LIMIT_FORMULA_BYTES * 8);
        names_begin(&maker);
        /* A negative result is an error: its sign is turned by the text. */
        long double wanted = make(&maker, dimension, DEPTH);
        arena_reset(&arena);
        char *text = arena_printf(&arena, wanted < 0 ? "-(%s)" : "%s", strbuf_text(&maker.text));
        assert_non_null(text);
        int rc = formula_parse(text, maker.names, NAME_COUNT, unit, &arena, &formula, &err);
        if (rc == ERR_LIMIT) {
            too_large++;
        } else if (rc < 0) {
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, text, err.text);
        } else if (!maker.undefined) {
            rc = formula_eval(formula, maker.values, &value, &err);
            if (rc == ERR_OVERFLOW) {
                overflowed++;
            } else if (rc < 0 ||
                       !agrees((long double)value.numerator / (long double)value.denominator,
                               wanted < 0 ? -wanted : wanted)) {
                fail_msg("seed %llu: %s is %Lg: %s", (unsigned long long)seed, text, wanted,
                         rc < 0 ? err.text : "another value");
            } else {
                evaluated++;
                negative += wanted < 0;
            }
        }
        strbuf_done(&maker.text);
    }
    arena_done(&arena);
    print_message("%d evaluated, %d of them negative, %d overflowed, %d too large\n", evaluated,
                  negative, overflowed, too_large);
    assert_true(evaluated > FORMULAS * 9 / 10);
    assert_true(negative > FORMULAS / 4);
    assert_true(overflowed < FORMULAS / 100);
}

/* A wrong unit anywhere is refused: every operand of a generated text counts. */
static void test_wrong_units(void **state)
{
    (void)state;
    struct arena arena;
    struct error err;
    int refused = 0;
    arena_init(&arena, (size_t)4 << 20);
    for (uint64_t seed = 1; seed <= FORMULAS / 4; seed++) {
        struct maker maker = {.numbers = {seed * 7919}, .wrong_at = (int)(seed % 4)};
        struct formula *formula = NULL;
        strbuf_init(&maker.text, LIMIT_FORMULA_BYTES * 8);
        names_begin(&maker);
        (void)make(&maker, MASS, DEPTH);
        const char *text = strbuf_text(&maker.text);
        arena_reset(&arena);
        int rc = formula_parse(text, maker.names, NAME_COUNT, "kg", &arena, &formula, &err);
        if (rc == 0 && maker.operands > maker.wrong_at) {
            fail_msg("seed %llu: %s was taken", (unsigned long long)seed, text);
        }
        if (rc == ERR_INVALID) {
            assert_non_null(strstr(err.text, "column "));
            refused++;
        }
        strbuf_done(&maker.text);
    }
    arena_done(&arena);
    assert_true(refused > FORMULAS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_wrong_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
