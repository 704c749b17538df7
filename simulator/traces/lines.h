/*
 * lines: the lines of a plain or gzip file, or of a text in memory, without a copy of each.
 *
 * A block of LINES_BLOCK bytes is refilled as it is read; a line is given in it, terminated, and
 * may be changed by the caller until the next call. A line longer than that, a zero byte, and a
 * gzip stream that ends early or is damaged are errors. One thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define LINES_BLOCK (256 << 10)
#define LINES_MAX   65536 /* bytes of a line */

struct lines;

int lines_open(const char *path, struct lines **ret_lines, struct error *err) WARN_UNUSED;
/* `text` must live as long. */
int lines_open_text(const char *file, const char *text, size_t bytes, struct lines **ret_lines,
                    struct error *err) WARN_UNUSED;
void lines_close(struct lines *lines); /* NULL is accepted */

/* 1 and a line without its end; 0 at the end; or an error. */
int lines_next(struct lines *lines, char **ret_line, struct error *err) WARN_UNUSED;
bool lines_unended(const struct lines *lines);   /* the last line given has no end */
int64_t lines_number(const struct lines *lines); /* of the last line given, from 1 */
const char *lines_file(const struct lines *lines);
