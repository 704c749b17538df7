/* Counts per function, day and minute, in the shape of the Azure Functions data set of 2019: a row
 * for each function, so a file is read whole and added up by group before its first minute is
 * told. A group is what the map sends a row to by its function, app, owner or trigger, the first
 * that fits; without a map it is the trigger. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "simulator/traces/trace_internal.h"

#define MINUTES    1440
#define GROUPS_MAX 4096 /* 47 MB */
#define COUNT_MAX  INT64_C(1000000000000)

enum key { KEY_FUNCTION, KEY_APP, KEY_OWNER, KEY_TRIGGER, KEYS };
static const char *const key_words[] = {"HashFunction", "HashApp", "HashOwner", "Trigger"};

struct azure {
    int column[KEYS];
    int minute[MINUTES];
    int columns;
    bool whole;      /* the file is read, and its minutes are told */
    int64_t *counts; /* [group][minute] */
    int *targets;    /* [group] */
    int *group_of;   /* [target]: -1 none */
    int group_of_room;
    int groups;
    int at_minute;
    int at_group;
};

static int azure_begin(struct trace *trace, char *line, struct error *err);
static int azure_next(struct trace *trace, struct trace_raw *raw, struct error *err);
static void azure_close(void *state);
static int read_file(struct trace *trace, struct azure *azure, struct error *err);
static int read_row(struct trace *trace, struct azure *azure, char *line, struct error *err);
static int group_for(struct trace *trace, struct azure *azure, char **cells, int *ret_group,
                     struct error *err);
static int add_group(struct trace *trace, struct azure *azure, int target, struct error *err);

const struct trace_format trace_azure = {"azure", azure_begin, azure_next, azure_close};

static int azure_begin(struct trace *trace, char *line, struct error *err)
{
    char *cells[CELLS_MAX];
    int count = 0;
    void **state = trace_state(trace);
    if (*state == NULL && (*state = calloc(1, sizeof(struct azure))) == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a trace");
    struct azure *azure = *state;
    int rc = trace_split(trace, line, cells, CELLS_MAX, &count, err);
    if (rc < 0)
        return rc;
    azure->columns = count;
    memset(azure->column, 0xff, sizeof(azure->column));
    memset(azure->minute, 0xff, sizeof(azure->minute));
    for (int i = 0; i < count; i++) {
        int64_t minute = 0;
        for (int k = 0; k < KEYS; k++)
            if (str_equal(cells[i], key_words[k]))
                azure->column[k] = i;
        if (str_to_i64(cells[i], &minute) == 0 && minute >= 1 && minute <= MINUTES)
            azure->minute[minute - 1] = i;
    }
    for (int k = 0; k < KEYS; k++)
        if (azure->column[k] < 0)
            return trace_wrong(trace, err,
                               "the head line has no column %s; an azure file has HashOwner, "
                               "HashApp, HashFunction, Trigger and 1 to 1440",
                               key_words[k]);
    for (int i = 0; i < MINUTES; i++)
        if (azure->minute[i] < 0)
            return trace_wrong(trace, err,
                               "the head line has no column for minute %d; a day has the columns "
                               "1 to 1440",
                               i + 1);
    azure->whole = false;
    return 1;
}

static int azure_next(struct trace *trace, struct trace_raw *raw, struct error *err)
{
    struct azure *azure = *trace_state(trace);
    if (!azure->whole) {
        int rc = read_file(trace, azure, err);
        if (rc < 0)
            return rc;
    }
    for (; azure->at_minute < MINUTES; azure->at_minute++, azure->at_group = 0)
        while (azure->at_group < azure->groups) {
            int group = azure->at_group++;
            int64_t count = azure->counts[(size_t)group * MINUTES + (size_t)azure->at_minute];
            int64_t minute = (int64_t)trace_file_index(trace) * MINUTES + azure->at_minute;
            if (count == 0)
                continue;
            trace_count(trace)->rows--; /* a file's lines are counted, not what they add up to */
            raw->at_us = trace_options(trace)->origin_us + minute * 60 * US_PER_S;
            raw->kind = TRACE_COUNT;
            raw->target = azure->targets[group];
            raw->name = "";
            raw->value = count * 1000;
            raw->line = lines_number(trace_lines(trace));
            return 1;
        }
    return 0;
}

static void azure_close(void *state)
{
    struct azure *azure = state;
    if (azure == NULL)
        return;
    free(azure->counts);
    free(azure->targets);
    free(azure->group_of);
    free(azure);
}

static int read_file(struct trace *trace, struct azure *azure, struct error *err)
{
    char *line;
    int rc;
    if (azure->counts != NULL)
        memset(azure->counts, 0, (size_t)azure->groups * MINUTES * sizeof(*azure->counts));
    while ((rc = trace_line(trace, &line, err)) > 0) {
        rc = read_row(trace, azure, line, err);
        if (rc < 0)
            return rc;
    }
    azure->whole = true;
    azure->at_minute = 0;
    azure->at_group = 0;
    return rc;
}

static int read_row(struct trace *trace, struct azure *azure, char *line, struct error *err)
{
    char *cells[CELLS_MAX];
    int count = 0;
    int rc = trace_split(trace, line, cells, CELLS_MAX, &count, err);
    if (rc < 0)
        return rc;
    if (count != azure->columns)
        return trace_wrong(trace, err, "%d cells where the head line has %d columns; is it cut?",
                           count, azure->columns);
    int group = -1;
    trace_count(trace)->rows++;
    rc = group_for(trace, azure, cells, &group, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < MINUTES; i++) {
        const char *text = cells[azure->minute[i]];
        int64_t value = text[0] - '0';
        if (text[0] == 0 || text[1] != 0 || value < 0 || value > 9) { /* most are one digit */
            if (str_to_i64(text, &value) < 0 || value < 0 || value > COUNT_MAX)
                return trace_wrong(trace, err,
                                   "minute %d: \"%.40s\": a whole number of calls from 0 to %lld "
                                   "is wanted",
                                   i + 1, text, (long long)COUNT_MAX);
        }
        if (group >= 0) {
            int64_t *sum = &azure->counts[(size_t)group * MINUTES + (size_t)i];
            *sum = *sum + value > COUNT_MAX ? COUNT_MAX : *sum + value;
        }
    }
    if (group < 0)
        trace_count(trace)->left_out++;
    return 0;
}

/* *ret_group stays -1 when the map leaves the row out. */
static int group_for(struct trace *trace, struct azure *azure, char **cells, int *ret_group,
                     struct error *err)
{
    const char *name = cells[azure->column[KEY_TRIGGER]];
    if (trace_options(trace)->map_count > 0) {
        int key = 0;
        while (key < KEYS && !trace_mapped(trace, cells[azure->column[key]]))
            key++;
        if (key == KEYS)
            return 0;
        name = cells[azure->column[key]];
    }
    int target = trace_target(trace, name, err);
    if (target < 0)
        return err->code;
    int rc = 0;
    if (target >= azure->group_of_room || azure->group_of[target] < 0)
        rc = add_group(trace, azure, target, err);
    if (rc == 0)
        *ret_group = azure->group_of[target];
    return rc;
}

static int add_group(struct trace *trace, struct azure *azure, int target, struct error *err)
{
    if (azure->groups == GROUPS_MAX)
        return trace_wrong(trace, err,
                           "more than %d functions are mapped one by one; map apps, owners or "
                           "triggers instead",
                           GROUPS_MAX);
    size_t day = MINUTES * sizeof(int64_t);
    size_t groups = (size_t)azure->groups + 1;
    int64_t *counts = realloc(azure->counts, groups * day);
    azure->counts = counts == NULL ? azure->counts : counts;
    int *targets = realloc(azure->targets, groups * sizeof(*targets));
    azure->targets = targets == NULL ? azure->targets : targets;
    int room = target * 2 + 64;
    int *group_of = azure->group_of;
    if (target >= azure->group_of_room)
        group_of = realloc(azure->group_of, (size_t)room * sizeof(*group_of));
    if (counts == NULL || targets == NULL || group_of == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a day of %d groups",
                         azure->groups + 1);
    azure->group_of = group_of;
    for (; target >= azure->group_of_room && azure->group_of_room < room; azure->group_of_room++)
        azure->group_of[azure->group_of_room] = -1;
    memset(counts + (size_t)azure->groups * MINUTES, 0, day);
    targets[azure->groups] = target;
    group_of[target] = azure->groups;
    azure->groups++;
    return 0;
}
