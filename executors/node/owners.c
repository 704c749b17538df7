/*
 * owners: the agent's side of what owners are told, of their leases and of the files of their
 * state.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"
#include "executors/node/agent.h"

static void drop(struct agent *agent, const struct node_effect *effect);

int owners_open(struct agent *agent, struct error *err)
{
    char name[LIMIT_NAME_BYTES + 24];
    str_format(name, sizeof(name), "berth-node/%s state", agent->options.name);
    struct courier_options wanted = {.url = agent->options.url,
                                     .name = name,
                                     .seed = agent->options.seed,
                                     .inbox = agent->options.inbox};
    int rc = courier_open(&wanted, &agent->courier, err);
    if (rc == 0 && agent_watch(agent, courier_fd(agent->courier), WATCH_COURIER, 0, EPOLLIN) < 0)
        rc = error_set(err, ERR_IO, errno, "watch the courier");
    return rc;
}

void owners_say(struct agent *agent, const struct node_effect *effect)
{
    char line[LIMIT_SOCKET_LINE + 2];
    int64_t left_ms = (effect->say.deadline_us - clock_boot_now().us) / US_PER_MS;
    const char *handed = effect->say.handed;
    const char *path = effect->say.path;
    if (left_ms < 0)
        left_ms = 0;
    switch (effect->say.what) {
    case SAY_DRAIN:
    case SAY_STOP:
        str_format(line, sizeof(line), "%s %" PRId64 "\n",
                   effect->say.what == SAY_DRAIN ? "drain" : "stop", left_ms);
        break;
    case SAY_RESUME:
        str_format(line, sizeof(line), "resume\n");
        break;
    case SAY_FREEZE:
        str_format(line, sizeof(line), "freeze %" PRId64 "%s%s\n", left_ms, path[0] != 0 ? " " : "",
                   path);
        break;
    case SAY_OWN:
        str_format(line, sizeof(line), "own %" PRIu64 ".%" PRIu64 "%s%s\n", effect->say.epoch.term,
                   effect->say.epoch.n, handed != NULL ? " " : "", handed != NULL ? handed : "");
        break;
    case SAY_SNAPSHOT:
    case SAY_RESTORE:
        str_format(line, sizeof(line), "%s %d %s\n",
                   effect->say.what == SAY_SNAPSHOT ? "snapshot" : "restore", effect->say.round,
                   path);
        break;
    }
    slot_say(agent, effect->instance, line);
    log_event(LOG_DEBUG, "workload.told", "instance=%s word=%.*s", effect->instance,
              (int)strcspn(line, " \n"), line);
}

void owners_carry_out(struct agent *agent, const struct node_effect *effect)
{
    char folder[LIMIT_PATH_BYTES];
    char line[64];
    struct error err;
    int rc = 0;
    store_instance_path(&agent->store, effect->instance, folder);
    if (effect->kind == NODE_FX_LEASE) {
        str_format(line, sizeof(line), "lease %" PRId64 "\n", effect->lease.until_us);
        slot_say(agent, effect->instance, line);
    } else if (effect->kind == NODE_FX_DROP) {
        drop(agent, effect);
    } else if (effect->kind == NODE_FX_SHIP) {
        rc = courier_put(agent->courier, effect->instance, effect->file.ticket, folder,
                         effect->file.path, effect->file.round == 1, effect->file.kept, &err);
    } else if (effect->kind == NODE_FX_GET) {
        rc = courier_get(agent->courier, effect->instance, effect->file.ticket, folder,
                         effect->file.path, &effect->file.object, effect->file.kept, &err);
    }
    if (rc == 0)
        return;
    struct node_event event;
    bool ship = effect->kind == NODE_FX_SHIP;
    agent_event(&event, ship ? NODE_EV_SHIPPED : NODE_EV_GOT, effect->instance);
    event.ticket = effect->file.ticket;
    if (ship) {
        event.shipped.code = rc;
        str_format(event.shipped.text, sizeof(event.shipped.text), "%.250s", err.text);
    } else {
        event.result.code = rc;
        str_format(event.result.text, sizeof(event.result.text), "%.250s", err.text);
    }
    agent_feed(agent, &event);
}

void owners_take(struct agent *agent)
{
    struct courier_result result;
    while (courier_next(agent->courier, &result)) {
        struct node_event event;
        agent_event(&event, result.put ? NODE_EV_SHIPPED : NODE_EV_GOT, result.instance);
        event.ticket = result.ticket;
        if (result.put) {
            event.shipped.code = result.code;
            memcpy(event.shipped.text, result.text, sizeof(event.shipped.text));
            event.shipped.object = result.object;
        } else {
            event.result.code = result.code;
            memcpy(event.result.text, result.text, sizeof(event.result.text));
        }
        log_event(result.code == 0 ? LOG_DEBUG : LOG_WARN,
                  result.put ? "state.shipped" : "state.fetched",
                  "instance=%s bytes=%" PRId64 " waited_us=%" PRId64 " took_us=%" PRId64
                  " digest=%s text=\"%s\"",
                  result.instance, result.object.bytes, result.waited_us, result.took_us,
                  result.object.digest, result.text);
        agent_feed(agent, &event);
    }
}

static void drop(struct agent *agent, const struct node_effect *effect)
{
    struct error err;
    CLEANUP(cleanup_close)
    int folder = store_instance_fd(&agent->store, effect->instance, &err);
    if (folder >= 0 && unlinkat(folder, effect->file.path, 0) < 0 && errno != ENOENT)
        log_event(LOG_WARN, "state.left", "instance=%s file=%s", effect->instance,
                  effect->file.path);
}
