/*
 * delay-proxy: a TCP proxy that stands for distance: every byte arrives --delay-ms later, in order,
 * each way, without limiting the rate. (This machine type's kernels have no netem; a proxy needs no
 * privileges either.)
 *
 *     delay-proxy --listen 127.0.0.1:PORT --to 127.0.0.1:PORT --delay-ms 40
 *                 [--back-delay-ms 10] [--jitter-ms 5] [--seed 1]
 *
 * --delay-ms       from who connects to who is connected to; the other way too, unless there is
 * --back-delay-ms  for the way back
 * --jitter-ms      each read comes up to so much later still, evenly spread by a generator that
 *                  begins with --seed; nothing overtakes what was sent before it
 *
 * SIGUSR1 stops carrying anything, both ways, and SIGUSR2 goes on: a cut cable. Connections stay
 * open meanwhile, new ones are not taken, and nothing that was sent is lost: TCP would send it
 * again.
 *
 * PORT 0 listens on a free port; the port is printed as "listening <port>" on the first line. One
 * thread, epoll; at most CONNECTIONS_MAX connections and BUFFER_MAX waiting bytes each way: beyond
 * that it stops reading, as a real link's window would. SIGTERM ends it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define CONNECTIONS_MAX 64
#define CHUNK_BYTES     65536
#define BUFFER_MAX      (64 << 20)
#define CUT_POLL_US     (20 * US_PER_MS)

/* Bytes on the way: read at one side, due at the other at due_us. */
struct chunk {
    struct chunk *next;
    int64_t due_us; /* never before the chunk ahead of it */
    size_t bytes;
    size_t sent;
    char data[];
};

struct way {
    struct chunk *first;
    struct chunk *last;
    size_t waiting_bytes;
    bool ended; /* the reading side has closed: shut the other down when all is sent */
    bool shut;
};

struct connection {
    int fd[2];         /* client, server; -1 free */
    struct way way[2]; /* way[i]: read from fd[i], written to fd[1 - i] */
};

struct distance {
    int64_t delay_us[2]; /* of way[i] */
    int64_t jitter_us;
    uint64_t random;
};

static volatile sig_atomic_t stopping;
static volatile sig_atomic_t cut;

static bool read_ms(const char *text, int64_t *ret_ms);
static int parse_address(const char *text, struct sockaddr_in *ret_address);
static int open_listener(const struct sockaddr_in *address);
static void accept_one(struct connection *connections, int listener, const struct sockaddr_in *to);
static bool read_way(struct connection *connection, int side, struct distance *distance);
static int64_t delay_of(struct distance *distance, int side);
static bool write_way(struct connection *connection, int side, int64_t now_us);
static void close_connection(struct connection *connection);
static int run(int listener, const struct sockaddr_in *to, struct distance *distance);
static int64_t poll_set(const struct connection *connections, int listener, int64_t now_us,
                        struct pollfd *fds);
static void on_signal(int number);

int main(int argc, char **argv)
{
    struct sockaddr_in listen_at = {0};
    struct sockaddr_in to = {0};
    int64_t delay_ms = -1;
    int64_t back_ms = -1;
    int64_t jitter_ms = 0;
    int64_t seed = 1;
    bool good = argc % 2 == 1;
    for (int i = 1; i + 1 < argc && good; i += 2) {
        const char *value = argv[i + 1];
        good = (str_equal(argv[i], "--listen") && parse_address(value, &listen_at) == 0) ||
               (str_equal(argv[i], "--to") && parse_address(value, &to) == 0) ||
               (str_equal(argv[i], "--delay-ms") && read_ms(value, &delay_ms)) ||
               (str_equal(argv[i], "--back-delay-ms") && read_ms(value, &back_ms)) ||
               (str_equal(argv[i], "--jitter-ms") && read_ms(value, &jitter_ms)) ||
               (str_equal(argv[i], "--seed") && str_to_i64(value, &seed) == 0);
    }
    if (!good || delay_ms < 0 || listen_at.sin_family == 0 || to.sin_family == 0) {
        fprintf(stderr, "usage: delay-proxy --listen A.B.C.D:PORT --to A.B.C.D:PORT "
                        "--delay-ms 0..10000\n                   [--back-delay-ms 0..10000] "
                        "[--jitter-ms 0..10000] [--seed N]\n");
        return 2;
    }
    struct distance distance = {
        .delay_us = {delay_ms * US_PER_MS, (back_ms < 0 ? delay_ms : back_ms) * US_PER_MS},
        .jitter_us = jitter_ms * US_PER_MS,
        .random = (uint64_t)seed};
    struct sigaction action = {.sa_handler = on_signal};
    const int signals[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    int listener = open_listener(&listen_at);
    if (listener < 0) {
        fprintf(stderr, "delay-proxy: listen: %s\n", strerror(errno));
        return 1;
    }
    return run(listener, &to, &distance);
}

static bool read_ms(const char *text, int64_t *ret_ms)
{
    int64_t ms = 0;
    if (str_to_i64(text, &ms) < 0 || ms < 0 || ms > 10000)
        return false;
    *ret_ms = ms;
    return true;
}

static int run(int listener, const struct sockaddr_in *to, struct distance *distance)
{
    static struct connection connections[CONNECTIONS_MAX];
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        connections[i].fd[0] = connections[i].fd[1] = -1;
    while (!stopping) {
        struct pollfd fds[1 + 2 * CONNECTIONS_MAX];
        int64_t next_us = poll_set(connections, listener, clock_mono_now().us, fds);
        struct timespec wait = {.tv_sec = next_us / US_PER_S, .tv_nsec = next_us % US_PER_S * 1000};
        if (cut)
            wait = (struct timespec){.tv_nsec = CUT_POLL_US * 1000};
        if (ppoll(fds, cut ? 0 : 1 + 2 * CONNECTIONS_MAX, &wait, NULL) < 0 && errno != EINTR)
            return 1;
        if (cut)
            continue;
        int64_t now_us = clock_mono_now().us;
        for (int i = 0; i < CONNECTIONS_MAX; i++) {
            struct connection *c = &connections[i];
            bool alive = c->fd[0] >= 0;
            for (int side = 0; side < 2 && alive; side++) {
                if ((fds[1 + 2 * i + side].revents & (POLLIN | POLLHUP | POLLERR)) != 0)
                    alive = read_way(c, side, distance);
                if (alive)
                    alive = write_way(c, side, now_us);
            }
            if (c->fd[0] >= 0 && (!alive || (c->way[0].shut && c->way[1].shut)))
                close_connection(c);
        }
        if ((fds[0].revents & POLLIN) != 0)
            accept_one(connections, listener, to);
    }
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        close_connection(&connections[i]);
    close(listener);
    return 0;
}

/* Fills what is to be looked at; returns in how long something is due, at most a second. */
static int64_t poll_set(const struct connection *connections, int listener, int64_t now_us,
                        struct pollfd *fds)
{
    int64_t next_us = US_PER_S;
    fds[0] = (struct pollfd){.fd = listener, .events = POLLIN};
    for (int i = 0; i < CONNECTIONS_MAX; i++) {
        for (int side = 0; side < 2; side++) {
            const struct connection *c = &connections[i];
            struct pollfd *fd = &fds[1 + 2 * i + side];
            const struct chunk *out = c->way[1 - side].first;
            *fd = (struct pollfd){.fd = c->fd[side]};
            if (!c->way[side].ended && c->way[side].waiting_bytes < BUFFER_MAX)
                fd->events |= POLLIN;
            if (out != NULL && out->due_us <= now_us)
                fd->events |= POLLOUT;
            else if (out != NULL && out->due_us - now_us < next_us)
                next_us = out->due_us - now_us;
            if (fd->events == 0)
                fd->fd = -1;
        }
    }
    return next_us;
}

static int parse_address(const char *text, struct sockaddr_in *ret_address)
{
    char host[64];
    uint64_t port = 0;
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon - text >= (ptrdiff_t)sizeof host ||
        str_to_u64(colon + 1, &port) < 0 || port > 65535)
        return -1;
    str_format(host, sizeof host, "%.*s", (int)(colon - text), text);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        return -1;
    *ret_address = address;
    return 0;
}

static int open_listener(const struct sockaddr_in *address)
{
    struct sockaddr_in bound = {0};
    socklen_t bound_bytes = sizeof bound;
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 || listen(fd, 16) < 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bound_bytes) < 0) {
        close(fd);
        return -1;
    }
    printf("listening %d\n", ntohs(bound.sin_port));
    fflush(stdout);
    return fd;
}

/* The far side is connected blocking: it is on this machine, and nothing else waits for long. */
static void accept_one(struct connection *connections, int listener, const struct sockaddr_in *to)
{
    int on = 1;
    int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (client < 0)
        return;
    int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int slot = 0;
    while (slot < CONNECTIONS_MAX && connections[slot].fd[0] >= 0)
        slot++;
    if (server < 0 || slot == CONNECTIONS_MAX ||
        connect(server, (const struct sockaddr *)to, sizeof *to) < 0) {
        close(client);
        if (server >= 0)
            close(server);
        return;
    }
    (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)fcntl(server, F_SETFL, fcntl(server, F_GETFL) | O_NONBLOCK);
    connections[slot] = (struct connection){.fd = {client, server}};
}

/* False when the connection is broken. */
static bool read_way(struct connection *connection, int side, struct distance *distance)
{
    struct way *way = &connection->way[side];
    static char buffer[CHUNK_BYTES];
    if (way->ended || way->waiting_bytes >= BUFFER_MAX)
        return true;
    ssize_t got = read(connection->fd[side], buffer, sizeof buffer);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    struct chunk *chunk = malloc(sizeof *chunk + (size_t)got);
    if (chunk == NULL)
        return false;
    *chunk = (struct chunk){.due_us = clock_mono_now().us + delay_of(distance, side),
                            .bytes = (size_t)got};
    if (way->last != NULL && chunk->due_us < way->last->due_us)
        chunk->due_us = way->last->due_us;
    memcpy(chunk->data, buffer, (size_t)got);
    way->ended = got == 0;
    way->waiting_bytes += (size_t)got;
    if (way->last != NULL)
        way->last->next = chunk;
    else
        way->first = chunk;
    way->last = chunk;
    return true;
}

static int64_t delay_of(struct distance *distance, int side)
{
    if (distance->jitter_us == 0)
        return distance->delay_us[side];
    /* xorshift64*, from a state that is never 0 */
    uint64_t x = distance->random == 0 ? 1 : distance->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    distance->random = x;
    uint64_t spread = (x * UINT64_C(2685821657736338717)) >> 32;
    return distance->delay_us[side] + (int64_t)(spread % (uint64_t)(distance->jitter_us + 1));
}

/* Writes what is due towards fd[side]; an empty chunk is the other side's end. */
static bool write_way(struct connection *connection, int side, int64_t now_us)
{
    struct way *way = &connection->way[1 - side];
    while (way->first != NULL && way->first->due_us <= now_us) {
        struct chunk *chunk = way->first;
        while (chunk->sent < chunk->bytes) {
            ssize_t put =
                write(connection->fd[side], chunk->data + chunk->sent, chunk->bytes - chunk->sent);
            if (put < 0)
                return errno == EAGAIN || errno == EINTR;
            chunk->sent += (size_t)put;
            way->waiting_bytes -= (size_t)put;
        }
        if (chunk->bytes == 0) {
            shutdown(connection->fd[side], SHUT_WR);
            way->shut = true;
        }
        way->first = chunk->next;
        if (way->first == NULL)
            way->last = NULL;
        free(chunk);
    }
    return true;
}

static void close_connection(struct connection *connection)
{
    for (int side = 0; side < 2; side++) {
        if (connection->fd[side] >= 0)
            close(connection->fd[side]);
        for (struct chunk *chunk = connection->way[side].first; chunk != NULL;) {
            struct chunk *next = chunk->next;
            free(chunk);
            chunk = next;
        }
    }
    *connection = (struct connection){.fd = {-1, -1}};
}

static void on_signal(int number)
{
    if (number == SIGUSR1 || number == SIGUSR2)
        cut = number == SIGUSR1;
    else
        stopping = 1;
}
