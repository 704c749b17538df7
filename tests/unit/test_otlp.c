#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics/otlp.h"

static struct strbuf heard;
static struct arena arena;

static void put(const char *kind, const struct metric_sample *sample,
                const struct otlp_nature *nature)
{
    strbuf_printf(&heard, "%s %s", kind, sample->name);
    for (int i = 0; i < sample->label_count; i++)
        strbuf_printf(&heard, "%c%s=%s", i == 0 ? '{' : ',', sample->labels[i].name,
                      sample->labels[i].value);
    strbuf_printf(&heard, "%s%s", sample->label_count > 0 ? "}" : "",
                  nature->delta ? " delta" : "");
}

static void on_sample(void *context, const struct metric_sample *sample,
                      const struct otlp_nature *nature)
{
    (void)context;
    put("is", sample, nature);
    strbuf_printf(&heard, " %g\n", sample->value);
}

static void on_exponential(void *context, const struct metric_sample *sample,
                           const struct otlp_nature *nature, const struct otlp_exponential *buckets)
{
    (void)context;
    put("exp", sample, nature);
    strbuf_printf(&heard, " scale %d offset %lld zero %g:", buckets->scale,
                  (long long)buckets->offset, buckets->zero_count);
    for (int i = 0; i < buckets->count; i++)
        strbuf_printf(&heard, " %g", buckets->counts[i]);
    strbuf_puts(&heard, "\n");
}

static int read_text(const char *text, struct otlp_result *result, struct error *err)
{
    const struct otlp_handler handler = {.sample = on_sample, .exponential = on_exponential};
    strbuf_reset(&heard);
    arena_reset(&arena);
    return otlp_read(text, strlen(text), &arena, &handler, result, err);
}

#define RESOURCE                                                                          \
    "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\","     \
    "\"value\":{\"stringValue\":\"web\"}},{\"key\":\"n\",\"value\":{\"intValue\":\"7\"}}" \
    "]},\"scopeMetrics\":[{\"metrics\":["
#define END "]}]}]}"

static void assert_metric(const char *metric, const char *expected)
{
    char text[4096];
    struct otlp_result result;
    struct error err;
    str_format(text, sizeof(text), "%s%s%s", RESOURCE, metric, END);
    assert_int_equal(read_text(text, &result, &err), 0);
    assert_string_equal(result.reason, "");
    assert_int_equal(result.rejected, 0);
    assert_string_equal(strbuf_text(&heard), expected);
}

static void assert_rejected(const char *metric, const char *reason)
{
    char text[4096];
    struct otlp_result result;
    struct error err;
    str_format(text, sizeof(text), "%s%s%s", RESOURCE, metric, END);
    assert_int_equal(read_text(text, &result, &err), 0);
    assert_true(result.rejected > 0);
    if (strstr(result.reason, reason) == NULL)
        fail_msg("'%s', wanted '%s'", result.reason, reason);
}

static void sums_and_gauges(void **state)
{
    (void)state;
    assert_metric("{\"name\":\"http.server.requests\",\"unit\":\"{request}\",\"sum\":{"
                  "\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[{"
                  "\"asInt\":\"42\",\"startTimeUnixNano\":\"1\",\"timeUnixNano\":"
                  "\"1700000000000000000\",\"attributes\":[{\"key\":\"ok\",\"value\":{"
                  "\"boolValue\":true}},{\"key\":\"n\",\"value\":{\"doubleValue\":2.5}}]}]}}",
                  "is http_server_requests_total{ok=true,n=2.5,service_name=web} 42\n");
    assert_metric("{\"name\":\"process.memory.usage\",\"unit\":\"By\",\"gauge\":{\"dataPoints\":[{"
                  "\"asDouble\":1e6},{\"flags\":1}]}}",
                  "is process_memory_usage_bytes{service_name=web,n=7} 1e+06\n");
    assert_metric("{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":"
                  "\"AGGREGATION_TEMPORALITY_DELTA\",\"isMonotonic\":true,\"dataPoints\":[{"
                  "\"asInt\":3}]}}",
                  "is c_total{service_name=web,n=7} delta 3\n");
    /* An up-down counter's total is a gauge. */
    assert_metric("{\"name\":\"u\",\"unit\":\"By\",\"sum\":{\"aggregationTemporality\":2,"
                  "\"dataPoints\":[{\"asInt\":-3}]}}",
                  "is u_bytes{service_name=web,n=7} -3\n");
}

static void histograms(void **state)
{
    (void)state;
    assert_metric("{\"name\":\"http.server.request.duration\",\"unit\":\"s\",\"histogram\":{"
                  "\"aggregationTemporality\":2,\"dataPoints\":[{\"count\":\"6\",\"sum\":1.5,"
                  "\"bucketCounts\":[\"1\",\"2\",\"3\"],\"explicitBounds\":[0.005,0.01]}]}}",
                  "is http_server_request_duration_seconds_bucket{service_name=web,n=7,"
                  "le=0.0050000000000000001} 1\n"
                  "is http_server_request_duration_seconds_bucket{service_name=web,n=7,le=0.01} 3\n"
                  "is http_server_request_duration_seconds_bucket{service_name=web,n=7,le=+Inf} 6\n"
                  "is http_server_request_duration_seconds_count{service_name=web,n=7} 6\n"
                  "is http_server_request_duration_seconds_sum{service_name=web,n=7} 1.5\n");
    assert_metric("{\"name\":\"d\",\"unit\":\"ms\",\"exponentialHistogram\":{"
                  "\"aggregationTemporality\":1,\"dataPoints\":[{\"count\":\"6\",\"sum\":10,"
                  "\"scale\":3,\"zeroCount\":\"1\",\"positive\":{\"offset\":-2,\"bucketCounts\":["
                  "\"2\",3]}}]}}",
                  "exp d_milliseconds_bucket{service_name=web,n=7} delta scale 3 offset -2 zero 1: "
                  "2 3\n"
                  "is d_milliseconds_count{service_name=web,n=7} delta 6\n"
                  "is d_milliseconds_sum{service_name=web,n=7} delta 10\n");
    assert_metric("{\"name\":\"s\",\"summary\":{\"dataPoints\":[{\"count\":2,\"sum\":3}]}}",
                  "is s_count{service_name=web,n=7} 2\nis s_sum{service_name=web,n=7} 3\n");
}

static void a_wrong_point_is_rejected_by_itself(void **state)
{
    (void)state;
    assert_rejected("{\"name\":\"c\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,"
                    "\"dataPoints\":[{\"asInt\":\"x\"},{\"asInt\":\"4\"},{\"asInt\":-1}]}}",
                    "without a number");
    assert_string_equal(strbuf_text(&heard), "is c_total{service_name=web,n=7} 4\n");
    assert_rejected(
        "{\"name\":\"c\",\"sum\":{\"isMonotonic\":true,\"dataPoints\":[{\"asInt\":1}]}}",
        "aggregationTemporality");
    assert_rejected("{\"gauge\":{\"dataPoints\":[{\"asInt\":1}]}}", "without a name");
    assert_rejected("{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"asInt\":1,\"attributes\":[{"
                    "\"value\":{\"stringValue\":\"x\"}}]}]}}",
                    "attributes");
    assert_rejected("{\"name\":\"g\",\"gauge\":{\"dataPoints\":[{\"asDouble\":\"NaN\"}]}}",
                    "without a number");
    assert_rejected("{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{"
                    "\"count\":3,\"bucketCounts\":[1,1],\"explicitBounds\":[1]}]}}",
                    "the buckets hold 2");
    assert_string_equal(strbuf_text(&heard), "");
    assert_rejected("{\"name\":\"h\",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":[{"
                    "\"count\":2,\"bucketCounts\":[1,1,0],\"explicitBounds\":[2,1]}]}}",
                    "do not rise");
    assert_rejected("{\"name\":\"e\",\"exponentialHistogram\":{\"aggregationTemporality\":2,"
                    "\"dataPoints\":[{\"count\":1,\"scale\":99,\"positive\":{\"bucketCounts\":[1]"
                    "}}]}}",
                    "out of range");
}

static void what_is_no_request_is_an_error(void **state)
{
    (void)state;
    struct otlp_result result;
    struct error err;
    assert_int_equal(read_text("", &result, &err), ERR_INVALID);
    assert_int_equal(read_text("{\"resourceMetrics\":[", &result, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "not JSON"));
    assert_int_equal(read_text("[]", &result, &err), ERR_INVALID);
    assert_int_equal(read_text("{\"resourceMetrics\":3}", &result, &err), ERR_INVALID);
    assert_int_equal(read_text("{}", &result, &err), 0);
    assert_int_equal(result.points, 0);
}

static int setup(void **state)
{
    (void)state;
    strbuf_init(&heard, 1 << 20);
    arena_init(&arena, 16 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    strbuf_done(&heard);
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_and_gauges),
        cmocka_unit_test(histograms),
        cmocka_unit_test(a_wrong_point_is_rejected_by_itself),
        cmocka_unit_test(what_is_no_request_is_an_error),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
