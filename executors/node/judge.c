/*
 * judge: one probe of readiness and one of liveness of an instance at a time, without blocking: TCP
 * and HTTP by a socket in the loop, NATS by a request to the instance's own subject, a command by a
 * child in the workload's folder, environment and cgroup.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
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

/* The two of a slot, and how epoll knows them: 2 * slot + live. */
struct asked {
    struct agent *agent;
    int index;
    uint64_t ticket;
};

static void verdict(struct agent *agent, struct slot *slot, struct judge *judge, bool ready,
                    const char *text);
static void begin_connect(struct agent *agent, struct slot *slot, struct judge *judge,
                          const char *target);
static void begin_request(struct agent *agent, struct slot *slot, struct judge *judge);
static void begin_command(struct agent *agent, struct slot *slot, struct judge *judge,
                          const char *target);
static void request_answered(void *context, const struct bus_message *message);
static void http_read(struct agent *agent, struct slot *slot, struct judge *judge);
static int expand(const struct slot *slot, enum ready_kind kind, const char *target,
                  char out[LIMIT_TEXT_BYTES]);
static int watch_index(const struct agent *agent, const struct slot *slot,
                       const struct judge *judge);
static void cancel(struct judge *judge);

void judge_begin(struct agent *agent, const char *instance, const struct message_spec *spec,
                 bool live)
{
    struct slot *slot = slot_find(agent, instance);
    const struct message_ready *rule = live ? &spec->live : &spec->ready;
    if (slot == NULL) {
        struct node_event event;
        agent_event(&event, NODE_EV_JUDGED, instance);
        event.live = live;
        str_format(event.text, sizeof(event.text), "it has no process");
        agent_feed(agent, &event);
        return;
    }
    struct judge *judge = &slot->judges[live ? 1 : 0];
    cancel(judge);
    int64_t timeout_us = rule->timeout_us > 0 ? rule->timeout_us : JUDGE_US;
    *judge = (struct judge){.active = true,
                            .live = live,
                            .kind = (enum ready_kind)rule->kind,
                            .fd = -1,
                            .ticket = ++agent->ticket,
                            .deadline_us = clock_boot_now().us + timeout_us};
    switch (judge->kind) {
    case READY_TCP:
    case READY_HTTP:
        begin_connect(agent, slot, judge, rule->target);
        return;
    case READY_NATS:
        begin_request(agent, slot, judge);
        return;
    case READY_COMMAND:
        begin_command(agent, slot, judge, rule->target);
        return;
    case READY_NONE:
    case READY_CONTRACT:
        verdict(agent, slot, judge, false, "this kind of readiness has no probe");
        return;
    }
}

void judge_io(struct agent *agent, int index, unsigned events)
{
    struct slot *slot = &agent->slots[index / 2];
    struct judge *judge = &slot->judges[index % 2];
    if (!slot->used || !judge->active || judge->fd < 0)
        return;
    if (!judge->connected && (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0) {
        int why = 0;
        socklen_t bytes = sizeof(why);
        (void)getsockopt(judge->fd, SOL_SOCKET, SO_ERROR, &why, &bytes);
        char text[LIMIT_TEXT_BYTES];
        if (why != 0) {
            str_format(text, sizeof(text), "connect: %.200s", strerrordesc_np(why));
            verdict(agent, slot, judge, false, text);
            return;
        }
        judge->connected = true;
        if (judge->kind == READY_TCP) {
            verdict(agent, slot, judge, true, "connected");
            return;
        }
        if (send(judge->fd, judge->text, strlen(judge->text), MSG_NOSIGNAL) < 0) {
            verdict(agent, slot, judge, false, "the connection was lost");
            return;
        }
        struct epoll_event wanted = {.events = EPOLLIN,
                                     .data.u64 = (uint64_t)WATCH_JUDGE << 32 | (unsigned)index};
        (void)epoll_ctl(agent->epoll_fd, EPOLL_CTL_MOD, judge->fd, &wanted);
        return;
    }
    if (judge->connected)
        http_read(agent, slot, judge);
}

bool judge_child_ended(struct agent *agent, pid_t pid, int status)
{
    for (int i = 0; i < 2 * LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i / 2];
        struct judge *judge = &slot->judges[i % 2];
        if (!slot->used || !judge->active || judge->pid != pid)
            continue;
        judge->pid = 0;
        char text[LIMIT_TEXT_BYTES];
        bool ready = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        str_format(text, sizeof(text), "the command ended with %d",
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        verdict(agent, slot, judge, ready, text);
        return true;
    }
    return false;
}

void judge_tick(struct agent *agent, int64_t now)
{
    for (int i = 0; i < 2 * LIMIT_NODE_INSTANCES; i++) {
        struct slot *slot = &agent->slots[i / 2];
        struct judge *judge = &slot->judges[i % 2];
        if (slot->used && judge->active && judge->deadline_us <= now)
            verdict(agent, slot, judge, false, "no answer in time");
    }
}

int64_t judge_deadline(const struct agent *agent)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < 2 * LIMIT_NODE_INSTANCES; i++) {
        const struct slot *slot = &agent->slots[i / 2];
        const struct judge *judge = &slot->judges[i % 2];
        if (slot->used && judge->active && judge->deadline_us < first)
            first = judge->deadline_us;
    }
    return first;
}

void judge_end(struct agent *agent, struct slot *slot)
{
    for (int i = 0; i < 2; i++)
        if (slot->judges[i].active)
            verdict(agent, slot, &slot->judges[i], false, "its process is being ended");
}

void judge_cancel(struct agent *agent, struct slot *slot)
{
    (void)agent;
    cancel(&slot->judges[0]);
    cancel(&slot->judges[1]);
}

static void cancel(struct judge *judge)
{
    if (!judge->active)
        return;
    if (judge->fd >= 0)
        (void)close(judge->fd);
    if (judge->pid > 0)
        (void)kill(-judge->pid, SIGKILL); /* its own group; reaped with the other children */
    *judge = (struct judge){.fd = -1};
}

static int watch_index(const struct agent *agent, const struct slot *slot,
                       const struct judge *judge)
{
    return 2 * slot_index(agent, slot) + (judge->live ? 1 : 0);
}

/* A target may leave out where an http workload listens, which nobody knew when it was written:
 * "" or "/path", and "$BERTH_ADDRESS" anywhere stand for it. */
static int expand(const struct slot *slot, enum ready_kind kind, const char *target,
                  char out[LIMIT_TEXT_BYTES])
{
    static const char variable[] = "$BERTH_ADDRESS";
    const char *at = strstr(target, variable);
    size_t before = at == NULL ? 0 : (size_t)(at - target);
    int bytes;
    if (at != NULL)
        bytes = snprintf(out, LIMIT_TEXT_BYTES, "%.*s%s%s", (int)before, target, slot->endpoint,
                         at + strlen(variable));
    else if (kind == READY_HTTP && (target[0] == '/' || target[0] == 0))
        bytes = snprintf(out, LIMIT_TEXT_BYTES, "http://%s%s", slot->endpoint,
                         target[0] == 0 ? "/" : target);
    else
        bytes = snprintf(out, LIMIT_TEXT_BYTES, "%s", target[0] != 0 ? target : slot->endpoint);
    return bytes < 0 || bytes >= LIMIT_TEXT_BYTES ? ERR_LIMIT : 0;
}

static void verdict(struct agent *agent, struct slot *slot, struct judge *judge, bool ready,
                    const char *text)
{
    struct node_event event;
    agent_event(&event, NODE_EV_JUDGED, slot->instance);
    event.judged_ready = ready;
    event.live = judge->live;
    str_format(event.text, sizeof(event.text), "%.250s", text);
    cancel(judge);
    agent_feed(agent, &event);
}

static void begin_connect(struct agent *agent, struct slot *slot, struct judge *judge,
                          const char *target)
{
    char where[LIMIT_TEXT_BYTES];
    struct endpoint endpoint;
    struct error err = {.text = "its target is too long"};
    bool http = judge->kind == READY_HTTP;
    int rc = expand(slot, judge->kind, target, where);
    if (rc == 0)
        rc = http ? endpoint_parse_http(where, &endpoint, &err)
                  : endpoint_parse(where, &endpoint, &err);
    if (rc < 0) {
        verdict(agent, slot, judge, false, err.text);
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
        verdict(agent, slot, judge, false, text);
        return;
    }
    if (agent_watch(agent, judge->fd, WATCH_JUDGE, watch_index(agent, slot, judge), EPOLLOUT) < 0)
        verdict(agent, slot, judge, false, "epoll is full");
}

static void begin_request(struct agent *agent, struct slot *slot, struct judge *judge)
{
    char subject[LIMIT_SUBJECT_BYTES];
    struct error err = {.text = "no memory"};
    struct asked *asked = calloc(1, sizeof(*asked));
    int rc = ERR_NO_MEMORY;
    if (asked != NULL) {
        *asked = (struct asked){agent, watch_index(agent, slot, judge), judge->ticket};
        subject_at(slot->namespace_, slot->workload, slot->instance, subject);
        int64_t left_us = judge->deadline_us - clock_boot_now().us;
        rc = bus_request(agent->bus, subject, "", 0, left_us > 0 ? left_us : 1, request_answered,
                         asked, &err);
    }
    if (rc < 0) {
        free(asked);
        verdict(agent, slot, judge, false, err.text);
    }
}

static void begin_command(struct agent *agent, struct slot *slot, struct judge *judge,
                          const char *target)
{
    char folder[LIMIT_PATH_BYTES];
    char command[LIMIT_TEXT_BYTES];
    store_instance_path(&agent->store, slot->instance, folder);
    str_format(command, sizeof(command), "%s", target);
    char check[] = "--check";
    char *argv[] = {agent->shim_path, check, folder, command, NULL};
    posix_spawnattr_t attributes;
    sigset_t nothing;
    (void)sigemptyset(&nothing);
    (void)posix_spawnattr_init(&attributes);
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    (void)posix_spawnattr_setsigmask(&attributes, &nothing);
    char *envp[] = {NULL};
    int why = posix_spawn(&judge->pid, agent->shim_path, NULL, &attributes, argv, envp);
    (void)posix_spawnattr_destroy(&attributes);
    if (why != 0) {
        judge->pid = 0;
        verdict(agent, slot, judge, false, "berth-shim could not be started");
    }
}

static void request_answered(void *context, const struct bus_message *message)
{
    struct asked asked = *(struct asked *)context;
    free(context);
    struct slot *slot = &asked.agent->slots[asked.index / 2];
    struct judge *judge = &slot->judges[asked.index % 2];
    if (!slot->used || !judge->active || judge->ticket != asked.ticket)
        return;
    size_t expected = strlen(slot->instance);
    if (message->status == 503)
        verdict(asked.agent, slot, judge, false, "nobody answers on its own subject");
    else if (message->status != 0)
        verdict(asked.agent, slot, judge, false, "no answer in time on its own subject");
    else if (message->bytes != expected || memcmp(message->data, slot->instance, expected) != 0)
        verdict(asked.agent, slot, judge, false, "another instance answered on its own subject");
    else
        verdict(asked.agent, slot, judge, true, "answered");
}

static void http_read(struct agent *agent, struct slot *slot, struct judge *judge)
{
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
    verdict(agent, slot, judge, status >= 200 && status < 400, text);
}
