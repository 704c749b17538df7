/*
 * Websockets through the ingresses of `front`. A copy that is told to drain or to stop says goodbye
 * to those that it has (close code 1012), and they connect again, by their ingress, to whom it
 * chooses. An ingress shuts what is left of a server that it has no more. S1 none is cut off
 * without that word, unless an accident took its server away L2 none is left hanging at a server
 * that is gone, and in the end each has one that serves
 */
#include <string.h>

#include "base/str.h"
#include "tests/fault/sim.h"

#define HANG_US (20 * US_PER_S) /* a lost node is found, its routes are sent, some of it twice */
#define AWAY_US (1 * US_PER_S)

static void connect_to(struct sim *sim, struct sim_socket *socket);
static void look_after(struct sim *sim, struct sim_socket *socket);
static void cut(struct sim *sim, struct sim_socket *socket, const char *how);
static void leave(struct sim *sim, struct sim_socket *socket);
static bool is_listed(const struct sim_node *ingress, const char *instance);

void sim_sockets(struct sim *sim)
{
    if (sim->options.plain)
        return;
    for (int i = 0; i < SIM_SOCKETS; i++) {
        struct sim_socket *socket = &sim->sockets[i];
        socket->ingress = i % SIM_INGRESSES;
        if (socket->process == NULL)
            connect_to(sim, socket);
        else
            look_after(sim, socket);
    }
}

static void connect_to(struct sim *sim, struct sim_socket *socket)
{
    struct sim_node *ingress = &sim->nodes[socket->ingress];
    if (ingress->blank || ingress->machine_until_us > sim->now_us || !sim->served_once[FRONT])
        return;
    struct sim_process *process = sim_http_choose(sim, socket->ingress);
    if (process == NULL || !sim_process_runs(sim, process) || !process->serves ||
        sim_parted(sim, process->node))
        return;
    socket->process = process;
    socket->ingress_boots = ingress->boots;
    socket->gone_us = 0;
}

static void look_after(struct sim *sim, struct sim_socket *socket)
{
    const struct sim_node *ingress = &sim->nodes[socket->ingress];
    const struct sim_process *process = socket->process;
    const struct sim_node *node = &sim->nodes[process->node];
    /* Its clients ping: a machine that is there again and knows nothing of it resets it. */
    bool reached = !sim_parted(sim, process->node) && node->machine_until_us <= sim->now_us;
    if (ingress->boots != socket->ingress_boots) {
        leave(sim, socket); /* its own end of the connection went down with the ingress */
    } else if (process->goodbye && reached) {
        sim->sockets_told++;
        leave(sim, socket);
    } else if (!is_listed(ingress, process->instance)) {
        cut(sim, socket, "its ingress lost the server");
    } else if (!process->alive && reached) {
        cut(sim, socket, "its server ended");
    } else if (!process->alive) {
        if (socket->gone_us == 0)
            socket->gone_us = sim->now_us;
        if (sim->now_us - socket->gone_us > HANG_US && !sim_http_outdated(sim, socket->ingress))
            sim_break(sim, "a websocket by the ingress on %s hangs at %s, which is gone",
                      ingress->name, process->instance);
    }
}

static void cut(struct sim *sim, struct sim_socket *socket, const char *how)
{
    const struct sim_process *process = socket->process;
    sim->sockets_cut++;
    if (!process->goodbye && !sim_http_excused(sim, process, socket->ingress))
        sim_break(sim, "a websocket by the ingress on %s to %s was cut off: %s",
                  sim->nodes[socket->ingress].name, process->instance, how);
    leave(sim, socket);
}

static void leave(struct sim *sim, struct sim_socket *socket)
{
    socket->process = NULL;
    socket->gone_us = sim->now_us;
}

static bool is_listed(const struct sim_node *ingress, const char *instance)
{
    for (int i = 0; i < ingress->server_count; i++) {
        if (str_equal(ingress->servers[i].instance, instance))
            return true;
    }
    return false;
}

/* All is calm. */
void sim_check_sockets(struct sim *sim)
{
    for (int i = 0; i < SIM_SOCKETS && !sim->options.plain; i++) {
        const struct sim_socket *socket = &sim->sockets[i];
        const struct sim_process *process = socket->process;
        if (process == NULL && sim->now_us - socket->gone_us > AWAY_US)
            sim_break(sim, "a websocket by the ingress on %s has nobody to connect to",
                      sim->nodes[socket->ingress].name);
        if (process != NULL && !process->alive)
            sim_break(sim, "a websocket by the ingress on %s is left at %s, which is gone",
                      sim->nodes[socket->ingress].name, process->instance);
    }
}
