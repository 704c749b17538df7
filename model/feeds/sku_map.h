/*
 * sku_map: the place of a text in a list, by hash; for offers of a feed, at most LIMIT_FEED_SKUS.
 * Texts are the caller's and stay; doubling keeps it at most half full. One thread.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

struct sku_map {
    const char **keys; /* NULL: free */
    uint32_t *values;
    uint32_t capacity; /* a power of two, or 0 */
    uint32_t count;
};

void sku_map_done(struct sku_map *map); /* a zeroed one is accepted */
/* The value of the key, or -1. */
int64_t sku_map_find(const struct sku_map *map, const char *key);
/* The key must not be in it. ERR_LIMIT past LIMIT_FEED_SKUS. */
int sku_map_add(struct sku_map *map, const char *key, uint32_t value,
                struct error *err) WARN_UNUSED;
