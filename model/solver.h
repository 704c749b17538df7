/*
 * solver: the exact solver in warm worker processes (program berth-solve, which alone links GLPK).
 *
 * solver_open starts the workers; solver_submit sends a problem; the answer comes through
 * solver_dispatch when solver_fd is readable. A worker that dies, aborts or passes its memory limit
 * is replaced and the problem sent once more; if that dies too the answer is SOLVE_NONE with the
 * reason. Budgets are counted in branch-and-bound nodes and in work, so the same problem gives the
 * same answer; a wall-clock limit kills the worker and can only mean SOLVE_NONE. A job may have
 * limits of its own (solve_frames.h): one in time ends its work with the best so far, as
 * solver_cancel does; a worker that does not end then is killed a little later. Owner's thread
 * only.
 */
#pragma once

#include "base/arena.h"
#include "base/error.h"
#include "model/problem.h"
#include "model/solve_frames.h"

struct solver;

struct solver_options {
    const char *program;      /* path of berth-solve; NULL: beside the running program */
    int workers;              /* 0: 1 */
    int64_t nodes_max;        /* 0: a budget of work instead, some seconds */
    int64_t memory_max_bytes; /* of a worker; 0: 2 GiB */
    int64_t wall_max_us;      /* 0: 120 s */
};

typedef void solver_handler(void *context, uint64_t id, const struct solution *solution);
/* How far a job has come, a few times a second while a worker is at it; it may not call the solver.
 */
typedef void solver_listener(void *context, uint64_t id, const struct solve_news *news);

int solver_open(const struct solver_options *options, struct solver **ret_solver,
                struct error *err) WARN_UNUSED;
void solver_close(struct solver *solver); /* kills and reaps its workers */

int solver_fd(const struct solver *solver); /* an epoll fd */
/* Queues a copy of the problem; `handler` is called once, from solver_dispatch. */
int solver_submit(struct solver *solver, uint64_t id, const struct problem *problem,
                  solver_handler *handler, void *context, struct error *err) WARN_UNUSED;
/* The same within limits (NULL: the pool's own); `listener` may be NULL. */
int solver_submit_within(struct solver *solver, uint64_t id, const struct problem *problem,
                         const struct solve_limits *limits, solver_handler *handler,
                         solver_listener *listener, void *context, struct error *err) WARN_UNUSED;
/* Ends the work for a job: its answer comes soon, with the best so far, or SOLVE_NONE. False: there
 * is no such job. */
bool solver_cancel(struct solver *solver, uint64_t id);
int solver_dispatch(struct solver *solver);
int64_t solver_timeout_us(const struct solver *solver); /* until a wall limit; -1 none */

/* Submit and wait: for tools and tests. */
int solver_call(struct solver *solver, const struct problem *problem, struct arena *arena,
                struct solution *ret_solution, struct error *err) WARN_UNUSED;
int solver_call_within(struct solver *solver, const struct problem *problem,
                       const struct solve_limits *limits, struct arena *arena,
                       struct solution *ret_solution, struct error *err) WARN_UNUSED;
/* The same; but a problem and limits that are, byte for byte, those of the last such call with a
 * proven answer have that answer again, unasked: *ret_again. */
int solver_call_again(struct solver *solver, const struct problem *problem,
                      const struct solve_limits *limits, struct arena *arena,
                      struct solution *ret_solution, bool *ret_again,
                      struct error *err) WARN_UNUSED;
/* Pids of the live workers, for tests that kill them; returns the count. */
int solver_pids(const struct solver *solver, int *pids, int max);
