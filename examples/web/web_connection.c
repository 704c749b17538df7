#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "examples/web/web.h"
#include "examples/web/websocket.h"

#define IN_MAX (HTTP_HEAD_MAX + WEB_BODY_MAX)

struct answer {
    int status;
    const char *reason;
    struct http_text id; /* bytes 0: none */
    const char *body;    /* and `bytes` letters after it */
    size_t body_bytes;
    size_t more_bytes;
    bool close;
    int64_t begun_us;
};

static void process(struct web *web, struct web_connection *connection);
static bool next_request(struct web *web, struct web_connection *connection);
static void serve(struct web *web, struct web_connection *connection, const struct http_head *head,
                  const char *body);
static bool is_to_fail(struct web *web, const struct http_head *head);
static void refuse(struct web *web, struct web_connection *connection, int status,
                   const char *reason);
static void say(struct web *web, struct web_connection *connection, const struct answer *answer);
static void say_own(struct web *web, struct web_connection *connection, struct http_text id,
                    size_t more_bytes, bool close, int64_t begun_us);
static void begin_websocket(struct web *web, struct web_connection *connection,
                            const struct http_head *head);
static bool next_frame(struct web *web, struct web_connection *connection);
static void send_frame(struct web *web, struct web_connection *connection, int opcode,
                       const void *payload, size_t bytes);
static void queue(struct web *web, struct web_connection *connection, const void *data,
                  size_t bytes);
static void watch(struct web *web, struct web_connection *connection);
static void burn(int64_t cpu_us);

void web_connection_read(struct web *web, struct web_connection *connection)
{
    char waste[4096];
    ssize_t enough = connection->ending ? (ssize_t)sizeof waste : BYTES_READ;
    for (bool more = true; more && connection->out.count <= WEB_OUT_MAX / 2;) {
        ssize_t got = connection->ending ? recv(connection->fd, waste, sizeof waste, MSG_DONTWAIT)
                                         : bytes_receive(&connection->in, connection->fd, IN_MAX);
        if (got > 0) {
            web->counters.bytes_in += got;
            if (!connection->ending)
                process(web, connection);
            if (connection->fd < 0)
                return;
            more = got >= enough; /* else nothing more was there, or epoll will tell */
            continue;
        }
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS))
            break;
        if (got == 0 && connection->due_us != 0) {
            connection->ending = connection->deaf =
                true; /* all is said, the answer is waited for */
            break;
        }
        web_connection_end(web, connection);
        return;
    }
    web_connection_write(web, connection);
}

void web_connection_write(struct web *web, struct web_connection *connection)
{
    size_t before = connection->out.count;
    if (bytes_send(&connection->out, connection->fd) < 0) {
        web_connection_end(web, connection);
        return;
    }
    web->counters.bytes_out += (int64_t)(before - connection->out.count);
    if (connection->out.count == 0 && connection->ending && connection->due_us == 0 &&
        connection->shut_us == 0) {
        /* Closing with bytes unread would make the kernel reset the connection, and the last answer
         * could be lost with it: so the other side closes first. */
        if (connection->deaf || shutdown(connection->fd, SHUT_WR) < 0) {
            web_connection_end(web, connection);
            return;
        }
        bytes_take(&connection->in, connection->in.count);
        connection->shut_us = clock_mono_now().us;
        web->timed = true;
    }
    watch(web, connection);
}

void web_connection_due(struct web *web, struct web_connection *connection)
{
    struct http_text id = {connection->wait_id, strlen(connection->wait_id)};
    connection->due_us = 0;
    say_own(web, connection, id, connection->wait_bytes, connection->ending, connection->begun_us);
    process(web, connection); /* what was sent behind it */
    if (connection->fd >= 0)
        web_connection_write(web, connection);
}

void web_connection_goodbye(struct web *web, struct web_connection *connection, int code)
{
    const uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    connection->closing = true;
    send_frame(web, connection, WEBSOCKET_CLOSE, payload, sizeof payload);
    if (connection->fd >= 0)
        web_connection_write(web, connection);
}

bool web_connection_idle(const struct web_connection *connection)
{
    return connection->due_us == 0 && connection->in.count == 0 && connection->out.count == 0;
}

void web_connection_end(struct web *web, struct web_connection *connection)
{
    if (!connection->websocket && !web_connection_idle(connection))
        web->counters.errors++;
    if (connection->websocket)
        web->websocket_count--;
    (void)close(connection->fd);
    bytes_done(&connection->in);
    bytes_done(&connection->out);
    *connection = (struct web_connection){.fd = -1};
    web->open_count--;
}

/* ---- HTTP ---- */

/* Requests one after the other, as many as are whole; an answer that waits keeps those behind it
 * waiting, as answers go in the order of requests. */
static void process(struct web *web, struct web_connection *connection)
{
    bool more = true;
    while (more && connection->fd >= 0 && connection->in.count > 0 && !connection->ending &&
           connection->due_us == 0)
        more = connection->websocket ? next_frame(web, connection) : next_request(web, connection);
}

static bool next_request(struct web *web, struct web_connection *connection)
{
    struct http_head head;
    enum http_parsed parsed =
        http_request_parse(bytes_at(&connection->in), connection->in.count, &head);
    if (parsed == HTTP_MORE)
        return false;
    if (parsed == HTTP_WRONG) {
        refuse(web, connection, 400, "Bad Request");
        return false;
    }
    if (head.chunked || head.body_bytes > WEB_BODY_MAX) {
        refuse(web, connection, head.chunked ? 411 : 413,
               head.chunked ? "Length Required" : "Content Too Large");
        return false;
    }
    size_t bytes = head.head_bytes + (size_t)head.body_bytes;
    if (connection->in.count < bytes)
        return false;
    connection->last_us = web->last_us = clock_mono_now().us;
    serve(web, connection, &head, bytes_at(&connection->in) + head.head_bytes);
    if (connection->fd >= 0) /* a refusal has thrown away what there was */
        bytes_take(&connection->in, bytes < connection->in.count ? bytes : connection->in.count);
    return true;
}

static void serve(struct web *web, struct web_connection *connection, const struct http_head *head,
                  const char *body)
{
    const struct http_text *given = http_header(head, "Request-Id");
    struct http_text id = given != NULL ? *given : (struct http_text){"", 0};
    struct http_text value;
    int64_t more_bytes = 0, wait_ms = web->wait_ms, cpu_us = 0;
    bool close = head->close || web->state != WEB_SERVING;
    if (id.bytes >= WEB_ID_BYTES ||
        (http_query(head->target, "bytes", &value) &&
         !http_number(value, WEB_ANSWER_MAX, &more_bytes)) ||
        (http_query(head->target, "wait_ms", &value) &&
         !http_number(value, WEB_WAIT_MAX_MS, &wait_ms)) ||
        (http_query(head->target, "cpu_us", &value) &&
         !http_number(value, WEB_WAIT_MAX_MS * US_PER_MS, &cpu_us))) {
        refuse(web, connection, 400, "Bad Request");
        return;
    }
    if (web->held && !http_text_is(head->target, "/berth")) {
        refuse(web, connection, 503, "Service Unavailable");
        return;
    }
    if (head->upgrade && http_header(head, "Sec-WebSocket-Key") != NULL) {
        begin_websocket(web, connection, head);
        return;
    }
    if (web->ids != NULL && id.bytes > 0)
        fprintf(web->ids, "%.*s\n", (int)id.bytes, id.at);
    burn(cpu_us);
    connection->ending = close;
    if (is_to_fail(web, head)) {
        web->counters.errors++;
        say(web, connection,
            &(struct answer){.status = 500,
                             .reason = "Internal Server Error",
                             .id = id,
                             .body = "",
                             .close = close,
                             .begun_us = web->last_us});
        return;
    }
    if (wait_ms > 0) {
        connection->begun_us = clock_mono_now().us;
        connection->due_us = connection->begun_us + wait_ms * US_PER_MS;
        web->timed = true;
        connection->wait_bytes = (size_t)more_bytes;
        str_format(connection->wait_id, sizeof connection->wait_id, "%.*s", (int)id.bytes, id.at);
        return;
    }
    if (head->body_bytes == 0) {
        say_own(web, connection, id, (size_t)more_bytes, close, web->last_us);
        return;
    }
    say(web, connection,
        &(struct answer){.status = 200,
                         .reason = "OK",
                         .id = id,
                         .body = body,
                         .body_bytes = (size_t)head->body_bytes,
                         .more_bytes = (size_t)more_bytes,
                         .close = close,
                         .begun_us = web->last_us});
}

/* By count, not by chance: each run of a bad version is as bad. The probe is answered. */
static bool is_to_fail(struct web *web, const struct http_head *head)
{
    if (web->fail_ppm <= 0 || http_text_is(head->target, "/berth"))
        return false;
    web->fail_sum += web->fail_ppm;
    if (web->fail_sum < WEB_PPM)
        return false;
    web->fail_sum -= WEB_PPM;
    return true;
}

/* Where the next request begins is not known any more, so the connection ends. */
static void refuse(struct web *web, struct web_connection *connection, int status,
                   const char *reason)
{
    bytes_take(&connection->in, connection->in.count);
    connection->ending = true;
    web->counters.errors++;
    say(web, connection,
        &(struct answer){.status = status,
                         .reason = reason,
                         .body = reason,
                         .body_bytes = strlen(reason),
                         .close = true,
                         .begun_us = clock_mono_now().us});
}

static void say_own(struct web *web, struct web_connection *connection, struct http_text id,
                    size_t more_bytes, bool close, int64_t begun_us)
{
    char body[WEB_ID_BYTES + 160];
    str_format(body, sizeof body, "%.*s %.128s\n", (int)id.bytes, id.at, web->instance);
    say(web, connection,
        &(struct answer){.status = 200,
                         .reason = "OK",
                         .id = id,
                         .body = body,
                         .body_bytes = strlen(body),
                         .more_bytes = more_bytes,
                         .close = close,
                         .begun_us = begun_us});
}

static void say(struct web *web, struct web_connection *connection, const struct answer *answer)
{
    static char letters[4096];
    char head[WEB_ID_BYTES + 512];
    if (letters[0] == 0)
        memset(letters, 'x', sizeof letters);
    str_format(head, sizeof head,
               "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
               "Berth-Instance: %.128s\r\n%s%.*s%s%s\r\n",
               answer->status, answer->reason, answer->body_bytes + answer->more_bytes,
               web->instance, answer->id.bytes > 0 ? "Request-Id: " : "", (int)answer->id.bytes,
               answer->id.at != NULL ? answer->id.at : "", answer->id.bytes > 0 ? "\r\n" : "",
               answer->close ? "Connection: close\r\n" : "");
    queue(web, connection, head, strlen(head));
    queue(web, connection, answer->body, answer->body_bytes);
    for (size_t left = answer->more_bytes; left > 0 && connection->fd >= 0;) {
        size_t part = left < sizeof letters ? left : sizeof letters;
        queue(web, connection, letters, part);
        left -= part;
    }
    web->counters.requests++;
    web->counters.latency_us_sum += clock_mono_now().us - answer->begun_us;
}

/* ---- websockets ---- */

static void begin_websocket(struct web *web, struct web_connection *connection,
                            const struct http_head *head)
{
    const struct http_text *key = http_header(head, "Sec-WebSocket-Key");
    const struct http_text *version = http_header(head, "Sec-WebSocket-Version");
    const struct http_text *protocol = http_header(head, "Upgrade");
    if (version == NULL || !http_text_is(*version, "13") || protocol == NULL ||
        !http_list_has(*protocol, "websocket") || !http_text_is(head->method, "GET")) {
        refuse(web, connection, 400, "Bad Request");
        return;
    }
    char accept[WEBSOCKET_ACCEPT_BYTES], text[512];
    websocket_accept(key->at, key->bytes, accept);
    str_format(text, sizeof text,
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: %s\r\nBerth-Instance: %.128s\r\n\r\n",
               accept, web->instance);
    connection->websocket = true;
    web->websocket_count++;
    web->counters.requests++;
    queue(web, connection, text, strlen(text));
    send_frame(web, connection, WEBSOCKET_TEXT, web->instance, strlen(web->instance));
}

static bool next_frame(struct web *web, struct web_connection *connection)
{
    struct websocket_frame frame;
    uint8_t *data = (uint8_t *)bytes_at(&connection->in);
    int parsed = websocket_parse(data, connection->in.count, true, &frame);
    if (parsed == 0)
        return false;
    int wrong = parsed < 0 || !frame.last || frame.opcode == WEBSOCKET_MORE ? WEBSOCKET_WRONG
                : frame.payload_bytes > WEB_BODY_MAX                        ? WEBSOCKET_TOO_LARGE
                                                                            : 0;
    if (wrong != 0) {
        bytes_take(&connection->in, connection->in.count);
        connection->ending = true;
        web->counters.errors++;
        web_connection_goodbye(web, connection, wrong);
        return false;
    }
    size_t bytes = (size_t)frame.payload_bytes;
    if (connection->in.count < frame.head_bytes + bytes)
        return false;
    uint8_t *payload = data + frame.head_bytes;
    websocket_mask(payload, bytes, frame.mask);
    if (frame.opcode == WEBSOCKET_CLOSE) {
        /* The answer to ours ends it; the other side's own is answered first. */
        connection->ending = true;
        if (!connection->closing)
            send_frame(web, connection, WEBSOCKET_CLOSE, payload, bytes >= 2 ? 2 : 0);
        connection->closing = true;
    } else if (frame.opcode == WEBSOCKET_PING) {
        send_frame(web, connection, WEBSOCKET_PONG, payload, bytes);
    } else if (frame.opcode != WEBSOCKET_PONG && !connection->closing) {
        send_frame(web, connection, frame.opcode, payload, bytes);
        web->counters.requests++;
    }
    if (connection->fd >= 0)
        bytes_take(&connection->in, frame.head_bytes + bytes);
    return true;
}

static void send_frame(struct web *web, struct web_connection *connection, int opcode,
                       const void *payload, size_t bytes)
{
    uint8_t head[WEBSOCKET_HEAD_MAX];
    queue(web, connection, head, websocket_head(opcode, bytes, NULL, head));
    queue(web, connection, payload, bytes);
}

/* ---- */

static void queue(struct web *web, struct web_connection *connection, const void *data,
                  size_t bytes)
{
    if (connection->fd >= 0 && !bytes_add(&connection->out, data, bytes, WEB_OUT_MAX))
        web_connection_end(web, connection);
}

/* Not to be woken up for what is not taken now. */
static void watch(struct web *web, struct web_connection *connection)
{
    bool hears = !connection->deaf && connection->out.count <= WEB_OUT_MAX / 2 &&
                 (connection->ending || connection->in.count < IN_MAX);
    uint32_t events =
        (hears ? (uint32_t)EPOLLIN : 0u) | (connection->out.count > 0 ? (uint32_t)EPOLLOUT : 0u);
    if (events == connection->watched)
        return;
    struct epoll_event event = {.events = events,
                                .data.u64 = (uint64_t)(connection - web->connections)};
    (void)epoll_ctl(web->epoll, EPOLL_CTL_MOD, connection->fd, &event);
    connection->watched = events;
}

static void burn(int64_t cpu_us)
{
    struct timespec begin, now;
    if (cpu_us <= 0)
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((int64_t)(now.tv_sec - begin.tv_sec) * US_PER_S +
                 (now.tv_nsec - begin.tv_nsec) / 1000 <
             cpu_us);
}
