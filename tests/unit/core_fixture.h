/*
 * core_fixture: a core with a small world, and nodes that do at once what they are told.
 *
 * The obedient nodes answer every command, report the state it leads to, and answer probes with a
 * round trip of their own; a test takes a verb from them (`ignored`) or lets it be refused
 * (`refused`) to see what the core does then. Plans come from the test. Time moves only through
 * fixture_run. One thread.
 */
#pragma once

#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/core.h"

#define FIXTURE_BOOT_US   (500 * US_PER_S) /* every machine was started then, in scheduler time */
#define FIXTURE_NODES     8
#define FIXTURE_INSTANCES 64
#define FIXTURE_TOLD      64
#define FIXTURE_ROUTES    4

struct fixture_instance {
    char id[LIMIT_ID_BYTES];
    int node;
    enum instance_state state;
    struct epoch epoch;
    int64_t mcpu;
    char endpoint[LIMIT_NAME_BYTES]; /* of an http one, since its start */
    int class_;                      /* enum spec_class */
    int64_t lease_us;
    int round;          /* exported or imported last */
    int64_t checkpoint; /* made last */
    int doing;          /* as its node says at hello */
    struct message_object object;
    struct message_object saved;   /* of the checkpoint */
    char handed[LIMIT_NAME_BYTES]; /* by the last freeze; "": it gives nothing */
    char got[LIMIT_NAME_BYTES];    /* with the last RESUME */
    struct epoch own;              /* by which it was made the owner last */
    int error_code;                /* of what it was told last */
};

struct fixture_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char boot_id[BOOT_ID_BYTES];
    uint64_t seq;
    bool silent;         /* takes nothing, says nothing */
    unsigned ignored;    /* bit per verb: taken, answered, without any effect */
    unsigned refused;    /* bit per verb: answered with ERR_INVALID */
    unsigned unanswered; /* bit per verb: as if it had never come */
    int64_t rtt_us;
    bool unreachable; /* its probes are never answered */
    bool unproven;    /* or only by its ingress's word */
    int64_t mcpu;     /* what it offers */
    int64_t memory_bytes;
    bool ingress; /* it says so, takes routes and probes through them */
    struct fixture_route {
        struct message_route route; /* servers: below */
        struct message_server servers[2 * LIMIT_REPLICAS];
    } routes[FIXTURE_ROUTES];
    int route_count;
};

struct fixture {
    struct core *core;
    struct core_effects *effects;
    struct arena arena;
    struct world world;
    struct app app; /* default/shop: web -> source, both with the contract */
    int64_t now_us;
    struct fixture_node nodes[FIXTURE_NODES];
    int node_count;
    struct fixture_instance instances[FIXTURE_INSTANCES];
    int instance_count;
    int64_t hub_rtt_us;
    uint64_t solve; /* the last CORE_SOLVE not yet answered; 0 none */
    uint64_t solve_version;
    int reply_code; /* of the last CORE_REPLY; 1: none yet */
    char reply_text[LIMIT_TEXT_BYTES];
    int command_count; /* ever sent */
    int verb_count[16];
    struct core_effect fence; /* the last CORE_FENCE */
    int fence_count;
    int fence_code;            /* the answer to it; > 0: none */
    struct epoch fence_stored; /* what the resources see; lower ones are refused */
    int64_t export_bytes[8];   /* [round]: what a SNAPSHOT exports; 0: nothing */
    const char *handed;        /* what an owner says when it freezes */
    int publish_count;
    char last_publish[LIMIT_NAME_BYTES];
    struct fixture_told { /* a ring, by publish_count */
        char name[LIMIT_NAME_BYTES];
        char workload[LIMIT_NAME_BYTES];
        char state[LIMIT_NAME_BYTES];
        char text[LIMIT_TEXT_BYTES];
        int64_t at_us;
    } told[FIXTURE_TOLD];
    struct core_effect check; /* the last CORE_CHECK */
    int check_count;
    struct core_effect judge; /* the last CORE_JUDGE */
    int judge_count;
    int told_while_served; /* DRAINs and STOPs of what a live ingress still sent requests to */
    struct message_command last[16]; /* [verb] */
    int overflow;                    /* steps that filled the effects */
};

extern const char *const fixture_world_text;
extern const char *const fixture_app_text;

void fixture_init(struct fixture *fixture); /* world and nodes client, edge, gcp, aws are there */
void fixture_init_empty(struct fixture *fixture); /* a started core, and nothing else */
void fixture_done(struct fixture *fixture);
void fixture_parse_app(struct fixture *fixture, const char *text, struct app *ret_app);

void fixture_step(struct fixture *fixture, struct core_event *event); /* fills `at`, carries out */
void fixture_apply(struct fixture *fixture, const struct app *app);
void fixture_retag(struct fixture *fixture, const char *workload, const char *value);
void fixture_delete(struct fixture *fixture);
void fixture_hello(struct fixture *fixture, int node);
void fixture_lose(struct fixture *fixture, int node);
void fixture_report(struct fixture *fixture, struct fixture_instance *instance,
                    enum instance_state state, const char *detail);
int fixture_node_add(struct fixture *fixture, const char *name, const char *site);
int fixture_node(const struct fixture *fixture, const char *name);
/* Answers the last solve: pairs of workload and site, ended by NULL. */
void fixture_plan(struct fixture *fixture, const char *const *pairs, int64_t stay, int64_t plan);
/* The same with all that a choice can say; namespace and app are filled in. */
void fixture_choose(struct fixture *fixture, struct core_plan_choice *choices, int count,
                    int64_t stay, int64_t plan);
/* Answers the last check. */
void fixture_checked(struct fixture *fixture, bool known, int64_t saving, int64_t spread);
void fixture_world(struct fixture *fixture); /* fixture->world, changed, is the world */
void fixture_estimate(struct fixture *fixture, enum estimate_kind kind, const char *workload,
                      const char *site, int64_t value);
/* The last publication of that name among those kept; NULL: none. */
const struct fixture_told *fixture_told(const struct fixture *fixture, const char *name);
/* Ticks at every deadline for so long. */
void fixture_run(struct fixture *fixture, int64_t us);

const struct core_workload *fixture_workload(const struct fixture *fixture, const char *workload);
/* The name of the site chosen for it; "" none. */
const char *fixture_site(const struct fixture *fixture, const char *workload);
const struct core_decision *fixture_decision(const struct fixture *fixture); /* the last */
const struct core_handoff *fixture_handoff(const struct fixture *fixture, const char *workload);
const struct core_handoff *fixture_ended(const struct fixture *fixture); /* the last */
/* The instance of the workload that serves, and where; NULL: none. */
struct fixture_instance *fixture_serving(struct fixture *fixture, const char *workload);
int fixture_alive(const struct fixture *fixture); /* instances with a process */
struct fixture_instance *fixture_instance(struct fixture *fixture, const char *id);
/* How many instances of the workload say that they serve. */
int fixture_owners(const struct fixture *fixture, const char *workload);
/* The CORE_FENCED to the last CORE_FENCE. */
void fixture_fenced(struct fixture *fixture, int code);
/* What the node's ingress has of a workload; NULL: nothing. */
const struct message_route *fixture_route(const struct fixture *fixture, int node,
                                          const char *workload);
/* Its server of that instance; NULL: none. */
const struct message_server *fixture_server(const struct fixture *fixture, int node,
                                            const char *workload, const char *instance);
/* Answers the last judge. */
void fixture_judged(struct fixture *fixture, const struct core_judged_side *from,
                    const struct core_judged_side *to);
/* Applied, planned to web@edge and source@gcp, started. */
void fixture_start(struct fixture *fixture);
