/*
 * ingress: a node's HTTP ingress: a HAProxy of its own, written a configuration once, then driven
 * over its runtime socket while traffic flows.
 *
 * What holds
 * - Traffic follows the routes without this process: HAProxy is a daemon in a session (and, where
 *   there are cgroups, a group) of its own. It outlives the agent, and the next ingress_open finds
 *   it by its pid file and socket, reads back what it has, and changes only what differs.
 * - The routes are kept in the folder too, one file each. A HAProxy that died, or was never there,
 *   is started with all of them in its configuration: it serves from its first instant, without
 *   the scheduler. It is started again with back-off for as long as it does not stay.
 * - An answer to ingress_route means that new requests follow the route already. Within a change
 *   servers begin to serve before others stop, so there is no instant with none.
 * - No request is answered twice by its doing: one that may have been sent is sent again only when
 *   its method is safe (GET, HEAD, OPTIONS, TRACE); all others go over a connection made for them
 *   alone, so that none is lost on an idle connection that the server closes at that moment.
 * - A request for a route that is paused waits in HAProxy (hold.c), its body unread beyond one
 *   buffer, until the route is not paused any more; then it is routed as one that comes at that
 *   moment. Above `hold_us`, or with `waiting` of them there already: 503 with Retry-After.
 * - A server in PROBE or DRAIN gets no request but a probe, which names it and carries the key that
 *   is in the folder; clients cannot choose a server. What is open on it (websockets, answers under
 *   way) stays until the server is removed, and is shut then.
 *
 * How it is built: `slots` pairs of backends (HAProxy can add servers at run time, not backends)
 * and a map from host and path to the slot. A path matches by whole segments: "/a" is of "/a" and
 * "/a/b", not of "/ab". A route of the request's own host comes before one of any host, then the
 * longest path. Each instance is a server of its slot, by its id.
 *
 * Sizes: LIMIT_ROUTES routes at most, `slots` of them here; LIMIT_REPLICAS + 2 servers a route.
 *
 * One thread, one epoll loop: no function here waits. ingress_fd is readable whenever there is
 * something to do (its timers included); then call ingress_dispatch. The callbacks are called from
 * within ingress_dispatch only and may call any function here but ingress_close. The caller's loop
 * reaps children as it likes: the ingress needs no exit status. SIGPIPE must be ignored.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/limits.h"
#include "base/wire/messages.h"
#include "executors/drivers/process/cgroup.h"

#define INGRESS_SLOTS          128 /* routes of one ingress, unless slots= says otherwise */
#define INGRESS_HOLD_S         5   /* unless hold= says otherwise */
#define INGRESS_HOLD_MAX_S     60
#define INGRESS_WAITING        10000 /* unless waiting= says otherwise: as many connections wait */
#define INGRESS_WAITING_MAX    20000
#define INGRESS_ROUTE_SERVERS  66 /* of one route: every replica, and both sides of a move */
#define INGRESS_PROBES         64 /* under way at once */
#define INGRESS_PROBE_COUNT    1000
#define INGRESS_CERT_US        (30 * US_PER_S)   /* how often the certificate file is looked at */
#define INGRESS_START_US       (10 * US_PER_S)   /* a start that took longer has failed */
#define INGRESS_BACKOFF_US     (100 * US_PER_MS) /* after a first death; doubles */
#define INGRESS_BACKOFF_MAX_US (10 * US_PER_S)

struct ingress;

/* Where it listens and with what. */
struct ingress_options {
    char http[LIMIT_NAME_BYTES];  /* "address:port"; "": not */
    char https[LIMIT_NAME_BYTES]; /* likewise */
    char cert[LIMIT_PATH_BYTES]; /* PEM: certificate, chain, key. A change is taken while serving */
    char haproxy[LIMIT_PATH_BYTES]; /* "": $BERTH_HAPROXY, else the first in $PATH and /usr/sbin */
    int slots;
    int threads;     /* 0: HAProxy's own choice, one per CPU */
    int64_t hold_us; /* for which a request waits for an owner, at most; 0: none waits */
    int waiting;     /* requests that wait at once, at most */
};

/* The text of --ingress: "http=ADDR:PORT[,https=ADDR:PORT,cert=FILE][,slots=N][,threads=N]
 * [,hold=SECONDS][,waiting=N][,haproxy=FILE]"; ADDR is a literal address ("0.0.0.0", "[::]").
 * Nothing is opened. */
int ingress_options_parse(const char *text, struct ingress_options *ret_options,
                          struct error *err) WARN_UNUSED;

enum ingress_event {
    INGRESS_UP,     /* HAProxy answers and has every route: started, found again, or put back */
    INGRESS_DOWN,   /* it does not answer, or could not be started; it is started again */
    INGRESS_NOTICE, /* something for the log: a new certificate, one that was refused, ... */
};

struct ingress_probed {
    const char *id;       /* as given */
    const char *instance; /* as given */
    int sent;
    int answered;     /* 2xx, from the server asked for, with the right identity */
    int unproven;     /* of those: the answer had no Berth-Instance, only HAProxy's word for it */
    int64_t rtt_us;   /* the slowest of the answered; 0: none */
    const char *text; /* what the last one that failed saw; "": none */
};

struct ingress_callbacks {
    void *context;
    /* Once for every ingress_route that returned 0: `code` 0 means applied. ERR_UNAVAILABLE:
     * HAProxy is down, but what was asked is kept and is applied when it is back. Other codes:
     * refused by HAProxy, with its words. */
    void (*routed)(void *context, const char *id, int code, const char *text);
    /* Once for every ingress_probe that returned 0. */
    void (*probed)(void *context, const struct ingress_probed *probed);
    void (*happened)(void *context, enum ingress_event event, const char *text); /* or NULL */
};

/* Opens the ingress in `folder` (made when it is not there; one ingress each) and returns before
 * HAProxy runs: INGRESS_UP tells. `host` and `cgroup` name the group that HAProxy is to live in;
 * NULL: the caller's own. Fails only for what time does not heal: the folder, no HAProxy program, a
 * certificate that is not there. */
int ingress_open(const struct ingress_options *options, const char *folder,
                 const struct cgroup_host *host, const char *cgroup,
                 const struct ingress_callbacks *callbacks, struct ingress **ret_ingress,
                 struct error *err) WARN_UNUSED;

enum ingress_end {
    INGRESS_KEEP, /* HAProxy goes on serving; the next ingress_open finds it */
    INGRESS_STOP, /* HAProxy is told to end: listeners are closed, connections get a moment */
};
/* Accepts NULL. Routes and probes without an answer get none. */
void ingress_close(struct ingress *ingress, enum ingress_end end);

int ingress_fd(const struct ingress *ingress); /* for the caller's epoll: EPOLLIN */
void ingress_dispatch(struct ingress *ingress);

bool ingress_is_up(const struct ingress *ingress);
/* Or requests may be served there all the same: by a HAProxy that outlived its agent and is not
 * read yet, or by one that is about to be replaced. Who changes routes has to wait for it. */
bool ingress_may_serve(const struct ingress *ingress);
/* Where clients reach it, as far as this machine knows: "http://address:port" (https when that is
 * all there is). A wildcard address is told as given. For message_hello.ingress. */
const char *ingress_url(const struct ingress *ingress);

/* Takes a route (copied) in place of what there is of that workload, and answers through `routed`,
 * in order. Fails, changing nothing, for what can never work: ERR_INVALID (a host, path or endpoint
 * that is none, the host and path of another workload's route: the text names it), ERR_LIMIT (no
 * free slot: raise slots=), ERR_IO (the folder). `id` is given back. */
int ingress_route(struct ingress *ingress, const char *id, const struct message_route *route,
                  struct error *err) WARN_UNUSED;

struct ingress_probe {
    const char *id; /* given back; below LIMIT_ID_BYTES, as the next */
    const char *instance;
    const char *host;   /* "": any; then the request names the ingress's address */
    const char *path;   /* an absolute path on the workload, under the route's own */
    int count;          /* one after another */
    int64_t timeout_us; /* of one */
};
/* GETs through the ingress's own listener, as a client's would go, to that very instance: whatever
 * its mode. Answered: status 2xx, and Berth-Instance says its id (when there is such a header).
 * ERR_LIMIT with INGRESS_PROBES under way. */
int ingress_probe(struct ingress *ingress, const struct ingress_probe *probe,
                  struct error *err) WARN_UNUSED;
/* The routes' own mode of reaching one: whether `instance` is a server of a route here. */
bool ingress_has(const struct ingress *ingress, const char *instance);

/* Asks HAProxy for the counters at most once a second when called, and gives those of the answer
 * before: samples of the kinds REQUESTS, ERRORS, LATENCY_US_SUM, BYTES_IN and BYTES_OUT by
 * instance. Samples and texts are in the arena. The first call gives none. */
int ingress_metrics(struct ingress *ingress, struct arena *arena,
                    struct message_sample **ret_samples, int *ret_count,
                    struct error *err) WARN_UNUSED;
