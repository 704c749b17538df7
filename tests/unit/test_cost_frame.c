/* What is kept of documents: it holds for other numbers, and is made anew for other documents. */
#include "model_fixture.h"

static const char world[] = "world: frames\n"
                            "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
                            "sites:\n"
                            "  - {name: client/web, tier: client, geo: [40.0, -70.0]}\n"
                            "  - {name: edge/one, tier: edge, account: e, geo: [41.0, -71.0],\n"
                            "     price: {cpu: 0.1, memory: 0.01}}\n"
                            "  - {name: aws/one, tier: cloud, account: a, geo: [39.0, -90.0],\n"
                            "     price: {cpu: 0.04, memory: 0.005, storage: 0.02}}\n"
                            "  - {name: aws/two, tier: cloud, account: a, geo: [50.0, 10.0],\n"
                            "     price: {cpu: 0.03, memory: 0.004, storage: 0.02}}\n"
                            "egress:\n"
                            "  - {name: out, from: 'aws/*', to: '*', per: GiB,\n"
                            "     tiers: [{up_to: 10GiB, price: 0.09}, {price: 0.05}]}\n"
                            "latency:\n"
                            "  mode: measured\n"
                            "  pairs:\n"
                            "    - {between: [client/web, edge/one], rtt: 10ms}\n"
                            "weights: {latency: 0.000005}\n";

static const char app[] =
    "app: frames\n"
    "users: [{name: near, site: client/web}, {name: far, site: client/web}]\n"
    "workloads:\n"
    "  - {name: cache, split: true, run: {driver: process, artifact: 'file:/x'}, state: 1GiB,\n"
    "     resources: {cpu: 1, memory: 1GiB}, tiers: [edge, cloud],\n"
    "     cache: {curve: [{calls: 1/s, hit: 20%}, {calls: 100/s, hit: 90%}]}}\n"
    "  - {name: origin, run: {driver: process, artifact: 'file:/x'}, state: 2GiB,\n"
    "     resources: {cpu: 2, memory: 1GiB}, tiers: [cloud]}\n"
    "links:\n"
    "  - {from: near, to: cache, calls: 9/s, request: 1KiB, response: 64KiB}\n"
    "  - {from: far, to: cache, calls: 30/s, request: 1KiB, response: 64KiB}\n"
    "  - {from: cache, to: origin, calls: 39/s, request: 1KiB, response: 1MiB, on_miss: true}\n";

enum { WEB, EDGE, ONE, TWO };

static const struct placement now[] = {{.site = EDGE}, {.site = EDGE}, {.site = ONE, .lead = 2}};
static const struct placement to[] = {
    {.site = EDGE}, {.site = TWO, .lead = 1}, {.site = TWO, .lead = 2}};

static void begin(struct fixture *fixture)
{
    fixture_begin(fixture, world, app);
    assert_int_equal(fixture->app.workload_count, 3);
    for (int i = 0; i < 3; i++)
        fixture->states[i].now = now[i];
}

static const struct cost_frame *frame_of(struct fixture *fixture)
{
    const struct cost_frame *frame = NULL;
    if (cost_frame_make(&fixture->input, &fixture->arena, &frame, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    return frame;
}

static struct cost_total total_with(struct fixture *fixture, const struct cost_frame *frame)
{
    struct cost_context *context;
    struct cost_total total = {0};
    if (cost_context_make(&fixture->input, frame, NULL, &fixture->arena, &context, &fixture->err) <
            0 ||
        cost_totals_from(context, to, &fixture->arena, &total, NULL, &fixture->err) < 0)
        fail_msg("%s", fixture->err.text);
    return total;
}

static void assert_problems_equal(const struct problem *a, const struct problem *b)
{
    assert_int_equal(a->part_count, b->part_count);
    assert_int_equal(a->pair_count, b->pair_count);
    assert_int_equal(a->meter_count, b->meter_count);
    assert_int_equal(a->rule_count, b->rule_count);
    for (int i = 0; i < a->part_count; i++) {
        assert_int_equal(a->parts[i].choice_count, b->parts[i].choice_count);
        assert_memory_equal(a->parts[i].cost, b->parts[i].cost,
                            (size_t)a->parts[i].choice_count * sizeof(*a->parts[i].cost));
    }
    for (int i = 0; i < a->meter_count; i++) {
        assert_string_equal(a->meters[i].name, b->meters[i].name);
        assert_int_equal(a->meters[i].price_nusd[0], b->meters[i].price_nusd[0]);
        assert_int_equal(a->meters[i].base_bytes, b->meters[i].base_bytes);
    }
}

/* The kept frame answers as one that was made of the input as it is; what it answers. */
static nusd check(struct fixture *fixture, const struct cost_frame *kept)
{
    struct cost_context *context;
    struct problem problem;
    struct cost_total with = total_with(fixture, kept);
    struct cost_total without = total_with(fixture, NULL);
    assert_memory_equal(&with, &without, sizeof(with));
    fixture_problem(fixture);
    assert_int_equal(
        cost_context_make(&fixture->input, kept, NULL, &fixture->arena, &context, &fixture->err),
        0);
    assert_int_equal(cost_problem_from(context, &fixture->arena, &problem, &fixture->err), 0);
    assert_problems_equal(&problem, &fixture->problem);
    return with.score;
}

static void test_numbers(void **state)
{
    (void)state;
    struct fixture fixture;
    begin(&fixture);
    struct estimate list[3] = {
        {.kind = ESTIMATE_CALLS_MHZ,
         .namespace_ = "default",
         .app = "frames",
         .site = "aws/one",
         .value = 55000},
        {.kind = ESTIMATE_RTT_US, .site = "edge/one", .peer = "aws/two", .value = 123000},
        {.kind = ESTIMATE_METER_BYTES, .site = "a", .peer = "out", .value = INT64_C(3) << 30},
    };
    str_format(list[0].workload, sizeof(list[0].workload), "%s", fixture.app.workloads[2].name);
    const struct cost_frame *kept = frame_of(&fixture);
    nusd last = check(&fixture, kept);
    for (int step = 0; step < 10; step++) {
        switch (step) {
        case 0:
            fixture.world.sites[TWO].cpu_price.coefficient *= 3;
            break;
        case 1:
            fixture.world.egress[0].tiers[1].price.coefficient *= 2;
            break;
        case 2:
            fixture.world.egress[0].month_to_date_bytes = INT64_C(1) << 30;
            break;
        case 3:
            fixture.world.rtt_us[WEB * 4 + EDGE] = 77000;
            break;
        case 4:
            fixture.app.links[1].calls_mhz *= 2;
            break;
        case 5:
            fixture.app.workloads[0].curve[0].hit_ppm = 100000;
            fixture.app.workloads[1].curve[0].hit_ppm = 100000;
            break;
        case 6:
            fixture.world.weights.egress_ppm *= 2;
            break;
        case 7:
            fixture.states[2].now.site = TWO;
            break;
        case 8:
            fixture.input.estimates = (struct estimates){list, 3};
            break;
        default:
            list[1].value += 20000;
            break;
        }
        nusd score = check(&fixture, kept);
        if (score == last)
            fail_msg("the change of step %d does not show", step);
        last = score;
    }
    fixture_end(&fixture);
}

/* Another version is another frame: a site, a tag and a workload that are new count at once. */
static void test_keeper(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_keeper keeper = {.version = 0};
    const struct cost_frame *first = NULL;
    const struct cost_frame *second = NULL;
    begin(&fixture);
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 1, &first, &fixture.err), 0);
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 1, &second, &fixture.err), 0);
    assert_ptr_equal(first, second);
    nusd before = check(&fixture, first);
    /* The far site becomes one that no rule of egress bills. */
    struct site sites[5];
    memcpy(sites, fixture.world.sites, 4 * sizeof(*sites));
    fixture.world.sites = sites;
    str_format(sites[TWO].provider, sizeof(sites[TWO].provider), "other");
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 2, &second, &fixture.err), 0);
    nusd after = check(&fixture, second);
    assert_true(after < before);
    /* One more site, and one workload less. */
    int64_t cells[3][25] = {{0}};
    memset(cells[0], -1, sizeof(cells[0]));
    sites[4] = sites[ONE];
    str_format(sites[4].name, sizeof(sites[4].name), "aws/three");
    fixture.world.site_count = 5;
    fixture.world.rtt_us = cells[0];
    fixture.world.factor_us = cells[1];
    fixture.world.us_per_mib = cells[2];
    struct cost_context *context;
    assert_int_equal(
        cost_context_make(&fixture.input, second, NULL, &fixture.arena, &context, &fixture.err),
        ERR_INVALID);
    assert_non_null(strstr(fixture.err.text, "made anew"));
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 3, &second, &fixture.err), 0);
    (void)check(&fixture, second);
    fixture.app.link_count--;
    assert_int_equal(
        cost_context_make(&fixture.input, second, NULL, &fixture.arena, &context, &fixture.err),
        ERR_INVALID);
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 4, &second, &fixture.err), 0);
    (void)check(&fixture, second);
    cost_keeper_done(&keeper);
    fixture_end(&fixture);
}

/* A context that is told of what has changed answers as one that is made anew. */
static void test_renew(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_context *context;
    struct cost_total kept;
    nusd last = 0;
    struct estimate calls = {
        .kind = ESTIMATE_CALLS_MHZ, .namespace_ = "default", .app = "frames", .value = 60000};
    begin(&fixture);
    str_format(calls.workload, sizeof(calls.workload), "%s", fixture.app.workloads[0].name);
    str_format(calls.site, sizeof(calls.site), "edge/one");
    fixture.input.estimates = (struct estimates){&calls, 1};
    assert_int_equal(
        cost_context_make(&fixture.input, NULL, NULL, &fixture.arena, &context, &fixture.err), 0);
    for (int step = 0; step < 5; step++) {
        switch (step) {
        case 0:
            break;
        case 1:
            calls.value = 5000;
            break;
        case 2: /* the parts of the cache no longer share it */
            fixture.states[1].now = (struct placement){.site = TWO, .lead = 1};
            break;
        case 3:
            fixture.states[2].now = (struct placement){.site = -1};
            break;
        default:
            calls.value = -1; /* the documents' rates hold */
            break;
        }
        cost_context_renew(context, 0);
        assert_int_equal(cost_totals_from(context, to, &fixture.arena, &kept, NULL, &fixture.err),
                         0);
        struct cost_total anew = total_with(&fixture, NULL);
        assert_memory_equal(&kept, &anew, sizeof(kept));
        if (kept.score == last)
            fail_msg("the change of step %d does not show", step);
        last = kept.score;
    }
    fixture_end(&fixture);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_keeper keeper = {.version = 0};
    const struct cost_frame *frame = NULL;
    begin(&fixture);
    int failed = 0;
    int rc = ERR_NO_MEMORY;
    for (; rc == ERR_NO_MEMORY; failed++) {
        fixture.arena.fail_after = failed;
        rc = cost_frame_make(&fixture.input, &fixture.arena, &frame, &fixture.err);
    }
    fixture.arena.fail_after = -1;
    assert_int_equal(rc, 0);
    assert_true(failed > 10);
    (void)check(&fixture, frame);
    /* What is refused is not kept. */
    str_format(fixture.app.segments[0].site, sizeof(fixture.app.segments[0].site), "client/none");
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 1, &frame, &fixture.err),
                     ERR_INVALID);
    assert_non_null(strstr(fixture.err.text, "client/none"));
    str_format(fixture.app.segments[0].site, sizeof(fixture.app.segments[0].site), "client/web");
    assert_int_equal(cost_keeper_frame(&keeper, &fixture.input, 1, &frame, &fixture.err), 0);
    (void)check(&fixture, frame);
    cost_keeper_done(&keeper);
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_keeper),
        cmocka_unit_test(test_renew),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
