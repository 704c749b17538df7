#include <math.h>

#include "base/str.h"
#include "model/solve/whole.h"
#include "model/verify.h"
#include "tests/property/plan_check.h"

/* Tables of linked parts that are written out in full. */
#define CELLS_MAX 4000000.0

static bool check_cells(const struct grid *grid, const int *choice, char why[PLAN_WHY_BYTES]);
static bool check_rows(const struct grid *grid, const int *choice, char why[PLAN_WHY_BYTES]);
static bool check_cost(const struct grid *grid, const struct plan_claim *claim,
                       char why[PLAN_WHY_BYTES]);
static bool check_prices(const struct grid *grid, const struct plan_claim *claim,
                         char why[PLAN_WHY_BYTES]);
static double bound_of_loose(const struct grid *grid, const double *price);
static double bound_of_linked(const struct grid *grid, const struct plan_claim *claim);
static bool writes_out(const struct grid *grid);
static long double paid_for_room(const struct grid *grid, const double *price);
static double dearest(const struct grid *grid);

bool plan_check_grid(const struct grid *grid, const struct plan_claim *claim,
                     char why[PLAN_WHY_BYTES])
{
    return check_cells(grid, claim->choice, why) && check_rows(grid, claim->choice, why) &&
           check_cost(grid, claim, why) && check_prices(grid, claim, why);
}

static bool check_cells(const struct grid *grid, const int *choice, char why[PLAN_WHY_BYTES])
{
    for (int part = 0; part < grid->parts; part++) {
        if (choice[part] < 0 || choice[part] >= grid_cells(grid, part) ||
            grid->cost[grid_first(grid, part) + (size_t)choice[part]] == GRID_CLOSED) {
            str_format(why, PLAN_WHY_BYTES, "part %d takes cell %d, which is closed or none", part,
                       choice[part]);
            return false;
        }
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        if (grid_link_raw(grid, link, choice[link->a], choice[link->b]) == GRID_CLOSED) {
            str_format(why, PLAN_WHY_BYTES, "link %d of parts %d and %d is at a closed pair", i,
                       link->a, link->b);
            return false;
        }
    }
    return true;
}

static bool check_rows(const struct grid *grid, const int *choice, char why[PLAN_WHY_BYTES])
{
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    struct arena arena;
    arena_init(&arena, (size_t)1 << 28);
    int64_t *load = arena_array(&arena, rows + 1, sizeof(int64_t));
    bool kept = load != NULL;
    for (int part = 0; kept && part < grid->parts; part++) {
        size_t site = (size_t)grid_site(grid, part, choice[part]);
        for (size_t r = 0; r < (size_t)grid->resources; r++) {
            load[site * (size_t)grid->resources + r] += grid_demand(grid, part, choice[part])[r];
        }
    }
    for (size_t row = 0; kept && row < rows; row++) {
        if (load[row] > grid->capacity[row]) {
            str_format(why, PLAN_WHY_BYTES, "row %zu holds %lld of %lld", row, (long long)load[row],
                       (long long)grid->capacity[row]);
            kept = false;
        }
    }
    if (load == NULL) {
        str_format(why, PLAN_WHY_BYTES, "no memory for %zu rows", rows);
    }
    arena_done(&arena);
    return kept;
}

static bool check_cost(const struct grid *grid, const struct plan_claim *claim,
                       char why[PLAN_WHY_BYTES])
{
    __int128 cost = 0;
    for (int part = 0; part < grid->parts; part++) {
        __int128 unit = grid->unit != NULL ? grid->unit[part] : 1;
        cost += grid->base != NULL ? grid->base[part] : 0;
        cost += unit * grid->cost[grid_first(grid, part) + (size_t)claim->choice[part]];
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        uint32_t value = grid_link_raw(grid, link, claim->choice[link->a], claim->choice[link->b]);
        cost += link->base + (__int128)link->scale * value;
    }
    if (cost != claim->cost) {
        str_format(why, PLAN_WHY_BYTES, "it costs %lld, not %lld", (long long)cost,
                   (long long)claim->cost);
        return false;
    }
    if (!(claim->bound <= (double)claim->cost)) {
        str_format(why, PLAN_WHY_BYTES, "its bound %.17g is above its cost %lld", claim->bound,
                   (long long)claim->cost);
        return false;
    }
    return true;
}

static bool check_prices(const struct grid *grid, const struct plan_claim *claim,
                         char why[PLAN_WHY_BYTES])
{
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    if (claim->price == NULL) {
        return true;
    }
    for (size_t row = 0; row < rows; row++) {
        if (!(claim->price[row] >= 0) || isinf(claim->price[row]) ||
            (claim->price[row] > 0 && grid->capacity[row] == INT64_MAX)) {
            str_format(why, PLAN_WHY_BYTES, "the price of row %zu is %g", row, claim->price[row]);
            return false;
        }
    }
    double bound =
        grid->links == 0 ? bound_of_loose(grid, claim->price) : bound_of_linked(grid, claim);
    /* Its own rounding is taken off what it states; ours is not, so a little is allowed. */
    double slack = 1e-9 * (fabs(bound) + (double)paid_for_room(grid, claim->price)) +
                   1e-6 * grid->parts + 1e-13 * dearest(grid);
    if (!isnan(bound) && claim->bound_priced > bound + slack) {
        str_format(why, PLAN_WHY_BYTES, "its prices prove %.17g, not %.17g", bound,
                   claim->bound_priced);
        return false;
    }
    if (claim->bound_priced > (double)claim->cost) {
        str_format(why, PLAN_WHY_BYTES, "its prices prove %.17g, above its cost %lld",
                   claim->bound_priced, (long long)claim->cost);
        return false;
    }
    return true;
}

static double bound_of_loose(const struct grid *grid, const double *price)
{
    long double bound = -paid_for_room(grid, price);
    for (int part = 0; part < grid->parts; part++) {
        long double least = INFINITY;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) == GRID_CLOSED) {
                continue;
            }
            long double here = (long double)grid_cost(grid, part, cell);
            for (int r = 0; r < grid->resources; r++) {
                here += (long double)price[grid_site(grid, part, cell) * grid->resources + r] *
                        (long double)grid_demand(grid, part, cell)[r];
            }
            least = here < least ? here : least;
        }
        bound += least;
    }
    return (double)bound;
}

/* NAN: it is too large, or a table had to be divided, so that nothing can be said. */
static double bound_of_linked(const struct grid *grid, const struct plan_claim *claim)
{
    struct arena arena;
    struct problem problem;
    struct verdict verdict;
    struct error err = {0};
    double bound = NAN;
    if (!writes_out(grid)) {
        return NAN;
    }
    arena_init(&arena, (size_t)2 << 30);
    if (whole_problem(grid, 1, &arena, &problem, &err) == 0) {
        double *price = arena_array(&arena, (size_t)problem.rule_count + 1, sizeof(double));
        for (int i = 0; price != NULL && i < problem.rule_count; i++) {
            const struct problem_rule *rule = &problem.rules[i];
            if (rule->kind == RULE_CAPACITY) {
                price[i] = claim->price[rule->site * grid->resources + (int)rule->resource];
            }
        }
        if (price != NULL &&
            verify_plan(&problem, claim->choice, price, NULL, &arena, &verdict, &err) == 0) {
            /* A rule that breaks was found above already. */
            bound = verdict.divided || verdict.broken >= 0 ? NAN : verdict.bound;
        }
    }
    arena_done(&arena);
    return bound;
}

static bool writes_out(const struct grid *grid)
{
    double cells = 0;
    for (int part = 0; part < grid->parts; part++) {
        cells += grid_cells(grid, part);
    }
    for (int i = 0; i < grid->links; i++) {
        cells +=
            (double)grid_cells(grid, grid->link[i].a) * (double)grid_cells(grid, grid->link[i].b);
    }
    return cells <= CELLS_MAX;
}

static long double paid_for_room(const struct grid *grid, const double *price)
{
    long double paid = 0;
    for (size_t row = 0; row < (size_t)grid->sites * (size_t)grid->resources; row++) {
        paid += price[row] > 0 ? (long double)price[row] * (long double)grid->capacity[row] : 0;
    }
    return paid;
}

/* The largest amounts that are added up: what rounding is a part of. */
static double dearest(const struct grid *grid)
{
    double sum = 0;
    for (int part = 0; part < grid->parts; part++) {
        double most = 0;
        for (int cell = 0; cell < grid_cells(grid, part); cell++) {
            if (grid_cost_raw(grid, part, cell) != GRID_CLOSED) {
                most = fmax(most, fabs((double)grid_cost(grid, part, cell)));
            }
        }
        sum += most;
    }
    for (int i = 0; i < grid->links; i++) {
        const struct grid_link *link = &grid->link[i];
        sum += fabs((double)link->base) + fabs((double)link->scale) * GRID_CLOSED;
    }
    return sum;
}
