/*
 * agent: the shell around the node machine: one epoll loop that turns what happens (commands on the
 * bus, words of the shims, ends of children, timers) into events for node_step and carries its
 * effects out. It decides nothing.
 *
 * A record that cannot be written ends the agent at once with a clear error: what follows it may
 * not happen, workloads go on, and the next agent starts from what is on disk.
 *
 * Divided by meaning: agent.c (loop, events, effects), slots.c (shims: start, adopt, talk, clear),
 * judge.c (readiness, liveness), owners.c (what owners are told, their state and their leases),
 * ports.c (where http workloads listen), probes.c (probes and round trips), publish.c (messages,
 * and what proves them), gateway.c (the ingress), courier.c, fetch.c, store.c.
 * One thread; nats.c's threads only fill the bus's queue.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/bus/bus.h"
#include "base/keys/proof.h"
#include "executors/drivers/process/cgroup.h"
#include "executors/drivers/process/lines.h"
#include "executors/node/core/node_core.h"
#include "executors/node/courier.h"
#include "executors/node/options.h"
#include "executors/node/store.h"

#define SLOT_LINE_BYTES    (LIMIT_LOG_LINE + 16)
#define SLOT_OUT_BYTES     4096
#define SLOT_CLEAR_US      (5 * US_PER_MS) /* between two looks at a cgroup that empties */
#define SLOT_CLEAR_HARD_US (5 * US_PER_S)  /* then the shim itself is killed */
#define SLOT_CLEAR_MAX_US  (10 * US_PER_S) /* then it is said that something is left */
#define AGENT_BEAT_US      (1 * US_PER_S)
#define AGENT_BEAT_ANSWER_US \
    (10 * US_PER_S)                         /* a late answer still renews, from when it was asked */
#define AGENT_HELLO_US       (2 * US_PER_S) /* a hello without answer is said again */
#define AGENT_HELLO_AGAIN_US (50 * US_PER_MS) /* one that only had an old stamp */
#define AGENT_ADOPT_MS       5000 /* a shim that does not answer an agent's start in time */
#define JUDGE_BYTES          512
#define FETCH_TEXT_BYTES     1024
#define AGENT_PROBES         64
#define AGENT_ROUTES         512 /* routes without an answer yet */

enum watch {
    WATCH_BUS,
    WATCH_SIGNAL,
    WATCH_SHIM,
    WATCH_FETCH,
    WATCH_JUDGE,
    WATCH_COURIER,
    WATCH_INGRESS
};

/* A probe of readiness or liveness under way. */
struct judge {
    bool active;
    bool live;
    enum ready_kind kind;
    int fd;    /* TCP, HTTP */
    pid_t pid; /* COMMAND */
    bool connected;
    int64_t deadline_us;
    uint64_t ticket; /* a late answer to an earlier request is known by it */
    size_t bytes;
    char text[JUDGE_BYTES];
};

/* What the shell knows of an instance that has, had or is to have a process. */
struct slot {
    bool used;
    char instance[LIMIT_ID_BYTES];
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    char cgroup[LIMIT_PATH_BYTES];
    int64_t life;
    int fd; /* to the shim; -1: none */
    pid_t shim_pid;
    struct lines lines;
    char *buffer;
    bool started; /* "running" came, or it was adopted */
    bool ended;   /* its end was told */
    int exit_code;
    char last_word[16];
    bool adopting;
    bool adopted_running;
    int64_t lease_us; /* as the shim has it, when it was adopted */
    bool clearing;
    int64_t clear_from;
    int64_t clear_next;
    pid_t fetch_pid;
    int fetch_fd;
    size_t fetch_bytes;
    char fetch_text[FETCH_TEXT_BYTES];
    struct judge judges[2];          /* of readiness, of liveness */
    char endpoint[LIMIT_NAME_BYTES]; /* $BERTH_ADDRESS of an http one; "": none */
    int64_t counters[SAMPLE_LATENCY_US_SUM + 1];
    bool counted[SAMPLE_LATENCY_US_SUM + 1];
};

struct probe {
    bool used;
    char id[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    char subject[LIMIT_SUBJECT_BYTES];
    int count;
    int64_t timeout_us;
    int64_t sent_at;
    struct message_probed outcome;
};

struct round_trip {
    char peer[LIMIT_NAME_BYTES]; /* "hub", or a node */
    bool asking;
    int64_t sent_at;
    int64_t rtt_us; /* -1: none since the last batch */
};

struct queued {
    struct queued *next;
    struct node_event event;
    char *text; /* of event.said_text */
};

struct agent {
    struct node_options options;
    struct store store;
    struct cgroup_host host;
    struct node *node;
    struct node_effects *effects;
    struct bus *bus;
    struct bus_subscription *commands;
    struct bus_subscription *echoes;
    struct proof_link link; /* to the scheduler */
    uint64_t seen;          /* the last stamp of what it said on our subject */
    uint64_t refused;       /* messages that are not the scheduler's, or not new */
    uint64_t refused_untold;
    int64_t refused_told_us;
    struct courier *courier;
    struct ingress *ingress;       /* NULL: this node is none */
    struct gateway_reply *replies; /* AGENT_ROUTES: of routes under way */
    char boot_id[BOOT_ID_BYTES];
    char machine[LIMIT_NAME_BYTES];
    char shim_path[LIMIT_PATH_BYTES];
    char self_path[LIMIT_PATH_BYTES];
    int epoll_fd;
    int signal_fd;
    bool stepping;
    bool adopting; /* until all shims have spoken, nothing but adoptions reaches the machine */
    struct queued *first;
    struct queued *last;
    char reply[LIMIT_SUBJECT_BYTES]; /* of the command under way */
    struct arena message;            /* of the message under way */
    struct slot *slots;              /* LIMIT_NODE_INSTANCES */
    struct probe probes[AGENT_PROBES];
    struct round_trip trips[NODE_PEERS + 1];
    int trip_count;
    uint64_t seq; /* of the last report */
    uint64_t batch_seq;
    uint64_t ticket;
    int64_t beat_at;
    int64_t metrics_at;
    int64_t hello_at; /* INT64_MAX: answered, or not connected */
    bool leaving;     /* no more work is taken */
    bool failed;
};

/* ---- agent.c ----------------------------------------------------------------------------------
 */
int agent_open(const struct node_options *options, const char *self, struct agent *agent,
               struct error *err) WARN_UNUSED;
/* Until a signal ends it; the program's exit status. */
int agent_run(struct agent *agent);
void agent_close(struct agent *agent);
/* Feeds an event, and carries out what follows from it, now or, from within a step, after it. */
void agent_feed(struct agent *agent, const struct node_event *event);
/* An event about one instance, now. */
void agent_event(struct node_event *ret_event, enum node_event_kind kind, const char *instance);
void agent_result(struct agent *agent, enum node_event_kind kind, const char *instance, int code,
                  const char *text);
int agent_watch(struct agent *agent, int fd, enum watch kind, int slot, unsigned events);
const struct node_record *agent_record(const struct agent *agent, const char *instance);

/* ---- slots.c ----------------------------------------------------------------------------------
 */
struct slot *slot_find(struct agent *agent, const char *instance);
int slot_index(const struct agent *agent, const struct slot *slot);
void slot_spawn(struct agent *agent, const char *instance, const struct message_spec *spec);
void slot_fetch(struct agent *agent, const char *instance, const struct message_spec *spec);
void slot_say(struct agent *agent, const char *instance, const char *line);
void slot_clear(struct agent *agent, const char *instance);
void slot_forget(struct agent *agent, const char *instance);
void slot_read_shim(struct agent *agent, int index);
void slot_read_fetch(struct agent *agent, int index);
void slot_child_ended(struct agent *agent, pid_t pid, int status);
/* After a start: asks the shims of these records, feeds NODE_EV_ADOPTED for each that answers. */
void slots_adopt(struct agent *agent, const struct node_record *records, int count);
void slots_tick(struct agent *agent, int64_t now);
int64_t slots_deadline(const struct agent *agent);
void slots_close(struct agent *agent);
/* The folder's environment of a workload: NAME=value texts, malloc'd. */
void slot_describe(struct slot *slot, const char *instance, const struct message_spec *spec);

/* ---- judge.c ----------------------------------------------------------------------------------
 */
void judge_begin(struct agent *agent, const char *instance, const struct message_spec *spec,
                 bool live);
void judge_io(struct agent *agent, int index, unsigned events);
/* True when the child was a judge's. */
bool judge_child_ended(struct agent *agent, pid_t pid, int status);
void judge_tick(struct agent *agent, int64_t now);
int64_t judge_deadline(const struct agent *agent);
/* Its process goes: what is asked is answered now, since the machine waits for it. */
void judge_end(struct agent *agent, struct slot *slot);
/* The instance goes: nobody waits any more. */
void judge_cancel(struct agent *agent, struct slot *slot);

/* ---- owners.c ---------------------------------------------------------------------------------
 */
int owners_open(struct agent *agent, struct error *err) WARN_UNUSED;
void owners_say(struct agent *agent, const struct node_effect *effect);
/* SHIP, GET, DROP and LEASE. */
void owners_carry_out(struct agent *agent, const struct node_effect *effect);
/* The store's results. */
void owners_take(struct agent *agent);

/* ---- ports.c ----------------------------------------------------------------------------------
 */
/* Where the instance is to listen: as before, when that is free; slot->endpoint. */
int port_choose(struct agent *agent, struct slot *slot, struct error *err) WARN_UNUSED;
/* Of one that runs: from what it was started with. */
void port_recall(struct agent *agent, struct slot *slot);

/* ---- gateway.c --------------------------------------------------------------------------------
 */
int gateway_open(struct agent *agent, struct error *err) WARN_UNUSED;
void gateway_close(struct agent *agent, bool stop);
void gateway_dispatch(struct agent *agent);
void gateway_route(struct agent *agent, const struct node_effect *effect);
void gateway_probe(struct agent *agent, const struct node_effect *effect);
void gateway_hello(const struct agent *agent, struct message_hello *hello);
/* What HAProxy counted of each server, as batches of their own. */
void gateway_metrics(struct agent *agent);
/* The answer to a ROUTE comes later: to this subject. */
void gateway_expect(struct agent *agent, const char *id, const char *reply);
bool gateway_reply(struct agent *agent, const char *id, char ret_subject[LIMIT_SUBJECT_BYTES]);

/* ---- probes.c ---------------------------------------------------------------------------------
 */
void probe_begin(struct agent *agent, const struct node_effect *effect);
void trips_ask(struct agent *agent);
void trips_echo(struct agent *agent, const struct bus_message *message);

/* ---- publish.c --------------------------------------------------------------------------------
 */
/* One line of a workload's output, on berth.v1.log.<ns>.<app>.<workload>.<replica>. */
struct node_log {
    char node[LIMIT_NAME_BYTES];
    char instance[LIMIT_ID_BYTES];
    int stream; /* 1: stdout, 2: stderr */
    int64_t wall_us;
    const char *text;
};
extern const struct wire_shape node_log_shape;

/* Not proven, for people: logs. */
void publish(struct agent *agent, const char *subject, const char *reply,
             const struct wire_shape *shape, const void *message);
/* To the scheduler, with our proof. */
void publish_proven(struct agent *agent, const char *subject, const struct wire_shape *shape,
                    const void *message);
/* The answer to a command, at an inbox. */
void publish_answer(struct agent *agent, const char *reply, const struct message_answer *answer);
/* Whether the scheduler wrote it, for this subject; what it did not is counted and logged.
 * *ret_inner is the message without its frame. */
bool publish_check(struct agent *agent, const struct bus_message *message,
                   struct bus_message *ret_inner, uint64_t *ret_stamp) WARN_UNUSED;
void publish_refused(struct agent *agent, const char *subject, const char *why);
/* The answer to a command that was said before, or by a scheduler whose clock went back: where it
 * goes on. */
void publish_seen(struct agent *agent, const char *reply);
void publish_hello(struct agent *agent, const struct message_hello *hello);
void publish_beat(struct agent *agent);
void publish_metrics(struct agent *agent); /* the instances here, and what the ingress saw */
/* A batch of this node and this moment, without samples; and its way. */
void publish_batch_begin(struct agent *agent, struct message_batch *ret_batch);
void publish_batch(struct agent *agent, const struct message_batch *batch);
void publish_log(struct agent *agent, const struct slot *slot, int stream, const char *text,
                 size_t bytes);
