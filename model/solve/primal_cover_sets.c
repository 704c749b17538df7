#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_cover_internal.h"

#define SETS_MOST    65536 /* in the lists */
#define HALVES_MOST  65536 /* of one half of a site's cells */
#define MEMBERS_EACH 64    /* parts that a set has, at most, on the mean */
#define HALVINGS     40
#define PASSES       3
#define WIDER        1.3 /* factor between one try and the next */
#define TRIES_MOST   100
#define FIRST_SHARE  64 /* the first lists reach as far as this share of the gap */

/* A cell as it differs from what pays at the site's own price. */
struct item {
    double rise;
    int64_t fill[LIMIT_RESOURCES];
    int cell; /* of the site */
};

struct half_set {
    double rise;
    int64_t fill[LIMIT_RESOURCES];
    int item;
    int prev; /* -1: none */
};

/* Of the second half, in order of what they fill. */
struct turn_of {
    int64_t fill;
    int set;
};

struct half {
    struct item *item;
    int items;
    struct half_set *set;
    int sets;
};

struct cover_lists {
    struct half half[2];
    struct item *item; /* of the site at hand, those that rise least first */
    double *price;     /* [site * resources + r] the site's own */
    double *level;     /* [site] what no set costs less than */
    bool *taken;       /* [cell of the site] */
    struct turn_of *turn;
    double limit; /* of the rises, and the price of what is left */
};

static void find_price(struct cover_field *field, int site);
static double fill_at(const struct cover_field *field, int site, int r, double price);
static double rest_of(const struct cover_field *field, int site, const struct cover_cell *cell,
                      int without);
static double least_of(struct cover_field *field, int site, double guess);
static bool list_all(struct cover_field *field, double reach);
static bool list_site(struct cover_field *field, int site, double limit);
static bool list_half(struct half *half, double limit);
static bool grow(struct half *half, double limit, int from, int prev);
static bool join(struct cover_field *field, int site, const int64_t *room);
static bool emit(struct cover_field *field, int site, int a, int b);
static int by_rise(const void *a, const void *b);
static int by_fill(const void *a, const void *b);
static int by_above(const void *a, const void *b);

int cover_lists_create(struct cover_field *field)
{
    struct arena *work = field->work;
    size_t sites = (size_t)field->sites;
    size_t parts = (size_t)field->parts;
    struct cover_lists *lists = arena_alloc(work, sizeof(*lists));
    if (lists == NULL) {
        return ERR_NO_MEMORY;
    }
    bool whole = true;
    for (int i = 0; i < 2; i++) {
        lists->half[i].item = arena_array(work, parts + 1, sizeof(struct item));
        lists->half[i].set = arena_alloc_raw(work, HALVES_MOST * sizeof(struct half_set));
        whole = whole && lists->half[i].item != NULL && lists->half[i].set != NULL;
    }
    lists->item = arena_array(work, parts + 1, sizeof(struct item));
    lists->price = arena_array(work, sites * (size_t)field->resources + 1, sizeof(double));
    lists->level = arena_array(work, sites, sizeof(double));
    lists->taken = arena_array(work, parts + 1, sizeof(bool));
    lists->turn = arena_alloc_raw(work, HALVES_MOST * sizeof(struct turn_of));
    field->set_first = arena_array(work, sites + 1, sizeof(int));
    field->set = arena_alloc_raw(work, SETS_MOST * sizeof(struct cover_set));
    field->member =
        arena_alloc_raw(work, (size_t)SETS_MOST * MEMBERS_EACH * sizeof(*field->member));
    whole = whole && lists->item != NULL && lists->price != NULL && lists->level != NULL &&
            lists->taken != NULL && lists->turn != NULL && field->set_first != NULL &&
            field->set != NULL && field->member != NULL;
    if (!whole) {
        return ERR_NO_MEMORY;
    }
    field->lists = lists;
    return 0;
}

bool cover_list_sets(struct cover_field *field, double upto, int wanted)
{
    double bound = 0;
    for (int part = 0; part < field->parts; part++) {
        bound += field->worth[part];
    }
    for (int site = 0; site < field->sites; site++) {
        find_price(field, site);
        field->least[site] = least_of(field, site, field->magnitude / FIRST_SHARE / 1e6);
        if (isnan(field->least[site])) {
            return false;
        }
        bound += field->least[site];
    }
    field->bound = bound;
    double most = fmax(upto - bound, 0) + field->lost;
    double reach = most / FIRST_SHARE;
    double done = -1;
    for (int i = 0; i < TRIES_MOST; i++) {
        if (!list_all(field, reach)) {
            field->reach = done;
            return done >= 0 && list_all(field, done);
        }
        done = reach;
        if (reach >= most || field->set_first[field->sites] >= wanted) {
            break;
        }
        reach = fmin(reach * WIDER, most);
    }
    field->reach = done;
    return true;
}

/* ---- the site's own prices ---- */

/* The dual of the site's linear relaxation, row after row. */
static void find_price(struct cover_field *field, int site)
{
    int resources = field->resources;
    double *price = field->lists->price + (size_t)site * (size_t)resources;
    const int64_t *capacity = field->grid->capacity + (size_t)site * (size_t)resources;
    for (int r = 0; r < resources; r++) {
        bool limited = capacity[r] != INT64_MAX;
        price[r] =
            limited ? field->options->price[(size_t)site * (size_t)resources + (size_t)r] : 0;
    }
    for (int pass = 0; pass < (resources > 1 ? PASSES : 1); pass++) {
        for (int r = 0; r < resources; r++) {
            double low = 0;
            double high = 0;
            for (int i = field->cell_first[site]; i < field->cell_first[site + 1]; i++) {
                const struct cover_cell *cell = &field->cell[i];
                double rest = rest_of(field, site, cell, r);
                if (rest < 0 && cell->demand[r] > 0) {
                    high = fmax(high, -rest / cell->demand[r]);
                }
            }
            bool limited = capacity[r] != INT64_MAX;
            if (!limited || fill_at(field, site, r, 0) <= (double)capacity[r]) {
                price[r] = 0;
                continue;
            }
            for (int i = 0; i < HALVINGS; i++) {
                double middle = (low + high) / 2;
                if (fill_at(field, site, r, middle) > (double)capacity[r]) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            price[r] = high;
        }
    }
    double level = 0;
    for (int r = 0; r < resources; r++) {
        level -= price[r] > 0 ? price[r] * (double)capacity[r] : 0;
    }
    for (int i = field->cell_first[site]; i < field->cell_first[site + 1]; i++) {
        level += fmin(rest_of(field, site, &field->cell[i], -1), 0);
    }
    field->lists->level[site] = level;
}

/* How much the cells fill that a price makes worth taking. */
static double fill_at(const struct cover_field *field, int site, int r, double price)
{
    double sum = 0;
    for (int i = field->cell_first[site]; i < field->cell_first[site + 1]; i++) {
        const struct cover_cell *cell = &field->cell[i];
        double fill = cell->demand[r];
        sum += rest_of(field, site, cell, r) + price * fill < 0 ? fill : 0;
    }
    return sum;
}

/* Cost at the site's prices, of all rows but one, less the part's worth. */
static double rest_of(const struct cover_field *field, int site, const struct cover_cell *cell,
                      int without)
{
    const double *price = field->lists->price + (size_t)site * (size_t)field->resources;
    double rest = cell->cost - field->worth[cell->part];
    for (int r = 0; r < field->resources; r++) {
        rest += r != without ? price[r] * cell->demand[r] : 0;
    }
    return rest;
}

/* ---- lists ---- */

/* What the site's cheapest set costs at the worths; NAN: there are too many to tell. */
static double least_of(struct cover_field *field, int site, double guess)
{
    double limit = guess;
    for (int i = 0; i < 4 * TRIES_MOST; i++) {
        field->set_first[0] = 0;
        field->set_first[site] = 0;
        field->members = 0;
        if (!list_site(field, site, limit)) {
            return NAN;
        }
        double least = INFINITY;
        for (int k = 0; k < field->set_first[site + 1]; k++) {
            least = fmin(least, field->set[k].above);
        }
        if (least < INFINITY) {
            return least;
        }
        limit *= WIDER;
    }
    return NAN;
}

/* All sets up to `reach` above the least of their site. */
static bool list_all(struct cover_field *field, double reach)
{
    field->set_first[0] = 0;
    field->members = 0;
    for (int site = 0; site < field->sites; site++) {
        double least = field->least[site];
        if (!list_site(field, site, least - field->lists->level[site] + reach)) {
            return false;
        }
        int first = field->set_first[site];
        int count = field->set_first[site + 1] - first;
        for (int i = first; i < first + count; i++) {
            field->set[i].above -= least;
        }
        if (count > 0) {
            qsort(field->set + first, (size_t)count, sizeof(struct cover_set), by_above);
        }
    }
    return true;
}

/* Adds the sets that cost up to `limit` above what none costs less than; `above` is their whole
 * cost at the worths. false: they are too many. */
static bool list_site(struct cover_field *field, int site, double limit)
{
    struct cover_lists *lists = field->lists;
    int64_t room[LIMIT_RESOURCES] = {0};
    for (int r = 0; r < field->resources; r++) {
        int64_t capacity =
            field->grid->capacity[(size_t)site * (size_t)field->resources + (size_t)r];
        room[r] = capacity < INT64_MAX / 4 ? capacity : INT64_MAX / 4;
    }
    limit += field->lost;
    int first = field->cell_first[site];
    int count = field->cell_first[site + 1] - first;
    int items = 0;
    for (int i = 0; i < count; i++) {
        const struct cover_cell *cell = &field->cell[first + i];
        double rise = rest_of(field, site, cell, -1);
        lists->taken[i] = rise < 0;
        for (int r = 0; r < field->resources; r++) {
            room[r] -= rise < 0 ? cell->demand[r] : 0;
        }
        if (fabs(rise) > limit) {
            continue;
        }
        struct item *item = &lists->item[items++];
        *item = (struct item){.rise = fabs(rise), .cell = i};
        for (int r = 0; r < field->resources; r++) {
            item->fill[r] = rise < 0 ? -cell->demand[r] : cell->demand[r];
        }
    }
    qsort(lists->item, (size_t)items, sizeof(struct item), by_rise);
    lists->half[0].items = 0;
    lists->half[1].items = 0;
    for (int i = 0; i < items; i++) {
        struct half *half = &lists->half[i & 1];
        half->item[half->items++] = lists->item[i];
    }
    lists->limit = limit;
    bool whole = list_half(&lists->half[0], limit) && list_half(&lists->half[1], limit);
    field->listed += lists->half[0].sets + lists->half[1].sets;
    field->set_first[site + 1] = field->set_first[site];
    return whole && join(field, site, room);
}

static bool list_half(struct half *half, double limit)
{
    half->set[0] = (struct half_set){.item = -1, .prev = -1};
    half->sets = 1;
    return grow(half, limit, 0, 0);
}

static bool grow(struct half *half, double limit, int from, int prev)
{
    for (int i = from; i < half->items; i++) {
        double rise = half->set[prev].rise + half->item[i].rise;
        if (rise > limit) {
            return true; /* and so do the rest */
        }
        if (half->sets >= HALVES_MOST) {
            return false;
        }
        int at = half->sets++;
        half->set[at] = (struct half_set){.rise = rise, .item = i, .prev = prev};
        for (int r = 0; r < LIMIT_RESOURCES; r++) {
            half->set[at].fill[r] = half->set[prev].fill[r] + half->item[i].fill[r];
        }
        if (!grow(half, limit, i + 1, at)) {
            return false;
        }
    }
    return true;
}

/* The second half's sets are read in order of what they fill of the row whose room is dearest: what
 * one of the first half may go with is a stretch of them. */
static bool join(struct cover_field *field, int site, const int64_t *room)
{
    struct cover_lists *lists = field->lists;
    const double *price = lists->price + (size_t)site * (size_t)field->resources;
    const struct half *one = &lists->half[0];
    const struct half *two = &lists->half[1];
    int row = 0;
    for (int r = 1; r < field->resources; r++) {
        row = price[r] > price[row] ? r : row;
    }
    for (int i = 0; i < two->sets; i++) {
        lists->turn[i] = (struct turn_of){.fill = two->set[i].fill[row], .set = i};
    }
    qsort(lists->turn, (size_t)two->sets, sizeof(struct turn_of), by_fill);
    for (int a = 0; a < one->sets; a++) {
        double left = lists->limit - one->set[a].rise;
        int64_t most = room[row] - one->set[a].fill[row];
        double low = price[row] > 0 ? (double)most - left / price[row] : -INFINITY;
        int from = 0;
        for (int upto = two->sets; from < upto;) {
            int middle = (from + upto) / 2;
            if ((double)lists->turn[middle].fill < low) {
                from = middle + 1;
            } else {
                upto = middle;
            }
        }
        for (int i = from; i < two->sets && lists->turn[i].fill <= most; i++) {
            const struct half_set *b = &two->set[lists->turn[i].set];
            double cost = one->set[a].rise + b->rise;
            bool fits = true;
            for (int r = 0; r < field->resources; r++) {
                int64_t rest = room[r] - one->set[a].fill[r] - b->fill[r];
                fits = fits && rest >= 0;
                cost += price[r] > 0 ? price[r] * (double)rest : 0;
            }
            field->listed++;
            if (fits && cost <= lists->limit && !emit(field, site, a, lists->turn[i].set)) {
                return false;
            }
        }
    }
    return true;
}

/* Writes down what the site takes at its own price, but for the items of both. */
static bool emit(struct cover_field *field, int site, int a, int b)
{
    struct cover_lists *lists = field->lists;
    int at = field->set_first[site + 1];
    int first = field->cell_first[site];
    int cells = field->cell_first[site + 1] - first;
    if (at >= SETS_MOST || field->members + cells > SETS_MOST * MEMBERS_EACH) {
        return false;
    }
    struct cover_set *set = &field->set[at];
    *set = (struct cover_set){.first = field->members};
    for (int turn = 0; turn < 2; turn++) {
        for (int side = 0; side < 2; side++) {
            const struct half *half = &lists->half[side];
            for (int i = side == 0 ? a : b; half->set[i].item >= 0; i = half->set[i].prev) {
                bool *taken = &lists->taken[half->item[half->set[i].item].cell];
                *taken = !*taken;
            }
        }
        for (int i = 0; i < cells && turn == 0; i++) {
            if (lists->taken[i]) {
                const struct cover_cell *cell = &field->cell[first + i];
                field->member[field->members++] = (uint16_t)cell->part;
                set->cost += cell->cost;
                set->above += cell->cost - field->worth[cell->part];
            }
        }
    }
    set->count = field->members - set->first;
    field->set_first[site + 1]++;
    return true;
}

static int by_rise(const void *a, const void *b)
{
    const struct item *x = a;
    const struct item *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return (x->cell > y->cell) - (x->cell < y->cell);
}

static int by_fill(const void *a, const void *b)
{
    const struct turn_of *x = a;
    const struct turn_of *y = b;
    if (x->fill != y->fill) {
        return x->fill < y->fill ? -1 : 1;
    }
    return (x->set > y->set) - (x->set < y->set);
}

static int by_above(const void *a, const void *b)
{
    const struct cover_set *x = a;
    const struct cover_set *y = b;
    if (x->above != y->above) {
        return x->above < y->above ? -1 : 1;
    }
    return (x->first > y->first) - (x->first < y->first);
}
