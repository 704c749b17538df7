/*
 * server: a private nats-server for live tests: own folder below the build folder, own port on the
 * loopback, stopped by its pid. Failures of the set-up fail the cmocka test that asked. One thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

struct test_server {
    pid_t pid; /* 0: not running */
    int port;
    int leaf_port;    /* free at start; the configuration may listen there */
    char url[64];     /* "nats://127.0.0.1:<port>" */
    char folder[512]; /* removed by test_server_done: put keys and files in here */
    char config_path[600];
    /* When it is to run in another place (netns.h): entered by the child before it runs, with this
     * address there, at which it is waited for. NULL: here, on the loopback. */
    int (*enter)(void *context);
    void *enter_context;
    char address[16];
};

/* The path of a nats-server: $BERTH_NATS_SERVER, else what script/nats-server prints. */
const char *test_server_program(void);
/* Sets $BERTH_HAPROXY, unless it is set, to what script/haproxy prints: the ingresses that are
 * started later run it, be it the machine's own or an unpacked one. Before any thread. */
void test_haproxy_find(void);

/* Makes the folder and chooses the ports; starts nothing. */
void test_server_init(struct test_server *server);
/* Writes the configuration and starts the server with it; returns when it listens. NULL: JetStream,
 * no accounts, no permissions. */
void test_server_start(struct test_server *server, const char *config);
/* Starts it again with the configuration that is there, on the same port. */
void test_server_restart(struct test_server *server);
void test_server_kill(struct test_server *server); /* SIGKILL, reaped; the folder stays */
void test_server_stop(struct test_server *server); /* SIGTERM, then SIGKILL after 10 s; reaped */
/* Makes a running server read its configuration again. */
void test_server_reload(const struct test_server *server);
/* Stops it and removes the folder. Fine on a zeroed struct. */
void test_server_done(struct test_server *server);

/* A folder below the build folder, and its removal with all that is in it. */
void test_folder_make(char *out, size_t capacity);
void test_folder_remove(const char *path);
/* A loopback port that was free a moment ago. */
int test_port_free(void);
/* True once a connection to 127.0.0.1:port is taken; waits up to 30 s while `pid` lives. */
bool test_port_wait(int port, pid_t pid);
