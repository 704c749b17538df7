/*
 * http_load: many keep-alive connections that ask an HTTP service at a fixed rate, whatever comes
 * back, and judge every answer. http_load.c is the program, http_client.c its connections.
 *
 * A request has a unique Request-Id, "<run>.<number>", and its answer must carry it. One request is
 * under way on a connection at a time and none is ever sent twice: a connection that breaks with
 * one under way has lost it. Requests that find no free connection wait, and their latency runs.
 * One that waited in vain for the whole timeout is lost, and so is one that was sent and got no
 * answer in the timeout from then on: would its clock run from when it was due, a client that is
 * behind would give up what it has just sent, a connection with each, and never catch up again.
 * Connections speak TLS where `trust` says whom to believe. One thread.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "examples/web/bytes.h"
#include "tests/live/clients/judge.h"
#include "tests/live/clients/tls.h"

#define HTTP_CLIENT_CONNECTIONS_MAX 4096
#define HTTP_CLIENT_ANSWER_MAX      (16 << 20)
#define HTTP_CLIENT_RETRY_US        (10 * 1000) /* between two tries to connect */
#define HTTP_CLIENT_SERVERS         64
#define HTTP_CLIENT_POST_MAX        (64 << 10)

/* SHAKING: connected, and TLS is not agreed upon yet. */
enum http_client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,
    CLIENT_SHAKING,
    CLIENT_IDLE,
    CLIENT_BUSY
};

/* Why a request got no answer. */
enum http_loss { LOSS_CONNECT, LOSS_CLOSED, LOSS_TIMEOUT, LOSS_COUNT };

struct http_client {
    int fd;
    enum http_client_state state;
    int64_t id;         /* of the request under way; -1: none */
    int64_t asked_us;   /* when it was given to this connection; it was due before */
    int64_t retry_us;   /* CLOSED: not before */
    int64_t shaken_us;  /* SHAKING: not later */
    int64_t left_bytes; /* of the answer's body; -1: its head has not come */
    bool ok;
    bool close; /* after this answer */
    bool stacked;
    uint32_t watched;
    struct tls *tls; /* NULL: none, or none yet */
    struct bytes in;
    struct bytes out;
};

struct http_server {
    char instance[LIMIT_ID_BYTES * 2];
    int64_t count;
    int64_t first_us;
    int64_t last_us;
};

struct http_clients {
    struct judge *judge;
    struct sockaddr_in address;
    struct tls_trust *trust; /* NULL: no TLS; the caller's */
    const char *host;
    const char *path;
    char run[LIMIT_ID_BYTES];
    bool fresh;  /* a connection for each request */
    bool newest; /* the idle one that was used last, as pools do; else all in turns */
    int *stack;  /* newest: connections as they became idle; some may not be any more */
    int stack_count;
    int64_t post_bytes; /* every second request is a POST with such a body; 0: all are GETs */
    int64_t timeout_us;
    int count;
    int epoll;
    int next;        /* where the search for an idle one begins */
    int ready_count; /* that could take a request now */
    int64_t lost[LOSS_COUNT];
    int64_t connects;
    int64_t closed_idle;
    int64_t tls_failed;        /* handshakes; the first is told on standard error */
    int64_t refused_status[6]; /* by hundreds; [0]: answered with 200 but wrong */
    struct http_client *clients;
    struct http_server servers[HTTP_CLIENT_SERVERS];
    int server_count;
};

int http_clients_open(struct http_clients *clients, struct error *err) WARN_UNUSED;
void http_clients_close(struct http_clients *clients);
/* True when the request went on its way (judge_send has numbered it). */
bool http_clients_ask(struct http_clients *clients, int64_t due_us);
/* Waits up to timeout_us and takes what comes. */
void http_clients_step(struct http_clients *clients, int64_t timeout_us);
void http_clients_sweep(struct http_clients *clients, int64_t now_us); /* what is too old is lost */
