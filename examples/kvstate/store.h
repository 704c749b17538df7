/*
 * store: state of some size in memory, in pages of 64 KiB, that can be exported while it changes:
 * first all of it, then again and again what has changed since, and at last, when nothing changes
 * any more, the rest.
 *
 * A slot of 64 bytes holds one key's version; the first slot of each page belongs to the store's
 * own changes. Each slot carries a check over itself, so that one which was torn, or came to a
 * wrong place, is found when it is read.
 *
 * The caller's lock is taken around everything here but store_export, which takes it for each page
 * by itself: so a get or a put waits for the copy of one page at most.
 *
 * An exported file is a head (struct store_head), then pages, each as its index (64 bits, this
 * machine's order) and its bytes. It is read as outside bytes: every number is checked.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define STORE_PAGE_BYTES 65536
#define STORE_SLOT_BYTES 64
#define STORE_PAGE_SLOTS (STORE_PAGE_BYTES / STORE_SLOT_BYTES)
#define STORE_PAGES_MAX  (1 << 20)
#define STORE_MAGIC      UINT64_C(0x3165746174737662)

struct store_slot {
    uint64_t key;     /* its place */
    uint64_t version; /* 0: never put */
    uint64_t filler[5];
    uint64_t check;
};

struct store_head {
    uint64_t magic;
    uint64_t page_bytes;
    uint64_t page_count; /* of the whole store */
    uint64_t round;
    uint64_t pages; /* in this file */
    uint64_t puts;
    uint64_t changes;
};

struct store {
    uint8_t *memory;
    int64_t page_count;
    uint64_t *marks;     /* the generation in which a page changed last */
    uint64_t generation; /* grows with each export */
    uint64_t base;       /* what has changed in it or later is in no export yet */
    int round;           /* of the last export or import */
    int64_t puts;
    int64_t changes;
};

struct store_lock {
    void (*take)(void *context);
    void (*give)(void *context);
    void *context;
};

/* bytes are rounded up to pages. All of the memory is touched at once. */
int store_init(struct store *store, int64_t bytes, struct error *err) WARN_UNUSED;
void store_done(struct store *store);
int64_t store_keys(const struct store *store); /* keys are 0 .. this - 1 */

/* A version lower than the one that is there changes nothing. ERR_NOT_FOUND: no such key. */
int store_put(struct store *store, int64_t key, uint64_t version, struct error *err) WARN_UNUSED;
/* ERR_CORRUPT when the slot is not what a put has left. */
int store_get(const struct store *store, int64_t key, uint64_t *ret_version,
              struct error *err) WARN_UNUSED;
void store_change(struct store *store, int64_t page); /* one of the store's own changes */
/* Every slot of every page is whole. */
int store_check(const struct store *store, struct error *err) WARN_UNUSED;

/* Round 1: all pages; a later one: what changed since the export before. `last`: nothing changes
 * any more, no lock is taken, and it may be asked for again. Returns the bytes written. */
int64_t store_export(struct store *store, int round, bool last, const char *path,
                     const struct store_lock *lock, struct error *err);
/* Over what is there. After an error the store is in pieces: a round 1 makes it whole again. */
int store_import(struct store *store, const char *path, struct error *err) WARN_UNUSED;
/* The same from memory. */
int store_import_bytes(struct store *store, const uint8_t *bytes, uint64_t count,
                       struct error *err) WARN_UNUSED;
