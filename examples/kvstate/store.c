#include "examples/kvstate/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/str.h"

#define BATCH_PAGES 64

/* Pages that were copied and are to be written together. */
struct batch {
    uint64_t indices[BATCH_PAGES];
    uint8_t *pages; /* of `count` pages */
    int count;
};

static struct store_slot *slot_of(const struct store *store, int64_t key);
static uint64_t check_of(const struct store_slot *slot);
static void write_slot(struct store *store, int64_t key, uint64_t version);
static int64_t export_pages(struct store *store, int fd, uint64_t from, bool all,
                            struct batch *batch, const struct store_lock *lock);
static int flush_batch(int fd, struct batch *batch);
static void guard(const struct store_lock *lock, bool take);

int store_init(struct store *store, int64_t bytes, struct error *err)
{
    int64_t pages = (bytes + STORE_PAGE_BYTES - 1) / STORE_PAGE_BYTES;
    *store = (struct store){.page_count = pages, .generation = 1};
    if (pages < 1 || pages > STORE_PAGES_MAX)
        return error_set(err, ERR_LIMIT, 0, "%" PRId64 " bytes of state: 1 to %d pages of %d bytes",
                         bytes, STORE_PAGES_MAX, STORE_PAGE_BYTES);
    store->memory = aligned_alloc(STORE_PAGE_BYTES, (size_t)pages * STORE_PAGE_BYTES);
    store->marks = calloc((size_t)pages, sizeof *store->marks);
    if (store->memory == NULL || store->marks == NULL) {
        store_done(store);
        return error_set(err, ERR_NO_MEMORY, errno, "%" PRId64 " pages of state", pages);
    }
    for (int64_t key = 0; key < store_keys(store); key++)
        write_slot(store, key, 0);
    memset(store->marks, 0, (size_t)pages * sizeof *store->marks);
    return 0;
}

void store_done(struct store *store)
{
    free(store->memory);
    free(store->marks);
    *store = (struct store){0};
}

int64_t store_keys(const struct store *store)
{
    return store->page_count * STORE_PAGE_SLOTS;
}

int store_put(struct store *store, int64_t key, uint64_t version, struct error *err)
{
    uint64_t there = 0;
    if (key >= 0 && key < store_keys(store) && key % STORE_PAGE_SLOTS == 0)
        return error_set(err, ERR_INVALID, 0, "key %" PRId64 ": the first of a page is the store's",
                         key);
    int rc = store_get(store, key, &there, err);
    if (rc < 0)
        return rc;
    if (version > there)
        write_slot(store, key, version);
    store->puts++;
    return 0;
}

int store_get(const struct store *store, int64_t key, uint64_t *ret_version, struct error *err)
{
    if (key < 0 || key >= store_keys(store))
        return error_set(err, ERR_NOT_FOUND, 0, "key %" PRId64 ": there are %" PRId64, key,
                         store_keys(store));
    const struct store_slot *slot = slot_of(store, key);
    if (slot->key != (uint64_t)key || slot->check != check_of(slot))
        return error_set(err, ERR_CORRUPT, 0, "key %" PRId64 ": the slot is in pieces", key);
    *ret_version = slot->version;
    return 0;
}

void store_change(struct store *store, int64_t page)
{
    int64_t key = page * STORE_PAGE_SLOTS;
    write_slot(store, key, slot_of(store, key)->version + 1);
    store->changes++;
}

int store_check(const struct store *store, struct error *err)
{
    uint64_t version;
    for (int64_t key = 0; key < store_keys(store); key++) {
        int rc = store_get(store, key, &version, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int64_t store_export(struct store *store, int round, bool last, const char *path,
                     const struct store_lock *lock, struct error *err)
{
    const struct store_lock *held = last ? NULL : lock;
    CLEANUP(cleanup_close)
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    guard(held, true);
    uint64_t from = round <= 1 ? 0 : store->base;
    if (!last)
        store->base = ++store->generation;
    guard(held, false);
    struct batch batch = {.pages = malloc((size_t)BATCH_PAGES * STORE_PAGE_BYTES)};
    struct store_head head = {.magic = STORE_MAGIC,
                              .page_bytes = STORE_PAGE_BYTES,
                              .page_count = (uint64_t)store->page_count,
                              .round = (uint64_t)round};
    int64_t pages = -1;
    if (batch.pages != NULL && lseek(fd, sizeof head, SEEK_SET) == (off_t)sizeof head)
        pages = export_pages(store, fd, from, round <= 1, &batch, held);
    free(batch.pages);
    guard(held, true);
    head.pages = (uint64_t)pages;
    head.puts = (uint64_t)store->puts;
    head.changes = (uint64_t)store->changes;
    if (!last)
        store->round = round;
    guard(held, false);
    if (pages < 0 || pwrite(fd, &head, sizeof head, 0) != (ssize_t)sizeof head)
        return error_set(err, ERR_IO, errno, "write '%s'", path);
    return (int64_t)sizeof head + pages * (STORE_PAGE_BYTES + (int64_t)sizeof(uint64_t));
}

int store_import(struct store *store, const char *path, struct error *err)
{
    struct stat info;
    CLEANUP(cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) < 0)
        return error_set(err, ERR_IO, errno, "open '%s'", path);
    if (info.st_size == 0)
        return error_set(err, ERR_CORRUPT, 0, "'%s' is empty", path);
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        return error_set(err, ERR_IO, errno, "read '%s'", path);
    int rc = store_import_bytes(store, bytes, (uint64_t)info.st_size, err);
    munmap(bytes, (size_t)info.st_size);
    return rc;
}

int store_import_bytes(struct store *store, const uint8_t *bytes, uint64_t count, struct error *err)
{
    static const uint64_t record = sizeof(uint64_t) + STORE_PAGE_BYTES;
    struct store_head head;
    if (count < sizeof head)
        return error_set(err, ERR_CORRUPT, 0, "%" PRIu64 " bytes of state are no head", count);
    memcpy(&head, bytes, sizeof head);
    if (head.magic != STORE_MAGIC || head.page_bytes != STORE_PAGE_BYTES ||
        head.page_count != (uint64_t)store->page_count || head.pages > head.page_count ||
        count - sizeof head != head.pages * record || head.round < 1 || head.round > INT32_MAX ||
        head.puts > INT64_MAX || head.changes > INT64_MAX)
        return error_set(err, ERR_CORRUPT, 0,
                         "the state is no export of %" PRId64 " pages of %d bytes",
                         store->page_count, STORE_PAGE_BYTES);
    /* All indices before the first page is written: what is refused has changed nothing. */
    for (uint64_t i = 0; i < head.pages; i++) {
        uint64_t index;
        memcpy(&index, bytes + sizeof head + i * record, sizeof index);
        if (index >= head.page_count)
            return error_set(err, ERR_CORRUPT, 0, "page %" PRIu64 " of the state, of %" PRIu64,
                             index, head.page_count);
    }
    for (uint64_t i = 0; i < head.pages; i++) {
        const uint8_t *at = bytes + sizeof head + i * record;
        uint64_t index;
        memcpy(&index, at, sizeof index);
        memcpy(store->memory + index * STORE_PAGE_BYTES, at + sizeof index, STORE_PAGE_BYTES);
        store->marks[index] = store->generation;
    }
    store->round = (int)head.round;
    store->puts = (int64_t)head.puts;
    store->changes = (int64_t)head.changes;
    return 0;
}

/* ---- */

static struct store_slot *slot_of(const struct store *store, int64_t key)
{
    return (struct store_slot *)(void *)(store->memory + key * STORE_SLOT_BYTES);
}

static uint64_t check_of(const struct store_slot *slot)
{
    uint64_t value = slot->key * UINT64_C(0x9e3779b97f4a7c15) ^ slot->version;
    value = (value ^ (value >> 31)) * UINT64_C(0xbf58476d1ce4e5b9);
    return value ^ (value >> 29) ^ slot->filler[0] ^ slot->filler[4];
}

static void write_slot(struct store *store, int64_t key, uint64_t version)
{
    struct store_slot *slot = slot_of(store, key);
    slot->key = (uint64_t)key;
    slot->version = version;
    for (size_t i = 0; i < sizeof slot->filler / sizeof slot->filler[0]; i++)
        slot->filler[i] = version + i; /* unlike in every version: a copy cannot be skipped */
    slot->check = check_of(slot);
    store->marks[key / STORE_PAGE_SLOTS] = store->generation;
}

/* A page that changes after the generation has grown and before it is copied is exported again by
 * the next round; one that changes later as well. None is missed. */
static int64_t export_pages(struct store *store, int fd, uint64_t from, bool all,
                            struct batch *batch, const struct store_lock *lock)
{
    int64_t pages = 0;
    for (int64_t i = 0; i < store->page_count; i++) {
        guard(lock, true);
        bool wanted = all || store->marks[i] >= from;
        if (wanted)
            memcpy(batch->pages + (size_t)batch->count * STORE_PAGE_BYTES,
                   store->memory + i * STORE_PAGE_BYTES, STORE_PAGE_BYTES);
        guard(lock, false);
        if (!wanted)
            continue;
        batch->indices[batch->count++] = (uint64_t)i;
        pages++;
        if (batch->count == BATCH_PAGES && flush_batch(fd, batch) < 0)
            return -1;
    }
    return flush_batch(fd, batch) < 0 ? -1 : pages;
}

static int flush_batch(int fd, struct batch *batch)
{
    struct iovec parts[BATCH_PAGES * 2];
    size_t total = 0;
    for (int i = 0; i < batch->count; i++) {
        parts[2 * i] = (struct iovec){&batch->indices[i], sizeof batch->indices[i]};
        parts[2 * i + 1] =
            (struct iovec){batch->pages + (size_t)i * STORE_PAGE_BYTES, STORE_PAGE_BYTES};
        total += sizeof batch->indices[i] + STORE_PAGE_BYTES;
    }
    ssize_t written = total == 0 ? 0 : writev(fd, parts, batch->count * 2);
    if (written >= 0 && (size_t)written != total)
        errno = ENOSPC;
    batch->count = 0;
    return written == (ssize_t)total ? 0 : -1;
}

static void guard(const struct store_lock *lock, bool take)
{
    if (lock != NULL && take)
        lock->take(lock->context);
    else if (lock != NULL)
        lock->give(lock->context);
}
