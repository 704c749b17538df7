/*
 * The price book: what enters it and what is held back, that what was good stays, how it reads
 * back, that a damaged one is refused whole, and the world that it makes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/str.h"
#include "model/catalogue.h"
#include "model/feeds/book.h"
#include "model/world.h"

#define TEXT_BYTES ((size_t)16 << 20)

static struct book *book;
static char why[LIMIT_TEXT_BYTES * 2];
static int64_t now_us;
static const char *accepted;

static int setup(void **state)
{
    (void)state;
    struct error err;
    now_us = 1000;
    accepted = NULL;
    return book_create(&book, &err);
}

static int teardown(void **state)
{
    (void)state;
    book_destroy(book);
    return 0;
}

static struct decimal price_of(const char *text)
{
    struct decimal price;
    struct error err;
    assert_int_equal(decimal_parse(text, &price, &err), 0);
    return price;
}

static bool accept(void *context, const char *name)
{
    (void)context;
    return accepted != NULL && strstr(name, accepted) != NULL;
}

static enum book_outcome take_figure(const struct figure *figure, const struct world *reference)
{
    enum book_outcome outcome = BOOK_SAME;
    struct error err = {0};
    const struct book_policy policy = {
        .now = {++now_us}, .factor_ppm = 3000000, .accept = accept, .reference = reference};
    if (book_take(book, figure, &policy, &outcome, why, &err) < 0)
        fail_msg("%s", err.text);
    return outcome;
}

static enum book_outcome take(const char *site, enum feed_kind kind, const char *price)
{
    struct figure figure = {.kind = kind, .step_count = 1, .source = "s", .effective = "e"};
    str_format(figure.site, sizeof(figure.site), "%s", site);
    figure.steps[0].price = price_of(price);
    return take_figure(&figure, NULL);
}

static enum book_outcome take_egress(const char *site, const char *to, const char *first,
                                     const char *second)
{
    struct figure figure = {
        .kind = FEED_EGRESS, .step_count = 2, .source = "dt", .per_bytes = INT64_C(1) << 30};
    str_format(figure.site, sizeof(figure.site), "%s", site);
    str_format(figure.to, sizeof(figure.to), "%s", to);
    figure.steps[0].price = price_of(first);
    figure.steps[1] = (struct price_step){10240, price_of(second)};
    return take_figure(&figure, NULL);
}

static void is_price(const char *site, enum feed_kind kind, const char *price)
{
    char text[BOOK_PRICE_BYTES];
    const struct book_figure *figure = book_find(book, site, kind, FEED_ON_DEMAND, "");
    assert_non_null(figure);
    const struct book_version *version = book_now(figure);
    assert_non_null(version);
    assert_string_equal(book_price(version->steps, version->step_count, text), price);
}

static void test_changes(void **state)
{
    (void)state;
    assert_int_equal(take("aws/x", FEED_CPU, "0.03"), BOOK_NEW);
    assert_int_equal(take("aws/x", FEED_CPU, "0.030"), BOOK_SAME);
    assert_int_equal(take("aws/x", FEED_CPU, "0.09"), BOOK_CHANGED); /* just within three times */
    assert_int_equal(take("aws/x", FEED_CPU, "0.03"), BOOK_CHANGED);
    assert_int_equal(take("aws/x", FEED_CPU, "0.0900001"), BOOK_HELD);
    assert_string_equal(why, "$0.0900001 is more than 3 times above $0.03, the last good one");
    assert_int_equal(take("aws/x", FEED_CPU, "0.0099"), BOOK_HELD);
    assert_non_null(strstr(why, "3 times below $0.03"));
    is_price("aws/x", FEED_CPU, "$0.03");
    const struct book_figure *figure = book_find(book, "aws/x", FEED_CPU, FEED_ON_DEMAND, "");
    assert_int_equal(figure->version_count, 3);
    assert_int_equal(figure->checked.us, 1004);
    assert_int_equal(figure->held_at.us, 1006);
    assert_string_equal(figure->held, why);
    assert_int_equal(take("aws/x", FEED_CPU, "0.03"), BOOK_SAME);
    assert_string_equal(figure->held, ""); /* it was a mistake, and is over */
}

static void test_held(void **state)
{
    (void)state;
    assert_int_equal(take("aws/x", FEED_CPU, "0"), BOOK_HELD);
    assert_string_equal(why, "it would cost nothing");
    assert_null(book_now(book_find(book, "aws/x", FEED_CPU, FEED_ON_DEMAND, "")));
    assert_int_equal(take("aws/x", FEED_CPU, "0.03"), BOOK_NEW);
    assert_int_equal(take("aws/x", FEED_CPU, "0"), BOOK_HELD);
    assert_string_equal(why, "it would cost nothing; it was $0.03");
    assert_int_equal(take("aws/x", FEED_CPU, "30"), BOOK_HELD); /* 1000 times yesterday's */
    accepted = "aws/x cpu";
    assert_int_equal(take("aws/y", FEED_CPU, "0"), BOOK_HELD);
    assert_int_equal(take("aws/x", FEED_CPU, "30"), BOOK_CHANGED);
    accepted = NULL;
    is_price("aws/x", FEED_CPU, "$30");
    struct figure figure = {.site = "aws/x",
                            .kind = FEED_STORAGE,
                            .steps = {{0, {8, 2}}},
                            .step_count = 1,
                            .problem = "offer d has two prices"};
    assert_int_equal(take_figure(&figure, NULL), BOOK_HELD);
    assert_string_equal(why, "offer d has two prices");
    /* A person may accept a doubt, but never what has no price. */
    accepted = "storage";
    assert_int_equal(take_figure(&figure, NULL), BOOK_NEW);
    figure.step_count = 0;
    assert_int_equal(take_figure(&figure, NULL), BOOK_HELD);
    figure.step_count = 1;
    figure.steps[0].price.coefficient = -8;
    assert_int_equal(take_figure(&figure, NULL), BOOK_HELD);
}

/* A free allowance is a first step of 0; all free is held back. */
static void test_allowance(void **state)
{
    (void)state;
    assert_int_equal(take_egress("aws/x", "internet", "0", "0.09"), BOOK_NEW);
    assert_int_equal(take_egress("aws/x", "aws/y", "0", "0"), BOOK_HELD);
    assert_int_equal(take_egress("aws/x", "aws/z", "0.09", "0"), BOOK_HELD);
    assert_string_equal(why, "from 10240 on it would cost nothing");
    /* Each step is judged, not the dearest alone. */
    assert_int_equal(take_egress("aws/x", "zone", "0.09", "0.01"), BOOK_NEW);
    assert_int_equal(take_egress("aws/x", "zone", "0.09", "0.05"), BOOK_HELD);
}

static void test_reference(void **state)
{
    (void)state;
    struct arena arena;
    struct world catalogue;
    struct error err;
    arena_init(&arena, (size_t)64 << 20);
    assert_int_equal(catalogue_world(&arena, &catalogue, &err), 0);
    struct figure figure = {
        .site = "aws/us-east-1", .kind = FEED_CPU, .steps = {{0, {31, 0}}}, .step_count = 1};
    assert_int_equal(take_figure(&figure, &catalogue), BOOK_HELD);
    assert_non_null(strstr(why, "above $0.031248, the built-in catalogue's"));
    figure.steps[0].price.scale = 3;
    assert_int_equal(take_figure(&figure, &catalogue), BOOK_NEW);
    arena_done(&arena);
}

static char *text_of(void)
{
    struct strbuf out;
    struct error err;
    strbuf_init(&out, TEXT_BYTES);
    book_write(book, &out);
    assert_int_equal(strbuf_error(&out, &err), 0);
    char *text = strdup(strbuf_text(&out));
    strbuf_done(&out);
    return text;
}

static void fill(void)
{
    (void)take("gcp/us-central1", FEED_CPU, "0.0218");
    (void)take("aws/us-east-1", FEED_CPU, "0.03");
    (void)take("aws/us-east-1", FEED_MEMORY, "0.004");
    (void)take("aws/us-east-1", FEED_CPU, "0.031");
    (void)take("aws/us-east-1", FEED_CPU, "31");
    (void)take("aws/nowhere-9", FEED_CPU, "0.03");
    (void)take("aws/sa-east-1", FEED_CPU, "0.05");
    (void)take("aws/sa-east-1", FEED_MEMORY, "0.006");
    (void)take_egress("aws/us-east-1", "internet", "0.09", "0.085");
    (void)take_egress("aws/us-east-1", "aws/sa-east-1", "0.16", "0.15");
    (void)take_egress("aws/us-east-1", "aws/gone-1", "0.16", "0.15");
    (void)take_egress("gcp/us-central1", "emea", "0.12", "0.11");
    (void)take_egress("gcp/us-central1", "zone", "0.01", "0.009");
}

static void test_text(void **state)
{
    (void)state;
    struct error err = {0};
    fill();
    char *text = text_of();
    book_destroy(TAKE(book));
    if (book_read("book", text, strlen(text), &book, &err) < 0)
        fail_msg("%s", err.text);
    char *again = text_of();
    assert_string_equal(text, again);
    is_price("aws/us-east-1", FEED_CPU, "$0.031");
    const struct book_figure *figure =
        book_find(book, "aws/us-east-1", FEED_CPU, FEED_ON_DEMAND, "");
    assert_int_equal(figure->version_count, 2);
    assert_non_null(strstr(figure->held, "3 times above"));
    free(again);
    /* Cut anywhere, it is no book; nor with a figure taken out, or twice. */
    struct book *other = NULL;
    for (size_t cut = 0; cut + 1 < strlen(text); cut += 11)
        assert_int_equal(book_read("book", text, cut, &other, &err), ERR_CORRUPT);
    assert_non_null(strstr(err.text, "book is no price book that can be read"));
    static const char *const edits[][2] = {
        {"\"count\":", "\"count\":1"},
        {"\"kind\":\"cpu\"", "\"kind\":\"gpu\""},
        {"berth-prices-1", "berth-prices-9"},
        {"\"price\":\"0.05\"", "\"price\":\"-0.05\""},
        {"\"from\":10240", "\"from\":0"},
        {"aws/sa-east-1\",\"kind", "aws\",\"kind"},
        {"aws/sa-east-1\",\"kind", "aws/nowhere-9\",\"kind"},
    };
    for (size_t i = 0; i < sizeof(edits) / sizeof(edits[0]); i++) {
        const char *at = strstr(text, edits[i][0]);
        assert_non_null(at);
        size_t bytes = strlen(text) + 64;
        char *edited = malloc(bytes);
        assert_non_null(edited);
        str_format(edited, bytes, "%.*s%s%s", (int)(at - text), text, edits[i][1],
                   at + strlen(edits[i][0]));
        if (book_read("book", edited, strlen(edited), &other, &err) != ERR_CORRUPT)
            fail_msg("taken: %s", edits[i][1]);
        free(edited);
    }
    free(text);
}

static void test_world(void **state)
{
    (void)state;
    struct arena arena;
    struct world catalogue;
    struct world world;
    struct error err = {0};
    struct strbuf out;
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&out, TEXT_BYTES);
    assert_int_equal(catalogue_world(&arena, &catalogue, &err), 0);
    struct book_view view = {.term = FEED_ON_DEMAND, .catalogue = &catalogue};
    assert_int_equal(book_world(book, &view, &out, &err), ERR_NOT_FOUND);
    strbuf_reset(&out);
    fill();
    if (book_world(book, &view, &out, &err) < 0 ||
        world_parse("imported", strbuf_text(&out), out.bytes, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    char price[DECIMAL_TEXT_BYTES];
    assert_int_equal(world_site(&world, "aws/nowhere-9"), -1); /* it has no price of a GiB */
    int virginia = world_site(&world, "aws/us-east-1");
    int paulo = world_site(&world, "aws/sa-east-1");
    int iowa = world_site(&world, "gcp/us-central1");
    assert_true(virginia >= 0 && paulo >= 0 && iowa >= 0);
    assert_string_equal(decimal_format(world.sites[virginia].cpu_price, price), "0.031");
    assert_string_equal(decimal_format(world.sites[virginia].storage_price, price), "0.04");
    assert_true(world.sites[virginia].located); /* the catalogue's part stays */
    assert_string_equal(world.sites[virginia].source, "vCPU: s; GiB as vCPU");
    struct egress_match match = world_egress(&world, virginia, paulo);
    assert_string_equal(world.egress[match.sender_rule].name, "aws-us-east-1-to-aws-sa-east-1");
    match = world_egress(&world, virginia, iowa);
    const struct egress_rule *rule = &world.egress[match.sender_rule];
    assert_string_equal(rule->name, "aws-us-east-1-to-internet");
    assert_int_equal(rule->tier_count, 2);
    assert_int_equal(rule->tiers[0].up_to_bytes, INT64_C(10240) << 30);
    /* All of the catalogue, with the book over it. */
    view.whole = true;
    strbuf_reset(&out);
    if (book_world(book, &view, &out, &err) < 0 ||
        world_parse("imported", strbuf_text(&out), out.bytes, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(world.site_count, catalogue.site_count + 1);
    virginia = world_site(&world, "aws/us-east-1");
    assert_string_equal(decimal_format(world.sites[virginia].cpu_price, price), "0.031");
    strbuf_done(&out);
    arena_done(&arena);
}

static void test_update(void **state)
{
    (void)state;
    static const char text[] =
        "world: mine\naccounts: [{name: a, provider: aws}]\nsites:\n"
        "  - {name: aws/us-east-1, tier: cloud, account: a, price: {cpu: 1, memory: 2, storage: "
        "3}}\n"
        "  - {name: aws/other-1, tier: cloud, account: a, price: {cpu: 1, memory: 2}}\n"
        "egress:\n"
        "  - {name: aws-us-east-1-to-internet, from: 'aws/*', to: '*', per: GiB, tiers: [{price: "
        "1}]}\n"
        "  - {name: own, from: 'aws/*', to: 'aws/*', per: GiB, tiers: [{price: 1}]}\n";
    struct arena arena;
    struct world world;
    struct error err = {0};
    char price[DECIMAL_TEXT_BYTES];
    arena_init(&arena, (size_t)64 << 20);
    fill();
    if (world_parse("mine", text, sizeof(text) - 1, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(book_update(book, FEED_ON_DEMAND, &world, &arena, &err), 3);
    assert_string_equal(decimal_format(world.sites[0].cpu_price, price), "0.031");
    assert_string_equal(decimal_format(world.sites[0].memory_price, price), "0.004");
    assert_string_equal(decimal_format(world.sites[0].storage_price, price), "3");
    assert_string_equal(world.sites[0].source, "vCPU: s; GiB as vCPU");
    assert_string_equal(decimal_format(world.sites[1].cpu_price, price), "1");
    assert_int_equal(world.egress[0].tier_count, 2);
    assert_string_equal(world.egress[0].source, "dt");
    assert_int_equal(world.egress[0].tiers[0].up_to_bytes, INT64_C(10240) << 30);
    assert_int_equal(world.egress[0].tiers[1].up_to_bytes, INT64_MAX);
    assert_int_equal(world.egress[1].tier_count, 1);
    assert_int_equal(book_update(book, FEED_ON_DEMAND, &world, &arena, &err), 0);
    arena_done(&arena);
}

static void test_versions(void **state)
{
    (void)state;
    for (int i = 0; i < LIMIT_FEED_VERSIONS + 10; i++)
        (void)take("aws/x", FEED_CPU, i % 2 == 0 ? "0.03" : "0.04");
    const struct book_figure *figure = book_find(book, "aws/x", FEED_CPU, FEED_ON_DEMAND, "");
    assert_int_equal(figure->version_count, LIMIT_FEED_VERSIONS);
    is_price("aws/x", FEED_CPU, "$0.04");
    assert_int_equal(figure->versions[0].seen.us, 1011);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_changes), CASE(test_held),  CASE(test_allowance), CASE(test_reference),
        CASE(test_text),    CASE(test_world), CASE(test_update),    CASE(test_versions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
