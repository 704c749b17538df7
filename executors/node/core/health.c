/*
 * health: probes of an instance. While it starts, until one says that it is ready. Once it is
 * ready: as many failures in a row as spec.ready.failures make it UNREADY, one success READY again;
 * as many as spec.live.failures have it killed and started again, as an end of its own.
 */
#include "executors/node/core/node_state.h"

#include <string.h>

#include "base/str.h"

static bool is_probe(const struct message_ready *ready);
static bool is_up(const struct node_instance *instance);
static void judged_ready(struct node *node, struct node_instance *instance, bool ready,
                         const char *text);
static void judged_live(struct node *node, struct node_instance *instance, bool alive,
                        const char *text);

void health_begin(struct node *node, struct node_instance *instance)
{
    const struct message_spec *spec = &instance->record.spec;
    instance->ready_misses = instance->live_misses = 0;
    instance->act_at = instance->live_at = NODE_NEVER;
    if (spec->ready.failures > 0 && is_probe(&spec->ready))
        instance->act_at =
            node_after(node->now, node_or_default(spec->ready.period_us, NODE_HEALTH_US));
    if (is_probe(&spec->live))
        instance->live_at =
            node_after(node->now, node_or_default(spec->live.period_us, NODE_HEALTH_US));
}

void health_tick(struct node *node, struct node_instance *instance)
{
    bool up = is_up(instance);
    if (instance->act_at <= node->now && up) {
        instance->act_at = NODE_NEVER;
        if (!instance->judging) {
            instance->judging = true;
            instance->work |= WORK_JUDGE;
        }
    }
    if (instance->live_at > node->now)
        return;
    instance->live_at = NODE_NEVER;
    if (up && !instance->judging_live) {
        instance->judging_live = true;
        instance->work |= WORK_JUDGE_LIVE;
    }
}

void health_judged(struct node *node, struct node_instance *instance, bool live, bool ready,
                   const char *text)
{
    bool *judging = live ? &instance->judging_live : &instance->judging;
    bool *judge_stale = live ? &instance->live_stale : &instance->judge_stale;
    if (!*judging)
        return;
    bool stale = *judge_stale;
    *judging = *judge_stale = false;
    bool starting = !live && instance->record.state == INSTANCE_STARTING && !instance->spawning &&
                    !instance->clearing && !instance->ended && instance->grant == GRANT_NONE;
    if (!starting && !is_up(instance))
        return;
    if (stale) {
        *judging = true;
        instance->work |= live ? WORK_JUDGE_LIVE : WORK_JUDGE;
    } else if (live) {
        judged_live(node, instance, ready, text);
    } else if (!starting) {
        judged_ready(node, instance, ready, text);
    } else if (ready) {
        instance_came_up(node, instance);
    } else {
        str_format(instance->said, sizeof(instance->said), "%s", text);
        instance->act_at = node_after(
            node->now, node_or_default(instance->record.spec.ready.period_us, NODE_JUDGE_US));
    }
}

/* The kinds that are asked from outside; the others speak, or are not asked. */
static bool is_probe(const struct message_ready *ready)
{
    return ready->kind != READY_NONE && ready->kind != READY_CONTRACT;
}

static bool is_up(const struct node_instance *instance)
{
    return (instance->record.state == INSTANCE_READY ||
            instance->record.state == INSTANCE_UNREADY) &&
           !instance_is_ending(instance);
}

static void judged_ready(struct node *node, struct node_instance *instance, bool ready,
                         const char *text)
{
    const struct message_ready *rule = &instance->record.spec.ready;
    if (rule->failures <= 0)
        return;
    instance->act_at = node_after(node->now, node_or_default(rule->period_us, NODE_HEALTH_US));
    if (ready) {
        instance->ready_misses = 0;
        if (instance->record.state == INSTANCE_UNREADY) {
            instance_set_detail(instance, "");
            instance_set_state(instance, INSTANCE_READY);
        }
        return;
    }
    if (instance->ready_misses < rule->failures)
        instance->ready_misses++;
    if (instance->ready_misses < rule->failures || instance->record.state == INSTANCE_UNREADY)
        return;
    char detail[LIMIT_TEXT_BYTES];
    str_format(detail, sizeof(detail), "not ready any more: %.200s", text);
    instance_set_detail(instance, detail);
    instance_set_state(instance, INSTANCE_UNREADY);
}

static void judged_live(struct node *node, struct node_instance *instance, bool alive,
                        const char *text)
{
    const struct message_ready *rule = &instance->record.spec.live;
    instance->live_at = node_after(node->now, node_or_default(rule->period_us, NODE_HEALTH_US));
    if (alive) {
        instance->live_misses = 0;
        return;
    }
    if (++instance->live_misses < (rule->failures > 0 ? rule->failures : NODE_LIVE_FAILURES))
        return;
    str_format(instance->said, sizeof(instance->said), "%s", text);
    instance->killed_dead = true;
    instance_begin_clear(instance);
}
