/* Dates, suggestions and sums of money as the command line shows them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/clock.h"
#include "base/str.h"
#include "scheduler/cli/cost.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/suggest.h"

static void test_dates(void **state)
{
    (void)state;
    struct error err = {0};
    int64_t us = 0;
    assert_int_equal(cost_date("2026-11-01", &us, &err), 0);
    assert_int_equal(us, INT64_C(1793491200) * US_PER_S);
    assert_int_equal(cost_date("2026-11-01T13", &us, &err), 0);
    assert_int_equal(us, INT64_C(1793538000) * US_PER_S);
    assert_int_equal(cost_date("2026-11-01T13:00Z", &us, &err), 0);
    assert_int_equal(us, INT64_C(1793538000) * US_PER_S);
    assert_int_equal(cost_date("2024-02-29", &us, &err), 0);
    static const char *const wrong[] = {
        "",           "yesterday",     "2026-13-01",       "2026-02-30",
        "2026-11-1x", "2026-11-01T24", "2026-11-01T13:30", "2026-11-01 13:00:00",
        "1969-12-31",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        us = 7;
        assert_int_equal(cost_date(wrong[i], &us, &err), ERR_INVALID);
        assert_non_null(strstr(err.text, "2026-11-01T13"));
        assert_int_equal(us, 7);
    }
}

static void shown(const char *body, const char *expected)
{
    struct strbuf out;
    CLEANUP(cleanup_json) json_t *json = json_loads(body, 0, NULL);
    assert_non_null(json);
    strbuf_init(&out, (size_t)1 << 20);
    suggest_write(json, false, &out);
    assert_string_equal(strbuf_text(&out), expected);
    strbuf_done(&out);
}

static void test_suggestions(void **state)
{
    (void)state;
    shown("{\"status\":\"none\",\"text\":\"the budget ran out\",\"moves\":[]}",
          "No suggestions: the solver found no plan (none: the budget ran out).\n");
    shown("{\"status\":\"optimal\",\"text\":\"\",\"moves\":[]}",
          "No suggestions: everything is where it costs least within its rules.\n");
    shown("{\"status\":\"optimal\",\"text\":\"\",\"bill_now\":\"20\",\"bill_then\":\"17.5\","
          "\"moves\":["
          "{\"namespace\":\"a\",\"app\":\"b\",\"workload\":\"c\",\"from\":\"aws/one\","
          "\"to\":\"gcp/one\",\"variant\":\"\",\"forced\":false,\"group\":0,"
          "\"score_saving\":\"3\",\"bill_saving\":\"2.5\",\"once\":\"0.25\",\"spread\":\"0.5\","
          "\"confidence_ppm\":999000,\"payback_us\":7200000000,\"held\":\"\","
          "\"command\":\"berth move a/b/c --to gcp/one\"},"
          "{\"namespace\":\"a\",\"app\":\"b\",\"workload\":\"d\",\"from\":\"\",\"to\":\"gcp/one\","
          "\"variant\":\"wasm\",\"forced\":true,\"group\":-1,\"held\":\"quiet hours\","
          "\"command\":\"berth move a/b/d --to gcp/one\"},"
          "{\"namespace\":\"a\",\"app\":\"b\",\"workload\":\"e\",\"from\":\"aws/one\","
          "\"to\":\"edge/one\",\"variant\":\"\",\"forced\":false,\"group\":2,"
          "\"score_saving\":\"1\",\"bill_saving\":\"-1.5\",\"once\":\"0\",\"spread\":\"0.1\","
          "\"confidence_ppm\":912345,\"payback_us\":-1,\"held\":\"\",\"command\":\"x\"}]}",
          "a/b/c  aws/one -> gcp/one\n"
          "  saves $3.00 a month of score (+- $0.5000, 99.9 % sure); the bill falls by $2.50; once "
          "$0.2500, paid back in 2 h 0 min\n"
          "  berth move a/b/c --to gcp/one\n"
          "\n"
          "a/b/d  nowhere -> gcp/one as wasm\n"
          "  it cannot stay where it is\n"
          "  not by itself: quiet hours\n"
          "  berth move a/b/d --to gcp/one\n"
          "\n"
          "a/b/e  aws/one -> edge/one\n"
          "  saves $1.00 a month of score (+- $0.1000, 91.2 % sure); the bill rises by $1.50; once "
          "$0\n"
          "  x\n"
          "\n"
          "All of them: the bill goes from $20.00 to $17.50 a month.\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dates),
        cmocka_unit_test(test_suggestions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
