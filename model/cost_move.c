/* Migration: what a change of place costs once. A part that shares what already runs at its new
 * place moves nothing; the instances of a set that begins are its lead's. */
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

static bool runs_at(const struct cost_context *context, const struct cost_part_info *info,
                    int site);
static bool is_move(const struct cost_context *context, int part, const struct cost_spot *spot);
static bool carrying_meters(const struct cost_context *context, int part,
                            const struct cost_spot *spot, int ret_meters[2]);
static void add_carried(const struct cost_context *context, int part, const struct cost_spot *spot,
                        const int meters[2], struct cost_sink *sink);
static void add_bytes(const struct cost_context *context, struct cost_line line, int part,
                      int meter, struct cost_sink *sink);
static void add_both(const struct cost_context *context, int part, const struct cost_spot *spot,
                     struct cost_sink *sink);
static void add_overlap(const struct cost_context *context, struct cost_line line, int part,
                        struct cost_sink *sink);

static const char *const resource_units[] = {"vCPU-hour", "GiB-hour"};
static const int64_t resource_per[] = {1000, GIB};

void cost_terms_migration(const struct cost_context *context, int part,
                          const struct cost_spot *spot, struct cost_sink *sink)
{
    int meters[2];
    if (!is_move(context, part, spot)) {
        return;
    }
    if (carrying_meters(context, part, spot, meters)) {
        add_carried(context, part, spot, meters, sink);
    }
    add_both(context, part, spot, sink);
}

struct cost_moves cost_moves_of(const struct cost_context *context, int part)
{
    return (struct cost_moves){.context = context, .part = part};
}

bool cost_move_score(struct cost_moves *moves, const struct cost_spot *spot, nusd *ret_score)
{
    int meters[2];
    *ret_score = 0;
    if (!is_move(moves->context, moves->part, spot)) {
        return true;
    }
    if (!moves->both_known) {
        struct cost_sink sink = {0};
        add_both(moves->context, moves->part, spot, &sink);
        moves->both = sink.total.score;
        moves->both_failed = sink.failed;
        moves->both_known = true;
    }
    *ret_score = moves->both;
    if (!carrying_meters(moves->context, moves->part, spot, meters)) {
        return !moves->both_failed;
    }
    if (!moves->carried_known || meters[0] != moves->meters[0] || meters[1] != moves->meters[1]) {
        struct cost_sink sink = {0};
        add_carried(moves->context, moves->part, spot, meters, &sink);
        moves->carried = sink.total.score;
        moves->carried_failed = sink.failed;
        moves->carried_known = true;
        memcpy(moves->meters, meters, sizeof(meters));
    }
    *ret_score += moves->carried;
    return !moves->both_failed && !moves->carried_failed;
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

static bool is_move(const struct cost_context *context, int part, const struct cost_spot *spot)
{
    const struct cost_spot *now = &context->parts[part].now;
    return now->site >= 0 && !(cost_is_there(now, spot) && now->lead == spot->lead);
}

/* Of the sender and of the receiver, -1: none. False: nothing travels. */
static bool carrying_meters(const struct cost_context *context, int part,
                            const struct cost_spot *spot, int ret_meters[2])
{
    const struct cost_part_info *info = &context->parts[part];
    const struct cost_spot *now = &info->now;
    if (spot->lead != part || spot->site == now->site || runs_at(context, info, spot->site)) {
        return false;
    }
    struct egress_match match = context->matches[now->site * context->site_count + spot->site];
    ret_meters[0] =
        match.sender_rule < 0 ? -1 : cost_meter(context, info->app, now->site, match.sender_rule);
    ret_meters[1] = match.receiver_rule < 0
                        ? -1
                        : cost_meter(context, info->app, spot->site, match.receiver_rule);
    return true;
}

static void add_carried(const struct cost_context *context, int part, const struct cost_spot *spot,
                        const int meters[2], struct cost_sink *sink)
{
    struct cost_line line = cost_line_of(context, TERM_MIGRATION, part, spot->site);
    line.peer_site = context->parts[part].now.site;
    add_bytes(context, line, part, meters[0], sink);
    add_bytes(context, line, part, meters[1], sink);
}

/* State and artifact, or a data set, at the price of the tier that the month has reached. */
static void add_bytes(const struct cost_context *context, struct cost_line line, int part,
                      int meter, struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    const struct workload *what = info->what;
    bool data = what->kind == KIND_DATA;
    unsigned __int128 bytes =
        data ? (unsigned __int128)what->data.bytes
             : (unsigned __int128)what->state_bytes + (unsigned __int128)what->artifact_bytes;
    if (meter < 0 || bytes == 0) {
        return;
    }
    const struct egress_rule *rule = &context->world->egress[context->meter_keys[meter].rule];
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

/* While both copies run; it scores the same wherever the part goes. */
static void add_both(const struct cost_context *context, int part, const struct cost_spot *spot,
                     struct cost_sink *sink)
{
    const struct cost_spot *now = &context->parts[part].now;
    if (now->lead == part) {
        struct cost_line line = cost_line_of(context, TERM_MIGRATION, part, spot->site);
        line.peer_site = now->site;
        add_overlap(context, line, part, sink);
    }
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
