#include "simulator/engine/random.h"

#include <stdbool.h>

#define DURATION_MAX_NS (INT64_C(1) << 62)
#define SQRT(x)         __builtin_sqrt(x) /* correctly rounded on every machine */

static double power(double base, double exponent);
static double log_factorial(double k);
static uint64_t poisson_large(struct random_stream *stream, double mean);
static double zipf_integral(const struct random_zipf *zipf, double x);
static double zipf_inverse(const struct random_zipf *zipf, double y);
static double zipf_weight(const struct random_zipf *zipf, double x);
static int64_t duration_of(double ns);

/* Outside the rectangle: below the curve beside it, beyond the last layer's edge, or again. In the
 * tail the exponential is itself again, further right. */
double random_exponential_rest(struct random_stream *stream, uint64_t bits)
{
    const double *edges = random_exponential_edges;
    double base = 0;
    for (;;) {
        uint64_t layer = bits & (RANDOM_LAYERS - 1);
        double x = (double)(bits >> 11) * random_exponential_layers[layer].width;
        if (bits >> 11 < random_exponential_layers[layer].inside)
            return base + x;
        if (layer == 0) {
            base += edges[1];
        } else {
            double low = random_exp(-edges[layer]);
            double high = random_exp(-edges[layer + 1]);
            if (low + random_uniform(stream) * (high - low) < random_exp(-x))
                return base + x;
        }
        bits = random_u64(stream);
    }
}

double random_normal(struct random_stream *stream)
{
    const double *edges = random_normal_edges;
    for (;;) {
        uint64_t bits = random_u64(stream);
        uint64_t layer = bits & (RANDOM_LAYERS - 1);
        double sign = (bits & RANDOM_LAYERS) != 0 ? -1 : 1;
        double x = (double)(bits >> 11) * random_normal_layers[layer].width;
        if (bits >> 11 < random_normal_layers[layer].inside)
            return sign * x;
        if (layer == 0) {
            /* Marsaglia's tail: an exponential of rate r, accepted as the normal falls faster. */
            double past;
            double other;
            do {
                past = random_exponential(stream) / edges[1];
                other = random_exponential(stream);
            } while (2 * other < past * past);
            return sign * (edges[1] + past);
        }
        double low = random_exp(-0.5 * edges[layer] * edges[layer]);
        double high = random_exp(-0.5 * edges[layer + 1] * edges[layer + 1]);
        if (low + random_uniform(stream) * (high - low) < random_exp(-0.5 * x * x))
            return sign * x;
    }
}

double random_lognormal(struct random_stream *stream, double mean, double deviation)
{
    double ratio = deviation / mean;
    double variance = random_log(1 + ratio * ratio);
    double centre = random_log(mean) - variance / 2;
    return random_exp(centre + SQRT(variance) * random_normal(stream));
}

uint64_t random_poisson(struct random_stream *stream, double mean)
{
    if (mean >= 10)
        return poisson_large(stream, mean);
    double rest = random_exp(-mean);
    uint64_t count = 0;
    for (double product = random_uniform(stream); product > rest; product *= random_uniform(stream))
        count++;
    return count;
}

void random_zipf_init(struct random_zipf *zipf, uint64_t count, double exponent)
{
    *zipf = (struct random_zipf){.count = count, .exponent = exponent};
    zipf->low = zipf_integral(zipf, 1.5) - 1;
    zipf->high = zipf_integral(zipf, (double)count + 0.5);
    zipf->near = 2 - zipf_inverse(zipf, zipf_integral(zipf, 2.5) - zipf_weight(zipf, 2));
}

/* Hoermann and Derflinger: invert the integral of the weight, round to a rank, and reject where
 * the rank's own weight is below the curve. */
uint64_t random_zipf_rank(struct random_stream *stream, const struct random_zipf *zipf)
{
    for (;;) {
        double y = zipf->high + random_uniform(stream) * (zipf->low - zipf->high);
        double x = zipf_inverse(zipf, y);
        double rank = x + 0.5;
        uint64_t k = rank < 1 ? 1 : (uint64_t)rank;
        k = k > zipf->count ? zipf->count : k;
        if ((double)k - x <= zipf->near ||
            y >= zipf_integral(zipf, (double)k + 0.5) - zipf_weight(zipf, (double)k))
            return k;
    }
}

int64_t random_duration_ns(struct random_stream *stream, const struct random_duration *duration)
{
    double low = (double)duration->low_ns;
    double mean = (double)duration->mean_ns;
    switch (duration->kind) {
    case RANDOM_CONSTANT:
        return duration->mean_ns;
    case RANDOM_UNIFORM:
        return duration_of(low + random_uniform(stream) * ((double)duration->high_ns - low));
    case RANDOM_EXPONENTIAL:
        return duration_of(low + (mean - low) * random_exponential(stream));
    case RANDOM_LOGNORMAL:
        return duration_of(random_lognormal(stream, mean, (double)duration->deviation_ns));
    case RANDOM_TWO_RATES:
        if (random_uniform(stream) >= duration->share)
            low = (double)duration->high_ns;
        return duration_of(low * random_exponential(stream));
    }
    return 0;
}

double random_duration_mean_ns(const struct random_duration *duration)
{
    double low = (double)duration->low_ns;
    double high = (double)duration->high_ns;
    switch (duration->kind) {
    case RANDOM_UNIFORM:
        return (low + high) / 2;
    case RANDOM_TWO_RATES:
        return duration->share * low + (1 - duration->share) * high;
    case RANDOM_CONSTANT:
    case RANDOM_EXPONENTIAL:
    case RANDOM_LOGNORMAL:
        break;
    }
    return (double)duration->mean_ns;
}

double random_duration_square(const struct random_duration *duration)
{
    double low = (double)duration->low_ns;
    double high = (double)duration->high_ns;
    double mean = random_duration_mean_ns(duration);
    double variance = 0;
    switch (duration->kind) {
    case RANDOM_CONSTANT:
        break;
    case RANDOM_UNIFORM:
        variance = (high - low) * (high - low) / 12;
        break;
    case RANDOM_EXPONENTIAL:
        variance = (mean - low) * (mean - low);
        break;
    case RANDOM_LOGNORMAL:
        variance = (double)duration->deviation_ns * (double)duration->deviation_ns;
        break;
    case RANDOM_TWO_RATES:
        return 2 * (duration->share * low * low + (1 - duration->share) * high * high);
    }
    return mean * mean + variance;
}

static int64_t duration_of(double ns)
{
    if (!(ns > 0))
        return 0;
    return ns < (double)DURATION_MAX_NS ? (int64_t)ns : DURATION_MAX_NS;
}

static double power(double base, double exponent)
{
    return random_exp(exponent * random_log(base));
}

/* Stirling's series; k >= 0. */
static double log_factorial(double k)
{
    static const double small[] = {0,
                                   0,
                                   0.69314718055994531,
                                   1.7917594692280550,
                                   3.1780538303479458,
                                   4.7874917427820460,
                                   6.5792512120101010,
                                   8.5251613610654143,
                                   10.604602902745250,
                                   12.801827480081469};
    if (k < 10)
        return small[(int)k];
    double inverse = 1 / k;
    double square = inverse * inverse;
    return (k + 0.5) * random_log(k) - k + 0.91893853320467274 +
           inverse * (1.0 / 12 - square * (1.0 / 360 - square * (1.0 / 1260)));
}

/* Hoermann's PTRS. */
static uint64_t poisson_large(struct random_stream *stream, double mean)
{
    double log_mean = random_log(mean);
    double b = 0.931 + 2.53 * SQRT(mean);
    double a = -0.059 + 0.02483 * b;
    double inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    double inside = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = random_uniform(stream) - 0.5;
        double v = random_uniform(stream);
        double us = 0.5 - (u < 0 ? -u : u);
        double value = (2 * a / us + b) * u + mean + 0.43;
        if (value < 0)
            continue;
        double k = (double)(int64_t)value;
        if (us >= 0.07 && v <= inside)
            return (uint64_t)k;
        if (us < 0.013 && v > us)
            continue;
        if (random_log(v * inverse_alpha / (a / (us * us) + b)) <=
            k * log_mean - mean - log_factorial(k))
            return (uint64_t)k;
    }
}

/* (exp(x) - 1) / x and log(1 + x) / x without losing digits near 0. */
static double exp_less_one_by(double x)
{
    if (x > -1e-4 && x < 1e-4)
        return 1 + x / 2 * (1 + x / 3 * (1 + x / 4));
    return (random_exp(x) - 1) / x;
}

static double log_one_plus_by(double x)
{
    if (x > -1e-4 && x < 1e-4)
        return 1 - x * (0.5 - x * (1.0 / 3 - x / 4));
    return random_log(1 + x) / x;
}

static double zipf_integral(const struct random_zipf *zipf, double x)
{
    double log_x = random_log(x);
    return exp_less_one_by((1 - zipf->exponent) * log_x) * log_x;
}

static double zipf_inverse(const struct random_zipf *zipf, double y)
{
    double t = y * (1 - zipf->exponent);
    if (t < -1)
        t = -1 + 0x1p-52; /* rounding only: the integral's range ends at -1 */
    return random_exp(log_one_plus_by(t) * y);
}

static double zipf_weight(const struct random_zipf *zipf, double x)
{
    return power(x, -zipf->exponent);
}
