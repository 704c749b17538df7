/* A cost_context: every value of a cost_input looked up once. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/cost_internal.h"

#define WEIGHT_MAX                                                                \
    INT64_C(1000000000000000) /* 1e12 calls/s: a thousand such links still add up \
                               */

static int build_parts(struct cost_context *context, const struct cost_frame *frame,
                       struct arena *arena);
static int build_families(struct cost_context *context, struct arena *arena);
static void renew_family(struct cost_context *context, int part);
static void renew_hits(struct cost_context *context, int part);
static int build_rtts(struct cost_context *context, const struct cost_frame *frame,
                      struct arena *arena);
static void measure_rtts(struct cost_context *context, const struct estimate **best);
static int build_links(struct cost_context *context, const struct cost_frame *frame,
                       struct arena *arena);
static void renew_link(struct cost_context *context, struct cost_link_info *info);
static int64_t prior_of(const struct app *app, int link);
static int64_t calls_of(const struct cost_context *context, int app, int link);
static int64_t calls_of_miss(const struct cost_context *context, int app, int link);
static void measure_users(struct cost_context *context, int app);
static int64_t share_weight(const struct cost_context *context, int app, int link);
static int64_t beside_users(const struct cost_part_info *callee, int64_t users_mhz, int64_t prior);
static int64_t prior_weight(const struct cost_context *context, int app, int link);
static void renew_weights(struct cost_context *context, int app);
static int build_replicas(struct cost_context *context, struct arena *arena, struct error *err);
static int no_memory(struct error *err);

int cost_context_make(const struct cost_input *input, const struct cost_frame *frame,
                      const struct cost_lookup *lookup, struct arena *arena,
                      struct cost_context **ret_context, struct error *err)
{
    struct cost_context *context = arena_alloc(arena, sizeof(*context));
    struct cost_lookup own;
    if (context == NULL) {
        return no_memory(err);
    }
    int rc = frame == NULL ? cost_frame_make(input, arena, &frame, err) : 0;
    if (rc == 0 && !cost_frame_fits(frame, input)) {
        rc = error_set(err, ERR_INVALID, 0,
                       "the frame is of another world or of other apps: it has to be made anew "
                       "when sites, egress rules, workloads or links have come or gone");
    }
    if (rc == 0 && lookup == NULL) {
        own = frame->names;
        own.input = input;
        lookup = &own;
        rc = cost_lookup_estimates(&own, arena) < 0 ? no_memory(err) : 0;
    }
    if (rc == 0) {
        rc = cost_context_build_with(input, frame, lookup, arena, context, err);
        *ret_context = context;
    }
    return rc;
}

const struct cost_input *cost_context_input(const struct cost_context *context)
{
    return context->input;
}

int cost_context_build(const struct cost_input *input, struct arena *arena,
                       struct cost_context *ret_context, struct error *err)
{
    struct cost_context *made;
    int rc = cost_context_make(input, NULL, NULL, arena, &made, err);
    if (rc == 0) {
        *ret_context = *made;
    }
    return rc;
}

int cost_context_build_with(const struct cost_input *input, const struct cost_frame *frame,
                            const struct cost_lookup *lookup, struct arena *arena,
                            struct cost_context *ret_context, struct error *err)
{
    const struct cost_paths *paths = &frame->paths;
    struct cost_context context = {.input = input,
                                   .world = input->world,
                                   .lookup = *lookup,
                                   .site_count = input->world->site_count,
                                   .part_count = frame->part_count,
                                   .link_count = frame->link_count,
                                   .link_base = frame->link_base,
                                   .paths = paths,
                                   .matches = paths->matches,
                                   .ways = paths->ways,
                                   .link_uses = paths->link_uses};
    context.lookup.input = input;
    if (build_parts(&context, frame, arena) < 0 || build_rtts(&context, frame, arena) < 0 ||
        build_links(&context, frame, arena) < 0) {
        return no_memory(err);
    }
    for (int app = 0; app < input->app_count; app++) {
        cost_context_renew(&context, app);
    }
    int rc = build_replicas(&context, arena, err);
    if (rc == 0) {
        rc = cost_meters_build(&context, arena, err);
    }
    if (rc == 0) {
        rc = cost_formulas_build(&context, arena, err);
    }
    if (rc == 0) {
        *ret_context = context;
    }
    return rc;
}

void cost_context_renew(struct cost_context *context, int app)
{
    int first = context->lookup.base[app];
    int end = context->lookup.base[app + 1];
    for (int part = first; part < end; part++) {
        if (context->parts[part].member == 0) {
            renew_family(context, part);
        }
    }
    for (int part = first; part < end; part++) {
        renew_hits(context, part);
    }
    measure_users(context, app);
    for (int link = context->link_base[app]; link < context->link_base[app + 1]; link++) {
        renew_link(context, &context->links[link]);
    }
    renew_weights(context, app);
}

static int build_parts(struct cost_context *context, const struct cost_frame *frame,
                       struct arena *arena)
{
    const struct cost_input *input = context->input;
    size_t parts = (size_t)context->part_count + 1;
    struct weights *weights = arena_array(arena, (size_t)input->app_count + 1, sizeof(*weights));
    context->parts = arena_copy(arena, frame->parts, parts * sizeof(*frame->parts));
    if (weights == NULL || context->parts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        weights[i] = app_weights(app, context->world);
        for (int k = 0; k < app->workload_count; k++, part++) {
            struct cost_part_info *info = &context->parts[part];
            info->owner = app;
            info->what = &app->workloads[k];
            info->state = &input->apps[i].states[k];
            info->weights = &weights[i];
        }
    }
    return build_families(context, arena);
}

/* What a family shares is at its first part; where it has a cache its spots are the context's own,
 * as a spot tells the hits there. */
static int build_families(struct cost_context *context, struct arena *arena)
{
    size_t parts = (size_t)context->part_count + 1;
    context->families = arena_alloc_raw(arena, parts * sizeof(*context->families));
    if (context->families == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < context->part_count; part++) {
        struct cost_part_info *info = &context->parts[part];
        struct cost_family *family = &context->families[info->parts[0]];
        info->family = family;
        if (info->member == 0) {
            *family = (struct cost_family){.app = info->app, .count = info->members};
        }
        family->member[info->member] = info->workload;
        if (!cost_has_cache(context->parts[info->parts[0]].what)) {
            continue;
        }
        info->own = arena_copy(arena, info->spots, (size_t)info->spot_count * sizeof(*info->own));
        if (info->own == NULL) {
            return ERR_NO_MEMORY;
        }
        info->spots = info->own;
    }
    return 0;
}

/* Of the first part; the others get the same. */
static void renew_family(struct cost_context *context, int part)
{
    const struct cost_part_info *first = &context->parts[part];
    struct cost_family *family = &context->families[part];
    cost_family_fill(&context->lookup, family);
    for (int i = 0; i < first->members; i++) {
        context->parts[first->parts[i]].calls_mhz = family->calls_mhz[i];
    }
}

/* Where the part is, and what its cache hits there and wherever else it may be. */
static void renew_hits(struct cost_context *context, int part)
{
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
    for (int i = 0; i < info->spot_count && info->own != NULL; i++) {
        struct cost_spot *spot = &info->own[i];
        spot->hit_ppm = cost_family_hit_ppm(&context->lookup, family, spot->site, spot->variant,
                                            spot->sharers, &measured);
    }
}

static int build_rtts(struct cost_context *context, const struct cost_frame *frame,
                      struct arena *arena)
{
    const struct world *world = context->world;
    int count = context->site_count;
    size_t cells = (size_t)count * (size_t)count;
    const struct estimate **best = arena_array(arena, cells + 1, sizeof(*best));
    context->rtt_us = arena_array(arena, cells + 1, sizeof(int64_t));
    context->rtt_measured = arena_array(arena, cells + 1, sizeof(bool));
    if (best == NULL || context->rtt_us == NULL || context->rtt_measured == NULL) {
        return ERR_NO_MEMORY;
    }
    if (world->latency_measured) {
        measure_rtts(context, best);
    }
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            int cell = from * count + to;
            context->rtt_measured[cell] = from != to && best[cell] != NULL;
            context->rtt_us[cell] = from == to                 ? 0
                                    : best[cell] != NULL       ? best[cell]->value
                                    : world->rtt_us[cell] >= 0 ? world->rtt_us[cell]
                                                               : frame->paths.far_us[cell];
        }
    }
    return 0;
}

static void measure_rtts(struct cost_context *context, const struct estimate **best)
{
    const struct cost_lookup *lookup = &context->lookup;
    for (int i = lookup->other_first; i >= 0; i = lookup->next[i]) {
        const struct estimate *estimate = &context->input->estimates.list[i];
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

static int build_links(struct cost_context *context, const struct cost_frame *frame,
                       struct arena *arena)
{
    size_t links = (size_t)context->link_count + 1;
    int64_t(*bytes)[2] = arena_array(arena, (size_t)frame->byte_count + 1, sizeof(*bytes));
    context->links = arena_copy(arena, frame->links, links * sizeof(*frame->links));
    if (bytes == NULL || context->links == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < context->link_count; i++) {
        struct cost_link_info *info = &context->links[i];
        const struct app *owner = context->input->apps[info->app].app;
        info->what = &owner->links[info->link];
        info->prior_mhz = prior_of(owner, info->link);
        info->bytes = bytes;
        bytes += cost_variants(context->parts[info->to_part].what);
    }
    return 0;
}

static void renew_link(struct cost_context *context, struct cost_link_info *info)
{
    const struct cost_part_info *callee = &context->parts[info->to_part];
    info->calls_mhz = calls_of(context, info->app, info->link);
    for (int variant = 0; variant < cost_variants(callee->what); variant++) {
        for (int way = 0; way < 2; way++) {
            info->bytes[variant][way] =
                cost_call_bytes(&context->lookup, callee->family, callee->member, info->what,
                                callee->what->variant_count > 0 ? variant : 0, way == 1);
        }
    }
}

/* The calls of a link before the caller's cache. A link that only misses travel follows its caller,
 * since the callee's own count already depends on where the caller is; any other link takes its
 * share of what the callee is measured to serve, or what its users are, or its prior. */
static int64_t calls_of(const struct cost_context *context, int app, int link)
{
    const struct app *owner = context->input->apps[app].app;
    const struct link *what = &owner->links[link];
    if (what->on_miss) {
        return calls_of_miss(context, app, link);
    }
    const struct cost_part_info *callee = &context->parts[context->lookup.base[app] + what->to];
    const struct cost_link_info *info = &context->links[context->link_base[app] + link];
    if (!callee->family->calls_measured) {
        return info->users_mhz >= 0 ? info->users_mhz : info->prior_mhz;
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

/* By callee: what measured users call, and what the links of others bring. */
static void measure_users(struct cost_context *context, int app)
{
    const struct app *owner = context->input->apps[app].app;
    struct cost_link_info *links = context->links + context->link_base[app];
    struct cost_part_info *parts = context->parts + context->lookup.base[app];
    for (int i = 0; i < owner->workload_count; i++) {
        parts[i].users_mhz = -1;
        parts[i].other_weight = 0;
    }
    for (int i = 0; i < owner->link_count; i++) {
        int64_t users_mhz = cost_users_mhz(&context->lookup, app, i);
        int64_t *sum = &parts[owner->links[i].to].users_mhz;
        links[i].users_mhz = users_mhz;
        if (users_mhz >= 0) {
            *sum = (*sum < 0 ? 0 : *sum) + (users_mhz < WEIGHT_MAX ? users_mhz : WEIGHT_MAX);
        }
    }
    for (int i = 0; i < owner->link_count; i++) {
        struct cost_part_info *callee = &parts[owner->links[i].to];
        if (callee->users_mhz >= 0 && links[i].users_mhz < 0) {
            callee->other_weight += prior_weight(context, app, i);
        }
    }
}

/* What a link brings to the callee's measured calls. */
static int64_t share_weight(const struct cost_context *context, int app, int link)
{
    const struct link *what = &context->input->apps[app].app->links[link];
    return beside_users(&context->parts[context->lookup.base[app] + what->to],
                        context->links[context->link_base[app] + link].users_mhz,
                        prior_weight(context, app, link));
}

/* What its users are measured to call; of what measured users leave, its part as far as the priors
 * tell. */
static int64_t beside_users(const struct cost_part_info *callee, int64_t users_mhz, int64_t prior)
{
    if (callee->users_mhz < 0) {
        return prior;
    }
    if (users_mhz >= 0) {
        return users_mhz < WEIGHT_MAX ? users_mhz : WEIGHT_MAX;
    }
    int64_t left = callee->calls_mhz - callee->users_mhz;
    if (left <= 0 || callee->other_weight == 0) {
        return 0;
    }
    __int128 part = (__int128)left * prior / callee->other_weight;
    return part < WEIGHT_MAX ? (int64_t)part : WEIGHT_MAX;
}

static int64_t prior_weight(const struct cost_context *context, int app, int link)
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

/* The weights of the share of calls that reaches a callee: what users are measured to call, else
 * the links' prior calls, or equal parts when no link states any. */
static void renew_weights(struct cost_context *context, int app)
{
    int first = context->link_base[app];
    int end = context->link_base[app + 1];
    for (int pass = 0; pass < 2; pass++) {
        for (int i = first; i < end; i++) {
            struct cost_link_info *link = &context->links[i];
            const struct cost_part_info *callee = &context->parts[link->to_part];
            if (pass == 0) {
                int64_t prior = link->prior_mhz < WEIGHT_MAX ? link->prior_mhz : WEIGHT_MAX;
                link->weight = beside_users(callee, link->users_mhz, prior);
            } else if (callee->all_weight == 0) {
                link->weight = 1;
            }
        }
        for (int i = context->lookup.base[app]; i < context->lookup.base[app + 1]; i++) {
            context->parts[i].all_weight = 0;
            context->parts[i].plain_weight = 0;
        }
        for (int i = first; i < end; i++) {
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
