/* Egress: which rules bill the bytes between two sites, and the meters that count them. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/cost_internal.h"
#include "model/egress.h"

static int build_matches(struct cost_context *context, struct arena *arena);
static struct cost_way way_of(const struct cost_context *context, int from, int to);
static int build_classes(struct cost_context *context, struct arena *arena);
static int build_keys(struct cost_context *context, struct arena *arena);
static int build_meter(const struct cost_context *context, const struct cost_meter_key *key,
                       struct problem_meter *meter);
static int64_t month_to_date(const struct cost_context *context, const struct cost_meter_key *key);
static int *slot_of(const struct cost_context *context, int class, int account, int rule);

int cost_meters_build(struct cost_context *context, struct arena *arena, struct error *err)
{
    if (build_matches(context, arena) < 0 || build_classes(context, arena) < 0 ||
        build_keys(context, arena) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the egress meters");
    }
    context->meters =
        arena_array(arena, (size_t)context->meter_count + 1, sizeof(struct problem_meter));
    if (context->meters == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the egress meters");
    }
    for (int i = 0; i < context->meter_count; i++) {
        if (build_meter(context, &context->meter_keys[i], &context->meters[i]) < 0) {
            return error_set(err, ERR_OVERFLOW, 0,
                             "a price of the egress rule %s does not fit the score's range",
                             context->world->egress[context->meter_keys[i].rule].name);
        }
    }
    return 0;
}

int cost_meter(const struct cost_context *context, int app, int payer_site, int rule)
{
    return *slot_of(context, context->class_of[app], context->world->sites[payer_site].account,
                    rule);
}

struct decimal cost_meter_price(const struct cost_context *context, int meter)
{
    const struct egress_rule *rule = &context->world->egress[context->meter_keys[meter].rule];
    int tier = 0;
    while (tier < rule->tier_count - 1 &&
           rule->tiers[tier].up_to_bytes <= context->meters[meter].base_bytes) {
        tier++;
    }
    return rule->tiers[tier].price;
}

static int build_matches(struct cost_context *context, struct arena *arena)
{
    int count = context->site_count;
    context->matches =
        arena_array(arena, (size_t)count * (size_t)count, sizeof(struct egress_match));
    context->ways = arena_array(arena, (size_t)count * (size_t)count, sizeof(struct cost_way));
    if (context->matches == NULL || context->ways == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int from = 0; from < count; from++) {
        egress_from(context->world, from, &context->matches[from * count]);
    }
    for (int from = 0; from < count; from++) {
        for (int to = 0; to < count; to++) {
            struct cost_way *way = &context->ways[from * count + to];
            *way = way_of(context, from, to);
            context->link_uses = way->count > context->link_uses ? way->count : context->link_uses;
        }
    }
    return 0;
}

/* A request to its sender and receiver, then the response. */
static struct cost_way way_of(const struct cost_context *context, int from, int to)
{
    const struct world *world = context->world;
    struct egress_match there = context->matches[from * context->site_count + to];
    struct egress_match back = context->matches[to * context->site_count + from];
    int rules[COST_LINK_USES] = {there.sender_rule, there.receiver_rule, back.sender_rule,
                                 back.receiver_rule};
    int payers[COST_LINK_USES] = {from, to, to, from};
    struct cost_way way = {0};
    for (int i = 0; i < COST_LINK_USES; i++) {
        if (rules[i] >= 0) {
            way.use[way.count].slot =
                world->sites[payers[i]].account * world->egress_count + rules[i];
            way.use[way.count++].response = i >= COST_LINK_USES / 2;
        }
    }
    return way;
}

/* Apps that weigh egress alike share their meters. */
static int build_classes(struct cost_context *context, struct arena *arena)
{
    size_t apps = (size_t)context->input->app_count;
    context->class_ppm = arena_array(arena, apps + 1, sizeof(int64_t));
    context->class_of = arena_array(arena, apps + 1, sizeof(int));
    if (context->class_ppm == NULL || context->class_of == NULL) {
        return ERR_NO_MEMORY;
    }
    context->class_ppm[context->class_count++] = context->world->weights.egress_ppm;
    for (int i = 0; i < context->input->app_count; i++) {
        const struct app *app = context->input->apps[i].app;
        int64_t ppm = app_weights(app, context->world).egress_ppm;
        int class = 0;
        while (class < context->class_count && context->class_ppm[class] != ppm) {
            class ++;
        }
        if (class == context->class_count) {
            context->class_ppm[context->class_count++] = ppm;
        }
        context->class_of[i] = class;
    }
    return 0;
}

/* One meter for each account and rule that bytes between two sites of the world can meet. */
static int build_keys(struct cost_context *context, struct arena *arena)
{
    const struct world *world = context->world;
    size_t each = (size_t)world->account_count * (size_t)world->egress_count;
    size_t cells = each * (size_t)context->class_count;
    context->meter_of = arena_array(arena, cells + 1, sizeof(int));
    if (context->meter_of == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < cells; i++) {
        context->meter_of[i] = -1;
    }
    for (int class = 0; class < context->class_count; class ++) {
        for (int cell = 0; cell < context->site_count * context->site_count; cell++) {
            int payers[2] = {cell / context->site_count, cell % context->site_count};
            const struct egress_match *match = &context->matches[cell];
            int rules[2] = {match->sender_rule, match->receiver_rule};
            for (int k = 0; k < 2; k++) {
                int *slot = rules[k] < 0 ? NULL
                                         : slot_of(context, class, world->sites[payers[k]].account,
                                                   rules[k]);
                if (slot != NULL && *slot < 0) {
                    *slot = context->meter_count++;
                }
            }
        }
    }
    context->meter_keys =
        arena_array(arena, (size_t)context->meter_count + 1, sizeof(struct cost_meter_key));
    if (context->meter_keys == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < cells; i++) {
        if (context->meter_of[i] >= 0) {
            context->meter_keys[context->meter_of[i]] =
                (struct cost_meter_key){(int)(i % each) / world->egress_count,
                                        (int)(i % each) % world->egress_count, (int)(i / each)};
        }
    }
    return 0;
}

static int build_meter(const struct cost_context *context, const struct cost_meter_key *key,
                       struct problem_meter *meter)
{
    const struct egress_rule *rule = &context->world->egress[key->rule];
    str_format(meter->name, sizeof(meter->name), "%s %s",
               context->world->accounts[key->account].name, rule->name);
    meter->base_bytes = month_to_date(context, key);
    meter->per_bytes = rule->per_bytes;
    meter->tier_count = rule->tier_count;
    for (int i = 0; i < rule->tier_count; i++) {
        nusd price;
        meter->up_to_bytes[i] = rule->tiers[i].up_to_bytes;
        int rc = money_of(rule->tiers[i].price, (uint64_t)PPM,
                          (unsigned __int128)context->class_ppm[key->class], &price);
        if (rc < 0 || money_to_i64(price, &meter->price_nusd[i]) < 0) {
            return ERR_OVERFLOW;
        }
    }
    return 0;
}

/* As the ledger has counted it, else as the world's document says. */
static int64_t month_to_date(const struct cost_context *context, const struct cost_meter_key *key)
{
    const struct estimates *estimates = &context->input->estimates;
    const struct egress_rule *rule = &context->world->egress[key->rule];
    const char *account = context->world->accounts[key->account].name;
    const struct estimate *best = NULL;
    for (int i = 0; i < estimates->count; i++) {
        const struct estimate *estimate = &estimates->list[i];
        if (estimate->kind == ESTIMATE_METER_BYTES && estimate->value >= 0 &&
            str_equal(estimate->site, account) && str_equal(estimate->peer, rule->name) &&
            cost_is_later(estimate, best)) {
            best = estimate;
        }
    }
    return best != NULL ? best->value : rule->month_to_date_bytes;
}

static int *slot_of(const struct cost_context *context, int class, int account, int rule)
{
    const struct world *world = context->world;
    return &context
                ->meter_of[(class * world->account_count + account) * world->egress_count + rule];
}
