/* What stands at a path now: the first thing that it matches, in the unit that people write. */
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/override_internal.h"
#include "model/weights.h"

#define LOOKUP_BYTES ((size_t)64 << 20)

static int of_price(struct override_work *work, struct override_present *present);
static int of_site(struct override_work *work, struct override_present *present);
static int of_latency(struct override_work *work, struct override_present *present);
static int of_weight(struct override_work *work, struct override_present *present);
static void of_policy(struct override_work *work, struct override_present *present);
static int of_measure(struct override_work *work, struct override_present *present);
static void put(struct override_present *present, int64_t value, int scale, const char *unit,
                const char *name);

int override_present(const char *path, const struct cost_input *input,
                     struct override_present *ret_present, struct error *err)
{
    const struct cost_lookup *lookup;
    struct arena arena;
    arena_init(&arena, LOOKUP_BYTES);
    int rc = cost_lookup_make(input, &arena, &lookup, err);
    rc = rc < 0 ? rc : override_present_in(lookup, path, ret_present, err);
    arena_done(&arena);
    return rc;
}

int override_present_in(const struct cost_lookup *lookup, const char *path,
                        struct override_present *ret_present, struct error *err)
{
    const struct cost_input *input = lookup->input;
    struct override override;
    struct override_present present = {.matched = 0};
    struct arena arena;
    int rc = override_of(path, "x1", &override, err);
    if (rc < 0 || override.kind >= OVERRIDE_REMOVE_PROVIDER) {
        return error_set(err, rc < 0 ? rc : ERR_UNSUPPORTED, 0,
                         "%.100s is no number: prices, latencies, calls, hits, bytes, CPU time, "
                         "capacities, weights and the policy's are",
                         path);
    }
    arena_init(&arena, LOOKUP_BYTES);
    struct override_work work = {.whole = input,
                                 .input = *input,
                                 .world = (struct world *)input->world,
                                 .lookup = *lookup,
                                 .now = &override,
                                 .arena = &arena,
                                 .err = err};
    if (override.kind == OVERRIDE_PRICE) {
        rc = of_price(&work, &present);
    } else if (override.kind <= OVERRIDE_CAPACITY) {
        rc = of_site(&work, &present);
    } else if (override.kind == OVERRIDE_LATENCY) {
        rc = of_latency(&work, &present);
    } else if (override.kind == OVERRIDE_WEIGHT) {
        rc = of_weight(&work, &present);
    } else if (override.kind == OVERRIDE_POLICY) {
        of_policy(&work, &present);
    } else {
        rc = of_measure(&work, &present);
    }
    arena_done(&arena);
    if (rc < 0) {
        return error_prefix(err, "%.120s", path);
    }
    *ret_present = present;
    return 0;
}

static int of_price(struct override_work *work, struct override_present *present)
{
    const struct override *now = work->now;
    for (int i = 0; i < work->world->egress_count && (now->prices >> PRICE_EGRESS & 1) != 0; i++) {
        const struct egress_rule *rule = &work->world->egress[i];
        if (override_is_rule(rule, now->glob)) {
            struct decimal price = decimal_normal(rule->tiers[override_paid_tier(rule)].price);
            put(present, price.coefficient, price.scale,
                rule->per_bytes == INT64_C(1) << 30 ? "USD per GiB" : "USD per GB", rule->name);
        }
    }
    for (int i = 0; i < work->world->site_count; i++) {
        static const char *const units[] = {"USD per vCPU-hour", "USD per GiB-hour",
                                            "USD per GiB-month"};
        const struct site *site = &work->world->sites[i];
        const struct decimal prices[] = {site->cpu_price, site->memory_price, site->storage_price};
        for (int k = 0; k < 3 && site->tier != TIER_CLIENT; k++) {
            if ((now->prices >> k & 1) != 0 && override_matches(now->glob, site->name)) {
                struct decimal price = decimal_normal(prices[k]);
                put(present, price.coefficient, price.scale, units[k], site->name);
            }
        }
    }
    return present->matched > 0 ? 0 : override_no_price(work);
}

static int of_site(struct override_work *work, struct override_present *present)
{
    const struct override *now = work->now;
    for (int i = 0; i < work->world->site_count; i++) {
        const struct site *site = &work->world->sites[i];
        if (!override_matches(now->glob, site->name)) {
            continue;
        }
        if (now->kind != OVERRIDE_CAPACITY) {
            put(present, now->kind == OVERRIDE_SPEED ? site->speed_ppm : site->overhead_ppm, 6,
                "ratio", site->name);
            continue;
        }
        int64_t capacity = site->capacity[now->index];
        capacity = capacity < 0 && work->input.capacity != NULL
                       ? work->input.capacity[i][now->index]
                       : capacity;
        bool cpu = now->index == RESOURCE_CPU;
        if (capacity >= 0) {
            put(present, capacity, cpu ? 3 : 0, cpu ? "vCPU" : "bytes", site->name);
        }
    }
    return present->matched > 0 ? 0 : override_no_site(work);
}

static int of_latency(struct override_work *work, struct override_present *present)
{
    const struct override *now = work->now;
    for (int from = 0; from < work->world->site_count; from++) {
        for (int to = from + 1; to < work->world->site_count; to++) {
            const char *a = work->world->sites[from].name;
            const char *b = work->world->sites[to].name;
            char name[LIMIT_TEXT_BYTES * 2];
            bool measured;
            int64_t us = -1;
            if ((override_matches(now->glob, a) && override_matches(now->peer, b)) ||
                (override_matches(now->glob, b) && override_matches(now->peer, a))) {
                us = cost_rtt_us(&work->input, from, to, &measured);
            }
            if (us >= 0) {
                str_format(name, sizeof(name), "%s to %s", a, b);
                put(present, us, 3, "ms", name);
            }
        }
    }
    return present->matched > 0 ? 0 : override_no_site(work);
}

static int of_weight(struct override_work *work, struct override_present *present)
{
    const struct override *now = work->now;
    bool all = str_equal(now->glob, "*");
    for (int i = all ? -1 : 0; i < (all ? 0 : work->input.app_count); i++) {
        const struct app *app = i < 0 ? NULL : work->input.apps[i].app;
        struct weights weights = app == NULL ? work->world->weights : app_weights(app, work->world);
        const int64_t ppm[] = {weights.compute_ppm, weights.storage_ppm, weights.egress_ppm,
                               weights.migration_ppm};
        if (app != NULL && !override_means_app(app, now->glob)) {
            continue;
        }
        if (now->index >= WEIGHT_COMPUTE) {
            put(present, ppm[now->index - WEIGHT_COMPUTE], 6, "per dollar",
                weight_words[now->index]);
            continue;
        }
        struct decimal dollars =
            decimal_normal(now->index == WEIGHT_LATENCY ? weights.latency_usd_per_second
                                                        : weights.device_cpu_usd_per_second);
        put(present, dollars.coefficient, dollars.scale, "USD per second",
            weight_words[now->index]);
    }
    return present->matched > 0 ? 0 : override_no_workload(work, "");
}

static void of_policy(struct override_work *work, struct override_present *present)
{
    const struct override_policy *field = &override_policies[work->now->index];
    const char *at = (const char *)&work->world->policy + field->offset;
    int64_t value = 0;
    int count = 0;
    nusd money = 0;
    switch (field->unit) {
    case UNIT_COUNT:
        memcpy(&count, at, sizeof(count));
        put(present, count, 0, "", field->name);
        return;
    case UNIT_MONEY:
        memcpy(&money, at, sizeof(money));
        put(present, money_to_i64(money, &value) < 0 ? INT64_MAX : value, 9, "USD a month",
            field->name);
        return;
    default:
        memcpy(&value, at, sizeof(value));
        put(present, value, 6, field->unit == UNIT_RATIO ? "ratio" : "s", field->name);
    }
}

static int of_measure(struct override_work *work, struct override_present *present)
{
    static const struct {
        const char *unit;
        int scale;
    } units[] = {
        [OVERRIDE_CALLS] = {"calls/s", 3},   [OVERRIDE_HIT] = {"ratio", 6},
        [OVERRIDE_CPU] = {"ms per call", 6}, [OVERRIDE_REQUEST] = {"bytes", 0},
        [OVERRIDE_RESPONSE] = {"bytes", 0},  [OVERRIDE_REPLICAS] = {"replicas", 0},
        [OVERRIDE_DATA_SIZE] = {"bytes", 0}, [OVERRIDE_DATA_UPDATE] = {"bytes/s", 0},
    };
    const struct override *now = work->now;
    struct override_who who = override_who(work);
    for (int i = who.first; i < who.end; i++) {
        const struct app *app = work->input.apps[i].app;
        for (int k = 0; k < app->workload_count; k++) {
            char name[LIMIT_TEXT_BYTES * 2];
            if (!override_means(&who, app, k, now->glob)) {
                continue;
            }
            int64_t value = override_measure(work, i, k);
            if (value > 0 || (value == 0 && now->kind == OVERRIDE_HIT)) {
                str_format(name, sizeof(name), "%s/%s/%s", app->namespace_, app->name,
                           app->workloads[k].name);
                put(present, value, units[now->kind].scale, units[now->kind].unit, name);
            }
        }
    }
    return present->matched > 0 ? 0 : override_no_workload(work, "");
}

/* The first is told, the others are counted. */
static void put(struct override_present *present, int64_t value, int scale, const char *unit,
                const char *name)
{
    if (present->matched++ > 0) {
        return;
    }
    present->value = decimal_normal((struct decimal){value, scale});
    str_format(present->unit, sizeof(present->unit), "%s", unit);
    str_format(present->name, sizeof(present->name), "%s", name);
}
