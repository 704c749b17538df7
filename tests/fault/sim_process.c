/*
 * Processes and their shims. A shim remembers the exit status, the last word and the last answer,
 * says them to an agent that comes anew, and kills what owns when the lease ends on its clock.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define SPAWN_US    (5 * US_PER_MS)
#define READY_US    (50 * US_PER_MS)
#define DRAIN_US    (30 * US_PER_MS)
#define EXIT_US     (20 * US_PER_MS)
#define CLEAR_US    (5 * US_PER_MS)
#define HEAR_US     (1 * US_PER_MS)
#define SNAPSHOT_US (15 * US_PER_MS)
#define SHIP_US     (20 * US_PER_MS)
#define WRITE_BYTES (1 << 20) /* of state, per write: rounds are large enough to be several */

static struct sim_event *does(struct sim *sim, const struct sim_process *process, int64_t delay_us,
                              enum sim_does what);
static void say(struct sim *sim, const struct sim_process *process, int64_t delay_us,
                enum workload_word word);
static void answer(struct sim *sim, struct sim_process *process, enum workload_word word);
static void heard(struct sim *sim, struct sim_process *process, const struct sim_event *event);
static void serve(struct sim *sim, struct sim_process *process);
static void leave(struct sim *sim, struct sim_process *process, const char *why);
static void export_state(struct sim_process *process);
static void import_state(struct sim *sim, struct sim_process *process);
static void lease_over(struct sim *sim, struct sim_process *process);
static struct sim_folder *folder_of(struct sim *sim, int node, const char *instance);

struct sim_process *sim_process_find(struct sim *sim, int node, const char *instance)
{
    for (int i = sim->process_count - 1; i >= 0; i--) {
        struct sim_process *process = &sim->processes[i];
        if (process->node == node && str_equal(process->instance, instance))
            return process;
    }
    return NULL;
}

bool sim_process_runs(const struct sim *sim, const struct sim_process *process)
{
    return process->alive && sim->nodes[process->node].machine_until_us <= sim->now_us;
}

void sim_process_spawn(struct sim *sim, int index, const struct node_effect *effect)
{
    sim_check_spawn(sim, index, effect);
    struct sim_process *old = sim_process_find(sim, index, effect->instance);
    if (old != NULL && old->alive) {
        sim_break(sim, "%s is spawned while its process lives", effect->instance);
        return;
    }
    BERTH_ASSERT(sim->process_count < SIM_PROCESSES, "too many processes");
    while (sim->first_alive < sim->process_count && !sim->processes[sim->first_alive].alive)
        sim->first_alive++;
    struct sim_folder *folder = folder_of(sim, index, effect->instance);
    struct sim_process *process = &sim->processes[sim->process_count++];
    *process = (struct sim_process){.node = index,
                                    .alive = true,
                                    .shim = true,
                                    .replica = effect->spec->replica,
                                    .mcpu = effect->spec->mcpu,
                                    .workload = sim_workload_of(effect->spec->workload),
                                    .folder = folder};
    memcpy(process->instance, effect->instance, sizeof(process->instance));
    process->version = strtoull(effect->spec->digest + strlen("sha256:"), NULL, 16);
    struct node_event content;
    memset(&content, 0, sizeof(content));
    if (effect->spec->http)
        str_format(process->endpoint, sizeof(process->endpoint), "10.0.%d.1:%d", index,
                   20000 + sim->ports++ % 40000);
    memcpy(content.endpoint, process->endpoint, sizeof(content.endpoint));
    sim_node_inside(sim, index, SPAWN_US, NODE_EV_SPAWNED, effect->instance, &content);
    does(sim, process, READY_US, DOES_READY);
}

/* Its folder outlives the process. */
static struct sim_folder *folder_of(struct sim *sim, int node, const char *instance)
{
    const struct sim_process *old = sim_process_find(sim, node, instance);
    if (old != NULL)
        return old->folder;
    struct sim_folder *folder = arena_alloc(&sim->arena, sizeof(*folder));
    BERTH_ASSERT(folder != NULL, "no memory");
    return folder;
}

static struct sim_event *does(struct sim *sim, const struct sim_process *process, int64_t delay_us,
                              enum sim_does what)
{
    struct sim_event *event = sim_push(sim, delay_us, SIM_PROCESS);
    event->node = process->node;
    event->process = (int)(process - sim->processes);
    event->does = what;
    event->life = process->task;
    return event;
}

/* ---- words ---- */

/* A line by way of the shim, which refuses to make an owner of one whose lease is over. */
void sim_process_tell(struct sim *sim, struct sim_process *process, const struct node_effect *fx)
{
    enum node_say what = fx->say.what;
    if (what == SAY_OWN && process->lease_us != 0 &&
        sim_boot_us(sim, process->node) >= process->lease_us) {
        say(sim, process, HEAR_US, SAID_FAILED);
        return;
    }
    if (what == SAY_OWN || what == SAY_FREEZE)
        process->has_answer = false;
    process->owns |= what == SAY_OWN;
    process->owning |= what == SAY_OWN;
    struct sim_event *event = sim_push(sim, HEAR_US, SIM_PROCESS);
    event->node = process->node;
    event->process = (int)(process - sim->processes);
    event->does = DOES_HEARD;
    event->say = what;
    event->number = (uint64_t)fx->say.round;
    event->epoch = fx->say.epoch;
    if (what == SAY_OWN && fx->say.handed != NULL)
        event->payload = arena_strdup(&sim->arena, fx->say.handed);
}

void sim_process_term(struct sim *sim, struct sim_process *process)
{
    struct sim_event *event = sim_push(sim, HEAR_US, SIM_PROCESS);
    event->node = process->node;
    event->process = (int)(process - sim->processes);
    event->does = DOES_HEARD;
    event->say = SAY_STOP;
}

static void say(struct sim *sim, const struct sim_process *process, int64_t delay_us,
                enum workload_word word)
{
    if (sim->nodes[process->node].core == NULL)
        return;
    struct node_event content;
    memset(&content, 0, sizeof(content));
    content.said = word;
    content.round = process->answer_round;
    content.said_text = word == SAID_FAILED ? "the lease has ended" : NULL;
    if (word == SAID_FROZEN && process->handed[0] != 0)
        content.said_text = arena_strdup(&sim->arena, process->handed);
    sim_node_inside(sim, process->node, delay_us, NODE_EV_SAID, process->instance, &content);
}

/* What the shim remembers, and makes of it. */
static void answer(struct sim *sim, struct sim_process *process, enum workload_word word)
{
    if (word == SAID_FROZEN && process->owning)
        return; /* the answer to a freeze that was taken back */
    if (word == SAID_FROZEN)
        process->owns = false;
    if (word == SAID_OWNED)
        process->owning = false;
    process->has_answer = true;
    process->answer = word;
    process->answer_round = process->round;
    say(sim, process, HEAR_US, word);
}

void sim_process_adopted(struct sim *sim, struct sim_process *process)
{
    if (process->alive && process->has_answer)
        say(sim, process, 0, process->answer);
}

/* Long: one case for each thing that a process does. */
void sim_process_does(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    if (!process->alive)
        return;
    bool owner = process->workload >= LEDGER;
    switch (event->does) {
    case DOES_READY:
        process->said_ready = true;
        process->ready_us = sim->now_us;
        if (!owner && process->task == 0)
            serve(sim, process);
        say(sim, process, HEAR_US, SAID_READY);
        return;
    case DOES_DRAINED:
        if (!process->draining)
            return;
        process->draining = false;
        process->said_drained = true;
        say(sim, process, HEAR_US, SAID_DRAINED);
        return;
    case DOES_RESUMED:
        say(sim, process, HEAR_US, SAID_RESUMED);
        return;
    case DOES_EXIT: {
        struct node_event content;
        memset(&content, 0, sizeof(content));
        leave(sim, process, "it was told to stop");
        sim_owner_gone(sim, process, "it was told to stop");
        process->alive = false;
        if (sim->nodes[process->node].core != NULL)
            sim_node_inside(sim, process->node, HEAR_US, NODE_EV_EXITED, process->instance,
                            &content);
        return;
    }
    case DOES_HEARD:
        heard(sim, process, event);
        return;
    case DOES_LEASE:
        lease_over(sim, process);
        return;
    case DOES_OWNED:
        if (event->life == process->task)
            answer(sim, process, SAID_OWNED);
        return;
    case DOES_FROZEN:
        if (event->life != process->task)
            return;
        if (process->under_way > 0) { /* what it has begun it finishes */
            does(sim, process, 2 * US_PER_MS, DOES_FROZEN);
            return;
        }
        if (process->round > 0)
            export_state(process);
        answer(sim, process, SAID_FROZEN);
        return;
    case DOES_SNAPSHOT:
        if (event->life != process->task)
            return;
        process->round = (int)event->number;
        export_state(process);
        answer(sim, process, SAID_SNAPSHOTTED);
        return;
    case DOES_RESTORED:
        if (event->life != process->task)
            return;
        process->round = (int)event->number;
        import_state(sim, process);
        answer(sim, process, SAID_RESTORED);
        return;
    }
}

/* Long: one case for each word. */
static void heard(struct sim *sim, struct sim_process *process, const struct sim_event *event)
{
    switch (event->say) {
    case SAY_DRAIN:
        process->task++;
        leave(sim, process, "it was told to drain");
        process->goodbye = true;
        process->draining = true;
        process->said_drained = false;
        does(sim, process, DRAIN_US, DOES_DRAINED);
        return;
    case SAY_RESUME:
        process->task++;
        process->draining = false;
        process->said_drained = false;
        serve(sim, process);
        does(sim, process, HEAR_US, DOES_RESUMED);
        return;
    case SAY_STOP:
        process->task++;
        leave(sim, process, "it was told to stop");
        process->goodbye = true;
        does(sim, process, EXIT_US, DOES_EXIT);
        return;
    case SAY_OWN:
        process->task++;
        process->epoch = event->epoch;
        sim_owner_told(sim, process, event->payload);
        serve(sim, process);
        does(sim, process, 2 * HEAR_US, DOES_OWNED);
        return;
    case SAY_FREEZE:
        process->task++;
        process->round = (int)event->number;
        process->serves = false;
        process->handed[0] = 0;
        if (process->workload == LEDGER)
            str_format(process->handed, sizeof(process->handed), "%llu",
                       (unsigned long long)sim->resources[LEDGER].value);
        does(sim, process, 2 * HEAR_US, DOES_FROZEN);
        return;
    case SAY_SNAPSHOT:
    case SAY_RESTORE:
        does(sim, process, SNAPSHOT_US, event->say == SAY_SNAPSHOT ? DOES_SNAPSHOT : DOES_RESTORED)
            ->number = event->number;
        return;
    }
}

static void serve(struct sim *sim, struct sim_process *process)
{
    if (!process->serves)
        process->served_us = sim->now_us;
    process->serves = true;
    process->goodbye = false;
    sim->served_once[process->workload] = true;
}

/* It serves no more because somebody said so: then somebody else has to. */
static void leave(struct sim *sim, struct sim_process *process, const char *why)
{
    if (!process->serves)
        return;
    process->serves = false;
    sim_check_serving(sim, process, why);
}

/* ---- ends ---- */

void sim_process_accident(struct sim *sim, struct sim_process *process, bool told)
{
    struct node_event content;
    memset(&content, 0, sizeof(content));
    content.exit_code = 1;
    sim_note(sim, "     accident of %s on %s", process->instance, sim->nodes[process->node].name);
    sim_owner_gone(sim, process, "by accident");
    process->alive = false;
    process->serves = false;
    process->by_accident = true;
    process->exit_code = 1;
    if (sim->excused_us[process->workload] < sim->now_us + SIM_EXCUSE_US)
        sim->excused_us[process->workload] = sim->now_us + SIM_EXCUSE_US;
    if (told && sim->nodes[process->node].core != NULL)
        sim_node_inside(sim, process->node, HEAR_US, NODE_EV_EXITED, process->instance, &content);
}

void sim_process_clear(struct sim *sim, int index, const char *instance)
{
    struct sim_process *process = sim_process_find(sim, index, instance);
    if (process != NULL && process->alive) {
        leave(sim, process, "its cgroup was killed");
        sim_owner_gone(sim, process, "its cgroup was killed");
        process->alive = false;
    }
    if (process != NULL)
        process->shim = false;
    sim_node_inside(sim, index, CLEAR_US, NODE_EV_CLEARED, instance, NULL);
}

/* ---- leases ---- */

void sim_process_lease(struct sim *sim, struct sim_process *process, int64_t until_us)
{
    process->lease_us = until_us;
    does(sim, process, sim_from_boot(sim, process->node, until_us) - sim->now_us, DOES_LEASE);
}

static void lease_over(struct sim *sim, struct sim_process *process)
{
    if (process->lease_us == 0 || sim_boot_us(sim, process->node) < process->lease_us ||
        !process->owns)
        return; /* renewed meanwhile, or nothing owns */
#ifndef BERTH_PLANT_SKIP_LEASE
    sim_note(sim, "     the lease of %s has ended: killed", process->instance);
    sim_process_accident(sim, process, true);
#endif
}

/* ---- state ---- */

static void export_state(struct sim_process *process)
{
    struct sim_folder *folder = process->folder;
    struct sim_file *file = &folder->out[process->round % SIM_FILES];
    /* What changed since the round before, also when it is asked for again. */
    uint64_t from = process->round == 1 ? 0 : folder->out[(process->round - 1) % SIM_FILES].to;
    *file = (struct sim_file){.there = true, .from = from, .to = folder->count};
}

static void import_state(struct sim *sim, struct sim_process *process)
{
    struct sim_folder *folder = process->folder;
    struct sim_file *file = &folder->in[process->round % SIM_FILES];
    if (!file->there)
        sim_break(sim, "%s is to import round %d, and nothing is there", process->instance,
                  process->round);
    else if (file->from != 0 && file->from != folder->count && file->to != folder->count)
        sim_break(sim, "%s has %llu writes and is to import those from %llu to %llu",
                  process->instance, (unsigned long long)folder->count,
                  (unsigned long long)file->from, (unsigned long long)file->to);
    else
        folder->count = file->to;
}

/* SHIP and GET, by way of the object store; DROP. An object's name is what is in it. */
void sim_process_file(struct sim *sim, int index, const struct node_effect *effect)
{
    struct sim_process *process = sim_process_find(sim, index, effect->instance);
    int round = effect->file.round;
    bool out = effect->kind == NODE_FX_SHIP;
    if (effect->kind == NODE_FX_DROP)
        return;
    struct node_event content;
    memset(&content, 0, sizeof(content));
    content.ticket = effect->file.ticket;
    struct sim_file *file = process == NULL ? NULL
                            : out           ? &process->folder->out[round % SIM_FILES]
                                            : &process->folder->in[round % SIM_FILES];
    int code = file == NULL || (out && !file->there) ? ERR_NOT_FOUND : 0;
    if (sim->ships_away > 0) {
        sim_fault_hit(sim, FAULT_SHIP);
        code = ERR_UNAVAILABLE;
    }
    if (code == 0 && out) {
        content.shipped.object.bytes = (int64_t)(file->to - file->from) * WRITE_BYTES;
        str_format(content.shipped.object.digest, LIMIT_DIGEST_BYTES, "sim:%llu:%llu",
                   (unsigned long long)file->from, (unsigned long long)file->to);
    } else if (code == 0) {
        char *end = NULL;
        file->there = true;
        file->from = strtoull(effect->file.object.digest + strlen("sim:"), &end, 10);
        file->to = strtoull(end + 1, NULL, 10);
    }
    if (out)
        content.shipped.code = code;
    else
        content.result.code = code;
    sim_node_inside(sim, index, SHIP_US, out ? NODE_EV_SHIPPED : NODE_EV_GOT, effect->instance,
                    &content);
}
