#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model/app.h"
#include "model/world.h"
#include "scheduler/core/answers.h"
#include "scheduler/service/service_internal.h"

static int prepare(struct service_job *job, struct error *err);
static int prepare_input(struct service_job *job, struct error *err);
static int prepare_plan(struct service_job *job, struct error *err);
static int detach_apps(struct arena *arena, struct cost_input *input, struct error *err);
static int detach_world(struct arena *arena, const struct world *world, struct world **ret_world,
                        struct error *err);
static int submit(struct service_job *job, struct error *err);
static void on_solved(void *context, uint64_t id, const struct solution *solution);
static void on_news(void *context, uint64_t id, const struct solve_news *news);
static void answer_solve(struct service_job *job, const struct solution *solution);
static int64_t lap_us(struct service_job *job);
static int fill_plan(struct service_job *job, const struct solution *solution,
                     struct core_plan *plan, struct error *err);
static bool is_touched(const struct service_job *job, const struct placement *at);
static void conflict_text(const struct service_job *job, const struct solution *solution,
                          char out[LIMIT_TEXT_BYTES]);
static void answer_plan(struct service_job *job, const struct solution *solution);
static void no_plan(struct service *service, uint64_t solve, uint64_t version, const char *text);
static void unlink_job(struct service_job *job);

void service_solve(struct service *service, uint64_t solve, uint64_t version)
{
    struct error err;
    struct service_job *job = service_job_create(service, JOB_SOLVE);
    if (job == NULL) {
        no_plan(service, solve, version, "no memory for a solve");
        return;
    }
    job->solve = solve;
    job->took.told_us = service->told_us;
    service->told_us = 0;
    job->took.begin_us = service_now(service).us;
    (void)lap_us(job);
    int rc = prepare(job, &err);
    job->took.problem_us = lap_us(job);
    job->version = version;
    if (rc == 0)
        rc = submit(job, &err);
    job->took.encode_us = lap_us(job);
    if (rc < 0) {
        no_plan(service, solve, version, err.text);
        service_job_destroy(job);
    }
}

int service_plan(struct service *service, struct service_job *job, struct error *err)
{
    (void)service;
    int rc = prepare_plan(job, err);
    return rc < 0 ? rc : submit(job, err);
}

int service_suggest(struct service *service, struct service_job *job, struct error *err)
{
    const struct core *core = service->core;
    struct world *world = NULL;
    job->state_version = core_state(core)->version;
    int rc = prepare_input(job, err);
    if (rc == 0)
        rc = detach_world(&job->arena, job->input.world, &world, err);
    if (rc < 0)
        return rc;
    job->input.world = world;
    service_suggest_free(job);
    rc = cost_problem(&job->input, &job->arena, &job->problem, err);
    return rc < 0 ? rc : submit(job, err);
}

int service_job_restricted(struct service_job *job,
                           int (*restrict_input)(struct service_job *job, struct error *err),
                           struct error *err)
{
    struct world *world = NULL;
    job->state_version = core_state(job->service->core)->version;
    int rc = prepare_input(job, err);
    if (rc == 0)
        rc = detach_world(&job->arena, job->input.world, &world, err);
    if (rc < 0)
        return rc;
    job->input.world = world;
    rc = restrict_input(job, err);
    if (rc == 0)
        rc = cost_problem(&job->input, &job->arena, &job->problem, err);
    return rc < 0 ? rc : submit(job, err);
}

int service_job_limits(const struct message_request *request, struct service_job *job,
                       struct error *err)
{
    if (request->time_limit_us > SOLVE_TIME_MAX_US)
        return error_set(err, ERR_INVALID, 0, "time_limit_us: at most %lld days",
                         (long long)(SOLVE_TIME_MAX_US / US_PER_S / 86400));
    if (request->gap_ppm > PPM)
        return error_set(err, ERR_INVALID, 0, "gap_ppm: at most %lld, which is 100 %%",
                         (long long)PPM);
    if (request->memory_limit_bytes > INT64_MAX)
        return error_set(err, ERR_INVALID, 0, "memory_limit_bytes: less than 8 EiB");
    job->limits.time_max_us = (int64_t)request->time_limit_us;
    job->limits.memory_max_bytes = (int64_t)request->memory_limit_bytes;
    job->limits.gap = (double)request->gap_ppm / PPM;
    return 0;
}

struct service_job *service_job_of(struct service *service, const char *request)
{
    for (struct service_job *job = service->jobs; job != NULL; job = job->next)
        if (job->request[0] != 0 && str_equal(job->request, request))
            return job;
    return NULL;
}

int service_solving(struct service *service, const struct message_request *request,
                    struct json_out *json, struct error *err)
{
    if (request->kind[0] != 0 && !str_equal(request->kind, "progress") &&
        !str_equal(request->kind, "cancel"))
        return error_set(err, ERR_INVALID, 0, "kind \"%s\": progress or cancel", request->kind);
    struct service_job *job =
        request->value[0] == 0 ? NULL : service_job_of(service, request->value);
    if (job != NULL && str_equal(request->kind, "cancel"))
        (void)solver_cancel(service->solver, job->id);
    json_open(json, NULL, '{');
    bool begun = job != NULL && job->news.elapsed_us > 0;
    json_string(json, "state", job == NULL ? "unknown" : begun ? "solving" : "waiting");
    if (begun) {
        double gap = solve_news_gap(&job->news);
        json_int(json, "elapsed_us", job->news.elapsed_us);
        if (job->news.bound > -0x1p62)
            json_money(json, "bound_score", (nusd)job->news.bound);
        if (job->news.best < 0x1p62)
            json_money(json, "best_score", (nusd)job->news.best);
        if (gap >= 0 && gap < 1e6)
            json_int(json, "gap_ppm", (int64_t)(gap * PPM));
    }
    json_close(json, '}');
    return 0;
}

struct service_job *service_job_create(struct service *service, enum job_kind kind)
{
    struct service_job *job = calloc(1, sizeof(*job));
    if (job == NULL)
        return NULL;
    arena_init(&job->arena, SERVICE_JOB_BYTES);
    job->kind = kind;
    job->service = service;
    job->id = ++service->job_last;
    job->generation = service->generation;
    job->next = service->jobs;
    service->jobs = job;
    return job;
}

void service_job_destroy(struct service_job *job)
{
    unlink_job(job);
    arena_done(&job->arena);
    free(job);
}

void service_jobs_done(struct service *service)
{
    while (service->jobs != NULL)
        service_job_destroy(service->jobs);
}

static int prepare(struct service_job *job, struct error *err)
{
    int rc = prepare_input(job, err);
    job->took.input_us = lap_us(job);
    return rc < 0 ? rc : cost_problem(&job->input, &job->arena, &job->problem, err);
}

static int prepare_input(struct service_job *job, struct error *err)
{
    const struct core *core = job->service->core;
    job->version = core_state(core)->input_version;
    int rc = core_cost_input(core, job->instead, job->without, &job->arena, &job->input, err);
    if (rc == 0)
        rc = core_placement(core, &job->input, &job->arena, &job->present, err);
    if (rc == 0)
        rc = detach_apps(&job->arena, &job->input, err);
    return rc;
}

static int prepare_plan(struct service_job *job, struct error *err)
{
    const struct core *core = job->service->core;
    job->state_version = core_state(core)->version;
    int rc = prepare(job, err);
    if (rc == 0)
        rc = core_cost_input(core, NULL, NULL, &job->arena, &job->before, err);
    if (rc == 0)
        rc = core_placement(core, &job->before, &job->arena, &job->before_at, err);
    if (rc == 0)
        rc = detach_apps(&job->arena, &job->before, err);
    struct world *world = NULL;
    if (rc == 0)
        rc = detach_world(&job->arena, job->input.world, &world, err);
    if (rc < 0)
        return rc;
    job->input.world = world;
    job->before.world = world;
    return service_report(&job->before, job->before_at, &job->arena, &job->before_report, err);
}

/* Apps are replaced and moved about by the core; a job outlives that. */
static int detach_apps(struct arena *arena, struct cost_input *input, struct error *err)
{
    size_t sites = (size_t)input->world->site_count;
    for (int i = 0; i < input->app_count; i++) {
        struct app *copy = arena_alloc(arena, sizeof(*copy));
        if (copy == NULL || app_copy(input->apps[i].app, arena, copy) < 0)
            return error_set(err, ERR_NO_MEMORY, 0, "no memory for a copy of app %s",
                             input->apps[i].app->name);
        input->apps[i].app = copy;
        for (int k = 0; k < copy->workload_count; k++) {
            bool **blocked = &input->apps[i].states[k].site_blocked;
            if (*blocked == NULL)
                continue;
            *blocked = arena_copy(arena, *blocked, sites * sizeof(**blocked));
            if (*blocked == NULL)
                return error_set(err, ERR_NO_MEMORY, 0, "no memory for a table of sites");
        }
    }
    if (input->estimates.count == 0)
        return 0;
    input->estimates.list =
        arena_copy(arena, input->estimates.list,
                   (size_t)input->estimates.count * sizeof(*input->estimates.list));
    return input->estimates.list != NULL
               ? 0
               : error_set(err, ERR_NO_MEMORY, 0, "no memory for a copy of the estimates");
}

/* By its text, which is the one complete way to copy a world. */
static int detach_world(struct arena *arena, const struct world *world, struct world **ret_world,
                        struct error *err)
{
    struct world *copy = arena_alloc(arena, sizeof(*copy));
    if (copy == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a copy of the world");
    struct strbuf text;
    strbuf_init(&text, LIMIT_DOC_BYTES);
    world_write(world, &text);
    int rc = strbuf_error(&text, err);
    if (rc == 0)
        rc = world_parse("world", strbuf_text(&text), text.bytes, arena, copy, err);
    strbuf_done(&text);
    if (rc == 0)
        *ret_world = copy;
    return rc;
}

/* The policy's limits are for everything; who asks may set others. */
static int submit(struct service_job *job, struct error *err)
{
    const struct policy *policy = &job->input.world->policy;
    struct solve_limits *limits = &job->limits;
    limits->time_max_us = limits->time_max_us > 0 ? limits->time_max_us : policy->solve_time_us;
    limits->gap = limits->gap > 0 ? limits->gap : (double)policy->solve_gap_ppm / PPM;
    return solver_submit_within(job->service->solver, job->id, &job->problem, limits, on_solved,
                                on_news, job, err);
}

static void on_news(void *context, uint64_t id, const struct solve_news *news)
{
    struct service_job *job = context;
    (void)id;
    job->news = *news;
}

static void on_solved(void *context, uint64_t id, const struct solution *solution)
{
    struct service_job *job = context;
    BERTH_ASSERT(job->id == id, "job %llu got the answer of %llu", (unsigned long long)job->id,
                 (unsigned long long)id);
    if (job->kind == JOB_SOLVE)
        answer_solve(job, solution);
    else
        answer_plan(job, solution);
    service_job_destroy(job);
}

static void answer_solve(struct service_job *job, const struct solution *solution)
{
    struct service *service = job->service;
    const struct core_state *state = core_state(service->core);
    /* A core that was rebuilt since has asked again. */
    if (job->generation != service->generation)
        return;
    /* Estimates may have changed meanwhile: the core takes what they do not touch. But the world
     * that the job refers to may be gone, or where things are. */
    if (job->version < state->structure_version) {
        no_plan(service, job->solve, job->version, "what the solve rests on has changed");
        return;
    }
    struct core_event event = {.kind = CORE_PLAN,
                               .plan = {.solve = job->solve, .version = job->version}};
    struct error err;
    job->took.solve_us = lap_us(job);
    service_prices_keep(service, &job->problem, solution);
    int rc = fill_plan(job, solution, &event.plan, &err);
    log_event(LOG_INFO, "plan.solved",
              "solve=%" PRIu64 " parts=%d status=%s anew=%d told_us=%" PRId64 " begin_us=%" PRId64
              " input_us=%" PRId64 " problem_us=%" PRId64 " encode_us=%" PRId64 " solve_us=%" PRId64
              " answer_us=%" PRId64,
              job->solve, job->problem.part_count, solve_status_words[solution->status],
              job->took.anew, job->took.told_us, job->took.begin_us, job->took.input_us,
              job->took.problem_us, job->took.encode_us, job->took.solve_us, lap_us(job));
    if (rc < 0)
        no_plan(service, job->solve, job->version, err.text);
    else if (!service_submit(service, &event))
        log_event(LOG_ERROR, "plan.lost", "solve=%llu reason=\"no memory\"",
                  (unsigned long long)job->solve);
}

/* How long it is since the last lap. */
static int64_t lap_us(struct service_job *job)
{
    int64_t now_us = clock_mono_now().us;
    int64_t us = now_us - job->took.since_us;
    job->took.since_us = now_us;
    return us;
}

static int fill_plan(struct service_job *job, const struct solution *solution,
                     struct core_plan *plan, struct error *err)
{
    struct service *service = job->service;
    plan->status = solution->status;
    plan->bound_nusd = solution->bound_nusd;
    plan->score_stay_nusd = INT64_MAX;
    if (solution->status == SOLVE_INFEASIBLE)
        conflict_text(job, solution, plan->text);
    else
        memcpy(plan->text, solution->text, sizeof(plan->text));
    if (solution->status != SOLVE_OPTIMAL && solution->status != SOLVE_FEASIBLE)
        return 0;
    plan->score_plan_nusd = solution->cost_nusd;
    struct placement *at = NULL;
    int rc = service_solved_at(job, solution, &at, err);
    if (rc == 0 && is_touched(job, at))
        job->took.anew = core_answer_anew(service->core, at, &job->arena, &job->input,
                                          &job->problem, &job->present, plan);
    /* Of the estimates as they are now: the core has changed them where they stand. */
    struct cost_context *context;
    if (rc == 0)
        rc = cost_context_make(&job->input, NULL, NULL, &job->arena, &context, err);
    /* In the round's memory: the job is gone when the core reads it. */
    return rc < 0 ? rc
                  : core_answer_plan(context, &job->problem, job->present, at, &service->round,
                                     plan, err);
}

/* Whether the solution moves something of an app whose inputs have changed since. */
static bool is_touched(const struct service_job *job, const struct placement *at)
{
    const struct core_state *state = core_state(job->service->core);
    for (int i = 0; i < job->input.app_count; i++) {
        const struct app *app = job->input.apps[i].app;
        bool moves = false;
        for (int k = 0; k < app->workload_count && !moves; k++) {
            int part = cost_part(&job->input, i, k);
            moves = at[part].site != job->present[part].site ||
                    at[part].variant != job->present[part].variant;
        }
        for (int k = 0; k < state->app_count && moves; k++)
            if (state->apps[k].input_version > job->version &&
                str_equal(state->apps[k].app.name, app->name) &&
                str_equal(state->apps[k].app.namespace_, app->namespace_))
                return true;
    }
    return false;
}

int service_solved_at(struct service_job *job, const struct solution *solution,
                      struct placement **ret_at, struct error *err)
{
    int parts = job->problem.part_count;
    struct placement *at = arena_array(&job->arena, (size_t)parts + 1, sizeof(*at));
    if (at == NULL)
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for the placement of %d parts", parts);
    for (int part = 0; part < parts; part++)
        at[part] = cost_placement(&job->input, &job->problem, part, solution->choice[part]);
    *ret_at = at;
    return 0;
}

/* As many of the rules as the sentence holds. */
static void conflict_text(const struct service_job *job, const struct solution *solution,
                          char out[LIMIT_TEXT_BYTES])
{
    size_t used = 0;
    out[0] = 0;
    for (int i = 0; i < solution->conflict_count; i++) {
        const char *rule = job->problem.rules[solution->conflict[i]].text;
        size_t bytes = strlen(rule);
        const char *joint = i == 0 ? "" : "; ";
        if (used + strlen(joint) + bytes >= LIMIT_TEXT_BYTES)
            return;
        memcpy(out + used, joint, strlen(joint));
        used += strlen(joint);
        memcpy(out + used, rule, bytes + 1);
        used += bytes;
    }
}

static void answer_plan(struct service_job *job, const struct solution *solution)
{
    struct service *service = job->service;
    struct strbuf body;
    struct json_out json;
    struct error err;
    strbuf_init(&body, SERVICE_BODY_BYTES);
    json_out_init(&json, &body);
    int rc = job->kind == JOB_SUGGEST   ? service_suggest_write(job, solution, &json, &err)
             : job->kind == JOB_PREPARE ? service_prepare_write(job, solution, &json, &err)
                                        : service_plan_write(job, solution, &json, &err);
    if (rc == 0 && job->certificate && solution->choice != NULL)
        rc = service_certificate_keep(job, solution, &err);
    if (rc == 0)
        rc = strbuf_error(&body, &err);
    service_respond(service, job->token, job->request, rc, rc < 0 ? err.text : "",
                    job->state_version, rc < 0 ? "" : strbuf_text(&body));
    strbuf_done(&body);
}

/* The core waits for an answer to its solve, and this is one: it asks again. */
static void no_plan(struct service *service, uint64_t solve, uint64_t version, const char *text)
{
    struct core_event event = {
        .kind = CORE_PLAN,
        .plan = {.solve = solve,
                 .version = version,
                 .status = SOLVE_NONE,
                 .score_stay_nusd = INT64_MAX},
    };
    service_cut(event.plan.text, text);
    if (!service_submit(service, &event))
        log_event(LOG_ERROR, "plan.lost", "solve=%llu reason=\"no memory\"",
                  (unsigned long long)solve);
}

void service_check(struct service *service, uint64_t check)
{
    struct arena arena;
    struct core_event event;
    struct error err;
    arena_init(&arena, SERVICE_JOB_BYTES);
    int rc = core_answer_check(service->core, check, &arena, &event, &err);
    arena_done(&arena);
    /* Without an answer the core asks again. */
    if (rc < 0 || !service_submit(service, &event))
        log_event(LOG_WARN, "check.lost", "check=%llu reason=\"%s\"", (unsigned long long)check,
                  rc < 0 ? err.text : "no memory");
}

static void unlink_job(struct service_job *job)
{
    struct service_job **at = &job->service->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
}
