#include "model/feeds/sku_map.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/str.h"

#define CAPACITY_FIRST 1024

static uint32_t slot_of(const struct sku_map *map, const char *key);
static int grow(struct sku_map *map, struct error *err);

void sku_map_done(struct sku_map *map)
{
    free(map->keys);
    free(map->values);
    *map = (struct sku_map){.keys = NULL};
}

int64_t sku_map_find(const struct sku_map *map, const char *key)
{
    if (map->capacity == 0)
        return -1;
    uint32_t slot = slot_of(map, key);
    return map->keys[slot] == NULL ? -1 : (int64_t)map->values[slot];
}

int sku_map_add(struct sku_map *map, const char *key, uint32_t value, struct error *err)
{
    if (map->count >= LIMIT_FEED_SKUS)
        return error_set(err, ERR_LIMIT, 0,
                         "the list has more than %d offers that count (LIMIT_FEED_SKUS); fetch "
                         "fewer regions at once",
                         LIMIT_FEED_SKUS);
    if (map->count * 2 >= map->capacity) {
        int rc = grow(map, err);
        if (rc < 0)
            return rc;
    }
    uint32_t slot = slot_of(map, key);
    map->keys[slot] = key;
    map->values[slot] = value;
    map->count++;
    return 0;
}

/* Where the key is, or would be. */
static uint32_t slot_of(const struct sku_map *map, const char *key)
{
    uint32_t slot = (uint32_t)hash_str(HASH_SEED, key) & (map->capacity - 1);
    while (map->keys[slot] != NULL && !str_equal(map->keys[slot], key))
        slot = (slot + 1) & (map->capacity - 1);
    return slot;
}

static int grow(struct sku_map *map, struct error *err)
{
    struct sku_map larger = {.capacity = map->capacity == 0 ? CAPACITY_FIRST : map->capacity * 2,
                             .count = map->count};
    larger.keys = calloc(larger.capacity, sizeof(larger.keys[0]));
    larger.values = calloc(larger.capacity, sizeof(larger.values[0]));
    if (larger.keys == NULL || larger.values == NULL) {
        sku_map_done(&larger);
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the offers of a price list");
    }
    for (uint32_t i = 0; i < map->capacity; i++) {
        if (map->keys[i] == NULL)
            continue;
        uint32_t slot = slot_of(&larger, map->keys[i]);
        larger.keys[slot] = map->keys[i];
        larger.values[slot] = map->values[i];
    }
    free(map->keys);
    free(map->values);
    *map = larger;
    return 0;
}
