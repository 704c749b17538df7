/* What a server tells in the INFO line that it sends first to every connection. nats.c reads it
 * too, but shows neither the version nor whether there is JetStream. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bus/bus_internal.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/str.h"

#define INFO_BYTES_MAX 65536
#define INFO_WAIT_US   (2 * US_PER_S)

static int address_split(const char *url, char *host, size_t capacity, char **ret_port);
static int dial(const char *host, const char *port, int64_t until_us);
static int read_info(int fd, int64_t until_us, char **ret_line);
static int wait_for(int fd, short events, int64_t until_us);
static int info_parse(const char *line, struct bus_server *ret_server);

int bus_server(struct bus *bus, struct bus_server *ret_server, struct error *err)
{
    char url[LIMIT_PATH_BYTES];
    char host[LIMIT_PATH_BYTES];
    char *port = NULL;
    natsStatus status = natsConnection_GetConnectedUrl(bus_nats(bus), url, sizeof(url));
    if (status != NATS_OK || url[0] == 0)
        return bus_status_error(NATS_CONNECTION_DISCONNECTED, err, "no server to ask");
    if (address_split(url, host, sizeof(host), &port) < 0)
        return error_set(err, ERR_INVALID, 0, "'%s' is not nats://host:port", url);
    int64_t until_us = clock_mono_now().us + INFO_WAIT_US;
    CLEANUP(cleanup_close) int fd = dial(host, port, until_us);
    if (fd < 0)
        return error_set(err, ERR_UNAVAILABLE, errno, "cannot connect to %s", url);
    CLEANUP(cleanup_free) char *line = NULL;
    int rc = read_info(fd, until_us, &line);
    if (rc < 0)
        return error_set(err, rc, 0, "%s sent no INFO line", url);
    struct bus_server about = {0};
    if (info_parse(line, &about) < 0)
        return error_set(err, ERR_INVALID, 0, "%s sent an INFO line that is none", url);
    *ret_server = about;
    return 0;
}

int bus_server_version(struct bus *bus, char *out, size_t capacity)
{
    struct bus_server about;
    int rc = bus_server(bus, &about, NULL);
    return rc < 0 ? rc : str_copy(out, capacity, about.version);
}

static int address_split(const char *url, char *host, size_t capacity, char **ret_port)
{
    const char *start = strstr(url, "://");
    start = start == NULL ? url : start + 3;
    const char *user_end = strrchr(start, '@');
    if (user_end != NULL)
        start = user_end + 1;
    if (str_copy(host, capacity, start) < 0)
        return ERR_LIMIT;
    host[strcspn(host, "/")] = 0;
    char *colon = strrchr(host, ':');
    if (colon == NULL)
        return ERR_INVALID;
    *colon = 0;
    *ret_port = colon + 1;
    size_t bytes = strlen(host);
    if (host[0] == '[' && bytes > 2 && host[bytes - 1] == ']') { /* an IPv6 address */
        host[bytes - 1] = 0;
        memmove(host, host + 1, bytes - 1);
    }
    return 0;
}

/* The connected socket; negative with errno. */
static int dial(const char *host, const char *port, int64_t until_us)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) {
        errno = EHOSTUNREACH;
        return -1;
    }
    int fd = -1;
    for (struct addrinfo *each = found; each != NULL && fd < 0; each = each->ai_next) {
        fd = socket(each->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            continue;
        int problem = 0;
        socklen_t bytes = sizeof(problem);
        if (connect(fd, each->ai_addr, each->ai_addrlen) < 0)
            problem = errno;
        if (problem == EINPROGRESS) {
            problem = ETIMEDOUT;
            if (wait_for(fd, POLLOUT, until_us) == 0)
                (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &problem, &bytes); /* fd is a socket */
        }
        if (problem != 0) {
            (void)close(fd);
            fd = -1;
            errno = problem;
        }
    }
    freeaddrinfo(found);
    return fd;
}

static int read_info(int fd, int64_t until_us, char **ret_line)
{
    CLEANUP(cleanup_free) char *line = malloc(INFO_BYTES_MAX + 1);
    if (line == NULL)
        return ERR_NO_MEMORY;
    size_t bytes = 0;
    while (bytes < INFO_BYTES_MAX) {
        if (wait_for(fd, POLLIN, until_us) < 0)
            return ERR_TIMEOUT;
        ssize_t got = read(fd, line + bytes, INFO_BYTES_MAX - bytes);
        if (got < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (got <= 0)
            return ERR_UNAVAILABLE;
        bytes += (size_t)got;
        line[bytes] = 0;
        if (strchr(line, '\n') != NULL) {
            *ret_line = TAKE(line);
            return 0;
        }
    }
    return ERR_LIMIT;
}

static int wait_for(int fd, short events, int64_t until_us)
{
    for (;;) {
        int64_t left_us = until_us - clock_mono_now().us;
        struct pollfd poll_fd = {.fd = fd, .events = events};
        if (left_us <= 0)
            return ERR_TIMEOUT;
        int ready = poll(&poll_fd, 1, (int)(left_us / US_PER_MS) + 1);
        if (ready > 0)
            return 0;
        if (ready < 0 && errno != EINTR)
            return ERR_IO;
    }
}

static int info_parse(const char *line, struct bus_server *ret_server)
{
    if (!str_starts(line, "INFO "))
        return ERR_INVALID;
    json_t *info = json_loads(line + 5, JSON_DISABLE_EOF_CHECK, NULL);
    const char *version = json_string_value(json_object_get(info, "version"));
    int rc = ERR_INVALID;
    if (version != NULL)
        rc = str_copy(ret_server->version, sizeof(ret_server->version), version);
    ret_server->jetstream = json_is_true(json_object_get(info, "jetstream"));
    ret_server->auth_required = json_is_true(json_object_get(info, "auth_required"));
    ret_server->max_payload_bytes = json_integer_value(json_object_get(info, "max_payload"));
    json_decref(info);
    return rc;
}
