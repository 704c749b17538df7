/* figures and fit: what a list comes to, how exactly, and what of it must not be used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/feeds/figures.h"
#include "model/feeds/fit.h"
#include "model/feeds/sku_map.h"

static struct figures *figures;
static const struct figure *const *list;
static int count;

static int setup(void **state)
{
    (void)state;
    struct error err;
    const struct figures_options options = {.provider = "aws", .list = "a list"};
    return figures_create(&options, &figures, &err);
}

static int teardown(void **state)
{
    (void)state;
    figures_destroy(figures);
    return 0;
}

static struct decimal price_of(const char *text)
{
    struct decimal price;
    struct error err;
    assert_int_equal(decimal_parse(text, &price, &err), 0);
    return price;
}

static void take(enum feed_kind kind, const char *sku, const char *price, int64_t from,
                 int64_t up_to)
{
    struct error err;
    const struct feed_item item = {.kind = kind,
                                   .region = "here",
                                   .sku = sku,
                                   .to = kind == FEED_EGRESS ? "internet" : "",
                                   .price = price_of(price),
                                   .per_bytes = INT64_C(1) << 30,
                                   .tier_from = from,
                                   .tier_up_to = up_to,
                                   .effective = ""};
    assert_int_equal(figures_take(figures, &item, &err), 0);
}

static void take_shape(const char *sku, const char *price, int vcpus, int gib)
{
    struct error err;
    const struct feed_item item = {.kind = FEED_SHAPE,
                                   .region = "here",
                                   .sku = sku,
                                   .to = "",
                                   .price = price_of(price),
                                   .mcpu = vcpus * 1000,
                                   .memory_bytes = (int64_t)gib << 30,
                                   .effective = "2026-08-01"};
    assert_int_equal(figures_take(figures, &item, &err), 0);
}

static void finish(void)
{
    struct error err = {0};
    if (figures_finish(figures, &list, &count, &err) < 0)
        fail_msg("%s", err.text);
}

static const struct figure *of_kind(enum feed_kind kind)
{
    for (int i = 0; i < count; i++)
        if (list[i]->kind == kind)
            return list[i];
    print_error("no %s\n", feed_kind_words[kind]);
    abort();
}

static void is_price(enum feed_kind kind, const char *price)
{
    char text[DECIMAL_TEXT_BYTES];
    const struct figure *figure = of_kind(kind);
    assert_string_equal(figure->problem, "");
    assert_string_equal(decimal_format(figure->steps[0].price, text), price);
}

/* Prices made of 0.0315 a vCPU and 0.0041 a GiB give just these back. */
static void test_fit(void **state)
{
    (void)state;
    take_shape("m", "0.1916", 4, 16);
    take_shape("c", "0.0794", 2, 4);
    take_shape("r", "0.1286", 2, 16);
    take_shape("free", "0", 2, 16);
    finish();
    assert_int_equal(count, 2);
    is_price(FEED_CPU, "0.0315");
    is_price(FEED_MEMORY, "0.0041");
    assert_string_equal(of_kind(FEED_CPU)->source,
                        "a list: least squares of 3 shapes, residual 0.0 %");
    assert_string_equal(of_kind(FEED_CPU)->effective, "2026-08-01");
    assert_int_equal(figures_counts(figures).shapes, 3);
    assert_int_equal(figures_counts(figures).refused, 1);
}

/* Shapes of one ratio are divided as the catalogue does: 4 vCPUs and 16 GiB cost what they do. */
static void test_one_ratio(void **state)
{
    (void)state;
    take_shape("m1", "0.192", 4, 16);
    take_shape("m2", "0.384", 8, 32);
    finish();
    is_price(FEED_CPU, "0.031248784");
    is_price(FEED_MEMORY, "0.004187804");
    assert_non_null(strstr(of_kind(FEED_CPU)->source, "divided as GCP's e2 is"));
}

static void test_residual(void **state)
{
    (void)state;
    struct fit fit = {.count = 0};
    struct fit_result result;
    assert_false(fit_solve(&fit, &result));
    fit_add(&fit, 2000, INT64_C(8) << 30, price_of("0.1"));
    fit_add(&fit, 2000, INT64_C(4) << 30, price_of("0.08"));
    fit_add(&fit, 2000, INT64_C(16) << 30, price_of("0.16"));
    fit_add(&fit, 2000, INT64_C(16) << 30, price_of("0.12"));
    assert_true(fit_solve(&fit, &result));
    assert_false(result.divided);
    assert_in_range(result.residual_ppm, 80000, 120000);
}

/* What the list itself says of cores stands before what shapes come to. */
static void test_said_before_fitted(void **state)
{
    (void)state;
    take(FEED_CPU, "core", "0.02", 0, -1);
    take_shape("m", "0.1916", 4, 16);
    take_shape("c", "0.0794", 2, 4);
    finish();
    is_price(FEED_CPU, "0.02");
    is_price(FEED_MEMORY, "0.0041");
}

static void test_steps(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.07", 51200, FEED_TIER_ENDLESS);
    take(FEED_EGRESS, "d", "0.09", 0, 10240);
    take(FEED_EGRESS, "d", "0.085", 10240, 51200);
    take(FEED_EGRESS, "d", "0.085", 10240, 51200); /* said twice, the same */
    finish();
    const struct figure *figure = of_kind(FEED_EGRESS);
    assert_string_equal(figure->problem, "");
    assert_string_equal(figure->site, "aws/here");
    assert_int_equal(figure->step_count, 3);
    assert_int_equal(figure->steps[1].from, 10240);
    assert_int_equal(figure->steps[2].from, 51200);
}

static void problem(const char *wanted)
{
    finish();
    if (strstr(of_kind(FEED_EGRESS)->problem, wanted) == NULL)
        fail_msg("\"%s\" is not in: %s", wanted, of_kind(FEED_EGRESS)->problem);
}

static void test_hole(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.09", 0, 10240);
    take(FEED_EGRESS, "d", "0.07", 51200, FEED_TIER_ENDLESS);
    problem("its steps do not meet: one ends at 10240, the next begins at 51200");
}

static void test_no_begin(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.07", 100, -1);
    problem("its first step begins at 100");
}

static void test_no_end(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.07", 0, 100);
    problem("its last step ends at 100");
}

static void test_two_prices(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.07", 0, -1);
    take(FEED_EGRESS, "d", "0.08", 0, -1);
    problem("offer d has two prices, $0.07 and $0.08");
}

static void test_two_offers(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "0.07", 0, -1);
    take(FEED_EGRESS, "e", "0.08", 0, -1);
    problem("two offers, d and e, price the same");
}

static void test_negative(void **state)
{
    (void)state;
    take(FEED_EGRESS, "d", "-0.07", 0, -1);
    problem("below 0: $-0.07");
}

static void test_many_steps(void **state)
{
    (void)state;
    for (int i = 0; i <= LIMIT_TIERS; i++)
        take(FEED_EGRESS, "d", "0.07", i * 10, -1);
    problem("more than 16 steps");
}

static void test_shape_of_two_prices(void **state)
{
    (void)state;
    take_shape("m", "0.1916", 4, 16);
    take_shape("m", "0.1917", 4, 16);
    finish();
    assert_non_null(strstr(of_kind(FEED_CPU)->problem, "offer m has two prices"));
}

static void test_nothing(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(figures_finish(figures, &list, &count, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "not one price"));
}

static void test_map(void **state)
{
    (void)state;
    static char keys[5000][8];
    struct sku_map map = {.keys = NULL};
    struct error err;
    assert_int_equal(sku_map_find(&map, "k0"), -1);
    for (uint32_t i = 0; i < 5000; i++) {
        str_format(keys[i], sizeof(keys[i]), "k%u", i);
        assert_int_equal(sku_map_add(&map, keys[i], i, &err), 0);
    }
    for (uint32_t i = 0; i < 5000; i++)
        assert_int_equal(sku_map_find(&map, keys[i]), i);
    assert_int_equal(sku_map_find(&map, "k5000"), -1);
    sku_map_done(&map);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_fit),
        CASE(test_one_ratio),
        CASE(test_residual),
        CASE(test_said_before_fitted),
        CASE(test_steps),
        CASE(test_hole),
        CASE(test_no_begin),
        CASE(test_no_end),
        CASE(test_two_prices),
        CASE(test_two_offers),
        CASE(test_negative),
        CASE(test_many_steps),
        CASE(test_shape_of_two_prices),
        CASE(test_nothing),
        CASE(test_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
