#include "base/arena.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Chunks double from 4 KiB (a message) to 256 KiB (a plan); a larger allocation gets its own. */
#define CHUNK_BYTES_MIN ((size_t)4096)
#define CHUNK_BYTES_MAX ((size_t)256 << 10)
#define KEEP_BYTES      ((size_t)1 << 20) /* of chunks, over a reset: a round's messages */
#define ALIGN_BYTES     ((size_t)16)

struct arena_chunk {
    struct arena_chunk *next;
    size_t capacity;
    size_t used;
    size_t dirty; /* what is from there on is zero, whatever was handed out */
    _Alignas(16) unsigned char data[];
};

static struct arena_chunk *chunk_with(struct arena *arena, size_t bytes);
static struct arena_chunk *chunk_add(struct arena *arena, size_t bytes);
static void chunks_free(struct arena_chunk *chunk);

void arena_init(struct arena *arena, size_t bytes_max)
{
    *arena = (struct arena){.bytes_max = bytes_max, .bytes_kept = KEEP_BYTES, .fail_after = -1};
}

void arena_keep(struct arena *arena, size_t bytes)
{
    arena->bytes_kept = bytes;
}

void arena_reset(struct arena *arena)
{
    size_t kept = 0;
    struct arena_chunk **at = &arena->first;
    while (*at != NULL) {
        struct arena_chunk *chunk = *at;
        /* The first always, whatever its size. */
        if (kept > 0 && chunk->capacity > arena->bytes_kept - kept) {
            *at = chunk->next;
            free(chunk);
            continue;
        }
        kept +=
            chunk->capacity < arena->bytes_kept - kept ? chunk->capacity : arena->bytes_kept - kept;
        chunk->dirty = chunk->used > chunk->dirty ? chunk->used : chunk->dirty;
        chunk->used = 0;
        at = &chunk->next;
    }
    arena->last = arena->first;
    arena->bytes_used = 0;
}

void arena_done(struct arena *arena)
{
    if (arena == NULL) {
        return;
    }
    chunks_free(arena->first);
    arena->first = NULL;
    arena->last = NULL;
    arena->bytes_used = 0;
}

void *arena_alloc(struct arena *arena, size_t bytes)
{
    unsigned char *memory = arena_alloc_raw(arena, bytes);
    if (memory == NULL) {
        return NULL;
    }
    /* Only what was handed out before a reset can be dirty. */
    struct arena_chunk *chunk = arena->last;
    size_t from = (size_t)(memory - chunk->data);
    if (from < chunk->dirty) {
        memset(memory, 0, (chunk->dirty < chunk->used ? chunk->dirty : chunk->used) - from);
    }
    return memory;
}

void *arena_alloc_raw(struct arena *arena, size_t bytes)
{
    if (arena->fail_after >= 0 && arena->fail_after-- == 0) {
        return NULL;
    }
    if (bytes > SIZE_MAX - ALIGN_BYTES) {
        return NULL;
    }
    /* Zero bytes still yield a pointer of their own, so that NULL always means failure. */
    size_t rounded = bytes == 0 ? ALIGN_BYTES : (bytes + ALIGN_BYTES - 1) & ~(ALIGN_BYTES - 1);
    if (rounded > arena->bytes_max || arena->bytes_used > arena->bytes_max - rounded) {
        return NULL;
    }
    struct arena_chunk *chunk = arena->last;
    if (chunk == NULL || chunk->capacity - chunk->used < rounded) {
        chunk = chunk_with(arena, rounded);
        if (chunk == NULL) {
            return NULL;
        }
    }
    void *memory = chunk->data + chunk->used;
    chunk->used += rounded;
    arena->bytes_used += rounded;
    return memory;
}

void *arena_array(struct arena *arena, size_t count, size_t bytes_each)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, bytes_each, &bytes)) {
        return NULL;
    }
    return arena_alloc(arena, bytes);
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return arena_copy(arena, text, strlen(text) + 1);
}

char *arena_strndup(struct arena *arena, const char *text, size_t bytes)
{
    size_t length = strnlen(text, bytes);
    char *copy = arena_alloc(arena, length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
    }
    return copy;
}

void *arena_copy(struct arena *arena, const void *from, size_t bytes)
{
    void *copy = arena_alloc(arena, bytes);
    if (copy != NULL && bytes > 0) {
        memcpy(copy, from, bytes);
    }
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int bytes = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (bytes < 0) {
        return NULL;
    }
    char *text = arena_alloc(arena, (size_t)bytes + 1);
    if (text != NULL) {
        va_start(args, format);
        int again = vsnprintf(text, (size_t)bytes + 1, format, args);
        va_end(args);
        BERTH_ASSERT(again == bytes, "a format gave %d bytes, then %d", bytes, again);
    }
    return text;
}

/* Makes the next chunk with that much room the last: one kept over a reset, or a new one. */
static struct arena_chunk *chunk_with(struct arena *arena, size_t bytes)
{
    struct arena_chunk *chunk = arena->last == NULL ? NULL : arena->last->next;
    while (chunk != NULL && chunk->capacity < bytes) {
        chunk = chunk->next; /* too small: left empty until the next reset */
    }
    if (chunk == NULL) {
        chunk = chunk_add(arena, bytes);
    }
    if (chunk != NULL) {
        arena->last = chunk;
    }
    return chunk;
}

/* At the end of all. */
static struct arena_chunk *chunk_add(struct arena *arena, size_t bytes)
{
    struct arena_chunk **end = arena->last == NULL ? &arena->first : &arena->last->next;
    size_t capacity = arena->last == NULL ? CHUNK_BYTES_MIN : arena->last->capacity * 2;
    while (*end != NULL) {
        end = &(*end)->next;
    }
    if (capacity > CHUNK_BYTES_MAX) {
        capacity = CHUNK_BYTES_MAX;
    }
    if (capacity < bytes) {
        capacity = bytes;
    }
    if (capacity > SIZE_MAX - sizeof(struct arena_chunk)) {
        return NULL;
    }
    struct arena_chunk *chunk = calloc(1, sizeof(struct arena_chunk) + capacity);
    if (chunk == NULL) {
        return NULL;
    }
    chunk->capacity = capacity;
    *end = chunk;
    return chunk;
}

static void chunks_free(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}
