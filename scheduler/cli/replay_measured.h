/*
 * replay_measured: what a scheduler's rollups say of caches and bytes, as events of a replay.
 *
 * A workload's hit ratio (where its document has a cache) and the mean bytes of its requests and
 * responses (where somebody calls it) become overrides of a scenario (docs/simulator.md): from the
 * beginning on, and again whenever they have moved. They are means over all sites and over whole
 * windows of the time, but for what `sets` says something of; windows are as short as
 * REPLAY_WINDOWS and the scenario's number of events allow. One thread.
 */
#pragma once

#include "base/error.h"
#include "base/str.h"
#include "scheduler/cli/options.h"
#include "scheduler/service/past.h"

#define REPLAY_WINDOWS 24 /* at most, of whole hours */

struct replay_time {
    int64_t from_us;
    int64_t to_us;
};

/* Appends "  - {at: ..., set: [...]}" lines, `room` of them at most; *ret_left is how many
 * workloads found none: those that were called least. `database` is a scheduler's metrics.db. */
int replay_measured(const char *database, const struct past *past, const struct replay_time *time,
                    const struct option_list *sets, int room, struct strbuf *out, int *ret_left,
                    struct error *err) WARN_UNUSED;
