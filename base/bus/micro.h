/*
 * micro: NATS service discovery (ADR-32) on a bus: $SRV.PING, INFO and STATS for one service with
 * its endpoints, so that `nats micro ls` and nats.js see Berth's control. Emits every field that
 * the nats CLI validates. Owner's thread, through bus_dispatch.
 */
#pragma once

#include "base/bus/bus.h"

struct micro;

struct micro_options {
    const char *name;    /* [A-Za-z0-9_-]+ */
    const char *version; /* semver */
    const char *description;
    const char *id; /* unique per process */
};

int micro_open(struct bus *bus, const struct micro_options *options, struct micro **ret_micro,
               struct error *err) WARN_UNUSED;
void micro_close(struct micro *micro);

/* An endpoint: a queue subscription on `subject` in group "q". The handler answers with
 * micro_respond or micro_fail, now or later (it copies what it needs; `token` names the request).
 */
typedef void micro_handler(void *context, uint64_t token, const struct bus_message *message);
int micro_endpoint(struct micro *micro, const char *name, const char *subject,
                   micro_handler *handler, void *context, struct error *err) WARN_UNUSED;
void micro_respond(struct micro *micro, uint64_t token, const void *data, size_t bytes);
/* Adds the headers Nats-Service-Error and Nats-Service-Error-Code; the body stays ours. */
void micro_fail(struct micro *micro, uint64_t token, int http_code, const char *text,
                const void *data, size_t bytes);
