#include "model/solve/warm.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solve/certify.h"
#include "model/solve/engine_session.h"
#include "model/solve/mip.h"
#include "model/solve/reduce.h"
#include "model/solve/shape.h"

#define BYTES_MAX  ((size_t)2 << 30)
#define POOR_USUAL 10 /* gaps */
/* As much as the base has above its tiers' lines: more is looked into. */
#define TIERS_MORE 2

struct warm {
    const struct problem *base;
    struct warm_options options;
    struct arena arena;
    bool is_solved; /* the base was, as far as it can be */
    int *choice;    /* [part] of the base; NULL: it has none */
    double above;   /* what tiers charge there above their lines, of its cost */
    struct reduced reduced;
    struct shape shape;
    struct engine_session *engine; /* NULL: every problem is solved by itself */
    struct watch *watch;           /* of the problem at hand */
    struct warm_counts counts;
};

static void base_solve(struct warm *warm, struct watch *watch);
static int base_follow(struct warm *warm, struct watch *watch, struct error *err);
static int start_of_base(struct warm *warm, struct watch *watch, int *cells, double *price,
                         bool *ret_found, struct error *err);
static bool follow(struct warm *warm, const struct problem *problem, struct arena *arena,
                   struct solution *out, int **ret_known);
static double above_lines(const struct problem *problem, const int *choice,
                          const struct shape *shape, int64_t grid_cost);
static const int *cheapest(const struct warm *warm, const struct problem *problem, const int *found,
                           struct arena *arena);
static int keep_prices(const struct reduced *reduced, const struct shape *shape,
                       const struct engine_result *answer, struct arena *arena,
                       struct solution *out);
static const int *start_of(const struct warm *warm, const struct problem *problem, bool is_alike,
                           struct arena *arena);
static int part_called(const struct problem *base, const char *name, int guess);
static int choice_like(const struct warm *warm, int from, const struct problem *problem, int part);

int warm_create(const struct problem *base, const struct warm_options *options,
                struct warm **ret_warm, struct error *err)
{
    struct warm *warm = calloc(1, sizeof(*warm));
    if (warm == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a session");
    }
    warm->base = base;
    warm->options = *options;
    if (warm->options.gap_poor <= 0) {
        warm->options.gap_poor = POOR_USUAL * warm->options.gap;
    }
    arena_init(&warm->arena, BYTES_MAX);
    *ret_warm = warm;
    return 0;
}

void warm_destroy(struct warm *warm)
{
    if (warm == NULL) {
        return;
    }
    engine_session_destroy(warm->engine);
    arena_done(&warm->arena);
    free(warm);
}

struct warm_counts warm_counts(const struct warm *warm)
{
    return warm->counts;
}

void warm_solve(struct warm *warm, const struct problem *problem, bool is_alike,
                struct watch *watch, struct arena *arena, struct solution *ret_solution)
{
    if (!warm->is_solved) {
        base_solve(warm, watch);
    }
    int *known = NULL;
    warm->watch = watch;
    if (is_alike && warm->engine != NULL && watch_goes_on(watch) &&
        follow(warm, problem, arena, ret_solution, &known)) {
        warm->counts.followed++;
        return;
    }
    warm->counts.ordinary++;
    struct solve_options options = {.nodes_max = warm->options.nodes_max,
                                    .gap = warm->options.gap,
                                    .start = known,
                                    .watch = watch};
    if (known == NULL) {
        options.start = start_of(warm, problem, is_alike, arena);
    }
    solve_problem(problem, &options, arena, ret_solution);
}

/* ---- the base ---- */

/* Whoever cancels the work while the base is solved asks for it again with the next problem. */
static void base_solve(struct warm *warm, struct watch *asked)
{
    struct watch watch;
    struct error err = {0};
    watch_begin(&watch, warm->options.time_max_us);
    if (asked != NULL) {
        watch.wanted = asked->wanted;
        watch.context = asked->context;
    }
    arena_reset(&warm->arena);
    warm->choice = NULL;
    if (base_follow(warm, &watch, &err) < 0) {
        engine_session_destroy(warm->engine);
        warm->engine = NULL;
    }
    if (warm->choice == NULL && watch_goes_on(&watch)) {
        struct solution solution;
        struct solve_options options = {
            .nodes_max = warm->options.nodes_max, .gap = warm->options.gap, .watch = &watch};
        solve_problem(warm->base, &options, &warm->arena, &solution);
        warm->choice = solution.choice;
    }
    warm->is_solved = watch.end != WATCH_CANCELLED;
    if (!warm->is_solved) {
        engine_session_destroy(warm->engine);
        warm->engine = NULL;
    }
    if (asked != NULL) {
        asked->began_us += clock_mono_now().us - watch.began_us;
        asked->end = watch.end == WATCH_CANCELLED ? WATCH_CANCELLED : asked->end;
    }
}

static bool on_follow(void *context, double bound, double best)
{
    struct warm *warm = context;
    (void)bound;
    (void)best;
    return watch_goes_on(warm->watch);
}

/* Opens the engine's session, if the base is of that kind. */
static int base_follow(struct warm *warm, struct watch *watch, struct error *err)
{
    struct reduce_options plain = {.without_capacities = true, .watch = watch};
    int rc = reduce_build_as(warm->base, &plain, &warm->arena, &warm->reduced, err);
    if (rc < 0 || warm->reduced.cut || warm->reduced.empty ||
        mip_columns(&warm->reduced) <= WARM_COLUMNS) {
        return rc;
    }
    rc = shape_build(&warm->reduced, &warm->arena, &warm->shape, err);
    if (rc < 0 || !warm->shape.exact) {
        return rc;
    }
    size_t rows = (size_t)warm->shape.grid.sites * RESOURCE_COUNT;
    int *cells = arena_array(&warm->arena, (size_t)warm->shape.grid.parts + 1, sizeof(int));
    double *price = arena_array(&warm->arena, rows + 1, sizeof(double));
    if (cells == NULL || price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a session");
    }
    bool found = false;
    rc = start_of_base(warm, watch, cells, price, &found, err);
    if (rc < 0 || !found) {
        return rc;
    }
    struct engine_session_options options = {.threads = warm->options.threads,
                                             .seed = warm->options.seed,
                                             .gap = warm->options.gap,
                                             .gap_poor = warm->options.gap_poor,
                                             .price = price,
                                             .start = cells,
                                             .progress = on_follow,
                                             .context = warm};
    return engine_session_create(&warm->shape.grid, &options, &warm->engine, err);
}

static bool on_progress(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    return watch_told(context, NAN, NAN);
}

/* What the engine makes of the base, back where things are as far as that costs nothing. */
static int start_of_base(struct warm *warm, struct watch *watch, int *cells, double *price,
                         bool *ret_found, struct error *err)
{
    const struct grid *grid = &warm->shape.grid;
    /* The last of the gap can take a hundred times what a problem takes afterwards. */
    double gap = sqrt(warm->options.gap * warm->options.gap_poor);
    struct engine_options options = {.threads = warm->options.threads,
                                     .seed = warm->options.seed,
                                     .gap = gap,
                                     .progress = on_progress,
                                     .context = watch};
    struct engine_result result;
    int *choice = arena_array(&warm->arena, (size_t)grid->parts + 1, sizeof(int));
    if (choice == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a session");
    }
    struct arena work;
    arena_init(&work, BYTES_MAX);
    int rc = engine_solve(grid, &options, &work, &result, err);
    bool placed = rc == 0 && result.price != NULL &&
                  (result.status == SOLVE_OPTIMAL || result.status == SOLVE_FEASIBLE);
    if (placed) {
        shape_choice(&warm->shape, result.choice, choice);
        placed = problem_broken_rule(warm->base, choice) < 0; /* some the grid does not know */
    }
    if (placed) {
        solve_stay(warm->base, &work, choice);
        shape_cells(&warm->shape, choice, cells);
        memcpy(price, result.price, (size_t)grid->sites * RESOURCE_COUNT * sizeof(double));
        warm->choice = choice;
        warm->above = above_lines(warm->base, choice, &warm->shape, grid_cost_of(grid, cells));
        *ret_found = true;
    }
    arena_done(&work);
    return rc;
}

/* ---- a problem ---- */

/* False: it is to be solved by itself, from ret_known if that is not NULL. */
static bool follow(struct warm *warm, const struct problem *problem, struct arena *arena,
                   struct solution *out, int **ret_known)
{
    struct reduced reduced;
    struct shape shape;
    struct engine_result answer;
    struct error err = {0};
    if (reduce_build_like(problem, &warm->reduced, NULL, arena, &reduced, &err) < 0 ||
        shape_build_like(&reduced, &warm->shape, arena, &shape, &err) < 0 ||
        engine_session_solve(warm->engine, &shape.grid, arena, &answer, &err) < 0 ||
        (answer.status != SOLVE_OPTIMAL && answer.status != SOLVE_FEASIBLE)) {
        return false;
    }
    int *choice = arena_array(arena, (size_t)problem->part_count + 1, sizeof(int));
    if (choice == NULL) {
        return false;
    }
    shape_choice(&shape, answer.choice, choice);
    if (problem_broken_rule(problem, choice) >= 0) {
        return false;
    }
    *ret_known = choice;
    double grid_bound = floor(answer.bound);
    if (!(fabs(grid_bound) < 0x1p61)) {
        return false;
    }
    double above = above_lines(problem, choice, &shape, answer.cost);
    choice = (int *)cheapest(warm, problem, choice, arena);
    if (choice == NULL) {
        return false;
    }
    *ret_known = choice;
    int64_t cost = (int64_t)problem_cost(problem, choice);
    nusd bound = (nusd)shape.constant + (nusd)(int64_t)grid_bound;
    nusd off = (nusd)cost - bound;
    double poor = warm->options.gap_poor * fabs((double)cost);
    /* What tiers charge above their lines no search among grids gets rid of: where the base has as
     * much of it, this is no reason to begin one. */
    bool by_tiers = above <= TIERS_MORE * warm->above && (double)answer.cost - grid_bound <= poor;
    if (off > solve_tolerance(cost, 0) && (double)off > poor && !by_tiers) {
        return false;
    }
    *out = (struct solution){.status =
                                 off <= solve_tolerance(cost, 0) ? SOLVE_OPTIMAL : SOLVE_FEASIBLE,
                             .choice = choice,
                             .cost_nusd = cost,
                             .bound_nusd = bound < cost ? (int64_t)bound : cost,
                             .nodes = answer.nodes};
    return keep_prices(&reduced, &shape, &answer, arena, out) == 0;
}

/* How far an assignment's cost is above what its grid says, of its cost. */
static double above_lines(const struct problem *problem, const int *choice,
                          const struct shape *shape, int64_t grid_cost)
{
    nusd cost = problem_cost(problem, choice);
    nusd above = cost - ((nusd)shape->constant + grid_cost);
    return above > 0 ? (double)above / fmax(fabs((double)cost), 1) : 0;
}

/* Of an assignment, the base's, and where things are: what costs least with all tiers, the later
 * of equal ones. NULL: no memory. */
static const int *cheapest(const struct warm *warm, const struct problem *problem, const int *found,
                           struct arena *arena)
{
    int *now = arena_array(arena, (size_t)problem->part_count + 1, sizeof(int));
    if (now == NULL) {
        return NULL;
    }
    bool is_somewhere = true;
    for (int part = 0; part < problem->part_count; part++) {
        now[part] = problem->parts[part].current;
        is_somewhere = is_somewhere && now[part] >= 0;
    }
    const int *others[] = {warm->choice, is_somewhere ? now : NULL};
    nusd least = problem_cost(problem, found);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        nusd cost = others[i] != NULL ? problem_cost(problem, others[i]) : 0;
        if (others[i] != NULL && cost <= least && problem_broken_rule(problem, others[i]) < 0) {
            least = cost;
            found = others[i];
        }
    }
    return found;
}

static int keep_prices(const struct reduced *reduced, const struct shape *shape,
                       const struct engine_result *answer, struct arena *arena,
                       struct solution *out)
{
    size_t rules = (size_t)reduced->problem->rule_count + 1;
    out->price = arena_array(arena, rules, sizeof(double));
    out->meter_price = reduced->meter_price;
    if (out->price == NULL) {
        return ERR_NO_MEMORY;
    }
    if (answer->price != NULL) {
        solve_prices_of(shape, answer->price, out->price);
    }
    return 0;
}

/* The base's placement as one of the problem: of the part of that name, at that site in that
 * variant; else where things are. NULL: there is none. */
static const int *start_of(const struct warm *warm, const struct problem *problem, bool is_alike,
                           struct arena *arena)
{
    if (warm->choice == NULL || is_alike) {
        return warm->choice;
    }
    int *start = arena_array(arena, (size_t)problem->part_count + 1, sizeof(int));
    int next = 0;
    for (int part = 0; start != NULL && part < problem->part_count; part++) {
        int from = part_called(warm->base, problem->parts[part].name, next);
        start[part] = from >= 0 ? choice_like(warm, from, problem, part) : -1;
        start[part] = start[part] < 0 ? problem->parts[part].current : start[part];
        next = from >= 0 ? from + 1 : next;
    }
    return start;
}

/* Lists that differ in a few parts are in step for most of their way. */
static int part_called(const struct problem *base, const char *name, int guess)
{
    if (guess < base->part_count && str_equal(base->parts[guess].name, name)) {
        return guess;
    }
    for (int i = 0; i < base->part_count; i++) {
        if (str_equal(base->parts[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static int choice_like(const struct warm *warm, int from, const struct problem *problem, int part)
{
    const struct problem_choice *x = &warm->base->parts[from].choices[warm->choice[from]];
    for (int choice = 0; choice < problem->parts[part].choice_count; choice++) {
        const struct problem_choice *y = &problem->parts[part].choices[choice];
        if (x->variant == y->variant &&
            str_equal(warm->base->site_names[x->site], problem->site_names[y->site])) {
            return choice;
        }
    }
    return -1;
}
