/* What the cost model sees of the core's state. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"
#include "scheduler/core/operation.h"

static int fill_app(const struct core *core, const struct app *app, const struct core_app *known,
                    struct arena *arena, struct cost_app *ret_app);
static bool is_named(const struct app *app, const char *name);
static bool may_move(const struct core *core, const struct core_app *known, int index);
static int fill_capacity(const struct core *core, struct arena *arena, struct cost_input *input);

int core_cost_input(const struct core *core, const struct app *instead, const char *without,
                    struct arena *arena, struct cost_input *ret_input, struct error *err)
{
    const struct core_state *state = &core->state;
    if (state->world == NULL)
        return error_set(err, ERR_UNAVAILABLE, 0, "there is no world yet; load one first");
    struct cost_input input = {
        .world = state->world,
        .estimates = {state->estimates, state->estimate_count},
        .now_us = state->now.us,
    };
    input.apps = arena_array(arena, (size_t)state->app_count + 1, sizeof(*input.apps));
    if (input.apps == NULL || fill_capacity(core, arena, &input) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "the cost model's input does not fit in memory");
    bool replaced = false;
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *known = &state->apps[i];
        const struct app *app = &known->app;
        if (without != NULL && is_named(app, without))
            continue;
        if (instead != NULL && str_equal(instead->name, app->name) &&
            str_equal(instead->namespace_, app->namespace_)) {
            app = instead;
            replaced = true;
        } else if (known->deleting) {
            continue;
        }
        if (fill_app(core, app, known, arena, &input.apps[input.app_count++]) < 0)
            return error_set(err, ERR_NO_MEMORY, 0, "app %s/%s does not fit in memory",
                             app->namespace_, app->name);
    }
    if (instead != NULL && !replaced &&
        fill_app(core, instead, NULL, arena, &input.apps[input.app_count++]) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "app %s does not fit in memory", instead->name);
    *ret_input = input;
    return 0;
}

/* "namespace/app". */
static bool is_named(const struct app *app, const char *name)
{
    char own[LIMIT_REF_BYTES];
    str_format(own, sizeof(own), "%s/%s", app->namespace_, app->name);
    return str_equal(own, name);
}

int core_cost_present(const struct core *core, const bool *own, struct arena *arena,
                      struct cost_input *ret_input, struct error *err)
{
    const struct core_state *state = &core->state;
    if (state->world == NULL)
        return error_set(err, ERR_UNAVAILABLE, 0, "there is no world yet; load one first");
    struct cost_input input = {
        .world = state->world,
        .estimates = {state->estimates, state->estimate_count},
        .now_us = state->now.us,
    };
    input.apps = arena_array(arena, (size_t)state->app_count + 1, sizeof(*input.apps));
    if (input.apps == NULL || fill_capacity(core, arena, &input) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "the cost model's input does not fit in memory");
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *known = &state->apps[i];
        if (known->deleting || (own != NULL && !own[i]))
            continue;
        struct cost_app *app = &input.apps[input.app_count++];
        app->app = &known->app;
        app->states =
            arena_array(arena, (size_t)known->app.workload_count + 1, sizeof(*app->states));
        if (app->states == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "app %s/%s does not fit in memory",
                             known->app.namespace_, known->app.name);
        for (int k = 0; k < known->app.workload_count; k++) {
            const struct core_workload *there = &known->workloads[k];
            app->states[k] = (struct workload_state){
                .now = {there->site, there->variant, there->lead}, .may_move = true};
        }
    }
    *ret_input = input;
    return 0;
}

static int fill_app(const struct core *core, const struct app *app, const struct core_app *known,
                    struct arena *arena, struct cost_app *ret_app)
{
    ret_app->app = app;
    ret_app->states = arena_array(arena, (size_t)app->workload_count + 1, sizeof(*ret_app->states));
    if (ret_app->states == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < app->workload_count; i++) {
        struct workload_state *state = &ret_app->states[i];
        *state = (struct workload_state){.now = {.site = -1, .lead = i}, .may_move = true};
        int index = known == NULL        ? -1
                    : app == &known->app ? i
                                         : app_workload(&known->app, app->workloads[i].name);
        if (index < 0)
            continue;
        const struct core_workload *there = &known->workloads[index];
        state->now = (struct placement){there->site, there->variant, there->lead};
        state->site_blocked = app == &known->app ? core_sites_closed(core, known, index, arena)
                                                 : known->workloads[index].site_blocked;
        state->site_blocked =
            core_cordons_close(core, &app->workloads[i], state->site_blocked, arena);
        if (state->site_blocked == NULL)
            return ERR_NO_MEMORY;
        /* Heavy bytes are moved by people: a plan is made around where they are. */
        state->may_move =
            state->now.site < 0 ||
            (app->moves == MOVES_AUTO && app->workloads[i].kind != KIND_DATA &&
             may_move(core, known, index)) ||
            (app->workloads[i].kind != KIND_DATA && core_site_cordoned(core, state->now.site));
        if (core_operation_holds(core, known, index))
            state->may_move = false;
    }
    return 0;
}

/* A move on its way, a dwell that is not over and a measurement that is too old hold it back. What
 * was measured at a site that it has left is never measured there again, and holds nothing back. */
static bool may_move(const struct core *core, const struct core_app *known, int index)
{
    const struct core_state *state = &core->state;
    const struct policy *policy = &state->world->policy;
    const struct app *app = &known->app;
    const struct core_workload *workload = &known->workloads[index];
    const char *name = app->workloads[index].name;
    const char *site = workload->site < 0 ? "" : state->world->sites[workload->site].name;
    if (workload->moved.us != 0 && state->now.us < workload->moved.us + policy->dwell_us)
        return false;
    const struct index *moving = &core->indexes.handoff_slots;
    int first = index_first(moving, core_slot_of(known, index));
    for (int i = first; i >= 0; i = index_next(moving, i)) {
        const struct core_handoff *handoff = &state->handoffs[i];
        if (str_equal(handoff->workload, name) && str_equal(handoff->app, app->name) &&
            str_equal(handoff->namespace_, app->namespace_))
            return false;
    }
    FOR_EACH_ESTIMATE(core, known, index, row)
    {
        const struct estimate *estimate = &state->estimates[row];
        if (state->now.us - estimate->at_us > policy->metric_age_max_us &&
            (estimate->site[0] == '\0' || str_equal(estimate->site, site)))
            return false;
    }
    return true;
}

static int fill_capacity(const struct core *core, struct arena *arena, struct cost_input *input)
{
    const struct core_state *state = &core->state;
    int sites = state->world->site_count;
    input->capacity = arena_array(arena, (size_t)sites + 1, sizeof(*input->capacity));
    if (input->capacity == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < sites; i++) {
        for (int k = 0; k < RESOURCE_COUNT; k++)
            input->capacity[i][k] = -1;
    }
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        /* What stays at a site that is emptied as a whole takes room there all the same. */
        if (!node->up || node->site_index < 0 ||
            (core_node_cordoned(core, node) && !core_site_cordoned(core, node->site_index)))
            continue;
        for (int k = 0; k < RESOURCE_COUNT; k++) {
            int64_t *capacity = &input->capacity[node->site_index][k];
            *capacity = (*capacity < 0 ? 0 : *capacity) + node->capacity[k];
        }
    }
    return 0;
}

int core_placement(const struct core *core, const struct cost_input *input, struct arena *arena,
                   struct placement **ret_at, struct error *err)
{
    (void)core; /* the input holds the state that it was made from */
    int parts = 0;
    for (int i = 0; i < input->app_count; i++)
        parts += input->apps[i].app->workload_count;
    struct placement *at = arena_array(arena, (size_t)parts + 1, sizeof(*at));
    if (at == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "%d parts do not fit in memory", parts);
    for (int i = 0, part = 0; i < input->app_count; i++) {
        for (int k = 0; k < input->apps[i].app->workload_count; k++)
            at[part++] = input->apps[i].states[k].now;
    }
    *ret_at = at;
    return 0;
}
