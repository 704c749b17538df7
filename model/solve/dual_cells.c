/* Few cells of each part at first, then those that were missed. */
#include "model/solve/dual_cells.h"

#include <math.h>
#include <string.h>

#include "model/solve/dual_climb.h"

#define WORK_MIN   1e6 /* additions of a sweep that are worth all this */
#define WORK_TIMES 8   /* what links alone would take */
#define SWEEPS_FEW 4000
#define CELLS_FEW  10 /* of a part that are kept at first; and so many more each time */
#define ROUNDS     8
#define GAP_USUAL  1e-9
#define GAP_ROUGH  1e-4
#define COST_MOST  4e9
#define OTHERS     12 /* cells of an app's last part that its best assignments are looked up for */

struct cells {
    struct dual *dual; /* of the whole grid */
    const struct dual_options *options;
    struct dual_result *result;
    double *near_cost; /* [cell] at the last prices */
    bool *kept;        /* [cell] is in the smaller grid */
    double *price;     /* [row] */
    int *choice;
    double hoped; /* no prices prove more, as far as the smaller grids know */
    bool ended;   /* whoever asked wants no more */
};

static int rough(struct cells *cells, struct error *err);
static int collapse(const struct dual *dual, struct arena *arena, struct grid *ret_grid,
                    struct error *err);
static void gather(const struct dual *dual, int part, const int *ends, int count, double *least);
static int64_t scale(const double *sum, size_t sites, uint32_t *cost);
static bool tell(void *context, double bound, double best);
static bool judge(struct cells *cells);
static int keep_best(struct cells *cells, int count);
static int shrink(const struct cells *cells, struct arena *arena, struct grid *grid,
                  int **ret_cell_of, struct error *err);
static int climb(struct cells *cells, const struct grid *few, struct error *err);

bool dual_cells_pay(const struct dual *dual)
{
    const struct grid *grid = dual->grid;
    double light = 0;
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        if (!grid->table[link->table].by_site) {
            return false; /* its rows are numbered by cells */
        }
        light += (double)grid_cells(grid, link->a) * (double)grid_cells(grid, link->b);
    }
    return dual->n > 0 && dual->tree->work > WORK_MIN && dual->tree->work > WORK_TIMES * light;
}

int dual_cells_climb(struct dual *dual, const struct dual_options *options,
                     struct dual_result *result, struct error *err)
{
    const struct grid *grid = dual->grid;
    size_t count = grid_first(grid, grid->parts);
    struct cells cells = {.dual = dual, .options = options, .result = result, .hoped = INFINITY};
    cells.near_cost = arena_array(&dual->work, count, sizeof(double));
    cells.kept = arena_array(&dual->work, count, sizeof(bool));
    cells.price = arena_array(&dual->work, dual->rows + 1, sizeof(double));
    cells.choice = arena_array(&dual->work, (size_t)grid->parts + 1, sizeof(int));
    if (cells.near_cost == NULL || cells.kept == NULL || cells.price == NULL ||
        cells.choice == NULL) {
        return dual_no_memory(err);
    }
    result->bound = -INFINITY;
    memcpy(cells.price, result->price, dual->rows * sizeof(double));
    int rc = options->start == NULL ? rough(&cells, err) : 0;
    double tolerance = options->gap > 0 ? options->gap : GAP_USUAL;
    for (int round = 0; rc == 0 && judge(&cells) && round < ROUNDS; round++) {
        if (dual->sweeps + 1 >= dual_sweeps_max(dual, options, INFINITY)) {
            break;
        }
        double open = cells.hoped - result->bound;
        if (!result->fits || open <= tolerance * fabs(result->bound)) {
            break;
        }
        if (!tell(&cells, result->bound, NAN) || cells.ended) {
            break;
        }
        if (keep_best(&cells, CELLS_FEW) == 0) {
            break; /* nothing is missing: the smaller grid's best prices are not found */
        }
        struct arena arena;
        struct grid few = *grid;
        arena_init(&arena, dual->work.bytes_max - dual->work.bytes_used);
        int *cell_of;
        rc = shrink(&cells, &arena, &few, &cell_of, err);
        rc = rc == 0 ? climb(&cells, &few, err) : rc;
        arena_done(&arena);
    }
    return rc;
}

/* Prices of a grid in which every app is one part, all of it at one site: where links are heavy
 * that is nearly so, and a sweep costs next to nothing. Beside a site where one of its parts is
 * closed, that part is where it is cheapest. */
static int rough(struct cells *cells, struct error *err)
{
    struct dual *dual = cells->dual;
    struct arena arena;
    struct grid whole;
    arena_init(&arena, dual->work.bytes_max - dual->work.bytes_used);
    int rc = collapse(dual, &arena, &whole, err);
    if (rc == 0) {
        struct dual_options options = {.threads = cells->options->threads,
                                       .gap = GAP_ROUGH,
                                       .progress = tell,
                                       .context = cells};
        struct dual_result result;
        rc = dual_solve(&whole, &options, &arena, &result, err);
        if (rc == 0 && result.possible && result.fits) {
            memcpy(cells->price, result.price, dual->rows * sizeof(double));
        }
    }
    arena_done(&arena);
    return rc;
}

/* What a part costs at a cell when what is linked with it is at a site. */
static double beside(const struct dual *dual, int part, int cell, int site, const int *ends,
                     int count)
{
    const struct grid *grid = dual->grid;
    uint32_t raw = grid_cost_raw(grid, part, cell);
    double cost = raw == GRID_CLOSED ? INFINITY : (double)grid_cost(grid, part, cell);
    int own = grid_site(grid, part, cell);
    for (int i = 0; i < count; i++) {
        const struct grid_link *link = &grid->link[ends[i]];
        const struct grid_table *table = &grid->table[link->table];
        int row = link->a == part ? own : site;
        int column = link->a == part ? site : own;
        uint32_t value = table->value[row * table->columns + column];
        /* Each of two parts that share a site pays half. */
        double pays = own == site ? 0.5 : 1;
        cost += value == GRID_CLOSED
                    ? INFINITY
                    : pays * ((double)link->base + (double)link->scale * (double)value);
    }
    return cost;
}

/* The links of every part, from first[part] to first[part + 1]; NULL: no memory. */
static int *ends_of(const struct grid *grid, struct arena *arena, int **ret_first)
{
    int *first = arena_array(arena, (size_t)grid->parts + 2, sizeof(int));
    int *ends = arena_array(arena, (size_t)grid->links * 2 + 1, sizeof(*ends));
    if (first == NULL || ends == NULL) {
        return NULL;
    }
    for (int i = 0; i < 2 * grid->links; i++) {
        first[(i % 2 == 0 ? grid->link[i / 2].a : grid->link[i / 2].b) + 2]++;
    }
    for (int part = 0; part < grid->parts; part++) {
        first[part + 2] += first[part + 1];
    }
    for (int i = 0; i < 2 * grid->links; i++) {
        ends[first[(i % 2 == 0 ? grid->link[i / 2].a : grid->link[i / 2].b) + 1]++] = i / 2;
    }
    *ret_first = first;
    return ends;
}

static int collapse(const struct dual *dual, struct arena *arena, struct grid *ret_grid,
                    struct error *err)
{
    const struct grid *grid = dual->grid;
    const struct dual_tree *tree = dual->tree;
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    size_t units = (size_t)tree->singles + (size_t)tree->apps;
    int64_t *unit = arena_array(arena, units, sizeof(int64_t));
    uint32_t *cost = arena_array(arena, units * sites, sizeof(uint32_t));
    int32_t *demand = arena_array(arena, units * resources, sizeof(int32_t));
    double *sum = arena_array(arena, sites, sizeof(double));
    double *least = arena_array(arena, sites, sizeof(double));
    int *first;
    int *ends = ends_of(grid, arena, &first);
    if (ends == NULL || unit == NULL || cost == NULL || demand == NULL || sum == NULL ||
        least == NULL) {
        return dual_no_memory(err);
    }
    size_t singles = (size_t)tree->singles;
    for (size_t at = 0; at < units; at++) {
        bool app = at >= singles;
        int from = app ? tree->first[at - singles] : 0;
        int to = app ? tree->first[at - singles + 1] : 1;
        for (size_t site = 0; site < sites; site++) {
            sum[site] = 0;
        }
        for (int i = from; i < to; i++) {
            if (app && !tree->step[i].own) {
                continue;
            }
            int single = tree->single != NULL ? tree->single[at < singles ? at : 0] : (int)at;
            int part = app ? tree->step[i].part : single;
            gather(dual, part, ends + first[part], first[part + 1] - first[part], least);
            for (size_t site = 0; site < sites; site++) {
                sum[site] += least[site];
            }
            for (size_t r = 0; r < resources; r++) {
                int64_t all = (int64_t)demand[at * resources + r] + dual_most(grid, part, (int)r);
                demand[at * resources + r] = (int32_t)(all < INT32_MAX ? all : INT32_MAX);
            }
        }
        unit[at] = scale(sum, sites, cost + at * sites);
    }
    *ret_grid = (struct grid){.parts = (int)units,
                              .sites = grid->sites,
                              .resources = grid->resources,
                              .unit = unit,
                              .cost = cost,
                              .demand = demand,
                              .capacity = grid->capacity};
    return 0;
}

/* What a part pays in an app that is at each of the sites. */
static void gather(const struct dual *dual, int part, const int *ends, int count, double *least)
{
    const struct grid *grid = dual->grid;
    size_t sites = (size_t)grid->sites;
    for (size_t site = 0; site < sites; site++) {
        least[site] = INFINITY;
    }
    for (int cell = 0; cell < grid_cells(grid, part); cell++) {
        int site = grid_site(grid, part, cell);
        least[site] = fmin(least[site], beside(dual, part, cell, site, ends, count));
    }
    for (size_t site = 0; site < sites; site++) {
        double away = INFINITY;
        for (int cell = 0; least[site] == INFINITY && cell < grid_cells(grid, part); cell++) {
            away = fmin(away, beside(dual, part, cell, (int)site, ends, count));
        }
        least[site] = fmin(least[site], away);
    }
}

/* Costs above the least one in so many bits; what one of them is worth. */
static int64_t scale(const double *sum, size_t sites, uint32_t *cost)
{
    double low = INFINITY;
    double high = 0;
    for (size_t site = 0; site < sites; site++) {
        low = fmin(low, sum[site]);
    }
    for (size_t site = 0; site < sites; site++) {
        high = sum[site] < INFINITY ? fmax(high, sum[site] - low) : high;
    }
    double unit = fmin(ceil(high / COST_MOST) + 1, 1e18);
    for (size_t site = 0; site < sites; site++) {
        double more = (sum[site] - low) / unit;
        cost[site] = more < COST_MOST ? (uint32_t)more : GRID_CLOSED;
    }
    return (int64_t)unit;
}

/* Only what is proven of the whole grid is told. */
static bool tell(void *context, double bound, double best)
{
    struct cells *cells = context;
    const struct dual_options *options = cells->options;
    (void)bound;
    cells->ended =
        cells->ended || (options->progress != NULL &&
                         !options->progress(options->context, cells->result->bound, best));
    return !cells->ended;
}

/* What the prices prove. False: some app has no assignment. */
static bool judge(struct cells *cells)
{
    struct dual *dual = cells->dual;
    struct dual_result *result = cells->result;
    size_t count = grid_first(dual->grid, dual->grid->parts);
    for (size_t i = 0; i < count; i++) {
        cells->near_cost[i] = INFINITY;
    }
    dual->near_cost = cells->near_cost;
    struct dual_least least;
    dual_least_run(dual, cells->price, cells->choice, NULL, &least);
    dual->near_cost = NULL;
    if (least.stuck >= 0) {
        result->possible = false;
        result->part = least.stuck;
        return false;
    }
    if (least.bound > result->bound) {
        result->bound = least.bound;
        result->fits = least.bound <= dual->dearest;
        memcpy(result->price, cells->price, dual->rows * sizeof(double));
        memcpy(result->choice, cells->choice, (size_t)dual->grid->parts * sizeof(int));
    }
    return true;
}

void dual_cells_keep(struct dual_app_run *run, double *near_cost)
{
    const struct dual_tree *tree = run->tree;
    const struct grid *grid = run->dual->grid;
    int from = tree->first[run->app];
    int last = tree->first[run->app + 1] - 1;
    int other[OTHERS];
    double dearer[OTHERS];
    int others = 0;
    double least = dual_app_sum(run, last);
    for (int c = 0; c < grid_cells(grid, tree->step[last].part); c++) {
        double more = run->sum[c] - least;
        int at = others < OTHERS ? others++ : OTHERS;
        if (at == OTHERS && !(more < dearer[OTHERS - 1])) {
            continue;
        }
        for (at = at == OTHERS ? OTHERS - 1 : at; at > 0 && more < dearer[at - 1]; at--) {
            dearer[at] = dearer[at - 1];
            other[at] = other[at - 1];
        }
        dearer[at] = more;
        other[at] = c;
    }
    for (int i = 0; i < others && dearer[i] < INFINITY; i++) {
        for (int index = last; index >= from; index--) {
            int part = tree->step[index].part;
            size_t first = grid_first(grid, part);
            double own = dual_app_sum(run, index);
            int best = 0;
            for (int c = 0; c < grid_cells(grid, part); c++) {
                double more = dearer[i] + (run->sum[c] - own);
                best = run->sum[c] < run->sum[best] ? c : best;
                if (index < last && more < near_cost[first + (size_t)c]) {
                    near_cost[first + (size_t)c] = more;
                }
            }
            best = index == last ? other[i] : best;
            run->cell[index - from] = best;
            if (index == last) {
                near_cost[first + (size_t)best] = dearer[i];
            }
        }
    }
}

/* Of each linked part the `count` cells that are nearest to an app's best; single parts keep all.
 * Returns how many were not kept before. */
static int keep_best(struct cells *cells, int count)
{
    int added = 0;
    const struct grid *grid = cells->dual->grid;
    const struct dual_tree *tree = cells->dual->tree;
    for (int i = 0; i < tree->singles; i++) {
        int part = tree->single != NULL ? tree->single[i] : i;
        for (int c = 0; c < grid_cells(grid, part); c++) {
            bool *kept = &cells->kept[grid_first(grid, part) + (size_t)c];
            added += !*kept;
            *kept = true;
        }
    }
    for (int index = 0; index < tree->first[tree->apps]; index++) {
        int part = tree->step[index].part;
        size_t first = grid_first(grid, part);
        double *near = cells->near_cost + first;
        for (int i = 0; i < count && tree->step[index].own; i++) {
            int best = 0;
            for (int c = 1; c < grid_cells(grid, part); c++) {
                best = near[c] < near[best] ? c : best;
            }
            if (!(near[best] < INFINITY)) {
                break;
            }
            added += !cells->kept[first + (size_t)best];
            cells->kept[first + (size_t)best] = true;
            near[best] = INFINITY;
        }
    }
    return added;
}

/* The grid of the cells that are kept. */
static int shrink(const struct cells *cells, struct arena *arena, struct grid *grid,
                  int **ret_cell_of, struct error *err)
{
    const struct grid *whole = cells->dual->grid;
    size_t resources = (size_t)whole->resources;
    size_t count = 0;
    for (size_t i = 0; i < grid_first(whole, whole->parts); i++) {
        count += cells->kept[i];
    }
    size_t *first = arena_array(arena, (size_t)whole->parts + 1, sizeof(size_t));
    uint16_t *site = arena_array(arena, count + 1, sizeof(uint16_t));
    int *cell_of = arena_array(arena, count + 1, sizeof(int));
    uint32_t *cost = arena_array(arena, count + 1, sizeof(uint32_t));
    size_t own = whole->cell_demand != NULL ? count * resources + 1 : 1;
    int32_t *demand = arena_array(arena, own, sizeof(int32_t));
    if (first == NULL || site == NULL || cost == NULL || demand == NULL || cell_of == NULL) {
        return dual_no_memory(err);
    }
    size_t to = 0;
    for (int part = 0; part < whole->parts; part++) {
        first[part] = to;
        for (int c = 0; c < grid_cells(whole, part); c++) {
            if (!cells->kept[grid_first(whole, part) + (size_t)c]) {
                continue;
            }
            cell_of[to] = c;
            site[to] = (uint16_t)grid_site(whole, part, c);
            cost[to] = grid_cost_raw(whole, part, c);
            for (size_t r = 0; whole->cell_demand != NULL && r < resources; r++) {
                demand[to * resources + r] = grid_demand(whole, part, c)[r];
            }
            to++;
        }
    }
    first[whole->parts] = to;
    grid->first = first;
    grid->site = site;
    grid->cost = cost;
    grid->cell_demand = whole->cell_demand != NULL ? demand : NULL;
    grid->current = NULL;
    *ret_cell_of = cell_of;
    return 0;
}

bool dual_cells_few(struct dual *dual, const double *price, int count, struct arena *arena,
                    struct grid *ret_few, int **ret_cell_of)
{
    size_t all = grid_first(dual->grid, dual->grid->parts);
    struct dual_result none = {.bound = INFINITY};
    struct cells cells = {.dual = dual, .result = &none};
    cells.near_cost = arena_array(arena, all, sizeof(double));
    cells.kept = arena_array(arena, all, sizeof(bool));
    cells.choice = arena_array(arena, (size_t)dual->grid->parts + 1, sizeof(int));
    cells.price = arena_copy(arena, price, dual->rows * sizeof(double));
    if (cells.near_cost == NULL || cells.kept == NULL || cells.choice == NULL ||
        cells.price == NULL || !judge(&cells)) {
        return false;
    }
    (void)keep_best(&cells, count);
    struct error err = {0};
    struct grid few = *dual->grid;
    bool done = shrink(&cells, arena, &few, ret_cell_of, &err) == 0;
    *ret_few = few;
    return done;
}

/* The best prices of the smaller grid, from where they are. */
static int climb(struct cells *cells, const struct grid *few, struct error *err)
{
    struct dual *dual = cells->dual;
    struct dual inner;
    struct dual_result result = {.possible = true, .part = -1, .fits = true};
    result.price = cells->price;
    result.choice = cells->choice;
    memcpy(cells->price, cells->result->price, dual->rows * sizeof(double));
    struct dual_options options = {.sweeps_max = SWEEPS_FEW,
                                   .work_max = cells->options->work_max,
                                   .gap = cells->options->gap / 2,
                                   .start = cells->price,
                                   .progress = tell,
                                   .context = cells};
    int rc = dual_begin(few, cells->options->threads, &dual->work, &inner, err);
    rc = rc == 0 ? dual_scale_init(&inner, err) : rc;
    rc = rc == 0 ? dual_climb(&inner, &options, &result, err) : rc;
    if (rc == 0 && result.possible) {
        cells->hoped = fmin(cells->hoped, result.bound);
        cells->result->undecided = result.undecided;
        dual->sweeps += inner.sweeps * inner.tree->work / dual->tree->work;
    }
    dual_end(&inner, &dual->work);
    return rc;
}
