/*
 * routes: what this node's ingress was told, by workload: a route with a lower epoch than the last
 * one is refused, a repeat is answered again, and an answer means that the shell has said that
 * traffic follows. In memory only: an ingress keeps its routes by itself, and a hello brings all of
 * them anew, by later epochs. So that this agent, which knows no epochs yet, does not take one that
 * was sent to the agent before it, a route says which hello its sender has heard.
 */
#include "executors/node/core/node_state.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

static bool is_of_this_life(struct node *node, const struct message_command *command,
                            struct error *verdict);
static struct node_route *find(struct node *node, const struct message_route *route);
static struct node_route *place(struct node *node, const struct message_route *route);
static void answer(struct node *node, const char *id, struct epoch epoch, int code,
                   const char *text);

void route_take(struct node *node, const struct message_command *command)
{
    const struct message_route *wanted = &command->route;
    struct error verdict = {0};
    struct node_route *route = NULL;
    if (command->id[0] == 0 || !name_is_valid(wanted->namespace_) || !name_is_valid(wanted->app) ||
        !name_is_valid(wanted->workload)) {
        (void)error_set(&verdict, ERR_INVALID, 0,
                        "route of '%.60s/%.60s/%.60s': each must be a name [a-z0-9-]",
                        wanted->namespace_, wanted->app, wanted->workload);
    } else if (command_is_current(node, command, &verdict) &&
               is_of_this_life(node, command, &verdict)) {
        if (epoch_compare(command->epoch, node->epoch) > 0)
            node->epoch = command->epoch;
        route = find(node, wanted);
        if (route == NULL && (route = place(node, wanted)) == NULL)
            (void)error_set(&verdict, ERR_LIMIT, 0, "LIMIT_ROUTES: %d routes are here",
                            LIMIT_ROUTES);
    }
    bool again = route != NULL && str_equal(route->id, command->id);
    if (again && route->pending)
        return; /* answered when it is done */
#ifndef BERTH_PLANT_SKIP_EPOCH_CHECK
    if (route != NULL && epoch_compare(command->epoch, route->epoch) < 0)
        (void)error_set(&verdict, ERR_DENIED, 0,
                        "epoch %" PRIu64 ".%" PRIu64 " is below %" PRIu64 ".%" PRIu64
                        ", which the route has taken",
                        command->epoch.term, command->epoch.n, route->epoch.term, route->epoch.n);
#endif
    if (route == NULL || verdict.code != 0 || (again && route->done)) {
        answer(node, command->id, route == NULL ? (struct epoch){0} : route->epoch, verdict.code,
               verdict.text);
        return;
    }
    memcpy(route->id, command->id, sizeof(route->id));
    route->epoch = command->epoch;
    route->pending = true;
    route->done = false;
    route->gone = wanted->gone;
    struct node_effect *effect = node_emit(node, NODE_FX_ROUTE, command->instance);
    memcpy(effect->route.id, command->id, sizeof(effect->route.id));
    effect->route.route = *wanted;
}

/* The scheduler may not have heard this agent's hello either: then it is said again. */
static bool is_of_this_life(struct node *node, const struct message_command *command,
                            struct error *verdict)
{
#ifndef BERTH_PLANT_OLD_ROUTE
    if (command->hello_us == 0 || command->hello_us >= node->started_us)
        return true;
    (void)error_set(verdict, ERR_STALE, 0,
                    "sent before this agent's hello was heard: it was started %" PRId64
                    " ms after the last hello that the sender knows",
                    (node->started_us - command->hello_us) / US_PER_MS);
    if (node->now - node->hello_us >= NODE_HELLO_GAP_US)
        node_say_hello(node);
    return false;
#else
    (void)node;
    (void)command;
    (void)verdict;
    return true; /* the fault that tests/fault must find */
#endif
}

void route_done(struct node *node, const char *id, int code, const char *text)
{
    struct epoch epoch = {0};
    for (int i = 0; i < node->route_count; i++) {
        struct node_route *route = &node->routes[i];
        if (!route->pending || !str_equal(route->id, id))
            continue;
        route->pending = false;
        route->done = code == 0;
        epoch = route->epoch;
    }
    answer(node, id, epoch, code, text);
}

static struct node_route *find(struct node *node, const struct message_route *route)
{
    for (int i = 0; i < node->route_count; i++)
        if (str_equal(node->routes[i].workload, route->workload) &&
            str_equal(node->routes[i].app, route->app) &&
            str_equal(node->routes[i].namespace_, route->namespace_))
            return &node->routes[i];
    return NULL;
}

/* A free place, or that of the ended route with the lowest epoch. */
static struct node_route *place(struct node *node, const struct message_route *route)
{
    if (node->routes == NULL)
        node->routes = calloc(LIMIT_ROUTES, sizeof(*node->routes));
    if (node->routes == NULL)
        return NULL;
    struct node_route *place = NULL;
    if (node->route_count < LIMIT_ROUTES) {
        place = &node->routes[node->route_count++];
    } else {
        for (int i = 0; i < LIMIT_ROUTES; i++) {
            struct node_route *at = &node->routes[i];
            if (at->gone && !at->pending &&
                (place == NULL || epoch_compare(at->epoch, place->epoch) < 0))
                place = at;
        }
    }
    if (place == NULL)
        return NULL;
    *place = (struct node_route){0};
    memcpy(place->namespace_, route->namespace_, sizeof(place->namespace_));
    memcpy(place->app, route->app, sizeof(place->app));
    memcpy(place->workload, route->workload, sizeof(place->workload));
    return place;
}

static void answer(struct node *node, const char *id, struct epoch epoch, int code,
                   const char *text)
{
    struct message_answer *out = &node_emit(node, NODE_FX_ANSWER, "")->answer;
    str_format(out->id, sizeof(out->id), "%s", id);
    memcpy(out->node, node->name, sizeof(out->node));
    memcpy(out->boot_id, node->boot_id, sizeof(out->boot_id));
    out->boot_us = node->now;
    out->code = code;
    out->epoch = epoch;
    str_format(out->text, sizeof(out->text), "%.255s", text);
}
