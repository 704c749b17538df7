/*
 * override_internal: what the files of override share: override.c (the grammar), override_apply.c
 * (the copy, and who is meant), override_world.c (prices, latencies, weights, policy),
 * override_apps.c (what is measured of workloads) and override_shape.c (sites that come and go,
 * tags, moves); override_present.c reads what stands there. Nobody else includes it.
 */
#pragma once

#include <stddef.h>

#include "model/cost_internal.h"
#include "model/override.h"
#include "model/world.h"

/* One cost_input on its way from the original to the changed one. */
struct override_work {
    const struct cost_input *whole;
    struct cost_input input;   /* the copy */
    struct world *world;       /* its world */
    bool *own_app;             /* [app]: its struct is a copy already, its arrays perhaps not */
    struct cost_lookup lookup; /* of the copy */
    const struct override *now;
    struct arena *arena;
    struct error *err;
};

/* What a policy field is, for parsing and for changing. */
enum override_unit { UNIT_DURATION, UNIT_RATIO, UNIT_COUNT, UNIT_MONEY };
struct override_policy {
    const char *name;
    enum override_unit unit;
    size_t offset;
};
extern const struct override_policy override_policies[];
extern const int override_policy_count;

/* value x factor, rounded half to even, at least 0; ERR_OVERFLOW told with the path. */
int override_scale(struct override_work *work, int64_t value, int64_t *ret_value);
struct decimal override_price_times(struct decimal price, struct decimal factor);
/* amount x numerator / denominator; the largest number where it does not fit. */
int64_t override_proportion(int64_t amount, int64_t numerator, int64_t denominator);
/* The number that VALUE sets, in the unit; told with the path when it is none. */
int override_number(struct override_work *work, enum override_unit unit, int64_t *ret_value);
/* A scaled or set ratio, at most 1. */
int override_ratio(struct override_work *work, int64_t present_ppm, int64_t *ret_ppm);

/* The app, from now on a copy whose own fields may be changed; NULL: no memory. Its arrays are
 * shared with the original until override_own_* has made them its own. */
struct app *override_app(struct override_work *work, int app);
int override_own_workloads(struct override_work *work, int app) WARN_UNUSED;
int override_own_variants(struct override_work *work, int app, int workload) WARN_UNUSED;
int override_own_curve(struct override_work *work, int app, int workload) WARN_UNUSED;
int override_own_links(struct override_work *work, int app) WARN_UNUSED;
int override_own_all(struct override_work *work, int app) WARN_UNUSED;
/* Who the override may mean: apps from `first` to before `end`. */
struct override_who {
    bool by_app; /* some app is called so: workloads' own names do not count */
    int first;
    int end;
    const char *rest; /* what is left of "namespace/app/..." for a workload's name; NULL: all */
};
struct override_who override_who(const struct override_work *work);
bool override_means(const struct override_who *who, const struct app *app, int workload,
                    const char *glob);
bool override_means_app(const struct app *app, const char *glob);
/* ERR_NOT_FOUND: nothing of `what` matches; names the nearest of the names. */
int override_nothing(struct override_work *work, const char *what, const char *const *names,
                     int count);
int override_no_workload(struct override_work *work, const char *which);
int override_no_site(struct override_work *work);
int override_no_memory(struct override_work *work);
int override_no_price(struct override_work *work);
bool override_is_rule(const struct egress_rule *rule, const char *glob);
/* The first tier that costs anything, whose price stands for the rule's; 0 when none does. */
int override_paid_tier(const struct egress_rule *rule);
/* What a workload's measure is now: what stands for all that changes with it; -1, 0: none. */
int64_t override_measure(struct override_work *work, int app, int workload);

/* Each makes the change that is `now`. */
int override_price_change(struct override_work *work);
int override_site_change(struct override_work *work); /* overhead, speed, capacity */
int override_latency_change(struct override_work *work);
int override_weight_change(struct override_work *work);
int override_policy_change(struct override_work *work);
int override_measure_change(struct override_work *work);
int override_shape_change(struct override_work *work);

#define OVERRIDE_NAMES_MAX 1024 /* that a near miss is looked for among */
