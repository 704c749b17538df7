/*
 * server_config: the configuration of the nats-server that `berth up` starts, and of the leaf
 * servers that join it. Who may say and hear what rests on this text.
 *
 * Every user is an nkey inside `accounts {}` (a server with `authorization {}` beside accounts has
 * let clients in without credentials), in one account BERTH, with exact subjects: a node speaks
 * only as itself, the workloads of a namespace hear only that namespace. Each user's answers come
 * to its own inbox prefix (subject_inbox), where nobody else may listen. Responders are given the
 * inboxes that they answer by name rather than by allow_responses, which lets whoever sends a
 * request choose any subject, say a node's cmd, as the place that the responder then writes to.
 * JetStream's API is granted by exact subject, stream by stream. JetStream syncs each message
 * before it acknowledges.
 *
 * JetStream asks nobody: what a node or an operator may store, it may have delivered to any subject
 * of BERTH. Therefore these messages prove their sender themselves (base/keys/proof.h).
 *
 * Each SERVER_LOG user has an account of its own, LOG_<namespace>, with JetStream in it: a log that
 * the workloads of that namespace write and replay. It cannot be in BERTH, however exact its
 * subjects: JetStream answers a request, acknowledges a message and delivers a stream to whatever
 * subject the request names, without asking whether who sent it may publish there. A user that
 * stores a command in its own stream and has it delivered to a node's cmd would have given it. In
 * an account of its own it reaches nobody but itself.
 *
 * A leaf server has the same list of users, so that nodes authenticate where they are, holds no
 * streams, and joins the hub as a user SERVER_LEAF of its own. Pure text; no file is touched.
 */
#pragma once

#include "base/error.h"
#include "base/keys/keys.h"
#include "base/limits.h"
#include "base/str.h"

enum server_role {
    SERVER_SCHEDULER, /* inbox "s" */
    SERVER_NODE,      /* name: the node; inbox "n" */
    SERVER_WORKLOADS, /* name: the namespace whose workloads share it; inbox "w" */
    SERVER_OPERATOR,  /* a person's tools: the CLI, nats.js; inbox "o" */
    SERVER_CLIENT,    /* sends requests to the services of `namespace_`; inbox "c" */
    SERVER_PROBE,     /* name: the probe, which publishes its metrics and asks nodes; inbox "p" */
    SERVER_LEAF,      /* a leaf server, when it joins */
    SERVER_LOG,       /* name: the namespace whose log it writes and replays; inbox "l" */
    SERVER_SYSTEM,    /* of the account SYS: server administration */
};

struct server_user {
    int role; /* enum server_role */
    char name[LIMIT_NAME_BYTES];
    char namespace_[LIMIT_NAME_BYTES]; /* SERVER_CLIENT */
    char public_key[NKEY_TEXT_BYTES];
};

/* How a leaf reaches the log of a namespace: as the SERVER_LOG user itself. */
struct server_log_remote {
    const char *namespace_;
    const char *seed;
};

struct server_config {
    const char *server_name;
    const char *host; /* where clients connect; NULL: 127.0.0.1 */
    int port;
    int leaf_port;           /* hub: where leaf servers join; 0: nowhere */
    int monitor_port;        /* nats-server's HTTP pages, on the loopback; 0: none */
    const char *store_dir;   /* JetStream's; NULL: no JetStream (a leaf) */
    const char *remote_url;  /* leaf: "nats://hub:7422"; NULL: this is a hub */
    const char *remote_seed; /* leaf: the seed of its SERVER_LEAF user, itself: nats-server takes no
                                file, so the configuration of a leaf is secret (mode 0600) */
    const struct server_log_remote *logs; /* leaf: a connection each; may be NULL */
    int log_count;
    const struct server_user *users;
    int user_count;
};

/* Appends the text. ERR_INVALID names the user and what is wrong with it (a name that is no subject
 * token, a key that is none, two users with one key). */
int server_config_write(const struct server_config *config, struct strbuf *out,
                        struct error *err) WARN_UNUSED;

/* The one stream of a namespace's account, and what it stores: "svclog.<namespace>.>". */
#define SERVER_LOG_STREAM "berth_log_"

/* The inbox prefix of a user, for bus_options.inbox_prefix. Not for LEAF and SYSTEM. */
void server_user_inbox(const struct server_user *user, char out[LIMIT_SUBJECT_BYTES]);
