/* Workloads that may not move stay where they are, with the variant that they have, unless a rule
 * forbids just that. */
#include "base/str.h"
#include "model/cost_internal.h"

/* Where a part must or will stay: a site, and a variant or (-1) any of it. */
struct fixed {
    int site; /* -1: open */
    int variant;
};

struct holds {
    struct cost_rules *rules;
    struct fixed *fixed; /* [part] */
};

static void fix_parts(struct holds *holds);
static bool is_allowed_now(const struct holds *holds, int part);
static bool is_held(const struct holds *holds, int part);
static void release_conflicts(struct holds *holds);
static bool pair_fits(const struct holds *holds, const struct problem_rule *rule);
static void release_at(struct holds *holds, const struct problem_rule *rule);
static int64_t demand_of(const struct holds *holds, int part, int resource);
static void release(struct holds *holds, int part);
static bool matches(const struct fixed *fixed, const struct cost_spot *spot);

void cost_holds_add(struct cost_rules *rules)
{
    const struct cost_context *context = rules->context;
    struct holds holds = {
        rules, arena_array(rules->arena, (size_t)context->part_count + 1, sizeof(struct fixed))};
    if (holds.fixed == NULL) {
        rules->no_memory = true;
        return;
    }
    fix_parts(&holds);
    release_conflicts(&holds);
    for (int part = 0; part < context->part_count; part++) {
        const struct cost_part_info *info = &context->parts[part];
        struct problem_rule *rule =
            is_held(&holds, part)
                ? cost_rule_add(rules, RULE_CHOICES, part, -1, (size_t)info->spot_count)
                : NULL;
        for (int i = 0; rule != NULL && i < info->spot_count; i++) {
            rule->allowed[i] = cost_is_there(&info->now, &info->spots[i]);
            rules->allowed[part][i] = rules->allowed[part][i] && rule->allowed[i];
        }
        if (rule != NULL) {
            const char *words[] = {rules->problem->parts[part].name, " stays at ",
                                   context->world->sites[info->now.site].name,
                                   ": it may not move now"};
            cost_words(rule->text, sizeof(rule->text), words, 4);
        }
    }
}

/* A part is fixed where it is held, or where the rules on it alone leave one site. */
static void fix_parts(struct holds *holds)
{
    const struct cost_context *context = holds->rules->context;
    for (int part = 0; part < context->part_count; part++) {
        const struct cost_part_info *info = &context->parts[part];
        struct fixed fixed = {-1, -1};
        bool several = false;
        bool first = true;
        for (int i = 0; i < info->spot_count; i++) {
            const struct cost_spot *spot = &info->spots[i];
            if (!holds->rules->allowed[part][i]) {
                continue;
            }
            several = several || (!first && fixed.site != spot->site);
            fixed.variant = first || fixed.variant == spot->variant ? spot->variant : -1;
            fixed.site = spot->site;
            first = false;
        }
        if (several) {
            fixed.site = -1;
        }
        if (!info->state->may_move && info->now.site >= 0 && is_allowed_now(holds, part)) {
            fixed = (struct fixed){info->now.site, info->now.variant};
        }
        holds->fixed[part] = fixed;
    }
}

static bool is_allowed_now(const struct holds *holds, int part)
{
    const struct cost_part_info *info = &holds->rules->context->parts[part];
    for (int i = 0; i < info->spot_count; i++) {
        if (cost_is_there(&info->now, &info->spots[i]) && holds->rules->allowed[part][i]) {
            return true;
        }
    }
    return false;
}

static bool is_held(const struct holds *holds, int part)
{
    const struct cost_part_info *info = &holds->rules->context->parts[part];
    return !info->state->may_move && info->now.site >= 0 &&
           holds->fixed[part].site == info->now.site && is_allowed_now(holds, part);
}

/* Where what is fixed breaks a rule together, the held ones among it are let go. Who shares with
 * whom is not fixed by a hold. */
static void release_conflicts(struct holds *holds)
{
    const struct cost_rules *rules = holds->rules;
    for (int i = 0; i < rules->problem->rule_count; i++) {
        const struct problem_rule *rule = &rules->problem->rules[i];
        bool family = i >= rules->family_rules && i < rules->family_end;
        if (rule->kind == RULE_PAIR && !family) {
            if (holds->fixed[rule->a].site >= 0 && holds->fixed[rule->b].site >= 0 &&
                !pair_fits(holds, rule)) {
                release(holds, rule->a);
                release(holds, rule->b);
            }
        } else if (rule->kind == RULE_APART) {
            for (int k = 0; k < rule->part_count; k++) {
                for (int m = k + 1; m < rule->part_count; m++) {
                    int site = holds->fixed[rule->parts[k]].site;
                    if (site >= 0 && site == holds->fixed[rule->parts[m]].site) {
                        release(holds, rule->parts[k]);
                        release(holds, rule->parts[m]);
                    }
                }
            }
        } else if (rule->kind == RULE_CAPACITY) {
            release_at(holds, rule);
        }
    }
}

/* Some choices of both, where they are fixed, go together. */
static bool pair_fits(const struct holds *holds, const struct problem_rule *rule)
{
    const struct cost_part_info *a = &holds->rules->context->parts[rule->a];
    const struct cost_part_info *b = &holds->rules->context->parts[rule->b];
    for (int i = 0; i < a->spot_count; i++) {
        if (!matches(&holds->fixed[rule->a], &a->spots[i])) {
            continue;
        }
        for (int k = 0; k < b->spot_count; k++) {
            if (matches(&holds->fixed[rule->b], &b->spots[k]) &&
                rule->allowed[(size_t)i * (size_t)b->spot_count + (size_t)k]) {
                return true;
            }
        }
    }
    return false;
}

static void release_at(struct holds *holds, const struct problem_rule *rule)
{
    int parts = holds->rules->context->part_count;
    __int128 used = 0;
    for (int part = 0; part < parts; part++) {
        if (holds->fixed[part].site == rule->site) {
            used += demand_of(holds, part, (int)rule->resource);
        }
    }
    for (int part = 0; used > rule->capacity && part < parts; part++) {
        if (holds->fixed[part].site == rule->site) {
            release(holds, part);
        }
    }
}

/* The least that it takes where it is fixed; what is shared is the lead's. */
static int64_t demand_of(const struct holds *holds, int part, int resource)
{
    const struct cost_part_info *info = &holds->rules->context->parts[part];
    const struct problem_part *choices = &holds->rules->problem->parts[part];
    int64_t least = -1;
    if (is_held(holds, part) && info->now.lead != part) {
        return 0;
    }
    for (int i = 0; i < info->spot_count; i++) {
        int64_t demand = choices->choices[i].demand[resource];
        if (matches(&holds->fixed[part], &info->spots[i]) && info->spots[i].lead == part &&
            (least < 0 || demand < least)) {
            least = demand;
        }
    }
    return least < 0 ? 0 : least;
}

static void release(struct holds *holds, int part)
{
    if (is_held(holds, part)) {
        holds->fixed[part].site = -1;
    }
}

static bool matches(const struct fixed *fixed, const struct cost_spot *spot)
{
    return spot->site == fixed->site && (fixed->variant < 0 || spot->variant == fixed->variant);
}
