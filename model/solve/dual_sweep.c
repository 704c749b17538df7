/* The smoothed dual over a sample of the grid's parts, in single precision: least sums softened at
 * a temperature, each part's shares of its cells, and from them loads and curvature. */
#include <math.h>
#include <string.h>

#include "model/solve/dual_exp.h"
#include "model/solve/dual_soft.h"

/* A share below this is none. */
#define SHARE_MIN 1e-6f
#define FAR       1e30f

struct sweep_run {
    struct dual *dual;
    int step;
    float heat;
};

static void sweep_lane(void *context, int lane);
static void sweep_part(const struct dual *dual, struct dual_lane *lane, int part, float heat);
static void add_part(const struct dual *dual, struct dual_lane *lane, int part, int kept,
                     double whole);

void dual_sweep(struct dual *dual, int step, const double *scaled, double heat,
                struct dual_point *ret_point)
{
    const struct grid *grid = dual->grid;
    for (int r = 0; r < grid->resources; r++) {
        for (int slot = 0; slot < dual->slots; slot++) {
            dual->soft_by[(size_t)r * dual->stride + (size_t)dual->site_of[slot]] =
                (float)scaled[slot * grid->resources + r];
        }
    }
    struct sweep_run run = {dual, step, (float)heat};
    dual_pool_run(dual->pool, sweep_lane, &run);
    dual->sweeps += 1.0 / step;
    dual_reduce(dual, ret_point);
}

void dual_point_clear(struct dual_point *point, size_t n)
{
    point->soft = 0;
    point->hard = 0;
    point->undecided = 0;
    memset(point->load, 0, n * sizeof(double));
    memset(point->curve, 0, (point->dense ? n * n : n) * sizeof(double));
}

void dual_reduce(struct dual *dual, struct dual_point *ret_point)
{
    struct dual_point *to = &dual->lane[0].point;
    for (int i = 1; i < dual->lanes; i++) {
        const struct dual_point *from = &dual->lane[i].point;
        to->soft += from->soft;
        to->hard += from->hard;
        to->undecided += from->undecided;
        for (size_t k = 0; k < dual->n; k++) {
            to->load[k] += from->load[k];
        }
        for (size_t k = 0; k < (to->dense ? dual->n * dual->n : dual->n); k++) {
            to->curve[k] += from->curve[k];
        }
    }
    *ret_point = *to;
}

static void sweep_lane(void *context, int index)
{
    struct sweep_run *run = context;
    struct dual *dual = run->dual;
    if (index >= dual->lanes) {
        return;
    }
    struct dual_lane *lane = &dual->lane[index];
    dual_point_clear(&lane->point, dual->n);
    const struct dual_tree *tree = dual->tree;
    int64_t count = (tree->singles + run->step - 1) / run->step;
    int64_t from = count * index / dual->lanes;
    int64_t to = count * (index + 1) / dual->lanes;
    for (int64_t i = from; i < to; i++) {
        int64_t at = i * run->step;
        sweep_part(dual, lane, tree->single != NULL ? tree->single[at] : (int)at, run->heat);
    }
    count = (tree->apps + run->step - 1) / run->step;
    from = count * index / dual->lanes;
    to = count * (index + 1) / dual->lanes;
    for (int64_t i = from; i < to; i++) {
        dual_soft_app(dual, lane, (int)(i * run->step), run->heat);
    }
}

/* Correctly rounded, and vectors have it: both halves are exact. */
DUAL_INLINE float to_float(uint32_t value)
{
    return (float)(int32_t)(value >> 16) * 65536.0f + (float)(int32_t)(value & 0xffffu);
}

/* FAR for a closed cell, by its bits: a branch would be foreseen badly. */
DUAL_INLINE float or_far(float own, uint32_t cost)
{
    const float far = FAR;
    uint32_t closed = 0 - (uint32_t)(cost == GRID_CLOSED);
    uint32_t bits;
    uint32_t far_bits;
    memcpy(&bits, &own, sizeof(bits));
    memcpy(&far_bits, &far, sizeof(far_bits));
    bits = (bits & ~closed) | (far_bits & closed);
    memcpy(&own, &bits, sizeof(own));
    return own;
}

/* Each cell's scaled cost above the part's least at no prices, and the least of it. */
DUAL_INLINE float fill_soft(const struct dual *dual, int part, float *value)
{
    const struct grid *grid = dual->grid;
    size_t first = grid_first(grid, part);
    size_t cells = (size_t)grid_cells(grid, part);
    size_t resources = (size_t)grid->resources;
    const uint32_t *cost = grid->cost + first;
    uint32_t low = dual->low[part];
    float unit = (float)((grid->unit != NULL ? (double)grid->unit[part] : 1) / dual->unit);
    for (size_t c = 0; c < cells; c++) {
        value[c] = or_far(unit * to_float(cost[c] - low), cost[c]);
    }
    for (size_t r = 0; r < resources; r++) {
        const float *price = dual->soft_by + r * dual->stride;
        float mean = (float)(1 / dual->mean[r]);
        if (grid->cell_demand != NULL) {
            for (size_t c = 0; c < cells; c++) {
                size_t site = grid->site != NULL ? grid->site[first + c] : c;
                value[c] +=
                    price[site] * ((float)grid->cell_demand[(first + c) * resources + r] * mean);
            }
            continue;
        }
        float demand = (float)grid->demand[(size_t)part * resources + r] * mean;
        for (size_t c = 0; grid->site != NULL && c < cells; c++) {
            value[c] += price[grid->site[first + c]] * demand;
        }
        for (size_t c = 0; grid->site == NULL && c < cells; c++) {
            value[c] += price[c] * demand;
        }
    }
    float least[DUAL_PAD];
    for (size_t k = 0; k < DUAL_PAD; k++) {
        value[cells + k] = FAR;
        least[k] = FAR;
    }
    for (size_t c = 0; c < cells; c += DUAL_PAD) {
        for (size_t k = 0; k < DUAL_PAD; k++) {
            least[k] = value[c + k] < least[k] ? value[c + k] : least[k];
        }
    }
    for (size_t k = 1; k < DUAL_PAD; k++) {
        least[0] = least[k] < least[0] ? least[k] : least[0];
    }
    return least[0];
}

/* Leaves in value[] each cell's share, not yet divided by the sum, which *ret_whole is; kept[] are
 * the cells that have one. */
DUAL_INLINE int soften(const struct dual *dual, int part, float heat, float *value, int *kept,
                       float *ret_least, double *ret_whole)
{
    size_t cells = (size_t)grid_cells(dual->grid, part);
    float least = fill_soft(dual, part, value);
    float cold = 1.0f / heat;
    int count = 0;
    double whole = 0;
    for (size_t c = 0; c < cells; c += DUAL_PAD) {
        float share[DUAL_PAD];
        for (size_t k = 0; k < DUAL_PAD; k++) {
            share[k] = dual_exp((least - value[c + k]) * cold);
        }
        float sum[4] = {0};
        for (size_t k = 0; k < DUAL_PAD; k++) {
            sum[k % 4] += share[k];
        }
        if (sum[0] + sum[1] + sum[2] + sum[3] < SHARE_MIN) {
            continue;
        }
        for (size_t k = 0; k < DUAL_PAD; k++) {
            value[c + k] = share[k];
            if (share[k] >= SHARE_MIN) {
                whole += share[k];
                kept[count++] = (int)(c + k);
            }
        }
    }
    *ret_least = least;
    *ret_whole = whole;
    return count;
}

#if defined(DUAL_WIDE)
DUAL_WIDE static float fill_wide(const struct dual *dual, int part, float *value)
{
    return fill_soft(dual, part, value);
}
#endif

float dual_soft_fill(const struct dual *dual, int part, float *value)
{
#if defined(DUAL_WIDE)
    if (dual->wide) {
        return fill_wide(dual, part, value);
    }
#endif
    return fill_soft(dual, part, value);
}

#if defined(DUAL_WIDE)
DUAL_WIDE static int soften_wide(const struct dual *dual, int part, float heat, float *value,
                                 int *kept, float *ret_least, double *ret_whole)
{
    return soften(dual, part, heat, value, kept, ret_least, ret_whole);
}
#endif

static int soften_plain(const struct dual *dual, int part, float heat, float *value, int *kept,
                        float *ret_least, double *ret_whole)
{
    return soften(dual, part, heat, value, kept, ret_least, ret_whole);
}

static void sweep_part(const struct dual *dual, struct dual_lane *lane, int part, float heat)
{
    float least;
    double whole;
    int kept;
#if defined(DUAL_WIDE)
    if (dual->wide) {
        kept = soften_wide(dual, part, heat, lane->soft, lane->kept, &least, &whole);
    } else
#endif
    {
        kept = soften_plain(dual, part, heat, lane->soft, lane->kept, &least, &whole);
    }
    lane->point.hard += (double)least;
    lane->point.soft += (double)least - (double)heat * log(whole);
    add_part(dual, lane, part, kept, whole);
}

/* Loads, and the curvature: the covariance of the part's load under its shares. */
static void add_part(const struct dual *dual, struct dual_lane *lane, int part, int kept,
                     double whole)
{
    const struct grid *grid = dual->grid;
    size_t resources = (size_t)grid->resources;
    struct dual_point *point = &lane->point;
    double squares = 0;
    for (int i = 0; i < kept; i++) {
        int slot = dual->slot_of[grid_site(grid, part, lane->kept[i])];
        const int32_t *demand = grid_demand(grid, part, lane->kept[i]);
        double share = (double)lane->soft[lane->kept[i]] / whole;
        double taken[LIMIT_RESOURCES];
        squares += share * share;
        lane->value[i] = share;
        for (size_t r = 0; slot >= 0 && r < resources; r++) {
            taken[r] = share * demand[r] / dual->mean[r];
            point->load[(size_t)slot * resources + r] += taken[r];
        }
        for (size_t r = 0; slot >= 0 && !point->dense && r < resources; r++) {
            point->curve[(size_t)slot * resources + r] +=
                taken[r] * (demand[r] / dual->mean[r]) * (1 - share);
        }
        if (slot < 0 || !point->dense || kept == 1) {
            continue;
        }
        for (size_t r = 0; r < resources; r++) {
            double *row = point->curve + ((size_t)slot * resources + r) * dual->n;
            for (size_t s = 0; s <= r; s++) {
                row[(size_t)slot * resources + s] +=
                    taken[r] * (demand[s] / dual->mean[s]) * (1 - share);
            }
        }
        for (int j = 0; j < i; j++) {
            int other = dual->slot_of[grid_site(grid, part, lane->kept[j])];
            const int32_t *theirs = grid_demand(grid, part, lane->kept[j]);
            for (size_t r = 0; other >= 0 && r < resources; r++) {
                for (size_t s = 0; s < resources; s++) {
                    size_t a = (size_t)slot * resources + r;
                    size_t b = (size_t)other * resources + s;
                    size_t at = a >= b ? a * dual->n + b : b * dual->n + a;
                    double both = taken[r] * lane->value[j] * (theirs[s] / dual->mean[s]);
                    /* Two cells of one site meet once from each side. */
                    point->curve[at] -= a == b ? 2 * both : both;
                }
            }
        }
    }
    point->undecided += 1 - squares;
}
