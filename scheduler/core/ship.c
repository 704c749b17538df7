/*
 * State that moves with its owner, in rounds: the first exports everything while the old copy
 * serves, each further one what has changed since; when little changes, the old copy is frozen and
 * exports the rest. The node of the old copy puts each round into the object store, the node of the
 * new one fetches and imports it. A failure before the freeze interrupts nobody.
 */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

static void round_begin(struct handoff_step *step);
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
    core_handoff_enter(step->core, step->handoff, HANDOFF_STATE_SHIPPING, CORE_SHIP_US);
    round_begin(step);
}

static void round_begin(struct handoff_step *step)
{
    core_commands_drop_handoff(step->core, step->handoff->id);
    memset(&step->from->object, 0, sizeof(step->from->object));
    step->handoff->round++;
    step->handoff->deadline.us = step->core->state.now.us + CORE_SHIP_US;
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
        CORE_TEXT(why, "round %d of its state was not shipped in time: %.150s", handoff->round,
                  from->round == handoff->round && step->to != NULL ? step->to->detail
                                                                    : from->detail);
        return core_step_fail(step, why);
    }
    /* Asked for once: a second export would begin where the first one ended. */
    const struct core_command *asked =
        core_command_ensure(step->core, handoff->id, from, NODE_SNAPSHOT);
    bool taken = asked != NULL && (asked->taken || epoch_compare(from->epoch, asked->epoch) >= 0);
    if (!taken || from->round != handoff->round || !imported(step))
        return false;
    int64_t bytes = from->object.bytes;
    if (handoff->round == 1)
        handoff->first_bytes = bytes;
    bool small = bytes <= CORE_SHIP_SMALL_BYTES || bytes <= handoff->first_bytes / 16;
    bool last = small || handoff->round == CORE_SHIP_ROUNDS;
    round_begin(step);
    if (last)
        core_owner_freeze(step); /* which exports the round that has just begun */
    return true;
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
