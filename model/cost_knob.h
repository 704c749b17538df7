/*
 * cost_knob: one input of a cost_slice that can be turned by itself: a workload's calls, its hit
 * ratio, CPU time and bytes, a round trip, a price, a weight.
 *
 * What a knob turns is what the model uses: the estimate in force if there is one (wherever it is
 * used, it turns along), else the document's prior, with all that is stated in proportion to it. A
 * knob that is set to its present value leaves the slice as it was, to the bit.
 *
 * Values are integers, as the model has them; prices and weights are coefficients of `scale`
 * decimals. Knobs live in the arena and are good as long as their slice. One thread.
 */
#pragma once

#include "model/cost_slice.h"

enum cost_knob_kind {
    KNOB_CALLS,    /* milli-hertz */
    KNOB_HIT,      /* ppm, 0..PPM */
    KNOB_CPU,      /* nanoseconds per call */
    KNOB_REQUEST,  /* bytes, of one link or of all that the callee is measured by */
    KNOB_RESPONSE, /* bytes */
    KNOB_RTT,      /* microseconds, both ways */
    KNOB_CPU_PRICE,
    KNOB_MEMORY_PRICE,
    KNOB_STORAGE_PRICE,
    KNOB_EGRESS, /* the first tier's price; all tiers in proportion */
    KNOB_LATENCY_WEIGHT,
    KNOB_DEVICE_WEIGHT,
};

struct cost_knob {
    enum cost_knob_kind kind;
    int app; /* of the slice, as all indices here; -1: none */
    int workload;
    int link; /* -1: every call of the workload */
    int variant;
    int site;
    int peer;
    int rule;
    int estimate;    /* in slice->values; -1: the prior is in force */
    int64_t present; /* the value that the model uses */
    int scale;       /* of prices and weights */
};

struct cost_knobs {
    struct cost_knob *list;
    int count;
    int capacity;
};

int cost_knobs_begin(struct cost_knobs *knobs, int capacity, struct arena *arena) WARN_UNUSED;

/* Each adds the knob if there is something to turn and it is not in the list yet. `at`: where the
 * workload is; at site -1 every estimate of the workload that there is becomes a knob of its own.
 */
void cost_knob_workload(const struct cost_slice *slice, struct cost_knobs *knobs,
                        enum cost_knob_kind kind, int app, int workload, struct placement at);
/* The bytes of a link's requests or responses; `at`: where its callee is. */
void cost_knob_bytes(const struct cost_slice *slice, struct cost_knobs *knobs,
                     enum cost_knob_kind kind, int app, int link, struct placement at);
void cost_knob_rtt(const struct cost_slice *slice, struct cost_knobs *knobs, int from, int to);
void cost_knob_price(const struct cost_slice *slice, struct cost_knobs *knobs,
                     enum cost_knob_kind kind, int site);
void cost_knob_egress(const struct cost_slice *slice, struct cost_knobs *knobs, int rule);
void cost_knob_weight(const struct cost_slice *slice, struct cost_knobs *knobs,
                      enum cost_knob_kind kind, int app);

/* Sets the value; cost_slice_prepare makes it count. What does not fit is set to the largest. */
void cost_knob_turn(struct cost_slice *slice, const struct cost_knob *knob, int64_t value);

/* One standard error of the present value: the estimate's own, or the policy's for a prior and for
 * an estimate that is old, or too short an observation to tell its own error. A hit ratio that is
 * old is at least as sure as it agrees with what is measured of the workload now, elsewhere. 0:
 * exact. */
int64_t cost_knob_error(const struct cost_slice *slice, const struct cost_knob *knob);
