/*
 * State that moves with its owner, in rounds: the first exports everything while the old copy
 * serves, each further one what has changed since; when little changes, the old copy is frozen and
 * exports the rest. The node of the old copy puts each round into the object store, the node of the
 * new one fetches and imports it. A failure before the freeze interrupts nobody.
 *
 * How long a round may take follows from its size and the way; one that was not done by then is
 * given twice as long the next time, so that a thin line is learnt in a few tries, and the tries
 * come further apart. Nothing is frozen whose last round could not be shipped within a freeze.
 */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

static void round_begin(struct handoff_step *step);
static int64_t known_bytes(const struct handoff_step *step);
static void tell_slow(const struct handoff_step *step, const char *text);
static bool too_long(struct handoff_step *step);
static bool imported(struct handoff_step *step);

void core_ship_begin(struct handoff_step *step)
{
    /* A checkpoint that is being made gives way. */
    core_commands_drop_instance(step->core, step->from->id, step->from->node);
    /* What they say of earlier handoffs counts for nothing. */
    step->from->round = 0;
    step->to->round = 0;
    step->handoff->round = 0;
    step->handoff->shipped_bytes = 0;
    step->handoff->first_bytes = 0;
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_SHIPPING, INT64_MAX);
    round_begin(step);
}

static void round_begin(struct handoff_step *step)
{
    core_commands_drop_handoff(step->core, step->handoff->id);
    memset(&step->from->object, 0, sizeof(step->from->object));
    step->handoff->round++;
    step->handoff->round_at = step->core->state.now;
    step->handoff->deadline.us =
        step->core->state.now.us + core_ship_allowed_us(step, known_bytes(step));
}

int64_t core_ship_allowed_us(const struct handoff_step *step, int64_t bytes)
{
    const struct core *core = step->core;
    const struct world *world = core->state.world;
    int from = world_site(world, step->handoff->from_site);
    int to = world_site(world, step->handoff->to_site);
    int64_t mib_us = CORE_SHIP_MIB_US;
    if (from >= 0 && to >= 0 && world->us_per_mib[from * world->site_count + to] > mib_us)
        mib_us = world->us_per_mib[from * world->site_count + to];
    /* Into the store and out of it. */
    __int128 us = CORE_SHIP_US + 2 * ((__int128)bytes * mib_us >> 20);
    if (step->placed && us < step->place.state->ship_us)
        us = step->place.state->ship_us;
    return us < CORE_SHIP_MAX_US ? (int64_t)us : CORE_SHIP_MAX_US;
}

/* What its document says, or was once exported, whatever is more. */
static int64_t known_bytes(const struct handoff_step *step)
{
    const struct core_handoff *handoff = step->handoff;
    int64_t bytes =
        step->placed ? core_checkpoint_bytes(step->core, &step->place, handoff->replica) : 0;
    return bytes > handoff->first_bytes ? bytes : handoff->first_bytes;
}

void core_ship_late(struct handoff_step *step, char why[LIMIT_TEXT_BYTES])
{
    const struct core_handoff *handoff = step->handoff;
    int64_t given_us = handoff->deadline.us - handoff->round_at.us;
    char text[LIMIT_TEXT_BYTES];
    if (!step->placed)
        return;
    struct core_workload *state = step->place.state;
    state->ship_late++;
    state->ship_us = 2 * given_us < CORE_SHIP_MAX_US ? 2 * given_us : CORE_SHIP_MAX_US;
    CORE_TEXT(text, "%.180s in %lld s; the next try has %lld s for it", why,
              (long long)(given_us / US_PER_S), (long long)(state->ship_us / US_PER_S));
    core_cut(why, text);
    tell_slow(step, why);
}

static void tell_slow(const struct handoff_step *step, const char *text)
{
    const struct core_handoff *handoff = step->handoff;
    core_publish(step->core, "state.slow",
                 (struct core_subject){.namespace_ = handoff->namespace_,
                                       .app = handoff->app,
                                       .workload = handoff->workload,
                                       .handoff = handoff->id,
                                       .instance = handoff->to},
                 text);
}

int64_t core_ship_wait_us(const struct core *core, const struct core_handoff *handoff,
                          const struct core_workload *workload)
{
    int64_t begun_us = handoff->entered[HANDOFF_STATE_SHIPPING].us;
    int doublings = workload->ship_late < 16 ? workload->ship_late - 1 : 15;
    if (begun_us == 0 || workload->ship_late == 0)
        return 0;
    __int128 us = (__int128)(core->state.now.us - begun_us) << doublings;
    return us < CORE_SHIP_WAIT_MAX_US ? (int64_t)us : CORE_SHIP_WAIT_MAX_US;
}

int64_t core_ship_keep_us(const struct core *core, const struct core_command *command)
{
    const struct core_handoff *handoff = core_handoff_find(core, command->handoff);
    int64_t us = CORE_SHIP_US;
    if (handoff == NULL)
        us += core_checkpoint_export_us(core, command);
    else if (handoff->deadline.us != INT64_MAX && handoff->deadline.us - command->sent.us > us)
        us = handoff->deadline.us - command->sent.us;
    return us;
}

bool core_ship(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    const struct core_instance *from = step->from;
    if (handoff->round == 0)
        return core_checkpoint_restore(step);
    if (core_step_new_failed(step))
        return true;
    if (core_instance_is_dead(from)) {
        core_owner_alone(step);
        return true;
    }
    char why[LIMIT_TEXT_BYTES];
    if (from->state != INSTANCE_READY) {
        CORE_TEXT(why, "the old copy is %s and exports nothing", instance_state_words[from->state]);
        return core_step_fail(step, why);
    }
    if (core_step_due(step)) {
        bool exported = from->round == handoff->round;
        CORE_TEXT(why, "round %d of its state (%lld KiB) was not %s", handoff->round,
                  (long long)((exported ? from->object.bytes : known_bytes(step)) >> 10),
                  exported ? "imported" : "exported");
        core_ship_late(step, why);
        return core_step_fail(step, why);
    }
    /* Asked for once: a second export would begin where the first one ended. */
    const struct core_command *asked =
        core_command_ensure(step->core, handoff->id, from, NODE_SNAPSHOT);
    bool taken = asked != NULL && (asked->taken || epoch_compare(from->epoch, asked->epoch) >= 0);
    if (!taken || from->round != handoff->round)
        return false;
    int64_t due_us = handoff->round_at.us + core_ship_allowed_us(step, from->object.bytes);
    if (handoff->deadline.us < due_us)
        handoff->deadline.us = due_us; /* it is more than was known */
    if (!imported(step))
        return false;
    int64_t bytes = from->object.bytes;
    if (handoff->round == 1)
        handoff->first_bytes = bytes;
    bool small = bytes <= CORE_SHIP_SMALL_BYTES || bytes <= handoff->first_bytes / 16;
    bool quick = step->core->state.now.us - handoff->round_at.us <= core_owner_patience_us(step);
    bool last = (small && quick) || handoff->round == CORE_SHIP_ROUNDS;
    if (last && !quick)
        return too_long(step);
    round_begin(step);
    if (last)
        core_owner_freeze(step); /* which exports the round that has just begun */
    return true;
}

/* Frozen, it would wait for as long and go back. */
static bool too_long(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    int64_t took_us = step->core->state.now.us - handoff->round_at.us;
    char why[LIMIT_TEXT_BYTES];
    CORE_TEXT(why,
              "its state changes faster than it is shipped: round %d (%lld KiB) took %lld s, and a "
              "freeze waits %lld s (timeouts.drain)",
              handoff->round, (long long)(step->from->object.bytes >> 10),
              (long long)(took_us / US_PER_S),
              (long long)(core_owner_patience_us(step) / US_PER_S));
    if (step->placed)
        step->place.state->ship_late++;
    tell_slow(step, why);
    return core_step_fail(step, why);
}

bool core_ship_last(struct handoff_step *step)
{
    const struct core_handoff *handoff = step->handoff;
    if (handoff->round == 0)
        return true;
    return step->from->round == handoff->round && imported(step);
}

/* The round that the old copy has exported is the new one's too; an empty one needs no way. */
static bool imported(struct handoff_step *step)
{
    const struct core_instance *from = step->from;
    if (from->object.digest[0] != 0 && step->to->round != step->handoff->round) {
        (void)core_command_ensure(step->core, step->handoff->id, step->to, NODE_RESTORE);
        return false;
    }
    step->handoff->shipped_bytes += from->object.bytes;
    return true;
}

void core_ship_heard(struct core *core, const char *node, const struct message_instance *said)
{
    struct core_instance *instance = core_instance_find(core, said->instance, node);
    struct core_handoff *handoff =
        instance == NULL ? NULL : core_handoff_find(core, instance->handoff);
    int round = handoff == NULL || handoff->round == 0 ? 1 : handoff->round;
    if (instance == NULL || said->doing == round || core_instance_is_settled(instance) ||
        (handoff != NULL && said->round == round) ||
        (handoff != NULL && handoff->state != HANDOFF_STATE_SHIPPING &&
         handoff->state != HANDOFF_STATE_FREEZING))
        return;
    struct core_command *command = NULL;
    do {
        command = core_command_next(core, instance->id, command);
    } while (command != NULL &&
             ((command->verb != NODE_SNAPSHOT && command->verb != NODE_RESTORE) ||
              !(command->taken || epoch_compare(said->epoch, command->epoch) >= 0)));
    if (command == NULL)
        return; /* not asked for, or asked again until it is taken */
    /* The object is still there, and a round may be taken in twice; a checkpoint is asked for again
     * in its time. */
    if (command->verb == NODE_RESTORE || handoff == NULL) {
        core_command_drop(core, command);
        return;
    }
    struct handoff_step step = {.core = core, .handoff = handoff};
    step.from = core_handoff_instance(core, handoff, handoff->from);
    step.to = core_handoff_instance(core, handoff, handoff->to);
    step.placed =
        core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &step.place);
    if (step.from != instance || handoff->state != HANDOFF_STATE_SHIPPING)
        return;
    /* What was to be in it is in no later one, and the new copy has those before it: the next try
     * begins with everything, and with a new copy. */
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "round %d of its state was lost with the agent of %s", handoff->round, node);
    (void)core_step_fail(&step, text);
}
