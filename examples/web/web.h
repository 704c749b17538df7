/*
 * web: a small HTTP/1.1 and websocket server for examples and tests, made to be moved: one thread,
 * epoll, up to WEB_CONNECTIONS_MAX connections, keep-alive and pipelining.
 *
 * What it answers:
 *     GET /berth            the identity: Berth-Instance, which every answer carries
 *     GET /ws (an upgrade)  a websocket that echoes texts; its first text is the identity
 *     anything else         "<request id> <instance>\n", or the request's own body when it has one;
 *                           the query may say bytes=N (that much more), wait_ms=N (answered later),
 *                           cpu_us=N (spends as much)
 * A request's header Request-Id comes back as it came, so that a client knows each answer's
 * request.
 *
 * Draining: whoever comes is still answered, with "Connection: close", so that nobody runs into a
 * closed door while traffic is being turned away. The listener closes when nothing is under way and
 * nobody has asked anything for WEB_QUIET_US; idle connections end then, WEB_ENDS_A_TICK in each
 * millisecond: who holds hundreds of them has other requests to carry meanwhile. Websockets stay,
 * and are told 1012 ("service restart") shortly before the drain's deadline. Drained is when no
 * connection is left; at the deadline what is left is cut.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/error.h"
#include "examples/web/bytes.h"
#include "examples/web/http.h"

#define WEB_CONNECTIONS_MAX 8192
#define WEB_BODY_MAX        (256 << 10) /* of a request; a larger one is answered 413 */
#define WEB_ANSWER_MAX      (8 << 20)   /* bytes=N */
#define WEB_OUT_MAX         (16 << 20)  /* waiting to be written; past half of it nothing is read */
#define WEB_PPM             1000000
#define WEB_WAIT_MAX_MS     60000
#define WEB_QUIET_US        (200 * 1000)
#define WEB_ENDS_A_TICK     2        /* idle connections that a drain ends in a millisecond */
#define WEB_FAREWELL_US     US_PER_S /* for the other side to close, after the last answer */
#define WEB_ID_BYTES        128      /* of a Request-Id; a longer one is answered 400 */

enum web_state { WEB_SERVING, WEB_DRAINING, WEB_DRAINED };

struct web_counters {
    int64_t requests;
    int64_t errors; /* answered with 400 or more, or cut before the answer was written */
    int64_t bytes_in;
    int64_t bytes_out;
    int64_t latency_us_sum;
};

struct web_connection {
    int fd; /* -1: free */
    bool websocket;
    bool ending;      /* no request is taken any more; closed when `out` is written and read */
    bool deaf;        /* the other side has said all it will */
    bool closing;     /* a websocket that has sent its closing frame */
    uint32_t watched; /* the events that are waited for */
    int64_t shut_us;  /* nothing more is sent since; what still comes is thrown away */
    int64_t due_us;   /* an answer that waits; 0: none */
    int64_t begun_us; /* when the request came whose answer waits */
    int64_t last_us;  /* of the last request, or of its begin */
    size_t wait_bytes;
    char wait_id[WEB_ID_BYTES];
    struct bytes in;
    struct bytes out;
};

struct web {
    struct sockaddr_in address; /* where it listens, the port that it got included */
    const char *instance;
    int64_t fail_ppm; /* so many of a million requests are answered 500, evenly: a bad version */
    int64_t wait_ms;  /* every answer is so much later, unless the query says */
    int64_t fail_sum;
    bool held;      /* another one owns: all but the probe is answered 503 */
    bool uncounted; /* Berth is told no counters */
    FILE *ids;      /* each id that was answered, a line each, for who judges; NULL: not kept */
    int epoll;
    int listener; /* -1: closed */
    enum web_state state;
    int64_t drain_at_us; /* websockets are told to go; both on CLOCK_MONOTONIC */
    int64_t cut_at_us;
    int64_t last_us; /* of the last request of all */
    int64_t ticked_us;
    bool timed; /* some connection may have an instant to wait for: due_us, shut_us */
    int open_count;
    int websocket_count;
    struct web_counters counters;
    struct web_connection *connections; /* WEB_CONNECTIONS_MAX */
    int top;                            /* connections from here on were never used */
};

/* `address` is "ip:port"; port 0: a free one. Listens at once. */
int web_open(struct web *web, const char *address, const char *instance,
             struct error *err) WARN_UNUSED;
void web_close(struct web *web); /* zeroed is accepted */
/* Waits up to timeout_us for something to do and does it. `also` (-1: none) is another descriptor
 * to wake up for. */
void web_step(struct web *web, int also, int64_t timeout_us);
void web_drain(struct web *web, int64_t deadline_us); /* from now */
/* Answers nothing but the probe from now on, but for what is under way; websockets are told 1012.
 */
void web_hold(struct web *web);
bool web_is_idle(const struct web *web); /* nothing is under way */
/* Serves again; listens again when it had stopped. */
int web_resume(struct web *web, struct error *err) WARN_UNUSED;

/* ---- web_connection.c: used by web.c ---- */
void web_connection_read(struct web *web, struct web_connection *connection);
void web_connection_write(struct web *web, struct web_connection *connection);
void web_connection_due(struct web *web, struct web_connection *connection);
/* A websocket: says good-bye with this code. */
void web_connection_goodbye(struct web *web, struct web_connection *connection, int code);
bool web_connection_idle(const struct web_connection *connection); /* nothing is under way */
void web_connection_end(struct web *web, struct web_connection *connection);
