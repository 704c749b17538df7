/* Canonical JSON: the exact bytes of every kind of value, and a hash that needs no buffer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "model/json_out.h"

static void write_all(struct json_out *json)
{
    json_open(json, NULL, '{');
    json_string(json, "name", "shop");
    json_bool(json, "automatic", true);
    json_bool(json, "pinned", false);
    json_int(json, "least", INT64_MIN);
    json_price(json, "price", (struct decimal){23, 3});
    json_duration(json, "limit", 40000);
    json_cpu(json, "cpu", 250);
    json_rate(json, "calls", 250);
    json_millionths(json, "hit", 900000);
    json_millionths(json, "west", -74005941);
    json_millionths(json, "edge", INT64_MIN);
    json_open(json, "empty", '[');
    json_close(json, ']');
    json_open(json, "list", '[');
    json_string(json, NULL, "a");
    json_open(json, NULL, '{');
    json_close(json, '}');
    json_int(json, NULL, 7);
    json_close(json, ']');
    json_int(json, "last", 0);
    json_close(json, '}');
}

static void every_kind_has_its_exact_bytes(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 4096);
    struct json_out json;
    json_out_init(&json, &text);
    write_all(&json);
    assert_int_equal(strbuf_error(&text, NULL), 0);
    assert_string_equal(strbuf_text(&text),
                        "{\"name\":\"shop\",\"automatic\":true,\"pinned\":false,"
                        "\"least\":-9223372036854775808,\"price\":\"0.023\","
                        "\"limit\":\"40000us\",\"cpu\":\"250m\",\"calls\":\"0.250/s\","
                        "\"hit\":\"0.900000\",\"west\":\"-74.005941\","
                        "\"edge\":\"-9223372036854.775808\",\"empty\":[],"
                        "\"list\":[\"a\",{},7],\"last\":0}");
    strbuf_done(&text);
}

static void what_json_cannot_hold_is_escaped(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 4096);
    struct json_out json;
    json_out_init(&json, &text);
    json_open(&json, NULL, '{');
    json_string(&json, "a\"b", "\\ \n\t\x1f\x7f \xc3\xbc /");
    json_string(&json, "none", "");
    json_close(&json, '}');
    assert_string_equal(strbuf_text(&text), "{\"a\\\"b\":\"\\\\ \\u000a\\u0009\\u001f\\u007f "
                                            "\xc3\xbc /\",\"none\":\"\"}");
    strbuf_done(&text);
}

static void the_hash_is_the_same_with_or_without_a_buffer(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 4096);
    struct json_out kept, hashed, other;
    json_out_init(&kept, &text);
    json_out_init(&hashed, NULL);
    json_out_init(&other, NULL);
    write_all(&kept);
    write_all(&hashed);
    write_all(&other);
    json_int(&other, NULL, 1);
    assert_true(kept.hash == hashed.hash);
    assert_true(other.hash != hashed.hash);
    strbuf_done(&text);
}

static void a_full_buffer_is_reported_and_the_hash_goes_on(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 20);
    struct json_out cut, whole;
    json_out_init(&cut, &text);
    json_out_init(&whole, NULL);
    write_all(&cut);
    write_all(&whole);
    assert_int_equal(strbuf_error(&text, NULL), ERR_LIMIT);
    assert_true(cut.hash == whole.hash);
    strbuf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_its_exact_bytes),
        cmocka_unit_test(what_json_cannot_hold_is_escaped),
        cmocka_unit_test(the_hash_is_the_same_with_or_without_a_buffer),
        cmocka_unit_test(a_full_buffer_is_reported_and_the_hash_goes_on),
    };
    return cmocka_run_group_tests_name("json_out", tests, NULL, NULL);
}
