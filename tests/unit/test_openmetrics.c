#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics.h"

/* What a page gave, as text: "name{label="value",...} value @time" lines. */
struct heard {
    struct strbuf text;
    enum metric_type type; /* of the last sample */
    uint64_t hash;
};

static struct openmetrics_reader *reader;
static struct heard heard;

static void on_sample(void *context, const struct metric_sample *sample)
{
    struct heard *to = context;
    strbuf_puts(&to->text, sample->name);
    for (int i = 0; i < sample->label_count; i++)
        strbuf_printf(&to->text, "%c%s=%s", i == 0 ? '{' : ',', sample->labels[i].name,
                      sample->labels[i].value);
    strbuf_printf(&to->text, "%s %.17g", sample->label_count > 0 ? "}" : "", sample->value);
    if (sample->has_time)
        strbuf_printf(&to->text, " @%lld", (long long)sample->time_ms);
    strbuf_puts(&to->text, "\n");
    to->type = sample->type;
    to->hash = sample->hash;
}

static int setup(void **state)
{
    (void)state;
    struct error err;
    strbuf_init(&heard.text, 1 << 20);
    return openmetrics_reader_create(&reader, &err);
}

static int teardown(void **state)
{
    (void)state;
    openmetrics_reader_destroy(reader);
    strbuf_done(&heard.text);
    return 0;
}

static const struct openmetrics_result *read_pieces(enum openmetrics_format format,
                                                    const char *page, size_t piece)
{
    struct error err;
    size_t left = strlen(page);
    strbuf_reset(&heard.text);
    openmetrics_begin(reader, format, on_sample, &heard);
    while (left > 0) {
        size_t bytes = left < piece ? left : piece;
        assert_int_equal(openmetrics_feed(reader, page, bytes, &err), 0);
        page += bytes;
        left -= bytes;
    }
    return openmetrics_end(reader);
}

/* The page gives the same in one piece, byte by byte, and in pieces between. */
static const struct openmetrics_result *assert_page(enum openmetrics_format format,
                                                    const char *page, const char *expected)
{
    static const size_t pieces[] = {1, 2, 7, 64, 1 << 20};
    const struct openmetrics_result *result = NULL;
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        result = read_pieces(format, page, pieces[i]);
        assert_string_equal(strbuf_text(&heard.text), expected);
    }
    return result;
}

static void assert_problem(enum openmetrics_format format, const char *line, const char *what)
{
    char page[1024];
    str_format(page, sizeof(page), "before 1\n%s\nafter 2\n%s", line,
               format == OPENMETRICS_OPEN ? "# EOF\n" : "");
    const struct openmetrics_result *result = read_pieces(format, page, 1 << 20);
    if (result->problem_count != 1)
        fail_msg("'%s': %llu problems, wanted 1", line, (unsigned long long)result->problem_count);
    assert_int_equal(result->problems[0].line, 2);
    if (strstr(result->problems[0].text, what) == NULL)
        fail_msg("'%s': '%s', wanted '%s'", line, result->problems[0].text, what);
    /* The lines around it are used. */
    assert_string_equal(strbuf_text(&heard.text), "before 1\nafter 2\n");
    assert_false(result->cut);
}

static void reads_the_text_format(void **state)
{
    (void)state;
    const struct openmetrics_result *result = assert_page(
        OPENMETRICS_TEXT,
        "# HELP http_requests_total The total number of HTTP requests.\n"
        "# TYPE http_requests_total counter\n"
        "http_requests_total{method=\"post\",code=\"200\"} 1027 1395066363000\n"
        "http_requests_total{method=\"post\",code=\"400\",}    3\t1395066363000\n"
        "\n"
        "# a comment of any kind {\n"
        "msdos_file_access_time_seconds{path=\"C:\\\\DIR\\\\FILE.TXT\",error=\"Cannot "
        "find:\\n\\\"it\\\"\"} 1.458255915e9\n"
        "  metric_without_timestamp_and_labels 12.47\n"
        "something_weird{problem=\"division by zero\"} +Inf -3982045\r\n"
        "nan_of_mine NaN\n"
        "small 1e-320\n"
        "exact 9007199254740993\n"
        "hex 0x1p-2\n"
        "spaced {a = \"b\" , c=\"\"} 1\n",
        "http_requests_total{method=post,code=200} 1027 @1395066363000\n"
        "http_requests_total{method=post,code=400} 3 @1395066363000\n"
        "msdos_file_access_time_seconds{path=C:\\DIR\\FILE.TXT,error=Cannot find:\n\"it\"} "
        "1458255915\n"
        "metric_without_timestamp_and_labels 12.470000000000001\n"
        "something_weird{problem=division by zero} inf @-3982045\n"
        "nan_of_mine nan\n"
        "small 9.9998886718268301e-321\n"
        "exact 9007199254740992\n"
        "hex 0.25\n"
        "spaced{a=b} 1\n");
    assert_int_equal(result->problem_count, 0);
    assert_int_equal(result->samples, 10);
    assert_int_equal(result->lines, 14);
}

static void reads_openmetrics(void **state)
{
    (void)state;
    const struct openmetrics_result *result =
        assert_page(OPENMETRICS_OPEN,
                    "# TYPE acme_http_router_request_seconds summary\n"
                    "# UNIT acme_http_router_request_seconds seconds\n"
                    "# HELP acme_http_router_request_seconds Latency though all of ACME's router.\n"
                    "acme_http_router_request_seconds_sum{path=\"/api/v1\"} 9036.32\n"
                    "acme_http_router_request_seconds_count{path=\"/api/v1\"} 807283.0\n"
                    "acme_http_router_request_seconds_created{path=\"/api/v1\"} 1605281325.0\n"
                    "# TYPE foo histogram\n"
                    "foo_bucket{le=\"10.0\"} 17 1520879607.789 # {trace_id=\"KOO5S4vxi0o\"} 0.67\n"
                    "foo_bucket{le=\"+Inf\"} 17 # {} 3 1520879607.7\n"
                    "# TYPE foos counter\n"
                    "foos_total{entity=\"replica\"} 1.0 123.456\n"
                    "{\"http.hits\",\"status code\"=\"200\"} 4\n"
                    "# EOF",
                    "acme_http_router_request_seconds_sum{path=/api/v1} 9036.3199999999997\n"
                    "acme_http_router_request_seconds_count{path=/api/v1} 807283\n"
                    "acme_http_router_request_seconds_created{path=/api/v1} 1605281325\n"
                    "foo_bucket{le=10.0} 17 @1520879607789\n"
                    "foo_bucket{le=+Inf} 17\n"
                    "foos_total{entity=replica} 1 @123456\n"
                    "http.hits{status code=200} 4\n");
    assert_int_equal(result->problem_count, 0);
    assert_false(result->cut);
}

static void names_what_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *what;
    } lines[] = {
        {"1abc 3", "does not begin with a metric's name"},
        {"a-b 3", "only letters, digits"},
        {"a", "the value is missing"},
        {"a ", "the value is missing"},
        {"a{b=\"c\"}", "the value is missing"},
        {"a x", "not a number"},
        {"a 1x", "not a number"},
        {"a 0x", "not a number"},
        {"a nan(1)", "not a number"},
        {"a --1", "not a number"},
        {"a 1 2 3", "more after the value"},
        {"a 1 1.5", "the time is not a number"},
        {"a 1 x", "the time is not a number"},
        {"a 1 99999999999999999", "the time is out of range"},
        {"a{b=\"c} 1", "not closed"},
        {"a{b=c} 1", "not in quotes"},
        {"a{b} 1", "without '='"},
        {"a{=\"x\"} 1", "a label's name"},
        {"a{b=\"c\" d=\"e\"} 1", "not separated"},
        {"a{b=\"c\",b=\"d\"} 1", "comes twice"},
        {"a{b=\"\\x\"} 1", "after a backslash"},
        {"a{b=\"\xff\xfe\"} 1", "not UTF-8"},
        {"a{b=\"\xc3\\\\\"} 1", "not UTF-8"},
        {"a{b=\"c\"", "not separated"},
        {"{b=\"c\"} 1", "no metric's name"},
        {"{a=\"b\",\"name\"} 1", "not in the first place"},
        {"before 3", "was there already"},
        {"# TYPE a nonsense", "none that is known"},
        {"# TYPE 1a counter", "not followed by a metric's name"},
        {"a 1 # {b=\"c\"} 1", "time is not a number|more after the value"},
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *what = strchr(lines[i].what, '|');
        assert_problem(OPENMETRICS_TEXT, lines[i].line, what == NULL ? lines[i].what : what + 1);
    }
    assert_problem(OPENMETRICS_OPEN, "a 1 # 3", "an exemplar begins with");
    assert_problem(OPENMETRICS_OPEN, "a 1 # {b=\"c\"}", "the value is missing");
    assert_problem(OPENMETRICS_OPEN, "a 1 x", "the time is not a number");
}

static void a_counter_is_never_below_zero(void **state)
{
    (void)state;
    const struct openmetrics_result *result =
        read_pieces(OPENMETRICS_OPEN,
                    "# TYPE a counter\na_total -1\na_total{x=\"y\"} NaN\na_total{x=\"z\"} 2\n"
                    "# TYPE b gauge\nb -1\n# EOF\n",
                    1 << 20);
    assert_string_equal(strbuf_text(&heard.text), "a_total{x=z} 2\nb -1\n");
    assert_int_equal(result->problem_count, 2);
    assert_non_null(strstr(result->problems[0].text, "a counter is a number from 0"));
    assert_int_equal(heard.type, METRIC_GAUGE);
}

static void a_cut_page_is_known(void **state)
{
    (void)state;
    /* "1234" may have been "12345": it is not used. */
    const struct openmetrics_result *result = assert_page(OPENMETRICS_TEXT, "a 1\nb 1234", "a 1\n");
    assert_true(result->cut);
    assert_int_equal(result->problems[0].line, 2);
    result = assert_page(OPENMETRICS_OPEN, "a 1\n", "a 1\n");
    assert_true(result->cut);
    result = assert_page(OPENMETRICS_OPEN, "a 1\n# EOF\nb 2\n", "a 1\n");
    assert_false(result->cut);
    assert_non_null(strstr(result->problems[0].text, "more after '# EOF'"));
    result = assert_page(OPENMETRICS_TEXT, "", "");
    assert_false(result->cut);
}

static void a_long_line_is_passed_over(void **state)
{
    (void)state;
    struct error err;
    char block[4096];
    memset(block, 'x', sizeof(block));
    strbuf_reset(&heard.text);
    openmetrics_begin(reader, OPENMETRICS_TEXT, on_sample, &heard);
    assert_int_equal(openmetrics_feed(reader, "a 1\nb{l=\"", 9, &err), 0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(openmetrics_feed(reader, block, sizeof(block), &err), 0);
    assert_int_equal(openmetrics_feed(reader, "\"} 1\nc 3\n", 9, &err), 0);
    const struct openmetrics_result *result = openmetrics_end(reader);
    assert_string_equal(strbuf_text(&heard.text), "a 1\nc 3\n");
    assert_int_equal(result->problem_count, 1);
    assert_int_equal(result->problems[0].line, 2);
    assert_non_null(strstr(result->problems[0].text, "LIMIT_METRIC_LINE"));
    assert_int_equal(result->lines, 3);
}

static void too_many_labels_and_zero_bytes(void **state)
{
    (void)state;
    struct error err;
    struct strbuf page;
    strbuf_init(&page, 1 << 20);
    strbuf_puts(&page, "a{");
    for (int i = 0; i <= LIMIT_METRIC_LABELS; i++)
        strbuf_printf(&page, "l%d=\"v\",", i);
    strbuf_puts(&page, "} 1\n");
    const struct openmetrics_result *result =
        read_pieces(OPENMETRICS_TEXT, strbuf_text(&page), 1 << 20);
    strbuf_done(&page);
    assert_int_equal(result->problem_count, 1);
    assert_non_null(strstr(result->problems[0].text, "LIMIT_METRIC_LABELS"));
    openmetrics_begin(reader, OPENMETRICS_TEXT, on_sample, &heard);
    assert_int_equal(openmetrics_feed(reader, "a 1\0 2\nb 2\n", 11, &err), 0);
    result = openmetrics_end(reader);
    assert_int_equal(result->problem_count, 1);
    assert_int_equal(result->samples, 1);
}

static void more_problems_than_are_kept(void **state)
{
    (void)state;
    struct strbuf page;
    strbuf_init(&page, 1 << 20);
    for (int i = 0; i < 100; i++)
        strbuf_puts(&page, "!\n");
    strbuf_puts(&page, "a 1\n");
    const struct openmetrics_result *result =
        read_pieces(OPENMETRICS_TEXT, strbuf_text(&page), 1 << 20);
    strbuf_done(&page);
    assert_int_equal(result->problem_count, 100);
    assert_int_equal(result->problems[OPENMETRICS_PROBLEMS - 1].line, OPENMETRICS_PROBLEMS);
    assert_int_equal(result->samples, 1);
}

static void the_order_of_labels_does_not_matter(void **state)
{
    (void)state;
    (void)read_pieces(OPENMETRICS_TEXT, "m{a=\"1\",b=\"2\"} 1\n", 100);
    uint64_t first = heard.hash;
    (void)read_pieces(OPENMETRICS_TEXT, "m{b=\"2\",a=\"1\"} 1\n", 100);
    assert_true(heard.hash == first);
    (void)read_pieces(OPENMETRICS_TEXT, "m{a=\"2\",b=\"1\"} 1\n", 100);
    assert_true(heard.hash != first);
    (void)read_pieces(OPENMETRICS_TEXT, "m{a=\"1\"} 1\n", 100);
    assert_true(heard.hash != first);
    const struct openmetrics_result *result =
        read_pieces(OPENMETRICS_TEXT, "m{a=\"1\",b=\"2\"} 1\nm{b=\"2\",a=\"1\",c=\"\"} 1\n", 100);
    assert_int_equal(result->samples, 1);
}

/* The short way of reading numbers gives what the C library gives. */
static void numbers_are_exact(void **state)
{
    (void)state;
    static const char *const numbers[] = {"0",
                                          "-0",
                                          "1.",
                                          ".5",
                                          "123456789.123456789",
                                          "1e22",
                                          "1e23",
                                          "-1e-5",
                                          "1.5E+10",
                                          "4.35",
                                          "0.1",
                                          "9007199254740993",
                                          "1e400",
                                          "1e-400",
                                          "3e-5",
                                          "00017.5",
                                          "99999999999999999999",
                                          "2.2250738585072014e-308",
                                          "+7",
                                          "123456789012345678",
                                          "1234567.890123456789e-7",
                                          "1e+0000",
                                          "5e-324"};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        char page[100];
        char expected[100];
        str_format(page, sizeof(page), "m %s\n", numbers[i]);
        str_format(expected, sizeof(expected), "m %.17g\n", strtod(numbers[i], NULL));
        (void)assert_page(OPENMETRICS_TEXT, page, expected);
    }
}

static void quantiles_of_classic_buckets(void **state)
{
    (void)state;
    struct openmetrics_histogram histogram = {.count = 0};
    struct error err;
    double value = 0;
    assert_int_equal(openmetrics_bucket_add(&histogram, "+Inf", 100, &err), 0);
    assert_int_equal(openmetrics_bucket_add(&histogram, "0.1", 50, &err), 0);
    assert_int_equal(openmetrics_bucket_add(&histogram, "0.2", 90, &err), 0);
    assert_int_equal(openmetrics_bucket_add(&histogram, "0.20", 90, &err), ERR_INVALID);
    assert_int_equal(openmetrics_bucket_add(&histogram, "x", 90, &err), ERR_INVALID);
    assert_int_equal(openmetrics_bucket_add(&histogram, "3", -1, &err), ERR_INVALID);
    assert_int_equal(openmetrics_histogram_finish(&histogram, &err), 0);
    assert_true(openmetrics_histogram_quantile(&histogram, 0.25, &value));
    assert_true(fabs(value - 0.05) < 1e-12);
    assert_true(openmetrics_histogram_quantile(&histogram, 0.7, &value));
    assert_true(fabs(value - 0.15) < 1e-12);
    assert_true(openmetrics_histogram_quantile(&histogram, 0.99, &value));
    assert_true(fabs(value - 0.2) < 1e-12);
    assert_false(openmetrics_histogram_quantile(&histogram, 1.5, &value));
    histogram = (struct openmetrics_histogram){.count = 0};
    assert_int_equal(openmetrics_bucket_add(&histogram, "1", 5, &err), 0);
    assert_int_equal(openmetrics_histogram_finish(&histogram, &err), ERR_INVALID);
    assert_int_equal(openmetrics_bucket_add(&histogram, "+Inf", 4, &err), 0);
    assert_int_equal(openmetrics_histogram_finish(&histogram, &err), ERR_INVALID);
}

static void write_page(struct openmetrics_writer *writer)
{
    const struct metric_label labels[] = {{"app", "shop"}, {"odd", "a\"b\\c\nd\xff"}, {"none", ""}};
    openmetrics_family(writer, "berth_things", METRIC_COUNTER, NULL, "Things\\ of\nall kinds.");
    openmetrics_value(writer, "", labels, 3, 0.1);
    openmetrics_integer(writer, "", labels, 1, INT64_MAX);
    openmetrics_family(writer, "berth_age_seconds", METRIC_GAUGE, "seconds", "");
    openmetrics_value(writer, "", NULL, 0, INFINITY);
    openmetrics_family(writer, "berth_build", METRIC_INFO, NULL, "What it is.");
    openmetrics_value(writer, "", labels, 1, 1);
    openmetrics_finish(writer);
}

static void writes_both_formats(void **state)
{
    (void)state;
    struct strbuf out;
    struct openmetrics_writer writer;
    strbuf_init(&out, 1 << 16);
    openmetrics_writer_init(&writer, OPENMETRICS_OPEN, &out);
    write_page(&writer);
    assert_string_equal(strbuf_text(&out),
                        "# HELP berth_things Things\\\\ of\\nall kinds.\n"
                        "# TYPE berth_things counter\n"
                        "berth_things_total{app=\"shop\",odd=\"a\\\"b\\\\c\\nd?\"} 0.1\n"
                        "berth_things_total{app=\"shop\"} 9223372036854775807\n"
                        "# TYPE berth_age_seconds gauge\n"
                        "# UNIT berth_age_seconds seconds\n"
                        "berth_age_seconds +Inf\n"
                        "# HELP berth_build What it is.\n"
                        "# TYPE berth_build info\n"
                        "berth_build_info{app=\"shop\"} 1\n"
                        "# EOF\n");
    /* What is written is read without a complaint. */
    const struct openmetrics_result *result =
        read_pieces(OPENMETRICS_OPEN, strbuf_text(&out), 1 << 20);
    assert_int_equal(result->problem_count, 0);
    assert_int_equal(result->samples, 4);
    strbuf_reset(&out);
    openmetrics_writer_init(&writer, OPENMETRICS_TEXT, &out);
    write_page(&writer);
    assert_non_null(strstr(strbuf_text(&out), "# TYPE berth_things_total counter\n"));
    assert_non_null(strstr(strbuf_text(&out), "# TYPE berth_build_info gauge\n"));
    assert_null(strstr(strbuf_text(&out), "# EOF"));
    assert_null(strstr(strbuf_text(&out), "# UNIT"));
    result = read_pieces(OPENMETRICS_TEXT, strbuf_text(&out), 1 << 20);
    assert_int_equal(result->problem_count, 0);
    strbuf_done(&out);
}

static void knows_the_content_types(void **state)
{
    (void)state;
    assert_int_equal(openmetrics_format_of(OPENMETRICS_CONTENT_OPEN), OPENMETRICS_OPEN);
    assert_int_equal(openmetrics_format_of(OPENMETRICS_CONTENT_TEXT), OPENMETRICS_TEXT);
    assert_int_equal(openmetrics_format_of(NULL), OPENMETRICS_TEXT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_text_format),
        cmocka_unit_test(reads_openmetrics),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(a_counter_is_never_below_zero),
        cmocka_unit_test(a_cut_page_is_known),
        cmocka_unit_test(a_long_line_is_passed_over),
        cmocka_unit_test(too_many_labels_and_zero_bytes),
        cmocka_unit_test(more_problems_than_are_kept),
        cmocka_unit_test(the_order_of_labels_does_not_matter),
        cmocka_unit_test(numbers_are_exact),
        cmocka_unit_test(quantiles_of_classic_buckets),
        cmocka_unit_test(writes_both_formats),
        cmocka_unit_test(knows_the_content_types),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
