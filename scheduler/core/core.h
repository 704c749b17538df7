/*
 * core: the scheduler's decisions as one deterministic state machine.
 *
 *     core_step(core, event, effects)
 *
 * The core has no clock, socket, file, SQL, thread or random source: instants come in with events,
 * actions go out as effects. The same bytes of events give the same effects and the same
 * core_hash, in production, in the simulator and in the fault harness. The shell's duty: append the
 * event to the journal, durably, before any effect of its step leaves; on restart restore the last
 * image (image.h), replay the journal from there and compare hashes, then feed CORE_STARTED, upon
 * which the core sends again every command that has no answer yet.
 *
 * Time: an instant is scheduler time in microseconds since 1970, made monotone by the shell (it
 * never goes backwards, also across restarts). core_deadline says when to send a CORE_TICK.
 *
 * Memory: tables sized at core_create; each app and the world live in an arena of their own; an
 * event's memory belongs to the caller and is copied. A step that would pass a limit refuses its
 * event with a reply and changes nothing. One thread.
 *
 * What it does: an apply, a lost node, a changed estimate mark the inputs as changed; when they are
 * quiet for policy.settle_us one CORE_SOLVE goes out; its CORE_PLAN is compared with what runs;
 * every difference becomes a handoff (handoff.h), at most policy.moves_max at once; a first start
 * and a removal are handoffs with one side empty. Of a plan for inputs that have changed since,
 * what they do not touch is carried out, and the rest asked again (decide.c).
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "base/wire/messages.h"
#include "model/cost.h"
#include "scheduler/core/state.h"

enum core_event_kind {
    CORE_STARTED, /* a scheduler process took the journal for `started.term` */
    CORE_WORLD,   /* a checked world replaces the present one */
    CORE_APPLY,   /* a checked app (app_check passed against the present world) */
    CORE_DELETE,
    CORE_RETAG,
    CORE_MOVE,      /* a person chose a site */
    CORE_HELLO,     /* a node is there, with all its instances */
    CORE_NODE_LOST, /* silent longer than policy.node_timeout_us (liveness.h decides) */
    CORE_ANSWER,    /* of a node to a command */
    CORE_REPORT,
    CORE_PROBED,        /* from a node, or from the shell's own probe (node "") */
    CORE_ESTIMATES,     /* changed, quantised */
    CORE_PLAN,          /* the solver's answer to CORE_SOLVE */
    CORE_CHECKED,       /* the shell's answer to CORE_CHECK */
    CORE_FENCED,        /* the shell's answer to CORE_FENCE */
    CORE_JUDGED,        /* the shell's answer to CORE_JUDGE */
    CORE_CORDON_SET,    /* a person empties a node, a site or a provider, or opens it again */
    CORE_OPERATE,       /* several moves in order (operation.h) */
    CORE_OPERATION_END, /* cancel it, or roll it back */
    CORE_TICK,
};
extern const char *const core_event_words[];

struct core_plan_choice {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    int variant;
    char lead[LIMIT_NAME_BYTES]; /* the workload whose instances serve it: itself, or of its family
                                  */
    /* Of a choice that differs from what runs, and is not forced (cost_saving.h): */
    int group;                 /* choices of one group only pay together; -1: none */
    int64_t score_saving_nusd; /* of its whole group, per month, without the one-off part */
    int64_t bill_saving_nusd;
    int64_t once_nusd;      /* the group's one-off bill */
    int64_t spread_nusd;    /* one standard error of the score's saving */
    int64_t confidence_ppm; /* that it pays within the horizon */
};

struct core_plan {
    uint64_t solve;   /* the CORE_SOLVE it answers */
    uint64_t version; /* input_version it was computed for */
    enum solve_status status;
    struct core_plan_choice *choices;
    int choice_count;
    int64_t score_stay_nusd; /* of keeping today's placement; INT64_MAX: not possible */
    int64_t score_plan_nusd;
    int64_t bound_nusd;
    int64_t bill_stay_nusd; /* per month */
    int64_t bill_plan_nusd;
    char text[LIMIT_TEXT_BYTES]; /* INFEASIBLE: the conflicting rules; NONE: why */
};

struct core_event {
    enum core_event_kind kind;
    struct instant at;
    char request[LIMIT_ID_BYTES]; /* of the control request behind it, or "" */
    union {
        struct {
            uint64_t term;
        } started;
        const struct world *world;
        struct {
            const struct app *app;
            uint64_t version; /* refuse (STALE) unless it is the present one; 0: any */
        } apply;
        struct {
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES]; /* RETAG */
            char key[LIMIT_NAME_BYTES];      /* RETAG */
            char value[LIMIT_NAME_BYTES];    /* RETAG */
            uint64_t version;                /* as of apply */
        } target;                            /* DELETE, RETAG */
        struct {
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES];
            char site[LIMIT_REF_BYTES];
            uint64_t version; /* as of apply */
        } move;
        struct message_hello hello;
        char node[LIMIT_NAME_BYTES]; /* NODE_LOST */
        struct message_answer answer;
        struct message_report report;
        struct message_probed probed;
        struct {
            const struct estimate *list;
            int count;
        } estimates;
        struct core_plan plan;
        struct {
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES];
            uint64_t check; /* the CORE_CHECK it answers */
            bool known;     /* false: it cannot be told (stale measurements); asked again */
            int64_t score_saving_nusd; /* by present measurements: there minus here, per month */
            int64_t bill_saving_nusd;
            int64_t spread_nusd;
        } checked;
        struct {
            char handoff[LIMIT_ID_BYTES];
            struct epoch owner; /* that was to be written */
            int code; /* 0: it is there; ERR_STALE: `stored` is higher; else unknown: it is
                       * asked again */
            struct epoch stored;
        } fenced;
        struct {
            uint64_t judge;
            char handoff[LIMIT_ID_BYTES];
            struct core_judged_side {
                bool known; /* enough requests were measured */
                int64_t requests;
                int64_t errors_ppm;
                int64_t latency_us; /* mean of one request */
            } from, to;
        } judged;
        struct {
            enum cordon_kind kind;
            char name[LIMIT_REF_BYTES];
            bool on;
            uint64_t version; /* as of apply */
        } cordon;
        struct {
            char text[LIMIT_TEXT_BYTES];
            const struct core_operation_step *steps; /* in order; from_* and state are filled in */
            int step_count;
            int at_once; /* 0: policy.moves_max */
            enum cordon_kind cordon_kind;
            char cordon[LIMIT_REF_BYTES]; /* set with it; "": none */
            uint64_t version;             /* as of apply */
        } operate;                        /* the reply's text is the operation's id */
        struct {
            char id[LIMIT_ID_BYTES];
            bool roll_back; /* the steps done are undone, last first; else nothing more is begun */
        } operation_end;
    };
};

enum core_effect_kind {
    CORE_REPLY,   /* to the control request: accepted, or why not */
    CORE_COMMAND, /* to a node */
    CORE_PROBE,   /* the shell probes from its own connection (the hub's side of the traffic) */
    CORE_SOLVE,   /* build the problem with core_cost_input, solve, answer with CORE_PLAN */
    CORE_PUBLISH, /* to the events stream */
    CORE_CHECK,   /* what a move has saved by present measurements; answer with CORE_CHECKED */
    CORE_FENCE,   /* write the owner's epoch where resources look; answer with CORE_FENCED */
    CORE_JUDGE,   /* both sides of a canary by their measurements; answer with CORE_JUDGED */
};
extern const char *const core_effect_words[];

struct core_effect {
    enum core_effect_kind kind;
    union {
        struct {
            char request[LIMIT_ID_BYTES];
            int code;
            char text[LIMIT_TEXT_BYTES];
            uint64_t version;
        } reply;
        struct {
            char node[LIMIT_NAME_BYTES];
            struct message_command
                message; /* arrays point into the core: valid until its next step */
        } command;
        struct {
            char id[LIMIT_ID_BYTES];
            char instance[LIMIT_ID_BYTES];
            char subject[LIMIT_SUBJECT_BYTES];
            int count;
            int64_t timeout_us;
        } probe;
        struct {
            uint64_t solve;
            uint64_t version;
        } solve;
        struct message_event publish;
        struct {
            uint64_t check;
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES];
            char site[LIMIT_REF_BYTES]; /* where it was */
            int variant;
        } check;
        struct {
            char handoff[LIMIT_ID_BYTES];
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES];
            int replica;
            char instance[LIMIT_ID_BYTES]; /* the new owner */
            struct epoch owner;
            /* It may leave while the event that led to it is still being recorded. The freeze is on
             * record, and the event says that the old owner has frozen: there is nothing of it that
             * the higher epoch could refuse. Should the event be lost, what is on record leads to a
             * higher epoch (a later term), or by the same one to the same copy; or it finds the key
             * higher than it thought, and overtakes it. Nobody is told before the next event. */
            bool at_once;
        } fence;
        struct {
            uint64_t judge;
            char handoff[LIMIT_ID_BYTES];
            char namespace_[LIMIT_NAME_BYTES];
            char app[LIMIT_NAME_BYTES];
            char workload[LIMIT_NAME_BYTES];
            char from[LIMIT_ID_BYTES];
            char to[LIMIT_ID_BYTES];
            struct instant since;
        } judge;
    };
};

/* Caller's memory; filled from the front by each step. Large: allocate once. */
struct core_effects {
    struct core_effect *list;
    int count;
    int capacity;
};
int core_effects_create(int capacity, struct core_effects **ret_effects) WARN_UNUSED;
void core_effects_destroy(struct core_effects *effects);

int core_create(struct core **ret_core, struct error *err) WARN_UNUSED;
void core_destroy(struct core *core);

/* Applies one event; effects->count is reset first. Never fails: a wrong event is refused in a
 * CORE_REPLY (or ignored, if nobody asked) and changes nothing but the last instant. */
void core_step(struct core *core, const struct core_event *event, struct core_effects *effects);

/* When the core next wants a CORE_TICK; INT64_MAX: never. */
struct instant core_deadline(const struct core *core);

/* Over every field that can influence a later step. */
uint64_t core_hash(const struct core *core);

/* The cost model's input for the present state; with `instead`, as if that app were applied (it
 * replaces the one of its name, or is added), and without the app `without` ("ns/app") if not NULL.
 * Arrays in `arena`, apps by reference. For CORE_SOLVE, `berth plan` and `berth explain`. */
int core_cost_input(const struct core *core, const struct app *instead, const char *without,
                    struct arena *arena, struct cost_input *ret_input,
                    struct error *err) WARN_UNUSED;
/* The placement by part of that input; site -1 where nothing runs. */
int core_placement(const struct core *core, const struct cost_input *input, struct arena *arena,
                   struct placement **ret_at, struct error *err) WARN_UNUSED;

/* Read-only view for shells, tools and tests. */
const struct core_state *core_state(const struct core *core);
