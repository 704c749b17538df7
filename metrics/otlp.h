/*
 * otlp: metrics as OpenTelemetry sends them (OTLP/HTTP, the JSON encoding of
 * ExportMetricsServiceRequest), turned into the samples of a metrics page.
 *
 * Each point becomes what the same metric would be on a Prometheus page (names.h: names, units and
 * "_total"; a histogram's "_count", "_sum" and cumulative "_bucket"), its labels the attributes of
 * the resource and of the point, the point's first. An exponential histogram's buckets come as they
 * are. jansson stays in here.
 *
 * What is not a request at all is an error. A point that is wrong is rejected and counted, and the
 * others are used: what OTLP calls a partial success. Pure; memory is the arena's and jansson's,
 * and ends with the call. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/error.h"
#include "metrics/openmetrics.h"

/* Of the sample that it comes with. */
struct otlp_nature {
    bool delta;       /* what came since the point before; else a total since start_ms */
    int64_t start_ms; /* 0: not told */
};

/* The positive buckets of an exponential histogram: counts[i] is of the values in
 * (base^(offset + i), base^(offset + i + 1)], base = 2^(2^-scale). */
struct otlp_exponential {
    int scale;
    int64_t offset;
    double zero_count;
    const double *counts;
    int count;
};

struct otlp_handler {
    void (*sample)(void *context, const struct metric_sample *sample,
                   const struct otlp_nature *nature);
    /* `sample` has name ("..._bucket"), labels, hash and time, no value. */
    void (*exponential)(void *context, const struct metric_sample *sample,
                        const struct otlp_nature *nature, const struct otlp_exponential *buckets);
    void *context;
};

struct otlp_result {
    int64_t points;
    int64_t rejected;
    char reason[LIMIT_TEXT_BYTES]; /* of the first that was rejected; "" */
};

int otlp_read(const char *text, size_t bytes, struct arena *arena,
              const struct otlp_handler *handler, struct otlp_result *ret_result,
              struct error *err) WARN_UNUSED;
