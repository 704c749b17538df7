/*
 * scene: pictures to try a matte on: a person before a wall, drawn by index, with the true mask. A
 * shaded wall with grain, a body and a head of other colours, and on the body a patch of the wall's
 * own colour, which is not background as it is not connected to it. Deterministic.
 */
#pragma once

#include <stdint.h>

#define SCENE_WIDTH  384
#define SCENE_HEIGHT 288
#define SCENE_PIXELS (SCENE_WIDTH * SCENE_HEIGHT)
#define SCENE_BYTES  (SCENE_PIXELS * 3 + 15) /* "P6\n384 288\n255\n" and the pixels */

/* A whole PPM of SCENE_BYTES. */
void scene_draw(uint64_t index, char *ppm);
/* 0 or 1 a pixel. */
void scene_mask(uint64_t index, uint8_t *mask);
/* Of the pixels that either calls subject (alpha from 128), those that both do: parts per thousand.
 */
int scene_agreement(uint64_t index, const uint8_t *alpha);
