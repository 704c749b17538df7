#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/str.h"

static void a_buffer_grows_to_its_ceiling_and_breaks_once(void **state)
{
    (void)state;
    struct strbuf buf;
    strbuf_init(&buf, 1000);
    assert_string_equal(strbuf_text(&buf), "");
    for (int i = 0; i < 100; i++) {
        strbuf_printf(&buf, "%d-%s", i % 10, "berth678");
    }
    assert_int_equal(buf.bytes, 1000);
    assert_int_equal(strbuf_error(&buf, NULL), 0);
    strbuf_puts(&buf, "");
    assert_false(buf.broken);
    strbuf_puts(&buf, "x");
    assert_true(buf.broken);
    assert_int_equal(buf.bytes, 1000);
    assert_int_equal(strlen(strbuf_text(&buf)), 1000);
    struct error err = {0};
    assert_int_equal(strbuf_error(&buf, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "1000 bytes"));
    strbuf_reset(&buf);
    strbuf_append(&buf, "a\0b", 3);
    assert_int_equal(strbuf_error(&buf, NULL), 0);
    assert_memory_equal(strbuf_text(&buf), "a\0b\0", 4);
    strbuf_done(&buf);
    assert_string_equal(strbuf_text(&buf), "");
    strbuf_done(NULL);
}

static void after_a_failure_nothing_is_appended(void **state)
{
    (void)state;
    struct strbuf buf;
    strbuf_init(&buf, 4);
    strbuf_puts(&buf, "abc");
    strbuf_printf(&buf, "%s", "de");
    strbuf_puts(&buf, "f"); /* would fit, but the text before it is missing */
    assert_string_equal(strbuf_text(&buf), "abc");
    assert_int_equal(strbuf_error(&buf, NULL), ERR_LIMIT);
    strbuf_done(&buf);
}

static void a_copy_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    char out[6] = "?????";
    assert_int_equal(str_copy(out, sizeof(out), "berth"), 0);
    assert_string_equal(out, "berth");
    assert_int_equal(str_copy(out, sizeof(out), "berths"), ERR_LIMIT);
    assert_string_equal(out, "");
    str_format(out, sizeof(out), "%d", 12345);
    assert_string_equal(out, "12345");
    assert_true(str_equal("a", "a") && !str_equal("a", "b"));
    assert_true(str_starts("svc.web", "svc.") && str_starts("x", "") && !str_starts("x", "xy"));
}

static void names_are_labels_tokens_and_file_names(void **state)
{
    (void)state;
    char name[65];
    memset(name, 'a', 64);
    name[63] = '\0';
    assert_true(name_is_valid(name));
    name[63] = 'a';
    name[64] = '\0';
    assert_false(name_is_valid(name));
    static const char *const good[] = {"a", "0", "web-2", "us-east-1", "a--b"};
    static const char *const bad[] = {"",    "-a",  "a-", "A",   "a.b",
                                      "a_b", "a/b", "..", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(name_is_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(name_is_valid(bad[i]));
    }
}

static void characters_are_told_from_stray_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {
        {"a", 1},
        {"\x7f", 1},
        {"\xc2\x80", 2},
        {"\xdf\xbf", 2},
        {"\xe0\xa0\x80", 3},
        {"\xef\xbf\xbf", 3},
        {"\xed\x9f\xbf", 3},
        {"\xf0\x90\x80\x80", 4},
        {"\xf4\x8f\xbf\xbf", 4},
        {"\x80", 0},
        {"\xc1\xbf", 0},
        {"\xe0\x9f\xbf", 0},
        {"\xed\xa0\x80", 0},
        {"\xf0\x8f\xbf\xbf", 0},
        {"\xf4\x90\x80\x80", 0},
        {"\xf5\x80\x80\x80", 0},
        {"\xff", 0},
        {"\xc3(", 0},
        {"\xe2\x82(", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t left = strlen(cases[i].text);
        assert_int_equal(str_utf8_bytes(cases[i].text, left), cases[i].bytes);
        if (cases[i].bytes > 1) {
            assert_int_equal(str_utf8_bytes(cases[i].text, left - 1), 0);
        }
    }
}

static void the_nearest_word_is_within_a_third(void **state)
{
    (void)state;
    static const char *const words[] = {"replicas", "resources", "cpu", "memory", NULL, "gcp"};
    size_t count = sizeof(words) / sizeof(words[0]);
    assert_string_equal(str_nearest("replcas", words, count), "replicas");
    assert_string_equal(str_nearest("erplicas", words, count), "replicas"); /* swapped: one */
    assert_string_equal(str_nearest("gpc", words, count), "gcp");
    assert_string_equal(str_nearest("Memory", words, count), "memory");
    assert_string_equal(str_nearest("MEMORY", words, count), "memory");
    assert_string_equal(str_nearest("cpu", words, count), "cpu");
    assert_null(str_nearest("xy", words, count));
    assert_null(str_nearest("disk", words, count));
    assert_null(str_nearest("memxxx", words, count)); /* three of six letters */
    assert_null(str_nearest("", words, count));
    assert_null(str_nearest("anything", words, 0));
    char longest[200];
    memset(longest, 'r', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_null(str_nearest(longest, words, count));
}

static void numbers_are_whole_strings(void **state)
{
    (void)state;
    int64_t value = 7;
    uint64_t magnitude = 7;
    assert_int_equal(str_to_i64("-9223372036854775808", &value), 0);
    assert_true(value == INT64_MIN);
    assert_int_equal(str_to_i64("9223372036854775807", &value), 0);
    assert_true(value == INT64_MAX);
    assert_int_equal(str_to_u64("18446744073709551615", &magnitude), 0);
    assert_true(magnitude == UINT64_MAX);
    value = 7;
    magnitude = 7;
    static const char *const large[] = {"9223372036854775808", "-9223372036854775809",
                                        "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(str_to_i64(large[i], &value), ERR_OVERFLOW);
    }
    assert_int_equal(str_to_u64("18446744073709551616", &magnitude), ERR_OVERFLOW);
    static const char *const bad[] = {"", "-", "+1", " 1", "1 ", "1a", "0x1", "--1", "1.0"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(str_to_i64(bad[i], &value), ERR_INVALID);
        assert_int_equal(str_to_u64(bad[i], &magnitude), ERR_INVALID);
    }
    assert_int_equal(str_to_u64("-1", &magnitude), ERR_INVALID);
    assert_int_equal(value, 7); /* written on success only */
    assert_int_equal(magnitude, 7);
}

static void hashes_are_pinned(void **state)
{
    (void)state;
    /* Journals hold these values: a change of the function is a change of the format. */
    assert_true(hash_u64(HASH_SEED, 1) == hash_bytes(HASH_SEED, "\1\0\0\0\0\0\0\0", 8));
    for (int bits = 0; bits <= 64; bits++) {
        static const uint64_t patterns[] = {UINT64_MAX, UINT64_C(0x8100008100810081)};
        for (int i = 0; i < 2; i++) {
            uint64_t value = bits == 0 ? 0 : patterns[i] >> (64 - bits);
            unsigned char bytes[8];
            for (int k = 0; k < 8; k++) {
                bytes[k] = (unsigned char)(value >> (8 * k));
            }
            assert_true(hash_u64(HASH_SEED, value) == hash_bytes(HASH_SEED, bytes, 8));
        }
    }
    assert_true(hash_str(HASH_SEED, "ab") == hash_bytes(HASH_SEED, "ab", 3));
    assert_true(hash_str(hash_str(HASH_SEED, "a"), "bc") !=
                hash_str(hash_str(HASH_SEED, "ab"), "c"));
    assert_true(hash_str(HASH_SEED, "berth") == UINT64_C(0x16b8ee333cbdf7fd));
    assert_true(hash_u64(HASH_SEED, UINT64_MAX) == UINT64_C(0x6a92c0228678c02e));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_grows_to_its_ceiling_and_breaks_once),
        cmocka_unit_test(after_a_failure_nothing_is_appended),
        cmocka_unit_test(a_copy_that_does_not_fit_is_an_error),
        cmocka_unit_test(names_are_labels_tokens_and_file_names),
        cmocka_unit_test(characters_are_told_from_stray_bytes),
        cmocka_unit_test(the_nearest_word_is_within_a_third),
        cmocka_unit_test(numbers_are_whole_strings),
        cmocka_unit_test(hashes_are_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
