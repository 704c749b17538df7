/*
 * What the parts of the ingress share; nobody else includes it.
 *
 * Divided by meaning: ingress.c (the loop: open, dispatch, timers), process.c (HAProxy's life),
 * config.c (what it is started with), hold.c (how requests wait there), talk.c (one command at a
 * time on its runtime socket), routes.c (what is wanted: slots, their files), sync.c (what HAProxy
 * has, and the next command that brings it nearer to what is wanted), probe.c, metrics.c, cert.c;
 * answers.c and response.c read bytes of others and know nothing else.
 */
#pragma once

#include "base/str.h"
#include "executors/ingress/answers.h"
#include "executors/ingress/ingress.h"
#include "executors/ingress/response.h"

#define INGRESS_KEY_BYTES  420 /* host, path and a '/' */
#define INGRESS_LINE_BYTES 16384
#define INGRESS_WORD_US    (5 * US_PER_S)   /* a command without answer: HAProxy is stuck */
#define INGRESS_AGAIN_US   (20 * US_PER_MS) /* between two tries to remove a server */
#define INGRESS_RETRY_US   (1 * US_PER_S)   /* a change that was refused is tried again */
#define INGRESS_TRIES      3                /* before a route is answered with the refusal */
#define INGRESS_STEADY_US  (10 * US_PER_S)  /* up for so long, the back-off begins anew */
#define INGRESS_LANES      2                /* backends of a slot: "r", safe methods, and "w" */
#define INGRESS_LOG_US     (20 * US_PER_MS) /* between two looks at the request log */
#define INGRESS_CERT_BYTES 15000            /* what one command of the runtime socket can carry */

#define FILE_CONFIG "haproxy.cfg"
#define FILE_PID    "haproxy.pid"
#define FILE_SOCKET "haproxy.sock"
#define FILE_ERRORS "haproxy.err"
#define FILE_PROBE  "probe.sock"
#define FILE_MAP    "routes.map"
#define FILE_HELD   "held.map" /* the slots whose requests wait */
#define FILE_HOLD   "hold.lua"
#define FILE_CERT   "cert.pem"
#define FILE_KEY    "key"
#define FILE_LOCK   "lock"
#define FOLDER_KEPT "routes"

/* Finds the slot of a request by its host and path: the request's own host, else any. `first` and
 * `then` say when; the second is one condition more for what the first has not found. */
#define ROUTE_RULES(first, then)                                                      \
    "    http-request set-var(txn.slot) "                                             \
    "var(txn.host),concat(,txn.path,/),map_beg(" FILE_MAP ")" first "\n"              \
    "    http-request set-var(txn.slot) str(*),concat(,txn.path,/),map_beg(" FILE_MAP \
    ") if !{ var(txn.slot) -m found }" then "\n"

/* A literal address in its canonical text, without brackets. */
struct ingress_address {
    char host[48];
    int port;
    bool v6;
};
int ingress_address_parse(const char *text, struct ingress_address *ret_address,
                          struct error *err) WARN_UNUSED;
void ingress_address_format(const struct ingress_address *address, char out[LIMIT_NAME_BYTES]);

/* A server as HAProxy has it in one backend. */
struct have {
    char instance[LIMIT_ID_BYTES];
    struct ingress_address at;
    int weight;
    bool ready;   /* not in maintenance */
    bool shut;    /* in maintenance, its sessions told to end */
    int64_t next; /* not removed before then */
};

/* A server as the route wants it. */
struct want {
    char instance[LIMIT_ID_BYTES];
    struct ingress_address at;
    int mode;
    int weight; /* 0 unless it serves */
};

struct slot {
    bool used; /* it has a route, or something of one is left in HAProxy */
    bool gone;
    bool paused; /* its requests are to wait */
    bool held;   /* in HAProxy they do */
    bool passed; /* and whatever went by before has its server */
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char key[INGRESS_KEY_BYTES]; /* in the map; "" when gone */
    struct want *want;
    int want_count;
    struct have *have[INGRESS_LANES];
    int have_count[INGRESS_LANES];
    uint64_t version; /* of the last ingress_route */
    bool dirty;       /* it may differ from what HAProxy has */
    int tries;
    int64_t next; /* not tried before then */
};

struct map_entry {
    char key[INGRESS_KEY_BYTES];
    int slot;
};

struct ticket {
    struct ticket *next;
    char id[LIMIT_ID_BYTES];
    int slot;
    uint64_t version;
    bool answered; /* with `code` and `text` */
    int code;
    char text[LIMIT_TEXT_BYTES];
};

/* Of a server's idle connections. All three are said, as HAProxy 2.6 keeps none to a server that is
 * added at run time without them. As many are kept as clients may come (CONNECTIONS_MAX): across
 * 40 ms 10,000 requests a second have some 2,000 under way after a switch, and what is above the
 * limit is closed and opened anew. */
#define SERVER_POOL "pool-low-conn 64 pool-max-conn 20000 pool-purge-delay 5s"

enum change_kind {
    CHANGE_NONE,
    CHANGE_ADD,
    CHANGE_ADDRESS,
    CHANGE_READY,
    CHANGE_WEIGHT,
    CHANGE_MAP_ADD,
    CHANGE_MAP_SET,
    CHANGE_MAP_DELETE,
    CHANGE_HOLD,
    CHANGE_PASS,
    CHANGE_LET_GO,
    CHANGE_MAINT,
    CHANGE_SHUT,
    CHANGE_DELETE,
};

struct change {
    enum change_kind kind;
    int slot;
    int lane;
    char instance[LIMIT_ID_BYTES];
    struct ingress_address at;
    int weight;
    char key[INGRESS_KEY_BYTES];
};

enum phase {
    PHASE_WAIT,  /* no HAProxy; `start_at` says when one is started */
    PHASE_START, /* its starter runs */
    PHASE_READ,  /* connected; what it has is being read */
    PHASE_UP,
};

enum word {
    WORD_NONE,
    WORD_PROMPT,
    WORD_INFO,
    WORD_SERVERS,
    WORD_MAP,
    WORD_HELD,
    WORD_CHANGE,
    WORD_STAT,
    WORD_CERT_SET,
    WORD_CERT_COMMIT,
};

struct talk {
    int fd;
    enum word word; /* under way */
    struct change change;
    int64_t deadline;
    struct strbuf out;
    size_t sent;
    char line[INGRESS_LINE_BYTES];
    size_t bytes;
    bool overlong;                 /* the rest of a line that is too long is skipped */
    char answer[LIMIT_TEXT_BYTES]; /* the lines of the answer that say something, joined */
    size_t answer_bytes;
};

struct live_probe {
    bool used;
    bool ended;
    bool connected;
    int fd;
    char id[LIMIT_ID_BYTES];
    char instance[LIMIT_ID_BYTES];
    char *request;
    size_t request_bytes;
    size_t request_sent;
    char answer[RESPONSE_BYTES_MAX];
    size_t bytes;
    int count;
    int64_t timeout_us;
    int64_t sent_at;
    int64_t deadline;
    int sent;
    int answered;
    int unproven;
    int64_t rtt_us;
    char text[LIMIT_TEXT_BYTES];
};

struct counted; /* metrics.c */

struct ingress {
    struct ingress_options options;
    struct ingress_callbacks callbacks;
    struct cgroup_host host;
    char cgroup[LIMIT_PATH_BYTES];
    char program[LIMIT_PATH_BYTES];
    char url[LIMIT_TEXT_BYTES];
    char key[33];
    char log_name[40];
    int folder_fd;
    int lock_fd;
    int epoll_fd;
    int timer_fd;
    int log_fd;
    int64_t log_at;

    enum phase phase;
    pid_t pid;
    int starter_fd;
    bool replacing; /* an old HAProxy serves while its successor starts */
    int dying;      /* connected to one that was being ended, so often in a row */
    int64_t start_at;
    int64_t deadline;
    int64_t backoff_us;
    int64_t up_since;
    uint64_t hash; /* of the configuration without its servers */
    uint64_t life;

    struct talk talk;
    bool want_map; /* the next thing to read, in PHASE_READ */
    bool read_again;

    struct slot *slots;
    struct map_entry *map;
    int map_count;
    int map_capacity;
    int turn; /* the slot that is looked at first */
    struct ticket *tickets;
    struct ticket **tickets_end;
    uint64_t version;

    struct live_probe probes[INGRESS_PROBES];

    struct counted *counted;
    int counted_count;
    int counted_capacity;
    struct stat_columns columns;
    int64_t stat_at;
    bool stat_wanted;
    uint64_t stat_round;
    bool stat_first; /* what HAProxy had counted before is not of this life */

    int64_t cert_at;
    uint64_t cert_hash; /* of what HAProxy has */
    uint64_t cert_seen; /* of what was looked at last */
    char *cert_pending;
};

/* ingress.c */
enum watch_kind { WATCH_TIMER, WATCH_TALK, WATCH_STARTER, WATCH_LOG, WATCH_PROBE };
int64_t ingress_now(void);
int ingress_watch(struct ingress *ingress, int fd, enum watch_kind kind, int index,
                  unsigned events) WARN_UNUSED;
int ingress_rewatch(struct ingress *ingress, int fd, enum watch_kind kind, int index,
                    unsigned events) WARN_UNUSED;
void ingress_timer(struct ingress *ingress); /* arms it for what is due first */
void ingress_say(struct ingress *ingress, enum ingress_event event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int ingress_write_file(const struct ingress *ingress, int folder_fd, const char *name,
                       const char *text, size_t bytes, int mode, struct error *err) WARN_UNUSED;

/* process.c */
int process_find_program(struct ingress *ingress, struct error *err) WARN_UNUSED;
void process_begin(struct ingress *ingress);          /* finds one that runs, or starts one */
bool process_is_there(const struct ingress *ingress); /* by its pid file: begun before this agent */
void process_starter_ended(struct ingress *ingress);
void process_tick(struct ingress *ingress, int64_t now);
void process_down(struct ingress *ingress, const char *why); /* it is gone, or shall be */
void process_replace(struct ingress *ingress);
bool process_adopted(struct ingress *ingress, int64_t pid); /* false: it is being replaced */
void process_stop(struct ingress *ingress);

/* config.c */
int config_header(const struct ingress *ingress, struct strbuf *out) WARN_UNUSED;
int config_write(struct ingress *ingress, struct error *err) WARN_UNUSED;
bool config_is_current(const struct ingress *ingress);
int config_key(struct ingress *ingress, struct error *err) WARN_UNUSED;

/* hold.c */
void hold_program(const struct ingress *ingress, struct strbuf *out); /* "" when none may wait */
void hold_rules(const struct ingress *ingress, struct strbuf *out);

/* talk.c */
int talk_connect(struct ingress *ingress); /* 0, or a negative errno */
void talk_close(struct ingress *ingress);
void talk_io(struct ingress *ingress, unsigned events);
void talk_next(struct ingress *ingress); /* says the next thing when nothing is under way */
void talk_tick(struct ingress *ingress, int64_t now);

/* routes.c */
int routes_load(struct ingress *ingress, struct error *err) WARN_UNUSED;
void routes_free(struct ingress *ingress);
void routes_answer(struct ingress *ingress, struct slot *slot, int code, const char *text);
void routes_answer_all(struct ingress *ingress, int code, const char *text);
void routes_tell(struct ingress *ingress); /* calls back for the answered tickets */
void routes_release(struct ingress *ingress, struct slot *slot);

/* sync.c */
void sync_forget(struct ingress *ingress); /* nothing is known of HAProxy */
void sync_begin(struct ingress *ingress);  /* it was started with all routes */
void sync_server(struct ingress *ingress, const struct answer_server *server);
void sync_entry(struct ingress *ingress, const struct answer_entry *entry);
void sync_held(struct ingress *ingress, int slot);
bool sync_next(struct ingress *ingress, int64_t now, struct change *ret_change);
void sync_write(const struct change *change, struct strbuf *out);
void sync_done(struct ingress *ingress, const struct change *change, const char *answer);
int64_t sync_deadline(const struct ingress *ingress);

/* probe.c */
void probe_io(struct ingress *ingress, int index, unsigned events);
void probe_tick(struct ingress *ingress, int64_t now);
int64_t probe_deadline(const struct ingress *ingress); /* 0: one has ended and is to be told */
void probe_tell(struct ingress *ingress);
void probe_free(struct ingress *ingress);

/* metrics.c */
int metrics_listen(struct ingress *ingress, struct error *err) WARN_UNUSED;
void metrics_log(struct ingress *ingress); /* reads what waits, then pauses */
void metrics_tick(struct ingress *ingress, int64_t now);
void metrics_stat_begin(struct ingress *ingress);
void metrics_stat_line(struct ingress *ingress, const char *line);
void metrics_stat_end(struct ingress *ingress);
void metrics_forget(struct ingress *ingress);

/* cert.c */
int cert_prepare(struct ingress *ingress, struct error *err) WARN_UNUSED;
void cert_look(struct ingress *ingress);
void cert_answered(struct ingress *ingress, enum word word, const char *answer);
