#include "metrics/openmetrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics/openmetrics_internal.h"

#define LINE_FIRST_BYTES 1024
#define SEEN_FIRST       1024 /* slots of the table of hashes; a power of two */

struct openmetrics_reader {
    enum openmetrics_format format;
    metric_handler *handler;
    void *context;
    char *line; /* the line being put together; room for its terminator */
    size_t bytes;
    size_t capacity;
    bool skipping; /* the rest of a line over the limit */
    bool ended;    /* "# EOF" was there */
    bool after_end;
    struct openmetrics_result result;
    char family[LIMIT_METRIC_NAME_BYTES];
    size_t family_bytes;
    enum metric_type type;
    uint64_t *seen; /* open addressing; 0: free */
    size_t seen_slots;
    size_t seen_count;
    struct metric_label labels[LIMIT_METRIC_LABELS];
};

static int line_append(struct openmetrics_reader *reader, const char *data, size_t bytes,
                       struct error *err);
static int take_line(struct openmetrics_reader *reader, struct error *err);
static void take_comment(struct openmetrics_reader *reader, char *at);
static void take_type(struct openmetrics_reader *reader, char *name, char *at);
static int take_sample(struct openmetrics_reader *reader, char *text, struct error *err);
static enum metric_type type_of(const struct openmetrics_reader *reader,
                                const struct metric_sample *sample);
static const char *value_problem(enum metric_type type, const struct metric_sample *sample);
static int seen_add(struct openmetrics_reader *reader, uint64_t hash, struct error *err);
static int seen_grow(struct openmetrics_reader *reader, struct error *err);
static void problem(struct openmetrics_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

const char *const metric_type_words[] = {
    "unknown", "counter", "gauge",    "histogram", "gaugehistogram",
    "summary", "info",    "stateset", NULL,
};

int openmetrics_reader_create(struct openmetrics_reader **ret_reader, struct error *err)
{
    struct openmetrics_reader *reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "a reader of metrics pages");
    *ret_reader = reader;
    return 0;
}

void openmetrics_reader_destroy(struct openmetrics_reader *reader)
{
    if (reader == NULL)
        return;
    free(reader->line);
    free(reader->seen);
    free(reader);
}

void openmetrics_begin(struct openmetrics_reader *reader, enum openmetrics_format format,
                       metric_handler *handler, void *context)
{
    reader->format = format;
    reader->handler = handler;
    reader->context = context;
    reader->bytes = 0;
    reader->skipping = reader->ended = reader->after_end = false;
    reader->result.lines = reader->result.samples = reader->result.problem_count = 0;
    reader->result.cut = false;
    reader->family[0] = 0;
    reader->family_bytes = 0;
    reader->type = METRIC_UNKNOWN;
    reader->seen_count = 0;
    if (reader->seen != NULL)
        memset(reader->seen, 0, reader->seen_slots * sizeof(*reader->seen));
}

int openmetrics_feed(struct openmetrics_reader *reader, const char *data, size_t bytes,
                     struct error *err)
{
    const char *end = data + bytes;
    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        const char *stop = newline == NULL ? end : newline;
        int rc = reader->skipping ? 0 : line_append(reader, data, (size_t)(stop - data), err);
        if (rc < 0)
            return rc;
        if (newline == NULL)
            return 0;
        if (reader->skipping)
            reader->result.lines++;
        else if ((rc = take_line(reader, err)) < 0)
            return rc;
        reader->skipping = false;
        reader->bytes = 0;
        data = newline + 1;
    }
    return 0;
}

const struct openmetrics_result *openmetrics_end(struct openmetrics_reader *reader)
{
    if (reader->bytes > 0 && !reader->skipping) {
        reader->result.lines++;
        /* OpenMetrics lets "# EOF" stand without a line's end. */
        if (reader->format == OPENMETRICS_OPEN && reader->bytes == 5 &&
            memcmp(reader->line, "# EOF", 5) == 0)
            reader->ended = true;
        else
            problem(reader, "the last line does not end: the page may be cut");
        reader->result.cut = !reader->ended;
    } else if (reader->skipping) {
        reader->result.cut = true;
    }
    if (reader->format == OPENMETRICS_OPEN && !reader->ended) {
        reader->result.cut = true;
        problem(reader, "the page has no '# EOF' at its end: it may be cut");
    }
    reader->bytes = 0;
    return &reader->result;
}

enum openmetrics_format openmetrics_format_of(const char *content_type)
{
    static const char name[] = "application/openmetrics-text";
    return content_type != NULL && strncasecmp(content_type, name, sizeof(name) - 1) == 0
               ? OPENMETRICS_OPEN
               : OPENMETRICS_TEXT;
}

const char *metric_label_of(const struct metric_sample *sample, const char *name)
{
    for (int i = 0; i < sample->label_count; i++)
        if (str_equal(sample->labels[i].name, name))
            return sample->labels[i].value;
    return NULL;
}

static int line_append(struct openmetrics_reader *reader, const char *data, size_t bytes,
                       struct error *err)
{
    size_t needed = reader->bytes + bytes;
    if (needed > LIMIT_METRIC_LINE) {
        reader->result.lines++;
        problem(reader, "the line is longer than %d bytes (LIMIT_METRIC_LINE)", LIMIT_METRIC_LINE);
        reader->result.lines--; /* it is counted when it ends */
        reader->skipping = true;
        return 0;
    }
    if (needed + 1 > reader->capacity) {
        size_t capacity = reader->capacity == 0 ? LINE_FIRST_BYTES : reader->capacity;
        while (capacity < needed + 1)
            capacity *= 2;
        char *line = realloc(reader->line, capacity);
        if (line == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "a line of a metrics page");
        reader->line = line;
        reader->capacity = capacity;
    }
    memcpy(reader->line + reader->bytes, data, bytes);
    reader->bytes = needed;
    return 0;
}

static int take_line(struct openmetrics_reader *reader, struct error *err)
{
    reader->result.lines++;
    size_t bytes = reader->bytes;
    char *text = reader->line;
    if (bytes > 0 && text[bytes - 1] == '\r')
        bytes--;
    if (bytes == 0)
        return 0;
    text[bytes] = 0;
    if (reader->ended && !reader->after_end) {
        reader->after_end = true;
        problem(reader, "there is more after '# EOF'");
    }
    if (reader->ended)
        return 0;
    while (*text == ' ' || *text == '\t')
        text++;
    if (*text == '#') {
        take_comment(reader, text + 1);
        return 0;
    }
    if (memchr(text, 0, (size_t)(reader->line + bytes - text)) != NULL) {
        problem(reader, "a zero byte in the line");
        return 0;
    }
    return *text == 0 ? 0 : take_sample(reader, text, err);
}

/* "# TYPE name type", "# HELP name text", "# UNIT name unit", "# EOF"; anything else is a comment.
 */
static void take_comment(struct openmetrics_reader *reader, char *at)
{
    const char *keyword = text_word(&at);
    if (reader->format == OPENMETRICS_OPEN && str_equal(keyword, "EOF") && *at == 0) {
        reader->ended = true;
        return;
    }
    bool is_type = str_equal(keyword, "TYPE");
    if (!is_type && !str_equal(keyword, "HELP") && !str_equal(keyword, "UNIT"))
        return;
    char *name = text_metric_word(&at);
    if (name == NULL) {
        problem(reader, "# %s is not followed by a metric's name", keyword);
        return;
    }
    if (is_type)
        take_type(reader, name, at);
}

static void take_type(struct openmetrics_reader *reader, char *name, char *at)
{
    const char *word = text_word(&at);
    enum metric_type type = METRIC_UNKNOWN;
    if (str_equal(word, "untyped"))
        word = "unknown";
    while (metric_type_words[type] != NULL && !str_equal(metric_type_words[type], word))
        type++;
    if (metric_type_words[type] == NULL) {
        problem(reader, "the type of %.80s is '%.40s': none that is known", name, word);
        return;
    }
    if (str_copy(reader->family, sizeof(reader->family), name) < 0) {
        problem(reader, "the name '%.60s...' is longer than %d bytes (LIMIT_METRIC_NAME_BYTES)",
                name, LIMIT_METRIC_NAME_BYTES - 1);
        reader->family[0] = 0;
        type = METRIC_UNKNOWN;
    }
    reader->family_bytes = strlen(reader->family);
    reader->type = type;
}

static int take_sample(struct openmetrics_reader *reader, char *text, struct error *err)
{
    struct text_sample parsed = {.labels = reader->labels,
                                 .open = reader->format == OPENMETRICS_OPEN};
    const char *wrong = text_sample_parse(text, &parsed);
    if (wrong != NULL) {
        problem(reader, "%s%s%.60s%s", wrong, parsed.name == NULL ? "" : ", in a line of ",
                parsed.name == NULL ? "" : parsed.name, "");
        return 0;
    }
    struct metric_sample sample = {
        .name = parsed.name,
        .name_bytes = strlen(parsed.name),
        .labels = reader->labels,
        .label_count = parsed.label_count,
        .value = parsed.value,
        .has_time = parsed.has_time,
        .time_ms = parsed.time_ms,
        .line = reader->result.lines,
    };
    sample.type = type_of(reader, &sample);
    wrong = value_problem(sample.type, &sample);
    if (wrong != NULL) {
        problem(reader, "%s: %.80s is %g", wrong, sample.name, sample.value);
        return 0;
    }
    sample.hash = metric_hash(sample.name, sample.labels, sample.label_count);
    int rc = seen_add(reader, sample.hash, err);
    if (rc == 1)
        problem(reader, "the series %.80s was there already, with the same labels", sample.name);
    if (rc == 2)
        problem(reader, "more than %d series (LIMIT_PAGE_SERIES): %.80s is left out",
                LIMIT_PAGE_SERIES, sample.name);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    reader->result.samples++;
    reader->handler(reader->context, &sample);
    return 0;
}

/* A sample is of the family that was declared last, if its name is that one's and a suffix. */
static enum metric_type type_of(const struct openmetrics_reader *reader,
                                const struct metric_sample *sample)
{
    static const char *const suffixes[] = {"",      "_total", "_sum",    "_count",  "_bucket",
                                           "_info", "_gsum",  "_gcount", "_created"};
    if (reader->family_bytes == 0 || sample->name_bytes < reader->family_bytes ||
        memcmp(sample->name, reader->family, reader->family_bytes) != 0)
        return METRIC_UNKNOWN;
    const char *rest = sample->name + reader->family_bytes;
    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
        if (str_equal(rest, suffixes[i]))
            return reader->type;
    return METRIC_UNKNOWN;
}

static const char *value_problem(enum metric_type type, const struct metric_sample *sample)
{
    if (type == METRIC_COUNTER && (isnan(sample->value) || sample->value < 0))
        return "a counter is a number from 0";
    return NULL;
}

/* 0: it is new; 1: it was there; 2: there is no room for more. */
static int seen_add(struct openmetrics_reader *reader, uint64_t hash, struct error *err)
{
    if (reader->seen_count * 2 >= reader->seen_slots) {
        int rc = seen_grow(reader, err);
        if (rc < 0)
            return rc;
    }
    size_t slot = hash & (reader->seen_slots - 1);
    while (reader->seen[slot] != 0 && reader->seen[slot] != hash)
        slot = (slot + 1) & (reader->seen_slots - 1);
    if (reader->seen[slot] == hash)
        return 1;
    if (reader->seen_count == LIMIT_PAGE_SERIES)
        return 2;
    reader->seen[slot] = hash;
    reader->seen_count++;
    return 0;
}

static int seen_grow(struct openmetrics_reader *reader, struct error *err)
{
    size_t slots = reader->seen_slots == 0 ? SEEN_FIRST : reader->seen_slots * 2;
    uint64_t *seen = calloc(slots, sizeof(*seen));
    if (seen == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "the series of a metrics page");
    for (size_t i = 0; i < reader->seen_slots; i++) {
        size_t slot = reader->seen[i] & (slots - 1);
        if (reader->seen[i] == 0)
            continue;
        while (seen[slot] != 0)
            slot = (slot + 1) & (slots - 1);
        seen[slot] = reader->seen[i];
    }
    free(reader->seen);
    reader->seen = seen;
    reader->seen_slots = slots;
    return 0;
}

static void problem(struct openmetrics_reader *reader, const char *format, ...)
{
    struct openmetrics_result *result = &reader->result;
    if (result->problem_count++ >= OPENMETRICS_PROBLEMS)
        return;
    struct openmetrics_problem *one = &result->problems[result->problem_count - 1];
    one->line = result->lines;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(one->text, sizeof(one->text), format, arguments);
    va_end(arguments);
}
