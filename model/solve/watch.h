/*
 * watch: what ends a solve early (a limit in time, or that whoever asked wants no more), and how
 * those who wait are told how far it has come.
 *
 * Everything long asks watch_goes_on now and then, a few thousand times a second at most; at
 * `wanted` it looks only every few milliseconds. Once it has said no it stays with it. What is
 * decided between two asks never depends on the clock, so a solve that no limit ends gives the same
 * bits as one without a watch.
 *
 * One thread asks and tells.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "model/solve_frames.h"

enum watch_end {
    WATCH_GOES_ON,
    WATCH_TIME,      /* the time is over */
    WATCH_CANCELLED, /* nobody wants the answer any more, but for what is best so far */
};

struct watch {
    int64_t began_us;                                           /* monotonic */
    int64_t time_max_us;                                        /* 0: none */
    bool (*wanted)(void *context);                              /* NULL: always */
    void (*tell)(void *context, const struct solve_news *news); /* NULL: nobody listens */
    void *context;
    struct solve_news news; /* as far as it is known */
    int64_t looked_us;
    int64_t told_us;
    enum watch_end end;
};

void watch_begin(struct watch *watch, int64_t time_max_us);
/* False: end with what is best so far. NULL is fine: it goes on. */
bool watch_goes_on(struct watch *watch);
/* The same; takes what is known now first (NAN: no news), which is told a few times a second. */
bool watch_told(struct watch *watch, double bound, double best);
/* What is left of the time, at least 1 ms; -1: no limit. */
int64_t watch_left_us(const struct watch *watch);
/* Whether this part of the limit is over: what comes first leaves time for what comes after. False
 * without a limit. */
bool watch_is_past(const struct watch *watch, double share);
