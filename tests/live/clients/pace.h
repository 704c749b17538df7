/*
 * pace: when requests of an open loop are due: request k at begin + k / rate, whatever comes back.
 * Pure; any thread.
 */
#pragma once

#include <stdint.h>

struct pace {
    int64_t begun_us;
    int64_t rate; /* a second */
    int64_t most; /* requests in all */
};

static inline int64_t pace_due_us(const struct pace *pace, int64_t number)
{
    return pace->begun_us + (int64_t)((__int128)number * 1000000 / pace->rate);
}

/* How many are due by now. */
static inline int64_t pace_due(const struct pace *pace, int64_t now_us)
{
    if (now_us < pace->begun_us)
        return 0;
    int64_t due = (int64_t)((__int128)(now_us - pace->begun_us) * pace->rate / 1000000) + 1;
    return due < pace->most ? due : pace->most;
}
