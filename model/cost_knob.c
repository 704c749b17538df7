#include "model/cost_knob.h"

#include "base/str.h"
#include "model/app.h"

#define SIGNIFICANT INT64_C(1000000) /* a price is turned in steps of at most 1e-6 of it */
#define PRICE_MAX   INT64_C(1000000000000)

static void add(struct cost_knobs *knobs, struct cost_knob knob);
static bool same(const struct cost_knob *a, const struct cost_knob *b);
static int find_estimate(const struct cost_slice *slice, const struct cost_knob *knob);
static int find_rtt(const struct cost_slice *slice, int from, int to);
static bool is_of(const struct cost_slice *slice, const struct estimate *estimate,
                  const struct cost_knob *knob);
static int64_t apart_from_present(const struct cost_slice *slice, const struct estimate *old);
static bool is_later(const struct estimate *candidate, const struct estimate *best);
static enum estimate_kind estimate_kind_of(enum cost_knob_kind kind);
static int64_t prior_of(const struct cost_slice *slice, const struct cost_knob *knob);
static void add_price(struct cost_knobs *knobs, struct cost_knob knob, struct decimal price);
static struct decimal *price_of(struct site *site, enum cost_knob_kind kind);
static struct decimal *weight_of(struct weights *weights, enum cost_knob_kind kind);
static void turn_calls(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static void turn_hit(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static void turn_variants(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static void turn_bytes(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static void turn_rtt(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static void turn_egress(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);
static int64_t in_proportion(int64_t amount, int64_t value, int64_t present);
static struct decimal price_in_proportion(struct decimal price, int64_t value, int64_t present);

int cost_knobs_begin(struct cost_knobs *knobs, int capacity, struct arena *arena)
{
    *knobs = (struct cost_knobs){arena_array(arena, (size_t)capacity + 1, sizeof(struct cost_knob)),
                                 0, capacity};
    return knobs->list == NULL ? ERR_NO_MEMORY : 0;
}

void cost_knob_workload(const struct cost_slice *slice, struct cost_knobs *knobs,
                        enum cost_knob_kind kind, int app, int workload, struct placement at)
{
    struct cost_knob knob = {.kind = kind,
                             .app = app,
                             .workload = workload,
                             .link = -1,
                             .variant = at.variant,
                             .site = at.site,
                             .peer = -1,
                             .rule = -1,
                             .estimate = -1};
    const struct workload *what = &slice->apps[app].workloads[workload];
    bool measured = false;
    if (kind == KNOB_HIT && what->hit_ppm < 0 && what->curve_count == 0) {
        return;
    }
    for (int i = 0; i < slice->input.estimates.count && at.site < 0; i++) {
        if (is_of(slice, &slice->values[i], &knob)) {
            knob.estimate = i;
            knob.present = slice->values[i].value;
            add(knobs, knob);
            measured = true;
        }
    }
    if (measured) {
        return;
    }
    knob.estimate = at.site < 0 ? -1 : find_estimate(slice, &knob);
    knob.present = knob.estimate < 0 ? prior_of(slice, &knob) : slice->values[knob.estimate].value;
    add(knobs, knob);
}

void cost_knob_bytes(const struct cost_slice *slice, struct cost_knobs *knobs,
                     enum cost_knob_kind kind, int app, int link, struct placement at)
{
    const struct link *what = &slice->apps[app].links[link];
    const struct workload *callee = &slice->apps[app].workloads[what->to];
    int64_t own = at.variant >= callee->variant_count ? -1
                  : kind == KNOB_REQUEST              ? callee->variants[at.variant].request_bytes
                                                      : callee->variants[at.variant].response_bytes;
    struct cost_knob any = {.kind = kind, .app = app, .workload = what->to, .site = at.site};
    if (own >= 0 || find_estimate(slice, &any) >= 0) {
        cost_knob_workload(slice, knobs, kind, app, what->to, at);
        return;
    }
    add(knobs, (struct cost_knob){.kind = kind,
                                  .app = app,
                                  .workload = what->to,
                                  .link = link,
                                  .variant = at.variant,
                                  .site = at.site,
                                  .peer = -1,
                                  .rule = -1,
                                  .estimate = -1,
                                  .present = kind == KNOB_REQUEST ? what->request_bytes
                                                                  : what->response_bytes});
}

void cost_knob_rtt(const struct cost_slice *slice, struct cost_knobs *knobs, int from, int to)
{
    bool measured = false;
    struct cost_knob knob = {.kind = KNOB_RTT,
                             .app = -1,
                             .workload = -1,
                             .link = -1,
                             .site = from < to ? from : to,
                             .peer = from < to ? to : from,
                             .rule = -1,
                             .estimate = -1};
    if (from == to) {
        return;
    }
    knob.present = cost_rtt_us(&slice->input, knob.site, knob.peer, &measured);
    if (measured) {
        knob.estimate = find_rtt(slice, from, to);
    }
    add(knobs, knob);
}

void cost_knob_price(const struct cost_slice *slice, struct cost_knobs *knobs,
                     enum cost_knob_kind kind, int site)
{
    struct site prices = slice->world.sites[site];
    add_price(knobs, (struct cost_knob){.kind = kind, .site = site, .app = -1, .rule = -1},
              *price_of(&prices, kind));
}

void cost_knob_egress(const struct cost_slice *slice, struct cost_knobs *knobs, int rule)
{
    add_price(knobs, (struct cost_knob){.kind = KNOB_EGRESS, .rule = rule, .app = -1, .site = -1},
              slice->world.egress[rule].tiers[0].price);
}

void cost_knob_weight(const struct cost_slice *slice, struct cost_knobs *knobs,
                      enum cost_knob_kind kind, int app)
{
    struct weights weights = app_weights(&slice->apps[app], &slice->world);
    add_price(knobs, (struct cost_knob){.kind = kind, .app = app, .rule = -1, .site = -1},
              *weight_of(&weights, kind));
}

void cost_knob_turn(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    switch (knob->kind) {
    case KNOB_CALLS:
        turn_calls(slice, knob, value);
        break;
    case KNOB_HIT:
        turn_hit(slice, knob, value);
        break;
    case KNOB_CPU:
        turn_variants(slice, knob, value);
        break;
    case KNOB_REQUEST:
    case KNOB_RESPONSE:
        turn_bytes(slice, knob, value);
        break;
    case KNOB_RTT:
        turn_rtt(slice, knob, value);
        break;
    case KNOB_EGRESS:
        turn_egress(slice, knob, value);
        break;
    case KNOB_LATENCY_WEIGHT:
    case KNOB_DEVICE_WEIGHT: {
        struct app *app = &slice->apps[knob->app];
        struct decimal weight = {value, knob->scale};
        /* Where the app states none, the world's holds: both are set, a slice has one question. */
        *weight_of(&app->weights, knob->kind) = weight;
        *weight_of(&slice->world.weights, knob->kind) = weight;
        break;
    }
    default:
        *price_of(&slice->world.sites[knob->site], knob->kind) =
            (struct decimal){value, knob->scale};
        break;
    }
    if (knob->estimate >= 0) {
        slice->values[knob->estimate].value = value;
    }
}

int64_t cost_knob_error(const struct cost_slice *slice, const struct cost_knob *knob)
{
    const struct policy *policy = &slice->world.policy;
    int64_t prior = in_proportion(knob->present, policy->prior_error_ppm, PPM);
    if (knob->kind > KNOB_RTT) {
        return 0; /* prices and weights are what they are */
    }
    if (knob->estimate < 0) {
        int cell = knob->kind == KNOB_RTT ? knob->site * slice->world.site_count + knob->peer : 0;
        bool declared = knob->kind == KNOB_RTT && !slice->world.latency_measured &&
                        slice->world.rtt_us[cell] >= 0;
        return declared ? 0 : prior;
    }
    const struct estimate *estimate = &slice->values[knob->estimate];
    bool old = slice->input.now_us - estimate->at_us > policy->metric_age_max_us;
    bool brief = estimate->spread == 0 && estimate->observed_us > 0 &&
                 estimate->observed_us < policy->prior_weight_us;
    if (knob->kind == KNOB_HIT && old && !brief) {
        int64_t apart = apart_from_present(slice, estimate);
        prior = apart >= 0 && apart < prior ? apart : prior;
    }
    return (old || brief) && prior > estimate->spread ? prior : estimate->spread;
}

/* Of a hit ratio that was measured where the workload is no more: how far it is from what is
 * measured now, where it is; -1: nothing is. Who asks for what goes along with it: while the two
 * agree, the old one may be trusted, and a workload that left for a night comes back. */
static int64_t apart_from_present(const struct cost_slice *slice, const struct estimate *old)
{
    int64_t apart = -1;
    int64_t at_us = slice->input.now_us - slice->world.policy.metric_age_max_us;
    for (int i = 0; i < slice->input.estimates.count; i++) {
        const struct estimate *now = &slice->values[i];
        if (now->kind == old->kind && now->at_us >= at_us &&
            str_equal(now->workload, old->workload) && str_equal(now->app, old->app) &&
            str_equal(now->namespace_, old->namespace_)) {
            at_us = now->at_us;
            apart = now->value > old->value ? now->value - old->value : old->value - now->value;
        }
    }
    return apart;
}

static void add(struct cost_knobs *knobs, struct cost_knob knob)
{
    if (knob.present < 0 || (knob.present == 0 && knob.kind != KNOB_HIT)) {
        return; /* nothing of it, nothing to turn */
    }
    for (int i = 0; i < knobs->count; i++) {
        if (same(&knobs->list[i], &knob)) {
            return;
        }
    }
    if (knobs->count < knobs->capacity) {
        knobs->list[knobs->count++] = knob;
    }
}

/* What one estimate is behind is one input, wherever it is used. */
static bool same(const struct cost_knob *a, const struct cost_knob *b)
{
    if (a->estimate >= 0 || b->estimate >= 0) {
        return a->estimate == b->estimate;
    }
    bool places = a->kind == KNOB_RTT || a->kind >= KNOB_CPU_PRICE;
    return a->kind == b->kind && a->app == b->app && a->rule == b->rule &&
           (places ? a->site == b->site && a->peer == b->peer
                   : a->workload == b->workload && a->link == b->link);
}

/* The estimate that the model uses for the workload at the knob's site: one from there, else the
 * latest from anywhere. */
static int find_estimate(const struct cost_slice *slice, const struct cost_knob *knob)
{
    int here = -1;
    int anywhere = -1;
    const char *site = knob->site < 0 ? "" : slice->world.sites[knob->site].name;
    for (int i = 0; i < slice->input.estimates.count; i++) {
        const struct estimate *estimate = &slice->values[i];
        if (!is_of(slice, estimate, knob)) {
            continue;
        }
        if (str_equal(estimate->site, site) &&
            is_later(estimate, here < 0 ? NULL : &slice->values[here])) {
            here = i;
        }
        if (is_later(estimate, anywhere < 0 ? NULL : &slice->values[anywhere])) {
            anywhere = i;
        }
    }
    return here >= 0 ? here : anywhere;
}

static int find_rtt(const struct cost_slice *slice, int from, int to)
{
    const char *a = slice->world.sites[from].name;
    const char *b = slice->world.sites[to].name;
    int best = -1;
    for (int i = 0; i < slice->input.estimates.count; i++) {
        const struct estimate *estimate = &slice->values[i];
        bool between = (str_equal(estimate->site, a) && str_equal(estimate->peer, b)) ||
                       (str_equal(estimate->site, b) && str_equal(estimate->peer, a));
        if (estimate->kind == ESTIMATE_RTT_US && estimate->value >= 0 && between &&
            is_later(estimate, best < 0 ? NULL : &slice->values[best])) {
            best = i;
        }
    }
    return best;
}

static bool is_of(const struct cost_slice *slice, const struct estimate *estimate,
                  const struct cost_knob *knob)
{
    const struct app *app = &slice->apps[knob->app];
    return estimate->kind == estimate_kind_of(knob->kind) && estimate->value >= 0 &&
           str_equal(estimate->workload, app->workloads[knob->workload].name) &&
           str_equal(estimate->app, app->name) && str_equal(estimate->namespace_, app->namespace_);
}

static bool is_later(const struct estimate *candidate, const struct estimate *best)
{
    return best == NULL || candidate->at_us > best->at_us ||
           (candidate->at_us == best->at_us && candidate->value > best->value);
}

static enum estimate_kind estimate_kind_of(enum cost_knob_kind kind)
{
    static const enum estimate_kind kinds[] = {
        [KNOB_CALLS] = ESTIMATE_CALLS_MHZ,
        [KNOB_HIT] = ESTIMATE_HIT_PPM,
        [KNOB_CPU] = ESTIMATE_CPU_NS,
        [KNOB_REQUEST] = ESTIMATE_REQUEST_BYTES,
        [KNOB_RESPONSE] = ESTIMATE_RESPONSE_BYTES,
        [KNOB_RTT] = ESTIMATE_RTT_US,
    };
    BERTH_ASSERT(kind <= KNOB_RTT, "kind %d", (int)kind);
    return kinds[kind];
}

static int64_t prior_of(const struct cost_slice *slice, const struct cost_knob *knob)
{
    const struct app *app = &slice->apps[knob->app];
    const struct workload *what = &app->workloads[knob->workload];
    const struct variant *variant =
        knob->variant < what->variant_count ? &what->variants[knob->variant] : NULL;
    bool measured;
    switch (knob->kind) {
    case KNOB_CALLS:
        return cost_prior_calls_mhz(app, knob->workload);
    case KNOB_HIT:
        return cost_hit_ppm(&slice->input, knob->app, knob->workload,
                            knob->site < 0 ? 0 : knob->site, &measured);
    case KNOB_CPU:
        return variant == NULL ? 0 : variant->cpu_ns_per_call;
    case KNOB_REQUEST:
        return variant == NULL ? -1 : variant->request_bytes;
    default:
        return variant == NULL ? -1 : variant->response_bytes;
    }
}

/* With as many decimals as turning it finely takes. */
static void add_price(struct cost_knobs *knobs, struct cost_knob knob, struct decimal price)
{
    knob.workload = -1;
    knob.link = -1;
    knob.peer = -1;
    knob.estimate = -1;
    while (price.coefficient > 0 && price.coefficient < SIGNIFICANT &&
           price.scale < DECIMAL_SCALE_MAX) {
        price.coefficient *= 10;
        price.scale++;
    }
    /* What is so large that a hundredfold would not fit is not turned. */
    knob.present = price.coefficient < PRICE_MAX ? price.coefficient : 0;
    knob.scale = price.scale;
    add(knobs, knob);
}

static struct decimal *price_of(struct site *site, enum cost_knob_kind kind)
{
    return kind == KNOB_CPU_PRICE      ? &site->cpu_price
           : kind == KNOB_MEMORY_PRICE ? &site->memory_price
                                       : &site->storage_price;
}

static struct decimal *weight_of(struct weights *weights, enum cost_knob_kind kind)
{
    return kind == KNOB_LATENCY_WEIGHT ? &weights->latency_usd_per_second
                                       : &weights->device_cpu_usd_per_second;
}

/* The prior: what the workload states, what its links bring, and, as they are part of its calls,
 * what its misses bring to others. */
static void turn_calls(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    struct app *app = &slice->apps[knob->app];
    const struct app *whole = slice->whole->apps[slice->app_whole[knob->app]].app;
    if (knob->estimate >= 0 && slice->values[knob->estimate].observed_us <= 0) {
        return; /* else the prior is part of what is used, and turns along */
    }
    app->workloads[knob->workload].calls_mhz =
        in_proportion(whole->workloads[knob->workload].calls_mhz, value, knob->present);
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &whole->links[i];
        bool miss =
            link->from_kind == LINK_WORKLOAD && link->from == knob->workload && link->on_miss;
        if (link->to == knob->workload || miss) {
            app->links[i].calls_mhz = in_proportion(link->calls_mhz, value, knob->present);
        }
    }
}

static void turn_hit(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    const struct workload *whole =
        &slice->whole->apps[slice->app_whole[knob->app]].app->workloads[knob->workload];
    struct workload *what = &slice->apps[knob->app].workloads[knob->workload];
    if (knob->estimate >= 0) {
        return;
    }
    if (whole->curve_count == 0) {
        what->hit_ppm = value;
    }
    for (int i = 0; i < whole->curve_count; i++) {
        int64_t hit = knob->present == 0
                          ? value
                          : in_proportion(whole->curve[i].hit_ppm, value, knob->present);
        what->curve[i].hit_ppm = hit > PPM ? PPM : hit;
    }
}

/* CPU time: every variant's in proportion. */
static void turn_variants(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    const struct workload *whole =
        &slice->whole->apps[slice->app_whole[knob->app]].app->workloads[knob->workload];
    struct workload *what = &slice->apps[knob->app].workloads[knob->workload];
    for (int i = 0; i < what->variant_count && knob->estimate < 0; i++) {
        what->variants[i].cpu_ns_per_call =
            in_proportion(whole->variants[i].cpu_ns_per_call, value, knob->present);
    }
}

static void turn_bytes(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    struct app *app = &slice->apps[knob->app];
    if (knob->estimate >= 0) {
        return;
    }
    if (knob->link >= 0) {
        struct link *link = &app->links[knob->link];
        *(knob->kind == KNOB_REQUEST ? &link->request_bytes : &link->response_bytes) = value;
        return;
    }
    struct variant *variant = &app->workloads[knob->workload].variants[knob->variant];
    *(knob->kind == KNOB_REQUEST ? &variant->request_bytes : &variant->response_bytes) = value;
}

static void turn_rtt(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    const struct world *whole = slice->whole->world;
    int ends[2] = {knob->site, knob->peer};
    for (int way = 0; way < 2 && knob->estimate < 0; way++) {
        int from = ends[way];
        int to = ends[1 - way];
        int64_t present =
            whole->rtt_us[slice->site_whole[from] * whole->site_count + slice->site_whole[to]];
        /* At its present value a distance speaks for itself again. */
        slice->world.rtt_us[from * slice->world.site_count + to] =
            value == knob->present ? present
            : present < 0          ? value
                                   : in_proportion(present, value, knob->present);
    }
}

static void turn_egress(struct cost_slice *slice, const struct cost_knob *knob, int64_t value)
{
    const struct egress_rule *whole = &slice->whole->world->egress[knob->rule];
    for (int i = 0; i < whole->tier_count; i++) {
        slice->world.egress[knob->rule].tiers[i].price =
            value == knob->present
                ? whole->tiers[i].price
                : price_in_proportion(whole->tiers[i].price, value, knob->present);
    }
}

static int64_t in_proportion(int64_t amount, int64_t value, int64_t present)
{
    __int128 result = ((__int128)amount * value + present / 2) / present;
    return result > INT64_MAX ? INT64_MAX : (int64_t)result;
}

static struct decimal price_in_proportion(struct decimal price, int64_t value, int64_t present)
{
    while (price.coefficient < SIGNIFICANT && price.coefficient > 0 &&
           price.scale < DECIMAL_SCALE_MAX) {
        price.coefficient *= 10;
        price.scale++;
    }
    return (struct decimal){in_proportion(price.coefficient, value, present), price.scale};
}
