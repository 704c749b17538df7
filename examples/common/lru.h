/*
 * lru: a cache of blobs of one size by a 64-bit key; what was used longest ago gives way.
 *
 * A hash table with chains over a fixed array of entries, which also form the list by last use. All
 * memory is taken at the start. One mutex over all of it: a get copies the blob out, so that no
 * pointer into the cache leaves it. Any thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lru;

/* NULL: no memory, or not 1..2^20 entries of 1..2^20 bytes. */
struct lru *lru_create(int entries, size_t value_bytes);
void lru_destroy(struct lru *lru);
/* Copies the value out and makes it the youngest; false: it is not there. */
bool lru_get(struct lru *lru, uint64_t key, void *ret_value);
void lru_put(struct lru *lru, uint64_t key, const void *value);
int lru_count(struct lru *lru);
