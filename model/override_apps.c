/* Overrides of what workloads are and do: calls, cache hits, CPU time, bytes, replicas, data. A
 * prior and what was measured change together: the model uses both. */
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"
#include "model/override_internal.h"

/* One workload's change. What is relative scales every amount by itself; calls that are set divide
 * `value` as their parts stood to `present`; all else that is set becomes `value`. */
struct turn {
    int app;
    int workload;
    int64_t present;
    int64_t value;
};

static int change_workload(struct override_work *work, int app, int workload, bool *ret_suits);
static int find_turn(struct override_work *work, struct turn *turn, bool *ret_suits);
static int number_of(struct override_work *work, int64_t *ret_value);
static void share_calls(const struct override_work *work, int app, struct turn *turns, int count);
static int change_calls(struct override_work *work, int app, const struct turn *turns, int count);
static int64_t turned(struct override_work *work, const struct turn *turn, int64_t amount);
static void change_estimates(struct override_work *work, const struct turn *turn,
                             enum estimate_kind kind, int64_t most);
static int change_hits(struct override_work *work, const struct turn *turn);
static int change_cpu(struct override_work *work, const struct turn *turn);
static int change_bytes(struct override_work *work, const struct turn *turn);

int override_measure_change(struct override_work *work)
{
    struct override_who who = override_who(work);
    int meant = 0;
    int matched = 0;
    for (int i = who.first; i < who.end; i++) {
        const struct app *app = work->input.apps[i].app;
        struct turn turns[LIMIT_APP_WORKLOADS];
        int count = 0;
        for (int k = 0; k < app->workload_count; k++) {
            bool suits = true;
            int rc = 0;
            if (!override_means(&who, app, k, work->now->glob)) {
                continue;
            }
            meant++;
            if (work->now->kind == OVERRIDE_CALLS) {
                turns[count] = (struct turn){.app = i, .workload = k};
                rc = find_turn(work, &turns[count], &suits);
                count += suits;
            } else {
                rc = change_workload(work, i, k, &suits);
            }
            if (rc < 0) {
                return rc;
            }
            matched += suits;
        }
        share_calls(work, i, turns, count);
        int rc = count == 0 ? 0 : change_calls(work, i, turns, count);
        if (rc < 0) {
            return rc;
        }
    }
    if (matched > 0) {
        return 0;
    }
    if (meant == 0) {
        return override_no_workload(work, "");
    }
    switch (work->now->kind) {
    case OVERRIDE_HIT:
        return override_no_workload(work, "has a cache");
    case OVERRIDE_DATA_SIZE:
    case OVERRIDE_DATA_UPDATE:
        return override_no_workload(work, "is a data set");
    default:
        return override_no_workload(work, "has any to change; write how much it is to be");
    }
}

static int change_workload(struct override_work *work, int app, int workload, bool *ret_suits)
{
    struct turn turn = {.app = app, .workload = workload};
    int rc = find_turn(work, &turn, ret_suits);
    if (rc < 0 || !*ret_suits) {
        return rc;
    }
    switch (work->now->kind) {
    case OVERRIDE_HIT:
        change_estimates(work, &turn, ESTIMATE_HIT_PPM, PPM);
        return change_hits(work, &turn);
    case OVERRIDE_CPU:
        change_estimates(work, &turn, ESTIMATE_CPU_NS, INT64_MAX);
        return change_cpu(work, &turn);
    case OVERRIDE_REQUEST:
    case OVERRIDE_RESPONSE:
        change_estimates(work, &turn,
                         work->now->kind == OVERRIDE_RESPONSE ? ESTIMATE_RESPONSE_BYTES
                                                              : ESTIMATE_REQUEST_BYTES,
                         INT64_MAX);
        return change_bytes(work, &turn);
    default:
        break;
    }
    struct app *owner = override_app(work, app);
    if (owner == NULL || override_own_workloads(work, app) < 0) {
        return ERR_NO_MEMORY;
    }
    struct workload *what = &owner->workloads[workload];
    switch (work->now->kind) {
    case OVERRIDE_REPLICAS:
        if (turn.value < 1 || turn.value > LIMIT_REPLICAS) {
            return error_set(work->err, ERR_INVALID, 0, "a workload has 1 to %d replicas",
                             LIMIT_REPLICAS);
        }
        what->replicas = (int)turn.value;
        break;
    case OVERRIDE_DATA_SIZE:
        what->data.bytes = turn.value;
        break;
    default:
        what->data.update_bytes_s = turn.value;
        break;
    }
    return 0;
}

/* What the value becomes; *ret_suits: the workload has such a thing. */
static int find_turn(struct override_work *work, struct turn *turn, bool *ret_suits)
{
    const struct override *now = work->now;
    const struct workload *what = &work->input.apps[turn->app].app->workloads[turn->workload];
    bool data = what->kind == KIND_DATA;
    bool wants_data = now->kind == OVERRIDE_DATA_SIZE || now->kind == OVERRIDE_DATA_UPDATE;
    bool both = now->kind == OVERRIDE_CALLS || now->kind == OVERRIDE_REQUEST ||
                now->kind == OVERRIDE_RESPONSE;
    *ret_suits = both || data == wants_data;
    if (now->kind == OVERRIDE_HIT) {
        *ret_suits = cost_has_cache(what);
    }
    if (!*ret_suits) {
        return 0;
    }
    if (now->relative && (now->kind == OVERRIDE_CALLS || now->kind == OVERRIDE_HIT)) {
        return 0; /* its parts are scaled where they stand */
    }
    turn->present = override_measure(work, turn->app, turn->workload);
    if (now->kind == OVERRIDE_HIT) {
        return override_ratio(work, 0, &turn->value);
    }
    if (now->relative) {
        *ret_suits = turn->present > 0;
        return *ret_suits ? override_scale(work, turn->present, &turn->value) : 0;
    }
    return number_of(work, &turn->value);
}

/* What stands for all that changes in proportion: the largest that there is, of several. */
int64_t override_measure(struct override_work *work, int app, int workload)
{
    const struct app *owner = work->input.apps[app].app;
    const struct workload *what = &owner->workloads[workload];
    bool response = work->now->kind == OVERRIDE_RESPONSE;
    enum estimate_kind kind = response                          ? ESTIMATE_RESPONSE_BYTES
                              : work->now->kind == OVERRIDE_CPU ? ESTIMATE_CPU_NS
                                                                : ESTIMATE_REQUEST_BYTES;
    bool measured;
    int64_t most = 0;
    switch (work->now->kind) {
    case OVERRIDE_CALLS:
        return cost_lookup_calls_mhz(&work->lookup, app, workload, &measured);
    case OVERRIDE_HIT: {
        int site = work->input.apps[app].states[workload].now.site;
        return cost_lookup_hit_ppm(&work->lookup, app, workload, site < 0 ? 0 : site, &measured);
    }
    case OVERRIDE_REPLICAS:
        return what->replicas;
    case OVERRIDE_DATA_SIZE:
        return what->data.bytes;
    case OVERRIDE_DATA_UPDATE:
        return what->data.update_bytes_s;
    default:
        break;
    }
    for (int i = 0; i < what->variant_count; i++) {
        const struct variant *variant = &what->variants[i];
        int64_t own = kind == ESTIMATE_CPU_NS ? variant->cpu_ns_per_call
                      : response              ? variant->response_bytes
                                              : variant->request_bytes;
        most = own > most ? own : most;
    }
    for (int i = 0; i < owner->link_count && kind != ESTIMATE_CPU_NS; i++) {
        const struct link *link = &owner->links[i];
        int64_t own = response ? link->response_bytes : link->request_bytes;
        most = link->to == workload && own > most ? own : most;
    }
    const struct cost_lookup *lookup = &work->lookup;
    for (int i = lookup->first[lookup->base[app] + workload]; i >= 0; i = lookup->next[i]) {
        const struct estimate *estimate = &work->input.estimates.list[i];
        if (estimate->kind == kind && estimate->value > most) {
            most = estimate->value;
        }
    }
    return most;
}

static int number_of(struct override_work *work, int64_t *ret_value)
{
    const char *text = work->now->value;
    int rc;
    switch (work->now->kind) {
    case OVERRIDE_CALLS:
        return units_rate(text, ret_value, work->err);
    case OVERRIDE_CPU:
        rc = override_number(work, UNIT_DURATION, ret_value);
        if (rc == 0 && __builtin_mul_overflow(*ret_value, INT64_C(1000), ret_value)) {
            return error_set(work->err, ERR_OVERFLOW, 0, "\"%.40s\" is too long", text);
        }
        return rc;
    case OVERRIDE_REPLICAS:
        return override_number(work, UNIT_COUNT, ret_value);
    case OVERRIDE_DATA_UPDATE:
        return units_byte_rate(text, ret_value, work->err);
    default:
        return units_bytes(text, ret_value, work->err);
    }
}

/* Calls that are set of a split workload are those of all its parts that are meant: divided as they
 * stand, evenly where there are none yet. */
static void share_calls(const struct override_work *work, int app, struct turn *turns, int count)
{
    const struct workload *workloads = work->input.apps[app].app->workloads;
    for (int i = 0; i < count && !work->now->relative; i++) {
        const char *family = workloads[turns[i].workload].family;
        __int128 all = 0;
        int parts = 0;
        bool first = family[0] != '\0';
        for (int k = 0; k < count && family[0] != '\0'; k++) {
            if (str_equal(workloads[turns[k].workload].family, family)) {
                first = first && k >= i;
                all += turns[k].present > 0 ? turns[k].present : 0;
                parts++;
            }
        }
        for (int k = i; k < count && first; k++) {
            if (!str_equal(workloads[turns[k].workload].family, family)) {
                continue;
            }
            turns[k].present = all > INT64_MAX ? INT64_MAX : (int64_t)all;
            if (all == 0) {
                turns[k].value /= parts;
            }
        }
    }
}

/* What a workload states, what its links bring, and, as they are part of its calls, what its misses
 * bring to others; each link once. */
static int change_calls(struct override_work *work, int app, const struct turn *turns, int count)
{
    struct app *owner = override_app(work, app);
    if (owner == NULL || override_own_links(work, app) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < count; i++) {
        int64_t calls_mhz = owner->workloads[turns[i].workload].calls_mhz;
        bool links = false;
        for (int k = 0; k < owner->link_count; k++) {
            links = links || owner->links[k].to == turns[i].workload;
        }
        /* What only its links tell stays told by them. */
        if (calls_mhz > 0 || !links) {
            if (override_own_workloads(work, app) < 0) {
                return ERR_NO_MEMORY;
            }
            owner->workloads[turns[i].workload].calls_mhz = turned(work, &turns[i], calls_mhz);
        }
        change_estimates(work, &turns[i], ESTIMATE_CALLS_MHZ, INT64_MAX);
    }
    for (int k = 0; k < owner->link_count; k++) {
        struct link *link = &owner->links[k];
        const struct turn *by = NULL;
        for (int i = 0; i < count && (by == NULL || by->workload != link->to); i++) {
            bool misses = link->from_kind == LINK_WORKLOAD && link->on_miss &&
                          link->from == turns[i].workload;
            if (link->to == turns[i].workload || misses) {
                by = &turns[i];
            }
        }
        if (by != NULL) {
            link->calls_mhz = turned(work, by, link->calls_mhz);
        }
    }
    return 0;
}

static int64_t turned(struct override_work *work, const struct turn *turn, int64_t amount)
{
    int64_t scaled = 0;
    if (work->now->relative) {
        return override_scale(work, amount, &scaled) < 0 ? INT64_MAX : scaled;
    }
    return work->now->kind == OVERRIDE_CALLS && turn->present > 0
               ? override_proportion(amount, turn->value, turn->present)
               : turn->value;
}

static void change_estimates(struct override_work *work, const struct turn *turn,
                             enum estimate_kind kind, int64_t most)
{
    const struct cost_lookup *lookup = &work->lookup;
    int i = lookup->first[lookup->base[turn->app] + turn->workload];
    for (; i >= 0; i = lookup->next[i]) {
        struct estimate *estimate = (struct estimate *)&work->input.estimates.list[i];
        if (estimate->kind == kind && estimate->value >= 0) {
            int64_t value = turned(work, turn, estimate->value);
            estimate->value = value > most ? most : value;
        }
    }
}

/* A ratio that is set holds at every rate: there is no curve any more. */
static int change_hits(struct override_work *work, const struct turn *turn)
{
    struct app *owner = override_app(work, turn->app);
    if (owner == NULL || override_own_curve(work, turn->app, turn->workload) < 0) {
        return ERR_NO_MEMORY;
    }
    struct workload *what = &owner->workloads[turn->workload];
    if (!work->now->relative) {
        what->hit_ppm = turn->value;
        what->curve_count = 0;
        return 0;
    }
    if (what->hit_ppm >= 0) {
        int64_t hit = turned(work, turn, what->hit_ppm);
        what->hit_ppm = hit > PPM ? PPM : hit;
    }
    for (int i = 0; i < what->curve_count; i++) {
        int64_t hit = turned(work, turn, what->curve[i].hit_ppm);
        what->curve[i].hit_ppm = hit > PPM ? PPM : hit;
    }
    return 0;
}

static int change_cpu(struct override_work *work, const struct turn *turn)
{
    struct app *owner = override_app(work, turn->app);
    if (owner == NULL || override_own_variants(work, turn->app, turn->workload) < 0) {
        return ERR_NO_MEMORY;
    }
    struct workload *what = &owner->workloads[turn->workload];
    for (int i = 0; i < what->variant_count; i++) {
        what->variants[i].cpu_ns_per_call = turned(work, turn, what->variants[i].cpu_ns_per_call);
    }
    return 0;
}

static int change_bytes(struct override_work *work, const struct turn *turn)
{
    struct app *owner = override_app(work, turn->app);
    bool response = work->now->kind == OVERRIDE_RESPONSE;
    if (owner == NULL || override_own_links(work, turn->app) < 0) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < owner->workloads[turn->workload].variant_count; i++) {
        const struct variant *variant = &owner->workloads[turn->workload].variants[i];
        int64_t bytes = response ? variant->response_bytes : variant->request_bytes;
        if (bytes < 0) {
            continue; /* the link's */
        }
        if (override_own_variants(work, turn->app, turn->workload) < 0) {
            return ERR_NO_MEMORY;
        }
        struct variant *own = &owner->workloads[turn->workload].variants[i];
        *(response ? &own->response_bytes : &own->request_bytes) = turned(work, turn, bytes);
    }
    for (int i = 0; i < owner->link_count; i++) {
        struct link *link = &owner->links[i];
        int64_t *own = response ? &link->response_bytes : &link->request_bytes;
        if (link->to == turn->workload) {
            *own = turned(work, turn, *own);
        }
    }
    return 0;
}
