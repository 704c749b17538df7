/* What the readers of worlds and apps share: lists with a ceiling, tags, names of sites. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "model/read.h"

struct rig {
    struct arena arena;
    struct doc *doc;
    struct reader reader;
    const struct doc_node *root;
};

static void rig_begin(struct rig *rig, const char *text)
{
    struct error err = {0};
    arena_init(&rig->arena, (size_t)1 << 20);
    if (doc_parse("x.yaml", text, strlen(text), &rig->doc, &err) < 0)
        fail_msg("%s", err.text);
    rig->reader = (struct reader){rig->doc, &rig->arena, false};
    rig->root = doc_root(rig->doc);
}

static void rig_end(struct rig *rig)
{
    doc_destroy(rig->doc);
    arena_done(&rig->arena);
}

static void a_list_ends_at_its_ceiling(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    int count = -1;
    rig_begin(&rig, "three: [a, b, c]\nempty: []\n");
    assert_non_null(read_list(&rig.reader, rig.root, "three", 0, 3, &count));
    assert_int_equal(count, 3);
    (void)read_list(&rig.reader, rig.root, "empty", DOC_REQUIRED, 3, &count);
    assert_int_equal(count, 0);
    assert_null(read_list(&rig.reader, rig.root, "absent", 0, 3, &count));
    assert_int_equal(count, 0);
    assert_int_equal(read_finish(&rig.reader, &err), 0);
    (void)read_list(&rig.reader, rig.root, "three", 0, 2, &count);
    assert_int_equal(count, 2);
    assert_int_equal(read_finish(&rig.reader, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "3 entries; at most 2"));
    rig_end(&rig);
}

static void tags_are_sorted_and_checked(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    struct tags tags;
    rig_begin(&rig, "tags: {zone: b, cloud: gcp, gpu: L4/2}\n");
    read_tags(&rig.reader, rig.root, "tags", 2, &tags);
    assert_int_equal(tags.count, 3);
    assert_string_equal(tags.list[0].key, "cloud");
    assert_string_equal(tags.list[1].key, "gpu");
    assert_string_equal(tags.list[2].key, "zone");
    tags_add(&tags, "arch", "arm64");
    tags_add(&tags, "cloud", "aws"); /* what is written wins over what is implied */
    assert_int_equal(tags.count, 4);
    assert_string_equal(tags.list[0].key, "arch");
    assert_string_equal(tags_get(&tags, "cloud"), "gcp");
    assert_null(tags_get(&tags, "region"));
    assert_int_equal(read_finish(&rig.reader, &err), 0);
    rig_end(&rig);

    rig_begin(&rig, "tags: {Cloud: gcp, cloud: \"g c\"}\n");
    read_tags(&rig.reader, rig.root, "tags", 0, &tags);
    assert_int_equal(tags.count, 0);
    assert_int_equal(read_finish(&rig.reader, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"Cloud\" is no tag key"));
    assert_non_null(strstr(err.text, "\"g c\" is no tag value"));
    rig_end(&rig);
}

static void too_many_tags_are_a_problem_and_not_an_overrun(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    struct strbuf text;
    struct tags tags;
    strbuf_init(&text, 4096);
    strbuf_puts(&text, "tags:\n");
    for (int i = 0; i <= LIMIT_TAGS; i++)
        strbuf_printf(&text, "  tag-%d: x\n", i);
    rig_begin(&rig, strbuf_text(&text));
    read_tags(&rig.reader, rig.root, "tags", 0, &tags);
    assert_int_equal(tags.count, LIMIT_TAGS);
    assert_int_equal(read_finish(&rig.reader, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "17 tags; at most 16"));
    rig_end(&rig);
    strbuf_done(&text);
}

static void the_rules_of_names(void **state)
{
    (void)state;
    char longest[LIMIT_NAME_BYTES + 1];
    memset(longest, 'a', sizeof(longest));
    longest[LIMIT_NAME_BYTES] = '\0';
    assert_false(tag_key_is_valid(longest));
    assert_false(tag_value_is_valid(longest));
    longest[LIMIT_NAME_BYTES - 1] = '\0';
    assert_true(tag_key_is_valid(longest));
    assert_true(tag_value_is_valid(longest));
    assert_true(tag_key_is_valid("a-1_b.c"));
    assert_false(tag_key_is_valid(""));
    assert_false(tag_key_is_valid("A"));
    assert_false(tag_key_is_valid("a/b"));
    assert_true(tag_value_is_valid("A/b_1.2-3"));
    assert_false(tag_value_is_valid(""));
    assert_false(tag_value_is_valid("a b"));
    assert_true(site_name_is_valid("gcp/us-central1"));
    assert_false(site_name_is_valid("gcp"));
    assert_false(site_name_is_valid("/us"));
    assert_false(site_name_is_valid("gcp/"));
    assert_false(site_name_is_valid("gcp/us/a"));
    assert_false(site_name_is_valid("gcp/US"));
}

static void a_site_is_read_whole_or_left_alone(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    char site[LIMIT_REF_BYTES] = "old/one";
    rig_begin(&rig, "good: aws/us-east-1\nbad: us-east-1\n");
    assert_false(read_site_name(&rig.reader, rig.root, "absent", 0, site));
    assert_string_equal(site, "old/one");
    assert_true(read_site_name(&rig.reader, rig.root, "good", DOC_REQUIRED, site));
    assert_string_equal(site, "aws/us-east-1");
    assert_int_equal(read_finish(&rig.reader, &err), 0);
    assert_false(read_site_name(&rig.reader, rig.root, "bad", 0, site));
    assert_string_equal(site, "aws/us-east-1");
    assert_int_equal(read_finish(&rig.reader, &err), ERR_INVALID);
    assert_non_null(strstr(err.text, "\"us-east-1\" is no site name; write provider/region"));
    rig_end(&rig);
}

static void memory_that_runs_out_is_reported_at_the_end(void **state)
{
    (void)state;
    struct rig rig;
    struct error err = {0};
    struct tags tags;
    rig_begin(&rig, "tags: {cloud: gcp}\n");
    assert_null(read_array(&rig.reader, 0, 8));
    assert_int_equal(read_finish(&rig.reader, &err), 0);
    rig.arena.fail_after = 0;
    read_tags(&rig.reader, rig.root, "tags", 0, &tags);
    assert_null(tags.list);
    assert_int_equal(tags.count, 0);
    assert_int_equal(read_finish(&rig.reader, &err), ERR_NO_MEMORY);
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_ends_at_its_ceiling),
        cmocka_unit_test(tags_are_sorted_and_checked),
        cmocka_unit_test(too_many_tags_are_a_problem_and_not_an_overrun),
        cmocka_unit_test(the_rules_of_names),
        cmocka_unit_test(a_site_is_read_whole_or_left_alone),
        cmocka_unit_test(memory_that_runs_out_is_reported_at_the_end),
    };
    return cmocka_run_group_tests_name("read", tests, NULL, NULL);
}
