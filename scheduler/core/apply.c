/* Worlds, apps and estimates: what people and metrics tell the core. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/checkpoint.h"
#include "scheduler/core/internal.h"

#define APP_BYTES_MAX   ((size_t)128 << 20) /* 256 workloads with 8 variants of full args and env */
#define TABLE_BYTES_MAX ((size_t)1 << 20)

static int take_app(struct core *core, struct core_storage *storage, const struct app *app,
                    struct core_app *ret_app);
static bool is_stale(struct core *core, const struct core_event *event, uint64_t version);
static int make_tables(struct core_app *app, int site_count);
static void inherit(const struct core_app *before, struct core_app *after);
static void allow_versions(struct core *core, struct core_app *app);
static int same_variant(const struct workload *before, const struct workload *after, int variant);
static void place(struct core *core, const struct core_event *event, struct core_app *made);
static void world_swap(struct core *core, struct arena *arena, const struct world *world);
static void remap(struct core *core, struct core_app *app, const struct world *world);
static void carry_along(struct core *core, int row, const struct estimate *fresh);

void core_on_world(struct core *core, const struct core_event *event)
{
    uint64_t hash = world_hash(event->world);
    if (core->state.world != NULL && hash == core->world_hash) {
        core_reply(core, event, 0, "");
        return;
    }
    struct arena arena;
    struct world world;
    arena_init(&arena, (size_t)64 << 20);
    if (core_world_copy(event->world, &arena, &world) < 0) {
        arena_done(&arena);
        core_reply(core, event, ERR_NO_MEMORY, "the world does not fit in memory");
        return;
    }
    core->world_hash = hash;
    world_swap(core, &arena, &world);
    core->state.version++;
    core->state.world_version++;
    core_inputs_changed(core, true);
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "world %s with %d sites", world.name, world.site_count);
    core_publish(core, "world.changed", (struct core_subject){0}, text);
    core_reply(core, event, 0, "");
}

/* Site indices of the old world mean nothing in the new one: names carry over. Blocked sites are
 * free again, since the caller marks the inputs as changed with room. */
static void world_swap(struct core *core, struct arena *arena, const struct world *world)
{
    struct core_state *state = &core->state;
    for (int i = 0; i < state->app_count; i++)
        remap(core, &state->apps[i], world);
    arena_done(&core->world_arena);
    core->world_arena = *arena;
    core->world = *world;
    state->world = &core->world;
    for (int i = 0; i < state->node_count; i++)
        state->nodes[i].site_index = world_site(state->world, state->nodes[i].site);
}

static void remap(struct core *core, struct core_app *app, const struct world *world)
{
    for (int i = 0; i < app->app.workload_count; i++) {
        struct core_workload *workload = &app->workloads[i];
        const struct site *sites = core->state.world->sites;
        if (workload->site >= 0)
            workload->site = world_site(world, sites[workload->site].name);
        if (workload->trial.site >= 0)
            workload->trial.site = world_site(world, sites[workload->trial.site].name);
        if (workload->site < 0)
            workload->trial.site = -1;
        /* A new world is a new chance. */
        for (int k = 0; k < CORE_VETOES; k++)
            workload->vetoes[k].site = -1;
    }
    core_leads_settle(app);
    int rc = make_tables(app, world->site_count);
    BERTH_ASSERT(rc == 0, "%d sites do not fit in the tables of %s", world->site_count,
                 app->app.name);
}

/* The tables' ceiling holds LIMIT_APP_WORKLOADS x LIMIT_SITES flags several times over. */
static int make_tables(struct core_app *app, int site_count)
{
    struct core_storage *storage = app->storage;
    arena_reset(&storage->tables);
    for (int i = 0; i < app->app.workload_count; i++) {
        app->workloads[i].site_blocked =
            arena_array(&storage->tables, (size_t)site_count, sizeof(bool));
        if (app->workloads[i].site_blocked == NULL)
            return ERR_NO_MEMORY;
    }
    return 0;
}

void core_on_apply(struct core *core, const struct core_event *event)
{
    const struct app *app = event->apply.app;
    struct core_state *state = &core->state;
    struct error err;
    if (state->world == NULL) {
        core_reply(core, event, ERR_UNAVAILABLE,
                   "there is no world yet; load one before the first apply");
        return;
    }
    if (is_stale(core, event, event->apply.version))
        return;
    if (app_check(app, state->world, &err) < 0 || core_routes_check(core, app, &err) < 0) {
        core_reply(core, event, err.code, err.text);
        return;
    }
    struct core_app made;
    if (core_app_make(core, app, &made) < 0) {
        core_reply(core, event, ERR_NO_MEMORY, "the app does not fit in memory");
        return;
    }
    place(core, event, &made);
}

/* A plan is applied only to the state that it was made from: what has changed since may have
 * changed the answer. Replies when it is refused. */
static bool is_stale(struct core *core, const struct core_event *event, uint64_t version)
{
    char text[LIMIT_TEXT_BYTES];
    if (version == 0 || version == core->state.version)
        return false;
    CORE_TEXT(text, "the plan was made from version %llu, and now it is %llu; make a new plan",
              (unsigned long long)version, (unsigned long long)core->state.version);
    core_reply(core, event, ERR_STALE, text);
    return true;
}

void core_on_retag(struct core *core, const struct core_event *event)
{
    if (is_stale(core, event, event->target.version))
        return;
    struct core_app *before = core_app_find(core, event->target.namespace_, event->target.app);
    if (before == NULL || before->deleting) {
        char text[LIMIT_TEXT_BYTES];
        CORE_TEXT(text, "there is no app %s/%s; `berth get apps` lists them",
                  event->target.namespace_, event->target.app);
        core_reply(core, event, ERR_NOT_FOUND, text);
        return;
    }
    struct core_storage *storage = calloc(1, sizeof(*storage));
    if (storage == NULL) {
        core_reply(core, event, ERR_NO_MEMORY, "the app does not fit in memory");
        return;
    }
    arena_init(&storage->arena, APP_BYTES_MAX);
    struct app app;
    struct error err;
    if (app_retag(&before->app, event->target.workload, event->target.key, event->target.value,
                  &storage->arena, &app, &err) < 0 ||
        app_check(&app, core->state.world, &err) < 0) {
        core_reply(core, event, err.code, err.text);
        arena_done(&storage->arena);
        free(storage);
        return;
    }
    /* The retagged app shares arrays with nobody: take_app copies what it keeps. */
    struct core_app made;
    if (take_app(core, storage, &app, &made) < 0) {
        core_reply(core, event, ERR_NO_MEMORY, "the app does not fit in memory");
        return;
    }
    place(core, event, &made);
}

int core_app_make(struct core *core, const struct app *app, struct core_app *ret_app)
{
    struct core_storage *storage = calloc(1, sizeof(*storage));
    if (storage == NULL)
        return ERR_NO_MEMORY;
    arena_init(&storage->arena, APP_BYTES_MAX);
    return take_app(core, storage, app, ret_app);
}

/* A core_app of a copy of `app`, in `storage`, which is freed on failure. */
static int take_app(struct core *core, struct core_storage *storage, const struct app *app,
                    struct core_app *ret_app)
{
    struct core_app made = {.storage = storage};
    arena_init(&storage->tables, TABLE_BYTES_MAX);
    size_t count = (size_t)app->workload_count;
    made.workloads = arena_array(&storage->arena, count + 1, sizeof(*made.workloads));
    storage->spec_hash = arena_array(&storage->arena, count + 1, sizeof(*storage->spec_hash));
    struct core_veto *vetoes =
        arena_array(&storage->arena, CORE_VETOES * count + 1, sizeof(*vetoes));
    if (made.workloads == NULL || storage->spec_hash == NULL || vetoes == NULL ||
        app_copy(app, &storage->arena, &made.app) < 0 || core_names_index(&made.app, storage) < 0 ||
        make_tables(&made, core->state.world->site_count) < 0) {
        core_app_free(&made);
        return ERR_NO_MEMORY;
    }
    storage->hash = app_hash(&made.app);
    for (int i = 0; i < made.app.workload_count; i++) {
        storage->spec_hash[i] = workload_spec_hash(&made.app.workloads[i]);
        made.workloads[i].site = -1;
        made.workloads[i].lead = i;
        made.workloads[i].trial.site = -1;
        made.workloads[i].vetoes = vetoes + (size_t)CORE_VETOES * (size_t)i;
        for (int k = 0; k < CORE_VETOES; k++)
            made.workloads[i].vetoes[k].site = -1;
        /* A data set is where its document says. */
        if (made.app.workloads[i].kind == KIND_DATA)
            made.workloads[i].site = world_site(core->state.world, made.app.workloads[i].data.at);
    }
    *ret_app = made;
    return 0;
}

/* Puts a new or changed app into the table and answers. */
static void place(struct core *core, const struct core_event *event, struct core_app *made)
{
    struct core_state *state = &core->state;
    struct core_app *before = core_app_find(core, made->app.namespace_, made->app.name);
    uint64_t hash = ((struct core_storage *)made->storage)->hash;
    if (before != NULL && !before->deleting &&
        ((struct core_storage *)before->storage)->hash == hash) {
        core_app_free(made);
        allow_versions(core, before);
        core_reply(core, event, 0, "");
        return;
    }
    if (before == NULL && state->app_count == LIMIT_APPS) {
        char text[LIMIT_TEXT_BYTES];
        CORE_TEXT(text, "a scheduler holds at most %d apps; delete one first", LIMIT_APPS);
        core_app_free(made);
        core_reply(core, event, ERR_LIMIT, text);
        return;
    }
    bool added = false;
    state->version++;
    made->version = state->version;
    if (before != NULL) {
        inherit(before, made);
        core_app_free(before);
    } else {
        before = &state->apps[state->app_count++];
        added = true;
    }
    *before = *made;
    if (event->kind == CORE_APPLY)
        allow_versions(core, before);
    core_routes_touch(core);
    core_checkpoints_sync(core);
    if (added)
        core_app_index(core, state->app_count - 1);
    else
        core_app_replaced(core, (int)(before - state->apps));
    core_inputs_changed(core, true);
    core->diff = true;
    char text[LIMIT_TEXT_BYTES];
    if (event->kind == CORE_RETAG)
        CORE_TEXT(text, "%s now needs %s=%s", event->target.workload, event->target.key,
                  event->target.value);
    else
        CORE_TEXT(text, "%d workloads, version %llu", made->app.workload_count,
                  (unsigned long long)made->version);
    core_publish(
        core, event->kind == CORE_RETAG ? "app.retagged" : "app.applied",
        (struct core_subject){.namespace_ = made->app.namespace_,
                              .app = made->app.name,
                              .workload = event->kind == CORE_RETAG ? event->target.workload : ""},
        text);
    core_reply(core, event, 0, "");
}

/* Whoever applies, wants it: also a version that was taken back may be tried again. */
static void allow_versions(struct core *core, struct core_app *app)
{
    for (int i = 0; i < app->app.workload_count; i++) {
        if (app->workloads[i].canary_bad == 0)
            continue;
        app->workloads[i].canary_bad = 0;
        app->workloads[i].retry.us = 0;
        core->diff = true;
    }
}

/* Where a workload runs and when it moved outlive a new version of its app. */
static void inherit(const struct core_app *before, struct core_app *after)
{
    for (int i = 0; i < after->app.workload_count; i++) {
        int old = app_workload(&before->app, after->app.workloads[i].name);
        if (old < 0)
            continue;
        const struct workload *workload = &after->app.workloads[i];
        bool *site_blocked = after->workloads[i].site_blocked;
        int data_site = after->workloads[i].site;
        struct core_veto *vetoes = after->workloads[i].vetoes;
        after->workloads[i] = before->workloads[old];
        after->workloads[i].site_blocked = site_blocked;
        after->workloads[i].vetoes = vetoes;
        memcpy(vetoes, before->workloads[old].vetoes, CORE_VETOES * sizeof(*vetoes));
        after->workloads[i].failures = 0;
        after->workloads[i].ship_late = 0;
        after->workloads[i].retry = (struct instant){0};
        after->workloads[i].variant =
            same_variant(&before->app.workloads[old], workload, before->workloads[old].variant);
        after->workloads[i].trial.variant = same_variant(&before->app.workloads[old], workload,
                                                         before->workloads[old].trial.variant);
        if (workload->kind == KIND_DATA && data_site >= 0)
            after->workloads[i].site = data_site;
    }
    core_leads_settle(after);
}

/* By its name; the first when there is none of that name any more. */
static int same_variant(const struct workload *before, const struct workload *after, int variant)
{
    for (int i = 0; i < after->variant_count && variant < before->variant_count; i++) {
        if (str_equal(after->variants[i].name, before->variants[variant].name))
            return i;
    }
    return 0;
}

void core_on_delete(struct core *core, const struct core_event *event)
{
    if (is_stale(core, event, event->target.version))
        return;
    struct core_app *app = core_app_find(core, event->target.namespace_, event->target.app);
    if (app == NULL || app->deleting) {
        char text[LIMIT_TEXT_BYTES];
        CORE_TEXT(text, "there is no app %s/%s%s; `berth get apps` lists them",
                  event->target.namespace_, event->target.app,
                  app != NULL ? " that is not being deleted already" : "");
        core_reply(core, event, ERR_NOT_FOUND, text);
        return;
    }
    app->deleting = true;
    core->state.version++;
    core_inputs_changed(core, true);
    core->diff = true;
    core->sweep = true;
    core_publish(core, "app.deleted",
                 (struct core_subject){.namespace_ = app->app.namespace_, .app = app->app.name},
                 "its instances are drained and stopped");
    core_reply(core, event, 0, "");
}

void core_apps_sweep(struct core *core)
{
    struct core_state *state = &core->state;
    core->sweep = false;
    for (int i = 0; i < state->app_count; i++) {
        struct core_app *app = &state->apps[i];
        if (!app->deleting)
            continue;
        bool used = false;
        for (int k = 0; k < state->instance_count && !used; k++)
            used = str_equal(state->instances[k].namespace_, app->app.namespace_) &&
                   str_equal(state->instances[k].app, app->app.name);
        for (int k = 0; k < state->handoff_count && !used; k++)
            used = str_equal(state->handoffs[k].namespace_, app->app.namespace_) &&
                   str_equal(state->handoffs[k].app, app->app.name);
        core->sweep |= used;
        if (used)
            continue;
        for (int k = 0, kept = 0, count = state->estimate_count; k < count; k++) {
            const struct estimate *estimate = &state->estimates[k];
            if (str_equal(estimate->namespace_, app->app.namespace_) &&
                str_equal(estimate->app, app->app.name))
                continue;
            state->estimates[kept++] = *estimate;
            state->estimate_count = kept;
        }
        core_estimates_index(core);
        core_app_free(app);
        state->app_count--;
        memmove(app, app + 1, (size_t)(state->app_count - i) * sizeof(*app));
        core_apps_index(core);
        core_routes_touch(core);
        core_checkpoints_sync(core);
        i--;
    }
}

void core_app_free(struct core_app *app)
{
    struct core_storage *storage = app->storage;
    if (storage == NULL)
        return;
    arena_done(&storage->tables);
    arena_done(&storage->arena);
    free(storage);
    app->storage = NULL;
}

void core_on_estimates(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    bool changed = false;
    bool paths = false;
    int next = 0;
    for (int i = 0; i < event->estimates.count; i++) {
        const struct estimate *fresh = &event->estimates.list[i];
        /* They come in the order in which they came before, as a rule. */
        bool same =
            next < state->estimate_count && core_estimate_same(&state->estimates[next], fresh);
        int known = same ? next : core_estimate_find(core, fresh);
        int at = known < 0 ? state->estimate_count : known;
        next = at + 1;
        if (at == CORE_ESTIMATES_MAX)
            continue;
        bool added = known < 0;
        if (added || state->estimates[at].value != fresh->value) {
            struct core_app *app = core_app_find(core, fresh->namespace_, fresh->app);
            changed = true;
            paths |= fresh->kind == ESTIMATE_RTT_US;
            if (app != NULL)
                app->input_version = state->input_version + 1;
        }
        struct estimate *kept = &state->estimates[at];
        if (added) {
            *kept = *fresh;
            core_estimate_index(core, state->estimate_count++);
            continue;
        }
        if (fresh->kind == ESTIMATE_HIT_PPM)
            carry_along(core, at, fresh);
        kept->value = fresh->value;
        kept->at_us = fresh->at_us;
        kept->spread = fresh->spread;
        kept->observed_us = fresh->observed_us;
    }
    core_vetoes_learn(core);
    if (paths)
        core_inputs_changed(core, false); /* anybody may use that way */
    else if (changed)
        core_inputs_touched(core, NULL); /* the apps know */
}

/* A workload's hit ratio at `row` has become another one where the workload is. Who asks for what
 * has changed, and would have at the sites that it has left: what was measured there goes along by
 * as much. Only what was measured in one stay, and not while its cache was filling, is compared, so
 * that under constant inputs nothing changes whatever the sites' caches are like. */
static void carry_along(struct core *core, int row, const struct estimate *fresh)
{
    struct core_state *state = &core->state;
    const struct estimate *before = &state->estimates[row];
    struct core_place place;
    if (state->world == NULL || fresh->value < 0 || before->value < 0 ||
        fresh->value == before->value ||
        !core_place_find(core, fresh->namespace_, fresh->app, fresh->workload, &place))
        return;
    int site = place.state->site;
    if (site < 0 || !str_equal(state->world->sites[site].name, fresh->site) ||
        before->at_us < place.state->moved.us + state->world->policy.dwell_us)
        return;
    FOR_EACH_ESTIMATE(core, place.app, (int)(place.state - place.app->workloads), other)
    {
        struct estimate *left = &state->estimates[other];
        if (left->kind != ESTIMATE_HIT_PPM || other == row || left->value < 0)
            continue;
        int64_t value = left->value + fresh->value - before->value;
        left->value = value < 0 ? 0 : value > PPM ? PPM : value;
    }
}
