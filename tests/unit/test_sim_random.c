/* random: tables by their definition, moments and distributions within stated bounds, fixed bits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "simulator/engine/random.h"

#define DRAWS 1000000

static void assert_near(double got, double wanted, double error)
{
    if (!(fabs(got - wanted) <= error))
        fail_msg("%.12g is not within %.3g of %.12g", got, error, wanted);
}

static double exponential_curve(double x)
{
    return exp(-x);
}

static double normal_curve(double x)
{
    return exp(-0.5 * x * x);
}

/* Every layer has the same area, its tail included, and each table follows from the edges. */
static void judge_layers(const struct random_layer *layers, const double *edges, double tail,
                         double (*curve)(double))
{
    double area = edges[1] * curve(edges[1]) + tail;
    assert_near(edges[0] * curve(edges[1]), area, 1e-14);
    for (int i = 1; i < RANDOM_LAYERS; i++)
        assert_near(edges[i] * (curve(edges[i + 1]) - curve(edges[i])), area, 1e-12);
    for (int i = 0; i < RANDOM_LAYERS; i++) {
        assert_near(layers[i].width * 0x1p53, edges[i], 1e-15);
        assert_near((double)layers[i].inside * 0x1p-53, edges[i + 1] / edges[i], 1e-15);
    }
    assert_true(edges[RANDOM_LAYERS] == 0);
}

static void test_tables_follow_their_definition(void **state)
{
    (void)state;
    judge_layers(random_exponential_layers, random_exponential_edges,
                 exp(-random_exponential_edges[1]), exponential_curve);
    judge_layers(random_normal_layers, random_normal_edges,
                 sqrt(M_PI / 2) * erfc(random_normal_edges[1] / sqrt(2)), normal_curve);
}

static void test_log_and_exp_are_those_of_libm(void **state)
{
    (void)state;
    struct random_stream stream;
    random_named(&stream, 1, "values");
    for (int i = 0; i < 200000; i++) {
        double power = (random_uniform(&stream) - 0.5) * 1400;
        double value = exp(power);
        double wanted = log(value);
        assert_near(random_log(value), wanted, fabs(wanted) * 4e-16 + 1e-17);
        assert_near(random_exp(power) / value, 1, 4e-16);
        value = 1 + (random_uniform(&stream) - 0.5) * 1e-3;
        assert_near(random_log(value), log(value), fabs(log(value)) * 4e-16 + 1e-18);
    }
    assert_true(random_log(1) == 0);
    assert_true(random_exp(0) == 1);
    assert_near(random_log(0x1p-1060), -1060 * M_LN2, 1e-12);
    assert_true(random_exp(-1000) == 0);
}

/* Kolmogorov-Smirnov without sorting: a histogram over the distribution's own values, chi-square
 * of 1,000 cells: mean 999, deviation 45; 1,250 is more than five deviations. */
struct cells {
    double count[1000];
};

static void cells_add(struct cells *cells, double below)
{
    int at = (int)(below * 1000);
    cells->count[at < 0 ? 0 : at > 999 ? 999 : at]++;
}

static void cells_judge(const struct cells *cells)
{
    double sum = 0;
    double each = DRAWS / 1000.0;
    for (int i = 0; i < 1000; i++)
        sum += (cells->count[i] - each) * (cells->count[i] - each) / each;
    if (sum > 1250 || sum < 780)
        fail_msg("chi-square of 1,000 cells is %g", sum);
}

static void test_continuous_draws_have_their_distribution(void **state)
{
    (void)state;
    struct random_stream stream;
    random_named(&stream, 42, "draws");
    struct cells cells[4];
    memset(cells, 0, sizeof cells);
    double log_mean = 0;
    double log_square = 0;
    int beyond = 0;
    for (int i = 0; i < DRAWS; i++) {
        cells_add(&cells[0], random_uniform(&stream));
        double exponential = random_exponential(&stream);
        cells_add(&cells[1], -expm1(-exponential));
        beyond += exponential > random_exponential_edges[1];
        cells_add(&cells[2], 0.5 * erfc(-random_normal(&stream) / sqrt(2)));
        double lognormal = random_lognormal(&stream, 5, 2);
        log_mean += lognormal / DRAWS;
        log_square += lognormal * lognormal / DRAWS;
        double sigma = sqrt(log(1.16));
        double z = (log(lognormal) - log(5) + sigma * sigma / 2) / sigma;
        cells_add(&cells[3], 0.5 * erfc(-z / sqrt(2)));
    }
    for (int i = 0; i < 4; i++)
        cells_judge(&cells[i]);
    assert_near(log_mean, 5, 5 * 2 / sqrt(DRAWS));
    assert_near(sqrt(log_square - log_mean * log_mean), 2, 0.03);
    double wanted =
        DRAWS * exp(-random_exponential_edges[1]); /* the tail is reached as it should */
    assert_near(beyond, wanted, 5 * sqrt(wanted));
}

static void test_poisson_counts(void **state)
{
    (void)state;
    static const double means[] = {0, 0.3, 4, 9.9, 10, 35.5, 1000, 1e7};
    struct random_stream stream;
    random_named(&stream, 5, "counts");
    for (size_t k = 0; k < sizeof means / sizeof means[0]; k++) {
        double sum = 0;
        double squares = 0;
        int count = 200000;
        for (int i = 0; i < count; i++) {
            double value = (double)random_poisson(&stream, means[k]) - means[k];
            sum += value;
            squares += value * value;
        }
        double n = count;
        assert_near(sum / n, 0, 5 * sqrt(means[k] / n) + 1e-12);
        /* The variance of a sample's variance: mean^2 (2 + 1/mean) / n. */
        assert_near(squares / n, means[k], 5 * sqrt(means[k] * (2 * means[k] + 1) / n) + 1e-12);
    }
}

static void test_zipf_ranks(void **state)
{
    (void)state;
    static const double exponents[] = {0, 0.5, 0.8, 1, 1.3, 2.5};
    for (size_t k = 0; k < sizeof exponents / sizeof exponents[0]; k++) {
        enum { objects = 50 };
        struct random_stream stream;
        random_indexed(&stream, 3, "ranks", k);
        struct random_zipf zipf;
        random_zipf_init(&zipf, objects, exponents[k]);
        double counts[objects + 1] = {0};
        double sum = 0;
        for (int i = 1; i <= objects; i++)
            sum += pow(i, -exponents[k]);
        for (int i = 0; i < 500000; i++) {
            uint64_t rank = random_zipf_rank(&stream, &zipf);
            assert_in_range(rank, 1, objects);
            counts[rank]++;
        }
        double chi = 0;
        for (int i = 1; i <= objects; i++) {
            double wanted = 500000 * pow(i, -exponents[k]) / sum;
            chi += (counts[i] - wanted) * (counts[i] - wanted) / wanted;
        }
        if (chi > 100) /* 49 degrees: mean 49, deviation 9.9 */
            fail_msg("exponent %g: chi-square %g", exponents[k], chi);
    }
}

static void test_below_is_fair(void **state)
{
    (void)state;
    struct random_stream stream;
    random_named(&stream, 9, "below");
    uint64_t bound = (UINT64_C(1) << 63) + (UINT64_C(1) << 62); /* a plain remainder would favour */
    int low = 0;
    for (int i = 0; i < 100000; i++) {
        uint64_t value = random_below(&stream, bound);
        assert_true(value < bound);
        low += value < bound / 3;
    }
    assert_near(low, 100000 / 3.0, 5 * sqrt(100000 * 2 / 9.0));
}

static void test_durations_have_their_moments(void **state)
{
    (void)state;
    const struct random_duration durations[] = {
        {.kind = RANDOM_CONSTANT, .mean_ns = 5000000},
        {.kind = RANDOM_UNIFORM, .low_ns = 1000000, .high_ns = 9000000},
        {.kind = RANDOM_EXPONENTIAL, .mean_ns = 5000000},
        {.kind = RANDOM_EXPONENTIAL, .mean_ns = 5000000, .low_ns = 2000000},
        {.kind = RANDOM_LOGNORMAL, .mean_ns = 5000000, .deviation_ns = 3000000},
        {.kind = RANDOM_TWO_RATES, .share = 0.75, .low_ns = 1000000, .high_ns = 20000000},
    };
    struct random_stream stream;
    random_named(&stream, 8, "durations");
    for (size_t k = 0; k < sizeof durations / sizeof durations[0]; k++) {
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < DRAWS; i++) {
            int64_t ns = random_duration_ns(&stream, &durations[k]);
            assert_true(ns >= 0);
            sum += (double)ns;
            squares += (double)ns * (double)ns;
        }
        double mean = random_duration_mean_ns(&durations[k]);
        double square = random_duration_square(&durations[k]);
        assert_near(sum / DRAWS, mean, 5 * sqrt((square - mean * mean) / DRAWS) + 1);
        assert_near(squares / DRAWS / square, 1, 0.02);
    }
}

/* The bits are a promise: a change of any of these changes every recorded run. */
static void test_bits_are_fixed_and_streams_apart(void **state)
{
    (void)state;
    struct random_stream stream;
    struct random_stream same;
    struct random_stream other;
    random_named(&stream, 1, "arrivals");
    random_indexed(&same, 1, "arrivals", 0);
    random_indexed(&other, 1, "arrivals", 1);
    assert_memory_equal(&stream, &same, sizeof stream);
    assert_int_not_equal(random_u64(&stream), random_u64(&other));
    random_named(&other, 1, "arrivalt");
    assert_int_not_equal(random_u64(&same), random_u64(&other));
    random_named(&stream, 20261122, "bits");
    uint64_t hash = 0;
    struct random_zipf zipf;
    random_zipf_init(&zipf, 1000000, 0.9);
    for (int i = 0; i < 20000; i++) {
        double values[4];
        values[0] = random_uniform(&stream);
        values[1] = random_exponential(&stream);
        values[2] = random_normal(&stream);
        values[3] = random_lognormal(&stream, 3, 2);
        for (int k = 0; k < 4; k++) {
            uint64_t bits;
            memcpy(&bits, &values[k], sizeof bits);
            hash = (hash ^ bits) * UINT64_C(0x9e3779b97f4a7c15);
            hash ^= hash >> 31;
        }
        hash += random_poisson(&stream, 3);
        hash += random_poisson(&stream, 300);
        hash += random_zipf_rank(&stream, &zipf);
    }
    assert_int_equal(hash, UINT64_C(0x63b44870f11a8591));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_follow_their_definition),
        cmocka_unit_test(test_log_and_exp_are_those_of_libm),
        cmocka_unit_test(test_continuous_draws_have_their_distribution),
        cmocka_unit_test(test_poisson_counts),
        cmocka_unit_test(test_zipf_ranks),
        cmocka_unit_test(test_below_is_fair),
        cmocka_unit_test(test_durations_have_their_moments),
        cmocka_unit_test(test_bits_are_fixed_and_streams_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
