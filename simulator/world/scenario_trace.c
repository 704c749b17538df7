/* Reading how a scenario's load follows a trace. */
#include <string.h>

#include "base/doc.h"
#include "base/str.h"
#include "base/units.h"
#include "simulator/world/scenario_internal.h"

#define MAP_MAX 65536

static void read_map(struct reader *reader, const struct doc_node *node,
                     struct scenario_trace *trace);
static void check_instant(struct reader *reader, const struct doc_node *node, const char *key,
                          const char *text);
static size_t count_of(const char *const *words);

void scenario_read_trace(struct reader *reader, const struct doc_node *node,
                         struct scenario_load *out)
{
    struct doc *doc = reader->doc;
    struct scenario_trace *trace = read_array(reader, 1, sizeof(*trace));
    out->trace = trace;
    if (trace == NULL)
        return;
    struct trace_options *options = &trace->options;
    const struct doc_node *file = doc_get(doc, node, "file", 0);
    int files = file == NULL ? 0 : doc_kind(file) == DOC_LIST ? (int)doc_count(file) : 1;
    if (files > TRACE_FILES || (file != NULL && files == 0))
        doc_problem(doc, file, "%d files; from 1 to %d make a trace", files, TRACE_FILES);
    else if (files > 0)
        trace->file_count = scenario_read_paths(reader, file, files, &trace->files);
    int word = -1;
    if (doc_word(doc, node, "format", 0, trace_format_words, count_of(trace_format_words), &word))
        str_format(trace->format, sizeof(trace->format), "%s", trace_format_words[word]);
    read_map(reader, node, trace);
    doc_string(doc, node, "from", 0, trace->from, sizeof(trace->from));
    doc_string(doc, node, "to", 0, trace->to, sizeof(trace->to));
    check_instant(reader, node, "from", trace->from);
    check_instant(reader, node, "to", trace->to);
    doc_bool(doc, node, "align", 0, &options->align);
    if (doc_ratio(doc, node, "stretch", 0, &options->stretch_ppm) &&
        (options->stretch_ppm < 1 || options->stretch_ppm > TRACE_STRETCH_MAX * PPM))
        doc_problem(doc, doc_get(doc, node, "stretch", 0), "from 0.000001 to 100000");
    if (doc_duration(doc, node, "bucket", 0, &options->bucket_us) && options->bucket_us < 1000)
        doc_problem(doc, doc_get(doc, node, "bucket", 0), "a bucket is at least 1ms");
    word = TRACE_GAP_HOLD;
    doc_word(doc, node, "gap", 0, trace_gap_words, count_of(trace_gap_words), &word);
    options->gap = (enum trace_gap)word;
    doc_duration(doc, node, "gap_after", 0, &options->gap_us);
    word = TRACE_RUNNING - 1;
    doc_word(doc, node, "measure", 0, trace_measure_words + 1, count_of(trace_measure_words) - 1,
             &word);
    options->measure = (enum trace_measure)(word + 1);
}

static void read_map(struct reader *reader, const struct doc_node *node,
                     struct scenario_trace *trace)
{
    struct doc *doc = reader->doc;
    const struct doc_node *list = doc_map(doc, node, "map", 0);
    int count = list == NULL ? 0 : (int)doc_count(list);
    if (list != NULL && (count < 1 || count > MAP_MAX)) {
        doc_problem(doc, list, "a map has from 1 to %d names", MAP_MAX);
        return;
    }
    struct trace_map *map = read_array(reader, count, sizeof(*map));
    if (map == NULL)
        return;
    for (int i = 0; i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        if (str_copy(map[i].from, sizeof(map[i].from), doc_key(list, (size_t)i)) < 0)
            doc_problem(doc, item, "the trace's name has more than %d bytes", TRACE_NAME_BYTES - 1);
        doc_node_string(doc, item, map[i].to, sizeof(map[i].to));
    }
    trace->options.map = map;
    trace->options.map_count = count;
}

static void check_instant(struct reader *reader, const struct doc_node *node, const char *key,
                          const char *text)
{
    int64_t us;
    if (text[0] != 0 && trace_date(text, &us) < 0 && trace_seconds(text, &us) < 0)
        doc_problem(reader->doc, doc_get(reader->doc, node, key, 0),
                    "write a date as 2026-01-31T12:00:00Z, or seconds since the trace's zero");
}

static size_t count_of(const char *const *words)
{
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    return count;
}
