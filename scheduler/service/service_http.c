#include "scheduler/service/service_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "scheduler/service/service_internal.h"

#define PAGE_BYTES       ((size_t)64 << 20)
#define CONNECTIONS_MAX  32 /* readers at once; more wait in the kernel's queue */
#define READER_IDLE_S    10
#define HTTP_ADDRESS_MAX 80

struct service_http {
    struct service *service;
    struct MHD_Daemon *daemon;
    int fd;
    int port;
};

union socket_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int read_address(const char *address, union socket_address *ret_address,
                        socklen_t *ret_bytes, struct error *err);
static int listen_on(const char *address, int *ret_fd, int *ret_port, struct error *err);
static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **request);
static enum MHD_Result answer_page(struct service_http *http, struct MHD_Connection *connection);
static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text);

int service_http_open(struct service *service, const char *address, struct service_http **ret_http,
                      struct error *err)
{
    struct service_http *http = calloc(1, sizeof(*http));
    if (http == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the metrics page");
    http->service = service;
    CLEANUP(cleanup_close) int fd = -1;
    int rc = listen_on(address, &fd, &http->port, err);
    if (rc < 0) {
        free(http);
        return rc;
    }
    http->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, answer, http, MHD_OPTION_LISTEN_SOCKET, fd,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)READER_IDLE_S, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http->daemon == NULL ? NULL : MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    if (info == NULL) {
        service_http_close(http);
        return error_set(err, ERR_IO, errno, "start the metrics page on %s", address);
    }
    fd = -1; /* the daemon closes it */
    http->fd = info->epoll_fd;
    *ret_http = http;
    return 0;
}

void service_http_close(struct service_http *http)
{
    if (http == NULL)
        return;
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    free(http);
}

int service_http_fd(const struct service_http *http)
{
    return http->fd;
}

int service_http_port(const struct service_http *http)
{
    return http->port;
}

void service_http_dispatch(struct service_http *http)
{
    if (http != NULL)
        (void)MHD_run(http->daemon);
}

int service_http_timeout_ms(const struct service_http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    if (http == NULL || MHD_get_timeout(http->daemon, &wait_ms) != MHD_YES)
        return -1;
    return wait_ms > 1000 ? 1000 : (int)wait_ms;
}

static int listen_on(const char *address, int *ret_fd, int *ret_port, struct error *err)
{
    union socket_address at;
    socklen_t bytes;
    int rc = read_address(address, &at, &bytes, err);
    if (rc < 0)
        return rc;
    CLEANUP(cleanup_close)
    int fd = socket(at.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        return error_set(err, ERR_IO, errno, "make a socket for the metrics page");
    if (bind(fd, &at.any, bytes) < 0 || listen(fd, CONNECTIONS_MAX) < 0 ||
        getsockname(fd, &at.any, &bytes) < 0)
        return error_set(err, ERR_IO, errno,
                         "listen on %s for the metrics page; choose another --metrics "
                         "ADDRESS:PORT, or end what listens there",
                         address);
    *ret_port = ntohs(at.any.sa_family == AF_INET ? at.v4.sin_port : at.v6.sin6_port);
    *ret_fd = fd;
    fd = -1;
    return 0;
}

static int read_address(const char *address, union socket_address *ret_address,
                        socklen_t *ret_bytes, struct error *err)
{
    char host[HTTP_ADDRESS_MAX];
    int64_t port = 0;
    const char *colon = strrchr(address, ':');
    union socket_address at;
    memset(&at, 0, sizeof(at));
    bool bad = colon == NULL || colon == address || colon - address >= HTTP_ADDRESS_MAX ||
               str_to_i64(colon + 1, &port) < 0 || port < 0 || port > 65535;
    if (!bad) {
        str_format(host, sizeof(host), "%.*s", (int)(colon - address), address);
        size_t length = strlen(host);
        if (host[0] == '[' && host[length - 1] == ']') {
            host[length - 1] = 0;
            at.v6.sin6_family = AF_INET6;
            at.v6.sin6_port = htons((uint16_t)port);
            bad = inet_pton(AF_INET6, host + 1, &at.v6.sin6_addr) != 1;
            *ret_bytes = sizeof(at.v6);
        } else {
            at.v4.sin_family = AF_INET;
            at.v4.sin_port = htons((uint16_t)port);
            bad = inet_pton(AF_INET, host, &at.v4.sin_addr) != 1;
            *ret_bytes = sizeof(at.v4);
        }
    }
    if (bad)
        return error_set(err, ERR_INVALID, 0,
                         "--metrics \"%.80s\": write a numeric address and a port, as in "
                         "127.0.0.1:9464 or [::1]:9464",
                         address);
    *ret_address = at;
    return 0;
}

static enum MHD_Result answer(void *context, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_bytes, void **request)
{
    static int seen; /* its address marks a request whose head was seen */
    struct service_http *http = context;
    (void)version;
    (void)upload;
    if (*request == NULL) {
        *request = &seen;
        return MHD_YES;
    }
    if (*upload_bytes != 0) { /* a body that nobody asked for is passed over */
        *upload_bytes = 0;
        return MHD_YES;
    }
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return answer_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD\n");
    if (strcmp(url, "/metrics") == 0)
        return answer_page(http, connection);
    if (strcmp(url, "/healthz") == 0)
        return http->service->refusing ? answer_text(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
                                                     "the journal cannot be written\n")
                                       : answer_text(connection, MHD_HTTP_OK, "ok\n");
    return answer_text(connection, MHD_HTTP_NOT_FOUND, "there are /metrics and /healthz\n");
}

static enum MHD_Result answer_page(struct service_http *http, struct MHD_Connection *connection)
{
    const char *accept =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    bool open = accept != NULL && strstr(accept, "application/openmetrics-text") != NULL;
    struct strbuf page;
    strbuf_init(&page, PAGE_BYTES);
    service_page_write(http->service, open ? OPENMETRICS_OPEN : OPENMETRICS_TEXT, &page);
    struct error err;
    if (strbuf_error(&page, &err) < 0) {
        log_event(LOG_WARN, "page.refused", "reason=\"%s\"", err.text);
        strbuf_done(&page);
        return answer_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                           "the page could not be made\n");
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(page.bytes, page.text, MHD_RESPMEM_MUST_COPY);
    strbuf_done(&page);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  open ? OPENMETRICS_CONTENT_OPEN : OPENMETRICS_CONTENT_TEXT);
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_text(struct MHD_Connection *connection, unsigned status,
                                   const char *text)
{
    /* The text is static, and the library only reads it. */
    struct MHD_Response *response = MHD_create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                                  "text/plain; charset=utf-8");
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}
