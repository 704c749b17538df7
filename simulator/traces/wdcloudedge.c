/* One row per instant and one column per service, in the shapes of WDCloudEdge's data collector:
 * calls a second of each service; milliseconds of each call ("caller_callee&p50"); or CPU and
 * memory of all ("vCPU", "memory", of which the data set names no unit: taken as CPUs and MiB). An
 * empty cell, and "nan", is a value that was not measured. */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "simulator/traces/trace_internal.h"

#define COLUMNS_MAX 1024

struct column {
    int kind;
    char name[TRACE_NAME_BYTES];
    char peer[TRACE_NAME_BYTES];
    int64_t quantile_ppm;
};

struct wide {
    int columns;
    int at; /* the next column to tell; 0: read a row */
    int64_t at_us;
    char *cells[COLUMNS_MAX];
    struct column column[COLUMNS_MAX];
};

static int wide_begin(struct trace *trace, char *line, struct error *err);
static int wide_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static int take_head(struct trace *trace, struct wide *wide, struct error *err);
static int read_row(struct trace *trace, struct wide *wide, struct error *err);
static int name_column(struct trace *trace, struct column *column, const char *text,
                       struct error *err);
static int name_call(struct trace *trace, struct column *column, const char *text,
                     const char *quantile, struct error *err);

const struct trace_format trace_wdcloudedge = {"wdcloudedge", wide_begin, wide_next, free};

static int wide_begin(struct trace *trace, char *line, struct error *err)
{
    void **state = trace_state(trace);
    if (*state == NULL && (*state = calloc(1, sizeof(struct wide))) == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a trace");
    struct wide *wide = *state;
    int rc = trace_split(trace, line, wide->cells, COLUMNS_MAX, &wide->columns, err);
    if (rc == 0)
        rc = take_head(trace, wide, err);
    return rc < 0 ? rc : 1;
}

static int take_head(struct trace *trace, struct wide *wide, struct error *err)
{
    int rc = 0;
    if (!str_equal(wide->cells[0], "timestamp") || wide->columns < 2)
        return trace_wrong(trace, err,
                           "the head line begins with \"%.40s\"; a wdcloudedge file begins with "
                           "timestamp, and a column for each service",
                           wide->cells[0]);
    for (int i = 1; i < wide->columns && rc == 0; i++)
        rc = name_column(trace, &wide->column[i], wide->cells[i], err);
    wide->at = 0;
    return rc;
}

static int name_column(struct trace *trace, struct column *column, const char *text,
                       struct error *err)
{
    const char *quantile = strstr(text, "&p");
    memset(column, 0, sizeof(*column));
    if (quantile != NULL)
        return name_call(trace, column, text, quantile + 2, err);
    if (str_equal(text, "vCPU"))
        column->kind = TRACE_CPU;
    else if (str_equal(text, "memory"))
        column->kind = TRACE_MEMORY;
    else if (text[0] == 0 || str_copy(column->name, sizeof(column->name), text) < 0)
        return trace_wrong(trace, err, "a column named \"%.60s\": from 1 to %d bytes are wanted",
                           text, TRACE_NAME_BYTES - 1);
    return 0;
}

static int name_call(struct trace *trace, struct column *column, const char *text,
                     const char *quantile, struct error *err)
{
    int64_t percent_e4;
    const char *under = strchr(text, '_');
    if (trace_number(quantile, 4, &percent_e4) < 0 || percent_e4 > 1000000 || under == NULL ||
        under > quantile - 2 || under - text >= TRACE_NAME_BYTES ||
        quantile - 2 - (under + 1) >= TRACE_NAME_BYTES)
        return trace_wrong(trace, err,
                           "a column named \"%.60s\": calls are named caller_callee&p50", text);
    column->kind = TRACE_LATENCY;
    column->quantile_ppm = percent_e4;
    str_format(column->name, sizeof(column->name), "%.*s", (int)(under - text), text);
    str_format(column->peer, sizeof(column->peer), "%.*s", (int)(quantile - 2 - (under + 1)),
               under + 1);
    return 0;
}

static int wide_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    struct wide *wide = *trace_state(trace);
    for (;;) {
        if (wide->at == 0) {
            int rc = read_row(trace, wide, err);
            if (rc <= 0)
                return rc;
            wide->at = 1;
        }
        int at = wide->at;
        const char *text = wide->cells[at];
        wide->at = at + 1 < wide->columns ? at + 1 : 0;
        if (text[0] == 0 || str_equal(text, "nan") || str_equal(text, "NaN")) {
            trace_count(trace)->empty++;
            continue;
        }
        const struct column *column = &wide->column[at];
        raw->kind = column->kind;
        raw->at_us = wide->at_us;
        raw->name = column->name;
        raw->peer = column->peer;
        raw->quantile_ppm = column->quantile_ppm;
        raw->line = lines_number(trace_lines(trace));
        const char *field = column->kind == TRACE_CPU      ? "vCPU"
                            : column->kind == TRACE_MEMORY ? "memory"
                                                           : column->name;
        int rc = trace_take_number(trace, field, text, 3, TRACE_MHZ_MAX, &raw->value, err);
        if (column->kind == TRACE_MEMORY) /* thousandths of a MiB */
            raw->value = (int64_t)((__int128)raw->value * (1 << 20) / 1000);
        return rc < 0 ? rc : 1;
    }
}

/* Another head line in the middle begins another part of the recording, whose columns may be
 * others: the data set has one every few minutes. */
static int read_row(struct trace *trace, struct wide *wide, struct error *err)
{
    for (;;) {
        char *line;
        int count = 0;
        int rc = trace_line(trace, &line, err);
        if (rc <= 0)
            return rc;
        rc = trace_split(trace, line, wide->cells, COLUMNS_MAX, &count, err);
        if (rc < 0)
            return rc;
        if (str_equal(wide->cells[0], "timestamp")) {
            wide->columns = count;
            rc = take_head(trace, wide, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (count != wide->columns)
            return trace_wrong(trace, err, "%d cells where the head line has %d columns", count,
                               wide->columns);
        rc = trace_take_time(trace, wide->cells[0], &wide->at_us, err);
        return rc < 0 ? rc : 1;
    }
}
