/* Flip points against figures worked out by hand, in worlds of an edge and a cloud. */
#include "model_fixture.h"

#include "model/cost_flip.h"

/* A vCPU for 730 h: $73 at the edge, $29.20 in the cloud, which is 40 ms farther: for a call/s, at
 * $0.0001 per second of waiting, $10.512 a month. The edge pays above 43.8 / 10.512 calls/s. */
#define WORLD(weights, egress)                                                      \
    "world: flip\n"                                                                 \
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"             \
    "sites:\n"                                                                      \
    "  - {name: client/web, tier: client}\n"                                        \
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0}}\n"  \
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0}}\n" \
    "latency:\n"                                                                    \
    "  pairs:\n"                                                                    \
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"                          \
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"                           \
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n"                             \
    "weights: {latency: " weights ", device_cpu: 0, migration: 0}\n"                \
    "policy: {saving_min: {ratio: 0, per_month: 0}}\n" egress

#define EGRESS \
    "egress: [{name: internet, from: 'aws/*', to: '*', per: GiB, tiers: [{price: 0.09}]}]\n"

#define APP(calls, bytes, more)                                              \
    "app: shop\n"                                                            \
    "users: [{name: web, site: client/web}]\n"                               \
    "workloads: [{name: w, run: {driver: process, artifact: 'file:/x'},\n"   \
    "   tiers: [edge, cloud], resources: {cpu: 1, memory: 1GiB}" more "}]\n" \
    "links: [{from: web, to: w, calls: " calls "/s, request: 0B, response: " bytes "}]\n"

enum { WEB, EDGE, CLOUD };

struct flips {
    struct cost_flip *list;
    int count;
};

static struct flips flips_of(struct fixture *fixture, int site)
{
    struct flips flips = {NULL, -1};
    struct placement at[] = {{.site = site}};
    if (cost_flips(&fixture->input, at, 0, &fixture->arena, &flips.list, &flips.count,
                   &fixture->err) < 0) {
        fail_msg("%s", fixture->err.text);
    }
    for (int i = 1; i < flips.count; i++) {
        assert_true(flips.list[i - 1].change_ppm <= flips.list[i].change_ppm);
    }
    return flips;
}

static double plain(struct decimal value)
{
    double result = (double)value.coefficient;
    for (int i = 0; i < value.scale; i++) {
        result /= 10;
    }
    return result;
}

/* The flip of that input and direction; NULL when there is none. */
static const struct cost_flip *find(struct flips flips, const char *input, bool above)
{
    for (int i = 0; i < flips.count; i++) {
        if (strstr(flips.list[i].input, input) != NULL && flips.list[i].above == above) {
            return &flips.list[i];
        }
    }
    return NULL;
}

/* It flips there, to within the 0.1 % of bisection and rounding, and never before. */
static void expect(struct flips flips, const char *input, bool above, double at, int to)
{
    const struct cost_flip *flip = find(flips, input, above);
    if (flip == NULL) {
        for (int i = 0; i < flips.count; i++) {
            print_message("%s\n", flips.list[i].text);
        }
        fail_msg("%s does not flip", input);
        return;
    }
    double got = plain(flip->at);
    double low = above ? at * 0.9999 : at * 0.998;
    double high = above ? at * 1.002 : at * 1.0001;
    if (got < low || got > high) {
        fail_msg("%s flips at %.9f instead of %.9f", input, got, at);
    }
    double change = (above ? got - plain(flip->present) : plain(flip->present) - got) /
                    plain(flip->present) * 1e6;
    assert_true((double)flip->change_ppm <= change + 2 && (double)flip->change_ppm >= change - 2);
    assert_int_equal(flip->to.site, to);
    assert_non_null(strstr(flip->text, above ? " above " : " below "));
}

static void test_from_the_edge(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("10", "0B", ""));
    struct flips flips = flips_of(&fixture, EDGE);
    expect(flips, "calls of default/shop/w at edge/one", false, 43.8 / 10.512, CLOUD);
    expect(flips, "vCPU-hour at edge/one", true, 0.1 + 61.32 / 730, CLOUD);
    expect(flips, "round trip between client/web and edge/one", true, 10 + 61.32 / 2.628, CLOUD);
    expect(flips, "round trip between client/web and aws/one", false, 50 - 61.32 / 2.628, CLOUD);
    expect(flips, "weight of a second's waiting", false, 0.0001 * 43.8 / 105.12, CLOUD);
    /* The cloud's CPU would have to cost less than nothing; the rest is 0 or does not occur. */
    assert_int_equal(flips.count, 5);
    const struct cost_flip *flip = find(flips, "vCPU-hour at edge/one", true);
    assert_string_equal(flip->unit, "USD per vCPU-hour");
    assert_string_equal(flip->text,
                        "vCPU-hour at edge/one above $0.1841 (now $0.1) moves it to aws/one");
    fixture_end(&fixture);
}

static void test_from_the_cloud(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("1", "0B", ""));
    struct flips flips = flips_of(&fixture, CLOUD);
    expect(flips, "calls of default/shop/w at aws/one", true, 43.8 / 10.512, EDGE);
    expect(flips, "vCPU-hour at aws/one", true, 0.04 + (43.8 - 10.512) / 730, EDGE);
    expect(flips, "vCPU-hour at edge/one", false, 0.1 - (43.8 - 10.512) / 730, EDGE);
    expect(flips, "round trip between client/web and aws/one", true, 50 + 33.288 / 0.2628, EDGE);
    expect(flips, "weight of a second's waiting", true, 0.0001 * 43.8 / 10.512, EDGE);
    assert_int_equal(flips.count, 5);
    assert_string_equal(find(flips, "calls", true)->unit, "calls/s");
    assert_string_equal(find(flips, "calls", true)->text,
                        "calls above 4.167/s (now 1/s) moves it to edge/one");
    fixture_end(&fixture);
}

/* The edge's score is its bill over the hit ratio: $73 / h + $26.28 against $160.60. */
static void test_hit_ratio(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("10", "0B", ", cache: {hit_ratio: 90%}"));
    struct flips flips = flips_of(&fixture, EDGE);
    expect(flips, "hit ratio of default/shop/w at edge/one", false, 73 / 134.32, CLOUD);
    assert_null(find(flips, "hit ratio", true));
    assert_string_equal(find(flips, "hit ratio", false)->unit, "ratio");
    /* Measured, it is the estimate that turns: now from the other side. */
    struct estimate hit = {.kind = ESTIMATE_HIT_PPM, .value = 300000};
    str_format(hit.namespace_, sizeof(hit.namespace_), "default");
    str_format(hit.app, sizeof(hit.app), "shop");
    str_format(hit.workload, sizeof(hit.workload), "w");
    str_format(hit.site, sizeof(hit.site), "edge/one");
    fixture.input.estimates = (struct estimates){&hit, 1};
    flips = flips_of(&fixture, CLOUD);
    expect(flips, "hit ratio of default/shop/w", true, 73 / 134.32, EDGE);
    assert_int_equal(hit.value, 300000);
    /* From nothing at all there is no relative change. */
    hit.value = 0;
    flips = flips_of(&fixture, CLOUD);
    const struct cost_flip *flip = find(flips, "hit ratio", true);
    assert_non_null(flip);
    assert_true(flip->change_ppm == INT64_MAX && flip == &flips.list[flips.count - 1]);
    fixture_end(&fixture);
}

/* 10 KB for each of 262,800,000 calls is 2,447.5 GiB from the cloud, $220.28; $43.80 are earned
 * there.
 */
static void test_egress(void **state)
{
    (void)state;
    struct fixture fixture;
    double share = 43.8 / (2628000.0 * 1e6 / (double)(1 << 30) * 0.09);
    fixture_begin(&fixture, WORLD("0", EGRESS), APP("100", "10000B", ""));
    struct flips flips = flips_of(&fixture, EDGE);
    expect(flips, "egress price internet", false, 0.09 * share, CLOUD);
    expect(flips, "response size from w", false, 1e4 * share, CLOUD);
    expect(flips, "calls of", false, 100 * share, CLOUD);
    expect(flips, "vCPU-hour at edge/one", true, 0.04 + 0.06 / share, CLOUD);
    assert_int_equal(flips.count, 4);
    assert_string_equal(find(flips, "egress", false)->unit, "USD per GiB");
    /* With a price so low the cloud has it, and the same point is reached from below. */
    fixture.world.egress[0].tiers[0].price = (struct decimal){1, 2};
    flips = flips_of(&fixture, CLOUD);
    expect(flips, "egress price internet", true, 0.09 * share, EDGE);
    assert_int_equal(fixture.world.egress[0].tiers[0].price.coefficient, 1);
    fixture_end(&fixture);
}

/* What it takes to move a running workload counts: here $10 a month have to be saved. */
static void test_preference_to_stay(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("10", "0B", ""));
    fixture.states[0].now = (struct placement){.site = EDGE};
    fixture.states[0].may_move = false; /* it rests: that is no reason not to ask */
    fixture.world.policy.saving_min = 10 * NUSD_PER_USD;
    expect(flips_of(&fixture, EDGE), "calls of", false, 33.8 / 10.512, CLOUD);
    fixture_end(&fixture);
}

/* The big one takes a vCPU more, $73, and sends nothing; the small one sends 2,447.5 GiB. */
static void test_variants(void **state)
{
    (void)state;
    static const char app[] =
        "app: shop\n"
        "users: [{name: web, site: client/web}]\n"
        "workloads:\n"
        "  - name: w\n"
        "    pin: edge/one\n"
        "    resources: {cpu: 1, memory: 1GiB}\n"
        "    variants:\n"
        "      - {name: small, driver: process, artifact: 'file:/x'}\n"
        "      - {name: big, driver: process, artifact: 'file:/y', cpu: 2,\n"
        "         response: 0B}\n"
        "links: [{from: web, to: w, calls: 100/s, request: 0B, response: 10000B}]\n";
    struct fixture fixture;
    struct flips flips = {NULL, -1};
    struct placement at[] = {{.site = EDGE, .variant = 1}};
    double share = 73 / (2628000.0 * 1e6 / (double)(1 << 30) * 0.09);
    fixture_begin(&fixture,
                  WORLD("0", "egress: [{name: out, from: 'edge/*', to: '*', per: GiB, "
                             "tiers: [{price: 0.09}]}]\n"),
                  app);
    if (cost_flips(&fixture.input, at, 0, &fixture.arena, &flips.list, &flips.count, &fixture.err) <
        0) {
        fail_msg("%s", fixture.err.text);
    }
    expect(flips, "egress price out", false, 0.09 * share, EDGE);
    expect(flips, "calls of", false, 100 * share, EDGE);
    expect(flips, "vCPU-hour at edge/one", true, 0.1 / share, EDGE);
    assert_int_equal(find(flips, "calls of", false)->to.variant, 0);
    assert_non_null(strstr(find(flips, "calls of", false)->text, "moves it to edge/one as small"));
    fixture_end(&fixture);
}

static void test_nothing_to_choose(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("10", "0B", ", pin: edge/one"));
    assert_int_equal(flips_of(&fixture, EDGE).count, 0);
    fixture_end(&fixture);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_flip *list = NULL;
    int count = -1;
    struct placement nowhere[] = {{.site = -1}};
    struct placement edge[] = {{.site = EDGE}};
    fixture_begin(&fixture, WORLD("0.0001", ""), APP("10", "0B", ""));
    assert_int_equal(
        cost_flips(&fixture.input, nowhere, 0, &fixture.arena, &list, &count, &fixture.err),
        ERR_INVALID);
    fixture.arena.fail_after = 0;
    assert_int_equal(
        cost_flips(&fixture.input, edge, 0, &fixture.arena, &list, &count, &fixture.err),
        ERR_NO_MEMORY);
    assert_true(list == NULL && count == -1);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_the_edge),
        cmocka_unit_test(test_from_the_cloud),
        cmocka_unit_test(test_hit_ratio),
        cmocka_unit_test(test_egress),
        cmocka_unit_test(test_preference_to_stay),
        cmocka_unit_test(test_nothing_to_choose),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_variants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
