/* Families: where their parts are, what they serve, and the hits of a cache that some share. */
#include "base/str.h"
#include "model/cost_internal.h"
#include "model/world.h"

static void find_now(const struct cost_lookup *lookup, struct cost_family *family);
static void find_calls(const struct cost_lookup *lookup, struct cost_family *family);
static __int128 set_calls(const struct cost_lookup *lookup, struct cost_family *family, int lead);
static const struct estimate *calls_estimate(const struct cost_lookup *lookup,
                                             const struct cost_family *family, int member,
                                             bool anywhere);
static int64_t users_of(const struct cost_lookup *lookup, int app, int workload);
static void find_set_hits(const struct cost_lookup *lookup, struct cost_family *family);
static const struct estimate *latest(const struct cost_lookup *lookup,
                                     const struct cost_family *family, enum estimate_kind kind,
                                     const char *site);
static int64_t curve_hit_ppm(const struct cost_lookup *lookup, const struct cost_family *family,
                             int site, int variant, unsigned sharers, bool *ret_measured);
static bool leads(const struct cost_family *family, int member);
static const struct workload *what_of(const struct cost_lookup *lookup,
                                      const struct cost_family *family, int member);
static int64_t clamp_ppm(int64_t ppm);

struct cost_family cost_family_of(const struct cost_lookup *lookup, int app, int workload)
{
    struct cost_family family = {.app = app};
    family.count = cost_family_members(lookup->input->apps[app].app, workload, family.member);
    cost_family_fill(lookup, &family);
    return family;
}

void cost_family_fill(const struct cost_lookup *lookup, struct cost_family *family)
{
    family->calls_measured = false;
    find_now(lookup, family);
    find_calls(lookup, family);
    find_set_hits(lookup, family);
}

int cost_family_members(const struct app *app, int workload, int members[LIMIT_FAMILY])
{
    const char *name = app->workloads[workload].family;
    int count = 0;
    bool found = false;
    for (int i = 0; name[0] != '\0' && i < app->workload_count; i++) {
        if (count < LIMIT_FAMILY && str_equal(app->workloads[i].family, name)) {
            found = found || i == workload;
            members[count++] = i;
        }
    }
    if (!found) {
        members[0] = workload;
        return 1;
    }
    return count;
}

int cost_family_member(const struct cost_family *family, int workload)
{
    for (int i = 0; i < family->count; i++) {
        if (family->member[i] == workload) {
            return i;
        }
    }
    return 0;
}

int64_t cost_family_calls_mhz(const struct cost_family *family, unsigned sharers)
{
    __int128 sum = 0;
    for (int i = 0; i < family->count; i++) {
        sum += (sharers >> i & 1) != 0 ? family->calls_mhz[i] : 0;
    }
    return sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

int64_t cost_family_hit_ppm(const struct cost_lookup *lookup, const struct cost_family *family,
                            int site, int variant, unsigned sharers, bool *ret_measured)
{
    const struct workload *what = what_of(lookup, family, 0);
    *ret_measured = false;
    if (!cost_has_cache(what)) {
        return -1;
    }
    if (what->curve_count > 0 && family->count > 1) {
        return curve_hit_ppm(lookup, family, site, variant, sharers, ret_measured);
    }
    /* What it did elsewhere says more than the document. */
    const char *name = lookup->input->world->sites[site].name;
    const struct estimate *estimate = latest(lookup, family, ESTIMATE_HIT_PPM, name);
    if (estimate == NULL) {
        estimate = latest(lookup, family, ESTIMATE_HIT_PPM, NULL);
    }
    *ret_measured = estimate != NULL;
    return estimate != NULL ? clamp_ppm(estimate->value)
                            : cost_prior_hit_ppm(what, cost_family_calls_mhz(family, sharers));
}

struct cost_cpu cost_family_cpu(const struct cost_lookup *lookup, const struct cost_family *family,
                                int member, int site, int variant)
{
    const struct world *world = lookup->input->world;
    const struct workload *what = what_of(lookup, family, member);
    const struct placement *now = &family->now[member];
    int64_t speed_ppm = world->sites[site].speed_ppm > 0 ? world->sites[site].speed_ppm : PPM;
    bool one = what->variant_count <= 1;
    const struct estimate *best = NULL;
    int from = site;
    /* Of several variants only the one that runs now is known to be what was measured there. */
    if (one || (now->site == site && now->variant == variant)) {
        best = latest(lookup, family, ESTIMATE_CPU_NS, world->sites[site].name);
    }
    if (best == NULL && one) {
        best = latest(lookup, family, ESTIMATE_CPU_NS, NULL);
        from = best == NULL ? -1 : world_site(world, best->site);
    } else if (best == NULL && now->site >= 0 && now->variant == variant) {
        best = latest(lookup, family, ESTIMATE_CPU_NS, world->sites[now->site].name);
        from = now->site;
    }
    if (best == NULL) {
        int64_t prior = what->variant_count > 0 ? what->variants[variant].cpu_ns_per_call : 0;
        return (struct cost_cpu){prior, speed_ppm, false};
    }
    if (from == site) {
        return (struct cost_cpu){best->value, PPM, true};
    }
    int64_t from_ppm =
        from < 0 || world->sites[from].speed_ppm <= 0 ? PPM : world->sites[from].speed_ppm;
    __int128 reference_ns = (__int128)best->value * from_ppm / PPM;
    return (struct cost_cpu){reference_ns > INT64_MAX ? INT64_MAX : (int64_t)reference_ns,
                             speed_ppm, true};
}

int64_t cost_call_bytes(const struct cost_lookup *lookup, const struct cost_family *callee,
                        int member, const struct link *link, int variant, bool response)
{
    const struct world *world = lookup->input->world;
    const struct workload *what = what_of(lookup, callee, member);
    const struct placement *now = &callee->now[member];
    int running = now->site < 0 ? 0 : now->variant;
    int64_t own[2] = {-1, -1}; /* of the variant, and of the one that runs */
    for (int i = 0; i < 2 && what->variant_count > 0; i++) {
        const struct variant *one = &what->variants[i == 0 ? variant : running];
        own[i] = response ? one->response_bytes : one->request_bytes;
    }
    enum estimate_kind kind = response ? ESTIMATE_RESPONSE_BYTES : ESTIMATE_REQUEST_BYTES;
    const struct estimate *estimate = NULL;
    /* What was measured is of the variant that runs, or of the link when both leave it to that. */
    if (variant == running || (own[0] < 0 && own[1] < 0)) {
        if (now->site >= 0) {
            estimate = latest(lookup, callee, kind, world->sites[now->site].name);
        }
        if (estimate == NULL) {
            estimate = latest(lookup, callee, kind, NULL);
        }
    }
    return estimate != NULL ? estimate->value
           : own[0] >= 0    ? own[0]
           : response       ? link->response_bytes
                            : link->request_bytes;
}

/* Where each part is, and with whom; a data set is where its document says until it was moved. */
static void find_now(const struct cost_lookup *lookup, struct cost_family *family)
{
    const struct world *world = lookup->input->world;
    for (int i = 0; i < family->count; i++) {
        const struct workload *what = what_of(lookup, family, i);
        struct placement now = lookup->input->apps[family->app].states[family->member[i]].now;
        if (now.site < 0 && what->kind == KIND_DATA && what->data.at[0] != '\0') {
            now = (struct placement){.site = world_site(world, what->data.at)};
        }
        now.variant = cost_variant(what, &now);
        family->now[i] = now;
    }
    for (int i = 0; i < family->count; i++) {
        family->sharers[i] = 0;
        for (int k = 0; k < family->count && family->now[i].site >= 0; k++) {
            if (family->now[k].site == family->now[i].site &&
                family->now[k].variant == family->now[i].variant) {
                family->sharers[i] |= 1U << k;
            }
        }
        int first = family->sharers[i] == 0 ? i : __builtin_ctz(family->sharers[i]);
        family->now[i].lead = family->member[first];
    }
}

/* The calls of the sets that run, together, divided by the members' priors: how the members share
 * does not change what each is taken to bring, so nothing moves back and forth for that. What is
 * measured of users one by one is the same wherever their part is. */
static void find_calls(const struct cost_lookup *lookup, struct cost_family *family)
{
    const struct app *app = lookup->input->apps[family->app].app;
    __int128 total = 0;
    __int128 priors = 0;
    for (int i = 0; i < family->count; i++) {
        family->prior_mhz[i] = cost_prior_calls_mhz(app, family->member[i]);
        priors += family->prior_mhz[i];
    }
    for (int i = 0; i < family->count; i++) {
        if (leads(family, i)) {
            total += set_calls(lookup, family, i);
        }
    }
    int64_t users[LIMIT_FAMILY];
    int others = 0;
    for (int i = 0; i < family->count; i++) {
        users[i] = -1;
        if (family->calls_measured && family->count > 1) {
            users[i] = users_of(lookup, family->app, family->member[i]);
        }
        others += users[i] < 0;
        total -= users[i] < 0 ? 0 : users[i];
        priors -= users[i] < 0 ? 0 : family->prior_mhz[i];
    }
    int64_t most = total > INT64_MAX ? INT64_MAX : total < 0 ? 0 : (int64_t)total;
    for (int i = 0; i < family->count; i++) {
        __int128 part = users[i] >= 0 ? users[i]
                        : priors > 0  ? (__int128)most * family->prior_mhz[i] / priors
                                      : (__int128)most / others;
        family->calls_mhz[i] = (int64_t)part;
    }
}

/* What the set of a leading member serves. What an instance counts is told of its leading part,
 * unless the samples say whose requests they were: then each part's own is told of that part. */
static __int128 set_calls(const struct cost_lookup *lookup, struct cost_family *family, int lead)
{
    unsigned set = family->sharers[lead] == 0 ? 1U << lead : family->sharers[lead];
    const struct estimate *told[LIMIT_FAMILY] = {NULL};
    int64_t latest_us = INT64_MIN;
    bool divided = false;
    for (int i = 0; i < family->count; i++) {
        told[i] = (set >> i & 1) != 0 ? calls_estimate(lookup, family, i, i == lead) : NULL;
        family->calls_measured = family->calls_measured || told[i] != NULL;
        latest_us = told[i] != NULL && told[i]->at_us > latest_us ? told[i]->at_us : latest_us;
    }
    /* What a part measured before it joined the set is no news of it. */
    for (int i = 0; i < family->count; i++) {
        int64_t old_us = told[i] == NULL ? 0 : latest_us - told[i]->at_us;
        divided = divided || (i != lead && told[i] != NULL &&
                              old_us <= lookup->input->world->policy.metric_age_max_us);
    }
    __int128 prior = 0;
    __int128 calls = 0;
    for (int i = 0; i < family->count; i++) {
        int64_t own = (set >> i & 1) != 0 ? family->prior_mhz[i] : 0;
        prior += own;
        calls += told[i] == NULL ? own : cost_blended_mhz(lookup, own, told[i]);
    }
    if (divided || told[lead] == NULL) {
        return calls;
    }
    int64_t known = prior > INT64_MAX ? INT64_MAX : (int64_t)prior;
    return cost_blended_mhz(lookup, known, told[lead]);
}

/* Where the part is now, else wherever a leading one was measured. */
static const struct estimate *calls_estimate(const struct cost_lookup *lookup,
                                             const struct cost_family *family, int member,
                                             bool anywhere)
{
    int site = family->now[member].site;
    int workload = family->member[member];
    const struct estimate *found = NULL;
    if (site >= 0) {
        found = cost_estimate(lookup, family->app, workload, ESTIMATE_CALLS_MHZ,
                              lookup->input->world->sites[site].name);
    }
    if (found != NULL || anywhere) {
        return found != NULL
                   ? found
                   : cost_estimate(lookup, family->app, workload, ESTIMATE_CALLS_MHZ, NULL);
    }
    return cost_estimate(lookup, family->app, workload, ESTIMATE_CALLS_MHZ, "");
}

/* What a part is called by users that are measured one by one; -1: others call it too, or it is
 * not measured of all. */
static int64_t users_of(const struct cost_lookup *lookup, int app, int workload)
{
    const struct app *owner = lookup->input->apps[app].app;
    __int128 sum = 0;
    int inbound = 0;
    for (int i = 0; i < owner->link_count; i++) {
        if (owner->links[i].to != workload) {
            continue;
        }
        int64_t users = cost_users_mhz(lookup, app, i);
        if (users < 0) {
            return -1;
        }
        sum += users;
        inbound++;
    }
    return inbound == 0 ? -1 : sum > INT64_MAX ? INT64_MAX : (int64_t)sum;
}

static void find_set_hits(const struct cost_lookup *lookup, struct cost_family *family)
{
    for (int i = 0; i < family->count; i++) {
        family->set_hit_ppm[i] = -1;
        if (family->now[i].site < 0 || !leads(family, i) ||
            !cost_has_cache(what_of(lookup, family, i))) {
            continue;
        }
        const struct estimate *estimate =
            cost_estimate(lookup, family->app, family->member[i], ESTIMATE_HIT_PPM,
                          lookup->input->world->sites[family->now[i].site].name);
        if (estimate != NULL) {
            family->set_hit_ppm[i] = clamp_ppm(estimate->value);
        }
    }
}

/* The latest of any part: all of a family run the same program. */
static const struct estimate *latest(const struct cost_lookup *lookup,
                                     const struct cost_family *family, enum estimate_kind kind,
                                     const char *site)
{
    const struct estimate *best = NULL;
    for (int i = 0; i < family->count; i++) {
        const struct estimate *estimate =
            cost_estimate(lookup, family->app, family->member[i], kind, site);
        if (estimate != NULL && cost_is_later(estimate, best)) {
            best = estimate;
        }
    }
    return best;
}

/* As measured where the same parts share it now. Else the curve at the rate of all who would share
 * it, shifted by what a set that runs differs from its own point of the curve (the set at that
 * site, else the first that is measured); and where one ran once, no better than it was there. */
static int64_t curve_hit_ppm(const struct cost_lookup *lookup, const struct cost_family *family,
                             int site, int variant, unsigned sharers, bool *ret_measured)
{
    const struct workload *what = what_of(lookup, family, 0);
    int64_t shift = 0;
    bool shifted = false;
    bool here = false; /* a set runs at the site */
    for (int i = 0; i < family->count; i++) {
        bool at_site = family->now[i].site == site;
        here = here || at_site;
        if (family->set_hit_ppm[i] < 0) {
            continue;
        }
        if (at_site && family->now[i].variant == variant && family->sharers[i] == sharers) {
            *ret_measured = true;
            return family->set_hit_ppm[i];
        }
        if (!shifted || at_site) {
            int64_t rate = cost_family_calls_mhz(family, family->sharers[i]);
            shift = family->set_hit_ppm[i] - cost_curve_ppm(what, rate);
            shifted = true;
        }
    }
    int64_t hit = clamp_ppm(cost_curve_ppm(what, cost_family_calls_mhz(family, sharers)) + shift);
    const struct estimate *once =
        here ? NULL
             : latest(lookup, family, ESTIMATE_HIT_PPM, lookup->input->world->sites[site].name);
    *ret_measured = shifted || once != NULL;
    return once != NULL && once->value < hit ? clamp_ppm(once->value) : hit;
}

/* The first of those that share, or one that is nowhere. */
static bool leads(const struct cost_family *family, int member)
{
    return family->sharers[member] == 0 || __builtin_ctz(family->sharers[member]) == member;
}

static const struct workload *what_of(const struct cost_lookup *lookup,
                                      const struct cost_family *family, int member)
{
    return &lookup->input->apps[family->app].app->workloads[family->member[member]];
}

static int64_t clamp_ppm(int64_t ppm)
{
    return ppm < 0 ? 0 : ppm > PPM ? PPM : ppm;
}
