/*
 * ports: where workloads that serve HTTP listen: a free port of --address, the same one for as long
 * as the instance lives, told to it as $BERTH_ADDRESS.
 *
 * A port cannot be kept for another process, so it may be taken between the choice and the
 * workload's own bind: it is chosen below the range from which systems take ports for outgoing
 * connections, and not among those of this node's other instances; a workload that cannot bind
 * ends, is started again, and gets another one.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "executors/drivers/process/endpoint.h"
#include "executors/drivers/process/start.h"
#include "executors/node/agent.h"

#define PORT_FIRST 20000
#define PORT_COUNT 12000
#define PORT_TRIES 200

static bool is_free(const char *endpoint);
static bool is_taken(const struct agent *agent, const struct slot *slot, const char *endpoint);

int port_choose(struct agent *agent, struct slot *slot, struct error *err)
{
    const struct node_record *record = agent_record(agent, slot->instance);
    const char *address = agent->options.address;
    char endpoint[LIMIT_NAME_BYTES];
    size_t bytes = strlen(address);
    const char *before = record == NULL ? "" : record->endpoint;
    bool same = strncmp(before, address, bytes) == 0 && before[bytes] == ':';
    if (same && is_free(before)) {
        str_format(slot->endpoint, sizeof(slot->endpoint), "%s", before);
        return 0;
    }
    for (int i = 0; i < PORT_TRIES; i++) {
        uint32_t random = 0;
        if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
            break;
        str_format(endpoint, sizeof(endpoint), "%.48s:%u", address,
                   PORT_FIRST + random % PORT_COUNT);
        if (is_taken(agent, slot, endpoint) || !is_free(endpoint))
            continue;
        memcpy(slot->endpoint, endpoint, sizeof(endpoint));
        return 0;
    }
    return error_set(err, ERR_UNAVAILABLE, 0,
                     "option --address %s: no free port of %d to %d in %d tries; is it an address "
                     "of this machine?",
                     address, PORT_FIRST, PORT_FIRST + PORT_COUNT - 1, PORT_TRIES);
}

void port_recall(struct agent *agent, struct slot *slot)
{
    struct start start;
    struct error err;
    CLEANUP(cleanup_close) int folder = store_instance_fd(&agent->store, slot->instance, &err);
    if (folder < 0 || start_read(folder, &start, &err) < 0)
        return;
    static const char name[] = "BERTH_ADDRESS=";
    for (int i = 0; i < start.env_count; i++)
        if (str_starts(start.env[i], name) &&
            str_copy(slot->endpoint, sizeof(slot->endpoint), start.env[i] + strlen(name)) < 0)
            slot->endpoint[0] = 0;
    start_done(&start);
}

static bool is_free(const char *text)
{
    struct endpoint endpoint;
    struct error err;
    int yes = 1;
    if (endpoint_parse(text, &endpoint, &err) < 0)
        return false;
    CLEANUP(cleanup_close)
    int fd = socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* As a server binds, which may come back to a port whose old connections are not forgotten. */
    return fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
           bind(fd, (const struct sockaddr *)&endpoint.address, endpoint.address_bytes) == 0 &&
           listen(fd, 1) == 0;
}

static bool is_taken(const struct agent *agent, const struct slot *slot, const char *endpoint)
{
    for (int i = 0; i < node_record_count(agent->node); i++) {
        const struct node_record *record = node_record_at(agent->node, i);
        if (!str_equal(record->instance, slot->instance) && str_equal(record->endpoint, endpoint) &&
            record->state != INSTANCE_STOPPED && record->state != INSTANCE_FAILED)
            return true;
    }
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++)
        if (agent->slots[i].used && &agent->slots[i] != slot &&
            str_equal(agent->slots[i].endpoint, endpoint))
            return true;
    return false;
}
