/*
 * `berth whatif` on documents and kept states, as people run it: what is printed, as text, JSON and
 * a page; the exit codes; what refusals say; and that a file is complete or not there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "scheduler/cli/cli.h"
#include "scheduler/cli/completion.h"
#include "scheduler/cli/whatif.h"

#define OUTPUT_BYTES (1 << 20)
#define WORDS_MAX    20

static char output[OUTPUT_BYTES];
static char folder[256];
static char world[512];
static char app[512];

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

static const char *in_folder(const char *name)
{
    static char path[2][512];
    static int turn;
    turn = 1 - turn;
    str_format(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void says(const char *text)
{
    if (strstr(output, text) == NULL)
        fail_msg("\"%s\" is not in:\n%s", text, output);
}

static int begin(void **state)
{
    (void)state;
    str_format(folder, sizeof(folder), "%s/whatif.XXXXXX", BERTH_BINARY_DIR);
    str_format(world, sizeof(world), "%s/examples/worlds/demo.yaml", BERTH_SOURCE_DIR);
    str_format(app, sizeof(app), "%s/examples/apps/shop.yaml", BERTH_SOURCE_DIR);
    return mkdtemp(folder) == NULL ? -1 : 0;
}

static int end(void **state)
{
    static const char *const names[] = {"out",      "page.html", "kept.state", "site.yaml",
                                        "two.yaml", "one.yaml",  "other.yaml"};
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        (void)unlink(in_folder(names[i]));
    return rmdir(folder);
}

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(berth("whatif", "--world", world, app, "--set", "price.egress.*=x2", NULL), 0);
    says("What if price.egress.*=x2");
    says("Nothing moves.");
    says("Proven");
    says("Nothing runs yet");
    assert_int_equal(berth("whatif", "--world", world, app, "--set", "cache.hit=0.2", NULL), 2);
    says("with 1 move");
    says("default/shop/inference");
    says("is the policy's preference to stay");
    assert_null(strstr(output, "VARIANT"));
    assert_int_equal(
        berth("whatif", "--world", world, app, "--retag", "shop/source", "cloud=aws", NULL), 2);
    says("retag.shop/source=cloud=aws");
    says("default/shop/source");
    assert_int_equal(berth("whatif", "--world", world, app, "--remove-provider", "gcp", NULL), 1);
    says("No placement keeps all rules");
    says("default/shop/source leaves the sites that are taken away");
}

static double number_of(const json_t *text)
{
    assert_true(json_is_string(text));
    return strtod(json_string_value(text), NULL);
}

/* Their documents. */
static void write_two_apps(char paths[3][512])
{
    static const char two[] = "world: two\naccounts: [{name: a, provider: aws}]\nsites:\n"
                              "  - {name: client/web, tier: client, geo: [40, -75]}\n"
                              "  - {name: aws/east, tier: cloud, account: a, geo: [39, -77],\n"
                              "     price: {cpu: 0.03, memory: 0.004}}\n"
                              "egress:\n"
                              "  - {name: out, from: 'aws/*', to: '*', per: GiB,\n"
                              "     tiers: [{up_to: 1000GiB, price: 0.1}, {price: 0.05}]}\n";
    static const char one[] =
        "app: %s\nworkloads:\n  - name: web\n    run: {driver: process, artifact: 'file:/x'}\n"
        "    resources: {cpu: 1, memory: 1GiB}\n    tiers: [cloud]\n"
        "users: [{name: visitors, site: client/web}]\n"
        "links: [{from: visitors, to: web, calls: 1/s, request: 1B, response: %dB}]\n";
    struct strbuf text;
    struct error err;
    strbuf_init(&text, 4096);
    str_format(paths[0], sizeof(paths[0]), "%s", in_folder("two.yaml"));
    strbuf_puts(&text, two);
    assert_int_equal(whatif_write(paths[0], &text, &err), 0);
    for (int i = 0; i < 2; i++) {
        /* 800 GiB * (1 + i) over the seconds of 730 hours. */
        static const int bytes[] = {326857, 653714};
        str_format(paths[1 + i], sizeof(paths[0]), "%s",
                   in_folder(i == 0 ? "one.yaml" : "other.yaml"));
        strbuf_reset(&text);
        strbuf_printf(&text, one, i == 0 ? "one" : "other", bytes[i]);
        assert_int_equal(whatif_write(paths[1 + i], &text, &err), 0);
    }
    strbuf_done(&text);
}

/* Two apps of one account send 800 and 1,600 GiB a month over tiers of $0.10 up to 1,000 GiB and
 * $0.05 beyond: 2.4 TiB cost 100 + 70 = $170. Alone the first would pay $80 and the other 100 + 30
 * = $130, so they add 170 - 130 = $40 and 170 - 80 = $90, and in the mean of both orders (80 + 40)
 * / 2 = $60 and (130 + 90) / 2 = $110. */
static void test_attribution(void **state)
{
    (void)state;
    char paths[3][512];
    write_two_apps(paths);
    assert_int_equal(
        berth("whatif", "--world", paths[0], paths[1], paths[2], "--attribute", "--json", NULL), 0);
    json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    json_t *meters = json_object_get(json_object_get(json, "attribution"), "meters");
    assert_int_equal(json_array_size(meters), 1);
    json_t *shares = json_object_get(json_array_get(meters, 0), "shares");
    assert_int_equal(json_array_size(shares), 2);
    double sum = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *share = json_array_get(shares, i);
        bool first = strstr(json_string_value(json_object_get(share, "app")), "one") != NULL;
        double fair = number_of(json_object_get(share, "shapley"));
        double marginal = number_of(json_object_get(share, "marginal"));
        sum += fair;
        assert_true(fair > (first ? 59.99 : 109.99) && fair < (first ? 60.01 : 110.01));
        assert_true(marginal > (first ? 39.99 : 89.99) && marginal < (first ? 40.01 : 90.01));
    }
    assert_true(sum > 169.99 && sum < 170.01);
    json_decref(json);
    /* Doubled while nothing moves, the term doubles, to the nano-dollar's rounding. */
    assert_int_equal(berth("whatif", "--world", paths[0], paths[1], paths[2], "--set",
                           "price.egress.aws*=x2", "--json", NULL),
                     0);
    json = json_loads(output, 0, NULL);
    assert_non_null(json);
    double egress[2] = {0, 0};
    static const char *const sides[] = {"before", "after"};
    for (int i = 0; i < 2; i++) {
        size_t at;
        json_t *term;
        json_array_foreach(json_object_get(json_object_get(json, sides[i]), "terms"), at, term)
        {
            if (strcmp(json_string_value(json_object_get(term, "term")), "egress") == 0)
                egress[i] = number_of(json_object_get(term, "bill"));
        }
    }
    assert_true(egress[0] > 169.99 && egress[0] < 170.01);
    assert_true(egress[1] - 2 * egress[0] < 5e-9 && 2 * egress[0] - egress[1] < 5e-9);
    json_decref(json);
}

static void test_json(void **state)
{
    (void)state;
    assert_int_equal(berth("whatif", "--world", world, app, "--set", "cache.hit=0.2", "--json",
                           "--break-even", "cache.hit", "--monte-carlo", "5", NULL),
                     2);
    json_t *json = json_loads(output, 0, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "overrides"), 0)),
                        "cache.hit=0.2");
    assert_int_equal(json_array_size(json_object_get(json, "moves")), 1);
    /* The bound is of the score and of the preference to stay. */
    json_t *after = json_object_get(json, "after");
    double score = number_of(json_object_get(after, "score"));
    double stay = number_of(json_object_get(json, "stay_score"));
    double bound = number_of(json_object_get(json, "bound_score"));
    assert_true(stay > 1);
    assert_true(bound <= score + stay + 1e-6 && bound > (score + stay) * 0.999);
    assert_int_equal(json_array_size(json_object_get(json, "break_even")), 1);
    json_decref(json);
}

static void test_files(void **state)
{
    (void)state;
    char page[512];
    char kept[512];
    str_format(page, sizeof(page), "%s", in_folder("page.html"));
    str_format(kept, sizeof(kept), "%s", in_folder("kept.state"));
    assert_int_equal(berth("whatif", "--world", world, app, "--html", page, "--save", kept, NULL),
                     0);
    says("With pictures:");
    assert_int_equal(access(page, R_OK), 0);
    struct strbuf text;
    struct error err;
    strbuf_init(&text, OUTPUT_BYTES);
    assert_int_equal(whatif_read(page, &text, &err), 0);
    assert_non_null(strstr(strbuf_text(&text), "</html>"));
    /* The kept state gives the same answer. */
    assert_int_equal(berth("whatif", "--state", kept, "--set", "cache.hit=0.2", NULL), 2);
    says("with 1 move");
    /* What cannot be written is said, and nothing is left. */
    assert_int_equal(berth("whatif", "--state", kept, "--html", in_folder("none/page.html"), NULL),
                     1);
    says("none/page.html");
    assert_int_equal(whatif_write(in_folder("site.yaml"), &text, &err), 0);
    /* What is no plain file is not replaced by one: /dev/null is everybody's. */
    str_format(page, sizeof(page), "%s", in_folder("link.html"));
    assert_int_equal(symlink("/dev/null", page), 0);
    assert_int_equal(berth("whatif", "--state", kept, "--html", page, NULL), 1);
    says("link.html is no plain file");
    assert_int_equal(unlink(page), 0);
    assert_int_equal(mkfifo(page, 0600), 0);
    assert_int_equal(whatif_write(page, &text, &err), ERR_INVALID);
    assert_int_equal(unlink(page), 0);
    strbuf_done(&text);
}

static void test_sites_from_files(void **state)
{
    (void)state;
    struct arena arena;
    struct error err;
    struct strbuf text;
    char *said = NULL;
    arena_init(&arena, 1 << 20);
    strbuf_init(&text, 4096);
    strbuf_puts(&text, "- name: aws/eu-west-1\n  like: aws/eu-west-1\n");
    assert_int_equal(whatif_write(in_folder("site.yaml"), &text, &err), 0);
    assert_int_equal(whatif_add_site(in_folder("site.yaml"), &arena, &said, &err), 0);
    assert_string_equal(said, "add.site=- name: aws/eu-west-1\n  like: aws/eu-west-1\n");
    assert_int_equal(whatif_add_site("{name: aws/x}", &arena, &said, &err), 0);
    assert_string_equal(said, "add.site={name: aws/x}");
    assert_int_equal(
        berth("whatif", "--world", world, app, "--add-site", in_folder("site.yaml"), NULL), 0);
    strbuf_done(&text);
    arena_done(&arena);
}

/* A point that has no placement has neither moves nor a gap: the site holds 8 copies, not 21. */
static void test_a_sweep_says_where_there_is_no_placement(void **state)
{
    (void)state;
    struct strbuf text;
    struct error err;
    strbuf_init(&text, 4096);
    strbuf_puts(&text, "world: small\naccounts: [{name: a, provider: aws}]\nsites:\n"
                       "  - {name: aws/east, tier: cloud, account: a, capacity: {cpu: 8, memory: "
                       "8GiB},\n     price: {cpu: 0.03, memory: 0.004}}\n");
    assert_int_equal(whatif_write(in_folder("two.yaml"), &text, &err), 0);
    strbuf_reset(&text);
    strbuf_puts(&text, "app: one\nworkloads:\n  - name: web\n    run: {driver: process, artifact: "
                       "'file:/x'}\n    resources: {cpu: 1, memory: 1GiB}\n");
    assert_int_equal(whatif_write(in_folder("one.yaml"), &text, &err), 0);
    strbuf_done(&text);
    (void)berth("whatif", "--world", in_folder("two.yaml"), in_folder("one.yaml"), "--sweep",
                "replicas.one/web=1:21:20", NULL);
    says("infeasible      -        -");
}

static void test_refusals(void **state)
{
    (void)state;
    assert_int_equal(berth("whatif", "--world", world, app, "--set", "price.egres=x2", NULL), 1);
    says("did you mean \"price.egress\"?");
    assert_int_equal(berth("whatif", "--world", world, app, "--set", "calls.shp=x2", NULL), 1);
    says("shop");
    assert_int_equal(berth("whatif", "--world", world, NULL), 1);
    says("the files of its apps are missing");
    assert_int_equal(berth("whatif", app, NULL), 1);
    says("--world FILE");
    assert_int_equal(berth("whatif", "--state", app, NULL), 1);
    says("berth-state 1");
    assert_int_equal(berth("whatif", "--world", world, "--state", app, app, NULL), 1);
    says("not both");
    assert_int_equal(berth("whatif", "--world", world, app, app, NULL), 1);
    says("are both app");
    assert_int_equal(berth("whatif", "--world", world, app, "--sweep", "calls=x1:x2", NULL), 1);
    says("LO:HI:STEP");
    assert_int_equal(berth("whatif", "--world", world, app, "--retag", "shop/source", NULL), 1);
    says("KEY=VALUE is missing");
    assert_int_equal(berth("whatif", "--world", world, app, "cache.hit=1", NULL), 1);
    says("--set cache.hit=1");
    assert_int_equal(berth("whatif", "--world", world, app, "--slo", "p95<1ms", NULL), 1);
    says("must be within");
    assert_int_equal(berth("whatif", "--world", world, app, "--gap", "200%", NULL), 1);
    says("at most 100%");
}

static void test_completion(void **state)
{
    (void)state;
    static const char *const words[] = {"berth", "whatif", "--set", "price.e"};
    struct strbuf out;
    strbuf_init(&out, 4096);
    completion_words(NULL, words, 4, 3, &out);
    assert_string_equal(strbuf_text(&out), "price.egress.*=\n");
    strbuf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_sites_from_files),
        cmocka_unit_test(test_a_sweep_says_where_there_is_no_placement),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_attribution),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
