#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/keys/keys.h"
#include "base/str.h"
#include "examples/web/http.h"
#include "tests/live/clients/http_load.h"

#define EVENTS 256
#define AT_END ((uint32_t)(EPOLLRDHUP | EPOLLHUP | EPOLLERR))

static void connect_one(struct http_clients *clients, struct http_client *client);
static void connected(struct http_clients *clients, struct http_client *client);
static void shake(struct http_clients *clients, struct http_client *client);
static void opened(struct http_clients *clients, struct http_client *client);
static void send_request(struct http_clients *clients, struct http_client *client);
static void receive(struct http_clients *clients, struct http_client *client, bool to_end);
static bool take_answer(struct http_clients *clients, struct http_client *client);
static void judge_head(struct http_clients *clients, struct http_client *client,
                       const struct http_head *head);
static void answered(struct http_clients *clients, struct http_client *client);
static void note_server(struct http_clients *clients, struct http_text instance);
static void drop(struct http_clients *clients, struct http_client *client, enum http_loss why);
static void set_state(struct http_clients *clients, struct http_client *client,
                      enum http_client_state state);
static void watch(struct http_clients *clients, struct http_client *client);
static bool is_ready(const struct http_clients *clients, const struct http_client *client);
static struct http_client *take_ready(struct http_clients *clients);

int http_clients_open(struct http_clients *clients, struct error *err)
{
    clients->clients = calloc((size_t)clients->count, sizeof *clients->clients);
    clients->stack = calloc((size_t)clients->count, sizeof *clients->stack);
    clients->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (clients->clients == NULL || clients->stack == NULL || clients->epoll < 0)
        return error_set(err, ERR_NO_MEMORY, errno, "%d connections", clients->count);
    id_random(clients->run);
    clients->run[8] = 0;
    for (int i = 0; i < clients->count; i++) {
        clients->clients[i] = (struct http_client){.fd = -1, .id = -1, .left_bytes = -1};
        clients->ready_count += is_ready(clients, &clients->clients[i]);
        if (!clients->fresh)
            connect_one(clients, &clients->clients[i]);
    }
    return 0;
}

void http_clients_close(struct http_clients *clients)
{
    for (int i = 0; clients->clients != NULL && i < clients->count; i++) {
        struct http_client *client = &clients->clients[i];
        tls_close(client->tls);
        if (client->fd >= 0)
            (void)close(client->fd);
        bytes_done(&client->in);
        bytes_done(&client->out);
    }
    free(clients->clients);
    free(clients->stack);
    clients->clients = NULL;
    clients->stack = NULL;
    if (clients->epoll >= 0)
        (void)close(clients->epoll);
    clients->epoll = -1;
}

bool http_clients_ask(struct http_clients *clients, int64_t due_us)
{
    if (clients->ready_count == 0)
        return false;
    struct http_client *client = take_ready(clients);
    int64_t id = judge_send(clients->judge, due_us);
    client->id = id;
    client->asked_us = clock_mono_now().us;
    if (clients->fresh)
        connect_one(clients, client);
    else
        send_request(clients, client);
    return true;
}

void http_clients_step(struct http_clients *clients, int64_t timeout_us)
{
    struct epoll_event events[EVENTS];
    struct timespec wait = {.tv_sec = timeout_us / US_PER_S,
                            .tv_nsec = timeout_us % US_PER_S * 1000};
    int count = epoll_pwait2(clients->epoll, events, EVENTS, &wait, NULL);
    for (int i = 0; i < count; i++) {
        struct http_client *client = &clients->clients[events[i].data.u64];
        if (client->state == CLIENT_CONNECTING && events[i].events != 0)
            connected(clients, client);
        else if (client->state == CLIENT_SHAKING)
            shake(clients, client);
        else if (client->fd >= 0 && (events[i].events & EPOLLOUT) != 0 &&
                 tls_send(client->tls, &client->out, client->fd) < 0)
            drop(clients, client, LOSS_CLOSED);
        if ((client->state == CLIENT_IDLE || client->state == CLIENT_BUSY) &&
            (events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            receive(clients, client, (events[i].events & AT_END) != 0);
        if (client->fd >= 0)
            watch(clients, client);
    }
}

void http_clients_sweep(struct http_clients *clients, int64_t now_us)
{
    for (int i = 0; i < clients->count; i++) {
        struct http_client *client = &clients->clients[i];
        if (client->id >= 0 && now_us - client->asked_us > clients->timeout_us)
            drop(clients, client, LOSS_TIMEOUT);
        if (client->state == CLIENT_SHAKING && now_us > client->shaken_us)
            drop(clients, client, LOSS_CONNECT);
        if (client->state == CLIENT_CLOSED && !clients->fresh && now_us >= client->retry_us)
            connect_one(clients, client);
    }
}

static void connect_one(struct http_clients *clients, struct http_client *client)
{
    static const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        drop(clients, client, LOSS_CONNECT);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->fd = fd;
    clients->connects++;
    set_state(clients, client, CLIENT_CONNECTING);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
                                .data.u64 = (uint64_t)(client - clients->clients)};
    client->watched = event.events;
    if ((connect(fd, (const struct sockaddr *)&clients->address, sizeof clients->address) < 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(clients->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        drop(clients, client, LOSS_CONNECT);
}

static void connected(struct http_clients *clients, struct http_client *client)
{
    int why = 0;
    socklen_t bytes = sizeof why;
    if (getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &why, &bytes) < 0 || why != 0) {
        drop(clients, client, LOSS_CONNECT);
        return;
    }
    if (clients->trust == NULL) {
        opened(clients, client);
        return;
    }
    client->tls = tls_open(clients->trust, client->fd);
    client->shaken_us = clock_mono_now().us + clients->timeout_us;
    set_state(clients, client, CLIENT_SHAKING);
    if (client->tls == NULL)
        drop(clients, client, LOSS_CONNECT);
    else
        shake(clients, client);
}

static void shake(struct http_clients *clients, struct http_client *client)
{
    struct error err = {0};
    int rc = tls_shake(client->tls, &err);
    if (rc > 0)
        opened(clients, client);
    if (rc >= 0)
        return;
    if (clients->tls_failed++ == 0)
        fprintf(stderr, "http-load: %s\n", err.text);
    drop(clients, client, LOSS_CONNECT);
}

/* It can take requests; one may have waited for it. */
static void opened(struct http_clients *clients, struct http_client *client)
{
    if (client->id >= 0)
        send_request(clients, client);
    else
        set_state(clients, client, CLIENT_IDLE);
}

static void send_request(struct http_clients *clients, struct http_client *client)
{
    static const char zeros[HTTP_CLIENT_POST_MAX];
    char text[1024], length[64] = "";
    bool posts = clients->post_bytes > 0 && client->id % 2 == 1;
    size_t body_bytes = posts ? (size_t)clients->post_bytes : 0;
    set_state(clients, client, CLIENT_BUSY);
    client->left_bytes = -1;
    if (posts)
        str_format(length, sizeof length, "Content-Length: %zu\r\n", body_bytes);
    str_format(text, sizeof text,
               "%s %.500s HTTP/1.1\r\nHost: %.200s\r\nRequest-Id: %s.%" PRId64 "\r\n%s%s\r\n",
               posts ? "POST" : "GET", clients->path, clients->host, clients->run, client->id,
               length, clients->fresh ? "Connection: close\r\n" : "");
    if (!bytes_add(&client->out, text, strlen(text), sizeof text) ||
        !bytes_add(&client->out, zeros, body_bytes, sizeof text + sizeof zeros) ||
        tls_send(client->tls, &client->out, client->fd) < 0) {
        drop(clients, client, LOSS_CLOSED);
        return;
    }
    watch(clients, client);
}

/* Reads what is there. A read that left room has got all, and a second one to be told so would be a
 * third of this program's work; but where the other side has closed, its end is read as well. A TLS
 * session gives one record at a time and may hold another, so it is read until it has none. */
static void receive(struct http_clients *clients, struct http_client *client, bool to_end)
{
    for (bool more = true; more;) {
        ssize_t got = tls_receive(client->tls, &client->in, client->fd, HTTP_CLIENT_ANSWER_MAX);
        more = to_end || got == BYTES_READ || client->tls != NULL;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (got <= 0) {
            drop(clients, client, LOSS_CLOSED);
            return;
        }
        if (client->state != CLIENT_BUSY) {
            /* Nothing was asked: an answer too many. */
            clients->judge->duplicated++;
            drop(clients, client, LOSS_CLOSED);
            return;
        }
        if (!take_answer(clients, client) || client->state == CLIENT_CONNECTING)
            return; /* gone, or already another one */
    }
}

/* False when the connection is gone. */
static bool take_answer(struct http_clients *clients, struct http_client *client)
{
    while (client->left_bytes < 0 && client->in.count > 0) {
        struct http_head head;
        enum http_parsed parsed =
            http_response_parse(bytes_at(&client->in), client->in.count, &head);
        if (parsed == HTTP_MORE)
            return true;
        if (parsed == HTTP_WRONG || head.chunked || (head.status >= 200 && head.body_bytes < 0)) {
            clients->refused_status[0]++;
            judge_answer(clients->judge, client->id, clock_mono_now().us, false);
            client->id = -1;
            drop(clients, client, LOSS_CLOSED);
            return false;
        }
        if (head.status >= 200) { /* others only announce it */
            judge_head(clients, client, &head);
            client->left_bytes = head.body_bytes;
        }
        bytes_take(&client->in, head.head_bytes);
    }
    if (client->left_bytes < 0)
        return true;
    size_t part = client->in.count;
    if ((int64_t)part > client->left_bytes)
        part = (size_t)client->left_bytes;
    bytes_take(&client->in, part);
    client->left_bytes -= (int64_t)part;
    if (client->left_bytes > 0)
        return true;
    answered(clients, client);
    return client->fd >= 0;
}

static void judge_head(struct http_clients *clients, struct http_client *client,
                       const struct http_head *head)
{
    char id[64];
    const struct http_text *echoed = http_header(head, "Request-Id");
    const struct http_text *instance = http_header(head, "Berth-Instance");
    str_format(id, sizeof id, "%s.%" PRId64, clients->run, client->id);
    bool ours = echoed != NULL && http_text_is(*echoed, id);
    client->ok = head->status == 200 && ours;
    client->close = head->close;
    if (!client->ok)
        clients->refused_status[head->status == 200 ? 0 : head->status / 100]++;
    else if (instance != NULL)
        note_server(clients, *instance);
}

static void answered(struct http_clients *clients, struct http_client *client)
{
    judge_answer(clients->judge, client->id, clock_mono_now().us, client->ok);
    client->id = -1;
    client->left_bytes = -1;
    if (client->in.count > 0) {
        clients->judge->duplicated++; /* more than one answer to one request */
        drop(clients, client, LOSS_CLOSED);
    } else if (client->close) {
        drop(clients, client, LOSS_CLOSED);
        client->retry_us = 0; /* it was told to: nothing to wait for */
        if (!clients->fresh)
            connect_one(clients, client);
    } else {
        set_state(clients, client, CLIENT_IDLE);
    }
}

static void note_server(struct http_clients *clients, struct http_text instance)
{
    int64_t now_us = clock_mono_now().us - clients->judge->begun_us;
    int at = 0;
    while (at < clients->server_count && !http_text_is(instance, clients->servers[at].instance))
        at++;
    if (at == HTTP_CLIENT_SERVERS || instance.bytes >= sizeof clients->servers[0].instance)
        return;
    struct http_server *server = &clients->servers[at];
    if (at == clients->server_count) {
        clients->server_count++;
        *server = (struct http_server){.first_us = now_us};
        str_format(server->instance, sizeof server->instance, "%.*s", (int)instance.bytes,
                   instance.at);
    }
    server->count++;
    server->last_us = now_us;
}

/* Ends a connection; a request that is under way on it gets no answer any more. */
static void drop(struct http_clients *clients, struct http_client *client, enum http_loss why)
{
    if (client->id >= 0)
        clients->lost[why]++;
    else if (client->state == CLIENT_IDLE)
        clients->closed_idle++;
    tls_close(client->tls);
    client->tls = NULL;
    if (client->fd >= 0)
        (void)close(client->fd);
    bytes_done(&client->in);
    bytes_done(&client->out);
    client->fd = -1;
    client->id = -1;
    client->left_bytes = -1;
    client->retry_us = clock_mono_now().us + HTTP_CLIENT_RETRY_US;
    set_state(clients, client, CLIENT_CLOSED);
}

static void set_state(struct http_clients *clients, struct http_client *client,
                      enum http_client_state state)
{
    clients->ready_count -= is_ready(clients, client);
    client->state = state;
    clients->ready_count += is_ready(clients, client);
    if (clients->newest && state == CLIENT_IDLE && !client->stacked) {
        client->stacked = true;
        clients->stack[clients->stack_count++] = (int)(client - clients->clients);
    }
}

static void watch(struct http_clients *clients, struct http_client *client)
{
    uint32_t events = (uint32_t)(EPOLLIN | EPOLLRDHUP);
    if (client->out.count > 0 || (client->state == CLIENT_SHAKING && tls_writes(client->tls)))
        events |= (uint32_t)EPOLLOUT;
    if (client->state == CLIENT_CONNECTING || events == client->watched)
        return;
    struct epoll_event event = {.events = events,
                                .data.u64 = (uint64_t)(client - clients->clients)};
    (void)epoll_ctl(clients->epoll, EPOLL_CTL_MOD, client->fd, &event);
    client->watched = events;
}

static bool is_ready(const struct http_clients *clients, const struct http_client *client)
{
    return client->state == (clients->fresh ? CLIENT_CLOSED : CLIENT_IDLE);
}

/* There is one. */
static struct http_client *take_ready(struct http_clients *clients)
{
    struct http_client *client;
    while (clients->stack_count > 0) {
        client = &clients->clients[clients->stack[--clients->stack_count]];
        client->stacked = false;
        if (is_ready(clients, client))
            return client;
    }
    do {
        client = &clients->clients[clients->next];
        clients->next = (clients->next + 1) % clients->count;
    } while (!is_ready(clients, client));
    return client;
}
