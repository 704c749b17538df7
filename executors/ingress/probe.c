/*
 * probe: GETs as a client's, through the ingress's own listener, each over a connection of its own,
 * so that every step of the way is proven each time.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "executors/ingress/internal.h"

static int check(const struct ingress_probe *probe, struct error *err);
static const char *route_path(const struct ingress *ingress, const struct ingress_probe *probe);
static void begin(struct ingress *ingress, int index);
static int begin_connect(const struct ingress *ingress, int family, int fd);
static void judge(struct live_probe *probe, const struct response *response);
static void ended(struct ingress *ingress, struct live_probe *probe, const char *why);

int ingress_probe(struct ingress *ingress, const struct ingress_probe *wanted, struct error *err)
{
    int rc = check(wanted, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < INGRESS_PROBES; i++) {
        struct live_probe *probe = &ingress->probes[i];
        struct strbuf request;
        if (probe->used)
            continue;
        const char *host = wanted->host[0] != 0 ? wanted->host : ingress->options.http;
        strbuf_init(&request, 2048);
        strbuf_printf(&request,
                      "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: berth-node\r\nBerth-Probe: %s\r\n"
                      "Berth-Instance: %s\r\nBerth-Route: %s\r\nConnection: close\r\n\r\n",
                      wanted->path, host[0] != 0 ? host : "localhost", ingress->key,
                      wanted->instance, route_path(ingress, wanted));
        rc = strbuf_error(&request, err);
        if (rc < 0) {
            strbuf_done(&request);
            return rc;
        }
        *probe = (struct live_probe){.used = true,
                                     .fd = -1,
                                     .count = wanted->count,
                                     .timeout_us = wanted->timeout_us,
                                     .request_bytes = request.bytes};
        probe->request = request.text; /* the probe's from here on */
        str_format(probe->id, sizeof(probe->id), "%s", wanted->id);
        str_format(probe->instance, sizeof(probe->instance), "%s", wanted->instance);
        begin(ingress, i);
        ingress_timer(ingress);
        return 0;
    }
    return error_set(err, ERR_LIMIT, 0, "%d probes are under way, which is the limit",
                     INGRESS_PROBES);
}

void probe_io(struct ingress *ingress, int index, unsigned events)
{
    struct live_probe *probe = &ingress->probes[index];
    char text[64];
    int why = 0;
    socklen_t bytes = sizeof(why);
    if (!probe->used || probe->fd < 0)
        return;
    if (!probe->connected) {
        (void)getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &why, &bytes);
        if (why != 0) {
            str_format(text, sizeof(text), "connect: %.50s", strerrordesc_np(why));
            ended(ingress, probe, text);
            return;
        }
        probe->connected = true;
    }
    if ((events & EPOLLOUT) != 0 && probe->request_sent < probe->request_bytes) {
        ssize_t put = send(probe->fd, probe->request + probe->request_sent,
                           probe->request_bytes - probe->request_sent, MSG_NOSIGNAL);
        probe->request_sent += put > 0 ? (size_t)put : 0;
        if (probe->request_sent == probe->request_bytes &&
            ingress_rewatch(ingress, probe->fd, WATCH_PROBE, index, EPOLLIN) < 0)
            ended(ingress, probe, "its connection cannot be watched");
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0 || probe->fd < 0)
        return;
    ssize_t got =
        recv(probe->fd, probe->answer + probe->bytes, sizeof(probe->answer) - probe->bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    probe->bytes += got > 0 ? (size_t)got : 0;
    struct response response;
    int rc = response_parse(probe->answer, probe->bytes, &response);
    if (rc > 0) {
        judge(probe, &response);
        ended(ingress, probe, NULL);
    } else if (rc < 0) {
        ended(ingress, probe, "what came back is no HTTP answer");
    } else if (got <= 0) {
        ended(ingress, probe, "the connection was closed without an answer");
    }
}

void probe_tick(struct ingress *ingress, int64_t now)
{
    for (int i = 0; i < INGRESS_PROBES; i++) {
        struct live_probe *probe = &ingress->probes[i];
        if (!probe->used || probe->ended)
            continue;
        if (probe->fd < 0)
            begin(ingress, i);
        else if (probe->deadline <= now)
            ended(ingress, probe, "no answer in time");
    }
}

int64_t probe_deadline(const struct ingress *ingress)
{
    int64_t first = INT64_MAX;
    for (int i = 0; i < INGRESS_PROBES; i++) {
        const struct live_probe *probe = &ingress->probes[i];
        if (!probe->used)
            continue;
        if (probe->ended || probe->fd < 0)
            return 0;
        if (probe->deadline < first)
            first = probe->deadline;
    }
    return first;
}

void probe_tell(struct ingress *ingress)
{
    for (int i = 0; i < INGRESS_PROBES; i++) {
        struct live_probe *probe = &ingress->probes[i];
        if (!probe->used || !probe->ended)
            continue;
        struct live_probe told = *probe; /* the callback may begin another in its place */
        free(TAKE(probe->request));
        probe->used = false;
        struct ingress_probed probed = {.id = told.id,
                                        .instance = told.instance,
                                        .sent = told.sent,
                                        .answered = told.answered,
                                        .unproven = told.unproven,
                                        .rtt_us = told.rtt_us,
                                        .text = told.text};
        ingress->callbacks.probed(ingress->callbacks.context, &probed);
    }
}

void probe_free(struct ingress *ingress)
{
    for (int i = 0; i < INGRESS_PROBES; i++) {
        struct live_probe *probe = &ingress->probes[i];
        if (probe->used && probe->fd >= 0)
            (void)close(probe->fd);
        if (probe->used)
            free(TAKE(probe->request));
        probe->used = false;
    }
}

/* What becomes part of a request's head must not be able to be more than that. */
static int check(const struct ingress_probe *probe, struct error *err)
{
    const char *texts[] = {probe->instance, probe->host, probe->path};
    for (size_t i = 0; i < 3; i++)
        for (const char *c = texts[i]; *c != 0; c++)
            if (*c <= 0x20 || *c > 0x7e)
                return error_set(err, ERR_INVALID, 0,
                                 "'%.200s' has a character that a probe cannot carry", texts[i]);
    if (probe->path[0] != '/')
        return error_set(err, ERR_INVALID, 0, "the probe's path is '%.200s': it begins with '/'",
                         probe->path);
    if (probe->instance[0] == 0 || strlen(probe->instance) >= LIMIT_ID_BYTES ||
        strlen(probe->id) >= LIMIT_ID_BYTES)
        return error_set(err, ERR_INVALID, 0, "a probe needs the id of an instance, and its own");
    if (probe->count < 1 || probe->count > INGRESS_PROBE_COUNT || probe->timeout_us < 1)
        return error_set(err, ERR_INVALID, 0, "a probe is of 1 to %d requests, each with a timeout",
                         INGRESS_PROBE_COUNT);
    return 0;
}

/* The path of the instance's route: what leads to it in the map is proven with it, whatever path
 * its identity is asked for at. */
static const char *route_path(const struct ingress *ingress, const struct ingress_probe *probe)
{
    for (int i = 0; i < ingress->options.slots; i++)
        for (int j = 0; j < ingress->slots[i].want_count; j++)
            if (str_equal(ingress->slots[i].want[j].instance, probe->instance)) {
                const char *path = strchr(ingress->slots[i].key, '/');
                if (path != NULL)
                    return path;
            }
    return probe->path;
}

static void begin(struct ingress *ingress, int index)
{
    struct live_probe *probe = &ingress->probes[index];
    bool tcp = ingress->options.http[0] != 0;
    int family = !tcp ? AF_UNIX : ingress->options.http[0] == '[' ? AF_INET6 : AF_INET;
    probe->sent++;
    probe->bytes = probe->request_sent = 0;
    probe->connected = false;
    probe->sent_at = ingress_now();
    probe->deadline = probe->sent_at + probe->timeout_us;
    probe->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe->fd < 0) {
        ended(ingress, probe, strerrordesc_np(errno));
        return;
    }
    int why = begin_connect(ingress, family, probe->fd);
    if (why != 0)
        ended(ingress, probe, strerrordesc_np(why));
    else if (ingress_watch(ingress, probe->fd, WATCH_PROBE, index, EPOLLIN | EPOLLOUT) < 0)
        ended(ingress, probe, "its connection cannot be watched");
}

/* An errno, or 0. A wildcard is where it listens, not where one connects: loopback is. */
static int begin_connect(const struct ingress *ingress, int family, int fd)
{
    struct sockaddr_storage storage = {.ss_family = (sa_family_t)family};
    struct ingress_address at;
    struct error err;
    socklen_t bytes;
    if (family != AF_UNIX && ingress_address_parse(ingress->options.http, &at, &err) < 0)
        return EINVAL;
    if (family == AF_UNIX) {
        struct sockaddr_un *address = (struct sockaddr_un *)&storage;
        str_format(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/" FILE_PROBE,
                   ingress->folder_fd);
        bytes = sizeof(*address);
    } else if (family == AF_INET) {
        struct sockaddr_in *address = (struct sockaddr_in *)&storage;
        address->sin_port = htons((uint16_t)at.port);
        (void)inet_pton(AF_INET, at.host, &address->sin_addr);
        if (address->sin_addr.s_addr == htonl(INADDR_ANY))
            address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        bytes = sizeof(*address);
    } else {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)&storage;
        address->sin6_port = htons((uint16_t)at.port);
        (void)inet_pton(AF_INET6, at.host, &address->sin6_addr);
        if (IN6_IS_ADDR_UNSPECIFIED(&address->sin6_addr))
            address->sin6_addr = in6addr_loopback;
        bytes = sizeof(*address);
    }
    return connect(fd, (struct sockaddr *)&storage, bytes) < 0 && errno != EINPROGRESS ? errno : 0;
}

static void judge(struct live_probe *probe, const struct response *response)
{
    int64_t rtt_us = ingress_now() - probe->sent_at;
    bool silent = response->instance[0] == 0;
    if (response->server[0] == 0 && (response->status == 404 || response->status == 503)) {
        str_format(probe->text, sizeof(probe->text),
                   "the ingress answered %d itself: it has no such route, or no server answers",
                   response->status);
    } else if (!str_equal(response->server, probe->instance)) {
        str_format(probe->text, sizeof(probe->text), "the ingress went to another server: '%s'",
                   response->server);
    } else if (!silent && !str_equal(response->instance, probe->instance)) {
        str_format(probe->text, sizeof(probe->text), "another instance answered: '%s'",
                   response->instance);
    } else if (response->status < 200 || response->status > 299) {
        str_format(probe->text, sizeof(probe->text), "HTTP status %d", response->status);
    } else {
        probe->answered++;
        probe->unproven += silent;
        probe->rtt_us = rtt_us > probe->rtt_us ? rtt_us : probe->rtt_us;
    }
}

/* One request has ended; `why` when it had no answer. The next begins from the loop. */
static void ended(struct ingress *ingress, struct live_probe *probe, const char *why)
{
    (void)ingress;
    if (probe->fd >= 0)
        (void)close(probe->fd);
    probe->fd = -1;
    if (why != NULL)
        str_format(probe->text, sizeof(probe->text), "%.250s", why);
    probe->ended = probe->sent >= probe->count;
}
