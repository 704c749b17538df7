/* Reading `egress:` of a world document; docs/world.md describes its fields. */
#include <string.h>

#include "base/str.h"
#include "model/world_read.h"

static void read_egress_rule(struct reader *reader, const struct doc_node *node,
                             const struct world_use *use, const struct world *world,
                             struct egress_rule *rule);
static void read_from(struct reader *reader, const struct doc_node *node, const struct world *world,
                      struct egress_rule *rule);
static void read_to(struct reader *reader, const struct doc_node *node, const struct world *world,
                    struct egress_rule *rule);
static void check_selector(struct reader *reader, const struct doc_node *node,
                           const struct world *world, const char *selector);
static bool selects_any(const char *selector, const struct world *world);
static void read_egress_tiers(struct reader *reader, const struct doc_node *node, bool based,
                              struct egress_rule *rule);

static const char *const payer_words[] = {"sender", "receiver"};
static const char *const per_words[] = {"GiB", "GB"};
static const int64_t per_bytes[] = {INT64_C(1) << 30, INT64_C(1000000000)};

void world_read_egress(struct reader *reader, const struct doc_node *root,
                       const struct world_use *use, struct world *world)
{
    int count = 0;
    const struct doc_node *list = read_list(reader, root, "egress", 0, LIMIT_EGRESS_RULES, &count);
    int room = count + world_use_rule_count(use);
    world->egress = read_array(reader, room < LIMIT_EGRESS_RULES ? room : LIMIT_EGRESS_RULES,
                               sizeof(struct egress_rule));
    for (int i = 0; world->egress != NULL && i < count; i++) {
        const struct doc_node *node = doc_item(list, (size_t)i);
        struct egress_rule *rule = &world->egress[i];
        read_egress_rule(reader, node, use, world, rule);
        for (int k = 0; k < i && rule->name[0] != '\0'; k++) {
            if (str_equal(world->egress[k].name, rule->name)) {
                doc_problem(reader->doc, node,
                            "egress rule \"%s\" is declared twice; names are unique", rule->name);
            }
        }
        world->egress_count = i + 1;
    }
    if (world->egress != NULL) {
        world_use_egress(reader, root, use, world);
    }
}

static void read_egress_rule(struct reader *reader, const struct doc_node *node,
                             const struct world_use *use, const struct world *world,
                             struct egress_rule *rule)
{
    struct doc *doc = reader->doc;
    int payer = EGRESS_SENDER;
    int per = 0;
    doc_name(doc, node, "name", DOC_REQUIRED, rule->name);
    const struct egress_rule *base = world_use_rule(use, rule->name);
    if (base != NULL) {
        *rule = *base;
        payer = base->payer == EGRESS_SENDER ? 0 : 1;
        per = base->per_bytes == per_bytes[0] ? 0 : 1;
    }
    read_from(reader, node, world, rule);
    read_to(reader, node, world, rule);
    doc_word(doc, node, "payer", 0, payer_words, 2, &payer);
    doc_word(doc, node, "per", base != NULL ? 0 : DOC_REQUIRED, per_words, 2, &per);
    rule->payer = (enum egress_payer)payer;
    rule->per_bytes = per_bytes[per];
    doc_bytes(doc, node, "month_to_date", 0, &rule->month_to_date_bytes);
    read_egress_tiers(reader, node, base != NULL, rule);
    doc_string(doc, node, "source", 0, rule->source, sizeof(rule->source));
    doc_close(doc, node);
}

/* An end that is there already, of the catalogue's rule, may be left out. */
static void read_from(struct reader *reader, const struct doc_node *node, const struct world *world,
                      struct egress_rule *rule)
{
    int flags = rule->from[0] != '\0' ? 0 : DOC_REQUIRED;
    if (!doc_string(reader->doc, node, "from", flags, rule->from, sizeof(rule->from)) &&
        rule->from[0] == '\0') {
        return;
    }
    const struct doc_node *scalar = doc_get(reader->doc, node, "from", 0);
    check_selector(reader, scalar != NULL ? scalar : node, world, rule->from);
}

/* One selector, or a list of them. */
static void read_to(struct reader *reader, const struct doc_node *node, const struct world *world,
                    struct egress_rule *rule)
{
    struct doc *doc = reader->doc;
    const struct doc_node *to = doc_get(doc, node, "to", rule->to_count > 0 ? 0 : DOC_REQUIRED);
    int count = 1;
    if (doc_kind(to) == DOC_NULL) {
        world_read_to(reader, rule, rule->to, rule->to_count);
        for (int i = 0; rule->to != NULL && i < rule->to_count; i++) {
            check_selector(reader, node, world, rule->to[i]);
        }
        return;
    }
    bool list = doc_kind(to) == DOC_LIST;
    if (list) {
        to = read_list(reader, node, "to", 0, LIMIT_SITES, &count);
        if (count == 0) {
            doc_problem(doc, to, "an egress rule has at least one destination, as in \"*\"");
        }
    }
    rule->to = read_array(reader, count, sizeof(*rule->to));
    rule->to_count = 0;
    for (int i = 0; rule->to != NULL && i < count; i++) {
        const struct doc_node *item = list ? doc_item(to, (size_t)i) : to;
        char *out = rule->to[rule->to_count];
        if (!doc_node_string(doc, item, out, sizeof(*rule->to))) {
            continue;
        }
        check_selector(reader, item, world, out);
        for (int k = 0; k < rule->to_count; k++) {
            if (str_equal(rule->to[k], out)) {
                doc_problem(doc, item, "\"%s\" is listed twice; name a destination once", out);
            }
        }
        rule->to_count++;
    }
}

void world_read_to(struct reader *reader, struct egress_rule *rule,
                   const char (*to)[LIMIT_REF_BYTES], int count)
{
    rule->to = read_array(reader, count, sizeof(*rule->to));
    if (rule->to != NULL) {
        memcpy(rule->to, to, (size_t)count * sizeof(*rule->to));
    }
}

/* A selector that means no site of the world, nor the provider of an account, nor a tag that some
 * site has with another value, is a mistake. */
static void check_selector(struct reader *reader, const struct doc_node *node,
                           const struct world *world, const char *selector)
{
    if (selects_any(selector, world)) {
        return;
    }
    const char *nearest = world_nearest_site(world, selector);
    doc_problem(reader->doc, node,
                "\"%s\" selects no site; write a site, provider/*, tag:key=value, tier:edge or "
                "*%s%s%s",
                selector, nearest != NULL ? "; did you mean \"" : "",
                nearest != NULL ? nearest : "", nearest != NULL ? "\"?" : "");
}

static bool selects_any(const char *selector, const struct world *world)
{
    size_t length = strlen(selector);
    bool any = str_equal(selector, "*") || world_site(world, selector) >= 0;
    if (str_starts(selector, "tier:")) {
        for (int tier = 0; tier < TIER_COUNT; tier++) {
            any = any || str_equal(selector + strlen("tier:"), tier_words[tier]);
        }
    } else if (str_starts(selector, "tag:") && strchr(selector, '=') != NULL) {
        const char *name = selector + strlen("tag:");
        char word[LIMIT_REF_BYTES];
        str_format(word, sizeof(word), "%.*s", (int)(strchr(name, '=') - name), name);
        for (int i = 0; i < world->site_count; i++) {
            any = any || tags_get(&world->sites[i].tags, word) != NULL;
        }
    } else if (length > 2 && str_equal(selector + length - 2, "/*")) {
        char provider[LIMIT_REF_BYTES];
        str_format(provider, sizeof(provider), "%.*s", (int)length - 2, selector);
        for (int i = 0; i < world->site_count; i++) {
            any = any || str_equal(world->sites[i].provider, provider);
        }
        for (int i = 0; i < world->account_count; i++) {
            any = any || str_equal(world->accounts[i].provider, provider);
        }
    }
    return any;
}

/* Those of the catalogue's rule stay unless the entry states its own, all of them. */
static void read_egress_tiers(struct reader *reader, const struct doc_node *node, bool based,
                              struct egress_rule *rule)
{
    struct doc *doc = reader->doc;
    int count = 0;
    if (based && doc_get(doc, node, "tiers", 0) == NULL) {
        const struct egress_tier *tiers = rule->tiers;
        rule->tiers = read_array(reader, rule->tier_count, sizeof(struct egress_tier));
        if (rule->tiers != NULL) {
            memcpy(rule->tiers, tiers, (size_t)rule->tier_count * sizeof(struct egress_tier));
        }
        return;
    }
    const struct doc_node *list =
        read_list(reader, node, "tiers", DOC_REQUIRED, LIMIT_TIERS, &count);
    rule->tier_count = 0;
    if (doc_kind(list) == DOC_LIST && count == 0) {
        doc_problem(doc, list, "an egress rule has at least one tier, as in [{price: 0.09}]");
    }
    rule->tiers = read_array(reader, count, sizeof(struct egress_tier));
    int64_t previous = 0;
    for (int i = 0; rule->tiers != NULL && i < count; i++) {
        const struct doc_node *item = doc_item(list, (size_t)i);
        struct egress_tier *tier = &rule->tiers[i];
        bool last = i == count - 1;
        tier->up_to_bytes = INT64_MAX;
        doc_price(doc, item, "price", DOC_REQUIRED, &tier->price);
        bool bounded = doc_bytes(doc, item, "up_to", last ? 0 : DOC_REQUIRED, &tier->up_to_bytes);
        if (bounded && last) {
            doc_problem(doc, item, "the last tier has no up_to: it holds for all that is above");
        } else if (bounded && tier->up_to_bytes <= previous) {
            doc_problem(doc, item, "up_to must grow from tier to tier");
        }
        previous = tier->up_to_bytes;
        doc_close(doc, item);
        rule->tier_count = i + 1;
    }
}
