/*
 * receive: OTLP/HTTP with JSON bodies, taken from programs that push: POST /v1/metrics, plain or
 * gzip; and GET /metrics, what the probe knows of itself.
 *
 * The answers are OTLP's: 200 with {} or a partialSuccess that counts the points that were
 * rejected; 400 for what is no request, 413 over LIMIT_OTLP_BYTES (before or after unpacking), 415
 * for another encoding of the body or of the message, 503 with Retry-After while more than
 * RECEIVE_WAITING_BYTES are being taken in. A request counts as a whole or not at all.
 * libmicrohttpd runs inside the owner's loop, without threads of its own. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "metrics/probe/config.h"
#include "metrics/probe/ingest.h"

#define RECEIVE_WAITING_BYTES (64 << 20)
#define RECEIVE_CONNECTIONS   256

struct receiver;

struct receiver_totals {
    int64_t requests;
    int64_t refused; /* that were not answered with 200 */
    int64_t points;
    int64_t rejected;
};

struct receiver_options {
    const struct probe_config *config;
    struct ingest *ingest;
    uint32_t target; /* the number of its pages for ingest: one that no target has */
    /* Writes the page of GET /metrics; may be NULL. */
    void (*write_metrics)(void *context, struct strbuf *out);
    void *context;
};

int receiver_create(const struct receiver_options *options, struct receiver **ret_receiver,
                    struct error *err) WARN_UNUSED;
void receiver_destroy(struct receiver *receiver);

int receiver_fd(const struct receiver *receiver);
int receiver_port(const struct receiver *receiver);           /* that it listens on */
int64_t receiver_timeout_us(const struct receiver *receiver); /* -1: only by receiver_fd */
void receiver_dispatch(struct receiver *receiver);
struct receiver_totals receiver_totals(const struct receiver *receiver);

/* Unpacks gzip into `out`; ERR_LIMIT past the ceiling of `out`, ERR_INVALID for what is no gzip or
 * ends early. */
int receive_gunzip(const char *data, size_t bytes, struct strbuf *out,
                   struct error *err) WARN_UNUSED;
