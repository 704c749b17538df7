#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "base/arena.h"

static void memory_is_zeroed_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    unsigned char *before = NULL;
    size_t before_bytes = 0;
    for (size_t bytes = 0; bytes < 600; bytes++) {
        unsigned char *memory = arena_alloc(&arena, bytes);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < bytes; i++) {
            assert_int_equal(memory[i], 0);
        }
        memset(memory, 0xee, bytes);
        for (size_t i = 0; i < before_bytes; i++) {
            assert_int_equal(before[i], 0xee);
        }
        before = memory;
        before_bytes = bytes;
    }
    arena_done(&arena);
}

static void a_reset_arena_hands_out_zeroes_again(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    unsigned char *first = arena_alloc(&arena, 1000);
    memset(first, 0xff, 1000);
    assert_non_null(arena_alloc(&arena, 100000));
    arena_reset(&arena);
    assert_int_equal(arena.bytes_used, 0);
    unsigned char *again = arena_alloc(&arena, 1000);
    assert_ptr_equal(first, again); /* the first chunk stays */
    for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(again[i], 0);
    }
    arena_done(&arena);
}

/* Whatever the sizes, and whether zeroes were asked for or not: nothing of an earlier round is seen
 * where they were, and rounds that need the same take the same memory. */
static void rounds_reuse_chunks_and_see_zeroes(void **state)
{
    (void)state;
    struct arena arena;
    uint64_t seed = 20261122;
    arena_init(&arena, 8 << 20);
    for (int round = 0; round < 200; round++) {
        unsigned char *before = NULL;
        size_t before_bytes = 0;
        for (int i = 0; i < 40; i++) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            size_t bytes = (size_t)(seed >> 33) % (i % 13 == 0 ? 90000 : 3000);
            bool raw = (seed >> 60) % 2 == 0;
            unsigned char *memory =
                raw ? arena_alloc_raw(&arena, bytes) : arena_alloc(&arena, bytes);
            assert_non_null(memory);
            assert_int_equal((uintptr_t)memory % 16, 0);
            for (size_t k = 0; k < bytes && !raw; k++)
                assert_int_equal(memory[k], 0);
            memset(memory, 0xa0 + i, bytes);
            for (size_t k = 0; k < before_bytes; k++)
                assert_int_equal(before[k], 0xa0 + i - 1);
            before = memory;
            before_bytes = bytes;
        }
        arena_reset(&arena);
    }
    arena_done(&arena);
    arena_init(&arena, 8 << 20);
    void *seen[2][20];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++)
            assert_non_null(seen[round][i] = arena_alloc_raw(&arena, 5000));
        arena_reset(&arena);
    }
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
    arena_done(&arena);
}

/* More than a MiB, where that is said; it is given back where less is. */
static void large_rounds_can_be_kept(void **state)
{
    (void)state;
    struct arena arena;
    void *seen[3][8];
    arena_init(&arena, 64 << 20);
    arena_keep(&arena, 32 << 20);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 8; i++) {
            assert_non_null(seen[round][i] = arena_alloc_raw(&arena, 3 << 20));
            memset(seen[round][i], 0xee, 3 << 20);
        }
        arena_reset(&arena);
    }
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
    assert_memory_equal(seen[0], seen[2], sizeof seen[0]);
    const unsigned char *zeroes = arena_alloc(&arena, 3 << 20);
    for (size_t i = 0; i < 3 << 20; i++) {
        assert_int_equal(zeroes[i], 0);
    }
    arena_done(&arena);
}

/* A kept chunk that is too small is passed over; what is too large to be kept is given back. */
static void a_large_allocation_after_a_reset(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 16 << 20);
    for (int round = 0; round < 5; round++) {
        assert_non_null(arena_alloc(&arena, 100));
        assert_non_null(arena_alloc(&arena, 5000));
        unsigned char *large = arena_alloc(&arena, 3 << 20);
        assert_non_null(large);
        for (size_t i = 0; i < 3 << 20; i += 997)
            assert_int_equal(large[i], 0);
        memset(large, 0xff, 3 << 20);
        unsigned char *after = arena_alloc(&arena, 200000);
        assert_non_null(after);
        for (size_t i = 0; i < 200000; i++)
            assert_int_equal(after[i], 0);
        memset(after, 0xff, 200000);
        arena_reset(&arena);
        assert_int_equal(arena.bytes_used, 0);
    }
    arena_done(&arena);
}

static void the_ceiling_refuses_and_the_arena_stays_usable(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024);
    assert_null(arena_alloc(&arena, 1025));
    assert_non_null(arena_alloc(&arena, 1000));
    assert_null(arena_alloc(&arena, 17));
    assert_non_null(arena_alloc(&arena, 16));
    assert_int_equal(arena.bytes_used, 1024);
    assert_null(arena_alloc(&arena, 1));
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 1024));
    arena_done(&arena);
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_array(&arena, SIZE_MAX / 2, 3));
    assert_null(arena_array(&arena, (size_t)1 << 33, (size_t)1 << 33));
    arena_done(&arena);
}

static void zeroed_and_missing_arenas_are_accepted(void **state)
{
    (void)state;
    struct arena arena = {0};
    arena_done(&arena);
    arena_done(NULL);
    assert_null(arena_alloc(&arena, 1)); /* no ceiling was given: nothing is allowed */
    arena_reset(&arena);
}

static void texts_are_copied_whole(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    assert_string_equal(arena_strdup(&arena, "berth"), "berth");
    assert_string_equal(arena_strndup(&arena, "berth", 3), "ber");
    assert_string_equal(arena_strndup(&arena, "berth", 30), "berth");
    assert_string_equal(arena_strdup(&arena, ""), "");
    assert_string_equal(arena_printf(&arena, "%s/%d", "gcp", 7), "gcp/7");
    assert_string_equal(arena_printf(&arena, "%*d", 20000, 1) + 19999, "1");
    uint64_t number = 77;
    uint64_t *copy = arena_copy(&arena, &number, sizeof(number));
    assert_int_equal(*copy, 77);
    assert_non_null(arena_copy(&arena, NULL, 0));
    arena_done(&arena);
}

static void the_nth_allocation_can_be_made_to_fail(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    arena.fail_after = 2;
    assert_non_null(arena_alloc(&arena, 8));
    assert_non_null(arena_strdup(&arena, "x"));
    assert_null(arena_printf(&arena, "%d", 1));
    assert_non_null(arena_alloc(&arena, 8)); /* one, then memory is back */
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_zeroed_aligned_and_apart),
        cmocka_unit_test(a_reset_arena_hands_out_zeroes_again),
        cmocka_unit_test(rounds_reuse_chunks_and_see_zeroes),
        cmocka_unit_test(large_rounds_can_be_kept),
        cmocka_unit_test(a_large_allocation_after_a_reset),
        cmocka_unit_test(the_ceiling_refuses_and_the_arena_stays_usable),
        cmocka_unit_test(zeroed_and_missing_arenas_are_accepted),
        cmocka_unit_test(texts_are_copied_whole),
        cmocka_unit_test(the_nth_allocation_can_be_made_to_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
