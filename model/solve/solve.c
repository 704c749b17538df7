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

/* Additions that finding the prices between components may take: some seconds at most. */
#define COUPLE_WORK (INT64_C(1) << 31)
/* Columns of a programme that GLPK gets through. */
#define COLUMNS_MAX 60000
/* Relative; where the engine for large problems stops. */
#define LARGE_GAP 1e-6
/* Moves that its search tries for each part: some seconds for a thousand of them. */
#define LARGE_MOVES 2000

struct attempt {
    const struct problem *problem;
    struct arena *arena;
    struct reduced reduced;
    struct search *search;
    int *choice;
    int *trial;
    bool found;
    int64_t bound; /* no assignment that keeps the rules is cheaper */
};

static int run(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
               struct error *err);
static int fall_apart(struct attempt *attempt, struct solution *out, bool *ret_done,
                      struct error *err);
static int large(struct attempt *attempt, struct solution *out, struct error *err);
static void take_answer(struct attempt *attempt, const struct shape *shape,
                        const struct engine_result *answer);
static int prove(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
                 struct error *err);
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
    struct attempt attempt = {.problem = problem, .arena = arena, .bound = INT64_MIN};
    struct solution solution = {.status = SOLVE_NONE};
    struct error err = {0};
    int rc = run(&attempt, &budget, &solution, &err);
    if (rc == 0 && solution.status == SOLVE_INFEASIBLE) {
        rc = solve_conflict(problem, &budget, arena, &solution, &err);
    }
    if (rc == 0 && solution.choice != NULL) {
        rc = solve_certify(&attempt.reduced, arena, &solution, &err);
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
    int rc = reduce_build(problem, attempt->arena, reduced, err);
    if (rc < 0) {
        return rc;
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
    bool done = false;
    rc = fall_apart(attempt, out, &done, err);
    if (rc < 0 || done) {
        return rc;
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
    rc = couple_solve(reduced, eliminate, attempt->search, COUPLE_WORK, attempt->arena,
                      attempt->found, attempt->choice, &result, err);
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
    int rc = shape_build(&attempt->reduced, attempt->arena, &shape, &refused);
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
        struct engine_options options = {
            .seed = 1, .gap = LARGE_GAP, .moves_max = LARGE_MOVES, .start = cells};
        rc = engine_solve(&shape.grid, &options, attempt->arena, &answer, err);
        if (rc < 0) {
            return rc;
        }
        take_answer(attempt, &shape, &answer);
        if (!shape.exact && answer.status != SOLVE_INFEASIBLE) {
            rc = engine_solve(&shape.strict, &options, attempt->arena, &answer, err);
            if (rc < 0) {
                return rc;
            }
            answer.bound = -INFINITY; /* of a stricter problem: not ours */
            take_answer(attempt, &shape, &answer);
        } else if (answer.status == SOLVE_INFEASIBLE && !attempt->found) {
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

static int prove(struct attempt *attempt, const struct solve_options *budget, struct solution *out,
                 struct error *err)
{
    struct reduced *reduced = &attempt->reduced;
    struct mip_options options = {.nodes_max = budget->nodes_max, .work_max = budget->work_max};
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

/* The present placement is the first incumbent. */
static void start(struct attempt *attempt)
{
    bool placed = true;
    for (int part = 0; part < attempt->reduced.parts; part++) {
        attempt->trial[part] = attempt->problem->parts[part].current;
        placed = placed && attempt->trial[part] >= 0;
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
