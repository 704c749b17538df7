/* The world's own terms: formulas over measures and what the workload uses, evaluated once for each
 * set of parts that share, at its lead. */
#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

static bool fill_builtins(const struct cost_context *context, int part,
                          const struct cost_spot *spot, struct formula_value *values);
static bool put(struct formula_value *values, enum formula_builtin name, __int128 numerator,
                __int128 denominator);
static bool add_traffic(const struct cost_context *context, const struct cost_part_info *info,
                        int variant, __int128 *bytes);
static bool add_device(const struct cost_context *context, const struct cost_part_info *info,
                       const struct cost_spot *spot, __int128 *device, int64_t *speed_ppm);
static int term_failed(const struct cost_context *context, int part, const struct cost_spot *spot,
                       int term, int rc, const struct error *cause, struct error *err);

int cost_formulas_build(struct cost_context *context, struct arena *arena, struct error *err)
{
    const struct world *world = context->world;
    if (world->term_count == 0) {
        return 0;
    }
    context->formulas = arena_array(arena, (size_t)world->term_count, sizeof(struct cost_formula));
    if (context->formulas == NULL ||
        world_formula_names(world, arena, &context->names, &context->name_count) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the world's own terms");
    }
    for (int i = 0; i < world->term_count; i++) {
        struct cost_formula *formula = &context->formulas[i];
        formula->values =
            arena_array(arena, (size_t)context->name_count, sizeof(struct formula_value));
        if (formula->values == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the world's own terms");
        }
        int rc = formula_parse(world->terms[i].formula, context->names, context->name_count, "USD",
                               arena, &formula->formula, err);
        if (rc < 0) {
            return err == NULL ? rc : error_prefix(err, "term %s", world->terms[i].name);
        }
    }
    return 0;
}

void cost_terms_custom(const struct cost_context *context, int part, const struct cost_spot *spot,
                       struct cost_sink *sink)
{
    const struct world *world = context->world;
    const struct cost_part_info *info = &context->parts[part];
    for (int i = 0; i < world->term_count; i++) {
        const struct custom_term *term = &world->terms[i];
        struct formula_value *values = context->formulas[i].values;
        struct cost_line line = cost_line_of(context, TERM_CUSTOM, part, spot->site);
        struct formula_value result;
        struct error cause = {0};
        nusd amount = 0;
        if (!fill_builtins(context, part, spot, values)) {
            sink->failed = true;
            return;
        }
        for (int k = BUILTIN_COUNT; k < context->name_count; k++) {
            const struct measure *measure =
                world_measure(world, &world->sites[spot->site], info->what, context->names[k].name);
            values[k] =
                measure == NULL ? (struct formula_value){0, 0} : formula_value_of(measure->value);
        }
        int rc = formula_eval(context->formulas[i].formula, values, &result, &cause);
        if (rc == 0) {
            rc = formula_value_to_nusd(result, &amount, &cause);
        }
        if (rc < 0) {
            /* Where the part may not be, nothing is asked for that the formula cannot tell. */
            if (info->open[spot->variant * context->site_count + spot->site] && sink->rc == 0) {
                sink->rc = term_failed(context, part, spot, i, rc, &cause, sink->err);
            }
            continue;
        }
        if (amount == 0) {
            continue;
        }
        line.custom = i;
        line.bill = term->billed ? amount : 0;
        if (money_scale(amount, term->weight_ppm, PPM, &line.score) < 0) {
            sink->failed = true;
            continue;
        }
        cost_line_text(sink, &line, "%s: %.180s", term->name, term->formula);
        cost_sink_add(sink, &line);
    }
}

/* Of all that share, per month. False when one does not fit. */
static bool fill_builtins(const struct cost_context *context, int part,
                          const struct cost_spot *spot, struct formula_value *values)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct workload *what = info->what;
    bool data = what->kind == KIND_DATA;
    __int128 vcpu = (__int128)cost_reserve(what, spot->variant, RESOURCE_CPU);
    __int128 memory = (__int128)cost_reserve(what, spot->variant, RESOURCE_MEMORY);
    __int128 calls_mhz = cost_family_calls_mhz(info->family, spot->sharers);
    __int128 bytes[2] = {0, 0};
    __int128 device = 0;
    int64_t speed_ppm = PPM;
    bool fits = true;
    for (int i = 0; i < info->family->count; i++) {
        if ((spot->sharers >> i & 1) != 0) {
            const struct cost_part_info *other = &context->parts[info->parts[i]];
            fits = add_traffic(context, other, spot->variant, bytes) && fits;
            fits = add_device(context, other, spot, &device, &speed_ppm) && fits;
        }
    }
    __int128 stored =
        data ? (__int128)what->data.bytes * what->data.copies * (PPM - what->data.dedup_ppm)
             : (__int128)what->state_bytes * what->replicas * PPM;
    int64_t hit_ppm = spot->hit_ppm < 0 ? 0 : spot->hit_ppm;
    int replicas = data ? what->data.copies : what->replicas;
    fits = put(values, BUILTIN_VCPU_HOURS, vcpu * what->replicas * HOURS_PER_MONTH, 1000) && fits;
    fits = put(values, BUILTIN_GIB_HOURS, memory * what->replicas * HOURS_PER_MONTH, GIB) && fits;
    fits = put(values, BUILTIN_STORAGE_GIB_MONTHS, stored, (__int128)GIB * PPM) && fits;
    fits = put(values, BUILTIN_CALLS, calls_mhz * MHZ_TO_MONTHLY, 1) && fits;
    fits = put(values, BUILTIN_GIB_IN, bytes[0], GIB) && fits;
    fits = put(values, BUILTIN_GIB_OUT, bytes[1], GIB) && fits;
    fits = put(values, BUILTIN_DEVICE_CPU_S, device, (__int128)speed_ppm * (BILLION / PPM)) && fits;
    fits = put(values, BUILTIN_HIT_RATIO, hit_ppm, PPM) && fits;
    return put(values, BUILTIN_REPLICAS, replicas, 1) && fits;
}

/* In lowest terms, so that products of a few of them stay exact. */
static bool put(struct formula_value *values, enum formula_builtin name, __int128 numerator,
                __int128 denominator)
{
    __int128 a = numerator;
    __int128 b = denominator;
    while (b != 0) {
        __int128 rest = a % b;
        a = b;
        b = rest;
    }
    values[name] = (struct formula_value){numerator / a, denominator / a};
    return numerator / a <= INT64_MAX;
}

/* What its calls bring to it and take from it: its own rate, at the mean of its links. */
static bool add_traffic(const struct cost_context *context, const struct cost_part_info *info,
                        int variant, __int128 *bytes)
{
    __int128 sums[2] = {0, 0};
    int base = context->link_base[info->app];
    for (int i = 0; i < info->owner->link_count && info->all_weight > 0; i++) {
        const struct cost_link_info *link = &context->links[base + i];
        if (link->what->to == info->workload) {
            sums[0] += (__int128)link->weight * link->bytes[variant][0];
            sums[1] += (__int128)link->weight * link->bytes[variant][1];
        }
    }
    for (int way = 0; way < 2 && info->all_weight > 0; way++) {
        __int128 calls = (__int128)info->calls_mhz * MHZ_TO_MONTHLY;
        __int128 more;
        if (__builtin_mul_overflow(calls, sums[way] / info->all_weight, &more) ||
            __builtin_add_overflow(bytes[way], more, &bytes[way])) {
            return false;
        }
    }
    return true;
}

/* CPU time on a client, in ns at the speed of all of a family there. */
static bool add_device(const struct cost_context *context, const struct cost_part_info *info,
                       const struct cost_spot *spot, __int128 *device, int64_t *speed_ppm)
{
    if (context->world->sites[spot->site].tier != TIER_CLIENT) {
        return true;
    }
    struct cost_cpu cpu =
        cost_family_cpu(&context->lookup, info->family, info->member, spot->site, spot->variant);
    __int128 more;
    *speed_ppm = cpu.speed_ppm;
    return !__builtin_mul_overflow((__int128)info->calls_mhz * MHZ_TO_MONTHLY, (__int128)cpu.ns,
                                   &more) &&
           !__builtin_add_overflow(*device, more, device);
}

static int term_failed(const struct cost_context *context, int part, const struct cost_spot *spot,
                       int term, int rc, const struct error *cause, struct error *err)
{
    char name[PART_NAME_BYTES];
    cost_part_name(context, part, name, sizeof(name));
    return error_set(err, rc, 0, "term %s of %s at %s: %.400s", context->world->terms[term].name,
                     name, context->world->sites[spot->site].name, cause->text);
}
