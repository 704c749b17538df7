/*
 * sim: both pure machines in one process, with everything around them simulated from one seed.
 *
 * The scheduler has a journal, images and a host that can lose its power; nodes have disks, shims
 * and processes that outlive an agent, and machines that are stopped or started anew. The bus
 * delays; by fault it loses, doubles, reorders and is parted. Five workloads run on it:
 *
 *     web     overlap, stays at the edge       source  overlap, a NATS service
 *     front   overlap, HTTP, two replicas, two ingresses, new versions as canaries
 *     ledger  exclusive: its resource admits by epoch    store  stateful: its count moves with it
 *
 * A client at the hub sends requests through a model of queue groups over leaf nodes: the hub sends
 * to any instance whose interest it knows; one that arrives after its receiver left is passed on if
 * the receiver's server knows another instance by then, and is lost if not. Others write through
 * the owners, and through both ingresses, by requests and by websockets.
 *
 * Faults come from a list that the seed made before the run (sim_faults.c), so that a failing run
 * can be repeated without some of them (sim_shrink.c). Every append, sync and effect of either
 * machine is a crash point, counted from 1 in the order of the run: one with crash_at = k kills, at
 * point k, the machine that the point belongs to. The same seed and options give the same run.
 *
 * What is checked is in sim_check.c, sim_owner.c and sim_http.c; the first violation is kept in
 * `broken` and ends the run. The machines' own assertions end the process.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "executors/node/core/node_core.h"
#include "scheduler/core/core.h"
#include "scheduler/core/liveness.h"

#define SIM_NODES     4
#define SIM_INGRESSES 2 /* the first nodes are one each */
#define SIM_SOCKETS   4
#define SIM_PROCESSES 4096
#define SIM_RECORDS   128
#define SIM_EVENTS    65536 /* waiting */
#define SIM_JOURNAL   262144
#define SIM_START_US  (1000 * US_PER_S)
#define SIM_EXCUSE_US (10 * US_PER_S) /* after an accident: nobody can have healed it yet */
#define SIM_FAULTS    256
#define SIM_TRACE     400 /* steps kept, to print the last of a run that failed */
#define SIM_FILES     8   /* rounds of state in a folder */

enum sim_workload { WEB, SOURCE, FRONT, LEDGER, STORE, SIM_WORKLOADS };

/* What is waiting to happen. */
enum sim_kind {
    SIM_TO_SCHEDULER, /* a message: hello, answer, report, probed */
    SIM_BEAT,         /* at the scheduler */
    SIM_TO_NODE,      /* a command */
    SIM_ASK_HELLO,    /* at the node */
    SIM_HELLO_HEARD,  /* the answer to a hello, at the node */
    SIM_RENEWED,      /* the answer to a beat, at the node */
    SIM_NODE_INSIDE,  /* of the node's own shell; lost when the agent has died meanwhile */
    SIM_PROCESS,      /* a process does something */
    SIM_PLAN,         /* the solver is done */
    SIM_SHELL,        /* an answer of the scheduler's own shell: checked, judged, probed, fenced */
    SIM_FENCE,        /* a compare-and-set arrives at the KV */
    SIM_REQUEST,      /* the client sends one of each kind */
    SIM_ARRIVE,       /* ... which reaches the server of an instance of `source` */
    SIM_WRITE,        /* ... an owner */
    SIM_ADMIT,        /* an owner's write reaches the resource */
    SIM_HTTP,         /* ... a server of `front` */
    SIM_HTTP_DONE,    /* ... which has answered */
    SIM_CLIENT,       /* the script's next look */
    SIM_WATCH,        /* nodes beat, the scheduler looks for silent ones */
    SIM_FAULT,        /* begins */
    SIM_FAULT_END,
    SIM_SCHEDULER_UP,
    SIM_AGENT_UP,
};

enum sim_does {
    DOES_READY,
    DOES_DRAINED,
    DOES_RESUMED,
    DOES_EXIT,
    DOES_HEARD,
    DOES_OWNED,
    DOES_FROZEN,
    DOES_SNAPSHOT,
    DOES_RESTORED,
    DOES_LEASE, /* its shim's timer */
};

struct sim_event {
    int64_t at_us;
    uint64_t order; /* ties: first come */
    enum sim_kind kind;
    int node;
    uint64_t life; /* of the agent or scheduler that it is meant for; of a process: its task */
    int process;
    enum sim_does does;
    enum node_say say;
    int64_t sent_us;
    uint64_t number;
    struct epoch epoch;
    void *payload; /* in the sim's arena */
};

/* ---- faults ---- */

#define SIM_FAULT_MAP(X)                                     \
    X(LOSS, "messages lost")                                 \
    X(DOUBLE, "messages doubled")                            \
    X(LATE, "messages late, overtaken")                      \
    X(PARTITION, "partition")                                \
    X(DEAF, "one-way partition: the node hears nothing")     \
    X(MUTE, "one-way partition: the node is not heard")      \
    X(SCHEDULER_KILLED, "scheduler killed")                  \
    X(SCHEDULER_POWER, "power of the scheduler's host lost") \
    X(SCHEDULER_STOPPED, "scheduler stopped for a while")    \
    X(CLOCK, "wall clock of the scheduler stepped")          \
    X(AGENT_KILLED, "agent killed")                          \
    X(AGENT_STOPPED, "agent stopped for a while")            \
    X(MACHINE_STOPPED, "machine stopped for a while")        \
    X(REBOOT, "machine started anew")                        \
    X(PROCESS, "process ended by itself")                    \
    X(POINT, "killed at a crash point")                      \
    X(FENCE, "key-value store away, answers lost")           \
    X(WIPE, "key-value store wiped")                         \
    X(SHIP, "object store away")                             \
    X(LIE, "lying measurements")                             \
    X(NODE_FULL, "a node's disk full")                       \
    X(NODE_IO, "write error of a node's disk")               \
    X(JOURNAL_FULL, "the journal's disk full")               \
    X(JOURNAL_IO, "write error of the journal")

enum sim_fault_kind {
#define SIM_FAULT_ENUM(name, word) FAULT_##name,
    SIM_FAULT_MAP(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        FAULT_KINDS
};
extern const char *const sim_fault_words[];

struct sim_fault {
    enum sim_fault_kind kind;
    int64_t at_us;  /* since the start */
    int64_t for_us; /* how long */
    int node;       /* -1: everywhere */
    uint64_t salt;  /* what else there is to choose */
    bool dropped;   /* does not happen in this run */
    bool active;
    uint64_t counter;
    int64_t hits; /* what it did */
};

/* ---- machines ---- */

/* An instance's folder: it survives its process. */
struct sim_folder {
    uint64_t count; /* the state of a stateful one: the writes that it has taken */
    struct sim_file {
        bool there;
        uint64_t from;
        uint64_t to;
    } out[SIM_FILES], in[SIM_FILES];
};

struct sim_process {
    char instance[LIMIT_ID_BYTES];
    enum sim_workload workload;
    int replica;
    int node;
    int64_t mcpu;
    uint64_t version; /* of the spec that it was started with */
    char endpoint[LIMIT_NAME_BYTES];
    struct sim_folder *folder;
    bool alive;
    bool shim;   /* the shim still holds its exit status */
    bool serves; /* subscribed; takes connections */
    bool said_ready;
    bool said_drained;
    bool draining;
    int exit_code;
    int64_t ready_us;  /* since when its own subject answers */
    int64_t served_us; /* since when it serves; its interest travels from then */
    bool goodbye;      /* said to its websockets */
    bool by_accident;  /* it ended, or stopped serving, without having been told to */
    int64_t requests;  /* answered */
    int64_t errors;
    int under_way; /* requests and writes that it has begun */
    uint64_t task; /* what it was told last: what it was doing before is not finished */
    int round;     /* of the freeze, snapshot or restore under way */
    /* An owner's; what its shim knows of it. */
    bool owns;
    bool owning;
    struct epoch epoch;
    bool has_answer;
    enum workload_word answer;
    int answer_round;
    char handed[32];
    int64_t lease_us; /* on the node's CLOCK_BOOTTIME; 0: none */
    int task_say;     /* the snapshot or restore not answered yet: said again */
};

/* A client with an open websocket, or about to open one. */
struct sim_socket {
    int ingress;
    struct sim_process *process; /* NULL: none */
    uint64_t ingress_boots;
    int64_t gone_us; /* its process is, or it has none, since */
};

struct sim_record {
    bool used;
    struct node_record record;
};

struct sim_server {
    char instance[LIMIT_ID_BYTES];
    int mode;
    int weight;
};

struct sim_node {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    int64_t delay_us;  /* one way, to the hub */
    int64_t boot_us;   /* its CLOCK_BOOTTIME ... */
    int64_t base_us;   /* ... then */
    int64_t drift_ppm; /* how much faster that clock is */
    uint64_t boots;
    char boot_id[BOOT_ID_BYTES];
    struct node *core; /* NULL: the agent is down */
    struct node_effects *effects;
    int64_t deadline_us; /* the machine's own, in the sim's time */
    uint64_t life;
    uint64_t seq;             /* of its last report */
    int64_t hello_us;         /* of its last hello, until that is answered; 0: none is out */
    int64_t stopped_until_us; /* the agent; 0: runs */
    int64_t machine_until_us; /* all of it */
    int64_t parted_us;        /* until then, at least, its messages may have been lost */
    int deaf;                 /* partitions under way */
    int mute;
    int disk_full; /* faults under way */
    int disk_io;
    struct sim_record disk[SIM_RECORDS];
    struct sim_record durable[SIM_RECORDS]; /* what a loss of power leaves */
    char (*stopped)[LIMIT_ID_BYTES];        /* instances it was told to stop, and took */
    int stopped_count;
    /* Its ingress: a process of its own. */
    bool outdated; /* nobody waits for it to take its routes */
    bool blank;    /* new: it has not had a server to send requests to */
    struct sim_server servers[64];
    int server_count;
    uint64_t turns;
};

/* What is asked of the scheduler. */
enum sim_script { SCRIPT_CALM, SCRIPT_SAVING, SCRIPT_ROUGH };

struct sim_options {
    uint64_t seed;
    int64_t crash_at; /* 0: never */
    enum sim_script script;
    int64_t rough_us;        /* SCRIPT_ROUGH: how long faults last */
    const uint64_t *dropped; /* bits of faults that do not happen; NULL: none */
    bool plain;              /* as seeds were when some of them were pinned: see sim_faults.c */
    bool chatter;            /* print every step, to look into a failure */
    bool trace;              /* keep the last steps */
    int hash_every;          /* records; 0: each */
};

struct sim_resource {
    struct epoch stored; /* the key */
    char instance[LIMIT_ID_BYTES];
    struct epoch fenced;        /* the highest that the key ever held */
    struct epoch highest;       /* admitted */
    char owner[LIMIT_ID_BYTES]; /* by that epoch */
    uint64_t value;             /* writes, acknowledged by the resource itself */
    uint64_t refused;
    int64_t admitted_us; /* the last one */
    int64_t gap_us;      /* the longest time between two */
};

struct sim {
    struct sim_options options;
    uint64_t random;
    int64_t now_us;
    uint64_t order;
    struct arena arena;
    struct sim_event *queue; /* a binary heap */
    int queue_count;
    char (*trace)[160];
    uint64_t trace_count;

    struct core *core; /* NULL: the scheduler is down */
    struct core_effects *effects;
    struct liveness *liveness;
    uint64_t term;
    uint64_t scheduler_life;
    bool refused; /* by its journal: when that is back, every node is asked who it is */
    int64_t scheduler_until_us; /* stopped until then; 0: runs */
    int64_t epoch_us;           /* scheduler time when it started ... */
    int64_t epoch_mono_us;      /* ... which was then */
    int64_t wall_us;            /* how far its wall clock is off */
    struct epoch epoch_told;    /* the highest that ever left it */
    struct core_event *journal;
    uint64_t *hashes;
    int journal_count;
    int journal_synced; /* durable */
    int64_t written_us; /* the planted shell that does not sync: the kernel wrote it then */
    struct core *image; /* a core of its own, as of image_count records; NULL: none yet */
    int image_count;

    struct sim_node nodes[SIM_NODES];
    struct sim_process *processes;
    int process_count;
    int first_alive; /* none before it lives */
    int ports;

    struct sim_fault faults[SIM_FAULTS];
    int fault_count;
    int64_t fault_last_us; /* when one last did something */
    int lying;
    int journal_full;
    int journal_io;
    int fences_away;
    int ships_away;
    int64_t point_left; /* POINT: so many more, then whoever it is dies; 0: not armed */
    int point_fault;
    int64_t hits[FAULT_KINDS];

    int64_t point; /* crash points passed */
    bool crashed;  /* the one asked for has happened */
    char point_text[LIMIT_TEXT_BYTES];

    struct world world;
    struct app app;                   /* as first applied */
    struct app *wanted;               /* as applied last */
    uint64_t versions[SIM_WORKLOADS]; /* asked for */
    uint64_t acked[SIM_WORKLOADS];    /* acknowledged */
    int script_at;                    /* the script's line; of SCRIPT_ROUGH, the acts so far */
    int64_t act_us;                   /* ... and when the next one is due */
    bool asked;
    int64_t asked_us;
    bool replied;
    int reply_code;
    char operation[LIMIT_ID_BYTES]; /* the last one begun */
    bool apply_acked;
    bool delete_asked;
    int offers;                /* of a better place for `web`: the solver's answer is made of it */
    char ship[LIMIT_ID_BYTES]; /* the handoff that ships, its round, and since when */
    int ship_round;
    int64_t ship_us;
    bool finished;
    int64_t calm_us; /* from then on no fault begins or lasts */

    bool served_once[SIM_WORKLOADS];
    int64_t excused_us[SIM_WORKLOADS]; /* accidents: until then nobody can promise anything */
    struct sim_resource resources[SIM_WORKLOADS];
    bool store_excused;
    int64_t store_grace_us;
    uint64_t store_acked;
    int64_t store_losses; /* owners that died with what they had not handed over */
    int64_t writes;
    int64_t requests;
    int64_t requests_lost;
    int64_t requests_moved; /* passed on by a server */
    struct sim_socket sockets[SIM_SOCKETS];
    int64_t sockets_told; /* ends of websockets, by a goodbye ... */
    int64_t sockets_cut;  /* ... and without one */
    int64_t http_requests;
    int64_t http_refused; /* by an ingress that had nobody, excused */
    int moves_done;
    uint64_t ended_seen;
    int64_t handoffs; /* ended */
    int64_t moves;    /* of them, those with two sides */
    int64_t faulty;   /* with a fault in their life */
    int64_t faulty_moves;
    int64_t done;
    char broken[512]; /* "" while all is well */
};

/* Runs the script of the options to its end, or to a violation; the result is in `broken`. */
void sim_run(struct sim *sim, const struct sim_options *options);
void sim_free(struct sim *sim);

/* ---- shared by the sim's own files ---- */
extern const char *const sim_workload_words[];
enum sim_workload sim_workload_of(const char *name);
struct sim_event *sim_push(struct sim *sim, int64_t delay_us, enum sim_kind kind);
void sim_push_again(struct sim *sim, const struct sim_event *event, int64_t at_us);
uint64_t sim_random(struct sim *sim, uint64_t below);
void sim_break(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of the history, kept or printed. */
void sim_note(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* True: the machine dies here. `what` names the point. */
bool sim_point(struct sim *sim, const char *what, const char *detail);

/* sim_faults.c */
void sim_faults_plan(struct sim *sim);
void sim_fault_begin(struct sim *sim, int index);
void sim_fault_end(struct sim *sim, int index);
void sim_fault_hit(struct sim *sim, enum sim_fault_kind kind);
/* A message's way, through every fault of the bus. */
void sim_bus(struct sim *sim, enum sim_kind kind, int node, const void *payload, size_t bytes);
bool sim_parted(const struct sim *sim, int node); /* now, or a moment ago */
void sim_accident_of_node(struct sim *sim, int node, int64_t until_us);

/* sim_scheduler.c */
int64_t sim_scheduler_us(const struct sim *sim);
int64_t sim_scheduler_deadline(const struct sim *sim); /* in the sim's time */
void sim_scheduler_start(struct sim *sim);
void sim_scheduler_crash(struct sim *sim, bool power, int64_t away_us);
void sim_scheduler_take(struct sim *sim, struct core_event *event);
void sim_scheduler_message(struct sim *sim, const struct sim_event *event);
void sim_scheduler_watch(struct sim *sim);
void sim_beat(struct sim *sim, int node);

/* sim_plan.c */
void sim_plan(struct sim *sim, const struct sim_event *event);
void sim_judge(struct sim *sim, const struct core_effect *effect);
void sim_checked(struct sim *sim, const struct core_effect *effect);

/* sim_node.c */
void sim_node_start(struct sim *sim, int node);
void sim_node_crash(struct sim *sim, int node, int64_t away_us);
void sim_node_reboot(struct sim *sim, int node, int64_t away_us);
void sim_node_take(struct sim *sim, int node, struct node_event *event);
void sim_node_inside(struct sim *sim, int index, int64_t delay_us, enum node_event_kind kind,
                     const char *instance, const struct node_event *content);
int64_t sim_boot_us(const struct sim *sim, int node); /* its CLOCK_BOOTTIME now */
int64_t sim_from_boot(const struct sim *sim, int node, int64_t boot_us); /* in the sim's time */

/* sim_process.c */
void sim_process_spawn(struct sim *sim, int index, const struct node_effect *effect);
void sim_process_tell(struct sim *sim, struct sim_process *process, const struct node_effect *fx);
void sim_process_term(struct sim *sim, struct sim_process *process);
void sim_process_lease(struct sim *sim, struct sim_process *process, int64_t until_us);
void sim_process_clear(struct sim *sim, int index, const char *instance);
void sim_process_adopted(struct sim *sim, struct sim_process *process);
void sim_process_does(struct sim *sim, const struct sim_event *event);
void sim_process_file(struct sim *sim, int index, const struct node_effect *effect);
struct sim_process *sim_process_find(struct sim *sim, int node, const char *instance);
void sim_process_accident(struct sim *sim, struct sim_process *process, bool told);
bool sim_process_runs(const struct sim *sim, const struct sim_process *process);

/* sim_owner.c */
void sim_fence(struct sim *sim, const struct core_effect *effect);
void sim_fence_arrives(struct sim *sim, const struct sim_event *event);
void sim_owner_told(struct sim *sim, struct sim_process *process, const char *handed);
void sim_owner_gone(struct sim *sim, const struct sim_process *process, const char *why);
void sim_write(struct sim *sim, enum sim_workload workload);
void sim_write_arrives(struct sim *sim, const struct sim_event *event);
void sim_admit(struct sim *sim, const struct sim_event *event);

/* sim_http.c */
void sim_route(struct sim *sim, int index, const struct node_effect *effect);
bool sim_http_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us);
void sim_http_request(struct sim *sim, int index);
void sim_http_arrives(struct sim *sim, const struct sim_event *event);
void sim_http_done(struct sim *sim, const struct sim_event *event);
/* Whom the ingress sends the next request to; NULL: it has nobody, or who it has is gone. */
struct sim_process *sim_http_choose(struct sim *sim, int index);
/* Its routes cannot be expected to be right. */
bool sim_http_outdated(const struct sim *sim, int index);
/* What it sent there may be lost: an accident. */
bool sim_http_excused(const struct sim *sim, const struct sim_process *process, int from);

/* sim_ws.c */
void sim_sockets(struct sim *sim); /* what became of each since a moment ago */
void sim_check_sockets(struct sim *sim);

/* sim_check.c */
/* How a probe from a node (-1: the hub) to an instance ends; *ret_us is how long it takes. */
bool sim_probe(struct sim *sim, int from, const char *instance, int64_t *ret_us);
void sim_request(struct sim *sim);
void sim_arrive(struct sim *sim, const struct sim_event *event);
int64_t sim_known_at(const struct sim *sim, const struct sim_process *process);
void sim_check_serving(struct sim *sim, const struct sim_process *left, const char *why);
void sim_check_spawn(struct sim *sim, int node, const struct node_effect *effect);
void sim_check_end(struct sim *sim, bool deleted);
void sim_check_recovered(struct sim *sim);
void sim_check_step(struct sim *sim); /* after each of the scheduler's */
void sim_check_ship(struct sim *sim); /* now and then */

/* sim_shrink.c */
/* Repeats a failing seed with fewer and fewer faults, prints what is left and the last steps. */
void sim_shrink(const struct sim_options *options, int steps);
