#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/team.h"

#define LANES   1000
#define WORKERS 8

/* What is seen of a run. */
struct seen {
    atomic_int times[LANES];
    atomic_int busy[WORKERS]; /* lanes that the worker is at */
    pthread_t caller;
    atomic_int others; /* lanes of threads that are not the caller's */
    atomic_int worst;  /* lanes that one worker was at in the same time, at most */
    int workers;
};

static void look(void *context, int lane, int worker)
{
    struct seen *seen = context;
    assert_in_range(worker, 0, seen->workers - 1);
    int at = atomic_fetch_add(&seen->busy[worker], 1) + 1;
    if (at > atomic_load(&seen->worst))
        atomic_store(&seen->worst, at);
    atomic_fetch_add(&seen->times[lane], 1);
    if (!pthread_equal(pthread_self(), seen->caller))
        atomic_fetch_add(&seen->others, 1);
    atomic_fetch_sub(&seen->busy[worker], 1);
}

static void run(struct seen *seen, int threads, int lanes)
{
    *seen = (struct seen){.caller = pthread_self(), .workers = threads};
    team_run(threads, lanes, look, seen);
    for (int lane = 0; lane < LANES; lane++)
        assert_int_equal(atomic_load(&seen->times[lane]), lane < lanes ? 1 : 0);
    assert_int_equal(atomic_load(&seen->worst), lanes == 0 ? 0 : 1);
}

static void every_lane_is_done_once_by_one_worker(void **state)
{
    (void)state;
    static struct seen seen;
    for (int threads = 1; threads <= WORKERS; threads++)
        for (int lanes = 0; lanes <= LANES; lanes += 125)
            run(&seen, threads, lanes);
}

static void one_thread_is_the_callers(void **state)
{
    (void)state;
    static struct seen seen;
    run(&seen, 1, LANES);
    assert_int_equal(atomic_load(&seen.others), 0);
    run(&seen, WORKERS, 1);
    assert_int_equal(atomic_load(&seen.others), 0);
}

/* Two lanes that wait for each other end only when two threads are at them. */
static void meet(void *context, int lane, int worker)
{
    (void)lane;
    (void)worker;
    (void)pthread_barrier_wait(context);
}

static void lanes_are_done_at_the_same_time(void **state)
{
    (void)state;
    pthread_barrier_t barrier;
    assert_int_equal(pthread_barrier_init(&barrier, NULL, 2), 0);
    team_run(2, 2, meet, &barrier);
    assert_int_equal(pthread_barrier_destroy(&barrier), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_lane_is_done_once_by_one_worker),
        cmocka_unit_test(one_thread_is_the_callers),
        cmocka_unit_test(lanes_are_done_at_the_same_time),
    };
    return cmocka_run_group_tests_name("team", tests, NULL, NULL);
}
