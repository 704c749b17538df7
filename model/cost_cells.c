/* The scores and uses of a link, cell by cell. */
#include "base/clock.h"
#include "model/cost_internal.h"

static void turn_to(struct cost_link_cells *cells, const struct cost_spot *from);
static void find_factor(struct cost_link_cells *cells);
static void find_carried(struct cost_link_cells *cells);
static void find_reached(struct cost_link_cells *cells, const struct cost_spot *from);
static bool score_of(const struct cost_link_cells *cells, const struct cost_spot *from,
                     const struct cost_spot *to, nusd *ret_score);
static bool waiting_of(const struct cost_link_cells *cells, const struct cost_spot *from,
                       const struct cost_spot *to, nusd *ret_score);
static bool latency_of(const struct cost_link_cells *cells, int pair, int variant, nusd *ret_score);
static nusd divide(unsigned __int128 product, uint64_t divisor);

void cost_link_cells_begin(const struct cost_context *context, int link,
                           struct cost_reached *reached, struct cost_link_cells *ret_cells)
{
    const struct cost_link_info *info = &context->links[link];
    const struct world *world = context->world;
    *ret_cells = (struct cost_link_cells){
        .context = context,
        .info = info,
        .link = link,
        .meters = &context->meter_of[context->class_of[info->app] * world->account_count *
                                     world->egress_count],
        .travel_ppm = -1,
        .reached = info->what->on_miss ? reached : NULL,
    };
}

int cost_link_row(struct cost_link_cells *cells, const struct cost_spot *from,
                  const struct cost_spot *to, int count, struct cost_row *row, struct error *err)
{
    const struct cost_context *context = cells->context;
    const struct cost_way *ways = &context->ways[from->site * context->site_count];
    struct problem_use *use = row->use;
    turn_to(cells, from);
    for (int i = 0; i < count; i++, use += row->slots) {
        const struct cost_way *way = &ways[to[i].site];
        const struct cost_carried *carried = &cells->carried[to[i].variant];
        nusd score = 0;
        int used = 0;
        if (!score_of(cells, from, &to[i], &score) || money_to_i64(score, &row->cost[i]) < 0) {
            return cost_score_fails(context, cells->info->to_part, err);
        }
        if (carried->monthly[0] < 0) {
            int64_t monthly[2];
            return cost_link_monthly(context, cells->link, cells->travel_ppm, to[i].variant,
                                     monthly, err);
        }
        for (int k = 0; k < way->count; k++) {
            int64_t bytes = carried->monthly[way->use[k].response];
            if (bytes != 0) {
                use[used++] = (struct problem_use){cells->meters[way->use[k].slot], bytes};
            }
        }
        row->most = used > row->most ? used : row->most;
        for (; used < row->slots; used++) {
            use[used] = (struct problem_use){.meter = -1};
        }
    }
    return 0;
}

/* False: it does not fit. */
static bool score_of(const struct cost_link_cells *cells, const struct cost_spot *from,
                     const struct cost_spot *to, nusd *ret_score)
{
    const struct cost_context *context = cells->context;
    nusd waiting = 0;
    bool fits = true;
    *ret_score = 0;
    if (cells->reached != NULL) {
        const struct cost_part_info *callee = &context->parts[cells->info->to_part];
        const struct cost_reached *reached = &cells->reached[to - callee->spots];
        *ret_score = reached->score;
        fits = !reached->failed;
    }
    if (from->site == to->site) { /* within a site nobody waits */
        return fits;
    }
    if (cells->cold ||
        !latency_of(cells, from->site * context->site_count + to->site, to->variant, &waiting)) {
        fits = waiting_of(cells, from, to, &waiting) && fits;
    }
    return !__builtin_add_overflow(*ret_score, waiting, ret_score) && fits;
}

/* The long way: latency, and the misses of a cold cache. */
static bool waiting_of(const struct cost_link_cells *cells, const struct cost_spot *from,
                       const struct cost_spot *to, nusd *ret_score)
{
    struct cost_sink sink = {0};
    cost_terms_latency(cells->context, cells->link, from, to, &sink);
    if (cells->cold) {
        cost_terms_cold(cells->context, cells->link, from, to, &sink);
    }
    *ret_score = sink.total.score;
    return !sink.failed;
}

/* To the cells of another choice of the caller; most have the same hits. */
static void turn_to(struct cost_link_cells *cells, const struct cost_spot *from)
{
    int64_t travel_ppm = cost_travel_ppm(cells->info, from);
    int64_t misses = 0;
    cells->cold = cells->reached != NULL &&
                  (cost_cold_misses(cells->context, cells->link, from, &misses) < 0 || misses != 0);
    if (travel_ppm == cells->travel_ppm) {
        return;
    }
    cells->travel_ppm = travel_ppm;
    find_factor(cells);
    find_carried(cells);
    if (cells->reached != NULL) {
        find_reached(cells, from);
    }
}

/* k x time / d in lowest terms, where d = 10^6 x 10^6 x 2^20 is of the primes 2 and 5 only. */
static void find_factor(struct cost_link_cells *cells)
{
    const struct cost_link_info *info = cells->info;
    struct decimal weight = cells->context->parts[info->to_part].weights->latency_usd_per_second;
    uint64_t divisor = (uint64_t)(US_PER_S * PPM * MIB);
    unsigned __int128 rate = 0;
    unsigned __int128 factor = 0;
    cells->time_factor = 0;
    if (weight.coefficient <= 0 || weight.scale > 9 || info->calls_mhz <= 0 ||
        info->calls_mhz > INT64_MAX / MHZ_TO_MONTHLY || cells->travel_ppm == 0) {
        return;
    }
    rate = (unsigned __int128)(info->calls_mhz * MHZ_TO_MONTHLY) *
           (unsigned __int128)cells->travel_ppm;
    if (__builtin_mul_overflow(rate, (unsigned __int128)weight.coefficient, &factor)) {
        return;
    }
    for (int scale = weight.scale; scale < 9; scale++) {
        if (__builtin_mul_overflow(factor, 10U, &factor)) {
            return;
        }
    }
    while (factor % 2 == 0 && divisor % 2 == 0) {
        factor /= 2;
        divisor /= 2;
    }
    while (factor % 5 == 0 && divisor % 5 == 0) {
        factor /= 5;
        divisor /= 5;
    }
    if (factor <= UINT64_MAX) {
        unsigned __int128 most = ~(unsigned __int128)0 / rate;
        cells->time_factor = (uint64_t)factor;
        cells->time_divisor = divisor;
        cells->time_max = most > INT64_MAX ? INT64_MAX : (int64_t)most;
    }
}

/* What the callee's compute scores for this link; where the caller is does not matter, only how
 * many of its calls go on. */
static void find_reached(struct cost_link_cells *cells, const struct cost_spot *from)
{
    const struct cost_context *context = cells->context;
    const struct cost_part_info *callee = &context->parts[cells->info->to_part];
    for (int i = 0; i < callee->spot_count; i++) {
        struct cost_sink sink = {0};
        if (context->world->sites[callee->spots[i].site].tier == TIER_CLOUD) {
            cost_terms_reached(context, cells->link, from, &callee->spots[i], &sink);
        }
        cells->reached[i] = (struct cost_reached){sink.total.score, sink.failed};
    }
}

static void find_carried(struct cost_link_cells *cells)
{
    const struct cost_context *context = cells->context;
    const struct cost_link_info *info = cells->info;
    int variants = cost_variants(context->parts[info->to_part].what);
    for (int variant = 0; variant < variants; variant++) {
        struct cost_carried *carried = &cells->carried[variant];
        if (__builtin_add_overflow(info->bytes[variant][0], info->bytes[variant][1],
                                   &carried->call)) {
            carried->call = -1;
        }
        if (cost_link_monthly(context, cells->link, cells->travel_ppm, variant, carried->monthly,
                              NULL) < 0) {
            carried->monthly[0] = -1;
        }
    }
}

/* What cost_terms_latency scores. False: the long way. */
static bool latency_of(const struct cost_link_cells *cells, int pair, int variant, nusd *ret_score)
{
    const struct world *world = cells->context->world;
    int64_t rtt_us = cells->context->rtt_us[pair];
    int64_t call = cells->carried[variant].call;
    int64_t path;
    int64_t carry;
    int64_t time;
    if (cells->time_factor == 0 || call < 0) {
        return false;
    }
    if (rtt_us < 0 || rtt_us + world->factor_us[pair] < 0) {
        return true; /* nothing tells it */
    }
    if (__builtin_mul_overflow(rtt_us + world->factor_us[pair], MIB, &path) ||
        __builtin_mul_overflow(world->us_per_mib[pair], call, &carry) ||
        __builtin_add_overflow(path, carry, &time) || time > cells->time_max) {
        return false;
    }
    *ret_score =
        divide((unsigned __int128)cells->time_factor * (uint64_t)time, cells->time_divisor);
    return true;
}

/* Half to even. */
static nusd divide(unsigned __int128 product, uint64_t divisor)
{
    unsigned __int128 quotient =
        product >> 64 == 0 ? (uint64_t)product / divisor : product / divisor;
    uint64_t remainder = (uint64_t)(product - quotient * divisor);
    uint64_t rest = divisor - remainder;
    quotient += remainder > rest || (remainder == rest && quotient % 2 != 0);
    return (nusd)quotient;
}
