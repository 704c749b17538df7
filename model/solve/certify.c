#include "model/solve/certify.h"

#include "model/solve/dual.h"
#include "model/solve/shape.h"

static void prices_of(const struct shape *shape, const double *row_price, double *price);

int solve_certify(const struct reduced *reduced, struct arena *arena, struct solution *solution,
                  struct error *err)
{
    size_t rules = (size_t)reduced->problem->rule_count + 1;
    double *price = arena_array(arena, rules, sizeof(double));
    if (price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of %zu rules", rules);
    }
    solution->price = price;
    solution->meter_price = reduced->meter_price;
    if (reduced->empty) {
        return 0;
    }
    struct shape shape;
    struct dual_result dual;
    struct error refused = {0};
    int rc = shape_build(reduced, arena, &shape, &refused);
    if (rc == 0) {
        struct dual_options options = {.gap = 1e-7};
        rc = dual_solve(&shape.grid, &options, arena, &dual, &refused);
    }
    if (rc == ERR_NO_MEMORY) {
        return error_set(err, rc, 0, "%s", refused.text);
    }
    if (rc == 0 && dual.possible) {
        prices_of(&shape, dual.price, price);
    }
    return 0;
}

/* A row's price is its tightest rule's, per unit of the problem's. */
static void prices_of(const struct shape *shape, const double *row_price, double *price)
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
