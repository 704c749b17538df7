/*
 * names: what a metric of somebody else's is to Berth: a kind of sample and a workload.
 *
 * Two questions, asked of each series. names_map: which kinds of sample does it tell, and in what
 * unit? One series may tell two (requests, and errors when its status is 5xx) or none; the table is
 * in names_table.c, by the Prometheus spelling of names, and a target's configuration may add names
 * of its own. names_identify: whose is it? By the labels that the configuration names, else by what
 * it says of the whole target, else by the labels that Kubernetes, cAdvisor, Docker Compose,
 * Istio, OpenTelemetry and Berth itself write. A label's text becomes a name by lower-casing
 * letters and turning other characters into '-'; what then is no name is refused with the reason.
 *
 * Several families may tell the same thing of one workload (http_requests_total beside the count of
 * its durations; cAdvisor beside process_cpu_seconds_total). Their rows have different sources, in
 * the order of preference; adding up samples of two sources would count twice.
 *
 * Pure; any thread; nothing is kept.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"
#include "metrics/openmetrics.h"

#define NAMES_READINGS_MAX 4 /* kinds that one series can tell */

/* Who tells it; the lower one is preferred where two tell the same of one workload. */
enum names_source {
    NAMES_CONFIGURED,
    NAMES_BERTH,
    NAMES_CADVISOR,
    NAMES_KUBELET,         /* OpenTelemetry's kubelet receiver: container.*, k8s.pod.* */
    NAMES_HTTP_SERVER,     /* http.server.request.duration, OpenTelemetry 1.20 and later */
    NAMES_HTTP_SERVER_OLD, /* http.server.duration */
    NAMES_RPC_SERVER,
    NAMES_HTTP_DURATION, /* http_request_duration_seconds */
    NAMES_HTTP,          /* http_requests_total */
    NAMES_GRPC,
    NAMES_ISTIO,
    NAMES_ENVOY,
    NAMES_TRAEFIK,
    NAMES_INGRESS_NGINX,
    NAMES_NGINX_VTS,
    NAMES_HAPROXY,
    NAMES_VARNISH,
    NAMES_REDIS,
    NAMES_MEMCACHED,
    NAMES_CACHE, /* cache_hits_total and the like */
    NAMES_PROCESS,
    NAMES_OTEL_PROCESS,
    NAMES_NODE, /* node_exporter: of a machine, thus without a workload */
    NAMES_SOURCES
};
extern const char *const names_source_words[];

/* How a target's page is to be read. */
enum names_kind { NAMES_KIND_OPENMETRICS, NAMES_KIND_CADVISOR, NAMES_KIND_NODE };
extern const char *const names_kind_words[];

/* A name that the configuration gives a meaning: `name` is `kind`, times `scale`, where the label
 * `label` (if not "") has the value `value`. */
struct names_rename {
    char name[LIMIT_METRIC_NAME_BYTES];
    char label[LIMIT_NAME_BYTES];
    char value[LIMIT_NAME_BYTES];
    int kind; /* enum sample_kind */
    double scale;
};

/* What the configuration says of a target's identity: fixed words, "" when not given, and labels to
 * read it from, "" for the known ones. */
struct names_fields {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES];
    char segment[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char instance[LIMIT_NAME_BYTES];
};

struct names_config {
    int kind; /* enum names_kind */
    struct names_fields fixed;
    struct names_fields labels;
    const struct names_rename *renames;
    int rename_count;
};

/* One thing that a series tells. A counter's growth, a gauge's value and a bucket's growth are
 * multiplied by `scale` and then in the sample's unit. What is made of several series (memory used
 * is the total less what is available) has one bit in `part` for each and all of them in `parts`:
 * it is known when all have come. */
struct names_reading {
    int kind; /* enum sample_kind; LATENCY_US: a bucket of a classic histogram, bound in `le` */
    enum names_source source;
    double scale;
    bool counter;
    uint8_t part; /* 0: whole by itself */
    uint8_t parts;
};

/* How many readings; 0: it has no meaning here. */
int names_map(const struct names_config *config, const struct metric_sample *sample,
              struct names_reading out[NAMES_READINGS_MAX]);

struct names_identity {
    char namespace_[LIMIT_NAME_BYTES];
    char app[LIMIT_NAME_BYTES];
    char workload[LIMIT_NAME_BYTES]; /* "": a machine (NAMES_NODE) */
    char segment[LIMIT_NAME_BYTES];  /* "": all users */
    char site[LIMIT_REF_BYTES];      /* "": not told */
    char instance[LIMIT_ID_BYTES];   /* "": not told; the caller knows the target */
};

/* ERR_NOT_FOUND: no label names a workload. ERR_INVALID: the text of one is no name. */
int names_identify(const struct names_config *config, const struct metric_sample *sample,
                   const struct names_reading *reading, struct names_identity *ret_identity,
                   struct error *err) WARN_UNUSED;

/* The name of a Deployment's, DaemonSet's or StatefulSet's pod without what Kubernetes added:
 * "web-5d4f8c7b9d-x2x7z", "web-x2x7z" and "web-0" are "web". Cuts the text. */
void names_strip_pod(char *pod);
/* Makes a name of a text, see above. False when nothing is left or it is too long. */
bool names_from_text(const char *text, char out[LIMIT_NAME_BYTES]);
/* Any text as an instance's id: as it is when it fits, else its beginning and a hash of all. */
void names_instance(const char *text, char out[LIMIT_ID_BYTES]);

/* The Prometheus name of an OpenTelemetry metric, as the OpenTelemetry specification converts it:
 * "http.server.request.duration" in "s" is "http_server_request_duration_seconds"; a monotonic sum
 * gets "_total". False when it is longer than a name may be. */
bool names_from_otel(const char *name, const char *unit, enum metric_type type,
                     char out[LIMIT_METRIC_NAME_BYTES]);

/* ---- the table, for tests and for the documentation ---- */
enum names_condition {
    NAMES_ALWAYS,
    NAMES_IS,            /* the label has one of the values, separated by '|' */
    NAMES_IS_NOT,        /* it has none of them */
    NAMES_SERVER_ERROR,  /* the status of the answer is 5xx, or a gRPC code of the server's */
    NAMES_CONTAINER,     /* a single container, not the sum that cAdvisor adds */
    NAMES_POD_INTERFACE, /* a pod's or container's network interface that leads outside */
};

struct names_row {
    const char *name;
    int kind;
    enum names_source source;
    double scale;
    enum names_condition condition;
    const char *label;
    const char *values;
    uint8_t part;
    uint8_t parts;
};
extern const struct names_row names_table[]; /* sorted by name */
extern const int names_table_count;
