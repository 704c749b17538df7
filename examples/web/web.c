#include "examples/web/web.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "examples/web/websocket.h"

#define EVENTS          256
#define TICK_US         (10 * US_PER_MS) /* how late an answer that waits, or a deadline, may be */
#define IS_OTHER        UINT64_MAX
#define IS_DOOR         (UINT64_MAX - 1)
#define FAREWELL_PART   4 /* websockets are told to go when this part of the drain is left, */
#define FAREWELL_MAX_US US_PER_S /* and not more than this before its end */

static int parse_address(const char *text, struct sockaddr_in *ret_address, struct error *err);
static int open_door(struct web *web, struct error *err);
static void close_door(struct web *web);
static void accept_all(struct web *web);
static void take_connection(struct web *web, int fd);
static void tick(struct web *web, int64_t now_us);
static int64_t tick_us(const struct web *web);
static void tick_draining(struct web *web, int64_t now_us);
static void watch_other(struct web *web, int fd);

int web_open(struct web *web, const char *address, const char *instance, struct error *err)
{
    *web = (struct web){.instance = instance, .epoll = -1, .listener = -1};
    int rc = parse_address(address, &web->address, err);
    if (rc < 0)
        return rc;
    web->connections = calloc(WEB_CONNECTIONS_MAX, sizeof *web->connections);
    web->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (web->connections == NULL || web->epoll < 0)
        rc =
            error_set(err, ERR_NO_MEMORY, errno, "a server of %d connections", WEB_CONNECTIONS_MAX);
    if (rc == 0)
        rc = open_door(web, err);
    if (rc < 0)
        web_close(web);
    return rc;
}

void web_close(struct web *web)
{
    if (web->connections == NULL)
        return;
    for (int i = 0; i < web->top; i++)
        if (web->connections[i].fd >= 0)
            web_connection_end(web, &web->connections[i]);
    close_door(web);
    if (web->epoll >= 0)
        (void)close(web->epoll);
    free(web->connections);
    *web = (struct web){.epoll = -1, .listener = -1};
}

void web_step(struct web *web, int also, int64_t timeout_us)
{
    struct epoll_event events[EVENTS];
    watch_other(web, also);
    int64_t wait_us = timeout_us < tick_us(web) ? timeout_us : tick_us(web);
    int count = epoll_wait(web->epoll, events, EVENTS, (int)((wait_us + 999) / US_PER_MS));
    for (int i = 0; i < count; i++) {
        uint64_t which = events[i].data.u64;
        if (which == IS_OTHER)
            continue;
        if (which == IS_DOOR) {
            accept_all(web);
            continue;
        }
        struct web_connection *connection = &web->connections[which];
        if (connection->fd >= 0 && (events[i].events & EPOLLOUT) != 0)
            web_connection_write(web, connection);
        if (connection->fd >= 0 && (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            web_connection_read(web, connection);
    }
    tick(web, clock_mono_now().us);
}

void web_drain(struct web *web, int64_t deadline_us)
{
    if (web->state == WEB_DRAINED)
        return;
    int64_t now_us = clock_mono_now().us;
    int64_t before_us = deadline_us / FAREWELL_PART;
    before_us = before_us > FAREWELL_MAX_US ? FAREWELL_MAX_US : before_us;
    web->state = WEB_DRAINING;
    web->last_us = now_us;
    web->drain_at_us = now_us + deadline_us - before_us;
    web->cut_at_us = now_us + deadline_us - before_us / 4;
}

void web_hold(struct web *web)
{
    web->held = true;
    for (int i = 0; i < web->top; i++) {
        struct web_connection *connection = &web->connections[i];
        if (connection->fd >= 0 && connection->websocket && !connection->closing)
            web_connection_goodbye(web, connection, WEBSOCKET_RESTART);
    }
}

bool web_is_idle(const struct web *web)
{
    for (int i = 0; i < web->top; i++) {
        const struct web_connection *connection = &web->connections[i];
        if (connection->fd >= 0 && !connection->websocket && !web_connection_idle(connection))
            return false;
    }
    return true;
}

int web_resume(struct web *web, struct error *err)
{
    if (web->listener < 0) {
        int rc = open_door(web, err);
        if (rc < 0)
            return rc;
    }
    web->state = WEB_SERVING;
    web->held = false;
    return 0;
}

/* ---- the door ---- */

static int parse_address(const char *text, struct sockaddr_in *ret_address, struct error *err)
{
    char host[64];
    int64_t port;
    const char *colon = strrchr(text, ':');
    struct sockaddr_in address = {.sin_family = AF_INET};
    if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
        str_to_i64(colon + 1, &port) < 0 || port < 0 || port > 65535)
        return error_set(err, ERR_INVALID, 0, "address '%s': must be <ip>:<port>", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = 0;
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return error_set(err, ERR_INVALID, 0, "address '%s': '%s' is no IPv4 address", text, host);
    address.sin_port = htons((uint16_t)port);
    *ret_address = address;
    return 0;
}

static int open_door(struct web *web, struct error *err)
{
    static const int on = 1;
    CLEANUP(cleanup_close)
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t bytes = sizeof web->address;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (const struct sockaddr *)&web->address, bytes) < 0 || listen(fd, 1024) < 0 ||
        getsockname(fd, (struct sockaddr *)&web->address, &bytes) < 0)
        return error_set(err, ERR_IO, errno, "listen at port %d", ntohs(web->address.sin_port));
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = IS_DOOR};
    if (epoll_ctl(web->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        return error_set(err, ERR_IO, errno, "watch the listener");
    web->listener = fd;
    fd = -1;
    return 0;
}

static void close_door(struct web *web)
{
    if (web->listener >= 0)
        (void)close(web->listener);
    web->listener = -1;
}

static void accept_all(struct web *web)
{
    while (web->listener >= 0) {
        int fd = accept4(web->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0)
            return;
        take_connection(web, fd);
    }
}

static void take_connection(struct web *web, int fd)
{
    static const int on = 1;
    int at = 0;
    while (at < web->top && web->connections[at].fd >= 0)
        at++;
    if (at == WEB_CONNECTIONS_MAX) {
        (void)close(fd);
        return;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)at};
    if (epoll_ctl(web->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (at == web->top)
        web->top++;
    web->connections[at] =
        (struct web_connection){.fd = fd, .watched = EPOLLIN, .last_us = clock_mono_now().us};
    web->open_count++;
}

/* ---- time ---- */

/* The longest sleep: short while idle connections are being ended one after the other. */
static int64_t tick_us(const struct web *web)
{
    bool is_ending = web->state == WEB_DRAINING && web->listener < 0;
    return is_ending ? US_PER_MS : TICK_US;
}

static void tick(struct web *web, int64_t now_us)
{
    if (now_us - web->ticked_us < US_PER_MS)
        return;
    web->ticked_us = now_us;
    int count = web->timed ? web->top : 0;
    web->timed = false;
    for (int i = 0; i < count; i++) {
        struct web_connection *connection = &web->connections[i];
        if (connection->fd >= 0 && connection->due_us != 0 && now_us >= connection->due_us)
            web_connection_due(web, connection);
        if (connection->fd >= 0 && connection->shut_us != 0 &&
            now_us - connection->shut_us >= WEB_FAREWELL_US)
            web_connection_end(web, connection);
        web->timed = web->timed || connection->due_us != 0 || connection->shut_us != 0;
    }
    if (web->state == WEB_DRAINING)
        tick_draining(web, now_us);
}

static void tick_draining(struct web *web, int64_t now_us)
{
    bool busy = false;
    for (int i = 0; i < web->top; i++) {
        struct web_connection *connection = &web->connections[i];
        if (connection->fd < 0)
            continue;
        if (now_us >= web->cut_at_us)
            web_connection_end(web, connection);
        else if (connection->websocket && !connection->closing && now_us >= web->drain_at_us)
            web_connection_goodbye(web, connection, WEBSOCKET_RESTART);
        else
            busy = busy || (!connection->websocket && !web_connection_idle(connection));
    }
    bool quiet = now_us - web->last_us >= WEB_QUIET_US;
    if (web->listener >= 0 && ((!busy && quiet) || now_us >= web->cut_at_us)) {
        /* Who has come in the same moment is still answered: the door closes when nobody waits. */
        int before = web->open_count;
        accept_all(web);
        if (web->open_count == before || now_us >= web->cut_at_us)
            close_door(web);
    }
    /* Who sits in front closes its side of each, too, while it serves others: a few at a time. */
    int ended = 0;
    for (int i = 0; web->listener < 0 && i < web->top && ended < WEB_ENDS_A_TICK; i++) {
        struct web_connection *connection = &web->connections[i];
        if (connection->fd >= 0 && !connection->websocket && web_connection_idle(connection) &&
            now_us - connection->last_us >= WEB_QUIET_US) {
            web_connection_end(web, connection);
            ended++;
        }
    }
    if (web->listener < 0 && web->open_count == 0)
        web->state = WEB_DRAINED;
}

/* The library behind it may have connected anew, with the same number or another one. */
static void watch_other(struct web *web, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = IS_OTHER};
    if (fd >= 0)
        (void)epoll_ctl(web->epoll, EPOLL_CTL_ADD, fd, &event); /* EEXIST: it is watched */
}
