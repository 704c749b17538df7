/* Plan against reality: from chosen sites to handoffs, and what the clock brings. */
#include <string.h>

#include "base/str.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"

static void diff_workload(struct core *core, struct core_app *app, int index);
static void diff_led(struct core *core, const struct core_place *place,
                     struct core_instance *present);
static void diff_slot(struct core *core, const struct core_place *place, int replica,
                      struct core_instance *present);
static bool is_updating(const struct core *core, const struct core_place *place);
static bool is_other_variant(const struct core_place *place, const struct core_instance *present);
static void begin(struct core *core, const struct core_place *place, int replica,
                  struct core_instance *present, enum handoff_reason reason);
static bool has_row(struct core *core);
static bool rests(struct core *core, const struct core_place *place,
                  const struct core_instance *present);
static void diff_unwanted(struct core *core, struct core_instance *instance);
static void begin_removal(struct core *core, struct core_instance *instance, const char *text);
static bool is_new_side(const struct core *core, const struct core_instance *instance);
static void workloads_due(struct core *core);
static bool is_next(const struct core *core, const struct core_workload *workload);
static void clock_at(struct core *core, int64_t us);
static bool passed(const struct core *core, int64_t us);

void core_diff(struct core *core)
{
    struct core_state *state = &core->state;
    if (state->world == NULL)
        return;
    for (int i = 0; i < state->instance_count; i++)
        diff_unwanted(core, &state->instances[i]);
    for (int i = 0; i < state->app_count; i++) {
        if (state->apps[i].deleting)
            continue;
        for (int k = 0; k < state->apps[i].app.workload_count; k++)
            diff_workload(core, &state->apps[i], k);
    }
}

void core_diff_slot(struct core *core, const struct core_slot *slot)
{
    struct core_state *state = &core->state;
    if (state->world == NULL)
        return;
    const struct index *slots = &core->indexes.slots;
    uint64_t hash = core_slot_hash(slot->namespace_, slot->app, slot->workload);
    for (int i = index_first(slots, hash); i >= 0; i = index_next(slots, i))
        diff_unwanted(core, &state->instances[i]);
    struct core_place place;
    if (!core_place_find(core, slot->namespace_, slot->app, slot->workload, &place) ||
        place.app->deleting)
        return;
    if (place.workload->family[0] == 0) {
        diff_workload(core, place.app, (int)(place.workload - place.app->app.workloads));
        return;
    }
    /* Who serves whom: the others may have waited for this one. */
    for (int k = 0; k < place.app->app.workload_count; k++)
        diff_workload(core, place.app, k);
}

/* An instance of a deleted app, of a workload or a replica that its app does not have any more. */
static void diff_unwanted(struct core *core, struct core_instance *instance)
{
    if (instance->id[0] == 0 || instance->handoff[0] != 0 || instance->want == WANT_GONE)
        return;
    struct core_place place;
    bool wanted = core_instance_place(core, instance, &place) && !place.app->deleting &&
                  instance->replica < place.workload->replicas;
    /* The slot's own handoff is ending the one before: this one's turn comes after. */
    if (wanted || core_handoff_of(core, instance->namespace_, instance->app, instance->workload,
                                  instance->replica) != NULL)
        return;
    begin_removal(core, instance, "not wanted any more");
}

static void begin_removal(struct core *core, struct core_instance *instance, const char *text)
{
    if (core_pace_room(core, instance->node_index) &&
        core_handoff_begin(core, instance, NULL, REASON_REMOVE, text) != NULL)
        core_pace_begun(core, instance->node_index);
}

static void diff_workload(struct core *core, struct core_app *app, int index)
{
    struct core_state *state = &core->state;
    const struct workload *workload = &app->app.workloads[index];
    struct core_place place = {
        .app = app,
        .workload = &app->app.workloads[index],
        .state = &app->workloads[index],
        .spec_hash = core_spec_hash(app, index, app->workloads[index].variant),
    };
    if (workload->kind == KIND_DATA)
        return;
    struct core_instance *present[LIMIT_REPLICAS] = {NULL};
    bool busy[LIMIT_REPLICAS] = {false};
    const struct index *slots = &core->indexes.slots;
    int row = index_first(slots, core_slot_of(app, index));
    for (; row >= 0; row = index_next(slots, row)) {
        struct core_instance *instance = &state->instances[row];
        if (instance->id[0] == 0 || instance->replica >= workload->replicas ||
            instance->replica < 0)
            continue;
        if (instance->handoff[0] != 0)
            busy[instance->replica] = true;
        if (instance->want == WANT_SERVE && !is_new_side(core, instance))
            present[instance->replica] = instance;
    }
    bool led = app->workloads[index].lead != index;
    for (int i = 0; i < workload->replicas; i++) {
        if (busy[i] || core_slot_handoff(core, app, index, i) != NULL)
            continue;
        if (present[i] != NULL && core_owner_reclaim(core, present[i]))
            continue;
        if (led)
            diff_led(core, &place, present[i]);
        else
            diff_slot(core, &place, i, present[i]);
    }
}

/* Another part's instances serve it. Its own go once those do, and once nobody needs these. */
static void diff_led(struct core *core, const struct core_place *place,
                     struct core_instance *present)
{
    const struct core_app *app = place->app;
    int lead = place->state->lead;
    char text[LIMIT_TEXT_BYTES];
    if (present == NULL || (!core_instance_is_dead(present) &&
                            (!core_is_served(core, app, lead) ||
                             core_is_needed(core, app, (int)(place->state - app->workloads)))))
        return;
    CORE_TEXT(text, "the instances of %s serve it from now on", app->app.workloads[lead].name);
    begin_removal(core, present, text);
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
    } else if (state->nodes[present->node_index].site_index != site ||
               is_other_variant(place, present)) {
        const struct core_app *app = place->app;
        /* What moves gets the version of the app as it is: only what has to move does then. */
        bool saves = place->state->reason == REASON_SAVING || place->state->reason == REASON_REGRET;
        if (saves && core_canary_stopped(place) && present->spec_hash != place->spec_hash)
            return;
        if (!core_is_needed(core, app, (int)(place->state - app->workloads)))
            begin(core, place, replica, present,
                  place->state->reason == REASON_START ? REASON_RETAG : place->state->reason);
    } else if (present->spec_hash != place->spec_hash) {
        if (!core_canary_stopped(place) && !is_updating(core, place))
            begin(core, place, replica, present, REASON_VERSION);
    } else if (core_node_cordoned(core, &state->nodes[present->node_index]) &&
               !core_site_cordoned(core, site)) {
        begin(core, place, replica, present, REASON_DRAIN);
    }
}

/* One replica at a time: the others serve as before until it is there. */
static bool is_updating(const struct core *core, const struct core_place *place)
{
    const struct index *index = &core->indexes.handoff_slots;
    const struct app *app = &place->app->app;
    uint64_t slot = core_slot_of(place->app, (int)(place->state - place->app->workloads));
    for (int i = index_first(index, slot); i >= 0; i = index_next(index, i)) {
        const struct core_handoff *handoff = &core->state.handoffs[i];
        if (handoff->id[0] != 0 && handoff->reason == REASON_VERSION &&
            str_equal(handoff->workload, place->workload->name) &&
            str_equal(handoff->app, app->name) && str_equal(handoff->namespace_, app->namespace_))
            return true;
    }
    return false;
}

/* The same version of the app, run in another way than the one chosen. */
static bool is_other_variant(const struct core_place *place, const struct core_instance *present)
{
    int index = (int)(place->state - place->app->workloads);
    for (int i = 0; i < place->workload->variant_count; i++) {
        if (i != place->state->variant &&
            core_spec_hash(place->app, index, i) == present->spec_hash)
            return true;
    }
    return false;
}

/* One that its node has just given up after its restarts is not started anew at once: the workload
 * itself may be at fault, and would then come and go as fast as it fails. */
static bool rests(struct core *core, const struct core_place *place,
                  const struct core_instance *present)
{
    int64_t until_us = present->since.us + CORE_RETRY_US;
    if (present->state != INSTANCE_FAILED || core->state.now.us >= until_us)
        return false;
    core_clock_forget(core, place);
    if (place->state->retry.us < until_us)
        place->state->retry.us = until_us;
    core_clock_of(core, place->state);
    return true;
}

static void begin(struct core *core, const struct core_place *place, int replica,
                  struct core_instance *present, enum handoff_reason reason)
{
    struct core_state *state = &core->state;
    int site = place->state->site;
    if (state->now.us < place->state->retry.us || place->state->site_blocked[site])
        return;
    bool moves = !core_instance_is_dead(present);
    if (moves ? !has_row(core) : !core_pace_room(core, -1))
        return;
    int node = core_site_allowed(state->world, place->workload, site)
                   ? core_fit(core, place->workload, site, place->state->variant)
                   : -1;
    if (node < 0) {
        /* The solver's next plan knows that this site is full for this workload. */
        place->state->site_blocked[site] = true;
        core->blocked = true;
        core_inputs_touched(core, place->app);
        return;
    }
    if (!moves && !core_pace_room(core, node))
        return;
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
    const struct variant *variant =
        core_variant(core, place->workload, &state->nodes[node], place->state->variant);
    for (int k = 0; k < RESOURCE_COUNT; k++)
        instance->reserve[k] = core_reserve(place->workload, variant, k);
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "%s: to %s on %s", handoff_reason_words[reason], state->world->sites[site].name,
              state->nodes[node].name);
    if (core_handoff_begin(core, present, instance, reason, text) != NULL && !moves)
        core_pace_begun(core, node);
}

/* A row for one more move: as many as may start at once are kept for what serves nobody yet. */
static bool has_row(struct core *core)
{
    bool room = core->state.handoff_count < LIMIT_HANDOFFS - LIMIT_STARTS;
    if (!room)
        core_pace_crowded(core);
    return room;
}

/* ---- times that have passed ---- */

void core_clock_due(struct core *core)
{
    struct core_state *state = &core->state;
    if (state->moves_due.us != 0 && state->now.us >= state->moves_due.us) {
        state->moves_due.us = 0;
        core_inputs_touched(core, NULL);
    }
    /* The workloads are many, and next to none of their times passes in a step. */
    bool any = core->clock_next.us == 0 || state->now.us >= core->clock_next.us;
    if (any && state->world != NULL)
        workloads_due(core);
    core->clock_checked = state->now;
}

static void workloads_due(struct core *core)
{
    struct core_state *state = &core->state;
    bool again = core_trials_due(core);
    core->clock_next.us = INT64_MAX;
    for (int i = 0; i < state->app_count; i++) {
        for (int k = 0; k < state->apps[i].app.workload_count; k++) {
            const struct core_workload *workload = &state->apps[i].workloads[k];
            if (workload->retry.us != 0 && passed(core, workload->retry.us))
                core->diff = true;
            /* From now on it may move again: what was held back may pay. */
            if (workload->moved.us != 0 &&
                passed(core, workload->moved.us + state->world->policy.dwell_us))
                core_inputs_touched(core, NULL);
            core_clock_of(core, workload);
        }
    }
    if (again)
        core->clock_next.us = 0;
}

void core_clock_forget(struct core *core, const struct core_place *place)
{
    const struct core_app *app = place->app;
    int index = (int)(place->state - app->workloads);
    for (int i = 0; i < app->app.workload_count; i++) {
        if ((i == index || app->workloads[i].lead == index) && is_next(core, &app->workloads[i]))
            core->clock_next.us = 0;
    }
}

/* One of its times is what the clock waits for. */
static bool is_next(const struct core *core, const struct core_workload *workload)
{
    int64_t next_us = core->clock_next.us;
    return workload->retry.us == next_us ||
           (workload->moved.us != 0 &&
            workload->moved.us + core->state.world->policy.dwell_us == next_us) ||
           (workload->trial.site >= 0 &&
            (workload->trial.due.us == next_us || workload->trial.until.us == next_us));
}

void core_clock_of(struct core *core, const struct core_workload *workload)
{
    clock_at(core, workload->retry.us);
    if (workload->moved.us != 0)
        clock_at(core, workload->moved.us + core->state.world->policy.dwell_us);
    if (workload->trial.site < 0 || workload->trial.due.us == 0)
        return;
    clock_at(core, workload->trial.until.us);
    /* One whose time has come waits for the last of its group, whose time is a clock's too. */
    clock_at(core, workload->trial.due.us);
}

static void clock_at(struct core *core, int64_t us)
{
    if (us > core->state.now.us && us < core->clock_next.us)
        core->clock_next.us = us;
}

static bool passed(const struct core *core, int64_t us)
{
    return us > core->clock_checked.us && us <= core->state.now.us;
}
