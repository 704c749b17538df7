#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/doc.h"

static struct doc *parsed(const char *file, const char *text)
{
    struct doc *doc = NULL;
    struct error err = {0};
    if (doc_parse(file, text, strlen(text), &doc, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return doc;
}

static void assert_refused(const char *file, const char *text, int code, const char *expected)
{
    struct doc *doc = NULL;
    struct error err = {0};
    assert_int_equal(doc_parse(file, text, strlen(text), &doc, &err), code);
    assert_null(doc);
    assert_string_equal(err.text, expected);
}

static void assert_problems(struct doc *doc, const char *expected)
{
    struct strbuf report;
    strbuf_init(&report, 1 << 20);
    doc_report(doc, &report);
    assert_string_equal(strbuf_text(&report), expected);
    strbuf_done(&report);
}

/* ---- parsing -------------------------------------------------------------------------------- */

static void assert_same_tree(const char *file, const char *text)
{
    struct doc *doc = parsed(file, text);
    const struct doc_node *root = doc_root(doc);
    assert_int_equal(doc_kind(root), DOC_MAP);
    assert_int_equal(doc_count(root), 3);
    assert_string_equal(doc_key(root, 0), "app");
    assert_string_equal(doc_text(doc_item(root, 0)), "web");
    assert_int_equal(doc_line(doc_item(root, 0)), 1);
    const struct doc_node *list = doc_list(doc, root, "parts", DOC_REQUIRED);
    assert_int_equal(doc_count(list), 4);
    assert_int_equal(doc_line(list), 2);
    assert_string_equal(doc_text(doc_item(list, 0)), "0.0000002000");
    assert_int_equal(doc_kind(doc_item(list, 1)), DOC_NULL);
    assert_null(doc_text(doc_item(list, 1)));
    assert_string_equal(doc_text(doc_item(list, 2)), "null");
    assert_int_equal(doc_line(doc_item(list, 2)), 5);
    assert_string_equal(doc_text(doc_item(list, 3)), "a\"\\/\xc3\xa9\n\xf0\x9f\x98\x80");
    assert_string_equal(doc_path(doc, doc_item(list, 3)), "parts[3]");
    const struct doc_node *limits = doc_map(doc, root, "limits", DOC_REQUIRED);
    const struct doc_node *deep = doc_map(doc, limits, "cpu", DOC_REQUIRED);
    assert_string_equal(doc_path(doc, doc_get(doc, deep, "max", 0)), "limits.cpu.max");
    assert_int_equal(doc_line(doc_get(doc, deep, "max", 0)), 9);
    assert_string_equal(doc_path(doc, root), "");
    assert_int_equal(doc_check(doc, NULL), 0);
    doc_destroy(doc);
}

static void yaml_and_json_become_the_same_tree(void **state)
{
    (void)state;
    assert_same_tree("a.yaml", "app: web\n"
                               "parts:\n"
                               "  - 0.0000002000\n"
                               "  - null\n"
                               "  - 'null'\n"
                               "  - \"a\\\"\\\\/\\u00e9\\n\\U0001F600\"\n"
                               "limits:\n"
                               "  cpu:\n"
                               "    max: 3\n");
    static const char json[] = "{\"app\": \"web\",\n"
                               "\"parts\": [\n"
                               "  0.0000002000,\n"
                               "  null,\n"
                               "  \"null\",\n"
                               "  \"a\\\"\\\\\\/\\u00e9\\n\\ud83d\\ude00\"],\n"
                               "\"limits\": {\n"
                               "  \"cpu\": {\n"
                               "    \"max\": 3}}}\n";
    assert_same_tree("a.json", json);
    assert_same_tree("apply", json); /* a text that begins with a brace */
}

static void nothing_is_null_and_quotes_make_it_text(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "a: ~\nb:\nc: ''\nd: \"~\"\ne: Null\nf: |\n  x\n");
    const struct doc_node *root = doc_root(doc);
    static const enum doc_kind kinds[] = {DOC_NULL,   DOC_NULL,   DOC_SCALAR,
                                          DOC_SCALAR, DOC_SCALAR, DOC_SCALAR};
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(doc_kind(doc_item(root, i)), kinds[i]);
    }
    assert_string_equal(doc_text(doc_item(root, 5)), "x\n");
    assert_int_equal(doc_kind(NULL), DOC_NULL);
    assert_int_equal(doc_count(NULL), 0);
    assert_null(doc_text(root));
    doc_destroy(doc);
}

static void an_empty_text_lacks_its_fields(void **state)
{
    (void)state;
    static const char *const empty[] = {"", "\n\n", "# nothing\n", "~"};
    for (size_t i = 0; i < sizeof(empty) / sizeof(empty[0]); i++) {
        struct doc *doc = parsed("a.yaml", empty[i]);
        char name[LIMIT_NAME_BYTES] = "kept";
        assert_false(doc_name(doc, doc_root(doc), "app", DOC_REQUIRED, name));
        assert_string_equal(name, "kept");
        assert_problems(doc, "a.yaml:1: app: is required, and is missing\n");
        doc_destroy(doc);
    }
}

static void what_yaml_has_beyond_plain_values_is_refused(void **state)
{
    (void)state;
    assert_refused("a.yaml", "x:\n  a: 1\n  b: 2\n  a: 3\n", ERR_INVALID,
                   "a.yaml:4: x: the field \"a\" is already set in line 2; remove one");
    assert_refused("a.yaml", "a: &x 1\n", ERR_INVALID,
                   "a.yaml:1: a: anchors and aliases (\"x\") are not read here; write the value "
                   "out");
    assert_refused("a.yaml", "a:\n - *x\n", ERR_INVALID,
                   "a.yaml:2: a: anchors and aliases (\"x\") are not read here; write the value "
                   "out");
    assert_refused("a.yaml", "<<: {a: 1}\n", ERR_INVALID,
                   "a.yaml:1: the merge key \"<<\" is not read here; write the fields out");
    assert_refused("a.yaml", "a: !!int 3\n", ERR_INVALID,
                   "a.yaml:1: a: tags (\"tag:yaml.org,2002:int\") are not read here; write the "
                   "value without it");
    assert_refused("a.yaml", "a: 1\n---\nb: 1\n", ERR_INVALID,
                   "a.yaml:2: a second document begins; one file holds one document");
    assert_refused("a.yaml", "a: \"x\\0y\"\n", ERR_INVALID,
                   "a.yaml:1: a: a NUL character in a text");
    assert_refused("a.yaml", "? [1]\n: 2\n", ERR_INVALID,
                   "a.yaml:1: a field's name must be a plain text");
    assert_refused("a.yaml", "'': 2\n", ERR_INVALID, "a.yaml:1: a field without a name");
}

static void broken_texts_are_refused_with_their_line(void **state)
{
    (void)state;
    assert_refused("a.yaml", "a: 1\nb: [1, 2\n", ERR_INVALID,
                   "a.yaml:3: did not find expected ',' or ']', while parsing a flow sequence that "
                   "begins in line 2");
    assert_refused("a.yaml", "a:\n\t- 1\n", ERR_INVALID,
                   "a.yaml:2: found character that cannot start any token, while scanning for the "
                   "next token that begins in line 2; indent with spaces, not with tabs");
    assert_refused("a.yaml", "a: 1\nb: \"\xc3(\"\n", ERR_INVALID,
                   "a.yaml:2: invalid trailing UTF-8 octet; the text must be UTF-8 without control "
                   "characters");
    assert_refused("a.json", "{\"a\": 1,\n}", ERR_INVALID,
                   "a.json:2: as JSON: string or '}' expected near '}'");
    assert_refused("a.json", "", ERR_INVALID,
                   "a.json:1: as JSON: '[' or '{' expected near end of "
                   "file");
    assert_refused("a.yaml", "{a: 1}", ERR_INVALID,
                   "a.yaml:1: as JSON: string or '}' expected near 'a'");
    assert_refused("a.json", "{\"a\": 1} {}", ERR_INVALID,
                   "a.json:1: as JSON: end of file expected near '{'");
    assert_refused("a.json", "{\"b\": {\"a\": 1,\n \"a\": 2}}", ERR_INVALID,
                   "a.json:2: b: the field \"a\" is already set in line 1; remove one");
    struct doc *doc = NULL;
    assert_int_equal(doc_parse("a.json", "{\"a\": \"\\u0000\"}", 15, &doc, NULL), ERR_INVALID);
    assert_int_equal(doc_parse("a.json", "{\"a\": \"\\ud83d\"}", 15, &doc, NULL), ERR_INVALID);
    assert_int_equal(doc_parse("a.json", "{\"a\": 1}\0", 9, &doc, NULL), ERR_INVALID);
    assert_null(doc);
}

static void assert_depth(const char *file, const char *open, const char *close, size_t levels,
                         int code)
{
    struct strbuf text;
    strbuf_init(&text, 100000);
    for (size_t i = 0; i < levels; i++) {
        strbuf_puts(&text, open);
    }
    strbuf_puts(&text, "1");
    for (size_t i = 0; i < levels; i++) {
        strbuf_puts(&text, close);
    }
    struct doc *doc = NULL;
    struct error err = {0};
    assert_int_equal(doc_parse(file, strbuf_text(&text), text.bytes, &doc, &err), code);
    if (code < 0) {
        assert_non_null(strstr(err.text, "LIMIT_DOC_DEPTH"));
    }
    doc_destroy(doc);
    strbuf_done(&text);
}

static void depth_and_length_have_limits(void **state)
{
    (void)state;
    assert_depth("a.yaml", "[", "]", LIMIT_DOC_DEPTH, 0);
    assert_depth("a.yaml", "[", "]", LIMIT_DOC_DEPTH + 1, ERR_LIMIT);
    assert_depth("a.yaml", "- ", "", LIMIT_DOC_DEPTH + 1, ERR_LIMIT);
    assert_depth("a.json", "{\"a\":", "}", LIMIT_DOC_DEPTH, 0);
    assert_depth("a.json", "{\"a\":", "}", LIMIT_DOC_DEPTH + 1, ERR_LIMIT);
    size_t bytes = (size_t)LIMIT_DOC_BYTES + 1;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, '#', bytes);
    struct doc *doc = NULL;
    struct error err = {0};
    assert_int_equal(doc_parse("a.yaml", text, bytes, &doc, &err), ERR_LIMIT);
    assert_string_equal(err.text, "a.yaml: 4194305 bytes; a document has at most 4194304 "
                                  "(LIMIT_DOC_BYTES)");
    assert_int_equal(doc_parse("a.yaml", text, bytes - 1, &doc, &err), 0);
    doc_destroy(doc);
    free(text);
}

/* As dense as a text can be: two bytes a value, and as many fields as fit. */
static void the_densest_texts_fit_their_memory(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_puts(&text, "[");
    for (int i = 0; i < 50000; i++) {
        strbuf_puts(&text, "1,");
    }
    strbuf_puts(&text, "1]");
    struct doc *doc = parsed("a.json", strbuf_text(&text));
    assert_int_equal(doc_count(doc_root(doc)), 50001);
    doc_destroy(doc);
    strbuf_reset(&text);
    strbuf_puts(&text, "[");
    for (int i = 0; i < 50000; i++) {
        strbuf_puts(&text, "{},");
    }
    strbuf_puts(&text, "[]]");
    doc = parsed("a.json", strbuf_text(&text));
    assert_int_equal(doc_count(doc_root(doc)), 50001);
    doc_destroy(doc);
    strbuf_reset(&text);
    for (int i = 0; i < 30000; i++) {
        strbuf_printf(&text, "%x:\n", i);
    }
    doc = parsed("a.yaml", strbuf_text(&text));
    assert_int_equal(doc_count(doc_root(doc)), 30000);
    assert_int_equal(doc_line(doc_get(doc, doc_root(doc), "752f", 0)), 30000);
    doc_destroy(doc);
    strbuf_done(&text);
}

/* ---- reading -------------------------------------------------------------------------------- */

static void typed_fields_are_read(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "name: web-1\nnote: two words\nwarm: true\ncold: \"false\"\n"
                                       "count: -3\nprice: $0.09\ndelta: -0.5\ncpu: 250m\n"
                                       "memory: 64MiB\nlinger: 80ms\nload: 200/s\nhit: 85%\n"
                                       "cloud: aws\nnothing:\n");
    const struct doc_node *root = doc_root(doc);
    static const char *const clouds[] = {"gcp", "aws"};
    char name[LIMIT_NAME_BYTES];
    char note[10];
    bool yes = false;
    int64_t number = 0;
    struct decimal price = {0};
    int word = -1;
    assert_true(doc_name(doc, root, "name", DOC_REQUIRED, name));
    assert_string_equal(name, "web-1");
    assert_true(doc_string(doc, root, "note", DOC_REQUIRED, note, sizeof(note)));
    assert_string_equal(note, "two words");
    assert_true(doc_bool(doc, root, "warm", DOC_REQUIRED, &yes) && yes);
    assert_true(doc_bool(doc, root, "cold", DOC_REQUIRED, &yes) && !yes);
    assert_true(doc_int(doc, root, "count", DOC_REQUIRED, -3, 3, &number) && number == -3);
    assert_true(doc_price(doc, root, "price", DOC_REQUIRED, &price));
    assert_true(price.coefficient == 9 && price.scale == 2);
    assert_true(doc_decimal(doc, root, "delta", DOC_REQUIRED, &price) && price.coefficient == -5);
    assert_true(doc_cpu(doc, root, "cpu", DOC_REQUIRED, &number) && number == 250);
    assert_true(doc_bytes(doc, root, "memory", DOC_REQUIRED, &number) && number == 64 << 20);
    assert_true(doc_duration(doc, root, "linger", DOC_REQUIRED, &number) && number == 80000);
    assert_true(doc_rate(doc, root, "load", DOC_REQUIRED, &number) && number == 200000);
    assert_true(doc_ratio(doc, root, "hit", DOC_REQUIRED, &number) && number == 850000);
    assert_true(doc_word(doc, root, "cloud", DOC_REQUIRED, clouds, 2, &word) && word == 1);
    number = 77;
    assert_false(doc_int(doc, root, "nothing", 0, 0, 9, &number));
    assert_false(doc_int(doc, root, "absent", 0, 0, 9, &number));
    assert_int_equal(number, 77);
    doc_close(doc, root);
    assert_int_equal(doc_problem_count(doc), 0);
    assert_int_equal(doc_check(doc, NULL), 0);
    doc_destroy(doc);
}

static const char wrong[] = "app: Web_1\n"
                            "workloads:\n"
                            "  - name: source\n"
                            "    resources: {cpu: 25Om, memory: 1.5B}\n"
                            "    replcas: 2\n"
                            "  - replicas: 65\n"
                            "    cloud: gpc\n"
                            "    resources: [1]\n"
                            "    price: -1\n"
                            "    warm: yes\n"
                            "  - none\n"
                            "  - name:\n"
                            "    note: \"a\\e[1m\\nb and quite a bit more than fits here\"\n"
                            "    xyzzy: 1\n";

static void read_wrong(struct doc *doc)
{
    static const char *const clouds[] = {"gcp", "aws"};
    const struct doc_node *root = doc_root(doc);
    char name[LIMIT_NAME_BYTES];
    char note[8];
    int64_t number;
    int word;
    bool yes;
    struct decimal price;
    (void)doc_name(doc, root, "app", DOC_REQUIRED, name);
    const struct doc_node *list = doc_list(doc, root, "workloads", DOC_REQUIRED);
    for (size_t i = 0; i < doc_count(list); i++) {
        const struct doc_node *item = doc_item(list, i);
        (void)doc_name(doc, item, "name", DOC_REQUIRED, name);
        (void)doc_int(doc, item, "replicas", 0, 1, LIMIT_REPLICAS, &number);
        (void)doc_word(doc, item, "cloud", 0, clouds, 2, &word);
        (void)doc_price(doc, item, "price", 0, &price);
        (void)doc_bool(doc, item, "warm", 0, &yes);
        (void)doc_string(doc, item, "note", 0, note, sizeof(note));
        const struct doc_node *resources = doc_map(doc, item, "resources", 0);
        (void)doc_cpu(doc, resources, "cpu", DOC_REQUIRED, &number);
        (void)doc_bytes(doc, resources, "memory", DOC_REQUIRED, &number);
        doc_close(doc, resources);
        doc_close(doc, item);
    }
    doc_close(doc, root);
}

static void every_wrong_field_is_reported_in_one_run(void **state)
{
    (void)state;
    struct doc *doc = parsed("app.yaml", wrong);
    read_wrong(doc);
    assert_problems(
        doc,
        "app.yaml:1: app: \"Web_1\" is not a name; write 1 to 63 of a-z, 0-9 and -, with a letter "
        "or a digit first and last\n"
        "app.yaml:4: workloads[0].resources.cpu: \"25Om\" is not a CPU quantity; write 250m, 0.5 "
        "or "
        "2\n"
        "app.yaml:4: workloads[0].resources.memory: \"1.5B\" is not a number of bytes; write 512, "
        "64MiB or 1.5GB (B, KB, MB, GB, TB, PB, KiB, MiB, GiB, TiB, PiB)\n"
        "app.yaml:5: workloads[0].replcas: no such field here; did you mean \"replicas\"?\n"
        "app.yaml:6: workloads[1].name: is required, and is missing\n"
        "app.yaml:6: workloads[1].replicas: \"65\" is out of range; write a whole number from 1 to "
        "64\n"
        "app.yaml:7: workloads[1].cloud: \"gpc\" is none of gcp, aws; did you mean \"gcp\"?\n"
        "app.yaml:8: workloads[1].resources: must be a mapping, and is a list\n"
        "app.yaml:9: workloads[1].price: \"-1\" is negative; a price is never below 0\n"
        "app.yaml:10: workloads[1].warm: \"yes\" is not a yes or no; write true or false\n"
        "app.yaml:11: workloads[2]: must be a mapping, and is a single value\n"
        "app.yaml:12: workloads[3].name: is empty; a value is required\n"
        "app.yaml:13: workloads[3].note: \"a\\x1b[1m\\nb and quite a bit more than fits here\" is "
        "43 bytes long; at most 7 fit here\n"
        "app.yaml:14: workloads[3].xyzzy: no such field here; the fields are name, replicas, "
        "cloud, price, warm, note, resources\n");
    doc_destroy(doc);
}

static void a_check_holds_whole_lines_and_counts_the_rest(void **state)
{
    (void)state;
    CLEANUP(cleanup_doc) struct doc *doc = parsed("app.yaml", wrong);
    read_wrong(doc);
    struct error err = {0};
    assert_int_equal(doc_check(doc, &err), ERR_INVALID);
    assert_int_equal(err.code, ERR_INVALID);
    size_t shown = 0;
    const char *at = err.text;
    while (strncmp(at, "and ", 4) != 0) {
        const char *problem = doc_problem_text(doc, shown++);
        assert_int_equal(strncmp(at, problem, strlen(problem)), 0);
        at += strlen(problem);
        assert_int_equal(*at, '\n');
        at++;
    }
    char rest[32];
    (void)snprintf(rest, sizeof(rest), "and %zu more", doc_problem_count(doc) - shown);
    assert_string_equal(at, rest);
    assert_true(shown >= 4);
}

/* However the lines fall against the end of the error's text, its last line is the count. */
static void the_count_always_has_room(void **state)
{
    (void)state;
    for (size_t bytes = 8; bytes < 200; bytes++) { /* shorter, and all lines fit */
        char file[200];
        memset(file, 'f', bytes);
        file[bytes] = '\0';
        struct doc *doc = parsed(file, "a: 1\nb: 1\nc: 1\nd: 1\ne: 1\nf: 1\ng: 1\nh: 1\ni: 1\n"
                                       "j: 1\nk: 1\nl: 1\nm: 1\nn: 1\no: 1\np: 1\nq: 1\nr: 1\n"
                                       "s: 1\nt: 1\nu: 1\nv: 1\nw: 1\nx: 1\ny: 1\nz: 1\n");
        doc_close(doc, doc_root(doc));
        struct error err = {0};
        assert_int_equal(doc_check(doc, &err), ERR_INVALID);
        const char *last = strrchr(err.text, '\n');
        assert_non_null(last);
        size_t shown = 0;
        for (const char *c = err.text; (c = strchr(c, '\n')) != NULL; c++) {
            shown++;
        }
        char rest[32];
        (void)snprintf(rest, sizeof(rest), "\nand %zu more", 26 - shown);
        assert_string_equal(last, rest);
        doc_destroy(doc);
    }
}

static void one_problem_is_the_whole_text(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "cpu: x\n");
    int64_t number;
    assert_false(doc_cpu(doc, doc_root(doc), "cpu", 0, &number));
    struct error err = {0};
    assert_int_equal(doc_check(doc, &err), ERR_INVALID);
    assert_string_equal(err.text,
                        "a.yaml:1: cpu: \"x\" is not a CPU quantity; write 250m, 0.5 or 2");
    assert_string_equal(err.text, doc_problem_text(doc, 0));
    doc_destroy(doc);
}

static void problems_past_the_limit_are_counted(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 100000);
    for (int i = 0; i < LIMIT_DOC_PROBLEMS + 36; i++) {
        strbuf_printf(&text, "field-%d: 1\n", i);
    }
    struct doc *doc = parsed("a.yaml", strbuf_text(&text));
    doc_close(doc, doc_root(doc));
    assert_int_equal(doc_problem_count(doc), LIMIT_DOC_PROBLEMS);
    struct error err = {0};
    assert_int_equal(doc_check(doc, &err), ERR_INVALID);
    int shown = 0;
    for (const char *c = err.text; (c = strchr(c, '\n')) != NULL; c++) {
        shown++;
    }
    char rest[32];
    (void)snprintf(rest, sizeof(rest), "\nand %d more", LIMIT_DOC_PROBLEMS + 36 - shown);
    assert_non_null(strstr(err.text, rest));
    struct strbuf report;
    strbuf_init(&report, 100000);
    doc_report(doc, &report);
    assert_non_null(strstr(strbuf_text(&report), "a.yaml: and 36 more problems\n"));
    strbuf_done(&report);
    strbuf_done(&text);
    doc_destroy(doc);
}

static void an_absent_part_lacks_nothing(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "empty:\nlist: [x, {a: 1}]\n");
    const struct doc_node *root = doc_root(doc);
    int64_t number = 7;
    /* Absent as a whole: what it would require is not missing. */
    assert_false(doc_cpu(doc, doc_get(doc, root, "absent", 0), "cpu", DOC_REQUIRED, &number));
    assert_int_equal(doc_problem_count(doc), 0);
    /* There, without a value: it is missing. */
    assert_false(doc_cpu(doc, doc_get(doc, root, "empty", 0), "cpu", DOC_REQUIRED, &number));
    assert_null(doc_get(doc, root, "empty", DOC_REQUIRED));
    assert_null(doc_map(doc, root, "empty", 0));
    const struct doc_node *list = doc_list(doc, root, "list", 0);
    char out[LIMIT_NAME_BYTES];
    assert_true(doc_node_string(doc, doc_item(list, 0), out, sizeof(out)));
    assert_string_equal(out, "x");
    assert_false(doc_node_string(doc, doc_item(list, 1), out, sizeof(out)));
    assert_false(doc_node_string(doc, NULL, out, sizeof(out)));
    doc_close(doc, NULL);
    doc_close(doc, list);
    assert_int_equal(number, 7);
    assert_problems(doc, "a.yaml:1: empty.cpu: is required, and is missing\n"
                         "a.yaml:1: empty: is empty; a value is required\n"
                         "a.yaml:2: list[1]: must be a single value, and is a mapping\n");
    doc_destroy(doc);
}

static void fields_walked_by_index_are_known(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "GREETING: hi\nLANG: C\nOTHER: 1\n");
    const struct doc_node *root = doc_root(doc);
    assert_string_equal(doc_key(root, 0), "GREETING");
    assert_string_equal(doc_key(root, 1), "LANG");
    doc_close(doc, root);
    assert_problems(doc, "a.yaml:3: OTHER: no such field here\n");
    doc_destroy(doc);
}

static void a_callers_problem_names_the_value_once(void **state)
{
    (void)state;
    struct doc *doc = parsed("a.yaml", "to: mars\nfrom:\n  - 1\n");
    const struct doc_node *root = doc_root(doc);
    const struct doc_node *to = doc_get(doc, root, "to", 0);
    doc_problem(doc, to, "no workload has this name");
    doc_problem(doc, to, "there is no workload \"mars\"");
    doc_problem(doc, doc_get(doc, root, "from", 0), "needs %d items", 2);
    doc_problem(doc, NULL, "nobody serves");
    assert_problems(doc, "a.yaml: nobody serves\n"
                         "a.yaml:1: to: \"mars\": no workload has this name\n"
                         "a.yaml:1: to: there is no workload \"mars\"\n"
                         "a.yaml:2: from: needs 2 items\n");
    doc_destroy(doc);
}

/* ---- memory and files ----------------------------------------------------------------------- */

/* Every allocation fails once. Either the parse is refused or the check is: never a doc that reads
 * as clean. */
static void no_memory_anywhere_is_an_error(const char *file, const char *text)
{
    struct doc *whole = parsed(file, text);
    read_wrong(whole);
    size_t problems = doc_problem_count(whole);
    doc_destroy(whole);
    int refused = 0;
    int64_t n = 0;
    for (;; n++) {
        struct arena arena;
        arena_init(&arena, 1 << 20);
        arena.fail_after = n;
        struct doc *doc = NULL;
        struct error err = {0};
        int rc = doc_parse_with(arena, file, text, strlen(text), &doc, &err);
        if (rc < 0) {
            assert_int_equal(rc, ERR_NO_MEMORY);
            assert_non_null(strstr(err.text, "no memory"));
            assert_null(doc);
            refused++;
            continue;
        }
        read_wrong(doc);
        rc = doc_check(doc, &err);
        size_t count = doc_problem_count(doc);
        doc_destroy(doc);
        if (rc != ERR_NO_MEMORY) {
            assert_int_equal(rc, problems > 0 ? ERR_INVALID : 0);
            assert_int_equal(count, problems);
            break;
        }
    }
    assert_true(refused > 10 && n > refused);
}

static void running_out_of_memory_is_never_silent(void **state)
{
    (void)state;
    no_memory_anywhere_is_an_error("app.yaml", wrong);
    no_memory_anywhere_is_an_error("app.json", "{\"app\": \"x\", \"workloads\": [{\"name\": \"y\", "
                                               "\"note\": \"n\", \"cloud\": \"gcp\"}]}");
    struct arena small;
    arena_init(&small, 12000);
    struct doc *doc = NULL;
    assert_int_equal(doc_parse_with(small, "a.yaml", wrong, strlen(wrong), &doc, NULL), 0);
    read_wrong(doc);
    doc_destroy(doc);
    arena_init(&small, 100);
    assert_int_equal(doc_parse_with(small, "a.yaml", "a: 1", 4, &doc, NULL), ERR_NO_MEMORY);
}

static void files_are_read_whole_or_refused(void **state)
{
    (void)state;
    char folder[] = BERTH_BINARY_DIR "/test-doc-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[sizeof(folder) + 16];
    (void)snprintf(path, sizeof(path), "%s/a.yaml", folder);
    struct doc *doc = NULL;
    struct error err = {0};
    assert_int_equal(doc_read_file(path, &doc, &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "No such file"));
    assert_int_equal(doc_read_file(folder, &doc, &err), ERR_INVALID);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs("a: 1\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(doc_read_file(path, &doc, &err), 0);
    assert_string_equal(doc_text(doc_get(doc, doc_root(doc), "a", 0)), "1");
    doc_close(doc, doc_root(doc));
    doc_destroy(doc);
    doc = NULL;
    assert_int_equal(truncate(path, (off_t)LIMIT_DOC_BYTES + 1), 0);
    assert_int_equal(doc_read_file(path, &doc, &err), ERR_LIMIT);
    assert_non_null(strstr(err.text, "LIMIT_DOC_BYTES"));
    assert_null(doc);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    doc_destroy(NULL);
}

static void a_long_path_leaves_room_for_the_sentence(void **state)
{
    (void)state;
    char path[1024];
    memset(path, 'd', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    memcpy(path + sizeof(path) - 1 - 8, "/app.yml", 8);
    struct doc *doc = parsed(path, "cpu: x\n");
    int64_t number;
    (void)doc_cpu(doc, doc_root(doc), "cpu", 0, &number);
    struct error err = {0};
    assert_int_equal(doc_check(doc, &err), ERR_INVALID);
    assert_int_equal(strncmp(err.text, "...dddd", 7), 0);
    assert_non_null(strstr(err.text, "/app.yml:1: cpu: \"x\" is not a CPU quantity"));
    doc_destroy(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yaml_and_json_become_the_same_tree),
        cmocka_unit_test(nothing_is_null_and_quotes_make_it_text),
        cmocka_unit_test(an_empty_text_lacks_its_fields),
        cmocka_unit_test(what_yaml_has_beyond_plain_values_is_refused),
        cmocka_unit_test(broken_texts_are_refused_with_their_line),
        cmocka_unit_test(depth_and_length_have_limits),
        cmocka_unit_test(the_densest_texts_fit_their_memory),
        cmocka_unit_test(typed_fields_are_read),
        cmocka_unit_test(every_wrong_field_is_reported_in_one_run),
        cmocka_unit_test(a_check_holds_whole_lines_and_counts_the_rest),
        cmocka_unit_test(the_count_always_has_room),
        cmocka_unit_test(one_problem_is_the_whole_text),
        cmocka_unit_test(problems_past_the_limit_are_counted),
        cmocka_unit_test(an_absent_part_lacks_nothing),
        cmocka_unit_test(fields_walked_by_index_are_known),
        cmocka_unit_test(a_callers_problem_names_the_value_once),
        cmocka_unit_test(running_out_of_memory_is_never_silent),
        cmocka_unit_test(files_are_read_whole_or_refused),
        cmocka_unit_test(a_long_path_leaves_room_for_the_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
