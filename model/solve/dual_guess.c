#include "model/solve/dual_guess.h"

#include <math.h>
#include <string.h>

/* Of the diagonal: what resources that go together share of a change. */
#define RIDGE 1e-9

struct dual_guess {
    const struct grid *base;
    const double *price; /* [row] */
    bool priced[LIMIT_RESOURCES];
    double demand[LIMIT_RESOURCES]; /* of all parts */
    double *added;                  /* [cell] by the links of its part */
    double *square;                 /* [site * resources * resources] */
    double *product;                /* [row] */
    double *value;                  /* [site] */
    int *order;                     /* [site] */
};

static void links_add(struct dual_guess *guess, const struct grid *grid);
static void gather(struct dual_guess *guess, const struct grid *grid);
static void take_off(const struct dual_guess *guess, int site, double *price);
static double last_needed(const struct dual_guess *guess, const struct grid *grid,
                          const double *price, int resource);

int dual_guess_create(const struct grid *base, const double *price, struct arena *arena,
                      struct dual_guess **ret_guess, struct error *err)
{
    size_t resources = (size_t)base->resources;
    size_t sites = (size_t)base->sites;
    struct dual_guess *guess = arena_alloc(arena, sizeof(*guess));
    if (guess == NULL) {
        return dual_no_memory(err);
    }
    guess->base = base;
    guess->price = price;
    guess->added = arena_array(arena, grid_first(base, base->parts) + 1, sizeof(double));
    guess->square = arena_array(arena, sites * resources * resources + 1, sizeof(double));
    guess->product = arena_array(arena, sites * resources + 1, sizeof(double));
    guess->value = arena_array(arena, sites + 1, sizeof(double));
    guess->order = arena_array(arena, sites + 1, sizeof(int));
    if (guess->added == NULL || guess->square == NULL || guess->product == NULL ||
        guess->value == NULL || guess->order == NULL) {
        return dual_no_memory(err);
    }
    for (size_t row = 0; row < sites * resources; row++) {
        guess->priced[row % resources] = guess->priced[row % resources] || price[row] > 0;
    }
    for (int part = 0; part < base->parts; part++) {
        for (size_t r = 0; r < resources; r++) {
            guess->demand[r] += dual_most(base, part, (int)r);
        }
    }
    *ret_guess = guess;
    return 0;
}

void dual_guess_run(struct dual_guess *guess, const struct grid *grid, double *ret_price)
{
    int resources = grid->resources;
    size_t rows = (size_t)grid->sites * (size_t)resources;
    memcpy(ret_price, guess->price, rows * sizeof(double));
    links_add(guess, grid);
    gather(guess, grid);
    for (int site = 0; site < grid->sites; site++) {
        take_off(guess, site, ret_price + (size_t)site * (size_t)resources);
    }
    for (int r = 0; r < resources; r++) {
        double shift = guess->priced[r] ? last_needed(guess, guess->base, guess->price, r) -
                                              last_needed(guess, grid, ret_price, r)
                                        : 0;
        for (int site = 0; site < grid->sites; site++) {
            size_t row = (size_t)site * (size_t)resources + (size_t)r;
            bool limited = (double)grid->capacity[row] < guess->demand[r];
            double price = ret_price[row] + shift;
            ret_price[row] = limited && price > 0 && price < 1e100 ? price : 0;
        }
    }
}

/* What a link costs above what it did, at two cells; 0 where it was or is closed. */
static double link_turn(const struct dual_guess *guess, const struct grid *grid, int index, int a,
                        int b)
{
    const struct grid_link *now = &grid->link[index];
    const struct grid_link *was = &guess->base->link[index];
    uint32_t value_now = grid_link_raw(grid, now, a, b);
    uint32_t value_was = grid_link_raw(guess->base, was, a, b);
    if (value_now == GRID_CLOSED || value_was == GRID_CLOSED) {
        return 0;
    }
    return (double)now->base - (double)was->base + (double)now->scale * (double)value_now -
           (double)was->scale * (double)value_was;
}

static void links_add(struct dual_guess *guess, const struct grid *grid)
{
    const struct grid *base = guess->base;
    memset(guess->added, 0, grid_first(base, base->parts) * sizeof(double));
    for (int i = 0; i < grid->links && base->current != NULL; i++) {
        const struct grid_link *now = &grid->link[i];
        const struct grid_link *was = &base->link[i];
        int at_a = base->current[now->a];
        int at_b = base->current[now->b];
        bool same = now->base == was->base && now->scale == was->scale &&
                    grid->table[now->table].value == base->table[was->table].value;
        if (same || at_a < 0 || at_b < 0) {
            continue;
        }
        double *added_a = guess->added + grid_first(base, now->a);
        double *added_b = guess->added + grid_first(base, now->b);
        for (int c = 0; c < grid_cells(base, now->a); c++) {
            added_a[c] += link_turn(guess, grid, i, c, at_b);
        }
        for (int c = 0; c < grid_cells(base, now->b); c++) {
            added_b[c] += link_turn(guess, grid, i, at_a, c);
        }
    }
}

/* The normal equations of every site. */
static void gather(struct dual_guess *guess, const struct grid *grid)
{
    const struct grid *base = guess->base;
    size_t resources = (size_t)grid->resources;
    memset(guess->square, 0, (size_t)grid->sites * resources * resources * sizeof(double));
    memset(guess->product, 0, (size_t)grid->sites * resources * sizeof(double));
    for (int part = 0; part < grid->parts; part++) {
        const double *added = guess->added + grid_first(base, part);
        for (int cell = 0; cell < grid_cells(base, part); cell++) {
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED ||
                grid_cost_raw(base, part, cell) == GRID_CLOSED) {
                continue;
            }
            double more = (double)grid_cost(grid, part, cell) -
                          (double)grid_cost(base, part, cell) + added[cell];
            const int32_t *demand = grid_demand(grid, part, cell);
            size_t site = (size_t)grid_site(grid, part, cell);
            double *square = guess->square + site * resources * resources;
            double *product = guess->product + site * resources;
            for (size_t a = 0; a < resources; a++) {
                for (size_t b = 0; b <= a; b++) {
                    square[a * resources + b] += (double)demand[a] * (double)demand[b];
                }
                product[a] += more * (double)demand[a];
            }
        }
    }
}

/* Takes what costs more per demand off the prices that a site has: Gauss's elimination, of the
 * resources that have a price anywhere. */
static void take_off(const struct dual_guess *guess, int site, double *price)
{
    size_t resources = (size_t)guess->base->resources;
    const double *square = guess->square + (size_t)site * resources * resources;
    const double *product = guess->product + (size_t)site * resources;
    double matrix[LIMIT_RESOURCES][LIMIT_RESOURCES + 1];
    size_t at[LIMIT_RESOURCES];
    size_t n = 0;
    for (size_t r = 0; r < resources; r++) {
        if (guess->priced[r] && square[r * resources + r] > 0) {
            at[n++] = r;
        }
    }
    for (size_t a = 0; a < n; a++) {
        for (size_t b = 0; b < n; b++) {
            size_t low = at[a] > at[b] ? at[b] : at[a];
            size_t high = at[a] > at[b] ? at[a] : at[b];
            matrix[a][b] = square[high * resources + low] * (a == b ? 1 + RIDGE : 1);
        }
        matrix[a][n] = product[at[a]];
    }
    for (size_t k = 0; k < n; k++) {
        for (size_t a = k + 1; a < n; a++) {
            double times = matrix[a][k] / matrix[k][k];
            for (size_t b = k; b <= n; b++) {
                matrix[a][b] -= times * matrix[k][b];
            }
        }
    }
    for (size_t k = n; k-- > 0;) {
        double sum = matrix[k][n];
        for (size_t b = k + 1; b < n; b++) {
            sum -= matrix[k][b] * matrix[b][n];
        }
        matrix[k][n] = sum / matrix[k][k];
        price[at[k]] -= isfinite(matrix[k][n]) ? matrix[k][n] : 0;
    }
}

/* Sites are filled from the highest price of a resource on, with as much as all parts demand: the
 * price at the site where that ends. */
static double last_needed(const struct dual_guess *guess, const struct grid *grid,
                          const double *price, int resource)
{
    size_t resources = (size_t)grid->resources;
    for (int site = 0; site < grid->sites; site++) {
        double value = price[(size_t)site * resources + (size_t)resource];
        int k = site;
        for (; k > 0 && guess->value[k - 1] < value; k--) {
            guess->value[k] = guess->value[k - 1];
            guess->order[k] = guess->order[k - 1];
        }
        guess->value[k] = value;
        guess->order[k] = site;
    }
    double left = guess->demand[resource];
    int last = 0;
    for (int k = 0; k < grid->sites && left > 0; k++) {
        left -= (double)grid->capacity[(size_t)guess->order[k] * resources + (size_t)resource];
        last = k;
    }
    return guess->value[last];
}
