/* Migration: what a change of place costs once. A part that shares what already runs at its new
 * place moves nothing; the instances of a set that begins are its lead's. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

static bool runs_at(const struct cost_context *context, const struct cost_part_info *info,
                    int site);
static void add_bytes(const struct cost_context *context, struct cost_line line, int part,
                      int payer_site, int rule_index, struct cost_sink *sink);
static void add_overlap(const struct cost_context *context, struct cost_line line, int part,
                        struct cost_sink *sink);

static const char *const resource_units[] = {"vCPU-hour", "GiB-hour"};
static const int64_t resource_per[] = {1000, GIB};

void cost_terms_migration(const struct cost_context *context, int part,
                          const struct cost_spot *spot, struct cost_sink *sink)
{
    if (cost_is_move(context, part, spot)) {
        cost_terms_carried(context, part, spot, sink);
        cost_terms_overlap(context, part, spot, sink);
    }
}

bool cost_is_move(const struct cost_context *context, int part, const struct cost_spot *spot)
{
    const struct cost_spot *now = &context->parts[part].now;
    return now->site >= 0 && !(cost_is_there(now, spot) && now->lead == spot->lead);
}

void cost_terms_carried(const struct cost_context *context, int part, const struct cost_spot *spot,
                        struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct cost_spot *now = &info->now;
    if (spot->lead == part && spot->site != now->site && !runs_at(context, info, spot->site)) {
        struct cost_line line = cost_line_of(context, TERM_MIGRATION, part, spot->site);
        struct egress_match match = context->matches[now->site * context->site_count + spot->site];
        line.peer_site = now->site;
        add_bytes(context, line, part, now->site, match.sender_rule, sink);
        add_bytes(context, line, part, spot->site, match.receiver_rule, sink);
    }
}

void cost_terms_overlap(const struct cost_context *context, int part, const struct cost_spot *spot,
                        struct cost_sink *sink)
{
    const struct cost_spot *now = &context->parts[part].now;
    if (now->lead == part) {
        struct cost_line line = cost_line_of(context, TERM_MIGRATION, part, spot->site);
        line.peer_site = now->site;
        add_overlap(context, line, part, sink);
    }
}

bool cost_is_there(const struct cost_spot *now, const struct cost_spot *spot)
{
    return now->site == spot->site && now->variant == spot->variant;
}

bool cost_is_fresh(const struct cost_context *context, const struct cost_spot *spot)
{
    const struct cost_spot *lead = &context->parts[spot->lead].now;
    return lead->site >= 0 && !(cost_is_there(lead, spot) && lead->lead == spot->lead);
}

/* Some part of the family has its instances or its bytes there now. */
static bool runs_at(const struct cost_context *context, const struct cost_part_info *info, int site)
{
    for (int i = 0; i < info->family->count; i++) {
        if (context->parts[info->parts[i]].now.site == site) {
            return true;
        }
    }
    return false;
}

/* State and artifact, or a data set, at the price of the tier that the month has reached. */
static void add_bytes(const struct cost_context *context, struct cost_line line, int part,
                      int payer_site, int rule_index, struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct workload *what = info->what;
    bool data = what->kind == KIND_DATA;
    unsigned __int128 bytes =
        data ? (unsigned __int128)what->data.bytes
             : (unsigned __int128)what->state_bytes + (unsigned __int128)what->artifact_bytes;
    if (rule_index < 0 || bytes == 0) {
        return;
    }
    const struct egress_rule *rule = &context->world->egress[rule_index];
    int meter = cost_meter(context, info->app, payer_site, rule_index);
    struct decimal price = cost_meter_price(context, meter);
    if (bytes > INT64_MAX || money_of(price, (uint64_t)rule->per_bytes, bytes, &line.bill) < 0 ||
        cost_once_score(context, part, line.bill, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (sink->lines == NULL) {
        cost_sink_add(sink, &line);
        return;
    }
    char size[UNITS_TEXT_BYTES];
    char price_text[DECIMAL_TEXT_BYTES];
    cost_line_text(sink, &line, "%s %s x $%s per %s, once (%s)",
                   data ? "data set" : "state and artifact",
                   units_format_bytes((int64_t)bytes, size), decimal_format(price, price_text),
                   rule->per_bytes == GIB ? "GiB" : "GB", context->meters[meter].name);
    cost_sink_add(sink, &line);
}

/* The old copy runs on at its site until the new one has been healthy long enough: at most as long
 * as starting, draining and the minimum healthy time may take. */
static void add_overlap(const struct cost_context *context, struct cost_line line, int part,
                        struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct workload *what = info->what;
    const struct site *old = &context->world->sites[line.peer_site];
    __int128 overlap_us = (__int128)what->start_timeout_us + what->drain_timeout_us +
                          context->world->policy.healthy_min_us;
    __int128 overlap_s = (overlap_us + US_PER_S - 1) / US_PER_S;
    int64_t overhead_ppm = old->tier == TIER_CLOUD ? old->overhead_ppm : 0;
    for (int resource = 0; resource < RESOURCE_COUNT && old->tier != TIER_CLIENT; resource++) {
        struct decimal price = resource == RESOURCE_CPU ? old->cpu_price : old->memory_price;
        int64_t reserve = cost_reserve(what, info->now.variant, resource);
        unsigned __int128 quantity;
        if (reserve == 0) {
            continue;
        }
        if (__builtin_mul_overflow((unsigned __int128)reserve * (unsigned)what->replicas *
                                       (unsigned __int128)(PPM + overhead_ppm),
                                   (unsigned __int128)overlap_s, &quantity) ||
            money_of(price, (uint64_t)(resource_per[resource] * 3600 * PPM), quantity, &line.bill) <
                0 ||
            cost_once_score(context, part, line.bill, &line.score) < 0) {
            sink->failed = true;
            continue;
        }
        if (sink->lines == NULL) {
            cost_sink_add(sink, &line);
            continue;
        }
        char amount[UNITS_TEXT_BYTES];
        char price_text[DECIMAL_TEXT_BYTES];
        cost_line_text(sink, &line,
                       "both copies for up to %" PRId64 " s: %d x %s x $%s per %s, once",
                       (int64_t)overlap_s, what->replicas,
                       cost_amount_text((enum resource)resource, reserve, amount),
                       decimal_format(price, price_text), resource_units[resource]);
        cost_sink_add(sink, &line);
    }
}
