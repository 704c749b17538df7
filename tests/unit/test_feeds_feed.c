/*
 * The readers of price lists, on small files of the published shapes (tests/unit/feeds/, written by
 * hand): what is taken of each, exactly; what is passed by; and the traps: rows of $0, capacity
 * blocks, reservations priced for their whole term, spot, Windows, units that multiply.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "model/feeds/feed.h"

#define OUT_BYTES 16384

static char out[OUT_BYTES];
static char next_page[512];

static int on_item(void *context, const struct feed_item *item, struct error *err)
{
    char price[DECIMAL_TEXT_BYTES];
    char line[512];
    (void)context;
    (void)err;
    str_format(line, sizeof(line), "%s %s %s %s", item->region, item->sku,
               feed_kind_words[item->kind], feed_term_words[item->term]);
    size_t at = strlen(line);
    if (item->kind == FEED_SHAPE)
        str_format(line + at, sizeof(line) - at, " %dm %dMi", (int)item->mcpu,
                   (int)(item->memory_bytes >> 20));
    if (item->kind == FEED_EGRESS)
        str_format(line + at, sizeof(line) - at, " %s %d..%d", item->to, (int)item->tier_from,
                   item->tier_up_to == FEED_TIER_ENDLESS ? 0 : (int)item->tier_up_to);
    at = strlen(line);
    if (item->kind == FEED_PLACE)
        str_format(line + at, sizeof(line) - at, " %s\n", item->to);
    else
        str_format(line + at, sizeof(line) - at, " $%s%s%s\n", decimal_format(item->price, price),
                   item->problem == NULL ? "" : " PROBLEM ",
                   item->problem == NULL ? "" : item->problem);
    at = strlen(out);
    assert_int_equal(str_copy(out + at, OUT_BYTES - at, line), 0);
    return 0;
}

static int read_text(enum feed_format format, const char *text, size_t bytes, struct error *err)
{
    struct feed *feed = NULL;
    const struct feed_options options = {.format = format, .region = "here", .sink = on_item};
    out[0] = 0;
    assert_int_equal(feed_open(&options, &feed, err), 0);
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < bytes; at += 7)
        rc = feed_read(feed, text + at, bytes - at < 7 ? bytes - at : 7, err);
    if (rc == 0)
        rc = feed_end(feed, err);
    str_format(next_page, sizeof(next_page), "%s", feed_next(feed));
    feed_close(feed);
    return rc;
}

static char *file_text(const char *name, size_t *ret_bytes)
{
    char path[512];
    str_format(path, sizeof(path), BERTH_SOURCE_DIR "/tests/unit/feeds/%s", name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    *ret_bytes = fread(text, 1, 65535, file);
    (void)fclose(file);
    return text;
}

static void read_list(enum feed_format format, const char *name)
{
    struct error err = {0};
    size_t bytes = 0;
    char *text = file_text(name, &bytes);
    if (read_text(format, text, bytes, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    free(text);
}

static void test_aws(void **state)
{
    (void)state;
    read_list(FEED_AWS_CSV, "aws_ec2.csv");
    assert_string_equal(out, "us-east-2 A1 shape on-demand 2000m 8192Mi $0.0958\n"
                             "us-east-2 A2 shape on-demand 4000m 16384Mi $0.1916\n"
                             "us-east-2 A3 shape on-demand 2000m 4096Mi $0.0794\n"
                             "us-east-2 A4 shape on-demand 2000m 16384Mi $0.1286\n"
                             "us-east-2 A9 shape on-demand 16000m 65536Mi $0\n"
                             "us-east-2 A1 shape 1y 2000m 8192Mi $0.0603\n"
                             "us-east-2 S1 storage on-demand $0.08\n");
    read_list(FEED_AWS_CSV, "aws_dt.csv");
    assert_string_equal(out, "us-east-2 D1 egress on-demand internet 0..10240 $0.09\n"
                             "us-east-2 D1 egress on-demand internet 10240..51200 $0.085\n"
                             "us-east-2 D1 egress on-demand internet 153600..0 $0.05\n"
                             "us-east-2 D1 egress on-demand internet 51200..153600 $0.07\n"
                             "us-east-2 D2 egress on-demand aws/eu-west-1 0..0 $0.02\n"
                             "us-east-2 D3 egress on-demand zone 0..0 $0.01\n");
    read_list(FEED_AWS_JSON, "aws_dt.json");
    assert_string_equal(out, "eu-west-1 D1 egress on-demand internet 10240..51200 $0.085\n"
                             "eu-west-1 D1 egress on-demand internet 0..10240 $0.09\n"
                             "eu-west-1 D1 egress on-demand internet 51200..0 $0.07\n");
    read_list(FEED_AWS_JSON, "aws_ec2.json");
    assert_string_equal(out, "us-east-2 S1 shape on-demand 4000m 16384Mi $0.192\n"
                             "us-east-2 S2 shape on-demand 4000m 8192Mi $0.16\n"
                             "us-east-2 S1 shape 1y 4000m 16384Mi $0.12\n");
    read_list(FEED_AWS_SAVINGS, "aws_savings.json");
    assert_string_equal(out, "us-east-1 P1/m5.xlarge shape 1y 4000m 16384Mi $0.14\n"
                             "us-east-1 P1/c5.xlarge shape 1y 4000m 8192Mi $0.12\n");
}

static void test_azure(void **state)
{
    (void)state;
    read_list(FEED_AZURE, "azure_p1.json");
    assert_string_equal(out, "eastus m1 shape on-demand 4000m 16384Mi $0.192\n"
                             "eastus m1 shape 3y 4000m 16384Mi $0.09\n"
                             "eastus m1 shape 1y 4000m 16384Mi $0.14\n"
                             "eastus m2 shape on-demand 4000m 32768Mi $0.252\n"
                             "eastus m3 shape on-demand 4000m 8192Mi $0.169\n"
                             "eastus m4 shape spot 4000m 16384Mi $0.038\n");
    assert_string_equal(next_page,
                        "BASE/api/retail/prices?api-version=2023-01-01-preview&$skip=1000");
    read_list(FEED_AZURE, "azure_p2.json");
    assert_string_equal(out, "eastus b1 egress on-demand internet 0..-1 $0\n"
                             "eastus b1 egress on-demand internet 100..-1 $0.0875\n"
                             "eastus b1 egress on-demand internet 10340..-1 $0.083\n"
                             "eastus s1 storage on-demand $0.0208\n"
                             "westus3 m9 shape on-demand 4000m 16384Mi $0.21\n");
    assert_string_equal(next_page, "");
}

static void test_gcp(void **state)
{
    (void)state;
    read_list(FEED_GCP, "gcp_p1.json");
    assert_string_equal(out, "us-central1 C1 place on-demand americas\n"
                             "us-east1 C1 place on-demand americas\n"
                             "us-central1 C1 cpu on-demand $0.02181159\n"
                             "us-east1 C1 cpu on-demand $0.02181159\n"
                             "us-central1 R1 memory on-demand $0.00292353\n"
                             "us-east1 R1 memory on-demand $0.00292353\n"
                             "us-central1 C2 cpu spot $0.006543\n"
                             "us-central1 C3 cpu 1y $0.01374\n");
    assert_string_equal(next_page, "page+2/=");
    read_list(FEED_GCP, "gcp_p2.json");
    assert_string_equal(out, "us-central1 P1 storage on-demand $0.1\n"
                             "us-east1 P1 storage on-demand $0.1\n"
                             "us-central1 E1 egress on-demand emea 0..-1 $0.12\n"
                             "us-central1 E1 egress on-demand emea 1024..-1 $0.11\n"
                             "us-central1 E1 egress on-demand emea 10240..-1 $0.08\n"
                             "us-central1 E2 egress on-demand china 0..-1 $0.23\n"
                             "us-central1 E2 egress on-demand china 1024..-1 $0.22\n"
                             "us-central1 E2 egress on-demand china 10240..-1 $0.2\n");
    assert_string_equal(next_page, "");
}

/* Bytes between the provider's own regions; GCP names where they go by what it calls a region. */
static void test_regions(void **state)
{
    (void)state;
    read_list(FEED_GCP, "gcp_net.json");
    assert_string_equal(out, "us-central1 N1 egress on-demand called:netherlands 0..-1 $0.05\n"
                             "us-east1 N1 egress on-demand called:netherlands 0..-1 $0.05\n"
                             "us-central1 N2 egress on-demand called:americas 0..-1 $0.02\n"
                             "us-east1 N2 egress on-demand called:americas 0..-1 $0.02\n"
                             "europe-west4 N3 egress on-demand called:americas 0..-1 $0.05\n"
                             "us-central1 N4 egress on-demand called:atlantis 0..-1 $0.05\n"
                             "europe-west4 C9 place on-demand netherlands\n"
                             "europe-west4 C9 cpu on-demand $0.024013\n"
                             "europe-west4 R9 memory on-demand $0.003219\n");
    read_list(FEED_AZURE, "azure_net.json");
    assert_string_equal(out, "eastus n1 egress on-demand continent 0..-1 $0.02\n"
                             "eastus n2 egress on-demand region 0..-1 $0.05\n"
                             "westus3 n1 egress on-demand continent 0..-1 $0.02\n"
                             "westus3 n2 egress on-demand region 0..-1 $0.05\n"
                             "westus3 b1 egress on-demand internet 0..-1 $0\n"
                             "westus3 b1 egress on-demand internet 100..-1 $0.0875\n"
                             "westeurope n5 egress on-demand region 0..-1 $0.08\n");
}

static void test_others(void **state)
{
    (void)state;
    read_list(FEED_OPENCOST, "opencost.json");
    assert_string_equal(out, "here CPU cpu on-demand $0.031611\n"
                             "here spotCPU cpu spot $0.006655\n"
                             "here RAM memory on-demand $0.004237\n"
                             "here spotRAM memory spot $0.000892\n"
                             "here storage storage on-demand $0.0399999996\n"
                             "here zoneNetworkEgress egress on-demand zone 0..0 $0.01\n"
                             "here regionNetworkEgress egress on-demand region 0..0 $0.01\n"
                             "here internetNetworkEgress egress on-demand internet 0..0 $0.12\n");
    read_list(FEED_SKYPILOT, "sky_aws.csv");
    assert_string_equal(out,
                        "us-east-1 m6i.xlarge us-east-1a shape on-demand 4000m 16384Mi $0.192\n"
                        "us-east-1 m6i.xlarge us-east-1a shape spot 4000m 16384Mi $0.0701\n"
                        "us-east-1 m6i.xlarge us-east-1b shape on-demand 4000m 16384Mi $0.192\n"
                        "us-east-1 m6i.xlarge us-east-1b shape spot 4000m 16384Mi $0.0721\n"
                        "us-east-1 c6i.xlarge us-east-1a shape on-demand 4000m 8192Mi $0.17\n"
                        "us-east-1 r6i.xlarge us-east-1a shape on-demand 4000m 32768Mi $0.252\n"
                        "us-east-1 r6i.xlarge us-east-1a shape spot 4000m 32768Mi $0.0911\n");
    read_list(FEED_SKYPILOT, "sky_azure.csv");
    assert_string_equal(out, "eastus Standard_D4s_v5 shape on-demand 4000m 16384Mi $0.192\n"
                             "eastus Standard_D4s_v5 shape spot 4000m 16384Mi $0.0384\n"
                             "eastus Standard_E4s_v5 shape on-demand 4000m 32768Mi $0.252\n");
}

/* Every list, cut anywhere, is refused: never half of it taken for all. */
static void test_cut(void **state)
{
    (void)state;
    static const struct {
        enum feed_format format;
        const char *name;
    } lists[] = {
        {FEED_AWS_CSV, "aws_ec2.csv"},
        {FEED_AWS_JSON, "aws_dt.json"},
        {FEED_AWS_SAVINGS, "aws_savings.json"},
        {FEED_AZURE, "azure_p1.json"},
        {FEED_GCP, "gcp_p2.json"},
        {FEED_OPENCOST, "opencost.json"},
        {FEED_SKYPILOT, "sky_aws.csv"},
    };
    struct error err;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        size_t bytes = 0;
        char *text = file_text(lists[i].name, &bytes);
        while (bytes > 0 && text[bytes - 1] == '\n')
            bytes--;
        for (size_t cut = 0; cut < bytes; cut += 13)
            if (cut == 0 || text[cut - 1] != '\n')
                if (read_text(lists[i].format, text, cut, &err) == 0)
                    fail_msg("%s is taken when cut at %zu", lists[i].name, cut);
        free(text);
    }
}

/* Puts one text in place of another in a list; what is said of it. */
static int edited(enum feed_format format, const char *name, const char *from, const char *to,
                  struct error *err)
{
    char text[65536];
    size_t bytes = 0;
    char *whole = file_text(name, &bytes);
    const char *at = strstr(whole, from);
    assert_non_null(at);
    str_format(text, sizeof(text), "%.*s%s%s", (int)(at - whole), whole, to, at + strlen(from));
    free(whole);
    return read_text(format, text, strlen(text), err);
}

static void test_refusals(void **state)
{
    (void)state;
    struct error err;
    assert_int_equal(edited(FEED_AWS_CSV, "aws_ec2.csv", "\"USD\"", "\"CNY\"", &err),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "offer A1 is priced in \"CNY\""));
    assert_int_equal(edited(FEED_AZURE, "azure_p1.json", "\"currencyCode\": \"USD\"",
                            "\"currencyCode\": \"EUR\"", &err),
                     ERR_UNSUPPORTED);
    assert_int_equal(edited(FEED_AWS_CSV, "aws_ec2.csv", "\"0.0958000000\"", "\"cheap\"", &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "line 8: offer A1: price \"cheap\" is no number"));
    assert_int_equal(edited(FEED_AWS_CSV, "aws_ec2.csv", "\"\",\"us-east-2\"\n\"A3\"",
                            "\"us-east-2\"\n\"A3\"", &err),
                     ERR_INVALID);
    assert_non_null(strstr(err.text, "a row of 27 fields in a table of 28 columns"));
    assert_int_equal(edited(FEED_AWS_CSV, "aws_ec2.csv", "\"Hrs\"", "\"\"", &err), 0);
    assert_non_null(strstr(out, "A1 shape on-demand 2000m 8192Mi $0.0958 PROBLEM its unit is not"));
    assert_int_equal(edited(FEED_GCP, "gcp_p1.json", "\"units\": \"0\"", "\"units\": \"x\"", &err),
                     ERR_INVALID);
    assert_int_equal(edited(FEED_SKYPILOT, "sky_aws.csv", "Price,", "Cost,", &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "no column Price"));
    assert_int_equal(read_text(FEED_AZURE, "{\"error\":{}}", 12, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "another format"));
    static const char turned[] = "{\"terms\":{},\"products\":{}}";
    assert_int_equal(read_text(FEED_AWS_JSON, turned, sizeof(turned) - 1, &err), ERR_UNSUPPORTED);
}

static void test_names(void **state)
{
    (void)state;
    int64_t mcpu;
    int64_t bytes;
    assert_true(feed_shape_aws("r6gd.12xlarge", &mcpu, &bytes));
    assert_int_equal(mcpu, 48000);
    assert_int_equal(bytes >> 30, 384);
    assert_false(feed_shape_aws("m4.large", &mcpu, &bytes));
    assert_false(feed_shape_aws("m6i.metal", &mcpu, &bytes));
    assert_false(feed_shape_aws("mac1.metal", &mcpu, &bytes));
    assert_false(feed_shape_aws("m5.0xlarge", &mcpu, &bytes));
    assert_true(feed_shape_azure("Standard_D8lds_v5", &mcpu, &bytes));
    assert_int_equal(bytes >> 30, 16);
    assert_true(feed_shape_azure("Standard_F2s_v2", &mcpu, &bytes));
    assert_int_equal(bytes >> 30, 4);
    assert_false(feed_shape_azure("Standard_E64s_v5", &mcpu, &bytes));
    assert_false(feed_shape_azure("Standard_DS2_v2", &mcpu, &bytes));
    assert_false(feed_shape_azure("Standard_E8-4s_v5", &mcpu, &bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_aws),      cmocka_unit_test(test_azure),  cmocka_unit_test(test_gcp),
        cmocka_unit_test(test_regions),  cmocka_unit_test(test_others), cmocka_unit_test(test_cut),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
