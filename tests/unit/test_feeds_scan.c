/* csv_scan and json_scan: what comes out of pieces of every size, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/str.h"
#include "model/feeds/csv_scan.h"
#include "model/feeds/json_scan.h"

#define OUT_BYTES 4096

static char out[OUT_BYTES];

static void say(const char *text)
{
    size_t at = strlen(out);
    assert_int_equal(str_copy(out + at, OUT_BYTES - at, text), 0);
}

static int on_row(void *context, const struct csv_row *row, struct error *err)
{
    char text[64];
    (void)context;
    (void)err;
    str_format(text, sizeof(text), "%d:", (int)row->line);
    say(text);
    for (int i = 0; i < row->count; i++) {
        say("<");
        say(row->fields[i]);
        say(">");
    }
    return 0;
}

static int csv(const char *text, size_t bytes, size_t piece, struct error *err)
{
    struct csv_scan *scan = NULL;
    out[0] = 0;
    assert_int_equal(csv_scan_create(on_row, NULL, &scan, err), 0);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes; at += piece)
        rc = csv_scan_feed(scan, text + at, bytes - at < piece ? bytes - at : piece, err);
    if (rc == 0)
        rc = csv_scan_end(scan, err);
    csv_scan_destroy(scan);
    return rc;
}

static void test_csv_rows(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf"
                               "a,b\r\n\n\"c,\"\"d\"\"\ne\",\n,,x\"y\n";
    struct error err;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        assert_int_equal(csv(text, sizeof(text) - 1, piece, &err), 0);
        assert_string_equal(out, "1:<a><b>3:<c,\"d\"\ne><>5:<><><x\"y>");
    }
}

static void test_csv_refusals(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *says;
    } cases[] = {
        {"a,\"b\nc", 6, "line 1: the table ends inside a quoted field"},
        {"a\nb,c", 5, "line 2: the table ends without a line end"},
        {"a\n\"b\"c\n", 8, "a quote closes before its field ends"},
        {"a\0b\n", 4, "zero byte"},
    };
    struct error err;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(csv(cases[i].text, cases[i].bytes, 3, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, cases[i].says));
    }
    /* A quote that never closes ends at the limit, not with the memory. */
    size_t bytes = (size_t)LIMIT_FEED_ROW_BYTES + 16;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'x', bytes);
    text[0] = '"';
    assert_int_equal(csv(text, bytes, 4096, &err), ERR_LIMIT);
    memset(text, ',', bytes);
    assert_int_equal(csv(text, bytes, 4096, &err), ERR_LIMIT);
    free(text);
}

static int on_event(void *context, const struct json_scan *scan, enum json_event event,
                    const char *text, struct error *err)
{
    static const char *const marks[] = {"{", "[", "!", "'", "#", "?"};
    char place[32];
    (void)context;
    (void)err;
    for (int i = 0; i < json_depth(scan); i++) {
        str_format(place, sizeof(place), "[%d]", (int)json_place(scan, i));
        say(json_place(scan, i) >= 0 ? place : ".");
        say(json_key(scan, i));
    }
    say(marks[event]);
    say(text);
    say(" ");
    return 0;
}

static int json(const char *text, size_t piece, struct error *err)
{
    struct json_scan *scan = NULL;
    size_t bytes = strlen(text);
    out[0] = 0;
    assert_int_equal(json_scan_create(on_event, NULL, &scan, err), 0);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes; at += piece)
        rc = json_scan_feed(scan, text + at, bytes - at < piece ? bytes - at : piece, err);
    if (rc == 0)
        rc = json_scan_end(scan, err);
    json_scan_destroy(scan);
    return rc;
}

static void test_json_events(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, -2.5e3,\n {\"b\":\"\\u00e9\\ud83d\\ude00\\n\\\"\"}], "
                               "\"c\":{}, \"d\":[], \"e\":null}\n";
    struct error err;
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        assert_int_equal(json(text, piece, &err), 0);
        assert_string_equal(out, "{ .a[ .a[0]#1 .a[1]#-2.5e3 .a[2]{ .a[2].b'\u00e9\U0001f600\n\" "
                                 ".a[2]! .a! .c{ .c! .d[ .d! .e?null ! ");
    }
    assert_int_equal(json("12", 1, &err), 0);
    assert_string_equal(out, "#12 ");
}

static void test_json_refusals(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "{",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\" 1}",
        "[1 2]",
        "[01]",
        "[1.]",
        "[+1]",
        "[nul]",
        "[True]",
        "\"a",
        "[\"\\x\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00\"]",
        "[\"\n\"]",
        "{]",
        "[1]]",
        "{a:1}",
        "[1e]",
        "1 2",
        "[\"\\u0000\"]",
    };
    struct error err;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        for (size_t piece = 1; piece < 4; piece++)
            if (json(texts[i], piece, &err) != ERR_INVALID)
                fail_msg("taken: %s", texts[i]);
    assert_int_equal(json("{\n\"a\":\n[1,\n", 4, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "line 4: the JSON ends early, 2 levels deep"));
    char deep[LIMIT_DOC_DEPTH + 2];
    memset(deep, '[', sizeof(deep));
    deep[sizeof(deep) - 1] = 0;
    assert_int_equal(json(deep, 1, &err), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_csv_rows),
        cmocka_unit_test(test_csv_refusals),
        cmocka_unit_test(test_json_events),
        cmocka_unit_test(test_json_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
