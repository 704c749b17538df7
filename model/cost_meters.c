/* Egress: the meters that count the bytes between sites. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/cost_internal.h"

static int build_classes(struct cost_context *context, struct arena *arena);
static int build_keys(struct cost_context *context, struct arena *arena);
static int build_meter(const struct cost_context *context, const struct cost_meter_key *key,
                       struct problem_meter *meter);
static int64_t month_to_date(const struct cost_context *context, const struct cost_meter_key *key);
static int *slot_of(const struct cost_context *context, int class, int account, int rule);

int cost_meters_build(struct cost_context *context, struct arena *arena, struct error *err)
{
    if (build_classes(context, arena) < 0 || build_keys(context, arena) < 0) {
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
    const struct cost_paths *paths = context->paths;
    size_t each = (size_t)world->account_count * (size_t)world->egress_count;
    size_t cells = each * (size_t)context->class_count;
    size_t meters = (size_t)paths->slot_count * (size_t)context->class_count;
    context->meter_of = arena_array(arena, cells + 1, sizeof(int));
    context->meter_keys = arena_array(arena, meters + 1, sizeof(struct cost_meter_key));
    if (context->meter_of == NULL || context->meter_keys == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < cells; i++) {
        context->meter_of[i] = -1;
    }
    for (int class = 0; class < context->class_count; class ++) {
        for (int i = 0; i < paths->slot_count; i++) {
            struct cost_meter_key key = {paths->slots[i] / world->egress_count,
                                         paths->slots[i] % world->egress_count, class};
            *slot_of(context, class, key.account, key.rule) = context->meter_count;
            context->meter_keys[context->meter_count++] = key;
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
    const struct cost_lookup *lookup = &context->lookup;
    const struct egress_rule *rule = &context->world->egress[key->rule];
    const char *account = context->world->accounts[key->account].name;
    const struct estimate *best = NULL;
    for (int i = lookup->other_first; i >= 0; i = lookup->next[i]) {
        const struct estimate *estimate = &context->input->estimates.list[i];
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
