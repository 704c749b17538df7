#include "executors/drivers/process/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

static int reopen(struct logfile *log, int flags);
static void rotate(struct logfile *log);

int logfile_open(struct logfile *log, const char *path, int64_t bytes_max, int files,
                 struct error *err)
{
    *log = (struct logfile){.fd = -1, .bytes_max = bytes_max, .files = files < 1 ? 1 : files};
    if (str_copy(log->path, sizeof(log->path) - 8, path) < 0)
        return error_set(err, ERR_LIMIT, 0, "LIMIT_PATH_BYTES: log file '%.64s...'", path);
    if (reopen(log, 0) < 0)
        return error_set(err, ERR_IO, errno, "open log file '%s'", path);
    return 0;
}

void logfile_write(struct logfile *log, const void *data, size_t bytes)
{
    const char *at = data;
    if (log->bytes > 0 && log->bytes + (int64_t)bytes > log->bytes_max)
        rotate(log);
    while (bytes > 0) {
        if (log->fd < 0 && reopen(log, 0) < 0)
            break;
        ssize_t done = write(log->fd, at, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            break;
        at += done;
        bytes -= (size_t)done;
        log->bytes += done;
    }
    log->lost_bytes += bytes;
}

void logfile_close(struct logfile *log)
{
    if (log == NULL || log->fd < 0)
        return;
    (void)close(log->fd);
    log->fd = -1;
}

static int reopen(struct logfile *log, int flags)
{
    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0640);
    struct stat status;
    if (log->fd < 0 || fstat(log->fd, &status) < 0)
        return -1;
    log->bytes = status.st_size;
    return 0;
}

static void rotate(struct logfile *log)
{
    char from[LIMIT_PATH_BYTES];
    char to[LIMIT_PATH_BYTES];
    logfile_close(log);
    for (int i = log->files - 1; i >= 1; i--) {
        str_format(to, sizeof(to), "%s.%d", log->path, i);
        str_format(from, sizeof(from), "%s.%d", log->path, i - 1);
        (void)rename(i == 1 ? log->path : from, to); /* absent at first */
    }
    /* Truncation matters only where files is 1 or a rename failed: the bound holds in any case. */
    (void)reopen(log, O_TRUNC);
}
