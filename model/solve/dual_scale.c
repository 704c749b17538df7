/* Units in which a placement problem's costs and demands are about 1, and the rows that matter. */
#include <math.h>

#include "model/solve/dual_tree.h"

/* Parts looked at for the mean spread of costs. */
#define SPREAD_PARTS 4096

static void lows_lane(void *context, int lane);
static void dearest_of(struct dual *dual);
static int slots_make(struct dual *dual, struct error *err);
static double spread_of(const struct dual *dual);

int dual_scale_init(struct dual *dual, struct error *err)
{
    const struct grid *grid = dual->grid;
    dual->low = arena_alloc_raw(&dual->work, ((size_t)grid->parts + 1) * sizeof(uint32_t));
    if (dual->low == NULL) {
        return dual_no_memory(err);
    }
    dual_pool_run(dual->pool, lows_lane, dual);
    dual->unit = spread_of(dual);
    dearest_of(dual);
    return slots_make(dual, err);
}

void dual_scale_in(const struct dual *dual, const double *price, double *scaled)
{
    int resources = dual->grid->resources;
    for (int slot = 0; slot < dual->slots; slot++) {
        for (int r = 0; r < resources; r++) {
            scaled[slot * resources + r] =
                price[dual->site_of[slot] * resources + r] * dual->mean[r] / dual->unit;
        }
    }
}

void dual_scale_out(const struct dual *dual, const double *scaled, double *price)
{
    int resources = dual->grid->resources;
    for (size_t row = 0; row < dual->rows; row++) {
        price[row] = 0;
    }
    for (int slot = 0; slot < dual->slots; slot++) {
        for (int r = 0; r < resources; r++) {
            price[dual->site_of[slot] * resources + r] =
                scaled[slot * resources + r] / dual->mean[r] * dual->unit;
        }
    }
}

static void lows_lane(void *context, int index)
{
    struct dual *dual = context;
    const struct grid *grid = dual->grid;
    int from = (int)dual_lane_from((size_t)grid->parts, index);
    int to = (int)dual_lane_from((size_t)grid->parts, index + 1);
    struct dual_lane *lane = &dual->lane[index];
    lane->dearest = 0;
    lane->spread = 0;
    for (int part = from; part < to; part++) {
        const uint32_t *cost = grid->cost + grid_first(grid, part);
        int cells = grid_cells(grid, part);
        uint32_t low = GRID_CLOSED;
        uint32_t high = 0;
        for (int c = 0; c < cells; c++) {
            uint32_t open = cost[c] == GRID_CLOSED ? 0 : cost[c];
            low = cost[c] < low ? cost[c] : low;
            high = open > high ? open : high;
        }
        double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
        lane->dearest += unit * high + (grid->base != NULL ? (double)grid->base[part] : 0);
        lane->spread += low < GRID_CLOSED ? unit * (high - low) : 0;
        dual->low[part] = low;
    }
}

/* Rounded up generously: what is above it is above every assignment. */
static void dearest_of(struct dual *dual)
{
    const struct grid *grid = dual->grid;
    double most = 0; /* the sum of magnitudes */
    for (int i = 0; i < DUAL_LANES; i++) {
        dual->dearest += dual->lane[i].dearest;
        dual->spread += dual->lane[i].spread;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        double pair = fabs((double)link->scale) * dual->tree->dearest[link->table];
        dual->dearest += (double)link->base + (link->scale > 0 ? pair : 0);
        dual->spread += pair;
        most += fabs((double)link->base) + pair;
    }
    for (int part = 0; part < grid->parts && grid->base != NULL; part++) {
        most += fabs((double)grid->base[part]);
    }
    dual->dearest += 1e-9 * (most + fabs(dual->dearest)) + 1;
    dual->spread /= dual->unit;
}

int32_t dual_most(const struct grid *grid, int part, int resource)
{
    int cells = grid->cell_demand != NULL ? grid_cells(grid, part) : 1;
    int32_t most = 0;
    for (int c = 0; c < cells; c++) {
        int32_t demand = grid_demand(grid, part, c)[resource];
        most = demand > most ? demand : most;
    }
    return most;
}

/* How much dearer than its least a part's mean cell is, on average. */
static double spread_of(const struct dual *dual)
{
    const struct grid *grid = dual->grid;
    double sum = 0;
    double count = 0;
    int step = grid->parts / SPREAD_PARTS + 1;
    for (int part = 0; part < grid->parts; part += step) {
        const uint32_t *cost = grid->cost + grid_first(grid, part);
        double unit = grid->unit != NULL ? (double)grid->unit[part] : 1;
        double own = 0;
        double open = 0;
        for (int c = 0; c < grid_cells(grid, part); c++) {
            bool is_open = cost[c] != GRID_CLOSED;
            own += is_open ? (double)(cost[c] - dual->low[part]) : 0;
            open += is_open;
        }
        sum += open > 0 ? unit * own / open : 0;
        count += 1;
    }
    return sum > 0 ? sum / count : 1;
}

/* A row is worth a price when all parts together could overload it. */
static int slots_make(struct dual *dual, struct error *err)
{
    const struct grid *grid = dual->grid;
    int resources = grid->resources;
    for (int part = 0; part < grid->parts; part++) {
        for (int r = 0; r < resources; r++) {
            dual->total[r] += dual_most(grid, part, r);
        }
    }
    dual->site_of = arena_array(&dual->work, (size_t)grid->sites, sizeof(int));
    dual->slot_of = arena_array(&dual->work, (size_t)grid->sites, sizeof(int));
    if (dual->site_of == NULL || dual->slot_of == NULL) {
        return dual_no_memory(err);
    }
    for (int site = 0; site < grid->sites; site++) {
        bool binds = false;
        for (int r = 0; r < resources; r++) {
            binds = binds || (double)grid->capacity[site * resources + r] < dual->total[r];
        }
        dual->slot_of[site] = binds ? dual->slots : -1;
        dual->site_of[dual->slots] = site;
        dual->slots += binds;
    }
    dual->n = (size_t)dual->slots * (size_t)resources;
    dual->room = arena_array(&dual->work, dual->n + 1, sizeof(double));
    if (dual->room == NULL) {
        return dual_no_memory(err);
    }
    for (int r = 0; r < resources; r++) {
        double total = dual->total[r];
        dual->mean[r] = total > 0 ? total / grid->parts : 1;
        for (int slot = 0; slot < dual->slots; slot++) {
            double room = (double)grid->capacity[dual->site_of[slot] * resources + r];
            dual->room[slot * resources + r] = room < total ? room / dual->mean[r] : INFINITY;
        }
        dual->total[r] = total / dual->mean[r];
    }
    return 0;
}
