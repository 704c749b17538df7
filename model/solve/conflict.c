#include "model/solve/conflict.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/solve/dual.h"
#include "model/solve/mip.h"
#include "model/solve/primal.h"
#include "model/solve/reduce.h"
#include "model/solve/search.h"
#include "model/solve/shape.h"

/* Memory of one feasibility question. */
#define QUESTION_BYTES_MAX ((size_t)1 << 30)
/* Choices of all parts together up to which a problem is asked about whole. */
#define SMALL_CELLS 20000
/* Columns up to which GLPK is asked, beyond them prices and a search. */
#define QUESTION_COLUMNS 8000
/* Choices that all questions about one conflict may look at, and rules that are asked about one
 * by one: what prices prove beyond that is narrowed down by prices. */
#define QUESTION_CELLS 40000000
#define QUESTION_RULES 128
/* Stretches of rules that are left out at first, where prices prove a conflict of more. */
#define FILTER_PARTS 8
/* Moves of the search for an assignment, per part. */
#define QUESTION_MOVES 200

/* QuickXplain (Junker 2004): about 2 k log2(n / k) feasibility questions for a conflict of k of n
 * rules, instead of the n of a plain deletion filter; like that, what it returns is irreducible. */
struct conflict {
    const struct problem *problem;
    struct problem_rule *rules; /* the subset in question */
    int64_t nodes_max;
    int64_t work_max;
    int64_t nodes;
    struct watch *watch;
    int64_t cells; /* that questions may still look at */
    bool priced;   /* prices prove the whole of it */
    bool unsure;   /* a question was not answered */
    bool many;     /* too many rules for other questions than those about prices */
    int *kept;     /* indices known to be in the conflict, or the background of a question */
    int kept_count;
    int *found;
    int found_count;
    struct error *err;
    int rc;
};

static int without_costs(const struct problem *problem, struct arena *arena,
                         struct problem *ret_whole, struct error *err);
static int64_t cells_of(const struct problem *problem);
static int quick_xplain(struct conflict *conflict, struct arena *arena);
static int filter(struct conflict *conflict, int *rules, int *ret_count);
static int refute(struct conflict *conflict, bool *ret_refuted);
static struct problem question_of(struct conflict *conflict);
static void explain(struct conflict *conflict, bool background_is_new, const int *rules, int count);
static bool feasible(struct conflict *conflict);
static int ask(struct conflict *conflict, struct arena *arena, bool *ret_feasible);
static int ask_large(struct conflict *conflict, const struct reduced *reduced, struct arena *arena,
                     bool *ret_feasible);
static bool on_progress(void *context, double bound, double best);
static void say_unsure(const struct conflict *conflict, struct solution *solution);
static int by_value(const void *a, const void *b);

int solve_conflict(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *solution, struct error *err)
{
    struct problem whole;
    struct problem some;
    struct suspects suspects = {.priced = false};
    int *rule_of = NULL;
    int rc = without_costs(problem, arena, &whole, err);
    if (rc < 0) {
        return rc;
    }
    some = whole;
    if (cells_of(&whole) > SMALL_CELLS) {
        rc = conflict_narrow(&whole, options->watch, arena, &suspects, err);
        rc = rc == 0 ? conflict_restrict(&whole, &suspects, arena, &some, &rule_of, err) : rc;
        if (rc < 0) {
            return rc;
        }
    }
    struct conflict conflict = {
        .problem = &some,
        .nodes_max = options->nodes_max,
        .work_max = options->work_max,
        .watch = options->watch,
        .cells = QUESTION_CELLS,
        .priced = suspects.priced,
        .err = err,
    };
    rc = quick_xplain(&conflict, arena);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; i < conflict.found_count && rule_of != NULL; i++) {
        conflict.found[i] = rule_of[conflict.found[i]];
    }
    qsort(conflict.found, (size_t)conflict.found_count, sizeof(int), by_value);
    solution->conflict = conflict.found;
    solution->conflict_count = conflict.found_count;
    solution->nodes += conflict.nodes;
    say_unsure(&conflict, solution);
    return 0;
}

int solve_refute(const struct problem *problem, struct watch *watch, struct arena *arena,
                 bool *ret_infeasible, struct error *err)
{
    struct problem whole;
    struct reduced reduced;
    struct shape shape;
    struct dual_result dual;
    struct error refused = {0};
    struct dual_options options = {.gap = 1e-6};
    if (watch != NULL) {
        options.progress = on_progress;
        options.context = watch;
    }
    *ret_infeasible = false;
    int rc = without_costs(problem, arena, &whole, err);
    rc = rc == 0 ? reduce_build(&whole, arena, &reduced, err) : rc;
    if (rc < 0 || reduced.empty) {
        *ret_infeasible = rc == 0;
        return rc;
    }
    rc = shape_build(&reduced, arena, &shape, &refused);
    rc = rc == 0 ? dual_solve(&shape.grid, &options, arena, &dual, &refused) : rc;
    *ret_infeasible = rc == 0 && (!dual.possible || !dual.fits);
    return rc == ERR_NO_MEMORY ? error_set(err, rc, 0, "%s", refused.text) : 0;
}

/* Whether an assignment keeps the rules has nothing to do with what it costs. */
static int without_costs(const struct problem *problem, struct arena *arena,
                         struct problem *ret_whole, struct error *err)
{
    struct problem whole = *problem;
    int choices = 1;
    for (int i = 0; i < problem->part_count; i++) {
        int count = problem->parts[i].choice_count;
        choices = count > choices ? count : choices;
    }
    int64_t *zeros = arena_array(arena, (size_t)choices, sizeof(int64_t));
    whole.parts = arena_array(arena, (size_t)problem->part_count + 1, sizeof(*whole.parts));
    if (zeros == NULL || whole.parts == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d rules", problem->rule_count);
    }
    for (int i = 0; i < problem->part_count; i++) {
        whole.parts[i] = problem->parts[i];
        whole.parts[i].cost = zeros;
        whole.parts[i].use = NULL;
        whole.parts[i].use_count = 0;
    }
    whole.pair_count = 0;
    whole.meter_count = 0;
    *ret_whole = whole;
    return 0;
}

static int64_t cells_of(const struct problem *problem)
{
    int64_t cells = 0;
    for (int i = 0; i < problem->part_count; i++) {
        cells += problem->parts[i].choice_count;
    }
    return cells;
}

/* Fills found[]: an irreducible conflict, or, where questions stay open, one that may hold more. */
static int quick_xplain(struct conflict *conflict, struct arena *arena)
{
    int count = conflict->problem->rule_count;
    size_t rules = (size_t)count + 1;
    int *all = arena_array(arena, rules, sizeof(int));
    conflict->rules = arena_array(arena, rules, sizeof(*conflict->rules));
    conflict->kept = arena_array(arena, rules, sizeof(int));
    conflict->found = arena_array(arena, rules, sizeof(int));
    if (conflict->rules == NULL || conflict->kept == NULL || conflict->found == NULL ||
        all == NULL) {
        return error_set(conflict->err, ERR_NO_MEMORY, 0, "no memory for %d rules", count);
    }
    for (int i = 0; i < count; i++) {
        all[i] = i;
    }
    if (count > QUESTION_RULES && conflict->priced) {
        int rc = filter(conflict, all, &count);
        if (rc < 0) {
            return rc;
        }
    }
    if (count > QUESTION_RULES && conflict->priced) {
        memcpy(conflict->found, all, (size_t)count * sizeof(int));
        conflict->found_count = count;
        conflict->many = true;
        return 0;
    }
    explain(conflict, false, all, count);
    return conflict->rc;
}

/* Leaves out of rules[] stretches without which prices still prove that there is no assignment,
 * ever shorter ones, and at last each rule by itself: other prices each time, where
 * conflict_price.c has the same throughout. */
static int filter(struct conflict *conflict, int *rules, int *ret_count)
{
    int count = *ret_count;
    for (int length = count / FILTER_PARTS; length > 0; length /= 2) {
        for (int at = 0; at < count;) {
            int less = length < count - at ? length : count - at;
            size_t after = (size_t)(count - at - less) * sizeof(int);
            memcpy(conflict->kept, rules, (size_t)at * sizeof(int));
            memcpy(conflict->kept + at, rules + at + less, after);
            conflict->kept_count = count - less;
            bool refuted = false;
            int rc = refute(conflict, &refuted);
            if (rc < 0) {
                return rc;
            }
            if (refuted) {
                memmove(rules + at, rules + at + less, after);
                count -= less;
            } else {
                at += less;
            }
        }
    }
    conflict->kept_count = 0;
    *ret_count = count;
    return 0;
}

/* Whether prices prove that kept[] cannot hold together. Beyond the budget nothing is proven. */
static int refute(struct conflict *conflict, bool *ret_refuted)
{
    conflict->cells -= cells_of(conflict->problem);
    if (conflict->cells < 0 || !watch_told(conflict->watch, NAN, NAN)) {
        conflict->unsure = true;
        return 0;
    }
    struct arena arena;
    struct reduced reduced;
    struct shape shape;
    struct dual_result dual;
    struct error refused = {0};
    struct dual_options prices = {.gap = 1e-6};
    struct problem question = question_of(conflict);
    if (conflict->watch != NULL) {
        prices.progress = on_progress;
        prices.context = conflict->watch;
    }
    arena_init(&arena, QUESTION_BYTES_MAX);
    int rc = reduce_build(&question, &arena, &reduced, &refused);
    *ret_refuted = rc == 0 && reduced.empty;
    if (rc == 0 && !reduced.empty) {
        rc = shape_build(&reduced, &arena, &shape, &refused);
        rc = rc == 0 ? dual_solve(&shape.grid, &prices, &arena, &dual, &refused) : rc;
        *ret_refuted = rc == 0 && (!dual.possible || !dual.fits);
    }
    arena_done(&arena);
    return rc == ERR_NO_MEMORY ? error_set(conflict->err, rc, 0, "no memory for a question") : 0;
}

static struct problem question_of(struct conflict *conflict)
{
    for (int i = 0; i < conflict->kept_count; i++) {
        conflict->rules[i] = conflict->problem->rules[conflict->kept[i]];
    }
    struct problem question = *conflict->problem;
    question.rules = conflict->rules;
    question.rule_count = conflict->kept_count;
    return question;
}

/* Adds to found[] the least part of rules[] that conflicts with kept[]. The depth is log2(rules).
 */
static void explain(struct conflict *conflict, bool background_is_new, const int *rules, int count)
{
    if (conflict->rc < 0 || count == 0 || (background_is_new && !feasible(conflict))) {
        return;
    }
    if (count == 1) {
        conflict->found[conflict->found_count++] = rules[0];
        return;
    }
    int half = count / 2;
    int kept_before = conflict->kept_count;
    int found_before = conflict->found_count;
    memcpy(&conflict->kept[kept_before], rules, (size_t)half * sizeof(int));
    conflict->kept_count = kept_before + half;
    explain(conflict, true, rules + half, count - half);
    int found = conflict->found_count - found_before;
    memcpy(&conflict->kept[kept_before], &conflict->found[found_before],
           (size_t)found * sizeof(int));
    conflict->kept_count = kept_before + found;
    explain(conflict, found > 0, rules, half);
    conflict->kept_count = kept_before;
}

/* Can the rules kept[] hold together? A question that its budget cannot answer counts as yes, which
 * keeps a rule too many rather than one too few. */
static bool feasible(struct conflict *conflict)
{
    struct arena arena;
    conflict->cells -= cells_of(conflict->problem);
    if (conflict->cells < 0 || !watch_told(conflict->watch, NAN, NAN)) {
        conflict->unsure = true;
        return true;
    }
    arena_init(&arena, QUESTION_BYTES_MAX);
    bool answer = true;
    int rc = ask(conflict, &arena, &answer);
    arena_done(&arena);
    if (rc < 0) {
        conflict->rc = rc;
    }
    return answer;
}

static int ask(struct conflict *conflict, struct arena *arena, bool *ret_feasible)
{
    struct problem question = question_of(conflict);
    struct reduced reduced;
    int rc = reduce_build(&question, arena, &reduced, conflict->err);
    if (rc < 0 || reduced.empty) {
        *ret_feasible = false;
        return rc;
    }
    int *choice = arena_array(arena, (size_t)question.part_count + 1, sizeof(int));
    struct search *search;
    rc = search_create(&reduced, arena, &search, conflict->err);
    if (choice == NULL || rc < 0) {
        return error_set(conflict->err, ERR_NO_MEMORY, 0, "no memory for a question");
    }
    for (int part = 0; part < question.part_count; part++) {
        choice[part] = -1;
    }
    if (search_run(search, 16, 200000, choice)) {
        *ret_feasible = true;
        return 0;
    }
    if (mip_columns(&reduced) > QUESTION_COLUMNS) {
        return ask_large(conflict, &reduced, arena, ret_feasible);
    }
    struct mip_options options = {.nodes_max = conflict->nodes_max,
                                  .work_max = conflict->work_max,
                                  .feasibility = true,
                                  .watch = conflict->watch};
    struct mip_result result;
    rc = mip_solve(&reduced, &options, arena, false, choice, &result, conflict->err);
    if (rc == 0) {
        conflict->nodes += result.nodes;
        *ret_feasible = result.found || result.outcome == MIP_BUDGET;
        conflict->unsure = conflict->unsure || (!result.found && *ret_feasible);
    }
    return rc;
}

/* Prices prove that there is no assignment, a search from them that there is one. */
static int ask_large(struct conflict *conflict, const struct reduced *reduced, struct arena *arena,
                     bool *ret_feasible)
{
    struct shape shape;
    struct dual_result dual;
    struct primal_result primal = {.found = false};
    struct error refused = {0};
    struct dual_options prices = {.gap = 1e-6};
    struct primal_options moves = {.seed = 1, .moves_max = QUESTION_MOVES};
    if (conflict->watch != NULL) {
        prices.progress = moves.progress = on_progress;
        prices.context = moves.context = conflict->watch;
    }
    int rc = shape_build(reduced, arena, &shape, &refused);
    rc = rc == 0 ? dual_solve(&shape.grid, &prices, arena, &dual, &refused) : rc;
    *ret_feasible = rc < 0 || (dual.possible && dual.fits);
    if (rc == 0 && *ret_feasible) {
        rc = primal_solve(&shape.strict, &dual, &moves, arena, &primal, &refused);
        conflict->unsure = conflict->unsure || !primal.found;
    }
    conflict->unsure = conflict->unsure || rc < 0;
    return rc == ERR_NO_MEMORY ? error_set(conflict->err, rc, 0, "no memory for a question") : 0;
}

static bool on_progress(void *context, double bound, double best)
{
    (void)bound;
    (void)best;
    return watch_told(context, NAN, NAN);
}

static void say_unsure(const struct conflict *conflict, struct solution *solution)
{
    if (conflict->unsure) {
        str_format(solution->text, sizeof(solution->text),
                   "these rules cannot hold together; whether each of them is needed for that was "
                   "not asked to the end");
    } else if (conflict->many) {
        str_format(solution->text, sizeof(solution->text),
                   "these rules cannot hold together; what proves that needs each of them, but "
                   "fewer may do");
    }
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}
