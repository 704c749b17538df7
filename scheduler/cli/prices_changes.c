/* Which figures differ between two worlds. */
#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/egress.h"
#include "model/measures.h"
#include "model/world.h"
#include "scheduler/cli/prices.h"

#define PERCENT_SCALE 9 /* decimals of a price that a percentage is computed from */

struct collector {
    struct arena *arena;
    struct price_changes changes;
    int capacity;
    bool no_memory;
};

static struct price_change *add(struct collector *collector, const char *what, const char *field,
                                const char *before, const char *after);
static void add_decimal(struct collector *collector, const char *what, const char *field,
                        struct decimal before, struct decimal after);
static void add_scaled(struct collector *collector, const char *what, const char *field,
                       int64_t before, int64_t after, int digits, const char *unit);
static void add_text(struct collector *collector, const char *what, const char *field,
                     const char *before, const char *after);
static void compare_sites(struct collector *collector, const struct world *old,
                          const struct world *now);
static void compare_site(struct collector *collector, const struct site *old,
                         const struct site *now);
static void compare_measures(struct collector *collector, const char *what,
                             const struct measures *old, const struct measures *now);
static void compare_egress(struct collector *collector, const struct world *old,
                           const struct world *now);
static void compare_rule(struct collector *collector, const struct egress_rule *old,
                         const struct egress_rule *now);
static void compare_tiers(struct collector *collector, const char *what,
                          const struct egress_rule *old, const struct egress_rule *now);
static void compare_paths(struct collector *collector, const struct world *old,
                          const struct world *now);
static void compare_path(struct collector *collector, const struct world *old,
                         const struct world *now, const int ends_old[2], const int ends_now[2],
                         bool both);
static void compare_terms(struct collector *collector, const struct world *old,
                          const struct world *now);
static const struct egress_rule *find_rule(const struct world *world, const char *name);
static const struct custom_term *find_term(const struct world *world, const char *name);
static const char *price_text(struct collector *collector, struct decimal price, int64_t per_bytes);

int price_changes(const struct world *old, const struct world *now, struct arena *arena,
                  struct price_changes *ret_changes, struct error *err)
{
    struct collector collector = {.arena = arena};
    compare_sites(&collector, old, now);
    compare_egress(&collector, old, now);
    compare_paths(&collector, old, now);
    compare_terms(&collector, old, now);
    if (collector.no_memory)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory to compare two worlds");
    *ret_changes = collector.changes;
    return 0;
}

static struct price_change *add(struct collector *collector, const char *what, const char *field,
                                const char *before, const char *after)
{
    struct price_changes *changes = &collector->changes;
    if (changes->count == collector->capacity) {
        int capacity = collector->capacity == 0 ? 64 : collector->capacity * 2;
        struct price_change *list =
            arena_array(collector->arena, (size_t)capacity, sizeof(struct price_change));
        if (list == NULL) {
            collector->no_memory = true;
            return NULL;
        }
        if (changes->count > 0)
            memcpy(list, changes->list, (size_t)changes->count * sizeof(*list));
        changes->list = list;
        collector->capacity = capacity;
    }
    struct price_change change = {
        .what = arena_strdup(collector->arena, what),
        .field = arena_strdup(collector->arena, field),
        .before = arena_strdup(collector->arena, before),
        .after = arena_strdup(collector->arena, after),
    };
    if (change.what == NULL || change.field == NULL || change.before == NULL ||
        change.after == NULL) {
        collector->no_memory = true;
        return NULL;
    }
    changes->list[changes->count] = change;
    return &changes->list[changes->count++];
}

static void add_decimal(struct collector *collector, const char *what, const char *field,
                        struct decimal before, struct decimal after)
{
    char texts[2][DECIMAL_TEXT_BYTES];
    int64_t from = 0;
    int64_t to = 0;
    if (decimal_compare(before, after) == 0)
        return;
    struct price_change *change = add(collector, what, field, decimal_format(before, texts[0]),
                                      decimal_format(after, texts[1]));
    if (change == NULL || decimal_scaled(before, PERCENT_SCALE, &from) < 0 ||
        decimal_scaled(after, PERCENT_SCALE, &to) < 0 || from <= 0)
        return;
    __int128 ppm = ((__int128)to - from) * PPM / from;
    change->comparable = ppm <= INT64_MAX;
    change->ppm = change->comparable ? (int64_t)ppm : 0;
}

/* An integer as the decimal that people know it by. */
static void add_scaled(struct collector *collector, const char *what, const char *field,
                       int64_t before, int64_t after, int digits, const char *unit)
{
    char name[LIMIT_TEXT_BYTES];
    if (before == after)
        return;
    str_format(name, sizeof(name), "%s%s%s", field, unit[0] == 0 ? "" : " ", unit);
    add_decimal(collector, what, name, (struct decimal){before, digits},
                (struct decimal){after, digits});
}

static void add_text(struct collector *collector, const char *what, const char *field,
                     const char *before, const char *after)
{
    if (!str_equal(before, after))
        (void)add(collector, what, field, before, after);
}

static void compare_sites(struct collector *collector, const struct world *old,
                          const struct world *now)
{
    for (int i = 0; i < old->site_count; i++) {
        int there = world_site(now, old->sites[i].name);
        if (there < 0)
            (void)add(collector, old->sites[i].name, "", "there", "gone");
        else
            compare_site(collector, &old->sites[i], &now->sites[there]);
    }
    for (int i = 0; i < now->site_count; i++)
        if (world_site(old, now->sites[i].name) < 0)
            (void)add(collector, now->sites[i].name, "", "", "new");
}

static void compare_site(struct collector *collector, const struct site *old,
                         const struct site *now)
{
    add_text(collector, old->name, "tier", tier_words[old->tier], tier_words[now->tier]);
    add_text(collector, old->name, "provider", old->provider, now->provider);
    add_decimal(collector, old->name, "price.cpu", old->cpu_price, now->cpu_price);
    add_decimal(collector, old->name, "price.memory", old->memory_price, now->memory_price);
    add_decimal(collector, old->name, "price.storage", old->storage_price, now->storage_price);
    add_scaled(collector, old->name, "overhead", old->overhead_ppm, now->overhead_ppm, 6, "");
    add_scaled(collector, old->name, "speed", old->speed_ppm, now->speed_ppm, 6, "");
    if (old->has_cpu_weight && now->has_cpu_weight)
        add_decimal(collector, old->name, "cpu_weight", old->cpu_weight, now->cpu_weight);
    else if (old->has_cpu_weight != now->has_cpu_weight)
        (void)add(collector, old->name, "cpu_weight", old->has_cpu_weight ? "stated" : "",
                  now->has_cpu_weight ? "stated" : "");
    compare_measures(collector, old->name, &old->measures, &now->measures);
}

static void compare_measures(struct collector *collector, const char *what,
                             const struct measures *old, const struct measures *now)
{
    char field[LIMIT_NAME_BYTES * 2];
    char text[DECIMAL_TEXT_BYTES];
    for (int i = 0; i < old->count; i++) {
        const struct measure *measure = &old->list[i];
        const struct measure *other = measures_find(now, measure->name);
        str_format(field, sizeof(field), "measures.%s", measure->name);
        if (other == NULL) {
            (void)add(collector, what, field, decimal_format(measure->value, text), "");
        } else {
            add_decimal(collector, what, field, measure->value, other->value);
            str_format(field, sizeof(field), "measures.%s.unit", measure->name);
            add_text(collector, what, field, measure->unit, other->unit);
        }
    }
    for (int i = 0; i < now->count; i++) {
        str_format(field, sizeof(field), "measures.%s", now->list[i].name);
        if (measures_find(old, now->list[i].name) == NULL)
            (void)add(collector, what, field, "", decimal_format(now->list[i].value, text));
    }
}

static void compare_egress(struct collector *collector, const struct world *old,
                           const struct world *now)
{
    char what[LIMIT_TEXT_BYTES];
    for (int i = 0; i < old->egress_count; i++) {
        const struct egress_rule *rule = find_rule(now, old->egress[i].name);
        str_format(what, sizeof(what), "egress %s", old->egress[i].name);
        if (rule == NULL)
            (void)add(
                collector, what, "",
                price_text(collector, old->egress[i].tiers[0].price, old->egress[i].per_bytes),
                "gone");
        else
            compare_rule(collector, &old->egress[i], rule);
    }
    for (int i = 0; i < now->egress_count; i++) {
        str_format(what, sizeof(what), "egress %s", now->egress[i].name);
        if (find_rule(old, now->egress[i].name) == NULL)
            (void)add(
                collector, what, "", "",
                price_text(collector, now->egress[i].tiers[0].price, now->egress[i].per_bytes));
    }
}

static void compare_rule(struct collector *collector, const struct egress_rule *old,
                         const struct egress_rule *now)
{
    static const char *const payers[] = {"sender", "receiver"};
    char what[LIMIT_TEXT_BYTES];
    char to[2][EGRESS_TO_BYTES];
    str_format(what, sizeof(what), "egress %s", old->name);
    add_text(collector, what, "from", old->from, now->from);
    if (!egress_same_to(old, now))
        (void)add(collector, what, "to", egress_to_text(old, to[0]), egress_to_text(now, to[1]));
    add_text(collector, what, "payer", payers[old->payer], payers[now->payer]);
    add_text(collector, what, "per", old->per_bytes == 1000000000 ? "GB" : "GiB",
             now->per_bytes == 1000000000 ? "GB" : "GiB");
    compare_tiers(collector, what, old, now);
}

static void compare_tiers(struct collector *collector, const char *what,
                          const struct egress_rule *old, const struct egress_rule *now)
{
    char field[LIMIT_NAME_BYTES];
    char texts[2][UNITS_TEXT_BYTES];
    int most = old->tier_count > now->tier_count ? old->tier_count : now->tier_count;
    for (int i = 0; i < most; i++) {
        const struct egress_tier *before = i < old->tier_count ? &old->tiers[i] : NULL;
        const struct egress_tier *after = i < now->tier_count ? &now->tiers[i] : NULL;
        str_format(field, sizeof(field), "tiers[%d].price", i);
        if (before == NULL || after == NULL) {
            (void)add(collector, what, field,
                      before == NULL ? "" : price_text(collector, before->price, old->per_bytes),
                      after == NULL ? "" : price_text(collector, after->price, now->per_bytes));
            continue;
        }
        add_decimal(collector, what, field, before->price, after->price);
        if (before->up_to_bytes != after->up_to_bytes) {
            str_format(field, sizeof(field), "tiers[%d].up_to", i);
            (void)add(collector, what, field,
                      before->up_to_bytes == INT64_MAX
                          ? "no limit"
                          : units_format_bytes(before->up_to_bytes, texts[0]),
                      after->up_to_bytes == INT64_MAX
                          ? "no limit"
                          : units_format_bytes(after->up_to_bytes, texts[1]));
        }
    }
}

/* A pair that changes alike both ways is one change. */
static void compare_paths(struct collector *collector, const struct world *old,
                          const struct world *now)
{
    int there[LIMIT_SITES];
    for (int i = 0; i < old->site_count; i++)
        there[i] = world_site(now, old->sites[i].name);
    for (int a = 0; a < old->site_count; a++) {
        for (int b = a + 1; b < old->site_count; b++) {
            if (there[a] < 0 || there[b] < 0)
                continue;
            int old_ab = a * old->site_count + b;
            int old_ba = b * old->site_count + a;
            int now_ab = there[a] * now->site_count + there[b];
            int now_ba = there[b] * now->site_count + there[a];
            bool alike = old->rtt_us[old_ab] == old->rtt_us[old_ba] &&
                         now->rtt_us[now_ab] == now->rtt_us[now_ba] &&
                         old->factor_us[old_ab] == old->factor_us[old_ba] &&
                         now->factor_us[now_ab] == now->factor_us[now_ba] &&
                         old->us_per_mib[old_ab] == old->us_per_mib[old_ba] &&
                         now->us_per_mib[now_ab] == now->us_per_mib[now_ba];
            compare_path(collector, old, now, (const int[]){a, b},
                         (const int[]){there[a], there[b]}, alike);
            if (!alike)
                compare_path(collector, old, now, (const int[]){b, a},
                             (const int[]){there[b], there[a]}, false);
        }
    }
}

static void compare_path(struct collector *collector, const struct world *old,
                         const struct world *now, const int ends_old[2], const int ends_now[2],
                         bool both)
{
    char what[LIMIT_REF_BYTES * 3];
    int cell_old = ends_old[0] * old->site_count + ends_old[1];
    int cell_now = ends_now[0] * now->site_count + ends_now[1];
    int64_t before = old->rtt_us[cell_old];
    int64_t after = now->rtt_us[cell_now];
    if (before == after && old->factor_us[cell_old] == now->factor_us[cell_now] &&
        old->us_per_mib[cell_old] == now->us_per_mib[cell_now])
        return;
    str_format(what, sizeof(what), "path %s %s %s", old->sites[ends_old[0]].name, both ? "-" : "to",
               old->sites[ends_old[1]].name);
    if (before >= 0 && after >= 0) {
        add_scaled(collector, what, "rtt", before, after, 3, "ms");
    } else if (before != after) {
        char text[UNITS_TEXT_BYTES];
        const char *stated = units_format_duration(before >= 0 ? before : after, text);
        (void)add(collector, what, "rtt", before >= 0 ? stated : "", after >= 0 ? stated : "");
    }
    add_scaled(collector, what, "factor", old->factor_us[cell_old], now->factor_us[cell_now], 3,
               "ms");
    add_scaled(collector, what, "per_mib", old->us_per_mib[cell_old], now->us_per_mib[cell_now], 3,
               "ms");
}

static void compare_terms(struct collector *collector, const struct world *old,
                          const struct world *now)
{
    char what[LIMIT_TEXT_BYTES];
    for (int i = 0; i < old->term_count; i++) {
        const struct custom_term *term = &old->terms[i];
        const struct custom_term *other = find_term(now, term->name);
        str_format(what, sizeof(what), "term %s", term->name);
        if (other == NULL) {
            (void)add(collector, what, "", "there", "gone");
            continue;
        }
        add_text(collector, what, "formula", term->formula, other->formula);
        add_text(collector, what, "into", term->billed ? "bill" : "score",
                 other->billed ? "bill" : "score");
        add_scaled(collector, what, "weight", term->weight_ppm, other->weight_ppm, 6, "");
    }
    for (int i = 0; i < now->term_count; i++) {
        str_format(what, sizeof(what), "term %s", now->terms[i].name);
        if (find_term(old, now->terms[i].name) == NULL)
            (void)add(collector, what, "", "", "new");
    }
}

static const struct egress_rule *find_rule(const struct world *world, const char *name)
{
    for (int i = 0; i < world->egress_count; i++)
        if (str_equal(world->egress[i].name, name))
            return &world->egress[i];
    return NULL;
}

static const struct custom_term *find_term(const struct world *world, const char *name)
{
    for (int i = 0; i < world->term_count; i++)
        if (str_equal(world->terms[i].name, name))
            return &world->terms[i];
    return NULL;
}

static const char *price_text(struct collector *collector, struct decimal price, int64_t per_bytes)
{
    char text[DECIMAL_TEXT_BYTES];
    const char *whole = arena_printf(collector->arena, "%s per %s", decimal_format(price, text),
                                     per_bytes == 1000000000 ? "GB" : "GiB");
    collector->no_memory = collector->no_memory || whole == NULL;
    return whole == NULL ? "" : whole;
}
