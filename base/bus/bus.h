/*
 * bus: one NATS connection with the settings that Berth needs, for a program that runs an epoll
 * loop.
 *
 * nats.c calls back on its own threads: the callbacks copy the message into a bounded queue and
 * poke an eventfd. The owner adds bus_fd() to its loop and calls bus_dispatch() when it is
 * readable: that runs the handlers, on the owner's thread only. A full queue drops the newest
 * message and counts it (bus_stats); handlers must not block.
 *
 * Settings, always: pings every 2 s, 2 missed; reconnect for ever with jitter; a reconnect buffer
 * as small as the library allows and publishes refused (ERR_UNAVAILABLE) while disconnected, since
 * a buffered command is a stale command; global message delivery; a private inbox prefix; nkey
 * authentication from a seed file. No no-responders wait: a request without responder fails at once
 * with ERR_UNAVAILABLE.
 *
 * Threads: everything is the owner's thread, but bus_publish, which any thread may call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bus;
struct bus_subscription;

struct bus_options {
    const char *url;            /* "nats://127.0.0.1:4222"; several separated by commas */
    const char *name;           /* shown by the server: "berth-node/n1" */
    const char *seed_path;      /* file with the nkey seed, mode 0600; NULL: none */
    const char *inbox_prefix;   /* "_INBOX.n1"; NULL: the library's */
    int64_t connect_timeout_us; /* of the first connect; 0: 5 s */
    int64_t ping_us;            /* 0: 2 s */
    bool connect_retry;         /* keep trying in the background when the first connect fails */
    /* Called by bus_dispatch after the state changed (the first time with true, once connected; a
     * connection lost and back between two dispatches is told as false, then true); may be NULL. */
    void (*on_state)(void *context, bool connected);
    void *context;
};

struct bus_message {
    const char *subject;
    const char *reply; /* "" when none */
    const char *data;  /* `bytes` bytes, and a terminating zero behind them */
    size_t bytes;
    int status; /* 0, or the NATS status header: 503 no responders */
};

typedef void bus_handler(void *context, const struct bus_message *message);

int bus_open(const struct bus_options *options, struct bus **ret_bus,
             struct error *err) WARN_UNUSED;
/* Flushes (at most 1 s), closes, frees. NULL is accepted. Not from a handler. Handlers of requests
 * still open are not called. */
void bus_close(struct bus *bus);

int bus_fd(const struct bus *bus);
/* Runs the handlers of at most `max` waiting messages; returns how many. */
int bus_dispatch(struct bus *bus, int max);
bool bus_connected(const struct bus *bus);

/* queue NULL: a plain subscription. */
int bus_subscribe(struct bus *bus, const char *subject, const char *queue, bus_handler *handler,
                  void *context, struct bus_subscription **ret_subscription,
                  struct error *err) WARN_UNUSED;
/* Stops at once: no handler runs any more, also for what has arrived. NULL is fine. */
void bus_unsubscribe(struct bus_subscription *subscription);
/* Leaves without losing what was already sent here: tells the server, waits until its last message
 * has come, runs the handlers of all that wait (of every subscription), and flushes their answers.
 * Afterwards the subscription gets nothing more and only bus_unsubscribe remains. Not from a
 * handler. ERR_TIMEOUT: the drain goes on in the background. */
int bus_drain(struct bus_subscription *subscription, int64_t timeout_us,
              struct error *err) WARN_UNUSED;

int bus_publish(struct bus *bus, const char *subject, const char *reply, const void *data,
                size_t bytes, struct error *err) WARN_UNUSED;
int bus_flush(struct bus *bus, int64_t timeout_us, struct error *err) WARN_UNUSED;

/* Asynchronous request: `handler` gets the answer, or a message with status 503 (no responder) or
 * 408 (timed out), exactly once, from bus_dispatch. Timeouts are found by bus_dispatch: call it at
 * least every bus_timeout_us(). */
int bus_request(struct bus *bus, const char *subject, const void *data, size_t bytes,
                int64_t timeout_us, bus_handler *handler, void *context,
                struct error *err) WARN_UNUSED;
int64_t bus_timeout_us(const struct bus *bus); /* until the next request times out; -1: none */

/* Synchronous request, for tools without a loop; *ret_data is malloc'd and terminated. */
int bus_call(struct bus *bus, const char *subject, const void *data, size_t bytes,
             int64_t timeout_us, char **ret_data, size_t *ret_bytes, struct error *err) WARN_UNUSED;

/* What the server says of itself, read from a connection of its own (at most 2 s). */
struct bus_server {
    char version[32]; /* "2.10.27" */
    bool jetstream;
    bool auth_required;
    int64_t max_payload_bytes;
};
int bus_server(struct bus *bus, struct bus_server *ret_server, struct error *err) WARN_UNUSED;
/* Its version alone ("2.10.27"); negative when it cannot be had. */
int bus_server_version(struct bus *bus, char *out, size_t capacity) WARN_UNUSED;

struct bus_stats {
    uint64_t received;
    uint64_t dropped; /* queue full */
    uint64_t reconnects;
    uint64_t denied; /* publishes and subscriptions that the server refused, found out later */
};
struct bus_stats bus_stats(const struct bus *bus);
/* The last trouble the server or the library told outside of a call ("Permissions Violation for
 * Publish to ..."); "" when none. */
void bus_trouble(const struct bus *bus, char *out, size_t capacity);
