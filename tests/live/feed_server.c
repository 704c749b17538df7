#include "tests/live/feed_server.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

#define REQUEST_BYTES 16384
#define TICK_MS       20

static struct feed_route *table;
static int listener = -1;
static pthread_t acceptor;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int open_connections;
static bool stopping;

struct answer {
    int fd;
    const char *request;
    struct feed_route *route;
    int hit; /* from 1 */
};

static void *accept_all(void *context);
static void *serve_connection(void *context);
static bool serve(int fd, const char *request);
static bool serve_fault(const struct answer *answer);
static bool serve_body(const struct answer *answer);
static bool send_body(const struct answer *answer, const char *body, size_t from, size_t until);
static struct feed_route *find(const char *target);
static bool header_is(const char *request, const char *name, const char *value);
static bool send_all(int fd, const char *data, size_t bytes);
static bool is_stopping(void);

int feed_server_start(struct feed_route *routes)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    table = routes;
    stopping = false;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 64), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(pthread_create(&acceptor, NULL, accept_all, NULL), 0);
    return ntohs(address.sin_port);
}

void feed_server_stop(void)
{
    if (listener < 0)
        return;
    (void)pthread_mutex_lock(&lock);
    stopping = true;
    (void)pthread_mutex_unlock(&lock);
    (void)pthread_join(acceptor, NULL);
    for (bool busy = true; busy;) {
        const struct timespec tick = {.tv_nsec = TICK_MS * 1000000L};
        (void)pthread_mutex_lock(&lock);
        busy = open_connections > 0;
        (void)pthread_mutex_unlock(&lock);
        if (busy)
            (void)nanosleep(&tick, NULL);
    }
    (void)close(listener);
    listener = -1;
}

char feed_server_byte(size_t at)
{
    return (char)(at * 131 >> 3);
}

static void *accept_all(void *context)
{
    while (!is_stopping()) {
        struct pollfd wait = {.fd = listener, .events = POLLIN};
        if (poll(&wait, 1, TICK_MS) <= 0)
            continue;
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd < 0)
            continue;
        (void)pthread_mutex_lock(&lock);
        open_connections++;
        (void)pthread_mutex_unlock(&lock);
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) == 0)
            (void)pthread_detach(thread);
    }
    return context;
}

static void *serve_connection(void *context)
{
    int fd = (int)(intptr_t)context;
    char request[REQUEST_BYTES];
    size_t bytes = 0;
    while (!is_stopping()) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (poll(&wait, 1, TICK_MS) <= 0)
            continue;
        ssize_t got = recv(fd, request + bytes, sizeof(request) - 1 - bytes, 0);
        if (got <= 0)
            break;
        bytes += (size_t)got;
        request[bytes] = 0;
        if (strstr(request, "\r\n\r\n") == NULL)
            continue;
        bytes = 0;
        if (!serve(fd, request))
            break;
    }
    (void)close(fd);
    (void)pthread_mutex_lock(&lock);
    open_connections--;
    (void)pthread_mutex_unlock(&lock);
    return NULL;
}

/* False: the connection ends. */
static bool serve(int fd, const char *request)
{
    static const char gone[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\ngone\n";
    char target[4096] = "";
    (void)sscanf(request, "GET %4095s", target);
    (void)pthread_mutex_lock(&lock);
    struct answer answer = {.fd = fd, .request = request, .route = find(target)};
    if (answer.route != NULL)
        answer.hit = ++answer.route->hits;
    (void)pthread_mutex_unlock(&lock);
    if (answer.route == NULL || answer.route->fault == FEED_GONE)
        return send_all(fd, gone, sizeof(gone) - 1);
    return serve_fault(&answer);
}

static bool serve_fault(const struct answer *answer)
{
    const struct feed_route *route = answer->route;
    char head[1024];
    switch (route->fault) {
    case FEED_BUSY:
        if (answer->hit > 2)
            return serve_body(answer);
        str_format(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n",
                   answer->hit == 1 ? "429 Too Many Requests\r\nRetry-After: 0"
                                    : "503 Service Unavailable");
        break;
    case FEED_DOWN:
        str_format(head, sizeof(head),
                   "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 3600\r\nContent-Length: "
                   "0\r\n\r\n");
        break;
    case FEED_LOOP:
    case FEED_HOP:
        str_format(head, sizeof(head),
                   "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
                   route->fault == FEED_LOOP ? route->path : route->other);
        break;
    case FEED_KEY:
        if (header_is(answer->request, "X-Key", "secret"))
            return serve_body(answer);
        str_format(head, sizeof(head), "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
        break;
    case FEED_HANG:
        str_format(head, sizeof(head), "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        (void)send_all(answer->fd, head, strlen(head));
        while (!is_stopping()) {
            struct pollfd wait = {.fd = answer->fd, .events = POLLIN};
            char byte;
            if (poll(&wait, 1, TICK_MS) > 0 && recv(answer->fd, &byte, 1, 0) <= 0)
                return false;
        }
        return false;
    default:
        return serve_body(answer);
    }
    return send_all(answer->fd, head, strlen(head));
}

/* The body, the rest of it, or that it is the same. */
static bool serve_body(const struct answer *answer)
{
    struct feed_route *route = answer->route;
    bool changed = route->fault == FEED_CUT_CHANGED && answer->hit > 1;
    const char *body = changed ? route->other : route->body;
    const char *etag = changed ? "\"changed\"" : route->etag;
    size_t bytes = body != NULL && (route->bytes == 0 || changed) ? strlen(body) : route->bytes;
    size_t from = 0;
    char head[2048];
    char range[32] = "";
    if (etag != NULL && header_is(answer->request, "If-None-Match", etag)) {
        route->same++;
        str_format(head, sizeof(head), "HTTP/1.1 304 Not Modified\r\nETag: %s\r\n\r\n", etag);
        return send_all(answer->fd, head, strlen(head));
    }
    const char *asked = strstr(answer->request, "\r\nRange: bytes=");
    if (asked != NULL && etag != NULL && header_is(answer->request, "If-Range", etag) &&
        sscanf(asked, "\r\nRange: bytes=%zu-", &from) == 1 && from < bytes) {
        route->resumed++;
        str_format(range, sizeof(range), "%zu", route->fault == FEED_LIAR ? from + 1 : from);
    } else {
        from = 0;
    }
    str_format(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s%s%s%s",
               range[0] != 0 ? "206 Partial Content" : "200 OK", bytes - from,
               etag == NULL ? "" : "ETag: ", etag == NULL ? "" : etag, etag == NULL ? "" : "\r\n",
               route->headers == NULL ? "" : route->headers);
    if (range[0] != 0)
        str_format(head + strlen(head), sizeof(head) - strlen(head),
                   "Content-Range: bytes %s-%zu/%zu\r\n", range, bytes - 1, bytes);
    str_format(head + strlen(head), sizeof(head) - strlen(head), "\r\n");
    if (!send_all(answer->fd, head, strlen(head)))
        return false;
    bool cut = route->fault == FEED_CUT || route->fault == FEED_CUT_CHANGED ||
               (route->fault == FEED_LIAR && answer->hit == 1);
    size_t until = (cut && answer->hit == 1) || route->fault == FEED_CUT_ALWAYS
                       ? from + (bytes - from) / 2
                       : bytes;
    return send_body(answer, body, from, until) && until == bytes;
}

static bool send_body(const struct answer *answer, const char *body, size_t from, size_t until)
{
    char block[8192];
    while (from < until) {
        size_t count = until - from < sizeof(block) ? until - from : sizeof(block);
        for (size_t i = 0; i < count; i++)
            block[i] = body != NULL ? body[from + i] : feed_server_byte(from + i);
        if (!send_all(answer->fd, block, count))
            return false;
        from += count;
    }
    return true;
}

static struct feed_route *find(const char *target)
{
    size_t bytes = strcspn(target, "?");
    for (struct feed_route *route = table; route->path != NULL; route++) {
        bool whole = strchr(route->path, '?') != NULL;
        if (whole ? str_equal(route->path, target)
                  : strlen(route->path) == bytes && strncmp(route->path, target, bytes) == 0)
            return route;
    }
    return NULL;
}

static bool header_is(const char *request, const char *name, const char *value)
{
    char line[512];
    str_format(line, sizeof(line), "\r\n%s: %s\r\n", name, value);
    return strstr(request, line) != NULL;
}

static bool send_all(int fd, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static bool is_stopping(void)
{
    (void)pthread_mutex_lock(&lock);
    bool stops = stopping;
    (void)pthread_mutex_unlock(&lock);
    return stops;
}
