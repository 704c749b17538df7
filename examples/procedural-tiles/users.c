/*
 * tiles-users: players that walk through the world. The three neighbours walk together: the tiles
 * that one needs the others need too, a moment later. The lone one walks elsewhere. One call in
 * five looks back at a tile of just before. Every answer is compared with the tile itself.
 */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "examples/common/drive.h"
#include "examples/procedural-tiles/tile.h"

#define LONE 3

struct place {
    int32_t x;
    int32_t y;
};

/* The 5th, 10th, ... call looks back by three; in between it goes on, to and fro in rows of 64. */
static struct place place_of(int group, int64_t index)
{
    int64_t step = index % 5 == 4 ? index - 3 : index;
    step -= step / 5; /* what looked back did not go on */
    return (struct place){(int32_t)(step % 64), (int32_t)(step / 64) + (group == LONE ? 5000 : 0)};
}

static int make(const struct drive *drive, int group, int64_t index, char *out)
{
    struct place place = place_of(group, index);
    (void)drive;
    str_format(out, 32, "%d %d", place.x, place.y);
    return (int)strlen(out);
}

/* "P5\n# <site>\n128 128\n255\n" and the pixels. */
static bool judge(const struct drive *drive, int group, int64_t index, const char *data, int bytes,
                  char ret_site[DRIVE_SITE_BYTES])
{
    static const char size[] = "\n128 128\n255\n";
    (void)drive;
    int header = bytes - TILE_BYTES;
    int tail = (int)sizeof size - 1;
    if (header < 5 + tail || header - 5 - tail >= DRIVE_SITE_BYTES ||
        memcmp(data, "P5\n# ", 5) != 0 || memcmp(data + header - tail, size, (size_t)tail) != 0)
        return false;
    struct grammar grammar;
    struct place place = place_of(group, index);
    uint8_t pixels[TILE_BYTES];
    str_format(ret_site, DRIVE_SITE_BYTES, "%.*s", header - 5 - tail, data + 5);
    if (grammar_init(&grammar, 7, "F[+F]F[-F]F") < 0)
        return false;
    tile_make(&grammar, place.x, place.y, pixels);
    return memcmp(pixels, data + header, TILE_BYTES) == 0;
}

int main(int argc, char **argv)
{
    struct drive drive = {.workload = "tiles",
                          .split = true,
                          .groups = {"n1", "n2", "n3", "lone"},
                          .group_count = 4,
                          .rate_mhz = 4000,
                          .make = make,
                          .judge = judge};
    return drive_run(&drive, argc, argv);
}
