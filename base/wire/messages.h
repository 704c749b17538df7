/*
 * messages: every message between scheduler, nodes and tools, as plain structs with their shapes.
 *
 * Subjects (base/bus/subjects.h) say who may send what, and a proof (base/keys/proof.h) before each
 * message who sent it; a node name inside a payload is only compared with the subject's, never
 * believed. Every command carries {id, epoch, not_after} and is
 * idempotent by id; a missing answer means unknown. All strings are terminated; times in
 * microseconds; `boot_us` are on the CLOCK_BOOTTIME of the machine whose boot_id stands beside.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/wire/wire.h"

/* (term, n) from the scheduler's journal; compared lexicographically; {0, 0} is "none". */
struct epoch {
    uint64_t term;
    uint64_t n;
};
int epoch_compare(struct epoch a, struct epoch b);
extern const struct wire_shape epoch_shape; /* to nest in other shapes: {"term":..,"n":..} */

struct message_tag {
    char key[LIMIT_NAME_BYTES];
    char value[LIMIT_NAME_BYTES];
};

struct message_string {
    char value[LIMIT_PATH_BYTES];
};

struct message_env {
    char name[LIMIT_NAME_BYTES];
    char value[LIMIT_PATH_BYTES];
};

/* What an instance is on its node. The order is the life of an instance. */
#define INSTANCE_STATE_MAP(X)                                                         \
    X(ABSENT, "absent")     /* not known on the node, or gone without a trace left */ \
    X(STAGING, "staging")   /* its artifact is being fetched and checked */           \
    X(STAGED, "staged")     /* the artifact is on disk, verified; no process */       \
    X(STARTING, "starting") /* a process exists, not ready yet */                     \
    X(READY, "ready")       /* its own word or its probe says it serves */            \
    X(UNREADY, "unready")   /* it was ready, and its readiness fails now */           \
    X(BACKOFF, "backoff")   /* it ended by itself and waits for its next start */     \
    X(DRAINING, "draining") /* told to stop taking work; finishes what it has */      \
    X(HELD, "held")         /* serves nothing, alive, able to resume (or to own) */   \
    X(STOPPING, "stopping") /* told to end */                                         \
    X(STOPPED, "stopped")   /* no process, no cgroup left */                          \
    X(FAILED, "failed")     /* given up: staging refused, never ready, too many restarts */

enum instance_state {
#define INSTANCE_STATE_ENUM(name, word) INSTANCE_##name,
    INSTANCE_STATE_MAP(INSTANCE_STATE_ENUM)
#undef INSTANCE_STATE_ENUM
};
extern const char *const instance_state_words[];

enum ready_kind { READY_NONE, READY_CONTRACT, READY_TCP, READY_HTTP, READY_NATS, READY_COMMAND };
extern const char *const ready_kind_words[];

/* How readiness is judged. NONE: alive for `period_us` after start. CONTRACT: the workload says
 * "ready" on $BERTH_SOCKET. TCP: "host:port". HTTP: "http://127.0.0.1:port/path", 2xx or 3xx.
 * NATS: a request on the instance's own `at` subject answers with its identity. COMMAND: run by
 * sh -c in the workload's directory and environment, exit status 0. */
struct message_ready {
    int kind; /* enum ready_kind */
    char target[LIMIT_TEXT_BYTES];
    int64_t period_us;
    int64_t timeout_us;
    int failures; /* in a row, once it is ready: then UNREADY (`live`: killed and started again); 0:
                   * it is not judged any more once it is ready */
};

/* How a copy gives way to another (docs/handoff.md). An OVERLAP copy serves as soon as it is ready.
 * EXCLUSIVE and STATEFUL ones are HELD when they are ready, and serve when a RESUME makes them the
 * owner: its command's epoch is what the resource checks. */
enum spec_class { SPEC_OVERLAP, SPEC_EXCLUSIVE, SPEC_STATEFUL };
extern const char *const spec_class_words[];

/* A file in the object store (BUCKET_STATE), named by its digest's hex. */
struct message_object {
    char digest[LIMIT_DIGEST_BYTES]; /* "": none */
    int64_t bytes;
};
extern const struct wire_shape message_object_shape;

/* All a node needs to run one instance: it never sees the app document. */
struct message_spec {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    char driver[LIMIT_NAME_BYTES];   /* "process" */
    char artifact[LIMIT_PATH_BYTES]; /* "file:/path" or "object:bucket/name" */
    char digest[LIMIT_DIGEST_BYTES]; /* "sha256:<64 hex>" */
    struct message_string *args;     /* after argv[0] */
    int arg_count;
    struct message_env *env;
    int env_count;
    int64_t mcpu; /* cgroup limits; 0: none */
    int64_t memory_bytes;
    int64_t pids_max;
    struct message_ready ready;
    struct message_ready live; /* judged for as long as it is ready; kind NONE: not */
    int handoff;               /* enum spec_class */
    int64_t lease_us; /* an owner's: without a renewal for so long it must not serve; 0: none */
    bool http;        /* it serves HTTP at the address that the node gives it, $BERTH_ADDRESS */
    bool contract;    /* speaks the workload contract on $BERTH_SOCKET */
    int64_t start_timeout_us; /* from start to ready */
    int64_t drain_timeout_us;
    int64_t stop_timeout_us;
    int restarts_max;           /* within the restart window; then FAILED */
    int64_t restart_backoff_us; /* first; doubles to 60 s */
};
extern const struct wire_shape message_spec_shape;

enum node_verb {
    NODE_STAGE,  /* fetch and verify the artifact of `spec`: -> STAGED or FAILED */
    NODE_START,  /* (stages if need be) start it: -> STARTING .. READY or FAILED */
    NODE_DRAIN,  /* READY -> DRAINING -> HELD; an owner freezes: its state comes with the report */
    NODE_RESUME, /* HELD or DRAINING -> READY; with `handed`, as the owner by this epoch */
    NODE_STOP,   /* any -> STOPPING -> STOPPED; an unknown instance is STOPPED at once */
    NODE_PROBE,  /* request `subject` `count` times, expect identity `instance` */
    NODE_FORGET, /* drop the record of a STOPPED or FAILED instance */
    NODE_SNAPSHOT, /* READY, stateful: export what changed since round - 1, while it serves, and
                    * ship it; the report carries `round` and `object` */
    NODE_RESTORE,  /* HELD, stateful: fetch `object`, import it as `round`; the report says so */
    NODE_ROUTE,    /* to an ingress: `route` replaces what it has of that workload; the answer means
                    * that traffic follows it already */
};
extern const char *const node_verb_words[];

/* What an ingress does with one server of a route. A server that is not listed is removed, and what
 * is left of its connections is shut. */
enum route_mode {
    ROUTE_PROBE, /* no traffic but probes, which name it */
    ROUTE_SERVE, /* its share of new requests: weight over the sum of weights */
    ROUTE_DRAIN, /* no new requests; those under way and open websockets stay */
};
extern const char *const route_mode_words[];

struct message_server {
    char instance[LIMIT_ID_BYTES];
    char endpoint[LIMIT_NAME_BYTES]; /* "address:port" */
    int mode;                        /* enum route_mode */
    int weight;                      /* SERVE: 1..256 */
};
extern const struct wire_shape message_server_shape;

/* Which requests go to which instances of a workload. A route without servers answers 503 at once,
 * but for one that is `paused`: an owner is expected, and requests wait for it; `gone` ends it. */
struct message_route {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char host[LIMIT_REF_BYTES];  /* "" : any */
    char path[LIMIT_TEXT_BYTES]; /* prefix, "/" : all; the longest match of host and path wins */
    char probe[LIMIT_TEXT_BYTES];
    bool gone;
    bool paused;
    struct message_server *servers;
    int server_count;
};
extern const struct wire_shape message_route_shape;

/* scheduler -> node, berth.v1.node.<node>.cmd */
struct message_command {
    char id[LIMIT_ID_BYTES];
    struct epoch epoch;
    char
        boot_id[BOOT_ID_BYTES]; /* the receiver's, or "" when not known: then not_after is unused */
    int64_t not_after_us;       /* on the receiver's CLOCK_BOOTTIME; 0: none */
    int verb;                   /* enum node_verb */
    char instance[LIMIT_ID_BYTES];
    struct message_spec spec;          /* STAGE and START */
    char subject[LIMIT_SUBJECT_BYTES]; /* PROBE; "": through this node's ingress, see `route` */
    int probe_count;
    int64_t timeout_us; /* PROBE: of one request; DRAIN: the deadline */
    const char *handed; /* RESUME: the state that the owner before gave; NULL or "": none */
    int round;          /* SNAPSHOT, RESTORE: from 1; DRAIN of a stateful one: the last */
    int64_t checkpoint; /* SNAPSHOT, RESTORE: of a checkpoint by that number, not for a handoff; 0:
                         * for one. FORGET: not 0: the workload is gone, its checkpoints go too */
    struct message_object object; /* RESTORE */
    struct message_route route;   /* ROUTE; PROBE through the ingress: host, path, probe */
    int64_t hello_us; /* ROUTE: `boot_us` of the last hello that its sender knows of this node: an
                       * agent that was started since is not meant; 0: not told */
};
extern const struct wire_shape message_command_shape;

/* node -> scheduler, the answer to a command: taken or refused; results come as reports. */
struct message_answer {
    char id[LIMIT_ID_BYTES];
    char node[LIMIT_NAME_BYTES];
    int code; /* 0 taken (also when it had been taken before), or an enum error_code */
    char text[LIMIT_TEXT_BYTES];
    struct epoch epoch;          /* the highest the node has taken for that instance */
    char boot_id[BOOT_ID_BYTES]; /* the node's, and its CLOCK_BOOTTIME; "": not told */
    int64_t boot_us;
};
extern const struct wire_shape message_answer_shape;

/* One instance as its node sees it. */
struct message_instance {
    char instance[LIMIT_ID_BYTES];
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    int state; /* enum instance_state */
    struct epoch epoch;
    int restarts;
    int exit_code;  /* of the last end: 0..255, 128 + signal, or -1 */
    int error_code; /* why FAILED: an enum error_code, or 0 */
    char detail[LIMIT_TEXT_BYTES];
    char endpoint[LIMIT_NAME_BYTES]; /* "address:port" of an http one; "": none */
    int round;                       /* last exported or imported */
    int64_t checkpoint;          /* the number of the one made last in this agent's life; 0: none */
    struct message_object saved; /* ... and what it is */
    int doing;                   /* the round that is being exported or imported; 0: none */
    struct message_object object; /* what that round exported; digest "": nothing */
    const char *handed;           /* HELD after a freeze: the owner's own few bytes of state, as
                                   * text without blanks; NULL or "": none */
};
extern const struct wire_shape message_instance_shape;

/* node -> scheduler, .report: an instance changed (kind "instance") or a probe ended ("probe"). */
struct message_report {
    char node[LIMIT_NAME_BYTES];
    char boot_id[BOOT_ID_BYTES];
    uint64_t seq; /* grows by one per report of this agent's life; a beat says the last one */
    int64_t boot_us;
    struct message_instance instance;
};
extern const struct wire_shape message_report_shape;

/* node -> scheduler, .report: the end of a PROBE. */
struct message_probed {
    char node[LIMIT_NAME_BYTES];
    char id[LIMIT_ID_BYTES]; /* the command's */
    char instance[LIMIT_ID_BYTES];
    int sent;
    int answered;   /* with the right identity */
    int unproven;   /* of those: only the ingress's word says whose the answer was */
    int64_t rtt_us; /* the slowest of the answered; 0 when none */
    char text[LIMIT_TEXT_BYTES];
};
extern const struct wire_shape message_probed_shape;

/* node -> scheduler, .hello: at start, after every reconnect, and when the scheduler asks (a beat
 * answered by "who are you?"). The scheduler's answer is a message_answer. */
struct message_hello {
    char node[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char boot_id[BOOT_ID_BYTES];
    char arch[LIMIT_NAME_BYTES]; /* ELF machine: "x86_64", "aarch64" */
    char version[LIMIT_NAME_BYTES];
    char drivers[LIMIT_TEXT_BYTES]; /* separated by commas */
    char ingress[LIMIT_TEXT_BYTES]; /* where its ingress listens, "http://address:port"; "": none */
    int64_t boot_us;                /* now, there */
    int64_t mcpu;                   /* offered to workloads */
    int64_t memory_bytes;
    struct epoch epoch; /* the highest the node ever took */
    uint64_t seq;
    struct message_tag *tags;
    int tag_count;
    struct message_instance *instances;
    int instance_count;
};
extern const struct wire_shape message_hello_shape;

/* node -> scheduler, .beat, every second; never journaled. A node that has owners sends it as a
 * request: an answer (message_answer, id "beat", code 0) renews their leases from the instant at
 * which the beat was sent. */
struct message_beat {
    char node[LIMIT_NAME_BYTES];
    char boot_id[BOOT_ID_BYTES];
    int64_t boot_us;
    uint64_t seq; /* of the last report */
    int instance_count;
    uint64_t refused; /* messages to this agent that did not prove to be the scheduler's, or new */
};
extern const struct wire_shape message_beat_shape;

enum sample_kind {
    SAMPLE_CPU_NS,         /* counter: CPU time of the instance's cgroup */
    SAMPLE_MEMORY_BYTES,   /* gauge */
    SAMPLE_REQUESTS,       /* counter */
    SAMPLE_ERRORS,         /* counter */
    SAMPLE_HITS,           /* counter */
    SAMPLE_MISSES,         /* counter */
    SAMPLE_BYTES_IN,       /* counter: request bytes */
    SAMPLE_BYTES_OUT,      /* counter: response bytes */
    SAMPLE_LATENCY_US_SUM, /* counter: request latency, summed; over REQUESTS it is the mean */
    SAMPLE_RTT_US,         /* gauge: round trip from this node to `peer` (a node or "hub") */
    SAMPLE_LATENCY_US,     /* of single requests: only as a sketch, never as a sample */
    SAMPLE_COUNT
};
extern const char *const sample_kind_words[];

/* One reading. `life` changes when a counter's process was restarted, so a reset is seen. Texts are
 * in the arena that it was decoded into, NULL or "" when there is none; their limits are those of
 * names (instance: of ids; site and peer: of references). */
struct message_sample {
    int kind; /* enum sample_kind */
    const char *namespace_;
    const char *app;
    const char *workload;
    const char *instance;
    const char *segment; /* the part of the users that it is about; "": not told, all of them */
    const char *peer;    /* RTT: a node, "hub", or (from a probe) a site */
    const char *site;    /* believed only from a probe: a node's own site is what its hello said */
    uint64_t life;
    int64_t value;
};
extern const struct wire_shape message_sample_shape;

/* How single values (of one unit, whole numbers) were distributed since the batch before: a base-2
 * exponential histogram as in OpenTelemetry, positive range only. counts[i] is of the values in
 * (base^(offset + i), base^(offset + i + 1)] with base = 2^(2^-scale); metrics/sketch.h makes and
 * reads it. A difference, not a total: so a lost batch loses its values and nothing else. */
struct message_sketch {
    int kind; /* enum sample_kind: LATENCY_US or RTT_US */
    const char *namespace_;
    const char *app;
    const char *workload;
    const char *instance;
    const char *segment;
    const char *peer;
    const char *site;
    int scale;
    int offset; /* the index of counts[0]; may be negative */
    int64_t zero_count;
    int64_t count; /* all of them: zero_count and every one of counts */
    int64_t sum;
    int64_t *counts;
    int count_count;
};
extern const struct wire_shape message_sketch_shape;

/* Samples of a batch that follow one another and are of one instance and life: what `of` says, but
 * for kind and value, which are of the first. */
struct message_run {
    struct message_sample of;
    int first; /* of message_batch.kinds and .values */
    int count;
};

/* node -> scheduler, berth.v1.metrics.<node>, every second or as configured; probe -> scheduler,
 * berth.v1.probe.<probe>.metrics. */
struct message_batch {
    char node[LIMIT_NAME_BYTES]; /* or the probe's name */
    char site[LIMIT_REF_BYTES];
    char boot_id[BOOT_ID_BYTES];
    char source[LIMIT_TEXT_BYTES]; /* what it was read from, for people: "scrape http://..."; "" */
    int64_t boot_us;
    uint64_t seq;
    struct message_sample *samples;
    int sample_count;
    struct message_sketch *sketches;
    int sketch_count;
    bool ingress; /* what the node's ingress counted of the servers behind it, wherever they run */
    /* Samples by runs, as message_batch_decode gives those of a packed batch; not on the wire. */
    struct message_run *runs;
    int run_count;
    uint8_t *kinds;
    int64_t *values;
};
extern const struct wire_shape message_batch_shape;

/* As wire_decode, for who takes thousands of batches a second: the samples of a packed one come as
 * runs, a tenth of the memory and none of the repetition; `samples` is empty then. */
int message_batch_decode(const char *text, size_t bytes, struct arena *arena,
                         struct message_batch *ret_batch, struct error *err) WARN_UNUSED;

/* scheduler -> the events stream, berth.v1.event.<ns>.<app>.<workload>: for people and tools. */
struct message_event {
    uint64_t seq;                /* the journal record it came from */
    int64_t wall_us;             /* scheduler time */
    char name[LIMIT_NAME_BYTES]; /* "handoff.step", "plan.made", "app.applied", ... */
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char handoff[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    char node[LIMIT_NAME_BYTES];
    char state[LIMIT_NAME_BYTES]; /* of the handoff, the node or the instance */
    char text[LIMIT_TEXT_BYTES];  /* one sentence */
};
extern const struct wire_shape message_event_shape;

/* Control: a request on berth.v1.ctl.<verb>; which fields count depends on the verb. */
struct message_request {
    char id[LIMIT_ID_BYTES]; /* the client's, for idempotence: the same id gets the same answer */
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char kind[LIMIT_NAME_BYTES]; /* get: "apps", "nodes", "sites", "handoffs", "instances", ... */
    char key[LIMIT_NAME_BYTES];  /* retag */
    char value[LIMIT_NAME_BYTES];
    const char *document;   /* apply, plan: the document's text */
    uint64_t version;       /* apply of a plan: the state it was made from; 0: any */
    uint64_t since;         /* events; an offset for certificate */
    bool certificate;       /* plan: keep the certificate, which is asked for afterwards */
    uint64_t time_limit_us; /* plan: after which the best so far is the answer; 0: the policy's */
    uint64_t memory_limit_bytes; /* plan: of the solve; 0: what the solver may take */
    uint64_t gap_ppm;            /* plan: good enough to stop at; 0: the policy's */
};
extern const struct wire_shape message_request_shape;

/* The answer to every control request. `body` is a JSON text whose form the verb defines. */
struct message_reply {
    char id[LIMIT_ID_BYTES];
    int code;         /* 0 or an enum error_code */
    const char *text; /* for people, when code != 0 */
    uint64_t version; /* of the state it was computed from or led to */
    const char *body;
};
extern const struct wire_shape message_reply_shape;

/* Every shape above, for tools and tests that walk all messages. */
extern const struct wire_shape *const message_shapes[];
extern const int message_shape_count;
