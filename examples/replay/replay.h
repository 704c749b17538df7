/*
 * replay: state that is a fold over a JetStream stream. Whoever reads the records of one subject in
 * order has the state; whoever owns it adds to them. So a next owner has it before the owner of
 * now lets go, and nothing but a sequence is handed over.
 *
 * The stream is the resource, and fences (docs/fencing.md): each record carries its writer's epoch
 * (header Berth-Epoch) and the sequence that it follows (Nats-Expected-Last-Subject-Sequence, which
 * the server compares and sets). An owner begins with a claim, a record that says nothing but its
 * epoch: once that is in, what somebody of before still writes names a sequence that is not the
 * last any more, and is refused. A reader passes over a record whose epoch is lower than one that
 * it has seen, or that has none: every reader, so all come to one state.
 *
 * It reads by an ephemeral pull consumer from the sequence after the last applied one; a gap in the
 * consumer's own numbers, an end of it or silence makes a new one from there. nats.c's thread
 * applies records, under replay_lock; replay_write and replay_claim come from one thread at a time.
 */
#pragma once

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>

#include "executors/contract/berth_fence.h"

#define REPLAY_RECORD_BYTES 128 /* at most, terminated */

struct replay;

struct replay_options {
    natsConnection *connection; /* stays the caller's */
    const char *stream;
    const char *subjects; /* of the stream, when it has to be made */
    const char *subject;  /* of this workload's records */
    const char *inbox;    /* the prefix that this user may listen below */
    void (*apply)(const char *record, void *context);
    void *context;
};

enum replay_said {
    REPLAY_OK,
    REPLAY_FENCED, /* a higher epoch has written */
    REPLAY_UNSURE, /* it is not known whether the record is in: claim before anything else */
    REPLAY_SHORT,  /* the stream ends before the sequence that was handed over */
};

struct replay *replay_open(const struct replay_options *options); /* NULL: no memory */
void replay_close(struct replay *replay);
/* To be called every few ms: attaches to the stream, again after each loss. */
void replay_step(struct replay *replay);
/* True once it has seen the end of the stream: from then on it is as far as the wire is long. */
bool replay_caught_up(struct replay *replay);

/* Everything up to the claim is final and applied when this says OK. `from`: what was handed over.
 */
enum replay_said replay_claim(struct replay *replay, struct berth_epoch epoch, uint64_t from);
/* Adds a record and applies it; it is durable when this says OK. */
enum replay_said replay_write(struct replay *replay, struct berth_epoch epoch, const char *record);
/* For a read: asks the stream for its last record, and says OK when that is applied and nobody of a
 * higher epoch has written. What is read after it is no older than this call. */
enum replay_said replay_confirm(struct replay *replay, struct berth_epoch epoch);
bool replay_is_unsure(struct replay *replay);

void replay_lock(struct replay *replay);
void replay_unlock(struct replay *replay);

struct replay_counts {
    uint64_t sequence; /* the last that was applied */
    int64_t records;
    int64_t ignored;   /* of a lower epoch, or of none */
    int64_t conflicts; /* writes that did not follow the last record */
    struct berth_epoch highest;
};
struct replay_counts replay_counts(struct replay *replay); /* takes the lock */

/* Where a delivered message stands, from its reply subject ($JS.ACK...): the stream's sequence, the
 * consumer's, and how many are left. -1: it is none. */
int replay_position(const char *reply, uint64_t *ret_sequence, uint64_t *ret_delivery,
                    uint64_t *ret_pending);
