/*
 * web_rig: what an ingress stands between, for tests and measurements: HTTP/1.1 servers, each a
 * process of its own, and clients that keep their connections alive and count what happens to their
 * requests. A board in shared memory says which request was carried out how often, so that "lost"
 * and "twice" are facts of the outside and not of the ingress's own counters.
 *
 * A server answers: /berth with its identity, /status/<code> with that status, /sleep/<ms> late,
 * /r/<number> after marking the number on the board, /close/<number> by marking it and closing the
 * connection, anything else with its name. With "Upgrade" it
 * answers 101 and echoes. Its name is in every answer, in "Berth-Instance".
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define WEB_SERVERS  16
#define WEB_REQUESTS (8 << 20)
#define WEB_CLIENTS  128

struct web_board {
    _Atomic int64_t next; /* the number of the next request */
    _Atomic int64_t requests[WEB_SERVERS];
    _Atomic int64_t open[WEB_SERVERS];    /* connections */
    _Atomic int64_t sockets[WEB_SERVERS]; /* upgraded ones that are open */
    _Atomic uint8_t carried_out[WEB_REQUESTS];
};
struct web_board *web_board(void); /* of this process and its children; never freed */

struct web_server {
    pid_t pid;
    int index; /* on the board */
    int port;
    char name[40];
};
struct web_how {
    const char *says;  /* the identity it tells; NULL: its name; "": none */
    int idle_close_us; /* it closes a connection that was idle for so long; 0: never */
};
/* Exits the test when it cannot. */
void web_start(struct web_board *board, int index, const char *name, struct web_how how,
               struct web_server *ret_server);
void web_stop(struct web_server *server);

/* One request over a connection that is there, or over one of its own. The status, or -1; body and
 * the headers wanted. */
struct web_answer {
    int status;
    char instance[64]; /* Berth-Instance */
    char server[64];   /* Berth-Server */
    char body[256];
};
int web_connect(int port); /* -1: refused */
int web_ask(int fd, const char *head, struct web_answer *ret_answer);
int web_get(int port, const char *head, struct web_answer *ret_answer);
/* A GET of that path; the status, or -1. */
int web_status(int port, const char *host, const char *path, struct web_answer *ret_answer);
/* So many has that server been asked. */
int64_t web_requests(struct web_board *board, const struct web_server *server);

/* An upgraded connection through `port`; -1: refused. */
int web_socket(int port, const char *host);
bool web_echo(int fd); /* it still answers */

struct web_load;
struct web_load_options {
    int port;
    const char *host;
    int clients;
    int rate;     /* requests a second, of all clients together; 0: as fast as they go */
    int post_ppm; /* of them POSTs, with a body */
};
struct web_load_result {
    int64_t sent;
    int64_t answered;
    int64_t lost;       /* no answer, a cut one, or a status that is not 200 */
    int64_t duplicated; /* carried out more than once */
    int64_t reconnects; /* closed between two requests: not an error */
    int64_t p50_us;
    int64_t p99_us;
    int64_t worst_us;
    double seconds;
    char first_error[200];
};
struct web_load *web_load_start(struct web_board *board, struct web_load_options options);
int64_t web_load_answered(const struct web_load *load); /* so far */
void web_load_stop(struct web_load *load, struct web_load_result *ret_result);
/* Something was answered, nothing lost and nothing carried out twice; else says so. */
bool web_load_is_whole(const struct web_load_result *result);
