/* Savings of moves against figures worked out by hand: groups, spread, confidence, payback. */
#include "model_fixture.h"

#include "base/clock.h"
#include "model/cost_saving.h"

#define MONTH_US (INT64_C(3600) * HOURS_PER_MONTH * US_PER_S)

/* Free resources, round trips and a weight per second: a call/s that waits 1 ms longer costs
 * 2,628,000 s x 0.001 s x $0.001 = $2.628 a month. */
static const char far_world[] =
    "world: far\n"
    "accounts: [{name: a, provider: aws}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: aws/far, tier: cloud, account: a, price: {cpu: 0, memory: 0}}\n"
    "  - {name: aws/near, tier: cloud, account: a, price: {cpu: 0, memory: 0}}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, aws/far], rtt: 100ms}\n"
    "    - {between: [client/web, aws/near], rtt: 20ms}\n"
    "    - {between: [aws/far, aws/near], rtt: 90ms}\n"
    "weights: {latency: 0.001, device_cpu: 0}\n"
    "policy: {horizon: 730h, saving_min: {ratio: 0, per_month: 0}}\n";

#define RUN       "run: {driver: process, artifact: 'file:/bin/x'}"
#define RESOURCES "resources: {cpu: 1, memory: 1GiB}"

static const char one_app[] = "app: one\n"
                              "users: [{name: web, site: client/web}]\n"
                              "workloads: [{name: w, " RUN ", " RESOURCES "}]\n"
                              "links: [{from: web, to: w, calls: 10/s}]\n";

/* Users call a, and a calls b ten times as often. */
static const char pair_app[] = "app: pair\n"
                               "users: [{name: web, site: client/web}]\n"
                               "workloads:\n"
                               "  - {name: a, " RUN ", " RESOURCES "}\n"
                               "  - {name: b, " RUN ", " RESOURCES "}\n"
                               "links:\n"
                               "  - {from: web, to: a, calls: 10/s}\n"
                               "  - {from: a, to: b, calls: 100/s}\n";

static const char two_app[] = "app: two\n"
                              "users: [{name: web, site: client/web}]\n"
                              "workloads:\n"
                              "  - {name: a, " RUN ", " RESOURCES "}\n"
                              "  - {name: b, " RUN ", " RESOURCES "}\n"
                              "links:\n"
                              "  - {from: web, to: a, calls: 10/s}\n"
                              "  - {from: web, to: b, calls: 1/s}\n";

struct moves {
    struct cost_move *list;
    int count;
};

enum { WEB, FAR_SITE, NEAR_SITE };

static struct placement at_site(int site)
{
    return (struct placement){.site = site};
}

static struct moves moves_of(struct fixture *fixture, const struct placement *now,
                             const struct placement *plan, const bool *must)
{
    struct moves moves = {NULL, -1};
    int part = 0;
    for (int app = 0; app < fixture->input.app_count; app++) {
        for (int i = 0; i < fixture->input.apps[app].app->workload_count; i++) {
            fixture->input.apps[app].states[i].now = now[part++];
        }
    }
    struct cost_context *context;
    if (cost_context_make(&fixture->input, NULL, NULL, &fixture->arena, &context, &fixture->err) <
            0 ||
        cost_moves(context, now, plan, must, &fixture->arena, &moves.list, &moves.count,
                   &fixture->err) < 0) {
        fail_msg("%s", fixture->err.text);
    }
    return moves;
}

static void give(struct fixture *fixture, struct estimate *list, int count)
{
    fixture->input.estimates = (struct estimates){list, count};
}

static struct estimate calls_estimate(const char *app, const char *workload, int64_t value,
                                      int64_t spread)
{
    struct estimate estimate = {.kind = ESTIMATE_CALLS_MHZ, .value = value, .spread = spread};
    str_format(estimate.namespace_, sizeof(estimate.namespace_), "default");
    str_format(estimate.app, sizeof(estimate.app), "%s", app);
    str_format(estimate.workload, sizeof(estimate.workload), "%s", workload);
    str_format(estimate.site, sizeof(estimate.site), "aws/far");
    return estimate;
}

static void assert_near(nusd got, double dollars)
{
    double value = (double)got / 1e9;
    double apart = value - dollars;
    if (apart > 1e-6 || apart < -1e-6) {
        fail_msg("$%.9f instead of $%.9f", value, dollars);
    }
}

static void test_normal_table(void **state)
{
    (void)state;
    static const struct {
        nusd mean;
        nusd spread;
        int64_t ppm;
    } known[] = {
        {0, 1000, 500000},          {1000, 1000, 841345},       {-1000, 1000, 158655},
        {1644854, 1000000, 950000}, {1959964, 1000000, 975000}, {2326348, 1000000, 990000},
        {-674490, 1000000, 250000}, {50, 1000, 519939},         {3090232, 1000000, 999000},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        int64_t ppm = cost_confidence_ppm(known[i].mean, known[i].spread);
        if (ppm > known[i].ppm + 30 || ppm < known[i].ppm - 30) {
            fail_msg("case %zu: %lld ppm", i, (long long)ppm);
        }
    }
    assert_int_equal(cost_confidence_ppm(1, 0), PPM);
    assert_int_equal(cost_confidence_ppm(0, 0), 0);
    assert_int_equal(cost_confidence_ppm(-1, 0), 0);
    assert_int_equal(cost_confidence_ppm(6, 1), PPM - 1);
    assert_int_equal(cost_confidence_ppm(-6, 1), 1);
    /* As large as amounts can be, and never falling with the mean. */
    nusd large = (nusd)1 << 120;
    assert_int_equal(cost_confidence_ppm(large, large), cost_confidence_ppm(1000, 1000));
    assert_int_equal(cost_confidence_ppm(large, 1), PPM - 1);
    int64_t last = 0;
    for (int64_t mean = -6000; mean <= 6000; mean++) {
        int64_t ppm = cost_confidence_ppm(mean, 1000);
        assert_true(ppm >= last && ppm > 0 && ppm < PPM);
        assert_true(ppm + cost_confidence_ppm(-mean, 1000) == PPM);
        last = ppm;
    }
}

/* 80 ms less for 10 calls/s: $2,102.40 a month. A standard error of 5 calls/s is one of $1,051.20:
 * two of them away from nothing. */
static void test_known_spread(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}};
    struct placement plan[] = {{.site = NEAR_SITE}};
    fixture_begin(&fixture, far_world, one_app);
    struct estimate calls = calls_estimate("one", "w", 10000, 5000);
    give(&fixture, &calls, 1);
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.count, 1);
    assert_int_equal(moves.list[0].part, 0);
    assert_int_equal(moves.list[0].from.site, FAR_SITE);
    assert_int_equal(moves.list[0].to.site, NEAR_SITE);
    assert_false(moves.list[0].forced);
    assert_int_equal(moves.list[0].group, 0);
    assert_near(moves.list[0].score_saving, 2102.4);
    assert_near(moves.list[0].spread, 1051.2);
    assert_near(moves.list[0].bill_saving, 0);
    assert_near(moves.list[0].once, 0);
    assert_int_equal(moves.list[0].payback_us, 0);
    assert_in_range(moves.list[0].confidence_ppm, 977220, 977280);
    /* The same move back loses as much, as surely. */
    moves = moves_of(&fixture, plan, now, NULL);
    assert_near(moves.list[0].score_saving, -2102.4);
    assert_in_range(moves.list[0].confidence_ppm, 22720, 22780);
    assert_true(moves.list[0].payback_us == INT64_MAX);
    fixture_end(&fixture);
}

/* Two independent errors add in squares: 3/10 and 4/10 of the saving make 5/10 of it. */
static void test_errors_add_in_squares(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}};
    struct placement plan[] = {{.site = NEAR_SITE}};
    fixture_begin(&fixture, far_world, one_app);
    fixture.world.latency_measured = true;
    fixture.world.policy.prior_error_ppm = 0;
    struct estimate list[2] = {calls_estimate("one", "w", 10000, 3000),
                               {.kind = ESTIMATE_RTT_US, .value = 100000, .spread = 32000}};
    str_format(list[1].site, sizeof(list[1].site), "aws/far");
    str_format(list[1].peer, sizeof(list[1].peer), "client/web");
    give(&fixture, list, 2);
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_near(moves.list[0].score_saving, 2102.4);
    assert_near(moves.list[0].spread, 1051.2);
    fixture_end(&fixture);
}

static void test_no_spread_is_certain(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}};
    struct placement plan[] = {{.site = NEAR_SITE}};
    fixture_begin(&fixture, far_world, one_app);
    struct estimate calls = calls_estimate("one", "w", 10000, 0);
    give(&fixture, &calls, 1);
    assert_int_equal(moves_of(&fixture, now, plan, NULL).list[0].confidence_ppm, PPM);
    assert_int_equal(moves_of(&fixture, plan, now, NULL).list[0].confidence_ppm, 0);
    fixture_end(&fixture);
}

/* What the document only supposes is as uncertain as the policy says. */
static void test_priors_are_uncertain(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}};
    struct placement plan[] = {{.site = NEAR_SITE}};
    fixture_begin(&fixture, far_world, one_app);
    fixture.world.policy.prior_error_ppm = 800000;
    struct moves prior = moves_of(&fixture, now, plan, NULL);
    assert_near(prior.list[0].spread, 2102.4 * 0.8);
    assert_in_range(prior.list[0].confidence_ppm, 894320, 894380); /* 1.25 standard errors */
    struct estimate calls = calls_estimate("one", "w", 10000, 1000);
    give(&fixture, &calls, 1);
    struct moves measured = moves_of(&fixture, now, plan, NULL);
    assert_near(measured.list[0].spread, 210.24);
    assert_true(measured.list[0].confidence_ppm > prior.list[0].confidence_ppm);
    /* A measurement that is too short to know its own error is as uncertain as a prior. */
    calls.spread = 0;
    calls.observed_us = fixture.world.policy.prior_weight_us / 2;
    assert_near(moves_of(&fixture, now, plan, NULL).list[0].spread, 2102.4 * 0.8);
    calls.observed_us = fixture.world.policy.prior_weight_us * 2;
    assert_near(moves_of(&fixture, now, plan, NULL).list[0].spread, 0);
    /* So is one that is too old. */
    calls.spread = 1000;
    fixture.input.now_us = fixture.world.policy.metric_age_max_us + 1;
    assert_near(moves_of(&fixture, now, plan, NULL).list[0].spread, 2102.4 * 0.8);
    fixture_end(&fixture);
}

/* Together 80 ms less for 10 calls/s; either alone puts 90 ms on 100 calls/s. */
static void test_linked_moves_are_one_group(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = NEAR_SITE, .lead = 1}};
    struct placement half[] = {{.site = NEAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    fixture_begin(&fixture, far_world, pair_app);
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(moves.list[i].part, i);
        assert_int_equal(moves.list[i].group, 0);
        assert_near(moves.list[i].score_saving, 2102.4);
        assert_true(moves.list[i].confidence_ppm > 500000);
    }
    /* 10 x 80 ms saved, 100 x 90 ms lost. */
    moves = moves_of(&fixture, now, half, NULL);
    assert_int_equal(moves.count, 1);
    assert_near(moves.list[0].score_saving, 2102.4 - 100 * 90 * 2.628);
    assert_true(moves.list[0].confidence_ppm < 500000);
    fixture_end(&fixture);
}

static void test_independent_moves_are_two_groups(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = NEAR_SITE, .lead = 1}};
    fixture_begin(&fixture, far_world, two_app);
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.count, 2);
    assert_int_equal(moves.list[0].group, 0);
    assert_int_equal(moves.list[1].group, 1);
    assert_near(moves.list[0].score_saving, 2102.4);
    assert_near(moves.list[1].score_saving, 210.24);
    fixture_end(&fixture);
}

/* What has to move does, whatever it costs; what only saves is judged with that done. */
static void test_forced_moves(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = NEAR_SITE, .lead = 1}};
    bool must[] = {false, true};
    fixture_begin(&fixture, far_world, pair_app);
    struct moves moves = moves_of(&fixture, now, plan, must);
    assert_int_equal(moves.count, 2);
    assert_true(moves.list[1].forced);
    assert_int_equal(moves.list[1].group, -1);
    assert_true(moves.list[1].score_saving == 0 && moves.list[1].confidence_ppm == 0);
    assert_false(moves.list[0].forced);
    assert_int_equal(moves.list[0].group, 0);
    assert_near(moves.list[0].score_saving, 2102.4 + 100 * 90 * 2.628);
    fixture_end(&fixture);
}

/* Two swap places where only one fits. */
static void test_capacity_ties_moves(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}, {.site = NEAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    bool must[] = {true, false};
    fixture_begin(&fixture, far_world, two_app);
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.list[0].group, 0);
    assert_int_equal(moves.list[1].group, 1);
    fixture.world.sites[NEAR_SITE].capacity[RESOURCE_CPU] = 1999;
    moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.list[0].group, 0);
    assert_int_equal(moves.list[1].group, 0);
    assert_near(moves.list[0].score_saving, 2102.4 - 210.24);
    assert_near(moves.list[1].score_saving, 2102.4 - 210.24);
    /* What has to come takes the other's place: that is forced then. */
    moves = moves_of(&fixture, now, plan, must);
    assert_true(moves.list[0].forced && moves.list[1].forced);
    assert_int_equal(moves.list[1].group, -1);
    /* The same from what live nodes offer. */
    fixture.world.sites[NEAR_SITE].capacity[RESOURCE_CPU] = -1;
    int64_t live[3][RESOURCE_COUNT] = {
        {-1, -1}, {INT64_MAX, INT64_MAX}, {INT64_MAX, (INT64_C(2) << 30) - 1}};
    fixture.input.capacity = live;
    moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.list[1].group, 0);
    live[NEAR_SITE][RESOURCE_MEMORY] = INT64_C(2) << 30;
    moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.list[1].group, 1);
    fixture_end(&fixture);
}

static void test_apart_ties_moves(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = FAR_SITE}, {.site = NEAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = FAR_SITE, .lead = 1}};
    bool must[] = {false, true};
    int both[] = {0, 1};
    struct apart apart = {both, 2};
    fixture_begin(&fixture, far_world, two_app);
    fixture.app.aparts = &apart;
    fixture.app.apart_count = 1;
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.list[0].group, 0);
    assert_int_equal(moves.list[1].group, 0);
    moves = moves_of(&fixture, now, plan, must);
    assert_true(moves.list[0].forced);
    fixture_end(&fixture);
}

/* Starting something, or letting it be, is no move. */
static void test_what_is_no_move(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = -1}, {.site = FAR_SITE, .lead = 1}};
    struct placement plan[] = {{.site = NEAR_SITE}, {.site = FAR_SITE, .lead = 0}};
    fixture_begin(&fixture, far_world, two_app);
    assert_int_equal(moves_of(&fixture, now, plan, NULL).count, 0);
    fixture_end(&fixture);
}

static const char bill_world[] =
    "world: bill\n"
    "accounts: [{name: a, provider: aws}, {name: g, provider: gcp}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005}}\n"
    "  - {name: gcp/one, tier: cloud, account: g, price: {cpu: 0.03, memory: 0.005}}\n"
    "egress:\n"
    "  - {name: aws-out, from: 'aws/*', to: '*', per: GiB, tiers: [{up_to: 100GiB, price: 0.09},\n"
    "     {up_to: 1000GiB, price: 0.05}, {price: 0.01}]}\n"
    "  - {name: gcp-out, from: 'gcp/*', to: '*', per: GiB, tiers: [{price: 0.02}]}\n"
    "weights: {latency: 0, device_cpu: 0}\n"
    "policy: {horizon: 73h, healthy_min: 60s, saving_min: {ratio: 0, per_month: 0}}\n";

/* 1 vCPU for 730 h at a cent less is $7.30; the state leaves AWS once, at $0.09 per GiB. */
static void test_once_and_payback(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = 1}};
    struct placement plan[] = {{.site = 2}};
    fixture_begin(&fixture, bill_world,
                  "app: one\n"
                  "workloads: [{name: w, " RUN ", " RESOURCES ", state: 10GiB}]\n");
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    struct cost_report report = {0};
    assert_int_equal(cost_explain(&fixture.input, plan, &fixture.arena, &report, &fixture.err), 0);
    assert_near(moves.list[0].score_saving, 7.3);
    assert_near(moves.list[0].bill_saving, 7.3);
    assert_true(moves.list[0].once == report.total.bill_term[TERM_MIGRATION]);
    assert_true(moves.list[0].once >= 900000000);
    double share = (double)moves.list[0].once / 7.3e9;
    assert_in_range(moves.list[0].payback_us, (int64_t)(share * (double)MONTH_US) - 1000000,
                    (int64_t)(share * (double)MONTH_US) + 1000000);
    /* Nothing here is uncertain. Over 73 h the saving is $0.73 and the cost more: it does not pay.
     */
    assert_near(moves.list[0].spread, 0);
    assert_int_equal(moves.list[0].confidence_ppm, 0);
    fixture.world.policy.horizon_us *= 10;
    assert_int_equal(moves_of(&fixture, now, plan, NULL).list[0].confidence_ppm, PPM);
    fixture_end(&fixture);
}

/* A group's saving is the whole plan's difference: other apps' bytes decide which tier its own are
 * in, and no part of the rest is left out or counted twice. */
static void test_other_apps_fill_the_tiers(void **state)
{
    (void)state;
    struct fixture fixture;
    struct app big;
    struct cost_app apps[2];
    struct workload_state states[2] = {{.may_move = true}, {.may_move = true}};
    struct placement now[] = {{.site = 1}, {.site = 1}};
    struct placement plan[] = {{.site = 1}, {.site = 2}};
    static const char text[] = "app: %s\n"
                               "users: [{name: web, site: client/web}]\n"
                               "workloads: [{name: w, " RUN ", " RESOURCES "}]\n"
                               "links: [{from: web, to: w, calls: %d/s, request: 0B, "
                               "response: 10KB}]\n";
    char small_text[512];
    char big_text[512];
    str_format(small_text, sizeof(small_text), text, "small", 3);
    str_format(big_text, sizeof(big_text), text, "big", 8);
    for (int alone = 0; alone < 2; alone++) {
        fixture_begin(&fixture, bill_world, small_text);
        assert_int_equal(
            app_parse("big.yaml", big_text, strlen(big_text), &fixture.arena, &big, &fixture.err),
            0);
        apps[0] = (struct cost_app){&big, &states[0]};
        apps[1] = (struct cost_app){&fixture.app, &states[1]};
        fixture.input.apps = alone == 1 ? &apps[1] : apps;
        fixture.input.app_count = 2 - alone;
        struct moves moves = moves_of(&fixture, now + alone, plan + alone, NULL);
        struct cost_report before = {0};
        struct cost_report after = {0};
        assert_int_equal(
            cost_explain(&fixture.input, now + alone, &fixture.arena, &before, &fixture.err), 0);
        assert_int_equal(
            cost_explain(&fixture.input, plan + alone, &fixture.arena, &after, &fixture.err), 0);
        nusd wanted =
            before.total.score - (after.total.score - after.total.score_term[TERM_MIGRATION]);
        nusd apart = moves.list[0].score_saving - wanted;
        assert_true(apart <= 2 && apart >= -2);
        /* 3/s are 73.43 GiB a month: alone at $0.09, behind the others' 195.8 GiB at $0.05. */
        double gib = 3.0 * 2628000 * 10000 / (double)(1 << 30);
        assert_near(moves.list[0].score_saving,
                    gib * (alone == 1 ? 0.09 : 0.05) - gib * 0.02 + 7.3);
        fixture_end(&fixture);
    }
}

static void test_variants_are_moves(void **state)
{
    (void)state;
    struct fixture fixture;
    struct placement now[] = {{.site = 1, .variant = 0}};
    struct placement plan[] = {{.site = 1, .variant = 1}};
    fixture_begin(&fixture, bill_world,
                  "app: one\n"
                  "workloads: [{name: w, " RUN ", " RESOURCES "}]\n");
    struct variant variants[2] = {fixture.app.workloads[0].variants[0],
                                  fixture.app.workloads[0].variants[0]};
    fixture.app.workloads[0].variants = variants;
    fixture.app.workloads[0].variant_count = 2;
    struct moves moves = moves_of(&fixture, now, plan, NULL);
    assert_int_equal(moves.count, 1);
    assert_int_equal(moves.list[0].to.variant, 1);
    assert_near(moves.list[0].score_saving, 0);
    fixture_end(&fixture);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_move *list = NULL;
    int count = -1;
    struct placement now[] = {at_site(FAR_SITE)};
    struct placement plan[] = {at_site(NEAR_SITE)};
    struct cost_context *context;
    fixture_begin(&fixture, far_world, one_app);
    fixture.states[0].now = now[0];
    assert_int_equal(
        cost_context_make(&fixture.input, NULL, NULL, &fixture.arena, &context, &fixture.err), 0);
    for (int after = 0; after < 5; after++) {
        fixture.arena.fail_after = after;
        assert_int_equal(
            cost_moves(context, now, plan, NULL, &fixture.arena, &list, &count, &fixture.err),
            ERR_NO_MEMORY);
        assert_true(list == NULL && count == -1);
    }
    fixture.arena.fail_after = -1;
    fixture.app.links[0].calls_mhz = INT64_MAX;
    fixture.app.links[0].request_bytes = INT64_MAX;
    assert_int_equal(
        cost_context_make(&fixture.input, NULL, NULL, &fixture.arena, &context, &fixture.err), 0);
    assert_true(cost_moves(context, now, plan, NULL, &fixture.arena, &list, &count, &fixture.err) <
                0);
    assert_true(list == NULL && fixture.err.text[0] != '\0');
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normal_table),
        cmocka_unit_test(test_known_spread),
        cmocka_unit_test(test_errors_add_in_squares),
        cmocka_unit_test(test_no_spread_is_certain),
        cmocka_unit_test(test_priors_are_uncertain),
        cmocka_unit_test(test_linked_moves_are_one_group),
        cmocka_unit_test(test_independent_moves_are_two_groups),
        cmocka_unit_test(test_forced_moves),
        cmocka_unit_test(test_capacity_ties_moves),
        cmocka_unit_test(test_apart_ties_moves),
        cmocka_unit_test(test_what_is_no_move),
        cmocka_unit_test(test_once_and_payback),
        cmocka_unit_test(test_other_apps_fill_the_tiers),
        cmocka_unit_test(test_variants_are_moves),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
