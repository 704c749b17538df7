/*
 * matte: takes a person out of a picture. The picture's border is taken for background, but for the
 * lower edge, where people are cut off: its colours are grouped into a few; what is like them and
 * connected to that border is background, all else is the subject, holes of a similar colour
 * included. The hard mask is then refined where it is uncertain: `passes` sweeps let the opacity
 * flow between neighbours of like colours (an edge-aware diffusion), which leaves a soft edge that
 * follows the picture's own.
 *
 * Integers only: the same picture gives the same matte on every machine. About 16 bytes of working
 * memory a pixel. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define MATTE_SIDE_MAX 2048

struct picture {
    int width;
    int height;
    uint8_t *rgb; /* 3 bytes a pixel, in rows */
};

/* Reads a binary PPM ("P6", 8 bits); the pixels stay in `data`. -1 with the rule that it breaks. */
int picture_read(const char *data, size_t bytes, struct picture *ret_picture,
                 const char **ret_rule);
/* Fills alpha[width * height], 0 background to 255 subject. -1: no memory. */
int matte_compute(const struct picture *picture, int passes, uint8_t *alpha);
