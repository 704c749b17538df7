/* dual_exp: exp in single precision, elementwise, so that compilers make vectors of it. */
#pragma once

#include <stdint.h>
#include <string.h>

/* Of what is 0 or below, to about 2e-7 relative; 0 below -80. */
static inline __attribute__((always_inline)) float dual_exp(float x)
{
    float at = x < -80.0f ? -80.0f : x;
    float turn = at * 1.44269504f + 12582912.0f; /* rounds to a whole number in the low bits */
    int32_t bits;
    memcpy(&bits, &turn, sizeof(bits));
    float whole = turn - 12582912.0f;
    float rest = (at - whole * 0.693359375f) + whole * 2.12194440e-4f;
    float sum = 1.9875691500e-4f;
    sum = sum * rest + 1.3981999507e-3f;
    sum = sum * rest + 8.3334519073e-3f;
    sum = sum * rest + 4.1665795894e-2f;
    sum = sum * rest + 1.6666665459e-1f;
    sum = sum * rest + 5.0000001201e-1f;
    sum = sum * (rest * rest) + (rest + 1.0f);
    int32_t scale_bits = (bits - 0x4b400000 + 127) << 23;
    float scale;
    memcpy(&scale, &scale_bits, sizeof(scale));
    return x < -80.0f ? 0.0f : sum * scale;
}
