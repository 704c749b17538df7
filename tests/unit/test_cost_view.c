/* The views of a placement: what calls wait for, and who puts how many bytes on which meter. */
#include "model_fixture.h"

#include "model/cost_view.h"

static const char world[] =
    "world: views\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/near, tier: client}\n"
    "  - {name: client/far, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005}}\n"
    "egress:\n"
    "  - {name: out, from: 'aws/*', to: '*', per: GiB, month_to_date: 5GiB,\n"
    "     tiers: [{up_to: 10GiB, price: 0.09}, {price: 0.05}]}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/near, edge/one], rtt: 10ms}\n"
    "    - {between: [client/far, edge/one], rtt: 90ms, factor: 5ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms, per_mib: 80ms}\n"
    "    - {between: [client/near, aws/one], rtt: 50ms}\n"
    "    - {between: [client/far, aws/one], rtt: 50ms}\n"
    "    - {between: [client/near, client/far], rtt: 50ms}\n";

static const char app[] =
    "app: views\n"
    "users: [{name: near, site: client/near}, {name: far, site: client/far}]\n"
    "workloads:\n"
    "  - {name: cache, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 75%}}\n"
    "  - {name: origin, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}}\n"
    "links:\n"
    "  - {from: near, to: cache, calls: 9/s, request: 1KiB, response: 1KiB}\n"
    "  - {from: far, to: cache, calls: 1/s, request: 1KiB, response: 1KiB}\n"
    "  - {from: cache, to: origin, calls: 10/s, request: 0, response: 1MiB, on_miss: true}\n";

enum { NEAR, FAR, EDGE, AWS };

static void test_waits_and_volumes(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_view view;
    struct placement at[] = {{.site = EDGE}, {.site = AWS, .lead = 1}};
    fixture_begin(&fixture, world, app);
    if (cost_view(&fixture.input, at, &fixture.arena, &view, &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    assert_int_equal(view.wait_count, 3);
    assert_true(view.waits[0].users && view.waits[0].us == 10000);
    assert_true(view.waits[1].users && view.waits[1].us == 95000);
    /* A quarter misses; a MiB takes 80 ms more. */
    assert_true(!view.waits[2].users && view.waits[2].calls_mhz == 2500);
    assert_int_equal(view.waits[2].us, 120000);
    assert_int_equal(cost_view_mean_us(&view, -1), 18500);
    assert_int_equal(cost_view_quantile_us(&view, 0, 900000, &fixture.arena), 10000);
    assert_int_equal(cost_view_quantile_us(&view, 0, 950000, &fixture.arena), 95000);
    /* 18.5 ms and a quarter of 120 ms */
    assert_int_equal(cost_view_whole_us(&view, 0), 48500);
    assert_int_equal(cost_view_mean_us(&view, 1), -1);
    /* 2.5/s of 1 MiB leave aws; what enters is free, what leaves the edge has no rule. */
    assert_int_equal(view.volume_count, 1);
    assert_int_equal(view.volumes[0].bytes, INT64_C(2628000) * 5 / 2 << 20);
    assert_int_equal(view.base_bytes[0], INT64_C(5) << 30);
    fixture_end(&fixture);
}

static void test_nowhere(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_view view;
    struct placement at[] = {{.site = EDGE}, {.site = -1, .lead = 1}};
    fixture_begin(&fixture, world, app);
    assert_int_equal(cost_view(&fixture.input, at, &fixture.arena, &view, &fixture.err), 0);
    assert_int_equal(view.wait_count, 2);
    assert_int_equal(view.volume_count, 0);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_and_volumes),
        cmocka_unit_test(test_nowhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
