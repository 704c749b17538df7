/* The book's prices of bytes as egress rules of a world. */
#include <inttypes.h>
#include <string.h>

#include "model/feeds/book_writing.h"
#include "model/read.h"

static bool next_neighbour(const struct writing *writing, const struct book_figure *figure,
                           struct book_target *target);
static bool is_there(const struct writing *writing, const char *name);
static int write_kept(struct writing *writing, const struct place *place, struct error *err);
static bool is_shadowed(const struct writing *writing, const struct place *place,
                        const struct site *to);
static void rule_name(const char *from, const char *to, int number, char name[BOOK_RULE_BYTES]);
static int write_rule(struct writing *writing, const struct book_figure *figure,
                      const struct book_target *target, struct error *err);
static int begin_rule(struct writing *writing, const char *from, const struct book_target *target,
                      int64_t per_bytes, struct error *err);
static void end_rule(struct json_out *json, const char *source);

int book_egress(struct writing *writing, const struct place *place, struct error *err)
{
    int rc = 0;
    for (int i = place->first; rc == 0 && i < place->end; i++) {
        const struct book_figure *figure = writing->book->list[i];
        struct book_target target = {.next = 0};
        if (figure->kind != FEED_EGRESS || book_now(figure) == NULL)
            continue;
        while (rc == 0 && book_next_target(writing, figure, &target))
            rc = write_rule(writing, figure, &target, err);
    }
    return rc < 0 ? rc : write_kept(writing, place, err);
}

/* Within a site nothing is billed, so "zone" is no target; nor is a site that the world has not.
 * The other regions of a continent are told one by one: a tag of it selects other providers' sites,
 * too. */
bool book_next_target(const struct writing *writing, const struct book_figure *figure,
                      struct book_target *target)
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
    rule_name(figure->site, figure->to, number, target->name);
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
                           struct book_target *target)
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
        rule_name(figure->site, site->name, 0, target->name);
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

/* The internet's prices by destination are more exact than the catalogue's between the provider's
 * own regions, and would take their bytes, too: where the book has no price between two regions,
 * the catalogue's is said once more, by their names. */
static int write_kept(struct writing *writing, const struct place *place, struct error *err)
{
    const struct world *world = writing->catalogue;
    struct json_out *json = &writing->json;
    int from = place->catalogued ? world_site(world, place->site) : -1;
    for (int to = 0; from >= 0 && to < world->site_count; to++) {
        const struct site *site = &world->sites[to];
        if (to == from || !str_equal(site->provider, world->sites[from].provider) ||
            !is_there(writing, site->name) || !is_shadowed(writing, place, site))
            continue;
        int at = world_egress(world, from, to).sender_rule;
        if (at < 0)
            continue;
        const struct egress_rule *rule = &world->egress[at];
        struct book_target target = {.next = 0};
        rule_name(place->site, site->name, 0, target.name);
        str_format(target.to, sizeof(target.to), "%s", site->name);
        int rc = begin_rule(writing, place->site, &target, rule->per_bytes, err);
        if (rc < 0)
            return rc;
        for (int i = 0; i < rule->tier_count; i++) {
            json_open(json, NULL, '{');
            if (i + 1 < rule->tier_count)
                json_int(json, "up_to", rule->tiers[i].up_to_bytes);
            json_price(json, "price", rule->tiers[i].price);
            json_close(json, '}');
        }
        end_rule(json, rule->source);
    }
    return 0;
}

/* A price of bytes to the internet there selects the site by a tag, and none of the book's own
 * between regions comes before it. */
static bool is_shadowed(const struct writing *writing, const struct place *place,
                        const struct site *to)
{
    bool shadowed = false;
    for (int i = place->first; i < place->end; i++) {
        const struct book_figure *figure = writing->book->list[i];
        struct book_target target = {.next = 0};
        if (figure->kind != FEED_EGRESS || book_now(figure) == NULL)
            continue;
        while (book_next_target(writing, figure, &target)) {
            if (str_equal(target.to, to->name))
                return false;
            shadowed =
                shadowed || (str_starts(target.to, "tag:") && world_selects(target.to, to) >= 0);
        }
    }
    return shadowed;
}

/* "aws-us-east-1-to-internet", "gcp-us-east1-to-emea-2". */
static void rule_name(const char *from, const char *to, int number, char name[BOOK_RULE_BYTES])
{
    str_format(name, BOOK_RULE_BYTES, "%s-to-%s", from, to);
    if (number > 0)
        str_format(name + strlen(name), BOOK_RULE_BYTES - strlen(name), "-%d", number + 1);
    for (char *at = name; *at != 0; at++)
        *at = *at == '/' ? '-' : *at;
}

static int write_rule(struct writing *writing, const struct book_figure *figure,
                      const struct book_target *target, struct error *err)
{
    struct json_out *json = &writing->json;
    const struct book_version *now = book_now(figure);
    char text[64];
    int rc = begin_rule(writing, figure->site, target, figure->per_bytes, err);
    if (rc < 0)
        return rc;
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
    end_rule(json, now->source);
    return 0;
}

/* All of a rule up to its tiers. */
static int begin_rule(struct writing *writing, const char *from, const struct book_target *target,
                      int64_t per_bytes, struct error *err)
{
    struct json_out *json = &writing->json;
    if (!name_is_valid(target->name))
        return error_set(err, ERR_LIMIT, 0,
                         "%s: the egress rule to %s would have a name of %zu bytes; at most %d",
                         from, target->to, strlen(target->name), LIMIT_NAME_BYTES - 1);
    if (++writing->rules > LIMIT_EGRESS_RULES)
        return error_set(err, ERR_LIMIT, 0,
                         "the price book comes to more than %d egress rules (LIMIT_EGRESS_RULES): "
                         "each pair of regions may have its own; import only the regions that are "
                         "used (--region) into a book of their own (--book)",
                         LIMIT_EGRESS_RULES);
    json_open(json, NULL, '{');
    json_string(json, "name", target->name);
    json_string(json, "from", from);
    json_string(json, "to", target->to);
    json_string(json, "per", per_bytes == INT64_C(1) << 30 ? "GiB" : "GB");
    json_open(json, "tiers", '[');
    return 0;
}

static void end_rule(struct json_out *json, const char *source)
{
    json_close(json, ']');
    json_string(json, "source", source);
    json_close(json, '}');
}
