/*
 * From where the traffic comes, is the new copy there? Every vantage asks the new copy's own
 * subject and needs all its answers, each with the copy's identity; the old copy is asked as well,
 * because what is on the wire to it takes its path's time.
 */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

#define CALLERS_MAX   8 /* where callers are, the hub included; every ingress is asked */
#define OLD_TRIES_MAX 2 /* an old copy that answers nobody is not waited for */

static void vantage_add(struct core_handoff *handoff, const char *node, int most);
static void vantages_of_caller(struct core *core, struct core_handoff *handoff,
                               const struct app *app, int workload);
static void vantages_of_segment(struct core *core, struct core_handoff *handoff,
                                const struct segment *segment);
static void learn_new(struct core_vantage *vantage, bool reached, bool unproven);
static int64_t world_rtt_us(const struct world *world, const char *site);

void core_vantages_choose(struct core *core, struct core_handoff *handoff)
{
    handoff->vantage_count = 0;
    struct core_place place;
    bool known =
        core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &place);
    /* Requests of an HTTP workload come through the ingresses, and from nowhere else. */
    if (known && core_is_http(&place)) {
        for (int i = 0; i < core_ingress_count(core); i++)
            vantage_add(handoff, core->state.nodes[core->ingresses[i]].name, CORE_VANTAGES);
        return;
    }
    vantage_add(handoff, "", CALLERS_MAX);
    if (!known)
        return;
    const struct app *app = &place.app->app;
    int workload = (int)(place.workload - app->workloads);
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        if (link->to != workload)
            continue;
        if (link->from_kind == LINK_WORKLOAD)
            vantages_of_caller(core, handoff, app, link->from);
        else
            vantages_of_segment(core, handoff, &app->segments[link->from]);
    }
}

static void vantage_add(struct core_handoff *handoff, const char *node, int most)
{
    for (int i = 0; i < handoff->vantage_count; i++) {
        if (str_equal(handoff->vantages[i].node, node))
            return;
    }
    if (handoff->vantage_count == most)
        return;
    struct core_vantage *vantage = &handoff->vantages[handoff->vantage_count++];
    memset(vantage, 0, sizeof(*vantage));
    CORE_SET(vantage->node, node);
}

static void vantages_of_caller(struct core *core, struct core_handoff *handoff,
                               const struct app *app, int workload)
{
    const struct core_state *state = &core->state;
    const struct index *slots = &core->indexes.slots;
    uint64_t hash = core_slot_hash(app->namespace_, app->name, app->workloads[workload].name);
    for (int i = index_first(slots, hash); i >= 0; i = index_next(slots, i)) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->id[0] != 0 && instance->want == WANT_SERVE &&
            instance->state == INSTANCE_READY && !instance->lost)
            vantage_add(handoff, instance->node, CALLERS_MAX);
    }
}

static void vantages_of_segment(struct core *core, struct core_handoff *handoff,
                                const struct segment *segment)
{
    const struct core_state *state = &core->state;
    for (int i = 0; i < state->node_count; i++) {
        if (state->nodes[i].up && str_equal(state->nodes[i].site, segment->site))
            vantage_add(handoff, state->nodes[i].name, CALLERS_MAX);
    }
}

bool core_can_prove(const struct handoff_step *step)
{
    return step->handoff->vantage_count > 0 &&
           (step->place.workload->contract || core_is_http(&step->place));
}

bool core_speaks_contract(const struct core *core, const struct core_handoff *handoff)
{
    struct core_place place;
    return core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, &place) &&
           place.workload->contract;
}

bool core_is_proven(const struct handoff_step *step)
{
    bool reached = false;
    for (int i = 0; i < step->handoff->vantage_count; i++) {
        const struct core_vantage *vantage = &step->handoff->vantages[i];
        reached |= vantage->new_reached;
        if (vantage->unproven)
            return false;
    }
    return reached && step->place.workload->contract;
}

bool core_vantages_probe(struct core *core, struct core_handoff *handoff,
                         const struct core_instance *from, const struct core_instance *to)
{
    bool reached = true;
    bool old_asked = from != NULL && !core_instance_is_dead(from) && from->state == INSTANCE_READY;
    for (int i = 0; i < handoff->vantage_count; i++) {
        struct core_vantage *vantage = &handoff->vantages[i];
        if (vantage->node[0] != 0) {
            const struct core_node *node = core_node_find(core, vantage->node);
            if (node == NULL || !node->up)
                continue; /* nobody calls from there any more */
        }
        if (!vantage->new_reached) {
            reached = false;
            (void)core_probe_ensure(core, handoff, to, vantage->node);
        }
        if (old_asked && !vantage->old_reached && vantage->old_tries < OLD_TRIES_MAX) {
            reached = false;
            (void)core_probe_ensure(core, handoff, from, vantage->node);
        }
    }
    return reached;
}

void core_on_probed(struct core *core, const struct core_event *event)
{
    const struct message_probed *probed = &event->probed;
    struct core_command *command = core_command_find(core, probed->id);
    if (command == NULL || command->verb != NODE_PROBE || !str_equal(command->node, probed->node))
        return;
    command->answered = true;
    command->sent = core->state.now;
    struct core_handoff *handoff = core_handoff_find(core, command->handoff);
    if (handoff == NULL || !str_equal(command->instance, probed->instance))
        return;
    core_handoff_wake(core, handoff->id);
    bool all = probed->sent > 0 && probed->answered == probed->sent;
    for (int i = 0; i < handoff->vantage_count; i++) {
        struct core_vantage *vantage = &handoff->vantages[i];
        if (!str_equal(vantage->node, probed->node))
            continue;
        if (all && probed->rtt_us > vantage->rtt_us)
            vantage->rtt_us = probed->rtt_us;
        if (str_equal(command->instance, handoff->to))
            learn_new(vantage, all, probed->unproven > 0);
        else if (all)
            vantage->old_reached = true;
        else
            vantage->old_tries++;
    }
}

static void learn_new(struct core_vantage *vantage, bool reached, bool unproven)
{
    if (reached && !vantage->new_reached)
        vantage->unproven = unproven;
    vantage->new_reached |= reached;
}

int64_t core_linger_us(const struct core *core, const struct core_handoff *handoff)
{
    int64_t rtt_us = 0;
    bool blind = !handoff->proven;
    for (int i = 0; i < handoff->vantage_count && handoff->proven; i++) {
        const struct core_vantage *vantage = &handoff->vantages[i];
        if (vantage->rtt_us > rtt_us)
            rtt_us = vantage->rtt_us;
        blind |= handoff->from[0] != 0 && !vantage->old_reached;
    }
    /* Where nothing was measured, the slowest path that the world knows stands for it. */
    if (blind && core->state.world != NULL) {
        int64_t from_us = world_rtt_us(core->state.world, handoff->from_site);
        int64_t to_us = world_rtt_us(core->state.world, handoff->to_site);
        rtt_us = rtt_us > from_us ? rtt_us : from_us;
        rtt_us = rtt_us > to_us ? rtt_us : to_us;
    }
    int64_t linger_us = rtt_us + rtt_us / 4 + CORE_LINGER_MARGIN_US;
    int64_t least_us = handoff->proven ? CORE_LINGER_MIN_US : CORE_LINGER_BLIND_US;
    return linger_us > least_us ? linger_us : least_us;
}

static int64_t world_rtt_us(const struct world *world, const char *site)
{
    int index = world_site(world, site);
    int64_t slowest_us = 0;
    for (int i = 0; index >= 0 && i < world->site_count; i++) {
        int64_t there_us = world->rtt_us[index * world->site_count + i];
        int64_t back_us = world->rtt_us[i * world->site_count + index];
        slowest_us = there_us > slowest_us ? there_us : slowest_us;
        slowest_us = back_us > slowest_us ? back_us : slowest_us;
    }
    return slowest_us;
}
