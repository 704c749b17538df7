/* What is left of a grid near some prices: the units that a small change of them turns. */
#include "model/solve/dual_near.h"

#include <math.h>
#include <string.h>

/* Columns of an app, and cells of a part that its walk follows. */
#define APP_COLUMNS 24
#define APP_TRIES   10
#define SIZE_MIN    1e-30 /* of what a part takes: nothing turns one that takes nothing */
#define APP_STEPS   4096  /* a larger app has only its best, and what was best before */
#define APP_PARTS   2 /* that an assignment differs in from the best, as the walk's limit has it */

struct build {
    struct dual *dual;
    const struct dual_near *near;
    struct dual_condensed *to;
    int64_t *load;
    bool full;
};

/* Through the assignments of an app that are not much dearer than its best. */
struct walk {
    struct build *build;
    struct dual_app_run run;
    int from;
    double most; /* dearer */
    int columns;
    int columns_most;
    bool over;
};

static void add_single(struct build *build, int index);
static void add_app(struct build *build, int app);
static void walk_step(struct walk *walk, int index, double dearer);
static void emit(struct walk *walk, double dearer);
static void room_of(const struct dual *dual, const int64_t *load, double *room);

static double size_of(const struct dual *dual, int part)
{
    const struct grid *grid = dual->grid;
    int cells = grid->cell_demand != NULL ? grid_cells(grid, part) : 1;
    double most = 0;
    for (int c = 0; c < cells; c++) {
        const int32_t *demand = grid_demand(grid, part, c);
        double sum = 0;
        for (int r = 0; r < grid->resources; r++) {
            sum += demand[r] / dual->mean[r];
        }
        most = sum > most ? sum : most;
    }
    return fmax(most, SIZE_MIN);
}

float dual_ratio(const struct dual *dual, int part, double gap)
{
    double ratio = gap / dual->unit / (2 * size_of(dual, part));
    return ratio < 1e30 ? (float)ratio : 1e30f;
}

int dual_near_condense(struct dual *dual, const struct dual_near *near, struct arena *arena,
                       struct dual_condensed *ret_condensed, struct error *err)
{
    const struct dual_tree *tree = dual->tree;
    int units = tree->singles + tree->apps;
    double reach = dual_reach(near->ratio, units, near->most);
    struct dual_condensed to = {.reach = reach < near->reach_max ? reach : near->reach_max};
    struct build build = {.dual = dual, .near = near, .to = &to, .load = near->load};
    if (dual_condensed_init(&to, dual->n, arena, err) < 0) {
        return dual_no_memory(err);
    }
    for (int unit = 0; unit < units && !build.full; unit++) {
        bool app = unit >= tree->singles;
        bool extra = app && near->extra[unit - tree->singles] != NULL;
        if (!extra && (!((double)near->ratio[unit] < to.reach) || to.units > 4 * near->most)) {
            continue;
        }
        build.full = !dual_condensed_reserve(&to, 1, 1, 1);
        if (build.full) {
            break;
        }
        to.unit[to.units] = unit;
        if (app) {
            add_app(&build, unit - tree->singles);
        } else {
            add_single(&build, unit);
        }
        to.first[++to.units] = to.columns;
    }
    if (build.full) {
        return dual_no_memory(err);
    }
    room_of(dual, near->load, to.room);
    dual_condensed_box(dual, near->scaled, &to);
    *ret_condensed = to;
    return 0;
}

static void untake(struct build *build, int part, int cell)
{
    const struct grid *grid = build->dual->grid;
    const int32_t *demand = grid_demand(grid, part, cell);
    int64_t *load = build->load + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
    for (int r = 0; r < grid->resources; r++) {
        load[r] -= demand[r];
    }
}

/* Cells of a part that may become its best inside the box. */
static void add_single(struct build *build, int index)
{
    const struct dual *dual = build->dual;
    const struct grid *grid = dual->grid;
    struct dual_condensed *to = build->to;
    int part = dual->tree->single != NULL ? dual->tree->single[index] : index;
    double *value = dual->lane[0].value;
    double least = dual_fill(dual, part, value);
    double most = 2 * to->reach * size_of(dual, part) * dual->unit;
    untake(build, part, build->near->choice[part]);
    for (int c = 0; c < grid_cells(grid, part); c++) {
        if (!(value[c] < INFINITY && value[c] - least <= most)) {
            continue;
        }
        build->full = build->full || !dual_condensed_reserve(to, 1, 1, grid->resources);
        if (build->full) {
            return;
        }
        const int32_t *demand = grid_demand(grid, part, c);
        int slot = dual->slot_of[grid_site(grid, part, c)];
        to->cost[to->columns] = (value[c] - least) / dual->unit;
        for (int r = 0; slot >= 0 && r < grid->resources; r++) {
            if (demand[r] > 0) {
                to->row[to->takes] = slot * grid->resources + r;
                to->amount[to->takes++] = demand[r] / dual->mean[r];
            }
        }
        to->begin[++to->columns] = to->takes;
    }
}

static struct dual_app_run run_of(struct dual *dual, int app)
{
    struct dual_lane *lane = &dual->lane[0];
    return (struct dual_app_run){.dual = dual,
                                 .tree = dual->tree,
                                 .app = app,
                                 .scratch = lane->scratch,
                                 .sum = lane->sum,
                                 .row = lane->row,
                                 .cell = lane->cell};
}

static void add_app(struct build *build, int app)
{
    struct dual *dual = build->dual;
    const struct dual_tree *tree = dual->tree;
    struct dual_condensed *to = build->to;
    struct walk walk = {.build = build, .run = run_of(dual, app), .from = tree->first[app]};
    int last = tree->first[app + 1] - 1;
    double size = 0;
    (void)dual_app_least(&walk.run);
    for (int i = walk.from; i <= last; i++) {
        size = fmax(size, tree->step[i].own ? size_of(dual, tree->step[i].part) : 0);
    }
    struct dual_condensed begun = *to;
    walk.most = 2 * to->reach * APP_PARTS * size * dual->unit;
    walk.most = last - walk.from < APP_STEPS ? walk.most : 0;
    walk.columns_most = APP_COLUMNS;
    for (int i = 0; i <= APP_TRIES; i++) {
        walk.over = false;
        walk.columns = 0;
        walk.most = i < APP_TRIES ? walk.most : 0;
        to->columns = begun.columns;
        to->takes = begun.takes;
        if (last - walk.from < APP_STEPS) {
            walk_step(&walk, last, 0);
        }
        if (!walk.over || build->full) {
            break;
        }
        walk.most = walk.most < INFINITY ? walk.most / 4 : 16 * dual->unit;
    }
    if (walk.columns == 0) {
        dual_app_choose(&walk.run, NULL);
        emit(&walk, 0);
    }
    for (const struct dual_extra *extra = build->near->extra[app]; extra != NULL;
         extra = extra->next) {
        memcpy(walk.run.cell, extra->cell, (size_t)(last - walk.from + 1) * sizeof(int));
        double dearer = 0;
        for (int i = last; i >= walk.from; i--) {
            double least = dual_app_sum(&walk.run, i);
            dearer += walk.run.sum[walk.run.cell[i - walk.from]] - least;
        }
        emit(&walk, dearer);
    }
    for (int i = walk.from; i <= last; i++) {
        if (tree->step[i].own) {
            untake(build, tree->step[i].part, build->near->choice[tree->step[i].part]);
        }
    }
}

/* Each cell of a step's part, beside those near it that are set, is dearer than its best by just
 * what the whole assignment is, for what it leaves open is at its best. */
static void walk_step(struct walk *walk, int index, double dearer)
{
    if (walk->over) {
        return;
    }
    if (index < walk->from) {
        emit(walk, dearer);
        walk->columns++;
        walk->over = walk->over || walk->columns > walk->columns_most;
        return;
    }
    int cell[APP_COLUMNS];
    double more[APP_COLUMNS];
    int count = 0;
    double least = dual_app_sum(&walk->run, index);
    int part = walk->run.tree->step[index].part;
    for (int c = 0; c < grid_cells(walk->run.dual->grid, part); c++) {
        if (walk->run.sum[c] < INFINITY && dearer + (walk->run.sum[c] - least) <= walk->most) {
            if (count == APP_COLUMNS) {
                walk->over = walk->most > 0;
                break;
            }
            cell[count] = c;
            more[count++] = walk->run.sum[c] - least;
        }
    }
    for (int i = 0; i < count && !walk->build->full; i++) {
        if (walk->most <= 0 && i > 0) {
            return; /* ties, when only one is asked for */
        }
        walk->run.cell[index - walk->from] = cell[i];
        walk_step(walk, index - 1, dearer + more[i]);
    }
}

static bool is_known(const struct dual_condensed *to, int first)
{
    int last = to->columns;
    int takes = to->takes - to->begin[last];
    for (int c = first; c < last; c++) {
        if (fabs(to->cost[c] - to->cost[last]) > 1e-9 * (1 + fabs(to->cost[c])) ||
            to->begin[c + 1] - to->begin[c] != takes) {
            continue;
        }
        bool same = true;
        for (int t = 0; t < takes && same; t++) {
            same = to->row[to->begin[c] + t] == to->row[to->begin[last] + t] &&
                   to->amount[to->begin[c] + t] == to->amount[to->begin[last] + t];
        }
        if (same) {
            return true;
        }
    }
    return false;
}

/* The assignment in run.cell as a column, unless it is there already. */
static void emit(struct walk *walk, double dearer)
{
    const struct dual *dual = walk->build->dual;
    const struct grid *grid = dual->grid;
    const struct dual_tree *tree = dual->tree;
    struct dual_condensed *to = walk->build->to;
    struct dual_lane *lane = &walk->build->dual->lane[0];
    int steps = tree->first[walk->run.app + 1] - walk->from;
    int most = steps * grid->resources;
    walk->build->full = walk->build->full || !dual_condensed_reserve(to, 1, 1, most);
    if (walk->build->full || !(dearer < INFINITY)) {
        return;
    }
    int rows = 0;
    for (int i = 0; i < steps; i++) {
        const struct dual_step *step = &tree->step[walk->from + i];
        int cell = walk->run.cell[i];
        int slot = dual->slot_of[grid_site(grid, step->part, cell)];
        const int32_t *demand = grid_demand(grid, step->part, cell);
        for (int r = 0; step->own && slot >= 0 && r < grid->resources; r++) {
            int row = slot * grid->resources + r;
            if (lane->part[row] < 0) {
                lane->part[row] = 0;
                lane->kept[rows++] = row;
            }
            lane->part[row] += demand[r] / dual->mean[r];
        }
    }
    to->cost[to->columns] = dearer / dual->unit;
    for (int i = 0; i < rows; i++) {
        int row = lane->kept[i];
        to->row[to->takes] = row;
        to->amount[to->takes++] = lane->part[row];
        lane->part[row] = -1;
    }
    if (is_known(to, to->first[to->units])) {
        to->takes = to->begin[to->columns];
        return;
    }
    to->begin[++to->columns] = to->takes;
}

static void room_of(const struct dual *dual, const int64_t *load, double *room)
{
    const struct grid *grid = dual->grid;
    for (size_t k = 0; k < dual->n; k++) {
        size_t r = k % (size_t)grid->resources;
        size_t row =
            (size_t)dual->site_of[k / (size_t)grid->resources] * (size_t)grid->resources + r;
        room[k] = dual->room[k] < INFINITY
                      ? (double)(grid->capacity[row] - load[row]) / dual->mean[r]
                      : INFINITY;
    }
}

int dual_extra_add(struct dual *dual, const int *choice, const int *other, int most,
                   struct dual_extra **extra)
{
    const struct dual_tree *tree = dual->tree;
    int added = 0;
    for (int app = 0; app < tree->apps && added < most; app++) {
        int from = tree->first[app];
        int steps = tree->first[app + 1] - from;
        bool differs = false;
        for (int i = from; i < from + steps && !differs; i++) {
            differs = choice[tree->step[i].part] != other[tree->step[i].part];
        }
        if (!differs) {
            continue;
        }
        struct dual_extra *new =
            arena_alloc(&dual->work, sizeof(*new) + (size_t)steps * sizeof(int));
        if (new == NULL) {
            return added; /* without it the search is only slower */
        }
        struct dual_app_run run = run_of(dual, app);
        (void)dual_app_least(&run);
        dual_app_choose(&run, NULL);
        memcpy(new->cell, run.cell, (size_t)steps * sizeof(int));
        new->next = extra[app];
        extra[app] = new;
        added++;
    }
    return added;
}
