/*
 * What must hold, and the traffic that shows it.
 *   S1 once `source` (in the script of savings `web` too) served, an instance of it always does,
 * unless an accident took the last one away; no request of the client is lost by a move S3 an
 * acknowledged apply is in the core that recovers from the journal S4 no process is left that
 * nobody wants, none is missing S8 what was stopped is not started again L1 every handoff ends, in
 * done or back; L3 no command or record is left over
 */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define REQUEST_GAP_US (2 * US_PER_MS)
/* Bulk data queues where small probes pass: requests and interest may take so many times the
 * probe's way. Probing the old path takes one round trip by itself; the linger covers the rest. */
#define SLOW_MAX 4

static int64_t known_at(const struct sim *sim, const struct sim_process *process);

void sim_check_serving(struct sim *sim, const struct sim_process *left, const char *why)
{
    bool watched = str_equal(left->workload, "source") ||
                   (sim->options.saving && str_equal(left->workload, "web"));
    if (!watched || sim->delete_asked || sim->now_us < sim->excused_us)
        return;
    for (int i = 0; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (process->alive && process->serves && str_equal(process->workload, left->workload))
            return;
    }
    sim_break(sim, "zero ready: %s on %s left (%s) and nobody serves", left->instance,
              sim->nodes[left->node].name, why);
}

/* An instance's name is used once. Its node may start it again after an accident, but not after it
 * has been cleared away on the scheduler's word. */
void sim_check_spawn(struct sim *sim, int index, const char *instance)
{
    const struct sim_node *node = &sim->nodes[index];
    for (int i = 0; i < node->stopped_count; i++) {
        if (str_equal(node->stopped[i], instance))
            sim_break(sim, "%s was stopped on %s and is started again", instance, node->name);
    }
}

void sim_check_recovered(struct sim *sim)
{
    if (sim->apply_acked && !sim->delete_asked && core_state(sim->core)->app_count != 1)
        sim_break(sim, "an acknowledged apply is lost");
}

/* Nothing is under way: the world must be as it was asked to be. */
void sim_check_end(struct sim *sim, bool deleted)
{
    int alive = 0;
    int serving = 0;
    for (int i = 0; i < sim->process_count; i++) {
        alive += sim->processes[i].alive;
        serving += sim->processes[i].alive && sim->processes[i].serves;
    }
    int wanted = deleted ? 0 : 2;
    if (alive != wanted || serving != wanted)
        sim_break(sim, "%d processes live and %d serve, wanted %d", alive, serving, wanted);
    if (sim->core == NULL)
        return;
    const struct core_state *state = core_state(sim->core);
    for (uint64_t i = 0; i < state->ended_count && i < CORE_ENDED; i++) {
        if (state->ended[i].state != HANDOFF_STATE_DONE &&
            state->ended[i].state != HANDOFF_STATE_BACK)
            sim_break(sim, "handoff %s ended in %s", state->ended[i].id,
                      handoff_state_words[state->ended[i].state]);
    }
    if (state->handoff_count != 0 || state->command_count != 0)
        sim_break(sim, "%d handoffs and %d commands are left over", state->handoff_count,
                  state->command_count);
}

/* ---- traffic ---- */

bool sim_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us)
{
    *ret_us = 10 * US_PER_MS; /* "no responders" comes at once */
    for (int i = 0; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (!str_equal(process->instance, instance) || !process->alive || !process->serves)
            continue;
        int64_t way_us = sim->nodes[process->node].delay_us;
        if (from >= 0)
            way_us += sim->nodes[from].delay_us;
        if (sim->now_us < process->served_us + way_us)
            return false; /* its interest has not come so far */
        *ret_us = 2 * way_us;
        return true;
    }
    return false;
}

/* When the hub knows of an instance. */
static int64_t known_at(const struct sim *sim, const struct sim_process *process)
{
    return process->served_us + sim->nodes[process->node].delay_us;
}

/* The client at the hub asks `source` something; the hub takes the instances in turn. */
void sim_request(struct sim *sim)
{
    if (!sim->finished)
        (void)sim_push(sim, REQUEST_GAP_US, SIM_REQUEST);
    int candidates[SIM_PROCESSES];
    int count = 0;
    for (int i = 0; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (process->alive && process->serves && str_equal(process->workload, "source") &&
            sim->now_us >= known_at(sim, process))
            candidates[count++] = i;
    }
    if (count == 0)
        return; /* "no responders": the client is told at once, and S1 has its own check */
    sim->requests++;
    int to = candidates[(uint64_t)sim->requests % (uint64_t)count];
    int64_t way_us = sim->nodes[sim->processes[to].node].delay_us;
    struct sim_event *arrive =
        sim_push(sim, sim->requests % 3 == 0 ? SLOW_MAX * way_us : way_us, SIM_ARRIVE);
    arrive->process = to;
    arrive->sent_us = sim->now_us;
}

void sim_arrive(struct sim *sim, const struct sim_event *event)
{
    const struct sim_process *there = &sim->processes[event->process];
    if (there->alive && there->serves)
        return; /* answered */
    if (there->by_accident || sim->delete_asked || sim->now_us < sim->excused_us)
        return;
    int64_t here_us = sim->nodes[there->node].delay_us;
    for (int i = 0; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        /* Its interest came to the hub, and from there on the slow way to this server. */
        if (process != there && process->alive && process->serves &&
            str_equal(process->workload, "source") &&
            sim->now_us >= known_at(sim, process) + SLOW_MAX * here_us) {
            sim->requests_moved++;
            struct sim_event *arrive =
                sim_push(sim, here_us + sim->nodes[process->node].delay_us, SIM_ARRIVE);
            arrive->process = i;
            arrive->sent_us = event->sent_us;
            return;
        }
    }
    sim->requests_lost++;
    sim_break(sim, "a request sent at %lld us found %s gone and its server knew no other",
              (long long)(event->sent_us - 1000 * US_PER_S), there->instance);
}
