/*
 * sharing: jobs that are worked on all at once, at equal shares of a rate, none faster than its own
 * limit: a processor's threads, the transfers on a link.
 *
 * A virtual clock advances by what each job gets; a job that arrives at virtual time v with an
 * amount a is done at v + a, however many come and go meanwhile. So jobs leave in the order of
 * these tags, ties in the order in which they came, and a heap holds them: a job costs the
 * logarithm of their number. Amounts and the virtual clock are doubles, and the clock starts at 0
 * again whenever nothing is left; instants are whole nanoseconds, rounded up.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct sharing_job {
    double tag;
    uint64_t number; /* of arrival */
    uint32_t job;    /* the caller's */
};

struct sharing {
    double rate;     /* amount per nanosecond for all */
    double each_max; /* and at most, for one */
    double virtual_now;
    int64_t now_ns;
    uint64_t number;
    struct sharing_job *jobs;
    uint32_t count;
    uint32_t room;
};

void sharing_init(struct sharing *sharing, double rate, double each_max); /* zeroed memory */
void sharing_done(struct sharing *sharing);
bool sharing_add(struct sharing *sharing, int64_t now_ns, double amount, uint32_t job);
/* When the next job is done if none comes before; INT64_MAX without jobs. */
int64_t sharing_next_ns(const struct sharing *sharing);
uint32_t sharing_take(struct sharing *sharing, int64_t now_ns); /* the next one, done now */
void sharing_clear(struct sharing *sharing);
