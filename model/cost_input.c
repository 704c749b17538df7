/* A cost_context: every value of a cost_input looked up once. */
#include "base/str.h"
#include "model/cost_internal.h"
#include "model/world.h"

#define WEIGHT_MAX                                                                \
    INT64_C(1000000000000000) /* 1e12 calls/s: a thousand such links still add up \
                               */

static int build_parts(const struct cost_input *input, struct arena *arena,
                       struct cost_context *context);
static int build_part(struct cost_context *context, struct arena *arena, int app, int workload,
                      struct cost_part_info *part);
static int build_links(struct cost_context *context, struct error *err);
static int64_t prior_of(const struct app *app, int link);
static int64_t calls_of(const struct cost_input *input, int app, int link);
static int64_t calls_of_miss(const struct cost_input *input, int app, int link);
static int64_t share_weight(const struct cost_input *input, int app, int link);
static void build_weights(struct cost_context *context);
static int build_matches(struct cost_context *context, struct arena *arena);
static int build_meters(struct cost_context *context, struct arena *arena, struct error *err);
static int build_meter(const struct cost_context *context, int account, int rule_index,
                       struct problem_meter *meter);
static int64_t split(int64_t amount, int64_t numerator, int64_t denominator);

int cost_context_build(const struct cost_input *input, struct arena *arena,
                       struct cost_context *ret_context, struct error *err)
{
    struct cost_context context = {
        .input = input, .world = input->world, .site_count = input->world->site_count};
    if (build_parts(input, arena, &context) < 0 || build_matches(&context, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the cost model's tables");
    }
    int rc = build_links(&context, err);
    if (rc == 0) {
        rc = build_meters(&context, arena, err);
    }
    if (rc < 0) {
        return rc;
    }
    build_weights(&context);
    *ret_context = context;
    return 0;
}

static int build_parts(const struct cost_input *input, struct arena *arena,
                       struct cost_context *context)
{
    for (int i = 0; i < input->app_count; i++) {
        context->part_count += input->apps[i].app->workload_count;
        context->link_count += input->apps[i].app->link_count;
    }
    context->parts =
        arena_array(arena, (size_t)context->part_count + 1, sizeof(struct cost_part_info));
    context->links =
        arena_array(arena, (size_t)context->link_count + 1, sizeof(struct cost_link_info));
    if (context->parts == NULL || context->links == NULL) {
        return ERR_NO_MEMORY;
    }
    int index = 0;
    for (int i = 0; i < input->app_count; i++) {
        for (int k = 0; k < input->apps[i].app->workload_count; k++) {
            if (build_part(context, arena, i, k, &context->parts[index++]) < 0) {
                return ERR_NO_MEMORY;
            }
        }
    }
    return 0;
}

static int build_part(struct cost_context *context, struct arena *arena, int app, int workload,
                      struct cost_part_info *part)
{
    const struct cost_input *input = context->input;
    size_t sites = (size_t)context->site_count;
    bool measured;
    *part = (struct cost_part_info){
        .app = app,
        .workload = workload,
        .owner = input->apps[app].app,
        .what = &input->apps[app].app->workloads[workload],
        .state = &input->apps[app].states[workload],
        .calls_mhz = cost_calls_mhz(input, app, workload, &measured),
        .hit_ppm = arena_array(arena, sites, sizeof(int64_t)),
        .cpu_ns = arena_array(arena, sites, sizeof(int64_t)),
    };
    if (part->hit_ppm == NULL || part->cpu_ns == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int site = 0; site < context->site_count; site++) {
        part->hit_ppm[site] = cost_hit_ppm(input, app, workload, site, &measured);
        part->cpu_ns[site] = cost_cpu_ns(input, app, workload, site, &measured);
    }
    return 0;
}

static int build_links(struct cost_context *context, struct error *err)
{
    const struct cost_input *input = context->input;
    int index = 0;
    for (int a = 0; a < input->app_count; a++) {
        const struct app *app = input->apps[a].app;
        for (int i = 0; i < app->link_count; i++) {
            const struct link *link = &app->links[i];
            bool measured;
            struct cost_link_info *info = &context->links[index++];
            *info = (struct cost_link_info){
                .app = a,
                .link = i,
                .what = link,
                .from_part = -1,
                .from_site = -1,
                .to_part = cost_part(input, a, link->to),
                .calls_mhz = calls_of(input, a, i),
                .request_bytes = cost_call_bytes(input, a, i, false, &measured),
                .response_bytes = cost_call_bytes(input, a, i, true, &measured),
            };
            if (link->from_kind == LINK_WORKLOAD) {
                info->from_part = cost_part(input, a, link->from);
                continue;
            }
            const struct segment *segment = &app->segments[link->from];
            info->from_site = world_site(context->world, segment->site);
            if (info->from_site < 0) {
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

/* The calls of a link before the caller's cache. A link that only misses travel follows its caller,
 * since the callee's own count already depends on where the caller is; any other link takes its
 * share of what the callee is measured to serve, or its prior. */
static int64_t calls_of(const struct cost_input *input, int app, int link)
{
    const struct app *owner = input->apps[app].app;
    const struct link *what = &owner->links[link];
    if (what->on_miss) {
        return calls_of_miss(input, app, link);
    }
    bool measured;
    int64_t served = cost_calls_mhz(input, app, what->to, &measured);
    if (!measured) {
        return prior_of(owner, link);
    }
    int64_t all = 0;
    int64_t inbound = 0;
    for (int i = 0; i < owner->link_count; i++) {
        if (owner->links[i].to == what->to) {
            all += share_weight(input, app, i);
            inbound++;
        }
    }
    return all > 0 ? split(served, share_weight(input, app, link), all) : served / inbound;
}

static int64_t calls_of_miss(const struct cost_input *input, int app, int link)
{
    const struct app *owner = input->apps[app].app;
    int caller = owner->links[link].from;
    bool measured;
    int64_t calls = cost_calls_mhz(input, app, caller, &measured);
    int64_t prior = cost_prior_calls_mhz(owner, caller);
    if (!measured) {
        return prior_of(owner, link);
    }
    return prior > 0 && prior_of(owner, link) > 0 ? split(calls, prior_of(owner, link), prior)
                                                  : calls;
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
static int64_t share_weight(const struct cost_input *input, int app, int link)
{
    const struct cost_app *owner = &input->apps[app];
    const struct link *what = &owner->app->links[link];
    int64_t prior = prior_of(owner->app, link);
    prior = prior < WEIGHT_MAX ? prior : WEIGHT_MAX;
    if (!what->on_miss) {
        return prior;
    }
    bool measured;
    int site = owner->states[what->from].now.site;
    int64_t hit = site < 0 ? owner->app->workloads[what->from].hit_ppm
                           : cost_hit_ppm(input, app, what->from, site, &measured);
    return split(prior, PPM - hit, PPM);
}

/* The weights of the share of calls that reaches a callee: its links' prior calls, or equal parts
 * when no link states any. */
static void build_weights(struct cost_context *context)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < context->link_count; i++) {
            struct cost_link_info *link = &context->links[i];
            struct cost_part_info *callee = &context->parts[link->to_part];
            if (pass == 0) {
                int64_t prior = prior_of(callee->owner, link->link);
                link->weight = prior < WEIGHT_MAX ? prior : WEIGHT_MAX;
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

static int build_matches(struct cost_context *context, struct arena *arena)
{
    int count = context->site_count;
    context->matches =
        arena_array(arena, (size_t)count * (size_t)count, sizeof(struct egress_match));
    if (context->matches == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            context->matches[from * count + to] = world_egress(context->world, from, to);
        }
    }
    return 0;
}

/* One meter for each account and rule that bytes between two sites of the world can meet. */
static int build_meters(struct cost_context *context, struct arena *arena, struct error *err)
{
    const struct world *world = context->world;
    size_t cells = (size_t)world->account_count * (size_t)world->egress_count;
    context->meter_of = arena_array(arena, cells + 1, sizeof(int));
    if (context->meter_of == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the egress meters");
    }
    for (size_t i = 0; i < cells; i++) {
        context->meter_of[i] = -1;
    }
    for (int cell = 0; cell < context->site_count * context->site_count; cell++) {
        int payers[2] = {cell / context->site_count, cell % context->site_count};
        int rules[2] = {context->matches[cell].sender_rule, context->matches[cell].receiver_rule};
        for (int k = 0; k < 2; k++) {
            int account = world->sites[payers[k]].account;
            if (rules[k] >= 0 && context->meter_of[account * world->egress_count + rules[k]] < 0) {
                context->meter_of[account * world->egress_count + rules[k]] =
                    context->meter_count++;
            }
        }
    }
    context->meters =
        arena_array(arena, (size_t)context->meter_count + 1, sizeof(struct problem_meter));
    context->meter_keys =
        arena_array(arena, (size_t)context->meter_count + 1, sizeof(struct cost_meter_key));
    if (context->meters == NULL || context->meter_keys == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the egress meters");
    }
    for (size_t i = 0; i < cells; i++) {
        int meter = context->meter_of[i];
        if (meter < 0) {
            continue;
        }
        struct cost_meter_key key = {(int)i / world->egress_count, (int)i % world->egress_count};
        context->meter_keys[meter] = key;
        if (build_meter(context, key.account, key.rule, &context->meters[meter]) < 0) {
            return error_set(err, ERR_OVERFLOW, 0,
                             "a price of the egress rule %s does not fit the score's range",
                             world->egress[key.rule].name);
        }
    }
    return 0;
}

static int build_meter(const struct cost_context *context, int account, int rule_index,
                       struct problem_meter *meter)
{
    const struct egress_rule *rule = &context->world->egress[rule_index];
    str_format(meter->name, sizeof(meter->name), "%s %s", context->world->accounts[account].name,
               rule->name);
    meter->base_bytes = rule->month_to_date_bytes;
    meter->per_bytes = rule->per_bytes;
    meter->tier_count = rule->tier_count;
    for (int i = 0; i < rule->tier_count; i++) {
        nusd price;
        meter->up_to_bytes[i] = rule->tiers[i].up_to_bytes;
        int rc = money_of(rule->tiers[i].price, (uint64_t)PPM,
                          (unsigned __int128)context->world->weights.egress_ppm, &price);
        if (rc < 0 || money_to_i64(price, &meter->price_nusd[i]) < 0) {
            return ERR_OVERFLOW;
        }
    }
    return 0;
}

static int64_t split(int64_t amount, int64_t numerator, int64_t denominator)
{
    return (int64_t)((__int128)amount * numerator / denominator);
}
