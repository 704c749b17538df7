/* A cost_context: every value of a cost_input looked up once. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/cost_internal.h"

#define WEIGHT_MAX                                                                \
    INT64_C(1000000000000000) /* 1e12 calls/s: a thousand such links still add up \
                               */

static int list_parts(struct cost_context *context, struct arena *arena);
static int build_parts(struct cost_context *context, struct arena *arena);
static int build_part(struct cost_context *context, struct arena *arena,
                      struct cost_part_info *part);
static int build_rtts(struct cost_context *context, struct arena *arena);
static void measure_rtts(struct cost_context *context, const struct estimate **best);
static int build_links(struct cost_context *context, struct arena *arena, struct error *err);
static int build_link(struct cost_context *context, struct arena *arena, int app, int index,
                      struct cost_link_info *info);
static int64_t prior_of(const struct app *app, int link);
static int64_t calls_of(const struct cost_context *context, int app, int link);
static int64_t calls_of_miss(const struct cost_context *context, int app, int link);
static int64_t share_weight(const struct cost_context *context, int app, int link);
static void build_weights(struct cost_context *context);
static int build_replicas(struct cost_context *context, struct arena *arena, struct error *err);
static int no_memory(struct error *err);

int cost_context_make(const struct cost_input *input, const struct cost_lookup *lookup,
                      struct arena *arena, const struct cost_context **ret_context,
                      struct error *err)
{
    struct cost_context *context = arena_alloc(arena, sizeof(*context));
    if (context == NULL) {
        return no_memory(err);
    }
    *ret_context = context;
    return lookup == NULL ? cost_context_build(input, arena, context, err)
                          : cost_context_build_with(input, lookup, arena, context, err);
}

const struct cost_input *cost_context_input(const struct cost_context *context)
{
    return context->input;
}

int cost_context_build(const struct cost_input *input, struct arena *arena,
                       struct cost_context *ret_context, struct error *err)
{
    struct cost_lookup lookup;
    if (cost_lookup_build(input, arena, &lookup) < 0) {
        return no_memory(err);
    }
    return cost_context_build_with(input, &lookup, arena, ret_context, err);
}

int cost_context_build_with(const struct cost_input *input, const struct cost_lookup *lookup,
                            struct arena *arena, struct cost_context *ret_context,
                            struct error *err)
{
    struct cost_context context = {.input = input,
                                   .world = input->world,
                                   .lookup = *lookup,
                                   .site_count = input->world->site_count};
    context.lookup.input = input;
    if (list_parts(&context, arena) < 0 || build_parts(&context, arena) < 0 ||
        build_rtts(&context, arena) < 0) {
        return no_memory(err);
    }
    int rc = build_links(&context, arena, err);
    if (rc == 0) {
        build_weights(&context);
        rc = build_replicas(&context, arena, err);
    }
    if (rc == 0) {
        rc = cost_meters_build(&context, arena, err);
    }
    if (rc == 0) {
        rc = cost_formulas_build(&context, arena, err);
    }
    if (rc == 0) {
        rc = cost_spots_build(&context, arena, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_context = context;
    return 0;
}

/* Who each part is. */
static int list_parts(struct cost_context *context, struct arena *arena)
{
    const struct cost_input *input = context->input;
    context->part_count = context->lookup.base[input->app_count];
    context->parts =
        arena_array(arena, (size_t)context->part_count + 1, sizeof(struct cost_part_info));
    if (context->parts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        context->link_count += app->link_count;
        for (int k = 0; k < app->workload_count; k++, part++) {
            context->parts[part].owner = app;
            context->parts[part].app = i;
            context->parts[part].workload = k;
            context->parts[part].what = &app->workloads[k];
        }
    }
    return 0;
}

static int build_parts(struct cost_context *context, struct arena *arena)
{
    for (int part = 0; part < context->part_count; part++) {
        if (build_part(context, arena, &context->parts[part]) < 0) {
            return ERR_NO_MEMORY;
        }
    }
    for (int part = 0; part < context->part_count; part++) {
        struct cost_part_info *info = &context->parts[part];
        const struct cost_family *family = info->family;
        const struct placement *now = &family->now[info->member];
        bool measured;
        info->now = (struct cost_spot){.site = -1, .lead = part, .hit_ppm = -1};
        if (now->site >= 0) {
            unsigned sharers = family->sharers[info->member];
            info->now = (struct cost_spot){now->site, now->variant, sharers,
                                           info->parts[__builtin_ctz(sharers)],
                                           cost_family_hit_ppm(&context->lookup, family, now->site,
                                                               now->variant, sharers, &measured)};
        }
    }
    return 0;
}

static int build_part(struct cost_context *context, struct arena *arena,
                      struct cost_part_info *part)
{
    const struct world *world = context->world;
    int base = context->lookup.base[part->app];
    part->state = &context->input->apps[part->app].states[part->workload];
    struct weights weights = app_weights(part->owner, world);
    part->weights = arena_copy(arena, &weights, sizeof(weights));
    if (part->weights == NULL) {
        return ERR_NO_MEMORY;
    }
    if (part->family == NULL) { /* the first of its family: the others get the same */
        struct cost_family family = cost_family_of(&context->lookup, part->app, part->workload);
        const struct cost_family *kept = arena_copy(arena, &family, sizeof(family));
        if (kept == NULL) {
            return ERR_NO_MEMORY;
        }
        for (int i = 0; i < kept->count; i++) {
            struct cost_part_info *other = &context->parts[base + kept->member[i]];
            other->family = kept;
            other->member = i;
            for (int k = 0; k < kept->count; k++) {
                other->parts[k] = base + kept->member[k];
            }
        }
    }
    part->calls_mhz = part->family->calls_mhz[part->member];
    int variants = cost_variants(part->what);
    size_t sites = (size_t)context->site_count;
    part->open = arena_array(arena, (size_t)variants * sites, sizeof(bool));
    if (part->open == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int variant = 0; variant < variants; variant++) {
        for (int site = 0; site < context->site_count; site++) {
            part->open[variant * context->site_count + site] =
                cost_is_open(world, part->what, variant, site);
        }
    }
    return 0;
}

static int build_rtts(struct cost_context *context, struct arena *arena)
{
    const struct world *world = context->world;
    int count = context->site_count;
    size_t cells = (size_t)count * (size_t)count;
    const struct estimate **best = arena_array(arena, cells + 1, sizeof(*best));
    int64_t *far_us = arena_array(arena, cells + 1, sizeof(*far_us));
    context->rtt_us = arena_array(arena, cells + 1, sizeof(int64_t));
    context->rtt_measured = arena_array(arena, cells + 1, sizeof(bool));
    if (best == NULL || far_us == NULL || context->rtt_us == NULL ||
        context->rtt_measured == NULL) {
        return ERR_NO_MEMORY;
    }
    if (world->latency_measured) {
        measure_rtts(context, best);
    }
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            int cell = from * count + to;
            context->rtt_measured[cell] = from != to && best[cell] != NULL;
            context->rtt_us[cell] =
                from == to                 ? 0
                : best[cell] != NULL       ? best[cell]->value
                : world->rtt_us[cell] >= 0 ? world->rtt_us[cell]
                : to < from && far_us[to * count + from] > 0
                    ? far_us[to * count + from] /* it is as far both ways */
                    : (far_us[cell] = cost_distance_rtt_us(&world->sites[from], &world->sites[to]));
        }
    }
    return 0;
}

static void measure_rtts(struct cost_context *context, const struct estimate **best)
{
    const struct estimates *estimates = &context->input->estimates;
    for (int i = 0; i < estimates->count; i++) {
        const struct estimate *estimate = &estimates->list[i];
        if (estimate->kind != ESTIMATE_RTT_US || estimate->value < 0) {
            continue;
        }
        int from = world_site(context->world, estimate->site);
        int to = world_site(context->world, estimate->peer);
        if (from < 0 || to < 0) {
            continue;
        }
        int cells[2] = {from * context->site_count + to, to * context->site_count + from};
        for (int k = 0; k < 2; k++) {
            if (cost_is_later(estimate, best[cells[k]])) {
                best[cells[k]] = estimate;
            }
        }
    }
}

static int build_links(struct cost_context *context, struct arena *arena, struct error *err)
{
    const struct cost_input *input = context->input;
    int index = 0;
    context->links =
        arena_array(arena, (size_t)context->link_count + 1, sizeof(struct cost_link_info));
    context->link_base = arena_array(arena, (size_t)input->app_count + 1, sizeof(int));
    if (context->links == NULL || context->link_base == NULL) {
        return no_memory(err);
    }
    for (int a = 0; a < input->app_count; a++) {
        context->link_base[a] = index;
        for (int i = 0; i < input->apps[a].app->link_count; i++) {
            context->links[index++].prior_mhz = prior_of(input->apps[a].app, i);
        }
    }
    index = 0;
    for (int a = 0; a < input->app_count; a++) {
        const struct app *app = input->apps[a].app;
        for (int i = 0; i < app->link_count; i++) {
            const struct link *link = &app->links[i];
            struct cost_link_info *info = &context->links[index++];
            if (build_link(context, arena, a, i, info) < 0) {
                return no_memory(err);
            }
            if (link->from_kind == LINK_SEGMENT && info->from_site < 0) {
                const struct segment *segment = &app->segments[link->from];
                return error_set(err, ERR_INVALID, 0,
                                 "app %s/%s: users %s come from the site %s, which world %s does "
                                 "not have",
                                 app->namespace_, app->name, segment->name, segment->site,
                                 context->world->name);
            }
        }
    }
    return 0;
}

static int build_link(struct cost_context *context, struct arena *arena, int app, int index,
                      struct cost_link_info *info)
{
    const struct app *owner = context->input->apps[app].app;
    const struct link *link = &owner->links[index];
    int base = context->lookup.base[app];
    const struct cost_part_info *callee = &context->parts[base + link->to];
    int variants = cost_variants(callee->what);
    *info = (struct cost_link_info){
        .app = app,
        .link = index,
        .what = link,
        .from_part = -1,
        .from_site = -1,
        .to_part = base + link->to,
        .prior_mhz = info->prior_mhz,
        .calls_mhz = calls_of(context, app, index),
        .bytes = arena_array(arena, (size_t)variants, sizeof(*info->bytes)),
    };
    if (info->bytes == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int variant = 0; variant < variants; variant++) {
        for (int way = 0; way < 2; way++) {
            info->bytes[variant][way] =
                cost_call_bytes(&context->lookup, callee->family, callee->member, link,
                                callee->what->variant_count > 0 ? variant : 0, way == 1);
        }
    }
    if (link->from_kind == LINK_WORKLOAD) {
        info->from_part = base + link->from;
    } else {
        info->from_site = world_site(context->world, owner->segments[link->from].site);
    }
    return 0;
}

/* The calls of a link before the caller's cache. A link that only misses travel follows its caller,
 * since the callee's own count already depends on where the caller is; any other link takes its
 * share of what the callee is measured to serve, or its prior. */
static int64_t calls_of(const struct cost_context *context, int app, int link)
{
    const struct app *owner = context->input->apps[app].app;
    const struct link *what = &owner->links[link];
    if (what->on_miss) {
        return calls_of_miss(context, app, link);
    }
    const struct cost_part_info *callee = &context->parts[context->lookup.base[app] + what->to];
    int64_t prior_mhz = context->links[context->link_base[app] + link].prior_mhz;
    if (!callee->family->calls_measured) {
        return prior_mhz;
    }
    int64_t all = 0;
    int64_t inbound = 0;
    for (int i = 0; i < owner->link_count; i++) {
        if (owner->links[i].to == what->to) {
            all += share_weight(context, app, i);
            inbound++;
        }
    }
    return all > 0 ? cost_split(callee->calls_mhz, share_weight(context, app, link), all)
                   : callee->calls_mhz / inbound;
}

static int64_t calls_of_miss(const struct cost_context *context, int app, int link)
{
    const struct app *owner = context->input->apps[app].app;
    int caller = owner->links[link].from;
    const struct cost_part_info *info = &context->parts[context->lookup.base[app] + caller];
    int64_t prior = info->family->prior_mhz[info->member];
    int64_t prior_mhz = context->links[context->link_base[app] + link].prior_mhz;
    if (!info->family->calls_measured) {
        return prior_mhz;
    }
    return prior > 0 && prior_mhz > 0 ? cost_split(info->calls_mhz, prior_mhz, prior)
                                      : info->calls_mhz;
}

/* The document's calls of a link; without any on the callee's links, equal parts of its `calls`. */
static int64_t prior_of(const struct app *app, int link)
{
    const struct link *what = &app->links[link];
    int64_t inbound = 0;
    for (int i = 0; i < app->link_count; i++) {
        if (app->links[i].to == what->to) {
            inbound++;
            if (app->links[i].calls_mhz > 0) {
                return what->calls_mhz;
            }
        }
    }
    return app->workloads[what->to].calls_mhz / inbound;
}

/* What a link brings to the callee's measured calls, as far as the priors tell. */
static int64_t share_weight(const struct cost_context *context, int app, int link)
{
    const struct app *owner = context->input->apps[app].app;
    const struct link *what = &owner->links[link];
    int64_t prior = context->links[context->link_base[app] + link].prior_mhz;
    prior = prior < WEIGHT_MAX ? prior : WEIGHT_MAX;
    if (!what->on_miss) {
        return prior;
    }
    const struct cost_part_info *caller = &context->parts[context->lookup.base[app] + what->from];
    int64_t hit =
        caller->now.site < 0 ? cost_prior_hit_ppm(caller->what, prior) : caller->now.hit_ppm;
    return cost_split(prior, PPM - hit, PPM);
}

/* The weights of the share of calls that reaches a callee: its links' prior calls, or equal parts
 * when no link states any. */
static void build_weights(struct cost_context *context)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < context->link_count; i++) {
            struct cost_link_info *link = &context->links[i];
            const struct cost_part_info *callee = &context->parts[link->to_part];
            if (pass == 0) {
                link->weight = link->prior_mhz < WEIGHT_MAX ? link->prior_mhz : WEIGHT_MAX;
            } else if (callee->all_weight == 0) {
                link->weight = 1;
            }
        }
        for (int i = 0; i < context->part_count; i++) {
            context->parts[i].all_weight = 0;
            context->parts[i].plain_weight = 0;
        }
        for (int i = 0; i < context->link_count; i++) {
            const struct cost_link_info *link = &context->links[i];
            struct cost_part_info *callee = &context->parts[link->to_part];
            callee->all_weight += link->weight;
            callee->plain_weight += link->what->on_miss ? 0 : link->weight;
        }
    }
}

/* The updates that the first part of a data set sends to each other one that is elsewhere. */
static int build_replicas(struct cost_context *context, struct arena *arena, struct error *err)
{
    context->replicas =
        arena_array(arena, (size_t)context->part_count + 1, sizeof(struct cost_replica));
    if (context->replicas == NULL) {
        return no_memory(err);
    }
    for (int part = 0; part < context->part_count; part++) {
        const struct cost_part_info *info = &context->parts[part];
        int64_t monthly;
        if (info->what->kind != KIND_DATA || info->member == 0 ||
            info->what->data.update_bytes_s == 0) {
            continue;
        }
        if (__builtin_mul_overflow(info->what->data.update_bytes_s, MONTH_S, &monthly)) {
            return error_set(err, ERR_OVERFLOW, 0,
                             "%s/%s/%s: its updates carry more than 8 EiB per month; check its "
                             "update rate",
                             info->owner->namespace_, info->owner->name, info->what->name);
        }
        context->replicas[context->replica_count++] =
            (struct cost_replica){info->parts[0], part, monthly};
    }
    return 0;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the cost model's tables");
}
