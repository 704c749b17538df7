/* Slices total what the whole does, and a turned knob is worth a changed document. */
#include "model_fixture.h"

#include "model/cost_knob.h"
#include "model/cost_slice.h"

#define WORLD(rtt, cpu, out, latency)                                                      \
    "world: knobs\n"                                                                       \
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"                    \
    "sites:\n"                                                                             \
    "  - {name: client/web, tier: client}\n"                                               \
    "  - {name: edge/unused, tier: edge, account: e, price: {cpu: 0.2, memory: 0.02}}\n"   \
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01}}\n"      \
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: " cpu ", memory: 0.005}}\n" \
    "egress:\n"                                                                            \
    "  - {name: out, from: 'aws/*', to: '*', per: GiB,\n"                                  \
    "     tiers: [{up_to: 10GiB, price: " out "}, {price: 0.05}]}\n"                       \
    "  - {name: up, from: 'edge/*', to: 'aws/*', per: GiB, tiers: [{price: 0.02}]}\n"      \
    "latency:\n"                                                                           \
    "  pairs:\n"                                                                           \
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"                                 \
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"                                  \
    "    - {between: [edge/one, aws/one], rtt: " rtt "}\n"                                 \
    "    - {between: [edge/unused, aws/one], rtt: 30ms}\n"                                 \
    "    - {between: [edge/unused, client/web], rtt: 30ms}\n"                              \
    "    - {between: [edge/unused, edge/one], rtt: 30ms}\n"                                \
    "weights: {latency: " latency ", device_cpu: 0.00001}\n"                               \
    "policy: {metric_age_max: 60s, prior_error: 30%, prior_weight: 1h}\n"

#define APP(calls, hit, cpu, request, response)                                                   \
    "app: knobs\n"                                                                                \
    "users: [{name: web, site: client/web}]\n"                                                    \
    "workloads:\n"                                                                                \
    "  - {name: device, run: {driver: process, artifact: 'file:/x', cpu_per_call: " cpu "},\n"    \
    "     resources: {cpu: 1, memory: 1GiB}}\n"                                                   \
    "  - {name: cache, run: {driver: process, artifact: 'file:/x'},\n"                            \
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: " hit "}}\n"                      \
    "  - {name: origin, run: {driver: process, artifact: 'file:/x'},\n"                           \
    "     resources: {cpu: 1, memory: 1GiB}}\n"                                                   \
    "links:\n"                                                                                    \
    "  - {from: web, to: device, calls: 7/s, request: 1KB, response: 1KB}\n"                      \
    "  - {from: device, to: cache, calls: 10/s, request: 1KB, response: 2KB}\n"                   \
    "  - {from: cache, to: origin, calls: " calls "/s, request: " request ", response: " response \
    ", on_miss: true}\n"

static const char world[] = WORLD("40ms", "0.04", "0.09", "0.001");
static const char app[] = APP("10", "80%", "2ms", "3KB", "50KB");

enum { WEB, UNUSED, EDGE, CLOUD };
enum { DEVICE, CACHE, ORIGIN };

static const struct placement at[] = {
    {.site = WEB}, {.site = EDGE, .lead = 1}, {.site = CLOUD, .lead = 2}};

static void slice_begin(struct fixture *fixture, struct cost_slice *slice)
{
    struct cost_slicer slicer;
    struct cost_context *context;
    bool apps[] = {true};
    bool sites[] = {false, false, false, false};
    memset(slice, 0, sizeof(*slice));
    if (cost_context_make(&fixture->input, NULL, NULL, &fixture->arena, &context, &fixture->err) <
            0 ||
        cost_slicer_begin(context, at, &fixture->arena, &slicer, &fixture->err) < 0 ||
        cost_slice_begin(&slicer, apps, sites, at, &fixture->arena, slice, &fixture->err) < 0) {
        fail_msg("%s", fixture->err.text);
    }
}

static struct cost_total total_of(struct cost_slice *slice)
{
    struct placement here[3];
    struct cost_total total = {0};
    struct error err;
    nusd stay;
    cost_slice_placements(slice, at, here);
    if (cost_slice_prepare(slice, &err) < 0 ||
        cost_slice_total(slice, here, &total, &stay, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return total;
}

static struct cost_total whole_total(const char *world_text, const char *app_text)
{
    struct fixture fixture;
    struct cost_report report = {0};
    fixture_begin(&fixture, world_text, app_text);
    if (cost_explain(&fixture.input, at, &fixture.arena, &report, &fixture.err) < 0) {
        fail_msg("%s", fixture.err.text);
    }
    struct cost_total total = report.total;
    fixture_end(&fixture);
    return total;
}

/* Sites that nothing is at are left out, and the sums are the whole's. */
static void test_slice_is_the_whole(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_slice slice;
    fixture_begin(&fixture, world, app);
    slice_begin(&fixture, &slice);
    assert_int_equal(slice.world.site_count, 3);
    assert_int_equal(slice.site_here[UNUSED], -1);
    assert_int_equal(cost_slice_part(&slice, ORIGIN), ORIGIN);
    assert_int_equal(cost_slice_part(&slice, 3), -1);
    struct cost_total here = total_of(&slice);
    struct cost_total there = whole_total(world, app);
    assert_memory_equal(&here, &there, sizeof(here));
    assert_true(here.bill > 0 && here.score > 0);
    cost_slice_done(&slice);
    fixture_end(&fixture);
}

struct turned {
    enum cost_knob_kind kind;
    int which; /* workload, link, site or rule */
    int64_t present;
    int64_t value; /* prices: of the scale that makes a million of them */
    const char *world;
    const char *app;
};

static const struct turned cases[] = {
    {KNOB_CALLS, ORIGIN, 2000, 4000, world, APP("20", "80%", "2ms", "3KB", "50KB")},
    {KNOB_HIT, CACHE, 800000, 300000, world, APP("10", "30%", "2ms", "3KB", "50KB")},
    {KNOB_CPU, DEVICE, 2000000, 6000000, world, APP("10", "80%", "6ms", "3KB", "50KB")},
    {KNOB_REQUEST, 2, 3000, 9000, world, APP("10", "80%", "2ms", "9KB", "50KB")},
    {KNOB_RESPONSE, 2, 50000, 10000, world, APP("10", "80%", "2ms", "3KB", "10KB")},
    {KNOB_RTT, 0, 40000, 15000, WORLD("15ms", "0.04", "0.09", "0.001"), app},
    {KNOB_CPU_PRICE, CLOUD, 4000000, 7000000, WORLD("40ms", "0.07", "0.09", "0.001"), app},
    {KNOB_LATENCY_WEIGHT, 0, 1000000, 5000000, WORLD("40ms", "0.04", "0.09", "0.005"), app},
};

static void add_knob(const struct cost_slice *slice, struct cost_knobs *knobs,
                     const struct turned *turned)
{
    struct placement place = {.site = slice->site_here[CLOUD]};
    switch (turned->kind) {
    case KNOB_REQUEST:
    case KNOB_RESPONSE:
        cost_knob_bytes(slice, knobs, turned->kind, 0, turned->which, place);
        break;
    case KNOB_RTT:
        cost_knob_rtt(slice, knobs, slice->site_here[EDGE], slice->site_here[CLOUD]);
        break;
    case KNOB_CPU_PRICE:
        cost_knob_price(slice, knobs, turned->kind, slice->site_here[turned->which]);
        break;
    case KNOB_LATENCY_WEIGHT:
        cost_knob_weight(slice, knobs, turned->kind, 0);
        break;
    default:
        cost_knob_workload(slice, knobs, turned->kind, 0, turned->which, place);
        break;
    }
}

static void test_turned_is_changed(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_slice slice;
    fixture_begin(&fixture, world, app);
    slice_begin(&fixture, &slice);
    struct cost_total before = total_of(&slice);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cost_knobs knobs;
        assert_int_equal(cost_knobs_begin(&knobs, 4, &fixture.arena), 0);
        add_knob(&slice, &knobs, &cases[i]);
        add_knob(&slice, &knobs, &cases[i]);
        assert_int_equal(knobs.count, 1); /* the same input twice is one */
        assert_true(knobs.list[0].present == cases[i].present);
        assert_int_equal(knobs.list[0].estimate, -1);
        cost_knob_turn(&slice, &knobs.list[0], cases[i].value);
        struct cost_total turned = total_of(&slice);
        struct cost_total wanted = whole_total(cases[i].world, cases[i].app);
        if (memcmp(&turned, &wanted, sizeof(turned)) != 0 || turned.score == before.score) {
            fail_msg("case %zu: %lld instead of %lld, before %lld", i, (long long)turned.score,
                     (long long)wanted.score, (long long)before.score);
        }
        cost_knob_turn(&slice, &knobs.list[0], knobs.list[0].present);
        struct cost_total after = total_of(&slice);
        assert_memory_equal(&after, &before, sizeof(after));
    }
    cost_slice_done(&slice);
    fixture_end(&fixture);
}

/* All tiers of an egress rule turn alike; the whole's own stay. */
static void test_egress_turns_all_tiers(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_slice slice;
    struct cost_knobs knobs;
    fixture_begin(&fixture, world, app);
    slice_begin(&fixture, &slice);
    nusd before = total_of(&slice).bill_term[TERM_EGRESS];
    assert_int_equal(cost_knobs_begin(&knobs, 2, &fixture.arena), 0);
    cost_knob_egress(&slice, &knobs, 0);
    cost_knob_egress(&slice, &knobs, 1);
    assert_true(knobs.list[0].present == 9000000 && knobs.list[1].present == 2000000);
    cost_knob_turn(&slice, &knobs.list[0], 27000000);
    cost_knob_turn(&slice, &knobs.list[1], 6000000);
    nusd apart = total_of(&slice).bill_term[TERM_EGRESS] - 3 * before;
    assert_true(before > 0 && apart <= 6 && apart >= -6); /* a line is rounded by itself */
    assert_int_equal(fixture.world.egress[0].tiers[0].price.coefficient, 9);
    /* There is room for two. */
    cost_knob_price(&slice, &knobs, KNOB_CPU_PRICE, slice.site_here[EDGE]);
    assert_int_equal(knobs.count, 2);
    cost_slice_done(&slice);
    fixture_end(&fixture);
}

/* With an estimate in force it is that which turns, and only the slice's. */
static void test_estimates_turn(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_slice slice;
    struct cost_knobs knobs;
    struct placement edge = {.site = -1};
    struct estimate list[3];
    fixture_begin(&fixture, world, app);
    for (int i = 0; i < 3; i++) {
        list[i] =
            (struct estimate){.kind = ESTIMATE_HIT_PPM, .value = 100000 * (i + 1), .at_us = i};
        str_format(list[i].namespace_, sizeof(list[i].namespace_), "default");
        str_format(list[i].app, sizeof(list[i].app), "knobs");
        str_format(list[i].workload, sizeof(list[i].workload), i == 2 ? "origin" : "cache");
        str_format(list[i].site, sizeof(list[i].site), i == 0 ? "edge/one" : "aws/one");
    }
    list[0].spread = 5000;
    list[1].observed_us = 1000;
    fixture.input.estimates = (struct estimates){list, 3};
    slice_begin(&fixture, &slice);
    /* Where it is, its own estimate counts, though another is later. */
    assert_int_equal(cost_knobs_begin(&knobs, 4, &fixture.arena), 0);
    edge.site = slice.site_here[EDGE];
    cost_knob_workload(&slice, &knobs, KNOB_HIT, 0, CACHE, edge);
    assert_int_equal(knobs.count, 1);
    assert_int_equal(knobs.list[0].present, 100000);
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 5000);
    nusd before = total_of(&slice).score;
    cost_knob_turn(&slice, &knobs.list[0], 900000);
    assert_true(total_of(&slice).score < before);
    assert_int_equal(list[0].value, 100000);
    cost_knob_turn(&slice, &knobs.list[0], 100000);
    assert_true(total_of(&slice).score == before);
    /* Anywhere, each is an input of its own; one observed too shortly is as good as a prior. */
    edge.site = -1;
    assert_int_equal(cost_knobs_begin(&knobs, 4, &fixture.arena), 0);
    cost_knob_workload(&slice, &knobs, KNOB_HIT, 0, CACHE, edge);
    assert_int_equal(knobs.count, 2);
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 5000);
    assert_int_equal(cost_knob_error(&slice, &knobs.list[1]), 60000);
    /* Long after, the first is too old to know how sure it is. */
    slice.input.now_us = 61000000;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 30000);
    /* Unless what is measured now, elsewhere, agrees with it; never surer than it was itself. */
    struct estimate *elsewhere = &slice.values[knobs.list[1].estimate];
    elsewhere->at_us = slice.input.now_us;
    elsewhere->value = 112000;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 12000);
    elsewhere->value = 99000;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 5000);
    elsewhere->value = 800000;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 30000);
    slice.values[2].at_us = slice.input.now_us; /* of another workload */
    slice.values[2].value = 100000;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 30000);
    cost_slice_done(&slice);
    fixture_end(&fixture);
}

static void test_errors_of_priors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_slice slice;
    struct cost_knobs knobs;
    struct placement anywhere = {.site = -1};
    fixture_begin(&fixture, world, app);
    slice_begin(&fixture, &slice);
    assert_int_equal(cost_knobs_begin(&knobs, 8, &fixture.arena), 0);
    cost_knob_workload(&slice, &knobs, KNOB_CALLS, 0, DEVICE, anywhere);
    cost_knob_rtt(&slice, &knobs, slice.site_here[WEB], slice.site_here[EDGE]);
    cost_knob_price(&slice, &knobs, KNOB_CPU_PRICE, slice.site_here[EDGE]);
    assert_int_equal(knobs.count, 3);
    assert_int_equal(cost_knob_error(&slice, &knobs.list[0]), 2100);
    assert_int_equal(cost_knob_error(&slice, &knobs.list[1]), 0); /* declared */
    assert_int_equal(cost_knob_error(&slice, &knobs.list[2]), 0);
    slice.world.latency_measured = true;
    assert_int_equal(cost_knob_error(&slice, &knobs.list[1]), 3000);
    /* No cache, no hit ratio; nothing stored, nothing to turn. */
    cost_knob_workload(&slice, &knobs, KNOB_HIT, 0, ORIGIN, anywhere);
    cost_knob_price(&slice, &knobs, KNOB_STORAGE_PRICE, slice.site_here[EDGE]);
    cost_knob_rtt(&slice, &knobs, slice.site_here[EDGE], slice.site_here[EDGE]);
    assert_int_equal(knobs.count, 3);
    cost_slice_done(&slice);
    fixture_end(&fixture);
}

/* An app that states one weight keeps the world's others. */
static void test_own_weights(void **state)
{
    (void)state;
    char text[4096];
    struct cost_total plain = whole_total(world, app);
    str_format(text, sizeof(text), "%sweights: {latency: 0.003}\n", app);
    struct cost_total own = whole_total(world, text);
    assert_true(plain.score_term[TERM_LATENCY] > 0);
    assert_true(own.score_term[TERM_LATENCY] > plain.score_term[TERM_LATENCY]);
    for (int term = 0; term < TERM_COUNT; term++) {
        assert_true(term == TERM_LATENCY || own.score_term[term] == plain.score_term[term]);
    }
    assert_true(plain.score_term[TERM_EGRESS] > 0 && plain.score_term[TERM_EDGE] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_is_the_whole),     cmocka_unit_test(test_turned_is_changed),
        cmocka_unit_test(test_egress_turns_all_tiers), cmocka_unit_test(test_estimates_turn),
        cmocka_unit_test(test_errors_of_priors),       cmocka_unit_test(test_own_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
