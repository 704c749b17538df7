#include <string.h>

#include "model/app.h"
#include "model/cost_flip.h"
#include "model/cost_focus.h"
#include "scheduler/service/service_internal.h"

/* At most this many ways to change the scheduler's mind are told. */
#define CHANGES_MAX 8

/* One workload and what the cost model says of it, with what has to do with it. */
struct explained {
    struct cost_focus focus;
    struct cost_input *input; /* the focus's */
    struct placement *at;
    int app;
    int workload;
    int part;
    bool held; /* it may not move now; the candidates are compared as if it might */
    struct cost_candidate *candidates;
    int candidate_count;
    struct cost_flip *flips; /* none while it is nowhere */
    int flip_count;
    struct cost_report report;
};

static int prepare(struct service *service, const struct message_request *request,
                   struct arena *arena, struct explained *ret_explained, struct error *err);
static void write_explained(struct service *service, const struct message_request *request,
                            const struct explained *explained, struct json_out *json);
static void write_here(const struct explained *explained, struct json_out *json);
static void write_now(struct service *service, const struct message_request *request,
                      const struct explained *explained, struct json_out *json);
static const char *hold_of(const struct core_state *state, const struct message_request *request);
static bool late_of(const struct core_state *state, const struct message_request *request,
                    char out[LIMIT_TEXT_BYTES]);
static void write_candidates(const struct explained *explained, struct json_out *json);
static void write_changes(const struct explained *explained, struct json_out *json);
static void write_flips(const struct explained *explained, struct json_out *json);
static const char *variant_name(const struct explained *explained, int variant);
static void write_estimates(struct service *service, const struct explained *explained,
                            struct json_out *json);
static void write_decisions(struct service *service, const struct message_request *request,
                            struct json_out *json);
static const struct core_decision *last_decision(const struct core_state *state,
                                                 const struct message_request *request);
static const struct core_instance *instance_of(const struct core_state *state,
                                               const struct message_request *request);
static int best_other(const struct explained *explained);

int service_explain(struct service *service, const struct message_request *request,
                    struct json_out *json, struct error *err)
{
    struct arena arena;
    struct explained explained;
    arena_init(&arena, SERVICE_JOB_BYTES);
    int rc = prepare(service, request, &arena, &explained, err);
    if (rc == 0)
        write_explained(service, request, &explained, json);
    arena_done(&arena);
    return rc;
}

int service_cost(struct service *service, const struct message_request *request,
                 struct json_out *json, struct error *err)
{
    struct arena arena;
    struct cost_input input;
    struct cost_report report;
    struct placement *at = NULL;
    arena_init(&arena, SERVICE_JOB_BYTES);
    int rc = core_cost_input(service->core, NULL, NULL, &arena, &input, err);
    if (rc == 0)
        rc = core_placement(service->core, &input, &arena, &at, err);
    if (rc == 0)
        rc = service_report(&input, at, &arena, &report, err);
    if (rc == 0) {
        /* The total of what is asked for, not of everything. */
        struct cost_total total = {0};
        for (int i = 0; i < report.line_count; i++) {
            const struct cost_line *line = &report.lines[i];
            const struct app *app = input.apps[line->app].app;
            if (!service_narrowed(request, app->namespace_, app->name,
                                  app->workloads[line->workload].name))
                continue;
            total.bill += line->bill;
            total.score += line->score;
            total.bill_term[line->term] += line->bill;
            total.score_term[line->term] += line->score;
        }
        json_open(json, NULL, '{');
        rc = service_ledger_month(service, request, json, err);
        service_total_write(json, "total", &total);
        service_lines_write(json, &input, &report, request);
        json_close(json, '}');
    }
    arena_done(&arena);
    return rc;
}

static int prepare(struct service *service, const struct message_request *request,
                   struct arena *arena, struct explained *ret_explained, struct error *err)
{
    struct cost_input whole;
    struct placement *at;
    struct explained *explained = ret_explained;
    *explained = (struct explained){.app = -1};
    int rc = core_cost_input(service->core, NULL, NULL, arena, &whole, err);
    if (rc == 0)
        rc = core_placement(service->core, &whole, arena, &at, err);
    if (rc == 0)
        rc = service_prices_of(service, whole.world, arena, &whole.capacity_price, err);
    if (rc < 0)
        return rc;
    int index = -1;
    for (int i = 0; i < whole.app_count && index < 0; i++) {
        const struct app *app = whole.apps[i].app;
        if (str_equal(app->name, request->app) && str_equal(app->namespace_, request->namespace_))
            index = i;
    }
    if (index < 0)
        return error_set(err, ERR_NOT_FOUND, 0,
                         "there is no app %s/%s; `berth get apps` lists them", request->namespace_,
                         request->app);
    int workload = app_workload(whole.apps[index].app, request->workload);
    if (workload < 0)
        return error_set(err, ERR_NOT_FOUND, 0, "app %s/%s has no workload '%s'",
                         request->namespace_, request->app, request->workload);
    rc = cost_focus(&whole, at, index, workload, arena, &explained->focus, err);
    if (rc < 0)
        return rc;
    explained->input = &explained->focus.input;
    explained->at = explained->focus.at;
    explained->app = 0;
    explained->workload = explained->focus.workload;
    explained->part = explained->workload;
    /* A hold passes; what it hides (what the other sites would cost) is what is asked here. */
    struct workload_state *place = &explained->input->apps[0].states[explained->workload];
    explained->held = place->now.site >= 0 && !place->may_move;
    place->may_move = true;
    rc = service_candidates(explained->input, explained->at, explained->part, arena,
                            &explained->candidates, &explained->candidate_count, err);
    if (rc == 0 && explained->at[explained->part].site >= 0)
        rc = cost_flips(explained->input, explained->at, explained->part, arena, &explained->flips,
                        &explained->flip_count, err);
    if (rc == 0)
        rc = service_report(explained->input, explained->at, arena, &explained->report, err);
    return rc;
}

static void write_explained(struct service *service, const struct message_request *request,
                            const struct explained *explained, struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    int site = explained->at[explained->part].site;
    const struct core_instance *instance = instance_of(state, request);
    json_open(json, NULL, '{');
    json_string(json, "namespace", request->namespace_);
    json_string(json, "app", request->app);
    json_string(json, "workload", request->workload);
    json_string(json, "site", site < 0 ? "" : explained->input->world->sites[site].name);
    json_string(json, "node", instance == NULL ? "" : instance->node);
    json_int(json, "since_us", instance == NULL ? 0 : instance->since.us);
    write_here(explained, json);
    write_now(service, request, explained, json);
    write_candidates(explained, json);
    write_changes(explained, json);
    struct service_shown shown = {
        .input = explained->input,
        .workload = &explained->input->apps[explained->app].app->workloads[explained->workload],
        .list = explained->candidates,
        .count = explained->candidate_count};
    service_places_write(service, &shown, json);
    write_flips(explained, json);
    write_estimates(service, explained, json);
    write_decisions(service, request, json);
    service_lines_write(json, explained->input, &explained->report, request);
    json_close(json, '}');
}

static void write_here(const struct explained *explained, struct json_out *json)
{
    const struct world *world = explained->input->world;
    int site = explained->at[explained->part].site;
    int other = best_other(explained);
    const struct cost_candidate *here = NULL;
    for (int i = 0; i < explained->candidate_count; i++) {
        if (explained->candidates[i].chosen)
            here = &explained->candidates[i];
    }
    char text[2 * LIMIT_TEXT_BYTES + 2 * LIMIT_REF_BYTES];
    char amount[MONEY_TEXT_BYTES];
    if (site < 0) {
        str_format(text, sizeof(text), "it runs nowhere%s",
                   other < 0 ? ": no site is allowed" : "; the next plan places it");
    } else if (here != NULL && !here->allowed) {
        str_format(text, sizeof(text), "it is at %s although %s: it moves when the next plan can",
                   world->sites[site].name, here->rule);
    } else if (other < 0) {
        str_format(text, sizeof(text), "%s is the only site that the rules allow",
                   world->sites[site].name);
    } else if (explained->candidates[other].gap < 0 && explained->candidates[other].reduced >= 0) {
        const struct cost_candidate *next = &explained->candidates[other];
        char room[MONEY_TEXT_BYTES];
        str_format(text, sizeof(text),
                   "%s would score %s a month less, but the room that it takes there is worth %s "
                   "more to others",
                   world->sites[next->to.site].name, money_format(-next->gap, 2, amount),
                   money_format(next->reduced - next->gap, 2, room));
    } else if (explained->candidates[other].gap >= 0) {
        str_format(
            text, sizeof(text),
            "%s scores least of the allowed sites; the next, %s, would score %s a month more",
            world->sites[site].name, world->sites[explained->candidates[other].to.site].name,
            money_format(explained->candidates[other].gap, 2, amount));
    } else {
        str_format(text, sizeof(text),
                   "%s would score %s a month less than %s, but the workload does not move now",
                   world->sites[explained->candidates[other].to.site].name,
                   money_format(-explained->candidates[other].gap, 2, amount),
                   world->sites[site].name);
    }
    json_string(json, "here", text);
}

static void write_now(struct service *service, const struct message_request *request,
                      const struct explained *explained, struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    const struct core_decision *decision = last_decision(state, request);
    char text[4 * LIMIT_TEXT_BYTES];
    char late[LIMIT_TEXT_BYTES];
    bool is_late = late_of(state, request, late);
    str_format(text, sizeof(text), "%s%s%s%s%s",
               decision != NULL ? decision->text : "no decision has been taken about it yet",
               explained->held ? hold_of(state, request) : "", is_late ? "; " : "",
               is_late ? late : "", state->solving ? "; a plan is being made" : "");
    json_string(json, "now", text);
}

static bool late_of(const struct core_state *state, const struct message_request *request,
                    char out[LIMIT_TEXT_BYTES])
{
    for (int i = 0; i < state->app_count; i++) {
        const struct app *app = &state->apps[i].app;
        int index = app_workload(app, request->workload);
        if (index >= 0 && str_equal(app->name, request->app) &&
            str_equal(app->namespace_, request->namespace_))
            return service_late_text(&state->apps[i].workloads[index], out);
    }
    return false;
}

/* Why it may not move now; the order is that of the core (scheduler/core/input.c). */
static const char *hold_of(const struct core_state *state, const struct message_request *request)
{
    for (int i = 0; i < state->handoff_count; i++) {
        const struct core_handoff *handoff = &state->handoffs[i];
        if (str_equal(handoff->workload, request->workload) &&
            str_equal(handoff->app, request->app) &&
            str_equal(handoff->namespace_, request->namespace_))
            return "; it is moving";
    }
    for (int i = 0; i < state->app_count; i++) {
        const struct app *app = &state->apps[i].app;
        int index = app_workload(app, request->workload);
        if (index < 0 || !str_equal(app->name, request->app) ||
            !str_equal(app->namespace_, request->namespace_))
            continue;
        int64_t moved_us = state->apps[i].workloads[index].moved.us;
        if (app->moves != MOVES_AUTO)
            return "; the app's moves are not automatic: it moves only when told to";
        if (moved_us != 0 && state->now.us < moved_us + state->world->policy.dwell_us)
            return "; it moved a short while ago and stays for the dwell";
    }
    return "; it stays as long as a measurement of it is older than metric_age_max";
}

static void write_candidates(const struct explained *explained, struct json_out *json)
{
    const struct world *world = explained->input->world;
    json_open(json, "candidates", '[');
    for (int i = 0; i < explained->candidate_count; i++) {
        const struct cost_candidate *candidate = &explained->candidates[i];
        json_open(json, NULL, '{');
        json_string(json, "site", world->sites[candidate->to.site].name);
        json_string(json, "variant", variant_name(explained, candidate->to.variant));
        json_string(json, "sharers", candidate->sharers);
        json_bool(json, "allowed", candidate->allowed);
        json_string(json, "rule", candidate->rule);
        json_money(json, "bill", candidate->bill);
        json_money(json, "score", candidate->score);
        json_money(json, "gap", candidate->gap);
        json_bool(json, "full", candidate->full);
        json_money(json, "room", candidate->room);
        json_money(json, "reduced", candidate->reduced);
        json_bool(json, "chosen", candidate->chosen);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* The allowed sites by how little is missing, then the rules that shut others out. */
static void write_changes(const struct explained *explained, struct json_out *json)
{
    const struct world *world = explained->input->world;
    char text[2 * LIMIT_TEXT_BYTES + 2 * LIMIT_REF_BYTES];
    char amount[MONEY_TEXT_BYTES];
    json_open(json, "change", '[');
    nusd above = -1;
    int told = 0;
    while (told < CHANGES_MAX) {
        const struct cost_candidate *next = NULL;
        for (int i = 0; i < explained->candidate_count; i++) {
            const struct cost_candidate *candidate = &explained->candidates[i];
            if ((candidate->allowed || candidate->full) && !candidate->chosen &&
                candidate->reduced > above && (next == NULL || candidate->reduced < next->reduced))
                next = candidate;
        }
        if (next == NULL)
            break;
        above = next->reduced;
        str_format(text, sizeof(text), "%s would be chosen if it were %s a month cheaper%s",
                   world->sites[next->to.site].name, money_format(next->reduced, 2, amount),
                   next->room > 0 ? ", what room there is worth included" : "");
        json_string(json, NULL, text);
        told++;
    }
    for (int i = 0; told < CHANGES_MAX && i < explained->candidate_count; i++) {
        const struct cost_candidate *candidate = &explained->candidates[i];
        if (candidate->allowed || candidate->full || candidate->gap >= 0)
            continue;
        str_format(text, sizeof(text), "%s would score %s a month less, but %s",
                   world->sites[candidate->to.site].name, money_format(-candidate->gap, 2, amount),
                   candidate->rule);
        json_string(json, NULL, text);
        told++;
    }
    json_close(json, ']');
}

/* Each input by itself, and where it would have to be for another place to win. */
static void write_flips(const struct explained *explained, struct json_out *json)
{
    json_open(json, "flips", '[');
    for (int i = 0; i < explained->flip_count; i++) {
        const struct cost_flip *flip = &explained->flips[i];
        json_open(json, NULL, '{');
        json_string(json, "input", flip->input);
        json_string(json, "unit", flip->unit);
        json_price(json, "present", flip->present);
        json_price(json, "at", flip->at);
        json_bool(json, "above", flip->above);
        if (flip->change_ppm != INT64_MAX)
            json_int(json, "change_ppm", flip->change_ppm);
        json_string(json, "site", explained->input->world->sites[flip->to.site].name);
        json_string(json, "variant", variant_name(explained, flip->to.variant));
        json_string(json, "text", flip->text);
        json_close(json, '}');
    }
    json_close(json, ']');
}

/* "" where there is nothing to tell apart. */
static const char *variant_name(const struct explained *explained, int variant)
{
    const struct workload *what =
        &explained->input->apps[explained->app].app->workloads[explained->workload];
    return what->variant_count > 1 && variant < what->variant_count ? what->variants[variant].name
                                                                    : "";
}

/* What was measured of it, and the prior where nothing was. */
static void write_estimates(struct service *service, const struct explained *explained,
                            struct json_out *json)
{
    const struct app *app = explained->input->apps[explained->app].app;
    const struct workload *workload = &app->workloads[explained->workload];
    bool measured;
    json_open(json, "estimates", '[');
    for (int i = 0; i < explained->input->estimates.count; i++) {
        const struct estimate *estimate = &explained->input->estimates.list[i];
        if (!str_equal(estimate->workload, workload->name) ||
            !str_equal(estimate->app, app->name) ||
            !str_equal(estimate->namespace_, app->namespace_))
            continue;
        json_open(json, NULL, '{');
        json_string(json, "kind", estimate_kind_words[estimate->kind]);
        json_string(json, "site", estimate->site);
        json_int(json, "value", estimate->value);
        json_bool(json, "measured", true);
        json_int(json, "age_us", service_now(service).us - estimate->at_us);
        json_close(json, '}');
    }
    int64_t calls_mhz =
        cost_calls_mhz(explained->input, explained->app, explained->workload, &measured);
    if (!measured) {
        json_open(json, NULL, '{');
        json_string(json, "kind", estimate_kind_words[ESTIMATE_CALLS_MHZ]);
        json_string(json, "site", "");
        json_int(json, "value", calls_mhz);
        json_bool(json, "measured", false);
        json_close(json, '}');
    }
    int site = explained->at[explained->part].site < 0 ? 0 : explained->at[explained->part].site;
    int64_t hit_ppm =
        cost_hit_ppm(explained->input, explained->app, explained->workload, site, &measured);
    if (!measured && hit_ppm >= 0) {
        json_open(json, NULL, '{');
        json_string(json, "kind", estimate_kind_words[ESTIMATE_HIT_PPM]);
        json_string(json, "site", "");
        json_int(json, "value", hit_ppm);
        json_bool(json, "measured", false);
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void write_decisions(struct service *service, const struct message_request *request,
                            struct json_out *json)
{
    const struct core_state *state = core_state(service->core);
    uint64_t kept = state->decision_count < CORE_DECISIONS ? state->decision_count : CORE_DECISIONS;
    json_open(json, "decisions", '[');
    for (uint64_t i = 0; i < kept; i++) {
        const struct core_decision *decision =
            &state->decisions[(state->decision_count - 1 - i) % CORE_DECISIONS];
        if (service_narrowed(request, decision->namespace_, decision->app, decision->workload))
            service_decision_write(json, decision);
    }
    json_close(json, ']');
}

static const struct core_decision *last_decision(const struct core_state *state,
                                                 const struct message_request *request)
{
    uint64_t kept = state->decision_count < CORE_DECISIONS ? state->decision_count : CORE_DECISIONS;
    for (uint64_t i = 0; i < kept; i++) {
        const struct core_decision *decision =
            &state->decisions[(state->decision_count - 1 - i) % CORE_DECISIONS];
        if (service_narrowed(request, decision->namespace_, decision->app, decision->workload))
            return decision;
    }
    return NULL;
}

/* The one that serves, if any. */
static const struct core_instance *instance_of(const struct core_state *state,
                                               const struct message_request *request)
{
    const struct core_instance *found = NULL;
    for (int i = 0; i < state->instance_count; i++) {
        const struct core_instance *instance = &state->instances[i];
        if (instance->want == WANT_SERVE && !instance->lost &&
            service_narrowed(request, instance->namespace_, instance->app, instance->workload) &&
            (found == NULL || instance->state == INSTANCE_READY))
            found = instance;
    }
    return found;
}

static int best_other(const struct explained *explained)
{
    int best = -1;
    for (int i = 0; i < explained->candidate_count; i++) {
        const struct cost_candidate *candidate = &explained->candidates[i];
        if ((candidate->allowed || candidate->full) && !candidate->chosen &&
            (best < 0 || candidate->reduced < explained->candidates[best].reduced))
            best = i;
    }
    return best;
}
