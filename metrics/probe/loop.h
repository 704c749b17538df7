/*
 * loop: the probe itself: configuration, transfers, receiver, bus and the one thread that serves
 * them.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metrics/probe/config.h"
#include "metrics/probe/ingest.h"
#include "metrics/probe/latency.h"
#include "metrics/probe/publish.h"
#include "metrics/probe/receive.h"
#include "metrics/probe/scrape.h"

struct probe {
    const struct probe_config *config;
    bool once;
    struct ingest *ingest;
    struct web *web;
    struct scraper *scraper;
    struct latency *latency;
    struct receiver *receiver; /* NULL: does not listen */
    struct bus *bus;           /* NULL: publishes nothing */
    struct publisher_bus to;   /* the same, with the probe's proof */
    struct publisher *publisher;
    int epoll_fd;
    int signal_fd;
    int64_t flush_us; /* when what is new is published; INT64_MAX: nothing is */
    int64_t sweep_us;
    int64_t began_us;
};

/* `config` must outlive it. On failure what was opened is closed. */
int probe_open(const struct probe_config *config, bool once, struct probe *ret_probe,
               struct error *err) WARN_UNUSED;
/* Until SIGINT or SIGTERM, or, once, until every target and path was asked. */
int probe_run(struct probe *probe, struct error *err) WARN_UNUSED;
void probe_close(struct probe *probe);

/* One turn, of at most `wait_us` (-1: until something happens). For tests. */
void probe_turn(struct probe *probe, int64_t wait_us);
