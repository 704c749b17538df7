/*
 * `berth move`: a person chooses a site. It is carried out like any other move, without asking
 * whether it pays. The solver may think otherwise later, once the dwell is over, if the app's moves
 * are automatic: a tag or a pin is what makes a choice last.
 */
#include <string.h>

#include "base/str.h"
#include "model/world.h"
#include "scheduler/core/cordon.h"
#include "scheduler/core/internal.h"
#include "scheduler/core/operation.h"

static int check(struct core *core, const struct core_event *event, struct core_place *ret_place,
                 int *ret_site, int *ret_variant, char text[LIMIT_TEXT_BYTES]);
static int fitting_variant(struct core *core, const struct core_place *place, int site);
static bool is_moving(const struct core *core, const struct core_place *place);

void core_on_move(struct core *core, const struct core_event *event)
{
    struct core_state *state = &core->state;
    struct core_place place;
    char text[LIMIT_TEXT_BYTES];
    int site;
    int variant;
    int rc = check(core, event, &place, &site, &variant, text);
    if (rc < 0) {
        core_reply(core, event, rc, text);
        return;
    }
    struct core_workload *workload = place.state;
    if (workload->site == site && workload->variant == variant) {
        core_reply(core, event, 0, "");
        return;
    }
    struct core_decision *decision = core_decision_add(core, &place, site, REASON_ASKED);
    CORE_TEXT(decision->text, "asked: %s%s%s", decision->from_site,
              decision->from_site[0] != 0 ? " -> " : "to ", decision->to_site);
    decision->verdict = VERDICT_TAKEN;
    workload->site = site;
    workload->variant = variant;
    workload->reason = REASON_ASKED;
    workload->failures = 0;
    workload->retry.us = 0;
    workload->trial.site = -1; /* whoever asks does not want it judged */
    for (int i = 0; i < CORE_VETOES; i++) {
        if (workload->vetoes[i].site == site)
            workload->vetoes[i].site = -1;
    }
    core_leads_settle(place.app);
    state->version++;
    place.app->version = state->version;
    core_inputs_changed(core, false);
    core->diff = true;
    core_publish(core, "move.asked",
                 (struct core_subject){.namespace_ = event->move.namespace_,
                                       .app = event->move.app,
                                       .workload = event->move.workload},
                 decision->text);
    core_reply(core, event, 0, "");
}

/* Long: each way to refuse has its sentence. */
static int check(struct core *core, const struct core_event *event, struct core_place *ret_place,
                 int *ret_site, int *ret_variant, char text[LIMIT_TEXT_BYTES])
{
    const struct core_state *state = &core->state;
    const char *to = event->move.site;
    if (event->move.version != 0 && event->move.version != state->version) {
        CORE_TEXT(text, "the plan was made from version %llu, and now it is %llu; make a new plan",
                  (unsigned long long)event->move.version, (unsigned long long)state->version);
        return ERR_STALE;
    }
    int site = state->world == NULL ? -1 : world_site(state->world, to);
    if (site < 0) {
        CORE_TEXT(text, "the world has no site %s; `berth get sites` lists them", to);
        return ERR_NOT_FOUND;
    }
    if (!core_place_find(core, event->move.namespace_, event->move.app, event->move.workload,
                         ret_place) ||
        ret_place->app->deleting) {
        CORE_TEXT(text, "there is no workload %s/%s/%s; `berth get apps` lists them",
                  event->move.namespace_, event->move.app, event->move.workload);
        return ERR_NOT_FOUND;
    }
    if (ret_place->workload->kind == KIND_DATA) {
        CORE_TEXT(text,
                  "%s is a data set: copy its bytes to %s, then say `at: %s` in the app and apply",
                  event->move.workload, to, to);
        return ERR_UNSUPPORTED;
    }
    if (!core_site_allowed(state->world, ret_place->workload, site)) {
        CORE_TEXT(
            text,
            "%s may not be at %s: its tags, tiers or pin forbid it; `berth explain` says which",
            event->move.workload, to);
        return ERR_INVALID;
    }
    if (core_site_cordoned(core, site)) {
        CORE_TEXT(text, "%s is being emptied; `berth uncordon` opens it again", to);
        return ERR_UNAVAILABLE;
    }
    if (core_operation_holds(core, ret_place->app,
                             (int)(ret_place->state - ret_place->app->workloads))) {
        CORE_TEXT(text, "%s is a step of a running operation; `berth get operations`",
                  event->move.workload);
        return ERR_UNAVAILABLE;
    }
    if (is_moving(core, ret_place)) {
        CORE_TEXT(text, "%s is moving already; ask again when that is over (`berth get handoffs`)",
                  event->move.workload);
        return ERR_UNAVAILABLE;
    }
    bool there = ret_place->state->site == site;
    int variant = there ? ret_place->state->variant : fitting_variant(core, ret_place, site);
    if (variant < 0) {
        CORE_TEXT(text,
                  "no live node at %s has room and a driver for %s; `berth get nodes -o wide`", to,
                  event->move.workload);
        return ERR_UNAVAILABLE;
    }
    *ret_site = site;
    *ret_variant = variant;
    return 0;
}

/* The present one if a node there takes it, else the document's first that one takes. */
static int fitting_variant(struct core *core, const struct core_place *place, int site)
{
    int present = place->state->variant;
    for (int i = -1; i < place->workload->variant_count; i++) {
        int variant = i < 0 ? present : i;
        int node = core_fit(core, place->workload, site, variant);
        if (node >= 0 && core_variant(core, place->workload, &core->state.nodes[node], variant) ==
                             &place->workload->variants[variant])
            return variant;
    }
    return -1;
}

static bool is_moving(const struct core *core, const struct core_place *place)
{
    for (int i = 0; i < place->workload->replicas; i++) {
        if (core_slot_handoff(core, place->app, (int)(place->state - place->app->workloads), i) !=
            NULL)
            return true;
    }
    return false;
}
