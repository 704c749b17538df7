#include "metrics/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 64

/* clang-format off: tables. */
const uint64_t sketch_bounds[SKETCH_STEPS + 1] = {
    0x8000000000000000, 0x8164d1f3bc030773, 0x82cd8698ac2ba1d7, 0x843a28c3acde4046,
    0x85aac367cc487b14, 0x871f61969e8d1010, 0x88980e8092da8527, 0x8a14d575496efd9a,
    0x8b95c1e3ea8bd6e6, 0x8d1adf5b7e5ba9e5, 0x8ea4398b45cd53c0, 0x9031dc431466b1dc,
    0x91c3d373ab11c336, 0x935a2b2f13e6e92b, 0x94f4efa8fef70961, 0x96942d3720185a00,
    0x9837f0518db8a96f, 0x99e0459320b7fa64, 0x9b8d39b9d54e5538, 0x9d3ed9a72cffb750,
    0x9ef5326091a111ad, 0xa0b0510fb9714fc2, 0xa27043030c496818, 0xa43515ae09e6809e,
    0xa5fed6a9b15138ea, 0xa7cd93b4e9653569, 0xa9a15ab4ea7c0ef8, 0xab7a39b5a93ed337,
    0xad583eea42a14ac6, 0xaf3b78ad690a4374, 0xb123f581d2ac258f, 0xb311c412a9112489,
    0xb504f333f9de6484, 0xb6fd91e328d17791, 0xb8fbaf4762fb9ee9, 0xbaff5ab2133e45fb,
    0xbd08a39f580c36be, 0xbf1799b67a731082, 0xc12c4cca66709456, 0xc346ccda24976407,
    0xc5672a115506dadd, 0xc78d74c8abb9b15c, 0xc9b9bd866e2f27a2, 0xcbec14fef2727c5c,
    0xce248c151f8480e3, 0xd06333daef2b2594, 0xd2a81d91f12ae45a, 0xd4f35aabcfedfa1f,
    0xd744fccad69d6af4, 0xd99d15c278afd7b5, 0xdbfbb797daf23755, 0xde60f4825e0e9123,
    0xe0ccdeec2a94e111, 0xe33f8972be8a5a51, 0xe5b906e77c8348a8, 0xe8396a503c4bdc68,
    0xeac0c6e7dd24392e, 0xed4f301ed9942b84, 0xefe4b99bdcdaf5cb, 0xf281773c59ffb139,
    0xf5257d152486cc2c, 0xf7d0df730ad13bb8, 0xfa83b2db722a033a, 0xfd3e0c0cf486c174,
    0xffffffffffffffff,
};

const uint8_t sketch_slots[128] = {
    0,  0,  1,  2,  2,  3,  4,  4,  5,  6,  6,  7,  8,  8,  9,  10, 10, 11, 12, 12, 13, 14,
    14, 15, 15, 16, 17, 17, 18, 18, 19, 20, 20, 21, 21, 22, 22, 23, 24, 24, 25, 25, 26, 26,
    27, 27, 28, 28, 29, 29, 30, 30, 31, 31, 32, 33, 33, 34, 34, 35, 35, 35, 36, 36, 37, 37,
    38, 38, 39, 39, 40, 40, 41, 41, 42, 42, 43, 43, 43, 44, 44, 45, 45, 46, 46, 47, 47, 47,
    48, 48, 49, 49, 50, 50, 50, 51, 51, 52, 52, 52, 53, 53, 54, 54, 54, 55, 55, 56, 56, 56,
    57, 57, 58, 58, 58, 59, 59, 59, 60, 60, 61, 61, 61, 62, 62, 62, 63, 63,
};

/* (base - 1) / (base + 1), rounded up, from SKETCH_SCALE_MAX downward. */
static const int32_t errors_ppm[] = {
    5416,   10831,  21658,   43295,   86428,   171573,  333334,  600000,  882353,
    992218, 999970, 1000000, 1000000, 1000000, 1000000, 1000000, 1000000,
};
/* clang-format on */

static bool make_room(struct sketch *sketch, int32_t *lowest, int32_t *highest);
static void shift_to(struct sketch *sketch, int32_t offset);
static void coarsen(struct sketch *sketch, int steps);
static void used_range(const struct sketch *sketch, int32_t *ret_lowest, int32_t *ret_highest);
static double bound_of(const struct sketch *sketch, int32_t index);
static double middle_of(const struct sketch *sketch, int32_t index);

void sketch_done(struct sketch *sketch)
{
    if (sketch == NULL)
        return;
    free(sketch->counts);
    *sketch = (struct sketch){0};
}

void sketch_clear(struct sketch *sketch)
{
    uint64_t *counts = sketch->counts;
    uint32_t room = sketch->room;
    int32_t offset = sketch->coarser == 0 ? sketch->offset : 0;
    if (counts != NULL)
        memset(counts, 0, room * sizeof *counts);
    *sketch = (struct sketch){.counts = counts, .room = room, .offset = offset};
}

void sketch_add_count(struct sketch *sketch, int64_t value, uint64_t count)
{
    if (count == 0)
        return;
    if (value <= 0) {
        sketch->zero_count += count;
        sketch->count += count;
        return;
    }
    int32_t index = sketch_index((uint64_t)value) >> sketch->coarser;
    uint32_t at = (uint32_t)index - (uint32_t)sketch->offset;
    if (at >= sketch->room) {
        int32_t lowest = index;
        int32_t highest = index;
        if (!make_room(sketch, &lowest, &highest)) {
            sketch->lost += count;
            return;
        }
        at = (uint32_t)(lowest - sketch->offset);
    }
    sketch->counts[at] += count;
    sketch->count += count;
    sketch->sum += (unsigned __int128)(uint64_t)value * count;
}

void sketch_merge(struct sketch *into, const struct sketch *from)
{
    if (into->coarser < from->coarser)
        coarsen(into, from->coarser - into->coarser);
    int32_t lowest;
    int32_t highest;
    used_range(from, &lowest, &highest);
    if (lowest <= highest) {
        int finer = into->coarser - from->coarser;
        int32_t low = lowest >> finer;
        int32_t high = highest >> finer;
        if (!make_room(into, &low, &high)) {
            into->lost += from->count + from->lost;
            return;
        }
        finer = into->coarser - from->coarser; /* it may have become coarser still */
        for (int32_t i = lowest; i <= highest; i++)
            into->counts[(i >> finer) - into->offset] += from->counts[i - from->offset];
    }
    into->count += from->count;
    into->zero_count += from->zero_count;
    into->lost += from->lost;
    into->sum += from->sum;
}

bool sketch_subtract(struct sketch *from, const struct sketch *earlier)
{
    int32_t lowest;
    int32_t highest;
    used_range(earlier, &lowest, &highest);
    if (earlier->coarser > from->coarser || earlier->count > from->count ||
        earlier->zero_count > from->zero_count || earlier->sum > from->sum)
        return false;
    /* Several buckets of the earlier one may be one now: summed up in turn, undone on failure. */
    int finer = from->coarser - earlier->coarser;
    int32_t i = lowest;
    for (; i <= highest; i++) {
        uint32_t at = (uint32_t)((i >> finer) - from->offset);
        uint64_t count = earlier->counts[i - earlier->offset];
        if (count == 0)
            continue;
        if (at >= from->room || from->counts[at] < count)
            break;
        from->counts[at] -= count;
    }
    if (i <= highest) {
        while (--i >= lowest)
            if (earlier->counts[i - earlier->offset] > 0)
                from->counts[(i >> finer) - from->offset] += earlier->counts[i - earlier->offset];
        return false;
    }
    from->count -= earlier->count;
    from->zero_count -= earlier->zero_count;
    from->sum -= earlier->sum;
    return true;
}

int sketch_scale(const struct sketch *sketch)
{
    return SKETCH_SCALE_MAX - sketch->coarser;
}

int64_t sketch_error_ppm(const struct sketch *sketch)
{
    return errors_ppm[sketch->coarser];
}

double sketch_quantile(const struct sketch *sketch, int64_t q_ppm)
{
    if (sketch->count == 0)
        return -1;
    q_ppm = q_ppm < 0 ? 0 : q_ppm > 1000000 ? 1000000 : q_ppm;
    unsigned __int128 share = (unsigned __int128)sketch->count * (uint64_t)q_ppm;
    uint64_t rank = (uint64_t)((share + 999999) / 1000000);
    if (rank == 0)
        rank = 1;
    if (rank <= sketch->zero_count)
        return 0;
    uint64_t seen = sketch->zero_count;
    for (uint32_t i = 0; i < sketch->room; i++) {
        seen += sketch->counts[i];
        if (seen >= rank)
            return middle_of(sketch, sketch->offset + (int32_t)i);
    }
    return -1; /* not reached: the buckets and zero_count sum up to count */
}

size_t sketch_bytes(const struct sketch *sketch)
{
    return sizeof *sketch + sketch->room * sizeof *sketch->counts;
}

/* Makes counts reach from *lowest to *highest beside what it has; both are of the present scale,
 * and are told anew when that had to become coarser. False without memory for a first bucket. */
static bool make_room(struct sketch *sketch, int32_t *lowest, int32_t *highest)
{
    for (;;) {
        int32_t low;
        int32_t high;
        used_range(sketch, &low, &high);
        low = low > *lowest ? *lowest : low;
        high = high < *highest ? *highest : high;
        if (low >= sketch->offset && high - sketch->offset < (int32_t)sketch->room)
            return true;
        uint32_t span = (uint32_t)(high - low) + 1;
        if (span <= sketch->room) {
            shift_to(sketch, low - (int32_t)(sketch->room - span) / 2);
            return true;
        }
        uint32_t room = ROOM_FIRST;
        while (room < span)
            room *= 2;
        uint64_t *counts = NULL;
        if (span <= LIMIT_SKETCH_BUCKETS)
            counts = calloc(room, sizeof *counts);
        if (counts != NULL) {
            if (sketch->room > 0)
                memcpy(counts, sketch->counts, sketch->room * sizeof *counts);
            free(sketch->counts);
            sketch->counts = counts;
            sketch->room = room;
            continue;
        }
        if (sketch->room == 0 && span <= LIMIT_SKETCH_BUCKETS)
            return false;
        coarsen(sketch, 1);
        *lowest >>= 1;
        *highest >>= 1;
    }
}

/* Makes `offset` the first index. What has a count must fit, wherever it lies now. */
static void shift_to(struct sketch *sketch, int32_t offset)
{
    int32_t lowest;
    int32_t highest;
    used_range(sketch, &lowest, &highest);
    if (lowest <= highest) {
        uint64_t *from = sketch->counts + (lowest - sketch->offset);
        uint64_t *to = sketch->counts + (lowest - offset);
        size_t count = (size_t)(highest - lowest) + 1;
        memmove(to, from, count * sizeof *to);
        /* What is left of the old place: nothing overlaps the new one there. */
        size_t away = (size_t)(to > from ? to - from : from - to);
        away = away < count ? away : count;
        memset(to > from ? from : from + count - away, 0, away * sizeof *from);
    }
    sketch->offset = offset;
}

/* Adds up groups of 2^steps neighbours, in place. */
static void coarsen(struct sketch *sketch, int steps)
{
    int32_t lowest;
    int32_t highest;
    used_range(sketch, &lowest, &highest);
    int32_t offset = lowest <= highest ? lowest >> steps : 0;
    for (int32_t i = lowest; i <= highest; i++) {
        uint64_t count = sketch->counts[i - sketch->offset];
        sketch->counts[i - sketch->offset] = 0;
        /* Never to the right of where it came from, as offset <= i. */
        int32_t at = (i >> steps) - offset;
        sketch->counts[at] += count;
    }
    sketch->offset = offset;
    sketch->coarser += steps;
    BERTH_ASSERT(sketch->coarser <= SKETCH_SCALE_MAX - SKETCH_SCALE_MIN, "coarser than one bucket");
}

/* The first and the last bucket with a count; last < first when there is none. */
static void used_range(const struct sketch *sketch, int32_t *ret_lowest, int32_t *ret_highest)
{
    int32_t low = 0;
    int32_t high = (int32_t)sketch->room - 1;
    while (low <= high && sketch->counts[low] == 0)
        low++;
    while (high >= low && sketch->counts[high] == 0)
        high--;
    *ret_lowest = low <= high ? sketch->offset + low : INT32_MAX;
    *ret_highest = low <= high ? sketch->offset + high : INT32_MIN;
}

/* base^index */
static double bound_of(const struct sketch *sketch, int32_t index)
{
    int64_t finest = (int64_t)index * (INT64_C(1) << sketch->coarser);
    int64_t octave = finest >> 6;
    if (octave > 63) /* of the coarsest scales: past all whole numbers */
        return 0x1p64;
    return ldexp((double)sketch_bounds[finest & 63], (int)(octave - 63));
}

/* The value that is relatively as far from the first whole number in a bucket as from the last. */
static double middle_of(const struct sketch *sketch, int32_t index)
{
    double first = floor(bound_of(sketch, index)) + 1;
    double last = floor(bound_of(sketch, index + 1));
    if (last <= first)
        return first;
    return 2 * first * last / (first + last);
}
