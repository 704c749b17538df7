/*
 * Faults: a list made from the seed before the run, so that a run can be repeated without some of
 * them. What a window of the bus does to a message comes from that window's own numbers.
 *
 * Besides single faults there are the named schedules: all nodes parted at once and heard again one
 * by one, in another order (swizzle); a scheduler that sleeps longer than every lease and wakes;
 * a node away just longer than policy.node_timeout; the machine of a process that has just moved.
 *
 * A refused write has not happened, and nothing that depends on it does: an agent ends and is
 * started again, over and over while its disk is full; the scheduler goes back to what its journal
 * has, and takes nothing until it can be written again. Of a write that failed in its sync a loss
 * of power may leave anything. Disks have numbers of their own, so that `plain` runs, which have
 * none of these faults and in which connections end with the machine, are what pinned seeds were
 * found in.
 */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

const char *const sim_fault_words[] = {
#define SIM_FAULT_WORD(name, word) word,
    SIM_FAULT_MAP(SIM_FAULT_WORD)
#undef SIM_FAULT_WORD
        NULL};

static void add(struct sim *sim, enum sim_fault_kind kind, int64_t at_us, int64_t for_us, int node);
static void plan_disks(struct sim *sim);
static void stop_node(struct sim *sim, struct sim_fault *fault, bool machine);
static void end_process(struct sim *sim, struct sim_fault *fault);
static bool hits_message(struct sim *sim, struct sim_fault *fault, int node, int *copies,
                         int64_t *late_us);

/* Faults per kind, of 100. */
static const int shares[FAULT_KINDS] = {
    [FAULT_LOSS] = 12,
    [FAULT_DOUBLE] = 8,
    [FAULT_LATE] = 12,
    [FAULT_PARTITION] = 7,
    [FAULT_DEAF] = 4,
    [FAULT_MUTE] = 4,
    [FAULT_SCHEDULER_KILLED] = 6,
    [FAULT_SCHEDULER_POWER] = 3,
    [FAULT_SCHEDULER_STOPPED] = 3,
    [FAULT_CLOCK] = 2,
    [FAULT_AGENT_KILLED] = 6,
    [FAULT_AGENT_STOPPED] = 4,
    [FAULT_MACHINE_STOPPED] = 3,
    [FAULT_REBOOT] = 3,
    [FAULT_PROCESS] = 6,
    [FAULT_POINT] = 10,
    [FAULT_FENCE] = 3,
    [FAULT_WIPE] = 1,
    [FAULT_SHIP] = 2,
    [FAULT_LIE] = 1,
};

void sim_faults_plan(struct sim *sim)
{
    sim->calm_us = SIM_START_US;
    if (sim->options.script != SCRIPT_ROUGH)
        return;
    sim->calm_us += sim->options.rough_us;
    uint64_t random = hash_u64(HASH_SEED, sim->options.seed ^ 0x5eed);
    int64_t at_us = 3 * US_PER_S;
    while (at_us < sim->options.rough_us - 2 * US_PER_S && sim->fault_count < SIM_FAULTS - 8) {
        random = hash_u64(HASH_SEED, random + 1);
        int pick = (int)(random % 100);
        int kind = 0;
        while (kind < FAULT_LIE && pick >= shares[kind])
            pick -= shares[kind++];
        int node = (int)(random >> 8 & 3);
        int64_t for_us = (int64_t)(random >> 16 & 0xffff) * US_PER_S * 3 / 0x10000;
        if ((random >> 40 & 7) == 0)
            for_us += 5 * US_PER_S; /* longer than a lease and than policy.node_timeout */
        bool swizzle = kind == FAULT_PARTITION && (random >> 44 & 3) == 0;
        for (int i = 0; i < (swizzle ? SIM_NODES : 1); i++)
            add(sim, (enum sim_fault_kind)kind, at_us + i * 150 * US_PER_MS,
                for_us + (swizzle ? (node ^ i) * 400 * US_PER_MS : 0), swizzle ? i : node);
        int64_t gap_us = (int64_t)(random >> 48 & 0xff) * 6 * US_PER_MS;
        at_us += 100 * US_PER_MS + gap_us;
    }
    if (!sim->options.plain)
        plan_disks(sim);
    for (int i = 0; i < sim->fault_count; i++) {
        struct sim_fault *fault = &sim->faults[i];
        fault->salt = hash_u64(random, (uint64_t)i);
        if (fault->at_us + fault->for_us > sim->options.rough_us)
            fault->for_us = sim->options.rough_us - fault->at_us;
        if (sim->options.dropped != NULL && (sim->options.dropped[i / 64] >> (i % 64) & 1) != 0) {
            fault->dropped = true;
            continue;
        }
        sim_push(sim, fault->at_us, SIM_FAULT)->number = (uint64_t)i;
    }
}

/* Less than one in every eight seconds: an agent that cannot write is an agent that is away. */
static void plan_disks(struct sim *sim)
{
    static const enum sim_fault_kind kinds[] = {FAULT_NODE_FULL, FAULT_NODE_IO, FAULT_JOURNAL_FULL,
                                                FAULT_JOURNAL_IO};
    uint64_t random = hash_u64(HASH_SEED, sim->options.seed ^ 0xd15c);
    int64_t at_us = 3 * US_PER_S;
    for (; sim->fault_count < SIM_FAULTS; random = hash_u64(HASH_SEED, random + 1)) {
        at_us += (int64_t)(random >> 16 & 0xffff) * 16 * US_PER_S / 0x10000;
        if (at_us >= sim->options.rough_us - 2 * US_PER_S)
            return;
        int64_t for_us = (int64_t)(random >> 32 & 0xffff) * 2 * US_PER_S / 0x10000;
        if ((random >> 48 & 7) == 0)
            for_us += 5 * US_PER_S; /* longer than a lease and than policy.node_timeout */
        add(sim, kinds[random & 3], at_us, for_us, (int)(random >> 8 & 3));
    }
}

static void add(struct sim *sim, enum sim_fault_kind kind, int64_t at_us, int64_t for_us, int node)
{
    sim->faults[sim->fault_count++] =
        (struct sim_fault){.kind = kind, .at_us = at_us, .for_us = for_us, .node = node};
}

void sim_fault_hit(struct sim *sim, enum sim_fault_kind kind)
{
    sim->hits[kind]++;
    sim->fault_last_us = sim->now_us;
}

/* Long: each kind has its lines. */
void sim_fault_begin(struct sim *sim, int index)
{
    struct sim_fault *fault = &sim->faults[index];
    struct sim_node *node = &sim->nodes[fault->node];
    int64_t end_us = sim->now_us + fault->for_us;
    sim_note(sim, "FAULT %d: %s, node %s, for %lld ms", index, sim_fault_words[fault->kind],
             node->name, (long long)(fault->for_us / US_PER_MS));
    fault->active = true;
    sim_push(sim, fault->for_us, SIM_FAULT_END)->number = (uint64_t)index;
    switch (fault->kind) {
    case FAULT_LOSS:
    case FAULT_DOUBLE:
    case FAULT_LATE:
        if ((fault->salt & 1) != 0)
            fault->node = -1;
        return;
    case FAULT_PARTITION:
    case FAULT_DEAF:
    case FAULT_MUTE:
        node->deaf += fault->kind != FAULT_MUTE;
        node->mute += fault->kind != FAULT_DEAF;
        sim_accident_of_node(sim, fault->node, end_us);
        return;
    case FAULT_SCHEDULER_KILLED:
    case FAULT_SCHEDULER_POWER:
        if (sim->core == NULL)
            return;
        sim_fault_hit(sim, fault->kind);
        sim_scheduler_crash(sim, fault->kind == FAULT_SCHEDULER_POWER, fault->for_us);
        return;
    case FAULT_SCHEDULER_STOPPED:
        sim_fault_hit(sim, fault->kind);
        sim->scheduler_until_us = end_us;
        return;
    case FAULT_CLOCK:
        sim_fault_hit(sim, fault->kind);
        sim->wall_us = ((int64_t)(fault->salt % 7200) - 3600) * US_PER_S;
        return;
    case FAULT_AGENT_KILLED:
        if (node->core == NULL)
            return;
        sim_fault_hit(sim, fault->kind);
        if (fault->for_us > 2 * US_PER_S)
            sim_accident_of_node(sim, fault->node, end_us);
        sim_node_crash(sim, fault->node, fault->for_us);
        return;
    case FAULT_AGENT_STOPPED:
    case FAULT_MACHINE_STOPPED:
        stop_node(sim, fault, fault->kind == FAULT_MACHINE_STOPPED);
        return;
    case FAULT_REBOOT:
        sim_fault_hit(sim, fault->kind);
        sim_node_reboot(sim, fault->node, fault->for_us);
        return;
    case FAULT_PROCESS:
        end_process(sim, fault);
        return;
    case FAULT_POINT:
        sim->point_left = 1 + (int64_t)(fault->salt % 60);
        return;
    case FAULT_FENCE:
        sim->fences_away++;
        return;
    case FAULT_WIPE:
        sim_fault_hit(sim, fault->kind);
        for (int i = 0; i < SIM_WORKLOADS; i++)
            sim->resources[i].stored = (struct epoch){0};
        return;
    case FAULT_SHIP:
        sim->ships_away++;
        return;
    case FAULT_LIE:
        sim->lying++;
        return;
    case FAULT_NODE_FULL:
    case FAULT_NODE_IO:
        node->disk_full += fault->kind == FAULT_NODE_FULL;
        node->disk_io += fault->kind == FAULT_NODE_IO;
        if (fault->for_us > 2 * US_PER_S)
            sim_accident_of_node(sim, fault->node, end_us);
        return;
    case FAULT_JOURNAL_FULL:
        sim->journal_full++;
        return;
    case FAULT_JOURNAL_IO:
        sim->journal_io++;
        return;
    case FAULT_KINDS:
        return;
    }
}

void sim_fault_end(struct sim *sim, int index)
{
    struct sim_fault *fault = &sim->faults[index];
    fault->active = false;
    if (fault->kind == FAULT_PARTITION || fault->kind == FAULT_DEAF || fault->kind == FAULT_MUTE) {
        struct sim_node *node = &sim->nodes[fault->node];
        node->deaf -= fault->kind != FAULT_MUTE;
        node->mute -= fault->kind != FAULT_DEAF;
        node->parted_us = sim->now_us + US_PER_S;
        sim_accident_of_node(sim, fault->node, sim->now_us);
        /* A bus that is there again: the agent says hello. */
        if (node->core != NULL && node->deaf + node->mute == 0)
            sim_node_inside(sim, fault->node, 0, NODE_EV_CONNECTED, "", NULL);
    }
    sim->nodes[fault->node < 0 ? 0 : fault->node].disk_full -= fault->kind == FAULT_NODE_FULL;
    sim->nodes[fault->node < 0 ? 0 : fault->node].disk_io -= fault->kind == FAULT_NODE_IO;
    sim->journal_full -= fault->kind == FAULT_JOURNAL_FULL;
    sim->journal_io -= fault->kind == FAULT_JOURNAL_IO;
    sim->fences_away -= fault->kind == FAULT_FENCE;
    sim->ships_away -= fault->kind == FAULT_SHIP;
    sim->lying -= fault->kind == FAULT_LIE;
    if (fault->kind == FAULT_POINT)
        sim->point_left = 0;
}

static void stop_node(struct sim *sim, struct sim_fault *fault, bool machine)
{
    struct sim_node *node = &sim->nodes[fault->node];
    int64_t end_us = sim->now_us + fault->for_us;
    int64_t *until_us = machine ? &node->machine_until_us : &node->stopped_until_us;
    sim_fault_hit(sim, fault->kind);
    if (*until_us < end_us)
        *until_us = end_us;
    if (machine || fault->for_us > 2 * US_PER_S)
        sim_accident_of_node(sim, fault->node, end_us);
}

/* One of those that live: the moving ones are the likelier, being the last. */
static void end_process(struct sim *sim, struct sim_fault *fault)
{
    int alive[64];
    int count = 0;
    for (int i = sim->process_count - 1; i >= sim->first_alive && count < 64; i--) {
        if (sim_process_runs(sim, &sim->processes[i]))
            alive[count++] = i;
    }
    if (count == 0)
        return;
    sim_fault_hit(sim, fault->kind);
    sim_process_accident(sim, &sim->processes[alive[fault->salt % (uint64_t)count]], true);
}

/* Nobody can promise for what serves there, nor yet when it is back. */
void sim_accident_of_node(struct sim *sim, int index, int64_t until_us)
{
    struct sim_node *node = &sim->nodes[index];
    if (node->parted_us < until_us + US_PER_S)
        node->parted_us = until_us + US_PER_S;
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (process->node != index || !process->alive)
            continue;
        sim->store_excused |= str_equal(process->instance, sim->resources[STORE].owner);
        if (sim->excused_us[process->workload] < until_us + SIM_EXCUSE_US)
            sim->excused_us[process->workload] = until_us + SIM_EXCUSE_US;
    }
}

bool sim_parted(const struct sim *sim, int index)
{
    const struct sim_node *node = &sim->nodes[index];
    return node->deaf + node->mute > 0 || sim->now_us < node->parted_us;
}

/* ---- the bus ---- */

void sim_bus(struct sim *sim, enum sim_kind kind, int index, const void *payload, size_t bytes)
{
    struct sim_node *node = &sim->nodes[index];
    bool to_node = kind == SIM_TO_NODE || kind == SIM_ASK_HELLO || kind == SIM_HELLO_HEARD ||
                   kind == SIM_RENEWED;
    if (to_node ? node->deaf > 0 : node->mute > 0) {
        sim_fault_hit(sim, node->deaf > 0 && node->mute > 0 ? FAULT_PARTITION
                           : node->deaf > 0                 ? FAULT_DEAF
                                                            : FAULT_MUTE);
        return;
    }
    int copies = 1;
    int64_t late_us[3] = {0};
    for (int i = 0; i < sim->fault_count && sim->now_us < sim->calm_us; i++) {
        struct sim_fault *fault = &sim->faults[i];
        if (fault->active && fault->kind <= FAULT_LATE &&
            hits_message(sim, fault, index, &copies, late_us))
            sim_fault_hit(sim, fault->kind);
    }
    void *copy = NULL;
    for (int i = 0; i < copies; i++) {
        if (copy == NULL && bytes > 0)
            copy = arena_copy(&sim->arena, payload, bytes);
        BERTH_ASSERT(copy != NULL || bytes == 0, "no memory");
        struct sim_event *event = sim_push(sim, node->delay_us + late_us[i], kind);
        event->node = index;
        event->life = node->life;
        event->number = node->boots;
        event->payload = copy;
    }
}

static bool hits_message(struct sim *sim, struct sim_fault *fault, int node, int *copies,
                         int64_t *late_us)
{
    (void)sim;
    if (fault->node >= 0 && fault->node != node)
        return false;
    uint64_t number = hash_u64(fault->salt, ++fault->counter);
    if (number % 100 >= 25 || *copies == 0)
        return false;
    fault->hits++;
    if (fault->kind == FAULT_LOSS) {
        *copies = 0;
    } else if (fault->kind == FAULT_DOUBLE) {
        *copies = 2 + (int)(number >> 32 & 1);
        for (int i = 1; i < *copies; i++)
            late_us[i] += (int64_t)(number >> (8 * i) & 0xfff) * 500;
    } else {
        late_us[0] += (int64_t)(number >> 16 & 0xffff) * 4 * US_PER_S / 0x10000;
    }
    return true;
}
