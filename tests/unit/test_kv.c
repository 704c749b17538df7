#include "base/bus/kv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct bus_message message(const char *text, int status)
{
    return (struct bus_message){
        .subject = "", .reply = "", .data = text, .bytes = strlen(text), .status = status};
}

static void test_answers_to_a_put(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        int rc;
    } answers[] = {
        {"{\"stream\":\"KV_x\",\"seq\":7}", 0, 0},
        {"{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 3\"},"
         "\"stream\":\"KV_x\",\"seq\":0}",
         0, ERR_STALE},
        {"{\"error\":{\"code\":503,\"err_code\":10076}}", 0, ERR_INVALID},
        {"{\"stream\":\"KV_x\",\"seq\":0}", 0, ERR_INVALID},
        {"{\"stream\":\"KV_x\"}", 0, ERR_INVALID},
        {"[7]", 0, ERR_INVALID},
        {"", 0, ERR_INVALID},
        {"", 503, ERR_UNAVAILABLE},
        {"", 408, ERR_TIMEOUT},
    };
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct error err = {0};
        uint64_t revision = 99;
        struct bus_message answer = message(answers[i].text, answers[i].status);
        assert_int_equal(kv_was_put(&answer, &revision, &err), answers[i].rc);
        assert_int_equal(revision, answers[i].rc == 0 ? 7 : 99);
    }
}

static void test_answers_to_a_get(void **state)
{
    (void)state;
    struct error err = {0};
    struct kv_entry entry;
    struct bus_message answer =
        message("{\"message\":{\"subject\":\"$KV.x.y\",\"seq\":12,\"data\":\"eyJuIjoxfQ==\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), 0);
    assert_int_equal(entry.revision, 12);
    assert_int_equal(entry.bytes, 7);
    assert_string_equal(entry.value, "{\"n\":1}");
    /* Deleted: a marker without a value, on whose revision the next put is based. */
    answer = message("{\"message\":{\"seq\":13,\"hdrs\":\"S1Y=\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), 0);
    assert_int_equal(entry.revision, 13);
    assert_int_equal(entry.bytes, 0);
    answer = message("{\"error\":{\"code\":404,\"err_code\":10037,\"description\":\"none\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), 0);
    assert_int_equal(entry.revision, 0);
    answer = message("{\"error\":{\"code\":404,\"err_code\":10059,\"description\":\"none\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), ERR_NOT_FOUND);
    answer = message("{\"message\":{\"data\":\"eyJuIjoxfQ==\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), ERR_INVALID);
    answer = message("{\"message\":{\"seq\":1,\"data\":\"***\"}}", 0);
    assert_int_equal(kv_got(&answer, &entry, &err), ERR_LIMIT);
    answer = message("", 408);
    assert_int_equal(kv_got(&answer, &entry, &err), ERR_TIMEOUT);
}

static void test_names_are_checked_before_anything_is_sent(void **state)
{
    (void)state;
    static const char *const keys[] = {"",   ".a", "a.",   "a..b",    "a b",
                                       "a*", "a>", "a\"b", "\xc3\xa4"};
    struct error err = {0};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        assert_int_equal(kv_get(NULL, "owners", keys[i], 1, NULL, NULL, &err), ERR_INVALID);
        assert_int_equal(kv_put(NULL, "owners", keys[i], 0, "", 0, 1, NULL, NULL, &err),
                         ERR_INVALID);
    }
    assert_int_equal(kv_get(NULL, "own.ers", "a", 1, NULL, NULL, &err), ERR_INVALID);
    assert_int_equal(kv_bucket_make(NULL, "", 1, NULL, NULL, &err), ERR_INVALID);
    char key[300];
    memset(key, 'a', sizeof(key) - 1);
    key[sizeof(key) - 1] = 0;
    assert_int_equal(kv_get(NULL, "owners", key, 1, NULL, NULL, &err), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_to_a_put),
        cmocka_unit_test(test_answers_to_a_get),
        cmocka_unit_test(test_names_are_checked_before_anything_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
