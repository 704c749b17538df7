/*
 * publish: what a probe knows, on the bus: batches on berth.v1.probe.<probe>.metrics, each within
 * LIMIT_SAMPLES_BATCH, LIMIT_SKETCHES_BATCH and LIMIT_WIRE_BYTES.
 *
 * While the bus is away nothing is lost but time: counters are totals, and sketches wait. One
 * thread.
 */
#pragma once

#include <stdint.h>

#include "base/bus/bus.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/keys/proof.h"
#include "metrics/probe/config.h"
#include "metrics/probe/ingest.h"
#include "metrics/probe/latency.h"

struct publisher;

struct publisher_totals {
    int64_t batches;
    int64_t samples;
    int64_t sketches;
    int64_t bytes;
    int64_t failures; /* batches that the bus did not take */
};

/* Gives the text of each batch; negative: not taken. The bus's, or a test's. */
typedef int publisher_sink(void *context, const char *subject, const char *text, size_t bytes,
                           struct error *err);

int publisher_create(const struct probe_config *config, publisher_sink *sink, void *context,
                     struct publisher **ret_publisher, struct error *err) WARN_UNUSED;
void publisher_destroy(struct publisher *publisher);
/* A publisher_sink whose context is a publisher_bus: batches leave with the probe's proof. */
struct publisher_bus {
    struct bus *bus;
    struct proof_link link;
};
int publisher_to_bus(void *context, const char *subject, const char *text, size_t bytes,
                     struct error *err);

/* Publishes all that is new. `latency` may be NULL. The first failure ends it and is returned. */
int publisher_flush(struct publisher *publisher, struct ingest *ingest, struct latency *latency,
                    int64_t now_us, struct error *err) WARN_UNUSED;
struct publisher_totals publisher_totals(const struct publisher *publisher);
