#include "scheduler/core/routes.h"

#include <string.h>

#include "base/str.h"
#include "scheduler/core/internal.h"

#define SERVERS_MAX (2 * LIMIT_REPLICAS) /* as one message holds */

static void routes_sync(struct core *core);
static void route_add(struct core *core, const struct core_app *app, int workload);
static void route_refresh(struct core *core, struct core_route *route);
static bool role(const struct core *core, const struct core_instance *instance, int *ret_mode);
static bool answers_on(const struct core *core, const struct core_instance *instance);
static int role_of_new(const struct core_instance *instance, const struct core_handoff *handoff);
static int role_of_old(const struct core_instance *instance, const struct core_handoff *handoff);
static bool is_paused(const struct core *core, const struct core_route *route,
                      const struct workload *workload, const struct message_server *servers,
                      int count);
static void weigh(const struct core *core, const struct core_route *route,
                  struct message_server *servers, int count);
static bool routes_send(struct core *core, struct core_route *route, int *left);
static bool route_is_ended(const struct core *core, const struct core_route *route);
static uint64_t route_acked(const struct core_route *route, const char *node);
static void commands_drop(struct core *core, uint64_t version);
static void command_name(uint64_t version, char out[LIMIT_ID_BYTES]);
static bool is_sent(const struct core *core, uint64_t version, const char *node);
static void ingresses_find(struct core *core);
static const char *probe_of(const struct workload *workload);
static bool claims(const struct workload *workload, const struct workload *other);

#define MODE_NONE (-1)

bool core_is_http(const struct core_place *place)
{
    return place->workload->http.path[0] != 0;
}

int core_ingress_count(const struct core *core)
{
    return core->ingress_count;
}

struct core_route *core_route_find(const struct core *core, const char *ns, const char *app,
                                   const char *workload)
{
    for (int i = 0; i < core->state.route_count; i++) {
        struct core_route *route = &core->state.routes[i];
        if (str_equal(route->workload, workload) && str_equal(route->app, app) &&
            str_equal(route->namespace_, ns))
            return route;
    }
    return NULL;
}

void core_route_touch(struct core *core, const char *ns, const char *app, const char *workload)
{
    struct core_route *route = core_route_find(core, ns, app, workload);
    if (route == NULL)
        return;
    route->dirty = true;
    core->reroute = true;
}

void core_routes_touch(struct core *core)
{
    core->reroute = true;
    core->reroute_all = true;
    ingresses_find(core);
}

void core_routes_settle(struct core *core)
{
    struct core_state *state = &core->state;
    if (!core->reroute)
        return;
    core->reroute = false;
    routes_sync(core);
    int left = CORE_ROUTE_COMMANDS;
    for (int i = 0; i < state->command_count; i++)
        left -= state->commands[i].id[0] != 0 && state->commands[i].verb == NODE_ROUTE;
    bool room = true;
    int kept = 0;
    for (int i = 0; i < state->route_count; i++) {
        struct core_route *route = &state->routes[i];
        route_refresh(core, route);
        if (route->gone && route_is_ended(core, route)) {
            commands_drop(core, route->version);
            continue;
        }
        room = room && routes_send(core, route, &left);
        if (kept++ != i)
            state->routes[kept - 1] = *route;
    }
    state->route_count = kept;
    /* Without room in the table, the next step tries again; with none of the share left, the next
     * answer does. */
    core->reroute = !room;
}

/* Which routes there have to be: one per workload with `http:` of an app that is not going. */
static void routes_sync(struct core *core)
{
    struct core_state *state = &core->state;
    if (!core->reroute_all)
        return;
    core->reroute_all = false;
    for (int i = 0; i < state->route_count; i++) {
        struct core_route *route = &state->routes[i];
        struct core_place place;
        route->dirty = true;
        route->gone =
            !core_place_find(core, route->namespace_, route->app, route->workload, &place) ||
            !core_is_http(&place);
    }
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; k < app->app.workload_count; k++) {
            const struct workload *workload = &app->app.workloads[k];
            if (workload->http.path[0] != 0 &&
                core_route_find(core, app->app.namespace_, app->app.name, workload->name) == NULL)
                route_add(core, app, k);
        }
    }
}

/* Ended routes wait for ingresses that are away, and make way for those that are wanted. */
static void route_add(struct core *core, const struct core_app *app, int workload)
{
    struct core_state *state = &core->state;
    if (state->route_count == LIMIT_ROUTES) {
        int at = 0;
        while (at < LIMIT_ROUTES && !state->routes[at].gone)
            at++;
        BERTH_ASSERT(at < LIMIT_ROUTES, "an apply went beyond %d routes", LIMIT_ROUTES);
        commands_drop(core, state->routes[at].version);
        state->route_count--;
        memmove(&state->routes[at], &state->routes[at + 1],
                (size_t)(state->route_count - at) * sizeof(*state->routes));
    }
    struct core_route *route = &state->routes[state->route_count++];
    memset(route, 0, sizeof(*route));
    CORE_SET(route->namespace_, app->app.namespace_);
    CORE_SET(route->app, app->app.name);
    CORE_SET(route->workload, app->app.workloads[workload].name);
    route->dirty = true;
}

/* A new version when what it says differs from what it said. */
static void route_refresh(struct core *core, struct core_route *route)
{
    if (!route->dirty)
        return;
    route->dirty = false;
    struct message_server servers[SERVERS_MAX];
    struct core_place place;
    uint64_t hash = hash_u64(HASH_SEED, route->gone);
    if (!route->gone &&
        core_place_find(core, route->namespace_, route->app, route->workload, &place)) {
        hash = hash_str(hash, place.workload->http.host);
        hash = hash_str(hash, place.workload->http.path);
        hash = hash_str(hash, place.workload->http.probe);
        int count = core_route_servers(core, route, servers, SERVERS_MAX);
        for (int i = 0; i < count; i++) {
            hash = hash_str(hash, servers[i].instance);
            hash = hash_str(hash, servers[i].endpoint);
            hash = hash_u64(hash, (uint64_t)servers[i].mode * 1024 + (uint64_t)servers[i].weight);
        }
        if (is_paused(core, route, place.workload, servers, count))
            hash = hash_u64(hash, true);
    }
    if (hash == route->hash && route->version != 0)
        return;
    commands_drop(core, route->version);
    route->hash = hash;
    route->version = core_next(core);
    core->reroute = true;
}

int core_route_servers(const struct core *core, const struct core_route *route,
                       struct message_server *out, int max)
{
    const struct core_state *state = &core->state;
    if (route->gone)
        return 0;
    const struct index *slots = &core->indexes.slots;
    uint64_t slot = core_slot_hash(route->namespace_, route->app, route->workload);
    int count = 0;
    for (int i = index_first(slots, slot); i >= 0 && count < max; i = index_next(slots, i)) {
        const struct core_instance *instance = &state->instances[i];
        int mode = MODE_NONE;
        if (!str_equal(instance->workload, route->workload) || !role(core, instance, &mode))
            continue;
        struct message_server *server = &out[count++];
        memset(server, 0, sizeof(*server));
        CORE_SET(server->instance, instance->id);
        CORE_SET(server->endpoint, instance->endpoint);
        server->mode = mode;
        server->weight = instance->state == INSTANCE_UNREADY ? 0 : ROUTE_WEIGHT_MAX;
    }
    weigh(core, route, out, count);
    return count;
}

/* What this instance is to the route now; false: not listed. */
static bool role(const struct core *core, const struct core_instance *instance, int *ret_mode)
{
    if (answers_on(core, instance)) {
        *ret_mode = ROUTE_DRAIN;
        return true;
    }
    if (instance->id[0] == 0 || instance->lost || instance->endpoint[0] == 0 ||
        instance->want == WANT_GONE || instance->state < INSTANCE_READY ||
        instance->state > INSTANCE_HELD || instance->state == INSTANCE_BACKOFF)
        return false;
    const struct core_handoff *handoff = core_handoff_find(core, instance->handoff);
    int mode = ROUTE_SERVE;
    if (handoff != NULL && str_equal(handoff->to, instance->id))
        mode = role_of_new(instance, handoff);
    else if (handoff != NULL)
        mode = role_of_old(instance, handoff);
    if (mode == ROUTE_SERVE &&
        (instance->want == WANT_HELD || instance->state == INSTANCE_DRAINING ||
         instance->state == INSTANCE_HELD))
        mode = ROUTE_DRAIN;
#ifdef BERTH_PLANT_UNLIST
    if (mode == ROUTE_DRAIN)
        return false; /* the fault that tests/fault must find */
#endif
    *ret_mode = mode;
    return mode != MODE_NONE;
}

/* A copy that had requests and is ended because its handoff goes back was never told to drain: it
 * answers what it has while it stops, and its connections stay for that. */
static bool answers_on(const struct core *core, const struct core_instance *instance)
{
    if (instance->id[0] == 0 || instance->lost || instance->endpoint[0] == 0 ||
        instance->want != WANT_GONE ||
        (instance->state != INSTANCE_READY && instance->state != INSTANCE_UNREADY &&
         instance->state != INSTANCE_DRAINING && instance->state != INSTANCE_STOPPING))
        return false;
    const struct core_handoff *handoff = core_handoff_find(core, instance->handoff);
    return handoff != NULL && handoff->class_ == HANDOFF_OVERLAP &&
           handoff->state == HANDOFF_STATE_RETURNING && str_equal(handoff->to, instance->id) &&
           handoff->entered[HANDOFF_STATE_REACHABLE].us != 0;
}

static int role_of_new(const struct core_instance *instance, const struct core_handoff *handoff)
{
    if (handoff->state == HANDOFF_STATE_RETURNING)
        return handoff->entered[HANDOFF_STATE_REACHABLE].us != 0 ? ROUTE_DRAIN : MODE_NONE;
    /* A standby of an owner serves nobody before it owns; its probe it answers. */
    if (handoff->class_ != HANDOFF_OVERLAP && handoff->state >= HANDOFF_STATE_READY)
        return handoff->state >= HANDOFF_STATE_GRANTING && instance->state == INSTANCE_READY
                   ? ROUTE_SERVE
                   : ROUTE_PROBE;
    if (handoff->state >= HANDOFF_STATE_REACHABLE && handoff->class_ == HANDOFF_OVERLAP)
        return ROUTE_SERVE;
    return handoff->state == HANDOFF_STATE_READY ? ROUTE_PROBE : MODE_NONE;
}

static int role_of_old(const struct core_instance *instance, const struct core_handoff *handoff)
{
    (void)instance;
    switch (handoff->state) {
    case HANDOFF_STATE_PLANNED:
        return handoff->to[0] == 0 ? ROUTE_DRAIN : ROUTE_SERVE;
    case HANDOFF_STATE_FREEZING:
    case HANDOFF_STATE_FENCING:
    case HANDOFF_STATE_GRANTING:
    case HANDOFF_STATE_LINGERING:
    case HANDOFF_STATE_DRAINING:
    case HANDOFF_STATE_HELD:
    case HANDOFF_STATE_STOPPING:
        return ROUTE_DRAIN;
    default:
        return ROUTE_SERVE;
    }
}

/* Nobody owns for as long as it takes to give the ownership on: an owner is expected, and requests
 * had better wait for it. Where none was there before, or nobody knows of a next one, they had not.
 */
static bool is_paused(const struct core *core, const struct core_route *route,
                      const struct workload *workload, const struct message_server *servers,
                      int count)
{
    for (int i = 0; i < count; i++) {
        if (servers[i].mode == ROUTE_SERVE)
            return false;
    }
    for (int i = 0; i < workload->replicas; i++) {
        const struct core_handoff *handoff =
            core_handoff_of(core, route->namespace_, route->app, route->workload, i);
        if (handoff == NULL || !core_is_owned(handoff) || handoff->to[0] == 0)
            continue;
        if (handoff->state == HANDOFF_STATE_FREEZING || handoff->state == HANDOFF_STATE_FENCING ||
            handoff->state == HANDOFF_STATE_GRANTING ||
            (handoff->state == HANDOFF_STATE_RETURNING &&
             handoff->entered[HANDOFF_STATE_FENCING].us != 0))
            return true;
    }
    return false;
}

/* Those that are not ready serve only when nobody else does; a canary has its share. Weight 0
 * stands for "not ready" until here. */
static void weigh(const struct core *core, const struct core_route *route,
                  struct message_server *servers, int count)
{
    int serving = 0;
    for (int i = 0; i < count; i++)
        serving += servers[i].mode == ROUTE_SERVE && servers[i].weight > 0;
    int canary = -1;
    int64_t canary_ppm = 0;
    for (int i = 0; i < count; i++) {
        if (servers[i].mode == ROUTE_SERVE && servers[i].weight == 0 && serving > 0)
            servers[i].mode = ROUTE_DRAIN;
        servers[i].weight = servers[i].mode == ROUTE_SERVE ? ROUTE_WEIGHT_MAX : 0;
        const struct core_instance *instance = core_instance_find(core, servers[i].instance, NULL);
        const struct core_handoff *handoff =
            instance == NULL ? NULL : core_handoff_find(core, instance->handoff);
        struct core_place place;
        if (servers[i].mode == ROUTE_SERVE && handoff != NULL &&
            str_equal(handoff->to, servers[i].instance) && core_canary_wanted(core, handoff) &&
            core_place_find(core, route->namespace_, route->app, route->workload, &place)) {
            canary = i;
            canary_ppm = place.workload->update.canary_ppm;
        }
    }
    if (canary < 0 || serving < 2)
        return;
    int own = ROUTE_WEIGHT_MAX;
    int other = ROUTE_WEIGHT_MAX;
    core_canary_weights(canary_ppm, serving - 1, &own, &other);
    for (int i = 0; i < count; i++) {
        if (servers[i].mode == ROUTE_SERVE)
            servers[i].weight = i == canary ? own : other;
    }
}

/* False: the table of commands has no room. */
static bool routes_send(struct core *core, struct core_route *route, int *left)
{
    for (int i = 0; i<core->ingress_count && * left> 0; i++) {
        const char *node = core->state.nodes[core->ingresses[i]].name;
        if (route_acked(route, node) >= route->version || is_sent(core, route->version, node))
            continue;
        char name[LIMIT_ID_BYTES];
        command_name(route->version, name);
        if (core_route_command(core, name, route->version, node) == NULL)
            return false;
        (*left)--;
    }
    return true;
}

/* By every ingress that is known, also of those that are away. */
static bool route_is_ended(const struct core *core, const struct core_route *route)
{
    for (int i = 0; i < core->state.node_count; i++) {
        const struct core_node *node = &core->state.nodes[i];
        if (node->ingress[0] != 0 && route_acked(route, node->name) < route->version)
            return false;
    }
    return true;
}

static uint64_t route_acked(const struct core_route *route, const char *node)
{
    for (int i = 0; i < route->ack_count; i++) {
        if (str_equal(route->acks[i].node, node))
            return route->acks[i].version;
    }
    return 0;
}

bool core_routes_flushed(struct core *core, struct core_handoff *handoff)
{
#ifdef BERTH_PLANT_SKIP_FLUSH
    if (handoff->id[0] != 0)
        return true; /* the fault that tests/fault must find: nobody waits for an ingress */
#endif
    routes_sync(core);
    struct core_route *route =
        core_route_find(core, handoff->namespace_, handoff->app, handoff->workload);
    if (route == NULL || route->gone)
        return true;
    if (handoff->route == 0) {
        route->dirty = true;
        route_refresh(core, route);
        handoff->route = route->version;
    }
    return core_routes_missing(core, handoff)[0] == 0;
}

enum core_route_word core_routes_wait(struct core *core, struct core_handoff *handoff)
{
    bool first = handoff->route == 0;
    if (core_routes_flushed(core, handoff))
        return ROUTE_TAKEN;
    if (first)
        handoff->deadline.us = core->state.now.us + CORE_REACH_US;
    return core->state.now.us >= handoff->deadline.us ? ROUTE_LATE : ROUTE_WAITING;
}

bool core_routes_fail(struct handoff_step *step)
{
    char why[LIMIT_TEXT_BYTES];
    CORE_TEXT(why, "the ingress on %s has not taken its route in time",
              core_routes_missing(step->core, step->handoff));
    return core_step_fail(step, why);
}

const char *core_routes_missing(const struct core *core, const struct core_handoff *handoff)
{
    const struct core_route *route =
        core_route_find(core, handoff->namespace_, handoff->app, handoff->workload);
    for (int i = 0; route != NULL && i < core->ingress_count; i++) {
        const char *node = core->state.nodes[core->ingresses[i]].name;
        if (route_acked(route, node) < handoff->route)
            return node;
    }
    return "";
}

void core_routes_hello(struct core *core, const char *node)
{
    for (int i = 0; i < core->state.route_count; i++) {
        struct core_route *route = &core->state.routes[i];
        for (int k = 0; k < route->ack_count; k++) {
            if (str_equal(route->acks[k].node, node))
                route->acks[k] = route->acks[--route->ack_count];
        }
    }
    bool before = core->ingress_count == LIMIT_INGRESSES;
    ingresses_find(core);
    core->reroute = true;
    const struct core_node *found = core_node_find(core, node);
    bool served = false;
    for (int i = 0; i < core->ingress_count; i++)
        served = served || found == &core->state.nodes[core->ingresses[i]];
    if (before && !served && found != NULL && found->ingress[0] != 0)
        core_publish(core, "ingress.ignored", (struct core_subject){.node = node},
                     "there are as many live ingresses as one scheduler serves; it gets no routes");
}

void core_routes_lost(struct core *core, const char *node)
{
    core_routes_hello(core, node);
}

/* An answer to an older version's command does not come here: that command is gone. */
void core_route_taken(struct core *core, const struct core_command *command)
{
    for (int i = 0; i < core->state.route_count; i++) {
        struct core_route *route = &core->state.routes[i];
        if (route->version != command->route)
            continue;
        int at = 0;
        while (at < route->ack_count && !str_equal(route->acks[at].node, command->node))
            at++;
        if (at == LIMIT_INGRESSES)
            return;
        if (at == route->ack_count)
            route->ack_count++;
        CORE_SET(route->acks[at].node, command->node);
        route->acks[at].version = command->route;
        core->reroute = true;
        return;
    }
}

bool core_route_fill(struct core *core, const struct core_command *command,
                     struct message_route *ret_route)
{
    for (int i = 0; i < core->state.route_count; i++) {
        const struct core_route *route = &core->state.routes[i];
        if (route->version != command->route)
            continue;
        struct core_place place;
        CORE_SET(ret_route->namespace_, route->namespace_);
        CORE_SET(ret_route->app, route->app);
        CORE_SET(ret_route->workload, route->workload);
        ret_route->gone = route->gone;
        if (route->gone ||
            !core_place_find(core, route->namespace_, route->app, route->workload, &place))
            return true;
        CORE_SET(ret_route->host, place.workload->http.host);
        CORE_SET(ret_route->path, place.workload->http.path);
        CORE_SET(ret_route->probe, probe_of(place.workload));
        ret_route->servers = arena_array(&core->lent, SERVERS_MAX, sizeof(*ret_route->servers));
        if (ret_route->servers == NULL)
            return false;
        ret_route->server_count = core_route_servers(core, route, ret_route->servers, SERVERS_MAX);
        ret_route->paused =
            is_paused(core, route, place.workload, ret_route->servers, ret_route->server_count);
        return true;
    }
    return false;
}

bool core_route_probe(const struct core *core, const struct core_instance *instance,
                      struct message_route *ret_route)
{
    struct core_place place;
    if (!core_place_find(core, instance->namespace_, instance->app, instance->workload, &place) ||
        !core_is_http(&place))
        return false;
    CORE_SET(ret_route->namespace_, instance->namespace_);
    CORE_SET(ret_route->app, instance->app);
    CORE_SET(ret_route->workload, instance->workload);
    CORE_SET(ret_route->host, place.workload->http.host);
    CORE_SET(ret_route->path, place.workload->http.path);
    CORE_SET(ret_route->probe, probe_of(place.workload));
    return true;
}

/* Any path of its route will do where nobody promises to answer at one with an identity. */
static const char *probe_of(const struct workload *workload)
{
    return workload->http.probe[0] != 0 ? workload->http.probe : workload->http.path;
}

static void commands_drop(struct core *core, uint64_t version)
{
    char name[LIMIT_ID_BYTES];
    struct core_command *command = NULL;
    command_name(version, name);
    while (version != 0 && (command = core_command_next(core, name, command)) != NULL)
        core_command_drop(core, command);
}

/* What stands for the instance in a command of a route. */
static void command_name(uint64_t version, char out[LIMIT_ID_BYTES])
{
    char number[CORE_NUMBER_BYTES];
    str_format(out, LIMIT_ID_BYTES, "route-%s", core_number(version, number));
}

static bool is_sent(const struct core *core, uint64_t version, const char *node)
{
    char name[LIMIT_ID_BYTES];
    struct core_command *command = NULL;
    command_name(version, name);
    while ((command = core_command_next(core, name, command)) != NULL) {
        if (str_equal(command->node, node))
            return true;
    }
    return false;
}

static void ingresses_find(struct core *core)
{
    core->ingress_count = 0;
    for (int i = 0; i < core->state.node_count && core->ingress_count < LIMIT_INGRESSES; i++) {
        const struct core_node *node = &core->state.nodes[i];
        if (node->up && node->ingress[0] != 0)
            core->ingresses[core->ingress_count++] = i;
    }
}

/* ---- what an apply may not do ---- */

int core_routes_check(const struct core *core, const struct app *app, struct error *err)
{
    const struct core_state *state = &core->state;
    int count = 0;
    for (int i = 0; i < app->workload_count; i++)
        count += app->workloads[i].http.path[0] != 0;
    for (int i = 0; i < state->app_count; i++) {
        const struct app *other = &state->apps[i].app;
        if (str_equal(other->name, app->name) && str_equal(other->namespace_, app->namespace_))
            continue;
        for (int k = 0; k < other->workload_count; k++) {
            const struct workload *theirs = &other->workloads[k];
            count += theirs->http.path[0] != 0;
            for (int own = 0; own < app->workload_count; own++) {
                if (!claims(&app->workloads[own], theirs))
                    continue;
                return error_set(
                    err, ERR_EXISTS, 0,
                    "app %s: workload %s wants the requests for %s%s, which go to %s/%s/%s "
                    "already; choose another host or path, or remove that route first",
                    app->name, app->workloads[own].name,
                    theirs->http.host[0] != 0 ? theirs->http.host : "any host, ", theirs->http.path,
                    other->namespace_, other->name, theirs->name);
            }
        }
    }
    if (count <= LIMIT_ROUTES)
        return 0;
    return error_set(
        err, ERR_LIMIT, 0,
        "app %s: with it there were %d HTTP routes, and a scheduler holds at most %d; remove "
        "some first",
        app->name, count, LIMIT_ROUTES);
}

static bool claims(const struct workload *workload, const struct workload *other)
{
    return workload->http.path[0] != 0 && str_equal(workload->http.path, other->http.path) &&
           str_equal(workload->http.host, other->http.host);
}
