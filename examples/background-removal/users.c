/*
 * matte-users: two groups of phones that have pictures cut out. Each picture is a scene whose mask
 * is known: an answer is right when at least 97 % of the subject's pixels are where they should be.
 */
#include <string.h>

#include "base/str.h"
#include "examples/background-removal/scene.h"
#include "examples/common/drive.h"

#define SCENES    64
#define AGREEMENT 970

static int make(const struct drive *drive, int group, int64_t index, char *out)
{
    (void)drive;
    scene_draw((uint64_t)(index * DRIVE_GROUPS + group) % SCENES, out);
    return SCENE_BYTES;
}

/* "P5\n# <site>\n384 288\n255\n" and the pixels. */
static bool judge(const struct drive *drive, int group, int64_t index, const char *data, int bytes,
                  char ret_site[DRIVE_SITE_BYTES])
{
    static const char size[] = "\n384 288\n255\n";
    (void)drive;
    int header = bytes - SCENE_PIXELS;
    int tail = (int)sizeof size - 1;
    if (header < 5 + tail || header - 5 - tail >= DRIVE_SITE_BYTES ||
        memcmp(data, "P5\n# ", 5) != 0 || memcmp(data + header - tail, size, (size_t)tail) != 0)
        return false;
    str_format(ret_site, DRIVE_SITE_BYTES, "%.*s", header - 5 - tail, data + 5);
    return scene_agreement((uint64_t)(index * DRIVE_GROUPS + group) % SCENES,
                           (const uint8_t *)data + header) >= AGREEMENT;
}

int main(int argc, char **argv)
{
    struct drive drive = {.workload = "cutout",
                          .split = true,
                          .groups = {"strong", "weak"},
                          .group_count = 2,
                          .rate_mhz = 4000,
                          .make = make,
                          .judge = judge};
    return drive_run(&drive, argc, argv);
}
