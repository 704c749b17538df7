/*
 * trace: recorded calls from a file, row by row, in flat memory however long the file is.
 *
 * A row says that a workload was called at so many calls a second from its instant until its next
 * row. Forms: CSV with a head line that names the columns time, workload, calls in any order, or
 * JSON lines {"time": ..., "workload": ..., "calls": ...}. A time is a number of seconds since the
 * run's beginning or a date (2026-01-31T12:00:00Z); calls is a number per second. An empty workload
 * is the load's own. Rows may not go back in time; the error names file, line and both instants.
 *
 * Another form is another `struct trace_format` in trace.c. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

struct trace;

struct trace_row {
    int64_t at_us;                  /* since 1970 */
    char workload[LIMIT_REF_BYTES]; /* "" : the load's own */
    int64_t calls_mhz;
    int64_t line;
};

/* `from_us`: what a time in seconds counts from. The form is known by the file's first byte. */
int trace_open(const char *path, int64_t from_us, struct trace **ret_trace,
               struct error *err) WARN_UNUSED;
/* As trace_open, of a text in memory, which must live as long; `file` is a name for messages. */
int trace_open_text(const char *file, const char *text, size_t bytes, int64_t from_us,
                    struct trace **ret_trace, struct error *err) WARN_UNUSED;
/* 1: a row; 0: the end; or an error. */
int trace_next(struct trace *trace, struct trace_row *ret_row, struct error *err) WARN_UNUSED;
void trace_close(struct trace *trace); /* NULL is accepted */

/* "2026-01-31", "2026-01-31T12", "2026-01-31T12:00:00Z" (UTC); ERR_INVALID. */
int trace_date(const char *text, int64_t *ret_us) WARN_UNUSED;
