/* Lists the assignments of apps that are not much dearer than their best. */
#include "model/solve/dual_columns.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/dual_tree.h"

/* The limit is one of these rungs, by the count of so many apps. */
#define RUNG_RATIO 1.25
#define RUNGS      190
#define SAMPLE     100
/* Times that an app with too many columns is listed again, within the cheaper half. */
#define TRIES 40

/* A single part of the tree's, or an app: `unit` counts the singles first. */
struct turn_of {
    int lowest;
    int unit;
};

struct list {
    struct dual *dual;
    const struct dual_tree *tree;
    int each_max;

    /* The unit at hand. */
    struct dual_app_run run;
    int part; /* a single; -1: an app */
    int from; /* step */
    int parts;
    int place[DUAL_COLUMN_PARTS]; /* [step of the app] of its part among the app's; -1: a copy */
    double most;
    bool over; /* there are more than each_max */
    int found;
    double *excess; /* [each_max] */
    size_t stride;  /* parts of the largest app */
    int *cell;      /* [each_max * stride] */
    int *order;     /* [each_max] */
    double *sorted; /* [each_max] */

    /* Cells to be tried at the steps above the one at hand. */
    int *open;
    double *more;
    int top;

    /* All that is kept so far. */
    struct dual_columns to;
    int columns_room;
    size_t cells;
    size_t cells_room;
};

static bool list_create(struct list *list);
static int by_lowest(const void *a, const void *b);
static int by_value(const void *a, const void *b);
static double limit_for(struct list *list, const struct turn_of *turns, int units, double wanted);
static bool unit_begin(struct list *list, int unit);
static void unit_walk(struct list *list, double most);
static void unit_list(struct list *list, double limit);
static void walk(struct list *list, int index, double dearer);
static void found_one(struct list *list, double dearer);
static bool keep(struct list *list);
static bool reserve(struct list *list, int columns, size_t cells);
static int hand_over(const struct list *list, struct arena *arena, struct dual_columns *ret_columns,
                     struct error *err);

int dual_columns_list(const struct grid *grid, const double *price,
                      const struct dual_columns_options *options, struct arena *arena,
                      struct dual_columns *ret_columns, struct error *err)
{
    struct dual dual;
    *ret_columns = (struct dual_columns){0};
    int rc = dual_begin(grid, 1, arena, &dual, err);
    struct list *list = rc == 0 ? arena_alloc(&dual.work, sizeof(*list)) : NULL;
    int units = rc == 0 ? dual.tree->singles + dual.tree->apps : 0;
    struct turn_of *turns = arena_array(&dual.work, (size_t)units + 1, sizeof(*turns));
    if (rc == 0 && (list == NULL || turns == NULL)) {
        rc = dual_no_memory(err);
    }
    if (rc == 0 && !dual.tree->relaxed && dual.tree->app_parts_max <= DUAL_COLUMN_PARTS) {
        *list = (struct list){.dual = &dual, .tree = dual.tree, .each_max = options->each_max};
        for (int unit = 0; unit < units; unit++) {
            const struct dual_tree *tree = dual.tree;
            int app = unit - tree->singles;
            int lowest = app >= 0 ? tree->step[tree->first[app]].part : unit;
            lowest = app < 0 && tree->single != NULL ? tree->single[unit] : lowest;
            for (int i = app >= 0 ? tree->first[app] : 0; app >= 0 && i < tree->first[app + 1];
                 i++) {
                lowest = tree->step[i].part < lowest ? tree->step[i].part : lowest;
            }
            turns[unit] = (struct turn_of){lowest, unit};
        }
        qsort(turns, (size_t)units, sizeof(*turns), by_lowest);
        dual_turn(&dual, price);
        bool full = !list_create(list);
        bool all = true;
        list->to.limit = full ? 0 : limit_for(list, turns, units, options->wanted);
        for (int i = 0; i < units && !full && all; i++) {
            all = unit_begin(list, turns[i].unit);
            if (all) {
                unit_list(list, list->to.limit);
                full = !keep(list);
            }
        }
        rc = full ? dual_no_memory(err) : all ? hand_over(list, arena, ret_columns, err) : 0;
    }
    dual_end(&dual, arena);
    return rc;
}

static bool list_create(struct list *list)
{
    struct dual *dual = list->dual;
    struct arena *arena = &dual->work;
    struct dual_lane *lane = &dual->lane[0];
    const struct dual_tree *tree = list->tree;
    size_t each = (size_t)list->each_max;
    size_t cells =
        (size_t)dual->cells_max * ((size_t)tree->app_parts_max + 1); /* open at all steps at once */
    size_t units = (size_t)tree->singles + (size_t)tree->apps;
    list->run = (struct dual_app_run){.dual = dual,
                                      .tree = tree,
                                      .scratch = lane->scratch,
                                      .sum = lane->sum,
                                      .row = lane->row,
                                      .cell = lane->cell};
    list->stride = tree->app_parts_max > 0 ? (size_t)tree->app_parts_max : 1;
    list->excess = arena_array(arena, each, sizeof(double));
    list->cell = arena_array(arena, each * list->stride, sizeof(int));
    list->order = arena_array(arena, each, sizeof(int));
    list->sorted = arena_array(arena, each, sizeof(double));
    list->open = arena_array(arena, cells + 1, sizeof(int));
    list->more = arena_array(arena, cells + 1, sizeof(double));
    list->to.first = arena_array(arena, units + 1, sizeof(int));
    return list->excess != NULL && list->cell != NULL && list->order != NULL &&
           list->sorted != NULL && list->open != NULL && list->more != NULL &&
           list->to.first != NULL;
}

/* The highest rung below which there are no more columns than wanted. */
static double limit_for(struct list *list, const struct turn_of *turns, int units, double wanted)
{
    double found[RUNGS] = {0};
    int stride = units / SAMPLE + 1;
    int taken = 0;
    for (int i = 0; i < units; i += stride) {
        if (!unit_begin(list, turns[i].unit)) {
            return 0;
        }
        taken++;
        double limit = 1;
        list->over = false;
        for (int rung = 0; rung < RUNGS; rung++) {
            if (!list->over) {
                unit_walk(list, limit);
            }
            found[rung] += list->found;
            limit *= RUNG_RATIO;
        }
    }
    double limit = 1;
    for (int rung = 1; rung < RUNGS && found[rung] * units <= wanted * taken; rung++) {
        limit *= RUNG_RATIO;
    }
    return limit;
}

/* False: it has no assignment. */
static bool unit_begin(struct list *list, int unit)
{
    const struct dual_tree *tree = list->tree;
    if (unit < tree->singles) {
        list->part = tree->single != NULL ? tree->single[unit] : unit;
        list->parts = 1;
        double *value = list->dual->lane[0].value;
        return dual_fill(list->dual, list->part, value) < INFINITY;
    }
    list->part = -1;
    list->run.app = unit - tree->singles;
    list->from = tree->first[list->run.app];
    list->parts = 0;
    int steps = tree->first[list->run.app + 1] - list->from;
    for (int i = 0; i < steps; i++) {
        list->place[i] = 0;
        list->parts++;
        for (int k = 0; k < steps; k++) {
            list->place[i] += tree->step[list->from + k].part < tree->step[list->from + i].part;
        }
    }
    return dual_app_least(&list->run) < INFINITY;
}

/* Lists what is at most so much dearer, up to each_max of them. */
static void unit_walk(struct list *list, double most)
{
    list->most = most;
    list->found = 0;
    list->over = false;
    list->top = 0;
    if (list->part < 0) {
        walk(list, list->tree->first[list->run.app + 1] - 1, 0);
        return;
    }
    const double *value = list->dual->lane[0].value;
    int cells = grid_cells(list->dual->grid, list->part);
    double least = INFINITY;
    for (int c = 0; c < cells; c++) {
        least = value[c] < least ? value[c] : least;
    }
    list->place[0] = 0;
    for (int c = 0; c < cells && !list->over; c++) {
        if (value[c] < INFINITY && value[c] - least <= most) {
            list->run.cell[0] = c;
            found_one(list, value[c] - least);
        }
    }
}

/* Where there are too many, the limit goes to the middle of those that were found: what is left is
 * then at least half of what there is room for. */
static void unit_list(struct list *list, double limit)
{
    unit_walk(list, limit);
    for (int i = 0; list->over && list->most > 0; i++) {
        memcpy(list->sorted, list->excess, (size_t)list->found * sizeof(double));
        qsort(list->sorted, (size_t)list->found, sizeof(double), by_value);
        unit_walk(list, i < TRIES ? list->sorted[list->found / 2] : 0);
    }
    for (int i = 0; i < list->found; i++) {
        int at = i;
        for (; at > 0 && list->excess[list->order[at - 1]] > list->excess[i]; at--) {
            list->order[at] = list->order[at - 1];
        }
        list->order[at] = i;
    }
}

static void walk(struct list *list, int index, double dearer)
{
    if (index < list->from) {
        found_one(list, dearer);
        return;
    }
    double least = dual_app_sum(&list->run, index);
    int cells = grid_cells(list->dual->grid, list->tree->step[index].part);
    int begin = list->top;
    for (int c = 0; c < cells; c++) {
        double more = list->run.sum[c] - least;
        if (list->run.sum[c] < INFINITY && dearer + more <= list->most) {
            list->open[list->top] = c;
            list->more[list->top++] = more;
        }
    }
    int end = list->top;
    for (int i = begin; i < end && !list->over; i++) {
        list->run.cell[index - list->from] = list->open[i];
        walk(list, index - 1, dearer + list->more[i]);
    }
    list->top = begin;
}

static void found_one(struct list *list, double dearer)
{
    if (list->found == list->each_max) {
        list->over = true;
        return;
    }
    int *cell = list->cell + (size_t)list->found * list->stride;
    for (int i = 0; i < list->parts; i++) {
        cell[list->place[i]] = list->run.cell[i];
    }
    list->excess[list->found++] = dearer;
}

static bool keep(struct list *list)
{
    struct dual_columns *to = &list->to;
    if (!reserve(list, list->found, (size_t)list->found * (size_t)list->parts)) {
        return false;
    }
    int column = to->first[to->apps];
    for (int i = 0; i < list->found; i++) {
        int from = list->order[i];
        to->excess[column] = list->excess[from];
        to->cell_at[column++] = list->cells;
        memcpy(to->cell + list->cells, list->cell + (size_t)from * list->stride,
               (size_t)list->parts * sizeof(int));
        list->cells += (size_t)list->parts;
    }
    to->first[++to->apps] = column;
    return true;
}

static bool reserve(struct list *list, int columns, size_t cells)
{
    struct dual_columns *to = &list->to;
    struct arena *arena = &list->dual->work;
    int have = to->first[to->apps];
    if (columns > INT32_MAX / 4 - have) {
        return false;
    }
    if (have + columns > list->columns_room) {
        size_t room = 2 * (size_t)(have + columns) + 1024;
        double *excess = arena_alloc_raw(arena, room * sizeof(double));
        size_t *cell_at = arena_alloc_raw(arena, room * sizeof(size_t));
        if (excess == NULL || cell_at == NULL) {
            return false;
        }
        if (have > 0) {
            memcpy(excess, to->excess, (size_t)have * sizeof(double));
            memcpy(cell_at, to->cell_at, (size_t)have * sizeof(size_t));
        }
        to->excess = excess;
        to->cell_at = cell_at;
        list->columns_room = (int)room;
    }
    if (list->cells + cells > list->cells_room) {
        size_t room = 2 * (list->cells + cells) + 1024;
        int *cell = arena_alloc_raw(arena, room * sizeof(int));
        if (cell == NULL) {
            return false;
        }
        if (list->cells > 0) {
            memcpy(cell, to->cell, list->cells * sizeof(int));
        }
        to->cell = cell;
        list->cells_room = room;
    }
    return true;
}

/* What is kept lay in the work's memory, with room to grow. */
static int hand_over(const struct list *list, struct arena *arena, struct dual_columns *ret_columns,
                     struct error *err)
{
    struct dual_columns to = list->to;
    size_t columns = (size_t)to.first[to.apps];
    to.first = arena_copy(arena, to.first, ((size_t)to.apps + 1) * sizeof(int));
    to.excess = arena_copy(arena, to.excess, columns * sizeof(double));
    to.cell_at = arena_copy(arena, to.cell_at, columns * sizeof(size_t));
    to.cell = arena_copy(arena, to.cell, list->cells * sizeof(int));
    if (to.first == NULL || to.excess == NULL || to.cell_at == NULL || to.cell == NULL) {
        return dual_no_memory(err);
    }
    *ret_columns = to;
    return 0;
}

static int by_lowest(const void *a, const void *b)
{
    const struct turn_of *x = a;
    const struct turn_of *y = b;
    return (x->lowest > y->lowest) - (x->lowest < y->lowest);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}
