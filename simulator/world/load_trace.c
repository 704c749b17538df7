/* Recorded load: whom a trace's rows are of, and what they come to in a step. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/units.h"
#include "simulator/world/load_internal.h"

#define GAP_STEPS 24
#define OWN       0
#define UNKNOWN   (-1)

static int make_slots(struct load *load, struct reader_of *reader);
static int slot_count(const struct load *load);
static bool same_trace(const struct reader_of *reader, const struct scenario_trace *how,
                       char (*files)[LIMIT_PATH_BYTES], int count);
static int open_trace(struct load *load, const struct scenario *scenario, struct reader_of *reader,
                      char (*files)[LIMIT_PATH_BYTES], int count, struct error *err);
static int read_rows(struct load *load, struct reader_of *reader, int64_t at_us, int64_t length_us,
                     struct error *err);
static void tell_users(struct load *load, const struct reader_of *reader);
static int take_end(struct load *load, struct reader_of *reader, struct error *err);
static int take_row(struct load *load, struct reader_of *reader, struct error *err);
static void take_quiet(struct load *load, struct reader_of *reader);
static int slot_of_row(struct load *load, struct reader_of *reader, int *ret_slot,
                       struct error *err);
static int find_slot(const struct load *load, const struct reader_of *reader, int *ret_slot,
                     struct error *err);
static int find_users(const struct load *load, const struct reader_of *reader, int *ret_slot,
                      struct error *err);
static bool find_workload(const struct load *load, int within, const char *name, const char *region,
                          int *ret_app, int *ret_workload);
static int no_workload(const struct reader_of *reader, const char *name, struct error *err);
static int no_users(const struct load *load, const struct reader_of *reader, int app,
                    const char *region, struct error *err);
static int check_slot(const struct load *load, const struct reader_of *reader,
                      const struct traced *slot, struct error *err);
static bool overlap(const struct load *load, const struct traced *users,
                    const struct traced *other);
static void tell(struct traced *traced, int64_t at_us, int64_t mhz, int64_t step_us);
static void close_step(struct traced *traced, int64_t at_us, int64_t length_us);
static void note_gaps(struct load *load, const struct reader_of *reader);
static void note(struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));

void load_trace_close(struct load *load)
{
    for (int i = 0; i < load->reader_count; i++) {
        trace_close(load->readers[i].trace);
        free(load->readers[i].slot_of);
    }
}

int load_trace_open(struct load *load, const struct scenario *scenario,
                    const struct scenario_cell *cell, int source, struct error *err)
{
    const struct scenario_trace *how = scenario->loads[source].trace;
    bool own = how->file_count > 0 || cell->trace < 0;
    char(*files)[LIMIT_PATH_BYTES] = own ? how->files : &scenario->traces[cell->trace];
    int count = own ? how->file_count : 1;
    if (count == 0)
        return error_set(err, ERR_INVALID, 0, "%s:%d: the load names no trace: write file: FILE",
                         scenario->file, scenario->loads[source].line);
    for (int i = 0; i < load->reader_count; i++)
        if (same_trace(&load->readers[i], how, files, count)) {
            load->sources[source].reader = i;
            return 0;
        }
    struct reader_of *reader = &load->readers[load->reader_count];
    *reader = (struct reader_of){.source = source, .file = files[0], .how = how};
    if (make_slots(load, reader) < 0)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", files[0]);
    int rc = open_trace(load, scenario, reader, files, count, err);
    if (rc < 0)
        return rc;
    load->sources[source].reader = load->reader_count++;
    return 0;
}

/* Loads that say the same of one file share what it tells. */
static bool same_trace(const struct reader_of *reader, const struct scenario_trace *how,
                       char (*files)[LIMIT_PATH_BYTES], int count)
{
    const struct trace_options *a = &reader->how->options;
    const struct trace_options *b = &how->options;
    return count == 1 && reader->how->file_count <= 1 && str_equal(reader->file, files[0]) &&
           a->map_count == 0 && b->map_count == 0 && a->align == b->align &&
           a->stretch_ppm == b->stretch_ppm && a->bucket_us == b->bucket_us &&
           a->gap_us == b->gap_us && a->gap == b->gap && a->measure == b->measure &&
           str_equal(reader->how->from, how->from) && str_equal(reader->how->to, how->to) &&
           str_equal(reader->how->format, how->format);
}

static int open_trace(struct load *load, const struct scenario *scenario, struct reader_of *reader,
                      char (*files)[LIMIT_PATH_BYTES], int count, struct error *err)
{
    struct trace_options options = reader->how->options;
    int64_t stretch_ppm = options.stretch_ppm > 0 ? options.stretch_ppm : PPM;
    char(*paths)[LIMIT_PATH_BYTES] = arena_array(&load->arena, (size_t)count, sizeof(*paths));
    reader->paths = arena_array(&load->arena, (size_t)count, sizeof(*reader->paths));
    if (paths == NULL || reader->paths == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", files[0]);
    for (int i = 0; i < count; i++) {
        int rc = scenario_path(scenario, files[i], paths[i], err);
        if (rc < 0)
            return rc;
        reader->paths[i] = paths[i];
    }
    if (options.gap_us == 0)
        options.gap_us = (int64_t)((__int128)GAP_STEPS * load->step_us * PPM / stretch_ppm);
    reader->gap_us = (int64_t)((__int128)options.gap_us * stretch_ppm / PPM);
    options.origin_us = load->from_us;
    options.format = reader->how->format;
    options.from = reader->how->from;
    options.to = reader->how->to;
    return trace_open(reader->paths, count, &options, &reader->trace, err);
}

static int slot_count(const struct load *load)
{
    return 1 + load->part_count + load->users_count + load->segment_count;
}

static int make_slots(struct load *load, struct reader_of *reader)
{
    const struct source *source = &load->sources[reader->source];
    struct traced *slot =
        arena_array(&load->arena, (size_t)slot_count(load), sizeof(*reader->slots));
    reader->slots = slot;
    if (slot == NULL)
        return ERR_NO_MEMORY;
    int own = source->workload < 0 ? -1 : load->first[source->app] + source->workload;
    *slot++ = (struct traced){.app = source->app, .part = own, .segment = -1, .mhz = -1};
    for (int app = 0; app < load->app_count; app++)
        for (int i = 0; i < load->apps[app].workload_count; i++)
            *slot++ =
                (struct traced){.app = app, .part = load->first[app] + i, .segment = -1, .mhz = -1};
    for (int i = 0; i < load->users_count; i++) {
        const struct load_users *users = &load->users[i];
        *slot++ = (struct traced){
            .app = users->app, .part = users->part, .segment = users->segment, .mhz = -1};
    }
    for (int app = 0; app < load->app_count; app++)
        for (int i = 0; i < load->apps[app].segment_count; i++)
            *slot++ = (struct traced){.app = app, .part = -1, .segment = i, .mhz = -1};
    return 0;
}

struct traced *load_trace_part(const struct reader_of *reader, int part)
{
    return &reader->slots[1 + part];
}

/* ---- a step ---- */

int load_trace_step(struct load *load, int64_t at_us, int64_t length_us, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < load->reader_count && rc == 0; i++)
        rc = read_rows(load, &load->readers[i], at_us, length_us, err);
    for (int part = 0; part < load->part_count; part++)
        load->traced_mhz[part] = -1;
    for (int i = 0; i < load->users_count; i++)
        load->users[i].mhz = -1;
    for (int i = 0; i < load->reader_count; i++) {
        const struct reader_of *reader = &load->readers[i];
        int64_t scale_ppm = load->sources[reader->source].what->scale_ppm;
        for (int part = 0; reader->named && part < load->part_count; part++) {
            const struct traced *traced = load_trace_part(reader, part);
            if (traced->mhz >= 0)
                load->traced_mhz[part] = load_scaled(traced->mean_mhz, scale_ppm);
        }
        if (reader->regions)
            tell_users(load, reader);
    }
    return rc;
}

/* What the users of a region call of one part; or of all, divided as the documents have it. */
static void tell_users(struct load *load, const struct reader_of *reader)
{
    int64_t scale_ppm = load->sources[reader->source].what->scale_ppm;
    for (int s = 1 + load->part_count; s < slot_count(load); s++) {
        const struct traced *slot = &reader->slots[s];
        __int128 weights = 0;
        if (slot->mhz < 0)
            continue;
        for (int pass = 0; pass < 2; pass++)
            for (int i = load->first_users[slot->app]; i < load->first_users[slot->app + 1]; i++) {
                struct load_users *users = &load->users[i];
                if (users->segment != slot->segment ||
                    (slot->part >= 0 && slot->part != users->part))
                    continue;
                if (pass == 0)
                    weights += users->weight_mhz;
                else
                    users->mhz = load_scaled(
                        (int64_t)((__int128)slot->mean_mhz * users->weight_mhz / weights),
                        scale_ppm);
            }
    }
}

static int read_rows(struct load *load, struct reader_of *reader, int64_t at_us, int64_t length_us,
                     struct error *err)
{
    int64_t until_us = at_us + length_us;
    reader->step_us = at_us;
    while (!reader->ended || reader->has_row) {
        if (!reader->has_row) {
            bool first = trace_counts(reader->trace)->rows == 0;
            int rc = trace_next(reader->trace, &reader->row, err);
            if (rc >= 0 && !reader->told && rc > 0 && first && reader->row.at_us > load->from_us)
                note(load,
                     "trace %s begins %" PRId64
                     " s after the run: until then the documents' rates hold",
                     reader->file, (reader->row.at_us - load->from_us) / US_PER_S);
            reader->has_row = rc > 0;
            if (rc == 0)
                rc = take_end(load, reader, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (reader->row.at_us >= until_us)
            break;
        int rc = take_row(load, reader, err);
        if (rc < 0)
            return rc;
        reader->has_row = false;
    }
    int slots = reader->regions ? slot_count(load) : reader->named ? 1 + load->part_count : 1;
    for (int i = 0; i < slots; i++)
        close_step(&reader->slots[i], at_us, length_us);
    return 0;
}

/* What its end says of the run, by what its load says of gaps. */
static int take_end(struct load *load, struct reader_of *reader, struct error *err)
{
    const struct trace_counts *counts = trace_counts(reader->trace);
    enum trace_gap gap = reader->how->options.gap;
    int64_t short_us = load->until_us - counts->last_us;
    char at[WALL_TEXT_BYTES];
    reader->ended = true;
    if (!reader->told)
        return error_set(err, ERR_INVALID, 0,
                         "trace %s (%s) tells of no calls to what is simulated: %" PRId64
                         " rows, %" PRId64 " left out by map, from and to; berth trace check %s "
                         "says what is in it",
                         reader->file, trace_format(reader->trace), counts->rows, counts->left_out,
                         reader->file);
    if (counts->last_us < load->from_us)
        return error_set(err, ERR_INVALID, 0,
                         "trace %s ends at %.19s, before the run begins; align: true lays its "
                         "first row at the run's beginning, from: an instant of it",
                         reader->file, wall_format((struct wall){counts->last_us}, at));
    note_gaps(load, reader);
    if (short_us <= load->step_us || short_us <= counts->apart_us)
        return 0;
    if (gap == TRACE_GAP_ERROR)
        return error_set(
            err, ERR_INVALID, 0,
            "trace %s ends at %.19s, %" PRId64 " h before the run does, and gap: error allows none",
            reader->file, wall_format((struct wall){counts->last_us}, at), short_us / US_PER_HOUR);
    note(load, "trace %s ends %" PRId64 " h before the run does: %s", reader->file,
         short_us / US_PER_HOUR,
         gap == TRACE_GAP_HOLD ? "its last rates hold" : "nobody calls from then on");
    if (gap == TRACE_GAP_ZERO) {
        reader->row = (struct trace_row){
            .at_us = counts->last_us + reader->gap_us, .kind = TRACE_QUIET, .series = -1};
        reader->has_row = true;
    }
    return 0;
}

static int take_row(struct load *load, struct reader_of *reader, struct error *err)
{
    const struct trace_row *row = &reader->row;
    int slot = OWN;
    if (row->kind == TRACE_QUIET)
        take_quiet(load, reader);
    if (row->kind != TRACE_CALLS)
        return 0;
    int rc = slot_of_row(load, reader, &slot, err);
    if (rc < 0)
        return rc;
    reader->told = true;
    tell(&reader->slots[slot], row->at_us, row->value, reader->step_us);
    return 0;
}

static void take_quiet(struct load *load, struct reader_of *reader)
{
    for (int i = 0; i < slot_count(load); i++)
        if (reader->slots[i].mhz >= 0)
            tell(&reader->slots[i], reader->row.at_us, 0, reader->step_us);
}

/* ---- names ---- */

static int slot_of_row(struct load *load, struct reader_of *reader, int *ret_slot,
                       struct error *err)
{
    const struct trace_row *row = &reader->row;
    if (row->series >= reader->slot_of_room) {
        int room = row->series * 2 + 64;
        int *slot_of = realloc(reader->slot_of, (size_t)room * sizeof(*slot_of));
        if (slot_of == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", reader->file);
        for (int i = reader->slot_of_room; i < room; i++)
            slot_of[i] = UNKNOWN;
        reader->slot_of = slot_of;
        reader->slot_of_room = room;
    }
    int *slot = &reader->slot_of[row->series];
    if (*slot == UNKNOWN) {
        int found = OWN;
        int rc = strchr(row->workload, '@') != NULL ? find_users(load, reader, &found, err)
                                                    : find_slot(load, reader, &found, err);
        struct traced *traced = &reader->slots[found];
        reader->named |= found != OWN;
        reader->regions |= rc == 0 && traced->segment >= 0;
        if (rc == 0 && traced->line == 0) {
            traced->line = row->line;
            traced->name =
                row->workload[0] != 0 ? row->workload : load->sources[reader->source].what->of;
            rc = check_slot(load, reader, traced, err);
        }
        if (rc < 0)
            return rc;
        *slot = found;
    }
    *ret_slot = *slot;
    return 0;
}

/* Of a row that names a workload, or what its load is of. */
static int find_slot(const struct load *load, const struct reader_of *reader, int *ret_slot,
                     struct error *err)
{
    const struct trace_row *row = &reader->row;
    const struct source *source = &load->sources[reader->source];
    *ret_slot = OWN;
    if (row->workload[0] != 0) {
        int app;
        int workload;
        bool known = scenario_target(load->apps, load->app_count, row->workload, source->app, &app,
                                     &workload);
        bool whole = known && workload < 0 && app == source->app;
        if (!known || (workload < 0 && !whole))
            return no_workload(reader, row->workload, err);
        *ret_slot = whole ? OWN : 1 + load->first[app] + workload;
    }
    if (*ret_slot == OWN && source->base_mhz == 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s:%" PRId64
                         ": the row names no workload, and its load is of %s, whose document "
                         "says no rate; name a workload in the row or in the load",
                         reader->file, row->line, source->what->of);
    return 0;
}

/* Of a row of one region's users: WORKLOAD@USERS, APP@USERS, or @USERS of what the load is of. */
static int find_users(const struct load *load, const struct reader_of *reader, int *ret_slot,
                      struct error *err)
{
    const struct trace_row *row = &reader->row;
    const struct source *source = &load->sources[reader->source];
    char name[LIMIT_REF_BYTES];
    int app = source->app;
    int workload = source->workload;
    int segment = 0;
    str_format(name, sizeof(name), "%s", row->workload);
    char *region = strrchr(name, '@');
    *region++ = 0;
    if (name[0] != 0 && !find_workload(load, source->app, name, region, &app, &workload))
        return no_workload(reader, name, err);
    if (app < 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s:%" PRId64 ": \"%s\" are users of no app: the load is of %s; write "
                         "APP/WORKLOAD as the workload, or APP for all that they call",
                         reader->file, row->line, row->workload, source->what->of);
    const struct app *what = &load->apps[app];
    while (segment < what->segment_count && !str_equal(what->segments[segment].name, region))
        segment++;
    if (segment == what->segment_count)
        return no_users(load, reader, app, region, err);
    int part = workload < 0 ? -1 : load->first[app] + workload;
    int found = -1;
    for (int i = load->first_users[app]; i < load->first_users[app + 1] && found < 0; i++)
        if (load->users[i].segment == segment && (part < 0 || load->users[i].part == part))
            found = i;
    if (found < 0)
        return error_set(err, ERR_INVALID, 0,
                         "%s:%" PRId64 ": \"%s\": the app %s/%s has no link from its users %s to "
                         "%s; add one to its document, or name a workload that they call",
                         reader->file, row->line, row->workload, what->namespace_, what->name,
                         region, workload < 0 ? "any workload" : what->workloads[workload].name);
    *ret_slot = 1 + load->part_count +
                (workload < 0 ? load->users_count + load->first_segment[app] + segment : found);
    return 0;
}

/* A divided workload's name means the part that those users call. */
static bool find_workload(const struct load *load, int within, const char *name, const char *region,
                          int *ret_app, int *ret_workload)
{
    char part[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
    if (scenario_target(load->apps, load->app_count, name, within, ret_app, ret_workload))
        return true;
    str_format(part, sizeof(part), "%s--%s", name, region);
    return scenario_target(load->apps, load->app_count, part, within, ret_app, ret_workload);
}

static int no_workload(const struct reader_of *reader, const char *name, struct error *err)
{
    return error_set(err, ERR_INVALID, 0,
                     "%s:%" PRId64 ": there is no workload \"%s\"; write APP/WORKLOAD as in the "
                     "apps' documents, or name it in the load's map",
                     reader->file, reader->row.line, name);
}

static int no_users(const struct load *load, const struct reader_of *reader, int app,
                    const char *region, struct error *err)
{
    const struct app *what = &load->apps[app];
    char list[LIMIT_TEXT_BYTES] = "";
    for (int i = 0; i < what->segment_count; i++) {
        size_t used = strlen(list);
        str_format(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
                   what->segments[i].name);
    }
    return error_set(err, ERR_INVALID, 0,
                     "%s:%" PRId64 ": region \"%s\" of \"%s\": the app %s/%s has the users %.200s; "
                     "write one of them, or name it in the load's map: {\"%s\": WORKLOAD@USERS}",
                     reader->file, reader->row.line, region, reader->row.workload, what->namespace_,
                     what->name, list[0] == 0 ? "(none)" : list, reader->row.workload);
}

/* What one trace tells twice, of all users and of some, could be meant in two ways. */
static int check_slot(const struct load *load, const struct reader_of *reader,
                      const struct traced *slot, struct error *err)
{
    if (!reader->regions)
        return 0;
    for (int i = 0; i < slot_count(load); i++) {
        const struct traced *other = &reader->slots[i];
        if (other == slot || other->line == 0)
            continue;
        if (overlap(load, slot, other) || overlap(load, other, slot))
            return error_set(
                err, ERR_INVALID, 0,
                "%s:%" PRId64 ": \"%s\" and (line %" PRId64 ") \"%s\" tell of the same "
                "calls; name the region in all rows of a workload or in none, or leave "
                "one out by the load's map",
                reader->file, slot->line, slot->name, other->line, other->name);
    }
    return 0;
}

static bool overlap(const struct load *load, const struct traced *users, const struct traced *other)
{
    if (users->segment < 0 || users->app != other->app)
        return false;
    if (other->segment >= 0)
        return other->segment == users->segment && (users->part < 0) != (other->part < 0);
    bool meets = other->part < 0 || users->part == other->part;
    for (int i = load->first_users[users->app]; i < load->first_users[users->app + 1]; i++)
        meets |= users->part < 0 && load->users[i].segment == users->segment &&
                 load->users[i].part == other->part;
    return meets;
}

/* ---- rates ---- */

static void tell(struct traced *traced, int64_t at_us, int64_t mhz, int64_t step_us)
{
    if (traced->mhz < 0)
        traced->since_us = step_us; /* the first row holds for all of its step */
    else if (at_us > traced->since_us)
        traced->area += (__int128)traced->mhz * (at_us - traced->since_us);
    if (traced->mhz >= 0 && at_us > traced->since_us)
        traced->since_us = at_us;
    traced->mhz = mhz;
}

/* The mean of the step, and the next one begins. */
static void close_step(struct traced *traced, int64_t at_us, int64_t length_us)
{
    int64_t until_us = at_us + length_us;
    if (traced->mhz < 0)
        return;
    traced->area += (__int128)traced->mhz * (until_us - traced->since_us);
    traced->mean_mhz = (int64_t)(traced->area / length_us);
    traced->area = 0;
    traced->since_us = until_us;
}

static void note_gaps(struct load *load, const struct reader_of *reader)
{
    const struct trace_counts *counts = trace_counts(reader->trace);
    char at[WALL_TEXT_BYTES];
    char length[UNITS_TEXT_BYTES];
    if (counts->gaps > 0)
        note(load,
             "trace %s has %" PRId64 " gaps of more than %s, the longest of %" PRId64
             " h after %.19s: %s",
             reader->file, counts->gaps, units_format_duration(reader->gap_us, length),
             counts->longest_gap_us / US_PER_HOUR,
             wall_format((struct wall){counts->gap_at_us}, at),
             reader->how->options.gap == TRACE_GAP_ZERO ? "nobody calls in them"
                                                        : "the rates before a gap hold through it");
    if (counts->left_out > 0)
        note(load, "trace %s: %" PRId64 " of %" PRId64 " rows are left out by map, from and to",
             reader->file, counts->left_out, counts->rows);
    if (counts->unended)
        note(load,
             "trace %s: a last line has no line end; if the file was cut there, its value may be "
             "short",
             reader->file);
    if (counts->empty > 0)
        note(load, "trace %s: %" PRId64 " cells have no value: the one before holds", reader->file,
             counts->empty);
}

static void note(struct load *load, const char *format, ...)
{
    char text[2 * LIMIT_TEXT_BYTES];
    va_list arguments;
    if (load->note_count++ >= LOAD_NOTES_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text) - 2, format, arguments);
    va_end(arguments);
    size_t used = strlen(load->notes);
    str_format(load->notes + used, sizeof(load->notes) - used, "%s%s", used > 0 ? "\n" : "", text);
}
