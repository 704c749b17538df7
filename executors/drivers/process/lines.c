#include "executors/drivers/process/lines.h"

#include <string.h>

void lines_init(struct lines *lines, char *buffer, size_t capacity)
{
    *lines = (struct lines){.buffer = buffer, .capacity = capacity};
}

char *lines_room(struct lines *lines, size_t *ret_bytes)
{
    *ret_bytes = lines->capacity - lines->bytes;
    return lines->buffer + lines->bytes;
}

void lines_take(struct lines *lines, size_t added, lines_handler *handler, void *context)
{
    lines->bytes += added;
    const char *at = lines->buffer;
    const char *end = lines->buffer + lines->bytes;
    const char *newline;
    while (at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        handler(context, at, (size_t)(newline - at), true);
        at = newline + 1;
    }
    size_t left = (size_t)(end - at);
    if (left == lines->capacity) {
        handler(context, at, left, false);
        left = 0;
    }
    memmove(lines->buffer, at, left);
    lines->bytes = left;
}

void lines_finish(struct lines *lines, lines_handler *handler, void *context)
{
    if (lines->bytes > 0)
        handler(context, lines->buffer, lines->bytes, true);
    lines->bytes = 0;
}
