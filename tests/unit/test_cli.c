/* The words of a command line: options, references, nodes, help, completion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "scheduler/cli/cli.h"
#include "scheduler/cli/completion.h"
#include "scheduler/cli/get.h"
#include "scheduler/cli/options.h"
#include "scheduler/cli/reference.h"
#include "scheduler/cli/up.h"

struct given {
    bool flag;
    bool other;
    const char *text;
    int64_t number;
    int64_t time_us;
    struct option_list list;
};

static const struct option_row rows[] = {
    {"flag", 'f', OPTION_FLAG, NULL, "a flag", offsetof(struct given, flag), 0, 0},
    {"other", 'o', OPTION_FLAG, NULL, "another", offsetof(struct given, other), 0, 0},
    {"text", 't', OPTION_TEXT, "TEXT", "a text", offsetof(struct given, text), 0, 0},
    {"number", 0, OPTION_INT, "N", "a number", offsetof(struct given, number), 1, 10},
    {"time", 0, OPTION_DURATION, "TIME", "a duration", offsetof(struct given, time_us), 0, 0},
    {"node", 0, OPTION_LIST, "NODE", "may be repeated", offsetof(struct given, list), 0, 0},
};
#define ROW_COUNT (int)(sizeof(rows) / sizeof(rows[0]))

/* Parses the words up to NULL. */
static int parse(struct given *given, struct option_words *words, struct error *err,
                 const char *const *arguments)
{
    char *argv[32] = {(char *)"berth"};
    int argc = 1;
    for (; arguments[argc - 1] != NULL; argc++)
        argv[argc] = (char *)(uintptr_t)arguments[argc - 1];
    struct option_set set = {.rows = rows, .count = ROW_COUNT, .target = given};
    *given = (struct given){.number = 7};
    return options_parse(&set, 1, argc, argv, words, err);
}
#define PARSE(...) parse(&given, &words, &err, (const char *const[]){__VA_ARGS__, NULL})

static void test_options(void **state)
{
    (void)state;
    struct given given;
    struct option_words words;
    struct error err = {0};
    assert_int_equal(PARSE("a", "--flag", "--text", "one", "b", "--number=3", "-o"), 0);
    assert_true(given.flag && given.other);
    assert_string_equal(given.text, "one");
    assert_int_equal(given.number, 3);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.items[0], "a");
    assert_string_equal(words.items[1], "b");

    assert_int_equal(PARSE("-fot", "x", "--time", "1500ms"), 0);
    assert_true(given.flag && given.other);
    assert_string_equal(given.text, "x");
    assert_int_equal(given.time_us, 1500000);
    assert_int_equal(PARSE("-tjoined", "--text="), 0);
    assert_string_equal(given.text, "");

    assert_int_equal(PARSE("--node", "a=b", "--node=c=d"), 0);
    assert_int_equal(given.list.count, 2);
    assert_string_equal(given.list.items[1], "c=d");

    assert_int_equal(PARSE("--", "--flag", "-"), 0);
    assert_false(given.flag);
    assert_int_equal(words.count, 2);
    assert_string_equal(words.items[0], "--flag");
}

static void test_wrong_options(void **state)
{
    (void)state;
    static const struct {
        const char *words[3];
        const char *text;
    } cases[] = {
        {{"--flog", NULL}, "did you mean --flag?"},
        {{"--zzzzzz", NULL}, "--help lists them"},
        {{"-x", NULL}, "no option -x"},
        {{"--text", NULL}, "--text needs a value: --text TEXT"},
        {{"-t", NULL}, "-t needs a value"},
        {{"--flag=yes", NULL}, "--flag takes no value"},
        {{"--number", "11", NULL}, "from 1 to 10"},
        {{"--number", "x", NULL}, "\"x\" must be a number"},
        {{"--time", "soon", NULL}, "--time"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct given given;
        struct option_words words = {.count = -1};
        struct error err = {0};
        assert_true(parse(&given, &words, &err, cases[i].words) < 0);
        if (strstr(err.text, cases[i].text) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].words[0], err.text, cases[i].text);
        assert_int_equal(words.count, -1); /* written on success only */
    }
}

static void test_options_have_limits(void **state)
{
    (void)state;
    struct given given;
    struct option_words words;
    struct error err = {0};
    const char *many[OPTION_WORDS_MAX + 2] = {NULL};
    for (int i = 0; i < OPTION_WORDS_MAX; i++)
        many[i] = "w";
    assert_int_equal(parse(&given, &words, &err, many), 0);
    assert_int_equal(words.count, OPTION_WORDS_MAX);
    many[OPTION_WORDS_MAX] = "one";
    assert_int_equal(parse(&given, &words, &err, many), ERR_LIMIT);

    struct option_set set = {.rows = rows, .count = ROW_COUNT, .target = &given};
    char *argv[OPTION_LIST_MAX + 2] = {(char *)"berth"};
    for (int i = 1; i <= OPTION_LIST_MAX + 1; i++)
        argv[i] = (char *)"--node=n";
    given = (struct given){.number = 0};
    assert_int_equal(options_parse(&set, 1, OPTION_LIST_MAX + 1, argv, &words, &err), 0);
    given = (struct given){.number = 0};
    assert_int_equal(options_parse(&set, 1, OPTION_LIST_MAX + 2, argv, &words, &err), ERR_LIMIT);
}

static void test_references(void **state)
{
    (void)state;
    struct reference reference;
    struct error err = {0};
    assert_int_equal(reference_app("shop", &reference, &err), 0);
    assert_string_equal(reference.namespace_, "default");
    assert_string_equal(reference.app, "shop");
    assert_string_equal(reference.workload, "");
    assert_int_equal(reference_app("team-a/shop", &reference, &err), 0);
    assert_string_equal(reference.namespace_, "team-a");
    assert_int_equal(reference_workload("shop/source", &reference, &err), 0);
    assert_string_equal(reference.namespace_, "default");
    assert_string_equal(reference.workload, "source");
    assert_int_equal(reference_workload("team-a/shop/source", &reference, &err), 0);
    assert_string_equal(reference.namespace_, "team-a");
    assert_string_equal(reference.app, "shop");

    static const char *const bad_apps[] = {"", "/", "a/b/c", "Shop", "-a", "a b", "a/", "/a"};
    for (size_t i = 0; i < sizeof(bad_apps) / sizeof(bad_apps[0]); i++)
        assert_int_equal(reference_app(bad_apps[i], &reference, &err), ERR_INVALID);
    static const char *const bad[] = {"", "shop", "a/b/c/d", "a//b", "a/B", "a/b/"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(reference_workload(bad[i], &reference, &err), ERR_INVALID);
    char longest[100];
    memset(longest, 'a', sizeof(longest));
    longest[63] = 0;
    assert_int_equal(reference_app(longest, &reference, &err), 0);
    longest[63] = 'a';
    longest[64] = 0;
    assert_int_equal(reference_app(longest, &reference, &err), ERR_INVALID);
}

static void test_tags(void **state)
{
    (void)state;
    struct reference_tag tag;
    struct error err = {0};
    assert_int_equal(reference_tag("cloud=aws", &tag, &err), 0);
    assert_string_equal(tag.key, "cloud");
    assert_string_equal(tag.value, "aws");
    assert_int_equal(reference_tag("cloud=", &tag, &err), 0);
    assert_string_equal(tag.value, "");
    assert_int_equal(reference_tag("a=b=c", &tag, &err), 0);
    assert_string_equal(tag.value, "b=c");
    assert_int_equal(reference_tag("cloud", &tag, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "KEY= to remove"));
    assert_int_equal(reference_tag("=aws", &tag, &err), ERR_INVALID);
}

static void test_nodes_and_leafs(void **state)
{
    (void)state;
    struct node_argument node;
    struct leaf_argument leaf;
    struct error err = {0};
    assert_int_equal(node_argument("n1=gcp/us-central1", &node, &err), 0);
    assert_string_equal(node.name, "n1");
    assert_string_equal(node.site, "gcp/us-central1");
    assert_int_equal(node.mcpu, 0);
    assert_int_equal(
        node_argument("a=aws/us,ingress=8080,https=[::]:8443,cert=/c.pem", &node, &err), 0);
    assert_string_equal(node.http, "127.0.0.1:8080");
    assert_string_equal(node.https, "[::]:8443");
    assert_string_equal(node.cert, "/c.pem");
    assert_int_equal(node_argument("a=aws/us,leaf=far,mcpu=1500,memory=2GiB", &node, &err), 0);
    assert_string_equal(node.leaf, "far");
    assert_int_equal(node.mcpu, 1500);
    assert_int_equal(node.memory_bytes, INT64_C(2) << 30);
    static const char *const bad[] = {"",
                                      "n1",
                                      "=a/b",
                                      "n1=",
                                      "n1=a",
                                      "n1=a/b/c",
                                      "N1=a/b",
                                      "n1=a/b,x=1",
                                      "n1=a/b,",
                                      "n1=a/b,ingress=0",
                                      "n1=a/b,ingress=:80",
                                      "n1=a/b,https=x",
                                      "n1=a/b,mcpu=0",
                                      "n1=a/b,memory=x",
                                      "n1=a/b,leaf="};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (node_argument(bad[i], &node, &err) != ERR_INVALID)
            fail_msg("\"%s\" was taken for a node", bad[i]);

    assert_int_equal(leaf_argument("far", &leaf, &err), 0);
    assert_string_equal(leaf.via, "");
    assert_int_equal(leaf_argument("far,via=127.0.0.1:7423,port=4300", &leaf, &err), 0);
    assert_string_equal(leaf.via, "127.0.0.1:7423");
    assert_int_equal(leaf.port, 4300);
    static const char *const bad_leafs[] = {
        "", "far,via=host", "far,via=:1", "far,port=0", "far,port=70000", "far,what=1", "FAR"};
    for (size_t i = 0; i < sizeof(bad_leafs) / sizeof(bad_leafs[0]); i++)
        if (leaf_argument(bad_leafs[i], &leaf, &err) != ERR_INVALID)
            fail_msg("\"%s\" was taken for a leaf server", bad_leafs[i]);
}

static void test_server_versions(void **state)
{
    (void)state;
    char version[32];
    assert_int_equal(up_server_version("nats-server: v2.10.27", version, sizeof(version), NULL), 0);
    assert_string_equal(version, "2.10.27");
    assert_int_equal(up_server_version("nats-server: 2.11.0-beta", version, sizeof(version), NULL),
                     0);
    assert_string_equal(version, "2.11.0");
    struct error err;
    assert_int_equal(up_server_version("hello 1.2", version, sizeof(version), &err), ERR_INVALID);
    assert_int_equal(up_server_version("nats-server", version, sizeof(version), &err), ERR_INVALID);
    assert_true(up_version_is_fine("2.10.27"));
    assert_true(up_version_is_fine("2.10.30"));
    assert_true(up_version_is_fine("2.11.0"));
    assert_true(up_version_is_fine("3.0.0"));
    assert_false(up_version_is_fine("2.10.26"));
    assert_false(up_version_is_fine("2.9.99"));
    assert_false(up_version_is_fine("1.99.99"));
}

static void test_every_command_explains_itself(void **state)
{
    (void)state;
    for (int i = 0; cli_commands[i] != NULL; i++) {
        const struct command *command = cli_commands[i];
        assert_non_null(command->name);
        assert_non_null(command->run);
        assert_ptr_equal(cli_command(command->name), command);
        if (command->hidden)
            continue;
        struct strbuf out;
        strbuf_init(&out, CLI_TEXT_BYTES);
        cli_help(command, &out);
        const char *text = strbuf_text(&out);
        assert_non_null(strstr(text, command->summary));
        assert_non_null(strstr(text, "\nexamples:\n  "));
        assert_non_null(strstr(text, "--json"));
        for (int k = 0; k < command->row_count; k++)
            if (strstr(text, command->rows[k].name) == NULL)
                fail_msg("the help of %s leaves out --%s", command->name, command->rows[k].name);
        /* A terminal of 100 columns shows every line whole. */
        for (const char *line = text; *line != 0;) {
            size_t bytes = strcspn(line, "\n");
            if (bytes > 100)
                fail_msg("berth %s --help: \"%.*s\" is too long", command->name, (int)bytes, line);
            line += bytes + (line[bytes] == '\n' ? 1 : 0);
        }
        strbuf_done(&out);
        /* Two options of one name, or one letter, would shadow each other. */
        for (int k = 0; k < command->row_count; k++) {
            assert_null(option_find(&cli_common_set, 1, command->rows[k].name));
            for (int m = 0; m < k; m++) {
                assert_string_not_equal(command->rows[k].name, command->rows[m].name);
                assert_true(command->rows[k].letter == 0 ||
                            command->rows[k].letter != command->rows[m].letter);
            }
        }
    }
    assert_null(cli_command("nothing"));
}

static void complete(const char *const *words, int count, int index, const char *expected)
{
    struct strbuf out;
    strbuf_init(&out, CLI_TEXT_BYTES);
    completion_words(NULL, words, count, index, &out);
    assert_string_equal(strbuf_text(&out), expected);
    strbuf_done(&out);
}

static void test_completion(void **state)
{
    (void)state;
    complete((const char *const[]){"berth", "re"}, 2, 1, "retag\n");
    complete((const char *const[]){"berth", "__"}, 2, 1, "");
    complete((const char *const[]){"berth", "get", "n"}, 3, 2, "nodes\n");
    complete((const char *const[]){"berth", "get", "-o", ""}, 4, 3, "yaml\njson\nwide\n");
    complete((const char *const[]){"berth", "get", "-o", "wide", "h"}, 5, 4, "handoffs\n");
    complete((const char *const[]){"berth", "retag", "shop/source", "cl"}, 4, 3, "cloud=\n");
    complete((const char *const[]){"berth", "apply", "--plan"}, 3, 2, "--plan-version\n");
    complete((const char *const[]){"berth", "apply", "--no-"}, 3, 2, "--no-color\n");
    complete((const char *const[]){"berth", "apply", "-f", "x"}, 4, 3, "");
    complete((const char *const[]){"berth", "nothing", "x"}, 3, 2, "");
    complete((const char *const[]){"berth"}, 1, 9, "");
    assert_non_null(get_kind(0));
    assert_null(get_kind(-1));
    assert_null(get_kind(1000));
}

/* The file that distributions install is what the program prints. */
static void test_completion_file(void **state)
{
    (void)state;
    char text[4096];
    FILE *file = fopen(BERTH_SOURCE_DIR "/docs/completion/berth.bash", "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = 0;
    assert_string_equal(text, completion_bash);
}

/* The manual names every command and every option. */
static void test_manual(void **state)
{
    (void)state;
    static char text[65536];
    FILE *file = fopen(BERTH_SOURCE_DIR "/docs/berth.1", "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[bytes] = 0;
    for (int i = 0; cli_commands[i] != NULL; i++) {
        const struct command *command = cli_commands[i];
        char head[128];
        snprintf(head, sizeof(head), "\n.B berth %s", command->name);
        if (!command->hidden && strstr(text, head) == NULL)
            fail_msg("docs/berth.1 has no section on %s", command->name);
        for (int k = 0; k < command->row_count; k++) {
            snprintf(head, sizeof(head), "\\-\\-%s", command->rows[k].name);
            char escaped[128];
            size_t out = 0;
            for (const char *at = head; *at != 0 && out < sizeof(escaped) - 2; at++) {
                if (*at == '-' && (out == 0 || escaped[out - 1] != '\\'))
                    escaped[out++] = '\\';
                escaped[out++] = *at;
            }
            escaped[out] = 0;
            if (strstr(text, escaped) == NULL)
                fail_msg("docs/berth.1 leaves out %s of %s", escaped, command->name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_options_have_limits),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_nodes_and_leafs),
        cmocka_unit_test(test_server_versions),
        cmocka_unit_test(test_every_command_explains_itself),
        cmocka_unit_test(test_completion),
        cmocka_unit_test(test_completion_file),
        cmocka_unit_test(test_manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
