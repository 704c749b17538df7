/* The book's figures put in place of a world's own. */
#include <inttypes.h>
#include <string.h>

#include "model/egress.h"
#include "model/feeds/book_writing.h"
#include "model/read.h"

/* What an update works with; the world's lists are replaced in its arena. */
struct updating {
    struct writing writing;
    struct world *world;
    struct arena *arena;
};

static int update_site(const struct place *place, struct site *site);
static bool update_price(struct decimal *price, const struct book_version *version);
static int update_egress(struct updating *updating, const struct place *place, struct error *err);
static int update_list(struct updating *updating, const struct book_aims *aims, int rule,
                       struct error *err);
static const struct book_aim *aim_of(const struct book_aims *aims, const char *to);
static bool is_of_book(const struct book_aims *aims, const struct egress_rule *rule);
static int divide(struct updating *updating, const struct book_aims *aims, int rule,
                  struct error *err);
static bool is_alike(const struct book_aim *one, const struct book_aim *other);
static int take_apart(struct updating *updating, const struct book_aims *aims,
                      const struct egress_rule *whole, int first, struct egress_rule *ret_part,
                      struct error *err);
static int name_part(const struct world *world, struct egress_rule *part, struct error *err);
static int update_rule(const struct book_figure *figure, struct egress_rule *rule,
                       struct arena *arena, struct error *err);

int book_update(const struct book *book, const struct book_view *view, struct world *world,
                struct arena *arena, struct error *err)
{
    struct updating updating = {
        .writing = {.book = book, .view = *view, .catalogue = world, .whole = true},
        .world = world,
        .arena = arena};
    struct place place;
    int changed = 0;
    for (int at = 0; book_place(&updating.writing, at, &place); at = place.end) {
        int site = world_site(world, place.site);
        int rc = update_egress(&updating, &place, err);
        if (rc < 0)
            return rc;
        changed += rc + (site < 0 ? 0 : update_site(&place, &world->sites[site]));
    }
    return changed;
}

static int update_site(const struct place *place, struct site *site)
{
    char text[BOOK_SOURCE_BYTES];
    int changed = 0;
    changed += update_price(&site->cpu_price, place->cpu) ? 1 : 0;
    changed += update_price(&site->memory_price, place->memory) ? 1 : 0;
    changed += update_price(&site->storage_price, place->storage) ? 1 : 0;
    if (changed > 0)
        str_format(site->source, sizeof(site->source), "%s", book_source(place, text));
    return changed;
}

static bool update_price(struct decimal *price, const struct book_version *version)
{
    if (version == NULL || decimal_compare(*price, version->steps[0].price) == 0)
        return false;
    *price = version->steps[0].price;
    return true;
}

/* How many rules changed, or a negative error. */
static int update_egress(struct updating *updating, const struct place *place, struct error *err)
{
    struct world *world = updating->world;
    struct book_aims aims;
    struct arena arena;
    arena_init(&arena, BOOK_AIMS_BYTES);
    int rc = book_aims(&updating->writing, place, &arena, &aims, err);
    int changed = 0;
    int rules = world->egress_count; /* those that are added are the book's already */
    for (int i = 0; rc >= 0 && i < rules; i++) {
        if (world->egress[i].to_count > 1) {
            rc = is_of_book(&aims, &world->egress[i]) ? update_list(updating, &aims, i, err) : 0;
            changed += rc;
            continue;
        }
        for (int k = 0; rc >= 0 && k < aims.count; k++)
            if (aims.list[k].figure != NULL &&
                str_equal(world->egress[i].name, aims.list[k].name)) {
                rc = update_rule(aims.list[k].figure, &world->egress[i], updating->arena, err);
                changed += rc;
            }
    }
    arena_done(&arena);
    return rc < 0 ? rc : changed;
}

/* A rule of several destinations is the book's when it is named after its first. */
static bool is_of_book(const struct book_aims *aims, const struct egress_rule *rule)
{
    const struct book_aim *first = aim_of(aims, rule->to[0]);
    return first != NULL && str_equal(first->name, rule->name);
}

static const struct book_aim *aim_of(const struct book_aims *aims, const char *to)
{
    for (int i = 0; i < aims->count; i++)
        if (aims->list[i].figure != NULL && str_equal(aims->list[i].to, to))
            return &aims->list[i];
    return NULL;
}

/* Destinations that have one price no more get rules of their own. */
static int update_list(struct updating *updating, const struct book_aims *aims, int rule,
                       struct error *err)
{
    const struct egress_rule *whole = &updating->world->egress[rule];
    const struct book_aim *first = aim_of(aims, whole->to[0]);
    bool one = true;
    for (int i = 1; one && i < whole->to_count; i++)
        one = is_alike(first, aim_of(aims, whole->to[i]));
    return one ? update_rule(first->figure, &updating->world->egress[rule], updating->arena, err)
               : divide(updating, aims, rule, err);
}

/* What the book has no price of (any more) keeps the one that it has. */
static bool is_alike(const struct book_aim *one, const struct book_aim *other)
{
    if (one == NULL || other == NULL)
        return one == other;
    return book_together(one, other);
}

/* The first part stays where the rule was, the others follow all rules: they mean sites by name,
 * and no two of one place mean the same. */
static int divide(struct updating *updating, const struct book_aims *aims, int rule,
                  struct error *err)
{
    struct world *world = updating->world;
    const struct egress_rule whole = world->egress[rule];
    int room = world->egress_count + whole.to_count;
    struct egress_rule *list = arena_array(updating->arena, (size_t)room, sizeof(*list));
    if (list == NULL)
        return book_no_memory(err);
    memcpy(list, world->egress, (size_t)world->egress_count * sizeof(*list));
    world->egress = list;
    int parts = 0;
    for (int i = 0; i < whole.to_count; i++) {
        bool before = false;
        for (int k = 0; k < i && !before; k++)
            before = is_alike(aim_of(aims, whole.to[k]), aim_of(aims, whole.to[i]));
        if (before)
            continue;
        if (parts > 0 && world->egress_count == LIMIT_EGRESS_RULES)
            return error_set(err, ERR_LIMIT, 0,
                             "egress rule %s: its destinations have one price no more, and with "
                             "rules of their own there are more than %d (LIMIT_EGRESS_RULES)",
                             whole.name, LIMIT_EGRESS_RULES);
        struct egress_rule *part = parts == 0 ? &list[rule] : &list[world->egress_count++];
        int rc = take_apart(updating, aims, &whole, i, part, err);
        if (rc < 0)
            return rc;
        parts++;
    }
    return parts;
}

/* The destinations that are priced as that one, as a rule. */
static int take_apart(struct updating *updating, const struct book_aims *aims,
                      const struct egress_rule *whole, int first, struct egress_rule *ret_part,
                      struct error *err)
{
    const struct book_aim *aim = aim_of(aims, whole->to[first]);
    struct egress_rule part = *whole;
    part.to_count = 0;
    part.to = arena_array(updating->arena, (size_t)whole->to_count, sizeof(*part.to));
    if (part.to == NULL)
        return book_no_memory(err);
    for (int i = first; i < whole->to_count; i++)
        if (is_alike(aim, aim_of(aims, whole->to[i])))
            memcpy(part.to[part.to_count++], whole->to[i], sizeof(*part.to));
    part.month_to_date_bytes = first > 0 ? 0 : whole->month_to_date_bytes;
    int rc = first > 0 ? name_part(updating->world, &part, err) : 0;
    if (rc == 0 && aim != NULL)
        rc = update_rule(aim->figure, &part, updating->arena, err);
    *ret_part = part;
    return rc < 0 ? rc : 0;
}

/* After its first destination; with a number when another rule has that name. */
static int name_part(const struct world *world, struct egress_rule *part, struct error *err)
{
    char name[BOOK_RULE_BYTES];
    bool taken = true;
    for (int number = 0; taken; number++) {
        book_rule_name(part->from, part->to[0], number, name);
        taken = false;
        for (int i = 0; i + 1 < world->egress_count && !taken; i++)
            taken = str_equal(world->egress[i].name, name);
    }
    if (!name_is_valid(name))
        return book_bad_name(part->from, part->to[0], name, err);
    str_format(part->name, sizeof(part->name), "%s", name);
    return 0;
}

/* 1 when it changed. What the month has seen so far stays. */
static int update_rule(const struct book_figure *figure, struct egress_rule *rule,
                       struct arena *arena, struct error *err)
{
    const struct book_version *now = book_now(figure);
    bool same = rule->tier_count == now->step_count && rule->per_bytes == figure->per_bytes;
    struct egress_tier *tiers =
        arena_array(arena, (size_t)now->step_count, sizeof(struct egress_tier));
    if (tiers == NULL)
        return book_no_memory(err);
    for (int i = 0; i < now->step_count; i++) {
        tiers[i].price = now->steps[i].price;
        tiers[i].up_to_bytes = INT64_MAX;
        if (i + 1 < now->step_count &&
            __builtin_mul_overflow(now->steps[i + 1].from, figure->per_bytes,
                                   &tiers[i].up_to_bytes))
            return error_set(err, ERR_OVERFLOW, 0, "%s: a step of its egress ends at %" PRId64,
                             figure->site, now->steps[i + 1].from);
        same = same && rule->tiers[i].up_to_bytes == tiers[i].up_to_bytes &&
               decimal_compare(rule->tiers[i].price, tiers[i].price) == 0;
    }
    if (same)
        return 0;
    rule->tiers = tiers;
    rule->tier_count = now->step_count;
    rule->per_bytes = figure->per_bytes;
    str_format(rule->source, sizeof(rule->source), "%s", now->source);
    return 1;
}
