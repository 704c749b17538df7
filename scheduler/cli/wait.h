/*
 * wait: following what a change leads to, until everything it touches runs as asked: no plan is
 * being made, no handoff is under way, every workload has all its replicas ready (and carries the
 * tag that was asked for). Each handoff's states are printed with their instants as they come.
 *
 * What was asked for and cannot be (an infeasible plan, a handoff that went back) is an error with
 * the reason. One thread.
 */
#pragma once

#include <jansson.h>

#include "scheduler/cli/client.h"

struct wait {
    struct reference reference; /* app "": everything */
    struct reference_tag tag;   /* key "": none is waited for */
    bool gone;                  /* until the app is not there any more */
    int64_t begin_us;           /* scheduler time: older handoffs are not shown */
    int64_t timeout_us;
    bool quiet;
    bool color;
    json_t *handoffs; /* of this wait, as last seen; wait_done releases it */
};

/* What a command that changes something is told of it. */
struct wait_options {
    int64_t plan_version;
    int64_t timeout_us;
    bool wait;
};

/* Their rows, in a table of options of `type`, whose member `at` is a struct wait_options; `by` is
 * the command that shows a plan. */
#define WAIT_ROWS(type, at, by)                                                            \
    {"plan-version",                                                                       \
     0,                                                                                    \
     OPTION_INT,                                                                           \
     "N",                                                                                  \
     "only if the state is still the one that `berth " by "` was made from",               \
     offsetof(type, at.plan_version),                                                      \
     1,                                                                                    \
     INT64_MAX},                                                                           \
        {"wait",                                                                           \
         'w',                                                                              \
         OPTION_FLAG,                                                                      \
         NULL,                                                                             \
         "follow the handoffs until everything runs as asked",                             \
         offsetof(type, at.wait),                                                          \
         0,                                                                                \
         0},                                                                               \
    {                                                                                      \
        "wait-timeout", 0, OPTION_DURATION, "TIME", "how long --wait waits (default: 5m)", \
            offsetof(type, at.timeout_us), 0, 0                                            \
    }

/* Before the change is sent: remembers what is old. */
int wait_begin(struct wait *wait, struct client *client, struct error *err) WARN_UNUSED;
/* After it was accepted. */
int wait_run(struct wait *wait, struct client *client, struct error *err) WARN_UNUSED;
void wait_done(struct wait *wait);

/* "2 handoffs: 2 done" of what was seen. */
void wait_summary(const struct wait *wait, struct strbuf *out);
/* True when a handoff's state is one that it ends in. */
bool handoff_has_ended(const char *state);
