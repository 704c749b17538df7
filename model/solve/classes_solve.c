/* Prices and a placement by way of kinds and groups. */
#include <math.h>

#include "model/solve/classes.h"
#include "model/solve/primal.h"

/* Fewer parts are as well solved one by one. */
#define PARTS_MIN 200
/* Cells of a merged grid, at most: it is a copy. */
#define CELLS_MAX ((size_t)1 << 25)
/* Moves per part of the search on a merged grid: its answer is only a count. */
#define MERGED_MOVES 20000

static int decide(const struct grid *grid, const struct classes *classes,
                  const struct classes_options *options, struct arena *work, double *price,
                  int *count, bool *ret_done, struct error *err);
static int decide_merged(const struct grid *grid, const struct classes *classes,
                         const struct classes_options *options, struct arena *work, double *price,
                         int *count, bool *ret_done, struct error *err);

static int no_memory(struct error *err)
{
    return error_set(err, ERR_NO_MEMORY, 0, "no memory to solve by kinds and groups");
}

int classes_solve(const struct grid *grid, const struct classes_options *options,
                  struct arena *arena, struct dual_result *ret_dual, int *choice, bool *ret_found,
                  bool *ret_done, struct error *err)
{
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    *ret_done = false;
    *ret_found = false;
    if (grid->parts < PARTS_MIN || grid->links > 0 || grid->resources == 0) {
        return 0;
    }
    struct arena work;
    arena_init(&work, arena->bytes_max - arena->bytes_used);
    work.fail_after = arena->fail_after;
    struct dual_result dual = {.possible = true, .part = -1, .fits = true};
    struct classes classes;
    bool done = false;
    int left = 0;
    int rc = classes_find(grid, &work, &classes, err);
    if (rc == 0 && classes.useful) {
        int *count =
            arena_array(&work, (size_t)classes.kinds * (size_t)classes.groups, sizeof(int));
        dual.price = arena_array(arena, rows + 1, sizeof(double));
        dual.choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
        rc = count == NULL || dual.price == NULL || dual.choice == NULL ? no_memory(err) : 0;
        rc = rc == 0 ? decide(grid, &classes, options, &work, dual.price, count, &done, err) : rc;
        if (rc == 0 && done) {
            rc = dual_bound(grid, dual.price, options->threads, arena, dual.choice, &dual.bound,
                            err);
            done = dual.bound < INFINITY;
        }
        if (rc == 0 && done) {
            struct classes_place_options place = {
                .price = dual.price,
                .count = count,
                .good = dual.bound + fmax(options->gap * fabs(dual.bound), 0.5),
                .progress = options->progress,
                .context = options->context,
                .bound = dual.bound};
            rc = classes_place(grid, &classes, &place, &work, choice, &left, err);
        }
    }
    arena->fail_after = work.fail_after;
    arena_done(&work);
    if (rc == 0 && done) {
        *ret_dual = dual;
        *ret_done = true;
        *ret_found = left == 0;
    }
    return rc;
}

static int decide(const struct grid *grid, const struct classes *classes,
                  const struct classes_options *options, struct arena *work, double *price,
                  int *count, bool *ret_done, struct error *err)
{
    int rc = classes_price(grid, classes, work, price, count, ret_done, err);
    bool merge = classes->groups <= grid->sites / 2 &&
                 (size_t)grid->parts * (size_t)classes->groups <= CELLS_MAX;
    if (rc < 0 || *ret_done || !merge) {
        return rc;
    }
    return decide_merged(grid, classes, options, work, price, count, ret_done, err);
}

/* Too many kinds: the groups as sites of a grid of their own, prices and placement by dual.h and
 * primal.h. */
static int decide_merged(const struct grid *grid, const struct classes *classes,
                         const struct classes_options *options, struct arena *work, double *price,
                         int *count, bool *ret_done, struct error *err)
{
    struct grid merged;
    struct dual_result dual;
    struct dual_options given = {.threads = options->threads,
                                 .gap = options->gap / 4,
                                 .progress = options->progress,
                                 .context = options->context};
    int rc = classes_merge(grid, classes, work, &merged, err);
    rc = rc == 0 ? dual_solve(&merged, &given, work, &dual, err) : rc;
    if (rc < 0 || !dual.possible || !dual.fits) {
        return rc;
    }
    struct primal_options search = {.threads = options->threads,
                                    .seed = options->seed,
                                    .moves_max = MERGED_MOVES,
                                    .gap = fmax(options->gap / 4, 1e-6),
                                    .progress = options->progress,
                                    .context = options->context};
    struct primal_result primal;
    rc = primal_solve(&merged, &dual, &search, work, &primal, err);
    if (rc < 0) {
        return rc;
    }
    size_t resources = (size_t)grid->resources;
    for (size_t site = 0; site < (size_t)grid->sites; site++) {
        size_t group = (size_t)classes->group_of[site];
        for (size_t r = 0; r < resources; r++) {
            price[site * resources + r] = dual.price[group * resources + r];
        }
    }
    for (int part = 0; part < grid->parts; part++) {
        size_t kind = (size_t)classes->kind_of[part];
        count[kind * (size_t)classes->groups + (size_t)primal.choice[part]]++;
    }
    *ret_done = true;
    return 0;
}
