/*
 * pace: when requests of an open loop are due: request k at begin + k / rate, whatever comes back.
 * With a `group_us`, those of each such piece of time are due together, at its end: a burst, which
 * is harder on who is asked, and one wake-up of everybody on the way instead of one a request.
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

struct pace {
    int64_t begun_us;
    int64_t rate;     /* a second */
    int64_t most;     /* requests in all */
    int64_t group_us; /* 0: each by itself */
};

static inline int64_t pace_due_us(const struct pace *pace, int64_t number)
{
    int64_t after_us = (int64_t)((__int128)number * 1000000 / pace->rate);
    if (pace->group_us > 0)
        after_us = (after_us + pace->group_us - 1) / pace->group_us * pace->group_us;
    return pace->begun_us + after_us;
}

/* How many are due by now. */
static inline int64_t pace_due(const struct pace *pace, int64_t now_us)
{
    if (now_us < pace->begun_us)
        return 0;
    int64_t after_us = now_us - pace->begun_us;
    if (pace->group_us > 0)
        after_us -= after_us % pace->group_us;
    /* Request k is due at floor(k / rate): the first that is later, as a count. */
    int64_t due = (int64_t)(((__int128)(after_us + 1) * pace->rate - 1) / 1000000) + 1;
    return due < pace->most ? due : pace->most;
}
