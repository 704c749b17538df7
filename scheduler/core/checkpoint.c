#include "scheduler/core/checkpoint.h"

#include <string.h>

#include "base/str.h"
#include "scheduler/core/internal.h"

#define TRIES 3 /* of one checkpoint, before the one before is taken */

static void keep(struct core *core, const struct core_app *app, const struct workload *workload);
static bool is_wanted(const struct core *core, const struct core_checkpoint *checkpoint,
                      int64_t *ret_every_us);
static const struct core_instance *owner_of(const struct core *core,
                                            const struct core_checkpoint *checkpoint);
static struct core_command *asked_of(struct core *core, const struct core_instance *instance);
static void publish(struct core *core, const char *name, const struct core_checkpoint *checkpoint,
                    const struct core_instance *instance, const char *text);

struct core_checkpoint *core_checkpoint_find(const struct core *core, const char *ns,
                                             const char *app, const char *workload, int replica)
{
    for (int i = 0; i < core->state.checkpoint_count; i++) {
        struct core_checkpoint *checkpoint = &core->state.checkpoints[i];
        if (checkpoint->replica == replica && str_equal(checkpoint->workload, workload) &&
            str_equal(checkpoint->app, app) && str_equal(checkpoint->namespace_, ns))
            return checkpoint;
    }
    return NULL;
}

void core_checkpoints_sync(struct core *core)
{
    struct core_state *state = &core->state;
    int kept = 0;
    for (int i = 0; i < state->checkpoint_count; i++) {
        int64_t every_us;
        if (is_wanted(core, &state->checkpoints[i], &every_us))
            state->checkpoints[kept++] = state->checkpoints[i];
    }
    state->checkpoint_count = kept;
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; k < app->app.workload_count && !app->deleting; k++)
            if (app->app.workloads[k].checkpoint_us > 0)
                keep(core, app, &app->app.workloads[k]);
    }
}

static void keep(struct core *core, const struct core_app *app, const struct workload *workload)
{
    struct core_state *state = &core->state;
    for (int replica = 0; replica < workload->replicas; replica++) {
        if (core_checkpoint_find(core, app->app.namespace_, app->app.name, workload->name,
                                 replica) != NULL)
            continue;
        if (state->checkpoint_count == CORE_CHECKPOINTS) {
            core_publish(core, "checkpoint.ignored",
                         (struct core_subject){.namespace_ = app->app.namespace_,
                                               .app = app->app.name,
                                               .workload = workload->name},
                         "as many workloads have checkpoints as one scheduler keeps; it has none");
            return;
        }
        struct core_checkpoint *checkpoint = &state->checkpoints[state->checkpoint_count++];
        memset(checkpoint, 0, sizeof(*checkpoint));
        CORE_SET(checkpoint->namespace_, app->app.namespace_);
        CORE_SET(checkpoint->app, app->app.name);
        CORE_SET(checkpoint->workload, workload->name);
        checkpoint->replica = replica;
    }
}

static bool is_wanted(const struct core *core, const struct core_checkpoint *checkpoint,
                      int64_t *ret_every_us)
{
    struct core_place place;
    if (!core_place_find(core, checkpoint->namespace_, checkpoint->app, checkpoint->workload,
                         &place) ||
        place.app->deleting || checkpoint->replica >= place.workload->replicas)
        return false;
    *ret_every_us = place.workload->checkpoint_us;
    return place.workload->checkpoint_us > 0;
}

void core_checkpoints_advance(struct core *core)
{
    for (int i = 0; i < core->state.checkpoint_count; i++) {
        struct core_checkpoint *checkpoint = &core->state.checkpoints[i];
        int64_t every_us;
        if (!is_wanted(core, checkpoint, &every_us) ||
            (checkpoint->asked.us != 0 && core->state.now.us < checkpoint->asked.us + every_us))
            continue;
        const struct core_instance *owner = owner_of(core, checkpoint);
        if (owner == NULL || asked_of(core, owner) != NULL)
            continue;
        checkpoint->number++;
        checkpoint->asked = core->state.now;
        (void)core_command_ensure(core, "", owner, NODE_SNAPSHOT);
    }
}

struct instant core_checkpoints_deadline(const struct core *core)
{
    struct instant first = {INT64_MAX};
    for (int i = 0; i < core->state.checkpoint_count; i++) {
        const struct core_checkpoint *checkpoint = &core->state.checkpoints[i];
        int64_t every_us;
        if (!is_wanted(core, checkpoint, &every_us))
            continue;
        int64_t due_us = checkpoint->asked.us + every_us;
        if (due_us > core->state.now.us && due_us < first.us)
            first.us = due_us;
    }
    return first;
}

/* The one that serves, and whose state nobody else is about to take. */
static const struct core_instance *owner_of(const struct core *core,
                                            const struct core_checkpoint *checkpoint)
{
    const struct index *slots = &core->indexes.slots;
    uint64_t hash = core_slot_hash(checkpoint->namespace_, checkpoint->app, checkpoint->workload);
    for (int i = index_first(slots, hash); i >= 0; i = index_next(slots, i)) {
        const struct core_instance *instance = &core->state.instances[i];
        if (instance->id[0] != 0 && instance->replica == checkpoint->replica &&
            instance->class_ == HANDOFF_STATEFUL && instance->state == INSTANCE_READY &&
            !instance->lost && instance->handoff[0] == 0 && instance->owner.n != 0 &&
            instance->want == WANT_SERVE && str_equal(instance->workload, checkpoint->workload) &&
            str_equal(instance->app, checkpoint->app) &&
            str_equal(instance->namespace_, checkpoint->namespace_))
            return instance;
    }
    return NULL;
}

static struct core_command *asked_of(struct core *core, const struct core_instance *instance)
{
    struct core_command *command = NULL;
    while ((command = core_command_next(core, instance->id, command)) != NULL) {
        if (command->verb == NODE_SNAPSHOT && command->handoff[0] == 0)
            return command;
    }
    return NULL;
}

void core_checkpoint_heard(struct core *core, const struct core_instance *instance,
                           const struct message_instance *said)
{
    struct core_checkpoint *checkpoint = core_checkpoint_find(
        core, instance->namespace_, instance->app, instance->workload, instance->replica);
    struct core_command *command = checkpoint == NULL ? NULL : asked_of(core, instance);
    if (checkpoint == NULL || checkpoint->number == 0)
        return;
    char text[LIMIT_TEXT_BYTES];
    struct core_saved *saved = checkpoint->saved;
    if (said->checkpoint == (int64_t)checkpoint->number && said->saved.digest[0] != 0 &&
        saved[0].number < checkpoint->number) {
        saved[1] = saved[0];
        saved[0] = (struct core_saved){
            .number = checkpoint->number, .object = said->saved, .at = checkpoint->asked};
        checkpoint->failures = 0;
        if (command != NULL)
            core_command_drop(core, command);
        CORE_TEXT(text, "checkpoint %llu, %lld KiB", (unsigned long long)checkpoint->number,
                  (long long)(said->saved.bytes >> 10));
        publish(core, "checkpoint.made", checkpoint, instance, text);
    } else if (command != NULL && said->error_code != 0 &&
               (command->taken || epoch_compare(said->epoch, command->epoch) >= 0)) {
        core_command_drop(core, command); /* the next one is asked for in its time */
        CORE_TEXT(text, "checkpoint %llu: %.180s", (unsigned long long)checkpoint->number,
                  said->detail);
        publish(core, "checkpoint.failed", checkpoint, instance, text);
    }
}

int64_t core_checkpoint_bytes(const struct core *core, const struct core_place *place, int replica)
{
    const struct app *app = &place->app->app;
    const struct core_checkpoint *checkpoint =
        core_checkpoint_find(core, app->namespace_, app->name, place->workload->name, replica);
    int64_t stated = place->workload->state_bytes;
    int64_t saved = checkpoint == NULL ? 0 : checkpoint->saved[0].object.bytes;
    return saved > stated ? saved : stated;
}

int64_t core_checkpoint_export_us(const struct core *core, const struct core_command *command)
{
    const struct core_instance *instance =
        core_instance_find(core, command->instance, command->node);
    struct core_place place;
    if (instance == NULL ||
        !core_place_find(core, instance->namespace_, instance->app, instance->workload, &place))
        return 0;
    int64_t bytes = core_checkpoint_bytes(core, &place, instance->replica);
    __int128 us = (__int128)bytes * CORE_SHIP_MIB_US >> 20;
    return us < CORE_SHIP_MAX_US ? (int64_t)us : CORE_SHIP_MAX_US;
}

/* ---- when the owner is gone ---- */

void core_owner_alone(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    struct core_checkpoint *checkpoint = core_checkpoint_find(
        step->core, handoff->namespace_, handoff->app, handoff->workload, handoff->replica);
    bool starts = handoff->class_ == HANDOFF_STATEFUL && handoff->reason != REASON_LEASE &&
                  step->to != NULL && step->to->round == 0;
    if (!starts || checkpoint == NULL || checkpoint->saved[0].number == 0) {
        if (starts && handoff->from[0] != 0)
            core_publish(step->core, "state.lost",
                         (struct core_subject){.namespace_ = handoff->namespace_,
                                               .app = handoff->app,
                                               .workload = handoff->workload,
                                               .handoff = handoff->id,
                                               .instance = handoff->to},
                         checkpoint == NULL
                             ? "its state was lost with its node and it starts empty: `checkpoint` "
                               "in its document would bound the loss"
                             : "its state was lost with its node before a first checkpoint: it "
                               "starts empty");
        core_owner_fence(step);
        return;
    }
    handoff->round = 0;
    handoff->shipped_bytes = 0;
    handoff->round_at = step->core->state.now;
    core_handoff_enter(step->core, handoff, HANDOFF_STATE_SHIPPING,
                       core_ship_allowed_us(step, checkpoint->saved[0].object.bytes));
}

bool core_checkpoint_restore(struct handoff_step *step)
{
    struct core_handoff *handoff = step->handoff;
    struct core_checkpoint *checkpoint = core_checkpoint_find(
        step->core, handoff->namespace_, handoff->app, handoff->workload, handoff->replica);
    if (core_step_new_failed(step))
        return true;
    if (checkpoint == NULL || checkpoint->saved[0].number == 0) {
        core_owner_fence(step);
        return true;
    }
    char text[LIMIT_TEXT_BYTES];
    const struct core_saved *saved = &checkpoint->saved[0];
    if (core_step_due(step)) {
        CORE_TEXT(text, "checkpoint %llu (%lld KiB) was not restored",
                  (unsigned long long)saved->number, (long long)(saved->object.bytes >> 10));
        core_ship_late(step, text);
        core_checkpoint_failed(step->core, handoff);
        return core_step_fail(step, text);
    }
    if (step->to->round == 0) {
        (void)core_command_ensure(step->core, handoff->id, step->to, NODE_RESTORE);
        return false;
    }
    handoff->shipped_bytes = saved->object.bytes;
    CORE_TEXT(text, "checkpoint %llu of %lld s ago: what was written since is lost",
              (unsigned long long)saved->number,
              (long long)((step->core->state.now.us - saved->at.us) / US_PER_S));
    publish(step->core, "checkpoint.restored", checkpoint, step->to, text);
    core_owner_fence(step);
    return true;
}

bool core_checkpoint_is_there(const struct core *core, const struct core_handoff *handoff)
{
    const struct core_checkpoint *checkpoint = core_checkpoint_find(
        core, handoff->namespace_, handoff->app, handoff->workload, handoff->replica);
    return handoff->class_ == HANDOFF_STATEFUL && checkpoint != NULL &&
           checkpoint->saved[0].number != 0;
}

void core_checkpoint_failed(struct core *core, const struct core_handoff *handoff)
{
    struct core_checkpoint *checkpoint = core_checkpoint_find(
        core, handoff->namespace_, handoff->app, handoff->workload, handoff->replica);
    if (checkpoint == NULL || handoff->round != 0 || handoff->state != HANDOFF_STATE_SHIPPING ||
        ++checkpoint->failures < TRIES)
        return;
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "checkpoint %llu cannot be restored: %s",
              (unsigned long long)checkpoint->saved[0].number,
              checkpoint->saved[1].number != 0 ? "the one before it is taken"
                                               : "none is left, it starts empty");
    checkpoint->failures = 0;
    checkpoint->saved[0] = checkpoint->saved[1];
    memset(&checkpoint->saved[1], 0, sizeof(checkpoint->saved[1]));
    publish(core, "checkpoint.unusable", checkpoint, NULL, text);
}

static void publish(struct core *core, const char *name, const struct core_checkpoint *checkpoint,
                    const struct core_instance *instance, const char *text)
{
    core_publish(core, name,
                 (struct core_subject){.namespace_ = checkpoint->namespace_,
                                       .app = checkpoint->app,
                                       .workload = checkpoint->workload,
                                       .instance = instance == NULL ? "" : instance->id,
                                       .node = instance == NULL ? "" : instance->node},
                 text);
}
