#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"

static void clocks_do_not_go_back(void **state)
{
    (void)state;
    struct mono mono = clock_mono_now();
    struct boot boot = clock_boot_now();
    for (int i = 0; i < 1000; i++) {
        struct mono mono_next = clock_mono_now();
        struct boot boot_next = clock_boot_now();
        assert_true(mono_next.us >= mono.us);
        assert_true(boot_next.us >= boot.us);
        mono = mono_next;
        boot = boot_next;
    }
    assert_true(clock_boot_now().us >= clock_mono_now().us - US_PER_S); /* it counts suspend too */
    assert_true(clock_wall_now().us > INT64_C(1600000000) * US_PER_S);
}

static void the_boot_id_is_a_uuid_and_stays(void **state)
{
    (void)state;
    char first[BOOT_ID_BYTES];
    char second[BOOT_ID_BYTES];
    assert_int_equal(clock_boot_id(first), 0);
    assert_int_equal(clock_boot_id(second), 0);
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), 36);
    assert_int_equal(first[8], '-');
}

static void assert_wall(int64_t us, const char *expected)
{
    char text[WALL_TEXT_BYTES];
    assert_string_equal(wall_format((struct wall){us}, text), expected);
}

static void instants_print_as_rfc_3339(void **state)
{
    (void)state;
    assert_wall(0, "1970-01-01T00:00:00.000000Z");
    assert_wall(-1, "1969-12-31T23:59:59.999999Z");
    assert_wall(INT64_C(951782400) * US_PER_S, "2000-02-29T00:00:00.000000Z");
    assert_wall(INT64_C(1795306867) * US_PER_S + 123456, "2026-11-22T00:21:07.123456Z");
    char text[WALL_TEXT_BYTES];
    assert_string_equal(wall_format((struct wall){INT64_MAX}, text),
                        "294247-01-10T04:00:54.775807Z");
    assert_non_null(wall_format((struct wall){INT64_MIN}, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_do_not_go_back),
        cmocka_unit_test(the_boot_id_is_a_uuid_and_stays),
        cmocka_unit_test(instants_print_as_rfc_3339),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
