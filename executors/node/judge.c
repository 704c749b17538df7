/*
 * judge: one readiness probe of an instance at a time, without blocking: TCP and HTTP by a socket
 * in the loop, NATS by a request to the instance's own subject, a command by a child in the
 * workload's folder, environment and cgroup.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/bus/subjects.h"
#include "base/str.h"
#include "executors/drivers/process/endpoint.h"
#include "executors/node/agent.h"

#define JUDGE_US (1 * US_PER_S) /* when the spec gives no timeout */

struct asked {
    struct agent *agent;
    int index;
    uint64_t ticket;
};

static void verdict(struct agent *agent, struct slot *slot, bool ready, const char *text);
static void begin_connect(struct agent *agent, struct slot *slot, const struct message_spec *spec);
static void begin_request(struct agent *agent, struct slot *slot);
static void begin_command(struct agent *agent, struct slot *slot, const struct message_spec *spec);
static void request_answered(void *context, const struct bus_message *message);
static void http_read(struct agent *agent, struct slot *slot);

void judge_begin(struct agent *agent, const char *instance, const struct message_spec *spec)
{
    struct slot *slot = slot_find(agent, instance);
    if (slot == NULL) {
        struct node_event event;
        agent_event(&event, NODE_EV_JUDGED, instance);
        str_format(event.text, sizeof(event.text), "it has no process");
        agent_feed(agent, &event);
        return;
    }
    judge_cancel(agent, slot);
    int64_t timeout_us = spec->ready.timeout_us > 0 ? spec->ready.timeout_us : JUDGE_US;
    slot->judge = (struct judge){.active = true,
                                 .kind = (enum ready_kind)spec->ready.kind,
                                 .fd = -1,
                                 .ticket = ++agent->ticket,
                                 .deadline_us = clock_boot_now().us + timeout_us};
    switch (slot->judge.kind) {
    case READY_TCP:
    case READY_HTTP:
        begin_connect(agent, slot, spec);
        return;
    case READY_NATS:
        begin_request(agent, slot);
        return;
    case READY_COMMAND:
        begin_command(agent, slot, spec);
        return;
    case READY_NONE:
    case READY_CONTRACT:
        verdict(agent, slot, false, "this kind of readiness has no probe");
        return;
    }
}

void judge_io(struct agent *agent, int index, unsigned events)
{
    struct slot *slot = &agent->slots[index];
    struct judge *judge = &slot->judge;
    if (!slot->used || !judge->active || judge->fd < 0)
        return;
    if (!judge->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int why = 0;
        socklen_t bytes = sizeof(why);
        (void)getsockopt(judge->fd, SOL_SOCKET, SO_ERROR, &why, &bytes);
        char text[LIMIT_TEXT_BYTES];
        if (why != 0) {
            str_format(text, sizeof(text), "connect: %.200s", strerrordesc_np(why));
            verdict(agent, slot, false, text);
            return;
        }
        judge->connected = true;
        if (judge->kind == READY_TCP) {
            verdict(agent, slot, true, "connected");
            return;
        }
        if (send(judge->fd, judge->text, strlen(judge->text), MSG_NOSIGNAL) < 0) {
            verdict(agent, slot, false, "the connection was lost");
            return;
        }
        struct epoll_event wanted = {.events = EPOLLIN,
                                     .data.u64 = (uint64_t)WATCH_JUDGE << 32 | (unsigned)index};
        (void)epoll_ctl(agent->epoll_fd, EPOLL_CTL_MOD, judge->fd, &wanted);
        return;
    }
    if (judge->connected)
        http_read(agent, slot);
}

bool judge_child_ended(struct agent *agent, pid_t pid, int status)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i];
        if (!slot->used || !slot->judge.active || slot->judge.pid != pid)
            continue;
        slot->judge.pid = 0;
        char text[LIMIT_TEXT_BYTES];
        bool ready = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        str_format(text, sizeof(text), "the command ended with %d",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        verdict(agent, slot, ready, text);
        return true;
    }
    return false;
}

void judge_tick(struct agent *agent, int64_t now)
{
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i];
        if (slot->used && slot->judge.active && slot->judge.deadline_us <= now)
            verdict(agent, slot, false, "no answer in time");
    }
}

int64_t judge_deadline(const struct agent *agent)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < LIMIT_NODE_INSTANCES; i++) {
        const struct slot *slot = &agent->slots[i];
        if (slot->used && slot->judge.active && slot->judge.deadline_us < first)
            first = slot->judge.deadline_us;
    }
    return first;
}

void judge_cancel(struct agent *agent, struct slot *slot)
{
    (void)agent;
    if (!slot->judge.active)
        return;
    if (slot->judge.fd >= 0)
        (void)close(slot->judge.fd);
    if (slot->judge.pid > 0)
        (void)kill(-slot->judge.pid, SIGKILL); /* its own group; reaped with the other children */
    slot->judge = (struct judge){.fd = -1};
}

static void verdict(struct agent *agent, struct slot *slot, bool ready, const char *text)
{
    struct node_event event;
    agent_event(&event, NODE_EV_JUDGED, slot->instance);
    event.judged_ready = ready;
    str_format(event.text, sizeof(event.text), "%.250s", text);
    judge_cancel(agent, slot);
    agent_feed(agent, &event);
}

static void begin_connect(struct agent *agent, struct slot *slot, const struct message_spec *spec)
{
    struct judge *judge = &slot->judge;
    struct endpoint endpoint;
    struct error err;
    bool http = judge->kind == READY_HTTP;
    int rc = http ? endpoint_parse_http(spec->ready.target, &endpoint, &err)
                  : endpoint_parse(spec->ready.target, &endpoint, &err);
    if (rc < 0) {
        verdict(agent, slot, false, err.text);
        return;
    }
    if (http)
        str_format(judge->text, sizeof(judge->text),
                   "GET %.250s HTTP/1.0\r\nHost: %.100s\r\nUser-Agent: berth-node\r\n\r\n",
                   endpoint.path, endpoint.host);
    judge->fd = socket(endpoint.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (judge->fd < 0 || (connect(judge->fd, (const struct sockaddr *)&endpoint.address,
                                  endpoint.address_bytes) < 0 &&
                          errno != EINPROGRESS)) {
        char text[LIMIT_TEXT_BYTES];
        str_format(text, sizeof(text), "connect: %.200s", strerrordesc_np(errno));
        verdict(agent, slot, false, text);
        return;
    }
    if (agent_watch(agent, judge->fd, WATCH_JUDGE, slot_index(agent, slot), EPOLLOUT) < 0)
        verdict(agent, slot, false, "epoll is full");
}

static void begin_request(struct agent *agent, struct slot *slot)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct error err = {.text = "no memory"};
    struct asked *asked = calloc(1, sizeof(*asked));
    int rc = ERR_NO_MEMORY;
    if (asked != NULL) {
        *asked = (struct asked){agent, slot_index(agent, slot), slot->judge.ticket};
        subject_at(slot->namespace_, slot->workload, slot->instance, subject);
        int64_t left_us = slot->judge.deadline_us - clock_boot_now().us;
        rc = bus_request(agent->bus, subject, "", 0, left_us > 0 ? left_us : 1, request_answered,
                         asked, &err);
    }
    if (rc < 0) {
        free(asked);
        verdict(agent, slot, false, err.text);
    }
}

static void begin_command(struct agent *agent, struct slot *slot, const struct message_spec *spec)
{
    char folder[LIMIT_PATH_BYTES];
    char target[LIMIT_TEXT_BYTES];
    store_instance_path(&agent->store, slot->instance, folder);
    str_format(target, sizeof(target), "%s", spec->ready.target);
    char check[] = "--check";
    char *argv[] = {agent->shim_path, check, folder, target, NULL};
    posix_spawnattr_t attributes;
    sigset_t nothing;
    (void)sigemptyset(&nothing);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setsigmask(&attributes, &nothing);
    char *envp[] = {NULL};
    int why = posix_spawn(&slot->judge.pid, agent->shim_path, NULL, &attributes, argv, envp);
    (void)posix_spawnattr_destroy(&attributes);
    if (why != 0) {
        slot->judge.pid = 0;
        verdict(agent, slot, false, "berth-shim could not be started");
    }
}

static void request_answered(void *context, const struct bus_message *message)
{
    struct asked asked = *(struct asked *)context;
    free(context);
    struct slot *slot = &asked.agent->slots[asked.index];
    if (!slot->used || !slot->judge.active || slot->judge.ticket != asked.ticket)
        return;
    size_t expected = strlen(slot->instance);
    if (message->status == 503)
        verdict(asked.agent, slot, false, "nobody answers on its own subject");
    else if (message->status != 0)
        verdict(asked.agent, slot, false, "no answer in time on its own subject");
    else if (message->bytes != expected || memcmp(message->data, slot->instance, expected) != 0)
        verdict(asked.agent, slot, false, "another instance answered on its own subject");
    else
        verdict(asked.agent, slot, true, "answered");
}

static void http_read(struct agent *agent, struct slot *slot)
{
    struct judge *judge = &slot->judge;
    ssize_t got =
        recv(judge->fd, judge->text + judge->bytes, sizeof(judge->text) - 1 - judge->bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    judge->bytes += got > 0 ? (size_t)got : 0;
    judge->text[judge->bytes] = 0;
    /* "HTTP/1.1 200": the status is the second word; all that is needed of it has come by then. */
    if (judge->bytes < 12 && got > 0)
        return;
    int status = endpoint_http_status(judge->text, judge->bytes);
    char text[LIMIT_TEXT_BYTES];
    if (status < 0)
        str_format(text, sizeof(text), "the answer is not HTTP");
    else
        str_format(text, sizeof(text), "HTTP status %d", status);
    verdict(agent, slot, status >= 200 && status < 400, text);
}
