#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_cover_internal.h"

#define STACK        12 /* sets on the stack of levels, by what the lists have */
#define CLIMBS       40 /* steps at most, over many sets */
#define CLIMBS_FEW   12 /* over some */
#define CLIMBS_LEAST 4  /* over hardly any */
#define MANY_SETS    200
#define FEW_SETS     20
#define TRIED        10   /* sets of a site that a dive tries */
#define SKIPS        30   /* per cent of them are passed over */
#define SMALL        1500 /* sets that are searched to the end, at first */
#define SMALL_LEAST  100
#define NODES_MOST   2000 /* of such a search */
#define NODES_FEW    300
#define STALE        5
#define DEFLECTS     1.5
#define ROUNDS       4 /* of climbing and leaving out */

/* What is open after some sets have been taken. */
struct level {
    int sites; /* open */
    int *site;
    int *first; /* [open site + 1] in set[] */
    struct cover_set *set;
    int parts; /* open */
    int *part;
    double *worth; /* [part] of the open ones */
    double cost;   /* of the sets taken */
};

struct cover_diver {
    const struct cover_field *field;
    uint64_t random;
    struct level *level; /* [sites + 1] */
    struct cover_set *stack;
    int stack_most;
    double aim;              /* what is looked for costs this at most */
    double cost;             /* of the best */
    int *best;               /* [part] site */
    struct cover_set *taken; /* [depth] */
    int *taken_at;           /* [depth] site */
    double work;
    double work_most; /* of a search to the end */
    int nodes;
    int nodes_most;
    bool cut; /* the search to the end did not get there */
    int small;
    double *direction; /* [part] */
    double *slope;     /* [part] */
    double *best_worth;
    double *trial;
    double *chosen_worth;
    double *least; /* [open site] */
    int *mark;     /* [part] */
    int stamp;
};

static void open_root(struct cover_diver *diver, double reach);
static double climb(struct cover_diver *diver, const struct level *level, double *worth, int steps,
                    double enough);
static double evaluate(struct cover_diver *diver, const struct level *level, const double *worth);
static bool narrow(struct cover_diver *diver, struct level *level);
static double above(const struct cover_field *field, const struct cover_set *set,
                    const double *worth);
static bool take(struct cover_diver *diver, int depth, int open, int set);
static void plunge(struct cover_diver *diver);
static int choose(struct cover_diver *diver, int depth, int open);
static void search(struct cover_diver *diver, int depth);
static void note(struct cover_diver *diver, int depth);
static void search_small(struct cover_diver *diver, int depth);
static void sort_sets(struct level *level, int open);
static int by_above(const void *a, const void *b);

static int below(struct cover_diver *diver, int limit)
{
    uint64_t x = diver->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    diver->random = x;
    return (int)(((x >> 32) * (uint64_t)limit) >> 32);
}

int cover_diver_create(const struct cover_field *field, uint64_t seed,
                       struct cover_diver **ret_diver)
{
    struct arena *work = field->work;
    size_t parts = (size_t)field->parts;
    size_t sites = (size_t)field->sites;
    struct cover_diver *diver = arena_alloc(work, sizeof(*diver));
    if (diver == NULL) {
        return ERR_NO_MEMORY;
    }
    diver->field = field;
    diver->random = (seed + 1) * 0x9E3779B97F4A7C15u | 1;
    diver->small = SMALL;
    diver->stack_most = STACK * field->set_first[field->sites];
    diver->stack = arena_alloc_raw(work, ((size_t)diver->stack_most + 1) * sizeof(*diver->stack));
    diver->level = arena_array(work, sites + 1, sizeof(*diver->level));
    diver->best = arena_array(work, parts, sizeof(int));
    diver->taken = arena_array(work, sites + 1, sizeof(*diver->taken));
    diver->taken_at = arena_array(work, sites + 1, sizeof(int));
    diver->least = arena_array(work, sites, sizeof(double));
    diver->mark = arena_array(work, parts, sizeof(int));
    bool whole = diver->stack != NULL && diver->level != NULL && diver->best != NULL &&
                 diver->taken != NULL && diver->taken_at != NULL && diver->least != NULL &&
                 diver->mark != NULL;
    double **vectors[] = {&diver->direction, &diver->slope, &diver->best_worth, &diver->trial,
                          &diver->chosen_worth};
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]) && whole; i++) {
        *vectors[i] = arena_array(work, parts, sizeof(double));
        whole = *vectors[i] != NULL;
    }
    for (size_t i = 0; i <= sites && whole; i++) {
        struct level *level = &diver->level[i];
        level->site = arena_array(work, sites, sizeof(int));
        level->first = arena_array(work, sites + 1, sizeof(int));
        level->part = arena_array(work, parts, sizeof(int));
        level->worth = arena_array(work, parts, sizeof(double));
        whole = level->site != NULL && level->first != NULL && level->part != NULL &&
                level->worth != NULL;
    }
    if (!whole) {
        return ERR_NO_MEMORY;
    }
    *ret_diver = diver;
    return 0;
}

/* Costs are whole numbers: what is cheaper is so by one. Rounding may hide less than that only. */
void cover_diver_aim(struct cover_diver *diver, double cost)
{
    diver->aim = cost - 1 + diver->field->lost;
    diver->cost = INFINITY;
}

void cover_climb(struct cover_diver *diver, double *worth)
{
    open_root(diver, INFINITY);
    (void)climb(diver, &diver->level[0], worth, 4 * CLIMBS, INFINITY);
}

void cover_dive(struct cover_diver *diver, double upto, double target)
{
    while (diver->work < upto && !(diver->cost <= target)) {
        /* Lists that reach less far make dives shorter, and what is found there is as good. */
        double reach = diver->field->reach * (0.6 + 0.1 * below(diver, 5));
        open_root(diver, reach);
        plunge(diver);
        diver->work += diver->field->parts;
    }
}

bool cover_exhaust(struct cover_diver *diver, double work)
{
    open_root(diver, INFINITY);
    diver->cut = false;
    diver->nodes = 0;
    diver->nodes_most = INT32_MAX;
    diver->work_most = diver->work + work;
    search(diver, 0);
    return !diver->cut;
}

double cover_diver_cost(const struct cover_diver *diver)
{
    return diver->cost;
}

const int *cover_diver_site(const struct cover_diver *diver)
{
    return diver->best;
}

double cover_diver_work(const struct cover_diver *diver)
{
    return diver->work;
}

/* ---- levels ---- */

static void open_root(struct cover_diver *diver, double reach)
{
    const struct cover_field *field = diver->field;
    struct level *level = &diver->level[0];
    level->sites = field->sites;
    level->parts = field->parts;
    level->cost = 0;
    level->set = diver->stack;
    int count = 0;
    for (int site = 0; site < field->sites; site++) {
        level->site[site] = site;
        level->first[site] = count;
        for (int i = field->set_first[site]; i < field->set_first[site + 1]; i++) {
            if (field->set[i].above > reach) {
                break;
            }
            level->set[count++] = field->set[i];
        }
    }
    level->first[field->sites] = count;
    for (int part = 0; part < field->parts; part++) {
        level->part[part] = part;
    }
    memcpy(level->worth, field->worth, (size_t)field->parts * sizeof(double));
}

/* Of an open site of a level one set is taken: makes the next level of what is left beside it.
 * false: nothing is left at a site, or for a part. */
static bool take(struct cover_diver *diver, int depth, int open, int set)
{
    const struct cover_field *field = diver->field;
    const struct level *from = &diver->level[depth];
    struct level *to = &diver->level[depth + 1];
    const struct cover_set *taken = &from->set[set];
    int total = from->first[from->sites];
    const struct cover_set *end = diver->stack + diver->stack_most;
    to->set = from->set + total;
    if (end - to->set < total) {
        diver->cut = true;
        return false;
    }
    diver->stamp += 2;
    int gone = diver->stamp;
    for (int i = 0; i < taken->count; i++) {
        diver->mark[field->member[taken->first + i]] = gone;
    }
    to->parts = 0;
    for (int i = 0; i < from->parts; i++) {
        if (diver->mark[from->part[i]] != gone) {
            to->part[to->parts++] = from->part[i];
        }
    }
    to->sites = 0;
    int count = 0;
    int seen = 0;
    for (int k = 0; k < from->sites; k++) {
        if (k == open) {
            continue;
        }
        to->first[to->sites] = count;
        to->site[to->sites++] = from->site[k];
        for (int i = from->first[k]; i < from->first[k + 1]; i++) {
            const uint16_t *member = field->member + from->set[i].first;
            int members = from->set[i].count;
            int clash = 0;
            while (clash < members && diver->mark[member[clash]] != gone) {
                clash++;
            }
            diver->work += clash + 1;
            if (clash < members) {
                continue;
            }
            to->set[count++] = from->set[i];
        }
        if (count == to->first[to->sites - 1]) {
            return false;
        }
    }
    to->first[to->sites] = count;
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < to->set[i].count; k++) {
            int *mark = &diver->mark[field->member[to->set[i].first + k]];
            seen += *mark != gone + 1;
            *mark = gone + 1;
        }
    }
    to->cost = from->cost + taken->cost;
    diver->taken[depth] = *taken;
    diver->taken_at[depth] = from->site[open];
    return seen == to->parts;
}

/* ---- worths ---- */

static double above(const struct cover_field *field, const struct cover_set *set,
                    const double *worth)
{
    const uint16_t *member = field->member + set->first;
    double cost = set->cost;
    for (int i = 0; i < set->count; i++) {
        cost -= worth[member[i]];
    }
    return cost;
}

/* What the worths prove of the level; the slope is where it rises. */
static double evaluate(struct cover_diver *diver, const struct level *level, const double *worth)
{
    const struct cover_field *field = diver->field;
    double bound = 0;
    for (int i = 0; i < level->parts; i++) {
        bound += worth[level->part[i]];
        diver->slope[level->part[i]] = 1;
    }
    for (int k = 0; k < level->sites; k++) {
        double least = INFINITY;
        const struct cover_set *best = NULL;
        for (int i = level->first[k]; i < level->first[k + 1]; i++) {
            double cost = above(field, &level->set[i], worth);
            diver->work += level->set[i].count;
            if (cost < least) {
                least = cost;
                best = &level->set[i];
            }
        }
        if (best == NULL) {
            return INFINITY;
        }
        bound += least;
        for (int i = 0; i < best->count; i++) {
            diver->slope[field->member[best->first + i]] -= 1;
        }
    }
    return bound;
}

/* Raises what the worths prove of the level by deflected subgradients, until it is `enough`. */
static double climb(struct cover_diver *diver, const struct level *level, double *worth, int steps,
                    double enough)
{
    double best = -INFINITY;
    double asks = 0;
    int stale = 0;
    bool fresh = true;
    for (int step = 0; step < steps; step++) {
        double bound = evaluate(diver, level, worth);
        if (step == 0) {
            double gap = isinf(enough) ? diver->aim - bound : enough - bound;
            asks = fmax(gap / 2, 0.25);
        }
        stale++;
        if (bound > best) {
            stale = bound > best + asks / 16 ? 0 : stale;
            best = bound;
            for (int i = 0; i < level->parts; i++) {
                diver->best_worth[level->part[i]] = worth[level->part[i]];
            }
        }
        if (best > enough) {
            break;
        }
        if (stale > STALE) {
            asks /= 2;
            stale = 0;
            fresh = true;
        }
        double across = 0;
        double length = 0;
        for (int i = 0; i < level->parts && !fresh; i++) {
            int part = level->part[i];
            across += diver->direction[part] * diver->slope[part];
            length += diver->direction[part] * diver->direction[part];
        }
        double keeps = across < 0 ? -DEFLECTS * across / length : 0;
        double norm = 0;
        for (int i = 0; i < level->parts; i++) {
            int part = level->part[i];
            diver->direction[part] =
                diver->slope[part] + (fresh ? 0 : keeps * diver->direction[part]);
            norm += diver->direction[part] * diver->direction[part];
        }
        fresh = false;
        if (!(norm > 0)) {
            break; /* every part is taken once: no worths prove more */
        }
        double along = (best + asks - bound) / norm;
        for (int i = 0; i < level->parts; i++) {
            worth[level->part[i]] += along * diver->direction[level->part[i]];
        }
    }
    for (int i = 0; i < level->parts; i++) {
        worth[level->part[i]] = diver->best_worth[level->part[i]];
    }
    return best;
}

/* Climbs, and leaves out what alone costs more than the aim leaves; false: nothing is left. */
static bool narrow(struct cover_diver *diver, struct level *level)
{
    const struct cover_field *field = diver->field;
    double enough = diver->aim - level->cost;
    for (int round = 0; round < ROUNDS; round++) {
        int before = level->first[level->sites];
        int steps = before > MANY_SETS ? CLIMBS : before > FEW_SETS ? CLIMBS_FEW : CLIMBS_LEAST;
        double bound = climb(diver, level, level->worth, steps, enough);
        if (bound > enough) {
            return false;
        }
        double total = 0;
        for (int i = 0; i < level->parts; i++) {
            total += level->worth[level->part[i]];
        }
        for (int k = 0; k < level->sites; k++) {
            diver->least[k] = INFINITY;
            for (int i = level->first[k]; i < level->first[k + 1]; i++) {
                level->set[i].above = above(field, &level->set[i], level->worth);
                diver->least[k] = fmin(diver->least[k], level->set[i].above);
            }
            total += diver->least[k];
        }
        int count = 0;
        int from = 0;
        for (int k = 0; k < level->sites; k++) {
            int upto = level->first[k + 1];
            level->first[k] = count;
            for (int i = from; i < upto; i++) {
                double rest = level->set[i].above - diver->least[k];
                if (total + rest <= enough) {
                    level->set[count] = level->set[i];
                    level->set[count++].above = rest;
                }
            }
            from = upto;
        }
        level->first[level->sites] = count;
        if (count < MANY_SETS / 2 || 10 * count > 7 * before) {
            break;
        }
    }
    return true;
}

/* ---- dives ---- */

static void plunge(struct cover_diver *diver)
{
    for (int depth = 0;; depth++) {
        struct level *level = &diver->level[depth];
        if (!narrow(diver, level)) {
            return;
        }
        if (level->sites <= 2 || level->first[level->sites] <= diver->small) {
            search_small(diver, depth);
            return;
        }
        int open = below(diver, level->sites);
        int other = below(diver, level->sites);
        int few = level->first[other + 1] - level->first[other];
        open = few < level->first[open + 1] - level->first[open] ? other : open;
        int set = choose(diver, depth, open);
        if (set < 0 || !take(diver, depth, open, set)) {
            return;
        }
        const struct level *next = &diver->level[depth + 1];
        for (int i = 0; i < next->parts; i++) {
            next->worth[next->part[i]] = diver->chosen_worth[next->part[i]];
        }
    }
}

/* Of a few of the site's cheap sets the one beside which the rest costs least; -1: none. */
static int choose(struct cover_diver *diver, int depth, int open)
{
    struct level *level = &diver->level[depth];
    struct level *next = &diver->level[depth + 1];
    sort_sets(level, open);
    int tried = 0;
    int chosen = -1;
    double least = diver->aim;
    for (int set = level->first[open]; set < level->first[open + 1] && tried < TRIED; set++) {
        if (below(diver, 100) < SKIPS || !take(diver, depth, open, set)) {
            continue;
        }
        tried++;
        for (int i = 0; i < next->parts; i++) {
            diver->trial[next->part[i]] = level->worth[next->part[i]];
        }
        double bound =
            next->cost + climb(diver, next, diver->trial, CLIMBS_FEW, diver->aim - next->cost);
        if (bound <= least) {
            least = bound;
            chosen = set;
            memcpy(diver->chosen_worth, diver->trial, (size_t)diver->field->parts * sizeof(double));
        }
    }
    return chosen;
}

/* How many sets are few enough is learnt from how many nodes they take. */
static void search_small(struct cover_diver *diver, int depth)
{
    diver->cut = false;
    diver->nodes = 0;
    diver->nodes_most = NODES_MOST;
    diver->work_most = INFINITY;
    search(diver, depth);
    if (diver->cut && diver->small > SMALL_LEAST) {
        diver->small -= diver->small / 16;
    } else if (diver->nodes < NODES_FEW && diver->small < diver->stack_most / STACK) {
        diver->small += diver->small / 32 + 1;
    }
}

/* ---- to the end ---- */

static void search(struct cover_diver *diver, int depth)
{
    struct level *level = &diver->level[depth];
    if (diver->cut || ++diver->nodes > diver->nodes_most || diver->work > diver->work_most) {
        diver->cut = true;
        return;
    }
    if (level->sites == 0) {
        if (level->parts == 0 && level->cost <= diver->aim) {
            note(diver, depth);
        }
        return;
    }
    if (!narrow(diver, level)) {
        return;
    }
    int open = 0;
    for (int k = 1; k < level->sites; k++) {
        if (level->first[k + 1] - level->first[k] < level->first[open + 1] - level->first[open]) {
            open = k;
        }
    }
    sort_sets(level, open);
    for (int set = level->first[open]; set < level->first[open + 1] && !diver->cut; set++) {
        if (!take(diver, depth, open, set)) {
            continue;
        }
        const struct level *next = &diver->level[depth + 1];
        for (int i = 0; i < next->parts; i++) {
            next->worth[next->part[i]] = level->worth[next->part[i]];
        }
        search(diver, depth + 1);
    }
}

static void note(struct cover_diver *diver, int depth)
{
    const struct cover_field *field = diver->field;
    diver->cost = diver->level[depth].cost;
    diver->aim = diver->cost - 1 + field->lost;
    for (int k = 0; k < depth; k++) {
        const struct cover_set *set = &diver->taken[k];
        for (int i = 0; i < set->count; i++) {
            diver->best[field->member[set->first + i]] = diver->taken_at[k];
        }
    }
}

static void sort_sets(struct level *level, int open)
{
    int first = level->first[open];
    qsort(level->set + first, (size_t)(level->first[open + 1] - first), sizeof(struct cover_set),
          by_above);
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
