#include "scheduler/core/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

static int check_counts(const struct core_state *state, struct error *err);
static int restore_world(struct core *core, const struct core_state *state, struct error *err);
static int restore_app(struct core *core, const struct core_app *app, struct error *err);
static int check_workloads(const struct core_app *app, int sites, struct error *err);
static int restore_nodes(struct core *core, const struct core_state *state, struct error *err);
static int restore_instances(struct core *core, const struct core_state *state, struct error *err);
static int restore_handoffs(struct core *core, const struct core_state *state, struct error *err);
static int restore_operations(struct core *core, const struct core_state *state, struct error *err);
static void copy_rows(void *to, const void *from, int count, size_t bytes_each);

static void cleanup_core(struct core **core)
{
    core_destroy(*core);
}

void core_image_take(const struct core *core, struct core_image *ret_image)
{
    BERTH_ASSERT(core->effects == NULL, "an image in the middle of a step");
    *ret_image = (struct core_image){
        .state = core->state,
        .changed_first = core->changed_first,
        .solve_retry = core->solve_retry,
        .clock_checked = core->clock_checked,
        .diff = core->diff,
        .tidy = core->tidy,
        .starved = core->starved,
    };
}

int core_ring_kept(uint64_t count, int capacity)
{
    return count < (uint64_t)capacity ? (int)count : capacity;
}

int core_restore(const struct core_image *image, struct core **ret_core, struct error *err)
{
    const struct core_state *from = &image->state;
    CLEANUP(cleanup_core) struct core *core = NULL;
    int rc = check_counts(from, err);
    if (rc == 0)
        rc = core_create(&core, err);
    if (rc == 0)
        rc = restore_world(core, from, err);
    for (int i = 0; i < from->app_count && rc == 0; i++)
        rc = restore_app(core, &from->apps[i], err);
    if (rc == 0)
        rc = restore_nodes(core, from, err);
    if (rc == 0)
        rc = restore_instances(core, from, err);
    if (rc == 0)
        rc = restore_handoffs(core, from, err);
    if (rc == 0)
        rc = restore_operations(core, from, err);
    if (rc < 0)
        return rc;
    /* All scalars, then back the tables, which are the new core's own. */
    struct core_state own = core->state;
    struct core_state *state = &core->state;
    *state = *from;
    state->world = own.world;
    state->apps = own.apps;
    state->nodes = own.nodes;
    state->instances = own.instances;
    state->handoffs = own.handoffs;
    state->ended = own.ended;
    state->commands = own.commands;
    state->routes = own.routes;
    state->checkpoints = own.checkpoints;
    state->cordons = own.cordons;
    state->operations = own.operations;
    state->estimates = own.estimates;
    state->decisions = own.decisions;
    copy_rows(state->ended, from->ended, core_ring_kept(from->ended_count, CORE_ENDED),
              sizeof(*state->ended));
    copy_rows(state->commands, from->commands, from->command_count, sizeof(*state->commands));
    copy_rows(state->cordons, from->cordons, from->cordon_count, sizeof(*state->cordons));
    copy_rows(state->routes, from->routes, from->route_count, sizeof(*state->routes));
    copy_rows(state->checkpoints, from->checkpoints, from->checkpoint_count,
              sizeof(*state->checkpoints));
    copy_rows(state->estimates, from->estimates, from->estimate_count, sizeof(*state->estimates));
    copy_rows(state->decisions, from->decisions,
              core_ring_kept(from->decision_count, CORE_DECISIONS), sizeof(*state->decisions));
    for (int i = 0; i < state->command_count; i++)
        core_command_index(core, i);
    core_estimates_index(core);
    for (int i = 0; i < core_ring_kept(state->decision_count, CORE_DECISIONS); i++)
        core_decision_index(core, i);
    core->changed_first = image->changed_first;
    core->solve_retry = image->solve_retry;
    core->clock_checked = image->clock_checked;
    core->diff = image->diff;
    core->tidy = image->tidy;
    core->starved = image->starved;
    core->crowded = image->starved; /* it may be, and then there is more to look at */
    core_routes_touch(core);        /* whatever is pending follows from the tables */
    *ret_core = TAKE(core);
    return 0;
}

static int check_counts(const struct core_state *state, struct error *err)
{
    const struct {
        const char *what;
        int count;
        int most;
    } tables[] = {
        {"apps", state->app_count, LIMIT_APPS},
        {"nodes", state->node_count, LIMIT_NODES},
        {"instances", state->instance_count, LIMIT_INSTANCES},
        {"handoffs", state->handoff_count, LIMIT_HANDOFFS},
        {"commands", state->command_count, LIMIT_COMMANDS},
        {"routes", state->route_count, LIMIT_ROUTES},
        {"checkpoints", state->checkpoint_count, CORE_CHECKPOINTS},
        {"cordons", state->cordon_count, CORE_CORDONS},
        {"operations", state->operation_count, CORE_OPERATIONS},
        {"estimates", state->estimate_count, CORE_ESTIMATES_MAX},
    };
    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        if (tables[i].count < 0 || tables[i].count > tables[i].most)
            return error_set(err, ERR_LIMIT, 0, "an image with %d %s: a core holds 0 to %d",
                             tables[i].count, tables[i].what, tables[i].most);
    }
    for (int i = 0; i < state->command_count; i++) {
        if (state->commands[i].id[0] == 0)
            return error_set(err, ERR_INVALID, 0, "command %d of the image has no id", i);
    }
    for (int i = 0; i < state->route_count; i++) {
        if (state->routes[i].workload[0] == 0 || state->routes[i].ack_count < 0 ||
            state->routes[i].ack_count > LIMIT_INGRESSES)
            return error_set(err, ERR_INVALID, 0,
                             "route %d of the image is of workload \"%s\", taken by %d ingresses",
                             i, state->routes[i].workload, state->routes[i].ack_count);
    }
    if (state->world == NULL && state->app_count > 0)
        return error_set(err, ERR_INVALID, 0, "the image has %d apps but no world",
                         state->app_count);
    return 0;
}

static int restore_world(struct core *core, const struct core_state *state, struct error *err)
{
    if (state->world == NULL)
        return 0;
    if (core_world_copy(state->world, &core->world_arena, &core->world) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "the world does not fit in memory");
    core->state.world = &core->world;
    core->world_hash = world_hash(&core->world);
    return 0;
}

static int restore_app(struct core *core, const struct core_app *app, struct error *err)
{
    struct core_state *state = &core->state;
    int sites = state->world->site_count;
    struct core_app made;
    if (core_app_find(core, app->app.namespace_, app->app.name) != NULL)
        return error_set(err, ERR_INVALID, 0, "the image has app %s/%s twice", app->app.namespace_,
                         app->app.name);
    int rc = check_workloads(app, sites, err);
    if (rc < 0)
        return rc;
    if (core_app_make(core, &app->app, &made) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "app %s does not fit in memory", app->app.name);
    made.version = app->version;
    made.input_version = app->input_version;
    made.deleting = app->deleting;
    core->sweep |= app->deleting;
    core->blocked = true;
    for (int i = 0; i < made.app.workload_count; i++) {
        bool *site_blocked = made.workloads[i].site_blocked;
        struct core_veto *vetoes = made.workloads[i].vetoes;
        made.workloads[i] = app->workloads[i];
        made.workloads[i].site_blocked = site_blocked;
        made.workloads[i].vetoes = vetoes;
        memcpy(vetoes, app->workloads[i].vetoes, CORE_VETOES * sizeof(*vetoes));
        memcpy(site_blocked, app->workloads[i].site_blocked, (size_t)sites * sizeof(bool));
    }
    state->apps[state->app_count++] = made;
    core_app_index(core, state->app_count - 1);
    return 0;
}

/* Indices that the core will follow have to lead somewhere. */
static int check_workloads(const struct core_app *app, int sites, struct error *err)
{
    for (int i = 0; i < app->app.workload_count; i++) {
        const struct core_workload *workload = &app->workloads[i];
        const char *name = app->app.workloads[i].name;
        int worst = workload->site;
        if (workload->trial.site >= sites || workload->trial.site < -1)
            worst = workload->trial.site;
        for (int k = 0; k < CORE_VETOES; k++) {
            if (workload->vetoes[k].site >= sites || workload->vetoes[k].site < -1)
                worst = workload->vetoes[k].site;
            if (workload->vetoes[k].input_count < 0 ||
                workload->vetoes[k].input_count > CORE_VETO_INPUTS)
                return error_set(err, ERR_INVALID, 0, "a veto of %s in the image has %d inputs",
                                 name, workload->vetoes[k].input_count);
        }
        if (worst < -1 || worst >= sites)
            return error_set(err, ERR_INVALID, 0,
                             "workload %s of the image is at site %d, but its world has %d", name,
                             worst, sites);
        if (workload->lead < 0 || workload->lead > i)
            return error_set(err, ERR_INVALID, 0,
                             "workload %s of the image is served by workload %d of its app, which "
                             "does not come before it",
                             name, workload->lead);
        int variants = app->app.workloads[i].variant_count;
        if (workload->variant < 0 || (workload->variant > 0 && workload->variant >= variants) ||
            (workload->trial.site >= 0 && workload->trial.variant != 0 &&
             (workload->trial.variant < 0 || workload->trial.variant >= variants)))
            return error_set(err, ERR_INVALID, 0,
                             "workload %s of the image runs variant %d, and it has %d", name,
                             workload->variant, variants);
    }
    return 0;
}

static int restore_nodes(struct core *core, const struct core_state *state, struct error *err)
{
    for (int i = 0; i < state->node_count; i++) {
        const char *name = state->nodes[i].name;
        if (!name_is_valid(name) || core_node_find(core, name) != NULL)
            return error_set(err, ERR_INVALID, 0,
                             "node %d of the image is \"%s\": no name, or there twice", i, name);
        struct core_node *node = &core->state.nodes[core->state.node_count++];
        *node = state->nodes[i];
        core_node_index(core, i);
        node->site_index = state->world == NULL ? -1 : world_site(state->world, node->site);
    }
    return 0;
}

/* In the order of the table: of two with one id the scheduler's own comes first. */
static int restore_instances(struct core *core, const struct core_state *state, struct error *err)
{
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *from = &state->instances[i];
        if (from->id[0] == 0 || core_instance_find(core, from->id, from->node) != NULL)
            return error_set(err, ERR_INVALID, 0,
                             "instance %d of the image is \"%s\": no id, or there twice", i,
                             from->id);
        struct core_instance *to = core_instance_add(core, from->id, from->namespace_, from->app,
                                                     from->workload, from->replica, from->node);
        if (to == NULL)
            return error_set(err, ERR_INVALID, 0,
                             "instance %s of the image is at node \"%s\", which it does not have",
                             from->id, from->node);
        int node_index = to->node_index;
        *to = *from;
        to->node_index = node_index;
    }
    return 0;
}

static int restore_handoffs(struct core *core, const struct core_state *state, struct error *err)
{
    for (int i = 0; i < state->handoff_count; i++) {
        const struct core_handoff *from = &state->handoffs[i];
        if (from->id[0] == 0 || core_handoff_find(core, from->id) != NULL ||
            (from->from[0] == 0 && from->to[0] == 0))
            return error_set(err, ERR_INVALID, 0,
                             "handoff %d of the image is \"%s\": no id, no side, or there twice", i,
                             from->id);
        if (from->state == HANDOFF_STATE_DONE || from->state == HANDOFF_STATE_BACK ||
            from->vantage_count < 0 || from->vantage_count > CORE_VANTAGES)
            return error_set(err, ERR_INVALID, 0,
                             "handoff %s of the image is in state %s with %d vantages: no handoff "
                             "under way is",
                             from->id, handoff_state_words[from->state], from->vantage_count);
        core->state.handoffs[core->state.handoff_count++] = *from;
        core_handoff_index(core, i);
    }
    return 0;
}

/* Their steps are memory of the core's own. */
static int restore_operations(struct core *core, const struct core_state *state, struct error *err)
{
    for (int i = 0; i < state->operation_count; i++) {
        const struct core_operation *from = &state->operations[i];
        if (from->step_count < 0 || from->step_count > LIMIT_OPERATION_STEPS || from->id[0] == 0)
            return error_set(err, ERR_LIMIT, 0, "operation %d of the image has %d steps: 0 to %d",
                             i, from->step_count, LIMIT_OPERATION_STEPS);
        struct core_operation_step *steps = calloc((size_t)from->step_count + 1, sizeof(*steps));
        if (steps == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "the operations do not fit in memory");
        struct core_operation *to = &core->state.operations[core->state.operation_count++];
        *to = *from;
        to->steps = steps;
        copy_rows(steps, from->steps, from->step_count, sizeof(*steps));
    }
    return 0;
}

static void copy_rows(void *to, const void *from, int count, size_t bytes_each)
{
    if (count > 0)
        memcpy(to, from, (size_t)count * bytes_each);
}
