#include "examples/common/lru.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define NONE    (-1)
#define MOST    (1 << 20)
#define SCATTER UINT64_C(0x9e3779b97f4a7c15)

struct entry {
    uint64_t key;
    int chain;   /* the next of its bucket */
    int younger; /* in the order of use */
    int older;
};

struct lru {
    pthread_mutex_t lock;
    struct entry *entries;
    unsigned char *values;
    int *buckets;
    size_t value_bytes;
    int bits; /* of the buckets */
    int capacity;
    int count;
    int youngest;
    int oldest;
};

static int *bucket_of(struct lru *lru, uint64_t key);
static int find(struct lru *lru, uint64_t key);
static int take_entry(struct lru *lru);
static void detach(struct lru *lru, int at);
static void attach(struct lru *lru, int at);

struct lru *lru_create(int entries, size_t value_bytes)
{
    if (entries < 1 || entries > MOST || value_bytes < 1 || value_bytes > MOST)
        return NULL;
    struct lru *lru = calloc(1, sizeof *lru);
    if (lru == NULL)
        return NULL;
    pthread_mutex_init(&lru->lock, NULL);
    while ((1 << lru->bits) < entries)
        lru->bits++;
    lru->value_bytes = value_bytes;
    lru->capacity = entries;
    lru->youngest = NONE;
    lru->oldest = NONE;
    lru->entries = calloc((size_t)entries, sizeof *lru->entries);
    lru->values = calloc((size_t)entries, value_bytes);
    lru->buckets = malloc(sizeof(int) << lru->bits);
    if (lru->entries == NULL || lru->values == NULL || lru->buckets == NULL) {
        lru_destroy(lru);
        return NULL;
    }
    for (int i = 0; i < 1 << lru->bits; i++)
        lru->buckets[i] = NONE;
    return lru;
}

void lru_destroy(struct lru *lru)
{
    if (lru == NULL)
        return;
    pthread_mutex_destroy(&lru->lock);
    free(lru->entries);
    free(lru->values);
    free(lru->buckets);
    free(lru);
}

bool lru_get(struct lru *lru, uint64_t key, void *ret_value)
{
    pthread_mutex_lock(&lru->lock);
    int at = find(lru, key);
    if (at != NONE) {
        memcpy(ret_value, lru->values + (size_t)at * lru->value_bytes, lru->value_bytes);
        detach(lru, at);
        attach(lru, at);
    }
    pthread_mutex_unlock(&lru->lock);
    return at != NONE;
}

void lru_put(struct lru *lru, uint64_t key, const void *value)
{
    pthread_mutex_lock(&lru->lock);
    int at = find(lru, key);
    if (at == NONE) {
        at = take_entry(lru);
        lru->entries[at].key = key;
        lru->entries[at].chain = *bucket_of(lru, key);
        *bucket_of(lru, key) = at;
    } else {
        detach(lru, at);
    }
    attach(lru, at);
    memcpy(lru->values + (size_t)at * lru->value_bytes, value, lru->value_bytes);
    pthread_mutex_unlock(&lru->lock);
}

int lru_count(struct lru *lru)
{
    pthread_mutex_lock(&lru->lock);
    int count = lru->count;
    pthread_mutex_unlock(&lru->lock);
    return count;
}

static int *bucket_of(struct lru *lru, uint64_t key)
{
    return &lru->buckets[lru->bits == 0 ? 0 : (key * SCATTER) >> (64 - lru->bits)];
}

static int find(struct lru *lru, uint64_t key)
{
    int at = *bucket_of(lru, key);
    while (at != NONE && lru->entries[at].key != key)
        at = lru->entries[at].chain;
    return at;
}

/* A fresh one, else the oldest, out of its bucket and of the order. */
static int take_entry(struct lru *lru)
{
    if (lru->count < lru->capacity)
        return lru->count++;
    int at = lru->oldest;
    int *chain = bucket_of(lru, lru->entries[at].key);
    while (*chain != at)
        chain = &lru->entries[*chain].chain;
    *chain = lru->entries[at].chain;
    detach(lru, at);
    return at;
}

static void detach(struct lru *lru, int at)
{
    struct entry *entry = &lru->entries[at];
    *(entry->younger == NONE ? &lru->youngest : &lru->entries[entry->younger].older) = entry->older;
    *(entry->older == NONE ? &lru->oldest : &lru->entries[entry->older].younger) = entry->younger;
}

static void attach(struct lru *lru, int at)
{
    struct entry *entry = &lru->entries[at];
    entry->younger = NONE;
    entry->older = lru->youngest;
    *(lru->youngest == NONE ? &lru->oldest : &lru->entries[lru->youngest].younger) = at;
    lru->youngest = at;
}
