/*
 * service_suggest: the body of `suggest`: which moves would save, by how much, how surely, and what
 * to type. Every app whose moves are not `off` is free in this solve, data sets included; dwell,
 * budget and quiet hours hold nothing back. Nothing is changed.
 */
#include <stdlib.h>
#include <string.h>

#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/answers.h"
#include "scheduler/service/service_internal.h"

#define MONTH_US (INT64_C(3600) * HOURS_PER_MONTH * US_PER_S)

static int compare_choices(const void *a, const void *b);
static void write_move(const struct service_job *job, const struct core_plan_choice *choice,
                       struct json_out *json);
static int64_t payback_us(const struct core_plan_choice *choice);
static void write_command(const struct service_job *job, const struct core_plan_choice *choice,
                          const struct workload *workload, struct json_out *json);
static void write_held(const struct service_job *job, const struct core_plan_choice *choice,
                       enum app_moves moves, struct json_out *json);

void service_suggest_free(struct service_job *job)
{
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        for (int k = 0; k < app->workload_count; k++) {
            struct workload_state *state = &job->input.apps[i].states[k];
            state->may_move = app->moves != MOVES_OFF;
            /* What was left for good reasons may be suggested; a full site may not. */
        }
    }
}

int service_suggest_write(struct service_job *job, const struct solution *solution,
                          struct json_out *json, struct error *err)
{
    struct core_plan plan = {.status = solution->status};
    bool solved = solution->status == SOLVE_OPTIMAL || solution->status == SOLVE_FEASIBLE;
    if (solved) {
        struct placement *at = NULL;
        struct cost_context *context;
        plan.score_plan_nusd = solution->cost_nusd;
        int rc = service_solved_at(job, solution, &at, err);
        if (rc == 0)
            rc = cost_context_make(&job->input, NULL, NULL, &job->arena, &context, err);
        if (rc == 0)
            rc =
                core_answer_plan(context, &job->problem, job->present, at, &job->arena, &plan, err);
        if (rc < 0)
            return rc;
        qsort(plan.choices, (size_t)plan.choice_count, sizeof(*plan.choices), compare_choices);
    }
    json_open(json, NULL, '{');
    json_string(json, "status", solve_status_words[solution->status]);
    json_string(json, "text", solution->text);
    json_int(json, "state_version", (int64_t)job->state_version);
    json_open(json, "moves", '[');
    for (int i = 0; i < plan.choice_count; i++)
        write_move(job, &plan.choices[i], json);
    json_close(json, ']');
    json_money(json, "bill_now", plan.bill_stay_nusd);
    json_money(json, "bill_then", plan.bill_plan_nusd);
    json_close(json, '}');
    return 0;
}

/* Largest saving first, groups together. */
static int compare_choices(const void *a, const void *b)
{
    const struct core_plan_choice *x = a;
    const struct core_plan_choice *y = b;
    if (x->score_saving_nusd != y->score_saving_nusd)
        return x->score_saving_nusd > y->score_saving_nusd ? -1 : 1;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    int order = strcmp(x->app, y->app);
    return order != 0 ? order : strcmp(x->workload, y->workload);
}

static void write_move(const struct service_job *job, const struct core_plan_choice *choice,
                       struct json_out *json)
{
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        int index = app_workload(app, choice->workload);
        if (!str_equal(app->name, choice->app) || !str_equal(app->namespace_, choice->namespace_) ||
            index < 0 ||
            !service_narrowed(&job->narrow, app->namespace_, app->name, choice->workload))
            continue;
        const struct workload *workload = &app->workloads[index];
        const struct placement *now = &job->present[cost_part(&job->input, i, index)];
        const char *from = now->site < 0 ? "" : job->input.world->sites[now->site].name;
        if (str_equal(from, choice->site) && now->variant == choice->variant)
            return;
        json_open(json, NULL, '{');
        json_string(json, "namespace", app->namespace_);
        json_string(json, "app", app->name);
        json_string(json, "workload", workload->name);
        json_string(json, "kind", workload_kind_words[workload->kind]);
        json_string(json, "moves", app_moves_words[app->moves]);
        json_string(json, "from", from);
        json_string(json, "to", choice->site);
        json_string(json, "variant",
                    workload->variant_count > 1 ? workload->variants[choice->variant].name : "");
        json_bool(json, "forced", choice->group < 0);
        json_int(json, "group", choice->group);
        json_money(json, "score_saving", choice->score_saving_nusd);
        json_money(json, "bill_saving", choice->bill_saving_nusd);
        json_money(json, "once", choice->once_nusd);
        json_money(json, "spread", choice->spread_nusd);
        json_int(json, "confidence_ppm", choice->confidence_ppm);
        json_int(json, "payback_us", payback_us(choice));
        write_held(job, choice, app->moves, json);
        write_command(job, choice, workload, json);
        json_close(json, '}');
        return;
    }
}

/* -1: never. */
static int64_t payback_us(const struct core_plan_choice *choice)
{
    if (choice->score_saving_nusd <= 0)
        return -1;
    __int128 us = (__int128)choice->once_nusd * MONTH_US / choice->score_saving_nusd;
    return us > INT64_MAX ? -1 : (int64_t)us;
}

static void write_command(const struct service_job *job, const struct core_plan_choice *choice,
                          const struct workload *workload, struct json_out *json)
{
    (void)job;
    char text[LIMIT_TEXT_BYTES * 3];
    if (workload->kind == KIND_DATA)
        str_format(text, sizeof(text),
                   "copy the bytes of %s to %s, then say `at: %s` in the app and apply it",
                   choice->workload, choice->site, choice->site);
    else
        str_format(text, sizeof(text), "berth move %s/%s/%s --to %s", choice->namespace_,
                   choice->app, choice->workload, choice->site);
    json_string(json, "command", text);
}

/* Why it has not happened by itself: the app says so, or the core's last word about it. */
static void write_held(const struct service_job *job, const struct core_plan_choice *choice,
                       enum app_moves moves, struct json_out *json)
{
    const struct core_state *state = core_state(job->service->core);
    uint64_t kept = state->decision_count < CORE_DECISIONS ? state->decision_count : CORE_DECISIONS;
    const char *text = moves == MOVES_SUGGEST ? "the app only wants suggestions" : "";
    for (uint64_t i = 0; i < kept && text[0] == 0; i++) {
        const struct core_decision *decision =
            &state->decisions[(state->decision_count - 1 - i) % CORE_DECISIONS];
        if (str_equal(decision->workload, choice->workload) &&
            str_equal(decision->app, choice->app) &&
            str_equal(decision->namespace_, choice->namespace_)) {
            if (decision->verdict != VERDICT_TAKEN && str_equal(decision->to_site, choice->site))
                text = decision->text;
            break;
        }
    }
    json_string(json, "held", text);
}
