#include "simulator/traces/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "simulator/traces/names.h"
#include "simulator/traces/trace_internal.h"

#define PPM       INT64_C(1000000)
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

/* What is known of one name of the file: the last rate it told, part of its series' sum. */
struct source {
    int series;
    int64_t last;
};

/* What goes out under one name. */
struct series {
    int64_t sum;     /* of its sources' rates; of living ones */
    int64_t counted; /* in the bucket, thousandths */
    int64_t rate;    /* as last told, of counts */
};

enum phase { PHASE_READ, PHASE_FLUSH, PHASE_ZERO };

struct trace {
    struct trace_options options;
    const char *const *paths; /* NULL: one text */
    int path_count;
    int path_index;
    struct lines *lines;
    char *first; /* a line that begin did not take */
    const struct trace_format *format;
    void *state;
    bool database;
    int64_t from_us;
    int64_t to_us;
    int64_t anchor_us;
    bool laid; /* times are moved so that anchor_us comes at the origin */
    bool anchored;
    struct names names;
    struct names targets;
    struct source *sources; /* [name] */
    struct series *series;  /* [target] */
    int source_room;
    int series_room;
    struct trace_raw held;
    bool has_held;
    bool ended;
    bool any;
    bool counts_calls; /* rows are counts */
    enum phase phase;
    int next_series;
    int64_t bucket_at_us;
    bool in_bucket;
    bool zero_after; /* the bucket after this one is empty, and that is no gap that holds */
    bool quiet;      /* a gap began at quiet_us that counts as no calls */
    bool gap_before; /* the held row comes after a gap */
    int64_t quiet_us;
    int64_t last_us; /* in the trace's own time */
    int64_t last_line;
    struct trace_counts counts;
};

static int open_first(struct trace *trace, struct error *err);
static int choose_format(struct trace *trace, char *line, struct error *err);
static int begin_file(struct trace *trace, struct error *err);
static int next_file(struct trace *trace, struct error *err);
static int open_lines(struct trace *trace, struct error *err);
static bool is_database(const char *path);
static int read_limits(struct trace *trace, struct error *err);
static int read_map(struct trace *trace, struct error *err);
static int add_source(struct trace *trace, const char *name, const char *target, struct error *err);
static const struct trace_map *pattern_of(const struct trace *trace, const char *name);
static int read_raw(struct trace *trace, struct error *err);
static int check_order(struct trace *trace, struct trace_raw *raw, struct error *err);
static void count_distance(struct trace *trace, int64_t at_us);
static int check_gap(struct trace *trace, const struct trace_raw *raw, struct error *err);
static int take(struct trace *trace, struct trace_row *row);
static void take_count(struct trace *trace);
static void take_quiet(struct trace *trace, struct trace_row *row);
static void take_rate(struct trace *trace, struct trace_row *row);
static bool flush(struct trace *trace, struct trace_row *row);
static void measure(const struct trace *trace, struct trace_raw *raw);
static int64_t bucket_of(const struct trace *trace, int64_t at_us);
static int64_t lay(struct trace *trace, int64_t at_us);
static int64_t added(int64_t a, int64_t b);

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
    options->stretch_ppm = options->stretch_ppm > 0 ? options->stretch_ppm : PPM;
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

static bool is_database(const char *path)
{
    char head[sizeof(SQLITE)] = "";
    FILE *file = str_equal(path, "-") ? NULL : fopen(path, "re");
    struct stat status;
    if (file == NULL)
        return false;
    bool plain = fstat(fileno(file), &status) == 0 && S_ISREG(status.st_mode);
    bool is = plain && fread(head, 1, sizeof(head) - 1, file) == sizeof(head) - 1 &&
              memcmp(head, SQLITE, sizeof(head) - 1) == 0;
    (void)fclose(file);
    return is;
}

static int next_file(struct trace *trace, struct error *err)
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
    trace->laid = trace->anchored || options->align || options->stretch_ppm != PPM;
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

int trace_target(struct trace *trace, const char *name, struct error *err)
{
    int index = names_find(&trace->names, name);
    if (index >= 0)
        return index;
    const struct trace_map *pattern = NULL;
    if (trace->options.map_count > 0 && (pattern = pattern_of(trace, name)) == NULL)
        return -1;
    index = add_source(trace, name, pattern == NULL ? name : pattern->to, err);
    return index < 0 ? -2 : index;
}

bool trace_mapped(const struct trace *trace, const char *name)
{
    return names_find(&trace->names, name) >= 0 || pattern_of(trace, name) != NULL;
}

static const struct trace_map *pattern_of(const struct trace *trace, const char *name)
{
    for (int i = 0; i < trace->options.map_count; i++) {
        const struct trace_map *entry = &trace->options.map[i];
        size_t bytes = strlen(entry->from);
        if (bytes > 0 && entry->from[bytes - 1] == '*' &&
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

/* ---- rows ---- */

int trace_next(struct trace *trace, struct trace_row *ret_row, struct error *err)
{
    for (;;) {
        if (trace->phase != PHASE_READ && flush(trace, ret_row))
            return 1;
        if (!trace->has_held) {
            if (trace->ended)
                return 0;
            int rc = read_raw(trace, err);
            if (rc < 0)
                return rc;
            trace->ended = rc == 0;
            if (trace->ended && !trace->in_bucket)
                return 0;
            if (trace->ended) {
                trace->phase = PHASE_FLUSH;
                trace->next_series = 0;
                trace->zero_after = false;
                continue;
            }
        }
        if (take(trace, ret_row) > 0)
            return 1;
    }
}

/* The next row that somebody wants, checked, in `held`. 0: there is none. */
static int read_raw(struct trace *trace, struct error *err)
{
    struct trace_raw *raw = &trace->held;
    for (;;) {
        *raw = (struct trace_raw){.target = -1};
        int rc = trace->format->next(trace, raw, err);
        if (rc == 0) {
            rc = next_file(trace, err);
            if (rc == 0 || rc < 0)
                return rc;
            continue;
        }
        if (rc < 0)
            return rc;
        trace->counts.rows++;
        rc = check_order(trace, raw, err);
        if (rc < 0)
            return rc;
        if (raw->at_us >= trace->to_us) {
            trace->counts.left_out++;
            continue; /* the rest is checked all the same */
        }
        measure(trace, raw);
        if (raw->kind < 0 || (raw->kind == TRACE_COUNT && raw->at_us < trace->from_us)) {
            trace->counts.left_out += raw->kind >= 0;
            continue;
        }
        if (raw->target < 0)
            raw->target = trace_target(trace, raw->name, err);
        if (raw->target < -1)
            return err->code;
        if (raw->target < 0) {
            trace->counts.left_out++;
            continue;
        }
        if (trace->any && trace->counts_calls != (raw->kind == TRACE_COUNT) &&
            (raw->kind == TRACE_COUNT || raw->kind == TRACE_CALLS))
            return trace_wrong(trace, err,
                               "counts and rates in one trace; give each a trace of its own");
        trace->any = true;
        trace->counts_calls = raw->kind == TRACE_COUNT;
        trace->has_held = true;
        return 1;
    }
}

static int check_order(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    if (raw->at_us < trace->last_us) {
        char now[WALL_TEXT_BYTES];
        char before[WALL_TEXT_BYTES];
        return trace_wrong(
            trace, err, "time goes back, from %s (line %" PRId64 ") to %s; sort the rows by time",
            wall_format((struct wall){trace->last_us}, before), trace->last_line,
            wall_format((struct wall){raw->at_us}, now));
    }
    int rc = check_gap(trace, raw, err);
    count_distance(trace, raw->at_us);
    trace->last_us = raw->at_us;
    trace->last_line = raw->line;
    if (!trace->anchored) {
        trace->anchor_us = raw->at_us;
        trace->anchored = true;
    }
    trace->counts.last_us = lay(trace, raw->at_us);
    if (trace->counts.rows == 1)
        trace->counts.first_us = trace->counts.last_us;
    return rc;
}

/* Of the class that its highest bit and the two below it say. */
static void count_distance(struct trace *trace, int64_t at_us)
{
    struct trace_counts *counts = &trace->counts;
    int64_t apart_us;
    if (trace->last_us == INT64_MIN || at_us <= trace->last_us ||
        __builtin_sub_overflow(at_us, trace->last_us, &apart_us))
        return;
    int high = 63 - __builtin_clzll((unsigned long long)apart_us);
    int below = (int)((high >= 2 ? apart_us >> (high - 2) : apart_us << (2 - high)) & 3);
    int class = high * 4 + below;
    counts->apart_min_us[class] =
        counts->apart[class] == 0 || apart_us < counts->apart_min_us[class]
            ? apart_us
            : counts->apart_min_us[class];
    counts->apart[class]++;
    counts->apart_us = (int64_t)((__int128)apart_us * trace->options.stretch_ppm / PPM);
    if (apart_us > counts->apart_max_us) {
        counts->apart_max_us = apart_us;
        counts->apart_max_at_us = lay(trace, trace->last_us);
    }
}

static int check_gap(struct trace *trace, const struct trace_raw *raw, struct error *err)
{
    int64_t gap_us = 0;
    if (trace->options.gap_us == 0 || trace->last_us == INT64_MIN || raw->at_us <= trace->from_us ||
        raw->at_us >= trace->to_us ||
        (!__builtin_sub_overflow(raw->at_us, trace->last_us, &gap_us) &&
         gap_us <= trace->options.gap_us))
        return 0;
    if (trace->options.gap == TRACE_GAP_ERROR) {
        char length[UNITS_TEXT_BYTES];
        char before[WALL_TEXT_BYTES];
        return trace_wrong(trace, err,
                           "a gap of %s after %.19s (line %" PRId64
                           "), and gap: error allows none; fill it, or choose gap: hold or zero",
                           units_format_duration(gap_us, length),
                           wall_format((struct wall){trace->last_us}, before), trace->last_line);
    }
    trace->counts.gaps++;
    if (gap_us > trace->counts.longest_gap_us) {
        trace->counts.longest_gap_us = gap_us;
        trace->counts.gap_at_us = lay(trace, trace->last_us);
    }
    trace->gap_before = true;
    if (trace->options.gap == TRACE_GAP_ZERO && !trace->quiet) {
        trace->quiet = true;
        trace->quiet_us = added(trace->last_us, trace->options.gap_us);
    }
    return 0;
}

/* What of arrivals and departures counts as calls; kind -1: nothing does. */
static void measure(const struct trace *trace, struct trace_raw *raw)
{
    enum trace_measure how = trace->options.measure;
    bool leaves = raw->kind == TRACE_LEAVE;
    if (how == TRACE_RAW || (raw->kind != TRACE_ARRIVE && !leaves))
        return;
    if (how == TRACE_ARRIVALS) {
        raw->kind = leaves ? -1 : TRACE_COUNT;
        raw->value = 1000;
        return;
    }
    raw->value = how == TRACE_RUNNING ? 1000
                 : how == TRACE_CORES ? raw->value
                 : how == TRACE_GPUS  ? raw->gpu_milli
                                      : raw->memory_bytes / (1 << 20) * 1000 / 1024;
    raw->value = leaves ? -raw->value : raw->value;
    raw->kind = raw->value == 0 ? -1 : TRACE_CALLS;
    raw->grows = true;
}

/* 1: the held row, or what comes before it, is told; 0: it was taken in, or waits. */
static int take(struct trace *trace, struct trace_row *row)
{
    struct trace_raw *raw = &trace->held;
    if (raw->kind == TRACE_COUNT) {
        take_count(trace);
        return 0;
    }
    if (trace->quiet) {
        take_quiet(trace, row);
        return 1;
    }
    trace->has_held = false;
    trace->gap_before = false;
    if (raw->kind == TRACE_CALLS) {
        take_rate(trace, row);
        return 1;
    }
    int series = trace->sources[raw->target].series;
    *row = (struct trace_row){.at_us = lay(trace, raw->at_us),
                              .kind = (enum trace_kind)raw->kind,
                              .workload = trace->targets.texts[series],
                              .peer = raw->peer,
                              .series = series,
                              .value = raw->value,
                              .memory_bytes = raw->memory_bytes,
                              .gpu_milli = raw->gpu_milli,
                              .quantile_ppm = raw->quantile_ppm,
                              .line = raw->line};
    return 1;
}

static void take_count(struct trace *trace)
{
    const struct trace_raw *raw = &trace->held;
    int64_t bucket_us = trace->options.bucket_us;
    int64_t at_us = bucket_of(trace, raw->at_us);
    trace->quiet = false; /* empty buckets say it, or hold */
    if (trace->in_bucket && at_us != trace->bucket_at_us) {
        trace->phase = PHASE_FLUSH;
        trace->next_series = 0;
        trace->zero_after = at_us - trace->bucket_at_us > bucket_us &&
                            !(trace->gap_before && trace->options.gap == TRACE_GAP_HOLD);
        return;
    }
    struct series *series = &trace->series[trace->sources[raw->target].series];
    series->counted = added(series->counted, raw->value);
    trace->in_bucket = true;
    trace->bucket_at_us = at_us;
    trace->has_held = false;
    trace->gap_before = false;
}

static void take_quiet(struct trace *trace, struct trace_row *row)
{
    for (int i = 0; i < trace->names.count; i++)
        trace->sources[i].last = 0;
    for (int i = 0; i < trace->targets.count; i++)
        trace->series[i].sum = 0;
    *row = (struct trace_row){.at_us = lay(trace, trace->quiet_us),
                              .kind = TRACE_QUIET,
                              .workload = "",
                              .series = -1,
                              .line = trace->last_line};
    trace->quiet = false;
}

static void take_rate(struct trace *trace, struct trace_row *row)
{
    const struct trace_raw *raw = &trace->held;
    struct source *source = &trace->sources[raw->target];
    struct series *series = &trace->series[source->series];
    series->sum = added(series->sum, raw->value);
    if (!raw->grows) {
        series->sum -= source->last;
        source->last = raw->value;
    }
    *row = (struct trace_row){.at_us = lay(trace, raw->at_us),
                              .kind = TRACE_CALLS,
                              .workload = trace->targets.texts[source->series],
                              .series = source->series,
                              .value = series->sum < 0               ? 0
                                       : series->sum > TRACE_MHZ_MAX ? TRACE_MHZ_MAX
                                                                     : series->sum,
                              .line = raw->line};
}

/* What a full bucket says, one series after another. False: all is said. */
static bool flush(struct trace *trace, struct trace_row *row)
{
    int64_t bucket_us = trace->options.bucket_us;
    for (;;) {
        bool zero = trace->phase == PHASE_ZERO;
        while (trace->next_series < trace->targets.count) {
            struct series *series = &trace->series[trace->next_series++];
            __int128 wide = (__int128)series->counted * US_PER_S / bucket_us;
            int64_t rate = wide > TRACE_MHZ_MAX ? TRACE_MHZ_MAX : (int64_t)wide;
            series->counted = 0;
            if (rate == series->rate)
                continue;
            series->rate = rate;
            int64_t at_us = added(trace->bucket_at_us, zero ? bucket_us : 0);
            *row = (struct trace_row){.at_us = lay(trace, at_us),
                                      .kind = TRACE_CALLS,
                                      .workload = trace->targets.texts[trace->next_series - 1],
                                      .series = trace->next_series - 1,
                                      .value = rate,
                                      .line = trace->last_line};
            return true;
        }
        trace->phase = trace->zero_after ? PHASE_ZERO : PHASE_READ;
        trace->zero_after = false;
        trace->next_series = 0;
        if (trace->phase == PHASE_READ)
            break;
    }
    trace->in_bucket = false;
    return false;
}

static int64_t bucket_of(const struct trace *trace, int64_t at_us)
{
    int64_t past_us = at_us % trace->options.bucket_us;
    return at_us - (past_us < 0 ? past_us + trace->options.bucket_us : past_us);
}

static int64_t lay(struct trace *trace, int64_t at_us)
{
    if (at_us < trace->from_us)
        at_us = trace->from_us;
    if (!trace->laid)
        return at_us;
    __int128 far = ((__int128)at_us - trace->anchor_us) * trace->options.stretch_ppm / PPM +
                   trace->options.origin_us;
    return far > INT64_MAX ? INT64_MAX : far < INT64_MIN + 1 ? INT64_MIN + 1 : (int64_t)far;
}

static int64_t added(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX / 2 : INT64_MIN / 2;
    return sum;
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
