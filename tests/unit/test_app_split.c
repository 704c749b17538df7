/* What `split: true` becomes: parts, their links and calls, what stays apart, what is refused; and
 * that parts written out are the same app. */
#include "model_fixture.h"

#include "model/app_split.h"

#define RUN   "run: {driver: process, artifact: 'file:/bin/x'}, resources: {cpu: 1, memory: 1MiB}"
#define USERS "users: [{name: n1, site: a/a}, {name: n2, site: a/b}, {name: n3, site: a/c}]\n"

/* Two groups of users enter by a gate of their own, a third asks for tiles directly. */
static const char chain[] =
    "app: shop\n"
    "workloads:\n"
    "  - {name: gate, split: true, calls: 10/s, " RUN "}\n"
    "  - {name: source, " RUN "}\n"
    "  - {name: tiles, split: true, cache: {hit_ratio: 90%}, require: {cloud: gcp}, " RUN
    "}\n" USERS "data:\n"
    "  - {name: grammar, size: 1GiB, split: true, at: {tiles: aws/one, source: aws/two,\n"
    "     tiles--n2: aws/three}}\n"
    "  - {name: fixed, size: 1GiB, split: true, at: aws/one}\n"
    "links:\n"
    "  - {from: n1, to: gate, calls: 10/s, request: 7, latency_max: 80ms}\n"
    "  - {from: n2, to: gate, calls: 20/s}\n"
    "  - {from: n3, to: tiles, calls: 7/s}\n"
    "  - {from: gate, to: tiles, calls: 100/s, response: 9}\n"
    "  - {from: tiles, to: source, calls: 107/s, on_miss: true}\n"
    "  - {from: tiles, to: grammar, calls: 107/s}\n"
    "  - {from: source, to: grammar, calls: 1/s}\n"
    "  - {from: source, to: grammar, calls: 2/s}\n"
    "  - {from: n1, to: fixed, calls: 5/s}\n"
    "apart: [[gate, source], [source, tiles], [gate, tiles]]\n";

static void parse(const char *document, struct arena *arena, struct app *app)
{
    struct error err = {0};
    if (app_parse("a.yaml", document, strlen(document), arena, app, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static void refuse(const char *document, const char *const *wanted, size_t count)
{
    struct arena arena;
    struct app app = {.name = "untouched"};
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    int rc = app_parse("a.yaml", document, strlen(document), &arena, &app, &err);
    if (rc != ERR_INVALID) {
        fail_msg("accepted or refused otherwise (%d %s):\n%s", rc, err.text, document);
    }
    assert_string_equal(app.name, "untouched");
    for (size_t i = 0; i < count; i++) {
        if (strstr(err.text, wanted[i]) == NULL) {
            fail_msg("\"%s\" is not in: %s", wanted[i], err.text);
        }
    }
    arena_done(&arena);
}

#define REFUSE(document, ...)                                            \
    do {                                                                 \
        const char *const wanted_[] = {__VA_ARGS__};                     \
        refuse(document, wanted_, sizeof(wanted_) / sizeof(wanted_[0])); \
    } while (0)

static const struct workload *named(const struct app *app, const char *name)
{
    int index = app_workload(app, name);
    if (index < 0) {
        fail_msg("there is no %s", name);
    }
    return &app->workloads[index];
}

static const char *end_name(const struct app *app, const struct link *link)
{
    return link->from_kind == LINK_SEGMENT ? app->segments[link->from].name
                                           : app->workloads[link->from].name;
}

/* The only link between two ends. */
static const struct link *between(const struct app *app, const char *from, const char *to)
{
    const struct link *found = NULL;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        if (str_equal(end_name(app, link), from) && str_equal(app->workloads[link->to].name, to)) {
            assert_null(found);
            found = link;
        }
    }
    if (found == NULL) {
        fail_msg("nothing links %s to %s", from, to);
    }
    return found;
}

static void services_have_a_part_for_each_group(void **state)
{
    (void)state;
    static const char *const names[] = {"gate--n1",  "gate--n2",  "source",
                                        "tiles--n1", "tiles--n2", "tiles--n3"};
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(chain, &arena, &app);
    for (int i = 0; i < 6; i++) {
        assert_string_equal(app.workloads[i].name, names[i]);
    }
    assert_string_equal(named(&app, "tiles--n3")->family, "tiles");
    assert_int_equal(named(&app, "tiles--n3")->segment, 2);
    assert_int_equal(named(&app, "tiles--n3")->hit_ppm, 900000);
    assert_string_equal(named(&app, "tiles--n1")->require.list[0].value, "gcp");
    assert_string_equal(named(&app, "source")->family, "");
    assert_int_equal(named(&app, "source")->segment, -1);
    /* Calls of the workload itself, by those that reach its parts. */
    assert_int_equal(named(&app, "gate--n1")->calls_mhz, 3333);
    assert_int_equal(named(&app, "gate--n2")->calls_mhz, 6667);
    assert_true(workload_spec_hash(named(&app, "tiles--n1")) ==
                workload_spec_hash(named(&app, "tiles--n2")));
    arena_done(&arena);
}

static void links_follow_the_users(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(chain, &arena, &app);
    assert_int_equal(between(&app, "n1", "gate--n1")->calls_mhz, 10000);
    assert_int_equal(between(&app, "n1", "gate--n1")->request_bytes, 7);
    assert_int_equal(between(&app, "n1", "gate--n1")->latency_max_us, 80000);
    assert_int_equal(between(&app, "n3", "tiles--n3")->calls_mhz, 7000);
    assert_int_equal(between(&app, "gate--n1", "tiles--n1")->calls_mhz, 33333);
    assert_int_equal(between(&app, "gate--n2", "tiles--n2")->calls_mhz, 66667);
    assert_int_equal(between(&app, "gate--n2", "tiles--n2")->response_bytes, 9);
    /* 107/s by 33.333, 66.667 and 7: to the milli-hertz, and in sum exact. */
    assert_int_equal(between(&app, "tiles--n1", "source")->calls_mhz, 33333);
    assert_int_equal(between(&app, "tiles--n2", "source")->calls_mhz, 66667);
    assert_int_equal(between(&app, "tiles--n3", "source")->calls_mhz, 7000);
    assert_true(between(&app, "tiles--n3", "source")->on_miss);
    assert_int_equal(between(&app, "tiles--n3", "grammar--tiles--n3")->calls_mhz, 7000);
    assert_int_equal(between(&app, "n1", "fixed--n1")->calls_mhz, 5000);
    int to_source = 0;
    for (int i = 0; i < app.link_count; i++) {
        to_source += str_equal(app.workloads[app.links[i].to].name, "grammar--source");
    }
    assert_int_equal(to_source, 2); /* both of its links */
    assert_int_equal(app.link_count, 3 + 2 + 3 + 3 + 2 + 1);
    arena_done(&arena);
}

static void data_sets_have_a_part_for_each_reader(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(chain, &arena, &app);
    assert_int_equal(app.workload_count, 6 + 5);
    const struct workload *part = named(&app, "grammar--tiles--n1");
    assert_int_equal(part->kind, KIND_DATA);
    assert_string_equal(part->family, "grammar");
    assert_int_equal(part->segment, -1);
    assert_true(part->data.bytes == INT64_C(1) << 30);
    assert_string_equal(part->data.at, "aws/one"); /* its family's place */
    assert_string_equal(named(&app, "grammar--tiles--n2")->data.at, "aws/three"); /* its own */
    assert_string_equal(named(&app, "grammar--tiles--n3")->data.at, "aws/one");
    assert_string_equal(named(&app, "grammar--source")->data.at, "aws/two");
    assert_string_equal(named(&app, "fixed--n1")->data.at, "aws/one");
    arena_done(&arena);
}

/* Parts stay apart from others, not from each other. */
static void apart_becomes_pairs(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse(chain, &arena, &app);
    assert_int_equal(app.apart_count, 2 + 3 + 2 * 3);
    for (int i = 0; i < app.apart_count; i++) {
        const struct apart *apart = &app.aparts[i];
        assert_int_equal(apart->count, 2);
        const struct workload *a = &app.workloads[apart->workloads[0]];
        const struct workload *b = &app.workloads[apart->workloads[1]];
        assert_false(a->family[0] != '\0' && str_equal(a->family, b->family));
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(memcmp(apart->workloads, app.aparts[k].workloads, 2 * sizeof(int)),
                                 0);
        }
    }
    parse("app: a\nworkloads: [{name: x, " RUN "}, {name: y, " RUN "}, {name: z, " RUN "},\n"
          " {name: s, split: true, " RUN "}]\n" USERS
          "links: [{from: n1, to: s}, {from: n2, to: s}]\napart: [[x, y, z], [x, y, s]]\n",
          &arena, &app);
    assert_int_equal(app.aparts[0].count, 3);         /* what nobody split is as it was */
    assert_int_equal(app.apart_count, 1 + 1 + 2 * 2); /* x-y, and both with both parts */
    arena_done(&arena);
}

/* The canonical form has the parts, says what they are parts of, and is the same app. */
static void parts_written_out_read_back(void **state)
{
    (void)state;
    struct arena arena;
    struct app first;
    struct app second;
    struct app copy;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, 64 << 20);
    strbuf_init(&one, 1 << 20);
    strbuf_init(&two, 1 << 20);
    parse(chain, &arena, &first);
    app_write(&first, &one);
    assert_non_null(strstr(strbuf_text(&one), "\"part\":{\"of\":\"tiles\",\"segment\":\"n3\"}"));
    assert_non_null(strstr(strbuf_text(&one), "\"part\":{\"of\":\"grammar\"}"));
    assert_null(strstr(strbuf_text(&one), "split"));
    parse(strbuf_text(&one), &arena, &second);
    assert_int_equal(app_copy(&second, &arena, &copy), 0);
    app_write(&copy, &two);
    assert_string_equal(strbuf_text(&one), strbuf_text(&two));
    assert_true(app_hash(&first) == app_hash(&second));
    assert_int_equal(first.workload_count, second.workload_count);
    for (int i = 0; i < first.workload_count; i++) {
        assert_int_equal(first.workloads[i].segment, second.workloads[i].segment);
        assert_string_equal(first.workloads[i].family, second.workloads[i].family);
    }
    strbuf_done(&one);
    strbuf_done(&two);
    arena_done(&arena);
}

static void calls_divide_evenly_when_nobody_knows(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse("app: a\nworkloads: [{name: s, split: true, calls: 1/s, " RUN "}, {name: x, " RUN
          "}]\n" USERS "links: [{from: n1, to: s}, {from: n2, to: s}, {from: n3, to: s},\n"
          " {from: s, to: x, calls: 0.002/s}]\n",
          &arena, &app);
    assert_int_equal(named(&app, "s--n1")->calls_mhz, 333);
    assert_int_equal(named(&app, "s--n2")->calls_mhz, 333);
    assert_int_equal(named(&app, "s--n3")->calls_mhz, 334);
    assert_int_equal(between(&app, "s--n1", "x")->calls_mhz +
                         between(&app, "s--n2", "x")->calls_mhz +
                         between(&app, "s--n3", "x")->calls_mhz,
                     2);
    arena_done(&arena);
}

/* Callers in a circle end, and hand on every group of users that reaches one of them. */
static void circles_end(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    arena_init(&arena, 64 << 20);
    parse("app: a\nworkloads: [{name: s, split: true, " RUN "}, {name: t, split: true, " RUN
          "}]\n" USERS
          "links: [{from: n1, to: s, calls: 9223372036854775/s}, {from: n2, to: t, calls: 1/s},\n"
          " {from: s, to: t, calls: 9223372036854775/s}, {from: t, to: s, calls: 5/s}]\n",
          &arena, &app);
    assert_int_equal(app.workload_count, 4);
    assert_int_equal(app.link_count, 2 + 2 + 2);
    assert_int_equal(between(&app, "t--n1", "s--n1")->calls_mhz +
                         between(&app, "t--n2", "s--n2")->calls_mhz,
                     5000);
    arena_done(&arena);
}

static void families_are_found_and_retagged(void **state)
{
    (void)state;
    struct arena arena;
    struct app app;
    struct app changed;
    struct error err = {0};
    int found[LIMIT_FAMILY];
    arena_init(&arena, 64 << 20);
    parse(chain, &arena, &app);
    assert_int_equal(app_family(&app, "tiles", found, LIMIT_FAMILY), 3);
    assert_int_equal(found[0], app_workload(&app, "tiles--n1"));
    assert_int_equal(found[2], app_workload(&app, "tiles--n3"));
    assert_int_equal(app_family(&app, "tiles", found, 2), 2);
    assert_int_equal(app_family(&app, "tiles--n2", found, LIMIT_FAMILY), 1);
    assert_int_equal(found[0], app_workload(&app, "tiles--n2"));
    assert_int_equal(app_family(&app, "source", found, LIMIT_FAMILY), 1);
    assert_int_equal(app_family(&app, "nobody", found, LIMIT_FAMILY), 0);
    assert_int_equal(app_family(&app, "", found, LIMIT_FAMILY), 0);

    assert_int_equal(app_retag(&app, "tiles", "cloud", "aws", &arena, &changed, &err), 0);
    for (int i = 0; i < 3; i++) {
        const struct workload *part = &changed.workloads[app_workload(&app, "tiles--n1") + i];
        assert_string_equal(part->require.list[0].value, "aws");
    }
    assert_int_equal(named(&changed, "gate--n1")->require.count, 0);
    assert_int_equal(app_retag(&app, "tiles--n2", "cloud", "aws", &arena, &changed, &err), 0);
    assert_string_equal(named(&changed, "tiles--n1")->require.list[0].value, "gcp");
    assert_string_equal(named(&changed, "tiles--n2")->require.list[0].value, "aws");
    assert_int_equal(app_retag(&app, "grammar", "cloud", "aws", &arena, &changed, &err), 0);
    assert_string_equal(named(&changed, "grammar--source")->require.list[0].value, "aws");
    assert_int_equal(app_retag(&app, "tyles", "cloud", "aws", &arena, &changed, &err),
                     ERR_NOT_FOUND);
    assert_non_null(strstr(err.text, "did you mean \"tiles\""));
    arena_done(&arena);
}

#define S "{name: s, split: true, " RUN "}"
#define X "{name: x, " RUN "}"

static void what_cannot_be_divided_is_refused(void **state)
{
    (void)state;
    REFUSE("app: a\nworkloads: [" S ", " X "]\n" USERS
           "links: [{from: x, to: s}, {from: n1, to: s}]\n",
           "\"x\" serves all users together", "split \"x\" too, or do not split \"s\"");
    REFUSE("app: a\nworkloads: [" S "]\n" USERS, "no users reach it", "\"s\"");
    REFUSE("app: a\nworkloads: [" S "]\nusers: [{name: u1, site: a/a}, {name: u2, site: a/a},\n"
           " {name: u3, site: a/a}, {name: u4, site: a/a}, {name: u5, site: a/a},\n"
           " {name: u6, site: a/a}]\nlinks: [{from: u1, to: s}, {from: u2, to: s},\n"
           " {from: u3, to: s}, {from: u4, to: s}, {from: u5, to: s}, {from: u6, to: s}]\n",
           "6 groups of users", "LIMIT_FAMILY");
    REFUSE("app: a\nworkloads: [{name: a-name-of-more-than-forty-characters-and-more, split: true,"
           " " RUN "}]\nusers: [{name: and-another-of-twenty, site: a/a}]\n"
           "links: [{from: and-another-of-twenty, to: "
           "a-name-of-more-than-forty-characters-and-more}]\n",
           "a-name-of-more-than-forty", "and-another-of-twenty", "63 characters");
    REFUSE("app: a\nworkloads: [" S ", {name: s--n1, " RUN "}]\n" USERS
           "links: [{from: n1, to: s}]\n",
           "\"s--n1\"", "rename");
    REFUSE("app: a\nworkloads: [" X "]\ndata: [{name: d, size: 1, split: true}]\n",
           "nobody links to it", "\"d\"");
    REFUSE(
        "app: a\nworkloads: [" X "]\nusers: [{name: u1, site: a/a}, {name: u2, site: a/a},\n"
        " {name: u3, site: a/a}, {name: u4, site: a/a}, {name: u5, site: a/a}]\n"
        "data: [{name: d, size: 1, split: true}]\nlinks: [{from: u1, to: d}, {from: u2, to: d},\n"
        " {from: u3, to: d}, {from: u4, to: d}, {from: u5, to: d}, {from: x, to: d}]\n",
        "more than 5 readers", "LIMIT_FAMILY");
    REFUSE("app: a\nworkloads: [" X "]\ndata: [{name: d, size: 1, split: true, at: {y: a/b}}]\n"
           "links: [{from: x, to: d}]\n",
           "\"y\" is no reader of \"d\"");
    REFUSE("app: a\nworkloads: [" X "]\ndata: [{name: d, size: 1, split: true, at: {x: ab}}]\n"
           "links: [{from: x, to: d}]\n",
           "provider/region");
}

#define PART(name, of, segment) \
    "{name: " name ", part: {of: " of ", segment: " segment "}, " RUN "}"

static void parts_that_do_not_belong_together_are_refused(void **state)
{
    (void)state;
    REFUSE("app: a\nworkloads: [" PART("p", "s", "n9") "]\n" USERS,
           "\"n9\" is not among the users");
    REFUSE("app: a\nworkloads: [" PART("p", "s", "n1") ", " PART("q", "s", "n1") "]\n" USERS,
           "\"p\" and \"q\"", "same users");
    REFUSE("app: a\nworkloads: [" PART("p", "s", "n1") ", " X ", " PART("q", "x", "n1") "]\n" USERS,
           "\"q\" is part of \"x\"", "name of its own");
    REFUSE("app: a\nworkloads: [" PART("p", "n2", "n1") "]\n" USERS, "name of its own");
    REFUSE("app: a\nworkloads: [" PART(
               "p", "s", "n1") ", {name: q, restarts: 9, part: {of: s, segment: n2}, " RUN
                               "}]\n" USERS,
           "\"q\" differs from \"p\"");
    REFUSE("app: a\nworkloads: [{name: p, part: {of: s}, " RUN "}]\n" USERS, "segment");
    REFUSE("app: a\nworkloads: [{name: p, split: true, part: {of: s, segment: n1}, " RUN
           "}]\n" USERS,
           "exclude each other");
    REFUSE("app: a\nworkloads: [" X
           "]\ndata: [{name: d, size: 1, part: {of: e, segment: n1}}]\n" USERS,
           "has no segment");
    REFUSE("app: a\nworkloads: [" X "]\ndata: [{name: d, size: 1, part: {of: e}},\n"
           " {name: f, size: 2, part: {of: e}}]\n",
           "\"f\" differs from \"d\"");
    REFUSE("app: a\nworkloads: [" X "]\ndata: [{name: d1, size: 1, part: {of: e}},\n"
           " {name: d2, size: 1, part: {of: e}}, {name: d3, size: 1, part: {of: e}},\n"
           " {name: d4, size: 1, part: {of: e}}, {name: d5, size: 1, part: {of: e}},\n"
           " {name: d6, size: 1, part: {of: e}}, {name: d7, size: 1, part: {of: e}}]\n",
           "\"e\" has more than 5 parts");
}

/* Expanding may pass a limit that the document keeps. */
static void limits_hold_after_the_division(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, 1 << 20);
    strbuf_puts(&text, "app: a\nworkloads:\n");
    for (int i = 0; i < 100; i++) {
        strbuf_printf(&text, "  - {name: s%d, split: true, " RUN "}\n", i);
    }
    strbuf_puts(&text, USERS "links:\n");
    for (int i = 0; i < 100; i++) {
        for (int k = 1; k <= 3; k++) {
            strbuf_printf(&text, "  - {from: n%d, to: s%d}\n", k, i);
        }
    }
    REFUSE(strbuf_text(&text), "300 workloads", "LIMIT_APP_WORKLOADS");
    strbuf_reset(&text);
    strbuf_puts(&text,
                "app: a\nworkloads: [" S ", " X "]\n" USERS
                "links:\n  - {from: n1, to: s}\n  - {from: n2, to: s}\n  - {from: n3, to: s}\n");
    for (int i = 0; i < 400; i++) {
        strbuf_puts(&text, "  - {from: s, to: x}\n");
    }
    REFUSE(strbuf_text(&text), "1203 links", "LIMIT_APP_LINKS");
    strbuf_reset(&text);
    strbuf_puts(&text, "app: a\nworkloads: [" S ", " X "]\n" USERS
                       "links: [{from: n1, to: s}, {from: n2, to: s}]\napart:\n");
    for (int i = 0; i < 40; i++) {
        strbuf_puts(&text, "  - [s, x]\n");
    }
    REFUSE(strbuf_text(&text), "80 groups that stay apart", "LIMIT_RULES");
    strbuf_done(&text);
}

static void every_failing_allocation_is_an_error(void **state)
{
    (void)state;
    for (int64_t fail_after = 0;; fail_after++) {
        struct arena arena;
        struct app app;
        struct error err = {0};
        arena_init(&arena, 64 << 20);
        arena.fail_after = fail_after;
        int rc = app_parse("a.yaml", chain, strlen(chain), &arena, &app, &err);
        arena_done(&arena);
        if (rc == 0) {
            assert_true(fail_after > 20);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(services_have_a_part_for_each_group),
        cmocka_unit_test(links_follow_the_users),
        cmocka_unit_test(data_sets_have_a_part_for_each_reader),
        cmocka_unit_test(apart_becomes_pairs),
        cmocka_unit_test(parts_written_out_read_back),
        cmocka_unit_test(calls_divide_evenly_when_nobody_knows),
        cmocka_unit_test(circles_end),
        cmocka_unit_test(families_are_found_and_retagged),
        cmocka_unit_test(what_cannot_be_divided_is_refused),
        cmocka_unit_test(parts_that_do_not_belong_together_are_refused),
        cmocka_unit_test(limits_hold_after_the_division),
        cmocka_unit_test(every_failing_allocation_is_an_error),
    };
    return cmocka_run_group_tests_name("app_split", tests, NULL, NULL);
}
