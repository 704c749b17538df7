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
    static const char *const names[] = {"out", "page.html", "kept.state", "site.yaml"};
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
    assert_int_equal(
        berth("whatif", "--world", world, app, "--retag", "shop/source", "cloud=aws", NULL), 2);
    says("retag.shop/source=cloud=aws");
    says("default/shop/source");
    assert_int_equal(berth("whatif", "--world", world, app, "--remove-provider", "gcp", NULL), 1);
    says("No placement keeps all rules");
    says("default/shop/source leaves the sites that are taken away");
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
        cmocka_unit_test(test_answers),  cmocka_unit_test(test_json),
        cmocka_unit_test(test_files),    cmocka_unit_test(test_sites_from_files),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_completion),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
