/* The scores and uses of a link, cell by cell. */
#include "base/clock.h"
#include "model/cost_internal.h"

static void turn_to(struct cost_link_cells *cells, const struct cost_spot *from);
static void find_factor(struct cost_link_cells *cells);
static void find_reached(struct cost_link_cells *cells, const struct cost_spot *from);
static bool latency_of(const struct cost_link_cells *cells, int from_site,
                       const struct cost_spot *to, nusd *ret_score);

int cost_link_cells_begin(const struct cost_context *context, int link, struct arena *arena,
                          struct cost_link_cells *ret_cells)
{
    const struct cost_link_info *info = &context->links[link];
    const struct world *world = context->world;
    size_t spots = (size_t)context->parts[info->to_part].spot_count;
    *ret_cells = (struct cost_link_cells){
        .context = context,
        .info = info,
        .link = link,
        .meters = &context->meter_of[context->class_of[info->app] * world->account_count *
                                     world->egress_count],
        .travel_ppm = -1,
        .variant = -1,
    };
    if (info->what->on_miss) {
        ret_cells->reached = arena_array(arena, spots, sizeof(struct cost_reached));
        return ret_cells->reached == NULL ? ERR_NO_MEMORY : 0;
    }
    return 0;
}

int cost_link_cell(struct cost_link_cells *cells, const struct cost_spot *from,
                   const struct cost_spot *to, nusd *ret_score, bool *ret_failed,
                   struct problem_use uses[COST_LINK_USES], struct error *err)
{
    const struct cost_context *context = cells->context;
    const struct cost_way *way = &context->ways[from->site * context->site_count + to->site];
    struct cost_sink sink = {0};
    int used = 0;
    if (from != cells->from) {
        turn_to(cells, from);
    }
    *ret_score = 0;
    *ret_failed = false;
    if (cells->reached != NULL) {
        struct cost_reached reached =
            cells->reached[to - context->parts[cells->info->to_part].spots];
        *ret_score = reached.score;
        *ret_failed = reached.failed;
    }
    /* Within a site nobody waits. */
    if (from->site != to->site) {
        nusd latency = 0;
        if (!latency_of(cells, from->site, to, &latency)) {
            cost_terms_latency(context, cells->link, from, to, &sink);
        }
        if (cells->cold) {
            cost_terms_cold(context, cells->link, from, to, &sink);
        }
        *ret_failed = __builtin_add_overflow(*ret_score, latency, ret_score) || *ret_failed;
        *ret_failed = __builtin_add_overflow(*ret_score, sink.total.score, ret_score) ||
                      sink.failed || *ret_failed;
    }
    if (cells->variant != to->variant) {
        int rc = cost_link_monthly(context, cells->link, cells->travel_ppm, to->variant,
                                   cells->monthly, err);
        if (rc < 0) {
            return rc;
        }
        cells->variant = to->variant;
    }
    for (int i = 0; i < way->count; i++) {
        int64_t bytes = cells->monthly[way->use[i].response];
        if (bytes != 0) {
            uses[used++] = (struct problem_use){cells->meters[way->use[i].slot], bytes};
        }
    }
    for (; used < COST_LINK_USES; used++) {
        uses[used] = (struct problem_use){.meter = -1};
    }
    return 0;
}

/* To the cells of another choice of the caller; most have the same hits. */
static void turn_to(struct cost_link_cells *cells, const struct cost_spot *from)
{
    int64_t travel_ppm = cost_travel_ppm(cells->info, from);
    int64_t misses = 0;
    cells->from = from;
    cells->cold = cells->reached != NULL &&
                  (cost_cold_misses(cells->context, cells->link, from, &misses) < 0 || misses != 0);
    if (travel_ppm == cells->travel_ppm) {
        return;
    }
    cells->travel_ppm = travel_ppm;
    cells->variant = -1;
    find_factor(cells);
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

/* What cost_terms_latency scores. False: the long way. */
static bool latency_of(const struct cost_link_cells *cells, int from_site,
                       const struct cost_spot *to, nusd *ret_score)
{
    const char *note = "";
    if (cells->time_factor == 0) {
        return false;
    }
    __int128 time =
        cost_call_time(cells->context, cells->link, from_site, to->site, to->variant, &note);
    if (time < 0) {
        return true; /* nothing tells it */
    }
    if (time > cells->time_max) {
        return false;
    }
    unsigned __int128 product = (unsigned __int128)cells->time_factor * (uint64_t)time;
    uint64_t divisor = cells->time_divisor;
    unsigned __int128 quotient =
        product >> 64 == 0 ? (uint64_t)product / divisor : product / divisor;
    uint64_t remainder = (uint64_t)(product - quotient * divisor);
    uint64_t rest = divisor - remainder;
    quotient += remainder > rest || (remainder == rest && quotient % 2 != 0);
    *ret_score = (nusd)quotient;
    return true;
}
