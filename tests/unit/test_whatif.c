/* What-ifs with the real solver: each figure against another way to get it. */
#include "model_fixture.h"

#include <jansson.h>

#include "simulator/whatif/attribute.h"
#include "simulator/whatif/report.h"
#include "simulator/whatif/spread.h"
#include "simulator/whatif/sweep.h"
#include "simulator/whatif/whatif.h"

static const char world[] =
    "world: asked\n"
    "accounts: [{name: a, provider: aws}, {name: g, provider: gcp}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.05, memory: 0.006}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.03, memory: 0.004}}\n"
    "  - {name: gcp/one, tier: cloud, account: g, price: {cpu: 0.02, memory: 0.003}}\n"
    "egress:\n"
    "  - {name: aws-out, from: 'aws/*', to: '*', per: GiB,\n"
    "     tiers: [{up_to: 100GiB, price: 0.09}, {price: 0.05}]}\n"
    "  - {name: gcp-out, from: 'gcp/*', to: '*', per: GiB, tiers: [{price: 0.12}]}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"
    "    - {between: [client/web, gcp/one], rtt: 60ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n"
    "    - {between: [edge/one, gcp/one], rtt: 45ms}\n"
    "    - {between: [aws/one, gcp/one], rtt: 30ms}\n"
    "weights: {latency: 0.00001}\n"
    "policy: {horizon: 720h}\n";

static const char app[] =
    "app: shop\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - {name: front, run: {driver: process, artifact: 'file:/x', cpu_per_call: 2ms},\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 80%}}\n"
    "  - {name: source, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}, tiers: [cloud]}\n"
    "links:\n"
    "  - {from: web, to: front, calls: 40/s, request: 1KB, response: 2KB}\n"
    "  - {from: front, to: source, calls: 40/s, request: 1KB, response: 20KB, on_miss: true}\n";

/* A state that is placed where it is best, and a solver for it. */
struct asked {
    struct fixture fixture;
    struct cost_state state;
    struct whatif *whatif;
    struct error err;
};

#define MUST(call)                           \
    do {                                     \
        if ((call) < 0)                      \
            fail_msg("%s", asked->err.text); \
    } while (0)

static void begin_with(struct asked *asked, int workers)
{
    struct whatif_options options = {.workers = workers};
    struct app *apps[1];
    memset(asked, 0, sizeof(*asked));
    fixture_begin(&asked->fixture, world, app);
    apps[0] = &asked->fixture.app;
    MUST(cost_state_of(&asked->fixture.world, apps, 1, &asked->fixture.arena, &asked->state,
                       &asked->err));
    options.limits.gap = 0.0001;
    MUST(whatif_open(&options, &asked->whatif, &asked->err));
    MUST(whatif_place(asked->whatif, &asked->state, &asked->fixture.arena, &asked->err));
    assert_true(asked->state.placed);
}

static void end(struct asked *asked)
{
    whatif_close(asked->whatif);
    fixture_end(&asked->fixture);
}

static struct whatif_report ask(struct asked *asked, const char *const *said, int count)
{
    struct whatif_report report = {.said = said, .said_count = count};
    struct override *list =
        arena_array(&asked->fixture.arena, (size_t)count + 1, sizeof(struct override));
    for (int i = 0; i < count; i++)
        MUST(override_parse(said[i], &list[i], &asked->err));
    MUST(report_begin(asked->whatif, &asked->state, list, count, &asked->fixture.arena, &report,
                      &asked->err));
    return report;
}

static void test_nothing_changed(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    begin_with(asked, 1);
    struct whatif_report report = ask(asked, NULL, 0);
    assert_true(report.sides[SIDE_BEST].known);
    assert_int_equal(whatif_moves(&report.answer.input, asked->state.at, report.answer.best), 0);
    assert_true(report.sides[SIDE_TODAY].total.bill == report.sides[SIDE_BEST].total.bill);
    assert_true(report.answer.broken[0] == 0);
    assert_true(report.answer.score >= report.answer.bound);
    end(asked);
}

/* Every placement by hand: none that the rules allow scores less than the answer. */
static void test_the_best_is_the_best(void **state)
{
    (void)state;
    static const char *const changes[] = {"price.egress.*=x5", "cache.hit=0.1", "calls=x10",
                                          "remove.provider=gcp", "latency.*:*=x4"};
    struct asked asked_;
    struct asked *asked = &asked_;
    begin_with(asked, 1);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct whatif_report report = ask(asked, &changes[i], 1);
        struct problem problem;
        MUST(cost_problem(&report.answer.input, &asked->fixture.arena, &problem, &asked->err));
        nusd least = report.answer.score;
        for (int a = 0; a < problem.parts[0].choice_count; a++)
            for (int b = 0; b < problem.parts[1].choice_count; b++) {
                int choice[] = {a, b};
                if (problem_broken_rule(&problem, choice) < 0 &&
                    problem_cost(&problem, choice) < least)
                    least = problem_cost(&problem, choice);
            }
        /* within the gap that was asked for */
        assert_true(report.answer.score - least <= least / 5000);
        assert_true(report.answer.bound <= least);
    }
    end(asked);
}

static void test_no_placement(void **state)
{
    (void)state;
    static const char *const said[] = {"retag.source=cloud:gcp", "remove.provider=gcp"};
    struct asked asked_;
    struct asked *asked = &asked_;
    begin_with(asked, 1);
    struct whatif_report report = ask(asked, said, 2);
    assert_int_equal(report.answer.status, SOLVE_INFEASIBLE);
    assert_false(report.sides[SIDE_BEST].known);
    assert_true(report.answer.conflict_count >= 2);
    end(asked);
}

/* A sweep is its points asked one by one, on any number of workers. */
static void test_sweeps(void **state)
{
    (void)state;
    struct sweep_point *points[2];
    struct sweep_axis axes[2];
    int counts[2] = {1, 3};
    struct asked asked_[2];
    for (int i = 0; i < 2; i++) {
        struct asked *asked = &asked_[i];
        begin_with(asked, counts[i]);
        struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
        MUST(sweep_axis_parse("price.egress.gcp-out=0.02:0.5:0.08", &axes[0], &asked->err));
        MUST(sweep_axis_parse("cache.hit=20%:80%:30%", &axes[1], &asked->err));
        MUST(sweep_run(asked->whatif, &base, axes, 2, &asked->fixture.arena, &points[i],
                       &asked->err));
    }
    assert_int_equal(axes[0].count, 7);
    assert_int_equal(axes[1].count, 3);
    int moved = 0;
    for (int i = 0; i < 21; i++) {
        struct asked *asked = &asked_[0];
        char value[2][LIMIT_NAME_BYTES];
        const char *said[2];
        sweep_axis_value(&axes[0], i / 3, value[0]);
        sweep_axis_value(&axes[1], i % 3, value[1]);
        said[0] = arena_printf(&asked->fixture.arena, "price.egress.gcp-out=%s", value[0]);
        said[1] = arena_printf(&asked->fixture.arena, "cache.hit=%s", value[1]);
        struct whatif_report report = ask(asked, said, 2);
        assert_true(points[0][i].same_bill == whatif_bill(&report.sides[SIDE_SAME].total));
        assert_true(points[0][i].bill == whatif_bill(&report.sides[SIDE_BEST].total));
        assert_true(points[0][i].bill == points[1][i].bill);
        assert_true(points[0][i].moves == points[1][i].moves);
        moved += points[0][i].moves > 0;
    }
    assert_true(moved > 0 && moved < 21); /* or nothing was tried */
    end(&asked_[0]);
    end(&asked_[1]);
}

static void test_axes(void **state)
{
    (void)state;
    struct sweep_axis axis;
    struct error err;
    char value[LIMIT_NAME_BYTES];
    assert_int_equal(sweep_axis_parse("latency.a:b=20ms:200ms:20ms", &axis, &err), 0);
    assert_string_equal(axis.path, "latency.a:b");
    assert_int_equal(axis.count, 10);
    sweep_axis_value(&axis, 9, value);
    assert_string_equal(value, "200ms");
    assert_int_equal(sweep_axis_parse("calls=-50%:+50%:25%", &axis, &err), 0);
    sweep_axis_value(&axis, 0, value);
    assert_string_equal(value, "-50%");
    sweep_axis_value(&axis, 4, value);
    assert_string_equal(value, "+50%");
    assert_int_equal(sweep_axis_parse("price.cpu=x0.5:x3:x0.5", &axis, &err), 0);
    assert_int_equal(axis.count, 6);
    static const char *const wrong[] = {
        "calls",
        "calls=1:2",
        "calls=x1:2:1",
        "calls=x3:x1:x1",
        "calls=x1:x2:x0",
        "calls=x0:x1:x0.0001",
        "calls=1ms:2ms:1s",
        "nothing=x1:x2:x1",
        "latency.a:b=1:2:1",
        "price.cpu=::",
        "calls=-x1:x1:x1",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (sweep_axis_parse(wrong[i], &axis, &err) == 0)
            fail_msg("%s was taken", wrong[i]);
}

/* On both sides of a break-even point the best placements are the ones that it tells. */
static void test_break_even(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    struct sweep_even even;
    begin_with(asked, 2);
    struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
    MUST(sweep_even(asked->whatif, &base, "price.egress.gcp-out=x0.1:x20", &asked->fixture.arena,
                    &even, &asked->err));
    assert_true(even.change_count > 0);
    assert_string_equal(even.present.unit, "USD per GiB");
    for (int i = 0; i < even.change_count; i++) {
        const struct sweep_change *change = &even.changes[i];
        const char *said[2];
        struct placement at[2][2];
        assert_true(change->move_count > 0);
        for (int side = 0; side < 2; side++) {
            int64_t factor = change->factor.coefficient * (side == 0 ? 997 : 1003) / 1000;
            said[side] = arena_printf(&asked->fixture.arena, "price.egress.gcp-out=x%lld.%06lld",
                                      (long long)(factor / 1000000), (long long)(factor % 1000000));
            struct whatif_report report = ask(asked, &said[side], 1);
            memcpy(at[side], report.answer.best, sizeof(at[side]));
        }
        const struct sweep_move *move = &change->moves[0];
        assert_int_equal(at[change->up ? 1 : 0][move->workload].site, move->to.site);
        assert_int_equal(at[change->up ? 0 : 1][move->workload].site, move->from.site);
    }
    end(asked);
}

static void test_tornado(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    struct sweep_bar *bars;
    struct sweep_point point;
    int count;
    begin_with(asked, 2);
    struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
    MUST(sweep_tornado(asked->whatif, &base, PPM / 5, &asked->fixture.arena, &bars, &count, &point,
                       &asked->err));
    assert_true(count >= 8);
    for (int i = 0; i < count; i++) {
        const char *said = arena_printf(&asked->fixture.arena, "%s=+20%%", bars[i].path);
        struct whatif_report report = ask(asked, &said, 1);
        assert_true(bars[i].high.bill == whatif_bill(&report.sides[SIDE_BEST].total));
        assert_true(i == 0 || sweep_bar_width(&bars[i - 1]) >= sweep_bar_width(&bars[i]));
    }
    end(asked);
}

/* What is not proven is never told as if it were, however near it is; an end without a placement
 * has no bill to be apart from. */
static void test_what_is_told_of_ends(void **state)
{
    (void)state;
    struct whatif_answer answer = {.status = SOLVE_FEASIBLE,
                                   .score = INT64_C(240000000000000),
                                   .bound = INT64_C(239999999999999)};
    assert_int_equal(whatif_gap_ppm(&answer), 1);
    answer.bound = answer.score / 2;
    assert_int_equal(whatif_gap_ppm(&answer), PPM / 2);
    answer.bound = answer.score;
    assert_int_equal(whatif_gap_ppm(&answer), 0);
    answer.score = 0;
    answer.bound = -1;
    assert_int_equal(whatif_gap_ppm(&answer), PPM);
    answer.status = SOLVE_OPTIMAL; /* up to the solver's tolerance */
    assert_int_equal(whatif_gap_ppm(&answer), 0);
    struct sweep_bar bar = {.low = {.status = SOLVE_INFEASIBLE},
                            .high = {.status = SOLVE_OPTIMAL, .bill = 75 * NUSD_PER_USD}};
    assert_true(sweep_bar_width(&bar) == 0);
    bar.low.status = SOLVE_FEASIBLE;
    bar.low.bill = 80 * NUSD_PER_USD;
    assert_true(sweep_bar_width(&bar) == 5 * NUSD_PER_USD);
}

static struct spread_result draw(struct asked *asked, int draws, const char *spread)
{
    struct spread_result result;
    struct spread_input input;
    struct spread_options options = {.draws = draws, .seed = 5};
    struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
    if (spread != NULL) {
        MUST(spread_input_parse(spread, &input, &asked->err));
        options.inputs = &input;
        options.input_count = 1;
    }
    MUST(spread_run(asked->whatif, &base, &options, &asked->fixture.arena, &result, &asked->err));
    return result;
}

static void test_monte_carlo(void **state)
{
    (void)state;
    struct asked one;
    struct asked three;
    begin_with(&one, 1);
    begin_with(&three, 3);
    struct spread_result a = draw(&one, 60, NULL);
    struct spread_result b = draw(&three, 60, NULL);
    assert_true(a.mean == b.mean && a.same_mean == b.same_mean);
    assert_int_equal(a.place_count, b.place_count);
    int seen = 0;
    for (int i = 0; i < a.place_count; i++) {
        assert_true(a.places[i].count == b.places[i].count &&
                    a.places[i].at.site == b.places[i].at.site);
        seen += a.places[i].count;
    }
    assert_int_equal(seen, 2 * (60 - a.unplaced));
    for (int i = 0; i < SPREAD_QUANTILES; i++) {
        assert_true(a.bill[i] == b.bill[i]);
        assert_true(i == 0 || (a.bill[i - 1] <= a.bill[i] && a.same_bill[i - 1] <= a.same_bill[i]));
    }
    assert_true(a.bill[0] < a.bill[SPREAD_QUANTILES - 1]);

    /* What is exact does not spread; what a bill is proportional to spreads as it does. */
    struct spread_result exact = draw(&one, 20, "calls=0%");
    assert_true(exact.bill[0] == exact.bill[4] &&
                exact.bill[0] == whatif_bill(&ask(&one, NULL, 0).sides[SIDE_BEST].total));
    struct spread_result prices = draw(&one, 400, "price.*=5%");
    nusd mean = whatif_bill(&ask(&one, NULL, 0).sides[SIDE_TODAY].total);
    nusd off = prices.same_mean - mean;
    /* 5 % / sqrt(400) is 0.25 %: four of them */
    assert_true((off < 0 ? -off : off) < mean / 100);
    end(&one);
    end(&three);
}

static void test_attribution(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    struct attribute attribute;
    static const char *const said[] = {"calls=x50"};
    begin_with(asked, 1);
    struct whatif_report report = ask(asked, said, 1);
    struct share_options options = {.seed = 1};
    MUST(attribute_egress(&report.answer.input, report.answer.best, &options, &asked->fixture.arena,
                          &attribute, &asked->err));
    assert_true(attribute.meter_count > 0);
    nusd shared = 0;
    for (int i = 0; i < attribute.meter_count; i++) {
        assert_true(attribute.meters[i].exact);
        shared += attribute.meters[i].shares[0].share.shapley;
    }
    assert_true(shared == attribute.all.total);
    /* The ledger rounds line by line. */
    nusd off = shared - report.sides[SIDE_BEST].total.bill_term[TERM_EGRESS];
    assert_true(shared > 0 && off > -20 && off < 20);
    end(asked);
}

/* Nothing is loaded or run, and every picture has words for who cannot see it. */
static void page_stands_alone(const char *html)
{
    assert_null(strstr(html, "<script"));
    assert_null(strstr(html, "src="));
    assert_null(strstr(html, "href="));
    assert_null(strstr(html, "http:")); /* nothing to load, not even a name space */
    assert_null(strstr(html, "https:"));
    assert_null(strstr(html, "url("));
    assert_null(strstr(html, "@import"));
    assert_null(strstr(html, "nan"));
    int pictures = 0;
    for (const char *at = html; (at = strstr(at, "<svg ")) != NULL; at++) {
        const char *words = strstr(at, "aria-label=\"");
        assert_true(words != NULL && words < strchr(at, '>')); /* who cannot see it is told */
        pictures++;
    }
    assert_int_equal(pictures, 5);
}

static void test_reports(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    static const char *const said[] = {"cache.hit=0.3", "price.egress.*=x3"};
    static const char *const paths[] = {"price.egress.gcp-out"};
    begin_with(asked, 2);
    struct whatif_report report = ask(asked, said, 2);
    struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
    struct sweep_even even;
    struct spread_result spread = draw(asked, 20, NULL);
    struct attribute attribute;
    struct share_options options = {.seed = 1};
    MUST(sweep_axis_parse("calls=x1:x3:x1", &report.axes[0], &asked->err));
    MUST(sweep_run(asked->whatif, &base, report.axes, 1, &asked->fixture.arena, &report.points,
                   &asked->err));
    MUST(sweep_even(asked->whatif, &base, paths[0], &asked->fixture.arena, &even, &asked->err));
    MUST(sweep_tornado(asked->whatif, &base, PPM / 10, &asked->fixture.arena, &report.bars,
                       &report.bar_count, &report.bar_base, &asked->err));
    MUST(attribute_egress(&report.answer.input, report.answer.best, &options, &asked->fixture.arena,
                          &attribute, &asked->err));
    report.axis_count = 1;
    report.evens = &even;
    report.even_paths = paths;
    report.even_count = 1;
    report.bar_part_ppm = PPM / 10;
    report.spread = &spread;
    report.attribute = &attribute;

    struct strbuf out;
    strbuf_init(&out, (size_t)16 << 20);
    report_json(&report, &out);
    json_error_t why;
    json_t *json = json_loads(strbuf_text(&out), 0, &why);
    if (json == NULL)
        fail_msg("%s: %s", why.text, strbuf_text(&out));
    static const char *const keys[] = {"before", "same_placement", "after",       "moves",
                                       "apps",   "sweep",          "break_even",  "sensitivity",
                                       "status", "monte_carlo",    "attribution", "gap_ppm"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (json_object_get(json, keys[i]) == NULL)
            fail_msg("the JSON has no %s", keys[i]);
    assert_int_equal(json_array_size(json_object_get(json_object_get(json, "after"), "places")),
                     whatif_parts(&report.answer.input));
    const json_t *points = json_object_get(json_object_get(json, "sweep"), "points");
    for (size_t i = 0; i < json_array_size(points); i++) {
        const json_t *point = json_array_get(points, i);
        assert_int_equal(json_array_size(json_object_get(point, "moved")),
                         json_integer_value(json_object_get(point, "moves")));
    }
    json_decref(json);

    strbuf_reset(&out);
    report_html(&report, "What <if> & \"why\"", &out);
    const char *html = strbuf_text(&out);
    assert_int_equal(strbuf_error(&out, &asked->err), 0);
    assert_non_null(strstr(html, "What &lt;if&gt; &amp; &quot;why&quot;"));
    assert_non_null(strstr(html, "</html>"));
    page_stands_alone(html);
    strbuf_done(&out);
    end(asked);
}

static bool at_once(void *context, int done, int count)
{
    (void)count;
    *(int *)context = done;
    return done >= 2;
}

static void test_ended_early(void **state)
{
    (void)state;
    struct asked asked_;
    struct asked *asked = &asked_;
    struct sweep_axis axis;
    struct sweep_point *points;
    int done = 0;
    begin_with(asked, 2);
    struct sweep_base base = {&asked->state.input, asked->state.at, NULL, 0};
    MUST(sweep_axis_parse("calls=x1:x100:x1", &axis, &asked->err));
    whatif_on_tick(asked->whatif, at_once, &done);
    assert_int_equal(
        sweep_run(asked->whatif, &base, &axis, 1, &asked->fixture.arena, &points, &asked->err),
        ERR_STALE);
    assert_true(done >= 2 && done < 100);
    /* The pool goes on. */
    whatif_on_tick(asked->whatif, NULL, NULL);
    assert_true(ask(asked, NULL, 0).sides[SIDE_BEST].known);
    end(asked);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_changed),
        cmocka_unit_test(test_the_best_is_the_best),
        cmocka_unit_test(test_no_placement),
        cmocka_unit_test(test_sweeps),
        cmocka_unit_test(test_axes),
        cmocka_unit_test(test_break_even),
        cmocka_unit_test(test_tornado),
        cmocka_unit_test(test_what_is_told_of_ends),
        cmocka_unit_test(test_monte_carlo),
        cmocka_unit_test(test_attribution),
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_ended_early),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
