/* What people read: tables, money, durations, YAML, plans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/doc.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/explain.h"
#include "scheduler/cli/get.h"
#include "scheduler/cli/plan.h"
#include "scheduler/cli/show.h"
#include "scheduler/cli/table.h"
#include "scheduler/cli/wait.h"
#include "scheduler/cli/yaml_out.h"

static char *text_of(struct strbuf *out)
{
    assert_int_equal(strbuf_error(out, NULL), 0);
    char *text = strdup(strbuf_text(out));
    assert_non_null(text);
    strbuf_done(out);
    return text;
}

static void test_table(void **state)
{
    (void)state;
    struct table table;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    table_init(&table, "NAME|>N|WHAT");
    table_cell(&table, STYLE_PLAIN, "%s", "a");
    table_cell(&table, STYLE_GREEN, "%d", 7);
    table_cell(&table, STYLE_PLAIN, "%s", "x → y");
    table_cell(&table, STYLE_PLAIN, "%s", "zürich");
    table_cell(&table, STYLE_RED, "%d", 1234);
    table_cell(&table, STYLE_PLAIN, "%s", "");
    assert_int_equal(table_write(&table, false, &out, NULL), 0);
    char *text = text_of(&out);
    assert_string_equal(text, "NAME       N  WHAT\n"
                              "a          7  x → y\n"
                              "zürich  1234\n");
    cleanup_free(&text);
    /* Colours change no width. */
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(table_write(&table, true, &out, NULL), 0);
    text = text_of(&out);
    assert_non_null(strstr(text, "\033[32m7\033[0m"));
    assert_non_null(strstr(text, "zürich  \033[31m1234\033[0m"));
    cleanup_free(&text);
    table_done(&table);
}

static void test_no_control_reaches_the_terminal(void **state)
{
    (void)state;
    struct table table;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    table_init_plain(&table, 1);
    table_cell(&table, STYLE_PLAIN, "%s", "a\033[2Jb\007c\302\233d");
    assert_int_equal(table_write(&table, false, &out, NULL), 0);
    text_styled(&out, false, STYLE_PLAIN, "%s\n", "e\033]0;f\x7f");
    char *text = text_of(&out);
    assert_string_equal(text, "a?[2Jb?c??d\ne?]0;f?\n");
    cleanup_free(&text);
    table_done(&table);
    assert_int_equal(text_columns("e\xCC\x81t\xC3\xA9"), 3);
    assert_int_equal(text_columns("\xff\xfe"), 2);
}

static void test_money(void **state)
{
    (void)state;
    static const struct {
        const char *dollars;
        const char *shown;
        const char *change;
    } cases[] = {
        {"0", "$0", "$0"},
        {"12.345678901", "$12.35", "+$12.35"},
        {"1234567.5", "$1,234,567.50", "+$1,234,567.50"},
        {"0.0021", "$0.0021", "+$0.0021"},
        {"0.999999999", "$1.0000", "+$1.0000"},
        {"-1.25", "-$1.25", "-$1.25"},
        {"-0.01", "-$0.0100", "-$0.0100"},
        {"0.000000001", "<$0.0001", "<$0.0001"},
        {"what", "what", "what"},
    };
    char text[SHOW_BYTES];
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_string_equal(show_money(cases[i].dollars, text), cases[i].shown);
        assert_string_equal(show_money_change(cases[i].dollars, text), cases[i].change);
    }
    assert_string_equal(show_money_difference("41.20", "38.1", text), "-$3.10");
    assert_string_equal(show_money_difference("1", "1.000", text), "$0");
    assert_string_equal(show_money_difference("x", "1", text), "?");
    assert_int_equal(show_money_sign("-0.000000001"), -1);
    assert_int_equal(show_money_sign("0.0"), 0);
    assert_int_equal(show_money_sign("3"), 1);
}

static void test_quantities(void **state)
{
    (void)state;
    char text[SHOW_BYTES];
    assert_string_equal(show_duration(0, text), "0 us");
    assert_string_equal(show_duration(850, text), "850 us");
    assert_string_equal(show_duration(7500, text), "7.5 ms");
    assert_string_equal(show_duration(40000, text), "40 ms");
    assert_string_equal(show_duration(1234567, text), "1.23 s");
    assert_string_equal(show_duration(INT64_C(125) * 1000000, text), "2 min 5 s");
    assert_string_equal(show_duration(INT64_C(7500) * 1000000, text), "2 h 5 min");
    assert_string_equal(show_duration(INT64_C(90000) * 1000000, text), "1 d 1 h");
    assert_string_equal(show_duration(-2000000, text), "-2.00 s");
    assert_string_equal(show_instant(0, text), "-");
    assert_string_equal(show_instant(INT64_C(1795306867123456), text), "2026-11-22 00:21:07.123Z");
    assert_string_equal(show_bytes(512, text), "512 B");
    assert_string_equal(show_bytes(1536, text), "1.5 KiB");
    assert_string_equal(show_bytes(INT64_C(3) << 30, text), "3 GiB");
    assert_string_equal(show_mcpu(250, text), "0.25");
    assert_string_equal(show_mcpu(2000, text), "2");
    assert_string_equal(show_mcpu(100, text), "0.1");
    assert_string_equal(show_estimate("hit_ppm", 870000, text), "87 %");
    assert_string_equal(show_estimate("latency_us", 40000, text), "40 ms");
    assert_string_equal(show_estimate("request_bytes", 2048, text), "2 KiB");
    assert_true(handoff_has_ended("done") && handoff_has_ended("back"));
    assert_false(handoff_has_ended("held"));
}

/* What is written as YAML is read back, by this project's own reader, as the same document. */
static void test_yaml(void **state)
{
    (void)state;
    static const char source[] =
        "{\"app\":\"shop\",\"n\":3,\"yes\":true,\"no\":\"no\",\"empty\":\"\",\"list\":[\"a b\","
        "{\"k\":\"v: w\",\"l\":[1,\"2\"]},[\"x\"]],\"none\":[],\"map\":{},\"quote\":\"\\\"#\\n\"}";
    CLEANUP(cleanup_json) json_t *json = json_loads(source, 0, NULL);
    assert_non_null(json);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    yaml_write(json, &out);
    char *text = text_of(&out);
    assert_non_null(strstr(text, "app: shop\n"));
    assert_non_null(strstr(text, "\"no\": \"no\"\n"));
    assert_non_null(strstr(text, "list:\n  - \"a b\"\n  - k: \"v: w\"\n    l:\n      - 1\n"));
    struct doc *doc = NULL;
    struct error err;
    if (doc_parse("x.yaml", text, strlen(text), &doc, &err) < 0)
        fail_msg("%s in:\n%s", err.text, text);
    const struct doc_node *root = doc_root(doc);
    assert_int_equal(doc_count(root), 9);
    const struct doc_node *list = doc_list(doc, root, "list", 0);
    assert_int_equal(doc_count(list), 3);
    assert_string_equal(doc_text(doc_get(doc, doc_item(list, 1), "k", 0)), "v: w");
    assert_string_equal(doc_text(doc_item(doc_item(list, 2), 0)), "x");
    assert_string_equal(doc_text(doc_get(doc, root, "quote", 0)), "\"#\n");
    doc_destroy(doc);
    cleanup_free(&text);
}

static const char plan_text[] =
    "{\"status\":\"optimal\",\"state_version\":7,\"changes\":true,\"text\":\"\",\"conflict\":[],"
    "\"moves\":[{\"namespace\":\"default\",\"app\":\"shop\",\"workload\":\"source\",\"replicas\":2,"
    "\"from\":\"gcp/us-central1\",\"to\":\"aws/us-east-1\",\"reason\":\"retag\",\"handoff\":"
    "\"overlap\",\"proven\":false,\"expected_us\":1234567,\"bill_change\":\"-1.25\","
    "\"score_change\":\"-3.5\",\"migration_bill\":\"0.002\",\"why\":\"because\"}],"
    "\"before\":{\"bill\":\"41.2\",\"once\":\"0\",\"score\":\"50\",\"terms\":[{\"term\":\"egress\","
    "\"bill\":\"12\",\"score\":\"12\"},{\"term\":\"edge\",\"bill\":\"0\",\"score\":\"0\"}]},"
    "\"after\":{\"bill\":\"39.95\",\"once\":\"0.002\",\"score\":\"46.5\",\"terms\":[{\"term\":"
    "\"egress\",\"bill\":\"10.75\",\"score\":\"10.75\"},{\"term\":\"edge\",\"bill\":\"0\","
    "\"score\":\"0\"}]},\"bound_score\":\"46.5\",\"gap_ppm\":0,\"lines\":[]}";

static void test_plan(void **state)
{
    (void)state;
    CLEANUP(cleanup_json) json_t *plan = json_loads(plan_text, 0, NULL);
    assert_non_null(plan);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(plan_write(plan, false, &out, NULL), 0);
    char *text = text_of(&out);
    static const char *const expected[] = {
        "Plan: 1 move, $41.20 → $39.95 a month (-$1.25)",
        "~  default/shop/source x2  gcp/us-central1  aws/us-east-1",
        "overlap, drain not proven  1.23 s",
        "shop/source: because",
        " egress        $12.00  $10.75  -$1.25",
        " total         $41.20  $39.95  -$1.25",
        "Moving itself costs $0.0020, once.",
        "Proven: no placement",
        "so a request\nthat it holds",
    };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        if (strstr(text, expected[i]) == NULL)
            fail_msg("\"%s\" is not in:\n%s", expected[i], text);
    assert_null(strstr(text, "edge")); /* a term that is nothing has no line */
    cleanup_free(&text);
}

static void test_infeasible_plan(void **state)
{
    (void)state;
    CLEANUP(cleanup_json)
    json_t *plan = json_loads("{\"status\":\"infeasible\",\"text\":\"two rules\",\"conflict\":["
                              "\"a needs tag x=y\",\"a is pinned to b\"]}",
                              0, NULL);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(plan_write(plan, false, &out, NULL), 0);
    char *text = text_of(&out);
    assert_non_null(strstr(text, "No placement keeps all rules.\n\nThese cannot hold together"));
    assert_non_null(strstr(text, "  - a needs tag x=y\n  - a is pinned to b\n"));
    cleanup_free(&text);
}

static void test_get_tables(void **state)
{
    (void)state;
    CLEANUP(cleanup_json)
    json_t *apps = json_loads("[{\"namespace\":\"team-a\",\"name\":\"shop\",\"moves\":\"auto\","
                              "\"workloads\":[{\"name\":\"w\",\"site\":\"\",\"replicas\":2,"
                              "\"ready\":1,\"require\":{\"cloud\":\"aws\"},\"state\":\"starting\"}"
                              "]}]",
                              0, NULL);
    struct strbuf out;
    struct error err;
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(get_table("apps", apps, false, false, &out, &err), 0);
    char *text = text_of(&out);
    assert_string_equal(text, "APP          WORKLOAD  SITE  READY  STATE     REQUIRES\n"
                              "team-a/shop  w         -       1/2  starting  cloud=aws\n");
    cleanup_free(&text);
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(get_table("nods", apps, false, false, &out, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "did you mean nodes?"));
    strbuf_done(&out);
    /* Items of another kind, or of a newer scheduler, give an odd table but no crash. */
    for (int i = 0; get_kind(i) != NULL; i++) {
        strbuf_init(&out, CLI_TEXT_BYTES);
        (void)!get_table(get_kind(i), apps, true, false, &out, &err);
        strbuf_done(&out);
    }
}

static void test_routes_table(void **state)
{
    (void)state;
    CLEANUP(cleanup_json)
    json_t *routes = json_loads(
        "[{\"namespace\":\"default\",\"app\":\"shop\",\"workload\":\"web\",\"host\":\"shop.test\","
        "\"path\":\"/\",\"version\":7,\"gone\":false,\"servers\":["
        "{\"instance\":\"web-0-1\",\"mode\":\"serve\",\"weight\":256},"
        "{\"instance\":\"web-0-2\",\"mode\":\"serve\",\"weight\":28},"
        "{\"instance\":\"web-1-3\",\"mode\":\"drain\",\"weight\":0}],"
        "\"ingresses\":[{\"node\":\"in1\",\"up\":true,\"taken\":true},"
        "{\"node\":\"in2\",\"up\":true,\"taken\":false},"
        "{\"node\":\"in3\",\"up\":false,\"taken\":false}]},"
        "{\"app\":\"shop\",\"workload\":\"old\",\"gone\":true}]",
        0, NULL);
    struct strbuf out;
    struct error err;
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(get_table("routes", routes, true, false, &out, &err), 0);
    char *text = text_of(&out);
    assert_non_null(strstr(text, "shop.test/  shop/web        2       0         1"));
    assert_non_null(strstr(text, "1 of 2, not by in2"));
    assert_non_null(strstr(text, "web-0-1=serve:256 web-0-2=serve:28 web-1-3=drain"));
    assert_non_null(strstr(text, "(ended)     shop/old        0       0         0"));
    assert_non_null(strstr(text, "no ingress is live"));
    cleanup_free(&text);
}

/* The nearest eight, unless all are asked for; what was 0 has no relative change. */
static void test_flips(void **state)
{
    (void)state;
    CLEANUP(cleanup_json)
    json_t *flips = json_loads(
        "[{\"input\":\"calls of a/b/c at edge/one\",\"unit\":\"calls/s\",\"present\":\"10\","
        "\"at\":\"4.167\",\"above\":false,\"change_ppm\":583300,\"site\":\"aws/one\","
        "\"variant\":\"\"},"
        "{\"input\":\"hit ratio of a/b/c at edge/one\",\"unit\":\"ratio\",\"present\":\"0\","
        "\"at\":\"0.41\",\"above\":true,\"site\":\"edge/one\",\"variant\":\"wasm\"}]",
        0, NULL);
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(explain_flips_write(flips, false, false, &out, NULL), 0);
    char *text = text_of(&out);
    assert_string_equal(
        text,
        "\n"
        " INPUT BY ITSELF                        NOW     MOVES IT   CHANGE  TO\n"
        " calls of a/b/c at edge/one      10 calls/s  below 4.167  -58.3 %  aws/one\n"
        " hit ratio of a/b/c at edge/one           0   above 0.41   from 0  edge/one as wasm\n");
    cleanup_free(&text);
    for (int i = 0; i < 8; i++)
        json_array_append(flips, json_array_get(flips, 0));
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(explain_flips_write(flips, false, false, &out, NULL), 0);
    text = text_of(&out);
    assert_non_null(strstr(text, "\n  and 2 farther: --all\n"));
    cleanup_free(&text);
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(explain_flips_write(flips, true, false, &out, NULL), 0);
    text = text_of(&out);
    assert_null(strstr(text, "--all"));
    cleanup_free(&text);
    /* An older scheduler tells none. */
    strbuf_init(&out, CLI_TEXT_BYTES);
    assert_int_equal(explain_flips_write(NULL, true, false, &out, NULL), 0);
    assert_int_equal(out.bytes, 0);
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_control_reaches_the_terminal),
        cmocka_unit_test(test_money),
        cmocka_unit_test(test_quantities),
        cmocka_unit_test(test_yaml),
        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_infeasible_plan),
        cmocka_unit_test(test_get_tables),
        cmocka_unit_test(test_routes_table),
        cmocka_unit_test(test_flips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
