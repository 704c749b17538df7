#include "model/solver_internal.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define WORKERS_MAX     64
#define MEMORY_DEFAULT  (INT64_C(2) << 30)
#define WALL_DEFAULT_US (120 * US_PER_S)
/* How long a worker that was told to end, by a limit or because nobody waits, may take for it. */
#define CANCEL_US US_PER_S
#define OVER_US   (30 * US_PER_S)
/* Of a job's memory, for the next one: a problem of 1,000 apps at 10 sites has some 5 MB. */
#define KEPT_BYTES ((size_t)32 << 20)

static int program_path(const char *given, char out[LIMIT_PATH_BYTES], struct error *err);
static void assign(struct solver *solver);
static bool keep_spare(struct job *job);
static void check_deadlines(struct solver *solver);

int solver_open(const struct solver_options *options, struct solver **ret_solver, struct error *err)
{
    struct solver *solver = calloc(1, sizeof(*solver));
    if (solver == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a solver");
    }
    solver->options = *options;
    solver->epoll = -1;
    solver->queue_end = &solver->queue;
    solver->done_end = &solver->done;
    struct solver_options *o = &solver->options;
    o->nodes_max = o->nodes_max > 0 ? o->nodes_max : 0;
    o->memory_max_bytes = o->memory_max_bytes > 0 ? o->memory_max_bytes : MEMORY_DEFAULT;
    o->wall_max_us = o->wall_max_us > 0 ? o->wall_max_us : WALL_DEFAULT_US;
    int workers = o->workers > 0 ? o->workers : 1;
    int rc = program_path(options->program, solver->program, err);
    if (rc == 0 && workers > WORKERS_MAX) {
        rc = error_set(err, ERR_LIMIT, 0, "%d solver workers; at most %d", workers, WORKERS_MAX);
    }
    if (rc == 0) {
        solver->epoll = epoll_create1(EPOLL_CLOEXEC);
        solver->workers = calloc((size_t)workers, sizeof(*solver->workers));
        if (solver->epoll < 0 || solver->workers == NULL) {
            rc = error_set(err, ERR_IO, errno, "solver: epoll");
        }
    }
    for (int i = 0; i < workers && rc == 0; i++) {
        struct worker *worker = &solver->workers[i];
        *worker = (struct worker){.solver = solver, .pidfd = -1, .channel = -1, .errors = -1};
        solver->worker_count++;
        rc = solver_worker_start(worker, err);
    }
    if (rc < 0) {
        solver_close(solver);
        return rc;
    }
    *ret_solver = solver;
    return 0;
}

void solver_close(struct solver *solver)
{
    if (solver == NULL) {
        return;
    }
    for (int i = 0; i < solver->worker_count; i++) {
        struct job *job = solver->workers[i].job;
        solver_worker_stop(&solver->workers[i]);
        if (job != NULL) {
            solver_job_destroy(job);
        }
    }
    for (struct job *job = solver->queue; job != NULL;) {
        struct job *next = job->next;
        solver_job_destroy(job);
        job = next;
    }
    for (struct job *job = solver->done; job != NULL;) {
        struct job *next = job->next;
        solver_job_destroy(job);
        job = next;
    }
    solver_job_free(solver->remembered);
    solver_job_free(solver->spare);
    cleanup_close(&solver->epoll);
    free(solver->workers);
    free(solver);
}

int solver_fd(const struct solver *solver)
{
    return solver->epoll;
}

int solver_submit(struct solver *solver, uint64_t id, const struct problem *problem,
                  solver_handler *handler, void *context, struct error *err)
{
    return solver_submit_within(solver, id, problem, NULL, handler, NULL, context, err);
}

int solver_submit_within(struct solver *solver, uint64_t id, const struct problem *problem,
                         const struct solve_limits *limits, solver_handler *handler,
                         solver_listener *listener, void *context, struct error *err)
{
    struct job *job = NULL;
    int rc = solver_job_make(solver, id, problem, limits, handler, context, &job, err);
    if (rc < 0) {
        return rc;
    }
    job->listener = listener;
    return solver_job_submit(solver, job, err);
}

bool solver_cancel(struct solver *solver, uint64_t id)
{
    for (int i = 0; i < solver->worker_count; i++) {
        struct worker *worker = &solver->workers[i];
        if (worker->job == NULL || worker->job->id != id) {
            continue;
        }
        int64_t soon_us = clock_mono_now().us + CANCEL_US;
        worker->deadline_us = soon_us < worker->deadline_us ? soon_us : worker->deadline_us;
        worker->job->cancelled = true;
        solver_worker_send(worker);
        return true;
    }
    for (struct job **at = &solver->queue; *at != NULL; at = &(*at)->next) {
        struct job *job = *at;
        if (job->id != id) {
            continue;
        }
        *at = job->next;
        if (job->next == NULL) {
            solver->queue_end = at;
        }
        solver_job_none(solver, job, "it was cancelled before a solver was free to begin with it");
        return true;
    }
    return false;
}

int solver_dispatch(struct solver *solver)
{
    struct epoll_event events[16];
    int count = epoll_wait(solver->epoll, events, 16, 0);
    for (int i = 0; i < count; i++) {
        struct worker *worker = events[i].data.ptr;
        /* An earlier event of this round may have replaced the worker: each of these asks its own
         * descriptors without waiting, so an event that is no longer true does no harm. */
        solver_worker_hear(worker);
        solver_worker_send(worker);
        solver_worker_receive(worker);
        solver_worker_died(worker);
    }
    check_deadlines(solver);
    assign(solver);
    int handled = 0;
    while (solver->done != NULL) {
        struct job *job = solver->done;
        solver->done = job->next;
        if (solver->done == NULL) {
            solver->done_end = &solver->done;
        }
        job->handler(job->context, job->id, &job->solution);
        if (job->remembered && job->solution.status == SOLVE_OPTIMAL) {
            struct job *earlier = solver->remembered;
            solver->remembered = job;
            job = earlier;
        }
        solver_job_destroy(job);
        handled++;
    }
    return handled;
}

int64_t solver_timeout_us(const struct solver *solver)
{
    int64_t now = clock_mono_now().us;
    int64_t least = solver->done != NULL ? 0 : -1;
    for (int i = 0; i < solver->worker_count; i++) {
        const struct worker *worker = &solver->workers[i];
        if (worker->job != NULL) {
            int64_t left = worker->deadline_us > now ? worker->deadline_us - now : 0;
            least = least < 0 || left < least ? left : least;
        }
    }
    return least;
}

void solver_turn(struct solver *solver)
{
    int64_t timeout_us = solver_timeout_us(solver);
    struct pollfd wait = {.fd = solver->epoll, .events = POLLIN};
    int timeout_ms = timeout_us < 0 ? -1 : (int)(timeout_us / US_PER_MS + 1);
    (void)poll(&wait, 1, timeout_ms);
    (void)solver_dispatch(solver);
}

int solver_pids(const struct solver *solver, int *pids, int max)
{
    int count = 0;
    for (int i = 0; i < solver->worker_count && count < max; i++) {
        if (solver->workers[i].pid > 0) {
            pids[count++] = (int)solver->workers[i].pid;
        }
    }
    return count;
}

static int program_path(const char *given, char out[LIMIT_PATH_BYTES], struct error *err)
{
    if (given != NULL) {
        if (str_copy(out, LIMIT_PATH_BYTES, given) < 0) {
            return error_set(err, ERR_LIMIT, 0, "the solver's path is longer than %d bytes",
                             LIMIT_PATH_BYTES - 1);
        }
        return 0;
    }
    static const char name[] = "berth-solve";
    ssize_t bytes = readlink("/proc/self/exe", out, LIMIT_PATH_BYTES - sizeof(name));
    if (bytes <= 0) {
        return error_set(err, ERR_IO, errno, "/proc/self/exe: where berth-solve is");
    }
    while (bytes > 0 && out[bytes - 1] != '/') {
        bytes--;
    }
    memcpy(out + bytes, name, sizeof(name));
    return 0;
}

/* Gives waiting jobs to idle workers, in order; starts workers that are missing. */
static void assign(struct solver *solver)
{
    for (int i = 0; i < solver->worker_count && solver->queue != NULL; i++) {
        struct worker *worker = &solver->workers[i];
        if (worker->job != NULL) {
            continue;
        }
        struct job *job = solver->queue;
        solver->queue = job->next;
        if (solver->queue == NULL) {
            solver->queue_end = &solver->queue;
        }
        job->next = NULL;
        struct error err = {0};
        if (worker->pid == 0 && solver_worker_start(worker, &err) < 0) {
            err.text[LIMIT_TEXT_BYTES - 1] = '\0';
            solver_job_none(solver, job, err.text);
            i--;
            continue;
        }
        job->tries++;
        worker->job = job;
        worker->sent = 0;
        worker->told = false;
        worker->lead = NULL;
        int64_t wall_us = solver->options.wall_max_us;
        int64_t own_us = job->limits.time_max_us > 0 ? job->limits.time_max_us + OVER_US : 0;
        if (job->session != NULL && worker->session != solver_session_id(job->session)) {
            worker->lead = solver_session_opening(job->session);
            worker->session = solver_session_id(job->session);
            worker->forget = false;
            own_us += job->limits.time_max_us; /* the base's own */
        }
        worker->deadline_us = clock_mono_now().us + (own_us > wall_us ? own_us : wall_us);
        solver_worker_send(worker);
    }
}

int solver_problem_check(const struct problem *problem, struct error *err)
{
    if (problem->site_count < 1 || problem->site_count > LIMIT_SITES) {
        return error_set(err, ERR_LIMIT, 0, "a problem of %d sites: the exact solver takes 1 to %d",
                         problem->site_count, LIMIT_SITES);
    }
    return 0;
}

int solver_job_make(struct solver *solver, uint64_t id, const struct problem *problem,
                    const struct solve_limits *limits, solver_handler *handler, void *context,
                    struct job **ret_job, struct error *err)
{
    int rc = solver_problem_check(problem, err);
    if (rc < 0) {
        return rc;
    }
    struct job *job = solver->spare;
    solver->spare = NULL;
    job = job != NULL ? solver_job_again(solver, job, id, limits, handler, context)
                      : solver_job_create(solver, id, limits, handler, context);
    if (job == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a problem");
    }
    problem_encode(problem, &job->request);
    rc = strbuf_error(&job->request, err);
    if (rc < 0) {
        solver_job_destroy(job);
        return error_prefix(err, "a problem of %d parts and %d sites", problem->part_count,
                            problem->site_count);
    }
    *ret_job = job;
    return 0;
}

struct job *solver_job_create(struct solver *solver, uint64_t id, const struct solve_limits *limits,
                              solver_handler *handler, void *context)
{
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return NULL;
    }
    arena_init(&job->arena, (size_t)4 << 30);
    strbuf_init(&job->request, SOLVE_REQUEST_BYTES_MAX);
    return solver_job_again(solver, job, id, limits, handler, context);
}

struct job *solver_job_again(struct solver *solver, struct job *job, uint64_t id,
                             const struct solve_limits *limits, solver_handler *handler,
                             void *context)
{
    *job = (struct job){.solver = solver,
                        .id = id,
                        .request = job->request,
                        .limits = limits != NULL ? *limits : (struct solve_limits){0},
                        .handler = handler,
                        .context = context,
                        .arena = job->arena};
    if (job->limits.nodes_max == 0) {
        job->limits.nodes_max = solver->options.nodes_max;
    }
    strbuf_reset(&job->request);
    char head[HEAD_BYTES] = {0};
    solve_limits_encode(&job->limits, head + 4);
    strbuf_append(&job->request, head, sizeof(head));
    return job;
}

int solver_job_submit(struct solver *solver, struct job *job, struct error *err)
{
    int rc = strbuf_error(&job->request, err);
    if (rc < 0) {
        solver_job_destroy(job);
        return rc;
    }
    solver_request_seal(&job->request);
    *solver->queue_end = job;
    solver->queue_end = &job->next;
    assign(solver);
    return 0;
}

void solver_request_seal(struct strbuf *request)
{
    size_t bytes = request->bytes - 4;
    for (size_t i = 0; i < 4; i++) {
        request->text[i] = (char)(unsigned char)(bytes >> (8 * i));
    }
}

void solver_job_none(struct solver *solver, struct job *job, const char *why)
{
    job->solution = (struct solution){.status = SOLVE_NONE};
    str_format(job->solution.text, sizeof(job->solution.text), "%s", why);
    solver_job_done(solver, job);
}

void solver_job_done(struct solver *solver, struct job *job)
{
    job->next = NULL;
    *solver->done_end = job;
    solver->done_end = &job->next;
}

void solver_job_destroy(struct job *job)
{
    struct solver_session *session = job == NULL ? NULL : job->session;
    if (session == NULL ? !keep_spare(job) : !solver_session_keep(session, job)) {
        solver_job_free(job);
    }
    solver_session_unref(session);
}

/* The memory of one job, for the next; false: there is one, or this is too large to be kept. */
static bool keep_spare(struct job *job)
{
    if (job == NULL || job->solver->spare != NULL || job->request.capacity > KEPT_BYTES) {
        return false;
    }
    arena_reset(&job->arena);
    job->solver->spare = job;
    return true;
}

void solver_job_free(struct job *job)
{
    if (job != NULL) {
        strbuf_done(&job->request);
        arena_done(&job->arena);
        free(job);
    }
}

/* Past the wall limit the worker is killed and the answer is none: a second try could not be
 * quicker. */
static void check_deadlines(struct solver *solver)
{
    int64_t now = clock_mono_now().us;
    for (int i = 0; i < solver->worker_count; i++) {
        struct worker *worker = &solver->workers[i];
        if (worker->job == NULL || now < worker->deadline_us) {
            continue;
        }
        struct job *job = worker->job;
        solver_worker_stop(worker);
        char why[LIMIT_TEXT_BYTES];
        if (job->cancelled) {
            str_format(why, sizeof(why), "it was cancelled %s",
                       job->found ? "and the solver did not end in time: what it had found is lost"
                                  : "before any placement that keeps the rules was found");
        } else {
            str_format(why, sizeof(why), "no answer within %lld ms",
                       (long long)(solver->options.wall_max_us / US_PER_MS));
        }
        solver_job_none(solver, job, why);
    }
}
