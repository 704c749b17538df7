/*
 * owners: copies of which one at most may serve. Ready, such a copy is HELD; RESUME makes it the
 * owner by an epoch and hands it what the owner before gave; DRAIN freezes it. A stateful one
 * exports and imports its state in rounds. See node_core.h for the lease.
 *
 * What the record says: `owner` is the epoch by which it owns or is to own, and {0, 0} from the
 * moment at which it has said "frozen" (or has never been asked to own). `want` is SERVE for an
 * owner and one that is to be, HELD for all others. `own_by_us` ends a grant that is not used yet.
 */
#include "executors/node/core/node_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static void grant(struct node *node, struct node_instance *instance);
static void freeze(struct node *node, struct node_instance *instance, int64_t by, int round);
static void lapse(struct node *node, struct node_instance *instance);
static void disown(struct node_instance *instance);
static void become_held(struct node_instance *instance, const char *detail);
static void lease_from(struct node *node, struct node_instance *instance, int64_t sent_us);
static void lease_ends(struct node *node, struct node_instance *instance);
static void frozen(struct node *node, struct node_instance *instance, const char *handed);
static void owned(struct node *node, struct node_instance *instance);
static void failed(struct node *node, struct node_instance *instance, const char *why);
static void drop_file(struct node_instance *instance);
static void end_task(struct node_instance *instance);
static void fail_task(struct node_instance *instance, int code, const char *why);
static bool exports_more(struct node_instance *instance);
static bool is_none(struct epoch epoch);

bool owner_is(const struct node_instance *instance)
{
    return instance->record.spec.handoff != SPEC_OVERLAP;
}

void owner_reset(struct node_instance *instance)
{
    disown(instance);
    instance->record.granted = false;
    instance->record.asked = instance->record.round = 0;
    instance->record.object = (struct message_object){0};
    (void)!owner_set_handed(instance, NULL);
    instance->grant = GRANT_NONE;
    instance->may_own = instance->owning = instance->lease_over = false;
    instance->lease_until = instance->freeze_at = NODE_NEVER;
    instance->exporting = 0;
    end_task(instance);
    instance->task_code = 0;
    instance->saved_number = 0;
    instance->saved = (struct message_object){0};
}

void owner_kept_name(const struct message_spec *spec, int64_t number,
                     char out[NODE_KEPT_NAME_BYTES])
{
    str_format(out, NODE_KEPT_NAME_BYTES, "%s.%s.%s.%d.", spec->namespace_, spec->app,
               spec->workload, spec->replica);
    size_t bytes = strlen(out);
    if (number > 0)
        str_format(out + bytes, NODE_KEPT_NAME_BYTES - bytes, "%d",
                   (int)(number % NODE_KEPT_SLOTS));
}

int owner_set_handed(struct node_instance *instance, const char *handed)
{
    char *copy = NULL;
    if (handed != NULL && handed[0] != 0 && (copy = strdup(handed)) == NULL)
        return ERR_NO_MEMORY;
    free(instance->handed);
    instance->handed = copy;
    instance->record.handed = copy;
    instance->work |= WORK_PERSIST;
    return 0;
}

void owner_path(bool out, int round, char path[LIMIT_NAME_BYTES])
{
    str_format(path, LIMIT_NAME_BYTES, "state.%s.%d", out ? "out" : "in", round);
}

/* ---- commands -----------------------------------------------------------------------------------
 */

void owner_resume(struct node *node, struct node_instance *instance,
                  const struct message_command *command)
{
    struct node_record *record = &instance->record;
    int64_t by_us = command->boot_id[0] != 0 ? command->not_after_us : 0;
    bool longer = owner_awaited(instance) && epoch_compare(record->owner, command->epoch) == 0;
    if (!longer || by_us == 0 || by_us > record->own_by_us)
        record->own_by_us = by_us;
    record->want = NODE_WANT_SERVE;
    record->owner = command->epoch;
    record->asked = 0;
    instance->work |= WORK_PERSIST;
    instance->lease_over = false;
    instance->task_code = 0;
    instance->exporting = 0;
    end_task(instance);
    if (instance_is_ending(instance))
        return; /* it is made the owner when it is back */
    switch ((enum instance_state)record->state) {
    case INSTANCE_STARTING:
        if (instance->grant != GRANT_NONE) /* it is ready already */
            grant(node, instance);
        return;
    case INSTANCE_READY:
    case INSTANCE_UNREADY:
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        grant(node, instance);
        return;
    default:
        return; /* BACKOFF: it is made the owner when it is ready again */
    }
}

bool owner_serves(const struct node_instance *instance)
{
    return instance->may_own && instance->record.granted &&
           (instance->record.state == INSTANCE_READY || instance->record.state == INSTANCE_UNREADY);
}

bool owner_awaited(const struct node_instance *instance)
{
    return instance->record.own_by_us != 0 && !is_none(instance->record.owner);
}

void owner_drain(struct node *node, struct node_instance *instance, int round)
{
    struct node_record *record = &instance->record;
    bool resuming = record->want == NODE_WANT_SERVE;
    record->want = NODE_WANT_HELD;
    instance->work |= WORK_PERSIST;
    instance->task_code = 0;
    int64_t by = node_after(node->now, node_or_default(instance->drain_us, NODE_DRAIN_US));
    if (instance_is_ending(instance) && record->state != INSTANCE_BACKOFF) {
        instance_set_state(instance, INSTANCE_STOPPING); /* it is being killed: nothing is held */
        return;
    }
    switch ((enum instance_state)record->state) {
    case INSTANCE_READY:
    case INSTANCE_UNREADY:
        freeze(node, instance, by, round);
        return;
    case INSTANCE_DRAINING:
        if (instance->task == TASK_FREEZE)
            return; /* frozen: its last round is on its way */
        instance->lease_over = false;
        freeze(node, instance, by, round);
        return;
    case INSTANCE_HELD:
    case INSTANCE_STARTING:
        if (instance->may_own) {
            freeze(node, instance, by, round);
        } else if (instance->grant == GRANT_WAITS) {
            disown(instance);
            become_held(instance, "standby");
            instance->work |= WORK_REPORT;
        } else if (record->state == INSTANCE_HELD && resuming) {
            instance->work |= WORK_REPORT;
        }
        return; /* HELD already; or STARTING: held once it is ready */
    case INSTANCE_BACKOFF:
        instance->act_at = NODE_NEVER;
        instance_set_state(instance, instance->alive ? INSTANCE_STOPPING : INSTANCE_STOPPED);
        return;
    default:
        return;
    }
}

void owner_task(struct node *node, struct node_instance *instance,
                const struct message_command *command, struct error *verdict)
{
    int state = instance->record.state;
    bool snapshot = command->verb == NODE_SNAPSHOT;
    const char *verb = node_verb_words[command->verb];
    if (instance->record.spec.handoff != SPEC_STATEFUL)
        (void)error_set(verdict, ERR_UNSUPPORTED, 0, "%s: it is %s, not stateful", verb,
                        spec_class_words[instance->record.spec.handoff]);
    else if (command->round < 1)
        (void)error_set(verdict, ERR_INVALID, 0, "%s: round is %d, must be 1 or more", verb,
                        command->round);
    else if (!snapshot && command->object.digest[0] == 0)
        (void)error_set(verdict, ERR_INVALID, 0, "restore: object has no digest");
    else if (snapshot ? state != INSTANCE_READY && state != INSTANCE_UNREADY
                      : state != INSTANCE_HELD || instance->grant != GRANT_NONE)
        (void)error_set(verdict, ERR_STALE, 0, "%s: is %s, must be %s", verb,
                        instance_state_words[state], snapshot ? "ready" : "held");
    if (verdict->code != 0)
        return;
    end_task(instance);
    instance->task = snapshot ? TASK_SNAPSHOT : TASK_RESTORE;
    instance->task_round = command->round;
    instance->task_checkpoint = command->checkpoint;
    instance->task_code = 0;
    if (snapshot && command->checkpoint != 0) {
        instance->exporting++;
        instance_say(instance, SAY_SNAPSHOT);
        return;
    }
    if (snapshot) {
        instance->exporting++;
        /* What an earlier handoff exported is not what this one is about to. */
        instance->record.round = command->round - 1;
        instance->record.object = (struct message_object){0};
        instance->work |= WORK_PERSIST;
        instance_say(instance, SAY_SNAPSHOT);
        return;
    }
    instance->task_object = command->object;
    instance->ticket = ++node->ticket;
    instance->work |= WORK_GET;
}

bool owner_export_is_lost(const struct node_instance *instance,
                          const struct message_command *command)
{
    if (command->verb != NODE_SNAPSHOT || instance->record.last_code != 0)
        return false;
    if (command->checkpoint != 0)
        return instance->task_checkpoint != command->checkpoint &&
               instance->saved_number != command->checkpoint;
    return instance->task_round != command->round && instance->record.round != command->round;
}

bool owner_imports_again(const struct node_instance *instance,
                         const struct message_command *command)
{
    return command->verb == NODE_RESTORE && instance->record.last_code == 0 &&
           instance->task_round != command->round && instance->record.round != command->round;
}

/* ---- what happens -------------------------------------------------------------------------------
 */

void owner_came_up(struct node *node, struct node_instance *instance)
{
    struct node_record *record = &instance->record;
    if (record->want == NODE_WANT_SERVE && !is_none(record->owner)) {
        grant(node, instance);
        return;
    }
    record->want = NODE_WANT_HELD;
    disown(instance);
    become_held(instance, instance->lease_over ? "lease ended" : "standby");
    /* So that there is a lease by the time at which it is to own: its grant need not wait. */
    if (record->spec.lease_us > 0)
        instance->work |= WORK_BEAT;
}

void owner_said(struct node *node, struct node_instance *instance, enum workload_word word,
                int round, const char *text)
{
    if (!owner_is(instance) || !instance->alive || instance_is_ending(instance))
        return;
    switch (word) {
    case SAID_FROZEN:
        frozen(node, instance, text);
        return;
    case SAID_OWNED:
        owned(node, instance);
        return;
    case SAID_SNAPSHOTTED:
        if (exports_more(instance))
            return; /* the file is about to be written once more */
        if (instance->task != TASK_SNAPSHOT || round != instance->task_round ||
            instance->ticket != 0)
            return;
        instance->ticket = ++node->ticket;
        instance->work |= WORK_SHIP;
        return;
    case SAID_RESTORED:
        if (instance->task != TASK_RESTORE || round != instance->task_round ||
            instance->ticket != 0)
            return;
        instance->record.round = round;
        instance->work |= WORK_PERSIST | WORK_REPORT;
        drop_file(instance);
        end_task(instance);
        return;
    case SAID_FAILED:
        if (instance->task == TASK_SNAPSHOT && exports_more(instance))
            return;
        failed(node, instance, text);
        return;
    case SAID_READY:
    case SAID_DRAINED:
    case SAID_RESUMED:
    case SAID_STOPPING:
        return; /* instances.c */
    }
}

void owner_shipped(struct node *node, struct node_instance *instance, uint64_t ticket, int code,
                   const char *text, const struct message_object *object)
{
    (void)node;
    if (ticket == 0 || instance->ticket != ticket)
        return;
    instance->ticket = 0;
    bool last = instance->task == TASK_FREEZE;
    if (code != 0) {
        fail_task(instance, code, text);
    } else {
        drop_file(instance);
        if (instance->task_checkpoint != 0) {
            instance->saved_number = instance->task_checkpoint;
            instance->saved = *object;
        } else {
            instance->record.round = instance->task_round;
            instance->record.object = *object;
        }
        instance->work |= WORK_PERSIST | WORK_REPORT;
        end_task(instance);
    }
    if (last && instance->record.state == INSTANCE_DRAINING)
        become_held(instance, code == 0 ? "" : NULL);
}

void owner_got(struct node *node, struct node_instance *instance, uint64_t ticket, int code,
               const char *text)
{
    (void)node;
    if (ticket == 0 || instance->ticket != ticket)
        return;
    instance->ticket = 0;
    if (code != 0)
        fail_task(instance, code, text);
    else
        instance_say(instance, SAY_RESTORE);
}

void owner_renewed(struct node *node, struct node_instance *instance)
{
    if (!owner_is(instance) || instance->record.spec.lease_us <= 0)
        return;
    if (instance->grant == GRANT_WAITS && instance->alive && !instance_is_ending(instance))
        grant(node, instance);
    else if (!is_none(instance->record.owner) && instance->lease_until != NODE_NEVER)
        lease_from(node, instance, node->renewed_us);
}

void owner_tick(struct node *node, struct node_instance *instance)
{
    if (owner_awaited(instance) && instance->record.own_by_us <= node->now)
        lapse(node, instance);
    if (instance->freeze_at > node->now)
        return;
    instance->freeze_at = NODE_NEVER;
    lease_ends(node, instance);
}

/* Its shim keeps the lease's end; this agent has no lease until a beat of its own is answered. */
void owner_adopted(struct node *node, struct node_instance *instance, int64_t lease_us)
{
    struct node_record *record = &instance->record;
    instance->may_own = !is_none(record->owner);
    if (!is_none(record->owner) && record->spec.lease_us > 0) {
        instance->lease_until = lease_us;
        instance->freeze_at = lease_us - record->spec.lease_us / 4;
    }
    if (record->state != INSTANCE_DRAINING && record->state != INSTANCE_HELD)
        return;
    if (record->want == NODE_WANT_SERVE && !is_none(record->owner)) {
        grant(node, instance);
    } else if (record->state == INSTANCE_DRAINING) {
        /* What it said meanwhile follows, and if it had frozen it says so again. */
        int64_t us = node_or_default(record->spec.drain_timeout_us, NODE_DRAIN_US);
        freeze(node, instance, node_after(node->now, us), record->asked);
    }
}

/* It ended while no agent was there. By a lease that has ended since, somebody else may own. */
void owner_missed(struct node *node, struct node_instance *instance, int64_t lease_us)
{
    struct node_record *record = &instance->record;
    if (is_none(record->owner) || record->spec.lease_us <= 0)
        return;
    if (lease_us > node->now) {
        instance->lease_until = lease_us;
        instance->freeze_at = lease_us - record->spec.lease_us / 4;
        return;
    }
    instance->lease_over = true;
    disown(instance);
}

bool owner_ended(struct node_instance *instance)
{
    struct node_record *record = &instance->record;
    if (!owner_is(instance))
        return false;
    bool lost = record->spec.handoff == SPEC_STATEFUL && record->round > 0 && !record->granted &&
                record->want == NODE_WANT_SERVE && !is_none(record->owner);
    instance->grant = GRANT_NONE;
    instance->may_own = instance->owning = false;
    instance->exporting = 0;
    end_task(instance);
    if (!lost && !record->granted && record->round != 0) {
        record->round = 0; /* what it had imported ended with it */
        record->object = (struct message_object){0};
        instance->work |= WORK_PERSIST;
    }
    return lost;
}

/* ---- helpers ------------------------------------------------------------------------------------
 */

/* It lives and is ready: makes it the owner by the record's epoch, with a lease or as soon as there
 * is one. The lease counts from the last answered beat, not from now: the scheduler may not have
 * heard of this node since. One that is half over would soon have to be frozen again. */
static void grant(struct node *node, struct node_instance *instance)
{
    const struct message_spec *spec = &instance->record.spec;
    int64_t fresh_us = spec->lease_us / 2;
    if (owner_awaited(instance) && instance->record.own_by_us <= node->now) {
        lapse(node, instance);
        return;
    }
    if (spec->lease_us > 0 &&
        (node->renewed_us == 0 || node->now >= node_after(node->renewed_us, fresh_us))) {
        instance->grant = GRANT_WAITS;
        instance->state_by = NODE_NEVER;
        instance->work |= WORK_BEAT;
        return;
    }
    if (spec->lease_us > 0) {
        lease_from(node, instance, node->renewed_us);
        instance->work |= WORK_LEASE; /* its shim may be a new one, that knows of none */
    }
    if (owner_awaited(instance)) {
        instance->record.own_by_us = 0;
        instance->work |= WORK_PERSIST;
    }
    instance->grant = GRANT_SAID;
    instance->may_own = instance->owning = true;
    instance->state_by =
        node_after(node->now, node_or_default(spec->start_timeout_us, NODE_START_US));
    instance_say(instance, SAY_OWN);
}

/* Nobody has heard that it owns, so somebody else may by now. One that owned by an earlier epoch
 * before it was told again gives that up. */
static void lapse(struct node *node, struct node_instance *instance)
{
    struct node_record *record = &instance->record;
    bool waits = instance->grant == GRANT_WAITS;
    instance->grant = GRANT_NONE;
    command_forget(node, instance);
    disown(instance);
    if (!instance->alive || instance_is_ending(instance))
        return; /* a standby, should it come back */
    if (instance->may_own) {
        record->want = NODE_WANT_HELD;
        int64_t us = node_or_default(record->spec.drain_timeout_us, NODE_DRAIN_US);
        freeze(node, instance, node_after(node->now, us), 0);
    } else if (waits || record->state == INSTANCE_HELD) {
        record->want = NODE_WANT_HELD;
        become_held(instance, "its grant was not used in time");
        instance->work |= WORK_REPORT;
    }
}

static void disown(struct node_instance *instance)
{
    instance->record.owner = (struct epoch){0};
    instance->record.own_by_us = 0;
    instance->work |= WORK_PERSIST;
}

static void freeze(struct node *node, struct node_instance *instance, int64_t by, int round)
{
    (void)node;
    if (instance->record.spec.handoff != SPEC_STATEFUL)
        round = 0;
    instance->exporting = 0; /* what is asked now replaces what it was doing */
    end_task(instance);
    instance->grant = GRANT_NONE;
    instance->record.asked = round;
    instance->act_at = instance->live_at = NODE_NEVER;
    instance->state_by = by;
    instance->work |= WORK_PERSIST;
    instance_set_detail(instance, instance->lease_over ? "lease ended" : "");
    instance_set_state(instance, INSTANCE_DRAINING);
    instance_say(instance, SAY_FREEZE);
}

/* detail NULL: it stays. */
static void become_held(struct node_instance *instance, const char *detail)
{
    instance->grant = GRANT_NONE;
    instance->state_by = instance->act_at = instance->live_at = NODE_NEVER;
    instance->freeze_at = instance->lease_until = NODE_NEVER;
    instance->record.asked = 0;
    instance->work |= WORK_PERSIST;
    if (detail != NULL)
        instance_set_detail(instance, detail);
    instance_set_state(instance, INSTANCE_HELD);
}

static void lease_from(struct node *node, struct node_instance *instance, int64_t sent_us)
{
    (void)node;
    int64_t lease_us = instance->record.spec.lease_us;
    int64_t until = node_after(sent_us, lease_us);
    if (instance->lease_until != NODE_NEVER && instance->lease_until >= until)
        return;
    instance->lease_until = until;
    if (!instance->lease_over)
        instance->freeze_at = until - lease_us / 4;
    if (instance->alive && !instance_is_ending(instance) && !instance->spawning)
        instance->work |= WORK_LEASE;
}

/* Three quarters of it have passed since the scheduler was heard. */
static void lease_ends(struct node *node, struct node_instance *instance)
{
    struct node_record *record = &instance->record;
    int state = record->state;
    bool waits = (state == INSTANCE_STARTING || state == INSTANCE_HELD);
    if (is_none(record->owner))
        return;
    if (state == INSTANCE_BACKOFF || instance_is_ending(instance) ||
        (waits && !instance->may_own)) {
        /* Nothing of it owns; started, it is no owner any more. */
        instance->lease_over = true;
        instance->lease_until = NODE_NEVER;
        disown(instance);
        if (waits && instance->grant == GRANT_WAITS) {
            record->want = NODE_WANT_HELD;
            become_held(instance, "lease ended");
            instance->work |= WORK_REPORT;
        }
    } else if (waits || state == INSTANCE_READY || state == INSTANCE_UNREADY) {
        record->want = NODE_WANT_HELD;
        instance->lease_over = true;
        freeze(node, instance, instance->lease_until, 0);
    } /* else it is being frozen or stopped, and the shim waits no longer than the lease */
}

static void frozen(struct node *node, struct node_instance *instance, const char *handed)
{
    struct node_record *record = &instance->record;
    bool asked = record->state == INSTANCE_DRAINING && record->want == NODE_WANT_HELD;
    /* One that gives up by itself what it owns is believed. */
    bool by_itself = (record->state == INSTANCE_READY || record->state == INSTANCE_UNREADY) &&
                     instance->grant == GRANT_NONE;
    if ((!asked && !by_itself) || instance->owning || instance->task == TASK_FREEZE)
        return;
    if (owner_set_handed(instance, handed) < 0) {
        instance_set_detail(instance, "no memory for what it hands over");
        instance->work |= WORK_REPORT;
        return; /* it is asked again, or started again */
    }
    end_task(instance);
    instance->may_own = false;
    record->want = NODE_WANT_HELD;
    disown(instance);
    instance->freeze_at = instance->lease_until = NODE_NEVER;
    if (!asked || record->asked == 0) {
        /* Without a record of it the next agent has it freeze again: it stays frozen, and its shim
         * knows what it handed over. */
        if (asked)
            instance->work |= WORK_TELL;
        become_held(instance, instance->lease_over ? "lease ended" : by_itself ? "gave up" : "");
        return;
    }
    instance->state_by = NODE_NEVER;
    instance->work |= WORK_PERSIST | WORK_SHIP;
    instance->task = TASK_FREEZE;
    instance->task_round = record->asked;
    instance->ticket = ++node->ticket;
}

static void owned(struct node *node, struct node_instance *instance)
{
    struct node_record *record = &instance->record;
    instance->owning = false;
    if (instance->grant != GRANT_SAID || record->want != NODE_WANT_SERVE)
        return;
    instance->grant = GRANT_NONE;
    record->granted = true;
    instance->work |= WORK_PERSIST | WORK_REPORT; /* also when it was ready by an earlier epoch */
    instance_become_ready(node, instance);
}

static void failed(struct node *node, struct node_instance *instance, const char *why)
{
    char text[LIMIT_TEXT_BYTES];
    struct node_record *record = &instance->record;
    bool owning = instance->owning;
    instance->owning = false;
    if (why == NULL)
        why = "";
    if (instance->grant == GRANT_SAID) {
        str_format(text, sizeof(text), "could not own: %.200s", why);
        instance->grant = GRANT_NONE;
        instance_set_detail(instance, text);
        instance_begin_clear(instance);
    } else if (instance->task == TASK_SNAPSHOT || instance->task == TASK_RESTORE) {
        if (instance->ticket == 0)
            fail_task(instance, ERR_IO, why);
    } else if (record->state == INSTANCE_DRAINING && record->want == NODE_WANT_HELD &&
               instance->task == TASK_NONE && !instance->lease_over && !owning &&
               !is_none(record->owner)) {
        /* It has not frozen, so it owns. */
        record->want = NODE_WANT_SERVE;
        record->asked = 0;
        instance_become_ready(node, instance);
        str_format(text, sizeof(text), "could not freeze: %.200s", why);
        instance_set_detail(instance, text);
        instance->task_code = ERR_IO;
    }
}

static void drop_file(struct node_instance *instance)
{
    owner_path(instance->task != TASK_RESTORE, instance->task_round, instance->drop);
    instance->work |= WORK_DROP;
}

/* A result that is still out counts no more. */
static void end_task(struct node_instance *instance)
{
    instance->task = TASK_NONE;
    instance->task_round = 0;
    instance->task_checkpoint = 0;
    instance->ticket = 0;
    instance->task_object = (struct message_object){0};
}

/* A SNAPSHOT of an earlier handoff came late, just before this one's: an answer to it is none to
 * this one, though the rounds may bear one number. */
static bool exports_more(struct node_instance *instance)
{
    if (instance->exporting > 0)
        instance->exporting--;
    return instance->exporting > 0;
}

static void fail_task(struct node_instance *instance, int code, const char *why)
{
    static const char *const words[] = {
        [TASK_NONE] = "task",
        [TASK_SNAPSHOT] = "snapshot",
        [TASK_RESTORE] = "restore",
        [TASK_FREEZE] = "the last snapshot,",
    };
    char text[LIMIT_TEXT_BYTES];
    str_format(text, sizeof(text), "%s round %d failed: %.190s", words[instance->task],
               instance->task_round, why);
    drop_file(instance);
    end_task(instance);
    instance->task_code = code;
    instance_set_detail(instance, text);
    instance->work |= WORK_REPORT;
}

static bool is_none(struct epoch epoch)
{
    return epoch.term == 0 && epoch.n == 0;
}
