/*
 * service: the scheduler's production shell: one thread around epoll that turns messages, timers
 * and solver answers into core events, appends them to the journal, and carries the effects out.
 *
 * Order of a round: collect waiting events, step the core for each, append the whole batch with one
 * commit, then let the effects leave. Control requests are answered after the commit. Everything
 * that blocks (solving) is in other processes. docs/control.md describes the control interface.
 *
 * A start replays the journal from its newest usable snapshot, which is taken at a clean stop
 * (SIGTERM, SIGINT) and every snapshot_records records. Records of another version of Berth are not
 * replayed: an upgrade begins with a clean stop of the old version, and is refused without one.
 *
 * A journal that refuses (a full disk) stops no workload: nothing of the round leaves, the core is
 * rebuilt from the journal, changes are refused with ERR_IO until an append succeeds again. Signals
 * are taken through a signalfd: service_open blocks SIGTERM and SIGINT. One service per process.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct service;

struct service_options {
    const char *state_dir; /* journal.db lives there */
    const char *nats_url;
    const char *seed_path;     /* nkey seed of the scheduler user; NULL: a server without users */
    const char *keys_dir;      /* public keys of nodes, probes, operators; NULL: beside the seed */
    const char *solver_path;   /* NULL: beside the program */
    const char *world_path;    /* applied at start when the journal has no world yet; NULL: none */
    uint64_t snapshot_records; /* between two snapshots; 0: 10,000 */
    const char *metrics_address; /* "HOST:PORT" of the metrics page; NULL: none */
    const char *name;            /* of its user on the bus, for the inbox; NULL: "scheduler" */
};

int service_open(const struct service_options *options, struct service **ret_service,
                 struct error *err) WARN_UNUSED;
/* Until SIGTERM or SIGINT; 0, or an error that ends the service. */
int service_run(struct service *service, struct error *err) WARN_UNUSED;
void service_close(struct service *service);
