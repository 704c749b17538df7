/*
 * cluster: a whole Berth for live tests and benchmarks, every part of it the real program: a hub
 * nats-server with JetStream, a leaf server that joins it through delay-proxy, the scheduler, and
 * two nodes: "gcp" at the hub and "aws" behind the delay. Everything is below one folder of the
 * build folder, on ports of the loopback that were free, with users, keys and permissions as `berth
 * up` makes them.
 *
 * Failures of the set-up fail the cmocka test that asked (outside of one: end the program). Nothing
 * stays behind: cluster_done stops each program by its pid, and a guard process does the same when
 * this one dies without it. One cluster per process; one thread.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bus/bus.h"
#include "base/bus/server_config.h"
#include "base/keys/proof.h"
#include "tests/live/netns.h"
#include "tests/live/server.h"

#define CLUSTER_NODES    2
#define CLUSTER_WAIT_US  (60 * US_PER_S) /* generous: no wait of a healthy run comes near it */
#define CLUSTER_ARGS_MAX 16

enum { CLUSTER_GCP, CLUSTER_AWS };
enum {
    CLUSTER_USER_SCHEDULER,
    CLUSTER_USER_GCP,
    CLUSTER_USER_AWS,
    CLUSTER_USER_WORKLOADS,
    CLUSTER_USER_OPERATOR,
    CLUSTER_USER_CLIENT,
    CLUSTER_USER_LEAF,
    CLUSTER_USER_LOG,
    CLUSTER_USERS
};

struct cluster_options {
    int64_t delay_ms;          /* one way; 0: 40; below 0: none */
    int64_t back_delay_ms;     /* from the hub to the leaf, when it differs; 0: the same */
    int64_t jitter_ms;         /* up to so much more, each way, at random */
    int64_t healthy_min_ms;    /* of the world's policy; 0: 500 */
    int64_t node_timeout_ms;   /* of the world's policy; 0: 10 s */
    const char *scheduler_dir; /* NULL: below the folder */
    int node_disk_mib; /* each node's folder is a tmpfs of its own of so much; the caller is in a
                          mount namespace of its own; 0: a folder */
    bool no_scheduler;
    bool apart; /* the leaf and its node in a network namespace; the wire has the delays */
    bool ingress[CLUSTER_NODES]; /* these nodes are ingresses, each with a HAProxy of its own */
    bool tls; /* which speak HTTPS as well, and stages use that; one certificate of web.test */
};

struct cluster_node {
    const char *name;
    const char *site;
    pid_t pid;      /* 0: not running */
    int http_port;  /* where its ingress listens; 0: it is none */
    int https_port; /* and for TLS; 0: nowhere */
};

struct cluster {
    struct test_server hub; /* its folder is the cluster's */
    struct test_server leaf;
    struct cluster_options options;
    struct cluster_node nodes[CLUSTER_NODES];
    struct server_user users[CLUSTER_USERS];
    char cgroup[LIMIT_NAME_BYTES]; /* the top cgroup of its workloads, its own */
    char scheduler_dir[700];
    pid_t scheduler_pid; /* 0: not running */
    pid_t proxy_pid;
    pid_t load_pid;
    pid_t guard_pid;
    int guard_fd;
    int proxy_port;
    struct netns netns; /* .pid 0: the proxy is the distance */
    struct bus *operator_bus;
    struct proof_link operator_link;
    char load_history[700];
    char ca[700]; /* who signed the ingresses' certificate: it itself */
};

/* Starts everything; returns when both nodes are up for the scheduler (or, without one, at once).
 */
void cluster_start(struct cluster *cluster, const struct cluster_options *options);
/* The same for one whose sides are apart; false (and skip()) where the machine does not permit it.
 */
bool cluster_start_apart(struct cluster *cluster, const struct cluster_options *options);
/* Stops everything that is left, in any state, and removes the folder and the cgroups. */
void cluster_done(struct cluster *cluster);

/* A new certificate of web.test that nobody signed but itself: <folder>/<name>.crt, whose path is
 * `ret_path`, and with its key <folder>/<name>.pem. */
void cluster_certificate(const struct cluster *cluster, const char *name, char ret_path[700]);

/* ---- its programs ---- */
const char *cluster_program(const char *name, char out[700]); /* below the build folder's bin */
/* A child with its output in <folder>/<log>.log; `argv` ends with NULL. It dies with this process.
 */
pid_t cluster_spawn(const struct cluster *cluster, const char *log, const char *const *argv);
/* The same, in the far place if the cluster is apart. */
pid_t cluster_spawn_far(const struct cluster *cluster, const char *log, const char *const *argv);
/* SIGTERM, up to 60 s, then a failure; returns the wait status. `pid` becomes 0. */
int cluster_stop(pid_t *pid);
int cluster_wait(pid_t *pid, int64_t limit_us); /* for its own end; fails at the limit */
void cluster_kill(pid_t *pid);                  /* SIGKILL, reaped */
void cluster_scheduler_start(struct cluster *cluster);
/* What `berth scheduler` of this cluster is started with; `argv` has CLUSTER_ARGS_MAX places. */
void cluster_scheduler_argv(struct cluster *cluster, const char **argv);
void cluster_node_start(struct cluster *cluster, int node);
/* Until so many are up; when that is all of them, until the ingresses among them are live too. */
void cluster_nodes_wait(struct cluster *cluster, int count);
/* Both servers' configuration is written and they are started (again, when they run). */
void cluster_servers_start(struct cluster *cluster);
/* Prints the end of a log to stderr: for a test that is about to fail. */
void cluster_log_print(const struct cluster *cluster, const char *log);
/* True when the log has the text. */
bool cluster_log_has(const struct cluster *cluster, const char *log, const char *text);

void cluster_user_seed(const struct cluster *cluster, int user, char out[700]);
struct bus *cluster_connect(const struct cluster *cluster, int user, const char *url);

/* ---- control ---- */
struct cluster_request {
    const char *kind;
    const char *app;
    const char *workload;
    const char *key;
    const char *value;
    const char *document;
};
/* The body of the answer; asks again while nobody answers. A refusal fails the test. */
json_t *cluster_control(struct cluster *cluster, const char *verb,
                        const struct cluster_request *request);
/* Asks once; returns the reply's code and copies its text; *ret_body (may be NULL) on success. */
int cluster_control_try(struct cluster *cluster, const char *verb,
                        const struct cluster_request *request, char *text, size_t capacity,
                        json_t **ret_body);

/* The document as it is; a refusal fails the test. */
void cluster_apply_document(struct cluster *cluster, const char *document);
/* An app "t" of one workload "w" at the site of tag cloud=`cloud`. */
struct cluster_app {
    const char *program; /* of the build folder's bin, or an absolute path */
    const char *args;    /* YAML: "[--bytes, \"256\"]"; NULL: none */
    const char *cloud;
    const char *digest; /* NULL: the file's */
    int64_t start_ms;   /* start timeout; 0: 20 s */
    int restarts;       /* -1: none */
};
void cluster_apply(struct cluster *cluster, const struct cluster_app *app);
/* As cluster_apply, but returns the reply's code. */
int cluster_apply_try(struct cluster *cluster, const struct cluster_app *app, char *text,
                      size_t capacity);
void cluster_retag(struct cluster *cluster, const char *cloud);
void cluster_delete(struct cluster *cluster); /* and waits until nothing of it is there */
/* Until the workload is at the site, ready, and no handoff is under way. */
void cluster_settled(struct cluster *cluster, const char *site);
bool cluster_is_settled(struct cluster *cluster, const char *site);

/* The first item of `get handoffs` that is newer than the id `after` ("" or NULL: any); NULL when
 * there is none. The caller owns it. */
json_t *cluster_handoff(struct cluster *cluster, const char *after);
/* Polls until the handoff newer than `after` is in `state`; fails when it ended in another one. */
json_t *cluster_handoff_wait(struct cluster *cluster, const char *after, const char *state);
/* The same, until it has ended ("done" or "back"). */
json_t *cluster_handoff_ended(struct cluster *cluster, const char *after);
/* The id of the newest handoff, "" when there is none. */
void cluster_handoff_newest(struct cluster *cluster, char out[LIMIT_ID_BYTES]);
int64_t cluster_handoff_count(struct cluster *cluster); /* that moved something, ended or not */

/* ---- the outside client ---- */
/* Starts shop-load at the hub with this rate and waits for its first answers. */
void cluster_load_start(struct cluster *cluster, int64_t rate);
/* The same; what is due within so long is sent together. */
void cluster_load_start_grouped(struct cluster *cluster, int64_t rate, int64_t group_us);
/* Ends it and waits for its history. */
void cluster_load_end(struct cluster *cluster);
/* Ends it and fails unless every request was answered, once and well. */
void cluster_load_judge(struct cluster *cluster);

/* ---- orphans ---- */
/* Processes that have the folder in their environment, arguments or working directory and are none
 * that this cluster started itself. Printed when `print`. */
int cluster_orphans(const struct cluster *cluster, bool print);
/* Folders below its top cgroup that hold a workload's processes or name one. */
int cluster_cgroups(const struct cluster *cluster, bool print);
/* Polls until there are neither orphans nor cgroups; fails when some stay. */
void cluster_no_orphans(struct cluster *cluster);

void cluster_pause(int64_t us);
