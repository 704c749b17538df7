/*
 * sim: both pure machines in one process, with everything around them simulated from one seed.
 *
 * The scheduler has a journal that survives its crash; nodes have disks that survive theirs, and
 * processes that survive an agent's. The bus delays, and by chance loses, doubles and reorders. A
 * client at the hub sends requests through a model of queue groups over leaf nodes: the hub sends
 * to any instance whose interest it knows; one that arrives after its receiver left is passed on if
 * the receiver's server knows another instance by then, and is lost if not.
 *
 * Every append and every effect of either machine is a crash point, counted from 1 in the order of
 * the run. A run with crash_at = k kills, at point k, the machine that the point belongs to; it
 * restarts a little later from its journal or disk. The same seed and options give the same run.
 *
 * What is checked is in sim_check.c; the first violation is kept in `broken` and ends the run.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "executors/node/core/node_core.h"
#include "scheduler/core/core.h"
#include "scheduler/core/liveness.h"

#define SIM_NODES     4
#define SIM_PROCESSES 512
#define SIM_RECORDS   128
#define SIM_EVENTS    65536 /* waiting */
#define SIM_JOURNAL   65536

/* What is waiting to happen. */
enum sim_kind {
    SIM_TO_SCHEDULER, /* a message: hello, answer, report, probed */
    SIM_BEAT,         /* at the scheduler */
    SIM_TO_NODE,      /* a command */
    SIM_ASK_HELLO,    /* at the node */
    SIM_NODE_INSIDE,  /* of the node's own shell; lost when the agent has died meanwhile */
    SIM_PROCESS,      /* a process does something */
    SIM_PLAN,         /* the solver is done */
    SIM_CHECKED,      /* what a move has saved is known */
    SIM_HUB_PROBE,    /* the scheduler's own probe is done */
    SIM_REQUEST,      /* the client sends one */
    SIM_ARRIVE,       /* ... which reaches the server of an instance */
    SIM_CLIENT,       /* the script's next look */
    SIM_WATCH,        /* nodes beat, the scheduler looks for silent ones */
    SIM_SCHEDULER_UP,
    SIM_AGENT_UP,
};

enum sim_does { DOES_READY, DOES_DRAINED, DOES_RESUMED, DOES_EXIT, DOES_HEARD };

struct sim_event {
    int64_t at_us;
    uint64_t order; /* ties: first come */
    enum sim_kind kind;
    int node;
    uint64_t life; /* of the agent or scheduler that it is meant for */
    int process;
    enum sim_does does;
    enum node_say say;
    int64_t sent_us;
    void *payload; /* in the sim's arena */
};

struct sim_process {
    char instance[LIMIT_ID_BYTES];
    char workload[LIMIT_NAME_BYTES];
    int node;
    bool alive;
    bool shim;   /* the shim still holds its exit status */
    bool serves; /* subscribed */
    bool said_ready;
    bool said_drained;
    bool draining;
    int exit_code;
    int64_t served_us; /* since when it serves; its interest travels from then */
    bool by_accident;  /* it ended, or stopped serving, without having been told to */
};

struct sim_record {
    bool used;
    struct node_record record;
};

struct sim_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    int64_t delay_us;  /* one way, to the hub */
    int64_t boot_us;   /* its CLOCK_BOOTTIME at the sim's 0 */
    struct node *core; /* NULL: the agent is down */
    struct node_effects *effects;
    uint64_t life;
    uint64_t seq; /* of its last report */
    struct sim_record disk[SIM_RECORDS];
    char stopped[SIM_PROCESSES][LIMIT_ID_BYTES]; /* instances it was told to stop, and took */
    int stopped_count;
};

struct sim_options {
    uint64_t seed;
    int64_t crash_at; /* 0: never */
    bool saving;      /* another script: a move that only saves, is judged, and taken back */
    bool adversary;   /* loss, doubles, reordering, accidents, random crashes, until calm_us */
    int64_t calm_us;
    bool chatter; /* print every step, to look into a failure */
};

struct sim {
    struct sim_options options;
    uint64_t random;
    int64_t now_us;
    uint64_t order;
    struct arena arena;
    struct sim_event *queue; /* a binary heap */
    int queue_count;

    struct core *core; /* NULL: the scheduler is down */
    struct core_effects *effects;
    struct liveness *liveness;
    uint64_t term;
    uint64_t scheduler_life;
    struct core_event *journal;
    uint64_t *hashes;
    int journal_count;

    struct sim_node nodes[SIM_NODES];
    struct sim_process *processes;
    int process_count;

    int64_t point; /* crash points passed */
    bool crashed;  /* the one asked for has happened */
    char point_text[LIMIT_TEXT_BYTES];

    struct world world;
    struct app app;
    int script_at; /* the client's script */
    bool asked;
    int64_t asked_us;
    bool replied;
    int reply_code;
    bool apply_acked;
    bool delete_asked;
    int offers; /* of a better place for `web`: the solver's answer is made of it */
    bool finished;

    bool served_once;   /* `source` had a serving instance */
    int64_t excused_us; /* accidents: until then nobody can promise anything */
    int64_t requests;
    int64_t requests_lost;
    int64_t requests_moved; /* passed on by a server */
    int moves_done;
    char broken[512]; /* "" while all is well */
};

/* Runs the script of the options to its end, or to a violation; the result is in `broken`. */
void sim_run(struct sim *sim, const struct sim_options *options);
void sim_free(struct sim *sim);

/* ---- shared by the sim's own files ---- */
struct sim_event *sim_push(struct sim *sim, int64_t delay_us, enum sim_kind kind);
uint64_t sim_random(struct sim *sim, uint64_t below);
/* A message's way; false: lost. Doubles are pushed by sim_bus. */
void sim_bus(struct sim *sim, enum sim_kind kind, int node, const void *payload, size_t bytes);
void sim_break(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True: the machine dies here. `what` names the point. */
bool sim_point(struct sim *sim, const char *what, const char *detail);

void sim_scheduler_start(struct sim *sim);
void sim_scheduler_crash(struct sim *sim);
void sim_scheduler_take(struct sim *sim, struct core_event *event);
void sim_scheduler_message(struct sim *sim, const struct sim_event *event);
void sim_scheduler_watch(struct sim *sim);
void sim_plan(struct sim *sim, const struct sim_event *event);
void sim_checked(struct sim *sim, const struct sim_event *event);

void sim_node_start(struct sim *sim, int node);
void sim_node_crash(struct sim *sim, int node);
void sim_node_take(struct sim *sim, int node, struct node_event *event);
int64_t sim_node_deadline(const struct sim *sim, int node); /* in the sim's time */
void sim_process_does(struct sim *sim, const struct sim_event *event);
struct sim_process *sim_process_find(struct sim *sim, int node, const char *instance);
void sim_process_accident(struct sim *sim, struct sim_process *process);

/* How a probe from a node (-1: the hub) to an instance ends; *ret_us is how long it takes. */
bool sim_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us);
void sim_request(struct sim *sim);
void sim_arrive(struct sim *sim, const struct sim_event *event);
void sim_check_serving(struct sim *sim, const struct sim_process *left, const char *why);
void sim_check_spawn(struct sim *sim, int node, const char *instance);
void sim_check_end(struct sim *sim, bool deleted);
void sim_check_recovered(struct sim *sim);
