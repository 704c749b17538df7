#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics.h"

static void put_help(struct strbuf *out, const char *text);
static void put_series(struct openmetrics_writer *writer, const char *suffix,
                       const struct metric_label *labels, int label_count);
static void put_escaped(struct strbuf *out, const char *text, bool quotes);
static bool name_is_plain(const char *name, bool colons);

void openmetrics_writer_init(struct openmetrics_writer *writer, enum openmetrics_format format,
                             struct strbuf *out)
{
    *writer = (struct openmetrics_writer){.format = format, .out = out};
}

void openmetrics_family(struct openmetrics_writer *writer, const char *name, enum metric_type type,
                        const char *unit, const char *help)
{
    BERTH_ASSERT(name_is_plain(name, true), "metric name '%s'", name);
    str_format(writer->family, sizeof(writer->family), "%s", name);
    writer->type = type;
    bool open = writer->format == OPENMETRICS_OPEN;
    const char *word = metric_type_words[type];
    const char *suffix = "";
    if (!open) { /* the older format knows four types, and counters by their full name */
        suffix = type == METRIC_COUNTER ? "_total" : type == METRIC_INFO ? "_info" : "";
        if (type == METRIC_UNKNOWN)
            word = "untyped";
        else if (type == METRIC_INFO || type == METRIC_STATE_SET)
            word = "gauge";
        else if (type == METRIC_GAUGE_HISTOGRAM)
            word = "histogram";
    }
    if (help != NULL && help[0] != 0) {
        strbuf_printf(writer->out, "# HELP %s%s ", name, suffix);
        put_help(writer->out, help);
        strbuf_puts(writer->out, "\n");
    }
    strbuf_printf(writer->out, "# TYPE %s%s %s\n", name, suffix, word);
    if (unit != NULL && open)
        strbuf_printf(writer->out, "# UNIT %s %s\n", name, unit);
}

void openmetrics_value(struct openmetrics_writer *writer, const char *suffix,
                       const struct metric_label *labels, int label_count, double value)
{
    char text[40];
    put_series(writer, suffix, labels, label_count);
    if (isnan(value))
        str_format(text, sizeof(text), "NaN");
    else if (isinf(value))
        str_format(text, sizeof(text), value > 0 ? "+Inf" : "-Inf");
    else
        for (int digits = 15; digits <= 17; digits++) { /* the shortest that reads back equal */
            str_format(text, sizeof(text), "%.*g", digits, value);
            double back = strtod(text, NULL);
            if (back >= value && back <= value)
                break;
        }
    strbuf_puts(writer->out, text);
    strbuf_puts(writer->out, "\n");
}

void openmetrics_integer(struct openmetrics_writer *writer, const char *suffix,
                         const struct metric_label *labels, int label_count, int64_t value)
{
    put_series(writer, suffix, labels, label_count);
    strbuf_printf(writer->out, "%" PRId64 "\n", value);
}

void openmetrics_finish(struct openmetrics_writer *writer)
{
    if (writer->format == OPENMETRICS_OPEN)
        strbuf_puts(writer->out, "# EOF\n");
}

static void put_help(struct strbuf *out, const char *text)
{
    put_escaped(out, text, false);
}

static void put_series(struct openmetrics_writer *writer, const char *suffix,
                       const struct metric_label *labels, int label_count)
{
    BERTH_ASSERT(writer->family[0] != 0, "a value before its family");
    strbuf_puts(writer->out, writer->family);
    if (suffix[0] == 0 && writer->type == METRIC_COUNTER)
        suffix = "_total";
    else if (suffix[0] == 0 && writer->type == METRIC_INFO)
        suffix = "_info";
    strbuf_puts(writer->out, suffix);
    int written = 0;
    for (int i = 0; i < label_count; i++) {
        if (labels[i].value == NULL || labels[i].value[0] == 0)
            continue; /* an empty value is no label */
        BERTH_ASSERT(name_is_plain(labels[i].name, false), "label name '%s'", labels[i].name);
        strbuf_puts(writer->out, written++ == 0 ? "{" : ",");
        strbuf_puts(writer->out, labels[i].name);
        strbuf_puts(writer->out, "=\"");
        put_escaped(writer->out, labels[i].value, true);
        strbuf_puts(writer->out, "\"");
    }
    strbuf_puts(writer->out, written > 0 ? "} " : " ");
}

static void put_escaped(struct strbuf *out, const char *text, bool quotes)
{
    size_t left = strlen(text);
    while (left > 0) {
        size_t bytes = str_utf8_bytes(text, left);
        if (bytes == 0)
            strbuf_puts(out, "?");
        else if (*text == '\\')
            strbuf_puts(out, "\\\\");
        else if (*text == '\n')
            strbuf_puts(out, "\\n");
        else if (*text == '"' && quotes)
            strbuf_puts(out, "\\\"");
        else
            strbuf_append(out, text, bytes);
        bytes = bytes == 0 ? 1 : bytes;
        text += bytes;
        left -= bytes;
    }
}

static bool name_is_plain(const char *name, bool colons)
{
    if (name[0] == 0 || (name[0] >= '0' && name[0] <= '9'))
        return false;
    for (; *name != 0; name++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
              (*name >= '0' && *name <= '9') || *name == '_' || (colons && *name == ':')))
            return false;
    return true;
}
