/*
 * metrics: from samples of nodes to changed, quantised estimates for the core.
 *
 * A batch is validated (plausible: no negative counter, no jump beyond what its rate limit allows,
 * no instant ahead of the receiver, sequence not seen before), put into windows per (workload,
 * site), and rolled up: rates from counter differences (a reset, seen by `life` or by a fall,
 * starts a new base and loses nothing of the past), ratios from hits and misses, means. An estimate
 * is emitted when its quantised value differs from the last emitted (quanta: metrics/quantise.h:
 * about 2 % of the value, 1 % points for ratios, with a dead band of one quantum, so that noise
 * around a border does not flap), or to renew its age before policy.metric_age_max_us runs out.
 * Windows are `window_us` long (default 10 s) and an estimate needs a minimum of events in its
 * window to be emitted at all.
 *
 * Pure: instants come in; no clock, thread or file. Memory: one table, LIMIT_METRIC_SERIES at most.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "base/wire/messages.h"
#include "model/types.h"

struct metrics;

struct metrics_options {
    int64_t window_us;  /* 0: 10 s */
    int64_t age_max_us; /* 0: 60 s */
    int64_t events_min; /* requests in a window for a ratio or mean; 0: 20 */
};

struct metrics_refusal {
    uint64_t count;
    char last[LIMIT_TEXT_BYTES]; /* "node n1: requests fell by 3 without a new life" */
};

int metrics_create(const struct metrics_options *options, struct metrics **ret_metrics,
                   struct error *err) WARN_UNUSED;
void metrics_destroy(struct metrics *metrics);

/* Takes a batch. `node` and `site` are what the subject and the hello said, not the payload.
 * `peer_site` maps a sample's peer node to its site (NULL when unknown). now_us: receiver's time.
 */
void metrics_take(struct metrics *metrics, const char *node, const char *site,
                  const struct message_batch *batch, int64_t now_us,
                  const char *(*peer_site)(void *context, const char *node), void *context);
/* Changed estimates since the last call, into out; returns how many (at most max). */
int metrics_changed(struct metrics *metrics, int64_t now_us, struct estimate *out, int max);
/* When metrics_changed may next have something; INT64_MAX: not before another batch. */
int64_t metrics_deadline_us(const struct metrics *metrics, int64_t now_us);
struct metrics_refusal metrics_refused(const struct metrics *metrics);
