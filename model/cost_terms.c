/* The terms: each one a ledger line with its bill, its score and the sum in words. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

#define BILLION INT64_C(1000000000)

/* A share of a whole: numerator / denominator. */
struct share {
    __int128 numerator;
    __int128 denominator;
};

static void add_compute(const struct cost_context *context, struct cost_line line, int part,
                        struct share billed, struct share reached, struct cost_sink *sink);
static __int128 compute_factor(int64_t overhead_ppm, struct share share);
static const char *compute_note(const struct cost_context *context, int part, int site,
                                struct share billed, struct share reached,
                                char out[LIMIT_NAME_BYTES * 2]);
static const char *share_text(struct share share, char out[UNITS_TEXT_BYTES]);
static void add_device_cpu(const struct cost_context *context, struct cost_line line, int part,
                           struct cost_sink *sink);
static void add_latency(const struct cost_context *context, const struct cost_link_info *link,
                        int from, int to, struct cost_sink *sink);
static void add_move_bytes(const struct cost_context *context, struct cost_line line, int part,
                           int payer_site, int rule_index, struct cost_sink *sink);
static void add_overlap(const struct cost_context *context, struct cost_line line, int part,
                        struct cost_sink *sink);
static void score_move(const struct cost_context *context, struct cost_line *line,
                       struct cost_sink *sink);
static int monthly_bytes(const struct cost_link_info *link, int64_t travel_ppm, int64_t each,
                         int64_t *ret_bytes);
static struct problem_use use_of(const struct cost_context *context, int payer_site, int rule,
                                 int64_t bytes);
static const char *amount_of(enum resource resource, int64_t quantity, char out[UNITS_TEXT_BYTES]);
static void set_text(const struct cost_sink *sink, struct cost_line *line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static const char *const resource_units[] = {"vCPU-hour", "GiB-hour"};
static const int64_t resource_per[] = {1000, INT64_C(1) << 30};

void cost_sink_add(struct cost_sink *sink, const struct cost_line *line)
{
    if (sink->lines != NULL) {
        sink->lines[sink->count] = *line;
    }
    sink->count++;
    sink->total.bill += line->bill;
    sink->total.score += line->score;
    sink->total.bill_term[line->term] += line->bill;
    sink->total.score_term[line->term] += line->score;
}

int64_t cost_travel_ppm(const struct cost_context *context, const struct cost_link_info *link,
                        int from)
{
    return link->what->on_miss ? PPM - context->parts[link->from_part].hit_ppm[from] : PPM;
}

int64_t cost_path_us(const struct cost_context *context, int from, int to, const char **ret_note)
{
    const struct world *world = context->world;
    bool measured;
    int64_t rtt_us = cost_rtt_us(context->input, from, to, &measured);
    int cell = from * world->site_count + to;
    *ret_note = measured                  ? " (measured)"
                : world->rtt_us[cell] < 0 ? " (estimated from distance)"
                                          : "";
    return rtt_us < 0 ? -1 : rtt_us + world->factor_us[cell];
}

void cost_terms_unary(const struct cost_context *context, int part, int site,
                      struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    struct cost_line line = {.app = info->app,
                             .workload = info->workload,
                             .link = -1,
                             .custom = -1,
                             .site = site,
                             .peer_site = -1};
    struct share whole = {1, 1};
    switch (context->world->sites[site].tier) {
    case TIER_CLIENT:
        line.term = TERM_DEVICE_CPU;
        add_device_cpu(context, line, part, sink);
        break;
    case TIER_EDGE:
        line.term = TERM_EDGE;
        add_compute(context, line, part, whole, whole, sink);
        break;
    default:
        line.term = TERM_DATACENTRE;
        if (info->all_weight > 0) {
            whole = (struct share){info->plain_weight, info->all_weight};
        }
        add_compute(context, line, part, whole, whole, sink);
        break;
    }
}

void cost_terms_link(const struct cost_context *context, int link, int from, int to,
                     struct cost_sink *sink)
{
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    if (info->what->on_miss && context->world->sites[to].tier == TIER_CLOUD) {
        struct cost_line line = {.term = TERM_DATACENTRE,
                                 .app = callee->app,
                                 .workload = callee->workload,
                                 .link = info->link,
                                 .custom = -1,
                                 .site = to,
                                 .peer_site = from};
        /* What is reserved is billed whether calls reach it or not; the links divide it. */
        struct share billed = {info->weight, callee->all_weight};
        struct share reached = {(__int128)info->weight * cost_travel_ppm(context, info, from),
                                (__int128)callee->all_weight * PPM};
        add_compute(context, line, info->to_part, billed, reached, sink);
    }
    if (from != to) {
        add_latency(context, info, from, to, sink);
    }
}

void cost_terms_migration(const struct cost_context *context, int part, int site,
                          struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    int from = info->state->now.site;
    if (from < 0 || from == site) {
        return;
    }
    struct cost_line line = {.term = TERM_MIGRATION,
                             .app = info->app,
                             .workload = info->workload,
                             .link = -1,
                             .custom = -1,
                             .site = site,
                             .peer_site = from};
    struct egress_match match = context->matches[from * context->site_count + site];
    add_move_bytes(context, line, part, from, match.sender_rule, sink);
    add_move_bytes(context, line, part, site, match.receiver_rule, sink);
    add_overlap(context, line, part, sink);
}

int cost_link_uses(const struct cost_context *context, int link, int from, int to,
                   struct problem_use uses[COST_LINK_USES], struct error *err)
{
    const struct cost_link_info *info = &context->links[link];
    int64_t travel = cost_travel_ppm(context, info, from);
    int64_t request = 0;
    int64_t response = 0;
    if (monthly_bytes(info, travel, info->request_bytes, &request) < 0 ||
        monthly_bytes(info, travel, info->response_bytes, &response) < 0) {
        const struct cost_part_info *callee = &context->parts[info->to_part];
        return error_set(err, ERR_OVERFLOW, 0,
                         "%s/%s/%s: a link to it carries more than 8 EiB per month; check its "
                         "calls and sizes",
                         callee->owner->namespace_, callee->owner->name, callee->what->name);
    }
    struct egress_match there = context->matches[from * context->site_count + to];
    struct egress_match back = context->matches[to * context->site_count + from];
    uses[0] = use_of(context, from, there.sender_rule, request);
    uses[1] = use_of(context, to, there.receiver_rule, request);
    uses[2] = use_of(context, to, back.sender_rule, response);
    uses[3] = use_of(context, from, back.receiver_rule, response);
    return 0;
}

/* Reserved CPU and memory for a month, a line each. Only the data centre carries the overhead of
 * what cannot be filled; only the edge's score is divided by the hit ratio. */
static void add_compute(const struct cost_context *context, struct cost_line line, int part,
                        struct share billed, struct share reached, struct cost_sink *sink)
{
    const struct site *site = &context->world->sites[line.site];
    const struct workload *what = context->parts[part].what;
    int64_t hit_ppm = context->parts[part].hit_ppm[line.site];
    int64_t floor_ppm = context->world->policy.hit_floor_ppm;
    int64_t divisor_ppm = line.term != TERM_EDGE || hit_ppm < 0 ? PPM
                          : hit_ppm > floor_ppm                 ? hit_ppm
                                                                : floor_ppm;
    int64_t overhead_ppm = line.term == TERM_DATACENTRE ? site->overhead_ppm : 0;
    unsigned __int128 bill_factor = (unsigned __int128)compute_factor(overhead_ppm, billed);
    unsigned __int128 score_factor = (unsigned __int128)compute_factor(overhead_ppm, reached);
    if (billed.numerator == 0) {
        return;
    }
    for (int resource = 0; resource < RESOURCE_COUNT; resource++) {
        struct decimal price = resource == RESOURCE_CPU ? site->cpu_price : site->memory_price;
        int64_t reserve = what->reserve[resource];
        unsigned __int128 hours =
            (unsigned __int128)reserve * (unsigned)what->replicas * HOURS_PER_MONTH;
        uint64_t per = (uint64_t)(resource_per[resource] * BILLION);
        unsigned __int128 quantity;
        nusd reached_bill;
        if (reserve == 0) {
            continue;
        }
        if (__builtin_mul_overflow(hours, bill_factor, &quantity) ||
            money_of(price, per, quantity, &line.bill) < 0 ||
            money_of(price, per, hours * score_factor, &reached_bill) < 0 ||
            money_scale(reached_bill, context->world->weights.compute_ppm, divisor_ppm,
                        &line.score) < 0) {
            sink->failed = true;
            continue;
        }
        char amount[UNITS_TEXT_BYTES];
        char price_text[DECIMAL_TEXT_BYTES];
        char note[LIMIT_NAME_BYTES * 2];
        set_text(sink, &line, "%d x %s x %d h x $%s per %s%s", what->replicas,
                 amount_of((enum resource)resource, reserve, amount), HOURS_PER_MONTH,
                 decimal_format(price, price_text), resource_units[resource],
                 compute_note(context, part, line.site, billed, reached, note));
        cost_sink_add(sink, &line);
    }
}

/* What multiplies a reservation beside its price, in words. */
/* (1 + overhead) x share, in billionths. */
static __int128 compute_factor(int64_t overhead_ppm, struct share share)
{
    return (((__int128)PPM + overhead_ppm) * 1000 * share.numerator + share.denominator / 2) /
           share.denominator;
}

static const char *compute_note(const struct cost_context *context, int part, int site,
                                struct share billed, struct share reached,
                                char out[LIMIT_NAME_BYTES * 2])
{
    const struct site *where = &context->world->sites[site];
    int64_t hit_ppm = context->parts[part].hit_ppm[site];
    char overhead[UNITS_TEXT_BYTES];
    char part_text[UNITS_TEXT_BYTES];
    char reached_text[UNITS_TEXT_BYTES];
    out[0] = '\0';
    if (where->tier == TIER_EDGE && hit_ppm >= 0) {
        str_format(out, LIMIT_NAME_BYTES * 2, "; score / hit ratio %s",
                   units_format_ratio(hit_ppm, part_text));
    } else if (where->tier == TIER_CLOUD) {
        bool whole = billed.numerator == billed.denominator;
        bool all = reached.numerator * billed.denominator == billed.numerator * reached.denominator;
        str_format(out, LIMIT_NAME_BYTES * 2, ", + %s overhead%s%s%s%s",
                   units_format_ratio(where->overhead_ppm, overhead),
                   whole ? "" : ", for its share ", whole ? "" : share_text(billed, part_text),
                   all ? "" : "; score x calls ", all ? "" : share_text(reached, reached_text));
    }
    return out;
}

static const char *share_text(struct share share, char out[UNITS_TEXT_BYTES])
{
    return units_format_ratio((int64_t)(share.numerator * PPM / share.denominator), out);
}

static void add_device_cpu(const struct cost_context *context, struct cost_line line, int part,
                           struct cost_sink *sink)
{
    const struct cost_part_info *info = &context->parts[part];
    int64_t cpu_ns = info->cpu_ns[line.site];
    struct decimal weight = context->world->weights.device_cpu_usd_per_second;
    unsigned __int128 quantity;
    if (cpu_ns == 0 || info->calls_mhz == 0) {
        return;
    }
    if (__builtin_mul_overflow((unsigned __int128)info->calls_mhz * MHZ_TO_MONTHLY,
                               (unsigned __int128)cpu_ns, &quantity) ||
        money_of(weight, (uint64_t)BILLION, quantity, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    char rate[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    set_text(sink, &line, "%s x %" PRId64 " ns x $%s per CPU second on the device",
             units_format_rate(info->calls_mhz, rate), cpu_ns, decimal_format(weight, price));
    cost_sink_add(sink, &line);
}

static void add_latency(const struct cost_context *context, const struct cost_link_info *link,
                        int from, int to, struct cost_sink *sink)
{
    const struct cost_part_info *callee = &context->parts[link->to_part];
    struct decimal weight = context->world->weights.latency_usd_per_second;
    const char *note = "";
    int64_t path_us = cost_path_us(context, from, to, &note);
    int64_t travel = cost_travel_ppm(context, link, from);
    struct cost_line line = {.term = TERM_LATENCY,
                             .app = callee->app,
                             .workload = callee->workload,
                             .link = link->link,
                             .custom = -1,
                             .site = to,
                             .peer_site = from};
    unsigned __int128 quantity;
    if (path_us < 0 || link->calls_mhz == 0 || travel == 0) {
        return;
    }
    if (__builtin_mul_overflow((unsigned __int128)link->calls_mhz * MHZ_TO_MONTHLY,
                               (unsigned __int128)path_us, &quantity) ||
        __builtin_mul_overflow(quantity, (unsigned __int128)travel, &quantity) ||
        money_of(weight, (uint64_t)(US_PER_S * PPM), quantity, &line.score) < 0) {
        sink->failed = true;
        return;
    }
    char rate[UNITS_TEXT_BYTES];
    char path[UNITS_TEXT_BYTES];
    char miss[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    set_text(sink, &line, "%s%s%s x %s%s x $%s per second of waiting",
             units_format_rate(link->calls_mhz, rate), link->what->on_miss ? " x misses " : "",
             link->what->on_miss ? units_format_ratio(travel, miss) : "",
             units_format_duration(path_us, path), note, decimal_format(weight, price));
    cost_sink_add(sink, &line);
}

/* State and artifact once, at the price of the tier that the month has reached. */
static void add_move_bytes(const struct cost_context *context, struct cost_line line, int part,
                           int payer_site, int rule_index, struct cost_sink *sink)
{
    const struct workload *what = context->parts[part].what;
    unsigned __int128 bytes =
        (unsigned __int128)what->state_bytes + (unsigned __int128)what->artifact_bytes;
    if (rule_index < 0 || bytes == 0) {
        return;
    }
    const struct egress_rule *rule = &context->world->egress[rule_index];
    int tier = 0;
    while (tier < rule->tier_count - 1 &&
           rule->tiers[tier].up_to_bytes <= rule->month_to_date_bytes) {
        tier++;
    }
    int account = context->world->sites[payer_site].account;
    if (bytes > INT64_MAX ||
        money_of(rule->tiers[tier].price, (uint64_t)rule->per_bytes, bytes, &line.bill) < 0) {
        sink->failed = true;
        return;
    }
    char size[UNITS_TEXT_BYTES];
    char price[DECIMAL_TEXT_BYTES];
    set_text(sink, &line, "state and artifact %s x $%s per %s, once (%s %s)",
             units_format_bytes((int64_t)bytes, size),
             decimal_format(rule->tiers[tier].price, price),
             rule->per_bytes == INT64_C(1) << 30 ? "GiB" : "GB",
             context->world->accounts[account].name, rule->name);
    score_move(context, &line, sink);
}

/* The old copy runs on at its site until the new one has been healthy long enough: at most as long
 * as starting, draining and the minimum healthy time may take. */
static void add_overlap(const struct cost_context *context, struct cost_line line, int part,
                        struct cost_sink *sink)
{
    const struct workload *what = context->parts[part].what;
    const struct site *old = &context->world->sites[line.peer_site];
    __int128 overlap_us = (__int128)what->start_timeout_us + what->drain_timeout_us +
                          context->world->policy.healthy_min_us;
    __int128 overlap_s = (overlap_us + US_PER_S - 1) / US_PER_S;
    int64_t overhead_ppm = old->tier == TIER_CLOUD ? old->overhead_ppm : 0;
    for (int resource = 0; resource < RESOURCE_COUNT && old->tier != TIER_CLIENT; resource++) {
        struct decimal price = resource == RESOURCE_CPU ? old->cpu_price : old->memory_price;
        int64_t reserve = what->reserve[resource];
        unsigned __int128 quantity;
        if (reserve == 0) {
            continue;
        }
        if (__builtin_mul_overflow((unsigned __int128)reserve * (unsigned)what->replicas *
                                       (unsigned __int128)(PPM + overhead_ppm),
                                   (unsigned __int128)overlap_s, &quantity) ||
            money_of(price, (uint64_t)(resource_per[resource] * 3600 * PPM), quantity, &line.bill) <
                0) {
            sink->failed = true;
            continue;
        }
        char amount[UNITS_TEXT_BYTES];
        char price_text[DECIMAL_TEXT_BYTES];
        set_text(sink, &line, "both copies for up to %" PRId64 " s: %d x %s x $%s per %s, once",
                 (int64_t)overlap_s, what->replicas,
                 amount_of((enum resource)resource, reserve, amount),
                 decimal_format(price, price_text), resource_units[resource]);
        score_move(context, &line, sink);
    }
}

/* A one-off amount counts in the monthly score as often as the horizon fits into a month. */
static void score_move(const struct cost_context *context, struct cost_line *line,
                       struct cost_sink *sink)
{
    const struct world *world = context->world;
    nusd monthly;
    if (money_scale(line->bill, MONTH_S * US_PER_S, world->policy.horizon_us, &monthly) < 0 ||
        money_scale(monthly, world->weights.migration_ppm, PPM, &line->score) < 0) {
        sink->failed = true;
        return;
    }
    cost_sink_add(sink, line);
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

static struct problem_use use_of(const struct cost_context *context, int payer_site, int rule,
                                 int64_t bytes)
{
    if (rule < 0 || bytes == 0) {
        return (struct problem_use){-1, 0};
    }
    const struct world *world = context->world;
    int account = world->sites[payer_site].account;
    return (struct problem_use){context->meter_of[account * world->egress_count + rule], bytes};
}

static const char *amount_of(enum resource resource, int64_t quantity, char out[UNITS_TEXT_BYTES])
{
    if (resource == RESOURCE_MEMORY) {
        return units_format_bytes(quantity, out);
    }
    char number[DECIMAL_TEXT_BYTES];
    str_format(out, UNITS_TEXT_BYTES, "%s vCPU",
               decimal_format((struct decimal){quantity, 3}, number));
    return out;
}

/* Words only where they are kept. A sentence that is too long ends early. */
static void set_text(const struct cost_sink *sink, struct cost_line *line, const char *format, ...)
{
    if (sink->lines == NULL) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line->text, sizeof(line->text), format, arguments);
    va_end(arguments);
}
