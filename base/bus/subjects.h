/*
 * subjects: the subject tree of the bus, on which all permissions rest. Every subject in the
 * program is made here. Functions fill `out` (LIMIT_SUBJECT_BYTES); a name that is not a valid
 * token is a bug of the caller, who has checked it at the border. Any thread.
 *
 *     berth.v1.ctl.<verb>                       requests to the scheduler
 *     berth.v1.node.<node>.cmd                  scheduler -> node, only
 *     berth.v1.node.<node>.{hello,beat,report,probed}  node -> scheduler, only that node
 *     berth.v1.node.<node>.echo                 node -> node: answered with the request
 *     berth.v1.metrics.<node>                   samples
 *     berth.v1.probe.<probe>.metrics            samples of a probe
 *     berth.v1.owner.<ns>.<app>.<workload>.<replica>  resource -> scheduler: the owner's epoch
 *     berth.v1.event.<ns>.<app>.<workload>      the events stream ("_" for a missing part)
 *     berth.v1.log.<ns>.<app>.<workload>.<replica>
 *     berth.v1.at.<ns>.<workload>.<instance>    that very instance (probes)
 *     svc.<ns>.>                                the workloads' own traffic
 *     _INBOX.<kind>.<name>.>                    answers; only that user may listen there
 */
#pragma once

#include <stddef.h>

#include "base/limits.h"

#define SUBJECT_CTL_ALL        "berth.v1.ctl.>"
#define SUBJECT_NODE_HELLO     "berth.v1.node.*.hello"
#define SUBJECT_NODE_BEAT      "berth.v1.node.*.beat"
#define SUBJECT_NODE_REPORT    "berth.v1.node.*.report"
#define SUBJECT_NODE_PROBED    "berth.v1.node.*.probed"
#define SUBJECT_METRICS_ALL    "berth.v1.metrics.*"
#define SUBJECT_METRICS_PROBES "berth.v1.probe.*.metrics"
#define SUBJECT_OWNER_ALL      "berth.v1.owner.>"
#define SUBJECT_EVENT_ALL      "berth.v1.event.>"
#define SUBJECT_LOG_ALL        "berth.v1.log.>"

#define STREAM_EVENTS    "berth_events" /* the stream that keeps SUBJECT_EVENT_ALL */
#define BUCKET_ARTIFACTS "artifacts"    /* the object store of the workloads' files */
#define BUCKET_STATE     "berth_state"  /* ... of their state, on its way from node to node */
#define BUCKET_OWNERS    "berth_owners" /* KV: by which epoch who owns (kv.h) */

void subject_ctl(const char *verb, char out[LIMIT_SUBJECT_BYTES]);
void subject_node(const char *node, const char *what, char out[LIMIT_SUBJECT_BYTES]);
void subject_metrics(const char *node, char out[LIMIT_SUBJECT_BYTES]);
/* A probe is a user of its own, whose samples may be about any site. */
void subject_probe_metrics(const char *probe, char out[LIMIT_SUBJECT_BYTES]);
void subject_event(const char *ns, const char *app, const char *workload,
                   char out[LIMIT_SUBJECT_BYTES]);
void subject_log(const char *ns, const char *app, const char *workload, int replica,
                 char out[LIMIT_SUBJECT_BYTES]);
void subject_at(const char *ns, const char *workload, const char *instance,
                char out[LIMIT_SUBJECT_BYTES]);
/* The private inbox prefix of a user: nobody else may subscribe below it. Kinds: "s" the scheduler,
 * "n" a node, "w" the workloads of a namespace, "o" an operator's tool, "c" a traffic client, "p" a
 * probe. */
void subject_inbox(const char *kind, const char *name, char out[LIMIT_SUBJECT_BYTES]);
/* Token `index` of a subject, copied; ERR_NOT_FOUND when there are fewer, ERR_LIMIT when longer. */
int subject_token(const char *subject, int index, char *out, size_t capacity);
