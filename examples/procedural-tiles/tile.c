#include "examples/procedural-tiles/tile.h"

#include <stdbool.h>
#include <string.h>

#include "base/str.h"

#define OCTAVES      5
#define CELL         64 /* of the coarsest octave, in pixels */
#define ONE          256
#define PLANTS       3
#define GENERATIONS  3
#define DEPTH_MAX    16
#define TEXT_MAX     4096 /* 32 symbols, 5 of F: 27 + 5 x (27 + 5 x 32) = 962 after the third */
#define PLANT_BRIGHT 255

struct turtle {
    int x;
    int y;
    int heading; /* eighths of a turn; 0 is up */
};

static uint64_t scatter(uint64_t seed, int64_t x, int64_t y);
static void grow(const struct grammar *grammar, uint64_t seed, uint8_t pixels[TILE_BYTES]);
static int rewrite(const struct grammar *grammar, char text[TEXT_MAX]);
static void draw(const char *text, int symbols, struct turtle turtle, uint8_t pixels[TILE_BYTES]);

int grammar_init(struct grammar *grammar, uint64_t seed, const char *rule)
{
    int depth = 0;
    int steps = 0;
    size_t symbols = strlen(rule);
    for (size_t i = 0; i < symbols; i++) {
        depth += rule[i] == '[' ? 1 : rule[i] == ']' ? -1 : 0;
        steps += rule[i] == 'F';
        if (strchr("F+-[]", rule[i]) == NULL || depth < 0 || depth > DEPTH_MAX / GENERATIONS)
            return -1;
    }
    if (symbols < 1 || symbols > TILE_RULE_MAX || depth != 0 || steps > 5)
        return -1;
    grammar->seed = seed;
    str_format(grammar->rule, sizeof grammar->rule, "%s", rule);
    return 0;
}

void tile_make(const struct grammar *grammar, int32_t x, int32_t y, uint8_t pixels[TILE_BYTES])
{
    for (int v = 0; v < TILE_SIDE; v++)
        for (int u = 0; u < TILE_SIDE; u++)
            pixels[v * TILE_SIDE + u] =
                tile_ground(grammar, (int64_t)x * TILE_SIDE + u, (int64_t)y * TILE_SIDE + v);
    for (int plant = 0; plant < PLANTS; plant++)
        grow(grammar, scatter(grammar->seed ^ (uint64_t)(plant + 1), x, y), pixels);
}

/* Between the four corners of its cell in every octave, smoothly; each octave half as high. */
uint8_t tile_ground(const struct grammar *grammar, int64_t x, int64_t y)
{
    int64_t sum = 0;
    for (int octave = 0; octave < OCTAVES; octave++) {
        int64_t cell = CELL >> octave;
        int64_t left = x >= 0 ? x / cell : -((-x + cell - 1) / cell);
        int64_t top = y >= 0 ? y / cell : -((-y + cell - 1) / cell);
        int64_t u = (x - left * cell) * ONE / cell;
        int64_t v = (y - top * cell) * ONE / cell;
        uint64_t seed = grammar->seed + (uint64_t)octave;
        u = u * u * (3 * ONE - 2 * u) / (ONE * ONE);
        v = v * v * (3 * ONE - 2 * v) / (ONE * ONE);
        int64_t a = (int64_t)(scatter(seed, left, top) & 255);
        int64_t b = (int64_t)(scatter(seed, left + 1, top) & 255);
        int64_t c = (int64_t)(scatter(seed, left, top + 1) & 255);
        int64_t d = (int64_t)(scatter(seed, left + 1, top + 1) & 255);
        int64_t height = (a * (ONE - u) + b * u) * (ONE - v) + (c * (ONE - u) + d * u) * v;
        sum += height >> (octave + 1);
    }
    return (uint8_t)(sum * 200 / 255 / (ONE * ONE)); /* below PLANT_BRIGHT */
}

static uint64_t scatter(uint64_t seed, int64_t x, int64_t y)
{
    uint64_t mixed = seed * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)x;
    for (int i = 0; i < 2; i++) {
        mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94d049bb133111eb);
        mixed = (mixed ^ (mixed >> 31)) + (i == 0 ? (uint64_t)y * UINT64_C(0xd6e8feb86659fd93) : 0);
    }
    return mixed;
}

static void grow(const struct grammar *grammar, uint64_t seed, uint8_t pixels[TILE_BYTES])
{
    char text[TEXT_MAX];
    struct turtle turtle = {.x = 16 + (int)(seed % (TILE_SIDE - 32)),
                            .y = 32 + (int)((seed >> 16) % (TILE_SIDE - 36)),
                            .heading = (int)(seed >> 32 & 1)};
    draw(text, rewrite(grammar, text), turtle, pixels);
}

static int rewrite(const struct grammar *grammar, char text[TEXT_MAX])
{
    char before[TEXT_MAX];
    int rule = (int)strlen(grammar->rule);
    int symbols = 1;
    text[0] = 'F';
    for (int generation = 0; generation < GENERATIONS; generation++) {
        int count = 0;
        memcpy(before, text, (size_t)symbols);
        for (int i = 0; i < symbols && count + rule <= TEXT_MAX; i++) {
            memcpy(text + count, before[i] == 'F' ? grammar->rule : before + i,
                   before[i] == 'F' ? (size_t)rule : 1);
            count += before[i] == 'F' ? rule : 1;
        }
        symbols = count;
    }
    return symbols;
}

static void draw(const char *text, int symbols, struct turtle turtle, uint8_t pixels[TILE_BYTES])
{
    static const int step_x[8] = {0, 1, 1, 1, 0, -1, -1, -1};
    static const int step_y[8] = {-1, -1, 0, 1, 1, 1, 0, -1};
    struct turtle branches[DEPTH_MAX];
    int depth = 0;
    for (int i = 0; i < symbols; i++) {
        switch (text[i]) {
        case 'F':
            turtle.x += step_x[turtle.heading];
            turtle.y += step_y[turtle.heading];
            if (turtle.x >= 0 && turtle.x < TILE_SIDE && turtle.y >= 0 && turtle.y < TILE_SIDE)
                pixels[turtle.y * TILE_SIDE + turtle.x] = PLANT_BRIGHT;
            break;
        case '+':
            turtle.heading = (turtle.heading + 1) % 8;
            break;
        case '-':
            turtle.heading = (turtle.heading + 7) % 8;
            break;
        case '[':
            if (depth < DEPTH_MAX)
                branches[depth++] = turtle;
            break;
        default:
            if (depth > 0)
                turtle = branches[--depth];
        }
    }
}
