#include "metrics/plausible.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/wire/messages.h"

#define RATE_MAX       INT64_C(100000000)    /* events per second of one instance */
#define BYTES_RATE_MAX INT64_C(100000000000) /* 100 GB/s */
#define CPUS_MAX       1024
#define MEMORY_MAX     (INT64_C(1) << 46) /* 64 TiB */
#define RTT_MIN_US     5 /* two processes and a bus between them take longer anywhere */
#define RTT_MAX_US     (INT64_C(60) * US_PER_S)
#define LEAPS_MAX      3

static int compare(const void *a, const void *b);
static int64_t median_of(int64_t *values, int count);

int64_t plausible_growth(int kind, int64_t elapsed_us)
{
    int64_t rate_max = RATE_MAX;
    if (kind == SAMPLE_CPU_NS)
        rate_max = CPUS_MAX * INT64_C(1000000000);
    else if (kind == SAMPLE_BYTES_IN || kind == SAMPLE_BYTES_OUT)
        rate_max = BYTES_RATE_MAX;
    else if (kind == SAMPLE_LATENCY_US_SUM)
        rate_max = RATE_MAX * 1000;
    /* One second of grace: readings are not taken at the very instant that the batch says. */
    __int128 most = (__int128)rate_max * (elapsed_us + US_PER_S) / US_PER_S;
    return most > INT64_MAX ? INT64_MAX : (int64_t)most;
}

bool plausible_gauge(int kind, int64_t value)
{
    return value >= 0 && (kind != SAMPLE_MEMORY_BYTES || value <= MEMORY_MAX) &&
           (kind != SAMPLE_RTT_US || (value >= RTT_MIN_US && value <= RTT_MAX_US));
}

enum plausible_instant plausible_instant(struct plausible_clock *clock, int64_t source_us,
                                         int64_t now_us, int64_t late_max_us)
{
    int64_t offset_us = now_us - source_us;
    if (!clock->known) {
        *clock = (struct plausible_clock){.known = true, .offset_us = offset_us};
        return INSTANT_FINE;
    }
    int64_t late_us = offset_us - clock->offset_us;
    if (late_us > -late_max_us && late_us < late_max_us) {
        clock->leaps = 0;
        /* The smallest, but it forgets: two clocks may drift apart for ever. */
        clock->offset_us += late_us < 0 ? late_us : late_us / 1024;
        return INSTANT_FINE;
    }
    if (++clock->leaps > LEAPS_MAX) {
        *clock = (struct plausible_clock){.known = true, .offset_us = offset_us};
        return INSTANT_FINE;
    }
    return late_us > 0 ? INSTANT_OLD : INSTANT_FUTURE;
}

int plausible_outliers(const int64_t *values, const bool *trusted, int count, int64_t tolerance,
                       bool *ret_out)
{
    int64_t sorted[PLAUSIBLE_SOURCES_MAX];
    int judges = 0;
    memset(ret_out, 0, (size_t)count * sizeof *ret_out);
    if (count < 2 || count > PLAUSIBLE_SOURCES_MAX)
        return 0;
    int64_t least = values[0];
    int64_t most = values[0];
    for (int i = 1; i < count; i++) {
        least = values[i] < least ? values[i] : least;
        most = values[i] > most ? values[i] : most;
    }
    if (most - least <= tolerance) /* so is everybody's distance from the median */
        return 0;
    for (int i = 0; i < count; i++)
        if (trusted != NULL && trusted[i])
            sorted[judges++] = values[i];
    if (judges == 0 && count == 2) {
        int64_t apart = values[0] > values[1] ? values[0] - values[1] : values[1] - values[0];
        ret_out[0] = ret_out[1] = apart > 2 * tolerance;
        return apart > 2 * tolerance ? 2 : 0;
    }
    if (judges == 0) {
        memcpy(sorted, values, (size_t)count * sizeof *values);
        judges = count;
    }
    int64_t median = median_of(sorted, judges);
    for (int i = 0; i < judges; i++)
        sorted[i] = sorted[i] > median ? sorted[i] - median : median - sorted[i];
    int64_t limit = median_of(sorted, judges) * 9; /* six times 1.4826 */
    limit = limit > tolerance ? limit : tolerance;
    int out = 0;
    for (int i = 0; i < count; i++) {
        int64_t away = values[i] > median ? values[i] - median : median - values[i];
        ret_out[i] = away > limit && (trusted == NULL || !trusted[i]);
        out += ret_out[i];
    }
    return out;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median_of(int64_t *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, compare);
    return count % 2 == 1 ? values[count / 2]
                          : values[count / 2 - 1] + (values[count / 2] - values[count / 2 - 1]) / 2;
}
