/*
 * judge: what was measured of the two sides of a canary since it was first asked about.
 *
 * Counters of single instances, taken from the batches as they come, for the few instances that a
 * canary is about: requests, errors and the sum of latencies. Each is counted by differences per
 * (source, life), from the first reading on, so a batch that comes twice counts once and a restart
 * takes nothing back. A scheduler that starts anew counts from there.
 *
 * Two may tell of the same requests: the instance's own node (what the workload counts), and the
 * ingresses in front of it, each what went through it (message_batch.ingress). They are never
 * added to each other. Both sides are judged by the same of the two: the one of which the side that
 * has less has more; so a workload that does not count is judged by the ingresses. A node that is
 * an ingress itself tells both, in batches apart.
 *
 * Memory: about 30 KB per canary, JUDGES_MAX of them; the one asked about least lately makes way.
 * One thread. Pure.
 */
#pragma once

#include "base/wire/messages.h"
#include "scheduler/core/core.h"

#define JUDGES_MAX   64
#define JUDGE_TRACKS (LIMIT_INGRESSES + 8) /* (source, life) of one side */

struct judges; /* judges_create: NULL without memory */
struct judges *judges_create(void);
void judges_destroy(struct judges *judges);

/* Of a canary, found or begun now; where its sides run. */
struct judge_ask {
    const char *handoff;
    const char *from; /* instances */
    const char *to;
    const char *from_node;
    const char *to_node;
    int64_t now_us;
};
/* Fills what has been measured; nothing (`known` false) when it was begun now, or has no memory. */
void judges_ask(struct judges *judges, const struct judge_ask *ask,
                struct core_judged_side *ret_from, struct core_judged_side *ret_to);
/* A batch of the node or probe `source`. */
void judges_take(struct judges *judges, const char *source, const struct message_batch *batch);
