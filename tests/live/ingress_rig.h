/* ingress_rig: one ingress with its loop, for tests and measurements: what it was told and when. */
#pragma once

#include "executors/ingress/ingress.h"

struct ingress_rig {
    struct ingress *ingress;
    struct ingress_options options;
    const struct cgroup_host *host; /* NULL: no group of its own */
    const char *cgroup;
    char folder[256];
    int port;
    int tls_port;
    int ups;
    int downs;
    char last_event[256];
    char routed_id[LIMIT_ID_BYTES];
    int routed;
    int routed_code;
    char routed_text[256];
    int probed;
    struct ingress_probed probe;
    char probe_text[256];
    int64_t longest_us; /* of CPU that one dispatch took: it must not hold up its caller */
};

/* A folder of its own below the build's, and free ports; `more` is appended to the options. */
void ingress_rig_make(struct ingress_rig *rig, const char *more);
void ingress_rig_open(struct ingress_rig *rig);  /* and waits until it is up */
void ingress_rig_begin(struct ingress_rig *rig); /* and does not wait */
/* Ends HAProxy (waits for it) and removes the folder. */
void ingress_rig_done(struct ingress_rig *rig);

void ingress_rig_turn(struct ingress_rig *rig, int timeout_ms);
/* Turns until `condition` holds: the test fails when it does not within a minute. */
#define INGRESS_RIG_WAIT(rig, condition)                                     \
    do {                                                                     \
        int64_t until_us_ = clock_mono_now().us + 60 * US_PER_S;             \
        while (!(condition)) {                                               \
            BERTH_ASSERT(clock_mono_now().us < until_us_, "waited in vain"); \
            ingress_rig_turn(rig, 20);                                       \
        }                                                                    \
    } while (0)

struct ingress_rig_server {
    const char *instance;
    int port;
    int mode;
    int weight;
};
/* Lists of them, of servers of web_rig.h. */
#define RIG_SERVE(web)                           \
    {                                            \
        (web).name, (web).port, ROUTE_SERVE, 256 \
    }
#define RIG_PROBE(web)                         \
    {                                          \
        (web).name, (web).port, ROUTE_PROBE, 0 \
    }
#define RIG_DRAIN(web)                         \
    {                                          \
        (web).name, (web).port, ROUTE_DRAIN, 0 \
    }
#define RIG_ROUTE(rig, name, host, path, ...)                                            \
    ingress_rig_route(rig, name, host, path, (struct ingress_rig_server[]){__VA_ARGS__}, \
                      (int)(sizeof((struct ingress_rig_server[]){__VA_ARGS__}) /         \
                            sizeof(struct ingress_rig_server)))
/* The route of workload `name`, sent and waited for; the code of the answer or of the refusal. */
int ingress_rig_route(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                      const struct ingress_rig_server *servers, int count);
/* The same of one that is paused: its requests are to wait. */
int ingress_rig_pause(struct ingress_rig *rig, const char *name, const char *host, const char *path,
                      const struct ingress_rig_server *servers, int count);
int ingress_rig_gone(struct ingress_rig *rig, const char *name);
/* The number of the answered ones. */
int ingress_rig_probe(struct ingress_rig *rig, const char *host, const char *path,
                      const char *instance, int count);

int64_t ingress_rig_pid(const struct ingress_rig *rig); /* of HAProxy */
/* Says a command to HAProxy behind the ingress's back; the answer. */
void ingress_rig_say(const struct ingress_rig *rig, const char *command, char *out,
                     size_t capacity);
int ingress_rig_free_port(void);
