/*
 * node_bench: the node machine on a bench: one instance "i1", driven event by event. For the tests
 * of the machine, each of which is one program and uses some of this.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "executors/node/core/node_core.h"

#define UNUSED __attribute__((unused))

struct bench {
    struct node *node;
    struct node_effects *effects;
    int64_t now;
    struct epoch epoch;
    int next_id;
};

UNUSED static void started(struct bench *bench, const struct node_record *records, int count)
{
    struct node_event event = {.kind = NODE_EV_STARTED, .at = {bench->now}};
    str_format(event.started.boot_id, sizeof(event.started.boot_id), "boot-1");
    event.started.records = records;
    event.started.record_count = count;
    node_step(bench->node, &event, bench->effects);
}

UNUSED static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    struct error err;
    assert_int_equal(node_create("n1", &bench->node, &err), 0);
    assert_int_equal(node_effects_create(LIMIT_EFFECTS, &bench->effects), 0);
    bench->now = 1000;
    bench->epoch = (struct epoch){1, 1};
    started(bench, NULL, 0);
    *state = bench;
    return 0;
}

UNUSED static int teardown(void **state)
{
    struct bench *bench = *state;
    node_destroy(bench->node);
    node_effects_destroy(bench->effects);
    free(bench);
    return 0;
}

UNUSED static struct message_spec spec_of(enum ready_kind ready, bool contract)
{
    struct message_spec spec = {.contract = contract,
                                .start_timeout_us = 5 * US_PER_S,
                                .drain_timeout_us = 2 * US_PER_S,
                                .stop_timeout_us = 3 * US_PER_S,
                                .restarts_max = 2,
                                .restart_backoff_us = US_PER_S};
    spec.ready.kind = (int)ready;
    spec.ready.period_us = 100;
    str_format(spec.namespace_, sizeof(spec.namespace_), "shop");
    str_format(spec.app, sizeof(spec.app), "web");
    str_format(spec.workload, sizeof(spec.workload), "front");
    str_format(spec.driver, sizeof(spec.driver), "process");
    return spec;
}

UNUSED static struct message_command command_of(struct bench *bench, enum node_verb verb)
{
    struct message_command command = {.verb = (int)verb, .epoch = bench->epoch};
    str_format(command.id, sizeof(command.id), "c%d", bench->next_id++);
    str_format(command.instance, sizeof(command.instance), "i1");
    return command;
}

UNUSED static void take(struct bench *bench, const struct message_command *command)
{
    struct node_event event = {.kind = NODE_EV_COMMAND, .at = {bench->now}};
    event.command = *command;
    node_step(bench->node, &event, bench->effects);
}

UNUSED static void order(struct bench *bench, enum node_verb verb)
{
    struct message_command command = command_of(bench, verb);
    if (verb == NODE_STAGE || verb == NODE_START)
        command.spec = spec_of(READY_CONTRACT, true);
    take(bench, &command);
}

UNUSED static struct node_event event_of(struct bench *bench, enum node_event_kind kind)
{
    struct node_event event = {.kind = kind, .at = {bench->now}};
    str_format(event.instance, sizeof(event.instance), "i1");
    return event;
}

UNUSED static void happens(struct bench *bench, enum node_event_kind kind)
{
    struct node_event event = event_of(bench, kind);
    node_step(bench->node, &event, bench->effects);
}

UNUSED static void result(struct bench *bench, enum node_event_kind kind, int code,
                          const char *text)
{
    struct node_event event = event_of(bench, kind);
    event.result.code = code;
    str_format(event.result.text, sizeof(event.result.text), "%s", text);
    node_step(bench->node, &event, bench->effects);
}

UNUSED static void says(struct bench *bench, enum workload_word word)
{
    struct node_event event = event_of(bench, NODE_EV_SAID);
    event.said = word;
    node_step(bench->node, &event, bench->effects);
}

UNUSED static void ends(struct bench *bench, int exit_code)
{
    struct node_event event = event_of(bench, NODE_EV_EXITED);
    event.exit_code = exit_code;
    node_step(bench->node, &event, bench->effects);
}

UNUSED static const struct node_effect *effect(struct bench *bench, enum node_effect_kind kind)
{
    for (int i = 0; i < bench->effects->count; i++)
        if (bench->effects->list[i].kind == kind)
            return &bench->effects->list[i];
    return NULL;
}

UNUSED static int state_of(struct bench *bench)
{
    for (int i = 0; i < node_record_count(bench->node); i++) {
        const struct node_record *record = node_record_at(bench->node, i);
        if (str_equal(record->instance, "i1"))
            return record->state;
    }
    return -1;
}

UNUSED static const struct node_record *record(struct bench *bench)
{
    return node_record_at(bench->node, 0);
}

UNUSED static int answer_code(struct bench *bench)
{
    const struct node_effect *answer = effect(bench, NODE_FX_ANSWER);
    assert_non_null(answer);
    return answer->answer.code;
}

UNUSED static void to_ready(struct bench *bench)
{
    order(bench, NODE_START);
    assert_int_equal(answer_code(bench), 0);
    assert_non_null(effect(bench, NODE_FX_FETCH));
    result(bench, NODE_EV_FETCHED, 0, "");
    assert_non_null(effect(bench, NODE_FX_SPAWN));
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

/* The agent dies and another reads its records. */
UNUSED static void restart_agent(struct bench *bench, struct node_record *kept)
{
    static char handed[LIMIT_HANDED_BYTES + 1];
    *kept = *record(bench); /* the tests' specs have no arrays */
    if (kept->handed != NULL) {
        str_format(handed, sizeof(handed), "%s", kept->handed);
        kept->handed = handed;
    }
    node_destroy(bench->node);
    struct error err;
    assert_int_equal(node_create("n1", &bench->node, &err), 0);
    started(bench, kept, 1);
}

UNUSED static void adopted(struct bench *bench, bool running, bool ready, bool drained)
{
    struct node_event event = event_of(bench, NODE_EV_ADOPTED);
    event.adopted.running = running;
    event.adopted.said_ready = ready;
    event.adopted.said_drained = drained;
    event.adopted.exit_code = 9;
    node_step(bench->node, &event, bench->effects);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
