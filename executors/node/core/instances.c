/*
 * instances: how one instance lives. Each function takes one thing that happened and leaves the
 * record, the deadlines and `work` as they must be; instance_flush at the end emits it.
 */
#include "executors/node/core/node_state.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

static void begin_judging(struct node *node, struct node_instance *instance);
static void begin_stopping(struct node *node, struct node_instance *instance);
static void emit_report(struct node *node, struct node_instance *instance);
static void emit_words(struct node *node, struct node_instance *instance, unsigned *work);
static void emit_say(struct node *node, struct node_instance *instance);
static void lose_state(struct node_instance *instance);
static void fail(struct node_instance *instance, int code, const char *text);
static void count_end(struct node *node, struct node_instance *instance);
static bool is_lasting(int code);

void instance_init(struct node_instance *instance, const char *id)
{
    *instance = (struct node_instance){.used = true,
                                       .state_by = NODE_NEVER,
                                       .act_at = NODE_NEVER,
                                       .clear_at = NODE_NEVER,
                                       .live_at = NODE_NEVER,
                                       .lease_until = NODE_NEVER,
                                       .freeze_at = NODE_NEVER,
                                       .window_from = NODE_NEVER};
    arena_init(&instance->arena, NODE_ARENA_BYTES);
    str_format(instance->record.instance, sizeof(instance->record.instance), "%s", id);
}

int instance_set_spec(struct node_instance *instance, const struct message_spec *spec)
{
    struct arena fresh;
    arena_init(&fresh, NODE_ARENA_BYTES);
    struct message_spec copy = *spec;
    if (copy.arg_count > 0)
        copy.args =
            arena_copy(&fresh, spec->args, (size_t)spec->arg_count * sizeof(struct message_string));
    if (copy.env_count > 0)
        copy.env =
            arena_copy(&fresh, spec->env, (size_t)spec->env_count * sizeof(struct message_env));
    if ((copy.arg_count > 0 && copy.args == NULL) || (copy.env_count > 0 && copy.env == NULL)) {
        arena_done(&fresh);
        return ERR_NO_MEMORY;
    }
    arena_done(&instance->arena);
    instance->arena = fresh;
    instance->record.spec = copy;
    return 0;
}

bool instance_is_over(const struct node_instance *instance)
{
    int state = instance->record.state;
    return state == INSTANCE_ABSENT || state == INSTANCE_STOPPED || state == INSTANCE_FAILED;
}

/* ---- what commands ask for (commands.c has checked that the state allows it) --------------------
 */

void instance_stage(struct node *node, struct node_instance *instance)
{
    (void)node;
    instance->record.want = NODE_WANT_STAGED;
    instance->record.error_code = 0;
    instance->record.restarts = 0;
    instance->record.exit_code = 0;
    instance->backoff_us = 0;
    instance->window_from = NODE_NEVER;
    instance->window_ends = 0;
    instance->served = false;
    owner_reset(instance);
    instance_set_detail(instance, "");
    instance_set_state(instance, INSTANCE_STAGING);
    /* The fetch of an earlier life may still be out; its result is not this one's. */
    if (instance->fetching)
        instance->fetch_stale = true;
    else
        instance->work |= WORK_FETCH;
    instance->fetching = true;
}

void instance_start(struct node *node, struct node_instance *instance)
{
    if (instance->record.state != INSTANCE_STAGED && instance->record.state != INSTANCE_STAGING)
        instance_stage(node, instance);
    instance->record.want = NODE_WANT_SERVE;
    instance->work |= WORK_PERSIST;
    if (instance->record.state == INSTANCE_STAGED)
        instance_begin_spawn(node, instance);
}

void instance_drain(struct node *node, struct node_instance *instance)
{
    bool resuming = instance->record.want == NODE_WANT_SERVE;
    instance->record.want = NODE_WANT_HELD;
    instance->work |= WORK_PERSIST;
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (!resuming)
            return; /* it is already so */
        /* It had been told to resume: told to drain once more. */
        /* fall through */
    case INSTANCE_READY:
    case INSTANCE_UNREADY:
        if (!instance->record.spec.contract) {
            /* Berth cannot drain what it does not own: it goes on serving until SIGTERM. */
            instance->act_at = instance->live_at = NODE_NEVER;
            instance_set_detail(instance, "no contract: it serves until it is stopped");
            instance_set_state(instance, INSTANCE_HELD);
            return;
        }
        instance->act_at = instance->live_at = NODE_NEVER;
        instance_set_detail(instance, "");
        instance_set_state(instance, INSTANCE_DRAINING);
        instance->state_by =
            node_after(node->now, node_or_default(instance->drain_us, NODE_DRAIN_US));
        instance_say(instance, SAY_DRAIN);
        return;
    case INSTANCE_BACKOFF:
        /* Nothing runs that could be drained, and nothing is to be started to be drained. */
        instance->act_at = NODE_NEVER;
        instance_set_state(instance, instance->alive ? INSTANCE_STOPPING : INSTANCE_STOPPED);
        return;
    default:
        return; /* STARTING: drained once it is ready */
    }
}

void instance_resume(struct node *node, struct node_instance *instance)
{
    bool resuming = instance->record.want == NODE_WANT_SERVE;
    instance->record.want = NODE_WANT_SERVE;
    instance->work |= WORK_PERSIST;
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (!instance->record.spec.contract) {
            instance_become_ready(node, instance);
            return;
        }
        if (!resuming)
            instance->state_by = node_after(
                node->now, node_or_default(instance->record.spec.start_timeout_us, NODE_START_US));
        instance_say(instance, SAY_RESUME);
        return;
    case INSTANCE_STOPPED:
        instance_begin_spawn(node, instance);
        return;
    default:
        return; /* STARTING, READY, BACKOFF: serves, or is about to */
    }
}

void instance_stop(struct node *node, struct node_instance *instance)
{
    instance->record.want = NODE_WANT_GONE;
    instance->grant = GRANT_NONE;
    instance->record.error_code = 0; /* asked for, its end is no failure any more */
    instance->work |= WORK_PERSIST;
    if (instance->record.state == INSTANCE_STOPPING || instance->record.state == INSTANCE_STOPPED)
        return;
    instance->act_at = NODE_NEVER;
    if (!instance->alive) {
        instance_set_state(instance, INSTANCE_STOPPED);
        return;
    }
    begin_stopping(node, instance);
}

/* ---- what the shell tells -----------------------------------------------------------------------
 */

void instance_fetched(struct node *node, struct node_instance *instance, int code, const char *text)
{
    if (!instance->fetching)
        return;
    instance->fetching = false;
    bool stale = instance->fetch_stale;
    instance->fetch_stale = false;
    if (instance->record.state != INSTANCE_STAGING)
        return;
    if (stale) {
        instance->fetching = true;
        instance->work |= WORK_FETCH;
        return;
    }
    if (code != 0) {
        fail(instance, code, text);
        return;
    }
    instance_set_state(instance, INSTANCE_STAGED);
    if (instance->record.want == NODE_WANT_SERVE && !instance->alive)
        instance_begin_spawn(node, instance);
}

void instance_spawned(struct node *node, struct node_instance *instance, int code, const char *text)
{
    if (!instance->spawning)
        return;
    instance->spawning = false;
    if (instance->clearing)
        return;
    if (code != 0) {
        instance_set_detail(instance, text);
        if (instance->record.state == INSTANCE_STARTING && is_lasting(code)) {
            instance->ended = true;
            instance->record.error_code = code;
            instance_begin_clear(instance);
            return;
        }
        instance_exited(node, instance, -1);
        return;
    }
    if (instance->ended)
        return; /* its end was told first */
    if (instance->record.state == INSTANCE_STOPPING)
        begin_stopping(node, instance);
    else if (instance->record.state == INSTANCE_STARTING)
        begin_judging(node, instance);
}

void instance_said(struct node *node, struct node_instance *instance, enum workload_word word)
{
    if (!instance->alive || instance->clearing || instance->ended)
        return;
    int state = instance->record.state;
    int want = instance->record.want;
    switch (word) {
    case SAID_READY:
        if (state == INSTANCE_STARTING && instance->record.spec.ready.kind == READY_CONTRACT) {
            instance_came_up(node, instance);
            return;
        }
        /* fall through */
    case SAID_RESUMED:
        if (want == NODE_WANT_SERVE && (state == INSTANCE_DRAINING || state == INSTANCE_HELD) &&
            !owner_is(instance))
            instance_become_ready(node, instance);
        return;
    case SAID_DRAINED:
        if (state == INSTANCE_DRAINING && want == NODE_WANT_HELD && !owner_is(instance)) {
            instance->state_by = NODE_NEVER;
            instance_set_state(instance, INSTANCE_HELD);
        }
        return;
    case SAID_STOPPING:
        return; /* its end will say the same */
    case SAID_FROZEN:
    case SAID_OWNED:
    case SAID_SNAPSHOTTED:
    case SAID_RESTORED:
    case SAID_FAILED:
        return; /* an owner's: owners.c */
    }
}

void instance_exited(struct node *node, struct node_instance *instance, int exit_code)
{
    if (!instance->alive || instance->ended)
        return;
    instance->ended = true;
    instance->record.exit_code = exit_code < -1 || exit_code > 255 ? -1 : exit_code;
    instance->work |= WORK_PERSIST;
    instance_begin_clear(instance);
    bool lost = owner_ended(instance);
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
    case INSTANCE_READY:
    case INSTANCE_UNREADY:
        if (lost)
            lose_state(instance);
        else if (instance->record.error_code == 0)
            count_end(node, instance);
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (instance->record.want == NODE_WANT_SERVE && lost) {
            lose_state(instance);
            return;
        }
        if (instance->record.want == NODE_WANT_SERVE) {
            count_end(node, instance); /* it was to serve again, so it is started again */
            return;
        }
        instance->state_by = NODE_NEVER;
        instance_set_state(instance, INSTANCE_STOPPING);
        return;
    default:
        return;
    }
}

void instance_cleared(struct node *node, struct node_instance *instance, int code, const char *text)
{
    if (!instance->clearing)
        return;
    instance->clearing = false;
    if (code != 0) {
        /* Something of it is left: never claim it is gone, try again. */
        instance_set_detail(instance, text);
        instance->work |= WORK_REPORT;
        instance->clear_at = node_after(node->now, NODE_CLEAR_RETRY_US);
        return;
    }
    instance->alive = false;
    instance->ended = false;
    instance->spawning = false;
    instance->clear_at = NODE_NEVER;
    instance->state_by = NODE_NEVER;
    if (instance_is_over(instance) || instance->record.state == INSTANCE_STAGING)
        return;
    if (instance->record.state == INSTANCE_STAGED) {
        if (instance->record.want == NODE_WANT_SERVE)
            instance_begin_spawn(node, instance);
        return;
    }
    if (instance->record.want == NODE_WANT_GONE || instance->record.want == NODE_WANT_HELD) {
        instance->act_at = NODE_NEVER;
        if (instance->record.error_code != 0)
            instance_set_state(instance, INSTANCE_FAILED);
        else
            instance_set_state(instance, INSTANCE_STOPPED);
        return;
    }
    if (instance->record.error_code != 0) {
        instance->act_at = NODE_NEVER;
        instance_set_state(instance, INSTANCE_FAILED);
        return;
    }
    if (instance->record.state != INSTANCE_BACKOFF)
        count_end(node, instance);
    if (instance->record.error_code != 0)
        instance_set_state(instance, INSTANCE_FAILED);
    else if (instance->act_at <= node->now)
        instance_begin_spawn(node, instance);
}

void instance_tick(struct node *node, struct node_instance *instance)
{
    int64_t now = node->now;
    if (instance->clear_at <= now) {
        instance->clear_at = NODE_NEVER;
        instance_begin_clear(instance);
    }
    if (instance->act_at <= now && instance->record.state == INSTANCE_BACKOFF && !instance->alive) {
        instance_begin_spawn(node, instance);
    } else if (instance->act_at <= now && instance->record.state == INSTANCE_STARTING) {
        instance->act_at = NODE_NEVER;
        if (instance->record.spec.ready.kind == READY_NONE) {
            instance_came_up(node, instance);
        } else if (!instance->judging) {
            instance->judging = true;
            instance->work |= WORK_JUDGE;
        }
    }
    health_tick(node, instance);
    if (owner_is(instance))
        owner_tick(node, instance);
    if (instance->state_by > now)
        return;
    instance->state_by = NODE_NEVER;
    char text[LIMIT_TEXT_BYTES];
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
        str_format(text, sizeof(text), "not ready within %" PRId64 " ms: %.180s",
                   node_or_default(instance->record.spec.start_timeout_us, NODE_START_US) /
                       US_PER_MS,
                   instance->said[0] != 0 ? instance->said : "it said nothing");
        instance_set_detail(instance, text);
        if (!instance->served)
            instance->record.error_code = ERR_TIMEOUT;
        instance_begin_clear(instance);
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (instance->record.want == NODE_WANT_SERVE) {
            instance_set_detail(instance, "did not resume in time: started again");
            instance_begin_clear(instance);
            return;
        }
        if (owner_is(instance)) {
            /* Nobody may take what it owns for given up before it says so, or its lease ends. */
            if (instance->record.state == INSTANCE_DRAINING) {
                instance_set_detail(instance, "did not freeze in time");
                instance->work |= WORK_REPORT;
            }
            return;
        }
        /* It lives and has taken no new work since it was told: held, but not by its own word. */
        instance_set_detail(instance, "drain deadline passed");
        instance_set_state(instance, INSTANCE_HELD);
        return;
    case INSTANCE_STOPPING:
        instance_begin_clear(instance);
        return;
    default:
        return;
    }
}

void instance_adopted(struct node *node, struct node_instance *instance, bool running,
                      int exit_code, bool said_ready, bool said_drained, int64_t lease_us)
{
    if (!instance->unsure)
        return;
    instance->unsure = false;
    instance->alive = true;
    if (running && owner_is(instance))
        owner_adopted(node, instance, lease_us);
    if (!running && owner_is(instance))
        owner_missed(node, instance, lease_us);
    if (!running && instance->record.state == INSTANCE_BACKOFF) {
        /* Its end was told before the agent's own; what it left may not have been cleared. */
        instance->ended = true;
        if (instance->record.error_code == 0)
            instance->act_at =
                node_after(node->now, node_or_default(instance->record.spec.restart_backoff_us,
                                                      NODE_BACKOFF_US));
        instance_begin_clear(instance);
        return;
    }
    if (!running) {
        instance_exited(node, instance, exit_code);
        return;
    }
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
        if (instance->record.error_code != 0)
            instance_begin_clear(instance);
        else if (said_ready && instance->record.spec.ready.kind == READY_CONTRACT)
            instance_said(node, instance, SAID_READY);
        else
            begin_judging(node, instance);
        return;
    case INSTANCE_READY:
    case INSTANCE_UNREADY:
        instance->served = true;
        health_begin(node, instance);
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        instance->served = true;
        if (owner_is(instance))
            return; /* owner_adopted has seen to it */
        if (instance->record.want == NODE_WANT_SERVE) {
            instance->state_by = node_after(
                node->now, node_or_default(instance->record.spec.start_timeout_us, NODE_START_US));
            instance_say(instance, SAY_RESUME);
        } else if (instance->record.state == INSTANCE_DRAINING && said_drained) {
            instance_set_state(instance, INSTANCE_HELD);
        } else if (instance->record.state == INSTANCE_DRAINING) {
            instance->state_by = node_after(
                node->now, node_or_default(instance->record.spec.drain_timeout_us, NODE_DRAIN_US));
            instance_say(instance, SAY_DRAIN);
        }
        return;
    case INSTANCE_STOPPING:
        begin_stopping(node, instance);
        return;
    default:
        /* The record says that nothing runs: what runs is nobody's. */
        instance_begin_clear(instance);
        return;
    }
}

/* ---- emission -----------------------------------------------------------------------------------
 */

void instance_flush(struct node *node, struct node_instance *instance,
                    const struct message_answer *answer)
{
    const char *id = instance->record.instance;
    unsigned work = instance->work;
    instance->work = 0;
    bool tell = (work & WORK_TELL) != 0 && (work & WORK_REPORT) != 0 && answer == NULL;
    if (tell)
        emit_report(node, instance);
    if ((work & WORK_PERSIST) != 0) {
        instance->order = ++node->order;
        node_emit(node, NODE_FX_PERSIST, id)->record = instance->record;
    }
    /* Who freezes or is to own is told before anybody is answered: others wait for it. */
    if ((work & WORK_CLEAR) == 0 && owner_is(instance))
        emit_words(node, instance, &work);
    if (answer != NULL)
        node_emit(node, NODE_FX_ANSWER, id)->answer = *answer;
    if ((work & WORK_REPORT) != 0 && !tell)
        emit_report(node, instance);
    if ((work & WORK_FETCH) != 0)
        node_emit(node, NODE_FX_FETCH, id)->spec = &instance->record.spec;
    if ((work & WORK_CLEAR) != 0) {
        node_emit(node, NODE_FX_CLEAR, id);
        return; /* the rest would speak to a process that is being killed */
    }
    if ((work & WORK_SPAWN) != 0)
        node_emit(node, NODE_FX_SPAWN, id)->spec = &instance->record.spec;
    emit_words(node, instance, &work);
    if ((work & WORK_TERM) != 0)
        node_emit(node, NODE_FX_TERM, id);
    if ((work & WORK_JUDGE) != 0)
        node_emit(node, NODE_FX_JUDGE, id)->spec = &instance->record.spec;
    if ((work & WORK_JUDGE_LIVE) != 0) {
        struct node_effect *effect = node_emit(node, NODE_FX_JUDGE, id);
        effect->spec = &instance->record.spec;
        effect->live = true;
    }
    if ((work & (WORK_SHIP | WORK_GET)) != 0) {
        bool ship = (work & WORK_SHIP) != 0;
        struct node_effect *effect = node_emit(node, ship ? NODE_FX_SHIP : NODE_FX_GET, id);
        effect->file.ticket = instance->ticket;
        effect->file.round = instance->task_round;
        effect->file.object = instance->task_object;
        if (instance->task_checkpoint != 0)
            owner_kept_name(&instance->record.spec, instance->task_checkpoint, effect->file.kept);
        owner_path(ship, instance->task_round, effect->file.path);
    }
    if ((work & WORK_BEAT) != 0)
        node_emit(node, NODE_FX_BEAT, id);
    if ((work & WORK_DROP) != 0) {
        struct node_effect *effect = node_emit(node, NODE_FX_DROP, id);
        memcpy(effect->file.path, instance->drop, sizeof(effect->file.path));
    }
}

static void emit_report(struct node *node, struct node_instance *instance)
{
    struct message_report *report =
        &node_emit(node, NODE_FX_REPORT, instance->record.instance)->report;
    memcpy(report->node, node->name, sizeof(report->node));
    memcpy(report->boot_id, node->boot_id, sizeof(report->boot_id));
    report->seq = ++node->seq;
    report->boot_us = node->now;
    instance_describe(instance, &report->instance);
}

static void emit_words(struct node *node, struct node_instance *instance, unsigned *work)
{
    if ((*work & WORK_LEASE) != 0)
        node_emit(node, NODE_FX_LEASE, instance->record.instance)->lease.until_us =
            instance->lease_until;
    if ((*work & WORK_SAY) != 0)
        emit_say(node, instance);
    *work &= ~((unsigned)WORK_LEASE | (unsigned)WORK_SAY);
}

static void emit_say(struct node *node, struct node_instance *instance)
{
    const struct node_record *record = &instance->record;
    struct node_effect *effect = node_emit(node, NODE_FX_SAY, record->instance);
    effect->say.what = instance->say;
    effect->say.deadline_us = instance->state_by;
    switch (instance->say) {
    case SAY_DRAIN:
    case SAY_RESUME:
    case SAY_STOP:
        return;
    case SAY_FREEZE:
        effect->say.round = record->asked;
        if (record->asked > 0)
            owner_path(true, record->asked, effect->say.path);
        return;
    case SAY_OWN:
        effect->say.epoch = record->owner;
        effect->say.handed = record->handed;
        return;
    case SAY_SNAPSHOT:
    case SAY_RESTORE:
        effect->say.round = instance->task_round;
        owner_path(instance->say == SAY_SNAPSHOT, instance->task_round, effect->say.path);
        return;
    }
}

void instance_describe(const struct node_instance *instance, struct message_instance *ret_message)
{
    const struct node_record *record = &instance->record;
    memset(ret_message, 0, sizeof(*ret_message));
    memcpy(ret_message->instance, record->instance, sizeof(record->instance));
    memcpy(ret_message->namespace_, record->spec.namespace_, sizeof(record->spec.namespace_));
    memcpy(ret_message->app, record->spec.app, sizeof(record->spec.app));
    memcpy(ret_message->workload, record->spec.workload, sizeof(record->spec.workload));
    ret_message->replica = record->spec.replica;
    ret_message->state = record->state;
    ret_message->epoch = record->epoch;
    ret_message->restarts = record->restarts;
    ret_message->exit_code = record->exit_code;
    ret_message->error_code = record->error_code != 0 ? record->error_code : instance->task_code;
    memcpy(ret_message->detail, record->detail, sizeof(record->detail));
    memcpy(ret_message->endpoint, record->endpoint, sizeof(record->endpoint));
    ret_message->round = record->round;
    ret_message->doing = instance->task_round;
    ret_message->checkpoint = instance->saved_number;
    ret_message->saved = instance->saved;
    ret_message->object = record->object;
    if (record->state == INSTANCE_HELD)
        ret_message->handed = record->handed;
}

/* ---- helpers ------------------------------------------------------------------------------------
 */

void instance_set_state(struct node_instance *instance, enum instance_state state)
{
    if (instance->record.state == (int)state)
        return;
    instance->record.state = (int)state;
    instance->work |= WORK_PERSIST | WORK_REPORT;
}

void instance_set_detail(struct node_instance *instance, const char *text)
{
    if (str_equal(instance->record.detail, text))
        return;
    if (str_copy(instance->record.detail, sizeof(instance->record.detail), text) < 0)
        str_format(instance->record.detail, sizeof(instance->record.detail), "%.250s", text);
    instance->work |= WORK_PERSIST;
}

void instance_begin_spawn(struct node *node, struct node_instance *instance)
{
    instance->record.error_code = 0;
    instance->alive = true;
    instance->ended = false;
    instance->spawning = true;
    instance->killed_dead = false;
    instance->judge_stale = instance->judging;
    instance->live_stale = instance->judging_live;
    (void)owner_ended(instance); /* whatever the process before was in the middle of */
    instance->act_at = NODE_NEVER;
    instance->said[0] = 0;
    instance->state_by = node_after(
        node->now, node_or_default(instance->record.spec.start_timeout_us, NODE_START_US));
    instance_set_state(instance, INSTANCE_STARTING);
    instance->work |= WORK_SPAWN | WORK_PERSIST;
}

static void begin_judging(struct node *node, struct node_instance *instance)
{
    const struct message_spec *spec = &instance->record.spec;
    instance->state_by =
        node_after(node->now, node_or_default(spec->start_timeout_us, NODE_START_US));
    switch ((enum ready_kind)spec->ready.kind) {
    case READY_NONE:
        instance->act_at = node_after(node->now, spec->ready.period_us);
        return;
    case READY_CONTRACT:
        return;
    case READY_TCP:
    case READY_HTTP:
    case READY_NATS:
    case READY_COMMAND:
        if (!instance->judging) {
            instance->judging = true;
            instance->work |= WORK_JUDGE;
        }
        return;
    }
}

static void begin_stopping(struct node *node, struct node_instance *instance)
{
    instance_set_state(instance, INSTANCE_STOPPING);
    if (instance->clearing)
        return;
    instance->state_by =
        node_after(node->now, node_or_default(instance->record.spec.stop_timeout_us, NODE_STOP_US));
    if (instance->spawning)
        return; /* there is nobody to tell yet */
    if (instance->record.spec.contract)
        instance_say(instance, SAY_STOP);
    else
        instance->work |= WORK_TERM;
}

void instance_begin_clear(struct node_instance *instance)
{
    instance->state_by = NODE_NEVER;
    if (instance->record.state != INSTANCE_BACKOFF)
        instance->act_at = NODE_NEVER;
    instance->live_at = NODE_NEVER;
    if (instance->clearing)
        return;
    instance->clearing = true;
    instance->work |= WORK_CLEAR | WORK_PERSIST;
}

void instance_become_ready(struct node *node, struct node_instance *instance)
{
    instance->served = true;
    instance->state_by = NODE_NEVER;
    instance->act_at = NODE_NEVER;
    instance_set_detail(instance, "");
    instance_set_state(instance, INSTANCE_READY);
    health_begin(node, instance);
}

bool instance_is_ending(const struct node_instance *instance)
{
    return instance->ended || instance->clearing || instance->clear_at != NODE_NEVER;
}

void instance_came_up(struct node *node, struct node_instance *instance)
{
    if (owner_is(instance)) {
        instance->served = true;
        owner_came_up(node, instance);
        return;
    }
    instance_become_ready(node, instance);
    if (instance->record.want == NODE_WANT_HELD)
        instance_drain(node, instance);
}

/* What it was given is nowhere else on this node, and it never owned: another copy has it. */
static void lose_state(struct node_instance *instance)
{
    instance->state_by = NODE_NEVER;
    instance->act_at = NODE_NEVER;
    instance->record.error_code = ERR_STALE;
    instance_set_detail(instance, "ended before it owned: the state that it was given is lost");
}

static void fail(struct node_instance *instance, int code, const char *text)
{
    instance->record.error_code = code;
    instance_set_detail(instance, text);
    instance_set_state(instance, INSTANCE_FAILED);
}

#define ENDED "ended by itself"

/* The process ended without having been told to: the next start, or the end of patience. The window
 * is a fixed one that begins with the first end in it. */
static void count_end(struct node *node, struct node_instance *instance)
{
    const struct message_spec *spec = &instance->record.spec;
    if (instance->window_from == NODE_NEVER ||
        node->now - instance->window_from >= NODE_WINDOW_US) {
        instance->window_from = node->now;
        instance->window_ends = 0;
        instance->backoff_us = node_or_default(spec->restart_backoff_us, NODE_BACKOFF_US);
    }
    instance->state_by = NODE_NEVER;
    instance_set_state(instance, INSTANCE_BACKOFF);
    char text[LIMIT_TEXT_BYTES];
    if (instance->window_ends >= spec->restarts_max) {
        if (str_starts(instance->record.detail, ENDED))
            instance_set_detail(instance, "");
        str_format(text, sizeof(text), "ended with %d after %d restarts%s%.150s",
                   instance->record.exit_code, instance->window_ends,
                   instance->record.detail[0] != 0 ? ": " : "", instance->record.detail);
        instance_set_detail(instance, text);
        instance->record.error_code = ERR_LIMIT;
        instance->act_at = NODE_NEVER;
        return;
    }
    if (instance->killed_dead)
        str_format(text, sizeof(text), "was not alive: %.200s", instance->said);
    else
        str_format(text, sizeof(text), ENDED " with status %d", instance->record.exit_code);
    instance_set_detail(instance, text);
    instance->window_ends++;
    instance->record.restarts++;
    if (instance->backoff_us > NODE_BACKOFF_MAX_US)
        instance->backoff_us = NODE_BACKOFF_MAX_US;
    instance->act_at = node_after(node->now, instance->backoff_us);
    instance->backoff_us *= 2;
}

void instance_say(struct node_instance *instance, enum node_say what)
{
    instance->say = what;
    instance->work |= WORK_SAY;
}

/* What another try would not heal. */
static bool is_lasting(int code)
{
    return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_CORRUPT ||
           code == ERR_DENIED || code == ERR_NOT_FOUND;
}

int64_t node_or_default(int64_t us, int64_t default_us)
{
    return us > 0 ? us : default_us;
}

int64_t node_after(int64_t now, int64_t us)
{
    return us > NODE_NEVER - 1 - now ? NODE_NEVER - 1 : now + us;
}
