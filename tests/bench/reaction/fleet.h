/*
 * fleet: a scheduler's whole world for bench_reaction: one nats-server, one real `berth scheduler`,
 * FLEET_SITES sites of which each has a node played here (it does at once what it is told and says
 * so by the wire's own messages), and apps of FLEET_APP_PARTS workloads linked as trees.
 *
 * Every node publishes a batch a second about all that runs on it, so that all workloads are
 * measured and nothing is a guess. Failures of the set-up fail the cmocka test that asked. One
 * thread: fleet_turn does all the nodes' work.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bus/bus.h"
#include "base/keys/proof.h"
#include "base/limits.h"
#include "base/wire/messages.h"
#include "tests/live/server.h"

#define FLEET_SITES     20
#define FLEET_CLIENTS   4
#define FLEET_APPS_MAX  125
#define FLEET_APP_PARTS 8
/* The leaf of each app's tree whose calls grow: cheap compute is worth more to it than a short way,
 * until it is asked that often. */
#define FLEET_LEAF     (FLEET_APP_PARTS - 1)
#define FLEET_LEAF_CPS 20
#define FLEET_HOT_CPS  4000
#define FLEET_CPS      400

/* What a settle, a dwell and so on are in the world of the fleet, for people. */
extern const char fleet_policy[];

struct fleet_copy {
    struct message_instance instance;
    int64_t since_us; /* its counters began then */
    int64_t extra;    /* requests beyond those of its steady rate */
};

struct fleet_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    struct proof_link link;
    uint64_t seq;
    uint64_t batch;
    struct fleet_copy copies[LIMIT_NODE_INSTANCES];
    int copy_count;
};

struct fleet {
    struct test_server server;
    pid_t scheduler;
    struct bus *bus;
    struct proof_link link; /* the operator's */
    struct fleet_node nodes[FLEET_SITES];
    int apps;
    bool hot[FLEET_APPS_MAX]; /* the app's leaf has FLEET_HOT_CPS */
    int64_t beat_us;          /* when the nodes spoke last */
    int64_t command_us;       /* when the last STAGE or START came */
    int64_t any_us;           /* when the last command of any kind came */
    int64_t commands;         /* STAGE and START so far */
    char command_app[LIMIT_NAME_BYTES];
    char command_workload[LIMIT_NAME_BYTES];
    char log[600]; /* what the scheduler writes */
    uint64_t ids;
    bool dispatching; /* handlers run */
};

/* Starts all of it and applies the apps; returns when every workload runs and nothing has been told
 * to any node for `quiet_us`. */
void fleet_begin(struct fleet *fleet, int apps, int64_t quiet_us);
void fleet_end(struct fleet *fleet);

/* Handles what has come, for at most wait_ms; nodes beat and publish when their second is over. */
void fleet_turn(struct fleet *fleet, int wait_ms);
/* Until no node was told anything for quiet_us. */
void fleet_quiet(struct fleet *fleet, int64_t quiet_us);
/* The calls of an app's leaf grow: what its next batch says, published now. Returns the instant
 * just before (CLOCK_MONOTONIC). */
int64_t fleet_heat(struct fleet *fleet, int app);
/* The body of a control request that has to be answered with 0; the caller's to free. */
json_t *fleet_ctl(struct fleet *fleet, const char *verb, struct message_request request);
