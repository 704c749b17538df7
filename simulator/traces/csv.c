/* Our own two formats: CSV and JSON lines with time, workload, region and calls or count. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "simulator/traces/trace_internal.h"

#define COLUMNS_MAX 64

enum column { COLUMN_TIME, COLUMN_WORKLOAD, COLUMN_REGION, COLUMN_CALLS, COLUMN_COUNT, COLUMNS };
static const char *const column_words[] = {"time", "workload", "region", "calls", "count"};

struct csv {
    int column[COLUMNS];
    int columns;
    char name[TRACE_NAME_BYTES]; /* of the row */
};

static int csv_begin(struct trace *trace, char *line, struct error *err);
static int csv_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static int json_begin(struct trace *trace, char *line, struct error *err);
static int json_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static int take_object(struct trace *trace, const json_t *root, struct trace_raw *raw,
                       struct error *err);
static int take_name(struct trace *trace, const char *workload, const char *region,
                     struct trace_raw *raw, struct error *err);
static int take_value(struct trace *trace, bool count, const char *text, struct trace_raw *raw,
                      struct error *err);
static int take_names(struct trace *trace, const json_t *root, struct trace_raw *raw,
                      struct error *err);
static int take_text(struct trace *trace, const json_t *root, int column, char number[64],
                     const char **ret_text, struct error *err);
static struct csv *own(struct trace *trace, struct error *err);

const struct trace_format trace_csv = {"csv", csv_begin, csv_next, free};
const struct trace_format trace_json_lines = {"json-lines", json_begin, json_next, free};

static int csv_begin(struct trace *trace, char *line, struct error *err)
{
    char *cells[COLUMNS_MAX];
    int count = 0;
    struct csv *csv = own(trace, err);
    if (csv == NULL)
        return ERR_NO_MEMORY;
    int rc = trace_split(trace, line, cells, COLUMNS_MAX, &count, err);
    if (rc < 0)
        return rc;
    for (int k = 0; k < COLUMNS; k++)
        csv->column[k] = -1;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < COLUMNS; k++)
            if (str_equal(cells[i], column_words[k]))
                csv->column[k] = i;
    csv->columns = count;
    bool timed = csv->column[COLUMN_TIME] >= 0;
    if (!timed || (csv->column[COLUMN_CALLS] < 0) == (csv->column[COLUMN_COUNT] < 0))
        return trace_wrong(trace, err,
                           "the head line names %s; the columns are time, calls (a second) or "
                           "count and, for several workloads in one file, workload and region",
                           !timed                          ? "no column \"time\""
                           : csv->column[COLUMN_CALLS] < 0 ? "neither \"calls\" nor \"count\""
                                                           : "\"calls\" and \"count\"");
    return 1;
}

static int csv_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    char *cells[COLUMNS_MAX];
    char *line;
    int count = 0;
    const struct csv *csv = *trace_state(trace);
    int rc = trace_line(trace, &line, err);
    if (rc <= 0)
        return rc;
    rc = trace_split(trace, line, cells, COLUMNS_MAX, &count, err);
    if (rc < 0)
        return rc;
    if (count != csv->columns)
        return trace_wrong(trace, err, "%d cells where the head line has %d columns", count,
                           csv->columns);
    bool counts = csv->column[COLUMN_CALLS] < 0;
    raw->line = lines_number(trace_lines(trace));
    const char *const names[] = {
        csv->column[COLUMN_WORKLOAD] < 0 ? "" : cells[csv->column[COLUMN_WORKLOAD]],
        csv->column[COLUMN_REGION] < 0 ? "" : cells[csv->column[COLUMN_REGION]]};
    rc = take_name(trace, names[0], names[1], raw, err);
    if (rc == 0)
        rc = trace_take_time(trace, cells[csv->column[COLUMN_TIME]], &raw->at_us, err);
    if (rc == 0)
        rc = take_value(trace, counts, cells[csv->column[counts ? COLUMN_COUNT : COLUMN_CALLS]],
                        raw, err);
    return rc < 0 ? rc : 1;
}

/* WORKLOAD@REGION; of a row without a region the workload. `raw` keeps `workload` or its own text.
 */
static int take_name(struct trace *trace, const char *workload, const char *region,
                     struct trace_raw *raw, struct error *err)
{
    struct csv *csv = *trace_state(trace);
    raw->name = workload;
    if (region[0] == 0)
        return 0;
    if (strchr(workload, '@') != NULL || strchr(region, '@') != NULL)
        return trace_wrong(trace, err,
                           "workload \"%.60s\" and region \"%.60s\": '@' stands between the two; "
                           "write the region once",
                           workload, region);
    if (strlen(workload) + strlen(region) + 2 > sizeof(csv->name))
        return trace_wrong(trace, err,
                           "workload \"%.60s\" and region \"%.60s\" have more than %d "
                           "bytes together",
                           workload, region, TRACE_NAME_BYTES - 2);
    str_format(csv->name, sizeof(csv->name), "%s@%s", workload, region);
    raw->name = csv->name;
    return 0;
}

static int take_value(struct trace *trace, bool count, const char *text, struct trace_raw *raw,
                      struct error *err)
{
    raw->kind = count ? TRACE_COUNT : TRACE_CALLS;
    return trace_take_number(trace, count ? "count" : "calls", text, 3, TRACE_MHZ_MAX, &raw->value,
                             err);
}

static struct csv *own(struct trace *trace, struct error *err)
{
    void **state = trace_state(trace);
    if (*state == NULL && (*state = calloc(1, sizeof(struct csv))) == NULL)
        (void)error_set(err, ERR_NO_MEMORY, 0, "no memory for a trace");
    return *state;
}

/* ---- JSON lines ---- */

static int json_begin(struct trace *trace, char *line, struct error *err)
{
    (void)line;
    return own(trace, err) == NULL ? ERR_NO_MEMORY : 0;
}

static int json_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    json_error_t why;
    char *line;
    int rc = trace_line(trace, &line, err);
    if (rc <= 0)
        return rc;
    json_t *root = json_loads(line, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(root)) {
        json_decref(root);
        return trace_wrong(trace, err, "not a JSON object: %.120s",
                           root == NULL ? why.text : "another value");
    }
    raw->line = lines_number(trace_lines(trace));
    rc = take_object(trace, root, raw, err);
    json_decref(root);
    return rc < 0 ? rc : 1;
}

static int take_object(struct trace *trace, const json_t *root, struct trace_raw *raw,
                       struct error *err)
{
    const char *text = "";
    char number[64];
    int rc = 0;
    bool counts = json_object_get(root, "count") != NULL;
    if (counts && json_object_get(root, "calls") != NULL)
        return trace_wrong(trace, err, "\"calls\" and \"count\" in one row; write one of them");
    rc = take_text(trace, root, COLUMN_TIME, number, &text, err);
    if (rc == 0)
        rc = trace_take_time(trace, text, &raw->at_us, err);
    if (rc == 0)
        rc = take_text(trace, root, counts ? COLUMN_COUNT : COLUMN_CALLS, number, &text, err);
    if (rc == 0)
        rc = take_value(trace, counts, text, raw, err);
    return rc < 0 ? rc : take_names(trace, root, raw, err);
}

/* A row may do without either. What is kept of them outlives the row's JSON. */
static int take_names(struct trace *trace, const json_t *root, struct trace_raw *raw,
                      struct error *err)
{
    struct csv *csv = *trace_state(trace);
    char numbers[2][64];
    const char *names[2] = {"", ""};
    int rc = 0;
    for (int i = 0; i < 2 && rc == 0; i++)
        if (json_object_get(root, column_words[COLUMN_WORKLOAD + i]) != NULL)
            rc = take_text(trace, root, COLUMN_WORKLOAD + i, numbers[i], &names[i], err);
    if (rc == 0)
        rc = take_name(trace, names[0], names[1], raw, err);
    if (rc < 0 || raw->name == csv->name)
        return rc;
    if (str_copy(csv->name, sizeof(csv->name), names[0]) < 0)
        return trace_wrong(trace, err, "workload \"%.60s...\" is too long", names[0]);
    raw->name = csv->name;
    return 0;
}

/* A text as it stands, or a number's. */
static int take_text(struct trace *trace, const json_t *root, int column, char number[64],
                     const char **ret_text, struct error *err)
{
    const json_t *value = json_object_get(root, column_words[column]);
    const char *text = json_string_value(value);
    if (json_is_integer(value))
        str_format(number, 64, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        str_format(number, 64, "%.9f",
                   json_real_value(value) < 1e18 && json_real_value(value) > -1e18
                       ? json_real_value(value)
                       : -1.0);
    *ret_text = json_is_number(value) ? number : text;
    if (*ret_text != NULL)
        return 0;
    return trace_wrong(trace, err, "\"%s\" is %s", column_words[column],
                       value == NULL ? "missing" : "neither a number nor a text");
}
