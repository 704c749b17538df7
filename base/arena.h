/*
 * arena: memory with one lifetime, freed at once.
 *
 * Three lifetimes: process (tables), cycle (reset after each decision), message (one inbound
 * message). An arena is born with a ceiling; past it, or when the system has no memory, allocation
 * returns NULL and the arena stays usable. Memory is zeroed and 16-byte aligned. One thread at a
 * time. Tests reach the NULL paths with arena_fail_after.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct arena_chunk;

struct arena {
    struct arena_chunk *first;
    struct arena_chunk *last;
    size_t bytes_used;
    size_t bytes_max;
    size_t bytes_kept;  /* of chunks, over a reset */
    int64_t fail_after; /* allocations until one fails; < 0: never. For tests. */
};

void arena_init(struct arena *arena, size_t bytes_max);
void arena_reset(struct arena *arena); /* keeps a MiB of chunks for reuse, or as arena_keep says */
/* For large work done again and again: memory that is kept is not fetched from the system anew. */
void arena_keep(struct arena *arena, size_t bytes);
void arena_done(struct arena *arena); /* NULL and zeroed arenas are accepted */

void *arena_alloc(struct arena *arena, size_t bytes);
/* Not zeroed: for a caller that writes all of it at once. */
void *arena_alloc_raw(struct arena *arena, size_t bytes);
void *arena_array(struct arena *arena, size_t count, size_t bytes_each); /* checks the product */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t bytes);
void *arena_copy(struct arena *arena, const void *from, size_t bytes);
char *arena_printf(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
