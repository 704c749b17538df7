/* The terms beside plain compute, latency and egress, each against figures worked out by hand. */
#include "model_fixture.h"

#include "base/clock.h"
#include "model/cost_internal.h"

/* Round prices. The edge's storage costs $0.10 per GiB-month, AWS's $0.02; GiB leave AWS at $0.09
 * up to 10 TiB, then at $0.05. */
static const char world_text[] =
    "world: terms\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/strong, tier: client, speed: 2, measures: {carbon: 500 g/kWh}}\n"
    "  - {name: client/weak, tier: client, speed: 0.5, cpu_weight: 0.001,\n"
    "     measures: {carbon: 500 g/kWh}}\n"
    "  - {name: edge/one, tier: edge, account: e, measures: {carbon: 300 g/kWh},\n"
    "     price: {cpu: 0.1, memory: 0.01, storage: 0.10}}\n"
    "  - {name: aws/one, tier: cloud, account: a, measures: {carbon: 100 g/kWh},\n"
    "     price: {cpu: 0.04, memory: 0.005, storage: 0.02}}\n"
    "egress:\n"
    "  - {name: internet, from: 'aws/*', to: '*', per: GiB,\n"
    "     tiers: [{up_to: 10240GiB, price: 0.09}, {price: 0.05}]}\n"
    "  - {name: ingest, from: '*', to: 'aws/*', payer: receiver, per: GiB,\n"
    "     tiers: [{price: 0.01}]}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/strong, client/weak], rtt: 5ms}\n"
    "    - {between: [client/strong, edge/one], rtt: 10ms, per_mib: 80ms}\n"
    "    - {between: [client/weak, edge/one], rtt: 10ms, per_mib: 160ms}\n"
    "    - {between: [client/strong, aws/one], rtt: 50ms}\n"
    "    - {between: [client/weak, aws/one], rtt: 50ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n"
    "weights: {latency: 0.000001, device_cpu: 0.00002, storage: 3}\n"
    "policy: {horizon: 73h, healthy_min: 10s, prior_weight: 1h,\n"
    "         saving_min: {ratio: 0, per_month: 0}}\n"
    "workload_measures: {licence: 0 USD/replica/h}\n"
    "terms:\n"
    "  - {name: carbon, formula: 'vcpu_hours * 5 W/vCPU * site.carbon * 0.0001 USD/g',\n"
    "     weight: 2}\n"
    "  - {name: licence, formula: 'replicas * workload.licence', into: bill}\n";

#define RUN "run: {driver: process, artifact: 'file:/bin/x', cpu_per_call: 1ms}"

static const char service[] =
    "app: shop\n"
    "users: [{name: web, site: client/strong}]\n"
    "workloads:\n"
    "  - {name: w, " RUN ", resources: {cpu: 1, memory: 1GiB}, replicas: 3, state: 2GiB}\n"
    "links: [{from: web, to: w, calls: 100/s, request: 0B, response: 512KiB}]\n";

enum { STRONG, WEAK, EDGE, AWS, SITES };

static void assert_nusd(nusd got, int64_t wanted)
{
    if (got != wanted) {
        char text[MONEY_TEXT_BYTES];
        char other[MONEY_TEXT_BYTES];
        fail_msg("%s instead of %s", money_format(got, 9, text), money_format(wanted, 9, other));
    }
}

static const struct cost_line *line_with(const struct cost_report *report, enum cost_term term,
                                         const char *words)
{
    for (int i = 0; i < report->line_count; i++) {
        if (report->lines[i].term == term && strstr(report->lines[i].text, words) != NULL) {
            return &report->lines[i];
        }
    }
    return NULL;
}

static void test_storage_of_state(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    /* 3 replicas x 2 GiB x $0.10, which counts three times in the score */
    struct cost_report report = fixture_explain(&f, (int[]){EDGE});
    assert_nusd(report.total.bill_term[TERM_STORAGE], 600000000);
    assert_nusd(report.total.score_term[TERM_STORAGE], 1800000000);
    assert_non_null(line_with(&report, TERM_STORAGE, "3 x 2 GiB of state x $0.1 per GiB-month"));
    assert_nusd(fixture_explain(&f, (int[]){STRONG}).total.bill_term[TERM_STORAGE], 0);
    fixture_end(&f);
}

static const char data_app[] =
    "app: data\n"
    "users: [{name: web, site: client/strong}]\n"
    "workloads:\n"
    "  - {name: w, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
    "data: [{name: models, size: 100GiB, copies: 2, dedup: 30%, at: aws/one}]\n"
    "links:\n"
    "  - {from: web, to: w, calls: 1/s}\n"
    "  - {from: w, to: models, calls: 0.5/s, request: 0B, response: 1MiB}\n";

/* A data set costs its bytes and what is read from it, moves with its bytes, and runs nowhere. */
static void test_data_set(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, data_app);
    int models = fixture_part(&f, "models");
    struct cost_report report = fixture_explain(&f, (int[]){EDGE, AWS});
    /* 100 GiB x 2 x 70 % x $0.02 */
    assert_nusd(report.total.bill_term[TERM_STORAGE], 2800000000);
    assert_non_null(line_with(&report, TERM_STORAGE, "2 x 100 GiB - duplicates 30 %"));
    /* 0.5/s x 2,628,000 s x 1 MiB = 1,283.203125 GiB x $0.09 */
    assert_nusd(report.total.bill_term[TERM_EGRESS], INT64_C(115488281250));
    assert_nusd(report.total.bill_term[TERM_DATACENTRE], 0);
    /* It is at AWS by its document: to the edge its 100 GiB leave once, without any overlap. */
    report = fixture_explain(&f, (int[]){EDGE, EDGE});
    assert_nusd(report.total.bill_term[TERM_MIGRATION], 9000000000);
    assert_nusd(report.total.score_term[TERM_MIGRATION], 90000000000);
    assert_non_null(line_with(&report, TERM_MIGRATION, "data set 100 GiB x $0.09 per GiB, once"));
    fixture_problem(&f);
    assert_int_equal(f.problem.parts[models].current, AWS);
    for (int i = 0; i < f.problem.parts[models].choice_count; i++) {
        assert_int_equal(f.problem.parts[models].choices[i].demand[RESOURCE_CPU], 0);
    }
    /* Not a node anywhere: the workload has no place, the data set has. */
    int64_t capacity[SITES][RESOURCE_COUNT] = {{-1, -1}, {-1, -1}, {-1, -1}, {-1, -1}};
    f.input.capacity = capacity;
    fixture_problem(&f);
    for (int i = 0; i < f.problem.rule_count; i++) {
        const struct problem_rule *rule = &f.problem.rules[i];
        assert_true(rule->kind != RULE_CHOICES || rule->a != models ||
                    strstr(rule->text, "live node") == NULL);
    }
    fixture_end(&f);
}

static void test_device_cpu(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    /* 100/s x 2,628,000 s x 1 ms / 2 x $0.00002; and / 0.5 x the site's own $0.001 */
    struct cost_report report = fixture_explain(&f, (int[]){STRONG});
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], 2628000000);
    assert_non_null(line_with(&report, TERM_DEVICE_CPU, "/ speed 200 %"));
    report = fixture_explain(&f, (int[]){WEAK});
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], INT64_C(525600000000));
    assert_nusd(report.total.bill_term[TERM_DEVICE_CPU], 0);
    /* Measured on the strong device, it is 4 times as much on the weak one. */
    const struct estimate cpu = {ESTIMATE_CPU_NS, "default", "shop", "w", "client/strong", "",
                                 250000,          1,         0,      0};
    f.input.estimates = (struct estimates){&cpu, 1};
    report = fixture_explain(&f, (int[]){STRONG});
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], 1314000000);
    report = fixture_explain(&f, (int[]){WEAK});
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], INT64_C(262800000000));
    fixture_end(&f);
}

static void test_bytes_take_time(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    /* 262,800,000 calls x (10 ms + half a MiB at 80 ms) x $0.000001 per second */
    struct cost_report report = fixture_explain(&f, (int[]){EDGE});
    assert_nusd(report.total.score_term[TERM_LATENCY], 13140000000);
    assert_non_null(line_with(&report, TERM_LATENCY, "(10 ms + 40 ms for its bytes)"));
    /* A hard limit is of the whole round trip. */
    f.app.links[0].latency_max_us = 50000;
    fixture_problem(&f);
    assert_int_equal(problem_broken_rule(&f.problem, (int[]){EDGE}), -1);
    f.app.links[0].latency_max_us = 49999;
    fixture_problem(&f);
    assert_true(problem_broken_rule(&f.problem, (int[]){EDGE}) >= 0);
    fixture_end(&f);
}

static const char variants_app[] =
    "app: gen\n"
    "users: [{name: web, site: client/strong}]\n"
    "workloads:\n"
    "  - name: tiles\n"
    "    resources: {cpu: 500m, memory: 1GiB}\n"
    "    variants:\n"
    "      - {name: grammar, driver: process, artifact: 'file:/bin/g', cpu_per_call: 4ms,\n"
    "         tiers: [client], response: 1KiB}\n"
    "      - {name: tile, driver: process, artifact: 'file:/bin/t', cpu_per_call: 2ms,\n"
    "         cpu: 2, memory: 2GiB, response: 1MiB}\n"
    "links: [{from: web, to: tiles, calls: 10/s, request: 0B, response: 512KiB}]\n";

static void test_variants(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, variants_app);
    fixture_problem(&f);
    const struct problem_part *part = &f.problem.parts[0];
    assert_int_equal(part->choice_count, SITES * 2);
    int at_edge[2] = {-1, -1};
    for (int i = 0; i < part->choice_count; i++) {
        struct placement at = cost_placement(&f.input, &f.problem, 0, i);
        assert_int_equal(cost_choice(&f.input, &f.problem, &at, 0), i);
        if (at.site == EDGE) {
            at_edge[at.variant] = i;
        }
        bool broken = problem_broken_rule(&f.problem, &i) >= 0;
        assert_true(broken == (at.variant == 0 && at.site >= EDGE));
    }
    /* Each has its own demand, bytes and CPU time. */
    assert_int_equal(part->choices[at_edge[0]].demand[RESOURCE_CPU], 500);
    assert_int_equal(part->choices[at_edge[1]].demand[RESOURCE_CPU], 2000);
    int rule = problem_broken_rule(&f.problem, &at_edge[0]);
    assert_string_equal(f.problem.rules[rule].text,
                        "default/gen/tiles as variant grammar runs in tier client only");
    const struct placement tile = {EDGE, 1, 0};
    struct cost_report report = fixture_explain_at(&f, &tile);
    /* 2 vCPU x $0.1 x 730 h + 2 GiB x $0.01 x 730 h */
    assert_nusd(report.total.bill_term[TERM_EDGE], INT64_C(160600000000));
    /* 26,280,000 calls x (10 ms + 1 MiB at 80 ms) x $0.000001 */
    assert_nusd(report.total.score_term[TERM_LATENCY], 2365200000);
    const struct placement grammar = {STRONG, 0, 0};
    report = fixture_explain_at(&f, &grammar);
    /* 26,280,000 calls x 4 ms / 2 x $0.00002 */
    assert_nusd(report.total.score_term[TERM_DEVICE_CPU], 1051200000);
    /* From one to the other in place is a move, with its preference to stay. */
    f.states[0].now = (struct placement){STRONG, 0, 0};
    f.world.policy.saving_min = NUSD_PER_USD;
    const struct placement other = {STRONG, 1, 0};
    assert_nusd(fixture_explain_at(&f, &other).stay, 1000000000);
    /* What was measured is of the variant that runs. */
    const struct estimate cpu = {ESTIMATE_CPU_NS, "default", "gen", "tiles", "client/strong", "",
                                 8000000,         1,         0,     0};
    f.input.estimates = (struct estimates){&cpu, 1};
    assert_nusd(fixture_explain_at(&f, &grammar).total.score_term[TERM_DEVICE_CPU], 4204800000);
    assert_nusd(fixture_explain_at(&f, &other).total.score_term[TERM_DEVICE_CPU], 525600000);
    /* A variant of a version that had more of them counts as the first. */
    const struct placement gone = {STRONG, 7, 0};
    assert_true(fixture_explain_at(&f, &gone).total.score ==
                fixture_explain_at(&f, &grammar).total.score);
    /* Candidates are told apart by variant. */
    struct cost_candidate *list = NULL;
    int count = 0;
    assert_int_equal(cost_candidates(&f.input, &grammar, 0, &f.arena, &list, &count, &f.err), 0);
    assert_int_equal(count, SITES * 2);
    for (int i = 0; i < count; i++) {
        assert_true(list[i].chosen == (list[i].to.site == STRONG && list[i].to.variant == 0));
        assert_true(list[i].allowed == (list[i].to.variant == 1 || list[i].to.site < EDGE));
        assert_true(!list[i].chosen || list[i].gap == 0);
    }
    fixture_end(&f);
}

static const char cold_app[] =
    "app: cold\n"
    "users: [{name: web, site: client/strong}]\n"
    "workloads:\n"
    "  - {name: cache, " RUN ", resources: {cpu: 1, memory: 1GiB},\n"
    "     cache: {hit_ratio: 80%, warm: 100000}}\n"
    "  - {name: origin, " RUN ", resources: {cpu: 1, memory: 1GiB}}\n"
    "links:\n"
    "  - {from: web, to: cache, calls: 100/s}\n"
    "  - {from: cache, to: origin, calls: 50/s, on_miss: true, request: 0B, response: 1MiB}\n";

/* Of 100,000 calls 80 % would have hit; every second one of them asks the origin. */
static void test_cold_cache(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, cold_app);
    f.states[0].now.site = STRONG;
    f.states[1].now.site = AWS;
    struct cost_report report = fixture_explain(&f, (int[]){EDGE, AWS});
    /* 40,000 MiB = 39.0625 GiB x $0.09; once, ten times in the monthly score */
    const struct cost_line *line =
        line_with(&report, TERM_MIGRATION, "cold cache: 40000 misses, together");
    assert_non_null(line);
    assert_nusd(line->bill, 3515625000);
    assert_nusd(line->score, 35156250000);
    /* 40,000 x 40 ms x $0.000001 per second, which nobody bills */
    line = line_with(&report, TERM_MIGRATION, "cold cache: 40000 misses x 40 ms");
    assert_non_null(line);
    assert_nusd(line->bill, 0);
    assert_nusd(line->score, 16000000);
    /* Beside the origin misses cost nothing, where it is nothing is cold, and first starts move
     * nothing. */
    report = fixture_explain(&f, (int[]){AWS, AWS});
    assert_null(line_with(&report, TERM_MIGRATION, "cold"));
    report = fixture_explain(&f, (int[]){STRONG, AWS});
    assert_null(line_with(&report, TERM_MIGRATION, "cold"));
    f.states[0].now.site = -1;
    report = fixture_explain(&f, (int[]){EDGE, AWS});
    assert_null(line_with(&report, TERM_MIGRATION, "cold"));
    fixture_end(&f);
}

static void test_custom_terms(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    /* 3 x 730 vCPU h x 5 W = 10.95 kWh x 300 g x $0.0001; twice in the score, never in the bill */
    struct cost_report report = fixture_explain(&f, (int[]){EDGE});
    const struct cost_line *line = line_with(&report, TERM_CUSTOM, "carbon: ");
    assert_non_null(line);
    assert_int_equal(line->custom, 0);
    assert_nusd(line->bill, 0);
    assert_nusd(line->score, 657000000);
    assert_null(line_with(&report, TERM_CUSTOM, "licence"));
    /* The workload's own licence: 3 x $0.01 x 730 h */
    struct measure licence = {"licence", {1, 2}, "USD/replica/h"};
    f.app.workloads[0].measures = (struct measures){&licence, 1};
    report = fixture_explain(&f, (int[]){EDGE});
    line = line_with(&report, TERM_CUSTOM, "licence: ");
    assert_non_null(line);
    assert_int_equal(line->custom, 1);
    assert_nusd(line->bill, 21900000000);
    assert_nusd(line->score, 21900000000);
    fixture_problem(&f);
    assert_true(problem_cost(&f.problem, (int[]){EDGE}) == report.total.score);
    fixture_end(&f);
}

static void test_custom_term_that_fails(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    str_format(f.world.terms[0].formula, LIMIT_FORMULA_BYTES,
               "1 USD / (site.carbon - 300 g/kWh) * "
               "1 g/kWh + 1 USD");
    assert_int_equal(cost_problem(&f.input, &f.arena, &f.problem, &f.err), ERR_INVALID);
    assert_non_null(strstr(f.err.text, "term carbon of default/shop/w at edge/one"));
    struct cost_report report;
    const struct placement at = {EDGE, 0, 0};
    assert_int_equal(cost_explain(&f.input, &at, &f.arena, &report, &f.err), ERR_INVALID);
    /* Where it may not be, what it would cost is not asked. */
    f.app.workloads[0].tiers = 1U << TIER_CLIENT;
    fixture_problem(&f);
    str_format(f.world.terms[0].formula, LIMIT_FORMULA_BYTES, "1 USD + 1 g");
    assert_int_equal(cost_problem(&f.input, &f.arena, &f.problem, &f.err), ERR_INVALID);
    assert_non_null(strstr(f.err.text, "term carbon"));
    fixture_end(&f);
}

/* calls, traffic, device CPU and storage as formulas see them */
static void test_builtin_names(void **state)
{
    (void)state;
    static const struct {
        const char *formula;
        int site;
        int64_t wanted;
    } table[] = {
        {"vcpu_hours * 1 USD/vCPU/h", EDGE, INT64_C(2190000000000)},
        {"gib_hours * 1 USD/GiB/h", EDGE, INT64_C(2190000000000)},
        {"storage_gib_months * 1 USD/GiB/month", EDGE, INT64_C(6000000000)},
        {"calls * 0.000001 USD/call", EDGE, INT64_C(262800000000)},
        {"gib_in * 1 USD/GiB", EDGE, 0},
        /* 262,800,000 x 0.5 MiB = 128,320.3125 GiB */
        {"gib_out * 0.001 USD/GiB", EDGE, INT64_C(128320312500)},
        {"device_cpu_s * 0.001 USD/s", EDGE, 0},
        {"device_cpu_s * 0.001 USD/s", STRONG, INT64_C(131400000000)},
        {"hit_ratio * 1 USD", EDGE, 0},
        {"replicas * 1 USD/replica", EDGE, 3000000000},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fixture f;
        fixture_begin(&f, world_text, service);
        f.world.term_count = 1;
        f.world.terms[0].weight_ppm = PPM;
        str_format(f.world.terms[0].formula, LIMIT_FORMULA_BYTES, "%s", table[i].formula);
        struct cost_report report = fixture_explain(&f, &table[i].site);
        assert_nusd(report.total.score_term[TERM_CUSTOM], table[i].wanted);
        fixture_end(&f);
    }
}

/* An hour's prior and what was observed for so long: 100/s for an hour, then 10/s. */
static void test_priors_fade(void **state)
{
    (void)state;
    static const struct {
        int64_t observed_us;
        int64_t wanted_mhz;
    } table[] = {
        {0, 10000}, {60 * US_PER_S, 98524}, {3600 * US_PER_S, 55000}, {86400 * US_PER_S, 13600}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct fixture f;
        bool measured;
        fixture_begin(&f, world_text, service);
        const struct estimate calls = {.kind = ESTIMATE_CALLS_MHZ,
                                       .namespace_ = "default",
                                       .app = "shop",
                                       .workload = "w",
                                       .site = "edge/one",
                                       .value = 10000,
                                       .observed_us = table[i].observed_us};
        f.input.estimates = (struct estimates){&calls, 1};
        f.states[0].now.site = EDGE;
        assert_int_equal(cost_calls_mhz(&f.input, 0, 0, &measured), table[i].wanted_mhz);
        assert_true(measured);
        fixture_end(&f);
    }
}

static void test_weights_of_an_app(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    struct cost_report plain = fixture_explain(&f, (int[]){AWS});
    f.app.has_weights = true;
    f.app.weights_stated = (1U << WEIGHT_COUNT) - 1;
    f.app.weights = f.world.weights;
    f.app.weights.latency_usd_per_second.coefficient *= 5;
    f.app.weights.compute_ppm = 2 * PPM;
    f.app.weights.storage_ppm = 0;
    f.app.weights.egress_ppm = 4 * PPM;
    struct cost_report own = fixture_explain(&f, (int[]){AWS});
    assert_true(own.total.bill == plain.total.bill);
    assert_true(own.total.score_term[TERM_LATENCY] == 5 * plain.total.score_term[TERM_LATENCY]);
    assert_true(own.total.score_term[TERM_DATACENTRE] ==
                2 * plain.total.score_term[TERM_DATACENTRE]);
    assert_nusd(own.total.score_term[TERM_STORAGE], 0);
    assert_true(own.total.score_term[TERM_EGRESS] == 4 * plain.total.score_term[TERM_EGRESS]);
    fixture_problem(&f);
    assert_true(problem_cost(&f.problem, (int[]){AWS}) == own.total.score);
    fixture_end(&f);
}

/* Two apps that weigh egress differently fill one account's tiers together, in the bill. */
static void test_tiers_across_weights(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    struct app other = f.app;
    str_format(other.name, sizeof(other.name), "other");
    other.has_weights = true;
    other.weights_stated = (1U << WEIGHT_COUNT) - 1;
    other.weights = f.world.weights;
    other.weights.egress_ppm = 0;
    struct workload_state states[2] = {{.now = {.site = -1}, .may_move = true},
                                       {.now = {.site = -1}, .may_move = true}};
    struct cost_app apps[] = {{&f.app, &states[0]}, {&other, &states[1]}};
    f.input.apps = apps;
    f.input.app_count = 2;
    const struct placement at[] = {{AWS, 0, 0}, {AWS, 0, 0}};
    struct cost_report report = fixture_explain_at(&f, at);
    /* 2 x 128,320.3125 GiB: 10,240 at $0.09, the rest at $0.05 */
    assert_nusd(report.total.bill_term[TERM_EGRESS], INT64_C(13241631250000));
    /* the first app's score is its own bill, the second's nothing */
    assert_nusd(report.total.score_term[TERM_EGRESS], INT64_C(6825615625000));
    fixture_problem(&f);
    assert_true(problem_cost(&f.problem, (int[]){AWS, AWS}) == report.total.score);
    fixture_end(&f);
}

/* The ledger's month to date replaces the document's. */
static void test_measured_meter(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    const struct estimate meter = {.kind = ESTIMATE_METER_BYTES,
                                   .site = "a",
                                   .peer = "internet",
                                   .value = INT64_C(10240) * GIB};
    f.input.estimates = (struct estimates){&meter, 1};
    /* all of 128,320.3125 GiB in the second tier */
    assert_nusd(fixture_explain(&f, (int[]){AWS}).total.bill_term[TERM_EGRESS],
                INT64_C(6416015625000));
    fixture_end(&f);
}

/* Requests are billed by the receiver, responses by the sender. */
static void test_both_sides(void **state)
{
    (void)state;
    struct fixture f;
    fixture_begin(&f, world_text, service);
    f.app.links[0].request_bytes = 1024;
    f.app.links[0].response_bytes = 0;
    /* 262,800,000 KiB = 250.625610... GiB x $0.01 */
    assert_nusd(fixture_explain(&f, (int[]){AWS}).total.bill_term[TERM_EGRESS], 2506256104);
    fixture_end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_storage_of_state),  cmocka_unit_test(test_data_set),
        cmocka_unit_test(test_device_cpu),        cmocka_unit_test(test_bytes_take_time),
        cmocka_unit_test(test_variants),          cmocka_unit_test(test_cold_cache),
        cmocka_unit_test(test_custom_terms),      cmocka_unit_test(test_custom_term_that_fails),
        cmocka_unit_test(test_builtin_names),     cmocka_unit_test(test_priors_fade),
        cmocka_unit_test(test_weights_of_an_app), cmocka_unit_test(test_tiers_across_weights),
        cmocka_unit_test(test_measured_meter),    cmocka_unit_test(test_both_sides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
