/*
 * calls: public data of call graphs, and of what bytes cost between regions, as graphs.h needs it.
 *
 *   edges     "caller,callee" of one app (with that header), or "app,caller,callee" of several.
 *             CamelCase names are the same as dashed ones: UserService is user-service.
 *   requests  "service,cpu_request,memory_request": 100m, 64Mi
 *   means     a header that names service, net_receive and net_trainsmit (so spelt there), kB/s
 *   rates     "timestamp,SERVICE...", then calls per second, the header perhaps
 *             again between them: their mean is kept
 *   samples   the header "timestamp,CALLER_CALLEE&p50,..." gives edges; its numbers are not used
 *   regions   "src,dest,src_tier,dest_tier,cost": dollars per GB for every ordered pair of regions
 *
 * Callers that are a load generator or a gateway are users, no services: they are left out. Text
 * that does not hold what its form says is ERR_INVALID with the line; what is beyond CALLS_* below
 * is ERR_LIMIT. After an error what was read before stays. One thread at a time.
 */
#pragma once

#include "base/arena.h"
#include "base/limits.h"
#include "tests/bench/solver/csv.h"

#define CALLS_APPS_MAX     16
#define CALLS_SERVICES_MAX 256
#define CALLS_EDGES_MAX    1024
#define CALLS_REGIONS_MAX  256

struct calls_service {
    int app;
    char name[LIMIT_NAME_BYTES];
    int32_t cpu_mcpu;       /* 0: not known */
    int32_t memory_mib;     /* 0: not known */
    int64_t rate_uhz;       /* calls per second, millionths; 0: not known */
    int64_t receive_byte_s; /* 0: not known */
    int64_t send_byte_s;
};

struct calls_edge {
    int caller; /* service; of the same app as the callee, and another one */
    int callee;
};

struct calls {
    int apps;
    char app[CALLS_APPS_MAX][LIMIT_NAME_BYTES];
    int services;
    struct calls_service service[CALLS_SERVICES_MAX];
    int edges;
    struct calls_edge edge[CALLS_EDGES_MAX]; /* each pair of services once */
};

/* `app` names the one that a file without its own names is of. */
int calls_read_edges(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err) WARN_UNUSED;
int calls_read_requests(const char *text, size_t bytes, const char *app, struct calls *calls,
                        struct error *err) WARN_UNUSED;
int calls_read_means(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err) WARN_UNUSED;
int calls_read_rates(const char *text, size_t bytes, const char *app, struct calls *calls,
                     struct error *err) WARN_UNUSED;
int calls_read_samples(const char *text, size_t bytes, const char *app, struct calls *calls,
                       struct error *err) WARN_UNUSED;

struct calls_regions {
    int count;
    char (*name)[LIMIT_NAME_BYTES];
    uint32_t *egress; /* [from * count + to] millionths of a dollar per GB */
};

int calls_read_regions(const char *text, size_t bytes, struct arena *arena,
                       struct calls_regions *ret_regions, struct error *err) WARN_UNUSED;
