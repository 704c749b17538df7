/*
 * internal: what the files of scheduler/core share and nobody else sees.
 *
 * A step runs in this order (core.c): commands that are due are sent again (commands.c); the event
 * changes tables; then, until nothing changes any
 * more, handoffs advance (handoff.c), differences between plan and reality become handoffs (plan.c)
 * and instances that are to go are stopped and forgotten (instances.c); then a solve is asked for
 * if one is due, and the tables are compacted. Entries are removed by emptying their id, so that
 * pointers hold until the end of the step.
 */
#pragma once

#include "base/arena.h"
#include "scheduler/core/core.h"
#include "scheduler/core/handoff.h"
#include "scheduler/core/index.h"
#include "scheduler/core/routes.h"

#define CORE_RESEND_US        (1 * US_PER_S)    /* an unanswered command is sent again */
#define CORE_LIFETIME_US      (30 * US_PER_S)   /* not_after of a command; then a fresh one */
#define CORE_DRIFT            1000              /* two clocks part by less than one in so many */
#define CORE_RECHECK_US       (5 * US_PER_S)    /* a taken command without an effect is repeated */
#define CORE_PROBE_GAP_US     (100 * US_PER_MS) /* between two probes of one path */
#define CORE_PROBE_COUNT      3
#define CORE_PROBE_WAIT_US    (1 * US_PER_S)
#define CORE_STAGE_US         (600 * US_PER_S) /* to fetch and verify an artifact */
#define CORE_REACH_US         (30 * US_PER_S)  /* from ready to reachable, node_timeout on top */
#define CORE_HEARD_US         (2 * US_PER_S)   /* past node_timeout: by then every node was heard */
#define CORE_GRACE_US         (10 * US_PER_S)  /* beyond a deadline that the node itself keeps */
#define CORE_FENCE_US         (1 * US_PER_S)   /* a CORE_FENCE without an answer is sent again */
#define CORE_SHIP_US          (120 * US_PER_S) /* one round of state, exported and imported ... */
#define CORE_SHIP_MIB_US      (125 * US_PER_MS)      /* ... and so long for each MiB, each way */
#define CORE_SHIP_MAX_US      (24 * 3600 * US_PER_S) /* however often less was too short */
#define CORE_SHIP_WAIT_MAX_US (6 * 3600 * US_PER_S)  /* between two tries that were */
#define CORE_SHIP_ROUNDS      4         /* while the old copy serves; then it is frozen */
#define CORE_SHIP_SMALL_BYTES (2 << 20) /* a round of no more than that is the last one */
#define CORE_LENT_BYTES       ((size_t)64 << 20)
#define CORE_LINGER_MIN_US    (20 * US_PER_MS)
#define CORE_LINGER_BLIND_US  (100 * US_PER_MS) /* the least when nothing could be measured */
#define CORE_LINGER_MARGIN_US (5 * US_PER_MS)
#define CORE_RETRY_US         (2 * US_PER_S) /* after a handoff went back; doubles */
#define CORE_RETRY_MAX_US     (300 * US_PER_S)
#define CORE_SOLVE_RETRY_US   (10 * US_PER_S)  /* after a solver without an answer */
#define CORE_CHECK_RESEND_US  (30 * US_PER_S)  /* a CORE_CHECK without an answer */
#define CORE_CHECK_AGAIN_US   (300 * US_PER_S) /* after the answer that it cannot be told yet */
#define CORE_CHECK_GIVE_UP_US (6 * 3600 * US_PER_S)
#define CORE_LEFT_US          (30 * 24 * 3600 * US_PER_S) /* a site that was left to save */
#define CORE_JUDGE_GAP_US     (2 * US_PER_S)              /* between two judgements of a canary */
#define CORE_JUDGE_RESEND_US  (5 * US_PER_S)              /* a CORE_JUDGE without an answer */
#define CORE_SETTLES_MAX      10 /* restless inputs are solved after so many settle_us */
#define CORE_ESTIMATES_MAX    LIMIT_METRIC_SERIES
#define CORE_BACKOFF_US       (500 * US_PER_MS) /* first, of a restart on its node */

/* Behind core_app.storage. */
struct core_storage {
    struct arena arena;  /* the app */
    struct arena tables; /* site_blocked: sized by the world */
    uint64_t hash;       /* app_hash, taken once */
    uint64_t *spec_hash; /* [workload], in `arena` */
    uint64_t *slots;     /* the same: core_slot_hash */
    struct index names;  /* of the workloads; in `arena` */
};

/* Beside the tables, made from them alone: no state and no hash knows of them. */
struct core_indexes {
    struct index apps;                  /* by namespace and name */
    struct index nodes;                 /* by name */
    struct index instances;             /* by id */
    struct index slots;                 /* instances by their workload: core_slot_hash */
    struct index handoffs;              /* by id */
    struct index handoff_slots;         /* by their workload */
    struct index commands;              /* by id */
    struct index command_instances;     /* by the instance they are for */
    struct index estimates;             /* by their workload, or by site and peer without one */
    struct core_hint *hints;            /* [row of a handoff] */
    struct core_home *homes;            /* [row of an instance] */
    struct core_home *measured;         /* [row of an estimate] */
    uint64_t apps_made;                 /* grows when an app is put in, replaced or taken out */
    bool tried[LIMIT_APPS];             /* a workload of that app may be on trial */
    uint64_t decisions[CORE_DECISIONS]; /* the slots that they are about */
    int *common;                        /* rows of the estimates of no app, rising */
    int common_count;
    void *memory;
};

/* Where what a handoff is about was found last: looked at first, and believed only when its names
 * are right. Every step asks for all of them. */
struct core_hint {
    int sides[2]; /* instances: `from`, `to` */
    int app;
    int workload;
};

/* The workload that an instance or an estimate is of, found at `made` of apps_made: true as long as
 * that is. */
struct core_home {
    uint64_t made; /* 0: never */
    int app;       /* -1: there is none */
    int workload;
};

/* What changed in this step, when it is only that: see pace.c. Empty between steps. */
#define CORE_MARKS 64
struct core_marks {
    int slot_count;
    struct core_slot {
        char namespace_[LIMIT_NAME_BYTES];
        char app[LIMIT_NAME_BYTES];
        char workload[LIMIT_NAME_BYTES];
    } slots[CORE_MARKS];
    int instance_count;
    int instances[CORE_MARKS]; /* rows */
};

/* What instances that may still have a process take of a node. */
struct core_used {
    int64_t resources[RESOURCE_COUNT];
    int instances;
    int site; /* the node's site_index: sites have few of all nodes */
};

/* Handoffs under way but for moves that wait, counted when first asked in a pass. */
struct core_pace {
    bool counted;
    int all;
    int nodes[LIMIT_NODES];
    int handoff_node[LIMIT_HANDOFFS]; /* where its new copy is; else its old one; -1: nowhere */
    struct core_rest {
        int64_t until_us; /* the deadline of its state */
        bool rests;       /* before that, a visit would change nothing */
        bool for_slot;    /* ... while policy.moves_max of them are under way */
        bool visited;     /* in this step */
    } rests[LIMIT_HANDOFFS];
    bool awake;          /* of this step: every handoff is visited */
    bool orders_counted; /* commands of no handoff that have no answer: the same */
    int orders_all;
    int orders[LIMIT_NODES];
    bool moves_counted; /* counted when first asked, and kept up to date from then on */
    int moves;          /* of them, those of what runs */
};

struct core {
    struct core_state state;
    struct arena world_arena;
    struct world world;
    uint64_t world_hash;
    struct core_indexes indexes;
    struct core_marks marks;
    struct core_pace pace;
    struct core_used *used;       /* [node]: by the first `used_rows` instances */
    int used_rows;                /* 0: a step has begun, or one of them has gone */
    struct instant clock_next;    /* nothing of core_clock_due before; 0: not known */
    struct instant changed_first; /* of the changes not yet solved */
    struct instant solve_retry;   /* 0: none */
    struct instant clock_checked; /* core_clock_due ran then */
    struct core_effects *effects; /* of the step under way */
    struct arena lent;            /* what its effects point to; the next step resets it */
    bool diff;                    /* plan and reality may differ, anywhere */
    bool tidy;                    /* an instance may have to be stopped or forgotten */
    bool starved;                 /* something found no room and waits (pace.c) */
    bool crowded;                 /* ... and not only commands of no handoff */
    struct core_holes {           /* rows that were emptied in this step */
        bool handoffs;
        bool commands;
        bool instances;
    } holes;
    bool sweep;                     /* an app is being deleted */
    bool blocked;                   /* a site may be blocked for a workload */
    int ingresses[LIMIT_INGRESSES]; /* nodes: the live ingresses, in the table's order */
    int ingress_count;
    bool reroute;     /* a route is dirty, or has to be sent somewhere */
    bool reroute_all; /* which routes there are may have changed */
};

/* "h1z": a number as short text. */
#define CORE_NUMBER_BYTES 14
const char *core_number(uint64_t n, char out[CORE_NUMBER_BYTES]);
/* Copies what fits, cut at a character: for sentences only, never for names. */
void core_cut(char out[LIMIT_TEXT_BYTES], const char *text);
#define CORE_TEXT(out, ...)                            \
    do {                                               \
        char wide_[4096];                              \
        str_format(wide_, sizeof(wide_), __VA_ARGS__); \
        core_cut(out, wide_);                          \
    } while (0)
void core_set(char *out, size_t capacity, const char *text); /* a name that is known to fit */
#define CORE_SET(member, text) core_set((member), sizeof(member), (text))

/* ---- core.c: effects and the inputs' version ---- */
struct core_effect *core_emit(struct core *core, enum core_effect_kind kind); /* NULL: full */
void core_reply(struct core *core, const struct core_event *event, int code, const char *text);
/* A published event about `subject`, any of whose fields may be empty. Text is cut. */
struct core_subject {
    const char *namespace_;
    const char *app;
    const char *workload;
    const char *handoff;
    const char *instance;
    const char *node;
    const char *state;
};
void core_publish(struct core *core, const char *name, struct core_subject subject,
                  const char *text);
/* Something that every plan rests on has changed; `room` may have come: blocked sites are free. */
void core_inputs_changed(struct core *core, bool room);
/* Inputs of this app only have (links and families do not leave their app): a plan under way is
 * still good for the others. NULL: of none, a solve may just find more now. */
void core_inputs_touched(struct core *core, struct core_app *app);
uint64_t core_next(struct core *core); /* the next number of ids and epochs */

/* ---- lookup.c: rows by their names ---- */
int core_indexes_create(struct core_indexes *indexes) WARN_UNUSED;
void core_indexes_destroy(struct core_indexes *indexes);
/* A row has been put at the end of its table, with all its names. */
void core_app_index(struct core *core, int row);
void core_node_index(struct core *core, int row);
void core_instance_index(struct core *core, int row);
void core_handoff_index(struct core *core, int row);
void core_command_index(struct core *core, int row);
void core_estimate_index(struct core *core, int row);
void core_apps_index(struct core *core);            /* all of them, after one has gone */
void core_app_replaced(struct core *core, int row); /* another app is there now */
void core_decision_index(struct core *core, int row);
void core_estimates_index(struct core *core);
/* Of the app's workloads, and their slots: all in the storage's arena. */
int core_names_index(const struct app *app, struct core_storage *storage) WARN_UNUSED;
struct core_app *core_app_find(const struct core *core, const char *ns, const char *name);
/* Rows of the estimates: the one that is of the same thing; those of a workload, in their order.
 * -1: none. */
int core_estimate_find(const struct core *core, const struct estimate *like);
bool core_estimate_same(const struct estimate *a, const struct estimate *b);
int core_estimate_first(const struct core *core, const struct core_app *app, int index);
int core_estimate_next(const struct core *core, const struct core_app *app, int index, int row);
/* Visits them: `row` of the estimates of workload `at` of `app`. */
#define FOR_EACH_ESTIMATE(core, app, at, row)                          \
    for (int row = core_estimate_first((core), (app), (at)); row >= 0; \
         row = core_estimate_next((core), (app), (at), row))
/* Visits the workloads that may be on trial: `row` is a core_app, `at` an index there. */
#define FOR_EACH_TRIED(core, row, at)                                                           \
    for (struct core_app *row = (core)->state.apps;                                             \
         row < (core)->state.apps + (core)->state.app_count; row++)                             \
        for (int at = 0;                                                                        \
             (core)->indexes.tried[row - (core)->state.apps] && at < (row)->app.workload_count; \
             at++)
/* The workload and its state; NULL when the app does not have it (any more). */
struct core_place {
    struct core_app *app;
    struct workload *workload;
    struct core_workload *state;
    uint64_t spec_hash;
};
bool core_place_find(const struct core *core, const char *ns, const char *app, const char *workload,
                     struct core_place *ret_place);
/* The same, of an instance. */
bool core_instance_place(const struct core *core, const struct core_instance *instance,
                         struct core_place *ret_place);
struct core_node *core_node_find(const struct core *core, const char *name);
/* By id, and by node unless NULL: a foreign instance may carry a known id. */
struct core_instance *core_instance_find(const struct core *core, const char *id, const char *node);
/* Of a workload's instances and handoffs: rows of indexes.slots and of indexes.handoff_slots. */
uint64_t core_slot_hash(const char *ns, const char *app, const char *workload);
uint64_t core_slot_of(const struct core_app *app, int index); /* the same, known already */
struct core_handoff *core_handoff_find(const struct core *core, const char *id);
struct core_handoff *core_handoff_of(const struct core *core, const char *ns, const char *app,
                                     const char *workload, int replica);
struct core_handoff *core_slot_handoff(const struct core *core, const struct core_app *app,
                                       int index, int replica);
struct core_command *core_command_find(const struct core *core, const char *id);
/* The next command to that instance, whatever node it is on; `after` NULL: the first. */
struct core_command *core_command_next(const struct core *core, const char *instance,
                                       const struct core_command *after);

/* ---- apply.c ---- */
void core_on_world(struct core *core, const struct core_event *event);
void core_on_apply(struct core *core, const struct core_event *event);
void core_on_delete(struct core *core, const struct core_event *event);
void core_on_retag(struct core *core, const struct core_event *event);
void core_on_move(struct core *core, const struct core_event *event); /* move.c */
void core_on_estimates(struct core *core, const struct core_event *event);
void core_apps_sweep(struct core *core); /* apps being deleted whose instances are gone */
/* A core_app of a copy of `app`, placed nowhere; there has to be a world. */
int core_app_make(struct core *core, const struct app *app, struct core_app *ret_app) WARN_UNUSED;
void core_app_free(struct core_app *app);
int core_world_copy(const struct world *world, struct arena *arena,
                    struct world *ret_world) WARN_UNUSED;

/* ---- instances.c: nodes and their instances ---- */
void core_on_hello(struct core *core, const struct core_event *event);
void core_on_lost(struct core *core, const struct core_event *event);
/* Its CLOCK_BOOTTIME was `boot_us` at some time before now. */
void core_node_heard(struct core *core, struct core_node *node, int64_t boot_us);
/* An instant of the scheduler's on that clock, or a little before; 0: not known. */
int64_t core_node_boot_us(const struct core *core, const struct core_node *node, int64_t us);
void core_nodes_renew(
    struct core *core); /* after a restart: the scheduler's clock may have leapt */
void core_on_report(struct core *core, const struct core_event *event);
struct core_instance *core_instance_add(struct core *core, const char *id, const char *ns,
                                        const char *app, const char *workload, int replica,
                                        const char *node);
void core_instance_drop(struct core *core, struct core_instance *instance);
/* No process that could serve, now or by itself later; NULL counts. */
bool core_instance_is_dead(const struct core_instance *instance);
bool core_instance_is_settled(const struct core_instance *instance); /* STOPPED or FAILED */
void core_tidy(struct core *core);
void core_tidy_instance(struct core *core, struct core_instance *instance);
void core_room_came(struct core *core); /* capacity was freed: blocked sites are tried again */

/* ---- commands.c ---- */
/* The outstanding or taken command `verb` to `instance`; created and sent if there is none. An
 * earlier command of another verb to it is superseded. NULL: no room now. */
struct core_command *core_command_ensure(struct core *core, const char *handoff,
                                         const struct core_instance *instance, enum node_verb verb);
struct core_command *core_probe_ensure(struct core *core, const struct core_handoff *handoff,
                                       const struct core_instance *instance, const char *node);
/* Brings that version of a route to an ingress; `name` stands where others have their instance. */
struct core_command *core_route_command(struct core *core, const char *name, uint64_t route,
                                        const char *node);
/* The RESUME that makes it the owner, by the handoff's epoch and no other. */
struct core_command *core_grant_ensure(struct core *core, const struct core_handoff *handoff,
                                       const struct core_instance *instance);
void core_command_drop(struct core *core, struct core_command *command);
void core_commands_drop_handoff(struct core *core, const char *handoff);
void core_commands_drop_instance(struct core *core, const char *instance, const char *node);
void core_commands_drop_node(struct core *core, const char *node);
void core_commands_renew(struct core *core, const char *node); /* NULL: of every node */
/* For how long one that was answered stays. */
int64_t core_command_keep_us(const struct core *core, const struct core_command *command);
void core_commands_due(struct core *core, bool tick);
void core_on_answer(struct core *core, const struct core_event *event);

/* ---- input.c ---- */
/* As core_cost_input, for what is asked of where everything is: nothing of what may move, nor of
 * where to. Of the apps marked in `own` ([row]) alone; NULL: of all. */
int core_cost_present(const struct core *core, const bool *own, struct arena *arena,
                      struct cost_input *ret_input, struct error *err) WARN_UNUSED;

/* ---- fit.c ---- */
/* The node of the site that one more replica fits best; -1 none. */
int core_fit(struct core *core, const struct workload *workload, int site, int variant);
/* The variant that the node gets: the chosen one, or the first that it offers; NULL: none. */
const struct variant *core_variant(const struct core *core, const struct workload *workload,
                                   const struct core_node *node, int chosen);
/* Required tags, tier and pin of the workload; what links and capacity forbid is the solver's. */
bool core_site_allowed(const struct world *world, const struct workload *workload, int site);

/* ---- decide.c: which differences are wanted ---- */
void core_on_plan(struct core *core, const struct core_event *event);
void core_solve_due(struct core *core);
struct core_decision *core_decision_add(struct core *core, const struct core_place *place,
                                        int to_site, enum handoff_reason reason);
/* The last one of the workload, or the last that was carried out; NULL: none kept. */
struct core_decision *core_decision_last(struct core *core, const struct core_place *place,
                                         bool taken);

/* ---- pay.c: whether a move that only saves is made ---- */
/* A group of the plan's choices: they are made together or not at all. */
struct core_offer {
    const struct core_plan_choice *group; /* one of them: all carry the group's figures */
    int moves;
    bool data;   /* one is a data set's */
    bool held;   /* one is of an app that does not move by itself */
    bool vetoed; /* one goes where it did not pay */
};
/* The first rule that says no, with a sentence in `why`; or VERDICT_TAKEN. */
enum core_verdict core_pays(struct core *core, const struct core_offer *offer,
                            char why[LIMIT_TEXT_BYTES]);
void core_move_counted(struct core *core); /* one move of today's budget */
/* Whether it is a quiet hour of the policy, and when that ends. */
bool core_quiet(const struct policy *policy, int64_t now_us, int64_t *ret_until_us);
extern const char core_data_text[];

/* ---- trial.c: whether it has paid ---- */
/* Before the workload's site changes: what the move is to be judged by, if it only saves. */
void core_trial_plan(struct core *core, const struct core_place *place,
                     const struct core_plan *plan, const struct core_plan_choice *choice,
                     enum handoff_reason reason);
/* A handoff of the workload is done: its trial begins, and those of whom it serves. */
void core_trial_begin(struct core *core, struct core_app *app, int index);
/* Asks about those whose time has come; true: it is to be called again at the next step. */
bool core_trials_due(struct core *core);
void core_trials_renew(struct core *core); /* after a restart: ask again */
void core_on_checked(struct core *core, const struct core_event *event);
/* Its present site is not to be chosen again before what is measured now has changed. What it was
 * measured to do goes on the record: a real change lifts the veto and a repetition does not. */
void core_veto(struct core *core, struct core_app *app, int index, bool regretted);
/* Fresh estimates: what is measured where a workload went becomes part of what vetoes judge by. */
void core_vetoes_learn(struct core *core);
bool core_vetoed(const struct core *core, const struct core_app *app, int index, int site);
/* [site], for the solver: blocked by a full site, or vetoed and neither its present place nor its
 * only one. May be the workload's own table; NULL: no memory. */
bool *core_sites_closed(const struct core *core, const struct core_app *app, int index,
                        struct arena *arena);

/* ---- share.c: who serves whom ---- */
void core_leads_settle(struct core_app *app); /* from sites and variants */
/* Every replica of the lead serves where it is to, and no handoff of it is under way. */
bool core_is_served(const struct core *core, const struct core_app *app, int lead);
/* Another part of its family may still be served by its instances, having no server of its own. */
bool core_is_needed(const struct core *core, const struct core_app *app, int index);
/* Of a divided workload: others may wait for it to be ready. */
bool core_is_lead(const struct core *core, const char *ns, const char *app, const char *workload);
/* Of the workload in one of its variants: what differs from the chosen one's needs a handoff. */
uint64_t core_spec_hash(const struct core_app *app, int index, int variant);
int64_t core_reserve(const struct workload *workload, const struct variant *variant, int resource);

/* ---- plan.c: how they are carried out ---- */
void core_diff(struct core *core); /* differences become handoffs */
void core_diff_slot(struct core *core, const struct core_slot *slot); /* of one workload */
void core_clock_due(struct core *core); /* dwell, retry and trial times that have passed */
/* Its retry, moved or trial, or those of whom it serves, are set while a step settles: before that
 * and after it. */
void core_clock_forget(struct core *core, const struct core_place *place);
void core_clock_of(struct core *core, const struct core_workload *workload);

/* ---- pace.c: what a step looks at, and how much it begins ---- */
/* Something of the workload may differ from the plan; of its whole family, if it has one. */
void core_slot_changed(struct core *core, const char *ns, const char *app, const char *workload);
/* An instance may have to be stopped or forgotten; NULL is nothing. */
void core_instance_changed(struct core *core, const struct core_instance *instance);
bool core_look_again(struct core *core); /* at all that is marked; true: there was something */
/* Something that the handoff waits for may have come; "" is nobody. */
void core_handoff_wake(struct core *core, const char *handoff);
/* Whether one more start or removal may begin, at that node if it is not -1; else it waits. */
bool core_pace_room(struct core *core, int node);
void core_pace_begun(struct core *core, int node);
/* The same for a command that belongs to no handoff, which is counted if there is. */
bool core_order_room(struct core *core, const struct core_instance *instance, enum node_verb verb);
void core_pace_ended(struct core *core); /* a handoff has */
void core_pace_again(struct core *core); /* what waits is tried again */
/* Something of a handoff, or one that was to begin, has found no room: it is tried again. */
void core_pace_crowded(struct core *core);

/* ---- handoff.c, probe.c ---- */
/* One handoff with what it is about, looked up once per visit. Visits of its states (the functions
 * with a step below) say whether they changed the state, so that the next one is visited at once.
 */
struct handoff_step {
    struct core *core;
    struct core_handoff *handoff;
    struct core_instance *from; /* NULL: none, or gone */
    struct core_instance *to;
    struct core_place place;
    bool placed; /* the app still has the workload */
};
bool core_step_due(const struct handoff_step *step); /* the deadline of its state has passed */
/* Goes back if the new copy is not what it has to be in this state. */
bool core_step_new_failed(struct handoff_step *step);
bool core_step_fail(struct handoff_step *step, const char *why);
/* The way forward: from here the old copy is ended, whatever happens. */
void core_step_stop_old(struct handoff_step *step);
bool core_step_finish(struct handoff_step *step, enum handoff_state state);
/* The new copy is ended, then the handoff, as BACK. */
bool core_step_end_new(struct handoff_step *step);

/* Its `from` or `to`, NULL when gone: an id may also be borne by a foreign instance. */
struct core_instance *core_handoff_instance(const struct core *core,
                                            const struct core_handoff *handoff, const char *id);
/* The workload that it is about; false: the app has it no more. */
bool core_handoff_place(const struct core *core, const struct core_handoff *handoff,
                        struct core_place *ret_place);
/* `from` or `to` may be NULL, not both. NULL: the table is full. */
struct core_handoff *core_handoff_begin(struct core *core, struct core_instance *from,
                                        struct core_instance *to, enum handoff_reason reason,
                                        const char *text);
void core_handoffs_advance(struct core *core);
void core_handoff_refused(struct core *core, struct core_handoff *handoff,
                          const struct core_command *command, const char *text);
void core_handoff_enter(struct core *core, struct core_handoff *handoff, enum handoff_state state,
                        int64_t limit_us);

/* LINGERING, with the linger that REACHABLE computed. */
void core_linger(struct handoff_step *step);
/* Somebody of the traffic's side can tell whether it is there: a workload that answers probes, or
 * an ingress that asks it. */
bool core_can_prove(const struct handoff_step *step);
/* Its workload does, as the app is now. */
bool core_speaks_contract(const struct core *core, const struct core_handoff *handoff);
bool core_is_proven(const struct handoff_step *step); /* by whom there was, and its own identity */
void core_vantages_choose(struct core *core, struct core_handoff *handoff);
/* Sends what is missing; true when every vantage has reached the new copy. */
bool core_vantages_probe(struct core *core, struct core_handoff *handoff,
                         const struct core_instance *from, const struct core_instance *to);
int64_t core_linger_us(const struct core *core, const struct core_handoff *handoff);
void core_on_probed(struct core *core, const struct core_event *event);

/* ---- owner.c: exclusive and stateful, where at most one copy may own ---- */
/* The handoff's copies serve only as the owner. */
bool core_is_owned(const struct core_handoff *handoff);
/* It was made the owner, and nothing says yet that it is not any more. */
bool core_may_own(const struct core *core, const struct core_instance *instance);
bool core_owner_reachable(struct handoff_step *step); /* visits of states */
bool core_owner_freezing(struct handoff_step *step);
bool core_owner_fencing(struct handoff_step *step);
bool core_owner_granting(struct handoff_step *step);
bool core_owner_returning(struct handoff_step *step);
int64_t core_owner_patience_us(const struct handoff_step *step); /* with a freeze, or a grant */
void core_owner_freeze(struct handoff_step *step);
/* FENCING: the next owner's epoch, and the CORE_FENCE that writes it where resources look. */
void core_owner_fence(struct handoff_step *step);
void core_on_fenced(struct core *core, const struct core_event *event);
/* A RESUME was refused for its epoch: another, higher one is fenced. */
void core_owner_outdated(struct core *core, struct core_handoff *handoff);
/* Its node could not do what the handoff asked for: export, import, freeze. */
void core_owner_failed(struct core *core, struct core_handoff *handoff,
                       const struct core_instance *instance);
void core_owners_renew(struct core *core); /* after a restart: ask again */
/* An owner that is held and belongs to no handoff owns again, by a handoff of its own; true: it was
 * begun, or cannot begin now. */
bool core_owner_reclaim(struct core *core, struct core_instance *instance);

/* ---- ship.c: state that moves with its owner ---- */
void core_ship_begin(struct handoff_step *step);
/* How long a round of so many bytes may take: by the way as the world declares it (`per_mib`), and
 * at least as long as what has been learnt of this workload's. */
int64_t core_ship_allowed_us(const struct handoff_step *step, int64_t bytes);
/* It did not come in time: the next try is given twice as long. *why is told, with that. */
void core_ship_late(struct handoff_step *step, char why[LIMIT_TEXT_BYTES]);
/* After a try that went back: for as long as it has shipped, doubling with each that was late. */
int64_t core_ship_wait_us(const struct core *core, const struct core_handoff *handoff,
                          const struct core_workload *workload);
/* For how long a taken SNAPSHOT or RESTORE stays. */
int64_t core_ship_keep_us(const struct core *core, const struct core_command *command);
bool core_ship(struct handoff_step *step); /* the visit of SHIPPING */
/* A hello: a round that was asked of the instance and is neither under way nor done there is lost
 * with the agent that had it. One that was to be imported is asked for again, one that was to be
 * exported sends the handoff back. */
void core_ship_heard(struct core *core, const char *node, const struct message_instance *said);
/* What the frozen owner exported last is imported; true when it is, or there was nothing. */
bool core_ship_last(struct handoff_step *step);

/* ---- canary.c: a new version of an HTTP workload is judged by a share of its traffic ---- */
/* This handoff brings a version that is to be judged and has not been: a CANARY state follows
 * REACHABLE, and until it is promoted its route gives it the share of `update.canary`. */
bool core_canary_wanted(const struct core *core, const struct core_handoff *handoff);
void core_canary_begin(struct handoff_step *step);
bool core_canary_visit(struct handoff_step *step); /* the visit of CANARY */
/* The version is not rolled out before the next apply. */
bool core_canary_stopped(const struct core_place *place);
/* The weights of one canary among `others` servers, so that its share of them all is `ppm`. */
void core_canary_weights(int64_t ppm, int others, int *ret_canary, int *ret_other);
void core_canaries_renew(struct core *core); /* after a restart: ask again */
void core_on_judged(struct core *core, const struct core_event *event);
