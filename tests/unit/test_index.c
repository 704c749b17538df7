#include "scheduler/core/index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 500

static void *make(struct index *index, int capacity)
{
    void *memory = calloc(1, index_bytes(capacity));
    assert_non_null(memory);
    index_init(index, capacity, memory);
    return memory;
}

static void test_rows_of_one_hash_come_in_order(void **state)
{
    (void)state;
    struct index index;
    void *memory = make(&index, 8);
    /* 3 and 11 fall into one bucket of eight, and are two hashes all the same. */
    index_add(&index, 0, 3);
    index_add(&index, 1, 11);
    index_add(&index, 2, 3);
    index_add(&index, 3, 3);
    assert_int_equal(index_first(&index, 3), 0);
    assert_int_equal(index_next(&index, 0), 2);
    assert_int_equal(index_next(&index, 2), 3);
    assert_int_equal(index_next(&index, 3), -1);
    assert_int_equal(index_first(&index, 11), 1);
    assert_int_equal(index_next(&index, 1), -1);
    assert_int_equal(index_first(&index, 19), -1);
    assert_int_equal(index_first(&index, 4), -1);
    free(memory);
}

static void test_an_index_of_nothing_finds_nothing(void **state)
{
    (void)state;
    struct index index;
    void *memory = make(&index, 0);
    assert_int_equal(index_first(&index, 0), -1);
    index_relink(&index, 0);
    assert_int_equal(index_first(&index, UINT64_MAX), -1);
    free(memory);
}

/* A generator of the test's own, the same on every run. */
static uint64_t next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* The answer of a scan from the front is the oracle, before and after a compaction. */
static void check(const struct index *index, const uint64_t *hashes, int count, uint64_t hash)
{
    int row = index_first(index, hash);
    for (int i = 0; i < count; i++) {
        if (hashes[i] != hash)
            continue;
        assert_int_equal(row, i);
        row = index_next(index, row);
    }
    assert_int_equal(row, -1);
}

static void test_it_finds_what_a_scan_finds(void **state)
{
    (void)state;
    struct index index;
    uint64_t hashes[ROWS];
    uint64_t seed = 12345;
    void *memory = make(&index, ROWS);
    for (int i = 0; i < ROWS; i++) {
        hashes[i] = next(&seed) % 200 * 0x100000000u + next(&seed) % 3;
        index_add(&index, i, hashes[i]);
    }
    for (int round = 0, count = ROWS; count > 0; round++) {
        for (int i = 0; i < count; i++)
            check(&index, hashes, count, hashes[i]);
        check(&index, hashes, count, UINT64_MAX);
        /* About a third goes. */
        int kept = 0;
        for (int i = 0; i < count; i++) {
            if (next(&seed) % 3 == 0 || round > 40)
                continue;
            hashes[kept] = hashes[i];
            index_move(&index, i, kept++);
        }
        count = kept;
        index_relink(&index, count);
        /* And some come. */
        for (int i = 0; i < 20 && round < 10; i++, count++) {
            hashes[count] = next(&seed) % 200 * 0x100000000u;
            index_add(&index, count, hashes[count]);
        }
    }
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_one_hash_come_in_order),
        cmocka_unit_test(test_an_index_of_nothing_finds_nothing),
        cmocka_unit_test(test_it_finds_what_a_scan_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
