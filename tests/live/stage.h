/*
 * stage: an app of each class on a cluster (cluster.h), moved by `retag`, with the outside client
 * that judges it: what is asked of Berth and what is seen of it by who knows nothing of it.
 *
 *     web      overlap, HTTP:  examples/web through the ingress of the node gcp; http-load
 *     source   overlap, NATS:  shop-source; shop-load
 *     counter  exclusive:      examples/counter, whose ledger stays where it is; owner-load
 *     state    stateful:       examples/kvstate; state-load
 *
 * Several stages may be on one cluster, one of each kind. Failures fail the cmocka test. One
 * thread.
 */
#pragma once

#include "tests/live/cluster.h"
#include "tests/live/history.h"

enum stage_kind { STAGE_WEB, STAGE_SOURCE, STAGE_COUNTER, STAGE_STATE, STAGE_KINDS };

struct stage_options {
    int64_t rate;           /* of its client; 0: 300 */
    int64_t connections;    /* of http-load; 0: 32 */
    int64_t linger_ms;      /* for which a frozen owner refuses; 0: its own; below 0: none */
    int64_t silence_ms;     /* until an owner is asked again; 0: the client's own */
    int64_t group_us;       /* what is due within so long is sent at once; 0: the client's own */
    int64_t timeout_ms;     /* until an HTTP request is lost; 0: the client's own */
    bool newest;            /* http-load: the connection that was used last first, as pools do */
    bool fresh;             /* http-load: a connection for each request */
    bool owner;             /* web is an exclusive owner */
    int64_t post_bytes;     /* http-load: every second request is a POST with such a body */
    bool no_ids;            /* web keeps no list of its requests: none is found to be done twice */
    int pages;              /* websockets beside it; 0: none */
    int64_t state_bytes;    /* of the stateful one; 0: 4 MiB */
    const char *checkpoint; /* of the stateful one, "1s"; NULL: none */
    int64_t version;        /* an environment variable of it: another number, another version */
    int restarts;           /* 0: 5 */
    const char *update;     /* YAML of `update` (of http); NULL: none */
    const char *args;       /* further arguments of web, YAML: ", \"--fail-ppm\", \"50000\"" */
};

struct stage {
    struct cluster *cluster;
    enum stage_kind kind;
    struct stage_options options;
    const char *app;
    const char *workload;
    char cloud[16];    /* where it was told to be */
    char folder[720];  /* of its own: histories, ledgers, lists of ids */
    char history[760]; /* of its client's last run */
    char log[64];
    char pages_log[64];
    char ledger[760]; /* the file */
    uint64_t before;  /* the newest handoff when the last version was applied */
    pid_t client_pid;
    pid_t pages_pid;
    pid_t ledger_pid;
};

/* Applies it and waits until it serves at that cloud ("gcp", "aws"). */
void stage_open(struct stage *stage, struct cluster *cluster, enum stage_kind kind,
                const char *cloud, const struct stage_options *options);
/* Deletes the app and ends what belongs to it. */
void stage_close(struct stage *stage);
/* Kills what belongs to it, asking nobody. Fine on a zeroed struct. */
void stage_abandon(struct stage *stage);

/* The document as it is now; the caller frees it. */
char *stage_document(const struct stage *stage);
/* Applies it again with the next version; returns the reply's code. */
int stage_next_version(struct stage *stage, char *text, size_t capacity);
/* What the document and the tag are to be when the scheduler has them. */
int stage_retag_try(struct stage *stage, const char *cloud, char *text, size_t capacity);

/* Waits for the end, done or back, of what stage_next_version began; the handoff is the caller's.
 */
json_t *stage_version_ended(struct stage *stage);
/* Moves it and waits for the end, which must be done; the handoff is the caller's. */
json_t *stage_move(struct stage *stage, const char *cloud);
/* True when one instance is ready at the cloud it was told, serves, and nothing is under way. */
bool stage_is_settled(struct stage *stage);
void stage_settled(struct stage *stage); /* waits for that */

/* Starts its client (and its pages) and waits for the first answers. */
void stage_ask(struct stage *stage);
/* Waits until so many more were answered. */
void stage_asked(struct stage *stage, int64_t more);
json_t *stage_line(const struct stage *stage); /* the client's newest; NULL: none yet */
/* Ends the client: its last line, and its exit status. The line is the caller's. */
json_t *stage_judge(struct stage *stage, int *ret_status);
/* The same for the pages. */
json_t *stage_judge_pages(struct stage *stage, int *ret_status);
int64_t stage_number(const json_t *line, const char *key); /* must be there */

/* When a state was entered; 0: never. Wall time. */
int64_t stage_entered_us(const json_t *handoff, const char *state);
