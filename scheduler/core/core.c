#include "scheduler/core/core.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"
#include "scheduler/core/operation.h"

const char *const core_event_words[] = {
    "started", "world",  "apply",  "delete",  "retag",         "move", "hello",
    "lost",    "answer", "report", "probed",  "estimates",     "plan", "checked",
    "fenced",  "judged", "cordon", "operate", "operation-end", "tick", NULL};
const char *const core_effect_words[] = {"reply", "command", "probe", "solve", "publish",
                                         "check", "fence",   "judge", NULL};
const char *const handoff_state_words[] = {
#define HANDOFF_STATE_WORD(name, word) word,
    HANDOFF_STATE_MAP(HANDOFF_STATE_WORD)
#undef HANDOFF_STATE_WORD
        NULL};
const char *const handoff_reason_words[] = {"start",     "remove", "retag",   "saving",
                                            "node-lost", "failed", "version", "regret",
                                            "asked",     "drain",  "lease",   NULL};
const char *const cordon_kind_words[] = {"node", "site", "provider", NULL};
const char *const operation_state_words[] = {
#define OPERATION_STATE_WORD(name, word) word,
    OPERATION_STATE_MAP(OPERATION_STATE_WORD)
#undef OPERATION_STATE_WORD
        NULL};
const char *const step_state_words[] = {"waiting", "moving", "done", "back", "skipped", NULL};
const char *const core_verdict_words[] = {
#define CORE_VERDICT_WORD(name, word) word,
    CORE_VERDICT_MAP(CORE_VERDICT_WORD)
#undef CORE_VERDICT_WORD
        NULL};

/* Passes of one step before it must be quiet: each pass only goes on when the one before changed
 * something, and every change is a step of a handoff's life, of which there are few. */
#define PASSES_MAX 64

#define WORLD_BYTES_MAX ((size_t)64 << 20)

static void dispatch(struct core *core, const struct core_event *event);
static void started(struct core *core, const struct core_event *event);
static void settle(struct core *core);
static void compact(struct core *core);
static void compact_handoffs(struct core *core);
static void compact_commands(struct core *core);
static void compact_instances(struct core *core);
static void check(struct core *core);
static struct instant workloads_deadline(const struct core *core);
static void sooner(const struct core *core, struct instant *first, int64_t us);

int core_effects_create(int capacity, struct core_effects **ret_effects)
{
    struct core_effects *effects = calloc(1, sizeof(*effects));
    if (effects == NULL)
        return ERR_NO_MEMORY;
    effects->list = calloc((size_t)capacity, sizeof(*effects->list));
    if (effects->list == NULL) {
        free(effects);
        return ERR_NO_MEMORY;
    }
    effects->capacity = capacity;
    *ret_effects = effects;
    return 0;
}

void core_effects_destroy(struct core_effects *effects)
{
    if (effects == NULL)
        return;
    free(effects->list);
    free(effects);
}

int core_create(struct core **ret_core, struct error *err)
{
    struct core *core = calloc(1, sizeof(*core));
    if (core == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the scheduler's core does not fit in memory");
    arena_init(&core->world_arena, WORLD_BYTES_MAX);
    arena_init(&core->lent, CORE_LENT_BYTES);
    struct core_state *state = &core->state;
    state->apps = calloc(LIMIT_APPS, sizeof(*state->apps));
    state->nodes = calloc(LIMIT_NODES, sizeof(*state->nodes));
    state->instances = calloc(LIMIT_INSTANCES, sizeof(*state->instances));
    state->handoffs = calloc(LIMIT_HANDOFFS, sizeof(*state->handoffs));
    state->ended = calloc(CORE_ENDED, sizeof(*state->ended));
    state->commands = calloc(LIMIT_COMMANDS, sizeof(*state->commands));
    state->routes = calloc(LIMIT_ROUTES, sizeof(*state->routes));
    state->checkpoints = calloc(CORE_CHECKPOINTS, sizeof(*state->checkpoints));
    state->cordons = calloc(CORE_CORDONS, sizeof(*state->cordons));
    state->operations = calloc(CORE_OPERATIONS, sizeof(*state->operations));
    state->estimates = calloc(CORE_ESTIMATES_MAX, sizeof(*state->estimates));
    state->decisions = calloc(CORE_DECISIONS, sizeof(*state->decisions));
    core->used = calloc(LIMIT_NODES, sizeof(*core->used));
    if (state->apps == NULL || state->nodes == NULL || state->instances == NULL ||
        state->handoffs == NULL || state->ended == NULL || state->commands == NULL ||
        state->routes == NULL || state->checkpoints == NULL || state->cordons == NULL ||
        state->operations == NULL || state->estimates == NULL || state->decisions == NULL ||
        core->used == NULL || core_indexes_create(&core->indexes) < 0) {
        core_destroy(core);
        return error_set(err, ERR_NO_MEMORY, 0, "the scheduler's tables do not fit in memory");
    }
    state->plan_status = SOLVE_NONE;
    *ret_core = core;
    return 0;
}

void core_destroy(struct core *core)
{
    if (core == NULL)
        return;
    for (int i = 0; i < core->state.app_count; i++)
        core_app_free(&core->state.apps[i]);
    free(core->state.apps);
    free(core->state.nodes);
    free(core->state.instances);
    free(core->state.handoffs);
    free(core->state.ended);
    free(core->state.commands);
    free(core->state.routes);
    free(core->state.checkpoints);
    free(core->state.cordons);
    for (int i = 0; i < core->state.operation_count; i++)
        core_operation_free(&core->state.operations[i]);
    free(core->state.operations);
    free(core->state.estimates);
    free(core->state.decisions);
    core_indexes_destroy(&core->indexes);
    free(core->used);
    arena_done(&core->world_arena);
    arena_done(&core->lent);
    free(core);
}

const struct core_state *core_state(const struct core *core)
{
    return &core->state;
}

void core_step(struct core *core, const struct core_event *event, struct core_effects *effects)
{
    effects->count = 0;
    arena_reset(&core->lent);
    core->effects = effects;
    if (event->at.us > core->state.now.us)
        core->state.now = event->at;
    core->used_rows = 0;
    core->pace.awake = event->kind != CORE_ANSWER && event->kind != CORE_REPORT &&
                       event->kind != CORE_PROBED && event->kind != CORE_TICK;
    if (core->pace.awake && event->kind != CORE_CHECKED)
        core->clock_next.us = 0; /* it may set any time of any workload */
    /* The clock of a new process may have gone far since: that is no command's age. */
    if (event->kind != CORE_STARTED)
        core_commands_due(core, event->kind == CORE_TICK);
    dispatch(core, event);
    core_clock_due(core);
    settle(core);
    if (event->kind != CORE_ANSWER && event->kind != CORE_PROBED)
        core_checkpoints_advance(core);
    core_routes_settle(core);
    core_solve_due(core);
    compact(core);
    if (core->reroute_all) { /* an app is gone */
        core_routes_settle(core);
        compact(core);
    }
    check(core);
    core->effects = NULL;
}

static void dispatch(struct core *core, const struct core_event *event)
{
    switch (event->kind) {
    case CORE_STARTED:
        started(core, event);
        break;
    case CORE_WORLD:
        core_on_world(core, event);
        break;
    case CORE_APPLY:
        core_on_apply(core, event);
        break;
    case CORE_DELETE:
        core_on_delete(core, event);
        break;
    case CORE_RETAG:
        core_on_retag(core, event);
        break;
    case CORE_MOVE:
        core_on_move(core, event);
        break;
    case CORE_HELLO:
        core_on_hello(core, event);
        break;
    case CORE_NODE_LOST:
        core_on_lost(core, event);
        break;
    case CORE_ANSWER:
        core_on_answer(core, event);
        break;
    case CORE_REPORT:
        core_on_report(core, event);
        break;
    case CORE_PROBED:
        core_on_probed(core, event);
        break;
    case CORE_ESTIMATES:
        core_on_estimates(core, event);
        break;
    case CORE_PLAN:
        core_on_plan(core, event);
        break;
    case CORE_CHECKED:
        core_on_checked(core, event);
        break;
    case CORE_CORDON_SET:
        core_on_cordon(core, event);
        break;
    case CORE_OPERATE:
        core_on_operate(core, event);
        break;
    case CORE_OPERATION_END:
        core_on_operation_end(core, event);
        break;
    case CORE_JUDGED:
        core_on_judged(core, event);
        break;
    case CORE_FENCED:
        core_on_fenced(core, event);
        break;
    case CORE_TICK:
        break;
    }
}

/* A new process: the one before may have died between its journal and its bus, so everything
 * without an answer is sent again, under the new term, which fences the old process off. A solve
 * that it had asked for will not be answered. */
static void started(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    state->term = event->started.term;
    if (state->epoch.term < state->term)
        state->epoch.term = state->term;
    core_nodes_renew(core);
    core_commands_renew(core, NULL);
    core_trials_renew(core);
    core_canaries_renew(core);
    /* Much may have happened meanwhile. No deadline is held against anybody before every node has
     * had the time to say hello or to be found lost. */
    int64_t heard_us = state->now.us + CORE_HEARD_US;
    if (state->world != NULL)
        heard_us += state->world->policy.node_timeout_us;
    for (int i = 0; i < state->handoff_count; i++) {
        if (state->handoffs[i].deadline.us < heard_us)
            state->handoffs[i].deadline.us = heard_us;
    }
    core_owners_renew(core);
    if (state->solving) {
        state->solving = false;
        core_inputs_changed(core, false);
    }
    core->diff = true;
    core->tidy = true;
}

/* Everything that follows from the tables, until nothing follows any more. */
static void settle(struct core *core)
{
    int passes = 0;
    for (;;) {
        core_handoffs_advance(core);
        bool more = core_operations_advance(core);
        if (more) {
            core->clock_next.us = 0; /* a step of theirs clears times */
            core->pace.awake = true;
        }
        more |= core_look_again(core);
        if (!more)
            return;
        BERTH_ASSERT(++passes < PASSES_MAX, "the core does not come to rest");
    }
}

/* Closes the holes that removed entries left. Keeps the order: people read these tables. */
static void compact(struct core *core)
{
    struct core_holes holes = core->holes;
    core->holes = (struct core_holes){false};
    if (holes.handoffs)
        compact_handoffs(core);
    if (holes.commands)
        compact_commands(core);
    if (holes.instances)
        compact_instances(core);
    if (core->sweep)
        core_apps_sweep(core);
}

static void compact_handoffs(struct core *core)
{
    struct core_state *state = &core->state;
    int kept = 0;
    for (int i = 0; i < state->handoff_count; i++) {
        if (state->handoffs[i].id[0] == 0)
            continue;
        if (kept != i) {
            state->handoffs[kept] = state->handoffs[i];
            index_move(&core->indexes.handoffs, i, kept);
            index_move(&core->indexes.handoff_slots, i, kept);
            core->pace.handoff_node[kept] = core->pace.handoff_node[i];
            core->pace.rests[kept] = core->pace.rests[i];
        }
        kept++;
    }
    if (kept == state->handoff_count)
        return;
    state->handoff_count = kept;
    index_relink(&core->indexes.handoffs, kept);
    index_relink(&core->indexes.handoff_slots, kept);
}

static void compact_commands(struct core *core)
{
    struct core_state *state = &core->state;
    int kept = 0;
    for (int i = 0; i < state->command_count; i++) {
        if (state->commands[i].id[0] == 0)
            continue;
        if (kept != i) {
            state->commands[kept] = state->commands[i];
            index_move(&core->indexes.commands, i, kept);
            index_move(&core->indexes.command_instances, i, kept);
        }
        kept++;
    }
    if (kept == state->command_count)
        return;
    state->command_count = kept;
    index_relink(&core->indexes.commands, kept);
    index_relink(&core->indexes.command_instances, kept);
}

static void compact_instances(struct core *core)
{
    struct core_state *state = &core->state;
    int kept = 0;
    for (int i = 0; i < state->instance_count; i++) {
        if (state->instances[i].id[0] == 0)
            continue;
        if (kept != i) {
            state->instances[kept] = state->instances[i];
            index_move(&core->indexes.instances, i, kept);
            index_move(&core->indexes.slots, i, kept);
            core->indexes.homes[kept] = core->indexes.homes[i];
        }
        kept++;
    }
    if (kept == state->instance_count)
        return;
    state->instance_count = kept;
    index_relink(&core->indexes.instances, kept);
    index_relink(&core->indexes.slots, kept);
}

/* The invariants of handoff.h that the tables can show, of the handoffs that were visited. */
static void check(struct core *core)
{
    const struct core_state *state = &core->state;
    for (int i = 0; i < state->handoff_count; i++) {
        if (!core->pace.rests[i].visited)
            continue;
        core->pace.rests[i].visited = false;
        const struct core_handoff *handoff = &state->handoffs[i];
        const struct core_instance *from = core_handoff_instance(core, handoff, handoff->from);
        const struct core_instance *to = core_handoff_instance(core, handoff, handoff->to);
        BERTH_ASSERT(handoff->from[0] != 0 || handoff->to[0] != 0, "handoff %s", handoff->id);
        BERTH_ASSERT(handoff->state != HANDOFF_STATE_DONE && handoff->state != HANDOFF_STATE_BACK,
                     "handoff %s has ended and is still here", handoff->id);
        bool drained = handoff->entered[HANDOFF_STATE_DRAINING].us != 0 ||
                       handoff->entered[HANDOFF_STATE_FREEZING].us != 0 ||
                       handoff->entered[HANDOFF_STATE_GRANTING].us != 0 ||
                       handoff->entered[HANDOFF_STATE_STOPPING].us != 0;
        BERTH_ASSERT(handoff->to[0] == 0 || !drained || from == NULL ||
                         handoff->entered[HANDOFF_STATE_REACHABLE].us != 0,
                     "handoff %s drains before the new copy was reached", handoff->id);
        BERTH_ASSERT(from == NULL || handoff->to[0] == 0 || drained || from->want == WANT_SERVE,
                     "handoff %s: %s is not to serve in state %s", handoff->id, from->id,
                     handoff_state_words[handoff->state]);
        BERTH_ASSERT(to == NULL || to->want == WANT_SERVE ||
                         handoff->state == HANDOFF_STATE_RETURNING,
                     "handoff %s: %s is to go in state %s", handoff->id, to->id,
                     handoff_state_words[handoff->state]);
    }
}

struct instant core_deadline(const struct core *core)
{
    const struct core_state *state = &core->state;
    struct instant first = {INT64_MAX};
    for (int i = 0; i < state->handoff_count; i++)
        sooner(core, &first, state->handoffs[i].deadline.us);
    for (int i = 0; i < state->command_count; i++) {
        const struct core_command *command = &state->commands[i];
        int64_t gap = command->answered ? core_command_keep_us(core, command) : CORE_RESEND_US;
        sooner(core, &first, command->sent.us + gap);
    }
    sooner(core, &first, core->clock_next.us);
    if (core->clock_next.us == 0)
        sooner(core, &first, workloads_deadline(core).us);
    if (state->changed.us != 0 && !state->solving && state->world != NULL) {
        sooner(core, &first, state->changed.us + state->world->policy.settle_us);
        sooner(core, &first,
               core->changed_first.us + CORE_SETTLES_MAX * state->world->policy.settle_us);
    }
    sooner(core, &first, state->moves_due.us);
    sooner(core, &first, core_checkpoints_deadline(core).us);
    if (core->starved)
        sooner(core, &first, state->now.us + CORE_RESEND_US);
    if (core->solve_retry.us != 0)
        sooner(core, &first, core->solve_retry.us);
    return first;
}

static struct instant workloads_deadline(const struct core *core)
{
    const struct core_state *state = &core->state;
    struct instant first = {INT64_MAX};
    for (int i = 0; i < state->app_count; i++) {
        for (int k = 0; k < state->apps[i].app.workload_count; k++) {
            const struct core_workload *workload = &state->apps[i].workloads[k];
            sooner(core, &first, workload->retry.us);
            if (workload->moved.us != 0 && state->world != NULL)
                sooner(core, &first, workload->moved.us + state->world->policy.dwell_us);
            if (workload->trial.site >= 0 && workload->trial.due.us != 0) {
                sooner(core, &first, workload->trial.due.us);
                sooner(core, &first, workload->trial.until.us);
            }
        }
    }
    return first;
}

/* What is due already has been tried in the last step; only something else can help it. */
static void sooner(const struct core *core, struct instant *first, int64_t us)
{
    if (us > core->state.now.us && us < first->us)
        first->us = us;
}

struct core_effect *core_emit(struct core *core, enum core_effect_kind kind)
{
    struct core_effects *effects = core->effects;
    if (effects->count == effects->capacity)
        return NULL;
    struct core_effect *effect = &effects->list[effects->count++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    return effect;
}

void core_reply(struct core *core, const struct core_event *event, int code, const char *text)
{
    if (event->request[0] == 0)
        return;
    struct core_effect *effect = core_emit(core, CORE_REPLY);
    if (effect == NULL)
        return;
    CORE_SET(effect->reply.request, event->request);
    effect->reply.code = code;
    core_cut(effect->reply.text, text);
    effect->reply.version = core->state.version;
}

void core_publish(struct core *core, const char *name, struct core_subject subject,
                  const char *text)
{
    struct core_effect *effect = core_emit(core, CORE_PUBLISH);
    if (effect == NULL)
        return;
    struct message_event *event = &effect->publish;
    event->wall_us = core->state.now.us;
    CORE_SET(event->name, name);
    CORE_SET(event->namespace_, subject.namespace_);
    CORE_SET(event->app, subject.app);
    CORE_SET(event->workload, subject.workload);
    CORE_SET(event->handoff, subject.handoff);
    CORE_SET(event->instance, subject.instance);
    CORE_SET(event->node, subject.node);
    CORE_SET(event->state, subject.state);
    core_cut(event->text, text);
}

void core_inputs_touched(struct core *core, struct core_app *app)
{
    struct core_state *state = &core->state;
    state->input_version++;
    if (app != NULL)
        app->input_version = state->input_version;
    if (state->changed.us == 0)
        core->changed_first = state->now;
    state->changed = state->now;
}

void core_inputs_changed(struct core *core, bool room)
{
    struct core_state *state = &core->state;
    core_inputs_touched(core, NULL);
    state->structure_version = state->input_version;
    if (!room || state->world == NULL)
        return;
    core->blocked = false;
    for (int i = 0; i < state->app_count; i++) {
        for (int k = 0; k < state->apps[i].app.workload_count; k++)
            memset(state->apps[i].workloads[k].site_blocked, 0, (size_t)state->world->site_count);
    }
    core->diff = true;
}

uint64_t core_next(struct core *core)
{
    return ++core->state.epoch.n;
}

const char *core_number(uint64_t n, char out[CORE_NUMBER_BYTES])
{
    char reversed[CORE_NUMBER_BYTES];
    int count = 0;
    do {
        reversed[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
        n /= 36;
    } while (n != 0);
    for (int i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    out[count] = 0;
    return out;
}

void core_cut(char out[LIMIT_TEXT_BYTES], const char *text)
{
    size_t bytes = strnlen(text, LIMIT_TEXT_BYTES);
    if (bytes == LIMIT_TEXT_BYTES) {
        bytes = LIMIT_TEXT_BYTES - 1;
        while (bytes > 0 && ((unsigned char)text[bytes] & 0xc0) == 0x80)
            bytes--;
    }
    memmove(out, text, bytes);
    out[bytes] = 0;
}

void core_set(char *out, size_t capacity, const char *text)
{
    int rc = str_copy(out, capacity, text == NULL ? "" : text);
    BERTH_ASSERT(rc == 0, "\"%.80s\" does not fit in %zu bytes", text, capacity);
}
