/* Routes: what every ingress is told, in which order, and what a handoff waits for. */
#include "scheduler/core/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/core/image.h"
#include "tests/unit/core_fixture.h"

#define DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define WEB_OF(handoff, name, http, replicas)                                       \
    "app: " name "\n"                                                               \
    "workloads:\n"                                                                  \
    "  - name: web\n"                                                               \
    "    contract: true\n"                                                          \
    "    handoff: " handoff "\n"                                                    \
    "    replicas: " replicas "\n"                                                  \
    "    http: " http "\n"                                                          \
    "    run: {driver: process, artifact: 'file:/bin/web', digest: '" DIGEST "'}\n" \
    "    resources: {cpu: 200m, memory: 64MiB}\n"                                   \
    "    timeouts: {start: 10s, drain: 5s, stop: 5s}\n"

#define WEB(name, http, replicas) WEB_OF("overlap", name, http, replicas)

static const char *const at_edge[] = {"web", "edge/nyc", NULL};
static const char *const at_gcp[] = {"web", "gcp/us-central1", NULL};

#define ROUTE_BIT (1u << NODE_ROUTE)

struct test {
    struct fixture f;
    int in1;
    int in2;
};

static int ingress_add(struct fixture *f, const char *name, const char *site)
{
    int node = fixture_node_add(f, name, site);
    f->nodes[node].ingress = true;
    f->nodes[node].mcpu = 0; /* it runs nothing else */
    fixture_hello(f, node);
    return node;
}

static int setup(void **state)
{
    static struct test test;
    memset(&test, 0, sizeof(test));
    fixture_init(&test.f);
    test.in1 = ingress_add(&test.f, "in1", "edge/nyc");
    test.in2 = ingress_add(&test.f, "in2", "aws/us-east-1");
    *state = &test;
    return 0;
}

static int teardown(void **state)
{
    fixture_done(&((struct test *)*state)->f);
    return 0;
}

static void apply(struct fixture *f, const char *text)
{
    struct app app;
    fixture_parse_app(f, text, &app);
    fixture_apply(f, &app);
}

/* Applied, and running at the edge. */
static void start(struct fixture *f, const char *text)
{
    apply(f, text);
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_edge, INT64_MAX, 1000);
    fixture_run(f, 2 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_non_null(fixture_serving(f, "web"));
    fixture_plan(f, at_edge, 1000, 1000);
}

/* A tag that forces it to gcp, and the plan for it: the handoff has begun. */
static void move(struct fixture *f)
{
    fixture_retag(f, "web", "gcp");
    assert_int_equal(f->reply_code, 0);
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_gcp, INT64_MAX, 900);
}

static const struct core_handoff *handoff_of(struct fixture *f)
{
    const struct core_handoff *handoff = fixture_handoff(f, "web");
    assert_non_null(handoff);
    return handoff;
}

static void mode_is(struct test *t, const char *instance, int mode)
{
    const int nodes[] = {t->in1, t->in2};
    for (size_t i = 0; i < 2; i++) {
        const struct message_server *server = fixture_server(&t->f, nodes[i], "web", instance);
        if (mode < 0) {
            assert_null(server);
            continue;
        }
        assert_non_null(server);
        assert_int_equal(server->mode, mode);
    }
}

static void tick(struct fixture *f)
{
    struct core_event event = {.kind = CORE_TICK};
    fixture_step(f, &event);
}

static int routes_unanswered(const struct fixture *f, const char *node)
{
    const struct core_state *state = core_state(f->core);
    int count = 0;
    for (int i = 0; i < state->command_count; i++)
        count += state->commands[i].verb == NODE_ROUTE && !state->commands[i].answered &&
                 str_equal(state->commands[i].node, node);
    return count;
}

static void test_a_first_start_is_probed_through_every_ingress(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{host: shop.test, path: /a}", "1"));
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_DONE);
    assert_true(ended->proven);
    assert_int_equal(ended->vantage_count, 2); /* the ingresses, and nobody else */
    const struct message_command *probe = &f->last[NODE_PROBE];
    assert_string_equal(probe->subject, "");
    assert_string_equal(probe->route.host, "shop.test");
    assert_string_equal(probe->route.path, "/a");
    assert_string_equal(probe->route.probe, "/berth");
    mode_is(t, ended->to, ROUTE_SERVE);
    const struct message_server *server = fixture_server(f, t->in1, "web", ended->to);
    assert_int_equal(server->weight, ROUTE_WEIGHT_MAX);
    assert_string_equal(server->endpoint, fixture_serving(f, "web")->endpoint);
    assert_int_equal(core_state(f->core)->command_count, 0);
    assert_int_equal(core_state(f->core)->route_count, 1);
}

/* Done means that it serves: an ingress that is live but slow is waited for, though not for ever.
 */
static void first_start_with_a_slow_ingress(struct test *t)
{
    struct fixture *f = &t->f;
    f->nodes[t->in2].unreachable = true;
    apply(f, WEB("shop", "{}", "1"));
    fixture_run(f, 1100 * US_PER_MS);
    fixture_plan(f, at_edge, INT64_MAX, 1000);
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_READY);
    f->nodes[t->in2].unreachable = false;
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    for (int i = 0; i < 100 && handoff_of(f)->state == HANDOFF_STATE_READY; i++)
        fixture_run(f, 100 * US_PER_MS);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_REACHABLE);
    assert_true(routes_unanswered(f, "in2") > 0);
}

static void test_a_first_start_is_done_when_every_ingress_serves_it(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    first_start_with_a_slow_ingress(t);
    f->nodes[t->in2].unanswered = 0;
    fixture_run(f, 2 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    mode_is(t, fixture_ended(f)->to, ROUTE_SERVE);
}

static void test_a_first_start_waits_for_no_ingress_for_ever(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    first_start_with_a_slow_ingress(t);
    for (int i = 0; i < 300 && fixture_handoff(f, "web") != NULL; i++)
        fixture_run(f, 1 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_non_null(fixture_serving(f, "web"));
}

static void test_a_move_serves_drains_and_stops_in_that_order(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    char old[LIMIT_ID_BYTES];
    memcpy(old, fixture_serving(f, "web")->id, sizeof(old));
    f->nodes[t->in2].unreachable = true;
    move(f);
    const struct core_handoff *handoff = handoff_of(f);
    char new[LIMIT_ID_BYTES];
    memcpy(new, handoff->to, sizeof(new));
    assert_int_equal(handoff->state, HANDOFF_STATE_READY);
    mode_is(t, new, ROUTE_PROBE);
    mode_is(t, old, ROUTE_SERVE);
    f->nodes[t->in2].unreachable = false;
    fixture_run(f, 150 * US_PER_MS);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_HELD);
    mode_is(t, new, ROUTE_SERVE);
    mode_is(t, old, ROUTE_DRAIN);
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    mode_is(t, new, ROUTE_SERVE);
    mode_is(t, old, -1);
    assert_int_equal(f->told_while_served, 0);
}

/* The new copy is reached, and in2 does not take the route that sends it requests. */
static void hold_at_reachable(struct test *t)
{
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    f->nodes[t->in1].unreachable = true;
    move(f);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_READY);
    f->nodes[t->in1].unreachable = false;
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    fixture_run(f, 1 * US_PER_S);
    const struct core_handoff *handoff = handoff_of(f);
    assert_int_equal(handoff->state, HANDOFF_STATE_REACHABLE);
    assert_int_equal(fixture_server(f, t->in1, "web", handoff->to)->mode, ROUTE_SERVE);
    assert_int_equal(fixture_server(f, t->in2, "web", handoff->to)->mode, ROUTE_PROBE);
    mode_is(t, handoff->from, ROUTE_SERVE);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_REACHABLE);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
}

static void test_an_ingress_that_takes_nothing_sends_it_back(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    hold_at_reachable(t);
    fixture_run(f, 11 * US_PER_S);
    /* Back: in1 sends no more to the new copy before that ends; in2 never did. */
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_RETURNING);
    assert_non_null(strstr(handoff_of(f)->text, "in2 has not taken its route"));
    char new[LIMIT_ID_BYTES];
    memcpy(new, handoff_of(f)->to, sizeof(new));
    assert_int_equal(fixture_server(f, t->in1, "web", new)->mode, ROUTE_DRAIN);
    f->nodes[t->in2].unanswered = 0;
    fixture_run(f, 2 * US_PER_S);
    assert_string_equal(f->nodes[fixture_serving(f, "web")->node].site, "edge/nyc");
    assert_int_equal(f->told_while_served, 0);
}

static void test_an_ingress_that_is_lost_holds_nobody_up(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    hold_at_reachable(t);
    fixture_lose(f, t->in2);
    fixture_run(f, 4 * US_PER_S);
    assert_null(fixture_handoff(f, "web"));
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(f->told_while_served, 0);
    /* It comes back with what it had, and is told at once what is true now. */
    f->nodes[t->in2].unanswered = 0;
    fixture_hello(f, t->in2);
    mode_is(t, fixture_ended(f)->to, ROUTE_SERVE);
    mode_is(t, fixture_ended(f)->from, -1);
}

static void test_nothing_drains_before_every_ingress_says_so(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    f->nodes[t->in1].rtt_us = 400 * US_PER_MS; /* so the linger is long */
    move(f);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_LINGERING);
    mode_is(t, handoff_of(f)->from, ROUTE_DRAIN);
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    fixture_hello(f, t->in2); /* started again, and forgot: it must take all routes again */
    assert_true(routes_unanswered(f, "in2") > 0);
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_LINGERING);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    f->nodes[t->in2].unanswered = 0;
    fixture_run(f, 1100 * US_PER_MS); /* the next time it is sent */
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_HELD);
    assert_int_equal(f->verb_count[NODE_DRAIN], 1);
}

static void test_only_the_newest_version_is_sent(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{path: /a}", "1"));
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    int sent = f->verb_count[NODE_ROUTE];
    apply(f, WEB("shop", "{path: /b}", "1"));
    assert_int_equal(f->verb_count[NODE_ROUTE], sent + 2);
    struct epoch before = f->last[NODE_ROUTE].epoch;
    apply(f, WEB("shop", "{path: /c}", "1"));
    assert_int_equal(routes_unanswered(f, "in2"), 1);
    assert_true(epoch_compare(f->last[NODE_ROUTE].epoch, before) > 0);
    assert_string_equal(f->last[NODE_ROUTE].route.path, "/c");
    assert_null(fixture_handoff(f, "web")); /* what runs is the same */
    assert_string_equal(fixture_route(f, t->in1, "web")->path, "/c");
    assert_string_equal(fixture_route(f, t->in2, "web")->path, "/a");
    /* A scheduler that was restarted sends what has no answer. */
    f->nodes[t->in2].unanswered = 0;
    struct core_event started = {.kind = CORE_STARTED, .started.term = 2};
    fixture_step(f, &started);
    assert_string_equal(fixture_route(f, t->in2, "web")->path, "/c");
    assert_int_equal(routes_unanswered(f, "in2"), 0);
    /* And what is refused comes again, too. */
    f->nodes[t->in2].refused = ROUTE_BIT;
    apply(f, WEB("shop", "{path: /d}", "1"));
    assert_string_equal(fixture_route(f, t->in2, "web")->path, "/c");
    f->nodes[t->in2].refused = 0;
    fixture_run(f, 6 * US_PER_S);
    assert_string_equal(fixture_route(f, t->in2, "web")->path, "/d");
}

static void test_what_is_not_ready_serves_only_when_nobody_else_does(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "2"));
    struct fixture_instance *first = fixture_serving(f, "web-0");
    struct fixture_instance *second = fixture_serving(f, "web-1");
    mode_is(t, first->id, ROUTE_SERVE);
    mode_is(t, second->id, ROUTE_SERVE);
    fixture_report(f, first, INSTANCE_UNREADY, "3 checks failed");
    mode_is(t, first->id, ROUTE_DRAIN);
    mode_is(t, second->id, ROUTE_SERVE);
    fixture_report(f, second, INSTANCE_UNREADY, "3 checks failed");
    mode_is(t, first->id, ROUTE_SERVE);
    mode_is(t, second->id, ROUTE_SERVE);
    fixture_report(f, first, INSTANCE_BACKOFF, "it ended");
    mode_is(t, first->id, -1);
    mode_is(t, second->id, ROUTE_SERVE);
    fixture_report(f, first, INSTANCE_READY, "");
    mode_is(t, first->id, ROUTE_SERVE);
    mode_is(t, second->id, ROUTE_DRAIN);
    assert_null(fixture_handoff(f, "web")); /* nobody is moved for it */
}

static void test_a_new_copy_that_turns_unready_gives_the_traffic_back(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    move(f);
    fixture_run(f, 500 * US_PER_MS);
    const struct core_handoff *handoff = handoff_of(f);
    assert_int_equal(handoff->state, HANDOFF_STATE_HELD);
    char old[LIMIT_ID_BYTES];
    char new[LIMIT_ID_BYTES];
    memcpy(old, handoff->from, sizeof(old));
    memcpy(new, handoff->to, sizeof(new));
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    fixture_report(f, fixture_serving(f, new), INSTANCE_UNREADY, "3 checks failed");
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_RETURNING);
    assert_int_equal(fixture_server(f, t->in1, "web", old)->mode, ROUTE_SERVE);
    assert_int_equal(fixture_server(f, t->in1, "web", new)->mode, ROUTE_DRAIN);
    assert_int_equal(f->verb_count[NODE_STOP], 0); /* in2 still sends to it */
    f->nodes[t->in2].unanswered = 0;
    /* It was not told to drain: what it has it answers while it stops, over what is open. */
    int node = fixture_instance(f, new)->node;
    f->nodes[node].ignored = 1u << NODE_STOP;
    fixture_run(f, 1100 * US_PER_MS);
    assert_int_equal(f->verb_count[NODE_STOP], 1);
    mode_is(t, new, ROUTE_DRAIN);
    fixture_report(f, fixture_instance(f, new), INSTANCE_STOPPING, "");
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_RETURNING);
    mode_is(t, new, ROUTE_DRAIN);
    f->nodes[node].ignored = 0;
    fixture_report(f, fixture_instance(f, new), INSTANCE_STOPPED, "");
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_BACK);
    mode_is(t, old, ROUTE_SERVE);
    mode_is(t, new, -1);
    assert_int_equal(f->told_while_served, 0);
}

static void test_without_an_ingress_nothing_is_proven(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    fixture_lose(f, t->in1);
    fixture_lose(f, t->in2);
    start(f, WEB("shop", "{}", "1"));
    assert_false(fixture_ended(f)->proven);
    move(f);
    const struct core_handoff *handoff = handoff_of(f);
    assert_int_equal(handoff->state, HANDOFF_STATE_LINGERING);
    assert_false(handoff->proven);
    assert_int_equal(handoff->vantage_count, 0);
    bool told = false;
    for (int i = 0; i < FIXTURE_TOLD; i++)
        told |= str_equal(f->told[i].text, "not proven: no ingress is live");
    assert_true(told);
    assert_true(handoff->linger_us >= 100 * US_PER_MS); /* edge to aws, and a quarter */
    /* One that comes in the middle gets all there is, and the handoff waits for it. */
    f->nodes[t->in1].unanswered = ROUTE_BIT;
    fixture_hello(f, t->in1);
    fixture_run(f, 1 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_LINGERING);
    f->nodes[t->in1].unanswered = 0;
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(f->told_while_served, 0);
}

static void test_without_the_contract_an_ingress_reaches_it_and_nothing_is_proven(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    char text[2048];
    str_format(text, sizeof(text), "%s", WEB("shop", "{}", "1"));
    char *contract = strstr(text, "contract: true");
    memcpy(contract, "restarts:    4", strlen("contract: true"));
    start(f, text);
    assert_false(fixture_ended(f)->proven);
    assert_int_equal(fixture_ended(f)->vantage_count, 2);
    assert_true(f->verb_count[NODE_PROBE] >= 2);
    assert_string_equal(f->last[NODE_PROBE].route.probe, "/"); /* any path of its own will do */
    move(f);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_int_equal(f->told_while_served, 0); /* no new requests, before it is ended */
}

/* It says that it speaks the contract, and answers without its name. */
static void test_an_answer_without_identity_proves_nothing(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    f->nodes[t->in2].unproven = true;
    start(f, WEB("shop", "{}", "1"));
    assert_false(fixture_ended(f)->proven);
    bool told = false;
    for (int i = 0; i < FIXTURE_TOLD; i++)
        told |= strstr(f->told[i].text, "had no Berth-Instance") != NULL;
    assert_true(told);
    f->nodes[t->in2].unproven = false;
    move(f);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    assert_true(fixture_ended(f)->proven);
}

static void test_two_apps_do_not_claim_the_same_requests(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{host: a.test, path: /x}", "1"));
    apply(f, WEB("other", "{host: a.test, path: /x}", "1"));
    assert_int_equal(f->reply_code, ERR_EXISTS);
    assert_non_null(strstr(f->reply_text, "default/shop/web"));
    apply(f, WEB("other", "{host: b.test, path: /x}", "1"));
    assert_int_equal(f->reply_code, 0);
    apply(f, WEB("shop", "{host: b.test, path: /x}", "1"));
    assert_int_equal(f->reply_code, ERR_EXISTS);
    apply(f, WEB("shop", "{host: a.test, path: /x}", "2")); /* its own is its own */
    assert_int_equal(f->reply_code, 0);
}

static void test_a_route_that_is_gone_is_ended_everywhere(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    fixture_lose(f, t->in2);
    fixture_delete(f);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(core_state(f->core)->app_count, 0);
    assert_null(fixture_route(f, t->in1, "web"));
    assert_int_equal(f->told_while_served, 0);
    /* in2 was away: it is told when it comes, and only then is the route forgotten. */
    assert_int_equal(core_state(f->core)->route_count, 1);
    assert_true(core_state(f->core)->routes[0].gone);
    fixture_hello(f, t->in2);
    assert_null(fixture_route(f, t->in2, "web"));
    assert_int_equal(core_state(f->core)->route_count, 0);
}

static void test_a_route_that_comes_again_is_no_longer_gone(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "1"));
    fixture_lose(f, t->in2);
    fixture_delete(f);
    fixture_run(f, 20 * US_PER_S);
    assert_true(core_state(f->core)->routes[0].gone);
    fixture_hello(f, t->in1);
    start(f, WEB("shop", "{}", "1"));
    assert_int_equal(core_state(f->core)->route_count, 1);
    assert_false(core_state(f->core)->routes[0].gone);
    fixture_hello(f, t->in2);
    mode_is(t, fixture_serving(f, "web")->id, ROUTE_SERVE);
}

static void test_a_removal_waits_until_nobody_sends_to_it(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB("shop", "{}", "2"));
    f->nodes[t->in1].unanswered = ROUTE_BIT;
    apply(f, WEB("shop", "{}", "1"));
    fixture_run(f, 3 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    f->nodes[t->in1].unanswered = 0;
    fixture_run(f, 2 * US_PER_S);
    assert_int_equal(f->verb_count[NODE_DRAIN], 1);
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_route(f, t->in1, "web")->server_count, 1);
    assert_int_equal(f->told_while_served, 0);
}

/* In the middle of a flush: the restored core is the same, and goes on in the same way. */
static void test_an_image_keeps_what_ingresses_have_taken(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    hold_at_reachable(t);
    struct core_image image;
    struct core *restored = NULL;
    struct error err = {0};
    core_image_take(f->core, &image);
    assert_int_equal(core_restore(&image, &restored, &err), 0);
    assert_true(core_hash(restored) == core_hash(f->core));
    struct core_effects *effects = NULL;
    assert_int_equal(core_effects_create(LIMIT_EFFECTS / 4, &effects), 0);
    for (int i = 0; i < 12; i++) {
        struct core_event event = {.kind = CORE_TICK};
        event.at.us = f->now_us + (i + 1) * US_PER_S;
        core_step(restored, &event, effects);
        int count = effects->count;
        core_step(f->core, &event, effects);
        assert_int_equal(effects->count, count);
        assert_true(core_hash(restored) == core_hash(f->core));
    }
    core_effects_destroy(effects);
    core_destroy(restored);
}

static void test_more_ingresses_than_are_served_say_so(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    struct core_event event = {.kind = CORE_HELLO};
    struct message_hello *hello = &event.hello;
    f->nodes[t->in1].ingress = f->nodes[t->in2].ingress = true;
    for (int i = 0; i <= LIMIT_INGRESSES - 2; i++) {
        memset(hello, 0, sizeof(*hello));
        str_format(hello->node, sizeof(hello->node), "more%d", i);
        str_format(hello->site, sizeof(hello->site), "edge/nyc");
        str_format(hello->boot_id, sizeof(hello->boot_id), "b%d", i);
        str_format(hello->ingress, sizeof(hello->ingress), "http://more%d:80", i);
        hello->boot_us = f->now_us;
        assert_null(fixture_told(f, "ingress.ignored"));
        fixture_step(f, &event);
    }
    assert_non_null(fixture_told(f, "ingress.ignored"));
    tick(f);
}

/* ---- owners behind an ingress ---- */

static void paused_is(struct test *t, bool paused)
{
    assert_int_equal(fixture_route(&t->f, t->in1, "web")->paused, paused);
    assert_int_equal(fixture_route(&t->f, t->in2, "web")->paused, paused);
}

static void test_an_owner_freezes_when_every_ingress_holds(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB_OF("exclusive", "shop", "{path: /}", "1"));
    paused_is(t, false);
    char old[LIMIT_ID_BYTES];
    char fresh[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "web")->id);
    f->fence_code = 1;
    move(f);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_FREEZING);
    str_format(fresh, sizeof(fresh), "%s", handoff_of(f)->to);
    /* Both hold what comes; what was on its way gets to the owner before it is told. */
    paused_is(t, true);
    mode_is(t, old, ROUTE_DRAIN);
    mode_is(t, fresh, ROUTE_PROBE);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_true(handoff_of(f)->linger_us >= 20 * US_PER_MS);
    fixture_run(f, handoff_of(f)->linger_us - 1000);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    fixture_run(f, 2000);
    assert_int_equal(f->verb_count[NODE_DRAIN], 1);
    assert_int_equal(f->told_while_served, 0);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_FENCING);
    paused_is(t, true);
    fixture_fenced(f, 0);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_HELD);
    paused_is(t, false);
    mode_is(t, fresh, ROUTE_SERVE);
    f->fence_code = 0;
    fixture_run(f, 5 * US_PER_S);
    assert_int_equal(fixture_ended(f)->state, HANDOFF_STATE_DONE);
    paused_is(t, false);
    mode_is(t, old, -1);
}

static void test_an_ingress_that_does_not_hold_sends_it_back(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    start(f, WEB_OF("stateful", "shop", "{path: /}", "1"));
    char old[LIMIT_ID_BYTES];
    str_format(old, sizeof(old), "%s", fixture_serving(f, "web")->id);
    f->export_bytes[1] = 1000;
    f->nodes[fixture_node(f, "edge")].unanswered = 1u << NODE_SNAPSHOT;
    move(f);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_SHIPPING);
    f->nodes[t->in2].unanswered = ROUTE_BIT;
    f->nodes[fixture_node(f, "edge")].unanswered = 0;
    fixture_run(f, 2 * US_PER_S); /* it is told again */
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_FREEZING);
    fixture_run(f, 20 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_FREEZING);
    assert_int_equal(f->verb_count[NODE_DRAIN], 0);
    assert_string_equal(fixture_serving(f, "web")->id, old);
    fixture_run(f, 15 * US_PER_S);
    const struct core_handoff *ended = fixture_ended(f);
    assert_int_equal(ended->state, HANDOFF_STATE_BACK);
    assert_non_null(strstr(ended->text, "the ingress on in2 has not taken its route in time"));
    assert_string_equal(fixture_serving(f, "web")->id, old);
    assert_false(fixture_route(f, t->in1, "web")->paused);
}

/* A first owner, and one whose process has ended for good, are nobody's pause. */
static void test_without_an_owner_to_come_nothing_waits(void **state)
{
    struct test *t = *state;
    struct fixture *f = &t->f;
    apply(f, WEB_OF("exclusive", "shop", "{path: /}", "1"));
    fixture_run(f, 1100 * US_PER_MS);
    f->nodes[fixture_node(f, "edge")].ignored = 1u << NODE_START;
    fixture_plan(f, at_edge, INT64_MAX, 1000);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_STARTING);
    paused_is(t, false);
    f->nodes[fixture_node(f, "edge")].ignored = 0;
    f->fence_code = 1;
    fixture_run(f, 10 * US_PER_S);
    assert_int_equal(handoff_of(f)->state, HANDOFF_STATE_FENCING);
    paused_is(t, true); /* it is ready, and owns in a moment */
    f->fence_code = 0;
    fixture_run(f, 3 * US_PER_S);
    paused_is(t, false);
    fixture_report(f, fixture_serving(f, "web"), INSTANCE_BACKOFF, "exit 1");
    paused_is(t, false);
    assert_null(fixture_serving(f, "web"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_first_start_is_probed_through_every_ingress),
        TEST(test_a_first_start_is_done_when_every_ingress_serves_it),
        TEST(test_a_first_start_waits_for_no_ingress_for_ever),
        TEST(test_a_move_serves_drains_and_stops_in_that_order),
        TEST(test_an_ingress_that_takes_nothing_sends_it_back),
        TEST(test_an_ingress_that_is_lost_holds_nobody_up),
        TEST(test_nothing_drains_before_every_ingress_says_so),
        TEST(test_only_the_newest_version_is_sent),
        TEST(test_what_is_not_ready_serves_only_when_nobody_else_does),
        TEST(test_a_new_copy_that_turns_unready_gives_the_traffic_back),
        TEST(test_without_an_ingress_nothing_is_proven),
        TEST(test_without_the_contract_an_ingress_reaches_it_and_nothing_is_proven),
        TEST(test_an_answer_without_identity_proves_nothing),
        TEST(test_two_apps_do_not_claim_the_same_requests),
        TEST(test_a_route_that_is_gone_is_ended_everywhere),
        TEST(test_a_route_that_comes_again_is_no_longer_gone),
        TEST(test_a_removal_waits_until_nobody_sends_to_it),
        TEST(test_an_image_keeps_what_ingresses_have_taken),
        TEST(test_more_ingresses_than_are_served_say_so),
        TEST(test_an_owner_freezes_when_every_ingress_holds),
        TEST(test_an_ingress_that_does_not_hold_sends_it_back),
        TEST(test_without_an_owner_to_come_nothing_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
