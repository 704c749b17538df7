/* What a placement may not do, each rule with the sentence that explains it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/units.h"
#include "model/cost_internal.h"

/* tiers, pin, closed, blocked, no live node, held; beside one for each tag and variant */
#define RULES_PER_PART 6

/* Whether a rule on one part allows a choice; `what` is the rule's own: a tag, or nothing. */
typedef bool (*allows_fn)(const struct cost_context *context, int part,
                          const struct cost_spot *spot, const void *what);

static int begin(struct cost_rules *rules);
static struct problem_rule *add_choices(struct cost_rules *rules, int part, allows_fn allows,
                                        const void *what);
static void add_part_rules(struct cost_rules *rules, int part);
static void add_tiers(struct cost_rules *rules, int part, const char *name);
static void tiers_text(unsigned tiers, char out[LIMIT_NAME_BYTES]);
static void add_live(struct cost_rules *rules, int part, const char *name);
static void add_family(struct cost_rules *rules, int part);
static void add_latency(struct cost_rules *rules, int link);
static bool is_within(const struct cost_context *context, int link, const struct cost_spot *from,
                      const struct cost_spot *to);
static void add_apart(struct cost_rules *rules, int app, const struct apart *apart);
static void add_capacity(struct cost_rules *rules, int site);
static int64_t capacity_of(const struct cost_context *context, int site, int resource);
static bool has_live_node(const struct cost_context *context, int site);
static int check_latencies(const struct cost_rules *rules, struct error *err);
static bool may_be_at(const struct cost_rules *rules, int part, int site);

int cost_rules_build(const struct cost_context *context, struct arena *arena,
                     struct problem *problem, struct error *err)
{
    struct cost_rules rules = {.context = context, .arena = arena, .problem = problem};
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
    rules.family_rules = problem->rule_count;
    for (int part = 0; part < context->part_count; part++) {
        add_family(&rules, part);
    }
    rules.family_end = problem->rule_count;
    if (!rules.no_memory) {
        cost_holds_add(&rules);
    }
    if (rules.no_memory) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement's rules");
    }
    return check_latencies(&rules, err);
}

struct problem_rule *cost_rule_add(struct cost_rules *rules, enum rule_kind kind, int a, int b,
                                   size_t cells)
{
    bool *allowed = cells > 0 ? arena_array(rules->arena, cells, sizeof(bool)) : NULL;
    if (cells > 0 && allowed == NULL) {
        rules->no_memory = true;
        return NULL;
    }
    struct problem_rule *rule = &rules->problem->rules[rules->problem->rule_count++];
    *rule = (struct problem_rule){.kind = kind, .a = a, .b = b, .allowed = allowed, .site = -1};
    return rule;
}

void cost_rule_text(struct problem_rule *rule, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(rule->text, sizeof(rule->text), format, arguments);
    va_end(arguments);
}

static int begin(struct cost_rules *rules)
{
    const struct cost_context *context = rules->context;
    size_t parts = (size_t)context->part_count + 1;
    size_t count = parts * RULES_PER_PART + (size_t)context->link_count +
                   (size_t)context->site_count * RESOURCE_COUNT;
    for (int i = 0; i < context->part_count; i++) {
        const struct cost_part_info *info = &context->parts[i];
        count += (size_t)info->what->require.count + (size_t)cost_variants(info->what) +
                 (size_t)info->family->count;
    }
    for (int i = 0; i < context->input->app_count; i++) {
        count += (size_t)context->input->apps[i].app->apart_count;
    }
    for (unsigned tiers = 0; tiers < TIER_SETS; tiers++) {
        tiers_text(tiers, rules->tiers[tiers]);
    }
    /* Not zeroed: each is written as a whole when it is added, and most never are. */
    rules->problem->rules = arena_alloc_raw(rules->arena, count * sizeof(struct problem_rule));
    rules->allowed = arena_array(rules->arena, parts, sizeof(bool *));
    if (rules->problem->rules == NULL || rules->allowed == NULL) {
        return ERR_NO_MEMORY;
    }
    for (int part = 0; part < context->part_count; part++) {
        size_t spots = (size_t)context->parts[part].spot_count;
        rules->allowed[part] = arena_alloc_raw(rules->arena, spots * sizeof(bool));
        if (rules->allowed[part] == NULL) {
            return ERR_NO_MEMORY;
        }
        memset(rules->allowed[part], true, spots * sizeof(bool));
    }
    return 0;
}

/* A rule on one part; what it forbids is noted in rules->allowed. */
static struct problem_rule *add_choices(struct cost_rules *rules, int part, allows_fn allows,
                                        const void *what)
{
    const struct cost_part_info *info = &rules->context->parts[part];
    struct problem_rule *rule =
        cost_rule_add(rules, RULE_CHOICES, part, -1, (size_t)info->spot_count);
    for (int i = 0; rule != NULL && i < info->spot_count; i++) {
        rule->allowed[i] = allows(rules->context, part, &info->spots[i], what);
        rules->allowed[part][i] = rules->allowed[part][i] && rule->allowed[i];
    }
    return rule;
}

static bool has_tag(const struct cost_context *context, int part, const struct cost_spot *spot,
                    const void *what)
{
    const struct tag *tag = what;
    (void)part;
    return site_has_tag(&context->world->sites[spot->site], tag->key, tag->value);
}

static bool is_pinned(const struct cost_context *context, int part, const struct cost_spot *spot,
                      const void *what)
{
    (void)what;
    return str_equal(context->world->sites[spot->site].name, context->parts[part].what->pin);
}

static bool is_kept(const struct cost_context *context, int part, const struct cost_spot *spot,
                    const void *what)
{
    (void)part;
    (void)what;
    return !context->world->sites[spot->site].closed;
}

/* What is shared is fitted to the nodes by its lead. */
static bool is_fitting(const struct cost_context *context, int part, const struct cost_spot *spot,
                       const void *what)
{
    const bool *blocked = context->parts[spot->lead].state->site_blocked;
    (void)part;
    (void)what;
    return blocked == NULL || !blocked[spot->site];
}

static bool is_live(const struct cost_context *context, int part, const struct cost_spot *spot,
                    const void *what)
{
    (void)part;
    (void)what;
    return has_live_node(context, spot->site);
}

static bool is_in_tier(const struct cost_context *context, int part, const struct cost_spot *spot,
                       const void *what)
{
    const unsigned *tiers = what;
    (void)part;
    return (*tiers >> context->world->sites[spot->site].tier & 1) != 0;
}

static bool suits_variant(const struct cost_context *context, int part,
                          const struct cost_spot *spot, const void *what)
{
    const struct variant *variant = what;
    return &context->parts[part].what->variants[spot->variant] != variant ||
           is_in_tier(context, part, spot, &variant->tiers);
}

static void add_part_rules(struct cost_rules *rules, int part)
{
    const struct cost_part_info *info = &rules->context->parts[part];
    struct problem_rule *rule;
    const char *name = rules->problem->parts[part].name;
    add_tiers(rules, part, name);
    for (int i = 0; i < info->what->require.count; i++) {
        const struct tag *tag = &info->what->require.list[i];
        rule = add_choices(rules, part, has_tag, tag);
        if (rule != NULL) {
            cost_rule_text(rule, "%s needs tag %s=%s", name, tag->key, tag->value);
        }
    }
    rule = info->what->pin[0] == '\0' ? NULL : add_choices(rules, part, is_pinned, NULL);
    if (rule != NULL) {
        cost_rule_text(rule, "%s is pinned to %s", name, info->what->pin);
    }
    bool closed = false;
    for (int site = 0; site < rules->context->site_count && !closed; site++) {
        closed = rules->context->world->sites[site].closed;
    }
    rule = closed ? add_choices(rules, part, is_kept, NULL) : NULL;
    if (rule != NULL) {
        cost_rule_text(rule, "%s leaves the sites that are taken away", name);
    }
    if (info->what->kind == KIND_DATA) {
        return; /* nothing of it runs on a node */
    }
    bool blocked = false;
    for (int i = 0; i < info->family->count; i++) {
        blocked = blocked || rules->context->parts[info->parts[i]].state->site_blocked != NULL;
    }
    rule = blocked ? add_choices(rules, part, is_fitting, NULL) : NULL;
    if (rule != NULL) {
        cost_rule_text(rule,
                       "%s is kept from sites without a node that has room for each replica, and "
                       "from those that it left to save or that did not pay",
                       name);
    }
    add_live(rules, part, name);
}

static void add_tiers(struct cost_rules *rules, int part, const char *name)
{
    const struct workload *what = rules->context->parts[part].what;
    struct problem_rule *rule =
        what->tiers == 0 ? NULL : add_choices(rules, part, is_in_tier, &what->tiers);
    if (rule != NULL) {
        const char *words[] = {name, " runs in tier ", rules->tiers[what->tiers % TIER_SETS],
                               " only"};
        cost_words(rule->text, sizeof(rule->text), words, 4);
    }
    for (int i = 0; i < what->variant_count; i++) {
        const struct variant *variant = &what->variants[i];
        rule = variant->tiers == 0 ? NULL : add_choices(rules, part, suits_variant, variant);
        if (rule != NULL) {
            cost_rule_text(rule, "%s as variant %s runs in tier %s only", name, variant->name,
                           rules->tiers[variant->tiers % TIER_SETS]);
        }
    }
}

static void tiers_text(unsigned tiers, char out[LIMIT_NAME_BYTES])
{
    size_t length = 0;
    out[0] = '\0';
    for (unsigned tier = 0; tier < TIER_COUNT; tier++) {
        if ((tiers >> tier & 1) != 0) {
            str_format(out + length, LIMIT_NAME_BYTES - length, "%s%s", length > 0 ? " or " : "",
                       tier_words[tier]);
            length = strlen(out);
        }
    }
}

/* One rule for all sites without a live node; none when every site has one. */
static void add_live(struct cost_rules *rules, int part, const char *name)
{
    int dead = 0;
    for (int site = 0; site < rules->context->site_count; site++) {
        dead += has_live_node(rules->context, site) ? 0 : 1;
    }
    struct problem_rule *rule = dead == 0 ? NULL : add_choices(rules, part, is_live, NULL);
    if (rule != NULL) {
        cost_rule_text(rule, "%s needs a site with a live node", name);
    }
}

/* Parts of a family that are at one site with one variant share, and agree on who does. */
static void add_family(struct cost_rules *rules, int part)
{
    const struct cost_context *context = rules->context;
    const struct cost_part_info *info = &context->parts[part];
    for (int i = info->member + 1; i < info->family->count; i++) {
        const struct cost_part_info *other = &context->parts[info->parts[i]];
        struct problem_rule *rule =
            cost_rule_add(rules, RULE_PAIR, part, info->parts[i],
                          (size_t)info->spot_count * (size_t)other->spot_count);
        if (rule == NULL) {
            return;
        }
        size_t cell = 0;
        for (int a = 0; a < info->spot_count; a++) {
            for (int b = 0; b < other->spot_count; b++, cell++) {
                const struct cost_spot *one = &info->spots[a];
                const struct cost_spot *two = &other->spots[b];
                rule->allowed[cell] =
                    cost_is_there(one, two)
                        ? one->sharers == two->sharers
                        : (one->sharers >> i & 1) == 0 && (two->sharers >> info->member & 1) == 0;
            }
        }
        char name[PART_NAME_BYTES];
        cost_part_name(context, part, name, sizeof(name));
        cost_rule_text(rule, "%s and %s share what serves them where they are at one site", name,
                       other->what->name);
    }
}

static void add_latency(struct cost_rules *rules, int link)
{
    const struct cost_context *context = rules->context;
    const struct cost_link_info *info = &context->links[link];
    const struct cost_part_info *callee = &context->parts[info->to_part];
    bool users = info->from_part < 0;
    const struct cost_part_info *caller = users ? NULL : &context->parts[info->from_part];
    int from_count = users ? 1 : caller->spot_count;
    struct problem_rule *rule = cost_rule_add(
        rules, users ? RULE_CHOICES : RULE_PAIR, users ? info->to_part : info->from_part,
        users ? -1 : info->to_part, (size_t)from_count * (size_t)callee->spot_count);
    if (rule == NULL) {
        return;
    }
    size_t cell = 0;
    for (int from = 0; from < from_count; from++) {
        for (int to = 0; to < callee->spot_count; to++, cell++) {
            rule->allowed[cell] =
                is_within(context, link, users ? NULL : &caller->spots[from], &callee->spots[to]);
            if (users) {
                rules->allowed[info->to_part][to] =
                    rules->allowed[info->to_part][to] && rule->allowed[cell];
            }
        }
    }
    char name[PART_NAME_BYTES];
    char limit[UNITS_TEXT_BYTES];
    const struct app *app = callee->owner;
    cost_part_name(context, info->to_part, name, sizeof(name));
    cost_rule_text(rule, "%s must be within %s of %s", name,
                   units_format_duration(info->what->latency_max_us, limit),
                   users ? app->segments[info->what->from].name
                         : app->workloads[info->what->from].name);
}

static bool is_within(const struct cost_context *context, int link, const struct cost_spot *from,
                      const struct cost_spot *to)
{
    const struct cost_link_info *info = &context->links[link];
    const char *note;
    int from_site = from == NULL ? info->from_site : from->site;
    __int128 time = cost_call_time(context, link, from_site, to->site, to->variant, &note);
    return from_site == to->site ||
           (time >= 0 && time <= (__int128)info->what->latency_max_us * MIB);
}

static void add_apart(struct cost_rules *rules, int app, const struct apart *apart)
{
    struct problem_rule *rule = cost_rule_add(rules, RULE_APART, -1, -1, 0);
    int *parts = arena_array(rules->arena, (size_t)apart->count, sizeof(int));
    if (rule == NULL || parts == NULL) {
        rules->no_memory = true;
        return;
    }
    for (int i = 0; i < apart->count; i++) {
        parts[i] = rules->context->lookup.base[app] + apart->workloads[i];
    }
    rule->parts = parts;
    rule->part_count = apart->count;
    const struct app *owner = rules->context->input->apps[app].app;
    cost_rule_text(rule, "%s/%s keeps %s and %s%s apart", owner->namespace_, owner->name,
                   owner->workloads[apart->workloads[0]].name,
                   owner->workloads[apart->workloads[1]].name,
                   apart->count > 2 ? " and others" : "");
}

static void add_capacity(struct cost_rules *rules, int site)
{
    const struct cost_context *context = rules->context;
    for (int resource = 0; resource < RESOURCE_COUNT; resource++) {
        int64_t capacity = capacity_of(context, site, resource);
        struct problem_rule *rule =
            capacity < 0 ? NULL : cost_rule_add(rules, RULE_CAPACITY, -1, -1, 0);
        if (rule == NULL) {
            continue;
        }
        rule->site = site;
        rule->resource = (enum resource)resource;
        rule->capacity = capacity;
        char text[UNITS_TEXT_BYTES];
        char number[DECIMAL_TEXT_BYTES];
        cost_rule_text(rule, "%s has %s%s", context->world->sites[site].name,
                       resource == RESOURCE_CPU
                           ? decimal_format((struct decimal){capacity, 3}, number)
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
static int check_latencies(const struct cost_rules *rules, struct error *err)
{
    const struct cost_context *context = rules->context;
    const struct site *sites = context->world->sites;
    bool unknown = false;
    for (int cell = 0; cell < context->site_count * context->site_count; cell++) {
        unknown = unknown || context->rtt_us[cell] < 0;
    }
    for (int i = 0; unknown && i < context->link_count; i++) {
        const struct cost_link_info *link = &context->links[i];
        for (int from = 0; from < context->site_count; from++) {
            bool caller = link->from_part < 0 ? from == link->from_site
                                              : may_be_at(rules, link->from_part, from);
            for (int to = 0; caller && to < context->site_count; to++) {
                if (context->rtt_us[from * context->site_count + to] < 0 &&
                    may_be_at(rules, link->to_part, to)) {
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

static bool may_be_at(const struct cost_rules *rules, int part, int site)
{
    const struct cost_part_info *info = &rules->context->parts[part];
    for (int i = 0; i < info->spot_count; i++) {
        if (info->spots[i].site == site && rules->allowed[part][i]) {
            return true;
        }
    }
    return false;
}
