#include "model/solve/dual.h"

#include <math.h>
#include <string.h>

#include "model/solve/dual_cells.h"
#include "model/solve/dual_climb.h"
#include "model/solve/dual_tree.h"

#define PRICE_MAX 1e100

static int check_prices(const struct grid *grid, const double *price, struct error *err);
static int check_threads(int threads, struct error *err);
static int check_options(const struct dual_options *options, struct error *err);

int dual_solve(const struct grid *grid, const struct dual_options *options, struct arena *arena,
               struct dual_result *ret_result, struct error *err)
{
    int rc = check_options(options, err);
    rc = rc == 0 && options->start != NULL ? check_prices(grid, options->start, err) : rc;
    if (rc < 0) {
        return rc;
    }
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    struct dual_result result = {.possible = true, .part = -1, .fits = true};
    result.price = arena_array(arena, rows + 1, sizeof(double));
    result.choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    if (result.price == NULL || result.choice == NULL) {
        return dual_no_memory(err);
    }
    struct dual dual;
    rc = dual_begin(grid, options->threads, arena, &dual, err);
    if (rc == 0 && options->start != NULL) {
        memcpy(result.price, options->start, rows * sizeof(double));
    }
    rc = rc == 0 ? dual_scale_init(&dual, err) : rc;
    if (rc == 0 && dual_cells_pay(&dual)) {
        rc = dual_cells_climb(&dual, options, &result, err);
    } else if (rc == 0) {
        rc = dual_climb(&dual, options, &result, err);
    }
    if (rc == 0) {
        result.sweeps = dual.sweeps;
        *ret_result = result;
    }
    dual_end(&dual, arena);
    return rc;
}

int dual_bound(const struct grid *grid, const double *price, int threads, struct arena *arena,
               int *choice, double *ret_bound, struct error *err)
{
    struct dual dual;
    int rc = check_threads(threads, err);
    rc = rc == 0 ? check_prices(grid, price, err) : rc;
    if (rc < 0) {
        return rc;
    }
    rc = dual_begin(grid, threads, arena, &dual, err);
    if (rc == 0) {
        struct dual_least least;
        dual_least_run(&dual, price, choice, NULL, &least);
        *ret_bound = least.stuck < 0 ? least.bound : INFINITY;
    }
    dual_end(&dual, arena);
    return rc;
}

int dual_no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of a placement problem");
}

int dual_begin(const struct grid *grid, int threads, struct arena *arena, struct dual *dual,
               struct error *err)
{
    memset(dual, 0, sizeof(*dual));
    dual->grid = grid;
    arena_init(&dual->work, arena->bytes_max - arena->bytes_used);
    dual->work.fail_after = arena->fail_after;
    dual->rows = (size_t)grid->sites * (size_t)grid->resources;
    dual->stride = ((size_t)grid->sites + DUAL_PAD - 1) / DUAL_PAD * DUAL_PAD;
#if defined(__x86_64__)
    dual->wide = __builtin_cpu_supports("avx2");
#endif
    for (int part = 0; part < grid->parts; part++) {
        int cells = grid_cells(grid, part);
        dual->cells_max = cells > dual->cells_max ? cells : dual->cells_max;
    }
    dual->pool = dual_pool_create(threads, &dual->work);
    if (dual->pool == NULL) {
        return dual_no_memory(err);
    }
    int rc = dual_plan(grid, &dual->work, &dual->tree, err);
    return rc == 0 ? dual_least_init(dual, err) : rc;
}

void dual_end(struct dual *dual, struct arena *arena)
{
    dual_pool_destroy(dual->pool);
    arena->fail_after = dual->work.fail_after;
    arena_done(&dual->work);
}

static int check_prices(const struct grid *grid, const double *price, struct error *err)
{
    size_t resources = (size_t)grid->resources;
    for (size_t row = 0; row < (size_t)grid->sites * resources; row++) {
        if (!(price[row] >= 0 && price[row] <= PRICE_MAX)) {
            return error_set(err, ERR_INVALID, 0,
                             "the price of site %zu, resource %zu is %g: prices are 0 to %g",
                             row / resources, row % resources, price[row], PRICE_MAX);
        }
    }
    return 0;
}

static int check_threads(int threads, struct error *err)
{
    if (threads < 0 || threads > DUAL_THREADS_MAX) {
        return error_set(err, ERR_INVALID, 0, "%d threads: 0 to %d may be asked for", threads,
                         DUAL_THREADS_MAX);
    }
    return 0;
}

static int check_options(const struct dual_options *options, struct error *err)
{
    int rc = check_threads(options->threads, err);
    if (rc < 0) {
        return rc;
    }
    if (!(options->sweeps_max >= 0) || !(options->gap >= 0)) {
        return error_set(err, ERR_INVALID, 0, "sweeps_max %g, gap %g: neither may be below 0",
                         options->sweeps_max, options->gap);
    }
    return 0;
}
