/*
 * team: one piece of work, done by a few threads that are gone when it is over.
 *
 * The work is divided into lanes, which the threads take in turn: a lane may be done by any of
 * them, at any time, once. What a lane writes must be its own, or its worker's scratch; then the
 * result is the same on one thread or on many. The caller is a worker too, and does all alone where
 * no thread is to be had. Starting and joining a thread takes some 30 us: for work of a millisecond
 * and more.
 */
#pragma once

#define TEAM_THREADS_MAX 64

/* `worker`: from 0 below the number of threads, one thread each. */
typedef void team_task(void *context, int lane, int worker);

/* Returns when every lane in [0, lanes) is done. threads: 1 to TEAM_THREADS_MAX; with 1, or with
 * one lane, no thread is started. */
void team_run(int threads, int lanes, team_task *task, void *context);
