/*
 * node_owner_bench: an owner on the node machine's bench: started, granted, told and answered. For
 * the tests of owners, each of which is one program and uses some of this.
 */
#pragma once

#include "tests/unit/node_bench.h"

#define LEASE_US (8 * US_PER_S)

static UNUSED void start_owner(struct bench *bench, enum spec_class class, int64_t lease_us)
{
    struct message_command start = command_of(bench, NODE_START);
    start.spec = spec_of(READY_CONTRACT, true);
    start.spec.handoff = (int)class;
    start.spec.lease_us = lease_us;
    take(bench, &start);
    assert_int_equal(answer_code(bench), 0);
    result(bench, NODE_EV_FETCHED, 0, "");
    result(bench, NODE_EV_SPAWNED, 0, "");
    says(bench, SAID_READY);
}

static UNUSED void renew(struct bench *bench)
{
    struct node_event event = event_of(bench, NODE_EV_RENEWED);
    event.renewed.sent_us = bench->now;
    node_step(bench->node, &event, bench->effects);
}

static UNUSED void resume(struct bench *bench, const char *handed)
{
    bench->epoch.n++;
    struct message_command command = command_of(bench, NODE_RESUME);
    command.handed = handed;
    take(bench, &command);
    assert_int_equal(answer_code(bench), 0);
}

static UNUSED void order_round(struct bench *bench, enum node_verb verb, int round)
{
    struct message_command command = command_of(bench, verb);
    command.round = round;
    if (verb == NODE_RESTORE)
        command.object = (struct message_object){.digest = "sha256:aa", .bytes = 3};
    take(bench, &command);
}

static UNUSED void says_more(struct bench *bench, enum workload_word word, int round,
                             const char *text)
{
    struct node_event event = event_of(bench, NODE_EV_SAID);
    event.said = word;
    event.round = round;
    event.said_text = text;
    node_step(bench->node, &event, bench->effects);
}

static UNUSED void shipped(struct bench *bench, uint64_t ticket, int code, const char *digest)
{
    struct node_event event = event_of(bench, NODE_EV_SHIPPED);
    event.ticket = ticket;
    event.shipped.code = code;
    str_format(event.shipped.text, sizeof(event.shipped.text), "%s", code == 0 ? "" : "no bus");
    str_format(event.shipped.object.digest, LIMIT_DIGEST_BYTES, "%s", digest);
    event.shipped.object.bytes = 3;
    node_step(bench->node, &event, bench->effects);
}

static UNUSED void got(struct bench *bench, uint64_t ticket, int code)
{
    struct node_event event = event_of(bench, NODE_EV_GOT);
    event.ticket = ticket;
    event.result.code = code;
    node_step(bench->node, &event, bench->effects);
}

static UNUSED void owner(struct bench *bench, enum spec_class class)
{
    start_owner(bench, class, LEASE_US);
    renew(bench);
    resume(bench, NULL);
    says(bench, SAID_OWNED);
    assert_int_equal(state_of(bench), INSTANCE_READY);
}

static UNUSED int place_of(const struct bench *bench, enum node_effect_kind kind)
{
    for (int i = 0; i < bench->effects->count; i++)
        if (bench->effects->list[i].kind == kind)
            return i;
    fail_msg("no effect %d", (int)kind);
    return -1;
}

static UNUSED void adopted_with_lease(struct bench *bench, int64_t lease_us)
{
    struct node_event event = event_of(bench, NODE_EV_ADOPTED);
    event.adopted.running = true;
    event.adopted.said_ready = true;
    event.adopted.lease_us = lease_us;
    node_step(bench->node, &event, bench->effects);
}
