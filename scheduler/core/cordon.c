#include "scheduler/core/cordon.h"

#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

static int find(const struct core *core, enum cordon_kind kind, const char *name);

void core_on_cordon(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    enum cordon_kind kind = event->cordon.kind;
    const char *name = event->cordon.name;
    char text[LIMIT_TEXT_BYTES] = "";
    if (event->cordon.version != 0 && event->cordon.version != state->version) {
        CORE_TEXT(text, "the plan was made from version %llu, and now it is %llu; make a new plan",
                  (unsigned long long)event->cordon.version, (unsigned long long)state->version);
        core_reply(core, event, ERR_STALE, text);
        return;
    }
    core_reply(core, event, core_cordon_set(core, kind, name, event->cordon.on, text), text);
}

int core_cordon_check(const struct core *core, enum cordon_kind kind, const char *name,
                      char text[LIMIT_TEXT_BYTES])
{
    const struct world *world = core->state.world;
    bool known = kind == CORDON_NODE && core_node_find(core, name) != NULL;
    for (int i = 0; i < (world == NULL ? 0 : world->site_count) && !known; i++) {
        known = (kind == CORDON_SITE && str_equal(world->sites[i].name, name)) ||
                (kind == CORDON_PROVIDER && str_equal(world->sites[i].provider, name));
    }
    if (known)
        return 0;
    CORE_TEXT(text, "there is no %s %s; `berth get %s` lists them", cordon_kind_words[kind], name,
              kind == CORDON_NODE ? "nodes" : "sites");
    return ERR_NOT_FOUND;
}

int core_cordon_set(struct core *core, enum cordon_kind kind, const char *name, bool on,
                    char text[LIMIT_TEXT_BYTES])
{
    struct core_state *state = &core->state;
    int at = find(core, kind, name);
    if ((at >= 0) == on)
        return 0;
    if (on) {
        int rc = core_cordon_check(core, kind, name, text);
        if (rc < 0)
            return rc;
        if (state->cordon_count == CORE_CORDONS) {
            CORE_TEXT(text, "CORE_CORDONS: %d are being emptied; lift one with `berth uncordon`",
                      CORE_CORDONS);
            return ERR_LIMIT;
        }
        struct core_cordon *cordon = &state->cordons[state->cordon_count++];
        memset(cordon, 0, sizeof(*cordon));
        cordon->kind = kind;
        CORE_SET(cordon->name, name);
        cordon->since = state->now;
    } else {
        state->cordon_count--;
        memmove(&state->cordons[at], &state->cordons[at + 1],
                (size_t)(state->cordon_count - at) * sizeof(*state->cordons));
    }
    state->version++;
    core_inputs_changed(core, !on);
    core->diff = true;
    char said[LIMIT_TEXT_BYTES];
    CORE_TEXT(said, "%s %s is %s", cordon_kind_words[kind], name,
              on ? "being emptied" : "open again");
    core_publish(core, on ? "cordon.set" : "cordon.lifted",
                 (struct core_subject){.node = kind == CORDON_NODE ? name : ""}, said);
    return 0;
}

static int find(const struct core *core, enum cordon_kind kind, const char *name)
{
    for (int i = 0; i < core->state.cordon_count; i++) {
        const struct core_cordon *cordon = &core->state.cordons[i];
        if (cordon->kind == kind && str_equal(cordon->name, name))
            return i;
    }
    return -1;
}

bool core_node_cordoned(const struct core *core, const struct core_node *node)
{
    if (core->state.cordon_count == 0)
        return false;
    if (find(core, CORDON_NODE, node->name) >= 0)
        return true;
    if (node->site_index < 0)
        return find(core, CORDON_SITE, node->site) >= 0;
    const struct site *site = &core->state.world->sites[node->site_index];
    return find(core, CORDON_SITE, site->name) >= 0 ||
           find(core, CORDON_PROVIDER, site->provider) >= 0;
}

bool core_site_cordoned(const struct core *core, int site)
{
    const struct core_state *state = &core->state;
    if (state->cordon_count == 0 || site < 0)
        return false;
    if (find(core, CORDON_SITE, state->world->sites[site].name) >= 0 ||
        find(core, CORDON_PROVIDER, state->world->sites[site].provider) >= 0)
        return true;
    bool any = false;
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        if (!node->up || node->site_index != site)
            continue;
        any = true;
        if (find(core, CORDON_NODE, node->name) < 0)
            return false;
    }
    return any;
}

bool *core_cordons_close(const struct core *core, const struct workload *workload, bool *closed,
                         struct arena *arena)
{
    const struct core_state *state = &core->state;
    if (state->cordon_count == 0 || closed == NULL)
        return closed;
    size_t sites = (size_t)state->world->site_count;
    bool *copy = arena_array(arena, sites + 1, sizeof(*copy));
    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < sites; i++)
        copy[i] = closed[i] || core_site_cordoned(core, (int)i);
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        if (node->up && node->site_index >= 0 && !copy[node->site_index] &&
            core_site_allowed(state->world, workload, node->site_index))
            return copy;
    }
    return closed;
}
