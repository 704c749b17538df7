#include "examples/background-removal/matte.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 4 /* of the border's colours */
#define ROUNDS 6 /* of grouping */
/* Squared colour distance, beside the group's own spread, that is background. */
#define LIKE       900
#define BAND       3 /* pixels on each side of the hard edge that are uncertain */
#define SOFT_TRUST 2 /* how much an uncertain pixel keeps to its hard value, of 256 a neighbour */
#define HARD_TRUST 2048 /* and a certain one */

struct group {
    int64_t mean[3];
    int64_t spread; /* mean squared distance of its members */
};

struct matte {
    const struct picture *picture;
    int width;
    int height;
    struct group groups[GROUPS];
    bool *background; /* by the flood */
    int *queue;
    uint16_t *right; /* weight between a pixel and the one to its right */
    uint16_t *below;
    uint16_t *alpha; /* 0..65535 */
    uint16_t *hard;
    bool *uncertain;
};

static int read_number(const char *data, size_t bytes, size_t *at);
static int64_t distance(const uint8_t *pixel, const int64_t mean[3]);
static int border_pixel(const struct matte *matte, int index);
static int border_count(const struct matte *matte);
static void group_border(struct matte *matte);
static int nearest_group(const struct matte *matte, const uint8_t *pixel, int64_t *ret_distance);
static bool is_like_border(const struct matte *matte, int at);
static void flood(struct matte *matte);
static void mark_uncertain(struct matte *matte);
static void weigh_neighbours(struct matte *matte);
static uint16_t weight_between(const uint8_t *a, const uint8_t *b);
static void diffuse(struct matte *matte, bool backwards);

int picture_read(const char *data, size_t bytes, struct picture *ret_picture, const char **ret_rule)
{
    size_t at = 2;
    int width = -1;
    int height = -1;
    int depth = -1;
    if (bytes >= 2 && memcmp(data, "P6", 2) == 0) {
        width = read_number(data, bytes, &at);
        height = read_number(data, bytes, &at);
        depth = read_number(data, bytes, &at);
    }
    if (width < 8 || height < 8 || width > MATTE_SIDE_MAX || height > MATTE_SIDE_MAX ||
        depth != 255) {
        *ret_rule = "a picture is a binary PPM: P6, 8 to 2048 pixels wide and high, 255";
        return -1;
    }
    size_t wanted = (size_t)width * (size_t)height * 3;
    if (at >= bytes || bytes - at - 1 != wanted) {
        *ret_rule = "the picture has other than 3 bytes for each pixel";
        return -1;
    }
    *ret_picture = (struct picture){width, height, (uint8_t *)data + at + 1};
    return 0;
}

int matte_compute(const struct picture *picture, int passes, uint8_t *alpha)
{
    size_t pixels = (size_t)picture->width * (size_t)picture->height;
    struct matte matte = {.picture = picture, .width = picture->width, .height = picture->height};
    matte.background = calloc(pixels, sizeof(bool));
    matte.uncertain = calloc(pixels, sizeof(bool));
    matte.queue = calloc(pixels, sizeof(int));
    matte.right = calloc(pixels, sizeof(uint16_t));
    matte.below = calloc(pixels, sizeof(uint16_t));
    matte.alpha = calloc(pixels, sizeof(uint16_t));
    matte.hard = calloc(pixels, sizeof(uint16_t));
    bool complete = matte.background != NULL && matte.uncertain != NULL && matte.queue != NULL &&
                    matte.right != NULL && matte.below != NULL && matte.alpha != NULL &&
                    matte.hard != NULL;
    if (complete) {
        group_border(&matte);
        flood(&matte);
        mark_uncertain(&matte);
        weigh_neighbours(&matte);
        for (int pass = 0; pass < passes; pass++)
            diffuse(&matte, pass % 2 == 1);
        for (size_t i = 0; i < pixels; i++)
            alpha[i] = (uint8_t)(matte.alpha[i] >> 8);
    }
    free(matte.background);
    free(matte.uncertain);
    free(matte.queue);
    free(matte.right);
    free(matte.below);
    free(matte.alpha);
    free(matte.hard);
    return complete ? 0 : -1;
}

/* After blanks and comments; -1: there is none below 100,000. */
static int read_number(const char *data, size_t bytes, size_t *at)
{
    int value = 0;
    bool comment = false;
    while (*at < bytes && (comment || memchr(" \t\r\n#", data[*at], 5) != NULL)) {
        comment = data[*at] == '#' || (comment && data[*at] != '\n');
        ++*at;
    }
    size_t first = *at;
    while (*at < bytes && data[*at] >= '0' && data[*at] <= '9' && value < 10000)
        value = value * 10 + (data[(*at)++] - '0');
    return *at == first ? -1 : value;
}

static int64_t distance(const uint8_t *pixel, const int64_t mean[3])
{
    int64_t red = pixel[0] - mean[0];
    int64_t green = pixel[1] - mean[1];
    int64_t blue = pixel[2] - mean[2];
    return red * red + green * green + blue * blue;
}

/* The border's pixels by number: the upper edge, then both sides downwards. */
static int border_pixel(const struct matte *matte, int index)
{
    int width = matte->width;
    if (index < width)
        return index;
    index -= width;
    return (1 + index / 2) * width + (index % 2) * (width - 1);
}

static int border_count(const struct matte *matte)
{
    return matte->width + 2 * (matte->height - 1);
}

/* k-means from means that are spread around the border. */
static void group_border(struct matte *matte)
{
    int count = border_count(matte);
    const uint8_t *rgb = matte->picture->rgb;
    for (int k = 0; k < GROUPS; k++)
        for (int c = 0; c < 3; c++)
            matte->groups[k].mean[c] =
                rgb[3 * border_pixel(matte, (2 * k + 1) * count / (2 * GROUPS)) + c];
    for (int round = 0; round < ROUNDS; round++) {
        int64_t sums[GROUPS][5] = {{0}}; /* colours, squared distances, members */
        for (int i = 0; i < count; i++) {
            int64_t apart;
            const uint8_t *pixel = &rgb[3 * border_pixel(matte, i)];
            int k = nearest_group(matte, pixel, &apart);
            for (int c = 0; c < 3; c++)
                sums[k][c] += pixel[c];
            sums[k][3] += apart;
            sums[k][4]++;
        }
        for (int k = 0; k < GROUPS; k++) {
            for (int c = 0; c < 3 && sums[k][4] > 0; c++)
                matte->groups[k].mean[c] = sums[k][c] / sums[k][4];
            matte->groups[k].spread = sums[k][4] > 0 ? sums[k][3] / sums[k][4] : 0;
        }
    }
}

static int nearest_group(const struct matte *matte, const uint8_t *pixel, int64_t *ret_distance)
{
    int best = 0;
    *ret_distance = distance(pixel, matte->groups[0].mean);
    for (int k = 1; k < GROUPS; k++) {
        int64_t apart = distance(pixel, matte->groups[k].mean);
        if (apart < *ret_distance) {
            *ret_distance = apart;
            best = k;
        }
    }
    return best;
}

static bool is_like_border(const struct matte *matte, int at)
{
    int64_t apart;
    int k = nearest_group(matte, &matte->picture->rgb[3 * at], &apart);
    return apart < LIKE + 6 * matte->groups[k].spread;
}

/* From the border inwards, through pixels that are like it. */
static void flood(struct matte *matte)
{
    int width = matte->width;
    int height = matte->height;
    int border = border_count(matte);
    int first = 0;
    int last = 0;
    for (int i = 0; i < border; i++) {
        int at = border_pixel(matte, i);
        if (!matte->background[at] && is_like_border(matte, at)) {
            matte->background[at] = true;
            matte->queue[last++] = at;
        }
    }
    while (first < last) {
        int at = matte->queue[first++];
        int x = at % width;
        const int next[4] = {x > 0 ? at - 1 : -1, x < width - 1 ? at + 1 : -1, at - width,
                             at < (height - 1) * width ? at + width : -1};
        for (int i = 0; i < 4; i++) {
            if (next[i] >= 0 && !matte->background[next[i]] && is_like_border(matte, next[i])) {
                matte->background[next[i]] = true;
                matte->queue[last++] = next[i];
            }
        }
    }
}

/* The hard mask, and a band around every edge of it. */
static void mark_uncertain(struct matte *matte)
{
    int width = matte->width;
    int height = matte->height;
    for (int at = 0; at < width * height; at++) {
        matte->hard[at] = matte->background[at] ? 0 : 65535;
        matte->alpha[at] = matte->hard[at];
        bool right = at % width < width - 1 && matte->background[at] != matte->background[at + 1];
        bool below =
            at < (height - 1) * width && matte->background[at] != matte->background[at + width];
        if (!right && !below)
            continue;
        int x = at % width;
        int y = at / width;
        for (int v = y < BAND ? 0 : y - BAND; v <= y + BAND && v < height; v++)
            for (int u = x < BAND ? 0 : x - BAND; u <= x + BAND && u < width; u++)
                matte->uncertain[v * width + u] = true;
    }
}

static void weigh_neighbours(struct matte *matte)
{
    int width = matte->width;
    const uint8_t *rgb = matte->picture->rgb;
    for (int at = 0; at < width * matte->height; at++) {
        if (at % width < width - 1)
            matte->right[at] = weight_between(&rgb[3 * at], &rgb[3 * (at + 1)]);
        if (at < (matte->height - 1) * width)
            matte->below[at] = weight_between(&rgb[3 * at], &rgb[3 * (at + width)]);
    }
}

/* 256 for the same colour, falling with the square of the distance, never 0. */
static uint16_t weight_between(const uint8_t *a, const uint8_t *b)
{
    const int64_t mean[3] = {b[0], b[1], b[2]};
    return (uint16_t)(1 + 255 * 200 / (200 + distance(a, mean)));
}

/* Each pixel becomes the mean of its neighbours, by their weights, and of its hard value. Turning
 * round at every sweep keeps the result from drifting. */
static void diffuse(struct matte *matte, bool backwards)
{
    int width = matte->width;
    int pixels = width * matte->height;
    uint16_t *alpha = matte->alpha;
    for (int i = 0; i < pixels; i++) {
        int at = backwards ? pixels - 1 - i : i;
        uint64_t trust = matte->uncertain[at] ? SOFT_TRUST : HARD_TRUST;
        uint64_t sum = trust * matte->hard[at];
        uint64_t all = trust;
        if (at % width > 0) {
            sum += (uint64_t)matte->right[at - 1] * alpha[at - 1];
            all += matte->right[at - 1];
        }
        if (at % width < width - 1) {
            sum += (uint64_t)matte->right[at] * alpha[at + 1];
            all += matte->right[at];
        }
        if (at >= width) {
            sum += (uint64_t)matte->below[at - width] * alpha[at - width];
            all += matte->below[at - width];
        }
        if (at < pixels - width) {
            sum += (uint64_t)matte->below[at] * alpha[at + width];
            all += matte->below[at];
        }
        alpha[at] = (uint16_t)(sum / all);
    }
}
