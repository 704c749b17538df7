/*
 * The ingresses of `front` and the requests through them. An ingress is a process of its own: it
 * outlives the agent, and a new start of its machine leaves it without routes.
 *   S1 no request is lost: none is sent to a server that is gone or does not listen any more, none
 *      is cut off, and an ingress that had a server has one
 * unless an accident took the server away.
 */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define APPLY_US   (8 * US_PER_MS) /* a route, by the runtime API */
#define SERVICE_US (8 * US_PER_MS) /* one request; a drain waits for it */

static const struct sim_server *choose(struct sim_node *node);
static int find(const struct sim *sim, const char *instance);

/* The routes of the simulated ingress change at once, and whoever waits hears of it a moment later.
 */
void sim_route(struct sim *sim, int index, const struct node_effect *effect)
{
    struct sim_node *node = &sim->nodes[index];
    const struct message_route *route = &effect->route.route;
    struct node_event content;
    memset(&content, 0, sizeof(content));
    memcpy(content.routed.id, effect->route.id, sizeof(content.routed.id));
    node->server_count = 0;
    for (int i = 0; i < route->server_count && node->server_count < 64; i++) {
        struct sim_server *server = &node->servers[node->server_count++];
        memcpy(server->instance, route->servers[i].instance, sizeof(server->instance));
        server->mode = route->servers[i].mode;
        server->weight = route->servers[i].weight;
        node->blank &= server->mode != ROUTE_SERVE;
        sim_note(sim, "     ingress %s: %s %s %d", node->name, server->instance,
                 route_mode_words[server->mode], server->weight);
    }
    node->blank |= route->gone;
    sim_node_inside(sim, index, APPLY_US, NODE_EV_ROUTED, "", &content);
}

bool sim_http_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us)
{
    const struct sim_node *node = &sim->nodes[from];
    *ret_us = 10 * US_PER_MS;
    for (int i = 0; i < node->server_count; i++) {
        if (!str_equal(node->servers[i].instance, instance))
            continue;
        int at = find(sim, instance);
        if (at < 0 || !sim_process_runs(sim, &sim->processes[at]) || !sim->processes[at].serves ||
            sim_parted(sim, from) || sim_parted(sim, sim->processes[at].node))
            return false;
        *ret_us = 2 * (node->delay_us + sim->nodes[sim->processes[at].node].delay_us);
        return true;
    }
    return false;
}

static int find(const struct sim *sim, const char *instance)
{
    for (int i = sim->process_count - 1; i >= sim->first_alive; i--) {
        if (str_equal(sim->processes[i].instance, instance))
            return i;
    }
    return -1;
}

void sim_http_request(struct sim *sim, int index)
{
    struct sim_node *node = &sim->nodes[index];
    sim->http_requests++;
    if (node->blank || node->machine_until_us > sim->now_us || sim->delete_asked ||
        !sim->served_once[FRONT])
        return;
    const struct sim_server *server = choose(node);
    if (server == NULL) {
        sim->http_refused++;
        if (!sim_http_outdated(sim, index))
            sim_break(sim, "the ingress on %s has nobody to send a request to", node->name);
        return;
    }
    int at = find(sim, server->instance);
    if (at < 0) {
        if (!sim_http_outdated(sim, index))
            sim_break(sim, "the ingress on %s sends a request to %s, which is gone", node->name,
                      server->instance);
        return;
    }
    struct sim_event *event =
        sim_push(sim, node->delay_us + sim->nodes[sim->processes[at].node].delay_us, SIM_HTTP);
    event->process = at;
    event->number = (uint64_t)index;
    event->sent_us = sim->now_us;
}

struct sim_process *sim_http_choose(struct sim *sim, int index)
{
    const struct sim_server *server = choose(&sim->nodes[index]);
    int at = server == NULL ? -1 : find(sim, server->instance);
    return at < 0 ? NULL : &sim->processes[at];
}

/* By weight, in turn. */
static const struct sim_server *choose(struct sim_node *node)
{
    uint64_t sum = 0;
    for (int i = 0; i < node->server_count; i++)
        sum += node->servers[i].mode == ROUTE_SERVE ? (uint64_t)node->servers[i].weight : 0;
    if (sum == 0)
        return NULL;
    uint64_t at = hash_u64(HASH_SEED, ++node->turns) % sum;
    for (int i = 0; i < node->server_count; i++) {
        if (node->servers[i].mode != ROUTE_SERVE)
            continue;
        if (at < (uint64_t)node->servers[i].weight)
            return &node->servers[i];
        at -= (uint64_t)node->servers[i].weight;
    }
    return NULL;
}

bool sim_http_excused(const struct sim *sim, const struct sim_process *process, int from)
{
    return process->by_accident || sim->delete_asked || sim_http_outdated(sim, from) ||
           sim_parted(sim, process->node);
}

bool sim_http_outdated(const struct sim *sim, int index)
{
    return sim->now_us < sim->excused_us[FRONT] || sim_parted(sim, index) ||
           sim->nodes[index].outdated;
}

void sim_http_arrives(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    if (process->alive && process->serves) {
        process->under_way++;
        struct sim_event *done = sim_push(sim, SERVICE_US, SIM_HTTP_DONE);
        done->process = event->process;
        done->number = event->number;
        done->sent_us = event->sent_us;
        return;
    }
    sim->requests_lost++;
    bool waited = sim->now_us - event->sent_us > US_PER_S; /* at a machine that was stopped */
    if (!waited && !sim_http_excused(sim, process, (int)event->number))
        sim_break(sim, "a request sent by the ingress on %s at %lld us found %s %s",
                  sim->nodes[event->number].name, (long long)(event->sent_us - SIM_START_US),
                  process->instance, process->alive ? "closed" : "gone");
}

void sim_http_done(struct sim *sim, const struct sim_event *event)
{
    struct sim_process *process = &sim->processes[event->process];
    process->under_way--;
    if (process->alive) {
        process->requests++;
        process->errors += process->version % 3 == 2 && process->requests % 3 == 0;
        return;
    }
    sim->requests_lost++;
    if (!sim_http_excused(sim, process, (int)event->number))
        sim_break(sim, "a request under way was cut off when %s ended", process->instance);
}
