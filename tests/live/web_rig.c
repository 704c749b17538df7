/* See web_rig.h. */
#include "tests/live/web_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"

#define CONNECTIONS 1024
#define HEAD_BYTES  4096
#define LATENCIES   (1 << 20)
#define TIMEOUT_S   10

struct connection {
    int fd;
    size_t bytes;
    size_t body_left;
    bool upgraded;
    bool served; /* a request at least: it is an idle connection between two */
    int64_t used_us;
    char head[HEAD_BYTES];
};

struct serving {
    struct web_board *board;
    int index;
    const char *name;
    struct web_how how;
    int listen_fd;
    int epoll_fd;
    struct connection connections[CONNECTIONS];
};

struct client {
    struct web_load *load;
    pthread_t thread;
    int index;
    int fd;
    struct web_load_result result;
    int64_t *latencies;
    int64_t latency_count;
};

struct web_load {
    struct web_board *board;
    struct web_load_options options;
    _Atomic bool stopping;
    _Atomic int64_t answered;
    int64_t begun_us;
    struct client clients[WEB_CLIENTS];
};

static void die(const char *what);
static int64_t now_us(void);
static int listen_any(int *ret_port);
static _Noreturn void serve(struct serving *serving);
static void serve_accept(struct serving *serving);
static void serve_read(struct serving *serving, struct connection *connection);
static bool serve_request(struct serving *serving, struct connection *connection);
static void serve_close(struct serving *serving, struct connection *connection);
static const char *header(const char *head, const char *name, char *out, size_t capacity);
static void *client_run(void *context);
static bool client_request(struct client *client, int64_t number, char *why, size_t capacity);
static int answer_read(int fd, struct web_answer *answer);
static int compare(const void *a, const void *b);

struct web_board *web_board(void)
{
    struct web_board *board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (board == MAP_FAILED)
        die("mmap");
    return board;
}

void web_start(struct web_board *board, int index, const char *name, struct web_how how,
               struct web_server *ret_server)
{
    struct web_server server = {.index = index};
    str_format(server.name, sizeof(server.name), "%s", name);
    int fd = listen_any(&server.port);
    atomic_store(&board->open[index], 0); /* those of one before it ended with it */
    int closed[2];
    char none;
    if (pipe2(closed, O_CLOEXEC) < 0)
        die("pipe");
    server.pid = fork();
    if (server.pid < 0)
        die("fork");
    if (server.pid == 0) {
        static struct serving serving;
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serving.board = board;
        serving.index = index;
        serving.name = server.name;
        serving.how = how;
        /* Nothing of the test's stays open in it: locks, sockets, the ends of pipes. */
        serving.listen_fd = dup2(fd, 3);
        (void)close_range(4, ~0U, 0);
        serve(&serving);
    }
    (void)close(fd);
    (void)close(closed[1]);
    /* Its end of the pipe is closed with the rest. */
    while (read(closed[0], &none, 1) < 0 && errno == EINTR)
        ;
    (void)close(closed[0]);
    *ret_server = server;
}

void web_stop(struct web_server *server)
{
    if (server->pid <= 0)
        return;
    (void)kill(server->pid, SIGKILL);
    (void)waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

int web_get(int port, const char *head, struct web_answer *ret_answer)
{
    int fd = web_connect(port);
    (void)web_ask(fd, head, ret_answer);
    if (fd >= 0)
        (void)close(fd);
    return ret_answer->status;
}

int web_ask(int fd, const char *head, struct web_answer *ret_answer)
{
    memset(ret_answer, 0, sizeof(*ret_answer));
    ret_answer->status = -1;
    if (fd >= 0 && send(fd, head, strlen(head), MSG_NOSIGNAL) == (ssize_t)strlen(head))
        (void)answer_read(fd, ret_answer);
    return ret_answer->status;
}

int web_status(int port, const char *host, const char *path, struct web_answer *ret_answer)
{
    char head[1024];
    str_format(head, sizeof(head), "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host);
    return web_get(port, head, ret_answer);
}

int64_t web_requests(struct web_board *board, const struct web_server *server)
{
    return atomic_load(&board->requests[server->index]);
}

int web_socket(int port, const char *host)
{
    char text[512];
    struct web_answer answer;
    int fd = web_connect(port);
    str_format(text, sizeof(text),
               "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
               "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
               host);
    if (fd >= 0 && send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text) &&
        answer_read(fd, &answer) == 101)
        return fd;
    if (fd >= 0)
        (void)close(fd);
    return -1;
}

bool web_echo(int fd)
{
    char got[4];
    return send(fd, "ping", 4, MSG_NOSIGNAL) == 4 && recv(fd, got, 4, MSG_WAITALL) == 4 &&
           memcmp(got, "ping", 4) == 0;
}

struct web_load *web_load_start(struct web_board *board, struct web_load_options options)
{
    struct web_load *load = calloc(1, sizeof(*load));
    if (load == NULL || options.clients > WEB_CLIENTS)
        die("a load");
    load->board = board;
    load->options = options;
    load->begun_us = now_us();
    for (int i = 0; i < options.clients; i++) {
        struct client *client = &load->clients[i];
        client->load = load;
        client->index = i;
        client->fd = -1;
        client->latencies = malloc(LATENCIES / (size_t)options.clients * sizeof(int64_t));
        if (client->latencies == NULL ||
            pthread_create(&client->thread, NULL, client_run, client) != 0)
            die("a client");
    }
    return load;
}

int64_t web_load_answered(const struct web_load *load)
{
    return atomic_load(&load->answered);
}

void web_load_stop(struct web_load *load, struct web_load_result *ret_result)
{
    struct web_load_result total = {0};
    int64_t *all = malloc(LATENCIES * sizeof(*all));
    int64_t count = 0;
    if (all == NULL)
        die("latencies");
    atomic_store(&load->stopping, true);
    for (int i = 0; i < load->options.clients; i++) {
        struct client *client = &load->clients[i];
        (void)pthread_join(client->thread, NULL);
        total.sent += client->result.sent;
        total.answered += client->result.answered;
        total.lost += client->result.lost;
        total.reconnects += client->result.reconnects;
        if (total.first_error[0] == 0)
            memcpy(total.first_error, client->result.first_error, sizeof(total.first_error));
        memcpy(all + count, client->latencies, (size_t)client->latency_count * sizeof(*all));
        count += client->latency_count;
        free(client->latencies);
    }
    total.seconds = (double)(now_us() - load->begun_us) / 1e6;
    qsort(all, (size_t)count, sizeof(*all), compare);
    if (count > 0) {
        total.p50_us = all[count / 2];
        total.p99_us = all[count * 99 / 100];
        total.worst_us = all[count - 1];
    }
    int64_t numbers = atomic_load(&load->board->next);
    for (int64_t i = 0; i < numbers && i < WEB_REQUESTS; i++)
        total.duplicated += atomic_load(&load->board->carried_out[i]) > 1;
    free(all);
    free(load);
    *ret_result = total;
}

bool web_load_is_whole(const struct web_load_result *result)
{
    bool whole = result->lost == 0 && result->duplicated == 0 && result->answered > 0;
    if (!whole)
        fprintf(stderr, "lost %lld, twice %lld, answered %lld of %lld; the first: %s\n",
                (long long)result->lost, (long long)result->duplicated, (long long)result->answered,
                (long long)result->sent, result->first_error);
    return whole;
}

static void die(const char *what)
{
    (void)fprintf(stderr, "web_rig: %s: %s\n", what, strerror(errno));
    abort();
}

static int64_t now_us(void)
{
    return clock_mono_now().us;
}

static int listen_any(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(fd, 1024) < 0 || getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
        die("listen");
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static _Noreturn void serve(struct serving *serving)
{
    struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = NULL};
    struct epoll_event events[64];
    (void)signal(SIGPIPE, SIG_IGN);
    serving->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < CONNECTIONS; i++)
        serving->connections[i].fd = -1;
    if (epoll_ctl(serving->epoll_fd, EPOLL_CTL_ADD, serving->listen_fd, &wanted) < 0)
        _exit(1);
    for (;;) {
        int timeout_ms = serving->how.idle_close_us > 0 ? 1 : -1;
        int count = epoll_wait(serving->epoll_fd, events, 64, timeout_ms);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr == NULL)
                serve_accept(serving);
            else
                serve_read(serving, events[i].data.ptr);
        }
        for (int i = 0; i < CONNECTIONS && timeout_ms > 0; i++) {
            struct connection *connection = &serving->connections[i];
            if (connection->fd >= 0 && connection->served && connection->bytes == 0 &&
                now_us() - connection->used_us > serving->how.idle_close_us)
                serve_close(serving, connection);
        }
    }
}

static void serve_accept(struct serving *serving)
{
    for (;;) {
        int fd = accept4(serving->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0)
            return;
        int i = 0;
        while (i < CONNECTIONS && serving->connections[i].fd >= 0)
            i++;
        if (i == CONNECTIONS) {
            (void)close(fd);
            continue;
        }
        (void)atomic_fetch_add(&serving->board->open[serving->index], 1);
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        struct connection *connection = &serving->connections[i];
        connection->fd = fd;
        connection->bytes = connection->body_left = 0;
        connection->upgraded = connection->served = false;
        connection->used_us = now_us();
        struct epoll_event wanted = {.events = EPOLLIN, .data.ptr = connection};
        (void)epoll_ctl(serving->epoll_fd, EPOLL_CTL_ADD, fd, &wanted);
    }
}

static void serve_read(struct serving *serving, struct connection *connection)
{
    if (connection->fd < 0)
        return;
    ssize_t got = recv(connection->fd, connection->head + connection->bytes,
                       HEAD_BYTES - 1 - connection->bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        serve_close(serving, connection);
        return;
    }
    if (connection->upgraded) {
        (void)!send(connection->fd, connection->head, (size_t)got, MSG_NOSIGNAL);
        return;
    }
    connection->bytes += (size_t)got;
    connection->used_us = now_us();
    while (connection->fd >= 0 && serve_request(serving, connection))
        ;
}

/* True: one was taken out of the buffer, and more may be in it. */
static bool serve_request(struct serving *serving, struct connection *connection)
{
    char value[64];
    char text[512];
    char body[128];
    connection->head[connection->bytes] = 0;
    char *end = strstr(connection->head, "\r\n\r\n");
    if (end == NULL)
        return false;
    end += 4;
    int64_t length = 0;
    if (header(connection->head, "Content-Length", value, sizeof(value)) != NULL &&
        str_to_i64(value, &length) < 0)
        length = 0;
    size_t whole = (size_t)(end - connection->head) + (size_t)length;
    if (connection->bytes < whole)
        return false; /* the bodies of the rig's clients fit beside their heads */
    end[-1] = 0;
    int64_t number = 0;
    int status = 200;
    const char *path = strchr(connection->head, ' ');
    path = path != NULL ? path + 1 : "";
    char word[64];
    str_format(word, sizeof(word), "%.*s",
               (int)strcspn(path, " ") > 60 ? 60 : (int)strcspn(path, " "), path);
    const char *says = serving->how.says != NULL ? serving->how.says : serving->name;
    (void)atomic_fetch_add(&serving->board->requests[serving->index], 1);
    if (str_starts(word, "/r/") && str_to_i64(word + 3, &number) == 0 && number < WEB_REQUESTS)
        (void)atomic_fetch_add(&serving->board->carried_out[number], 1);
    if (str_starts(word, "/close/") && str_to_i64(word + 7, &number) == 0 &&
        number < WEB_REQUESTS) {
        (void)atomic_fetch_add(&serving->board->carried_out[number], 1);
        serve_close(serving, connection);
        return false;
    }
    if (str_starts(word, "/status/") && str_to_i64(word + 8, &number) == 0)
        status = (int)number;
    if (str_starts(word, "/sleep/") && str_to_i64(word + 7, &number) == 0)
        (void)usleep((unsigned)number * 1000);
    connection->upgraded = header(connection->head, "Upgrade", value, sizeof(value)) != NULL;
    if (connection->upgraded) {
        (void)atomic_fetch_add(&serving->board->sockets[serving->index], 1);
        str_format(
            text, sizeof(text),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
            "Berth-Instance: %s\r\n\r\n",
            says);
    } else {
        str_format(body, sizeof(body), "%s %s\n", serving->name, word);
        str_format(text, sizeof(text), "HTTP/1.1 %d OK\r\nContent-Length: %zu\r\n%s%s%s\r\n%s",
                   status, strlen(body), says[0] != 0 ? "Berth-Instance: " : "", says,
                   says[0] != 0 ? "\r\n" : "", body);
    }
    if (send(connection->fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        serve_close(serving, connection);
    connection->served = !connection->upgraded;
    connection->bytes -= whole;
    memmove(connection->head, connection->head + whole, connection->bytes);
    return !connection->upgraded;
}

static void serve_close(struct serving *serving, struct connection *connection)
{
    if (connection->upgraded)
        (void)atomic_fetch_sub(&serving->board->sockets[serving->index], 1);
    (void)atomic_fetch_sub(&serving->board->open[serving->index], 1);
    (void)close(connection->fd);
    connection->fd = -1;
    connection->upgraded = false;
}

/* The value of a header, or NULL. */
static const char *header(const char *head, const char *name, char *out, size_t capacity)
{
    size_t bytes = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, bytes) != 0 || line[bytes] != ':')
            continue;
        const char *value = line + bytes + 1;
        value += strspn(value, " ");
        size_t count = strcspn(value, "\r\n");
        if (count >= capacity)
            return NULL;
        memcpy(out, value, count);
        out[count] = 0;
        return out;
    }
    return NULL;
}

int web_connect(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static void *client_run(void *context)
{
    struct client *client = context;
    struct web_load *load = client->load;
    const struct web_load_options *options = &load->options;
    int64_t step_us = options->rate > 0 ? (int64_t)options->clients * 1000000 / options->rate : 0;
    int64_t next_us =
        now_us() + (options->clients > 0 ? step_us * client->index / options->clients : 0);
    while (!atomic_load(&load->stopping)) {
        int64_t wait_us = next_us - now_us();
        if (wait_us > 0)
            (void)usleep((unsigned)(wait_us < 50000 ? wait_us : 50000));
        if (wait_us > 50000)
            continue;
        /* A client that fell behind does not catch up by a burst: its requests are later. */
        next_us = wait_us < -step_us ? now_us() + step_us : next_us + step_us;
        char why[200];
        int64_t number = atomic_fetch_add(&load->board->next, 1);
        int64_t at = now_us();
        client->result.sent++;
        if (client_request(client, number, why, sizeof(why))) {
            client->result.answered++;
            (void)atomic_fetch_add(&load->answered, 1);
            if (client->latency_count < LATENCIES / options->clients)
                client->latencies[client->latency_count++] = now_us() - at;
        } else {
            client->result.lost++;
            if (client->result.first_error[0] == 0)
                memcpy(client->result.first_error, why, sizeof(why));
            if (client->fd >= 0)
                (void)close(client->fd);
            client->fd = -1;
        }
    }
    if (client->fd >= 0)
        (void)close(client->fd);
    return NULL;
}

static bool client_request(struct client *client, int64_t number, char *why, size_t capacity)
{
    const struct web_load_options *options = &client->load->options;
    struct web_answer answer;
    char text[512];
    char left;
    bool post = number * 7919 % 1000000 < options->post_ppm;
    /* A connection that was closed while nobody was asking anything is no error of HTTP's. */
    if (client->fd >= 0 && recv(client->fd, &left, 1, MSG_PEEK | MSG_DONTWAIT) == 0) {
        (void)close(client->fd);
        client->fd = -1;
        client->result.reconnects++;
    }
    if (client->fd < 0)
        client->fd = web_connect(options->port);
    str_format(why, capacity, "request %lld: connect: %s", (long long)number, strerror(errno));
    if (client->fd < 0)
        return false;
    str_format(text, sizeof(text), "%s /r/%lld HTTP/1.1\r\nHost: %s\r\n%s\r\n%s",
               post ? "POST" : "GET", (long long)number, options->host,
               post ? "Content-Length: 10\r\n" : "", post ? "0123456789" : "");
    errno = 0;
    if (send(client->fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text) &&
        answer_read(client->fd, &answer) == 200)
        return true;
    str_format(why, capacity,
               "request %lld (%s): status %d from '%.30s' (%s), carried out %d times",
               (long long)number, post ? "POST" : "GET", answer.status, answer.server,
               strerror(errno), atomic_load(&client->load->board->carried_out[number]));
    return false;
}

static int answer_read(int fd, struct web_answer *answer)
{
    char bytes[2048];
    char value[64];
    size_t count = 0;
    char *end = NULL;
    int64_t length = 0;
    memset(answer, 0, sizeof(*answer));
    answer->status = -1;
    while (end == NULL || count < (size_t)(end - bytes) + (size_t)length) {
        ssize_t got = recv(fd, bytes + count, sizeof(bytes) - 1 - count, 0);
        if (got <= 0)
            return -1;
        count += (size_t)got;
        bytes[count] = 0;
        if (end != NULL || (end = strstr(bytes, "\r\n\r\n")) == NULL)
            continue;
        end += 4;
        if (count > 12 && str_starts(bytes, "HTTP/1.1 101"))
            break;
        char save = *end;
        *end = 0;
        if (header(bytes, "Content-Length", value, sizeof(value)) == NULL ||
            str_to_i64(value, &length) < 0 || length > 1024)
            return -1;
        *end = save;
    }
    str_format(answer->body, sizeof(answer->body), "%.250s", end);
    end[-1] = 0;
    (void)header(bytes, "Berth-Instance", answer->instance, sizeof(answer->instance));
    (void)header(bytes, "Berth-Server", answer->server, sizeof(answer->server));
    answer->status = (bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + bytes[11] - '0';
    return answer->status;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}
