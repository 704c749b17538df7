#include "simulator/world/truth.h"

#include <string.h>

#include "base/str.h"
#include "model/world.h"

#define ANSWER_BYTES ((size_t)4 << 30)
#define KEPT_BYTES   ((size_t)64 << 20)
#define TABLE_BYTES  ((size_t)1 << 30)
#define METERS_MAX   4096 /* with tiers and bytes, in one run */

static int find_context(struct truth *truth, const struct placement *at, struct error *err);
static int make_context(struct truth *truth, struct error *err);
static void set_world(struct truth *truth, const struct world *world);
static int64_t followed_mhz(const struct truth *truth, int app, int workload,
                            const struct placement *at);
static void set_now(struct truth *truth, const struct placement *at);
static void measure_bytes(const struct truth *truth, int app, int workload,
                          const struct placement *at, struct plant_measured *one);
static int open_users(struct truth *truth, const struct load_users *users, int user_count,
                      struct error *err);
static void set_users(struct truth *truth, int64_t now_us);
static const struct load_users *users_of(const struct truth *truth, int app,
                                         const struct link *link);
static int no_memory(struct error *err);

int truth_open(struct truth *truth, const struct world *world, const struct app *apps,
               int app_count, const struct load_users *users, int user_count, struct error *err)
{
    memset(truth, 0, sizeof(*truth));
    arena_init(&truth->arena, ANSWER_BYTES);
    arena_keep(&truth->arena, KEPT_BYTES);
    arena_init(&truth->kept, ANSWER_BYTES);
    arena_keep(&truth->kept, KEPT_BYTES);
    arena_init(&truth->tables, TABLE_BYTES);
    struct arena *tables = &truth->tables;
    for (int i = 0; i < app_count; i++)
        truth->part_count += apps[i].workload_count;
    size_t parts = (size_t)truth->part_count + 1;
    truth->apps = arena_array(tables, (size_t)app_count + 1, sizeof(*truth->apps));
    truth->stale = arena_array(tables, (size_t)app_count + 1, sizeof(*truth->stale));
    truth->first = arena_array(tables, (size_t)app_count + 1, sizeof(*truth->first));
    truth->estimates =
        arena_array(tables, parts + (size_t)user_count + METERS_MAX, sizeof(*truth->estimates));
    truth->estimate_part = arena_array(tables, parts, sizeof(*truth->estimate_part));
    truth->calls_mhz = arena_array(tables, parts, sizeof(*truth->calls_mhz));
    truth->base_mhz = arena_array(tables, parts, sizeof(*truth->base_mhz));
    truth->hit_ppm = arena_array(tables, parts, sizeof(*truth->hit_ppm));
    size_t sites = (size_t)world->site_count + 1;
    truth->capacity = arena_array(tables, sites, sizeof(*truth->capacity));
    truth->path_us = arena_array(tables, sites * sites, sizeof(*truth->path_us));
    if (truth->apps == NULL || truth->stale == NULL || truth->first == NULL ||
        truth->estimates == NULL || truth->estimate_part == NULL || truth->calls_mhz == NULL ||
        truth->base_mhz == NULL || truth->hit_ppm == NULL || truth->capacity == NULL ||
        truth->path_us == NULL)
        return no_memory(err);
    for (int i = 0, part = 0; i < app_count; i++) {
        truth->first[i] = part;
        truth->apps[i].app = &apps[i];
        truth->apps[i].states =
            arena_array(tables, (size_t)apps[i].workload_count + 1, sizeof(*truth->apps[i].states));
        if (truth->apps[i].states == NULL)
            return no_memory(err);
        for (int k = 0; k < apps[i].workload_count; k++, part++) {
            truth->apps[i].states[k] =
                (struct workload_state){.now = {.site = -1, .lead = k}, .may_move = true};
            if (apps[i].workloads[k].kind == KIND_DATA)
                continue;
            struct estimate *estimate = &truth->estimates[truth->estimate_count];
            truth->estimate_part[truth->estimate_count++] = part;
            estimate->kind = ESTIMATE_CALLS_MHZ;
            memcpy(estimate->namespace_, apps[i].namespace_, sizeof(estimate->namespace_));
            memcpy(estimate->app, apps[i].name, sizeof(estimate->app));
            memcpy(estimate->workload, apps[i].workloads[k].name, sizeof(estimate->workload));
        }
    }
    truth->input = (struct cost_input){
        .apps = truth->apps, .app_count = app_count, .capacity = truth->capacity};
    set_world(truth, world);
    truth->rate_count = truth->estimate_count;
    if (open_users(truth, users, user_count, err) < 0)
        return ERR_NO_MEMORY;
    for (int i = 0, part = 0; i < app_count; i++)
        for (int k = 0; k < apps[i].workload_count; k++, part++) {
            const struct workload *what = &apps[i].workloads[k];
            bool measured;
            truth->hit_ppm[part] = -1;
            if (what->kind != KIND_DATA && (what->hit_ppm >= 0 || what->curve_count > 0))
                truth->hit_ppm[part] = cost_hit_ppm(&truth->input, i, k, 0, &measured);
        }
    truth->input.estimates.list = truth->estimates;
    truth->input.estimates.count = truth->estimate_count;
    return 0;
}

static int open_users(struct truth *truth, const struct load_users *users, int user_count,
                      struct error *err)
{
    size_t parts = (size_t)truth->part_count + 1;
    truth->users = users;
    truth->user_count = user_count;
    truth->users_mhz = arena_array(&truth->tables, parts, sizeof(*truth->users_mhz));
    truth->first_users = arena_array(&truth->tables, (size_t)truth->input.app_count + 2,
                                     sizeof(*truth->first_users));
    if (truth->users_mhz == NULL || truth->first_users == NULL)
        return no_memory(err);
    for (int i = 0, app = 0; app <= truth->input.app_count; truth->first_users[app++] = i)
        while (i < user_count && users[i].app < app)
            i++;
    for (int i = 0; i < user_count; i++) {
        const struct app *app = truth->apps[users[i].app].app;
        struct estimate *estimate = &truth->estimates[truth->estimate_count++];
        estimate->kind = ESTIMATE_USERS_MHZ;
        estimate->value = -1;
        memcpy(estimate->namespace_, app->namespace_, sizeof(estimate->namespace_));
        memcpy(estimate->app, app->name, sizeof(estimate->app));
        memcpy(estimate->workload, app->workloads[users[i].workload].name,
               sizeof(estimate->workload));
        str_format(estimate->peer, sizeof(estimate->peer), "%s",
                   app->segments[users[i].segment].name);
    }
    return 0;
}

void truth_close(struct truth *truth)
{
    cost_keeper_done(&truth->keeper);
    arena_done(&truth->kept);
    arena_done(&truth->arena);
    arena_done(&truth->tables);
}

void truth_documents(struct truth *truth, const struct world *world, const struct cost_app *apps)
{
    for (int i = 0; i < truth->input.app_count; i++)
        truth->apps[i].app = apps[i].app;
    set_world(truth, world);
    truth->documents++;
    truth->context = NULL;
}

static void set_world(struct truth *truth, const struct world *world)
{
    truth->input.world = world;
    truth->coupled = false;
    for (int i = 0; i < world->egress_count; i++)
        truth->coupled |= world->egress[i].tier_count > 1;
    for (int from = 0; from < world->site_count; from++)
        for (int to = 0; to < world->site_count; to++) {
            bool measured;
            int cell = from * world->site_count + to;
            int64_t rtt_us = cost_rtt_us(&truth->input, from, to, &measured);
            truth->path_us[cell] = (rtt_us < 0 ? 0 : rtt_us) + world->factor_us[cell];
        }
}

void truth_meter(struct truth *truth, const struct estimate *list, int count)
{
    struct estimate *meters = truth->estimates + truth->estimate_count;
    for (int i = 0; i < count; i++) {
        int at = 0;
        while (at < truth->meter_count && (!str_equal(meters[at].site, list[i].site) ||
                                           !str_equal(meters[at].peer, list[i].peer)))
            at++;
        if (at == METERS_MAX)
            continue;
        truth->meter_count += at == truth->meter_count;
        meters[at] = list[i];
        truth->context = NULL;
    }
    truth->input.estimates.count = truth->estimate_count + truth->meter_count;
}

struct estimates truth_meters(const struct truth *truth)
{
    return (struct estimates){truth->estimates + truth->estimate_count, truth->meter_count};
}

void truth_set(struct truth *truth, const int64_t *calls_mhz, const struct fleet *fleet,
               int64_t now_us)
{
    for (int i = 0; i < truth->rate_count; i++) {
        truth->estimates[i].value = calls_mhz[truth->estimate_part[i]];
        truth->estimates[i].at_us = now_us;
    }
    set_users(truth, now_us);
    if (truth->part_count > 0) {
        memcpy(truth->calls_mhz, calls_mhz, (size_t)truth->part_count * sizeof(*calls_mhz));
        memcpy(truth->base_mhz, calls_mhz, (size_t)truth->part_count * sizeof(*calls_mhz));
    }
    truth->input.now_us = now_us;
    memset(truth->stale, 1, (size_t)truth->input.app_count * sizeof(*truth->stale));
    for (int i = 0; i < truth->input.world->site_count; i++)
        fleet_capacity(fleet, i, truth->capacity[i]);
}

static void set_users(struct truth *truth, int64_t now_us)
{
    for (int part = 0; part < truth->part_count; part++)
        truth->users_mhz[part] = -1;
    for (int i = 0; i < truth->user_count; i++) {
        const struct load_users *users = &truth->users[i];
        struct estimate *estimate = &truth->estimates[truth->rate_count + i];
        int64_t *sum = &truth->users_mhz[users->part];
        estimate->value = users->mhz;
        estimate->at_us = now_us;
        if (users->mhz >= 0)
            *sum = (*sum < 0 ? 0 : *sum) + users->mhz;
    }
}

/* Those that are told of the link; NULL: it is not users', or they are not told. */
static const struct load_users *users_of(const struct truth *truth, int app,
                                         const struct link *link)
{
    if (link->from_kind != LINK_SEGMENT || truth->user_count == 0)
        return NULL;
    for (int i = truth->first_users[app]; i < truth->first_users[app + 1]; i++) {
        const struct load_users *users = &truth->users[i];
        if (users->segment == link->from && users->workload == link->to)
            return users->mhz < 0 ? NULL : users;
    }
    return NULL;
}

bool truth_follow(struct truth *truth, const struct load *load, const bool *which,
                  const struct placement *at)
{
    bool changed = false;
    set_now(truth, at);
    for (int i = 0; i < truth->input.app_count; i++) {
        const struct app *app = truth->apps[i].app;
        bool again = which == NULL || which[i];
        for (int pass = 0; pass < app->workload_count && again; pass++) {
            again = false;
            for (int k = 0; k < app->workload_count; k++) {
                int part = truth->first[i] + k;
                int64_t mhz =
                    load_given(load, part) ? truth->base_mhz[part] : followed_mhz(truth, i, k, at);
                again |= mhz != truth->calls_mhz[part];
                truth->calls_mhz[part] = mhz;
            }
            changed |= again;
            truth->stale[i] |= again;
        }
    }
    for (int i = 0; i < truth->rate_count && changed; i++)
        truth->estimates[i].value = truth->calls_mhz[truth->estimate_part[i]];
    return changed;
}

/* The workload's rate at the stated hit ratios, times what its links bring of what they would; what
 * its users are told to call is that. */
static int64_t followed_mhz(const struct truth *truth, int app, int workload,
                            const struct placement *at)
{
    const struct app *what = truth->apps[app].app;
    int base = truth->first[app];
    __int128 stated = 0;
    __int128 real = 0;
    for (int i = 0; i < what->link_count; i++) {
        const struct link *link = &what->links[i];
        if (link->to != workload || users_of(truth, app, link) != NULL)
            continue;
        __int128 weight = link->calls_mhz > 0 ? link->calls_mhz : 1;
        if (link->from_kind != LINK_WORKLOAD) {
            stated += weight * PPM;
            real += weight * PPM;
            continue;
        }
        int caller = base + link->from;
        int64_t was_ppm = PPM;
        int64_t is_ppm = PPM;
        if (link->on_miss && truth->hit_ppm[caller] >= 0) {
            bool measured;
            int site = at[caller].site < 0 ? 0 : at[caller].site;
            was_ppm = PPM - truth->hit_ppm[caller];
            is_ppm = PPM - cost_hit_ppm(&truth->input, app, link->from, site, &measured);
        }
        stated += weight * was_ppm;
        if (truth->base_mhz[caller] > 0)
            real += weight * is_ppm * truth->calls_mhz[caller] / truth->base_mhz[caller];
    }
    /* Nobody calls it, or the documents know of no misses: the rate is the load's. */
    int64_t mhz = truth->base_mhz[base + workload];
    int64_t users = truth->users_mhz[base + workload] < 0 ? 0 : truth->users_mhz[base + workload];
    return stated <= 0 ? mhz : users + (int64_t)((mhz - users) * real / stated);
}

int truth_visit(struct truth *truth, const bool *which, const struct placement *at,
                cost_visitor *visit, void *visitor, struct error *err)
{
    struct cost_total total;
    int rc = find_context(truth, at, err);
    arena_reset(&truth->arena);
    return rc < 0
               ? rc
               : cost_visit(truth->context, which, at, &truth->arena, visit, visitor, &total, err);
}

int truth_visit_moves(struct truth *truth, const bool *which, const struct placement *from,
                      const struct placement *to, cost_visitor *visit, void *visitor,
                      struct error *err)
{
    int rc = find_context(truth, from, err);
    return rc < 0 ? rc : cost_visit_moves(truth->context, which, to, visit, visitor, err);
}

/* Of the input as it is, with everything at `at`: only what has changed is looked up anew. */
static int find_context(struct truth *truth, const struct placement *at, struct error *err)
{
    set_now(truth, at);
    if (truth->plain)
        truth->context = NULL;
    if (truth->context == NULL)
        return make_context(truth, err);
    for (int i = 0; i < truth->input.app_count; i++)
        if (truth->stale[i]) {
            cost_context_renew(truth->context, i);
            truth->stale[i] = false;
        }
    return 0;
}

static int make_context(struct truth *truth, struct error *err)
{
    const struct cost_frame *frame = NULL;
    struct cost_context *context;
    int rc = 0;
    arena_reset(&truth->kept);
    if (!truth->plain)
        rc = cost_keeper_frame(&truth->keeper, &truth->input, truth->documents, &frame, err);
    if (rc == 0)
        rc = cost_context_make(&truth->input, frame, NULL, &truth->kept, &context, err);
    if (rc < 0)
        return rc;
    truth->context = context;
    memset(truth->stale, 0, (size_t)truth->input.app_count * sizeof(*truth->stale));
    return 0;
}

static void set_now(struct truth *truth, const struct placement *at)
{
    for (int i = 0, part = 0; i < truth->input.app_count; i++)
        for (int k = 0; k < truth->apps[i].app->workload_count; k++, part++) {
            struct placement *now = &truth->apps[i].states[k].now;
            if (now->site == at[part].site && now->variant == at[part].variant &&
                now->lead == at[part].lead)
                continue;
            *now = at[part];
            truth->stale[i] = true;
        }
}

int truth_bound(struct truth *truth, struct solver *solver, nusd *ret_bound, bool *ret_known,
                struct error *err)
{
    struct policy_best best;
    struct error why;
    arena_reset(&truth->arena);
    double gap = (double)truth->input.world->policy.solve_gap_ppm / PPM;
    int rc = policy_best(solver, &truth->input, NULL, gap, &truth->arena, &best, &why);
    *ret_known = rc == 0;
    if (rc == 0)
        *ret_bound = best.bound_nusd;
    if (rc < 0 && truth->unbounded[0] == 0) {
        str_format(truth->unbounded, sizeof(truth->unbounded), "%s", why.text);
        truth->unbounded_us = truth->input.now_us;
    }
    if (rc == ERR_INVALID || rc == ERR_UNAVAILABLE)
        return 0;
    if (rc < 0 && err != NULL)
        *err = why;
    return rc;
}

int64_t truth_link_mhz(const struct truth *truth, int app, int link, const struct placement *at)
{
    const struct app *what = truth->apps[app].app;
    const struct link *one = &what->links[link];
    int base = truth->first[app];
    int64_t users = truth->users_mhz[base + one->to];
    int64_t left = truth->calls_mhz[base + one->to] - (users < 0 ? 0 : users);
    const struct load_users *told = users_of(truth, app, one);
    if (told != NULL)
        return (int64_t)((__int128)told->mhz * load_weight(one) / told->weight_mhz);
    __int128 weights = 0;
    int64_t own = 0;
    for (int i = 0; i < what->link_count; i++) {
        const struct link *other = &what->links[i];
        if (other->to != one->to || users_of(truth, app, other) != NULL)
            continue;
        int64_t weight = other->calls_mhz > 0 ? other->calls_mhz : 1;
        if (other->on_miss && other->from_kind == LINK_WORKLOAD) {
            int site = at[base + other->from].site;
            bool measured;
            int64_t hit =
                site < 0 ? -1 : cost_hit_ppm(&truth->input, app, other->from, site, &measured);
            weight = hit < 0 ? weight : (int64_t)((__int128)weight * (PPM - hit) / PPM);
        }
        weights += weight;
        own = i == link ? weight : own;
    }
    return weights == 0 ? 0 : (int64_t)((__int128)left * own / weights);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the true rates");
}

void truth_measures(struct truth *truth, const struct placement *at,
                    struct plant_measured *ret_list)
{
    const struct world *world = truth->input.world;
    set_now(truth, at);
    for (int i = 0, part = 0; i < truth->input.app_count; i++)
        for (int k = 0; k < truth->apps[i].app->workload_count; k++, part++) {
            const struct app *app = truth->apps[i].app;
            const struct workload *workload = &app->workloads[k];
            int site = at[part].site;
            struct plant_measured *one = &ret_list[part];
            *one = (struct plant_measured){.value = {-1, -1, -1, -1, -1}, .site = site};
            if (workload->kind == KIND_DATA)
                continue;
            one->value[PLANT_CALLS] = truth->calls_mhz[part];
            measure_bytes(truth, i, k, at, one);
            if (site < 0)
                continue;
            bool measured;
            if (workload->hit_ppm >= 0 || workload->curve_count > 0)
                one->value[PLANT_HIT] = cost_hit_ppm(&truth->input, i, k, site, &measured);
            int64_t cpu_ns = workload->variants[at[part].variant].cpu_ns_per_call;
            if (cpu_ns > 0)
                one->value[PLANT_CPU] =
                    (int64_t)((__int128)cpu_ns * PPM / world->sites[site].speed_ppm);
        }
}

/* The means over its callers' links. */
static void measure_bytes(const struct truth *truth, int app, int workload,
                          const struct placement *at, struct plant_measured *one)
{
    const struct app *what = truth->apps[app].app;
    int variant = at[truth->first[app] + workload].variant;
    const struct variant *runs = &what->workloads[workload].variants[variant < 0 ? 0 : variant];
    __int128 requests = 0;
    __int128 responses = 0;
    __int128 calls = 0;
    for (int i = 0; i < what->link_count; i++) {
        const struct link *link = &what->links[i];
        if (link->to != workload)
            continue;
        int64_t mhz = truth_link_mhz(truth, app, i, at);
        requests +=
            (__int128)mhz * (runs->request_bytes >= 0 ? runs->request_bytes : link->request_bytes);
        responses += (__int128)mhz *
                     (runs->response_bytes >= 0 ? runs->response_bytes : link->response_bytes);
        calls += mhz;
    }
    if (calls == 0)
        return;
    one->value[PLANT_REQUEST] = (int64_t)(requests / calls);
    one->value[PLANT_RESPONSE] = (int64_t)(responses / calls);
}
