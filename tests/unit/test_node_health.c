/* The node machine's probes of what is ready and alive, its routes, and where HTTP is served. */
#include "tests/unit/node_bench.h"

static void start_probed(struct bench *bench, int ready_failures, int live_failures)
{
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_TCP, false);
    start.spec.ready.failures = ready_failures;
    start.spec.http = true;
    if (live_failures > 0)
        start.spec.live = (struct message_ready){
            .kind = READY_HTTP, .period_us = US_PER_S, .failures = live_failures};
    take(bench, &start);
    result(bench, NODE_EV_FETCHED, 0, "");
    struct node_event spawned = event_of(bench, NODE_EV_SPAWNED);
    str_format(spawned.endpoint, sizeof(spawned.endpoint), "127.0.0.1:20001");
    node_step(bench->node, &spawned, bench->effects);
}

static void judged(struct bench *bench, bool live, bool good)
{
    struct node_event event = event_of(bench, NODE_EV_JUDGED);
    event.live = live;
    event.judged_ready = good;
    str_format(event.text, sizeof(event.text), "status 500");
    node_step(bench->node, &event, bench->effects);
}

/* The next probe of that kind is made when its period is over, and not before. */
static void next(struct bench *bench, bool live)
{
    int64_t by = node_deadline(bench->node).us;
    bench->now = by;
    happens(bench, NODE_EV_TICK);
    bool found = false;
    for (int i = 0; i < bench->effects->count; i++)
        found = found || (bench->effects->list[i].kind == NODE_FX_JUDGE &&
                          bench->effects->list[i].live == live);
    assert_true(found);
}

static void test_unready_and_ready_again(void **state)
{
    struct bench *bench = *state;
    start_probed(bench, 2, 0);
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    next(bench, false);
    judged(bench, false, false);
    next(bench, false);
    judged(bench, false, true); /* not in a row */
    next(bench, false);
    judged(bench, false, false);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    next(bench, false);
    judged(bench, false, false);
    assert_int_equal(state_of(bench), INSTANCE_UNREADY);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail,
                        "not ready any more: status 500");
    next(bench, false);
    judged(bench, false, false);
    assert_null(effect(bench, NODE_FX_REPORT));
    next(bench, false);
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.detail, "");
    /* It can be drained while it is not ready. */
    next(bench, false);
    judged(bench, false, false);
    next(bench, false);
    judged(bench, false, false);
    order(bench, NODE_DRAIN);
    assert_int_equal(answer_code(bench), 0);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_HELD);
    assert_int_equal(node_deadline(bench->node).us, INT64_MAX); /* and is judged no more */
}

static void test_not_judged_unless_asked(void **state)
{
    struct bench *bench = *state;
    start_probed(bench, 0, 0);
    judged(bench, false, true);
    assert_int_equal(node_deadline(bench->node).us, INT64_MAX);
}

static void test_not_alive_is_started_again(void **state)
{
    struct bench *bench = *state;
    start_probed(bench, 0, 3);
    judged(bench, false, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(state_of(bench), INSTANCE_READY);
        next(bench, true);
        judged(bench, true, false);
    }
    assert_non_null(effect(bench, NODE_FX_CLEAR));
    ends(bench, 137);
    assert_int_equal(state_of(bench), INSTANCE_BACKOFF);
    const struct message_instance *told = &effect(bench, NODE_FX_REPORT)->report.instance;
    assert_string_equal(told->detail, "was not alive: status 500");
    assert_int_equal(told->restarts, 1);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += US_PER_S;
    happens(bench, NODE_EV_TICK);
    assert_non_null(effect(bench, NODE_FX_SPAWN));
    result(bench, NODE_EV_SPAWNED, 0, "");
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_string_equal(effect(bench, NODE_FX_REPORT)->report.instance.endpoint, "127.0.0.1:20001");
    /* Patience is that of every crash. */
    for (int restart = 2; restart <= 3; restart++) {
        for (int i = 0; i < 3; i++) {
            next(bench, true);
            judged(bench, true, false);
        }
        ends(bench, 137);
        result(bench, NODE_EV_CLEARED, 0, "");
        if (restart == 3)
            break;
        bench->now += 10 * US_PER_S;
        happens(bench, NODE_EV_TICK);
        result(bench, NODE_EV_SPAWNED, 0, "");
        judged(bench, false, true);
    }
    assert_int_equal(state_of(bench), INSTANCE_FAILED);
}

/* A verdict about an earlier process says nothing about this one. */
static void test_stale_verdicts(void **state)
{
    struct bench *bench = *state;
    start_probed(bench, 1, 1);
    judged(bench, false, true);
    next(bench, false);
    ends(bench, 1);
    result(bench, NODE_EV_CLEARED, 0, "");
    bench->now += US_PER_S;
    happens(bench, NODE_EV_TICK);
    result(bench, NODE_EV_SPAWNED, 0, "");
    assert_null(effect(bench, NODE_FX_JUDGE)); /* one is out */
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_STARTING);
    assert_non_null(effect(bench, NODE_FX_JUDGE));
    judged(bench, false, true);
    assert_int_equal(state_of(bench), INSTANCE_READY);
    judged(bench, true, false); /* nobody has asked */
    assert_int_equal(state_of(bench), INSTANCE_READY);
    assert_null(effect(bench, NODE_FX_CLEAR));
}

/* ---- routes ------------------------------------------------------------------------------------
 */

static struct message_command route_of(struct bench *bench, const char *workload)
{
    struct message_command command = command_of(bench, NODE_ROUTE);
    str_format(command.route.namespace_, LIMIT_NAME_BYTES, "shop");
    str_format(command.route.app, LIMIT_NAME_BYTES, "web");
    str_format(command.route.workload, LIMIT_NAME_BYTES, "%s", workload);
    return command;
}

static void routed(struct bench *bench, const char *id, int code)
{
    struct node_event event = event_of(bench, NODE_EV_ROUTED);
    str_format(event.routed.id, sizeof(event.routed.id), "%s", id);
    event.routed.code = code;
    node_step(bench->node, &event, bench->effects);
}

static void test_routes(void **state)
{
    struct bench *bench = *state;
    bench->epoch = (struct epoch){2, 10};
    struct message_command route = route_of(bench, "front");
    take(bench, &route);
    assert_null(effect(bench, NODE_FX_ANSWER)); /* not before traffic follows */
    assert_string_equal(effect(bench, NODE_FX_ROUTE)->route.id, route.id);
    take(bench, &route);
    assert_int_equal(bench->effects->count, 0);
    routed(bench, route.id, 0);
    assert_int_equal(answer_code(bench), 0);
    assert_string_equal(effect(bench, NODE_FX_ANSWER)->answer.id, route.id);
    take(bench, &route); /* its answer was lost */
    assert_int_equal(answer_code(bench), 0);
    assert_null(effect(bench, NODE_FX_ROUTE));
    struct message_command late = route_of(bench, "front");
    late.epoch.n = 9;
    take(bench, &late);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    late = route_of(bench, "back"); /* another route has an order of its own */
    late.epoch.n = 9;
    take(bench, &late);
    assert_non_null(effect(bench, NODE_FX_ROUTE));
    late = route_of(bench, "side");
    late.epoch.term = 1;
    take(bench, &late);
    assert_int_equal(answer_code(bench), ERR_DENIED);
    late = route_of(bench, "no.name");
    take(bench, &late);
    assert_int_equal(answer_code(bench), ERR_INVALID);
    assert_int_equal(node_record_count(bench->node), 0);
}

/* Seed 1168 of tests/fault: what was sent to the agent before this one came late, and this one knew
 * no epochs yet. */
static void test_a_route_for_an_earlier_agent_is_refused(void **state)
{
    struct bench *bench = *state;
    struct node_record kept;
    to_ready(bench);
    bench->now += 10 * US_PER_S;
    restart_agent(bench, &kept);
    struct message_command route = route_of(bench, "front");
    route.hello_us = bench->now - 1;
    take(bench, &route);
    assert_int_equal(answer_code(bench), ERR_STALE);
    assert_null(effect(bench, NODE_FX_ROUTE));
    /* Its hello may have been lost, too. */
    assert_non_null(effect(bench, NODE_FX_HELLO));
    take(bench, &route);
    assert_int_equal(answer_code(bench), ERR_STALE);
    assert_null(effect(bench, NODE_FX_HELLO));
    route.hello_us = bench->now;
    take(bench, &route);
    assert_non_null(effect(bench, NODE_FX_ROUTE));
}

/* What was refused may be tried again, with the same command too; what was overtaken is answered.
 */
static void test_routes_refused_and_overtaken(void **state)
{
    struct bench *bench = *state;
    struct message_command first = route_of(bench, "front");
    take(bench, &first);
    routed(bench, first.id, ERR_UNAVAILABLE);
    assert_int_equal(answer_code(bench), ERR_UNAVAILABLE);
    take(bench, &first);
    assert_non_null(effect(bench, NODE_FX_ROUTE));
    bench->epoch.n++;
    struct message_command second = route_of(bench, "front");
    take(bench, &second);
    assert_non_null(effect(bench, NODE_FX_ROUTE));
    routed(bench, first.id, 0);
    assert_string_equal(effect(bench, NODE_FX_ANSWER)->answer.id, first.id);
    take(bench, &second);
    assert_int_equal(bench->effects->count, 0); /* still under way */
    routed(bench, second.id, 0);
    assert_string_equal(effect(bench, NODE_FX_ANSWER)->answer.id, second.id);
}

static void test_full_routes(void **state)
{
    struct bench *bench = *state;
    char name[LIMIT_NAME_BYTES];
    for (int i = 0; i < LIMIT_ROUTES; i++) {
        str_format(name, sizeof(name), "w%d", i);
        struct message_command route = route_of(bench, name);
        route.route.gone = i == 7;
        take(bench, &route);
        routed(bench, route.id, 0);
        assert_int_equal(answer_code(bench), 0);
    }
    struct message_command more = route_of(bench, "more");
    take(bench, &more); /* the one that has ended makes room */
    assert_non_null(effect(bench, NODE_FX_ROUTE));
    more = route_of(bench, "too-many");
    take(bench, &more);
    assert_int_equal(answer_code(bench), ERR_LIMIT);
}

static void test_probe_through_the_ingress(void **state)
{
    struct bench *bench = *state;
    struct message_command probe = command_of(bench, NODE_PROBE);
    str_format(probe.route.host, sizeof(probe.route.host), "shop.test");
    take(bench, &probe);
    assert_int_equal(answer_code(bench), ERR_INVALID); /* no path */
    probe = command_of(bench, NODE_PROBE);
    str_format(probe.route.host, sizeof(probe.route.host), "shop.test");
    str_format(probe.route.probe, sizeof(probe.route.probe), "/berth");
    take(bench, &probe);
    assert_int_equal(answer_code(bench), 0);
    assert_string_equal(effect(bench, NODE_FX_PROBE)->probe.subject, "");
    assert_string_equal(effect(bench, NODE_FX_PROBE)->probe.route.probe, "/berth");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unready_and_ready_again),
        TEST(test_not_judged_unless_asked),
        TEST(test_not_alive_is_started_again),
        TEST(test_stale_verdicts),
        TEST(test_routes),
        TEST(test_a_route_for_an_earlier_agent_is_refused),
        TEST(test_routes_refused_and_overtaken),
        TEST(test_full_routes),
        TEST(test_probe_through_the_ingress),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
