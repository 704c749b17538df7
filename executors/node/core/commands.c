/*
 * commands: what a command may do. Order of the checks: a repeat gets its first answer; then the
 * epoch; then not_after; then whether the instance's state allows it.
 */
#include "executors/node/core/node_state.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

static const struct node_memory *remembered(struct node *node,
                                            const struct message_command *command);
static void remember(struct node *node, const struct message_command *command,
                     const struct message_answer *answer);
static bool is_well_formed(const struct message_command *command, struct error *verdict);
static bool is_current(struct node *node, const struct node_instance *instance,
                       const struct message_command *command, struct error *verdict);
static void carry_out(struct node *node, struct node_instance *instance,
                      const struct message_command *command, struct error *verdict);
static void take_start(struct node *node, struct node_instance **instance,
                       const struct message_command *command, struct error *verdict);
static void take_unknown(struct node *node, const struct message_command *command,
                         struct error *verdict);
static void take_probe(struct node *node, const struct message_command *command,
                       struct error *verdict);
static void take_forget(struct node *node, struct node_instance *instance,
                        const struct message_command *command);
static bool spec_equal(const struct message_spec *a, const struct message_spec *b);
static bool is_token(const char *text);

void command_take(struct node *node, const struct message_command *command)
{
    if (command->verb == NODE_ROUTE) {
        route_take(node, command);
        return;
    }
    struct node_instance *instance = node_find(node, command->instance);
    if (instance != NULL && instance->unsure) {
        /* Its process has not been heard of since the restart, and now it matters. */
        instance_adopted(node, instance, false, -1, false, false, 0);
        instance_flush(node, instance, NULL);
    }
    struct message_answer answer;
    /* A grant that is not used yet may be made to live longer by its repetition. */
    bool anew = command->verb == NODE_PROBE ||
                (command->verb == NODE_RESUME && instance != NULL && owner_awaited(instance));
    const struct node_memory *memory = remembered(node, command);
    if (memory != NULL && !anew) {
        struct error again = {.code = memory->code};
        memcpy(again.text, memory->text, sizeof(memory->text));
        command_answer(node, instance, command, &again, &answer);
        node_emit(node, NODE_FX_ANSWER, command->instance)->answer = answer;
        return;
    }
    if (instance != NULL && command->id[0] != 0 && !anew &&
        str_equal(instance->record.last_command, command->id) &&
        !owner_imports_again(instance, command)) {
        struct error again = {.code = instance->record.last_code};
        if (owner_export_is_lost(instance, command))
            (void)error_set(&again, ERR_IO, 0, "round %d of its state was lost with its agent",
                            command->round);
        command_answer(node, instance, command, &again, &answer);
        node_emit(node, NODE_FX_ANSWER, command->instance)->answer = answer;
        return;
    }
    struct error verdict = {0};
    if (is_well_formed(command, &verdict) && is_current(node, instance, command, &verdict)) {
        if (epoch_compare(command->epoch, node->epoch) > 0)
            node->epoch = command->epoch;
        if (command->verb == NODE_PROBE) {
            take_probe(node, command, &verdict);
            return;
        }
        if (command->verb == NODE_STAGE || command->verb == NODE_START) {
            take_start(node, &instance, command, &verdict);
        } else if (instance == NULL) {
            take_unknown(node, command, &verdict);
            return;
        } else if (command->verb == NODE_FORGET && instance_is_over(instance)) {
            take_forget(node, instance, command);
            return;
        } else {
            carry_out(node, instance, command, &verdict);
        }
        if (instance != NULL) {
            /* Also a refusal by state has used up the epoch and the id. */
            if (epoch_compare(command->epoch, instance->record.epoch) > 0)
                instance->record.epoch = command->epoch;
            memcpy(instance->record.last_command, command->id, sizeof(command->id));
            instance->record.last_code = verdict.code;
            instance->work |= WORK_PERSIST;
            command_answer(node, instance, command, &verdict, &answer);
            remember(node, command, &answer);
            instance_flush(node, instance, &answer);
            return;
        }
    }
    /* Not remembered: it may be sent again by the same name, with a fresh epoch and time. */
    command_answer(node, instance, command, &verdict, &answer);
    node_emit(node, NODE_FX_ANSWER, command->instance)->answer = answer;
}

static const struct node_memory *remembered(struct node *node,
                                            const struct message_command *command)
{
    uint64_t kept = node->answer_count < NODE_ANSWERS ? node->answer_count : NODE_ANSWERS;
    for (uint64_t i = 0; i < kept && command->id[0] != 0; i++)
        if (str_equal(node->answers[i].id, command->id) &&
            str_equal(node->answers[i].instance, command->instance))
            return &node->answers[i];
    return NULL;
}

static void remember(struct node *node, const struct message_command *command,
                     const struct message_answer *answer)
{
    struct node_memory *memory = &node->answers[node->answer_count++ % NODE_ANSWERS];
    memcpy(memory->id, command->id, sizeof(memory->id));
    memcpy(memory->instance, command->instance, sizeof(memory->instance));
    memory->code = answer->code;
    memory->epoch = answer->epoch;
    memcpy(memory->text, answer->text, sizeof(memory->text));
}

void command_forget(struct node *node, struct node_instance *instance)
{
    for (int i = 0; i < NODE_ANSWERS; i++)
        if (str_equal(node->answers[i].instance, instance->record.instance))
            node->answers[i].id[0] = 0;
    instance->record.last_command[0] = 0;
    instance->work |= WORK_PERSIST;
}

static bool is_well_formed(const struct message_command *command, struct error *verdict)
{
    if (!is_token(command->instance) || command->id[0] == 0) {
        (void)error_set(verdict, ERR_INVALID, 0,
                        "instance '%.39s', id '%.39s': must be [A-Za-z0-9_-]+", command->instance,
                        command->id);
        return false;
    }
    if (command->verb != NODE_STAGE && command->verb != NODE_START)
        return true;
    const struct message_spec *spec = &command->spec;
    if (!name_is_valid(spec->namespace_) || !name_is_valid(spec->app) ||
        !name_is_valid(spec->workload)) {
        (void)error_set(verdict, ERR_INVALID, 0,
                        "spec of '%.60s/%.60s/%.60s': each must be a name [a-z0-9-]",
                        spec->namespace_, spec->app, spec->workload);
        return false;
    }
    if (spec->handoff != SPEC_OVERLAP && !spec->contract) {
        (void)error_set(verdict, ERR_INVALID, 0,
                        "handoff is %s and contract is false: an owner is told so by the contract",
                        spec_class_words[spec->handoff]);
        return false;
    }
    if (spec->arg_count > LIMIT_ARGS || spec->env_count > LIMIT_ENV) {
        (void)error_set(verdict, ERR_LIMIT, 0,
                        "spec has %d arguments and %d variables: at most %d and %d",
                        spec->arg_count, spec->env_count, LIMIT_ARGS, LIMIT_ENV);
        return false;
    }
    return true;
}

static bool is_current(struct node *node, const struct node_instance *instance,
                       const struct message_command *command, struct error *verdict)
{
#ifndef BERTH_PLANT_SKIP_EPOCH_CHECK
    if (instance != NULL && epoch_compare(command->epoch, instance->record.epoch) < 0) {
        (void)error_set(verdict, ERR_DENIED, 0,
                        "epoch %" PRIu64 ".%" PRIu64 " is below %" PRIu64 ".%" PRIu64
                        ", which the instance has taken",
                        command->epoch.term, command->epoch.n, instance->record.epoch.term,
                        instance->record.epoch.n);
        return false;
    }
#else
    (void)instance;
#endif
    return command_is_current(node, command, verdict);
}

bool command_is_current(struct node *node, const struct message_command *command,
                        struct error *verdict)
{
#ifndef BERTH_PLANT_SKIP_EPOCH_CHECK
    if (command->epoch.term < node->epoch.term) {
        (void)error_set(verdict, ERR_DENIED, 0,
                        "term %" PRIu64 " is below %" PRIu64 ", which this node has taken: a newer "
                        "scheduler leads",
                        command->epoch.term, node->epoch.term);
        return false;
    }
#endif
    if (command->boot_id[0] == 0)
        return true;
    if (!str_equal(command->boot_id, node->boot_id)) {
        (void)error_set(verdict, ERR_STALE, 0,
                        "made for boot %.39s of this machine, which is now in boot %.39s",
                        command->boot_id, node->boot_id);
        return false;
    }
    if (command->not_after_us != 0 && node->now > command->not_after_us) {
        (void)error_set(verdict, ERR_STALE, 0, "%" PRId64 " ms past its not_after: send it again",
                        (node->now - command->not_after_us) / US_PER_MS);
        return false;
    }
    return true;
}

static void carry_out(struct node *node, struct node_instance *instance,
                      const struct message_command *command, struct error *verdict)
{
    int state = instance->record.state;
    const char *word = instance_state_words[state];
    switch ((enum node_verb)command->verb) {
    case NODE_DRAIN:
        if (state < INSTANCE_STARTING || state > INSTANCE_HELD) {
            (void)error_set(verdict, ERR_STALE, 0, "is %s: there is nothing to drain", word);
            return;
        }
        instance->drain_us =
            command->timeout_us > 0 ? command->timeout_us : instance->record.spec.drain_timeout_us;
        if (owner_is(instance))
            owner_drain(node, instance, command->round);
        else
            instance_drain(node, instance);
        return;
    case NODE_RESUME:
        /* An instance that ended while it was held can still be brought back by a new start; but no
         * owner: once it is known to have ended, another one may be granted. */
        if ((state < INSTANCE_STARTING || state > INSTANCE_HELD) &&
            !(state == INSTANCE_STOPPED && instance->record.want == NODE_WANT_HELD &&
              !owner_is(instance))) {
            (void)error_set(verdict, ERR_STALE, 0, "is %s: it cannot resume, START a new instance",
                            word);
            return;
        }
        if (!owner_is(instance))
            instance_resume(node, instance);
        else if (!owner_serves(instance) && owner_set_handed(instance, command->handed) < 0)
            (void)error_set(verdict, ERR_NO_MEMORY, 0, "no memory for what is handed over");
        else
            owner_resume(node, instance, command);
        return;
    case NODE_STOP:
        instance_stop(node, instance);
        return;
    case NODE_FORGET:
        (void)error_set(verdict, ERR_STALE, 0, "is %s: STOP it first", word);
        return;
    case NODE_STAGE:
    case NODE_START:
    case NODE_PROBE:
    case NODE_ROUTE:
        return; /* taken elsewhere */
    case NODE_SNAPSHOT:
    case NODE_RESTORE:
        owner_task(node, instance, command, verdict);
        return;
    }
}

static void take_start(struct node *node, struct node_instance **instance,
                       const struct message_command *command, struct error *verdict)
{
    struct node_instance *known = *instance;
    if (known == NULL) {
        known = node_place(node, command->instance);
        if (known == NULL) {
            (void)error_set(verdict, ERR_LIMIT, 0,
                            "LIMIT_NODE_INSTANCES: %d instances are on this node",
                            LIMIT_NODE_INSTANCES);
            return;
        }
        *instance = known;
    } else if (!instance_is_over(known)) {
        int state = known->record.state;
        if (!spec_equal(&known->record.spec, &command->spec))
            (void)error_set(verdict, ERR_EXISTS, 0, "runs with another spec: use a new instance");
        else if (command->verb == NODE_START &&
                 (state == INSTANCE_STAGING || state == INSTANCE_STAGED))
            instance_start(node, known);
        else if (command->verb == NODE_START && state >= INSTANCE_DRAINING &&
                 !(state == INSTANCE_HELD && owner_is(known)))
            (void)error_set(verdict, ERR_STALE, 0, "is %s: RESUME it, or START a new instance",
                            instance_state_words[state]);
        return;
#ifndef BERTH_PLANT_SKIP_EPOCH_CHECK
    } else if (epoch_compare(command->epoch, known->record.epoch) <= 0) {
        /* What has ended begins again only by a later decision, never by a late message. */
        (void)error_set(verdict, ERR_DENIED, 0,
                        "is %s since epoch %" PRIu64 ".%" PRIu64 ": this is not later",
                        instance_state_words[known->record.state], known->record.epoch.term,
                        known->record.epoch.n);
        return;
#endif
    }
    if (instance_set_spec(known, &command->spec) < 0) {
        (void)error_set(verdict, ERR_NO_MEMORY, 0, "no memory for the spec");
        if (known->record.last_command[0] == 0 && known->record.state == INSTANCE_ABSENT) {
            node_drop(node, known);
            *instance = NULL;
        }
        return;
    }
    if (command->verb == NODE_START)
        instance_start(node, known);
    else
        instance_stage(node, known);
}

static void take_unknown(struct node *node, const struct message_command *command,
                         struct error *verdict)
{
    struct message_answer answer;
    struct node_instance *instance = NULL;
    if (command->verb == NODE_STOP) {
        /* A tombstone: a START of it that comes late must find its epoch. */
        instance = node_place(node, command->instance);
        if (instance != NULL) {
            instance->record.epoch = command->epoch;
            memcpy(instance->record.last_command, command->id, sizeof(command->id));
            instance_stop(node, instance);
        }
    } else if (command->verb != NODE_FORGET) {
        (void)error_set(verdict, ERR_NOT_FOUND, 0, "no instance '%s' on this node",
                        command->instance);
    }
    command_answer(node, instance, command, verdict, &answer);
    remember(node, command, &answer);
    if (instance != NULL)
        instance_flush(node, instance, &answer);
    else
        node_emit(node, NODE_FX_ANSWER, command->instance)->answer = answer;
}

static void take_probe(struct node *node, const struct message_command *command,
                       struct error *verdict)
{
    int place = -1;
    bool under_way = false;
    for (int i = 0; i < NODE_PROBES; i++) {
        if (str_equal(node->probes[i], command->id))
            under_way = true;
        else if (place < 0 && node->probes[i][0] == 0)
            place = i;
    }
    if (!under_way && place < 0)
        (void)error_set(verdict, ERR_LIMIT, 0, "%d probes are under way on this node", NODE_PROBES);
    else if (command->subject[0] == 0 && command->route.probe[0] != '/')
        (void)error_set(verdict, ERR_INVALID, 0,
                        "subject is empty, and route.probe '%.60s' is no path: a probe needs one "
                        "of them",
                        command->route.probe);
    struct message_answer answer;
    command_answer(node, NULL, command, verdict, &answer);
    node_emit(node, NODE_FX_ANSWER, command->instance)->answer = answer;
    if (under_way || verdict->code != 0)
        return;
    memcpy(node->probes[place], command->id, sizeof(node->probes[place]));
    struct node_effect *effect = node_emit(node, NODE_FX_PROBE, command->instance);
    memcpy(effect->probe.id, command->id, sizeof(effect->probe.id));
    memcpy(effect->probe.subject, command->subject, sizeof(effect->probe.subject));
    effect->probe.route = command->route;
    effect->probe.route.servers = NULL;
    effect->probe.route.server_count = 0;
    effect->probe.count = command->probe_count > 0 ? command->probe_count : 1;
    effect->probe.timeout_us = command->timeout_us > 0 ? command->timeout_us : 2 * US_PER_S;
}

/* The folder and the record go; a tombstone stays, so that a late START stays refused. */
static void take_forget(struct node *node, struct node_instance *instance,
                        const struct message_command *command)
{
    struct message_answer answer;
    struct error verdict = {0};
    struct epoch epoch = command->epoch;
    if (epoch_compare(instance->record.epoch, epoch) > 0)
        epoch = instance->record.epoch;
    struct message_spec spec = instance->record.spec; /* its arrays are not looked at */
    bool kept = command->checkpoint != 0 && owner_is(instance) && spec.workload[0] != 0;
    arena_done(&instance->arena);
    (void)!owner_set_handed(instance, NULL);
    instance_init(instance, command->instance);
    instance->record.epoch = epoch;
    instance->record.want = NODE_WANT_GONE;
    memcpy(instance->record.last_command, command->id, sizeof(command->id));
    instance->work |= WORK_PERSIST;
    command_answer(node, instance, command, &verdict, &answer);
    remember(node, command, &answer);
    instance_flush(node, instance, &answer);
    /* The tombstone has taken the record's place: an agent that dies here still refuses what is
     * late. */
    struct node_effect *erase = node_emit(node, NODE_FX_ERASE, command->instance);
    erase->folder_only = true;
    if (kept)
        owner_kept_name(&spec, 0, erase->file.kept);
}

/* Structs from the codec are zero where they say nothing, so bytes compare as values do, but for
 * what stands behind a string's end: strings are compared as strings. */
static bool spec_equal(const struct message_spec *a, const struct message_spec *b)
{
    if (!str_equal(a->namespace_, b->namespace_) || !str_equal(a->app, b->app) ||
        !str_equal(a->workload, b->workload) || a->replica != b->replica ||
        !str_equal(a->driver, b->driver) || !str_equal(a->artifact, b->artifact) ||
        !str_equal(a->digest, b->digest) || a->arg_count != b->arg_count ||
        a->env_count != b->env_count || a->mcpu != b->mcpu || a->memory_bytes != b->memory_bytes ||
        a->pids_max != b->pids_max || a->contract != b->contract || a->handoff != b->handoff ||
        a->http != b->http || a->ready.kind != b->ready.kind ||
        !str_equal(a->ready.target, b->ready.target))
        return false;
    for (int i = 0; i < a->arg_count; i++)
        if (!str_equal(a->args[i].value, b->args[i].value))
            return false;
    for (int i = 0; i < a->env_count; i++)
        if (!str_equal(a->env[i].name, b->env[i].name) ||
            !str_equal(a->env[i].value, b->env[i].value))
            return false;
    return true;
}

/* Instances name files, cgroups and subject tokens. */
static bool is_token(const char *text)
{
    for (const char *at = text; *at != 0; at++)
        if (!((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
              (*at >= '0' && *at <= '9') || *at == '-' || *at == '_'))
            return false;
    return text[0] != 0;
}

void command_answer(const struct node *node, const struct node_instance *instance,
                    const struct message_command *command, const struct error *verdict,
                    struct message_answer *ret_answer)
{
    memset(ret_answer, 0, sizeof(*ret_answer));
    memcpy(ret_answer->id, command->id, sizeof(ret_answer->id));
    memcpy(ret_answer->node, node->name, sizeof(ret_answer->node));
    memcpy(ret_answer->boot_id, node->boot_id, sizeof(ret_answer->boot_id));
    ret_answer->boot_us = node->now;
    ret_answer->code = verdict->code;
    str_format(ret_answer->text, sizeof(ret_answer->text), "%.255s", verdict->text);
    if (instance != NULL)
        ret_answer->epoch = instance->record.epoch;
}
