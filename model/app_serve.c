/* Reading how a workload is reached and judged: readiness, liveness, its route, new versions. */
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "model/app_read.h"
#include "model/app_words.h"

static void read_judge(struct reader *reader, const struct doc_node *map, const char *what,
                       const struct workload *workload, struct readiness *judge);
static void check_target(struct reader *reader, const struct doc_node *map, const char *what,
                         const struct workload *workload, const struct readiness *judge);
static bool is_host(const char *host);
static bool is_path(const char *path);

#define FAILURES_MAX    1000
#define LIVE_FAILURES   3
#define CANARY_MAX_PPM  500000
#define CANARY_US       (60 * US_PER_S)
#define CANARY_US_MAX   (24 * US_PER_HOUR)
#define CANARY_REQUESTS 100
#define CANARY_ERRORS   10000
#define CANARY_LATENCY  1500000
#define REQUESTS_MAX    INT64_C(1000000000)
#define PROBE_DEFAULT   "/berth"

void app_read_ready(struct reader *reader, const struct doc_node *node, struct workload *workload)
{
    struct doc *doc = reader->doc;
    struct readiness *ready = &workload->ready;
    *ready = (struct readiness){.kind = workload->contract ? READY_CONTRACT : READY_NONE,
                                .period_us = 200 * US_PER_MS,
                                .timeout_us = US_PER_S};
    const struct doc_node *map = doc_map(doc, node, "ready", 0);
    if (map == NULL) {
        return;
    }
    read_judge(reader, map, "readiness", workload, ready);
    if (ready->kind == READY_CONTRACT && !workload->contract) {
        doc_problem(doc, map, "readiness by contract needs contract: true");
    } else if (ready->failures > 0 &&
               (ready->kind == READY_CONTRACT || ready->kind == READY_NONE)) {
        doc_problem(doc, map,
                    "failures count checks of a workload that is ready, and readiness by %s is "
                    "checked once; use tcp, http, nats or command",
                    app_ready_words[ready->kind]);
    }
    doc_close(doc, map);
}

void app_read_live(struct reader *reader, const struct doc_node *node, struct workload *workload)
{
    struct doc *doc = reader->doc;
    struct readiness *live = &workload->live;
    const struct doc_node *map = doc_map(doc, node, "live", 0);
    if (map == NULL) {
        return;
    }
    *live = (struct readiness){
        .period_us = 2 * US_PER_S, .timeout_us = US_PER_S, .failures = LIVE_FAILURES};
    read_judge(reader, map, "liveness", workload, live);
    if (live->kind == READY_CONTRACT || live->kind == READY_NONE) {
        doc_problem(doc, map, "liveness is checked by tcp, http, nats or command");
    } else if (live->failures == 0) {
        doc_problem(doc, map, "a workload is ended after some failures; write 1 or more");
    }
    doc_close(doc, map);
}

/* What readiness and liveness share. */
static void read_judge(struct reader *reader, const struct doc_node *map, const char *what,
                       const struct workload *workload, struct readiness *judge)
{
    struct doc *doc = reader->doc;
    int64_t failures = judge->failures;
    doc_word(doc, map, "kind", DOC_REQUIRED, app_ready_words, APP_READY_COUNT, &judge->kind);
    doc_string(doc, map, "target", 0, judge->target, sizeof(judge->target));
    doc_duration(doc, map, "period", 0, &judge->period_us);
    doc_duration(doc, map, "timeout", 0, &judge->timeout_us);
    doc_int(doc, map, "failures", 0, 0, FAILURES_MAX, &failures);
    judge->failures = (int)failures;
    if (judge->period_us <= 0 || judge->timeout_us <= 0) {
        doc_problem(doc, map, "period and timeout of a %s check are longer than nothing", what);
    }
    check_target(reader, map, what, workload, judge);
}

/* Where an HTTP workload listens is its node's choice, which a target may leave to it. */
static void check_target(struct reader *reader, const struct doc_node *map, const char *what,
                         const struct workload *workload, const struct readiness *judge)
{
    struct doc *doc = reader->doc;
    bool http = workload->http.path[0] != '\0';
    bool wanted =
        judge->kind == READY_TCP || judge->kind == READY_HTTP || judge->kind == READY_COMMAND;
    if (wanted && judge->target[0] == '\0' && !(http && judge->kind == READY_TCP)) {
        doc_problem(doc, map, "%s by %s needs a target, as in %s", what,
                    app_ready_words[judge->kind],
                    judge->kind == READY_TCP    ? "127.0.0.1:8080"
                    : judge->kind == READY_HTTP ? "http://127.0.0.1:8080/health"
                                                : "./check.sh");
    } else if (!http && (strstr(judge->target, "$BERTH_ADDRESS") != NULL ||
                         (judge->kind == READY_HTTP && judge->target[0] == '/'))) {
        doc_problem(doc, map,
                    "the target \"%.128s\" is at the address that the node gives to a workload "
                    "with http:; give it http: or write the address",
                    judge->target);
    }
}

void app_read_http(struct reader *reader, const struct doc_node *node, struct workload *workload,
                   const struct split_mark *mark)
{
    struct doc *doc = reader->doc;
    struct http_route *http = &workload->http;
    const struct doc_node *map = doc_map(doc, node, "http", 0);
    if (map == NULL) {
        return;
    }
    str_format(http->path, sizeof(http->path), "/");
    doc_string(doc, map, "host", 0, http->host, sizeof(http->host));
    doc_string(doc, map, "path", 0, http->path, sizeof(http->path));
    if (workload->contract) {
        str_format(http->probe, sizeof(http->probe), PROBE_DEFAULT);
    }
    doc_string(doc, map, "probe", 0, http->probe, sizeof(http->probe));
    if (http->host[0] != '\0' && !is_host(http->host)) {
        doc_problem(doc, doc_get(doc, map, "host", 0),
                    "\"%s\" is no host: names of a-z, 0-9 and '-' with dots between, as in "
                    "shop.example.com; leave it out for any",
                    http->host);
    }
    if (!is_path(http->path)) {
        doc_problem(doc, doc_get(doc, map, "path", 0),
                    "\"%s\" is no path: it begins with '/' and has no blanks, quotes, '?' or '#'",
                    http->path);
    }
    if (http->probe[0] != '\0' && !is_path(http->probe)) {
        doc_problem(doc, doc_get(doc, map, "probe", 0),
                    "\"%s\" is no path: it begins with '/' and has no blanks, quotes, '?' or '#'",
                    http->probe);
    } else if (http->probe[0] == '\0' && workload->contract) {
        doc_problem(doc, map, "a workload with the contract answers a probe, as in /berth");
    }
    if (mark->split || workload->family[0] != '\0') {
        doc_problem(doc, map,
                    "a divided workload has several parts, and a host and path lead to one; give "
                    "http to a workload that is not split");
    }
    doc_close(doc, map);
}

/* Lower case, because hosts are compared as they are written. */
static bool is_host(const char *host)
{
    size_t label = 0;
    for (const char *at = host; *at != '\0'; at++) {
        bool letter = (*at >= 'a' && *at <= 'z') || (*at >= '0' && *at <= '9');
        if (*at == '.') {
            if (label == 0 || at[-1] == '-') {
                return false;
            }
            label = 0;
        } else if (!letter && (*at != '-' || label == 0)) {
            return false;
        } else if (++label > 63) {
            return false;
        }
    }
    return label > 0 && host[strlen(host) - 1] != '-';
}

/* What stands in a request's first line and in an ingress's map as it is. */
static bool is_path(const char *path)
{
    if (path[0] != '/') {
        return false;
    }
    for (const char *at = path; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~' || strchr("\"'\\?#<>{}|^`", *at) != NULL) {
            return false;
        }
    }
    return true;
}

void app_read_update(struct reader *reader, const struct doc_node *node, struct workload *workload)
{
    struct doc *doc = reader->doc;
    struct update *update = &workload->update;
    const struct doc_node *map = doc_map(doc, node, "update", 0);
    if (map == NULL) {
        return;
    }
    *update = (struct update){.canary_us = CANARY_US,
                              .requests_min = CANARY_REQUESTS,
                              .errors_max_ppm = CANARY_ERRORS,
                              .latency_max_ppm = CANARY_LATENCY};
    if (doc_ratio(doc, map, "canary", DOC_REQUIRED, &update->canary_ppm) &&
        (update->canary_ppm <= 0 || update->canary_ppm > CANARY_MAX_PPM)) {
        doc_problem(doc, doc_get(doc, map, "canary", 0),
                    "a canary's share of the traffic is more than nothing and at most 50%%");
    }
    doc_duration(doc, map, "for", 0, &update->canary_us);
    doc_int(doc, map, "requests", 0, 1, REQUESTS_MAX, &update->requests_min);
    if (doc_ratio(doc, map, "errors", 0, &update->errors_max_ppm) && update->errors_max_ppm > PPM) {
        doc_problem(doc, doc_get(doc, map, "errors", 0),
                    "the part of requests that may fail is at most 100%%");
    }
    if (doc_ratio(doc, map, "latency", 0, &update->latency_max_ppm) &&
        update->latency_max_ppm < PPM) {
        doc_problem(doc, doc_get(doc, map, "latency", 0),
                    "a new version is allowed the old one's latency at least: 100%% or more");
    }
    if (update->canary_us < US_PER_S || update->canary_us > CANARY_US_MAX) {
        doc_problem(doc, map, "a canary is judged for 1s to 24h");
    }
    if (workload->http.path[0] == '\0') {
        doc_problem(doc, map,
                    "update gives a new version a share of the requests, and only ingresses do "
                    "that; give the workload http: or leave update out");
    }
    doc_close(doc, map);
}
