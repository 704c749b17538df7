#include "simulator/engine/stats.h"

#include <math.h>

static double student_above(double degrees, double t);
static double beta_fraction(double a, double b, double x);

void stats_mean_add(struct stats_mean *mean, double value)
{
    if (mean->count == 0 || value < mean->least)
        mean->least = value;
    if (mean->count == 0 || value > mean->most)
        mean->most = value;
    mean->count++;
    double delta = value - mean->mean;
    mean->mean += delta / (double)mean->count;
    mean->squares += delta * (value - mean->mean);
}

void stats_mean_merge(struct stats_mean *into, const struct stats_mean *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0) {
        *into = *from;
        return;
    }
    double own = (double)into->count;
    double other = (double)from->count;
    double delta = from->mean - into->mean;
    into->mean += delta * other / (own + other);
    into->squares += from->squares + delta * delta * own * other / (own + other);
    into->count += from->count;
    into->least = from->least < into->least ? from->least : into->least;
    into->most = from->most > into->most ? from->most : into->most;
}

double stats_mean_variance(const struct stats_mean *mean)
{
    return mean->count < 2 ? 0 : mean->squares / (double)(mean->count - 1);
}

__int128 stats_level_area(const struct stats_level *level, int64_t now_ns)
{
    return level->area + (__int128)level->level * (now_ns - level->since_ns);
}

double stats_level_mean(const struct stats_level *level, int64_t from_ns, int64_t now_ns)
{
    if (now_ns <= from_ns)
        return (double)level->level;
    return (double)stats_level_area(level, now_ns) / (double)(now_ns - from_ns);
}

void stats_level_restart(struct stats_level *level, int64_t now_ns)
{
    level->area = 0;
    level->since_ns = now_ns;
    level->most = level->level;
}

void stats_batches_add(struct stats_batches *batches, double value)
{
    batches->last += value;
    if (batches->in_last++ < batches->size_less_one)
        return;
    batches->sums[batches->count++] = batches->last;
    batches->last = 0;
    batches->in_last = 0;
    if (batches->count < STATS_BATCHES)
        return;
    for (uint32_t i = 0; i < STATS_BATCHES / 2; i++)
        batches->sums[i] = batches->sums[2 * i] + batches->sums[2 * i + 1];
    batches->count = STATS_BATCHES / 2;
    batches->size_less_one = batches->size_less_one * 2 + 1;
}

struct stats_interval stats_batches_interval(const struct stats_batches *batches, double confidence)
{
    struct stats_mean mean = {0};
    for (uint32_t i = 0; i < batches->count; i++)
        stats_mean_add(&mean, batches->sums[i] / ((double)batches->size_less_one + 1));
    return stats_mean_interval(&mean, confidence);
}

struct stats_interval stats_mean_interval(const struct stats_mean *mean, double confidence)
{
    struct stats_interval interval = {.mean = mean->mean, .half = INFINITY};
    if (mean->count >= 2) {
        double t = stats_student((double)(mean->count - 1), 0.5 + confidence / 2);
        interval.half = t * sqrt(stats_mean_variance(mean) / (double)mean->count);
    }
    return interval;
}

/* Bisection on the distribution: this is called once per figure, not per event. */
double stats_student(double degrees, double p)
{
    if (p < 0.5)
        return -stats_student(degrees, 1 - p);
    double low = 0;
    double high = 1;
    while (student_above(degrees, high) > 1 - p && high < 1e15)
        high *= 2;
    for (int i = 0; i < 200 && high - low > 1e-12 * (1 + high); i++) {
        double middle = (low + high) / 2;
        if (student_above(degrees, middle) > 1 - p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* P(T > t) for t >= 0: half the regularised incomplete beta function at degrees / (degrees + t^2).
 */
static double student_above(double degrees, double t)
{
    double a = degrees / 2;
    double b = 0.5;
    double x = degrees / (degrees + t * t);
    if (x >= 1)
        return 0.5;
    int sign;
    double log_beta = lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign);
    double front = exp(log_beta + a * log(x) + b * log1p(-x));
    /* The fraction converges fast only on its side of the mean. */
    double whole = x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                             : 1 - front * beta_fraction(b, a, 1 - x) / b;
    return whole / 2;
}

/* The continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x)
{
    const double tiny = 1e-300;
    double c = 1;
    double d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double result = d;
    for (int m = 1; m < 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        d = 1 + even * d;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = 1 + even / c;
        c = fabs(c) < tiny ? tiny : c;
        result *= d * c;
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        d = 1 + odd * d;
        d = 1 / (fabs(d) < tiny ? tiny : d);
        c = 1 + odd / c;
        c = fabs(c) < tiny ? tiny : c;
        result *= d * c;
        if (fabs(d * c - 1) < 1e-15)
            break;
    }
    return result;
}
