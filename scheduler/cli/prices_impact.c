/* Whom the difference of two worlds touches, where everything stays where it is. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/egress.h"
#include "model/world.h"
#include "scheduler/cli/prices.h"

#define HOLES_MAX (LIMIT_SITES * 4)

struct side {
    struct cost_input input;
    struct placement *at; /* [part], of the apps that this side can cost */
    bool *costed;         /* [app] */
    int *index;           /* [app of the input]: of all apps */
    nusd *bill;           /* [part of all apps] */
    nusd *score;
};

struct impact {
    const struct world *old;
    const struct world *now;
    const struct cost_app *apps;
    int app_count;
    int part_count;
    struct estimates estimates;
    struct arena *arena;
    struct price_impacts result;
    struct side sides[2];
    bool no_memory;
};

static int begin(struct impact *impact, struct error *err);
static int cost_side(struct impact *impact, int which, struct error *err);
static int map_apps(struct impact *impact, struct side *side, bool now, struct error *err);
static bool try_app(struct impact *impact, int app);
static void find_holes(struct impact *impact, int app);
static void find_site_holes(struct impact *impact, int app, int workload);
static void find_link_hole(struct impact *impact, int app, const struct link *link);
static void add_hole(struct impact *impact, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static int collect(struct impact *impact, struct error *err);
static int first_part(const struct impact *impact, int app);
static int now_site(const struct impact *impact, int site);
static int out_of_memory(struct error *err);

int price_impacts(const struct world *old, const struct world *now, const struct cost_app *apps,
                  int app_count, struct estimates estimates, struct arena *arena,
                  struct price_impacts *ret_impacts, struct error *err)
{
    struct impact impact = {.old = old,
                            .now = now,
                            .apps = apps,
                            .app_count = app_count,
                            .estimates = estimates,
                            .arena = arena};
    if (app_count == 0) {
        *ret_impacts = (struct price_impacts){.count = 0};
        return 0;
    }
    int rc = begin(&impact, err);
    for (int app = 0; rc == 0 && app < app_count; app++)
        find_holes(&impact, app);
    for (int which = 0; rc == 0 && which < 2; which++)
        rc = cost_side(&impact, which, err);
    if (rc == 0)
        rc = collect(&impact, err);
    if (rc == 0 && impact.no_memory)
        rc = out_of_memory(err);
    if (rc == 0)
        *ret_impacts = impact.result;
    return rc;
}

static int begin(struct impact *impact, struct error *err)
{
    for (int i = 0; i < impact->app_count; i++)
        impact->part_count += impact->apps[i].app->workload_count;
    size_t parts = (size_t)impact->part_count + 1;
    for (int which = 0; which < 2; which++) {
        struct side *side = &impact->sides[which];
        side->at = arena_array(impact->arena, parts, sizeof(struct placement));
        side->costed = arena_array(impact->arena, (size_t)impact->app_count + 1, sizeof(bool));
        side->bill = arena_array(impact->arena, parts, sizeof(nusd));
        side->score = arena_array(impact->arena, parts, sizeof(nusd));
        if (side->at == NULL || side->costed == NULL || side->bill == NULL || side->score == NULL)
            return out_of_memory(err);
        for (int i = 0; i < impact->app_count; i++)
            side->costed[i] = which == 0 || try_app(impact, i);
    }
    impact->result.holes = arena_array(impact->arena, HOLES_MAX, sizeof(char *));
    impact->result.list = arena_array(impact->arena, parts, sizeof(struct price_impact));
    return impact->result.holes == NULL || impact->result.list == NULL ? out_of_memory(err) : 0;
}

/* All apps of a side at once: the tiers of an account add up over them. */
static int cost_side(struct impact *impact, int which, struct error *err)
{
    struct side *side = &impact->sides[which];
    struct cost_report report = {.line_count = 0};
    int rc = map_apps(impact, side, which == 1, err);
    if (rc == 0)
        rc = cost_explain(&side->input, side->at, impact->arena, &report, err);
    if (rc < 0)
        return error_prefix(err, "under the %s prices", which == 0 ? "old" : "new");
    for (int i = 0; i < report.line_count; i++) {
        const struct cost_line *line = &report.lines[i];
        int app = side->index[line->app];
        int part = first_part(impact, app) + line->workload;
        if (line->term != TERM_MIGRATION) {
            side->bill[part] += line->bill;
            side->score[part] += line->score;
        }
    }
    return 0;
}

/* The apps that this side can cost, their placements in indices of its world. */
static int map_apps(struct impact *impact, struct side *side, bool now, struct error *err)
{
    struct cost_app *apps =
        arena_array(impact->arena, (size_t)impact->app_count + 1, sizeof(struct cost_app));
    side->index = arena_array(impact->arena, (size_t)impact->app_count + 1, sizeof(int));
    if (apps == NULL || side->index == NULL)
        return out_of_memory(err);
    int count = 0;
    int part = 0;
    for (int i = 0; i < impact->app_count; i++) {
        const struct app *app = impact->apps[i].app;
        if (!side->costed[i])
            continue;
        struct workload_state *states = arena_array(impact->arena, (size_t)app->workload_count + 1,
                                                    sizeof(struct workload_state));
        if (states == NULL)
            return out_of_memory(err);
        for (int k = 0; k < app->workload_count; k++) {
            states[k].now = impact->apps[i].states[k].now;
            if (now)
                states[k].now.site = now_site(impact, states[k].now.site);
            side->at[part++] = states[k].now;
        }
        side->index[count] = i;
        apps[count++] = (struct cost_app){.app = app, .states = states};
    }
    side->input = (struct cost_input){.world = now ? impact->now : impact->old,
                                      .apps = apps,
                                      .app_count = count,
                                      .estimates = impact->estimates};
    return 0;
}

/* Whether the new world can tell what the app costs: the sites that it runs at and its users' are
 * there, and the round trips that it needs are known. */
static bool try_app(struct impact *impact, int app)
{
    struct error err = {0};
    struct impact alone = *impact;
    struct cost_report report = {.line_count = 0};
    alone.apps = &impact->apps[app];
    alone.app_count = 1;
    bool costed = true;
    struct side side = {.costed = &costed};
    for (int i = 0; i < alone.apps[0].app->segment_count; i++)
        if (world_site(impact->now, alone.apps[0].app->segments[i].site) < 0)
            return false;
    for (int i = 0; i < alone.apps[0].app->workload_count; i++) {
        int site = alone.apps[0].states[i].now.site;
        if (site >= 0 && now_site(impact, site) < 0)
            return false;
    }
    side.at = arena_array(impact->arena, (size_t)alone.apps[0].app->workload_count + 1,
                          sizeof(struct placement));
    return side.at != NULL && map_apps(&alone, &side, true, &err) == 0 &&
           cost_explain(&side.input, side.at, impact->arena, &report, &err) == 0;
}

static void find_holes(struct impact *impact, int app)
{
    struct error err = {0};
    const struct app *what = impact->apps[app].app;
    int before = impact->result.hole_count;
    for (int i = 0; i < what->segment_count; i++)
        if (world_site(impact->now, what->segments[i].site) < 0)
            add_hole(impact, "%s/%s: its users at %s are nowhere: the site is gone",
                     what->namespace_, what->name, what->segments[i].site);
    for (int i = 0; i < what->workload_count; i++)
        find_site_holes(impact, app, i);
    for (int i = 0; i < what->link_count; i++)
        find_link_hole(impact, app, &what->links[i]);
    if (app_check(what, impact->old, &err) == 0 && app_check(what, impact->now, &err) < 0)
        add_hole(impact, "%s/%s no longer fits: %.160s", what->namespace_, what->name, err.text);
    else if (!impact->sides[1].costed[app] && impact->result.hole_count == before)
        add_hole(impact, "%s/%s: what it costs cannot be told any more", what->namespace_,
                 what->name);
}

static void find_site_holes(struct impact *impact, int app, int workload)
{
    const struct app *what = impact->apps[app].app;
    const char *name = what->workloads[workload].name;
    int site = impact->apps[app].states[workload].now.site;
    if (site < 0)
        return;
    const struct site *old = &impact->old->sites[site];
    int there = now_site(impact, site);
    if (there < 0) {
        add_hole(impact, "%s/%s/%s runs at %s, which is gone", what->namespace_, what->name, name,
                 old->name);
        return;
    }
    const struct site *now = &impact->now->sites[there];
    const struct decimal prices[][2] = {
        {old->cpu_price, now->cpu_price},
        {old->memory_price, now->memory_price},
        {old->storage_price, now->storage_price},
    };
    static const char *const words[] = {"price.cpu", "price.memory", "price.storage"};
    for (int i = 0; i < 3; i++)
        if (prices[i][0].coefficient > 0 && prices[i][1].coefficient == 0)
            add_hole(impact, "%s/%s/%s runs at %s, whose %s is now 0", what->namespace_, what->name,
                     name, old->name, words[i]);
}

/* Bytes that were billed and that no rule prices any more. */
static void find_link_hole(struct impact *impact, int app, const struct link *link)
{
    const struct cost_app *where = &impact->apps[app];
    const struct app *what = where->app;
    int ends[2] = {link->from_kind == LINK_SEGMENT
                       ? world_site(impact->old, what->segments[link->from].site)
                       : where->states[link->from].now.site,
                   where->states[link->to].now.site};
    for (int way = 0; way < 2; way++) {
        int from = ends[way];
        int to = ends[1 - way];
        if (from < 0 || to < 0 || now_site(impact, from) < 0 || now_site(impact, to) < 0)
            continue;
        struct egress_match old = egress_between(impact->old, from, to);
        struct egress_match now =
            egress_between(impact->now, now_site(impact, from), now_site(impact, to));
        if ((old.sender_rule >= 0 && now.sender_rule < 0) ||
            (old.receiver_rule >= 0 && now.receiver_rule < 0))
            add_hole(impact,
                     "%s/%s/%s: bytes from %s to %s were billed (%s) and have no price any more",
                     what->namespace_, what->name, what->workloads[link->to].name,
                     impact->old->sites[from].name, impact->old->sites[to].name,
                     impact->old
                         ->egress[old.sender_rule >= 0 && now.sender_rule < 0 ? old.sender_rule
                                                                              : old.receiver_rule]
                         .name);
    }
}

static void add_hole(struct impact *impact, const char *format, ...)
{
    char text[LIMIT_TEXT_BYTES * 4];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    struct price_impacts *result = &impact->result;
    for (int i = 0; i < result->hole_count; i++)
        if (str_equal(result->holes[i], text))
            return;
    if (result->hole_count == HOLES_MAX)
        return;
    result->holes[result->hole_count] = arena_strdup(impact->arena, text);
    if (result->holes[result->hole_count] == NULL)
        impact->no_memory = true;
    else
        result->hole_count++;
}

static int collect(struct impact *impact, struct error *err)
{
    struct price_impacts *result = &impact->result;
    const struct side *sides = impact->sides;
    int part = 0;
    for (int app = 0; app < impact->app_count; app++) {
        const struct app *what = impact->apps[app].app;
        for (int i = 0; i < what->workload_count; i++, part++) {
            int site = impact->apps[app].states[i].now.site;
            bool costed = sides[1].costed[app];
            if (costed) {
                result->bill_before += sides[0].bill[part];
                result->bill_after += sides[1].bill[part];
            }
            if (costed && sides[0].bill[part] == sides[1].bill[part] &&
                sides[0].score[part] == sides[1].score[part])
                continue;
            const char *name = arena_printf(impact->arena, "%s/%s/%s", what->namespace_, what->name,
                                            what->workloads[i].name);
            if (name == NULL)
                return out_of_memory(err);
            result->list[result->count++] = (struct price_impact){
                .workload = name,
                .site = site < 0 ? "" : impact->old->sites[site].name,
                .bill_before = sides[0].bill[part],
                .score_before = sides[0].score[part],
                .costed = costed,
                .bill_after = costed ? sides[1].bill[part] : 0,
                .score_after = costed ? sides[1].score[part] : 0,
            };
        }
    }
    return 0;
}

static int first_part(const struct impact *impact, int app)
{
    int part = 0;
    for (int i = 0; i < app; i++)
        part += impact->apps[i].app->workload_count;
    return part;
}

static int now_site(const struct impact *impact, int site)
{
    return site < 0 ? -1 : world_site(impact->now, impact->old->sites[site].name);
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory to compare the bills of two worlds");
}
