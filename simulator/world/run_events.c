/* What happens to a run's world at instants, and what a forecast tells. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/override.h"
#include "model/world.h"
#include "simulator/world/run_internal.h"

#define HISTORY_HOURS 168
#define AHEAD_HOURS   24
#define SCALE_BASE    (1000 * PPM)

static int apply_sets(struct run *run, struct error *err);
static int written_input(struct run *run, struct arena *arena, struct cost_input *input,
                         struct error *err);
static int scale_calls(struct run *run, const struct override *list, int count,
                       struct cost_input input, struct arena *arena, struct error *err);
static int tell_app(struct run *run, const struct app *app, struct error *err);
static int no_memory(struct error *err);
static int tell_documents(struct run *run, const struct override *list, int count,
                          const struct cost_input *input, struct error *err);
static bool is_measured(enum override_kind kind);
static int collect_sets(const struct run *run, struct override *list, bool *closed, int *ret_count,
                        struct error *err);
static int close_places(struct run *run, const bool *closed, struct error *err);
static int switch_event(struct run *run, int index, bool on, struct error *err);

int64_t run_next_event_us(const struct run *run, int64_t now_us)
{
    int64_t next_us = INT64_MAX;
    for (int i = 0; i < run->scenario->event_count; i++) {
        const struct scenario_event *event = &run->scenario->events[i];
        int64_t at_us = run->from_us + event->at_us;
        int64_t end_us = event->for_us > 0 ? at_us + event->for_us : INT64_MAX;
        if (at_us > now_us && at_us < next_us)
            next_us = at_us;
        if (end_us > now_us && end_us < next_us)
            next_us = end_us;
    }
    return next_us;
}

/* Those that begin or end by now, in their order. */
int run_events(struct run *run, int64_t now_us, struct error *err)
{
    bool sets = false;
    int rc = 0;
    for (int i = 0; i < run->scenario->event_count && rc == 0; i++) {
        const struct scenario_event *event = &run->scenario->events[i];
        int64_t at_us = run->from_us + event->at_us;
        bool on = at_us <= now_us && (event->for_us == 0 || now_us < at_us + event->for_us);
        if (on == run->event_on[i])
            continue;
        run->event_on[i] = on;
        if (event->kind == EVENT_SET)
            sets = true;
        else
            rc = switch_event(run, i, on, err);
        if (rc < 0)
            rc = error_prefix(err, "%s:%d", run->scenario->file, event->line);
    }
    return rc == 0 && sets ? apply_sets(run, err) : rc;
}

/* What another event still holds down stays down. */
static int switch_event(struct run *run, int index, bool on, struct error *err)
{
    const struct scenario_event *event = &run->scenario->events[index];
    if (event->kind == EVENT_METRICS) {
        bool lost = str_equal(event->what, "lost");
        plant_lag(run->plant, !on ? 0 : lost ? -1 : event->lag_us);
        return 0;
    }
    int rc = plant_down(run->plant, event->what, on, err);
    for (int i = 0; i < run->scenario->event_count && rc == 0 && !on; i++)
        if (run->event_on[i] && (run->scenario->events[i].kind == EVENT_DOWN ||
                                 run->scenario->events[i].kind == EVENT_RECLAIM))
            rc = plant_down(run->plant, run->scenario->events[i].what, true, err);
    return rc;
}

/* The documents, with everything that is set now, in the place of those before. */
static int apply_sets(struct run *run, struct error *err)
{
    struct arena arena;
    struct cost_input input = run->truth.input;
    struct cost_input changed;
    arena_init(&arena, DOCUMENT_BYTES);
    struct override *list = arena_array(&arena, SCENARIO_EVENTS, sizeof(*list));
    bool *closed = arena_array(&arena, LIMIT_SITES, sizeof(*closed));
    int count = 0;
    int rc = list == NULL || closed == NULL ? no_memory(err)
                                            : collect_sets(run, list, closed, &count, err);
    if (rc == 0)
        rc = written_input(run, &arena, &input, err);
    if (rc == 0)
        rc = scale_calls(run, list, count, input, &arena, err);
    if (rc == 0)
        rc = override_apply(list, count, &input, &arena, &changed, err);
    if (rc < 0) {
        arena_done(&arena);
        return rc;
    }
    truth_documents(&run->truth, changed.world, changed.apps);
    arena_done(&run->set);
    run->set = arena;
    rc = tell_documents(run, list, count, &input, err);
    return rc < 0 ? rc : close_places(run, closed, err);
}

/* As people wrote them, and nothing measured. */
static int written_input(struct run *run, struct arena *arena, struct cost_input *input,
                         struct error *err)
{
    struct cost_app *apps = arena_array(arena, (size_t)run->app_count + 1, sizeof(*apps));
    if (apps == NULL)
        return no_memory(err);
    for (int i = 0; i < run->app_count; i++)
        apps[i] = (struct cost_app){&run->apps[i], run->truth.apps[i].states};
    input->world = &run->world;
    input->apps = apps;
    input->capacity = NULL;
    input->estimates = (struct estimates){NULL, 0};
    return 0;
}

/* The scheduler is told what people write into documents; what happens to calls, hits and bytes it
 * has to measure. */
static int tell_documents(struct run *run, const struct override *list, int count,
                          const struct cost_input *input, struct error *err)
{
    struct arena arena;
    struct cost_input told;
    arena_init(&arena, DOCUMENT_BYTES);
    struct override *written = arena_array(&arena, (size_t)count + 1, sizeof(*written));
    int written_count = 0;
    for (int i = 0; i < count && written != NULL; i++)
        if (!is_measured(list[i].kind))
            written[written_count++] = list[i];
    int rc = written == NULL ? no_memory(err)
                             : override_apply(written, written_count, input, &arena, &told, err);
    bool other = rc == 0 && world_hash(told.world) != run->world_hash;
    if (other) {
        rc = plant_world(run->plant, told.world, err);
        run->world_hash = world_hash(told.world);
    }
    for (int i = 0; i < run->app_count && rc == 0; i++)
        rc = tell_app(run, told.apps[i].app, err);
    if (other) {
        arena_done(&run->told);
        run->told = arena;
    } else {
        arena_done(&arena);
    }
    return rc;
}

static int tell_app(struct run *run, const struct app *app, struct error *err)
{
    const struct core_state *state = core_state(plant_core(run->plant));
    for (int i = 0; i < state->app_count; i++)
        if (str_equal(state->apps[i].app.name, app->name) &&
            str_equal(state->apps[i].app.namespace_, app->namespace_) &&
            app_hash(&state->apps[i].app) == app_hash(app))
            return 0;
    return plant_apply(run->plant, app, err);
}

static bool is_measured(enum override_kind kind)
{
    return kind == OVERRIDE_CALLS || kind == OVERRIDE_HIT || kind == OVERRIDE_CPU ||
           kind == OVERRIDE_REQUEST || kind == OVERRIDE_RESPONSE;
}

/* How often workloads are called is the load's to say: what is set of it scales that. */
static int scale_calls(struct run *run, const struct override *list, int count,
                       struct cost_input input, struct arena *arena, struct error *err)
{
    struct cost_input changed;
    size_t parts = (size_t)run->truth.estimate_count;
    struct estimate *base = arena_array(arena, parts + 1, sizeof(*base));
    if (base == NULL)
        return no_memory(err);
    for (size_t i = 0; i < parts; i++) {
        base[i] = run->truth.estimates[i];
        base[i].value = SCALE_BASE;
    }
    input.estimates = (struct estimates){base, (int)parts};
    int rc = override_apply(list, count, &input, arena, &changed, err);
    for (int i = 0; rc == 0 && i < changed.estimates.count && i < (int)parts; i++)
        run->scale_ppm[run->truth.estimate_part[i]] =
            changed.estimates.list[i].value / (SCALE_BASE / PPM);
    return rc;
}

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for overrides");
}

static int collect_sets(const struct run *run, struct override *list, bool *closed, int *ret_count,
                        struct error *err)
{
    int count = 0;
    for (int i = 0; i < run->scenario->event_count; i++) {
        const struct scenario_event *event = &run->scenario->events[i];
        for (int k = 0; k < event->set_count && run->event_on[i]; k++) {
            struct override one;
            int rc = count == SCENARIO_EVENTS
                         ? error_set(err, ERR_LIMIT, 0, "more than %d overrides at once",
                                     SCENARIO_EVENTS)
                         : override_parse(event->sets[k], &one, err);
            if (rc == 0 && (one.kind == OVERRIDE_ADD_SITE || one.kind == OVERRIDE_MOVE))
                rc = error_set(err, ERR_UNSUPPORTED, 0,
                               "\"%.80s\" is no event: put the site into the world and let it be "
                               "down until then; what moves is the policy's to say",
                               event->sets[k]);
            if (rc == 0 && one.kind == OVERRIDE_CALLS && !one.relative)
                rc = error_set(err, ERR_UNSUPPORTED, 0,
                               "\"%.80s\": how many calls there are is what load: says; here they "
                               "can be multiplied, as in calls=x3",
                               event->sets[k]);
            if (rc < 0)
                return error_prefix(err, "%s:%d", run->scenario->file, event->line);
            bool provider = one.kind == OVERRIDE_REMOVE_PROVIDER;
            if (provider || one.kind == OVERRIDE_REMOVE_SITE) {
                for (int s = 0; s < run->world.site_count; s++)
                    closed[s] |= override_matches(one.glob, provider ? run->world.sites[s].provider
                                                                     : run->world.sites[s].name);
                continue;
            }
            list[count++] = one;
        }
    }
    *ret_count = count;
    return 0;
}

/* Sites that are left for good are cordoned, as `berth evacuate` does it: what is there moves. */
static int close_places(struct run *run, const bool *closed, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < run->world.site_count && rc == 0; i++)
        if (closed[i] != run->closed[i]) {
            rc = plant_cordon(run->plant, run->world.sites[i].name, closed[i], err);
            run->closed[i] = closed[i];
        }
    return rc;
}

/* ---- forecast ---- */

/* The mean of the coming hours, as they were a week ago, or a day ago in the first week; as it is
 * now in the first day. A step divides a day (policy_open). */
int run_forecast(struct run *run, struct plant_measured *list, int64_t *users_mhz)
{
    int64_t step_us = run->scenario->step_us;
    size_t parts = (size_t)run->part_count;
    size_t rows = parts + (size_t)run->user_count;
    int slots = (int)(HISTORY_HOURS * US_PER_HOUR / step_us) + 1;
    int day = (int)(24 * US_PER_HOUR / step_us);
    int week = 7 * day;
    int64_t ahead_us = run->world.policy.horizon_us;
    ahead_us = ahead_us > AHEAD_HOURS * US_PER_HOUR ? AHEAD_HOURS * US_PER_HOUR : ahead_us;
    int ahead = ahead_us < step_us ? 1 : (int)(ahead_us / step_us);
    if (run->history == NULL) {
        run->history = calloc((size_t)slots * (rows + 1), sizeof(*run->history));
        run->history_slots = slots;
    }
    if (run->history == NULL)
        return ERR_NO_MEMORY;
    int64_t index = run->step_index;
    int64_t *now = run->history + (size_t)(index % slots) * rows;
    for (size_t row = 0; row < rows; row++)
        now[row] = row < parts ? run->calls_mhz[row] : users_mhz[row - parts];
    int back = index >= week ? week : index >= day ? day : 0;
    for (size_t row = 0; row < rows; row++) {
        __int128 sum = 0;
        for (int k = 0; k < ahead && back > 0; k++)
            sum += run->history[(size_t)((index - back + k) % slots) * rows + row];
        /* Scaled to the present level: the day's shape is what is foreseen. */
        int64_t then = back > 0 ? run->history[(size_t)((index - back) % slots) * rows + row] : 0;
        __int128 value = now[row];
        if (back > 0 && then > 0)
            value = sum / ahead * now[row] / then;
        int64_t *told = row < parts ? &list[row].value[PLANT_CALLS] : &users_mhz[row - parts];
        if (*told >= 0 && value >= 0 && value <= INT64_MAX / PPM)
            *told = (int64_t)value;
    }
    return 0;
}
