/*
 * lines: bytes from a socket or pipe, cut into lines. The buffer is the caller's and is the limit:
 * a longer line is handed over in pieces, the last with `end` true. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct lines {
    char *buffer;
    size_t capacity;
    size_t bytes;
};

typedef void lines_handler(void *context, const char *text, size_t bytes, bool end);

void lines_init(struct lines *lines, char *buffer, size_t capacity);
/* Where to read to, and how much fits (never 0 after lines_take). */
char *lines_room(struct lines *lines, size_t *ret_bytes);
/* Hands over every whole line (without its '\n') of the `added` bytes and what was there. The
 * handler may not touch `lines`. */
void lines_take(struct lines *lines, size_t added, lines_handler *handler, void *context);
/* At the end of the stream: what has no line's end yet. */
void lines_finish(struct lines *lines, lines_handler *handler, void *context);
