#include "model/solve/solve.h"

#include <stdlib.h>
#include <string.h>

#include "model/solve/mip.h"
#include "model/solve/reduce.h"
#include "model/solve/search.h"

/* Memory of one feasibility question. */
#define QUESTION_BYTES_MAX ((size_t)1 << 30)

/* QuickXplain (Junker 2004): about 2 k log2(n / k) feasibility questions for a conflict of k of n
 * rules, instead of the n of a plain deletion filter; like that, what it returns is irreducible. */
struct conflict {
    const struct problem *problem;
    struct problem_rule *rules; /* the subset in question */
    int64_t nodes_max;
    int64_t work_max;
    int64_t nodes;
    int *kept; /* indices known to be in the conflict, or the background of a question */
    int kept_count;
    int *found;
    int found_count;
    struct problem_part *parts;
    struct error *err;
    int rc;
};

static void explain(struct conflict *conflict, bool background_is_new, const int *rules, int count);
static bool feasible(struct conflict *conflict);
static int ask(struct conflict *conflict, struct arena *arena, bool *ret_feasible);
static int by_value(const void *a, const void *b);

int solve_conflict(const struct problem *problem, const struct solve_options *options,
                   struct arena *arena, struct solution *solution, struct error *err)
{
    size_t rules = (size_t)problem->rule_count + 1;
    struct conflict conflict = {
        .problem = problem,
        .nodes_max = options->nodes_max,
        .work_max = options->work_max,
        .err = err,
        .rules = arena_array(arena, rules, sizeof(*conflict.rules)),
        .kept = arena_array(arena, rules, sizeof(int)),
        .found = arena_array(arena, rules, sizeof(int)),
        .parts = arena_array(arena, (size_t)problem->part_count + 1, sizeof(*conflict.parts)),
    };
    int *all = arena_array(arena, rules, sizeof(int));
    int choices = 1;
    for (int i = 0; i < problem->part_count; i++) {
        int count = problem->parts[i].choice_count;
        choices = count > choices ? count : choices;
    }
    int64_t *zeros = arena_array(arena, (size_t)choices, sizeof(int64_t));
    if (conflict.rules == NULL || conflict.kept == NULL || conflict.found == NULL ||
        zeros == NULL || conflict.parts == NULL || all == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for %d rules", problem->rule_count);
    }
    for (int i = 0; i < problem->part_count; i++) {
        conflict.parts[i] = problem->parts[i];
        conflict.parts[i].cost = zeros;
        conflict.parts[i].use = NULL;
        conflict.parts[i].use_count = 0;
    }
    for (int i = 0; i < problem->rule_count; i++) {
        all[i] = i;
    }
    explain(&conflict, false, all, problem->rule_count);
    if (conflict.rc < 0) {
        return conflict.rc;
    }
    qsort(conflict.found, (size_t)conflict.found_count, sizeof(int), by_value);
    solution->conflict = conflict.found;
    solution->conflict_count = conflict.found_count;
    solution->nodes += conflict.nodes;
    return 0;
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
    for (int i = 0; i < conflict->kept_count; i++) {
        conflict->rules[i] = conflict->problem->rules[conflict->kept[i]];
    }
    struct problem question = *conflict->problem;
    question.parts = conflict->parts;
    question.pair_count = 0;
    question.meter_count = 0;
    question.rules = conflict->rules;
    question.rule_count = conflict->kept_count;
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
    struct mip_options options = {
        .nodes_max = conflict->nodes_max, .work_max = conflict->work_max, .feasibility = true};
    struct mip_result result;
    rc = mip_solve(&reduced, &options, arena, false, choice, &result, conflict->err);
    if (rc == 0) {
        conflict->nodes += result.nodes;
        *ret_feasible = result.found || result.outcome == MIP_BUDGET;
    }
    return rc;
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}
