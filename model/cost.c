/* The values that the cost terms use: an estimate where there is one, else the prior. */
#include "model/cost.h"

#include "base/str.h"
#include "model/cost_internal.h"
#include "model/world.h"

static const struct estimate *estimate_of(const struct cost_input *input, int app, int workload,
                                          enum estimate_kind kind, const char *site);
static bool is_later(const struct estimate *candidate, const struct estimate *best);

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
    const struct workload *what = &input->apps[app].app->workloads[workload];
    const struct estimate *estimate =
        what->hit_ppm < 0
            ? NULL
            : estimate_of(input, app, workload, ESTIMATE_HIT_PPM, input->world->sites[site].name);
    *ret_measured = estimate != NULL;
    if (estimate == NULL) {
        return what->hit_ppm;
    }
    return estimate->value > PPM ? PPM : estimate->value;
}

int64_t cost_cpu_ns(const struct cost_input *input, int app, int workload, int site,
                    bool *ret_measured)
{
    const struct workload *what = &input->apps[app].app->workloads[workload];
    const struct estimate *estimate =
        estimate_of(input, app, workload, ESTIMATE_CPU_NS, input->world->sites[site].name);
    *ret_measured = estimate != NULL;
    return estimate != NULL          ? estimate->value
           : what->variant_count > 0 ? what->variants[0].cpu_ns_per_call
                                     : 0;
}

int64_t cost_calls_mhz(const struct cost_input *input, int app, int workload, bool *ret_measured)
{
    const struct cost_app *owner = &input->apps[app];
    int site = owner->states[workload].now.site;
    const struct estimate *estimate = estimate_of(input, app, workload, ESTIMATE_CALLS_MHZ,
                                                  site < 0 ? "" : input->world->sites[site].name);
    *ret_measured = estimate != NULL;
    return estimate != NULL ? estimate->value : cost_prior_calls_mhz(owner->app, workload);
}

int64_t cost_call_bytes(const struct cost_input *input, int app, int link, bool response,
                        bool *ret_measured)
{
    const struct cost_app *owner = &input->apps[app];
    const struct link *what = &owner->app->links[link];
    int site = owner->states[what->to].now.site;
    const struct estimate *estimate = estimate_of(
        input, app, what->to, response ? ESTIMATE_RESPONSE_BYTES : ESTIMATE_REQUEST_BYTES,
        site < 0 ? "" : input->world->sites[site].name);
    *ret_measured = estimate != NULL;
    return estimate != NULL ? estimate->value
           : response       ? what->response_bytes
                            : what->request_bytes;
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
            bool between = (str_equal(estimate->site, a) && str_equal(estimate->peer, b)) ||
                           (str_equal(estimate->site, b) && str_equal(estimate->peer, a));
            if (estimate->kind == ESTIMATE_RTT_US && estimate->value >= 0 && between &&
                is_later(estimate, best)) {
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

/* The workload's estimate at that site; else its latest anywhere, which knows more than a prior. */
static const struct estimate *estimate_of(const struct cost_input *input, int app, int workload,
                                          enum estimate_kind kind, const char *site)
{
    const struct app *owner = input->apps[app].app;
    const char *name = owner->workloads[workload].name;
    const struct estimate *here = NULL;
    const struct estimate *anywhere = NULL;
    for (int i = 0; i < input->estimates.count; i++) {
        const struct estimate *estimate = &input->estimates.list[i];
        if (estimate->kind != kind || estimate->value < 0 || !str_equal(estimate->workload, name) ||
            !str_equal(estimate->app, owner->name) ||
            !str_equal(estimate->namespace_, owner->namespace_)) {
            continue;
        }
        if (str_equal(estimate->site, site) && is_later(estimate, here)) {
            here = estimate;
        }
        if (is_later(estimate, anywhere)) {
            anywhere = estimate;
        }
    }
    return here != NULL ? here : anywhere;
}

/* The order of the list does not matter: of two at one instant the larger value counts. */
static bool is_later(const struct estimate *candidate, const struct estimate *best)
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
            int64_t travel = link->on_miss ? PPM - app->workloads[link->from].hit_ppm : PPM;
            sum += (__int128)link->calls_mhz * travel / PPM;
        }
    }
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}
