/* Finding rows by their names: the indexes beside the tables, and what is asked of them. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "scheduler/core/internal.h"

static uint64_t name_hash(const char *name);
static uint64_t app_hash_of(const char *ns, const char *name);
static struct core_place place_of(struct core_app *app, int index);
static struct core_handoff *handoff_at(const struct core *core, uint64_t slot, const char *ns,
                                       const char *app, const char *workload, int replica);
static uint64_t estimate_hash(const struct estimate *estimate);
static int estimate_from(const struct core *core, int row, const struct core_app *app, int index);
static const struct core_home *home_of(const struct core *core, struct core_home *home,
                                       const char *ns, const char *app, const char *workload);

int core_indexes_create(struct core_indexes *indexes)
{
    const struct {
        struct index *index;
        int capacity;
    } all[] = {
        {&indexes->apps, LIMIT_APPS},
        {&indexes->nodes, LIMIT_NODES},
        {&indexes->instances, LIMIT_INSTANCES},
        {&indexes->slots, LIMIT_INSTANCES},
        {&indexes->handoffs, LIMIT_HANDOFFS},
        {&indexes->handoff_slots, LIMIT_HANDOFFS},
        {&indexes->commands, LIMIT_COMMANDS},
        {&indexes->command_instances, LIMIT_COMMANDS},
        {&indexes->estimates, CORE_ESTIMATES_MAX},
    };
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        bytes += index_bytes(all[i].capacity);
    char *at = calloc(1, bytes);
    indexes->memory = at;
    indexes->hints = calloc(LIMIT_HANDOFFS, sizeof(*indexes->hints));
    indexes->common = calloc(CORE_ESTIMATES_MAX, sizeof(*indexes->common));
    indexes->homes = calloc(LIMIT_INSTANCES, sizeof(*indexes->homes));
    indexes->measured = calloc(CORE_ESTIMATES_MAX, sizeof(*indexes->measured));
    indexes->apps_made = 1;
    if (at == NULL || indexes->hints == NULL || indexes->common == NULL || indexes->homes == NULL ||
        indexes->measured == NULL) {
        core_indexes_destroy(indexes);
        return ERR_NO_MEMORY;
    }
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        index_init(all[i].index, all[i].capacity, at);
        at += index_bytes(all[i].capacity);
    }
    return 0;
}

void core_indexes_destroy(struct core_indexes *indexes)
{
    free(indexes->memory);
    free(indexes->hints);
    free(indexes->common);
    free(indexes->homes);
    free(indexes->measured);
    indexes->memory = NULL;
    indexes->hints = NULL;
    indexes->common = NULL;
    indexes->homes = NULL;
    indexes->measured = NULL;
}

/* ---- apps and their workloads ---- */

void core_app_index(struct core *core, int row)
{
    const struct app *app = &core->state.apps[row].app;
    index_add(&core->indexes.apps, row, app_hash_of(app->namespace_, app->name));
    core_app_replaced(core, row);
}

void core_app_replaced(struct core *core, int row)
{
    core->indexes.apps_made++;
    core->indexes.tried[row] = true;
}

void core_decision_index(struct core *core, int row)
{
    const struct core_decision *decision = &core->state.decisions[row];
    core->indexes.decisions[row] =
        core_slot_hash(decision->namespace_, decision->app, decision->workload);
}

void core_apps_index(struct core *core)
{
    index_relink(&core->indexes.apps, 0);
    core->indexes.apps_made++;
    for (int i = 0; i < core->state.app_count; i++)
        core_app_index(core, i);
}

struct core_app *core_app_find(const struct core *core, const char *ns, const char *name)
{
    const struct index *index = &core->indexes.apps;
    for (int i = index_first(index, app_hash_of(ns, name)); i >= 0; i = index_next(index, i)) {
        struct core_app *app = &core->state.apps[i];
        if (str_equal(app->app.name, name) && str_equal(app->app.namespace_, ns))
            return app;
    }
    return NULL;
}

int core_names_index(const struct app *app, struct core_storage *storage)
{
    size_t words = index_bytes(app->workload_count) / sizeof(uint64_t) + 1;
    uint64_t *memory = arena_array(&storage->arena, words, sizeof(*memory));
    storage->slots =
        arena_array(&storage->arena, (size_t)app->workload_count + 1, sizeof(*storage->slots));
    if (memory == NULL || storage->slots == NULL)
        return ERR_NO_MEMORY;
    index_init(&storage->names, app->workload_count, memory);
    for (int i = 0; i < app->workload_count; i++) {
        const char *name = app->workloads[i].name;
        index_add(&storage->names, i, name_hash(name));
        storage->slots[i] = core_slot_hash(app->namespace_, app->name, name);
    }
    return 0;
}

bool core_place_find(const struct core *core, const char *ns, const char *app, const char *workload,
                     struct core_place *ret_place)
{
    struct core_app *found = core_app_find(core, ns, app);
    if (found == NULL)
        return false;
    const struct index *names = &((const struct core_storage *)found->storage)->names;
    int index = index_first(names, name_hash(workload));
    while (index >= 0 && !str_equal(found->app.workloads[index].name, workload))
        index = index_next(names, index);
    if (index < 0)
        return false;
    *ret_place = place_of(found, index);
    return true;
}

static struct core_place place_of(struct core_app *app, int index)
{
    return (struct core_place){
        .app = app,
        .workload = &app->app.workloads[index],
        .state = &app->workloads[index],
        .spec_hash = core_spec_hash(app, index, app->workloads[index].variant),
    };
}

bool core_instance_place(const struct core *core, const struct core_instance *instance,
                         struct core_place *ret_place)
{
    struct core_home *known = &core->indexes.homes[instance - core->state.instances];
    const struct core_home *home =
        home_of(core, known, instance->namespace_, instance->app, instance->workload);
    if (home->app < 0)
        return false;
    *ret_place = place_of(&core->state.apps[home->app], home->workload);
    return true;
}

static const struct core_home *home_of(const struct core *core, struct core_home *home,
                                       const char *ns, const char *app, const char *workload)
{
    struct core_place place;
    if (home->made == core->indexes.apps_made)
        return home;
    *home = (struct core_home){.made = core->indexes.apps_made, .app = -1};
    if (core_place_find(core, ns, app, workload, &place)) {
        home->app = (int)(place.app - core->state.apps);
        home->workload = (int)(place.state - place.app->workloads);
    }
    return home;
}

/* ---- nodes and instances ---- */

void core_node_index(struct core *core, int row)
{
    index_add(&core->indexes.nodes, row, name_hash(core->state.nodes[row].name));
}

struct core_node *core_node_find(const struct core *core, const char *name)
{
    const struct index *index = &core->indexes.nodes;
    for (int i = index_first(index, name_hash(name)); i >= 0; i = index_next(index, i)) {
        if (str_equal(core->state.nodes[i].name, name))
            return &core->state.nodes[i];
    }
    return NULL;
}

void core_instance_index(struct core *core, int row)
{
    const struct core_instance *instance = &core->state.instances[row];
    index_add(&core->indexes.instances, row, name_hash(instance->id));
    index_add(&core->indexes.slots, row,
              core_slot_hash(instance->namespace_, instance->app, instance->workload));
    core->indexes.homes[row].made = 0;
}

struct core_instance *core_instance_find(const struct core *core, const char *id, const char *node)
{
    const struct index *index = &core->indexes.instances;
    if (id[0] == 0)
        return NULL;
    for (int i = index_first(index, name_hash(id)); i >= 0; i = index_next(index, i)) {
        struct core_instance *instance = &core->state.instances[i];
        /* Without a node the scheduler's own is meant: it was there before any foreign one. */
        if (str_equal(instance->id, id) && (node == NULL || str_equal(instance->node, node)))
            return instance;
    }
    return NULL;
}

uint64_t core_slot_hash(const char *ns, const char *app, const char *workload)
{
    return hash_str(hash_str(hash_str(HASH_SEED, ns), app), workload);
}

uint64_t core_slot_of(const struct core_app *app, int index)
{
    return ((const struct core_storage *)app->storage)->slots[index];
}

/* ---- handoffs and commands ---- */

void core_handoff_index(struct core *core, int row)
{
    const struct core_handoff *handoff = &core->state.handoffs[row];
    index_add(&core->indexes.handoffs, row, name_hash(handoff->id));
    index_add(&core->indexes.handoff_slots, row,
              core_slot_hash(handoff->namespace_, handoff->app, handoff->workload));
    const struct core_instance *side =
        core_instance_find(core, handoff->to[0] != 0 ? handoff->to : handoff->from, NULL);
    core->pace.handoff_node[row] = side == NULL ? -1 : side->node_index;
}

struct core_handoff *core_handoff_find(const struct core *core, const char *id)
{
    const struct index *index = &core->indexes.handoffs;
    if (id[0] == 0)
        return NULL;
    for (int i = index_first(index, name_hash(id)); i >= 0; i = index_next(index, i)) {
        if (str_equal(core->state.handoffs[i].id, id))
            return &core->state.handoffs[i];
    }
    return NULL;
}

struct core_instance *core_handoff_instance(const struct core *core,
                                            const struct core_handoff *handoff, const char *id)
{
    int row = (int)(handoff - core->state.handoffs);
    BERTH_ASSERT(row >= 0 && row < LIMIT_HANDOFFS, "handoff %s is not in the table", handoff->id);
    int *hint = &core->indexes.hints[row].sides[id == handoff->to];
    if (id[0] == 0)
        return NULL;
    if (*hint < core->state.instance_count) {
        struct core_instance *instance = &core->state.instances[*hint];
        if (str_equal(instance->id, id) && str_equal(instance->handoff, handoff->id))
            return instance;
    }
    struct core_instance *instance = core_instance_find(core, id, NULL);
    if (instance == NULL || !str_equal(instance->handoff, handoff->id))
        return NULL;
    *hint = (int)(instance - core->state.instances);
    return instance;
}

bool core_handoff_place(const struct core *core, const struct core_handoff *handoff,
                        struct core_place *ret_place)
{
    struct core_hint *hint = &core->indexes.hints[handoff - core->state.handoffs];
    if (hint->app < core->state.app_count) {
        struct core_app *app = &core->state.apps[hint->app];
        if (hint->workload < app->app.workload_count &&
            str_equal(app->app.workloads[hint->workload].name, handoff->workload) &&
            str_equal(app->app.name, handoff->app) &&
            str_equal(app->app.namespace_, handoff->namespace_)) {
            *ret_place = place_of(app, hint->workload);
            return true;
        }
    }
    if (!core_place_find(core, handoff->namespace_, handoff->app, handoff->workload, ret_place))
        return false;
    hint->app = (int)(ret_place->app - core->state.apps);
    hint->workload = (int)(ret_place->state - ret_place->app->workloads);
    return true;
}

struct core_handoff *core_handoff_of(const struct core *core, const char *ns, const char *app,
                                     const char *workload, int replica)
{
    return handoff_at(core, core_slot_hash(ns, app, workload), ns, app, workload, replica);
}

struct core_handoff *core_slot_handoff(const struct core *core, const struct core_app *app,
                                       int index, int replica)
{
    return handoff_at(core, core_slot_of(app, index), app->app.namespace_, app->app.name,
                      app->app.workloads[index].name, replica);
}

static struct core_handoff *handoff_at(const struct core *core, uint64_t slot, const char *ns,
                                       const char *app, const char *workload, int replica)
{
    const struct index *index = &core->indexes.handoff_slots;
    for (int i = index_first(index, slot); i >= 0; i = index_next(index, i)) {
        struct core_handoff *handoff = &core->state.handoffs[i];
        if (handoff->id[0] != 0 && handoff->replica == replica &&
            str_equal(handoff->workload, workload) && str_equal(handoff->app, app) &&
            str_equal(handoff->namespace_, ns))
            return handoff;
    }
    return NULL;
}

void core_command_index(struct core *core, int row)
{
    const struct core_command *command = &core->state.commands[row];
    index_add(&core->indexes.commands, row, name_hash(command->id));
    index_add(&core->indexes.command_instances, row, name_hash(command->instance));
}

struct core_command *core_command_find(const struct core *core, const char *id)
{
    const struct index *index = &core->indexes.commands;
    if (id[0] == 0)
        return NULL;
    for (int i = index_first(index, name_hash(id)); i >= 0; i = index_next(index, i)) {
        if (str_equal(core->state.commands[i].id, id))
            return &core->state.commands[i];
    }
    return NULL;
}

struct core_command *core_command_next(const struct core *core, const char *instance,
                                       const struct core_command *after)
{
    const struct index *index = &core->indexes.command_instances;
    int row = after == NULL ? index_first(index, name_hash(instance))
                            : index_next(index, (int)(after - core->state.commands));
    for (; row >= 0; row = index_next(index, row)) {
        struct core_command *command = &core->state.commands[row];
        if (command->id[0] != 0 && str_equal(command->instance, instance))
            return command;
    }
    return NULL;
}

/* ---- estimates ---- */

void core_estimate_index(struct core *core, int row)
{
    struct core_indexes *indexes = &core->indexes;
    index_add(&indexes->estimates, row, estimate_hash(&core->state.estimates[row]));
    indexes->measured[row].made = 0;
    if (core->state.estimates[row].app[0] == 0)
        indexes->common[indexes->common_count++] = row;
}

void core_estimates_index(struct core *core)
{
    index_relink(&core->indexes.estimates, 0);
    core->indexes.common_count = 0;
    for (int i = 0; i < core->state.estimate_count; i++)
        core_estimate_index(core, i);
}

int core_estimate_find(const struct core *core, const struct estimate *like)
{
    const struct index *index = &core->indexes.estimates;
    int row = index_first(index, estimate_hash(like));
    while (row >= 0 && !core_estimate_same(&core->state.estimates[row], like))
        row = index_next(index, row);
    return row;
}

bool core_estimate_same(const struct estimate *a, const struct estimate *b)
{
    return a->kind == b->kind && str_equal(a->workload, b->workload) &&
           str_equal(a->site, b->site) && str_equal(a->peer, b->peer) &&
           str_equal(a->app, b->app) && str_equal(a->namespace_, b->namespace_);
}

int core_estimate_first(const struct core *core, const struct core_app *app, int index)
{
    int row = index_first(&core->indexes.estimates, core_slot_of(app, index));
    return estimate_from(core, row, app, index);
}

int core_estimate_next(const struct core *core, const struct core_app *app, int index, int row)
{
    return estimate_from(core, index_next(&core->indexes.estimates, row), app, index);
}

/* The first of the workload among the rows of its hash from that one on. */
static int estimate_from(const struct core *core, int row, const struct core_app *app, int index)
{
    for (; row >= 0; row = index_next(&core->indexes.estimates, row)) {
        const struct estimate *estimate = &core->state.estimates[row];
        const struct core_home *home =
            home_of(core, &core->indexes.measured[row], estimate->namespace_, estimate->app,
                    estimate->workload);
        if (home->app == app - core->state.apps && home->workload == index)
            return row;
    }
    return -1;
}

static uint64_t estimate_hash(const struct estimate *estimate)
{
    if (estimate->workload[0] == 0)
        return hash_str(hash_str(HASH_SEED, estimate->site), estimate->peer);
    return core_slot_hash(estimate->namespace_, estimate->app, estimate->workload);
}

static uint64_t name_hash(const char *name)
{
    return hash_str(HASH_SEED, name);
}

static uint64_t app_hash_of(const char *ns, const char *name)
{
    return hash_str(hash_str(HASH_SEED, ns), name);
}
