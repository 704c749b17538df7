/*
 * small_object: objects of one chunk that are named by their content, put and got in one round trip
 * each, where object_put_file and object_get_fd take four and three: for what somebody waits for.
 * They are objects like all others: jetstream.h reads, lists and deletes them.
 *
 * The chunk's place follows from the name, so it is read without the record; the record is written
 * behind the chunk on the same connection, without waiting for the chunk's acknowledgement, and
 * both are waited for. What is read is checked against the name by the caller.
 *
 * Owner's thread only, and only on a bus of which the caller handles no messages elsewhere: the
 * calls dispatch while they wait.
 */
#pragma once

#include <stddef.h>

#include "base/bus/bus.h"
#include "base/bus/jetstream.h"

/* A message of NATS holds a MiB, its headers included. */
#define SMALL_OBJECT_BYTES (7 * OBJECT_CHUNK_BYTES)

/* `digest` is "sha256:" and 64 hexadecimal digits; the object's name is those digits. Fine when it
 * is there already. After an error it may be there or not. */
int small_object_put(struct bus *bus, const char *bucket, const char *digest, const void *data,
                     size_t bytes, int64_t timeout_us, struct error *err) WARN_UNUSED;
/* *ret_data is malloc'd. ERR_NOT_FOUND: not put by small_object_put, or not there. */
int small_object_get(struct bus *bus, const char *bucket, const char *digest, int64_t timeout_us,
                     void **ret_data, size_t *ret_bytes, struct error *err) WARN_UNUSED;
