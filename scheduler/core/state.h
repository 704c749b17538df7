/*
 * state: what the core knows, as plain tables. Only core_step writes them; shells read them through
 * core_state. Entries are found by name or id; a free entry has an empty name. Indices are stable
 * within one step only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "base/wire/messages.h"
#include "model/problem.h"
#include "model/types.h"

struct core;

struct instant {
    int64_t us; /* scheduler time, see core.h */
};

struct core_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    bool up;
    char boot_id[BOOT_ID_BYTES];
    int64_t boot_offset_us;   /* its CLOCK_BOOTTIME minus scheduler time, as it was at ... */
    struct instant offset_at; /* ... that instant, from below (instances.c); 0: not known */
    int64_t hello_us;         /* of the last hello taken, on its CLOCK_BOOTTIME */
    struct instant boot_at;   /* this boot first said hello */
    char arch[LIMIT_NAME_BYTES];
    char drivers[LIMIT_TEXT_BYTES];
    int64_t capacity[RESOURCE_COUNT];
    struct epoch epoch;
    struct instant since;           /* up or lost since */
    int site_index;                 /* in the present world; -1: not there */
    char ingress[LIMIT_TEXT_BYTES]; /* where its ingress listens; "": it is none */
    int64_t report_us;              /* of the last hello or report taken, on its CLOCK_BOOTTIME */
    uint64_t report_seq;            /* older ones, by instant and then by sequence, are ignored */
};

/* What the scheduler wants an instance to be. */
enum instance_want { WANT_SERVE, WANT_HELD, WANT_GONE };

struct core_instance {
    char id[LIMIT_ID_BYTES]; /* unique for ever: "<workload>-<replica>-<n in base 36>" */
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    char node[LIMIT_NAME_BYTES];
    uint64_t spec_hash;
    enum instance_want want;
    enum instance_state state; /* as last reported; ABSENT before the first report */
    bool lost;                 /* its node is lost: the state is what was last known */
    struct epoch epoch;
    enum handoff_class class_; /* as it was started; OVERLAP of a foreign one */
    struct epoch owner;        /* the epoch by which it was last made the owner; {0, 0}: never */
    bool frozen;      /* it owned, was told to freeze after that, and has said that it did */
    int64_t lease_us; /* an owner's: without a renewal for so long its node does not let it own */
    struct instant granted; /* not_after of the last RESUME that was sent to make it the owner */
    char endpoint[LIMIT_NAME_BYTES]; /* of an http one, "address:port" */
    int round;                       /* of state, last exported or imported */
    struct message_object object;    /* what that round exported */
    int restarts;
    struct instant since; /* of `state` */
    char detail[LIMIT_TEXT_BYTES];
    int64_t reserve[RESOURCE_COUNT]; /* what it takes of its node */
    char handoff[LIMIT_ID_BYTES];    /* the one it belongs to, or "" */
    int node_index;                  /* nodes are never removed */
};

/* The states of a handoff; scheduler/core/handoff.h says what is true in the world in each. */
#define HANDOFF_STATE_MAP(X)                                                                 \
    X(PLANNED, "planned")                                                                    \
    X(STAGING, "staging")                                                                    \
    X(STARTING, "starting")                                                                  \
    X(READY, "ready")                                                                        \
    X(REACHABLE, "reachable")                                                                \
    X(SHIPPING, "shipping") /* stateful: the old copy exports while it serves, in rounds */  \
    X(FREEZING, "freezing") /* owners: the old copy serves nothing from now on */            \
    X(FENCING, "fencing")   /* the new epoch is written where resources look */              \
    X(GRANTING, "granting") /* the new copy is told that it owns, by that epoch */           \
    X(LINGERING, "lingering")                                                                \
    X(CANARY, "canary") /* a new version has a share of the traffic and is judged by it */   \
    X(DRAINING, "draining")                                                                  \
    X(HELD, "held")                                                                          \
    X(STOPPING, "stopping")                                                                  \
    X(DONE, "done")                                                                          \
    X(RETURNING, "returning") /* going back: the old copy resumes, the new one is stopped */ \
    X(BACK, "back")

enum handoff_state {
#define HANDOFF_STATE_ENUM(name, word) HANDOFF_STATE_##name,
    HANDOFF_STATE_MAP(HANDOFF_STATE_ENUM)
#undef HANDOFF_STATE_ENUM
        HANDOFF_STATE_COUNT
};
extern const char *const handoff_state_words[];

enum handoff_reason {
    REASON_START,  /* nothing ran yet */
    REASON_REMOVE, /* deleted, or fewer replicas */
    REASON_RETAG,  /* the present site no longer has the required tags, or a rule changed */
    REASON_SAVING, /* the plan is cheaper by more than the noise */
    REASON_NODE_LOST,
    REASON_FAILED,  /* the instance was given up by its node */
    REASON_VERSION, /* a new spec */
    REASON_REGRET,  /* a move that did not pay goes back */
    REASON_ASKED,   /* a person chose the site */
    REASON_DRAIN,   /* its node, site or provider is being emptied (cordon.h) */
    REASON_LEASE,   /* an owner whose lease ended owns again, by a new epoch */
};
extern const char *const handoff_reason_words[];

#define CORE_VANTAGES LIMIT_INGRESSES /* places of the traffic's side that probe one handoff */

struct core_vantage {
    char node[LIMIT_NAME_BYTES]; /* "": the scheduler's own connection, at the hub */
    bool new_reached;            /* the new copy answered, with its identity */
    bool unproven;               /* ... or only its ingress said that it was the new copy's */
    bool old_reached;
    int64_t rtt_us; /* the slowest of both, measured */
    int old_tries;  /* probes of the old copy without all their answers */
};

struct core_handoff {
    char id[LIMIT_ID_BYTES];
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    char from[LIMIT_ID_BYTES]; /* instance; "": a first start */
    char to[LIMIT_ID_BYTES];   /* instance; "": a removal */
    char from_site[LIMIT_REF_BYTES];
    char to_site[LIMIT_REF_BYTES];
    char to_node[LIMIT_NAME_BYTES];
    enum handoff_reason reason;
    enum handoff_state state;
    struct instant entered[HANDOFF_STATE_COUNT]; /* 0: never */
    struct instant deadline;                     /* of the present state; INT64_MAX: none */
    struct core_vantage vantages[CORE_VANTAGES];
    int vantage_count;
    bool proven;       /* reachability and drain were proven; false: no contract, or no vantage */
    int64_t linger_us; /* chosen: at least the slowest measured round trip */
    enum handoff_class class_;           /* as it was when it began */
    struct epoch owner;                  /* FENCING on: the epoch of the new owner */
    bool fenced;                         /* ... is where the resources look */
    int round;                           /* SHIPPING: the round under way */
    struct instant round_at;             /* ... which began then */
    int64_t shipped_bytes;               /* in all rounds */
    int64_t first_bytes;                 /* in the first */
    char handed[LIMIT_HANDED_BYTES + 1]; /* the frozen owner's own words */
    struct core_canary {
        uint64_t judge;        /* the CORE_JUDGE under way; 0: none */
        struct instant until;  /* it is judged for that long, at least */
        struct instant asked;  /* the last CORE_JUDGE */
        struct instant judged; /* when that was asked which was answered last */
        int64_t requests;      /* of the new version, by that answer */
        bool worse;            /* by that answer; the handoff's text says in what */
        bool promoted;
    } canary;
    struct instant quiet; /* FREEZING: users' requests wait, and none is on its way; 0: not known */
    uint64_t route; /* the oldest version of its route that holds for its state; 0: not asked yet */
    bool cancelled; /* went back because the plan changed, not because anything failed */
    char text[LIMIT_TEXT_BYTES]; /* why; and why it went back */
};

/* A move that was to save, until its saving has been checked. */
struct core_trial {
    int site; /* where it was; -1: no trial */
    int variant;
    struct instant due;   /* of the check; 0 while the handoff is under way */
    struct instant until; /* then it ends unjudged */
    uint64_t check;       /* the CORE_CHECK under way; 0: none */
    uint64_t plan;        /* the solve and its group: moves of one group are judged as one */
    int group;
    int64_t score_predicted_nusd; /* per month */
    int64_t bill_predicted_nusd;
    int64_t spread_nusd;
};

/* A site that did not pay, or that was left to save: not chosen again to save until what it was
 * judged by has changed. */
#define CORE_VETO_INPUTS 12
struct core_veto {
    int site;       /* -1: none */
    bool regretted; /* it did not pay; else it was left, and inputs near a threshold are noisy */
    struct instant since;
    uint64_t app_version; /* of the app and the world, as they were */
    uint64_t world_version;
    struct core_veto_input {
        enum estimate_kind kind;
        char site[LIMIT_REF_BYTES];
        char users[LIMIT_NAME_BYTES]; /* of their calls; "" else */
        int64_t value;
        int64_t spread; /* one standard error, as it was told */
    } inputs[CORE_VETO_INPUTS];
    int input_count;
};
#define CORE_VETOES 4 /* of one workload; the oldest goes first */

struct core_workload {
    int site;    /* chosen by the last plan; -1 none */
    int variant; /* the same */
    int lead;    /* the workload whose instances serve it; its own index otherwise */
    struct core_trial trial;
    struct core_veto *vetoes; /* [CORE_VETOES]; beside it, since every step looks at workloads */
    struct instant moved;     /* end of the last move; 0 never */
    bool *site_blocked;       /* [site]: no node of it could take a replica; cleared by changes */
    int failures;         /* handoffs that went back, since the last success; back-off of retries */
    struct instant retry; /* not tried again before */
    int ship_late;        /* tries in a row whose state was not shipped in time */
    int64_t ship_us;      /* a round is given so long at least: twice what was too short; 0 */
    enum handoff_reason reason; /* of the last change of `site` */
    uint64_t canary_good;       /* the spec that was judged good: its other replicas just follow */
    uint64_t canary_bad; /* ... and that was taken back: not rolled out before the next apply */
};

struct core_app {
    struct app app;
    uint64_t version;                /* of the input that brought it */
    uint64_t input_version;          /* core_state's, when something of its own last changed */
    bool deleting;                   /* removed when its last instance is gone */
    struct core_workload *workloads; /* parallel to app.workloads */
    void *storage;                   /* the core's own */
};

struct core_command {
    char id[LIMIT_ID_BYTES];
    char node[LIMIT_NAME_BYTES];
    char handoff[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    enum node_verb verb;
    struct epoch epoch;
    struct instant sent;
    struct instant not_after;
    int tries;
    uint64_t route; /* ROUTE: the version that it brings, which also says whose */
    bool answered;  /* taken (or refused for now), but its effect is not seen yet */
    bool taken;     /* by that answer */
};

/* The HTTP route of a workload, as the ingresses are to have it (routes.h). */
struct core_route {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    uint64_t hash; /* of the servers, their modes and weights, and whether it is paused: a change
                    * makes a new version */
    uint64_t version;
    bool gone;  /* the workload is: dropped when every ingress has ended it */
    bool dirty; /* of this step only: its servers may have changed */
    struct core_route_ack {
        char node[LIMIT_NAME_BYTES];
        uint64_t version; /* that it has taken */
    } acks[LIMIT_INGRESSES];
    int ack_count;
};

/* What is kept of a replica's state while it serves (checkpoint.h). */
struct core_checkpoint {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int replica;
    uint64_t number;      /* of the one that was asked for last; 0: none */
    struct instant asked; /* then */
    struct core_saved {
        uint64_t number; /* 0: none */
        struct message_object object;
        struct instant at; /* it was asked for: what was written before is in it */
    } saved[2];            /* the newest first */
    int failures;          /* to restore the newest, in a row */
};
#define CORE_CHECKPOINTS 1024

/* Nothing new is placed there, and what is there moves away (cordon.h). */
enum cordon_kind { CORDON_NODE, CORDON_SITE, CORDON_PROVIDER };
extern const char *const cordon_kind_words[];
struct core_cordon {
    enum cordon_kind kind;
    char name[LIMIT_REF_BYTES];
    struct instant since;
};
#define CORE_CORDONS 64

/* Several moves that a person asked for at once, in order (operation.h). */
#define OPERATION_STATE_MAP(X)                                                          \
    X(RUNNING, "running")                                                               \
    X(DONE, "done")                                                                     \
    X(FAILED, "failed")       /* a step went back: the others under way end, no more */ \
    X(CANCELLED, "cancelled") /* the same, because somebody said so */                  \
    X(ROLLED_BACK, "rolled-back")

enum operation_state {
#define OPERATION_STATE_ENUM(name, word) OPERATION_##name,
    OPERATION_STATE_MAP(OPERATION_STATE_ENUM)
#undef OPERATION_STATE_ENUM
};
extern const char *const operation_state_words[];

enum step_state { STEP_WAITING, STEP_MOVING, STEP_DONE, STEP_BACK, STEP_SKIPPED };
extern const char *const step_state_words[];

struct core_operation_step {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char from_site[LIMIT_REF_BYTES];
    int from_variant;
    char to_site[LIMIT_REF_BYTES];
    int to_variant; /* -1: the present one where it can run there, else the first that can */
    enum step_state state;
    struct instant begun;
    struct instant ended;
};

struct core_operation {
    char id[LIMIT_ID_BYTES];
    char text[LIMIT_TEXT_BYTES]; /* "evacuate gcp" */
    enum operation_state state;
    struct instant begun;
    struct instant ended;
    bool settled; /* no step is under way any more, and none will be */
    enum cordon_kind cordon_kind;
    char cordon[LIMIT_REF_BYTES];      /* that it brought; "": none */
    int at_once;                       /* steps under way at once, also below policy.moves_max */
    struct core_operation_step *steps; /* its own memory */
    int step_count;
    char why[LIMIT_TEXT_BYTES]; /* FAILED: the step and its reason */
};
#define CORE_OPERATIONS 64 /* kept, ended ones too; the oldest ended goes first */

/* What became of a choice that differs from what runs. */
#define CORE_VERDICT_MAP(X)                                                                \
    X(TAKEN, "taken")                                                                      \
    X(DATA, "data")            /* heavy bytes are moved by people: a suggestion */         \
    X(HELD, "held")            /* its app wants no automatic moves */                      \
    X(VETOED, "vetoed")        /* it was there, failed or was left, and nothing changed */ \
    X(NO_SAVING, "no-saving")  /* the group's saving is none, or the whole plan's */       \
    X(SLOW_PAYBACK, "payback") /* its one-off cost is not earned within the horizon */     \
    X(UNSURE, "unsure")        /* less certain than policy.confidence */                   \
    X(QUIET, "quiet")          /* quiet hours: due when they end */                        \
    X(BUDGET, "budget")        /* policy.moves_per_day is used up: due when one comes free */

enum core_verdict {
#define CORE_VERDICT_ENUM(name, word) VERDICT_##name,
    CORE_VERDICT_MAP(CORE_VERDICT_ENUM)
#undef CORE_VERDICT_ENUM
        VERDICT_COUNT
};
extern const char *const core_verdict_words[];

/* Why something was or was not moved; the last CORE_DECISIONS are kept. A refusal that repeats the
 * workload's last decision takes that one's place. */
struct core_decision {
    enum core_verdict verdict;
    struct instant at;
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char from_site[LIMIT_REF_BYTES];
    char to_site[LIMIT_REF_BYTES];
    enum handoff_reason reason;
    int64_t score_before_nusd; /* of the whole plan, per month */
    int64_t score_after_nusd;
    int64_t bill_before_nusd;
    int64_t bill_after_nusd;
    int64_t score_saving_nusd; /* predicted for this move's group, per month; as of the plan */
    int64_t bill_saving_nusd;
    int64_t once_nusd;
    int64_t spread_nusd;
    int64_t confidence_ppm;
    bool checked; /* the realised saving is known */
    struct instant checked_at;
    int64_t score_realised_nusd; /* per month, by the measurements at the check */
    int64_t bill_realised_nusd;
    char text[LIMIT_TEXT_BYTES];
};
#define CORE_DECISIONS  256
#define CORE_MOVES_KEPT 64  /* instants of the last moves that only saved, for the budget */
#define CORE_ENDED      512 /* ended handoffs kept */

struct core_state {
    uint64_t term;
    struct epoch epoch;         /* the last one given out */
    uint64_t version;           /* grows with every accepted change of the desired state */
    uint64_t input_version;     /* grows with everything that a solve depends on */
    uint64_t structure_version; /* input_version, when what every plan rests on last changed: the
                                   world, the apps, nodes, round trips, where things are */
    struct instant now;         /* of the last event */
    const struct world *world;  /* NULL before the first */
    struct core_app *apps;
    int app_count;
    struct core_node *nodes;
    int node_count;
    struct core_instance *instances;
    int instance_count;
    struct core_handoff *handoffs; /* under way */
    int handoff_count;
    struct core_handoff *ended; /* a ring: the oldest at ended_count % CORE_ENDED once full */
    uint64_t ended_count;
    struct core_command *commands;
    int command_count;
    struct core_checkpoint *checkpoints; /* CORE_CHECKPOINTS */
    int checkpoint_count;
    struct core_route *routes; /* LIMIT_ROUTES */
    int route_count;
    struct core_cordon *cordons; /* CORE_CORDONS */
    int cordon_count;
    struct core_operation *operations; /* CORE_OPERATIONS, oldest first */
    int operation_count;
    uint64_t judge; /* id of the last CORE_JUDGE */
    struct estimate *estimates;
    int estimate_count;
    struct core_decision *decisions; /* a ring, as ended */
    uint64_t decision_count;
    struct instant saving_moves[CORE_MOVES_KEPT]; /* a ring, by saving_move_count */
    uint64_t saving_move_count;
    struct instant moves_due; /* what quiet hours or the budget held back is due then; 0: nothing */
    uint64_t world_version;   /* grows with every world */
    uint64_t check;           /* id of the last CORE_CHECK */
    uint64_t solve;           /* id of the last CORE_SOLVE */
    bool solving;
    struct instant changed;           /* of the inputs; 0: nothing new */
    char plan_text[LIMIT_TEXT_BYTES]; /* of the last plan: "optimal", or why there is none */
    enum solve_status plan_status;
    int64_t plan_bound_nusd;
};
