/* The world document: what is read, what is refused and how, and that it survives being written. */
#include "model_fixture.h"

#define TEXT_BYTES (64 << 10)

static char text[TEXT_BYTES];

static const char small[] = "world: small\n"
                            "accounts: [{name: a, provider: aws}]\n"
                            "sites:\n"
                            "  - {name: client/web, tier: client}\n"
                            "  - {name: aws/one, tier: cloud, account: a, tags: {pci: yes-1},\n"
                            "     price: {cpu: 0.03, memory: 0.004}, overhead: 12%}\n";

static void parse(const char *document, struct arena *arena, struct world *world)
{
    struct error err = {0};
    if (world_parse("w.yaml", document, strlen(document), arena, world, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

/* The document is refused, and the text says all of `wanted`. */
static void refuse(const char *document, const char *const *wanted, size_t count)
{
    struct arena arena;
    struct world world = {.name = "untouched"};
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    int rc = world_parse("w.yaml", document, strlen(document), &arena, &world, &err);
    if (rc != ERR_INVALID) {
        fail_msg("accepted or refused otherwise (%d %s):\n%s", rc, err.text, document);
    }
    assert_string_equal(world.name, "untouched");
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

static void test_defaults_and_implied(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    arena_init(&arena, 64 << 20);
    parse(small, &arena, &world);
    assert_int_equal(world.site_count, 2);
    const struct site *site = &world.sites[1];
    assert_string_equal(site->provider, "aws");
    assert_string_equal(site->region, "one");
    assert_int_equal(site->account, 0);
    assert_int_equal(site->overhead_ppm, 120000);
    assert_int_equal(site->capacity[RESOURCE_CPU], -1);
    assert_true(site_has_tag(site, "cloud", "aws"));
    assert_true(site_has_tag(site, "tier", "cloud"));
    assert_true(site_has_tag(site, "region", "one"));
    assert_true(site_has_tag(site, "pci", "yes-1"));
    assert_false(site_has_tag(site, "pci", "no"));
    assert_false(site_has_tag(site, "cloud", "gcp"));
    assert_int_equal(world.sites[0].account, -1);
    assert_int_equal(world.rtt_us[0], 0);
    assert_int_equal(world.rtt_us[1], -1);
    assert_int_equal(world.policy.dwell_us, INT64_C(600000000));
    assert_int_equal(world.policy.moves_max, 3);
    assert_true(world.policy.saving_min == 500000000);
    assert_int_equal(world.weights.compute_ppm, PPM);
    assert_false(world.latency_measured);
    arena_done(&arena);
}

static void check_round_trip(const char *path)
{
    struct arena arena;
    struct world first;
    struct world second;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, 64 << 20);
    strbuf_init(&one, 1 << 20);
    strbuf_init(&two, 1 << 20);
    read_text(path, text, sizeof(text));
    parse(text, &arena, &first);
    world_write(&first, &one);
    assert_int_equal(strbuf_error(&one, NULL), 0);
    parse(strbuf_text(&one), &arena, &second);
    world_write(&second, &two);
    assert_int_equal(strbuf_error(&two, NULL), 0);
    assert_string_equal(strbuf_text(&one), strbuf_text(&two));
    assert_true(world_hash(&first) == world_hash(&second));
    assert_memory_equal(first.rtt_us, second.rtt_us,
                        (size_t)(first.site_count * first.site_count) * sizeof(int64_t));
    second.egress[0].month_to_date_bytes++;
    assert_true(world_hash(&first) != world_hash(&second));
    strbuf_done(&one);
    strbuf_done(&two);
    arena_done(&arena);
}

static void test_examples_round_trip(void **state)
{
    (void)state;
    check_round_trip(BERTH_SOURCE_DIR "/examples/worlds/demo.yaml");
    check_round_trip(BERTH_SOURCE_DIR "/examples/worlds/us.yaml");
}

static const char *rule_name(const struct world *world, const char *from, const char *to)
{
    struct egress_match match = world_egress(world, world_site(world, from), world_site(world, to));
    assert_int_equal(match.receiver_rule, -1);
    return match.sender_rule < 0 ? "" : world->egress[match.sender_rule].name;
}

static void test_most_exact_egress_rule(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    arena_init(&arena, 64 << 20);
    read_text(BERTH_SOURCE_DIR "/examples/worlds/us.yaml", text, sizeof(text));
    parse(text, &arena, &world);
    assert_string_equal(rule_name(&world, "aws/us-east-1", "aws/us-east-2"), "aws-virginia-ohio");
    assert_string_equal(rule_name(&world, "aws/us-east-1", "aws/us-west-2"), "aws-inter-region");
    assert_string_equal(rule_name(&world, "aws/us-east-1", "gcp/us-east4"), "aws-internet");
    assert_string_equal(rule_name(&world, "gcp/us-east4", "client/us-east"), "gcp-internet");
    assert_string_equal(rule_name(&world, "aws/us-east-1", "aws/us-east-1"), "");
    assert_string_equal(rule_name(&world, "client/us-east", "aws/us-east-1"), "");
    arena_done(&arena);
}

static void test_both_sides_and_ties(void **state)
{
    (void)state;
    static const char document[] =
        "world: w\n"
        "accounts: [{name: a, provider: aws}, {name: g, provider: gcp}]\n"
        "sites:\n"
        "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 1, memory: 1}}\n"
        "  - {name: gcp/two, tier: edge, account: g, price: {cpu: 1, memory: 1}}\n"
        "egress:\n"
        "  - {name: first, from: '*', to: 'tier:edge', per: GB, tiers: [{price: 1}]}\n"
        "  - {name: tie, from: 'tier:cloud', to: '*', per: GB, tiers: [{price: 1}]}\n"
        "  - {name: in, from: '*', to: '*', payer: receiver, per: GB, tiers: [{price: 1}]}\n";
    struct arena arena;
    struct world world;
    arena_init(&arena, 64 << 20);
    parse(document, &arena, &world);
    struct egress_match match = world_egress(&world, 0, 1);
    assert_int_equal(match.sender_rule, 0);
    assert_int_equal(match.receiver_rule, 2);
    assert_int_equal(world.egress[0].per_bytes, 1000000000);
    arena_done(&arena);
}

static void test_refusals(void **state)
{
    (void)state;
    REFUSE("world: [", "w.yaml");
    REFUSE("sites: 3\n", "world", "sites");
    REFUSE("world: w\nsites: []\n", "at least one site");
    REFUSE("world: w\naccounts: [{name: a, provider: aws}]\n"
           "sites: [{name: aws/one, tier: cloud, account: a, price: {cpu: -1, memory: 0}}]\n",
           "price", "-1", "sites[0].price.cpu");
    REFUSE("world: w\nsites: [{name: client/web, tier: client, colour: red}]\n", "colour");
    REFUSE("world: w\nsites: [{name: client/web, teir: client}]\n", "teir", "tier");
    REFUSE("world: w\nsites: [{name: web, tier: client}]\n", "provider/region");
    REFUSE("world: w\nsites: [{name: client/web, tier: cliant}]\n", "cliant", "client");
    REFUSE("world: w\nsites: [{name: client/web, tier: client, price: {cpu: 1, memory: 1}}]\n",
           "device_cpu");
    REFUSE("world: w\nsites: [{name: aws/one, tier: cloud, price: {cpu: 1, memory: 1}}]\n",
           "account");
    REFUSE("world: w\naccounts: [{name: main, provider: aws}]\n"
           "sites: [{name: aws/one, tier: cloud, account: mian, price: {cpu: 1, memory: 1}}]\n",
           "mian", "did you mean \"main\"");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}, {name: a/b, tier: client}]\n", "twice");
    REFUSE("world: w\ncurrency: EUR\nsites: [{name: a/b, tier: client}]\n", "EUR", "USD");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, geo: [91, 0]}]\n", "91", "latitude");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\n"
           "egress: [{name: e, from: 'b/*', to: '*', per: GiB, tiers: [{price: 1}]}]\n",
           "b/*", "selects no site");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\n"
           "egress: [{name: e, from: '*', to: '*', per: GiB,\n"
           "  tiers: [{up_to: 2GiB, price: 1}, {up_to: 2GiB, price: 1}, {price: 1}]}]\n",
           "must grow");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\n"
           "egress: [{name: e, from: '*', to: '*', per: GiB, tiers: [{up_to: 2GiB, price: 1}]}]\n",
           "last tier");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}, {name: a/c, tier: client}]\n"
           "latency: {pairs: [{between: [a/b, a/c], rtt: 1ms}, {between: [a/c, a/b], rtt: 2ms}]}\n",
           "given twice");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\n"
           "latency: {pairs: [{between: [a/b, a/x], rtt: 1ms}]}\n",
           "a/x");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\npolicy: {hit_floor: 0%}\n", "floor");
    REFUSE("world: w\nsites: [{name: a/b, tier: client}]\npolicy: {horizon: 0}\n", "horizon");
}

/* Two mistakes are both reported, and every failing allocation is an error and no crash. */
static void test_all_problems_and_no_memory(void **state)
{
    (void)state;
    REFUSE("world: w\nextra: 1\nsites: [{name: a/b, tier: none}]\n", "extra", "none");
    for (int64_t fail_after = 0;; fail_after++) {
        struct arena arena;
        struct world world;
        struct error err = {0};
        arena_init(&arena, 64 << 20);
        arena.fail_after = fail_after;
        int rc = world_parse("w.yaml", small, strlen(small), &arena, &world, &err);
        arena_done(&arena);
        if (rc == 0) {
            assert_true(fail_after >= 4);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_and_implied),
        cmocka_unit_test(test_examples_round_trip),
        cmocka_unit_test(test_most_exact_egress_rule),
        cmocka_unit_test(test_both_sides_and_ties),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_all_problems_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
