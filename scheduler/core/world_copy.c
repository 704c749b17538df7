/* A world of the core's own: events lend theirs only for one step. */
#include "scheduler/core/internal.h"

static int copy_list(struct arena *arena, int count, size_t bytes_each, const void *from,
                     void *ret_list);
static int copy_measures(struct arena *arena, struct measures *measures);

int core_world_copy(const struct world *world, struct arena *arena, struct world *ret_world)
{
    struct world copy = *world;
    int pairs = world->site_count * world->site_count;
    if (copy_list(arena, world->account_count, sizeof(*copy.accounts), world->accounts,
                  &copy.accounts) < 0 ||
        copy_list(arena, world->site_count, sizeof(*copy.sites), world->sites, &copy.sites) < 0 ||
        copy_list(arena, world->egress_count, sizeof(*copy.egress), world->egress, &copy.egress) <
            0 ||
        copy_list(arena, pairs, sizeof(*copy.rtt_us), world->rtt_us, &copy.rtt_us) < 0 ||
        copy_list(arena, pairs, sizeof(*copy.factor_us), world->factor_us, &copy.factor_us) < 0 ||
        copy_list(arena, pairs, sizeof(*copy.us_per_mib), world->us_per_mib, &copy.us_per_mib) <
            0 ||
        copy_list(arena, world->term_count, sizeof(*copy.terms), world->terms, &copy.terms) < 0 ||
        copy_measures(arena, &copy.workload_measures) < 0 ||
        copy_list(arena, world->policy.quiet_count, sizeof(*copy.policy.quiet), world->policy.quiet,
                  &copy.policy.quiet) < 0)
        return ERR_NO_MEMORY;
    for (int i = 0; i < copy.site_count; i++) {
        struct tags *tags = &copy.sites[i].tags;
        if (copy_list(arena, tags->count, sizeof(*tags->list), tags->list, &tags->list) < 0 ||
            copy_measures(arena, &copy.sites[i].measures) < 0)
            return ERR_NO_MEMORY;
    }
    for (int i = 0; i < copy.egress_count; i++) {
        struct egress_rule *rule = &copy.egress[i];
        if (copy_list(arena, rule->tier_count, sizeof(*rule->tiers), rule->tiers, &rule->tiers) <
                0 ||
            copy_list(arena, rule->to_count, sizeof(*rule->to), rule->to, &rule->to) < 0)
            return ERR_NO_MEMORY;
    }
    *ret_world = copy;
    return 0;
}

static int copy_measures(struct arena *arena, struct measures *measures)
{
    return copy_list(arena, measures->count, sizeof(*measures->list), measures->list,
                     &measures->list);
}

static int copy_list(struct arena *arena, int count, size_t bytes_each, const void *from,
                     void *ret_list)
{
    void *list = NULL;
    if (count > 0 && from != NULL) {
        list = arena_copy(arena, from, (size_t)count * bytes_each);
        if (list == NULL)
            return ERR_NO_MEMORY;
    }
    *(void **)ret_list = list;
    return 0;
}
