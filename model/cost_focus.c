#include "model/cost_focus.h"

#include <string.h>

#include "base/str.h"
#include "model/cost_internal.h"

#define SCRATCH_BYTES ((size_t)1 << 30)

/* What is kept of the app that is asked about. */
struct cut {
    const struct cost_input *input;
    const struct placement *at; /* of the whole */
    int app;
    int first;  /* the app's first part */
    bool *kept; /* [workload] */
    int *here;  /* [workload]: its number in the focus, -1 */
};

static int choose(struct cut *cut, int workload, struct arena *arena);
static void add_family(struct cut *cut);
static void add_ends(struct cut *cut, bool callers_only, bool *near);
static int copy_app(const struct cut *cut, struct cost_focus *focus, struct arena *arena);
static int copy_links(const struct cut *cut, struct cost_focus *focus, struct arena *arena);
static int copy_aparts(const struct cut *cut, struct cost_focus *focus, struct arena *arena);
static int copy_estimates(const struct cost_input *input, struct cost_focus *focus,
                          struct arena *arena);
static int take_load(const struct cut *cut, struct cost_focus *focus, struct arena *arena);
static bool leads(const struct app *app, const struct placement *at, int workload);
static int take_meters(const struct cut *cut, struct cost_focus *focus, struct arena *arena,
                       struct error *err);
static int volumes(const struct cost_input *input, const struct placement *at,
                   struct arena *scratch, int64_t *bytes, int64_t *base, struct error *err);
static int put_meters(struct cost_focus *focus, const int64_t *bytes, struct arena *arena);
static bool has_tiers(const struct world *world);
static int no_memory(struct error *err);

int cost_focus(const struct cost_input *input, const struct placement *at, int app, int workload,
               struct arena *arena, struct cost_focus *ret_focus, struct error *err)
{
    struct cost_focus *focus = ret_focus;
    struct cut cut = {.input = input, .at = at, .app = app};
    *focus = (struct cost_focus){.input = *input, .world = *input->world};
    for (int i = 0; i < app; i++) {
        cut.first += input->apps[i].app->workload_count;
    }
    if (choose(&cut, workload, arena) < 0 || copy_app(&cut, focus, arena) < 0 ||
        copy_links(&cut, focus, arena) < 0 || copy_aparts(&cut, focus, arena) < 0) {
        return no_memory(err);
    }
    focus->workload = cut.here[workload];
    focus->app.app = &focus->what;
    focus->input.apps = &focus->app;
    focus->input.app_count = 1;
    focus->input.world = &focus->world;
    if (copy_estimates(input, focus, arena) < 0 || take_load(&cut, focus, arena) < 0) {
        return no_memory(err);
    }
    return has_tiers(input->world) ? take_meters(&cut, focus, arena, err) : 0;
}

static int choose(struct cut *cut, int workload, struct arena *arena)
{
    const struct app *what = cut->input->apps[cut->app].app;
    size_t count = (size_t)what->workload_count;
    bool *near = arena_array(arena, count, sizeof(bool));
    cut->kept = arena_array(arena, count, sizeof(bool));
    cut->here = arena_array(arena, count, sizeof(int));
    if (near == NULL || cut->kept == NULL || cut->here == NULL) {
        return ERR_NO_MEMORY;
    }
    cut->kept[workload] = true;
    add_family(cut);
    memcpy(near, cut->kept, count * sizeof(bool));
    add_ends(cut, false, near);
    add_family(cut);
    memcpy(near, cut->kept, count * sizeof(bool));
    add_ends(cut, true, near);
    for (int i = 0; i < what->apart_count; i++) {
        bool ours = false;
        for (int k = 0; k < what->aparts[i].count; k++) {
            ours = ours || what->aparts[i].workloads[k] == workload;
        }
        for (int k = 0; k < what->aparts[i].count && ours; k++) {
            cut->kept[what->aparts[i].workloads[k]] = true;
        }
    }
    add_family(cut); /* who shares instances is known of whole families only */
    return 0;
}

static void add_family(struct cut *cut)
{
    const struct app *what = cut->input->apps[cut->app].app;
    for (int i = 0; i < what->workload_count; i++) {
        const char *family = what->workloads[i].family;
        for (int k = 0; cut->kept[i] && family[0] != '\0' && k < what->workload_count; k++) {
            cut->kept[k] = cut->kept[k] || str_equal(what->workloads[k].family, family);
        }
    }
}

/* The other ends of the links of those that are near. */
static void add_ends(struct cut *cut, bool callers_only, bool *near)
{
    const struct app *what = cut->input->apps[cut->app].app;
    for (int i = 0; i < what->link_count; i++) {
        const struct link *link = &what->links[i];
        if (link->from_kind != LINK_WORKLOAD) {
            continue;
        }
        if (near[link->to]) {
            cut->kept[link->from] = true;
        }
        if (near[link->from] && !callers_only) {
            cut->kept[link->to] = true;
        }
    }
}

static int copy_app(const struct cut *cut, struct cost_focus *focus, struct arena *arena)
{
    const struct cost_app *from = &cut->input->apps[cut->app];
    size_t count = (size_t)from->app->workload_count;
    struct app *what = &focus->what;
    *what = *from->app;
    what->workload_count = 0;
    what->workloads = arena_array(arena, count, sizeof(struct workload));
    focus->app.states = arena_array(arena, count, sizeof(struct workload_state));
    focus->at = arena_array(arena, count, sizeof(struct placement));
    if (what->workloads == NULL || focus->app.states == NULL || focus->at == NULL) {
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        cut->here[i] = cut->kept[i] ? what->workload_count++ : -1;
    }
    for (size_t i = 0; i < count; i++) {
        int here = cut->here[i];
        if (here >= 0) {
            what->workloads[here] = from->app->workloads[i];
            focus->app.states[here] = from->states[i];
            focus->at[here] = cut->at[cut->first + (int)i];
            /* A lead that is not of its family is none of its business. */
            int *leads_of[] = {&focus->app.states[here].now.lead, &focus->at[here].lead};
            for (int k = 0; k < 2; k++) {
                bool known =
                    *leads_of[k] >= 0 && *leads_of[k] < (int)count && cut->here[*leads_of[k]] >= 0;
                *leads_of[k] = known ? cut->here[*leads_of[k]] : here;
            }
        }
    }
    return 0;
}

static int copy_links(const struct cut *cut, struct cost_focus *focus, struct arena *arena)
{
    const struct app *from = cut->input->apps[cut->app].app;
    struct app *what = &focus->what;
    what->links = arena_array(arena, (size_t)from->link_count + 1, sizeof(struct link));
    what->link_count = 0;
    if (what->links == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < from->link_count; i++) {
        struct link link = from->links[i];
        bool users = link.from_kind != LINK_WORKLOAD;
        if (cut->here[link.to] < 0 || (!users && cut->here[link.from] < 0)) {
            continue;
        }
        link.to = cut->here[link.to];
        link.from = users ? link.from : cut->here[link.from];
        what->links[what->link_count++] = link;
    }
    return 0;
}

/* Those whose members are all kept: every one of the workload's is among them. */
static int copy_aparts(const struct cut *cut, struct cost_focus *focus, struct arena *arena)
{
    const struct app *from = cut->input->apps[cut->app].app;
    struct app *what = &focus->what;
    what->aparts = arena_array(arena, (size_t)from->apart_count + 1, sizeof(struct apart));
    what->apart_count = 0;
    if (what->aparts == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < from->apart_count; i++) {
        struct apart apart = from->aparts[i];
        apart.workloads = arena_array(arena, (size_t)apart.count + 1, sizeof(int));
        if (apart.workloads == NULL) {
            return ERR_NO_MEMORY;
        }
        bool all = true;
        for (int k = 0; k < apart.count; k++) {
            apart.workloads[k] = cut->here[from->aparts[i].workloads[k]];
            all = all && apart.workloads[k] >= 0;
        }
        if (all) {
            what->aparts[what->apart_count++] = apart;
        }
    }
    return 0;
}

/* Those of the app, and those of none. */
static int copy_estimates(const struct cost_input *input, struct cost_focus *focus,
                          struct arena *arena)
{
    const struct app *app = &focus->what;
    struct estimate *list = NULL;
    int count = 0;
    /* The first pass counts. */
    for (int pass = 0; pass < 2; pass++) {
        list = pass == 0 ? NULL : arena_array(arena, (size_t)count + 1, sizeof(*list));
        if (pass == 1 && list == NULL) {
            return ERR_NO_MEMORY;
        }
        count = 0;
        for (int i = 0; i < input->estimates.count; i++) {
            const struct estimate *estimate = &input->estimates.list[i];
            if (estimate->app[0] != '\0' && (!str_equal(estimate->app, app->name) ||
                                             !str_equal(estimate->namespace_, app->namespace_))) {
                continue;
            }
            if (pass == 1) {
                list[count] = *estimate;
            }
            count++;
        }
    }
    focus->input.estimates = (struct estimates){list, count};
    return 0;
}

/* What is declared is taken from a copy of the sites, what nodes offer from a copy of that. */
static int take_load(const struct cut *cut, struct cost_focus *focus, struct arena *arena)
{
    const struct cost_input *input = cut->input;
    size_t sites = (size_t)input->world->site_count;
    int64_t(*load)[RESOURCE_COUNT] = arena_array(arena, sites + 1, sizeof(*load));
    focus->world.sites = arena_copy(arena, input->world->sites, sites * sizeof(struct site));
    focus->input.capacity =
        input->capacity == NULL ? NULL : arena_copy(arena, input->capacity, sites * sizeof(*load));
    if (load == NULL || focus->world.sites == NULL ||
        (input->capacity != NULL && focus->input.capacity == NULL)) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *what = input->apps[i].app;
        for (int k = 0; k < what->workload_count; k++) {
            const struct placement *place = &cut->at[part + k];
            const struct workload *workload = &what->workloads[k];
            if (place->site < 0 || (i == cut->app && cut->kept[k]) ||
                !leads(what, cut->at + part, k)) {
                continue;
            }
            for (int r = 0; r < RESOURCE_COUNT; r++) {
                load[place->site][r] +=
                    cost_reserve(workload, cost_variant(workload, place), r) * workload->replicas;
            }
        }
        part += what->workload_count;
    }
    for (size_t site = 0; site < sites; site++) {
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            int64_t *declared = &focus->world.sites[site].capacity[r];
            int64_t *offered =
                focus->input.capacity == NULL ? NULL : &focus->input.capacity[site][r];
            int64_t *room = *declared >= 0 ? declared : offered;
            if (room != NULL && *room >= 0) {
                *room = *room > load[site][r] ? *room - load[site][r] : 0;
            }
        }
    }
    return 0;
}

/* Of what shares a site and a variant, the first takes the room. */
static bool leads(const struct app *app, const struct placement *at, int workload)
{
    const struct workload *what = &app->workloads[workload];
    for (int i = 0; i < workload && what->family[0] != '\0'; i++) {
        if (str_equal(app->workloads[i].family, what->family) && at[i].site == at[workload].site &&
            cost_variant(&app->workloads[i], &at[i]) == cost_variant(what, &at[workload])) {
            return false;
        }
    }
    return true;
}

/* What the whole puts on the meters, less what is kept. */
static int take_meters(const struct cut *cut, struct cost_focus *focus, struct arena *arena,
                       struct error *err)
{
    const struct world *world = cut->input->world;
    size_t cells = (size_t)world->account_count * (size_t)world->egress_count + 1;
    struct arena scratch;
    arena_init(&scratch, SCRATCH_BYTES);
    int64_t *bytes = arena_array(&scratch, cells, sizeof(int64_t));
    int64_t *own = arena_array(&scratch, cells, sizeof(int64_t));
    int64_t *base = arena_array(&scratch, cells, sizeof(int64_t));
    int rc = bytes == NULL || own == NULL || base == NULL ? no_memory(err) : 0;
    rc = rc == 0 ? volumes(cut->input, cut->at, &scratch, bytes, base, err) : rc;
    rc = rc == 0 ? volumes(&focus->input, focus->at, &scratch, own, base, err) : rc;
    for (size_t i = 0; rc == 0 && i < cells; i++) {
        int64_t rest = bytes[i] > own[i] ? bytes[i] - own[i] : 0;
        if (__builtin_add_overflow(rest, base[i], &bytes[i]) || bytes[i] > INT64_MAX / 2) {
            bytes[i] = INT64_MAX / 2;
        }
    }
    if (rc == 0 && put_meters(focus, bytes, arena) < 0) {
        rc = no_memory(err);
    }
    arena_done(&scratch);
    return rc;
}

/* By account and rule: apps that weigh egress differently have meters of their own over one. */
static int volumes(const struct cost_input *input, const struct placement *at,
                   struct arena *scratch, int64_t *bytes, int64_t *base, struct error *err)
{
    struct cost_context context;
    struct cost_total total;
    nusd stay;
    int rc = cost_context_build(input, scratch, &context, err);
    if (rc < 0) {
        return rc;
    }
    int64_t *volume = arena_array(scratch, (size_t)context.meter_count + 1, sizeof(int64_t));
    if (volume == NULL) {
        return no_memory(err);
    }
    rc = cost_context_total(&context, at, volume, &total, &stay, err);
    for (int i = 0; rc == 0 && i < context.meter_count; i++) {
        const struct cost_meter_key *key = &context.meter_keys[i];
        int cell = key->account * input->world->egress_count + key->rule;
        bytes[cell] += volume[i];
        base[cell] = context.meters[i].base_bytes;
    }
    return rc;
}

/* As readings of the meters, in place of those that there were. */
static int put_meters(struct cost_focus *focus, const int64_t *bytes, struct arena *arena)
{
    const struct world *world = &focus->world;
    int cells = world->account_count * world->egress_count;
    int before = focus->input.estimates.count;
    struct estimate *list = arena_array(arena, (size_t)(before + cells) + 1, sizeof(*list));
    if (list == NULL) {
        return ERR_NO_MEMORY;
    }
    int count = 0;
    for (int i = 0; i < before; i++) {
        if (focus->input.estimates.list[i].kind != ESTIMATE_METER_BYTES) {
            list[count++] = focus->input.estimates.list[i];
        }
    }
    for (int i = 0; i < cells; i++) {
        struct estimate *estimate = &list[count];
        if (bytes[i] == 0) {
            continue;
        }
        *estimate = (struct estimate){
            .kind = ESTIMATE_METER_BYTES, .value = bytes[i], .at_us = focus->input.now_us};
        str_format(estimate->site, sizeof(estimate->site), "%s",
                   world->accounts[i / world->egress_count].name);
        str_format(estimate->peer, sizeof(estimate->peer), "%s",
                   world->egress[i % world->egress_count].name);
        count++;
    }
    focus->input.estimates = (struct estimates){list, count};
    return 0;
}

static bool has_tiers(const struct world *world)
{
    for (int i = 0; i < world->egress_count; i++) {
        if (world->egress[i].tier_count > 1) {
            return true;
        }
    }
    return false;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for a part of the cost model");
}
