/*
 * trace_internal: what a format needs of the common reader.
 *
 * A format's begin takes a file's first line; its next gives raw rows with times as the file has
 * them and names that live until the next call. Checks of order, names, gaps, counts and laying on
 * the run's time are the common reader's (trace.c). TRACE_COUNT is a raw kind only: so many events
 * from that instant on, which become rates.
 */
#pragma once

#include "simulator/traces/lines.h"
#include "simulator/traces/trace.h"

#define TRACE_COUNT   TRACE_KINDS
#define TRACE_ERROR   512
#define CELLS_MAX     4096
#define TRACE_MHZ_MAX (INT64_MAX / 1000000)

struct trace_raw {
    int64_t at_us;
    int kind; /* enum trace_kind or TRACE_COUNT */
    const char *name;
    const char *peer;
    int target; /* -1, or what trace_target said of the name */
    int64_t value;
    int64_t memory_bytes;
    int64_t gpu_milli;
    int64_t quantile_ppm;
    int64_t line;
    bool grows; /* CALLS: the value is added to what was there */
};

struct trace_format {
    const char *name;
    /* `line` is the first that is not blank; 1: it was a head, 0: it is the first row. */
    int (*begin)(struct trace *trace, char *line, struct error *err);
    /* 1: a row; 0: the file's end; or an error. */
    int (*next)(struct trace *trace, struct trace_raw *raw, struct error *err);
    void (*close)(void *state);
};

extern const struct trace_format trace_csv;
extern const struct trace_format trace_json_lines;
extern const struct trace_format trace_azure;
extern const struct trace_format trace_openb;
extern const struct trace_format trace_wdcloudedge;
extern const struct trace_format trace_rollup; /* opens its file itself */

struct lines *trace_lines(struct trace *trace);
char **trace_first(struct trace *trace); /* a line that begin did not take; NULL: none */
/* What a format keeps; freed by its close. */
void **trace_state(struct trace *trace);
int trace_file_index(const struct trace *trace); /* from 0 */
const struct trace_options *trace_options(const struct trace *trace);
struct trace_counts *trace_count(struct trace *trace);

/* The next line that is neither blank nor a remark, in the block; 1, 0 at the end, or an error. */
int trace_line(struct trace *trace, char **ret_line, struct error *err) WARN_UNUSED;
/* Splits in place; a cell in quotes may hold commas, and two quotes for one. */
int trace_split(struct trace *trace, char *line, char **cells, int cells_max, int *ret_count,
                struct error *err) WARN_UNUSED;
/* "file:line: sentence", ERR_INVALID. */
int trace_wrong(struct trace *trace, struct error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What is wanted, in the trace's own time; INT64_MIN and INT64_MAX: all. */
void trace_limits(const struct trace *trace, int64_t *ret_from_us, int64_t *ret_to_us);
/* A date, or seconds since the origin. */
int trace_take_time(struct trace *trace, const char *text, int64_t *ret_us,
                    struct error *err) WARN_UNUSED;
/* A number from 0 to `max` of `field`, times 10^digits and rounded. */
int trace_take_number(struct trace *trace, const char *field, const char *text, int digits,
                      int64_t max, int64_t *ret_value, struct error *err) WARN_UNUSED;
/* The number of a name, as a raw row's target; -1 when the map leaves it out, -2 for an error (too
 * many names), which is then told. */
int trace_target(struct trace *trace, const char *name, struct error *err);
/* An entry of the map fits the name. */
bool trace_mapped(const struct trace *trace, const char *name);

/* [digits][.digits][e[+-]digits] times 10^digits, rounded half away from 0; digits beyond the 18th
 * do not count. ERR_INVALID, ERR_OVERFLOW. */
int trace_number(const char *text, int digits, int64_t *ret_value) WARN_UNUSED;
