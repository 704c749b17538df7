/*
 * plausible: what no honest source says, and who contradicts whom. Integers only; pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metrics/sketch.h"

/* The most that a counter of a sample kind can grow by in elapsed_us; INT64_MAX: no bound. */
int64_t plausible_growth(int kind, int64_t elapsed_us);
#define PLAUSIBLE_ALWAYS 100000000 /* no counter's bound is below this, if elapsed_us is not */
/* Whether a gauge (memory, a round trip) can have that value. */
bool plausible_gauge(int kind, int64_t value);

/* A source's clock beside the receiver's. The shortest way that a batch ever took is the measure:
 * a batch that took `late_max_us` longer is old; one that seems to have left that much after it
 * could is from the future. A clock that keeps its leap for three batches is believed again. */
struct plausible_clock {
    bool known;
    int leaps;
    int64_t offset_us; /* receiver's instant minus the source's: the smallest */
};
enum plausible_instant { INSTANT_FINE, INSTANT_OLD, INSTANT_FUTURE };
enum plausible_instant plausible_instant(struct plausible_clock *clock, int64_t source_us,
                                         int64_t now_us, int64_t late_max_us);

/* Says who is out of line: further from the median than `tolerance` and than six (scaled) median
 * absolute deviations. `trusted` (may be NULL) marks those who judge and are not judged. Of two
 * that are not trusted and differ by more than twice the tolerance, both are out: nobody can tell
 * which. At most PLAUSIBLE_SOURCES_MAX values; more are all in line. Returns how many are out. */
#define PLAUSIBLE_SOURCES_MAX 256
int plausible_outliers(const int64_t *values, const bool *trusted, int count, int64_t tolerance,
                       bool *ret_out);

/* 64 times the binary logarithm, rounded down: so that a tolerance is a factor. */
static inline int64_t plausible_log(int64_t value)
{
    return value > 0 ? sketch_index((uint64_t)value) + 1 : -64;
}
#define PLAUSIBLE_FACTOR_3  102 /* 64 * log2(3) */
#define PLAUSIBLE_FACTOR_20 277
