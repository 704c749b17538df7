#include "model/solve/tables.h"

#include <stdbool.h>
#include <string.h>

#define LANES 4

typedef int64_t lanes __attribute__((vector_size(LANES * sizeof(int64_t))));
typedef uint32_t halves __attribute__((vector_size(LANES * sizeof(uint32_t))));

#if defined(__x86_64__)
#define TABLES_WIDE __attribute__((target("avx2")))
#endif
#define TABLES_INLINE static inline __attribute__((always_inline))

TABLES_INLINE void range_inline(const int64_t *cost, size_t cells, int64_t *ret_least,
                                int64_t *ret_most)
{
    int64_t least = cost[0];
    int64_t most = cost[0];
    size_t at = 0;
    if (cells >= LANES) {
        lanes low;
        memcpy(&low, cost, sizeof(low));
        lanes high = low;
        for (at = LANES; at + LANES <= cells; at += LANES) {
            lanes now;
            memcpy(&now, cost + at, sizeof(now));
            lanes less = now < low;
            lanes more = now > high;
            low = (now & less) | (low & ~less);
            high = (now & more) | (high & ~more);
        }
        for (size_t k = 0; k < LANES; k++) {
            least = low[k] < least ? low[k] : least;
            most = high[k] > most ? high[k] : most;
        }
    }
    for (; at < cells; at++) {
        least = cost[at] < least ? cost[at] : least;
        most = cost[at] > most ? cost[at] : most;
    }
    *ret_least = least;
    *ret_most = most;
}

TABLES_INLINE void narrow_inline(const int64_t *cost, size_t cells, int64_t least, int shift,
                                 uint32_t *out)
{
    size_t at = 0;
    for (; at + LANES <= cells; at += LANES) {
        lanes now;
        memcpy(&now, cost + at, sizeof(now));
        halves half = __builtin_convertvector((now - least) >> shift, halves);
        memcpy(out + at, &half, sizeof(half));
    }
    for (; at < cells; at++) {
        out[at] = (uint32_t)((cost[at] - least) >> shift);
    }
}

#if defined(TABLES_WIDE)
TABLES_WIDE static void range_wide(const int64_t *cost, size_t cells, int64_t *ret_least,
                                   int64_t *ret_most)
{
    range_inline(cost, cells, ret_least, ret_most);
}

TABLES_WIDE static void narrow_wide(const int64_t *cost, size_t cells, int64_t least, int shift,
                                    uint32_t *out)
{
    narrow_inline(cost, cells, least, shift, out);
}

static bool is_wide(void)
{
    return __builtin_cpu_supports("avx2");
}
#endif

void tables_range(const int64_t *cost, size_t cells, int64_t *ret_least, int64_t *ret_most)
{
#if defined(TABLES_WIDE)
    if (is_wide()) {
        range_wide(cost, cells, ret_least, ret_most);
        return;
    }
#endif
    range_inline(cost, cells, ret_least, ret_most);
}

void tables_pick(const int64_t *cost, size_t stride, const int *row, size_t rows, const int *column,
                 size_t columns, int64_t *out)
{
    for (size_t r = 0; r < rows; r++) {
        const int64_t *from = cost + (size_t)row[r] * stride;
        for (size_t c = 0; c < columns; c++) {
            *out++ = from[column[c]];
        }
    }
}

void tables_narrow(const int64_t *cost, size_t cells, int64_t least, int shift, uint32_t *out)
{
#if defined(TABLES_WIDE)
    if (is_wide()) {
        narrow_wide(cost, cells, least, shift, out);
        return;
    }
#endif
    narrow_inline(cost, cells, least, shift, out);
}
