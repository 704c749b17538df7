/*
 * openmetrics_internal: one line of a metrics page, taken apart in place. Between openmetrics.c and
 * openmetrics_line.c. Pure; any thread.
 */
#pragma once

#include "metrics/openmetrics.h"

struct text_sample {
    struct metric_label *labels; /* the caller's, LIMIT_METRIC_LABELS of them */
    bool open;                   /* OpenMetrics: seconds as time, exemplars */
    const char *name;            /* NULL until it was read */
    int label_count;
    double value;
    bool has_time;
    int64_t time_ms;
};

/* Takes a terminated line apart, writing terminators into it. NULL, or what is wrong. */
const char *text_sample_parse(char *text, struct text_sample *out);
/* The next word, terminated and passed; "" at the end. */
char *text_word(char **at);
/* As text_word, of a metric's name, which may be quoted; NULL when it is none. */
char *text_metric_word(char **at);
/* A number as the formats write it; moves *at behind it. False when there is none. */
bool text_number(const char **at, double *ret_value);
