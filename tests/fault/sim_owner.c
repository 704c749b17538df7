/*
 * Owners: the key-value store that holds their epochs, the resource that admits by them, and those
 * who write.
 *   S2 nobody is told to own before its epoch is in the store, nor while another process may act
 *      as the owner; an epoch belongs to one instance; admitted epochs never fall
 *   what a stateful owner has acknowledged is there after every move of it
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define KEY_US   (3 * US_PER_MS) /* one way */
#define ADMIT_US (2 * US_PER_MS)

static void check_alone(struct sim *sim, const struct sim_process *process);
static void check_state(struct sim *sim, struct sim_process *process);

/* ---- epochs ---- */

/* The request, or its answer, is lost while the store is away. */
void sim_fence(struct sim *sim, const struct core_effect *effect)
{
    bool lost = sim->fences_away > 0 && sim_random(sim, 2) == 0;
    if (sim->fences_away > 0)
        sim_fault_hit(sim, FAULT_FENCE);
    /* One that leaves at once may be given up with its record: the next term's are above it. */
    if (!effect->fence.at_once && epoch_compare(effect->fence.owner, sim->epoch_told) > 0)
        sim->epoch_told = effect->fence.owner;
    if (lost)
        return;
    struct sim_event *event = sim_push(sim, KEY_US, SIM_FENCE);
    event->life = sim->scheduler_life;
    event->number = sim->fences_away > 0; /* then the answer is lost */
    event->payload = arena_copy(&sim->arena, effect, sizeof(*effect));
    BERTH_ASSERT(event->payload != NULL, "no memory");
}

void sim_fence_arrives(struct sim *sim, const struct sim_event *event)
{
    const struct core_effect *effect = event->payload;
    struct sim_resource *resource = &sim->resources[sim_workload_of(effect->fence.workload)];
    int order = epoch_compare(resource->stored, effect->fence.owner);
    struct core_event *answer = arena_alloc(&sim->arena, sizeof(*answer));
    BERTH_ASSERT(answer != NULL, "no memory");
    answer->kind = CORE_FENCED;
    memcpy(answer->fenced.handoff, effect->fence.handoff, sizeof(answer->fenced.handoff));
    answer->fenced.owner = effect->fence.owner;
    if (order < 0) {
        resource->stored = effect->fence.owner;
        memcpy(resource->instance, effect->fence.instance, sizeof(resource->instance));
        if (epoch_compare(resource->stored, resource->fenced) > 0)
            resource->fenced = resource->stored;
    } else if (order > 0 || !str_equal(resource->instance, effect->fence.instance)) {
        answer->fenced.code = ERR_STALE;
    }
    answer->fenced.stored = resource->stored;
    if (event->number != 0)
        return;
    struct sim_event *later = sim_push(sim, KEY_US, SIM_SHELL);
    later->life = event->life;
    later->payload = answer;
}

/* ---- owning ---- */

void sim_owner_told(struct sim *sim, struct sim_process *process, const char *handed)
{
    struct sim_resource *resource = &sim->resources[process->workload];
    if (epoch_compare(resource->fenced, process->epoch) < 0)
        sim_break(sim,
                  "%s is to own by epoch %llu.%llu, and the store has seen none above %llu.%llu",
                  process->instance, (unsigned long long)process->epoch.term,
                  (unsigned long long)process->epoch.n, (unsigned long long)resource->fenced.term,
                  (unsigned long long)resource->fenced.n);
    check_alone(sim, process);
    if (process->workload == STORE)
        check_state(sim, process);
    if (handed != NULL && strtoull(handed, NULL, 10) > resource->value)
        sim_break(sim, "%s was handed %s of %llu writes", process->instance, handed,
                  (unsigned long long)resource->value);
}

static void check_alone(struct sim *sim, const struct sim_process *process)
{
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *other = &sim->processes[i];
        if (other != process && other->workload == process->workload &&
            other->replica == process->replica && other->owns && sim_process_runs(sim, other))
            sim_break(sim, "two owners: %s is told to own while %s on %s may", process->instance,
                      other->instance, sim->nodes[other->node].name);
    }
}

/* What was acknowledged is here, unless whoever had it died with it. */
static void check_state(struct sim *sim, struct sim_process *process)
{
    uint64_t count = process->folder->count;
    if (count != sim->store_acked && !sim->store_excused && sim->now_us >= sim->store_grace_us)
        sim_break(sim, "%s owns with %llu writes, and %llu were acknowledged", process->instance,
                  (unsigned long long)count, (unsigned long long)sim->store_acked);
    if (count < sim->store_acked)
        sim->store_losses++;
    sim->store_acked = count;
    sim->store_excused = false;
    memcpy(sim->resources[STORE].owner, process->instance, LIMIT_ID_BYTES);
}

void sim_owner_gone(struct sim *sim, const struct sim_process *process, const char *why)
{
    if (process->workload == STORE && str_equal(sim->resources[STORE].owner, process->instance) &&
        str_equal(why, "by accident")) {
        sim->store_excused = true;
        sim->store_grace_us = sim->now_us + 2 * US_PER_S; /* it may own once more before it goes */
    }
}

/* ---- writing ---- */

/* Sent to whoever serves, as the queue group has it. With nobody there it is tried again later: an
 * owner's pause is no loss. */
void sim_write(struct sim *sim, enum sim_workload workload)
{
    for (int i = sim->process_count - 1; i >= sim->first_alive; i--) {
        const struct sim_process *process = &sim->processes[i];
        if (process->workload != workload || !process->alive || !process->serves ||
            sim->now_us < sim_known_at(sim, process) ||
            sim->nodes[process->node].deaf + sim->nodes[process->node].mute > 0)
            continue;
        sim->writes++;
        struct sim_event *event = sim_push(sim, sim->nodes[process->node].delay_us, SIM_WRITE);
        event->process = i;
        return;
    }
}

void sim_write_arrives(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    if (!process->alive || !process->serves)
        return; /* not answered: the client does not know, and asks again */
    if (process->workload == STORE) {
        process->folder->count++;
        sim->store_acked++;
        sim->resources[STORE].admitted_us = sim->now_us;
        return;
    }
    process->under_way++;
    struct sim_event *admit =
        sim_push(sim, sim->nodes[process->node].delay_us + ADMIT_US, SIM_ADMIT);
    admit->process = event->process;
    admit->epoch = process->epoch;
}

/* The write is on the wire: it arrives whatever has become of its writer. */
void sim_admit(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    struct sim_resource *resource = &sim->resources[process->workload];
    process->under_way--;
    int order = epoch_compare(event->epoch, resource->highest);
    if (order < 0) {
        resource->refused++;
        if (process->alive && epoch_compare(process->epoch, event->epoch) == 0)
            process->serves = false; /* refused: it is no owner any more */
        return;
    }
    if (epoch_compare(event->epoch, resource->fenced) > 0)
        sim_break(sim, "a write of %s came by an epoch that was never fenced", process->instance);
    if (order == 0 && !str_equal(resource->owner, process->instance))
        sim_break(sim, "%s and %s write by one epoch", process->instance, resource->owner);
    if (resource->admitted_us != 0 && sim->now_us - resource->admitted_us > resource->gap_us)
        resource->gap_us = sim->now_us - resource->admitted_us;
    resource->highest = event->epoch;
    memcpy(resource->owner, process->instance, sizeof(resource->owner));
    resource->admitted_us = sim->now_us;
    resource->value++;
}
