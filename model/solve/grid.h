/*
 * grid: a placement problem in the form that the engine for large ones sweeps: integers in flat
 * arrays, four bytes a cell, so that a million parts at a hundred sites are 400 MB.
 *
 * Take one cell of every part; minimise the sum of the cells' and the links' costs; subject to
 * capacity on every row (site, resource). A cell is one choice of a part; several cells of one
 * part may be at one site. Everything is an integer, so a cost and a demand are exact in any
 * order of summation:
 *
 *   cost(part, cell)        base[part] + unit[part] * cost[first + cell]
 *   cost(link, cells)       scale * table[row of a's cell, column of b's cell]
 *   load(site, resource)    sum of demand over the parts whose cell is at the site, <= capacity
 *
 * Bounds: |cost| of a whole assignment < 2^62, a row's load < 2^62; grid_check proves it before
 * anything is computed. All arrays belong to whoever built the grid and do not change while it is
 * used; any number of threads may read it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/limits.h"

#define GRID_SITES_MAX 65535
#define GRID_CLOSED    UINT32_MAX /* a cell, or a pair of cells in a table, that may not be taken */

/* Costs of pairs of cells, shared by any number of links. */
struct grid_table {
    bool by_site; /* row and column are sites; else the cells of the two parts, from 0 */
    bool small;   /* said of none but those whose values are all below 2^31, none closed */
    int rows;
    int columns;
    const uint32_t *value; /* [row * columns + column] */
};

/* Two different parts whose costs depend on each other. At most one link per pair of parts. */
struct grid_link {
    int a;
    int b;
    int table;
    int64_t base;  /* cost = base + scale * value; a closed value forbids the pair of cells */
    int64_t scale; /* may be negative or 0 */
};

struct grid {
    int parts;
    int sites;
    int resources; /* 0 to LIMIT_RESOURCES */

    /* Cells of part p: first[p] to first[p + 1]. NULL: every part has `sites` cells, in order of
     * the sites, and `site` is NULL too. */
    const size_t *first;
    const uint16_t *site; /* [cell] */

    const int64_t *base;  /* [part]; NULL: 0 */
    const int64_t *unit;  /* [part] > 0; NULL: 1 */
    const uint32_t *cost; /* [cell] */

    const int32_t *demand;      /* [part * resources + r] >= 0 */
    const int32_t *cell_demand; /* [cell * resources + r], in place of `demand`; usually NULL */
    const int64_t *capacity;    /* [site * resources + r] >= 0; INT64_MAX: no limit */

    int links;
    const struct grid_link *link;
    int tables;
    const struct grid_table *table;

    const int *current; /* [part] the cell where it is now, or -1; NULL: nowhere */
};

static inline size_t grid_first(const struct grid *grid, int part)
{
    return grid->first != NULL ? grid->first[part] : (size_t)part * (size_t)grid->sites;
}

static inline int grid_cells(const struct grid *grid, int part)
{
    return grid->first != NULL ? (int)(grid->first[part + 1] - grid->first[part]) : grid->sites;
}

/* `cell` counts from the part's first, here and in every choice[]. */
static inline int grid_site(const struct grid *grid, int part, int cell)
{
    return grid->site != NULL ? grid->site[grid_first(grid, part) + (size_t)cell] : cell;
}

static inline uint32_t grid_cost_raw(const struct grid *grid, int part, int cell)
{
    return grid->cost[grid_first(grid, part) + (size_t)cell];
}

/* Meaningless for a closed cell. */
static inline int64_t grid_cost(const struct grid *grid, int part, int cell)
{
    int64_t unit = grid->unit != NULL ? grid->unit[part] : 1;
    int64_t base = grid->base != NULL ? grid->base[part] : 0;
    return base + unit * (int64_t)grid_cost_raw(grid, part, cell);
}

static inline const int32_t *grid_demand(const struct grid *grid, int part, int cell)
{
    size_t resources = (size_t)grid->resources;
    return grid->cell_demand != NULL
               ? grid->cell_demand + (grid_first(grid, part) + (size_t)cell) * resources
               : grid->demand + (size_t)part * resources;
}

/* The value of a link's table at two cells: GRID_CLOSED forbids them. */
static inline uint32_t grid_link_raw(const struct grid *grid, const struct grid_link *link,
                                     int cell_a, int cell_b)
{
    const struct grid_table *table = &grid->table[link->table];
    int row = table->by_site ? grid_site(grid, link->a, cell_a) : cell_a;
    int column = table->by_site ? grid_site(grid, link->b, cell_b) : cell_b;
    return table->value[(size_t)row * (size_t)table->columns + (size_t)column];
}

/* Every index, size and bound above; ERR_INVALID names the part, link or row. */
int grid_check(const struct grid *grid, struct error *err) WARN_UNUSED;
/* Of a grid whose structure is that of a checked one: what may still be wrong about its costs and
 * capacities. */
int grid_check_costs(const struct grid *grid, struct error *err) WARN_UNUSED;

/* What an assignment choice[part] (cell, from 0) costs, in the grid's unit; exact. */
int64_t grid_cost_of(const struct grid *grid, const int *choice);
/* Fills load[site * resources + r]. */
void grid_load_of(const struct grid *grid, const int *choice, int64_t *load);
/* Closed cells, closed pairs and rows over capacity that an assignment of that load has; 0: it
 * keeps all. */
int64_t grid_broken(const struct grid *grid, const int64_t *load, const int *choice);
