/*
 * After a move that was to save: has it? policy.check_after_us after its handoff is done the shell
 * is asked what the move's group saves by present measurements. When that is a loss by more than
 * its own standard error, the group goes back once, and the sites that it tried are vetoed: not
 * chosen again to save before the world, the app or a measured input of the workload has changed.
 * The same holds, for a month, of a site that a workload has left to save: near the load at which
 * two sites cost the same, noise alone would send it to and fro. A month that begins anew on the
 * egress meters of the site's account, whose tiers may have been why, ends either.
 */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/internal.h"

static bool same_group(const struct core_trial *a, const struct core_trial *b);
static void settle_tried(struct core *core);
static bool all_due(struct core *core, const struct core_trial *trial);
static bool ask(struct core *core, struct core_app *app, int index);
static void end_unjudged(struct core *core, struct core_app *app, int index);
static void write_realised(struct core *core, struct core_app *app, int index,
                           const struct core_event *event);
static bool regret(struct core *core, uint64_t check);
static bool can_return(struct core *core, const struct core_app *app, int index);
static void go_back(struct core *core, struct core_app *app, int index,
                    const struct core_event *event);
static bool has_veto(const struct core_workload *workload);
static void learn(const struct core *core, struct core_app *app, int index);
static void learn_input(const struct core *core, struct core_veto *veto,
                        const struct estimate *estimate);
static bool veto_holds(const struct core *core, const struct core_app *app, int index,
                       const struct core_veto *veto);
static int64_t month_bytes(const struct core *core, const struct site *site);
static const char *kept_users(const struct estimate *estimate);
static bool is_input(const struct core_veto_input *then, const struct estimate *now);
static bool has_changed(const struct core_veto_input *then, const struct estimate *now);
static bool counts(const struct estimate *estimate);
static struct core_place place_of(struct core_app *app, int index);

void core_trial_plan(struct core *core, const struct core_place *place,
                     const struct core_plan *plan, const struct core_plan_choice *choice,
                     enum handoff_reason reason)
{
    struct core_trial *trial = &place->state->trial;
    bool wanted = reason == REASON_SAVING && choice->group >= 0 && place->state->site >= 0 &&
                  core->state.world->policy.check_after_us > 0;
    *trial = (struct core_trial){.site = -1};
    if (!wanted)
        return;
    core->indexes.tried[place->app - core->state.apps] = true;
    *trial = (struct core_trial){
        .site = place->state->site,
        .variant = place->state->variant,
        .plan = plan->solve,
        .group = choice->group,
        .score_predicted_nusd = choice->score_saving_nusd,
        .bill_predicted_nusd = choice->bill_saving_nusd,
        .spread_nusd = choice->spread_nusd,
    };
}

void core_trial_begin(struct core *core, struct core_app *app, int index)
{
    int64_t due_us = core->state.now.us + core->state.world->policy.check_after_us;
    for (int i = 0; i < app->app.workload_count; i++) {
        struct core_trial *trial = &app->workloads[i].trial;
        if ((i != index && app->workloads[i].lead != index) || trial->site < 0 || trial->check != 0)
            continue;
        trial->due.us = due_us;
        trial->until.us = due_us + CORE_CHECK_GIVE_UP_US;
        core_clock_of(core, &app->workloads[i]);
    }
}

bool core_trials_due(struct core *core)
{
    int64_t now_us = core->state.now.us;
    int64_t quiet_us = 0;
    bool again = false;
    if (core->state.world == NULL)
        return false;
    bool quiet = core_quiet(&core->state.world->policy, now_us, &quiet_us);
    settle_tried(core);
    FOR_EACH_TRIED(core, app, i)
    {
        struct core_trial *trial = &app->workloads[i].trial;
        if (trial->site < 0 || trial->due.us == 0 || now_us < trial->due.us)
            continue;
        if (quiet) {
            /* Going back is a move that could wait, so the question waits too. */
            trial->due.us = quiet_us;
            trial->until.us += quiet_us - now_us;
        } else if (now_us >= trial->until.us) {
            end_unjudged(core, app, i);
            again = true; /* the rest of its group may have waited for it alone */
        } else if (all_due(core, trial)) {
            again |= !ask(core, app, i);
        }
    }
    return again;
}

/* Trials have ended one by one since it was looked at last. */
static void settle_tried(struct core *core)
{
    for (int i = 0; i < core->state.app_count; i++) {
        const struct core_app *app = &core->state.apps[i];
        bool any = false;
        for (int k = 0; core->indexes.tried[i] && k < app->app.workload_count && !any; k++)
            any = app->workloads[k].trial.site >= 0;
        core->indexes.tried[i] = any;
    }
}

static bool same_group(const struct core_trial *a, const struct core_trial *b)
{
    return a->site >= 0 && b->site >= 0 && a->plan == b->plan && a->group == b->group;
}

/* A group is judged when the last of it has been carried out for long enough. */
static bool all_due(struct core *core, const struct core_trial *trial)
{
    FOR_EACH_TRIED(core, app, i)
    {
        const struct core_trial *other = &app->workloads[i].trial;
        if (same_group(trial, other) && (other->due.us == 0 || other->due.us > core->state.now.us))
            return false;
    }
    return true;
}

/* One question for the whole group; asked again until it is answered. False: no room for it. */
static bool ask(struct core *core, struct core_app *app, int index)
{
    struct core_state *state = &core->state;
    struct core_trial *trial = &app->workloads[index].trial;
    struct core_effect *effect = core_emit(core, CORE_CHECK);
    if (effect == NULL) {
        core_pace_crowded(core);
        return false;
    }
    uint64_t check = trial->check != 0 ? trial->check : ++state->check;
    effect->check.check = check;
    CORE_SET(effect->check.namespace_, app->app.namespace_);
    CORE_SET(effect->check.app, app->app.name);
    CORE_SET(effect->check.workload, app->app.workloads[index].name);
    CORE_SET(effect->check.site, state->world->sites[trial->site].name);
    effect->check.variant = trial->variant;
    struct core_trial asked = *trial;
    FOR_EACH_TRIED(core, other, i)
    {
        struct core_trial *member = &other->workloads[i].trial;
        if (!same_group(&asked, member))
            continue;
        member->check = check;
        member->due.us = state->now.us + CORE_CHECK_RESEND_US;
    }
    return true;
}

void core_trials_renew(struct core *core)
{
    FOR_EACH_TRIED(core, app, i)
    {
        if (app->workloads[i].trial.site >= 0 && app->workloads[i].trial.check != 0)
            app->workloads[i].trial.due = core->state.now;
    }
}

static void end_unjudged(struct core *core, struct core_app *app, int index)
{
    struct core_trial *trial = &app->workloads[index].trial;
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text,
              "whether the move from %s has paid could not be told in time: no recent "
              "measurements, or its group is still moving",
              core->state.world->sites[trial->site].name);
    core_publish(core, "move.unchecked",
                 (struct core_subject){.namespace_ = app->app.namespace_,
                                       .app = app->app.name,
                                       .workload = app->app.workloads[index].name},
                 text);
    trial->site = -1;
}

void core_on_checked(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    uint64_t check = event->checked.check;
    if (check == 0 || state->world == NULL)
        return;
    bool found = false;
    FOR_EACH_TRIED(core, app, i)
    {
        struct core_trial *trial = &app->workloads[i].trial;
        if (trial->site < 0 || trial->check != check)
            continue;
        struct core_place place = place_of(app, i);
        found = true;
        core_clock_forget(core, &place);
        if (event->checked.known) {
            write_realised(core, app, i, event);
        } else {
            trial->check = 0;
            trial->due.us = state->now.us + CORE_CHECK_AGAIN_US;
            core_clock_of(core, &app->workloads[i]);
        }
    }
    if (!found || !event->checked.known)
        return;
    bool lost = event->checked.score_saving_nusd < 0 &&
                -(__int128)event->checked.score_saving_nusd > event->checked.spread_nusd;
    bool back = lost && regret(core, check);
    FOR_EACH_TRIED(core, app, i)
    {
        struct core_trial *trial = &app->workloads[i].trial;
        if (trial->site < 0 || trial->check != check)
            continue;
        if (lost)
            core_veto(core, app, i, true);
        if (back)
            go_back(core, app, i, event);
        trial->site = -1;
        core_clock_of(core, &app->workloads[i]);
    }
    for (int i = 0; i < state->app_count && back; i++)
        core_leads_settle(&state->apps[i]);
    if (lost)
        core_inputs_changed(core, false);
    core->diff |= back;
}

static void write_realised(struct core *core, struct core_app *app, int index,
                           const struct core_event *event)
{
    struct core_place place = place_of(app, index);
    const struct core_trial *trial = &place.state->trial;
    struct core_decision *decision = core_decision_last(core, &place, true);
    if (decision != NULL) {
        decision->checked = true;
        decision->checked_at = core->state.now;
        decision->score_realised_nusd = event->checked.score_saving_nusd;
        decision->bill_realised_nusd = event->checked.bill_saving_nusd;
    }
    char predicted[MONEY_TEXT_BYTES];
    char realised[MONEY_TEXT_BYTES];
    char bill_predicted[MONEY_TEXT_BYTES];
    char bill_realised[MONEY_TEXT_BYTES];
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "predicted a saving of %s a month (bill %s), realised %s (bill %s)",
              money_format(trial->score_predicted_nusd, 2, predicted),
              money_format(trial->bill_predicted_nusd, 2, bill_predicted),
              money_format(event->checked.score_saving_nusd, 2, realised),
              money_format(event->checked.bill_saving_nusd, 2, bill_realised));
    core_publish(core, "move.checked",
                 (struct core_subject){.namespace_ = app->app.namespace_,
                                       .app = app->app.name,
                                       .workload = place.workload->name},
                 text);
}

/* ---- going back ---- */

/* Whether the whole group can go back: half of it would be a placement that nobody has judged. */
static bool regret(struct core *core, uint64_t check)
{
    FOR_EACH_TRIED(core, app, i)
    {
        const struct core_trial *trial = &app->workloads[i].trial;
        if (trial->site >= 0 && trial->check == check && !can_return(core, app, i))
            return false;
    }
    return true;
}

/* The app still moves by itself, the site is still allowed, and a node there has room. A handoff
 * under way settles first: the trial is over by then, and the solver decides. */
static bool can_return(struct core *core, const struct core_app *app, int index)
{
    const struct workload *workload = &app->app.workloads[index];
    const struct core_workload *state = &app->workloads[index];
    const struct core_trial *trial = &state->trial;
    if (app->deleting || app->app.moves != MOVES_AUTO ||
        !core_site_allowed(core->state.world, workload, trial->site) ||
        state->site_blocked[trial->site])
        return false;
    for (int i = 0; i < workload->replicas; i++) {
        if (core_slot_handoff(core, app, index, i) != NULL)
            return false;
    }
    return trial->site == state->site || core_fit(core, workload, trial->site, trial->variant) >= 0;
}

static void go_back(struct core *core, struct core_app *app, int index,
                    const struct core_event *event)
{
    struct core_place place = place_of(app, index);
    struct core_workload *state = place.state;
    char loss[MONEY_TEXT_BYTES];
    struct core_decision *decision =
        core_decision_add(core, &place, state->trial.site, REASON_REGRET);
    decision->score_saving_nusd = -event->checked.score_saving_nusd;
    decision->bill_saving_nusd = -event->checked.bill_saving_nusd;
    decision->spread_nusd = event->checked.spread_nusd;
    CORE_TEXT(decision->text, "%s: %s -> %s, since the move has lost %s a month",
              handoff_reason_words[REASON_REGRET], decision->from_site, decision->to_site,
              money_format(decision->score_saving_nusd, 2, loss));
    state->site = state->trial.site;
    state->variant = state->trial.variant;
    state->reason = REASON_REGRET;
    state->failures = 0;
    state->retry.us = 0;
    core_move_counted(core);
    core_publish(core, "move.regretted",
                 (struct core_subject){.namespace_ = decision->namespace_,
                                       .app = decision->app,
                                       .workload = decision->workload},
                 decision->text);
}

/* ---- vetoes ---- */

void core_veto(struct core *core, struct core_app *app, int index, bool regretted)
{
    const struct core_state *state = &core->state;
    struct core_workload *workload = &app->workloads[index];
    int at = 0;
    for (int i = 0; i < CORE_VETOES; i++) {
        const struct core_veto *old = &workload->vetoes[i];
        if (old->site == workload->site) {
            at = i;
            break;
        }
        const struct core_veto *best = &workload->vetoes[at];
        if (best->site >= 0 && (old->site < 0 || old->since.us < best->since.us))
            at = i;
    }
    struct core_veto *fresh = &workload->vetoes[at];
    memset(fresh, 0, sizeof(*fresh));
    fresh->site = workload->site;
    fresh->regretted = regretted;
    fresh->since = state->now;
    fresh->app_version = app->version;
    fresh->world_version = state->world_version;
    const struct site *site = &state->world->sites[workload->site];
    int64_t bytes = month_bytes(core, site);
    if (bytes > 0) {
        struct core_veto_input *input = &fresh->inputs[fresh->input_count++];
        input->kind = ESTIMATE_METER_BYTES;
        input->value = bytes;
        CORE_SET(input->site, state->world->accounts[site->account].name);
    }
    FOR_EACH_ESTIMATE(core, app, index, row)
    {
        const struct estimate *estimate = &state->estimates[row];
        if (!counts(estimate) || fresh->input_count == CORE_VETO_INPUTS)
            continue;
        struct core_veto_input *input = &fresh->inputs[fresh->input_count++];
        input->kind = estimate->kind;
        input->value = estimate->value;
        input->spread = estimate->spread;
        CORE_SET(input->site, estimate->site);
        str_format(input->users, sizeof(input->users), "%.63s", kept_users(estimate));
    }
}

void core_vetoes_learn(struct core *core)
{
    if (core->state.world == NULL)
        return;
    for (int i = 0; i < core->state.app_count; i++) {
        struct core_app *app = &core->state.apps[i];
        for (int k = 0; k < app->app.workload_count; k++) {
            if (has_veto(&app->workloads[k]))
                learn(core, app, k);
        }
    }
}

static bool has_veto(const struct core_workload *workload)
{
    bool any = false;
    for (int i = 0; i < CORE_VETOES; i++)
        any |= workload->vetoes[i].site >= 0;
    return any;
}

/* What is measured where it went was not known when it left: the first figures there, as they are
 * by the end of the dwell (a cache has filled), are what a change is told from. */
static void learn(const struct core *core, struct core_app *app, int index)
{
    const struct core_state *state = &core->state;
    struct core_workload *workload = &app->workloads[index];
    if (workload->site < 0)
        return;
    const char *site = state->world->sites[workload->site].name;
    FOR_EACH_ESTIMATE(core, app, index, row)
    {
        const struct estimate *estimate = &state->estimates[row];
        if (!counts(estimate) || !str_equal(estimate->site, site))
            continue;
        for (int k = 0; k < CORE_VETOES; k++) {
            struct core_veto *veto = &workload->vetoes[k];
            if (veto->site >= 0 && veto->site != workload->site)
                learn_input(core, veto, estimate);
        }
    }
}

static void learn_input(const struct core *core, struct core_veto *veto,
                        const struct estimate *estimate)
{
    const struct core_state *state = &core->state;
    bool settling = state->now.us - veto->since.us < state->world->policy.dwell_us;
    int at = 0;
    while (at < veto->input_count && !is_input(&veto->inputs[at], estimate))
        at++;
    if (at == CORE_VETO_INPUTS || (at < veto->input_count && !settling))
        return;
    struct core_veto_input *input = &veto->inputs[at];
    if (at == veto->input_count)
        memset(&veto->inputs[veto->input_count++], 0, sizeof(*input));
    input->kind = estimate->kind;
    input->value = estimate->value;
    input->spread = estimate->spread;
    CORE_SET(input->site, estimate->site);
    str_format(input->users, sizeof(input->users), "%.63s", kept_users(estimate));
}

bool core_vetoed(const struct core *core, const struct core_app *app, int index, int site)
{
    const struct core_workload *workload = &app->workloads[index];
    for (int i = 0; i < CORE_VETOES; i++) {
        if (workload->vetoes[i].site == site && site >= 0 &&
            veto_holds(core, app, index, &workload->vetoes[i]))
            return true;
    }
    return false;
}

static bool veto_holds(const struct core *core, const struct core_app *app, int index,
                       const struct core_veto *veto)
{
    const struct core_state *state = &core->state;
    if (veto->app_version != app->version || veto->world_version != state->world_version)
        return false;
    if (!veto->regretted && state->now.us - veto->since.us >= CORE_LEFT_US)
        return false;
    const struct core_veto_input *first = &veto->inputs[0];
    if (veto->input_count > 0 && first->kind == ESTIMATE_METER_BYTES &&
        month_bytes(core, &state->world->sites[veto->site]) < first->value)
        return false;
    FOR_EACH_ESTIMATE(core, app, index, row)
    {
        const struct estimate *estimate = &state->estimates[row];
        for (int i = 0; i < veto->input_count; i++) {
            const struct core_veto_input *input = &veto->inputs[i];
            if (is_input(input, estimate) && counts(estimate) && has_changed(input, estimate))
                return false;
        }
    }
    return true;
}

/* On the meters of its account whose next byte may have another price. They grow until a month is
 * over. */
static int64_t month_bytes(const struct core *core, const struct site *site)
{
    const struct world *world = core->state.world;
    struct estimate meter = {.kind = ESTIMATE_METER_BYTES};
    int64_t sum = 0;
    for (int i = 0; i < world->egress_count && site->account >= 0; i++) {
        if (world->egress[i].tier_count < 2)
            continue;
        CORE_SET(meter.site, world->accounts[site->account].name);
        CORE_SET(meter.peer, world->egress[i].name);
        int row = core_estimate_find(core, &meter);
        if (row >= 0 && __builtin_add_overflow(sum, core->state.estimates[row].value, &sum))
            return INT64_MAX;
    }
    return sum;
}

static const char *kept_users(const struct estimate *estimate)
{
    return estimate->kind == ESTIMATE_USERS_MHZ ? estimate->peer : "";
}

static bool is_input(const struct core_veto_input *then, const struct estimate *now)
{
    return then->kind == now->kind && str_equal(then->site, now->site) &&
           str_equal(then->users, kept_users(now));
}

/* By more than 20 %, and by more than noise explains: about six standard errors of the difference.
 * Of thousands of looks in a month one by chance would be enough for a move to and fro. */
static bool has_changed(const struct core_veto_input *then, const struct estimate *now)
{
    __int128 change = (__int128)now->value - then->value;
    __int128 value = then->value < 0 ? -(__int128)then->value : then->value;
    change = change < 0 ? -change : change;
    return change * 5 > value && change * 2 > 9 * ((__int128)then->spread + now->spread);
}

/* The measured inputs of a workload itself that the cost model multiplies with prices. */
static bool counts(const struct estimate *estimate)
{
    switch (estimate->kind) {
    case ESTIMATE_CALLS_MHZ:
    case ESTIMATE_CPU_NS:
    case ESTIMATE_HIT_PPM:
    case ESTIMATE_REQUEST_BYTES:
    case ESTIMATE_RESPONSE_BYTES:
    case ESTIMATE_USERS_MHZ:
        return true;
    default:
        return false;
    }
}

bool *core_sites_closed(const struct core *core, const struct core_app *app, int index,
                        struct arena *arena)
{
    const struct core_state *state = &core->state;
    const struct core_workload *workload = &app->workloads[index];
    size_t sites = (size_t)state->world->site_count;
    if (!has_veto(workload))
        return workload->site_blocked;
    bool *closed = arena_array(arena, sites + 1, sizeof(*closed));
    if (closed == NULL)
        return NULL;
    memcpy(closed, workload->site_blocked, sites * sizeof(*closed));
    bool left = false;
    for (int i = 0; i < state->world->site_count; i++) {
        closed[i] |= i != workload->site && core_vetoed(core, app, index, i);
        if (left || closed[i] || !core_site_allowed(state->world, &app->app.workloads[index], i))
            continue;
        for (int k = 0; k < state->node_count && !left; k++)
            left = state->nodes[k].up && state->nodes[k].site_index == i;
    }
    /* A site that did not pay is still better than none. */
    return left ? closed : workload->site_blocked;
}

static struct core_place place_of(struct core_app *app, int index)
{
    return (struct core_place){
        .app = app,
        .workload = &app->app.workloads[index],
        .state = &app->workloads[index],
        .spec_hash = core_spec_hash(app, index, app->workloads[index].variant),
    };
}
