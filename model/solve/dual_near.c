/* What is left of a grid near some prices: the parts that a small change of them turns. */
#include <math.h>
#include <string.h>

#include "model/solve/dual_condense.h"
#include "model/solve/dual_near.h"

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
    return most;
}

float dual_ratio(const struct dual *dual, int part, double gap)
{
    double ratio = gap / dual->unit / fmax(2 * size_of(dual, part), 1e-30);
    return ratio < 1e30 ? (float)ratio : 1e30f;
}

static int count_near(const float *ratio, int units, double reach)
{
    int count = 0;
    for (int i = 0; i < units; i++) {
        count += (double)ratio[i] < reach;
    }
    return count;
}

/* Cells of a part that may become its best inside the box: columns. */
static int columns_of(const struct dual *dual, int part, double reach, double *value,
                      double *ret_least, double *ret_most)
{
    double least = dual_fill(dual, part, value);
    double most = 2 * reach * size_of(dual, part) * dual->unit;
    int count = 0;
    for (int c = 0; c < grid_cells(dual->grid, part); c++) {
        count += value[c] < INFINITY && value[c] - least <= most;
    }
    *ret_least = least;
    *ret_most = most;
    return count;
}

static void add_part(const struct dual *dual, int part, const double *value, double least,
                     double most, struct dual_condensed *to)
{
    const struct grid *grid = dual->grid;
    to->unit[to->units] = part;
    for (int c = 0; c < grid_cells(grid, part); c++) {
        if (!(value[c] < INFINITY && value[c] - least <= most)) {
            continue;
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
    to->first[++to->units] = to->columns;
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

int dual_near(struct dual *dual, const double *scaled, const int *choice, const float *ratio,
              int64_t *load, int most, struct arena *arena, struct dual_condensed *ret_condensed,
              struct error *err)
{
    const struct grid *grid = dual->grid;
    struct dual_condensed to = {.reach = dual_reach(ratio, grid->parts, most)};
    double *value = dual->lane[0].value;
    double least;
    double limit;
    int columns = 0;
    for (int part = 0; part < grid->parts; part++) {
        if ((double)ratio[part] < to.reach) {
            columns += columns_of(dual, part, to.reach, value, &least, &limit);
        }
    }
    double reach = to.reach;
    if (dual_condensed_init(&to, dual->n, count_near(ratio, grid->parts, reach), columns,
                            columns * grid->resources, arena, err) < 0) {
        return dual_no_memory(err);
    }
    for (int part = 0; part < grid->parts; part++) {
        if (!((double)ratio[part] < reach)) {
            continue;
        }
        (void)columns_of(dual, part, reach, value, &least, &limit);
        add_part(dual, part, value, least, limit, &to);
        const int32_t *demand = grid_demand(grid, part, choice[part]);
        size_t site = (size_t)grid_site(grid, part, choice[part]);
        for (int r = 0; r < grid->resources; r++) {
            load[site * (size_t)grid->resources + (size_t)r] -= demand[r];
        }
    }
    room_of(dual, load, to.room);
    dual_condensed_box(dual, scaled, &to);
    *ret_condensed = to;
    return 0;
}
