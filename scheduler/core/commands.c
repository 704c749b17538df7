/*
 * Commands to nodes: at most one per instance besides probes, each with an epoch of its own.
 *
 * A command is sent again, the same id and epoch, every CORE_RESEND_US until it is answered; past
 * its not_after it is dropped, and whoever needs it asks for a fresh one. Answered means taken, not
 * done: the entry stays until the effect is reported (the next verb supersedes it) or, if nothing
 * is seen of it, for CORE_RECHECK_US, after which a fresh one is made. All verbs may be repeated.
 */
#include <stddef.h>
#include <string.h>

#include "base/bus/subjects.h"
#include "base/str.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

/* A spec's arguments and environment are lent to messages as they are. */
_Static_assert(sizeof(struct message_string) == LIMIT_PATH_BYTES, "args have one layout");
_Static_assert(sizeof(struct message_env) == sizeof(struct env_entry) &&
                   offsetof(struct message_env, value) == offsetof(struct env_entry, value),
               "env has one layout");

static struct core_command *command_new(struct core *core, const char *handoff,
                                        const char *instance, const char *node,
                                        enum node_verb verb);
static void command_send(struct core *core, struct core_command *command);
static void fill_spec(const struct core_place *place, const struct variant *variant, int replica,
                      struct message_spec *spec);
static struct message_command *command_emit(struct core *core, const struct core_command *command);
static void send_route(struct core *core, const struct core_command *command);
static void send_probe(struct core *core, const struct core_command *command, const char *subject);
static bool is_grant(const struct core *core, const struct core_command *command,
                     struct epoch *ret_owner);
static void fill_checkpoint(struct core *core, const struct core_command *command,
                            const struct core_handoff *handoff, struct message_command *message);
static void fill_owned(struct core *core, const struct core_command *command,
                       struct message_command *message);
static void wake(struct core *core, const struct core_command *command);
static void command_renew(struct core *core, struct core_command *command);
static void command_live(struct core *core, struct core_command *command);

struct core_command *core_command_ensure(struct core *core, const char *handoff,
                                         const struct core_instance *instance, enum node_verb verb)
{
    struct core_command *command = NULL;
    while ((command = core_command_next(core, instance->id, command)) != NULL) {
        if (command->verb == NODE_PROBE || !str_equal(command->node, instance->node))
            continue;
        if (command->verb == verb)
            return command;
        core_command_drop(core, command);
    }
    if (handoff[0] == 0 && !core_order_room(core, instance, verb))
        return NULL;
    command = command_new(core, handoff, instance->id, instance->node, verb);
    if (command != NULL)
        command_send(core, command);
    return command;
}

struct core_command *core_probe_ensure(struct core *core, const struct core_handoff *handoff,
                                       const struct core_instance *instance, const char *node)
{
    struct core_command *command = NULL;
    while ((command = core_command_next(core, instance->id, command)) != NULL) {
        if (command->verb == NODE_PROBE && str_equal(command->node, node) &&
            str_equal(command->handoff, handoff->id))
            return command;
    }
    command = command_new(core, handoff->id, instance->id, node, NODE_PROBE);
    if (command != NULL)
        command_send(core, command);
    return command;
}

struct core_command *core_route_command(struct core *core, const char *name, uint64_t route,
                                        const char *node)
{
    struct core_command *command = command_new(core, "", name, node, NODE_ROUTE);
    if (command == NULL)
        return NULL;
    command->route = route;
    command_send(core, command);
    return command;
}

/* Not sent yet. */
static struct core_command *command_new(struct core *core, const char *handoff,
                                        const char *instance, const char *node, enum node_verb verb)
{
    struct core_state *state = &core->state;
    if (state->command_count == LIMIT_COMMANDS) {
        core_pace_crowded(core);
        return NULL;
    }
    struct core_command *command = &state->commands[state->command_count++];
    memset(command, 0, sizeof(*command));
    char number[CORE_NUMBER_BYTES];
    command->epoch = (struct epoch){state->epoch.term, core_next(core)};
    str_format(command->id, sizeof(command->id), "%s-%s-%s", handoff[0] != 0 ? handoff : "x",
               node_verb_words[verb], core_number(command->epoch.n, number));
    CORE_SET(command->node, node);
    CORE_SET(command->handoff, handoff);
    CORE_SET(command->instance, instance);
    command->verb = verb;
    command_live(core, command);
    core_command_index(core, (int)(command - state->commands));
    return command;
}

/* A command whose effect finds no room is sent with the next resend. */
static void command_send(struct core *core, struct core_command *command)
{
    command->sent = core->state.now;
    command->tries++;
    if (command->verb == NODE_ROUTE) {
        send_route(core, command);
        return;
    }
    const struct core_instance *instance = core_instance_find(core, command->instance, NULL);
    char subject[LIMIT_SUBJECT_BYTES] = "";
    if (command->verb == NODE_PROBE && instance != NULL)
        subject_at(instance->namespace_, instance->workload, instance->id, subject);
    if (command->node[0] == 0) {
        send_probe(core, command, subject);
        return;
    }
    const struct core_node *node = core_node_find(core, command->node);
    struct core_place place;
    bool known = instance != NULL && core_instance_place(core, instance, &place);
    bool starts = command->verb == NODE_STAGE || command->verb == NODE_START;
    const struct variant *variant =
        known && node != NULL ? core_variant(core, place.workload, node, place.state->variant)
                              : NULL;
    /* A newer version of the app has come: the handoff of the old one is about to be cancelled. */
    if (starts && (variant == NULL || place.spec_hash != instance->spec_hash))
        return;
    struct message_command *message = command_emit(core, command);
    if (message == NULL)
        return;
    CORE_SET(message->instance, command->instance);
    if (command->verb == NODE_PROBE) {
        /* Through the ingress there, as its requests come; else where its calls do. */
        if (instance == NULL || !core_route_probe(core, instance, &message->route))
            CORE_SET(message->subject, subject);
        message->probe_count = CORE_PROBE_COUNT;
        message->timeout_us = CORE_PROBE_WAIT_US;
    }
    if (command->verb == NODE_DRAIN && known)
        message->timeout_us = place.workload->drain_timeout_us;
    fill_owned(core, command, message);
    if (starts) {
        fill_spec(&place, variant, instance->replica, &message->spec);
        message->spec.lease_us = instance->lease_us;
    }
}

/* The effect, with what all commands have; NULL: nobody is there, or it has no room. */
static struct message_command *command_emit(struct core *core, const struct core_command *command)
{
    const struct core_node *node = core_node_find(core, command->node);
    struct epoch owner;
    int64_t not_after_us = node == NULL ? 0 : core_node_boot_us(core, node, command->not_after.us);
    /* A grant without an end is none: it waits until the node has been heard. */
    if (node == NULL || !node->up || (not_after_us == 0 && is_grant(core, command, &owner)))
        return NULL;
    struct core_effect *effect = core_emit(core, CORE_COMMAND);
    if (effect == NULL)
        return NULL;
    CORE_SET(effect->command.node, command->node);
    struct message_command *message = &effect->command.message;
    CORE_SET(message->id, command->id);
    message->epoch = command->epoch;
    CORE_SET(message->boot_id, node->boot_id);
    message->not_after_us = not_after_us;
    if (command->verb == NODE_ROUTE)
        message->hello_us = node->hello_us;
    message->verb = (int)command->verb;
    return message;
}

static void send_route(struct core *core, const struct core_command *command)
{
    struct message_route route = {0};
    if (!core_route_fill(core, command, &route))
        return;
    struct message_command *message = command_emit(core, command);
    if (message != NULL)
        message->route = route;
}

static void send_probe(struct core *core, const struct core_command *command, const char *subject)
{
    struct core_effect *effect = core_emit(core, CORE_PROBE);
    if (effect == NULL)
        return;
    CORE_SET(effect->probe.id, command->id);
    CORE_SET(effect->probe.instance, command->instance);
    CORE_SET(effect->probe.subject, subject);
    effect->probe.count = CORE_PROBE_COUNT;
    effect->probe.timeout_us = CORE_PROBE_WAIT_US;
}

static void fill_spec(const struct core_place *place, const struct variant *variant, int replica,
                      struct message_spec *spec)
{
    const struct workload *workload = place->workload;
    CORE_SET(spec->namespace_, place->app->app.namespace_);
    CORE_SET(spec->app, place->app->app.name);
    CORE_SET(spec->workload, workload->name);
    spec->replica = replica;
    CORE_SET(spec->driver, variant->driver);
    CORE_SET(spec->artifact, variant->artifact);
    CORE_SET(spec->digest, variant->digest);
    spec->args = (struct message_string *)variant->args;
    spec->arg_count = variant->arg_count;
    spec->env = (struct message_env *)variant->env;
    spec->env_count = variant->env_count;
    spec->mcpu = core_reserve(workload, variant, RESOURCE_CPU);
    spec->memory_bytes = core_reserve(workload, variant, RESOURCE_MEMORY);
    spec->pids_max = workload->pids_max;
    spec->ready.kind = workload->ready.kind;
    CORE_SET(spec->ready.target, workload->ready.target);
    spec->ready.period_us = workload->ready.period_us;
    spec->ready.timeout_us = workload->ready.timeout_us;
    spec->ready.failures = workload->ready.failures;
    spec->live.kind = workload->live.kind;
    CORE_SET(spec->live.target, workload->live.target);
    spec->live.period_us = workload->live.period_us;
    spec->live.timeout_us = workload->live.timeout_us;
    spec->live.failures = workload->live.failures;
    spec->handoff = (int)workload->handoff;
    spec->http = workload->http.path[0] != 0;
    spec->contract = workload->contract;
    spec->start_timeout_us = workload->start_timeout_us;
    spec->drain_timeout_us = workload->drain_timeout_us;
    spec->stop_timeout_us = workload->stop_timeout_us;
    spec->restarts_max = workload->restarts_max;
    spec->restart_backoff_us = CORE_BACKOFF_US;
}

struct core_command *core_grant_ensure(struct core *core, const struct core_handoff *handoff,
                                       const struct core_instance *instance)
{
    struct core_command *command = NULL;
    while ((command = core_command_next(core, instance->id, command)) != NULL) {
        /* Of another epoch: it would make it the owner of a time that is over, or has not come. */
        if (command->verb == NODE_RESUME && epoch_compare(command->epoch, handoff->owner) != 0)
            core_command_drop(core, command);
    }
    return core_command_ensure(core, handoff->id, instance, NODE_RESUME);
}

/* Of what is kept of its state: asked for outside of a handoff, taken in by one that has no round,
 * removed with the last instance of what is not wanted any more. */
static void fill_checkpoint(struct core *core, const struct core_command *command,
                            const struct core_handoff *handoff, struct message_command *message)
{
    const struct core_instance *instance = core_instance_find(core, command->instance, NULL);
    if (instance == NULL || instance->class_ != HANDOFF_STATEFUL)
        return;
    struct core_place place;
    const struct core_checkpoint *checkpoint = core_checkpoint_find(
        core, instance->namespace_, instance->app, instance->workload, instance->replica);
    if (command->verb == NODE_FORGET) {
        message->checkpoint = !core_place_find(core, instance->namespace_, instance->app,
                                               instance->workload, &place) ||
                              place.app->deleting || instance->replica >= place.workload->replicas;
    } else if (command->verb == NODE_SNAPSHOT && handoff == NULL && checkpoint != NULL) {
        message->round = 1;
        message->checkpoint = (int64_t)checkpoint->number;
    } else if (command->verb == NODE_RESTORE && handoff != NULL && handoff->round == 0 &&
               checkpoint != NULL) {
        message->round = 1;
        message->checkpoint = (int64_t)checkpoint->saved[0].number;
        message->object = checkpoint->saved[0].object;
    }
}

/* What an owner is given up with, and gets. The handoff says which round it is and whose state. */
static void fill_owned(struct core *core, const struct core_command *command,
                       struct message_command *message)
{
    const struct core_handoff *handoff = core_handoff_find(core, command->handoff);
    fill_checkpoint(core, command, handoff, message);
    if (handoff == NULL || !core_is_owned(handoff) || message->checkpoint != 0)
        return;
    const struct core_instance *from = core_handoff_instance(core, handoff, handoff->from);
    bool is_old = str_equal(command->instance, handoff->from);
    if (command->verb == NODE_SNAPSHOT || command->verb == NODE_RESTORE ||
        (command->verb == NODE_DRAIN && is_old))
        message->round = handoff->round;
    if (command->verb == NODE_RESTORE && from != NULL)
        message->object = from->object;
    if (command->verb == NODE_RESUME && handoff->handed[0] != 0)
        message->handed = arena_strdup(&core->lent, handoff->handed);
}

void core_command_drop(struct core *core, struct core_command *command)
{
    core->reroute |= command->verb == NODE_ROUTE;
    wake(core, command);
    command->id[0] = 0;
    core->holes.commands = true;
}

/* The handoff that it is of, or that its instance is of. */
static void wake(struct core *core, const struct core_command *command)
{
    const struct core_instance *instance = core_instance_find(core, command->instance, NULL);
    core_handoff_wake(core, command->handoff);
    if (instance != NULL && !str_equal(instance->handoff, command->handoff))
        core_handoff_wake(core, instance->handoff);
}

void core_commands_drop_handoff(struct core *core, const char *handoff)
{
    for (int i = 0; i < core->state.command_count; i++) {
        struct core_command *command = &core->state.commands[i];
        if (command->id[0] != 0 && str_equal(command->handoff, handoff))
            core_command_drop(core, command);
    }
}

void core_commands_drop_instance(struct core *core, const char *instance, const char *node)
{
    struct core_command *command = NULL;
    while ((command = core_command_next(core, instance, command)) != NULL) {
        if (str_equal(command->node, node))
            core_command_drop(core, command);
    }
}

void core_commands_drop_node(struct core *core, const char *node)
{
    for (int i = 0; i < core->state.command_count; i++) {
        struct core_command *command = &core->state.commands[i];
        if (command->id[0] != 0 && str_equal(command->node, node))
            core_command_drop(core, command);
    }
}

/* With a fresh epoch and the same id: what has been taken already is answered as before. */
void core_commands_renew(struct core *core, const char *node)
{
    for (int i = 0; i < core->state.command_count; i++) {
        struct core_command *command = &core->state.commands[i];
        if (command->id[0] != 0 && !command->answered &&
            (node == NULL || str_equal(command->node, node)))
            command_renew(core, command);
        else if (node == NULL && command->answered)
            command->sent = core->state.now; /* the clock may have gone far since: it is no age */
    }
}

static void command_renew(struct core *core, struct core_command *command)
{
    command->epoch = (struct epoch){core->state.epoch.term, core_next(core)};
    command_live(core, command);
    command_send(core, command);
}

/* A grant lives for a lease: before it is over, nobody else is made the owner in its stead, however
 * silent the node is. */
static void command_live(struct core *core, struct core_command *command)
{
    int64_t now_us = core->state.now.us;
    command->not_after.us = now_us + CORE_LIFETIME_US;
    struct epoch owner;
    if (!is_grant(core, command, &owner))
        return;
    command->epoch = owner;
    struct core_instance *instance = core_instance_find(core, command->instance, command->node);
    if (instance == NULL || instance->lease_us <= 0)
        return;
#ifdef BERTH_PLANT_LONG_GRANT
    return; /* the fault that tests/fault must find */
#endif
    command->not_after.us = now_us + instance->lease_us;
    instance->granted = command->not_after;
}

/* Its epoch is the one that is where resources look, and no other. */
static bool is_grant(const struct core *core, const struct core_command *command,
                     struct epoch *ret_owner)
{
    const struct core_handoff *handoff = core_handoff_find(core, command->handoff);
    if (command->verb != NODE_RESUME || handoff == NULL || handoff->owner.n == 0)
        return false;
    *ret_owner = handoff->owner;
    return true;
}

/* Then its effect is looked for once more. What ships state is not repeated: its state of a handoff
 * has a time of its own. */
int64_t core_command_keep_us(const struct core *core, const struct core_command *command)
{
    if (command->verb == NODE_PROBE)
        return CORE_PROBE_GAP_US;
    bool ships = command->verb == NODE_SNAPSHOT || command->verb == NODE_RESTORE;
    return ships && command->taken ? core_ship_keep_us(core, command) : CORE_RECHECK_US;
}

void core_commands_due(struct core *core, bool tick)
{
    struct core_state *state = &core->state;
    if (tick)
        core_pace_again(core);
    for (int i = 0; i < state->command_count; i++) {
        struct core_command *command = &state->commands[i];
        int64_t age_us = state->now.us - command->sent.us;
        if (command->id[0] == 0)
            continue;
        if (command->answered) {
            if (age_us < core_command_keep_us(core, command))
                continue;
            core_instance_changed(core, core_instance_find(core, command->instance, command->node));
            core_command_drop(core, command);
            continue;
        }
        if (age_us < CORE_RESEND_US)
            continue;
        if (state->now.us < command->not_after.us)
            command_send(core, command);
        else
            command_renew(core, command);
    }
}

void core_on_answer(struct core *core, const struct core_event *event)
{
    const struct message_answer *answer = &event->answer;
    struct core_state *state = &core->state;
    struct core_command *command = core_command_find(core, answer->id);
    struct core_node *node = core_node_find(core, answer->node);
    /* What an earlier boot has taken, this one has not. */
    if (node == NULL || (answer->boot_id[0] != 0 && !str_equal(answer->boot_id, node->boot_id)))
        return;
    if (answer->boot_id[0] != 0)
        core_node_heard(core, node, answer->boot_us);
    if (command == NULL || !str_equal(command->node, answer->node) || command->answered)
        return;
    command->answered = true;
    command->sent = state->now;
    /* A probe's answer says only that it has begun. */
    if (command->verb != NODE_PROBE)
        wake(core, command);
    if (command->handoff[0] == 0 && core->starved)
        core->tidy = true; /* the next one may be given */
    struct core_instance *instance = core_instance_find(core, command->instance, command->node);
    if (command->verb == NODE_FORGET && instance != NULL) {
        if (answer->code == 0 || answer->code == ERR_NOT_FOUND)
            core_instance_drop(core, instance);
        return;
    }
    if (command->verb == NODE_ROUTE && answer->code == 0) {
        core_route_taken(core, command);
        core_command_drop(core, command);
        return;
    }
    command->taken = answer->code == 0;
    if (answer->code == 0) {
        /* Stopped before it was ever there: the tombstone may go as well. */
        if (command->verb == NODE_STOP && instance != NULL && instance->state == INSTANCE_ABSENT) {
            instance->state = INSTANCE_STOPPED;
            instance->since = state->now;
            core_instance_changed(core, instance);
        }
        /* What it has said of rounds so far was of an earlier handoff's: unless it had taken the
         * command by then. Asked again by a later epoch, it answers with the one that it took. */
        if (command->verb == NODE_SNAPSHOT && instance != NULL &&
            epoch_compare(instance->epoch, answer->epoch) < 0)
            instance->round = 0;
        /* A probe's end comes by itself; when that is lost, probing again costs little. */
        if (command->verb == NODE_PROBE)
            command->sent.us += CORE_PROBE_COUNT * CORE_PROBE_WAIT_US;
        return;
    }
    if (answer->code == ERR_DENIED && epoch_compare(answer->epoch, state->epoch) > 0)
        state->epoch = answer->epoch;
    struct core_handoff *handoff = core_handoff_find(core, command->handoff);
    struct epoch owner;
    if (answer->code == ERR_DENIED && is_grant(core, command, &owner)) {
        core_owner_outdated(core, handoff);
        return;
    }
    /* Refused for being late or low: a fresh one follows after the time of a resend. */
    if (answer->code == ERR_DENIED || answer->code == ERR_STALE || command->verb == NODE_PROBE ||
        command->verb == NODE_STOP || command->verb == NODE_RESUME) {
        command->sent.us +=
            CORE_RESEND_US - (command->verb == NODE_PROBE ? CORE_PROBE_GAP_US : CORE_RECHECK_US);
        return;
    }
    if (handoff != NULL)
        core_handoff_refused(core, handoff, command, answer->text);
}
