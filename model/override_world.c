/* Overrides of the world: prices, what a site can do, latencies, weights, the policy. */
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/app.h"
#include "model/override_internal.h"
#include "model/weights.h"

static void change_site_prices(struct override_work *work, int *matched);
static void change_egress(struct override_work *work, int *matched);
static void change_tiers(const struct override *now, struct egress_rule *rule);
static struct decimal in_proportion(struct decimal price, struct decimal wanted,
                                    struct decimal first);
static struct decimal new_price(const struct override *now, struct decimal present);
static int change_path(struct override_work *work, int from, int to);
static void change_measured(struct override_work *work, int from, int to, int64_t present,
                            int64_t value);
static int change_weights(struct override_work *work, struct weights *weights);
static int64_t *weight_ppm(struct weights *weights, int index);

int override_price_change(struct override_work *work)
{
    int matched = 0;
    change_site_prices(work, &matched);
    if ((work->now->prices >> PRICE_EGRESS & 1) != 0) {
        change_egress(work, &matched);
    }
    return matched == 0 ? override_no_price(work) : 0;
}

static void change_site_prices(struct override_work *work, int *matched)
{
    const struct override *now = work->now;
    for (int i = 0; i < work->world->site_count; i++) {
        struct site *site = &work->world->sites[i];
        struct decimal *prices[] = {&site->cpu_price, &site->memory_price, &site->storage_price};
        /* A client has no prices to change, and pays nobody for one that is set. */
        if (site->tier == TIER_CLIENT || !override_matches(now->glob, site->name)) {
            continue;
        }
        for (int k = 0; k < 3; k++) {
            if ((now->prices >> k & 1) != 0) {
                *prices[k] = new_price(now, *prices[k]);
                ++*matched;
            }
        }
    }
}

static void change_egress(struct override_work *work, int *matched)
{
    for (int i = 0; i < work->world->egress_count; i++) {
        if (override_is_rule(&work->world->egress[i], work->now->glob)) {
            change_tiers(work->now, &work->world->egress[i]);
            ++*matched;
        }
    }
}

/* All tiers in proportion; a price that is set is that of the first tier which costs anything. What
 * is free before it stays free: an allowance is no price. */
static void change_tiers(const struct override *now, struct egress_rule *rule)
{
    int paid = override_paid_tier(rule);
    struct decimal first = rule->tiers[paid].price;
    struct decimal wanted = new_price(now, first);
    for (int i = paid; i < rule->tier_count; i++) {
        struct decimal *price = &rule->tiers[i].price;
        if (now->relative) {
            *price = new_price(now, *price);
        } else if (first.coefficient == 0 || decimal_compare(*price, first) == 0) {
            *price = wanted;
        } else {
            *price = in_proportion(*price, wanted, first);
        }
    }
}

int override_paid_tier(const struct egress_rule *rule)
{
    for (int i = 0; i < rule->tier_count; i++) {
        if (rule->tiers[i].price.coefficient != 0) {
            return i;
        }
    }
    return 0;
}

/* price x wanted / first, rounded to a billionth of a millionth of a dollar. */
static struct decimal in_proportion(struct decimal price, struct decimal wanted,
                                    struct decimal first)
{
    unsigned __int128 quantity = PPM; /* money_of counts in 1e-9: together 15 digits */
    nusd part = 0;
    int64_t fits = 0;
    for (int d = 0; d < first.scale; d++) {
        quantity *= 10;
    }
    if (money_of(override_price_times(price, wanted), (uint64_t)first.coefficient, quantity,
                 &part) < 0 ||
        money_to_i64(part, &fits) < 0 || fits > INT64_C(999999999999999999)) {
        fits = INT64_C(999999999999999999); /* $1000 a unit: no tier costs that */
    }
    return decimal_normal((struct decimal){fits, 15});
}

bool override_is_rule(const struct egress_rule *rule, const char *glob)
{
    return override_matches(glob, rule->name) || override_matches(glob, rule->from);
}

static struct decimal new_price(const struct override *now, struct decimal present)
{
    struct decimal price = present;
    if (now->relative) {
        return override_price_times(present, now->factor);
    }
    int rc = decimal_parse(now->value, &price, NULL);
    BERTH_ASSERT(rc == 0, "a price that was read once: %s", now->value);
    return price;
}

int override_site_change(struct override_work *work)
{
    const struct override *now = work->now;
    int matched = 0;
    for (int i = 0; i < work->world->site_count; i++) {
        struct site *site = &work->world->sites[i];
        int64_t *field = now->kind == OVERRIDE_OVERHEAD ? &site->overhead_ppm
                         : now->kind == OVERRIDE_SPEED  ? &site->speed_ppm
                                                        : &site->capacity[now->index];
        int64_t present = *field;
        int rc = 0;
        if (!override_matches(now->glob, site->name)) {
            continue;
        }
        matched++;
        if (now->kind == OVERRIDE_CAPACITY && present < 0 && work->input.capacity != NULL) {
            present = work->input.capacity[i][now->index];
        }
        if (now->relative && present < 0) {
            return error_set(work->err, ERR_UNSUPPORTED, 0,
                             "%s declares no capacity and has no live node: write how much it is "
                             "to have",
                             site->name);
        }
        if (now->relative) {
            rc = override_scale(work, present, field);
        } else if (now->kind != OVERRIDE_CAPACITY) {
            rc = override_number(work, UNIT_RATIO, field);
        } else if (now->index == RESOURCE_CPU) {
            rc = units_cpu(now->value, field, work->err);
        } else {
            rc = units_bytes(now->value, field, work->err);
        }
        if (rc == 0 && now->kind == OVERRIDE_SPEED && *field == 0) {
            return error_set(work->err, ERR_INVALID, 0, "a speed is above 0");
        }
        if (rc < 0) {
            return rc;
        }
    }
    return matched == 0 ? override_no_site(work) : 0;
}

int override_latency_change(struct override_work *work)
{
    const struct override *now = work->now;
    int matched = 0;
    int count = work->world->site_count;
    for (int from = 0; from < count; from++) {
        for (int to = from + 1; to < count; to++) {
            const char *a = work->world->sites[from].name;
            const char *b = work->world->sites[to].name;
            bool meant = (override_matches(now->glob, a) && override_matches(now->peer, b)) ||
                         (override_matches(now->glob, b) && override_matches(now->peer, a));
            int rc = meant ? change_path(work, from, to) : 0;
            if (rc < 0) {
                return rc;
            }
            matched += meant;
        }
    }
    if (matched > 0) {
        return 0;
    }
    bool known = false;
    for (int i = 0; i < count && !known; i++) {
        known = override_matches(now->glob, work->world->sites[i].name);
    }
    struct override other = *now;
    struct override_work told = *work;
    if (known) {
        memcpy(other.glob, now->peer, sizeof(now->peer));
        told.now = &other;
    }
    return override_no_site(&told);
}

/* Both ways. */
static int change_path(struct override_work *work, int from, int to)
{
    const struct override *now = work->now;
    int ends[2] = {from, to};
    int64_t present[2];
    int64_t value[2] = {0, 0};
    bool measured = false;
    for (int way = 0; way < 2; way++) {
        bool known = false;
        present[way] = cost_rtt_us(&work->input, ends[way], ends[1 - way], &known);
        measured = measured || known;
        if (now->relative && present[way] < 0) {
            return 0; /* nothing tells it; a placement that needs it will say so */
        }
        int rc = now->relative ? override_scale(work, present[way], &value[way])
                               : override_number(work, UNIT_DURATION, &value[way]);
        if (rc < 0) {
            return rc;
        }
    }
    for (int way = 0; way < 2; way++) {
        work->world->rtt_us[ends[way] * work->world->site_count + ends[1 - way]] = value[way];
    }
    if (measured) {
        change_measured(work, from, to, present[0], value[0]);
    }
    return 0;
}

static void change_measured(struct override_work *work, int from, int to, int64_t present,
                            int64_t value)
{
    const char *a = work->world->sites[from].name;
    const char *b = work->world->sites[to].name;
    for (int i = 0; i < work->input.estimates.count; i++) {
        struct estimate *estimate = (struct estimate *)&work->input.estimates.list[i];
        if (estimate->kind == ESTIMATE_RTT_US && estimate->value >= 0 &&
            ((str_equal(estimate->site, a) && str_equal(estimate->peer, b)) ||
             (str_equal(estimate->site, b) && str_equal(estimate->peer, a)))) {
            estimate->value = estimate->value == present
                                  ? value
                                  : override_proportion(estimate->value, value, present);
        }
    }
}

int override_weight_change(struct override_work *work)
{
    const struct override *now = work->now;
    bool all = str_equal(now->glob, "*");
    int matched = all ? 1 : 0;
    if (all) {
        int rc = change_weights(work, &work->world->weights);
        if (rc < 0) {
            return rc;
        }
    }
    for (int i = 0; i < work->input.app_count; i++) {
        const struct app *from = work->input.apps[i].app;
        bool stated = (from->weights_stated >> now->index & 1) != 0;
        if (all ? !stated : !override_means_app(from, now->glob)) {
            continue;
        }
        struct weights held = app_weights(from, work->world);
        struct app *app = override_app(work, i);
        if (app == NULL) {
            return ERR_NO_MEMORY;
        }
        int rc = change_weights(work, &held);
        if (rc < 0) {
            return rc;
        }
        app->weights_stated |= 1U << now->index;
        app->weights = weights_over(&app->weights, &held, 1U << now->index);
        app->has_weights = true;
        matched++;
    }
    return matched == 0 ? override_no_workload(work, "") : 0;
}

static int change_weights(struct override_work *work, struct weights *weights)
{
    const struct override *now = work->now;
    struct decimal *dollars = now->index == WEIGHT_LATENCY ? &weights->latency_usd_per_second
                              : now->index == WEIGHT_DEVICE_CPU
                                  ? &weights->device_cpu_usd_per_second
                                  : NULL;
    if (dollars != NULL) {
        *dollars = new_price(now, *dollars);
        return 0;
    }
    int64_t *ppm = weight_ppm(weights, now->index);
    struct decimal value;
    if (now->relative) {
        return override_scale(work, *ppm, ppm);
    }
    int rc = decimal_parse(now->value, &value, work->err);
    if (rc == 0 && decimal_scaled(value, 6, ppm) < 0) {
        return error_set(work->err, ERR_OVERFLOW, 0, "\"%.40s\" is too large a weight", now->value);
    }
    return rc;
}

static int64_t *weight_ppm(struct weights *weights, int index)
{
    switch (index) {
    case WEIGHT_COMPUTE:
        return &weights->compute_ppm;
    case WEIGHT_STORAGE:
        return &weights->storage_ppm;
    case WEIGHT_EGRESS:
        return &weights->egress_ppm;
    default:
        return &weights->migration_ppm;
    }
}

int override_policy_change(struct override_work *work)
{
    const struct override_policy *field = &override_policies[work->now->index];
    char *at = (char *)&work->world->policy + field->offset;
    int64_t value = 0;
    int64_t present;
    nusd money;
    int count;
    memcpy(&count, at, sizeof(count));
    memcpy(&present, at, sizeof(present));
    if (field->unit == UNIT_COUNT) {
        present = count;
    } else if (field->unit == UNIT_MONEY) {
        memcpy(&money, at, sizeof(money));
        if (money_to_i64(money, &present) < 0) {
            return error_set(work->err, ERR_OVERFLOW, 0, "the amount is too large");
        }
    }
    int rc = work->now->relative ? override_scale(work, present, &value)
                                 : override_number(work, field->unit, &value);
    if (rc < 0) {
        return rc;
    }
    if (field->unit == UNIT_COUNT) {
        count = value > INT32_MAX ? INT32_MAX : (int)value;
        memcpy(at, &count, sizeof(count));
    } else if (field->unit == UNIT_MONEY) {
        money = value;
        memcpy(at, &money, sizeof(money));
    } else {
        memcpy(at, &value, sizeof(value));
    }
    const char *rule = world_policy_rule(&work->world->policy);
    return rule == NULL ? 0 : error_set(work->err, ERR_INVALID, 0, "%s", rule);
}

int override_no_price(struct override_work *work)
{
    const char *names[LIMIT_SITES + LIMIT_EGRESS_RULES];
    int count = 0;
    bool egress = (work->now->prices >> PRICE_EGRESS & 1) != 0;
    for (int i = 0; egress && i < work->world->egress_count; i++) {
        names[count++] = work->world->egress[i].name;
    }
    for (int i = 0; work->now->prices != 1U << PRICE_EGRESS && i < work->world->site_count; i++) {
        if (work->world->sites[i].tier != TIER_CLIENT) {
            names[count++] = work->world->sites[i].name;
        }
    }
    return override_nothing(work, egress ? "egress rule or site with a price" : "site with a price",
                            names, count);
}
