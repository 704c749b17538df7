/* sketch: indices are those of the definition, quantiles within the bound, nothing is ever lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metrics/sketch.h"

static uint64_t seed = 88172645463325252u;

static uint64_t random_u64(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* A value of any size: as many bits as chance says. */
static int64_t random_value(void)
{
    int bits = 1 + (int)(random_u64() % 62);
    return (int64_t)(random_u64() >> (64 - bits));
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Against the definition, in long double: base^index < value <= base^(index + 1). */
static void test_indices_are_those_of_the_definition(void **state)
{
    (void)state;
    assert_int_equal(sketch_index(1), -1);
    assert_int_equal(sketch_index(2), 63);
    assert_int_equal(sketch_index(4), 127);
    assert_int_equal(sketch_index(UINT64_C(1) << 63), 63 * 64 - 1);
    assert_int_equal(sketch_index(UINT64_MAX), 63 * 64 + 63);
    for (int i = 0; i < 300000; i++) {
        uint64_t value = i < 100000 ? (uint64_t)i + 1 : (uint64_t)random_value() + 1;
        int32_t index = sketch_index(value);
        long double exact = log2l((long double)value) * 64;
        assert_true(exact > (long double)index - 1e-9L);
        assert_true(exact <= (long double)index + 1 + 1e-9L);
        if ((value & (value - 1)) == 0)
            assert_int_equal((index + 1) % 64, 0); /* the upper end, exactly */
    }
}

static double exact_quantile(const int64_t *sorted, int64_t count, int64_t q_ppm)
{
    int64_t rank = (int64_t)(((__int128)count * q_ppm + 999999) / 1000000);
    return (double)sorted[rank == 0 ? 0 : rank - 1];
}

static void check_quantiles(const struct sketch *sketch, int64_t *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    double bound = (double)sketch_error_ppm(sketch) / 1e6;
    for (int64_t q = 0; q <= 1000000; q += 12500) {
        double exact = exact_quantile(values, count, q);
        double told = sketch_quantile(sketch, q);
        if (fabs(told - exact) > bound * exact + 1e-9)
            fail_msg("q %lld: %.9g instead of %.9g", (long long)q, told, exact);
    }
}

static void test_quantiles_are_within_the_bound(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    int64_t *values = calloc(COUNT, sizeof *values);
    assert_non_null(values);
    for (int round = 0; round < 6; round++) {
        struct sketch sketch = {0};
        unsigned __int128 sum = 0;
        for (int i = 0; i < COUNT; i++) {
            /* The narrow ranges keep the finest scale, the last ones must coarsen it. */
            int64_t value = round < 3   ? (int64_t)(random_u64() % (round == 0 ? 200 : 5000000))
                            : round < 5 ? (int64_t)(random_u64() & 0xffffffff)
                                        : random_value();
            values[i] = value;
            sum += (uint64_t)value;
            sketch_add(&sketch, value);
        }
        assert_int_equal(sketch.count, COUNT);
        assert_true(sketch.sum == sum);
        assert_int_equal(sketch.lost, 0);
        assert_int_equal(sketch_scale(&sketch), round < 5 ? 6 : 5);
        assert_int_equal(sketch_error_ppm(&sketch), round < 5 ? 5416 : 10831);
        check_quantiles(&sketch, values, COUNT);
        assert_true(sketch_bytes(&sketch) <= sizeof sketch + 16384);
        sketch_done(&sketch);
    }
    free(values);
}

static void test_nothing_and_zeros(void **state)
{
    (void)state;
    struct sketch sketch = {0};
    assert_true(sketch_quantile(&sketch, 500000) < 0);
    sketch_add_count(&sketch, 0, 3);
    sketch_add(&sketch, -5);
    assert_true(sketch_quantile(&sketch, 1000000) == 0);
    sketch_add(&sketch, 7);
    assert_true(sketch_quantile(&sketch, 800000) == 0);
    assert_true(sketch_quantile(&sketch, 1000000) == 7);
    assert_int_equal(sketch.zero_count, 4);
    sketch_clear(&sketch);
    assert_int_equal(sketch.count, 0);
    assert_true(sketch_quantile(&sketch, 500000) < 0);
    sketch_done(&sketch);
    sketch_done(NULL);
}

static bool same(const struct sketch *a, const struct sketch *b)
{
    uint8_t first[SKETCH_BLOB_BYTES];
    uint8_t second[SKETCH_BLOB_BYTES];
    size_t bytes = sketch_to_blob(a, first);
    return bytes == sketch_to_blob(b, second) && memcmp(first, second, bytes) == 0 &&
           a->count == b->count;
}

/* Merged parts are the whole, whatever the order and the scales. */
static void test_merging_is_adding(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        struct sketch whole = {0}, left = {0}, right = {0}, both = {0};
        for (int i = 0; i < 3000; i++) {
            int64_t value =
                i % 2 == 0 || round % 3 == 0 ? random_value() : (int64_t)(random_u64() % 1000);
            sketch_add(&whole, value);
            sketch_add(i % 2 == 0 ? &left : &right, value);
        }
        sketch_merge(&both, &left);
        sketch_merge(&both, &right);
        assert_true(same(&both, &whole));
        sketch_merge(&right, &left); /* the finer gets the coarser */
        assert_true(same(&right, &whole));
        assert_true(sketch_subtract(&whole, &left));
        assert_true(sketch_subtract(&right, &left));
        assert_true(same(&right, &whole));
        assert_int_equal(right.count, 1500);
        if (round % 3 == 0)
            assert_false(sketch_subtract(&right, &both));
        assert_true(same(&right, &whole));
        sketch_done(&whole);
        sketch_done(&left);
        sketch_done(&right);
        sketch_done(&both);
    }
}

static void test_messages_and_blobs_come_back(void **state)
{
    (void)state;
    struct error err = {0};
    for (int round = 0; round < 40; round++) {
        struct sketch sketch = {0}, told = {0}, read = {0};
        for (int i = 0; i < round * 20; i++)
            sketch_add(&sketch, round % 2 == 0 ? random_value() : (int64_t)(random_u64() % 90));
        struct message_sketch message = {.kind = SAMPLE_LATENCY_US};
        sketch_to_message(&sketch, &message);
        assert_int_equal(sketch_merge_message(&told, &message, &err), 0);
        assert_true(same(&told, &sketch));
        uint8_t blob[SKETCH_BLOB_BYTES];
        size_t bytes = sketch_to_blob(&sketch, blob);
        assert_int_equal(sketch_merge_blob(&read, blob, bytes, &err), 0);
        assert_true(same(&read, &sketch));
        for (size_t cut = 0; cut < bytes; cut += 1 + bytes / 50) {
            struct sketch none = {0};
            assert_true(sketch_merge_blob(&none, blob, cut, &err) < 0);
            assert_int_equal(none.count, 0);
        }
        sketch_done(&sketch);
        sketch_done(&told);
        sketch_done(&read);
    }
}

static void refused(const struct message_sketch *message, const char *why)
{
    struct sketch sketch = {0};
    struct error err = {0};
    assert_int_equal(sketch_merge_message(&sketch, message, &err), ERR_INVALID);
    if (strstr(err.text, why) == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(sketch.count, 0);
    sketch_done(&sketch);
}

static void test_what_others_send(void **state)
{
    (void)state;
    struct error err = {0};
    int64_t counts[] = {4, 0, 0, 0, 2, 1, 0, 1};
    struct message_sketch message = {.scale = 8,
                                     .offset = 4 * 256,
                                     .count = 9,
                                     .zero_count = 1,
                                     .counts = counts,
                                     .count_count = 8,
                                     .sum = 100};
    struct sketch sketch = {0};
    assert_int_equal(sketch_merge_message(&sketch, &message, &err), 0);
    assert_int_equal(sketch_scale(&sketch), 6); /* pairs of pairs of their buckets are ours */
    assert_int_equal(sketch.count, 9);
    assert_int_equal(sketch.counts[256 - sketch.offset], 4);
    assert_int_equal(sketch.counts[257 - sketch.offset], 4);
    assert_true(sketch_quantile(&sketch, 500000) == 17);
    sketch_done(&sketch);

    /* Values below 1, as a finer unit has them, are the least that whole numbers have. */
    message.scale = 0;
    message.offset = -10;
    assert_int_equal(sketch_merge_message(&sketch, &message, &err), 0);
    assert_int_equal(sketch.count, 9);
    assert_int_equal(sketch_scale(&sketch), 0);
    assert_true(sketch_quantile(&sketch, 1000000) == 1);
    sketch_done(&sketch);

    message.count = 10;
    refused(&message, "sum up to 9");
    message.count = 9;
    message.scale = 21;
    refused(&message, "scale 21");
    message.scale = 0;
    message.offset = 60;
    refused(&message, "past all whole numbers");
    message.offset = INT32_MAX;
    refused(&message, "past all whole numbers");
    counts[0] = -4;
    refused(&message, "below 0");
    counts[0] = INT64_MAX;
    counts[7] = INT64_MAX;
    counts[5] = INT64_MAX;
    refused(&message, "past 2^63");
}

static void test_what_others_read(void **state)
{
    (void)state;
    struct sketch sketch = {0};
    struct strbuf out;
    strbuf_init(&out, 4096);
    sketch_add(&sketch, 0);
    sketch_add_count(&sketch, 1, 2);
    sketch_add_count(&sketch, 2, 3);
    int64_t in_pair = 64; /* index 383; 65 lies in 385 */
    sketch_add(&sketch, in_pair);
    sketch_add(&sketch, 65);
    sketch_write_openmetrics(&sketch, &out);
    assert_string_equal(strbuf_text(&out),
                        "{count:8,sum:137,schema:6,zero_threshold:0,zero_count:1,"
                        "positive_spans:[0:1,63:1,319:1,1:1],positive_buckets:[2,3,1,1]}");
    strbuf_reset(&out);
    sketch_done(&sketch);
    sketch_add_count(&sketch, 16, 5);
    sketch_add(&sketch, 17);
    sketch_write_otlp(&sketch, &out);
    assert_string_equal(strbuf_text(&out),
                        "\"count\":\"6\",\"sum\":97,\"scale\":6,\"zeroCount\":\"0\","
                        "\"positive\":{\"offset\":255,\"bucketCounts\":"
                        "[\"5\",\"0\",\"0\",\"0\",\"0\",\"0\",\"1\"]}");
    strbuf_done(&out);
    sketch_done(&sketch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_indices_are_those_of_the_definition),
        cmocka_unit_test(test_quantiles_are_within_the_bound),
        cmocka_unit_test(test_nothing_and_zeros),
        cmocka_unit_test(test_merging_is_adding),
        cmocka_unit_test(test_messages_and_blobs_come_back),
        cmocka_unit_test(test_what_others_send),
        cmocka_unit_test(test_what_others_read),
    };
    return cmocka_run_group_tests_name("sketch", tests, NULL, NULL);
}
