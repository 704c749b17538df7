#include "model/solver.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sanitize.h"
#include "base/str.h"
#include "model/verify.h"

#define WORKERS_MAX     64
#define MEMORY_DEFAULT  (INT64_C(2) << 30)
#define WALL_DEFAULT_US (120 * US_PER_S)
#define TRIES_MAX       2
/* The end of what a worker said: enough for GLPK's assertion and our own last line. */
#define STDERR_BYTES 128
/* Reads of it, and of its answers, at a time. */
#define HEAR_TURNS 64
/* How long a worker that was told to end, by a limit or because nobody waits, may take for it. */
#define CANCEL_US  US_PER_S
#define OVER_US    (30 * US_PER_S)
#define HEAD_BYTES (4 + SOLVE_LIMITS_BYTES)

/* A request from solver_submit to its handler's call. */
struct job {
    struct job *next;
    uint64_t id;
    struct strbuf request; /* whole frame with its length */
    struct solve_limits limits;
    solver_handler *handler;
    solver_listener *listener; /* NULL: nobody */
    void *context;
    int tries;
    bool cancelled;
    bool found; /* the worker has told of a placement */
    bool done;
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
    size_t sent;
    bool told; /* to end */
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
    struct job *queue; /* waiting, first in first out */
    struct job **queue_end;
    struct job *done; /* answered, handlers not called yet */
    struct job **done_end;
};

static int program_path(const char *given, char out[LIMIT_PATH_BYTES], struct error *err);
static int worker_start(struct worker *worker, struct error *err);
static int worker_spawn(struct worker *worker, int channel, int errors, struct error *err);
static void worker_stop(struct worker *worker);
static void worker_failed(struct worker *worker, const char *why);
static void worker_hear(struct worker *worker);
static void worker_send(struct worker *worker);
static void worker_tell(struct worker *worker);
static void worker_receive(struct worker *worker);
static size_t answer_bytes(const struct worker *worker);
static void worker_frame(struct worker *worker);
static void worker_watch(struct worker *worker, bool sending);
static void worker_died(struct worker *worker);
static int judge(struct job *job, const char *answer, size_t bytes, struct error *err);
static void assign(struct solver *solver);
static void job_none(struct solver *solver, struct job *job, const char *why);
static void job_done(struct solver *solver, struct job *job);
static void job_destroy(struct job *job);
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
        rc = worker_start(worker, err);
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
        worker_stop(&solver->workers[i]);
        if (job != NULL) {
            job_destroy(job);
        }
    }
    for (struct job *job = solver->queue; job != NULL;) {
        struct job *next = job->next;
        job_destroy(job);
        job = next;
    }
    for (struct job *job = solver->done; job != NULL;) {
        struct job *next = job->next;
        job_destroy(job);
        job = next;
    }
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
    if (problem->site_count < 1 || problem->site_count > LIMIT_SITES) {
        return error_set(err, ERR_LIMIT, 0, "a problem of %d sites: the exact solver takes 1 to %d",
                         problem->site_count, LIMIT_SITES);
    }
    struct job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return error_set(err, ERR_NO_MEMORY, 0, "no memory for a problem");
    }
    job->id = id;
    job->handler = handler;
    job->listener = listener;
    job->context = context;
    job->limits = limits != NULL ? *limits : (struct solve_limits){0};
    if (job->limits.nodes_max == 0) {
        job->limits.nodes_max = solver->options.nodes_max;
    }
    arena_init(&job->arena, (size_t)4 << 30);
    strbuf_init(&job->request, SOLVE_REQUEST_BYTES_MAX);
    char head[HEAD_BYTES] = {0};
    solve_limits_encode(&job->limits, head + 4);
    strbuf_append(&job->request, head, sizeof(head));
    problem_encode(problem, &job->request);
    int rc = strbuf_error(&job->request, err);
    if (rc < 0) {
        job_destroy(job);
        return error_prefix(err, "a problem of %d parts and %d sites", problem->part_count,
                            problem->site_count);
    }
    size_t bytes = job->request.bytes - 4;
    for (size_t i = 0; i < 4; i++) {
        job->request.text[i] = (char)(unsigned char)(bytes >> (8 * i));
    }
    *solver->queue_end = job;
    solver->queue_end = &job->next;
    assign(solver);
    return 0;
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
        worker_send(worker);
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
        job_none(solver, job, "it was cancelled before a solver was free to begin with it");
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
        worker_hear(worker);
        worker_send(worker);
        worker_receive(worker);
        worker_died(worker);
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
        job_destroy(job);
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

struct call {
    struct arena *arena;
    struct solution *solution;
    const struct problem *problem;
    int rc;
    bool done;
};

/* A copy in the caller's arena of what lives as long as the job; NULL stays NULL. */
static void *keep(struct call *call, const void *from, int count, size_t bytes, bool *copied)
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

static void call_handler(void *context, uint64_t id, const struct solution *solution)
{
    (void)id;
    struct call *call = context;
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
    struct call call = {.arena = arena, .solution = &solution, .problem = problem};
    int rc = solver_submit_within(solver, 0, problem, limits, call_handler, NULL, &call, err);
    if (rc < 0) {
        return rc;
    }
    while (!call.done) {
        int64_t timeout_us = solver_timeout_us(solver);
        struct pollfd wait = {.fd = solver->epoll, .events = POLLIN};
        int timeout_ms = timeout_us < 0 ? -1 : (int)(timeout_us / US_PER_MS + 1);
        (void)poll(&wait, 1, timeout_ms);
        (void)solver_dispatch(solver);
    }
    if (call.rc < 0) {
        return error_set(err, call.rc, 0, "no memory for a solution");
    }
    *ret_solution = solution;
    return 0;
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

/* A socket is both its standard input and output: unlike a pipe it can be written without SIGPIPE
 * when the worker is dead. */
static int worker_start(struct worker *worker, struct error *err)
{
    int channel[2];
    int errors[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0) {
        return error_set(err, ERR_IO, errno, "berth-solve: socketpair");
    }
    if (pipe2(errors, O_CLOEXEC) < 0) {
        int rc = error_set(err, ERR_IO, errno, "berth-solve: pipe");
        close(channel[0]);
        close(channel[1]);
        return rc;
    }
    worker->channel = channel[0];
    worker->errors = errors[0];
    worker->said_bytes = 0;
    worker->sent = 0;
    strbuf_init(&worker->answer, SOLVE_REQUEST_BYTES_MAX);
    int rc = worker_spawn(worker, channel[1], errors[1], err);
    close(channel[1]);
    close(errors[1]);
    if (rc < 0) {
        worker_stop(worker);
        return rc;
    }
    (void)fcntl(worker->channel, F_SETFL, O_NONBLOCK);
    (void)fcntl(worker->errors, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker};
    worker->pidfd = pidfd_open(worker->pid, 0);
    if (worker->pidfd < 0 ||
        epoll_ctl(worker->solver->epoll, EPOLL_CTL_ADD, worker->pidfd, &event) < 0 ||
        epoll_ctl(worker->solver->epoll, EPOLL_CTL_ADD, worker->channel, &event) < 0 ||
        epoll_ctl(worker->solver->epoll, EPOLL_CTL_ADD, worker->errors, &event) < 0) {
        rc = error_set(err, ERR_IO, errno, "berth-solve: watching process %d", (int)worker->pid);
        worker_stop(worker);
        return rc;
    }
    return 0;
}

static int worker_spawn(struct worker *worker, int channel, int errors, struct error *err)
{
    const struct solver *solver = worker->solver;
    char name[] = "berth-solve";
    char *arguments[] = {name, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_adddup2(&actions, channel, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, channel, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int failed =
        posix_spawn(&worker->pid, solver->program, &actions, &attributes, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    if (failed != 0) {
        worker->pid = 0;
        return error_set(err, failed == ENOENT ? ERR_NOT_FOUND : ERR_IO, failed,
                         "cannot start the solver '%s'", solver->program);
    }
    /* Sanitizers reserve terabytes of address space: a limit on it would stop them at once. */
    struct rlimit limit = {.rlim_cur = (rlim_t)solver->options.memory_max_bytes,
                           .rlim_max = (rlim_t)solver->options.memory_max_bytes};
    struct rlimit no_core = {0};
    if (!SANITIZE_SHADOW && prlimit(worker->pid, RLIMIT_AS, &limit, NULL) < 0 && errno != ESRCH) {
        return error_set(err, ERR_IO, errno, "berth-solve: limit of %lld bytes",
                         (long long)solver->options.memory_max_bytes);
    }
    (void)prlimit(worker->pid, RLIMIT_CORE, &no_core, NULL);
    return 0;
}

/* Kills and reaps it and forgets all about it but the job, which the caller has. */
static void worker_stop(struct worker *worker)
{
    if (worker->pid > 0) {
        (void)kill(worker->pid, SIGKILL);
        while (waitpid(worker->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    cleanup_close(&worker->pidfd); /* closing takes them out of the epoll set */
    cleanup_close(&worker->channel);
    cleanup_close(&worker->errors);
    strbuf_done(&worker->answer);
    worker->pid = 0;
    worker->pidfd = -1;
    worker->channel = -1;
    worker->errors = -1;
    worker->job = NULL;
}

/* Its job goes back to the head of the queue, once; the next assign starts another worker. */
static void worker_failed(struct worker *worker, const char *why)
{
    struct solver *solver = worker->solver;
    struct job *job = worker->job;
    char text[LIMIT_TEXT_BYTES];
    worker_hear(worker);
    size_t end = worker->said_bytes;
    while (end > 0 && (worker->said[end - 1] == '\n' || worker->said[end - 1] == ' ')) {
        end--;
    }
    for (size_t i = 0; i < end; i++) {
        worker->said[i] = worker->said[i] == '\n' ? ' ' : worker->said[i];
    }
    str_format(text, sizeof(text), "%s%s%.*s", why, end > 0 ? ": " : "", (int)end, worker->said);
    worker_stop(worker);
    if (job == NULL) {
        return;
    }
    if (strstr(text, "no memory available") != NULL) {
        /* GLPK's last words: it ends its process where others return an error. */
        str_format(text, sizeof(text), SOLVE_MEMORY_TEXT, "GLPK");
        job_none(solver, job, text);
        return;
    }
    if (job->tries >= TRIES_MAX || job->cancelled) {
        job_none(solver, job, text);
        return;
    }
    job->next = solver->queue;
    solver->queue = job;
    if (job->next == NULL) {
        solver->queue_end = &job->next;
    }
}

/* Keeps the end of what it says. */
static void worker_hear(struct worker *worker)
{
    char text[512];
    ssize_t n = -1;
    /* Some at a time: one that talks without end is not to hold up the others. */
    for (int turn = 0; turn < HEAR_TURNS && worker->errors >= 0; turn++) {
        n = read(worker->errors, text, sizeof(text));
        if (n <= 0) {
            break;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (worker->said_bytes == sizeof(worker->said)) {
                memmove(worker->said, worker->said + 1, sizeof(worker->said) - 1);
                worker->said_bytes--;
            }
            bool printable = text[i] == '\n' || (text[i] >= ' ' && text[i] <= '~');
            worker->said[worker->said_bytes++] = printable ? text[i] : '?';
        }
    }
    if (worker->errors >= 0 && n == 0) {
        cleanup_close(&worker->errors);
        worker->errors = -1;
    }
}

static void worker_send(struct worker *worker)
{
    while (worker->job != NULL && worker->sent < worker->job->request.bytes) {
        const struct strbuf *request = &worker->job->request;
        ssize_t n = send(worker->channel, request->text + worker->sent,
                         request->bytes - worker->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            worker->sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            worker_watch(worker, true);
            return;
        } else if (n == 0 || errno != EINTR) {
            return; /* dead: worker_died says so */
        }
    }
    if (worker->job != NULL && worker->job->cancelled && !worker->told) {
        worker_tell(worker);
    }
    if (worker->channel >= 0) {
        worker_watch(worker, false);
    }
}

/* A request of length 0. When there is no room for it the worker does not read: it will be killed.
 */
static void worker_tell(struct worker *worker)
{
    static const char none[4] = {0};
    worker->told = true;
    (void)send(worker->channel, none, sizeof(none), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void worker_receive(struct worker *worker)
{
    char text[65536];
    for (int turn = 0; turn < HEAR_TURNS && worker->channel >= 0;) {
        while (worker->answer.bytes < answer_bytes(worker) && turn++ < HEAR_TURNS) {
            ssize_t n = read(worker->channel, text, sizeof(text));
            if (n <= 0) {
                turn = HEAR_TURNS;
                break;
            }
            strbuf_append(&worker->answer, text, (size_t)n);
        }
        if (worker->answer.bytes < 4) {
            return;
        }
        size_t bytes = answer_bytes(worker) - 4;
        if (worker->job == NULL || worker->answer.broken || bytes > SOLVE_REQUEST_BYTES_MAX) {
            worker_failed(worker, "the solver answered what was not asked");
            return;
        }
        while (worker->channel >= 0 && worker->answer.bytes >= 4 &&
               worker->answer.bytes >= answer_bytes(worker)) {
            worker_frame(worker);
        }
    }
}

/* Takes the first frame of what has come: news, or the answer. */
static void worker_frame(struct worker *worker)
{
    struct job *job = worker->job;
    struct strbuf *answer = &worker->answer;
    size_t bytes = answer_bytes(worker) - 4;
    struct solve_news news;
    struct error err = {0};
    if (job != NULL && solve_news_decode(answer->text + 4, bytes, &news)) {
        answer->bytes -= bytes + 4;
        memmove(answer->text, answer->text + bytes + 4, answer->bytes);
        job->found = job->found || news.best < INFINITY;
        if (job->listener != NULL) {
            job->listener(job->context, job->id, &news);
        }
        return;
    }
    if (job == NULL || answer->bytes > bytes + 4) {
        worker_failed(worker, "the solver answered what was not asked");
        return;
    }
    if (judge(job, answer->text + 4, bytes, &err) < 0) {
        char why[LIMIT_TEXT_BYTES];
        str_format(why, sizeof(why), "the solver's answer does not hold: %.180s", err.text);
        worker_failed(worker, why);
        return;
    }
    strbuf_reset(answer);
    worker->job = NULL;
    job_done(worker->solver, job);
}

/* Of the answer under way with its length; SIZE_MAX: that has not come yet, 0: it broke. */
static size_t answer_bytes(const struct worker *worker)
{
    if (worker->answer.broken) {
        return 0;
    }
    if (worker->answer.bytes < 4) {
        return SIZE_MAX;
    }
    size_t bytes = 4;
    for (size_t i = 0; i < 4; i++) {
        bytes += (size_t)(unsigned char)worker->answer.text[i] << (8 * i);
    }
    return bytes;
}

static void worker_watch(struct worker *worker, bool sending)
{
    struct epoll_event event = {.events = EPOLLIN | (sending ? (uint32_t)EPOLLOUT : 0),
                                .data.ptr = worker};
    (void)epoll_ctl(worker->solver->epoll, EPOLL_CTL_MOD, worker->channel, &event);
}

static void worker_died(struct worker *worker)
{
    if (worker->pid <= 0) {
        return;
    }
    siginfo_t info = {0};
    if (waitid(P_PIDFD, (id_t)worker->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
        info.si_pid == 0) {
        return;
    }
    char why[96];
    if (info.si_code == CLD_EXITED) {
        str_format(why, sizeof(why), "the solver ended with status %d", info.si_status);
    } else {
        str_format(why, sizeof(why), "the solver was ended by signal %d", info.si_status);
    }
    worker_failed(worker, why);
}

/* Trusts nothing: the frame, the rules and the cost are checked against the problem as it was sent,
 * also by the code that shares nothing with the solver. A wrong placement is worse than none. */
static int judge(struct job *job, const char *answer, size_t bytes, struct error *err)
{
    struct problem problem;
    arena_reset(&job->arena);
    int rc = problem_decode(job->request.text + HEAD_BYTES, job->request.bytes - HEAD_BYTES,
                            &job->arena, &problem, err);
    if (rc == 0) {
        rc = solution_decode(answer, bytes, &problem, &job->arena, &job->solution, err);
    }
    if (rc < 0 || job->solution.choice == NULL) {
        return rc;
    }
    int broken = problem_broken_rule(&problem, job->solution.choice);
    if (broken >= 0) {
        return error_set(err, ERR_CORRUPT, 0, "it breaks: %s", problem.rules[broken].text);
    }
    if (problem_cost(&problem, job->solution.choice) != job->solution.cost_nusd) {
        return error_set(err, ERR_CORRUPT, 0, "it states a wrong cost");
    }
    struct verdict verdict;
    rc = verify_choice(&problem, job->solution.choice, &job->arena, &verdict, err);
    if (rc < 0) {
        return rc;
    }
    double off = fabs(verdict.cost - (double)job->solution.cost_nusd);
    if (verdict.broken >= 0 || !(off <= verdict.slack)) {
        return error_set(err, ERR_CORRUPT, 0, "the verifier does not agree with it");
    }
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
        if (worker->pid == 0 && worker_start(worker, &err) < 0) {
            err.text[LIMIT_TEXT_BYTES - 1] = '\0';
            job_none(solver, job, err.text);
            i--;
            continue;
        }
        job->tries++;
        worker->job = job;
        worker->sent = 0;
        worker->told = false;
        int64_t wall_us = solver->options.wall_max_us;
        int64_t own_us = job->limits.time_max_us > 0 ? job->limits.time_max_us + OVER_US : 0;
        worker->deadline_us = clock_mono_now().us + (own_us > wall_us ? own_us : wall_us);
        worker_send(worker);
    }
}

static void job_none(struct solver *solver, struct job *job, const char *why)
{
    job->solution = (struct solution){.status = SOLVE_NONE};
    str_format(job->solution.text, sizeof(job->solution.text), "%s", why);
    job_done(solver, job);
}

static void job_done(struct solver *solver, struct job *job)
{
    job->next = NULL;
    *solver->done_end = job;
    solver->done_end = &job->next;
}

static void job_destroy(struct job *job)
{
    strbuf_done(&job->request);
    arena_done(&job->arena);
    free(job);
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
        worker_stop(worker);
        char why[LIMIT_TEXT_BYTES];
        if (job->cancelled) {
            str_format(why, sizeof(why), "it was cancelled %s",
                       job->found ? "and the solver did not end in time: what it had found is lost"
                                  : "before any placement that keeps the rules was found");
        } else {
            str_format(why, sizeof(why), "no answer within %lld ms",
                       (long long)(solver->options.wall_max_us / US_PER_MS));
        }
        job_none(solver, job, why);
    }
}
