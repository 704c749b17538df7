/* Parts that share: choices, who pays, the hits of a shared cache, replicas of a data set. */
#include "model_fixture.h"

#include "model/cost_internal.h"

static const char world_text[] =
    "world: tiles\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/n1, tier: client}\n"
    "  - {name: client/n2, tier: client}\n"
    "  - {name: client/n3, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0, storage: 0.1}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0, storage: 0.02}}\n"
    "egress: [{name: internet, from: 'aws/*', to: '*', per: GiB, tiers: [{price: 0.1}]}]\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/n1, client/n2], rtt: 20ms}\n"
    "    - {between: [client/n1, client/n3], rtt: 20ms}\n"
    "    - {between: [client/n2, client/n3], rtt: 20ms}\n"
    "    - {between: [client/n1, edge/one], rtt: 10ms}\n"
    "    - {between: [client/n2, edge/one], rtt: 10ms}\n"
    "    - {between: [client/n3, edge/one], rtt: 10ms}\n"
    "    - {between: [client/n1, aws/one], rtt: 60ms}\n"
    "    - {between: [client/n2, aws/one], rtt: 60ms}\n"
    "    - {between: [client/n3, aws/one], rtt: 60ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 50ms}\n"
    "weights: {latency: 0.000001, device_cpu: 0.00002}\n"
    "policy: {horizon: 730h, healthy_min: 10s, saving_min: {ratio: 0, per_month: 0}}\n";

#define USERS                                                                       \
    "users: [{name: n1, site: client/n1}, {name: n2, site: client/n2}, {name: n3, " \
    "site: client/n3}]\n"
#define RUN "run: {driver: process, artifact: 'file:/bin/x', cpu_per_call: 1ms}"

/* tiles--n1, tiles--n2, tiles--n3 and source, which is pinned to AWS. */
static const char tiles_app[] =
    "app: tiles\n" USERS "workloads:\n"
    "  - {name: tiles, split: true, " RUN ", resources: {cpu: 1, memory: 1GiB}, state: 1GiB,\n"
    "     tiers: [client, edge],\n"
    "     cache: {curve: [{calls: 10/s, hit: 20%}, {calls: 30/s, hit: 60%}]}}\n"
    "  - {name: source, " RUN ", resources: {cpu: 1, memory: 1GiB}, pin: aws/one}\n"
    "links:\n"
    "  - {from: n1, to: tiles, calls: 10/s}\n"
    "  - {from: n2, to: tiles, calls: 10/s}\n"
    "  - {from: n3, to: tiles, calls: 10/s}\n"
    "  - {from: tiles, to: source, calls: 30/s, on_miss: true}\n";

enum { N1, N2, N3, EDGE, AWS };

static void assert_nusd(nusd got, int64_t wanted)
{
    if (got != wanted) {
        char text[MONEY_TEXT_BYTES];
        char other[MONEY_TEXT_BYTES];
        fail_msg("%s instead of %s", money_format(got, 9, text), money_format(wanted, 9, other));
    }
}

/* Choice by choice of a placement; the cost of the problem is that of the ledger. */
static struct cost_report check(struct fixture *f, const int *site, int wanted_rule)
{
    struct placement at[FIXTURE_PARTS];
    int choice[FIXTURE_PARTS];
    for (int i = 0; i < f->app.workload_count; i++) {
        at[i] = (struct placement){.site = site[i]};
    }
    fixture_problem(f);
    assert_true(cost_choices(&f->input, &f->problem, at, choice));
    struct cost_report report = fixture_explain_at(f, at);
    assert_true(problem_cost(&f->problem, choice) == report.total.score + report.stay);
    assert_int_equal(problem_broken_rule(&f->problem, choice), wanted_rule);
    for (int i = 0; i < f->app.workload_count; i++) {
        struct placement back = cost_placement(&f->input, &f->problem, i, choice[i]);
        assert_int_equal(back.site, site[i]);
        int lead = 0; /* the first of the family at that site */
        while (lead < i &&
               (site[lead] != site[i] || f->app.workloads[i].family[0] == '\0' ||
                !str_equal(f->app.workloads[i].family, f->app.workloads[lead].family))) {
            lead++;
        }
        assert_int_equal(back.lead, lead);
    }
    return report;
}

static void test_who_shares_pays_once(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, tiles_app);
    assert_int_equal(f.app.workload_count, 4);
    /* Three at the edge: 1 vCPU x $0.1 x 730 h and 1 GiB of state, once, at 30/s: a hit ratio of
     * 60 %. 12/s miss, 50 ms from the source. */
    struct cost_report report = check(&f, (int[]){EDGE, EDGE, EDGE, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_EDGE], INT64_C(73000000000));
    assert_nusd(report.total.score_term[TERM_EDGE], INT64_C(121666666667));
    /* 1 GiB at $0.1 */
    assert_nusd(report.total.bill_term[TERM_STORAGE], 100000000);
    assert_nusd(report.total.score_term[TERM_LATENCY], INT64_C(2628) * (30 * 10 + 12 * 50) * 1000);
    int demand = 0;
    for (int i = 0; i < 3; i++) {
        struct placement at[] = {{EDGE, 0, 0}, {EDGE, 0, 0}, {EDGE, 0, 0}, {AWS, 0, 0}};
        int choice = cost_choice(&f.input, &f.problem, at, i);
        demand += (int)f.problem.parts[i].choices[choice].demand[RESOURCE_CPU];
    }
    assert_int_equal(demand, 1000);
    /* Two: 40 % of 20/s; the third runs it itself at 20 %, and asks from 60 ms away. */
    report = check(&f, (int[]){N1, EDGE, EDGE, AWS}, -1);
    assert_nusd(report.total.score_term[TERM_EDGE], INT64_C(182500000000));
    assert_nusd(report.total.score_term[TERM_LATENCY],
                INT64_C(2628) * (20 * 10 + 12 * 50 + 8 * 60) * 1000);
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], 525600000);
    fixture_end(&f);
}

static void test_choices_agree(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, tiles_app);
    fixture_problem(&f);
    /* Alone or with any of two others at four sites; at AWS, where it may not be, only alone. */
    assert_int_equal(f.problem.parts[0].choice_count, 4 * 4 + 1);
    assert_int_equal(f.problem.parts[3].choice_count, 5);
    int64_t consistent = 0;
    int choice[4];
    struct placement at[4];
    choice[3] = AWS;
    for (int64_t k = 0; k < (int64_t)17 * 17 * 17; k++) {
        choice[0] = (int)(k % 17);
        choice[1] = (int)(k / 17 % 17);
        choice[2] = (int)(k / 289);
        int rule = problem_broken_rule(&f.problem, choice);
        if (rule >= 0) {
            continue;
        }
        int back[4];
        for (int i = 0; i < 4; i++) {
            at[i] = cost_placement(&f.input, &f.problem, i, choice[i]);
        }
        assert_true(cost_choices(&f.input, &f.problem, at, back));
        assert_memory_equal(back, choice, sizeof(back));
        consistent++;
    }
    /* Every placement of three parts on the four sites that are allowed, each in one way. */
    assert_int_equal(consistent, 64);
    /* Side by side at one site without sharing is none of them. */
    choice[0] = choice[1] = choice[2] = 0;
    int rule = problem_broken_rule(&f.problem, choice);
    assert_string_equal(
        f.problem.rules[rule].text,
        "default/tiles/tiles--n1 and tiles--n2 share what serves them where they are at one site");
    fixture_end(&f);
}

static void give(struct fixture *f, struct estimate *list, int count)
{
    for (int i = 0; i < count; i++) {
        str_format(list[i].namespace_, sizeof(list[i].namespace_), "default");
        str_format(list[i].app, sizeof(list[i].app), "tiles");
        list[i].at_us = 1;
    }
    f->input.estimates = (struct estimates){list, count};
}

static int64_t hit_of(struct fixture *f, int site, unsigned sharers)
{
    struct cost_lookup lookup = {.input = &f->input};
    struct cost_family family = cost_family_of(&lookup, 0, 0);
    bool measured;
    return cost_family_hit_ppm(&lookup, &family, site, 0, sharers, &measured);
}

static void test_hits_of_who_shares(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, tiles_app);
    assert_int_equal(hit_of(&f, EDGE, 1), 200000);
    assert_int_equal(hit_of(&f, EDGE, 3), 400000);
    assert_int_equal(hit_of(&f, EDGE, 7), 600000);
    /* Two share the edge, at 35 % instead of the curve's 40 %. */
    struct estimate list[] = {
        {.kind = ESTIMATE_HIT_PPM, .workload = "tiles--n1", .site = "edge/one", .value = 350000}};
    give(&f, list, 1);
    f.states[0].now.site = EDGE;
    f.states[1].now.site = EDGE;
    f.states[2].now.site = N3;
    assert_int_equal(hit_of(&f, EDGE, 3), 350000);
    assert_int_equal(hit_of(&f, EDGE, 7), 550000);
    assert_int_equal(hit_of(&f, EDGE, 1), 150000);
    /* The same elsewhere, where nothing of it was measured. */
    assert_int_equal(hit_of(&f, N3, 4), 150000);
    /* Where it once ran, no better than it was there; and a ratio stays one. */
    f.states[0].now.site = N1;
    f.states[1].now.site = N2;
    assert_int_equal(hit_of(&f, EDGE, 7), 350000);
    assert_int_equal(hit_of(&f, EDGE, 1), 200000);
    f.states[0].now.site = EDGE;
    f.states[1].now.site = EDGE;
    list[0].value = 0;
    assert_int_equal(hit_of(&f, EDGE, 1), 0);
    bool measured;
    assert_int_equal(cost_hit_ppm(&f.input, 0, 1, EDGE, &measured), 0);
    assert_true(measured);
    fixture_end(&f);
}

/* What the sets that run serve together is divided by the priors, however they share. */
static void test_calls_of_a_family(void **state)
{
    (void)state;
    struct fixture f;
    bool measured;
    fixture_begin(&f, world_text, tiles_app);
    struct estimate list[] = {
        {.kind = ESTIMATE_CALLS_MHZ, .workload = "tiles--n1", .site = "edge/one", .value = 40000},
        {.kind = ESTIMATE_CALLS_MHZ, .workload = "tiles--n3", .site = "client/n3", .value = 50000},
    };
    give(&f, list, 2);
    f.states[0].now.site = EDGE;
    f.states[1].now.site = EDGE;
    f.states[2].now.site = N3;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cost_calls_mhz(&f.input, 0, i, &measured), 30000);
        assert_true(measured);
    }
    /* One that nothing was measured of counts as its prior: 40 + 10. */
    give(&f, list, 1);
    assert_int_equal(cost_calls_mhz(&f.input, 0, 2, &measured), 16666);
    /* What the second measured when it led a set of its own is not added to the set it shares. */
    str_format(list[1].workload, sizeof(list[1].workload), "tiles--n2");
    give(&f, list, 2);
    assert_int_equal(cost_calls_mhz(&f.input, 0, 2, &measured), 16666);
    /* Samples that say whose requests they were are told of each part: 40 + 20 + the third's 10. */
    list[1].site[0] = '\0';
    list[1].value = 20000;
    give(&f, list, 2);
    assert_int_equal(cost_calls_mhz(&f.input, 0, 2, &measured), 23333);
    /* Those that ended long ago are not of this set. */
    list[0].at_us = list[1].at_us + f.world.policy.metric_age_max_us + 1;
    assert_int_equal(cost_calls_mhz(&f.input, 0, 2, &measured), 16666);
    fixture_end(&f);
}

/* hub is called by two groups of users and by a job; what users are measured to call is theirs. */
static const char hub_app[] =
    "app: tiles\n" USERS "workloads:\n"
    "  - {name: hub, " RUN ", resources: {cpu: 1, memory: 1GiB}, tiers: [edge, cloud]}\n"
    "  - {name: job, " RUN ", resources: {cpu: 1, memory: 1GiB}, calls: 10/s, pin: aws/one}\n"
    "links:\n"
    "  - {from: n1, to: hub, calls: 10/s}\n"
    "  - {from: n2, to: hub, calls: 20/s}\n"
    "  - {from: n2, to: hub, calls: 10/s}\n"
    "  - {from: job, to: hub, calls: 10/s}\n";

static void assert_links(struct fixture *f, const int64_t *mhz, int count)
{
    struct cost_context context;
    if (cost_context_build(&f->input, &f->arena, &context, &f->err) < 0)
        fail_msg("%s", f->err.text);
    assert_int_equal(context.link_count, count);
    for (int i = 0; i < count; i++)
        assert_int_equal(context.links[i].calls_mhz, mhz[i]);
}

static void test_users_are_measured_one_by_one(void **state)
{
    (void)state;
    struct fixture f;
    struct estimate list[] = {
        {.kind = ESTIMATE_CALLS_MHZ, .workload = "hub", .value = 60000},
        {.kind = ESTIMATE_USERS_MHZ, .workload = "hub", .peer = "n1", .value = 3000},
        {.kind = ESTIMATE_USERS_MHZ, .workload = "hub", .peer = "n2", .value = 45000},
        {.kind = ESTIMATE_USERS_MHZ, .workload = "hub", .peer = "n9", .value = 7000}};
    fixture_begin(&f, world_text, hub_app);
    give(&f, list, 1);
    assert_links(&f, (int64_t[]){12000, 24000, 12000, 12000}, 4);
    /* Who is not measured shares what is left, by the priors. */
    give(&f, list, 2);
    assert_links(&f, (int64_t[]){3000, 28500, 14250, 14250}, 4);
    give(&f, list, 4);
    assert_links(&f, (int64_t[]){3000, 30000, 15000, 12000}, 4);
    /* More than the whole is measured to be: in proportion, and nothing is left. */
    list[0].value = 24000;
    assert_links(&f, (int64_t[]){1500, 15000, 7500, 0}, 4);
    list[0].kind = ESTIMATE_CPU_NS;
    assert_links(&f, (int64_t[]){3000, 30000, 15000, 10000}, 4);
    fixture_end(&f);
    /* Parts of a family are called by their own users, wherever they share. */
    struct estimate parts[] = {
        {.kind = ESTIMATE_CALLS_MHZ, .workload = "tiles--n1", .value = 30000},
        {.kind = ESTIMATE_USERS_MHZ, .workload = "tiles--n1", .peer = "n1", .value = 25000},
        {.kind = ESTIMATE_USERS_MHZ, .workload = "tiles--n2", .peer = "n2", .value = 1000}};
    fixture_begin(&f, world_text, tiles_app);
    give(&f, parts, 3);
    for (int i = 0; i < 3; i++)
        f.states[i].now.site = EDGE;
    assert_links(&f, (int64_t[]){25000, 1000, 4000, 25000, 1000, 4000}, 6);
    fixture_end(&f);
}

static void test_moves_of_who_shares(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, tiles_app);
    f.states[0].now.site = EDGE;
    f.states[1].now.site = EDGE;
    f.states[2].now.site = N3;
    f.states[3].now.site = AWS;
    f.world.policy.saving_min = NUSD_PER_USD;
    /* The third joins what runs: nothing moves but its users, and its preference to stay. */
    struct cost_report report = check(&f, (int[]){EDGE, EDGE, EDGE, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 0);
    assert_nusd(report.stay, NUSD_PER_USD);
    assert_int_equal(f.problem.parts[0].choices[f.problem.parts[0].current].site, EDGE);
    /* The second leaves: it never led, so nothing of it runs on. */
    report = check(&f, (int[]){EDGE, N2, N3, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 0);
    /* The first leaves, and with it the instances: for 10 + 10 + 10 s they run on at the edge. */
    report = check(&f, (int[]){N1, EDGE, N3, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 833333);
    fixture_end(&f);
}

/* A hold keeps a part where it is, not those it shares with. */
static void test_holds_of_who_shares(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, tiles_app);
    for (int i = 0; i < 2; i++) {
        f.states[i] = (struct workload_state){.now = {.site = EDGE}, .may_move = i == 1};
    }
    f.world.sites[EDGE].capacity[RESOURCE_CPU] = 1000; /* as much as one set of instances */
    (void)check(&f, (int[]){EDGE, EDGE, EDGE, AWS}, -1);
    (void)check(&f, (int[]){EDGE, N2, N3, AWS}, -1);
    struct placement at[] = {{N1, 0, 0}, {EDGE, 0, 0}, {N3, 0, 0}, {AWS, 0, 0}};
    int choice[4];
    assert_true(cost_choices(&f.input, &f.problem, at, choice));
    int rule = problem_broken_rule(&f.problem, choice);
    assert_string_equal(f.problem.rules[rule].text,
                        "default/tiles/tiles--n1 stays at edge/one: it may not move now");
    /* The second is sent elsewhere by a rule: the first is still held. */
    f.states[1].may_move = false;
    str_format(f.app.workloads[1].pin, LIMIT_REF_BYTES, "client/n2");
    (void)check(&f, (int[]){EDGE, N2, N3, AWS}, -1);
    /* That one would share with the other at the edge is no choice at all. */
    at[0].site = EDGE;
    assert_false(cost_choices(&f.input, &f.problem, at, choice));
    fixture_end(&f);
}

static void test_candidates_name_sharers(void **state)
{
    (void)state;
    struct fixture f;
    struct cost_candidate *list = NULL;
    int count = 0;
    fixture_begin(&f, world_text, tiles_app);
    const struct placement at[] = {{N1, 0, 0}, {EDGE, 0, 1}, {EDGE, 0, 1}, {AWS, 0, 3}};
    assert_int_equal(cost_candidates(&f.input, at, 0, &f.arena, &list, &count, &f.err), 0);
    assert_int_equal(count, 5);
    assert_string_equal(list[EDGE].sharers, "tiles--n2, tiles--n3");
    assert_int_equal(list[EDGE].to.lead, 0);
    assert_true(list[EDGE].allowed && list[N1].chosen && !list[AWS].allowed);
    assert_string_equal(list[N1].sharers, "");
    struct cost_report there = check(&f, (int[]){EDGE, EDGE, EDGE, AWS}, -1);
    struct cost_report here = check(&f, (int[]){N1, EDGE, EDGE, AWS}, -1);
    assert_true(list[EDGE].gap == there.total.score - here.total.score);
    fixture_end(&f);
}

static const char replica_app[] =
    "app: replicas\n" USERS "workloads:\n"
    "  - {name: a, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
    "  - {name: b, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
    "  - {name: c, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
    "data: [{name: models, size: 100GiB, update: 1KiB/s, split: true, at: {a: aws/one}}]\n"
    "links:\n"
    "  - {from: n1, to: a, calls: 1/s}\n"
    "  - {from: n2, to: b, calls: 1/s}\n"
    "  - {from: n3, to: c, calls: 1/s}\n"
    "  - {from: a, to: models, calls: 1/s}\n"
    "  - {from: b, to: models, calls: 1/s}\n"
    "  - {from: c, to: models, calls: 1/s}\n";

/* One primary, its replicas elsewhere: stored once per site, updated once per other site. */
static void test_replicas(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, replica_app);
    assert_int_equal(f.app.workload_count, 6);
    /* All at AWS: 100 GiB x $0.02, nothing to update. */
    struct cost_report report = check(&f, (int[]){AWS, AWS, AWS, AWS, AWS, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_STORAGE], 2000000000);
    assert_nusd(report.total.bill_term[TERM_EGRESS], 0);
    /* Two replicas share the edge: + 100 GiB x $0.1; 2,628,000 KiB x $0.1 per GiB, once. */
    report = check(&f, (int[]){AWS, EDGE, EDGE, AWS, EDGE, EDGE}, -1);
    assert_nusd(report.total.bill_term[TERM_STORAGE], 12000000000);
    assert_nusd(report.total.bill_term[TERM_EGRESS], 250625610);
    /* The primary at the edge sends for nothing: only AWS bills what leaves it. */
    report = check(&f, (int[]){EDGE, AWS, AWS, EDGE, AWS, AWS}, -1);
    assert_nusd(report.total.bill_term[TERM_EGRESS], 0);
    /* And comes from AWS once: 100 GiB x $0.1. */
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 10000000000);
    fixture_end(&f);
}

static void test_too_many_choices(void **state)
{
    (void)state;
    struct fixture f;
    struct strbuf world;
    struct strbuf app;
    strbuf_init(&world, 64 << 10);
    strbuf_init(&app, 64 << 10);
    strbuf_puts(&world, "world: many\naccounts: [{name: a, provider: aws}]\nsites:\n"
                        "  - {name: client/web, tier: client, geo: [0, 0]}\n");
    for (int i = 0; i < 70; i++) {
        strbuf_printf(&world,
                      "  - {name: aws/s%d, tier: cloud, account: a, geo: [%d, 0],\n"
                      "     price: {cpu: 0.1, memory: 0.1}}\n",
                      i, i);
    }
    strbuf_puts(&app, "app: many\nusers:\n");
    for (int i = 0; i < 5; i++) {
        strbuf_printf(&app, "  - {name: n%d, site: client/web}\n", i);
    }
    strbuf_puts(&app, "workloads:\n  - name: w\n    split: true\n    resources: {cpu: 1, memory: "
                      "1GiB}\n    variants:\n");
    for (int i = 0; i < 8; i++) {
        strbuf_printf(&app, "      - {name: v%d, driver: process, artifact: 'file:/bin/x'}\n", i);
    }
    strbuf_puts(&app, "links:\n");
    for (int i = 0; i < 5; i++) {
        strbuf_printf(&app, "  - {from: n%d, to: w, calls: 1/s}\n", i);
    }
    fixture_begin(&f, strbuf_text(&world), strbuf_text(&app));
    assert_int_equal(cost_problem(&f.input, &f.arena, &f.problem, &f.err), ERR_LIMIT);
    /* 71 sites x 8 variants x 2^4 sets of sharers */
    assert_non_null(strstr(f.err.text, "default/many/w--n0 has 9088 choices"));
    assert_non_null(strstr(f.err.text, "71 sites, 8 variants, a family of 5"));
    assert_non_null(strstr(f.err.text, "narrow it"));
    strbuf_done(&world);
    strbuf_done(&app);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_shares_pays_once),
        cmocka_unit_test(test_choices_agree),
        cmocka_unit_test(test_hits_of_who_shares),
        cmocka_unit_test(test_calls_of_a_family),
        cmocka_unit_test(test_moves_of_who_shares),
        cmocka_unit_test(test_holds_of_who_shares),
        cmocka_unit_test(test_candidates_name_sharers),
        cmocka_unit_test(test_replicas),
        cmocka_unit_test(test_too_many_choices),
        cmocka_unit_test(test_users_are_measured_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
