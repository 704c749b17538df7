/* `get routes`: what every ingress is to have, and what it has taken. */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/routes.h"
#include "scheduler/service/service_internal.h"

#define SERVERS_MAX (2 * LIMIT_REPLICAS)

static void write_route(const struct service *service, const struct core_route *route,
                        struct json_out *json);
static void write_servers(const struct service *service, const struct core_route *route,
                          struct json_out *json);
static void write_ingresses(const struct core_state *state, const struct core_route *route,
                            struct json_out *json);
static const struct workload *workload_of(const struct core_state *state,
                                          const struct core_route *route);

void service_routes_write(const struct service *service, const struct message_request *request,
                          struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->route_count; i++) {
        const struct core_route *route = &state->routes[i];
        if (service_narrowed(request, route->namespace_, route->app, route->workload))
            write_route(service, route, json);
    }
}

static void write_route(const struct service *service, const struct core_route *route,
                        struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    const struct workload *workload = workload_of(state, route);
    json_open(json, NULL, '{');
    json_string(json, "namespace", route->namespace_);
    json_string(json, "app", route->app);
    json_string(json, "workload", route->workload);
    json_string(json, "host", workload == NULL ? "" : workload->http.host);
    json_string(json, "path", workload == NULL ? "" : workload->http.path);
    json_string(json, "probe", workload == NULL ? "" : workload->http.probe);
    json_int(json, "version", (int64_t)route->version);
    json_bool(json, "gone", route->gone);
    write_servers(service, route, json);
    write_ingresses(state, route, json);
    json_close(json, '}');
}

static void write_servers(const struct service *service, const struct core_route *route,
                          struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    struct message_server servers[SERVERS_MAX];
    int count = core_route_servers(service->core, route, servers, SERVERS_MAX);
    json_open(json, "servers", '[');
    for (int i = 0; i < count; i++) {
        const char *node = "";
        for (int k = 0; k < state->instance_count; k++) {
            if (str_equal(state->instances[k].id, servers[i].instance))
                node = state->instances[k].node;
        }
        json_open(json, NULL, '{');
        json_string(json, "instance", servers[i].instance);
        json_string(json, "node", node);
        json_string(json, "endpoint", servers[i].endpoint);
        json_string(json, "mode", route_mode_words[servers[i].mode]);
        json_int(json, "weight", servers[i].weight);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* Those that are away have taken nothing that counts: they get all routes when they come. */
static void write_ingresses(const struct core_state *state, const struct core_route *route,
                            struct json_out *json)
{
    json_open(json, "ingresses", '[');
    for (int i = 0; i < state->node_count; i++) {
        const struct core_node *node = &state->nodes[i];
        if (node->ingress[0] == 0)
            continue;
        uint64_t taken = 0;
        for (int k = 0; k < route->ack_count; k++) {
            if (str_equal(route->acks[k].node, node->name))
                taken = route->acks[k].version;
        }
        json_open(json, NULL, '{');
        json_string(json, "node", node->name);
        json_string(json, "listens", node->ingress);
        json_bool(json, "up", node->up);
        json_bool(json, "taken", taken == route->version);
        json_int(json, "version", (int64_t)taken);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static const struct workload *workload_of(const struct core_state *state,
                                          const struct core_route *route)
{
    for (int i = 0; i < state->app_count && !route->gone; i++) {
        const struct app *app = &state->apps[i].app;
        if (!str_equal(app->name, route->app) || !str_equal(app->namespace_, route->namespace_))
            continue;
        for (int k = 0; k < app->workload_count; k++) {
            if (str_equal(app->workloads[k].name, route->workload))
                return &app->workloads[k];
        }
    }
    return NULL;
}
