/*
 * bytes: a queue of bytes with a ceiling, for what was read from a connection and not understood
 * yet, or is to be written to it. Added at the end, taken at the begin. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define BYTES_READ 16384 /* asked for at once */

struct bytes {
    char *data;
    size_t begin; /* what is there: data[begin .. begin + count) */
    size_t count;
    size_t capacity;
};

void bytes_done(struct bytes *bytes); /* zeroed is accepted; leaves it zeroed */
char *bytes_at(const struct bytes *bytes);
/* Room for `count` more at the end, or NULL: past `most` in all, or no memory. */
char *bytes_room(struct bytes *bytes, size_t count, size_t most);
bool bytes_add(struct bytes *bytes, const void *data, size_t count, size_t most);
void bytes_take(struct bytes *bytes, size_t count);
/* Reads once: above 0 so many, 0 the other side has ended, -1 with errno (ENOBUFS: at `most`).
 * Fewer than BYTES_READ: nothing more was there. */
ssize_t bytes_receive(struct bytes *bytes, int fd, size_t most);
/* Writes what goes without waiting; -1 with errno when the connection is broken. */
int bytes_send(struct bytes *bytes, int fd);
