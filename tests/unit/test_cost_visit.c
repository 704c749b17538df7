/* Visiting a placement's lines: the ledger's own, one by one; and those of its moves alone. */
#include "model_fixture.h"

#define LINES_MAX 64

static const char world[] =
    "world: visits\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005}}\n"
    "  - {name: aws/two, tier: cloud, account: a, price: {cpu: 0.05, memory: 0.006}}\n"
    "egress:\n"
    "  - {name: out, from: 'aws/*', to: '*', per: GiB, month_to_date: 5GiB,\n"
    "     tiers: [{up_to: 10GiB, price: 0.09}, {price: 0.05}]}\n"
    "  - {name: in, from: '*', to: 'edge/*', payer: receiver, per: GiB, tiers: [{price: 0.01}]}\n"
    "weights: {latency: 0.000005}\n"
    "latency:\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"
    "    - {between: [client/web, aws/two], rtt: 60ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n"
    "    - {between: [edge/one, aws/two], rtt: 45ms}\n"
    "    - {between: [aws/one, aws/two], rtt: 20ms}\n";

static const char app[] =
    "app: visits\n"
    "users: [{name: people, site: client/web}]\n"
    "workloads:\n"
    "  - {name: cache, run: {driver: process, artifact: 'file:/x'}, state: 1GiB,\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 75%, warm: 1000}}\n"
    "  - {name: origin, run: {driver: process, artifact: 'file:/x'}, state: 2GiB,\n"
    "     resources: {cpu: 2, memory: 1GiB}}\n"
    "  - {name: store, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}}\n"
    "links:\n"
    "  - {from: people, to: cache, calls: 9/s, request: 1KiB, response: 64KiB}\n"
    "  - {from: cache, to: origin, calls: 9/s, request: 1KiB, response: 1MiB, on_miss: true}\n"
    "  - {from: origin, to: store, calls: 3/s, request: 1KiB, response: 1KiB}\n";

enum { WEB, EDGE, ONE, TWO };
enum { CACHE, ORIGIN, STORE };

struct seen {
    struct cost_line lines[LINES_MAX];
    int count;
};

static void keep(void *visitor, const struct cost_line *line)
{
    struct seen *seen = visitor;
    assert_true(seen->count < LINES_MAX);
    seen->lines[seen->count++] = *line;
}

/* Twice the same app, under another name. */
static void begin_two(struct fixture *fixture, struct app *other, struct cost_app apps[2],
                      struct workload_state states[2][FIXTURE_PARTS], const struct placement *now)
{
    fixture_begin(fixture, world, app);
    *other = fixture->app;
    str_format(other->name, sizeof(other->name), "other");
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 3; k++)
            states[i][k] = (struct workload_state){.now = now[3 * i + k], .may_move = true};
        apps[i] = (struct cost_app){i == 0 ? &fixture->app : other, states[i]};
    }
    fixture->input.apps = apps;
    fixture->input.app_count = 2;
}

static const struct cost_context *context_of(struct fixture *fixture)
{
    struct cost_context *context = NULL;
    if (cost_context_make(&fixture->input, NULL, NULL, &fixture->arena, &context, &fixture->err) <
        0)
        fail_msg("%s", fixture->err.text);
    return context;
}

static void begin_at(struct fixture *fixture, const struct placement *now)
{
    fixture_begin(fixture, world, app);
    for (int i = 0; i < fixture->app.workload_count; i++)
        fixture->states[i].now = now[i];
}

static void assert_line(const struct cost_line *line, const struct cost_line *other)
{
    assert_int_equal(line->term, other->term);
    assert_int_equal(line->app, other->app);
    assert_int_equal(line->workload, other->workload);
    assert_int_equal(line->link, other->link);
    assert_int_equal(line->custom, other->custom);
    assert_int_equal(line->site, other->site);
    assert_int_equal(line->peer_site, other->peer_site);
    assert_true(line->bill == other->bill && line->score == other->score);
}

/* From `now` to `at`: the lines of the ledger, and its moves. */
static void check(const struct placement *now, const struct placement *at, int moves)
{
    struct fixture fixture;
    struct seen all = {.count = 0};
    struct seen once = {.count = 0};
    struct cost_total total;
    begin_at(&fixture, now);
    const struct cost_context *context = context_of(&fixture);
    struct cost_report report = fixture_explain_at(&fixture, at);
    assert_int_equal(
        cost_visit(context, NULL, at, &fixture.arena, keep, &all, &total, &fixture.err), 0);
    assert_int_equal(cost_visit_moves(context, NULL, at, keep, &once, &fixture.err), 0);
    assert_int_equal(all.count, report.line_count);
    assert_true(total.bill == report.total.bill && total.score == report.total.score);
    int found = 0;
    for (int i = 0; i < all.count; i++) {
        assert_line(&all.lines[i], &report.lines[i]);
        if (all.lines[i].term == TERM_MIGRATION)
            assert_line(&once.lines[found++], &all.lines[i]);
    }
    assert_int_equal(once.count, found);
    assert_int_equal(found, moves);
    fixture_end(&fixture);
}

/* Nothing moves; then the state of two, what runs twice meanwhile, and the misses of a cold cache,
 * each way of whose answers is billed and waited for. */
static void test_lines(void **state)
{
    (void)state;
    const struct placement now[] = {
        {.site = EDGE}, {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement at[] = {
        {.site = ONE}, {.site = TWO, .lead = 1}, {.site = ONE, .lead = 2}};
    check(now, now, 0);
    check(now, at, 8);
}

static void test_nowhere(void **state)
{
    (void)state;
    const struct placement now[] = {
        {.site = -1}, {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement at[] = {{.site = EDGE}, {.site = -1}, {.site = TWO, .lead = 2}};
    const struct placement none[] = {{.site = -1}, {.site = -1}, {.site = -1}};
    check(now, at, 2);
    check(none, now, 0);
    check(now, none, 0);
}

/* One context answers for any placement, again and again. */
static void test_one_context(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_total first;
    struct cost_total other;
    struct cost_total again;
    struct seen seen = {.count = 0};
    const struct placement now[] = {
        {.site = EDGE}, {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement at[] = {
        {.site = ONE}, {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    begin_at(&fixture, now);
    const struct cost_context *context = context_of(&fixture);
    assert_int_equal(
        cost_visit(context, NULL, now, &fixture.arena, keep, &seen, &first, &fixture.err), 0);
    seen.count = 0;
    assert_int_equal(
        cost_visit(context, NULL, at, &fixture.arena, keep, &seen, &other, &fixture.err), 0);
    seen.count = 0;
    assert_int_equal(
        cost_visit(context, NULL, now, &fixture.arena, keep, &seen, &again, &fixture.err), 0);
    assert_true(first.score == again.score && first.bill == again.bill);
    assert_true(other.score != first.score);
    fixture_end(&fixture);
}

/* Of one app of two: the lines of an input that has no other. */
static void test_some_apps(void **state)
{
    (void)state;
    struct fixture fixture;
    struct app other;
    struct cost_app apps[2];
    struct workload_state states[2][FIXTURE_PARTS];
    struct seen one = {.count = 0};
    struct seen alone = {.count = 0};
    struct seen once = {.count = 0};
    struct cost_total total;
    const struct placement now[] = {{.site = EDGE},           {.site = ONE, .lead = 1},
                                    {.site = ONE, .lead = 2}, {.site = ONE},
                                    {.site = TWO, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement at[] = {{.site = EDGE},           {.site = ONE, .lead = 1},
                                   {.site = ONE, .lead = 2}, {.site = EDGE},
                                   {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    const bool second[] = {false, true};
    begin_two(&fixture, &other, apps, states, now);
    const struct cost_context *both = context_of(&fixture);
    assert_int_equal(cost_visit(both, second, at, &fixture.arena, keep, &one, &total, &fixture.err),
                     0);
    assert_int_equal(cost_visit_moves(both, second, at, keep, &once, &fixture.err), 0);
    fixture.input.apps = &apps[1];
    fixture.input.app_count = 1;
    const struct cost_context *context = context_of(&fixture);
    assert_int_equal(
        cost_visit(context, NULL, at + 3, &fixture.arena, keep, &alone, &total, &fixture.err), 0);
    assert_int_equal(one.count, alone.count);
    int moves = 0;
    for (int i = 0; i < one.count; i++) {
        assert_int_equal(one.lines[i].app, 1);
        one.lines[i].app = 0;
        assert_line(&one.lines[i], &alone.lines[i]);
        moves += one.lines[i].term == TERM_MIGRATION;
    }
    assert_int_equal(once.count, moves);
    assert_true(moves > 0);
    fixture_end(&fixture);
}

/* With tiers, which couple the two apps, and without. */
static void test_bills(void **state)
{
    (void)state;
    struct fixture fixture;
    struct app other;
    struct cost_app apps[2];
    struct workload_state states[2][FIXTURE_PARTS];
    const struct placement now[] = {{.site = EDGE},           {.site = ONE, .lead = 1},
                                    {.site = ONE, .lead = 2}, {.site = ONE},
                                    {.site = TWO, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement to[] = {{.site = EDGE},           {.site = ONE, .lead = 1},
                                   {.site = ONE, .lead = 2}, {.site = EDGE},
                                   {.site = ONE, .lead = 1}, {.site = TWO, .lead = 2}};
    const struct placement *const both[2] = {to, now};
    begin_two(&fixture, &other, apps, states, now);
    for (int pass = 0; pass < 2; pass++) {
        nusd bills[2] = {0, 0};
        fixture.world.egress[0].tier_count = 2 - pass;
        if (pass == 1)
            fixture.world.egress[0].tiers[0].up_to_bytes = INT64_MAX;
        const struct cost_context *context = context_of(&fixture);
        assert_int_equal(cost_bills(context, both, &fixture.arena, bills, &fixture.err), 0);
        for (int i = 0; i < 2; i++) {
            struct cost_total total;
            assert_int_equal(
                cost_totals_from(context, both[i], &fixture.arena, &total, NULL, &fixture.err), 0);
            assert_true(bills[i] == total.bill - total.bill_term[TERM_MIGRATION]);
        }
        assert_true(bills[0] != bills[1]);
        fixture.arena.fail_after = 0;
        assert_int_equal(cost_bills(context, both, &fixture.arena, bills, &fixture.err),
                         ERR_NO_MEMORY);
        fixture.arena.fail_after = -1;
    }
    fixture_end(&fixture);
}

static void test_errors(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_total total = {.bill = 7};
    struct seen seen = {.count = 0};
    const struct placement now[] = {
        {.site = EDGE}, {.site = ONE, .lead = 1}, {.site = ONE, .lead = 2}};
    const struct placement at[] = {
        {.site = ONE}, {.site = TWO, .lead = 1}, {.site = ONE, .lead = 2}};
    begin_at(&fixture, now);
    const struct cost_context *context = context_of(&fixture);
    fixture.arena.fail_after = 0;
    assert_int_equal(
        cost_visit(context, NULL, at, &fixture.arena, keep, &seen, &total, &fixture.err),
        ERR_NO_MEMORY);
    fixture.arena.fail_after = -1;
    assert_true(total.bill == 7 && seen.count == 0);
    /* 8 EiB and as much again to carry. */
    fixture.app.workloads[ORIGIN].state_bytes = INT64_MAX;
    fixture.app.workloads[ORIGIN].artifact_bytes = INT64_MAX;
    assert_int_equal(
        cost_visit(context, NULL, at, &fixture.arena, keep, &seen, &total, &fixture.err),
        ERR_OVERFLOW);
    assert_true(total.bill == 7);
    assert_int_equal(cost_visit_moves(context, NULL, at, keep, &seen, &fixture.err), ERR_OVERFLOW);
    assert_non_null(strstr(fixture.err.text, "too large"));
    fixture_end(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),       cmocka_unit_test(test_nowhere),
        cmocka_unit_test(test_one_context), cmocka_unit_test(test_some_apps),
        cmocka_unit_test(test_bills),       cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
