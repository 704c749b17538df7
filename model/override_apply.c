/* Overrides applied: the copy that they change, the arithmetic that they share, and who is meant.
 */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "model/app.h"
#include "model/override_internal.h"

static int begin(struct override_work *work);
static int change(struct override_work *work);
static void *copy_of(struct arena *arena, const void *from, int count, size_t each);
static bool is_workload(const struct app *app, int workload, const char *name, const char *glob);
static int collect(struct override_work *work, const char **names);

int override_apply(const struct override *list, int count, const struct cost_input *input,
                   struct arena *arena, struct cost_input *ret_input, struct error *err)
{
    const struct cost_lookup *lookup;
    int rc = cost_lookup_make(input, arena, &lookup, err);
    return rc < 0 ? rc : override_apply_to(lookup, list, count, arena, ret_input, err);
}

int override_apply_to(const struct cost_lookup *lookup, const struct override *list, int count,
                      struct arena *arena, struct cost_input *ret_input, struct error *err)
{
    struct override_work work = {
        .whole = lookup->input, .lookup = *lookup, .arena = arena, .err = err};
    int rc = begin(&work);
    for (int i = 0; i < count && rc == 0; i++) {
        work.now = &list[i];
        rc = change(&work);
        if (rc < 0 && rc != ERR_NO_MEMORY) {
            return error_prefix(err, "%.120s", list[i].path);
        }
    }
    if (rc < 0) {
        return override_no_memory(&work);
    }
    *ret_input = work.input;
    return 0;
}

/* What numbers a change may touch is copied at once; apps when they are changed. */
static int begin(struct override_work *work)
{
    const struct cost_input *whole = work->whole;
    const struct world *from = whole->world;
    struct arena *arena = work->arena;
    struct world *world = arena_alloc(arena, sizeof(*world));
    int cells = from->site_count * from->site_count;
    work->input = *whole;
    work->own_app = arena_array(arena, (size_t)whole->app_count + 1, sizeof(bool));
    work->input.apps = copy_of(arena, whole->apps, whole->app_count, sizeof(struct cost_app));
    work->input.estimates.list =
        copy_of(arena, whole->estimates.list, whole->estimates.count, sizeof(struct estimate));
    if (world == NULL || work->own_app == NULL || work->input.apps == NULL ||
        work->input.estimates.list == NULL) {
        return ERR_NO_MEMORY;
    }
    work->lookup.input = &work->input;
    *world = *from;
    world->sites = copy_of(arena, from->sites, from->site_count, sizeof(struct site));
    world->egress = copy_of(arena, from->egress, from->egress_count, sizeof(struct egress_rule));
    world->rtt_us = copy_of(arena, from->rtt_us, cells, sizeof(int64_t));
    if (world->sites == NULL || world->egress == NULL || world->rtt_us == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int i = 0; i < from->egress_count; i++) {
        struct egress_rule *rule = &world->egress[i];
        rule->tiers = copy_of(arena, rule->tiers, rule->tier_count, sizeof(struct egress_tier));
        if (rule->tiers == NULL) {
            return ERR_NO_MEMORY;
        }
    }
    work->world = world;
    work->input.world = world;
    return 0;
}

static int change(struct override_work *work)
{
    switch (work->now->kind) {
    case OVERRIDE_PRICE:
        return override_price_change(work);
    case OVERRIDE_OVERHEAD:
    case OVERRIDE_SPEED:
    case OVERRIDE_CAPACITY:
        return override_site_change(work);
    case OVERRIDE_LATENCY:
        return override_latency_change(work);
    case OVERRIDE_WEIGHT:
        return override_weight_change(work);
    case OVERRIDE_POLICY:
        return override_policy_change(work);
    case OVERRIDE_REMOVE_PROVIDER:
    case OVERRIDE_REMOVE_SITE:
    case OVERRIDE_ADD_SITE:
    case OVERRIDE_RETAG:
    case OVERRIDE_MOVE:
    case OVERRIDE_SLO:
        return override_shape_change(work);
    default:
        return override_measure_change(work);
    }
}

int override_scale(struct override_work *work, int64_t value, int64_t *ret_value)
{
    struct decimal factor = work->now->factor;
    __int128 divisor = 1;
    for (int i = 0; i < factor.scale; i++) {
        divisor *= 10;
    }
    __int128 product = (__int128)value * factor.coefficient;
    __int128 quotient = product / divisor;
    __int128 twice = product % divisor * 2;
    quotient += twice > divisor || (twice == divisor && quotient % 2 != 0);
    if (value < 0 || quotient > INT64_MAX) {
        return error_set(work->err, ERR_OVERFLOW, 0, "%" PRId64 " times as much is too large",
                         value);
    }
    *ret_value = (int64_t)quotient;
    return 0;
}

/* Exact while 18 digits hold it. */
struct decimal override_price_times(struct decimal price, struct decimal factor)
{
    const __int128 most = INT64_C(999999999999999999);
    __int128 product = (__int128)price.coefficient * factor.coefficient;
    int scale = price.scale + factor.scale;
    while (scale > 0 && product % 10 == 0 && product != 0) {
        product /= 10;
        scale--;
    }
    /* The digits that are cut are counted together, so that it is rounded once. */
    __int128 divisor = 1;
    while (scale > 0 && (scale > DECIMAL_SCALE_MAX || product / divisor > most)) {
        divisor *= 10;
        scale--;
    }
    __int128 twice = product % divisor * 2;
    product /= divisor;
    product += twice > divisor || (twice == divisor && product % 2 != 0);
    if (product > most) {
        product = most; /* no price is a billion dollars */
    }
    return (struct decimal){(int64_t)product, product == 0 ? 0 : scale};
}

int64_t override_proportion(int64_t amount, int64_t numerator, int64_t denominator)
{
    if (denominator <= 0) {
        return amount;
    }
    __int128 result = ((__int128)amount * numerator + denominator / 2) / denominator;
    return result > INT64_MAX ? INT64_MAX : (int64_t)result;
}

int override_ratio(struct override_work *work, int64_t present_ppm, int64_t *ret_ppm)
{
    int64_t ppm = 0;
    int rc = work->now->relative ? override_scale(work, present_ppm, &ppm)
                                 : override_number(work, UNIT_RATIO, &ppm);
    if (rc < 0) {
        return rc;
    }
    if (!work->now->relative && ppm > PPM) {
        return error_set(work->err, ERR_INVALID, 0, "\"%.40s\": a ratio is from 0 to 1",
                         work->now->value);
    }
    *ret_ppm = ppm > PPM ? PPM : ppm;
    return 0;
}

struct app *override_app(struct override_work *work, int app)
{
    struct cost_app *where = &work->input.apps[app];
    if (!work->own_app[app]) {
        where->app = arena_copy(work->arena, where->app, sizeof(*where->app));
        work->own_app[app] = where->app != NULL;
    }
    return (struct app *)where->app;
}

int override_own_workloads(struct override_work *work, int app)
{
    struct app *own = (struct app *)work->input.apps[app].app;
    const struct app *whole = work->whole->apps[app].app;
    if (own->workloads == whole->workloads) {
        own->workloads =
            copy_of(work->arena, whole->workloads, whole->workload_count, sizeof(struct workload));
    }
    return own->workloads == NULL ? ERR_NO_MEMORY : 0;
}

int override_own_variants(struct override_work *work, int app, int workload)
{
    if (override_own_workloads(work, app) < 0) {
        return ERR_NO_MEMORY;
    }
    struct workload *own = &work->input.apps[app].app->workloads[workload];
    const struct workload *whole = &work->whole->apps[app].app->workloads[workload];
    if (own->variants == whole->variants) {
        own->variants =
            copy_of(work->arena, whole->variants, whole->variant_count, sizeof(struct variant));
    }
    return own->variants == NULL ? ERR_NO_MEMORY : 0;
}

int override_own_curve(struct override_work *work, int app, int workload)
{
    if (override_own_workloads(work, app) < 0) {
        return ERR_NO_MEMORY;
    }
    struct workload *own = &work->input.apps[app].app->workloads[workload];
    const struct workload *whole = &work->whole->apps[app].app->workloads[workload];
    if (own->curve == whole->curve) {
        own->curve =
            copy_of(work->arena, whole->curve, whole->curve_count, sizeof(struct hit_point));
    }
    return own->curve == NULL ? ERR_NO_MEMORY : 0;
}

int override_own_links(struct override_work *work, int app)
{
    struct app *own = (struct app *)work->input.apps[app].app;
    const struct app *whole = work->whole->apps[app].app;
    if (own->links == whole->links) {
        own->links = copy_of(work->arena, whole->links, whole->link_count, sizeof(struct link));
    }
    return own->links == NULL ? ERR_NO_MEMORY : 0;
}

int override_own_all(struct override_work *work, int app)
{
    struct app *own = (struct app *)work->input.apps[app].app;
    struct app whole = *own;
    return app_copy(&whole, work->arena, own) < 0 ? ERR_NO_MEMORY : 0;
}

/* The app of "namespace/app/..." where both are written out; *ret_rest is what follows. */
static bool names_app(const struct override_work *work, const char *glob, int *ret_app,
                      const char **ret_rest)
{
    char namespace_[LIMIT_NAME_BYTES];
    char name[LIMIT_NAME_BYTES];
    size_t first = strcspn(glob, "/*?");
    if (glob[first] != '/' || first >= sizeof(namespace_)) {
        return false;
    }
    const char *second = glob + first + 1;
    size_t bytes = strcspn(second, "/*?");
    if (second[bytes] != '/' || bytes >= sizeof(name)) {
        return false;
    }
    memcpy(namespace_, glob, first);
    namespace_[first] = '\0';
    memcpy(name, second, bytes);
    name[bytes] = '\0';
    *ret_app = cost_lookup_app(&work->lookup, namespace_, name);
    *ret_rest = second + bytes + 1;
    return true;
}

/* What is written out to the app means one app at most: a draw has thousands of such changes. */
struct override_who override_who(const struct override_work *work)
{
    const struct cost_input *input = &work->input;
    struct override_who who = {.end = input->app_count};
    int app = -1;
    if (names_app(work, work->now->glob, &app, &who.rest)) {
        who.first = app < 0 ? 0 : app;
        who.end = app < 0 ? 0 : app + 1;
        return who;
    }
    for (int i = 0; i < input->app_count && !who.by_app; i++) {
        who.by_app = override_means_app(input->apps[i].app, work->now->glob);
    }
    return who;
}

/* False: no name that begins with these two, a slash after each, can be meant. It spares writing
 * the names out: a draw has a change for each of a thousand apps. */
static bool may_begin(const char *glob, const char *first, const char *second)
{
    const char *parts[] = {first, "/", second, "/"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (const char *at = parts[i]; *at != '\0'; at++, glob++) {
            if (*glob == '*' || *glob == '\0') {
                return true;
            }
            if (*glob != '?' && *glob != *at) {
                return false;
            }
        }
    }
    return true;
}

bool override_means_app(const struct app *app, const char *glob)
{
    if (!may_begin(glob, app->namespace_, app->name) && !may_begin(glob, app->name, "")) {
        return false;
    }
    char full[LIMIT_REF_BYTES];
    str_format(full, sizeof(full), "%s/%s", app->namespace_, app->name);
    return override_matches(glob, app->name) ||
           (strchr(glob, '/') != NULL && override_matches(glob, full));
}

bool override_means(const struct override_who *who, const struct app *app, int workload,
                    const char *glob)
{
    const struct workload *what = &app->workloads[workload];
    if (who->rest != NULL) {
        return override_matches(who->rest, what->name) ||
               (what->family[0] != '\0' && override_matches(who->rest, what->family));
    }
    if (who->by_app && override_means_app(app, glob)) {
        return true;
    }
    return (!who->by_app || strchr(glob, '/') != NULL) &&
           (is_workload(app, workload, what->name, glob) ||
            (what->family[0] != '\0' && is_workload(app, workload, what->family, glob)));
}

static bool is_workload(const struct app *app, int workload, const char *name, const char *glob)
{
    char full[LIMIT_REF_BYTES + LIMIT_NAME_BYTES];
    (void)workload;
    if (strchr(glob, '/') != NULL && !may_begin(glob, app->namespace_, app->name) &&
        !may_begin(glob, app->name, name)) {
        return false;
    }
    str_format(full, sizeof(full), "%s/%s/%s", app->namespace_, app->name, name);
    if (strchr(glob, '/') == NULL) {
        return override_matches(glob, name);
    }
    return override_matches(glob, full + strlen(app->namespace_) + 1) ||
           override_matches(glob, full);
}

int override_nothing(struct override_work *work, const char *what, const char *const *names,
                     int count)
{
    const char *near = str_nearest(work->now->glob, names, (size_t)count);
    return error_set(work->err, ERR_NOT_FOUND, 0, "no %s is called \"%.100s\"%s%.140s%s", what,
                     work->now->glob,
                     near != NULL ? "; did you mean \""
                     : count > 0  ? "; there is \""
                                  : "; there is none",
                     near != NULL ? near
                     : count > 0  ? names[0]
                                  : "",
                     count > 0 ? "\"?" : "");
}

/* The names of apps, and of workloads with their apps and without. */
static int collect(struct override_work *work, const char **names)
{
    int count = 0;
    for (int i = 0; i < work->input.app_count; i++) {
        const struct app *app = work->input.apps[i].app;
        if (count < OVERRIDE_NAMES_MAX) {
            names[count++] = app->name;
        }
        for (int k = 0; k < app->workload_count && count + 2 < OVERRIDE_NAMES_MAX; k++) {
            const char *name = app->workloads[k].family[0] != '\0' ? app->workloads[k].family
                                                                   : app->workloads[k].name;
            const char *both = arena_printf(work->arena, "%s/%s", app->name, name);
            if (both != NULL) {
                names[count++] = both;
            }
            names[count++] = name;
        }
    }
    return count;
}

int override_no_workload(struct override_work *work, const char *which)
{
    if (work->err == NULL) {
        return ERR_NOT_FOUND; /* looking for the nearest name takes long */
    }
    const char **names = arena_array(work->arena, OVERRIDE_NAMES_MAX, sizeof(*names));
    if (names == NULL) {
        return override_no_memory(work);
    }
    int count = collect(work, names);
    if (which[0] == '\0') {
        return override_nothing(work, "app or workload", names, count);
    }
    return error_set(work->err, ERR_NOT_FOUND, 0, "nothing called \"%.100s\" %s", work->now->glob,
                     which);
}

int override_no_site(struct override_work *work)
{
    const char *names[LIMIT_SITES] = {NULL};
    int count = 0;
    for (int i = 0; i < work->world->site_count && count < LIMIT_SITES; i++) {
        names[count++] = work->world->sites[i].name;
    }
    return override_nothing(work, "site", names, count);
}

int override_no_memory(struct override_work *work)
{
    return error_set(work->err, ERR_NO_MEMORY, 0, "no memory for the changed inputs");
}

static void *copy_of(struct arena *arena, const void *from, int count, size_t each)
{
    void *to = arena_alloc_raw(arena, ((size_t)count + 1) * each);
    if (to != NULL && count > 0) {
        memcpy(to, from, (size_t)count * each);
    }
    return to;
}
