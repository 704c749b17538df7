#include "model/solve/solve.h"

#include <string.h>

#include "base/str.h"
#include "model/solve/mip.h"
#include "model/solve/reduce.h"
#include "model/solve/search.h"

struct attempt {
    const struct problem *problem;
    struct arena *arena;
    struct reduced reduced;
    struct search *search;
    int *choice;
    int *trial;
    bool found;
};

static int run(struct attempt *attempt, int64_t nodes_max, struct solution *out, struct error *err);
static void incumbent(struct attempt *attempt);
static void consider(struct attempt *attempt);
static void stay(struct attempt *attempt);
static void finish(struct attempt *attempt, enum solve_status status, int64_t bound,
                   struct solution *out);

void solve_problem(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *ret_solution)
{
    int64_t nodes_max = options->nodes_max > 0 ? options->nodes_max : SOLVE_NODES_MAX;
    struct attempt attempt = {.problem = problem, .arena = arena};
    struct solution solution = {.status = SOLVE_NONE};
    struct error err = {0};
    int rc = run(&attempt, nodes_max, &solution, &err);
    if (rc == 0 && solution.status == SOLVE_INFEASIBLE) {
        rc = solve_conflict(problem, nodes_max, arena, &solution, &err);
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

static int run(struct attempt *attempt, int64_t nodes_max, struct solution *out, struct error *err)
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
    incumbent(attempt);
    if (reduced->empty || (attempt->found && reduced->constant >= reduced->cutoff)) {
        /* Without an incumbent cells are closed by rules only. */
        if (attempt->found) {
            finish(attempt, SOLVE_OPTIMAL, reduced->cutoff, out);
        } else {
            out->status = SOLVE_INFEASIBLE;
        }
        return 0;
    }
    struct mip_options options = {.nodes_max = nodes_max};
    struct mip_result result;
    rc =
        mip_solve(reduced, &options, attempt->arena, attempt->found, attempt->choice, &result, err);
    if (rc < 0) {
        return rc;
    }
    out->nodes = result.nodes;
    attempt->found = result.found;
    if (result.outcome == MIP_DONE) {
        if (!result.found) {
            out->status = SOLVE_INFEASIBLE;
            return 0;
        }
        finish(attempt, SOLVE_OPTIMAL, INT64_MAX, out);
    } else if (result.found) {
        finish(attempt, SOLVE_FEASIBLE, result.bound, out);
    } else {
        str_format(out->text, sizeof(out->text),
                   "the budget of %lld nodes is spent before any placement that keeps the rules",
                   (long long)nodes_max);
    }
    return 0;
}

/* The cheapest of: the present placement, what descent makes of it, what descent makes of each
 * part's cheapest choice. The bound is tightened with it, and the search repeated among what is
 * left.
 */
static void incumbent(struct attempt *attempt)
{
    struct reduced *reduced = &attempt->reduced;
    bool placed = true;
    for (int part = 0; part < reduced->parts; part++) {
        attempt->trial[part] = attempt->problem->parts[part].current;
        placed = placed && attempt->trial[part] >= 0;
    }
    if (placed) {
        consider(attempt);
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

/* Parts go back to where they are now as far as that costs nothing, alone or two at a time. */
static void stay(struct attempt *attempt)
{
    const struct problem *problem = attempt->problem;
    int *choice = attempt->choice;
    nusd cost = problem_cost(problem, choice);
    bool moved = true;
    while (moved) {
        moved = false;
        for (int a = 0; a < problem->part_count; a++) {
            for (int b = a; b < problem->part_count; b++) {
                int home_a = problem->parts[a].current;
                int home_b = problem->parts[b].current;
                int away_a = choice[a];
                int away_b = choice[b];
                if (home_a < 0 || home_b < 0 || home_a == away_a || home_b == away_b) {
                    continue;
                }
                choice[a] = home_a;
                choice[b] = home_b;
                if (problem_cost(problem, choice) <= cost &&
                    problem_broken_rule(problem, choice) < 0) {
                    moved = true;
                    break;
                }
                choice[b] = away_b;
                choice[a] = away_a;
            }
        }
    }
}

/* bound INT64_MAX: GLPK's proof, which holds up to the tolerance. */
static void finish(struct attempt *attempt, enum solve_status status, int64_t bound,
                   struct solution *out)
{
    stay(attempt);
    out->status = status;
    out->choice = attempt->choice;
    out->cost_nusd = (int64_t)problem_cost(attempt->problem, attempt->choice);
    int64_t gap = out->cost_nusd - attempt->reduced.constant;
    if (status == SOLVE_FEASIBLE || bound == INT64_MAX) {
        bound = status == SOLVE_FEASIBLE ? bound : out->cost_nusd;
        bound -= solve_tolerance(out->cost_nusd, gap > 0 ? gap : 0);
    }
    if (bound < attempt->reduced.constant) {
        bound = attempt->reduced.constant;
    }
    out->bound_nusd = bound < out->cost_nusd ? bound : out->cost_nusd;
}
