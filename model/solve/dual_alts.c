#include "model/solve/dual_alts.h"

#include <math.h>
#include <string.h>

#define TRIES 6 /* with a fourth of the limit each, where an app has too many */

/* Through the assignments of an app that are not much dearer than its best. */
struct walk {
    struct dual *dual;
    const int *choice;
    struct dual_alts *alts;
    struct dual_app_run run;
    int from;  /* step */
    int own;   /* parts */
    int begun; /* alternative */
    double least;
    double limit;
    bool over; /* too many alternatives */
    bool full; /* no room */
};

static bool add_single(struct dual *dual, const int *choice, int index, double limit,
                       struct dual_alts *alts);
static bool add_app(struct dual *dual, const int *choice, int app, double limit,
                    struct dual_alts *alts);
static void walk_step(struct walk *walk, int index, double dearer);
static void emit(struct walk *walk, double dearer);
static double true_rise(const struct walk *walk);
static bool keep(struct dual_alts *alts, int unit, int begun);
static void take_part(const struct dual *dual, int part, int cell, double sign, double *take);
static bool room_for(const struct dual_alts *alts, int cells);

int dual_alts_init(const struct dual *dual, int most, struct arena *arena, struct dual_alts *alts,
                   struct error *err)
{
    int parts = dual->tree->app_parts_max > 0 ? dual->tree->app_parts_max : 1;
    *alts = (struct dual_alts){.n = dual->n, .stride = (dual->n + 8) / 8 * 8};
    alts->groups_max = most;
    alts->count_max = 2 * most;
    alts->cells_max = (size_t)alts->count_max * (size_t)(parts < 64 ? parts : 64);
    alts->unit = arena_array(arena, (size_t)alts->groups_max + 1, sizeof(int));
    alts->first = arena_array(arena, (size_t)alts->groups_max + 2, sizeof(int));
    alts->rise = arena_array(arena, (size_t)alts->count_max + 1, sizeof(double));
    alts->take = arena_array(arena, (size_t)alts->count_max + 1, alts->stride * sizeof(double));
    alts->cell_first = arena_array(arena, (size_t)alts->count_max + 1, sizeof(size_t));
    alts->cell = arena_array(arena, alts->cells_max + 1, sizeof(int));
    bool full = alts->unit == NULL || alts->first == NULL || alts->rise == NULL ||
                alts->take == NULL || alts->cell_first == NULL || alts->cell == NULL;
    return full ? dual_no_memory(err) : 0;
}

bool dual_alts_find(struct dual *dual, const double *price, const int *choice, double limit,
                    struct dual_alts *alts)
{
    const struct dual_tree *tree = dual->tree;
    alts->groups = 0;
    alts->count = 0;
    alts->cells = 0;
    alts->first[0] = 0;
    dual_turn(dual, price);
    for (int i = 0; i < tree->singles; i++) {
        if (!add_single(dual, choice, i, limit, alts)) {
            return false;
        }
    }
    for (int app = 0; app < tree->apps; app++) {
        if (!add_app(dual, choice, app, limit, alts)) {
            return false;
        }
    }
    return true;
}

void dual_alts_put(const struct dual *dual, const struct dual_alts *alts, int group,
                   int alternative, int *choice)
{
    const struct dual_tree *tree = dual->tree;
    const int *cell = alts->cell + alts->cell_first[alternative];
    int unit = alts->unit[group];
    if (unit < tree->singles) {
        choice[tree->single != NULL ? tree->single[unit] : unit] = cell[0];
        return;
    }
    int app = unit - tree->singles;
    for (int i = tree->first[app]; i < tree->first[app + 1]; i++) {
        if (tree->step[i].own) {
            choice[tree->step[i].part] = *cell++;
        }
    }
}

bool dual_alts_is(const struct dual *dual, const struct dual_alts *alts, int group, int alternative,
                  const int *choice)
{
    const struct dual_tree *tree = dual->tree;
    const int *cell = alts->cell + alts->cell_first[alternative];
    int unit = alts->unit[group];
    if (unit < tree->singles) {
        return choice[tree->single != NULL ? tree->single[unit] : unit] == cell[0];
    }
    int app = unit - tree->singles;
    bool same = true;
    for (int i = tree->first[app]; same && i < tree->first[app + 1]; i++) {
        same = !tree->step[i].own || choice[tree->step[i].part] == *cell++;
    }
    return same;
}

void dual_alts_first(struct dual_alts *alts, int group, int alternative)
{
    int first = alts->first[group];
    double *to = alts->take + (size_t)first * alts->stride;
    double *from = alts->take + (size_t)alternative * alts->stride;
    for (size_t k = 0; k < alts->n; k++) {
        double taken = from[k];
        for (int i = first; i < alts->first[group + 1]; i++) {
            alts->take[(size_t)i * alts->stride + k] -= taken;
        }
        from[k] = to[k];
        to[k] = 0;
    }
    double rise = alts->rise[first];
    size_t cells = alts->cell_first[first];
    alts->rise[first] = alts->rise[alternative] < rise ? alts->rise[alternative] : rise;
    alts->rise[alternative] = rise;
    alts->cell_first[first] = alts->cell_first[alternative];
    alts->cell_first[alternative] = cells;
}

static bool add_single(struct dual *dual, const int *choice, int index, double limit,
                       struct dual_alts *alts)
{
    int part = dual->tree->single != NULL ? dual->tree->single[index] : index;
    double *value = dual->lane[0].value;
    double least = dual_fill(dual, part, value);
    int cells = grid_cells(dual->grid, part);
    int begun = alts->count;
    for (int turn = -1; turn < cells; turn++) {
        int cell = turn < 0 ? choice[part] : turn;
        bool near = value[cell] - least <= limit && alts->count - begun < DUAL_ALTS_UNIT;
        if (turn >= 0 && (!near || turn == choice[part])) {
            continue;
        }
        if (!room_for(alts, 1)) {
            return false;
        }
        double *take = alts->take + (size_t)alts->count * alts->stride;
        memset(take, 0, alts->stride * sizeof(double));
        take_part(dual, part, choice[part], -1, take);
        take_part(dual, part, cell, 1, take);
        alts->rise[alts->count] = value[cell] - least;
        alts->cell_first[alts->count++] = alts->cells;
        alts->cell[alts->cells++] = cell;
    }
    return keep(alts, index, begun);
}

static bool add_app(struct dual *dual, const int *choice, int app, double limit,
                    struct dual_alts *alts)
{
    const struct dual_tree *tree = dual->tree;
    struct dual_lane *lane = &dual->lane[0];
    int last = tree->first[app + 1] - 1;
    struct walk walk = {.dual = dual,
                        .choice = choice,
                        .alts = alts,
                        .run = {.dual = dual,
                                .tree = tree,
                                .app = app,
                                .scratch = lane->scratch,
                                .sum = lane->sum,
                                .row = lane->row,
                                .cell = lane->cell},
                        .from = tree->first[app],
                        .begun = alts->count,
                        .limit = limit};
    walk.least = tree->copied[app] ? dual_app_least_divided(&walk.run) : dual_app_least(&walk.run);
    for (int i = walk.from; i <= last; i++) {
        walk.own += tree->step[i].own;
    }
    size_t cells = alts->cells;
    for (int i = 0; i < TRIES; i++) {
        walk.over = false;
        alts->count = walk.begun;
        alts->cells = cells;
        /* The choice is the first whatever the walk meets. */
        for (int k = walk.from; k <= last; k++) {
            lane->cell[k - walk.from] = choice[tree->step[k].part];
        }
        emit(&walk, 0);
        walk_step(&walk, last, 0);
        if (!walk.over) {
            break;
        }
        walk.limit /= 4;
    }
    return !walk.full && keep(alts, tree->singles + app, walk.begun);
}

static void walk_step(struct walk *walk, int index, double dearer)
{
    if (walk->over || walk->full) {
        return;
    }
    if (index < walk->from) {
        emit(walk, dearer);
        return;
    }
    int cell[DUAL_ALTS_UNIT];
    double more[DUAL_ALTS_UNIT];
    int count = 0;
    double least = dual_app_sum(&walk->run, index);
    int cells = grid_cells(walk->dual->grid, walk->run.tree->step[index].part);
    for (int c = 0; c < cells; c++) {
        double rise = walk->run.sum[c] - least;
        if (!(dearer + rise <= walk->limit)) {
            continue;
        }
        if (count == DUAL_ALTS_UNIT) {
            walk->over = true;
            return;
        }
        cell[count] = c;
        more[count++] = rise;
    }
    for (int i = 0; i < count; i++) {
        walk->run.cell[index - walk->from] = cell[i];
        walk_step(walk, index - 1, dearer + more[i]);
    }
}

/* The assignment in run.cell, unless it is the first one. */
static void emit(struct walk *walk, double dearer)
{
    struct dual_alts *alts = walk->alts;
    const struct dual *dual = walk->dual;
    const struct dual_tree *tree = dual->tree;
    bool first = alts->count == walk->begun;
    int last = tree->first[walk->run.app + 1];
    if (alts->count - walk->begun == DUAL_ALTS_UNIT || !room_for(alts, walk->own)) {
        walk->over = walk->over || alts->count - walk->begun == DUAL_ALTS_UNIT;
        walk->full = walk->full || !walk->over;
        return;
    }
    double rise = tree->copied[walk->run.app] ? true_rise(walk) : dearer;
    bool known = !first;
    for (int i = walk->from; i < last && known; i++) {
        const struct dual_step *step = &tree->step[i];
        known = !step->own || walk->run.cell[i - walk->from] == walk->choice[step->part];
    }
    if (known || !(rise < INFINITY)) {
        walk->full = walk->full || first; /* its cells are closed to each other */
        return;
    }
    double *take = alts->take + (size_t)alts->count * alts->stride;
    memset(take, 0, alts->stride * sizeof(double));
    alts->rise[alts->count] = rise > 0 ? rise : 0;
    alts->cell_first[alts->count++] = alts->cells;
    for (int i = walk->from; i < last; i++) {
        const struct dual_step *step = &tree->step[i];
        int cell = walk->run.cell[i - walk->from];
        if (!step->own) {
            continue;
        }
        alts->cell[alts->cells++] = cell;
        if (cell != walk->choice[step->part]) {
            take_part(dual, step->part, walk->choice[step->part], -1, take);
            take_part(dual, step->part, cell, 1, take);
        }
    }
}

/* The cell of a part itself, whatever its copies say. */
static int own_cell(const struct walk *walk, int part)
{
    const struct dual_tree *tree = walk->dual->tree;
    int i = walk->from;
    while (!tree->step[i].own || tree->step[i].part != part) {
        i++;
    }
    return walk->run.cell[i - walk->from];
}

/* What the cells of the parts themselves cost, above the relaxation's least. */
static double true_rise(const struct walk *walk)
{
    const struct dual *dual = walk->dual;
    const struct grid *grid = dual->grid;
    const struct dual_tree *tree = dual->tree;
    double sum = 0;
    for (int i = walk->from; i < tree->first[walk->run.app + 1]; i++) {
        const struct dual_step *step = &tree->step[i];
        int cell = walk->run.cell[i - walk->from];
        if (step->own) {
            const int32_t *demand = grid_demand(grid, step->part, cell);
            double unit = grid->unit != NULL ? (double)grid->unit[step->part] : 1;
            size_t site = (size_t)grid_site(grid, step->part, cell);
            sum += unit * (double)grid_cost_raw(grid, step->part, cell);
            for (size_t r = 0; r < (size_t)grid->resources; r++) {
                sum += dual->by[r * dual->stride + site] * demand[r];
            }
        }
        for (int k = 0; k < step->source_count; k++) {
            int index = tree->source[step->source_first + k].link;
            if (index < 0) {
                continue;
            }
            const struct grid_link *link = &grid->link[index];
            uint32_t value =
                grid_link_raw(grid, link, own_cell(walk, link->a), own_cell(walk, link->b));
            if (value == GRID_CLOSED) {
                return INFINITY;
            }
            double pair =
                link->scale < 0 ? (double)tree->dearest[link->table] - value : (double)value;
            sum += fabs((double)link->scale) * pair;
        }
    }
    return sum - walk->least;
}

/* A unit with nothing but its first is no group. */
static bool keep(struct dual_alts *alts, int unit, int begun)
{
    if (alts->count - begun < 2) {
        alts->cells = alts->count > begun ? alts->cell_first[begun] : alts->cells;
        alts->count = begun;
        return true;
    }
    if (alts->groups == alts->groups_max) {
        return false;
    }
    alts->unit[alts->groups++] = unit;
    alts->first[alts->groups] = alts->count;
    return true;
}

static void take_part(const struct dual *dual, int part, int cell, double sign, double *take)
{
    const struct grid *grid = dual->grid;
    int slot = dual->slot_of[grid_site(grid, part, cell)];
    const int32_t *demand = grid_demand(grid, part, cell);
    for (int r = 0; slot >= 0 && r < grid->resources; r++) {
        take[slot * grid->resources + r] += sign * demand[r];
    }
}

static bool room_for(const struct dual_alts *alts, int cells)
{
    return alts->count < alts->count_max && alts->cells + (size_t)cells <= alts->cells_max;
}
