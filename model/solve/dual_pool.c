#include "model/solve/dual_pool.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct dual_pool {
    pthread_mutex_t mutex;
    pthread_cond_t begun;
    pthread_cond_t ended;
    uint64_t run; /* counts them */
    int busy;     /* threads that have not left the present run */
    bool closing;
    dual_task *task;
    void *context;
    atomic_int next; /* lane */
    int threads;     /* beside the caller's */
    pthread_t thread[DUAL_THREADS_MAX];
};

static void *serve(void *context);
static void take_lanes(struct dual_pool *pool);

struct dual_pool *dual_pool_create(int threads, struct arena *arena)
{
    struct dual_pool *pool = arena_alloc(arena, sizeof(*pool));
    if (pool == NULL) {
        return NULL;
    }
    (void)pthread_mutex_init(&pool->mutex, NULL); /* cannot fail with these attributes */
    (void)pthread_cond_init(&pool->begun, NULL);
    (void)pthread_cond_init(&pool->ended, NULL);
    int most = threads < DUAL_LANES ? threads : DUAL_LANES;
    while (pool->threads < most - 1 &&
           pthread_create(&pool->thread[pool->threads], NULL, serve, pool) == 0) {
        pool->threads++;
    }
    return pool;
}

void dual_pool_destroy(struct dual_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&pool->mutex);
    pool->closing = true;
    (void)pthread_cond_broadcast(&pool->begun);
    (void)pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->threads; i++) {
        (void)pthread_join(pool->thread[i], NULL);
    }
    (void)pthread_cond_destroy(&pool->ended);
    (void)pthread_cond_destroy(&pool->begun);
    (void)pthread_mutex_destroy(&pool->mutex);
}

void dual_pool_run(struct dual_pool *pool, dual_task *task, void *context)
{
    pool->task = task;
    pool->context = context;
    atomic_store(&pool->next, 0);
    if (pool->threads > 0) {
        (void)pthread_mutex_lock(&pool->mutex);
        pool->run++;
        pool->busy = pool->threads;
        (void)pthread_cond_broadcast(&pool->begun);
        (void)pthread_mutex_unlock(&pool->mutex);
    }
    take_lanes(pool);
    if (pool->threads > 0) {
        (void)pthread_mutex_lock(&pool->mutex);
        while (pool->busy > 0) {
            (void)pthread_cond_wait(&pool->ended, &pool->mutex);
        }
        (void)pthread_mutex_unlock(&pool->mutex);
    }
}

static void *serve(void *context)
{
    struct dual_pool *pool = context;
    uint64_t seen = 0;
    (void)pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->run == seen && !pool->closing) {
            (void)pthread_cond_wait(&pool->begun, &pool->mutex);
        }
        if (pool->run == seen) {
            break;
        }
        seen = pool->run;
        (void)pthread_mutex_unlock(&pool->mutex);
        take_lanes(pool);
        (void)pthread_mutex_lock(&pool->mutex);
        if (--pool->busy == 0) {
            (void)pthread_cond_signal(&pool->ended);
        }
    }
    (void)pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

static void take_lanes(struct dual_pool *pool)
{
    for (int lane = atomic_fetch_add(&pool->next, 1); lane < DUAL_LANES;
         lane = atomic_fetch_add(&pool->next, 1)) {
        pool->task(pool->context, lane);
    }
}
