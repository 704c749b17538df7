#include "scheduler/cli/replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "metrics/rollup.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/cli/find_dir.h"
#include "scheduler/cli/replay_measured.h"
#include "scheduler/service/past.h"
#include "simulator/world/scenario.h"

#define MINUTE_US   (60 * US_PER_S)
#define DAY_US      (24 * US_PER_HOUR)
#define LATEST_US   (INT64_C(230) * 366 * DAY_US)
#define PAST_BYTES  ((size_t)1 << 30)
#define TEXT_BYTES  ((size_t)16 << 20)
#define STAMP_BYTES 32

/* What there is, and the part of it that is replayed. */
struct span {
    int64_t first_us; /* of what was measured */
    int64_t last_us;
    int64_t from_us;
    int64_t to_us;
    int64_t step_us;
};

static int find_state(const char *given, char out[LIMIT_PATH_BYTES], struct error *err);
static int find_span(const char *state, int64_t length_us, struct span *span, struct error *err);
static bool visit_span(void *context, const struct rollup_row *row);
static int make_folder(const struct replay_request *request, struct replay *replay,
                       struct error *err);
static int write_all(const struct replay_request *request, const char *state,
                     const struct span *span, const struct past *past, struct replay *replay,
                     struct error *err);
static int write_scenario(const struct replay_request *request, const char *state,
                          const struct span *span, const struct past *past, struct replay *replay,
                          struct strbuf *out, struct error *err);
static void write_nodes(const struct past *past, struct strbuf *out);
static void write_load(const char *state, const struct past *past, struct strbuf *out);
static int write_events(const struct replay_request *request, const char *state,
                        const struct span *span, const struct past *past, struct replay *replay,
                        struct strbuf *out, struct error *err);
static void quote(struct strbuf *out, const char *text);
static int write_file(const struct replay *replay, const char *name, const struct strbuf *text,
                      struct error *err);
static void app_file(const struct app *app, char out[LIMIT_PATH_BYTES]);
static void tell(const struct span *span, const struct past *past, struct replay *replay);
static const char *stamp(int64_t at_us, char out[STAMP_BYTES]);

int replay_write(const struct replay_request *request, struct replay *ret_replay, struct error *err)
{
    char state[LIMIT_PATH_BYTES];
    char journal[LIMIT_PATH_BYTES];
    struct span span = {0};
    struct past past;
    struct arena arena;
    struct replay replay = {.kept = request->keep != NULL};
    int rc = find_state(request->folder, state, err);
    if (rc == 0)
        rc = folder_path(state, "journal.db", journal, err);
    if (rc == 0)
        rc = find_span(state, request->last_us, &span, err);
    if (rc < 0)
        return rc;
    arena_init(&arena, PAST_BYTES);
    rc = past_read(journal, span.from_us, span.to_us, &arena, &past, err);
    if (rc == 0 && past.app_count == 0)
        rc = error_set(err, ERR_NOT_FOUND, 0, "no app was there at %s: there is nothing to replay",
                       stamp(span.to_us, (char[STAMP_BYTES]){0}));
    if (rc == 0)
        rc = make_folder(request, &replay, err);
    if (rc == 0) {
        rc = write_all(request, state, &span, &past, &replay, err);
        if (rc < 0)
            replay_remove(&replay);
    }
    arena_done(&arena);
    if (rc == 0)
        *ret_replay = replay;
    return rc;
}

void replay_remove(struct replay *replay)
{
    scratch_close(&replay->scratch);
}

/* ---- what there is ---- */

static int find_state(const char *given, char out[LIMIT_PATH_BYTES], struct error *err)
{
    static const char *const places[] = {"state", ".berth/state", "."};
    char journal[LIMIT_PATH_BYTES];
    for (int i = 0; i < 3; i++) {
        char *real = NULL;
        int rc = folder_path(given, places[i], out, err);
        if (rc == 0)
            rc = folder_path(out, "journal.db", journal, err);
        if (rc < 0)
            return rc;
        if (access(journal, F_OK) == 0 && (real = realpath(out, NULL)) != NULL) {
            rc = str_copy(out, LIMIT_PATH_BYTES, real);
            free(real);
            return rc == 0 ? 0 : error_set(err, ERR_LIMIT, 0, "the path %.80s... is too long", out);
        }
    }
    return error_set(err, ERR_NOT_FOUND, 0,
                     "%s holds no journal.db: name the folder of `berth up`, or the state folder "
                     "of a scheduler",
                     given);
}

/* The last `length_us` of what was measured, in whole steps of the clock. */
static int find_span(const char *state, int64_t length_us, struct span *span, struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    struct rollup *rollup = NULL;
    struct rollup_options options = {.read_only = true};
    static const struct rollup_filter requests = {.kind = SAMPLE_REQUESTS};
    span->first_us = INT64_MAX;
    span->last_us = INT64_MIN;
    int rc = folder_path(state, "metrics.db", path, err);
    if (rc == 0)
        rc = rollup_open(path, &options, &rollup, err);
    if (rc < 0)
        return rc;
    rc = rollup_query(rollup, &requests, 0, LATEST_US, ROLLUP_HOURS, visit_span, span, err);
    bool any = rc == 0 && span->first_us != INT64_MAX;
    int64_t hour_us = span->last_us;
    if (any)
        rc = rollup_query(rollup, &requests, hour_us, hour_us + US_PER_HOUR, ROLLUP_MINUTES,
                          visit_span, span, err);
    struct span first = {.first_us = INT64_MAX};
    if (any && rc == 0) /* its first minute, where minutes are still kept */
        rc = rollup_query(rollup, &requests, span->first_us, span->first_us + US_PER_HOUR,
                          ROLLUP_MINUTES, visit_span, &first, err);
    if (first.first_us != INT64_MAX)
        span->first_us = first.first_us;
    rollup_close(rollup);
    if (rc < 0)
        return rc;
    if (!any)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "%s has no requests of any workload: nothing was measured that could be "
                         "replayed",
                         path);
    length_us = length_us > 0 ? length_us : 7 * DAY_US;
    int64_t end_us = span->last_us + MINUTE_US;
    int64_t span_us = end_us - span->first_us < length_us ? end_us - span->first_us : length_us;
    span->step_us = span_us <= 6 * US_PER_HOUR ? MINUTE_US
                    : span_us <= 2 * DAY_US    ? 10 * MINUTE_US
                    : span_us <= 14 * DAY_US   ? 30 * MINUTE_US
                                               : US_PER_HOUR;
    span->to_us = end_us - end_us % span->step_us;
    span->from_us = end_us - span_us;
    span->from_us -= span->from_us % span->step_us;
    if (span->to_us <= span->from_us)
        span->to_us = span->from_us + span->step_us;
    return 0;
}

static bool visit_span(void *context, const struct rollup_row *row)
{
    struct span *span = context;
    span->first_us = row->from_us < span->first_us ? row->from_us : span->first_us;
    span->last_us = row->from_us > span->last_us ? row->from_us : span->last_us;
    return true;
}

/* ---- files ---- */

static int make_folder(const struct replay_request *request, struct replay *replay,
                       struct error *err)
{
    if (replay->kept) {
        if (str_copy(replay->folder, sizeof(replay->folder), request->keep) < 0)
            return error_set(err, ERR_LIMIT, 0, "--keep: the path is too long");
        if (mkdir(replay->folder, 0777) < 0)
            return error_set(err, errno == EEXIST ? ERR_EXISTS : ERR_IO, errno,
                             "--keep %s: the scenario is written to a new folder", request->keep);
    } else {
        int rc = scratch_open("replay", &replay->scratch, err);
        if (rc < 0)
            return rc;
        memcpy(replay->folder, replay->scratch.folder, sizeof(replay->folder));
    }
    return folder_path(replay->folder, "scenario.yaml", replay->scenario, err);
}

static int write_all(const struct replay_request *request, const char *state,
                     const struct span *span, const struct past *past, struct replay *replay,
                     struct error *err)
{
    struct strbuf text;
    strbuf_init(&text, TEXT_BYTES);
    world_write(past->world, &text);
    int rc = write_file(replay, "world.yaml", &text, err);
    for (int i = 0; i < past->app_count && rc == 0; i++) {
        char name[LIMIT_PATH_BYTES];
        app_file(past->apps[i].app, name);
        strbuf_reset(&text);
        app_write(past->apps[i].app, &text);
        rc = write_file(replay, name, &text, err);
    }
    if (rc == 0) {
        strbuf_reset(&text);
        rc = write_scenario(request, state, span, past, replay, &text, err);
    }
    if (rc == 0) {
        rc = write_file(replay, "scenario.yaml", &text, err);
    }
    strbuf_done(&text);
    if (rc == 0)
        tell(span, past, replay);
    return rc;
}

static int write_scenario(const struct replay_request *request, const char *state,
                          const struct span *span, const struct past *past, struct replay *replay,
                          struct strbuf *out, struct error *err)
{
    char from[STAMP_BYTES];
    strbuf_printf(out, "# What the scheduler recorded, to be run again; written by berth simulate "
                       "--replay.\nscenario: replay\nworld: world.yaml\napps:\n");
    for (int i = 0; i < past->app_count; i++) {
        char name[LIMIT_PATH_BYTES];
        app_file(past->apps[i].app, name);
        strbuf_printf(out, "  - %s\n", name);
    }
    strbuf_printf(out, "from: \"%s\"\nfor: %" PRId64 "s\nstep: %" PRId64 "s\n",
                  stamp(span->from_us, from), (span->to_us - span->from_us) / US_PER_S,
                  span->step_us / US_PER_S);
    write_nodes(past, out);
    write_load(state, past, out);
    strbuf_puts(out, "experiment:\n  policies: [solver, stay, optimum]\n");
    return write_events(request, state, span, past, replay, out, err);
}

static void write_nodes(const struct past *past, struct strbuf *out)
{
    bool any = false;
    for (int i = 0; i < past->node_count; i++) {
        const struct past_node *node = &past->nodes[i];
        if (world_site(past->world, node->site) < 0 || node->mcpu <= 0 || node->memory_bytes <= 0)
            continue;
        strbuf_puts(out, any ? "" : "nodes:\n");
        any = true;
        strbuf_printf(out, "  - {site: %s, cpu: %" PRId64 "m, memory: %" PRId64 "}\n", node->site,
                      node->mcpu, node->memory_bytes);
    }
}

/* Workloads that are no more, or were not yet there, are left out by the map. */
static void write_load(const char *state, const struct past *past, struct strbuf *out)
{
    strbuf_puts(out, "load:\n  - of: \"*\"\n    shape: trace\n    format: rollup\n    file: ");
    char path[LIMIT_PATH_BYTES + 16];
    str_format(path, sizeof(path), "%s/metrics.db", state);
    quote(out, path);
    strbuf_puts(out, "\n    map:\n");
    for (int i = 0; i < past->app_count; i++) {
        const struct app *app = past->apps[i].app;
        for (int k = 0; k < app->workload_count; k++)
            strbuf_printf(out, "      %s/%s/%s: %s/%s/%s\n", app->namespace_, app->name,
                          app->workloads[k].name, app->namespace_, app->name,
                          app->workloads[k].name);
    }
}

/* What was measured, what shall be otherwise (and counts after it), and tags as people changed
 * them.
 */
static int write_events(const struct replay_request *request, const char *state,
                        const struct span *span, const struct past *past, struct replay *replay,
                        struct strbuf *out, struct error *err)
{
    int sets = request->sets == NULL ? 0 : request->sets->count;
    int room = SCENARIO_EVENTS - sets - past->retag_count;
    char path[LIMIT_PATH_BYTES];
    struct replay_time time = {span->from_us, span->to_us};
    struct strbuf measured;
    strbuf_init(&measured, TEXT_BYTES);
    int rc = folder_path(state, "metrics.db", path, err);
    if (rc == 0)
        rc = replay_measured(path, past, &time, request->sets, room > 0 ? room : 0, &measured,
                             &replay->left, err);
    if (rc == 0)
        rc = strbuf_error(&measured, err);
    if (rc == 0 && sets + past->retag_count + (int)measured.bytes > 0)
        strbuf_printf(out, "events:\n%s", strbuf_text(&measured));
    strbuf_done(&measured);
    for (int i = 0; i < sets && rc == 0; i++) {
        strbuf_puts(out, "  - {at: 0s, set: ");
        quote(out, request->sets->items[i]);
        strbuf_puts(out, "}\n");
    }
    for (int i = 0; i < past->retag_count && rc == 0; i++) {
        const struct past_retag *retag = &past->retags[i];
        char set[5 * LIMIT_NAME_BYTES];
        int64_t at_us = retag->at_us > span->from_us ? retag->at_us - span->from_us : 0;
        str_format(set, sizeof(set), "retag.%s/%s/%s=%s:%s", retag->namespace_, retag->app,
                   retag->workload, retag->key, retag->value);
        strbuf_printf(out, "  - {at: %" PRId64 "s, set: ", at_us / US_PER_S);
        quote(out, set);
        strbuf_puts(out, "}\n");
    }
    return rc;
}

static void quote(struct strbuf *out, const char *text)
{
    strbuf_puts(out, "'");
    for (; *text != 0; text++)
        strbuf_append(out, *text == '\'' ? "''" : text, *text == '\'' ? 2 : 1);
    strbuf_puts(out, "'");
}

static int write_file(const struct replay *replay, const char *name, const struct strbuf *text,
                      struct error *err)
{
    char path[LIMIT_PATH_BYTES];
    int rc = strbuf_error(text, err);
    if (rc == 0)
        rc = folder_path(replay->folder, name, path, err);
    if (rc < 0)
        return rc;
    FILE *file = fopen(path, "we");
    bool failed = file == NULL || fwrite(text->text, 1, text->bytes, file) != text->bytes;
    if (file != NULL)
        failed |= fclose(file) != 0;
    return failed ? error_set(err, ERR_IO, errno, "writing %s", path) : 0;
}

static void app_file(const struct app *app, char out[LIMIT_PATH_BYTES])
{
    str_format(out, LIMIT_PATH_BYTES, "%s--%s.yaml", app->namespace_, app->name);
}

/* ---- what is said of it ---- */

static void tell(const struct span *span, const struct past *past, struct replay *replay)
{
    char from[STAMP_BYTES];
    char to[STAMP_BYTES];
    struct strbuf out;
    int changed = 0;
    for (int i = 0; i < past->app_count; i++)
        changed += past->apps[i].changes;
    strbuf_init(&out, sizeof(replay->told));
    strbuf_printf(&out, "replay of %s to %s: %d apps, %d nodes; %" PRId64 " moves were made then\n",
                  stamp(span->from_us, from), stamp(span->to_us, to), past->app_count,
                  past->node_count, past->moves);
    if (past->worlds + changed > 0)
        strbuf_printf(&out,
                      "%d worlds and %d apps were applied within it: their last documents hold for "
                      "all of it\n",
                      past->worlds, changed);
    if (replay->left > 0)
        strbuf_printf(
            &out,
            "hit ratios and bytes of the %d workloads that were called least are those of "
            "the documents\n",
            replay->left);
    if (replay->kept)
        strbuf_printf(&out, "the scenario is %s\n", replay->scenario);
    str_format(replay->told, sizeof(replay->told), "%s",
               strbuf_error(&out, NULL) < 0 ? "" : strbuf_text(&out));
    strbuf_done(&out);
}

static const char *stamp(int64_t at_us, char out[STAMP_BYTES])
{
    char text[WALL_TEXT_BYTES];
    str_format(out, STAMP_BYTES, "%.19sZ", wall_format((struct wall){at_us}, text));
    return out;
}
