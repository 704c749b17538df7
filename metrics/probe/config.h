/*
 * config: the document that a probe is run by (YAML or JSON), as checked plain structs.
 *
 *     name: p1                     # who it is on the bus
 *     site: edge/nyc               # where it stands
 *     bus: {url: nats://127.0.0.1:4222, seed: keys/probe-p1}
 *     interval: 10s                # of every target that says nothing else
 *     targets:
 *       - {url: http://10.0.0.7:9100/metrics, kind: node}
 *       - url: https://web.example:8443/metrics
 *         workload: web
 *         labels: {segment: audience}
 *         metrics: [{name: tiles_from_disk_total, as: hits}]
 *     listen: {otlp: 127.0.0.1:4318}
 *     latency:
 *       - {to: aws/us-east-1, url: https://ping.example/}
 *
 * docs/probe.md has every field. Nothing is expanded: no variables, no globs. Paths are relative to
 * the working directory. Every wrong field is reported, with its line (base/doc.h). Pure but for
 * probe_config_file; everything is in the arena. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/doc.h"
#include "base/error.h"
#include "metrics/names.h"

#define PROBE_ADDRESS_BYTES 272 /* "host:port" */

struct probe_target {
    char url[LIMIT_PATH_BYTES];
    char instance[PROBE_ADDRESS_BYTES]; /* "host:port" of the URL: an instance that says no name */
    char bearer_token_file[LIMIT_PATH_BYTES];
    char ca_file[LIMIT_PATH_BYTES];
    bool insecure_skip_verify;
    int64_t interval_us;
    int64_t timeout_us;
    struct names_config names;
};

enum probe_path_kind { PROBE_PATH_TCP, PROBE_PATH_HTTP, PROBE_PATH_NATS };

struct probe_path {
    char to[LIMIT_REF_BYTES];   /* the site at its far end */
    int kind;                   /* enum probe_path_kind */
    char url[LIMIT_PATH_BYTES]; /* HTTP: as written; TCP: "http://host:port", for its address */
    char node[LIMIT_NAME_BYTES];
    char ca_file[LIMIT_PATH_BYTES];
    bool insecure_skip_verify;
    int64_t interval_us;
    int64_t timeout_us; /* of one try */
    int count;          /* tries of one round */
};

struct probe_listen {
    char host[PROBE_ADDRESS_BYTES]; /* "" : does not listen */
    int port;                       /* 0: any free one */
};

struct probe_config {
    char name[LIMIT_NAME_BYTES];
    char site[LIMIT_REF_BYTES];
    char bus_url[LIMIT_PATH_BYTES]; /* "": publishes nothing (--once, to look at) */
    char bus_seed[LIMIT_PATH_BYTES];
    int concurrency; /* pages asked for at once */
    struct probe_target *targets;
    int target_count;
    struct probe_path *paths;
    int path_count;
    struct probe_listen otlp;
    struct names_config otlp_names;
};

/* Reads the document and reports problems in it; the caller looks at doc_check. ERR_NO_MEMORY only.
 */
int probe_config_read(struct doc *doc, struct arena *arena, struct probe_config *ret_config,
                      struct error *err) WARN_UNUSED;
/* A file's; all problems, one per line, go to `problems` (may be NULL) and the first into *err. */
int probe_config_file(const char *path, struct arena *arena, struct probe_config *ret_config,
                      struct strbuf *problems, struct error *err) WARN_UNUSED;

/* What is wrong with an address: a sentence, or NULL. */
const char *probe_url_problem(const char *url);
/* "host:port" of a URL whose form is right; the port of its scheme when it has none. */
void probe_url_address(const char *url, char out[PROBE_ADDRESS_BYTES]);
