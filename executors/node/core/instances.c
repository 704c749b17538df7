/*
 * instances: how one instance lives. Each function takes one thing that happened and leaves the
 * record, the deadlines and `work` as they must be; instance_flush at the end emits it.
 */
#include "executors/node/core/node_state.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"

static void set_state(struct node_instance *instance, enum instance_state state);
static void set_detail(struct node_instance *instance, const char *text);
static void begin_spawn(struct node *node, struct node_instance *instance);
static void begin_judging(struct node *node, struct node_instance *instance);
static void begin_stopping(struct node *node, struct node_instance *instance);
static void begin_clear(struct node_instance *instance);
static void become_ready(struct node_instance *instance);
static void fail(struct node_instance *instance, int code, const char *text);
static void count_end(struct node *node, struct node_instance *instance);
static void say(struct node_instance *instance, enum node_say what);
static bool is_lasting(int code);
static int64_t or_default(int64_t us, int64_t default_us);
static int64_t after(int64_t now, int64_t us);

void instance_init(struct node_instance *instance, const char *id)
{
    *instance = (struct node_instance){.used = true,
                                       .state_by = NODE_NEVER,
                                       .act_at = NODE_NEVER,
                                       .clear_at = NODE_NEVER,
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
    set_detail(instance, "");
    set_state(instance, INSTANCE_STAGING);
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
        begin_spawn(node, instance);
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
        if (!instance->record.spec.contract) {
            /* Berth cannot drain what it does not own: it goes on serving until SIGTERM. */
            set_detail(instance, "no contract: it serves until it is stopped");
            set_state(instance, INSTANCE_HELD);
            return;
        }
        set_detail(instance, "");
        set_state(instance, INSTANCE_DRAINING);
        instance->state_by = after(node->now, or_default(instance->drain_us, NODE_DRAIN_US));
        say(instance, SAY_DRAIN);
        return;
    case INSTANCE_BACKOFF:
        /* Nothing runs that could be drained, and nothing is to be started to be drained. */
        instance->act_at = NODE_NEVER;
        set_state(instance, instance->alive ? INSTANCE_STOPPING : INSTANCE_STOPPED);
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
            become_ready(instance);
            return;
        }
        if (!resuming)
            instance->state_by =
                after(node->now, or_default(instance->record.spec.start_timeout_us, NODE_START_US));
        say(instance, SAY_RESUME);
        return;
    case INSTANCE_STOPPED:
        begin_spawn(node, instance);
        return;
    default:
        return; /* STARTING, READY, BACKOFF: serves, or is about to */
    }
}

void instance_stop(struct node *node, struct node_instance *instance)
{
    instance->record.want = NODE_WANT_GONE;
    instance->record.error_code = 0; /* asked for, its end is no failure any more */
    instance->work |= WORK_PERSIST;
    if (instance->record.state == INSTANCE_STOPPING || instance->record.state == INSTANCE_STOPPED)
        return;
    instance->act_at = NODE_NEVER;
    if (!instance->alive) {
        set_state(instance, INSTANCE_STOPPED);
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
    set_state(instance, INSTANCE_STAGED);
    if (instance->record.want == NODE_WANT_SERVE && !instance->alive)
        begin_spawn(node, instance);
}

void instance_spawned(struct node *node, struct node_instance *instance, int code, const char *text)
{
    if (!instance->spawning)
        return;
    instance->spawning = false;
    if (instance->clearing)
        return;
    if (code != 0) {
        set_detail(instance, text);
        if (instance->record.state == INSTANCE_STARTING && is_lasting(code)) {
            instance->ended = true;
            instance->record.error_code = code;
            begin_clear(instance);
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
            become_ready(instance);
            if (want == NODE_WANT_HELD)
                instance_drain(node, instance);
            return;
        }
        /* fall through */
    case SAID_RESUMED:
        if (want == NODE_WANT_SERVE && (state == INSTANCE_DRAINING || state == INSTANCE_HELD))
            become_ready(instance);
        return;
    case SAID_DRAINED:
        if (state == INSTANCE_DRAINING && want == NODE_WANT_HELD) {
            instance->state_by = NODE_NEVER;
            set_state(instance, INSTANCE_HELD);
        }
        return;
    case SAID_STOPPING:
        return; /* its end will say the same */
    case SAID_FROZEN:
    case SAID_OWNED:
    case SAID_SNAPSHOTTED:
    case SAID_RESTORED:
    case SAID_FAILED:
        return;
    }
}

void instance_judged(struct node *node, struct node_instance *instance, bool ready,
                     const char *text)
{
    if (!instance->judging)
        return;
    instance->judging = false;
    bool stale = instance->judge_stale;
    instance->judge_stale = false;
    if (instance->record.state != INSTANCE_STARTING || instance->clearing || instance->ended ||
        instance->spawning)
        return;
    if (stale) {
        instance->judging = true;
        instance->work |= WORK_JUDGE;
        return;
    }
    if (ready) {
        become_ready(instance);
        if (instance->record.want == NODE_WANT_HELD)
            instance_drain(node, instance);
        return;
    }
    str_format(instance->said, sizeof(instance->said), "%s", text);
    instance->act_at =
        after(node->now, or_default(instance->record.spec.ready.period_us, NODE_JUDGE_US));
}

void instance_exited(struct node *node, struct node_instance *instance, int exit_code)
{
    if (!instance->alive || instance->ended)
        return;
    instance->ended = true;
    instance->record.exit_code = exit_code < -1 || exit_code > 255 ? -1 : exit_code;
    instance->work |= WORK_PERSIST;
    begin_clear(instance);
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
    case INSTANCE_READY:
        if (instance->record.error_code == 0)
            count_end(node, instance);
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (instance->record.want == NODE_WANT_SERVE) {
            count_end(node, instance); /* it was to serve again, so it is started again */
            return;
        }
        instance->state_by = NODE_NEVER;
        set_state(instance, INSTANCE_STOPPING);
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
        set_detail(instance, text);
        instance->work |= WORK_REPORT;
        instance->clear_at = after(node->now, NODE_CLEAR_RETRY_US);
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
            begin_spawn(node, instance);
        return;
    }
    if (instance->record.want == NODE_WANT_GONE || instance->record.want == NODE_WANT_HELD) {
        instance->act_at = NODE_NEVER;
        if (instance->record.error_code != 0)
            set_state(instance, INSTANCE_FAILED);
        else
            set_state(instance, INSTANCE_STOPPED);
        return;
    }
    if (instance->record.error_code != 0) {
        instance->act_at = NODE_NEVER;
        set_state(instance, INSTANCE_FAILED);
        return;
    }
    if (instance->record.state != INSTANCE_BACKOFF)
        count_end(node, instance);
    if (instance->record.error_code != 0)
        set_state(instance, INSTANCE_FAILED);
    else if (instance->act_at <= node->now)
        begin_spawn(node, instance);
}

void instance_tick(struct node *node, struct node_instance *instance)
{
    int64_t now = node->now;
    if (instance->clear_at <= now) {
        instance->clear_at = NODE_NEVER;
        begin_clear(instance);
    }
    if (instance->act_at <= now && instance->record.state == INSTANCE_BACKOFF && !instance->alive) {
        begin_spawn(node, instance);
    } else if (instance->act_at <= now && instance->record.state == INSTANCE_STARTING) {
        instance->act_at = NODE_NEVER;
        if (instance->record.spec.ready.kind == READY_NONE) {
            become_ready(instance);
            if (instance->record.want == NODE_WANT_HELD)
                instance_drain(node, instance);
        } else if (!instance->judging) {
            instance->judging = true;
            instance->work |= WORK_JUDGE;
        }
    }
    if (instance->state_by > now)
        return;
    instance->state_by = NODE_NEVER;
    char text[LIMIT_TEXT_BYTES];
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
        str_format(text, sizeof(text), "not ready within %" PRId64 " ms: %.180s",
                   or_default(instance->record.spec.start_timeout_us, NODE_START_US) / US_PER_MS,
                   instance->said[0] != 0 ? instance->said : "it said nothing");
        set_detail(instance, text);
        if (!instance->served)
            instance->record.error_code = ERR_TIMEOUT;
        begin_clear(instance);
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        if (instance->record.want == NODE_WANT_SERVE) {
            set_detail(instance, "did not resume in time: started again");
            begin_clear(instance);
            return;
        }
        /* It lives and has taken no new work since it was told: held, but not by its own word. */
        set_detail(instance, "drain deadline passed");
        set_state(instance, INSTANCE_HELD);
        return;
    case INSTANCE_STOPPING:
        begin_clear(instance);
        return;
    default:
        return;
    }
}

void instance_adopted(struct node *node, struct node_instance *instance, bool running,
                      int exit_code, bool said_ready, bool said_drained)
{
    if (!instance->unsure)
        return;
    instance->unsure = false;
    instance->alive = true;
    if (!running && instance->record.state == INSTANCE_BACKOFF) {
        /* Its end was told before the agent's own; what it left may not have been cleared. */
        instance->ended = true;
        if (instance->record.error_code == 0)
            instance->act_at = after(
                node->now, or_default(instance->record.spec.restart_backoff_us, NODE_BACKOFF_US));
        begin_clear(instance);
        return;
    }
    if (!running) {
        instance_exited(node, instance, exit_code);
        return;
    }
    switch ((enum instance_state)instance->record.state) {
    case INSTANCE_STARTING:
        if (instance->record.error_code != 0)
            begin_clear(instance);
        else if (said_ready && instance->record.spec.ready.kind == READY_CONTRACT)
            instance_said(node, instance, SAID_READY);
        else
            begin_judging(node, instance);
        return;
    case INSTANCE_READY:
        instance->served = true;
        return;
    case INSTANCE_DRAINING:
    case INSTANCE_HELD:
        instance->served = true;
        if (instance->record.want == NODE_WANT_SERVE) {
            instance->state_by =
                after(node->now, or_default(instance->record.spec.start_timeout_us, NODE_START_US));
            say(instance, SAY_RESUME);
        } else if (instance->record.state == INSTANCE_DRAINING && said_drained) {
            set_state(instance, INSTANCE_HELD);
        } else if (instance->record.state == INSTANCE_DRAINING) {
            instance->state_by =
                after(node->now, or_default(instance->record.spec.drain_timeout_us, NODE_DRAIN_US));
            say(instance, SAY_DRAIN);
        }
        return;
    case INSTANCE_STOPPING:
        begin_stopping(node, instance);
        return;
    default:
        /* The record says that nothing runs: what runs is nobody's. */
        begin_clear(instance);
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
    if ((work & WORK_PERSIST) != 0) {
        instance->order = ++node->order;
        node_emit(node, NODE_FX_PERSIST, id)->record = instance->record;
    }
    if (answer != NULL)
        node_emit(node, NODE_FX_ANSWER, id)->answer = *answer;
    if ((work & WORK_REPORT) != 0) {
        struct message_report *report = &node_emit(node, NODE_FX_REPORT, id)->report;
        memcpy(report->node, node->name, sizeof(report->node));
        memcpy(report->boot_id, node->boot_id, sizeof(report->boot_id));
        report->seq = ++node->seq;
        report->boot_us = node->now;
        instance_describe(instance, &report->instance);
    }
    if ((work & WORK_FETCH) != 0)
        node_emit(node, NODE_FX_FETCH, id)->spec = &instance->record.spec;
    if ((work & WORK_CLEAR) != 0) {
        node_emit(node, NODE_FX_CLEAR, id);
        return; /* the rest would speak to a process that is being killed */
    }
    if ((work & WORK_SPAWN) != 0)
        node_emit(node, NODE_FX_SPAWN, id)->spec = &instance->record.spec;
    if ((work & WORK_SAY) != 0) {
        struct node_effect *effect = node_emit(node, NODE_FX_SAY, id);
        effect->say.what = instance->say;
        effect->say.deadline_us = instance->state_by;
    }
    if ((work & WORK_TERM) != 0)
        node_emit(node, NODE_FX_TERM, id);
    if ((work & WORK_JUDGE) != 0)
        node_emit(node, NODE_FX_JUDGE, id)->spec = &instance->record.spec;
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
    ret_message->error_code = record->error_code;
    memcpy(ret_message->detail, record->detail, sizeof(record->detail));
}

/* ---- helpers ------------------------------------------------------------------------------------
 */

static void set_state(struct node_instance *instance, enum instance_state state)
{
    if (instance->record.state == (int)state)
        return;
    instance->record.state = (int)state;
    instance->work |= WORK_PERSIST | WORK_REPORT;
}

static void set_detail(struct node_instance *instance, const char *text)
{
    if (str_equal(instance->record.detail, text))
        return;
    if (str_copy(instance->record.detail, sizeof(instance->record.detail), text) < 0)
        str_format(instance->record.detail, sizeof(instance->record.detail), "%.250s", text);
    instance->work |= WORK_PERSIST;
}

static void begin_spawn(struct node *node, struct node_instance *instance)
{
    instance->record.error_code = 0;
    instance->alive = true;
    instance->ended = false;
    instance->spawning = true;
    instance->judge_stale = instance->judging;
    instance->act_at = NODE_NEVER;
    instance->said[0] = 0;
    instance->state_by =
        after(node->now, or_default(instance->record.spec.start_timeout_us, NODE_START_US));
    set_state(instance, INSTANCE_STARTING);
    instance->work |= WORK_SPAWN | WORK_PERSIST;
}

static void begin_judging(struct node *node, struct node_instance *instance)
{
    const struct message_spec *spec = &instance->record.spec;
    instance->state_by = after(node->now, or_default(spec->start_timeout_us, NODE_START_US));
    switch ((enum ready_kind)spec->ready.kind) {
    case READY_NONE:
        instance->act_at = after(node->now, spec->ready.period_us);
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
    set_state(instance, INSTANCE_STOPPING);
    if (instance->clearing)
        return;
    instance->state_by =
        after(node->now, or_default(instance->record.spec.stop_timeout_us, NODE_STOP_US));
    if (instance->spawning)
        return; /* there is nobody to tell yet */
    if (instance->record.spec.contract)
        say(instance, SAY_STOP);
    else
        instance->work |= WORK_TERM;
}

static void begin_clear(struct node_instance *instance)
{
    instance->state_by = NODE_NEVER;
    if (instance->record.state != INSTANCE_BACKOFF)
        instance->act_at = NODE_NEVER;
    if (instance->clearing)
        return;
    instance->clearing = true;
    instance->work |= WORK_CLEAR | WORK_PERSIST;
}

static void become_ready(struct node_instance *instance)
{
    instance->served = true;
    instance->state_by = NODE_NEVER;
    instance->act_at = NODE_NEVER;
    set_detail(instance, "");
    set_state(instance, INSTANCE_READY);
}

static void fail(struct node_instance *instance, int code, const char *text)
{
    instance->record.error_code = code;
    set_detail(instance, text);
    set_state(instance, INSTANCE_FAILED);
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
        instance->backoff_us = or_default(spec->restart_backoff_us, NODE_BACKOFF_US);
    }
    instance->state_by = NODE_NEVER;
    set_state(instance, INSTANCE_BACKOFF);
    char text[LIMIT_TEXT_BYTES];
    if (instance->window_ends >= spec->restarts_max) {
        if (str_starts(instance->record.detail, ENDED))
            set_detail(instance, "");
        str_format(text, sizeof(text), "ended with %d after %d restarts%s%.150s",
                   instance->record.exit_code, instance->window_ends,
                   instance->record.detail[0] != 0 ? ": " : "", instance->record.detail);
        set_detail(instance, text);
        instance->record.error_code = ERR_LIMIT;
        instance->act_at = NODE_NEVER;
        return;
    }
    str_format(text, sizeof(text), ENDED " with status %d", instance->record.exit_code);
    set_detail(instance, text);
    instance->window_ends++;
    instance->record.restarts++;
    if (instance->backoff_us > NODE_BACKOFF_MAX_US)
        instance->backoff_us = NODE_BACKOFF_MAX_US;
    instance->act_at = after(node->now, instance->backoff_us);
    instance->backoff_us *= 2;
}

static void say(struct node_instance *instance, enum node_say what)
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

static int64_t or_default(int64_t us, int64_t default_us)
{
    return us > 0 ? us : default_us;
}

static int64_t after(int64_t now, int64_t us)
{
    return us > NODE_NEVER - 1 - now ? NODE_NEVER - 1 : now + us;
}
