#include "examples/background-removal/scene.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

struct scene {
    int x; /* of the body's middle */
    int head;
    int wall[3];
    int shirt[3];
    int skin[3];
    uint64_t grain;
};

static struct scene scene_of(uint64_t index);
static bool is_subject(const struct scene *scene, int x, int y);
static bool inside(int x, int y, int middle_x, int middle_y, int half_x, int half_y);
static uint64_t next_random(uint64_t *state);

static const char header[] = "P6\n384 288\n255\n";

void scene_draw(uint64_t index, char *ppm)
{
    struct scene scene = scene_of(index);
    memcpy(ppm, header, sizeof header - 1);
    uint8_t *rgb = (uint8_t *)ppm + sizeof header - 1;
    for (int at = 0; at < SCENE_PIXELS; at++) {
        int x = at % SCENE_WIDTH;
        int y = at / SCENE_WIDTH;
        uint64_t grain = next_random(&scene.grain);
        bool head = inside(x, y, scene.x, 70, scene.head, scene.head + 8);
        bool patch = inside(x, y, scene.x, 190, 14, 14);
        bool subject = is_subject(&scene, x, y) && !patch;
        const int *colour = !subject ? scene.wall : head ? scene.skin : scene.shirt;
        int shade = subject ? 0 : (x - SCENE_WIDTH / 2) / 12 + (y - SCENE_HEIGHT / 2) / 16;
        for (int c = 0; c < 3; c++)
            rgb[3 * at + c] = (uint8_t)(colour[c] + shade + (int)(grain >> (8 * c) & 7) - 4);
    }
}

void scene_mask(uint64_t index, uint8_t *mask)
{
    struct scene scene = scene_of(index);
    for (int at = 0; at < SCENE_PIXELS; at++)
        mask[at] = is_subject(&scene, at % SCENE_WIDTH, at / SCENE_WIDTH);
}

int scene_agreement(uint64_t index, const uint8_t *alpha)
{
    struct scene scene = scene_of(index);
    int both = 0;
    int either = 0;
    for (int at = 0; at < SCENE_PIXELS; at++) {
        bool truth = is_subject(&scene, at % SCENE_WIDTH, at / SCENE_WIDTH);
        bool said = alpha[at] >= 128;
        both += truth && said;
        either += truth || said;
    }
    return both * 1000 / either;
}

static struct scene scene_of(uint64_t index)
{
    uint64_t state = index * UINT64_C(0x9e3779b97f4a7c15) + 1;
    struct scene scene = {.x = 120 + (int)(next_random(&state) % 140),
                          .head = 30 + (int)(next_random(&state) % 16)};
    for (int c = 0; c < 3; c++) {
        scene.wall[c] = 150 + (int)(next_random(&state) % 60);
        scene.shirt[c] = 25 + (int)(next_random(&state) % 60);
    }
    scene.skin[0] = 120 + (int)(next_random(&state) % 40);
    scene.skin[1] = 70 + (int)(next_random(&state) % 30);
    scene.skin[2] = 40 + (int)(next_random(&state) % 30);
    scene.grain = next_random(&state);
    return scene;
}

static bool is_subject(const struct scene *scene, int x, int y)
{
    return inside(x, y, scene->x, 70, scene->head, scene->head + 8) ||
           inside(x, y, scene->x, 230, 90, 125);
}

static bool inside(int x, int y, int middle_x, int middle_y, int half_x, int half_y)
{
    int64_t dx = x - middle_x;
    int64_t dy = y - middle_y;
    int64_t a = half_x;
    int64_t b = half_y;
    return dx * dx * b * b + dy * dy * a * a <= a * a * b * b;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}
