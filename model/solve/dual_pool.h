/*
 * dual_pool: a few threads that take turns at a fixed number of lanes.
 *
 * Work is divided into DUAL_LANES lanes whatever the number of threads; each lane adds up for
 * itself and whoever started the run reduces the lanes in their order: the same bits on one thread
 * or on two. Idle threads sleep. A thread that cannot be created is done without.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"

#define DUAL_LANES       16
#define DUAL_THREADS_MAX 64

struct dual_pool;
typedef void dual_task(void *context, int lane);

/* NULL: no memory. */
struct dual_pool *dual_pool_create(int threads, struct arena *arena);
void dual_pool_destroy(struct dual_pool *pool); /* NULL is accepted; joins the threads */
void dual_pool_run(struct dual_pool *pool, dual_task *task, void *context);
/* The pieces [from, to) of `count` that are a lane's. */
static inline size_t dual_lane_from(size_t count, int lane)
{
    return (size_t)((unsigned __int128)count * (unsigned)lane / DUAL_LANES);
}
