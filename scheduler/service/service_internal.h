/*
 * service_internal: what the files of the service share.
 *
 * A round: handlers, timers and solver answers put core events into `waiting` (service_submit).
 * Then service_round steps the core for each, encodes event and effects, appends all with one
 * commit, and only then carries the effects out (service_effects.c). Memory of a round, messages
 * included, is in `round` and goes at its end.
 *
 * When an append fails, the core is ahead of the journal: it is thrown away and rebuilt by replay,
 * the round's requests get the error, nothing else of it leaves. Until an append succeeds again
 * (tried once a second) changes are refused and reports are dropped; nodes are asked for a hello
 * afterwards, which brings what was missed. Workloads run on meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bus/bus.h"
#include "base/bus/micro.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/keys/proof.h"
#include "base/str.h"
#include "base/wire/messages.h"
#include "metrics/metrics.h"
#include "model/cost.h"
#include "model/json_out.h"
#include "model/solver.h"
#include "scheduler/core/core.h"
#include "scheduler/core/liveness.h"
#include "scheduler/ledger/ledger.h"
#include "scheduler/service/journal.h"
#include "scheduler/service/service.h"
#include "scheduler/service/service_http.h"

#define SERVICE_EVENTS_KEPT 4096             /* published events in memory, for `berth events` */
#define SERVICE_EVENTS_US   (20 * US_PER_MS) /* how long they may wait while nobody owns */
#define SERVICE_REPLIES_KEPT \
    1024 /* answers to changes, so that a repeated request gets the first */
#define SERVICE_PENDING_MAX      1024 /* requests without an answer yet */
#define SERVICE_ROUND_MAX        512  /* messages taken before a commit */
#define SERVICE_ROUND_BYTES      ((size_t)1 << 30)
#define SERVICE_JOB_BYTES        ((size_t)1 << 30)
#define SERVICE_RECORD_BYTES     ((size_t)64 << 20)
#define SERVICE_BODY_BYTES       ((size_t)LIMIT_WIRE_BYTES)
#define SERVICE_SNAPSHOT_RECORDS 10000
#define SERVICE_RETRY_US         US_PER_S       /* between two tries at a journal that refuses */
#define SERVICE_ANSWER_US        (5 * US_PER_S) /* after which a node's answer is not waited for */

/* A control request that waits for the commit of what it asked for. */
struct service_pending {
    char id[LIMIT_ID_BYTES]; /* "": free */
    uint64_t token;          /* of micro.h */
};

/* The answer that a change got, and what its body says. */
struct service_answer {
    char id[LIMIT_ID_BYTES];
    int code;
    uint64_t version;
    char kind[LIMIT_NAME_BYTES]; /* "app", "world", or "" */
    char name[LIMIT_REF_BYTES];
    char text[LIMIT_TEXT_BYTES];
};

/* Bytes that a workload at a site was counted to have moved and that were not charged yet. */
struct service_used {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    int64_t bytes_in;
    int64_t bytes_out;
    bool by_node; /* its node counts: what a probe sees of the same is not charged again */
};

/* Since the start, for the metrics page. */
struct service_counts {
    uint64_t handoffs_done;
    uint64_t handoffs_back;
    uint64_t moves_checked;
    uint64_t moves_regretted;
    uint64_t moves_unchecked;
    uint64_t moves_held;
    uint64_t plans_made;
    uint64_t unproven; /* messages that did not prove their sender */
    uint64_t replayed; /* that did, and had been said before */
};

struct service_job;
struct service_probe;
struct service_fence;
struct service_fence_known;
struct service_peer;
struct service_price;
struct service_asked;
struct rollup_feed;
struct judges;

struct service {
    struct journal *journal;
    uint64_t term;
    uint64_t snapshot_records; /* taken after so many records; see service.h */
    uint64_t snapshot_seq;     /* the record that the last usable snapshot stands for; 0: none */
    uint64_t snapshot_tried;   /* as the one before, or of one that could not be written */
    uint64_t replayed;         /* records, when the core was last made from the journal */
    struct core *core;
    struct core_effects *effects;
    uint64_t generation; /* of the core: grows when it is rebuilt, and references into it die */
    struct bus *bus;
    struct bus_stats bus_told; /* as far as trouble has been logged */
    struct micro *micro;
    struct solver *solver;
    struct metrics *metrics;
    struct rollup_feed *rollups; /* what is measured, on disk; NULL: it cannot be opened */
    uint64_t rollups_told;       /* failures of theirs that have been logged */
    int64_t metrics_at_us;       /* when they are asked next for what has changed */
    int64_t told_us;             /* when the first change was told that no solve knows; 0: none */
    struct service_http *http;   /* NULL: no page was asked for */
    struct service_counts counts;
    struct ledger *ledger; /* NULL: it could not be opened */
    bool ledger_failing;
    int64_t ledger_flush_us;  /* when it is written next */
    struct metrics_sink kept; /* the rollups'; without functions when there are none */
    struct service_sink_row { /* of metrics: where its readings go */
        int kept;
        int used;
    } * sink_rows;
    bool batch_of_probe; /* the batch being taken */
    int sink_row_count;
    int sink_row_capacity;
    struct service_used *used;
    int used_count;
    int used_capacity;
    struct liveness *liveness;
    struct bus_subscription *subscriptions[8];
    int subscription_count;
    int epoll_fd;
    int signal_fd;
    bool stopping;

    int64_t epoch_us;       /* scheduler time is this ... */
    struct mono epoch_mono; /* ... plus what passed since then: never behind the journal's last */
    int64_t started_us;
    char nats_version[64];
    bool jetstream;
    bool streams_open;       /* they were there at the start */
    struct mono streams_due; /* when they are made again; 0: not */

    struct arena round;
    struct core_event *waiting;
    int waiting_count;
    int waiting_capacity;

    bool refusing; /* the journal does */
    struct mono refusing_retry;
    char refusing_text[ERROR_TEXT_BYTES];

    struct service_pending pending[SERVICE_PENDING_MAX];
    struct service_price *prices; /* of room, by the last plan; NULL: none was made yet */
    int price_count;
    int64_t prices_at_us;
    struct service_certificate *certificates; /* of the last plans; NULL: none was asked for */
    uint64_t certificates_kept;
    struct service_answer *answers; /* a ring of SERVICE_REPLIES_KEPT */
    uint64_t answer_count;
    struct message_event *events; /* a ring of SERVICE_EVENTS_KEPT */
    uint64_t event_count;
    uint64_t event_sent;    /* to the stream; the others wait for a connection, or a quieter time */
    struct mono events_due; /* when they are sent all the same */
    struct service_job *jobs;
    struct service_probe *probes;
    struct service_fence *fences; /* under way */
    struct service_fence_known *fences_known;
    struct judges *judges; /* NULL: nobody was judged yet */
    uint64_t job_last;

    bool proven; /* messages prove who wrote them; not on a server without users */
    char seed_path[LIMIT_PATH_BYTES];
    char keys_dir[LIMIT_PATH_BYTES]; /* with its last '/' */
    struct service_peer *peers;      /* a table of peer_capacity places */
    int peer_count;
    int peer_capacity;
    uint64_t proof_since; /* no stamp below counts */
    struct mono refused_told;
    uint64_t refused_untold;
    struct service_asked *asked; /* commands that wait for an answer */
};

/* ---- service.c ---- */
struct instant service_now(const struct service *service);
/* Copies what fits, cut at a character: for sentences only, never for names. */
void service_cut(char out[LIMIT_TEXT_BYTES], const char *text);
/* Queues a copy of the event for the round; arrays must live in service->round. False: no memory.
 */
bool service_submit(struct service *service, const struct core_event *event);

/* Compares the numbers of "2.10.27" and "2.9.10-beta"; what is no number counts as 0. */
bool service_version_is_older(const char *version, const char *than);

/* ---- service_snapshot.c ---- */
/* After a whole round only: the core is where the journal is. A failure is logged and costs
 * nothing but a longer replay. */
void service_snapshot_take(struct service *service);
void service_snapshot_due(struct service *service); /* takes one when enough was recorded since */
/* Makes the core, the answers and the events of the newest usable snapshot, and says which record
 * it stands for; an empty core and 0 when there is none. */
int service_snapshot_restore(struct service *service, uint64_t *ret_seq,
                             struct error *err) WARN_UNUSED;
/* Refuses when records after `seq` were written by another version. */
int service_snapshot_versions(struct service *service, uint64_t seq, struct error *err) WARN_UNUSED;

/* ---- service_round.c ---- */
/* Rebuilds the core from the journal: the newest snapshot and the records after it; the events ring
 * and the answers are filled on the way. */
int service_replay(struct service *service, struct error *err) WARN_UNUSED;
/* Steps, appends, lets effects leave. An error ends the service. */
int service_round(struct service *service, struct error *err) WARN_UNUSED;

/* ---- service_effects.c ---- */
/* One effect on its way out of a round; nothing in it points into the core. */
struct service_out {
    struct service_out *next;
    int record;                       /* whose effect it is */
    const struct core_effect *effect; /* COMMAND: without its arrays */
    char *text;                       /* COMMAND: the encoded message, with room for its proof */
    size_t bytes;
};
/* Copies what the core will overwrite in its next step, into the round's arena; NULL: no memory. */
struct service_out *service_out_make(struct service *service, const struct core_effect *effect,
                                     int record);
void service_out_send(struct service *service, const struct service_out *out, uint64_t seq);
void service_probes_done(struct service *service);
void service_events_send(struct service *service);
void service_event_keep(struct service *service, const struct message_event *event);

/* Commands whose answer is not waited for any more. */
void service_asked_done(struct service *service);

/* ---- service_proof.c ---- */
/* Of which kind a message of a user is: of each, stamps grow. */
enum service_seen {
    SERVICE_SEEN_HELLO,
    SERVICE_SEEN_BEAT,
    SERVICE_SEEN_REPORT,
    SERVICE_SEEN_PROBED,
    SERVICE_SEEN_METRICS,
    SERVICE_SEEN
};
enum service_proof { SERVICE_PROVEN, SERVICE_UNPROVEN, SERVICE_REPLAYED };
int service_proof_open(struct service *service, const struct service_options *options,
                       struct error *err) WARN_UNUSED;
void service_proof_close(struct service *service);
/* Whether the message is of that user and new; what is not is counted and logged. *ret_inner is
 * the message without its frame. */
enum service_proof service_proof(struct service *service, const char *kind, const char *name,
                                 enum service_seen what, const struct bus_message *message,
                                 struct bus_message *ret_inner) WARN_UNUSED;
/* The same of the node in the message's subject. *ret_ask: it is the node's word, but of earlier,
 * and the node should be asked for a hello, in whose answer it learns how to go on. */
bool service_proof_node(struct service *service, enum service_seen what,
                        const struct bus_message *message, struct bus_message *ret_inner,
                        bool *ret_ask) WARN_UNUSED;
/* Room for the frame in an empty text; the frame, when the message is written and leaves. */
void service_proof_begin(const struct service *service, struct strbuf *text);
int service_proof_seal(struct service *service, const char *node, const char *subject, bool answer,
                       char *message, size_t bytes, struct error *err) WARN_UNUSED;
/* Seals an answer to a node and sends it, to an inbox only. */
int service_proof_answer(struct service *service, const char *node, const char *reply,
                         struct strbuf *text, struct error *err) WARN_UNUSED;
/* Whether the message is that node's answer to a request, with something in it. */
bool service_proof_answered(struct service *service, const char *node,
                            const struct bus_message *message,
                            struct bus_message *ret_inner) WARN_UNUSED;
/* A control request: *ret_proven when it has an operator's proof, also when none is asked for. An
 * error when it has one that does not hold. */
int service_proof_operator(struct service *service, const struct bus_message *message,
                           struct bus_message *ret_inner, bool *ret_proven,
                           struct error *err) WARN_UNUSED;
/* How many messages a node has refused, by its own word. */
void service_proof_told(struct service *service, const char *node, uint64_t refused);
uint64_t service_proof_refused_at(struct service *service, const char *node);

/* ---- service_fence.c ---- */
int service_owners_open(struct service *service, struct error *err) WARN_UNUSED;
/* Writes the owner's epoch where resources look; a CORE_FENCED follows when it is known. */
void service_fence(struct service *service, const struct core_effect *effect);
/* True while some owner's handoff is between the freeze and the grant. */
bool service_pauses(const struct service *service);
void service_fences_done(struct service *service);

/* service_streams.c */
int service_streams_open(struct service *service, struct error *err) WARN_UNUSED;
void service_streams_again(struct service *service); /* after a new connection */
void service_streams_step(struct service *service);  /* each turn */

/* ---- service_nodes.c ---- */
int service_nodes_open(struct service *service, struct error *err) WARN_UNUSED;
void service_nodes_overdue(struct service *service);
struct instant service_nodes_deadline(const struct service *service);
/* Puts the nodes that the replayed state knows under watch, with a full timeout. */
void service_nodes_watch(struct service *service);
/* Asks every node for a hello: reports may have been missed. */
void service_nodes_ask(struct service *service);

/* ---- service_judge.c ---- */
void service_judge(struct service *service, const struct core_effect *effect); /* a CORE_JUDGE */
void service_judges_take(struct service *service, const char *source,
                         const struct message_batch *batch);
void service_judges_done(struct service *service);

/* ---- service_metrics.c ---- */
/* Rollups that cannot be opened are said and gone without: they decide nothing. */
int service_metrics_open(struct service *service, const char *state_dir,
                         struct error *err) WARN_UNUSED;
void service_metrics_close(struct service *service);
void service_metrics_collect(struct service *service);
int64_t service_metrics_deadline_us(const struct service *service);

/* ---- service_ledger.c, service_ledger_get.c ---- */
void service_ledger_open(struct service *service, const char *state_dir);
void service_ledger_close(struct service *service);
/* Charges the time since the last call; before anything changes, and when the deadline has come. */
void service_ledger_accrue(struct service *service);
int64_t service_ledger_deadline_us(const struct service *service);
/* Counted bytes of a (workload, site): its row (-1: not wanted), and what a counter grew by. */
int service_used_row(struct service *service, const char *ns, const char *app, const char *workload,
                     const char *site);
void service_used_add(struct service *service, int row, int kind, int64_t value, bool probe);
/* The body of the verb `ledger`. */
int service_ledger(struct service *service, const struct message_request *request,
                   struct json_out *json, struct error *err) WARN_UNUSED;
/* The month so far and its forecast, as an object `month`; nothing without a ledger. */
int service_ledger_month(struct service *service, const struct message_request *request,
                         struct json_out *json, struct error *err) WARN_UNUSED;

/* ---- service_ctl.c ---- */
int service_ctl_open(struct service *service, struct error *err) WARN_UNUSED;
/* Answers a request with a body (code 0), or with the error. */
void service_respond(struct service *service, uint64_t token, const char *id, int code,
                     const char *text, uint64_t version, const char *body);
/* The core's answer to a change, now that it is on the record. */
void service_answer(struct service *service, const struct service_answer *answer);
void service_answer_keep(struct service *service, const struct service_answer *answer);
/* Every waiting request of the round gets the error. */
void service_refuse(struct service *service, const char *id, const struct error *err);
/* What the answer to an event's request will say besides the core's reply. */
void service_answer_of(const struct core_event *event, struct service_answer *ret_answer);

/* ---- service_get.c: the bodies of `get`; an unknown kind is ERR_INVALID ---- */
int service_get(struct service *service, const struct message_request *request,
                struct json_out *json, struct error *err) WARN_UNUSED;
void service_event_write(struct json_out *json, const struct message_event *event);
void json_money(struct json_out *json, const char *key, nusd amount);
void service_decision_write(struct json_out *json, const struct core_decision *decision);
/* True when each of the request's namespace, app and workload is empty or the same. */
/* What is told of a stateful workload whose state did not come in time; false: it did. */
bool service_late_text(const struct core_workload *workload, char out[LIMIT_TEXT_BYTES]);
bool service_narrowed(const struct message_request *request, const char *ns, const char *app,
                      const char *workload);

/* ---- service_jobs.c: solver jobs ---- */
enum job_kind {
    JOB_SOLVE,   /* CORE_SOLVE: the answer becomes a CORE_PLAN */
    JOB_PLAN,    /* `berth plan`: the answer becomes a reply */
    JOB_SUGGEST, /* `berth suggest`: the same */
    JOB_PREPARE, /* what an operation would do: the same */
};

/* What `prepare` asks: what is to leave, and for where. */
struct service_question {
    char namespace_[LIMIT_NAME_BYTES]; /* "": of all */
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char from[LIMIT_REF_BYTES];       /* provider, site or tag, as it was said */
    char to[LIMIT_REF_BYTES];         /* "": wherever it costs least */
    char from_sites[LIMIT_REF_BYTES]; /* as selectors */
    char to_sites[LIMIT_REF_BYTES];
    bool cordon;
    enum cordon_kind cordon_kind;
    int at_once; /* 0: policy.moves_max */
};

/* Where the time of a solve went: when the first measured change was told that it is the first to
 * know (0: none was) and when it began, by the scheduler's clock, and how long each part took;
 * `since_us` is when the part at hand began, on the monotonic clock. For the log. */
struct service_took {
    int64_t told_us;
    int64_t begin_us;
    int64_t since_us;
    int64_t input_us;
    int64_t problem_us;
    int64_t encode_us;
    int64_t solve_us;
    bool anew; /* inputs changed meanwhile, and its plan was judged by the present ones */
};

/* What was asked of the solver. Nothing of a PLAN refers into the core. The world of a SOLVE does:
 * it is used again only while generation and version are still the core's. */
struct service_job {
    enum job_kind kind;
    struct service_job *next;
    struct service *service;
    uint64_t id;
    uint64_t generation;
    uint64_t version; /* input_version */
    uint64_t solve;   /* SOLVE */
    struct arena arena;
    struct cost_input input;
    struct placement *present; /* [part of input]: now */
    struct problem problem;
    struct solve_limits limits; /* the world's policy, unless the request says otherwise */
    struct solve_news news;     /* the latest; elapsed_us 0: none yet */
    struct service_took took;   /* SOLVE */

    /* PLAN and SUGGEST, from here on. */
    uint64_t token;
    struct message_request narrow; /* SUGGEST: of whom; its document is not kept */
    uint64_t state_version;
    struct service_question *question; /* PREPARE */
    char request[LIMIT_ID_BYTES];
    bool certificate;           /* PLAN: it is to be kept */
    enum handoff_reason reason; /* of moves that a rule forces */
    const struct app *instead;  /* in the arena; as core_cost_input has it */
    const char *without;
    struct cost_input before; /* what runs now, without the change that is planned */
    struct placement *before_at;
    struct cost_report before_report;
};

/* The placement of a solution, in the job's arena. */
int service_solved_at(struct service_job *job, const struct solution *solution,
                      struct placement **ret_at, struct error *err) WARN_UNUSED;
void service_solve(struct service *service, uint64_t solve, uint64_t version);
/* Answers a CORE_CHECK with a CORE_CHECKED in the next round. */
void service_check(struct service *service, uint64_t check);
/* Fills the job from its `instead` and `without`, and hands it to the solver. On failure the job is
 * still the caller's. */
int service_plan(struct service *service, struct service_job *job, struct error *err) WARN_UNUSED;
/* What the request says of time, memory and gap. */
int service_job_limits(const struct message_request *request, struct service_job *job,
                       struct error *err) WARN_UNUSED;
/* The job that a request with that id asked for and that has no answer yet; NULL: there is none. */
struct service_job *service_job_of(struct service *service, const char *request);
/* The body of the verb `solving`: how far the solve of a request is; kind `cancel` ends it. */
int service_solving(struct service *service, const struct message_request *request,
                    struct json_out *json, struct error *err) WARN_UNUSED;
struct service_job *service_job_create(struct service *service, enum job_kind kind);
void service_job_destroy(struct service_job *job);
void service_jobs_done(struct service *service);
int service_suggest(struct service *service, struct service_job *job,
                    struct error *err) WARN_UNUSED;

/* Fills the job, lets `restrict_input` say what may move, and hands it to the solver. */
int service_job_restricted(struct service_job *job,
                           int (*restrict_input)(struct service_job *job, struct error *err),
                           struct error *err) WARN_UNUSED;

/* ---- service_operate.c ---- */
/* The verb `prepare`; the answer comes when it is solved. */
int service_prepare(struct service *service, uint64_t token, const struct message_request *request,
                    struct error *err) WARN_UNUSED;
int service_prepare_write(struct service_job *job, const struct solution *solution,
                          struct json_out *json, struct error *err) WARN_UNUSED;
/* The events of the verbs `operate`, `operation` and `cordon`; lists in service->round. */
int service_operate(struct service *service, const struct message_request *request,
                    struct core_event *event, struct error *err) WARN_UNUSED;
int service_operation_end(const struct message_request *request, struct core_event *event,
                          struct error *err) WARN_UNUSED;
int service_cordon(const struct message_request *request, struct core_event *event,
                   struct error *err) WARN_UNUSED;
/* The items of `get routes`. */
void service_routes_write(const struct service *service, const struct message_request *request,
                          struct json_out *json);
/* The items of `get operations` (of all, or of the id in the request's key) and `get cordons`. */
void service_operations_write(const struct service *service, const struct message_request *request,
                              struct json_out *json);
void service_cordons_write(const struct service *service, const struct message_request *request,
                           struct json_out *json);

/* ---- service_suggest.c ---- */
/* Lets everything move that its app does not forbid to. */
void service_suggest_free(struct service_job *job);
int service_suggest_write(struct service_job *job, const struct solution *solution,
                          struct json_out *json, struct error *err) WARN_UNUSED;

/* ---- service_certificate.c ---- */
#define SERVICE_CERTIFICATES 4 /* plans whose certificates are kept */
/* Keeps that of a job's answer under its request's id. */
int service_certificate_keep(struct service_job *job, const struct solution *solution,
                             struct error *err) WARN_UNUSED;
/* The body of verb `certificate`: a piece. */
int service_certificate(struct service *service, const struct message_request *request,
                        struct json_out *json, struct error *err) WARN_UNUSED;
void service_certificates_done(struct service *service);
/* Keeps bytes for being fetched under the id, and leaves `bytes` empty. */
int service_kept_take(struct service *service, const char *id, struct strbuf *bytes,
                      struct error *err) WARN_UNUSED;

/* ---- service_state.c ---- */
#define SERVICE_STATE_BYTES ((size_t)256 << 20)
/* The body of verb `state`: what the text is fetched by. */
int service_state(struct service *service, const struct message_request *request,
                  struct json_out *json, struct error *err) WARN_UNUSED;

/* ---- service_prices.c ---- */
/* Keeps what a plan's certificate says that room is worth, until the next one. */
void service_prices_keep(struct service *service, const struct problem *problem,
                         const struct solution *solution);
void service_prices_done(struct service *service);
/* By site of that world; NULL: no plan was made yet. */
int service_prices_of(const struct service *service, const struct world *world, struct arena *arena,
                      double (**ret_prices)[RESOURCE_COUNT], struct error *err) WARN_UNUSED;
/* What is said of a workload's places. */
struct service_shown {
    const struct cost_input *input;
    const struct workload *workload;
    const struct cost_candidate *list;
    int count;
};
/* Where it is and the nearest other places, term by term: fields of an open object. */
void service_places_write(const struct service *service, const struct service_shown *shown,
                          struct json_out *json);

/* ---- service_plan.c ---- */
/* From entering one state to entering another: the median of the handoffs that did both (of one
 * class; -1: any), or half of `deadline_us`. */
int64_t service_part_us(const struct core_state *state, enum handoff_state begin,
                        enum handoff_state end, int class_, int64_t deadline_us,
                        bool *ret_measured);
/* How long a move of the workload takes, as those before did. -1: it comes from, or goes, nowhere.
 */
int64_t service_expected_us(const struct service_job *job, const struct workload *workload,
                            int from, int to);
/* The body of a plan's reply. */
int service_plan_write(struct service_job *job, const struct solution *solution,
                       struct json_out *json, struct error *err) WARN_UNUSED;

/* ---- service_report.c ---- */
void service_total_write(struct json_out *json, const char *key, const struct cost_total *total);
void service_lines_write(struct json_out *json, const struct cost_input *input,
                         const struct cost_report *report, const struct message_request *narrow);
/* The same until the text has so many bytes; `lines_left_out` says how many more there are. */
void service_lines_within(struct json_out *json, const struct cost_input *input,
                          const struct cost_report *report, const struct message_request *narrow,
                          size_t bytes_max);
/* The lines of what is placed; parts that are nowhere count nothing. */
int service_report(const struct cost_input *input, const struct placement *at, struct arena *arena,
                   struct cost_report *ret_report, struct error *err) WARN_UNUSED;
/* cost_candidates where not everything is placed: gaps are to the present site, or, when the part
 * itself has none, to the best one allowed. */
int service_candidates(const struct cost_input *input, const struct placement *at, int part,
                       struct arena *arena, struct cost_candidate **ret_candidates, int *ret_count,
                       struct error *err) WARN_UNUSED;
/* True when the line is the workload's own, or of a link that it is an end of. */
bool service_line_touches(const struct cost_input *input, const struct cost_line *line, int app,
                          int workload);

/* ---- service_explain.c ---- */
int service_explain(struct service *service, const struct message_request *request,
                    struct json_out *json, struct error *err) WARN_UNUSED;
int service_cost(struct service *service, const struct message_request *request,
                 struct json_out *json, struct error *err) WARN_UNUSED;
