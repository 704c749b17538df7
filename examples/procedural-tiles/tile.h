/*
 * tile: a world that a grammar generates, tile by tile. The ground is value noise in octaves, which
 * is continuous across tiles; on it grow plants that a rewriting rule (an L-system) describes: from
 * "F", every F is replaced by the rule, a few times over; then F draws a step, + and - turn by 45
 * degrees, [ and ] begin and end a branch. Where and how large depends on the tile alone.
 *
 * Integers only: a tile is the same wherever and whenever it is made. Pure.
 */
#pragma once

#include <stdint.h>

#define TILE_SIDE     128
#define TILE_BYTES    (TILE_SIDE * TILE_SIDE)
#define TILE_RULE_MAX 32

struct grammar {
    uint64_t seed;
    char rule[TILE_RULE_MAX + 1];
};

/* -1: not 1..32 of F + - [ ], with branches that close and at most 5 of F. */
int grammar_init(struct grammar *grammar, uint64_t seed, const char *rule);
void tile_make(const struct grammar *grammar, int32_t x, int32_t y, uint8_t pixels[TILE_BYTES]);
/* The ground's height at a point of the world, in pixels: what tile_make draws before plants. */
uint8_t tile_ground(const struct grammar *grammar, int64_t x, int64_t y);
