/*
 * stats: what a simulation says of itself: means, spreads, levels over time, and how sure they are.
 *
 * mean     count, mean and variance of values, by Welford's update; two merge into one.
 * level    a whole number that changes at instants (a queue's length): its exact integral over
 * time. batches  the mean of values that depend on each other (waits in one queue) with its
 * confidence interval: the values in their order are cut into 20 to 39 equal batches, whose means
 * are nearly independent; neighbours are joined when there are 40, so that memory is constant.
 * Quantiles are metrics/sketch.h's. All are zeroed memory at first, pure, and of the caller's.
 */
#pragma once

#include <stdint.h>

struct stats_mean {
    uint64_t count;
    double mean;
    double squares; /* sum of squared deviations from the mean */
    double least;   /* of count > 0 */
    double most;
};

void stats_mean_add(struct stats_mean *mean, double value);
void stats_mean_merge(struct stats_mean *into, const struct stats_mean *from);
double stats_mean_variance(const struct stats_mean *mean); /* of a sample; 0 below 2 values */

struct stats_level {
    int64_t since_ns; /* when it became what it is */
    int64_t level;
    int64_t most;
    __int128 area; /* level x nanoseconds until since_ns */
};

static inline void stats_level_add(struct stats_level *level, int64_t change, int64_t now_ns)
{
    level->area += (__int128)level->level * (now_ns - level->since_ns);
    level->since_ns = now_ns;
    level->level += change;
    if (level->level > level->most)
        level->most = level->level;
}
/* The integral up to now, and the mean since from_ns (when the level began or was restarted). */
__int128 stats_level_area(const struct stats_level *level, int64_t now_ns);
double stats_level_mean(const struct stats_level *level, int64_t from_ns, int64_t now_ns);
void stats_level_restart(struct stats_level *level, int64_t now_ns); /* area from here on */

#define STATS_BATCHES 40
struct stats_batches {
    double sums[STATS_BATCHES];
    uint64_t size_less_one; /* values of a batch - 1: zeroed memory begins with batches of one */
    uint64_t in_last;       /* values of the batch that is being filled */
    uint32_t count;         /* full batches */
    double last;
};

struct stats_interval {
    double mean;
    double
        half; /* the true mean is within mean +- half with the confidence asked for; or INFINITY */
};

void stats_batches_add(struct stats_batches *batches, double value);
/* Of the full batches; confidence such as 0.95. With fewer than two, half is INFINITY. */
struct stats_interval stats_batches_interval(const struct stats_batches *batches,
                                             double confidence);
/* Of independent values (replications, one per seed). */
struct stats_interval stats_mean_interval(const struct stats_mean *mean, double confidence);

/* The value that Student's t with that many degrees of freedom (> 0) is below with probability p
 * (0 < p < 1); for a confidence of 0.95 on both sides p is 0.975. Within 1e-9. */
double stats_student(double degrees, double p);
