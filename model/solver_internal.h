/*
 * solver_internal: what the files of the pool of workers share. solver.c has the pool and its
 * queue, solver_call.c those who wait, solver_worker.c one process and what is said with it,
 * solver_session.c sessions.
 */
#pragma once

#include <sys/types.h>

#include "base/clock.h"
#include "base/str.h"
#include "model/solver.h"
#include "model/solver_session.h"

/* The end of what a worker said: enough for GLPK's assertion and our own last line. */
#define STDERR_BYTES 128
/* Before a problem: the length of the request and the limits; of a session, its head too. */
#define HEAD_BYTES         (4 + SOLVE_LIMITS_BYTES)
#define SESSION_HEAD_BYTES (HEAD_BYTES + SOLVE_SESSION_BYTES)

/* A request from solver_submit to its handler's call. */
struct job {
    struct solver *solver;
    struct job *next;
    uint64_t id;
    struct strbuf request; /* whole frame with its length */
    struct solve_limits limits;
    struct solver_session *session; /* counted; NULL: the request stands alone */
    bool is_delta;                  /* of the session's base */
    const struct problem *problem;  /* who waits for it has it still; NULL: only the request has */
    bool remembered;                /* if it is proven, for an equal one */
    solver_handler *handler;
    solver_listener *listener; /* NULL: nobody */
    void *context;
    int tries;
    bool cancelled;
    bool found;         /* the worker has told of a placement */
    struct arena arena; /* the answer and the problem it is checked against */
    struct solution solution;
};

struct worker {
    struct solver *solver;
    pid_t pid; /* 0: none */
    int pidfd;
    int channel; /* socket: its standard input and output */
    int errors;  /* pipe: its standard error */
    struct job *job;
    const struct strbuf *lead; /* sent before the job's request: its session's base; or NULL */
    size_t sent;               /* of both */
    bool told;                 /* to end */
    uint64_t session;          /* which it holds; 0: none */
    bool forget;               /* and is to close when it is idle */
    struct strbuf answer;
    int64_t deadline_us; /* mono; of the job */
    char said[STDERR_BYTES];
    size_t said_bytes;
};

struct solver {
    char program[LIMIT_PATH_BYTES];
    struct solver_options options;
    int epoll;
    struct worker *workers;
    int worker_count;
    uint64_t sessions; /* opened so far: the last one's id */
    struct job *queue; /* waiting, first in first out */
    struct job **queue_end;
    struct job *done; /* answered, handlers not called yet */
    struct job **done_end;
    struct job *spare;      /* memory of an answered one; NULL: none */
    struct job *remembered; /* the last that is to be and was proven; NULL: none */
};

/* ---- solver.c ---- */

/* A job whose request has its limits and the problem, in the memory of an earlier one if there is.
 */
int solver_job_make(struct solver *solver, uint64_t id, const struct problem *problem,
                    const struct solve_limits *limits, solver_handler *handler, void *context,
                    struct job **ret_job, struct error *err) WARN_UNUSED;
/* A job whose request has its limits; the rest is to be appended. NULL: no memory. */
struct job *solver_job_create(struct solver *solver, uint64_t id, const struct solve_limits *limits,
                              solver_handler *handler, void *context);
/* The same in the memory of an earlier one. */
struct job *solver_job_again(struct solver *solver, struct job *job, uint64_t id,
                             const struct solve_limits *limits, solver_handler *handler,
                             void *context);
/* Ends it for good, whatever its session. NULL is accepted, here and by solver_job_destroy. */
void solver_job_free(struct job *job);
/* Writes the request's length and queues it; destroys it when the request is too long. */
int solver_job_submit(struct solver *solver, struct job *job, struct error *err) WARN_UNUSED;
void solver_job_none(struct solver *solver, struct job *job, const char *why);
void solver_job_done(struct solver *solver, struct job *job);
void solver_job_destroy(struct job *job);
/* The length of what follows, into the first 4 bytes of a request. */
void solver_request_seal(struct strbuf *request);

/* Sites that a worker takes; ERR_LIMIT. */
int solver_problem_check(const struct problem *problem, struct error *err) WARN_UNUSED;

/* ---- solver_call.c ---- */

/* Waits for one answer, which is copied into an arena: solver_call_handler's context. */
struct solver_call {
    struct arena *arena;
    struct solution *solution;
    const struct problem *problem;
    int rc;
    bool done;
};
void solver_call_handler(void *context, uint64_t id, const struct solution *solution);
int solver_call_wait(struct solver *solver, struct solver_call *call,
                     struct error *err) WARN_UNUSED;
/* Waits until something happened, and dispatches it. */
void solver_turn(struct solver *solver);

/* ---- solver_worker.c ---- */

int solver_worker_start(struct worker *worker, struct error *err) WARN_UNUSED;
/* Kills and reaps it and forgets all about it but the job, which the caller has. */
void solver_worker_stop(struct worker *worker);
/* Each of these asks its descriptors without waiting. */
void solver_worker_hear(struct worker *worker);
void solver_worker_send(struct worker *worker);
void solver_worker_receive(struct worker *worker);
void solver_worker_died(struct worker *worker);
/* Has an idle worker drop the session that it is to forget. */
void solver_worker_forget(struct worker *worker);

/* ---- solver_session.c ---- */

void solver_session_unref(struct solver_session *session); /* NULL is accepted */
/* Takes an answered job's memory for the next one; false: it has enough. */
bool solver_session_keep(struct solver_session *session, struct job *job);
const struct strbuf *solver_session_opening(const struct solver_session *session);
uint64_t solver_session_id(const struct solver_session *session);
const struct problem *solver_session_base(const struct solver_session *session);
