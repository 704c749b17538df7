/*
 * history: what an outside client saw, request by request (shop-load --history), and figures over
 * parts of it. Instants are wall time of this machine, in microseconds. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct history_request {
    int64_t sent_us;
    int64_t answered_us; /* 0: never */
    int answers;
    bool ok; /* the first answer was right, and no refusal */
};

struct history {
    struct history_request *list; /* in the order of sending */
    int64_t count;
};

/* A half-open piece of time: requests sent in it count. */
struct history_window {
    int64_t from_us;
    int64_t to_us;
};

struct history_figures {
    int64_t sent;
    int64_t lost;    /* no answer at all */
    int64_t refused; /* answered, but with "nobody is there" or an error */
    int64_t duplicated;
    int64_t p50_us;
    int64_t p99_us;
    int64_t max_us;
    int64_t longest_gap_us; /* between two good answers, within one window */
};

int history_read(const char *path, struct history *ret_history, struct error *err) WARN_UNUSED;
void history_done(struct history *history);
int history_figures(const struct history *history, const struct history_window *windows, int count,
                    struct history_figures *ret_figures, struct error *err) WARN_UNUSED;
