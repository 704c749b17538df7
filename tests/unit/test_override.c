/* Overrides: what they say, what they change and what they leave, and how they are refused. */
#include "model_fixture.h"

#include "model/override.h"

static const char world[] =
    "world: screws\n"
    "accounts: [{name: a, provider: aws}, {name: g, provider: gcp}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01},\n"
    "     capacity: {cpu: 8, memory: 16GiB}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005,\n"
    "     storage: 0.02}}\n"
    "  - {name: gcp/one, tier: cloud, account: g, price: {cpu: 0.03, memory: 0.004}}\n"
    "egress:\n"
    "  - {name: aws-out, from: 'aws/*', to: '*', per: GiB,\n"
    "     tiers: [{up_to: 10GiB, price: 0.09}, {price: 0.045}]}\n"
    "  - {name: gcp-out, from: 'gcp/*', to: '*', per: GiB, tiers: [{price: 0.12}]}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"
    "    - {between: [client/web, gcp/one], rtt: 60ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n"
    "    - {between: [edge/one, gcp/one], rtt: 45ms}\n"
    "    - {between: [aws/one, gcp/one], rtt: 30ms}\n";

static const char app[] =
    "app: shop\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - {name: front, run: {driver: process, artifact: 'file:/x', cpu_per_call: 2ms},\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 80%}}\n"
    "  - {name: source, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}, require: {cloud: gcp}}\n"
    "links:\n"
    "  - {from: web, to: front, calls: 10/s, request: 1KB, response: 20KB}\n"
    "  - {from: front, to: source, calls: 10/s, request: 1KB, response: 20KB, on_miss: true}\n";

enum { WEB, EDGE, AWS, GCP };
enum { FRONT, SOURCE };

static struct fixture fixture;

static int begin(void **state)
{
    (void)state;
    fixture_begin(&fixture, world, app);
    fixture.states[FRONT].now = (struct placement){.site = EDGE};
    fixture.states[SOURCE].now = (struct placement){.site = GCP, .lead = SOURCE};
    return 0;
}

static int end(void **state)
{
    (void)state;
    fixture_end(&fixture);
    return 0;
}

static struct cost_input with(const char *text)
{
    struct override override;
    struct cost_input input = {0};
    if (override_parse(text, &override, &fixture.err) < 0 ||
        override_apply(&override, 1, &fixture.input, &fixture.arena, &input, &fixture.err) < 0) {
        fail_msg("%s: %s", text, fixture.err.text);
    }
    return input;
}

/* Refused, with a sentence that says that. */
static void refused(const char *text, const char *why)
{
    struct override override;
    struct cost_input input;
    struct error err = {0};
    int rc = override_parse(text, &override, &err);
    if (rc == 0) {
        rc = override_apply(&override, 1, &fixture.input, &fixture.arena, &input, &err);
    }
    if (rc == 0) {
        fail_msg("%s was taken", text);
    }
    if (strstr(err.text, why) == NULL) {
        fail_msg("%s: \"%s\" does not say \"%s\"", text, err.text, why);
    }
}

static void is_price(struct decimal price, const char *text)
{
    char out[DECIMAL_TEXT_BYTES];
    assert_string_equal(decimal_format(price, out), text);
}

static void test_prices(void **state)
{
    (void)state;
    struct cost_input input = with("price.egress.aws*=x2");
    is_price(input.world->egress[0].tiers[0].price, "0.18");
    is_price(input.world->egress[0].tiers[1].price, "0.09");
    is_price(input.world->egress[1].tiers[0].price, "0.12");
    is_price(fixture.world.egress[0].tiers[0].price, "0.09");
    input = with("price.egress.aws/*=0.03");
    is_price(input.world->egress[0].tiers[0].price, "0.03");
    is_price(input.world->egress[0].tiers[1].price, "0.015");
    /* A rule is meant by where its bytes come from, too, whatever it is called. */
    str_format(fixture.world.egress[1].name, LIMIT_NAME_BYTES, "transit");
    input = with("price.egress.gcp*=x2");
    is_price(input.world->egress[1].tiers[0].price, "0.24");
    is_price(input.world->egress[0].tiers[0].price, "0.09");
    str_format(fixture.world.egress[1].name, LIMIT_NAME_BYTES, "gcp-out");
    /* An allowance is no price: it stays, and the first step that costs something is what is set.
     */
    fixture.world.egress[0].tiers[0].price = (struct decimal){0, 0};
    input = with("price.egress.aws-out=0.03");
    is_price(input.world->egress[0].tiers[0].price, "0");
    is_price(input.world->egress[0].tiers[1].price, "0.03");
    struct override_present present;
    assert_int_equal(
        override_present("price.egress.aws-out", &fixture.input, &present, &fixture.err), 0);
    is_price(present.value, "0.045");
    fixture.world.egress[0].tiers[0].price = (struct decimal){9, 2};
    input = with("price.compute=+10%");
    is_price(input.world->sites[AWS].cpu_price, "0.044");
    is_price(input.world->sites[GCP].memory_price, "0.0044");
    is_price(input.world->sites[AWS].storage_price, "0.02");
    input = with("price.*=-12.5%");
    is_price(input.world->sites[AWS].storage_price, "0.0175");
    is_price(input.world->egress[1].tiers[0].price, "0.105");
    input = with("price.storage.gcp/*=0.5");
    is_price(input.world->sites[GCP].storage_price, "0.5");
    refused("price.egress.asw-out=x2", "aws-out");
    refused("price.egres=x2", "price.egress");
    refused("price.compute.aws/one=0.2", "proportion");
    refused("price.cpu.aws/one=-0.1", "never below");
    refused("price.cpu.client/web=1", "no site with a price");
}

static void test_factors_are_exact(void **state)
{
    (void)state;
    is_price(with("price.cpu.aws/one=x0.333333333333").world->sites[AWS].cpu_price,
             "0.01333333333332");
    /* 18 digits: rounded half to even, once */
    is_price(with("price.cpu.aws/one=x0.12345678901234567").world->sites[AWS].cpu_price,
             "0.004938271560493827");
    refused("price.cpu=-101%", "no more than 100");
    refused("price.cpu=x-2", "write x2");
    refused("price.cpu=x", "not a number");
    refused("price.cpu=", "missing");
    refused("price.cpu", "PATH=VALUE");
}

static void test_latency_and_sites(void **state)
{
    (void)state;
    struct cost_input input = with("latency.client/web:*=x3");
    int sites = input.world->site_count;
    assert_int_equal(input.world->rtt_us[WEB * sites + AWS], 150000);
    assert_int_equal(input.world->rtt_us[AWS * sites + WEB], 150000);
    assert_int_equal(input.world->rtt_us[EDGE * sites + AWS], 40000);
    input = with("latency.aws/one:gcp/one=80ms");
    assert_int_equal(input.world->rtt_us[GCP * sites + AWS], 80000);
    input = with("capacity.cpu.edge/*=x0.5");
    assert_int_equal(input.world->sites[EDGE].capacity[RESOURCE_CPU], 4000);
    input = with("capacity.memory.aws/one=2GiB");
    assert_int_equal(input.world->sites[AWS].capacity[RESOURCE_MEMORY], INT64_C(2) << 30);
    input = with("speed.edge/one=0.5");
    assert_int_equal(input.world->sites[EDGE].speed_ppm, 500000);
    refused("capacity.cpu.aws/one=x2", "declares no capacity");
    refused("latency.client/web:aws/onee=1ms", "aws/one");
    refused("latency.client/web=1ms", "between two sites");
}

static void test_measures_change_with_their_estimates(void **state)
{
    (void)state;
    struct estimate list[] = {
        {.kind = ESTIMATE_CALLS_MHZ,
         .namespace_ = "default",
         .app = "shop",
         .workload = "front",
         .value = 20000},
        {.kind = ESTIMATE_HIT_PPM,
         .namespace_ = "default",
         .app = "shop",
         .workload = "front",
         .site = "edge/one",
         .value = 900000},
        {.kind = ESTIMATE_CALLS_MHZ,
         .namespace_ = "other",
         .app = "shop",
         .workload = "front",
         .value = 7000},
    };
    fixture.input.estimates = (struct estimates){list, 3};
    struct cost_input input = with("calls.shop/front=x3");
    assert_int_equal(input.estimates.list[0].value, 60000);
    assert_int_equal(input.estimates.list[2].value, 7000);
    assert_int_equal(list[0].value, 20000);
    /* Its links and those that its misses travel, in proportion. */
    assert_int_equal(input.apps[0].app->links[0].calls_mhz, 30000);
    assert_int_equal(input.apps[0].app->links[1].calls_mhz, 30000);
    assert_int_equal(fixture.app.links[0].calls_mhz, 10000);
    input = with("calls.front=40/s"); /* of 20/s as measured */
    assert_int_equal(input.estimates.list[0].value, 40000);
    assert_int_equal(input.apps[0].app->links[0].calls_mhz, 20000);
    input = with("cache.hit=0.6");
    assert_int_equal(input.estimates.list[1].value, 600000);
    assert_int_equal(input.apps[0].app->workloads[FRONT].hit_ppm, 600000);
    assert_int_equal(input.apps[0].app->workloads[SOURCE].hit_ppm, -1);
    input = with("cache.hit=x2");
    assert_int_equal(input.estimates.list[1].value, PPM);
    input = with("bytes.response.front=50KB");
    assert_int_equal(input.apps[0].app->links[0].response_bytes, 50000);
    input = with("cpu.front=+50%");
    assert_int_equal(input.apps[0].app->workloads[FRONT].variants[0].cpu_ns_per_call, 3000000);
    input = with("replicas.shop/source=3");
    assert_int_equal(input.apps[0].app->workloads[SOURCE].replicas, 3);
    refused("cache.hit.source=0.5", "has a cache");
    refused("cache.hit=1.5", "from 0 to 1");
    refused("calls.shop/frnt=x2", "front");
    refused("calls.front=10", "rate");
    refused("data.size=x2", "data set");
    refused("cpu.source=x2", "to change");
}

static const char split_app[] =
    "app: shop\n"
    "users: [{name: web, site: client/web}, {name: phone, site: client/web}]\n"
    "workloads:\n"
    "  - {name: front, split: true, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}}\n"
    "links:\n"
    "  - {from: web, to: front, calls: 30/s, request: 1KB, response: 20KB}\n"
    "  - {from: phone, to: front, calls: 10/s, request: 1KB, response: 20KB}\n";

/* The calls of a split workload are its parts' together; one part's are its own. */
static void test_parts_share_what_is_set(void **state)
{
    (void)state;
    fixture_end(&fixture);
    fixture_begin(&fixture, world, split_app);
    struct cost_input input = with("calls.shop/front=80/s");
    const struct link *links = input.apps[0].app->links;
    assert_int_equal(links[0].calls_mhz, 60000);
    assert_int_equal(links[1].calls_mhz, 20000);
    links = with("calls=x2").apps[0].app->links;
    assert_int_equal(links[0].calls_mhz, 60000);
    assert_int_equal(links[1].calls_mhz, 20000);
    links = with("calls.shop/front--phone=80/s").apps[0].app->links;
    assert_int_equal(links[0].calls_mhz, 30000);
    assert_int_equal(links[1].calls_mhz, 80000);
    fixture.app.links[0].calls_mhz = fixture.app.links[1].calls_mhz = 0;
    links = with("calls.front=80/s").apps[0].app->links;
    assert_int_equal(links[0].calls_mhz, 40000);
    assert_int_equal(links[1].calls_mhz, 40000);
}

static void test_weights_and_policy(void **state)
{
    (void)state;
    is_price(with("weights.latency=0.5").world->weights.latency_usd_per_second, "0.5");
    assert_int_equal(with("weights.egress=x2").world->weights.egress_ppm, 2 * PPM);
    struct cost_input input = with("weights.egress.shop=3");
    assert_int_equal(input.world->weights.egress_ppm, PPM);
    assert_int_equal(app_weights(input.apps[0].app, input.world).egress_ppm, 3 * PPM);
    assert_int_equal(with("policy.horizon=30m").world->policy.horizon_us, INT64_C(1800000000));
    assert_int_equal(with("policy.moves=7").world->policy.moves_max, 7);
    assert_true(with("policy.saving_min.per_month=x2").world->policy.saving_min == NUSD_PER_USD);
    refused("policy.horzon=1h", "policy.horizon");
    /* As in a document. */
    refused("policy.horizon=0s", "longer than nothing");
    refused("policy.hit_floor=0", "above 0%");
    refused("policy.hit_floor=5", "at most 100%");
    refused("policy.confidence=x2", "below 100%");
    refused("policy.confidence=0.4", "from 50%");
    refused("policy.moves=0", "from 1 on");
    refused("policy.moves_per_day=100001", "from 0");
    refused("weights.egres=1", "egress");
    refused("weights.egress.shp=1", "shop");
}

/* Whether the part may be at the site, by the rules. */
static bool may_be(const struct cost_input *input, int part, int site)
{
    struct problem problem;
    if (cost_problem(input, &fixture.arena, &problem, &fixture.err) < 0) {
        fail_msg("%s", fixture.err.text);
    }
    bool may = false;
    for (int i = 0; i < problem.parts[part].choice_count; i++) {
        bool allowed = problem.parts[part].choices[i].site == site;
        for (int r = 0; r < problem.rule_count; r++) {
            const struct problem_rule *rule = &problem.rules[r];
            allowed =
                allowed && (rule->kind != RULE_CHOICES || rule->a != part || rule->allowed[i]);
        }
        may = may || allowed;
    }
    return may;
}

static void test_sites_come_and_go(void **state)
{
    (void)state;
    struct cost_input input = with("remove.provider=aws");
    assert_false(may_be(&input, FRONT, AWS));
    assert_true(may_be(&input, FRONT, GCP));
    input = with("remove.site=edge/*");
    assert_false(may_be(&input, FRONT, EDGE));
    input = with("add.site={name: aws/two, tier: cloud, price: {cpu: 0.01, memory: 0.001}}");
    assert_int_equal(input.world->site_count, 5);
    assert_string_equal(input.world->sites[4].name, "aws/two");
    assert_string_equal(input.world->accounts[input.world->sites[4].account].name, "a");
    /* What is there keeps its place, its figures and its paths. */
    assert_string_equal(input.world->sites[GCP].name, "gcp/one");
    assert_int_equal(input.world->rtt_us[WEB * 5 + AWS], 50000);
    input = with("add.site={name: azure/northeurope, like: azure/northeurope, account: e}");
    assert_string_equal(input.world->sites[4].region, "northeurope");
    refused("remove.provider=asw", "aws");
    refused("remove.provider=client", "users of app default/shop");
    refused("add.site={name: aws/one, tier: cloud, price: {cpu: 1, memory: 1}}", "aws/one");
    refused("add.site=nonsense", "entry of a world");
    refused("add.site={name: aws/three}", "tier");
}

static void test_tags_and_moves(void **state)
{
    (void)state;
    struct cost_input input = with("retag.shop/source=cloud:aws");
    assert_false(may_be(&input, SOURCE, GCP));
    assert_true(may_be(&input, SOURCE, AWS));
    input = with("move.shop=gcp:aws");
    assert_true(may_be(&input, SOURCE, AWS));
    assert_false(may_be(&input, SOURCE, GCP));
    assert_true(may_be(&input, FRONT, EDGE)); /* was not at gcp */
    input = with("move.source=*:aws/one");
    assert_true(may_be(&input, SOURCE, AWS));
    refused("move.front=aws:gcp", "is at aws");
    refused("move.front=edge:gpc", "gcp");
    refused("move.front=gcp", "FROM:TO");
    refused("retag.shop/sorce=cloud:aws", "source");
}

static void test_objectives(void **state)
{
    (void)state;
    struct cost_input input = with("slo=p95<40ms");
    assert_int_equal(input.apps[0].app->links[0].latency_max_us, 40000);
    assert_int_equal(input.apps[0].app->links[1].latency_max_us, 0);
    assert_false(may_be(&input, FRONT, AWS));
    assert_true(may_be(&input, FRONT, EDGE));
    refused("slo.source=p95<40ms", "called by users");
    refused("slo=p<40ms", "pNN<TIME");
    refused("slo=p95<0s", "no time");
}

/* Several: in their order, each on what the one before left. */
static void test_order(void **state)
{
    (void)state;
    struct override list[2];
    struct cost_input input;
    assert_int_equal(override_parse("price.cpu.aws/one=1", &list[0], &fixture.err), 0);
    assert_int_equal(override_parse("price.cpu=x2", &list[1], &fixture.err), 0);
    assert_int_equal(override_apply(list, 2, &fixture.input, &fixture.arena, &input, &fixture.err),
                     0);
    is_price(input.world->sites[AWS].cpu_price, "2");
    is_price(input.world->sites[GCP].cpu_price, "0.06");
}

static void test_present(void **state)
{
    (void)state;
    struct override_present present;
    assert_int_equal(override_present("price.egress.aws*", &fixture.input, &present, &fixture.err),
                     0);
    is_price(present.value, "0.09");
    assert_string_equal(present.unit, "USD per GiB");
    assert_string_equal(present.name, "aws-out");
    assert_int_equal(override_present("calls.front", &fixture.input, &present, &fixture.err), 0);
    is_price(present.value, "10");
    assert_int_equal(override_present("cache.hit", &fixture.input, &present, &fixture.err), 0);
    is_price(present.value, "0.8");
    assert_int_equal(override_present("calls.none", &fixture.input, &present, &fixture.err),
                     ERR_NOT_FOUND);
    assert_int_equal(override_present("remove.site", &fixture.input, &present, &fixture.err),
                     ERR_UNSUPPORTED);
}

static void test_globs(void **state)
{
    (void)state;
    assert_true(override_matches("*", ""));
    assert_true(override_matches("aws*", "aws-internet"));
    assert_true(override_matches("gcp/us-*", "gcp/us-central1"));
    assert_true(override_matches("*a*b", "xaxxab"));
    assert_true(override_matches("a?c", "abc"));
    assert_false(override_matches("a?c", "ac"));
    assert_false(override_matches("aws", "aws-internet"));
    assert_false(override_matches("*a*b", "xaxxabc"));
}

static void test_other_inputs(void **state)
{
    (void)state;
    refused("cache=0.5", "cache.hit");
    refused("prise.cpu=x2", "price");
    refused("nothing.at.all=1", "no such input");
    refused("remove.site.aws=aws", "nothing stands there");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_prices, begin, end),
        cmocka_unit_test_setup_teardown(test_factors_are_exact, begin, end),
        cmocka_unit_test_setup_teardown(test_latency_and_sites, begin, end),
        cmocka_unit_test_setup_teardown(test_measures_change_with_their_estimates, begin, end),
        cmocka_unit_test_setup_teardown(test_parts_share_what_is_set, begin, end),
        cmocka_unit_test_setup_teardown(test_weights_and_policy, begin, end),
        cmocka_unit_test_setup_teardown(test_sites_come_and_go, begin, end),
        cmocka_unit_test_setup_teardown(test_tags_and_moves, begin, end),
        cmocka_unit_test_setup_teardown(test_objectives, begin, end),
        cmocka_unit_test_setup_teardown(test_order, begin, end),
        cmocka_unit_test_setup_teardown(test_present, begin, end),
        cmocka_unit_test_setup_teardown(test_globs, begin, end),
        cmocka_unit_test_setup_teardown(test_other_inputs, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
