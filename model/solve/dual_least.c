/* L(price), exactly but for rounding, and the rounding proven: the certificate. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "model/solve/dual_cells.h"
#include "model/solve/dual_near.h"
#include "model/solve/dual_tree.h"

struct least_run {
    struct dual *dual;
    int *choice;
    float *ratio;
};

static void least_lane(void *context, int lane);
static void least_single(const struct least_run *run, struct dual_lane *lane, int index);
static void least_app(const struct least_run *run, struct dual_lane *lane, int app);
static void take(const struct least_run *run, struct dual_lane *lane, int part, int cell);
static bool app_lane_init(struct dual *dual, struct dual_lane *lane);
static double least_of(const struct dual *dual, size_t cells, double *value);
static double bound_of(const struct dual *dual, const double *price, double least, __int128 base);

int dual_least_init(struct dual *dual, struct error *err)
{
    const struct grid *grid = dual->grid;
    size_t cells = ((size_t)dual->cells_max + DUAL_PAD) / DUAL_PAD * DUAL_PAD + DUAL_PAD;
    dual->by = arena_array(&dual->work, dual->stride * (size_t)grid->resources + 1, sizeof(double));
    bool full = dual->by == NULL;
    for (int lane = 0; lane < DUAL_LANES && !full; lane++) {
        dual->lane[lane].value = arena_array(&dual->work, cells, sizeof(double));
        dual->lane[lane].load = arena_array(&dual->work, dual->rows + 1, sizeof(int64_t));
        full = dual->lane[lane].value == NULL || dual->lane[lane].load == NULL ||
               !app_lane_init(dual, &dual->lane[lane]);
    }
    return full ? dual_no_memory(err) : 0;
}

void dual_least_run(struct dual *dual, const double *price, int *choice, float *ratio,
                    struct dual_least *ret_least)
{
    struct least_run run = {dual, choice, ratio};
    dual_turn(dual, price);
    dual_pool_run(dual->pool, least_lane, &run);
    dual->sweeps += 1;
    struct dual_sum least = {0};
    __int128 base = dual->tree->base;
    int64_t *load = dual->lane[0].load;
    ret_least->stuck = -1;
    for (int i = 0; i < DUAL_LANES; i++) {
        const struct dual_lane *lane = &dual->lane[i];
        dual_add(&least, lane->least.sum);
        dual_add(&least, lane->least.lost);
        base += lane->base;
        for (size_t row = 0; i > 0 && row < dual->rows; row++) {
            load[row] += lane->load[row];
        }
        if (ret_least->stuck < 0) {
            ret_least->stuck = lane->stuck;
        }
    }
    ret_least->load = load;
    ret_least->bound = bound_of(dual, price, least.sum + least.lost, base);
}

void dual_turn(struct dual *dual, const double *price)
{
    const struct grid *grid = dual->grid;
    for (int site = 0; site < grid->sites; site++) {
        for (int r = 0; r < grid->resources; r++) {
            dual->by[(size_t)r * dual->stride + (size_t)site] =
                price[(size_t)site * (size_t)grid->resources + (size_t)r];
        }
    }
}

/* All terms of `least` are sums of products >= 0: each is off by its operations' rounding at most,
 * relatively, whatever their order, and so is a minimum of them. */
static double bound_of(const struct dual *dual, const double *price, double least, __int128 base)
{
    const struct grid *grid = dual->grid;
    struct dual_sum paid = {0};
    for (size_t row = 0; row < dual->rows; row++) {
        dual_add(&paid, price[row] * (double)grid->capacity[row]);
    }
    double capacity = paid.sum + paid.lost;
    double steps = grid->resources + 3 + dual->tree->rounding;
    double off = (steps + 6) * least + 4 * fabs((double)base) + 8 * capacity;
    double margin = DUAL_ROUND * 1.01 * off + DBL_MIN;
    return least + (double)base - capacity - margin;
}

static void least_lane(void *context, int index)
{
    struct least_run *run = context;
    struct dual *dual = run->dual;
    struct dual_lane *lane = &dual->lane[index];
    const struct dual_tree *tree = dual->tree;
    lane->least = (struct dual_sum){0};
    lane->base = 0;
    lane->stuck = -1;
    for (size_t row = 0; row < dual->rows; row++) {
        lane->load[row] = 0;
    }
    int from = (int)dual_lane_from((size_t)tree->singles, index);
    int to = (int)dual_lane_from((size_t)tree->singles, index + 1);
    for (int i = from; i < to; i++) {
        least_single(run, lane, i);
    }
    from = (int)dual_lane_from((size_t)tree->apps, index);
    to = (int)dual_lane_from((size_t)tree->apps, index + 1);
    for (int app = from; app < to; app++) {
        least_app(run, lane, app);
    }
}

DUAL_INLINE double to_double(uint32_t cost)
{
    return (double)(int32_t)(cost ^ 0x80000000u) + 2147483648.0; /* exact, and vectors have it */
}

DUAL_INLINE double least_inline(size_t cells, double *value)
{
    double least[8];
    for (size_t k = 0; k < 8; k++) {
        value[cells + k] = INFINITY;
        least[k] = INFINITY;
    }
    for (size_t c = 0; c < cells; c += 8) {
        for (size_t k = 0; k < 8; k++) {
            least[k] = value[c + k] < least[k] ? value[c + k] : least[k];
        }
    }
    for (size_t half = 4; half > 0; half /= 2) {
        for (size_t k = 0; k < half; k++) {
            least[k] = least[k + half] < least[k] ? least[k + half] : least[k];
        }
    }
    return least[0];
}

/* Infinite for a closed cell, by its bits: a branch would be foreseen badly. */
DUAL_INLINE double or_closed(double own, uint32_t cost)
{
    const double far = INFINITY;
    uint64_t closed = 0 - (uint64_t)(cost == GRID_CLOSED);
    uint64_t bits;
    uint64_t infinite;
    memcpy(&bits, &own, sizeof(bits));
    memcpy(&infinite, &far, sizeof(infinite));
    bits = (bits & ~closed) | (infinite & closed);
    memcpy(&own, &bits, sizeof(own));
    return own;
}

/* Whole eights of cells: what is read past the part's is another part's. */
DUAL_INLINE void fill_eights(const uint32_t *restrict cost, double unit, const double *restrict by,
                             size_t stride, const int32_t *restrict demand, size_t resources,
                             size_t eights, double *restrict value)
{
    for (size_t c = 0; c < eights * 8; c++) {
        value[c] = or_closed(unit * to_double(cost[c]), cost[c]);
    }
    for (size_t r = 0; r < resources; r++) {
        double taken = demand[r];
        for (size_t c = 0; c < eights * 8; c++) {
            value[c] += by[r * stride + c] * taken;
        }
    }
}

/* What each cell of a part costs above its base at the prices `by`, and the least of it. */
DUAL_INLINE double fill_inline(const struct grid *grid, const double *by, size_t stride, int part,
                               double *value)
{
    size_t first = grid_first(grid, part);
    size_t cells = (size_t)grid_cells(grid, part);
    size_t resources = (size_t)grid->resources;
    const uint32_t *cost = grid->cost + first;
    double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
    if (grid->site == NULL && grid->cell_demand == NULL && grid->parts - part > 8) {
        const int32_t *demand = grid->demand + (size_t)part * resources;
        fill_eights(cost, unit, by, stride, demand, resources, (cells + 7) / 8, value);
        return least_inline(cells, value);
    }
    for (size_t c = 0; c < cells; c++) {
        double own = unit * to_double(cost[c]);
        value[c] = cost[c] == GRID_CLOSED ? INFINITY : own;
    }
    for (size_t r = 0; r < resources; r++) {
        const double *price = by + r * stride;
        if (grid->cell_demand != NULL) {
            for (size_t c = 0; c < cells; c++) {
                size_t site = grid->site != NULL ? grid->site[first + c] : c;
                value[c] += price[site] * grid->cell_demand[(first + c) * resources + r];
            }
        } else if (grid->site != NULL) {
            double demand = grid->demand[(size_t)part * resources + r];
            for (size_t c = 0; c < cells; c++) {
                value[c] += price[grid->site[first + c]] * demand;
            }
        } else {
            double demand = grid->demand[(size_t)part * resources + r];
            for (size_t c = 0; c < cells; c++) {
                value[c] += price[c] * demand;
            }
        }
    }
    return least_inline(cells, value);
}

#if defined(DUAL_WIDE)
DUAL_WIDE static double least_wide(size_t cells, double *value)
{
    return least_inline(cells, value);
}

DUAL_WIDE static double fill_wide(const struct grid *grid, const double *by, size_t stride,
                                  int part, double *value)
{
    return fill_inline(grid, by, stride, part, value);
}
#endif

static double fill_plain(const struct grid *grid, const double *by, size_t stride, int part,
                         double *value)
{
    return fill_inline(grid, by, stride, part, value);
}

static double least_of(const struct dual *dual, size_t cells, double *value)
{
#if defined(DUAL_WIDE)
    if (dual->wide) {
        return least_wide(cells, value);
    }
#endif
    return least_inline(cells, value);
}

double dual_fill(const struct dual *dual, int part, double *value)
{
#if defined(DUAL_WIDE)
    if (dual->wide) {
        return fill_wide(dual->grid, dual->by, dual->stride, part, value);
    }
#endif
    return fill_plain(dual->grid, dual->by, dual->stride, part, value);
}

static void least_single(const struct least_run *run, struct dual_lane *lane, int index)
{
    const struct dual *dual = run->dual;
    const struct grid *grid = dual->grid;
    int part = dual->tree->single != NULL ? dual->tree->single[index] : index;
    double least = dual_fill(dual, part, lane->value);
    if (least == INFINITY) {
        lane->stuck = lane->stuck < 0 ? part : lane->stuck;
        if (run->choice != NULL) {
            run->choice[part] = 0;
        }
        return;
    }
    int current = grid->current != NULL ? grid->current[part] : -1;
    int cell = 0;
    if (current >= 0 && lane->value[current] <= least) {
        cell = current; /* wins ties */
    } else {
        while (lane->value[cell] > least) {
            cell++;
        }
    }
    dual_add(&lane->least, least);
    take(run, lane, part, cell);
    if (run->ratio != NULL) {
        lane->value[cell] = INFINITY;
        double second = least_of(dual, (size_t)grid_cells(grid, part), lane->value);
        run->ratio[index] = dual_ratio(dual, part, second - least);
    }
}

static void take(const struct least_run *run, struct dual_lane *lane, int part, int cell)
{
    const struct grid *grid = run->dual->grid;
    lane->base += grid->base != NULL ? grid->base[part] : 0;
    const int32_t *demand = grid_demand(grid, part, cell);
    int64_t *load = lane->load + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
    for (int r = 0; r < grid->resources; r++) {
        load[r] += demand[r];
    }
    if (run->choice != NULL) {
        run->choice[part] = cell;
    }
}

static void least_app(const struct least_run *run, struct dual_lane *lane, int app)
{
    struct dual *dual = run->dual;
    const struct dual_tree *tree = dual->tree;
    struct dual_app_run at = {.dual = dual,
                              .tree = tree,
                              .app = app,
                              .scratch = lane->scratch,
                              .sum = lane->sum,
                              .row = lane->row,
                              .cell = lane->cell};
    double least = tree->copied[app] ? dual_app_least_divided(&at) : dual_app_least(&at);
    int first = tree->first[app];
    if (!(least < INFINITY)) {
        lane->stuck = lane->stuck < 0 ? tree->step[first].part : lane->stuck;
        for (int i = first; i < tree->first[app + 1] && run->choice != NULL; i++) {
            run->choice[tree->step[i].part] = 0;
        }
        return;
    }
    dual_add(&lane->least, least);
    dual_app_choose(&at, run->ratio != NULL ? &run->ratio[tree->singles + app] : NULL);
    for (int i = first; i < tree->first[app + 1]; i++) {
        if (tree->step[i].own) {
            take(run, lane, tree->step[i].part, lane->cell[i - first]);
        }
    }
    if (dual->near_cost != NULL) {
        dual_cells_keep(&at, dual->near_cost);
    }
}

static bool app_lane_init(struct dual *dual, struct dual_lane *lane)
{
    const struct dual_tree *tree = dual->tree;
    size_t cells = (size_t)tree->near_cells + 1;
    lane->scratch = arena_array(&dual->work, tree->scratch + DUAL_PAD, sizeof(double));
    lane->sum = arena_array(&dual->work, cells, sizeof(double));
    lane->row = arena_array(&dual->work, cells, sizeof(double));
    lane->cell = arena_array(&dual->work, (size_t)tree->app_parts_max + 1, sizeof(int));
    return lane->scratch != NULL && lane->sum != NULL && lane->row != NULL && lane->cell != NULL;
}
