/* Compute: CPU time on clients, and what is reserved at the edge and in data centres. */
#include <inttypes.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

/* A share of a whole: numerator / denominator. */
struct share {
    __int128 numerator;
    __int128 denominator;
};

static void add_device_cpu(const struct cost_context *context, int part,
                           const struct cost_spot *spot, struct cost_sink *sink);
static void add_compute(const struct cost_context *context, struct cost_line line,
                        const struct cost_part_info *info, const struct cost_spot *spot,
                        struct share billed, struct share reached, struct cost_sink *sink);
static void set_weights(const struct cost_context *context, const struct cost_part_info *info,
                        unsigned sharers, __int128 *ret_plain, __int128 *ret_all);
static __int128 compute_factor(int64_t overhead_ppm, struct share share);
static const char *compute_note(const struct site *site, const struct cost_spot *spot,
                                struct share billed, struct share reached,
                                char out[LIMIT_NAME_BYTES * 2]);
static const char *share_text(struct share share, char out[UNITS_TEXT_BYTES]);

static const char *const resource_units[] = {"vCPU-hour", "GiB-hour"};
static const int64_t resource_per[] = {1000, GIB};

void cost_terms_unary(const struct cost_context *context, int part, const struct cost_spot *spot,
                      struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    enum tier tier = context->world->sites[spot->site].tier;
    struct share whole = {1, 1};
    if (tier == TIER_CLIENT) {
        add_device_cpu(context, part, spot, sink);
    }
    if (spot->lead != part) {
        return; /* what is shared is the lead's */
    }
    if (tier == TIER_EDGE) {
        struct cost_line line = cost_line_of(context, TERM_EDGE, part, spot->site);
        add_compute(context, line, info, spot, whole, whole, sink);
    } else if (tier == TIER_CLOUD) {
        struct cost_line line = cost_line_of(context, TERM_DATACENTRE, part, spot->site);
        __int128 plain;
        __int128 all;
        set_weights(context, info, spot->sharers, &plain, &all);
        if (all > 0) {
            whole = (struct share){plain, all};
        }
        add_compute(context, line, info, spot, whole, whole, sink);
    }
    cost_terms_storage(context, part, spot, sink);
    cost_terms_custom(context, part, spot, sink);
}

/* What is reserved is billed whether calls reach it or not; the links divide it. */
void cost_terms_reached(const struct cost_context *context, int link, const struct cost_spot *from,
                        const struct cost_spot *to, struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    struct cost_line line = cost_line_of(context, TERM_DATACENTRE, info->to_part, to->site);
    __int128 plain;
    __int128 all;
    line.link = info->link;
    line.peer_site = from->site;
    set_weights(context, callee, to->sharers, &plain, &all);
    struct share billed = {info->weight, all};
    struct share reached = {(__int128)info->weight * cost_travel_ppm(info, from), all * PPM};
    add_compute(context, line, callee, to, billed, reached, sink);
}

/* calls x CPU time / speed x the weight of a second there */
static void add_device_cpu(const struct cost_context *context, int part,
                           const struct cost_spot *spot, struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct site *site = &context->world->sites[spot->site];
    struct cost_line line = cost_line_of(context, TERM_DEVICE_CPU, part, spot->site);
    struct cost_cpu cpu =
        cost_family_cpu(&context->lookup, info->family, info->member, spot->site, spot->variant);
    struct decimal weight =
        site->has_cpu_weight ? site->cpu_weight : info->weights->device_cpu_usd_per_second;
    unsigned __int128 quantity;
    if (cpu.ns == 0 || info->calls_mhz == 0) {
        return;
    }
    /* ns / (1e9 x speed_ppm / 1e6) */
    if (__builtin_mul_overflow((unsigned __int128)info->calls_mhz * MHZ_TO_MONTHLY,
                               (unsigned __int128)cpu.ns, &quantity) ||
        money_of(weight, (uint64_t)cpu.speed_ppm * (uint64_t)(BILLION / PPM), quantity,
                 &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (sink->lines == NULL) {
        cost_sink_add(sink, &line);
        return;
    }
    char rate[UNITS_TEXT_BYTES];
    char speed[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    cost_line_text(sink, &line, "%s x %" PRId64 " ns%s%s x $%s per CPU second on the device",
                   units_format_rate(info->calls_mhz, rate), cpu.ns,
                   cpu.speed_ppm == PPM ? "" : " / speed ",
                   cpu.speed_ppm == PPM ? "" : units_format_ratio(cpu.speed_ppm, speed),
                   decimal_format(weight, price));
    cost_sink_add(sink, &line);
}

/* Reserved CPU and memory for a month, a line each. Only the data centre carries the overhead of
 * what cannot be filled; only the edge's score is divided by the hit ratio. */
static void add_compute(const struct cost_context *context, struct cost_line line,
                        const struct cost_part_info *info, const struct cost_spot *spot,
                        struct share billed, struct share reached, struct cost_sink *sink)
{
    const struct site *site = &context->world->sites[line.site];
    const struct workload *what = info->what;
    int64_t floor_ppm = context->world->policy.hit_floor_ppm;
    int64_t divisor_ppm = line.term != TERM_EDGE || spot->hit_ppm < 0 ? PPM
                          : spot->hit_ppm > floor_ppm                 ? spot->hit_ppm
                                                                      : floor_ppm;
    int64_t overhead_ppm = line.term == TERM_DATACENTRE ? site->overhead_ppm : 0;
    unsigned __int128 bill_factor = (unsigned __int128)compute_factor(overhead_ppm, billed);
    unsigned __int128 score_factor = (unsigned __int128)compute_factor(overhead_ppm, reached);
    bool all_reached = score_factor == bill_factor;
    for (int resource = 0; resource < RESOURCE_COUNT && billed.numerator != 0; resource++) {
        struct decimal price = resource == RESOURCE_CPU ? site->cpu_price : site->memory_price;
        int64_t reserve = cost_reserve(what, spot->variant, resource);
        unsigned __int128 hours =
            (unsigned __int128)reserve * (unsigned)what->replicas * HOURS_PER_MONTH;
        uint64_t per = (uint64_t)(resource_per[resource] * BILLION);
        unsigned __int128 quantity;
        nusd reached_bill = 0;
        if (reserve == 0) {
            continue;
        }
        if (__builtin_mul_overflow(hours, bill_factor, &quantity) ||
            money_of(price, per, quantity, &line.bill) < 0 ||
            (!all_reached && money_of(price, per, hours * score_factor, &reached_bill) < 0) ||
            money_scale(all_reached ? line.bill : reached_bill, info->weights->compute_ppm,
                        divisor_ppm, &line.score) < 0) {
            sink->failed = true;
            continue;
        }
        if (sink->lines != NULL) {
            char amount[UNITS_TEXT_BYTES];
            char price_text[DECIMAL_TEXT_BYTES];
            char note[LIMIT_NAME_BYTES * 2];
            cost_line_text(sink, &line, "%d x %s x %d h x $%s per %s%s", what->replicas,
                           cost_amount_text((enum resource)resource, reserve, amount),
                           HOURS_PER_MONTH, decimal_format(price, price_text),
                           resource_units[resource],
                           compute_note(site, spot, billed, reached, note));
        }
        cost_sink_add(sink, &line);
    }
}

/* Of all that the shared instances serve. */
static void set_weights(const struct cost_context *context, const struct cost_part_info *info,
                        unsigned sharers, __int128 *ret_plain, __int128 *ret_all)
{
    *ret_plain = 0;
    *ret_all = 0;
    for (int i = 0; i < info->family->count; i++) {
        if ((sharers >> i & 1) != 0) {
            const struct cost_part_info *other = &context->parts[info->parts[i]];
            *ret_plain += other->plain_weight;
            *ret_all += other->all_weight;
        }
    }
}

/* (1 + overhead) x share, in billionths. */
static __int128 compute_factor(int64_t overhead_ppm, struct share share)
{
    if (share.numerator == share.denominator) {
        return ((__int128)PPM + overhead_ppm) * 1000;
    }
    return (((__int128)PPM + overhead_ppm) * 1000 * share.numerator + share.denominator / 2) /
           share.denominator;
}

/* What multiplies a reservation beside its price, in words. */
static const char *compute_note(const struct site *site, const struct cost_spot *spot,
                                struct share billed, struct share reached,
                                char out[LIMIT_NAME_BYTES * 2])
{
    char overhead[UNITS_TEXT_BYTES];
    char part_text[UNITS_TEXT_BYTES];
    char reached_text[UNITS_TEXT_BYTES];
    out[0] = '\0';
    if (site->tier == TIER_EDGE && spot->hit_ppm >= 0) {
        str_format(out, LIMIT_NAME_BYTES * 2, "; score / hit ratio %s",
                   units_format_ratio(spot->hit_ppm, part_text));
    } else if (site->tier == TIER_CLOUD) {
        bool whole = billed.numerator == billed.denominator;
        bool all = reached.numerator * billed.denominator == billed.numerator * reached.denominator;
        str_format(out, LIMIT_NAME_BYTES * 2, ", + %s overhead%s%s%s%s",
                   units_format_ratio(site->overhead_ppm, overhead),
                   whole ? "" : ", for its share ", whole ? "" : share_text(billed, part_text),
                   all ? "" : "; score x calls ", all ? "" : share_text(reached, reached_text));
    }
    return out;
}

static const char *share_text(struct share share, char out[UNITS_TEXT_BYTES])
{
    return units_format_ratio((int64_t)(share.numerator * PPM / share.denominator), out);
}
