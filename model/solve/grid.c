#include "model/solve/grid.h"

#define COST_MAX ((__int128)1 << 62)

static int check_sizes(const struct grid *grid, struct error *err);
static int refuse_unit(const struct grid *grid, int part, struct error *err);
static int check_part(const struct grid *grid, int part, struct error *err);
static int check_tables(const struct grid *grid, struct error *err);
static int check_link(const struct grid *grid, int index, struct error *err);
static int check_rows(const struct grid *grid, struct error *err);
static int check_cost(const struct grid *grid, struct error *err);
static uint32_t dearest(const struct grid *grid, int part);

int grid_check(const struct grid *grid, struct error *err)
{
    int rc = check_sizes(grid, err);
    for (int part = 0; rc == 0 && part < grid->parts; part++) {
        rc = check_part(grid, part, err);
    }
    rc = rc == 0 ? check_tables(grid, err) : rc;
    for (int link = 0; rc == 0 && link < grid->links; link++) {
        rc = check_link(grid, link, err);
    }
    rc = rc == 0 ? check_rows(grid, err) : rc;
    return rc == 0 ? check_cost(grid, err) : rc;
}

int grid_check_costs(const struct grid *grid, struct error *err)
{
    for (int part = 0; grid->unit != NULL && part < grid->parts; part++) {
        if (grid->unit[part] <= 0) {
            return refuse_unit(grid, part, err);
        }
    }
    int rc = check_rows(grid, err);
    return rc == 0 ? check_cost(grid, err) : rc;
}

int64_t grid_cost_of(const struct grid *grid, const int *choice)
{
    int64_t cost = 0;
    for (int part = 0; part < grid->parts; part++) {
        cost += grid_cost(grid, part, choice[part]);
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        uint32_t value = grid_link_raw(grid, link, choice[link->a], choice[link->b]);
        cost += link->base + link->scale * (int64_t)value;
    }
    return cost;
}

void grid_load_of(const struct grid *grid, const int *choice, int64_t *load)
{
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    for (size_t row = 0; row < rows; row++) {
        load[row] = 0;
    }
    for (int part = 0; part < grid->parts; part++) {
        const int32_t *demand = grid_demand(grid, part, choice[part]);
        int64_t *at = load + (size_t)grid_site(grid, part, choice[part]) * (size_t)grid->resources;
        for (int r = 0; r < grid->resources; r++) {
            at[r] += demand[r];
        }
    }
}

int64_t grid_broken(const struct grid *grid, const int64_t *load, const int *choice)
{
    int64_t broken = 0;
    for (int part = 0; part < grid->parts; part++) {
        broken += grid_cost_raw(grid, part, choice[part]) == GRID_CLOSED;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        broken += grid_link_raw(grid, link, choice[link->a], choice[link->b]) == GRID_CLOSED;
    }
    for (size_t row = 0; row < (size_t)grid->sites * (size_t)grid->resources; row++) {
        broken += load[row] > grid->capacity[row];
    }
    return broken;
}

static int check_sizes(const struct grid *grid, struct error *err)
{
    if (grid->parts < 0 || grid->sites < 1 || grid->sites > GRID_SITES_MAX) {
        return error_set(err, ERR_INVALID, 0, "%d parts at %d sites: sites are 1 to %d",
                         grid->parts, grid->sites, GRID_SITES_MAX);
    }
    if (grid->resources < 0 || grid->resources > LIMIT_RESOURCES || grid->links < 0 ||
        grid->tables < 0) {
        return error_set(err, ERR_INVALID, 0,
                         "%d resources, %d links, %d tables: at most %d, and "
                         "none below 0",
                         grid->resources, grid->links, grid->tables, LIMIT_RESOURCES);
    }
    if ((grid->first == NULL) != (grid->site == NULL)) {
        return error_set(err, ERR_INVALID, 0,
                         "a grid names its cells' sites exactly when it says where each part's "
                         "cells begin");
    }
    return 0;
}

static int refuse_unit(const struct grid *grid, int part, struct error *err)
{
    return error_set(err, ERR_INVALID, 0, "the unit of part %d is %lld, not positive", part,
                     (long long)grid->unit[part]);
}

static int check_part(const struct grid *grid, int part, struct error *err)
{
    if (grid->first != NULL && (grid->first[part + 1] <= grid->first[part] ||
                                grid->first[part + 1] - grid->first[part] > INT32_MAX)) {
        return error_set(err, ERR_INVALID, 0, "part %d has no cells, or too many", part);
    }
    int cells = grid_cells(grid, part);
    if (grid->unit != NULL && grid->unit[part] <= 0) {
        return refuse_unit(grid, part, err);
    }
    if (grid->current != NULL && (grid->current[part] < -1 || grid->current[part] >= cells)) {
        return error_set(err, ERR_INVALID, 0, "part %d is at cell %d of %d", part,
                         grid->current[part], cells);
    }
    int demands = grid->cell_demand != NULL ? cells : 1;
    for (int cell = 0; cell < cells; cell++) {
        if (grid_site(grid, part, cell) >= grid->sites) {
            return error_set(err, ERR_INVALID, 0, "cell %d of part %d is at site %d of %d", cell,
                             part, grid_site(grid, part, cell), grid->sites);
        }
        for (int r = 0; cell < demands && r < grid->resources; r++) {
            if (grid_demand(grid, part, cell)[r] < 0) {
                return error_set(err, ERR_INVALID, 0, "part %d demands less than nothing", part);
            }
        }
    }
    return 0;
}

static int check_tables(const struct grid *grid, struct error *err)
{
    for (int i = 0; i < grid->tables; i++) {
        const struct grid_table *table = &grid->table[i];
        bool square = table->rows == grid->sites && table->columns == grid->sites;
        if (table->rows < 1 || table->columns < 1 || (table->by_site && !square)) {
            return error_set(err, ERR_INVALID, 0, "table %d is %d x %d", i, table->rows,
                             table->columns);
        }
    }
    return 0;
}

static int check_link(const struct grid *grid, int index, struct error *err)
{
    const struct grid_link *link = &grid->link[index];
    if (link->a < 0 || link->b < 0 || link->a >= grid->parts || link->b >= grid->parts ||
        link->a == link->b || link->table < 0 || link->table >= grid->tables) {
        return error_set(err, ERR_INVALID, 0, "link %d joins parts %d and %d with table %d", index,
                         link->a, link->b, link->table);
    }
    const struct grid_table *table = &grid->table[link->table];
    if (!table->by_site &&
        (table->rows != grid_cells(grid, link->a) || table->columns != grid_cells(grid, link->b))) {
        return error_set(err, ERR_INVALID, 0, "link %d: its table is not that of its parts' cells",
                         index);
    }
    return 0;
}

/* No sum of demands leaves 62 bits: checked with the largest demand of each part. */
static int check_rows(const struct grid *grid, struct error *err)
{
    for (size_t row = 0; row < (size_t)grid->sites * (size_t)grid->resources; row++) {
        if (grid->capacity[row] < 0) {
            return error_set(err, ERR_INVALID, 0, "the capacity of row %zu is negative", row);
        }
    }
    return 0; /* 2^31 parts of 2^31 each stay below 2^62 */
}

/* The sum of the largest magnitudes stays below 2^62. */
static int check_cost(const struct grid *grid, struct error *err)
{
    __int128 sum = 0;
    for (int part = 0; part < grid->parts && sum < COST_MAX; part++) {
        __int128 base = grid->base != NULL ? grid->base[part] : 0;
        __int128 unit = grid->unit != NULL ? grid->unit[part] : 1;
        sum += (base < 0 ? -base : base) + unit * dearest(grid, part);
    }
    for (int i = 0; i < grid->links && sum < COST_MAX; i++) {
        __int128 base = grid->link[i].base;
        __int128 scale = grid->link[i].scale;
        sum += (base < 0 ? -base : base) + (scale < 0 ? -scale : scale) * (GRID_CLOSED - 1);
    }
    if (sum >= COST_MAX) {
        return error_set(err, ERR_OVERFLOW, 0,
                         "the costs of an assignment may sum to 2^62 or more; use a larger unit");
    }
    return 0;
}

static uint32_t dearest(const struct grid *grid, int part)
{
    uint32_t most = 0;
    int cells = grid_cells(grid, part);
    for (int cell = 0; cell < cells; cell++) {
        uint32_t cost = grid_cost_raw(grid, part, cell);
        most = cost != GRID_CLOSED && cost > most ? cost : most;
    }
    return most;
}
