/*
 * From counts per group to a placement: groups are filled, what is left over is put where it is
 * cheapest, and then units move while that saves. The state is counts of kinds at sites; parts are
 * drawn from them at the end.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/classes.h"

/* Kinds that are compared for the next place of a site. */
#define WINDOW 256
/* Comparisons after which no unit is tried in exchange for another any more: some seconds. */
#define WORK_MAX   INT64_C(3000000000)
#define PASSES_MAX 6
#define SPEAK_US   (300 * US_PER_MS)

struct entry {
    int kind;
    int count;
    int next;
};

struct direct {
    int site; /* -1: none; */
    bool known;
    double value;
    double slack;
};

/* Where a unit would go, and which one would go on from there. */
struct change {
    int site;  /* -1: nowhere */
    int other; /* kind that leaves it; -1: none has to */
    int to;
    double value;
    double slack;
};

struct candidate {
    double regret;
    int site;
    int kind;
};

struct place {
    const struct grid *grid;
    const struct classes *classes;
    const struct classes_place_options *options;
    int resources;
    int64_t *rest;       /* [site * resources + r]; INT64_MAX: no limit */
    double *inverse;     /* [site * resources + r] 1 / capacity; 0: no limit, or none */
    int *head;           /* [site] entry or -1 */
    struct entry *entry; /* one per unit at most */
    int unused;          /* a list of them */
    int *left;           /* [kind] units without a place */
    struct direct *direct;
    double *value; /* [kind * groups + group] cost, and price * demand where it is not known yet
                    * who goes where; INFINITY: closed */
    int64_t cost;
    int64_t work;
    int64_t spoke_us;
    bool stop;
};

static int place_make(struct place *place, struct arena *arena, struct error *err);
static int fill_groups(struct place *place, struct arena *arena, struct error *err);
static int insert_left(struct place *place, struct arena *arena, struct error *err);
static int improve(struct place *place, struct arena *arena, struct error *err);
static int draw(const struct place *place, struct arena *arena, int *choice, struct error *err);

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory to place counts of parts");
}

int classes_place(const struct grid *grid, const struct classes *classes,
                  const struct classes_place_options *options, struct arena *arena, int *choice,
                  int *ret_left, struct error *err)
{
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    struct place place = {.grid = grid,
                          .classes = classes,
                          .options = options,
                          .resources = grid->resources,
                          .spoke_us = clock_mono_now().us};
    int rc = place_make(&place, &work, err);
    rc = rc == 0 ? fill_groups(&place, &work, err) : rc;
    rc = rc == 0 ? insert_left(&place, &work, err) : rc;
    rc = rc == 0 ? improve(&place, &work, err) : rc;
    rc = rc == 0 ? draw(&place, &work, choice, err) : rc;
    int left = 0;
    for (int kind = 0; rc == 0 && kind < classes->kinds; kind++) {
        left += place.left[kind];
    }
    *ret_left = left;
    arena->fail_after = work.fail_after;
    arena_done(&work);
    return rc;
}

static int place_make(struct place *place, struct arena *arena, struct error *err)
{
    const struct grid *grid = place->grid;
    size_t sites = (size_t)grid->sites;
    size_t rows = sites * (size_t)grid->resources;
    size_t kinds = (size_t)place->classes->kinds;
    place->rest = arena_array(arena, rows + 1, sizeof(int64_t));
    place->inverse = arena_array(arena, rows + 1, sizeof(double));
    place->head = arena_array(arena, sites, sizeof(int));
    place->entry = arena_array(arena, (size_t)grid->parts, sizeof(*place->entry));
    place->left = arena_array(arena, kinds, sizeof(int));
    place->direct = arena_array(arena, kinds, sizeof(*place->direct));
    place->value = arena_array(arena, kinds * (size_t)place->classes->groups, sizeof(double));
    if (place->rest == NULL || place->inverse == NULL || place->head == NULL ||
        place->entry == NULL || place->left == NULL || place->direct == NULL ||
        place->value == NULL) {
        return no_memory(err);
    }
    for (size_t row = 0; row < rows; row++) {
        int64_t capacity = grid->capacity[row];
        place->rest[row] = capacity;
        place->inverse[row] = capacity > 0 && capacity < INT64_MAX ? 1 / (double)capacity : 0;
    }
    for (size_t site = 0; site < sites; site++) {
        place->head[site] = -1;
    }
    for (int i = 0; i < grid->parts; i++) {
        place->entry[i].next = i + 1 < grid->parts ? i + 1 : -1;
    }
    place->unused = 0;
    return 0;
}

/* ---- the state ----------------------------------------------------------------------------- */

static inline int kind_part(const struct place *place, int kind)
{
    return place->classes->kind_part[place->classes->kind_first[kind]];
}

static inline const int32_t *kind_demand(const struct place *place, int kind, int cell)
{
    return grid_demand(place->grid, kind_part(place, kind), cell);
}

static inline bool kind_fits(const struct place *place, const int32_t *demand, int site)
{
    const int64_t *rest = place->rest + (size_t)site * (size_t)place->resources;
    for (int r = 0; r < place->resources; r++) {
        if (demand[r] > rest[r]) {
            return false;
        }
    }
    return true;
}

/* INFINITY where a kind may not be. */
static inline double kind_value(const struct place *place, int kind, int site)
{
    return place->value[(size_t)kind * (size_t)place->classes->groups +
                        (size_t)place->classes->group_of[site]];
}

/* Values of all kinds in all groups, at the prices or without; places found with others are
 * forgotten. */
static void value_all(struct place *place, bool priced)
{
    const struct classes *classes = place->classes;
    for (int kind = 0; kind < classes->kinds; kind++) {
        place->direct[kind].known = false;
        for (int group = 0; group < classes->groups; group++) {
            int site = classes->group_site[classes->group_first[group]];
            int cell = classes_cell(place->grid, classes, kind, site);
            double value = INFINITY;
            if (cell >= 0) {
                const int32_t *demand = kind_demand(place, kind, cell);
                const double *price =
                    place->options->price + (size_t)site * (size_t)place->resources;
                value = (double)grid_cost(place->grid, kind_part(place, kind), cell);
                for (int r = 0; r < place->resources && priced; r++) {
                    value += price[r] * (double)demand[r];
                }
            }
            place->value[(size_t)kind * (size_t)classes->groups + (size_t)group] = value;
        }
    }
}

/* Room that would be left over, as shares of the site's: the fuller it gets the better. */
static double slack_of(const struct place *place, const int32_t *demand, int site)
{
    const int64_t *rest = place->rest + (size_t)site * (size_t)place->resources;
    const double *inverse = place->inverse + (size_t)site * (size_t)place->resources;
    double slack = 0;
    for (int r = 0; r < place->resources; r++) {
        slack += inverse[r] > 0 ? (double)(rest[r] - demand[r]) * inverse[r] : 0;
    }
    return slack;
}

static int entry_of(const struct place *place, int site, int kind)
{
    int at = place->head[site];
    while (at >= 0 && place->entry[at].kind != kind) {
        at = place->entry[at].next;
    }
    return at;
}

static void put(struct place *place, int site, int kind, int count)
{
    int cell = classes_cell(place->grid, place->classes, kind, site);
    const int32_t *demand = kind_demand(place, kind, cell);
    int64_t *rest = place->rest + (size_t)site * (size_t)place->resources;
    for (int r = 0; r < place->resources; r++) {
        rest[r] -= rest[r] < INT64_MAX ? (int64_t)demand[r] * count : 0;
    }
    place->cost += grid_cost(place->grid, kind_part(place, kind), cell) * count;
    int at = entry_of(place, site, kind);
    if (at < 0) {
        at = place->unused;
        place->unused = place->entry[at].next;
        place->entry[at] = (struct entry){.kind = kind, .next = place->head[site]};
        place->head[site] = at;
    }
    place->entry[at].count += count;
}

static void take(struct place *place, int site, int kind)
{
    int cell = classes_cell(place->grid, place->classes, kind, site);
    const int32_t *demand = kind_demand(place, kind, cell);
    int64_t *rest = place->rest + (size_t)site * (size_t)place->resources;
    for (int r = 0; r < place->resources; r++) {
        rest[r] += rest[r] < INT64_MAX ? demand[r] : 0;
    }
    place->cost -= grid_cost(place->grid, kind_part(place, kind), cell);
    int at = entry_of(place, site, kind);
    if (--place->entry[at].count > 0) {
        return;
    }
    int *from = &place->head[site];
    while (*from != at) {
        from = &place->entry[*from].next;
    }
    *from = place->entry[at].next;
    place->entry[at].next = place->unused;
    place->unused = at;
}

/* ---- groups -------------------------------------------------------------------------------- */

struct fill {
    int group;
    int *kind; /* with units to place, the largest first */
    int *need; /* [kind] */
    double *size;
    int kinds;
    int sites;                      /* still empty */
    double demand[LIMIT_RESOURCES]; /* of the units to place */
    double room[LIMIT_RESOURCES];   /* of the sites still empty */
};

/* What a site is to look like; all in shares of its capacity, weighed. */
struct aim {
    double weight[LIMIT_RESOURCES]; /* of a unit of demand */
    double share[LIMIT_RESOURCES];  /* of what the group has to hold, at each of its empty sites */
    double used[LIMIT_RESOURCES];
};

static int by_size(const void *a, const void *b, void *context)
{
    const double *size = context;
    int x = *(const int *)a;
    int y = *(const int *)b;
    if (size[x] > size[y] || size[x] < size[y]) {
        return size[x] > size[y] ? -1 : 1;
    }
    return x < y ? -1 : 1;
}

/* The units that a group is to get, and how scarce each resource will be there. */
static void fill_begin(const struct place *place, struct fill *fill)
{
    const struct classes *classes = place->classes;
    int site = classes->group_site[classes->group_first[fill->group]];
    int members = classes->group_first[fill->group + 1] - classes->group_first[fill->group];
    fill->kinds = 0;
    fill->sites = members;
    memset(fill->demand, 0, sizeof(fill->demand));
    for (int r = 0; r < place->resources; r++) {
        int64_t each = place->rest[(size_t)site * (size_t)place->resources + (size_t)r];
        fill->room[r] = each < INT64_MAX ? (double)each * members : INFINITY;
    }
    for (int kind = 0; kind < classes->kinds; kind++) {
        size_t at = (size_t)kind * (size_t)classes->groups + (size_t)fill->group;
        int cell = classes_cell(place->grid, classes, kind, site);
        fill->need[kind] = cell >= 0 ? place->options->count[at] : 0;
        place->left[kind] += place->options->count[at] - fill->need[kind];
        if (fill->need[kind] > 0) {
            const int32_t *demand = kind_demand(place, kind, cell);
            fill->kind[fill->kinds++] = kind;
            for (int r = 0; r < place->resources; r++) {
                fill->demand[r] += (double)demand[r] * fill->need[kind];
            }
        }
    }
    for (int i = 0; i < fill->kinds; i++) {
        int kind = fill->kind[i];
        int cell = classes_cell(place->grid, classes, kind, site);
        const int32_t *demand = kind_demand(place, kind, cell);
        fill->size[kind] = 0;
        for (int r = 0; r < place->resources; r++) {
            double scarce = fill->room[r] > 0 ? fill->demand[r] / fill->room[r] : 0;
            double each = place->inverse[(size_t)site * (size_t)place->resources + (size_t)r];
            fill->size[kind] += scarce * each * demand[r];
        }
    }
    qsort_r(fill->kind, (size_t)fill->kinds, sizeof(int), by_size, fill->size);
}

/* How well a site that has `used` and takes `demand` too looks like its share of the group: the
 * cosine between the two, resources weighed by how scarce they are. */
static double likeness(const struct aim *aim, int resources, const int32_t *demand)
{
    double both = 0;
    double mine = 0;
    for (int r = 0; r < resources; r++) {
        double value = aim->used[r] + aim->weight[r] * demand[r];
        both += value * aim->share[r];
        mine += value * value;
    }
    return mine > 0 ? both / sqrt(mine) : 0;
}

static struct aim aim_at(const struct place *place, const struct fill *fill, int site)
{
    struct aim aim = {0};
    for (int r = 0; r < place->resources; r++) {
        double inverse = place->inverse[(size_t)site * (size_t)place->resources + (size_t)r];
        double scarce = fill->room[r] > 0 ? fill->demand[r] / fill->room[r] : 0;
        aim.weight[r] = scarce * inverse;
        aim.share[r] = aim.weight[r] * fill->demand[r] / fill->sites;
    }
    return aim;
}

/* Takes for a site the largest kind that is left and then, one after another, those with which it
 * comes to look like the average of what the group still has to hold: so no resource of a site is
 * used up long before the others are. */
static void fill_site(struct place *place, struct fill *fill, int site)
{
    const int64_t *rest = place->rest + (size_t)site * (size_t)place->resources;
    struct aim aim = aim_at(place, fill, site);
    for (int r = 0; r < place->resources; r++) {
        fill->room[r] -= rest[r] < INT64_MAX ? (double)rest[r] : 0;
    }
    fill->sites--;
    for (bool first = true;; first = false) {
        int best = -1;
        double most = -1;
        int seen = 0;
        for (int i = 0; i < fill->kinds && seen < (first ? 1 : WINDOW); i++) {
            int kind = fill->kind[i];
            int cell = classes_cell(place->grid, place->classes, kind, site);
            const int32_t *demand = kind_demand(place, kind, cell);
            if (!kind_fits(place, demand, site)) {
                continue;
            }
            seen++;
            double score = likeness(&aim, place->resources, demand);
            if (score > most) {
                most = score;
                best = i;
            }
        }
        if (best < 0) {
            return;
        }
        int kind = fill->kind[best];
        const int32_t *demand =
            kind_demand(place, kind, classes_cell(place->grid, place->classes, kind, site));
        for (int r = 0; r < place->resources; r++) {
            fill->demand[r] -= demand[r];
            aim.used[r] += aim.weight[r] * demand[r];
        }
        put(place, site, kind, 1);
        if (--fill->need[kind] == 0) {
            fill->kinds--;
            memmove(fill->kind + best, fill->kind + best + 1,
                    (size_t)(fill->kinds - best) * sizeof(int));
        }
    }
}

static int fill_groups(struct place *place, struct arena *arena, struct error *err)
{
    const struct classes *classes = place->classes;
    struct fill fill = {0};
    fill.kind = arena_array(arena, (size_t)classes->kinds, sizeof(int));
    fill.need = arena_array(arena, (size_t)classes->kinds, sizeof(int));
    fill.size = arena_array(arena, (size_t)classes->kinds, sizeof(double));
    if (fill.kind == NULL || fill.need == NULL || fill.size == NULL) {
        return no_memory(err);
    }
    for (fill.group = 0; fill.group < classes->groups; fill.group++) {
        fill_begin(place, &fill);
        for (int i = classes->group_first[fill.group];
             i < classes->group_first[fill.group + 1] && fill.kinds > 0; i++) {
            fill_site(place, &fill, classes->group_site[i]);
        }
        for (int i = 0; i < fill.kinds; i++) {
            place->left[fill.kind[i]] += fill.need[fill.kind[i]];
        }
    }
    return 0;
}

/* ---- single units -------------------------------------------------------------------------- */

static bool better(double value, double slack, double than, double than_slack)
{
    return value < than || (value <= than && slack < than_slack);
}

static void try_direct(struct place *place, int kind, int site)
{
    struct direct *direct = &place->direct[kind];
    double value = kind_value(place, kind, site);
    if (value > direct->value || isinf(value)) {
        return;
    }
    int cell = classes_cell(place->grid, place->classes, kind, site);
    const int32_t *demand = kind_demand(place, kind, cell);
    if (!kind_fits(place, demand, site)) {
        return;
    }
    double slack = slack_of(place, demand, site);
    if (better(value, slack, direct->value, direct->slack)) {
        *direct = (struct direct){.site = site, .known = true, .value = value, .slack = slack};
    }
}

/* The cheapest site with room for one more of a kind. */
static const struct direct *direct_of(struct place *place, int kind)
{
    struct direct *direct = &place->direct[kind];
    if (!direct->known) {
        *direct = (struct direct){.site = -1, .known = true, .value = INFINITY};
        for (int site = 0; site < place->grid->sites; site++) {
            try_direct(place, kind, site);
        }
        place->work += place->grid->sites;
    }
    return direct;
}

static void direct_forget(struct place *place, int site)
{
    for (int kind = 0; kind < place->classes->kinds; kind++) {
        if (place->direct[kind].site == site) {
            place->direct[kind].known = false;
        } else if (place->direct[kind].known) {
            try_direct(place, kind, site);
        }
    }
    place->work += place->classes->kinds;
}

/* A unit of a kind goes to a site when another one there goes on: to the best site with room for
 * it, or to where the first one comes from. */
static void try_exchange(struct place *place, int kind, int from, int site, int cell,
                         struct change *best)
{
    size_t resources = (size_t)place->resources;
    const int32_t *demand = kind_demand(place, kind, cell);
    const int64_t *rest = place->rest + (size_t)site * resources;
    double value = kind_value(place, kind, site);
    for (int at = place->head[site]; at >= 0; at = place->entry[at].next) {
        int other = place->entry[at].kind;
        int other_cell = classes_cell(place->grid, place->classes, other, site);
        const int32_t *leaves = kind_demand(place, other, other_cell);
        bool fits = other != kind;
        for (size_t r = 0; r < resources && fits; r++) {
            fits = demand[r] <= rest[r] || demand[r] <= rest[r] + leaves[r];
        }
        place->work++;
        if (!fits) {
            continue;
        }
        double change = value - kind_value(place, other, site);
        const struct direct *direct = direct_of(place, other);
        if (direct->site >= 0 && direct->site != site &&
            better(change + direct->value, direct->slack, best->value, best->slack)) {
            *best =
                (struct change){site, other, direct->site, change + direct->value, direct->slack};
        }
        int back = from >= 0 ? classes_cell(place->grid, place->classes, other, from) : -1;
        if (back < 0) {
            continue;
        }
        const int32_t *gives =
            kind_demand(place, kind, classes_cell(place->grid, place->classes, kind, from));
        const int32_t *needs = kind_demand(place, other, back);
        const int64_t *there = place->rest + (size_t)from * resources;
        for (size_t r = 0; r < resources && fits; r++) {
            fits = needs[r] <= there[r] || needs[r] - gives[r] <= there[r];
        }
        double swapped = change + kind_value(place, other, from);
        if (fits && better(swapped, 0, best->value, best->slack)) {
            *best = (struct change){site, other, from, swapped, 0};
        }
    }
}

/* The cheapest place of a unit that is at `from`, or nowhere yet (-1), below `limit`. */
static struct change find_change(struct place *place, int kind, int from, double limit)
{
    struct change best = {.site = -1, .other = -1, .to = -1, .value = limit, .slack = -INFINITY};
    const struct direct *direct = direct_of(place, kind);
    if (direct->site >= 0 && direct->site != from && direct->value < best.value) {
        best.site = direct->site;
        best.value = direct->value;
        best.slack = direct->slack;
    }
    if (place->work > WORK_MAX) {
        return best;
    }
    for (int site = 0; site < place->grid->sites; site++) {
        int cell = classes_cell(place->grid, place->classes, kind, site);
        if (site != from && cell >= 0 && place->head[site] >= 0) {
            try_exchange(place, kind, from, site, cell, &best);
        }
    }
    place->work += place->grid->sites;
    return best;
}

static void apply(struct place *place, int kind, int from, const struct change *change)
{
    if (from >= 0) {
        take(place, from, kind);
    }
    if (change->other >= 0) {
        take(place, change->site, change->other);
        put(place, change->to, change->other, 1);
        direct_forget(place, change->to);
    }
    put(place, change->site, kind, 1);
    direct_forget(place, change->site);
    if (from >= 0 && from != change->to) {
        direct_forget(place, from);
    }
}

static bool speak(struct place *place)
{
    const struct classes_place_options *options = place->options;
    int64_t now = clock_mono_now().us;
    if (options->progress != NULL && now - place->spoke_us >= SPEAK_US && !place->stop) {
        place->spoke_us = now;
        place->stop = !options->progress(options->context, options->bound, NAN);
    }
    return !place->stop;
}

/* What the groups had no room for, the largest first. At the prices, so that what is scarce is kept
 * for those who gain most from it. */
static int insert_left(struct place *place, struct arena *arena, struct error *err)
{
    const struct classes *classes = place->classes;
    size_t kinds = (size_t)classes->kinds;
    int *order = arena_array(arena, kinds, sizeof(int));
    double *size = arena_array(arena, kinds, sizeof(double));
    if (order == NULL || size == NULL) {
        return no_memory(err);
    }
    int count = 0;
    for (int kind = 0; kind < classes->kinds; kind++) {
        if (place->left[kind] > 0) {
            order[count++] = kind;
            for (int site = 0; site < place->grid->sites; site++) {
                int cell = classes_cell(place->grid, classes, kind, site);
                size_t row = (size_t)site * (size_t)place->resources;
                for (int r = 0; cell >= 0 && r < place->resources; r++) {
                    const int32_t *demand = kind_demand(place, kind, cell);
                    size[kind] += place->inverse[row + (size_t)r] * demand[r];
                }
            }
        }
    }
    qsort_r(order, (size_t)count, sizeof(int), by_size, size);
    value_all(place, true);
    for (int i = 0; i < count; i++) {
        int kind = order[i];
        while (place->left[kind] > 0 && speak(place)) {
            struct change change = find_change(place, kind, -1, INFINITY);
            if (change.site < 0) {
                break;
            }
            apply(place, kind, -1, &change);
            place->left[kind]--;
        }
    }
    return 0;
}

static int by_regret(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->regret > y->regret || x->regret < y->regret) {
        return x->regret > y->regret ? -1 : 1;
    }
    if (x->site != y->site) {
        return x->site < y->site ? -1 : 1;
    }
    return (x->kind > y->kind) - (x->kind < y->kind);
}

/* Every unit that pays more than it would at its cheapest site, the one that pays most first. */
static int list_candidates(const struct place *place, const double *least,
                           struct candidate *candidate)
{
    int count = 0;
    for (int site = 0; site < place->grid->sites; site++) {
        for (int at = place->head[site]; at >= 0; at = place->entry[at].next) {
            int kind = place->entry[at].kind;
            double regret = kind_value(place, kind, site) - least[kind];
            if (regret > 0) {
                candidate[count++] = (struct candidate){regret, site, kind};
            }
        }
    }
    qsort(candidate, (size_t)count, sizeof(*candidate), by_regret);
    return count;
}

static int improve(struct place *place, struct arena *arena, struct error *err)
{
    const struct classes *classes = place->classes;
    double *least = arena_array(arena, (size_t)classes->kinds, sizeof(double));
    struct candidate *candidate =
        arena_array(arena, (size_t)place->grid->parts, sizeof(*candidate));
    if (least == NULL || candidate == NULL) {
        return no_memory(err);
    }
    value_all(place, false);
    for (int kind = 0; kind < classes->kinds; kind++) {
        least[kind] = INFINITY;
        for (int group = 0; group < classes->groups; group++) {
            int site = classes->group_site[classes->group_first[group]];
            least[kind] = fmin(least[kind], kind_value(place, kind, site));
        }
    }
    bool gained = true;
    for (int pass = 0; pass < PASSES_MAX && gained; pass++) {
        gained = false;
        int count = list_candidates(place, least, candidate);
        for (int i = 0; i < count && place->work < WORK_MAX && speak(place) &&
                        (double)place->cost > place->options->good;) {
            int kind = candidate[i].kind;
            int site = candidate[i].site;
            if (entry_of(place, site, kind) < 0) {
                i++;
                continue;
            }
            double now = kind_value(place, kind, site);
            struct change change = find_change(place, kind, site, now - 0.5);
            if (change.site >= 0) {
                apply(place, kind, site, &change);
                gained = true;
            } else {
                i++;
            }
        }
    }
    return 0;
}

/* ---- parts --------------------------------------------------------------------------------- */

/* Who is at a site that has units of its kind stays there; the others follow in order. */
static int draw(const struct place *place, struct arena *arena, int *choice, struct error *err)
{
    const struct grid *grid = place->grid;
    const struct classes *classes = place->classes;
    int *first = arena_array(arena, (size_t)classes->kinds, sizeof(int)); /* one above the entry */
    int *next = arena_array(arena, (size_t)grid->parts, sizeof(int));
    int *site_of = arena_array(arena, (size_t)grid->parts, sizeof(int)); /* [entry] */
    int *here = arena_array(arena, (size_t)grid->sites, sizeof(int));    /* entry + 1 */
    if (first == NULL || next == NULL || site_of == NULL || here == NULL) {
        return no_memory(err);
    }
    for (int site = grid->sites - 1; site >= 0; site--) {
        for (int at = place->head[site]; at >= 0; at = place->entry[at].next) {
            int kind = place->entry[at].kind;
            site_of[at] = site;
            next[at] = first[kind];
            first[kind] = at + 1;
        }
    }
    for (int kind = 0; kind < classes->kinds; kind++) {
        for (int at = first[kind] - 1; at >= 0; at = next[at] - 1) {
            here[site_of[at]] = at + 1;
        }
        int members = classes_members(classes, kind);
        const int *part = classes->kind_part + classes->kind_first[kind];
        for (int i = 0; i < members; i++) {
            int now = grid->current != NULL ? grid->current[part[i]] : -1;
            int at = now >= 0 ? here[grid_site(grid, part[i], now)] - 1 : -1;
            choice[part[i]] = -1;
            if (at >= 0 && place->entry[at].count > 0) {
                place->entry[at].count--;
                choice[part[i]] = now;
            }
        }
        int at = first[kind] - 1;
        for (int i = 0; i < members; i++) {
            while (at >= 0 && place->entry[at].count == 0) {
                here[site_of[at]] = 0;
                at = next[at] - 1;
            }
            if (choice[part[i]] < 0 && at >= 0) {
                place->entry[at].count--;
                choice[part[i]] = classes_cell(grid, classes, kind, site_of[at]);
            }
        }
        for (at = first[kind] - 1; at >= 0; at = next[at] - 1) {
            here[site_of[at]] = 0;
        }
    }
    return 0;
}
