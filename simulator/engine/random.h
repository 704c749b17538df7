/*
 * random: seeded streams of random numbers, one per source of chance, and draws from them.
 *
 * A stream is named: random_named(&s, seed, "arrivals/eu") depends on the seed and the name alone.
 * Give each source its own and a change in one place (another cache, one more site) shifts no
 * number elsewhere: two policies under one seed meet the same arrivals (common random numbers).
 *
 * Every draw is whole-number arithmetic and IEEE additions, products, quotients and square roots,
 * never libm: logarithm and exponential are polynomials of our own (within 2 units of the last
 * place). With -ffp-contract=off, as the project builds, the bits are the same on every machine
 * that has IEEE doubles. Generator: xoshiro256++, seeded through splitmix64; the exponential and
 * the normal use ziggurats of 256 layers, Zipf rejection-inversion (no table), Poisson counts
 * multiplication below 10 and transformed rejection above.
 *
 * No global state but constant tables. A stream is 32 bytes of the caller's; one thread at a time.
 */
#pragma once

#include <stdint.h>

struct random_stream {
    uint64_t s[4];
};

void random_seed(struct random_stream *stream, uint64_t seed);
void random_named(struct random_stream *stream, uint64_t seed, const char *name);
/* The stream of one of many alike: of (seed, name, index). */
void random_indexed(struct random_stream *stream, uint64_t seed, const char *name, uint64_t index);

static inline uint64_t random_u64(struct random_stream *stream)
{
    uint64_t *s = stream->s;
    uint64_t sum = s[0] + s[3];
    uint64_t result = (sum << 23 | sum >> 41) + s[0];
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

/* In the open interval (0, 1), 53 bits. */
static inline double random_uniform(struct random_stream *stream)
{
    return ((double)(random_u64(stream) >> 12) + 0.5) * 0x1p-52;
}

/* From 0 to bound - 1, each equally likely; bound > 0. */
uint64_t random_below(struct random_stream *stream, uint64_t bound);

#define RANDOM_LAYERS 256
/* Of layer i: a draw of 53 bits below `inside` is below the curve; times `width` it is the value.
 */
struct random_layer {
    uint64_t inside;
    double width;
};
extern const struct random_layer random_exponential_layers[RANDOM_LAYERS];
extern const double random_exponential_edges[RANDOM_LAYERS + 1]; /* x of the layers' right ends */
extern const struct random_layer random_normal_layers[RANDOM_LAYERS];
extern const double random_normal_edges[RANDOM_LAYERS + 1];

double random_exponential_rest(struct random_stream *stream, uint64_t bits);

/* Of mean 1. One draw in 98 % of all calls. */
static inline double random_exponential(struct random_stream *stream)
{
    uint64_t bits = random_u64(stream);
    const struct random_layer *layer = &random_exponential_layers[bits & (RANDOM_LAYERS - 1)];
    if (__builtin_expect(bits >> 11 < layer->inside, 1))
        return (double)(bits >> 11) * layer->width;
    return random_exponential_rest(stream, bits);
}

double random_normal(struct random_stream *stream); /* of mean 0 and deviation 1 */
/* exp of a normal, with the mean and the deviation of the result itself. */
double random_lognormal(struct random_stream *stream, double mean, double deviation);
/* Events of a Poisson process of that mean; mean from 0 to 10^9. */
uint64_t random_poisson(struct random_stream *stream, double mean);

/* Zipf: rank k of 1..count has weight k^-exponent; exponent >= 0, any count below 2^52. */
struct random_zipf {
    uint64_t count;
    double exponent;
    double low; /* the integral's ends */
    double high;
    double near; /* ranks this near above are taken without looking */
};
void random_zipf_init(struct random_zipf *zipf, uint64_t count, double exponent);
uint64_t random_zipf_rank(struct random_stream *stream, const struct random_zipf *zipf);

/* What a duration may be distributed like. */
enum random_kind {
    RANDOM_CONSTANT,
    RANDOM_UNIFORM,     /* from low to high */
    RANDOM_EXPONENTIAL, /* low (a floor) + exponential of mean `mean` - low */
    RANDOM_LOGNORMAL,   /* by mean and deviation */
    RANDOM_TWO_RATES    /* hyper-exponential: share of mean low, the others of mean high */
};
struct random_duration {
    enum random_kind kind;
    int64_t mean_ns; /* CONSTANT, EXPONENTIAL, LOGNORMAL */
    int64_t low_ns;
    int64_t high_ns;
    int64_t deviation_ns; /* LOGNORMAL */
    double share;         /* TWO_RATES, 0 to 1 */
};
/* Never negative; rounded to the next nanosecond below, at most 2^62. */
int64_t random_duration_ns(struct random_stream *stream, const struct random_duration *duration);
double random_duration_mean_ns(const struct random_duration *duration);
double random_duration_square(const struct random_duration *duration); /* mean of the square */

/* The polynomials; value > 0 and finite for the logarithm. */
double random_log(double value);
double random_exp(double value); /* 0 below -708, the largest double above 709 */
