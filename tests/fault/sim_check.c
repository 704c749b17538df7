/*
 * What must hold, and the traffic of queue groups that shows it.
 *   S1 once `source` (in the script of savings `web` too) served, an instance of it always does,
 *      unless an accident took the last one away; no request of the client is lost by a move
 *   S3 an acknowledged apply is in the core that recovers from the journal, a delete as well
 *   S4 no process is left that nobody wants, none is missing
 *   S5 what runs on a node is never more than it offers
 *   S6 everything is started only where its tags and tiers allow it
 *   S7 a recovered scheduler gives out no epoch that was given out before
 *   S8 what was stopped is not started again
 *   S9 a replay gives the same state, an image too (sim_scheduler.c)
 *   L1 every handoff ends, in done or back; L3 no command or record is left over
 *   L2 a round of state that was told is not waited for: a word that was lost is told again
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

/* Bulk data queues where small probes pass: requests and interest may take so many times the
 * probe's way. Probing the old path takes one round trip by itself; the linger covers the rest. */
#define SLOW_MAX 4

#define SHIP_WAIT_US (30 * US_PER_S) /* of the 120 s that a round has */

static bool allowed(enum sim_workload workload, int node);
static uint64_t version_of(const struct app *app, enum sim_workload workload);
static void count_handoff(struct sim *sim, const struct core_handoff *handoff);

/* For owners there is a pause: the resource sees who writes. For `front` the ingresses see it. */
void sim_check_serving(struct sim *sim, const struct sim_process *left, const char *why)
{
    bool watched =
        left->workload == SOURCE || (sim->options.script == SCRIPT_SAVING && left->workload == WEB);
    if (!watched || sim->delete_asked || sim->now_us < sim->excused_us[left->workload])
        return;
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (process->alive && process->serves && process->workload == left->workload)
            return;
    }
    sim_break(sim, "zero ready: %s on %s left (%s) and nobody serves", left->instance,
              sim->nodes[left->node].name, why);
}

/* An instance's name is used once. Its node may start it again after an accident, but not after it
 * has been cleared away on the scheduler's word. */
void sim_check_spawn(struct sim *sim, int index, const struct node_effect *effect)
{
    const struct sim_node *node = &sim->nodes[index];
    enum sim_workload workload = sim_workload_of(effect->spec->workload);
    int64_t mcpu = effect->spec->mcpu;
    for (int i = 0; i < node->stopped_count; i++) {
        if (str_equal(node->stopped[i], effect->instance))
            sim_break(sim, "%s was stopped on %s and is started again", effect->instance,
                      node->name);
    }
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        mcpu += process->node == index && process->alive ? process->mcpu : 0;
    }
    if (mcpu > 1500)
        sim_break(sim, "%s has %lld millicores of processes with %s, and offers 1500", node->name,
                  (long long)mcpu, effect->instance);
    if (!allowed(workload, index) && sim->options.script != SCRIPT_SAVING)
        sim_break(sim, "%s may not be at %s", effect->instance, node->site);
}

static bool allowed(enum sim_workload workload, int node)
{
    switch (workload) {
    case WEB:
        return node == 1;
    case SOURCE:
        return node >= 2;
    case FRONT:
    case LEDGER:
    case STORE:
        return node >= 1;
    case SIM_WORKLOADS:
        break;
    }
    return false;
}

void sim_check_recovered(struct sim *sim)
{
    const struct core_state *state = core_state(sim->core);
    if (sim->apply_acked && !sim->delete_asked && state->app_count != 1)
        sim_break(sim, "an acknowledged apply is lost");
    if (epoch_compare(state->epoch, sim->epoch_told) < 0)
        sim_break(sim, "epoch %llu.%llu was given out, and the recovered scheduler is at %llu.%llu",
                  (unsigned long long)sim->epoch_told.term, (unsigned long long)sim->epoch_told.n,
                  (unsigned long long)state->epoch.term, (unsigned long long)state->epoch.n);
    for (int i = 0; i < SIM_WORKLOADS && state->app_count == 1; i++) {
        uint64_t version = version_of(&state->apps[0].app, (enum sim_workload)i);
        if (version < sim->acked[i] || version > sim->versions[i])
            sim_break(sim, "version %llu of %s was acknowledged, and the recovered one is %llu",
                      (unsigned long long)sim->acked[i], sim_workload_words[i],
                      (unsigned long long)version);
    }
}

static uint64_t version_of(const struct app *app, enum sim_workload workload)
{
    return strtoull(app->workloads[workload].variants[0].digest + strlen("sha256:"), NULL, 16);
}

/* Which handoffs have ended, and whether anything befell the machines in their life. */
void sim_check_step(struct sim *sim)
{
    const struct core_state *state = core_state(sim->core);
    if (state->ended_count < sim->ended_seen)
        sim->ended_seen = state->ended_count; /* what was lost with the journal's end */
    for (; sim->ended_seen < state->ended_count; sim->ended_seen++)
        count_handoff(sim, &state->ended[sim->ended_seen % CORE_ENDED]);
}

/* An export takes milliseconds here; what is lost with a message, an agent or a refused journal is
 * known by the next beats. Only a word that nobody repeats lasts until the round's own time. */
void sim_check_ship(struct sim *sim)
{
    const struct core_state *state = core_state(sim->core);
    const struct core_handoff *ships = NULL;
    for (int i = 0; i < state->handoff_count && ships == NULL; i++) {
        if (state->handoffs[i].state == HANDOFF_STATE_SHIPPING)
            ships = &state->handoffs[i];
    }
    if (ships == NULL || !str_equal(sim->ship, ships->id) || sim->ship_round != ships->round) {
        str_format(sim->ship, sizeof(sim->ship), "%s", ships == NULL ? "" : ships->id);
        sim->ship_round = ships == NULL ? 0 : ships->round;
        sim->ship_us = sim->now_us;
        return;
    }
    int64_t since_us = sim->ship_us > sim->fault_last_us ? sim->ship_us : sim->fault_last_us;
    if (sim->now_us - since_us > SHIP_WAIT_US)
        sim_break(sim, "round %d of %s is waited for since %lld ms, without a fault", ships->round,
                  ships->id, (long long)((sim->now_us - since_us) / US_PER_MS));
}

static void count_handoff(struct sim *sim, const struct core_handoff *handoff)
{
    bool move = handoff->from[0] != 0 && handoff->to[0] != 0;
    int64_t lived_us = sim_scheduler_us(sim) - handoff->entered[HANDOFF_STATE_PLANNED].us;
    bool faulty = sim->now_us - sim->fault_last_us <= lived_us && sim->fault_last_us != 0;
    if (handoff->state != HANDOFF_STATE_DONE && handoff->state != HANDOFF_STATE_BACK)
        sim_break(sim, "handoff %s ended in %s", handoff->id, handoff_state_words[handoff->state]);
    sim->handoffs++;
    sim->moves += move;
    sim->faulty += faulty;
    sim->faulty_moves += move && faulty;
    sim->done += handoff->state == HANDOFF_STATE_DONE;
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
    int wanted = deleted ? 0 : SIM_WORKLOADS + 1;
    if (alive != wanted || serving != wanted)
        sim_break(sim, "%d processes live and %d serve, wanted %d", alive, serving, wanted);
    if (!deleted)
        sim_check_sockets(sim);
    if (sim->core == NULL)
        return;
    const struct core_state *state = core_state(sim->core);
    if (state->handoff_count != 0 || state->command_count != 0)
        sim_break(sim, "%d handoffs and %d commands are left over", state->handoff_count,
                  state->command_count);
}

/* ---- traffic ---- */

bool sim_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us)
{
    *ret_us = 10 * US_PER_MS; /* "no responders" comes at once */
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        bool owner = process->workload >= LEDGER;
        /* A standby listens to its own subject already. */
        if (!str_equal(process->instance, instance) || !sim_process_runs(sim, process) ||
            !(owner ? process->said_ready : process->serves) || sim_parted(sim, process->node) ||
            (from >= 0 && sim_parted(sim, from)))
            continue;
        int64_t way_us = sim->nodes[process->node].delay_us;
        if (from >= 0)
            way_us += sim->nodes[from].delay_us;
        if (sim->now_us < (owner ? process->ready_us : process->served_us) + way_us)
            return false; /* its interest has not come so far */
        *ret_us = 2 * way_us;
        return true;
    }
    return false;
}

/* When the hub knows of an instance. */
int64_t sim_known_at(const struct sim *sim, const struct sim_process *process)
{
    return process->served_us + sim->nodes[process->node].delay_us;
}

/* The client at the hub asks `source` something; the hub takes the instances in turn. */
void sim_request(struct sim *sim)
{
    int candidates[64];
    int count = 0;
    for (int i = sim->first_alive; i < sim->process_count && count < 64; i++) {
        const struct sim_process *process = &sim->processes[i];
        if (process->alive && process->serves && process->workload == SOURCE &&
            sim->now_us >= sim_known_at(sim, process) && !sim_parted(sim, process->node))
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
    if (there->by_accident || sim->delete_asked || sim->now_us < sim->excused_us[SOURCE] ||
        sim_parted(sim, there->node))
        return;
    int64_t here_us = sim->nodes[there->node].delay_us;
    for (int i = sim->first_alive; i < sim->process_count; i++) {
        const struct sim_process *process = &sim->processes[i];
        /* Its interest came to the hub, and from there on the slow way to this server. */
        if (process != there && process->alive && process->serves && process->workload == SOURCE &&
            sim->now_us >= sim_known_at(sim, process) + SLOW_MAX * here_us) {
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
              (long long)(event->sent_us - SIM_START_US), there->instance);
}
