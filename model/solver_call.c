/* Submit and wait. */
#include <string.h>

#include "model/solver_internal.h"

static int ask(struct solver *solver, struct job *job, struct solver_call *call,
               struct solution *ret_solution, struct error *err);

/* A copy in the caller's arena of what lives as long as the job; NULL stays NULL. */
static void *keep(struct solver_call *call, const void *from, int count, size_t bytes, bool *copied)
{
    if (from == NULL) {
        return NULL;
    }
    void *to = arena_array(call->arena, (size_t)count + 1, bytes);
    if (to == NULL) {
        *copied = false;
        return NULL;
    }
    memcpy(to, from, (size_t)count * bytes);
    return to;
}

void solver_call_handler(void *context, uint64_t id, const struct solution *solution)
{
    (void)id;
    struct solver_call *call = context;
    struct solution *out = call->solution;
    const struct problem *problem = call->problem;
    call->done = true;
    *out = *solution;
    bool copied = true;
    out->choice = keep(call, solution->choice, problem->part_count, sizeof(int), &copied);
    out->conflict = keep(call, solution->conflict, solution->conflict_count, sizeof(int), &copied);
    out->price = keep(call, solution->price, problem->rule_count, sizeof(double), &copied);
    out->meter_price =
        keep(call, solution->meter_price, problem->meter_count, sizeof(double), &copied);
    call->rc = copied ? 0 : ERR_NO_MEMORY;
}

int solver_call(struct solver *solver, const struct problem *problem, struct arena *arena,
                struct solution *ret_solution, struct error *err)
{
    return solver_call_within(solver, problem, NULL, arena, ret_solution, err);
}

int solver_call_within(struct solver *solver, const struct problem *problem,
                       const struct solve_limits *limits, struct arena *arena,
                       struct solution *ret_solution, struct error *err)
{
    struct solution solution = {0};
    struct solver_call call = {.arena = arena, .solution = &solution, .problem = problem};
    struct job *job = NULL;
    int rc = solver_job_make(solver, 0, problem, limits, solver_call_handler, &call, &job, err);
    return rc < 0 ? rc : ask(solver, job, &call, ret_solution, err);
}

int solver_call_again(struct solver *solver, const struct problem *problem,
                      const struct solve_limits *limits, struct arena *arena,
                      struct solution *ret_solution, bool *ret_again, struct error *err)
{
    struct solution solution = {0};
    struct solver_call call = {.arena = arena, .solution = &solution, .problem = problem};
    const struct job *known = solver->remembered;
    struct job *job = NULL;
    int rc = solver_job_make(solver, 0, problem, limits, solver_call_handler, &call, &job, err);
    if (rc < 0) {
        return rc;
    }
    solver_request_seal(&job->request);
    *ret_again = known != NULL && known->request.bytes == job->request.bytes &&
                 memcmp(known->request.text, job->request.text, job->request.bytes) == 0;
    if (!*ret_again) {
        job->remembered = true;
        return ask(solver, job, &call, ret_solution, err);
    }
    solver_job_destroy(job);
    solver_call_handler(&call, 0, &known->solution);
    rc = solver_call_wait(solver, &call, err);
    if (rc == 0) {
        *ret_solution = solution;
    }
    return rc;
}

/* The caller waits, so that its problem is there to judge the answer by. */
static int ask(struct solver *solver, struct job *job, struct solver_call *call,
               struct solution *ret_solution, struct error *err)
{
    job->problem = call->problem;
    int rc = solver_job_submit(solver, job, err);
    rc = rc == 0 ? solver_call_wait(solver, call, err) : rc;
    if (rc == 0) {
        *ret_solution = *call->solution;
    }
    return rc;
}

int solver_call_wait(struct solver *solver, struct solver_call *call, struct error *err)
{
    while (!call->done) {
        solver_turn(solver);
    }
    return call->rc < 0 ? error_set(err, call->rc, 0, "no memory for a solution") : 0;
}
