#include "simulator/requests/cache.h"

#include <stdlib.h>
#include <string.h>

#define NONE 0 /* objects begin at 1; entry 0 is the head of the list */

/* In the list of LRU and TTL, or at a place in LFU's heap. */
struct entry {
    uint32_t before;
    uint32_t after;
    uint32_t count; /* LFU: how often asked for while held */
    uint32_t place; /* LFU: in the heap, from 1; LRU and TTL: 1 when held */
    int64_t stamp;  /* LFU: a number that grows with each use; TTL: stored at */
};

struct cache {
    struct cache_policy policy;
    struct random_stream stream;
    uint64_t objects;
    uint64_t held;
    uint64_t uses;
    struct entry *entries; /* [0].after is the newest, [0].before the oldest */
    uint32_t *heap;        /* LFU: from 1 */
};

static void unlink_entry(struct cache *cache, uint32_t object);
static void link_newest(struct cache *cache, uint32_t object);
static void drop_oldest(struct cache *cache);
static void heap_sink(struct cache *cache, uint32_t place);
static void heap_rise(struct cache *cache, uint32_t place);

int cache_check(const struct cache_policy *policy, uint64_t objects, struct error *err)
{
    if (policy->kind == CACHE_GIVEN) {
        if (policy->hit_ppm > 1000000)
            return error_set(err, ERR_INVALID, 0, "hit_ppm is %u; it is at most 1000000",
                             policy->hit_ppm);
        return 0;
    }
    if (objects == 0 || objects > CACHE_OBJECTS_MAX)
        return error_set(err, ERR_INVALID, 0,
                         "a cache that keeps objects needs a catalogue of 1 to %u, not %llu",
                         CACHE_OBJECTS_MAX, (unsigned long long)objects);
    if (policy->kind != CACHE_TTL && policy->room_objects == 0)
        return error_set(err, ERR_INVALID, 0, "room_objects is 0; LRU and LFU keep at least 1");
    if (policy->kind == CACHE_TTL && policy->ttl_ns <= 0)
        return error_set(err, ERR_INVALID, 0, "ttl_ns is %lld; it is above 0",
                         (long long)policy->ttl_ns);
    return 0;
}

struct cache *cache_create(const struct cache_policy *policy, uint64_t objects,
                           const struct random_stream *stream)
{
    struct cache *cache = calloc(1, sizeof *cache);
    if (cache == NULL)
        return NULL;
    cache->policy = *policy;
    cache->stream = *stream;
    if (policy->kind == CACHE_GIVEN)
        return cache;
    cache->objects = objects;
    cache->entries = calloc(objects + 1, sizeof *cache->entries);
    if (policy->kind == CACHE_LFU) {
        uint64_t room = policy->room_objects < objects ? policy->room_objects : objects;
        cache->heap = calloc(room + 1, sizeof *cache->heap);
    }
    if (cache->entries == NULL || (policy->kind == CACHE_LFU && cache->heap == NULL)) {
        cache_destroy(cache);
        return NULL;
    }
    return cache;
}

void cache_destroy(struct cache *cache)
{
    if (cache == NULL)
        return;
    free(cache->entries);
    free(cache->heap);
    free(cache);
}

bool cache_ask(struct cache *cache, uint64_t object, int64_t now_ns)
{
    if (cache->policy.kind == CACHE_GIVEN)
        return random_below(&cache->stream, 1000000) < cache->policy.hit_ppm;
    uint32_t at = (uint32_t)object;
    struct entry *entry = &cache->entries[at];
    if (entry->place == 0)
        return false;
    switch (cache->policy.kind) {
    case CACHE_LRU:
        unlink_entry(cache, at);
        link_newest(cache, at);
        return true;
    case CACHE_LFU:
        entry->count += entry->count < UINT32_MAX;
        entry->stamp = (int64_t)++cache->uses;
        heap_sink(cache, entry->place);
        return true;
    case CACHE_TTL:
        if (now_ns - entry->stamp < cache->policy.ttl_ns)
            return true;
        unlink_entry(cache, at);
        entry->place = 0;
        cache->held--;
        return false;
    case CACHE_GIVEN:
        break;
    }
    return false;
}

void cache_store(struct cache *cache, uint64_t object, int64_t now_ns)
{
    uint32_t at = (uint32_t)object;
    if (cache->policy.kind == CACHE_GIVEN || cache->entries[at].place != 0)
        return;
    uint64_t room = cache->policy.room_objects;
    if (room > 0 && cache->held == room)
        drop_oldest(cache);
    struct entry *entry = &cache->entries[at];
    cache->held++;
    if (cache->policy.kind == CACHE_LFU) {
        entry->count = 1;
        entry->stamp = (int64_t)++cache->uses;
        entry->place = (uint32_t)cache->held;
        cache->heap[entry->place] = at;
        heap_rise(cache, entry->place);
        return;
    }
    entry->place = 1;
    entry->stamp = now_ns;
    link_newest(cache, at);
}

void cache_clear(struct cache *cache)
{
    if (cache->entries != NULL)
        memset(cache->entries, 0, (cache->objects + 1) * sizeof *cache->entries);
    cache->held = 0;
}

uint64_t cache_held(const struct cache *cache)
{
    return cache->held;
}

size_t cache_bytes(const struct cache *cache)
{
    size_t bytes = sizeof *cache;
    if (cache->entries != NULL)
        bytes += (cache->objects + 1) * sizeof *cache->entries;
    if (cache->heap != NULL)
        bytes += (cache->policy.room_objects + 1) * sizeof *cache->heap;
    return bytes;
}

static void unlink_entry(struct cache *cache, uint32_t object)
{
    struct entry *entry = &cache->entries[object];
    cache->entries[entry->before].after = entry->after;
    cache->entries[entry->after].before = entry->before;
}

static void link_newest(struct cache *cache, uint32_t object)
{
    struct entry *entry = &cache->entries[object];
    uint32_t next = cache->entries[NONE].after;
    entry->before = NONE;
    entry->after = next;
    cache->entries[NONE].after = object;
    cache->entries[next].before = object;
}

static void drop_oldest(struct cache *cache)
{
    if (cache->policy.kind != CACHE_LFU) {
        uint32_t oldest = cache->entries[NONE].before;
        unlink_entry(cache, oldest);
        cache->entries[oldest].place = 0;
        cache->held--;
        return;
    }
    uint32_t last = cache->heap[cache->held--];
    cache->entries[cache->heap[1]].place = 0;
    if (cache->held == 0)
        return;
    cache->heap[1] = last;
    cache->entries[last].place = 1;
    heap_sink(cache, 1);
}

static bool used_less(const struct cache *cache, uint32_t a, uint32_t b)
{
    const struct entry *x = &cache->entries[a];
    const struct entry *y = &cache->entries[b];
    return x->count != y->count ? x->count < y->count : x->stamp < y->stamp;
}

static void heap_put(struct cache *cache, uint32_t place, uint32_t object)
{
    cache->heap[place] = object;
    cache->entries[object].place = place;
}

static void heap_sink(struct cache *cache, uint32_t place)
{
    uint32_t object = cache->heap[place];
    for (;;) {
        uint64_t child = (uint64_t)place * 2;
        if (child > cache->held)
            break;
        if (child < cache->held && used_less(cache, cache->heap[child + 1], cache->heap[child]))
            child++;
        if (!used_less(cache, cache->heap[child], object))
            break;
        heap_put(cache, place, cache->heap[child]);
        place = (uint32_t)child;
    }
    heap_put(cache, place, object);
}

static void heap_rise(struct cache *cache, uint32_t place)
{
    uint32_t object = cache->heap[place];
    for (; place > 1 && used_less(cache, object, cache->heap[place / 2]); place /= 2)
        heap_put(cache, place, cache->heap[place / 2]);
    heap_put(cache, place, object);
}
