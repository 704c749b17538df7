/*
 * bench_sketch [values]: what a value costs to add to a sketch, what the sketch takes, and how far
 * its quantiles are from the exact ones, over values that are distributed log-normally (10 million,
 * median 20 ms in microseconds, sigma 1). Beside it in the same run, on the same values: an array
 * that is sorted (exact), and the same buckets found by log(), as sketches usually are.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "metrics/sketch.h"

#define ROUNDS 7

static uint64_t seed = 42;

static double uniform(void)
{
    seed += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = seed;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return ((double)(z >> 11) + 0.5) * 0x1p-53;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double per_value_ns(int64_t began_us, int64_t count)
{
    return (double)(clock_mono_now().us - began_us) * 1000 / (double)count;
}

int main(int argc, char **argv)
{
    static const int64_t quantiles[] = {500000, 900000, 990000, 999000};
    int64_t count = 10000000;
    if (argc > 1 && (str_to_i64(argv[1], &count) < 0 || count < 1)) {
        fprintf(stderr, "usage: bench_sketch [values]\n");
        return 1;
    }
    int64_t *values = malloc((size_t)count * sizeof *values);
    uint64_t *by_log = calloc(64 * 64, sizeof *by_log);
    if (values == NULL || by_log == NULL)
        return 1;
    for (int64_t i = 0; i < count; i++) {
        double normal = sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
        values[i] = (int64_t)llround(20000 * exp(normal));
    }
    double ours_ns[ROUNDS];
    double log_ns[ROUNDS];
    struct sketch sketch = {0};
    for (int round = 0; round < ROUNDS; round++) {
        sketch_clear(&sketch);
        int64_t began_us = clock_mono_now().us;
        for (int64_t i = 0; i < count; i++)
            sketch_add(&sketch, values[i]);
        ours_ns[round] = per_value_ns(began_us, count);
        began_us = clock_mono_now().us;
        for (int64_t i = 0; i < count; i++) {
            double at = ceil(log2((double)values[i]) * SKETCH_STEPS);
            by_log[at > 0 ? (size_t)at : 0]++;
        }
        log_ns[round] = per_value_ns(began_us, count);
    }
    qsort(ours_ns, ROUNDS, sizeof *ours_ns, compare_double);
    qsort(log_ns, ROUNDS, sizeof *log_ns, compare_double);
    int64_t began_us = clock_mono_now().us;
    qsort(values, (size_t)count, sizeof *values, compare);
    double sort_ns = per_value_ns(began_us, count);
    uint8_t *blob = malloc(SKETCH_BLOB_BYTES);
    size_t blob_bytes = blob == NULL ? 0 : sketch_to_blob(&sketch, blob);
    double worst = 0;
    printf("%-34s %10s %12s\n", "", "ns/value", "bytes");
    printf("%-34s %10.2f %12zu\n", "sketch", ours_ns[ROUNDS / 2], sketch_bytes(&sketch));
    printf("%-34s %10.2f %12zu\n", "the same buckets by log2()", log_ns[ROUNDS / 2],
           64 * 64 * sizeof *by_log);
    printf("%-34s %10.2f %12zu\n", "sorted array (exact)", sort_ns, (size_t)count * sizeof *values);
    printf("stored: %zu bytes; scale %d, its bound %.4f %%\n", blob_bytes, sketch_scale(&sketch),
           (double)sketch_error_ppm(&sketch) / 1e4);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        int64_t rank = (int64_t)(((__int128)count * quantiles[i] + 999999) / 1000000);
        double exact = (double)values[rank - 1];
        double told = sketch_quantile(&sketch, quantiles[i]);
        double error = fabs(told - exact) / exact;
        worst = error > worst ? error : worst;
        printf("q %.3f: exact %.0f, sketch %.1f, error %.4f %%\n", (double)quantiles[i] / 1e6,
               exact, told, error * 100);
    }
    printf("{\"bench\":\"sketch\",\"values\":%lld,\"ns_per_add\":%.2f,\"ns_per_add_log\":%.2f,"
           "\"bytes\":%zu,\"worst_error\":%.6f}\n",
           (long long)count, ours_ns[ROUNDS / 2], log_ns[ROUNDS / 2], sketch_bytes(&sketch), worst);
    sketch_done(&sketch);
    free(values);
    free(by_log);
    free(blob);
    return 0;
}
