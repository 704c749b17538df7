#include "scheduler/core/handoff.h"

#include <string.h>

#include "base/str.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

static bool may_rest(const struct handoff_step *step);
static bool rests_on(struct core *core, int row);
static bool advance(struct handoff_step *step);
static enum handoff_class class_of(const struct core *core, const struct core_instance *side,
                                   enum handoff_reason reason);
static enum instance_state standby(const struct core_handoff *handoff);
static bool on_planned(struct handoff_step *step);
static bool on_staging(struct handoff_step *step);
static bool on_starting(struct handoff_step *step);
static bool on_ready(struct handoff_step *step);
static bool on_reachable(struct handoff_step *step);
static bool on_lingering(struct handoff_step *step);
static bool on_draining(struct handoff_step *step);
static bool on_held(struct handoff_step *step);
static bool on_stopping(struct handoff_step *step);
static bool on_returning(struct handoff_step *step);
static bool resumed(struct handoff_step *step);
static bool is_obsolete(const struct handoff_step *step, const char **ret_why);
static bool serves_alone(const struct handoff_step *step);
static bool has_slot(struct core *core);
static bool is_busy_move(const struct core_handoff *handoff);
static void moved(const struct handoff_step *step);

static bool (*const visits[HANDOFF_STATE_COUNT])(struct handoff_step *step) = {
    [HANDOFF_STATE_PLANNED] = on_planned,           [HANDOFF_STATE_STAGING] = on_staging,
    [HANDOFF_STATE_STARTING] = on_starting,         [HANDOFF_STATE_READY] = on_ready,
    [HANDOFF_STATE_REACHABLE] = on_reachable,       [HANDOFF_STATE_SHIPPING] = core_ship,
    [HANDOFF_STATE_FREEZING] = core_owner_freezing, [HANDOFF_STATE_FENCING] = core_owner_fencing,
    [HANDOFF_STATE_GRANTING] = core_owner_granting, [HANDOFF_STATE_LINGERING] = on_lingering,
    [HANDOFF_STATE_DRAINING] = on_draining,         [HANDOFF_STATE_HELD] = on_held,
    [HANDOFF_STATE_STOPPING] = on_stopping,         [HANDOFF_STATE_RETURNING] = on_returning,
    [HANDOFF_STATE_CANARY] = core_canary_visit,
};

void core_handoffs_advance(struct core *core)
{
    for (int i = 0; i < core->state.handoff_count; i++) {
        struct core_rest *rest = &core->pace.rests[i];
        if (rests_on(core, i))
            continue;
        struct core_handoff *handoff = &core->state.handoffs[i];
        struct handoff_step step = {.core = core, .handoff = handoff};
        rest->visited = true;
        do {
            if (handoff->id[0] == 0)
                break;
            step.from = core_handoff_instance(core, handoff, handoff->from);
            step.to = core_handoff_instance(core, handoff, handoff->to);
            step.placed = core_handoff_place(core, handoff, &step.place);
        } while (advance(&step));
        rest->rests = may_rest(&step);
        rest->for_slot = handoff->state == HANDOFF_STATE_PLANNED;
        rest->until_us = handoff->deadline.us;
    }
}

/* Nothing has woken it, and neither its deadline has come nor a slot, if it waits for one. */
static bool rests_on(struct core *core, int row)
{
    const struct core_rest *rest = &core->pace.rests[row];
    return rest->rests && !core->pace.awake && core->state.now.us < rest->until_us &&
           !(rest->for_slot && has_slot(core));
}

/* Until its deadline it only waits for what wakes it; a planned move that was not begun, for a slot
 * as well. When a table was full, it tries again. */
static bool may_rest(const struct handoff_step *step)
{
    const struct core_handoff *handoff = step->handoff;
    bool removal = handoff->to[0] == 0;
    return handoff->id[0] != 0 && step->placed && !core_is_owned(handoff) &&
           !core_is_http(&step->place) && !step->core->crowded &&
           !(removal && handoff->state == HANDOFF_STATE_PLANNED) &&
           handoff->state != HANDOFF_STATE_CANARY && handoff->state != HANDOFF_STATE_RETURNING;
}

/* True when the state changed, so that the next one is visited at once. */
static bool advance(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    const char *why = NULL;
    /* An owner that gives way serves nothing: going on is as quick as going back. */
    bool turns = handoff->state < HANDOFF_STATE_DRAINING &&
                 (!core_is_owned(handoff) || handoff->state < HANDOFF_STATE_FREEZING);
    if (handoff->to[0] != 0 && turns && handoff->reason != REASON_LEASE &&
        is_obsolete(step, &why)) {
        handoff->cancelled = true;
        return core_step_fail(step, why);
    }
    return visits[handoff->state](step);
}

/* The plan or the app has changed since, and the old copy still serves: no reason to go on. */
static bool is_obsolete(const struct handoff_step *step, const char **ret_why)
{
    const struct core_handoff *handoff = step->handoff;
    if (!step->placed || step->place.app->deleting ||
        handoff->replica >= step->place.workload->replicas) {
        *ret_why = "it is not wanted any more";
        return true;
    }
    if (serves_alone(step))
        return false;
    const struct world *world = step->core->state.world;
    int site = step->place.state->site;
    if (site < 0 || !str_equal(world->sites[site].name, handoff->to_site)) {
        *ret_why = "another site was chosen meanwhile";
        return true;
    }
    if (step->place.state->lead != (int)(step->place.state - step->place.app->workloads)) {
        *ret_why = "another part's instances are to serve it";
        return true;
    }
    if (step->to != NULL && step->to->spec_hash != step->place.spec_hash) {
        *ret_why = "a newer version was applied meanwhile";
        return true;
    }
    return false;
}

/* Then it is the service, wherever it is: what is wanted instead replaces it by a handoff of its
 * own, when this one is done. */
static bool serves_alone(const struct handoff_step *step)
{
    return !core_is_owned(step->handoff) && core_instance_is_dead(step->from) &&
           !core_instance_is_dead(step->to) && step->to->state == INSTANCE_READY;
}

struct core_handoff *core_handoff_begin(struct core *core, struct core_instance *from,
                                        struct core_instance *to, enum handoff_reason reason,
                                        const char *text)
{
    struct core_state *state = &core->state;
    const struct core_instance *side = to != NULL ? to : from;
    if (state->handoff_count == LIMIT_HANDOFFS)
        return NULL;
    BERTH_ASSERT(
        core_handoff_of(core, side->namespace_, side->app, side->workload, side->replica) == NULL,
        "a second handoff of %s/%s/%s replica %d", side->namespace_, side->app, side->workload,
        side->replica);
    struct core_handoff *handoff = &state->handoffs[state->handoff_count++];
    memset(handoff, 0, sizeof(*handoff));
    char number[CORE_NUMBER_BYTES];
    str_format(handoff->id, sizeof(handoff->id), "h%s", core_number(core_next(core), number));
    CORE_SET(handoff->namespace_, side->namespace_);
    CORE_SET(handoff->app, side->app);
    CORE_SET(handoff->workload, side->workload);
    handoff->replica = side->replica;
    handoff->reason = reason;
    handoff->class_ = class_of(core, side, reason);
    core_cut(handoff->text, text);
    if (from != NULL) {
        CORE_SET(handoff->from, from->id);
        CORE_SET(handoff->from_site, state->nodes[from->node_index].site);
        CORE_SET(from->handoff, handoff->id);
    }
    if (to != NULL) {
        CORE_SET(handoff->to, to->id);
        CORE_SET(handoff->to_site, state->nodes[to->node_index].site);
        CORE_SET(handoff->to_node, to->node);
        CORE_SET(to->handoff, handoff->id);
        /* The owner's lease ends before its silent node is found lost, on any clock. */
        if (core_is_owned(handoff) && reason != REASON_LEASE)
            to->lease_us = state->world->policy.node_timeout_us / 3 * 2;
        if (reason != REASON_LEASE)
            to->class_ = handoff->class_;
    }
    core_handoff_index(core, (int)(handoff - state->handoffs));
    core_handoff_enter(core, handoff, HANDOFF_STATE_PLANNED, INT64_MAX);
    return handoff;
}

/* As the workload is declared now; what owns again does so as what it was started. */
static enum handoff_class class_of(const struct core *core, const struct core_instance *side,
                                   enum handoff_reason reason)
{
    struct core_place place;
    if (reason == REASON_LEASE)
        return side->class_;
    return core_place_find(core, side->namespace_, side->app, side->workload, &place)
               ? place.workload->handoff
               : HANDOFF_OVERLAP;
}

void core_handoff_enter(struct core *core, struct core_handoff *handoff, enum handoff_state state,
                        int64_t limit_us)
{
    int64_t now_us = core->state.now.us;
    core->pace.moves -= is_busy_move(handoff);
    handoff->state = state;
    core->pace.moves += is_busy_move(handoff);
    core->pace.rests[handoff - core->state.handoffs].rests = false;
    handoff->entered[state] = core->state.now;
    handoff->route = 0;
    core_route_touch(core, handoff->namespace_, handoff->app, handoff->workload);
    handoff->deadline.us = limit_us == INT64_MAX ? INT64_MAX : now_us + limit_us;
    char text[LIMIT_TEXT_BYTES];
    switch (state) {
    case HANDOFF_STATE_REACHABLE:
        if (handoff->proven)
            CORE_TEXT(text, "every vantage (%d) got an answer with its identity",
                      handoff->vantage_count);
        else if (handoff->vantage_count == 0)
            CORE_TEXT(text, "not proven: no ingress is live");
        else if (core_speaks_contract(core, handoff))
            CORE_TEXT(text, "not proven: an answer through an ingress had no Berth-Instance");
        else
            CORE_TEXT(text, "not proven: it does not speak the workload contract");
        break;
    case HANDOFF_STATE_LINGERING:
        CORE_TEXT(text, "both serve for %lld ms, the slowest round trip and a margin",
                  (long long)(handoff->linger_us / 1000));
        break;
    case HANDOFF_STATE_PLANNED:
    case HANDOFF_STATE_RETURNING:
    case HANDOFF_STATE_BACK:
        CORE_TEXT(text, "%s", handoff->text);
        break;
    case HANDOFF_STATE_DONE:
        CORE_TEXT(text, "took %lld ms",
                  (long long)((now_us - handoff->entered[HANDOFF_STATE_PLANNED].us) / 1000));
        break;
    case HANDOFF_STATE_HELD:
        if (core_is_owned(handoff) && handoff->entered[HANDOFF_STATE_FREEZING].us != 0)
            CORE_TEXT(text, "nobody owned for %lld us; %lld KiB of state were shipped",
                      (long long)(now_us - handoff->entered[HANDOFF_STATE_FREEZING].us),
                      (long long)(handoff->shipped_bytes >> 10));
        else
            CORE_TEXT(text, "%s -> %s", handoff->from_site, handoff->to_site);
        break;
    default:
        CORE_TEXT(text, "%s%s%s", handoff->from_site, handoff->to[0] != 0 ? " -> " : "",
                  handoff->to_site);
        break;
    }
    core_publish(
        core, "handoff.step",
        (struct core_subject){.namespace_ = handoff->namespace_,
                              .app = handoff->app,
                              .workload = handoff->workload,
                              .handoff = handoff->id,
                              .instance = handoff->to[0] != 0 ? handoff->to : handoff->from,
                              .node = handoff->to_node,
                              .state = handoff_state_words[state]},
        text);
}

/* ---- the states, in order ---- */

static bool on_planned(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    if (handoff->to[0] == 0) {
        if (!core_instance_is_dead(step->from) &&
            core_routes_wait(step->core, handoff) == ROUTE_WAITING)
            return false; /* nobody is sent to it any more before it is told to drain */
        bool drains =
            step->placed && step->place.workload->contract && step->from != NULL &&
            !core_instance_is_dead(step->from) &&
            (step->from->state == INSTANCE_READY || step->from->state == INSTANCE_UNREADY);
        if (!drains) {
            core_step_stop_old(step);
            return true;
        }
        step->from->want = WANT_HELD;
        core_handoff_enter(step->core, handoff, HANDOFF_STATE_DRAINING,
                           step->place.workload->drain_timeout_us + CORE_GRACE_US);
        return true;
    }
    if (core_instance_is_dead(step->to))
        return core_step_fail(step, "the new node was lost");
    if (handoff->reason == REASON_LEASE) {
        core_owner_fence(step);
        return true;
    }
    /* Only moves of what runs wait for each other: starting what is not there cannot. */
    if (!core_instance_is_dead(step->from) && !has_slot(step->core))
        return false;
    core_handoff_enter(step->core, handoff, HANDOFF_STATE_STAGING, CORE_STAGE_US);
    return true;
}

/* Moves of what runs are counted once and from then on kept up to date. */
static bool has_slot(struct core *core)
{
    const struct core_state *state = &core->state;
    struct core_pace *pace = &core->pace;
    if (!pace->moves_counted) {
        pace->moves_counted = true;
        pace->moves = 0;
        for (int i = 0; i < state->handoff_count; i++)
            pace->moves += is_busy_move(&state->handoffs[i]);
    }
    return pace->moves < state->world->policy.moves_max;
}

static bool is_busy_move(const struct core_handoff *handoff)
{
    return handoff->id[0] != 0 && handoff->from[0] != 0 && handoff->to[0] != 0 &&
           handoff->state != HANDOFF_STATE_PLANNED;
}

static bool on_staging(struct handoff_step *step)
{
    if (core_step_new_failed(step))
        return true;
    if (step->to->state >= INSTANCE_STAGED) {
        core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_STARTING,
                           step->place.workload->start_timeout_us + CORE_GRACE_US);
        return true;
    }
    if (core_step_due(step))
        return core_step_fail(step, "the artifact was not staged in time");
    if (step->to->state == INSTANCE_ABSENT)
        (void)core_command_ensure(step->core, step->handoff->id, step->to, NODE_STAGE);
    return false;
}

static bool on_starting(struct handoff_step *step)
{
    if (core_step_new_failed(step))
        return true;
    if (step->to->state == standby(step->handoff)) {
        const struct world *world = step->core->state.world;
        core_vantages_choose(step->core, step->handoff);
        core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_READY,
                           CORE_REACH_US + world->policy.node_timeout_us);
        return true;
    }
    if (core_step_due(step))
        return core_step_fail(step, "the new copy did not become ready in time");
    if (step->to->state < INSTANCE_STARTING)
        (void)core_command_ensure(step->core, step->handoff->id, step->to, NODE_START);
    return false;
}

static bool on_ready(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    if (core_step_new_failed(step))
        return true;
    if (step->to->state != standby(handoff)) {
        /* It ended and its node starts it again. With nothing else there to serve, wait for it. */
        if (!core_instance_is_dead(step->from))
            return core_step_fail(step, "the new copy ended before it was reached");
#ifdef BERTH_PLANT_DRAIN_EARLY
        /* The fault that tests/fault must find: believe the new copy's word, probe nothing. */
    } else if (handoff->from[0] != 0) {
        handoff->linger_us = 0;
        core_handoff_enter(step->core, handoff, HANDOFF_STATE_REACHABLE, 0);
        return true;
#endif
    } else if (!core_routes_flushed(step->core, handoff)) {
        /* An ingress does not know it yet, and could not reach it. */
    } else if (!core_can_prove(step)) {
        handoff->proven = false;
        handoff->linger_us = core_linger_us(step->core, handoff);
        core_handoff_enter(step->core, handoff, HANDOFF_STATE_REACHABLE, 0);
        return true;
    } else if (core_vantages_probe(step->core, handoff, step->from, step->to)) {
        handoff->proven = core_is_proven(step);
        handoff->linger_us = core_linger_us(step->core, handoff);
        core_handoff_enter(step->core, handoff, HANDOFF_STATE_REACHABLE, 0);
        return true;
    }
    if (core_step_due(step))
        return core_step_fail(step, "the new copy was not reachable in time from every vantage");
    return false;
}

/* What the new copy is when it could take over: an owner to be is held until it is told. */
static enum instance_state standby(const struct core_handoff *handoff)
{
    return core_is_owned(handoff) ? INSTANCE_HELD : INSTANCE_READY;
}

static bool on_reachable(struct handoff_step *step)
{
    core_commands_drop_handoff(step->core, step->handoff->id);
    if (core_is_owned(step->handoff))
        return core_owner_reachable(step);
    if (step->handoff->from[0] == 0) {
        /* Done means that it serves: also for those who come through an ingress that is live. */
        if (!core_instance_is_dead(step->to) &&
            core_routes_wait(step->core, step->handoff) == ROUTE_WAITING)
            return false;
        return core_step_finish(step, HANDOFF_STATE_DONE);
    }
    if (core_instance_is_dead(step->from)) {
        core_step_stop_old(step);
        return true;
    }
    if (core_step_new_failed(step))
        return true;
    enum core_route_word route = core_routes_wait(step->core, step->handoff);
    if (route == ROUTE_WAITING)
        return false;
    if (route == ROUTE_LATE)
        return core_routes_fail(step);
    if (core_canary_wanted(step->core, step->handoff)) {
        core_canary_begin(step);
        return true;
    }
    core_linger(step);
    return true;
}

/* Both serve; where requests come through ingresses, the old copy gets no new ones. */
void core_linger(struct handoff_step *step)
{
    int64_t linger_us = step->handoff->linger_us;
#ifdef BERTH_PLANT_SKIP_LINGER
    linger_us = 0; /* the fault that tests/fault must find */
#endif
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_LINGERING, linger_us);
}

static bool on_lingering(struct handoff_step *step)
{
    if (core_step_new_failed(step))
        return true;
    if (core_instance_is_dead(step->from)) {
        core_step_stop_old(step);
        return true;
    }
    if (step->handoff->route == 0 && !core_step_due(step))
        return false;
    enum core_route_word route = core_routes_wait(step->core, step->handoff);
    if (route == ROUTE_WAITING)
        return false;
    if (route == ROUTE_LATE)
        return core_routes_fail(step);
    if (!step->place.workload->contract) {
        core_step_stop_old(step); /* it cannot be told to drain: SIGTERM is all it understands */
        return true;
    }
    step->from->want = WANT_HELD;
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_DRAINING,
                       step->place.workload->drain_timeout_us + CORE_GRACE_US);
    return true;
}

static bool on_draining(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    bool removal = handoff->to[0] == 0;
    if (!removal && core_step_new_failed(step))
        return true;
    /* Gone, or ended by itself while it drained: nothing is left to hold. */
    if (core_instance_is_dead(step->from) || step->from->state == INSTANCE_BACKOFF ||
        step->from->state == INSTANCE_STARTING) {
        core_step_stop_old(step);
        return true;
    }
    if (step->from->state == INSTANCE_HELD && !removal) {
        core_handoff_enter(step->core, handoff, HANDOFF_STATE_HELD,
                           step->core->state.world->policy.healthy_min_us);
        return true;
    }
    if (step->from->state == INSTANCE_HELD || core_step_due(step)) {
        core_step_stop_old(step); /* drained, or it has had its time */
        return true;
    }
    if (step->from->state == INSTANCE_READY || step->from->state == INSTANCE_UNREADY)
        (void)core_command_ensure(step->core, handoff->id, step->from, NODE_DRAIN);
    return false;
}

static bool on_held(struct handoff_step *step)
{
    /* The old copy of a stateful one lacks what has been written since: there is no way back. */
    if (step->handoff->class_ != HANDOFF_STATEFUL && core_step_new_failed(step))
        return true;
    if (core_instance_is_dead(step->from) || core_step_due(step)) {
        core_step_stop_old(step);
        return true;
    }
    return false;
}

static bool on_stopping(struct handoff_step *step)
{
    if (core_instance_is_dead(step->from))
        return core_step_finish(step, HANDOFF_STATE_DONE);
    /* Past the deadline it stays on the list of what is to go, and its node is told again. */
    if (core_step_due(step))
        return core_step_finish(step, HANDOFF_STATE_DONE);
    (void)core_command_ensure(step->core, step->handoff->id, step->from, NODE_STOP);
    return false;
}

static bool on_returning(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    bool owned = !core_instance_is_dead(step->from) && step->from->owner.n != 0;
    if (core_is_owned(handoff) || owned)
        return core_owner_returning(step);
    bool old_dead = core_instance_is_dead(step->from);
    bool new_ready = step->to != NULL && !step->to->lost && step->to->state == INSTANCE_READY &&
                     step->to->want == WANT_SERVE;
    if (old_dead && new_ready && !handoff->cancelled && handoff->from[0] != 0 &&
        handoff->entered[HANDOFF_STATE_REACHABLE].us != 0) {
        core_cut(handoff->text, "the old copy is gone and the new one serves again");
        core_step_stop_old(step);
        return true;
    }
    if (!old_dead && step->to != NULL && step->to->want == WANT_SERVE && !resumed(step) &&
        !core_step_due(step))
        return false;
    /* Requests go to the old copy again before the new one ends. */
    if (!old_dead && !core_instance_is_dead(step->to) && step->to->want == WANT_SERVE &&
        core_routes_wait(step->core, handoff) == ROUTE_WAITING)
        return false;
    return core_step_end_new(step);
}

bool core_step_end_new(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    if (step->from != NULL)
        step->from->want = WANT_SERVE;
    if (step->to == NULL || core_instance_is_dead(step->to))
        return core_step_finish(step, HANDOFF_STATE_BACK);
    if (step->to->want != WANT_GONE) {
        step->to->want = WANT_GONE;
        core_route_touch(step->core, handoff->namespace_, handoff->app, handoff->workload);
        int64_t stop_us = step->placed ? step->place.workload->stop_timeout_us : 0;
        handoff->deadline.us = step->core->state.now.us + stop_us + CORE_GRACE_US;
    }
    if (core_step_due(step))
        return core_step_finish(step, HANDOFF_STATE_BACK);
    (void)core_command_ensure(step->core, handoff->id, step->to, NODE_STOP);
    return false;
}

/* The old copy serves and will go on to. Where a DRAIN may be under way, only a RESUME that has
 * been taken makes sure of that: it carries the higher epoch, so a late DRAIN is refused. */
static bool resumed(struct handoff_step *step)
{
    bool serves = step->from->state == INSTANCE_READY || step->from->state == INSTANCE_UNREADY;
    if (step->handoff->entered[HANDOFF_STATE_DRAINING].us == 0)
        return serves;
    const struct core_command *command =
        core_command_ensure(step->core, step->handoff->id, step->from, NODE_RESUME);
    return serves && command != NULL && command->answered;
}

/* ---- what the states share ---- */

bool core_step_due(const struct handoff_step *step)
{
    return step->core->state.now.us >= step->handoff->deadline.us;
}

/* Before `stopping` anything that befalls the new copy sends the handoff back. In staging and
 * starting a process may come and go: there only the node's own word counts. */
bool core_step_new_failed(struct handoff_step *step)
{
    const struct core_instance *to = step->to;
    enum handoff_state state = step->handoff->state;
    char why[LIMIT_TEXT_BYTES];
    bool stands_by = core_is_owned(step->handoff) && state <= HANDOFF_STATE_GRANTING;
    bool serves =
        to != NULL && (to->state == INSTANCE_READY || (stands_by && to->state == INSTANCE_HELD));
    /* One that owns again has what nobody else has: its node may be freezing it once more, or
     * starting it, and it is waited for while it lives. */
    bool returns = step->handoff->reason == REASON_LEASE && stands_by;
    if (to != NULL && !core_instance_is_dead(to) &&
        (state <= HANDOFF_STATE_READY || serves || returns))
        return false;
    if (to == NULL || to->lost)
        CORE_TEXT(why, "the new copy's node was lost");
    else
        CORE_TEXT(why, "the new copy is %s: %s", instance_state_words[to->state], to->detail);
    return core_step_fail(step, why);
}

bool core_step_fail(struct handoff_step *step, const char *why)
{
    struct core_handoff *handoff = step->handoff;
    core_cut(handoff->text, why);
    core_commands_drop_handoff(step->core, handoff->id);
    handoff->owner = (struct epoch){0, 0}; /* another one, for whoever is to own now */
    handoff->fenced = false;
    int64_t limit_us = CORE_GRACE_US;
    if (step->from != NULL && step->placed)
        limit_us += step->place.workload->start_timeout_us;
    if (step->from != NULL)
        step->from->want = WANT_SERVE;
    core_handoff_enter(step->core, handoff, HANDOFF_STATE_RETURNING, limit_us);
    return true;
}

/* The way forward: from here the old copy is ended, whatever happens. */
void core_step_stop_old(struct handoff_step *step)
{
    core_commands_drop_handoff(step->core, step->handoff->id);
    if (step->from != NULL)
        step->from->want = WANT_GONE;
    int64_t stop_us = step->placed ? step->place.workload->stop_timeout_us : 0;
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_STOPPING, stop_us + CORE_GRACE_US);
}

bool core_step_finish(struct handoff_step *step, enum handoff_state state)
{
    struct core *core = step->core;
    struct core_handoff *handoff = step->handoff;
    core_commands_drop_handoff(core, handoff->id);
    if (step->from != NULL) {
        step->from->handoff[0] = 0;
        step->from->want = state == HANDOFF_STATE_DONE ? WANT_GONE : WANT_SERVE;
    }
    if (step->to != NULL) {
        step->to->handoff[0] = 0;
        if (state == HANDOFF_STATE_BACK)
            step->to->want = WANT_GONE;
    }
    bool dwells = false;
    if (step->placed) {
        struct core_workload *workload = step->place.state;
        core_clock_forget(core, &step->place);
        if (state == HANDOFF_STATE_BACK && !handoff->cancelled) {
            int doublings = workload->failures < 16 ? workload->failures : 16;
            int64_t wait_us = CORE_RETRY_US << doublings;
            int64_t ship_us = core_ship_wait_us(core, handoff, workload);
            wait_us = wait_us < CORE_RETRY_MAX_US ? wait_us : CORE_RETRY_MAX_US;
            workload->failures++;
            workload->retry.us = core->state.now.us + (wait_us > ship_us ? wait_us : ship_us);
        } else if (state == HANDOFF_STATE_DONE && handoff->to[0] != 0) {
            workload->failures = 0;
            workload->ship_late = 0;
            workload->retry.us = 0;
            /* A first start too: its cache is cold, and what is measured now will not last. */
            if (handoff->reason != REASON_LEASE &&
                (!str_equal(handoff->from_site, handoff->to_site) ||
                 handoff->reason == REASON_SAVING || handoff->reason == REASON_REGRET)) {
                moved(step);
                dwells = core->state.world->policy.dwell_us > 0;
            }
        } else if (state == HANDOFF_STATE_DONE &&
                   workload->lead != (int)(workload - step->place.app->workloads)) {
            workload->moved = core->state.now;
        }
        if (state == HANDOFF_STATE_DONE && handoff->reason != REASON_LEASE)
            core_trial_begin(core, step->place.app, (int)(workload - step->place.app->workloads));
        core_clock_of(core, workload);
    }
    core_handoff_enter(core, handoff, state, INT64_MAX);
    handoff->handed[0] = 0; /* the workload's own: not kept longer than it is needed */
    core->state.ended[core->state.ended_count++ % CORE_ENDED] = *handoff;
    core->pace.moves -= is_busy_move(handoff);
    handoff->id[0] = 0;
    core->holes.handoffs = true;
    core_slot_changed(core, handoff->namespace_, handoff->app, handoff->workload);
    core_instance_changed(core, step->from);
    core_instance_changed(core, step->to);
    core_pace_ended(core);
    /* It was held by its handoff and is held by its dwell now: a plan would see the same. */
    if (!dwells)
        core_inputs_touched(core, step->placed ? step->place.app : NULL);
    return false;
}

/* Whom its instances serve has moved with it. */
static void moved(const struct handoff_step *step)
{
    struct core_app *app = step->place.app;
    int index = (int)(step->place.state - app->workloads);
    for (int i = 0; i < app->app.workload_count; i++) {
        if (i == index || app->workloads[i].lead == index)
            app->workloads[i].moved = step->core->state.now;
    }
}

void core_handoff_refused(struct core *core, struct core_handoff *handoff,
                          const struct core_command *command, const char *text)
{
    struct handoff_step step = {.core = core, .handoff = handoff};
    step.from = core_handoff_instance(core, handoff, handoff->from);
    step.to = core_handoff_instance(core, handoff, handoff->to);
    step.placed =
        core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &step.place);
    char why[LIMIT_TEXT_BYTES];
    CORE_TEXT(why, "%s was refused by %s: %s", node_verb_words[command->verb], command->node, text);
    if (handoff->state == HANDOFF_STATE_RETURNING || handoff->state == HANDOFF_STATE_STOPPING)
        return;
    if (command->verb == NODE_RESTORE)
        core_checkpoint_failed(core, handoff);
    if (handoff->to[0] == 0)
        core_step_stop_old(&step); /* a removal does not hang on a drain */
    else
        (void)core_step_fail(&step, why);
}
