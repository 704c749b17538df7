/*
 * options: what berth-node is told when it starts. The command line wins over the file given with
 * --config ("name = value" lines, the long options' names). One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"

#define NODE_SEEDS 16
#define NODE_PEERS 16

struct node_seed {
    char namespace_[LIMIT_NAME_BYTES];
    char path[LIMIT_PATH_BYTES];
};

struct node_options {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char url[LIMIT_PATH_BYTES];
    char seed[LIMIT_PATH_BYTES];
    char scheduler_key[LIMIT_PATH_BYTES]; /* "": PROOF_SCHEDULER_FILE beside the seed */
    char state[LIMIT_PATH_BYTES];
    char shim[LIMIT_PATH_BYTES]; /* "" : beside berth-node */
    char cgroup[LIMIT_NAME_BYTES];
    char inbox[LIMIT_SUBJECT_BYTES];
    char address[LIMIT_NAME_BYTES];     /* where its http workloads listen */
    char ingress[LIMIT_PATH_BYTES * 2]; /* "" : this node is none; see ingress_options_parse */
    int64_t mcpu;
    int64_t memory_bytes;
    int64_t metrics_interval_us;
    int64_t log_bytes;
    int64_t log_files;
    struct message_tag tags[LIMIT_TAGS];
    int tag_count;
    struct node_seed seeds[NODE_SEEDS];
    int seed_count;
    char peers[NODE_PEERS][LIMIT_NAME_BYTES];
    int peer_count;
    bool stop_workloads_on_exit;
    bool help;
    bool version;
};

extern const char node_usage[];

/* Defaults first; then the file, then the arguments. */
int node_options_parse(int argc, char **argv, struct node_options *ret_options,
                       struct error *err) WARN_UNUSED;
