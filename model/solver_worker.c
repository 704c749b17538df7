#include "model/solver_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sanitize.h"
#include "model/problem_delta.h"
#include "model/verify.h"

#define TRIES_MAX 2
/* Reads of what a worker says, and of its answers, at a time. */
#define HEAR_TURNS 64

static int worker_spawn(struct worker *worker, int channel, int errors, struct error *err);
static void worker_failed(struct worker *worker, const char *why);
static bool to_send(const struct worker *worker, const char **ret_text, size_t *ret_bytes);
static void worker_tell(struct worker *worker);
static void worker_frame(struct worker *worker);
static size_t answer_bytes(const struct worker *worker);
static void worker_watch(struct worker *worker, bool sending);
static int job_problem(struct job *job, struct problem *ret_problem, struct error *err);
static int judge(struct job *job, const char *answer, size_t bytes, struct error *err);

/* A socket is both its standard input and output: unlike a pipe it can be written without SIGPIPE
 * when the worker is dead. */
int solver_worker_start(struct worker *worker, struct error *err)
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
        solver_worker_stop(worker);
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
        solver_worker_stop(worker);
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
void solver_worker_stop(struct worker *worker)
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
    worker->lead = NULL;
    worker->session = 0;
    worker->forget = false;
}

/* Its job goes back to the head of the queue, once; the next assign starts another worker. */
static void worker_failed(struct worker *worker, const char *why)
{
    struct solver *solver = worker->solver;
    struct job *job = worker->job;
    char text[LIMIT_TEXT_BYTES];
    solver_worker_hear(worker);
    size_t end = worker->said_bytes;
    while (end > 0 && (worker->said[end - 1] == '\n' || worker->said[end - 1] == ' ')) {
        end--;
    }
    for (size_t i = 0; i < end; i++) {
        worker->said[i] = worker->said[i] == '\n' ? ' ' : worker->said[i];
    }
    str_format(text, sizeof(text), "%s%s%.*s", why, end > 0 ? ": " : "", (int)end, worker->said);
    solver_worker_stop(worker);
    if (job == NULL) {
        return;
    }
    if (strstr(text, "no memory available") != NULL) {
        /* GLPK's last words: it ends its process where others return an error. */
        str_format(text, sizeof(text), SOLVE_MEMORY_TEXT, "GLPK");
        solver_job_none(solver, job, text);
        return;
    }
    if (job->tries >= TRIES_MAX || job->cancelled) {
        solver_job_none(solver, job, text);
        return;
    }
    job->next = solver->queue;
    solver->queue = job;
    if (job->next == NULL) {
        solver->queue_end = &job->next;
    }
}

/* Keeps the end of what it says. */
void solver_worker_hear(struct worker *worker)
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

void solver_worker_send(struct worker *worker)
{
    const char *text;
    size_t bytes;
    while (to_send(worker, &text, &bytes)) {
        ssize_t n = send(worker->channel, text, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0) {
            worker->sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            worker_watch(worker, true);
            return;
        } else if (n == 0 || errno != EINTR) {
            return; /* dead: solver_worker_died says so */
        }
    }
    if (worker->job != NULL && worker->job->cancelled && !worker->told) {
        worker_tell(worker);
    }
    if (worker->channel >= 0) {
        worker_watch(worker, false);
    }
}

/* What is left of the base of its job's session, if the worker has that not yet, and of the job's
 * own request. */
static bool to_send(const struct worker *worker, const char **ret_text, size_t *ret_bytes)
{
    if (worker->job == NULL) {
        return false;
    }
    size_t lead = worker->lead != NULL ? worker->lead->bytes : 0;
    const struct strbuf *part = worker->sent < lead ? worker->lead : &worker->job->request;
    size_t at = worker->sent < lead ? worker->sent : worker->sent - lead;
    *ret_text = part->text + at;
    *ret_bytes = part->bytes - at;
    return *ret_bytes > 0;
}

/* It is idle, so that there is room for the few bytes; without them it only keeps some memory until
 * another session comes. */
void solver_worker_forget(struct worker *worker)
{
    if (!worker->forget || worker->job != NULL || worker->pid <= 0) {
        return;
    }
    char frame[SESSION_HEAD_BYTES] = {SESSION_HEAD_BYTES - 4};
    struct solve_session session = {.kind = SESSION_CLOSE, .id = worker->session};
    solve_limits_encode(&(struct solve_limits){0}, frame + 4);
    solve_session_encode(&session, frame + HEAD_BYTES);
    (void)send(worker->channel, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT);
    worker->forget = false;
    worker->session = 0;
}

/* A request of length 0. When there is no room for it the worker does not read: it will be killed.
 */
static void worker_tell(struct worker *worker)
{
    static const char none[4] = {0};
    worker->told = true;
    (void)send(worker->channel, none, sizeof(none), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void solver_worker_receive(struct worker *worker)
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
    worker->lead = NULL;
    solver_worker_forget(worker);
    solver_job_done(worker->solver, job);
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

void solver_worker_died(struct worker *worker)
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
    struct problem problem = {0};
    arena_reset(&job->arena);
    /* NONE names nothing of the problem. */
    bool is_none =
        solution_decode(answer, bytes, &problem, &job->arena, &job->solution, NULL) == 0 &&
        job->solution.status == SOLVE_NONE;
    int rc = is_none ? 0 : job_problem(job, &problem, err);
    if (rc == 0 && !is_none) {
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

/* The problem as it was sent. */
static int job_problem(struct job *job, struct problem *ret_problem, struct error *err)
{
    if (job->problem != NULL) {
        *ret_problem = *job->problem;
        return 0;
    }
    size_t head = job->session != NULL ? SESSION_HEAD_BYTES : HEAD_BYTES;
    const char *frame = job->request.text + head;
    size_t bytes = job->request.bytes - head;
    if (job->is_delta) {
        return problem_delta_decode(frame, bytes, solver_session_base(job->session), &job->arena,
                                    ret_problem, err);
    }
    return problem_decode(frame, bytes, &job->arena, ret_problem, err);
}
