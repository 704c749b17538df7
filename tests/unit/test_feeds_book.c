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
#include "model/egress.h"
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

static enum book_outcome take_term(const char *site, enum feed_kind kind, enum feed_term term,
                                   const char *price)
{
    struct figure figure = {
        .kind = kind, .term = term, .step_count = 1, .source = "a list: offer", .effective = "e"};
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

static char *text_of(void);

/* Whatever a person accepts, the book can be read again. */
static void test_accepted_is_whole(void **state)
{
    (void)state;
    struct error err = {0};
    static const struct price_step wrong[][2] = {
        {{100, {9, 2}}, {10240, {8, 2}}},
        {{0, {9, 2}}, {10240, {-8, 2}}},
        {{0, {9, 2}}, {0, {8, 2}}},
    };
    accepted = "aws";
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct figure figure = {.site = "aws/x",
                                .kind = FEED_EGRESS,
                                .to = "internet",
                                .per_bytes = INT64_C(1) << 30,
                                .steps = {wrong[i][0], wrong[i][1]},
                                .step_count = 2,
                                .problem = "its steps do not meet"};
        assert_int_equal(take_figure(&figure, NULL), BOOK_HELD);
        assert_string_equal(why, "its steps do not meet");
    }
    char *text = text_of();
    book_destroy(TAKE(book));
    if (book_read("book", text, strlen(text), &book, &err) < 0)
        fail_msg("%s", err.text);
    free(text);
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
    /* Ten tebibytes that were paid for are no allowance, nor are they when another step begins. */
    assert_int_equal(take_egress("aws/x", "aws/w", "0.09", "0.085"), BOOK_NEW);
    assert_int_equal(take_egress("aws/x", "aws/w", "0", "0.085"), BOOK_HELD);
    assert_string_equal(why, "from 0 on it would cost nothing; it was $0.09, $0.085 from 10240");
    struct figure figure = {.site = "aws/x",
                            .kind = FEED_EGRESS,
                            .to = "internet",
                            .per_bytes = INT64_C(1) << 30,
                            .steps = {{0, {0, 0}}, {20480, {9, 2}}},
                            .step_count = 2};
    assert_int_equal(take_figure(&figure, NULL), BOOK_HELD);
    assert_string_equal(why, "from 10240 on it would cost nothing; it was $0, $0.09 from 10240");
    figure.steps[1].from = 5120; /* less of it is dearer, and plausible */
    assert_int_equal(take_figure(&figure, NULL), BOOK_CHANGED);
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
    struct egress_match match = egress_between(&world, virginia, paulo);
    assert_string_equal(world.egress[match.sender_rule].name, "aws-us-east-1-to-aws-sa-east-1");
    match = egress_between(&world, virginia, iowa);
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
    const struct book_view view = {.term = FEED_ON_DEMAND};
    arena_init(&arena, (size_t)64 << 20);
    fill();
    if (world_parse("mine", text, sizeof(text) - 1, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 3);
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
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 0);
    arena_done(&arena);
}

/* The one site of which spot is asked is at spot; what there is no spot price of stays. */
static void test_spot_of_one(void **state)
{
    (void)state;
    static const char *const words[] = {"aws/us-*"};
    struct arena arena;
    struct world catalogue;
    struct world world;
    struct error err = {0};
    struct strbuf out;
    char price[DECIMAL_TEXT_BYTES];
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&out, TEXT_BYTES);
    assert_int_equal(catalogue_world(&arena, &catalogue, &err), 0);
    fill();
    (void)take_term("aws/us-east-1", FEED_CPU, FEED_SPOT, "0.011");
    (void)take_term("aws/sa-east-1", FEED_CPU, FEED_SPOT, "0.012");
    const struct book_view view = {
        .term = FEED_SPOT, .words = words, .word_count = 1, .catalogue = &catalogue};
    if (book_world(book, &view, &out, &err) < 0 ||
        world_parse("imported", strbuf_text(&out), out.bytes, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    const struct site *virginia = &world.sites[world_site(&world, "aws/us-east-1")];
    const struct site *paulo = &world.sites[world_site(&world, "aws/sa-east-1")];
    assert_string_equal(decimal_format(virginia->cpu_price, price), "0.011");
    assert_string_equal(decimal_format(virginia->memory_price, price), "0.004");
    assert_string_equal(decimal_format(paulo->cpu_price, price), "0.05");
    strbuf_done(&out);
    arena_done(&arena);
}

static const struct egress_rule *rule_of(const struct world *world, const char *from,
                                         const char *to)
{
    int a = world_site(world, from);
    int b = world_site(world, to);
    assert_true(a >= 0 && b >= 0);
    int rule = egress_between(world, a, b).sender_rule;
    assert_true(rule >= 0);
    return &world->egress[rule];
}

/* Where the internet's prices go by continent, bytes between the provider's own regions cost what
 * the book says of them, else what the catalogue says: never what the internet costs. */
static void test_regions(void **state)
{
    (void)state;
    struct arena arena;
    struct world catalogue;
    struct world world;
    struct error err = {0};
    struct strbuf out;
    char price[DECIMAL_TEXT_BYTES];
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&out, TEXT_BYTES);
    assert_int_equal(catalogue_world(&arena, &catalogue, &err), 0);
    (void)take("gcp/us-central1", FEED_CPU, "0.0218");
    (void)take_egress("gcp/us-central1", "emea", "0.12", "0.11");
    (void)take_egress("gcp/us-central1", "americas", "0.12", "0.11");
    (void)take_egress("gcp/us-central1", "gcp/europe-west4", "0.05", "0.04");
    (void)take_egress("azure/eastus", "continent", "0.02", "0.01");
    (void)take_egress("azure/eastus", "region", "0.05", "0.04");
    const struct book_view view = {.catalogue = &catalogue, .whole = true};
    if (book_world(book, &view, &out, &err) < 0 ||
        world_parse("imported", strbuf_text(&out), out.bytes, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    static const struct {
        const char *from;
        const char *to;
        const char *price;
    } cases[] = {
        {"gcp/us-central1", "gcp/europe-west4", "0.05"}, /* the book's */
        {"gcp/us-central1", "gcp/europe-west1", "0.08"}, /* the catalogue's, not 0.12 */
        {"gcp/us-central1", "gcp/us-east1", "0.01"},
        {"gcp/us-central1", "gcp/asia-east1", "0.08"},
        {"gcp/us-central1", "aws/eu-west-1", "0.12"}, /* the internet's of the book */
        {"gcp/us-central1", "aws/us-east-1", "0.12"},
        {"azure/eastus", "azure/westus3", "0.02"}, /* of one continent */
        {"azure/eastus", "azure/westeurope", "0.05"},
        {"azure/westeurope", "azure/eastus", "0.05"}, /* the catalogue's */
        {"azure/eastus", "aws/us-east-1", "0.0875"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct egress_rule *rule = rule_of(&world, cases[i].from, cases[i].to);
        if (!str_equal(decimal_format(rule->tiers[0].price, price), cases[i].price))
            fail_msg("%s to %s: $%s by %s", cases[i].from, cases[i].to, price, rule->name);
    }
    /* A world that has these rules takes the book's next figures. */
    (void)take_egress("azure/eastus", "continent", "0.03", "0.02");
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 1);
    const struct egress_rule *near = rule_of(&world, "azure/eastus", "azure/westus3");
    assert_true(near->to_count > 5);
    assert_string_equal(decimal_format(near->tiers[0].price, price), "0.03");
    assert_ptr_equal(rule_of(&world, "azure/eastus", "azure/centralus"), near);
    strbuf_done(&out);
    arena_done(&arena);
}

static void take_flat(const char *site, const char *to, const char *price)
{
    struct figure figure = {
        .kind = FEED_EGRESS, .step_count = 1, .source = "dt", .per_bytes = INT64_C(1) << 30};
    str_format(figure.site, sizeof(figure.site), "%s", site);
    str_format(figure.to, sizeof(figure.to), "%s", to);
    figure.steps[0].price = price_of(price);
    (void)take_figure(&figure, NULL);
}

static void is_ruled(const struct world *world, const char *to, const char *rule, const char *price)
{
    char text[DECIMAL_TEXT_BYTES];
    const struct egress_rule *found = rule_of(world, "aws/us-east-1", to);
    assert_string_equal(found->name, rule);
    assert_string_equal(decimal_format(found->tiers[0].price, text), price);
}

/* All regions of all providers come to fewer rules than a world may have: destinations of one price
 * have one, and are divided again when they no longer do. */
static void test_every_pair(void **state)
{
    (void)state;
    struct arena arena;
    struct world catalogue;
    struct world world;
    struct error err = {0};
    struct strbuf out;
    int pairs = 0;
    arena_init(&arena, (size_t)256 << 20);
    strbuf_init(&out, TEXT_BYTES);
    assert_int_equal(catalogue_world(&arena, &catalogue, &err), 0);
    for (int from = 0; from < catalogue.site_count; from++)
        for (int to = 0; to < catalogue.site_count; to++) {
            const struct site *a = &catalogue.sites[from];
            const struct site *b = &catalogue.sites[to];
            if (from == to || a->tier == TIER_CLIENT || !str_equal(a->provider, b->provider))
                continue;
            take_flat(a->name, b->name, to % 3 == 0 ? "0.02" : "0.04");
            pairs++;
        }
    assert_true(pairs > LIMIT_EGRESS_RULES);
    const struct book_view view = {.catalogue = &catalogue, .whole = true};
    if (book_world(book, &view, &out, &err) < 0 ||
        world_parse("imported", strbuf_text(&out), out.bytes, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(world.egress_count < LIMIT_EGRESS_RULES / 2);
    for (int from = 0; from < catalogue.site_count; from++)
        for (int to = 0; to < catalogue.site_count; to++) {
            const struct site *a = &catalogue.sites[from];
            const struct site *b = &catalogue.sites[to];
            if (from == to || a->tier == TIER_CLIENT || !str_equal(a->provider, b->provider))
                continue;
            int64_t price = rule_of(&world, a->name, b->name)->tiers[0].price.coefficient;
            assert_int_equal(price, to % 3 == 0 ? 2 : 4);
        }
    strbuf_done(&out);
    arena_done(&arena);
}

static void test_divided(void **state)
{
    (void)state;
    static const char text[] =
        "world: mine\nuse: ['aws/*']\naccounts: [{name: a, provider: aws}]\negress:\n"
        "  - {name: aws-us-east-1-to-aws-eu-west-1, from: aws/us-east-1, to: [aws/eu-west-1, "
        "aws/eu-west-2, aws/eu-west-3, aws/ap-east-1], per: GiB, month_to_date: 1GiB, tiers: "
        "[{price: 0.05}]}\n"
        "  - {name: aws-us-east-1-to-aws-eu-west-2, from: aws/us-west-1, to: aws/eu-west-1, "
        "per: GiB, tiers: [{price: 7}]}\n";
    struct arena arena;
    struct world world;
    struct error err = {0};
    const struct book_view view = {.term = FEED_ON_DEMAND};
    arena_init(&arena, (size_t)64 << 20);
    if (world_parse("mine", text, sizeof(text) - 1, &arena, &world, &err) < 0)
        fail_msg("%s", err.text);
    take_flat("aws/us-east-1", "aws/eu-west-1", "0.05");
    take_flat("aws/us-east-1", "aws/eu-west-2", "0.05");
    take_flat("aws/us-east-1", "aws/eu-west-3", "0.05");
    /* None of ap-east-1: what the world says of it stays, by a rule of its own. The other rule is
     * known by its name alone. */
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 3);
    is_ruled(&world, "aws/eu-west-1", "aws-us-east-1-to-aws-eu-west-1", "0.05");
    is_ruled(&world, "aws/ap-east-1", "aws-us-east-1-to-aws-ap-east-1", "0.05");
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 0);
    take_flat("aws/us-east-1", "aws/eu-west-2", "0.06");
    take_flat("aws/us-east-1", "aws/eu-west-3", "0.06");
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 3);
    is_ruled(&world, "aws/eu-west-1", "aws-us-east-1-to-aws-eu-west-1", "0.05");
    is_ruled(&world, "aws/eu-west-2", "aws-us-east-1-to-aws-eu-west-2-2", "0.06");
    is_ruled(&world, "aws/eu-west-3", "aws-us-east-1-to-aws-eu-west-2-2", "0.06");
    assert_int_equal(world.egress[0].month_to_date_bytes, INT64_C(1) << 30);
    assert_int_equal(book_update(book, &view, &world, &arena, &err), 0);
    arena_done(&arena);
}

static void read_again(void)
{
    struct error err = {0};
    char *text = text_of();
    book_destroy(TAKE(book));
    if (book_read("book", text, strlen(text), &book, &err) < 0)
        fail_msg("%s", err.text);
    free(text);
}

static void fill_gone(bool all)
{
    struct figure egress = {.site = "aws/us-east-1",
                            .kind = FEED_EGRESS,
                            .to = "zone",
                            .step_count = 1,
                            .source = "a list: offer",
                            .per_bytes = INT64_C(1) << 30};
    egress.steps[0].price = price_of("0.01");
    (void)take_term("aws/us-east-1", FEED_CPU, FEED_ON_DEMAND, "0.03");
    (void)take_figure(&egress, NULL);
    (void)take_term("gcp/us-east1", FEED_CPU, FEED_ON_DEMAND, "0.03");
    if (!all)
        return;
    (void)take_term("aws/us-east-1", FEED_MEMORY, FEED_ON_DEMAND, "0.004");
    (void)take_term("aws/us-east-1", FEED_CPU, FEED_SPOT, "0.01");
    (void)take_term("aws/us-east-1", FEED_CPU, FEED_ONE_YEAR, "0.02");
    (void)take_term("aws/sa-east-1", FEED_CPU, FEED_ON_DEMAND, "0.05");
    str_format(egress.to, sizeof(egress.to), "internet");
    egress.steps[0].price = price_of("0.09");
    (void)take_figure(&egress, NULL);
}

static int tell(void *context, const struct book_figure *figure, struct error *err)
{
    char name[BOOK_NAME_BYTES];
    char *told = context;
    (void)err;
    size_t at = strlen(told);
    str_format(told + at, 512 - at, "%s;", book_name(figure, name));
    return 0;
}

static bool whole_east(void *context, const char *site)
{
    (void)context;
    return str_equal(site, "aws/us-east-1");
}

/* What a list is without is told once, keeps its price, and is no longer gone when it is back. */
static void test_gone(void **state)
{
    (void)state;
    struct error err = {0};
    char told[512] = "";
    struct book_scope scope = {
        .provider = "aws", .list = "a list", .tell = tell, .context = told, .now = {7}};
    fill_gone(true);
    read_again();
    fill_gone(false); /* without memory, spot and egress to the internet of us-east-1 */
    assert_int_equal(book_gone(book, &scope, &err), 0);
    assert_string_equal(told, "aws/us-east-1 memory;aws/us-east-1 egress internet;");
    is_price("aws/us-east-1", FEED_MEMORY, "$0.004");
    /* Told once, kept over a reading; a list that was whole lacks what has no like, too. */
    read_again();
    fill_gone(false);
    const struct book_figure *figure =
        book_find(book, "aws/us-east-1", FEED_MEMORY, FEED_ON_DEMAND, "");
    assert_int_equal(figure->gone_at.us, 7);
    told[0] = 0;
    scope.whole = whole_east;
    assert_int_equal(book_gone(book, &scope, &err), 0);
    assert_string_equal(told, "aws/us-east-1 cpu spot;");
    read_again();
    fill_gone(true);
    told[0] = 0;
    assert_int_equal(book_gone(book, &scope, &err), 0);
    assert_string_equal(told, "");
    figure = book_find(book, "aws/us-east-1", FEED_MEMORY, FEED_ON_DEMAND, "");
    assert_int_equal(figure->gone_at.us, 0);
    /* Another list, or another provider, says nothing of it. */
    read_again();
    scope.list = "another list";
    assert_int_equal(book_gone(book, &scope, &err), 0);
    scope.list = "a list";
    scope.provider = "gcp";
    assert_int_equal(book_gone(book, &scope, &err), 0);
    assert_string_equal(told, "");
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
        CASE(test_changes),   CASE(test_held),
        CASE(test_allowance), CASE(test_accepted_is_whole),
        CASE(test_reference), CASE(test_text),
        CASE(test_world),     CASE(test_update),
        CASE(test_versions),  CASE(test_spot_of_one),
        CASE(test_regions),   CASE(test_every_pair),
        CASE(test_divided),   CASE(test_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
