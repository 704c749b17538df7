/* States as text: what is written reads back to the same costs and the same text, and what is wrong
 * is refused with its line. */
#include "model_fixture.h"

#include "model/cost_state.h"

static const char world[] =
    "world: kept\n"
    "accounts: [{name: a, provider: aws}, {name: e, provider: edge}]\n"
    "sites:\n"
    "  - {name: client/web, tier: client}\n"
    "  - {name: edge/one, tier: edge, account: e, price: {cpu: 0.1, memory: 0.01}}\n"
    "  - {name: aws/one, tier: cloud, account: a, price: {cpu: 0.04, memory: 0.005}}\n"
    "egress:\n"
    "  - {name: out, from: 'aws/*', to: '*', per: GiB, tiers: [{price: 0.09}]}\n"
    "latency:\n"
    "  mode: measured\n"
    "  pairs:\n"
    "    - {between: [client/web, edge/one], rtt: 10ms}\n"
    "    - {between: [client/web, aws/one], rtt: 50ms}\n"
    "    - {between: [edge/one, aws/one], rtt: 40ms}\n";

static const char app[] =
    "app: kept\n"
    "users: [{name: web, site: client/web}]\n"
    "workloads:\n"
    "  - {name: front, variants: [{name: slow, driver: process, artifact: 'file:/x'},\n"
    "      {name: fast, driver: process, artifact: 'file:/y'}],\n"
    "     resources: {cpu: 1, memory: 1GiB}, cache: {hit_ratio: 80%}}\n"
    "  - {name: source, run: {driver: process, artifact: 'file:/x'},\n"
    "     resources: {cpu: 1, memory: 1GiB}}\n"
    "links:\n"
    "  - {from: web, to: front, calls: 10/s, request: 1KB, response: 20KB}\n"
    "  - {from: front, to: source, calls: 10/s, request: 1KB, response: 20KB, on_miss: true}\n";

enum { WEB, EDGE, AWS };

static void test_round_trip(void **state)
{
    (void)state;
    struct fixture fixture;
    struct cost_state read;
    struct cost_state unplaced;
    struct cost_report one;
    struct cost_report two;
    struct strbuf first;
    struct strbuf second;
    bool blocked[] = {false, false, true};
    int64_t capacity[][RESOURCE_COUNT] = {{-1, -1}, {8000, INT64_C(1) << 34}, {4000, -1}};
    struct estimate list[] = {
        {.kind = ESTIMATE_HIT_PPM,
         .namespace_ = "default",
         .app = "kept",
         .workload = "front",
         .site = "edge/one",
         .value = 700000,
         .at_us = 5000000,
         .spread = 1000,
         .observed_us = 60000000},
        {.kind = ESTIMATE_RTT_US, .site = "client/web", .peer = "edge/one", .value = 12000},
    };
    struct placement at[] = {{.site = EDGE, .variant = 1}, {.site = -1, .lead = 1}};
    fixture_begin(&fixture, world, app);
    fixture.states[0].now = at[0];
    fixture.states[1].site_blocked = blocked;
    fixture.input.estimates = (struct estimates){list, 2};
    fixture.input.capacity = capacity;
    fixture.input.now_us = 6000000;
    strbuf_init(&first, COST_STATE_BYTES);
    strbuf_init(&second, COST_STATE_BYTES);
    cost_state_write(&fixture.input, at, &first);
    if (cost_state_read("state", strbuf_text(&first), first.bytes, &fixture.arena, &read,
                        &fixture.err) < 0)
        fail_msg("%s", fixture.err.text);
    cost_state_write(&read.input, read.at, &second);
    assert_string_equal(strbuf_text(&first), strbuf_text(&second));
    assert_true(read.placed && read.at[0].variant == 1 && read.at[1].site == -1);
    assert_true(read.input.apps[0].states[1].site_blocked[AWS]);
    assert_int_equal(read.input.capacity[AWS][RESOURCE_MEMORY], -1);
    assert_int_equal(cost_explain(&fixture.input, at, &fixture.arena, &one, &fixture.err), 0);
    assert_int_equal(cost_explain(&read.input, read.at, &fixture.arena, &two, &fixture.err), 0);
    assert_true(one.total.bill == two.total.bill && one.total.score == two.total.score);
    assert_true(one.total.score > 0);

    struct app *apps[] = {&fixture.app};
    assert_int_equal(
        cost_state_of(&fixture.world, apps, 1, &fixture.arena, &unplaced, &fixture.err), 0);
    assert_true(!unplaced.placed && unplaced.at[0].site == -1 && unplaced.input.app_count == 1);
    strbuf_done(&first);
    strbuf_done(&second);
    fixture_end(&fixture);
}

static void refused(const char *lines, const char *why)
{
    struct fixture fixture;
    struct cost_state read;
    struct strbuf text;
    fixture_begin(&fixture, world, app);
    strbuf_init(&text, COST_STATE_BYTES);
    if (lines[0] == '+') { /* behind a good beginning */
        struct placement at[] = {{.site = -1}, {.site = -1}};
        cost_state_write(&fixture.input, at, &text);
        lines++;
    }
    strbuf_puts(&text, lines);
    int rc = cost_state_read("last.state", strbuf_text(&text), text.bytes, &fixture.arena, &read,
                             &fixture.err);
    assert_int_equal(rc, ERR_INVALID);
    if (strstr(fixture.err.text, why) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", fixture.err.text, why);
    strbuf_done(&text);
    fixture_end(&fixture);
}

static void test_refusals(void **state)
{
    (void)state;
    refused("", "is no state");
    refused("berth-state 2 0\n", "berth-state 1");
    refused("berth-state 1 0\nat a b c\n", "the world comes first");
    refused("+at front edge/one\n", "at WORKLOAD SITE VARIANT");
    refused("+at frnt edge/one slow\n", "no workload \"frnt\"");
    refused("+at front edge/two slow\n", "no site \"edge/two\"");
    refused("+capacity edge/one 1\n", "capacity SITE");
    refused("+estimate calls_mhz - - - - - 1 2 -3 4\n", "estimate KIND");
    refused("+estimate nothing - - - - - 1 2 3 4\n", "estimate KIND");
    refused("+world {}\n", "one world");
    refused("+nonsense\n", "a line begins with");
    refused("+app {\n", "last.state:");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
