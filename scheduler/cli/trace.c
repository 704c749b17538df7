/* berth trace: what is in recorded load, and the same as our own CSV. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "model/types.h"
#include "scheduler/cli/cli.h"
#include "scheduler/cli/table.h"
#include "simulator/traces/summary.h"

#define CHUNK_BYTES (256 << 10)
#define STAMP_BYTES 40
/* What stands last in a conversion that ended early: no trace is read over it. */
#define CUT_LINE    "cut: the rest could not be converted\n"
#define VALUE_BYTES 48

struct trace_command {
    const char *format;
    struct option_list map;
    const char *from;
    const char *to;
    const char *stretch;
    const char *gap;
    const char *measure;
    int64_t gap_after_us;
    int64_t bucket_us;
    bool align;
};

static int run_trace(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err);
static int read_options(const struct trace_command *given, bool check, struct trace_map *map,
                        struct trace_options *out, struct error *err);
static int read_word(const char *option, const char *text, const char *const *words, int *ret_index,
                     struct error *err);
static int check(struct cli *cli, struct trace *trace, int64_t gap_us, int files,
                 const char *const *paths, struct error *err);
static int write_text(const struct summary *summary, int files, const char *const *paths,
                      bool color, struct strbuf *out, struct error *err);
static void write_gaps(const struct summary *summary, struct strbuf *out);
static int write_json(const struct summary *summary, int files, const char *const *paths,
                      struct strbuf *out, struct error *err);
static int convert(struct trace *trace, struct error *err);
static int convert_row(const struct trace_row *row, const char ***names, int *room,
                       struct strbuf *out, struct error *err);
static const char *show_value(enum trace_kind kind, double value, char out[VALUE_BYTES]);
static const char *show_time(int64_t at_us, char out[STAMP_BYTES]);
static void quote(struct strbuf *out, const char *text);

static const struct option_row rows[] = {
    {"format", 0, OPTION_TEXT, "NAME",
     "csv, json-lines, azure, openb, wdcloudedge or rollup (default: by how the file begins)",
     offsetof(struct trace_command, format), 0, 0},
    {"map", 'm', OPTION_LIST, "NAME=WORKLOAD",
     "a name of the trace and what it means; what is not named is left out (repeat)",
     offsetof(struct trace_command, map), 0, 0},
    {"from", 0, OPTION_TEXT, "TIME", "from this instant of the trace: a date, or seconds",
     offsetof(struct trace_command, from), 0, 0},
    {"to", 0, OPTION_TEXT, "TIME", "before this instant", offsetof(struct trace_command, to), 0, 0},
    {"align", 0, OPTION_FLAG, NULL, "times count from the first row",
     offsetof(struct trace_command, align), 0, 0},
    {"stretch", 0, OPTION_TEXT, "FACTOR", "distances in time grow by it; rates stay",
     offsetof(struct trace_command, stretch), 0, 0},
    {"bucket", 0, OPTION_DURATION, "TIME", "counts become rates over so long (default: 1min)",
     offsetof(struct trace_command, bucket_us), 0, 0},
    {"gap-after", 0, OPTION_DURATION, "TIME",
     "a distance that is a gap (default of check: ten times the usual)",
     offsetof(struct trace_command, gap_after_us), 0, 0},
    {"gap", 0, OPTION_TEXT, "WORD",
     "what a gap is: hold (the rates before it), zero (nobody calls), error",
     offsetof(struct trace_command, gap), 0, 0},
    {"measure", 0, OPTION_TEXT, "WORD",
     "what of pods is a call a second: raw, running, arrivals, cores, gib, gpus (default of check: "
     "raw, of convert: running)",
     offsetof(struct trace_command, measure), 0, 0},
};

const struct command command_trace = {
    .name = "trace",
    .synopsis = "check FILE... [--format NAME] [--map NAME=WORKLOAD...] [--from TIME] [--to TIME]\n"
                "       berth trace convert FILE... [as above] > OUT.csv",
    .summary = "What is in recorded load, and the same as a CSV that a scenario follows",
    .text =
        "FILE is of one of the formats of docs/traces.md, plain or gzip, - for standard input, or\n"
        "the metrics.db of a scheduler. Several are read one behind the other. `check` reads all\n"
        "of it and says who is called how often, over which time, where nothing was recorded and\n"
        "what would be left out; a wrong line is told with its file and number, exit code 1; exit\n"
        "code 2 when there are gaps. Rows of one region's users have the name WORKLOAD@REGION.\n"
        "`convert` writes time, workload and calls a second. Both need the same little memory for\n"
        "any number of rows.\n",
    .examples = "  berth trace check examples/scenarios/traces/azure.csv\n"
                "  berth trace check invocations.d01.csv.gz invocations.d02.csv.gz --json\n"
                "  berth trace check examples/scenarios/traces/regions.csv\n"
                "  berth trace check pods.csv --measure cores --from 0 --to 86400\n"
                "  berth trace check .berth/state/metrics.db --gap-after 1h\n"
                "  berth trace convert services.csv --align --map frontend=shop/front > shop.csv\n"
                "  zcat huge.csv.gz | berth trace check - --format csv\n",
    .rows = rows,
    .row_count = sizeof(rows) / sizeof(rows[0]),
    .options_bytes = sizeof(struct trace_command),
    .words_min = 2,
    .words_max = OPTION_WORDS_MAX,
    .words = {WORD_TRACE, WORD_FILE},
    .run = run_trace,
};

static int run_trace(struct cli *cli, void *options, const struct option_words *words,
                     struct error *err)
{
    const struct trace_command *given = options;
    struct trace_map map[OPTION_LIST_MAX];
    struct trace_options how = {.map = map};
    struct trace *trace = NULL;
    bool checks = str_equal(words->items[0], "check");
    if (!checks && !str_equal(words->items[0], "convert"))
        return error_set(err, ERR_INVALID, 0,
                         "berth trace %.40s: there are check and convert, as in berth trace check "
                         "FILE",
                         words->items[0]);
    int rc = read_options(given, checks, map, &how, err);
    if (rc == 0)
        rc = trace_open(words->items + 1, words->count - 1, &how, &trace, err);
    if (rc < 0)
        return rc;
    return checks ? check(cli, trace, how.gap_us, words->count - 1, words->items + 1, err)
                  : convert(trace, err);
}

static int read_options(const struct trace_command *given, bool checks, struct trace_map *map,
                        struct trace_options *out, struct error *err)
{
    int word = TRACE_GAP_HOLD;
    int rc = given->gap == NULL ? 0 : read_word("gap", given->gap, trace_gap_words, &word, err);
    out->gap = (enum trace_gap)word;
    word = checks ? TRACE_RAW : TRACE_RUNNING;
    if (rc == 0 && given->measure != NULL)
        rc = read_word("measure", given->measure, trace_measure_words, &word, err);
    out->measure = (enum trace_measure)word;
    if (rc == 0 && given->format != NULL)
        rc = read_word("format", given->format, trace_format_words, &word, err);
    if (rc == 0 && given->stretch != NULL &&
        units_ratio(given->stretch, &out->stretch_ppm, err) < 0)
        rc = error_prefix(err, "--stretch");
    if (rc == 0 && given->stretch != NULL &&
        (out->stretch_ppm < 1 || out->stretch_ppm > TRACE_STRETCH_MAX * PPM))
        rc = error_set(err, ERR_INVALID, 0, "--stretch %.40s: from 0.000001 to %d", given->stretch,
                       TRACE_STRETCH_MAX);
    out->format = given->format;
    out->from = given->from;
    out->to = given->to;
    out->align = given->align;
    out->bucket_us = given->bucket_us;
    out->gap_us = given->gap_after_us;
    for (int i = 0; i < given->map.count && rc == 0; i++) {
        const char *text = given->map.items[i];
        const char *equals = strrchr(text, '=');
        if (equals == NULL || equals == text || equals - text >= TRACE_NAME_BYTES ||
            strlen(equals + 1) >= LIMIT_REF_BYTES)
            return error_set(err, ERR_INVALID, 0,
                             "--map %.80s: write NAME=WORKLOAD, as in http=shop/front", text);
        str_format(map[i].from, TRACE_NAME_BYTES, "%.*s", (int)(equals - text), text);
        str_format(map[i].to, LIMIT_REF_BYTES, "%s", equals + 1);
        out->map_count = i + 1;
    }
    return rc;
}

static int read_word(const char *option, const char *text, const char *const *words, int *ret_index,
                     struct error *err)
{
    char list[LIMIT_TEXT_BYTES] = "";
    size_t count = 0;
    for (; words[count] != NULL; count++) {
        size_t used = strlen(list);
        if (str_equal(text, words[count])) {
            *ret_index = (int)count;
            return 0;
        }
        str_format(list + used, sizeof(list) - used, "%s%s", count == 0 ? "" : ", ", words[count]);
    }
    const char *near = str_nearest(text, words, count);
    return error_set(err, ERR_INVALID, 0, "--%s %.40s: there are %s%s%s%s", option, text, list,
                     near == NULL ? "" : "; did you mean ", near == NULL ? "" : near,
                     near == NULL ? "" : "?");
}

/* ---- check ---- */

static int check(struct cli *cli, struct trace *trace, int64_t gap_us, int files,
                 const char *const *paths, struct error *err)
{
    struct summary summary;
    struct strbuf out;
    int rc = summary_make(trace, gap_us, &summary, err);
    if (rc < 0)
        return rc;
    strbuf_init(&out, CLI_TEXT_BYTES);
    if (cli->common.json)
        rc = write_json(&summary, files, paths, &out, err);
    else
        rc = write_text(&summary, files, paths, cli->color, &out, err);
    if (rc == 0)
        rc = cli_print(&out, err);
    if (rc == 0 && summary.gaps > 0)
        rc = CLI_CHANGES;
    strbuf_done(&out);
    summary_done(&summary);
    return rc;
}

static int write_text(const struct summary *summary, int files, const char *const *paths,
                      bool color, struct strbuf *out, struct error *err)
{
    const struct trace_counts *counts = trace_counts(summary->trace);
    char from[STAMP_BYTES];
    char to[STAMP_BYTES];
    char length[UNITS_TEXT_BYTES];
    char text[VALUE_BYTES];
    struct table table;
    strbuf_printf(out, "%s%s: %s, %" PRId64 " rows\n", paths[0], files > 1 ? " and others" : "",
                  trace_format(summary->trace), counts->rows);
    if (counts->rows > 0)
        strbuf_printf(out, "from %s to %s: %s\n", show_time(counts->first_us, from),
                      show_time(counts->last_us, to),
                      units_format_duration(counts->last_us - counts->first_us, length));
    write_gaps(summary, out);
    if (counts->left_out > 0)
        strbuf_printf(out, "%" PRId64 " rows left out by map, from and to\n", counts->left_out);
    if (counts->empty > 0)
        strbuf_printf(out, "%" PRId64 " cells without a value\n", counts->empty);
    if (counts->unended)
        strbuf_puts(out,
                    "the last line has no line end: if the file was cut there, its value may be "
                    "short\n");
    strbuf_puts(out, "\n");
    table_init(&table, "WORKLOAD|WHAT|>ROWS|>MEAN|>LEAST|>MOST");
    for (int i = 0; i < summary->count; i++) {
        const struct summary_line *line = &summary->lines[i];
        char name[2 * TRACE_NAME_BYTES + 8];
        str_format(name, sizeof(name), "%s%s%s", line->workload[0] == 0 ? "-" : line->workload,
                   line->peer[0] == 0 ? "" : " -> ", line->peer);
        text_clean(name);
        table_cell(&table, STYLE_BOLD, "%s", name);
        if (line->kind == TRACE_LATENCY)
            table_cell(&table, STYLE_PLAIN, "latency p%g", (double)line->quantile_ppm / 1e4);
        else
            table_cell(&table, STYLE_PLAIN, "%s", trace_kind_words[line->kind]);
        table_cell(&table, STYLE_PLAIN, "%" PRId64, line->rows);
        table_cell(&table, STYLE_PLAIN, "%s", show_value(line->kind, line->mean, text));
        table_cell(&table, STYLE_PLAIN, "%s", show_value(line->kind, (double)line->least, text));
        table_cell(&table, STYLE_PLAIN, "%s", show_value(line->kind, (double)line->most, text));
    }
    int rc = table_write(&table, color, out, err);
    table_done(&table);
    return rc;
}

static void write_gaps(const struct summary *summary, struct strbuf *out)
{
    const struct trace_counts *counts = trace_counts(summary->trace);
    char usual[UNITS_TEXT_BYTES];
    char gap[UNITS_TEXT_BYTES];
    char longest[UNITS_TEXT_BYTES];
    char at[STAMP_BYTES];
    if (summary->usual_us == 0)
        return;
    strbuf_printf(out, "an instant every %s in the median; ",
                  units_format_duration(summary->usual_us, usual));
    units_format_duration(summary->gap_us, gap);
    units_format_duration(counts->apart_max_us, longest);
    if (summary->gap_us == 0)
        strbuf_printf(out, "the longest distance is %s, after %s\n", longest,
                      show_time(counts->apart_max_at_us, at));
    else if (summary->gaps == 0)
        strbuf_printf(out, "no gap of more than %s\n", gap);
    else
        strbuf_printf(out, "%" PRId64 " gap%s of more than %s, the longest of %s after %s\n",
                      summary->gaps, summary->gaps == 1 ? "" : "s", gap, longest,
                      show_time(counts->apart_max_at_us, at));
}

static int write_json(const struct summary *summary, int files, const char *const *paths,
                      struct strbuf *out, struct error *err)
{
    const struct trace_counts *counts = trace_counts(summary->trace);
    json_t *names = json_array();
    json_t *list = json_array();
    bool whole = true;
    for (int i = 0; i < files; i++)
        whole &= json_array_append_new(names, json_string(paths[i])) == 0;
    for (int i = 0; i < summary->count; i++) {
        const struct summary_line *line = &summary->lines[i];
        whole &= json_array_append_new(
                     list,
                     json_pack("{s:s, s:s, s:s, s:I, s:s, s:I, s:f, s:I, s:I}", "workload",
                               line->workload, "peer", line->peer, "kind",
                               trace_kind_words[line->kind], "quantile_ppm",
                               (json_int_t)line->quantile_ppm, "unit", trace_unit_words[line->kind],
                               "rows", (json_int_t)line->rows, "mean", line->mean, "least",
                               (json_int_t)line->least, "most", (json_int_t)line->most)) == 0;
    }
    json_t *root = json_pack(
        "{s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o}", "files", names,
        "format", trace_format(summary->trace), "rows", (json_int_t)counts->rows, "left_out",
        (json_int_t)counts->left_out, "empty", (json_int_t)counts->empty, "from_us",
        (json_int_t)counts->first_us, "to_us",
        (json_int_t)(counts->rows == 0 ? counts->first_us : counts->last_us), "usual_us",
        (json_int_t)summary->usual_us, "gap_us", (json_int_t)summary->gap_us, "gaps",
        (json_int_t)summary->gaps, "longest_us", (json_int_t)counts->apart_max_us, "longest_at_us",
        (json_int_t)counts->apart_max_at_us, "unended", counts->unended, "workloads", list);
    char *text = root == NULL || !whole ? NULL : json_dumps(root, JSON_COMPACT);
    json_decref(root);
    if (text == NULL)
        return error_set(
            err, ERR_INVALID, 0,
            "%s: a name in it is no UTF-8, and JSON has no other; leave --json out, or "
            "convert the file with iconv",
            paths[0]);
    strbuf_printf(out, "%s\n", text);
    free(text);
    return 0;
}

/* ---- convert ---- */

static int convert(struct trace *trace, struct error *err)
{
    struct trace_row row;
    struct strbuf out;
    const char **names = NULL;
    int room = 0;
    int64_t others = 0;
    bool begun = false;
    int rc;
    strbuf_init(&out, CLI_TEXT_BYTES);
    strbuf_puts(&out, "time,workload,calls\n");
    while ((rc = trace_next(trace, &row, err)) > 0) {
        others += row.kind != TRACE_CALLS && row.kind != TRACE_QUIET;
        rc = convert_row(&row, &names, &room, &out, err);
        if (rc == 0 && out.bytes > CHUNK_BYTES) {
            rc = cli_print(&out, err);
            strbuf_reset(&out);
            begun = true;
        }
        if (rc < 0)
            break;
    }
    if (rc == 0)
        rc = cli_print(&out, err);
    else if (begun)
        (void)fputs(CUT_LINE, stdout);
    if (rc == 0 && others > 0)
        (void)fprintf(stderr, "%" PRId64 " rows tell of no calls and are left out\n", others);
    free(names);
    strbuf_done(&out);
    trace_close(trace);
    return rc;
}

/* A quiet instant is a row of zero for everybody. */
static int convert_row(const struct trace_row *row, const char ***names, int *room,
                       struct strbuf *out, struct error *err)
{
    char at[STAMP_BYTES];
    if (row->kind == TRACE_QUIET) {
        for (int i = 0; i < *room; i++)
            if ((*names)[i] != NULL) {
                strbuf_printf(out, "%s,", show_time(row->at_us, at));
                quote(out, (*names)[i]);
                strbuf_puts(out, ",0\n");
            }
        return 0;
    }
    if (row->kind != TRACE_CALLS)
        return 0;
    if (row->series >= *room) {
        int more = row->series * 2 + 64;
        const char **list = realloc(*names, (size_t)more * sizeof(*list));
        if (list == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the names of a trace");
        memset(list + *room, 0, (size_t)(more - *room) * sizeof(*list));
        *names = list;
        *room = more;
    }
    (*names)[row->series] = row->workload;
    strbuf_printf(out, "%s,", show_time(row->at_us, at));
    quote(out, row->workload);
    strbuf_printf(out, ",%" PRId64 ".%03" PRId64 "\n", row->value / 1000, row->value % 1000);
    return 0;
}

/* ---- values ---- */

static const char *show_value(enum trace_kind kind, double value, char out[VALUE_BYTES])
{
    char text[UNITS_TEXT_BYTES];
    if (kind == TRACE_CALLS)
        str_format(out, VALUE_BYTES, "%.3f/s", value / 1000);
    else if (kind == TRACE_LATENCY)
        str_format(out, VALUE_BYTES, "%.1f ms", value / 1000);
    else if (kind == TRACE_MEMORY)
        str_format(out, VALUE_BYTES, "%s", units_format_bytes((int64_t)value, text));
    else
        str_format(out, VALUE_BYTES, "%.2f CPUs", value / 1000);
    return out;
}

/* Before 1980 a time is one that counts from the trace's zero. */
static const char *show_time(int64_t at_us, char out[STAMP_BYTES])
{
    char text[WALL_TEXT_BYTES];
    int64_t us = at_us < 0 ? -at_us : at_us;
    if (at_us >= INT64_C(10) * 365 * 24 * US_PER_HOUR && at_us < INT64_MAX / 2)
        str_format(out, STAMP_BYTES, "%s", wall_format((struct wall){at_us}, text));
    else if (us % US_PER_S == 0)
        str_format(out, STAMP_BYTES, "%s%" PRId64, at_us < 0 ? "-" : "", us / US_PER_S);
    else
        str_format(out, STAMP_BYTES, "%s%" PRId64 ".%06" PRId64, at_us < 0 ? "-" : "",
                   us / US_PER_S, us % US_PER_S);
    return out;
}

static void quote(struct strbuf *out, const char *text)
{
    if (text[strcspn(text, ",\"\t #")] == 0) {
        strbuf_puts(out, text);
        return;
    }
    strbuf_puts(out, "\"");
    for (; *text != 0; text++)
        strbuf_append(out, *text == '"' ? "\"\"" : text, *text == '"' ? 2 : 1);
    strbuf_puts(out, "\"");
}
