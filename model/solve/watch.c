#include "model/solve/watch.h"

#include <math.h>

#include "base/clock.h"

#define LOOK_US (10 * US_PER_MS)
#define TELL_US (400 * US_PER_MS)

static bool look(struct watch *watch);

void watch_begin(struct watch *watch, int64_t time_max_us)
{
    *watch = (struct watch){.began_us = clock_mono_now().us,
                            .time_max_us = time_max_us,
                            .news = {.bound = -INFINITY, .best = INFINITY}};
    watch->looked_us = watch->began_us;
    watch->told_us = watch->began_us;
}

bool watch_goes_on(struct watch *watch)
{
    if (watch == NULL) {
        return true;
    }
    if (watch->end != WATCH_GOES_ON) {
        return false;
    }
    return look(watch);
}

bool watch_told(struct watch *watch, double bound, double best)
{
    if (watch == NULL) {
        return true;
    }
    if (bound > watch->news.bound) { /* false for NAN */
        watch->news.bound = bound;
    }
    if (best < watch->news.best) {
        watch->news.best = best;
    }
    return watch->end == WATCH_GOES_ON && look(watch);
}

int64_t watch_left_us(const struct watch *watch)
{
    if (watch == NULL || watch->time_max_us == 0) {
        return -1;
    }
    int64_t left_us = watch->began_us + watch->time_max_us - clock_mono_now().us;
    return left_us > US_PER_MS ? left_us : US_PER_MS;
}

bool watch_is_past(const struct watch *watch, double share)
{
    if (watch == NULL || watch->time_max_us == 0) {
        return false;
    }
    double past_us = (double)(clock_mono_now().us - watch->began_us);
    return past_us >= share * (double)watch->time_max_us;
}

static bool look(struct watch *watch)
{
    int64_t now_us = clock_mono_now().us;
    if (watch->time_max_us > 0 && now_us - watch->began_us >= watch->time_max_us) {
        watch->end = WATCH_TIME;
    }
    if (watch->wanted != NULL && now_us - watch->looked_us >= LOOK_US) {
        watch->looked_us = now_us;
        if (!watch->wanted(watch->context)) {
            watch->end = WATCH_CANCELLED;
        }
    }
    if (watch->tell != NULL && now_us - watch->told_us >= TELL_US) {
        watch->told_us = now_us;
        watch->news.elapsed_us = now_us - watch->began_us;
        watch->tell(watch->context, &watch->news);
    }
    return watch->end == WATCH_GOES_ON;
}
