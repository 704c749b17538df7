/*
 * metrics: from samples of nodes and probes to changed, quantised estimates for the core.
 *
 * A batch is validated (plausible.h: no negative counter, no jump beyond what its rate allows, no
 * clock that leaps, no sequence seen before) and put into windows, one per claim: what one source
 * says of one workload at one site, or of the way between two sites. Counters count by differences
 * (a reset, seen by `life`, starts a new base and loses nothing of the past); latencies come as
 * sketches, which are merged. Estimates are made of the claims of a (workload, site): rates,
 * ratios, means, the 99th percentile; each with its spread (one standard error: Poisson for rates,
 * binomial for ratios, from the scatter of the window's stretches for means) and for how long it
 * has been observed, in coarse steps.
 *
 * An estimate is emitted when its quantised value differs from the last emitted (quanta:
 * metrics/quantise.h: about 2 % of the value, 1 % points for ratios, with a dead band, so that
 * noise around a border does not flap), when its spread has changed by a factor of two, or to renew
 * its age before policy.metric_age_max_us runs out. Windows are `window_us` long (default 10 s) and
 * an estimate needs a minimum of events in its window to be emitted at all.
 *
 * A claim that its peers contradict is suspect and counts for nothing until it has agreed for a
 * window: sources of one (workload, site) are compared in what a request costs, takes and hits, a
 * round trip with what the other end measures, and all with what probes see. Where two disagree and
 * nobody else can tell, neither counts. What only a suspect could tell, and every rate that it is a
 * part of, is not said at all and grows stale: that holds a move back and causes none.
 *
 * Segments: a sample with a segment counts for its workload's totals; of a part of a split workload
 * ("tiles--n1") its calls and bytes are said of the segment's own part ("tiles--n2").
 *
 * Probes may speak about any site; where nodes tell the same thing themselves, a probe's word only
 * judges theirs, so nothing is counted twice.
 *
 * Pure: instants come in; no clock, thread or file. Memory: LIMIT_METRIC_SERIES / 4 instances, half
 * as many claims, LIMIT_NODES sources; what was silent for ten minutes makes way.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"
#include "model/types.h"

struct metrics;

/* Whose readings: names are "" where they do not apply. For round trips only site and peer are. */
struct metrics_key {
    const char *namespace_;
    const char *app;
    const char *workload;
    const char *segment;
    const char *site;
    const char *peer;
};

struct metrics_reading {
    int kind; /* enum sample_kind */
    int64_t value;
};

/* Gets every reading that was found plausible: what a counter grew by, or a gauge's value. */
struct metrics_sink {
    void *context;
    /* A number for a key, from 0, kept for as long as `metrics`; negative: not wanted. */
    int (*row)(void *context, const struct metrics_key *key, int64_t now_us);
    void (*add)(void *context, int row, int kind, int64_t value, int64_t now_us);
    void (*add_sketch)(void *context, int row, const struct message_sketch *sketch, int64_t now_us);
    /* As add, for all that a batch says of one row at a time; NULL: add gets them one by one. */
    void (*add_all)(void *context, int row, const struct metrics_reading *list, int count,
                    int64_t now_us);
};

struct metrics_options {
    int64_t window_us;  /* 0: 10 s */
    int64_t age_max_us; /* 0: 60 s */
    int64_t events_min; /* requests in a window for a ratio or mean; 0: 20 */
    struct metrics_sink sink;
};

struct metrics_refusal {
    uint64_t count;              /* of readings and batches refused, and of times a source fell */
    uint64_t suspected;          /* of the latter */
    int suspects;                /* claims that do not count at present */
    char last[LIMIT_TEXT_BYTES]; /* "node n1: requests fell by 3 without a new life" */
};

int metrics_create(const struct metrics_options *options, struct metrics **ret_metrics,
                   struct error *err) WARN_UNUSED;
void metrics_destroy(struct metrics *metrics);

/* Takes a batch. `node` and `site` are what the subject and the hello said, not the payload; a
 * `site` of NULL: it is a probe, whose samples name their sites. `site_of` maps a peer (a node, or
 * for probes a site) to its site (NULL when unknown). now_us: receiver's time. */
void metrics_take(struct metrics *metrics, const char *node, const char *site,
                  const struct message_batch *batch, int64_t now_us,
                  const char *(*site_of)(void *context, const char *peer), void *context);
/* Changed estimates since the last call, into out; returns how many (at most max; when that many,
 * there may be more). */
int metrics_changed(struct metrics *metrics, int64_t now_us, struct estimate *out, int max);
/* When metrics_changed may next have something; INT64_MAX: not before another batch. */
int64_t metrics_deadline_us(const struct metrics *metrics, int64_t now_us);
struct metrics_refusal metrics_refused(const struct metrics *metrics);

/* Quantiles of the latency of a workload at a site, in microseconds, from its merged sketches. */
struct metrics_latency {
    uint64_t count;
    double p50_us;
    double p95_us;
    double p99_us;
    int64_t error_ppm;
};
/* False when there were none lately. key.segment and key.peer are not looked at. */
bool metrics_latency(const struct metrics *metrics, const struct metrics_key *key, int64_t now_us,
                     struct metrics_latency *ret_latency);
