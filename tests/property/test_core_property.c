/*
 * Random events, well-formed and not, against the core. Whatever comes in whatever order: its own
 * assertions hold, its deadline lies in the future, and a second core that is fed the journal has
 * the same hash and the same effects after every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "tests/unit/core_fixture.h"

#define SEEDS 40
#define STEPS 400

struct run {
    struct fixture *f;
    struct core *twin;
    struct core_effects *effects;
    uint64_t random;
    struct core_plan_choice choices[2];
    struct estimate estimate;
    struct message_instance listed[4];
    struct message_command sent[64]; /* commands seen, to answer some of them */
    char sent_to[64][LIMIT_NAME_BYTES];
    int sent_count;
};

static uint64_t pick(struct run *run, uint64_t below)
{
    run->random = hash_u64(HASH_SEED, run->random + 1);
    return run->random % below;
}

static const char *node_name(struct run *run)
{
    static const char *const names[] = {"client", "edge", "gcp", "aws", "stranger"};
    return names[pick(run, 5)];
}

static const char *site_name(struct run *run)
{
    static const char *const names[] = {"client/web", "edge/nyc", "gcp/us-central1",
                                        "aws/us-east-1", "azure/east"};
    return names[pick(run, 5)];
}

static void pick_instance(struct run *run, char *out)
{
    const struct core_state *state = core_state(run->f->core);
    if (state->instance_count > 0 && pick(run, 8) != 0)
        str_format(out, LIMIT_ID_BYTES, "%s",
                   state->instances[pick(run, (uint64_t)state->instance_count)].id);
    else
        str_format(out, LIMIT_ID_BYTES, "web-0-%d", (int)pick(run, 5));
}

static void make_target(struct run *run, struct core_event *event)
{
    str_format(event->request, sizeof(event->request), "r");
    if (event->kind == CORE_APPLY) {
        event->apply.app = &run->f->app;
        event->apply.version = pick(run, 4) == 0 ? pick(run, 10) : 0;
        return;
    }
    str_format(event->target.namespace_, LIMIT_NAME_BYTES, "default");
    str_format(event->target.app, LIMIT_NAME_BYTES, pick(run, 10) == 0 ? "other" : "shop");
    str_format(event->target.workload, LIMIT_NAME_BYTES, pick(run, 3) == 0 ? "web" : "source");
    str_format(event->target.key, LIMIT_NAME_BYTES, "cloud");
    str_format(event->target.value, LIMIT_NAME_BYTES, pick(run, 2) == 0 ? "aws" : "gcp");
}

static void make_node_event(struct run *run, struct core_event *event)
{
    const char *name = node_name(run);
    const struct core_state *state = core_state(run->f->core);
    if (event->kind == CORE_NODE_LOST) {
        str_format(event->node, sizeof(event->node), "%s", name);
    } else if (event->kind == CORE_REPORT) {
        struct message_report *report = &event->report;
        str_format(report->node, sizeof(report->node), "%s", name);
        str_format(report->boot_id, sizeof(report->boot_id), "boot-%s", name);
        report->seq = pick(run, 1000);
        report->boot_us = run->f->now_us / 2 - (int64_t)pick(run, 3) * 1000;
        pick_instance(run, report->instance.instance);
        for (int i = 0; i < state->instance_count; i++) {
            if (str_equal(state->instances[i].id, report->instance.instance))
                str_format(report->node, sizeof(report->node), "%s", state->instances[i].node);
        }
        str_format(report->boot_id, sizeof(report->boot_id), "boot-%s", report->node);
        report->instance.state = (int)pick(run, INSTANCE_FAILED + 1);
    } else {
        struct message_hello *hello = &event->hello;
        str_format(hello->node, sizeof(hello->node), "%s", name);
        str_format(hello->site, sizeof(hello->site), "%s", site_name(run));
        str_format(hello->boot_id, sizeof(hello->boot_id), "boot-%s", name);
        str_format(hello->drivers, sizeof(hello->drivers), "process");
        hello->boot_us = run->f->now_us / 2;
        hello->mcpu = (int64_t)pick(run, 2000);
        hello->memory_bytes = INT64_C(1) << 30;
        hello->epoch = (struct epoch){pick(run, 3), pick(run, 100)};
        hello->instances = run->listed;
        hello->instance_count = (int)pick(run, 4);
        memset(run->listed, 0, sizeof(run->listed));
        for (int i = 0; i < hello->instance_count; i++) {
            pick_instance(run, run->listed[i].instance);
            run->listed[i].state = (int)pick(run, INSTANCE_FAILED + 1);
        }
    }
}

static void make_answer(struct run *run, struct core_event *event)
{
    static const int codes[] = {0, 0, 0, ERR_STALE, ERR_DENIED, ERR_INVALID, ERR_NOT_FOUND};
    int at = run->sent_count == 0 ? 0 : (int)pick(run, (uint64_t)run->sent_count);
    const struct message_command *command = &run->sent[at];
    if (event->kind == CORE_ANSWER) {
        memcpy(event->answer.id, command->id, sizeof(command->id));
        memcpy(event->answer.node, run->sent_to[at], LIMIT_NAME_BYTES);
        event->answer.code = codes[pick(run, 7)];
        event->answer.epoch = (struct epoch){pick(run, 3), pick(run, 500)};
        return;
    }
    memcpy(event->probed.id, command->id, sizeof(command->id));
    memcpy(event->probed.node, run->sent_to[at], LIMIT_NAME_BYTES);
    memcpy(event->probed.instance, command->instance, sizeof(command->instance));
    event->probed.sent = 3;
    event->probed.answered = (int)pick(run, 4);
    event->probed.rtt_us = (int64_t)pick(run, 100000);
}

static void make_plan(struct run *run, struct core_event *event)
{
    struct core_plan *plan = &event->plan;
    const struct core_state *state = core_state(run->f->core);
    plan->solve = state->solve - pick(run, 8) / 7;
    plan->version = state->input_version - pick(run, 4) / 3;
    plan->status = (enum solve_status)pick(run, 4);
    plan->choices = run->choices;
    plan->choice_count = (int)pick(run, 3);
    plan->score_stay_nusd = pick(run, 2) == 0 ? INT64_MAX : 1000;
    plan->score_plan_nusd = (int64_t)pick(run, 2000);
    memset(run->choices, 0, sizeof(run->choices));
    for (int i = 0; i < plan->choice_count; i++) {
        str_format(run->choices[i].namespace_, LIMIT_NAME_BYTES, "default");
        str_format(run->choices[i].app, LIMIT_NAME_BYTES, "shop");
        str_format(run->choices[i].workload, LIMIT_NAME_BYTES, i == 0 ? "web" : "source");
        str_format(run->choices[i].site, LIMIT_REF_BYTES, "%s", site_name(run));
    }
}

static void make(struct run *run, struct core_event *event)
{
    memset(event, 0, sizeof(*event));
    event->kind = (enum core_event_kind)pick(run, CORE_TICK + 1);
    switch (event->kind) {
    case CORE_STARTED:
        event->started.term = core_state(run->f->core)->term + 1;
        break;
    case CORE_WORLD:
        event->world = &run->f->world;
        break;
    case CORE_APPLY:
    case CORE_DELETE:
    case CORE_RETAG:
        make_target(run, event);
        break;
    case CORE_HELLO:
    case CORE_NODE_LOST:
    case CORE_REPORT:
        make_node_event(run, event);
        break;
    case CORE_ANSWER:
    case CORE_PROBED:
        make_answer(run, event);
        break;
    case CORE_ESTIMATES:
        memset(&run->estimate, 0, sizeof(run->estimate));
        run->estimate.kind = ESTIMATE_CALLS_MHZ;
        run->estimate.value = (int64_t)pick(run, 5);
        run->estimate.at_us = run->f->now_us;
        event->estimates.list = &run->estimate;
        event->estimates.count = 1;
        break;
    case CORE_PLAN:
        make_plan(run, event);
        break;
    case CORE_TICK:
        break;
    }
}

static void remember(struct run *run, const struct core_effects *effects)
{
    for (int i = 0; i < effects->count; i++) {
        const struct core_effect *effect = &effects->list[i];
        int at = run->sent_count % 64;
        if (effect->kind == CORE_COMMAND) {
            run->sent[at] = effect->command.message;
            memcpy(run->sent_to[at], effect->command.node, LIMIT_NAME_BYTES);
        } else if (effect->kind == CORE_PROBE) {
            memset(&run->sent[at], 0, sizeof(run->sent[at]));
            memcpy(run->sent[at].id, effect->probe.id, LIMIT_ID_BYTES);
            memcpy(run->sent[at].instance, effect->probe.instance, LIMIT_ID_BYTES);
            run->sent_to[at][0] = 0;
        } else {
            continue;
        }
        run->sent_count = run->sent_count < 63 ? run->sent_count + 1 : (int)pick(run, 63) + 1;
    }
}

static void same_effects(const struct core_effects *a, const struct core_effects *b)
{
    assert_int_equal(a->count, b->count);
    for (int i = 0; i < a->count; i++) {
        assert_int_equal(a->list[i].kind, b->list[i].kind);
        if (a->list[i].kind == CORE_COMMAND)
            assert_string_equal(a->list[i].command.message.id, b->list[i].command.message.id);
        if (a->list[i].kind == CORE_PUBLISH)
            assert_string_equal(a->list[i].publish.text, b->list[i].publish.text);
    }
}

static void one_run(struct run *run, uint64_t seed)
{
    static struct fixture fixture;
    struct error err;
    memset(run, 0, sizeof(*run));
    fixture_init(&fixture);
    run->f = &fixture;
    run->random = hash_u64(HASH_SEED, seed);
    /* The fixture's core has a history: both begin anew. */
    core_destroy(fixture.core);
    assert_int_equal(core_create(&fixture.core, &err), 0);
    assert_int_equal(core_create(&run->twin, &err), 0);
    assert_int_equal(core_effects_create(LIMIT_EFFECTS / 4, &run->effects), 0);
    for (int i = 0; i < STEPS; i++) {
        struct core_event event;
        make(run, &event);
        if (i == 0) {
            memset(&event, 0, sizeof(event));
            event.kind = CORE_WORLD;
            event.world = &fixture.world;
        }
        int64_t due_us = core_deadline(fixture.core).us;
        bool jump = pick(run, 3) == 0 && due_us != INT64_MAX;
        fixture.now_us = jump ? due_us : fixture.now_us + (int64_t)pick(run, 300000);
        event.at.us = fixture.now_us;
        core_step(fixture.core, &event, fixture.effects);
        core_step(run->twin, &event, run->effects);
        if (core_hash(fixture.core) != core_hash(run->twin))
            fail_msg("seed %llu, step %d (%s): the hashes differ", (unsigned long long)seed, i,
                     core_event_words[event.kind]);
        same_effects(fixture.effects, run->effects);
        remember(run, fixture.effects);
        if (core_deadline(fixture.core).us <= fixture.now_us)
            fail_msg("seed %llu, step %d (%s): a deadline in the past", (unsigned long long)seed, i,
                     core_event_words[event.kind]);
    }
    core_destroy(run->twin);
    core_effects_destroy(run->effects);
    fixture_done(&fixture);
}

static void test_any_events_in_any_order(void **state)
{
    (void)state;
    static struct run run;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        one_run(&run, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_any_events_in_any_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
