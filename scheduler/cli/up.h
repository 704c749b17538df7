/*
 * up: what the files of `berth up` share: the folder being run, its users, ports and programs.
 *
 * up_prepare.c reads the arguments, makes folder, keys and configurations, and starts nothing.
 * up_start.c starts the programs in order and waits until each does its work. up.c is the command:
 * status, the loop that watches, the end. One thread; one `up` per process.
 */
#pragma once

#include "base/bus/server_config.h"
#include "scheduler/cli/children.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/reference.h"

#define UP_NAMESPACES_MAX 16
#define UP_USERS_MAX      (3 + 3 * UP_NAMESPACES_MAX + 3 * OPTION_LIST_MAX)
#define UP_PORT_DEFAULT   4222
#define UP_LEAF_DEFAULT   7422

struct up_options {
    const char *world;
    int64_t port;        /* 0: UP_PORT_DEFAULT; -1 is written as "--port 0": any free one */
    int64_t leaf_port;   /* 0: UP_LEAF_DEFAULT, when there are leaf servers */
    const char *metrics; /* the scheduler's metrics page; NULL: none */
    struct option_list nodes;
    struct option_list leafs;
    struct option_list probes;
    struct option_list namespaces;
    bool free_ports;
    bool detach;
    bool keep_workloads;
};

struct up {
    const struct up_options *options;
    char folder[LIMIT_PATH_BYTES];
    char programs[LIMIT_PATH_BYTES];   /* the folder of `berth`, where berth-node is as well */
    char world_path[LIMIT_PATH_BYTES]; /* absolute; "": none given */
    char world_name[LIMIT_NAME_BYTES];
    char server_path[LIMIT_PATH_BYTES];
    char server_version[32];
    char url[LIMIT_PATH_BYTES];
    int port;
    int leaf_port; /* 0: no leaf servers */
    bool fresh;    /* the journal holds nothing yet */
    int lock_fd;

    struct node_argument nodes[OPTION_LIST_MAX];
    int node_count;
    struct leaf_argument leafs[OPTION_LIST_MAX];
    int leaf_count;
    char namespaces[UP_NAMESPACES_MAX][LIMIT_NAME_BYTES];
    int namespace_count;

    struct server_user users[UP_USERS_MAX];
    char key_paths[UP_USERS_MAX][LIMIT_PATH_BYTES];
    int user_count;

    struct children children; /* in this order: */
    int server_child;
    int first_leaf;
    int scheduler_child;
    int first_node;
};

/* ---- up_prepare.c ---- */
int up_arguments(const struct cli *cli, const struct up_options *options, struct up *up,
                 struct error *err) WARN_UNUSED;
/* Ports, folder and lock. */
int up_folder(struct up *up, struct error *err) WARN_UNUSED;
/* Keys and configurations. */
int up_configure(struct up *up, struct error *err) WARN_UNUSED;
/* The key file of a user, or NULL. */
const char *up_key(const struct up *up, enum server_role role, const char *name);
void up_leaf_url(const struct up *up, int leaf, char out[LIMIT_PATH_BYTES]);

/* ---- up_server.c ---- */
/* Finds a nats-server that keeps what it acknowledges, and its version. */
int up_find_server(struct up *up, struct error *err) WARN_UNUSED;
/* "nats-server: v2.10.27" -> "2.10.27"; ERR_INVALID when it is no such line. */
int up_server_version(const char *line, char *out, size_t capacity, struct error *err) WARN_UNUSED;
bool up_version_is_fine(const char *version);

/* ---- up_start.c ---- */
int up_start(struct up *up, struct error *err) WARN_UNUSED;
/* Nodes (with their workloads, unless they are kept), scheduler, leaf servers, the server. */
void up_stop(struct up *up);
/* berth.json: what the other commands find. */
int up_record(const struct up *up, struct error *err) WARN_UNUSED;
/* True (and *ret_signal) when SIGINT or SIGTERM waits; up.c blocks both. */
bool up_interrupted(void);
