/*
 * kv: keys with one value each in a JetStream key-value bucket (ADR-8), over the raw API subjects:
 * read, and written by compare-and-set on the key's revision. nats.go, nats.js and `nats kv` read
 * and write the same buckets.
 *
 * For event loops: kv_get, kv_put and kv_bucket_make send and return at once; the handler gets
 * JetStream's answer as it came (bus.h), and the function of the same name reads it. Answers with
 * a status (503: nobody answers; 408: too late) read as ERR_UNAVAILABLE and ERR_TIMEOUT: then
 * nobody knows whether a put was done.
 *
 * A key is made of letters, digits and "-_=/.", not beginning or ending with a dot, as ADR-8 says.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bus/bus.h"
#include "base/error.h"

#define KV_VALUE_BYTES 1024 /* of a value that is read; longer ones are refused */

/* A bucket that keeps the last value of each key. Blocks: for a program's start. An existing one
 * must have what this needs: one value per key at least, in files. */
int kv_bucket_ensure(struct bus *bus, const char *bucket, struct error *err) WARN_UNUSED;
/* The same without waiting, and without a look at what is there: for one that went away. */
int kv_bucket_make(struct bus *bus, const char *bucket, int64_t timeout_us, bus_handler *handler,
                   void *context, struct error *err) WARN_UNUSED;
int kv_bucket_made(const struct bus_message *answer, struct error *err) WARN_UNUSED;

struct kv_entry {
    uint64_t revision; /* 0: there is no such key */
    size_t bytes;      /* 0 too for one that was deleted */
    char value[KV_VALUE_BYTES + 1];
};
int kv_get(struct bus *bus, const char *bucket, const char *key, int64_t timeout_us,
           bus_handler *handler, void *context, struct error *err) WARN_UNUSED;
/* A key that is not there is no error: revision 0. ERR_NOT_FOUND: the bucket is not there. */
int kv_got(const struct bus_message *answer, struct kv_entry *ret_entry,
           struct error *err) WARN_UNUSED;

/* Only if the key's revision is `expected` (0: it was never written). */
int kv_put(struct bus *bus, const char *bucket, const char *key, uint64_t expected,
           const void *value, size_t bytes, int64_t timeout_us, bus_handler *handler, void *context,
           struct error *err) WARN_UNUSED;
/* ERR_STALE: somebody wrote it meanwhile. */
int kv_was_put(const struct bus_message *answer, uint64_t *ret_revision,
               struct error *err) WARN_UNUSED;
