#include "scheduler/core/index.h"

#include <string.h>

#include "base/error.h"

static uint64_t buckets_for(int capacity);
static int match(const struct index *index, int32_t link, uint64_t hash);

size_t index_bytes(int capacity)
{
    size_t rows = (size_t)capacity * (sizeof(uint64_t) + sizeof(int32_t));
    size_t bytes = rows + (size_t)buckets_for(capacity) * 2 * sizeof(int32_t);
    return (bytes + 7) / 8 * 8; /* so that one may follow the other */
}

/* Between one and two buckets for a row: chains stay short in a full table. */
static uint64_t buckets_for(int capacity)
{
    uint64_t buckets = 1;
    while (buckets < (uint64_t)capacity)
        buckets *= 2;
    return buckets;
}

void index_init(struct index *index, int capacity, void *memory)
{
    uint64_t buckets = buckets_for(capacity);
    index->capacity = capacity;
    index->mask = buckets - 1;
    index->hash = memory;
    index->next = (int32_t *)(index->hash + capacity);
    index->first = index->next + capacity;
    index->last = index->first + buckets;
}

void index_add(struct index *index, int row, uint64_t hash)
{
    uint64_t bucket = hash & index->mask;
    BERTH_ASSERT(row >= 0 && row < index->capacity, "row %d of %d", row, index->capacity);
    index->hash[row] = hash;
    index->next[row] = 0;
    if (index->first[bucket] == 0)
        index->first[bucket] = row + 1;
    else
        index->next[index->last[bucket] - 1] = row + 1;
    index->last[bucket] = row + 1;
}

int index_first(const struct index *index, uint64_t hash)
{
    return match(index, index->first[hash & index->mask], hash);
}

int index_next(const struct index *index, int row)
{
    return match(index, index->next[row], index->hash[row]);
}

/* The first row of that hash from `link` on. */
static int match(const struct index *index, int32_t link, uint64_t hash)
{
    while (link != 0 && index->hash[link - 1] != hash)
        link = index->next[link - 1];
    return link - 1;
}

void index_move(struct index *index, int from, int to)
{
    index->hash[to] = index->hash[from];
}

void index_relink(struct index *index, int count)
{
    memset(index->first, 0, (size_t)(index->mask + 1) * sizeof(*index->first));
    for (int row = 0; row < count; row++)
        index_add(index, row, index->hash[row]);
}
