#include "executors/node/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "executors/drivers/process/start.h"

#define HEAD_BYTES     80 /* the longest head, and more */
#define SLOT_BYTES_MIN 8192
#define FILE_BYTES_MAX (4 * (size_t)RECORD_FILE_TEXT_MAX)

/* What stands in a slot. */
struct slot {
    uint64_t number; /* 0: nothing that holds */
    const char *text;
    size_t bytes;
};

static int make(int folder_fd, const char *name, uint64_t number, const char *text, size_t bytes,
                struct error *err);
static struct slot slot_read(const char *from, size_t capacity);
static size_t head_write(char head[HEAD_BYTES], uint64_t number, const char *text, size_t bytes);
static uint64_t sum(uint64_t number, const char *text, size_t bytes);

int record_file_save(int folder_fd, const char *name, const char *text, size_t bytes,
                     struct error *err)
{
    CLEANUP(cleanup_free) char *file = NULL;
    CLEANUP(cleanup_free) char *slot = NULL;
    char head[HEAD_BYTES];
    size_t file_bytes = 0;
    if (bytes > RECORD_FILE_TEXT_MAX)
        return error_set(err, ERR_LIMIT, 0, "'%s': %zu bytes, at most %d", name, bytes,
                         RECORD_FILE_TEXT_MAX);
    int rc = start_file_load(folder_fd, name, FILE_BYTES_MAX, &file, &file_bytes, err);
    if (rc == ERR_NOT_FOUND)
        return make(folder_fd, name, 1, text, bytes, err);
    if (rc < 0)
        return rc;
    size_t half = file_bytes / 2;
    struct slot first = slot_read(file, half);
    struct slot second = slot_read(file + half, half);
    uint64_t number = 1 + (first.number > second.number ? first.number : second.number);
    size_t head_bytes = head_write(head, number, text, bytes);
    /* Nothing holds: it is of an earlier version, or another's. A rename replaces it whole. */
    if (number == 1 || head_bytes + bytes > half)
        return make(folder_fd, name, number, text, bytes, err);
    slot = malloc(head_bytes + bytes);
    if (slot == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to write '%s'", name);
    memcpy(slot, head, head_bytes);
    memcpy(slot + head_bytes, text, bytes);
    CLEANUP(cleanup_close) int fd = openat(folder_fd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    off_t at = first.number > second.number ? (off_t)half : 0;
    ssize_t written = fd < 0 ? -1 : pwrite(fd, slot, head_bytes + bytes, at);
    if (written != (ssize_t)(head_bytes + bytes) || fdatasync(fd) < 0)
        return error_set(err, ERR_IO, errno, "write '%s'", name);
    return 0;
}

int record_file_load(int folder_fd, const char *name, char **ret_text, size_t *ret_bytes,
                     struct error *err)
{
    CLEANUP(cleanup_free) char *file = NULL;
    size_t bytes = 0;
    int rc = start_file_load(folder_fd, name, FILE_BYTES_MAX, &file, &bytes, err);
    if (rc < 0)
        return rc;
    if (bytes > 0 && file[0] == '{') {
        *ret_bytes = bytes;
        *ret_text = TAKE(file);
        return 0;
    }
    size_t half = bytes / 2;
    struct slot held = slot_read(file, half);
    struct slot second = slot_read(file + half, half);
    if (second.number > held.number)
        held = second;
    if (held.number == 0)
        return error_set(err, ERR_CORRUPT, 0, "'%s': neither of its two slots holds a record",
                         name);
    char *text = malloc(held.bytes + 1);
    if (text == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read '%s'", name);
    memcpy(text, held.text, held.bytes);
    text[held.bytes] = 0;
    *ret_bytes = held.bytes;
    *ret_text = text;
    return 0;
}

/* Room for it to grow; all of it is written, so that no later save has to find space on the disk.
 */
static int make(int folder_fd, const char *name, uint64_t number, const char *text, size_t bytes,
                struct error *err)
{
    char head[HEAD_BYTES];
    size_t head_bytes = head_write(head, number, text, bytes);
    size_t half = SLOT_BYTES_MIN;
    while (half < head_bytes + bytes + bytes / 4)
        half *= 2;
    CLEANUP(cleanup_free) char *file = calloc(2, half);
    if (file == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to make '%s'", name);
    memcpy(file, head, head_bytes);
    memcpy(file + head_bytes, text, bytes);
    return start_file_replace(folder_fd, name, file, 2 * half, 0600, err);
}

static struct slot slot_read(const char *from, size_t capacity)
{
    char head[HEAD_BYTES], again[HEAD_BYTES];
    uint64_t number;
    size_t bytes;
    str_format(head, sizeof(head), "%.*s", (int)(capacity < HEAD_BYTES ? capacity : HEAD_BYTES - 1),
               from);
    if (sscanf(head, "berth-record 1 %" SCNu64 " %zu ", &number, &bytes) != 2 || number == 0 ||
        bytes > RECORD_FILE_TEXT_MAX)
        return (struct slot){0};
    size_t head_bytes = strcspn(head, "\n") + 1;
    if (head_bytes + bytes > capacity)
        return (struct slot){0};
    const char *text = from + head_bytes;
    if (head_write(again, number, text, bytes) != head_bytes ||
        memcmp(from, again, head_bytes) != 0)
        return (struct slot){0};
    return (struct slot){.number = number, .text = text, .bytes = bytes};
}

static size_t head_write(char head[HEAD_BYTES], uint64_t number, const char *text, size_t bytes)
{
    str_format(head, HEAD_BYTES, "berth-record 1 %" PRIu64 " %zu %016" PRIx64 "\n", number, bytes,
               sum(number, text, bytes));
    return strlen(head);
}

static uint64_t sum(uint64_t number, const char *text, size_t bytes)
{
    return hash_bytes(hash_u64(HASH_SEED, number), text, bytes);
}
