#include "model/feeds/csv_scan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* Where in a row the next byte stands. */
enum place {
    FIELD_BEGIN, /* of a field: a quote opens it */
    BARE,        /* in a field without quotes */
    QUOTED,      /* in a field with quotes */
    QUOTE_SEEN,  /* after a quote inside of one: it ended, or the next is a quote as well */
};

struct csv_scan {
    csv_sink *sink;
    void *context;
    enum place place;
    size_t starts[LIMIT_FEED_COLUMNS];
    const char *fields[LIMIT_FEED_COLUMNS];
    int count;    /* fields that are begun */
    size_t bytes; /* of the row, in text */
    int64_t line; /* that is being read */
    int64_t row_line;
    int mark; /* bytes of a byte order mark that were seen; -1: past it */
    bool any; /* the row has a byte */
    char text[LIMIT_FEED_ROW_BYTES];
};

static int take(struct csv_scan *scan, char byte, struct error *err);
static int take_run(struct csv_scan *scan, const char *text, size_t bytes, struct error *err);
static int add(struct csv_scan *scan, const char *text, size_t bytes, struct error *err);
static int field_ends(struct csv_scan *scan, struct error *err);
static int row_ends(struct csv_scan *scan, struct error *err);
static size_t run_of(const struct csv_scan *scan, const char *text, size_t bytes);
static bool skips_mark(struct csv_scan *scan, char byte);

int csv_scan_create(csv_sink *sink, void *context, struct csv_scan **ret_scan, struct error *err)
{
    struct csv_scan *scan = calloc(1, sizeof(*scan));
    if (scan == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to read a table");
    scan->sink = sink;
    scan->context = context;
    scan->line = scan->row_line = 1;
    *ret_scan = scan;
    return 0;
}

void csv_scan_destroy(struct csv_scan *scan)
{
    free(scan);
}

int csv_scan_feed(struct csv_scan *scan, const char *text, size_t bytes, struct error *err)
{
    size_t at = 0;
    int rc = 0;
    while (rc == 0 && at < bytes) {
        if (scan->mark >= 0 && skips_mark(scan, text[at])) {
            at++;
            continue;
        }
        size_t run = run_of(scan, text + at, bytes - at);
        if (run > 0)
            rc = take_run(scan, text + at, run, err);
        else
            rc = take(scan, text[at], err);
        at += run > 0 ? run : 1;
    }
    return rc;
}

int csv_scan_end(struct csv_scan *scan, struct error *err)
{
    if (scan->place == QUOTED)
        return error_set(err, ERR_INVALID, 0,
                         "line %" PRId64 ": the table ends inside a quoted field: it was cut, "
                         "fetch it again",
                         scan->row_line);
    if (scan->any)
        return error_set(err, ERR_INVALID, 0,
                         "line %" PRId64 ": the table ends without a line end: it was cut, fetch "
                         "it again",
                         scan->row_line);
    return 0;
}

/* The bytes from here that are plain text of the field. */
static size_t run_of(const struct csv_scan *scan, const char *text, size_t bytes)
{
    size_t run = 0;
    if (scan->place == QUOTED) {
        while (run < bytes && text[run] != '"' && text[run] != '\n' && text[run] != 0)
            run++;
    } else if (scan->place != QUOTE_SEEN) {
        while (run < bytes && text[run] != ',' && text[run] != '\n' && text[run] != '\r' &&
               text[run] != '"' && text[run] != 0)
            run++;
    }
    return run;
}

static int take_run(struct csv_scan *scan, const char *text, size_t bytes, struct error *err)
{
    if (scan->place == FIELD_BEGIN)
        scan->place = BARE;
    return add(scan, text, bytes, err);
}

/* One byte that is, or may be, more than text. */
static int take(struct csv_scan *scan, char byte, struct error *err)
{
    if (byte == 0)
        return error_set(err, ERR_INVALID, 0, "line %" PRId64 ": a zero byte is no text",
                         scan->line);
    if (byte == '\n')
        scan->line++;
    if (scan->place == QUOTED && byte == '"') {
        scan->place = QUOTE_SEEN;
        return 0;
    }
    if (scan->place == QUOTED)
        return add(scan, &byte, 1, err);
    if (scan->place == QUOTE_SEEN && byte == '"') {
        scan->place = QUOTED;
        return add(scan, &byte, 1, err);
    }
    if (byte == '"') {
        if (scan->place == BARE)
            return add(scan, &byte, 1, err);
        scan->place = QUOTED;
        scan->any = true;
        return 0;
    }
    if (byte == ',')
        return field_ends(scan, err);
    if (byte == '\n')
        return row_ends(scan, err);
    if (byte == '\r')
        return 0;
    return error_set(err, ERR_INVALID, 0,
                     "line %" PRId64 ": a quote closes before its field ends; quotes inside are "
                     "doubled",
                     scan->line);
}

static int add(struct csv_scan *scan, const char *text, size_t bytes, struct error *err)
{
    /* Room for the terminator too. */
    if (bytes >= sizeof(scan->text) - scan->bytes)
        return error_set(err, ERR_LIMIT, 0,
                         "line %" PRId64 ": a row has more than %d bytes (LIMIT_FEED_ROW_BYTES); "
                         "is a quote not closed?",
                         scan->row_line, LIMIT_FEED_ROW_BYTES);
    memcpy(scan->text + scan->bytes, text, bytes);
    scan->bytes += bytes;
    scan->any = true;
    return 0;
}

static int field_ends(struct csv_scan *scan, struct error *err)
{
    if (scan->count + 1 >= LIMIT_FEED_COLUMNS)
        return error_set(err, ERR_LIMIT, 0,
                         "line %" PRId64 ": a row has more than %d fields (LIMIT_FEED_COLUMNS)",
                         scan->row_line, LIMIT_FEED_COLUMNS);
    static const char end[1] = {0};
    int rc = add(scan, end, 1, err);
    if (rc == 0)
        scan->starts[++scan->count] = scan->bytes;
    scan->place = FIELD_BEGIN;
    return rc;
}

static int row_ends(struct csv_scan *scan, struct error *err)
{
    int rc = 0;
    if (scan->any) {
        rc = field_ends(scan, err);
        for (int i = 0; rc == 0 && i < scan->count; i++)
            scan->fields[i] = scan->text + scan->starts[i];
        struct csv_row row = {scan->fields, scan->count, scan->row_line};
        if (rc == 0)
            rc = scan->sink(scan->context, &row, err);
    }
    scan->place = FIELD_BEGIN;
    scan->count = 0;
    scan->bytes = 0;
    scan->any = false;
    scan->row_line = scan->line;
    return rc;
}

static bool skips_mark(struct csv_scan *scan, char byte)
{
    static const char mark[3] = {'\xef', '\xbb', '\xbf'};
    if (scan->mark < 3 && byte == mark[scan->mark]) {
        scan->mark++;
        return true;
    }
    if (scan->mark > 0 && scan->mark < 3) {
        /* It only began like one: those bytes are text. */
        memcpy(scan->text, mark, (size_t)scan->mark);
        scan->bytes = (size_t)scan->mark;
        scan->any = true;
        scan->place = BARE;
    }
    scan->mark = -1;
    return false;
}
