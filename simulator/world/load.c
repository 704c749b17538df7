/* How often every part is called: shapes, and what a step comes to. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/units.h"
#include "model/app.h"
#include "model/cost.h"
#include "simulator/world/chance.h"
#include "simulator/world/load_internal.h"

#define YEAR_US (INT64_C(365) * 24 * US_PER_HOUR)
#define WEEK_US (INT64_C(7) * 24 * US_PER_HOUR)

static int begin(struct load *load, const struct scenario *scenario,
                 const struct scenario_cell *cell, const struct world *world, struct error *err);
static int read_priors(struct load *load, const struct world *world, struct error *err);
static int list_users(struct load *load, struct error *err);
static int64_t users_mhz(const struct app *app);
static int64_t ratio_of(struct load *load, struct source *source, int index, int64_t at_us,
                        int64_t length_us);
static int64_t shape_ppm(const struct scenario_load *what, int64_t at_us, int64_t length_us);
static int64_t burst_share_ppm(struct load *load, struct source *source, int index, int64_t at_us,
                               int64_t length_us);
static void spread_app(struct load *load, int app);
static bool called_by_told(const struct load *load, int app, int workload);
static int64_t told_mhz(const struct load *load, int app, int workload, int64_t users_ppm);
static bool is_told(const struct load *load, int app, const struct link *link);
static int64_t followed_ppm(const struct app *app, int workload, int64_t users,
                            const int64_t *factor);
static int64_t ratio_ppm(int64_t mhz, int64_t prior_mhz, int64_t otherwise_ppm);

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
    load_trace_close(load);
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
    if (rc == 0)
        rc = list_users(load, err);
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
            rc = load_trace_open(load, scenario, cell, i, err);
    }
    return rc;
}

/* The pairs of users and parts that links have: what regions of a trace may be of. */
static int list_users(struct load *load, struct error *err)
{
    int links = 0;
    for (int i = 0; i < load->app_count; i++)
        links += load->apps[i].link_count;
    load->users = arena_array(&load->arena, (size_t)links + 1, sizeof(*load->users));
    load->first_users = arena_array(&load->arena, (size_t)load->app_count + 1, sizeof(int));
    load->first_segment = arena_array(&load->arena, (size_t)load->app_count + 1, sizeof(int));
    if (load->users == NULL || load->first_users == NULL || load->first_segment == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the users of %d apps",
                         load->app_count);
    for (int i = 0; i < load->app_count; i++) {
        const struct app *app = &load->apps[i];
        load->first_users[i] = load->users_count;
        load->first_segment[i] = load->segment_count;
        load->segment_count += app->segment_count;
        for (int k = 0; k < app->link_count; k++) {
            const struct link *link = &app->links[k];
            int at = load->first_users[i];
            if (link->from_kind != LINK_SEGMENT)
                continue;
            while (at < load->users_count &&
                   (load->users[at].segment != link->from || load->users[at].workload != link->to))
                at++;
            struct load_users *users = &load->users[at];
            if (at == load->users_count)
                load->users[load->users_count++] =
                    (struct load_users){.app = i,
                                        .segment = link->from,
                                        .workload = link->to,
                                        .part = load->first[i] + link->to,
                                        .mhz = -1};
            users->weight_mhz += load_weight(link);
        }
    }
    load->first_users[load->app_count] = load->users_count;
    return 0;
}

int64_t load_weight(const struct link *link)
{
    return link->calls_mhz > 0 ? link->calls_mhz : 1;
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
        given = load->readers[i].named && load_trace_part(&load->readers[i], part)->mhz >= 0;
    return given;
}

int load_users(const struct load *load, const struct load_users **ret_users)
{
    *ret_users = load->users;
    return load->reader_count > 0 ? load->users_count : 0;
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
    int rc = load_trace_step(load, at_us, length_us, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < load->source_count; i++)
        load->sources[i].ratio_ppm = ratio_of(load, &load->sources[i], i, at_us, length_us);
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
        const struct traced *own = &load->readers[source->reader].slots[0];
        if (own->mhz < 0)
            return PPM; /* before its first row, or it names workloads or users */
        ratio = (int64_t)((__int128)own->mean_mhz * PPM / (base > 0 ? base : 1));
        return load_scaled(ratio, what->scale_ppm);
    }
    if (what->calls_mhz > 0 && base > 0)
        ratio = (int64_t)((__int128)what->calls_mhz * PPM / base);
    ratio = load_scaled(ratio, what->scale_ppm);
    if (what->shape == LOAD_DIURNAL)
        ratio = load_scaled(ratio, shape_ppm(what, at_us, length_us));
    if (what->shape == LOAD_BURSTS) {
        int64_t share = burst_share_ppm(load, source, index, at_us, length_us);
        ratio = load_scaled(ratio, PPM + load_scaled(what->burst_ppm - PPM, share));
    }
    if (what->growth_ppm > 0 && at_us > load->from_us)
        ratio = load_scaled(
            ratio, PPM + (int64_t)((__int128)what->growth_ppm * (at_us - load->from_us) / YEAR_US));
    if (what->noise_ppm > 0) {
        /* By the instant, so that runs with other steps of one seed are near each other too. */
        int64_t noise =
            PPM + load_scaled(chance_normal_ppm(load->seed, CHANCE_LOAD + 16 * (uint64_t)index,
                                                (uint64_t)at_us),
                              what->noise_ppm);
        ratio = load_scaled(ratio, noise < PPM / 100 ? PPM / 100 : noise);
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
        int64_t ratio =
            load_scaled(what->hours_ppm[hour % 24], what->days_ppm[(hour / 24 + 3) % 7]);
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

/* From its users inwards: who has no load of its own is called as its callers are. What a trace
 * says of a workload itself, or of its users, is what it is called. */
static void spread_app(struct load *load, int app)
{
    const struct app *what = &load->apps[app];
    int first = load->first[app];
    int64_t *factor = load->factor_ppm + first;
    const int64_t *traced = load->traced_mhz + first;
    const int64_t *prior = load->prior_mhz + first;
    int64_t users = load->of_app[app] < 0 ? PPM : load->sources[load->of_app[app]].ratio_ppm;
    for (int i = 0; i < what->workload_count; i++) {
        int own = load->own[first + i];
        factor[i] = own < 0 ? users : load->sources[own].ratio_ppm;
        if (traced[i] >= 0)
            factor[i] = ratio_ppm(traced[i], prior[i], factor[i]);
    }
    bool changed = true;
    for (int pass = 0; pass < what->workload_count && changed; pass++) {
        changed = false;
        for (int i = 0; i < what->workload_count; i++) {
            int64_t next;
            if (called_by_told(load, app, i))
                next = ratio_ppm(told_mhz(load, app, i, users), prior[i], factor[i]);
            else if (load->own[first + i] >= 0 || traced[i] >= 0)
                continue;
            else
                next = followed_ppm(what, i, users, factor);
            changed |= next != factor[i];
            factor[i] = next;
        }
    }
    for (int i = 0; i < what->workload_count; i++)
        load->calls_mhz[first + i] = called_by_told(load, app, i) ? told_mhz(load, app, i, users)
                                     : traced[i] >= 0             ? traced[i]
                                                      : load_scaled(prior[i], factor[i]);
}

/* In the mean of its callers, each by the calls of its link. */
static int64_t followed_ppm(const struct app *app, int workload, int64_t users,
                            const int64_t *factor)
{
    __int128 sum = 0;
    __int128 weights = 0;
    for (int k = 0; k < app->link_count; k++) {
        const struct link *link = &app->links[k];
        if (link->to != workload)
            continue;
        int64_t weight = load_weight(link);
        sum += (__int128)weight * (link->from_kind == LINK_SEGMENT ? users : factor[link->from]);
        weights += weight;
    }
    return weights == 0 ? users : (int64_t)(sum / weights);
}

static int64_t ratio_ppm(int64_t mhz, int64_t prior_mhz, int64_t otherwise_ppm)
{
    if (prior_mhz <= 0)
        return otherwise_ppm;
    __int128 ratio = (__int128)mhz * PPM / prior_mhz;
    return ratio > LOAD_CALLS_MAX ? LOAD_CALLS_MAX : (int64_t)ratio;
}

static bool called_by_told(const struct load *load, int app, int workload)
{
    bool told = false;
    for (int i = load->first_users[app]; load->reader_count > 0 && i < load->first_users[app + 1];
         i++)
        told |= load->users[i].workload == workload && load->users[i].mhz >= 0;
    return told;
}

/* What its users are told to call, and what its other links bring: of users as the load says, of
 * workloads as those are called. */
static int64_t told_mhz(const struct load *load, int app, int workload, int64_t users_ppm)
{
    const struct app *what = &load->apps[app];
    int part = load->first[app] + workload;
    int own = load->own[part];
    __int128 told = 0;
    __int128 others = 0;
    __int128 weights = 0;
    for (int i = load->first_users[app]; i < load->first_users[app + 1]; i++)
        if (load->users[i].workload == workload && load->users[i].mhz >= 0)
            told += load->users[i].mhz;
    for (int k = 0; k < what->link_count; k++) {
        const struct link *link = &what->links[k];
        if (link->to != workload)
            continue;
        int64_t weight = load_weight(link);
        weights += weight;
        if (!is_told(load, app, link))
            others += (__int128)weight * (own >= 0 ? load->sources[own].ratio_ppm
                                          : link->from_kind == LINK_SEGMENT
                                              ? users_ppm
                                              : load->factor_ppm[load->first[app] + link->from]);
    }
    told += (__int128)load->prior_mhz[part] * (int64_t)(others / weights) / PPM;
    return told > LOAD_CALLS_MAX ? LOAD_CALLS_MAX : (int64_t)told;
}

static bool is_told(const struct load *load, int app, const struct link *link)
{
    bool told = false;
    for (int i = load->first_users[app]; i < load->first_users[app + 1]; i++)
        told |= link->from_kind == LINK_SEGMENT && load->users[i].segment == link->from &&
                load->users[i].workload == link->to && load->users[i].mhz >= 0;
    return told;
}

int64_t load_scaled(int64_t value, int64_t ppm)
{
    __int128 product = (__int128)value * ppm / PPM;
    return product > LOAD_CALLS_MAX    ? LOAD_CALLS_MAX
           : product < -LOAD_CALLS_MAX ? -LOAD_CALLS_MAX
                                       : (int64_t)product;
}
