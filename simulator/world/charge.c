/*
 * The production ledger of a run: what the service's service_ledger.c writes, from the instances
 * that really run in the virtual world: both copies of a handoff, second by second; stored bytes;
 * bytes on every link at the true rates; custom terms; and what the model had said.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/app.h"
#include "model/world.h"
#include "simulator/world/run_internal.h"

/* A copy that reserves something. */
struct running {
    int app;
    int workload;
    int site;
    int64_t reserve[RESOURCE_COUNT];
};

struct charge {
    struct ledger *ledger;
    struct running *list;
    int count;
    int capacity;
    int64_t since_us;
    uint64_t reports;
    uint64_t decisions;
    bool seen;
};

static int read_running(struct run *run, struct error *err);
static bool runs(const struct core_instance *instance);
static int charge_stored(struct run *run, int app, int64_t from_us, int64_t to_us,
                         struct error *err);
static int charge_links(struct run *run, int app, int64_t from_us, int64_t to_us,
                        struct error *err);
static int charge_link(struct run *run, int app, int link, int64_t from_us, int64_t to_us,
                       struct error *err);
static int visit(void *context, const struct ledger_row *row, struct error *err);
static int64_t bytes_of(int64_t mhz, int64_t bytes, int64_t us);

int charge_open(struct run *run, struct charge **ret_charge, struct error *err)
{
    (void)run;
    struct charge *charge = calloc(1, sizeof(*charge));
    if (charge == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a ledger");
    int rc = ledger_open(":memory:", &charge->ledger, err);
    if (rc < 0) {
        free(charge);
        return rc;
    }
    *ret_charge = charge;
    return 0;
}

void charge_close(struct charge *charge)
{
    if (charge == NULL)
        return;
    ledger_close(charge->ledger);
    free(charge->list);
    free(charge);
}

int charge_instances(struct run *run, int64_t now_us, bool always, struct error *err)
{
    struct charge *charge = run->charge;
    const struct core_state *state = core_state(plant_core(run->plant));
    uint64_t reports = fleet_reports(plant_fleet(run->plant));
    if (charge->seen && !always && reports == charge->reports &&
        charge->decisions == state->decision_count)
        return 0;
    int rc = 0;
    for (int i = 0; i < charge->count && rc == 0 && run->counting; i++) {
        const struct running *one = &charge->list[i];
        struct ledger_who who = {run->truth.input.world, run->truth.apps[one->app].app,
                                 one->workload, one->site};
        int64_t from_us = charge->since_us > run->from_us ? charge->since_us : run->from_us;
        int64_t to_us = now_us < run->until_us ? now_us : run->until_us;
        if (to_us > from_us)
            rc = ledger_reserve(charge->ledger, &who, one->reserve[RESOURCE_CPU],
                                one->reserve[RESOURCE_MEMORY], from_us, to_us, err);
    }
    charge->since_us = now_us;
    charge->reports = reports;
    charge->decisions = state->decision_count;
    charge->seen = true;
    return rc < 0 ? rc : read_running(run, err);
}

static int read_running(struct run *run, struct error *err)
{
    struct charge *charge = run->charge;
    const struct core_state *state = core_state(plant_core(run->plant));
    int app = 0;
    charge->count = 0;
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        int site = state->nodes[instance->node_index].site_index;
        if (!runs(instance) || site < 0)
            continue;
        for (int k = 0;
             k < run->app_count && (!str_equal(run->apps[app].name, instance->app) ||
                                    !str_equal(run->apps[app].namespace_, instance->namespace_));
             k++)
            app = (app + 1) % run->app_count;
        int workload = app_workload(&run->apps[app], instance->workload);
        if (workload < 0)
            continue;
        if (charge->count == charge->capacity) {
            int capacity = charge->capacity == 0 ? 256 : 2 * charge->capacity;
            struct running *more = realloc(charge->list, (size_t)capacity * sizeof(*more));
            if (more == NULL)
                return error_set(err, ERR_NO_MEMORY, 0, "no memory for a ledger");
            charge->list = more;
            charge->capacity = capacity;
        }
        struct running *one = &charge->list[charge->count++];
        *one = (struct running){.app = app, .workload = workload, .site = site};
        memcpy(one->reserve, instance->reserve, sizeof(one->reserve));
    }
    return 0;
}

/* As the service: a process exists, or will again at once. */
static bool runs(const struct core_instance *instance)
{
    return instance->id[0] != 0 && !instance->lost && instance->state >= INSTANCE_STARTING &&
           instance->state <= INSTANCE_STOPPING;
}

int charge_app(struct run *run, int app, int64_t from_us, int64_t to_us, struct error *err)
{
    int rc = charge_stored(run, app, from_us, to_us, err);
    return rc < 0 ? rc : charge_links(run, app, from_us, to_us, err);
}

int charge_line(struct run *run, int app, const struct cost_line *line, int64_t from_us,
                int64_t to_us, struct error *err)
{
    struct ledger *ledger = run->charge->ledger;
    const struct truth *truth = &run->truth;
    struct ledger_who who = {truth->input.world, truth->apps[app].app, line->workload, line->site};
    if (line->bill == 0 || line->site < 0)
        return 0;
    int rc = ledger_predict(ledger, &who, line->term, line->bill, from_us, to_us, err);
    if (rc == 0 && line->term == TERM_CUSTOM)
        rc = ledger_custom(ledger, &who, truth->input.world->terms[line->custom].name, line->bill,
                           from_us, to_us, err);
    return rc;
}

static int charge_stored(struct run *run, int app, int64_t from_us, int64_t to_us,
                         struct error *err)
{
    const struct app *what = run->truth.apps[app].app;
    const struct placement *at = run->at + run->truth.first[app];
    int rc = 0;
    for (int k = 0; k < what->workload_count && rc == 0; k++) {
        const struct workload *workload = &what->workloads[k];
        bool is_data = workload->kind == KIND_DATA;
        int site = is_data && workload->data.at[0] != 0
                       ? world_site(run->truth.input.world, workload->data.at)
                       : at[k].site;
        int64_t bytes = workload->state_bytes * workload->replicas;
        if (is_data)
            bytes = (int64_t)((__int128)workload->data.bytes * workload->data.copies *
                              (PPM - workload->data.dedup_ppm) / PPM);
        struct ledger_who who = {run->truth.input.world, what, k, site};
        if (site >= 0 && bytes > 0 && (is_data || at[k].lead == k))
            rc = ledger_store(run->charge->ledger, &who, bytes, from_us, to_us, err);
    }
    return rc;
}

/* Hour by hour: a meter counts by the calendar month. */
static int charge_links(struct run *run, int app, int64_t from_us, int64_t to_us, struct error *err)
{
    const struct app *what = run->truth.apps[app].app;
    int rc = 0;
    for (int64_t at_us = from_us; at_us < to_us && rc == 0;) {
        int64_t end_us = (at_us / US_PER_HOUR + 1) * US_PER_HOUR;
        end_us = end_us < to_us ? end_us : to_us;
        for (int i = 0; i < what->link_count && rc == 0; i++)
            rc = charge_link(run, app, i, at_us, end_us, err);
        at_us = end_us;
    }
    return rc;
}

/* Requests come from the caller's site, responses go back there. */
static int charge_link(struct run *run, int app, int link, int64_t from_us, int64_t to_us,
                       struct error *err)
{
    const struct app *what = run->truth.apps[app].app;
    const struct world *world = run->truth.input.world;
    const struct link *one = &what->links[link];
    const struct placement *at = run->at + run->truth.first[app];
    int site = at[one->to].site;
    int caller = one->from_kind == LINK_SEGMENT ? world_site(world, what->segments[one->from].site)
                                                : at[one->from].site;
    if (site < 0 || caller < 0 || site == caller)
        return 0;
    const struct variant *variant = &what->workloads[one->to].variants[at[one->to].variant];
    int64_t request = variant->request_bytes >= 0 ? variant->request_bytes : one->request_bytes;
    int64_t response = variant->response_bytes >= 0 ? variant->response_bytes : one->response_bytes;
    int64_t mhz = truth_link_mhz(&run->truth, app, link, run->at);
    int64_t us = to_us - from_us;
    struct ledger_who server = {world, what, one->to, site};
    struct ledger_who sender = {world, what, one->to, caller};
    int rc = ledger_transfer(run->charge->ledger, &sender, site, bytes_of(mhz, request, us),
                             from_us, err);
    return rc < 0 ? rc
                  : ledger_transfer(run->charge->ledger, &server, caller,
                                    bytes_of(mhz, response, us), from_us, err);
}

static int64_t bytes_of(int64_t mhz, int64_t bytes, int64_t us)
{
    __int128 sum = (__int128)mhz * us / 1000 * bytes / US_PER_S;
    return sum > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)sum;
}

int charge_meters(struct run *run, int64_t now_us, struct estimate *list)
{
    struct estimates told = truth_meters(&run->truth);
    return ledger_meters_news(run->charge->ledger, run->truth.input.world, &told, now_us, list,
                              LEDGER_NEWS_MAX);
}

struct visited {
    struct run *run;
    int64_t rows;
};

int charge_finish(struct run *run, struct error *err)
{
    if (run->charge == NULL)
        return 0;
    struct visited visited = {.run = run};
    struct ledger_filter filter = {.from_us = 0};
    return ledger_rows(run->charge->ledger, &filter, visit, &visited, err);
}

static int visit(void *context, const struct ledger_row *row, struct error *err)
{
    struct visited *visited = context;
    struct run *run = visited->run;
    run->result->ledger += row->amount;
    run->hash = hash_u64(run->hash, (uint64_t)row->amount);
    run->hash = hash_u64(run->hash, (uint64_t)row->quantity);
    visited->rows++;
    return run->sink->row == NULL ? 0 : run->sink->row(run->sink->context, row, err);
}
