/*
 * latency: how far other sites are, measured from here.
 *
 * Of each path several tries are made one after the other in each interval: a TCP connection (its
 * time is one round trip), an HTTP request on a connection of its own (the connection is the round
 * trip; the first byte of the answer is told beside it), or a request that a node echoes over
 * NATS (which includes the way through the servers). The shortest is what is published as the round
 * trip: what is longer waited somewhere. A path of which no try was answered says nothing that
 * round. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/bus/bus.h"
#include "base/error.h"
#include "base/wire/messages.h"
#include "metrics/probe/config.h"
#include "metrics/probe/web.h"

/* The last round of a path. */
struct path_health {
    int64_t rounds;
    int sent;
    int answered;
    int64_t min_us; /* 0: no answer */
    int64_t median_us;
    int64_t first_byte_us;       /* HTTP: the shortest, from the request sent; 0: none */
    int64_t good_us;             /* when a round was last answered; 0: never */
    char text[LIMIT_TEXT_BYTES]; /* why the last unanswered try was none; "" */
};

struct latency;

struct latency_options {
    const struct probe_config *config;
    struct web *web;
    struct bus *bus; /* NULL: NATS paths have no answer */
    bool once;
    int64_t now_us;
    /* After each round, `changed` when it begins or ceases to answer; may be NULL. */
    void (*on_round)(void *context, int path, const struct path_health *health, bool changed);
    void *context;
};

int latency_create(const struct latency_options *options, struct latency **ret_latency,
                   struct error *err) WARN_UNUSED;
void latency_destroy(struct latency *latency);
void latency_tick(struct latency *latency, int64_t now_us);
int64_t latency_timeout_us(const struct latency *latency, int64_t now_us); /* -1: nothing */
bool latency_idle(const struct latency *latency);
const struct path_health *latency_health(const struct latency *latency, int path);

/* The round trips of the rounds that ended since the last call, at most `max`. Texts live as long
 * as the configuration. */
int latency_take(struct latency *latency, struct message_sample *samples, int max);
