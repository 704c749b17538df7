#include "simulator/traces/trace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/traces/trace_body.h"

#define BUCKET_US (60 * US_PER_S)
#define SQLITE    "SQLite format 3"

const char *const trace_format_words[] = {"csv",         "json-lines", "azure", "openb",
                                          "wdcloudedge", "rollup",     NULL};
const char *const trace_kind_words[] = {"calls",  "latency", "cpu",   "memory",
                                        "arrive", "leave",   "quiet", NULL};
const char *const trace_unit_words[] = {"per 1000 s", "us",   "mcpu", "bytes",
                                        "mcpu",       "mcpu", "",     NULL};
const char *const trace_gap_words[] = {"hold", "zero", "error", NULL};
const char *const trace_measure_words[] = {"raw", "running", "arrivals", "cores",
                                           "gib", "gpus",    NULL};

static const struct trace_format *const formats[] = {
    &trace_csv, &trace_json_lines, &trace_azure, &trace_openb, &trace_wdcloudedge, &trace_rollup,
};
#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static int open_first(struct trace *trace, struct error *err);
static int choose_format(struct trace *trace, char *line, struct error *err);
static int begin_file(struct trace *trace, struct error *err);
static int open_lines(struct trace *trace, struct error *err);
static bool is_database(const char *path);
static int read_limits(struct trace *trace, struct error *err);
static int read_map(struct trace *trace, struct error *err);
static int add_source(struct trace *trace, const char *name, const char *target, struct error *err);
static int add_region(struct trace *trace, const char *name, const char *region, const char *target,
                      struct error *err);
static const struct trace_map *pattern_of(const struct trace *trace, const char *name);

/* ---- opening ---- */

int trace_open(const char *const *paths, int path_count, const struct trace_options *options,
               struct trace **ret_trace, struct error *err)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    if (trace == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", paths[0]);
    trace->paths = paths;
    trace->path_count = path_count;
    trace->options = *options;
    int rc = open_lines(trace, err);
    if (rc == 0)
        rc = open_first(trace, err);
    if (rc < 0) {
        trace_close(trace);
        return rc;
    }
    *ret_trace = trace;
    return 0;
}

int trace_open_text(const char *file, const char *text, size_t bytes,
                    const struct trace_options *options, struct trace **ret_trace,
                    struct error *err)
{
    struct trace *trace = calloc(1, sizeof(*trace));
    if (trace == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", file);
    trace->path_count = 1;
    trace->options = *options;
    int rc = lines_open_text(file, text, bytes, &trace->lines, err);
    if (rc == 0)
        rc = open_first(trace, err);
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
    if (trace->format != NULL && trace->format->close != NULL)
        trace->format->close(trace->state);
    lines_close(trace->lines);
    names_done(&trace->names);
    names_done(&trace->targets);
    free(trace->sources);
    free(trace->series);
    free(trace);
}

static int open_first(struct trace *trace, struct error *err)
{
    struct trace_options *options = &trace->options;
    trace->last_us = INT64_MIN;
    trace->counts.last_us = INT64_MIN;
    options->bucket_us = options->bucket_us > 0 ? options->bucket_us : BUCKET_US;
    options->stretch_ppm = options->stretch_ppm > 0 ? options->stretch_ppm : TRACE_PPM;
    int rc = begin_file(trace, err);
    if (rc == 0)
        rc = read_limits(trace, err);
    return rc < 0 ? rc : read_map(trace, err);
}

static int begin_file(struct trace *trace, struct error *err)
{
    char *line;
    if (trace->database) {
        trace->format = &trace_rollup;
        int begun = trace_rollup.begin(trace, NULL, err);
        return begun < 0 ? begun : 0;
    }
    int rc = trace_line(trace, &line, err);
    if (rc == 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s has no rows; write a head line \"time,workload,calls\" and a row for "
                         "every change, or see docs/traces.md for other formats",
                         lines_file(trace->lines));
    if (rc < 0)
        return rc;
    if (str_starts(line, "\xef\xbb\xbf"))
        line += 3;
    if (trace->format == NULL)
        rc = choose_format(trace, line, err);
    if (rc < 0)
        return rc;
    rc = trace->format->begin(trace, line, err);
    trace->first = rc == 0 ? line : NULL;
    return rc < 0 ? rc : 0;
}

static int choose_format(struct trace *trace, char *line, struct error *err)
{
    const char *named = trace->options.format;
    const char *word = "csv";
    if (named != NULL && named[0] != 0)
        word = named;
    else if (line[strspn(line, " \t")] == '{')
        word = "json-lines";
    else if (strstr(line, "HashFunction") != NULL)
        word = "azure";
    else if (strstr(line, "cpu_milli") != NULL && strstr(line, "creation_time") != NULL)
        word = "openb";
    else if (str_starts(line, "timestamp,"))
        word = "wdcloudedge";
    for (size_t i = 0; i < FORMATS; i++)
        if (str_equal(formats[i]->name, word) && formats[i] != &trace_rollup) {
            trace->format = formats[i];
            return 0;
        }
    return error_set(err, ERR_INVALID, 0,
                     "%s: format \"%.40s\": there are csv, json-lines, azure, openb, "
                     "wdcloudedge and rollup",
                     lines_file(trace->lines), word);
}

/* The present path's. A database has none, and stands there for its name. */
static int open_lines(struct trace *trace, struct error *err)
{
    const char *path = trace->paths[trace->path_index];
    const char *format = trace->options.format;
    struct lines *lines = NULL;
    bool named = format != NULL && format[0] != 0;
    trace->database = named ? str_equal(format, trace_rollup.name) : is_database(path);
    int rc =
        trace->database ? lines_open_text(path, "", 0, &lines, err) : lines_open(path, &lines, err);
    if (rc < 0)
        return rc;
    lines_close(trace->lines);
    trace->lines = lines;
    return 0;
}

/* Only a regular file is looked into: what comes through a pipe is read once. */
static bool is_database(const char *path)
{
    char head[sizeof(SQLITE)] = "";
    struct stat status;
    if (stat(path, &status) < 0 || !S_ISREG(status.st_mode))
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool is = fread(head, 1, sizeof(head) - 1, file) == sizeof(head) - 1 &&
              memcmp(head, SQLITE, sizeof(head) - 1) == 0;
    (void)fclose(file);
    return is;
}

int trace_next_file(struct trace *trace, struct error *err)
{
    if (trace->path_index + 1 >= trace->path_count)
        return 0;
    trace->path_index++;
    int rc = open_lines(trace, err);
    if (rc == 0)
        rc = begin_file(trace, err);
    return rc < 0 ? rc : 1;
}

static int read_limits(struct trace *trace, struct error *err)
{
    struct trace_options *options = &trace->options;
    trace->from_us = INT64_MIN;
    trace->to_us = INT64_MAX;
    const char *const texts[] = {options->from, options->to};
    int64_t *const limits[] = {&trace->from_us, &trace->to_us};
    for (int i = 0; i < 2; i++) {
        struct error why;
        if (texts[i] == NULL || texts[i][0] == 0)
            continue;
        if (trace_take_time(trace, texts[i], limits[i], &why) < 0)
            return error_set(err, ERR_INVALID, 0,
                             "trace %s: %s \"%.60s\": write a date as 2026-01-31T12:00:00Z, or "
                             "seconds since the trace's zero",
                             lines_file(trace->lines), i == 0 ? "from" : "to", texts[i]);
    }
    if (trace->from_us >= trace->to_us)
        return error_set(err, ERR_INVALID, 0, "trace %s: from %s is not before to %s",
                         lines_file(trace->lines), options->from, options->to);
    trace->anchored = trace->from_us != INT64_MIN;
    trace->anchor_us = trace->anchored ? trace->from_us : options->origin_us;
    trace->laid = trace->anchored || options->align || options->stretch_ppm != TRACE_PPM;
    trace->anchored |= !options->align;
    return 0;
}

static int read_map(struct trace *trace, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < trace->options.map_count && rc >= 0; i++) {
        const struct trace_map *entry = &trace->options.map[i];
        size_t bytes = strlen(entry->from);
        if (bytes == 0 || entry->from[bytes - 1] != '*')
            rc = add_source(trace, entry->from, entry->to, err);
    }
    return rc < 0 ? rc : 0;
}

/* ---- names ---- */

/* By its whole name, or by its workload, and the region stays what it is. */
int trace_target(struct trace *trace, const char *name, struct error *err)
{
    char base[TRACE_NAME_BYTES];
    int index = names_find(&trace->names, name);
    if (index >= 0)
        return index;
    if (trace->options.map_count == 0) {
        index = add_source(trace, name, name, err);
        return index < 0 ? -2 : index;
    }
    const char *region = strrchr(name, '@');
    str_format(base, sizeof(base), "%.*s",
               (int)(region == NULL ? strlen(name) : (size_t)(region - name)), name);
    int of_base = region == NULL ? -1 : names_find(&trace->names, base);
    const struct trace_map *pattern = pattern_of(trace, name);
    if (of_base < 0 && pattern == NULL)
        return -1;
    const char *target =
        of_base >= 0 ? trace->targets.texts[trace->sources[of_base].series] : pattern->to;
    bool whole = of_base < 0 && (region == NULL || strchr(pattern->from, '@') != NULL);
    index = whole ? add_source(trace, name, target, err)
                  : add_region(trace, name, region + 1, target, err);
    return index < 0 ? -2 : index;
}

static int add_region(struct trace *trace, const char *name, const char *region, const char *target,
                      struct error *err)
{
    char text[LIMIT_REF_BYTES + TRACE_NAME_BYTES];
    if (strchr(target, '@') != NULL)
        return trace_wrong(trace, err,
                           "\"%.60s\" names a region, and so does what the map sends it to, "
                           "\"%.60s\"; map \"%.60s\" itself",
                           name, target, name);
    str_format(text, sizeof(text), "%s@%s", target, region);
    return add_source(trace, name, text, err);
}

bool trace_mapped(const struct trace *trace, const char *name)
{
    return names_find(&trace->names, name) >= 0 || pattern_of(trace, name) != NULL;
}

/* Of a name with a region, an entry without one is about its workload. */
static const struct trace_map *pattern_of(const struct trace *trace, const char *name)
{
    for (int i = 0; i < trace->options.map_count; i++) {
        const struct trace_map *entry = &trace->options.map[i];
        size_t bytes = strlen(entry->from);
        size_t whole = strchr(entry->from, '@') != NULL ? strlen(name) : strcspn(name, "@");
        if (bytes > 0 && entry->from[bytes - 1] == '*' && bytes - 1 <= whole &&
            strncmp(entry->from, name, bytes - 1) == 0)
            return entry;
    }
    return NULL;
}

static int add_source(struct trace *trace, const char *name, const char *target, struct error *err)
{
    if (strlen(name) >= TRACE_NAME_BYTES || strlen(target) >= LIMIT_REF_BYTES)
        return trace_wrong(trace, err, "the name \"%.60s...\" is too long: at most %d bytes", name,
                           LIMIT_REF_BYTES - 1);
    if (trace->names.count >= TRACE_NAMES)
        return trace_wrong(trace, err,
                           "\"%.60s\" is one name more than %d; name those that matter in a map",
                           name, TRACE_NAMES);
    int index = names_add(&trace->names, name);
    int series = names_add(&trace->targets, target);
    if (index >= trace->source_room) {
        int room = index * 2 + 64;
        struct source *sources = realloc(trace->sources, (size_t)room * sizeof(*sources));
        if (sources != NULL)
            trace->sources = sources;
        trace->source_room = sources == NULL ? trace->source_room : room;
    }
    if (series >= trace->series_room) {
        int room = series * 2 + 64;
        struct series *list = realloc(trace->series, (size_t)room * sizeof(*list));
        if (list != NULL) {
            memset(list + trace->series_room, 0,
                   (size_t)(room - trace->series_room) * sizeof(*list));
            trace->series = list;
            trace->series_room = room;
        }
    }
    if (index < 0 || series < 0 || index >= trace->source_room || series >= trace->series_room)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the names of the trace %s",
                         lines_file(trace->lines));
    trace->sources[index] = (struct source){.series = series};
    trace->counts.names = trace->names.count;
    return index;
}

/* ---- what a caller or a format asks ---- */

const char *trace_format(const struct trace *trace)
{
    return trace->format->name;
}

const struct trace_counts *trace_counts(const struct trace *trace)
{
    return &trace->counts;
}

void **trace_state(struct trace *trace)
{
    return &trace->state;
}

int trace_file_index(const struct trace *trace)
{
    return trace->path_index;
}

const struct trace_options *trace_options(const struct trace *trace)
{
    return &trace->options;
}

void trace_limits(const struct trace *trace, int64_t *ret_from_us, int64_t *ret_to_us)
{
    *ret_from_us = trace->from_us;
    *ret_to_us = trace->to_us;
}

struct trace_counts *trace_count(struct trace *trace)
{
    return &trace->counts;
}

struct lines *trace_lines(struct trace *trace)
{
    return trace->lines;
}

char **trace_first(struct trace *trace)
{
    return &trace->first;
}
