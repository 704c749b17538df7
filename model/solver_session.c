#include "model/solver_internal.h"

#include <stdlib.h>
#include <string.h>

#include "model/problem_delta.h"

#define GAP_USUAL 5e-4
#define BYTES_MAX ((size_t)2 << 30)
/* Scenarios that wait or are under way for each worker: one is made while another is solved. */
#define AHEAD 2
/* Of a scenario's memory, for the next one; and of how many for each worker. */
#define KEPT_BYTES ((size_t)64 << 20)
#define KEPT_JOBS  AHEAD

struct solver_session {
    struct solver *solver;
    int refs; /* its owner, and each of its jobs */
    struct solve_session head;
    struct solve_limits limits;
    struct strbuf opening; /* the request that opens it */
    struct arena arena;
    struct problem base;         /* as it was sent */
    const struct problem *given; /* what scenarios are compared with: the caller's, or that one */
    struct solver_session_counts counts;
    struct job *spare; /* memory of answered ones */
    int spares;
};

/* A run over many scenarios. */
struct run {
    const struct solver_scenarios *scenarios;
    int under_way;
    bool over; /* nothing more is asked */
};

static int base_take(struct solver_session *session, const struct problem *base, struct error *err);
static int submit(struct solver_session *session, uint64_t id, const struct problem *scenario,
                  const struct problem *lives, solver_handler *handler, void *context,
                  struct error *err);
static void run_take(void *context, uint64_t id, const struct solution *solution);

int solver_session_open(struct solver *solver, const struct problem *base,
                        const struct solver_session_options *options,
                        struct solver_session **ret_session, struct error *err)
{
    int rc = solver_problem_check(base, err);
    if (rc < 0) {
        return rc;
    }
    if (!(options->gap >= 0 && options->gap <= 1) ||
        !(options->gap_poor >= 0 && options->gap_poor <= 1) || options->threads < 0 ||
        options->time_max_us < 0 || options->nodes_max < 0) {
        return error_set(err, ERR_INVALID, 0,
                         "a session of gap %g, poor gap %g, %d threads, %lld us and %lld nodes: "
                         "gaps are 0 to 1, and nothing is below 0",
                         options->gap, options->gap_poor, options->threads,
                         (long long)options->time_max_us, (long long)options->nodes_max);
    }
    struct solver_session *session = calloc(1, sizeof(*session));
    if (session == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a session");
    }
    session->solver = solver;
    session->refs = 1;
    session->head = (struct solve_session){.kind = SESSION_OPEN,
                                           .id = ++solver->sessions,
                                           .seed = options->seed > 0 ? options->seed : 1,
                                           .threads = options->threads,
                                           .gap_poor = options->gap_poor};
    session->limits = (struct solve_limits){
        .nodes_max = options->nodes_max > 0 ? options->nodes_max : solver->options.nodes_max,
        .time_max_us = options->time_max_us,
        .gap = options->gap > 0 ? options->gap : GAP_USUAL};
    arena_init(&session->arena, BYTES_MAX);
    strbuf_init(&session->opening, SOLVE_REQUEST_BYTES_MAX);
    rc = base_take(session, base, err);
    if (rc < 0) {
        solver_session_unref(session);
        return rc;
    }
    session->given = options->base_lives ? base : &session->base;
    *ret_session = session;
    return 0;
}

/* The copy that answers are judged by is what the workers read too. */
static int base_take(struct solver_session *session, const struct problem *base, struct error *err)
{
    struct strbuf *opening = &session->opening;
    char head[SESSION_HEAD_BYTES] = {0};
    solve_limits_encode(&session->limits, head + 4);
    solve_session_encode(&session->head, head + HEAD_BYTES);
    strbuf_append(opening, head, sizeof(head));
    problem_encode(base, opening);
    int rc = strbuf_error(opening, err);
    if (rc == 0) {
        solver_request_seal(opening);
        rc = problem_decode(opening->text + SESSION_HEAD_BYTES, opening->bytes - SESSION_HEAD_BYTES,
                            &session->arena, &session->base, err);
    }
    return rc < 0 ? error_prefix(err, "a session on %d parts and %d sites", base->part_count,
                                 base->site_count)
                  : 0;
}

void solver_session_close(struct solver_session *session)
{
    solver_session_unref(session);
}

void solver_session_unref(struct solver_session *session)
{
    if (session == NULL || --session->refs > 0) {
        return;
    }
    struct solver *solver = session->solver;
    for (int i = 0; i < solver->worker_count; i++) {
        struct worker *worker = &solver->workers[i];
        if (worker->session == session->head.id) {
            worker->forget = true;
            solver_worker_forget(worker);
        }
    }
    while (session->spare != NULL) {
        struct job *job = session->spare;
        session->spare = job->next;
        solver_job_free(job);
    }
    strbuf_done(&session->opening);
    arena_done(&session->arena);
    free(session);
}

bool solver_session_keep(struct solver_session *session, struct job *job)
{
    if (session->spares == KEPT_JOBS * session->solver->worker_count ||
        job->request.capacity > KEPT_BYTES) {
        return false;
    }
    arena_keep(&job->arena, KEPT_BYTES);
    arena_reset(&job->arena);
    job->next = session->spare;
    session->spare = job;
    session->spares++;
    return true;
}

/* In the memory of an answered one, if there is one. */
static struct job *job_for(struct solver_session *session, uint64_t id, solver_handler *handler,
                           void *context)
{
    struct solver *solver = session->solver;
    struct job *job = session->spare;
    if (job == NULL) {
        return solver_job_create(solver, id, &session->limits, handler, context);
    }
    session->spare = job->next;
    session->spares--;
    return solver_job_again(solver, job, id, &session->limits, handler, context);
}

const struct strbuf *solver_session_opening(const struct solver_session *session)
{
    return &session->opening;
}

uint64_t solver_session_id(const struct solver_session *session)
{
    return session->head.id;
}

const struct problem *solver_session_base(const struct solver_session *session)
{
    return &session->base;
}

struct solver_session_counts solver_session_counts(const struct solver_session *session)
{
    return session->counts;
}

int solver_session_submit(struct solver_session *session, uint64_t id,
                          const struct problem *scenario, solver_handler *handler, void *context,
                          struct error *err)
{
    return submit(session, id, scenario, NULL, handler, context, err);
}

/* `lives`: the scenario, if it is there until the answer is; or NULL. */
static int submit(struct solver_session *session, uint64_t id, const struct problem *scenario,
                  const struct problem *lives, solver_handler *handler, void *context,
                  struct error *err)
{
    int rc = solver_problem_check(scenario, err);
    if (rc < 0) {
        return rc;
    }
    struct job *job = job_for(session, id, handler, context);
    if (job == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a scenario");
    }
    struct solve_session head = session->head;
    char text[SOLVE_SESSION_BYTES];
    job->session = session;
    job->problem = lives;
    session->refs++;
    size_t at = job->request.bytes;
    strbuf_append(&job->request, (const char[SOLVE_SESSION_BYTES]){0}, SOLVE_SESSION_BYTES);
    job->is_delta = problem_delta_encode(session->given, scenario, &job->request);
    if (!job->is_delta) {
        problem_encode(scenario, &job->request);
    }
    head.kind = job->is_delta ? SESSION_DELTA : SESSION_WHOLE;
    solve_session_encode(&head, text);
    if (!job->request.broken) {
        memcpy(job->request.text + at, text, sizeof(text));
    }
    session->counts.warm += job->is_delta;
    session->counts.whole += !job->is_delta;
    rc = solver_job_submit(session->solver, job, err);
    return rc < 0 ? error_prefix(err, "a scenario of %d parts and %d sites", scenario->part_count,
                                 scenario->site_count)
                  : 0;
}

int solver_session_solve(struct solver_session *session, const struct problem *scenario,
                         struct arena *arena, struct solution *ret_solution, struct error *err)
{
    struct solution solution = {0};
    struct solver_call call = {.arena = arena, .solution = &solution, .problem = scenario};
    int rc = submit(session, 0, scenario, scenario, solver_call_handler, &call, err);
    rc = rc == 0 ? solver_call_wait(session->solver, &call, err) : rc;
    if (rc == 0) {
        *ret_solution = solution;
    }
    return rc;
}

int solver_session_run(struct solver_session *session, const struct solver_scenarios *scenarios,
                       struct error *err)
{
    struct run run = {.scenarios = scenarios};
    struct arena arena;
    int ahead = AHEAD * session->solver->worker_count;
    int rc = 0;
    arena_init(&arena, BYTES_MAX);
    arena_keep(&arena, KEPT_BYTES);
    for (int i = 0; i < scenarios->count && !run.over && rc == 0; i++) {
        struct problem problem;
        arena_reset(&arena);
        rc = scenarios->make(scenarios->context, i, &arena, &problem, err);
        rc = rc == 0 ? solver_session_submit(session, (uint64_t)i, &problem, run_take, &run, err)
                     : rc;
        run.under_way += rc == 0;
        while (run.under_way >= ahead && rc == 0) {
            solver_turn(session->solver);
        }
    }
    while (run.under_way > 0) {
        solver_turn(session->solver);
    }
    arena_done(&arena);
    return rc;
}

static void run_take(void *context, uint64_t id, const struct solution *solution)
{
    struct run *run = context;
    run->under_way--;
    if (!run->over) {
        run->over = !run->scenarios->take(run->scenarios->context, (int)id, solution);
    }
}
