/* What was measured, else what the documents say. */
#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

static bool is_of(const struct cost_lookup *lookup, const struct estimate *estimate, int app,
                  int workload);
static const struct estimate *users_estimate(const struct cost_lookup *lookup, int app,
                                             int workload, const char *users);

const char *const cost_term_words[] = {"device_cpu", "edge",    "storage",
                                       "datacentre", "latency", "egress",
                                       "migration",  "custom",  NULL};

int cost_part(const struct cost_input *input, int app, int workload)
{
    int part = workload;
    for (int i = 0; i < app; i++) {
        part += input->apps[i].app->workload_count;
    }
    return part;
}

int64_t cost_hit_ppm(const struct cost_input *input, int app, int workload, int site,
                     bool *ret_measured)
{
    struct cost_lookup lookup = {.input = input};
    return cost_lookup_hit_ppm(&lookup, app, workload, site, ret_measured);
}

int64_t cost_lookup_hit_ppm(const struct cost_lookup *lookup, int app, int workload, int site,
                            bool *ret_measured)
{
    struct cost_family family = cost_family_of(lookup, app, workload);
    int member = cost_family_member(&family, workload);
    const struct placement *now = &family.now[member];
    unsigned alone = 1U << member;
    return cost_family_hit_ppm(lookup, &family, site, now->site < 0 ? 0 : now->variant,
                               now->site < 0 ? alone : family.sharers[member], ret_measured);
}

int64_t cost_calls_mhz(const struct cost_input *input, int app, int workload, bool *ret_measured)
{
    struct cost_lookup lookup = {.input = input};
    return cost_lookup_calls_mhz(&lookup, app, workload, ret_measured);
}

int64_t cost_lookup_calls_mhz(const struct cost_lookup *lookup, int app, int workload,
                              bool *ret_measured)
{
    struct cost_family family = cost_family_of(lookup, app, workload);
    *ret_measured = family.calls_measured;
    return family.calls_mhz[cost_family_member(&family, workload)];
}

int64_t cost_rtt_us(const struct cost_input *input, int from, int to, bool *ret_measured)
{
    const struct world *world = input->world;
    *ret_measured = false;
    if (from == to) {
        return 0;
    }
    if (world->latency_measured) {
        const char *a = world->sites[from].name;
        const char *b = world->sites[to].name;
        const struct estimate *best = NULL;
        for (int i = 0; i < input->estimates.count; i++) {
            const struct estimate *estimate = &input->estimates.list[i];
            if (estimate->kind != ESTIMATE_RTT_US || estimate->value < 0) {
                continue;
            }
            bool between = (str_equal(estimate->site, a) && str_equal(estimate->peer, b)) ||
                           (str_equal(estimate->site, b) && str_equal(estimate->peer, a));
            if (between && cost_is_later(estimate, best)) {
                best = estimate;
            }
        }
        if (best != NULL) {
            *ret_measured = true;
            return best->value;
        }
    }
    int64_t declared = world->rtt_us[from * world->site_count + to];
    return declared >= 0 ? declared : cost_distance_rtt_us(&world->sites[from], &world->sites[to]);
}

const struct estimate *cost_estimate(const struct cost_lookup *lookup, int app, int workload,
                                     enum estimate_kind kind, const char *site)
{
    const struct estimates *estimates = &lookup->input->estimates;
    const struct estimate *best = NULL;
    bool indexed = lookup->first != NULL;
    int at = indexed ? lookup->first[lookup->base[app] + workload] : 0;
    while (at >= 0 && at < estimates->count) {
        const struct estimate *estimate = &estimates->list[at];
        if (estimate->kind == kind && estimate->value >= 0 && cost_is_later(estimate, best) &&
            (site == NULL || str_equal(estimate->site, site)) &&
            (indexed || is_of(lookup, estimate, app, workload))) {
            best = estimate;
        }
        at = indexed ? lookup->next[at] : at + 1;
    }
    return best;
}

int64_t cost_users_mhz(const struct cost_lookup *lookup, int app, int link)
{
    const struct app *owner = lookup->input->apps[app].app;
    const struct link *what = &owner->links[link];
    if (what->from_kind != LINK_SEGMENT) {
        return -1;
    }
    const struct estimate *estimate =
        users_estimate(lookup, app, what->to, owner->segments[what->from].name);
    if (estimate == NULL) {
        return -1;
    }
    /* Links of the same users to one workload divide it as their priors do. */
    __int128 prior = 0;
    int same = 0;
    for (int i = 0; i < owner->link_count; i++) {
        const struct link *other = &owner->links[i];
        if (other->from_kind == LINK_SEGMENT && other->from == what->from &&
            other->to == what->to) {
            prior += other->calls_mhz;
            same++;
        }
    }
    int64_t known = prior > INT64_MAX ? INT64_MAX : (int64_t)prior;
    int64_t all = cost_blended_mhz(lookup, known, estimate);
    return known > 0 ? cost_split(all, what->calls_mhz, known) : all / same;
}

static const struct estimate *users_estimate(const struct cost_lookup *lookup, int app,
                                             int workload, const char *users)
{
    const struct estimates *estimates = &lookup->input->estimates;
    const struct estimate *best = NULL;
    bool indexed = lookup->first != NULL;
    int at = indexed ? lookup->first[lookup->base[app] + workload] : 0;
    while (at >= 0 && at < estimates->count) {
        const struct estimate *estimate = &estimates->list[at];
        if (estimate->kind == ESTIMATE_USERS_MHZ && estimate->value >= 0 &&
            str_equal(estimate->peer, users) && cost_is_later(estimate, best) &&
            (indexed || is_of(lookup, estimate, app, workload))) {
            best = estimate;
        }
        at = indexed ? lookup->next[at] : at + 1;
    }
    return best;
}

int64_t cost_blended_mhz(const struct cost_lookup *lookup, int64_t prior,
                         const struct estimate *estimate)
{
    int64_t weight_us = lookup->input->world->policy.prior_weight_us;
    if (prior == 0 || estimate->observed_us <= 0 || weight_us <= 0) {
        return estimate->value;
    }
    __int128 sum = (__int128)prior * weight_us + (__int128)estimate->value * estimate->observed_us;
    return (int64_t)(sum / ((__int128)weight_us + estimate->observed_us));
}

static bool is_of(const struct cost_lookup *lookup, const struct estimate *estimate, int app,
                  int workload)
{
    const struct app *owner = lookup->input->apps[app].app;
    return str_equal(estimate->workload, owner->workloads[workload].name) &&
           str_equal(estimate->app, owner->name) &&
           str_equal(estimate->namespace_, owner->namespace_);
}

/* Of two at one instant the larger value counts. */
bool cost_is_later(const struct estimate *candidate, const struct estimate *best)
{
    return best == NULL || candidate->at_us > best->at_us ||
           (candidate->at_us == best->at_us && candidate->value > best->value);
}

/* What the document says it serves; when it says nothing, what its links bring. */
int64_t cost_prior_calls_mhz(const struct app *app, int workload)
{
    if (app->workloads[workload].calls_mhz > 0) {
        return app->workloads[workload].calls_mhz;
    }
    __int128 sum = 0;
    for (int i = 0; i < app->link_count; i++) {
        const struct link *link = &app->links[i];
        if (link->to == workload) {
            /* What the caller serves is what its link carries before the cache. */
            int64_t travel = link->on_miss ? PPM - cost_prior_hit_ppm(&app->workloads[link->from],
                                                                      link->calls_mhz)
                                           : PPM;
            sum += (__int128)link->calls_mhz * travel / PPM;
        }
    }
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

bool cost_has_cache(const struct workload *what)
{
    return what->hit_ppm >= 0 || what->curve_count > 0;
}

int64_t cost_prior_hit_ppm(const struct workload *what, int64_t calls_mhz)
{
    return what->curve_count > 0 ? cost_curve_ppm(what, calls_mhz) : what->hit_ppm;
}

/* Linear between the points, constant beyond them. */
int64_t cost_curve_ppm(const struct workload *what, int64_t calls_mhz)
{
    const struct hit_point *points = what->curve;
    int last = what->curve_count - 1;
    if (calls_mhz <= points[0].calls_mhz) {
        return points[0].hit_ppm;
    }
    if (calls_mhz >= points[last].calls_mhz) {
        return points[last].hit_ppm;
    }
    int i = 1;
    while (points[i].calls_mhz < calls_mhz) {
        i++;
    }
    const struct hit_point *low = &points[i - 1];
    const struct hit_point *high = &points[i];
    return low->hit_ppm + cost_split(high->hit_ppm - low->hit_ppm, calls_mhz - low->calls_mhz,
                                     high->calls_mhz - low->calls_mhz);
}

int64_t cost_split(int64_t amount, int64_t numerator, int64_t denominator)
{
    return (int64_t)((__int128)amount * numerator / denominator);
}
