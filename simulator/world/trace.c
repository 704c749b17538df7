#include "simulator/world/trace.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/decimal.h"
#include "base/str.h"

#define LINE_BYTES    65536
#define COLUMNS_MAX   64
#define CALLS_MHZ_MAX (INT64_MAX / 1000000)

enum column { COLUMN_TIME, COLUMN_WORKLOAD, COLUMN_CALLS, COLUMN_COUNT };
static const char *const column_words[] = {"time", "workload", "calls"};

/* One form of files: whether a first line is of it, and what a line says. */
struct trace_format {
    const char *name;
    int (*begin)(struct trace *trace, char *line, struct error *err); /* 1: it was a head */
    int (*row)(struct trace *trace, char *line, struct trace_row *row, struct error *err);
};

struct trace {
    char file[LIMIT_PATH_BYTES];
    FILE *stream;
    const struct trace_format *format;
    int64_t from_us;
    int64_t line;
    int64_t last_us;
    int64_t last_line;
    bool pending; /* `text` is a line that was read but not taken */
    int column[COLUMN_COUNT];
    int columns;
    char text[LINE_BYTES];
};

static int begin(struct trace *trace, struct error *err);
static int read_line(struct trace *trace, struct error *err);
static int csv_begin(struct trace *trace, char *line, struct error *err);
static int csv_row(struct trace *trace, char *line, struct trace_row *row, struct error *err);
static int json_begin(struct trace *trace, char *line, struct error *err);
static int json_row(struct trace *trace, char *line, struct trace_row *row, struct error *err);
static int csv_split(struct trace *trace, char *line, char **cells, int *ret_count,
                     struct error *err);
static int take_time(struct trace *trace, const char *text, struct trace_row *row,
                     struct error *err);
static int take_calls(struct trace *trace, const char *text, struct trace_row *row,
                      struct error *err);
static int take_name(struct trace *trace, const char *text, struct trace_row *row,
                     struct error *err);
static int wrong(struct trace *trace, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool is_blank(const char *line);

static const struct trace_format csv = {"CSV", csv_begin, csv_row};
static const struct trace_format json = {"JSON lines", json_begin, json_row};

int trace_open(const char *path, int64_t from_us, struct trace **ret_trace, struct error *err)
{
    FILE *stream = fopen(path, "re");
    if (stream == NULL)
        return error_set(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "trace %s", path);
    struct trace *trace = calloc(1, sizeof(*trace));
    if (trace == NULL) {
        (void)fclose(stream);
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", path);
    }
    trace->stream = stream;
    trace->from_us = from_us;
    trace->last_us = INT64_MIN;
    int rc = 0;
    if (str_copy(trace->file, sizeof(trace->file), path) < 0)
        rc = error_set(err, ERR_LIMIT, 0, "the path of a trace is too long");
    if (rc == 0)
        rc = begin(trace, err);
    if (rc < 0) {
        trace_close(trace);
        return rc;
    }
    *ret_trace = trace;
    return 0;
}

int trace_open_text(const char *file, const char *text, size_t bytes, int64_t from_us,
                    struct trace **ret_trace, struct error *err)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    if (trace == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", file);
    trace->from_us = from_us;
    trace->last_us = INT64_MIN;
    int rc = str_copy(trace->file, sizeof(trace->file), file) < 0
                 ? error_set(err, ERR_LIMIT, 0, "the path of a trace is too long")
                 : 0;
    if (rc == 0 && bytes == 0)
        rc = error_set(err, ERR_INVALID, 0, "%s is empty", file);
    union {
        const char *from;
        void *to;
    } memory = {.from = text}; /* opened for reading only */
    if (rc == 0 && (trace->stream = fmemopen(memory.to, bytes, "r")) == NULL)
        rc = error_set(err, ERR_IO, errno, "%s", file);
    if (rc == 0)
        rc = begin(trace, err);
    if (rc < 0) {
        trace_close(trace);
        return rc;
    }
    *ret_trace = trace;
    return 0;
}

void trace_close(struct trace *trace)
{
    if (trace == NULL)
        return;
    if (trace->stream != NULL)
        (void)fclose(trace->stream);
    free(trace);
}

static int begin(struct trace *trace, struct error *err)
{
    int rc = read_line(trace, err);
    if (rc == 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s has no rows; write a head line "
                         "\"time,workload,calls\" and a row for every change",
                         trace->file);
    if (rc < 0)
        return rc;
    const char *at = trace->text + strspn(trace->text, " \t\xef\xbb\xbf");
    trace->format = *at == '{' ? &json : &csv;
    rc = trace->format->begin(trace, trace->text, err);
    trace->pending = rc == 0;
    return rc < 0 ? rc : 0;
}

int trace_next(struct trace *trace, struct trace_row *ret_row, struct error *err)
{
    int rc = trace->pending ? 1 : read_line(trace, err);
    trace->pending = false;
    if (rc <= 0)
        return rc;
    struct trace_row row = {.line = trace->line};
    rc = trace->format->row(trace, trace->text, &row, err);
    if (rc < 0)
        return rc;
    if (row.at_us < trace->last_us) {
        char now[WALL_TEXT_BYTES];
        char before[WALL_TEXT_BYTES];
        return wrong(trace, err,
                     "time goes back, from %s (line %" PRId64 ") to %s; sort the rows by time",
                     wall_format((struct wall){trace->last_us}, before), trace->last_line,
                     wall_format((struct wall){row.at_us}, now));
    }
    trace->last_us = row.at_us;
    trace->last_line = row.line;
    *ret_row = row;
    return 1;
}

/* The next line that is not blank, without its end. 0: there is none. */
static int read_line(struct trace *trace, struct error *err)
{
    while (fgets(trace->text, sizeof(trace->text), trace->stream) != NULL) {
        trace->line++;
        size_t bytes = strlen(trace->text);
        if (bytes > 0 && trace->text[bytes - 1] != '\n' && !feof(trace->stream))
            return wrong(trace, err, "a line is longer than %d bytes, or holds a zero byte",
                         LINE_BYTES);
        while (bytes > 0 && (trace->text[bytes - 1] == '\n' || trace->text[bytes - 1] == '\r'))
            trace->text[--bytes] = 0;
        if (!is_blank(trace->text) && trace->text[0] != '#')
            return 1;
    }
    if (ferror(trace->stream))
        return error_set(err, ERR_IO, errno, "reading %s", trace->file);
    return 0;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t")] == 0;
}

/* ---- CSV ---- */

static int csv_begin(struct trace *trace, char *line, struct error *err)
{
    char *cells[COLUMNS_MAX];
    int count = 0;
    for (int i = 0; i < COLUMN_COUNT; i++)
        trace->column[i] = -1;
    if (str_starts(line, "\xef\xbb\xbf"))
        line += 3;
    int rc = csv_split(trace, line, cells, &count, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < COLUMN_COUNT; k++)
            if (str_equal(cells[i], column_words[k]))
                trace->column[k] = i;
    trace->columns = count;
    if (trace->column[COLUMN_TIME] < 0 || trace->column[COLUMN_CALLS] < 0)
        return wrong(trace, err,
                     "the head line names no column \"%s\"; the columns are time, calls and, for "
                     "several workloads in one file, workload",
                     trace->column[COLUMN_TIME] < 0 ? "time" : "calls");
    return 1;
}

static int csv_row(struct trace *trace, char *line, struct trace_row *row, struct error *err)
{
    char *cells[COLUMNS_MAX];
    int count = 0;
    int rc = csv_split(trace, line, cells, &count, err);
    if (rc < 0)
        return rc;
    if (count != trace->columns)
        return wrong(trace, err, "%d cells where the head line has %d columns", count,
                     trace->columns);
    rc = take_time(trace, cells[trace->column[COLUMN_TIME]], row, err);
    if (rc == 0 && trace->column[COLUMN_WORKLOAD] >= 0)
        rc = take_name(trace, cells[trace->column[COLUMN_WORKLOAD]], row, err);
    return rc < 0 ? rc : take_calls(trace, cells[trace->column[COLUMN_CALLS]], row, err);
}

/* In place; a cell in quotes may hold commas, and two quotes for one. */
static int csv_split(struct trace *trace, char *line, char **cells, int *ret_count,
                     struct error *err)
{
    int count = 0;
    char *from = line;
    for (;;) {
        if (count == COLUMNS_MAX)
            return wrong(trace, err, "more than %d columns", COLUMNS_MAX);
        from += strspn(from, " \t");
        char *to = from;
        cells[count++] = from;
        if (*from == '"') {
            char *at = from + 1;
            while (*at != 0 && (*at != '"' || at[1] == '"')) {
                at += *at == '"';
                *to++ = *at++;
            }
            if (*at == 0)
                return wrong(trace, err, "a quote is not closed");
            from = at + 1 + strspn(at + 1, " \t");
        } else {
            from += strcspn(from, ",");
            to = from;
            while (to > cells[count - 1] && (to[-1] == ' ' || to[-1] == '\t'))
                to--;
        }
        char end = *from;
        if (end != 0 && end != ',')
            return wrong(trace, err, "text after a closing quote");
        *to = 0;
        if (end == 0)
            break;
        from++;
    }
    *ret_count = count;
    return 0;
}

/* ---- JSON lines ---- */

static int json_begin(struct trace *trace, char *line, struct error *err)
{
    (void)trace;
    (void)line;
    (void)err;
    return 0;
}

static int json_row(struct trace *trace, char *line, struct trace_row *row, struct error *err)
{
    json_error_t why;
    char number[64];
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return wrong(trace, err, "not a JSON object: %.120s",
                     root == NULL ? why.text : "another value");
    }
    int rc = 0;
    for (int i = 0; i < COLUMN_COUNT && rc == 0; i++) {
        const json_t *value = json_object_get(root, column_words[i]);
        const char *text = json_string_value(value);
        if (value == NULL && i == COLUMN_WORKLOAD)
            continue;
        if (json_is_integer(value))
            str_format(number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        else if (json_is_real(value))
            str_format(number, sizeof(number), "%.9f",
                       json_real_value(value) < 1e18 && json_real_value(value) > -1e18
                           ? json_real_value(value)
                           : -1.0);
        if (json_is_number(value))
            text = number;
        if (text == NULL)
            rc = wrong(trace, err, "\"%s\" is %s", column_words[i],
                       value == NULL ? "missing" : "neither a number nor a text");
        else if (i == COLUMN_TIME)
            rc = take_time(trace, text, row, err);
        else if (i == COLUMN_WORKLOAD)
            rc = take_name(trace, text, row, err);
        else
            rc = take_calls(trace, text, row, err);
    }
    json_decref(root);
    return rc;
}

/* ---- values ---- */

static int take_time(struct trace *trace, const char *text, struct trace_row *row,
                     struct error *err)
{
    struct decimal seconds;
    int64_t us;
    if (trace_date(text, &row->at_us) == 0)
        return 0;
    if (decimal_parse(text, &seconds, NULL) < 0 || decimal_scaled(seconds, 6, &us) < 0 ||
        __builtin_add_overflow(trace->from_us, us, &row->at_us))
        return wrong(trace, err,
                     "time \"%.60s\": write seconds since the beginning, or a date as "
                     "2026-01-31T12:00:00Z",
                     text);
    return 0;
}

static int take_calls(struct trace *trace, const char *text, struct trace_row *row,
                      struct error *err)
{
    struct decimal calls;
    if (decimal_parse(text, &calls, NULL) < 0 || decimal_is_negative(calls) ||
        decimal_scaled(calls, 3, &row->calls_mhz) < 0 || row->calls_mhz > CALLS_MHZ_MAX)
        return wrong(trace, err, "calls \"%.60s\": a number of calls a second from 0 to %" PRId64,
                     text, CALLS_MHZ_MAX / 1000);
    return 0;
}

static int take_name(struct trace *trace, const char *text, struct trace_row *row,
                     struct error *err)
{
    if (str_copy(row->workload, sizeof(row->workload), text) < 0)
        return wrong(trace, err, "workload \"%.60s...\" is too long", text);
    return 0;
}

int trace_date(const char *text, int64_t *ret_us)
{
    struct tm date = {.tm_mday = 0};
    int used = 0;
    if (strlen(text) < 8 || memchr(text, '-', 6) == NULL || text[0] == '-')
        return ERR_INVALID; /* a number, as most are */
    int got = sscanf(text, "%4d-%2d-%2d%n", &date.tm_year, &date.tm_mon, &date.tm_mday, &used);
    if (got != 3 || date.tm_year < 1970 || date.tm_mon < 1 || date.tm_mon > 12 || date.tm_mday < 1)
        return ERR_INVALID;
    int *const parts[] = {&date.tm_hour, &date.tm_min, &date.tm_sec};
    static const int highest[] = {23, 59, 59};
    const char *at = text + used;
    for (int i = 0; i < 3 && (*at == (i == 0 ? 'T' : ':') || (i == 0 && *at == ' ')); i++) {
        if (sscanf(at + 1, "%2d%n", parts[i], &used) != 1 || used != 2 || *parts[i] < 0 ||
            *parts[i] > highest[i])
            return ERR_INVALID;
        at += 3;
    }
    if (*at == 'Z')
        at++;
    if (*at != 0)
        return ERR_INVALID;
    date.tm_year -= 1900;
    date.tm_mon -= 1;
    struct tm normal = date;
    time_t seconds = timegm(&normal);
    if (normal.tm_mday != date.tm_mday)
        return ERR_INVALID; /* the 31st of a month that has none */
    *ret_us = (int64_t)seconds * US_PER_S;
    return 0;
}

static int wrong(struct trace *trace, struct error *err, const char *format, ...)
{
    char text[LIMIT_PATH_BYTES / 2];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return error_set(err, ERR_INVALID, 0, "%s:%" PRId64 ": %s", trace->file, trace->line, text);
}
