/*
 * engine: a discrete-event queue on a virtual clock of whole nanoseconds.
 *
 * The caller schedules events and takes them out in order of time; events of one instant come in
 * the order in which they were scheduled. There are no callbacks: `while (engine_next(...)) switch
 * (event.kind)`. Nothing is global: any number of engines live in a process, each with one thread
 * at a time, and none can change what another gives.
 *
 * Inside: events of the near future lie in a wheel of buckets, a few to a bucket, so that
 * scheduling and taking take the same few steps however many are pending (30 ns for both with 100
 * pending, 40 with 10,000; past the processor's caches a step is a wait for memory: 150 to 250 with
 * a million); what lies beyond the wheel is in a heap, and so is the bucket that is being taken,
 * which keeps the order exact and bounds the worst case (all events in one bucket) by a heap's.
 * Width and number of the buckets follow the events taken so far, never a clock: the same calls
 * give the same events. A pending event takes 32 bytes and about as much for its share of the
 * buckets; nothing is allocated per event, tables double when they are full.
 *
 * Limits: 16 million pending events; 10^12 events in an engine's life; instants up to 292 years.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_PENDING_MAX (UINT32_C(1) << 24)
#define ENGINE_KIND_MAX    ((UINT32_C(1) << 20) - 1)
#define ENGINE_NEVER       INT64_MAX /* no instant: later than every event */

#define NS_PER_US INT64_C(1000)
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)

struct engine;

struct engine_event {
    int64_t at_ns;
    uint64_t id; /* what engine_at returned */
    uint64_t a;  /* the caller's, as is b */
    uint32_t b;
    uint32_t kind;
};

struct engine *engine_create(void); /* NULL without memory */
void engine_destroy(struct engine *engine);

/* Schedules an event at an instant that is not past (a bug otherwise). Returns its id, never 0; 0
 * when there is no memory or ENGINE_PENDING_MAX events are pending. */
uint64_t engine_at(struct engine *engine, int64_t at_ns, uint32_t kind, uint64_t a, uint32_t b);
/* True when the event was pending; it will not come. An id that came or was cancelled: false. */
bool engine_cancel(struct engine *engine, uint64_t id);

/* Takes the next event that is not later than until_ns and sets the clock to it. False when there
 * is none; then the clock is what it was, and engine_advance may set it. */
bool engine_next(struct engine *engine, int64_t until_ns, struct engine_event *ret_event);
/* Sets the clock forward to an instant that no pending event is before (a bug otherwise). */
void engine_advance(struct engine *engine, int64_t to_ns);
int64_t engine_peek_ns(struct engine *engine); /* of the next event; ENGINE_NEVER without one */

int64_t engine_now_ns(const struct engine *engine); /* 0 at first */
uint64_t engine_pending(const struct engine *engine);
uint64_t engine_taken(const struct engine *engine); /* events given by engine_next */
/* Over all events taken, with their payloads, in order: equal runs have equal hashes. */
uint64_t engine_hash(const struct engine *engine);
size_t engine_bytes(const struct engine *engine); /* all its memory */
/* Each pending event once, in no particular order; the callback changes nothing of the engine. */
void engine_visit(const struct engine *engine,
                  void (*visit)(void *context, const struct engine_event *event), void *context);
