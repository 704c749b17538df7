/*
 * node_state: the inside of the node machine, shared by its sources (node_core.c, commands.c,
 * routes.c, instances.c, owners.c, health.c, record.c) and by nobody else.
 *
 * How a step works: an event changes an instance through the functions of instances.c, which only
 * alter its record and collect what is to be done in `work`. instance_flush then emits, always in
 * this order: PERSIST (if the record changed), the answer (if a command is being taken), the report
 * (if the state changed), the actions. So nothing leaves before the disk knows why.
 *
 * Facts that live only in memory (alive, clearing, ...) are rebuilt from the records and from what
 * the shims say after a restart; until then an instance is `unsure`.
 */
#pragma once

#include "executors/node/core/node_core.h"

#define NODE_NEVER          INT64_MAX
#define NODE_START_US       (30 * US_PER_S)   /* when the spec gives no start_timeout */
#define NODE_DRAIN_US       (30 * US_PER_S)   /* when neither command nor spec gives one */
#define NODE_STOP_US        (10 * US_PER_S)   /* when the spec gives no stop_timeout */
#define NODE_JUDGE_US       (200 * US_PER_MS) /* between readiness probes, when not given */
#define NODE_BACKOFF_US     (500 * US_PER_MS) /* first back-off, when not given */
#define NODE_BACKOFF_MAX_US (60 * US_PER_S)
#define NODE_HEALTH_US      (1 * US_PER_S)    /* between probes of what is ready, when not given */
#define NODE_LIVE_FAILURES  3                 /* in a row, when not given */
#define NODE_WINDOW_US      (600 * US_PER_S)  /* in which restarts_max counts */
#define NODE_CLEAR_RETRY_US (1 * US_PER_S)    /* a cgroup that would not empty is tried again */
#define NODE_HELLO_GAP_US   (500 * US_PER_MS) /* between two that nobody asked for */
#define NODE_ANSWERS        128 /* answers remembered in memory, so that a repeat gets its first */
#define NODE_PROBES         64  /* probes under way at once */
#define NODE_ARENA_BYTES    ((size_t)512 << 10) /* a spec with every argument at its longest */
#define NODE_EFFECTS_SPARE  10                  /* effects one instance can cause in one step */

/* What is to be done for an instance at the end of the step. */
enum node_todo {
    WORK_PERSIST = 1 << 0,
    WORK_REPORT = 1 << 1,
    WORK_FETCH = 1 << 2,
    WORK_SPAWN = 1 << 3,
    WORK_SAY = 1 << 4,
    WORK_TERM = 1 << 5,
    WORK_CLEAR = 1 << 6,
    WORK_JUDGE = 1 << 7,
    WORK_JUDGE_LIVE = 1 << 8,
    WORK_LEASE = 1 << 9,
    WORK_SHIP = 1 << 10,
    WORK_GET = 1 << 11,
    WORK_DROP = 1 << 12,
    WORK_BEAT = 1 << 13,
    WORK_TELL = 1 << 14, /* its REPORT is true whatever becomes of the record: it goes first */
};

/* What a stateful copy, or the node for it, is doing with its state. One at a time: what is asked
 * later replaces it. */
enum node_task { TASK_NONE, TASK_SNAPSHOT, TASK_RESTORE, TASK_FREEZE };

/* How far an owner-to-be is. */
enum node_grant {
    GRANT_NONE,
    GRANT_WAITS, /* for a lease: nobody has answered a beat of late */
    GRANT_SAID,  /* it was told to own, and has not said that it does */
};

struct node_instance {
    bool used;
    struct node_record record;
    struct arena arena; /* the spec's arrays */
    uint64_t order;     /* of the last change: the smallest is the oldest */
    unsigned work;
    enum node_say say;
    bool unsure;      /* after a restart: nobody has said yet whether its process lives */
    bool fetching;    /* a FETCH is out */
    bool fetch_stale; /* ... for an earlier life: its result does not count */
    bool spawning;    /* a SPAWN is out */
    bool alive;       /* a process may exist: from SPAWN to CLEARED */
    bool ended;       /* the main process is gone, what it left may not be */
    bool clearing;    /* a CLEAR is out */
    bool judging;     /* a JUDGE is out */
    bool judge_stale; /* ... about an earlier process: its verdict does not count */
    bool served;      /* was ready in this agent's life */
    int64_t drain_us; /* asked for by the last DRAIN */
    char *handed;     /* record.handed points to it; NULL: none */
    enum node_grant grant;
    bool may_own;    /* its process was told to own, perhaps by an earlier agent, and not frozen */
    bool owning;     /* told to own, and has not answered: a "frozen" before it is of before */
    bool lease_over; /* it is being frozen since the lease ends */
    int64_t lease_until; /* NODE_NEVER: none known, or none needed */
    int64_t freeze_at;   /* three quarters of it */
    enum node_task task;
    int task_round;
    struct message_object task_object; /* RESTORE */
    int64_t task_checkpoint;           /* it is this one; 0: of a handoff */
    int64_t saved_number;              /* the last that was made; 0: none */
    struct message_object saved;
    int exporting;   /* SNAPSHOTs that it was told and has not answered: the last answer counts */
    uint64_t ticket; /* of the SHIP or GET that is out; 0: none */
    int task_code;   /* why the last one failed; 0 */
    char drop[LIMIT_NAME_BYTES]; /* the file of WORK_DROP */
    int ready_misses;            /* in a row, while it is ready */
    int live_misses;
    int64_t live_at; /* the next probe of spec.live */
    bool judging_live;
    bool live_stale;  /* that JUDGE was about an earlier process */
    bool killed_dead; /* by a liveness probe: its end is told as that */
    int64_t state_by; /* the state's own deadline: to be ready, drained, resumed, gone */
    int64_t act_at;   /* next judgement, readiness by age, or next start */
    int64_t clear_at; /* a failed CLEAR is tried again */
    int64_t window_from;
    int window_ends;
    int64_t backoff_us;          /* of the next start */
    char said[LIMIT_TEXT_BYTES]; /* by the last readiness probe */
};

struct node_memory {
    char id[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    int code;
    struct epoch epoch;
    char text[LIMIT_TEXT_BYTES];
};

/* The newest route of a workload that this node's ingress was told of. */
struct node_route {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    struct epoch epoch;
    char id[LIMIT_ID_BYTES]; /* of the command */
    bool pending;            /* no result yet */
    bool done;               /* applied */
    bool gone;               /* its end was: kept for its epoch */
};

struct node {
    char name[LIMIT_NAME_BYTES];
    char boot_id[BOOT_ID_BYTES];
    struct epoch epoch; /* highest ever taken */
    uint64_t seq;       /* of the last report */
    uint64_t order;
    struct node_instance *instances; /* LIMIT_NODE_INSTANCES */
    struct message_instance *hello;  /* scratch for NODE_FX_HELLO */
    struct node_memory *answers;     /* ring of NODE_ANSWERS */
    uint64_t answer_count;
    char probes[NODE_PROBES][LIMIT_ID_BYTES]; /* "" is free */
    struct node_route *routes;                /* LIMIT_ROUTES, made for the first; NULL: none */
    int route_count;
    int64_t started_us;       /* this agent was */
    int64_t hello_us;         /* it said hello */
    uint64_t ticket;          /* the last given out */
    int64_t renewed_us;       /* when the last beat was sent that was answered; 0 */
    struct node_effects *out; /* of the step under way */
    int64_t now;
};

/* ---- node_core.c -------------------------------------------------------------------------------
 */
struct node_effect *node_emit(struct node *node, enum node_effect_kind kind, const char *instance);
struct node_instance *node_find(struct node *node, const char *instance);
/* A free place for an instance; drops the oldest tombstone when all are taken; NULL: none. */
struct node_instance *node_place(struct node *node, const char *instance);
void node_drop(struct node *node, struct node_instance *instance);
void node_say_hello(struct node *node);
bool node_has_room(const struct node *node, int effects);

/* ---- commands.c --------------------------------------------------------------------------------
 */
void command_take(struct node *node, const struct message_command *command);
/* Not below the node's term, nor past its not_after; false: `verdict` says why. */
bool command_is_current(struct node *node, const struct message_command *command,
                        struct error *verdict);
void command_answer(const struct node *node, const struct node_instance *instance,
                    const struct message_command *command, const struct error *verdict,
                    struct message_answer *ret_answer);

/* What was answered to the instance's commands so far is no answer to a repetition. */
void command_forget(struct node *node, struct node_instance *instance);

/* ---- routes.c ----------------------------------------------------------------------------------
 */
void route_take(struct node *node, const struct message_command *command);
void route_done(struct node *node, const char *id, int code, const char *text);

/* ---- instances.c -------------------------------------------------------------------------------
 */
void instance_init(struct node_instance *instance, const char *id);
/* Copies the spec into the instance's own memory. ERR_NO_MEMORY leaves it as it was. */
int instance_set_spec(struct node_instance *instance, const struct message_spec *spec) WARN_UNUSED;
bool instance_is_over(const struct node_instance *instance); /* ABSENT, STOPPED or FAILED */

void instance_stage(struct node *node, struct node_instance *instance);
void instance_start(struct node *node, struct node_instance *instance);
void instance_drain(struct node *node, struct node_instance *instance);
void instance_resume(struct node *node, struct node_instance *instance);
void instance_stop(struct node *node, struct node_instance *instance);

void instance_fetched(struct node *node, struct node_instance *instance, int code,
                      const char *text);
void instance_spawned(struct node *node, struct node_instance *instance, int code,
                      const char *text);
void instance_said(struct node *node, struct node_instance *instance, enum workload_word word);
void instance_exited(struct node *node, struct node_instance *instance, int exit_code);
void instance_cleared(struct node *node, struct node_instance *instance, int code,
                      const char *text);
void instance_tick(struct node *node, struct node_instance *instance);
/* After a restart of the agent: its shim answers, or (running false, exit_code -1) nobody does. */
void instance_adopted(struct node *node, struct node_instance *instance, bool running,
                      int exit_code, bool said_ready, bool said_drained, int64_t lease_us);

void instance_describe(const struct node_instance *instance, struct message_instance *ret_message);

/* It is ready: serves, or as an owner-to-be is held, or is made the owner again. */
void instance_came_up(struct node *node, struct node_instance *instance);

/* ---- instances.c, for owners.c and health.c ----------------------------------------------------
 */
void instance_set_state(struct node_instance *instance, enum instance_state state);
void instance_set_detail(struct node_instance *instance, const char *text);
void instance_say(struct node_instance *instance, enum node_say what);
void instance_begin_spawn(struct node *node, struct node_instance *instance);
void instance_begin_clear(struct node_instance *instance);
void instance_become_ready(struct node *node, struct node_instance *instance);
/* Its process has ended, or is being killed. */
bool instance_is_ending(const struct node_instance *instance);
int64_t node_or_default(int64_t us, int64_t default_us);
int64_t node_after(int64_t now, int64_t us);

/* ---- owners.c ----------------------------------------------------------------------------------
 */
bool owner_is(const struct node_instance *instance); /* of a class that owns */
void owner_reset(struct node_instance *instance);    /* a new life of the instance begins */
int owner_set_handed(struct node_instance *instance, const char *handed) WARN_UNUSED;
void owner_came_up(struct node *node, struct node_instance *instance);
void owner_resume(struct node *node, struct node_instance *instance,
                  const struct message_command *command);
/* It has owned since it last gave up: what it has is later than what anybody hands it. */
bool owner_serves(const struct node_instance *instance);
bool owner_awaited(const struct node_instance *instance); /* a grant that is not used yet */
void owner_drain(struct node *node, struct node_instance *instance, int round);
/* SNAPSHOT and RESTORE; a verdict that is not 0 says why not. */
void owner_task(struct node *node, struct node_instance *instance,
                const struct message_command *command, struct error *verdict);
/* Taken by the agent before, and ended with it: a SNAPSHOT that is lost, since a second one would
 * begin where the first ended; a RESTORE that is carried out once more. */
bool owner_export_is_lost(const struct node_instance *instance,
                          const struct message_command *command);
bool owner_imports_again(const struct node_instance *instance,
                         const struct message_command *command);
void owner_said(struct node *node, struct node_instance *instance, enum workload_word word,
                int round, const char *text);
void owner_shipped(struct node *node, struct node_instance *instance, uint64_t ticket, int code,
                   const char *text, const struct message_object *object);
void owner_got(struct node *node, struct node_instance *instance, uint64_t ticket, int code,
               const char *text);
void owner_renewed(struct node *node, struct node_instance *instance);
void owner_tick(struct node *node, struct node_instance *instance);
void owner_missed(struct node *node, struct node_instance *instance, int64_t lease_us);
void owner_adopted(struct node *node, struct node_instance *instance, int64_t lease_us);
/* Its process ended, or is about to be started: what it was in the middle of is over. True when
 * its end is the instance's, since nobody has the state that it was given. */
bool owner_ended(struct node_instance *instance);
/* The file of a round: written by the workload, or for it. */
/* The name under which a checkpoint is kept; number 0: what they have in common. */
void owner_kept_name(const struct message_spec *spec, int64_t number,
                     char out[NODE_KEPT_NAME_BYTES]);
void owner_path(bool out, int round, char path[LIMIT_NAME_BYTES]);

/* ---- health.c ----------------------------------------------------------------------------------
 */
void health_begin(struct node *node, struct node_instance *instance);
void health_tick(struct node *node, struct node_instance *instance);
void health_judged(struct node *node, struct node_instance *instance, bool live, bool ready,
                   const char *text);

/* ---- instances.c -------------------------------------------------------------------------------
 */
/* Emits what the step collected. `answer` may be NULL. */
void instance_flush(struct node *node, struct node_instance *instance,
                    const struct message_answer *answer);
