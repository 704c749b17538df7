/*
 * Exclusive and stateful workloads: at most one copy may own at a time. The old owner is frozen (or
 * its process is gone, or its lease is over), then the new owner's epoch is written where resources
 * look, and only then is the new one told. Whatever goes back takes the same way with the sides
 * exchanged: its old epoch is never used again.
 */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

static enum core_route_word quiet(struct handoff_step *step);
static bool froze(struct handoff_step *step, struct core_instance *owner);
static bool only_forward(const struct handoff_step *step);
static bool may_fence_at_once(const struct handoff_step *step);
static void fence_begin(struct handoff_step *step, bool at_once);
static void fence_send(struct core *core, const struct core_handoff *handoff, bool at_once);
static bool fence_wait(struct handoff_step *step, const struct core_instance *next);
static void grant(struct handoff_step *step, struct core_instance *next);
static bool granted(struct handoff_step *step, const struct core_instance *next);
static bool is_clear(const struct core *core, const struct core_instance *next);
static void outdated(struct core *core, struct core_handoff *handoff);
static bool goes_forward(const struct handoff_step *step);
static void take_back(struct handoff_step *step);
static bool owns_again(struct handoff_step *step);

bool core_is_owned(const struct core_handoff *handoff)
{
    return handoff->class_ != HANDOFF_OVERLAP;
}

bool core_may_own(const struct core *core, const struct core_instance *instance)
{
    if (instance->id[0] == 0 || instance->owner.n == 0 || instance->frozen ||
        core_instance_is_settled(instance))
        return false;
    if (!instance->lost)
        return true;
    /* A node is found lost when every lease on it is over; unless the timeout has been made shorter
     * since the lease was given. */
    int64_t timeout_us = core->state.world->policy.node_timeout_us;
    int64_t over_us = core->state.nodes[instance->node_index].since.us +
                      (instance->lease_us < timeout_us ? 0 : instance->lease_us);
    /* Nor is a RESUME that is still on its way, or waits there for a lease, taken later than this.
     */
    if (over_us < instance->granted.us)
        over_us = instance->granted.us;
    return core->state.now.us < over_us;
}

/* ---- the states ---- */

bool core_owner_reachable(struct handoff_step *step)
{
    struct core_instance *from = step->from;
    if (step->handoff->from[0] == 0 || core_instance_is_dead(from)) {
        core_owner_alone(step);
        return true;
    }
    /* Whether it still may be about to own again only its node knows. */
    if (from->owner.n != 0 && from->state == INSTANCE_HELD) {
        step->handoff->cancelled = true;
        return core_step_fail(step, "the old copy's lease has ended: it owns again first");
    }
    if (step->handoff->class_ == HANDOFF_STATEFUL && from->class_ == HANDOFF_STATEFUL) {
        core_ship_begin(step);
        return true;
    }
    core_owner_freeze(step);
    return true;
}

void core_owner_freeze(struct handoff_step *step)
{
    core_commands_drop_handoff(step->core, step->handoff->id);
    step->from->want = WANT_HELD;
    step->handoff->quiet.us = 0;
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_FREEZING,
                       core_owner_patience_us(step));
}

bool core_owner_freezing(struct handoff_step *step)
{
    struct core_instance *from = step->from;
    if (core_step_new_failed(step))
        return true;
    if (from == NULL || (core_instance_is_dead(from) && !from->frozen)) {
        core_owner_fence(step);
        return true;
    }
    enum core_route_word word = from->frozen ? ROUTE_TAKEN : quiet(step);
    if (word == ROUTE_LATE)
        return core_routes_fail(step);
    if (word == ROUTE_WAITING)
        return false;
    if (core_step_due(step))
        return core_step_fail(step, from->frozen ? "its last state was not shipped in time"
                                                 : "the old copy did not freeze in time");
    if (!froze(step, from))
        return false;
    if (!core_ship_last(step))
        return false;
    core_owner_fence(step);
    return true;
}

/* Requests of users wait in every ingress, and what was on its way to the owner has had the linger
 * to get there: a frozen one would refuse it. The deadline is that of the wait, then of the freeze.
 */
static enum core_route_word quiet(struct handoff_step *step)
{
    struct core *core = step->core;
    struct core_handoff *handoff = step->handoff;
    if (handoff->quiet.us == 0) {
        enum core_route_word word = core_routes_wait(core, handoff);
        if (word != ROUTE_TAKEN)
            return word;
        bool users = core_ingress_count(core) > 0 &&
                     core_route_find(core, handoff->namespace_, handoff->app, handoff->workload);
        handoff->quiet.us = core->state.now.us + (users ? handoff->linger_us : 0);
        handoff->deadline = handoff->quiet;
    }
    if (core->state.now.us < handoff->quiet.us)
        return ROUTE_WAITING;
    if (handoff->deadline.us < handoff->quiet.us + core_owner_patience_us(step))
        handoff->deadline.us = handoff->quiet.us + core_owner_patience_us(step);
    return ROUTE_TAKEN;
}

/* Tells the owner to freeze; true when it has. One that ends by itself meanwhile must not be
 * started again by its node, which would make it the owner again. */
static bool froze(struct handoff_step *step, struct core_instance *owner)
{
    if (owner->frozen)
        return true;
    bool ended = owner->state == INSTANCE_BACKOFF || owner->state == INSTANCE_STARTING ||
                 owner->state == INSTANCE_STOPPING;
    const struct core_command *command =
        core_command_ensure(step->core, step->handoff->id, owner, ended ? NODE_STOP : NODE_DRAIN);
    bool taken =
        command != NULL && (command->taken || epoch_compare(owner->epoch, command->epoch) >= 0);
    if (!ended && owner->state == INSTANCE_HELD && taken)
        owner->frozen = true;
    return owner->frozen;
}

/* What a stateful copy has taken since it was told to own nobody else has: while it lives, the way
 * back would lose it. One that does not take over in time is made the owner anew. */
static bool only_forward(const struct handoff_step *step)
{
    return step->handoff->class_ == HANDOFF_STATEFUL &&
           step->handoff->entered[HANDOFF_STATE_GRANTING].us != 0 &&
           !core_instance_is_dead(step->to);
}

bool core_owner_fencing(struct handoff_step *step)
{
    if (!only_forward(step) && core_step_new_failed(step))
        return true;
    /* It said that it had frozen, and serves: nobody else is told that it owns. */
    if (!core_instance_is_dead(step->from) && core_may_own(step->core, step->from)) {
        /* What it has is the state no more, once the new one may have taken over: not shipped. */
        if (only_forward(step)) {
            step->from->want = WANT_HELD;
            (void)froze(step, step->from);
            return false;
        }
        core_owner_freeze(step);
        return true;
    }
    if (!fence_wait(step, step->to))
        return false;
    grant(step, step->to);
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_GRANTING,
                       core_owner_patience_us(step));
    return true;
}

bool core_owner_granting(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    bool forward = only_forward(step);
    if (!forward && core_step_new_failed(step))
        return true;
    if (granted(step, step->to)) {
        core_commands_drop_handoff(step->core, handoff->id);
        if (handoff->from[0] == 0)
            return core_step_finish(step, HANDOFF_STATE_DONE);
        if (core_instance_is_dead(step->from))
            core_step_stop_old(step);
        else
            core_handoff_enter(step->core, handoff, HANDOFF_STATE_HELD,
                               step->core->state.world->policy.healthy_min_us);
        return true;
    }
    if (!core_step_due(step))
        return false;
    if (!forward)
        return core_step_fail(step, "the new copy did not take over in time");
    core_owner_fence(step);
    return true;
}

/* Back: whoever owns now gives it up, the old copy owns again, the new one is ended. */
bool core_owner_returning(struct handoff_step *step)
{
    if (core_instance_is_dead(step->from)) {
        if (!goes_forward(step))
            return core_step_end_new(step);
        core_cut(step->handoff->text, "the old copy is gone: the new one owns");
        core_owner_fence(step);
        return true;
    }
    if (step->to != NULL && core_may_own(step->core, step->to)) {
        take_back(step);
        if (core_may_own(step->core, step->to))
            return false;
    }
    return owns_again(step) && core_step_end_new(step);
}

/* With nothing to go back to, a new copy that could own is better than none; but not an empty one
 * while there is a checkpoint to try again. */
static bool goes_forward(const struct handoff_step *step)
{
    const struct core_handoff *handoff = step->handoff;
    const struct core_instance *to = step->to;
    if (to != NULL && to->round == 0 && core_checkpoint_is_there(step->core, handoff))
        return false;
    if (to == NULL || core_instance_is_dead(to) || to->want != WANT_SERVE || handoff->cancelled ||
        handoff->from[0] == 0 || handoff->entered[HANDOFF_STATE_REACHABLE].us == 0)
        return false;
    return to->state == INSTANCE_READY ||
           (to->state == INSTANCE_HELD && !core_may_own(step->core, to));
}

/* Frozen, so that what it hands over goes back with the ownership; what does not say that it froze,
 * or may not even have begun to own, is ended. Until it is, nobody owns: rather none than two. */
static void take_back(struct handoff_step *step)
{
    struct core_instance *to = step->to;
    bool serves = to->state == INSTANCE_READY || to->state == INSTANCE_UNREADY ||
                  to->state == INSTANCE_DRAINING;
    bool freezes = step->handoff->entered[HANDOFF_STATE_HELD].us != 0 && to->want == WANT_SERVE &&
                   !core_step_due(step);
    if (to->lost)
        return; /* until its lease is over */
    if (freezes && (serves || to->state == INSTANCE_HELD)) {
        (void)froze(step, to);
        return;
    }
    to->want = WANT_GONE;
    (void)core_command_ensure(step->core, step->handoff->id, to, NODE_STOP);
}

/* The old copy owns; by a new epoch, if it was told to freeze or its lease has ended. */
static bool owns_again(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    struct core_instance *from = step->from;
    if (handoff->entered[HANDOFF_STATE_FREEZING].us == 0 &&
        handoff->entered[HANDOFF_STATE_DRAINING].us == 0 && from->state != INSTANCE_HELD)
        return true;
    if (handoff->owner.n == 0) {
        core_commands_drop_handoff(step->core, handoff->id);
        fence_begin(step, false);
        return false;
    }
    if (epoch_compare(from->owner, handoff->owner) != 0) {
        if (!fence_wait(step, from))
            return false;
        grant(step, from);
        handoff->deadline.us = step->core->state.now.us + core_owner_patience_us(step);
    }
    /* Past the deadline it is what its node says it is; one that is held is told again, later. */
    return granted(step, from) || core_step_due(step);
}

/* ---- epochs ---- */

void core_owner_fence(struct handoff_step *step)
{
    bool at_once = may_fence_at_once(step);
    core_commands_drop_handoff(step->core, step->handoff->id);
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_FENCING, CORE_FENCE_US);
    fence_begin(step, at_once);
}

/* See core_effect.fence.at_once. The freeze is of an earlier event, and of an earlier batch of
 * them: its DRAIN has left, since it was obeyed. */
static bool may_fence_at_once(const struct handoff_step *step)
{
    const struct core_handoff *handoff = step->handoff;
    return handoff->state == HANDOFF_STATE_FREEZING && step->from != NULL && step->from->frozen &&
           handoff->entered[HANDOFF_STATE_FREEZING].us < step->core->state.now.us;
}

static void fence_begin(struct handoff_step *step, bool at_once)
{
    struct core *core = step->core;
    step->handoff->owner = (struct epoch){core->state.epoch.term, core_next(core)};
    step->handoff->fenced = false;
    step->handoff->deadline.us = core->state.now.us + CORE_FENCE_US;
    fence_send(core, step->handoff, at_once);
}

/* One that finds no room among the effects is sent with the next repetition. */
static void fence_send(struct core *core, const struct core_handoff *handoff, bool at_once)
{
    struct core_effect *effect = core_emit(core, CORE_FENCE);
    if (effect == NULL)
        return;
    CORE_SET(effect->fence.handoff, handoff->id);
    CORE_SET(effect->fence.namespace_, handoff->namespace_);
    CORE_SET(effect->fence.app, handoff->app);
    CORE_SET(effect->fence.workload, handoff->workload);
    effect->fence.replica = handoff->replica;
    CORE_SET(effect->fence.instance,
             handoff->state == HANDOFF_STATE_RETURNING ? handoff->from : handoff->to);
    effect->fence.owner = handoff->owner;
    effect->fence.at_once = at_once;
}

/* True when the epoch is where resources look and nobody else may own any more. */
static bool fence_wait(struct handoff_step *step, const struct core_instance *next)
{
    struct core_handoff *handoff = step->handoff;
    if (core_step_due(step)) {
        handoff->deadline.us = step->core->state.now.us + CORE_FENCE_US;
        if (!handoff->fenced)
            fence_send(step->core, handoff, false);
    }
#ifdef BERTH_PLANT_SKIP_FENCE
    return is_clear(step->core, next); /* the fault that tests/fault must find */
#endif
    return handoff->fenced && is_clear(step->core, next);
}

static bool is_clear(const struct core *core, const struct core_instance *next)
{
    const struct index *slots = &core->indexes.slots;
    uint64_t hash = core_slot_hash(next->namespace_, next->app, next->workload);
    for (int i = index_first(slots, hash); i >= 0; i = index_next(slots, i)) {
        const struct core_instance *other = &core->state.instances[i];
        if (other != next && other->replica == next->replica &&
            str_equal(other->workload, next->workload) && str_equal(other->app, next->app) &&
            str_equal(other->namespace_, next->namespace_) && core_may_own(core, other))
            return false;
    }
    return true;
}

/* From here on it may own: its RESUME can be on the way. */
static void grant(struct handoff_step *step, struct core_instance *next)
{
#ifdef BERTH_PLANT_SKIP_FENCE
    step->handoff->fenced = true;
#endif
    BERTH_ASSERT(step->handoff->fenced && is_clear(step->core, next),
                 "handoff %s: %s is to own while another may", step->handoff->id, next->id);
    next->owner = step->handoff->owner;
    next->frozen = false;
}

/* Its RESUME carries the owner's epoch itself: an answer to it, or a report after it, is of that
 * ownership and no earlier one. */
static bool granted(struct handoff_step *step, const struct core_instance *next)
{
    const struct core_command *command = core_grant_ensure(step->core, step->handoff, next);
    bool taken = command != NULL &&
                 (command->taken || epoch_compare(next->epoch, step->handoff->owner) >= 0);
    return next->state == INSTANCE_READY && taken;
}

void core_on_fenced(struct core *core, const struct core_event *event)
{
    struct core_handoff *handoff = core_handoff_find(core, event->fenced.handoff);
    if (handoff == NULL || handoff->fenced || handoff->owner.n == 0 ||
        epoch_compare(handoff->owner, event->fenced.owner) != 0)
        return; /* of an epoch that is not waited for any more */
    if (event->fenced.code == 0) {
        handoff->fenced = true;
        return;
    }
    if (event->fenced.code != ERR_STALE)
        return; /* unknown: it is sent again when the state's time is over */
    /* Somebody owned by a higher epoch: an older copy of this journal, another scheduler. */
    struct epoch stored = event->fenced.stored;
    struct epoch *mine = &core->state.epoch;
    if (stored.term > mine->term)
        mine->term = stored.term;
    if (stored.n > mine->n)
        mine->n = stored.n;
    outdated(core, handoff);
}

void core_owner_outdated(struct core *core, struct core_handoff *handoff)
{
    if (handoff->state == HANDOFF_STATE_GRANTING)
        core_handoff_enter(core, handoff, HANDOFF_STATE_FENCING, CORE_FENCE_US);
    if (handoff->state == HANDOFF_STATE_FENCING || handoff->state == HANDOFF_STATE_RETURNING)
        outdated(core, handoff);
}

static void outdated(struct core *core, struct core_handoff *handoff)
{
    struct handoff_step step = {.core = core, .handoff = handoff};
    core_commands_drop_handoff(core, handoff->id);
    fence_begin(&step, false);
}

void core_owner_failed(struct core *core, struct core_handoff *handoff,
                       const struct core_instance *instance)
{
    struct core_command *command = NULL;
    bool asked = false;
    while ((command = core_command_next(core, instance->id, command)) != NULL)
        asked |= (command->verb == NODE_SNAPSHOT || command->verb == NODE_RESTORE ||
                  command->verb == NODE_DRAIN) &&
                 (command->taken || epoch_compare(instance->epoch, command->epoch) >= 0);
    if (!asked || !core_is_owned(handoff) || core_instance_is_settled(instance) ||
        (handoff->state != HANDOFF_STATE_SHIPPING && handoff->state != HANDOFF_STATE_FREEZING))
        return;
    struct handoff_step step = {.core = core, .handoff = handoff};
    step.from = core_handoff_instance(core, handoff, handoff->from);
    step.to = core_handoff_instance(core, handoff, handoff->to);
    step.placed =
        core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &step.place);
    char why[LIMIT_TEXT_BYTES];
    CORE_TEXT(why, "%s on %s: %s", instance->id, instance->node, instance->detail);
    core_checkpoint_failed(core, handoff);
    (void)core_step_fail(&step, why);
}

void core_owners_renew(struct core *core)
{
    for (int i = 0; i < core->state.handoff_count; i++) {
        struct core_handoff *handoff = &core->state.handoffs[i];
        if (handoff->id[0] == 0 || handoff->owner.n == 0 || handoff->fenced)
            continue;
        handoff->deadline.us = core->state.now.us + CORE_FENCE_US;
        fence_send(core, handoff, false);
    }
}

bool core_owner_reclaim(struct core *core, struct core_instance *instance)
{
    if (instance->class_ == HANDOFF_OVERLAP || instance->owner.n == 0 ||
        instance->state != INSTANCE_HELD || instance->lost || instance->handoff[0] != 0)
        return false;
    if (core_pace_room(core, -1))
        (void)core_handoff_begin(core, NULL, instance, REASON_LEASE,
                                 "its lease had ended: it owns again, by a new epoch");
    return true;
}

int64_t core_owner_patience_us(const struct handoff_step *step)
{
    return CORE_GRACE_US + (step->placed ? step->place.workload->drain_timeout_us : 0);
}
