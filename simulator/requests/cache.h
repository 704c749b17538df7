/*
 * cache: which objects of a catalogue a cache holds: LRU, LFU, TTL, or a given hit ratio.
 *
 * Objects are the numbers 1 to `objects`. LRU throws out what was asked for longest ago. LFU throws
 * out what was asked for least often while it was held, and of these the one longest ago. TTL keeps
 * an object for a time since it was stored, whoever asks meanwhile, and throws out the oldest when
 * it has no room. Asking does not store: a miss is stored by cache_store, when the object came.
 *
 * A cache takes 24 bytes per object of the catalogue, whatever it holds, so that asking is an array
 * access; LRU and TTL take constant time, LFU the logarithm of what it holds. GIVEN takes nothing.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "simulator/engine/random.h"

#define CACHE_OBJECTS_MAX (UINT32_C(1) << 28)

enum cache_kind { CACHE_GIVEN, CACHE_LRU, CACHE_LFU, CACHE_TTL };

struct cache_policy {
    enum cache_kind kind;
    uint32_t hit_ppm;      /* GIVEN */
    uint64_t room_objects; /* LRU, LFU; TTL: 0 means no limit */
    int64_t ttl_ns;        /* TTL */
};

struct cache;

int cache_check(const struct cache_policy *policy, uint64_t objects, struct error *err) WARN_UNUSED;
struct cache *cache_create(const struct cache_policy *policy, uint64_t objects,
                           const struct random_stream *stream); /* NULL without memory */
void cache_destroy(struct cache *cache);

bool cache_ask(struct cache *cache, uint64_t object, int64_t now_ns);   /* true: a hit */
void cache_store(struct cache *cache, uint64_t object, int64_t now_ns); /* again: nothing */
void cache_clear(struct cache *cache);                                  /* its site went down */
uint64_t cache_held(const struct cache *cache); /* of TTL: those that nobody found dead yet too */
size_t cache_bytes(const struct cache *cache);
