#include "metrics/probe/receive.h"

#include <errno.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zlib.h>

#include "base/clock.h"
#include "metrics/openmetrics.h"
#include "metrics/otlp.h"

#define IDLE_S         30U /* a connection that says nothing is closed */
#define HEADER_BYTES   ((size_t)32 << 10)
#define ARENA_BYTES    ((size_t)32 << 20)
#define PIECE_BYTES    65536
#define STATUS_INVALID 3 /* google.rpc.Code */

/* One request while it comes. */
struct request {
    struct strbuf body;
    bool is_post;
    int status; /* 0: go on; else the answer that is due at its end, whatever follows */
    const char *why;
};

struct receiver {
    struct receiver_options options;
    struct MHD_Daemon *daemon;
    int fd;
    int port;
    size_t waiting_bytes;
    struct receiver_totals totals;
    struct arena arena;
};

static int open_socket(const struct probe_listen *listen, struct error *err);
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **state);
static void on_ended(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode code);
static void judge_head(const struct receiver *receiver, struct MHD_Connection *connection,
                       const char *url, struct request *request);
static void take_body(struct receiver *receiver, struct request *request, const char *data,
                      size_t bytes);
static enum MHD_Result take_points(struct receiver *receiver, struct MHD_Connection *connection,
                                   struct request *request);
static int read_points(struct receiver *receiver, struct MHD_Connection *connection,
                       const struct strbuf *body, struct otlp_result *ret_result,
                       struct error *err);
static void peer_name(struct MHD_Connection *connection, char out[PROBE_ADDRESS_BYTES]);
static enum MHD_Result answer_metrics(struct receiver *receiver, struct MHD_Connection *connection);
static enum MHD_Result answer_refused(struct receiver *receiver, struct MHD_Connection *connection,
                                      int status, const char *why);
static enum MHD_Result answer(struct MHD_Connection *connection, int status, const char *type,
                              const char *text, size_t bytes);
static bool is_json(struct MHD_Connection *connection);

int receiver_create(const struct receiver_options *options, struct receiver **ret_receiver,
                    struct error *err)
{
    struct receiver *receiver = calloc(1, sizeof(*receiver));
    if (receiver == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the OTLP receiver");
    receiver->options = *options;
    arena_init(&receiver->arena, ARENA_BYTES);
    int fd = open_socket(&options->config->otlp, err);
    if (fd < 0) {
        receiver_destroy(receiver);
        return fd;
    }
    struct sockaddr_storage address;
    socklen_t bytes = sizeof(address);
    char port[NI_MAXSERV] = "0";
    int64_t number = 0;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 &&
        getnameinfo((struct sockaddr *)&address, bytes, NULL, 0, port, sizeof(port),
                    NI_NUMERICSERV) == 0 &&
        str_to_i64(port, &number) == 0)
        receiver->port = (int)number;
    receiver->daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, receiver, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_NOTIFY_COMPLETED, on_ended, receiver, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)RECEIVE_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES, MHD_OPTION_END);
    if (receiver->daemon == NULL) {
        receiver_destroy(receiver);
        return error_set(err, ERR_UNAVAILABLE, 0, "libmicrohttpd does not start");
    }
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(receiver->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    receiver->fd = info == NULL ? -1 : info->epoll_fd;
    *ret_receiver = receiver;
    return 0;
}

void receiver_destroy(struct receiver *receiver)
{
    if (receiver == NULL)
        return;
    if (receiver->daemon != NULL)
        MHD_stop_daemon(receiver->daemon);
    arena_done(&receiver->arena);
    free(receiver);
}

int receiver_fd(const struct receiver *receiver)
{
    return receiver->fd;
}

int receiver_port(const struct receiver *receiver)
{
    return receiver->port;
}

int64_t receiver_timeout_us(const struct receiver *receiver)
{
    MHD_UNSIGNED_LONG_LONG timeout_ms = 0;
    if (MHD_get_timeout(receiver->daemon, &timeout_ms) != MHD_YES)
        return -1;
    return timeout_ms > 60000 ? 60 * US_PER_S : (int64_t)timeout_ms * US_PER_MS;
}

void receiver_dispatch(struct receiver *receiver)
{
    (void)MHD_run(receiver->daemon);
}

struct receiver_totals receiver_totals(const struct receiver *receiver)
{
    return receiver->totals;
}

int receive_gunzip(const char *data, size_t bytes, struct strbuf *out, struct error *err)
{
    char piece[16384];
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)bytes};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) /* 16: gzip, and nothing else */
        return error_set(err, ERR_NO_MEMORY, 0, "unpack a body");
    int state = Z_OK;
    int rc = 0;
    while (rc == 0 && state != Z_STREAM_END) {
        stream.next_out = (Bytef *)piece;
        stream.avail_out = sizeof(piece);
        state = inflate(&stream, Z_NO_FLUSH);
        if (state != Z_OK && state != Z_STREAM_END)
            rc = error_set(err, ERR_INVALID, 0, "the body says gzip and is none, or is cut");
        else
            strbuf_append(out, piece, sizeof(piece) - stream.avail_out);
        if (rc == 0)
            rc = strbuf_error(out, err);
    }
    (void)inflateEnd(&stream);
    return rc;
}

static int open_socket(const struct probe_listen *listen_at, struct error *err)
{
    char port[16];
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    str_format(port, sizeof(port), "%d", listen_at->port);
    int rc = getaddrinfo(listen_at->host, port, &hints, &found);
    if (rc != 0)
        return error_set(err, ERR_NOT_FOUND, 0, "listen.otlp %s: %s", listen_at->host,
                         gai_strerror(rc));
    int on = 1;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 128) < 0) {
        int saved = errno;
        cleanup_close(&fd);
        freeaddrinfo(found);
        return error_set(err, ERR_UNAVAILABLE, saved, "listen.otlp %s:%d", listen_at->host,
                         listen_at->port);
    }
    freeaddrinfo(found);
    return fd;
}

/* Called once for the head, then for each piece of the body, then without data for the end. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **state)
{
    struct receiver *receiver = context;
    struct request *request = *state;
    (void)version;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        if (request == NULL)
            return MHD_NO;
        strbuf_init(&request->body, LIMIT_OTLP_BYTES);
        *state = request;
        request->is_post = str_equal(method, MHD_HTTP_METHOD_POST);
        receiver->totals.requests++;
        if (request->is_post)
            judge_head(receiver, connection, url, request);
        else if (!str_equal(method, MHD_HTTP_METHOD_GET) || !str_equal(url, "/metrics"))
            request->status = str_equal(url, "/v1/metrics") || str_equal(url, "/metrics")
                                  ? MHD_HTTP_METHOD_NOT_ALLOWED
                                  : MHD_HTTP_NOT_FOUND;
        return MHD_YES;
    }
    if (*data_bytes > 0) {
        take_body(receiver, request, data, *data_bytes);
        *data_bytes = 0;
        return MHD_YES;
    }
    if (request->status != 0)
        return answer_refused(receiver, connection, request->status,
                              request->why == NULL ? "there is no such thing here: POST "
                                                     "/v1/metrics, GET /metrics"
                                                   : request->why);
    return request->is_post ? take_points(receiver, connection, request)
                            : answer_metrics(receiver, connection);
}

static void on_ended(void *context, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode code)
{
    (void)connection;
    (void)code;
    struct receiver *receiver = context;
    struct request *request = *state;
    if (request == NULL)
        return;
    receiver->waiting_bytes -= request->body.bytes;
    strbuf_done(&request->body);
    free(request);
    *state = NULL;
}

static void judge_head(const struct receiver *receiver, struct MHD_Connection *connection,
                       const char *url, struct request *request)
{
    const char *encoding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    if (!str_equal(url, "/v1/metrics")) {
        request->status = MHD_HTTP_NOT_FOUND;
    } else if (!is_json(connection)) {
        request->status = MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
        request->why = "only application/json is taken: set the exporter's protocol to http/json";
    } else if (encoding != NULL && strcasecmp(encoding, "gzip") != 0 &&
               strcasecmp(encoding, "identity") != 0) {
        request->status = MHD_HTTP_UNSUPPORTED_MEDIA_TYPE;
        request->why = "of content encodings only gzip is taken";
    } else if (receiver->waiting_bytes > RECEIVE_WAITING_BYTES) {
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        request->why = "too much is being taken in; try again";
    }
}

static void take_body(struct receiver *receiver, struct request *request, const char *data,
                      size_t bytes)
{
    if (request->status != 0)
        return;
    if (receiver->waiting_bytes + bytes > (size_t)RECEIVE_WAITING_BYTES + LIMIT_OTLP_BYTES) {
        request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
        request->why = "too much is being taken in; try again";
        return;
    }
    size_t before = request->body.bytes;
    strbuf_append(&request->body, data, bytes);
    receiver->waiting_bytes += request->body.bytes - before;
    if (request->body.broken) {
        request->status =
            request->body.no_memory ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_CONTENT_TOO_LARGE;
        request->why = request->body.no_memory ? "no memory; try again"
                                               : "the body has more than LIMIT_OTLP_BYTES";
    }
}

static enum MHD_Result take_points(struct receiver *receiver, struct MHD_Connection *connection,
                                   struct request *request)
{
    const char *encoding =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    struct otlp_result result = {.points = 0};
    struct error err;
    struct strbuf plain;
    strbuf_init(&plain, LIMIT_OTLP_BYTES);
    bool packed = encoding != NULL && strcasecmp(encoding, "gzip") == 0;
    int rc =
        packed ? receive_gunzip(strbuf_text(&request->body), request->body.bytes, &plain, &err) : 0;
    if (rc == 0)
        rc = read_points(receiver, connection, packed ? &plain : &request->body, &result, &err);
    strbuf_done(&plain);
    if (rc < 0)
        return answer_refused(receiver, connection,
                              rc == ERR_LIMIT       ? MHD_HTTP_CONTENT_TOO_LARGE
                              : rc == ERR_NO_MEMORY ? MHD_HTTP_SERVICE_UNAVAILABLE
                                                    : MHD_HTTP_BAD_REQUEST,
                              err.text);
    receiver->totals.points += result.points;
    receiver->totals.rejected += result.rejected;
    if (result.rejected == 0)
        return answer(connection, MHD_HTTP_OK, "application/json", "{}", 2);
    char number[32];
    str_format(number, sizeof(number), "%lld", (long long)result.rejected);
    json_t *json = json_pack("{s:{s:s,s:s}}", "partialSuccess", "rejectedDataPoints", number,
                             "errorMessage", result.reason);
    if (json == NULL) /* the reason's text was cut within a character */
        json = json_pack("{s:{s:s}}", "partialSuccess", "rejectedDataPoints", number);
    char *text = json_dumps(json, JSON_COMPACT);
    enum MHD_Result sent =
        text == NULL ? MHD_NO
                     : answer(connection, MHD_HTTP_OK, "application/json", text, strlen(text));
    free(text);
    json_decref(json);
    return sent;
}

static int read_points(struct receiver *receiver, struct MHD_Connection *connection,
                       const struct strbuf *body, struct otlp_result *ret_result, struct error *err)
{
    char peer[PROBE_ADDRESS_BYTES];
    struct ingest_page *page = NULL;
    peer_name(connection, peer);
    struct ingest_begin begin = {
        .target = receiver->options.target,
        .names = &receiver->options.config->otlp_names,
        .instance = peer,
        .now_us = clock_mono_now().us,
        .wall_ms = clock_wall_now().us / US_PER_MS,
    };
    int rc = ingest_begin(receiver->options.ingest, &begin, &page, err);
    if (rc < 0)
        return rc;
    struct otlp_handler handler = {
        .sample = ingest_otlp_sample, .exponential = ingest_otlp_exponential, .context = page};
    arena_reset(&receiver->arena);
    rc = otlp_read(strbuf_text(body), body->bytes, &receiver->arena, &handler, ret_result, err);
    if (rc < 0) {
        ingest_abort(page);
        return rc;
    }
    struct ingest_counts counts = ingest_commit(page, begin.now_us);
    if (counts.refused > 0 && ret_result->reason[0] == 0)
        memcpy(ret_result->reason, counts.first, sizeof(ret_result->reason));
    ret_result->rejected += counts.refused;
    return 0;
}

/* Whose points are they that name no instance: the machine's that sent them. */
static void peer_name(struct MHD_Connection *connection, char out[PROBE_ADDRESS_BYTES])
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info == NULL ? NULL : info->client_addr;
    socklen_t bytes = address == NULL                 ? 0
                      : address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                                      : sizeof(struct sockaddr_in6);
    str_format(out, PROBE_ADDRESS_BYTES, "otlp");
    if (address != NULL)
        (void)getnameinfo(address, bytes, out, PROBE_ADDRESS_BYTES, NULL, 0, NI_NUMERICHOST);
}

static enum MHD_Result answer_metrics(struct receiver *receiver, struct MHD_Connection *connection)
{
    struct strbuf out;
    strbuf_init(&out, LIMIT_PAGE_BYTES);
    if (receiver->options.write_metrics != NULL)
        receiver->options.write_metrics(receiver->options.context, &out);
    enum MHD_Result sent =
        answer(connection, MHD_HTTP_OK, OPENMETRICS_CONTENT_OPEN, strbuf_text(&out), out.bytes);
    strbuf_done(&out);
    return sent;
}

static enum MHD_Result answer_refused(struct receiver *receiver, struct MHD_Connection *connection,
                                      int status, const char *why)
{
    receiver->totals.refused++;
    json_t *json = json_pack("{s:i,s:s}", "code", STATUS_INVALID, "message", why);
    char *text = json == NULL ? NULL : json_dumps(json, JSON_COMPACT);
    const char *body = text == NULL ? "{}" : text;
    enum MHD_Result sent = answer(connection, status, "application/json", body, strlen(body));
    free(text);
    json_decref(json);
    return sent;
}

static enum MHD_Result answer(struct MHD_Connection *connection, int status, const char *type,
                              const char *text, size_t bytes)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(bytes, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    enum MHD_Result sent = MHD_queue_response(connection, (unsigned)status, response);
    MHD_destroy_response(response);
    return sent;
}

static bool is_json(struct MHD_Connection *connection)
{
    const char *type =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    return type != NULL && strncasecmp(type, "application/json", 16) == 0 &&
           (type[16] == 0 || type[16] == ';' || type[16] == ' ');
}
