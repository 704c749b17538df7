#include "scheduler/cli/children.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"

#define BACKOFF_FIRST_US (200 * US_PER_MS)
#define BACKOFF_MAX_US   (10 * US_PER_S)
#define HEALTHY_US       (10 * US_PER_S) /* after which an end counts as the first again */
#define STOP_DEFAULT_US  (10 * US_PER_S)
#define POLL_US          (10 * US_PER_MS)

static void run_child(const struct child *child, int log, int null, pid_t parent,
                      const sigset_t *signals) __attribute__((noreturn));
static void plan_restart(struct child *child);
static void wait_ended(struct children *children, int first, int last);
static bool reap_one(struct child *child);

struct child *children_add(struct children *children, const char *name, const char *log_path)
{
    if (children->count == CHILDREN_MAX)
        return NULL;
    struct child *child = &children->list[children->count];
    *child = (struct child){.stop_timeout_us = STOP_DEFAULT_US};
    if (str_copy(child->name, sizeof(child->name), name) < 0 ||
        str_copy(child->log_path, sizeof(child->log_path), log_path) < 0)
        return NULL;
    children->count++;
    return child;
}

void child_argument(struct child *child, const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    /* What could not be kept leaves a hole that child_start finds. */
    if (child->argument_count < CHILD_ARGS_MAX - 1)
        child->arguments[child->argument_count] = text;
    else
        free(text);
    child->argument_count++;
}

int child_start(struct child *child, struct error *err)
{
    if (child->argument_count >= CHILD_ARGS_MAX)
        return error_set(err, ERR_LIMIT, 0, "%s: more than %d arguments", child->name,
                         CHILD_ARGS_MAX - 1);
    for (int i = 0; i < child->argument_count; i++)
        if (child->arguments[i] == NULL)
            return error_set(err, ERR_NO_MEMORY, 0, "%s: no memory for its arguments", child->name);
    CLEANUP(cleanup_close)
    int log = open(child->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log < 0)
        return error_set(err, ERR_IO, errno, "open %s", child->log_path);
    CLEANUP(cleanup_close) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (null < 0)
        return error_set(err, ERR_IO, errno, "open /dev/null");
    sigset_t none;
    sigemptyset(&none);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return error_set(err, ERR_IO, errno, "start %s", child->name);
    if (pid == 0)
        run_child(child, log, null, parent, &none);
    (void)setpgid(pid, pid); /* the child does the same; whoever comes first */
    child->pid = pid;
    child->started = clock_mono_now();
    child->retry = (struct mono){0};
    child->stopping = false;
    return 0;
}

int children_reap(struct children *children, children_told *told, void *context)
{
    int ended = 0;
    for (int i = 0; i < children->count; i++) {
        struct child *child = &children->list[i];
        if (child->pid == 0 || !reap_one(child))
            continue;
        if (child->stopping)
            continue;
        ended++;
        plan_restart(child);
        char end[LIMIT_TEXT_BYTES];
        char text[LIMIT_TEXT_BYTES * 2];
        int64_t wait_ms = (child->retry.us - clock_mono_now().us + 999) / 1000;
        snprintf(text, sizeof(text), "%s %s; starting it again in %lld ms", child->name,
                 child_end_text(child->status, end), (long long)(wait_ms < 0 ? 0 : wait_ms));
        told(context, child, text);
    }
    return ended;
}

void children_restart(struct children *children, children_told *told, void *context)
{
    for (int i = 0; i < children->count; i++) {
        struct child *child = &children->list[i];
        if (child->retry.us == 0 || child->retry.us > clock_mono_now().us)
            continue;
        struct error err;
        char text[LIMIT_TEXT_BYTES * 2];
        if (child_start(child, &err) < 0) {
            plan_restart(child);
            snprintf(text, sizeof(text), "%s could not be started: %.300s", child->name, err.text);
        } else {
            snprintf(text, sizeof(text), "%s runs again (pid %d)", child->name, (int)child->pid);
        }
        told(context, child, text);
    }
}

int64_t children_timeout_us(const struct children *children)
{
    int64_t least = -1;
    int64_t now_us = clock_mono_now().us;
    for (int i = 0; i < children->count; i++) {
        const struct child *child = &children->list[i];
        if (child->retry.us == 0)
            continue;
        int64_t left_us = child->retry.us > now_us ? child->retry.us - now_us : 0;
        if (least < 0 || left_us < least)
            least = left_us;
    }
    return least;
}

void children_stop(struct children *children, int first)
{
    for (int i = children->count - 1; i >= first; i--)
        children_stop_together(children, i, i + 1);
}

void children_stop_together(struct children *children, int first, int last)
{
    for (int i = first; i < last; i++) {
        struct child *child = &children->list[i];
        child->stopping = true;
        child->retry = (struct mono){0};
        if (child->pid > 0)
            (void)kill(child->pid, SIGTERM);
    }
    wait_ended(children, first, last);
}

void children_done(struct children *children)
{
    children_stop(children, 0);
    for (int i = 0; i < children->count; i++) {
        struct child *child = &children->list[i];
        for (int k = 0; k < child->argument_count && k < CHILD_ARGS_MAX - 1; k++)
            free(child->arguments[k]);
    }
    children->count = 0;
}

const char *child_end_text(int status, char out[LIMIT_TEXT_BYTES])
{
    if (WIFEXITED(status))
        str_format(out, LIMIT_TEXT_BYTES, "ended with %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        str_format(out, LIMIT_TEXT_BYTES, "was killed by signal %d (%s)", WTERMSIG(status),
                   strsignal(WTERMSIG(status)));
    else
        str_format(out, LIMIT_TEXT_BYTES, "ended");
    return out;
}

/* In the child, between fork and exec. */
static void run_child(const struct child *child, int log, int null, pid_t parent,
                      const sigset_t *signals)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(125); /* it died before it could be watched */
    (void)dup2(null, STDIN_FILENO);
    (void)dup2(log, STDOUT_FILENO);
    (void)dup2(log, STDERR_FILENO);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigprocmask(SIG_SETMASK, signals, NULL);
    execv(child->arguments[0], child->arguments);
    static const char text[] = "cannot be executed\n";
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(126);
}

static void plan_restart(struct child *child)
{
    int64_t now_us = clock_mono_now().us;
    if (now_us - child->started.us > HEALTHY_US)
        child->ends = 0;
    int64_t wait_us = BACKOFF_FIRST_US;
    for (int i = 0; i < child->ends && wait_us < BACKOFF_MAX_US; i++)
        wait_us *= 2;
    child->ends++;
    child->retry.us = now_us + (wait_us < BACKOFF_MAX_US ? wait_us : BACKOFF_MAX_US);
}

static void wait_ended(struct children *children, int first, int last)
{
    struct mono began = clock_mono_now();
    for (;;) {
        int left = 0;
        for (int i = first; i < last; i++) {
            struct child *child = &children->list[i];
            if (child->pid == 0 || reap_one(child))
                continue;
            left++;
            if (clock_mono_now().us - began.us > child->stop_timeout_us)
                (void)kill(child->pid, SIGKILL);
        }
        if (left == 0)
            return;
        nanosleep(&(struct timespec){.tv_nsec = POLL_US * 1000}, NULL);
    }
}

static bool reap_one(struct child *child)
{
    int status = 0;
    pid_t got = waitpid(child->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR))
        return false;
    child->status = status;
    child->pid = 0;
    return true;
}
