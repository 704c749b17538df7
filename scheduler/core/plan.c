/* From changed inputs to a solve, from a plan to chosen sites, from chosen sites to handoffs. */
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
static void diff_workload(struct core *core, struct core_app *app, int index);
static void diff_slot(struct core *core, const struct core_place *place, int replica,
                      struct core_instance *present);
static void begin(struct core *core, const struct core_place *place, int replica,
                  struct core_instance *present, enum handoff_reason reason);
static bool rests(const struct core *core, const struct core_place *place,
                  const struct core_instance *present);
static void diff_unwanted(struct core *core);
static bool is_new_side(const struct core *core, const struct core_instance *instance);
static bool passed(const struct core *core, int64_t us);

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

/* ---- plan against reality ---- */

void core_diff(struct core *core)
{
    struct core_state *state = &core->state;
    if (state->world == NULL)
        return;
    diff_unwanted(core);
    for (int i = 0; i < state->app_count; i++) {
        if (state->apps[i].deleting)
            continue;
        for (int k = 0; k < state->apps[i].app.workload_count; k++)
            diff_workload(core, &state->apps[i], k);
    }
}

/* Instances of deleted apps, of workloads and replicas that their app does not have any more. */
static void diff_unwanted(struct core *core)
{
    struct core_state *state = &core->state;
    for (int i = 0; i < state->instance_count; i++) {
        struct core_instance *instance = &state->instances[i];
        if (instance->id[0] == 0 || instance->handoff[0] != 0 || instance->want == WANT_GONE)
            continue;
        struct core_place place;
        bool wanted = core_place_find(core, instance->namespace_, instance->app, instance->workload,
                                      &place) &&
                      !place.app->deleting && instance->replica < place.workload->replicas;
        /* The slot's own handoff is ending the one before: this one's turn comes after. */
        if (wanted || core_handoff_of(core, instance->namespace_, instance->app, instance->workload,
                                      instance->replica) != NULL)
            continue;
        (void)core_handoff_begin(core, instance, NULL, REASON_REMOVE, "not wanted any more");
    }
}

static void diff_workload(struct core *core, struct core_app *app, int index)
{
    struct core_state *state = &core->state;
    const struct workload *workload = &app->app.workloads[index];
    struct core_place place = {
        .app = app,
        .workload = &app->app.workloads[index],
        .state = &app->workloads[index],
        .spec_hash = ((struct core_storage *)app->storage)->spec_hash[index],
    };
    struct core_instance *present[LIMIT_REPLICAS] = {NULL};
    bool busy[LIMIT_REPLICAS] = {false};
    uint64_t hash = core_slot_hash(app->app.namespace_, app->app.name, workload->name);
    for (int i = 0; i < state->instance_count; i++) {
        struct core_instance *instance = &state->instances[i];
        if (core->slot_hash[i] != hash || instance->id[0] == 0 ||
            instance->replica >= workload->replicas || instance->replica < 0)
            continue;
        if (instance->handoff[0] != 0)
            busy[instance->replica] = true;
        if (instance->want == WANT_SERVE && !is_new_side(core, instance))
            present[instance->replica] = instance;
    }
    for (int i = 0; i < workload->replicas; i++) {
        if (!busy[i] &&
            core_handoff_of(core, app->app.namespace_, app->app.name, workload->name, i) == NULL)
            diff_slot(core, &place, i, present[i]);
    }
}

static bool is_new_side(const struct core *core, const struct core_instance *instance)
{
    const struct core_handoff *handoff = core_handoff_find(core, instance->handoff);
    return handoff != NULL && str_equal(handoff->to, instance->id);
}

static void diff_slot(struct core *core, const struct core_place *place, int replica,
                      struct core_instance *present)
{
    const struct core_state *state = &core->state;
    int site = place->state->site;
    if (site < 0)
        return;
    if (present == NULL)
        begin(core, place, replica, NULL, REASON_START);
    else if (present->lost)
        begin(core, place, replica, present, REASON_NODE_LOST);
    else if (core_instance_is_settled(present)) {
        if (!rests(core, place, present))
            begin(core, place, replica, present, REASON_FAILED);
    } else if (state->nodes[present->node_index].site_index != site)
        begin(core, place, replica, present,
              place->state->reason == REASON_START ? REASON_RETAG : place->state->reason);
    else if (present->spec_hash != place->spec_hash)
        begin(core, place, replica, present, REASON_VERSION);
}

/* One that its node has just given up after its restarts is not started anew at once: the workload
 * itself may be at fault, and would then come and go as fast as it fails. */
static bool rests(const struct core *core, const struct core_place *place,
                  const struct core_instance *present)
{
    int64_t until_us = present->since.us + CORE_RETRY_US;
    if (present->state != INSTANCE_FAILED || core->state.now.us >= until_us)
        return false;
    if (place->state->retry.us < until_us)
        place->state->retry.us = until_us;
    return true;
}

static void begin(struct core *core, const struct core_place *place, int replica,
                  struct core_instance *present, enum handoff_reason reason)
{
    struct core_state *state = &core->state;
    int site = place->state->site;
    if (state->now.us < place->state->retry.us || place->state->site_blocked[site] ||
        state->handoff_count == LIMIT_HANDOFFS)
        return;
    int node = core_site_allowed(state->world, place->workload, site)
                   ? core_fit(core, place->workload, site)
                   : -1;
    if (node < 0) {
        /* The solver's next plan knows that this site is full for this workload. */
        place->state->site_blocked[site] = true;
        core_inputs_changed(core, false);
        return;
    }
    char id[LIMIT_ID_BYTES];
    char number[CORE_NUMBER_BYTES];
    str_format(id, sizeof(id), "%.20s-%d-%s", place->workload->name, replica,
               core_number(core_next(core), number));
    struct core_instance *instance =
        core_instance_add(core, id, place->app->app.namespace_, place->app->app.name,
                          place->workload->name, replica, state->nodes[node].name);
    if (instance == NULL)
        return;
    instance->want = WANT_SERVE;
    instance->spec_hash = place->spec_hash;
    memcpy(instance->reserve, place->workload->reserve, sizeof(instance->reserve));
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "%s: to %s on %s", handoff_reason_words[reason], state->world->sites[site].name,
              state->nodes[node].name);
    (void)core_handoff_begin(core, present, instance, reason, text);
}

/* ---- times that have passed ---- */

void core_clock_due(struct core *core)
{
    struct core_state *state = &core->state;
    for (int i = 0; i < state->app_count && state->world != NULL; i++) {
        for (int k = 0; k < state->apps[i].app.workload_count; k++) {
            const struct core_workload *workload = &state->apps[i].workloads[k];
            if (workload->retry.us != 0 && passed(core, workload->retry.us))
                core->diff = true;
            /* From now on it may move again: what was held back may pay. */
            if (workload->moved.us != 0 &&
                passed(core, workload->moved.us + state->world->policy.dwell_us))
                core_inputs_changed(core, false);
        }
    }
    core->clock_checked = state->now;
}

static bool passed(const struct core *core, int64_t us)
{
    return us > core->clock_checked.us && us <= core->state.now.us;
}
