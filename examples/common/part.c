#include "examples/common/part.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "base/units.h"
#include "examples/shop/service.h"

#define SPEED_ONE INT64_C(1000000)

void part_init(struct part *part, const char *fallback)
{
    const char *ns = getenv("BERTH_NAMESPACE");
    const char *workload = getenv("BERTH_WORKLOAD");
    const char *site = getenv("BERTH_SITE");
    str_format(part->subject, sizeof part->subject, "svc.%s.%s", ns != NULL ? ns : "default",
               workload != NULL ? workload : fallback);
    part->site = site != NULL ? site : "here";
    part->speed_ppm = SPEED_ONE;
}

bool part_speed(struct part *part, const char *value)
{
    const char *equals = strchr(value, '=');
    int64_t speed_ppm = 0;
    if (equals == NULL || equals == value || units_ratio(equals + 1, &speed_ppm, NULL) < 0 ||
        speed_ppm < SPEED_ONE / 100 || speed_ppm > SPEED_ONE * 100)
        return false;
    size_t bytes = (size_t)(equals - value);
    if (strlen(part->site) == bytes && strncmp(part->site, value, bytes) == 0)
        part->speed_ppm = speed_ppm;
    return true;
}

int64_t part_cpu_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void part_finish(const struct part *part, int64_t begun_us, int64_t work_us)
{
    int64_t spent_us = part_cpu_us() - begun_us;
    int64_t all_us = (work_us > 0 ? work_us : spent_us) * SPEED_ONE / part->speed_ppm;
    if (all_us > spent_us)
        service_burn(all_us - spent_us);
}
