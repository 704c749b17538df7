#include "examples/web/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

void bytes_done(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

char *bytes_at(const struct bytes *bytes)
{
    return bytes->data == NULL ? NULL : bytes->data + bytes->begin;
}

char *bytes_room(struct bytes *bytes, size_t count, size_t most)
{
    if (bytes->count > most || count > most - bytes->count)
        return NULL;
    if (bytes->begin + bytes->count + count > bytes->capacity) {
        if (bytes->count > 0 && bytes->begin > 0)
            memmove(bytes->data, bytes->data + bytes->begin, bytes->count);
        bytes->begin = 0;
    }
    if (bytes->count + count > bytes->capacity) {
        size_t capacity = bytes->capacity == 0 ? BYTES_READ : bytes->capacity;
        while (capacity < bytes->count + count)
            capacity *= 2;
        char *data = realloc(bytes->data, capacity);
        if (data == NULL)
            return NULL;
        bytes->data = data;
        bytes->capacity = capacity;
    }
    return bytes->data + bytes->begin + bytes->count;
}

bool bytes_add(struct bytes *bytes, const void *data, size_t count, size_t most)
{
    if (count == 0)
        return true;
    char *room = bytes_room(bytes, count, most);
    if (room == NULL)
        return false;
    memcpy(room, data, count);
    bytes->count += count;
    return true;
}

void bytes_take(struct bytes *bytes, size_t count)
{
    bytes->count -= count;
    bytes->begin = bytes->count == 0 ? 0 : bytes->begin + count;
}

ssize_t bytes_receive(struct bytes *bytes, int fd, size_t most)
{
    size_t left = bytes->count < most ? most - bytes->count : 0;
    size_t room_bytes = left < BYTES_READ ? left : BYTES_READ;
    char *room = room_bytes == 0 ? NULL : bytes_room(bytes, room_bytes, most);
    if (room == NULL) {
        errno = ENOBUFS;
        return -1;
    }
    ssize_t got;
    do {
        got = recv(fd, room, room_bytes, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0)
        bytes->count += (size_t)got;
    return got;
}

int bytes_send(struct bytes *bytes, int fd)
{
    while (bytes->count > 0) {
        ssize_t sent = send(fd, bytes_at(bytes), bytes->count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes_take(bytes, (size_t)sent);
            continue;
        }
        if (sent < 0 && errno == EINTR)
            continue;
        return sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? 0 : -1;
    }
    return 0;
}
