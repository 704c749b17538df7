/* stats: means against plain sums, Student's t against tables, intervals that cover as promised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include "simulator/engine/random.h"
#include "simulator/engine/stats.h"

static void assert_near(double got, double wanted, double error)
{
    if (!(fabs(got - wanted) <= error))
        fail_msg("%.12g is not within %.3g of %.12g", got, error, wanted);
}

static void test_means_and_their_merging(void **state)
{
    (void)state;
    struct random_stream stream;
    random_named(&stream, 1, "means");
    struct stats_mean whole = {0};
    struct stats_mean parts[2] = {{0}};
    double sum = 0;
    double values[1000];
    for (int i = 0; i < 1000; i++) {
        values[i] = 1e6 + random_normal(&stream);
        sum += values[i];
        stats_mean_add(&whole, values[i]);
        stats_mean_add(&parts[i % 3 == 0], values[i]);
    }
    double squares = 0;
    for (int i = 0; i < 1000; i++)
        squares += (values[i] - sum / 1000) * (values[i] - sum / 1000);
    assert_near(whole.mean, sum / 1000, 1e-9);
    assert_near(stats_mean_variance(&whole), squares / 999, 1e-8);
    struct stats_mean merged = {0};
    stats_mean_merge(&merged, &parts[0]);
    stats_mean_merge(&merged, &parts[1]);
    stats_mean_merge(&merged, &(struct stats_mean){0});
    assert_int_equal(merged.count, 1000);
    assert_near(merged.mean, whole.mean, 1e-9);
    assert_near(stats_mean_variance(&merged), stats_mean_variance(&whole), 1e-8);
    assert_true(merged.least == whole.least && merged.most == whole.most);
}

static void test_level_is_an_exact_integral(void **state)
{
    (void)state;
    struct stats_level level = {0};
    stats_level_add(&level, 3, 10);
    stats_level_add(&level, -1, 20);
    assert_true(stats_level_area(&level, 25) == 3 * 10 + 2 * 5);
    assert_near(stats_level_mean(&level, 0, 25), 40.0 / 25, 1e-15);
    assert_int_equal(level.most, 3);
    stats_level_restart(&level, 30);
    assert_true(stats_level_area(&level, 40) == 20);
    assert_int_equal(level.most, 2);
}

/* Values of published tables. */
static void test_student(void **state)
{
    (void)state;
    assert_near(stats_student(1, 0.975), 12.706204736, 1e-7);
    assert_near(stats_student(2, 0.95), 2.919985580, 1e-8);
    assert_near(stats_student(5, 0.995), 4.032142984, 1e-8);
    assert_near(stats_student(10, 0.975), 2.228138852, 1e-8);
    assert_near(stats_student(30, 0.9), 1.310415025, 1e-8);
    assert_near(stats_student(120, 0.975), 1.979930405, 1e-8);
    assert_near(stats_student(1e7, 0.975), 1.959964, 1e-5);
    assert_near(stats_student(10, 0.025), -2.228138852, 1e-8);
    assert_near(stats_student(7, 0.5), 0, 1e-9);
}

/* Values that follow each other closely: 95 % of the intervals must hold the true mean, which a
 * plain deviation over the root of the count would not come near. */
static void test_batches_cover_the_mean_of_dependent_values(void **state)
{
    (void)state;
    int held = 0;
    const int runs = 400;
    for (int run = 0; run < runs; run++) {
        struct random_stream stream;
        random_indexed(&stream, 17, "batches", (uint64_t)run);
        struct stats_batches batches = {0};
        double value = random_normal(&stream) / sqrt(1 - 0.81);
        for (int i = 0; i < 20000; i++) {
            value = 0.9 * value + random_normal(&stream);
            stats_batches_add(&batches, 7 + value);
        }
        assert_in_range(batches.count, 20, 39);
        struct stats_interval interval = stats_batches_interval(&batches, 0.95);
        held += fabs(interval.mean - 7) <= interval.half;
    }
    /* 380 expected of 400, deviation 4.4. */
    assert_in_range(held, 362, 398);
}

static void test_an_interval_needs_two(void **state)
{
    (void)state;
    struct stats_batches batches = {0};
    assert_true(isinf(stats_batches_interval(&batches, 0.95).half));
    stats_batches_add(&batches, 3);
    assert_true(isinf(stats_batches_interval(&batches, 0.95).half));
    stats_batches_add(&batches, 5);
    struct stats_interval interval = stats_batches_interval(&batches, 0.95);
    assert_near(interval.mean, 4, 1e-12);
    assert_near(interval.half, 12.706204736, 1e-6); /* t of one degree x sqrt(2) / sqrt(2) */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_means_and_their_merging),
        cmocka_unit_test(test_level_is_an_exact_integral),
        cmocka_unit_test(test_student),
        cmocka_unit_test(test_batches_cover_the_mean_of_dependent_values),
        cmocka_unit_test(test_an_interval_needs_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
