#include "model/cost_slice.h"

#include <string.h>

#include "base/str.h"

#define SCRATCH_BYTES ((size_t)256 << 20)

static bool has_tiers(const struct world *world);
static int total_volume(const struct cost_context *context, const struct placement *at,
                        struct arena *arena, int64_t *volume, struct error *err);
static int build_frame(struct cost_slice *slice, const struct cost_context *context,
                       struct arena *arena, struct error *err);
static int keep_sites(struct cost_slice *slice, const struct cost_lookup *lookup, const bool *apps,
                      const bool *sites, const struct placement *at, struct arena *arena);
static void keep_site(struct cost_slice *slice, int site);
static int copy_world(struct cost_slice *slice, struct arena *arena);
static int copy_apps(struct cost_slice *slice, const struct cost_lookup *lookup, const bool *apps,
                     struct arena *arena);
static int copy_app(struct cost_slice *slice, int app, int here, struct arena *arena);
static int copy_estimates(struct cost_slice *slice, const struct cost_lookup *lookup,
                          struct arena *arena);
static void copy_list(struct cost_slice *slice, const struct cost_lookup *lookup, int first,
                      bool keep);
static bool wanted_here(const struct cost_slice *slice, const struct estimate *estimate);
static void add_base(struct cost_slice *slice);
static int take_base(struct cost_slice *slice, const struct cost_slicer *slicer,
                     const struct placement *at, struct arena *arena, struct error *err);
static void *copy_of(struct arena *arena, const void *from, int count, size_t each);
static int no_memory(struct error *err);

int cost_slicer_begin(const struct cost_context *context, const struct placement *at,
                      struct arena *arena, struct cost_slicer *ret_slicer, struct error *err)
{
    struct cost_slicer slicer = {.context = context};
    const struct world *world = context->world;
    if (has_tiers(world)) {
        size_t cells = (size_t)world->account_count * (size_t)world->egress_count;
        slicer.volume = arena_array(arena, cells + 1, sizeof(int64_t));
        int rc = slicer.volume == NULL ? no_memory(err)
                                       : total_volume(context, at, arena, slicer.volume, err);
        if (rc < 0) {
            return rc;
        }
    }
    *ret_slicer = slicer;
    return 0;
}

int cost_slice_begin(const struct cost_slicer *slicer, const bool *apps, const bool *sites,
                     const struct placement *at, struct arena *arena, struct cost_slice *ret_slice,
                     struct error *err)
{
    const struct cost_context *context = slicer->context;
    struct cost_slice slice = {.whole = context->input, .input = *context->input};
    arena_init(&slice.scratch, SCRATCH_BYTES);
    const struct cost_lookup *lookup = &context->lookup;
    if (keep_sites(&slice, lookup, apps, sites, at, arena) < 0 || copy_world(&slice, arena) < 0 ||
        copy_apps(&slice, lookup, apps, arena) < 0 || copy_estimates(&slice, lookup, arena) < 0) {
        return no_memory(err);
    }
    *ret_slice = slice;
    /* From here on the copy's own fields are pointed to. */
    ret_slice->input.world = &ret_slice->world;
    ret_slice->input.capacity = NULL;
    int rc = build_frame(ret_slice, context, arena, err);
    if (rc == 0) {
        rc = take_base(ret_slice, slicer, at, arena, err);
    }
    if (rc < 0) {
        cost_slice_done(ret_slice);
    }
    return rc;
}

/* What the whole knows of its sites holds for those that are kept. */
static int build_frame(struct cost_slice *slice, const struct cost_context *context,
                       struct arena *arena, struct error *err)
{
    struct cost_paths paths;
    if (cost_paths_cut(context->paths, slice->site_whole, &slice->world, arena, &paths) < 0) {
        return no_memory(err);
    }
    int rc = cost_frame_build(&slice->input, &paths, arena, &slice->frame, err);
    if (rc < 0) {
        return rc;
    }
    slice->lookup = slice->frame.names;
    return cost_lookup_estimates(&slice->lookup, arena) < 0 ? no_memory(err) : 0;
}

void cost_slice_done(struct cost_slice *slice)
{
    arena_done(&slice->scratch);
}

void cost_slice_placements(const struct cost_slice *slice, const struct placement *at,
                           struct placement *ret)
{
    for (int part = 0; part < slice->part_count; part++) {
        ret[part] = at[slice->part_whole[part]];
        ret[part].site = ret[part].site < 0 ? -1 : slice->site_here[ret[part].site];
    }
}

int cost_slice_prepare(struct cost_slice *slice, struct error *err)
{
    arena_reset(&slice->scratch);
    int rc = cost_context_build_with(&slice->input, &slice->frame, &slice->lookup, &slice->scratch,
                                     &slice->context, err);
    if (rc < 0) {
        return rc;
    }
    slice->volume =
        arena_array(&slice->scratch, (size_t)slice->context.meter_count + 1, sizeof(int64_t));
    if (slice->volume == NULL) {
        return no_memory(err);
    }
    add_base(slice);
    return 0;
}

static void add_base(struct cost_slice *slice)
{
    for (int i = 0; slice->base != NULL && i < slice->context.meter_count; i++) {
        struct cost_meter_key key = slice->context.meter_keys[i];
        int64_t *base = &slice->context.meters[i].base_bytes;
        if (__builtin_add_overflow(
                *base, slice->base[key.account * slice->world.egress_count + key.rule], base)) {
            *base = INT64_MAX;
        }
    }
}

int cost_slice_total(struct cost_slice *slice, const struct placement *at,
                     struct cost_total *ret_total, nusd *ret_stay, struct error *err)
{
    return cost_context_total(&slice->context, at, slice->volume, ret_total, ret_stay, err);
}

int cost_slice_part(const struct cost_slice *slice, int part)
{
    for (int i = 0; i < slice->part_count; i++) {
        if (slice->part_whole[i] == part) {
            return i;
        }
    }
    return -1;
}

static bool has_tiers(const struct world *world)
{
    for (int i = 0; i < world->egress_count; i++) {
        if (world->egress[i].tier_count > 1) {
            return true;
        }
    }
    return false;
}

/* The bytes of the whole placement on every meter. */
static int total_volume(const struct cost_context *context, const struct placement *at,
                        struct arena *arena, int64_t *volume, struct error *err)
{
    struct cost_total total;
    int64_t *meters = arena_array(arena, (size_t)context->meter_count + 1, sizeof(int64_t));
    int rc = meters == NULL ? no_memory(err)
                            : cost_context_total(context, at, meters, &total, NULL, err);
    for (int i = 0; rc == 0 && i < context->meter_count; i++) {
        struct cost_meter_key key = context->meter_keys[i];
        volume[key.account * context->world->egress_count + key.rule] += meters[i];
    }
    return rc;
}

static int keep_sites(struct cost_slice *slice, const struct cost_lookup *lookup, const bool *apps,
                      const bool *sites, const struct placement *at, struct arena *arena)
{
    const struct cost_input *whole = slice->whole;
    int count = whole->world->site_count;
    slice->site_here = arena_array(arena, (size_t)count + 1, sizeof(int));
    slice->site_whole = arena_array(arena, (size_t)count + 1, sizeof(int));
    if (slice->site_here == NULL || slice->site_whole == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < count; i++) {
        slice->site_here[i] = -1;
    }
    slice->world.site_count = 0;
    for (int i = 0; i < count; i++) {
        if (sites[i]) {
            keep_site(slice, i);
        }
    }
    for (int a = 0; a < whole->app_count; a++) {
        const struct app *app = whole->apps[a].app;
        for (int i = 0; apps[a] && i < app->segment_count; i++) {
            keep_site(slice, world_site(whole->world, app->segments[i].site));
        }
        for (int i = 0; apps[a] && i < app->workload_count; i++) {
            keep_site(slice, at[lookup->base[a] + i].site);
            keep_site(slice, whole->apps[a].states[i].now.site);
            keep_site(slice, app->workloads[i].data.at[0] == '\0'
                                 ? -1
                                 : world_site(whole->world, app->workloads[i].data.at));
        }
    }
    return 0;
}

static void keep_site(struct cost_slice *slice, int site)
{
    if (site >= 0 && slice->site_here[site] < 0) {
        slice->site_here[site] = slice->world.site_count;
        slice->site_whole[slice->world.site_count++] = site;
    }
}

static int copy_world(struct cost_slice *slice, struct arena *arena)
{
    const struct world *whole = slice->whole->world;
    int count = slice->world.site_count;
    size_t cells = (size_t)count * (size_t)count + 1;
    slice->world = *whole;
    slice->world.site_count = count;
    slice->world.sites = arena_array(arena, (size_t)count + 1, sizeof(struct site));
    slice->world.rtt_us = arena_array(arena, cells, sizeof(int64_t));
    slice->world.factor_us = arena_array(arena, cells, sizeof(int64_t));
    slice->world.us_per_mib = arena_array(arena, cells, sizeof(int64_t));
    slice->world.egress =
        copy_of(arena, whole->egress, whole->egress_count, sizeof(struct egress_rule));
    if (slice->world.sites == NULL || slice->world.rtt_us == NULL ||
        slice->world.factor_us == NULL || slice->world.us_per_mib == NULL ||
        slice->world.egress == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < whole->egress_count; i++) {
        struct egress_rule *rule = &slice->world.egress[i];
        rule->tiers = copy_of(arena, rule->tiers, rule->tier_count, sizeof(struct egress_tier));
        if (rule->tiers == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    for (int from = 0; from < count; from++) {
        slice->world.sites[from] = whole->sites[slice->site_whole[from]];
        for (int to = 0; to < count; to++) {
            int here = from * count + to;
            int there = slice->site_whole[from] * whole->site_count + slice->site_whole[to];
            slice->world.rtt_us[here] = whole->rtt_us[there];
            slice->world.factor_us[here] = whole->factor_us[there];
            slice->world.us_per_mib[here] = whole->us_per_mib[there];
        }
    }
    return 0;
}

static int copy_apps(struct cost_slice *slice, const struct cost_lookup *lookup, const bool *apps,
                     struct arena *arena)
{
    const struct cost_input *whole = slice->whole;
    int app_count = 0;
    int part_count = 0;
    for (int a = 0; a < whole->app_count; a++) {
        app_count += apps[a];
        part_count += apps[a] ? whole->apps[a].app->workload_count : 0;
    }
    slice->apps = arena_array(arena, (size_t)app_count + 1, sizeof(struct app));
    slice->app_whole = arena_array(arena, (size_t)app_count + 1, sizeof(int));
    slice->part_whole = arena_array(arena, (size_t)part_count + 1, sizeof(int));
    slice->input.apps = arena_array(arena, (size_t)app_count + 1, sizeof(struct cost_app));
    if (slice->apps == NULL || slice->app_whole == NULL || slice->part_whole == NULL ||
        slice->input.apps == NULL) {
        return ERR_NO_MEMORY;
    }
    slice->input.app_count = 0;
    for (int a = 0; a < whole->app_count; a++) {
        if (apps[a] && copy_app(slice, a, slice->input.app_count++, arena) < 0) {
            return ERR_NO_MEMORY;
        }
        for (int i = 0; apps[a] && i < whole->apps[a].app->workload_count; i++) {
            slice->part_whole[slice->part_count++] = lookup->base[a] + i;
        }
    }
    return 0;
}

static int copy_app(struct cost_slice *slice, int app, int here, struct arena *arena)
{
    const struct app *from = slice->whole->apps[app].app;
    struct app *to = &slice->apps[here];
    struct workload_state *states = copy_of(arena, slice->whole->apps[app].states,
                                            from->workload_count, sizeof(struct workload_state));
    *to = *from;
    to->workloads = copy_of(arena, from->workloads, from->workload_count, sizeof(struct workload));
    to->links = copy_of(arena, from->links, from->link_count, sizeof(struct link));
    if (states == NULL || to->workloads == NULL || to->links == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < from->workload_count; i++) {
        struct workload *workload = &to->workloads[i];
        workload->variants =
            copy_of(arena, workload->variants, workload->variant_count, sizeof(struct variant));
        workload->curve =
            copy_of(arena, workload->curve, workload->curve_count, sizeof(struct hit_point));
        if (workload->variants == NULL || workload->curve == NULL) {
            return ERR_NO_MEMORY;
        }
        states[i].site_blocked = NULL;
        states[i].now.site = states[i].now.site < 0 ? -1 : slice->site_here[states[i].now.site];
    }
    slice->app_whole[here] = app;
    slice->input.apps[here] = (struct cost_app){to, states};
    return 0;
}

static int copy_estimates(struct cost_slice *slice, const struct cost_lookup *lookup,
                          struct arena *arena)
{
    /* The first pass counts. */
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            slice->values = arena_array(arena, (size_t)slice->input.estimates.count + 1,
                                        sizeof(struct estimate));
            if (slice->values == NULL) {
                return ERR_NO_MEMORY;
            }
        }
        slice->input.estimates = (struct estimates){slice->values, 0};
        copy_list(slice, lookup, lookup->other_first, pass == 1);
        for (int part = 0; part < slice->part_count; part++) {
            copy_list(slice, lookup, lookup->first[slice->part_whole[part]], pass == 1);
        }
    }
    return 0;
}

static void copy_list(struct cost_slice *slice, const struct cost_lookup *lookup, int first,
                      bool keep)
{
    for (int i = first; i >= 0; i = lookup->next[i]) {
        const struct estimate *estimate = &slice->whole->estimates.list[i];
        if (!wanted_here(slice, estimate)) {
            continue;
        }
        if (keep) {
            slice->values[slice->input.estimates.count] = *estimate;
        }
        slice->input.estimates.count++;
    }
}

/* Of the estimates that belong to no app, round trips count between kept sites only. */
static bool wanted_here(const struct cost_slice *slice, const struct estimate *estimate)
{
    return estimate->kind != ESTIMATE_RTT_US || (world_site(&slice->world, estimate->site) >= 0 &&
                                                 world_site(&slice->world, estimate->peer) >= 0);
}

/* The rest of the plan's bytes: those of the whole without the slice's own. */
static int take_base(struct cost_slice *slice, const struct cost_slicer *slicer,
                     const struct placement *at, struct arena *arena, struct error *err)
{
    size_t cells = (size_t)slice->world.account_count * (size_t)slice->world.egress_count;
    struct cost_total total;
    int rc = cost_slice_prepare(slice, err);
    if (rc < 0 || slicer->volume == NULL) {
        return rc;
    }
    int64_t *base = arena_array(arena, cells + 1, sizeof(int64_t));
    struct placement *here =
        arena_array(arena, (size_t)slice->part_count + 1, sizeof(struct placement));
    if (base == NULL || here == NULL) {
        return no_memory(err);
    }
    cost_slice_placements(slice, at, here);
    rc = cost_slice_total(slice, here, &total, NULL, err);
    if (rc < 0) {
        return rc;
    }
    memcpy(base, slicer->volume, cells * sizeof(int64_t));
    for (int i = 0; i < slice->context.meter_count; i++) {
        struct cost_meter_key key = slice->context.meter_keys[i];
        base[key.account * slice->world.egress_count + key.rule] -= slice->volume[i];
    }
    slice->base = base;
    add_base(slice);
    return 0;
}

static void *copy_of(struct arena *arena, const void *from, int count, size_t each)
{
    void *to = arena_array(arena, (size_t)count + 1, each);
    if (to != NULL && count > 0) {
        memcpy(to, from, (size_t)count * each);
    }
    return to;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for a part of the cost model");
}
