/*
 * What holds for every world and app, on random ones: the ledger adds up to the problem's cost, its
 * bill to what meters charge; twice the prices give the same placement; a useless site changes
 * nothing; other names cost the same. Instances come from a seed, as documents, and brute force
 * over problem_cost judges what is cheapest.
 */
#include "../unit/model_fixture.h"

#include <stdlib.h>

#include "model/cost_internal.h"

#define INSTANCES   120
#define ASSIGNMENTS 8
#define SITES_MAX   5
#define PARTS_MAX   4

struct numbers {
    uint64_t state;
};

/* How an instance's documents are written, beside its seed. */
struct spelling {
    int price_factor;
    bool useless_site;
    const char *suffix; /* of every site's region */
    int64_t saving_min_cents;
};

static const struct spelling plain = {1, false, "", 50};

static uint64_t next(struct numbers *numbers)
{
    numbers->state += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = numbers->state;
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static int below(struct numbers *numbers, int limit)
{
    return (int)(next(numbers) % (uint64_t)limit);
}

/* A price in millionths of a dollar, so that a factor of two stays a short decimal. */
static void put_price(struct strbuf *out, int64_t millionths, int factor)
{
    int64_t value = millionths * factor;
    strbuf_printf(out, "%lld.%06lld", (long long)(value / 1000000), (long long)(value % 1000000));
}

static void put_rule(struct strbuf *out, struct numbers *numbers, const struct spelling *spelling,
                     const char *name, const char *from, const char *to, const char *payer)
{
    int64_t price = 10000 + below(numbers, 100000);
    int64_t step = 1 + below(numbers, 300);
    strbuf_printf(out,
                  "  - {name: %s, from: '%s', to: '%s', payer: %s, per: %s, "
                  "month_to_date: %dGiB,\n     tiers: [{up_to: %lldGiB, price: ",
                  name, from, to, payer, below(numbers, 2) == 0 ? "GB" : "GiB", below(numbers, 100),
                  (long long)step);
    put_price(out, price, spelling->price_factor);
    strbuf_printf(out, "}, {up_to: %lldGiB, price: ", (long long)(step * 5));
    put_price(out, price * 3 / 4, spelling->price_factor);
    strbuf_puts(out, "}, {price: ");
    put_price(out, price / 2, spelling->price_factor);
    strbuf_puts(out, "}]}\n");
}

static void write_world(struct strbuf *out, struct numbers *numbers, int sites,
                        const struct spelling *spelling)
{
    static const char *const providers[] = {"client", "edge", "aws", "gcp", "aws"};
    strbuf_puts(out, "world: random\naccounts: [{name: e, provider: edge}, "
                     "{name: a, provider: aws}, {name: g, provider: gcp}]\nsites:\n");
    for (int i = 0; i < sites; i++) {
        const char *provider = providers[i];
        strbuf_printf(out, "  - {name: %s/s%d%s, tier: %s, geo: [%d, %d]", provider, i,
                      spelling->suffix,
                      i == 0   ? "client"
                      : i == 1 ? "edge"
                               : "cloud",
                      below(numbers, 160) - 80, below(numbers, 340) - 170);
        int64_t cpu = 10000 + below(numbers, 60000);
        int64_t memory = 1000 + below(numbers, 9000);
        int overhead = below(numbers, 40);
        if (i > 0) {
            strbuf_printf(out, ", account: %c, overhead: %d%%, price: {cpu: ", provider[0],
                          overhead);
            put_price(out, cpu, spelling->price_factor);
            strbuf_puts(out, ", memory: ");
            put_price(out, memory, spelling->price_factor);
            strbuf_puts(out, "}");
        }
        strbuf_puts(out, "}\n");
    }
    if (spelling->useless_site) {
        strbuf_puts(out, "  - {name: aws/useless, tier: cloud, account: a, geo: [-90, 0],\n"
                         "     price: {cpu: 1000, memory: 1000}}\n");
    }
    strbuf_puts(out, "egress:\n");
    put_rule(out, numbers, spelling, "internet", "aws/*", "*", "sender");
    put_rule(out, numbers, spelling, "out", sites > 3 ? "gcp/*" : "tier:cloud", "*", "sender");
    put_rule(out, numbers, spelling, "in", "*", "aws/*", "receiver");
    put_rule(out, numbers, spelling, "transit", "edge/*", "*", "sender");
    strbuf_puts(out, "weights: {latency: ");
    put_price(out, 1 + below(numbers, 5), spelling->price_factor);
    strbuf_puts(out, ", device_cpu: ");
    put_price(out, 10 + below(numbers, 50), spelling->price_factor);
    strbuf_printf(out,
                  "}\npolicy: {horizon: %dh, saving_min: {ratio: 3%%, per_month: %lld.%02lld}}\n",
                  1 + below(numbers, 48), (long long)(spelling->saving_min_cents / 100),
                  (long long)(spelling->saving_min_cents % 100));
}

static void write_app(struct strbuf *out, struct numbers *numbers, int parts,
                      const struct spelling *spelling)
{
    strbuf_printf(out, "app: random\nusers: [{name: web, site: client/s0%s}]\nworkloads:\n",
                  spelling->suffix);
    for (int i = 0; i < parts; i++) {
        strbuf_printf(out,
                      "  - {name: w%d, run: {driver: process, artifact: 'file:/x', "
                      "cpu_per_call: %dus},\n     resources: {cpu: %dm, memory: %dMiB}, "
                      "replicas: %d, state: %dMiB",
                      i, below(numbers, 3000), 50 + below(numbers, 2000), 16 + below(numbers, 4096),
                      1 + below(numbers, 3), below(numbers, 2048));
        if (i % 2 == 0) {
            strbuf_printf(out, ", cache: {hit_ratio: %d%%}", below(numbers, 101));
        }
        strbuf_puts(out, "}\n");
    }
    strbuf_puts(out, "links:\n");
    for (int i = 0; i < parts; i++) {
        int from = i == 0 ? -1 : below(numbers, i + 1) - 1;
        strbuf_printf(out, "  - {to: w%d, calls: %d.%03d/s, request: %dB, response: %dB, ", i,
                      below(numbers, 300), below(numbers, 1000), below(numbers, 5000),
                      below(numbers, 20000));
        if (from < 0) {
            strbuf_puts(out, "from: web}\n");
        } else {
            strbuf_printf(out, "from: w%d%s}\n", from,
                          from % 2 == 0 && below(numbers, 2) == 0 ? ", on_miss: true" : "");
        }
    }
}

/* The same seed gives the same instance in every spelling. */
static void instance_begin(struct fixture *fixture, uint64_t seed, const struct spelling *spelling)
{
    struct numbers numbers = {seed};
    struct strbuf world;
    struct strbuf app;
    strbuf_init(&world, 64 << 10);
    strbuf_init(&app, 64 << 10);
    int sites = 3 + below(&numbers, SITES_MAX - 2);
    int parts = 1 + below(&numbers, PARTS_MAX);
    write_world(&world, &numbers, sites, spelling);
    write_app(&app, &numbers, parts, spelling);
    assert_int_equal(strbuf_error(&world, NULL), 0);
    assert_int_equal(strbuf_error(&app, NULL), 0);
    fixture_begin(fixture, strbuf_text(&world), strbuf_text(&app));
    for (int i = 0; i < parts; i++) {
        fixture->states[i].now.site = below(&numbers, sites + 1) - 1;
    }
    strbuf_done(&world);
    strbuf_done(&app);
}

static void check_ledger(struct fixture *fixture, const int *site)
{
    struct cost_report report = fixture_explain(fixture, site);
    nusd bill = 0;
    nusd score = 0;
    nusd term_bill[TERM_COUNT] = {0};
    for (int i = 0; i < report.line_count; i++) {
        const struct cost_line *line = &report.lines[i];
        bill += line->bill;
        score += line->score;
        term_bill[line->term] += line->bill;
        assert_true(line->text[0] != '\0');
        assert_true(line->bill >= 0 && line->score >= 0);
        assert_true(line->site >= 0 && line->site < fixture->world.site_count);
    }
    assert_true(bill == report.total.bill && score == report.total.score);
    for (int term = 0; term < TERM_COUNT; term++) {
        assert_true(term_bill[term] == report.total.bill_term[term]);
    }
    /* Exact, since a line's score is a difference of its meter's rounded charge. */
    assert_true(score + report.stay == problem_cost(&fixture->problem, site));
    /* Egress weighs 1 here: bill and score differ by at most the rounding of each line. */
    nusd apart = report.total.bill_term[TERM_EGRESS] - report.total.score_term[TERM_EGRESS];
    assert_true(apart <= report.line_count && apart >= -report.line_count);
}

static void test_lines_add_up(void **state)
{
    (void)state;
    int64_t egress_lines = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        struct numbers numbers = {seed ^ 0xabcdef};
        instance_begin(&fixture, seed, &plain);
        fixture_problem(&fixture);
        for (int i = 0; i < ASSIGNMENTS; i++) {
            int site[FIXTURE_PARTS];
            for (int k = 0; k < fixture.problem.part_count; k++) {
                site[k] = below(&numbers, fixture.problem.site_count);
            }
            check_ledger(&fixture, site);
            struct cost_report report = fixture_explain(&fixture, site);
            egress_lines += report.total.bill_term[TERM_EGRESS] > 0 ? 1 : 0;
        }
        fixture_end(&fixture);
    }
    assert_true(egress_lines > INSTANCES); /* the generator reaches the meters */
}

/* ---- worlds with everything in them ---- */

static void write_rich_world(struct strbuf *out, struct numbers *numbers)
{
    static const char *const names[] = {"client/a", "client/b", "edge/c", "aws/d", "gcp/e"};
    static const char *const tiers[] = {"client", "client", "edge", "cloud", "cloud"};
    strbuf_puts(out, "world: rich\naccounts: [{name: e, provider: edge}, {name: a, provider: aws}, "
                     "{name: g, provider: gcp}]\nsites:\n");
    for (int i = 0; i < SITES_MAX; i++) {
        strbuf_printf(out,
                      "  - {name: %s, tier: %s, geo: [%d, %d], speed: 0.%d, "
                      "measures: {carbon: %d g/kWh}",
                      names[i], tiers[i], below(numbers, 160) - 80, below(numbers, 340) - 170,
                      1 + below(numbers, 9), below(numbers, 600));
        if (i < 2) {
            strbuf_printf(out, ", cpu_weight: 0.000%d}\n", below(numbers, 90));
        } else {
            strbuf_printf(out,
                          ", account: %c, overhead: %d%%, price: {cpu: 0.0%d, memory: 0.00%d, "
                          "storage: 0.0%d}}\n",
                          names[i][0], below(numbers, 40), 1 + below(numbers, 9),
                          1 + below(numbers, 9), 1 + below(numbers, 9));
        }
    }
    strbuf_puts(out, "egress:\n");
    put_rule(out, numbers, &plain, "internet", "aws/*", "*", "sender");
    put_rule(out, numbers, &plain, "out", "gcp/*", "*", "sender");
    put_rule(out, numbers, &plain, "in", "*", "aws/*", "receiver");
    strbuf_printf(out,
                  "latency:\n  pairs:\n"
                  "    - {between: [client/a, edge/c], rtt: %dms, per_mib: %dms}\n",
                  1 + below(numbers, 30), below(numbers, 200));
    strbuf_printf(out,
                  "weights: {latency: 0.00000%d, device_cpu: 0.0000%d, storage: %d, "
                  "migration: %d}\n",
                  1 + below(numbers, 9), 1 + below(numbers, 9), below(numbers, 3),
                  below(numbers, 3));
    strbuf_printf(out, "policy: {horizon: %dh, saving_min: {ratio: 3%%, per_month: 0.50}}\n",
                  1 + below(numbers, 48));
    strbuf_puts(out, "workload_measures: {licence: 0.01 USD/replica/h}\nterms:\n"
                     "  - {name: carbon, formula: 'max(vcpu_hours * 5 W/vCPU * site.carbon, "
                     "device_cpu_s * 3 W * site.carbon) * 0.0001 USD/g', weight: 2}\n"
                     "  - {name: licence, into: bill, formula: 'replicas * workload.licence + "
                     "gib_out * 0.00001 USD/GiB/h'}\n");
}

/* front (n1, n2) with a curve and two variants -> origin; front reads a data set of two parts. */
static void write_rich_app(struct strbuf *out, struct numbers *numbers)
{
    strbuf_printf(out,
                  "app: rich\n%s"
                  "users: [{name: n1, site: client/a}, {name: n2, site: client/b}]\nworkloads:\n"
                  "  - {name: front, split: true, resources: {cpu: %dm, memory: %dMiB},\n"
                  "     replicas: %d, state: %dMiB, cache: {warm: %d,\n"
                  "     curve: [{calls: 10/s, hit: %d%%}, {calls: 300/s, hit: %d%%}]},\n"
                  "     variants: [{name: x, driver: process, artifact: 'file:/x', tiers: [client],"
                  " cpu_per_call: %dus, response: %dB},\n"
                  "                {name: y, driver: process, artifact: 'file:/y', cpu: %dm}]}\n"
                  "  - {name: origin, run: {driver: process, artifact: 'file:/x'}, state: 1GiB,\n"
                  "     resources: {cpu: 1, memory: 1GiB}, tiers: [edge, cloud]}\n",
                  below(numbers, 2) == 0 ? "" : "weights: {egress: 3, latency: 0.000004}\n",
                  50 + below(numbers, 2000), 16 + below(numbers, 4096), 1 + below(numbers, 3),
                  below(numbers, 2048), below(numbers, 100000), below(numbers, 50),
                  50 + below(numbers, 50), below(numbers, 3000), below(numbers, 5000),
                  50 + below(numbers, 4000));
    strbuf_printf(out,
                  "data: [{name: models, split: true, size: %dGiB, copies: %d, dedup: %d%%, "
                  "update: %dB/s, at: aws/d}]\nlinks:\n"
                  "  - {from: n1, to: front, calls: %d/s, request: %dB, response: 4KiB}\n"
                  "  - {from: n2, to: front, calls: %d/s, request: %dB, response: 4KiB}\n"
                  "  - {from: front, to: origin, calls: 100/s, on_miss: true, request: 1KiB,\n"
                  "     response: %dB}\n"
                  "  - {from: front, to: models, calls: %d/s, response: %dB}\n",
                  1 + below(numbers, 500), 1 + below(numbers, 3), below(numbers, 101),
                  below(numbers, 100000), 1 + below(numbers, 300), below(numbers, 5000),
                  1 + below(numbers, 300), below(numbers, 5000), below(numbers, 20000),
                  1 + below(numbers, 50), below(numbers, 200000));
}

/* A rich world and app, some parts of which run somewhere and were measured. */
static void rich_begin(struct fixture *fixture, uint64_t seed, struct estimate estimates[4])
{
    static const enum estimate_kind kinds[] = {ESTIMATE_HIT_PPM, ESTIMATE_CALLS_MHZ,
                                               ESTIMATE_CPU_NS, ESTIMATE_RESPONSE_BYTES};
    struct numbers numbers = {seed};
    struct strbuf world;
    struct strbuf app;
    strbuf_init(&world, 64 << 10);
    strbuf_init(&app, 64 << 10);
    write_rich_world(&world, &numbers);
    write_rich_app(&app, &numbers);
    fixture_begin(fixture, strbuf_text(&world), strbuf_text(&app));
    for (int i = 0; i < fixture->app.workload_count; i++) {
        fixture->states[i].now = (struct placement){.site = below(&numbers, SITES_MAX + 1) - 1,
                                                    .variant = below(&numbers, 2)};
    }
    for (int i = 0; i < 4; i++) {
        int workload = below(&numbers, fixture->app.workload_count);
        int site = fixture->states[workload].now.site;
        estimates[i] = (struct estimate){
            .kind = kinds[i], .value = below(&numbers, 1000000), .observed_us = below(&numbers, 9)};
        str_format(estimates[i].namespace_, LIMIT_NAME_BYTES, "default");
        str_format(estimates[i].app, LIMIT_NAME_BYTES, "rich");
        str_format(estimates[i].workload, LIMIT_NAME_BYTES, "%s",
                   fixture->app.workloads[workload].name);
        str_format(estimates[i].site, LIMIT_REF_BYTES, "%s",
                   site < 0 ? "aws/d" : fixture->world.sites[site].name);
    }
    fixture->input.estimates = (struct estimates){estimates, 4};
    strbuf_done(&world);
    strbuf_done(&app);
}

/* Somewhere that the documents allow every part to be, so that each placement is a choice. */
static void rich_placement(struct fixture *fixture, struct numbers *numbers,
                           struct placement at[FIXTURE_PARTS])
{
    for (int i = 0; i < fixture->app.workload_count; i++) {
        const struct workload *what = &fixture->app.workloads[i];
        do {
            at[i].site = below(numbers, SITES_MAX);
            at[i].variant = below(numbers, cost_variants(what));
        } while (!cost_is_open(&fixture->world, what, at[i].variant, at[i].site));
        at[i].lead = i;
    }
}

static void test_rich_lines_add_up(void **state)
{
    (void)state;
    int seen[TERM_COUNT] = {0};
    int shared = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        struct estimate estimates[4];
        struct numbers numbers = {seed ^ 0x123456};
        rich_begin(&fixture, seed, estimates);
        fixture_problem(&fixture);
        for (int i = 0; i < ASSIGNMENTS; i++) {
            struct placement at[FIXTURE_PARTS];
            int choice[FIXTURE_PARTS];
            rich_placement(&fixture, &numbers, at);
            assert_true(cost_choices(&fixture.input, &fixture.problem, at, choice));
            assert_int_equal(problem_broken_rule(&fixture.problem, choice), -1);
            struct cost_report report = fixture_explain_at(&fixture, at);
            nusd score = 0;
            nusd bill = 0;
            for (int k = 0; k < report.line_count; k++) {
                const struct cost_line *line = &report.lines[k];
                score += line->score;
                bill += line->bill;
                seen[line->term]++;
                assert_true(line->text[0] != '\0');
                assert_true((line->term == TERM_CUSTOM) == (line->custom >= 0));
            }
            assert_true(score == report.total.score && bill == report.total.bill);
            assert_true(score + report.stay == problem_cost(&fixture.problem, choice));
            for (int k = 0; k < fixture.app.workload_count; k++) {
                struct placement back =
                    cost_placement(&fixture.input, &fixture.problem, k, choice[k]);
                assert_true(back.site == at[k].site && back.variant == at[k].variant);
                shared += back.lead != k ? 1 : 0;
            }
        }
        fixture_end(&fixture);
    }
    for (int term = 0; term < TERM_COUNT; term++) {
        assert_true(seen[term] > INSTANCES / 4); /* the generator reaches every term */
    }
    assert_true(shared > INSTANCES);
}

/* Weights say what matters, not what is charged. */
static void test_bill_knows_no_weights(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        struct estimate estimates[4];
        struct placement at[FIXTURE_PARTS];
        struct numbers numbers = {seed};
        rich_begin(&fixture, seed, estimates);
        rich_placement(&fixture, &numbers, at);
        nusd bill = fixture_explain_at(&fixture, at).total.bill;
        struct weights *weights = &fixture.app.weights;
        fixture.app.has_weights = true;
        fixture.app.weights_stated = (1U << WEIGHT_COUNT) - 1;
        weights->latency_usd_per_second = (struct decimal){below(&numbers, 1000), 3};
        weights->device_cpu_usd_per_second = (struct decimal){below(&numbers, 1000), 3};
        weights->compute_ppm = below(&numbers, 5000000);
        weights->storage_ppm = below(&numbers, 5000000);
        weights->egress_ppm = below(&numbers, 5000000);
        weights->migration_ppm = below(&numbers, 5000000);
        assert_true(fixture_explain_at(&fixture, at).total.bill == bill);
        fixture_end(&fixture);
    }
}

/* A byte more never costs less, nor more than the dearest tier asks, wherever a tier begins. */
static void test_tiers_are_continuous(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        struct estimate estimates[4];
        struct numbers numbers = {seed};
        rich_begin(&fixture, seed, estimates);
        fixture_problem(&fixture);
        for (int i = 0; i < fixture.problem.meter_count; i++) {
            const struct problem_meter *meter = &fixture.problem.meters[i];
            for (int tier = 0; tier < meter->tier_count - 1; tier++) {
                int64_t at = meter->up_to_bytes[tier] - meter->base_bytes;
                int64_t step = 1 + below(&numbers, 1000);
                if (at <= step) {
                    continue;
                }
                nusd below_it = meter_charge(meter, at) - meter_charge(meter, at - step);
                nusd above_it = meter_charge(meter, at + step) - meter_charge(meter, at);
                nusd most = (nusd)meter->price_nusd[0] * step / meter->per_bytes + 2;
                assert_true(below_it >= 0 && above_it >= 0);
                assert_true(below_it <= most && above_it <= most);
            }
        }
        fixture_end(&fixture);
    }
}

/* Between two alike sites a move costs the same there and back. */
static void test_migration_is_symmetric(void **state)
{
    (void)state;
    int pairs = 0;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        instance_begin(&fixture, seed, &plain);
        int a = fixture.world.site_count - 1;
        int b = 2;
        struct site *sites = fixture.world.sites;
        char name[LIMIT_REF_BYTES];
        memcpy(name, sites[a].name, sizeof(name));
        if (a == b || !str_equal(sites[a].provider, sites[b].provider)) {
            fixture_end(&fixture);
            continue;
        }
        sites[a] = sites[b];
        memcpy(sites[a].name, name, sizeof(name));
        nusd once[2];
        for (int way = 0; way < 2; way++) {
            int site[FIXTURE_PARTS];
            for (int i = 0; i < fixture.app.workload_count; i++) {
                fixture.states[i].now.site = way == 0 ? a : b;
                site[i] = way == 0 ? b : a;
            }
            once[way] = fixture_explain(&fixture, site).total.bill_term[TERM_MIGRATION];
        }
        assert_true(once[0] == once[1] && once[0] > 0);
        pairs++;
        fixture_end(&fixture);
    }
    assert_true(pairs > INSTANCES / 4);
}

static void cheapest(uint64_t seed, const struct spelling *spelling, int best[FIXTURE_PARTS],
                     nusd *ret_cost)
{
    struct fixture fixture;
    instance_begin(&fixture, seed, spelling);
    fixture_problem(&fixture);
    assert_true(brute_force(&fixture.problem, best, ret_cost));
    fixture_end(&fixture);
}

/* All prices and weights twice: the cheapest of one is the cheapest of the other, at twice the
 * cost, to the rounding of each line. */
static void test_twice_the_prices(void **state)
{
    (void)state;
    const struct spelling twice = {2, false, "", 100};
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        int best[FIXTURE_PARTS];
        int best_twice[FIXTURE_PARTS];
        nusd cost;
        nusd cost_twice;
        cheapest(seed, &plain, best, &cost);
        cheapest(seed, &twice, best_twice, &cost_twice);
        nusd apart = cost_twice - 2 * cost;
        /* a few lines per part, each rounded, migration's rounding times the months of a horizon */
        assert_true(apart < 100000 && apart > -100000);
        struct fixture fixture;
        instance_begin(&fixture, seed, &plain);
        fixture_problem(&fixture);
        assert_true(problem_cost(&fixture.problem, best_twice) - cost < 100000);
        fixture_end(&fixture);
    }
}

static void test_useless_site(void **state)
{
    (void)state;
    const struct spelling useless = {1, true, "", 50};
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        int best[FIXTURE_PARTS] = {0};
        int best_more[FIXTURE_PARTS] = {0};
        nusd cost;
        nusd cost_more;
        cheapest(seed, &plain, best, &cost);
        cheapest(seed, &useless, best_more, &cost_more);
        assert_true(cost == cost_more);
        assert_memory_equal(best, best_more, sizeof(best));
    }
}

static void test_renamed_sites(void **state)
{
    (void)state;
    const struct spelling renamed = {1, false, "-also-known-as-b7", 50};
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        int best[FIXTURE_PARTS] = {0};
        int best_renamed[FIXTURE_PARTS] = {0};
        nusd cost;
        nusd cost_renamed;
        cheapest(seed, &plain, best, &cost);
        cheapest(seed, &renamed, best_renamed, &cost_renamed);
        assert_true(cost == cost_renamed);
        assert_memory_equal(best, best_renamed, sizeof(best));
    }
}

/* Placed at its optimum, everything stays: no input changed, so nothing moves. */
static void test_constant_inputs_move_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        int best[FIXTURE_PARTS];
        int again[FIXTURE_PARTS];
        nusd cost;
        instance_begin(&fixture, seed, &plain);
        fixture_problem(&fixture);
        assert_true(brute_force(&fixture.problem, best, &cost));
        for (int i = 0; i < fixture.problem.part_count; i++) {
            fixture.states[i].now.site = best[i];
        }
        fixture_problem(&fixture);
        assert_true(brute_force(&fixture.problem, again, &cost));
        assert_memory_equal(best, again, (size_t)fixture.problem.part_count * sizeof(int));
        fixture_end(&fixture);
    }
}

static void assert_same_uses(const struct problem_use *a, const struct problem_use *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(a[i].meter, b[i].meter);
        if (a[i].meter >= 0)
            assert_int_equal(a[i].bytes, b[i].bytes);
    }
}

/* The parts and pairs of the app at `part` and `pair` are those of the problem of one app. */
static void assert_same_app(const struct problem *one, const struct problem *many, int part,
                            int pair)
{
    for (int i = 0; i < one->part_count; i++) {
        const struct problem_part *a = &one->parts[i];
        const struct problem_part *b = &many->parts[part + i];
        size_t choices = (size_t)a->choice_count;
        assert_int_equal(a->choice_count, b->choice_count);
        assert_int_equal(a->current, b->current);
        assert_memory_equal(a->cost, b->cost, choices * sizeof(int64_t));
        assert_int_equal(a->use_count, b->use_count);
        assert_same_uses(a->use, b->use, choices * (size_t)a->use_count);
        for (size_t k = 0; k < choices; k++) {
            assert_int_equal(a->choices[k].site, b->choices[k].site);
            assert_int_equal(a->choices[k].lead + part, b->choices[k].lead);
        }
    }
    for (int i = 0; i < one->pair_count; i++) {
        const struct problem_pair *a = &one->pairs[i];
        const struct problem_pair *b = &many->pairs[pair + i];
        size_t cells =
            (size_t)one->parts[a->a].choice_count * (size_t)one->parts[a->b].choice_count;
        assert_int_equal(a->a + part, b->a);
        assert_int_equal(a->b + part, b->b);
        assert_memory_equal(a->cost, b->cost, cells * sizeof(int64_t));
        assert_int_equal(a->use_count, b->use_count);
        assert_same_uses(a->use, b->use, cells * (size_t)a->use_count);
    }
}

/* Among so many apps that threads share them, each costs what it costs alone, which one thread has
 * worked out; and of several that fail the first one is told. */
static void test_apps_cost_the_same_among_many(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fixture fixture;
        struct arena arena;
        struct problem many;
        struct error err = {0};
        instance_begin(&fixture, seed, &plain);
        fixture_problem(&fixture);
        const struct problem *one = &fixture.problem;
        int copies = 60000 / (int)(one->part_count * one->site_count);
        struct app *apps = calloc((size_t)copies, sizeof(*apps));
        struct cost_app *given = calloc((size_t)copies, sizeof(*given));
        assert_non_null(apps);
        assert_non_null(given);
        for (int i = 0; i < copies; i++) {
            apps[i] = *fixture.input.apps[0].app;
            str_format(apps[i].name, sizeof(apps[i].name), "r%d", i);
            given[i] = fixture.input.apps[0];
            given[i].app = &apps[i];
        }
        struct cost_input input = fixture.input;
        input.apps = given;
        input.app_count = copies;
        arena_init(&arena, (size_t)2 << 30);
        assert_int_equal(cost_problem(&input, &arena, &many, &err), 0);
        assert_int_equal(many.part_count, copies * one->part_count);
        assert_int_equal(many.pair_count, copies * one->pair_count);
        for (int i = 0; i < copies; i++)
            assert_same_app(one, &many, i * one->part_count, i * one->pair_count);
        struct link links[PARTS_MAX * 4];
        assert_in_range(apps[0].link_count, 1, PARTS_MAX * 4);
        memcpy(links, apps[0].links, (size_t)apps[0].link_count * sizeof(links[0]));
        links[0].calls_mhz = INT64_MAX / 2;
        links[0].response_bytes = INT64_MAX / 2;
        apps[copies / 3].links = links;
        apps[copies - 1].links = links;
        arena_reset(&arena);
        assert_int_equal(cost_problem(&input, &arena, &many, &err), ERR_OVERFLOW);
        char name[32];
        str_format(name, sizeof(name), "/r%d/", copies / 3);
        if (strstr(err.text, name) == NULL)
            fail_msg("%s instead of %s", err.text, name);
        arena_done(&arena);
        free(apps);
        free(given);
        fixture_end(&fixture);
    }
}

/* Any width is as likely as any other. */
static int64_t wide(struct numbers *numbers)
{
    return (int64_t)(next(numbers) >> 1 >> below(numbers, 63));
}

/* The short way through a link's cells says what its terms say, whatever the numbers, and is taken
 * as often as not. */
static void check_cells(struct cost_context *context, int link, struct arena *arena, int seen[3])
{
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *caller = &context->parts[info->from_part];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct cost_link_cells cells;
    struct cost_reached *reached = arena_array(arena, (size_t)callee->spot_count, sizeof(*reached));
    assert_non_null(reached);
    cost_link_cells_begin(context, link, reached, &cells);
    for (int from = 0; from < caller->spot_count; from++) {
        for (int to = 0; to < callee->spot_count; to++) {
            struct problem_use uses[2][COST_LINK_USES] = {{{0}}};
            struct cost_sink sink = {0};
            struct error err[2] = {{0}};
            int64_t score = -1;
            struct cost_row row = {.cost = &score, .use = uses[1], .slots = COST_LINK_USES};
            cost_terms_link(context, link, &caller->spots[from], &callee->spots[to], &sink);
            bool failed = sink.failed || sink.total.score > INT64_MAX;
            int uses_rc = cost_link_uses(context, link, &caller->spots[from], &callee->spots[to],
                                         uses[0], &err[0]);
            int rc =
                cost_link_row(&cells, &caller->spots[from], &callee->spots[to], 1, &row, &err[1]);
            seen[failed ? 0 : cells.time_factor > 0 ? 1 : 2]++;
            assert_int_equal(rc, failed ? ERR_OVERFLOW : uses_rc);
            if (failed) {
                assert_non_null(strstr(err[1].text, "its score would pass"));
                continue;
            }
            if (score != sink.total.score)
                fail_msg("%lld instead of %lld", (long long)score, (long long)sink.total.score);
            assert_string_equal(err[0].text, err[1].text);
            int used = 0;
            for (int i = 0; i < COST_LINK_USES && rc == 0; i++)
                if (uses[0][i].meter >= 0) {
                    assert_int_equal(uses[0][i].meter, uses[1][used].meter);
                    assert_int_equal(uses[0][i].bytes, uses[1][used++].bytes);
                }
            assert_int_equal(row.most, used);
            for (; used < COST_LINK_USES && rc == 0; used++)
                assert_int_equal(uses[1][used].meter, -1);
        }
    }
}

static void test_cells_are_what_the_terms_say(void **state)
{
    (void)state;
    int seen[3] = {0};
    for (uint64_t seed = 1; seed <= INSTANCES; seed++) {
        struct fixture fixture;
        struct numbers numbers = {seed ^ 0x777};
        struct estimate estimates[4];
        struct cost_context context;
        struct error err;
        if (seed % 2 == 0)
            instance_begin(&fixture, seed, &plain);
        else
            rich_begin(&fixture, seed, estimates);
        assert_int_equal(cost_context_build(&fixture.input, &fixture.arena, &context, &err), 0);
        for (int round = 0; round < 40; round++) {
            struct weights weights = *context.parts[0].weights;
            if (round > 0) {
                weights.latency_usd_per_second =
                    (struct decimal){wide(&numbers) % 1000000000000000000, below(&numbers, 19)};
                if (below(&numbers, 2) == 0)
                    weights.latency_usd_per_second = (struct decimal){1 + below(&numbers, 50), 7};
                for (int i = 0; i < context.part_count; i++)
                    context.parts[i].weights = &weights;
            }
            for (int i = 0; i < context.site_count * context.site_count && round % 2 == 1; i++)
                context.rtt_us[i] = below(&numbers, 9) == 0 ? -1 : wide(&numbers) % 10000000000;
            for (int i = 0; i < context.link_count; i++) {
                struct cost_link_info *link = &context.links[i];
                if (round > 0)
                    link->calls_mhz = wide(&numbers) >> below(&numbers, 12);
                for (int k = 0; k < cost_variants(context.parts[link->to_part].what) && round > 1;
                     k++) {
                    link->bytes[k][0] = wide(&numbers) >> 20;
                    link->bytes[k][1] = wide(&numbers) >> 20;
                }
                if (link->from_part >= 0)
                    check_cells(&context, i, &fixture.arena, seen);
            }
        }
        fixture_end(&fixture);
    }
    for (int i = 0; i < 3; i++)
        if (seen[i] < 1000)
            fail_msg("cells that failed, went short, went long: %d, %d, %d", seen[0], seen[1],
                     seen[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_add_up),
        cmocka_unit_test(test_cells_are_what_the_terms_say),
        cmocka_unit_test(test_apps_cost_the_same_among_many),
        cmocka_unit_test(test_rich_lines_add_up),
        cmocka_unit_test(test_bill_knows_no_weights),
        cmocka_unit_test(test_tiers_are_continuous),
        cmocka_unit_test(test_migration_is_symmetric),
        cmocka_unit_test(test_twice_the_prices),
        cmocka_unit_test(test_useless_site),
        cmocka_unit_test(test_renamed_sites),
        cmocka_unit_test(test_constant_inputs_move_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
