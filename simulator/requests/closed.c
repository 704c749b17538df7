#include "simulator/requests/closed.h"

#include <math.h>

static double zipf_sum(uint64_t objects, double exponent);
static double held_at(uint64_t objects, double exponent, double sum, double asked);

/* The recursion over the number of servers, on the inverse: each step adds, none cancels. */
double closed_erlang_b(double load, int64_t servers)
{
    if (!(load >= 0) || servers < 0)
        return NAN;
    double inverse = 1;
    for (int64_t k = 1; k <= servers; k++)
        inverse = 1 + inverse * (double)k / load;
    return 1 / inverse;
}

double closed_erlang_c(double load, int64_t servers)
{
    if (!(load >= 0) || servers < 1)
        return NAN;
    if (load >= (double)servers)
        return 1;
    double b = closed_erlang_b(load, servers);
    double used = load / (double)servers;
    return b / (1 - used * (1 - b));
}

double closed_mmc_wait(double arrivals, double service_mean, int64_t servers)
{
    double load = arrivals * service_mean;
    if (load >= (double)servers)
        return INFINITY;
    return closed_erlang_c(load, servers) * service_mean / ((double)servers - load);
}

double closed_mg1_wait(double arrivals, double service_mean, double service_square)
{
    double used = arrivals * service_mean;
    return used >= 1 ? INFINITY : arrivals * service_square / (2 * (1 - used));
}

double closed_ps_time(double arrivals, double service_mean)
{
    double used = arrivals * service_mean;
    return used >= 1 ? INFINITY : service_mean / (1 - used);
}

/* Che: an object stays for a time that is about the same for all; that time is found from the sum
 * of what is held, which grows with it. */
double closed_lru_hits(uint64_t objects, double exponent, double room)
{
    if (objects == 0 || !(room > 0))
        return NAN;
    if (room >= (double)objects)
        return 1;
    double sum = zipf_sum(objects, exponent);
    double low = 0;
    double high = room;
    while (held_at(objects, exponent, sum, high) < room)
        high *= 2;
    for (int i = 0; i < 60; i++) {
        double middle = (low + high) / 2;
        if (held_at(objects, exponent, sum, middle) < room)
            low = middle;
        else
            high = middle;
    }
    double hits = 0;
    for (uint64_t k = 1; k <= objects; k++) {
        double share = pow((double)k, -exponent) / sum;
        hits += share * -expm1(-share * high);
    }
    return hits;
}

/* A renewal: one miss stores the object, then requests of a lifetime hit. */
double closed_ttl_hits(uint64_t objects, double exponent, double asked)
{
    if (objects == 0 || !(asked >= 0))
        return NAN;
    double sum = zipf_sum(objects, exponent);
    double hits = 0;
    for (uint64_t k = 1; k <= objects; k++) {
        double share = pow((double)k, -exponent) / sum;
        hits += share * (share * asked) / (1 + share * asked);
    }
    return hits;
}

static double zipf_sum(uint64_t objects, double exponent)
{
    double sum = 0;
    for (uint64_t k = objects; k >= 1; k--)
        sum += pow((double)k, -exponent);
    return sum;
}

static double held_at(uint64_t objects, double exponent, double sum, double asked)
{
    double held = 0;
    for (uint64_t k = 1; k <= objects; k++)
        held += -expm1(-pow((double)k, -exponent) / sum * asked);
    return held;
}
