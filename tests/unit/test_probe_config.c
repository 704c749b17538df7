#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/clock.h"
#include "metrics/probe/config.h"

static struct arena arena;
static struct probe_config config;

static int read_text(const char *text, struct strbuf *problems)
{
    struct doc *doc = NULL;
    struct error err;
    arena_reset(&arena);
    assert_int_equal(doc_parse("p.yaml", text, strlen(text), &doc, &err), 0);
    assert_int_equal(probe_config_read(doc, &arena, &config, &err), 0);
    doc_report(doc, problems);
    int rc = doc_check(doc, &err);
    doc_destroy(doc);
    return rc;
}

static void reads_everything(void **state)
{
    (void)state;
    struct strbuf problems;
    strbuf_init(&problems, 1 << 16);
    int rc = read_text("name: p1\n"
                       "site: edge/nyc\n"
                       "bus: {url: \"nats://127.0.0.1:4222\", seed: keys/probe-p1}\n"
                       "interval: 15s\n"
                       "timeout: 3s\n"
                       "concurrency: 32\n"
                       "targets:\n"
                       "  - {url: \"http://10.0.0.7:9100/metrics\", kind: node, site: edge/x}\n"
                       "  - url: https://web.example/metrics?x=1\n"
                       "    interval: 1s\n"
                       "    namespace: shop\n"
                       "    app: front\n"
                       "    workload: web\n"
                       "    bearer_token_file: /run/token\n"
                       "    ca_file: ca.pem\n"
                       "    insecure_skip_verify: true\n"
                       "    labels: {segment: audience, instance: host}\n"
                       "    metrics:\n"
                       "      - {name: tiles_from_disk_total, as: hits}\n"
                       "      - {name: t_seconds_total, as: cpu_seconds, label: m, value: user}\n"
                       "listen: {otlp: \"127.0.0.1:0\", app: shop}\n"
                       "latency:\n"
                       "  - {to: aws/us-east-1, url: \"https://ping.example/\", count: 9}\n"
                       "  - {to: aws/us-east-2, tcp: \"[::1]:80\", interval: 1s, timeout: 1s}\n"
                       "  - {to: gcp/x, nats: n1}\n",
                       &problems);
    assert_string_equal(strbuf_text(&problems), "");
    strbuf_done(&problems);
    assert_int_equal(rc, 0);
    assert_int_equal(config.target_count, 2);
    assert_int_equal(config.concurrency, 32);
    assert_string_equal(config.bus_seed, "keys/probe-p1");
    const struct probe_target *node = &config.targets[0];
    const struct probe_target *web = &config.targets[1];
    assert_int_equal(node->names.kind, NAMES_KIND_NODE);
    assert_string_equal(node->instance, "10.0.0.7:9100");
    assert_true(node->interval_us == 15 * US_PER_S && node->timeout_us == 3 * US_PER_S);
    assert_string_equal(web->instance, "web.example:443");
    assert_true(web->interval_us == US_PER_S && web->timeout_us == US_PER_S);
    assert_string_equal(web->names.fixed.workload, "web");
    assert_string_equal(web->names.labels.segment, "audience");
    assert_int_equal(web->names.rename_count, 2);
    assert_int_equal(web->names.renames[0].kind, SAMPLE_HITS);
    assert_true(web->names.renames[1].scale > 9e8);
    assert_true(web->insecure_skip_verify);
    assert_string_equal(config.otlp.host, "127.0.0.1");
    assert_string_equal(config.otlp_names.fixed.app, "shop");
    assert_int_equal(config.path_count, 3);
    assert_int_equal(config.paths[0].kind, PROBE_PATH_HTTP);
    assert_int_equal(config.paths[0].count, 9);
    assert_int_equal(config.paths[1].kind, PROBE_PATH_TCP);
    assert_string_equal(config.paths[1].url, "http://[::1]:80");
    assert_int_equal(config.paths[2].kind, PROBE_PATH_NATS);
    assert_string_equal(config.paths[2].node, "n1");
}

static void assert_problem(const char *body, const char *expected)
{
    char text[2048];
    struct strbuf problems;
    strbuf_init(&problems, 1 << 16);
    str_format(text, sizeof(text), "name: p\nsite: edge/x\n%s", body);
    assert_int_equal(read_text(text, &problems), ERR_INVALID);
    if (strstr(strbuf_text(&problems), expected) == NULL)
        fail_msg("'%s', wanted '%s'", strbuf_text(&problems), expected);
    strbuf_done(&problems);
}

#define TARGET "targets:\n  - {url: \"http://a/\", "

static void names_what_is_wrong(void **state)
{
    (void)state;
    assert_problem("", "there is nothing to do");
    assert_problem("targets: []\n", "there is nothing to do");
    assert_problem("targets: [3]\n", "a target is a mapping");
    assert_problem("targets: [{}]\n", "url");
    assert_problem(TARGET "intervall: 3s}\n", "did you mean \"interval\"");
    assert_problem(TARGET "interval: 1ms}\n", "must be 100 ms to");
    assert_problem(TARGET "interval: 1s, timeout: 2s}\n", "longer than the interval");
    assert_problem(TARGET "site: nyc}\n", "provider/region");
    assert_problem(TARGET "workload: Web}\n", "not a name");
    assert_problem(TARGET "kind: nodes}\n", "did you mean");
    assert_problem(TARGET "bearer_token_file: t}\n", "over https:// only");
    assert_problem(TARGET "metrics: [{name: x, as: hit}]}\n", "hits");
    assert_problem(TARGET "metrics: [{name: x, as: hits, label: y}]}\n", "go together");
    assert_problem(TARGET "labels: {workloads: x}}\n", "did you mean");
    assert_problem("latency: [{to: a/b}]\n", "give one of url");
    assert_problem("latency: [{to: a/b, tcp: \"x\"}]\n", "must be host:port");
    assert_problem("latency: [{to: a/b, tcp: \"x:1\", url: \"http://x/\"}]\n", "give one of url");
    assert_problem("latency: [{to: b, tcp: \"x:1\"}]\n", "provider/region");
    assert_problem("listen: {otlp: 4318}\n", "must be address:port");
    assert_problem("listen: {}\n", "otlp");
    assert_problem("bus: {seed: x}\n", "url");
}

static void a_token_stays_on_this_machine_or_is_sealed(void **state)
{
    (void)state;
    struct strbuf problems;
    strbuf_init(&problems, 1 << 16);
    assert_int_equal(read_text("name: p\nsite: edge/x\ntargets:\n"
                               "  - {url: \"http://127.0.0.1:1/\", bearer_token_file: t}\n"
                               "  - {url: \"https://a/\", bearer_token_file: t}\n",
                               &problems),
                     0);
    strbuf_done(&problems);
}

static void addresses(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "a",
                                        "ftp://a/",
                                        "http://",
                                        "http:///x",
                                        "http://u:p@a/",
                                        "http://a b/",
                                        "http://a:x/",
                                        "http://a:99999/",
                                        "http://a:0/",
                                        "http://[::1/",
                                        "http://a/#f",
                                        "http://a/\x7f",
                                        "http://a/\xc3\xa9",
                                        "http://[]/"};
    static const char *const right[][2] = {{"http://a", "a:80"},
                                           {"https://a/", "a:443"},
                                           {"http://a:81?x", "a:81"},
                                           {"http://[::1]/m", "[::1]:80"},
                                           {"https://[fe80::1]:8443/", "[fe80::1]:8443"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (probe_url_problem(wrong[i]) == NULL)
            fail_msg("'%s' was taken", wrong[i]);
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++) {
        char address[PROBE_ADDRESS_BYTES];
        assert_null(probe_url_problem(right[i][0]));
        probe_url_address(right[i][0], address);
        assert_string_equal(address, right[i][1]);
    }
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_everything),
        cmocka_unit_test(names_what_is_wrong),
        cmocka_unit_test(a_token_stays_on_this_machine_or_is_sealed),
        cmocka_unit_test(addresses),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
