/* What a resource admits: epochs in all forms that it meets, and the fence that only rises. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "executors/contract/berth_fence.h"

static void test_texts(void **state)
{
    (void)state;
    struct berth_epoch epoch = {7, 7};
    char text[BERTH_EPOCH_BYTES];
    assert_int_equal(berth_epoch_parse("3.41", &epoch), 0);
    assert_int_equal(epoch.term, 3);
    assert_int_equal(epoch.n, 41);
    assert_string_equal(berth_epoch_format(epoch, text), "3.41");
    const char *most = "18446744073709551615.18446744073709551615";
    assert_int_equal(berth_epoch_parse(most, &epoch), 0);
    assert_string_equal(berth_epoch_format(epoch, text), most);
    static const char *const wrong[] = {"",
                                        "3",
                                        ".",
                                        "3.",
                                        ".3",
                                        "3.4.5",
                                        "3.4 ",
                                        " 3.4",
                                        "+3.4",
                                        "-3.4",
                                        "3.-4",
                                        "03.4",
                                        "3.04",
                                        "3,4",
                                        "3.4x",
                                        "0x3.4",
                                        "18446744073709551616.0"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        epoch = (struct berth_epoch){7, 7};
        errno = 0;
        if (berth_epoch_parse(wrong[i], &epoch) == 0)
            fail_msg("'%s' was taken for an epoch", wrong[i]);
        assert_int_equal(errno, EINVAL);
        assert_int_equal(epoch.term, 7); /* nothing written */
    }
}

static int parse_value(const char *value, struct berth_epoch *ret_epoch)
{
    return berth_epoch_parse_value(value, strlen(value), ret_epoch);
}

static void test_values(void **state)
{
    (void)state;
    struct berth_epoch epoch;
    static const char *const good[] = {
        "{\"term\":3,\"n\":41,\"instance\":\"abc\"}",
        " { \"instance\" : \"a\\\"}b\" , \"n\" : 41 , \"term\" : 3 } \n",
        "{\"more\":{\"n\":[1,2,{\"term\":9}],\"x\":null},\"n\":41,\"term\":3,\"z\":-1.5e3}",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        epoch = (struct berth_epoch){0, 0};
        if (parse_value(good[i], &epoch) < 0)
            fail_msg("refused: %s", good[i]);
        assert_int_equal(epoch.term, 3);
        assert_int_equal(epoch.n, 41);
    }
    static const char *const wrong[] = {
        "",
        "{",
        "{}",
        "[]",
        "3.41",
        "{\"term\":3}",
        "{\"n\":41}",
        "{\"term\":3,\"n\":\"41\"}",
        "{\"term\":3,\"n\":-41}",
        "{\"term\":3,\"n\":4.1}",
        "{\"term\":3,\"n\":41,}",
        "{\"term\":3,\"n\":41}x",
        "{\"term\":3,\"n\":41",
        "{\"term\":3,\"term\":4,\"n\":41}",
        "{\"term\":3 \"n\":41}",
        "{\"term\":3,\"n\":41,\"instance\":\"abc}",
        "{\"term\":18446744073709551616,\"n\":41}",
        "{\"x\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]],\"term\":3,\"n\":41}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (parse_value(wrong[i], &epoch) == 0)
            fail_msg("believed: %s", wrong[i]);
}

static void test_order(void **state)
{
    (void)state;
    static const struct berth_epoch rising[] = {{0, 0}, {0, 1}, {1, 0}, {1, 9}, {2, 1}, {10, 0}};
    for (size_t i = 0; i < sizeof rising / sizeof rising[0]; i++)
        for (size_t k = 0; k < sizeof rising / sizeof rising[0]; k++)
            assert_int_equal(berth_epoch_compare(rising[i], rising[k]), (i > k) - (i < k));
}

static void test_admits(void **state)
{
    (void)state;
    struct berth_fence fence = {0};
    const struct berth_epoch none = {0, 0}, first = {1, 5}, second = {1, 6}, later = {2, 0};
    assert_int_equal(berth_fence_admit(&fence, none), BERTH_FENCE_REFUSED);
    assert_int_equal(berth_fence_admit(&fence, first), BERTH_FENCE_RAISED);
    assert_int_equal(berth_fence_admit(&fence, first), BERTH_FENCE_ADMITTED);
    assert_int_equal(berth_fence_admit(&fence, later), BERTH_FENCE_RAISED);
    /* The old owner wakes up, as often as it likes; a term counts more than any n. */
    assert_int_equal(berth_fence_admit(&fence, first), BERTH_FENCE_REFUSED);
    assert_int_equal(berth_fence_admit(&fence, second), BERTH_FENCE_REFUSED);
    assert_int_equal(berth_fence_admit(&fence, none), BERTH_FENCE_REFUSED);
    assert_int_equal(berth_epoch_compare(fence.highest, later), 0);
    assert_int_equal(berth_fence_admit(&fence, later), BERTH_FENCE_ADMITTED);
}

static void test_keys(void **state)
{
    (void)state;
    char key[32];
    assert_int_equal(berth_fence_key("default", "shop", "counter", 2, key, sizeof key), 0);
    assert_string_equal(key, "default.shop.counter.2");
    errno = 0;
    assert_int_equal(berth_fence_key("default", "shop", "counter", 2, key, 22), -1);
    assert_int_equal(errno, EMSGSIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),  cmocka_unit_test(test_values), cmocka_unit_test(test_order),
        cmocka_unit_test(test_admits), cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests_name("fence", tests, NULL, NULL);
}
