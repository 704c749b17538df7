/*
 * solve_frames: what goes between berth-solve and its client beside problems and solutions: the
 * limits that stand before a problem, and news of a solve that is under way.
 *
 * The stream of berth-solve, all little-endian: a request is a u32 length (of what follows), the
 * limits and a problem frame (problem.h). Its answer is any number of news frames and one solution
 * frame, each after its u32 length. A request of length 0 asks to end the work under way with the
 * best so far; it has no answer of its own, and without work it means nothing.
 *
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SOLVE_LIMITS_BYTES 32
#define SOLVE_NEWS_BYTES   28
/* Longer than any answer takes, and still a number of microseconds. */
#define SOLVE_TIME_MAX_US (INT64_C(7) * 24 * 3600 * 1000000)

/* The sentence of a solve that memory ends, with what needed it. */
#define SOLVE_MEMORY_TEXT \
    "%.160s needs more memory than a solve may take; give it more (--memory-limit)"

/* How much a solve may take. A limit in nodes gives the same answer every time; one in seconds only
 * ends the work, with the best so far. */
struct solve_limits {
    int64_t nodes_max;        /* 0: a budget of work instead, some seconds */
    int64_t time_max_us;      /* 0: none */
    int64_t memory_max_bytes; /* 0: what the worker may take */
    double gap;               /* relative; good enough to stop at. 0: as far as the budgets reach */
};

/* How far a solve has come; nano-dollars per month. */
struct solve_news {
    double bound; /* no placement is cheaper; -INFINITY: nothing is proven yet */
    double best;  /* of the best placement so far; INFINITY: none is found yet */
    int64_t elapsed_us;
};

void solve_limits_encode(const struct solve_limits *limits, char out[SOLVE_LIMITS_BYTES]);
/* ERR_INVALID names what is out of range. */
int solve_limits_decode(const void *bytes, size_t count, struct solve_limits *ret_limits,
                        struct error *err) WARN_UNUSED;

void solve_news_encode(const struct solve_news *news, char out[SOLVE_NEWS_BYTES]);
/* False: the frame is none of news. */
bool solve_news_decode(const void *bytes, size_t count, struct solve_news *ret_news);

/* (best - bound) / |best|; -1: not known yet. */
double solve_news_gap(const struct solve_news *news);
