#include "model/solve/solve.h"

#include <math.h>
#include <string.h>

#include "base/str.h"
#include "model/solve/certify.h"
#include "model/solve/couple.h"
#include "model/solve/engine.h"
#include "model/solve/mip.h"
#include "model/solve/reduce.h"
#include "model/solve/search.h"
#include "model/solve/shape.h"
#include "model/solve/tiers.h"

/* Additions that finding the prices between components may take: some seconds at most. */
#define COUPLE_WORK (INT64_C(1) << 31)
/* Columns of a programme that GLPK gets through. */
#define COLUMNS_MAX 60000
/* Relative; where the engine for large problems stops. */
#define LARGE_GAP 1e-6
/* Moves that its search tries for each part: some seconds for a thousand of them. */
#define LARGE_MOVES 2000

/* Of a time limit, how much the prices may take: the rest is for the search from them. */
#define PRICES_SHARE 0.5

struct attempt {
    const struct problem *problem;
    const struct solve_options *options;
    struct arena *arena;
    struct reduced reduced;
    struct search *search;
    int *choice;
    int *trial;
    bool found;
    int64_t bound;      /* no assignment that keeps the rules is cheaper */
    double *price;      /* [rule]: the engine's, which prove a bound; NULL: not found yet */
    int64_t constant;   /* what a grid's costs leave out */
    bool price_of_grid; /* the engine's bound is one of the problem */
};

static int run(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
               struct error *err);
static int cut_short(struct attempt *attempt, struct solution *out, struct error *err);
static int64_t least_of(const int64_t *cost, size_t count);
static int fall_apart(struct attempt *attempt, struct solution *out, bool *ret_done,
                      struct error *err);
static int large(struct attempt *attempt, struct solution *out, struct error *err);
static void take_answer(struct attempt *attempt, const struct shape *shape,
                        const struct engine_result *answer);
static int keep_prices(struct attempt *attempt, const struct shape *shape, const double *row_price,
                       struct error *err);
static int divide_volumes(struct attempt *attempt, const struct shape *shape, const double *price,
                          struct error *err);
static bool on_progress(void *context, double bound, double best);
static int prove(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
                 struct error *err);
static bool is_near(const struct attempt *attempt);
static void say_end(const struct attempt *attempt, struct solution *out);
static void start(struct attempt *attempt);
static void incumbent(struct attempt *attempt);
static void consider(struct attempt *attempt);
static void finish(struct attempt *attempt, enum solve_status status, struct solution *out);

void solve_problem(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *ret_solution)
{
    struct solve_options budget = *options;
    if (budget.nodes_max <= 0) {
        budget.nodes_max = INT64_MAX;
        budget.work_max = budget.work_max > 0 ? budget.work_max : SOLVE_WORK_MAX;
    }
    struct attempt attempt = {
        .problem = problem, .options = options, .arena = arena, .bound = INT64_MIN};
    struct solution solution = {.status = SOLVE_NONE};
    struct error err = {0};
    int rc = run(&attempt, &budget, &solution, &err);
    if (rc == 0 && solution.status == SOLVE_INFEASIBLE) {
        rc = solve_conflict(problem, &budget, arena, &solution, &err);
    }
    if (rc == 0 && solution.choice != NULL) {
        rc = solve_certify(&attempt.reduced, attempt.price, options->watch, arena, &solution, &err);
    }
    if (rc == 0 && (solution.status == SOLVE_FEASIBLE || solution.status == SOLVE_NONE)) {
        say_end(&attempt, &solution);
    }
    if (rc == ERR_NO_MEMORY) {
        struct error why = err;
        why.text[LIMIT_TEXT_BYTES - 1] = '\0';
        (void)error_set(&err, rc, 0, SOLVE_MEMORY_TEXT, why.text);
    }
    if (rc < 0) {
        solution = (struct solution){.status = SOLVE_NONE, .nodes = solution.nodes};
        err.text[LIMIT_TEXT_BYTES - 1] = '\0';
        str_format(solution.text, sizeof(solution.text), "%s", err.text);
    }
    *ret_solution = solution;
}

int64_t solve_tolerance(int64_t cost_nusd, int64_t gap_nusd)
{
    int64_t size = cost_nusd < 0 ? -cost_nusd : cost_nusd;
    return 1000 + size / 1000000000 + gap_nusd / 1000000;
}

static int run(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
               struct error *err)
{
    const struct problem *problem = attempt->problem;
    struct reduced *reduced = &attempt->reduced;
    size_t parts = (size_t)problem->part_count + 1;
    attempt->choice = arena_array(attempt->arena, parts, sizeof(int));
    attempt->trial = arena_array(attempt->arena, parts, sizeof(int));
    if (attempt->choice == NULL || attempt->trial == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu parts", parts);
    }
    struct reduce_options reduce = {.watch = attempt->options->watch};
    int rc = reduce_build_as(problem, &reduce, attempt->arena, reduced, err);
    if (rc < 0) {
        return rc;
    }
    if (reduced->cut) {
        return cut_short(attempt, out, err);
    }
    if (reduced->empty) {
        out->status = SOLVE_INFEASIBLE;
        return 0;
    }
    rc = search_create(reduced, attempt->arena, &attempt->search, err);
    if (rc < 0) {
        return rc;
    }
    start(attempt);
    if (!watch_told(attempt->options->watch, NAN,
                    attempt->found ? (double)reduced->cutoff : INFINITY)) {
        if (attempt->found) {
            attempt->bound = reduced->constant;
            finish(attempt, SOLVE_FEASIBLE, out);
        }
        return 0;
    }
    bool done = false;
    rc = fall_apart(attempt, out, &done, err);
    if (rc < 0 || done) {
        return rc;
    }
    if (is_near(attempt) || !watch_told(attempt->options->watch, NAN, NAN)) {
        if (attempt->found) {
            finish(attempt, SOLVE_FEASIBLE, out);
        }
        return 0;
    }
    if (mip_columns(reduced) > COLUMNS_MAX) {
        return large(attempt, out, err);
    }
    incumbent(attempt);
    if (reduced->empty || (attempt->found && reduced->constant >= reduced->cutoff)) {
        /* Without an incumbent cells are closed by rules only. */
        attempt->bound = reduced->cutoff;
        if (attempt->found) {
            finish(attempt, SOLVE_OPTIMAL, out);
        } else {
            out->status = SOLVE_INFEASIBLE;
        }
        return 0;
    }
    return prove(attempt, budget, out, err);
}

/* The time was over before the problem was reduced: what is known of a placement is the answer, and
 * what its tables cost at least is the bound. */
static int cut_short(struct attempt *attempt, struct solution *out, struct error *err)
{
    const struct problem *problem = attempt->problem;
    nusd least = 0;
    start(attempt);
    if (!attempt->found) {
        return 0;
    }
    for (int i = 0; i < problem->part_count; i++) {
        const struct problem_part *part = &problem->parts[i];
        least += least_of(part->cost, (size_t)part->choice_count);
    }
    for (int i = 0; i < problem->pair_count; i++) {
        const struct problem_pair *pair = &problem->pairs[i];
        least += least_of(pair->cost, (size_t)problem->parts[pair->a].choice_count *
                                          (size_t)problem->parts[pair->b].choice_count);
    }
    for (int i = 0; i < problem->meter_count; i++) {
        const struct problem_meter *meter = &problem->meters[i];
        if (least_of(meter->price_nusd, (size_t)meter->tier_count) < 0) {
            return 0; /* then bytes are worth something, and how many there are is not known */
        }
    }
    size_t rules = (size_t)problem->rule_count + 1;
    size_t meters = (size_t)problem->meter_count + 1;
    attempt->price = arena_array(attempt->arena, rules, sizeof(double));
    attempt->reduced.meter_price = arena_array(attempt->arena, meters, sizeof(double));
    if (attempt->price == NULL || attempt->reduced.meter_price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of %zu rules", rules);
    }
    attempt->reduced.constant = INT64_MIN;
    attempt->bound = (int64_t)least;
    finish(attempt, SOLVE_FEASIBLE, out);
    return 0;
}

static int64_t least_of(const int64_t *cost, size_t count)
{
    int64_t least = count > 0 ? cost[0] : 0;
    for (size_t i = 1; i < count; i++) {
        least = cost[i] < least ? cost[i] : least;
    }
    return least;
}

/* Component by component, as far as nothing couples them. */
static int fall_apart(struct attempt *attempt, struct solution *out, bool *ret_done,
                      struct error *err)
{
    struct reduced *reduced = &attempt->reduced;
    struct eliminate *eliminate;
    struct couple_result result;
    int rc = eliminate_create(reduced, attempt->arena, &eliminate, err);
    if (rc < 0 || eliminate == NULL) {
        return rc;
    }
    struct couple_options options = {
        .work_max = COUPLE_WORK, .gap = attempt->options->gap, .watch = attempt->options->watch};
    rc = couple_solve(reduced, eliminate, attempt->search, &options, attempt->arena, attempt->found,
                      attempt->choice, &result, err);
    if (rc < 0) {
        return rc;
    }
    out->nodes = result.nodes;
    *ret_done = !result.possible;
    if (!result.possible) {
        out->status = SOLVE_INFEASIBLE;
        return 0;
    }
    attempt->bound = result.bound;
    attempt->found = result.found;
    if (result.found) {
        reduced->cutoff = result.cost;
        *ret_done = (nusd)result.cost - result.bound <= solve_tolerance(result.cost, 0);
    }
    if (*ret_done) {
        finish(attempt, SOLVE_OPTIMAL, out);
    }
    return 0;
}

/* Too large for GLPK whole: prices, a search from them, and a proof where parts of it are small. */
static int large(struct attempt *attempt, struct solution *out, struct error *err)
{
    struct shape shape;
    struct error refused = {0};
    bool infeasible = false;
    /* A search for what is not there takes its whole budget. */
    int rc = attempt->found ? 0
                            : solve_refute(attempt->problem, attempt->options->watch,
                                           attempt->arena, &infeasible, err);
    if (rc < 0 || infeasible) {
        out->status = SOLVE_INFEASIBLE;
        return rc;
    }
    rc = watch_goes_on(attempt->options->watch)
             ? shape_build(&attempt->reduced, attempt->arena, &shape, &refused)
             : ERR_LIMIT;
    if (rc == ERR_NO_MEMORY) {
        return error_set(err, rc, 0, "%s", refused.text);
    }
    struct engine_result answer = {.status = SOLVE_NONE};
    if (rc == 0) {
        size_t parts = (size_t)attempt->reduced.parts + 1;
        int *cells = arena_array(attempt->arena, parts, sizeof(int));
        if (cells == NULL) {
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for %zu parts", parts);
        }
        shape_cells(&shape, attempt->found ? attempt->choice : attempt->trial, cells);
        double gap = fmax(attempt->options->gap, LARGE_GAP);
        attempt->constant = shape.constant;
        attempt->price_of_grid = true;
        struct engine_options options = {
            .seed = 1, .gap = gap, .moves_max = LARGE_MOVES, .start = cells};
        if (attempt->options->watch != NULL) {
            options.progress = on_progress;
            options.context = attempt;
        }
        rc = engine_solve(&shape.grid, &options, attempt->arena, &answer, err);
        if (rc < 0) {
            return rc;
        }
        take_answer(attempt, &shape, &answer);
        rc = keep_prices(attempt, &shape, answer.price, err);
        rc = rc == 0 ? divide_volumes(attempt, &shape, answer.price, err) : rc;
        if (rc < 0) {
            return rc;
        }
        infeasible = answer.status == SOLVE_INFEASIBLE;
        attempt->price_of_grid = false;
        if (!shape.exact && !infeasible && watch_goes_on(attempt->options->watch)) {
            rc = engine_solve(&shape.strict, &options, attempt->arena, &answer, err);
            if (rc < 0) {
                return rc;
            }
            answer.bound = -INFINITY; /* of a stricter problem: not ours */
            take_answer(attempt, &shape, &answer);
        } else if (infeasible && !attempt->found) {
            out->status = SOLVE_INFEASIBLE;
            return 0;
        }
    }
    if (!attempt->found) {
        str_format(out->text, sizeof(out->text),
                   "no placement that keeps the rules was found, and the problem is too large to "
                   "prove that there is none");
        return 0;
    }
    nusd gap = (nusd)attempt->reduced.cutoff - attempt->bound;
    bool proven = gap <= solve_tolerance(attempt->reduced.cutoff, 0);
    finish(attempt, proven ? SOLVE_OPTIMAL : SOLVE_FEASIBLE, out);
    return 0;
}

/* A bound of the grid is one of the problem; an assignment is evaluated as the problem has it. */
static void take_answer(struct attempt *attempt, const struct shape *shape,
                        const struct engine_result *answer)
{
    double bound = floor(answer->bound);
    if (bound > -0x1p61 && bound < 0x1p61) {
        int64_t here = shape->constant + (int64_t)bound;
        attempt->bound = here > attempt->bound ? here : attempt->bound;
    }
    if (answer->status == SOLVE_OPTIMAL || answer->status == SOLVE_FEASIBLE) {
        shape_choice(shape, answer->choice, attempt->trial);
        consider(attempt);
    }
}

/* The prices of the grid's rows are those of the certificate: they need not be found again. */
static int keep_prices(struct attempt *attempt, const struct shape *shape, const double *row_price,
                       struct error *err)
{
    if (row_price == NULL) {
        return 0;
    }
    size_t rules = (size_t)attempt->problem->rule_count + 1;
    attempt->price = arena_array(attempt->arena, rules, sizeof(double));
    if (attempt->price == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the prices of %zu rules", rules);
    }
    solve_prices_of(shape, row_price, attempt->price);
    return 0;
}

/* What tiers charge above the lines that the grid knows. */
static int divide_volumes(struct attempt *attempt, const struct shape *shape, const double *price,
                          struct error *err)
{
    struct reduced *reduced = &attempt->reduced;
    struct tiers_options options = {.gap = attempt->options->gap,
                                    .price = price,
                                    .moves_max = LARGE_MOVES,
                                    .watch = attempt->options->watch};
    struct tiers_result result;
    if (reduced->meter_count == 0 || !attempt->found || price == NULL || is_near(attempt)) {
        return 0;
    }
    int rc = tiers_solve(reduced, shape, &options, attempt->arena, attempt->choice, &result, err);
    if (rc < 0) {
        return rc;
    }
    reduced->cutoff = result.cost;
    if (result.bound <= attempt->bound) {
        return 0;
    }
    attempt->bound = result.bound;
    return keep_prices(attempt, shape, result.price, err);
}

/* What the engine tells of its grid, as news of the problem. The best is NAN while prices are
 * looked for: those leave time for the search. */
static bool on_progress(void *context, double bound, double best)
{
    struct attempt *attempt = context;
    struct watch *watch = attempt->options->watch;
    double constant = (double)attempt->constant;
    bound = attempt->price_of_grid ? bound + constant : NAN;
    bound = fmax(bound, (double)attempt->bound);
    double known = attempt->found ? (double)attempt->reduced.cutoff : INFINITY;
    bool goes_on = watch_told(watch, bound, fmin(isnan(best) ? INFINITY : best + constant, known));
    return goes_on && !(isnan(best) && watch_is_past(watch, PRICES_SHARE));
}

static int prove(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
                 struct error *err)
{
    struct reduced *reduced = &attempt->reduced;
    struct mip_options options = {.nodes_max = budget->nodes_max,
                                  .work_max = budget->work_max,
                                  .gap = budget->gap,
                                  .watch = budget->watch};
    struct mip_result result;
    int rc =
        mip_solve(reduced, &options, attempt->arena, attempt->found, attempt->choice, &result, err);
    if (rc < 0) {
        return rc;
    }
    out->nodes += result.nodes;
    attempt->found = result.found;
    bool proven = result.outcome == MIP_DONE;
    if (!result.found && proven) {
        out->status = SOLVE_INFEASIBLE;
        return 0;
    }
    if (!result.found) {
        rc = large(attempt, out, err); /* from prices one may be found */
        if (rc < 0 || attempt->found || out->status == SOLVE_INFEASIBLE) {
            return rc;
        }
        str_format(out->text, sizeof(out->text),
                   "the budget is spent, after %lld nodes, before any placement that keeps the "
                   "rules",
                   (long long)out->nodes);
        return 0;
    }
    /* GLPK's word, which holds up to the tolerance. */
    nusd cost = problem_cost(attempt->problem, attempt->choice);
    nusd gap = cost > reduced->constant ? cost - reduced->constant : 0;
    nusd bound = (proven ? cost : result.bound) - solve_tolerance((int64_t)cost, (int64_t)gap);
    attempt->bound = bound > attempt->bound ? (int64_t)bound : attempt->bound;
    finish(attempt, proven ? SOLVE_OPTIMAL : SOLVE_FEASIBLE, out);
    return 0;
}

/* Within the gap that was asked for. */
static bool is_near(const struct attempt *attempt)
{
    double cost = (double)attempt->reduced.cutoff;
    return attempt->options->gap > 0 && attempt->found &&
           cost - (double)attempt->bound <= attempt->options->gap * fabs(cost);
}

/* What ended the work before its budget did. */
static void say_end(const struct attempt *attempt, struct solution *out)
{
    const struct watch *watch = attempt->options->watch;
    char why[LIMIT_TEXT_BYTES / 2] = "";
    if (watch != NULL && watch->end == WATCH_TIME) {
        str_format(why, sizeof(why), "the time limit of %.3g s ended the work",
                   (double)watch->time_max_us / 1e6);
    } else if (watch != NULL && watch->end == WATCH_CANCELLED) {
        str_format(why, sizeof(why), "it was cancelled");
    } else if (out->status == SOLVE_FEASIBLE && is_near(attempt)) {
        str_format(why, sizeof(why), "it is within the gap of %.3g %% that was asked for",
                   attempt->options->gap * 100);
    }
    if (why[0] != '\0' && out->status == SOLVE_FEASIBLE) {
        str_format(out->text, sizeof(out->text), "%s", why);
    } else if (why[0] != '\0') {
        str_format(out->text, sizeof(out->text),
                   "%s before any placement that keeps the rules was found", why);
    }
}

/* The present placement is the first incumbent, or what the caller knows if that is cheaper. */
static void start(struct attempt *attempt)
{
    const int *given = attempt->options->start;
    bool placed = true;
    for (int part = 0; part < attempt->reduced.parts; part++) {
        attempt->trial[part] = attempt->problem->parts[part].current;
        placed = placed && attempt->trial[part] >= 0;
    }
    if (placed) {
        consider(attempt);
    }
    placed = given != NULL;
    for (int part = 0; part < attempt->reduced.parts && placed; part++) {
        attempt->trial[part] = given[part];
        placed = given[part] >= 0;
    }
    if (placed) {
        consider(attempt);
    }
}

/* The cheapest of: what is known, what descent makes of the present placement, what descent makes
 * of each part's cheapest choice. The bound is tightened with it, and the search repeated among
 * what is left. */
static void incumbent(struct attempt *attempt)
{
    struct reduced *reduced = &attempt->reduced;
    for (int part = 0; part < reduced->parts; part++) {
        attempt->trial[part] = attempt->problem->parts[part].current;
    }
    (void)search_run(attempt->search, 4, 200000, attempt->trial);
    consider(attempt);
    reduce_tighten(reduced, 64);
    if (reduced->empty || (attempt->found && reduced->constant >= reduced->cutoff)) {
        return;
    }
    int64_t before = reduced->cutoff;
    for (int part = 0; part < reduced->parts; part++) {
        attempt->trial[part] = -1;
    }
    (void)search_run(attempt->search, 4, 200000, attempt->trial);
    consider(attempt);
    if (reduced->cutoff < before) {
        reduce_tighten(reduced, 64);
    }
}

/* Takes the trial if it keeps the rules and is strictly cheaper. */
static void consider(struct attempt *attempt)
{
    if (problem_broken_rule(attempt->problem, attempt->trial) >= 0) {
        return;
    }
    int64_t cost = (int64_t)problem_cost(attempt->problem, attempt->trial);
    if (!attempt->found || cost < attempt->reduced.cutoff) {
        attempt->found = true;
        attempt->reduced.cutoff = cost;
        memcpy(attempt->choice, attempt->trial, (size_t)attempt->reduced.parts * sizeof(int));
    }
}

static void finish(struct attempt *attempt, enum solve_status status, struct solution *out)
{
    solve_stay(attempt->problem, attempt->arena, attempt->choice);
    out->status = status;
    out->choice = attempt->choice;
    out->cost_nusd = (int64_t)problem_cost(attempt->problem, attempt->choice);
    int64_t bound = attempt->bound;
    bound = bound < attempt->reduced.constant ? attempt->reduced.constant : bound;
    out->bound_nusd = bound < out->cost_nusd ? bound : out->cost_nusd;
}
