#include "model/feeds/figures.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/str.h"
#include "model/feeds/fit.h"
#include "model/feeds/sku_map.h"

#define FIGURES_BYTES ((size_t)1 << 30)

struct shapes { /* of one region and term */
    char region[LIMIT_NAME_BYTES];
    enum feed_term term;
    struct fit fit;
    char effective[WALL_TEXT_BYTES];
    char problem[LIMIT_TEXT_BYTES];
};

struct place { /* what the list calls a region */
    char name[LIMIT_REF_BYTES];
    char region[LIMIT_NAME_BYTES];
};

struct figures {
    struct figures_options options;
    struct arena arena;
    struct sku_map offers; /* "kind|term|region|to|sku|from" to prices */
    struct decimal *prices;
    uint32_t price_count;
    uint32_t price_capacity;
    struct sku_map places; /* "kind|term|region|to" to list or shapes */
    struct figure **list;
    int count;
    int capacity;
    struct shapes **shapes;
    int shapes_count;
    int shapes_capacity;
    struct place **called;
    int called_count;
    int called_capacity;
    struct figures_counts counts;
};

/* The end of a step as the list says it, kept beside the figure until it is judged. */
struct gathered {
    struct figure figure; /* first: the list's pointers are to it */
    int64_t up_to[LIMIT_TIERS];
    char sku[LIMIT_TEXT_BYTES];
};

static int compare_offer(struct figures *figures, const struct feed_item *item, bool *ret_again,
                         char problem[LIMIT_TEXT_BYTES], struct error *err);
static int take_place(struct figures *figures, const struct feed_item *item, struct error *err);
static int take_shape(struct figures *figures, const struct feed_item *item, const char *problem,
                      struct error *err);
static int take_figure(struct figures *figures, const struct feed_item *item, const char *problem,
                       struct error *err);
static void add_step(struct gathered *gathered, const struct feed_item *item);
static int new_figure(struct figures *figures, const struct feed_item *item,
                      struct gathered **ret_gathered, struct error *err);
static int new_shapes(struct figures *figures, const struct feed_item *item,
                      struct shapes **ret_shapes, struct error *err);
static int solve_shapes(struct figures *figures, const struct shapes *shapes, struct error *err);
static int resolve_places(struct figures *figures, struct error *err);
static int resolve(struct figures *figures, const struct gathered *from, const char *region,
                   struct error *err);
static void judge(struct figures *figures, struct gathered *gathered);
static void judge_steps(struct gathered *gathered);
static int room(struct figures *figures, void ***list, int count, int *capacity, struct error *err);
static int out_of_memory(struct error *err);

int figures_create(const struct figures_options *options, struct figures **ret_figures,
                   struct error *err)
{
    struct figures *figures = calloc(1, sizeof(*figures));
    if (figures == NULL)
        return out_of_memory(err);
    figures->options = *options;
    arena_init(&figures->arena, FIGURES_BYTES);
    *ret_figures = figures;
    return 0;
}

void figures_destroy(struct figures *figures)
{
    if (figures == NULL)
        return;
    sku_map_done(&figures->offers);
    sku_map_done(&figures->places);
    arena_done(&figures->arena);
    free(figures);
}

int figures_take(void *context, const struct feed_item *item, struct error *err)
{
    struct figures *figures = context;
    char problem[LIMIT_TEXT_BYTES] = "";
    bool again = false;
    if (item->kind == FEED_PLACE)
        return take_place(figures, item, err);
    if (item->problem != NULL)
        str_format(problem, sizeof(problem), "offer %.100s: %.100s", item->sku, item->problem);
    int rc = compare_offer(figures, item, &again, problem, err);
    if (rc < 0 || again)
        return rc;
    return item->kind == FEED_SHAPE ? take_shape(figures, item, problem, err)
                                    : take_figure(figures, item, problem, err);
}

int figures_finish(struct figures *figures, const struct figure *const **ret_list, int *ret_count,
                   struct error *err)
{
    int rc = 0;
    for (int i = 0; rc == 0 && i < figures->shapes_count; i++)
        rc = solve_shapes(figures, figures->shapes[i], err);
    if (rc == 0)
        rc = resolve_places(figures, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < figures->count; i++)
        judge(figures, (struct gathered *)figures->list[i]);
    if (figures->count == 0)
        return error_set(err, ERR_INVALID, 0,
                         "there is not one price in it that means something here: is it the list "
                         "of another service?");
    *ret_list = (const struct figure *const *)figures->list;
    *ret_count = figures->count;
    return 0;
}

struct figures_counts figures_counts(const struct figures *figures)
{
    return figures->counts;
}

/* An offer is known by its name, place and step; the second time it must cost the same. */
static int compare_offer(struct figures *figures, const struct feed_item *item, bool *ret_again,
                         char problem[LIMIT_TEXT_BYTES], struct error *err)
{
    char before[DECIMAL_TEXT_BYTES];
    char now[DECIMAL_TEXT_BYTES];
    const char *key =
        arena_printf(&figures->arena, "%d|%d|%s|%s|%s|%" PRId64, (int)item->kind, (int)item->term,
                     item->region, item->to, item->sku, item->tier_from);
    if (key == NULL)
        return out_of_memory(err);
    int64_t at = sku_map_find(&figures->offers, key);
    if (at >= 0) {
        *ret_again = decimal_compare(figures->prices[at], item->price) == 0;
        if (!*ret_again)
            str_format(problem, LIMIT_TEXT_BYTES, "offer %.100s has two prices, $%s and $%s",
                       item->sku, decimal_format(figures->prices[at], before),
                       decimal_format(item->price, now));
        return 0;
    }
    if (figures->price_count == figures->price_capacity) {
        uint32_t capacity = figures->price_capacity == 0 ? 1024 : figures->price_capacity * 2;
        struct decimal *larger = arena_array(&figures->arena, capacity, sizeof(*larger));
        if (larger == NULL)
            return out_of_memory(err);
        if (figures->price_count > 0)
            memcpy(larger, figures->prices, figures->price_count * sizeof(*larger));
        figures->prices = larger;
        figures->price_capacity = capacity;
    }
    figures->prices[figures->price_count] = item->price;
    return sku_map_add(&figures->offers, key, figures->price_count++, err);
}

static int take_place(struct figures *figures, const struct feed_item *item, struct error *err)
{
    for (int i = 0; i < figures->called_count; i++)
        if (str_equal(figures->called[i]->name, item->to) &&
            str_equal(figures->called[i]->region, item->region))
            return 0;
    if (figures->called_count >= LIMIT_SITES * 4)
        return error_set(err, ERR_LIMIT, 0, "the list has names for more than %d regions",
                         LIMIT_SITES * 4);
    int rc = room(figures, (void ***)&figures->called, figures->called_count,
                  &figures->called_capacity, err);
    struct place *place = rc < 0 ? NULL : arena_alloc(&figures->arena, sizeof(*place));
    if (place == NULL)
        return rc < 0 ? rc : out_of_memory(err);
    if (str_copy(place->name, sizeof(place->name), item->to) < 0 ||
        str_copy(place->region, sizeof(place->region), item->region) < 0)
        return 0; /* no price leads to a place of so long a name */
    figures->called[figures->called_count++] = place;
    return 0;
}

static int take_shape(struct figures *figures, const struct feed_item *item, const char *problem,
                      struct error *err)
{
    struct shapes *shapes = NULL;
    int rc = new_shapes(figures, item, &shapes, err);
    if (rc < 0)
        return rc;
    if (problem[0] != 0 && shapes->problem[0] == 0 && item->problem == NULL)
        str_format(shapes->problem, sizeof(shapes->problem), "%s", problem);
    /* Lists are full of rows that cost 0: what is included elsewhere, or paid before. */
    if (problem[0] != 0 || item->price.coefficient <= 0) {
        figures->counts.refused++;
        return 0;
    }
    figures->counts.shapes++;
    fit_add(&shapes->fit, item->mcpu, item->memory_bytes, item->price);
    if (str_copy(shapes->effective, sizeof(shapes->effective), item->effective) < 0)
        shapes->effective[0] = 0;
    return 0;
}

static int take_figure(struct figures *figures, const struct feed_item *item, const char *problem,
                       struct error *err)
{
    struct gathered *gathered = NULL;
    int rc = new_figure(figures, item, &gathered, err);
    if (rc < 0)
        return rc;
    if (problem[0] != 0 && gathered->figure.problem[0] == 0)
        str_format(gathered->figure.problem, LIMIT_TEXT_BYTES, "%s", problem);
    if (item->problem != NULL)
        return 0;
    add_step(gathered, item);
    return 0;
}

/* In order of where they begin. */
static void add_step(struct gathered *gathered, const struct feed_item *item)
{
    struct figure *figure = &gathered->figure;
    char before[DECIMAL_TEXT_BYTES];
    char now[DECIMAL_TEXT_BYTES];
    int at = 0;
    while (at < figure->step_count && figure->steps[at].from < item->tier_from)
        at++;
    if (at < figure->step_count && figure->steps[at].from == item->tier_from) {
        if (decimal_compare(figure->steps[at].price, item->price) != 0 && figure->problem[0] == 0)
            str_format(figure->problem, LIMIT_TEXT_BYTES,
                       "two offers, %.60s and %.60s, price the same: $%s and $%s", gathered->sku,
                       item->sku, decimal_format(figure->steps[at].price, before),
                       decimal_format(item->price, now));
        return;
    }
    if (figure->step_count == LIMIT_TIERS) {
        if (figure->problem[0] == 0)
            str_format(figure->problem, LIMIT_TEXT_BYTES, "it has more than %d steps", LIMIT_TIERS);
        return;
    }
    for (int i = figure->step_count; i > at; i--) {
        figure->steps[i] = figure->steps[i - 1];
        gathered->up_to[i] = gathered->up_to[i - 1];
    }
    figure->steps[at] = (struct price_step){item->tier_from, item->price};
    gathered->up_to[at] = item->kind == FEED_EGRESS ? item->tier_up_to : FEED_TIER_ENDLESS;
    figure->step_count++;
    if (str_copy(gathered->sku, sizeof(gathered->sku), item->sku) < 0)
        gathered->sku[0] = 0;
    if (str_copy(figure->effective, sizeof(figure->effective), item->effective) < 0)
        figure->effective[0] = 0;
}

static int new_figure(struct figures *figures, const struct feed_item *item,
                      struct gathered **ret_gathered, struct error *err)
{
    char site[LIMIT_REF_BYTES];
    str_format(site, sizeof(site), "%s/%s", figures->options.provider, item->region);
    const char *key = arena_printf(&figures->arena, "%d|%d|%s|%s", (int)item->kind, (int)item->term,
                                   item->region, item->to);
    if (key == NULL)
        return out_of_memory(err);
    int64_t at = sku_map_find(&figures->places, key);
    if (at >= 0) {
        *ret_gathered = (struct gathered *)figures->list[at];
        return 0;
    }
    if (figures->count >= LIMIT_FEED_FIGURES)
        return error_set(err, ERR_LIMIT, 0,
                         "the list has more than %d figures (LIMIT_FEED_FIGURES); import fewer "
                         "regions",
                         LIMIT_FEED_FIGURES);
    int rc = room(figures, (void ***)&figures->list, figures->count, &figures->capacity, err);
    struct gathered *gathered =
        rc < 0 ? NULL : arena_alloc(&figures->arena, sizeof(struct gathered));
    if (gathered == NULL)
        return rc < 0 ? rc : out_of_memory(err);
    struct figure *figure = &gathered->figure;
    figure->kind = item->kind;
    figure->term = item->term;
    figure->per_bytes = item->per_bytes;
    str_format(figure->site, sizeof(figure->site), "%s", site);
    if (str_copy(figure->to, sizeof(figure->to), item->to) < 0)
        return error_set(err, ERR_LIMIT, 0, "offer %.100s: where its bytes go has too long a name",
                         item->sku);
    figures->list[figures->count] = figure;
    rc = sku_map_add(&figures->places, key, (uint32_t)figures->count++, err);
    *ret_gathered = gathered;
    return rc;
}

static int new_shapes(struct figures *figures, const struct feed_item *item,
                      struct shapes **ret_shapes, struct error *err)
{
    const char *key = arena_printf(&figures->arena, "shape|%d|%s", (int)item->term, item->region);
    if (key == NULL)
        return out_of_memory(err);
    int64_t at = sku_map_find(&figures->places, key);
    if (at >= 0) {
        *ret_shapes = figures->shapes[at];
        return 0;
    }
    int rc = room(figures, (void ***)&figures->shapes, figures->shapes_count,
                  &figures->shapes_capacity, err);
    struct shapes *shapes = rc < 0 ? NULL : arena_alloc(&figures->arena, sizeof(*shapes));
    if (shapes == NULL)
        return rc < 0 ? rc : out_of_memory(err);
    shapes->term = item->term;
    str_format(shapes->region, sizeof(shapes->region), "%s", item->region);
    figures->shapes[figures->shapes_count] = shapes;
    rc = sku_map_add(&figures->places, key, (uint32_t)figures->shapes_count++, err);
    *ret_shapes = shapes;
    return rc;
}

/* The vCPU-hour and the GiB-hour of a region, with how they came about. */
static int solve_shapes(struct figures *figures, const struct shapes *shapes, struct error *err)
{
    struct fit_result result;
    int64_t count = shapes->fit.count;
    if (!fit_solve(&shapes->fit, &result))
        return 0; /* no shape with a price: the figures of yesterday stay */
    int64_t tenths = (result.residual_ppm + 500) / 1000;
    for (int i = 0; i < 2; i++) {
        struct feed_item item = {.kind = i == 0 ? FEED_CPU : FEED_MEMORY,
                                 .term = shapes->term,
                                 .region = shapes->region,
                                 .sku = "shapes",
                                 .to = "",
                                 .price = i == 0 ? result.cpu : result.memory,
                                 .effective = shapes->effective};
        struct gathered *gathered = NULL;
        int rc = new_figure(figures, &item, &gathered, err);
        if (rc < 0)
            return rc;
        if (gathered->figure.step_count > 0)
            continue; /* the list says it itself */
        add_step(gathered, &item);
        if (shapes->problem[0] != 0)
            str_format(gathered->figure.problem, LIMIT_TEXT_BYTES, "%s", shapes->problem);
        str_format(gathered->figure.source, LIMIT_TEXT_BYTES,
                   "%.80s: %s of %" PRId64 " shapes, residual %" PRId64 ".%" PRId64 " %%",
                   figures->options.list,
                   result.divided ? "divided as GCP's e2 is, mean" : "least squares", count,
                   tenths / 10, tenths % 10);
    }
    return 0;
}

/* A price to a place becomes one to each region that the list calls so; the names are known at the
 * end alone, as they are anywhere in the list's pages. */
static int resolve_places(struct figures *figures, struct error *err)
{
    int rc = 0;
    int before = figures->count;
    for (int i = 0; rc == 0 && i < before; i++) {
        const struct gathered *gathered = (const struct gathered *)figures->list[i];
        const char *to = gathered->figure.to;
        bool found = false;
        if (!str_starts(to, FEED_CALLED))
            continue;
        for (int k = 0; rc == 0 && k < figures->called_count; k++) {
            if (!str_equal(figures->called[k]->name, to + strlen(FEED_CALLED)))
                continue;
            found = true;
            rc = resolve(figures, gathered, figures->called[k]->region, err);
        }
        figures->counts.unplaced += found ? 0 : 1;
    }
    int kept = 0;
    for (int i = 0; i < figures->count; i++)
        if (!str_starts(figures->list[i]->to, FEED_CALLED))
            figures->list[kept++] = figures->list[i];
    figures->count = kept;
    return rc;
}

static int resolve(struct figures *figures, const struct gathered *from, const char *region,
                   struct error *err)
{
    const struct figure *figure = &from->figure;
    const char *own = strchr(figure->site, '/') + 1;
    char to[LIMIT_REF_BYTES];
    if (str_equal(own, region))
        return 0; /* between its zones: within a site nothing is billed */
    str_format(to, sizeof(to), "%.60s/%s", figures->options.provider, region);
    struct gathered *gathered = NULL;
    struct feed_item item = {.kind = FEED_EGRESS,
                             .term = figure->term,
                             .region = own,
                             .sku = from->sku,
                             .to = to,
                             .per_bytes = figure->per_bytes,
                             .effective = figure->effective};
    int rc = new_figure(figures, &item, &gathered, err);
    if (rc < 0)
        return rc;
    if (figure->problem[0] != 0 && gathered->figure.problem[0] == 0)
        str_format(gathered->figure.problem, LIMIT_TEXT_BYTES, "%s", figure->problem);
    for (int i = 0; i < figure->step_count; i++) {
        item.price = figure->steps[i].price;
        item.tier_from = figure->steps[i].from;
        item.tier_up_to = from->up_to[i];
        add_step(gathered, &item);
    }
    return 0;
}

static void judge(struct figures *figures, struct gathered *gathered)
{
    struct figure *figure = &gathered->figure;
    char text[DECIMAL_TEXT_BYTES];
    if (figure->source[0] == 0)
        str_format(figure->source, sizeof(figure->source), "%.80s: offer %.140s",
                   figures->options.list, gathered->sku);
    for (int i = 0; i < figure->step_count && figure->problem[0] == 0; i++)
        if (decimal_is_negative(figure->steps[i].price))
            str_format(figure->problem, sizeof(figure->problem), "a price is below 0: $%s",
                       decimal_format(figure->steps[i].price, text));
    if (figure->problem[0] == 0)
        judge_steps(gathered);
}

static void judge_steps(struct gathered *gathered)
{
    struct figure *figure = &gathered->figure;
    int last = figure->step_count - 1;
    if (last < 0) {
        str_format(figure->problem, LIMIT_TEXT_BYTES, "it has no price that can be used");
        return;
    }
    if (figure->steps[0].from != 0) {
        str_format(figure->problem, LIMIT_TEXT_BYTES,
                   "its first step begins at %" PRId64 ": what comes before has no price",
                   figure->steps[0].from);
        return;
    }
    for (int i = 0; i <= last; i++) {
        int64_t next = i < last ? figure->steps[i + 1].from : FEED_TIER_ENDLESS;
        if (gathered->up_to[i] < 0 || gathered->up_to[i] == next)
            continue;
        if (i < last)
            str_format(figure->problem, LIMIT_TEXT_BYTES,
                       "its steps do not meet: one ends at %" PRId64 ", the next begins at "
                       "%" PRId64,
                       gathered->up_to[i], next);
        else
            str_format(figure->problem, LIMIT_TEXT_BYTES,
                       "its last step ends at %" PRId64 ": what comes after has no price",
                       gathered->up_to[i]);
        return;
    }
}

static int room(struct figures *figures, void ***list, int count, int *capacity, struct error *err)
{
    if (count < *capacity)
        return 0;
    int wanted = *capacity == 0 ? 256 : *capacity * 2;
    void **larger = arena_array(&figures->arena, (size_t)wanted, sizeof(void *));
    if (larger == NULL)
        return out_of_memory(err);
    if (count > 0)
        memcpy(larger, *list, (size_t)count * sizeof(void *));
    *list = larger;
    *capacity = wanted;
    return 0;
}

static int out_of_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the figures of a price list");
}
