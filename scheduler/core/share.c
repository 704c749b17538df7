/*
 * Who serves whom. Parts of one family at one site with one variant share one set of instances, run
 * by the first of them, their lead; a data set has no instances at all. A change of lead is carried
 * out so that at no moment a part that was served is not: instances that others were served by are
 * neither moved nor removed before each of those has a server elsewhere.
 */
#include "base/str.h"
#include "scheduler/core/internal.h"

static bool any_ready(const struct core *core, const struct core_app *app, int index);

void core_leads_settle(struct core_app *app)
{
    for (int i = 0; i < app->app.workload_count; i++) {
        const struct workload *workload = &app->app.workloads[i];
        struct core_workload *state = &app->workloads[i];
        state->lead = i;
        for (int k = 0; k < i && workload->family[0] != 0 && state->site >= 0; k++) {
            if (str_equal(app->app.workloads[k].family, workload->family) &&
                app->workloads[k].site == state->site &&
                app->workloads[k].variant == state->variant) {
                state->lead = k;
                break;
            }
        }
    }
}

bool core_is_served(const struct core *core, const struct core_app *app, int lead)
{
    const struct core_state *state = &core->state;
    const struct workload *workload = &app->app.workloads[lead];
    const struct index *slots = &core->indexes.slots;
    int ready = 0;
    for (int i = index_first(slots, core_slot_of(app, lead)); i >= 0; i = index_next(slots, i)) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->id[0] != 0 && !instance->lost && instance->want == WANT_SERVE &&
            instance->state == INSTANCE_READY && instance->handoff[0] == 0 &&
            instance->replica < workload->replicas &&
            state->nodes[instance->node_index].site_index == app->workloads[lead].site)
            ready++;
    }
    return ready >= workload->replicas;
}

bool core_is_needed(const struct core *core, const struct core_app *app, int index)
{
    const struct workload *workload = &app->app.workloads[index];
    for (int i = 0; i < app->app.workload_count && workload->family[0] != 0; i++) {
        int lead = app->workloads[i].lead;
        /* One that could not be started does not hold the others for ever. */
        if (i != index && lead != index &&
            str_equal(app->app.workloads[i].family, workload->family) &&
            app->workloads[i].site >= 0 && app->workloads[lead].failures == 0 &&
            !app->workloads[lead].site_blocked[app->workloads[lead].site] &&
            !any_ready(core, app, lead))
            return true;
    }
    return false;
}

static bool any_ready(const struct core *core, const struct core_app *app, int index)
{
    const struct core_state *state = &core->state;
    const struct index *slots = &core->indexes.slots;
    for (int i = index_first(slots, core_slot_of(app, index)); i >= 0; i = index_next(slots, i)) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->id[0] == 0 || instance->lost || instance->want != WANT_SERVE ||
            instance->state != INSTANCE_READY)
            continue;
        /* The new side of a handoff is ready, but traffic may not find it yet. */
        const struct core_handoff *handoff = core_handoff_find(core, instance->handoff);
        if (handoff == NULL || str_equal(handoff->from, instance->id))
            return true;
    }
    return false;
}

bool core_is_lead(const struct core *core, const char *ns, const char *app, const char *workload)
{
    struct core_place place;
    return core_place_find(core, ns, app, workload, &place) && place.workload->family[0] != 0;
}

uint64_t core_spec_hash(const struct core_app *app, int index, int variant)
{
    uint64_t hash = ((const struct core_storage *)app->storage)->spec_hash[index];
    return variant == 0 ? hash : hash_u64(hash, (uint64_t)variant);
}

int64_t core_reserve(const struct workload *workload, const struct variant *variant, int resource)
{
    return variant != NULL && variant->reserve[resource] >= 0 ? variant->reserve[resource]
                                                              : workload->reserve[resource];
}
