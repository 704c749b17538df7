/* The world document: what is read, what is refused and how, and that it survives being written. */
#include "model/egress.h"
#include "model_fixture.h"

#include "model/formula.h"

#define TEXT_BYTES (64 << 10)

static char text[TEXT_BYTES];

static const char small[] = "world: small\n"
                            "accounts: [{name: a, provider: aws}]\n"
                            "sites:\n"
                            "  - {name: client/web, tier: client}\n"
                            "  - {name: aws/one, tier: cloud, account: a, tags: {pci: yes-1},\n"
                            "     price: {cpu: 0.03, memory: 0.004}, overhead: 12%}\n";

/* What the whole cost model needs, every field of it stated. */
static const char whole[] =
    "world: whole\n"
    "accounts: [{name: a, provider: aws}]\n"
    "sites:\n"
    "  - {name: client/weak, tier: client, speed: 25%, cpu_weight: 0.0002,\n"
    "     measures: {carbon: 0 g/kWh, watts: {value: 4.5, unit: W/vCPU}, noise: '-3.50'}}\n"
    "  - {name: client/strong, tier: client, speed: 1.5, measures: {carbon: 0 g/kWh, watts: 8 "
    "W/vCPU}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.03, memory: 0.004, storage: "
    "0.08},\n"
    "     measures: {carbon: {value: 440, unit: g/kWh}, watts: 3 W/vCPU}}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {from: client/weak, to: aws/one, rtt: 40ms, per_mib: 90ms}\n"
    "    - {from: aws/one, to: client/weak, rtt: 40ms}\n"
    "    - {between: [client/strong, aws/one], rtt: 40ms, factor: 1ms, per_mib: 8ms}\n"
    "weights: {storage: 2}\n"
    "workload_measures: {licence: 0 USD/replica/h}\n"
    "terms:\n"
    "  - {name: carbon, formula: 'vcpu_hours * site.watts * site.carbon * 0.0001 USD/g',\n"
    "     weight: 150%, source: assumed}\n"
    "  - {name: licence, formula: 'replicas * workload.licence', into: bill}\n"
    "policy:\n"
    "  confidence: 95%\n"
    "  prior_error: 0.5\n"
    "  prior_weight: 2h\n"
    "  moves_per_day: 4\n"
    "  check_after: 30min\n"
    "  quiet_hours: ['22:00-06:30', '12:00-24:00']\n";

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

static void test_whole_cost_model(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    arena_init(&arena, 64 << 20);
    parse(whole, &arena, &world);
    const struct site *weak = &world.sites[0];
    const struct site *aws = &world.sites[2];
    assert_int_equal(weak->speed_ppm, 250000);
    assert_true(weak->has_cpu_weight);
    assert_int_equal(decimal_compare(weak->cpu_weight, (struct decimal){2, 4}), 0);
    assert_int_equal(world.sites[1].speed_ppm, 1500000);
    assert_false(world.sites[1].has_cpu_weight);
    assert_int_equal(aws->speed_ppm, PPM);
    assert_int_equal(decimal_compare(aws->storage_price, (struct decimal){8, 2}), 0);
    assert_int_equal(weak->measures.count, 3);
    assert_string_equal(weak->measures.list[1].name, "watts");
    assert_string_equal(weak->measures.list[1].unit, "W/vCPU");
    assert_int_equal(decimal_compare(weak->measures.list[1].value, (struct decimal){45, 1}), 0);
    assert_string_equal(weak->measures.list[2].unit, "1");
    assert_true(decimal_is_negative(weak->measures.list[2].value));
    assert_int_equal(world.us_per_mib[2], 90000);
    assert_int_equal(world.us_per_mib[6], 0);
    assert_int_equal(world.us_per_mib[5], 8000);
    assert_int_equal(world.us_per_mib[7], 8000);
    assert_int_equal(world.weights.storage_ppm, 2 * PPM);
    assert_int_equal(world.weights.egress_ppm, PPM);
    assert_int_equal(world.term_count, 2);
    assert_false(world.terms[0].billed);
    assert_int_equal(world.terms[0].weight_ppm, 1500000);
    assert_string_equal(world.terms[0].source, "assumed");
    assert_true(world.terms[1].billed);
    assert_int_equal(world.terms[1].weight_ppm, PPM);
    assert_int_equal(world.policy.confidence_ppm, 950000);
    assert_int_equal(world.policy.prior_error_ppm, 500000);
    assert_true(world.policy.prior_weight_us == INT64_C(7200000000));
    assert_int_equal(world.policy.moves_per_day, 4);
    assert_true(world.policy.check_after_us == INT64_C(1800000000));
    assert_int_equal(world.policy.quiet_count, 2);
    assert_int_equal(world.policy.quiet[0].from_min, 22 * 60);
    assert_int_equal(world.policy.quiet[0].to_min, 6 * 60 + 30);
    assert_int_equal(world.policy.quiet[1].to_min, 0); /* to the end of the day */
    parse(small, &arena, &world);
    assert_int_equal(world.weights.storage_ppm, PPM);
    assert_int_equal(world.policy.confidence_ppm, 900000);
    assert_int_equal(world.policy.moves_per_day, 0);
    assert_int_equal(world.policy.quiet_count, 0);
    arena_done(&arena);
}

/* What formulas may name, and what the names mean. */
static void test_names_of_formulas(void **state)
{
    (void)state;
    struct arena arena;
    struct world world;
    struct formula_name *names = NULL;
    int count = 0;
    struct measure own = {.name = "licence", .value = {5, 0}, .unit = "USD/replica/h"};
    struct workload stating = {.measures = {&own, 1}};
    struct workload silent = {.hit_ppm = -1};
    arena_init(&arena, 64 << 20);
    parse(whole, &arena, &world);
    assert_int_equal(world_formula_names(&world, &arena, &names, &count), 0);
    assert_int_equal(count, BUILTIN_COUNT + 4);
    assert_string_equal(names[BUILTIN_CALLS].name, formula_builtins[BUILTIN_CALLS].name);
    assert_string_equal(names[BUILTIN_COUNT].name, "site.carbon");
    assert_string_equal(names[BUILTIN_COUNT].unit, "g/kWh");
    assert_string_equal(names[BUILTIN_COUNT + 3].name, "workload.licence");
    const struct site *aws = &world.sites[2];
    assert_int_equal(world_measure(&world, aws, &silent, "site.carbon")->value.coefficient, 440);
    assert_int_equal(world_measure(&world, aws, &silent, "workload.licence")->value.coefficient, 0);
    assert_ptr_equal(world_measure(&world, aws, &stating, "workload.licence"), &own);
    assert_null(world_measure(&world, aws, &stating, "calls"));
    assert_null(world_measure(&world, aws, &stating, "site.noise"));
    arena_done(&arena);
}

static void check_text_round_trip(const char *document);

static void test_whole_round_trip(void **state)
{
    (void)state;
    check_text_round_trip(whole);
    check_text_round_trip(small);
}

static void check_round_trip(const char *path)
{
    read_text(path, text, sizeof(text));
    check_text_round_trip(text);
}

static void check_text_round_trip(const char *document)
{
    struct arena arena;
    struct world first;
    struct world second;
    struct strbuf one;
    struct strbuf two;
    arena_init(&arena, 64 << 20);
    strbuf_init(&one, 1 << 20);
    strbuf_init(&two, 1 << 20);
    parse(document, &arena, &first);
    world_write(&first, &one);
    assert_int_equal(strbuf_error(&one, NULL), 0);
    parse(strbuf_text(&one), &arena, &second);
    world_write(&second, &two);
    assert_int_equal(strbuf_error(&two, NULL), 0);
    assert_string_equal(strbuf_text(&one), strbuf_text(&two));
    assert_true(world_hash(&first) == world_hash(&second));
    assert_memory_equal(first.rtt_us, second.rtt_us,
                        (size_t)(first.site_count * first.site_count) * sizeof(int64_t));
    assert_memory_equal(first.us_per_mib, second.us_per_mib,
                        (size_t)(first.site_count * first.site_count) * sizeof(int64_t));
    second.policy.prior_weight_us++;
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
    struct egress_match match =
        egress_between(world, world_site(world, from), world_site(world, to));
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
    struct egress_match match = egress_between(&world, 0, 1);
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

#define SITES "sites: [{name: a/b, tier: client}, {name: a/c, tier: client}]\n"

static void test_refused_measures_and_terms(void **state)
{
    (void)state;
    REFUSE("world: w\nsites: [{name: a/b, tier: client, speed: 0}]\n", "speed is above 0");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, cpu_weight: -1}]\n", "below 0");
    REFUSE("world: w\naccounts: [{name: m, provider: a}]\nsites: [{name: a/b, tier: edge,\n"
           " account: m, price: {cpu: 1, memory: 1}, cpu_weight: 1}]\n",
           "only a site of tier client");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, measures: {c: 1 g}},\n"
           " {name: a/c, tier: client, measures: {c: 1 kg}}]\n",
           "in g at a/b and in kg at a/c", "one unit");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, measures: {c: 1 g//h}}]\n", "g//h");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, measures: {c-d: 1 g}}]\n", "c-d",
           "name of a measure");
    REFUSE("world: w\nsites: [{name: a/b, tier: client, measures: {c: 1 g}},\n"
           " {name: a/c, tier: client}]\n"
           "terms: [{name: t, formula: 'calls * site.c * 1 USD/g/call'}]\n",
           "site.c", "site a/c does not state", "not 0");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 'calls * site.zz'}]\n", "site.zz", "a/b");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 'calls * workload.fee'}]\n",
           "workload.fee", "workload_measures");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 'calls * 1 USD'}]\n", "terms[0].formula",
           "USD");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 'cals * 1 USD/call'}]\n", "cals");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: '1 USD +'}]\n", "column");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 1 USD}, {name: t, formula: 1 USD}]\n",
           "term \"t\" is declared twice");
    REFUSE("world: w\n" SITES "terms: [{name: t}]\n", "formula");
    REFUSE("world: w\n" SITES "terms: [{name: t, formula: 1 USD, into: bin}]\n", "bin", "bill");
}

static void test_refused_policies(void **state)
{
    (void)state;
    REFUSE("world: w\n" SITES "policy: {confidence: 100%}\n", "from 50% to below 100%");
    REFUSE("world: w\n" SITES "policy: {confidence: 49%}\n", "from 50% to below 100%");
    REFUSE("world: w\n" SITES "policy: {moves_per_day: -1}\n", "moves_per_day", "-1");
    REFUSE("world: w\n" SITES "policy: {check_after: soon}\n", "soon");
    REFUSE("world: w\n" SITES "policy: {prior_weight: 1}\n", "prior_weight");
    static const char *const wrong[] = {"22-06",       "22:00-6:00",  "25:00-06:00", "22:60-06:00",
                                        "24:00-06:00", "22:00 06:00", "22:00-24:01", "aa:bb-cc:dd"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char document[256];
        str_format(document, sizeof(document), "world: w\n" SITES "policy: {quiet_hours: ['%s']}\n",
                   wrong[i]);
        REFUSE(document, wrong[i], "22:00-06:00");
    }
    REFUSE("world: w\n" SITES "policy: {quiet_hours: ['00:00-24:00']}\n", "moves: off");
    REFUSE("world: w\n" SITES "policy: {quiet_hours: 22:00-06:00}\n", "quiet_hours");
    REFUSE("world: w\n" SITES "weights: {storage: -1}\n", "storage");
    REFUSE("world: w\n" SITES "latency: {pairs: [{between: [a/b, a/c], rtt: 1ms, per_mib: 2}]}\n",
           "per_mib");
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
        int rc = world_parse("w.yaml", whole, strlen(whole), &arena, &world, &err);
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
        cmocka_unit_test(test_whole_cost_model),
        cmocka_unit_test(test_names_of_formulas),
        cmocka_unit_test(test_whole_round_trip),
        cmocka_unit_test(test_examples_round_trip),
        cmocka_unit_test(test_most_exact_egress_rule),
        cmocka_unit_test(test_both_sides_and_ties),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_measures_and_terms),
        cmocka_unit_test(test_refused_policies),
        cmocka_unit_test(test_all_problems_and_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
