/*
 * csv: lines of fields divided by commas, as the public data of call graphs and regions has them:
 * no quotes, no blanks around. Fields point into the text, which needs no terminator. Errors name
 * the line. One thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

#define CSV_FIELDS_MAX 64

struct csv_field {
    const char *at;
    size_t bytes;
};

struct csv {
    const char *at;
    const char *end;
    int line; /* of the fields, from 1 */
    int count;
    struct csv_field field[CSV_FIELDS_MAX];
};

void csv_begin(struct csv *csv, const char *text, size_t bytes);
/* 1: the next line that is not empty; 0: that was all. ERR_LIMIT: more than CSV_FIELDS_MAX. */
int csv_next(struct csv *csv, struct error *err) WARN_UNUSED;
/* ERR_INVALID unless the line has so many fields. */
int csv_expect(const struct csv *csv, int count, struct error *err) WARN_UNUSED;
bool csv_is(const struct csv_field *field, const char *text);
/* Millionths of a number from 0 to most (whole units); `ending` must follow it. */
int csv_micro(const struct csv *csv, int index, const char *what, const char *ending, int64_t most,
              int64_t *ret_micro, struct error *err) WARN_UNUSED;
/* A name of printable characters, terminated. */
int csv_name(const struct csv *csv, const struct csv_field *field, const char *what,
             char name[LIMIT_NAME_BYTES], struct error *err) WARN_UNUSED;
