/*
 * judge: what an outside client counts of its requests, whichever way they go: sent, answered,
 * refused, lost, duplicated, the longest time without a good answer, and latencies by interval and
 * in all. Latency is from the instant at which a request was due, not from when it could be sent: a
 * client that is held up does not hide it.
 *
 * Requests are numbered from 0 in the order in which they are due. Instants are CLOCK_MONOTONIC in
 * microseconds; the history has them as wall time. About 24 bytes a request. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"
#include "metrics/sketch.h"

#define JUDGE_REQUESTS_MAX 50000000

struct judge_request {
    int64_t sent_us;
    int64_t answered_us; /* 0: not yet */
    uint8_t answers;
    bool ok; /* the first answer was right, and no refusal */
};

struct judge {
    struct judge_request *requests;
    int64_t room;
    int64_t sent;
    int64_t answered; /* well */
    int64_t refused;
    int64_t duplicated;
    int64_t last_ok_us;
    int64_t longest_gap_us; /* between two good answers */
    int64_t gap_at_us;      /* when it began */
    int64_t begun_us;
    int64_t wall_offset_us; /* wall time less monotonic time */
    struct sketch interval; /* latencies since the last line */
    struct sketch total;
};

int judge_init(struct judge *judge, int64_t requests, struct error *err) WARN_UNUSED;
void judge_done(struct judge *judge);

/* The next request, due at that instant; its number. */
int64_t judge_send(struct judge *judge, int64_t due_us);
void judge_answer(struct judge *judge, int64_t id, int64_t now_us, bool ok);
int64_t judge_waiting(const struct judge *judge); /* without any answer: at the end, lost */

/* The members that every client's line has, without braces around them. */
void judge_json(struct judge *judge, bool final, FILE *out);
void judge_text(struct judge *judge, bool final, FILE *out); /* the same for people */
/* "<id> <sent_us> <answered_us or 0> <answers> <ok>" a line: tests/live/history.h reads it. */
int judge_history(const struct judge *judge, const char *path, struct error *err) WARN_UNUSED;
