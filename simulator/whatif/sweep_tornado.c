/* The tornado: every price that is paid and every measure, each a little less and a little more. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/cost_view.h"
#include "simulator/whatif/sweep.h"

#define BARS_MAX   160 /* inputs: twice as many solves */
#define PARTS_FEW  24  /* workloads up to which each has bars of its own */
#define APPS_FEW   24  /* apps up to which each app has */
#define SITES_MANY 12  /* places of users up to which each has a bar */

struct tornado {
    const struct sweep_base *base;
    const struct cost_input *input; /* with the overrides of the base */
    const struct cost_lookup *lookup;
    int64_t part_ppm;
    struct sweep_bar *bars;
    int count;
    struct sweep_point *point;
};

static void add(struct tornado *tornado, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void add_prices(struct tornado *tornado, const struct cost_view *view);
static void add_measures(struct tornado *tornado);
static void add_measures_of(struct tornado *tornado, const char *whom);
static void add_latencies(struct tornado *tornado, const struct cost_view *view);
static int make_bar(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                    struct error *err);
static int take_bar(void *context, int index, const struct whatif_answer *answer,
                    struct error *err);
static bool placed(const struct sweep_bar *bar);
static int by_width(const void *a, const void *b);
static nusd apart(nusd a, nusd b);

int sweep_tornado(struct whatif *whatif, const struct sweep_base *base, int64_t part_ppm,
                  struct arena *arena, struct sweep_bar **ret_bars, int *ret_count,
                  struct sweep_point *ret_point, struct error *err)
{
    struct cost_input input;
    struct cost_view view;
    if (part_ppm < 1 || part_ppm >= PPM)
        return error_set(err, ERR_INVALID, 0,
                         "a sensitivity is by a part between 0.0001%% and below 100%%");
    struct tornado tornado = {
        .base = base, .input = &input, .part_ppm = part_ppm, .point = ret_point};
    tornado.bars = arena_array(arena, BARS_MAX, sizeof(struct sweep_bar));
    if (tornado.bars == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a tornado");
    int rc = override_apply(base->list, base->count, base->input, arena, &input, err);
    if (rc == 0)
        rc = cost_view(&input, base->at, arena, &view, err);
    if (rc == 0)
        rc = cost_lookup_make(&input, arena, &tornado.lookup, err);
    if (rc < 0)
        return rc;
    add_prices(&tornado, &view);
    add_measures(&tornado);
    add_latencies(&tornado, &view);
    add(&tornado, "weights.latency");
    add(&tornado, "weights.device_cpu");
    struct whatif_batch batch = {.at = base->at,
                                 .lookup = tornado.lookup,
                                 .count = tornado.count * 2 + 1,
                                 .make = make_bar,
                                 .take = take_bar,
                                 .context = &tornado};
    rc = whatif_batch(whatif, &batch, err);
    if (rc < 0)
        return rc;
    qsort(tornado.bars, (size_t)tornado.count, sizeof(*tornado.bars), by_width);
    *ret_bars = tornado.bars;
    *ret_count = tornado.count;
    return 0;
}

nusd sweep_bar_width(const struct sweep_bar *bar)
{
    return placed(bar) ? apart(bar->low.bill, bar->high.bill) : 0;
}

/* Both ends have a placement: there is no bill without one. */
static bool placed(const struct sweep_bar *bar)
{
    enum solve_status low = bar->low.status;
    enum solve_status high = bar->high.status;
    return (low == SOLVE_OPTIMAL || low == SOLVE_FEASIBLE) &&
           (high == SOLVE_OPTIMAL || high == SOLVE_FEASIBLE);
}

/* What a path has nothing to turn of is left out. */
static void add(struct tornado *tornado, const char *format, ...)
{
    struct sweep_bar *bar = &tornado->bars[tornado->count];
    struct error err;
    va_list arguments;
    if (tornado->count == BARS_MAX)
        return;
    va_start(arguments, format);
    int bytes = vsnprintf(bar->path, sizeof(bar->path), format, arguments);
    va_end(arguments);
    if (bytes > 0 && (size_t)bytes < sizeof(bar->path) &&
        override_present_in(tornado->lookup, bar->path, &bar->present, &err) == 0 &&
        bar->present.value.coefficient > 0)
        tornado->count++;
}

/* Of providers where something is, and of rules that bill some bytes. */
static void add_prices(struct tornado *tornado, const struct cost_view *view)
{
    const struct world *world = tornado->input->world;
    int parts = whatif_parts(tornado->input);
    for (int i = 0; i < world->account_count; i++) {
        const char *provider = world->accounts[i].provider;
        bool used = false;
        bool told = false;
        for (int part = 0; part < parts && !used; part++)
            used = tornado->base->at[part].site >= 0 &&
                   str_equal(world->sites[tornado->base->at[part].site].provider, provider);
        for (int k = 0; k < i; k++)
            told = told || str_equal(world->accounts[k].provider, provider);
        if (!used || told)
            continue;
        add(tornado, "price.cpu.%s/*", provider);
        add(tornado, "price.memory.%s/*", provider);
        add(tornado, "price.storage.%s/*", provider);
    }
    for (int rule = 0; rule < world->egress_count; rule++) {
        bool billed = false;
        for (int i = 0; i < view->volume_count && !billed; i++)
            billed = view->volumes[i].rule == rule;
        if (billed)
            add(tornado, "price.egress.%s", world->egress[rule].name);
    }
}

/* Of each workload while they are few, else of each app, else of all together. */
static void add_measures(struct tornado *tornado)
{
    const struct cost_input *input = tornado->input;
    char whom[LIMIT_TEXT_BYTES];
    if (whatif_parts(input) > PARTS_FEW && input->app_count > APPS_FEW) {
        add_measures_of(tornado, "*");
        return;
    }
    for (int i = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        bool few = whatif_parts(input) <= PARTS_FEW;
        for (int k = 0; k < (few ? app->workload_count : 1); k++) {
            str_format(whom, sizeof(whom), "%s/%s%s%s", app->namespace_, app->name,
                       few ? "/" : "/*", few ? app->workloads[k].name : "");
            add_measures_of(tornado, whom);
        }
    }
}

static void add_measures_of(struct tornado *tornado, const char *whom)
{
    static const char *const kinds[] = {"calls",          "cache.hit", "bytes.request",
                                        "bytes.response", "cpu",       "data.size"};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        add(tornado, "%s.%s", kinds[i], whom);
}

static void add_latencies(struct tornado *tornado, const struct cost_view *view)
{
    const struct world *world = tornado->input->world;
    int told = 0;
    for (int site = 0; site < world->site_count && told < SITES_MANY; site++) {
        bool users = false;
        for (int i = 0; i < view->wait_count && !users; i++)
            users = view->waits[i].users && view->waits[i].from_site == site;
        if (users) {
            add(tornado, "latency.%s:*", world->sites[site].name);
            told++;
        }
    }
}

/* The first is the base; then each bar less, and more. */
static int make_bar(void *context, int index, struct arena *arena, struct cost_input *ret_input,
                    struct error *err)
{
    struct tornado *tornado = context;
    struct override turn;
    if (index == 0) {
        *ret_input = *tornado->input;
        return 0;
    }
    int64_t factor = index % 2 == 1 ? PPM - tornado->part_ppm : PPM + tornado->part_ppm;
    int rc = override_times(tornado->bars[(index - 1) / 2].path, (struct decimal){factor, 6}, &turn,
                            err);
    return rc < 0 ? rc : override_apply_to(tornado->lookup, &turn, 1, arena, ret_input, err);
}

static int take_bar(void *context, int index, const struct whatif_answer *answer, struct error *err)
{
    struct tornado *tornado = context;
    struct sweep_bar *bar = index == 0 ? NULL : &tornado->bars[(index - 1) / 2];
    struct sweep_point *point = index == 0       ? tornado->point
                                : index % 2 == 1 ? &bar->low
                                                 : &bar->high;
    return sweep_point_of(tornado->base->at, answer, NULL, point, err);
}

static int by_width(const void *a, const void *b)
{
    const struct sweep_bar *x = a;
    const struct sweep_bar *y = b;
    if (placed(x) != placed(y))
        return placed(x) ? 1 : -1; /* what takes every placement away comes first */
    nusd one = sweep_bar_width(x);
    nusd two = sweep_bar_width(y);
    if (one == two) {
        one = apart(x->low.score, x->high.score);
        two = apart(y->low.score, y->high.score);
    }
    return one != two ? (one < two) - (one > two) : strcmp(x->path, y->path);
}

static nusd apart(nusd a, nusd b)
{
    return a > b ? a - b : b - a;
}
