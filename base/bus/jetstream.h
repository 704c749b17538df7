/*
 * jetstream: the little of JetStream that Berth uses, over the raw API subjects: streams, the
 * object store (ADR-20) and its reading back. nats.js and nats.go read and write the same stores.
 *
 * Calls block up to their timeout: tools and worker threads use them, no event loop does. Every
 * created stream's returned configuration is compared with what was asked for.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/bus/bus.h"
#include "base/error.h"
#include "base/limits.h"

#define OBJECT_CHUNK_BYTES 131072

/* Creates the stream or accepts an equal one; subjects separated by commas; max_age_us 0: for ever.
 */
int stream_ensure(struct bus *bus, const char *name, const char *subjects, int64_t max_age_us,
                  int64_t max_bytes, struct error *err) WARN_UNUSED;

/* The same without waiting, and without a look at what is there: for one that went away with its
 * server's store while the program runs. An equal one stays as it is. The handler gets JetStream's
 * answer as it came; kv_bucket_made (kv.h) reads it. */
int stream_make(struct bus *bus, const char *name, const char *subjects, int64_t max_age_us,
                int64_t max_bytes, int64_t timeout_us, bus_handler *handler, void *context,
                struct error *err) WARN_UNUSED;

/* Reads messages of a stream in order, from sequence `from` (1 = first), at most `max`, those whose
 * subject matches `filter` (NULL: all); calls handler for each; returns how many. *ret_last is the
 * sequence of the last. */
int stream_read(struct bus *bus, const char *name, const char *filter, uint64_t from, int max,
                int64_t timeout_us, bus_handler *handler, void *context, uint64_t *ret_last,
                struct error *err) WARN_UNUSED;

int object_bucket_ensure(struct bus *bus, const char *bucket, struct error *err) WARN_UNUSED;
/* As stream_make. */
int object_bucket_make(struct bus *bus, const char *bucket, int64_t timeout_us,
                       bus_handler *handler, void *context, struct error *err) WARN_UNUSED;

/* Puts a file; ret_digest (LIMIT_DIGEST_BYTES) gets "sha256:<hex>". Readers see the old object or
 * the new one, never half. On failure the new chunks are purged. */
int object_put_file(struct bus *bus, const char *bucket, const char *name, const char *path,
                    char *ret_digest, struct error *err) WARN_UNUSED;

/* Fetches into the open file `fd`, checking size and digest of the store's own record; refuses more
 * than bytes_max. ret_digest as above. ERR_NOT_FOUND when absent or deleted. */
int object_get_fd(struct bus *bus, const char *bucket, const char *name, int fd, int64_t bytes_max,
                  char *ret_digest, struct error *err) WARN_UNUSED;

struct object_info {
    char name[LIMIT_NAME_BYTES * 2];
    int64_t bytes;
    int64_t chunks;
    char digest[LIMIT_DIGEST_BYTES];
};
int object_stat(struct bus *bus, const char *bucket, const char *name, struct object_info *ret_info,
                struct error *err) WARN_UNUSED;
int object_delete(struct bus *bus, const char *bucket, const char *name,
                  struct error *err) WARN_UNUSED;
