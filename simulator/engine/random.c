#include "simulator/engine/random.h"

#include <string.h>

static uint64_t splitmix(uint64_t *state);

void random_seed(struct random_stream *stream, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        stream->s[i] = splitmix(&seed);
}

void random_named(struct random_stream *stream, uint64_t seed, const char *name)
{
    random_indexed(stream, seed, name, 0);
}

void random_indexed(struct random_stream *stream, uint64_t seed, const char *name, uint64_t index)
{
    /* Each byte and then the index go through the whole mixer: names that differ in one bit share
     * nothing. */
    uint64_t state = seed;
    uint64_t hash = splitmix(&state);
    for (const unsigned char *at = (const unsigned char *)name; *at != '\0'; at++) {
        state = hash ^ *at;
        hash = splitmix(&state);
    }
    state = hash ^ index * UINT64_C(0xd1342543de82ef95);
    hash = splitmix(&state);
    random_seed(stream, hash);
}

uint64_t random_below(struct random_stream *stream, uint64_t bound)
{
    unsigned __int128 product = (unsigned __int128)random_u64(stream) * bound;
    if ((uint64_t)product < bound) {
        uint64_t unfair = -bound % bound;
        while ((uint64_t)product < unfair)
            product = (unsigned __int128)random_u64(stream) * bound;
    }
    return (uint64_t)(product >> 64);
}

/* As fdlibm does: value = 2^k * (1 + f), sqrt(1/2) < 1 + f < sqrt(2), and with s = f / (2 + f)
 * log(1 + f) = f - f^2/2 + s * (f^2/2 + a polynomial in s^2). */
double random_log(double value)
{
    uint64_t bits;
    int exponent = 0;
    if (value < 0x1p-1022) {
        value *= 0x1p54;
        exponent = -54;
    }
    memcpy(&bits, &value, sizeof bits);
    uint64_t fraction = bits & UINT64_C(0x000fffffffffffff);
    exponent += (int)(bits >> 52) - 1023;
    /* Above sqrt(2) the next power of two is nearer. */
    if (fraction > UINT64_C(0x6a09e667f3bcc)) {
        exponent++;
        bits = fraction | UINT64_C(0x3fe0000000000000);
    } else {
        bits = fraction | UINT64_C(0x3ff0000000000000);
    }
    double f;
    memcpy(&f, &bits, sizeof f);
    f -= 1;
    double s = f / (2 + f);
    double z = s * s;
    double w = z * z;
    double even = w * (3.999999999940941908e-01 +
                       w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
    double odd = z * (6.666666666666735130e-01 +
                      w * (2.857142874366239149e-01 +
                           w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
    double half = 0.5 * f * f;
    double k = exponent;
    return k * 6.93147180369123816490e-01 -
           ((half - (s * (half + even + odd) + k * 1.90821492927058770002e-10)) - f);
}

/* value = k * log(2) + r with |r| <= log(2) / 2; exp(r) by fdlibm's rational form. */
double random_exp(double value)
{
    if (value > 709)
        return 1.7976931348623157e308;
    if (value < -708)
        return 0;
    int k = (int)(value * 1.44269504088896338700 + (value < 0 ? -0.5 : 0.5));
    double high = value - k * 6.93147180369123816490e-01;
    double low = k * 1.90821492927058770002e-10;
    double r = high - low;
    double t = r * r;
    double c =
        r - t * (1.66666666666666019037e-01 +
                 t * (-2.77777777770155933842e-03 +
                      t * (6.61375632143793436117e-05 +
                           t * (-1.65339022054652515390e-06 + t * 4.13813679705723846039e-08))));
    double result = 1 - ((low - r * c / (2 - c)) - high);
    uint64_t bits = (uint64_t)(1023 + k) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return result * power;
}

static uint64_t splitmix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}
