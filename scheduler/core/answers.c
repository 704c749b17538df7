#include "scheduler/core/answers.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/cost_saving.h"
#include "scheduler/core/internal.h"

static int fill_totals(const struct cost_context *context, const struct problem *problem,
                       const struct placement *now, const struct placement *to, struct arena *arena,
                       int *stay, struct core_plan *plan, struct error *err);
static void find_forced(const struct problem *problem, const struct placement *now, const int *stay,
                        bool *must);
static void mark_rule(const struct problem_rule *rule, const struct problem *problem,
                      const int *stay, bool *must);
static int fill_choices(const struct cost_input *input, const struct placement *to,
                        const struct cost_move *moves, int count, struct arena *arena,
                        struct core_plan *plan, struct error *err);
static void fill_saving(struct core_plan_choice *choice, const struct cost_move *move);
static void fill_realised(struct core_event *event, const struct cost_move *moves, int count);
static bool find_own(const struct core *core, uint64_t check, bool *own);
static bool has_tiers(const struct world *world);
static int keep_own(const struct core *core, const bool *own, struct arena *arena,
                    struct cost_input *input);
static int by_row(const void *a, const void *b);
static bool is_stale(const struct core *core, const struct core_app *app, int index);
static int64_t narrow(nusd value);

int core_answer_plan(const struct cost_context *context, const struct problem *problem,
                     const struct placement *now, const struct placement *to, struct arena *arena,
                     struct core_plan *plan, struct error *err)
{
    const struct cost_input *input = cost_context_input(context);
    int parts = problem->part_count;
    int *stay = arena_array(arena, (size_t)parts + 1, sizeof(*stay));
    bool *must = arena_array(arena, (size_t)parts + 1, sizeof(*must));
    struct cost_move *moves = NULL;
    int count = 0;
    if (stay == NULL || must == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan of %d parts", parts);
    int rc = fill_totals(context, problem, now, to, arena, stay, plan, err);
    if (rc < 0)
        return rc;
    find_forced(problem, now, stay, must);
    rc = cost_moves(context, now, to, must, arena, &moves, &count, err);
    if (rc == 0)
        rc = fill_choices(input, to, moves, count, arena, plan, err);
    return rc;
}

bool core_answer_anew(const struct core *core, const struct placement *to, struct arena *arena,
                      struct cost_input *input, struct problem *problem, struct placement **now,
                      struct core_plan *plan)
{
    struct cost_input fresh;
    struct problem made;
    struct placement *present = NULL;
    struct error err;
    int64_t score;
    if (core_cost_input(core, NULL, NULL, arena, &fresh, &err) < 0 ||
        core_placement(core, &fresh, arena, &present, &err) < 0 ||
        cost_problem(&fresh, arena, &made, &err) < 0 || made.part_count != problem->part_count)
        return false;
    int *choice = arena_array(arena, (size_t)made.part_count + 1, sizeof(*choice));
    if (choice == NULL || !cost_choices(&fresh, &made, to, choice) ||
        problem_broken_rule(&made, choice) >= 0 ||
        money_to_i64(problem_cost(&made, choice), &score) < 0)
        return false;
    *input = fresh;
    *problem = made;
    *now = present;
    plan->version = core_state(core)->input_version;
    plan->status = SOLVE_FEASIBLE; /* it was the best for what was */
    plan->score_plan_nusd = score;
    plan->bound_nusd = plan->bound_nusd < score ? plan->bound_nusd : score;
    return true;
}

static int fill_totals(const struct cost_context *context, const struct problem *problem,
                       const struct placement *now, const struct placement *to, struct arena *arena,
                       int *stay, struct core_plan *plan, struct error *err)
{
    plan->score_stay_nusd = INT64_MAX;
    if (cost_choices(cost_context_input(context), problem, now, stay) &&
        problem_broken_rule(problem, stay) < 0 &&
        money_to_i64(problem_cost(problem, stay), &plan->score_stay_nusd) < 0)
        return error_set(err, ERR_OVERFLOW, 0, "the score of today's placement is too large");
    const struct placement *const both[2] = {to, now};
    nusd bills[2];
    int rc = cost_bills(context, both, arena, bills, err);
    if (rc == 0 && (money_to_i64(bills[0], &plan->bill_plan_nusd) < 0 ||
                    money_to_i64(bills[1], &plan->bill_stay_nusd) < 0))
        rc = error_set(err, ERR_OVERFLOW, 0, "a bill of the placement is too large");
    return rc;
}

/* Parts that cannot stay: nowhere yet, or in a rule that today's placement breaks. */
static void find_forced(const struct problem *problem, const struct placement *now, const int *stay,
                        bool *must)
{
    bool placed = true;
    for (int i = 0; i < problem->part_count; i++) {
        must[i] = now[i].site < 0 || stay[i] < 0;
        placed &= !must[i];
    }
    for (int i = 0; i < problem->rule_count; i++) {
        const struct problem_rule *rule = &problem->rules[i];
        bool alone = rule->kind == RULE_CHOICES && stay[rule->a] >= 0;
        bool both = rule->kind == RULE_PAIR && stay[rule->a] >= 0 && stay[rule->b] >= 0;
        if (!alone && !both && !placed)
            continue; /* who comes is forced anyway, and takes along whom it displaces */
        struct problem one = *problem;
        one.rules = &problem->rules[i];
        one.rule_count = 1;
        if ((alone || both || placed) && problem_broken_rule(&one, stay) >= 0)
            mark_rule(rule, problem, stay, must);
    }
}

static void mark_rule(const struct problem_rule *rule, const struct problem *problem,
                      const int *stay, bool *must)
{
    switch (rule->kind) {
    case RULE_PAIR:
        must[rule->b] = true;
        must[rule->a] = true;
        break;
    case RULE_CHOICES:
        must[rule->a] = true;
        break;
    case RULE_APART:
        for (int i = 0; i < rule->part_count; i++)
            must[rule->parts[i]] = true;
        break;
    case RULE_CAPACITY:
        for (int i = 0; i < problem->part_count; i++) {
            const struct problem_choice *choice = &problem->parts[i].choices[stay[i]];
            must[i] |= choice->site == rule->site && choice->demand[rule->resource] > 0;
        }
        break;
    }
}

static int fill_choices(const struct cost_input *input, const struct placement *to,
                        const struct cost_move *moves, int count, struct arena *arena,
                        struct core_plan *plan, struct error *err)
{
    int parts = 0;
    for (int i = 0; i < input->app_count; i++)
        parts += input->apps[i].app->workload_count;
    plan->choices = arena_array(arena, (size_t)parts + 1, sizeof(*plan->choices));
    if (plan->choices == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a plan of %d parts", parts);
    plan->choice_count = parts;
    for (int i = 0, part = 0; i < input->app_count; i++) {
        const struct app *app = input->apps[i].app;
        for (int k = 0; k < app->workload_count; k++, part++) {
            struct core_plan_choice *choice = &plan->choices[part];
            CORE_SET(choice->namespace_, app->namespace_);
            CORE_SET(choice->app, app->name);
            CORE_SET(choice->workload, app->workloads[k].name);
            CORE_SET(choice->site, input->world->sites[to[part].site].name);
            choice->variant = to[part].variant;
            CORE_SET(choice->lead, app->workloads[to[part].lead].name);
            choice->group = -1;
        }
    }
    for (int i = 0; i < count; i++) {
        if (!moves[i].forced)
            fill_saving(&plan->choices[moves[i].part], &moves[i]);
    }
    return 0;
}

static void fill_saving(struct core_plan_choice *choice, const struct cost_move *move)
{
    choice->group = move->group;
    choice->score_saving_nusd = narrow(move->score_saving);
    choice->bill_saving_nusd = narrow(move->bill_saving);
    choice->once_nusd = narrow(move->once);
    choice->spread_nusd = narrow(move->spread);
    choice->confidence_ppm = move->confidence_ppm;
}

int core_answer_check(const struct core *core, uint64_t check, struct arena *arena,
                      struct core_event *ret_event, struct error *err)
{
    struct cost_input input;
    struct placement *now = NULL;
    bool *own = arena_array(arena, (size_t)core->state.app_count + 1, sizeof(*own));
    if (own == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a check");
    bool alone = find_own(core, check, own);
    int rc = core_cost_present(core, alone ? own : NULL, arena, &input, err);
    if (rc == 0)
        rc = core_placement(core, &input, arena, &now, err);
    if (rc < 0)
        return rc;
    int parts = 0;
    for (int i = 0; i < input.app_count; i++)
        parts += input.apps[i].app->workload_count;
    struct placement *before = arena_array(arena, (size_t)parts + 1, sizeof(*before));
    bool *must = arena_array(arena, (size_t)parts + 1, sizeof(*must));
    if (before == NULL || must == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a check of %d parts", parts);
    memcpy(before, now, (size_t)parts * sizeof(*before));
    struct core_event event = {.kind = CORE_CHECKED};
    event.checked.check = check;
    event.checked.known = true;
    const struct core_app *known = core->state.apps; /* the input's apps, in this order */
    for (int i = 0, part = 0; i < input.app_count; i++, known++) {
        const struct app *app = input.apps[i].app;
        while (&known->app != app)
            known++;
        for (int k = 0; k < app->workload_count; k++, part++) {
            const struct core_trial *trial = &known->workloads[k].trial;
            if (trial->site < 0 || trial->check != check)
                continue;
            before[part].site = trial->site;
            before[part].variant = trial->variant;
            event.checked.known &= !is_stale(core, known, k);
            if (event.checked.app[0] != 0)
                continue;
            CORE_SET(event.checked.namespace_, app->namespace_);
            CORE_SET(event.checked.app, app->name);
            CORE_SET(event.checked.workload, app->workloads[k].name);
        }
    }
    if (event.checked.app[0] == 0)
        return error_set(err, ERR_NOT_FOUND, 0, "check %llu is not under way",
                         (unsigned long long)check);
    struct cost_context *context;
    struct cost_move *moves = NULL;
    int count = 0;
    rc = keep_own(core, own, arena, &input) < 0
             ? error_set(err, ERR_NO_MEMORY, 0, "no memory for a check of %d parts", parts)
             : cost_context_make(&input, NULL, NULL, arena, &context, err);
    if (rc == 0)
        rc = cost_moves(context, before, now, must, arena, &moves, &count, err);
    if (rc < 0)
        return rc;
    fill_realised(&event, moves, count);
    *ret_event = event;
    return 0;
}

/* What moved together is one group as a rule. If it has come apart the sum counts, and so does that
 * of the errors: they may come from one input. */
static void fill_realised(struct core_event *event, const struct cost_move *moves, int count)
{
    nusd score = 0;
    nusd bill = 0;
    nusd spread = 0;
    for (int i = 0; i < count; i++) {
        bool first = true;
        for (int k = 0; k < i && first; k++)
            first = moves[k].group != moves[i].group;
        if (!first)
            continue;
        score += moves[i].score_saving;
        bill += moves[i].bill_saving;
        spread += moves[i].spread;
    }
    event->checked.score_saving_nusd = narrow(score);
    event->checked.bill_saving_nusd = narrow(bill);
    event->checked.spread_nusd = narrow(spread);
}

/* The apps that were moved. True: no other app has a part in what they save. Others do where bytes
 * of all of an account count up to a tier's end, and where a site's room went from hand to hand,
 * which may make one group of several. */
static bool find_own(const struct core *core, uint64_t check, bool *own)
{
    const struct core_state *state = &core->state;
    bool left[LIMIT_SITES] = {false};
    bool taken[LIMIT_SITES] = {false};
    bool alone = !has_tiers(state->world);
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; core->indexes.tried[i] && k < app->app.workload_count; k++) {
            const struct core_workload *workload = &app->workloads[k];
            const struct core_trial *trial = &workload->trial;
            if (trial->site < 0 || trial->check != check)
                continue;
            own[i] = true;
            if (workload->site < 0 || workload->site == trial->site)
                continue;
            left[trial->site] = true;
            taken[workload->site] = true;
        }
    }
    for (int i = 0; i < state->world->site_count; i++)
        alone &= !(left[i] && taken[i]);
    return alone;
}

static bool has_tiers(const struct world *world)
{
    for (int i = 0; i < world->egress_count; i++) {
        if (world->egress[i].tier_count > 1)
            return true;
    }
    return false;
}

/* What is measured of other apps says nothing about what the moves save, but for what they put on
 * meters whose price depends on it: without tiers only the checked apps' estimates are kept, and
 * those of no app, in their order. */
static int keep_own(const struct core *core, const bool *own, struct arena *arena,
                    struct cost_input *input)
{
    const struct core_state *state = &core->state;
    const struct core_indexes *indexes = &core->indexes;
    if (has_tiers(state->world))
        return 0;
    int *rows = arena_array(arena, (size_t)state->estimate_count + 1, sizeof(*rows));
    if (rows == NULL)
        return ERR_NO_MEMORY;
    int count = indexes->common_count;
    memcpy(rows, indexes->common, (size_t)count * sizeof(*rows));
    for (int i = 0; i < state->app_count; i++) {
        const struct core_app *app = &state->apps[i];
        for (int k = 0; k < app->app.workload_count && own[i]; k++) {
            FOR_EACH_ESTIMATE(core, app, k, row) rows[count++] = row;
        }
    }
    qsort(rows, (size_t)count, sizeof(*rows), by_row);
    struct estimate *list = arena_array(arena, (size_t)count + 1, sizeof(*list));
    if (list == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < count; i++)
        list[i] = state->estimates[rows[i]];
    input->estimates = (struct estimates){.list = list, .count = count};
    return 0;
}

static int by_row(const void *a, const void *b)
{
    int one = *(const int *)a;
    int other = *(const int *)b;
    return one < other ? -1 : one > other;
}

/* Something was measured of the workload where it is, and no longer is. */
static bool is_stale(const struct core *core, const struct core_app *app, int index)
{
    const struct core_state *state = &core->state;
    int here = app->workloads[index].site;
    const char *site = here < 0 ? "" : state->world->sites[here].name;
    FOR_EACH_ESTIMATE(core, app, index, row)
    {
        const struct estimate *estimate = &state->estimates[row];
        if (state->now.us - estimate->at_us > state->world->policy.metric_age_max_us &&
            (estimate->site[0] == 0 || str_equal(estimate->site, site)))
            return true;
    }
    return false;
}

/* Beyond 9 billion dollars a month the exact amount decides nothing. */
static int64_t narrow(nusd value)
{
    if (value > INT64_MAX)
        return INT64_MAX;
    return value < -INT64_MAX ? -INT64_MAX : (int64_t)value;
}
