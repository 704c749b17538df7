/* From changed inputs to a solve, and from a plan to chosen sites. */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

static bool accept(struct core *core, const struct core_plan *plan);
static bool forced(const struct core *core, const struct core_place *place,
                   enum handoff_reason *ret_reason);
static void choose(struct core *core, const struct core_plan *plan, const struct core_place *place,
                   int site, enum handoff_reason reason);
static void publish_plan(struct core *core, const struct core_plan *plan, int moves);

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
    /* The inputs have changed since: `changed` is set, and a fresh solve follows when quiet. */
    if (plan->version != state->input_version)
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

/* Takes the plan's sites. A plan that only saves must save: the solver may have been cut short, and
 * then staying can be the better answer. When today's placement breaks a rule that spans several
 * workloads, nobody can say which of the moves are the forced ones: all are. */
static bool accept(struct core *core, const struct core_plan *plan)
{
    struct core_state *state = &core->state;
    bool must = plan->score_stay_nusd == INT64_MAX;
    bool saves = plan->score_plan_nusd < plan->score_stay_nusd;
    for (int pass = 0; pass < 2; pass++) {
        int moves = 0;
        for (int i = 0; i < plan->choice_count; i++) {
            const struct core_plan_choice *choice = &plan->choices[i];
            struct core_place place;
            int site = world_site(state->world, choice->site);
            if (site < 0 ||
                !core_place_find(core, choice->namespace_, choice->app, choice->workload, &place) ||
                place.app->deleting || place.state->site == site ||
                !core_site_allowed(state->world, place.workload, site))
                continue;
            enum handoff_reason reason = REASON_SAVING;
            bool is_forced = forced(core, &place, &reason);
            if (!is_forced && must)
                reason = REASON_RETAG;
            moves++;
            if (pass == 0) {
                must |= is_forced;
                continue;
            }
            choose(core, plan, &place, site, reason);
        }
        if (pass == 0 && !must && !saves)
            return false;
        if (pass == 1) {
            publish_plan(core, plan, moves);
            return moves > 0;
        }
    }
    return false;
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
    bool up = false;
    for (int i = 0; i < state->node_count && !up; i++)
        up = state->nodes[i].up && state->nodes[i].site_index == site;
    if (!up || place->state->site_blocked[site]) {
        *ret_reason = REASON_NODE_LOST;
        return true;
    }
    return false;
}

static void choose(struct core *core, const struct core_plan *plan, const struct core_place *place,
                   int site, enum handoff_reason reason)
{
    struct core_state *state = &core->state;
    struct core_decision *decision = &state->decisions[state->decision_count % CORE_DECISIONS];
    memset(decision, 0, sizeof(*decision));
    state->decision_count++;
    decision->at = state->now;
    CORE_SET(decision->namespace_, place->app->app.namespace_);
    CORE_SET(decision->app, place->app->app.name);
    CORE_SET(decision->workload, place->workload->name);
    if (place->state->site >= 0)
        CORE_SET(decision->from_site, state->world->sites[place->state->site].name);
    CORE_SET(decision->to_site, state->world->sites[site].name);
    decision->reason = reason;
    decision->score_before_nusd = plan->score_stay_nusd;
    decision->score_after_nusd = plan->score_plan_nusd;
    decision->bill_before_nusd = plan->bill_stay_nusd;
    decision->bill_after_nusd = plan->bill_plan_nusd;
    CORE_TEXT(decision->text, "%s: %s%s%s (plan %s)", handoff_reason_words[reason],
              decision->from_site, decision->from_site[0] != 0 ? " -> " : "to ", decision->to_site,
              solve_status_words[plan->status]);
    place->state->site = site;
    place->state->reason = reason;
    place->state->failures = 0;
    place->state->retry.us = 0;
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
