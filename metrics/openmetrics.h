/*
 * openmetrics: the text formats of metrics, read and written: Prometheus text 0.0.4 and OpenMetrics
 * 1.0 (native histograms have no text form).
 *
 * Reading is streaming: a page is fed in pieces of any size, each whole line is given to a handler
 * at once, and memory does not grow with the page but for one hash per series, by which a series
 * that comes twice is found (LIMIT_PAGE_SERIES, LIMIT_METRIC_LINE, LIMIT_METRIC_LABELS). A line
 * that is wrong is a problem with its number and its reason, counted, the first
 * OPENMETRICS_PROBLEMS kept; the lines after it are still used. A last line that does not end is a
 * problem and not used: its number may be cut. So is, in OpenMetrics, a page without "# EOF".
 * Exemplars and "_created" are checked and passed over (the latter is a sample like others).
 *
 * Names may be quoted inside the braces ({"http.hits", code="200"} 1). A label with an empty value
 * is the same as none, and is left out. NaN and infinities are values; what they mean is the
 * reader's matter. Pure: no clock, file or thread; a reader is one thread's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"
#include "base/str.h"

#define OPENMETRICS_PROBLEMS      8
#define OPENMETRICS_PROBLEM_BYTES 200

#define OPENMETRICS_CONTENT_TEXT "text/plain; version=0.0.4; charset=utf-8"
#define OPENMETRICS_CONTENT_OPEN "application/openmetrics-text; version=1.0.0; charset=utf-8"

enum openmetrics_format { OPENMETRICS_TEXT, OPENMETRICS_OPEN };

enum metric_type {
    METRIC_UNKNOWN,
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
    METRIC_GAUGE_HISTOGRAM,
    METRIC_SUMMARY,
    METRIC_INFO,
    METRIC_STATE_SET,
};
extern const char *const metric_type_words[]; /* as OpenMetrics spells them; terminated by NULL */

struct metric_label {
    const char *name;
    const char *value;
};

/* One line of a page, or one number of an OTLP point. All texts end with the handler's call. */
struct metric_sample {
    const char *name;      /* with its suffix: "http_requests_total" */
    size_t name_bytes;     /* its length */
    enum metric_type type; /* of its family, when the page declared it */
    const struct metric_label *labels;
    int label_count;
    double value;
    bool has_time;
    int64_t time_ms; /* since 1970, UTC */
    uint64_t hash;   /* of name and labels, whatever the order of these; never 0 */
    uint64_t line;   /* of the page, from 1 */
};

typedef void metric_handler(void *context, const struct metric_sample *sample);

/* The value of a label; NULL when there is none. */
const char *metric_label_of(const struct metric_sample *sample, const char *name);
/* What sample->hash is: for those who make samples by other ways. */
uint64_t metric_hash(const char *name, const struct metric_label *labels, int label_count);

/* ---- reading ---- */
struct openmetrics_problem {
    uint64_t line;
    char text[OPENMETRICS_PROBLEM_BYTES];
};

struct openmetrics_result {
    uint64_t lines;
    uint64_t samples; /* given to the handler */
    bool cut;         /* it does not end as a page does: what is missing nobody knows */
    uint64_t problem_count;
    struct openmetrics_problem problems[OPENMETRICS_PROBLEMS];
};

struct openmetrics_reader;

int openmetrics_reader_create(struct openmetrics_reader **ret_reader,
                              struct error *err) WARN_UNUSED;
void openmetrics_reader_destroy(struct openmetrics_reader *reader);
/* Begins a page; whatever was there is forgotten, its memory kept for reuse. */
void openmetrics_begin(struct openmetrics_reader *reader, enum openmetrics_format format,
                       metric_handler *handler, void *context);
/* ERR_NO_MEMORY only; the page is then lost. */
int openmetrics_feed(struct openmetrics_reader *reader, const char *data, size_t bytes,
                     struct error *err) WARN_UNUSED;
/* Ends the page. The result stays valid until the next begin. */
const struct openmetrics_result *openmetrics_end(struct openmetrics_reader *reader);
/* The format that a Content-Type header names; anything unknown is the text format. */
enum openmetrics_format openmetrics_format_of(const char *content_type);

/* ---- classic histograms ---- */
/* One histogram's buckets: cumulative counts by upper bound, which a page may give in any order. */
struct openmetrics_histogram {
    int count;
    double bounds[LIMIT_HISTOGRAM_BUCKETS]; /* +Inf is one of them */
    double counts[LIMIT_HISTOGRAM_BUCKETS];
};
/* Adds a bucket by the text of its label "le". ERR_INVALID: no number, or there is one already. */
int openmetrics_bucket_add(struct openmetrics_histogram *histogram, const char *le, double count,
                           struct error *err) WARN_UNUSED;
/* Sorts and checks: an infinite bucket, counts that never fall. To be called before the quantile.
 */
int openmetrics_histogram_finish(struct openmetrics_histogram *histogram,
                                 struct error *err) WARN_UNUSED;
/* The quantile q (0..1), by interpolation inside its bucket as Prometheus does it: from 0 for a
 * first bucket above 0, and never beyond the last finite bound. False when nothing was counted. */
bool openmetrics_histogram_quantile(const struct openmetrics_histogram *histogram, double q,
                                    double *ret_value);

/* ---- writing ---- */
/*
 *     struct openmetrics_writer writer;
 *     openmetrics_writer_init(&writer, OPENMETRICS_OPEN, &out);
 *     openmetrics_family(&writer, "berth_scrapes", METRIC_COUNTER, NULL, "Pages asked for.");
 *     openmetrics_value(&writer, "", labels, 1, 17);
 *     openmetrics_finish(&writer);
 *
 * A counter's family is named without "_total"; the writer adds it where the format wants it.
 * Failures are the strbuf's; a name that is none is a bug and asserts. Label values are text of any
 * kind: what is no UTF-8 becomes '?'.
 */
struct openmetrics_writer {
    enum openmetrics_format format;
    struct strbuf *out;
    char family[LIMIT_METRIC_NAME_BYTES];
    enum metric_type type;
};

void openmetrics_writer_init(struct openmetrics_writer *writer, enum openmetrics_format format,
                             struct strbuf *out);
/* `unit` may be NULL; where it is not, the name ends with it: "..._seconds". */
void openmetrics_family(struct openmetrics_writer *writer, const char *name, enum metric_type type,
                        const char *unit, const char *help);
/* A sample of the family: `suffix` is "" for the value itself, "_sum", "_count", "_bucket", ... */
void openmetrics_value(struct openmetrics_writer *writer, const char *suffix,
                       const struct metric_label *labels, int label_count, double value);
/* As openmetrics_value, exact beyond 2^53. */
void openmetrics_integer(struct openmetrics_writer *writer, const char *suffix,
                         const struct metric_label *labels, int label_count, int64_t value);
void openmetrics_finish(struct openmetrics_writer *writer);
