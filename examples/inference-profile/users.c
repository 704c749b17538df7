/*
 * profile-users: users that are scored. At first they are forty, again and again; from SIGUSR1 on
 * everyone is new, so that no cache helps. Every score is compared with the model's.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/drive.h"
#include "examples/inference-profile/model.h"

#define KNOWN INT64_C(40)

static uint64_t user_of(const struct drive *drive, int64_t index)
{
    return drive->later ? (uint64_t)(1000000 + index) : (uint64_t)(index * 7 % KNOWN);
}

static int make(const struct drive *drive, int group, int64_t index, char *out)
{
    (void)group;
    str_format(out, 32, "u%llu", (unsigned long long)user_of(drive, index));
    return (int)strlen(out);
}

/* Who it is about says the answer itself: the request may be of before SIGUSR1. */
static bool judge(const struct drive *drive, int group, int64_t index, const char *data, int bytes,
                  char ret_site[DRIVE_SITE_BYTES])
{
    static struct model model;
    char expected[64];
    char profile[PROFILE_BYTES];
    struct features features;
    uint64_t user = 0;
    const char *blank = memchr(data, ' ', (size_t)bytes);
    (void)drive;
    (void)group;
    if (blank == NULL || user_read(data, (int)(blank - data), &user) < 0 ||
        (user != (uint64_t)(1000000 + index) && user != (uint64_t)(index * 7 % KNOWN)))
        return false;
    profile_make(user, profile);
    if (profile_read(profile, sizeof profile, user, &features) < 0)
        return false;
    model_init(&model, 1);
    str_format(expected, sizeof expected, "u%llu %d ", (unsigned long long)user,
               model_score(&model, &features));
    int head = (int)strlen(expected);
    if (bytes <= head || bytes - head >= DRIVE_SITE_BYTES ||
        memcmp(data, expected, (size_t)head) != 0)
        return false;
    str_format(ret_site, DRIVE_SITE_BYTES, "%.*s", bytes - head, data + head);
    return true;
}

int main(int argc, char **argv)
{
    struct drive drive = {.workload = "infer",
                          .groups = {"visitors"},
                          .group_count = 1,
                          .rate_mhz = 20000,
                          .make = make,
                          .judge = judge};
    return drive_run(&drive, argc, argv);
}
