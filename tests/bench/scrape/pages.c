#include "tests/bench/scrape/pages.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

#define EVENTS     256
#define PAGE_BYTES (128 << 10)
#define HEAD_BYTES 256
#define LABELS     20
#define DURATIONS  10
#define BUCKETS    10

static void serve(const int *listeners, int count) __attribute__((noreturn));
static void serve_one(int epoll, int fd, char *page, unsigned *number);
static size_t write_page(char *out, unsigned number);
static void put(struct strbuf *out, int *left, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

pid_t pages_start(int count, int cpu, int *ports)
{
    struct rlimit limit;
    int *listeners = calloc((size_t)count, sizeof(*listeners));
    if (listeners == NULL || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -1;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
        socklen_t bytes = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, bytes) < 0 || listen(fd, 16) < 0 ||
            getsockname(fd, (struct sockaddr *)&address, &bytes) < 0)
            return -1;
        ports[i] = ntohs(address.sin_port);
        listeners[i] = fd;
    }
    pid_t pid = fork();
    if (pid == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET((size_t)cpu, &set);
        (void)sched_setaffinity(0, sizeof(set), &set);
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listeners, count);
    }
    for (int i = 0; i < count; i++)
        (void)close(listeners[i]);
    free(listeners);
    return pid;
}

void pages_stop(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

static void serve(const int *listeners, int count)
{
    struct epoll_event events[EVENTS];
    unsigned number = 0;
    char *page = malloc(PAGE_BYTES);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int last = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = listeners[i]};
        (void)epoll_ctl(epoll, EPOLL_CTL_ADD, listeners[i], &event);
        last = listeners[i] > last ? listeners[i] : last;
    }
    for (;;) {
        int ready = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd > last) {
                serve_one(epoll, fd, page, &number);
                continue;
            }
            int taken = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
            struct epoll_event event = {.events = EPOLLIN, .data.fd = taken};
            if (taken >= 0 && taken <= last)
                taken = fcntl(taken, F_DUPFD_CLOEXEC, last + 1);
            event.data.fd = taken;
            if (taken >= 0)
                (void)epoll_ctl(epoll, EPOLL_CTL_ADD, taken, &event);
        }
    }
}

/* The request is small and comes whole; the page fits into the socket, or blocks. */
static void serve_one(int epoll, int fd, char *page, unsigned *number)
{
    char request[4096];
    ssize_t got = recv(fd, request, sizeof(request), 0);
    if (got <= 0) {
        (void)epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
        (void)close(fd);
        return;
    }
    size_t bytes = write_page(page + HEAD_BYTES, ++*number);
    char head[HEAD_BYTES];
    str_format(head, sizeof(head),
               "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: "
               "%zu\r\n\r\n",
               bytes);
    char *at = page + HEAD_BYTES - strlen(head);
    memcpy(at, head, strlen(head));
    bytes += strlen(head);
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        at += sent;
        bytes -= (size_t)sent;
    }
}

/* As a service in Go shows itself: requests, durations, a cache, the process, and much else. */
static size_t write_page(char *out, unsigned number)
{
    static const char *const codes[] = {"200", "204", "404", "500"};
    struct strbuf text;
    int left = PAGES_SERIES;
    strbuf_init(&text, PAGE_BYTES - HEAD_BYTES);
    strbuf_puts(&text,
                "# HELP http_requests_total Requests.\n# TYPE http_requests_total counter\n");
    for (int i = 0; i < LABELS; i++)
        put(&text, &left,
            "http_requests_total{code=\"%s\",method=\"GET\",path=\"/api/v1/%d\"} %u\n",
            codes[i % 4], i, number * (unsigned)(i + 1));
    strbuf_puts(&text, "# TYPE http_request_duration_seconds histogram\n");
    for (int i = 0; i < DURATIONS; i++) {
        for (int k = 0; k < BUCKETS; k++)
            put(&text, &left,
                "http_request_duration_seconds_bucket{path=\"/api/v1/%d\",le=\"%g\"} %u\n", i,
                0.005 * (1 << k), number * (unsigned)(k + 1));
        put(&text, &left,
            "http_request_duration_seconds_bucket{path=\"/api/v1/%d\",le=\"+Inf\"} %u\n", i,
            number * (BUCKETS + 2));
        put(&text, &left, "http_request_duration_seconds_sum{path=\"/api/v1/%d\"} %.6f\n", i,
            number * 0.73);
        put(&text, &left, "http_request_duration_seconds_count{path=\"/api/v1/%d\"} %u\n", i,
            number * (BUCKETS + 2));
    }
    put(&text, &left, "cache_hits_total %u\n", number * 9);
    put(&text, &left, "cache_misses_total %u\n", number);
    put(&text, &left, "process_cpu_seconds_total %.2f\n", number * 0.01);
    put(&text, &left, "process_resident_memory_bytes %u\n", 50000000 + number);
    for (int i = 0; left > 0; i++)
        put(&text, &left, "go_runtime_figure_%d{generation=\"%d\",kind=\"some words\"} %.9g\n",
            i % 40, i / 40, number * 1.000001);
    size_t bytes = text.bytes;
    memcpy(out, strbuf_text(&text), bytes);
    strbuf_done(&text);
    return bytes;
}

static void put(struct strbuf *out, int *left, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int bytes = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    strbuf_append(out, line, (size_t)bytes);
    --*left;
}
