/*
 * owner: a NATS service of which one copy serves at a time, under the workload contract for owners.
 *
 * It connects, subscribes to its `at` subject and says ready: a standby. "own" makes it subscribe
 * to the service's subject and serve. "freeze" lets the request end that is under way, then nothing
 * is served any more; what still comes is refused with "frozen" for `linger_us`, so that
 * nobody's request falls into a hole, then the subscription ends. The linger is to be longer than
 * the round trip to who asks, as their server goes on sending here for so long. It is no longer
 * than that, as a server prefers subscribers of its own to those behind a leaf: until this one has
 * gone, a next owner far away is not asked.
 *
 * By hand, without $BERTH_SOCKET, it owns at once, by the epoch 1.1.
 *
 * Callbacks come one at a time: `serve` on a thread of nats.c, the others on the main thread.
 * `snapshot` alone runs while `serve` does; it takes owner_lock for what must hold together.
 */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "executors/contract/berth_fence.h"
#include "executors/contract/berth_workload.h"

#define OWNER_LINGER_US INT64_C(100000) /* what the examples take unless they are told */

struct owner;

struct owner_options {
    const char *subject;
    int64_t linger_us;
    void *context;
    /* A request; it is answered with owner_reply or owner_refuse, before this returns. */
    void (*serve)(struct owner *owner, natsMsg *request, void *context);
    /* It is the owner now, by owner_epoch; `handed` is what the owner before gave, "": nothing.
     * Below 0: it cannot; `serve` is not called then. */
    int (*own)(struct owner *owner, const char *handed, void *context);
    /* It is not any more. Writes what it hands over; `path` "" but for a stateful one, whose last
     * changes go there. */
    int (*freeze)(struct owner *owner, const char *path, char handed[BERTH_HANDED_BYTES + 1],
                  void *context);
    int (*snapshot)(struct owner *owner, int round, const char *path, void *context); /* or NULL */
    int (*restore)(struct owner *owner, int round, const char *path, void *context);
    int (*step)(struct owner *owner, void *context); /* every few ms; or NULL */
    /* True when it could own: only then it says ready. Asked after `step`; or NULL. */
    bool (*is_ready)(struct owner *owner, void *context);
};

int owner_run(const struct owner_options *options); /* the program's exit status */

natsConnection *owner_connection(struct owner *owner);
struct berth_epoch owner_epoch(const struct owner *owner);
const char *owner_instance(const struct owner *owner);
bool owner_serves(struct owner *owner); /* takes the lock */
void owner_lock(struct owner *owner);   /* held around `serve`, `own` and `freeze` */
void owner_unlock(struct owner *owner);
void owner_reply(struct owner *owner, natsMsg *request, const char *text);
/* An answer with a service error: the client may try again. */
void owner_refuse(struct owner *owner, natsMsg *request, const char *why);
/* The resource has refused its epoch: it serves nothing any more, whatever it believed. In `serve`.
 */
void owner_fenced(struct owner *owner);
