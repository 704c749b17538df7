#include "metrics/quantise.h"

#define RATIO_QUANTUM 10000

static int64_t quantum_of(int64_t value)
{
    int64_t power = 1;
    while (power <= value / 2)
        power *= 2;
    return power / 32 > 0 ? power / 32 : 1;
}

int64_t quantise_value(int64_t value)
{
    int64_t quantum = quantum_of(value);
    return (value + quantum / 2) / quantum * quantum;
}

int64_t quantise_ratio(int64_t ppm)
{
    return (ppm + RATIO_QUANTUM / 2) / RATIO_QUANTUM * RATIO_QUANTUM;
}

bool quantise_moved(int64_t said, int64_t value, bool ratio)
{
    int64_t quantum = ratio ? RATIO_QUANTUM : quantum_of(said > value ? said : value);
    int64_t away = value > said ? value - said : said - value;
    return 2 * away > 3 * quantum;
}
