#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "tests/bench/solver/row_internal.h"

/* How often a child without a pipe is asked whether it has ended. */
#define POLL_US 2000

static pid_t fork_quietly(void);
static bool read_answer(int fd, int64_t until_us, struct row_answer *answer);
static void reap(pid_t pid, int64_t start_us, int64_t until_us, struct row_end *end);

void row_child(row_work *work, const struct row_case *it, const struct row_options *options,
               const char *path, double limit_s, struct row_answer *ret_answer,
               struct row_end *ret_end)
{
    int channel[2];
    *ret_answer = (struct row_answer){0};
    *ret_end = (struct row_end){0};
    int64_t start_us = clock_mono_now().us;
    int64_t until_us = start_us + (int64_t)(limit_s * 1e6);
    if (pipe2(channel, O_CLOEXEC) < 0) {
        perror("row: pipe");
        exit(1);
    }
    pid_t pid = fork_quietly();
    if (pid == 0) {
        struct row_answer answer = {.bound = -HUGE_VAL};
        /* What a library prints is no part of the table. */
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        work(it, options, path, &answer);
        answer.whole = true;
        /* Less than PIPE_BUF: written whole or not at all. */
        _exit(write(channel[1], &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : 1);
    }
    (void)close(channel[1]);
    if (!read_answer(channel[0], until_us, ret_answer)) {
        *ret_answer = (struct row_answer){.bound = -HUGE_VAL};
    }
    (void)close(channel[0]);
    reap(pid, start_us, until_us, ret_end);
}

void row_program(char *const arguments[], const char *output, double limit_s,
                 struct row_end *ret_end)
{
    *ret_end = (struct row_end){0};
    int64_t start_us = clock_mono_now().us;
    pid_t pid = fork_quietly();
    if (pid == 0) {
        int out = open(output, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (out < 0 || in < 0 || dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
            dup2(out, STDERR_FILENO) < 0) {
            _exit(126);
        }
        (void)execvp(arguments[0], arguments);
        _exit(127);
    }
    reap(pid, start_us, start_us + (int64_t)(limit_s * 1e6), ret_end);
}

void row_end_text(const struct row_end *end, char out[LIMIT_TEXT_BYTES])
{
    out[0] = '\0';
    if (end->killed) {
        str_format(out, LIMIT_TEXT_BYTES, "killed after %.0f s", end->seconds);
    } else if (WIFSIGNALED(end->status)) {
        int number = WTERMSIG(end->status);
        str_format(out, LIMIT_TEXT_BYTES, "ended by signal %d%s", number,
                   number == SIGABRT ? ", an abort" : "");
    } else if (WEXITSTATUS(end->status) != 0) {
        str_format(out, LIMIT_TEXT_BYTES, "ended with status %d", WEXITSTATUS(end->status));
    }
}

/* A child that does not outlive this process. */
static pid_t fork_quietly(void)
{
    (void)fflush(stdout);
    (void)fflush(stderr);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        perror("row: fork");
        exit(1);
    }
    if (pid == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() != parent) {
        _exit(1);
    }
    return pid;
}

static bool read_answer(int fd, int64_t until_us, struct row_answer *answer)
{
    for (;;) {
        int64_t left_us = until_us - clock_mono_now().us;
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int ready = left_us > 0 ? poll(&wait, 1, (int)(left_us / 1000) + 1) : 0;
        if (ready < 0 && errno == EINTR) {
            continue;
        }
        return ready > 0 && read(fd, answer, sizeof(*answer)) == (ssize_t)sizeof(*answer);
    }
}

static void reap(pid_t pid, int64_t start_us, int64_t until_us, struct row_end *end)
{
    struct rusage usage = {0};
    for (;;) {
        pid_t got = wait4(pid, &end->status, WNOHANG, &usage);
        if (got == pid) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            perror("row: wait4");
            exit(1);
        }
        if (!end->killed && clock_mono_now().us >= until_us) {
            end->killed = kill(pid, SIGKILL) == 0;
        }
        (void)usleep(POLL_US);
    }
    end->seconds = (double)(clock_mono_now().us - start_us) / 1e6;
    end->cpu_seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                       (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    end->mb = (double)usage.ru_maxrss / 1024;
}
