/*
 * nats_client: requests to a NATS service whose answers come back by their number, for the clients
 * that judge owners. A request may be sent again; each answer is told to the handler, on a thread
 * of nats.c.
 */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

enum nats_said {
    NATS_SAID_ANSWER,
    NATS_SAID_REFUSAL, /* a service error */
    NATS_SAID_NOBODY   /* no responders */
};

typedef void nats_client_handler(void *context, int64_t number, enum nats_said said,
                                 const char *data, int bytes);

struct nats_client {
    natsConnection *connection;
    natsSubscription *subscription;
    char inbox[LIMIT_SUBJECT_BYTES];
    nats_client_handler *handler;
    void *context;
};

struct nats_client_options {
    const char *url;
    const char *seed_path;    /* NULL: no key */
    const char *inbox_prefix; /* "_INBOX" */
};

int nats_client_open(struct nats_client *client, const struct nats_client_options *options,
                     struct error *err) WARN_UNUSED;
void nats_client_close(struct nats_client *client); /* past this, the handler is not called */
int nats_client_ask(struct nats_client *client, const char *subject, int64_t number,
                    const char *text) WARN_UNUSED;
/* Asks and waits; the answer's text, terminated, or an error. */
int nats_client_call(struct nats_client *client, const char *subject, const char *text,
                     int64_t timeout_us, char *out, size_t capacity, struct error *err) WARN_UNUSED;
