/*
 * bus_internal: what bus.c shows to jetstream.c and micro.c, which speak with NATS directly. Not
 * for others. The natsConnection is the bus's; it is valid until the next bus_dispatch or
 * bus_close.
 */
#pragma once

#include <nats/nats.h>

#include "base/bus/bus.h"
#include "base/limits.h"

natsConnection *bus_nats(const struct bus *bus);

/* Ends a subscription and frees it, once the thread that reads the connection is past it:
 * nats.c 3.4 may still be looking at a message of it, and then locks freed memory (fixed in 3.6.1).
 * The answer to a ping comes by that thread after all that the server had sent. Blocks for that
 * round trip, at most 2 s; without an answer the subscription is left: the lesser evil. NULL is
 * accepted. */
void bus_subscription_end(natsConnection *connection, natsSubscription *subscription);

/* Returns the error code that belongs to a status, with "sentence: what nats.c says" in *err. */
int bus_status_error(natsStatus status, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Everything that bus.h promises but the callbacks. */
int bus_options_apply(const struct bus_options *options, natsOptions *nats,
                      struct error *err) WARN_UNUSED;

/* As bus_publish, with header lines. */
struct bus_header {
    const char *name;
    const char *value;
};
int bus_publish_headers(struct bus *bus, const char *subject, const char *reply,
                        const struct bus_header *headers, int header_count, const void *data,
                        size_t bytes, struct error *err) WARN_UNUSED;

/* As bus_request, with header lines. */
int bus_request_headers(struct bus *bus, const char *subject, const struct bus_header *headers,
                        int header_count, const void *data, size_t bytes, int64_t timeout_us,
                        bus_handler *handler, void *context, struct error *err) WARN_UNUSED;

/* The status in a message's header line ("NATS/1.0 404 ..."); 0 when it has none. */
int bus_message_status(natsMsg *message);

/* An object's record in its store, as jetstream.c and small_object.c write it. */
struct object_record {
    const char *name;
    const char *nuid;
    const char *digest; /* as stored: "SHA-256=<base64url>" */
    int64_t bytes;
    int64_t chunks;
    bool deleted;
};
/* The caller frees it; NULL: the name is not UTF-8, or there is no memory. */
char *object_record_text(const char *bucket, const struct object_record *record);
int object_record_subject(const char *bucket, const char *name, char *out, size_t capacity,
                          struct error *err) WARN_UNUSED;
/* "sha256:<hex>" to "SHA-256=<base64url>". */
int object_digest_to_store(const char *digest, char out[LIMIT_DIGEST_BYTES]) WARN_UNUSED;

/* A fresh inbox below the bus's private prefix. */
void bus_inbox(const struct bus *bus, char *out, size_t capacity);
