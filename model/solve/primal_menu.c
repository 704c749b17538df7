#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/solve/primal_loose.h"

#define BLOCKS 64
/* Parts that the limit on the rise is judged by. */
#define SAMPLE_MOST 8192
#define RISES_MOST  (SAMPLE_MOST * 64)
/* A part that is dearer than its least by so many times the limit stays where it is. */
#define FAR 16

struct menu {
    struct primal *primal;
    const int *choice;
    struct loose *loose;
    double limit; /* cells that rise more above their part's least are left out */
    double *w[PRIMAL_THREADS];
    int parts[BLOCKS];
    int entries[BLOCKS];
    uint8_t *holds; /* [part] */
    bool keeps;     /* else they are only counted */
};

static double limit_for(struct menu *menu, int cells, double *rises);
static void sweep_block(void *context, int block, int worker);
static int cells_within(const struct menu *menu, int part, const double *w, double *ret_least);
static void keep_part(struct menu *menu, int part, const double *w, double least, int at, int from);
static int lay_sites(struct loose *loose);
static int lay_rows(struct loose *loose, const int *choice);
static int by_w(const void *a, const void *b);
static int by_value(const void *a, const void *b);

int loose_create(struct primal *primal, const int *choice, int cells, struct loose **ret_loose)
{
    struct arena *arena = primal->work;
    const struct grid *grid = primal->grid;
    struct menu menu = {.primal = primal, .choice = choice};
    struct loose *loose = arena_alloc(arena, sizeof(*loose));
    double *rises = arena_alloc_raw(arena, (size_t)RISES_MOST * sizeof(double));
    menu.holds = arena_alloc_raw(arena, (size_t)grid->parts + 1);
    bool whole = loose != NULL && rises != NULL && menu.holds != NULL;
    for (int i = 0; i < primal->threads; i++) {
        menu.w[i] = arena_alloc_raw(arena, (primal->app_cells + 1) * sizeof(double));
        whole = whole && menu.w[i] != NULL;
    }
    if (!whole) {
        return primal_no_memory(primal);
    }
    int parts = 0;
    int64_t entries = 0;
    menu.limit = limit_for(&menu, cells, rises);
    for (;; menu.limit /= 2) {
        primal_blocks(primal->threads, BLOCKS, sweep_block, &menu);
        parts = 0;
        entries = 0;
        for (int block = 0; block < BLOCKS; block++) {
            parts += menu.parts[block];
            entries += menu.entries[block];
        }
        if (entries <= 4 * (int64_t)cells || isinf(menu.limit) || menu.limit < 1e-3) {
            break;
        }
    }
    loose->primal = primal;
    loose->parts = parts;
    loose->part = arena_array(arena, (size_t)parts + 1, sizeof(int));
    loose->first = arena_array(arena, (size_t)parts + 2, sizeof(int));
    loose->base = arena_array(arena, (size_t)parts + 1, sizeof(int));
    loose->entry = arena_array(arena, (size_t)entries + 1, sizeof(*loose->entry));
    if (loose->part == NULL || loose->first == NULL || loose->base == NULL ||
        loose->entry == NULL || entries > INT32_MAX) {
        return primal_no_memory(primal);
    }
    menu.loose = loose;
    menu.keeps = true;
    primal_blocks(primal->threads, BLOCKS, sweep_block, &menu);
    loose->first[parts] = (int)entries;
    int rc = lay_sites(loose);
    rc = rc == 0 ? lay_rows(loose, choice) : rc;
    *ret_loose = rc == 0 ? loose : NULL;
    return rc;
}

/* The rise below which about `cells` cells are, judged by every n-th part. */
static double limit_for(struct menu *menu, int cells, double *rises)
{
    const struct primal *primal = menu->primal;
    int parts = primal->grid->parts;
    int stride = parts / SAMPLE_MOST + 1;
    int count = 0;
    int taken = 0;
    double *w = menu->w[0];
    for (int part = 0; part < parts && count < RISES_MOST; part += stride) {
        int size = grid_cells(primal->grid, part);
        primal_weigh(primal, part, w);
        int best = 0;
        for (int cell = 1; cell < size; cell++) {
            best = w[cell] < w[best] ? cell : best;
        }
        for (int cell = 0; cell < size && count < RISES_MOST; cell++) {
            if (cell != best && w[cell] < INFINITY) {
                rises[count++] = w[cell] - w[best];
            }
        }
        taken++;
    }
    double wanted = (double)cells * taken / (parts > 0 ? parts : 1);
    if (wanted >= count && count < RISES_MOST) {
        return INFINITY;
    }
    qsort(rises, (size_t)count, sizeof(double), by_value);
    double limit = rises[wanted < count ? (int)wanted : count - 1];
    return limit > 0 ? limit : 1;
}

static void sweep_block(void *context, int block, int worker)
{
    struct menu *menu = context;
    int64_t parts = menu->primal->grid->parts;
    int from = (int)(parts * block / BLOCKS);
    int to = (int)(parts * (block + 1) / BLOCKS);
    double *w = menu->w[worker];
    int at = 0;
    int entry = 0;
    for (int before = 0; before < block && menu->keeps; before++) {
        at += menu->parts[before];
        entry += menu->entries[before];
    }
    int at_first = at;
    int entry_first = entry;
    for (int part = from; part < to; part++) {
        if (menu->keeps && menu->holds[part] == 0) {
            continue;
        }
        double least;
        primal_weigh(menu->primal, part, w);
        int within = cells_within(menu, part, w, &least);
        if (menu->keeps) {
            keep_part(menu, part, w, least, at, entry);
        } else {
            menu->holds[part] = within > 1;
        }
        at += within > 1;
        entry += within > 1 ? within : 0;
    }
    if (!menu->keeps) {
        menu->parts[block] = at - at_first;
        menu->entries[block] = entry - entry_first;
    }
}

/* Its own cell is one of them; 0: that is too far away from the least. */
static int cells_within(const struct menu *menu, int part, const double *w, double *ret_least)
{
    int cells = grid_cells(menu->primal->grid, part);
    int own = menu->choice[part];
    double least = INFINITY;
    for (int cell = 0; cell < cells; cell++) {
        least = fmin(least, w[cell]);
    }
    *ret_least = least;
    if (!(w[own] - least <= menu->limit * FAR) || isinf(w[own])) {
        return 0;
    }
    int within = !(w[own] <= least + menu->limit);
    for (int cell = 0; cell < cells; cell++) {
        within += w[cell] <= least + menu->limit && w[cell] < INFINITY;
    }
    return within;
}

static void keep_part(struct menu *menu, int part, const double *w, double least, int at, int from)
{
    const struct grid *grid = menu->primal->grid;
    struct loose *loose = menu->loose;
    int cells = grid_cells(grid, part);
    int own = menu->choice[part];
    int entry = from;
    for (int cell = 0; cell < cells; cell++) {
        if ((cell != own && !(w[cell] <= least + menu->limit)) || isinf(w[cell])) {
            continue;
        }
        struct loose_entry *to = &loose->entry[entry++];
        const int32_t *demand = grid_demand(grid, part, cell);
        *to = (struct loose_entry){
            .w = w[cell] - least, .part = at, .cell = cell, .site = grid_site(grid, part, cell)};
        for (int r = 0; r < grid->resources; r++) {
            to->demand[r] = demand[r];
        }
    }
    qsort(loose->entry + from, (size_t)(entry - from), sizeof(*loose->entry), by_w);
    for (int i = from; i < entry; i++) {
        loose->base[at] = loose->entry[i].cell == own ? i : loose->base[at];
    }
    loose->part[at] = part;
    loose->first[at] = from;
}

/* The entries by their sites. */
static int lay_sites(struct loose *loose)
{
    const struct primal *primal = loose->primal;
    size_t sites = (size_t)primal->grid->sites;
    int entries = loose->first[loose->parts];
    loose->site_first = arena_array(primal->work, sites + 2, sizeof(int));
    loose->site_entry = arena_array(primal->work, (size_t)entries + 1, sizeof(int));
    int *last = arena_array(primal->work, sites, sizeof(int));
    if (loose->site_first == NULL || loose->site_entry == NULL || last == NULL) {
        return primal_no_memory(primal);
    }
    for (int e = 0; e < entries; e++) {
        loose->site_first[loose->entry[e].site + 2]++;
    }
    for (size_t site = 0; site < sites; site++) {
        int count = loose->site_first[site + 2];
        loose->site_most = count > loose->site_most ? count : loose->site_most;
        loose->site_first[site + 2] += loose->site_first[site + 1];
    }
    for (int e = 0; e < entries; e++) {
        const struct loose_entry *entry = &loose->entry[e];
        loose->site_entry[loose->site_first[entry->site + 1]++] = e;
        loose->several = loose->several || last[entry->site] == entry->part + 1;
        last[entry->site] = entry->part + 1;
    }
    return 0;
}

/* What the base leaves of each row, and which rows have a price. */
static int lay_rows(struct loose *loose, const int *choice)
{
    const struct primal *primal = loose->primal;
    const struct grid *grid = primal->grid;
    size_t sites = (size_t)grid->sites;
    size_t resources = (size_t)grid->resources;
    loose->slack = arena_array(primal->work, primal->rows + 1, sizeof(int64_t));
    loose->priced = arena_array(primal->work, sites, sizeof(int));
    loose->weight = arena_array(primal->work, sites, sizeof(double));
    if (loose->slack == NULL || loose->priced == NULL || loose->weight == NULL) {
        return primal_no_memory(primal);
    }
    grid_load_of(grid, choice, loose->slack);
    double most = 0;
    for (size_t row = 0; row < primal->rows; row++) {
        most = fmax(most, primal->price[row]);
    }
    for (size_t row = 0; row < primal->rows; row++) {
        /* No limit is far, and not at the end of the numbers. */
        int64_t capacity =
            grid->capacity[row] < INT64_MAX / 2 ? grid->capacity[row] : INT64_MAX / 2;
        loose->slack[row] = capacity - loose->slack[row];
        if (primal->price[row] > 0) {
            loose->priced[row / resources]++;
            loose->weight[row / resources] += 1 + primal->price[row] / most / 8;
        }
    }
    loose->cost = (double)grid_cost_of(grid, choice);
    return 0;
}

static int by_w(const void *a, const void *b)
{
    const struct loose_entry *x = a;
    const struct loose_entry *y = b;
    if (x->w != y->w) {
        return x->w < y->w ? -1 : 1;
    }
    return (x->cell > y->cell) - (x->cell < y->cell);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}
