/*
 * `berth sites`, `berth prices` and `berth prices diff` as people run them: what is printed, as
 * JSON and as tables, the exit codes, and what the refusals say. And the comparison itself: each
 * figure that differs, and whose bill it changes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "model/app.h"
#include "model/world.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/completion.h"
#include "scheduler/cli/places.h"
#include "scheduler/cli/prices.h"
#include "scheduler/cli/prices_command.h"

#define ARENA_BYTES  ((size_t)64 << 20)
#define OUTPUT_BYTES (1 << 20)
#define WORDS_MAX    16

static const char world_old[] =
    "world: old\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client, geo: [40, -74]}\n"
    "  - {name: edge/nyc, tier: edge, account: e, geo: [40.7, -74], price: {cpu: 0.06, memory: "
    "0.008}}\n"
    "  - {name: aws/one, tier: cloud, account: a, geo: [39, -77], price: {cpu: 0.04, memory: "
    "0.004, "
    "storage: 0.05}, overhead: 10%}\n"
    "egress:\n"
    "  - {name: out, from: aws/*, to: \"*\", per: GiB, tiers: [{up_to: 10GiB, price: 0.1}, {price: "
    "0.08}]}\n"
    "latency: {pairs: [{between: [client/web, aws/one], rtt: 40ms}]}\n";

static const char app_text[] =
    "app: shop\n"
    "workloads:\n"
    "  - name: api\n"
    "    pin: aws/one\n"
    "    resources: {cpu: 1, memory: 1GiB}\n"
    "    run: {driver: process, artifact: 'file:/bin/true', digest: "
    "'sha256:0000000000000000000000000000000000000000000000000000000000000000'}\n"
    "users: [{name: web, site: client/web}]\n"
    "links: [{from: web, to: api, calls: 10/s, request: 1KiB, response: 4KiB}]\n";

static char output[OUTPUT_BYTES];
static char folder[256];

/* Runs `berth WORDS...`; what it printed is in `output`. */
static int berth(const char *first, ...)
{
    char *argv[WORDS_MAX + 2] = {(char *)(uintptr_t) "berth", (char *)(uintptr_t)first};
    int argc = 2;
    va_list words;
    va_start(words, first);
    for (char *word = va_arg(words, char *); word != NULL; word = va_arg(words, char *)) {
        assert_true(argc < WORDS_MAX);
        argv[argc++] = word;
    }
    va_end(words);
    char path[512];
    str_format(path, sizeof(path), "%s/out", folder);
    assert_int_equal(fflush(stdout), 0);
    assert_int_equal(fflush(stderr), 0);
    int saved[2] = {dup(STDOUT_FILENO), dup(STDERR_FILENO)};
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    assert_true(dup2(fileno(file), STDOUT_FILENO) >= 0);
    assert_true(dup2(fileno(file), STDERR_FILENO) >= 0);
    int rc = cli_main(argc, argv);
    (void)fflush(stdout);
    (void)fflush(stderr);
    for (int i = 0; i < 2; i++) {
        (void)dup2(saved[i], i == 0 ? STDOUT_FILENO : STDERR_FILENO);
        (void)close(saved[i]);
    }
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    size_t bytes = fread(output, 1, sizeof(output) - 1, file);
    output[bytes] = '\0';
    assert_int_equal(fclose(file), 0);
    return rc;
}

static void says(const char *wanted)
{
    if (strstr(output, wanted) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", wanted, output);
    }
}

static json_t *output_json(void)
{
    json_error_t problem;
    json_t *json = json_loads(output, 0, &problem);
    if (json == NULL) {
        fail_msg("%s in:\n%s", problem.text, output);
    }
    return json;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static const char *write_file(const char *name, const char *text)
{
    static char paths[16][512];
    static int next;
    char *path = paths[next++ % 16];
    str_format(path, sizeof(paths[0]), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

/* The old world with one piece of its text replaced by another. */
static const char *changed(const char *from, const char *to)
{
    static char text[sizeof(world_old) + 1024];
    const char *at = strstr(world_old, from);
    assert_non_null(at);
    str_format(text, sizeof(text), "%.*s%s%s", (int)(at - world_old), world_old, to,
               at + strlen(from));
    return text;
}

static void test_sites(void **state)
{
    (void)state;
    assert_int_equal(berth("sites", "aws/eu-*", "tag:country=jp", NULL), 0);
    says("aws/eu-west-1");
    says("azure/japaneast");
    assert_null(strstr(output, "us-east-1"));
    assert_int_equal(berth("sites", "--near", "40.71,-74.01", "--tier", "cloud", "--json", NULL),
                     0);
    json_t *json = output_json();
    const json_t *sites = json_object_get(json, "sites");
    assert_string_equal(text_of(json, "from"), "catalogue");
    assert_int_equal(json_array_size(sites), 119);
    assert_string_equal(text_of(json_array_get(sites, 0), "rtt"), "estimated");
    json_int_t before = 0;
    for (size_t i = 0; i < json_array_size(sites); i++) {
        const json_t *site = json_array_get(sites, i);
        json_int_t distance_m = json_integer_value(json_object_get(site, "distance_m"));
        assert_true(distance_m >= before);
        before = distance_m;
        assert_non_null(json_object_get(site, "cpu_price"));
        assert_non_null(json_object_get(json_object_get(site, "tags"), "continent"));
    }
    json_decref(json);
    /* From a region to those of its provider it was measured; to others it is estimated. */
    assert_int_equal(berth("sites", "aws/us-east-2", "gcp/us-east4", "edge/pop", "--near",
                           "aws/us-east-1", "--json", NULL),
                     0);
    json = output_json();
    sites = json_object_get(json, "sites");
    assert_string_equal(text_of(json_array_get(sites, 0), "name"), "gcp/us-east4");
    assert_string_equal(text_of(json_array_get(sites, 0), "rtt"), "estimated");
    assert_string_equal(text_of(json_array_get(sites, 1), "rtt"), "measured");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(sites, 1), "rtt_us")),
                     13970);
    assert_string_equal(text_of(json_array_get(sites, 2), "rtt"), "unknown");
    json_decref(json);
    const char *path = write_file("old.yaml", world_old);
    assert_int_equal(berth("sites", "--world", path, "--near", "client/web", "--json", NULL), 0);
    json = output_json();
    sites = json_object_get(json, "sites");
    assert_string_equal(text_of(json_array_get(sites, 2), "rtt"), "declared");
    assert_string_equal(text_of(json_array_get(sites, 1), "rtt"), "estimated");
    json_decref(json);
    assert_int_equal(berth("sites", "aws/us-est-1", NULL), 1);
    says("did you mean aws/us-east-1?");
    char longer[600];
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, "tag:", 4);
    str_format(longer + sizeof(longer) - 3, 3, "=y");
    assert_int_equal(berth("sites", longer, NULL), 1);
    says("there is no site");
    assert_int_equal(berth("sites", "--near", longer, NULL), 1);
    says("there is no site");
    assert_int_equal(berth("sites", "--provider", "azur", NULL), 1);
    says("did you mean azure?");
    assert_int_equal(berth("sites", "--tier", "fog", NULL), 1);
    says("client, edge and cloud");
    assert_int_equal(berth("sites", "--near", "91,0", NULL), 1);
    says("40.71,-74.01");
    assert_int_equal(berth("sites", "--live", "--world", path, NULL), 1);
    says("not both");
}

static void test_prices(void **state)
{
    (void)state;
    assert_int_equal(berth("prices", "aws/us-east-1", NULL), 0);
    says("$0.031248 an hour");
    says("m6i.xlarge 0.192 USD per hour");
    says("aws-west-out");
    says("10 TiB");
    assert_int_equal(berth("prices", "aws/us-east-1", "--to", "aws/us-east-2", "--json", NULL), 0);
    json_t *json = output_json();
    const json_t *site = json_array_get(json_object_get(json, "sites"), 0);
    assert_string_equal(text_of(site, "cpu_price"), "0.031248");
    const json_t *egress = json_object_get(site, "egress");
    assert_int_equal(json_array_size(egress), 1);
    assert_string_equal(text_of(json_array_get(egress, 0), "to"), "aws/us-east-2");
    const json_t *rule = json_array_get(json_object_get(json_array_get(egress, 0), "rules"), 0);
    assert_string_equal(text_of(rule, "name"), "aws-us-east-1-to-us-east-2");
    assert_string_equal(text_of(json_array_get(json_object_get(rule, "tiers"), 0), "price"),
                        "0.01");
    json_decref(json);
    assert_int_equal(berth("prices", "--json", NULL), 0);
    json = output_json();
    assert_true(json_array_size(json_object_get(json, "egress")) >= 30);
    json_decref(json);
    assert_int_equal(berth("prices", "client/phone", NULL), 0);
    says("cost nothing");
    assert_int_equal(berth("prices", "gcp/us-central", NULL), 1);
    says("did you mean gcp/us-central1?");
    assert_int_equal(berth("prices", "--to", "aws/us-east-1", NULL), 1);
    says("from which SITE?");
    assert_int_equal(berth("prices", "--app", "x.yaml", NULL), 1);
    says("prices diff");
}

static void test_diff(void **state)
{
    (void)state;
    const char *old = write_file("old.yaml", world_old);
    const char *app = write_file("shop.yaml", app_text);
    assert_int_equal(berth("prices", "diff", old, old, "--app", app, NULL), 0);
    says("No differences");
    const char *now = write_file("new.yaml", changed("cpu: 0.04", "cpu: 0.05"));
    assert_int_equal(berth("prices", "diff", old, now, "--app", app, NULL), CLI_CHANGES);
    says("price.cpu");
    says("+25.0 %");
    says("default/shop/api");
    assert_int_equal(berth("prices", "diff", old, now, "--app", app, "--json", NULL), CLI_CHANGES);
    json_t *json = output_json();
    assert_int_equal(json_array_size(json_object_get(json, "changes")), 1);
    const json_t *change = json_array_get(json_object_get(json, "changes"), 0);
    assert_string_equal(text_of(change, "what"), "aws/one");
    assert_string_equal(text_of(change, "before"), "0.04");
    assert_string_equal(text_of(change, "after"), "0.05");
    assert_string_equal(text_of(change, "change"), "0.250000");
    const json_t *workload = json_array_get(json_object_get(json, "workloads"), 0);
    struct decimal bills[2];
    assert_int_equal(decimal_parse(text_of(workload, "bill_before"), &bills[0], NULL), 0);
    assert_int_equal(decimal_parse(text_of(workload, "bill_after"), &bills[1], NULL), 0);
    int64_t nusd_of[2];
    assert_int_equal(decimal_scaled(bills[0], 9, &nusd_of[0]), 0);
    assert_int_equal(decimal_scaled(bills[1], 9, &nusd_of[1]), 0);
    /* One vCPU for 730 hours, with 10 % that the shapes leave: $0.01 more of each. */
    assert_int_equal(nusd_of[1] - nusd_of[0], INT64_C(8030000000));
    assert_int_equal(json_array_size(json_object_get(json, "holes")), 0);
    json_decref(json);
    /* A tier is a figure as well; without an app there is no bill. */
    now = write_file("new.yaml", changed("{price: 0.08}", "{price: 0.04}"));
    old = write_file("old.yaml", world_old);
    assert_int_equal(berth("prices", "diff", old, now, NULL), CLI_CHANGES);
    says("tiers[1].price");
    says("-50.0 %");
    says("No apps to compare");
    assert_int_equal(berth("prices", "diff", old, NULL), 1);
    says("OLD NEW");
    assert_int_equal(berth("prices", "diff", old, now, "--live", NULL), 1);
    says("write OLD and NEW as words");
    assert_int_equal(berth("prices", "diff", old, "/nonexistent/x.yaml", NULL), 1);
    says("/nonexistent/x.yaml");
}

static void test_holes(void **state)
{
    (void)state;
    const char *app = write_file("shop.yaml", app_text);
    const char *old = write_file("old.yaml", world_old);
    const char *now = write_file("new.yaml", changed("name: aws/one", "name: aws/two"));
    /* The round trip's pair names a site as well. */
    char text[sizeof(world_old) + 64];
    const char *both = changed("name: aws/one", "name: aws/two");
    const char *pair = strstr(both, "web, aws/one");
    assert_non_null(pair);
    str_format(text, sizeof(text), "%.*sweb, aws/two%s", (int)(pair - both), both,
               pair + strlen("web, aws/one"));
    now = write_file("new.yaml", text);
    assert_int_equal(berth("prices", "diff", old, now, "--app", app, NULL), CLI_CHANGES);
    says("gone");
    says("default/shop/api runs at aws/one, which is gone");
    says("cannot be told");
    now = write_file("new.yaml", changed("cpu: 0.04", "cpu: 0"));
    assert_int_equal(berth("prices", "diff", old, now, "--app", app, NULL), CLI_CHANGES);
    says("whose price.cpu is now 0");
    now = write_file("new.yaml", changed("from: aws/*", "from: edge/*"));
    old = write_file("old.yaml", world_old);
    assert_int_equal(berth("prices", "diff", old, now, "--app", app, "--json", NULL), CLI_CHANGES);
    json_t *json = output_json();
    const json_t *holes = json_object_get(json, "holes");
    assert_int_equal(json_array_size(holes), 1);
    assert_non_null(strstr(json_string_value(json_array_get(holes, 0)), "have no price any more"));
    json_decref(json);
}

/* Every kind of figure shows up, once. */
static void test_changes(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        const char *to;
        const char *what;
        const char *field;
    } cases[] = {
        {"memory: 0.004,", "memory: 0.005,", "aws/one", "price.memory"},
        {"storage: 0.05", "storage: 0.06", "aws/one", "price.storage"},
        {"overhead: 10%", "overhead: 11%", "aws/one", "overhead"},
        {"overhead: 10%", "overhead: 10%, speed: 0.5", "aws/one", "speed"},
        {"overhead: 10%", "overhead: 10%, measures: {carbon: 3 g/kWh}", "aws/one",
         "measures.carbon"},
        {"tier: client,", "tier: client, cpu_weight: 1,", "client/web", "cpu_weight"},
        {"up_to: 10GiB", "up_to: 11GiB", "egress out", "tiers[0].up_to"},
        {"price: 0.1}", "price: 0.2}", "egress out", "tiers[0].price"},
        {"per: GiB", "per: GB", "egress out", "per"},
        {"to: \"*\"", "to: client/*", "egress out", "to"},
        {"rtt: 40ms", "rtt: 50ms", "path client/web - aws/one", "rtt ms"},
        {"rtt: 40ms", "rtt: 40ms, factor: 1ms", "path client/web - aws/one", "factor ms"},
        {"latency:", "terms: [{name: fee, formula: 1 USD}]\nlatency:", "term fee", ""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct arena arena;
        struct world old;
        struct world now;
        struct price_changes changes;
        struct error err = {0};
        arena_init(&arena, ARENA_BYTES);
        const char *text = changed(cases[i].from, cases[i].to);
        assert_int_equal(
            world_parse("old.yaml", world_old, sizeof(world_old) - 1, &arena, &old, &err), 0);
        if (world_parse("new.yaml", text, strlen(text), &arena, &now, &err) < 0) {
            fail_msg("%s", err.text);
        }
        assert_int_equal(price_changes(&old, &now, &arena, &changes, &err), 0);
        if (changes.count != 1) {
            fail_msg("%d changes by %s", changes.count, cases[i].to);
        }
        assert_string_equal(changes.list[0].what, cases[i].what);
        assert_string_equal(changes.list[0].field, cases[i].field);
        arena_done(&arena);
    }
}

static void test_completion(void **state)
{
    (void)state;
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    completion_words(NULL, (const char *const[]){"berth", "prices", "di"}, 3, 2, &out);
    completion_words(NULL, (const char *const[]){"berth", "sites", "aws/us-e"}, 3, 2, &out);
    completion_words(NULL, (const char *const[]){"berth", "sites", "--tier", "e"}, 4, 3, &out);
    assert_string_equal(strbuf_text(&out), "diff\naws/us-east-1\naws/us-east-2\nedge\n");
    strbuf_done(&out);
}

static int make_folder(void **state)
{
    (void)state;
    str_format(folder, sizeof(folder), "berth-prices-XXXXXX");
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"out", "old.yaml", "new.yaml", "shop.yaml"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[512];
        str_format(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sites),   cmocka_unit_test(test_prices),
        cmocka_unit_test(test_diff),    cmocka_unit_test(test_holes),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_completion),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
