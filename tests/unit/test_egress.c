/*
 * Which egress rule bills bytes between two sites: the most exact of each payer, of one destination
 * or of several; a row of pairs at once is as its pairs one by one; what a document may not say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/str.h"
#include "model/egress.h"
#include "model/world.h"

#define SITES                                                                                     \
    "world: w\naccounts: [{name: a, provider: aws}, {name: g, provider: gcp}]\nsites:\n"          \
    "  - {name: client/web, tier: client}\n"                                                      \
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 1, memory: 1}, tags: {zone: x}}\n" \
    "  - {name: aws/two, tier: edge, account: a, price: {cpu: 1, memory: 1}, tags: {zone: x}}\n"  \
    "  - {name: aws/three, tier: cloud, account: a, price: {cpu: 1, memory: 1}}\n"                \
    "  - {name: gcp/four, tier: cloud, account: g, price: {cpu: 1, memory: 1}}\n"                 \
    "egress:\n"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, (size_t)64 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static void parse(const char *text, struct world *ret_world)
{
    struct error err = {0};
    if (world_parse("w.yaml", text, strlen(text), &arena, ret_world, &err) < 0)
        fail_msg("%s", err.text);
}

static void refuse(const char *text, const char *part)
{
    struct world world;
    struct error err = {0};
    assert_int_equal(world_parse("w.yaml", text, strlen(text), &arena, &world, &err), ERR_INVALID);
    if (strstr(err.text, part) == NULL)
        fail_msg("%s\ndoes not say: %s", err.text, part);
}

static const char several[] = SITES
    "  - {name: all, from: 'aws/*', to: '*', per: GB, tiers: [{price: 9}]}\n"
    "  - {name: near, from: aws/one, to: [aws/two, 'aws/*'], per: GB, tiers: [{price: 1}]}\n"
    "  - {name: tag, from: aws/one, to: ['tag:zone=x', 'tier:cloud'], per: GB, tiers: [{price: "
    "2}]}\n"
    "  - {name: in, from: '*', to: [gcp/four, aws/three], payer: receiver, per: GB, tiers: "
    "[{price: 3}]}\n";

static const char *sender_of(const struct world *world, const char *from, const char *to)
{
    struct egress_match match =
        egress_between(world, world_site(world, from), world_site(world, to));
    return match.sender_rule < 0 ? "" : world->egress[match.sender_rule].name;
}

static void test_most_exact_of_several(void **state)
{
    (void)state;
    struct world world;
    parse(several, &world);
    assert_string_equal(sender_of(&world, "aws/one", "aws/two"), "near"); /* 6 beats the tag's 5 */
    assert_string_equal(sender_of(&world, "aws/one", "aws/three"), "near"); /* 4 beats the tier's */
    assert_string_equal(sender_of(&world, "aws/one", "gcp/four"), "tag");   /* 2 beats none */
    assert_string_equal(sender_of(&world, "aws/two", "aws/one"), "all");
    assert_string_equal(sender_of(&world, "client/web", "aws/one"), "");
    assert_int_equal(egress_between(&world, 0, world_site(&world, "gcp/four")).receiver_rule, 3);
    assert_int_equal(egress_between(&world, 0, world_site(&world, "aws/one")).receiver_rule, -1);
    assert_int_equal(egress_between(&world, 1, 1).sender_rule, -1);
}

static void test_row_is_its_pairs(void **state)
{
    (void)state;
    struct world world;
    struct egress_match row[LIMIT_SITES];
    parse(several, &world);
    for (int from = 0; from < world.site_count; from++) {
        egress_from(&world, from, row);
        for (int to = 0; to < world.site_count; to++) {
            struct egress_match pair = egress_between(&world, from, to);
            assert_int_equal(row[to].sender_rule, pair.sender_rule);
            assert_int_equal(row[to].receiver_rule, pair.receiver_rule);
        }
    }
}

static void test_round_trip(void **state)
{
    (void)state;
    struct world world;
    struct world again;
    struct strbuf out;
    strbuf_init(&out, (size_t)1 << 20);
    parse(several, &world);
    world_write(&world, &out);
    assert_non_null(strstr(strbuf_text(&out), "\"to\":[\"aws/two\",\"aws/*\"]"));
    assert_non_null(strstr(strbuf_text(&out), "\"to\":\"*\""));
    parse(strbuf_text(&out), &again);
    assert_int_equal(world_hash(&world), world_hash(&again));
    for (int i = 0; i < world.egress_count; i++)
        assert_true(egress_same_to(&world.egress[i], &again.egress[i]));
    assert_false(egress_same_to(&world.egress[0], &world.egress[1]));
    assert_false(egress_same_to(&world.egress[1], &world.egress[2]));
    strbuf_done(&out);
}

static void test_text(void **state)
{
    (void)state;
    struct world world;
    char text[EGRESS_TO_BYTES];
    char name[LIMIT_REF_BYTES];
    char to[64][LIMIT_REF_BYTES];
    parse(several, &world);
    assert_string_equal(egress_to_text(&world.egress[1], text), "aws/two, aws/*");
    for (int i = 0; i < 64; i++) {
        str_format(name, sizeof(name), "provider/region-%02d", i);
        memcpy(to[i], name, sizeof(name));
    }
    struct egress_rule rule = {.to = to, .to_count = 64};
    (void)egress_to_text(&rule, text);
    assert_true(str_starts(text, "provider/region-00, provider/region-01, "));
    assert_non_null(strstr(text, "provider/region-17 and 46 more"));
}

static void test_refusals(void **state)
{
    (void)state;
#define RULE(to) SITES "  - {name: r, from: aws/one, to: " to ", per: GB, tiers: [{price: 1}]}\n"
    refuse(RULE("[]"), "at least one destination");
    refuse(RULE("[aws/two, aws/two]"), "\"aws/two\" is listed twice");
    refuse(RULE("[aws/two, aws/tow]"), "did you mean \"aws/two\"");
    refuse(RULE("[aws/two, [aws/one]]"), "egress[0].to[1]");
    refuse(RULE("{aws/two: 1}"), "egress[0].to");
    refuse(SITES "  - {name: r, from: aws/one, per: GB, tiers: [{price: 1}]}\n", "to");
}

/* Of more rules than a world may have none is dropped without a word. */
static void test_too_many_with_the_catalogue(void **state)
{
    (void)state;
    struct strbuf text;
    strbuf_init(&text, (size_t)4 << 20);
    strbuf_puts(&text, "world: w\nuse: ['*']\naccounts: [{name: a, provider: aws}, {name: g, "
                       "provider: gcp}, {name: z, provider: azure}, {name: e, provider: generic}]\n"
                       "egress:\n");
    for (int i = 0; i < LIMIT_EGRESS_RULES; i++)
        strbuf_printf(&text, "  - {name: r%d, from: '*', to: '*', per: GB, tiers: [{price: 1}]}\n",
                      i);
    refuse(strbuf_text(&text), "with the catalogue's there are more than 1024 egress rules");
    strbuf_done(&text);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_most_exact_of_several),
        CASE(test_row_is_its_pairs),
        CASE(test_round_trip),
        CASE(test_text),
        CASE(test_refusals),
        CASE(test_too_many_with_the_catalogue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
