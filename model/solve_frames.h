/*
 * solve_frames: what goes between berth-solve and its client beside problems and solutions: the
 * limits that stand before a problem, and news of a solve that is under way.
 *
 * The stream of berth-solve, all little-endian: a request is a u32 length (of what follows), the
 * limits and a problem frame (problem.h). Its answer is any number of news frames and one solution
 * frame, each after its u32 length. A request of length 0 asks to end the work under way with the
 * best so far; it has no answer of its own, and without work it means nothing.
 *
 * Many problems that differ in little are asked about in a session. After its limits such a
 * request has a head (struct solve_session), and then
 *   SESSION_OPEN    the base: a problem frame. It has no answer; one worker has one session, the
 *                   last that was opened.
 *   SESSION_DELTA   a problem by what is other than in the base (problem_delta.h),
 *   SESSION_WHOLE   a problem frame, where the structure is another one. Both are answered as any
 *                   problem is; NONE if the session is not the one that is open.
 *   SESSION_CLOSE   nothing; nor has it an answer.
 *
 * The limits and the head end with a u32 0: so every frame begins at a multiple of 8 bytes from its
 * request's length, and is read where it lies (problem_frame.h).
 *
 * Pure; any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SOLVE_LIMITS_BYTES 36
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

enum session_kind { SESSION_OPEN, SESSION_DELTA, SESSION_WHOLE, SESSION_CLOSE };

#define SOLVE_SESSION_BYTES 40

/* The head of a request that belongs to a session; the gap to stop at is among the limits. */
struct solve_session {
    enum session_kind kind;
    uint64_t id;
    uint64_t seed;
    int threads;     /* 0: 1 */
    double gap_poor; /* an answer worse than this is looked for at length. 0: ten times the gap */
};

void solve_limits_encode(const struct solve_limits *limits, char out[SOLVE_LIMITS_BYTES]);
/* ERR_INVALID names what is out of range. */
int solve_limits_decode(const void *bytes, size_t count, struct solve_limits *ret_limits,
                        struct error *err) WARN_UNUSED;

void solve_session_encode(const struct solve_session *session, char out[SOLVE_SESSION_BYTES]);
/* Whether what follows the limits belongs to a session, by its first bytes. */
bool solve_session_is(const void *bytes, size_t count);
/* ERR_INVALID names what is out of range. */
int solve_session_decode(const void *bytes, size_t count, struct solve_session *ret_session,
                         struct error *err) WARN_UNUSED;

void solve_news_encode(const struct solve_news *news, char out[SOLVE_NEWS_BYTES]);
/* False: the frame is none of news. */
bool solve_news_decode(const void *bytes, size_t count, struct solve_news *ret_news);

/* (best - bound) / |best|; -1: not known yet. */
double solve_news_gap(const struct solve_news *news);
