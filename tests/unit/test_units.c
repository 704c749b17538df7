#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/units.h"

typedef int (*reader)(const char *text, int64_t *ret_value, struct error *err);

struct example {
    const char *text;
    int64_t value;
};

static void assert_examples(reader read, const struct example *examples, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = -1;
        struct error err = {0};
        if (read(examples[i].text, &value, &err) < 0) {
            fail_msg("%s", err.text);
        }
        if (value != examples[i].value) {
            fail_msg("\"%s\" is %lld", examples[i].text, (long long)value);
        }
    }
}

static void assert_refused(reader read, int code, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t value = 7;
        struct error err = {0};
        if (read(texts[i], &value, &err) != code) {
            fail_msg("\"%s\": %s %s", texts[i], error_name(err.code), err.text);
        }
        assert_int_equal(value, 7);
        assert_int_equal(err.text[0], '"');
        assert_int_equal(strncmp(err.text + 1, texts[i], strlen(texts[i])), 0);
    }
}

#define EXAMPLES(read, ...)                                                      \
    do {                                                                         \
        static const struct example examples[] = {__VA_ARGS__};                  \
        assert_examples(read, examples, sizeof(examples) / sizeof(examples[0])); \
    } while (0)
#define REFUSED(read, code, ...)                                             \
    do {                                                                     \
        static const char *const texts[] = {__VA_ARGS__};                    \
        assert_refused(read, code, texts, sizeof(texts) / sizeof(texts[0])); \
    } while (0)

static void cpu_is_in_thousandths(void **state)
{
    (void)state;
    EXAMPLES(units_cpu, {"250m", 250}, {"0.5", 500}, {"2", 2000}, {"0", 0}, {"1.0005", 1000},
             {"2.0m", 2});
    REFUSED(units_cpu, ERR_INVALID, "", "25Om", "-1", "0.5m", "0.0001", "2 cores", "m", "1e3",
            "1.2.3", "2 ", " 2", "1,5");
    REFUSED(units_cpu, ERR_OVERFLOW, "9223372036854775807", "99999999999999999999");
    struct error err = {0};
    int64_t value;
    assert_int_equal(units_cpu("25Om", &value, &err), ERR_INVALID);
    assert_string_equal(err.text, "\"25Om\" is not a CPU quantity; write 250m, 0.5 or 2");
}

static void bytes_know_both_kinds_of_prefix(void **state)
{
    (void)state;
    EXAMPLES(units_bytes, {"512", 512}, {"512B", 512}, {"64MiB", INT64_C(64) << 20},
             {"10 GiB", INT64_C(10) << 30}, {"1.5KB", 1500}, {"1.5KiB", 1536}, {"1kB", 1000},
             {"2Gi", INT64_C(2) << 30}, {"1.1GiB", 1181116006}, {"8191PiB", INT64_C(8191) << 50},
             {"0", 0}, {"1PB", INT64_C(1000000000000000)}, {"9223372036854775807", INT64_MAX},
             {"0001.50000000000000000000000KB", 1500});
    REFUSED(units_bytes, ERR_INVALID, "1.5", "1.5B", "10  GiB", "10 ", "1gib", "1Mb", "GiB", "-1KB",
            "1 0KB", "0.0001KB", "1KB2", "1.KB", ".5KB", "1..5KB");
    REFUSED(units_bytes, ERR_OVERFLOW, "8192PiB", "9223372036854775808", "1.0000000000000000001KB",
            "12345678901234567890123456789012345678901234567890");
}

static void durations_add_up(void **state)
{
    (void)state;
    EXAMPLES(units_duration, {"40ms", 40000}, {"2s", 2000000}, {"1h30m", INT64_C(5400000000)},
             {"250us", 250}, {"1.5h", INT64_C(5400000000)}, {"0", 0}, {"0s", 0},
             {"5min", INT64_C(300000000)}, {"2d", INT64_C(172800000000)}, {"1.5 ms", 1500},
             {"1m30s", 90000000});
    REFUSED(units_duration, ERR_INVALID, "", "5", "1h30", "1h 30m", "-1s", "1.5us", "ms", "1 hour",
            "1h-1m", "0.0001us");
    REFUSED(units_duration, ERR_OVERFLOW, "106751992d", "106751991d106751991d");
}

static void rates_stay_integers_when_slow(void **state)
{
    (void)state;
    EXAMPLES(units_rate, {"200/s", 200000}, {"12/min", 200}, {"0.5/s", 500}, {"36/h", 10},
             {"2500 /s", 2500000}, {"0/s", 0}, {"864/day", 10},
             {"9223372036854775.807/s", INT64_MAX});
    REFUSED(units_rate, ERR_INVALID, "200", "/s", "200/sec", "1/h", "-1/s", "200/ s");
    REFUSED(units_rate, ERR_OVERFLOW, "9999999999999999999/s");
    EXAMPLES(units_byte_rate, {"2MiB/s", 2 << 20}, {"86400 B/day", 1}, {"1.5KB/min", 25},
             {"0/s", 0}, {"90/min", 2}, {"31B/min", 1}, {"9000B/h", 2});
    REFUSED(units_byte_rate, ERR_INVALID, "2MiB", "/s", "2MiB/sec", "-1B/s", "30B/min", "2MiB/ s",
            "1MiB//s");
    REFUSED(units_byte_rate, ERR_OVERFLOW, "9999PiB/s");
}

static void ratios_are_in_millionths(void **state)
{
    (void)state;
    EXAMPLES(units_ratio, {"0.85", 850000}, {"85%", 850000}, {"85 %", 850000}, {"1", 1000000},
             {"0", 0}, {"1.2", 1200000}, {"0.3333333", 333333}, {"0.00025%", 2},
             {"0.00035%", 4}); /* halves go to even */
    REFUSED(units_ratio, ERR_INVALID, "85 percent", "-0.1", "0.00000001", "%", "0.5.5", "1/3");
}

static void quantities_print_short(void **state)
{
    (void)state;
    char out[UNITS_TEXT_BYTES];
    assert_string_equal(units_format_bytes(0, out), "0 B");
    assert_string_equal(units_format_bytes(1023, out), "1023 B");
    assert_string_equal(units_format_bytes(1024, out), "1 KiB");
    assert_string_equal(units_format_bytes((INT64_C(3) << 30) / 2, out), "1.5 GiB");
    assert_string_equal(units_format_bytes((1 << 20) - 1, out), "1 MiB");
    assert_string_equal(units_format_bytes(-2048, out), "-2 KiB");
    assert_string_equal(units_format_bytes(INT64_MAX, out), "8 EiB");
    assert_string_equal(units_format_bytes(INT64_MIN, out), "-8 EiB");
    assert_string_equal(units_format_duration(40000, out), "40 ms");
    assert_string_equal(units_format_duration(0, out), "0 us");
    assert_string_equal(units_format_duration(999, out), "999 us");
    assert_string_equal(units_format_duration(1550, out), "1.6 ms");
    assert_string_equal(units_format_duration(999960, out), "1 s");
    assert_string_equal(units_format_duration(2500000, out), "2.5 s");
    assert_string_equal(units_format_duration(59999600, out), "1 min");
    assert_string_equal(units_format_duration(90000000, out), "1 min 30 s");
    assert_string_equal(units_format_duration(INT64_C(5400000000), out), "1 h 30 min");
    assert_string_equal(units_format_duration(INT64_C(172800000000), out), "2 d");
    assert_string_equal(units_format_duration(-90000000, out), "-1 min 30 s");
    assert_non_null(units_format_duration(INT64_MIN, out));
    assert_string_equal(units_format_rate(200000, out), "200/s");
    assert_string_equal(units_format_rate(1500, out), "1.5/s");
    assert_string_equal(units_format_rate(200, out), "12/min");
    assert_string_equal(units_format_rate(10, out), "36/h");
    assert_string_equal(units_format_rate(0, out), "0/s");
    assert_non_null(units_format_rate(INT64_MIN, out));
    assert_string_equal(units_format_ratio(850000, out), "85 %");
    assert_string_equal(units_format_ratio(1, out), "0.0001 %");
    assert_string_equal(units_format_ratio(1200000, out), "120 %");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_is_in_thousandths),
        cmocka_unit_test(bytes_know_both_kinds_of_prefix),
        cmocka_unit_test(durations_add_up),
        cmocka_unit_test(rates_stay_integers_when_slow),
        cmocka_unit_test(ratios_are_in_millionths),
        cmocka_unit_test(quantities_print_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
