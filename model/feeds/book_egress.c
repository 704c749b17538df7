/* The book's prices of bytes as egress rules of a world. */
#include <inttypes.h>
#include <string.h>

#include "model/egress.h"
#include "model/feeds/book_writing.h"
#include "model/read.h"

#define STEP_BYTES 64

struct target { /* where a figure's bytes go, as an egress rule has it */
    int next;   /* begins at 0 */
    char to[LIMIT_REF_BYTES];
    char name[BOOK_RULE_BYTES]; /* of a rule for it alone */
};

static int count_aims(const struct writing *writing, const struct place *place);
static void add_aims(const struct writing *writing, const struct place *place,
                     struct book_aims *aims);
static void add_kept(const struct writing *writing, const struct place *place,
                     struct book_aims *aims);
static bool is_shadowed(const struct book_aims *aims, const struct site *to);
static bool next_target(const struct writing *writing, const struct book_figure *figure,
                        struct target *target);
static bool next_neighbour(const struct writing *writing, const struct book_figure *figure,
                           struct target *target);
static bool is_there(const struct writing *writing, const char *name);
static int write_rule(struct writing *writing, const struct place *place,
                      const struct book_aims *aims, int first, struct error *err);
static void write_to(struct writing *writing, const struct book_aims *aims, int first);
static void write_steps(struct writing *writing, const struct book_figure *figure);
static void write_tiers(struct writing *writing, const struct egress_rule *rule);

int book_egress(struct writing *writing, const struct place *place, struct error *err)
{
    struct book_aims aims;
    struct arena arena;
    arena_init(&arena, BOOK_AIMS_BYTES);
    int rc = book_aims(writing, place, &arena, &aims, err);
    for (int i = 0; rc == 0 && i < aims.count; i++)
        if (!aims.list[i].written)
            rc = write_rule(writing, place, &aims, i, err);
    arena_done(&arena);
    return rc;
}

int book_aims(const struct writing *writing, const struct place *place, struct arena *arena,
              struct book_aims *ret_aims, struct error *err)
{
    struct book_aims aims = {.count = 0};
    int room = count_aims(writing, place) +
               (writing->catalogue == NULL ? 0 : writing->catalogue->site_count);
    aims.list = arena_array(arena, (size_t)room + 1, sizeof(*aims.list));
    if (aims.list == NULL)
        return book_no_memory(err);
    add_aims(writing, place, &aims);
    add_kept(writing, place, &aims);
    *ret_aims = aims;
    return 0;
}

bool book_together(const struct book_aim *one, const struct book_aim *other)
{
    if (one->figure == other->figure)
        return one->kept == other->kept;
    if (one->figure == NULL || other->figure == NULL)
        return false;
    const struct book_version *a = book_now(one->figure);
    const struct book_version *b = book_now(other->figure);
    return a->step_count == 1 && b->step_count == 1 &&
           one->figure->per_bytes == other->figure->per_bytes &&
           decimal_compare(a->steps[0].price, b->steps[0].price) == 0;
}

static int count_aims(const struct writing *writing, const struct place *place)
{
    int count = 0;
    for (int i = place->first; i < place->end; i++) {
        const struct book_figure *figure = writing->book->list[i];
        struct target target = {.next = 0};
        while (figure->kind == FEED_EGRESS && book_now(figure) != NULL &&
               next_target(writing, figure, &target))
            count++;
    }
    return count;
}

static void add_aims(const struct writing *writing, const struct place *place,
                     struct book_aims *aims)
{
    for (int i = place->first; i < place->end; i++) {
        const struct book_figure *figure = writing->book->list[i];
        struct target target = {.next = 0};
        while (figure->kind == FEED_EGRESS && book_now(figure) != NULL &&
               next_target(writing, figure, &target)) {
            struct book_aim *aim = &aims->list[aims->count++];
            aim->figure = figure;
            memcpy(aim->to, target.to, sizeof(aim->to));
            memcpy(aim->name, target.name, sizeof(aim->name));
        }
    }
}

/* The internet's prices by destination are more exact than the catalogue's between the provider's
 * own regions, and would take their bytes, too: where the book has no price between two regions,
 * the catalogue's is said once more, by their names. */
static void add_kept(const struct writing *writing, const struct place *place,
                     struct book_aims *aims)
{
    const struct world *world = writing->catalogue;
    struct book_aims own = *aims;
    int from = place->catalogued ? world_site(world, place->site) : -1;
    for (int to = 0; from >= 0 && to < world->site_count; to++) {
        const struct site *site = &world->sites[to];
        if (to == from || !str_equal(site->provider, world->sites[from].provider) ||
            !is_there(writing, site->name) || !is_shadowed(&own, site))
            continue;
        int rule = egress_between(world, from, to).sender_rule;
        if (rule < 0)
            continue;
        struct book_aim *aim = &aims->list[aims->count++];
        aim->kept = &world->egress[rule];
        str_format(aim->to, sizeof(aim->to), "%s", site->name);
        book_rule_name(place->site, site->name, 0, aim->name);
    }
}

/* A price of bytes to the internet there selects the site by a tag, and none of the book's own
 * between regions comes before it. */
static bool is_shadowed(const struct book_aims *aims, const struct site *to)
{
    bool shadowed = false;
    for (int i = 0; i < aims->count; i++) {
        const char *aim = aims->list[i].to;
        if (str_equal(aim, to->name))
            return false;
        shadowed = shadowed || (str_starts(aim, "tag:") && world_selects(aim, to) >= 0);
    }
    return shadowed;
}

/* Within a site nothing is billed, so "zone" is no target; nor is a site that the world has not.
 * The other regions of a continent are told one by one: a tag of it selects other providers' sites,
 * too. */
static bool next_target(const struct writing *writing, const struct book_figure *figure,
                        struct target *target)
{
    static const struct {
        const char *to;
        const char *selectors[4]; /* the last is NULL */
    } classes[] = {
        {"internet", {"*"}},
        {"americas", {"tag:continent=north-america", "tag:continent=south-america"}},
        {"emea", {"tag:continent=europe", "tag:continent=middle-east", "tag:continent=africa"}},
        {"apac", {"tag:continent=asia"}},
        {"oceania", {"tag:continent=oceania"}},
        {"china", {"tag:country=cn"}},
        {"zone", {NULL}},
    };
    if (str_equal(figure->to, "continent"))
        return next_neighbour(writing, figure, target);
    int number = target->next++;
    book_rule_name(figure->site, figure->to, number, target->name);
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (!str_equal(classes[i].to, figure->to))
            continue;
        const char *selector = number < 4 ? classes[i].selectors[number] : NULL;
        str_format(target->to, sizeof(target->to), "%s", selector == NULL ? "" : selector);
        return selector != NULL;
    }
    bool region = str_equal(figure->to, "region");
    if (region)
        str_format(target->to, sizeof(target->to), "%.*s/*", (int)strcspn(figure->site, "/"),
                   figure->site);
    else
        str_format(target->to, sizeof(target->to), "%s", figure->to);
    return number == 0 && (region || is_there(writing, figure->to));
}

/* The next site of the same provider and continent. */
static bool next_neighbour(const struct writing *writing, const struct book_figure *figure,
                           struct target *target)
{
    const struct world *world = writing->catalogue;
    int own = world == NULL ? -1 : world_site(world, figure->site);
    const char *continent = own < 0 ? NULL : tags_get(&world->sites[own].tags, "continent");
    while (continent != NULL && target->next < world->site_count) {
        int at = target->next++;
        const struct site *site = &world->sites[at];
        const char *other = tags_get(&site->tags, "continent");
        if (at == own || other == NULL || !str_equal(other, continent) ||
            !str_equal(site->provider, world->sites[own].provider) ||
            !is_there(writing, site->name))
            continue;
        book_rule_name(figure->site, site->name, 0, target->name);
        str_format(target->to, sizeof(target->to), "%s", site->name);
        return true;
    }
    return false;
}

/* Whether the world that is written has the site. */
static bool is_there(const struct writing *writing, const char *name)
{
    if (writing->whole && world_site(writing->catalogue, name) >= 0)
        return true;
    for (int i = 0; i < writing->there_count; i++)
        if (str_equal(writing->there[i], name))
            return true;
    return false;
}

void book_rule_name(const char *from, const char *to, int number, char name[BOOK_RULE_BYTES])
{
    str_format(name, BOOK_RULE_BYTES, "%s-to-%s", from, to);
    if (number > 0)
        str_format(name + strlen(name), BOOK_RULE_BYTES - strlen(name), "-%d", number + 1);
    for (char *at = name; *at != 0; at++)
        *at = *at == '/' ? '-' : *at;
}

int book_bad_name(const char *from, const char *to, const char *name, struct error *err)
{
    return error_set(err, ERR_LIMIT, 0,
                     "%s: the egress rule to %s would have a name of %zu bytes; at most %d", from,
                     to, strlen(name), LIMIT_NAME_BYTES - 1);
}

/* The rule of an aim and of all that are priced with it. */
static int write_rule(struct writing *writing, const struct place *place,
                      const struct book_aims *aims, int first, struct error *err)
{
    struct json_out *json = &writing->json;
    const struct book_aim *aim = &aims->list[first];
    int64_t per = aim->figure != NULL ? aim->figure->per_bytes : aim->kept->per_bytes;
    if (!name_is_valid(aim->name))
        return book_bad_name(place->site, aim->to, aim->name, err);
    if (++writing->rules > LIMIT_EGRESS_RULES)
        return error_set(err, ERR_LIMIT, 0,
                         "the price book comes to more than %d egress rules (LIMIT_EGRESS_RULES): "
                         "each price from a region is one; import only the regions that are used "
                         "(--region) into a book of their own (--book)",
                         LIMIT_EGRESS_RULES);
    json_open(json, NULL, '{');
    json_string(json, "name", aim->name);
    json_string(json, "from", place->site);
    write_to(writing, aims, first);
    json_string(json, "per", per == INT64_C(1) << 30 ? "GiB" : "GB");
    json_open(json, "tiers", '[');
    if (aim->figure != NULL)
        write_steps(writing, aim->figure);
    else
        write_tiers(writing, aim->kept);
    json_close(json, ']');
    json_string(json, "source",
                aim->figure != NULL ? book_now(aim->figure)->source : aim->kept->source);
    json_close(json, '}');
    return 0;
}

static void write_to(struct writing *writing, const struct book_aims *aims, int first)
{
    struct json_out *json = &writing->json;
    int count = 0;
    for (int i = first; i < aims->count; i++)
        count += book_together(&aims->list[first], &aims->list[i]) ? 1 : 0;
    if (count > 1)
        json_open(json, "to", '[');
    for (int i = first; i < aims->count; i++) {
        if (!book_together(&aims->list[first], &aims->list[i]))
            continue;
        json_string(json, count > 1 ? NULL : "to", aims->list[i].to);
        aims->list[i].written = true;
    }
    if (count > 1)
        json_close(json, ']');
}

static void write_steps(struct writing *writing, const struct book_figure *figure)
{
    struct json_out *json = &writing->json;
    const struct book_version *now = book_now(figure);
    char text[STEP_BYTES];
    for (int i = 0; i < now->step_count; i++) {
        json_open(json, NULL, '{');
        if (i + 1 < now->step_count) {
            str_format(text, sizeof(text), "%" PRId64 "%s", now->steps[i + 1].from,
                       figure->per_bytes == INT64_C(1) << 30 ? "GiB" : "GB");
            json_string(json, "up_to", text);
        }
        json_price(json, "price", now->steps[i].price);
        json_close(json, '}');
    }
}

static void write_tiers(struct writing *writing, const struct egress_rule *rule)
{
    struct json_out *json = &writing->json;
    for (int i = 0; i < rule->tier_count; i++) {
        json_open(json, NULL, '{');
        if (i + 1 < rule->tier_count)
            json_int(json, "up_to", rule->tiers[i].up_to_bytes);
        json_price(json, "price", rule->tiers[i].price);
        json_close(json, '}');
    }
}
