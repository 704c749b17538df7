#include "model/solve/certify.h"

#include <math.h>

#include "model/solve/dual.h"

static int without_prices(const struct shape *shape, struct arena *arena, bool *ret_enough,
                          struct error *err);
static bool on_progress(void *context, double bound, double best);

int solve_certify(const struct reduced *reduced, double *price, struct watch *watch,
                  struct arena *arena, struct solution *solution, struct error *err)
{
    size_t rules = (size_t)reduced->problem->rule_count + 1;
    bool have = price != NULL;
    bool *binds = arena_array(arena, rules, sizeof(bool));
    price = have ? price : arena_array(arena, rules, sizeof(double));
    if (price == NULL || binds == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of %zu rules", rules);
    }
    solution->price = price;
    solution->meter_price = reduced->meter_price;
    if (reduced->empty || have || !reduce_find_binding(reduced, binds) || !watch_goes_on(watch)) {
        return 0;
    }
    struct shape shape;
    struct dual_result dual;
    struct error refused = {0};
    int rc = shape_build(reduced, arena, &shape, &refused);
    bool enough = false;
    if (rc == 0) {
        rc = without_prices(&shape, arena, &enough, &refused);
    }
    if (rc == 0 && !enough) {
        struct dual_options options = {.gap = 1e-7};
        if (watch != NULL) {
            options.progress = on_progress;
            options.context = watch;
        }
        rc = dual_solve(&shape.grid, &options, arena, &dual, &refused);
    }
    if (rc == ERR_NO_MEMORY) {
        return error_set(err, rc, 0, "%s", refused.text);
    }
    if (rc == 0 && !enough && dual.possible) {
        solve_prices_of(&shape, dual.price, price);
    }
    return 0;
}

/* Any prices are prices: a cancelled solve takes those that it has. */
static bool on_progress(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    return watch_told(context, NAN, NAN);
}

/* Most often no capacity binds: where what is cheapest without prices fits, no prices prove more.
 */
static int without_prices(const struct shape *shape, struct arena *arena, bool *ret_enough,
                          struct error *err)
{
    const struct grid *grid = &shape->grid;
    size_t rows = (size_t)grid->sites * RESOURCE_COUNT;
    double *zero = arena_array(arena, rows, sizeof(double));
    int64_t *load = arena_array(arena, rows, sizeof(int64_t));
    int *choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    double bound;
    if (zero == NULL || load == NULL || choice == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu prices", rows);
    }
    int rc = dual_bound(grid, zero, 1, arena, choice, &bound, err);
    if (rc == 0 && isfinite(bound)) {
        grid_load_of(grid, choice, load);
        *ret_enough = true;
        for (size_t row = 0; row < rows; row++) {
            *ret_enough = *ret_enough && load[row] <= grid->capacity[row];
        }
    }
    return rc;
}

/* A row's price is its tightest rule's, per unit of the problem's. */
void solve_prices_of(const struct shape *shape, const double *row_price, double *price)
{
    for (int site = 0; site < shape->grid.sites; site++) {
        for (int r = 0; r < RESOURCE_COUNT; r++) {
            size_t row = (size_t)site * RESOURCE_COUNT + (size_t)r;
            if (shape->rule[row] >= 0) {
                price[shape->rule[row]] = row_price[row] / (double)shape->unit[r];
            }
        }
    }
}
