/*
 * trace: what was recorded of somebody's load, row by row, in flat memory however long the file is.
 *
 * Formats (trace_format_words; without one it is known by the file's beginning):
 *   csv          a head line that names the columns time, workload, region and calls (a second,
 *                until the next row of that workload and region) or count (events of one bucket),
 *                in any order
 *   json-lines   {"time": ..., "workload": ..., "region": ..., "calls": ...}, or "count", a line
 *                each
 *   azure        one row per function and day, with 1,440 columns of minute counts: the shape of
 *                the Azure Functions data set of 2019; each further file is the next day
 *   openb        pods with creation and deletion times, CPU, memory and GPU, sorted by creation
 *   wdcloudedge  one column per service (or per call and quantile, or vCPU and memory), one row
 *                per instant
 *   rollup       what Berth itself recorded: the SQLite file of metrics/rollup.h
 * All but the last are read from plain or gzip files, as a stream. Another format is another
 * `struct trace_format` (trace_internal.h).
 *
 * Names: with a map, what it does not name is left out and counted, and what it sends to one
 * workload is added up there. Keys are whole names, or beginnings that end in '*'; the first that
 * fits counts. Without a map names are workloads as they stand. A row of one region's users has the
 * name WORKLOAD@REGION; an entry of the map without '@' is about its workload, and the region
 * stays.
 *
 * Time: a number is seconds since the origin (the run's beginning), a date is that date. With
 * `from` or `align` the trace is laid so that `from`, or its first row, comes at the origin; with
 * `stretch_ppm` distances from the origin grow by that factor, while rates stay what they are. Rows
 * before `from` come at its instant, so that what held then is known.
 *
 * Rows come in the order of time: time that goes back in a file is an error, which names file,
 * line and both instants. Every error names file, line, value and rule. Memory: a block of the
 * file, at most TRACE_NAMES names; azure holds a day of minutes for each of its groups, openb the
 * pods that live, rollup one hour of rows. One thread per trace.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

#define TRACE_NAMES       65536 /* distinct names in one trace */
#define TRACE_NAME_BYTES  160
#define TRACE_STRETCH_MAX 100000
#define TRACE_FILES       366

struct trace;

extern const char *const trace_format_words[]; /* NULL at the end */

enum trace_kind {
    TRACE_CALLS,   /* value: calls per 1000 s, from now until the workload's next row */
    TRACE_LATENCY, /* value: us, of calls from `workload` to `peer`, at quantile_ppm */
    TRACE_CPU,     /* value: milli-CPUs in use; an empty workload is all together */
    TRACE_MEMORY,  /* value: bytes in use */
    TRACE_ARRIVE,  /* one came; value: milli-CPUs, with memory_bytes and gpu_milli */
    TRACE_LEAVE,   /* one that came has gone; the same values */
    TRACE_QUIET,   /* a gap begins and counts as no calls at all, of anybody */
    TRACE_KINDS
};
extern const char *const trace_kind_words[];
extern const char *const trace_unit_words[]; /* of a kind's value */

struct trace_row {
    int64_t at_us; /* since 1970, as laid */
    enum trace_kind kind;
    const char *workload; /* "": the load's own; WORKLOAD@REGION. Valid until the trace is closed */
    const char *peer;     /* LATENCY: who is called */
    int series;           /* a small number of its own for each workload, from 0 */
    int64_t value;
    int64_t memory_bytes;
    int64_t gpu_milli;
    int64_t quantile_ppm;
    int64_t line;
};

/* What holds between two rows that are further apart than gap_us. */
enum trace_gap { TRACE_GAP_HOLD, TRACE_GAP_ZERO, TRACE_GAP_ERROR };
extern const char *const trace_gap_words[];

/* What of arrivals and departures counts as calls; TRACE_RAW: they are told as they are. */
enum trace_measure {
    TRACE_RAW,
    TRACE_RUNNING,  /* a call a second for each that lives */
    TRACE_ARRIVALS, /* each is a call */
    TRACE_CORES,    /* a call a second for each CPU of those that live */
    TRACE_GIB,      /* ... each GiB of memory */
    TRACE_GPUS      /* ... each GPU */
};
extern const char *const trace_measure_words[]; /* "raw" first */

struct trace_map {
    char from[TRACE_NAME_BYTES];
    char to[LIMIT_REF_BYTES];
};

/* All zero: the format by the beginning, no map, times as they stand, gaps hold. */
struct trace_options {
    const char *format;          /* NULL or "": by the file's beginning */
    const struct trace_map *map; /* must live as long as the trace */
    int map_count;
    int64_t origin_us;
    const char *from;    /* in the trace's own time: a date, or seconds; NULL: all */
    const char *to;      /* before it */
    bool align;          /* the first row comes at the origin; as `from` of that row */
    int64_t stretch_ppm; /* 0: 1 */
    int64_t bucket_us;   /* counts become rates over so long; 0: 60 s */
    int64_t gap_us;      /* 0: no distance is a gap */
    enum trace_gap gap;
    enum trace_measure measure;
};

int trace_open(const char *const *paths, int path_count, const struct trace_options *options,
               struct trace **ret_trace, struct error *err) WARN_UNUSED;
/* As trace_open, of one text in memory, which must live as long; `file` is a name for messages. */
int trace_open_text(const char *file, const char *text, size_t bytes,
                    const struct trace_options *options, struct trace **ret_trace,
                    struct error *err) WARN_UNUSED;
/* 1: a row; 0: the end; or an error. */
int trace_next(struct trace *trace, struct trace_row *ret_row, struct error *err) WARN_UNUSED;
void trace_close(struct trace *trace); /* NULL is accepted */

const char *trace_format(const struct trace *trace);
/* Distances between instants by quarters of a power of two of microseconds. */
#define TRACE_APART 256

/* What was met so far. */
struct trace_counts {
    int64_t rows;     /* of the file, each cell of a wide one */
    int64_t left_out; /* named by no entry of the map, or outside from and to */
    int64_t empty;    /* cells without a value */
    int64_t gaps;     /* distances above gap_us */
    int64_t longest_gap_us;
    int64_t gap_at_us;                 /* where the longest begins */
    int64_t last_us;                   /* the last row's instant, as laid; INT64_MIN: none yet */
    int64_t apart_us;                  /* between the last two instants, as laid */
    int64_t first_us;                  /* the first row's instant, as laid */
    int64_t apart[TRACE_APART];        /* how many distances are of a class */
    int64_t apart_min_us[TRACE_APART]; /* and the smallest of them, as the file has it */
    int64_t apart_max_us;              /* the longest of all */
    int64_t apart_max_at_us;           /* where it begins, as laid */
    int names;                         /* distinct, of those taken */
    bool unended;                      /* a file's last line has no end: it may have been cut */
};
const struct trace_counts *trace_counts(const struct trace *trace);

/* "2026-01-31", "2026-01-31T12", "2026-01-31 12:00:00.25", with or without a Z (UTC);
 * ERR_INVALID. */
int trace_date(const char *text, int64_t *ret_us) WARN_UNUSED;
/* A number of seconds, of any sign; ERR_INVALID, ERR_OVERFLOW. */
int trace_seconds(const char *text, int64_t *ret_us) WARN_UNUSED;
