/*
 * node_core: the node agent's behaviour as one deterministic state machine.
 *
 *     node_step(node, event, effects)
 *
 * No clock, socket, file, process or random source: instants (CLOCK_BOOTTIME) come in with events,
 * actions go out as effects, in order: an effect NODE_FX_PERSIST must be on disk before any later
 * effect of the same step leaves. The shell (executors/node/) carries effects out and feeds back
 * what happened; tests/fault drives the same code with simulated disks and processes.
 *
 * Rules: a command with an epoch below the highest taken for its instance, or with a term below the
 * highest ever taken on this node, is refused (DENIED); one past its not_after is refused (STALE);
 * a repeated id gets its first answer again; a STOP of an unknown instance leaves a tombstone with
 * its epoch, so that a late START of it is refused. Every command is answered; every change of an
 * instance's state is reported once, with a sequence number.
 *
 * Owners (spec.handoff EXCLUSIVE, STATEFUL): ready, they are HELD, and serve when a RESUME makes
 * them the owner by its epoch. An owner with a lease is told to freeze when three quarters of it
 * have passed since the last answered beat was sent; the shim, which knows the end of the lease,
 * kills what has not said "frozen" by then, whether an agent lives or not. An owner's process that
 * ends is started again and made the owner again, by the same epoch, while the lease holds. A grant
 * that has not been used by its RESUME's not_after (it waits for a lease, or its process is not
 * ready) is none: the scheduler may make somebody else the owner from then on.
 *
 * Sizes: at most LIMIT_NODE_INSTANCES instances (tombstones included, the oldest dropped first).
 * Tables are allocated at node_create; specs live in an arena per instance. One thread.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/wire/messages.h"

/* What is kept on disk of one instance. */
struct node_record {
    char instance[LIMIT_ID_BYTES];
    struct epoch epoch; /* highest taken for it */
    char last_command[LIMIT_ID_BYTES];
    int last_code; /* answer given to it */
    int state;     /* enum instance_state */
    int want;      /* enum node_want */
    int restarts;
    int exit_code;
    int error_code;
    char detail[LIMIT_TEXT_BYTES];
    struct message_spec spec; /* empty for a tombstone */
    struct epoch owner;       /* the epoch by which it owns, or is to own; {0, 0}: it does not */
    int64_t own_by_us;  /* that epoch was not used yet, and is not to be after this instant (of
                         * CLOCK_BOOTTIME); 0: it is in use, or has no end */
    bool granted;       /* it has owned: what it has is its own, not only what it was given */
    const char *handed; /* the owner's: what it was given. Frozen: what it gave. NULL: none */
    int asked;          /* DRAINING: the round that the freeze is to write; 0: none */
    int round;          /* last exported or imported */
    struct message_object object;    /* what that round exported */
    char endpoint[LIMIT_NAME_BYTES]; /* "address:port" of an http one, once it was started */
};
extern const struct wire_shape node_record_shape;

enum node_want { NODE_WANT_STAGED, NODE_WANT_SERVE, NODE_WANT_HELD, NODE_WANT_GONE };
extern const char *const node_want_words[];

enum node_event_kind {
    NODE_EV_STARTED,     /* first: this boot's id, the highest epoch on disk, the records */
    NODE_EV_ADOPTED,     /* after STARTED and before any other event, once per record with a shim:
                            what it says. A record of which nobody spoke has no process. */
    NODE_EV_CONNECTED,   /* the bus is (again) there: say hello */
    NODE_EV_HELLO_ASKED, /* the scheduler wants a hello */
    NODE_EV_COMMAND,
    NODE_EV_FETCHED, /* result of NODE_FX_FETCH */
    NODE_EV_SPAWNED, /* result of NODE_FX_SPAWN */
    NODE_EV_SAID,    /* the workload spoke on its socket */
    NODE_EV_JUDGED,  /* result of NODE_FX_JUDGE */
    NODE_EV_EXITED,  /* the main process ended */
    NODE_EV_CLEARED, /* result of NODE_FX_CLEAR: no process, no cgroup left */
    NODE_EV_PROBED,  /* result of NODE_FX_PROBE */
    NODE_EV_TICK,
    NODE_EV_SHIPPED, /* result of NODE_FX_SHIP */
    NODE_EV_GOT,     /* result of NODE_FX_GET */
    NODE_EV_RENEWED, /* a beat was answered: leases count from the instant at which it was sent */
    NODE_EV_ROUTED,  /* result of NODE_FX_ROUTE */
};

/* FAILED is about what was asked last: freeze, own, snapshot, restore. */
enum workload_word {
    SAID_READY,
    SAID_DRAINED,
    SAID_RESUMED,
    SAID_STOPPING,
    SAID_FROZEN, /* `said_text`: what it hands over */
    SAID_OWNED,
    SAID_SNAPSHOTTED, /* `round` */
    SAID_RESTORED,    /* `round` */
    SAID_FAILED,      /* `said_text`: why */
};

struct node_event {
    enum node_event_kind kind;
    struct boot at;
    char instance[LIMIT_ID_BYTES];
    union {
        struct {
            char boot_id[BOOT_ID_BYTES];
            struct epoch epoch;
            const struct node_record *records;
            int record_count;
        } started;
        struct {
            bool running;  /* false: ended while the agent was away */
            int exit_code; /* when not running */
            bool said_ready;
            bool said_drained; /* the last word, remembered by the shim; what else stands (frozen,
                                * restored ...) follows as NODE_EV_SAID */
            int64_t lease_us;  /* until when the shim lets it own, on CLOCK_BOOTTIME; 0: no end */
        } adopted;
        struct message_command command; /* arrays are copied */
        struct {
            int code; /* 0 or an enum error_code */
            char text[LIMIT_TEXT_BYTES];
        } result; /* FETCHED, SPAWNED, CLEARED, GOT */
        struct {
            int code;
            char text[LIMIT_TEXT_BYTES];
            struct message_object object; /* when code is 0 */
        } shipped;
        struct {
            int64_t sent_us; /* on this node's CLOCK_BOOTTIME */
        } renewed;
        struct {
            char id[LIMIT_ID_BYTES]; /* of the command */
            int code;
            char text[LIMIT_TEXT_BYTES];
        } routed;
        enum workload_word said;
        bool judged_ready;
        int exit_code;
        struct message_probed probed;
    };
    char text[LIMIT_TEXT_BYTES]; /* JUDGED: what the probe said; kept for a start that times out */
    bool live;                   /* JUDGED: the verdict is of spec.live's probe */
    int round;                   /* SAID: of a snapshot or restore */
    const char *said_text;       /* SAID: FROZEN, FAILED; copied; NULL: none */
    uint64_t ticket;             /* SHIPPED, GOT: the effect's */
    char
        endpoint[LIMIT_NAME_BYTES]; /* SPAWNED, ADOPTED: where an http one is to listen; "": none */
};

#define NODE_KEPT_SLOTS      3 /* checkpoints of a replica, by their number modulo this */
#define NODE_KEPT_NAME_BYTES (3 * LIMIT_NAME_BYTES + 32)

enum node_effect_kind {
    NODE_FX_PERSIST, /* write `record` durably, before later effects */
    NODE_FX_ERASE,   /* forget the record and the instance's folder */
    NODE_FX_ANSWER,  /* to the command */
    NODE_FX_REPORT,
    NODE_FX_HELLO,  /* with every instance */
    NODE_FX_FETCH,  /* fetch and verify the artifact: digest, then ELF machine */
    NODE_FX_SPAWN,  /* start a shim with the workload in its own cgroup */
    NODE_FX_SAY,    /* to the workload, by contract: see enum node_say */
    NODE_FX_TERM,   /* SIGTERM to the main process */
    NODE_FX_CLEAR,  /* kill the whole cgroup, wait until empty, remove it */
    NODE_FX_JUDGE,  /* one probe of the spec, `live` says which; answers with NODE_EV_JUDGED */
    NODE_FX_PROBE,  /* requests to `subject`, or through this node's ingress, expecting the identity
                     */
    NODE_FX_PROBED, /* publish the outcome of a probe */
    NODE_FX_SHIP,   /* put the file into the object store: NODE_EV_SHIPPED */
    NODE_FX_GET,    /* fetch the object into the file, verified: NODE_EV_GOT */
    NODE_FX_DROP,   /* remove the file: it is not needed any more */
    NODE_FX_LEASE,  /* to the shim: what owns and has not said frozen by then is killed */
    NODE_FX_ROUTE,  /* to this node's ingress: NODE_EV_ROUTED once traffic follows it */
    NODE_FX_BEAT,   /* one now, to be answered: somebody waits for a lease, or is about to */
};

enum node_say {
    SAY_DRAIN,    /* deadline */
    SAY_RESUME,   /* of an OVERLAP copy */
    SAY_STOP,     /* deadline */
    SAY_FREEZE,   /* deadline, path ("": nothing to write) */
    SAY_OWN,      /* epoch, handed */
    SAY_SNAPSHOT, /* round, path */
    SAY_RESTORE,  /* round, path */
};

struct node_effect {
    enum node_effect_kind kind;
    char instance[LIMIT_ID_BYTES];
    union {
        struct node_record record; /* arrays point into the node: valid until its next step */
        struct message_answer answer;
        struct message_report report;
        struct message_hello hello;      /* node, site, tags, capacity are filled in by the shell */
        const struct message_spec *spec; /* FETCH, SPAWN, JUDGE */
        struct {
            enum node_say what;
            int64_t deadline_us; /* on this node's CLOCK_BOOTTIME */
            struct epoch epoch;
            const char *handed; /* valid until the node's next step; NULL: none */
            int round;
            char path[LIMIT_NAME_BYTES]; /* relative to the instance's folder */
        } say;
        struct {
            char path[LIMIT_NAME_BYTES]; /* SHIP, GET, DROP */
            uint64_t ticket;             /* comes back with the result */
            int round;
            struct message_object object;    /* GET */
            char kept[NODE_KEPT_NAME_BYTES]; /* SHIP, GET: its name as a checkpoint; "": it is of a
                                              * handoff. ERASE: that of all checkpoints, less the
                                              * number, when they go as well */
        } file;
        struct {
            int64_t until_us; /* on this node's CLOCK_BOOTTIME; 0: no end */
        } lease;
        struct {
            char id[LIMIT_ID_BYTES];    /* of the command */
            struct message_route route; /* its servers are valid until the node's next step */
        } route;
        struct {
            char id[LIMIT_ID_BYTES];
            char subject[LIMIT_SUBJECT_BYTES]; /* "": through the ingress, by `route` */
            int count;
            int64_t timeout_us;
            struct message_route route; /* host, path, probe; no servers */
        } probe;
        struct message_probed probed;
    };
    bool live;        /* JUDGE: by spec->live, else by spec->ready */
    bool folder_only; /* ERASE: the record is a tombstone already, and stays */
};

struct node_effects {
    struct node_effect *list;
    int count;
    int capacity;
};
int node_effects_create(int capacity, struct node_effects **ret_effects) WARN_UNUSED;
void node_effects_destroy(struct node_effects *effects);

struct node;
int node_create(const char *name, struct node **ret_node, struct error *err) WARN_UNUSED;
void node_destroy(struct node *node);
void node_step(struct node *node, const struct node_event *event, struct node_effects *effects);
struct boot node_deadline(const struct node *node); /* INT64_MAX: never */
uint64_t node_hash(const struct node *node);
struct epoch node_epoch(const struct node *node); /* the highest ever taken */
/* Something here owns by a lease, or may be made to: beats are to be answered. */
bool node_wants_answers(const struct node *node);

/* Read-only: the records, for `berth-node --status`, the shell and tests. */
int node_record_count(const struct node *node);
const struct node_record *node_record_at(const struct node *node, int index);
