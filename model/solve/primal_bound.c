#include "model/solve/primal_bound.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/solve/primal_internal.h"
#include "model/solve/primal_match.h"

#define SETS_MOST 65536 /* of one half of a site's cells */
#define SETS_MAX  1.2e8
/* The climb asks for so much more than the best, by what the first worths gave or would give; less
 * after so many rounds without a gain. */
#define ASKS       0.25
#define STALE_MOST 4
#define ASKS_LEAST 4e-3
#define DEFLECTS   1.5
#define SPEAK_US   (300 * US_PER_MS)

/* A cell that is open, in its site's list. */
struct place {
    double w;
    double z; /* w - h */
    int part;
    bool taken; /* in the site's last set */
    int32_t demand[LIMIT_RESOURCES];
};

struct candidate {
    double rise;
    int place;
};

/* What a thread needs to itself. */
struct scratch {
    struct match *match;
    struct candidate *candidate;
    struct match_item item[MATCH_ITEMS_MAX];
};

struct raise {
    const struct grid *grid;
    const struct primal_bound_options *options;
    struct error *err;
    int threads;
    int *first; /* [site + 1] */
    struct place *place;
    double *least;    /* [part] its cheapest cell at the prices */
    double *second;   /* [part] w of its second cheapest cell */
    double *price;    /* [row] 0 where there is no limit */
    double *value;    /* [site] proven */
    double magnitude; /* of all that is added up, at the most */
    double *h;        /* [part] */
    double *slope;    /* [part] 1 - sites that take it: the bound's, along h */
    double *best_h;
    double *best_slope;
    double *direction;
    double gain; /* of best_h */
    int rounds;
    int64_t spoke_us;
    struct scratch *scratch[PRIMAL_THREADS];
};

static int lay(struct raise *raise, struct arena *work);
static int weigh(struct raise *raise, int *ret_most);
static void climb(struct raise *raise);
static double evaluate(struct raise *raise);
static void fill_site(void *context, int block, int worker);
static void match_site(struct raise *raise, int site, struct scratch *scratch, double low,
                       const int64_t *room, double best);
static int list_candidates(const struct raise *raise, int site, struct scratch *scratch,
                           double best);
static double direct(struct raise *raise, bool fresh);
static double sets_of(const struct raise *raise);
static bool goes_on(struct raise *raise);
static int no_memory(const struct raise *raise);
static int by_rise(const void *a, const void *b);

int primal_bound_raise(const struct grid *grid, const struct primal_bound_options *options,
                       struct arena *arena, struct primal_bound_result *ret_result,
                       struct error *err)
{
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    struct raise raise = {.grid = grid,
                          .options = options,
                          .err = err,
                          .threads = options->threads > 1 ? PRIMAL_THREADS : 1};
    bool single = grid->parts > 0 && grid->resources > 0;
    for (int part = 0; part < grid->parts && single && grid->site != NULL; part++) {
        for (int cell = 1; cell < grid_cells(grid, part) && single; cell++) {
            single = grid_site(grid, part, cell - 1) < grid_site(grid, part, cell);
        }
    }
    struct primal_bound_result result = {.bound = options->bound};
    int rc = single ? lay(&raise, &work) : 0;
    if (rc == 0 && single) {
        climb(&raise);
        /* The terms are rounded when they are made and as often as they are added to. */
        double lost = (grid->parts + 64.0) * DBL_EPSILON * raise.magnitude;
        double bound = options->bound + (raise.gain - lost);
        bound -= DBL_EPSILON * fabs(bound);
        result.bound = fmax(bound, options->bound);
        result.sets = sets_of(&raise);
        result.rounds = raise.rounds;
        for (int part = 0; part < grid->parts && options->worth != NULL && raise.rounds > 0;
             part++) {
            options->worth[part] = raise.least[part] + raise.best_h[part];
        }
    }
    arena->fail_after = work.fail_after;
    arena_done(&work);
    if (rc == 0) {
        *ret_result = result;
    }
    return rc;
}

/* ---- what does not change ---- */

static int lay(struct raise *raise, struct arena *work)
{
    const struct grid *grid = raise->grid;
    size_t parts = (size_t)grid->parts;
    size_t sites = (size_t)grid->sites;
    size_t rows = sites * (size_t)grid->resources;
    size_t cells = grid_first(grid, grid->parts - 1) + (size_t)grid_cells(grid, grid->parts - 1);
    raise->first = arena_array(work, sites + 2, sizeof(int));
    raise->place = arena_array(work, cells + 1, sizeof(*raise->place));
    raise->least = arena_array(work, parts, sizeof(double));
    raise->second = arena_array(work, parts, sizeof(double));
    raise->price = arena_array(work, rows, sizeof(double));
    raise->value = arena_array(work, sites, sizeof(double));
    raise->h = arena_array(work, parts, sizeof(double));
    raise->slope = arena_array(work, parts, sizeof(double));
    raise->best_h = arena_array(work, parts, sizeof(double));
    raise->best_slope = arena_array(work, parts, sizeof(double));
    raise->direction = arena_array(work, parts, sizeof(double));
    if (raise->first == NULL || raise->place == NULL || raise->least == NULL ||
        raise->second == NULL || raise->price == NULL || raise->value == NULL || raise->h == NULL ||
        raise->slope == NULL || raise->best_h == NULL || raise->best_slope == NULL ||
        raise->direction == NULL) {
        return no_memory(raise);
    }
    for (size_t row = 0; row < rows; row++) {
        bool limited = grid->capacity[row] != INT64_MAX;
        raise->price[row] = limited ? raise->options->price[row] : 0;
        raise->magnitude += limited ? raise->price[row] * (double)grid->capacity[row] : 0;
    }
    int most = 0;
    int rc = weigh(raise, &most);
    for (int i = 0; i < raise->threads && rc == 0; i++) {
        struct scratch *scratch = arena_alloc(work, sizeof(*scratch));
        if (scratch != NULL) {
            scratch->match = match_create(work, SETS_MOST);
            scratch->candidate = arena_array(work, (size_t)most + 1, sizeof(struct candidate));
        }
        if (scratch == NULL || scratch->match == NULL || scratch->candidate == NULL) {
            return no_memory(raise);
        }
        raise->scratch[i] = scratch;
    }
    return rc;
}

/* Every open cell goes to its site's list. Of costs the base is left out: it only shifts. */
static int weigh(struct raise *raise, int *ret_most)
{
    const struct grid *grid = raise->grid;
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) != GRID_CLOSED) {
                raise->first[grid_site(grid, part, cell) + 2]++;
            }
        }
    }
    for (int site = 0; site < grid->sites; site++) {
        int count = raise->first[site + 2];
        *ret_most = count > *ret_most ? count : *ret_most;
        raise->first[site + 2] += raise->first[site + 1];
    }
    for (int part = 0; part < grid->parts; part++) {
        double least = INFINITY;
        double second = INFINITY;
        double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
        for (int turn = 0; turn < 2; turn++) {
            for (int cell = 0; cell < grid_cells(grid, part); cell++) {
                if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                    continue;
                }
                int site = grid_site(grid, part, cell);
                const int32_t *demand = grid_demand(grid, part, cell);
                const double *price = raise->price + (size_t)site * (size_t)grid->resources;
                double w = unit * grid_cost_raw(grid, part, cell);
                for (int r = 0; r < grid->resources; r++) {
                    w += price[r] * (double)demand[r];
                }
                if (turn == 0) {
                    second = w < least ? least : fmin(second, w);
                    least = fmin(least, w);
                    raise->magnitude += w;
                    continue;
                }
                struct place *place = &raise->place[raise->first[site + 1]++];
                place->w = w - least;
                place->part = part;
                for (int r = 0; r < grid->resources; r++) {
                    place->demand[r] = demand[r];
                }
            }
        }
        raise->least[part] = isinf(least) ? 0 : least;
        /* A part that has no other cell is worth whatever it may cost. */
        raise->second[part] = isinf(second) ? 2 * (isinf(least) ? 0 : least) : second - least;
    }
    return 0;
}

/* ---- the climb ---- */

/* Asks for a little more than the best each time; back to that, and for less, when it is not to be
 * had. */
static void climb(struct raise *raise)
{
    size_t bytes = (size_t)raise->grid->parts * sizeof(double);
    double target = raise->options->target - raise->options->bound;
    for (int part = 0; part < raise->grid->parts; part++) {
        raise->h[part] = raise->second[part] / 2;
    }
    raise->gain = -INFINITY;
    double asks = 0;
    double least = 0;
    int stale = 0;
    while (goes_on(raise)) {
        double gain = evaluate(raise);
        bool first = raise->rounds++ == 0;
        if (first) {
            asks = ASKS * fabs(gain);
            least = ASKS_LEAST * asks;
        }
        stale++;
        if (gain > raise->gain) {
            stale = gain > raise->gain + asks / 16 ? 0 : stale;
            raise->gain = gain;
            memcpy(raise->best_h, raise->h, bytes);
            memcpy(raise->best_slope, raise->slope, bytes);
        }
        bool back = stale > STALE_MOST;
        if (back) {
            asks /= 2;
            stale = 0;
            gain = raise->gain;
            memcpy(raise->h, raise->best_h, bytes);
            memcpy(raise->slope, raise->best_slope, bytes);
        }
        double norm = direct(raise, first || back);
        if (raise->gain >= target || !(asks > least) || !(norm > 0)) {
            break; /* without a slope each part is taken once: this is the optimum */
        }
        double step = (raise->gain + asks - gain) / norm;
        for (int part = 0; part < raise->grid->parts; part++) {
            raise->h[part] += step * raise->direction[part];
        }
    }
}

/* What the worths add to the dual's bound. */
static double evaluate(struct raise *raise)
{
    const struct grid *grid = raise->grid;
    primal_blocks(raise->threads, grid->sites, fill_site, raise);
    double gain = 0;
    for (int part = 0; part < grid->parts; part++) {
        gain += raise->h[part];
        raise->slope[part] = 1;
    }
    for (int site = 0; site < grid->sites; site++) {
        gain += raise->value[site];
        for (int i = raise->first[site]; i < raise->first[site + 1]; i++) {
            raise->slope[raise->place[i].part] -= raise->place[i].taken ? 1 : 0;
        }
    }
    return gain;
}

/* The least of a site, from what pays for itself: that may be too much, or leave room. */
static void fill_site(void *context, int block, int worker)
{
    struct raise *raise = context;
    const struct grid *grid = raise->grid;
    size_t resources = (size_t)grid->resources;
    const double *price = raise->price + (size_t)block * resources;
    int64_t room[LIMIT_RESOURCES] = {0};
    int64_t before[LIMIT_RESOURCES] = {0}; /* room that the last set leaves */
    double low = 0;
    double kept = 0; /* what the last set costs now, above low */
    for (size_t r = 0; r < resources; r++) {
        int64_t capacity = grid->capacity[(size_t)block * resources + r];
        room[r] = capacity < INT64_MAX / 2 ? capacity : INT64_MAX / 2;
        before[r] = room[r];
    }
    for (int i = raise->first[block]; i < raise->first[block + 1]; i++) {
        struct place *place = &raise->place[i];
        place->z = place->w - raise->h[place->part];
        bool pays = place->z < 0;
        low += pays ? place->z : 0;
        kept += pays != place->taken ? fabs(place->z) : 0;
        for (size_t r = 0; r < resources; r++) {
            room[r] -= pays ? place->demand[r] : 0;
            before[r] -= place->taken ? place->demand[r] : 0;
        }
    }
    double all = 0;
    for (size_t r = 0; r < resources; r++) {
        kept += price[r] * (double)before[r];
        all = room[r] < 0 ? INFINITY : all + price[r] * (double)room[r];
    }
    if (all <= kept) {
        kept = all;
        for (int i = raise->first[block]; i < raise->first[block + 1]; i++) {
            raise->place[i].taken = raise->place[i].z < 0;
        }
    }
    raise->value[block] = low + kept;
    if (kept > 0) {
        match_site(raise, block, raise->scratch[worker], low, room, kept);
    }
}

static void match_site(struct raise *raise, int site, struct scratch *scratch, double low,
                       const int64_t *room, double best)
{
    const struct grid *grid = raise->grid;
    int count = list_candidates(raise, site, scratch, best);
    double sure = best;
    if (count > MATCH_ITEMS_MAX) {
        qsort(scratch->candidate, (size_t)count, sizeof(struct candidate), by_rise);
        count = MATCH_ITEMS_MAX;
        sure = scratch->candidate[count].rise; /* of a set with one that is left out */
    }
    for (int j = 0; j < count; j++) {
        const struct place *place = &raise->place[scratch->candidate[j].place];
        struct match_item *item = &scratch->item[j];
        item->rise = scratch->candidate[j].rise;
        item->part = place->part;
        for (int r = 0; r < grid->resources; r++) {
            item->fill[r] = place->z < 0 ? -place->demand[r] : place->demand[r];
        }
    }
    struct match_task task = {.resources = grid->resources,
                              .price = raise->price + (size_t)site * (size_t)grid->resources,
                              .room = room,
                              .item = scratch->item,
                              .items = count,
                              .best = best,
                              .sets_max = SETS_MOST};
    int chosen[MATCH_ITEMS_MAX];
    int changes = 0;
    double found = match_find(scratch->match, &task, chosen, &changes);
    if (found < best) {
        for (int i = raise->first[site]; i < raise->first[site + 1]; i++) {
            raise->place[i].taken = raise->place[i].z < 0;
        }
        for (int i = 0; i < changes; i++) {
            struct place *place = &raise->place[scratch->candidate[chosen[i]].place];
            place->taken = !place->taken;
        }
    }
    sure = fmin(sure, match_proven(scratch->match));
    raise->value[site] = low + fmax(sure, 0);
}

/* Those that a set which is cheaper may change. */
static int list_candidates(const struct raise *raise, int site, struct scratch *scratch,
                           double best)
{
    int count = 0;
    for (int i = raise->first[site]; i < raise->first[site + 1]; i++) {
        double rise = fabs(raise->place[i].z);
        if (rise < best) {
            scratch->candidate[count++] = (struct candidate){.rise = rise, .place = i};
        }
    }
    return count;
}

/* A part that no site takes should be worth more, one that several take less; not back where the
 * last step came from. Returns the square of the direction's length. */
static double direct(struct raise *raise, bool fresh)
{
    int parts = raise->grid->parts;
    double across = 0;
    double length = 0;
    for (int part = 0; part < parts && !fresh; part++) {
        across += raise->direction[part] * raise->slope[part];
        length += raise->direction[part] * raise->direction[part];
    }
    double keeps = across < 0 ? -DEFLECTS * across / length : 0;
    double norm = 0;
    for (int part = 0; part < parts; part++) {
        double along = raise->slope[part] + (fresh ? 0 : keeps * raise->direction[part]);
        raise->direction[part] = along;
        norm += along * along;
    }
    return norm;
}

static double sets_of(const struct raise *raise)
{
    double sets = 0;
    for (int i = 0; i < raise->threads; i++) {
        sets += match_work(raise->scratch[i]->match);
    }
    return sets;
}

static bool goes_on(struct raise *raise)
{
    const struct primal_bound_options *options = raise->options;
    double most = options->sets_max > 0 ? options->sets_max : SETS_MAX;
    int64_t now = clock_mono_now().us;
    if (options->progress != NULL && now - raise->spoke_us >= SPEAK_US) {
        raise->spoke_us = now;
        double bound = options->bound + fmax(raise->gain, 0);
        if (!options->progress(options->context, bound, options->best)) {
            return false;
        }
    }
    return raise->rounds == 0 || sets_of(raise) < most;
}

static int no_memory(const struct raise *raise)
{
    return error_set(raise->err, ERR_NO_MEMORY, 0, "no memory to bound %d parts at %d sites",
                     raise->grid->parts, raise->grid->sites);
}

static int by_rise(const void *a, const void *b)
{
    const struct candidate *x = a;
    const struct candidate *y = b;
    if (x->rise != y->rise) {
        return x->rise < y->rise ? -1 : 1;
    }
    return (x->place > y->place) - (x->place < y->place);
}
