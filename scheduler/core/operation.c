#include "scheduler/core/operation.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"

static int check(const struct core *core, const struct core_event *event,
                 char text[LIMIT_TEXT_BYTES]);
static int check_step(const struct core *core, const struct core_operation_step *steps, int index,
                      char text[LIMIT_TEXT_BYTES]);
static struct core_operation *add(struct core *core, const struct core_operation_step *steps,
                                  int count);
static bool roll_back(struct core *core, struct core_operation *operation, char *text);
static bool advance(struct core *core, struct core_operation *operation);
static bool begin_step(struct core *core, struct core_operation *operation, int index);
static void follow_step(struct core *core, struct core_operation *operation, int index);
static bool step_is_under_way(const struct core *core, const struct core_operation_step *step);
static void step_back(struct core *core, struct core_operation *operation, int index,
                      const char *why);
static void end(struct core *core, struct core_operation *operation, enum operation_state state,
                const char *why);
static void choose(struct core *core, const struct core_place *place, int site, int variant,
                   const char *text);
static int fitting_variant(const struct core *core, const struct core_place *place, int site);
static void publish(struct core *core, const struct core_operation *operation, const char *name,
                    const struct core_operation_step *step, const char *text);
static bool is_over(const struct core_operation *operation);

/* ---- asking ---- */

void core_on_operate(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    char text[LIMIT_TEXT_BYTES] = "";
    int rc = check(core, event, text);
    if (rc < 0) {
        core_reply(core, event, rc, text);
        return;
    }
    struct core_operation *operation = add(core, event->operate.steps, event->operate.step_count);
    if (operation == NULL) {
        core_reply(core, event, ERR_LIMIT,
                   "too many operations are running; wait for one, or cancel one");
        return;
    }
    core_cut(operation->text, event->operate.text);
    operation->at_once =
        event->operate.at_once > 0 ? event->operate.at_once : state->world->policy.moves_max;
    if (event->operate.cordon[0] != 0) {
        operation->cordon_kind = event->operate.cordon_kind;
        CORE_SET(operation->cordon, event->operate.cordon);
        rc = core_cordon_set(core, operation->cordon_kind, operation->cordon, true, text);
        BERTH_ASSERT(rc == 0, "a cordon that was checked: %s", text);
    }
    state->version++;
    publish(core, operation, "operation.begun", NULL, operation->text);
    /* The reply's text is the id, so that whoever asked can follow it. */
    core_reply(core, event, 0, operation->id);
}

/* Long: each way to refuse has its sentence. */
static int check(const struct core *core, const struct core_event *event,
                 char text[LIMIT_TEXT_BYTES])
{
    const struct core_state *state = &core->state;
    if (state->world == NULL) {
        CORE_TEXT(text, "there is no world yet; apply one");
        return ERR_NOT_FOUND;
    }
    if (event->operate.version != 0 && event->operate.version != state->version) {
        CORE_TEXT(text, "the plan was made from version %llu, and now it is %llu; make a new plan",
                  (unsigned long long)event->operate.version, (unsigned long long)state->version);
        return ERR_STALE;
    }
    if (event->operate.step_count > LIMIT_OPERATION_STEPS) {
        CORE_TEXT(text, "LIMIT_OPERATION_STEPS: %d moves at most; divide it",
                  LIMIT_OPERATION_STEPS);
        return ERR_LIMIT;
    }
    if (event->operate.cordon[0] != 0) {
        int rc = core_cordon_check(core, event->operate.cordon_kind, event->operate.cordon, text);
        if (rc < 0)
            return rc;
        if (state->cordon_count == CORE_CORDONS) {
            CORE_TEXT(text, "CORE_CORDONS: %d are being emptied; lift one with `berth uncordon`",
                      CORE_CORDONS);
            return ERR_LIMIT;
        }
    }
    for (int i = 0; i < event->operate.step_count; i++) {
        int rc = check_step(core, event->operate.steps, i, text);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_step(const struct core *core, const struct core_operation_step *steps, int index,
                      char text[LIMIT_TEXT_BYTES])
{
    const struct core_operation_step *step = &steps[index];
    const struct world *world = core->state.world;
    struct core_place place;
    int site = world_site(world, step->to_site);
    if (site < 0) {
        CORE_TEXT(text, "the world has no site %s; `berth get sites` lists them", step->to_site);
        return ERR_NOT_FOUND;
    }
    if (!core_place_find(core, step->namespace_, step->app, step->workload, &place) ||
        place.app->deleting) {
        CORE_TEXT(text, "there is no workload %s/%s/%s; `berth get apps` lists them",
                  step->namespace_, step->app, step->workload);
        return ERR_NOT_FOUND;
    }
    if (place.workload->kind == KIND_DATA || place.state->site < 0) {
        CORE_TEXT(text, "%s %s", step->workload,
                  place.workload->kind == KIND_DATA
                      ? "is a data set: copy its bytes, then say where it is in the app and apply"
                      : "runs nowhere yet: there is nothing to move");
        return ERR_UNSUPPORTED;
    }
    if (!core_site_allowed(world, place.workload, site)) {
        CORE_TEXT(text,
                  "%s may not be at %s: its tags, tiers or pin forbid it; `berth explain` "
                  "says which",
                  step->workload, step->to_site);
        return ERR_INVALID;
    }
    bool twice = core_operation_holds(core, place.app, (int)(place.state - place.app->workloads));
    for (int i = 0; i < index && !twice; i++) {
        twice = str_equal(steps[i].workload, step->workload) &&
                str_equal(steps[i].app, step->app) &&
                str_equal(steps[i].namespace_, step->namespace_);
    }
    if (twice) {
        CORE_TEXT(text,
                  "%s is already a step of this or of a running operation; `berth get "
                  "operations`",
                  step->workload);
        return ERR_UNAVAILABLE;
    }
    return 0;
}

/* Memory of its own: an event's ends with its step. NULL: every kept one is running. */
static struct core_operation *add(struct core *core, const struct core_operation_step *steps,
                                  int count)
{
    struct core_state *state = &core->state;
    if (state->operation_count == CORE_OPERATIONS) {
        int oldest = 0;
        while (oldest < CORE_OPERATIONS && !is_over(&state->operations[oldest]))
            oldest++;
        if (oldest == CORE_OPERATIONS)
            return NULL;
        core_operation_free(&state->operations[oldest]);
        state->operation_count--;
        memmove(&state->operations[oldest], &state->operations[oldest + 1],
                (size_t)(state->operation_count - oldest) * sizeof(*state->operations));
    }
    struct core_operation_step *own = calloc((size_t)count + 1, sizeof(*own));
    if (own == NULL)
        return NULL;
    struct core_operation *operation = &state->operations[state->operation_count++];
    memset(operation, 0, sizeof(*operation));
    char number[CORE_NUMBER_BYTES];
    str_format(operation->id, sizeof(operation->id), "op%s", core_number(core_next(core), number));
    operation->begun = state->now;
    operation->state = OPERATION_RUNNING;
    operation->steps = own;
    operation->step_count = count;
    for (int i = 0; i < count; i++) {
        CORE_SET(own[i].namespace_, steps[i].namespace_);
        CORE_SET(own[i].app, steps[i].app);
        CORE_SET(own[i].workload, steps[i].workload);
        CORE_SET(own[i].to_site, steps[i].to_site);
        own[i].to_variant = steps[i].to_variant;
    }
    return operation;
}

void core_operation_free(struct core_operation *operation)
{
    free(operation->steps);
    operation->steps = NULL;
}

void core_on_operation_end(struct core *core, const struct core_event *event)
{
    struct core_operation *operation = core_operation_find(core, event->operation_end.id);
    char text[LIMIT_TEXT_BYTES];
    if (operation == NULL) {
        CORE_TEXT(text, "there is no operation %s (the last %d are kept); `berth get operations`",
                  event->operation_end.id, CORE_OPERATIONS);
        core_reply(core, event, ERR_NOT_FOUND, text);
        return;
    }
    bool running = operation->state == OPERATION_RUNNING;
    if (!running && !event->operation_end.roll_back) {
        CORE_TEXT(text, "operation %s is %s already", operation->id,
                  operation_state_words[operation->state]);
        core_reply(core, event, ERR_STALE, text);
        return;
    }
    if (running)
        end(core, operation, OPERATION_CANCELLED, "cancelled");
    if (!event->operation_end.roll_back) {
        core_reply(core, event, 0, operation->id);
        return;
    }
    bool begun = roll_back(core, operation, text);
    core_reply(core, event, begun ? 0 : ERR_UNAVAILABLE, text);
}

/* Last first. What has gone elsewhere or been deleted meanwhile is not touched. */
static bool roll_back(struct core *core, struct core_operation *operation, char *text)
{
    if (operation->state == OPERATION_ROLLED_BACK) {
        CORE_TEXT(text, "operation %s was rolled back already", operation->id);
        return false;
    }
    struct core_operation_step *steps = calloc((size_t)operation->step_count + 1, sizeof(*steps));
    int count = 0;
    for (int i = operation->step_count; steps != NULL && i-- > 0;) {
        const struct core_operation_step *step = &operation->steps[i];
        struct core_place place;
        int site = world_site(core->state.world, step->from_site);
        if ((step->state != STEP_DONE && step->state != STEP_MOVING) || site < 0 ||
            !core_place_find(core, step->namespace_, step->app, step->workload, &place) ||
            place.app->deleting || !core_site_allowed(core->state.world, place.workload, site) ||
            !str_equal(core->state.world->sites[place.state->site].name, step->to_site))
            continue;
        steps[count] = *step;
        CORE_SET(steps[count].to_site, step->from_site);
        steps[count].to_variant = step->from_variant;
        count++;
    }
    char id[LIMIT_ID_BYTES];
    CORE_SET(id, operation->id);
    int at_once = operation->at_once;
    enum cordon_kind kind = operation->cordon_kind;
    char cordon[LIMIT_REF_BYTES];
    CORE_SET(cordon, operation->cordon);
    operation->state = OPERATION_ROLLED_BACK;
    /* Those under way are steps of the rollback from now on. */
    for (int i = 0; i < operation->step_count; i++) {
        if (operation->steps[i].state == STEP_MOVING)
            operation->steps[i].state = STEP_BACK;
    }
    struct core_operation *back = steps == NULL ? NULL : add(core, steps, count);
    free(steps);
    if (back == NULL) {
        CORE_TEXT(text, "no room for one more operation; wait for one that runs");
        return false;
    }
    back->at_once = at_once;
    CORE_TEXT(back->text, "rollback of %s", id);
    if (cordon[0] != 0) {
        int rc = core_cordon_set(core, kind, cordon, false, text);
        BERTH_ASSERT(rc == 0, "a cordon can always be lifted: %s", text);
    }
    core->state.version++;
    core->diff = true;
    publish(core, back, "operation.begun", NULL, back->text);
    core_cut(text, back->id);
    return true;
}

struct core_operation *core_operation_find(const struct core *core, const char *id)
{
    for (int i = 0; i < core->state.operation_count; i++) {
        if (str_equal(core->state.operations[i].id, id))
            return &core->state.operations[i];
    }
    return NULL;
}

bool core_operation_holds(const struct core *core, const struct core_app *app, int index)
{
    const char *name = app->app.workloads[index].name;
    for (int i = 0; i < core->state.operation_count; i++) {
        const struct core_operation *operation = &core->state.operations[i];
        if (operation->state != OPERATION_RUNNING)
            continue;
        for (int k = 0; k < operation->step_count; k++) {
            const struct core_operation_step *step = &operation->steps[k];
            if ((step->state == STEP_WAITING || step->state == STEP_MOVING) &&
                str_equal(step->workload, name) && str_equal(step->app, app->app.name) &&
                str_equal(step->namespace_, app->app.namespace_))
                return true;
        }
    }
    return false;
}

/* ---- carrying out ---- */

bool core_operations_advance(struct core *core)
{
    bool chosen = false;
    for (int i = 0; i < core->state.operation_count; i++)
        chosen |= advance(core, &core->state.operations[i]);
    return chosen;
}

/* Ended ones are followed as long as a step of theirs is under way, so that people see its end. */
static bool advance(struct core *core, struct core_operation *operation)
{
    if (operation->settled || core->state.world == NULL)
        return false;
    int moving = 0;
    int waiting = 0;
    bool chosen = false;
    for (int i = 0; i < operation->step_count; i++) {
        if (operation->steps[i].state == STEP_MOVING)
            follow_step(core, operation, i);
        moving += operation->steps[i].state == STEP_MOVING;
    }
    for (int i = 0; i < operation->step_count; i++) {
        struct core_operation_step *step = &operation->steps[i];
        if (step->state != STEP_WAITING)
            continue;
        waiting++;
        if (operation->state != OPERATION_RUNNING || moving >= operation->at_once)
            continue;
        waiting--;
        chosen |= begin_step(core, operation, i);
        moving += step->state == STEP_MOVING;
    }
    if (moving > 0 || (waiting > 0 && operation->state == OPERATION_RUNNING))
        return chosen;
    if (operation->state == OPERATION_RUNNING)
        end(core, operation, OPERATION_DONE, "");
    operation->settled = true;
    return chosen;
}

static bool begin_step(struct core *core, struct core_operation *operation, int index)
{
    struct core_operation_step *step = &operation->steps[index];
    const struct world *world = core->state.world;
    struct core_place place;
    int site = world_site(world, step->to_site);
    if (!core_place_find(core, step->namespace_, step->app, step->workload, &place) ||
        place.app->deleting || site < 0 || !core_site_allowed(world, place.workload, site)) {
        step->state = STEP_SKIPPED;
        publish(core, operation, "operation.step", step, "it is not there any more, or may not go");
        return false;
    }
    if (place.state->site >= 0)
        CORE_SET(step->from_site, world->sites[place.state->site].name);
    step->from_variant = place.state->variant;
    step->state = STEP_MOVING;
    step->begun = core->state.now;
    int variant = step->to_variant;
    if (variant < 0 || variant >= place.workload->variant_count)
        variant = fitting_variant(core, &place, site);
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "%s: %s -> %s", operation->text, step->from_site, step->to_site);
    if (place.state->site != site || place.state->variant != variant)
        choose(core, &place, site, variant, text);
    publish(core, operation, "operation.step", step, text);
    return true;
}

/* The present one where it can run there, else the first that can; none has room now: the present
 * one, and the step waits for room. */
static int fitting_variant(const struct core *core, const struct core_place *place, int site)
{
    const struct core_state *state = &core->state;
    for (int i = -1; i < place->workload->variant_count; i++) {
        int variant = i < 0 ? place->state->variant : i;
        for (int k = 0; k < state->node_count; k++) {
            if (state->nodes[k].up && state->nodes[k].site_index == site &&
                core_variant(core, place->workload, &state->nodes[k], variant) ==
                    &place->workload->variants[variant])
                return variant;
        }
    }
    return place->state->variant;
}

/* As `berth move` chooses, but that what was asked for as a whole is not judged one by one. */
static void choose(struct core *core, const struct core_place *place, int site, int variant,
                   const char *text)
{
    struct core_workload *workload = place->state;
    struct core_decision *decision = core_decision_add(core, place, site, REASON_ASKED);
    core_cut(decision->text, text);
    decision->verdict = VERDICT_TAKEN;
    workload->site = site;
    workload->variant = variant;
    workload->reason = REASON_ASKED;
    workload->failures = 0;
    workload->retry.us = 0;
    workload->trial.site = -1;
    workload->site_blocked[site] = false;
    for (int i = 0; i < CORE_VETOES; i++) {
        if (workload->vetoes[i].site == site)
            workload->vetoes[i].site = -1;
    }
    core_leads_settle(place->app);
    core->state.version++;
    place->app->version = core->state.version;
    core_inputs_changed(core, false);
    core->diff = true;
}

static void follow_step(struct core *core, struct core_operation *operation, int index)
{
    struct core_operation_step *step = &operation->steps[index];
    const struct world *world = core->state.world;
    struct core_place place;
    int site = world_site(world, step->to_site);
    if (!core_place_find(core, step->namespace_, step->app, step->workload, &place) ||
        place.app->deleting || site < 0) {
        step->state = STEP_SKIPPED;
        step->ended = core->state.now;
        publish(core, operation, "operation.step", step, "it was deleted meanwhile");
        return;
    }
    if (place.state->site != site) {
        step_back(core, operation, index, "another site was chosen for it meanwhile");
        return;
    }
    char why[LIMIT_TEXT_BYTES];
    if (place.state->failures > 0) {
        CORE_TEXT(why, "its handoff to %s went back; `berth get handoffs` says why", step->to_site);
        step_back(core, operation, index, why);
        return;
    }
    int lead = place.state->lead;
    if (core_is_served(core, place.app, lead) && !step_is_under_way(core, step)) {
        step->state = STEP_DONE;
        step->ended = core->state.now;
        publish(core, operation, "operation.step", step, "done");
        return;
    }
    if (!place.state->site_blocked[site])
        return;
    /* Full: what leaves may still make room for it. With nothing on its way nobody will. */
    for (int i = 0; i < core->state.handoff_count; i++) {
        if (core->state.handoffs[i].id[0] != 0)
            return;
    }
    CORE_TEXT(why, "no live node at %s has room and a driver for it", step->to_site);
    step_back(core, operation, index, why);
}

static bool step_is_under_way(const struct core *core, const struct core_operation_step *step)
{
    for (int i = 0; i < core->state.handoff_count; i++) {
        const struct core_handoff *handoff = &core->state.handoffs[i];
        if (handoff->id[0] != 0 && str_equal(handoff->workload, step->workload) &&
            str_equal(handoff->app, step->app) && str_equal(handoff->namespace_, step->namespace_))
            return true;
    }
    return false;
}

/* Its workload is to be where it was again, and nothing further begins. */
static void step_back(struct core *core, struct core_operation *operation, int index,
                      const char *why)
{
    struct core_operation_step *step = &operation->steps[index];
    step->state = STEP_BACK;
    step->ended = core->state.now;
    publish(core, operation, "operation.step", step, why);
    char text[LIMIT_TEXT_BYTES];
    CORE_TEXT(text, "step %d of %d, %s: %s", index + 1, operation->step_count, step->workload, why);
    if (operation->state == OPERATION_RUNNING)
        end(core, operation, OPERATION_FAILED, text);
    struct core_place place;
    const struct world *world = core->state.world;
    int from = world_site(world, step->from_site);
    int to = world_site(world, step->to_site);
    if (from < 0 || from == to ||
        !core_place_find(core, step->namespace_, step->app, step->workload, &place) ||
        place.state->site != to || !core_site_allowed(world, place.workload, from))
        return;
    CORE_TEXT(text, "%s: back to %s: %s", operation->text, step->from_site, why);
    choose(core, &place, from, step->from_variant, text);
}

static void end(struct core *core, struct core_operation *operation, enum operation_state state,
                const char *why)
{
    operation->state = state;
    operation->ended = core->state.now;
    core_cut(operation->why, why);
    for (int i = 0; i < operation->step_count; i++) {
        if (operation->steps[i].state == STEP_WAITING)
            operation->steps[i].state = STEP_SKIPPED;
    }
    char text[LIMIT_TEXT_BYTES];
    if (state != OPERATION_DONE && operation->cordon[0] != 0) {
        int rc = core_cordon_set(core, operation->cordon_kind, operation->cordon, false, text);
        BERTH_ASSERT(rc == 0, "a cordon can always be lifted: %s", text);
    }
    publish(core, operation, "operation.ended", NULL,
            why[0] != 0 ? why : operation_state_words[state]);
    /* Plans may touch its workloads again. */
    core_inputs_changed(core, false);
}

static bool is_over(const struct core_operation *operation)
{
    return operation->state != OPERATION_RUNNING && operation->settled;
}

static void publish(struct core *core, const struct core_operation *operation, const char *name,
                    const struct core_operation_step *step, const char *text)
{
    struct core_subject subject = {
        .handoff = operation->id,
        .state = operation_state_words[operation->state],
    };
    if (step != NULL) {
        subject.namespace_ = step->namespace_;
        subject.app = step->app;
        subject.workload = step->workload;
        subject.state = step_state_words[step->state];
    }
    core_publish(core, name, subject, text);
}
