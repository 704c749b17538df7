#include "tests/live/probe_targets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/str.h"
#include "tests/live/server.h"

#define REQUEST_BYTES 8192
#define PAGE_BYTES    4096
#define BOMB_BYTES    (4 * LIMIT_PAGE_BYTES)

static _Atomic int pages; /* good ones served */
static char *bomb;
static size_t bomb_bytes;

static void make_certificate(const char *folder);
static void serve(int listener, int tls_port, const char *folder) __attribute__((noreturn));
static void *serve_connection(void *context);
static bool answer(int fd, const char *request);
static bool answer_bad(int fd, const char *path);
static void send_text(int fd, const char *text);
static bool send_all(int fd, const void *data, size_t bytes);
static void good_page(char out[PAGE_BYTES]);
static void send_page(int fd, const char *headers, const char *body, size_t bytes);
static size_t pack(const char *text, size_t bytes, size_t times, char *out, size_t capacity);
static void pause_ms(long ms);
static char *file_text(const char *folder, const char *name);
static enum MHD_Result on_tls(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_bytes, void **state);

void probe_targets_start(struct probe_targets *targets, const char *folder)
{
    make_certificate(folder);
    str_format(targets->ca_file, sizeof(targets->ca_file), "%s/cert.pem", folder);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t bytes = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(fd, 128), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    targets->port = ntohs(address.sin_port);
    targets->tls_port = test_port_free();
    targets->pid = fork();
    assert_true(targets->pid >= 0);
    if (targets->pid == 0)
        serve(fd, targets->tls_port, folder);
    (void)close(fd);
    assert_true(test_port_wait(targets->tls_port, targets->pid));
}

void probe_targets_stop(struct probe_targets *targets)
{
    if (targets->pid <= 0)
        return;
    (void)kill(targets->pid, SIGKILL);
    (void)waitpid(targets->pid, NULL, 0);
    targets->pid = 0;
}

static void make_certificate(const char *folder)
{
    char key[700];
    char certificate[700];
    str_format(key, sizeof(key), "%s/key.pem", folder);
    str_format(certificate, sizeof(certificate), "%s/cert.pem", folder);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        FILE *quiet = freopen("/dev/null", "w", stderr);
        (void)quiet;
        (void)execlp("openssl", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                     "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key,
                     "-out", certificate, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void serve(int listener, int tls_port, const char *folder)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    static const char lines[] = "a_metric_of_no_meaning{label=\"value\"} 1\n";
    bomb = malloc(8 << 20);
    bomb_bytes = pack(lines, sizeof(lines) - 1, BOMB_BYTES / (sizeof(lines) - 1), bomb, 8 << 20);
    char *key = file_text(folder, "key.pem");
    char *certificate = file_text(folder, "cert.pem");
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, (uint16_t)tls_port, NULL, NULL, on_tls, NULL,
        MHD_OPTION_HTTPS_MEM_KEY, key, MHD_OPTION_HTTPS_MEM_CERT, certificate, MHD_OPTION_END);
    if (daemon == NULL)
        _exit(1);
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd < 0)
            continue;
        if (pthread_create(&thread, NULL, serve_connection, (void *)(intptr_t)fd) == 0)
            (void)pthread_detach(thread);
        else
            (void)close(fd);
    }
}

static void *serve_connection(void *context)
{
    int fd = (int)(intptr_t)context;
    char request[REQUEST_BYTES];
    size_t bytes = 0;
    for (;;) {
        ssize_t got = recv(fd, request + bytes, sizeof(request) - 1 - bytes, 0);
        if (got <= 0)
            break;
        bytes += (size_t)got;
        request[bytes] = 0;
        if (strstr(request, "\r\n\r\n") == NULL)
            continue;
        bytes = 0;
        if (!answer(fd, request))
            break;
    }
    (void)close(fd);
    return NULL;
}

/* False: the connection ends. */
static bool answer(int fd, const char *request)
{
    char path[64] = "";
    char page[PAGE_BYTES];
    char packed[PAGE_BYTES];
    (void)sscanf(request, "GET %63s", path);
    bool token = strcmp(path, "/token") == 0;
    if (strcmp(path, "/good") == 0 ||
        (token && strstr(request, "\r\nAuthorization: Bearer secret\r\n") != NULL)) {
        good_page(page);
        send_page(fd, "Content-Type: text/plain\r\n", page, strlen(page));
        return true;
    }
    if (token) {
        send_text(fd, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
        return true;
    }
    if (strcmp(path, "/zip") == 0) {
        good_page(page);
        size_t bytes = pack(page, strlen(page), 1, packed, sizeof(packed));
        send_page(fd, "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n", packed, bytes);
        return true;
    }
    return answer_bad(fd, path);
}

/* Long: one case after the other, each of them a few bytes on the wire. */
static bool answer_bad(int fd, const char *path)
{
    static const char lines[] = "a_metric_of_no_meaning{label=\"value\"} 1\n";
    char page[PAGE_BYTES];
    if (strcmp(path, "/hang") == 0) {
        pause_ms(60000);
    } else if (strcmp(path, "/slow") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        while (send_all(fd, "a", 1))
            pause_ms(100);
    } else if (strcmp(path, "/loop") == 0) {
        send_text(fd, "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n");
        return true;
    } else if (strcmp(path, "/scheme") == 0) {
        send_text(fd, "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: "
                      "0\r\n\r\n");
        return true;
    } else if (strcmp(path, "/huge") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n");
        char *block = malloc(1 << 20);
        size_t bytes = 0;
        while (bytes + sizeof(lines) <= 1 << 20) {
            memcpy(block + bytes, lines, sizeof(lines) - 1);
            bytes += sizeof(lines) - 1;
        }
        for (int i = 0; i < 1024 && send_all(fd, block, bytes); i++)
            continue;
        free(block);
    } else if (strcmp(path, "/bomb") == 0) {
        send_page(fd, "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n", bomb, bomb_bytes);
    } else if (strcmp(path, "/garbage") == 0) {
        for (int i = 0; i < PAGE_BYTES; i++)
            page[i] = (char)(i * 7919 >> 3);
        send_page(fd, "Content-Type: text/plain\r\n", page, sizeof(page));
    } else if (strcmp(path, "/lies") == 0) {
        send_page(fd, "Content-Encoding: gzip\r\n", lines, sizeof(lines) - 1);
    } else if (strcmp(path, "/early") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\nhttp_requests_total 77\n");
    } else if (strcmp(path, "/cut") == 0) {
        static const char cut[] = "http_requests_total 77\n";
        send_page(fd, "Content-Type: application/openmetrics-text; version=1.0.0\r\n", cut,
                  sizeof(cut) - 1);
    } else if (strcmp(path, "/html") == 0) {
        send_page(fd, "Content-Type: text/html\r\n", "<p>hello", 8);
    } else if (strcmp(path, "/broken") == 0) {
        send_text(fd, "HTTP/1.1 500 Oh\r\nContent-Length: 23\r\n\r\nhttp_requests_total 77\n");
    } else if (strcmp(path, "/empty") == 0) {
        send_page(fd, "", "", 0);
    } else if (strcmp(path, "/partly") == 0) {
        static const char partly[] = "http_requests_total 5\nno {sense} here\ncache_hits_total 3\n";
        send_page(fd, "Content-Type: text/plain\r\n", partly, sizeof(partly) - 1);
    } else {
        send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    }
    return false;
}

static void send_text(int fd, const char *text)
{
    (void)send_all(fd, text, strlen(text));
}

static bool send_all(int fd, const void *data, size_t bytes)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t sent = send(fd, at, bytes, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        bytes -= (size_t)sent;
    }
    return true;
}

static void good_page(char out[PAGE_BYTES])
{
    int n = ++pages;
    str_format(out, PAGE_BYTES,
               "# TYPE http_requests_total counter\n"
               "http_requests_total{code=\"200\"} %d\n"
               "http_requests_total{code=\"500\"} %d\n"
               "cache_hits_total %d\ncache_misses_total %d\n"
               "process_resident_memory_bytes 4096\n"
               "a_metric_of_no_meaning 1\n",
               1000 + 9 * n, 100 + n, 8 * n, 2 * n);
}

static void send_page(int fd, const char *headers, const char *body, size_t bytes)
{
    char head[512];
    str_format(head, sizeof(head), "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", headers,
               bytes);
    if (send_all(fd, head, strlen(head)))
        (void)send_all(fd, body, bytes);
}

/* `times` copies of a text as gzip. */
static size_t pack(const char *text, size_t bytes, size_t times, char *out, size_t capacity)
{
    z_stream stream = {.next_out = (Bytef *)out, .avail_out = (uInt)capacity};
    if (deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        _exit(1);
    for (size_t i = 0; i < times; i++) {
        stream.next_in = (Bytef *)(uintptr_t)text;
        stream.avail_in = (uInt)bytes;
        if (deflate(&stream, i + 1 == times ? Z_FINISH : Z_NO_FLUSH) == Z_STREAM_ERROR)
            _exit(1);
    }
    size_t packed = stream.total_out;
    (void)deflateEnd(&stream);
    return packed;
}

static void pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&time, &time) < 0 && errno == EINTR)
        continue;
}

static char *file_text(const char *folder, const char *name)
{
    char path[700];
    char *text = calloc(1, 65536);
    str_format(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    if (file == NULL || text == NULL || fread(text, 1, 65535, file) == 0)
        _exit(1);
    (void)fclose(file);
    return text;
}

static enum MHD_Result on_tls(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_bytes, void **state)
{
    (void)context;
    (void)url;
    (void)method;
    (void)version;
    (void)data;
    (void)data_bytes;
    (void)state;
    char page[PAGE_BYTES];
    good_page(page);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(page), page, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return sent;
}
