#include "simulator/world/load.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "model/app.h"
#include "model/cost.h"
#include "simulator/traces/trace.h"
#include "simulator/world/chance.h"

#define NOTES_MAX   16
#define NOTES_BYTES (NOTES_MAX * 2 * LIMIT_TEXT_BYTES)
#define CALLS_MAX   (INT64_MAX / (4 * PPM)) /* so that a scaled rate stays a number */
#define YEAR_US     (INT64_C(365) * 24 * US_PER_HOUR)
#define WEEK_US     (INT64_C(7) * 24 * US_PER_HOUR)
#define GAP_STEPS   24

/* What one load of the scenario means, and where its chances stand. */
struct source {
    const struct scenario_load *what;
    int app;           /* -1: all */
    int workload;      /* -1: all that users call */
    int64_t base_mhz;  /* what the documents say; of an app, what its users call */
    int64_t ratio_ppm; /* of the present step */
    int64_t burst_from_us;
    int64_t burst_index;
    int reader; /* of load.readers; -1: no trace */
};

/* The rate that a trace tells of one part, or of the load's own. */
struct traced {
    int64_t mhz; /* -1: not told yet */
    int64_t since_us;
    __int128 area;    /* of the step so far, mhz x us */
    int64_t mean_mhz; /* of the last whole step */
};

/* One trace, whoever uses it. */
struct reader_of {
    const char *file; /* the first, for messages */
    const struct scenario_trace *how;
    const char **paths;
    struct trace *trace;
    int source; /* whose rows without a workload are */
    bool named; /* rows name workloads */
    bool told;  /* it had a row of calls */
    bool ended;
    bool has_row; /* `row` is ahead of the time */
    struct trace_row row;
    struct traced own;
    struct traced *parts; /* [part] */
    int *part_of;         /* [series]: its part, OWN, or UNKNOWN yet */
    int part_of_room;
    int64_t gap_us;  /* what is a gap, on the run's clock */
    int64_t step_us; /* the present step's beginning */
};

#define OWN     (-1)
#define UNKNOWN (-2)

struct load {
    struct arena arena;
    const struct app *apps;
    int app_count;
    int part_count;
    int *first;          /* [app]: its first part */
    int64_t *prior_mhz;  /* [part] */
    int64_t *factor_ppm; /* [part] of the step */
    int64_t *calls_mhz;  /* [part] */
    int64_t *traced_mhz; /* [part] of the step; -1: no trace tells it */
    int *own;            /* [part]: its source, -1 */
    int *of_app;         /* [app]: its users' source, -1 */
    struct source sources[SCENARIO_LOADS];
    int source_count;
    struct reader_of *readers;
    int reader_count;
    uint64_t seed;
    int64_t from_us;
    int64_t until_us;
    int64_t step_us;
    uint64_t steps;
    char notes[NOTES_BYTES];
    int note_count;
};

static int begin(struct load *load, const struct scenario *scenario,
                 const struct scenario_cell *cell, const struct world *world, struct error *err);
static int read_priors(struct load *load, const struct world *world, struct error *err);
static int open_reader(struct load *load, const struct scenario *scenario,
                       const struct scenario_cell *cell, int source, struct error *err);
static bool same_trace(const struct reader_of *reader, const struct scenario_trace *how,
                       char (*files)[LIMIT_PATH_BYTES], int count);
static int open_trace(struct load *load, const struct scenario *scenario, struct reader_of *reader,
                      char (*files)[LIMIT_PATH_BYTES], int count, struct error *err);
static int64_t users_mhz(const struct app *app);
static int64_t ratio_of(struct load *load, struct source *source, int index, int64_t at_us,
                        int64_t length_us);
static int64_t shape_ppm(const struct scenario_load *what, int64_t at_us, int64_t length_us);
static int64_t burst_share_ppm(struct load *load, struct source *source, int index, int64_t at_us,
                               int64_t length_us);
static int read_rows(struct load *load, struct reader_of *reader, int64_t at_us, int64_t length_us,
                     struct error *err);
static int take_end(struct load *load, struct reader_of *reader, struct error *err);
static int take_row(struct load *load, struct reader_of *reader, struct error *err);
static int take_quiet(struct load *load, struct reader_of *reader);
static int part_of_row(struct load *load, struct reader_of *reader, int *ret_part,
                       struct error *err);
static void tell(struct traced *traced, int64_t at_us, int64_t mhz, int64_t step_us);
static void close_step(struct traced *traced, int64_t at_us, int64_t length_us);
static void spread_app(struct load *load, int app);
static void note_gaps(struct load *load, const struct reader_of *reader);
static void note(struct load *load, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int64_t scaled(int64_t value, int64_t ppm);

int load_open(const struct scenario *scenario, const struct scenario_cell *cell,
              const struct world *world, const struct app *apps, int app_count,
              struct load **ret_load, struct error *err)
{
    struct load *load = calloc(1, sizeof(*load));
    if (load == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the load");
    arena_init(&load->arena, (size_t)1 << 30);
    load->apps = apps;
    load->app_count = app_count;
    load->seed = (uint64_t)cell->seed;
    load->from_us = scenario->from_us;
    load->until_us = scenario->from_us + scenario->for_us;
    load->step_us = scenario->step_us;
    int rc = begin(load, scenario, cell, world, err);
    if (rc < 0) {
        load_close(load);
        return rc;
    }
    *ret_load = load;
    return 0;
}

void load_close(struct load *load)
{
    if (load == NULL)
        return;
    for (int i = 0; i < load->reader_count; i++) {
        trace_close(load->readers[i].trace);
        free(load->readers[i].part_of);
    }
    arena_done(&load->arena);
    free(load);
}

static int begin(struct load *load, const struct scenario *scenario,
                 const struct scenario_cell *cell, const struct world *world, struct error *err)
{
    for (int i = 0; i < load->app_count; i++)
        load->part_count += load->apps[i].workload_count;
    size_t parts = (size_t)load->part_count + 1;
    load->first = arena_array(&load->arena, (size_t)load->app_count + 1, sizeof(int));
    load->of_app = arena_array(&load->arena, (size_t)load->app_count + 1, sizeof(int));
    load->prior_mhz = arena_array(&load->arena, parts, sizeof(int64_t));
    load->factor_ppm = arena_array(&load->arena, parts, sizeof(int64_t));
    load->calls_mhz = arena_array(&load->arena, parts, sizeof(int64_t));
    load->traced_mhz = arena_array(&load->arena, parts, sizeof(int64_t));
    load->own = arena_array(&load->arena, parts, sizeof(int));
    load->readers =
        arena_array(&load->arena, (size_t)scenario->load_count + 1, sizeof(*load->readers));
    if (load->first == NULL || load->of_app == NULL || load->prior_mhz == NULL ||
        load->factor_ppm == NULL || load->calls_mhz == NULL || load->traced_mhz == NULL ||
        load->own == NULL || load->readers == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the load of %d workloads",
                         load->part_count);
    for (int i = 0, part = 0; i < load->app_count; part += load->apps[i++].workload_count) {
        load->first[i] = part;
        load->of_app[i] = -1;
    }
    for (int i = 0; i < load->part_count; i++)
        load->own[i] = -1;
    int rc = read_priors(load, world, err);
    for (int i = 0; i < scenario->load_count && rc == 0; i++) {
        struct source *source = &load->sources[load->source_count++];
        *source = (struct source){.what = &scenario->loads[i], .reader = -1};
        if (!scenario_target(load->apps, load->app_count, scenario->loads[i].of, -1, &source->app,
                             &source->workload))
            return error_set(err, ERR_NOT_FOUND, 0, "load of %s: there is no such workload",
                             scenario->loads[i].of);
        source->burst_from_us = load->from_us;
        if (source->workload >= 0) {
            int part = load->first[source->app] + source->workload;
            load->own[part] = i;
            source->base_mhz = load->prior_mhz[part];
        } else {
            for (int app = 0; app < load->app_count; app++)
                if (source->app == app || (source->app < 0 && load->of_app[app] < 0))
                    load->of_app[app] = i;
            if (source->app >= 0)
                source->base_mhz = users_mhz(&load->apps[source->app]);
        }
        if (scenario->loads[i].trace != NULL)
            rc = open_reader(load, scenario, cell, i, err);
    }
    return rc;
}

static int read_priors(struct load *load, const struct world *world, struct error *err)
{
    struct cost_app *list = arena_array(&load->arena, (size_t)load->app_count + 1, sizeof(*list));
    if (list == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d apps", load->app_count);
    struct cost_input input = {.world = world, .apps = list, .app_count = load->app_count};
    for (int i = 0; i < load->app_count; i++) {
        const struct app *app = &load->apps[i];
        list[i].app = app;
        list[i].states =
            arena_array(&load->arena, (size_t)app->workload_count + 1, sizeof(*list[i].states));
        if (list[i].states == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d apps", load->app_count);
        for (int k = 0; k < app->workload_count; k++)
            list[i].states[k] = (struct workload_state){.now = {.site = -1, .lead = k}};
    }
    for (int i = 0; i < load->app_count; i++)
        for (int k = 0; k < load->apps[i].workload_count; k++) {
            bool measured;
            load->prior_mhz[load->first[i] + k] = cost_calls_mhz(&input, i, k, &measured);
        }
    return 0;
}

static int open_reader(struct load *load, const struct scenario *scenario,
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
    *reader =
        (struct reader_of){.source = source, .file = files[0], .how = how, .own = {.mhz = -1}};
    reader->parts = arena_array(&load->arena, (size_t)load->part_count + 1, sizeof(*reader->parts));
    if (reader->parts == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", files[0]);
    for (int i = 0; i < load->part_count; i++)
        reader->parts[i].mhz = -1;
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

static int64_t users_mhz(const struct app *app)
{
    int64_t sum = 0;
    for (int i = 0; i < app->link_count; i++)
        if (app->links[i].from_kind == LINK_SEGMENT)
            sum += app->links[i].calls_mhz;
    return sum;
}

const int64_t *load_calls(const struct load *load)
{
    return load->calls_mhz;
}

bool load_given(const struct load *load, int part)
{
    bool given = load->own[part] >= 0;
    for (int i = 0; i < load->reader_count && !given; i++)
        given = load->readers[i].named && load->readers[i].parts[part].mhz >= 0;
    return given;
}

int load_part_count(const struct load *load)
{
    return load->part_count;
}

const char *load_notes(const struct load *load)
{
    return load->notes;
}

/* ---- a step ---- */

int load_step(struct load *load, int64_t at_us, int64_t length_us, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < load->reader_count && rc == 0; i++)
        rc = read_rows(load, &load->readers[i], at_us, length_us, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < load->source_count; i++)
        load->sources[i].ratio_ppm = ratio_of(load, &load->sources[i], i, at_us, length_us);
    /* What a trace says of a workload itself is what it is called. */
    for (int part = 0; part < load->part_count; part++)
        load->traced_mhz[part] = -1;
    for (int i = 0; i < load->reader_count; i++)
        for (int part = 0; load->readers[i].named && part < load->part_count; part++) {
            struct traced *traced = &load->readers[i].parts[part];
            if (traced->mhz >= 0)
                load->traced_mhz[part] = scaled(
                    traced->mean_mhz, load->sources[load->readers[i].source].what->scale_ppm);
        }
    for (int i = 0; i < load->app_count; i++)
        spread_app(load, i);
    load->steps++;
    return 0;
}

/* What the load is of what the documents say, in the mean of the step. */
static int64_t ratio_of(struct load *load, struct source *source, int index, int64_t at_us,
                        int64_t length_us)
{
    const struct scenario_load *what = source->what;
    int64_t base = source->base_mhz;
    int64_t ratio = PPM;
    if (source->reader >= 0) {
        struct traced *own = &load->readers[source->reader].own;
        if (own->mhz < 0)
            return PPM; /* before its first row, or it names workloads */
        ratio = (int64_t)((__int128)own->mean_mhz * PPM / (base > 0 ? base : 1));
        return scaled(ratio, what->scale_ppm);
    }
    if (what->calls_mhz > 0 && base > 0)
        ratio = (int64_t)((__int128)what->calls_mhz * PPM / base);
    ratio = scaled(ratio, what->scale_ppm);
    if (what->shape == LOAD_DIURNAL)
        ratio = scaled(ratio, shape_ppm(what, at_us, length_us));
    if (what->shape == LOAD_BURSTS) {
        int64_t share = burst_share_ppm(load, source, index, at_us, length_us);
        ratio = scaled(ratio, PPM + scaled(what->burst_ppm - PPM, share));
    }
    if (what->growth_ppm > 0 && at_us > load->from_us)
        ratio = scaled(
            ratio, PPM + (int64_t)((__int128)what->growth_ppm * (at_us - load->from_us) / YEAR_US));
    if (what->noise_ppm > 0) {
        /* By the instant, so that runs with other steps of one seed are near each other too. */
        int64_t noise =
            PPM + scaled(chance_normal_ppm(load->seed, CHANCE_LOAD + 16 * (uint64_t)index,
                                           (uint64_t)at_us),
                         what->noise_ppm);
        ratio = scaled(ratio, noise < PPM / 100 ? PPM / 100 : noise);
    }
    return ratio;
}

/* By hours and days of the users' clock, in the mean of the step. */
static int64_t shape_ppm(const struct scenario_load *what, int64_t at_us, int64_t length_us)
{
    __int128 area = 0;
    for (int64_t us = 0; us < length_us;) {
        /* A week later is the same hour, and after 1970 wherever the users' clock is. */
        int64_t local_us = at_us + us + what->shift_us + WEEK_US;
        int64_t hour = local_us / US_PER_HOUR;
        int64_t left_us = (hour + 1) * US_PER_HOUR - local_us;
        left_us = left_us > length_us - us ? length_us - us : left_us;
        /* 1970 began on a Thursday. */
        int64_t ratio = scaled(what->hours_ppm[hour % 24], what->days_ppm[(hour / 24 + 3) % 7]);
        area += (__int128)ratio * left_us;
        us += left_us;
    }
    return (int64_t)(area / length_us);
}

/* How much of the step is within a burst. */
static int64_t burst_share_ppm(struct load *load, struct source *source, int index, int64_t at_us,
                               int64_t length_us)
{
    const struct scenario_load *what = source->what;
    int64_t until_us = at_us + length_us;
    int64_t within_us = 0;
    for (;;) {
        int64_t end_us = source->burst_from_us + what->burst_for_us;
        int64_t from_us = source->burst_from_us > at_us ? source->burst_from_us : at_us;
        int64_t to_us = end_us < until_us ? end_us : until_us;
        bool known = source->burst_index > 0;
        within_us += known && to_us > from_us ? to_us - from_us : 0;
        if (known && end_us > until_us)
            break; /* it goes on, or has not begun */
        double unit = ((double)chance_ppm(load->seed, CHANCE_BURST + 16 * (uint64_t)index,
                                          (uint64_t)source->burst_index) +
                       0.5) /
                      (double)PPM;
        source->burst_from_us = (known ? end_us : source->burst_from_us) +
                                (int64_t)(-log(unit) * (double)what->burst_every_us);
        source->burst_index++;
    }
    return (int64_t)((__int128)within_us * PPM / length_us);
}

/* From its users inwards: who has no load of its own is called as its callers are. */
static void spread_app(struct load *load, int app)
{
    const struct app *what = &load->apps[app];
    int64_t *factor = load->factor_ppm + load->first[app];
    const int64_t *traced = load->traced_mhz + load->first[app];
    const int64_t *prior = load->prior_mhz + load->first[app];
    int64_t users = load->of_app[app] < 0 ? PPM : load->sources[load->of_app[app]].ratio_ppm;
    for (int i = 0; i < what->workload_count; i++) {
        int own = load->own[load->first[app] + i];
        factor[i] = own < 0 ? users : load->sources[own].ratio_ppm;
        if (traced[i] >= 0 && prior[i] > 0) {
            __int128 ratio = (__int128)traced[i] * PPM / prior[i];
            factor[i] = ratio > CALLS_MAX ? CALLS_MAX : (int64_t)ratio;
        }
    }
    bool changed = true;
    for (int pass = 0; pass < what->workload_count && changed; pass++) {
        changed = false;
        for (int i = 0; i < what->workload_count; i++) {
            __int128 sum = 0;
            __int128 weights = 0;
            if (load->own[load->first[app] + i] >= 0 || traced[i] >= 0)
                continue;
            for (int k = 0; k < what->link_count; k++) {
                const struct link *link = &what->links[k];
                int64_t weight = link->calls_mhz > 0 ? link->calls_mhz : 1;
                if (link->to != i)
                    continue;
                sum += (__int128)weight *
                       (link->from_kind == LINK_SEGMENT ? users : factor[link->from]);
                weights += weight;
            }
            int64_t next = weights == 0 ? users : (int64_t)(sum / weights);
            changed |= next != factor[i];
            factor[i] = next;
        }
    }
    for (int i = 0; i < what->workload_count; i++)
        load->calls_mhz[load->first[app] + i] =
            traced[i] >= 0 ? traced[i] : scaled(prior[i], factor[i]);
}

/* ---- traces ---- */

/* All rows before the step's end. */
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
    close_step(&reader->own, at_us, length_us);
    for (int i = 0; i < load->part_count && reader->named; i++)
        close_step(&reader->parts[i], at_us, length_us);
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
    int part = OWN;
    if (row->kind == TRACE_QUIET)
        return take_quiet(load, reader);
    if (row->kind != TRACE_CALLS)
        return 0;
    int rc = part_of_row(load, reader, &part, err);
    if (rc < 0)
        return rc;
    reader->told = true;
    tell(part == OWN ? &reader->own : &reader->parts[part], row->at_us, row->value,
         reader->step_us);
    return 0;
}

static int take_quiet(struct load *load, struct reader_of *reader)
{
    for (int i = -1; i < load->part_count; i++) {
        struct traced *traced = i < 0 ? &reader->own : &reader->parts[i];
        if (traced->mhz >= 0)
            tell(traced, reader->row.at_us, 0, reader->step_us);
    }
    return 0;
}

static int part_of_row(struct load *load, struct reader_of *reader, int *ret_part,
                       struct error *err)
{
    const struct trace_row *row = &reader->row;
    const struct source *source = &load->sources[reader->source];
    if (row->series >= reader->part_of_room) {
        int room = row->series * 2 + 64;
        int *part_of = realloc(reader->part_of, (size_t)room * sizeof(*part_of));
        if (part_of == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for the trace %s", reader->file);
        for (int i = reader->part_of_room; i < room; i++)
            part_of[i] = UNKNOWN;
        reader->part_of = part_of;
        reader->part_of_room = room;
    }
    int *part = &reader->part_of[row->series];
    if (*part == UNKNOWN && row->workload[0] != 0) {
        int app;
        int workload;
        bool known = scenario_target(load->apps, load->app_count, row->workload, source->app, &app,
                                     &workload);
        bool whole = known && workload < 0 && app == source->app;
        if (!known || (workload < 0 && !whole))
            return error_set(err, ERR_INVALID, 0,
                             "%s:%" PRId64 ": there is no workload \"%s\"; write APP/WORKLOAD as "
                             "in the apps' documents, or name it in the load's map",
                             reader->file, row->line, row->workload);
        *part = whole ? OWN : load->first[app] + workload;
        reader->named |= !whole;
    }
    if (*part == UNKNOWN || *part == OWN) {
        if (source->base_mhz == 0)
            return error_set(err, ERR_INVALID, 0,
                             "%s:%" PRId64
                             ": the row names no workload, and its load is of %s, whose document "
                             "says no rate; name a workload in the row or in the load",
                             reader->file, row->line, source->what->of);
        *part = OWN;
    }
    *ret_part = *part;
    return 0;
}

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
    if (counts->empty > 0)
        note(load, "trace %s: %" PRId64 " cells have no value: the one before holds", reader->file,
             counts->empty);
}

static void note(struct load *load, const char *format, ...)
{
    char text[2 * LIMIT_TEXT_BYTES];
    va_list arguments;
    if (load->note_count++ >= NOTES_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text) - 2, format, arguments);
    va_end(arguments);
    size_t used = strlen(load->notes);
    str_format(load->notes + used, sizeof(load->notes) - used, "%s%s", used > 0 ? "\n" : "", text);
}

static int64_t scaled(int64_t value, int64_t ppm)
{
    __int128 product = (__int128)value * ppm / PPM;
    return product > CALLS_MAX ? CALLS_MAX : product < -CALLS_MAX ? -CALLS_MAX : (int64_t)product;
}
