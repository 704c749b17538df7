/* Whether a grid has the shape, and what its costs come to by site. */
#include "model/solve/subsets_internal.h"

/* No amount of the grid may exceed the first, and no sum of all of them the second: doubles hold
 * the sums, and 64 bits thirty-two of them. */
#define AMOUNT_MAX (INT64_C(1) << 48)
#define REACH_MAX  (INT64_C(1) << 52)
#define SCALE_MAX  1024
#define APART      INT64_MAX /* a closed pair of cells */

/* A link's costs by site, and how they divide. */
struct separating {
    int64_t *cost; /* [site of a * sites + site of b], where both have a cell */
    int64_t a[SUBSETS_SITES];
    int64_t b[SUBSETS_SITES];
    bool known_a[SUBSETS_SITES];
    bool known_b[SUBSETS_SITES];
};

static bool read_parts(struct subsets *subsets);
static bool read_link(struct subsets *subsets, const struct grid_link *link,
                      struct separating *separating);
static bool read_costs(const struct subsets *subsets, const struct grid_link *link,
                       struct separating *separating);
static bool separate(const struct subsets *subsets, const struct grid_link *link,
                     struct separating *separating);
static bool grow(const struct subsets *subsets, const struct grid_link *link,
                 struct separating *separating);
static void add_link(struct subsets *subsets, const struct grid_link *link,
                     const struct separating *separating);
static bool measure(struct subsets *subsets);
static bool has_cell(const struct subsets *subsets, int part, int site);
static int64_t size_of(int64_t amount);

int subsets_read(struct subsets *subsets, bool *ret_fits, struct error *err)
{
    const struct grid *grid = subsets->grid;
    *ret_fits = false;
    if (grid->parts < 1 || grid->parts > SUBSETS_PARTS || grid->sites > SUBSETS_SITES) {
        return 0;
    }
    subsets->parts = grid->parts;
    subsets->sites = grid->sites;
    struct arena *arena = subsets->arena;
    size_t cells = (size_t)grid->sites * (size_t)grid->parts;
    struct separating separating;
    subsets->cell = arena_array(arena, cells, sizeof(int));
    subsets->own = arena_array(arena, cells, sizeof(int64_t));
    subsets->pair = arena_array(arena, cells * (size_t)grid->parts, sizeof(int64_t));
    subsets->apart = arena_array(arena, cells, sizeof(uint32_t));
    separating.cost =
        arena_array(arena, (size_t)grid->sites * (size_t)grid->sites, sizeof(int64_t));
    if (subsets->cell == NULL || subsets->own == NULL || subsets->pair == NULL ||
        subsets->apart == NULL || separating.cost == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts at %d sites", grid->parts,
                         grid->sites);
    }
    bool fits = read_parts(subsets);
    for (int i = 0; i < grid->links && fits; i++) {
        fits = read_link(subsets, &grid->link[i], &separating);
    }
    *ret_fits = fits && measure(subsets);
    return 0;
}

/* One open cell at a site at most: else a set would be several. */
static bool read_parts(struct subsets *subsets)
{
    const struct grid *grid = subsets->grid;
    for (int i = 0; i < subsets->sites * subsets->parts; i++) {
        subsets->cell[i] = -1;
    }
    for (int part = 0; part < grid->parts; part++) {
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                continue;
            }
            int at = grid_site(grid, part, cell) * subsets->parts + part;
            int64_t cost = grid_cost(grid, part, cell);
            if (subsets->cell[at] >= 0 || size_of(cost) > AMOUNT_MAX) {
                return false;
            }
            subsets->cell[at] = cell;
            subsets->own[at] = cost;
        }
    }
    return true;
}

static bool read_link(struct subsets *subsets, const struct grid_link *link,
                      struct separating *separating)
{
    if (!read_costs(subsets, link, separating) || !separate(subsets, link, separating)) {
        return false;
    }
    add_link(subsets, link, separating);
    return true;
}

static bool read_costs(const struct subsets *subsets, const struct grid_link *link,
                       struct separating *separating)
{
    const struct grid *grid = subsets->grid;
    for (int k = 0; k < subsets->sites; k++) {
        for (int l = 0; l < subsets->sites; l++) {
            int cell_a = subsets->cell[k * subsets->parts + link->a];
            int cell_b = subsets->cell[l * subsets->parts + link->b];
            if (cell_a < 0 || cell_b < 0) {
                continue;
            }
            uint32_t raw = grid_link_raw(grid, link, cell_a, cell_b);
            int64_t *cost = &separating->cost[k * subsets->sites + l];
            if (raw == GRID_CLOSED) {
                *cost = APART;
                if (k != l) {
                    return false; /* who is elsewhere matters to a set */
                }
                continue;
            }
            *cost = link->base + link->scale * (int64_t)raw;
            if (size_of(*cost) > AMOUNT_MAX) {
                return false;
            }
        }
    }
    return true;
}

/* a[k] + b[l] off the diagonal: from one value that is chosen everything joined to it follows, and
 * is then held against the whole table. */
static bool separate(const struct subsets *subsets, const struct grid_link *link,
                     struct separating *separating)
{
    int sites = subsets->sites;
    for (int k = 0; k < sites; k++) {
        separating->a[k] = 0;
        separating->b[k] = 0;
        separating->known_a[k] = false;
        separating->known_b[k] = false;
    }
    for (int k = 0; k < sites; k++) {
        if (!separating->known_a[k] && has_cell(subsets, link->a, k)) {
            separating->known_a[k] = true;
            while (grow(subsets, link, separating)) {
            }
        }
    }
    for (int k = 0; k < sites; k++) {
        for (int l = 0; l < sites; l++) {
            if (k != l && has_cell(subsets, link->a, k) && has_cell(subsets, link->b, l) &&
                separating->cost[k * sites + l] != separating->a[k] + separating->b[l]) {
                return false;
            }
        }
    }
    return true;
}

/* One step along the table; false: nothing more follows. */
static bool grow(const struct subsets *subsets, const struct grid_link *link,
                 struct separating *separating)
{
    int sites = subsets->sites;
    bool more = false;
    for (int k = 0; k < sites; k++) {
        for (int l = 0; l < sites; l++) {
            if (k == l || !has_cell(subsets, link->a, k) || !has_cell(subsets, link->b, l) ||
                separating->known_a[k] == separating->known_b[l]) {
                continue;
            }
            int64_t cost = separating->cost[k * sites + l];
            if (separating->known_a[k]) {
                separating->b[l] = cost - separating->a[k];
                separating->known_b[l] = true;
            } else {
                separating->a[k] = cost - separating->b[l];
                separating->known_a[k] = true;
            }
            more = true;
        }
    }
    return more;
}

static void add_link(struct subsets *subsets, const struct grid_link *link,
                     const struct separating *separating)
{
    int parts = subsets->parts;
    for (int k = 0; k < subsets->sites; k++) {
        subsets->own[k * parts + link->a] += separating->a[k];
        subsets->own[k * parts + link->b] += separating->b[k];
        if (!has_cell(subsets, link->a, k) || !has_cell(subsets, link->b, k)) {
            continue;
        }
        int64_t together = separating->cost[k * subsets->sites + k];
        if (together == APART) {
            subsets->apart[k * parts + link->a] |= UINT32_C(1) << link->b;
            subsets->apart[k * parts + link->b] |= UINT32_C(1) << link->a;
            continue;
        }
        together -= separating->a[k] + separating->b[k];
        subsets->pair[(k * parts + link->a) * parts + link->b] += together;
        subsets->pair[(k * parts + link->b) * parts + link->a] += together;
    }
}

/* How large sums can get: of every part and pair the most of any site. */
static bool measure(struct subsets *subsets)
{
    int parts = subsets->parts;
    int64_t reach = 1;
    for (int a = 0; a < parts; a++) {
        for (int b = 0; b <= a; b++) {
            int64_t most = 0;
            for (int k = 0; k < subsets->sites; k++) {
                int64_t amount = a == b ? subsets->own[k * parts + a]
                                        : subsets->pair[(k * parts + a) * parts + b];
                most = size_of(amount) > most ? size_of(amount) : most;
            }
            reach += most;
            if (reach > REACH_MAX) {
                return false;
            }
        }
    }
    subsets->reach = reach;
    subsets->scale = SCALE_MAX;
    while (subsets->scale > 1 && reach > REACH_MAX / subsets->scale) {
        subsets->scale /= 2;
    }
    return true;
}

static bool has_cell(const struct subsets *subsets, int part, int site)
{
    return subsets->cell[site * subsets->parts + part] >= 0;
}

static int64_t size_of(int64_t amount)
{
    return amount < 0 ? -amount : amount;
}
