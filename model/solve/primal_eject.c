#include "model/solve/primal_eject.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_hunt.h"

#define HUNTS      2    /* always as many, on however many threads */
#define KEPT       20   /* states that paths are laid between */
#define STARTS     3    /* of one path */
#define NEAR       6    /* states that differ in fewer parts have no path between them */
#define IDLE_PATHS 600  /* without a state that was kept: all but the best are made anew */
#define ALPHA      2    /* first penalty of a unit, by its price */
#define FLOOR      1e-3 /* least penalty, by the mean price */
#define ROOM_SPARE 1e-6
#define CELLS_EACH 8 /* of a part, on the mean, that are worth a look */

struct kept {
    int *at;        /* [part] */
    int64_t *slack; /* [row] */
    double cost;
};

struct searcher {
    struct hunt *hunt;
    struct kept kept[KEPT];
    int count;
    int *from;   /* [part] the path under way begins here */
    int *path;   /* cands in the order in which they are taken */
    int *differ; /* cands that are still to be taken */
    int idle;    /* paths since a state was kept */
    int turn;
};

struct eject {
    struct hunt_field field;
    struct searcher searcher[HUNTS];
    int *start;    /* [part] cand */
    int *choice;   /* [part] cell, of the best */
    double upto;   /* work of each hunt at the end of this run */
    double target; /* of best_cost */
};

static int field_create(struct eject *eject, struct primal *primal, const int *choice,
                        int64_t cost);
static int nearest_room(struct primal *primal, size_t cells, double *ret_room);
static void fill_cands(struct eject *eject, const int *choice, double room);
static void index_cands(struct hunt_field *field);
static void penalties(struct hunt_field *field);
static int searcher_create(struct eject *eject, struct searcher *searcher, uint64_t seed);
static void run_searcher(void *context, int block, int worker);
static bool goes_on(const struct eject *eject, const struct searcher *searcher);
static void random_state(struct searcher *searcher, int *at);
static void descend_and_keep(struct searcher *searcher);
static bool keep_state(struct searcher *searcher);
static double value_of(const struct searcher *searcher, const struct kept *kept);
static void relink(struct searcher *searcher);
static int lay_path(struct searcher *searcher, const int *to, int *ret_starts);
static void disturb(struct searcher *searcher);
static void share_best(struct eject *eject);

int eject_create(struct primal *primal, const int *choice, int64_t cost, struct eject **ret_eject)
{
    struct eject *eject = arena_alloc(primal->work, sizeof(*eject));
    if (eject == NULL) {
        return primal_no_memory(primal);
    }
    int rc = field_create(eject, primal, choice, cost);
    for (int i = 0; i < HUNTS && rc == 0; i++) {
        rc = searcher_create(eject, &eject->searcher[i],
                             primal->options->seed * HUNTS + (uint64_t)i);
    }
    if (rc == 0) {
        *ret_eject = eject;
    }
    return rc;
}

void eject_run(struct eject *eject, double work, double target)
{
    eject->upto = eject_work(eject) / HUNTS + work / HUNTS;
    eject->target = target - eject->field.base;
    primal_blocks(eject->field.primal->threads, HUNTS, run_searcher, eject);
    share_best(eject);
}

const int *eject_choice(struct eject *eject)
{
    const struct hunt *best = NULL;
    for (int i = 0; i < HUNTS; i++) {
        const struct hunt *hunt = eject->searcher[i].hunt;
        if (hunt->found && (best == NULL || hunt->best_cost < best->best_cost)) {
            best = hunt;
        }
    }
    for (int part = 0; part < eject->field.parts && best != NULL; part++) {
        eject->choice[part] = eject->field.cand[best->best[part]].cell;
    }
    return best == NULL ? NULL : eject->choice;
}

double eject_work(const struct eject *eject)
{
    double work = 0;
    for (int i = 0; i < HUNTS; i++) {
        work += eject->searcher[i].hunt->work;
    }
    return work;
}

/* ---- the field ---- */

static int field_create(struct eject *eject, struct primal *primal, const int *choice, int64_t cost)
{
    const struct grid *grid = primal->grid;
    struct hunt_field *field = &eject->field;
    struct arena *arena = primal->work;
    size_t parts = (size_t)grid->parts;
    size_t sites = (size_t)grid->sites;
    size_t cells = grid_first(grid, grid->parts - 1) + (size_t)grid_cells(grid, grid->parts - 1);
    *field = (struct hunt_field){.primal = primal,
                                 .parts = grid->parts,
                                 .sites = grid->sites,
                                 .resources = grid->resources,
                                 .price = primal->price};
    field->first = arena_array(arena, parts + 1, sizeof(int));
    field->cand = arena_array(arena, cells, sizeof(*field->cand));
    field->demand = arena_array(arena, cells * (size_t)grid->resources + 1, sizeof(int32_t));
    field->at_site = arena_array(arena, parts * sites, sizeof(int));
    field->list_first = arena_array(arena, sites + 2, sizeof(int));
    field->list = arena_array(arena, cells, sizeof(*field->list));
    field->keen = arena_array(arena, parts, sizeof(double));
    field->alpha = arena_array(arena, primal->rows + 1, sizeof(double));
    eject->start = arena_array(arena, parts, sizeof(int));
    eject->choice = arena_array(arena, parts, sizeof(int));
    if (field->first == NULL || field->cand == NULL || field->demand == NULL ||
        field->at_site == NULL || field->list_first == NULL || field->list == NULL ||
        field->keen == NULL || field->alpha == NULL || eject->start == NULL ||
        eject->choice == NULL) {
        return primal_no_memory(primal);
    }
    double room = INFINITY;
    if (cost != INT64_MAX) {
        room = fmax((double)cost - primal->dual->bound, 0) * (1 + ROOM_SPARE) + ROOM_SPARE;
    }
    double near = 0;
    int rc = nearest_room(primal, cells, &near);
    if (rc < 0) {
        return rc;
    }
    fill_cands(eject, choice, fmin(room, near));
    index_cands(field);
    penalties(field);
    return 0;
}

static int ascending(const void *a, const void *b)
{
    double one = *(const double *)a;
    double two = *(const double *)b;
    return (one > two) - (one < two);
}

/* How much dearer at the prices than its part's cheapest a cell may be, to be one of CELLS_EACH
 * for each part. */
static int nearest_room(struct primal *primal, size_t cells, double *ret_room)
{
    const struct grid *grid = primal->grid;
    double *more = arena_array(primal->work, cells, sizeof(double));
    if (more == NULL) {
        return primal_no_memory(primal);
    }
    size_t count = 0;
    for (int part = 0; part < grid->parts; part++) {
        double keen = INFINITY;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            more[count + (size_t)cell] = primal_weight(primal, part, cell);
            keen = fmin(keen, more[count + (size_t)cell]);
        }
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            more[count++] -= keen;
        }
    }
    qsort(more, count, sizeof(double), ascending);
    size_t wanted = (size_t)grid->parts * CELLS_EACH;
    *ret_room = wanted < count ? more[wanted] : INFINITY;
    return 0;
}

/* Of each part the cells that an assignment below the best may take, in order of their sites. */
static void fill_cands(struct eject *eject, const int *choice, double room)
{
    struct hunt_field *field = &eject->field;
    const struct primal *primal = field->primal;
    const struct grid *grid = primal->grid;
    size_t resources = (size_t)grid->resources;
    for (int part = 0; part < grid->parts; part++) {
        double keen = INFINITY;
        int64_t cheapest = INT64_MAX;
        int begin = field->cands;
        field->first[part] = begin;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            keen = fmin(keen, primal_weight(primal, part, cell));
        }
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            double more = primal_weight(primal, part, cell) - keen;
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED ||
                (more > room && cell != choice[part])) {
                continue;
            }
            int i = field->cands++;
            int site = grid_site(grid, part, cell);
            int64_t cost = grid_cost(grid, part, cell);
            cheapest = cost < cheapest ? cost : cheapest;
            for (; i > begin && field->cand[i - 1].site > site; i--) {
                field->cand[i] = field->cand[i - 1];
            }
            field->cand[i] =
                (struct hunt_cand){.keen = more, .part = part, .cell = cell, .site = site};
        }
        for (int i = begin; i < field->cands; i++) {
            struct hunt_cand *cand = &field->cand[i];
            cand->w = (double)(grid_cost(grid, part, cand->cell) - cheapest);
            memcpy(field->demand + (size_t)i * resources, grid_demand(grid, part, cand->cell),
                   resources * sizeof(int32_t));
            if (cand->cell == choice[part] || i == begin) {
                eject->start[part] = i;
            }
        }
        field->keen[part] = keen - (double)cheapest;
        field->base += (double)cheapest;
    }
    field->first[grid->parts] = field->cands;
}

static void index_cands(struct hunt_field *field)
{
    for (size_t i = 0; i < (size_t)field->parts * (size_t)field->sites; i++) {
        field->at_site[i] = -1;
    }
    for (int i = field->cands - 1; i >= 0; i--) {
        const struct hunt_cand *cand = &field->cand[i];
        field->at_site[(size_t)cand->part * (size_t)field->sites + (size_t)cand->site] = i;
        field->list_first[cand->site + 2]++;
    }
    for (int site = 0; site < field->sites; site++) {
        field->list_first[site + 2] += field->list_first[site + 1];
    }
    for (int i = 0; i < field->cands; i++) {
        const struct hunt_cand *cand = &field->cand[i];
        field->list[field->list_first[cand->site + 1]++] =
            (struct hunt_entry){.w = cand->w,
                                .part = cand->part,
                                .cand = i,
                                .demand = field->demand[i * field->resources]};
    }
}

/* A unit over costs twice its price at first; where there is no price, as much as on the mean. */
static void penalties(struct hunt_field *field)
{
    int rows = field->sites * field->resources;
    double sum = 0;
    int priced = 0;
    for (int row = 0; row < rows; row++) {
        sum += field->price[row];
        priced += field->price[row] > 0;
    }
    double mean = priced > 0 ? sum / priced : 0;
    if (!(mean > 0)) { /* no row binds by its price: what parts cost, by what they need */
        double cost = 0;
        for (int i = 0; i < field->cands; i++) {
            cost += field->cand[i].w;
        }
        mean = (cost / (field->cands + 1.0) + 1) / field->primal->unit;
    }
    for (int row = 0; row < rows; row++) {
        field->alpha[row] = ALPHA * fmax(field->price[row], mean / 4);
    }
    field->floor = FLOOR * mean / 2;
}

/* ---- the states that are kept ---- */

static int searcher_create(struct eject *eject, struct searcher *searcher, uint64_t seed)
{
    const struct hunt_field *field = &eject->field;
    struct arena *arena = field->primal->work;
    size_t parts = (size_t)field->parts;
    int rc = hunt_create(field, seed, arena, &searcher->hunt);
    searcher->differ = arena_array(arena, parts, sizeof(int));
    searcher->path = arena_array(arena, parts, sizeof(int));
    searcher->from = arena_array(arena, parts, sizeof(int));
    bool done = searcher->differ != NULL && searcher->path != NULL && searcher->from != NULL;
    for (int i = 0; i < KEPT && done; i++) {
        struct kept *kept = &searcher->kept[i];
        kept->at = arena_array(arena, parts, sizeof(int));
        kept->slack = arena_array(arena, field->primal->rows + 1, sizeof(int64_t));
        done = kept->at != NULL && kept->slack != NULL;
    }
    return rc == 0 && !done ? primal_no_memory(field->primal) : rc;
}

/* First the start, then states at random until there are enough, then paths between them. */
static void run_searcher(void *context, int block, int worker)
{
    (void)worker;
    struct eject *eject = context;
    struct searcher *searcher = &eject->searcher[block];
    struct hunt *hunt = searcher->hunt;
    while (goes_on(eject, searcher)) {
        if (searcher->turn == 0) {
            hunt_load(hunt, eject->start);
            descend_and_keep(searcher);
        } else if (searcher->turn < KEPT || searcher->count < 2) {
            random_state(searcher, hunt->at);
            hunt_load(hunt, hunt->at);
            descend_and_keep(searcher);
        } else {
            relink(searcher);
        }
        searcher->turn++;
        if (searcher->idle > IDLE_PATHS) {
            searcher->turn = 1;
            searcher->idle = 0;
            searcher->count = 0;
            if (hunt->found) {
                hunt_load(hunt, hunt->best);
                (void)keep_state(searcher);
            }
        }
    }
}

static bool goes_on(const struct eject *eject, const struct searcher *searcher)
{
    const struct hunt *hunt = searcher->hunt;
    return hunt->work < eject->upto && !atomic_load(&eject->field.primal->stop) &&
           !(hunt->found && hunt->best_cost <= eject->target);
}

/* Every part where it is cheap at the prices, the dearer the less likely: the least of a few. */
static void random_state(struct searcher *searcher, int *at)
{
    struct hunt *hunt = searcher->hunt;
    const struct hunt_field *field = hunt->field;
    for (int part = 0; part < field->parts; part++) {
        int count = field->first[part + 1] - field->first[part];
        at[part] = field->first[part] + hunt_below(hunt, count);
        for (int i = 0; i < 2; i++) {
            int other = field->first[part] + hunt_below(hunt, count);
            at[part] = field->cand[other].keen < field->cand[at[part]].keen ? other : at[part];
        }
    }
}

static void descend_and_keep(struct searcher *searcher)
{
    hunt_descend(searcher->hunt);
    searcher->idle = keep_state(searcher) ? 0 : searcher->idle + 1;
    hunt_adapt(searcher->hunt);
}

static double value_of(const struct searcher *searcher, const struct kept *kept)
{
    const struct hunt *hunt = searcher->hunt;
    int rows = hunt->field->sites * hunt->field->resources;
    double value = kept->cost;
    for (int row = 0; row < rows; row++) {
        value -= kept->slack[row] < 0 ? hunt->alpha[row] * (double)kept->slack[row] : 0;
    }
    return value;
}

/* In place of the dearest at today's penalties, if it is cheaper and unlike all others. */
static bool keep_state(struct searcher *searcher)
{
    const struct hunt *hunt = searcher->hunt;
    const struct hunt_field *field = hunt->field;
    size_t bytes = (size_t)field->parts * sizeof(int);
    int worst = 0;
    double most = -INFINITY;
    for (int i = 0; i < searcher->count; i++) {
        if (memcmp(searcher->kept[i].at, hunt->at, bytes) == 0) {
            return false;
        }
        double value = value_of(searcher, &searcher->kept[i]);
        if (value > most) {
            most = value;
            worst = i;
        }
    }
    if (searcher->count < KEPT) {
        worst = searcher->count++;
    } else if (hunt->cost + hunt->fines >= most) {
        return false;
    }
    struct kept *kept = &searcher->kept[worst];
    memcpy(kept->at, hunt->at, bytes);
    memcpy(kept->slack, hunt->slack, field->primal->rows * sizeof(int64_t));
    kept->cost = hunt->cost;
    return true;
}

/* ---- paths ---- */

/* Descends from some states between two of those that are kept. */
static void relink(struct searcher *searcher)
{
    struct hunt *hunt = searcher->hunt;
    const struct hunt_field *field = hunt->field;
    int a = hunt_below(hunt, searcher->count);
    int b = hunt_below(hunt, searcher->count - 1);
    b += b >= a;
    int starts[STARTS];
    memcpy(searcher->from, searcher->kept[a].at, (size_t)field->parts * sizeof(int));
    int count = lay_path(searcher, searcher->kept[b].at, starts);
    for (int i = 0; i < count; i++) {
        memcpy(hunt->at, searcher->from, (size_t)field->parts * sizeof(int));
        for (int k = 0; k < starts[i]; k++) {
            hunt->at[field->cand[searcher->path[k]].part] = searcher->path[k];
        }
        hunt_load(hunt, hunt->at);
        descend_and_keep(searcher);
    }
    if (count == 0) {
        disturb(searcher);
    }
}

/* From one state to another, always the step that is cheapest then. The starts are the cheapest
 * states of each stretch of the middle; 0: the two are too near each other. */
static int lay_path(struct searcher *searcher, const int *to, int *ret_starts)
{
    struct hunt *hunt = searcher->hunt;
    int apart = 0;
    for (int part = 0; part < hunt->field->parts; part++) {
        if (searcher->from[part] != to[part]) {
            searcher->differ[apart++] = to[part];
        }
    }
    if (apart < NEAR) {
        return 0;
    }
    hunt_load(hunt, searcher->from);
    double least[STARTS];
    for (int i = 0; i < STARTS; i++) {
        least[i] = INFINITY;
        ret_starts[i] = apart / 2;
    }
    for (int step = 0; step < apart; step++) {
        int left = apart - step;
        int best = 0;
        double change = INFINITY;
        for (int i = 0; i < left; i++) {
            int cand = searcher->differ[i];
            double here = hunt_change(hunt, hunt->field->cand[cand].part, cand);
            if (here < change) {
                change = here;
                best = i;
            }
        }
        hunt->work += left;
        int cand = searcher->differ[best];
        searcher->differ[best] = searcher->differ[left - 1];
        searcher->path[step] = cand;
        hunt_move(hunt, hunt->field->cand[cand].part, cand);
        hunt_keep(hunt);
        int stretch = (4 * (step + 1) - apart) * STARTS / (2 * apart); /* a quarter to three */
        bool within = 4 * (step + 1) >= apart && stretch < STARTS;
        if (within && hunt->cost + hunt->fines < least[stretch]) {
            least[stretch] = hunt->cost + hunt->fines;
            ret_starts[stretch] = step + 1;
        }
    }
    return STARTS;
}

/* A few parts go elsewhere at random. */
static void disturb(struct searcher *searcher)
{
    struct hunt *hunt = searcher->hunt;
    const struct hunt_field *field = hunt->field;
    memcpy(hunt->at, searcher->from, (size_t)field->parts * sizeof(int));
    for (int i = 0; i < NEAR; i++) {
        int part = hunt_below(hunt, field->parts);
        int count = field->first[part + 1] - field->first[part];
        hunt->at[part] = field->first[part] + hunt_below(hunt, count);
    }
    hunt_load(hunt, hunt->at);
    descend_and_keep(searcher);
}

/* The better best becomes both's. */
static void share_best(struct eject *eject)
{
    struct hunt *one = eject->searcher[0].hunt;
    struct hunt *two = eject->searcher[1].hunt;
    if (one->best_cost == two->best_cost) {
        return;
    }
    bool first = one->best_cost < two->best_cost;
    struct hunt *to = first ? two : one;
    const struct hunt *from = first ? one : two;
    memcpy(to->best, from->best, (size_t)eject->field.parts * sizeof(int));
    to->best_cost = from->best_cost;
    to->found = true;
    hunt_load(to, to->best);
    (void)keep_state(&eject->searcher[first ? 1 : 0]);
}
