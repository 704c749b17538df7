/* `use:` and `like:` of a world document: what it takes from the built-in catalogue. */
#include <string.h>

#include "base/str.h"
#include "model/egress.h"
#include "model/measures.h"
#include "model/world_read.h"

#define NAMES_MAX (LIMIT_SITES * 2) /* of the catalogue, for "did you mean" */

static bool read_part(struct reader *reader, struct world_use *use, int part);
static void select_sites(struct reader *reader, const struct doc_node *scalar, const char *selector,
                         struct world_use *use);
static int part_of_selector(const char *selector);
static const struct site *find_site(const struct world_use *use, const char *name);
static void no_such_site(struct reader *reader, const struct doc_node *scalar, const char *name,
                         struct world_use *use);
static bool is_wanted(const struct egress_rule *rule, const struct world *world);
static const struct world *part_with(const struct world_use *use, const char *name, int *ret_site);

/* What an entry begins with whose `like:` is a mistake: nothing else of it is missing then. */
static const struct site unknown = {.account = -1};

void world_use_init(struct world_use *use)
{
    *use = (struct world_use){.count = 0};
    arena_init(&use->arena, WORLD_USE_BYTES);
}

void world_use_done(struct world_use *use)
{
    arena_done(&use->arena);
}

void world_use_read(struct reader *reader, const struct doc_node *root, struct world_use *use)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "use", 0, LIMIT_SITES, &count);
    for (int i = 0; i < count && !reader->no_memory; i++) {
        char selector[LIMIT_REF_BYTES] = "";
        const struct doc_node *scalar = doc_item(list, (size_t)i);
        if (doc_node_string(reader->doc, scalar, selector, sizeof(selector))) {
            select_sites(reader, scalar, selector, use);
        }
    }
    use->stated = list != NULL;
}

const struct site *world_use_base(struct reader *reader, const struct doc_node *node,
                                  const char *name, struct world_use *use)
{
    char like[LIMIT_REF_BYTES] = "";
    if (!read_site_name(reader, node, "like", 0, like)) {
        for (int i = 0; i < use->count; i++) {
            if (str_equal(use->sites[i]->name, name)) {
                return use->sites[i];
            }
        }
        return NULL;
    }
    int part = part_of_selector(like);
    const struct site *site =
        part >= 0 && read_part(reader, use, part) ? find_site(use, like) : NULL;
    if (site == NULL) {
        no_such_site(reader, doc_get(reader->doc, node, "like", 0), like, use);
        return &unknown;
    }
    use->taken[part] = true;
    return site;
}

void world_use_tags(struct reader *reader, const struct doc_node *node, const struct site *base,
                    struct site *site)
{
    for (int i = 0; i < base->tags.count; i++) {
        const struct tag *tag = &base->tags.list[i];
        bool implied = str_equal(tag->key, "cloud") || str_equal(tag->key, "region") ||
                       str_equal(tag->key, "tier");
        if (implied || tags_get(&site->tags, tag->key) != NULL) {
            continue;
        }
        if (site->tags.count == LIMIT_TAGS) {
            doc_problem(reader->doc, node, "with those of the catalogue it has more than %d tags",
                        LIMIT_TAGS);
            return;
        }
        tags_add(&site->tags, tag->key, tag->value);
    }
}

void world_use_measures(struct reader *reader, const struct site *base, struct site *site)
{
    const struct measures own = site->measures;
    int count = own.count + base->measures.count;
    struct measure *list = read_array(reader, count, sizeof(struct measure));
    if (list == NULL) {
        return;
    }
    site->measures = (struct measures){list, 0};
    for (int i = 0; i < own.count; i++) {
        list[site->measures.count++] = own.list[i];
    }
    for (int i = 0; i < base->measures.count; i++) {
        if (measures_find(&own, base->measures.list[i].name) == NULL) {
            list[site->measures.count++] = base->measures.list[i];
        }
    }
}

void world_use_account(struct reader *reader, const struct doc_node *node, struct world *world,
                       struct world_use *use, struct site *site)
{
    int found = -1;
    int count = 0;
    for (int i = 0; i < world->account_count; i++) {
        if (str_equal(world->accounts[i].provider, site->provider)) {
            found = i;
            count++;
        }
    }
    if (count == 1) {
        site->account = found;
        return;
    }
    /* One sentence for a provider, not one for each of its regions. */
    for (int i = 0; i < use->unpaid_count; i++) {
        if (str_equal(use->unpaid[i], site->provider)) {
            return;
        }
    }
    if (use->unpaid_count < WORLD_USE_UNPAID) {
        str_format(use->unpaid[use->unpaid_count++], LIMIT_NAME_BYTES, "%s", site->provider);
    }
    if (count == 0) {
        doc_problem(reader->doc, node,
                    "no account pays for %s; name one, as in accounts: [{name: %.40s-main, "
                    "provider: %s}]",
                    site->name, site->provider, site->provider);
    } else {
        doc_problem(reader->doc, node,
                    "%d accounts are of provider %s; say which one pays, as in sites: [{name: %s, "
                    "account: %s}]",
                    count, site->provider, site->name, world->accounts[found].name);
    }
}

void world_use_sites(struct reader *reader, const struct doc_node *root, struct world_use *use,
                     struct world *world)
{
    const struct doc_node *node = doc_get(reader->doc, root, "use", 0);
    for (int i = 0; i < use->count && !reader->no_memory; i++) {
        const struct site *base = use->sites[i];
        if (world_site(world, base->name) >= 0) {
            continue; /* the world's own entry has taken it in */
        }
        if (world->site_count == LIMIT_SITES) {
            doc_problem(reader->doc, node, "with these there are more than %d sites", LIMIT_SITES);
            return;
        }
        struct site *site = &world->sites[world->site_count];
        *site = *base;
        site->account = -1;
        site->tags = (struct tags){arena_copy(reader->arena, base->tags.list,
                                              (size_t)base->tags.count * sizeof(struct tag)),
                                   base->tags.count};
        if (site->tags.list == NULL) {
            reader->no_memory = true;
            return;
        }
        site->measures = (struct measures){NULL, 0};
        world_use_measures(reader, base, site);
        if (site->tier != TIER_CLIENT) {
            world_use_account(reader, node, world, use, site);
        }
        world->site_count++;
    }
}

const struct egress_rule *world_use_rule(const struct world_use *use, const char *name)
{
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        for (int i = 0; use->taken[part] && i < use->parts[part].egress_count; i++) {
            if (str_equal(use->parts[part].egress[i].name, name)) {
                return &use->parts[part].egress[i];
            }
        }
    }
    return NULL;
}

int world_use_rule_count(const struct world_use *use)
{
    int count = 0;
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        count += use->taken[part] ? use->parts[part].egress_count : 0;
    }
    return count;
}

void world_use_egress(struct reader *reader, const struct doc_node *root,
                      const struct world_use *use, struct world *world)
{
    int own = world->egress_count;
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        for (int i = 0; use->taken[part] && i < use->parts[part].egress_count; i++) {
            const struct egress_rule *from = &use->parts[part].egress[i];
            bool replaced = false;
            for (int k = 0; k < own; k++) {
                replaced = replaced || str_equal(world->egress[k].name, from->name);
            }
            if (replaced || !is_wanted(from, world)) {
                continue;
            }
            if (world->egress_count == LIMIT_EGRESS_RULES) {
                doc_problem(reader->doc, doc_get(reader->doc, root, "egress", 0),
                            "with the catalogue's there are more than %d egress rules; give "
                            "destinations of one price one rule, as in to: [aws/eu-west-1, "
                            "aws/eu-west-2]",
                            LIMIT_EGRESS_RULES);
                return;
            }
            struct egress_rule *rule = &world->egress[world->egress_count++];
            *rule = *from;
            rule->tiers = read_array(reader, from->tier_count, sizeof(struct egress_tier));
            if (rule->tiers != NULL) {
                memcpy(rule->tiers, from->tiers,
                       (size_t)from->tier_count * sizeof(struct egress_tier));
            }
            world_read_to(reader, rule, from->to, from->to_count);
        }
    }
}

void world_use_latencies(const struct world_use *use, struct world *world)
{
    const struct world *parts[LIMIT_SITES];
    int places[LIMIT_SITES] = {0};
    for (int i = 0; i < world->site_count; i++) {
        parts[i] = part_with(use, world->sites[i].name, &places[i]);
    }
    for (int from = 0; from < world->site_count; from++) {
        for (int to = 0; parts[from] != NULL && to < world->site_count; to++) {
            int cell = from * world->site_count + to;
            int there = places[from] * parts[from]->site_count + places[to];
            if (parts[to] == parts[from] && world->factor_us[cell] < 0 &&
                parts[from]->rtt_us[there] >= 0) {
                world->rtt_us[cell] = parts[from]->rtt_us[there];
            }
        }
    }
}

static bool read_part(struct reader *reader, struct world_use *use, int part)
{
    struct error err = {0};
    if (use->read[part]) {
        return true;
    }
    int rc = catalogue_read(part, &use->arena, &use->parts[part], &err);
    BERTH_ASSERT(rc == 0 || rc == ERR_NO_MEMORY, "the catalogue's own document: %s", err.text);
    reader->no_memory = reader->no_memory || rc < 0;
    use->read[part] = rc == 0;
    return use->read[part];
}

static void select_sites(struct reader *reader, const struct doc_node *scalar, const char *selector,
                         struct world_use *use)
{
    int only = part_of_selector(selector);
    bool any = false;
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        if ((only >= 0 && part != only) || !read_part(reader, use, part)) {
            continue;
        }
        const struct world *world = &use->parts[part];
        for (int i = 0; i < world->site_count; i++) {
            const struct site *site = &world->sites[i];
            if (world_selects(selector, site) < 0) {
                continue;
            }
            bool before = false;
            for (int k = 0; k < use->count; k++) {
                before = before || use->sites[k] == site;
            }
            if (!before && use->count < LIMIT_SITES) {
                use->sites[use->count++] = site;
            }
            use->taken[part] = true;
            any = true;
        }
    }
    if (!any && !reader->no_memory) {
        no_such_site(reader, scalar, selector, use);
    }
}

/* "aws/..." means a site of one part; any other selector may mean one of each: -1. */
static int part_of_selector(const char *selector)
{
    const char *slash = strchr(selector, '/');
    char provider[LIMIT_REF_BYTES];
    if (slash == NULL) {
        return -1;
    }
    str_format(provider, sizeof(provider), "%.*s", (int)(slash - selector), selector);
    return catalogue_part_of(provider);
}

static const struct site *find_site(const struct world_use *use, const char *name)
{
    int site = -1;
    const struct world *part = part_with(use, name, &site);
    return part == NULL ? NULL : &part->sites[site];
}

static void no_such_site(struct reader *reader, const struct doc_node *scalar, const char *name,
                         struct world_use *use)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (int part = 0; part < CATALOGUE_PARTS; part++) {
        if (!read_part(reader, use, part)) {
            return;
        }
        for (int i = 0; i < use->parts[part].site_count && count < NAMES_MAX; i++) {
            names[count++] = use->parts[part].sites[i].name;
        }
    }
    const char *nearest = str_nearest(name, names, count);
    doc_problem(reader->doc, scalar,
                "\"%s\" is no site of the catalogue%s%s%s; `berth sites` lists them", name,
                nearest != NULL ? ": did you mean \"" : "", nearest != NULL ? nearest : "",
                nearest != NULL ? "\"?" : "");
}

/* A rule that prices nothing between the world's sites is left out; but what a provider takes for
 * bytes to anywhere is kept, so that the price is there to look at. */
static bool is_wanted(const struct egress_rule *rule, const struct world *world)
{
    for (int from = 0; from < world->site_count; from++) {
        if (world_selects(rule->from, &world->sites[from]) < 0) {
            continue;
        }
        for (int i = 0; i < rule->to_count; i++) {
            if (str_equal(rule->to[i], "*")) {
                return true;
            }
        }
        for (int to = 0; to < world->site_count; to++) {
            if (to != from && egress_selects(rule, &world->sites[to]) >= 0) {
                return true;
            }
        }
    }
    return false;
}

/* The part that the world takes from and that has a site of that name. */
static const struct world *part_with(const struct world_use *use, const char *name, int *ret_site)
{
    int part = part_of_selector(name);
    int site = part >= 0 && use->read[part] ? world_site(&use->parts[part], name) : -1;
    if (site < 0) {
        return NULL;
    }
    *ret_site = site;
    return &use->parts[part];
}
