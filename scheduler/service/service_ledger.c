/*
 * service_ledger: time and bytes become rows of the ledger.
 *
 * Time is charged up to the moment before anything changes (service_ledger_accrue runs before the
 * core's steps), and every ACCRUE_US otherwise, to whole seconds: what an instance reserves is
 * charged from its start to its end, both copies of a handoff included. Bytes are the increments of
 * the workloads' own counters; those of a workload with several callers are divided by what the
 * callers are said to bring. While the scheduler is away time is charged for what it finds running
 * when it returns. A ledger that cannot be opened or written stops nothing: it is said once.
 * What could not be written is kept for the next time; what could not be charged (an amount beyond
 * every range) is lost, and its reason told.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/service/service_internal.h"

#define ACCRUE_US  (10 * US_PER_S)
#define USED_MAX   (LIMIT_METRIC_SERIES / 4)        /* (workload, site) pairs with counted bytes */
#define GAP_MAX_US (INT64_C(31) * 24 * US_PER_HOUR) /* a longer absence is not charged */

static int charge(struct service *service, int64_t from_us, int64_t to_us, struct error *err);
static int charge_instances(struct service *service, int64_t from_us, int64_t to_us,
                            struct error *err);
static int charge_stored(struct service *service, int64_t from_us, int64_t to_us,
                         struct error *err);
static int charge_model(struct service *service, int64_t from_us, int64_t to_us, struct error *err);
static int charge_used(struct service *service, int64_t now_us, struct error *err);
static int charge_bytes(struct service *service, const struct service_used *use, int64_t now_us,
                        struct error *err);
static int64_t link_weight(const struct app *app, int link);
static int link_site(const struct core_state *state, const struct core_app *app, int link);
static bool who_of(const struct core_state *state, const char *ns, const char *app,
                   const char *workload, int site, struct ledger_who *ret_who,
                   const struct core_app **ret_app);
static bool runs(const struct core_instance *instance);
static void tell_meters(struct service *service, int64_t now_us);
static void told(struct service *service, int rc, const struct error *err);

void service_ledger_open(struct service *service, const char *state_dir)
{
    char path[LIMIT_PATH_BYTES + 16];
    struct error err;
    str_format(path, sizeof(path), "%s/ledger.db", state_dir);
    if (ledger_open(path, &service->ledger, &err) < 0) {
        service->ledger = NULL;
        log_event(LOG_ERROR, "ledger.closed", "reason=\"%s\" (nothing is charged)", err.text);
    }
}

void service_ledger_close(struct service *service)
{
    struct error err;
    if (service->ledger != NULL && ledger_flush(service->ledger, &err) < 0)
        log_event(LOG_ERROR, "ledger.lost", "reason=\"%s\"", err.text);
    ledger_close(service->ledger);
    service->ledger = NULL;
}

void service_ledger_accrue(struct service *service)
{
    int64_t now_us = service_now(service).us;
    if (service->ledger == NULL || service->core == NULL ||
        core_state(service->core)->world == NULL)
        return;
    int64_t from_us = ledger_accrued_us(service->ledger);
    if (from_us == 0 || now_us - from_us > GAP_MAX_US) {
        ledger_accrued(service->ledger, now_us);
        return;
    }
    if (now_us / US_PER_S <= from_us / US_PER_S)
        return; /* the same second */
    struct error err;
    int rc = charge(service, from_us, now_us, &err);
    ledger_accrued(service->ledger, now_us);
    if (rc == 0 && now_us >= service->ledger_flush_us && !service_pauses(service)) {
        rc = ledger_flush(service->ledger, &err);
        service->ledger_flush_us = now_us + ACCRUE_US;
        tell_meters(service, now_us);
    }
    told(service, rc, &err);
}

int64_t service_ledger_deadline_us(const struct service *service)
{
    return service->ledger == NULL ? INT64_MAX : ledger_accrued_us(service->ledger) + ACCRUE_US;
}

/* A failure is said when it begins and when it is over. */
static void told(struct service *service, int rc, const struct error *err)
{
    if (rc < 0 && !service->ledger_failing)
        log_event(LOG_ERROR, "ledger.failing", "reason=\"%s\"", err->text);
    else if (rc == 0 && service->ledger_failing)
        log_event(LOG_INFO, "ledger.returned", "path=ledger.db");
    service->ledger_failing = rc < 0;
}

/* Each part is charged whether or not another one failed; the first error is told. */
static int charge(struct service *service, int64_t from_us, int64_t to_us, struct error *err)
{
    int rc = charge_instances(service, from_us, to_us, err);
    struct error other;
    int next = charge_stored(service, from_us, to_us, rc < 0 ? &other : err);
    rc = rc < 0 ? rc : next;
    next = charge_model(service, from_us, to_us, rc < 0 ? &other : err);
    rc = rc < 0 ? rc : next;
    next = charge_used(service, to_us, rc < 0 ? &other : err);
    return rc < 0 ? rc : next;
}

static int charge_instances(struct service *service, int64_t from_us, int64_t to_us,
                            struct error *err)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        struct ledger_who who;
        const struct core_app *app;
        int site = state->nodes[instance->node_index].site_index;
        if (!runs(instance) || site < 0 ||
            !who_of(state, instance->namespace_, instance->app, instance->workload, site, &who,
                    &app))
            continue;
        /* What began since the last charge is charged from its beginning. */
        int64_t begin_us = instance->state == INSTANCE_STARTING && instance->since.us > from_us
                               ? instance->since.us
                               : from_us;
        int rc = ledger_reserve(service->ledger, &who, instance->reserve[RESOURCE_CPU],
                                instance->reserve[RESOURCE_MEMORY], begin_us, to_us, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* A process exists, or will again at once. What a silent node runs is not known, and not charged.
 */
static bool runs(const struct core_instance *instance)
{
    return instance->id[0] != 0 && !instance->lost && instance->state >= INSTANCE_STARTING &&
           instance->state <= INSTANCE_STOPPING;
}

/* Data sets and the state that workloads keep, and what data sets send to their replicas. */
static int charge_stored(struct service *service, int64_t from_us, int64_t to_us, struct error *err)
{
    const struct core_state *state = core_state(service->core);
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; k < app->app.workload_count; k++) {
            const struct workload *workload = &app->app.workloads[k];
            bool is_data = workload->kind == KIND_DATA;
            int site =
                is_data ? world_site(state->world, workload->data.at) : app->workloads[k].site;
            int64_t bytes = workload->state_bytes * workload->replicas;
            if (is_data)
                bytes = (int64_t)((__int128)workload->data.bytes * workload->data.copies *
                                  (PPM - workload->data.dedup_ppm) / PPM);
            struct ledger_who who = {state->world, &app->app, k, site};
            if (site < 0 || app->workloads[k].lead != k)
                continue;
            int rc = ledger_store(service->ledger, &who, bytes, from_us, to_us, err);
            if (rc < 0)
                return rc;
        }
    }
    return 0;
}

/* Billed custom terms, which only the model can tell; and what the model says of everything. */
static int charge_model(struct service *service, int64_t from_us, int64_t to_us, struct error *err)
{
    struct arena arena;
    struct cost_input input;
    struct cost_report report;
    struct placement *at = NULL;
    arena_init(&arena, SERVICE_JOB_BYTES);
    int rc = core_cost_input(service->core, NULL, NULL, &arena, &input, err);
    if (rc == 0)
        rc = core_placement(service->core, &input, &arena, &at, err);
    if (rc == 0)
        rc = service_report(&input, at, &arena, &report, err);
    for (int i = 0; rc == 0 && i < report.line_count; i++) {
        const struct cost_line *line = &report.lines[i];
        struct ledger_who who = {input.world, input.apps[line->app].app, line->workload,
                                 line->site};
        if (line->bill == 0 || line->term == TERM_MIGRATION || line->site < 0)
            continue;
        rc = ledger_predict(service->ledger, &who, line->term, line->bill, from_us, to_us, err);
        if (rc == 0 && line->term == TERM_CUSTOM)
            rc = ledger_custom(service->ledger, &who, input.world->terms[line->custom].name,
                               line->bill, from_us, to_us, err);
    }
    arena_done(&arena);
    return rc;
}

int service_used_row(struct service *service, const char *ns, const char *app, const char *workload,
                     const char *site)
{
    if (workload[0] == 0)
        return -1; /* a round trip */
    for (int i = 0; i < service->used_count; i++) {
        const struct service_used *used = &service->used[i];
        if (str_equal(used->workload, workload) && str_equal(used->site, site) &&
            str_equal(used->app, app) && str_equal(used->namespace_, ns))
            return i;
    }
    if (service->used_count == service->used_capacity) {
        int capacity = service->used_capacity == 0 ? 64 : 2 * service->used_capacity;
        struct service_used *more =
            capacity > USED_MAX ? NULL
                                : realloc(service->used, (size_t)capacity * sizeof(*service->used));
        if (more == NULL)
            return -1;
        service->used = more;
        service->used_capacity = capacity;
    }
    struct service_used *used = &service->used[service->used_count];
    memset(used, 0, sizeof(*used));
    str_format(used->namespace_, sizeof(used->namespace_), "%s", ns);
    str_format(used->app, sizeof(used->app), "%s", app);
    str_format(used->workload, sizeof(used->workload), "%s", workload);
    str_format(used->site, sizeof(used->site), "%s", site);
    return service->used_count++;
}

void service_used_add(struct service *service, int row, int kind, int64_t value, bool probe)
{
    if (row < 0 || value < 0)
        return;
    struct service_used *used = &service->used[row];
    if (probe && used->by_node)
        return;
    used->by_node |= !probe;
    int64_t *sum = kind == SAMPLE_BYTES_IN    ? &used->bytes_in
                   : kind == SAMPLE_BYTES_OUT ? &used->bytes_out
                                              : NULL;
    if (sum != NULL && __builtin_add_overflow(*sum, value, sum))
        *sum = INT64_MAX;
}

static int charge_used(struct service *service, int64_t now_us, struct error *err)
{
    int rc = 0;
    for (int i = 0; i < service->used_count && rc == 0; i++) {
        struct service_used *used = &service->used[i];
        if (used->bytes_in == 0 && used->bytes_out == 0)
            continue;
        rc = charge_bytes(service, used, now_us, err);
        used->bytes_in = 0;
        used->bytes_out = 0;
    }
    return rc;
}

/* Requests come from each caller's site, responses go back there. */
static int charge_bytes(struct service *service, const struct service_used *use, int64_t now_us,
                        struct error *err)
{
    const struct core_state *state = core_state(service->core);
    struct ledger_who who;
    const struct core_app *app;
    int site = world_site(state->world, use->site);
    if (site < 0 || (use->bytes_in == 0 && use->bytes_out == 0) ||
        !who_of(state, use->namespace_, use->app, use->workload, site, &who, &app))
        return 0;
    __int128 whole = 0;
    for (int i = 0; i < app->app.link_count; i++)
        if (app->app.links[i].to == who.workload)
            whole += link_weight(&app->app, i);
    int64_t left_in = use->bytes_in;
    int64_t left_out = use->bytes_out;
    for (int i = 0; i < app->app.link_count && whole > 0; i++) {
        int64_t weight = link_weight(&app->app, i);
        if (app->app.links[i].to != who.workload || weight == 0)
            continue;
        /* Parts of what is left by what is left of the weights: they add up to the byte. */
        int64_t in = (int64_t)((__int128)left_in * weight / whole);
        int64_t out = (int64_t)((__int128)left_out * weight / whole);
        whole -= weight;
        left_in -= in;
        left_out -= out;
        int caller = link_site(state, app, i);
        if (caller < 0 || caller == site)
            continue;
        struct ledger_who sender = who;
        sender.site = caller;
        int rc = ledger_transfer(service->ledger, &sender, site, in, now_us, err);
        if (rc == 0)
            rc = ledger_transfer(service->ledger, &who, caller, out, now_us, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* What a caller is said to bring; on a link of misses, what its cache lets through. One without any
 * figure counts as one call in a thousand seconds, so that its bytes are charged at all. */
static int64_t link_weight(const struct app *app, int link)
{
    const struct link *what = &app->links[link];
    int64_t calls = what->calls_mhz > 0 ? what->calls_mhz : 1;
    if (!what->on_miss || what->from_kind != LINK_WORKLOAD ||
        app->workloads[what->from].hit_ppm < 0)
        return calls;
    int64_t missed = (int64_t)((__int128)calls * (PPM - app->workloads[what->from].hit_ppm) / PPM);
    return missed > 0 ? missed : 1;
}

static int link_site(const struct core_state *state, const struct core_app *app, int link)
{
    const struct link *what = &app->app.links[link];
    if (what->from_kind == LINK_SEGMENT)
        return world_site(state->world, app->app.segments[what->from].site);
    return app->workloads[what->from].site;
}

static bool who_of(const struct core_state *state, const char *ns, const char *app,
                   const char *workload, int site, struct ledger_who *ret_who,
                   const struct core_app **ret_app)
{
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *found = &state->apps[i];
        if (!str_equal(found->app.name, app) || !str_equal(found->app.namespace_, ns))
            continue;
        int index = app_workload(&found->app, workload);
        if (index < 0)
            return false;
        *ret_who = (struct ledger_who){state->world, &found->app, index, site};
        *ret_app = found;
        return true;
    }
    return false;
}

/* The month's volume goes to the core when the next byte may have another price. */
static void tell_meters(struct service *service, int64_t now_us)
{
    const struct core_state *state = core_state(service->core);
    struct core_event event = {.kind = CORE_ESTIMATES};
    struct estimate *list = arena_array(&service->round, LEDGER_NEWS_MAX, sizeof(*list));
    struct estimates told = {state->estimates, state->estimate_count};
    if (list == NULL || service->refusing)
        return;
    event.estimates.list = list;
    event.estimates.count =
        ledger_meters_news(service->ledger, state->world, &told, now_us, list, LEDGER_NEWS_MAX);
    if (event.estimates.count > 0)
        (void)service_submit(service, &event); /* without memory: told the next time */
}
