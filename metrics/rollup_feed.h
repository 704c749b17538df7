/*
 * rollup_feed: from plausible readings to rollup rows, beside a loop that must not wait for a disk.
 *
 * The owner's thread adds readings to accumulators in memory, one per series and minute
 * (rollup_feed_sink is what metrics_create takes), and every flush_us gives what came together to a
 * thread of the feed's own, which has the database to itself: it writes, then compacts in small
 * steps. Measured (bench_ingest at 320 samples a message, with and without --in-loop 1, both cores
 * busy with other work): a loop that waits for the write of some 1,000 cells stands still for 1 to
 * 2 ms in the median and for 15 ms at most of 100 writes, on a quick disk; one that hands over, for
 * 0.2 ms and 9 ms. On a slow disk a commit has no bound.
 *
 * A disk that refuses (full, read-only) stops nothing: the thread keeps what it has and tries
 * again, accumulators go on, sealed minutes wait, ROLLUP_FEED_PENDING of them at most; what comes
 * beyond that is counted as lost. rollup_feed_state says it, for the owner to log once. A crash
 * loses what was not yet given: flush_us of readings.
 *
 * Owner's thread only, but for what runs inside.
 */
#pragma once

#include "metrics/rollup.h"

#define ROLLUP_FEED_PENDING (1 << 18)                 /* sealed cells in memory */
#define ROLLUP_FEED_ROWS    (LIMIT_METRIC_SERIES / 2) /* (workload, site, segment)s and pairs */

struct rollup_feed;

struct rollup_feed_options {
    struct rollup_options store;
    int64_t flush_us; /* 0: 5 s */
    int64_t retry_us; /* after a refused write; 0: 5 s */
};

struct rollup_feed_state {
    uint64_t readings;
    uint64_t written;  /* cells */
    uint64_t left_out; /* cells of series past the limits, of memory or of the database */
    uint64_t lost;     /* cells for which there was no room while the disk refused */
    int pending;       /* cells that wait */
    bool failing;
    uint64_t failures;           /* times that it began to fail */
    char text[ERROR_TEXT_BYTES]; /* of the last */
};

int rollup_feed_open(const char *path, const struct rollup_feed_options *options,
                     struct rollup_feed **ret_feed, struct error *err) WARN_UNUSED;
/* Writes what there is, once, and ends the thread. NULL is accepted. */
void rollup_feed_close(struct rollup_feed *feed);
struct metrics_sink rollup_feed_sink(struct rollup_feed *feed);
/* Hands over when it is time and the thread is free; never waits for it. */
void rollup_feed_flush(struct rollup_feed *feed, int64_t now_us);
int64_t rollup_feed_deadline_us(const struct rollup_feed *feed); /* of the next flush */
/* Waits until all that was handed over is written or refused, at most timeout_us: for tests and an
 * orderly end. True: written. */
bool rollup_feed_wait(struct rollup_feed *feed, int64_t timeout_us);
struct rollup_feed_state rollup_feed_state(struct rollup_feed *feed);
