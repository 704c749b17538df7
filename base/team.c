#include "base/team.h"

#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"

struct team {
    team_task *task;
    void *context;
    int lanes;
    atomic_int next;   /* lane */
    atomic_int joined; /* workers so far */
};

static void *work(void *argument);

void team_run(int threads, int lanes, team_task *task, void *context)
{
    struct team team = {.task = task, .context = context, .lanes = lanes};
    pthread_t thread[TEAM_THREADS_MAX];
    int started = 0;
    BERTH_ASSERT(threads >= 1 && threads <= TEAM_THREADS_MAX, "a team of %d", threads);
    while (started < threads - 1 && started < lanes - 1 &&
           pthread_create(&thread[started], NULL, work, &team) == 0) {
        started++;
    }
    (void)work(&team);
    for (int i = 0; i < started; i++) {
        (void)pthread_join(thread[i], NULL);
    }
}

static void *work(void *argument)
{
    struct team *team = argument;
    int worker = atomic_fetch_add(&team->joined, 1);
    for (int lane = atomic_fetch_add(&team->next, 1); lane < team->lanes;
         lane = atomic_fetch_add(&team->next, 1)) {
        team->task(team->context, lane, worker);
    }
    return NULL;
}
