/*
 * From changed inputs to a solve, and from a plan to chosen sites.
 *
 * A choice that is forced (nothing runs yet, the site is gone or forbidden) is taken. Choices that
 * only save come in groups: a group is taken whole when every rule of pay.c says so, or left whole
 * with the rule that held it back as its decision. Choices without a group, of a shell that cannot
 * tell groups, are judged by the plan's two totals.
 *
 * Inputs change while a plan is computed. What every plan rests on (structure_version) leaves
 * nothing of it; what only one app is judged by leaves the others' part: what the plan says of that
 * app, of groups that it is in, and of sites that it would have left, is not looked at and waits
 * for the solve that the change has already asked for.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"
#include "scheduler/core/operation.h"

/* A choice that may be made: its names were found. */
struct difference {
    const struct core_plan_choice *choice;
    bool allowed; /* nothing forbids it */
    struct core_place place;
    int site;
    int variant;
    bool touched; /* its app's inputs have changed since the plan was asked for */
};

/* A plan while it is judged. */
struct judged {
    const struct core_plan *plan;
    bool stale;              /* some input has changed since it was asked for */
    struct difference *list; /* its choices that differ or have a group, in the step's memory */
    int count;
    bool kept[LIMIT_SITES]; /* something stays there that the plan would have moved away */
};

static bool accept(struct core *core, const struct core_plan *plan);
static int find_differences(struct core *core, struct judged *judged);
static void find_kept(struct judged *judged);
static bool waits(const struct judged *judged, const struct difference *difference);
static int take_forced(struct core *core, const struct judged *judged);
static int take_groups(struct core *core, const struct judged *judged, bool all);
static int by_saving(const void *a, const void *b);
static bool find_offer(const struct core *core, const struct judged *judged,
                       const struct difference *first, const struct difference *end,
                       struct core_offer *offer);
static int take_group(struct core *core, const struct judged *judged,
                      const struct difference *first, const struct difference *end, bool all);
static bool is_allowed(const struct core *core, const struct core_plan *plan,
                       struct difference *difference);
static bool differs(const struct difference *difference);
static bool forced(const struct core *core, const struct core_place *place,
                   enum handoff_reason *ret_reason);
static void choose(struct core *core, const struct core_plan *plan,
                   const struct difference *difference, enum handoff_reason reason);
static void refuse(struct core *core, const struct core_plan *plan,
                   const struct difference *difference, enum core_verdict verdict, const char *why);
static void fill_plan(struct core_decision *decision, const struct core_plan *plan,
                      const struct core_plan_choice *choice);
static void publish_plan(struct core *core, const struct core_plan *plan, int moves);

/* ---- solving ---- */

void core_solve_due(struct core *core)
{
    struct core_state *state = &core->state;
    if (core->solve_retry.us != 0 && state->now.us >= core->solve_retry.us) {
        core->solve_retry.us = 0;
        if (state->changed.us == 0)
            core->changed_first = state->now;
        state->changed.us = 1; /* quiet for long */
    }
    if (state->changed.us == 0 || state->solving || state->world == NULL)
        return;
    int64_t settle_us = state->world->policy.settle_us;
    if (state->now.us < state->changed.us + settle_us &&
        state->now.us < core->changed_first.us + CORE_SETTLES_MAX * settle_us)
        return;
    int workloads = 0;
    for (int i = 0; i < state->app_count; i++)
        workloads += state->apps[i].deleting ? 0 : state->apps[i].app.workload_count;
    if (workloads == 0) {
        state->changed.us = 0;
        return;
    }
    struct core_effect *effect = core_emit(core, CORE_SOLVE);
    if (effect == NULL)
        return;
    state->changed.us = 0;
    state->solving = true;
    effect->solve.solve = ++state->solve;
    effect->solve.version = state->input_version;
}

void core_on_plan(struct core *core, const struct core_event *event)
{
    const struct core_plan *plan = &event->plan;
    struct core_state *state = &core->state;
    if (!state->solving || plan->solve != state->solve)
        return;
    state->solving = false;
    core->solve_retry.us = 0;
    /* What it rests on has changed since: `changed` is set, and a fresh solve follows when quiet.
     * That one also says what is to become of what this one found no way for. */
    bool placed = plan->status == SOLVE_OPTIMAL || plan->status == SOLVE_FEASIBLE;
    if (plan->version < state->structure_version || plan->version > state->input_version ||
        (plan->version != state->input_version && !placed))
        return;
    state->plan_status = plan->status;
    state->plan_bound_nusd = plan->bound_nusd;
    CORE_TEXT(state->plan_text, "%s%s%s", solve_status_words[plan->status],
              plan->text[0] != 0 ? ": " : "", plan->text);
    switch (plan->status) {
    case SOLVE_OPTIMAL:
    case SOLVE_FEASIBLE:
        if (accept(core, plan))
            core->diff = true;
        break;
    case SOLVE_INFEASIBLE:
        core_publish(core, "plan.infeasible", (struct core_subject){0}, plan->text);
        break;
    case SOLVE_NONE:
        core->solve_retry.us = state->now.us + CORE_SOLVE_RETRY_US;
        core_publish(core, "plan.none", (struct core_subject){0}, plan->text);
        break;
    }
}

/* ---- which choices are taken ---- */

/* Takes what is forced and what pays; true when anything was taken. A plan without groups that only
 * saves must save: the solver may have been cut short, and then staying can be the better answer.
 * When today's placement breaks a rule that spans several workloads, and the core sees nothing that
 * is forced, nobody can say which of the moves are the forced ones: all are. */
static bool accept(struct core *core, const struct core_plan *plan)
{
    struct core_state *state = &core->state;
    struct judged judged = {.plan = plan, .stale = plan->version != state->input_version};
    state->moves_due.us = 0;
    if (find_differences(core, &judged) < 0) {
        core->solve_retry.us = state->now.us + CORE_SOLVE_RETRY_US;
        return false;
    }
    find_kept(&judged);
    int moves = take_forced(core, &judged);
    bool blind = moves == 0 && plan->score_stay_nusd == INT64_MAX && !judged.stale;
    moves += take_groups(core, &judged, blind);
    for (int i = 0; i < state->app_count && moves > 0; i++)
        core_leads_settle(&state->apps[i]);
    if (moves > 0)
        publish_plan(core, plan, moves);
    return moves > 0;
}

/* Names are looked up once: of the thousands of choices of a plan few ask for anything new. */
static int find_differences(struct core *core, struct judged *judged)
{
    const struct core_plan *plan = judged->plan;
    judged->list = arena_array(&core->lent, (size_t)plan->choice_count + 1, sizeof(*judged->list));
    if (judged->list == NULL)
        return ERR_NO_MEMORY;
    for (int i = 0; i < plan->choice_count; i++) {
        struct difference *difference = &judged->list[judged->count];
        *difference = (struct difference){.choice = &plan->choices[i]};
        difference->allowed = is_allowed(core, plan, difference);
        judged->count += differs(difference) || plan->choices[i].group >= 0;
    }
    return 0;
}

/* Where what waits for a fresh plan stays in the way: who was to come into its room waits too, and
 * so on. Groups hold all that depend on each other, so this is about choices without one. */
static void find_kept(struct judged *judged)
{
    for (bool again = judged->stale; again;) {
        again = false;
        for (int i = 0; i < judged->count; i++) {
            const struct difference *difference = &judged->list[i];
            if (!differs(difference) || !waits(judged, difference))
                continue;
            int from = difference->place.state->site;
            again |= from >= 0 && !judged->kept[from];
            if (from >= 0)
                judged->kept[from] = true;
        }
    }
}

static bool waits(const struct judged *judged, const struct difference *difference)
{
    return difference->touched || judged->kept[difference->site];
}

/* The choices that are forced, and those without a group if any is forced or the plan saves. The
 * totals of a stale plan are of inputs that are no more: they do not count. */
static int take_forced(struct core *core, const struct judged *judged)
{
    const struct core_plan *plan = judged->plan;
    bool saves = !judged->stale && plan->score_plan_nusd < plan->score_stay_nusd;
    bool must = plan->score_stay_nusd == INT64_MAX;
    enum handoff_reason reason;
    for (int i = 0; i < judged->count && !must; i++)
        must = differs(&judged->list[i]) && forced(core, &judged->list[i].place, &reason);
    int moves = 0;
    for (int i = 0; i < judged->count; i++) {
        const struct difference *difference = &judged->list[i];
        if (!differs(difference) || waits(judged, difference))
            continue;
        bool is_forced = forced(core, &difference->place, &reason);
        if (!is_forced && difference->choice->group >= 0)
            continue;
        if (!is_forced)
            reason = must ? REASON_RETAG : REASON_SAVING;
        if (difference->place.workload->kind == KIND_DATA && difference->place.state->site >= 0) {
            refuse(core, plan, difference, VERDICT_DATA, core_data_text);
        } else if (is_forced || must || saves) {
            choose(core, plan, difference, reason);
            moves++;
        } else if (!judged->stale) {
            refuse(core, plan, difference, VERDICT_NO_SAVING, "the plan as a whole saves nothing");
        }
    }
    return moves;
}

/* Largest saving first, so that a small move does not take the budget of a large one. */
static int take_groups(struct core *core, const struct judged *judged, bool all)
{
    struct difference *end = judged->list + judged->count;
    int moves = 0;
    qsort(judged->list, (size_t)judged->count, sizeof(*judged->list), by_saving);
    for (const struct difference *first = judged->list, *next; first < end; first = next) {
        int group = first->choice->group;
        for (next = first; next < end && next->choice->group == group;)
            next++;
        if (group >= 0)
            moves += take_group(core, judged, first, next, all);
    }
    return moves;
}

/* By falling saving and then by rising number of the group, whose choices keep their order. */
static int by_saving(const void *a, const void *b)
{
    const struct core_plan_choice *one = ((const struct difference *)a)->choice;
    const struct core_plan_choice *other = ((const struct difference *)b)->choice;
    if (one->score_saving_nusd != other->score_saving_nusd)
        return one->score_saving_nusd > other->score_saving_nusd ? -1 : 1;
    if (one->group != other->group)
        return one->group < other->group ? -1 : 1;
    return one < other ? -1 : one > other;
}

/* What the rules of pay.c ask of a group; false: a part of it waits, and so all of it does. */
static bool find_offer(const struct core *core, const struct judged *judged,
                       const struct difference *first, const struct difference *end,
                       struct core_offer *offer)
{
    for (const struct difference *difference = first; difference < end; difference++) {
        if (!differs(difference))
            continue;
        if (waits(judged, difference))
            return false;
        const struct core_app *app = difference->place.app;
        int index = (int)(difference->place.state - app->workloads);
        offer->moves++;
        offer->data |= difference->place.workload->kind == KIND_DATA;
        offer->held |= app->app.moves != MOVES_AUTO;
        offer->vetoed |= core_vetoed(core, app, index, difference->site);
    }
    return true;
}

static int take_group(struct core *core, const struct judged *judged,
                      const struct difference *first, const struct difference *end, bool all)
{
    const struct core_plan *plan = judged->plan;
    struct core_offer offer = {.group = first->choice};
    enum handoff_reason reason = all ? REASON_RETAG : REASON_SAVING;
    if (!find_offer(core, judged, first, end, &offer))
        return 0;
    char why[LIMIT_TEXT_BYTES];
    enum core_verdict verdict = VERDICT_TAKEN;
    if (!all)
        verdict = core_pays(core, &offer, why);
    int moves = 0;
    for (const struct difference *difference = first; difference < end; difference++) {
        if (!differs(difference))
            continue;
        if (difference->place.workload->kind == KIND_DATA && difference->place.state->site >= 0) {
            refuse(core, plan, difference, VERDICT_DATA, core_data_text);
        } else if (verdict == VERDICT_TAKEN) {
            if (!all)
                core_move_counted(core);
            choose(core, plan, difference, reason);
            moves++;
        } else {
            refuse(core, plan, difference, verdict, why);
        }
    }
    return moves;
}

/* Whether the choice may be made, whatever is now. Who serves whom follows from sites and variants
 * (core_leads_settle). */
static bool is_allowed(const struct core *core, const struct core_plan *plan,
                       struct difference *difference)
{
    const struct world *world = core->state.world;
    const struct core_plan_choice *choice = difference->choice;
    struct core_place *place = &difference->place;
    difference->site = world_site(world, choice->site);
    if (difference->site < 0 ||
        !core_place_find(core, choice->namespace_, choice->app, choice->workload, place) ||
        place->app->deleting || !core_site_allowed(world, place->workload, difference->site) ||
        core_site_cordoned(core, difference->site) ||
        core_operation_holds(core, place->app, (int)(place->state - place->app->workloads)))
        return false;
    bool known = choice->variant > 0 && choice->variant < place->workload->variant_count;
    difference->variant = known ? choice->variant : 0;
    difference->touched = place->app->input_version > plan->version;
    return true;
}

/* It asks for another site or variant than the present one, and may. */
static bool differs(const struct difference *difference)
{
    const struct core_workload *state = difference->place.state;
    return difference->allowed &&
           (state->site != difference->site || state->variant != difference->variant);
}

/* Whether the workload cannot stay where it is for a reason that the core sees by itself. */
static bool forced(const struct core *core, const struct core_place *place,
                   enum handoff_reason *ret_reason)
{
    const struct core_state *state = &core->state;
    int site = place->state->site;
    if (site < 0) {
        *ret_reason = REASON_START;
        return true;
    }
    if (!core_site_allowed(state->world, place->workload, site)) {
        *ret_reason = REASON_RETAG;
        return true;
    }
    if (place->workload->kind == KIND_DATA)
        return false;
    if (core_site_cordoned(core, site)) {
        *ret_reason = REASON_DRAIN;
        return true;
    }
    bool up = false;
    for (int i = 0; i < state->node_count && !up; i++)
        up = state->nodes[i].up && state->nodes[i].site_index == site;
    if (!up || place->state->site_blocked[site]) {
        *ret_reason = REASON_NODE_LOST;
        return true;
    }
    return false;
}

/* ---- what becomes of a choice ---- */

static void choose(struct core *core, const struct core_plan *plan,
                   const struct difference *difference, enum handoff_reason reason)
{
    const struct core_plan_choice *choice = difference->choice;
    struct core_workload *workload = difference->place.state;
    struct core_decision *decision =
        core_decision_add(core, &difference->place, difference->site, reason);
    fill_plan(decision, plan, choice);
    decision->verdict = VERDICT_TAKEN;
    const char *variant = difference->place.workload->variant_count > 1
                              ? difference->place.workload->variants[difference->variant].name
                              : "";
    CORE_TEXT(decision->text, "%s: %s%s%s%s%s (plan %s)", handoff_reason_words[reason],
              decision->from_site, decision->from_site[0] != 0 ? " -> " : "to ", decision->to_site,
              variant[0] != 0 ? " as " : "", variant, solve_status_words[plan->status]);
    core_trial_plan(core, &difference->place, plan, choice, reason);
    if (reason == REASON_SAVING && workload->site >= 0 && workload->site != difference->site)
        core_veto(core, difference->place.app, (int)(workload - difference->place.app->workloads),
                  false);
    workload->site = difference->site;
    workload->variant = difference->variant;
    workload->reason = reason;
    workload->failures = 0;
    workload->retry.us = 0;
}

/* The reason stays where people look for it, and is told once: every later plan that is held back
 * for the same reason only brings the figures up to date. */
static void refuse(struct core *core, const struct core_plan *plan,
                   const struct difference *difference, enum core_verdict verdict, const char *why)
{
    const char *to = core->state.world->sites[difference->site].name;
    struct core_decision *decision = core_decision_last(core, &difference->place, false);
    bool again =
        decision != NULL && decision->verdict == verdict && str_equal(decision->to_site, to);
    if (again)
        decision->at = core->state.now;
    else
        decision = core_decision_add(core, &difference->place, difference->site, REASON_SAVING);
    fill_plan(decision, plan, difference->choice);
    decision->verdict = verdict;
    CORE_TEXT(decision->text, "not moved to %s: %s", to, why);
    if (!again)
        core_publish(core, "move.held",
                     (struct core_subject){.namespace_ = decision->namespace_,
                                           .app = decision->app,
                                           .workload = decision->workload,
                                           .state = core_verdict_words[verdict]},
                     decision->text);
}

static void fill_plan(struct core_decision *decision, const struct core_plan *plan,
                      const struct core_plan_choice *choice)
{
    decision->score_before_nusd = plan->score_stay_nusd;
    decision->score_after_nusd = plan->score_plan_nusd;
    decision->bill_before_nusd = plan->bill_stay_nusd;
    decision->bill_after_nusd = plan->bill_plan_nusd;
    decision->score_saving_nusd = choice->score_saving_nusd;
    decision->bill_saving_nusd = choice->bill_saving_nusd;
    decision->once_nusd = choice->once_nusd;
    decision->spread_nusd = choice->spread_nusd;
    decision->confidence_ppm = choice->confidence_ppm;
}

struct core_decision *core_decision_add(struct core *core, const struct core_place *place,
                                        int to_site, enum handoff_reason reason)
{
    struct core_state *state = &core->state;
    struct core_decision *decision = &state->decisions[state->decision_count % CORE_DECISIONS];
    memset(decision, 0, sizeof(*decision));
    state->decision_count++;
    decision->at = state->now;
    decision->reason = reason;
    CORE_SET(decision->namespace_, place->app->app.namespace_);
    CORE_SET(decision->app, place->app->app.name);
    CORE_SET(decision->workload, place->workload->name);
    core_decision_index(core, (int)(decision - state->decisions));
    if (place->state->site >= 0)
        CORE_SET(decision->from_site, state->world->sites[place->state->site].name);
    CORE_SET(decision->to_site, state->world->sites[to_site].name);
    return decision;
}

struct core_decision *core_decision_last(struct core *core, const struct core_place *place,
                                         bool taken)
{
    struct core_state *state = &core->state;
    uint64_t kept = state->decision_count < CORE_DECISIONS ? state->decision_count : CORE_DECISIONS;
    uint64_t slot = core_slot_of(place->app, (int)(place->state - place->app->workloads));
    for (uint64_t i = 0; i < kept; i++) {
        uint64_t row = (state->decision_count - 1 - i) % CORE_DECISIONS;
        struct core_decision *decision = &state->decisions[row];
        if (core->indexes.decisions[row] == slot &&
            (!taken || decision->verdict == VERDICT_TAKEN) &&
            str_equal(decision->workload, place->workload->name) &&
            str_equal(decision->app, place->app->app.name) &&
            str_equal(decision->namespace_, place->app->app.namespace_))
            return decision;
    }
    return NULL;
}

static void publish_plan(struct core *core, const struct core_plan *plan, int moves)
{
    char before[MONEY_TEXT_BYTES];
    char after[MONEY_TEXT_BYTES];
    char text[LIMIT_TEXT_BYTES];
    money_format(plan->bill_stay_nusd, 2, before);
    money_format(plan->bill_plan_nusd, 2, after);
    CORE_TEXT(text, "%s, %d moves, bill %s -> %s per month, score %s%lld -> %lld nUSD, bound %lld",
              solve_status_words[plan->status], moves, before, after,
              plan->score_stay_nusd == INT64_MAX ? "(cannot stay) " : "",
              (long long)(plan->score_stay_nusd == INT64_MAX ? 0 : plan->score_stay_nusd),
              (long long)plan->score_plan_nusd, (long long)plan->bound_nusd);
    core_publish(core, "plan.made", (struct core_subject){0}, text);
}
