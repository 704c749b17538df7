/* The cost terms against figures worked out by hand, and the rules that a problem carries. */
#include "model_fixture.h"

#include "model/cost_internal.h"

#define TEXT_BYTES (64 << 10)

static char demo[TEXT_BYTES];
static char demo_app[TEXT_BYTES];

/* An app of the demo's form: a front at the edge, a service with a cache, its source in GCP. */
static const char shop[] =
    "app: shop\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - name: front\n"
    "    run: {driver: process, artifact: 'file:/bin/front'}\n"
    "    resources: {cpu: 100m, memory: 32MiB}\n"
    "    tiers: [client, edge]\n"
    "    pin: edge/nyc\n"
    "  - name: inference\n"
    "    run: {driver: process, artifact: 'file:/bin/inference'}\n"
    "    resources: {cpu: 250m, memory: 128MiB}\n"
    "    tiers: [edge, cloud]\n"
    "    cache: {hit_ratio: 90%}\n"
    "    artifact_size: 1MiB\n"
    "  - name: source\n"
    "    run: {driver: process, artifact: 'file:/bin/source'}\n"
    "    resources: {cpu: 250m, memory: 64MiB}\n"
    "    require: {cloud: gcp}\n"
    "    state: 10MiB\n"
    "links:\n"
    "  - {from: web, to: front, calls: 200/s, request: 256B, response: 512B}\n"
    "  - {from: front, to: inference, calls: 200/s, request: 256B, response: 512B}\n"
    "  - {from: inference, to: source, calls: 200/s, request: 256B, response: 4KiB, on_miss: "
    "true}\n";

/* One cloud, one edge, one client, round prices: everything can be worked out on paper. */
static const char plain_world[] =
    "world: plain\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005},\n"
    "     overhead: 25%}\n"
    "egress:\n"
    "  - {name: internet, from: 'aws/*', to: '*', per: GiB, tiers: [{up_to: 10240GiB, price: "
    "0.09},\n"
    "     {up_to: 51200GiB, price: 0.085}, {up_to: 153600GiB, price: 0.07}, {price: 0.05}]}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms, factor: 2ms}\n"
    "weights: {latency: 0.000001, device_cpu: 0.00002}\n"
    "policy: {horizon: 73h, healthy_min: 10s, saving_min: {ratio: 0, per_month: 0}}\n";

#define RUN "run: {driver: process, artifact: 'file:/bin/x', cpu_per_call: 1ms}"

static const char plain_app[] =
    "app: plain\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - {name: cache, " RUN ", resources: {cpu: 500m, memory: 2GiB}, replicas: 2,\n"
    "     cache: {hit_ratio: 80%}}\n"
    "  - {name: origin, " RUN ", resources: {cpu: 1, memory: 1GiB}, state: 1GiB}\n"
    "links:\n"
    "  - {from: web, to: cache, calls: 100/s}\n"
    "  - {from: cache, to: origin, calls: 100/s, on_miss: true}\n";

static int setup(void **state)
{
    (void)state;
    read_text(BERTH_SOURCE_DIR "/examples/worlds/demo.yaml", demo, sizeof(demo));
    read_text(BERTH_SOURCE_DIR "/examples/apps/shop.yaml", demo_app, sizeof(demo_app));
    return 0;
}

static void assert_nusd(nusd got, int64_t wanted)
{
    if (got != wanted) {
        char text[MONEY_TEXT_BYTES];
        char other[MONEY_TEXT_BYTES];
        fail_msg("%s instead of %s", money_format(got, 9, text), money_format(wanted, 9, other));
    }
}

static void test_compute_terms(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, plain_world, plain_app);
    int edge = fixture_site(&f, "edge/one");
    int cloud = fixture_site(&f, "aws/one");
    int client = fixture_site(&f, "client/web");
    struct cost_report report = fixture_explain(&f, (int[]){edge, cloud});
    /* cache at the edge: 1 vCPU x $0.1 x 730 h = $73; 4 GiB x $0.01 x 730 h = $29.2; score / 0.8 */
    assert_nusd(report.total.bill_term[TERM_EDGE], INT64_C(102200000000));
    assert_nusd(report.total.score_term[TERM_EDGE], INT64_C(127750000000));
    /* origin is reserved whole: ($0.04 + $0.005) x 730 h x 1.25; 20 % of the calls reach it */
    assert_nusd(report.total.bill_term[TERM_DATACENTRE], INT64_C(41062500000));
    assert_nusd(report.total.score_term[TERM_DATACENTRE], INT64_C(8212500000));
    /* 100/s x 2,628,000 s x 10 ms + 20/s x 2,628,000 s x 42 ms = 2,628,000 + 2,207,520 s */
    assert_nusd(report.total.score_term[TERM_LATENCY], INT64_C(4835520000));
    assert_nusd(report.total.bill_term[TERM_LATENCY], 0);

    report = fixture_explain(&f, (int[]){client, edge});
    /* 100/s x 2,628,000 s x 1 ms of CPU x $0.00002 = $5.256, which nobody bills */
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], INT64_C(5256000000));
    assert_nusd(report.total.bill_term[TERM_DEVICE_CPU], 0);
    /* origin has no cache: its score is its bill: ($0.1 + $0.01) x 730 h */
    assert_nusd(report.total.bill_term[TERM_EDGE], INT64_C(80300000000));
    assert_nusd(report.total.score_term[TERM_EDGE], INT64_C(80300000000));

    /* The users' calls all reach the cache: no share but all of it. ($0.04 + 4 x $0.005) x 912.5 */
    report = fixture_explain(&f, (int[]){cloud, edge});
    assert_nusd(report.total.bill_term[TERM_DATACENTRE], INT64_C(54750000000));
    fixture_end(&f);
}

static void test_estimates_replace_priors(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, plain_world, plain_app);
    int edge = fixture_site(&f, "edge/one");
    int cloud = fixture_site(&f, "aws/one");
    const struct estimate list[] = {
        {ESTIMATE_HIT_PPM, "default", "plain", "cache", "edge/one", "", 500000, 7, 0, 0},
        {ESTIMATE_HIT_PPM, "default", "plain", "cache", "edge/one", "", 400000, 5, 0, 0},
        {ESTIMATE_CALLS_MHZ, "default", "plain", "cache", "edge/one", "", 50000, 7, 0, 0},
        {ESTIMATE_HIT_PPM, "default", "other", "cache", "edge/one", "", 100000, 9, 0, 0},
        {ESTIMATE_RTT_US, "", "", "", "aws/one", "edge/one", 90000, 7, 0, 0},
    };
    f.input.estimates = (struct estimates){list, 5};
    bool measured = false;
    assert_int_equal(cost_hit_ppm(&f.input, 0, 0, edge, &measured), 500000);
    assert_true(measured);
    /* Where it never ran, what it did elsewhere says more than the document. */
    assert_int_equal(cost_hit_ppm(&f.input, 0, 0, cloud, &measured), 500000);
    assert_int_equal(cost_hit_ppm(&f.input, 0, 1, cloud, &measured), -1);
    assert_false(measured);
    assert_int_equal(cost_calls_mhz(&f.input, 0, 0, &measured), 50000);
    assert_int_equal(cost_calls_mhz(&f.input, 0, 1, &measured), 20000);
    /* The world declares its latencies: what is measured does not count. */
    assert_int_equal(cost_rtt_us(&f.input, edge, cloud, &measured), 40000);
    f.world.latency_measured = true;
    assert_int_equal(cost_rtt_us(&f.input, edge, cloud, &measured), 90000);
    assert_true(measured);
    struct cost_report report = fixture_explain(&f, (int[]){edge, cloud});
    /* 50/s x 10 ms + 50/s x half x 92 ms */
    assert_nusd(report.total.score_term[TERM_LATENCY], INT64_C(2628) * (500 + 2300) * 1000);
    assert_nusd(report.total.score_term[TERM_EDGE], INT64_C(204400000000));
    fixture_end(&f);
}

/* The volumes at which AWS's price changes, and one GiB either side, through documents to lines.
 * A link of 256-byte answers that a millionth of the calls travels can hit any whole GiB exactly:
 * calls = GiB x 2^30 x 10^6 / (2,628,000 s x 256), rounded. The wanted dollars are worked out by
 * hand from 0.09, 0.085, 0.07 and 0.05 per GiB. */
static void test_egress_tiers(void **state)
{
    (void)state;
    static const struct {
        int64_t gib;
        int64_t wanted; /* nano-dollars */
        int lines;
    } table[] = {
        {1, 90000000, 1},
        {10239, INT64_C(921510000000), 1},
        {10240, INT64_C(921600000000), 1},
        {10241, INT64_C(921685000000), 2},
        {51199, INT64_C(4403115000000), 2},
        {51200, INT64_C(4403200000000), 2},
        {51201, INT64_C(4403270000000), 3},
        {153599, INT64_C(11571130000000), 3},
        {153600, INT64_C(11571200000000), 3},
        {153601, INT64_C(11571250000000), 4},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char app[4096];
        __int128 exact = (__int128)table[i].gib * (INT64_C(1) << 30) * PPM;
        int64_t calls_mhz = (int64_t)((exact + 2628 * 128) / (2628 * 256));
        str_format(app, sizeof(app),
                   "app: e\n"
                   "workloads:\n"
                   "  - {name: cache, " RUN ", resources: {cpu: 1, memory: 1GiB},\n"
                   "     cache: {hit_ratio: 99.9999%%}}\n"
                   "  - {name: origin, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
                   "links: [{from: cache, to: origin, on_miss: true, calls: %lld.%03lld/s,\n"
                   "         response: 256B}]\n",
                   (long long)(calls_mhz / 1000), (long long)(calls_mhz % 1000));
        struct fixture f;
        fixture_begin(&f, plain_world, app);
        int sites[] = {fixture_site(&f, "edge/one"), fixture_site(&f, "aws/one")};
        struct cost_report report = fixture_explain(&f, sites);
        assert_nusd(report.total.bill_term[TERM_EGRESS], table[i].wanted);
        assert_nusd(report.total.score_term[TERM_EGRESS], table[i].wanted);
        int lines = 0;
        for (int k = 0; k < report.line_count; k++) {
            lines += report.lines[k].term == TERM_EGRESS ? 1 : 0;
        }
        assert_int_equal(lines, table[i].lines);
        fixture_problem(&f);
        assert_true(problem_cost(&f.problem, sites) == report.total.score);
        /* Half of it already used this month: the rest starts where that ended. */
        f.world.egress[0].month_to_date_bytes = INT64_C(10240) << 30;
        report = fixture_explain(&f, sites);
        assert_true(table[i].gib > 40960 ||
                    report.total.bill_term[TERM_EGRESS] == (nusd)table[i].gib * 85000000);
        fixture_end(&f);
    }
}

static void test_migration_and_staying(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, plain_world, plain_app);
    int edge = fixture_site(&f, "edge/one");
    int cloud = fixture_site(&f, "aws/one");
    f.states[0].now.site = edge;
    f.states[1].now.site = cloud;
    assert_nusd(fixture_explain(&f, (int[]){edge, cloud}).total.score_term[TERM_MIGRATION], 0);
    struct cost_report report = fixture_explain(&f, (int[]){edge, edge});
    /* 1 GiB of state x $0.09, and 10 + 10 + 10 s of 1 vCPU and 1 GiB with overhead:
     * 30 / 3600 h x 1.25 x $0.045 = $0.00046875; all once, or ten times a month at a horizon of 73
     * h */
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 90468750);
    assert_nusd(report.total.score_term[TERM_MIGRATION], 904687500);
    assert_nusd(report.stay, 0);

    /* The preference to stay is a cost of every other site, and reported beside the lines. */
    f.world.policy.saving_min = 3 * NUSD_PER_USD;
    report = fixture_explain(&f, (int[]){edge, edge});
    assert_nusd(report.stay, INT64_C(3000000000));
    fixture_problem(&f);
    assert_true(problem_cost(&f.problem, (int[]){edge, edge}) == report.total.score + report.stay);
    f.world.policy.saving_min_ppm = PPM;
    report = fixture_explain(&f, (int[]){edge, edge});
    /* origin's own score: $8.2125 of compute and 2,207,520 s of its callers' waiting */
    assert_nusd(report.stay, INT64_C(8212500000) + INT64_C(2207520000));
    fixture_end(&f);
}

/* An optimum is where to stay: with any smallest saving, the best of today is the best tomorrow. */
static void test_optimum_stays(void **state)
{
    (void)state;
    struct fixture f;
    int best[FIXTURE_PARTS];
    int again[FIXTURE_PARTS];
    nusd cost = 0;
    fixture_begin(&f, demo, shop);
    fixture_problem(&f);
    assert_true(brute_force(&f.problem, best, &cost));
    for (int i = 0; i < f.app.workload_count; i++) {
        f.states[i].now.site = best[i];
    }
    fixture_problem(&f);
    assert_true(brute_force(&f.problem, again, &cost));
    assert_memory_equal(best, again, (size_t)f.app.workload_count * sizeof(int));
    fixture_end(&f);
}

/* Where an app's inference is cheapest at a measured hit ratio, with its source tied to a cloud. */
static const char *inference_at(const char *app, int64_t hit_ppm, const char *cloud,
                                int64_t calls_mhz, bool moved)
{
    static char name[LIMIT_REF_BYTES];
    struct fixture f;
    struct app retagged;
    int best[FIXTURE_PARTS];
    nusd cost = 0;
    fixture_begin(&f, demo, app);
    assert_int_equal(app_retag(&f.app, "source", "cloud", cloud, &f.arena, &retagged, &f.err), 0);
    f.cost_app.app = &retagged;
    const struct estimate list[] = {
        {ESTIMATE_HIT_PPM, "default", "shop", "inference", "edge/nyc", "", hit_ppm, 1, 0, 0},
        {ESTIMATE_CALLS_MHZ, "default", "shop", "inference", "edge/nyc", "", calls_mhz, 1, 0, 0},
        {ESTIMATE_CALLS_MHZ, "default", "shop", "front", "edge/nyc", "", calls_mhz, 1, 0, 0},
    };
    f.input.estimates = (struct estimates){list, 3};
    f.states[app_workload(&f.app, "front")].now.site = fixture_site(&f, "edge/nyc");
    f.states[app_workload(&f.app, "inference")].now.site =
        fixture_site(&f, moved ? "aws/us-east-1" : "edge/nyc");
    f.states[app_workload(&f.app, "source")].now.site =
        fixture_site(&f, str_equal(cloud, "aws") ? "aws/us-east-1" : "gcp/us-central1");
    fixture_problem(&f);
    assert_true(brute_force(&f.problem, best, &cost));
    str_format(name, sizeof(name), "%s", f.world.sites[best[fixture_part(&f, "inference")]].name);
    fixture_end(&f);
    return name;
}

static void check_flip(const char *app, int64_t calls_mhz)
{
    assert_string_equal(inference_at(app, 900000, "gcp", calls_mhz, false), "edge/nyc");
    assert_string_equal(inference_at(app, 900000, "aws", calls_mhz, false), "edge/nyc");
    assert_string_equal(inference_at(app, 200000, "aws", calls_mhz, false), "aws/us-east-1");
    assert_string_equal(inference_at(app, 200000, "gcp", calls_mhz, false), "gcp/us-central1");
    /* Having moved there, it stays there under the same figures. */
    assert_string_equal(inference_at(app, 200000, "aws", calls_mhz, true), "aws/us-east-1");
    int64_t low = 200000;
    int64_t high = 900000;
    while (high - low > 5000) {
        int64_t middle = (low + high) / 2;
        bool edge = str_equal(inference_at(app, middle, "aws", calls_mhz, false), "edge/nyc");
        *(edge ? &high : &low) = middle;
    }
    print_message("at %lld calls/s, the source in AWS, inference leaves the edge below a hit ratio "
                  "of %lld %%\n",
                  (long long)(calls_mhz / 1000), (long long)(high / 10000));
    assert_in_range((uintmax_t)high, 220000, 700000);
}

static void test_demo_flips_with_its_hit_ratio(void **state)
{
    (void)state;
    static const int64_t rates_mhz[] = {50000, 100000, 200000, 500000, 2500000};
    for (size_t i = 0; i < sizeof(rates_mhz) / sizeof(rates_mhz[0]); i++) {
        check_flip(demo_app, rates_mhz[i]);
        check_flip(shop, rates_mhz[i]);
    }
}

static const struct problem_rule *rule_with(const struct problem *problem, const char *words)
{
    for (int i = 0; i < problem->rule_count; i++) {
        if (strstr(problem->rules[i].text, words) != NULL) {
            return &problem->rules[i];
        }
    }
    return NULL;
}

static void test_rules(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, demo, shop);
    int aws = fixture_site(&f, "aws/us-east-1");
    int gcp = fixture_site(&f, "gcp/us-central1");
    int edge = fixture_site(&f, "edge/nyc");
    bool blocked[4] = {false};
    int64_t capacity[4][RESOURCE_COUNT];
    for (int i = 0; i < 4; i++) {
        capacity[i][RESOURCE_CPU] = i == aws ? -1 : 1000;
        capacity[i][RESOURCE_MEMORY] = i == aws ? -1 : INT64_C(1) << 30;
    }
    blocked[gcp] = true;
    f.input.capacity = capacity;
    f.states[1].site_blocked = blocked;
    f.app.links[2].latency_max_us = 30000;
    int together[] = {0, 1};
    struct apart apart = {together, 2};
    f.app.aparts = &apart;
    f.app.apart_count = 1;
    fixture_problem(&f);
    const struct problem_rule *rule =
        rule_with(&f.problem, "default/shop/source needs tag cloud=gcp");
    assert_non_null(rule);
    assert_true(rule->allowed[gcp] && !rule->allowed[aws] && !rule->allowed[edge]);
    assert_non_null(rule_with(&f.problem, "default/shop/front is pinned to edge/nyc"));
    rule = rule_with(&f.problem, "default/shop/inference runs in tier edge or cloud only");
    assert_non_null(rule);
    assert_true(rule->allowed[edge] && !rule->allowed[fixture_site(&f, "client/web")]);
    rule = rule_with(&f.problem, "default/shop/inference needs a site with a live node");
    assert_non_null(rule);
    assert_true(!rule->allowed[aws] && rule->allowed[gcp]);
    rule = rule_with(&f.problem, "default/shop/inference is kept from sites");
    assert_non_null(rule);
    assert_true(!rule->allowed[gcp] && rule->allowed[edge]);
    rule = rule_with(&f.problem, "default/shop/source must be within 30 ms of inference");
    assert_non_null(rule);
    assert_int_equal(rule->kind, RULE_PAIR);
    assert_true(rule->allowed[edge * 4 + gcp] && !rule->allowed[aws * 4 + gcp]);
    assert_true(rule->allowed[aws * 4 + aws]);
    rule = rule_with(&f.problem, "edge/nyc has 1 vCPU");
    assert_non_null(rule);
    assert_int_equal(rule->capacity, 1000);
    rule = rule_with(&f.problem, "keeps front and inference apart");
    assert_non_null(rule);
    int best[FIXTURE_PARTS];
    nusd cost;
    /* front is pinned to the edge; inference may not join it, nor be anywhere else. */
    assert_false(brute_force(&f.problem, best, &cost));
    fixture_end(&f);
}

static void test_holds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, demo, shop);
    int edge = fixture_site(&f, "edge/nyc");
    int aws = fixture_site(&f, "aws/us-east-1");
    f.states[1] = (struct workload_state){.now = {.site = aws}, .may_move = false};
    f.states[2] = (struct workload_state){.now = {.site = edge}, .may_move = false};
    fixture_problem(&f);
    /* inference stays; the source's site is forbidden by its tag, so it is not held there. */
    assert_non_null(rule_with(&f.problem, "default/shop/inference stays at aws/us-east-1"));
    assert_null(rule_with(&f.problem, "default/shop/source stays"));
    int best[FIXTURE_PARTS];
    nusd cost;
    assert_true(brute_force(&f.problem, best, &cost));
    assert_int_equal(best[1], aws);
    /* A hard latency to what can only be elsewhere lets it go. */
    f.app.links[2].latency_max_us = 30000;
    fixture_problem(&f);
    assert_null(rule_with(&f.problem, "default/shop/inference stays"));
    assert_true(brute_force(&f.problem, best, &cost));
    assert_int_not_equal(best[1], aws);
    fixture_end(&f);
}

static void test_candidates(void **state)
{
    (void)state;
    struct fixture f;
    int best[FIXTURE_PARTS];
    nusd cost = 0;
    struct cost_candidate *list = NULL;
    int count = 0;
    fixture_begin(&f, demo, shop);
    fixture_problem(&f);
    assert_true(brute_force(&f.problem, best, &cost));
    int part = fixture_part(&f, "inference");
    struct placement at[FIXTURE_PARTS];
    for (int i = 0; i < f.app.workload_count; i++) {
        at[i] = cost_placement(&f.input, &f.problem, i, best[i]);
    }
    assert_int_equal(cost_candidates(&f.input, at, part, &f.arena, &list, &count, &f.err), 0);
    assert_int_equal(count, f.world.site_count);
    for (int i = 0; i < count; i++) {
        int there[FIXTURE_PARTS];
        memcpy(there, best, sizeof(there));
        there[part] = i;
        assert_true(list[i].gap == problem_cost(&f.problem, there) - cost);
        assert_true(!list[i].allowed || list[i].gap >= 0);
        assert_true(list[i].allowed == (list[i].rule[0] == '\0'));
        /* Nothing but the part's own lines changes here, since no meter passes a tier. */
        if (i == best[part]) {
            assert_true(list[i].gap == 0 && list[i].allowed);
        }
    }
    assert_false(list[fixture_site(&f, "client/web")].allowed);
    assert_non_null(strstr(list[fixture_site(&f, "client/web")].rule, "tier"));
    fixture_end(&f);
}

/* What is nowhere costs nothing, and its links carry nothing. */
static void test_nowhere(void **state)
{
    (void)state;
    struct fixture f;
    struct cost_candidate *list = NULL;
    int count = 0;
    fixture_begin(&f, plain_world, plain_app);
    int edge = fixture_site(&f, "edge/one");
    struct cost_report report = fixture_explain(&f, (int[]){-1, -1});
    assert_int_equal(report.line_count, 0);
    report = fixture_explain(&f, (int[]){edge, -1});
    assert_nusd(report.total.bill, INT64_C(102200000000));
    assert_nusd(report.total.score_term[TERM_LATENCY], 2628000000);
    /* Candidates leave out what is nowhere; of the part itself, gaps are to its best. */
    const struct placement at[] = {{edge, 0, 0}, {-1, 0, 1}};
    assert_int_equal(cost_candidates(&f.input, at, 1, &f.arena, &list, &count, &f.err), 0);
    assert_int_equal(count, 3);
    nusd least = list[0].gap;
    for (int i = 0; i < count; i++) {
        assert_false(list[i].chosen);
        least = list[i].gap < least ? list[i].gap : least;
    }
    assert_nusd(least, 0);
    fixture_end(&f);
}

static void test_distance(void **state)
{
    (void)state;
    struct site nyc = {.located = true, .latitude_udeg = 40710000, .longitude_udeg = -74010000};
    struct site sfo = {.located = true, .latitude_udeg = 37770000, .longitude_udeg = -122420000};
    struct site antipode = {
        .located = true, .latitude_udeg = -40710000, .longitude_udeg = 105990000};
    struct site nowhere = {0};
    /* 4,130 km by great circle; half the circumference is 20,015 km. */
    assert_in_range((uintmax_t)cost_distance_m(&nyc, &sfo), 4120000, 4140000);
    assert_in_range((uintmax_t)cost_distance_m(&nyc, &antipode), 19900000, 20020000);
    assert_int_equal(cost_distance_m(&nyc, &nyc), 0);
    assert_int_equal(cost_distance_m(&nyc, &sfo), cost_distance_m(&sfo, &nyc));
    /* 2 ms + 4,130 km x 15 us */
    assert_in_range((uintmax_t)cost_distance_rtt_us(&nyc, &sfo), 63700, 64200);
    assert_int_equal(cost_distance_rtt_us(&nyc, &nowhere), -1);
}

static void test_unknown_round_trip(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, plain_world, plain_app);
    int edge = fixture_site(&f, "edge/one");
    int cloud = fixture_site(&f, "aws/one");
    f.world.rtt_us[edge * 3 + cloud] = -1;
    f.world.rtt_us[cloud * 3 + edge] = -1;
    assert_int_equal(cost_problem(&f.input, &f.arena, &f.problem, &f.err), ERR_INVALID);
    assert_non_null(strstr(f.err.text, "latency.pairs"));
    for (int i = 0; i < 3; i++) {
        f.world.sites[i].located = true;
    }
    fixture_problem(&f);
    struct cost_report report = fixture_explain(&f, (int[]){edge, cloud});
    bool told = false;
    for (int i = 0; i < report.line_count; i++) {
        told = told || strstr(report.lines[i].text, "estimated from distance") != NULL;
    }
    assert_true(told);
    fixture_end(&f);
}

static void test_too_large_and_no_memory(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, plain_world, plain_app);
    f.app.links[0].calls_mhz = INT64_MAX;
    f.app.links[0].response_bytes = INT64_MAX;
    assert_int_equal(cost_problem(&f.input, &f.arena, &f.problem, &f.err), ERR_OVERFLOW);
    f.app.links[0].response_bytes = 0;
    f.app.links[0].calls_mhz = 1000;
    struct arena arena;
    arena_init(&arena, 64 << 20);
    for (int64_t fail_after = 0;; fail_after++) {
        arena_reset(&arena);
        arena.fail_after = fail_after;
        int rc = cost_problem(&f.input, &arena, &f.problem, &f.err);
        if (rc == 0) {
            assert_true(fail_after > 10);
            break;
        }
        assert_int_equal(rc, ERR_NO_MEMORY);
    }
    arena_done(&arena);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compute_terms),
        cmocka_unit_test(test_estimates_replace_priors),
        cmocka_unit_test(test_egress_tiers),
        cmocka_unit_test(test_migration_and_staying),
        cmocka_unit_test(test_optimum_stays),
        cmocka_unit_test(test_demo_flips_with_its_hit_ratio),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_candidates),
        cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_unknown_round_trip),
        cmocka_unit_test(test_too_large_and_no_memory),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
