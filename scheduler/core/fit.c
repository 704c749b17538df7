/* Which node of a site takes one more replica: the one that it leaves the least unused. */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"

static void sum_used(struct core *core);
static bool runs_on(const struct core *core, const struct variant *variant,
                    const struct core_node *node);
static bool offers(const char *drivers, const char *driver);

int core_fit(struct core *core, const struct workload *workload, int site, int variant)
{
    const struct core_state *state = &core->state;
    sum_used(core);
    int best = -1;
    int64_t best_left = 0;
    for (int i = 0; i < state->node_count; i++) {
        if (core->used[i].site != site || core->used[i].instances >= LIMIT_NODE_INSTANCES)
            continue;
        const struct core_node *node = &state->nodes[i];
        if (!node->up || core_node_cordoned(core, node))
            continue;
        const struct variant *runs = core_variant(core, workload, node, variant);
        if (runs == NULL)
            continue;
        int64_t left_ppm = 0;
        bool fits = true;
        for (int k = 0; k < RESOURCE_COUNT && fits; k++) {
            int64_t left =
                node->capacity[k] - core->used[i].resources[k] - core_reserve(workload, runs, k);
            fits = left >= 0;
            if (node->capacity[k] > 0)
                left_ppm += (int64_t)((__int128)left * PPM / node->capacity[k]);
        }
        if (!fits)
            continue;
        if (best < 0 || left_ppm < best_left ||
            (left_ppm == best_left && strcmp(node->name, state->nodes[best].name) < 0)) {
            best = i;
            best_left = left_ppm;
        }
    }
    return best;
}

/* Whatever may still have a process counts: both copies of a handoff, and what is to go. Within a
 * step instances come and none of them settles, so that only the new ones are added. */
static void sum_used(struct core *core)
{
    const struct core_state *state = &core->state;
    for (int i = 0; i < state->node_count && core->used_rows == 0; i++)
        core->used[i] = (struct core_used){.site = state->nodes[i].site_index};
    for (; core->used_rows < state->instance_count; core->used_rows++) {
        const struct core_instance *instance = &state->instances[core->used_rows];
        if (instance->id[0] == 0 || core_instance_is_settled(instance))
            continue;
        struct core_used *used = &core->used[instance->node_index];
        used->instances++;
        for (int k = 0; k < RESOURCE_COUNT; k++)
            used->resources[k] += instance->reserve[k];
    }
}

const struct variant *core_variant(const struct core *core, const struct workload *workload,
                                   const struct core_node *node, int chosen)
{
    if (chosen < workload->variant_count && runs_on(core, &workload->variants[chosen], node))
        return &workload->variants[chosen];
    for (int i = 0; i < workload->variant_count; i++) {
        if (runs_on(core, &workload->variants[i], node))
            return &workload->variants[i];
    }
    return NULL;
}

static bool runs_on(const struct core *core, const struct variant *variant,
                    const struct core_node *node)
{
    const struct world *world = core->state.world;
    if (variant->tiers != 0 && world != NULL && node->site_index >= 0 &&
        (variant->tiers & (1u << world->sites[node->site_index].tier)) == 0)
        return false;
    return offers(node->drivers, variant->driver) &&
           (variant->arch[0] == 0 || str_equal(variant->arch, node->arch));
}

/* "process,wasm" offers "wasm". */
static bool offers(const char *drivers, const char *driver)
{
    size_t bytes = strlen(driver);
    for (const char *at = drivers; at != NULL; at = strchr(at, ',')) {
        at += strspn(at, ", ");
        if (strncmp(at, driver, bytes) == 0 &&
            (at[bytes] == 0 || at[bytes] == ',' || at[bytes] == ' '))
            return bytes > 0;
        if (*at == 0)
            break;
    }
    return false;
}

bool core_site_allowed(const struct world *world, const struct workload *workload, int site)
{
    const struct site *here = &world->sites[site];
    if (workload->pin[0] != 0 && !str_equal(workload->pin, here->name))
        return false;
    if (workload->tiers != 0 && (workload->tiers & (1u << here->tier)) == 0)
        return false;
    for (int i = 0; i < workload->require.count; i++) {
        const struct tag *tag = &workload->require.list[i];
        if (!site_has_tag(here, tag->key, tag->value))
            return false;
    }
    return true;
}
