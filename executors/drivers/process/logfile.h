/*
 * logfile: a workload's output on disk, rotated by size: <path> is written, <path>.1 is the one
 * before, up to <path>.<files - 1>. So it never takes more than files x bytes_max. A write that
 * fails (disk full) is counted and the workload goes on; the next one tries again. One thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct logfile {
    int fd;
    char path[LIMIT_PATH_BYTES];
    int64_t bytes;
    int64_t bytes_max;
    int files;
    uint64_t lost_bytes;
};

int logfile_open(struct logfile *log, const char *path, int64_t bytes_max, int files,
                 struct error *err) WARN_UNUSED;
void logfile_write(struct logfile *log, const void *data, size_t bytes);
void logfile_close(struct logfile *log); /* NULL and never opened are fine */
