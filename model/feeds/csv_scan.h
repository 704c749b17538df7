/*
 * csv_scan: comma-separated values as they stream by, row for row.
 *
 * It is fed pieces of any size and calls back once for each row, with its fields unquoted and
 * terminated. Quoted fields may hold commas, doubled quotes and line ends; a byte order mark and
 * carriage returns before line ends are skipped, empty lines too. Memory is one row
 * (LIMIT_FEED_ROW_BYTES, LIMIT_FEED_COLUMNS), however long the file. Whatever the pieces, the rows
 * are the same.
 *
 * What was cut is not taken for whole: a text that ends inside quotes or without a line end is
 * ERR_INVALID in csv_scan_end. So are a zero byte, and a quote that closes before its field ends.
 * One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct csv_scan;

struct csv_row {
    const char *const *fields; /* terminated; valid during the call */
    int count;
    int64_t line; /* that it begins on, from 1 */
};

/* A negative code ends the scan with it. */
typedef int csv_sink(void *context, const struct csv_row *row, struct error *err);

int csv_scan_create(csv_sink *sink, void *context, struct csv_scan **ret_scan,
                    struct error *err) WARN_UNUSED;
void csv_scan_destroy(struct csv_scan *scan);
int csv_scan_feed(struct csv_scan *scan, const char *text, size_t bytes,
                  struct error *err) WARN_UNUSED;
int csv_scan_end(struct csv_scan *scan, struct error *err) WARN_UNUSED;
