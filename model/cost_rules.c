/* What a placement may not do, each rule with the sentence that explains it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

#define RULES_PER_PART  5 /* tiers, pin, blocked, no live node, held; beside one for each tag */
#define PART_NAME_BYTES (LIMIT_REF_BYTES + LIMIT_NAME_BYTES)

struct rules {
    const struct cost_context *context;
    struct arena *arena;
    struct problem *problem;
    bool **allowed; /* [part][site]: what the rules on one part leave */
    int *fixed;     /* [part]: the site where it must or will stay; -1: open */
    bool no_memory;
};

static int begin(struct rules *rules);
static struct problem_rule *add_rule(struct rules *rules, enum rule_kind kind, int a, int b,
                                     int cells);
static void set_text(struct problem_rule *rule, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void narrow(struct rules *rules, const struct problem_rule *rule);
static void add_part_rules(struct rules *rules, int part);
static void add_tiers(struct rules *rules, int part, const char *name);
static void add_live(struct rules *rules, int part, const char *name);
static void add_latency(struct rules *rules, int link);
static void add_apart(struct rules *rules, int app, const struct apart *apart);
static void add_capacity(struct rules *rules, int site);
static int64_t capacity_of(const struct cost_context *context, int site, int resource);
static bool has_live_node(const struct cost_context *context, int site);
static int check_latencies(const struct rules *rules, struct error *err);
static void add_holds(struct rules *rules);
static void fix_parts(struct rules *rules);
static void release_conflicts(struct rules *rules);
static void release_at(struct rules *rules, const struct problem_rule *rule);
static void release(struct rules *rules, int part);
static bool is_held(const struct rules *rules, int part);

int cost_rules_build(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err)
{
    struct rules rules = {.context = context, .arena = arena, .problem = problem};
    if (begin(&rules) < 0) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement's rules");
    }
    for (int part = 0; part < context->part_count; part++) {
        add_part_rules(&rules, part);
    }
    for (int link = 0; link < context->link_count; link++) {
        if (context->links[link].what->latency_max_us > 0) {
            add_latency(&rules, link);
        }
    }
    for (int app = 0; app < context->input->app_count; app++) {
        const struct app *what = context->input->apps[app].app;
        for (int i = 0; i < what->apart_count; i++) {
            add_apart(&rules, app, &what->aparts[i]);
        }
    }
    for (int site = 0; site < context->site_count; site++) {
        add_capacity(&rules, site);
    }
    if (!rules.no_memory) {
        add_holds(&rules);
    }
    if (rules.no_memory) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement's rules");
    }
    return check_latencies(&rules, err);
}

static int begin(struct rules *rules)
{
    const struct cost_context *context = rules->context;
    size_t parts = (size_t)context->part_count + 1;
    size_t count = parts * RULES_PER_PART + (size_t)context->link_count +
                   (size_t)context->site_count * RESOURCE_COUNT;
    for (int i = 0; i < context->part_count; i++) {
        count += (size_t)context->parts[i].what->require.count;
    }
    for (int i = 0; i < context->input->app_count; i++) {
        count += (size_t)context->input->apps[i].app->apart_count;
    }
    rules->problem->rules = arena_array(rules->arena, count, sizeof(struct problem_rule));
    rules->allowed = arena_array(rules->arena, parts, sizeof(bool *));
    rules->fixed = arena_array(rules->arena, parts, sizeof(int));
    if (rules->problem->rules == NULL || rules->allowed == NULL || rules->fixed == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < context->part_count; part++) {
        rules->allowed[part] = arena_array(rules->arena, (size_t)context->site_count, sizeof(bool));
        if (rules->allowed[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        for (int site = 0; site < context->site_count; site++) {
            rules->allowed[part][site] = true;
        }
    }
    return 0;
}

/* A rule whose `cells` sites or pairs of sites are all forbidden until the caller allows some. */
static struct problem_rule *add_rule(struct rules *rules, enum rule_kind kind, int a, int b,
                                     int cells)
{
    bool *allowed = cells > 0 ? arena_array(rules->arena, (size_t)cells, sizeof(bool)) : NULL;
    if (cells > 0 && allowed == NULL) {
        rules->no_memory = true;
        return NULL;
    }
    struct problem_rule *rule = &rules->problem->rules[rules->problem->rule_count++];
    *rule = (struct problem_rule){.kind = kind, .a = a, .b = b, .allowed = allowed, .site = -1};
    return rule;
}

static void set_text(struct problem_rule *rule, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rule->text, sizeof(rule->text), format, arguments);
    va_end(arguments);
}

static void narrow(struct rules *rules, const struct problem_rule *rule)
{
    for (int site = 0; site < rules->context->site_count; site++) {
        rules->allowed[rule->a][site] = rules->allowed[rule->a][site] && rule->allowed[site];
    }
}

static void add_part_rules(struct rules *rules, int part)
{
    const struct cost_context *context = rules->context;
    const struct cost_part_info *info = &context->parts[part];
    const struct site *sites = context->world->sites;
    int count = context->site_count;
    char name[PART_NAME_BYTES];
    cost_part_name(context, part, name, sizeof(name));
    add_tiers(rules, part, name);
    for (int i = 0; i < info->what->require.count; i++) {
        const struct tag *tag = &info->what->require.list[i];
        struct problem_rule *rule = add_rule(rules, RULE_CHOICES, part, -1, count);
        for (int site = 0; rule != NULL && site < count; site++) {
            rule->allowed[site] = site_has_tag(&sites[site], tag->key, tag->value);
        }
        if (rule != NULL) {
            set_text(rule, "%s needs tag %s=%s", name, tag->key, tag->value);
            narrow(rules, rule);
        }
    }
    if (info->what->pin[0] != '\0') {
        struct problem_rule *rule = add_rule(rules, RULE_CHOICES, part, -1, count);
        for (int site = 0; rule != NULL && site < count; site++) {
            rule->allowed[site] = str_equal(sites[site].name, info->what->pin);
        }
        if (rule != NULL) {
            set_text(rule, "%s is pinned to %s", name, info->what->pin);
            narrow(rules, rule);
        }
    }
    if (info->state->site_blocked != NULL) {
        struct problem_rule *rule = add_rule(rules, RULE_CHOICES, part, -1, count);
        for (int site = 0; rule != NULL && site < count; site++) {
            rule->allowed[site] = !info->state->site_blocked[site];
        }
        if (rule != NULL) {
            set_text(rule, "%s finds no node with room for each replica at a blocked site", name);
            narrow(rules, rule);
        }
    }
    add_live(rules, part, name);
}

static void add_tiers(struct rules *rules, int part, const char *name)
{
    const struct cost_context *context = rules->context;
    unsigned tiers = context->parts[part].what->tiers;
    if (tiers == 0) {
        return;
    }
    struct problem_rule *rule = add_rule(rules, RULE_CHOICES, part, -1, context->site_count);
    if (rule == NULL) {
        return;
    }
    char words[LIMIT_NAME_BYTES] = "";
    size_t length = 0;
    for (unsigned tier = 0; tier < TIER_COUNT; tier++) {
        if ((tiers >> tier & 1) != 0) {
            str_format(words + length, sizeof(words) - length, "%s%s", length > 0 ? " or " : "",
                       tier_words[tier]);
            length = strlen(words);
        }
    }
    for (int site = 0; site < context->site_count; site++) {
        rule->allowed[site] = (tiers >> context->world->sites[site].tier & 1) != 0;
    }
    set_text(rule, "%s runs in tier %s only", name, words);
    narrow(rules, rule);
}

/* One rule for all sites without a live node; none when every site has one. */
static void add_live(struct rules *rules, int part, const char *name)
{
    const struct cost_context *context = rules->context;
    int dead = 0;
    for (int site = 0; site < context->site_count; site++) {
        dead += has_live_node(context, site) ? 0 : 1;
    }
    struct problem_rule *rule =
        dead == 0 ? NULL : add_rule(rules, RULE_CHOICES, part, -1, context->site_count);
    if (rule == NULL) {
        return;
    }
    for (int site = 0; site < context->site_count; site++) {
        rule->allowed[site] = has_live_node(context, site);
    }
    set_text(rule, "%s needs a site with a live node", name);
    narrow(rules, rule);
}

static void add_latency(struct rules *rules, int link)
{
    const struct cost_context *context = rules->context;
    const struct cost_link_info *info = &context->links[link];
    int count = context->site_count;
    bool users = info->from_part < 0;
    struct problem_rule *rule =
        add_rule(rules, users ? RULE_CHOICES : RULE_PAIR, users ? info->to_part : info->from_part,
                 users ? -1 : info->to_part, users ? count : count * count);
    if (rule == NULL) {
        return;
    }
    for (int from = 0; from < count; from++) {
        if (users && from != info->from_site) {
            continue;
        }
        for (int to = 0; to < count; to++) {
            const char *note;
            int64_t path_us = cost_path_us(context, from, to, &note);
            rule->allowed[users ? to : from * count + to] =
                from == to || (path_us >= 0 && path_us <= info->what->latency_max_us);
        }
    }
    char name[PART_NAME_BYTES];
    char limit[UNITS_TEXT_BYTES];
    const struct app *app = context->parts[info->to_part].owner;
    cost_part_name(context, info->to_part, name, sizeof(name));
    set_text(rule, "%s must be within %s of %s", name,
             units_format_duration(info->what->latency_max_us, limit),
             users ? app->segments[info->what->from].name : app->workloads[info->what->from].name);
    if (users) {
        narrow(rules, rule);
    }
}

static void add_apart(struct rules *rules, int app, const struct apart *apart)
{
    struct problem_rule *rule = add_rule(rules, RULE_APART, -1, -1, 0);
    int *parts = arena_array(rules->arena, (size_t)apart->count, sizeof(int));
    if (rule == NULL || parts == NULL) {
        rules->no_memory = true;
        return;
    }
    for (int i = 0; i < apart->count; i++) {
        parts[i] = cost_part(rules->context->input, app, apart->workloads[i]);
    }
    rule->parts = parts;
    rule->part_count = apart->count;
    const struct app *owner = rules->context->input->apps[app].app;
    set_text(rule, "%s/%s keeps %s and %s%s apart", owner->namespace_, owner->name,
             owner->workloads[apart->workloads[0]].name, owner->workloads[apart->workloads[1]].name,
             apart->count > 2 ? " and others" : "");
}

static void add_capacity(struct rules *rules, int site)
{
    const struct cost_context *context = rules->context;
    for (int resource = 0; resource < RESOURCE_COUNT; resource++) {
        int64_t capacity = capacity_of(context, site, resource);
        if (capacity < 0) {
            continue;
        }
        struct problem_rule *rule = add_rule(rules, RULE_CAPACITY, -1, -1, 0);
        if (rule == NULL) {
            return;
        }
        rule->site = site;
        rule->resource = (enum resource)resource;
        rule->capacity = capacity;
        char text[UNITS_TEXT_BYTES];
        char number[DECIMAL_TEXT_BYTES];
        set_text(rule, "%s has %s%s", context->world->sites[site].name,
                 resource == RESOURCE_CPU ? decimal_format((struct decimal){capacity, 3}, number)
                                          : units_format_bytes(capacity, text),
                 resource == RESOURCE_CPU ? " vCPU" : " of memory");
    }
}

/* -1: unlimited. A site without a live node is closed by another rule. */
static int64_t capacity_of(const struct cost_context *context, int site, int resource)
{
    int64_t declared = context->world->sites[site].capacity[resource];
    if (declared >= 0 || context->input->capacity == NULL) {
        return declared;
    }
    return context->input->capacity[site][resource];
}

static bool has_live_node(const struct cost_context *context, int site)
{
    return context->input->capacity == NULL || context->input->capacity[site][RESOURCE_CPU] >= 0;
}

/* A round trip that nothing tells is an error where both ends could be, not a free ride. */
static int check_latencies(const struct rules *rules, struct error *err)
{
    const struct cost_context *context = rules->context;
    const struct site *sites = context->world->sites;
    for (int i = 0; i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        for (int from = 0; from < context->site_count; from++) {
            bool caller = link->from_part < 0 ? from == link->from_site
                                              : rules->allowed[link->from_part][from];
            for (int to = 0; caller && to < context->site_count; to++) {
                const char *note;
                if (rules->allowed[link->to_part][to] &&
                    cost_path_us(context, from, to, &note) < 0) {
                    return error_set(err, ERR_INVALID, 0,
                                     "world %s: the round trip between %s and %s is not known; "
                                     "declare it under latency.pairs, or give both sites a geo",
                                     context->world->name, sites[from].name, sites[to].name);
                }
            }
        }
    }
    return 0;
}

/* Workloads that may not move stay where they are, unless a rule forbids just that. */
static void add_holds(struct rules *rules)
{
    const struct cost_context *context = rules->context;
    fix_parts(rules);
    release_conflicts(rules);
    for (int part = 0; part < context->part_count; part++) {
        if (!is_held(rules, part)) {
            continue;
        }
        struct problem_rule *rule = add_rule(rules, RULE_CHOICES, part, -1, context->site_count);
        if (rule == NULL) {
            return;
        }
        char name[PART_NAME_BYTES];
        cost_part_name(context, part, name, sizeof(name));
        rule->allowed[rules->fixed[part]] = true;
        set_text(rule, "%s stays at %s: it may not move now", name,
                 context->world->sites[rules->fixed[part]].name);
        narrow(rules, rule);
    }
}

/* A part is fixed where it is held, or where the rules on it alone leave one site. */
static void fix_parts(struct rules *rules)
{
    for (int part = 0; part < rules->context->part_count; part++) {
        const struct workload_state *state = rules->context->parts[part].state;
        int open = 0;
        rules->fixed[part] = -1;
        for (int site = 0; site < rules->context->site_count; site++) {
            if (rules->allowed[part][site]) {
                open++;
                rules->fixed[part] = site;
            }
        }
        if (!state->may_move && state->now.site >= 0 && rules->allowed[part][state->now.site]) {
            rules->fixed[part] = state->now.site;
        } else if (open != 1) {
            rules->fixed[part] = -1;
        }
    }
}

static bool is_held(const struct rules *rules, int part)
{
    const struct workload_state *state = rules->context->parts[part].state;
    return !state->may_move && state->now.site >= 0 && rules->fixed[part] == state->now.site &&
           rules->allowed[part][state->now.site];
}

/* Where what is fixed breaks a rule together, the held ones among it are let go. */
static void release_conflicts(struct rules *rules)
{
    for (int i = 0; i < rules->problem->rule_count; i++) {
        const struct problem_rule *rule = &rules->problem->rules[i];
        int count = rules->context->site_count;
        if (rule->kind == RULE_PAIR) {
            int a = rules->fixed[rule->a];
            int b = rules->fixed[rule->b];
            if (a >= 0 && b >= 0 && !rule->allowed[a * count + b]) {
                release(rules, rule->a);
                release(rules, rule->b);
            }
        } else if (rule->kind == RULE_APART) {
            for (int k = 0; k < rule->part_count; k++) {
                for (int m = k + 1; m < rule->part_count; m++) {
                    int site = rules->fixed[rule->parts[k]];
                    if (site >= 0 && site == rules->fixed[rule->parts[m]]) {
                        release(rules, rule->parts[k]);
                        release(rules, rule->parts[m]);
                    }
                }
            }
        } else if (rule->kind == RULE_CAPACITY) {
            release_at(rules, rule);
        }
    }
}

static void release_at(struct rules *rules, const struct problem_rule *rule)
{
    __int128 used = 0;
    for (int part = 0; part < rules->context->part_count; part++) {
        if (rules->fixed[part] == rule->site) {
            used += rules->problem->parts[part].choices[rule->site].demand[rule->resource];
        }
    }
    for (int part = 0; used > rule->capacity && part < rules->context->part_count; part++) {
        if (rules->fixed[part] == rule->site) {
            release(rules, part);
        }
    }
}

static void release(struct rules *rules, int part)
{
    if (is_held(rules, part)) {
        rules->fixed[part] = -1;
    }
}
