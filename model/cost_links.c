/* Links: what calls wait for on their way, the bytes that meters count, and the misses of a cache
 * that is cold after a move. */
#include <inttypes.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

static void add_cold_waiting(const struct cost_context *context, struct cost_line line, int link,
                             const struct cost_spot *to, int64_t misses, struct cost_sink *sink);
static void add_cold_egress(const struct cost_context *context, struct cost_line line, int link,
                            int payer, int rule, __int128 bytes, int64_t misses,
                            struct cost_sink *sink);
static int monthly_bytes(const struct cost_link_info *link, int64_t travel_ppm, int64_t each,
                         int64_t *ret_bytes);
static void put_link_uses(const struct cost_context *context, int link, int from_site, int to_site,
                          const int64_t monthly[2], struct problem_use uses[COST_LINK_USES]);
static struct problem_use use_of(const struct cost_context *context, int app, int payer_site,
                                 int rule, int64_t bytes);

void cost_terms_link(const struct cost_context *context, int link, const struct cost_spot *from,
                     const struct cost_spot *to, struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    int from_site = from == NULL ? info->from_site : from->site;
    if (info->what->on_miss && context->world->sites[to->site].tier == TIER_CLOUD) {
        cost_terms_reached(context, link, from, to, sink);
    }
    if (from_site != to->site) {
        cost_terms_latency(context, link, from, to, sink);
    }
    if (info->what->on_miss && from_site != to->site) {
        cost_terms_cold(context, link, from, to, sink);
    }
}

int64_t cost_travel_ppm(const struct cost_link_info *link, const struct cost_spot *from)
{
    return link->what->on_miss && from->hit_ppm > 0 ? PPM - from->hit_ppm : PPM;
}

__int128 cost_call_time(const struct cost_context *context, int link, int from, int to, int variant,
                        const char **ret_note)
{
    const int64_t *bytes = context->links[link].bytes[variant];
    int64_t path_us = cost_path_us(context, from, to, ret_note);
    int64_t us_per_mib = context->world->us_per_mib[from * context->site_count + to];
    if (path_us < 0) {
        return -1;
    }
    return (__int128)path_us * MIB + (__int128)us_per_mib * ((__int128)bytes[0] + bytes[1]);
}

int cost_link_uses(const struct cost_context *context, int link, const struct cost_spot *from,
                   const struct cost_spot *to, struct problem_use uses[COST_LINK_USES],
                   struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    int from_site = from == NULL ? info->from_site : from->site;
    int64_t monthly[2];
    int rc =
        cost_link_monthly(context, link, cost_travel_ppm(info, from), to->variant, monthly, err);
    if (rc == 0) {
        put_link_uses(context, link, from_site, to->site, monthly, uses);
    }
    return rc;
}

int cost_link_monthly(const struct cost_context *context, int link, int64_t travel_ppm, int variant,
                      int64_t ret_bytes[2], struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    const int64_t *bytes = info->bytes[variant];
    if (monthly_bytes(info, travel_ppm, bytes[0], &ret_bytes[0]) < 0 ||
        monthly_bytes(info, travel_ppm, bytes[1], &ret_bytes[1]) < 0) {
        const struct cost_part_info *callee = &context->parts[info->to_part];
        return error_set(err, ERR_OVERFLOW, 0,
                         "%s/%s/%s: a link to it carries more than 8 EiB per month; check its "
                         "calls and sizes",
                         callee->owner->namespace_, callee->owner->name, callee->what->name);
    }
    return 0;
}

static void put_link_uses(const struct cost_context *context, int link, int from_site, int to_site,
                          const int64_t monthly[2], struct problem_use uses[COST_LINK_USES])
{
    int app = context->links[link].app;
    struct egress_match there = context->matches[from_site * context->site_count + to_site];
    struct egress_match back = context->matches[to_site * context->site_count + from_site];
    uses[0] = use_of(context, app, from_site, there.sender_rule, monthly[0]);
    uses[1] = use_of(context, app, to_site, there.receiver_rule, monthly[0]);
    uses[2] = use_of(context, app, to_site, back.sender_rule, monthly[1]);
    uses[3] = use_of(context, app, from_site, back.receiver_rule, monthly[1]);
}

void cost_terms_latency(const struct cost_context *context, int link, const struct cost_spot *from,
                        const struct cost_spot *to, struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    int from_site = from == NULL ? info->from_site : from->site;
    struct decimal weight = context->parts[info->to_part].weights->latency_usd_per_second;
    const char *note = "";
    __int128 time = cost_call_time(context, link, from_site, to->site, to->variant, &note);
    int64_t travel = cost_travel_ppm(info, from);
    struct cost_line line = cost_line_of(context, TERM_LATENCY, info->to_part, to->site);
    unsigned __int128 quantity;
    line.link = info->link;
    line.peer_site = from_site;
    if (time < 0 || info->calls_mhz == 0 || travel == 0) {
        return;
    }
    if (__builtin_mul_overflow((unsigned __int128)info->calls_mhz * MHZ_TO_MONTHLY,
                               (unsigned __int128)time, &quantity) ||
        __builtin_mul_overflow(quantity, (unsigned __int128)travel, &quantity) ||
        money_of(weight, (uint64_t)(US_PER_S * PPM * MIB), quantity, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (sink->lines != NULL) {
        const char *unused;
        int64_t path_us = cost_path_us(context, from_site, to->site, &unused);
        int64_t carry_us = (int64_t)((time - (__int128)path_us * MIB + MIB / 2) / MIB);
        char rate[UNITS_TEXT_BYTES];
        char path[UNITS_TEXT_BYTES];
        char carry[UNITS_TEXT_BYTES];
        char miss[UNITS_TEXT_BYTES];
        char price[DECIMAL_TEXT_BYTES];
        bool all = !info->what->on_miss;
        cost_line_text(sink, &line, "%s%s%s x %s%s%s%s%s%s x $%s per second of waiting",
                       units_format_rate(info->calls_mhz, rate), all ? "" : " x misses ",
                       all ? "" : units_format_ratio(travel, miss), carry_us > 0 ? "(" : "",
                       units_format_duration(path_us, path), note, carry_us > 0 ? " + " : "",
                       carry_us > 0 ? units_format_duration(carry_us, carry) : "",
                       carry_us > 0 ? " for its bytes)" : "", decimal_format(weight, price));
    }
    cost_sink_add(sink, &line);
}

/* A cache that begins anew misses what it would have answered, until it is filled. */
void cost_terms_cold(const struct cost_context *context, int link, const struct cost_spot *from,
                     const struct cost_spot *to, struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    int64_t misses = 0;
    int rc = cost_cold_misses(context, link, from, &misses);
    if (rc < 0 || misses == 0) {
        sink->failed = sink->failed || rc < 0;
        return;
    }
    struct cost_line line = cost_line_of(context, TERM_MIGRATION, info->from_part, from->site);
    const int64_t *bytes = info->bytes[to->variant];
    struct egress_match there = context->matches[from->site * context->site_count + to->site];
    struct egress_match back = context->matches[to->site * context->site_count + from->site];
    line.link = info->link;
    line.peer_site = to->site;
    add_cold_waiting(context, line, link, to, misses, sink);
    add_cold_egress(context, line, link, from->site, there.sender_rule, bytes[0], misses, sink);
    add_cold_egress(context, line, link, to->site, there.receiver_rule, bytes[0], misses, sink);
    add_cold_egress(context, line, link, to->site, back.sender_rule, bytes[1], misses, sink);
    add_cold_egress(context, line, link, from->site, back.receiver_rule, bytes[1], misses, sink);
}

/* Of the calls that fill the cache, those that a warm one would have answered; of them, what this
 * link carries. */
int cost_cold_misses(const struct cost_context *context, int link, const struct cost_spot *from,
                     int64_t *ret_misses)
{
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *caller = &context->parts[info->from_part];
    int64_t warm = caller->what->warm_calls;
    int64_t rate = cost_family_calls_mhz(caller->family, from->sharers);
    unsigned __int128 product;
    *ret_misses = 0;
    if (warm == 0 || from->hit_ppm <= 0 || rate == 0 || !cost_is_fresh(context, from)) {
        return 0;
    }
    unsigned __int128 all = (unsigned __int128)PPM * (unsigned __int128)rate;
    if (__builtin_mul_overflow((unsigned __int128)warm * (unsigned __int128)from->hit_ppm,
                               (unsigned __int128)info->calls_mhz, &product) ||
        (product + all / 2) / all > INT64_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_misses = (int64_t)((product + all / 2) / all);
    return 0;
}

static void add_cold_waiting(const struct cost_context *context, struct cost_line line, int link,
                             const struct cost_spot *to, int64_t misses, struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    struct decimal weight = context->parts[info->to_part].weights->latency_usd_per_second;
    const char *note = "";
    __int128 time = cost_call_time(context, link, line.site, line.peer_site, to->variant, &note);
    unsigned __int128 quantity;
    nusd once;
    if (time <= 0) {
        return;
    }
    if (__builtin_mul_overflow((unsigned __int128)misses, (unsigned __int128)time, &quantity) ||
        money_of(weight, (uint64_t)(US_PER_S * MIB), quantity, &once) < 0 ||
        cost_once_score(context, info->from_part, once, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (sink->lines == NULL) {
        cost_sink_add(sink, &line);
        return;
    }
    char path[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    cost_line_text(sink, &line,
                   "cold cache: %" PRId64 " misses x %s%s x $%s per second of waiting, once",
                   misses, units_format_duration((int64_t)((time + MIB / 2) / MIB), path), note,
                   decimal_format(weight, price));
    cost_sink_add(sink, &line);
}

static void add_cold_egress(const struct cost_context *context, struct cost_line line, int link,
                            int payer, int rule_index, __int128 bytes, int64_t misses,
                            struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    __int128 all = bytes * misses;
    if (rule_index < 0 || all == 0) {
        return;
    }
    const struct egress_rule *rule = &context->world->egress[rule_index];
    int meter = cost_meter(context, info->app, payer, rule_index);
    struct decimal price = cost_meter_price(context, meter);
    if (all > INT64_MAX ||
        money_of(price, (uint64_t)rule->per_bytes, (unsigned __int128)all, &line.bill) < 0 ||
        cost_once_score(context, info->from_part, line.bill, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    if (sink->lines == NULL) {
        cost_sink_add(sink, &line);
        return;
    }
    char size[UNITS_TEXT_BYTES];
    char price_text[DECIMAL_TEXT_BYTES];
    cost_line_text(sink, &line,
                   "cold cache: %" PRId64 " misses, together %s x $%s per %s, once (%s)", misses,
                   units_format_bytes((int64_t)all, size), decimal_format(price, price_text),
                   rule->per_bytes == GIB ? "GiB" : "GB", context->meters[meter].name);
    cost_sink_add(sink, &line);
}

/* Rounded half up to whole bytes. */
static int monthly_bytes(const struct cost_link_info *link, int64_t travel_ppm, int64_t each,
                         int64_t *ret_bytes)
{
    unsigned __int128 bytes;
    unsigned __int128 calls = (unsigned __int128)link->calls_mhz * MHZ_TO_MONTHLY;
    if (__builtin_mul_overflow(calls * (unsigned __int128)travel_ppm, (unsigned __int128)each,
                               &bytes)) {
        return ERR_OVERFLOW;
    }
    bytes = bytes / (unsigned)PPM + (bytes % (unsigned)PPM >= (unsigned)PPM / 2 ? 1 : 0);
    if (bytes > INT64_MAX) {
        return ERR_OVERFLOW;
    }
    *ret_bytes = (int64_t)bytes;
    return 0;
}

static struct problem_use use_of(const struct cost_context *context, int app, int payer_site,
                                 int rule, int64_t bytes)
{
    if (rule < 0 || bytes == 0) {
        return (struct problem_use){-1, 0};
    }
    return (struct problem_use){cost_meter(context, app, payer_site, rule), bytes};
}
