/*
 * sketch: how whole numbers (latencies in microseconds) were distributed, small and mergeable.
 *
 * A base-2 exponential histogram as in OpenTelemetry: with base = 2^(2^-scale), bucket i counts the
 * values in (base^i, base^(i+1)]; 0 has a count of its own. Scale 6, the finest one here, has a
 * base of 1.0109: a quantile is at most 0.54 % from the value that it stands for; the next coarser
 * one, 1.08 %, would miss the 1 % that is promised. Buckets are dense, as many as the values reach,
 * at most LIMIT_SKETCH_BUCKETS (16 KiB; a range of 1 to 2^32 at scale 6). A range that needs more,
 * or memory that is not to be had, lowers the scale, which adds neighbours in pairs: no count is
 * lost, and sketch_error_ppm says what is left of the precision.
 *
 * Adding takes no logarithm: the exponent comes from the leading zeros, the step inside an octave
 * from a table over seven bits of the mantissa and one comparison with the exact bound.
 *
 * Pure; executors link it. A sketch is zeroed memory at first and owns its buckets (sketch_done).
 * One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"
#include "base/wire/messages.h"

#define SKETCH_SCALE_MAX 6
#define SKETCH_SCALE_MIN (-10) /* one bucket for all */
#define SKETCH_STEPS     64    /* buckets of an octave at SKETCH_SCALE_MAX */
/* A blob is at most that large: a head, and per bucket at most ten bytes. */
#define SKETCH_BLOB_BYTES (48 + 10 * LIMIT_SKETCH_BUCKETS)

struct sketch {
    int coarser;           /* SKETCH_SCALE_MAX - scale */
    int32_t offset;        /* the index of counts[0] */
    uint32_t room;         /* buckets that counts has */
    uint64_t count;        /* of all values, zero_count included */
    uint64_t zero_count;   /* 0 and, by a caller's mistake, less */
    uint64_t lost;         /* values that found no memory at all for a first bucket */
    unsigned __int128 sum; /* exact */
    uint64_t *counts;
};

extern const uint64_t sketch_bounds[SKETCH_STEPS + 1]; /* 2^63 * 2^(i/64), rounded down */
extern const uint8_t sketch_slots[128];                /* the step where a cell of 1/128 begins */

/* The index of value > 0 at SKETCH_SCALE_MAX; -1 (for 1) to 4031. */
static inline int32_t sketch_index(uint64_t value)
{
    int zeros = __builtin_clzll(value);
    uint64_t mantissa = value << zeros;
    int32_t step = sketch_slots[mantissa >> 56 & 127];
    step += mantissa > sketch_bounds[step + 1];
    /* A power of two is the upper end of its bucket, and the only bound that is a whole number. */
    step -= mantissa == sketch_bounds[0];
    return (63 - zeros) * SKETCH_STEPS + step;
}

void sketch_done(struct sketch *sketch);  /* frees the buckets; NULL and zeroed are accepted */
void sketch_clear(struct sketch *sketch); /* no values, the finest scale; keeps its memory */

void sketch_add_count(struct sketch *sketch, int64_t value, uint64_t count);
static inline void sketch_add(struct sketch *sketch, int64_t value)
{
    if (__builtin_expect(value > 0, 1)) {
        int32_t index = sketch_index((uint64_t)value) >> sketch->coarser;
        uint32_t at = (uint32_t)index - (uint32_t)sketch->offset;
        if (__builtin_expect(at < sketch->room, 1)) {
            sketch->counts[at]++;
            sketch->count++;
            sketch->sum += (uint64_t)value;
            return;
        }
    }
    sketch_add_count(sketch, value, 1);
}

/* Adds all of `from`, at the coarser of both scales. */
void sketch_merge(struct sketch *into, const struct sketch *from);
/* Takes away what `earlier`, a state of the same sketch, had: what came since then. False when it
 * was no earlier state (a count would fall below 0); then nothing is changed. */
bool sketch_subtract(struct sketch *from, const struct sketch *earlier);

int sketch_scale(const struct sketch *sketch);
/* How far a quantile may be from the value that it stands for, in ppm of the value. */
int64_t sketch_error_ppm(const struct sketch *sketch);
/* The value below or at which q_ppm of all values are (the one of rank ceil(q * count)), within
 * sketch_error_ppm; -1 when there are none. Not rounded: a whole number between 93 and 185 would be
 * off by more than the bucket is wide. */
double sketch_quantile(const struct sketch *sketch, int64_t q_ppm);
size_t sketch_bytes(const struct sketch *sketch); /* all its memory */

/* ---- sketch_codec.c ---- */
/* Points into the sketch; names and kind are the caller's to fill. A sum past 2^63 - 1 is said as
 * that. */
void sketch_to_message(const struct sketch *sketch, struct message_sketch *out);
/* Adds what a message says. ERR_INVALID (and nothing added) when its count is not what its buckets
 * sum up to or a bucket is for values past 2^63. A finer scale than ours is coarsened. */
int sketch_merge_message(struct sketch *into, const struct message_sketch *message,
                         struct error *err) WARN_UNUSED;

/* To SKETCH_BLOB_BYTES at most, and back: `into` gets what the blob has added. Little bytes: counts
 * as variable-length integers, runs of empty buckets as their length. */
size_t sketch_to_blob(const struct sketch *sketch, uint8_t out[SKETCH_BLOB_BYTES]);
int sketch_merge_blob(struct sketch *into, const uint8_t *blob, size_t bytes,
                      struct error *err) WARN_UNUSED;

/* The members of an OTLP/JSON ExponentialHistogramDataPoint: "count", "sum", "scale", "zeroCount",
 * "positive"; without braces, so that a caller adds attributes and times. */
void sketch_write_otlp(const struct sketch *sketch, struct strbuf *out);
/* The value of a native histogram sample, as OpenMetrics 2.0 writes it:
 * {count:..,sum:..,schema:..,zero_threshold:0,zero_count:..,positive_spans:[..],
 * positive_buckets:[..]}. Its indices are one above ours: it names a bucket by its upper end. */
void sketch_write_openmetrics(const struct sketch *sketch, struct strbuf *out);
