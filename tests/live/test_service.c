/* The scheduler as a process: its control interface, its restarts, its nodes. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "scheduler/service/journal.h"
#include "tests/live/service_fixture.h"

#define STOPPED_US (6 * US_PER_S) /* the world's node_timeout, and half of it */

static void control_answers_and_refuses(void **state)
{
    struct fixture *fixture = *state;
    json_t *info = ctl(fixture, "info", (struct message_request){0});
    assert_string_equal(string(info, "world"), "test");
    assert_int_equal(number(info, "term"), 1);
    assert_true(json_is_true(json_object_get(info, "jetstream")));
    json_decref(info);

    refused(fixture, "apply", (struct message_request){.document = "app: [1"}, ERR_INVALID,
            "document:2");
    refused(fixture, "apply",
            (struct message_request){.document = "app: shop\nnamespace: default\nworkload: []\n"},
            ERR_INVALID, "workloads");
    refused(fixture, "apply", (struct message_request){0}, ERR_INVALID, "document");
    refused(fixture, "get", (struct message_request){.kind = "nodez"}, ERR_INVALID, "nodes");
    refused(fixture, "delete", request_for("shop", ""), ERR_NOT_FOUND, "default/shop");
    refused(fixture, "delete", request_for("Shop!", ""), ERR_INVALID, "Shop!");
    refused(fixture, "explain", request_for("shop", "source"), ERR_NOT_FOUND, "default/shop");
    refused(fixture, "plan", (struct message_request){.kind = "party"}, ERR_INVALID, "party");

    struct message_request apply = {.id = "apply-1", .document = app_text};
    json_t *first = ctl(fixture, "apply", apply);
    assert_string_equal(string(first, "kind"), "app");
    assert_string_equal(string(first, "name"), "default/shop");
    int64_t version = number(first, "state_version");
    apply.document = "nonsense"; /* the same id: it was done already, and is not done again */
    json_t *again = ctl(fixture, "apply", apply);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);

    refused(fixture, "apply",
            (struct message_request){.document = app_text, .version = (uint64_t)version + 7},
            ERR_STALE, "plan");
    refused(fixture, "retag", retag_to("azure"), ERR_INVALID, "azure");
    json_t *apps = ctl(fixture, "get", (struct message_request){.kind = "apps"});
    assert_int_equal(json_array_size(json_object_get(apps, "items")), 1);
    json_decref(apps);
    static const char *const kinds[] = {"world",    "sites",  "nodes",     "app",       "instances",
                                        "handoffs", "routes", "decisions", "estimates", "prices"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct message_request get = {0};
        str_format(get.kind, sizeof(get.kind), "%s", kinds[i]);
        json_t *body = ctl(fixture, "get", get);
        assert_true(json_is_array(json_object_get(body, "items")));
        json_decref(body);
    }
}

static void a_second_scheduler_is_refused(void **state)
{
    struct fixture *fixture = *state;
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct service_options options = options_of(fixture);
        struct service *service = NULL;
        struct error err = {0};
        char pid[32];
        str_format(pid, sizeof(pid), "process %d:", (int)fixture->scheduler);
        int rc = service_open(&options, &service, &err);
        _exit(rc == ERR_LOCKED && strstr(err.text, pid) != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    json_decref(ctl(fixture, "info", (struct message_request){0}));
}

static void acknowledged_applies_survive(void **state)
{
    struct fixture *fixture = *state;
    apply_app(fixture);
    for (int round = 0; round < 2; round++) {
        scheduler_end(fixture, round == 0 ? SIGKILL : SIGTERM);
        scheduler_start(fixture);
        await_scheduler(fixture);
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        assert_int_equal(number(info, "term"), round + 2);
        assert_int_equal(number(info, "apps"), 1);
        json_decref(info);
    }
    /* The answer to a change is remembered across the restart. */
    struct message_request drop = request_for("shop", "");
    str_format(drop.id, sizeof(drop.id), "delete-1");
    json_t *first = ctl(fixture, "delete", drop);
    scheduler_end(fixture, SIGKILL);
    scheduler_start(fixture);
    await_scheduler(fixture);
    json_t *again = ctl(fixture, "delete", drop);
    assert_true(json_equal(first, again));
    json_decref(first);
    json_decref(again);
}

static void a_retag_is_planned_carried_out_and_explained(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    await_item(fixture, "apps", "name", "shop", NULL, NULL);
    /* A retag in the middle of the first start would end that one instead of draining it. */
    await_item(fixture, "handoffs", "to_site", "gcp/us-central1", "state", "done");

    struct message_request dry = retag_to("aws");
    str_format(dry.kind, sizeof(dry.kind), "retag");
    json_t *plan = ctl(fixture, "plan", dry);
    assert_string_equal(string(plan, "status"), "optimal");
    assert_true(json_is_true(json_object_get(plan, "changes")));
    json_t *move = json_array_get(json_object_get(plan, "moves"), 0);
    assert_string_equal(string(move, "from"), "gcp/us-central1");
    assert_string_equal(string(move, "to"), "aws/us-east-1");
    assert_string_equal(string(move, "reason"), "retag");
    assert_true(number(move, "expected_us") > 0);
    double change = strtod(string(move, "bill_change"), NULL);
    assert_true(change > 1.7 && change < 1.9);
    assert_true(json_array_size(json_object_get(plan, "lines")) > 0);
    /* 250m and 64 MiB for 730 h: the dearer site costs what its prices say. */
    const char *before = string(json_object_get(plan, "before"), "bill");
    const char *after = string(json_object_get(plan, "after"), "bill");
    assert_true(strtod(before, NULL) > 4.0 && strtod(before, NULL) < 4.3);
    assert_true(strtod(after, NULL) > 5.8 && strtod(after, NULL) < 6.1);
    json_decref(plan);
    assert_int_equal(fixture->nodes[1].commands, 0); /* a plan only plans */

    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    await_item(fixture, "instances", "node", "n2", "state", "ready");

    json_t *explanation = ctl(fixture, "explain", request_for("shop", "source"));
    assert_string_equal(string(explanation, "site"), "aws/us-east-1");
    assert_string_equal(string(explanation, "node"), "n2");
    assert_int_equal(json_array_size(json_object_get(explanation, "candidates")), 2);
    assert_true(json_array_size(json_object_get(explanation, "decisions")) >= 2);
    json_decref(explanation);
    json_t *cost = ctl(fixture, "cost", (struct message_request){0});
    assert_true(json_array_size(json_object_get(cost, "lines")) > 0);
    json_decref(cost);

    json_t *events = ctl(fixture, "events", (struct message_request){0});
    bool drained = false;
    size_t index;
    json_t *event;
    json_array_foreach(json_object_get(events, "items"), index, event) drained =
        drained || (strcmp(string(event, "name"), "handoff.step") == 0 &&
                    strcmp(string(event, "state"), "draining") == 0);
    assert_true(drained);
    json_decref(events);
}

/* A program that decides otherwise than the one that wrote the record must not go on from there. */
static void a_record_that_replays_otherwise_stops_the_start(void **state)
{
    struct fixture *fixture = *state;
    apply_app(fixture);
    scheduler_end(fixture, SIGTERM);
    char path[700];
    struct journal *journal = NULL;
    struct error err = {0};
    uint64_t term = 0;
    str_format(path, sizeof(path), "%s/journal.db", fixture->state);
    assert_int_equal(journal_open(path, &journal, &term, &err), 0);
    struct journal_record round[2]; /* the last record of a round answers for all of it */
    for (int i = 0; i < 2; i++)
        round[i] = (struct journal_record){
            .at_us = clock_wall_now().us,
            .event = "{\"v\":1,\"type\":\"core.event\",\"kind\":\"tick\",\"at_us\":1}",
            .effects = "[]",
            .state_hash = (uint64_t)i,
        };
    assert_int_equal(journal_append(journal, round, 2, &err), 0);
    journal_close(journal);

    struct service_options options = options_of(fixture);
    struct service *service = NULL;
    char named[64];
    assert_int_equal(service_open(&options, &service, &err), ERR_CORRUPT);
    assert_null(service);
    str_format(named, sizeof(named), "record %llu ", (unsigned long long)round[1].seq);
    assert_non_null(strstr(err.text, named));
    assert_non_null(strstr(err.text, "tick"));
}

/* app_text with `from` replaced; the caller's to free. */
static char *app_with(const char *from, const char *to)
{
    const char *at = strstr(app_text, from);
    assert_non_null(at);
    size_t bytes = strlen(app_text) + strlen(to) + 1;
    char *text = malloc(bytes);
    assert_non_null(text);
    str_format(text, bytes, "%.*s%s%s", (int)(at - app_text), app_text, to, at + strlen(from));
    return text;
}

/* A plan for a changed document, which has this status and this many moves. */
static json_t *planned(struct fixture *fixture, const char *from, const char *to,
                       const char *status, size_t moves)
{
    char *text = app_with(from, to);
    json_t *plan = ctl(fixture, "plan", (struct message_request){.document = text});
    if (strcmp(string(plan, "status"), status) != 0 ||
        json_array_size(json_object_get(plan, "moves")) != moves) {
        char *dump = json_dumps(plan, JSON_INDENT(1));
        print_error("%s\n", dump);
        free(dump);
        fail_msg("with %s: not %s with %zu moves", to, status, moves);
    }
    free(text);
    return plan;
}

static const json_t *move_of(const json_t *plan, const char *reason)
{
    const json_t *move = json_array_get(json_object_get(plan, "moves"), 0);
    assert_string_equal(string(move, "reason"), reason);
    return move;
}

static double money(const json_t *object, const char *key)
{
    return strtod(string(object, key), NULL);
}

static void plans_tell_every_kind_of_change(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");

    json_t *plan = planned(fixture, "20/s", "20/s", "optimal", 0);
    assert_true(json_is_false(json_object_get(plan, "changes")));
    double bill = money(json_object_get(plan, "before"), "bill");
    assert_true(bill > 4);
    json_decref(plan);
    plan = ctl(fixture, "plan", (struct message_request){0});
    assert_true(json_is_false(json_object_get(plan, "changes")));
    json_decref(plan);

    plan = planned(fixture, "calls: 20/s", "calls: 30/s", "optimal", 0);
    assert_true(json_is_true(json_object_get(plan, "changes"))); /* of the document alone */
    json_decref(plan);

    plan = planned(fixture, "calls: 20/s", "calls: 20/s\n    replicas: 3", "optimal", 1);
    const json_t *move = move_of(plan, "start");
    assert_int_equal(number(move, "replicas"), 2);
    assert_string_equal(string(move, "from"), "");
    assert_string_equal(string(move, "to"), "gcp/us-central1");
    double after = money(json_object_get(plan, "after"), "bill");
    assert_true(after > 2.99 * bill && after < 3.01 * bill);
    json_decref(plan);

    plan = planned(fixture, "pids: 64", "pids: 65", "optimal", 1);
    move = move_of(plan, "version");
    assert_string_equal(string(move, "from"), string(move, "to"));
    json_decref(plan);

    plan = planned(fixture, "name: source", "name: origin", "optimal", 2);
    json_decref(plan);

    plan = planned(fixture, "cpu: 250m", "cpu: 100", "infeasible", 0);
    assert_true(json_array_size(json_object_get(plan, "conflict")) >= 1);
    assert_null(json_object_get(plan, "after"));
    json_decref(plan);

    /* A new app beside the one that runs: what runs nowhere yet costs nothing before. */
    plan = planned(fixture, "app: shop", "app: shop-two", "optimal", 1);
    move = move_of(plan, "start");
    assert_true(money(json_object_get(plan, "before"), "bill") == bill);
    assert_true(money(move, "bill_change") > 0.99 * bill);
    json_decref(plan);

    struct message_request drop = request_for("shop", "");
    str_format(drop.kind, sizeof(drop.kind), "delete");
    plan = ctl(fixture, "plan", drop);
    move = move_of(plan, "remove");
    assert_string_equal(string(move, "to"), "");
    assert_true(money(move, "bill_change") < -0.99 * bill);
    assert_true(money(json_object_get(plan, "after"), "bill") == 0);
    json_decref(plan);

    /* None of it was applied. */
    json_t *info = ctl(fixture, "info", (struct message_request){0});
    assert_int_equal(number(info, "apps"), 1);
    json_decref(info);
}

/* What no site can hold is explained too. */
static void a_workload_without_a_place_is_explained(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    char *text = app_with("cpu: 250m", "cpu: 100");
    json_decref(ctl(fixture, "apply", (struct message_request){.document = text}));
    free(text);
    await_item(fixture, "apps", "name", "shop", NULL, NULL);
    json_t *explanation = ctl(fixture, "explain", request_for("shop", "source"));
    assert_string_equal(string(explanation, "site"), "");
    assert_non_null(strstr(string(explanation, "here"), "nowhere"));
    size_t index;
    json_t *candidate;
    json_array_foreach(json_object_get(explanation, "candidates"), index, candidate)
    {
        assert_true(json_is_false(json_object_get(candidate, "allowed")));
        assert_true(string(candidate, "rule")[0] != 0);
    }
    json_decref(explanation);
    int64_t until_us = clock_mono_now().us + WAIT_US;
    bool told = false;
    while (!told && clock_mono_now().us < until_us) {
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        told = strstr(string(info, "plan"), "infeasible") != NULL;
        json_decref(info);
        pump(fixture);
    }
    assert_true(told);
}

static void a_scheduler_killed_in_a_handoff_ends_it(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    fixture->nodes[1].ready_late = true;
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "starting");
    scheduler_end(fixture, SIGKILL);
    fixture->nodes[1].ready_late = false;
    for (int i = 0; i < fixture->nodes[1].copy_count; i++)
        report(&fixture->nodes[1], &fixture->nodes[1].copies[i], INSTANCE_READY);
    scheduler_start(fixture);
    await_scheduler(fixture);
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
    await_item(fixture, "instances", "node", "n2", "state", "ready");
}

static void a_silent_node_is_lost_and_comes_back(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    fixture->nodes[1].silent = true;
    int64_t until_us = clock_mono_now().us + WAIT_US;
    int64_t up = 2;
    while (up != 1 && clock_mono_now().us < until_us) {
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        up = number(info, "nodes_up");
        json_decref(info);
        pump(fixture);
    }
    assert_int_equal(up, 1);
    fixture->nodes[1].silent = false;
    while (up != 2 && clock_mono_now().us < until_us) {
        json_t *info = ctl(fixture, "info", (struct message_request){0});
        up = number(info, "nodes_up");
        json_decref(info);
        pump(fixture);
    }
    assert_int_equal(up, 2);
}

/* It comes to itself with everything unread that the nodes said meanwhile, and blames none. */
static void a_stopped_scheduler_blames_no_node(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "workload", "source", "state", "ready");
    for (int round = 0; round < 3; round++) {
        int commands = fixture->nodes[0].commands + fixture->nodes[1].commands;
        assert_int_equal(kill(fixture->scheduler, SIGSTOP), 0);
        int64_t until_us = clock_mono_now().us + STOPPED_US;
        while (clock_mono_now().us < until_us)
            pump(fixture);
        assert_int_equal(kill(fixture->scheduler, SIGCONT), 0);
        until_us = clock_mono_now().us + US_PER_S;
        while (clock_mono_now().us < until_us) {
            json_t *info = ctl(fixture, "info", (struct message_request){0});
            assert_int_equal(number(info, "nodes_up"), 2);
            json_decref(info);
        }
        assert_int_equal(fixture->nodes[0].commands + fixture->nodes[1].commands, commands);
    }
}

/* n1 may publish below its own name only; what its payload says does not make it another. */
static void a_node_cannot_speak_for_another(void **state)
{
    struct fixture *fixture = *state;
    struct message_hello hello = {.node = "n9",
                                  .site = "aws/us-east-1",
                                  .boot_id = "b",
                                  .arch = "x86_64",
                                  .boot_us = 1,
                                  .mcpu = 1,
                                  .memory_bytes = 1};
    publish(&fixture->nodes[0], "berth.v1.node.n1.hello", &message_hello_shape, &hello);
    both_nodes_up(fixture); /* said later on the same connection, so the other was read before */
    json_t *nodes = ctl(fixture, "get", (struct message_request){.kind = "nodes"});
    assert_int_equal(json_array_size(json_object_get(nodes, "items")), 2);
    json_decref(nodes);
}

static void a_restart_of_nats_is_survived(void **state)
{
    struct fixture *fixture = *state;
    both_nodes_up(fixture);
    apply_app(fixture);
    await_item(fixture, "instances", "node", "n1", "state", "ready");
    test_server_kill(&fixture->server);
    test_server_restart(&fixture->server);
    await_scheduler(fixture);
    json_decref(ctl(fixture, "retag", retag_to("aws")));
    await_item(fixture, "handoffs", "to_site", "aws/us-east-1", "state", "done");
}

int main(int argc, char **argv)
{
    int rc = scheduler_main(argc, argv);
    if (rc >= 0)
        return rc;
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(control_answers_and_refuses),
        TEST(a_second_scheduler_is_refused),
        TEST(acknowledged_applies_survive),
        TEST(a_record_that_replays_otherwise_stops_the_start),
        TEST(a_retag_is_planned_carried_out_and_explained),
        TEST(plans_tell_every_kind_of_change),
        TEST(a_workload_without_a_place_is_explained),
        TEST(a_scheduler_killed_in_a_handoff_ends_it),
        TEST(a_silent_node_is_lost_and_comes_back),
        TEST(a_stopped_scheduler_blames_no_node),
        TEST(a_node_cannot_speak_for_another),
        TEST(a_restart_of_nats_is_survived),
#undef TEST
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
