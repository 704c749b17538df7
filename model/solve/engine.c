#include "model/solve/engine.h"

#include <math.h>
#include <string.h>

#include "model/solve/branch.h"
#include "model/solve/classes.h"
#include "model/solve/primal.h"
#include "model/solve/primal_bound.h"
#include "model/solve/primal_cover.h"
#include "model/solve/solve.h"
#include "model/solve/subsets.h"
#include "model/solve/whole.h"
#include "model/solve/wide.h"

/* Additions that branch and bound may take unless told: some seconds. */
#define BRANCH_WORK  INT64_C(4000000000)
#define LIFTED_SHARE 4 /* so much of it again for the better bound, when that did not prove it */
/* Cells of tables that branch and bound is tried on, and cells of parts that GLPK is. */
#define BRANCH_CELLS 4000000.0
#define GLPK_CELLS   6000
/* Sites up to which a placement by counts is searched further unless that is asked for. */
#define COUNTED_SITES 400
/* Cells up to which whole parts are tried for a better bound: beyond, they add next to nothing. */
#define WHOLE_CELLS 600000.0
/* Sets of parts that are tried before prices: less than a tenth of a second. Where there are more,
 * capacity is seldom in the way, and prices alone may do. */
#define SETS_QUICK ((size_t)1 << 20)
/* Additions of the search for prices when the answer is proven: they are its certificate. */
#define PROVEN_WORK 2e6
/* Entries per part that the search looks at before GLPK is asked: a tenth of a second or so. */
#define QUICK_MOVES 100000
/* Parts of sets that are read before GLPK is asked: some tenths of a second. */
#define QUICK_COVER 4e8
#define COVER_NEAR  64
/* Entries that chains look at before covers are tried at length, and theirs after that. */
#define LONG_CHAINS 2e9

struct engine {
    const struct grid *grid;
    const struct engine_options *options;
    struct arena *arena;
    struct engine_result result;
    bool found;
    bool counted;  /* by kinds and groups */
    int64_t *load; /* [row] */
    int *current;  /* of options->start */
    bool covers;   /* the short search for covers found something cheaper */
    double *worth; /* [part] at which whole parts prove the bound; NULL: they were not tried */
};

static int check_options(const struct engine_options *options, struct error *err);
static int part_too_large(const struct grid *grid);
static void take_start(struct engine *engine);
static int take_prices(struct engine *engine, struct dual_result *dual, struct error *err);
static int take_counted(struct engine *engine, struct dual_result *dual, bool *ret_done,
                        struct error *err);
static int search_cheap(struct engine *engine, const struct dual_result *dual, double moves_max,
                        struct error *err);
static double quick_moves(const struct engine *engine);
static int settle(struct engine *engine, struct error *err);
static int raise_bound(struct engine *engine, struct error *err);
static int search_covers(struct engine *engine, double work, struct error *err);
static int search_long(struct engine *engine, const struct dual_result *dual, struct error *err);
static int settle_linked(struct engine *engine, struct error *err);
static int settle_wide(struct engine *engine, bool *ret_done, struct error *err);
static int settle_subsets(struct engine *engine, size_t sets_max, bool *ret_listed,
                          struct error *err);
static int branch_on(struct engine *engine, const struct branch_options *options,
                     struct error *err);
static int settle_loose(struct engine *engine, struct error *err);
static int copy_open(struct engine *engine, struct grid *grid, size_t *ret_cells,
                     struct error *err);
static void take(struct engine *engine, const int *choice);
static bool good_enough(const struct engine *engine);
static bool goes_on(const struct engine *engine);
static void finish(struct engine *engine);

int engine_solve(const struct grid *grid, const struct engine_options *options, struct arena *arena,
                 struct engine_result *ret_result, struct error *err)
{
    int rc = check_options(options, err);
    rc = rc == 0 ? grid_check(grid, err) : rc;
    if (rc < 0) {
        return rc;
    }
    struct engine engine = {.grid = grid, .options = options, .arena = arena};
    engine.result = (struct engine_result){.status = SOLVE_NONE, .part = -1, .bound = -INFINITY};
    size_t rows = (size_t)grid->sites * (size_t)grid->resources;
    engine.load = arena_array(arena, rows + 1, sizeof(int64_t));
    engine.result.choice = arena_array(arena, (size_t)grid->parts + 1, sizeof(int));
    if (engine.load == NULL || engine.result.choice == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", grid->parts);
    }
    struct dual_result dual = {.part = -1};
    engine.result.part = part_too_large(grid);
    if (engine.result.part >= 0) {
        engine.result.status = SOLVE_INFEASIBLE;
        *ret_result = engine.result;
        return 0;
    }
    take_start(&engine);
    bool listed = false;
    rc = settle_subsets(&engine, SETS_QUICK, &listed, err);
    rc = rc == 0 && engine.result.status == SOLVE_NONE ? take_prices(&engine, &dual, err) : rc;
    if (rc == 0 && engine.result.status == SOLVE_NONE && !listed && !good_enough(&engine)) {
        rc = settle_subsets(&engine, 0, &listed, err);
    }
    if (rc == 0 && engine.result.status != SOLVE_INFEASIBLE && !good_enough(&engine)) {
        rc = search_cheap(&engine, &dual, quick_moves(&engine), err);
    }
    if (rc == 0 && engine.result.status == SOLVE_NONE && !good_enough(&engine) &&
        goes_on(&engine)) {
        rc = raise_bound(&engine, err);
        rc = rc == 0 ? search_covers(&engine, QUICK_COVER, err) : rc;
    }
    if (rc == 0 && engine.result.status == SOLVE_NONE && !good_enough(&engine) &&
        goes_on(&engine)) {
        rc = settle(&engine, err);
    }
    /* What could not be proven at once is searched at length, and tried again if that helped. */
    int64_t before = engine.found ? engine.result.cost : INT64_MAX;
    if (rc == 0 && engine.result.status == SOLVE_NONE && !good_enough(&engine) &&
        quick_moves(&engine) != options->moves_max) {
        rc = search_long(&engine, &dual, err);
        if (rc == 0 && engine.found && engine.result.cost < before && !good_enough(&engine)) {
            rc = settle(&engine, err);
        }
    }
    if (rc == 0) {
        finish(&engine);
        *ret_result = engine.result;
    }
    return rc;
}

static int check_options(const struct engine_options *options, struct error *err)
{
    if (!(options->gap >= 0) || isinf(options->gap)) {
        return error_set(err, ERR_INVALID, 0, "a gap of %g: it is a number, 0 or more",
                         options->gap);
    }
    if (!(options->moves_max >= 0) || isinf(options->moves_max)) {
        return error_set(err, ERR_INVALID, 0, "%g moves per part: it is a number, 0 or more",
                         options->moves_max);
    }
    return 0;
}

/* A part that no site can hold: prices would let it be divided. -1: there is none. */
static int part_too_large(const struct grid *grid)
{
    for (int part = 0; part < grid->parts; part++) {
        bool fits = false;
        for (int cell = 0; cell < grid_cells(grid, part) && !fits; cell++) {
            const int32_t *demand = grid_demand(grid, part, cell);
            const int64_t *capacity =
                grid->capacity + (size_t)grid_site(grid, part, cell) * (size_t)grid->resources;
            fits = grid_cost_raw(grid, part, cell) != GRID_CLOSED;
            for (int r = 0; r < grid->resources && fits; r++) {
                fits = demand[r] <= capacity[r];
            }
        }
        if (!fits) {
            return part;
        }
    }
    return -1;
}

static void take_start(struct engine *engine)
{
    if (engine->options->start != NULL) {
        take(engine, engine->options->start);
    } else if (engine->grid->current != NULL) {
        take(engine, engine->grid->current);
    }
}

static int take_prices(struct engine *engine, struct dual_result *dual, struct error *err)
{
    const struct engine_options *options = engine->options;
    struct dual_options given = {.threads = options->threads,
                                 .gap = options->gap / 4,
                                 .work_max = good_enough(engine) ? PROVEN_WORK : 0,
                                 .start = options->price,
                                 .progress = options->progress,
                                 .context = options->context};
    int rc = take_counted(engine, dual, &engine->counted, err);
    if (rc == 0 && !engine->counted) {
        rc = dual_solve(engine->grid, &given, engine->arena, dual, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!dual->possible || !dual->fits) {
        engine->result.status = SOLVE_INFEASIBLE;
        engine->result.part = dual->part;
        return 0;
    }
    engine->result.bound = fmax(engine->result.bound, dual->bound);
    engine->result.bound_priced = dual->bound;
    engine->result.price = dual->price;
    if (!good_enough(engine)) {
        take(engine, dual->choice);
    }
    return 0;
}

/* Where many parts or sites are alike, counts of them say the same in less time. */
static int take_counted(struct engine *engine, struct dual_result *dual, bool *ret_done,
                        struct error *err)
{
    const struct engine_options *options = engine->options;
    struct classes_options given = {.threads = options->threads,
                                    .seed = options->seed,
                                    .gap = options->gap,
                                    .progress = options->progress,
                                    .context = options->context};
    size_t rows = (size_t)engine->grid->sites * (size_t)engine->grid->resources;
    for (size_t row = 0; options->price != NULL && row < rows; row++) {
        if (!(options->price[row] >= 0)) {
            return 0; /* dual_solve has the words for it */
        }
    }
    int *choice = arena_array(engine->arena, (size_t)engine->grid->parts + 1, sizeof(int));
    if (choice == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", engine->grid->parts);
    }
    bool found = false;
    int rc =
        classes_solve(engine->grid, &given, engine->arena, dual, choice, &found, ret_done, err);
    if (rc == 0 && found) {
        engine->result.bound = fmax(engine->result.bound, dual->bound);
        take(engine, choice);
    }
    return rc;
}

/* Loose parts that GLPK may prove soon are not searched at length before. */
static double quick_moves(const struct engine *engine)
{
    const struct grid *grid = engine->grid;
    double moves = engine->options->moves_max;
    double cells = (double)grid->parts * (double)grid->sites;
    bool quick = grid->links == 0 && grid->cell_demand != NULL && cells <= GLPK_CELLS;
    return quick && (moves == 0 || moves > QUICK_MOVES) ? QUICK_MOVES : moves;
}

static int search_cheap(struct engine *engine, const struct dual_result *dual, double moves_max,
                        struct error *err)
{
    const struct engine_options *options = engine->options;
    bool asked = options->moves_max > 0 || engine->grid->sites <= COUNTED_SITES;
    if (engine->counted && engine->found && !asked) {
        return 0; /* the core of so many sites takes minutes, and counts have been improved on */
    }
    struct primal_options given = {.threads = options->threads,
                                   .seed = options->seed,
                                   .moves_max = moves_max,
                                   .gap = options->gap,
                                   .start = engine->found ? engine->result.choice : options->start,
                                   .progress = options->progress,
                                   .context = options->context};
    struct primal_result primal;
    int rc = primal_solve(engine->grid, dual, &given, engine->arena, &primal, err);
    if (rc == 0 && primal.found) {
        take(engine, primal.choice);
    }
    return rc;
}

/* What is small enough is proven. */
static int settle(struct engine *engine, struct error *err)
{
    return engine->grid->links > 0 ? settle_linked(engine, err) : settle_loose(engine, err);
}

/* Without capacities in the way, elimination with large tables ends the matter. */
static int settle_wide(struct engine *engine, bool *ret_done, struct error *err)
{
    struct wide_result wide;
    int rc = wide_solve(engine->grid, engine->arena, &wide, err);
    if (rc < 0 || !wide.fits) {
        return rc;
    }
    if (!wide.possible) {
        engine->result.status = SOLVE_INFEASIBLE;
        *ret_done = true;
        return 0;
    }
    engine->result.bound = fmax(engine->result.bound, (double)wide.least);
    take(engine, wide.choice);
    *ret_done = good_enough(engine);
    return 0;
}

static int settle_linked(struct engine *engine, struct error *err)
{
    const struct grid *grid = engine->grid;
    bool done = false;
    int rc = settle_wide(engine, &done, err);
    if (rc < 0 || done) {
        return rc;
    }
    double cells = 0;
    for (int i = 0; i < grid->links; i++) {
        cells +=
            (double)grid_cells(grid, grid->link[i].a) * (double)grid_cells(grid, grid->link[i].b);
    }
    if (cells * grid->parts > 64 * BRANCH_CELLS || cells > BRANCH_CELLS) {
        return 0; /* a level of each part would not fit */
    }
    int64_t work = engine->options->work_max > 0 ? engine->options->work_max : BRANCH_WORK;
    struct branch_options given = {.work_max = work,
                                   .price = engine->result.price,
                                   .start = engine->found ? engine->result.choice : NULL,
                                   .progress = engine->options->progress,
                                   .context = engine->options->context};
    rc = branch_on(engine, &given, err);
    if (rc == 0 && engine->result.status == SOLVE_NONE && !good_enough(engine) && goes_on(engine)) {
        /* Nodes that cost more seldom prove what cheap ones could not; their bound is better. */
        given.lifted = true;
        given.work_max = work / LIFTED_SHARE + 1; /* 0 would be no limit */
        given.start = engine->result.choice;
        rc = branch_on(engine, &given, err);
    }
    return rc;
}

/* Where the cost falls apart by site, sets of parts say more than tables of pairs. */
static int settle_subsets(struct engine *engine, size_t sets_max, bool *ret_listed,
                          struct error *err)
{
    if (engine->grid->links == 0) {
        return 0;
    }
    int64_t work = engine->options->work_max > 0 ? engine->options->work_max : BRANCH_WORK;
    struct subsets_options given = {.work_max = work,
                                    .sets_max = sets_max,
                                    .start = engine->found ? engine->result.choice : NULL,
                                    .progress = engine->options->progress,
                                    .context = engine->options->context};
    struct subsets_result subsets;
    int rc = subsets_solve(engine->grid, &given, engine->arena, &subsets, err);
    if (rc < 0 || !subsets.fits) {
        return rc;
    }
    *ret_listed = true;
    engine->result.nodes += subsets.nodes;
    if (subsets.found) {
        take(engine, subsets.choice);
    } else if (subsets.proven) {
        engine->result.status = SOLVE_INFEASIBLE;
    }
    if (subsets.found || !subsets.proven) {
        engine->result.bound = fmax(engine->result.bound, (double)subsets.bound);
    }
    return 0;
}

static int branch_on(struct engine *engine, const struct branch_options *options, struct error *err)
{
    struct branch_result branch;
    struct error refused = {0};
    int rc = branch_solve(engine->grid, options, engine->arena, &branch, &refused);
    if (rc == ERR_LIMIT) {
        return 0; /* too large for it: what is known stays */
    }
    if (rc < 0) {
        return error_set(err, rc, 0, "%s", refused.text);
    }
    engine->result.nodes += branch.nodes;
    if (branch.found) {
        take(engine, branch.choice);
    } else if (branch.proven) {
        engine->result.status = SOLVE_INFEASIBLE;
        return 0;
    }
    if ((double)branch.bound > engine->result.bound) {
        engine->result.bound = (double)branch.bound;
    }
    return 0;
}

/* Loose parts: those cells whose reduced cost alone is above the gap are out, whatever the rest
 * does; what is left goes to GLPK. */
static int settle_loose(struct engine *engine, struct error *err)
{
    struct grid open = *engine->grid;
    size_t cells = 0;
    int rc = copy_open(engine, &open, &cells, err);
    if (rc < 0 || cells > GLPK_CELLS) {
        return rc;
    }
    struct problem problem;
    struct error refused = {0};
    /* A unit of cost is a million nano-dollars to the exact solver: its tolerance is far below. */
    rc = whole_problem(&open, 1000000, engine->arena, &problem, &refused);
    if (rc < 0) {
        return rc == ERR_NO_MEMORY ? error_set(err, rc, 0, "%s", refused.text) : 0;
    }
    for (int part = 0; engine->found && part < problem.part_count; part++) {
        problem.parts[part].current = engine->result.choice[part];
    }
    struct solve_options budget = {0};
    struct solution solution;
    solve_problem(&problem, &budget, engine->arena, &solution);
    engine->result.nodes += solution.nodes;
    if (solution.choice != NULL &&
        (solution.status == SOLVE_OPTIMAL || solution.status == SOLVE_FEASIBLE)) {
        take(engine, solution.choice);
        /* Of the cells that are left; with any other the cost is at least that of the best. */
        double bound = ceil((double)solution.bound_nusd / 1e6);
        bound = fmin(bound, (double)engine->result.cost);
        engine->result.bound = fmax(engine->result.bound, bound);
    } else if (solution.status == SOLVE_INFEASIBLE && !engine->found) {
        engine->result.status = SOLVE_INFEASIBLE;
    } else if (solution.status == SOLVE_INFEASIBLE) {
        engine->result.bound = (double)engine->result.cost;
    }
    return 0;
}

/* Loose parts that fill their sites badly: prices divide parts, sites cannot. */
static int raise_bound(struct engine *engine, struct error *err)
{
    const struct grid *grid = engine->grid;
    const struct engine_options *options = engine->options;
    double cells = (double)grid->parts * (double)grid->sites;
    if (grid->links > 0 || engine->counted || cells > WHOLE_CELLS ||
        (!engine->found && cells > COVER_CELLS)) {
        return 0; /* too many, or nothing to hold a bound against */
    }
    double cost = engine->found ? (double)engine->result.cost : INFINITY;
    struct primal_bound_options given = {.threads = options->threads,
                                         .sets_max = options->moves_max * grid->parts,
                                         .price = engine->result.price,
                                         .bound = engine->result.bound_priced,
                                         .target = engine->found ? cost - options->gap * fabs(cost)
                                                                 : INFINITY,
                                         .progress = options->progress,
                                         .context = options->context,
                                         .best = cost};
    if (cells <= COVER_CELLS) {
        given.worth = arena_array(engine->arena, (size_t)grid->parts + 1, sizeof(double));
        if (given.worth == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d parts", grid->parts);
        }
    }
    struct primal_bound_result result;
    int rc = primal_bound_raise(grid, &given, engine->arena, &result, err);
    if (rc == 0) {
        engine->result.bound = fmax(engine->result.bound, result.bound);
        engine->worth = result.rounds > 0 ? given.worth : NULL;
    }
    return rc;
}

/* Few parts at each site: sets of them that cost little. */
static int search_covers(struct engine *engine, double work, struct error *err)
{
    const struct engine_options *options = engine->options;
    if (engine->worth == NULL || good_enough(engine) || !goes_on(engine)) {
        return 0;
    }
    double most = options->moves_max * engine->grid->parts;
    double bound = engine->result.bound;
    /* While none is known, one that is so near the bound is looked for. */
    double cost = ceil(bound + fabs(bound) / COVER_NEAR) + 1;
    struct cover_options given = {.threads = options->threads,
                                  .seed = options->seed,
                                  .work_max = most > 0 && (work == 0 || most < work) ? most : work,
                                  .price = engine->result.price,
                                  .worth = engine->worth,
                                  .cost = engine->found ? engine->result.cost : (int64_t)cost,
                                  .target = bound + options->gap * fabs(bound),
                                  .progress = options->progress,
                                  .context = options->context,
                                  .bound = bound};
    struct cover_result cover;
    int rc = cover_solve(engine->grid, &given, engine->arena, &cover, err);
    if (rc < 0 || !cover.fits) {
        return rc;
    }
    engine->covers = cover.found;
    if (cover.found) {
        take(engine, cover.choice);
    }
    bound = cover.proven ? (double)cover.cost : fmin(cover.bound, (double)cover.cost);
    engine->result.bound = fmax(engine->result.bound, bound);
    return 0;
}

/* Goes on with what the short searches did better with. */
static int search_long(struct engine *engine, const struct dual_result *dual, struct error *err)
{
    double moves = engine->options->moves_max;
    if (engine->worth == NULL) {
        return search_cheap(engine, dual, moves, err);
    }
    int rc = 0;
    if (!engine->covers) {
        rc = search_cheap(engine, dual, moves > 0 ? moves : LONG_CHAINS / engine->grid->parts, err);
    }
    return rc == 0 ? search_covers(engine, 0, err) : rc;
}

/* Closes the cells that no assignment cheaper than the best can take: cost + price * demand above
 * the part's least by the whole gap or more. */
static int copy_open(struct engine *engine, struct grid *grid, size_t *ret_cells, struct error *err)
{
    const struct grid *whole = engine->grid;
    size_t cells =
        grid_first(whole, whole->parts - 1) + (size_t)grid_cells(whole, whole->parts - 1);
    if (cells > 64 * GLPK_CELLS) {
        *ret_cells = cells;
        return 0;
    }
    uint32_t *cost = arena_copy(engine->arena, whole->cost, cells * sizeof(uint32_t));
    if (cost == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu cells", cells);
    }
    grid->cost = cost;
    double room =
        engine->found ? (double)engine->result.cost - engine->result.bound_priced : INFINITY;
    for (int part = 0; part < whole->parts; part++) {
        double least = INFINITY;
        for (int turn = 0; turn < 2; turn++) {
            for (int cell = 0; cell < grid_cells(whole, part); cell++) {
                if (grid_cost_raw(whole, part, cell) == GRID_CLOSED) {
                    continue;
                }
                const int32_t *demand = grid_demand(whole, part, cell);
                const double *price =
                    engine->result.price + grid_site(whole, part, cell) * whole->resources;
                double reduced = (double)grid_cost(whole, part, cell);
                for (int r = 0; r < whole->resources; r++) {
                    reduced += price[r] * (double)demand[r];
                }
                if (turn == 0) {
                    least = fmin(least, reduced);
                } else if (reduced - least > room * (1 + 1e-9) + 1e-6 * fabs(reduced)) {
                    cost[grid_first(whole, part) + (size_t)cell] = GRID_CLOSED;
                } else {
                    (*ret_cells)++;
                }
            }
        }
    }
    return 0;
}

/* An assignment that keeps everything and is cheaper becomes the answer. */
static void take(struct engine *engine, const int *choice)
{
    const struct grid *grid = engine->grid;
    for (int part = 0; part < grid->parts; part++) {
        if (choice[part] < 0) {
            return; /* where it is now may be nowhere */
        }
    }
    grid_load_of(grid, choice, engine->load);
    if (grid_broken(grid, engine->load, choice) > 0) {
        return;
    }
    int64_t cost = grid_cost_of(grid, choice);
    if (!engine->found || cost < engine->result.cost) {
        engine->found = true;
        engine->result.cost = cost;
        if (choice != engine->result.choice) {
            memcpy(engine->result.choice, choice, (size_t)grid->parts * sizeof(int));
        }
    }
}

/* Within the gap asked for, or so near that no whole number is between. */
static bool good_enough(const struct engine *engine)
{
    if (!engine->found) {
        return false;
    }
    double cost = (double)engine->result.cost;
    double over = cost - engine->result.bound;
    return over < 1 || over <= engine->options->gap * fabs(cost);
}

/* Whether who asked still wants more. */
static bool goes_on(const struct engine *engine)
{
    const struct engine_options *options = engine->options;
    double best = engine->found ? (double)engine->result.cost : INFINITY;
    return options->progress == NULL ||
           options->progress(options->context, engine->result.bound, best);
}

static void finish(struct engine *engine)
{
    struct engine_result *result = &engine->result;
    if (result->status == SOLVE_INFEASIBLE || !engine->found) {
        return;
    }
    double cost = (double)result->cost;
    /* Costs are whole numbers: less than one above the bound is none above it. */
    result->bound = cost - result->bound < 1 ? cost : result->bound;
    result->status = result->bound >= cost ? SOLVE_OPTIMAL : SOLVE_FEASIBLE;
    result->gap = result->bound >= cost ? 0 : (cost - result->bound) / fmax(fabs(cost), 1);
}
