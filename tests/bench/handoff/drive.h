/*
 * drive: moves a workload by commands to the nodes, as a scheduler would and in the order that a
 * benchmark wants: the baselines, and Berth's own sequence by hand. It speaks as the scheduler's
 * user, so no scheduler may run beside it. A failure ends the program. One thread.
 */
#pragma once

#include "base/wire/messages.h"
#include "tests/live/cluster.h"

#define DRIVE_INSTANCES 256

enum drive_way {
    DRIVE_CAREFUL,     /* start, ready, probe from the hub, linger, drain, hold, stop */
    DRIVE_STOP_START,  /* stop the old copy, then start the new one */
    DRIVE_START_DRAIN, /* start, ready by its own word, drain at once, stop */
};

struct drive_instance {
    char id[LIMIT_ID_BYTES];
    int node;  /* CLUSTER_GCP or CLUSTER_AWS */
    int state; /* enum instance_state, as last reported */
    char detail[LIMIT_TEXT_BYTES];
};

/* How a node is spoken with. */
struct drive_line {
    struct drive *drive;
    struct bus *bus; /* at the server that the commands enter by */
    struct proof_link link;
    int node;
    bool hello;
};

struct drive {
    struct cluster *cluster;
    struct drive_line lines[CLUSTER_NODES];
    struct drive_instance instances[DRIVE_INSTANCES];
    int instance_count;
    int serving; /* index of the copy that serves; -1: none */
    const char *program;
    const char *const *args; /* ends with NULL */
    int64_t rtt_us;          /* the slowest that the last probes measured */
    int waiting;             /* requests without an answer */
};

/* Connects and waits for both nodes' hello. With `direct`, the far node is commanded at its own
 * server, as by an orchestrator whose orders do not travel with the traffic; without, over the same
 * slow link as the traffic, which keeps orders and requests in order by luck of the path. */
void drive_open(struct drive *drive, struct cluster *cluster, bool direct, const char *program,
                const char *const *args);
void drive_close(struct drive *drive);
/* Starts the first copy at a node. */
void drive_begin(struct drive *drive, int node);
void drive_move(struct drive *drive, enum drive_way way, int node);
void drive_end(struct drive *drive);             /* stops the copy that serves */
void drive_run(struct drive *drive, int64_t us); /* turns the loop for a time */
